/* import_reduce.c: reduce, reduce_window, select_and_scatter and map.
 *
 * A reduction whose body is one of tsr_reduce is that primitive, and its initial value is combined with the result
 * unless it is the identity. Any other body, of any number of values, is folded on whole tensors (import_body.h): the
 * reduced axes go to the front and become one. An axis of unknown extent is folded by a scan, one element at a time.
 *
 * Windows: padding holds the initial value, which takes part like an element (the specification pads before it
 * reduces); only where it is the identity is it left to the primitive. Windows as long as their axis that begin before
 * or end after it are running sums: cumulate. select_and_scatter picks by a body: the fold carries each element's
 * position along, padding has none and never wins; what was picked is then scattered to.
 * Source: StableHLO specification, reduce, reduce_window, select_and_scatter, map. */
#include <string.h>

#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"

/* ---- what the three reductions share ---------------------------------------------------------------------------- */

/* Operands x[n], init[n] in the element types of body 0; n is half the operands. */
struct reduction {
    int n;
    tsr_node *x[IMP_BODY_MAX], *init[IMP_BODY_MAX];
};

static bool reduction_of(struct imp *p, const struct hlo_op *op, struct reduction *r) {
    r->n = op->noperand / 2;
    if (r->n < 1 || r->n > IMP_BODY_MAX || op->noperand != 2 * r->n || op->nresult != r->n)
        return imp_fail(p, op, "%d operands and %d results; it takes 1 to %d operands, as many initial values, and "
            "gives as many results", op->noperand, op->nresult, IMP_BODY_MAX);
    if (op->nregion != 1 || op->region[0].nblock != 1 || op->region[0].block[0].narg != 2 * r->n)
        return imp_fail(p, op, "its body must be one block of %d arguments", 2 * r->n);
    const struct hlo_value *arg = op->region[0].block[0].arg;
    for (int i = 0; i < r->n; i++) {
        r->x[i] = imp_as(p->c, imp_operand(p, op, i), imp_dtype(arg[i].type));
        r->init[i] = imp_as(p->c, imp_operand(p, op, r->n + i), imp_dtype(arg[i].type));
        if (tsr_is_poison(r->x[i]) || tsr_is_poison(r->init[i])) return false;
        if (tsr_node_rank(r->init[i]))
            return imp_fail(p, op, "the initial value %d is no scalar", i);
        if (tsr_node_rank(r->x[i]) != tsr_node_rank(r->x[0]))
            return imp_fail(p, op, "operands 0 and %d have different shapes", i);
    }
    return true;
}

/* Results init o y[]: the initial value takes part once, in front. */
static bool results_with_init(struct imp *p, const struct hlo_op *op, const struct reduction *r, tsr_node *const *y) {
    tsr_node *first[IMP_BODY_MAX], *out[IMP_BODY_MAX];
    for (int i = 0; i < r->n; i++)
        if (tsr_is_poison(first[i] = imp_spread(p->c, r->init[i], y[0]))) return false;
    if (!imp_combine_body.run(p, op, NULL, r->n, first, y, out)) return false;
    for (int i = 0; i < r->n; i++)
        if (!imp_result(p, op, i, out[i])) return false;
    return true;
}

/* ---- reduce ----------------------------------------------------------------------------------------------------- */

/* The reduced axes in front, as one; the others after it in their order. */
static tsr_node *reduced_first(tsr_ctx *c, tsr_node *x, int n, const int64_t *axes) {
    int64_t perm[TSR_MAX_RANK];
    const tsr_extent *extent[TSR_MAX_RANK + 1], *count = tsr_extent_int(c, 1);
    bool reduced[TSR_MAX_RANK] = {false};
    int k = 0, kept = 1;
    if (tsr_is_poison(x)) return x;
    for (int i = 0; i < n; i++) reduced[axes[i]] = true;
    for (int pass = 0; pass < 2; pass++)
        for (int a = 0; a < tsr_node_rank(x); a++) {
            if (reduced[a] == (pass != 0)) continue;
            const tsr_extent *e = tsr_node_extent(x, a);
            perm[k++] = a;
            if (pass) extent[kept++] = e;
            else count = count ? tsr_extent_mul(c, count, e) : NULL;
        }
    extent[0] = count;
    return count ? tsr_reshape_extents(c, tsr_prim_transpose(c, x, perm), kept, extent) : tsr_poison(c);
}

/* One element after the other, from the initial value on: for axes of unknown extent. */
static bool reduce_by_scan(struct imp *p, const struct hlo_op *op, const struct reduction *r, tsr_node *const *x) {
    tsr_ctx *c = p->c;
    tsr_node *first[IMP_BODY_MAX], *acc[IMP_BODY_MAX], *item[IMP_BODY_MAX], *out[IMP_BODY_MAX];
    int rank = tsr_node_rank(x[0]) - 1;
    const tsr_extent *const *kept = tsr_node_type(x[0])->extent + 1;
    for (int i = 0; i < r->n; i++) first[i] = tsr_broadcast_to(c, r->init[i], rank, kept);
    if (tsr_fn_begin(c, "reduce")) return false;
    for (int i = 0; i < r->n; i++) acc[i] = tsr_param(c, tsr_node_type(first[i]), "acc");
    for (int i = 0; i < r->n; i++)
        item[i] = tsr_param(c, tsr_type_tensor(c, tsr_node_dtype(x[i]), rank, kept), "x");
    if (!imp_combine_body.run(p, op, NULL, r->n, acc, item, out)) return tsr_fn_abort(c), false;
    tsr_fn *body = tsr_fn_end(c, r->n, out);
    if (!body) return false;
    tsr_node *y = tsr_prim_scan(c, body, r->n, first, r->n, x, tsr_node_extent(x[0], 0), false);
    tsr_fn_free(c, body);
    if (tsr_is_poison(y)) return false;
    for (int i = 0; i < r->n; i++)
        if (!imp_result(p, op, i, tsr_item(c, y, i))) return false;
    return true;
}

static bool reduce_by_fold(struct imp *p, const struct hlo_op *op, struct reduction *r, int n, const int64_t *axes) {
    int64_t count;
    for (int i = 0; i < r->n; i++)
        if (tsr_is_poison(r->x[i] = reduced_first(p->c, r->x[i], n, axes))) return false;
    if (!tsr_extent_is_int(tsr_node_extent(r->x[0], 0), &count)) return reduce_by_scan(p, op, r, r->x);
    if (count) return imp_fold_first(p, op, &imp_combine_body, r->n, r->x) && results_with_init(p, op, r, r->x);
    for (int i = 0; i < r->n; i++)
        if (!imp_result(p, op, i, tsr_broadcast_to(p->c, r->init[i], tsr_node_rank(r->x[0]) - 1,
            tsr_node_type(r->x[0])->extent + 1))) return false;
    return true;
}

/* A body of independent parts, each one of tsr_reduce, is as many reductions. */
static bool monoids(const struct hlo_op *op, int n, tsr_reduce *how) {
    for (int i = 0; i < n; i++)
        if (!imp_region_monoid(&op->region[0], i, &how[i])) return false;
    return true;
}

/* Complex numbers have no order here; their greatest and least is found by the body. */
static bool primitive_admits(tsr_reduce how, const tsr_node *x) {
    bool complex = tsr_dtype_of(tsr_node_dtype(x))->kind == TSR_KIND_COMPLEX;
    return !complex || how == TSR_REDUCE_SUM || how == TSR_REDUCE_PROD;
}

static bool reduce_by_primitive(struct imp *p, const struct hlo_op *op, struct reduction *r, const tsr_reduce *how,
    int n, const int64_t *axes) {
    bool plain = true;
    for (int i = 0; i < r->n; i++) {
        plain = plain && imp_is_identity(p->c, r->init[i], how[i]);
        if (tsr_is_poison(r->x[i] = tsr_prim_reduce(p->c, r->x[i], how[i], n, axes))) return false;
    }
    if (!plain) return results_with_init(p, op, r, r->x);
    for (int i = 0; i < r->n; i++)
        if (!imp_result(p, op, i, r->x[i])) return false;
    return true;
}

bool imp_reduce(struct imp *p, const struct hlo_op *op) {
    struct reduction r;
    tsr_reduce how[IMP_BODY_MAX];
    int n = 0;
    const int64_t *axes = hlo_get_ints(op, "dimensions", &n);
    if (!reduction_of(p, op, &r)) return false;
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            if (axes[i] < 0 || axes[i] >= tsr_node_rank(r.x[0]) || (j < i && axes[i] == axes[j]))
                return imp_fail(p, op, "dimensions[%d] = %lld is no axis of the operand, or stands there twice", i,
                    (long long)axes[i]);
    tsr_node *found[2];
    if (r.n == 2 && n == 1 && imp_argreduce(p, op, (int)axes[0], r.x, r.init, found))
        return imp_result(p, op, 0, found[0]) && imp_result(p, op, 1, found[1]);
    bool primitive = monoids(op, r.n, how);
    for (int i = 0; primitive && i < r.n; i++) primitive = primitive_admits(how[i], r.x[i]);
    return primitive ? reduce_by_primitive(p, op, &r, how, n, axes) : reduce_by_fold(p, op, &r, n, axes);
}

/* ---- reduce_window ---------------------------------------------------------------------------------------------- */

struct window_attrs {
    int rank;
    int64_t extent[TSR_MAX_RANK], stride[TSR_MAX_RANK], base[TSR_MAX_RANK], dilation[TSR_MAX_RANK],
        low[TSR_MAX_RANK], high[TSR_MAX_RANK];
};

static bool window_of(struct imp *p, const struct hlo_op *op, int rank, struct window_attrs *w) {
    w->rank = rank;
    if (!imp_ints(p, op, "window_dimensions", rank, 1, w->extent) ||
        !imp_ints(p, op, "window_strides", rank, 1, w->stride) ||
        !imp_ints(p, op, "base_dilations", rank, 1, w->base) ||
        !imp_ints(p, op, "window_dilations", rank, 1, w->dilation) || !imp_padding(p, op, rank, w->low, w->high))
        return false;
    for (int a = 0; a < rank; a++)
        if (w->extent[a] < 1 || w->stride[a] < 1 || w->base[a] < 1 || w->dilation[a] < 1 ||
            w->dilation[a] > INT32_MAX || w->extent[a] > INT32_MAX || w->base[a] > INT32_MAX)
            return imp_fail(p, op, "axis %d: window_dimensions %lld, window_strides %lld, base_dilations %lld and "
                "window_dilations %lld must all be at least 1, and below 2^31", a, (long long)w->extent[a],
                (long long)w->stride[a], (long long)w->base[a], (long long)w->dilation[a]);
    return true;
}

/* Is the window operation a running sum? All of axis `axis`, up to each element (or from it on), one by one. */
static bool is_running(const struct window_attrs *w, const tsr_node *x, int *axis, bool *reverse) {
    *axis = -1;
    for (int a = 0; a < w->rank; a++) {
        if (w->stride[a] != 1 || w->base[a] != 1) return false;
        if (w->extent[a] == 1 && !w->low[a] && !w->high[a]) continue;
        bool before = w->low[a] == w->extent[a] - 1 && !w->high[a];
        bool after = w->high[a] == w->extent[a] - 1 && !w->low[a];
        if (*axis >= 0 || w->dilation[a] != 1 || w->extent[a] != tsr_node_dim(x, a) || !(before || after)) return false;
        *axis = a, *reverse = after;
    }
    return *axis >= 0;
}

static tsr_node *window_by_primitive(tsr_ctx *c, tsr_node *x, tsr_reduce how, const struct window_attrs *w) {
    int axis;
    bool reverse = false;
    if (is_running(w, x, &axis, &reverse)) return tsr_prim_cumulate(c, x, how, axis, reverse);
    tsr_window v = {.extent = w->extent, .stride = w->stride, .base_dilation = w->base, .dilation = w->dilation,
                    .pad_low = w->low, .pad_high = w->high};
    return tsr_prim_reduce_window(c, x, how, &v);
}

/* True when a window does not fit into a padded axis of known extent: there are no windows. */
static bool window_empty(const struct window_attrs *w, const tsr_node *x) {
    for (int a = 0; a < w->rank; a++) {
        int64_t n = tsr_node_dim(x, a);
        if (n < 0 || n > INT32_MAX) continue;
        int64_t padded = w->low[a] + w->high[a] + (n ? (n - 1) * w->base[a] + 1 : 0);
        if (padded <= 0 || (w->extent[a] - 1) * w->dilation[a] + 1 > padded) return true;
    }
    return false;
}

static tsr_node *window_pad(tsr_ctx *c, tsr_node *x, tsr_node *value, const struct window_attrs *w) {
    int64_t interior[TSR_MAX_RANK];
    bool any = false;
    for (int a = 0; a < w->rank; a++) {
        interior[a] = w->base[a] - 1;
        any = any || w->low[a] || w->high[a] || interior[a];
    }
    return any ? tsr_prim_pad_ints(c, x, value, w->low, w->high, interior) : x;
}

/* Padded x[n] folded over windows of every axis, the last first, and thinned out to the strides. */
static bool window_fold(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x,
    const struct window_attrs *w) {
    const tsr_extent *zero = tsr_extent_int(p->c, 0);
    for (int a = w->rank - 1; a >= 0; a--) {
        if (w->extent[a] > 1 && !imp_fold_window(p, op, how, n, x, a, w->extent[a], w->dilation[a])) return false;
        for (int i = 0; i < n && w->stride[a] > 1; i++)
            x[i] = imp_cut(p->c, x[i], a, zero, tsr_node_extent(x[i], a), w->stride[a]);
    }
    return !tsr_is_poison(x[n - 1]);
}

/* Results of shape (declared) 0 along some axis: no window, nothing to compute. */
static bool no_windows(struct imp *p, const struct hlo_op *op, const struct reduction *r) {
    for (int i = 0; i < r->n; i++) {
        const tsr_type *t = imp_result_type(p, op, i);
        if (!t || !imp_result(p, op, i, tsr_broadcast_to(p->c, r->init[i], t->rank, t->extent))) return false;
    }
    return true;
}

bool imp_reduce_window(struct imp *p, const struct hlo_op *op) {
    struct reduction r;
    struct window_attrs w;
    tsr_reduce how[IMP_BODY_MAX];
    bool plain = true;
    if (!reduction_of(p, op, &r) || !window_of(p, op, tsr_node_rank(r.x[0]), &w)) return false;
    if (window_empty(&w, r.x[0])) return no_windows(p, op, &r);
    bool primitive = monoids(op, r.n, how);
    for (int i = 0; primitive && i < r.n; i++) {
        primitive = primitive_admits(how[i], r.x[i]);
        plain = plain && imp_is_identity(p->c, r.init[i], how[i]);
    }
    if (!primitive || !plain) {
        for (int i = 0; i < r.n; i++) r.x[i] = window_pad(p->c, r.x[i], r.init[i], &w);
        for (int a = 0; a < w.rank; a++) w.low[a] = w.high[a] = 0, w.base[a] = 1;
    }
    if (!primitive)
        return window_fold(p, op, &imp_combine_body, r.n, r.x, &w) && results_with_init(p, op, &r, r.x);
    for (int i = 0; i < r.n; i++)
        if (tsr_is_poison(r.x[i] = window_by_primitive(p->c, r.x[i], how[i], &w))) return false;
    if (!plain) return results_with_init(p, op, &r, r.x);
    for (int i = 0; i < r.n; i++)
        if (!imp_result(p, op, i, r.x[i])) return false;
    return true;
}

/* ---- select_and_scatter ----------------------------------------------------------------------------------------- */

/* compare GE or LE of the two arguments: the first greatest, the first least. */
static bool select_by_order(const struct hlo_region *r, tsr_reduce *pick) {
    const struct hlo_block *b = r->nblock == 1 ? &r->block[0] : NULL;
    const struct hlo_op *op = b && b->narg == 2 ? b->first : NULL;
    if (!op || op->code != HLO_OP_COMPARE || op->next != b->last || b->last->noperand != 1 ||
        b->last->operand[0] != &op->result[0] || op->operand[0] != &b->arg[0] || op->operand[1] != &b->arg[1])
        return false;
    const char *way = hlo_get_text(op, "comparison_direction"), *how = hlo_get_text(op, "compare_type");
    if (!way || (how && !strcmp(how, "TOTALORDER"))) return false;
    *pick = !strcmp(way, "GE") ? TSR_REDUCE_MAX : TSR_REDUCE_MIN;
    return !strcmp(way, "GE") || !strcmp(way, "LE");
}

/* Which of two (value, position) pairs stays: the select body decides, but a position < 0 is padding and loses. */
static bool run_select(struct imp *p, const struct hlo_op *op, const void *user, int n, tsr_node *const *a,
    tsr_node *const *b, tsr_node **out) {
    tsr_ctx *c = p->c;
    tsr_node *pair[2] = {a[0], b[0]}, *first, *none = imp_spread(c, tsr_scalar_int(c, TSR_I64, 0), a[1]);
    (void)user;
    if (!imp_body_apply(p, op, 0, 2, pair, 1, &first)) return false;
    first = tsr_prim2(c, TSR_S_AND, first, tsr_prim2(c, TSR_S_GE, a[1], none));
    first = tsr_prim2(c, TSR_S_OR, first, tsr_prim2(c, TSR_S_LT, b[1], none));
    for (int i = 0; i < n; i++) out[i] = tsr_prim3(c, TSR_S_SELECT, first, a[i], b[i]);
    return !tsr_is_poison(out[0]);
}

static bool run_scatter(struct imp *p, const struct hlo_op *op, const void *user, int n, tsr_node *const *a,
    tsr_node *const *b, tsr_node **out) {
    tsr_node *pair[2] = {a[0], b[0]};
    (void)user, (void)n;
    return imp_body_apply(p, op, 1, 2, pair, 1, out);
}

/* The position in x, or -1, that each window picks. */
static tsr_node *picked(struct imp *p, const struct hlo_op *op, tsr_node *x, const struct window_attrs *w) {
    tsr_ctx *c = p->c;
    static const struct imp_combine select = {.run = run_select};
    tsr_node *pair[2];
    pair[0] = window_pad(c, x, tsr_scalar_float(c, tsr_node_dtype(x), 0), w);
    pair[1] = window_pad(c, imp_positions(c, x), tsr_scalar_int(c, TSR_I64, -1), w);
    if (tsr_is_poison(pair[0]) || tsr_is_poison(pair[1]) || !window_fold(p, op, &select, 2, pair, w))
        return tsr_poison(c);
    return pair[1];
}

static bool is_empty(const tsr_node *x) {
    for (int a = 0; a < tsr_node_rank(x); a++)
        if (tsr_node_dim(x, a) == 0) return true;
    return false;
}

static bool select_and_scatter_by_body(struct imp *p, const struct hlo_op *op, tsr_node *const *x,
    const struct window_attrs *w) {
    tsr_ctx *c = p->c;
    static const struct imp_combine scatter = {.run = run_scatter};
    const struct hlo_block *b = &op->region[1].block[0];
    tsr_dtype t = b->narg ? imp_dtype(b->arg[0].type) : tsr_node_dtype(x[0]);
    if (is_empty(x[0]) || is_empty(x[1])) return imp_result(p, op, 0, imp_spread(c, imp_as(c, x[2], t), x[0]));
    tsr_node *pos = picked(p, op, x[0], w), *source = imp_as(c, x[1], t);
    tsr_node *flat = imp_positions(c, x[0]), *into;
    if (tsr_is_poison(pos) || tsr_is_poison(flat)) return false;
    flat = w->rank ? tsr_flatten(c, flat, 0, w->rank - 1) : tsr_unsqueeze(c, flat, 0);
    into = imp_spread(c, imp_as(c, x[2], t), flat);
    const tsr_extent *const *windows = tsr_node_type(pos)->extent;
    const tsr_extent *row[2] = {tsr_extent_int(c, 1), tsr_extent_int(c, 1)};
    for (int a = 0; row[0] && a < w->rank; a++) row[0] = tsr_extent_mul(c, row[0], windows[a]);
    if (!row[0] || !row[1]) return false;
    pos = tsr_reshape_extents(c, pos, 2, row), source = tsr_reshape_extents(c, source, 2, row);
    if (!imp_scatter_rows(p, op, &scatter, 1, &into, pos, &source, false)) return false;
    return imp_result(p, op, 0, tsr_reshape_extents(c, into, w->rank, tsr_node_type(x[0])->extent));
}

bool imp_select_and_scatter(struct imp *p, const struct hlo_op *op) {
    tsr_ctx *c = p->c;
    tsr_node *x[3];
    struct window_attrs w;
    tsr_reduce pick, how;
    if (!imp_operands(p, op, 3, x)) return false;
    if (op->nregion != 2 || op->region[0].nblock != 1 || op->region[1].nblock != 1)
        return imp_fail(p, op, "it needs two bodies, select and scatter");
    if (tsr_node_rank(x[2]) || tsr_node_rank(x[0]) != tsr_node_rank(x[1]))
        return imp_fail(p, op, "operand and source need one rank, and the initial value is a scalar");
    if (!window_of(p, op, tsr_node_rank(x[0]), &w)) return false;
    tsr_reduce add = tsr_node_dtype(x[0]) == TSR_BOOL ? TSR_REDUCE_OR : TSR_REDUCE_SUM;
    bool sum = imp_region_monoid(&op->region[1], 0, &how) && how == add &&
        tsr_dtype_of(tsr_node_dtype(x[0]))->kind != TSR_KIND_COMPLEX &&
        op->result[0].type->elem == op->operand[0]->type->elem;
    if (!sum || !w.rank || !select_by_order(&op->region[0], &pick))
        return select_and_scatter_by_body(p, op, x, &w);
    tsr_window v = {.extent = w.extent, .stride = w.stride, .pad_low = w.low, .pad_high = w.high};
    tsr_node *y = tsr_prim_select_and_scatter(c, x[0], x[1], pick, &v);
    if (!imp_is_identity(c, x[2], how)) y = tsr_prim2(c, TSR_S_ADD, imp_spread(c, x[2], y), y);
    return imp_result(p, op, 0, y);
}

/* ---- map -------------------------------------------------------------------------------------------------------- */

bool imp_map(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[2 * IMP_BODY_MAX], *out;
    if (op->noperand < 1 || op->noperand > 2 * IMP_BODY_MAX)
        return imp_fail(p, op, "it takes 1 to %d operands, %d are given", 2 * IMP_BODY_MAX, op->noperand);
    return imp_operands(p, op, op->noperand, x) && imp_body_apply(p, op, 0, op->noperand, x, 1, &out) &&
        imp_result(p, op, 0, out);
}
