/* lower_scatter.c: updates of whole rows (the gradient of an embedding) as one tile program.
 *
 * One index component names a place along one axis of the operand, `along`; an update covers all other axes. An
 * instance owns a box of the result: it starts with the operand's elements, looks through the indices in chunks of
 * CHUNK, and where a chunk names one of its rows, applies the updates of that chunk one after the other. So updates
 * that meet apply in their order, whatever the grid; nothing is written twice, and what surrounds the scatter (the
 * zeros it adds to, the step that an optimiser makes of it) is part of the kernel: the gradient itself never needs
 * memory.
 *
 * Every instance looks at every index, so this is for few updates beside many elements; all other scatters are the
 * library's. Small floats add up in f32 and are rounded once, as there. */
#include "compile/lower.h"

#include "graph/gather.h"

enum { CHUNK = 256, BOX = 4096, UPDATES_MOST = 1 << 14, LOOKS_MOST = 2, UNKNOWN = 1 << 30 };

struct scatter {
    const tsr_node *n;
    struct groups g;
    int64_t tile[TSR_MAX_RANK * 2];
    int axis[TSR_MAX_RANK], along; /* along: the group of rows */
    const tsr_extent *updates;     /* how many there are */
    tsr_scatter how;
    tsr_dtype acc;
};

/* Where an instance is. */
struct place {
    struct ix at[TSR_MAX_RANK * 2];
    const struct guard *guard;
    tsr_tv row;                    /* first row of its box */
    int row_axis;                  /* of the frame, or -1: one row */
    int rank;
    int64_t extent[TSR_TILE_MAX_RANK];
};

/* ---- which scatters ---- */

static const tsr_extent *count_updates(tsr_ctx *c, const tsr_node *n, const tsr_gather_dims *d) {
    const tsr_extent *extent[TSR_MAX_RANK];
    const tsr_type *t = n->src[1]->type;
    int m = 0;
    for (int i = 0; i < t->rank; i++)
        if (i != d->index_vector_axis) extent[m++] = t->extent[i];
    return ext_product(c, m, extent);
}

/* One component, at the end of the index tensor or left out; windows behind the batch axes, whole but for the row. */
static bool has_rows(const tsr_node *n, const tsr_gather_dims *d) {
    const tsr_type *x = n->src[0]->type, *u = n->src[2]->type;
    int batch = u->rank - d->n_offset;
    if (d->n_map != 1 || d->n_collapsed != 1 || d->collapsed[0] != d->map[0] || d->n_operand_batching) return false;
    if (d->index_vector_axis < n->src[1]->type->rank - 1) return false;
    for (int i = 0, axis = 0; i < d->n_offset; i++, axis++) {
        axis += axis == d->map[0];
        if (d->offset[i] != batch + i || u->extent[batch + i] != x->extent[axis]) return false;
    }
    return tsr_dtype_of(x->dtype)->block == 1 && tsr_dtype_of(n->src[1]->type->dtype)->block == 1;
}

bool scatter_is_rows(tsr_ctx *c, const tsr_node *n) {
    tsr_gather_dims d;
    if (n->op != TSR_OP_SCATTER) return false;
    gather_dims(n->nattr, n->attr, &d);
    if (!has_rows(n, &d)) return false;
    int64_t updates = ext_hint(count_updates(c, n, &d), UNKNOWN), elements = 1;
    int64_t rows = ext_hint(n->type->extent[d.map[0]], UNKNOWN);
    for (int i = 0; i < n->type->rank; i++)
        if (__builtin_mul_overflow(elements, ext_hint(n->type->extent[i], 1), &elements)) return false;
    return updates <= UPDATES_MOST && rows < UNKNOWN && rows * updates <= LOOKS_MOST * elements;
}

/* ---- the box ---- */

static void open_box(struct kern *k, const struct scatter *o, struct place *p) {
    const tsr_extent *blocks[TSR_MAX_RANK * 2] = {0};
    tsr_tv block[TSR_MAX_RANK * 2];
    for (int i = 0; i < o->g.n; i++) blocks[i] = ext_ceildiv(k->c, o->g.dim[i], o->tile[i]);
    kern_grid(k, o->g.n, blocks, block);
    *p = (struct place){.row_axis = -1, .extent = {1}};
    for (int i = 0; i < o->g.n; i++) {
        tsr_tv start = tsr_tile_elem2(k->p, TSR_S_MUL, block[i], kern_int(k, o->tile[i]));
        p->at[i] = ix_var(k->c, start);
        if (i == o->along) p->row = start;
        if (o->tile[i] == 1) continue;
        if (i == o->along) p->row_axis = p->rank;
        struct ix t = ix_var(k->c, LOW_AXIS(p->rank));
        p->at[i] = ix_add(k, &p->at[i], &t);
        p->guard = kern_guard(k, p->guard, &p->at[i], o->g.dim[i], true);
        p->extent[p->rank++] = o->tile[i];
    }
    if (p->rank == 0) p->rank = 1;
    kern_frame(k, p->rank, p->extent);
}

static unsigned whole_box(const struct kern *k) { return (1u << k->frame.rank) - 1; }

/* ---- updates ---- */

/* The index tensor's elements at `at` of all of them in a row, as i64; -1 where at is past the last. */
static tsr_tv index_at(struct kern *k, const struct scatter *o, const struct ix *at, bool guarded) {
    const tsr_node *n = o->n->src[1];
    struct index *x = index_new(k, n->type);
    x->rank = 1, x->dim[0] = o->updates, x->at[0] = *at;
    if (!guarded) return pull_cast(k, TSR_I64, pull_value(k, n, x, NULL));
    const struct guard *edge = kern_guard(k, NULL, at, o->updates, true);
    tsr_tv v = pull_cast(k, TSR_I64, pull_value(k, n, x, edge));
    return tsr_tile_elem3(k->p, TSR_S_SELECT, kern_holds(k, edge), v, kern_int(k, -1));
}

/* How far below the box's first row; inside: 0 <= that < rows of the box. */
static tsr_tv from_row(struct kern *k, const struct place *p, tsr_tv index) {
    return tsr_tile_elem2(k->p, TSR_S_SUB, index, p->row);
}

static tsr_tv inside_box(struct kern *k, const struct scatter *o, tsr_tv row) {
    tsr_tv low = tsr_tile_elem2(k->p, TSR_S_GE, row, kern_int(k, 0));
    return tsr_tile_elem2(k->p, TSR_S_AND, low, tsr_tile_elem2(k->p, TSR_S_LT, row, kern_int(k, o->tile[o->along])));
}

/* Whether any of the indices from `first` on, a chunk of them, is in the box. */
static tsr_tv chunk_meets(struct kern *k, const struct scatter *o, const struct place *p, tsr_tv first) {
    size_t mark = kern_mark(k);
    kern_frame(k, 1, (int64_t[]){CHUNK});
    struct ix at = ix_var(k->c, first), axis = ix_var(k->c, LOW_AXIS(0));
    at = ix_add(k, &at, &axis);
    tsr_tv row = from_row(k, p, kern_full(k, index_at(k, o, &at, true), 1));
    tsr_tv any = tsr_tile_reduce(k->p, TSR_REDUCE_OR, inside_box(k, o, row), 0);
    kern_release(k, mark);
    return tsr_tile_reshape(k->p, any, 0, NULL);
}

static tsr_tv meet(struct kern *k, const struct scatter *o, tsr_tv acc, tsr_tv update) {
    static const tsr_scalar fn[] = {[TSR_SCATTER_ADD] = TSR_S_ADD, [TSR_SCATTER_MUL] = TSR_S_MUL,
        [TSR_SCATTER_MIN] = TSR_S_MIN, [TSR_SCATTER_MAX] = TSR_S_MAX};
    return o->how == TSR_SCATTER_SET ? update : tsr_tile_elem2(k->p, fn[o->how], acc, update);
}

/* acc after update number u, which lies `row` rows below the box's first. */
static tsr_tv apply(struct kern *k, const struct scatter *o, const struct place *p, tsr_tv u, tsr_tv row, tsr_tv acc) {
    const tsr_node *n = o->n->src[2];
    struct index *x = index_new(k, n->type);
    kern_frame(k, p->rank, p->extent);
    x->rank = 1, x->dim[0] = o->updates, x->at[0] = ix_var(k->c, u);
    for (int i = 0; i < o->g.n; i++)
        if (i != o->along) x->dim[x->rank] = o->g.dim[i], x->at[x->rank++] = p->at[i];
    tsr_tv v = kern_full(k, pull_cast(k, o->acc, pull_value(k, n, x, p->guard)), whole_box(k));
    v = meet(k, o, acc, v);
    if (p->row_axis < 0) return v;
    int64_t e[TSR_TILE_MAX_RANK];
    for (int i = 0; i < p->rank; i++) e[i] = i == p->row_axis ? p->extent[i] : 1;
    tsr_tv hit = tsr_tile_elem2(k->p, TSR_S_EQ, tsr_tile_iota(k->p, TSR_I64, p->rank, e, p->row_axis), row);
    return tsr_tile_elem3(k->p, TSR_S_SELECT, hit, v, acc);
}

/* A branch that gives `then` of it, or leaves acc alone. */
static tsr_tv otherwise(struct kern *k, tsr_tv then, tsr_tv acc) {
    tsr_tv r = TSR_TV_NONE;
    tsr_tile_yield(k->p, 1, &then);
    tsr_tile_else(k->p);
    tsr_tile_yield(k->p, 1, &acc);
    tsr_tile_end(k->p, 1, &r);
    return r;
}

static tsr_tv apply_chunk(struct kern *k, const struct scatter *o, const struct place *p, tsr_tv first, tsr_tv acc) {
    tsr_tv carry = TSR_TV_NONE, end = tsr_tile_elem2(k->p, TSR_S_ADD, first, kern_int(k, CHUNK));
    end = tsr_tile_elem2(k->p, TSR_S_MIN, end, kern_ext(k, o->updates));
    tsr_tv u = tsr_tile_for(k->p, first, end, kern_int(k, 1), 1, &acc, &carry);
    size_t mark = kern_mark(k);
    struct ix at = ix_var(k->c, u);
    tsr_tv row = from_row(k, p, index_at(k, o, &at, false));
    tsr_tile_if(k->p, inside_box(k, o, row));
    tsr_tv next = apply(k, o, p, u, row, carry);
    kern_release(k, mark);
    next = otherwise(k, next, carry);
    tsr_tile_yield(k->p, 1, &next);
    tsr_tile_end(k->p, 1, &next);
    return next;
}

static tsr_tv apply_all(struct kern *k, const struct scatter *o, const struct place *p, tsr_tv acc) {
    tsr_tv carry = TSR_TV_NONE;
    size_t mark = kern_mark(k);
    tsr_tv first = tsr_tile_for(k->p, kern_int(k, 0), kern_ext(k, o->updates), kern_int(k, CHUNK), 1, &acc, &carry);
    tsr_tile_if(k->p, chunk_meets(k, o, p, first));
    acc = otherwise(k, apply_chunk(k, o, p, first, carry), carry);
    tsr_tile_yield(k->p, 1, &acc);
    tsr_tile_end(k->p, 1, &acc);
    kern_release(k, mark);
    return acc;
}

/* ---- the program ---- */

static bool body(struct kern *k, const void *arg) {
    const struct scatter *o = arg;
    const struct cluster *cl = &k->L->cluster.v[k->cluster];
    struct place p;
    open_box(k, o, &p);
    struct index *x = domain_index(k, o->n->type, o->axis, &o->g, p.at);
    tsr_tv acc = kern_full(k, pull_cast(k, o->acc, pull_value(k, o->n->src[0], x, p.guard)), whole_box(k));
    acc = apply_all(k, o, &p, acc);
    kern_frame(k, p.rank, p.extent);
    pull_remember_whole(k, o->n, x, pull_cast(k, o->n->type->dtype, acc));
    tsr_tv *value = arena_array(&k->mem, cl->root.n, sizeof *value);
    if (!value) return false;
    for (size_t i = 0; i < cl->root.n; i++) value[i] = pull_value(k, lower_node(k->L, cl->root.v[i]), x, p.guard);
    for (size_t i = 0; i < cl->root.n; i++) kern_store(k, k->L->at[cl->root.v[i]].slot[0], x, p.guard, value[i]);
    return true;
}

/* The other axes first, from the innermost; then as many rows as the box still holds. */
static void choose_tiles(struct scatter *o, const struct tile_budget *b) {
    const tsr_extent *other[TSR_MAX_RANK * 2];
    int64_t tile[TSR_MAX_RANK * 2], box = 1;
    int m = 0;
    for (int i = 0; i < o->g.n; i++)
        if (i != o->along) other[m++] = o->g.dim[i];
    tune_loop(b, m, other, tsr_dtype_of(o->acc)->bytes, 4, tile);
    m = 0;
    for (int i = 0; i < o->g.n; i++)
        if (i != o->along) box *= o->tile[i] = tile[m++];
    o->tile[o->along] = tune_round(o->g.dim[o->along], box < BOX ? BOX / box : 1);
}

bool lower_scatter(struct lower *L, int cluster) {
    const struct cluster *cl = &L->cluster.v[cluster];
    struct scatter o = {.n = lower_node(L, cl->hero)};
    struct domain d = {.rank = o.n->type->rank};
    tsr_gather_dims dims;
    gather_dims(o.n->nattr, o.n->attr, &dims);
    o.how = (tsr_scatter)node_int(o.n, ATTR_MODE);
    o.acc = dtype_is_float(o.n->type->dtype) ? dtype_accumulator(o.n->type->dtype) : o.n->type->dtype;
    o.updates = count_updates(L->c, o.n, &dims);
    int along = (int)dims.map[0];
    for (int i = 0; i < d.rank; i++)
        d.dim[i] = o.n->type->extent[i], o.axis[i] = extent_is(d.dim[i], 1) ? -1 : i;
    for (size_t i = 0; i < cl->root.n; i++) {
        domain_scan(L, &d, cluster, lower_node(L, cl->root.v[i]), o.axis);
        if (lower_new_slot(L, lower_node(L, cl->root.v[i]), 0) < 0) return false;
    }
    domain_scan(L, &d, cluster, o.n->src[0], o.axis);
    d.cut[along] = true;
    if (along) d.cut[along - 1] = true;
    domain_groups(L->c, &d, &o.g);
    o.along = o.g.of[along];
    if (o.along < 0) { /* one row: a group of its own without extent */
        o.along = o.g.n;
        o.g.dim[o.g.n++] = ext_int(L->c, 1);
    }
    choose_tiles(&o, tune_budget(L));
    return kern_write(L, cluster, body, &o);
}
