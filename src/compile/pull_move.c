/* pull_move.c: movement ops: each rewrites the index and pulls its source.
 *
 * Those with a condition (pad, concat, dynamic_update_slice) add it to the guard of what they pull, so that nothing is
 * read out of bounds, and select by it. Start indices that come from data are scalars of the program where they can be,
 * else i64 tiles. */
#include "compile/lower.h"

static const struct index empty_index;

static const struct index *own_view(struct kern *k, const tsr_node *n, const struct index *x) {
    return index_view(k, x, n->type->rank, n->type->extent);
}

tsr_tv pull_iota(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    (void)g;
    const struct index *v = own_view(k, n, x);
    return tsr_tile_cast(k->p, n->type->dtype, kern_ix(k, &v->at[node_int(n, ATTR_AXIS)]));
}

tsr_tv pull_reshape(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    return pull_value(k, n->src[0], n->src[0]->type->rank ? x : &empty_index, g); /* the view says it all */
}

tsr_tv pull_broadcast(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const tsr_node *s = n->src[0];
    if (s->type->rank == 0) return pull_value(k, s, &empty_index, g);
    const struct index *v = own_view(k, n, x);
    const int64_t *axes = node_ints(n, ATTR_AXES, NULL);
    struct index *y = index_new(k, s->type);
    for (int i = 0; i < s->type->rank; i++)
        if (!extent_is(s->type->extent[i], 1)) y->at[i] = v->at[axes[i]];
    return pull_value(k, s, y, g);
}

tsr_tv pull_transpose(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = own_view(k, n, x);
    const int64_t *perm = node_ints(n, ATTR_PERM, NULL);
    struct index *y = index_new(k, n->src[0]->type);
    for (int i = 0; i < v->rank; i++) y->at[perm[i]] = v->at[i];
    return pull_value(k, n->src[0], y, g);
}

tsr_tv pull_slice(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = own_view(k, n, x);
    const tsr_extent *const *start = node_exts(n, ATTR_START, NULL);
    const int64_t *stride = node_ints(n, ATTR_STRIDE, NULL);
    struct index *y = index_new(k, n->src[0]->type);
    for (int i = 0; i < v->rank; i++) {
        struct ix s = ix_scale(k, &v->at[i], ext_int(k->c, stride[i]));
        y->at[i] = ix_add_ext(k, &s, start[i]);
    }
    return pull_value(k, n->src[0], y, g);
}

tsr_tv pull_reverse(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = own_view(k, n, x);
    int count;
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    struct index *y = index_new(k, n->src[0]->type);
    for (int i = 0; i < v->rank; i++) y->at[i] = v->at[i];
    for (int i = 0; i < count; i++) {
        struct ix s = ix_scale(k, &v->at[axes[i]], ext_int(k->c, -1));
        y->at[axes[i]] = ix_add_ext(k, &s, ext_sub(k->c, y->dim[axes[i]], ext_int(k->c, 1)));
    }
    return pull_value(k, n->src[0], y, g);
}

/* ---- with conditions ---- */

/* x[i - low] inside, the pad value outside. Reads of elements between interior padding are in bounds, their values
 * unused. */
tsr_tv pull_pad(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = own_view(k, n, x);
    const tsr_extent *const *low = node_exts(n, ATTR_LOW, NULL), *const *high = node_exts(n, ATTR_HIGH, NULL);
    const int64_t *interior = node_ints(n, ATTR_INTERIOR, NULL);
    const tsr_node *s = n->src[0];
    struct index *y = index_new(k, s->type);
    tsr_tv cond = TSR_TV_NONE, value = pull_value(k, n->src[1], &empty_index, g);
    const struct guard *inner = g;
    bool spaced = false;
    for (int i = 0; i < v->rank; i++) {
        y->at[i] = ix_add_ext(k, &v->at[i], ext_sub(k->c, ext_int(k->c, 0), low[i]));
        if (interior[i]) {
            const tsr_extent *step = ext_int(k->c, interior[i] + 1), *span = ext_mul(k->c, s->type->extent[i], step);
            pull_within(k, &inner, &cond, &y->at[i], span);
            y->at[i] = pull_between(k, &y->at[i], interior[i] + 1, &cond), spaced = true;
        } else if (!extent_is(low[i], 0) || !extent_is(high[i], 0)) {
            pull_within(k, &inner, &cond, &y->at[i], s->type->extent[i]);
        }
    }
    return pull_where(k, s, y, inner, cond, !spaced, value);
}

tsr_tv pull_concat(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = own_view(k, n, x);
    int axis = (int)node_int(n, ATTR_AXIS);
    const tsr_extent *begin = ext_int(k->c, 0);
    tsr_tv r = TSR_TV_NONE;
    for (int i = 0; i < n->nsrc; i++) {
        const tsr_node *s = n->src[i];
        struct index *y = index_new(k, s->type);
        for (int j = 0; j < v->rank; j++) y->at[j] = v->at[j];
        y->at[axis] = ix_add_ext(k, &v->at[axis], ext_sub(k->c, ext_int(k->c, 0), begin));
        const struct guard *inner = kern_guard(k, g, &y->at[axis], s->type->extent[axis], false);
        tsr_tv part = pull_value(k, s, y, inner);
        tsr_tv here = i ? tsr_tile_elem2(k->p, TSR_S_GE, kern_ix(k, &y->at[axis]), kern_int(k, 0)) : TSR_TV_NONE;
        r = i ? tsr_tile_elem3(k->p, TSR_S_SELECT, here, part, r) : part;
        begin = ext_add(k->c, begin, s->type->extent[axis]);
    }
    return r;
}

/* ---- starts from data ---- */

/* clamp(v, 0, top) as an i64 index, for a start of any integer dtype. */
static struct ix clamped(struct kern *k, tsr_tv v, const tsr_extent *top) {
    tsr_tv zero = kern_int(k, 0), hi = kern_ext(k, top);
    if (v == TSR_TV_NONE) return ix_const(k->c, 0);
    bool huge = tsr_tile_dtype(k->p, v) == TSR_U64;
    v = tsr_tile_cast(k->p, TSR_I64, v);
    tsr_tv low = tsr_tile_elem2(k->p, TSR_S_MAX, v, zero), r = tsr_tile_elem2(k->p, TSR_S_MIN, low, hi);
    /* above the range of i64 */
    if (huge) r = tsr_tile_elem3(k->p, TSR_S_SELECT, tsr_tile_elem2(k->p, TSR_S_LT, v, zero), hi, r);
    return kern_scalar_ix(k, r);
}

static struct ix start_at(struct kern *k, const tsr_node *start, const tsr_extent *top, const struct guard *g) {
    return clamped(k, pull_value(k, start, &empty_index, g), top);
}

tsr_tv pull_dynamic_slice(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = own_view(k, n, x);
    const tsr_node *s = n->src[0];
    struct index *y = index_new(k, s->type);
    for (int i = 0; i < v->rank; i++) {
        y->at[i] = v->at[i];
        if (n->type->extent[i] == s->type->extent[i]) continue; /* the only start that is not clamped away is 0 */
        struct ix start = start_at(k, n->src[1 + i], ext_sub(k->c, s->type->extent[i], n->type->extent[i]), g);
        y->at[i] = ix_add(k, &y->at[i], &start);
    }
    return pull_value(k, s, y, g);
}

tsr_tv pull_dynamic_update_slice(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = own_view(k, n, x);
    const tsr_node *u = n->src[1];
    struct index *y = index_new(k, u->type);
    const struct guard *inner = g;
    tsr_tv cond = TSR_TV_NONE;
    for (int i = 0; i < v->rank; i++) {
        y->at[i] = v->at[i];
        if (n->type->extent[i] == u->type->extent[i]) continue;
        struct ix start = start_at(k, n->src[2 + i], ext_sub(k->c, n->type->extent[i], u->type->extent[i]), g);
        start = ix_scale(k, &start, ext_int(k->c, -1));
        y->at[i] = ix_add(k, &y->at[i], &start);
        pull_within(k, &inner, &cond, &y->at[i], u->type->extent[i]);
    }
    tsr_tv update = pull_value(k, u, y, inner);
    return cond == TSR_TV_NONE ? update : tsr_tile_elem3(k->p, TSR_S_SELECT, cond, update, pull_value(k, n->src[0], v,
        g));
}

static bool among(int64_t v, int n, const int64_t *list) {
    for (int i = 0; i < n; i++)
        if (list[i] == v) return true;
    return false;
}

/* The axes of result n that are not offset axes, in order: where its batch comes from. */
static int batch_axes(const tsr_node *n, int *out) {
    int count, r = 0;
    const int64_t *offset = node_ints(n, ATTR_OFFSET_DIMS, &count);
    for (int i = 0; i < n->type->rank; i++)
        if (!among(i, count, offset)) out[r++] = i;
    return r;
}

/* Index of component `part` of the start vector for this batch position. */
static struct index *start_index(struct kern *k, const tsr_node *n, const struct index *v, int part) {
    const tsr_node *s = n->src[1];
    int vector_axis = (int)node_int(n, ATTR_INDEX_VECTOR_AXIS), batch[TSR_MAX_RANK];
    batch_axes(n, batch);
    struct index *y = index_new(k, s->type);
    for (int i = 0, b = 0; i < s->type->rank; i++) {
        if (i == vector_axis) y->at[i] = ix_const(k->c, part);
        else y->at[i] = v->at[batch[b++]];
    }
    return y;
}

tsr_tv pull_gather(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = own_view(k, n, x);
    const tsr_node *s = n->src[0];
    int noffset, ncollapsed, nbatch, nmap, batch[TSR_MAX_RANK];
    const int64_t *offset = node_ints(n, ATTR_OFFSET_DIMS, &noffset), *collapsed = node_ints(n, ATTR_COLLAPSED_DIMS,
        &ncollapsed);
    const int64_t *ob = node_ints(n, ATTR_OPERAND_BATCHING, &nbatch), *ib = node_ints(n, ATTR_INDEX_BATCHING, NULL);
    const int64_t *map = node_ints(n, ATTR_INDEX_MAP, &nmap);
    const tsr_extent *const *size = node_exts(n, ATTR_SIZES, NULL);
    int vector_axis = (int)node_int(n, ATTR_INDEX_VECTOR_AXIS);
    batch_axes(n, batch);
    struct index *y = index_new(k, s->type);
    for (int i = 0, o = 0; i < s->type->rank; i++)
        if (!among(i, ncollapsed, collapsed) && !among(i, nbatch, ob)) y->at[i] = v->at[offset[o++]];
    for (int i = 0; i < nbatch; i++) y->at[ob[i]] = v->at[batch[ib[i] < vector_axis ? ib[i] : ib[i] - 1]];
    for (int i = 0; i < nmap; i++) {
        tsr_tv at = pull_value(k, n->src[1], n->src[1]->type->rank ? start_index(k, n, v, i) : &empty_index, g);
        struct ix start = clamped(k, at, ext_sub(k->c, s->type->extent[map[i]], size[map[i]]));
        y->at[map[i]] = ix_add(k, &y->at[map[i]], &start);
    }
    return pull_value(k, s, y, g);
}
