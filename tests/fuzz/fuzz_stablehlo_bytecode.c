/* fuzz_stablehlo_bytecode.c: any bytes as MLIR bytecode: refused with a message, or a module that prints. Its text is
 * read again, which may fail: names, strings and attributes kept as text may be what no text can say. */
#include <stdlib.h>

#include "formats/stablehlo/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void print_and_read(tsr_ctx *c, const struct hlo_module *m) {
    struct str text;
    str_init(&text, c);
    hlo_print(&text, m);
    struct hlo_module *again = hlo_read_text(c, "printed", text.s, text.n);
    if (!again != (tsr_error_status(c) != TSR_OK)) abort();
    if (again) hlo_module_equal(m, again, NULL);
    hlo_module_free(again);
    str_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tsr_ctx *c = tsr_open(&(tsr_config){.threads = 1});
    struct hlo_module *m = hlo_read_bytecode(c, "fuzz", data, n);
    if (!m != (tsr_error_status(c) != TSR_OK)) abort();
    if (m) print_and_read(c, m);
    hlo_module_free(m);
    tsr_close(c);
    return 0;
}
