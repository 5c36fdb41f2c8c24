/* lower_scan.c: prefix sums and their kin: rows in chunks along the axis, a carry from chunk to chunk.
 *
 * A chunk is a tile whose axis `axis` is scanned at once; what came before is combined in front. When the scanned axis
 * is not the innermost one, a chunk is one element long and the other axes fill the tile. The chunk length is a
 * constant of the program, so the order of sums depends on the position along the axis alone. */
#include "compile/lower.h"

enum { CHUNK = 256 };

struct scan {
    const tsr_node *n;
    struct groups g;
    int64_t tile[TSR_MAX_RANK * 2];
    int axis[TSR_MAX_RANK], along; /* along: the group that is scanned, -1 when its extent is 1 */
};

struct place {
    struct ix at[TSR_MAX_RANK * 2];
    const struct guard *guard;
    int tile_axis; /* of the scanned group in the frame */
};

static void open_frame(struct kern *k, const struct scan *o, tsr_tv *start) {
    const tsr_extent *blocks[TSR_MAX_RANK * 2] = {0};
    tsr_tv v[TSR_MAX_RANK * 2];
    int64_t extent[TSR_TILE_MAX_RANK] = {1};
    int n = 0, of[TSR_MAX_RANK * 2], rank = 0;
    for (int i = 0; i < o->g.n; i++) {
        if (o->tile[i] > 1 || i == o->along) extent[rank++] = o->tile[i];
        if (i == o->along) continue;
        of[n] = i, blocks[n++] = ext_ceildiv(k->c, o->g.dim[i], o->tile[i]);
    }
    kern_grid(k, n, blocks, v);
    for (int i = 0; i < n; i++) start[of[i]] = tsr_tile_elem2(k->p, TSR_S_MUL, v[i], kern_int(k, o->tile[of[i]]));
    kern_frame(k, rank ? rank : 1, extent);
}

static void place_at(struct kern *k, const struct scan *o, const tsr_tv *start, struct place *p) {
    p->guard = NULL;
    for (int i = 0, j = 0; i < o->g.n; i++) {
        p->at[i] = ix_var(k->c, start[i]);
        if (i == o->along) p->tile_axis = j;
        if (o->tile[i] == 1) {
            j += i == o->along;
            continue;
        }
        struct ix t = ix_var(k->c, LOW_AXIS(j++));
        p->at[i] = ix_add(k, &p->at[i], &t);
        p->guard = kern_guard(k, p->guard, &p->at[i], o->g.dim[i], true);
    }
}

static bool body(struct kern *k, const void *arg) {
    const struct scan *o = arg;
    const tsr_node *n = o->n;
    tsr_reduce op = (tsr_reduce)node_int(n, ATTR_REDUCE);
    tsr_dtype t = reduce_dtype(n->type->dtype);
    bool reverse = node_int(n, ATTR_REVERSE) != 0;
    tsr_tv start[TSR_MAX_RANK * 2];
    open_frame(k, o, start);
    struct place p;
    tsr_tv blocks = kern_ext(k, ext_ceildiv(k->c, o->g.dim[o->along], o->tile[o->along])), one = kern_int(k, 1), carry;
    unsigned all = (1u << k->frame.rank) - 1;
    start[o->along] = kern_int(k, 0);
    place_at(k, o, start, &p);
    tsr_tv init = reduce_start(k, op, n->type->dtype, all & ~(1u << p.tile_axis));
    tsr_tv turn = tsr_tile_for(k->p, kern_int(k, 0), blocks, one, 1, &init, &carry);
    if (reverse) turn = tsr_tile_elem2(k->p, TSR_S_SUB, tsr_tile_elem2(k->p, TSR_S_SUB, blocks, one), turn);
    start[o->along] = tsr_tile_elem2(k->p, TSR_S_MUL, turn, kern_int(k, o->tile[o->along]));
    place_at(k, o, start, &p);
    struct index *x = domain_index(k, n->type, o->axis, &o->g, p.at);
    const struct guard *edge = NULL;
    for (const struct guard *g = p.guard; g; g = g->outer)
        if (ix_equal(&g->at, &p.at[o->along])) edge = g;
    tsr_tv none = reduce_identity(k, op, n->src[0]->type->dtype);
    tsr_tv v = edge ? pull_masked(k, n->src[0], x, p.guard, edge, none) : pull_value(k, n->src[0], x, p.guard);
    v = kern_full(k, pull_cast(k, t, v), all);
    tsr_tv s = reduce_combine(k, op, carry, tsr_tile_scan(k->p, op, v, p.tile_axis, reverse));
    kern_store(k, k->L->at[n->pos].slot[0], x, p.guard, pull_cast(k, n->type->dtype, s));
    tsr_tv next = reduce_combine(k, op, carry, tsr_tile_reduce(k->p, op, v, p.tile_axis));
    tsr_tile_yield(k->p, 1, &next);
    tsr_tile_end(k->p, 1, &next);
    return true;
}

bool lower_scan(struct lower *L, int cluster) {
    const tsr_node *n = lower_node(L, L->cluster.v[cluster].hero);
    int axis = (int)node_int(n, ATTR_AXIS);
    struct domain d = {.rank = n->type->rank};
    struct scan o = {.n = n};
    for (int i = 0; i < d.rank; i++) d.dim[i] = n->type->extent[i], o.axis[i] = extent_is(d.dim[i], 1) ? -1 : i;
    domain_scan(L, &d, cluster, n->src[0], o.axis);
    d.cut[axis] = true;
    if (axis) d.cut[axis - 1] = true;
    domain_groups(L->c, &d, &o.g);
    o.along = d.rank ? o.g.of[axis] : -1;
    if (lower_new_slot(L, n, 0) < 0) return false;
    if (o.along < 0) { /* one element along the axis: a group of its own without extent */
        o.along = o.g.n;
        o.g.dim[o.g.n++] = ext_int(L->c, 1);
    }
    const tsr_extent *kept[TSR_MAX_RANK * 2];
    int64_t tile[TSR_MAX_RANK * 2];
    bool inner = o.along == o.g.n - 1;
    int m = 0;
    for (int i = 0; i < o.g.n; i++)
        if (i != o.along) kept[m++] = o.g.dim[i];
    int64_t chunk = inner ? tune_round(o.g.dim[o.along], CHUNK) : 1;
    tune_loop(tune_budget(L), m, kept, 4 * (int)chunk, 4, tile);
    m = 0;
    for (int i = 0; i < o.g.n; i++) o.tile[i] = i == o.along ? chunk : tile[m++];
    return kern_write(L, cluster, body, &o);
}
