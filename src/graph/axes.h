/* axes.h: axis lists, window arithmetic and draft attributes: what the index, reduce, window, dot and conv families
 * share.
 *
 * Nothing here knows one particular op. Lists of axes are int64 arrays, as attributes hold them. Every function that
 * builds graph follows the rule of builders: poison in, poison out. */
#ifndef GRAPH_AXES_H
#define GRAPH_AXES_H

#include "graph/op.h"

/* ---- attributes of a draft (its builder put them there: absence is a broken invariant) -------------------------- */
const struct attr *draft_attr(const struct draft *d, enum attr_key k);
static inline int64_t draft_int(const struct draft *d, enum attr_key k) { return draft_attr(d, k)->i; }
static inline const int64_t *draft_ints(const struct draft *d, enum attr_key k) { return draft_attr(d, k)->ints; }

/* ---- lists of axes ---------------------------------------------------------------------------------------------- */
/* In range and no axis twice, or a teaching error: "OP: WHAT[1] = 7 is not an axis of ...". */
bool axes_check(tsr_ctx *c, const char *op, const char *what, size_t n, const int64_t *axis, int rank);
bool axes_check_sorted(tsr_ctx *c, const char *op, const char *what, size_t n, const int64_t *axis);
bool axes_has(size_t n, const int64_t *axis, int64_t a);
/* The axes 0..rank-1 that are in neither list, ascending; returns how many. */
int axes_rest(int rank, size_t n1, const int64_t *a1, size_t n2, const int64_t *a2, int64_t *out);
/* out[0] = first (when not negative), then each axis + 1: what a list becomes under a new front axis. Returns the
 * count. */
int axes_shift(int64_t first, size_t n, const int64_t *axis, int64_t *out);
bool axes_is_tensor(tsr_ctx *c, const char *op, const tsr_type *t); /* else a teaching error */
bool axes_is_plain(tsr_ctx *c, const char *op, const tsr_type *t);  /* a tensor, and of no block type */
bool axes_poison(int n, tsr_node *const *x);

/* An index as i64: an unsigned one beyond the signed range is far outside any operand, and stays so. */
tsr_node *axes_index64(tsr_ctx *c, tsr_node *x);
int64_t ref_index(const struct ref_tensor *t, int64_t at);

/* ---- extents ---------------------------------------------------------------------------------------------------- */
/* a <= b, proved or recorded as a check of the open fn; else false with the message recorded. */
bool extent_require_le(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b, const char *fmt, ...) TSR_PRINTF(4, 5);
const tsr_extent *extent_plus(tsr_ctx *c, const tsr_extent *e, int64_t k);
/* n elements with d - 1 holes between neighbours: (n - 1) d + 1, and 0 for n = 0. */
const tsr_extent *extent_dilated(tsr_ctx *c, const tsr_extent *n, int64_t d);

/* ---- one axis of a window op: where window element k of output o reads: (o stride + k dilation - low) / base ---- */
struct axis_window {
    int64_t stride, base, dilation, low, high; /* base: dilation of the source */
};
/* Source index, or -1 when it falls on padding or on a hole. */
int64_t axis_window_at(const struct axis_window *w, int64_t extent, int64_t o, int64_t k);
const tsr_extent *axis_window_count(tsr_ctx *c, const tsr_extent *n, const tsr_extent *window,
                                    const struct axis_window *w);
/* The window op that carries cotangents of the `out` results back to the n sources: its source is dilated by
 * w->stride, its stride is w->base, its window is mirrored; these are its paddings. */
void axis_window_transpose(tsr_ctx *c, const tsr_extent *n, const tsr_extent *out, const tsr_extent *window,
                           const struct axis_window *w, const tsr_extent **low, const tsr_extent **high);
/* Move padding into integers where all is constant; otherwise pad x with zeros explicitly (also by `dilation`, which
 * becomes 1). */
tsr_node *axes_pad_or_ints(tsr_ctx *c, tsr_node *x, int n, const int64_t *axis, const tsr_extent *const *low,
                           const tsr_extent *const *high, int64_t *dilation, int64_t *low_int, int64_t *high_int);

/* ---- movement --------------------------------------------------------------------------------------------------- */
tsr_node *axes_move(tsr_ctx *c, tsr_node *x, int from, int to);   /* the axis at `from` becomes the axis at `to` */
tsr_node *axes_split(tsr_ctx *c, tsr_node *x, int axis, const tsr_extent *outer, const tsr_extent *inner);
tsr_node *axes_merge(tsr_ctx *c, tsr_node *x, int axis);          /* axis and axis + 1 become one */
/* repeat along the n given axes of t, which x lacks */
tsr_node *axes_expand(tsr_ctx *c, tsr_node *x, const tsr_type *t, size_t n, const int64_t *axis);
/* x, or x with extents equal in value spelled as in t */
tsr_node *axes_as(tsr_ctx *c, tsr_node *x, const tsr_type *t);
tsr_node *axes_convert(tsr_ctx *c, tsr_node *x, tsr_dtype t);     /* x itself when it has that dtype */
tsr_node *axes_zeros(tsr_ctx *c, const tsr_type *t);
/* y[i] = x[i - by], `fill` where there is none */
tsr_node *axes_shifted(tsr_ctx *c, tsr_node *x, int axis, int64_t by, double fill);
/* i64 scalar of value e; e >= lo in every binding */
tsr_node *axes_extent_value(tsr_ctx *c, const tsr_extent *e, int64_t lo);

/* ---- reductions ------------------------------------------------------------------------------------------------- */
/* op is one of tsr_reduce and meaningful for t (and, or, xor: integers and bool), or a teaching error. */
bool reduce_admits(tsr_ctx *c, const char *who, int64_t op, tsr_dtype t);
const char *reduce_name(int64_t op);
tsr_reduce sample_reduce(struct sample *s); /* one that admits s->dtype; sets ranges, distinct and smooth to suit it */
/* widen atol for sums of n terms of that size in the accumulator's dtype */
void sample_sum_of(struct sample *s, int64_t n, double scale);

#endif
