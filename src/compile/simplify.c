/* simplify.c */
#include "compile/lower.h"

static tsr_node *simplify(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    (void)c, (void)n, (void)src;
    return NULL;
}

tsr_fn *pass_simplify(tsr_ctx *c, const tsr_fn *f) { return pass_rewrite(c, f, simplify); }
