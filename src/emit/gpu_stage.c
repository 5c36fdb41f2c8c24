/* gpu_stage.c: which operands of a product never exist as tiles.
 *
 * A product whose accumulator has M x N elements cuts them into a grid of threads (struct gpu_tile): thread (ty, tx)
 * holds rows ty, ty + rows, ... of columns tx, tx + columns, ..., which is how all tiles of M x N elements are dealt
 * out in its program. Its operands pass through local memory in slabs of a few k. An operand that a loop of its own
 * makes for this product alone (a load, and whatever is computed from it element by element) is computed while the slab
 * is filled, in whatever order the slab wants: the loop is not rendered where it stood, and the tile has no memory.
 * Nothing may be stored between the loop's place and the product. */
#include "emit/gpu_text.h"

#include <string.h>

static int64_t least_power(int64_t n, int64_t most) {
    int64_t p = 1;
    while (p < n && p < most) p *= 2;
    return p;
}

static bool fits_tile(const struct gpu *g, const struct tile_type *t) {
    return t->rank == 2 && t->extent[0] == g->tile.m && t->extent[1] == g->tile.n;
}

bool gpu_is_tiled(const struct gpu *g, const struct tile_inst *in) {
    return in->op == TILE_DOT && g->tile.m && fits_tile(g, tile_type_of(g->w.p, in->result));
}

/* The program's first product decides; threads as many as leave each a square of outputs. */
void gpu_choose_tile(struct gpu *g) {
    enum { MOST_SLOTS = 128 };
    const tsr_tile *p = g->w.p;
    const struct tile_type *t = NULL;
    for (size_t i = 0; !t && i < p->inst.n; i++)
        if (p->inst.v[i].op == TILE_DOT) t = tile_type_of(p, p->inst.v[i].result);
    if (!t || g->threads < 32 || tile_count(t) < g->threads) return;
    struct gpu_tile x = {.m = t->extent[0], .n = t->extent[1]};
    x.columns = 8;
    while (x.columns < x.n && x.columns < g->threads && x.columns * x.columns * x.m < g->threads * x.n) x.columns *= 2;
    if (g->threads / x.columns > x.m) x.columns = g->threads / (int)least_power(x.m, g->threads);
    x.rows = g->threads / x.columns;
    x.down = (x.m + x.rows - 1) / x.rows, x.across = (x.n + x.columns - 1) / x.columns;
    if (x.down * x.across * (int)emit_size(t->dtype) <= MOST_SLOTS * 4) g->tile = x;
}

/* ---- operands ---- */

static bool is_memory(enum tile_op op) {
    return op == TILE_LOAD || op == TILE_STORE || op == TILE_GATHER || op == TILE_SCATTER;
}

static bool stores_between(const struct gpu *g, int32_t from, int32_t to) {
    for (int32_t at = from; at < to; at++) {
        enum tile_op op = g->w.p->inst.v[at].op;
        if (op == TILE_STORE || op == TILE_SCATTER || tile_opens(op) || op == TILE_END) return true;
    }
    return false;
}

/* Is v read by one instruction alone, and once (reshapes of it count as it)? */
static int uses_of(const struct gpu *g, tsr_tv v) {
    const tsr_tile *p = g->w.p;
    int n = 0;
    for (size_t i = 0; i < p->inst.n; i++)
        for (int j = 0; j < p->inst.v[i].n_operand; j++) {
            tsr_tv u = tile_operands(p, &p->inst.v[i])[j];
            if (u == v) n += p->inst.v[i].op == TILE_RESHAPE ? uses_of(g, p->inst.v[i].result) : 1;
        }
    return n;
}

/* A group that makes v and nothing else that outlives it. */
static bool makes_only(const struct gpu *g, int32_t group, tsr_tv v) {
    const struct emit_plan *k = g->w.k;
    for (int32_t at = k->group.v[group].first; at <= k->group.v[group].last; at++) {
        const struct tile_inst *in = &k->p->inst.v[at];
        if (k->member.v[at] != group) continue;
        if (in->n_result == 0 || (in->result != v && k->value.v[in->result].home == EMIT_ARRAY)) return false;
    }
    return true;
}

/* Arrays that the staged group reads are read at the product; it may read none that a thread holds. */
static void hold_arrays(struct gpu *g, int32_t group, int32_t at) {
    const struct emit_plan *k = g->w.k;
    for (int32_t i = k->group.v[group].first; i <= k->group.v[group].last; i++) {
        const struct tile_inst *in = &k->p->inst.v[i];
        for (int j = 0; k->member.v[i] == group && j < in->n_operand; j++) {
            tsr_tv v = tile_operands(k->p, in)[j];
            if (v != TSR_TV_NONE) g->late.v[emit_place(k, v)] = at;
        }
    }
}

/* The one member of a group that only turns a matrix. */
static const struct tile_inst *turns(const struct gpu *g, tsr_tv v) {
    const struct emit_plan *k = g->w.k;
    const struct tile_inst *in = &k->p->inst.v[k->p->value.v[v].inst];
    int32_t group = k->value.v[v].group;
    if (in->op != TILE_TRANSPOSE || in->rank != 2 || in->extent[0] != 1 || group < 0) return NULL;
    const struct emit_group *x = &k->group.v[group];
    for (int32_t at = x->first; at <= x->last; at++)
        if (k->member.v[at] == group && &k->p->inst.v[at] != in) return NULL;
    return uses_of(g, v) == 1 ? in : NULL;
}

static bool carried_over(const struct emit_plan *k, tsr_tv v) { return k->value.v[v].same != TSR_TV_NONE; }

/* Operand v of the product at `at`. */
static void stage_operand(struct gpu *g, struct emit_plan *k, int32_t at, tsr_tv v) {
    const tsr_tile *p = k->p;
    tsr_tv root = emit_dense(g->w.k, v), turned = TSR_TV_NONE;
    if (k->value.v[root].home != EMIT_ARRAY || k->value.v[root].group < 0) return;
    const struct tile_inst *turn = turns(g, root);
    if (turn) turned = root, root = emit_dense(g->w.k, tile_operands(p, turn)[0]);
    int32_t group = k->value.v[root].group;
    const struct emit_group *x = group < 0 ? NULL : &k->group.v[group];
    bool ok = x && k->value.v[root].home == EMIT_ARRAY && !carried_over(k, root) && uses_of(g, root) == 1 &&
              p->inst.v[p->value.v[root].inst].region == p->inst.v[at].region && makes_only(g, group, root) &&
              !stores_between(g, x->first, at);
    if (!ok) return;
    g->staged.v[group] = at;
    if (turned != TSR_TV_NONE) g->staged.v[k->value.v[turned].group] = at, k->value.v[turned].home = EMIT_NOWHERE;
    k->value.v[root].home = EMIT_REGISTER;
    hold_arrays(g, group, at);
}

bool gpu_stage(struct gpu *g, struct emit_plan *k) {
    if (!vec_reserve(k->c, &g->staged, k->group.n + 1) || !vec_reserve(k->c, &g->late, k->value.n + 1)) return false;
    for (size_t i = 0; i < k->group.n; i++) g->staged.v[g->staged.n++] = -1;
    for (size_t i = 0; i < k->value.n; i++) g->late.v[g->late.n++] = -1;
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++) {
        const struct tile_inst *in = &k->p->inst.v[at];
        if (!gpu_is_tiled(g, in)) continue;
        for (int i = 0; i < 2; i++) stage_operand(g, k, at, tile_operands(k->p, in)[i]);
    }
    return true;
}

/* ---- how a side of a product is read ---- */

/* Whether the window along the operand's last axis is the contiguous one: what neighbouring threads should read. */
static bool last_axis_is_contiguous(const struct gpu *g, int32_t group) {
    const struct emit_group *x = &g->w.k->group.v[group];
    const tsr_tile *p = g->w.p;
    for (int32_t at = x->first; at <= x->last; at++) {
        const struct tile_inst *in = &p->inst.v[at];
        if (g->w.k->member.v[at] != group || in->op != TILE_LOAD || in->rank < 2) continue;
        tsr_tv stride = tile_operands(p, in)[TILE_BLK_AXES + in->rank - 2];
        const struct tile_inst *c = &p->inst.v[p->value.v[stride].inst];
        return !(in->rank == 2 && c->op == TILE_CONST && c->imm.i == 1);
    }
    return true;
}

struct gpu_side gpu_side_of(const struct gpu *g, const struct tile_inst *in, int side) {
    const struct emit_plan *k = g->w.k;
    const tsr_tv v = tile_operands(k->p, in)[side];
    const struct tile_type *t = tile_type_of(k->p, v);
    struct gpu_side s = {.group = -1, .value = v, .lines = t->extent[side], .k = t->extent[!side], .k_last = side == 0};
    tsr_tv root = emit_dense(g->w.k, v);
    if (k->value.v[root].home == EMIT_NOWHERE) { /* turned while it is staged */
        root = emit_dense(g->w.k, tile_operands(k->p, &k->p->inst.v[k->p->value.v[root].inst])[0]);
        s.k_last = !s.k_last;
    }
    if (k->value.v[root].home == EMIT_REGISTER) s.group = k->value.v[root].group;
    s.value = root;
    s.k_fastest = s.k_last;
    if (s.group >= 0 && !last_axis_is_contiguous(g, s.group)) s.k_fastest = !s.k_fastest;
    return s;
}

void gpu_touch_staged(struct gpu *g, int32_t group) {
    const struct emit_plan *k = g->w.k;
    for (int32_t at = k->group.v[group].first; at <= k->group.v[group].last; at++) {
        const struct tile_inst *in = &k->p->inst.v[at];
        if (k->member.v[at] != group) continue;
        struct gpu_access a = {GPU_BUFFERS, 0, 1, 0, false};
        if (is_memory(in->op)) gpu_touch(g, 1, &a);
        for (int i = 0; i < in->n_operand; i++) {
            tsr_tv v = tile_operands(k->p, in)[i];
            if (v == TSR_TV_NONE || tile_type_of(k->p, v)->buf) continue;
            a = gpu_reads(g, v, 0);
            gpu_touch(g, 1, &a);
        }
    }
}

void gpu_touch_operands(struct gpu *g, const struct gpu_product *p) {
    for (int i = 0; i < 2; i++) {
        struct gpu_access a = gpu_reads(g, p->side[i].value, 0);
        if (p->side[i].group >= 0) gpu_touch_staged(g, p->side[i].group);
        else gpu_touch(g, 1, &a);
    }
}

static void open_if_more(struct gpu *g, const struct gpu_product *p) {
    put_line(&g->w, "if (k0 + %d < %d) {", p->depth, p->side[0].k);
    g->w.indent++;
}

void gpu_write_slabs(struct gpu *g, const struct gpu_product *p, const struct gpu_slabs *of) {
    bool more = p->side[0].k > p->depth;
    for (int i = 0; i < 2; i++) of->read(g, p, i, "0");
    struct gpu_access write = gpu_temp(g, p->at, true), read = gpu_temp(g, p->at, false);
    gpu_touch(g, 1, &write);
    for (int i = 0; i < 2; i++) of->write(g, p, i, "0");
    gpu_barrier(g);
    put_line(&g->w, "for (vm_i32 k0 = 0; k0 < %d; k0 += %d) {", p->side[0].k, p->depth);
    g->w.indent++;
    put_line(&g->w, "const vm_i32 now = k0 / %d %% 2;", p->depth);
    if (more) {
        open_if_more(g, p);
        put_line(&g->w, "const vm_i32 next = k0 + %d;", p->depth);
        for (int i = 0; i < 2; i++) of->read(g, p, i, "next");
        gpu_close(g);
    }
    of->products(g, p);
    if (more) {
        open_if_more(g, p);
        for (int i = 0; i < 2; i++) of->write(g, p, i, "(1 - now)");
        gpu_close(g);
        gpu_barrier(g);
    }
    gpu_close(g);
    gpu_touch(g, 1, &read);
}

void gpu_open_unrolled(struct gpu *g, const char *name, int n) {
    put_line(&g->w, "%s", g->d->unroll);
    put_line(&g->w, "for (vm_i32 %s = 0; %s < %d; %s++) {", name, name, n, name);
    g->w.indent++;
}

void gpu_slab_place(struct gpu *g, const struct gpu_product *p, int i) {
    const struct gpu_side *s = &p->side[i];
    put_line(&g->w, "const vm_i32 f = s * %d + lid;", g->threads);
    if (s->k_fastest) put_line(&g->w, "const vm_i32 line = f / %d, k = f %% %d;", p->depth, p->depth);
    else put_line(&g->w, "const vm_i32 line = f %% %d, k = f / %d;", s->lines, s->lines);
    if (s->lines * p->depth % g->threads) put_line(&g->w, "if (f >= %d) continue;", s->lines * p->depth);
}
