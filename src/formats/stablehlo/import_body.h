/* import_body.h: what the handlers of operations with bodies share: a scalar body applied to whole tensors, folds with
 * it, and the attributes that several of them read.
 *
 * A body is a region of scalars. Where every operation in it is elementwise it is built in place on tensors
 * (imp_region_inline); otherwise it becomes a fn of scalars that tsr_vmap spreads. Folds use no more than what the
 * specification promises: the elements are combined in ascending order, in any tree. */
#ifndef FORMATS_STABLEHLO_IMPORT_BODY_H
#define FORMATS_STABLEHLO_IMPORT_BODY_H

#include "formats/stablehlo/import.h"

enum { IMP_BODY_MAX = 64 }; /* values that one body combines */

/* out[] = body(arg[]): args are tensors of one shape, results have that shape. Arguments are converted to the element
 * types of the block (is_promotable in the specification). False: an error is recorded. */
bool imp_body_apply(struct imp *p, const struct hlo_op *op, int region, int narg, tsr_node *const *arg, int nout,
    tsr_node **out);

/* How two groups of n values become one: a comes before b. */
struct imp_combine {
    bool (*run)(struct imp *p, const struct hlo_op *op, const void *user, int n, tsr_node *const *a,
        tsr_node *const *b, tsr_node **out);
    const void *user;
};
/* (a..., b...) -> region 0 of op. */
extern const struct imp_combine imp_combine_body;

/* x[] (n tensors of one shape) folded along their first axis, which goes; its extent is a constant, not 0. */
bool imp_fold_first(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x);
/* x[i] o x[i + dilation] o ... o x[i + (window - 1) dilation] along axis for every i that has them all. */
bool imp_fold_window(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x,
    int axis, int64_t window, int64_t dilation);

/* Elements from .. to of one axis, every step-th. */
tsr_node *imp_cut(tsr_ctx *c, tsr_node *x, int axis, const tsr_extent *from, const tsr_extent *to, int64_t step);
/* A scalar repeated to the shape of like. */
tsr_node *imp_spread(tsr_ctx *c, tsr_node *scalar, const tsr_node *like);
/* x in dtype t; x itself when it has it. */
tsr_node *imp_as(tsr_ctx *c, tsr_node *x, tsr_dtype t);
/* Is this node the literal that how leaves every value unchanged with? */
bool imp_is_identity(tsr_ctx *c, tsr_node *n, tsr_reduce how);
/* The i64 numbers 0 .. elements of like - 1 in row-major order, in like's shape. */
tsr_node *imp_positions(tsr_ctx *c, const tsr_node *like);

/* A list attribute of n integers; `fallback` everywhere where it is absent. False: another length (recorded). */
bool imp_ints(struct imp *p, const struct hlo_op *op, const char *name, int n, int64_t fallback, int64_t *out);
/* padding: dense<[[low, high], ...]> : tensor<nx2xi64>; zeros where it is absent. */
bool imp_padding(struct imp *p, const struct hlo_op *op, int n, int64_t *low, int64_t *high);
/* A list of axes in a structure attribute. False: longer than TSR_MAX_RANK (recorded). */
bool imp_axes(struct imp *p, const struct hlo_op *op, const struct hlo_attr *dims, const char *field, int *n,
    int64_t *out);
/* All operands as nodes; false: one is missing, or not a tensor (recorded). */
bool imp_operands(struct imp *p, const struct hlo_op *op, int n, tsr_node **out);

/* A reduction of (values, places) along one axis that finds the place of the greatest or least value: out[] gets value
 * and place. False, nothing recorded unless memory is short: the body or the operands say something else. */
bool imp_argreduce(struct imp *p, const struct hlo_op *op, int axis, tsr_node *const *x, tsr_node *const *init,
    tsr_node **out);

/* y[] as all results of op, whose number must agree. */
bool imp_give(struct imp *p, const struct hlo_op *op, int n, tsr_node *const *y);
/* custom_call of a LAPACK driver: its name after "lapack_". */
bool imp_lapack(struct imp *p, const struct hlo_op *op, const char *name);

/* rng_bit_generator: its new state and bits of type t, as the results of op. */
bool imp_random_bits(struct imp *p, const struct hlo_op *op, tsr_node *state, const tsr_type *t);
/* Handlers whose attributes the dynamic forms give as operands: gather with these slice sizes, convolution with this
 * padding; both set result 0 of op. */
bool imp_gather_sized(struct imp *p, const struct hlo_op *op, tsr_node *x, tsr_node *index,
    const tsr_extent *const *sizes);
bool imp_convolution_padded(struct imp *p, const struct hlo_op *op, tsr_node *x, tsr_node *w, const int64_t *low,
    const int64_t *high);

/* Sequential scatter onto flattened tensors, for bodies that are no tsr_scatter: x[j] (M elements) are replaced, pos
 * (S, W) i64 says where the updates u[j] (S, W) go; those outside 0..M-1 are skipped. Rows are taken in order, the
 * elements of one row go to different places. `how` combines what is there with what comes. */
bool imp_scatter_rows(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x,
    tsr_node *pos, tsr_node *const *u, bool unique);

#endif
