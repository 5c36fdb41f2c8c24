/* lower_loop.c: elementwise chains with movement: one instance computes a box of the domain and stores every root
 * there. */
#include "compile/lower.h"

struct loop {
    struct groups g;
    int64_t tile[TSR_MAX_RANK * 2];
    int axis[TSR_MAX_RANK];
};

static bool body(struct kern *k, const void *arg) {
    const struct loop *o = arg;
    const struct cluster *cl = &k->L->cluster.v[k->cluster];
    const tsr_extent *blocks[TSR_MAX_RANK * 2] = {0};
    tsr_tv block[TSR_MAX_RANK * 2];
    struct ix at[TSR_MAX_RANK * 2];
    int64_t extent[TSR_TILE_MAX_RANK] = {1};
    int rank = 0;
    for (int i = 0; i < o->g.n; i++) blocks[i] = ext_ceildiv(k->c, o->g.dim[i], o->tile[i]);
    kern_grid(k, o->g.n, blocks, block);
    for (int i = 0; i < o->g.n; i++)
        if (o->tile[i] > 1) extent[rank++] = o->tile[i];
    kern_frame(k, rank ? rank : 1, extent);
    const struct guard *guard = NULL;
    for (int i = 0, j = 0; i < o->g.n; i++) {
        at[i] = ix_var(k->c, tsr_tile_elem2(k->p, TSR_S_MUL, block[i], kern_int(k, o->tile[i])));
        if (o->tile[i] == 1) continue;
        struct ix t = ix_var(k->c, LOW_AXIS(j++));
        at[i] = ix_add(k, &at[i], &t);
        guard = kern_guard(k, guard, &at[i], o->g.dim[i], true);
    }
    tsr_tv *value = arena_array(&k->mem, cl->root.n, sizeof *value);
    if (!value) return false;
    struct index *x = domain_index(k, lower_node(k->L, cl->root.v[0])->type, o->axis, &o->g, at);
    struct ix place = index_linear(k, x);
    k->identity = &place;
    for (size_t i = 0; i < cl->root.n; i++) value[i] = pull_value(k, lower_node(k->L, cl->root.v[i]), x, guard);
    for (size_t i = 0; i < cl->root.n; i++) kern_store(k, k->L->at[cl->root.v[i]].slot[0], x, guard, value[i]);
    k->identity = NULL;
    return true;
}

bool lower_loop(struct lower *L, int cluster) {
    const struct cluster *cl = &L->cluster.v[cluster];
    const tsr_type *t = lower_node(L, cl->root.v[0])->type;
    struct domain d = {.rank = t->rank};
    struct loop o;
    for (int i = 0; i < t->rank; i++) {
        d.dim[i] = t->extent[i];
        o.axis[i] = extent_is(t->extent[i], 1) ? -1 : i;
    }
    int bytes = 1;
    for (size_t i = 0; i < cl->root.n; i++) {
        const tsr_node *n = lower_node(L, cl->root.v[i]);
        int b = tsr_dtype_of(n->type->dtype)->bytes;
        bytes = b > bytes ? b : bytes;
        domain_scan(L, &d, cluster, n, o.axis);
        if (lower_new_slot(L, n, 0) < 0) return false;
    }
    domain_groups(L->c, &d, &o.g);
    tune_loop(tune_budget(L), o.g.n, o.g.dim, bytes < 4 ? 4 : bytes, 4, o.tile);
    return kern_write(L, cluster, body, &o);
}
