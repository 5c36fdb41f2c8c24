/* op_reduce.c: reduce, argreduce and cumulate: combining elements along axes.
 *
 * reduce follows StableHLO with one of the seven combining functions of tsr_reduce as its body and that function's
 * identity as the initial value, so an empty axis gives the identity. The reference accumulates in f64 or exact
 * integers in row-major order and rounds once. Order is free to a device only within its own documented rule
 * (docs/tile.md).
 *
 * Gradients: sum spreads the cotangent; max and min share it equally among elements that tie; prod multiplies by the
 * product of the others, taken as exclusive prefix times exclusive suffix product, so zeros are handled exactly and
 * to any order. Running max and min pass it to the latest element that set or equalled the record. and, or, xor and
 * argreduce are piecewise constant. */
#include <math.h>
#include <string.h>

#include "graph/axes.h"
#include "graph/ref.h"

/* ---- reduce ----------------------------------------------------------------------------------------------------- */

/* Axes are kept ascending, so that equal reductions are one node. */
tsr_node *tsr_prim_reduce(tsr_ctx *c, tsr_node *x, tsr_reduce op, int n, const int64_t *axes) {
    if (tsr_is_poison(x) || n < 0 || !axes_is_plain(c, "reduce", x->type) ||
        !axes_check(c, "reduce", "axes", (size_t)n, axes, x->type->rank))
        return tsr_poison(c);
    int64_t sorted[TSR_MAX_RANK], rest[TSR_MAX_RANK];
    int kept = axes_rest(x->type->rank, (size_t)n, axes, 0, NULL, rest);
    axes_rest(x->type->rank, (size_t)kept, rest, 0, NULL, sorted);
    struct attr a[2] = {attr_int(ATTR_REDUCE, (int64_t)op), attr_ints(ATTR_AXES, (size_t)n, sorted)};
    return node_make(c, &(struct draft){.op = TSR_OP_REDUCE, .nsrc = 1, .src = &x, .nattr = 2, .attr = a});
}

static const tsr_type *reduce_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    const struct attr *axes = draft_attr(d, ATTR_AXES);
    const tsr_extent *extent[TSR_MAX_RANK];
    int64_t rest[TSR_MAX_RANK];
    if (!axes_is_plain(c, "reduce", x) || !reduce_admits(c, "reduce", draft_int(d, ATTR_REDUCE), x->dtype)) return NULL;
    if (!axes_check(c, "reduce", "axes", axes->n, axes->ints, x->rank)) return NULL;
    int n = axes_rest(x->rank, axes->n, axes->ints, 0, NULL, rest);
    for (int i = 0; i < n; i++) extent[i] = x->extent[rest[i]];
    return tsr_type_tensor(c, x->dtype, n, extent);
}

static tsr_node *share_among_ties(tsr_ctx *c, tsr_node *n, tsr_node *g, size_t count, const int64_t *axes) {
    tsr_node *x = n->src[0], *mine = tsr_prim2(c, TSR_S_EQ, x, axes_expand(c, n, x->type, count, axes));
    tsr_node *ties = tsr_prim_reduce(c, axes_convert(c, mine, x->type->dtype), TSR_REDUCE_SUM, (int)count, axes);
    ties = tsr_prim2(c, TSR_S_MAX, ties, rule_full_like(c, ties, 1)); /* an axis of no elements has none: 0 / 0 */
    tsr_node *share = axes_expand(c, tsr_prim2(c, TSR_S_DIV, g, ties), x->type, count, axes);
    return tsr_prim3(c, TSR_S_SELECT, mine, share, rule_full_like(c, x, 0));
}

/* For each element the product of all others along the axis. */
static tsr_node *product_of_others(tsr_ctx *c, tsr_node *x, int axis) {
    tsr_node *before = axes_shifted(c, tsr_prim_cumulate(c, x, TSR_REDUCE_PROD, axis, false), axis, 1, 1);
    tsr_node *after = axes_shifted(c, tsr_prim_cumulate(c, x, TSR_REDUCE_PROD, axis, true), axis, -1, 1);
    return tsr_prim2(c, TSR_S_MUL, before, after);
}

/* One axis at a time: the last is multiplied up first, and its cotangent found last. */
static tsr_node *prod_cotangent(tsr_ctx *c, tsr_node *x, tsr_node *g, size_t count, const int64_t *axes) {
    tsr_node *stage[TSR_MAX_RANK + 1] = {x};
    for (size_t i = 0; i < count; i++) {
        if (tsr_is_poison(stage[i])) return tsr_poison(c);
        stage[i + 1] = tsr_prim_reduce(c, stage[i], TSR_REDUCE_PROD, 1, &axes[count - 1 - i]);
    }
    for (size_t i = count; i-- > 0;) {
        int64_t axis = axes[count - 1 - i];
        g = tsr_prim2(c, TSR_S_MUL, axes_expand(c, g, stage[i]->type, 1, &axis),
                      product_of_others(c, stage[i], (int)axis));
    }
    return g;
}

static bool reduce_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    const struct attr *axes = node_attr(n, ATTR_AXES);
    if (!want[0]) return true;
    switch (node_int(n, ATTR_REDUCE)) {
    case TSR_REDUCE_SUM: gsrc[0] = axes_expand(c, gout[0], n->src[0]->type, axes->n, axes->ints); break;
    case TSR_REDUCE_PROD: gsrc[0] = prod_cotangent(c, n->src[0], gout[0], axes->n, axes->ints); break;
    case TSR_REDUCE_MAX:
    case TSR_REDUCE_MIN: gsrc[0] = share_among_ties(c, n, gout[0], axes->n, axes->ints); break;
    default: break; /* integers and truth values: piecewise constant */
    }
    return true;
}

static tsr_node *reduce_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                             const tsr_extent *size) {
    const struct attr *axes = node_attr(n, ATTR_AXES);
    int64_t under[TSR_MAX_RANK];
    (void)batched, (void)size;
    int count = axes_shift(-1, axes->n, axes->ints, under);
    return tsr_prim_reduce(c, src[0], (tsr_reduce)node_int(n, ATTR_REDUCE), count, under);
}

static tsr_status reduce_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0];
    struct ref_tensor *y = &r->out[0];
    const struct attr *axes = node_attr(r->node, ATTR_AXES);
    tsr_reduce op = (tsr_reduce)node_int(r->node, ATTR_REDUCE);
    struct ref_val *acc = mem_array(r->c, (size_t)y->count, sizeof *acc);
    if (!acc) return TSR_ENOMEM;
    int64_t rest[TSR_MAX_RANK], at[TSR_MAX_RANK], to[TSR_MAX_RANK];
    int n = axes_rest(x->rank, axes->n, axes->ints, 0, NULL, rest);
    for (int64_t k = 0; k < y->count; k++) acc[k] = ref_reduce_identity(op, x->dtype);
    for (int64_t k = 0; k < x->count; k++) {
        ref_unravel(x->rank, x->dim, k, at);
        for (int i = 0; i < n; i++) to[i] = at[rest[i]];
        int64_t place = ref_ravel(y->rank, y->dim, to);
        acc[place] = ref_reduce(op, x->dtype, acc[place], ref_get(x, k));
    }
    for (int64_t k = 0; k < y->count; k++) ref_set(y, k, acc[k]);
    mem_array_free(r->c, acc, (size_t)y->count, sizeof *acc);
    return TSR_OK;
}

static tsr_fn *reduce_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK], axes[TSR_MAX_RANK], terms = 1;
    int rank = (int)sample_int(s, 0, 4), n = 0;
    tsr_reduce op = sample_reduce(s);
    sample_dims(s, rank, dim);
    for (int a = 0; a < rank; a++)
        if (sample_int(s, 0, 1)) axes[n++] = a, terms *= dim[a];
    sample_sum_of(s, terms, 4);
    if (tsr_fn_begin(c, reduce_name(op))) return NULL;
    tsr_node *y = tsr_prim_reduce(c, sample_param(c, s->dtype, rank, dim), op, n, axes);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_REDUCE = {
    .name = "reduce",
    .formula = "y = op over all elements along axes of x",
    .spec = "StableHLO reduce",
    .cls = OP_REDUCING,
    .arity = 1,
    .domain = "fiubc",
    .infer = reduce_infer,
    .vjp = reduce_vjp,
    .vmap = reduce_vmap,
    .ref = reduce_ref,
    .sample = reduce_sample,
};

/* ---- argreduce -------------------------------------------------------------------------------------------------- */

tsr_node *tsr_prim_argreduce(tsr_ctx *c, tsr_node *x, tsr_reduce max_or_min, int axis, tsr_dtype index_type) {
    struct attr a[3] = {attr_int(ATTR_AXIS, axis), attr_int(ATTR_REDUCE, (int64_t)max_or_min),
                        attr_dtype(ATTR_DTYPE, index_type)};
    return node_make(c, &(struct draft){.op = TSR_OP_ARGREDUCE, .nsrc = 1, .src = &x, .nattr = 3, .attr = a});
}

static const tsr_type *argreduce_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    int64_t axis = draft_int(d, ATTR_AXIS), op = draft_int(d, ATTR_REDUCE);
    tsr_dtype t = draft_attr(d, ATTR_DTYPE)->dtype;
    if (!axes_is_plain(c, "argreduce", x) || !axes_check(c, "argreduce", "axis", 1, &axis, x->rank)) return NULL;
    if (op != TSR_REDUCE_MAX && op != TSR_REDUCE_MIN)
        return err_set(c, TSR_EINVAL, "argreduce: finds the place of a max or a min, not of a %s", reduce_name(op)),
            NULL;
    if (dtype_is_complex(x->dtype) || !reduce_admits(c, "argreduce", op, x->dtype))
        return err_set(c, TSR_EINVAL, "argreduce: %s has no order; take abs or a real part first", type_text(c, x)),
            NULL;
    if ((unsigned)t >= TSR_DTYPE_COUNT || !dtype_is_int(t))
        return err_set(c, TSR_EINVAL, "argreduce: an index cannot be %s; ask for an integer dtype such as i32 or i64",
                       (unsigned)t < TSR_DTYPE_COUNT ? tsr_dtype_name(t) : "that"), NULL;
    if (extent_is(x->extent[axis], 0))
        return err_set(c, TSR_EINVAL, "argreduce: axis %d of %s is empty, so no element is the %s", (int)axis,
                       type_text(c, x), reduce_name(op)), NULL;
    const tsr_type *y = type_drop_axis(c, x, (int)axis);
    return y ? type_with_dtype(c, y, t) : NULL;
}

static tsr_node *argreduce_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                                const tsr_extent *size) {
    (void)batched, (void)size;
    return tsr_prim_argreduce(c, src[0], (tsr_reduce)node_int(n, ATTR_REDUCE), (int)node_int(n, ATTR_AXIS) + 1,
                              n->type->dtype);
}

/* Strictly better than the best so far; a NaN beats every number and the first NaN stays. */
static bool beats(tsr_reduce op, tsr_dtype t, struct ref_val v, struct ref_val best) {
    if (dtype_is_float(t) && (isnan(v.re) || isnan(best.re))) return !isnan(best.re);
    return ref_scalar(op == TSR_REDUCE_MAX ? TSR_S_GT : TSR_S_LT, t, (struct ref_val[3]){v, best}).u != 0;
}

/* An axis is walked with the extents before and after it folded into one each. */
struct lines { int64_t before, n, after; };
static struct lines lines_of(const struct ref_tensor *x, int64_t axis) {
    struct lines l = {1, x->dim[axis], 1};
    for (int a = 0; a < x->rank; a++) *(a < axis ? &l.before : &l.after) *= a == axis ? 1 : x->dim[a];
    return l;
}

/* A symbolic axis may turn out empty: the index is then 0. */
static tsr_status argreduce_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0];
    struct ref_tensor *y = &r->out[0];
    tsr_reduce op = (tsr_reduce)node_int(r->node, ATTR_REDUCE);
    struct lines l = lines_of(x, node_int(r->node, ATTR_AXIS));
    for (int64_t k = 0; k < y->count; k++) {
        int64_t first = k / l.after * l.n * l.after + k % l.after, best = 0;
        for (int64_t i = 1; i < l.n; i++)
            if (beats(op, x->dtype, ref_get(x, first + i * l.after), ref_get(x, first + best * l.after))) best = i;
        ref_set(y, k, (struct ref_val){.i = best, .u = (uint64_t)best});
    }
    return TSR_OK;
}

static tsr_fn *argreduce_sample(tsr_ctx *c, struct sample *s) {
    static const tsr_dtype index_type[] = {TSR_I32, TSR_I64, TSR_U32, TSR_U16};
    int64_t dim[TSR_MAX_RANK];
    int rank = (int)sample_int(s, 1, 4), axis = (int)sample_int(s, 0, rank - 1);
    sample_dims(s, rank, dim);
    if (dim[axis] == 0) dim[axis] = 1;
    s->distinct = sample_int(s, 0, 1) || dtype_is_float(s->dtype);
    if (tsr_fn_begin(c, "argreduce")) return NULL;
    tsr_node *y = tsr_prim_argreduce(c, sample_param(c, s->dtype, rank, dim), sample_int(s, 0, 1) ? TSR_REDUCE_MAX
                                     : TSR_REDUCE_MIN, axis,
                                     index_type[sample_int(s, 0, 3)]);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_ARGREDUCE = {
    .name = "argreduce",
    .formula = "y = least index of the greatest (least) element along axis; NaN wins",
    .spec = "StableHLO reduce over (value, index) pairs",
    .cls = OP_REDUCING,
    .arity = 1,
    .domain = "fiub",
    .infer = argreduce_infer,
    .vjp = vjp_zero,
    .vmap = argreduce_vmap,
    .ref = argreduce_ref,
    .sample = argreduce_sample,
};

/* ---- cumulate --------------------------------------------------------------------------------------------------- */

tsr_node *tsr_prim_cumulate(tsr_ctx *c, tsr_node *x, tsr_reduce op, int axis, bool reverse) {
    struct attr a[3] = {attr_int(ATTR_AXIS, axis), attr_int(ATTR_REDUCE, (int64_t)op), attr_int(ATTR_REVERSE, reverse)};
    return node_make(c, &(struct draft){.op = TSR_OP_CUMULATE, .nsrc = 1, .src = &x, .nattr = 3, .attr = a});
}

static const tsr_type *cumulate_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    int64_t axis = draft_int(d, ATTR_AXIS);
    return axes_is_plain(c, "cumulate", x) && axes_check(c, "cumulate", "axis", 1, &axis, x->rank) &&
           reduce_admits(c, "cumulate", draft_int(d, ATTR_REDUCE), x->dtype) ? x : NULL;
}

/* y_k = x_0 ... x_k, so dx_i = (x_0 ... x_{i-1}) S_i with S_i = g_i + x_{i+1} S_{i+1}. The recurrence is solved by
 * doubling: after each turn S covers twice as many terms and A is the product that leads past them. No division, so
 * zeros are exact. */
static tsr_node *running_prod_cotangent(tsr_ctx *c, tsr_node *x, tsr_node *g, int axis, bool reverse) {
    int64_t lo, hi, step = reverse ? 1 : -1; /* towards the start of the walk */
    tsr_node *before = axes_shifted(c, tsr_prim_cumulate(c, x, TSR_REDUCE_PROD, axis, reverse), axis, -step, 1);
    tsr_node *s = g, *a = axes_shifted(c, x, axis, step, 1);
    tsr_extent_bounds(x->type->extent[axis], &lo, &hi);
    if (hi > INT32_MAX) hi = INT32_MAX;
    for (int64_t d = 1; d < hi; d *= 2) {
        s = tsr_prim2(c, TSR_S_ADD, s, tsr_prim2(c, TSR_S_MUL, a, axes_shifted(c, s, axis, step * d, 0)));
        if (2 * d < hi) a = tsr_prim2(c, TSR_S_MUL, a, axes_shifted(c, a, axis, step * d, 1));
    }
    return tsr_prim2(c, TSR_S_MUL, before, s);
}

/* Each y_k came from the latest element that equals it: its place is the running max (min, walking back) of such
 * places. */
static tsr_node *running_pick_cotangent(tsr_ctx *c, tsr_node *n, tsr_node *g, int axis, bool reverse) {
    const tsr_type *x = n->type, *places = type_with_dtype(c, x, TSR_I64);
    if (!places) return tsr_poison(c);
    tsr_node *at = tsr_prim_iota(c, places, axis), *record = tsr_prim2(c, TSR_S_EQ, n->src[0], n);
    tsr_node *place = tsr_prim3(c, TSR_S_SELECT, record, at, tsr_full(c, places, reverse ? INT32_MAX : 0));
    place = tsr_prim_cumulate(c, place, reverse ? TSR_REDUCE_MIN : TSR_REDUCE_MAX, axis, reverse);
    int64_t here = axis, others[TSR_MAX_RANK];
    int m = axes_rest(x->rank, 1, &here, 0, NULL, others);
    tsr_gather_dims d = {.n_collapsed = 1, .collapsed = &here, .n_map = 1, .map = &here, .index_vector_axis = x->rank,
                         .n_operand_batching = m, .operand_batching = others, .n_index_batching = m,
                         .index_batching = others};
    return tsr_prim_scatter(c, axes_zeros(c, x), place, g, &d, TSR_SCATTER_ADD);
}

static bool cumulate_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    int axis = (int)node_int(n, ATTR_AXIS);
    bool reverse = node_int(n, ATTR_REVERSE) != 0;
    if (!want[0]) return true;
    switch (node_int(n, ATTR_REDUCE)) {
    case TSR_REDUCE_SUM: gsrc[0] = tsr_prim_cumulate(c, gout[0], TSR_REDUCE_SUM, axis, !reverse); break;
    case TSR_REDUCE_PROD: gsrc[0] = running_prod_cotangent(c, n->src[0], gout[0], axis, reverse); break;
    case TSR_REDUCE_MAX:
    case TSR_REDUCE_MIN: gsrc[0] = running_pick_cotangent(c, n, gout[0], axis, reverse); break;
    default: break; /* integers and truth values: piecewise constant */
    }
    return true;
}

static tsr_node *cumulate_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                               const tsr_extent *size) {
    (void)batched, (void)size;
    return tsr_prim_cumulate(c, src[0], (tsr_reduce)node_int(n, ATTR_REDUCE), (int)node_int(n, ATTR_AXIS) + 1,
                             node_int(n, ATTR_REVERSE) != 0);
}

static tsr_status cumulate_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0];
    tsr_reduce op = (tsr_reduce)node_int(r->node, ATTR_REDUCE);
    bool reverse = node_int(r->node, ATTR_REVERSE) != 0;
    struct lines l = lines_of(x, node_int(r->node, ATTR_AXIS));
    for (int64_t k = 0; k < l.before * l.after; k++) {
        int64_t first = k / l.after * l.n * l.after + k % l.after;
        struct ref_val acc = ref_reduce_identity(op, x->dtype);
        for (int64_t i = 0; i < l.n; i++) {
            int64_t at = first + (reverse ? l.n - 1 - i : i) * l.after;
            acc = i ? ref_reduce(op, x->dtype, acc, ref_get(x, at)) : ref_get(x, at);
            ref_set(&r->out[0], at, acc);
        }
    }
    return TSR_OK;
}

static tsr_fn *cumulate_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK];
    int rank = (int)sample_int(s, 1, 4), axis = (int)sample_int(s, 0, rank - 1);
    tsr_reduce op = sample_reduce(s);
    sample_dims(s, rank, dim);
    sample_sum_of(s, dim[axis], 4);
    if (tsr_fn_begin(c, reduce_name(op))) return NULL;
    tsr_node *y = tsr_prim_cumulate(c, sample_param(c, s->dtype, rank, dim), op, axis, sample_int(s, 0, 1) != 0);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_CUMULATE = {
    .name = "cumulate",
    .formula = "y[k] = x[0] op ... op x[k] along axis (from the end when reverse)",
    .spec = "StableHLO reduce_window over all elements before, as a scan",
    .cls = OP_REDUCING,
    .arity = 1,
    .domain = "fiubc",
    .infer = cumulate_infer,
    .vjp = cumulate_vjp,
    .vmap = cumulate_vmap,
    .ref = cumulate_ref,
    .sample = cumulate_sample,
};
