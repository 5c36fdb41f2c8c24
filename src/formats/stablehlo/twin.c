/* twin.c: bytecode decoded, compared with its text, printed, read again, compared once more. */
#include "formats/stablehlo/twin.h"

#include <string.h>

#include "base/sys.h"
#include "formats/stablehlo/read.h"

/* The error goes into why, and from the context where it is not lack of memory. */
static bool tell(tsr_ctx *c, struct str *why) {
    str_put(why, tsr_error_message(c));
    if (tsr_error_status(c) != TSR_ENOMEM) tsr_error_clear(c);
    return false;
}

static bool same(const struct hlo_module *bytecode, const struct hlo_module *text, struct str *why) {
    return text ? hlo_module_equal(bytecode, text, why) : tell(bytecode->c, why);
}

static bool printed_same(tsr_ctx *c, const struct hlo_module *m, struct str *why) {
    struct str text;
    str_init(&text, c);
    hlo_print(&text, m);
    struct hlo_module *again = text.failed ? NULL : hlo_read_text(c, "printed bytecode", text.s, text.n);
    bool ok = same(m, again, why);
    hlo_module_free(again);
    str_release(&text);
    return ok;
}

static bool must_be_refused(struct file_map text) {
    static const char words[] = "RUN: not ";
    const uint8_t *end = text.n ? memchr(text.p, '\n', text.n) : NULL;
    for (const uint8_t *p = text.p; end && p + sizeof words <= end; p++) {
        if (!memcmp(p, words, sizeof words - 1)) return true;
    }
    return false;
}

static bool refused(tsr_ctx *c, const struct hlo_module *m, struct str *why) {
    if (m) return str_put(why, "it was read, but is made to be refused"), false;
    if (tsr_error_status(c) == TSR_ENOMEM || !strstr(tsr_error_message(c), "versions")) return tell(c, why);
    tsr_error_clear(c);
    return true;
}

bool hlo_twin(tsr_ctx *c, const char *bc_path, const char *text_path, struct str *why) {
    struct file_map bytes = {0}, text = {0};
    struct hlo_module *m = NULL, *twin = NULL;
    bool ok = false;
    if (file_map(c, bc_path, &bytes) || file_map(c, text_path, &text)) {
        tell(c, why);
        goto out;
    }
    m = hlo_read_bytecode(c, bc_path, bytes.p, bytes.n);
    if (must_be_refused(text)) {
        ok = refused(c, m, why);
        goto out;
    }
    if (!m) {
        tell(c, why);
        goto out;
    }
    twin = hlo_read_text(c, text_path, (const char *)text.p, text.n);
    ok = same(m, twin, why) && printed_same(c, m, why);
out:
    hlo_module_free(m);
    hlo_module_free(twin);
    file_unmap(&bytes);
    file_unmap(&text);
    return ok;
}
