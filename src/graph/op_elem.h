/* op_elem.h: the seam between the records of elementwise ops (op_elem.c), their gradients (op_elem_grad.c) and
 * their test samplers (op_elem_sample.c).
 *
 * Every function of scalar.h has an elem_vjp_NAME and a sample_NAME. Where a result is constant between jumps, or
 * no float, the gradient is the sentinel itself, so that whoever holds the record can see it. */
#ifndef GRAPH_OP_ELEM_H
#define GRAPH_OP_ELEM_H

#include "graph/op.h"

#define elem_vjp_CEIL vjp_zero
#define elem_vjp_FLOOR vjp_zero
#define elem_vjp_ROUND vjp_zero
#define elem_vjp_ROUND_EVEN vjp_zero
#define elem_vjp_NOT vjp_zero
#define elem_vjp_POPCNT vjp_zero
#define elem_vjp_CLZ vjp_zero
#define elem_vjp_IS_FINITE vjp_zero
#define elem_vjp_AND vjp_zero
#define elem_vjp_OR vjp_zero
#define elem_vjp_XOR vjp_zero
#define elem_vjp_SHL vjp_zero
#define elem_vjp_SHR vjp_zero
#define elem_vjp_SHR_LOGICAL vjp_zero
#define elem_vjp_EQ vjp_zero
#define elem_vjp_NE vjp_zero
#define elem_vjp_LT vjp_zero
#define elem_vjp_LE vjp_zero
#define elem_vjp_GT vjp_zero
#define elem_vjp_GE vjp_zero

#define X(NAME, text, arity, result, domain, formula) \
    op_vjp elem_vjp_##NAME;                           \
    op_sample sample_##NAME;
TSR_SCALAR_LIST(X)
#undef X

/* Facts of one function. */
enum elem_result { ELEM_SAME, ELEM_BOOL, ELEM_REAL, ELEM_CPLX };
struct elem_info { const char *name; int arity; enum elem_result result; const char *domain; };
extern const struct elem_info elem_info[TSR_SCALAR_COUNT];

#endif
