/* fuzz_stablehlo_bytecode.c: any bytes as MLIR bytecode: refused with a message, or a module that prints and whose text
 * reads as the same module. */
#include <stdio.h>
#include <stdlib.h>

#include "formats/stablehlo/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What no text can say (names and strings that a reader of text refuses, ...) may fail to read, but not to compare. */
static void print_and_read(tsr_ctx *c, const struct hlo_module *m) {
    struct str text, why;
    str_init(&text, c), str_init(&why, c);
    hlo_print(&text, m);
    struct hlo_module *again = hlo_read_text(c, "printed", text.s, text.n);
    if (again && !hlo_module_equal(m, again, &why)) {
        fprintf(stderr, "%s\n%s\n", why.s, text.s);
        abort();
    }
    hlo_module_free(again);
    str_release(&text), str_release(&why);
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
