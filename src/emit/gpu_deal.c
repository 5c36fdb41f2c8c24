/* gpu_deal.c: which tiles stay in the registers of the threads that compute them.
 *
 * Element e of a tile of n elements belongs to thread e % threads, whatever the tile's shape, unless n is the size of
 * the program's products: then a thread has the outputs that it computes (struct gpu_tile). A tile of which every
 * element is written and read by its own thread alone needs no memory: each thread holds its elements in an array of
 * its own, r7[s] being the one of turn s, and every loop over them is unrolled, so the array is registers. That is so
 * for what mapped instructions of one size hand to each other element by element, for carried tiles, for accumulators
 * of products, and for what reductions read. */
#include "emit/gpu_text.h"

enum { MOST_SLOTS = 32, MOST_TILE_SLOTS = 128, MOST_REGISTERS = 96, MOST_TILE_REGISTERS = 256 };

static bool is_tile(const struct gpu *g, long long n) { return n == (long long)g->tile.m * g->tile.n; }

int gpu_slots(const struct gpu *g, long long n) {
    return is_tile(g, n) ? g->tile.down * g->tile.across : (int)((n + g->threads - 1) / g->threads);
}

static int64_t count_of(const struct emit_group *x) {
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++) n *= x->extent[i];
    return n;
}

/* Does instruction `at` touch only elements of its own thread when it reads v? */
static bool reads_own(const struct gpu *g, int32_t at, tsr_tv v, int operand) {
    const struct emit_plan *k = g->w.k;
    const struct tile_inst *in = &k->p->inst.v[at];
    int32_t group = k->member.v[at];
    if (group >= 0 && g->staged.v[group] >= 0) return false;
    if (group >= 0)
        return !gpu_one_thread(g, group) && in->op != TILE_TRANSPOSE &&
               tile_count(tile_type_of(k->p, v)) == count_of(&k->group.v[group]);
    switch (in->op) {
    case TILE_RESHAPE: case TILE_YIELD: case TILE_FOR: case TILE_WHILE: return true;
    case TILE_REDUCE: return gpu_reduces_in_registers(g, in);
    case TILE_DOT: return operand == 2 && gpu_is_tiled(g, in);
    default: return false;
    }
}

static bool writes_own(const struct gpu *g, int32_t at) {
    const struct emit_plan *k = g->w.k;
    enum tile_op op = k->p->inst.v[at].op;
    if (k->member.v[at] >= 0) return !gpu_one_thread(g, k->member.v[at]);
    if (op == TILE_DOT) return gpu_is_tiled(g, &k->p->inst.v[at]);
    return op == TILE_FOR || op == TILE_WHILE || op == TILE_END || op == TILE_RESHAPE;
}

static void refuse(struct gpu *g, tsr_tv v) {
    tsr_tv place = emit_place(g->w.k, v);
    g->dealt.v[place] = false;
}

static int registers_of(const struct gpu *g, tsr_tv v) {
    const struct tile_type *t = tile_type_of(g->w.p, v);
    return gpu_slots(g, tile_count(t)) * (emit_size(t->dtype) > 4 ? (int)emit_size(t->dtype) / 4 : 1);
}

/* Whether v's registers fit beside those of tiles accepted before it that live at the same time. */
static bool fits(const struct gpu *g, tsr_tv v) {
    const struct emit_value *e = &g->w.k->value.v[v];
    int n = registers_of(g, v);
    bool tile = is_tile(g, tile_count(tile_type_of(g->w.p, v)));
    if (gpu_slots(g, tile_count(tile_type_of(g->w.p, v))) > (tile ? MOST_TILE_SLOTS : MOST_SLOTS)) return false;
    for (tsr_tv u = 0; u < v; u++) {
        const struct emit_value *x = &g->w.k->value.v[u];
        if (g->dealt.v[u] && x->first <= e->last && e->first <= x->last) n += registers_of(g, u);
    }
    return n <= (tile ? MOST_TILE_REGISTERS : MOST_REGISTERS);
}

bool gpu_deal(struct gpu *g) {
    const struct emit_plan *k = g->w.k;
    const tsr_tile *p = k->p;
    if (!vec_reserve(k->c, &g->dealt, k->value.n + 1)) return false;
    for (size_t v = 0; v < k->value.n; v++)
        g->dealt.v[g->dealt.n++] = k->value.v[v].home == EMIT_ARRAY && k->value.v[v].same == TSR_TV_NONE;
    for (int32_t at = 0; at < (int32_t)p->inst.n; at++) {
        const struct tile_inst *in = &p->inst.v[at];
        for (int i = 0; i < in->n_operand; i++) {
            tsr_tv v = tile_operands(p, in)[i];
            if (v != TSR_TV_NONE && !tile_type_of(p, v)->buf && !reads_own(g, at, v, i)) refuse(g, v);
        }
        for (int i = 0; i < in->n_result; i++)
            if (k->value.v[in->result + i].home == EMIT_ARRAY && !writes_own(g, at)) refuse(g, in->result + i);
    }
    for (tsr_tv v = 0; v < (tsr_tv)k->value.n; v++)
        if (g->dealt.v[v] && !fits(g, v)) g->dealt.v[v] = false;
    g->w.dealt = g->dealt.v;
    return true;
}

bool gpu_is_dealt(const struct gpu *g, tsr_tv v) { return g->dealt.v[emit_place(g->w.k, v)]; }

/* e: the element that this thread has in turn s. */
void gpu_own_element(struct gpu *g, long long n) {
    const struct gpu_tile *t = &g->tile;
    if (!is_tile(g, n)) {
        put_line(&g->w, "const vm_i32 e = s * %d + lid;", g->threads);
        if (n % g->threads) put_line(&g->w, "if (e >= %lld) continue;", n);
        return;
    }
    if (t->mma) {
        gpu_mma_element(g);
        return;
    }
    put_line(&g->w, "const vm_i32 row = s / %d * %d + ty, column = s %% %d * %d + tx;", t->across, t->rows, t->across,
        t->columns);
    if (t->rows * t->down != t->m || t->columns * t->across != t->n)
        put_line(&g->w, "if (row >= %d || column >= %d) continue;", t->m, t->n);
    put_line(&g->w, "const vm_i32 e = row * %d + column;", t->n);
}

void gpu_each_own(struct gpu *g, long long n) {
    put_line(&g->w, "%s", g->d->unroll);
    put_line(&g->w, "for (vm_i32 s = 0; s < %d; s++) {", gpu_slots(g, n));
    g->w.indent++;
    gpu_own_element(g, n);
}
