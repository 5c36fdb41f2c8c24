/* lower_row.c: reductions of one domain along the same axes, with everything before, between and after them: softmax,
 * norms, losses.
 *
 * An instance takes a block of rows (elements of the kept axes). For each reduction in order it walks the reduced axes
 * in tiles, combines them elementwise into an accumulator tile and reduces that tile at the end; the result is
 * remembered, so whatever is computed later sees a value for each row. Then it walks once more and stores the roots
 * that have the whole domain, and stores the roots that have one element a row. When a row fits one tile there are no
 * walks: everything stays in the tiles of one turn.
 *
 * Tiles have two axes: one of rows, one along the reduced axes; the length of the latter depends on the extents of the
 * row alone, which fixes the order of every sum whatever the number of rows. A walk along the innermost axis takes one
 * row, so that it reads one contiguous run. When the innermost axis is a kept one it is the row axis, and the reduced
 * axes go by in steps of DEEP. */
#include "compile/lower.h"

enum { LONGEST = 2048, CHUNK = 1024, DEEP = 8, WIDE = 256 };

struct rows {
    const tsr_node *hero;
    struct domain d;
    struct groups g;
    bool reduced[TSR_MAX_RANK * 2], group_reduced[TSR_MAX_RANK * 2]; /* of an axis, of a group */
    int64_t tile[TSR_MAX_RANK * 2];
    bool once[TSR_MAX_RANK * 2]; /* a reduced group that one tile covers: no walk */
    int row_tile, deep_tile;     /* groups that have the tile axes, or -1 */
};

/* Where an instance stands: an index for each group. */
struct place {
    tsr_tv start[TSR_MAX_RANK * 2];
    struct ix at[TSR_MAX_RANK * 2];
    int frame_axis[TSR_MAX_RANK * 2];
    const struct guard *guard, *edge; /* edge: the end of the tile along the reduced axis, or NULL */
};

/* ---- shape of the work ---- */

static void choose_tiles(struct rows *o, int64_t most) {
    int n = o->g.n;
    o->row_tile = o->deep_tile = -1;
    for (int i = 0; i < n; i++) {
        o->tile[i] = 1, o->once[i] = false;
        *(o->group_reduced[i] ? &o->deep_tile : &o->row_tile) = i;
    }
    bool inner = o->deep_tile > o->row_tile;
    int64_t deep = 1;
    if (o->deep_tile >= 0) {
        int64_t length = ext_hint(o->g.dim[o->deep_tile], INT64_MAX);
        deep = tune_round(o->g.dim[o->deep_tile], !inner ? DEEP : length <= LONGEST ? LONGEST : CHUNK);
        if (deep < 2) deep = 2; /* an empty axis has no element 0 to read: the guard must see it */
        o->tile[o->deep_tile] = deep;
        o->once[o->deep_tile] = length <= deep;
    }
    if (o->row_tile < 0) return;
    int64_t rows = !inner ? WIDE : o->once[o->deep_tile] ? most / deep : 1; /* a walk reads one contiguous run */
    o->tile[o->row_tile] = tune_round(o->g.dim[o->row_tile], rows);
}

static void open_frame(struct kern *k, const struct rows *o, struct place *p) {
    const tsr_extent *blocks[TSR_MAX_RANK * 2] = {0};
    tsr_tv v[TSR_MAX_RANK * 2];
    int n = 0, of[TSR_MAX_RANK * 2], rank = 0;
    int64_t extent[TSR_TILE_MAX_RANK] = {1};
    for (int i = 0; i < o->g.n; i++) {
        p->frame_axis[i] = -1;
        if (i == o->row_tile || i == o->deep_tile) p->frame_axis[i] = rank, extent[rank++] = o->tile[i];
        if (o->group_reduced[i]) continue;
        of[n] = i, blocks[n++] = ext_ceildiv(k->c, o->g.dim[i], o->tile[i]);
    }
    kern_grid(k, n, blocks, v);
    for (int i = 0; i < o->g.n; i++) p->start[i] = kern_int(k, 0);
    for (int i = 0; i < n; i++) p->start[of[i]] = tsr_tile_elem2(k->p, TSR_S_MUL, v[i], kern_int(k, o->tile[of[i]]));
    kern_frame(k, rank ? rank : 1, extent);
}

/* Tiles cover the extent exactly, whatever its place: no element of any is outside. */
static bool fills(const tsr_extent *e, int64_t tile) {
    int64_t n;
    return tsr_extent_is_int(e, &n) && n > 0 && n % tile == 0;
}

/* Makes at, guard and edge from the starts. deep: the reduced axes too. */
static void place_at(struct kern *k, const struct rows *o, struct place *p, bool deep) {
    p->guard = p->edge = NULL;
    for (int i = 0; i < o->g.n; i++) {
        if (o->group_reduced[i] && !deep) {
            p->at[i] = ix_const(k->c, 0);
            continue;
        }
        p->at[i] = o->once[i] ? ix_const(k->c, 0) : ix_var(k->c, p->start[i]);
        if (o->tile[i] == 1) continue;
        struct ix t = ix_var(k->c, LOW_AXIS(p->frame_axis[i]));
        p->at[i] = ix_add(k, &p->at[i], &t);
        if (fills(o->g.dim[i], o->tile[i])) continue;
        p->guard = kern_guard(k, p->guard, &p->at[i], o->g.dim[i], true);
        if (o->group_reduced[i]) p->edge = p->guard;
    }
}

/* ---- walks over the reduced axes ---- */

static tsr_tv open_walk(struct kern *k, const struct rows *o, struct place *p, int carries, tsr_tv carry, int *loops) {
    *loops = 0;
    for (int i = 0; i < o->g.n; i++) {
        if (!o->group_reduced[i] || o->once[i]) continue;
        tsr_tv next = TSR_TV_NONE;
        p->start[i] = tsr_tile_for(k->p, kern_int(k, 0), kern_ext(k, o->g.dim[i]), kern_int(k, o->tile[i]), carries,
            &carry, &next);
        carry = next, ++*loops;
    }
    return carry;
}

static tsr_tv close_walk(struct kern *k, int carries, tsr_tv carry, int loops) {
    for (int i = 0; i < loops; i++) {
        tsr_tile_yield(k->p, carries, &carry);
        tsr_tile_end(k->p, carries, &carry);
    }
    return carry;
}

static bool walked(const struct rows *o) {
    for (int i = 0; i < o->g.n; i++)
        if (o->group_reduced[i] && !o->once[i]) return true;
    return false;
}

static unsigned all_axes(const struct kern *k) { return (1u << k->frame.rank) - 1; }

static void identity_axes(const tsr_type *t, int *axis) {
    for (int i = 0; i < t->rank; i++) axis[i] = extent_is(t->extent[i], 1) ? -1 : i;
}

/* The value of one reduction for each row. Where one tile holds the whole row nothing need be combined with the start,
 * which changes no element but the sign of a zero: so it joins at the end, as an element a row. */
static void reduce(struct kern *k, const struct rows *o, struct place p, const tsr_node *n, const struct place *whole) {
    tsr_reduce op = (tsr_reduce)node_int(n, ATTR_REDUCE);
    const tsr_node *s = n->src[0];
    tsr_dtype t = reduce_dtype(n->type->dtype);
    int axis[TSR_MAX_RANK], loops;
    struct place q = *whole;
    size_t mark = kern_mark(k);
    bool walks = walked(o);
    unsigned row = o->row_tile < 0 ? 0 : 1u << p.frame_axis[o->row_tile];
    tsr_tv acc = reduce_start(k, op, n->type->dtype, walks ? all_axes(k) : row), start = acc;
    acc = open_walk(k, o, &p, 1, acc, &loops);
    if (loops) place_at(k, o, &p, true), q = p;
    identity_axes(s->type, axis);
    struct index *x = domain_index(k, s->type, axis, &o->g, q.at);
    tsr_tv none = reduce_identity(k, op, s->type->dtype);
    tsr_tv v = q.edge ? pull_masked(k, s, x, q.guard, q.edge, none) : pull_value(k, s, x, q.guard);
    v = pull_cast(k, t, v);
    acc = kern_full(k, walks ? reduce_combine(k, op, acc, v) : v, all_axes(k));
    if (loops) acc = close_walk(k, 1, acc, loops), kern_release(k, mark);
    if (o->deep_tile >= 0) acc = tsr_tile_reduce(k->p, op, acc, p.frame_axis[o->deep_tile]);
    if (!walks && op == TSR_REDUCE_SUM) acc = reduce_combine(k, op, start, acc);
    place_at(k, o, &p, false);
    domain_row_axes(k->L, k->cluster, n, axis);
    pull_remember_whole(k, n, domain_index(k, n->type, axis, &o->g, p.at), pull_cast(k, n->type->dtype, acc));
}

/* ---- roots ---- */

/* Whether a root varies along the reduced axes. */
static bool is_full(const struct rows *o, const tsr_node *n, const int *axis) {
    for (int i = 0; i < n->type->rank; i++)
        if (axis[i] >= 0 && o->reduced[axis[i]] && o->g.of[axis[i]] >= 0) return true;
    return false;
}

/* Stores every root that varies along the reduced axes (full), or every one that does not. */
static bool store_roots(struct kern *k, const struct rows *o, const struct place *p, bool full) {
    const struct cluster *cl = &k->L->cluster.v[k->cluster];
    tsr_tv *value = arena_array(&k->mem, cl->root.n, sizeof *value);
    struct index **x = arena_array(&k->mem, cl->root.n, sizeof *x);
    if (!value || !x) return false;
    for (size_t i = 0; i < cl->root.n; i++) {
        const tsr_node *n = lower_node(k->L, cl->root.v[i]);
        int axis[TSR_MAX_RANK];
        domain_row_axes(k->L, k->cluster, n, axis);
        if (is_full(o, n, axis) != full) continue;
        x[i] = domain_index(k, n->type, axis, &o->g, p->at);
        value[i] = pull_value(k, n, x[i], p->guard);
    }
    for (size_t i = 0; i < cl->root.n; i++)
        if (x[i]) kern_store(k, k->L->at[cl->root.v[i]].slot[0], x[i], p->guard, value[i]);
    return true;
}

static bool any_full(const struct lower *L, const struct rows *o, int cluster) {
    const struct cluster *cl = &L->cluster.v[cluster];
    for (size_t i = 0; i < cl->root.n; i++) {
        int axis[TSR_MAX_RANK];
        domain_row_axes(L, cluster, lower_node(L, cl->root.v[i]), axis);
        if (is_full(o, lower_node(L, cl->root.v[i]), axis)) return true;
    }
    return false;
}

static bool body(struct kern *k, const void *arg) {
    const struct rows *o = arg;
    struct place p, whole;
    int loops;
    open_frame(k, o, &p);
    whole = p;
    place_at(k, o, &whole, true); /* valid where there are no walks */
    for (int i = 0; i < k->L->n; i++) {
        if (k->L->at[i].cluster != k->cluster || lower_node(k->L, i)->op != TSR_OP_REDUCE) continue;
        struct tile_origin before = kern_origin(k, lower_node(k->L, i));
        reduce(k, o, p, lower_node(k->L, i), &whole);
        k->p->origin = before;
    }
    place_at(k, o, &p, false);
    if (!store_roots(k, o, &p, false)) return false;
    if (!any_full(k->L, o, k->cluster)) return true;
    open_walk(k, o, &p, 0, TSR_TV_NONE, &loops);
    if (loops) place_at(k, o, &p, true);
    else p = whole;
    if (!store_roots(k, o, &p, true)) return false;
    close_walk(k, 0, TSR_TV_NONE, loops);
    return true;
}

/* ---- the domain ---- */

static void scan_domain(struct lower *L, int cluster, struct rows *o) {
    const struct cluster *cl = &L->cluster.v[cluster];
    const tsr_type *t = o->hero->src[0]->type;
    int axis[TSR_MAX_RANK], count;
    const int64_t *axes = node_ints(o->hero, ATTR_AXES, &count);
    o->d.rank = t->rank;
    for (int i = 0; i < t->rank; i++) o->d.dim[i] = t->extent[i];
    for (int i = 0; i < count; i++) o->reduced[axes[i]] = true;
    for (int i = 0; i + 1 < t->rank; i++) o->d.cut[i] = o->reduced[i] != o->reduced[i + 1];
    for (size_t i = 0; i < cl->root.n; i++) {
        domain_row_axes(L, cluster, lower_node(L, cl->root.v[i]), axis);
        domain_scan(L, &o->d, cluster, lower_node(L, cl->root.v[i]), axis);
    }
    identity_axes(t, axis);
    for (int i = 0; i < L->n; i++)
        if (L->at[i].cluster == cluster && lower_node(L, i)->op == TSR_OP_REDUCE)
            domain_scan(L, &o->d, cluster, lower_node(L, i)->src[0], axis);
    domain_groups(L->c, &o->d, &o->g);
    for (int i = 0; i < t->rank; i++)
        if (o->g.of[i] >= 0) o->group_reduced[o->g.of[i]] = o->reduced[i];
}

bool lower_row(struct lower *L, int cluster) {
    const struct cluster *cl = &L->cluster.v[cluster];
    struct rows o = {.hero = lower_node(L, cl->hero)};
    for (size_t i = 0; i < cl->root.n; i++)
        if (lower_new_slot(L, lower_node(L, cl->root.v[i]), 0) < 0) return false;
    scan_domain(L, cluster, &o);
    choose_tiles(&o, tune_budget(L)->row_elements);
    return kern_write(L, cluster, body, &o);
}
