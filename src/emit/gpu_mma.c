/* gpu_mma.c: products on matrix units: mma.sync of PTX, compute capability 8.0 and later.
 *
 * A warp multiplies 16 rows by 8 columns over 8 words of k at a time, a word being 32 bits: 1 tf32, 2 f16 or bf16, 4
 * int8 or f8. In terms of words the fragments of all kinds are one (PTX ISA, "Matrix Fragments for mma"): with g =
 * lane / 4 and t = lane % 4, a lane holds words t and t + 4 of rows g and g + 8 of the left operand, words t and t + 4
 * of column g of the right one, and columns 2t and 2t + 1 of rows g and g + 8 of the result. Warps share the outputs as
 * a grid; slabs lie in local memory line by line, 16 words and 4 of padding to a line, so that the 32 lanes read from
 * 32 banks. Products are added to the accumulator itself, in the hardware's order: of integers the bits are those of
 * docs/tile.md, of floats they are not, and emit_gpu_target.tensor asks for that. */
#include "emit/gpu_text.h"

enum { ROWS = 16, COLUMNS = 8, WORDS = 8, SLAB_WORDS = 16, PAD = 4, WARP = 32 };

/* The function of the prelude that multiplies; NULL: these dtypes have none here. */
static const char *mma_of(const struct gpu *g, tsr_dtype in, tsr_dtype acc) {
    if (acc == TSR_I32) return in == TSR_I8 ? "tsr_mma_i8" : in == TSR_U8 ? "tsr_mma_u8" : NULL;
    if (acc != TSR_F32) return NULL;
    if (in == TSR_F16) return "tsr_mma_f16";
    if (in == TSR_BF16) return "tsr_mma_bf16";
    if (in == TSR_F32 && g->t->tf32) return "tsr_mma_tf32";
    if (g->t->arch >= 89 && in == TSR_F8E4M3) return "tsr_mma_f8e4m3";
    if (g->t->arch >= 89 && in == TSR_F8E5M2) return "tsr_mma_f8e5m2";
    return NULL;
}

static bool all_have_mma(const struct gpu *g) {
    const tsr_tile *p = g->w.p;
    for (size_t i = 0; i < p->inst.n; i++) {
        const struct tile_inst *in = &p->inst.v[i];
        if (!gpu_is_tiled(g, in)) continue;
        tsr_dtype a = tile_type_of(p, tile_operands(p, in)[0])->dtype, b = tile_type_of(p, tile_operands(p,
            in)[1])->dtype;
        if (a != b || !mma_of(g, a, tile_type_of(p, in->result)->dtype)) return false;
    }
    return true;
}

/* Turns the program's tile into one of warps, where its products and its size allow it. */
void gpu_choose_mma(struct gpu *g) {
    struct gpu_tile x = g->tile;
    int warps = g->threads / WARP, down = 1;
    if (!x.m || !g->t->tensor || g->t->lang != EMIT_CUDA || g->t->arch < 80 || g->threads % WARP) return;
    if (x.m % ROWS || x.n % COLUMNS || !all_have_mma(g)) return;
    while (down < warps && x.m % (ROWS * down * 2) == 0 &&
           (x.m / down > x.n / (warps / down) || x.n % (COLUMNS * (warps / down)))) down *= 2;
    int across = warps / down;
    if (x.m % (ROWS * down) || x.n % (COLUMNS * across)) return;
    x.mma = true;
    x.rows = down, x.columns = across;
    x.down = x.m / (ROWS * down), x.across = x.n / (COLUMNS * across) * 4;
    g->tile = x;
}

/* row, column of the output that a thread has in turn s. */
void gpu_mma_element(struct gpu *g) {
    const struct gpu_tile *t = &g->tile;
    put_line(&g->w, "const vm_i32 row = (s / %d * %d + wy) * 16 + s / 2 %% 2 * 8 + group;", t->across, t->rows);
    put_line(&g->w, "const vm_i32 column = (s / 4 %% %d * %d + wx) * 8 + lane * 2 + s %% 2;", t->across / 4,
        t->columns);
    put_line(&g->w, "const vm_i32 e = row * %d + column;", t->n);
}

/* ---- slabs ---- */

static int per_word(tsr_dtype t) { return 4 / (int)emit_size(t); }

size_t gpu_mma_bytes(const struct gpu *g) {
    return (size_t)(2 * (SLAB_WORDS + PAD) * 4) * (size_t)(g->tile.m + g->tile.n);
}

/* n0[s], n1[s]: this thread's elements of the slab that begins at k0; zero past the end of k. */
static void read_slab(struct gpu *g, const struct gpu_product *p, int i, const char *k0) {
    const struct gpu_side *s = &p->side[i];
    gpu_open_unrolled(g, "s", p->each[i]);
    gpu_slab_place(g, p, i);
    put_line(&g->w, "n%d[s] = 0;", i);
    if (s->k % p->depth) put_line(&g->w, "if (%s + k >= %d) continue;", k0, s->k);
    if (s->k_last) put_line(&g->w, "const vm_i32 e = line * %d + %s + k;", s->k, k0);
    else put_line(&g->w, "const vm_i32 e = (%s + k) * %d + line;", k0, s->lines);
    const char *round = p->t == TSR_F32 ? "tsr_round_tf32" : "";
    if (s->group >= 0) {
        gpu_members(g, s->group);
        put_line(&g->w, "n%d[s] = %s(v%d);", i, round, s->value);
    } else if (tile_count(tile_type_of(g->w.p, s->value)) == 1)
        put_line(&g->w, "n%d[s] = %s(v%d);", i, round, emit_root(g->w.k, s->value));
    else put_line(&g->w, "n%d[s] = %s(a%d[e]);", i, round, emit_place(g->w.k, s->value));
    gpu_close(g);
}

static void write_slab(struct gpu *g, const struct gpu_product *p, int i, const char *half) {
    gpu_open_unrolled(g, "s", p->each[i]);
    gpu_slab_place(g, p, i);
    put_line(&g->w, "x%d[(%s * %d + line) * %d + k] = n%d[s];", i, half, p->side[i].lines, p->pitch[0], i);
    gpu_close(g);
}

static void write_products(struct gpu *g, const struct gpu_product *p) {
    const struct gpu_tile *t = &g->tile;
    int words = SLAB_WORDS + PAD;
    gpu_open_unrolled(g, "k", SLAB_WORDS / WORDS);
    put_line(&g->w, "vm_u32 a[%d][4];", t->down);
    gpu_open_unrolled(g, "i", t->down);
    put_line(&g->w, "const vm_u32 *const w = (const vm_u32 *)x0 + (now * %d + (i * %d + wy) * 16 + group) * %d"
        " + k * 8 + lane;", t->m, t->rows, words);
    put_line(&g->w, "a[i][0] = w[0], a[i][1] = w[%d], a[i][2] = w[4], a[i][3] = w[%d];", 8 * words, 8 * words + 4);
    gpu_close(g);
    gpu_open_unrolled(g, "j", t->across / 4);
    put_line(&g->w, "const vm_u32 *const w = (const vm_u32 *)x1 + (now * %d + (j * %d + wx) * 8 + group) * %d"
        " + k * 8 + lane;", t->n, t->columns, words);
    put_line(&g->w, "const vm_u32 b[2] = {w[0], w[4]};");
    put_line(&g->w, "%s", g->d->unroll);
    put_line(&g->w, "for (vm_i32 i = 0; i < %d; i++) %s(sum + i * %d + j * 4, a[i], b);", t->down,
        mma_of(g, p->t, tile_type_of(g->w.p, p->in->result)->dtype), t->across);
    gpu_close(g);
    gpu_close(g);
}

void gpu_mma(struct gpu *g, const struct tile_inst *in, int32_t at) {
    tsr_tv acc = tile_operands(g->w.p, in)[2];
    int64_t n = tile_count(tile_type_of(g->w.p, in->result));
    struct gpu_product p = {.in = in, .at = at, .t = tile_type_of(g->w.p, tile_operands(g->w.p, in)[0])->dtype};
    char room[32];
    p.depth = SLAB_WORDS * per_word(p.t), p.pitch[0] = p.pitch[1] = (SLAB_WORDS + PAD) * per_word(p.t);
    for (int i = 0; i < 2; i++) {
        p.side[i] = gpu_side_of(g, in, i);
        p.each[i] = (p.side[i].lines * p.depth + g->threads - 1) / g->threads;
    }
    const char *type = emit_type(p.t), *sum = emit_type(tile_type_of(g->w.p, in->result)->dtype);
    struct gpu_access from = gpu_reads(g, acc, n), to = gpu_writes(g, in->result, n);
    gpu_touch_operands(g, &p);
    gpu_touch(g, 1, &from);
    put_line(&g->w, "{");
    g->w.indent++;
    put_line(&g->w, "%s *const x0 = (%s *)m%d, *const x1 = x0 + %d;", type, type, at, 2 * g->tile.m * p.pitch[0]);
    put_line(&g->w, "%s n0[%d], n1[%d];", type, p.each[0], p.each[1]);
    put_line(&g->w, "%s sum[%d];", sum, gpu_slots(g, n));
    gpu_each_own(g, n);
    put_line(&g->w, "sum[s] = %s;", gpu_element(g, acc, room));
    gpu_close(g);
    gpu_write_slabs(g, &p, &(struct gpu_slabs){read_slab, write_slab, write_products});
    gpu_touch(g, 1, &to);
    gpu_each_own(g, n);
    put_line(&g->w, "%s = sum[s];", gpu_element(g, in->result, room));
    gpu_close(g);
    gpu_close(g);
}
