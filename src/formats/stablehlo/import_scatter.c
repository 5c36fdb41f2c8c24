/* import_scatter.c: scatter: updates meet operands at places that an index tensor names.
 *
 * Bodies that set, add, multiply, or take the greater or lesser are tsr_prim_scatter, one for each operand. The
 * primitive skips a window that does not lie wholly inside, the specification only the elements outside: where windows
 * may stick out, the operand is padded by their overhang, so that its elements are skipped one by one; constant indices
 * that are seen to lie inside need none.
 *
 * Every other body: each update element gets its place in the flattened operand, or -1, by arithmetic on the indices;
 * then the windows are taken in order by a scan, each one read, combined and written as a whole, which is allowed since
 * the elements of one window go to different places. With unique_indices all windows are taken at once.
 * Source: StableHLO specification, scatter. */
#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"

/* ---- dimension numbers ------------------------------------------------------------------------------------------ */

struct scatter {
    tsr_gather_dims d;
    int64_t window[TSR_MAX_RANK], inserted[TSR_MAX_RANK], operand_batch[TSR_MAX_RANK], index_batch[TSR_MAX_RANK],
        map[TSR_MAX_RANK];
    int n;                   /* operands, and updates */
    tsr_node *x[IMP_BODY_MAX], *u[IMP_BODY_MAX], *index;
    /* of operand axis a: the update's axis that walks it, or -1; of update axis a: the index axis, or -1 */
    int walks[TSR_MAX_RANK], from_index[TSR_MAX_RANK];
};

static bool has(int n, const int64_t *list, int64_t a) {
    for (int i = 0; i < n; i++)
        if (list[i] == a) return true;
    return false;
}

static bool dims_of(struct imp *p, const struct hlo_op *op, struct scatter *s) {
    const struct hlo_attr *a = hlo_get(op, "scatter_dimension_numbers");
    tsr_gather_dims *d = &s->d;
    if (!a) return imp_fail(p, op, "it has no scatter_dimension_numbers");
    *d = (tsr_gather_dims){.offset = s->window, .collapsed = s->inserted, .operand_batching = s->operand_batch,
                           .index_batching = s->index_batch, .map = s->map,
                           .sorted = hlo_get_int(op, "indices_are_sorted", 0) != 0,
                           .unique = hlo_get_int(op, "unique_indices", 0) != 0};
    const struct hlo_attr *v = hlo_field(a, "index_vector_dim");
    d->index_vector_axis = v ? (int)v->i : 0;
    return imp_axes(p, op, a, "update_window_dims", &d->n_offset, s->window) &&
        imp_axes(p, op, a, "inserted_window_dims", &d->n_collapsed, s->inserted) &&
        imp_axes(p, op, a, "input_batching_dims", &d->n_operand_batching, s->operand_batch) &&
        imp_axes(p, op, a, "scatter_indices_batching_dims", &d->n_index_batching, s->index_batch) &&
        imp_axes(p, op, a, "scatter_dims_to_operand_dims", &d->n_map, s->map);
}

static bool operands_of(struct imp *p, const struct hlo_op *op, struct scatter *s) {
    s->n = (op->noperand - 1) / 2;
    if (s->n < 1 || s->n > IMP_BODY_MAX || op->noperand != 2 * s->n + 1 || op->nresult != s->n)
        return imp_fail(p, op, "%d operands and %d results; it takes operands, one index tensor and as many updates",
            op->noperand, op->nresult);
    if (op->nregion != 1 || op->region[0].nblock != 1 || op->region[0].block[0].narg != 2 * s->n)
        return imp_fail(p, op, "its body must be one block of %d arguments", 2 * s->n);
    const struct hlo_value *arg = op->region[0].block[0].arg;
    s->index = imp_operand(p, op, s->n);
    for (int i = 0; i < s->n; i++) {
        s->x[i] = imp_as(p->c, imp_operand(p, op, i), imp_dtype(arg[i].type));
        s->u[i] = imp_as(p->c, imp_operand(p, op, s->n + 1 + i), imp_dtype(arg[s->n + i].type));
        if (tsr_is_poison(s->x[i]) || tsr_is_poison(s->u[i])) return false;
        if (tsr_node_rank(s->x[i]) != tsr_node_rank(s->x[0]) || tsr_node_rank(s->u[i]) != tsr_node_rank(s->u[0]))
            return imp_fail(p, op, "operands, and updates, need one shape each");
    }
    return !tsr_is_poison(s->index);
}

/* The walk of window and batch axes; counts and ranges are checked here so that the arithmetic below is safe. */
static bool layout_of(struct imp *p, const struct hlo_op *op, struct scatter *s) {
    const tsr_gather_dims *d = &s->d;
    int rank = tsr_node_rank(s->x[0]), updates = tsr_node_rank(s->u[0]), indices = tsr_node_rank(s->index);
    int w = 0, b = 0, batch = indices - (d->index_vector_axis < indices);
    if (d->index_vector_axis < 0 || d->index_vector_axis > indices || updates != batch + d->n_offset ||
        rank != d->n_offset + d->n_collapsed + d->n_operand_batching || d->n_operand_batching != d->n_index_batching)
        return imp_fail(p, op, "its dimension numbers do not fit an operand of rank %d, indices of rank %d and updates "
            "of rank %d", rank, indices, updates);
    for (int a = 0; a < rank; a++) s->walks[a] = -1;
    int64_t axis[TSR_MAX_RANK];
    for (int a = 0; a < rank; a++)
        if (!has(d->n_collapsed, d->collapsed, a) && !has(d->n_operand_batching, d->operand_batching, a)) axis[w++] = a;
    if (w != d->n_offset) return imp_fail(p, op, "its dimension numbers name an axis twice, or one that is not there");
    w = 0;
    for (int a = 0; a < updates; a++) {
        bool window = has(d->n_offset, d->offset, a);
        if (!window && b == d->index_vector_axis && b < indices) b++;
        if (window && w >= d->n_offset) return imp_fail(p, op, "update_window_dims names an axis twice");
        if (!window && b >= indices) return imp_fail(p, op, "update_window_dims names an axis that is not there");
        s->from_index[a] = window ? -1 : b++;
        if (window) s->walks[axis[w++]] = a;
    }
    int64_t components = d->index_vector_axis < indices ? tsr_node_dim(s->index, d->index_vector_axis) : 1;
    if (components != d->n_map)
        return imp_fail(p, op, "index vectors have %lld components, scatter_dims_to_operand_dims has %d",
            (long long)components, d->n_map);
    for (int i = 0; i < d->n_map; i++)
        if (d->map[i] < 0 || d->map[i] >= rank)
            return imp_fail(p, op, "scatter_dims_to_operand_dims[%d] is no axis of the operand", i);
    return true;
}

/* ---- by the primitive ------------------------------------------------------------------------------------------- */

/* The body of operand i as a tsr_scatter: its result is the update itself, or a monoid of the two. */
static bool scatter_mode(const struct hlo_op *op, const struct scatter *s, int i, tsr_scatter *mode) {
    const struct hlo_block *b = &op->region[0].block[0];
    const struct hlo_op *end = b->last;
    tsr_dtype t = tsr_node_dtype(s->x[i]);
    tsr_kind kind = tsr_dtype_of(t)->kind;
    tsr_reduce how;
    if (!end || end->noperand != s->n) return false;
    if (end->operand[i] == &b->arg[s->n + i]) return *mode = TSR_SCATTER_SET, true;
    if (!imp_region_monoid(&op->region[0], i, &how)) return false;
    if (t == TSR_BOOL && (how == TSR_REDUCE_AND || how == TSR_REDUCE_OR))
        return *mode = how == TSR_REDUCE_AND ? TSR_SCATTER_MIN : TSR_SCATTER_MAX, true;
    if (kind == TSR_KIND_COMPLEX && how != TSR_REDUCE_SUM && how != TSR_REDUCE_PROD) return false;
    static const struct { tsr_reduce from; tsr_scatter to; } same[] = {{TSR_REDUCE_SUM, TSR_SCATTER_ADD},
        {TSR_REDUCE_PROD, TSR_SCATTER_MUL}, {TSR_REDUCE_MIN, TSR_SCATTER_MIN}, {TSR_REDUCE_MAX, TSR_SCATTER_MAX}};
    for (size_t k = 0; k < sizeof same / sizeof *same; k++)
        if (same[k].from == how) return *mode = same[k].to, true;
    return false;
}

/* Constant indices: does every window lie wholly inside or wholly outside along component i, whose window is w long
 * on an axis of n? */
static bool seen_inside(const int64_t *v, int64_t count, int64_t step, int64_t inner, int64_t i, int64_t w, int64_t n) {
    for (int64_t k = 0; k < count; k++) {
        int64_t start = v[(k / inner * step + i) * inner + k % inner];
        bool in = start >= 0 && start <= n - w, out = start >= n || start <= -w;
        if (!in && !out) return false;
    }
    return true;
}

enum { INDEX_CONST_MAX = 4096 };

/* May a window stick out of the operand along component i? */
static bool may_stick_out(struct imp *p, const struct hlo_op *op, const struct scatter *s, int i) {
    int64_t a = s->d.map[i], total = 1, inner = 1, v[INDEX_CONST_MAX];
    int rank = tsr_node_rank(s->index), vec = s->d.index_vector_axis;
    int64_t w = s->walks[a] < 0 ? 1 : tsr_node_dim(s->u[0], s->walks[a]), n = tsr_node_dim(s->x[0], (int)a);
    if (w == 0 || w == 1) return false;
    for (int k = 0; k < rank; k++) {
        int64_t e = tsr_node_dim(s->index, k);
        if (e < 0 || (total *= e) > INDEX_CONST_MAX) return true;
        if (k > vec) inner *= e;
    }
    if (w < 0 || n < 0 || !total) return true;
    int64_t step = vec < rank ? s->d.n_map : 1;
    return !imp_const_ints(p, op, s->n, v, (int)total) || !seen_inside(v, total / step, step, inner, i, w, n);
}

/* Operand padded by the overhang of windows, indices moved with it: then a window that sticks out lies inside the
 * padded operand, and one that is wholly outside does not. cut[] gets the padding of each axis; false: none needed. */
static bool pad_overhang(struct imp *p, const struct hlo_op *op, struct scatter *s, const tsr_extent **cut, bool *ok) {
    tsr_ctx *c = p->c;
    const tsr_extent *zero = tsr_extent_int(c, 0);
    tsr_node *offset[TSR_MAX_RANK];
    bool any = false;
    *ok = zero != NULL;
    for (int a = 0; a < tsr_node_rank(s->x[0]); a++) cut[a] = zero;
    for (int i = 0; *ok && i < s->d.n_map; i++) {
        int64_t a = s->d.map[i];
        offset[i] = tsr_scalar_int(c, TSR_I64, 0);
        if (!may_stick_out(p, op, s, i)) continue;
        int64_t w = tsr_node_dim(s->u[0], s->walks[a]);
        if (w < 0) return *ok = imp_fail(p, op, "a window of unknown extent (axis %d of the updates) along an indexed "
            "axis", s->walks[a]), false;
        any = true, cut[a] = tsr_extent_int(c, w - 1), offset[i] = tsr_scalar_int(c, TSR_I64, w - 1);
    }
    if (!*ok || !any) return false;
    tsr_node *index = imp_as(c, s->index, TSR_I64), *row = NULL;
    for (int i = 0; i < s->d.n_map; i++) offset[i] = tsr_unsqueeze(c, offset[i], 0);
    row = tsr_prim_concat(c, s->d.n_map, offset, 0);
    bool vector = s->d.index_vector_axis < tsr_node_rank(index);
    if (!vector) row = tsr_squeeze(c, row, 0);
    int64_t axis = s->d.index_vector_axis;
    s->index = tsr_prim2(c, TSR_S_ADD, index, tsr_prim_broadcast(c, row, tsr_node_type(index), vector ? &axis : NULL));
    *ok = !tsr_is_poison(s->index);
    return *ok;
}

static tsr_node *scatter_one(tsr_ctx *c, const struct scatter *s, int i, tsr_scatter mode,
    const tsr_extent *const *cut) {
    if (!cut) return tsr_prim_scatter(c, s->x[i], s->index, s->u[i], &s->d, mode);
    const tsr_extent *limit[TSR_MAX_RANK];
    int64_t none[TSR_MAX_RANK] = {0}, one[TSR_MAX_RANK];
    tsr_node *wide = tsr_prim_pad(c, s->x[i], tsr_scalar_float(c, tsr_node_dtype(s->x[i]), 0), cut, cut, none);
    wide = tsr_prim_scatter(c, wide, s->index, s->u[i], &s->d, mode);
    for (int a = 0; a < tsr_node_rank(s->x[i]); a++) {
        one[a] = 1, limit[a] = tsr_extent_add(c, cut[a], tsr_node_extent(s->x[i], a));
        if (!limit[a]) return tsr_poison(c);
    }
    return tsr_is_poison(wide) ? wide : tsr_prim_slice(c, wide, cut, limit, one);
}

static bool by_primitive(struct imp *p, const struct hlo_op *op, struct scatter *s, const tsr_scatter *mode) {
    const tsr_extent *cut[TSR_MAX_RANK];
    bool ok, padded = pad_overhang(p, op, s, cut, &ok);
    if (!ok) return false;
    for (int i = 0; i < s->n; i++)
        if (!imp_result(p, op, i, scatter_one(p->c, s, i, mode[i], padded ? cut : NULL))) return false;
    return true;
}

/* ---- by rows ---------------------------------------------------------------------------------------------------- */

/* One row: read, combine, write; places < 0 or past the end are not written. */
static bool scatter_row(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n,
    tsr_node **x, tsr_node *pos, tsr_node *const *u) {
    static const int64_t zero = 0;
    tsr_ctx *c = p->c;
    tsr_node *old[IMP_BODY_MAX], *new[IMP_BODY_MAX];
    tsr_gather_dims d = {.n_collapsed = 1, .collapsed = &zero, .n_map = 1, .map = &zero, .index_vector_axis = 1};
    const tsr_extent *one = tsr_extent_int(c, 1);
    if (!one) return false;
    for (int i = 0; i < n; i++) old[i] = tsr_prim_gather(c, x[i], pos, &d, &one);
    if (tsr_is_poison(old[n - 1]) || !how->run(p, op, how->user, n, old, u, new)) return false;
    for (int i = 0; i < n; i++) x[i] = tsr_prim_scatter(c, x[i], pos, new[i], &d, TSR_SCATTER_SET);
    return !tsr_is_poison(x[n - 1]);
}

static bool scatter_all_rows(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n,
    tsr_node **x, tsr_node *pos, tsr_node *const *u) {
    tsr_node *row[IMP_BODY_MAX];
    for (int i = 0; i < n; i++) row[i] = tsr_flatten(p->c, u[i], 0, 1);
    pos = tsr_flatten(p->c, pos, 0, 1);
    return !tsr_is_poison(pos) && scatter_row(p, op, how, n, x, pos, row);
}

bool imp_scatter_rows(struct imp *p, const struct hlo_op *op, const struct imp_combine *how, int n, tsr_node **x,
    tsr_node *pos, tsr_node *const *u, bool unique) {
    tsr_ctx *c = p->c;
    tsr_node *carry[IMP_BODY_MAX], *xs[IMP_BODY_MAX + 1], *row[IMP_BODY_MAX + 1];
    if (!tsr_is_poison(x[0]) && tsr_node_dim(x[0], 0) == 0) return true; /* nowhere to write to */
    if (unique || tsr_node_dim(pos, 0) == 1) return scatter_all_rows(p, op, how, n, x, pos, u);
    xs[0] = pos;
    for (int i = 0; i < n; i++) xs[i + 1] = u[i];
    for (int i = 0; i <= n; i++)
        if (tsr_is_poison(xs[i]) || (i < n && tsr_is_poison(x[i]))) return false;
    if (tsr_fn_begin(c, "scatter")) return false;
    for (int i = 0; i < n; i++) carry[i] = tsr_param(c, tsr_node_type(x[i]), "x");
    for (int i = 0; i <= n; i++) {
        const tsr_type *t = tsr_node_type(xs[i]);
        row[i] = tsr_param(c, tsr_type_tensor(c, t->dtype, 1, t->extent + 1), i ? "update" : "place");
    }
    if (!scatter_row(p, op, how, n, carry, row[0], row + 1)) return tsr_fn_abort(c), false;
    tsr_fn *body = tsr_fn_end(c, n, carry);
    if (!body) return false;
    tsr_node *y = tsr_prim_scan(c, body, n, x, n + 1, xs, tsr_node_extent(pos, 0), false);
    tsr_fn_free(c, body);
    for (int i = 0; i < n && !tsr_is_poison(y); i++) x[i] = tsr_item(c, y, i);
    return !tsr_is_poison(y);
}

/* ---- any body --------------------------------------------------------------------------------------------------- */

/* Component i of the index vectors, in the shape of the updates. */
static tsr_node *component(tsr_ctx *c, const struct scatter *s, int i, const tsr_type *t) {
    tsr_node *index = imp_as(c, s->index, TSR_I64);
    int64_t axes[TSR_MAX_RANK], vec = s->d.index_vector_axis;
    int n = 0;
    if (vec < tsr_node_rank(index)) {
        const tsr_extent *from = tsr_extent_int(c, i), *to = tsr_extent_int(c, i + 1);
        index = tsr_squeeze(c, imp_cut(c, index, (int)vec, from, to, 1), (int)vec);
    }
    for (int a = 0; a < t->rank; a++)
        if (s->from_index[a] >= 0) axes[n++] = a;
    return tsr_is_poison(index) ? index : tsr_prim_broadcast(c, index, t, axes);
}

/* Where each update element goes along operand axis a. */
static tsr_node *coordinate(tsr_ctx *c, const struct scatter *s, int a, const tsr_type *t) {
    tsr_node *at = NULL;
    for (int i = 0; i < s->d.n_map; i++)
        if (s->d.map[i] == a) at = component(c, s, i, t);
    for (int i = 0; i < s->d.n_operand_batching; i++)
        for (int k = 0; s->d.operand_batching[i] == a && k < t->rank; k++)
            if (s->from_index[k] == s->d.index_batching[i]) at = tsr_prim_iota(c, t, k);
    if (s->walks[a] >= 0) {
        tsr_node *step = tsr_prim_iota(c, t, s->walks[a]);
        at = at ? tsr_prim2(c, TSR_S_ADD, at, step) : step;
    }
    return at ? at : tsr_full(c, t, 0);
}

/* The extent of axis a as an i64 scalar: a count that also symbolic extents have. */
static tsr_node *extent_value(tsr_ctx *c, const tsr_node *x, int a) {
    int64_t n = tsr_node_dim(x, a);
    if (n >= 0) return tsr_scalar_int(c, TSR_I64, n);
    const tsr_extent *e = tsr_node_extent(x, a);
    const tsr_type *line = tsr_type_tensor(c, TSR_I64, 1, &e);
    return line ? tsr_sum(c, tsr_full(c, line, 1), 0, NULL, false) : tsr_poison(c);
}

/* Row-major place in the operand of every update element, -1 where it lies outside. */
static tsr_node *places(tsr_ctx *c, const struct scatter *s) {
    const tsr_type *t = tsr_type_tensor(c, TSR_I64, tsr_node_rank(s->u[0]), tsr_node_type(s->u[0])->extent);
    if (!t) return tsr_poison(c);
    tsr_node *place = tsr_full(c, t, 0), *zero = place, *inside = NULL;
    for (int a = 0; a < tsr_node_rank(s->x[0]); a++) {
        tsr_node *at = coordinate(c, s, a, t), *n = imp_spread(c, extent_value(c, s->x[0], a), zero);
        tsr_node *in = tsr_prim2(c, TSR_S_AND, tsr_prim2(c, TSR_S_GE, at, zero), tsr_prim2(c, TSR_S_LT, at, n));
        inside = inside ? tsr_prim2(c, TSR_S_AND, inside, in) : in;
        place = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_MUL, place, n), at);
    }
    return inside ? tsr_prim3(c, TSR_S_SELECT, inside, place, tsr_full(c, t, -1)) : place;
}

/* Update-shaped x as (windows, elements of a window). */
static tsr_node *rows_of(tsr_ctx *c, const struct scatter *s, tsr_node *x) {
    int64_t perm[TSR_MAX_RANK];
    const tsr_extent *extent[2] = {tsr_extent_int(c, 1), tsr_extent_int(c, 1)};
    int k = 0;
    if (tsr_is_poison(x)) return x;
    for (int part = 0; part < 2; part++)
        for (int a = 0; a < tsr_node_rank(x); a++) {
            if ((s->from_index[a] < 0) != part) continue;
            perm[k++] = a;
            if (!extent[part] || !(extent[part] = tsr_extent_mul(c, extent[part], tsr_node_extent(x, a))))
                return tsr_poison(c);
        }
    return tsr_reshape_extents(c, tsr_prim_transpose(c, x, perm), 2, extent);
}

static bool by_rows(struct imp *p, const struct hlo_op *op, struct scatter *s) {
    tsr_ctx *c = p->c;
    tsr_node *flat[IMP_BODY_MAX], *u[IMP_BODY_MAX], *pos = rows_of(c, s, places(c, s));
    const tsr_type *t = tsr_node_type(s->x[0]);
    for (int i = 0; i < s->n; i++) {
        flat[i] = t->rank ? tsr_flatten(c, s->x[i], 0, t->rank - 1) : tsr_unsqueeze(c, s->x[i], 0);
        if (tsr_is_poison(u[i] = rows_of(c, s, s->u[i])) || tsr_is_poison(flat[i])) return false;
    }
    if (tsr_is_poison(pos) || !imp_scatter_rows(p, op, &imp_combine_body, s->n, flat, pos, u, s->d.unique))
        return false;
    for (int i = 0; i < s->n; i++)
        if (!imp_result(p, op, i, tsr_reshape_extents(c, flat[i], t->rank, t->extent))) return false;
    return true;
}

bool imp_scatter(struct imp *p, const struct hlo_op *op) {
    struct scatter s;
    tsr_scatter mode[IMP_BODY_MAX];
    if (!operands_of(p, op, &s) || !dims_of(p, op, &s) || !layout_of(p, op, &s)) return false;
    bool primitive = true;
    for (int i = 0; primitive && i < s.n; i++) primitive = scatter_mode(op, &s, i, &mode[i]);
    return primitive ? by_primitive(p, op, &s, mode) : by_rows(p, op, &s);
}
