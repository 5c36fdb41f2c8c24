/* fuzz_engine.c: any bytes as an engine file: refused with a message, or a plan that prints and can be bound.
 *
 * The checksums are made right first, else nothing would be seen behind them. Constants follow the body. Programs do
 * not run: their addresses are looked at while they run, under TSR_CHECK, and their loops may be endless. */
#include <stdlib.h>
#include <string.h>

#include "run/engine.h"

static void bind(tsr_engine *e) {
    const tsr_plan *p = engine_plan(e);
    tsr_binding b[16];
    struct plan_binding out;
    if (p->symbol.n > 16) return;
    for (size_t i = 0; i < p->symbol.n; i++) b[i] = (tsr_binding){p->symbol.v[i], 3};
    plan_bind(p->c, p, (int)p->symbol.n, b, &out);
    plan_binding_release(&out);
    tsr_error_clear(p->c);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    tsr_ctx *c = tsr_open(NULL);
    struct engine_header h;
    uint8_t *own = mem_alloc(c, n);
    memcpy(own, p, n);
    if (n >= sizeof h) {
        memcpy(&h, own, sizeof h);
        if (h.body_bytes > n - sizeof h) h.body_bytes = n - sizeof h;
        h.file_bytes = n;
        h.body_hash = hash_bytes(1, own + sizeof h, (size_t)h.body_bytes);
        h.header_hash = hash_bytes(ENGINE_VERSION, &h, offsetof(struct engine_header, header_hash));
        memcpy(own, &h, sizeof h);
    }
    tsr_engine *e = tsr_engine_parse(c, own, n, "fuzz");
    if (!e != (tsr_error_status(c) != TSR_OK)) abort(); /* a failure has its error, a success has none */
    struct str text;
    str_init(&text, c);
    if (e) plan_print(&text, engine_plan(e)); /* tsr_engine_text would open a device for each input */
    str_release(&text);
    if (e) bind(e), tsr_engine_verify(e);
    tsr_engine_close(e);
    mem_free(c, own, n);
    tsr_close(c);
    return 0;
}
