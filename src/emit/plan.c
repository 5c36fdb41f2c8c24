/* plan.c: which instructions share a loop, and where values live between loops.
 *
 * An instruction is mapped when each element of its result is a function of elements at places the index alone
 * decides: elementwise functions, casts, loads, stores, gathers, broadcasts, transposes. Mapped instructions over one
 * shape (axes of extent 1 left out) join the open group of that shape; the group's loop is rendered where its last
 * member stands, so it must be closed before anything that needs one of its tiles whole (a loop of another shape too),
 * and before memory would be seen in another order than the program's: a load after a store to the same buffer, a
 * store after a load through another window, a second store to one buffer. So groups that are open together are
 * independent of each other. (Two arguments that are one buffer are read and written through one window: the memory
 * plan gives no other kind, see memplan.c.)
 *
 * What only its own group uses is a register. The rest gets scratch memory for the stretch of instructions over which
 * it lives, first fit; a value used in a loop it was not made in lives to the loop's end. Carried tiles have one place
 * for the whole loop: the first value is made in it, and the next one is when nobody reads the old one any more. */
#include "emit/emit.h"

#include <string.h>

enum { OPEN_MOST = 4 };
struct window { /* of an open group */
    tsr_tv buf;
    int32_t inst, group;
    bool store;
};
struct planner {
    struct emit_plan *k;
    const tsr_tile *p;
    int32_t open[OPEN_MOST]; /* groups, oldest first */
    int opened;
    VEC(struct window) memory;
};

static const struct tile_inst *inst_of(const struct emit_plan *k, tsr_tv v) {
    return &k->p->inst.v[k->p->value.v[v].inst];
}

static bool single(const struct tile_type *t) { return !t->buf && tile_count(t) == 1; }

/* The shape an instruction's loop has: of its result, or of what it stores. */
static void loop_shape(const tsr_tile *p, const struct tile_inst *in, struct emit_group *g) {
    struct tile_type t = {.rank = in->rank};
    if (in->op == TILE_STORE) memcpy(t.extent, in->extent, sizeof t.extent);
    else if (in->op == TILE_SCATTER) t = *tile_type_of(p, tile_operands(p, in)[TILE_GS_OFFSET]);
    else t = *tile_type_of(p, in->result);
    g->rank = 0;
    for (int i = 0; i < t.rank; i++)
        if (t.extent[i] != 1) g->extent[g->rank++] = t.extent[i];
}

static bool same_loop(const struct emit_group *a, const struct emit_group *b) {
    return a->rank == b->rank && memcmp(a->extent, b->extent, sizeof a->extent[0] * (size_t)a->rank) == 0;
}

static bool mapped(enum tile_op op) {
    switch (op) {
    case TILE_IOTA: case TILE_ELEM: case TILE_CAST: case TILE_BITCAST: case TILE_BROADCAST: case TILE_TRANSPOSE:
    case TILE_LOAD: case TILE_STORE: case TILE_GATHER: case TILE_SCATTER: return true;
    default: return false;
    }
}

static bool is_store(enum tile_op op) { return op == TILE_STORE || op == TILE_SCATTER; }
static bool is_memory(enum tile_op op) { return op == TILE_LOAD || op == TILE_GATHER || is_store(op); }

/* ---- groups ---- */

tsr_tv emit_dense(const struct emit_plan *k, tsr_tv v) {
    while (v != TSR_TV_NONE && k->value.v[v].home == EMIT_SAME) v = k->value.v[v].same;
    return v;
}

tsr_tv emit_root(const struct emit_plan *k, tsr_tv v) {
    while (k->value.v[v].home == EMIT_SAME || k->value.v[v].home == EMIT_SPLAT) v = k->value.v[v].same;
    return v;
}

static void close_group(struct planner *a, int32_t group) {
    int n = 0;
    size_t m = 0;
    for (int i = 0; i < a->opened; i++)
        if (a->open[i] != group) a->open[n++] = a->open[i];
    a->opened = n;
    for (size_t i = 0; i < a->memory.n; i++)
        if (a->memory.v[i].group != group) a->memory.v[m++] = a->memory.v[i];
    a->memory.n = m;
}

static void close_all(struct planner *a) {
    while (a->opened) close_group(a, a->open[0]);
}

static bool made_in(const struct planner *a, tsr_tv v, int32_t group) {
    return v != TSR_TV_NONE && a->k->value.v[emit_root(a->k, v)].group == group;
}

/* Closes the open group that makes v, unless it is `but`. */
static void close_maker(struct planner *a, tsr_tv v, int32_t but) {
    for (int i = a->opened; i-- > 0;)
        if (a->open[i] != but && made_in(a, v, a->open[i])) close_group(a, a->open[i]);
}

/* Does operand v enter `in` element by element in the order of the loop? */
static bool in_step(const struct planner *a, const struct tile_inst *in, tsr_tv v, const struct emit_group *shape) {
    int64_t n = 1;
    for (int i = 0; i < shape->rank; i++) n *= shape->extent[i];
    return in->op != TILE_TRANSPOSE && tile_count(tile_type_of(a->p, v)) == n;
}

static bool same_window(const tsr_tile *p, const struct tile_inst *x, const struct tile_inst *y) {
    if (x->op == TILE_GATHER || y->op == TILE_SCATTER || x->rank != y->rank) return false;
    const tsr_tv *u = tile_operands(p, x), *v = tile_operands(p, y);
    return memcmp(x->extent, y->extent, sizeof x->extent[0] * (size_t)x->rank) == 0 &&
           memcmp(u + TILE_BLK_BASE, v + TILE_BLK_BASE, sizeof *u * (size_t)(1 + x->rank)) == 0;
}

/* Would `in`, in a loop at its own place or later, see or change memory of window w out of order? together: it would be
 * a member of the same loop. */
static bool meets(const struct planner *a, const struct tile_inst *in, const struct window *w, bool together) {
    if (w->buf != tile_operands(a->p, in)[TILE_BLK_BUF] || (!w->store && !is_store(in->op))) return false;
    return !together || w->store || !same_window(a->p, &a->p->inst.v[w->inst], in);
}

/* Closes open groups whose memory `in` meets, `group` among them where it cannot be a member. */
static void close_met(struct planner *a, const struct tile_inst *in, int32_t group) {
    if (!is_memory(in->op)) return;
    for (size_t i = 0; i < a->memory.n;) {
        const struct window *w = &a->memory.v[i];
        if (!meets(a, in, w, w->group == group)) i++;
        else close_group(a, w->group), i = 0;
    }
}

static bool narrow_store(const tsr_tile *p, const struct tile_inst *in) {
    if (!is_store(in->op)) return false;
    tsr_dtype t = tile_type_of(p, tile_operands(p, in)[TILE_BLK_BUF])->dtype;
    return in->op == TILE_SCATTER || t == TSR_I4 || t == TSR_U4;
}

static int32_t open_like(const struct planner *a, const struct emit_group *shape) {
    for (int i = 0; i < a->opened; i++)
        if (same_loop(&a->k->group.v[a->open[i]], shape)) return a->open[i];
    return -1;
}

/* Was integer v a float? By a cast, or by functions of such integers. */
static bool was_float(const struct planner *a, tsr_tv v, int depth) {
    const struct tile_inst *in = inst_of(a->k, v);
    if (tsr_dtype_of(tile_type_of(a->p, v)->dtype)->kind == TSR_KIND_FLOAT) return true;
    if (in->op != TILE_CAST && in->op != TILE_ELEM && in->op != TILE_BROADCAST) return false;
    for (int i = 0; i < in->n_operand; i++)
        if (depth == 0 || was_float(a, tile_operands(a->p, in)[i], depth - 1)) return true;
    return false;
}

/* A float that becomes an integer and a float again: compilers that need not care for traps take it for trunc, which
 * is -0 where the integer's float is 0 (gcc 12). So the integer goes through memory, from loop to loop. */
static bool is_round_trip(const struct planner *a, const struct tile_inst *in, tsr_tv v) {
    enum { FAR = 8 };
    tsr_kind from = tsr_dtype_of(tile_type_of(a->p, v)->dtype)->kind, to = tsr_dtype_of(in->dtype)->kind;
    return in->op == TILE_CAST && (from == TSR_KIND_INT || from == TSR_KIND_UINT) &&
           (to == TSR_KIND_FLOAT || to == TSR_KIND_COMPLEX) && was_float(a, v, FAR);
}

/* The open group that instruction `at` may join, or a new one. Negative: no memory. */
static int32_t group_for(struct planner *a, int32_t at) {
    const struct tile_inst *in = &a->p->inst.v[at];
    struct emit_group shape = {.first = at};
    loop_shape(a->p, in, &shape);
    int32_t like = open_like(a, &shape);
    for (int i = 0; i < in->n_operand; i++) {
        tsr_tv v = tile_operands(a->p, in)[i];
        if (v == TSR_TV_NONE) continue;
        close_maker(a, v, like);
        bool apart = !in_step(a, in, v, &shape) || is_round_trip(a, in, v);
        if (like >= 0 && made_in(a, v, like) && apart) close_group(a, like), like = -1;
    }
    close_met(a, in, like);
    like = open_like(a, &shape);
    if (like >= 0) return like;
    if (a->opened == OPEN_MOST) close_group(a, a->open[0]);
    if (!vec_push(a->k->c, &a->k->group, shape)) return -1;
    return a->open[a->opened++] = (int32_t)a->k->group.n - 1;
}

static bool join(struct planner *a, int32_t at) {
    const struct tile_inst *in = &a->p->inst.v[at];
    struct emit_plan *k = a->k;
    int32_t group = group_for(a, at);
    if (group < 0) return false;
    struct emit_group *g = &k->group.v[group];
    g->last = at;
    g->ordered |= narrow_store(a->p, in);
    k->member.v[at] = group;
    if (in->n_result) k->value.v[in->result].group = group;
    if (!is_memory(in->op)) return true;
    struct window w = {tile_operands(a->p, in)[TILE_BLK_BUF], at, group, is_store(in->op)};
    return vec_push(k->c, &a->memory, w);
}

/* Homes that follow from the instruction alone. */
static void first_home(struct emit_plan *k, const struct tile_inst *in) {
    for (int i = 0; i < in->n_result; i++) {
        struct emit_value *v = &k->value.v[in->result + i];
        const struct tile_type *t = tile_type_of(k->p, in->result + i);
        v->home = t->buf ? EMIT_NOWHERE : single(t) ? EMIT_SCALAR : EMIT_REGISTER;
    }
    if (in->n_result == 0 || k->value.v[in->result].home != EMIT_REGISTER) return;
    struct emit_value *v = &k->value.v[in->result];
    tsr_tv x = in->n_operand ? tile_operands(k->p, in)[0] : TSR_TV_NONE;
    if (in->op == TILE_RESHAPE) v->home = EMIT_SAME, v->same = x;
    if ((in->op == TILE_BROADCAST || in->op == TILE_RESHAPE || in->op == TILE_TRANSPOSE) &&
        (single(tile_type_of(k->p, x)) || k->value.v[x].home == EMIT_SPLAT))
        v->home = EMIT_SPLAT, v->same = emit_root(k, x);
    if (in->op == TILE_IOTA) v->home = EMIT_INDEX;
}

static bool group_instructions(struct planner *a) {
    struct emit_plan *k = a->k;
    for (int32_t at = 0; at < (int32_t)a->p->inst.n; at++) {
        const struct tile_inst *in = &a->p->inst.v[at];
        if (!k->need.v[at]) continue;
        first_home(k, in);
        bool one = in->n_result ? single(tile_type_of(a->p, in->result)) : false;
        struct emit_group shape = {0};
        if (mapped(in->op)) loop_shape(a->p, in, &shape), one = shape.rank == 0;
        if (tile_opens(in->op) || in->op == TILE_ELSE || in->op == TILE_YIELD || in->op == TILE_END) close_all(a);
        else if (one) close_met(a, in, -1);
        for (int i = 0; i < in->n_operand; i++)
            if ((one || !mapped(in->op)) && in->op != TILE_RESHAPE && tile_operands(a->p, in)[i] != TSR_TV_NONE)
                close_maker(a, tile_operands(a->p, in)[i], -1);
        bool alone = in->n_result && (k->value.v[in->result].home == EMIT_SPLAT ||
                                      k->value.v[in->result].home == EMIT_INDEX);
        if (mapped(in->op) && !one && !alone && !join(a, at)) return false;
    }
    return true;
}

/* ---- homes and life times ---- */

/* A value that is computed wherever it is used (an index, a splat) is wanted as memory: a loop of its own fills it
 * where it stands. */
static bool want_filled(struct planner *a, tsr_tv v) {
    struct emit_plan *k = a->k;
    struct emit_value *e = &k->value.v[v];
    int32_t at = a->p->value.v[v].inst;
    struct emit_group g = {.first = at, .last = at};
    loop_shape(a->p, &a->p->inst.v[at], &g);
    if (!vec_push(k->c, &k->group, g)) return false;
    k->member.v[at] = e->group = (int32_t)k->group.n - 1;
    e->home = EMIT_ARRAY;
    e->same = TSR_TV_NONE;
    return true;
}

static bool want_array(struct planner *a, tsr_tv v) {
    struct emit_value *e = &a->k->value.v[v];
    if (e->home == EMIT_INDEX || e->home == EMIT_SPLAT) return want_filled(a, v);
    if (e->home == EMIT_REGISTER) e->home = EMIT_ARRAY;
    return true;
}

static bool choose_home(struct planner *a, int32_t at, tsr_tv v) {
    struct emit_plan *k = a->k;
    const struct tile_inst *in = &a->p->inst.v[at];
    if (v == TSR_TV_NONE || tile_type_of(a->p, v)->buf || single(tile_type_of(a->p, v))) return true;
    if (in->op == TILE_RESHAPE) return true; /* its users ask */
    tsr_tv r = emit_dense(k, v);
    int32_t g = k->member.v[at];
    bool splat = k->value.v[r].home == EMIT_SPLAT;
    if (g < 0) return want_array(a, r);
    if (splat || single(tile_type_of(a->p, r))) return true;
    if (in_step(a, in, v, &k->group.v[g])) {
        struct emit_group own = {0};
        loop_shape(a->p, inst_of(k, r), &own);
        if (k->value.v[r].home == EMIT_INDEX && same_loop(&own, &k->group.v[g])) return true;
        if (k->value.v[r].group == g) return true;
    }
    return want_array(a, r);
}

static bool choose_homes(struct planner *a) {
    for (int32_t at = 0; at < (int32_t)a->p->inst.n; at++) {
        const struct tile_inst *in = &a->p->inst.v[at];
        if (!a->k->need.v[at]) continue;
        for (int i = 0; i < in->n_operand; i++)
            if (!choose_home(a, at, tile_operands(a->p, in)[i])) return false;
        bool whole = in->op == TILE_REDUCE || in->op == TILE_ARGREDUCE || in->op == TILE_SCAN || in->op == TILE_DOT ||
                     tile_opens(in->op);
        for (int i = 0; i < in->n_result; i++) {
            struct emit_value *v = &a->k->value.v[in->result + i];
            if (in->op == TILE_END && v->home == EMIT_REGISTER) {
                const struct tile_inst *open = &a->p->inst.v[in->match];
                if (open->op == TILE_IF || open->op == TILE_ELSE) v->home = EMIT_ARRAY;
                else v->home = EMIT_SAME, v->same = open->result + (open->op == TILE_FOR) + i;
            } else if (whole && v->home == EMIT_REGISTER) v->home = EMIT_ARRAY;
        }
    }
    return true;
}

/* The instruction at which a use at `at` of a value made in `region` counts: a use in a loop inside the value's region
 * lasts to the loop's end. */
static int32_t lasting_use(const struct emit_plan *k, int32_t at, int32_t region) {
    const tsr_tile *p = k->p;
    int32_t last = k->member.v[at] >= 0 ? k->group.v[k->member.v[at]].last : at;
    for (int32_t r = p->inst.v[at].region; r != region && r > 0; r = p->region.v[r].parent) {
        const struct tile_inst *open = &p->inst.v[p->region.v[r].opener];
        int32_t end = open->match;
        while (p->inst.v[end].op != TILE_END) end = p->inst.v[end].match; /* IF -> ELSE -> END */
        if (end > last) last = end;
    }
    return last;
}

static void live(struct emit_plan *k) {
    const tsr_tile *p = k->p;
    for (tsr_tv v = 0; v < (tsr_tv)k->value.n; v++) {
        struct emit_value *e = &k->value.v[v];
        int32_t at = p->value.v[v].inst;
        if (e->home != EMIT_ARRAY) continue;
        const struct tile_inst *in = &p->inst.v[at];
        e->first = e->group >= 0 ? k->group.v[e->group].first : at;
        e->last = e->group >= 0 ? k->group.v[e->group].last : at;
        if (in->op == TILE_END) { /* of an IF: written by both arms */
            int32_t open = in->match;
            while (p->inst.v[open].op != TILE_IF) open--;
            e->first = open;
        }
        if (in->op == TILE_FOR || in->op == TILE_WHILE) e->last = in->match; /* carried */
    }
    for (int32_t at = 0; at < (int32_t)p->inst.n; at++) {
        const struct tile_inst *in = &p->inst.v[at];
        for (int i = 0; k->need.v[at] && i < in->n_operand; i++) {
            tsr_tv v = emit_dense(k, tile_operands(p, in)[i]);
            if (v == TSR_TV_NONE) continue;
            struct emit_value *e = &k->value.v[v];
            int32_t last = lasting_use(k, at, p->value.v[v].region);
            if (e->home == EMIT_ARRAY && last > e->last) e->last = last;
        }
    }
}

int32_t emit_runs_at(const struct emit_plan *k, int32_t u) {
    return k->member.v[u] >= 0 ? k->group.v[k->member.v[u]].last : u;
}

/* ---- windows ---- */

int emit_loop_axis(const struct tile_inst *in, int axis) {
    int at = 0;
    if (in->extent[axis] == 1) return -1;
    for (int i = 0; i < axis; i++) at += in->extent[i] != 1;
    return at;
}

void emit_bounds(const struct emit_plan *k, const struct tile_inst *in, int axis, tsr_tv *lo, tsr_tv *hi) {
    const tsr_tv *v = tile_operands(k->p, in) + TILE_BLK_AXES;
    *lo = v[in->rank + axis];
    *hi = v[2 * in->rank + axis];
}

/* Cuts loop axes to the bounds that all stores share, when stores are all that leaves the loop. */
static void cut_axes(struct emit_plan *k, int32_t group) {
    struct emit_group *g = &k->group.v[group];
    bool first = true, ok = !g->ordered, differ[TSR_TILE_MAX_RANK] = {false};
    for (int i = 0; i < g->rank; i++) g->lo[i] = g->hi[i] = TSR_TV_NONE;
    for (int32_t at = g->first; ok && at <= g->last; at++) {
        const struct tile_inst *in = &k->p->inst.v[at];
        if (k->member.v[at] != group) continue;
        if (in->op == TILE_SCATTER || (in->n_result && k->value.v[in->result].home == EMIT_ARRAY)) ok = false;
        if (in->op != TILE_STORE) continue;
        for (int i = 0; i < in->rank; i++) {
            tsr_tv lo, hi;
            int x = emit_loop_axis(in, i);
            emit_bounds(k, in, i, &lo, &hi);
            if (x < 0) continue;
            if (first) g->lo[x] = lo, g->hi[x] = hi;
            else differ[x] |= g->lo[x] != lo || g->hi[x] != hi;
        }
        first = false;
    }
    for (int i = 0; i < g->rank; i++) g->cut[i] = ok && !first && !differ[i];
}

bool emit_tested(const struct emit_plan *k, int32_t at, int axis, tsr_tv *lo, tsr_tv *hi) {
    const struct tile_inst *in = &k->p->inst.v[at];
    const struct emit_group *g = k->member.v[at] < 0 ? NULL : &k->group.v[k->member.v[at]];
    int x = emit_loop_axis(in, axis);
    emit_bounds(k, in, axis, lo, hi);
    if (g && x >= 0 && g->cut[x] && g->lo[x] == *lo && g->hi[x] == *hi) return false;
    return *lo != TSR_TV_NONE || *hi != TSR_TV_NONE;
}

static bool reads_blocks(const tsr_tile *p, const struct tile_inst *in) {
    return tsr_dtype_of(tile_type_of(p, tile_operands(p, in)[TILE_BLK_BUF])->dtype)->kind == TSR_KIND_BLOCK;
}

/* Does the loop read or write this window through rows in scratch memory? Where elements may be left out, and what
 * they are given instead is one value; 4-bit elements are not moved in rows. */
static bool goes_by_rows(const struct emit_plan *k, int32_t at) {
    const struct tile_inst *in = &k->p->inst.v[at];
    if (k->member.v[at] < 0 || (in->op != TILE_LOAD && in->op != TILE_STORE)) return false;
    const tsr_tv *v = tile_operands(k->p, in);
    tsr_dtype t = tile_type_of(k->p, v[TILE_BLK_BUF])->dtype;
    bool tested = false;
    for (int i = 0; i < in->rank; i++) {
        tsr_tv lo, hi;
        tested |= emit_tested(k, at, i, &lo, &hi);
    }
    if (reads_blocks(k->p, in)) return true;
    if (!tested || t == TSR_I4 || t == TSR_U4) return false;
    if (in->op == TILE_STORE || v[TILE_BLK_VALUE] == TSR_TV_NONE) return true;
    enum emit_home other = k->value.v[v[TILE_BLK_VALUE]].home;
    return other == EMIT_SCALAR || other == EMIT_SPLAT;
}

static void choose_rows(struct emit_plan *k) {
    for (int32_t g = 0; g < (int32_t)k->group.n; g++) cut_axes(k, g);
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++) k->rows.v[at] = goes_by_rows(k, at);
}

/* ---- scratch ---- */

static int64_t half_of(int64_t n) { /* greatest power of two below n; n > 1 */
    int64_t h = 1;
    while (h * 2 < n) h *= 2;
    return h;
}

size_t emit_size(tsr_dtype t) { return t == TSR_I4 || t == TSR_U4 ? 1 : (size_t)tsr_dtype_of(t)->bytes; }

/* Operands converted to the accumulator's dtype or packed, a panel that the stack has no room for. */
static size_t dot_scratch(const struct emit_plan *k, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(k->p, in);
    tsr_dtype acc = tile_type_of(k->p, v[2])->dtype;
    size_t n = 0, depth = (size_t)tile_type_of(k->p, v[0])->extent[1];
    bool deep = depth > EMIT_DEPTH && k->what != EMIT_FOR_GROUPS;
    for (int i = 0; i < 2; i++) {
        const struct tile_type *t = tile_type_of(k->p, v[i]);
        size_t bytes = ((size_t)tile_count(t) * emit_size(acc) + 63) & ~(size_t)63;
        if (t->dtype != acc) n += bytes;
        if (k->value.v[v[i]].matrix || (i == 0 && deep)) n += bytes;
    }
    return deep ? n + depth * EMIT_PANEL : n;
}

/* Bytes of scratch an instruction needs for itself. */
static size_t own_scratch(const struct emit_plan *k, int32_t at) {
    const tsr_tile *p = k->p;
    const struct tile_inst *in = &p->inst.v[at];
    if (!k->need.v[at]) return 0;
    if (k->rows.v[at] && (in->op == TILE_STORE || k->value.v[in->result].home != EMIT_ARRAY)) {
        const struct emit_group *g = &k->group.v[k->member.v[at]];
        size_t n = emit_size(in->op == TILE_STORE ? tile_type_of(p, tile_operands(p, in)[TILE_BLK_BUF])->dtype
            : tile_type_of(p, in->result)->dtype);
        for (int i = 0; i < g->rank; i++) n *= (size_t)g->extent[i];
        return n;
    }
    if (k->strip.v[at]) return emit_strip_bytes(k, at);
    if (in->op == TILE_REDUCE) {
        const struct tile_type *t = tile_type_of(p, tile_operands(p, in)[0]);
        int64_t inner = 1, n = t->extent[in->axis];
        for (int i = in->axis + 1; i < t->rank; i++) inner *= t->extent[i];
        if (k->fold.v[at] >= 0) return (size_t)tile_count(t) / EMIT_FOLD * emit_size(t->dtype);
        return n > 1 ? (size_t)(half_of(n) * inner) * emit_size(t->dtype) : 0;
    }
    if (in->op == TILE_DOT) return dot_scratch(k, in);
    if (in->op == TILE_YIELD) { /* values on their way to carried places that others of them still read */
        size_t n = 0;
        for (int i = 0; i < in->n_operand; i++) {
            const struct tile_type *t = tile_type_of(p, tile_operands(p, in)[i]);
            n += ((size_t)tile_count(t) * emit_size(t->dtype) + 63) & ~(size_t)63;
        }
        return n;
    }
    return 0;
}

struct span {
    int32_t first, last;
    size_t bytes, *offset;
};

/* Processors take addresses whose low 12 bits agree for related: a load waits for an earlier store to such a place.
 * Large tensors begin where these bits are 0 and so do the rows of many, so large tiles of a host's scratch begin
 * elsewhere, each at a place of its own. at: the first place that is free; i: which span asks. */
static size_t place_apart(const struct emit_plan *k, size_t at, size_t bytes, size_t i) {
    enum { PAGE = 4096, STEP = 17 * 64, LARGE = 1024 };
    at = (at + 63) & ~(size_t)63;
    if (k->what != EMIT_FOR_HOST || bytes < LARGE) return at;
    size_t want = (PAGE / 2 + i * STEP) % PAGE;
    return at + (want + PAGE - at % PAGE) % PAGE;
}

/* First fit, in order of first use. */
static bool place(struct emit_plan *k) {
    VEC(struct span) s = {0};
    bool ok = true;
    for (int32_t at = 0; ok && at < (int32_t)k->p->inst.n; at++) {
        size_t n = own_scratch(k, at);
        const struct emit_group *g = k->member.v[at] < 0 ? NULL : &k->group.v[k->member.v[at]];
        struct span x = {g ? g->first : at, g ? g->last : at, n, &k->temp.v[at]};
        if (k->fold.v[at] >= 0) x.first = k->group.v[k->fold.v[at]].first;
        if (n) ok = vec_push(k->c, &s, x);
    }
    for (size_t v = 0; ok && v < k->value.n; v++) {
        struct emit_value *e = &k->value.v[v];
        if (e->home != EMIT_ARRAY || e->same != TSR_TV_NONE) continue;
        if (e->matrix || (e->memory && !k->rows.v[k->p->value.v[v].inst])) continue;
        const struct tile_type *t = tile_type_of(k->p, (tsr_tv)v);
        struct span x = {e->first, e->last, (size_t)tile_count(t) * emit_size(t->dtype), &e->offset};
        ok = vec_push(k->c, &s, x);
    }
    for (size_t i = 1; i < s.n; i++)
        for (size_t j = i; j > 0 && s.v[j].first < s.v[j - 1].first; j--) {
            struct span x = s.v[j];
            s.v[j] = s.v[j - 1], s.v[j - 1] = x;
        }
    for (size_t i = 0; i < s.n; i++) {
        size_t at = place_apart(k, 0, s.v[i].bytes, i);
        for (size_t j = 0; j < i; j++) {
            bool apart = s.v[j].last < s.v[i].first || *s.v[j].offset >= at + s.v[i].bytes ||
                         at >= *s.v[j].offset + s.v[j].bytes;
            if (!apart) at = place_apart(k, *s.v[j].offset + s.v[j].bytes, s.v[i].bytes, i), j = (size_t)-1;
        }
        *s.v[i].offset = at;
        if (at + s.v[i].bytes > k->scratch) k->scratch = at + s.v[i].bytes;
    }
    vec_release(k->c, &s);
    return ok;
}

/* Whether instruction u of the loop reads carried tile `carry` when group g has begun to overwrite it. */
static bool reads_late(const struct emit_plan *k, int32_t u, tsr_tv carry, int32_t g) {
    const struct tile_inst *in = &k->p->inst.v[u];
    struct planner a = {.p = k->p};
    for (int j = 0; k->need.v[u] && j < in->n_operand; j++) {
        tsr_tv v = tile_operands(k->p, in)[j];
        if (emit_dense(k, v) != carry || emit_runs_at(k, u) < k->group.v[g].last) continue;
        if (k->member.v[u] != g || !in_step(&a, in, v, &k->group.v[g])) return true;
    }
    return false;
}

/* Is `next` a product that adds to carried tile `carry`, which nobody else reads then or later? An element of the sum
 * is read before it is written. */
static bool adds_in_place(const struct emit_plan *k, tsr_tv next, tsr_tv carry, int32_t end) {
    int32_t dot = k->p->value.v[next].inst;
    if (k->p->inst.v[dot].op != TILE_DOT || k->what == EMIT_FOR_GROUPS) return false;
    for (int32_t u = k->p->value.v[carry].inst + 1; u < end; u++) {
        const struct tile_inst *in = &k->p->inst.v[u];
        for (int i = 0; k->need.v[u] && i < in->n_operand; i++)
            if (emit_dense(k, tile_operands(k->p, in)[i]) == carry && emit_runs_at(k, u) >= dot && (u != dot || i < 2))
                return false;
    }
    return true;
}

/* The next value of a carried tile may be computed in the carried tile's place when it is made by a mapped loop of the
 * loop's own region, and whoever reads the old value does so in step with that loop or before it; or by a product that
 * adds to it. */
static void carry_in_place(struct emit_plan *k, const struct tile_inst *yield) {
    const tsr_tile *p = k->p;
    const struct tile_inst *open = &p->inst.v[p->region.v[yield->region].opener];
    if (open->op != TILE_FOR && open->op != TILE_WHILE) return;
    int skip = open->op == TILE_WHILE, first = open->op == TILE_FOR;
    for (int i = skip; i < yield->n_operand; i++) {
        tsr_tv next = tile_operands(p, yield)[i], carry = open->result + first + i - skip;
        struct emit_value *n = &k->value.v[next];
        bool own = n->home == EMIT_ARRAY && n->same == TSR_TV_NONE && p->value.v[next].region == yield->region;
        bool ok = own && n->group >= 0 && !k->rows.v[p->value.v[next].inst];
        for (int32_t u = p->value.v[carry].inst + 1; ok && u < open->match; u++)
            ok = !reads_late(k, u, carry, n->group);
        if (ok || (own && adds_in_place(k, next, carry, open->match))) n->same = carry;
    }
}

/* A tile that a loop of this region fills for no one but the start of loop `at` is made where it is carried. */
static void start_in_place(struct emit_plan *k, int32_t at) {
    const struct tile_inst *open = &k->p->inst.v[at];
    int skip = open->op == TILE_FOR ? 3 : 0, first = open->op == TILE_FOR;
    for (int i = skip; i < open->n_operand; i++) {
        tsr_tv init = tile_operands(k->p, open)[i], carry = open->result + first + i - skip;
        struct emit_value *e = &k->value.v[init], *to = &k->value.v[carry];
        int uses = 0;
        if (e->home != EMIT_ARRAY || e->group < 0 || e->same != TSR_TV_NONE || e->memory || e->matrix) continue;
        if (k->p->value.v[init].region != open->region || to->home != EMIT_ARRAY) continue;
        for (int32_t u = 0; u < (int32_t)k->p->inst.n; u++)
            for (int j = 0; k->need.v[u] && j < k->p->inst.v[u].n_operand; j++)
                uses += emit_dense(k, tile_operands(k->p, &k->p->inst.v[u])[j]) == init;
        if (uses != 1) continue;
        e->same = carry;
        if (e->first < to->first) to->first = e->first;
    }
}

bool emit_plan_init(struct emit_plan *k, tsr_ctx *c, const tsr_tile *p, enum emit_for what) {
    *k = (struct emit_plan){.c = c, .p = p, .what = what};
    struct planner a = {.k = k, .p = p};
    bool ok = vec_reserve(c, &k->value, p->value.n + 1) && vec_reserve(c, &k->member, p->inst.n + 1) &&
              vec_reserve(c, &k->temp, p->inst.n + 1) && vec_reserve(c, &k->rows, p->inst.n + 1) &&
              vec_reserve(c, &k->fold, p->inst.n + 1) && vec_reserve(c, &k->strip, p->inst.n + 1) &&
              vec_reserve(c, &k->need, p->inst.n + 1);
    for (size_t i = 0; ok && i < p->value.n; i++)
        k->value.v[k->value.n++] = (struct emit_value){.group = -1, .same = TSR_TV_NONE};
    for (size_t i = 0; ok && i < p->inst.n; i++) {
        k->member.v[k->member.n++] = -1, k->temp.v[k->temp.n++] = 0;
        k->rows.v[k->rows.n++] = k->strip.v[k->strip.n++] = k->need.v[k->need.n++] = false;
        k->fold.v[k->fold.n++] = -1;
    }
    if (ok) tile_find_need(p, k->need.v);
    ok = ok && group_instructions(&a) && choose_homes(&a);
    if (ok) live(k), choose_rows(k);
    if (ok && what != EMIT_FOR_GROUPS) emit_host_choose(k);
    for (int32_t at = 0; ok && at < (int32_t)p->inst.n; at++)
        if (p->inst.v[at].op == TILE_YIELD) carry_in_place(k, &p->inst.v[at]);
    for (int32_t at = 0; ok && what != EMIT_FOR_GROUPS && at < (int32_t)p->inst.n; at++)
        if (p->inst.v[at].op == TILE_FOR || p->inst.v[at].op == TILE_WHILE) start_in_place(k, at);
    ok = ok && place(k);
    for (size_t v = 0; ok && v < k->value.n; v++)
        if (k->value.v[v].home == EMIT_ARRAY && k->value.v[v].same != TSR_TV_NONE)
            k->value.v[v].offset = k->value.v[k->value.v[v].same].offset;
    vec_release(c, &a.memory);
    if (!ok) emit_plan_release(k);
    return ok;
}

void emit_plan_release(struct emit_plan *k) {
    vec_release(k->c, &k->value);
    vec_release(k->c, &k->group);
    vec_release(k->c, &k->member);
    vec_release(k->c, &k->temp);
    vec_release(k->c, &k->rows);
    vec_release(k->c, &k->fold);
    vec_release(k->c, &k->strip);
    vec_release(k->c, &k->need);
}
