/* gpu_whole.c: reductions and scans of tiles, in the orders of docs/tile.md.
 *
 * A reduction whose numbers are powers of two happens in registers (gpu_row.c). Another is the halving of docs/tile.md,
 * one step a phase: the first from the tile into memory of its own, the others there. Searches and scans take a thread
 * for each line. */
#include "emit/gpu_text.h"

struct gpu_around gpu_around(const struct tile_type *t, int axis) {
    struct gpu_around x = {1, t->extent[axis], 1};
    for (int i = 0; i < axis; i++) x.outer *= t->extent[i];
    for (int i = axis + 1; i < t->rank; i++) x.inner *= t->extent[i];
    return x;
}

long long gpu_half(long long n) {
    long long h = 1;
    while (h * 2 < n) h *= 2;
    return h;
}

static void put_combine(struct gpu *g, const char *to, tsr_reduce op, tsr_dtype t, const char *a, const char *b) {
    const char *x[2] = {a, b};
    for (int i = 0; i < g->w.indent; i++) str_put(g->w.out, "    ");
    str_printf(g->w.out, "%s = ", to);
    put_call(g->w.out, tile_reduce_fn[op], t, 2, x);
    str_put(g->w.out, ";\n");
}

/* ---- reduce ---- */

static void first_half(struct gpu *g, const struct tile_inst *in, int32_t at, const struct gpu_around *a) {
    tsr_tv v = tile_operands(g->w.p, in)[0];
    tsr_dtype t = tile_type_of(g->w.p, v)->dtype;
    long long h = gpu_half(a->n), inside = h * a->inner, pairs = (a->n - h) * a->inner;
    char from[24], near[80], far[96];
    struct gpu_access touched[2] = {gpu_reads(g, v, 0), gpu_temp(g, at, true)};
    gpu_touch(g, 2, touched);
    array_name(&g->w, v, from);
    gpu_each(g, a->outer * inside);
    put_line(&g->w, "const vm_i32 j = e %% %lld, x = e / %lld * %lld + j;", inside, inside, a->n * a->inner);
    snprintf(near, sizeof near, "%s[x]", from);
    snprintf(far, sizeof far, "%s[x + %lld]", from, inside);
    if (pairs < inside) put_line(&g->w, "if (j >= %lld) m%d[e] = %s;", pairs, at, near);
    if (pairs < inside) put_line(&g->w, "else {"), g->w.indent++;
    char to[24];
    snprintf(to, sizeof to, "m%d[e]", at);
    put_combine(g, to, (tsr_reduce)in->sub, t, near, far);
    if (pairs < inside) gpu_close(g);
    gpu_close(g);
}

static void next_half(struct gpu *g, const struct tile_inst *in, int32_t at, const struct gpu_around *a,
    long long half) {
    tsr_dtype t = tile_type_of(g->w.p, in->result)->dtype;
    char near[40], far[60];
    struct gpu_access touched[2] = {gpu_temp(g, at, false), gpu_temp(g, at, true)};
    gpu_touch(g, 2, touched);
    gpu_each(g, a->outer * half * a->inner);
    put_line(&g->w, "const vm_i32 x = e / %lld * %lld + e %% %lld;", half * a->inner, gpu_half(a->n) * a->inner,
        half * a->inner);
    snprintf(near, sizeof near, "m%d[x]", at);
    snprintf(far, sizeof far, "m%d[x + %lld]", at, half * a->inner);
    put_combine(g, near, (tsr_reduce)in->sub, t, near, far);
    gpu_close(g);
}

static void reduce_result(struct gpu *g, const struct tile_inst *in, int32_t at, const struct gpu_around *a) {
    tsr_dtype t = tile_type_of(g->w.p, in->result)->dtype;
    bool one = g->w.k->value.v[in->result].home == EMIT_SCALAR;
    tsr_tv v = tile_operands(g->w.p, in)[0];
    long long step = a->n > 1 ? gpu_half(a->n) * a->inner : a->n * a->inner;
    char from[24], to[24];
    if (a->n > 1) snprintf(from, sizeof from, "m%d", at);
    else array_name(&g->w, v, from);
    struct gpu_access touched[2] = {a->n > 1 ? gpu_temp(g, at, false) : gpu_reads(g, v, 0),
        one ? (struct gpu_access){0} : gpu_writes(g, in->result, a->outer * a->inner)};
    gpu_touch(g, 2, touched);
    if (one) {
        put_line(&g->w, "const %s v%d = %s[0];", emit_type(t), in->result, from);
        return;
    }
    gpu_each(g, a->outer * a->inner);
    put_line(&g->w, "%s[e] = %s[e / %lld * %lld + e %% %lld];", array_name(&g->w, in->result, to), from, a->inner, step,
        a->inner);
    gpu_close(g);
}

void gpu_reduce(struct gpu *g, const struct tile_inst *in, int32_t at) {
    struct gpu_around a = gpu_around(tile_type_of(g->w.p, tile_operands(g->w.p, in)[0]), in->axis);
    gpu_comment(g, in);
    if (gpu_reduces_in_registers(g, in)) {
        gpu_reduce_in_registers(g, in, at);
        return;
    }
    if (a.n > 1) {
        first_half(g, in, at, &a);
        for (long long half = gpu_half(a.n) / 2; half >= 1; half /= 2) next_half(g, in, at, &a, half);
    }
    reduce_result(g, in, at, &a);
}

/* ---- argreduce ---- */

/* What a line's search keeps: its elements compare in f32 where they are smaller floats. */
static void search_line(struct gpu *g, const struct tile_inst *in, const struct gpu_around *a) {
    const tsr_tv *v = tile_operands(g->w.p, in);
    const struct tile_type *t = tile_type_of(g->w.p, v[0]);
    bool small = tsr_dtype_of(t->dtype)->kind == TSR_KIND_FLOAT && t->dtype != TSR_F32 && t->dtype != TSR_F64;
    char widen[32] = "", from[24], index[24];
    if (small) snprintf(widen, sizeof widen, "vm_%s_to_f32", emit_suffix(t->dtype));
    const char *type = small ? "vm_f32" : emit_type(t->dtype);
    const char *at = emit_type(tile_type_of(g->w.p, in->result)->dtype);
    array_name(&g->w, v[0], from), array_name(&g->w, v[1], index);
    put_line(&g->w, "%s best = %s(%s[first]);", type, widen, from);
    put_line(&g->w, "%s at = %s[first];", at, index);
    put_line(&g->w, "for (vm_i32 n = 1; n < %lld; n++) {", a->n);
    put_line(&g->w, "    const %s x = %s(%s[first + n * %lld]);", type, widen, from, a->inner);
    put_line(&g->w, "    const %s i = %s[first + n * %lld];", at, index, a->inner);
    put_line(&g->w, "    if (TSR_BEATS(x, i, best, at, %s)) best = x, at = i;", in->sub == TSR_REDUCE_MIN ? "<" : ">");
    put_line(&g->w, "}");
}

void gpu_argreduce(struct gpu *g, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(g->w.p, in);
    struct gpu_around a = gpu_around(tile_type_of(g->w.p, v[0]), in->axis);
    bool one = g->w.k->value.v[in->result].home == EMIT_SCALAR;
    char to[24];
    struct gpu_access touched[3] = {gpu_reads(g, v[0], 0), gpu_reads(g, v[1], 0),
        one ? (struct gpu_access){0} : gpu_writes(g, in->result, a.outer * a.inner)};
    gpu_comment(g, in);
    gpu_touch(g, 3, touched);
    if (one) {
        put_line(&g->w, "%s v%d;", emit_type(tile_type_of(g->w.p, in->result)->dtype), in->result);
        put_line(&g->w, "{");
        g->w.indent++;
        put_line(&g->w, "const vm_i32 first = 0;");
    } else {
        gpu_each(g, a.outer * a.inner);
        put_line(&g->w, "const vm_i32 first = e / %lld * %lld + e %% %lld;", a.inner, a.n * a.inner, a.inner);
    }
    search_line(g, in, &a);
    if (one) put_line(&g->w, "v%d = at;", in->result);
    else put_line(&g->w, "%s[e] = at;", array_name(&g->w, in->result, to));
    gpu_close(g);
}

/* ---- scan ---- */

void gpu_scan(struct gpu *g, const struct tile_inst *in) {
    tsr_tv v = tile_operands(g->w.p, in)[0];
    const struct tile_type *t = tile_type_of(g->w.p, v);
    struct gpu_around a = gpu_around(t, in->axis);
    long long step = in->reverse ? -a.inner : a.inner;
    char from[24], to[24], fresh[60];
    struct gpu_access touched[2] = {gpu_reads(g, v, 0), gpu_writes(g, in->result, 0)};
    gpu_comment(g, in);
    gpu_touch(g, 2, touched);
    array_name(&g->w, v, from), array_name(&g->w, in->result, to);
    gpu_each(g, a.outer * a.inner);
    put_line(&g->w, "vm_i32 at = e / %lld * %lld + e %% %lld + %lld;", a.inner, a.n * a.inner, a.inner,
        in->reverse ? (a.n - 1) * a.inner : 0);
    put_line(&g->w, "%s sum = %s[at];", emit_type(t->dtype), from);
    put_line(&g->w, "%s[at] = sum;", to);
    put_line(&g->w, "for (vm_i32 n = 1; n < %lld; n++) {", a.n);
    g->w.indent++;
    put_line(&g->w, "at += %lld;", step);
    snprintf(fresh, sizeof fresh, "%s[at]", from);
    put_combine(g, "sum", (tsr_reduce)in->sub, t->dtype, "sum", fresh);
    put_line(&g->w, "%s[at] = sum;", to);
    gpu_close(g);
    gpu_close(g);
}
