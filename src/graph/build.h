/* build.h: what the files of user-facing builders and of composites share. */
#ifndef GRAPH_BUILD_H
#define GRAPH_BUILD_H

#include <math.h>
#include <string.h>

#include "graph/attr.h"
#include "graph/op.h"
#include "tessera/ops.h"

/* 0 <= axis < rank, negative ones counted from the end; -1 with an error that names `what`. */
int build_axis(tsr_ctx *c, const char *what, const tsr_node *x, int axis);
int build_axis_in(tsr_ctx *c, const char *what, int rank, int axis);
/* The common shape of n operands (rank, extents); false: they do not broadcast. */
bool build_shape(tsr_ctx *c, const char *what, int n, tsr_node *const *x, int *rank, const tsr_extent **extent);
tsr_node *build_broadcast(tsr_ctx *c, tsr_node *x, int rank, const tsr_extent *const *extent); /* right-aligned */
/* Operands in one dtype and shape. */
bool build_meet(tsr_ctx *c, const char *what, int n, tsr_node **x);
tsr_dtype build_float(tsr_dtype t);                   /* the float that t computes in: integers and bool as f32 */
tsr_dtype build_wide(tsr_dtype t);                    /* f16, bf16, f8: f32; others themselves */
tsr_node *build_extent(tsr_ctx *c, const tsr_extent *e, tsr_dtype t); /* the extent's value, rank 0 */
tsr_node *build_iota(tsr_ctx *c, tsr_dtype t, int rank, const tsr_extent *const *extent, int axis);
tsr_node *build_num2(tsr_ctx *c, tsr_scalar fn, tsr_node *x, double v); /* fn(x, v), v of x's dtype */
bool build_bad(tsr_ctx *c, int n, tsr_node *const *x); /* an operand is poison or NULL */
tsr_node *build_fail(tsr_ctx *c, const char *fmt, ...) TSR_PRINTF(2, 3); /* EINVAL, poison */

/* ---- composites ---- */
enum composite_id {
#define COMPOSITE(name, vjp, formula) COMP_##name,
#include "graph/composites.def"
#undef COMPOSITE
    COMP_COUNT
};
extern const struct composite composites[COMP_COUNT];
typedef bool composite_body(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                            int *nout);
#define COMPOSITE(name, vjp, formula) composite_body comp_##name;
#include "graph/composites.def"
#undef COMPOSITE
op_vjp comp_relu_vjp, comp_softplus_vjp, comp_softmax_vjp, comp_log_softmax_vjp, comp_logsumexp_vjp;
op_vjp comp_reduce_precision_vjp, comp_bessel_i0e_vjp, comp_bessel_i1e_vjp, comp_zeta_vjp, comp_polygamma_vjp;
static inline int64_t comp_int(const struct attr *attr, int nattr,
                               enum attr_key k) { return attrs_find(nattr, attr, k)->i; }
static inline double comp_float(const struct attr *attr, int nattr,
                                enum attr_key k) { return attrs_find(nattr, attr, k)->f; }
/* A composite with one result. */
tsr_node *composite_one(tsr_ctx *c, enum composite_id id, int n, tsr_node *const *in, int nattr,
                        const struct attr *attr);

#endif
