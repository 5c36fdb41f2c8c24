/* op_gather.c: gather, and the dimension numbers it shares with scatter.
 *
 * Semantics are those of StableHLO gather, with batching dimensions. A result position splits into a batch part,
 * which picks a start vector out of the index tensor, and a window part, an offset from there. Starts are clamped so
 * that the window lies inside. Here a collapsed or batching axis must have slice size exactly 1 (StableHLO also
 * admits 0, where nothing could be read); a batching axis may have extent 0.
 *
 * The gradient to the operand adds the cotangent where it was read: scatter ADD at the clamped starts. */
#include <inttypes.h>

#include "graph/gather.h"
#include "graph/ref.h"

/* ---- dimension numbers ------------------------------------------------------------------------------------------ */

void gather_attrs(const tsr_gather_dims *d, struct attr a[GATHER_ATTRS]) {
    a[0] = attr_ints(ATTR_OFFSET_DIMS, (size_t)d->n_offset, d->offset);
    a[1] = attr_ints(ATTR_COLLAPSED_DIMS, (size_t)d->n_collapsed, d->collapsed);
    a[2] = attr_ints(ATTR_OPERAND_BATCHING, (size_t)d->n_operand_batching, d->operand_batching);
    a[3] = attr_ints(ATTR_INDEX_BATCHING, (size_t)d->n_index_batching, d->index_batching);
    a[4] = attr_ints(ATTR_INDEX_MAP, (size_t)d->n_map, d->map);
    a[5] = attr_int(ATTR_INDEX_VECTOR_AXIS, d->index_vector_axis);
    a[6] = attr_int(ATTR_SORTED, d->sorted);
}

bool gather_counts_valid(tsr_ctx *c, const char *op, const tsr_gather_dims *d) {
    if (d->n_offset >= 0 && d->n_collapsed >= 0 && d->n_operand_batching >= 0 && d->n_index_batching >= 0 &&
        d->n_map >= 0)
        return true;
    err_set(c, TSR_EINVAL, "%s: a list of axes has a negative length; an empty list has length 0", op);
    return false;
}

void gather_dims(int nattr, const struct attr *attr, tsr_gather_dims *out) {
    *out = (tsr_gather_dims){0};
    for (const struct attr *a = attr; a < attr + nattr; a++) {
        if (a->key == ATTR_OFFSET_DIMS) out->n_offset = (int)a->n, out->offset = a->ints;
        else if (a->key == ATTR_COLLAPSED_DIMS) out->n_collapsed = (int)a->n, out->collapsed = a->ints;
        else if (a->key == ATTR_OPERAND_BATCHING) out->n_operand_batching = (int)a->n, out->operand_batching = a->ints;
        else if (a->key == ATTR_INDEX_BATCHING) out->n_index_batching = (int)a->n, out->index_batching = a->ints;
        else if (a->key == ATTR_INDEX_MAP) out->n_map = (int)a->n, out->map = a->ints;
        else if (a->key == ATTR_INDEX_VECTOR_AXIS) out->index_vector_axis = (int)a->i;
        else if (a->key == ATTR_SORTED) out->sorted = a->i != 0;
        else if (a->key == ATTR_UNIQUE) out->unique = a->i != 0;
    }
}

static bool gather_counts(tsr_ctx *c, const char *op, const tsr_gather_dims *d, const tsr_type *x,
                          const tsr_type *index) {
    int v = d->index_vector_axis;
    if (d->n_offset + d->n_collapsed + d->n_operand_batching != x->rank) {
        err_set(c, TSR_EINVAL, "%s: %d window, %d collapsed and %d batching axes must together be the %d axes of the "
                "operand %s", op, d->n_offset, d->n_collapsed, d->n_operand_batching, x->rank, type_text(c, x));
    } else if (d->n_operand_batching != d->n_index_batching) {
        err_set(c, TSR_EINVAL, "%s: %d batching axes of the operand but %d of the index tensor; they go in pairs", op,
                d->n_operand_batching, d->n_index_batching);
    } else if (v < 0 || v > index->rank) {
        err_set(c, TSR_EINVAL, "%s: index vector axis %d is outside 0..%d for an index tensor %s", op, v, index->rank,
                type_text(c, index));
    } else if (axes_has((size_t)d->n_index_batching, d->index_batching, v)) {
        err_set(c, TSR_EINVAL, "%s: index axis %d cannot be both the index vector and a batching axis", op, v);
    } else if (v == index->rank && d->n_map != 1) {
        err_set(c, TSR_EINVAL, "%s: index vector axis %d is the rank of the index tensor, so each index is one number, "
                "but the index map has %d axes", op, v, d->n_map);
    } else {
        return v == index->rank ||
               extent_require_equal(c, index->extent[v], tsr_extent_int(c, d->n_map),
                                    "%s: index vectors of length %s (axis %d of %s) for an index map of %d axes", op,
                                    extent_text(c, index->extent[v]), v, type_text(c, index), d->n_map);
    }
    return false;
}

bool gather_check(tsr_ctx *c, const char *op, const tsr_gather_dims *d, const tsr_type *x, const tsr_type *index) {
    if (!axes_is_plain(c, op, x)) return false;
    if (index->kind != TSR_TENSOR || !dtype_is_int(index->dtype)) {
        err_set(c, TSR_EINVAL, "%s: the index tensor is %s; it must hold integers (convert it first)", op,
                type_text(c, index));
        return false;
    }
    if (!gather_counts(c, op, d, x, index)) return false;
    size_t no = (size_t)d->n_operand_batching, ni = (size_t)d->n_index_batching, nc = (size_t)d->n_collapsed,
        nm = (size_t)d->n_map;
    int result_rank = d->n_offset + index->rank - (d->index_vector_axis < index->rank);
    if (!axes_check(c, op, "window axes", (size_t)d->n_offset, d->offset, result_rank) ||
        !axes_check_sorted(c, op, "window axes", (size_t)d->n_offset, d->offset) ||
        !axes_check(c, op, "collapsed axes", nc, d->collapsed, x->rank) ||
        !axes_check_sorted(c, op, "collapsed axes", nc, d->collapsed) ||
        !axes_check(c, op, "operand batching axes", no, d->operand_batching, x->rank) ||
        !axes_check_sorted(c, op, "operand batching axes", no, d->operand_batching) ||
        !axes_check(c, op, "index batching axes", ni, d->index_batching, index->rank) ||
        !axes_check(c, op, "index map", nm, d->map, x->rank))
        return false;
    for (size_t i = 0; i < no; i++) {
        int64_t a = d->operand_batching[i], b = d->index_batching[i];
        if (axes_has(nc, d->collapsed, a) || axes_has(nm, d->map, a))
            return err_set(c, TSR_EINVAL, "%s: operand axis %" PRId64 " is a batching axis; it can be neither "
                           "collapsed nor in the index map", op, a), false;
        if (!extent_require_equal(c, x->extent[a], index->extent[b],
                                  "%s: batching axis %" PRId64 " of the operand %s and axis %" PRId64 " of the index "
                                  "tensor %s differ", op, a, type_text(c, x), b, type_text(c, index)))
            return false;
    }
    return true;
}

void gather_layout(const tsr_gather_dims *d, int operand_rank, int index_rank, struct gather_layout *out) {
    int64_t window[TSR_MAX_RANK];
    axes_rest(operand_rank, (size_t)d->n_collapsed, d->collapsed, (size_t)d->n_operand_batching, d->operand_batching,
              window);
    out->rank = d->n_offset + index_rank - (d->index_vector_axis < index_rank);
    for (int a = 0, w = 0, b = 0; a < out->rank; a++) {
        bool offset = axes_has((size_t)d->n_offset, d->offset, a);
        if (!offset && b == d->index_vector_axis) b++;
        out->operand_axis[a] = offset ? (int)window[w++] : -1;
        out->index_axis[a] = offset ? -1 : b++;
    }
}

/* With both batched the new axes form a batching pair; a batched operand alone has one more window axis, taken whole; a
 * batched index tensor alone has one more batch axis. In each case the result's new axis is its first. */
void gather_batch(const tsr_gather_dims *d, bool operand, bool index, struct gather_room *room, tsr_gather_dims *out) {
    bool pair = operand && index;
    *out = (tsr_gather_dims){.unique = d->unique, .sorted = d->sorted && !pair, .n_map = d->n_map};
    out->offset = room->offset, out->collapsed = room->collapsed, out->map = room->map;
    out->operand_batching = room->operand, out->index_batching = room->index;
    out->n_offset = axes_shift(operand && !index ? 0 : -1, (size_t)d->n_offset, d->offset, room->offset);
    out->index_vector_axis = d->index_vector_axis + index;
    out->n_operand_batching = pair ? axes_shift(0, (size_t)d->n_operand_batching, d->operand_batching, room->operand)
        : d->n_operand_batching;
    out->n_index_batching = pair ? axes_shift(0, (size_t)d->n_index_batching, d->index_batching, room->index)
        : d->n_index_batching;
    out->n_collapsed = d->n_collapsed;
    for (int i = 0; i < d->n_collapsed; i++) room->collapsed[i] = d->collapsed[i] + operand;
    for (int i = 0; i < d->n_map; i++) room->map[i] = d->map[i] + operand;
    for (int i = 0; i < d->n_operand_batching && !pair; i++) {
        room->operand[i] = d->operand_batching[i] + operand;
        room->index[i] = d->index_batching[i] + index;
    }
}

/* ---- bounds, in the graph --------------------------------------------------------------------------------------- */

tsr_node *gather_last(tsr_ctx *c, const tsr_gather_dims *d, const tsr_type *x, const tsr_extent *const *size,
                      tsr_node *index) {
    tsr_node *last[TSR_MAX_RANK];
    const tsr_type *one = tsr_type_dims(c, TSR_I64, 1, (int64_t[]){1});
    const tsr_type *t = tsr_is_poison(index) ? NULL : type_with_dtype(c, index->type, TSR_I64);
    if (!one || !t) return tsr_poison(c);
    if (d->n_map == 0) return axes_zeros(c, t);
    for (int k = 0; k < d->n_map; k++) {
        int64_t a = d->map[k];
        last[k] = tsr_prim_reshape(c, axes_extent_value(c, tsr_extent_sub(c, x->extent[a], size[a]), 0), one);
    }
    if (d->index_vector_axis < t->rank)
        return tsr_prim_broadcast(c, tsr_prim_concat(c, d->n_map, last, 0), t, (int64_t[]){d->index_vector_axis});
    const tsr_type *scalar = tsr_type_tensor(c, TSR_I64, 0, NULL);
    return scalar ? tsr_prim_broadcast(c, tsr_prim_reshape(c, last[0], scalar), t, NULL) : tsr_poison(c);
}

tsr_node *gather_clamped(tsr_ctx *c, const tsr_gather_dims *d, const tsr_type *x, const tsr_extent *const *size,
                         tsr_node *index) {
    return tsr_prim3(c, TSR_S_CLAMP, tsr_scalar_int(c, TSR_I64, 0), axes_index64(c, index),
                     gather_last(c, d, x, size, index));
}

tsr_node *gather_inside(tsr_ctx *c, const tsr_gather_dims *d, const tsr_type *x, const tsr_extent *const *size,
                        tsr_node *index, const tsr_type *t) {
    if (tsr_is_poison(index)) return tsr_poison(c);
    int rank = index->type->rank;
    int64_t batch[2 * TSR_MAX_RANK], v = d->index_vector_axis;
    struct gather_layout l;
    gather_layout(d, x->rank, rank, &l);
    axes_rest(l.rank, (size_t)d->n_offset, d->offset, 0, NULL, batch);
    tsr_node *at = axes_index64(c, index), *last = gather_last(c, d, x, size, index);
    tsr_node *ok = tsr_prim2(c, TSR_S_AND, tsr_prim2(c, TSR_S_GE, at, rule_full_like(c, at, 0)),
                             tsr_prim2(c, TSR_S_LE, at, last));
    if (v < rank) ok = tsr_prim_reduce(c, ok, TSR_REDUCE_AND, 1, &v);
    const tsr_type *want = type_with_dtype(c, t, TSR_BOOL);
    return want ? tsr_prim_broadcast(c, ok, want, batch) : tsr_poison(c);
}

/* ---- reference -------------------------------------------------------------------------------------------------- */

void gather_start(const tsr_gather_dims *d, const struct gather_layout *l, const struct ref_tensor *index,
                  const int64_t *at, int operand_rank, int64_t *start) {
    int64_t where[TSR_MAX_RANK] = {0};
    for (int a = 0; a < operand_rank; a++) start[a] = 0;
    for (int a = 0; a < l->rank; a++)
        if (l->index_axis[a] >= 0) where[l->index_axis[a]] = at[a];
    for (int i = 0; i < d->n_operand_batching; i++) start[d->operand_batching[i]] = where[d->index_batching[i]];
    for (int k = 0; k < d->n_map; k++) {
        if (d->index_vector_axis < index->rank) where[d->index_vector_axis] = k;
        start[d->map[k]] = ref_index(index, ref_ravel(index->rank, index->dim, where));
    }
}

static tsr_status gather_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0], *index = &r->in[1];
    struct ref_tensor *y = &r->out[0];
    tsr_gather_dims d;
    struct gather_layout l;
    int64_t at[TSR_MAX_RANK], from[TSR_MAX_RANK], size[TSR_MAX_RANK];
    const tsr_extent *const *sizes = node_exts(r->node, ATTR_SIZES, NULL);
    gather_dims(r->node->nattr, r->node->attr, &d);
    gather_layout(&d, x->rank, index->rank, &l);
    for (int a = 0; a < x->rank; a++) size[a] = r->extent(r, sizes[a]);
    for (int64_t k = 0; k < y->count; k++) {
        ref_unravel(y->rank, y->dim, k, at);
        gather_start(&d, &l, index, at, x->rank, from);
        for (int i = 0; i < d.n_map; i++) {
            int64_t a = d.map[i], last = x->dim[a] - size[a];
            from[a] = from[a] < 0 ? 0 : from[a] > last ? last : from[a];
        }
        for (int a = 0; a < l.rank; a++)
            if (l.operand_axis[a] >= 0) from[l.operand_axis[a]] += at[a];
        ref_move(y, k, x, ref_ravel(x->rank, x->dim, from));
    }
    return TSR_OK;
}

/* ---- gather ----------------------------------------------------------------------------------------------------- */

tsr_node *tsr_prim_gather(tsr_ctx *c, tsr_node *x, tsr_node *index, const tsr_gather_dims *d,
                          const tsr_extent *const *slice_sizes) {
    tsr_node *src[2] = {x, index};
    struct attr a[GATHER_ATTRS + 1];
    if (axes_poison(2, src) || !gather_counts_valid(c, "gather", d)) return tsr_poison(c);
    for (int i = 0; i < tsr_node_rank(x); i++)
        if (!slice_sizes[i]) return tsr_poison(c);
    gather_attrs(d, a);
    a[GATHER_ATTRS] = attr_exts(ATTR_SIZES, (size_t)tsr_node_rank(x), slice_sizes);
    return node_make(c, &(struct draft){.op = TSR_OP_GATHER, .nsrc = 2, .src = src, .nattr = GATHER_ATTRS + 1,
                                        .attr = a});
}

static bool gather_sizes(tsr_ctx *c, const tsr_gather_dims *d, const tsr_type *x, const tsr_extent *const *size) {
    for (int a = 0; a < x->rank; a++) {
        bool batching = axes_has((size_t)d->n_operand_batching, d->operand_batching, a);
        int64_t v;
        if ((batching || axes_has((size_t)d->n_collapsed, d->collapsed, a)) &&
            !extent_require_equal(c, size[a], tsr_extent_int(c, 1),
                                  "gather: slice size %s on axis %d, which is %s; it must be 1 there",
                                  extent_text(c, size[a]), a, batching ? "a batching axis" : "collapsed"))
            return false;
        if (tsr_extent_is_int(size[a], &v) && v < 0)
            return err_set(c, TSR_EINVAL, "gather: slice size %" PRId64 " on axis %d is negative", v, a), false;
        if (!batching && !extent_require_le(c, size[a], x->extent[a],
                                            "gather: a slice of %s on axis %d does not fit into %s; take at most %s "
                                            "there", extent_text(c, size[a]), a, type_text(c, x),
                                            extent_text(c, x->extent[a])))
            return false;
    }
    return true;
}

static const tsr_type *gather_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *index = d->src[1]->type;
    const tsr_extent *const *size = draft_attr(d, ATTR_SIZES)->exts, *extent[2 * TSR_MAX_RANK];
    tsr_gather_dims dims;
    struct gather_layout l;
    gather_dims(d->nattr, d->attr, &dims);
    if (!gather_check(c, "gather", &dims, x, index) || !gather_sizes(c, &dims, x, size)) return NULL;
    gather_layout(&dims, x->rank, index->rank, &l);
    for (int a = 0; a < l.rank; a++)
        extent[a] = l.operand_axis[a] >= 0 ? size[l.operand_axis[a]] : index->extent[l.index_axis[a]];
    return tsr_type_tensor(c, x->dtype, l.rank, extent);
}

static bool gather_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_gather_dims d;
    const tsr_type *x = n->src[0]->type;
    gather_dims(n->nattr, n->attr, &d);
    d.sorted = false; /* clamping keeps the order of each component, not that of vectors */
    if (want[0])
        gsrc[0] = tsr_prim_scatter(c, axes_zeros(c, x),
                                   gather_clamped(c, &d, x, node_exts(n, ATTR_SIZES, NULL), n->src[1]), gout[0], &d,
                                   TSR_SCATTER_ADD);
    return true;
}

static tsr_node *gather_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                             const tsr_extent *size) {
    const tsr_extent *sizes[TSR_MAX_RANK + 1] = {batched[1] ? tsr_extent_int(c, 1) : size};
    const tsr_extent *const *old = node_exts(n, ATTR_SIZES, NULL);
    struct gather_room room;
    tsr_gather_dims d, under;
    gather_dims(n->nattr, n->attr, &d);
    gather_batch(&d, batched[0], batched[1], &room, &under);
    for (int i = 0; i < n->src[0]->type->rank; i++) sizes[i + 1] = old[i];
    return tsr_prim_gather(c, src[0], src[1], &under, batched[0] ? sizes : old);
}

/* ---- sampling --------------------------------------------------------------------------------------------------- */

static void shuffle(struct sample *s, int n, int64_t *v) {
    for (int i = n - 1; i > 0; i--) {
        int64_t j = sample_int(s, 0, i), t = v[i];
        v[i] = v[j], v[j] = t;
    }
}

/* Each operand axis is a batching, a collapsed or a window axis, and all but batching ones may be in the index map. */
static void case_operand(struct sample *s, struct gather_case *g, int nbatch) {
    g->rank = (int)sample_int(s, nbatch ? 1 : 0, s->size ? 4 : 3);
    sample_dims(s, g->rank, g->dim);
    for (int a = 0; a < g->rank; a++) {
        int64_t role = sample_int(s, 0, 3);
        g->size[a] = 1;
        if (role == 0 && g->d.n_operand_batching < nbatch) {
            g->room.operand[g->d.n_operand_batching++] = a;
            continue;
        }
        if (role == 1 && g->dim[a]) g->room.collapsed[g->d.n_collapsed++] = a;
        else g->size[a] = sample_int(s, g->dim[a] ? 1 : 0, g->dim[a]);
        if (sample_int(s, 0, 3)) g->room.map[g->d.n_map++] = a;
    }
    shuffle(s, g->d.n_map, g->room.map);
}

/* The index tensor: batching axes, some free ones, and the vector axis anywhere (or implicit when vectors have
 * length 1). */
static void case_index(struct sample *s, struct gather_case *g) {
    int nfree = (int)sample_int(s, 0, 2), n = 0;
    int64_t kind[TSR_MAX_RANK]; /* pair number of a batching axis, -1: free, -2: the vector */
    for (int i = 0; i < g->d.n_operand_batching; i++) kind[n++] = i;
    for (int i = 0; i < nfree; i++) kind[n++] = -1;
    if (g->d.n_map != 1 || sample_int(s, 0, 1)) kind[n++] = -2;
    shuffle(s, n, kind);
    g->index_rank = n, g->d.index_vector_axis = n;
    for (int i = 0; i < n; i++) {
        g->index_dim[i] = kind[i] == -2 ? g->d.n_map : kind[i] == -1
            ? sample_int(s, sample_int(s, 0, 9) ? 1 : 0, s->size ? 7 : 3) : g->dim[g->room.operand[kind[i]]];
        if (kind[i] == -2) g->d.index_vector_axis = i;
        if (kind[i] >= 0) g->room.index[kind[i]] = i;
    }
    g->d.n_index_batching = g->d.n_operand_batching;
}

static void case_result(struct sample *s, struct gather_case *g) {
    struct gather_layout l;
    int64_t place[2 * TSR_MAX_RANK];
    g->d.n_offset = g->rank - g->d.n_collapsed - g->d.n_operand_batching;
    g->result_rank = g->d.n_offset + g->index_rank - (g->d.index_vector_axis < g->index_rank);
    for (int i = 0; i < g->result_rank; i++) place[i] = i;
    shuffle(s, g->result_rank, place);
    for (int i = 0, n = 0; i < g->result_rank; i++) /* a random subset, ascending */
        if (axes_has((size_t)g->d.n_offset, place, i)) g->room.offset[n++] = i;
    gather_layout(&g->d, g->rank, g->index_rank, &l);
    for (int a = 0; a < l.rank; a++)
        g->result_dim[a] = l.operand_axis[a] >= 0 ? g->size[l.operand_axis[a]] : g->index_dim[l.index_axis[a]];
}

void gather_case(struct sample *s, struct gather_case *g) {
    static const tsr_dtype index_type[] = {TSR_I32, TSR_I64, TSR_U32, TSR_I16};
    *g = (struct gather_case){.index_type = index_type[sample_int(s, 0, 3)]};
    g->d.offset = g->room.offset, g->d.collapsed = g->room.collapsed, g->d.map = g->room.map;
    g->d.operand_batching = g->room.operand, g->d.index_batching = g->room.index;
    case_operand(s, g, (int)sample_int(s, 0, 2));
    case_index(s, g);
    case_result(s, g);
}

void gather_case_range(struct sample *s, const struct gather_case *g, int param) {
    int64_t most = 1;
    for (int i = 0; i < g->d.n_map; i++)
        if (g->dim[g->d.map[i]] > most) most = g->dim[g->d.map[i]];
    s->lo[param] = g->index_type == TSR_U32 ? 0 : -1, s->hi[param] = (double)most;
}

static tsr_fn *gather_sample(tsr_ctx *c, struct sample *s) {
    struct gather_case g;
    const tsr_extent *size[TSR_MAX_RANK];
    gather_case(s, &g);
    gather_case_range(s, &g, 1);
    if (tsr_fn_begin(c, "gather")) return NULL;
    tsr_node *x = sample_param(c, s->dtype, g.rank, g.dim),
        *index = sample_param(c, g.index_type, g.index_rank, g.index_dim);
    for (int i = 0; i < g.rank; i++) size[i] = tsr_extent_int(c, g.size[i]);
    tsr_node *y = tsr_prim_gather(c, x, index, &g.d, size);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_GATHER = {
    .name = "gather",
    .formula = "y[batch, offset] = x[clamped index[batch] + offset]",
    .spec = "StableHLO gather",
    .cls = OP_MOVE,
    .arity = 2,
    .domain = "fiubc",
    .infer = gather_infer,
    .vjp = gather_vjp,
    .vmap = gather_vmap,
    .ref = gather_ref,
    .sample = gather_sample,
};
