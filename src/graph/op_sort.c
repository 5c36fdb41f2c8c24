/* op_sort.c: sort along an axis with passengers, and the k greatest of the last axis.
 *
 * StableHLO's sort takes a comparator region; here the order is data: how many leading operands are keys, and which
 * way. Two orders of floats (ATTR_MODE): 0, the one everybody expects, -0 = +0 and every NaN equal and above +inf; 1,
 * IEEE 754's total order, which StableHLO's TOTALORDER comparators mean. Descending is the exact reverse (NaN first).
 * Equal keys keep their order, asked for or not.
 *
 * Gradients need the permutation: the same sort with an iota along as passenger gives it, and sorting cotangents by
 * that permutation as key carries them back, so no scatter is made and batch axes cost nothing. */
#include <math.h>

#include "graph/axes.h"
#include "graph/ref.h"

enum { OPERANDS_MAX = 64 };

/* ---- sort: type -------------------------------------------------------------------------------------------------- */

static bool key_admits(tsr_dtype t) { return dtype_is_float(t) || dtype_is_int(t) || t == TSR_BOOL; }

static bool same_shape(tsr_ctx *c, const tsr_type *x, const tsr_type *y, int i) {
    bool ok = y->kind == TSR_TENSOR && x->rank == y->rank;
    for (int a = 0; ok && a < x->rank; a++)
        ok = extent_require_equal(c, x->extent[a], y->extent[a],
                                  "sort: operand %d is %s, operand 0 is %s; all operands need one shape", i,
                                  type_text(c, y), type_text(c, x));
    if (!ok && !err_any(c))
        err_set(c, TSR_EINVAL, "sort: operand %d is %s, operand 0 is %s; all operands need one shape", i,
                type_text(c, y), type_text(c, x));
    return ok;
}

static const tsr_type *sort_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *item[OPERANDS_MAX];
    int64_t axis = draft_int(d, ATTR_AXIS), keys = draft_int(d, ATTR_KEYS);
    if (!axes_is_tensor(c, "sort", x) || !axes_check(c, "sort", "axis", 1, &axis, x->rank)) return NULL;
    if (keys < 1 || keys > d->nsrc) {
        err_set(c, TSR_EINVAL, "sort: %d keys of %d operands; compare at least one operand and at most all", (int)keys,
                d->nsrc);
        return NULL;
    }
    for (int i = 0; i < d->nsrc; i++) {
        item[i] = d->src[i]->type;
        if (i && !same_shape(c, x, item[i], i)) return NULL;
        if (i >= keys ? tsr_dtype_of(item[i]->dtype)->kind != TSR_KIND_BLOCK : key_admits(item[i]->dtype)) continue;
        err_set(c, TSR_EINVAL, "sort: operand %d is %s, which %s; %s", i, type_text(c, item[i]), i < keys
                ? "has no order" : "cannot be moved element by element",
                i < keys ? "sort by its real part, its imaginary part or its absolute value" : "dequantise it first");
        return NULL;
    }
    return tsr_type_tuple(c, d->nsrc, item);
}

static tsr_node *make_sort(tsr_ctx *c, int n, tsr_node *const *x, int64_t axis, int64_t keys, bool descending,
                           bool stable, bool total) {
    struct attr a[] = {attr_int(ATTR_AXIS, axis), attr_int(ATTR_MODE, total), attr_int(ATTR_DESCENDING, descending),
                       attr_int(ATTR_STABLE, stable), attr_int(ATTR_KEYS, keys)};
    if (n < 1 || n > OPERANDS_MAX) {
        err_set(c, TSR_EINVAL, "sort: %d operands; it takes 1 to %d", n, OPERANDS_MAX);
        return tsr_poison(c);
    }
    if (axes_poison(n, x)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_SORT, .nsrc = n, .src = x, .nattr = 5, .attr = a});
}

tsr_node *tsr_prim_sort(tsr_ctx *c, int n, tsr_node *const *x, int axis, int keys, bool descending, bool stable) {
    return make_sort(c, n, x, axis, keys, descending, stable, false);
}

tsr_node *tsr_prim_sort_total(tsr_ctx *c, int n, tsr_node *const *x, int axis, int keys, bool descending, bool stable) {
    return make_sort(c, n, x, axis, keys, descending, stable, true);
}

/* ---- sort: gradient and batching --------------------------------------------------------------------------------- */

static tsr_node *iota_like(tsr_ctx *c, const tsr_type *t, int axis) {
    const tsr_type *i = type_with_dtype(c, t, TSR_I32);
    return i ? tsr_prim_iota(c, i, axis) : tsr_poison(c);
}

/* Position i of the result came from perm[i]. */
static tsr_node *permutation(tsr_ctx *c, tsr_node *n) {
    tsr_node *x[OPERANDS_MAX + 1];
    int keys = (int)node_int(n, ATTR_KEYS), axis = (int)node_int(n, ATTR_AXIS);
    for (int i = 0; i < keys; i++) x[i] = n->src[i];
    x[keys] = iota_like(c, n->src[0]->type, axis);
    return tsr_item(c, make_sort(c, keys + 1, x, axis, keys, node_int(n, ATTR_DESCENDING), true,
                                 node_int(n, ATTR_MODE)), keys);
}

static bool sort_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_node *x[OPERANDS_MAX + 1];
    int at[OPERANDS_MAX], count = 0;
    for (int i = 0; i < n->nsrc; i++) {
        tsr_dtype t = n->src[i]->type->dtype;
        if (want[i] && (dtype_is_float(t) || dtype_is_complex(t))) at[count++] = i;
    }
    if (!count || n->nsrc == OPERANDS_MAX)
        return count == 0 || (err_set(c, TSR_EUNSUPPORTED, "sort: no gradient with %d operands", n->nsrc), false);
    x[0] = permutation(c, n);
    for (int i = 0; i < count; i++) x[i + 1] = gout[at[i]];
    tsr_node *back = make_sort(c, count + 1, x, node_int(n, ATTR_AXIS), 1, false, true, false);
    for (int i = 0; i < count; i++) gsrc[at[i]] = tsr_item(c, back, i + 1);
    return true;
}

static tsr_node *sort_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    tsr_node *x[OPERANDS_MAX];
    for (int i = 0; i < n->nsrc; i++) x[i] = rule_batch(c, src[i], batched[i], size);
    return make_sort(c, n->nsrc, x, node_int(n, ATTR_AXIS) + 1, node_int(n, ATTR_KEYS), node_int(n, ATTR_DESCENDING),
                     node_int(n, ATTR_STABLE),
                     node_int(n, ATTR_MODE));
}

/* ---- sort: reference: insertion, one row at a time --------------------------------------------------------------- */

static int three_way(double a, double b) { return (a > b) - (a < b); }

static int compare_floats(double a, double b, bool total) {
    if (!total) return isnan(a) || isnan(b) ? !!isnan(a) - !!isnan(b) : three_way(a, b);
    int sa = signbit(a) ? -1 : 1, sb = signbit(b) ? -1 : 1;
    if (sa != sb) return sa;
    if (isnan(a) || isnan(b)) return sa * (!!isnan(a) - !!isnan(b));
    return three_way(a, b);
}

static int compare(tsr_dtype t, struct ref_val a, struct ref_val b, bool total) {
    switch (tsr_dtype_of(t)->kind) {
    case TSR_KIND_FLOAT: return compare_floats(a.re, b.re, total);
    case TSR_KIND_INT: return (a.i > b.i) - (a.i < b.i);
    default: return (a.u > b.u) - (a.u < b.u);
    }
}

/* Does the element at b of the operands go before the one at a? */
static bool goes_before(const struct ref_call *r, int64_t b, int64_t a) {
    int keys = (int)node_int(r->node, ATTR_KEYS);
    for (int k = 0; k < keys; k++) {
        int o = compare(r->in[k].dtype, ref_get(&r->in[k], b), ref_get(&r->in[k], a), node_int(r->node, ATTR_MODE));
        if (o) return node_int(r->node, ATTR_DESCENDING) ? o > 0 : o < 0;
    }
    return false;
}

static tsr_status sort_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0];
    int axis = (int)node_int(r->node, ATTR_AXIS);
    int64_t n = x->dim[axis], inner = 1;
    for (int i = axis + 1; i < x->rank; i++) inner *= x->dim[i];
    if (!x->count) return TSR_OK;
    int64_t *order = mem_array(r->c, (size_t)n, sizeof *order); /* element indices, in order so far */
    if (!order) return TSR_ENOMEM;
    for (int64_t row = 0; row < x->count / n; row++) {
        int64_t base = row / inner * n * inner + row % inner;
        for (int64_t i = 0; i < n; i++) {
            int64_t j = i, e = base + i * inner;
            for (; j > 0 && goes_before(r, e, order[j - 1]); j--) order[j] = order[j - 1];
            order[j] = e;
        }
        for (int k = 0; k < r->nin; k++)
            for (int64_t i = 0; i < n; i++) ref_move(&r->out[k], base + i * inner, &r->in[k], order[i]);
    }
    mem_array_free(r->c, order, (size_t)n, sizeof *order);
    return TSR_OK;
}

/* ---- samplers ---------------------------------------------------------------------------------------------------- */

static tsr_fn *sort_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[4];
    int rank = (int)sample_int(s, 1, 4), n = (int)sample_int(s, 1, 3);
    tsr_node *x[3], *y[3];
    s->distinct = dtype_is_float(s->dtype);
    if (tsr_fn_begin(c, "sort") != TSR_OK) return NULL;
    sample_dims(s, rank, dim);
    for (int i = 0; i < n; i++) x[i] = sample_param(c, s->dtype, rank, dim);
    tsr_node *t = make_sort(c, n, x, sample_int(s, 0, rank - 1), sample_int(s, 1, n), sample_int(s, 0, 1), true,
                            sample_int(s, 0, 1));
    for (int i = 0; i < n; i++) y[i] = tsr_item(c, t, i);
    return tsr_fn_end(c, n, y);
}

static tsr_fn *top_k_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[4];
    int rank = (int)sample_int(s, 1, 4);
    s->distinct = dtype_is_float(s->dtype);
    if (tsr_fn_begin(c, "top_k") != TSR_OK) return NULL;
    sample_dims(s, rank, dim);
    tsr_node *x = sample_param(c, s->dtype, rank, dim), *t = tsr_prim_top_k(c, x, sample_int(s, 0, dim[rank - 1]));
    return tsr_fn_end(c, 2, (tsr_node *[]){tsr_item(c, t, 0), tsr_item(c, t, 1)});
}

/* ---- top_k ------------------------------------------------------------------------------------------------------- */

static const tsr_type *top_k_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    int64_t k = draft_int(d, ATTR_K);
    if (!axes_is_tensor(c, "top_k", x)) return NULL;
    if (x->rank == 0 || !key_admits(x->dtype) || k < 0) {
        err_set(c, TSR_EINVAL, "top_k: the %lld greatest of %s: %s", (long long)k, type_text(c, x),
                k < 0 ? "k must not be negative" : x->rank == 0 ? "a scalar has no last axis"
                    : "its elements have no order");
        return NULL;
    }
    const tsr_extent *e = tsr_extent_int(c, k);
    if (!e ||
        !extent_require_le(c, e, x->extent[x->rank - 1],
                           "top_k: the %lld greatest of %s, whose last axis has only %s elements", (long long)k,
                                 type_text(c, x), extent_text(c, x->extent[x->rank - 1])))
        return NULL;
    const tsr_type *values = type_with_extent(c, x, x->rank - 1, e);
    const tsr_type *index = values ? type_with_dtype(c, values, TSR_I32) : NULL;
    return index ? tsr_type_tuple(c, 2, (const tsr_type *[]){values, index}) : NULL;
}

/* Each cotangent goes to the place its value came from; places are distinct. */
static bool top_k_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    const tsr_type *x = n->src[0]->type;
    if (!want[0] || !dtype_is_float(x->dtype)) return true;
    int64_t batch[TSR_MAX_RANK], last = x->rank - 1;
    for (int i = 0; i < last; i++) batch[i] = i;
    tsr_gather_dims d = {.n_collapsed = 1, .n_operand_batching = (int)last, .n_index_batching = (int)last, .n_map = 1,
        .collapsed = &last,
                         .operand_batching = batch, .index_batching = batch, .map = &last,
                             .index_vector_axis = x->rank, .unique = true};
    gsrc[0] = tsr_prim_scatter(c, rule_zeros(c, x), tsr_item(c, n, 1), gout[0], &d, TSR_SCATTER_SET);
    return true;
}

static tsr_node *top_k_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                            const tsr_extent *size) {
    return tsr_prim_top_k(c, rule_batch(c, src[0], batched[0], size), node_int(n, ATTR_K));
}

/* k times the first of the greatest elements that are left. */
static tsr_status top_k_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0];
    int64_t n = x->dim[x->rank - 1], k = node_int(r->node, ATTR_K);
    if (!r->out[0].count) return TSR_OK;
    bool *taken = mem_array(r->c, (size_t)n, sizeof *taken);
    if (!taken) return TSR_ENOMEM;
    for (int64_t row = 0; row < x->count / n; row++) {
        for (int64_t i = 0; i < n; i++) taken[i] = false;
        for (int64_t i = 0; i < k; i++) {
            int64_t best = -1;
            for (int64_t j = 0; j < n; j++)
                if (!taken[j] && (best < 0 || compare(x->dtype, ref_get(x, row * n + j), ref_get(x, row * n + best),
                                                      false) > 0)) best = j;
            taken[best] = true;
            ref_move(&r->out[0], row * k + i, x, row * n + best);
            ref_set(&r->out[1], row * k + i, (struct ref_val){.i = best});
        }
    }
    mem_array_free(r->c, taken, (size_t)n, sizeof *taken);
    return TSR_OK;
}

tsr_node *tsr_prim_top_k(tsr_ctx *c, tsr_node *x, int64_t k) {
    struct attr a = attr_int(ATTR_K, k);
    if (axes_poison(1, &x)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_TOP_K, .nsrc = 1, .src = &x, .nattr = 1, .attr = &a});
}

const struct op_def op_SORT = {
    .name = "sort", .formula = "y[i] = x[p(i)], p sorts the key operands along an axis", .spec = "StableHLO sort",
    .cls = OP_LIBRARY, .arity = -1,
    .domain = "fiub", .infer = sort_infer, .vjp = sort_vjp, .vmap = sort_vmap, .ref = sort_ref, .sample = sort_sample,
};
const struct op_def op_TOP_K = {
    .name = "top_k", .formula = "the k greatest elements of the last axis, greatest first, and where they were",
    .spec = "CHLO top_k",
    .cls = OP_LIBRARY, .arity = 1, .domain = "fiub", .infer = top_k_infer, .vjp = top_k_vjp, .vmap = top_k_vmap,
    .ref = top_k_ref,
    .sample = top_k_sample,
};
