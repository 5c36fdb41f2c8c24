/* c.c: a whole kernel in C, and the text in front of it. */
#include <string.h>

#include "emit/library.h"
#include "emit/text.h"
#include "tile/vmath_text.h"

extern const char tsr_text_prelude_c[], tsr_text_blocks[], tsr_text_helpers_c[];

bool emit_c_library(struct str *out, tsr_ctx *c, const char *used) {
    static const char *const part[] = {tsr_text_prelude_c,
#define X(part) tsr_text_vmath_##part,
        VMATH_PARTS(X)
#undef X
        tsr_text_blocks, tsr_text_helpers_c};
    return emit_library_put(out, c, sizeof part / sizeof *part, part, used);
}

/* ---- arguments and memory ---- */

static void write_arguments(struct writer *w) {
    for (size_t i = 0; i < w->p->arg.n; i++) {
        tsr_tv v = w->p->arg.v[i].value;
        const struct tile_type *t = tile_type_of(w->p, v);
        const struct tile_inst *in = &w->p->inst.v[w->p->value.v[v].inst];
        const char *type = emit_type(t->dtype);
        const char *c = in->sub == TSR_TILE_IN ? "const " : "";
        if (!t->buf) put_line(w, "const %s v%d = *(const %s *)&arg[%zu];", type, v, type, i);
        else if (tsr_dtype_of(t->dtype)->kind == TSR_KIND_BLOCK || t->dtype == TSR_I4 || t->dtype == TSR_U4)
            put_line(w, "%svm_u8 *const v%d = (%svm_u8 *)arg[%zu].buf.p;", c, v, c, i);
        else put_line(w, "%s%s *const v%d = (%s%s *)arg[%zu].buf.p;", c, type, v, c, type, i);
    }
}

/* "s2": whether the rows of buffer argument 2 go past the caches. */
static void write_streams(struct writer *w) {
    bool any = false;
    for (size_t i = 0; i < w->p->arg.n; i++) {
        bool strip = false;
        for (size_t at = 0; at < w->p->inst.n; at++)
            strip |= w->k->strip.v[at] &&
                     tile_operands(w->p, &w->p->inst.v[at])[TILE_BLK_BUF] == w->p->arg.v[i].value;
        if (strip) put_line(w, "const int s%d = TSR_STREAMED(arg[%zu].buf.bytes);", w->p->arg.v[i].value, i);
        any |= strip;
    }
    w->streams = any;
}

static void write_arrays(struct writer *w) {
    for (tsr_tv v = 0; v < (tsr_tv)w->k->value.n; v++) {
        const struct emit_value *e = &w->k->value.v[v];
        if (e->home != EMIT_ARRAY || e->same != TSR_TV_NONE) continue;
        if (e->matrix || (e->memory && !w->k->rows.v[w->p->value.v[v].inst])) continue;
        const char *type = emit_type(tile_type_of(w->p, v)->dtype);
        put_line(w, "%s *const a%d = (%s *)(scratch + %zu);", type, v, type, e->offset);
    }
    for (size_t at = 0; at < w->p->inst.n; at++) { /* sums that the loops of their rows begin */
        tsr_tv v = w->p->inst.v[at].result;
        if (w->k->fold.v[at] < 0) continue;
        const char *type = emit_type(tile_type_of(w->p, v)->dtype);
        put_line(w, "%s *const r%d = (%s *)(scratch + %zu);", type, v, type, w->k->temp.v[at]);
    }
}

/* ---- tiles on their way to carried places ---- */

static void write_copy(struct writer *w, const char *to, const char *from, const struct tile_type *t) {
    put_line(w, "TSR_FREE");
    put_line(w, "for (vm_i64 j = 0; j < %lld; j++) %s[j] = %s[j];", (long long)tile_count(t), to, from);
}

/* Those that others still read from their places go by way of scratch. */
static void move_tiles(struct writer *w, int n, const struct emit_move *m, int32_t at) {
    size_t own = w->k->temp.v[at];
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++) {
            const struct tile_type *t = tile_type_of(w->p, m[i].to);
            const char *type = emit_type(t->dtype);
            char to[24], from[24], by[24];
            bool wait = false; /* the source is a place that another move overwrites */
            for (int j = 0; j < n; j++) wait |= j != i && emit_place(w->k, m[j].to) == emit_place(w->k, m[i].from);
            array_name(w, m[i].to, to), array_name(w, m[i].from, from);
            if (!wait && pass == 1) write_copy(w, to, from, t);
            if (!wait) continue;
            snprintf(by, sizeof by, "m%d", m[i].to);
            if (pass == 0) {
                put_line(w, "%s *const %s = (%s *)(scratch + %zu);", type, by, type, own);
                own += ((size_t)tile_count(t) * emit_size(t->dtype) + 63) & ~(size_t)63;
            }
            write_copy(w, pass ? to : by, pass ? by : from, t);
        }
}

/* ---- the walk ---- */

void put_origins(struct writer *w, int32_t group, int32_t at) {
    struct str s;
    str_init(&s, w->k->c);
    emit_origins(&s, w->k, group, at);
    if (s.n) {
        for (int i = 0; i < w->indent; i++) str_put(w->out, "    ");
        str_printf(w->out, "/* %s */\n", s.s);
    }
    w->out->failed |= s.failed;
    str_release(&s);
}

static void write_inst(struct writer *w, int32_t at) {
    const struct tile_inst *in = &w->p->inst.v[at];
    int32_t g = w->k->member.v[at];
    if (!w->k->need.v[at]) return;
    if (g >= 0) {
        if (w->k->group.v[g].last != at) return;
        put_origins(w, g, at);
        write_group(w, g);
        return;
    }
    switch (in->op) {
    case TILE_BUF: case TILE_ARG: return;
    case TILE_PID: put_line(w, "const vm_i64 v%d = pid%d;", in->result, in->sub); return;
    case TILE_REDUCE: case TILE_ARGREDUCE: case TILE_SCAN:
        if (tile_count(tile_type_of(w->p, tile_operands(w->p, in)[0])) == 1) {
            tsr_tv from = tile_operands(w->p, in)[in->op == TILE_ARGREDUCE];
            put_line(w, "const %s v%d = v%d;", emit_type(tile_type_of(w->p, in->result)->dtype), in->result,
                emit_root(w->k, from));
            return;
        }
        put_origins(w, -1, at);
        if (in->op == TILE_REDUCE) write_reduce(w, in, at);
        else if (in->op == TILE_ARGREDUCE) write_argreduce(w, in);
        else write_scan(w, in);
        return;
    case TILE_DOT:
        put_origins(w, -1, at);
        if (w->k->value.v[in->result].home == EMIT_SCALAR)
            put_line(w, "%s v%d;", emit_type(tile_type_of(w->p, in->result)->dtype), in->result);
        write_dot(w, in, at);
        return;
    default:
        if (write_control(w, at)) return;
        if (in->n_result && w->k->value.v[in->result].home != EMIT_SCALAR) return; /* splat, index, reshape */
        write_scalar(w, in);
    }
}

void emit_c_kernel(struct str *out, const struct emit_plan *k, const char *symbol) {
    struct writer w = {.out = out, .k = k, .p = k->p, .group = -1, .move_tiles = move_tiles};
    write_reduce_functions(&w);
    str_put(out, "/* ");
    emit_name(out, k->p->name);
    str_printf(out, " */\nvoid %s(const union tsr_arg *arg, const vm_i64 *grid, vm_i64 begin, vm_i64 end,\n"
        "    char *scratch) {\n", symbol);
    w.indent = 1;
    write_arguments(&w);
    write_streams(&w);
    write_arrays(&w);
    put_line(&w, "(void)scratch;");
    put_line(&w, "for (vm_i64 instance = begin; instance < end; instance++) {");
    w.indent = 2;
    put_line(&w, "const vm_i64 pid0 = instance %% grid[0], pid1 = instance / grid[0] %% grid[1];");
    put_line(&w, "const vm_i64 pid2 = instance / grid[0] / grid[1];");
    put_line(&w, "(void)pid0, (void)pid1, (void)pid2;");
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++) write_inst(&w, at);
    str_put(out, "    }\n");
    if (w.streams) str_put(out, "    TSR_STREAM_END\n");
    str_put(out, "}\n");
}
