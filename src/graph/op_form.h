/* op_form.h: what the form ops share: making a node, refusing a tuple, the distance between neighbours. */
#ifndef GRAPH_OP_FORM_H
#define GRAPH_OP_FORM_H

#include "graph/axes.h"
#include "graph/ref.h"

#define FOR_AXES(i, t) for (int i = 0; i < (t)->rank; i++)

static inline tsr_node *form(tsr_ctx *c, enum tsr_op op, int n, tsr_node *const *x, int nattr, const struct attr *a,
    const tsr_type *want) {
    return node_make(c, &(struct draft){.op = op, .nsrc = n, .src = x, .nattr = nattr, .attr = a, .want = want});
}
static inline const tsr_type *not_a_tensor(tsr_ctx *c, const char *op, const tsr_type *t) {
    err_set(c, TSR_EINVAL, "%s: the operand is %s; take one item of it with tsr_item", op, type_text(c, t));
    return NULL;
}
#define NEED_TENSOR(op, t) if ((t)->kind != TSR_TENSOR) return not_a_tensor(c, op, t)

static inline bool is_tensor(const tsr_node *x) { return !tsr_is_poison(x) && x->type->kind == TSR_TENSOR; }
/* Elements between neighbours along an axis. */
static inline int64_t step(const int64_t *dim, int rank, int axis) {
    int64_t s = 1;
    for (int i = axis + 1; i < rank; i++) s *= dim[i];
    return s;
}

op_sample sample_convert, sample_bitcast, sample_iota, sample_broadcast, sample_reshape, sample_transpose,
    sample_slice, sample_pad,
    sample_concat, sample_reverse;

#endif
