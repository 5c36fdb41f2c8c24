/* rule.c: what the rules of ops share: the sentinels for rules that do not exist, and the few graph shapes that
 * gradient and batching rules keep asking for (zeros, a constant like x, a batch axis in front, the sum that undoes
 * a broadcast).
 *
 * A sentinel is a real function, so a record has no NULL and callers need no test: "this op has no gradient" is an
 * answer with a message, not a crash. Everything built here is built with the builders of prim.h, in whatever fn is
 * open. */
#include "graph/op.h"

bool vjp_zero(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    (void)c, (void)gout, (void)want;
    for (int i = 0; i < n->nsrc; i++) gsrc[i] = NULL;
    return true;
}

bool vjp_none(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    vjp_zero(c, n, gout, want, gsrc);
    err_set(c, TSR_EUNSUPPORTED, "%s has no gradient rule, and a gradient through its result %s was asked for; cut "
        "it off with tsr_stop_gradient, or give the fn around it a custom gradient", op_def(n->op)->name,
        type_text(c, n->type));
    return false;
}

bool vjp_higher(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    (void)c, (void)gout, (void)want, (void)gsrc;
    TSR_BUG("the gradient of %s belongs to the transformation, not to the op's record", op_def(n->op)->name);
}

tsr_node *vmap_none(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)src, (void)batched;
    err_set(c, TSR_EUNSUPPORTED, "%s has no batching rule, and vmap over an axis of extent %s met it (its result is "
        "%s); map around it, or loop with tsr_prim_scan", op_def(n->op)->name, extent_text(c, size),
        type_text(c, n->type));
    return tsr_poison(c);
}

tsr_node *vmap_higher(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)c, (void)src, (void)batched, (void)size;
    TSR_BUG("batching %s belongs to the transformation, not to the op's record", op_def(n->op)->name);
}

tsr_status ref_by_interpreter(struct ref_call *r) {
    TSR_BUG("%s is run by the interpreter itself", op_def(r->node->op)->name);
}

tsr_fn *sample_elsewhere(tsr_ctx *c, struct sample *s) {
    (void)c, (void)s;
    return NULL;
}

tsr_node *rule_zeros(tsr_ctx *c, const tsr_type *t) { return tsr_full(c, t, 0); }

tsr_node *rule_full_like(tsr_ctx *c, const tsr_node *n, double v) {
    return tsr_is_poison(n) ? tsr_poison(c) : tsr_full(c, n->type, v);
}

tsr_node *rule_batch(tsr_ctx *c, tsr_node *x, bool batched, const tsr_extent *size) {
    if (batched || tsr_is_poison(x)) return batched ? x : tsr_poison(c);
    int64_t axes[TSR_MAX_RANK];
    for (int i = 0; i < x->type->rank; i++) axes[i] = i + 1;
    const tsr_type *t = type_insert_axis(c, x->type, 0, size);
    return t ? tsr_prim_broadcast(c, x, t, axes) : tsr_poison(c);
}

/* Axes of x in front of those of `to` are summed away; an axis where `to` has 1 and x has more is summed to 1. */
tsr_node *rule_unbroadcast(tsr_ctx *c, tsr_node *x, const tsr_type *to) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    int64_t axes[TSR_MAX_RANK];
    int n = 0, front = x->type->rank - to->rank;
    TSR_ASSERT(front >= 0);
    for (int i = 0; i < x->type->rank; i++) {
        bool repeated = i >= front && extent_is(to->extent[i - front], 1) && !extent_is(x->type->extent[i], 1);
        if (i < front || repeated) axes[n++] = i;
    }
    tsr_node *sum = n ? tsr_prim_reduce(c, x, TSR_REDUCE_SUM, n, axes) : x;
    return tsr_prim_reshape(c, sum, to);
}
