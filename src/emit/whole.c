/* whole.c: instructions that take a tile as a whole: reductions, scans, products. Orders are those of docs/tile.md. */
#include <string.h>

#include "emit/text.h"

enum { SPELT_OUT = 16 }; /* a reduction of so few elements is one expression */

struct around {
    long long outer, n, inner;
};

static struct around around(const struct tile_type *t, int axis) {
    struct around x = {1, t->extent[axis], 1};
    for (int i = 0; i < axis; i++) x.outer *= t->extent[i];
    for (int i = axis + 1; i < t->rank; i++) x.inner *= t->extent[i];
    return x;
}

static long long half_of(long long n) {
    long long h = 1;
    while (h * 2 < n) h *= 2;
    return h;
}

static void put_combine(struct writer *w, const char *to, tsr_reduce op, tsr_dtype t, const char *a, const char *b) {
    const char *x[2] = {a, b};
    for (int i = 0; i < w->indent; i++) str_put(w->out, "    ");
    str_printf(w->out, "%s = ", to);
    put_call(w->out, tile_reduce_fn[op], t, 2, x);
    str_put(w->out, ";\n");
}

/* "add_f32": how the library names a reduction. */
static void reduce_name(char room[24], tsr_reduce op, tsr_dtype t) {
    snprintf(room, 24, "%s_%s", tile_scalar[tile_reduce_fn[op]].name, emit_suffix(t));
}

/* A row along the last axis whose reduction is a function of the library that returns it: the greatest or least f32,
 * which any order gives, and sums and products of floats. */
static bool is_row(const struct tile_inst *in, tsr_dtype t, const struct around *a) {
    bool extreme = in->sub == TSR_REDUCE_MAX || in->sub == TSR_REDUCE_MIN;
    bool total = in->sub == TSR_REDUCE_SUM || in->sub == TSR_REDUCE_PROD;
    return a->inner == 1 && a->n > SPELT_OUT && ((t == TSR_F32 && (extreme || total)) || (t == TSR_F64 && total));
}

/* In front of a kernel: the reductions it calls, each once in a unit. */
void write_reduce_functions(struct writer *w) {
    static const char *const operand[2] = {"a", "b"};
    for (size_t i = 0; i < w->p->inst.n; i++) {
        const struct tile_inst *in = &w->p->inst.v[i];
        if (in->op != TILE_REDUCE || !w->k->need.v[i]) continue;
        const struct tile_type *t = tile_type_of(w->p, tile_operands(w->p, in)[0]);
        char name[24];
        struct around a = around(t, in->axis);
        if (a.n <= SPELT_OUT || is_row(in, t->dtype, &a)) continue;
        reduce_name(name, (tsr_reduce)in->sub, t->dtype);
        const char *type = emit_type(t->dtype);
        put_line(w, "#ifndef TSR_REDUCES_%s", name);
        put_line(w, "#define TSR_REDUCES_%s", name);
        str_printf(w->out, "TSR_FN %s tsr_op_%s(%s a, %s b) { return ", type, name, type, type);
        put_call(w->out, tile_reduce_fn[in->sub], t->dtype, 2, operand);
        str_printf(w->out, "; }\nTSR_REDUCE(%s, %s)\n#endif\n", name, type);
    }
}

/* A few elements as one expression: the halving of docs/tile.md on text. */
static void put_tree(struct str *s, struct writer *w, const struct around *a, tsr_reduce op, tsr_dtype t) {
    struct str term[SPELT_OUT];
    long long live = a->n;
    for (int i = 0; i < a->n; i++) {
        str_init(&term[i], w->k->c);
        str_printf(&term[i], "x[o * %lld + j + %lld]", a->n * a->inner, i * a->inner);
    }
    for (long long h = a->n > 1 ? half_of(a->n) : 0; h >= 1; h /= 2) {
        for (long long j = 0; j < h && j + h < live; j++) {
            struct str both;
            const char *x[2] = {term[j].s, term[j + h].s};
            str_init(&both, w->k->c);
            both.failed = term[j].failed || term[j + h].failed;
            if (!both.failed) put_call(&both, tile_reduce_fn[op], t, 2, x);
            str_release(&term[j]);
            term[j] = both;
        }
        live = live < h ? live : h;
    }
    if (!term[0].failed) str_put(s, term[0].s);
    for (int i = 0; i < a->n; i++) s->failed |= term[i].failed, str_release(&term[i]);
}

/* The first steps of docs/tile.md on four elements of a row that are a quarter of it apart: t7_0 .. t7_3. */
void put_fold(struct str *s, struct writer *w, const struct tile_inst *in, int number) {
    tsr_dtype t = tile_type_of(w->p, in->result)->dtype;
    struct str pair[2];
    for (int i = 0; i < 2; i++) {
        char room[2][24];
        const char *x[2] = {room[0], room[1]};
        snprintf(room[0], 24, "t%d_%d", number, i), snprintf(room[1], 24, "t%d_%d", number, i + 2);
        str_init(&pair[i], w->k->c);
        put_call(&pair[i], tile_reduce_fn[in->sub], t, 2, x);
        s->failed |= pair[i].failed;
    }
    const char *x[2] = {pair[0].s, pair[1].s};
    put_call(s, tile_reduce_fn[in->sub], t, 2, x);
    str_release(&pair[0]), str_release(&pair[1]);
}

static void write_short_reduce(struct writer *w, const struct tile_inst *in, const struct around *a, const char *from,
    const char *to, bool one) {
    tsr_dtype t = tile_type_of(w->p, in->result)->dtype;
    struct str s;
    str_init(&s, w->k->c);
    if (one) str_printf(&s, "%s = ", to);
    else str_printf(&s, "%s[o * %lld + j] = ", to, a->inner);
    put_tree(&s, w, a, (tsr_reduce)in->sub, t);
    put_line(w, "{");
    w->indent++;
    put_line(w, "const %s *const x = %s;", emit_type(t), from);
    put_line(w, a->inner > 1 ? "for (vm_i64 o = 0; o < %lld; o++)" : "TSR_FREE", a->outer);
    if (a->inner > 1) put_line(w, "TSR_FREE");
    if (a->inner > 1) put_line(w, "for (vm_i64 j = 0; j < %lld; j++)", a->inner);
    else put_line(w, "for (vm_i64 o = 0, j = 0; o < %lld; o++)", a->outer);
    for (int i = 0; i <= w->indent; i++) str_put(w->out, "    ");
    str_put(w->out, s.s), str_put(w->out, ";\n");
    w->indent--;
    put_line(w, "}");
    w->out->failed |= s.failed;
    str_release(&s);
}

/* "a7 + o * 64": row o of a reduction's operand. */
static void put_source(struct writer *w, struct str *s, const struct tile_inst *in, const struct around *a) {
    tsr_tv x = tile_operands(w->p, in)[0], r = emit_place(w->k, x);
    if (!w->k->value.v[r].memory) {
        str_printf(s, "a%d", r);
        if (a->outer > 1) str_printf(s, " + o * %lld", a->n * a->inner);
        return;
    }
    const struct tile_inst *load = &w->p->inst.v[w->p->value.v[r].inst];
    str_printf(s, "w%d", r);
    int i = 0;
    while (load->extent[i] == 1) i++;
    if (a->outer > 1) str_printf(s, " + o * v%d", tile_operands(w->p, load)[TILE_BLK_AXES + i]);
}

/* "v17 = tsr_total_add_f32(1024, w13, r);", for each row of the operand. */
static void write_row_reduce(struct writer *w, const struct tile_inst *in, int32_t at, const struct around *a,
    const char *from, const char *to) {
    const char *type = emit_type(tile_type_of(w->p, in->result)->dtype);
    bool extreme = in->sub == TSR_REDUCE_MAX || in->sub == TSR_REDUCE_MIN, folded = w->k->fold.v[at] >= 0;
    long long part = a->n / EMIT_FOLD;
    char name[24];
    reduce_name(name, (tsr_reduce)in->sub, tile_type_of(w->p, in->result)->dtype);
    if (!extreme && !folded) put_line(w, "%s *const r%d = (%s *)(scratch + %zu);", type, in->result, type,
        w->k->temp.v[at]);
    if (a->outer > 1) put_line(w, "for (vm_i64 o = 0; o < %lld; o++)", a->outer);
    w->indent += a->outer > 1;
    if (extreme)
        put_line(w, "%s = tsr_%s_f32(%lld, %s);", to, in->sub == TSR_REDUCE_MAX ? "greatest" : "smallest", a->n, from);
    else if (!folded) put_line(w, "%s = tsr_total_%s(%lld, %s, r%d);", to, name, a->n, from, in->result);
    else if (a->outer > 1)
        put_line(w, "%s = tsr_total_%s(%lld, r%d + o * %lld, r%d + o * %lld);", to, name, part, in->result, part,
            in->result, part);
    else put_line(w, "%s = tsr_total_%s(%lld, r%d, r%d);", to, name, part, in->result, in->result);
    w->indent -= a->outer > 1;
}

/* Of other dtypes and along other axes: halves in scratch, as runs that are combined lane by lane. */
static void write_runs_reduce(struct writer *w, const struct tile_inst *in, int32_t at, const struct around *a,
    const char *from, const char *to, bool one) {
    const char *type = emit_type(tile_type_of(w->p, in->result)->dtype);
    char name[24];
    reduce_name(name, (tsr_reduce)in->sub, tile_type_of(w->p, in->result)->dtype);
    put_line(w, "for (vm_i64 o = 0; o < %lld; o++) {", a->outer);
    w->indent++;
    put_line(w, "%s *const r = (%s *)(scratch + %zu);", type, type, w->k->temp.v[at]);
    put_line(w, "tsr_reduce_%s(%lld, %lld, %s, r);", name, a->n, a->inner, from);
    if (one) put_line(w, "%s = r[0];", to);
    else put_line(w, "for (vm_i64 j = 0; j < %lld; j++) %s[o * %lld + j] = r[j];", a->inner, to, a->inner);
    w->indent--;
    put_line(w, "}");
}

void write_reduce(struct writer *w, const struct tile_inst *in, int32_t at) {
    tsr_tv x = tile_operands(w->p, in)[0];
    const struct tile_type *t = tile_type_of(w->p, x);
    struct around a = around(t, in->axis);
    bool one = w->k->value.v[in->result].home == EMIT_SCALAR;
    char to[24], element[32], array[24];
    struct str from;
    str_init(&from, w->k->c);
    put_source(w, &from, in, &a);
    if (one) snprintf(to, sizeof to, "v%d", in->result), put_line(w, "%s %s;", emit_type(t->dtype), to);
    else array_name(w, in->result, to);
    snprintf(element, sizeof element, one ? "%s" : "%s[o]", to);
    if (!from.failed && a.n <= SPELT_OUT) /* host.c leaves none of these in memory */
        write_short_reduce(w, in, &a, array_name(w, x, array), to, one);
    else if (!from.failed && is_row(in, t->dtype, &a)) write_row_reduce(w, in, at, &a, from.s, element);
    else if (!from.failed) write_runs_reduce(w, in, at, &a, from.s, to, one);
    w->out->failed |= from.failed;
    str_release(&from);
}

void write_argreduce(struct writer *w, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(w->p, in);
    const struct tile_type *t = tile_type_of(w->p, v[0]), *r = tile_type_of(w->p, in->result);
    struct around a = around(t, in->axis);
    bool one = w->k->value.v[in->result].home == EMIT_SCALAR;
    char from[24], index[24], to[24];
    array_name(w, v[0], from), array_name(w, v[1], index);
    if (one) snprintf(to, sizeof to, "v%d", in->result), put_line(w, "%s %s;", emit_type(r->dtype), to);
    else array_name(w, in->result, to);
    put_line(w, "for (vm_i64 o = 0; o < %lld; o++)", a.outer);
    put_line(w, "    for (vm_i64 j = 0; j < %lld; j++) {", a.inner);
    w->indent += 2;
    bool small = tsr_dtype_of(t->dtype)->kind == TSR_KIND_FLOAT && t->dtype != TSR_F32 && t->dtype != TSR_F64;
    char widen[32] = "";
    if (small) snprintf(widen, sizeof widen, "vm_%s_to_f32", emit_suffix(t->dtype));
    const char *type = small ? "vm_f32" : emit_type(t->dtype);
    put_line(w, "const vm_i64 first = o * %lld + j;", a.n * a.inner);
    put_line(w, "%s best = %s(%s[first]);", type, widen, from);
    put_line(w, "%s at = %s[first];", emit_type(r->dtype), index);
    put_line(w, "for (vm_i64 n = 1; n < %lld; n++) {", a.n);
    put_line(w, "    const %s x = %s(%s[first + n * %lld]);", type, widen, from, a.inner);
    put_line(w, "    const %s i = %s[first + n * %lld];", emit_type(r->dtype), index, a.inner);
    put_line(w, "    if (TSR_BEATS(x, i, best, at, %s)) best = x, at = i;", in->sub == TSR_REDUCE_MIN ? "<" : ">");
    put_line(w, "}");
    if (one) put_line(w, "%s = at;", to);
    else put_line(w, "%s[o * %lld + j] = at;", to, a.inner);
    w->indent -= 2;
    put_line(w, "    }");
}

void write_scan(struct writer *w, const struct tile_inst *in) {
    tsr_tv x = tile_operands(w->p, in)[0];
    const struct tile_type *t = tile_type_of(w->p, x);
    struct around a = around(t, in->axis);
    char from[24], to[24], cell[80], before[80], fresh[80];
    array_name(w, x, from), array_name(w, in->result, to);
    long long first = in->reverse ? a.n - 1 : 0, step = in->reverse ? -1 : 1;
    put_line(w, "for (vm_i64 o = 0; o < %lld; o++) {", a.outer);
    w->indent++;
    put_line(w, "const %s *const x = %s + o * %lld;", emit_type(t->dtype), from, a.n * a.inner);
    put_line(w, "%s *const r = %s + o * %lld;", emit_type(t->dtype), to, a.n * a.inner);
    put_line(w, "for (vm_i64 j = 0; j < %lld; j++) r[%lld + j] = x[%lld + j];", a.inner, first * a.inner,
        first * a.inner);
    put_line(w, "for (vm_i64 n = 1, at = %lld; n < %lld; n++, at += %lld) {", first + step, a.n, step);
    w->indent++;
    put_line(w, "TSR_FREE");
    put_line(w, "for (vm_i64 j = 0; j < %lld; j++)", a.inner);
    snprintf(cell, sizeof cell, "r[at * %lld + j]", a.inner);
    snprintf(before, sizeof before, "r[(at - %lld) * %lld + j]", step, a.inner);
    snprintf(fresh, sizeof fresh, "x[at * %lld + j]", a.inner);
    w->indent++, put_combine(w, cell, (tsr_reduce)in->sub, t->dtype, before, fresh), w->indent--;
    w->indent--;
    put_line(w, "}");
    w->indent--;
    put_line(w, "}");
}

void write_dot(struct writer *w, const struct tile_inst *in, int32_t at) {
    const tsr_tv *v = tile_operands(w->p, in);
    const struct tile_type *a = tile_type_of(w->p, v[0]), *b = tile_type_of(w->p, v[1]), *r = tile_type_of(w->p, v[2]);
    const char *type = emit_type(r->dtype);
    size_t own = w->k->temp.v[at];
    char name[4][24];
    const tsr_tv value[4] = {v[0], v[1], v[2], in->result};
    bool plain = tsr_dtype_of(r->dtype)->kind == TSR_KIND_COMPLEX; /* takes dense operands */
    put_line(w, "{");
    w->indent++;
    for (int i = 0; i < 4; i++) { /* operands of one element are variables: their addresses will do */
        const struct tile_type *t = tile_type_of(w->p, value[i]);
        if (w->k->value.v[value[i]].matrix) snprintf(name[i], sizeof name[i], "d%d", value[i]);
        else if (tile_count(t) == 1) snprintf(name[i], sizeof name[i], "&v%d", emit_root(w->k, value[i]));
        else array_name(w, value[i], name[i]);
        if (i < 2 && t->dtype != r->dtype) {
            put_line(w, "%s *const x%d = (%s *)(scratch + %zu);", type, i, type, own);
            put_line(w, "TSR_FREE");
            put_line(w, "for (vm_i64 j = 0; j < %lld; j++) x%d[j] = vm_cast_%s_%s((%s)[j]);", (long long)tile_count(t),
                i, emit_suffix(t->dtype), emit_suffix(r->dtype), name[i]);
            snprintf(name[i], sizeof name[i], "x%d", i);
            own += ((size_t)tile_count(t) * emit_size(r->dtype) + 63) & ~(size_t)63;
        }
        if (i > 1 || plain || w->k->value.v[value[i]].matrix) continue;
        put_line(w, "const struct tsr_matrix %s = {%s, 0, %d, 1, 0, %d, 0, %d};", i ? "right" : "left", name[i],
            t->extent[1], t->extent[0], t->extent[1]);
        snprintf(name[i], sizeof name[i], i ? "right" : "left");
    }
    const char *by = plain ? "" : "&";
    struct str room;
    str_init(&room, w->k->c);
    if (!plain) str_printf(&room, ", (%s *)(scratch + %zu)", type, own);
    put_line(w, "tsr_dot_%s(%d, %d, %d, %s%s, %s%s, %s, %s%s);", emit_suffix(r->dtype), a->extent[0], b->extent[1],
        a->extent[1], by, name[0], by, name[1], name[2], name[3], room.s ? room.s : "");
    w->out->failed |= room.failed;
    str_release(&room);
    w->indent--;
    put_line(w, "}");
}
