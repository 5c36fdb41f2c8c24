/* gpu_group.c: mapped instructions: one thread an element.
 *
 * The elements of a group's shape are numbered in row-major order and dealt out one after the other, so neighbouring
 * threads read and write neighbouring memory. Every window is tested element by element. Instructions of one element
 * are computed by every thread alike; only stores are left to thread 0. */
#include "emit/gpu_text.h"

#include <string.h>

static const struct tile_inst *inst_at(const struct gpu *g, int32_t at) { return &g->w.p->inst.v[at]; }

void gpu_comment(struct gpu *g, const struct tile_inst *in) {
    for (int i = 0; i < g->w.indent; i++) str_put(g->w.out, "    ");
    str_put(g->w.out, "/* ");
    tile_put_inst(g->w.out, g->w.p, in);
    str_put(g->w.out, " */\n");
}

void gpu_each(struct gpu *g, long long n) {
    if (n == (long long)g->tile.m * g->tile.n) {
        put_line(&g->w, "for (vm_i32 s = 0; s < %d; s++) {", gpu_slots(g, n));
        g->w.indent++;
        gpu_own_element(g, n);
        return;
    }
    put_line(&g->w, "for (vm_i32 e = lid; e < %lld; e += %d) {", n, g->threads);
    g->w.indent++;
}

void gpu_close(struct gpu *g) {
    g->w.indent--;
    put_line(&g->w, "}");
}

/* ---- what a phase touches ---- */

enum { MOST_ACCESSES = 256 };

static int64_t count_of(const struct emit_group *x) {
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++) n *= x->extent[i];
    return n;
}

static bool is_store(enum tile_op op) { return op == TILE_STORE || op == TILE_SCATTER; }
static bool is_memory(enum tile_op op) { return is_store(op) || op == TILE_LOAD || op == TILE_GATHER; }

static void touch_memory(struct gpu *g, const struct tile_inst *in) {
    struct gpu_access a = {GPU_BUFFERS, 0, 1, 0, is_store(in->op)};
    if (is_memory(in->op)) gpu_touch(g, 1, &a);
}

/* The arrays and buffers of every member, at once: what they share within the loop needs no barrier. */
static void touch_group(struct gpu *g, int32_t group) {
    const struct emit_plan *k = g->w.k;
    const struct emit_group *x = &k->group.v[group];
    struct gpu_access a[MOST_ACCESSES];
    int64_t own = x->ordered ? 0 : count_of(x);
    int n = 0;
    for (int32_t at = x->first; at <= x->last; at++) {
        const struct tile_inst *in = inst_at(g, at);
        if (k->member.v[at] != group) continue;
        if (n + in->n_operand + 2 > MOST_ACCESSES) gpu_touch(g, n, a), n = 0;
        for (int i = 0; i < in->n_operand; i++) {
            tsr_tv v = tile_operands(g->w.p, in)[i];
            if (v == TSR_TV_NONE || tile_type_of(g->w.p, v)->buf) continue;
            if (k->value.v[emit_root(k, v)].group == group) continue;
            bool in_step = in->op != TILE_TRANSPOSE && tile_count(tile_type_of(g->w.p, v)) == count_of(x);
            a[n++] = gpu_reads(g, v, in_step ? own : 0);
        }
        if (in->n_result && k->value.v[in->result].home == EMIT_ARRAY) a[n++] = gpu_writes(g, in->result, own);
        if (is_memory(in->op)) a[n++] = (struct gpu_access){GPU_BUFFERS, 0, 1, 0, is_store(in->op)};
    }
    gpu_touch(g, n, a);
}

/* ---- loops ---- */

/* i0, i1, ... of element e. */
static void write_indices(struct gpu *g, const struct emit_group *x) {
    int64_t below = 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        char over[40] = "", most[40] = "";
        if (below != 1) snprintf(over, sizeof over, " / %lld", (long long)below);
        if (i > 0) snprintf(most, sizeof most, " %% %lld", (long long)x->extent[i]);
        put_line(&g->w, "const vm_i32 i%d = e%s%s;", i, over, most);
        below *= x->extent[i];
    }
}

void gpu_members(struct gpu *g, int32_t group) {
    const struct emit_group *x = &g->w.k->group.v[group];
    g->w.group = group;
    write_indices(g, x);
    for (int32_t at = x->first; at <= x->last; at++)
        if (g->w.k->member.v[at] == group) write_member(&g->w, inst_at(g, at));
    g->w.group = -1;
}

/* A scatter may write a place twice: the last in row-major order stays, so one thread goes through them in order. */
bool gpu_one_thread(const struct gpu *g, int32_t group) {
    const struct emit_group *x = &g->w.k->group.v[group];
    for (int32_t at = x->first; at <= x->last; at++)
        if (g->w.k->member.v[at] == group && inst_at(g, at)->op == TILE_SCATTER) return true;
    return false;
}

/* Does the loop read or write a tile that its threads hold? */
static bool in_registers(const struct gpu *g, int32_t group) {
    const struct emit_plan *k = g->w.k;
    const struct emit_group *x = &k->group.v[group];
    for (int32_t at = x->first; at <= x->last; at++) {
        const struct tile_inst *in = inst_at(g, at);
        if (k->member.v[at] != group) continue;
        if (in->n_result && gpu_is_dealt(g, in->result)) return true;
        for (int i = 0; i < in->n_operand; i++) {
            tsr_tv v = tile_operands(k->p, in)[i];
            if (v != TSR_TV_NONE && !tile_type_of(k->p, v)->buf && gpu_is_dealt(g, v)) return true;
        }
    }
    return false;
}

void gpu_group(struct gpu *g, int32_t group) {
    const struct emit_group *x = &g->w.k->group.v[group];
    touch_group(g, group);
    for (int32_t at = x->first; at <= x->last; at++)
        if (g->w.k->member.v[at] == group) gpu_comment(g, inst_at(g, at));
    if (gpu_one_thread(g, group)) {
        put_line(&g->w, "for (vm_i32 e = 0; lid == 0 && e < %lld; e++) {", (long long)count_of(x));
        g->w.indent++;
    } else if (in_registers(g, group)) gpu_each_own(g, count_of(x));
    else gpu_each(g, count_of(x));
    gpu_members(g, group);
    gpu_close(g);
}

void gpu_one(struct gpu *g, const struct tile_inst *in) {
    touch_memory(g, in);
    if (is_store(in->op)) {
        put_line(&g->w, "if (lid == 0) {");
        g->w.indent++;
    }
    write_scalar(&g->w, in);
    if (is_store(in->op)) gpu_close(g);
}

/* ---- moves ---- */

const char *gpu_element(const struct gpu *g, tsr_tv v, char room[32]) {
    tsr_tv place = emit_place(g->w.k, v);
    snprintf(room, 32, gpu_is_dealt(g, v) ? "r%d[s]" : "a%d[e]", place);
    return room;
}

/* Moves of tiles of one size share a loop: each thread reads its elements of all of them before it writes any. A tile
 * whose source another move overwrites has that one's size. */
static void move_some(struct gpu *g, int n, const struct emit_move *m, int64_t count) {
    struct gpu_access a[2 * TILE_MAX_RESULTS];
    bool own = false;
    char room[32];
    for (int i = 0; i < n; i++) {
        a[2 * i] = gpu_reads(g, m[i].from, count), a[2 * i + 1] = gpu_writes(g, m[i].to, count);
        own |= gpu_is_dealt(g, m[i].from) || gpu_is_dealt(g, m[i].to);
    }
    gpu_touch(g, 2 * n, a);
    (own ? gpu_each_own : gpu_each)(g, count);
    for (int i = 0; i < n; i++)
        put_line(&g->w, "const %s t%d = %s;", emit_type(tile_type_of(g->w.p, m[i].to)->dtype), i,
            gpu_element(g, m[i].from, room));
    for (int i = 0; i < n; i++) put_line(&g->w, "%s = t%d;", gpu_element(g, m[i].to, room), i);
    gpu_close(g);
}

void gpu_move(struct writer *w, int n, const struct emit_move *m, int32_t at) {
    struct emit_move some[TILE_MAX_RESULTS];
    bool done[TILE_MAX_RESULTS] = {0};
    (void)at;
    for (int i = 0; i < n; i++) {
        int64_t count = tile_count(tile_type_of(w->p, m[i].to));
        int s = 0;
        for (int j = i; j < n; j++)
            if (!done[j] && tile_count(tile_type_of(w->p, m[j].to)) == count) some[s++] = m[j], done[j] = true;
        if (s) move_some((struct gpu *)w, s, some, count);
    }
}
