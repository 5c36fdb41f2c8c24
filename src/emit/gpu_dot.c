/* gpu_dot.c: products of tiles. For each element a chain in order of k, then one addition to the accumulator.
 *
 * A product that has the program's tile (gpu_stage.c) keeps the sums of a thread's outputs in registers. Slabs of a few
 * k of both operands, converted to the accumulator's dtype, lie in local memory, twice: while a slab is worked on, the
 * threads read the next one's elements into registers, and put them down in the other half when they are done. In a
 * slab a line is an output's row or column; lines of one k are neighbours. Matrix units have a form of their own
 * (gpu_mma.c). Any other product takes a thread for each
 * output and reads its operands from their arrays. */
#include "emit/gpu_text.h"

enum { SLAB_BYTES = 64 }; /* of k, of one line */

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
static void put_step(struct str *s, tsr_dtype t, const char *sum, const char *a, const char *b) {
    const char *suffix = emit_suffix(t);
    if (tsr_dtype_of(t)->kind == TSR_KIND_FLOAT) str_printf(s, "%s = vm_fma_%s(%s, %s, %s);", sum, suffix, a, b, sum);
    else str_printf(s, "%s = vm_add_%s(%s, vm_mul_%s(%s, %s));", sum, suffix, sum, suffix, a, b);
}

static const char *zero_of(tsr_dtype t) {
    return t == TSR_C64 ? "vm_complex_f32(0.0f, 0.0f)" : t == TSR_C128 ? "vm_complex_f64(0.0, 0.0)" : "0";
}

/* ---- a thread an output ---- */

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
    put_step(&s, t, "sum", x.s, y.s);
    put_line(&g->w, "%s sum = %s;", emit_type(t), zero_of(t));
    put_line(&g->w, "for (vm_i32 k = 0; k < %d; k++)", a->extent[1]);
    put_line(&g->w, "    %s", s.s);
    g->w.out->failed |= s.failed || x.failed || y.failed;
    str_release(&s), str_release(&x), str_release(&y);
}

static void write_chains(struct gpu *g, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(g->w.p, in);
    int64_t n = tile_count(tile_type_of(g->w.p, in->result));
    bool one = g->w.k->value.v[in->result].home == EMIT_SCALAR;
    const char *type = emit_type(tile_type_of(g->w.p, in->result)->dtype),
        *suffix = emit_suffix(tile_type_of(g->w.p, in->result)->dtype);
    char acc[24], to[24];
    struct gpu_access touched[4] = {gpu_reads(g, v[0], 0), gpu_reads(g, v[1], 0), gpu_reads(g, v[2], n),
        gpu_writes(g, in->result, n)};
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

/* ---- slabs ---- */

static int depth_of(tsr_dtype t, int k) {
    int d = 1, most = SLAB_BYTES / (int)emit_size(t);
    while (d < k && d < most) d *= 2;
    return d;
}

static struct gpu_product product_of(const struct gpu *g, const struct tile_inst *in, int32_t at) {
    struct gpu_product p = {.in = in, .at = at, .t = tile_type_of(g->w.p, in->result)->dtype};
    for (int i = 0; i < 2; i++) p.side[i] = gpu_side_of(g, in, i);
    p.depth = depth_of(p.t, p.side[0].k);
    const int padded[2] = {g->tile.rows * g->tile.down, g->tile.columns * g->tile.across};
    for (int i = 0; i < 2; i++) {
        p.pitch[i] = padded[i] + 1;
        p.each[i] = (p.side[i].lines * p.depth + g->threads - 1) / g->threads;
    }
    return p;
}

size_t gpu_dot_bytes(const struct gpu *g, const struct tile_inst *in) {
    if (!gpu_is_tiled(g, in)) return 0;
    if (g->tile.mma) return gpu_mma_bytes(g);
    struct gpu_product p = product_of(g, in, 0);
    return (size_t)(2 * p.depth * (p.pitch[0] + p.pitch[1])) * emit_size(p.t);
}

/* n0[s], n1[s]: this thread's elements of the slab that begins at k0. */
static void read_slab(struct gpu *g, const struct gpu_product *p, int i, const char *k0) {
    const struct gpu_side *s = &p->side[i];
    tsr_dtype from = tile_type_of(g->w.p, s->value)->dtype;
    char cast[60] = "", value[40];
    gpu_open_unrolled(g, "s", p->each[i]);
    gpu_slab_place(g, p, i);
    if (s->k % p->depth) put_line(&g->w, "if (%s + k >= %d) continue;", k0, s->k);
    if (s->k_last) put_line(&g->w, "const vm_i32 e = line * %d + %s + k;", s->k, k0);
    else put_line(&g->w, "const vm_i32 e = (%s + k) * %d + line;", k0, s->lines);
    if (from != p->t) snprintf(cast, sizeof cast, "vm_cast_%s_%s", emit_suffix(from), emit_suffix(p->t));
    if (s->group >= 0) {
        gpu_members(g, s->group);
        snprintf(value, sizeof value, "v%d", s->value);
    } else if (tile_count(tile_type_of(g->w.p, s->value)) == 1)
        snprintf(value, sizeof value, "v%d", emit_root(g->w.k, s->value));
    else snprintf(value, sizeof value, "a%d[e]", emit_place(g->w.k, s->value));
    put_line(&g->w, "n%d[s] = %s(%s);", i, cast, value);
    gpu_close(g);
}

static void write_slab(struct gpu *g, const struct gpu_product *p, int i, const char *half) {
    gpu_open_unrolled(g, "s", p->each[i]);
    gpu_slab_place(g, p, i);
    put_line(&g->w, "x%d[(%s * %d + k) * %d + line] = n%d[s];", i, half, p->depth, p->pitch[i], i);
    gpu_close(g);
}

static void write_products(struct gpu *g, const struct gpu_product *p) {
    const char *type = emit_type(p->t);
    int k = p->side[0].k;
    struct str s;
    if (k % p->depth) put_line(&g->w, "for (vm_i32 k = 0; k < %d && k0 + k < %d; k++) {", p->depth, k), g->w.indent++;
    else gpu_open_unrolled(g, "k", p->depth);
    put_line(&g->w, "%s a[%d], b[%d];", type, g->tile.down, g->tile.across);
    put_line(&g->w, "%s", g->d->unroll);
    put_line(&g->w, "for (vm_i32 i = 0; i < %d; i++) a[i] = x0[(now * %d + k) * %d + i * %d + ty];", g->tile.down,
        p->depth, p->pitch[0], g->tile.rows);
    put_line(&g->w, "%s", g->d->unroll);
    put_line(&g->w, "for (vm_i32 j = 0; j < %d; j++) b[j] = x1[(now * %d + k) * %d + j * %d + tx];", g->tile.across,
        p->depth, p->pitch[1], g->tile.columns);
    gpu_open_unrolled(g, "i", g->tile.down);
    gpu_open_unrolled(g, "j", g->tile.across);
    char sum[40];
    str_init(&s, g->w.k->c);
    snprintf(sum, sizeof sum, "sum[i * %d + j]", g->tile.across);
    put_step(&s, p->t, sum, "a[i]", "b[j]");
    put_line(&g->w, "%s", s.s);
    g->w.out->failed |= s.failed;
    str_release(&s);
    gpu_close(g), gpu_close(g), gpu_close(g);
}

static void add_sums(struct gpu *g, const struct gpu_product *p) {
    int64_t n = tile_count(tile_type_of(g->w.p, p->in->result));
    tsr_tv acc = tile_operands(g->w.p, p->in)[2];
    char from[32], to[32];
    struct gpu_access touched[2] = {gpu_reads(g, acc, n), gpu_writes(g, p->in->result, n)};
    gpu_touch(g, 2, touched);
    gpu_each_own(g, n);
    put_line(&g->w, "%s = vm_add_%s(%s, sum[s]);", gpu_element(g, p->in->result, to), emit_suffix(p->t),
        gpu_element(g, acc, from));
    gpu_close(g);
}

static void write_tiled(struct gpu *g, const struct tile_inst *in, int32_t at) {
    struct gpu_product p = product_of(g, in, at);
    const char *type = emit_type(p.t), *space = gpu_space_name(g, g->temp.v[at].space);
    int slots = g->tile.down * g->tile.across;
    gpu_touch_operands(g, &p);
    put_line(&g->w, "{");
    g->w.indent++;
    put_line(&g->w, "%s%s *const x0 = m%d, *const x1 = m%d + %d;", space, type, at, at, 2 * p.depth * p.pitch[0]);
    put_line(&g->w, "%s n0[%d], n1[%d], sum[%d];", type, p.each[0], p.each[1], slots);
    put_line(&g->w, "%s", g->d->unroll);
    put_line(&g->w, "for (vm_i32 s = 0; s < %d; s++) sum[s] = %s;", slots, zero_of(p.t));
    gpu_write_slabs(g, &p, &(struct gpu_slabs){read_slab, write_slab, write_products});
    add_sums(g, &p);
    gpu_close(g);
}

void gpu_dot(struct gpu *g, const struct tile_inst *in, int32_t at) {
    gpu_comment(g, in);
    if (gpu_is_tiled(g, in) && g->tile.mma) gpu_mma(g, in, at);
    else if (gpu_is_tiled(g, in)) write_tiled(g, in, at);
    else write_chains(g, in);
}
