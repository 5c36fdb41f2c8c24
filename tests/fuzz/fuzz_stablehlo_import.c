/* fuzz_stablehlo_import.c: any text that reads as StableHLO becomes fns that hold every invariant, or is refused with a
 * message that names a place. Nothing is run. */
#include <stdlib.h>
#include <string.h>

#include "formats/stablehlo/import.h"
#include "formats/stablehlo/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void import(tsr_ctx *c, const struct hlo_module *m, const char *name, bool checked) {
    hlo_checks checks = {0};
    struct hlo_import_options o = {.checks = checked, .partition = -1, .replica = -1};
    tsr_fn *f = hlo_import(m, name, &o, &checks);
    if (!f != (tsr_error_status(c) != TSR_OK)) abort();
    if (f && tsr_verify(c, f)) abort();
    if (!f && !strstr(tsr_error_message(c), "fuzz:")) abort();
    tsr_fn_free(c, f);
    vec_release(c, &checks);
    tsr_error_clear(c);
}

static void import_all(tsr_ctx *c, const struct hlo_module *m) {
    const struct hlo_block *b = m->op->region[0].nblock ? m->op->region[0].block : NULL;
    for (const struct hlo_op *op = b ? b->first : NULL; op; op = op->next) {
        const char *name = op->code == HLO_OP_FUNC ? hlo_get_text(op, "sym_name") : NULL;
        for (int checked = 0; name && checked < 2; checked++) import(c, m, name, checked);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tsr_ctx *c = tsr_open(&(tsr_config){.threads = 1});
    struct hlo_module *m = hlo_read_text(c, "fuzz", (const char *)data, n);
    for (const struct hlo_module *at = m; at; at = at->next) import_all(c, at);
    hlo_module_free(m);
    tsr_close(c);
    return 0;
}
