/* op_index.c: dynamic_slice and dynamic_update_slice: a window of constant extents at a place known only when data
 * is there.
 *
 * Both follow StableHLO: start indices are integer scalars, one for each axis, and are clamped so that the window
 * lies inside the operand: start[i] = clamp(0, start[i], extent[i] - size[i]). Each is the other's gradient. With
 * batched start indices they become gather and scatter along batching dimensions; scatter skips instead of clamping,
 * so there the clamp is written out. */
#include <inttypes.h>
#include <string.h>

#include "graph/axes.h"
#include "graph/ref.h"

/* ---- shared by the two ------------------------------------------------------------------------------------------ */

/* The start scalars of a draft: one integer scalar for each axis of x, all of one dtype. */
static bool starts_check(tsr_ctx *c, const char *op, const struct draft *d, int first) {
    const tsr_type *x = d->src[0]->type;
    if (!axes_is_plain(c, op, x)) return false;
    if (d->nsrc - first != x->rank) {
        err_set(c, TSR_EINVAL, "%s: %d start indices for an operand %s; give one for each of its %d axes", op,
                d->nsrc - first, type_text(c, x), x->rank);
        return false;
    }
    for (int i = first; i < d->nsrc; i++) {
        const tsr_type *t = d->src[i]->type;
        if (t->kind == TSR_TENSOR && t->rank == 0 && dtype_is_int(t->dtype) && t->dtype == d->src[first]->type->dtype)
            continue;
        err_set(c, TSR_EINVAL, "%s: start index %d is %s; start indices are integer scalars of one dtype (the first "
                "is %s)", op, i - first, type_text(c, t), type_text(c, d->src[first]->type));
        return false;
    }
    return true;
}

/* The window must fit: size[i] <= extent[i] on every axis. */
static bool window_fits(tsr_ctx *c, const char *op, const tsr_type *x, const tsr_extent *const *size) {
    for (int i = 0; i < x->rank; i++) {
        int64_t v;
        if (!size[i]) return false;
        if (tsr_extent_is_int(size[i], &v) && v < 0)
            return err_set(c, TSR_EINVAL, "%s: size %" PRId64 " on axis %d is negative", op, v, i), false;
        if (!extent_require_le(c, size[i], x->extent[i],
                               "%s: a window of %s on axis %d does not fit into %s; take at most %s there", op,
                               extent_text(c, size[i]), i, type_text(c, x), extent_text(c, x->extent[i])))
            return false;
    }
    return true;
}

static tsr_node *make_dynamic(tsr_ctx *c, enum tsr_op op, int nsrc, tsr_node *const *src, int nattr,
                              const struct attr *attr) {
    return axes_poison(nsrc, src) ? tsr_poison(c)
        : node_make(c, &(struct draft){.op = op, .nsrc = nsrc, .src = src, .nattr = nattr, .attr = attr});
}

/* The sources in order: heads, then one start for each of the `rank` axes; returns how many. */
static int collect(tsr_node *const *head, int nhead, int rank, tsr_node *const *start, tsr_node **out) {
    memcpy(out, head, (size_t)nhead * sizeof *out);
    if (rank > 0) memcpy(out + nhead, start, (size_t)rank * sizeof *out);
    return nhead + rank;
}

static void clamped_starts(const struct ref_tensor *x, const int64_t *size, const struct ref_tensor *start,
                           int64_t *out) {
    for (int i = 0; i < x->rank; i++) {
        int64_t v = ref_index(&start[i], 0), last = x->dim[i] - size[i];
        out[i] = v < 0 ? 0 : v > last ? last : v;
    }
}

/* (size, rank) i64: the start indices of a batch, one row for each member. */
static tsr_node *start_matrix(tsr_ctx *c, int rank, tsr_node *const *start, const bool *batched,
                              const tsr_extent *size) {
    tsr_node *column[TSR_MAX_RANK];
    const tsr_extent *dims[2] = {size, tsr_extent_int(c, 1)};
    const tsr_type *t = dims[1] ? tsr_type_tensor(c, TSR_I64, 2, dims) : NULL;
    for (int i = 0; i < rank; i++) {
        tsr_node *s = rule_batch(c, start[i], batched[i], size);
        if (tsr_is_poison(s) || !t) return tsr_poison(c);
        column[i] = tsr_prim_reshape(c, axes_index64(c, s), t);
    }
    return tsr_prim_concat(c, rank, column, 1);
}

static bool any(int n, const bool *flag) {
    for (int i = 0; i < n; i++)
        if (flag[i]) return true;
    return false;
}

/* start[i] for each axis of x, with a zero in front for the batch axis. */
static void starts_under_batch(tsr_ctx *c, int rank, tsr_node *const *start, tsr_node **out) {
    out[0] = tsr_scalar_int(c, rank && !tsr_is_poison(start[0]) ? tsr_node_dtype(start[0]) : TSR_I64, 0);
    for (int i = 0; i < rank; i++) out[i + 1] = start[i];
}

/* ---- dynamic_slice ---------------------------------------------------------------------------------------------- */

tsr_node *tsr_prim_dynamic_slice(tsr_ctx *c, tsr_node *x, tsr_node *const *start, const tsr_extent *const *sizes) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    tsr_node *src[1 + TSR_MAX_RANK];
    int rank = tsr_node_rank(x), n = collect(&x, 1, rank, start, src);
    struct attr a = attr_exts(ATTR_SIZES, (size_t)rank, sizes);
    for (int i = 0; i < rank; i++)
        if (!sizes[i]) return tsr_poison(c);
    return make_dynamic(c, TSR_OP_DYNAMIC_SLICE, n, src, 1, &a);
}

static const tsr_type *slice_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    const tsr_extent *const *size = draft_attr(d, ATTR_SIZES)->exts;
    if (!starts_check(c, "dynamic_slice", d, 1) || !window_fits(c, "dynamic_slice", x, size)) return NULL;
    return tsr_type_tensor(c, x->dtype, x->rank, size);
}

static bool slice_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (want[0]) gsrc[0] = tsr_prim_dynamic_update_slice(c, axes_zeros(c, n->src[0]->type), gout[0], n->src + 1);
    return true;
}

/* One gather for the whole batch; x takes part with a batching dimension when it is batched. */
static tsr_node *slice_by_gather(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                                 const tsr_extent *size) {
    int rank = n->type->rank, front = batched[0];
    int64_t axes[TSR_MAX_RANK + 1], offset[TSR_MAX_RANK], zero = 0;
    const tsr_extent *sizes[TSR_MAX_RANK + 1] = {tsr_extent_int(c, 1)};
    if (!sizes[0]) return tsr_poison(c);
    for (int i = 0; i < rank; i++) axes[i] = i + front, offset[i] = i + 1, sizes[i + front] = n->type->extent[i];
    tsr_gather_dims dims = {.n_offset = rank, .offset = offset, .n_map = rank, .map = axes, .index_vector_axis = 1,
                            .n_operand_batching = front, .operand_batching = &zero, .n_index_batching = front,
                            .index_batching = &zero};
    return tsr_prim_gather(c, src[0], start_matrix(c, rank, src + 1, batched + 1, size), &dims, sizes);
}

static tsr_node *slice_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                            const tsr_extent *size) {
    int rank = n->type->rank;
    if (any(rank, batched + 1)) return slice_by_gather(c, n, src, batched, size);
    tsr_node *start[TSR_MAX_RANK + 1];
    const tsr_extent *sizes[TSR_MAX_RANK + 1] = {size};
    starts_under_batch(c, rank, src + 1, start);
    for (int i = 0; i < rank; i++) sizes[i + 1] = n->type->extent[i];
    return tsr_prim_dynamic_slice(c, src[0], start, sizes);
}

static tsr_status slice_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0];
    struct ref_tensor *y = &r->out[0];
    int64_t start[TSR_MAX_RANK], at[TSR_MAX_RANK];
    clamped_starts(x, y->dim, r->in + 1, start);
    for (int64_t k = 0; k < y->count; k++) {
        ref_unravel(y->rank, y->dim, k, at);
        for (int i = 0; i < y->rank; i++) at[i] += start[i];
        ref_move(y, k, x, ref_ravel(x->rank, x->dim, at));
    }
    return TSR_OK;
}

/* Random window extents in dim, and start parameters that also lie outside. */
static void sample_window(tsr_ctx *c, struct sample *s, int rank, int64_t *dim, int64_t *size, int nhead,
                          tsr_node **start) {
    static const tsr_dtype index_type[] = {TSR_I32, TSR_I64, TSR_U32, TSR_I8};
    tsr_dtype t = index_type[sample_int(s, 0, 3)];
    for (int i = 0; i < rank; i++) {
        size[i] = sample_int(s, 0, 9) ? sample_int(s, dim[i] ? 1 : 0, dim[i]) : 0;
        start[i] = sample_param(c, t, 0, NULL);
        if (nhead + i < 8)
            s->lo[nhead + i] = t == TSR_U32 ? 0 : -2, s->hi[nhead + i] = dim[i] < 100 ? (double)dim[i] + 1 : 100;
    }
}

static tsr_fn *slice_sample(tsr_ctx *c, struct sample *s) {
    int rank = (int)sample_int(s, 0, 4);
    int64_t dim[TSR_MAX_RANK], size[TSR_MAX_RANK];
    tsr_node *start[TSR_MAX_RANK];
    const tsr_extent *sizes[TSR_MAX_RANK];
    sample_dims(s, rank, dim);
    if (tsr_fn_begin(c, "dynamic_slice")) return NULL;
    tsr_node *x = sample_param(c, s->dtype, rank, dim);
    sample_window(c, s, rank, dim, size, 1, start);
    for (int i = 0; i < rank; i++) sizes[i] = tsr_extent_int(c, size[i]);
    tsr_node *y = tsr_prim_dynamic_slice(c, x, start, sizes);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_DYNAMIC_SLICE = {
    .name = "dynamic_slice",
    .formula = "y[i, j, ...] = x[i + s0, j + s1, ...], s clamped to lie inside",
    .spec = "StableHLO dynamic_slice",
    .cls = OP_MOVE,
    .arity = -1,
    .domain = "fiubc",
    .infer = slice_infer,
    .vjp = slice_vjp,
    .vmap = slice_vmap,
    .ref = slice_ref,
    .sample = slice_sample,
};

/* ---- dynamic_update_slice --------------------------------------------------------------------------------------- */

tsr_node *tsr_prim_dynamic_update_slice(tsr_ctx *c, tsr_node *x, tsr_node *update, tsr_node *const *start) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    tsr_node *src[2 + TSR_MAX_RANK];
    int n = collect((tsr_node *[]){x, update}, 2, tsr_node_rank(x), start, src);
    return make_dynamic(c, TSR_OP_DYNAMIC_UPDATE_SLICE, n, src, 0, NULL);
}

static const tsr_type *update_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *u = d->src[1]->type;
    if (u->kind != TSR_TENSOR || x->kind != TSR_TENSOR || u->rank != x->rank || u->dtype != x->dtype) {
        err_set(c, TSR_EINVAL, "dynamic_update_slice: an update %s does not fit an operand %s; both need one dtype and "
                "one rank", type_text(c, u), type_text(c, x));
        return NULL;
    }
    if (!starts_check(c, "dynamic_update_slice", d, 2) || !window_fits(c, "dynamic_update_slice", x, u->extent))
        return NULL;
    return x;
}

static bool update_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    const tsr_type *u = n->src[1]->type;
    if (want[0]) gsrc[0] = tsr_prim_dynamic_update_slice(c, gout[0], axes_zeros(c, u), n->src + 2);
    if (want[1]) gsrc[1] = tsr_prim_dynamic_slice(c, gout[0], n->src + 2, u->extent);
    return true;
}

/* (size, rank) clamped start indices: scatter would skip a window that sticks out. */
static tsr_node *clamp_matrix(tsr_ctx *c, tsr_node *index, const tsr_type *x, const tsr_type *u) {
    tsr_node *bound[TSR_MAX_RANK];
    const tsr_type *one = tsr_type_dims(c, TSR_I64, 1, (int64_t[]){1});
    for (int i = 0; i < x->rank; i++) {
        tsr_node *last = axes_extent_value(c, tsr_extent_sub(c, x->extent[i], u->extent[i]), 0);
        bound[i] = one ? tsr_prim_reshape(c, last, one) : tsr_poison(c);
    }
    tsr_node *hi = tsr_prim_concat(c, x->rank, bound, 0);
    if (tsr_is_poison(index)) return tsr_poison(c);
    return tsr_prim3(c, TSR_S_CLAMP, tsr_scalar_int(c, TSR_I64, 0), index,
                     axes_expand(c, hi, index->type, 1, (int64_t[]){0}));
}

static tsr_node *update_by_scatter(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                                   const tsr_extent *size) {
    const tsr_type *x = n->type;
    int64_t axes[TSR_MAX_RANK], zero = 0;
    for (int i = 0; i < x->rank; i++) axes[i] = i + 1;
    tsr_gather_dims dims = {.n_offset = x->rank, .offset = axes, .n_map = x->rank, .map = axes, .index_vector_axis = 1,
                            .unique = true,
                            .n_operand_batching = 1, .operand_batching = &zero, .n_index_batching = 1,
                            .index_batching = &zero};
    tsr_node *index = clamp_matrix(c, start_matrix(c, x->rank, src + 2, batched + 2, size), x, n->src[1]->type);
    return tsr_prim_scatter(c, rule_batch(c, src[0], batched[0], size), index, rule_batch(c, src[1], batched[1], size),
                            &dims,
                            TSR_SCATTER_SET);
}

static tsr_node *update_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                             const tsr_extent *size) {
    int rank = n->type->rank;
    if (any(rank, batched + 2)) return update_by_scatter(c, n, src, batched, size);
    tsr_node *start[TSR_MAX_RANK + 1];
    starts_under_batch(c, rank, src + 2, start);
    return tsr_prim_dynamic_update_slice(c, rule_batch(c, src[0], batched[0], size),
                                         rule_batch(c, src[1], batched[1], size), start);
}

static tsr_status update_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0], *u = &r->in[1];
    struct ref_tensor *y = &r->out[0];
    int64_t start[TSR_MAX_RANK], at[TSR_MAX_RANK];
    clamped_starts(x, u->dim, r->in + 2, start);
    for (int64_t k = 0; k < y->count; k++) ref_move(y, k, x, k);
    for (int64_t k = 0; k < u->count; k++) {
        ref_unravel(u->rank, u->dim, k, at);
        for (int i = 0; i < y->rank; i++) at[i] += start[i];
        ref_move(y, ref_ravel(y->rank, y->dim, at), u, k);
    }
    return TSR_OK;
}

static tsr_fn *update_sample(tsr_ctx *c, struct sample *s) {
    int rank = (int)sample_int(s, 0, 4);
    int64_t dim[TSR_MAX_RANK], size[TSR_MAX_RANK];
    tsr_node *start[TSR_MAX_RANK];
    sample_dims(s, rank, dim);
    if (tsr_fn_begin(c, "dynamic_update_slice")) return NULL;
    tsr_node *x = sample_param(c, s->dtype, rank, dim);
    sample_window(c, s, rank, dim, size, 1, start); /* the update is the last parameter: its extents are known here */
    tsr_node *u = sample_param(c, s->dtype, rank, size);
    tsr_node *y = tsr_prim_dynamic_update_slice(c, x, u, start);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_DYNAMIC_UPDATE_SLICE = {
    .name = "dynamic_update_slice",
    .formula = "x with x[i + s0, j + s1, ...] = update[i, j, ...], s clamped to lie inside",
    .spec = "StableHLO dynamic_update_slice",
    .cls = OP_MOVE,
    .arity = -1,
    .domain = "fiubc",
    .infer = update_infer,
    .vjp = update_vjp,
    .vmap = update_vmap,
    .ref = update_ref,
    .sample = update_sample,
};
