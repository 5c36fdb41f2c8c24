/* host.c: what a core with caches wants of a kernel beyond what plan.c decides for every machine.
 *
 * Memory. A loaded tile that several loops use need not be copied to scratch: where its window is dense along its last
 * axis and the program stores nothing in between (two arguments may be one buffer), the loops read the buffer again. A
 * window of one row that may leave out elements is read in place when it leaves out none (tsr_view), else from a filled
 * copy. A matrix that products alone read is not copied either (tsr_matrix): they pack it from where it lies.
 *
 * Folding. The first two steps of a sum along a row take elements a quarter of the row apart (docs/tile.md). The loop
 * that makes the row runs over one quarter, computes the four elements of each place and combines them at once: where
 * nobody else wants the row, it is never stored.
 *
 * Weaving. A long chain of dependent operations (exp, erf) leaves a core's units idle: its next elements are so many
 * instructions away that the core does not see them. Such a loop computes four neighbouring pieces of the row side by
 * side, and stores when all four are done, so that a compiler may mix their instructions. A folding loop has four
 * elements in a turn anyway. Short loops that write strips go that way, too: their lines leave piece by piece, while
 * the next ones are computed.
 *
 * Strips. Lines of a large buffer that are about to be overwritten whole need not be read: a store makes its row in a
 * strip of scratch and the row goes to memory past the caches (tsr_stream), when the buffer is so large (run time).
 *
 * Ahead. A kernel that walks rows several times computes while memory idles, unless the next instance's rows are asked
 * for meanwhile: emit_advances says where they lie. */
#include <string.h>

#include "emit/emit.h"

enum { LEAST_ROW = 512 /* bytes of a row worth these means */, FOLD_FROM = 128, FOLD_MEMBERS = 32, WEAVE_LONG = 4,
    SHORT = 16 };

static const struct tile_inst *inst_at(const struct emit_plan *k, int32_t at) { return &k->p->inst.v[at]; }
static const struct tile_inst *maker(const struct emit_plan *k, tsr_tv v) {
    return inst_at(k, k->p->value.v[v].inst);
}

/* Extents longer than 1, in order; returns how many. */
static int long_axes(int rank, const int32_t *extent, int64_t *of) {
    int n = 0;
    for (int i = 0; i < rank; i++)
        if (extent[i] != 1) of[n++] = extent[i];
    return n;
}

static bool same_axes(const struct tile_type *a, int rank, const int32_t *extent) {
    int64_t x[TSR_TILE_MAX_RANK], y[TSR_TILE_MAX_RANK];
    int n = long_axes(a->rank, a->extent, x);
    return n == long_axes(rank, extent, y) && memcmp(x, y, sizeof *x * (size_t)n) == 0;
}

int emit_last_axis(int rank, const int32_t *extent) {
    while (rank > 0 && extent[rank - 1] == 1) rank--;
    return rank - 1;
}

/* A window's last axis is dense in memory and whole elements lie there; its length in bytes, else 0. */
static int64_t row_bytes(const struct emit_plan *k, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(k->p, in);
    tsr_dtype t = tile_type_of(k->p, v[TILE_BLK_BUF])->dtype;
    int last = emit_last_axis(in->rank, in->extent);
    if (last < 0 || t == TSR_I4 || t == TSR_U4 || tsr_dtype_of(t)->kind == TSR_KIND_BLOCK) return 0;
    const struct tile_inst *step = maker(k, v[TILE_BLK_AXES + last]);
    return step->op == TILE_CONST && step->imm.i == 1 ? in->extent[last] * tsr_dtype_of(t)->bytes : 0;
}

bool emit_conditional(const struct emit_plan *k, int32_t at) {
    const struct tile_inst *in = inst_at(k, at);
    const tsr_tv *v = tile_operands(k->p, in);
    if (in->op == TILE_GATHER || in->op == TILE_SCATTER) return v[TILE_GS_MASK] != TSR_TV_NONE;
    if ((in->op != TILE_LOAD && in->op != TILE_STORE) || k->rows.v[at]) return false;
    if (in->op == TILE_LOAD && k->value.v[in->result].matrix) return false;
    tsr_tv lo, hi;
    bool any = false;
    for (int i = 0; i < in->rank; i++) any |= emit_tested(k, at, i, &lo, &hi);
    return any;
}

/* Nothing in the group's loop depends on the order of its turns. */
static bool is_free(const struct emit_plan *k, int32_t group) {
    const struct emit_group *g = &k->group.v[group];
    bool free = !g->ordered;
    for (int32_t at = g->first; free && at <= g->last; at++)
        free = k->member.v[at] != group || !emit_conditional(k, at);
    return free;
}

/* ---- memory ---- */

/* Is something stored between the load and the use, in the order of loops? In one loop both walk in step. */
static bool stored_before(const struct emit_plan *k, int32_t load, int32_t use) {
    int32_t until = emit_runs_at(k, use);
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++) {
        enum tile_op op = inst_at(k, at)->op;
        int32_t place = emit_runs_at(k, at);
        if ((op == TILE_STORE || op == TILE_SCATTER) && place >= load && place < until) return true;
    }
    return false;
}

/* Can instruction `use` read operand v, the loaded tile of `load`, where it lies in the buffer? */
static bool reads_there(const struct emit_plan *k, int32_t load, int32_t use, tsr_tv v) {
    const struct tile_inst *in = inst_at(k, use), *from = inst_at(k, load);
    const struct tile_type *t = tile_type_of(k->p, v);
    if (in->op == TILE_RESHAPE) return true; /* its users are asked */
    if (in->region != from->region || !same_axes(t, from->rank, from->extent)) return false;
    if (in->op == TILE_TRANSPOSE || stored_before(k, load, use)) return false;
    int64_t axes[TSR_TILE_MAX_RANK];
    if (in->op == TILE_REDUCE)
        return in->axis == emit_last_axis(t->rank, t->extent) && long_axes(t->rank, t->extent, axes) <= 2 &&
               t->extent[in->axis] > SHORT;
    return k->member.v[use] >= 0;
}

static bool is_memory(const struct emit_plan *k, int32_t at) {
    const struct tile_inst *in = inst_at(k, at);
    if (in->op != TILE_LOAD || k->member.v[at] < 0 || k->value.v[in->result].home != EMIT_ARRAY) return false;
    bool one_row = k->group.v[k->member.v[at]].rank == 1, tested = k->rows.v[at];
    int64_t bytes = row_bytes(k, in);
    if (bytes == 0 || (!one_row && bytes < LEAST_ROW) || (tested ? !one_row : emit_conditional(k, at))) return false;
    for (int32_t u = at + 1; u < (int32_t)k->p->inst.n; u++)
        for (int i = 0; k->need.v[u] && i < inst_at(k, u)->n_operand; i++) {
            tsr_tv v = tile_operands(k->p, inst_at(k, u))[i];
            if (v != TSR_TV_NONE && emit_dense(k, v) == in->result && !reads_there(k, at, u, v)) return false;
        }
    return true;
}

static bool is_block(const struct emit_plan *k, const struct tile_inst *load) {
    return tsr_dtype_of(tile_type_of(k->p, tile_operands(k->p, load)[TILE_BLK_BUF])->dtype)->kind == TSR_KIND_BLOCK;
}

/* A window whose elements outside are zeros and that products alone use need not be copied to be packed. */
static bool is_matrix(const struct emit_plan *k, int32_t at) {
    const struct tile_inst *in = inst_at(k, at);
    if (in->op != TILE_LOAD || in->rank != 2 || k->member.v[at] < 0 || k->value.v[in->result].home != EMIT_ARRAY)
        return false;
    if (!tile_is_zero(k->p, tile_operands(k->p, in)[TILE_BLK_VALUE])) return false;
    for (int32_t u = at + 1; u < (int32_t)k->p->inst.n; u++)
        for (int i = 0; k->need.v[u] && i < inst_at(k, u)->n_operand; i++) {
            const struct tile_inst *use = inst_at(k, u);
            if (tile_operands(k->p, use)[i] != in->result) continue;
            tsr_dtype t = tile_type_of(k->p, in->result)->dtype;
            if (use->op != TILE_DOT || i > 1 || t != tile_type_of(k->p, use->result)->dtype) return false;
            if (tsr_dtype_of(t)->kind == TSR_KIND_COMPLEX || is_block(k, in)) return false;
            if (use->region != in->region || stored_before(k, at, u)) return false;
        }
    return true;
}

/* ---- folding ---- */

/* The group whose loop may take the first steps of reduction `at`, or -1. */
static int32_t folding_group(const struct emit_plan *k, int32_t at) {
    const struct tile_inst *in = inst_at(k, at);
    if (in->op != TILE_REDUCE || !k->need.v[at] || (in->sub != TSR_REDUCE_SUM && in->sub != TSR_REDUCE_PROD)) return -1;
    tsr_tv x = tile_operands(k->p, in)[0], r = emit_dense(k, x);
    const struct tile_type *t = tile_type_of(k->p, x), *own = tile_type_of(k->p, r);
    const struct emit_value *e = &k->value.v[r];
    int64_t n = t->extent[in->axis];
    if ((t->dtype != TSR_F32 && t->dtype != TSR_F64) || in->axis != emit_last_axis(t->rank, t->extent)) return -1;
    if (n < FOLD_FROM || (n & (n - 1)) || e->home != EMIT_ARRAY || e->memory || e->group < 0) return -1;
    const struct emit_group *g = &k->group.v[e->group];
    int members = 0;
    for (int32_t i = g->first; i <= g->last; i++) members += k->member.v[i] == e->group;
    for (int i = 0; i < g->rank; i++)
        if (g->cut[i]) return -1;
    bool fits = same_axes(t, own->rank, own->extent) && g->extent[g->rank - 1] == n && g->last < at &&
                maker(k, r)->region == in->region && maker(k, r)->op != TILE_LOAD;
    return fits && members <= FOLD_MEMBERS && is_free(k, e->group) ? e->group : -1;
}

/* A row whose every reader is its own loop or a reduction that the loop begins lives in registers alone. */
static void drop_row(struct emit_plan *k, tsr_tv r) {
    int32_t g = k->value.v[r].group;
    for (int32_t u = 0; u < (int32_t)k->p->inst.n; u++)
        for (int i = 0; k->need.v[u] && i < inst_at(k, u)->n_operand; i++) {
            tsr_tv v = tile_operands(k->p, inst_at(k, u))[i];
            if (v == TSR_TV_NONE || emit_dense(k, v) != r || inst_at(k, u)->op == TILE_RESHAPE) continue;
            bool step = k->member.v[u] == g && inst_at(k, u)->op != TILE_TRANSPOSE;
            if (!step && k->fold.v[u] != g) return;
        }
    k->value.v[r].home = EMIT_REGISTER;
}

/* ---- weaving ---- */

static bool is_long(const struct emit_plan *k, const struct tile_inst *in) {
    if (in->op != TILE_ELEM || tile_type_of(k->p, in->result)->dtype != TSR_F32) return false;
    switch (in->sub) {
    case TSR_S_EXP: case TSR_S_EXP2: case TSR_S_EXPM1: case TSR_S_LOG: case TSR_S_LOG1P: case TSR_S_LOG2:
    case TSR_S_TANH: case TSR_S_LOGISTIC: case TSR_S_ERF: return true;
    default: return false;
    }
}

/* Does the loop write whole elements alone? Two 4-bit integers share a byte. */
static bool writes_elements(const struct emit_plan *k, int32_t at) {
    const struct tile_inst *in = inst_at(k, at);
    if (in->op != TILE_STORE && in->op != TILE_SCATTER) return true;
    tsr_dtype t = tile_type_of(k->p, tile_operands(k->p, in)[0])->dtype;
    return in->op == TILE_STORE && t != TSR_I4 && t != TSR_U4;
}

static bool wants_weaving(const struct emit_plan *k, int32_t group) {
    const struct emit_group *g = &k->group.v[group];
    int last = g->rank - 1, members = 0, lengthy = 0;
    bool streams = false;
    if (k->what != EMIT_FOR_HOST || last < 0 || g->extent[last] < FOLD_FROM) return false;
    if (g->cut[last] && g->lo[last] != TSR_TV_NONE) return false;
    for (int32_t at = g->first; at <= g->last; at++) {
        if (k->member.v[at] != group) continue;
        if (!writes_elements(k, at)) return false;
        members++, lengthy += is_long(k, inst_at(k, at)), streams |= k->strip.v[at];
    }
    return (lengthy > 0 || (streams && members <= SHORT)) && lengthy <= WEAVE_LONG && members <= FOLD_MEMBERS &&
           is_free(k, group);
}

/* ---- strips ---- */

size_t emit_strip_bytes(const struct emit_plan *k, int32_t at) { return (size_t)row_bytes(k, inst_at(k, at)); }

static bool wants_strip(const struct emit_plan *k, int32_t at) {
    const struct tile_inst *in = inst_at(k, at);
    int32_t g = k->member.v[at];
    return k->what == EMIT_FOR_HOST && in->op == TILE_STORE && g >= 0 && !k->rows.v[at] &&
           row_bytes(k, in) >= LEAST_ROW && is_free(k, g);
}

void emit_host_choose(struct emit_plan *k) {
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++)
        if (is_matrix(k, at)) k->value.v[inst_at(k, at)->result].matrix = true, k->rows.v[at] = false;
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++)
        if (is_memory(k, at)) k->value.v[inst_at(k, at)->result].memory = true;
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++) {
        k->fold.v[at] = folding_group(k, at);
        if (k->fold.v[at] >= 0) k->group.v[k->fold.v[at]].folds = true;
        k->strip.v[at] = wants_strip(k, at);
    }
    for (int32_t g = 0; g < (int32_t)k->group.n; g++) k->group.v[g].weaves = wants_weaving(k, g);
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++)
        if (k->fold.v[at] >= 0) {
            tsr_tv r = emit_dense(k, tile_operands(k->p, inst_at(k, at))[0]);
            if (k->value.v[r].home == EMIT_ARRAY) drop_row(k, r);
        }
}

/* ---- ahead ---- */

enum advance { FIXED, MOVES, UNKNOWN };

/* How scalar v changes when the instance's index on axis 0 grows by one. */
static enum advance advance_of(const struct emit_plan *k, tsr_tv v, struct str *s) {
    const struct tile_inst *in = maker(k, v);
    const tsr_tv *x = tile_operands(k->p, in);
    if (in->op == TILE_PID && in->sub == 0) str_put(s, "1");
    if (in->op == TILE_PID) return in->sub == 0 ? MOVES : FIXED;
    if (in->op == TILE_CONST || in->op == TILE_ARG) return FIXED;
    if (in->op != TILE_ELEM || in->n_operand != 2) return UNKNOWN;
    struct str part[2];
    enum advance a[2];
    for (int i = 0; i < 2; i++) str_init(&part[i], k->c), a[i] = advance_of(k, x[i], &part[i]);
    enum advance both = a[0] == UNKNOWN || a[1] == UNKNOWN ? UNKNOWN : a[0] == FIXED && a[1] == FIXED ? FIXED : MOVES;
    int m = a[1] == MOVES;
    if (part[0].failed || part[1].failed) both = UNKNOWN;
    if (both == MOVES && in->sub == TSR_S_MUL && (a[0] == FIXED || a[1] == FIXED))
        str_printf(s, "(%s) * v%d", part[m].s, emit_root(k, x[!m]));
    else if (both == MOVES && (in->sub == TSR_S_ADD || (in->sub == TSR_S_SUB && a[1] == FIXED)))
        str_printf(s, "%s%s%s", a[0] == MOVES ? part[0].s : "", a[0] == MOVES && a[1] == MOVES ? " + " : "",
            a[1] == MOVES ? part[1].s : "");
    else if (both == MOVES) both = UNKNOWN;
    for (int i = 0; i < 2; i++) s->failed |= part[i].failed, str_release(&part[i]);
    return both;
}

bool emit_advances(const struct emit_plan *k, int32_t at, struct str *s) {
    const struct tile_inst *in = inst_at(k, at);
    int64_t axes[TSR_TILE_MAX_RANK];
    if (k->what != EMIT_FOR_HOST || in->op != TILE_LOAD || in->region != 0) return false;
    if (row_bytes(k, in) < LEAST_ROW || long_axes(in->rank, in->extent, axes) > 2) return false;
    return advance_of(k, tile_operands(k->p, in)[TILE_BLK_BASE], s) == MOVES;
}
