/* nest.c: a group of mapped instructions as one loop nest of C that compilers vectorise.
 *
 * Windows of loads and stores may leave out elements of the tile. Where every store of the group has the same bounds
 * and nothing else leaves the loop, the loop itself runs over what is inside, and windows with those bounds need no
 * test. Any other window with bounds goes by rows: along its innermost axis what takes part is one range, so a row is
 * copied (filled, copied, filled) into scratch memory before the nest, or out of it behind the nest, and the nest
 * itself has no condition on memory. That is faster than a test for each element, and compilers have had bugs in
 * vectors of conditional loads (docs/design.md). Blocks of quantised elements become f32 in rows, too.
 *
 * What stays conditional (masked gathers, scatters, 4-bit elements under bounds) makes a nest that is marked as not
 * to be vectorised. */
#include <string.h>

#include "emit/text.h"

static const struct tile_inst *inst_at(const struct writer *w, int32_t at) { return &w->p->inst.v[at]; }
static bool is_member(const struct writer *w, int32_t at) { return w->k->member.v[at] == w->group; }

static bool is_block(tsr_dtype t) { return tsr_dtype_of(t)->kind == TSR_KIND_BLOCK; }
static tsr_dtype dtype_in_memory(const struct writer *w, const struct tile_inst *in) {
    return tile_type_of(w->p, tile_operands(w->p, in)[TILE_BLK_BUF])->dtype;
}

/* The loop over axis i of the group. */
static void open_loop(struct writer *w, const struct emit_group *g, int i) {
    char from[32] = "0", to[48];
    snprintf(to, sizeof to, "%lld", (long long)g->extent[i]);
    if (g->cut[i] && g->lo[i] != TSR_TV_NONE) snprintf(from, sizeof from, "tsr_least(v%d)", g->lo[i]);
    if (g->cut[i] && g->hi[i] != TSR_TV_NONE)
        snprintf(to, sizeof to, "tsr_most(v%d, %lld)", g->hi[i], (long long)g->extent[i]);
    put_line(w, "for (vm_i64 i%d = %s, e%d = %s; i%d < e%d; i%d++) {", i, from, i, to, i, i, i);
    w->indent++;
}

static void close_loops(struct writer *w, int n) {
    while (n-- > 0) w->indent--, put_line(w, "}");
}

/* ---- rows ---- */

/* The name of a window's rows: scratch of its own, or the place of the loaded tile. */
static void rows_name(struct writer *w, int32_t at, char room[24]) {
    const struct tile_inst *in = inst_at(w, at);
    if (in->op == TILE_LOAD && w->k->value.v[in->result].home == EMIT_ARRAY) array_name(w, in->result, room);
    else snprintf(room, 24, "f%d", at);
}

static void declare_rows(struct writer *w, int32_t at) {
    const struct tile_inst *in = inst_at(w, at);
    char name[24];
    rows_name(w, at, name);
    if (*name != 'f') return;
    const char *type = emit_type(in->op == TILE_STORE ? dtype_in_memory(w, in)
        : tile_type_of(w->p, in->result)->dtype);
    put_line(w, "%s *const %s = (%s *)(scratch + %zu);", type, name, type, w->k->temp.v[at]);
}

/* "f7 + i0 * 40, v1, v9 + i0 * v2, step, test, lo, hi, n": a row, where it lies, which of it takes part. */
static void put_row(struct writer *w, struct str *s, int32_t at, const struct emit_group *g) {
    const struct tile_inst *in = inst_at(w, at);
    const tsr_tv *v = tile_operands(w->p, in);
    struct str test;
    char name[24];
    tsr_tv lo, hi;
    int64_t dense = 1, n = g->extent[g->rank - 1];
    int last = in->rank - 1;
    while (in->extent[last] == 1) last--;
    rows_name(w, at, name);
    str_put(s, name);
    for (int i = g->rank - 1; i >= 0; i--) {
        if (i < g->rank - 1) str_printf(s, " + i%d * %lld", i, (long long)dense);
        dense *= g->extent[i];
    }
    str_printf(s, ", v%d, ", v[TILE_BLK_BUF]);
    put_address(w, s, in, last);
    str_printf(s, ", v%d", v[TILE_BLK_AXES + last]);
    str_init(&test, w->k->c);
    put_test(w, &test, in, last);
    for (int i = last + 1; i < in->rank; i++) { /* axes of one element */
        emit_bounds(w->k, in, i, &lo, &hi);
        if (lo != TSR_TV_NONE) str_printf(&test, "%s0 >= v%d", test.n ? " & " : "", lo);
        if (hi != TSR_TV_NONE) str_printf(&test, "%s0 < v%d", test.n ? " & " : "", hi);
    }
    str_printf(s, ", %s, ", test.n ? test.s : "1");
    s->failed |= test.failed;
    str_release(&test);
    emit_bounds(w->k, in, last, &lo, &hi);
    if (lo != TSR_TV_NONE) str_printf(s, "v%d, ", lo);
    else str_put(s, "0, ");
    if (hi != TSR_TV_NONE) str_printf(s, "v%d, ", hi);
    else str_printf(s, "%lld, ", (long long)n);
    str_printf(s, "%lld", (long long)n);
}

static void write_rows(struct writer *w, int32_t at, const struct emit_group *g) {
    const struct tile_inst *in = inst_at(w, at);
    tsr_dtype t = dtype_in_memory(w, in);
    struct str s;
    str_init(&s, w->k->c);
    for (int i = 0; i < g->rank - 1; i++) open_loop(w, g, i);
    if (is_block(t)) str_printf(&s, "tsr_rows_%s(", tsr_dtype_name(t));
    else str_printf(&s, "tsr_%s_%s(", in->op == TILE_LOAD ? "row" : "put", emit_type(t));
    put_row(w, &s, at, g);
    if (in->op == TILE_LOAD) {
        str_put(&s, ", ");
        put_other(w, &s, in, tile_operands(w->p, in)[TILE_BLK_VALUE], is_block(t) ? TSR_F32 : t);
    }
    for (int i = 0; i < w->indent; i++) str_put(w->out, "    ");
    str_put(w->out, s.s), str_put(w->out, ");\n");
    w->out->failed |= s.failed;
    str_release(&s);
    close_loops(w, g->rank - 1);
}

/* ---- the nest ---- */

/* Does the innermost loop do something? Tiles that rows bring to their places need no loop. */
static bool has_work(const struct writer *w, const struct emit_group *g) {
    for (int32_t at = g->first; at <= g->last; at++)
        if (is_member(w, at) && !(w->k->rows.v[at] && inst_at(w, at)->op == TILE_LOAD)) return true;
    return false;
}

/* Is memory still read or written under a condition? */
static bool is_conditional(const struct writer *w, int32_t at) {
    const struct tile_inst *in = inst_at(w, at);
    const tsr_tv *v = tile_operands(w->p, in);
    if (in->op == TILE_GATHER || in->op == TILE_SCATTER) return v[TILE_GS_MASK] != TSR_TV_NONE;
    if ((in->op != TILE_LOAD && in->op != TILE_STORE) || w->k->rows.v[at]) return false;
    tsr_tv lo, hi;
    bool any = false;
    for (int i = 0; i < in->rank; i++) any |= emit_tested(w->k, at, i, &lo, &hi);
    return any;
}

static void write_nest(struct writer *w, const struct emit_group *g) {
    bool free = !g->ordered;
    for (int32_t at = g->first; at <= g->last; at++) free &= !is_member(w, at) || !is_conditional(w, at);
    for (int i = 0; i < g->rank; i++) {
        if (i == g->rank - 1 && free) put_line(w, "TSR_FREE");
        open_loop(w, g, i);
    }
    if (!free) put_line(w, "TSR_IN_TURN");
    for (int32_t at = g->first; at <= g->last; at++)
        if (is_member(w, at)) write_member(w, inst_at(w, at));
    close_loops(w, g->rank);
}

void write_group(struct writer *w, int32_t group) {
    const struct emit_group *g = &w->k->group.v[group];
    bool rows = false;
    w->group = group, w->nest = true;
    for (int32_t at = g->first; at <= g->last; at++) rows |= is_member(w, at) && w->k->rows.v[at];
    if (rows) put_line(w, "{"), w->indent++;
    for (int32_t at = g->first; rows && at <= g->last; at++)
        if (is_member(w, at) && w->k->rows.v[at]) declare_rows(w, at);
    for (int32_t at = g->first; rows && at <= g->last; at++)
        if (is_member(w, at) && w->k->rows.v[at] && inst_at(w, at)->op == TILE_LOAD) write_rows(w, at, g);
    if (has_work(w, g)) write_nest(w, g);
    for (int32_t at = g->first; rows && at <= g->last; at++)
        if (is_member(w, at) && w->k->rows.v[at] && inst_at(w, at)->op == TILE_STORE) write_rows(w, at, g);
    if (rows) w->indent--, put_line(w, "}");
    w->group = -1, w->nest = false;
}
