/* axes.c: axis lists, window arithmetic and movement helpers of the index, reduce, window, dot and conv families
 * (axes.h).
 *
 * Window arithmetic follows the StableHLO specification of reduce_window and convolution: the source is dilated by
 * `base`, padded (negative padding crops), then windows of dilated extent are placed every `stride`. Along one axis
 * with n sources:
 *     count = max(0, floor((low + dil(n, base) + high - dil(window, dilation)) / stride) + 1)
 *     dil(n, d) = max(0, (n - 1) d + 1)
 * Its transpose reads, for source i, the results o with o stride + k dilation = low + i base: again a window op,
 * with stride and base exchanged, the window mirrored, and paddings that make its count n. */
#include "graph/axes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct attr *draft_attr(const struct draft *d, enum attr_key k) {
    for (int i = 0; i < d->nattr; i++)
        if (d->attr[i].key == k) return &d->attr[i];
    TSR_BUG("a draft of op %d lacks attribute %s", (int)d->op, attr_name(k));
}

/* ---- lists of axes ---------------------------------------------------------------------------------------------- */

bool axes_check(tsr_ctx *c, const char *op, const char *what, size_t n, const int64_t *axis, int rank) {
    uint32_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        if (axis[i] < 0 || axis[i] >= rank) {
            err_set(c, TSR_EINVAL, "%s: %s[%zu] = %" PRId64 " is not an axis: with rank %d, axes count from 0 up to, "
                    "not including, %d", op, what, i, axis[i], rank, rank);
            return false;
        }
        if (seen >> axis[i] & 1) {
            err_set(c, TSR_EINVAL, "%s: %s names axis %" PRId64 " twice; name each axis once", op, what, axis[i]);
            return false;
        }
        seen |= 1u << axis[i];
    }
    return true;
}

bool axes_check_sorted(tsr_ctx *c, const char *op, const char *what, size_t n, const int64_t *axis) {
    for (size_t i = 1; i < n; i++)
        if (axis[i - 1] >= axis[i]) {
            err_set(c, TSR_EINVAL, "%s: %s must ascend, but %" PRId64 " comes before %" PRId64, op, what, axis[i - 1],
                    axis[i]);
            return false;
        }
    return true;
}

bool axes_has(size_t n, const int64_t *axis, int64_t a) {
    for (size_t i = 0; i < n; i++)
        if (axis[i] == a) return true;
    return false;
}

int axes_rest(int rank, size_t n1, const int64_t *a1, size_t n2, const int64_t *a2, int64_t *out) {
    int n = 0;
    for (int a = 0; a < rank; a++)
        if (!axes_has(n1, a1, a) && !axes_has(n2, a2, a)) out[n++] = a;
    return n;
}

int axes_shift(int64_t first, size_t n, const int64_t *axis, int64_t *out) {
    int count = 0;
    if (first >= 0) out[count++] = first;
    for (size_t i = 0; i < n; i++) out[count++] = axis[i] + 1;
    return count;
}

bool axes_is_tensor(tsr_ctx *c, const char *op, const tsr_type *t) {
    if (t->kind == TSR_TENSOR) return true;
    err_set(c, TSR_EINVAL, "%s: the operand is %s, not a tensor; take one of its items with tsr_item", op,
            type_text(c, t));
    return false;
}

bool axes_is_plain(tsr_ctx *c, const char *op, const tsr_type *t) {
    if (!axes_is_tensor(c, op, t)) return false;
    if (tsr_dtype_of(t->dtype)->kind != TSR_KIND_BLOCK) return true;
    err_set(c, TSR_EINVAL, "%s: %s holds quantised blocks, which are not taken apart; convert it to f32 first", op,
            type_text(c, t));
    return false;
}

bool axes_poison(int n, tsr_node *const *x) {
    for (int i = 0; i < n; i++)
        if (tsr_is_poison(x[i])) return true;
    return false;
}

tsr_node *axes_index64(tsr_ctx *c, tsr_node *x) {
    if (!tsr_is_poison(x) && tsr_node_dtype(x) == TSR_U64) x = tsr_prim2(c, TSR_S_MIN, x, rule_full_like(c, x, 0x1p62));
    return axes_convert(c, x, TSR_I64);
}

int64_t ref_index(const struct ref_tensor *t, int64_t at) {
    struct ref_val v = ref_get(t, at);
    return tsr_dtype_of(t->dtype)->kind == TSR_KIND_INT ? v.i : v.u > INT64_MAX ? INT64_MAX : (int64_t)v.u;
}

/* ---- extents ---------------------------------------------------------------------------------------------------- */

bool extent_require_le(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b, const char *fmt, ...) {
    char why[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    if (a == b) return true;
    const tsr_extent *both = tsr_extent_max(c, a, b);
    return both && extent_require_equal(c, both, b, "%s", why);
}

const tsr_extent *extent_plus(tsr_ctx *c, const tsr_extent *e, int64_t k) {
    return tsr_extent_add(c, e, tsr_extent_int(c, k));
}

const tsr_extent *extent_dilated(tsr_ctx *c, const tsr_extent *n, int64_t d) {
    if (d == 1) return n;
    const tsr_extent *e = tsr_extent_mul(c, extent_plus(c, n, -1), tsr_extent_int(c, d));
    return tsr_extent_max(c, tsr_extent_int(c, 0), extent_plus(c, e, 1));
}

int64_t axis_window_at(const struct axis_window *w, int64_t extent, int64_t o, int64_t k) {
    int64_t at = o * w->stride + k * w->dilation - w->low;
    return at < 0 || at % w->base || at / w->base >= extent ? -1 : at / w->base;
}

const tsr_extent *axis_window_count(tsr_ctx *c, const tsr_extent *n, const tsr_extent *window,
                                    const struct axis_window *w) {
    const tsr_extent *room = tsr_extent_sub(c, extent_plus(c, extent_dilated(c, n, w->base), w->low + w->high),
                                            extent_dilated(c, window, w->dilation));
    const tsr_extent *steps = tsr_extent_floordiv(c, room, tsr_extent_int(c, w->stride));
    return tsr_extent_max(c, tsr_extent_int(c, 0), extent_plus(c, steps, 1));
}

void axis_window_transpose(tsr_ctx *c, const tsr_extent *n, const tsr_extent *out, const tsr_extent *window,
                           const struct axis_window *w, const tsr_extent **low, const tsr_extent **high) {
    const tsr_extent *reach = tsr_extent_mul(c, extent_plus(c, window, -1), tsr_extent_int(c, w->dilation));
    *low = extent_plus(c, reach, -w->low);
    /* low + dil(out, stride) + high = dil(window, dilation) + (n - 1) base: then the count is n */
    const tsr_extent *padded = tsr_extent_mul(c, extent_plus(c, n, -1), tsr_extent_int(c, w->base));
    padded = tsr_extent_add(c, padded, extent_dilated(c, window, w->dilation));
    *high = tsr_extent_sub(c, tsr_extent_sub(c, padded, *low), extent_dilated(c, out, w->stride));
}

tsr_node *axes_pad_or_ints(tsr_ctx *c, tsr_node *x, int n, const int64_t *axis, const tsr_extent *const *low,
                           const tsr_extent *const *high, int64_t *dilation, int64_t *low_int, int64_t *high_int) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    bool ints = true;
    for (int i = 0; i < n; i++) {
        if (!low[i] || !high[i]) return tsr_poison(c);
        ints = ints && tsr_extent_is_int(low[i], &low_int[i]) && tsr_extent_is_int(high[i], &high_int[i]);
    }
    if (ints) return x;
    const tsr_extent *lo[TSR_MAX_RANK], *hi[TSR_MAX_RANK], *zero = tsr_extent_int(c, 0);
    int64_t interior[TSR_MAX_RANK] = {0};
    for (int a = 0; a < TSR_MAX_RANK; a++) lo[a] = hi[a] = zero;
    for (int i = 0; i < n; i++) {
        lo[axis[i]] = low[i], hi[axis[i]] = high[i], interior[axis[i]] = dilation[i] - 1;
        low_int[i] = high_int[i] = 0, dilation[i] = 1;
    }
    return tsr_prim_pad(c, x, tsr_scalar_float(c, tsr_node_dtype(x), 0), lo, hi, interior);
}

/* ---- movement --------------------------------------------------------------------------------------------------- */

tsr_node *axes_move(tsr_ctx *c, tsr_node *x, int from, int to) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    if (from == to) return x;
    int64_t perm[TSR_MAX_RANK];
    int rank = tsr_node_rank(x);
    for (int i = 0, next = 0; i < rank; i++) {
        if (next == from) next++;
        perm[i] = i == to ? from : next++;
    }
    return tsr_prim_transpose(c, x, perm);
}

tsr_node *axes_split(tsr_ctx *c, tsr_node *x, int axis, const tsr_extent *outer, const tsr_extent *inner) {
    if (tsr_is_poison(x) || !outer || !inner) return tsr_poison(c);
    const tsr_type *t = type_with_extent(c, x->type, axis, inner);
    t = t ? type_insert_axis(c, t, axis, outer) : NULL;
    return t ? tsr_prim_reshape(c, x, t) : tsr_poison(c);
}

tsr_node *axes_merge(tsr_ctx *c, tsr_node *x, int axis) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    const tsr_extent *both = tsr_extent_mul(c, x->type->extent[axis], x->type->extent[axis + 1]);
    const tsr_type *t = both ? type_drop_axis(c, x->type, axis) : NULL;
    t = t ? type_with_extent(c, t, axis, both) : NULL;
    return t ? tsr_prim_reshape(c, x, t) : tsr_poison(c);
}

tsr_node *axes_expand(tsr_ctx *c, tsr_node *x, const tsr_type *t, size_t n, const int64_t *axis) {
    if (tsr_is_poison(x) || !t) return tsr_poison(c);
    int64_t where[TSR_MAX_RANK];
    axes_rest(t->rank, n, axis, 0, NULL, where);
    const tsr_type *want = type_with_dtype(c, t, tsr_node_dtype(x));
    return want ? tsr_prim_broadcast(c, x, want, where) : tsr_poison(c);
}

tsr_node *axes_as(tsr_ctx *c, tsr_node *x, const tsr_type *t) {
    if (tsr_is_poison(x) || x->type == t) return x;
    return tsr_prim_reshape(c, x, t);
}

tsr_node *axes_convert(tsr_ctx *c, tsr_node *x, tsr_dtype t) {
    return tsr_is_poison(x) || tsr_node_dtype(x) == t ? x : tsr_prim_convert(c, x, t);
}

tsr_node *axes_zeros(tsr_ctx *c, const tsr_type *t) { return t ? rule_zeros(c, t) : tsr_poison(c); }

tsr_node *axes_shifted(tsr_ctx *c, tsr_node *x, int axis, int64_t by, double fill) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    int64_t low[TSR_MAX_RANK] = {0}, high[TSR_MAX_RANK] = {0};
    low[axis] = by, high[axis] = -by;
    return axes_as(c, tsr_prim_pad_ints(c, x, tsr_scalar_float(c, tsr_node_dtype(x), fill), low, high, NULL), x->type);
}

/* A symbolic extent has no op of its own: the greatest element of iota(e - lo + 1), plus lo, is its value. */
tsr_node *axes_extent_value(tsr_ctx *c, const tsr_extent *e, int64_t lo) {
    int64_t v;
    if (!e) return tsr_poison(c);
    if (tsr_extent_is_int(e, &v)) return tsr_scalar_int(c, TSR_I64, v);
    const tsr_extent *n = extent_plus(c, e, 1 - lo);
    const tsr_type *t = n ? tsr_type_tensor(c, TSR_I64, 1, &n) : NULL;
    if (!t) return tsr_poison(c);
    tsr_node *top = tsr_prim_reduce(c, tsr_prim_iota(c, t, 0), TSR_REDUCE_MAX, 1, (int64_t[]){0});
    return tsr_prim2(c, TSR_S_ADD, top, tsr_scalar_int(c, TSR_I64, lo));
}

/* ---- reductions ------------------------------------------------------------------------------------------------- */

static const struct { const char *name, *domain; } reduce_fact[TSR_REDUCE_COUNT] = {
    [TSR_REDUCE_SUM] = {"sum", "fiubc"}, [TSR_REDUCE_PROD] = {"prod", "fiubc"}, [TSR_REDUCE_MAX] = {"max", "fiubc"},
    [TSR_REDUCE_MIN] = {"min", "fiubc"}, [TSR_REDUCE_AND] = {"and", "iub"},     [TSR_REDUCE_OR] = {"or", "iub"},
    [TSR_REDUCE_XOR] = {"xor", "iub"},
};

static bool reduce_defined(int64_t op, tsr_dtype t) {
    static const char letter[] = {[TSR_KIND_FLOAT] = 'f', [TSR_KIND_INT] = 'i', [TSR_KIND_UINT] = 'u',
                                  [TSR_KIND_BOOL] = 'b', [TSR_KIND_COMPLEX] = 'c', [TSR_KIND_BLOCK] = '-'};
    return strchr(reduce_fact[op].domain, letter[tsr_dtype_of(t)->kind]) != NULL;
}

const char *reduce_name(int64_t op) { return op >= 0 && op < TSR_REDUCE_COUNT ? reduce_fact[op].name : "?"; }

bool reduce_admits(tsr_ctx *c, const char *who, int64_t op, tsr_dtype t) {
    if (op < 0 || op >= TSR_REDUCE_COUNT) {
        err_set(c, TSR_EINVAL, "%s: %" PRId64 " is not one of tsr_reduce", who, op);
        return false;
    }
    if (reduce_defined(op, t)) return true;
    err_set(c, TSR_EINVAL, "%s: %s is not defined for %s; convert the operand first", who, reduce_fact[op].name,
            tsr_dtype_name(t));
    return false;
}

tsr_reduce sample_reduce(struct sample *s) {
    int64_t op;
    do op = sample_int(s, 0, TSR_REDUCE_COUNT - 1); while (!reduce_defined(op, s->dtype));
    if (op == TSR_REDUCE_MAX || op == TSR_REDUCE_MIN) s->distinct = true;
    if (op == TSR_REDUCE_PROD && dtype_is_complex(s->dtype)) s->lo[0] = 0.3, s->hi[0] = 0.9; /* moduli below 1 */
    if (op == TSR_REDUCE_PROD && dtype_is_float(s->dtype))
        s->lo[0] = s->size ? 0.9 : 0.5, s->hi[0] = s->size ? 1.1 : 1.5;
    return (tsr_reduce)op;
}

void sample_sum_of(struct sample *s, int64_t n, double scale) {
    double eps = s->dtype == TSR_F64 || s->dtype == TSR_C128 ? 0x1p-52 : 0x1p-23, atol = eps * (double)n * scale;
    if (!dtype_is_float(s->dtype) && !dtype_is_complex(s->dtype)) return;
    if (atol > s->atol) s->atol = atol;
    if (eps * (double)n > s->rtol) s->rtol = eps * (double)n;
}
