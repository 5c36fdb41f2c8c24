/* import_body.c: scalar bodies on whole tensors, and folds with them.
 *
 * A fold along an axis of n elements takes about log2 n applications of the body, each on whole tensors: neighbours are
 * combined in pairs, the odd one out waits. Short windows are folded one element after the other, as the reference
 * interpreter does; long ones use that overlapping windows share their parts: with f_1 = x and
 * f_2m[i] = f_m[i] o f_m[i + m d] every window is a product of the f of powers of two, in order. All are trees of the
 * kind that the specification of reduce admits: in-order over the elements. */
#include <math.h>

#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"
#include "tessera/transform.h"

enum { WINDOW_SHORT = 8 };

/* ---- bodies ----------------------------------------------------------------------------------------------------- */

tsr_node *imp_as(tsr_ctx *c, tsr_node *x, tsr_dtype t) {
    return tsr_is_poison(x) || tsr_node_dtype(x) == t ? x : tsr_prim_convert(c, x, t);
}

tsr_node *imp_spread(tsr_ctx *c, tsr_node *scalar, const tsr_node *like) {
    if (tsr_is_poison(scalar) || tsr_is_poison(like)) return tsr_poison(c);
    return tsr_node_rank(scalar) == tsr_node_rank(like) ? scalar : tsr_broadcast_like(c, scalar, like);
}

static const tsr_extent *elements_of(tsr_ctx *c, const tsr_node *x) {
    const tsr_extent *n = tsr_extent_int(c, 1);
    for (int a = 0; n && a < tsr_node_rank(x); a++) n = tsr_extent_mul(c, n, tsr_node_extent(x, a));
    return n;
}

/* The body as a fn of scalars, spread over the flattened arguments. */
static bool apply_spread(struct imp *p, const struct hlo_op *op, int region, int narg, tsr_node *const *arg, int nout,
    tsr_node **out) {
    tsr_ctx *c = p->c;
    tsr_node *flat[2 * IMP_BODY_MAX];
    const tsr_extent *count = elements_of(c, arg[0]);
    tsr_fn *scalar = imp_region_fn(p, &op->region[region], "body"), *spread = NULL;
    if (scalar && count) spread = tsr_vmap(c, scalar, NULL, NULL, count);
    bool ok = spread && (tsr_fn_results(spread) == nout ||
        imp_fail(p, op, "its body gives %d values, %d are needed", tsr_fn_results(spread), nout));
    for (int i = 0; ok && i < narg; i++) flat[i] = tsr_reshape_extents(c, arg[i], 1, &count);
    if (ok) tsr_fn_inline(c, spread, narg, flat, out);
    tsr_fn_free(c, spread), tsr_fn_free(c, scalar);
    for (int i = 0; ok && i < nout; i++)
        if (tsr_is_poison(out[i] = tsr_reshape_extents(c, out[i], tsr_node_rank(arg[0]),
            tsr_node_type(arg[0])->extent))) ok = false;
    return ok;
}

bool imp_body_apply(struct imp *p, const struct hlo_op *op, int region, int narg, tsr_node *const *arg, int nout,
    tsr_node **out) {
    tsr_node *x[2 * IMP_BODY_MAX];
    if (region >= op->nregion || op->region[region].nblock != 1)
        return imp_fail(p, op, "it needs %d bodies of one block each", region + 1);
    const struct hlo_region *r = &op->region[region];
    const struct hlo_block *b = &r->block[0];
    if (narg < 1 || narg > 2 * IMP_BODY_MAX || b->narg != narg)
        return imp_fail(p, op, "its body has %d arguments, %d are needed", b->narg, narg);
    for (int i = 0; i < narg; i++) {
        const struct hlo_type *t = b->arg[i].type;
        if (t->kind != HLO_T_TENSOR || t->rank) return imp_fail(p, op, "argument %d of its body is no scalar", i);
        if (tsr_is_poison(x[i] = imp_as(p->c, arg[i], imp_dtype(t)))) return false;
    }
    if (!imp_region_lifts(r)) return apply_spread(p, op, region, narg, x, nout, out);
    if (!imp_region_inline(p, r, narg, x, nout, out)) return false;
    for (int i = 0; i < nout; i++)
        if (tsr_is_poison(out[i] = imp_spread(p->c, out[i], x[0]))) return false;
    return true;
}

static bool run_body(struct imp *p, const struct hlo_op *op, const void *user, int n, tsr_node *const *a,
    tsr_node *const *b, tsr_node **out) {
    tsr_node *arg[2 * IMP_BODY_MAX];
    (void)user;
    if (n > IMP_BODY_MAX) return imp_fail(p, op, "it combines %d values at once; at most %d", n, IMP_BODY_MAX);
    for (int i = 0; i < n; i++) arg[i] = a[i], arg[n + i] = b[i];
    return imp_body_apply(p, op, 0, 2 * n, arg, n, out);
}
const struct imp_combine imp_combine_body = {.run = run_body};

/* ---- folds ------------------------------------------------------------------------------------------------------ */

tsr_node *imp_cut(tsr_ctx *c, tsr_node *x, int axis, const tsr_extent *from, const tsr_extent *to, int64_t step) {
    const tsr_extent *start[TSR_MAX_RANK], *limit[TSR_MAX_RANK];
    int64_t stride[TSR_MAX_RANK];
    if (tsr_is_poison(x) || !from || !to) return tsr_poison(c);
    for (int a = 0; a < tsr_node_rank(x); a++) {
        start[a] = tsr_extent_int(c, 0), limit[a] = tsr_node_extent(x, a), stride[a] = 1;
        if (!start[a]) return tsr_poison(c);
    }
    start[axis] = from, limit[axis] = to, stride[axis] = step;
    return from == tsr_extent_int(c, 0) && to == tsr_node_extent(x, axis) && step == 1
        ? x : tsr_prim_slice(c, x, start, limit, stride);
}

static tsr_node *cut_ints(tsr_ctx *c, tsr_node *x, int axis, int64_t from, int64_t to, int64_t step) {
    return imp_cut(c, x, axis, tsr_extent_int(c, from), tsr_extent_int(c, to), step);
}

/* Neighbours of the first axis combined in pairs: m elements become (m + 1) / 2. */
static bool fold_pairs(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x,
    int64_t m) {
    tsr_node *even[IMP_BODY_MAX] = {NULL}, *odd[IMP_BODY_MAX] = {NULL}, *y[IMP_BODY_MAX];
    for (int i = 0; i < n; i++) {
        even[i] = cut_ints(p->c, x[i], 0, 0, m - m % 2, 2);
        odd[i] = cut_ints(p->c, x[i], 0, 1, m - m % 2, 2);
    }
    if (!how->run(p, op, how->user, n, even, odd, y)) return false;
    for (int i = 0; i < n; i++) {
        tsr_node *part[2] = {y[i], imp_as(p->c, cut_ints(p->c, x[i], 0, m - 1, m, 1), tsr_node_dtype(y[i]))};
        x[i] = m % 2 ? tsr_prim_concat(p->c, 2, part, 0) : y[i];
    }
    return !tsr_is_poison(x[0]);
}

bool imp_fold_first(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x) {
    if (n > IMP_BODY_MAX) return imp_fail(p, op, "it combines %d values at once; at most %d", n, IMP_BODY_MAX);
    for (int64_t m = tsr_node_dim(x[0], 0); m > 1; m = (m + 1) / 2)
        if (!fold_pairs(p, op, how, n, x, m)) return false;
    for (int i = 0; i < n; i++)
        if (tsr_is_poison(x[i] = tsr_squeeze(p->c, x[i], 0))) return false;
    return true;
}

/* x[i + offset], for i below length. */
static void shift(tsr_ctx *c, int n, tsr_node *const *x, int axis, int64_t offset, const tsr_extent *length,
    tsr_node **out) {
    const tsr_extent *from = tsr_extent_int(c, offset), *to = from ? tsr_extent_add(c, length, from) : NULL;
    for (int i = 0; i < n; i++) out[i] = imp_cut(c, x[i], axis, from, to, 1);
}

static bool fold_short(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x,
    int axis, int64_t window, int64_t dilation, const tsr_extent *length) {
    tsr_node *f[IMP_BODY_MAX], *a[IMP_BODY_MAX], *b[IMP_BODY_MAX];
    for (int i = 0; i < n; i++) f[i] = x[i];
    shift(p->c, n, f, axis, 0, length, x);
    for (int64_t m = 1; m < window; m++) {
        shift(p->c, n, f, axis, m * dilation, length, b);
        for (int i = 0; i < n; i++) a[i] = x[i];
        if (!how->run(p, op, how->user, n, a, b, x)) return false;
    }
    return !tsr_is_poison(x[0]);
}

bool imp_fold_window(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x,
    int axis, int64_t window, int64_t dilation) {
    tsr_ctx *c = p->c;
    tsr_node *f[IMP_BODY_MAX], *a[IMP_BODY_MAX], *b[IMP_BODY_MAX];
    if (n > IMP_BODY_MAX) return imp_fail(p, op, "it combines %d values at once; at most %d", n, IMP_BODY_MAX);
    const tsr_extent *extent = tsr_node_extent(x[0], axis), *span = tsr_extent_int(c, (window - 1) * dilation);
    const tsr_extent *length = span ? tsr_extent_sub(c, extent, span) : NULL;
    int64_t done = 0; /* elements in x[]; f[] is f_m */
    if (length && window <= WINDOW_SHORT) return fold_short(p, op, how, n, x, axis, window, dilation, length);
    for (int i = 0; i < n; i++) f[i] = x[i];
    for (int64_t m = 1; length && m <= window; m *= 2) {
        if (window & m) {
            shift(c, n, f, axis, done * dilation, length, b);
            for (int i = 0; i < n; i++) a[i] = x[i];
            if (!done) for (int i = 0; i < n; i++) x[i] = b[i];
            else if (!how->run(p, op, how->user, n, a, b, x)) return false;
            done += m;
        }
        if (2 * m > window) break;
        const tsr_extent *pairs = tsr_extent_int(c, (2 * m - 1) * dilation);
        const tsr_extent *rest = pairs ? tsr_extent_sub(c, extent, pairs) : NULL;
        if (!rest) return false;
        shift(c, n, f, axis, 0, rest, a), shift(c, n, f, axis, m * dilation, rest, b);
        if (!how->run(p, op, how->user, n, a, b, f)) return false;
    }
    return length && !tsr_is_poison(x[0]);
}

/* ---- literals and positions ------------------------------------------------------------------------------------- */

/* The scalar literal that combining with leaves every value of dtype t as it is; NULL: t has none for `how`. */
static tsr_node *identity(tsr_ctx *c, tsr_dtype t, tsr_reduce how) {
    const struct tsr_dtype_info *d = tsr_dtype_of(t);
    bool real = d->kind == TSR_KIND_FLOAT, uns = d->kind == TSR_KIND_UINT, truth = t == TSR_BOOL;
    int64_t greatest = d->bits > 64 ? 0 : (int64_t)(((uint64_t)1 << (d->bits - 1)) - 1);
    if (d->kind == TSR_KIND_COMPLEX && how != TSR_REDUCE_SUM && how != TSR_REDUCE_PROD) return NULL;
    switch (how) {
    case TSR_REDUCE_SUM:
    case TSR_REDUCE_OR:
    case TSR_REDUCE_XOR: return tsr_scalar_float(c, t, 0);
    case TSR_REDUCE_PROD: return tsr_scalar_float(c, t, 1);
    case TSR_REDUCE_AND: return tsr_scalar_int(c, t, truth ? 1 : -1);
    case TSR_REDUCE_MAX:
        return real ? tsr_scalar_float(c, t, -INFINITY) : tsr_scalar_int(c, t, uns || truth ? 0 : -greatest - 1);
    case TSR_REDUCE_MIN:
        return real ? tsr_scalar_float(c, t, INFINITY) : tsr_scalar_int(c, t, truth ? 1 : uns ? -1 : greatest);
    default: return NULL;
    }
}

bool imp_is_identity(tsr_ctx *c, tsr_node *n, tsr_reduce how) {
    return !tsr_is_poison(n) && n == identity(c, tsr_node_dtype(n), how); /* equal literals are one node */
}

tsr_node *imp_positions(tsr_ctx *c, const tsr_node *like) {
    const tsr_extent *n = elements_of(c, like);
    const tsr_type *line = n ? tsr_type_tensor(c, TSR_I64, 1, &n) : NULL;
    return line ? tsr_reshape_extents(c, tsr_prim_iota(c, line, 0), tsr_node_rank(like), tsr_node_type(like)->extent)
                : tsr_poison(c);
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

bool imp_ints(struct imp *p, const struct hlo_op *op, const char *name, int n, int64_t fallback, int64_t *out) {
    int have = 0;
    const int64_t *v = hlo_get_ints(op, name, &have);
    if (hlo_get(op, name) && have != n)
        return imp_fail(p, op, "%s has %d entries, %d are needed", name, have, n);
    for (int i = 0; i < n; i++) out[i] = v && have ? v[i] : fallback;
    return true;
}

bool imp_padding(struct imp *p, const struct hlo_op *op, int n, int64_t *low, int64_t *high) {
    const struct hlo_attr *a = hlo_get(op, "padding");
    int64_t v[2 * TSR_MAX_RANK];
    for (int i = 0; i < n; i++) low[i] = high[i] = 0;
    if (!a) return true;
    if (a->kind != HLO_A_ELEMENTS || a->type->rank != 2 || n > TSR_MAX_RANK || hlo_type_count(a->type) != 2 * n)
        return imp_fail(p, op, "padding must be a tensor<%dx2xi64>", n);
    if (!hlo_elements_ints(p->c, a, v)) return false;
    for (int i = 0; i < 2 * n; i++)
        if (v[i] < INT32_MIN || v[i] > INT32_MAX)
            return imp_fail(p, op, "padding of %lld elements on axis %d is out of reach", (long long)v[i], i / 2);
    for (int i = 0; i < n; i++) low[i] = v[2 * i], high[i] = v[2 * i + 1];
    return true;
}

bool imp_axes(struct imp *p, const struct hlo_op *op, const struct hlo_attr *dims, const char *field, int *n,
    int64_t *out) {
    const int64_t *v = hlo_attr_ints_of(hlo_field(dims, field), n);
    if (*n > TSR_MAX_RANK) return imp_fail(p, op, "%s lists %d axes; at most %d", field, *n, TSR_MAX_RANK);
    for (int i = 0; i < *n; i++) out[i] = v[i];
    return true;
}

bool imp_operands(struct imp *p, const struct hlo_op *op, int n, tsr_node **out) {
    if (op->noperand != n) return imp_fail(p, op, "it takes %d operands, %d are given", n, op->noperand);
    for (int i = 0; i < n; i++)
        if (tsr_is_poison(out[i] = imp_operand(p, op, i))) return false;
    return true;
}
