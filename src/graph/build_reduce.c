/* build_reduce.c: reductions of ops.h: axes by name, kept or dropped, means and variances, arg, cumulative. */
#include "graph/build.h"

/* Which axes: all for NULL, in order, each once. Returns how many, -1 on error. */
static int choose(tsr_ctx *c, const char *what, const tsr_node *x, int n, const int *axes, int64_t *out) {
    bool on[TSR_MAX_RANK] = {false};
    int k = 0;
    for (int i = 0; axes && i < n; i++) {
        int a = build_axis(c, what, x, axes[i]);
        if (a < 0) return -1;
        if (on[a]) return err_set(c, TSR_EINVAL, "%s: axis %d is named twice", what, axes[i]), -1;
        on[a] = true;
    }
    for (int i = 0; i < x->type->rank; i++)
        if (!axes || on[i]) out[k++] = i;
    return k;
}

/* x without those axes, put back with an extent of 1. */
static tsr_node *keep(tsr_ctx *c, tsr_node *r, const tsr_node *x, int n, const int64_t *axes) {
    if (tsr_is_poison(r)) return r;
    const tsr_type *t = type_with_dtype(c, x->type, r->type->dtype);
    for (int i = 0; i < n && t; i++) t = type_with_extent(c, t, (int)axes[i], tsr_extent_int(c, 1));
    return t ? tsr_prim_reshape(c, r, t) : tsr_poison(c);
}

static tsr_node *reduce(tsr_ctx *c, const char *what, tsr_reduce op, tsr_node *x, int n, const int *axes,
                        bool keepdims) {
    int64_t ax[TSR_MAX_RANK];
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    int k = choose(c, what, x, n, axes, ax);
    if (k < 0) return tsr_poison(c);
    tsr_node *r = k ? tsr_prim_reduce(c, x, op, k, ax) : x;
    return keepdims && k ? keep(c, r, x, k, ax) : r;
}

static tsr_node *countable(tsr_ctx *c, tsr_node *x) {
    return !tsr_is_poison(x) && x->type->dtype == TSR_BOOL ? tsr_cast(c, x, TSR_I32) : x;
}

static tsr_node *truth(tsr_ctx *c, tsr_node *x) {
    return tsr_is_poison(x) || x->type->dtype == TSR_BOOL ? x : tsr_prim2(c, TSR_S_NE, x, rule_full_like(c, x, 0));
}

tsr_node *tsr_sum(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims) {
    return reduce(c, "sum", TSR_REDUCE_SUM, countable(c, x), n, axes, keepdims);
}
tsr_node *tsr_prod(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims) {
    return reduce(c, "prod", TSR_REDUCE_PROD, countable(c, x), n, axes, keepdims);
}
tsr_node *tsr_max(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims) {
    return reduce(c, "max", TSR_REDUCE_MAX, x, n, axes, keepdims);
}
tsr_node *tsr_min(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims) {
    return reduce(c, "min", TSR_REDUCE_MIN, x, n, axes, keepdims);
}
tsr_node *tsr_all(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims) {
    return reduce(c, "all", TSR_REDUCE_AND, truth(c, x), n, axes, keepdims);
}
tsr_node *tsr_any(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims) {
    return reduce(c, "any", TSR_REDUCE_OR, truth(c, x), n, axes, keepdims);
}

/* ---- moments ---- */

/* How many elements meet in one result, as a number of dtype t. */
static tsr_node *count_of(tsr_ctx *c, const tsr_node *x, int k, const int64_t *ax, tsr_dtype t) {
    const tsr_extent *e = tsr_extent_int(c, 1);
    for (int i = 0; i < k && e; i++) e = tsr_extent_mul(c, e, x->type->extent[ax[i]]);
    return e ? build_extent(c, e, t) : tsr_poison(c);
}

static tsr_dtype moment_dtype(const tsr_node *x) { return build_wide(build_float(x->type->dtype)); }

/* Sum over axes divided by (count - correction), in the wide dtype. */
static tsr_node *average(tsr_ctx *c, tsr_node *x, int k, const int64_t *ax, bool keepdims, double correction) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    tsr_node *s = k ? tsr_prim_reduce(c, x, TSR_REDUCE_SUM, k, ax) : x;
    tsr_node *n = count_of(c, x, k, ax, dtype_real(x->type->dtype));
    if (correction != 0) n = tsr_maximum(c, tsr_sub(c, n, tsr_num(c, n, correction)), tsr_num(c, n, 0));
    s = tsr_div(c, s, n);
    return keepdims && k ? keep(c, s, x, k, ax) : s;
}

tsr_node *tsr_mean(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims) {
    int64_t ax[TSR_MAX_RANK];
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    int k = choose(c, "mean", x, n, axes, ax);
    if (k < 0) return tsr_poison(c);
    tsr_node *r = average(c, tsr_cast(c, x, moment_dtype(x)), k, ax, keepdims, 0);
    return tsr_cast(c, r, build_float(x->type->dtype));
}

tsr_node *tsr_variance(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims, double correction) {
    int64_t ax[TSR_MAX_RANK];
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    int k = choose(c, "variance", x, n, axes, ax);
    if (k < 0) return tsr_poison(c);
    if (dtype_is_complex(x->type->dtype)) return build_fail(c,
                                                            "variance: of %s; take it of the real and imaginary parts",
                                                                type_text(c, x->type));
    tsr_node *wide = tsr_cast(c, x, moment_dtype(x));
    tsr_node *off = tsr_sub(c, wide, average(c, wide, k, ax, true, 0));
    if (tsr_is_poison(off)) return off;
    return tsr_cast(c, average(c, tsr_mul(c, off, off), k, ax, keepdims, correction), build_float(x->type->dtype));
}

tsr_node *tsr_std(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims, double correction) {
    return tsr_sqrt(c, tsr_variance(c, x, n, axes, keepdims, correction));
}

/* ---- along one axis ---- */

static tsr_node *arg(tsr_ctx *c, const char *what, tsr_reduce op, tsr_node *x, int axis, bool keepdims) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, what, x, axis)) < 0) return tsr_poison(c);
    tsr_node *r = tsr_prim_argreduce(c, x, op, axis, TSR_I32);
    return keepdims ? keep(c, r, x, 1, (int64_t[]){axis}) : r;
}
tsr_node *tsr_argmax(tsr_ctx *c, tsr_node *x, int axis, bool keepdims) { return arg(c, "argmax", TSR_REDUCE_MAX, x,
        axis, keepdims); }
tsr_node *tsr_argmin(tsr_ctx *c, tsr_node *x, int axis, bool keepdims) { return arg(c, "argmin", TSR_REDUCE_MIN, x,
        axis, keepdims); }

static tsr_node *cumulate(tsr_ctx *c, const char *what, tsr_reduce op, tsr_node *x, int axis) {
    x = countable(c, x);
    if (build_bad(c, 1, &x) || (axis = build_axis(c, what, x, axis)) < 0) return tsr_poison(c);
    return tsr_prim_cumulate(c, x, op, axis, false);
}
tsr_node *tsr_cumsum(tsr_ctx *c, tsr_node *x, int axis) { return cumulate(c, "cumsum", TSR_REDUCE_SUM, x, axis); }
tsr_node *tsr_cumprod(tsr_ctx *c, tsr_node *x, int axis) { return cumulate(c, "cumprod", TSR_REDUCE_PROD, x, axis); }
