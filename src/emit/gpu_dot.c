/* gpu_dot.c: products of tiles. For each element a chain in order of k, then one addition to the accumulator. */
#include "emit/gpu_text.h"

/* Operand side's element of the product's dtype, at index text `at`. */
static void put_factor(struct gpu *g, struct str *s, tsr_tv v, tsr_dtype acc, const char *at) {
    tsr_dtype t = tile_type_of(g->w.p, v)->dtype;
    char name[24];
    if (t != acc) str_printf(s, "vm_cast_%s_%s(", emit_suffix(t), emit_suffix(acc));
    if (tile_count(tile_type_of(g->w.p, v)) == 1) str_printf(s, "v%d", emit_root(g->w.k, v));
    else str_printf(s, "%s[%s]", array_name(&g->w, v, name), at);
    if (t != acc) str_putc(s, ')');
}

/* sum = a * b + sum, as docs/tile.md has it for the dtype. */
static void put_step(struct str *s, tsr_dtype t, const char *a, const char *b) {
    const char *suffix = emit_suffix(t);
    if (tsr_dtype_of(t)->kind == TSR_KIND_FLOAT) str_printf(s, "sum = vm_fma_%s(%s, %s, sum);", suffix, a, b);
    else str_printf(s, "sum = vm_add_%s(sum, vm_mul_%s(%s, %s));", suffix, suffix, a, b);
}

static void put_zero(struct str *s, tsr_dtype t) {
    if (t == TSR_C64) str_put(s, "vm_complex_f32(0.0f, 0.0f)");
    else if (t == TSR_C128) str_put(s, "vm_complex_f64(0.0, 0.0)");
    else str_putc(s, '0');
}

static void write_chain(struct gpu *g, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(g->w.p, in);
    const struct tile_type *a = tile_type_of(g->w.p, v[0]), *b = tile_type_of(g->w.p, v[1]);
    tsr_dtype t = tile_type_of(g->w.p, in->result)->dtype;
    struct str s, x, y;
    char at[64];
    str_init(&s, g->w.k->c), str_init(&x, g->w.k->c), str_init(&y, g->w.k->c);
    snprintf(at, sizeof at, "e / %d * %d + k", b->extent[1], a->extent[1]);
    put_factor(g, &x, v[0], t, at);
    snprintf(at, sizeof at, "k * %d + e %% %d", b->extent[1], b->extent[1]);
    put_factor(g, &y, v[1], t, at);
    str_printf(&s, "%s sum = ", emit_type(t));
    put_zero(&s, t);
    put_line(&g->w, "%s;", s.s);
    str_clear(&s);
    put_step(&s, t, x.s, y.s);
    put_line(&g->w, "for (vm_i32 k = 0; k < %d; k++)", a->extent[1]);
    put_line(&g->w, "    %s", s.s);
    g->w.out->failed |= s.failed || x.failed || y.failed;
    str_release(&s), str_release(&x), str_release(&y);
}

void gpu_dot(struct gpu *g, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(g->w.p, in);
    int64_t n = tile_count(tile_type_of(g->w.p, in->result));
    bool one = g->w.k->value.v[in->result].home == EMIT_SCALAR;
    const char *type = emit_type(tile_type_of(g->w.p, in->result)->dtype),
        *suffix = emit_suffix(tile_type_of(g->w.p, in->result)->dtype);
    char acc[24], to[24];
    struct gpu_access touched[4] = {gpu_reads(g, v[0], 0), gpu_reads(g, v[1], 0), gpu_reads(g, v[2], n),
        gpu_writes(g, in->result, n)};
    gpu_comment(g, in);
    gpu_touch(g, 4, touched);
    if (one) {
        put_line(&g->w, "%s v%d;", type, in->result);
        put_line(&g->w, "{");
        g->w.indent++;
        put_line(&g->w, "const vm_i32 e = 0;");
    } else gpu_each(g, n);
    write_chain(g, in);
    if (one) put_line(&g->w, "v%d = vm_add_%s(v%d, sum);", in->result, suffix, emit_root(g->w.k, v[2]));
    else {
        array_name(&g->w, v[2], acc), array_name(&g->w, in->result, to);
        put_line(&g->w, "%s[e] = vm_add_%s(%s[e], sum);", to, suffix, acc);
    }
    gpu_close(g);
}
