/* fuzz_stablehlo_bytecode.c: any bytes as MLIR bytecode: refused with a message, or a module that prints; its text, where
 * it reads (names and strings may be what no text can say), prints as the same text. */
#include <stdlib.h>
#include <string.h>

#include "formats/stablehlo/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void print_and_read(tsr_ctx *c, const struct hlo_module *m) {
    struct str text, again;
    str_init(&text, c), str_init(&again, c);
    hlo_print(&text, m);
    struct hlo_module *read = hlo_read_text(c, "printed", text.s, text.n);
    if (read) hlo_print(&again, read);
    if (read && strcmp(text.s, again.s)) abort();
    hlo_module_free(read);
    str_release(&text), str_release(&again);
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
