/* nest.c: a group of mapped instructions as one loop nest of C that compilers vectorise.
 *
 * Windows of loads and stores may leave out elements of the tile. Where every store of the group has the same bounds
 * and nothing else leaves the loop, the loop itself runs over what is inside, and windows with those bounds need no
 * test. Any other window with bounds goes by rows: along its innermost axis what takes part is one range, so a row is
 * copied (filled, copied, filled) into scratch memory before the nest, or out of it behind the nest, and the nest
 * itself has no condition on memory. That is faster than a test for each element, and compilers have had bugs in
 * vectors of conditional loads (docs/design.md). A load of several axes is one call, which joins axes that continue
 * one another. Blocks of quantised elements become f32 in rows, too.
 *
 * What stays conditional (masked gathers, scatters, 4-bit elements under bounds) makes a nest that is marked as not
 * to be vectorised.
 *
 * What host.c has decided for a core is written here, too: windows that are read where they lie (w7), the loop that
 * begins a sum (t9_0 .. t9_3, r9), pieces of a row side by side (o7_0 .. o7_3 wait to be written), rows made in a strip
 * (q12) and sent past the caches, rows asked for ahead. */
#include <string.h>

#include "emit/text.h"

static const struct tile_inst *inst_at(const struct writer *w, int32_t at) { return &w->p->inst.v[at]; }
static bool is_member(const struct writer *w, int32_t at) { return w->k->member.v[at] == w->group; }

static bool is_block(tsr_dtype t) { return tsr_dtype_of(t)->kind == TSR_KIND_BLOCK; }
static tsr_dtype dtype_in_memory(const struct writer *w, const struct tile_inst *in) {
    return tile_type_of(w->p, tile_operands(w->p, in)[TILE_BLK_BUF])->dtype;
}

/* The bounds of the loop over axis i, as text. */
static void loop_bounds(const struct emit_group *g, int i, char from[32], char to[48]) {
    snprintf(from, 32, "0"), snprintf(to, 48, "%lld", (long long)g->extent[i]);
    if (g->cut[i] && g->lo[i] != TSR_TV_NONE) snprintf(from, 32, "tsr_least(v%d)", g->lo[i]);
    if (g->cut[i] && g->hi[i] != TSR_TV_NONE)
        snprintf(to, 48, "tsr_most(v%d, %lld)", g->hi[i], (long long)g->extent[i]);
}

/* The loop over axis i of the group. */
static void open_loop(struct writer *w, const struct emit_group *g, int i) {
    char from[32], to[48];
    loop_bounds(g, i, from, to);
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
    int last = emit_last_axis(in->rank, in->extent);
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
        if (lo != TSR_TV_NONE) str_printf(&test, "%s(0 >= v%d)", test.n ? " & " : "", lo);
        if (hi != TSR_TV_NONE) str_printf(&test, "%s(0 < v%d)", test.n ? " & " : "", hi);
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

/* A window of several axes at once. */
static void write_window(struct writer *w, int32_t at) {
    const struct tile_inst *in = inst_at(w, at);
    const tsr_tv *v = tile_operands(w->p, in);
    tsr_dtype t = dtype_in_memory(w, in);
    struct str other;
    char name[24];
    rows_name(w, at, name);
    put_line(w, "{");
    w->indent++;
    put_line(w, "struct tsr_axis x[%d] = {", in->rank);
    for (int i = 0; i < in->rank; i++) {
        char from[16] = "0", to[16];
        tsr_tv lo, hi;
        emit_bounds(w->k, in, i, &lo, &hi);
        snprintf(to, sizeof to, hi == TSR_TV_NONE ? "%d" : "v%d", hi == TSR_TV_NONE ? in->extent[i] : hi);
        if (lo != TSR_TV_NONE) snprintf(from, sizeof from, "v%d", lo);
        put_line(w, "    {%d, v%d, %s, %s, 0}%s", in->extent[i], v[TILE_BLK_AXES + i], from, to,
            i + 1 < in->rank ? "," : "};");
    }
    str_init(&other, w->k->c);
    put_other(w, &other, in, v[TILE_BLK_VALUE], t);
    put_line(w, "tsr_window_%s(%s, v%d, v%d, %d, x, %s);", emit_type(t), name, v[TILE_BLK_BUF], v[TILE_BLK_BASE],
        in->rank, other.s ? other.s : "");
    w->out->failed |= other.failed;
    str_release(&other);
    close_loops(w, 1);
}

static void write_rows(struct writer *w, int32_t at, const struct emit_group *g) {
    const struct tile_inst *in = inst_at(w, at);
    tsr_dtype t = dtype_in_memory(w, in);
    if (in->op == TILE_LOAD && g->rank > 1 && !is_block(t)) {
        write_window(w, at);
        return;
    }
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
    str_put(&s, ");");
    put_text(w, &s);
    close_loops(w, g->rank - 1);
}

/* ---- ahead ---- */

/* Which argument of a launch buffer v is. */
static size_t argument_of(const struct writer *w, tsr_tv v) {
    size_t i = 0;
    while (w->p->arg.v[i].value != v) i++;
    return i;
}

/* Does a loop write rows that may go past the caches? Memory is busy enough then. */
static bool streams_rows(const struct writer *w, const struct emit_group *g) {
    bool any = false;
    for (int32_t at = g->first; at <= g->last; at++)
        any |= w->k->member.v[at] == (int32_t)(g - w->k->group.v) && w->k->strip.v[at];
    return any;
}

/* Is group `group` a loop over rows behind the first reduction? Returns how many such loops stand before it, -1 if it
 * is none of them; *all: how many there are. Those that stream count only where there is no other. */
static int turn_of(const struct writer *w, int32_t group, bool streaming, int *all) {
    enum { ROWS = 128 };
    int32_t first = 0;
    int turn = -1;
    while (first < (int32_t)w->p->inst.n && inst_at(w, first)->op != TILE_REDUCE) first++;
    *all = 0;
    for (int32_t i = 0; i < (int32_t)w->k->group.n; i++) {
        const struct emit_group *g = &w->k->group.v[i];
        int64_t n = 1;
        for (int x = 0; x < g->rank; x++) n *= g->extent[x];
        if (g->last < first || inst_at(w, g->last)->region != 0 || n < ROWS) continue;
        if (!streaming && streams_rows(w, g)) continue;
        if (i == group) turn = *all;
        ++*all;
    }
    return *all || streaming ? turn : turn_of(w, group, true, all);
}

/* Loops whose turns are blocks of the one row ask for a few lines in each. */
static bool asks_in_turns(const struct emit_group *g) {
    return g->rank == 1 && (g->folds || g->weaves) && g->extent[0] % (EMIT_FOLD * EMIT_PIECE) == 0;
}

/* A kernel that reduces rows computes much for each byte: its later loops ask for the rows of the instance after the
 * next, each for its part of them, at once or in `blocks` turns of `turn_size` elements (from b on). */
static void write_ahead(struct writer *w, int32_t group, int turn_size, int64_t blocks) {
    int all, turn = turn_of(w, group, false, &all);
    for (int32_t at = 0; turn >= 0 && at < w->k->group.v[group].last; at++) {
        const struct tile_inst *in = inst_at(w, at);
        struct str by, s;
        int deeper = 1;
        if (in->op != TILE_LOAD || !w->k->need.v[at]) continue;
        str_init(&by, w->k->c), str_init(&s, w->k->c);
        if (emit_advances(w->k, at, &by)) {
            tsr_tv buf = tile_operands(w->p, in)[TILE_BLK_BUF];
            int last = emit_last_axis(in->rank, in->extent);
            int64_t lines = (in->extent[last] * (int64_t)emit_size(dtype_in_memory(w, in)) + 63) / 64;
            int64_t from = lines * turn / all, n = lines * (turn + 1) / all - from, each = (n + blocks - 1) / blocks;
            put_line(w, "if (TSR_STREAMED(arg[%zu].buf.bytes))", argument_of(w, buf));
            for (int i = 0; i < last; i++)
                if (in->extent[i] != 1) {
                    w->indent++, deeper++;
                    put_line(w, "for (vm_i64 i0 = 0; i0 < %d; i0++)", in->extent[i]);
                }
            str_printf(&s, "    tsr_ahead(v%d + ", buf), put_address(w, &s, in, last);
            str_printf(&s, " + 2 * (%s), ", by.s ? by.s : "");
            if (blocks == 1) str_printf(&s, "%lld, %lld);", (long long)from, (long long)(from + n));
            else
                str_printf(&s, "%lld + b / %d * %lld, %lld + b / %d * %lld);", (long long)from, turn_size,
                    (long long)each, (long long)(from + each), turn_size, (long long)each);
            put_text(w, &s);
            w->indent -= deeper - 1;
        } else str_release(&s);
        w->out->failed |= by.failed;
        str_release(&by);
    }
}

/* ---- the nest ---- */

static bool is_woven(const struct emit_group *g) { return g->weaves && !g->folds; }

/* Does the innermost loop do something? Tiles that rows bring to their places, or that stay in memory, need no loop. */
static bool has_work(const struct writer *w, const struct emit_group *g) {
    for (int32_t at = g->first; at <= g->last; at++) {
        if (!is_member(w, at)) continue;
        const struct emit_value *e = inst_at(w, at)->n_result ? &w->k->value.v[inst_at(w, at)->result] : NULL;
        bool there = w->k->rows.v[at] || (e && (e->memory || e->matrix));
        if (!there || inst_at(w, at)->op != TILE_LOAD) return true;
    }
    return false;
}

/* Where row [i0, ...] of a store's window begins in the buffer: "v1 + v9 + i0 * v2". */
static void put_row_start(struct writer *w, struct str *s, int32_t at) {
    const struct tile_inst *in = inst_at(w, at);
    int last = emit_last_axis(in->rank, in->extent);
    str_printf(s, "v%d + ", tile_operands(w->p, in)[TILE_BLK_BUF]);
    put_address(w, s, in, last);
}

/* In front of the innermost loop, or behind it: rows that may be made in strips, and where they go. */
static void write_strips(struct writer *w, const struct emit_group *g, bool behind) {
    for (int32_t at = g->first; at <= g->last; at++) {
        if (!is_member(w, at) || !w->k->strip.v[at]) continue;
        char from[32], to[48];
        tsr_dtype t = dtype_in_memory(w, inst_at(w, at));
        tsr_tv buf = tile_operands(w->p, inst_at(w, at))[TILE_BLK_BUF];
        struct str s;
        str_init(&s, w->k->c);
        loop_bounds(g, g->rank - 1, from, to);
        if (!behind) {
            str_printf(&s, "%s *const q%d = s%d ? (%s *)(scratch + %zu) : ", emit_type(t), at, buf, emit_type(t),
                w->k->temp.v[at]);
            put_row_start(w, &s, at), str_putc(&s, ';');
        } else {
            str_printf(&s, "if (s%d) tsr_stream(", buf), put_row_start(w, &s, at);
            if (is_woven(g)) snprintf(from, sizeof from, "whole%d ? b : 0", at);
            str_printf(&s, ", q%d, %s, %s, %d);", at, from, to, (int)emit_size(t));
        }
        put_text(w, &s);
    }
}

static bool is_matrix(const struct writer *w, int32_t at) {
    return inst_at(w, at)->n_result && w->k->value.v[inst_at(w, at)->result].matrix;
}

static void write_members(struct writer *w, const struct emit_group *g) {
    for (int32_t at = g->first; at <= g->last; at++)
        if (is_member(w, at) && !is_matrix(w, at)) write_member(w, inst_at(w, at));
}

/* Piece q of a turn: the members, with the loop's index `apart` elements further for each piece. */
static void open_piece(struct writer *w, const struct emit_group *g, int q, const char *from, int64_t apart) {
    w->piece = q;
    put_line(w, "{");
    w->indent++;
    put_line(w, "const vm_i64 i%d = %s + %lld;", g->rank - 1, from, (long long)(q * apart));
    write_members(w, g);
}

static void declare_pieces(struct writer *w, const struct emit_group *g) {
    for (int32_t at = g->first; g->weaves && at <= g->last; at++)
        if (is_member(w, at) && !is_matrix(w, at)) declare_waiting(w, inst_at(w, at));
    w->effects = g->weaves ? WRITE_LATER : WRITE_AT_ONCE;
}

/* What the pieces of a turn have made goes to memory. */
static void write_pieces(struct writer *w, const struct emit_group *g, const char *from, int64_t apart) {
    w->effects = WRITE_NOW;
    for (int q = 0; g->weaves && q < EMIT_WEAVE; q++) open_piece(w, g, q, from, apart), close_loops(w, 1);
    w->effects = WRITE_AT_ONCE;
}

/* The reductions that the group begins, one after the other: the next one at or behind `at`, or -1. */
static int32_t next_fold(const struct writer *w, int32_t at) {
    for (; at < (int32_t)w->p->inst.n; at++)
        if (w->k->fold.v[at] == w->group) return at;
    return -1;
}

/* The innermost loop of a group that begins reductions: EMIT_FOLD elements of the row, a part of it apart, in a turn;
 * combined in the order of docs/tile.md: ((0, 2), (1, 3)). */
static void write_folding_loop(struct writer *w, const struct emit_group *g) {
    const int last = g->rank - 1;
    const long long part = g->extent[last] / EMIT_FOLD;
    const bool turns = asks_in_turns(g);
    if (turns) {
        put_line(w, "for (vm_i64 b = 0; b < %lld; b += %d) {", part, EMIT_PIECE);
        w->indent++;
        write_ahead(w, w->group, EMIT_PIECE, part / EMIT_PIECE);
    }
    put_line(w, "TSR_FREE");
    if (turns) put_line(w, "for (vm_i64 j = b; j < b + %d; j++) {", EMIT_PIECE);
    else put_line(w, "for (vm_i64 j = 0; j < %lld; j++) {", part);
    w->indent++;
    for (int32_t u = -1; (u = next_fold(w, u + 1)) >= 0;) {
        int t = inst_at(w, u)->result;
        put_line(w, "%s t%d_0, t%d_1, t%d_2, t%d_3;", emit_type(tile_type_of(w->p, t)->dtype), t, t, t, t);
    }
    declare_pieces(w, g);
    for (int q = 0; q < EMIT_FOLD; q++) {
        open_piece(w, g, q, "j", part);
        for (int32_t u = -1; (u = next_fold(w, u + 1)) >= 0;) {
            tsr_tv x = tile_operands(w->p, inst_at(w, u))[0];
            put_line(w, "t%d_%d = v%d;", inst_at(w, u)->result, q, emit_root(w->k, x));
        }
        close_loops(w, 1);
    }
    write_pieces(w, g, "j", part);
    for (int32_t u = -1; (u = next_fold(w, u + 1)) >= 0;) {
        struct str s, at;
        int t = inst_at(w, u)->result;
        str_init(&s, w->k->c), str_init(&at, w->k->c);
        for (int i = 0; i < last; i++) {
            int64_t n = part;
            for (int j = i + 1; j < last; j++) n *= g->extent[j];
            str_printf(&at, "i%d * %lld + ", i, (long long)n);
        }
        put_fold(&s, w, inst_at(w, u), t);
        put_line(w, "r%d[%sj] = %s;", t, at.n ? at.s : "", s.s);
        w->out->failed |= s.failed || at.failed;
        str_release(&s), str_release(&at);
    }
    close_loops(w, turns ? 2 : 1);
}

static void write_plain_loop(struct writer *w, const struct emit_group *g, bool free) {
    if (free) put_line(w, "TSR_FREE");
    open_loop(w, g, g->rank - 1);
    if (!free) put_line(w, "TSR_IN_TURN");
    write_members(w, g);
    close_loops(w, 1);
}

/* Rows of strips whose lines are whole go past the caches piece by piece: whole7 says so. */
static void write_lines(struct writer *w, const struct emit_group *g, bool behind) {
    for (int32_t at = g->first; at <= g->last; at++) {
        if (!is_member(w, at) || !w->k->strip.v[at]) continue;
        int lines = EMIT_WEAVE * EMIT_PIECE * (int)emit_size(dtype_in_memory(w, inst_at(w, at))) / 64;
        struct str s;
        str_init(&s, w->k->c);
        if (behind) str_printf(&s, "if (whole%d) tsr_lines(", at);
        else str_printf(&s, "const int whole%d = s%d && tsr_is_line(", at,
            tile_operands(w->p, inst_at(w, at))[TILE_BLK_BUF]);
        put_row_start(w, &s, at);
        if (behind) str_printf(&s, " + b, q%d + b, %d", at, lines);
        str_put(&s, ");");
        put_text(w, &s);
    }
}

/* The innermost loop of a group that weaves: EMIT_WEAVE neighbouring pieces in a turn, what is left one by one. */
static void write_woven_loop(struct writer *w, const struct emit_group *g) {
    char from[32], to[48];
    const int last = g->rank - 1, turn = EMIT_WEAVE * EMIT_PIECE;
    loop_bounds(g, last, from, to);
    write_lines(w, g, false);
    put_line(w, "vm_i64 b = 0;");
    put_line(w, "const vm_i64 e%d = %s;", last, to);
    put_line(w, "for (; b + %d <= e%d; b += %d) {", turn, last, turn);
    w->indent++;
    if (asks_in_turns(g)) write_ahead(w, w->group, turn, g->extent[last] / turn);
    put_line(w, "TSR_FREE");
    put_line(w, "for (vm_i64 j = b; j < b + %d; j++) {", EMIT_PIECE);
    w->indent++;
    declare_pieces(w, g);
    for (int q = 0; q < EMIT_WEAVE; q++) open_piece(w, g, q, "j", EMIT_PIECE), close_loops(w, 1);
    write_pieces(w, g, "j", EMIT_PIECE);
    close_loops(w, 1);
    write_lines(w, g, true);
    close_loops(w, 1);
    if (!g->cut[last] && g->extent[last] % turn == 0) return;
    put_line(w, "TSR_FREE");
    put_line(w, "for (vm_i64 i%d = b; i%d < e%d; i%d++) {", last, last, last, last);
    w->indent++;
    write_members(w, g);
    close_loops(w, 1);
}

static void write_nest(struct writer *w, const struct emit_group *g) {
    bool free = !g->ordered;
    for (int32_t at = g->first; at <= g->last; at++) free &= !is_member(w, at) || !emit_conditional(w->k, at);
    for (int i = 0; i < g->rank - 1; i++) open_loop(w, g, i);
    bool strips = streams_rows(w, g);
    bool block = (strips || is_woven(g)) && g->rank == 1;
    if (block) put_line(w, "{"), w->indent++;
    if (strips) write_strips(w, g, false);
    if (g->folds) write_folding_loop(w, g);
    else if (is_woven(g)) write_woven_loop(w, g);
    else write_plain_loop(w, g, free);
    if (strips) write_strips(w, g, true);
    if (block) close_loops(w, 1);
    close_loops(w, g->rank - 1);
}

/* ---- memory ---- */

/* "const struct tsr_matrix d26 = {v0, v25, v4, v14, 0, v22, 0, v20};" */
static void declare_matrix(struct writer *w, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(w->p, in);
    struct str s;
    str_init(&s, w->k->c);
    str_printf(&s, "v%d, v%d, v%d, v%d", v[TILE_BLK_BUF], v[TILE_BLK_BASE], v[TILE_BLK_AXES], v[TILE_BLK_AXES + 1]);
    for (int i = 0; i < 2; i++) {
        tsr_tv lo, hi;
        emit_bounds(w->k, in, i, &lo, &hi);
        if (lo == TSR_TV_NONE) str_put(&s, ", 0");
        else str_printf(&s, ", v%d", lo);
        if (hi == TSR_TV_NONE) str_printf(&s, ", %d", in->extent[i]);
        else str_printf(&s, ", v%d", hi);
    }
    put_line(w, "const struct tsr_matrix d%d = {%s};", in->result, s.s ? s.s : "");
    w->out->failed |= s.failed;
    str_release(&s);
}

/* The windows of loads that stay where they are. */
static void declare_windows(struct writer *w, const struct emit_group *g) {
    for (int32_t at = g->first; at <= g->last; at++) {
        if (!is_member(w, at) || inst_at(w, at)->op != TILE_LOAD) continue;
        const struct tile_inst *in = inst_at(w, at);
        const tsr_tv *v = tile_operands(w->p, in);
        if (w->k->value.v[in->result].matrix) declare_matrix(w, in);
        if (!w->k->value.v[in->result].memory) continue;
        const char *type = emit_type(dtype_in_memory(w, in));
        struct str s;
        str_init(&s, w->k->c);
        str_printf(&s, "const %s *const w%d = ", type, in->result);
        if (w->k->rows.v[at]) {
            str_printf(&s, "tsr_view_%s(", type);
            put_row(w, &s, at, g);
            str_put(&s, ", ");
            put_other(w, &s, in, v[TILE_BLK_VALUE], dtype_in_memory(w, in));
            str_putc(&s, ')');
        } else str_printf(&s, "v%d + v%d", v[TILE_BLK_BUF], v[TILE_BLK_BASE]);
        str_putc(&s, ';');
        put_text(w, &s);
    }
}

static bool goes_by_rows(const struct writer *w, int32_t at) {
    const struct tile_inst *in = inst_at(w, at);
    return is_member(w, at) && w->k->rows.v[at] && !(in->n_result && w->k->value.v[in->result].memory);
}

void write_group(struct writer *w, int32_t group) {
    const struct emit_group *g = &w->k->group.v[group];
    bool rows = false;
    w->group = group, w->nest = true;
    declare_windows(w, g);
    if (!asks_in_turns(g)) write_ahead(w, group, 0, 1);
    for (int32_t at = g->first; at <= g->last; at++) rows |= goes_by_rows(w, at);
    if (rows) put_line(w, "{"), w->indent++;
    for (int32_t at = g->first; rows && at <= g->last; at++)
        if (goes_by_rows(w, at)) declare_rows(w, at);
    for (int32_t at = g->first; rows && at <= g->last; at++)
        if (goes_by_rows(w, at) && inst_at(w, at)->op == TILE_LOAD) write_rows(w, at, g);
    if (has_work(w, g)) write_nest(w, g);
    for (int32_t at = g->first; rows && at <= g->last; at++)
        if (goes_by_rows(w, at) && inst_at(w, at)->op == TILE_STORE) write_rows(w, at, g);
    if (rows) w->indent--, put_line(w, "}");
    w->group = -1, w->nest = false;
}
