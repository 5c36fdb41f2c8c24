/* build_form.c: reshaping, joining, cutting, filling: the form builders of ops.h.
 *
 * Extents may be symbolic wherever the sense allows: reshape's -1 is a quotient, roll's cut a remainder. Only what
 * must know a count while building (split into nodes, select) asks for a constant. */
#include "graph/build.h"

tsr_node *build_iota(tsr_ctx *c, tsr_dtype t, int rank, const tsr_extent *const *extent, int axis) {
    const tsr_type *type = tsr_type_tensor(c, t, rank, extent);
    return type ? tsr_prim_iota(c, type, axis) : tsr_poison(c);
}

/* The extent's value: a literal, or the last number of 0, 1, ..., e. */
tsr_node *build_extent(tsr_ctx *c, const tsr_extent *e, tsr_dtype t) {
    int64_t v;
    const tsr_extent *one = tsr_extent_int(c, 1), *next = e && one ? tsr_extent_add(c, e, one) : NULL;
    const tsr_type *scalar = tsr_type_tensor(c, t, 0, NULL);
    if (!next || !scalar) return tsr_poison(c);
    if (tsr_extent_is_int(e, &v)) return dtype_is_int(t) ? tsr_scalar_int(c, t, v) : tsr_scalar_float(c, t, (double)v);
    tsr_node *count = build_iota(c, TSR_I64, 1, &next, 0);
    return tsr_prim_reshape(c, tsr_cast(c, tsr_prim_slice(c, count, &e, &next, (int64_t[]){1}), t), scalar);
}

/* ---- shape ---- */

tsr_node *tsr_reshape_extents(tsr_ctx *c, tsr_node *x, int rank, const tsr_extent *const *extent) {
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    const tsr_type *t = tsr_type_tensor(c, x->type->dtype, rank, extent);
    return !t ? tsr_poison(c) : t == x->type ? x : tsr_prim_reshape(c, x, t);
}

/* What -1 stands for: all elements over the product of the other extents. */
static const tsr_extent *remaining(tsr_ctx *c, const tsr_node *x, int rank, const int64_t *dim,
                                   const tsr_extent *const *extent) {
    const tsr_extent *known = tsr_extent_int(c, 1), *all = type_elements(c, x->type);
    int64_t n, k;
    for (int i = 0; i < rank && known; i++)
        if (dim[i] >= 0) known = tsr_extent_mul(c, known, extent[i]);
    if (!known || !all) return NULL;
    bool fixed = tsr_extent_is_int(all, &n) && tsr_extent_is_int(known, &k);
    if (extent_is(known, 0) || (fixed && n % k))
        return build_fail(c,
                          "reshape: %s into a shape with a -1 whose other extents multiply to %s: that does not divide "
                          "its elements",
                          type_text(c, x->type), extent_text(c, known)), NULL;
    return tsr_extent_floordiv(c, all, known);
}

tsr_node *tsr_reshape(tsr_ctx *c, tsr_node *x, int rank, const int64_t *dim) {
    const tsr_extent *extent[TSR_MAX_RANK];
    int open = -1;
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    if (rank < 0 || rank > TSR_MAX_RANK) return build_fail(c, "reshape: %d axes; 0 to %d are possible", rank,
                                                           TSR_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        if (dim[i] < -1 || (dim[i] == -1 && open >= 0))
            return build_fail(c, "reshape: extent %d is %lld; extents are 0 or more, and one may be -1", i,
                              (long long)dim[i]);
        if (dim[i] == -1) open = i;
        else if (!(extent[i] = tsr_extent_int(c, dim[i]))) return tsr_poison(c);
    }
    if (open >= 0 && !(extent[open] = remaining(c, x, rank, dim, extent))) return tsr_poison(c);
    return tsr_reshape_extents(c, x, rank, extent);
}

tsr_node *tsr_flatten(tsr_ctx *c, tsr_node *x, int first, int last) {
    const tsr_extent *extent[TSR_MAX_RANK];
    if (build_bad(c, 1, &x) || (first = build_axis(c, "flatten", x, first)) < 0 ||
        (last = build_axis(c, "flatten", x, last)) < 0) return tsr_poison(c);
    if (last < first) return build_fail(c, "flatten: the last axis (%d) comes before the first (%d)", last, first);
    int rank = 0;
    for (int i = 0; i < x->type->rank; i++) {
        bool join = i > first && i <= last;
        if (!join) extent[rank++] = x->type->extent[i];
        else if (!(extent[rank - 1] = tsr_extent_mul(c, extent[rank - 1], x->type->extent[i]))) return tsr_poison(c);
    }
    return tsr_reshape_extents(c, x, rank, extent);
}

tsr_node *tsr_squeeze(tsr_ctx *c, tsr_node *x, int axis) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "squeeze", x, axis)) < 0) return tsr_poison(c);
    if (!extent_is(x->type->extent[axis], 1)) return build_fail(c, "squeeze: axis %d of %s is not 1", axis,
                                                                type_text(c, x->type));
    return tsr_prim_reshape(c, x, type_drop_axis(c, x->type, axis));
}

tsr_node *tsr_unsqueeze(tsr_ctx *c, tsr_node *x, int axis) {
    if (build_bad(c, 1, &x) || (axis = build_axis_in(c, "unsqueeze", x->type->rank + 1, axis)) < 0) return
        tsr_poison(c);
    if (x->type->rank == TSR_MAX_RANK) return build_fail(c, "unsqueeze: %s has %d axes, the most there can be",
                                                         type_text(c, x->type), TSR_MAX_RANK);
    return tsr_prim_reshape(c, x, type_insert_axis(c, x->type, axis, tsr_extent_int(c, 1)));
}

tsr_node *tsr_transpose(tsr_ctx *c, tsr_node *x, const int *perm) {
    int64_t p[TSR_MAX_RANK];
    bool same = true, on[TSR_MAX_RANK] = {false};
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    for (int i = 0; i < x->type->rank; i++) {
        int a = perm ? build_axis(c, "transpose", x, perm[i]) : x->type->rank - 1 - i;
        if (a < 0) return tsr_poison(c);
        if (on[a]) return build_fail(c, "transpose: axis %d is named twice", a);
        on[p[i] = a] = true;
        same &= a == i;
    }
    return same ? x : tsr_prim_transpose(c, x, p);
}

tsr_node *tsr_move_axis(tsr_ctx *c, tsr_node *x, int from, int to) {
    int perm[TSR_MAX_RANK];
    if (build_bad(c, 1, &x) || (from = build_axis(c, "move_axis", x, from)) < 0 ||
        (to = build_axis(c, "move_axis", x, to)) < 0) return tsr_poison(c);
    for (int i = 0, k = 0; i < x->type->rank; i++) {
        if (k == from) k++;
        perm[i] = i == to ? from : k++;
    }
    return tsr_transpose(c, x, perm);
}

tsr_node *tsr_swap_axes(tsr_ctx *c, tsr_node *x, int a, int b) {
    int perm[TSR_MAX_RANK];
    if (build_bad(c, 1, &x) || (a = build_axis(c, "swap_axes", x, a)) < 0 || (b = build_axis(c, "swap_axes", x, b)) <
        0) return tsr_poison(c);
    for (int i = 0; i < x->type->rank; i++) perm[i] = i == a ? b : i == b ? a : i;
    return tsr_transpose(c, x, perm);
}

/* ---- joining ---- */

/* n operands in one dtype; false: poison among them. */
static bool one_dtype(tsr_ctx *c, int n, tsr_node *const *x, tsr_node **out) {
    if (n < 1) return build_fail(c, "concat, stack: of no operands"), false;
    if (build_bad(c, n, x)) return false;
    tsr_dtype t = x[0]->type->dtype;
    for (int i = 1; i < n; i++) t = tsr_promote(t, x[i]->type->dtype);
    for (int i = 0; i < n; i++)
        if (tsr_is_poison(out[i] = tsr_cast(c, x[i], t))) return false;
    return true;
}

tsr_node *tsr_concat(tsr_ctx *c, int n, tsr_node *const *x, int axis) {
    tsr_node **own = mem_array(c, (size_t)(n < 1 ? 1 : n), sizeof *own), *r = tsr_poison(c);
    if (own && one_dtype(c, n, x, own) && (axis = build_axis(c, "concat", own[0], axis)) >= 0) r = n == 1 ? own[0] :
        tsr_prim_concat(c, n, own, axis);
    mem_array_free(c, own, (size_t)(n < 1 ? 1 : n), sizeof *own);
    return r;
}

tsr_node *tsr_stack(tsr_ctx *c, int n, tsr_node *const *x, int axis) {
    if (n < 1) return build_fail(c, "stack: of no operands");
    if (build_bad(c, n, x) || (axis = build_axis_in(c, "stack", x[0]->type->rank + 1, axis)) < 0) return tsr_poison(c);
    tsr_node **own = mem_array(c, (size_t)n, sizeof *own), *r = tsr_poison(c);
    for (int i = 0; own && i < n; i++) own[i] = tsr_unsqueeze(c, x[i], axis);
    if (own) r = tsr_concat(c, n, own, axis);
    mem_array_free(c, own, (size_t)n, sizeof *own);
    return r;
}

/* ---- cutting ---- */

/* x[start:limit:step] on one axis, whole on the others. */
static tsr_node *cut(tsr_ctx *c, tsr_node *x, int axis, const tsr_extent *start, const tsr_extent *limit,
                     int64_t step) {
    const tsr_extent *lo[TSR_MAX_RANK], *hi[TSR_MAX_RANK], *zero = tsr_extent_int(c, 0);
    int64_t by[TSR_MAX_RANK];
    if (!zero || !start || !limit) return tsr_poison(c);
    for (int i = 0; i < x->type->rank; i++) {
        lo[i] = i == axis ? start : zero;
        hi[i] = i == axis ? limit : x->type->extent[i];
        by[i] = i == axis ? step : 1;
    }
    return tsr_prim_slice(c, x, lo, hi, by);
}

/* A Python index of a slice: from the end when negative, clipped to the extent. */
static const tsr_extent *bound(tsr_ctx *c, const tsr_extent *e, int64_t v) {
    const tsr_extent *zero = tsr_extent_int(c, 0);
    if (!zero || v == INT64_MAX) return zero ? e : NULL;
    const tsr_extent *at = tsr_extent_int(c, v);
    if (!at) return NULL;
    return v < 0 ? tsr_extent_max(c, tsr_extent_add(c, e, at), zero) : tsr_extent_min(c, at, e);
}

tsr_node *tsr_slice(tsr_ctx *c, tsr_node *x, int axis, int64_t start, int64_t stop, int64_t step) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "slice", x, axis)) < 0) return tsr_poison(c);
    if (step < 1) return build_fail(c, "slice: step %lld; it must be 1 or more (tsr_flip reverses)", (long long)step);
    const tsr_extent *e = x->type->extent[axis], *lo = bound(c, e, start), *hi = bound(c, e, stop);
    return lo && hi ? cut(c, x, axis, lo, tsr_extent_max(c, lo, hi), step) : tsr_poison(c);
}

tsr_node *tsr_select(tsr_ctx *c, tsr_node *x, int axis, int64_t index) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "select", x, axis)) < 0) return tsr_poison(c);
    int64_t n;
    const tsr_extent *e = x->type->extent[axis], *at = tsr_extent_int(c, index), *one = tsr_extent_int(c, 1);
    if (!at || !one) return tsr_poison(c);
    if (tsr_extent_is_int(e, &n) && (index < -n || index >= n))
        return build_fail(c, "select: index %lld on axis %d of %s", (long long)index, axis, type_text(c, x->type));
    if (index < 0 && !(at = tsr_extent_add(c, e, at))) return tsr_poison(c);
    tsr_node *row = cut(c, x, axis, at, tsr_extent_add(c, at, one), 1);
    return tsr_is_poison(row) ? row : tsr_prim_reshape(c, row, type_drop_axis(c, x->type, axis));
}

tsr_status tsr_split(tsr_ctx *c, tsr_node *x, int parts, int axis, tsr_node **out) {
    for (int i = 0; i < parts; i++) out[i] = tsr_poison(c);
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "split", x, axis)) < 0) return tsr_error_status(c);
    int64_t n;
    const tsr_extent *e = x->type->extent[axis];
    if (parts < 1 || (tsr_extent_is_int(e, &n) && n % parts))
        return err_set(c, TSR_EINVAL, "split: axis %d of %s into %d equal parts", axis, type_text(c, x->type), parts);
    const tsr_extent *size = tsr_extent_floordiv(c, e, tsr_extent_int(c, parts)), *at = tsr_extent_int(c, 0);
    for (int i = 0; i < parts && size && at; i++) {
        const tsr_extent *next = tsr_extent_add(c, at, size);
        out[i] = cut(c, x, axis, at, next, 1);
        at = next;
    }
    return parts && tsr_is_poison(out[parts - 1]) ? tsr_error_status(c) : TSR_OK;
}

tsr_node *tsr_pad(tsr_ctx *c, tsr_node *x, const int64_t *low, const int64_t *high, double value) {
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    return tsr_prim_pad_ints(c, x, tsr_num(c, x, value), low, high, NULL);
}

tsr_node *tsr_flip(tsr_ctx *c, tsr_node *x, int n, const int *axes) {
    int64_t ax[TSR_MAX_RANK];
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    if (n > x->type->rank) return build_fail(c, "flip: %d axes of %s", n, type_text(c, x->type));
    for (int i = 0; i < n; i++)
        if ((ax[i] = build_axis(c, "flip", x, axes[i])) < 0) return tsr_poison(c);
    return n ? tsr_prim_reverse(c, x, n, ax) : x;
}

tsr_node *tsr_roll(tsr_ctx *c, tsr_node *x, int64_t shift, int axis) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "roll", x, axis)) < 0) return tsr_poison(c);
    const tsr_extent *e = x->type->extent[axis], *zero = tsr_extent_int(c, 0), *by = tsr_extent_int(c, shift);
    if (extent_is(e, 0) || !zero || !by) return zero && by ? x : tsr_poison(c);
    const tsr_extent *k = tsr_extent_mod(c, by, e), *at = k ? tsr_extent_sub(c, e, k) : NULL;
    tsr_node *part[2] = {cut(c, x, axis, at, e, 1), cut(c, x, axis, zero, at, 1)};
    return build_bad(c, 2, part) ? tsr_poison(c) : tsr_prim_concat(c, 2, part, axis);
}

tsr_node *tsr_repeat(tsr_ctx *c, tsr_node *x, int axis, int64_t times) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "repeat", x, axis)) < 0) return tsr_poison(c);
    if (times < 0 || x->type->rank == TSR_MAX_RANK) return build_fail(c, "repeat: %s %lld times", type_text(c, x->type),
                                                                      (long long)times);
    const tsr_type *t = type_insert_axis(c, x->type, axis + 1, tsr_extent_int(c, times));
    int64_t axes[TSR_MAX_RANK];
    for (int i = 0; i < x->type->rank; i++) axes[i] = i <= axis ? i : i + 1;
    return t ? tsr_flatten(c, tsr_prim_broadcast(c, x, t, axes), axis, axis + 1) : tsr_poison(c);
}

/* ---- filling ---- */

tsr_node *tsr_arange(tsr_ctx *c, tsr_dtype t, double start, double stop, double step) {
    double count = ceil((stop - start) / step);
    if (step == 0 || !(count < 9e15)) return build_fail(c, "arange: from %g to %g by %g", start, stop, step);
    const tsr_type *type = tsr_type_dims(c, t, 1, (int64_t[]){count > 0 ? (int64_t)count : 0});
    tsr_node *i = type ? tsr_prim_iota(c, type, 0) : tsr_poison(c);
    if (step != 1) i = build_num2(c, TSR_S_MUL, i, step);
    return start != 0 ? build_num2(c, TSR_S_ADD, i, start) : i;
}

/* row + diagonal >= column over the last two axes, as bools of that shape. */
static tsr_node *lower_mask(tsr_ctx *c, int rank, const tsr_extent *const *extent, int64_t diagonal) {
    tsr_node *row = build_iota(c, TSR_I64, rank, extent, rank - 2),
        *col = build_iota(c, TSR_I64, rank, extent, rank - 1);
    return tsr_prim2(c, TSR_S_GE, build_num2(c, TSR_S_ADD, row, (double)diagonal), col);
}

tsr_node *tsr_eye(tsr_ctx *c, tsr_dtype t, int64_t rows, int64_t cols) {
    const tsr_type *type = tsr_type_dims(c, TSR_I64, 2, (int64_t[]){rows, cols});
    if (!type) return tsr_poison(c);
    return tsr_cast(c, tsr_prim2(c, TSR_S_EQ, tsr_prim_iota(c, type, 0), tsr_prim_iota(c, type, 1)), t);
}

static tsr_node *triangle(tsr_ctx *c, const char *what, tsr_node *x, int64_t diagonal, bool lower) {
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    if (x->type->rank < 2) return build_fail(c, "%s: of %s; two axes are needed", what, type_text(c, x->type));
    tsr_node *mask = lower_mask(c, x->type->rank, x->type->extent, lower ? diagonal : diagonal - 1),
        *zero = rule_full_like(c, x, 0);
    return tsr_prim3(c, TSR_S_SELECT, mask, lower ? x : zero, lower ? zero : x);
}
tsr_node *tsr_tril(tsr_ctx *c, tsr_node *x, int64_t diagonal) { return triangle(c, "tril", x, diagonal, true); }
tsr_node *tsr_triu(tsr_ctx *c, tsr_node *x, int64_t diagonal) { return triangle(c, "triu", x, diagonal, false); }
