/* op_form_cut.c: ops that leave elements out, add some, or turn an axis round: slice, pad, concat, reverse.
 *
 * Bounds may be extent expressions: result extents are computed as expressions; "0 <= start <= limit <= extent" is
 * proved or becomes a check of the open fn. Negative low and high padding crop; interior padding puts elements
 * between neighbours, as in StableHLO.
 *
 * Gradients pair up: slice with pad (a stride with interior padding), concat with slices, reverse with itself. */
#include "graph/op_form.h"

/* ---- slice ------------------------------------------------------------------------------------------------------ */

static bool slice_axis(tsr_ctx *c, const tsr_type *x, int i, const tsr_extent *start, const tsr_extent *limit,
    int64_t stride, const tsr_extent **out) {
    const char *fmt = "slice: axis %d of %s: start %s, limit %s: it must be that 0 <= start <= limit <= extent";
    if (!start || !limit) return false;
    if (stride < 1)
        return err_set(c, TSR_EINVAL, "slice: axis %d of %s has stride %lld; strides are 1 or more "
            "(tsr_prim_reverse turns an axis)", i, type_text(c, x), (long long)stride), false;
    const char *a = type_text(c, x), *b = extent_text(c, start), *e = extent_text(c, limit);
    if (!extent_require_le(c, tsr_extent_int(c, 0), start, fmt, i, a, b, e) || !extent_require_le(c, start, limit,
        fmt, i, a, b, e) || !extent_require_le(c, limit, x->extent[i], fmt, i, a, b, e))
        return false;
    *out = tsr_extent_ceildiv(c, tsr_extent_sub(c, limit, start), tsr_extent_int(c, stride));
    return *out != NULL;
}

static const tsr_type *slice_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    const struct attr *start = draft_attr(d, ATTR_START), *limit = draft_attr(d, ATTR_LIMIT),
        *stride = draft_attr(d, ATTR_STRIDE);
    const tsr_extent *e[TSR_MAX_RANK];
    NEED_TENSOR("slice", x);
    FOR_AXES(i, x) if (!slice_axis(c, x, i, start->exts[i], limit->exts[i], stride->ints[i], &e[i])) return NULL;
    if (tsr_dtype_of(x->dtype)->kind == TSR_KIND_BLOCK) {
        err_set(c, TSR_EINVAL, "slice: %s: blocks are not cut; convert to f32 first", type_text(c, x));
        return NULL;
    }
    return tsr_type_tensor(c, x->dtype, x->rank, e);
}

/* Put the elements back where they were, with zeros between and around. */
static bool slice_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    const tsr_type *x = n->src[0]->type;
    const tsr_extent *const *start = node_exts(n, ATTR_START, NULL), *high[TSR_MAX_RANK];
    const int64_t *stride = node_ints(n, ATTR_STRIDE, NULL);
    int64_t interior[TSR_MAX_RANK];
    if (!want[0]) return true;
    FOR_AXES(i, x) {
        interior[i] = stride[i] - 1;
        high[i] = tsr_extent_sub(c, tsr_extent_sub(c, x->extent[i], start[i]), extent_dilated(c, n->type->extent[i],
            stride[i]));
    }
    gsrc[0] = axes_as(c, tsr_prim_pad(c, gout[0], tsr_scalar_float(c, x->dtype, 0), start, high, interior), x);
    return true;
}

static tsr_node *slice_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    const tsr_extent *start[TSR_MAX_RANK + 1] = {tsr_extent_int(c, 0)}, *limit[TSR_MAX_RANK + 1] = {size};
    int64_t stride[TSR_MAX_RANK + 1] = {1};
    FOR_AXES(i, n->type) {
        start[i + 1] = node_exts(n, ATTR_START, NULL)[i], limit[i + 1] = node_exts(n, ATTR_LIMIT, NULL)[i];
        stride[i + 1] = node_ints(n, ATTR_STRIDE, NULL)[i];
    }
    return tsr_prim_slice(c, rule_batch(c, src[0], batched[0], size), start, limit, stride);
}

static tsr_status slice_ref(struct ref_call *r) {
    const tsr_extent *const *start = node_exts(r->node, ATTR_START, NULL);
    const int64_t *stride = node_ints(r->node, ATTR_STRIDE, NULL);
    int64_t at[TSR_MAX_RANK], first[TSR_MAX_RANK];
    for (int j = 0; j < r->in->rank; j++) first[j] = r->extent(r, start[j]);
    for (int64_t i = 0; i < r->out->count; i++) {
        ref_unravel(r->out->rank, r->out->dim, i, at);
        for (int j = 0; j < r->in->rank; j++) at[j] = first[j] + at[j] * stride[j];
        ref_move(r->out, i, r->in, ref_ravel(r->in->rank, r->in->dim, at));
    }
    return TSR_OK;
}

tsr_node *tsr_prim_slice(tsr_ctx *c, tsr_node *x, const tsr_extent *const *start, const tsr_extent *const *limit,
    const int64_t *stride) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    bool whole = is_tensor(x);
    size_t rank = whole ? (size_t)x->type->rank : 0;
    for (size_t i = 0; i < rank; i++) {
        if (!start[i] || !limit[i]) return tsr_poison(c);
        whole = whole && extent_is(start[i], 0) && limit[i] == x->type->extent[i] && stride[i] == 1;
    }
    if (whole) return x;
    struct attr a[] = {attr_exts(ATTR_START, rank, start), attr_exts(ATTR_LIMIT, rank, limit),
        attr_ints(ATTR_STRIDE, rank, stride)};
    return form(c, TSR_OP_SLICE, 1, &x, 3, a, NULL);
}

static bool ints_to_exts(tsr_ctx *c, int n, const int64_t *v, const tsr_extent **e) {
    for (int i = 0; i < n; i++)
        if (!(e[i] = tsr_extent_int(c, v[i]))) return false;
    return true;
}

tsr_node *tsr_prim_slice_ints(tsr_ctx *c, tsr_node *x, const int64_t *start, const int64_t *limit,
    const int64_t *stride) {
    const tsr_extent *s[TSR_MAX_RANK], *l[TSR_MAX_RANK];
    int64_t ones[TSR_MAX_RANK];
    int rank = is_tensor(x) ? x->type->rank : 0;
    for (int i = 0; i < rank; i++) ones[i] = 1;
    if (!ints_to_exts(c, rank, start, s) || !ints_to_exts(c, rank, limit, l)) return tsr_poison(c);
    return tsr_prim_slice(c, x, s, l, stride ? stride : ones);
}

const struct op_def op_SLICE = {
    .name = "slice", .formula = "y[i] = x[start + i * stride]", .spec = "StableHLO slice", .cls = OP_MOVE, .arity = 1,
    .domain = "fiubc", .infer = slice_infer, .vjp = slice_vjp, .vmap = slice_vmap, .ref = slice_ref,
    .sample = sample_slice,
};

/* ---- pad -------------------------------------------------------------------------------------------------------- */

static const tsr_type *pad_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *v = d->src[1]->type;
    const struct attr *low = draft_attr(d, ATTR_LOW), *high = draft_attr(d, ATTR_HIGH),
        *interior = draft_attr(d, ATTR_INTERIOR);
    const tsr_extent *e[TSR_MAX_RANK];
    NEED_TENSOR("pad", x);
    if (v->kind != TSR_TENSOR || v->rank || v->dtype != x->dtype || tsr_dtype_of(x->dtype)->kind == TSR_KIND_BLOCK) {
        err_set(c, TSR_EINVAL, "pad: %s with %s: the padding value must be a scalar of the operand's dtype, and no "
            "block type", type_text(c, x), type_text(c, v));
        return NULL;
    }
    FOR_AXES(i, x) {
        if (interior->ints[i] < 0) {
            err_set(c, TSR_EINVAL, "pad: axis %d of %s has interior padding %lld; only low and high may be negative",
                i, type_text(c, x), (long long)interior->ints[i]);
            return NULL;
        }
        const tsr_extent *dilated = extent_dilated(c, x->extent[i], interior->ints[i] + 1);
        e[i] = tsr_extent_add(c, tsr_extent_add(c, low->exts[i], dilated), high->exts[i]);
        if (!e[i] || !extent_require_le(c, tsr_extent_int(c, 0), e[i],
            "pad: axis %d of %s: low %s and high %s crop more than is there (extent %s would be left)", i,
            type_text(c, x), extent_text(c, low->exts[i]), extent_text(c, high->exts[i]), extent_text(c, e[i])))
            return NULL;
    }
    return tsr_type_tensor(c, x->dtype, x->rank, e);
}

/* What pad put where: crop the edges off (or, where pad cropped, add zeros), then take each (interior + 1)-th
 * element. */
static tsr_node *pad_undo(tsr_ctx *c, tsr_node *n, tsr_node *g) {
    const tsr_type *x = n->src[0]->type;
    const tsr_extent *low[TSR_MAX_RANK], *high[TSR_MAX_RANK], *start[TSR_MAX_RANK], *limit[TSR_MAX_RANK],
        *zero = tsr_extent_int(c, 0);
    int64_t none[TSR_MAX_RANK] = {0}, stride[TSR_MAX_RANK];
    FOR_AXES(i, x) {
        low[i] = tsr_extent_sub(c, zero, node_exts(n, ATTR_LOW, NULL)[i]);
        high[i] = tsr_extent_sub(c, zero, node_exts(n, ATTR_HIGH, NULL)[i]);
        stride[i] = node_ints(n, ATTR_INTERIOR, NULL)[i] + 1;
        start[i] = zero, limit[i] = extent_dilated(c, x->extent[i], stride[i]);
    }
    g = tsr_prim_pad(c, g, tsr_scalar_float(c, x->dtype, 0), low, high, none);
    return axes_as(c, tsr_prim_slice(c, g, start, limit, stride), x);
}

/* True where the result of pad n is the padding value. */
static tsr_node *pad_mask(tsr_ctx *c, const tsr_node *n, const tsr_type *x) {
    tsr_node *here = rule_zeros(c, type_with_dtype(c, x, TSR_BOOL));
    return tsr_prim_pad(c, here, tsr_scalar_int(c, TSR_BOOL, 1), node_exts(n, ATTR_LOW, NULL),
        node_exts(n, ATTR_HIGH, NULL), node_ints(n, ATTR_INTERIOR, NULL));
}

static bool pad_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (want[0]) gsrc[0] = pad_undo(c, n, gout[0]);
    if (want[1]) {
        tsr_node *edge = tsr_prim3(c, TSR_S_SELECT, pad_mask(c, n, n->src[0]->type), gout[0],
            rule_full_like(c, gout[0], 0));
        gsrc[1] = rule_unbroadcast(c, edge, n->src[1]->type);
    }
    return true;
}

static tsr_node *pad_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    const tsr_extent *low[TSR_MAX_RANK + 1], *high[TSR_MAX_RANK + 1];
    int64_t interior[TSR_MAX_RANK + 1] = {0};
    low[0] = high[0] = tsr_extent_int(c, 0);
    FOR_AXES(i, n->type) {
        low[i + 1] = node_exts(n, ATTR_LOW, NULL)[i], high[i + 1] = node_exts(n, ATTR_HIGH, NULL)[i];
        interior[i + 1] = node_ints(n, ATTR_INTERIOR, NULL)[i];
    }
    tsr_node *x = rule_batch(c, src[0], batched[0], size);
    tsr_node *y = tsr_prim_pad(c, x, batched[1] ? tsr_scalar_float(c, n->type->dtype, 0) : src[1], low, high, interior);
    if (!batched[1] || tsr_is_poison(y)) return y;
    tsr_node *mask = rule_batch(c, pad_mask(c, n, n->src[0]->type), false, size);
    return tsr_prim3(c, TSR_S_SELECT, mask, tsr_prim_broadcast(c, src[1], y->type, (int64_t[]){0}), y);
}

static tsr_status pad_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0];
    const int64_t *interior = node_ints(r->node, ATTR_INTERIOR, NULL);
    int64_t at[TSR_MAX_RANK], low[TSR_MAX_RANK];
    for (int j = 0; j < x->rank; j++) low[j] = r->extent(r, node_exts(r->node, ATTR_LOW, NULL)[j]);
    for (int64_t i = 0; i < r->out->count; i++) {
        bool inside = true;
        ref_unravel(x->rank, r->out->dim, i, at);
        for (int j = 0; j < x->rank && inside; j++) {
            int64_t from = at[j] - low[j], every = interior[j] + 1;
            inside = from >= 0 && from % every == 0 && from / every < x->dim[j];
            at[j] = from / every;
        }
        ref_move(r->out, i, inside ? x : &r->in[1], inside ? ref_ravel(x->rank, x->dim, at) : 0);
    }
    return TSR_OK;
}

tsr_node *tsr_prim_pad(tsr_ctx *c, tsr_node *x, tsr_node *value, const tsr_extent *const *low,
    const tsr_extent *const *high, const int64_t *interior) {
    if (tsr_is_poison(x) || tsr_is_poison(value)) return tsr_poison(c);
    bool nothing = is_tensor(x) && value->type->kind == TSR_TENSOR && value->type->dtype == x->type->dtype;
    size_t rank = is_tensor(x) ? (size_t)x->type->rank : 0;
    for (size_t i = 0; i < rank; i++) {
        if (!low[i] || !high[i]) return tsr_poison(c);
        nothing = nothing && extent_is(low[i], 0) && extent_is(high[i], 0) && interior[i] == 0;
    }
    if (nothing) return x;
    struct attr a[] = {attr_exts(ATTR_LOW, rank, low), attr_exts(ATTR_HIGH, rank, high),
        attr_ints(ATTR_INTERIOR, rank, interior)};
    return form(c, TSR_OP_PAD, 2, (tsr_node *[]){x, value}, 3, a, NULL);
}

tsr_node *tsr_prim_pad_ints(tsr_ctx *c, tsr_node *x, tsr_node *value, const int64_t *low, const int64_t *high,
    const int64_t *interior) {
    const tsr_extent *l[TSR_MAX_RANK], *h[TSR_MAX_RANK];
    int64_t none[TSR_MAX_RANK] = {0};
    int rank = is_tensor(x) ? x->type->rank : 0;
    if (!ints_to_exts(c, rank, low, l) || !ints_to_exts(c, rank, high, h)) return tsr_poison(c);
    return tsr_prim_pad(c, x, value, l, h, interior ? interior : none);
}

const struct op_def op_PAD = {
    .name = "pad", .formula = "y[low + i * (interior + 1)] = x[i], value elsewhere", .spec = "StableHLO pad",
    .cls = OP_MOVE, .arity = 2,
    .domain = "fiubc", .infer = pad_infer, .vjp = pad_vjp, .vmap = pad_vmap, .ref = pad_ref, .sample = sample_pad,
};

/* ---- concat ----------------------------------------------------------------------------------------------------- */

static const tsr_type *concat_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    int64_t axis = draft_int(d, ATTR_AXIS);
    NEED_TENSOR("concat", x);
    if (!axes_check(c, "concat", "axis", 1, &axis, x->rank)) return NULL;
    const tsr_extent *sum = x->extent[axis];
    for (int k = 1; k < d->nsrc; k++) {
        const tsr_type *y = d->src[k]->type;
        bool fits = y->kind == TSR_TENSOR && y->dtype == x->dtype && y->rank == x->rank &&
            tsr_dtype_of(x->dtype)->kind != TSR_KIND_BLOCK;
        if (!fits) {
            err_set(c, TSR_EINVAL, "concat: %s and %s: operands have one dtype (no block type) and one rank; "
                "convert or reshape first", type_text(c, x), type_text(c, y));
            return NULL;
        }
        FOR_AXES(i, x) {
            if (i != axis && !extent_require_equal(c, x->extent[i], y->extent[i],
                "concat along axis %d: %s and %s differ on axis %d; only axis %d may differ", (int)axis,
                type_text(c, x), type_text(c, y), i, (int)axis))
                return NULL;
        }
        sum = tsr_extent_add(c, sum, y->extent[axis]);
    }
    return sum ? type_with_extent(c, x, (int)axis, sum) : NULL;
}

static bool concat_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    int64_t axis = node_int(n, ATTR_AXIS), ones[TSR_MAX_RANK];
    const tsr_extent *start[TSR_MAX_RANK], *limit[TSR_MAX_RANK], *at = tsr_extent_int(c, 0);
    FOR_AXES(i, n->type) ones[i] = 1, start[i] = tsr_extent_int(c, 0), limit[i] = n->type->extent[i];
    for (int k = 0; k < n->nsrc; k++) {
        start[axis] = at;
        limit[axis] = at = tsr_extent_add(c, at, n->src[k]->type->extent[axis]);
        if (want[k]) gsrc[k] = axes_as(c, tsr_prim_slice(c, gout[0], start, limit, ones), n->src[k]->type);
    }
    return true;
}

static tsr_node *concat_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    tsr_node **x = mem_array(c, (size_t)n->nsrc, sizeof *x), *y = tsr_poison(c);
    for (int k = 0; x && k < n->nsrc; k++) x[k] = rule_batch(c, src[k], batched[k], size);
    if (x) y = tsr_prim_concat(c, n->nsrc, x, (int)node_int(n, ATTR_AXIS) + 1);
    mem_array_free(c, x, (size_t)n->nsrc, sizeof *x);
    return y;
}

static tsr_status concat_ref(struct ref_call *r) {
    int64_t axis = node_int(r->node, ATTR_AXIS), inner = step(r->out->dim, r->out->rank, (int)axis), first = 0;
    for (int k = 0; k < r->nin; first += r->in[k++].dim[axis]) {
        int64_t row = r->in[k].dim[axis] * inner;
        for (int64_t i = 0; i < r->in[k].count; i++)
            ref_move(r->out, i / row * r->out->dim[axis] * inner + first * inner + i % row, &r->in[k], i);
    }
    return TSR_OK;
}

tsr_node *tsr_prim_concat(tsr_ctx *c, int n, tsr_node *const *x, int axis) {
    struct attr a = attr_int(ATTR_AXIS, axis);
    if (n < 1) return err_set(c, TSR_EINVAL, "concat of %d operands: give at least one", n), tsr_poison(c);
    if (n == 1 && is_tensor(x[0]) && axis >= 0 && axis < x[0]->type->rank) return x[0];
    return form(c, TSR_OP_CONCAT, n, x, 1, &a, NULL);
}

const struct op_def op_CONCAT = {
    .name = "concat", .formula = "y = x0, then x1, ... along axis", .spec = "StableHLO concatenate", .cls = OP_MOVE,
    .arity = -1,
    .domain = "fiubc", .infer = concat_infer, .vjp = concat_vjp, .vmap = concat_vmap, .ref = concat_ref,
    .sample = sample_concat,
};

/* ---- reverse ---------------------------------------------------------------------------------------------------- */

static const tsr_type *reverse_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    const struct attr *axes = draft_attr(d, ATTR_AXES);
    NEED_TENSOR("reverse", x);
    if (tsr_dtype_of(x->dtype)->kind == TSR_KIND_BLOCK) {
        err_set(c, TSR_EINVAL, "reverse: %s: blocks are not taken apart; convert to f32 first", type_text(c, x));
        return NULL;
    }
    return axes_check(c, "reverse", "axes", axes->n, axes->ints, x->rank) ? x : NULL;
}

static bool reverse_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    int count;
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    if (want[0]) gsrc[0] = tsr_prim_reverse(c, gout[0], count, axes);
    return true;
}

static tsr_node *reverse_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    int count;
    int64_t axes[TSR_MAX_RANK];
    const int64_t *own = node_ints(n, ATTR_AXES, &count);
    axes_shift(-1, (size_t)count, own, axes);
    return tsr_prim_reverse(c, rule_batch(c, src[0], batched[0], size), count, axes);
}

static tsr_status reverse_ref(struct ref_call *r) {
    int count;
    const int64_t *axes = node_ints(r->node, ATTR_AXES, &count);
    int64_t at[TSR_MAX_RANK];
    for (int64_t i = 0; i < r->out->count; i++) {
        ref_unravel(r->out->rank, r->out->dim, i, at);
        for (int j = 0; j < count; j++) at[axes[j]] = r->in->dim[axes[j]] - 1 - at[axes[j]];
        ref_move(r->out, i, r->in, ref_ravel(r->in->rank, r->in->dim, at));
    }
    return TSR_OK;
}

tsr_node *tsr_prim_reverse(tsr_ctx *c, tsr_node *x, int n, const int64_t *axes) {
    struct attr a = attr_ints(ATTR_AXES, n < 0 ? 0 : (size_t)n, axes);
    if (n == 0 && is_tensor(x)) return x;
    if (n > TSR_MAX_RANK)
        return err_set(c, TSR_EINVAL, "reverse: %d axes; a tensor has at most %d", n, TSR_MAX_RANK), tsr_poison(c);
    return form(c, TSR_OP_REVERSE, 1, &x, 1, &a, NULL);
}

const struct op_def op_REVERSE = {
    .name = "reverse", .formula = "y[i] = x[n - 1 - i] along axes", .spec = "StableHLO reverse", .cls = OP_MOVE,
    .arity = 1,
    .domain = "fiubc", .infer = reverse_infer, .vjp = reverse_vjp, .vmap = reverse_vmap, .ref = reverse_ref,
    .sample = sample_reverse,
};
