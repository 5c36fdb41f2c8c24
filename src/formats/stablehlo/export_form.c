/* export_form.c: literals, movement, and the index ops: operations that compute nothing.
 *
 * Where extents or positions are symbolic the dynamic form of the operation is used, with the sizes as a tensor:
 * dynamic_broadcast_in_dim, dynamic_reshape, dynamic_iota, real_dynamic_slice, dynamic_pad, dynamic_gather. A window
 * of scatter that sticks out is left out whole here, element by element there: indices of such windows are moved to
 * where nothing of them is inside. */
#include <string.h>

#include "formats/stablehlo/export.h"
#include "formats/stablehlo/export_call.h"

bool exp_const(struct exp *x, const tsr_node *n) { return exp_done(x, n, exp_literal(x, n)); }

/* An item of a tuple is the result of the operation that made the tuple. */
bool exp_tuple_item(struct exp *x, const tsr_node *n) {
    return exp_done(x, n, exp_item(x, n->src[0], (int)node_int(n, ATTR_INDEX)));
}

bool exp_barrier(struct exp *x, const tsr_node *n) {
    int count = n->nsrc;
    struct hlo_value **in = arena_array(&x->m->arena, (size_t)count + 1, sizeof *in);
    const struct hlo_type **t = arena_array(&x->m->arena, (size_t)count + 1, sizeof *t);
    if (!in || !t) return false;
    for (int i = 0; i < count; i++) {
        if (!(in[i] = exp_in(x, n, i))) return false;
        t[i] = in[i]->type;
    }
    return exp_done_op(x, n, exp_op(x, HLO_OP_OPTIMIZATION_BARRIER, count, in, 0, NULL, count, t, 0));
}

/* ---- movement --------------------------------------------------------------------------------------------------- */
/* A list attribute as integers, padded where the node leaves it out. */
static const int64_t *ints_of(const tsr_node *n, enum attr_key k, int64_t otherwise, int count, int64_t *room) {
    if (node_attr(n, k)) return node_ints(n, k, NULL);
    for (int i = 0; i < count; i++) room[i] = otherwise;
    return room;
}

static bool is_static(const tsr_type *t) { return tsr_type_ints(t, NULL); }

/* Operation `code` of source 0, or where the result has symbolic extents `dynamic` of it and them. */
static bool maybe_dynamic(struct exp *x, const tsr_node *n, enum hlo_opcode code, enum hlo_opcode dynamic, int nattr,
    const struct hlo_named *attr) {
    bool fixed = is_static(n->type);
    struct hlo_value *in[2];
    int nin = 0;
    if (n->nsrc) in[nin++] = exp_in(x, n, 0);
    if (!fixed) in[nin++] = exp_extents(x, n->type->rank, n->type->extent);
    return exp_done(x, n, exp_make(x, fixed ? code : dynamic, exp_type(x, n->type), nin, in, nattr, attr));
}

bool exp_converted(struct exp *x, const tsr_node *n) {
    return exp_done(x, n, exp_make1(x, HLO_OP_CONVERT, exp_type(x, n->type), exp_in(x, n, 0)));
}
bool exp_bitcast(struct exp *x, const tsr_node *n) {
    return exp_done(x, n, exp_make1(x, HLO_OP_BITCAST_CONVERT, exp_type(x, n->type), exp_in(x, n, 0)));
}
bool exp_iota(struct exp *x, const tsr_node *n) {
    struct hlo_named axis = exp_int(x, "iota_dimension", node_int(n, ATTR_AXIS));
    return maybe_dynamic(x, n, HLO_OP_IOTA, HLO_OP_DYNAMIC_IOTA, 1, &axis);
}
bool exp_broadcasted(struct exp *x, const tsr_node *n) {
    int count;
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    struct hlo_named dims = exp_ints(x, "broadcast_dimensions", count, axes);
    return maybe_dynamic(x, n, HLO_OP_BROADCAST_IN_DIM, HLO_OP_DYNAMIC_BROADCAST_IN_DIM, 1, &dims);
}
bool exp_reshaped(struct exp *x, const tsr_node *n) {
    return maybe_dynamic(x, n, HLO_OP_RESHAPE, HLO_OP_DYNAMIC_RESHAPE, 0, NULL);
}
bool exp_transpose(struct exp *x, const tsr_node *n) {
    int count;
    const int64_t *perm = node_ints(n, ATTR_PERM, &count);
    struct hlo_named attr = exp_ints(x, "permutation", count, perm);
    struct hlo_value *in = exp_in(x, n, 0);
    return exp_done(x, n, exp_make(x, HLO_OP_TRANSPOSE, exp_type(x, n->type), 1, &in, 1, &attr));
}

bool exp_slice(struct exp *x, const tsr_node *n) {
    int rank = n->type->rank;
    int64_t start[TSR_MAX_RANK], limit[TSR_MAX_RANK], room[TSR_MAX_RANK];
    const tsr_extent *const *from = node_exts(n, ATTR_START, NULL), *const *to = node_exts(n, ATTR_LIMIT, NULL);
    const int64_t *stride = ints_of(n, ATTR_STRIDE, 1, rank, room);
    struct hlo_value *in[4] = {exp_in(x, n, 0)};
    if (exp_exts_ints(rank, from, start) && exp_exts_ints(rank, to, limit)) {
        struct hlo_named attr[] = {exp_ints(x, "start_indices", rank, start), exp_ints(x, "limit_indices", rank, limit),
            exp_ints(x, "strides", rank, stride)};
        return exp_done(x, n, exp_make(x, HLO_OP_SLICE, exp_type(x, n->type), 1, in, 3, attr));
    }
    in[1] = exp_extents(x, rank, from), in[2] = exp_extents(x, rank, to), in[3] = exp_index_list(x, rank, stride);
    return exp_done(x, n, exp_make(x, HLO_OP_REAL_DYNAMIC_SLICE, exp_type(x, n->type), 4, in, 0, NULL));
}

bool exp_pad(struct exp *x, const tsr_node *n) {
    int rank = n->type->rank;
    int64_t low[TSR_MAX_RANK], high[TSR_MAX_RANK], room[TSR_MAX_RANK];
    const tsr_extent *const *before = node_exts(n, ATTR_LOW, NULL), *const *after = node_exts(n, ATTR_HIGH, NULL);
    const int64_t *interior = ints_of(n, ATTR_INTERIOR, 0, rank, room);
    struct hlo_value *in[5] = {exp_in(x, n, 0), exp_in(x, n, 1)};
    if (exp_exts_ints(rank, before, low) && exp_exts_ints(rank, after, high)) {
        struct hlo_named attr[] = {exp_ints(x, "edge_padding_low", rank, low),
            exp_ints(x, "edge_padding_high", rank, high), exp_ints(x, "interior_padding", rank, interior)};
        return exp_done(x, n, exp_make(x, HLO_OP_PAD, exp_type(x, n->type), 2, in, 3, attr));
    }
    in[2] = exp_extents(x, rank, before), in[3] = exp_extents(x, rank, after);
    in[4] = exp_index_list(x, rank, interior);
    return exp_done(x, n, exp_make(x, HLO_OP_DYNAMIC_PAD, exp_type(x, n->type), 5, in, 0, NULL));
}

bool exp_concat(struct exp *x, const tsr_node *n) {
    struct hlo_value **in = arena_array(&x->m->arena, (size_t)n->nsrc + 1, sizeof *in);
    struct hlo_named axis = exp_int(x, "dimension", node_int(n, ATTR_AXIS));
    if (!in) return false;
    for (int i = 0; i < n->nsrc; i++) in[i] = exp_in(x, n, i);
    return exp_done(x, n, exp_make(x, HLO_OP_CONCATENATE, exp_type(x, n->type), n->nsrc, in, 1, &axis));
}

bool exp_reverse(struct exp *x, const tsr_node *n) {
    int count;
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    struct hlo_named attr = exp_ints(x, "dimensions", count, axes);
    struct hlo_value *in = exp_in(x, n, 0);
    return exp_done(x, n, exp_make(x, HLO_OP_REVERSE, exp_type(x, n->type), 1, &in, 1, &attr));
}

/* ---- slices at computed places ---------------------------------------------------------------------------------- */
/* #stablehlo.gather: fields that are empty lists are left out, as everywhere. */
const struct hlo_attr *exp_gather_dims(struct exp *x, const struct exp_numbers *d) {
    const struct { const char *name; int n; const int64_t *v; } list[] = {{"offset_dims", d->n_offset, d->offset},
        {"collapsed_slice_dims", d->n_collapsed, d->collapsed}, {"operand_batching_dims", d->n_batching, d->batching},
        {"start_indices_batching_dims", d->n_batching, d->index_batching}, {"start_index_map", d->n_map, d->map}};
    static const char *const scatter_name[] = {"update_window_dims", "inserted_window_dims", "input_batching_dims",
        "scatter_indices_batching_dims", "scatter_dims_to_operand_dims"};
    struct hlo_named field[6];
    int n = 0;
    for (int i = 0; i < 5; i++) {
        if (list[i].n == 0) continue;
        field[n] = exp_ints(x, d->scatter ? scatter_name[i] : list[i].name, list[i].n, list[i].v);
        if (!field[n++].value) return NULL;
    }
    field[n] = exp_int(x, "index_vector_dim", d->vector_axis);
    if (!field[n++].value) return NULL;
    return hlo_attr_struct(x->m, d->scatter ? "stablehlo.scatter" : "stablehlo.gather", n, field);
}

struct hlo_value *exp_gathered(struct exp *x, const struct hlo_type *t, const struct exp_numbers *d, int rank,
    const tsr_extent *const *sizes, struct hlo_value *operand, struct hlo_value *index) {
    int64_t size[TSR_MAX_RANK];
    struct hlo_named attr[3] = {exp_named("dimension_numbers", exp_gather_dims(x, d))};
    struct hlo_value *in[3] = {operand, index};
    int nattr = 1;
    if (d->sorted) attr[nattr++] = exp_bool(x, "indices_are_sorted", true);
    if (exp_exts_ints(rank, sizes, size)) {
        attr[nattr++] = exp_ints(x, "slice_sizes", rank, size);
        return exp_make(x, HLO_OP_GATHER, t, 2, in, nattr, attr);
    }
    in[2] = exp_extents(x, rank, sizes);
    return exp_make(x, HLO_OP_DYNAMIC_GATHER, t, 3, in, nattr, attr);
}

/* A slice of symbolic sizes is a gather with one index vector. */
static bool slice_by_gather(struct exp *x, const tsr_node *n, const tsr_extent *const *sizes) {
    int64_t all[TSR_MAX_RANK], one = 1, rank = n->type->rank;
    struct hlo_value *start[TSR_MAX_RANK];
    for (int a = 0; a < rank; a++) {
        all[a] = a;
        start[a] = exp_convert(x, exp_in(x, n, 1 + a), TSR_I64);
        start[a] = exp_reshape(x, start[a], exp_dims_type(x, TSR_I64, 1, &one));
    }
    struct hlo_named axis = exp_int(x, "dimension", 0);
    struct hlo_value *index =
        exp_make(x, HLO_OP_CONCATENATE, exp_dims_type(x, TSR_I64, 1, &rank), (int)rank, start, 1, &axis);
    struct exp_numbers d = {.n_offset = (int)rank, .offset = all, .n_map = (int)rank, .map = all};
    return exp_done(x, n, exp_gathered(x, exp_type(x, n->type), &d, (int)rank, sizes, exp_in(x, n, 0), index));
}

bool exp_dynamic_slice(struct exp *x, const tsr_node *n) {
    int rank;
    int64_t size[TSR_MAX_RANK];
    const tsr_extent *const *sizes = node_exts(n, ATTR_SIZES, &rank);
    struct hlo_value *in[1 + TSR_MAX_RANK];
    if (!exp_exts_ints(rank, sizes, size)) return slice_by_gather(x, n, sizes);
    for (int i = 0; i < n->nsrc; i++) in[i] = exp_in(x, n, i);
    struct hlo_named attr = exp_ints(x, "slice_sizes", rank, size);
    return exp_done(x, n, exp_make(x, HLO_OP_DYNAMIC_SLICE, exp_type(x, n->type), n->nsrc, in, 1, &attr));
}

bool exp_dynamic_update_slice(struct exp *x, const tsr_node *n) {
    struct hlo_value *in[2 + TSR_MAX_RANK];
    for (int i = 0; i < n->nsrc; i++) in[i] = exp_in(x, n, i);
    return exp_done(x, n, exp_make(x, HLO_OP_DYNAMIC_UPDATE_SLICE, exp_type(x, n->type), n->nsrc, in, 0, NULL));
}

static struct exp_numbers gather_of(const tsr_node *n) {
    struct exp_numbers d = {.scatter = n->op == TSR_OP_SCATTER};
    d.offset = node_ints(n, ATTR_OFFSET_DIMS, &d.n_offset);
    d.collapsed = node_ints(n, ATTR_COLLAPSED_DIMS, &d.n_collapsed);
    d.batching = node_ints(n, ATTR_OPERAND_BATCHING, &d.n_batching);
    d.index_batching = node_ints(n, ATTR_INDEX_BATCHING, NULL);
    d.map = node_ints(n, ATTR_INDEX_MAP, &d.n_map);
    d.vector_axis = node_int(n, ATTR_INDEX_VECTOR_AXIS);
    d.sorted = node_int_or(n, ATTR_SORTED, 0) != 0;
    return d;
}

bool exp_gather(struct exp *x, const tsr_node *n) {
    struct exp_numbers d = gather_of(n);
    int rank;
    const tsr_extent *const *sizes = node_exts(n, ATTR_SIZES, &rank);
    return exp_done(x, n, exp_gathered(x, exp_type(x, n->type), &d, rank, sizes, exp_in(x, n, 0), exp_in(x, n, 1)));
}

/* ---- scatter ---------------------------------------------------------------------------------------------------- */
static bool listed(int64_t a, int n, const int64_t *list) {
    for (int i = 0; i < n; i++)
        if (list[i] == a) return true;
    return false;
}

/* The window's extent on operand axis a: 1, or that of the update's axis that walks it. */
static const tsr_extent *window_on(struct exp *x, const tsr_node *n, const struct exp_numbers *d, int64_t a) {
    int w = 0;
    if (listed(a, d->n_collapsed, d->collapsed) || listed(a, d->n_batching, d->batching))
        return tsr_extent_int(x->c, 1);
    for (int64_t k = 0; k < a; k++)
        w += !listed(k, d->n_collapsed, d->collapsed) && !listed(k, d->n_batching, d->batching);
    return n->src[2]->type->extent[d->offset[w]];
}

/* The indices, where a window that sticks out is moved past the operand: component i of a vector must be in
 * [0, extent - window], else it becomes the extent. */
static struct hlo_value *kept_whole(struct exp *x, const tsr_node *n, const struct exp_numbers *d) {
    struct hlo_value *last[TSR_MAX_RANK], *past[TSR_MAX_RANK], *index = exp_in(x, n, 1);
    bool wide = false;
    int64_t one = 1, count = d->n_map, axis = d->vector_axis;
    const tsr_type *t = n->src[1]->type;
    for (int i = 0; i < d->n_map; i++) {
        const tsr_extent *w = window_on(x, n, d, d->map[i]);
        wide |= w && !extent_is(w, 1);
    }
    if (!wide) return index;
    for (int i = 0; i < d->n_map; i++) {
        const tsr_extent *w = window_on(x, n, d, d->map[i]), *e = n->type->extent[d->map[i]];
        const tsr_extent *room = w ? tsr_extent_sub(x->c, e, w) : NULL;
        const struct hlo_type *line = exp_dims_type(x, TSR_I64, 1, &one);
        last[i] = room ? exp_reshape(x, exp_extent(x, room), line) : NULL;
        past[i] = exp_reshape(x, exp_extent(x, e), line);
    }
    struct hlo_named dim = exp_int(x, "dimension", 0);
    const struct hlo_type *list = exp_dims_type(x, TSR_I64, 1, &count);
    struct hlo_value *limit[2] = {exp_make(x, HLO_OP_CONCATENATE, list, d->n_map, last, 1, &dim),
        exp_make(x, HLO_OP_CONCATENATE, list, d->n_map, past, 1, &dim)};
    const tsr_type *wide_type = type_with_dtype(x->c, t, TSR_I64);
    if (!wide_type || !tsr_type_ints(t, NULL))
        return exp_fail(x, n, "windows along indexed axes with a symbolic number of indices"), NULL;
    for (int i = 0; i < 2; i++) {
        if (axis == t->rank) limit[i] = exp_reshape(x, limit[i], exp_scalar_type(x, TSR_I64));
        if (t->rank) limit[i] = exp_broadcast(x, limit[i], exp_type(x, wide_type), axis < t->rank, &axis);
    }
    index = exp_convert(x, index, TSR_I64);
    struct hlo_value *inside = exp_compare(x, "LE", TSR_I64, false, index, limit[0]);
    struct hlo_value *after = exp_compare(x, "GE", TSR_I64, false, index, exp_zeros(x, wide_type));
    inside = inside ? exp_make2(x, HLO_OP_AND, inside->type, inside, after) : NULL;
    return exp_select(x, inside, index, limit[1]);
}

bool exp_scatter(struct exp *x, const tsr_node *n) {
    static const enum hlo_opcode how[] = {[TSR_SCATTER_ADD] = HLO_OP_ADD, [TSR_SCATTER_MUL] = HLO_OP_MULTIPLY,
        [TSR_SCATTER_MIN] = HLO_OP_MINIMUM, [TSR_SCATTER_MAX] = HLO_OP_MAXIMUM};
    struct exp_numbers d = gather_of(n);
    struct exp_region saved;
    int64_t mode = node_int(n, ATTR_MODE);
    struct hlo_named attr[3] = {exp_named("scatter_dimension_numbers", exp_gather_dims(x, &d))};
    int nattr = 1;
    if (d.sorted) attr[nattr++] = exp_bool(x, "indices_are_sorted", true);
    if (node_int_or(n, ATTR_UNIQUE, 0)) attr[nattr++] = exp_bool(x, "unique_indices", true);
    struct hlo_value *in[] = {exp_in(x, n, 0), kept_whole(x, n, &d), exp_in(x, n, 2)};
    const struct hlo_type *t = exp_type(x, n->type), *s = exp_scalar_type(x, n->type->dtype);
    struct hlo_op *op = exp_op(x, HLO_OP_SCATTER, 3, in, nattr, attr, 1, &t, 1);
    if (!op || !s || !exp_region_begin(x, &op->region[0], 2, (const struct hlo_type *[]){s, s}, &saved)) return false;
    struct hlo_value *a = &x->block->arg[0], *b = &x->block->arg[1];
    struct hlo_value *y = mode == TSR_SCATTER_SET ? b : exp_make2(x, how[mode], s, a, b);
    bool ok = exp_return(x, 1, &y);
    exp_region_end(x, &saved);
    return ok && exp_done_op(x, n, op);
}
