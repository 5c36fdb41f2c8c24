/* fuzz_tile: any text to the reader of tile programs. What reads must print, read again as an equal program, and
 * compile for the VM (it is not run: its addresses would be the fuzzer's). */
#include <string.h>

#include "base/mem.h"
#include "tile/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void compile(tsr_ctx *c, const tsr_tile *p) {
    size_t bytes = 0; /* programs with much scratch memory are left alone: they are slow, not wrong */
    for (size_t i = 0; i < p->value.n; i++) bytes += (size_t)tile_count(&p->value.v[i].type) * 16;
    if (bytes < (size_t)1 << 26) vm_free(vm_compile(c, p));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tsr_ctx *c = tsr_open(&(tsr_config){.threads = 1});
    char *text = c ? mem_alloc(c, n + 1) : NULL;
    if (!text) return tsr_close(c), 0;
    memcpy(text, data, n);
    text[n] = 0;
    tsr_tile *p = tsr_tile_read(c, text, "fuzz");
    if (p) {
        char *printed = tsr_tile_print(p);
        tsr_tile *q = tsr_tile_read(c, printed, "printed");
        if (!q || !tile_equal(p, q)) __builtin_trap();
        compile(c, q);
        tsr_text_free(c, printed);
        tsr_tile_free(p), tsr_tile_free(q);
    }
    mem_free(c, text, n + 1);
    tsr_close(c);
    return 0;
}
