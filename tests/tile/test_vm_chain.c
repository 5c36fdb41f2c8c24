/* Chains of the VM (vm_chain.c) against one element after another: random programs of elementwise functions over long
 * rows, with operands that are whole, a row, a column or one value; stores in the middle and at the end, to windows
 * that are dense, pitched, clipped, unaligned, the very window that was loaded, or one that overlaps it; buffers that
 * claim to be greater than the caches. A program is run by the test while it is built; every element of memory must
 * agree, for each instruction set level, checked and not. */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tile/vm.h"
#include "tile/vm_kernels.h"

enum { ROOM = 8192, MOST = 2400, BUFFERS = 3, VALUES = 60 };

struct value {
    tsr_tv v;
    float x[MOST]; /* repeated to the shape of the program's tiles */
};

struct chain_gen {
    tsr_tile *p;
    enum cpu_isa isa;
    int rank;
    int64_t extent[3], n;
    tsr_tv buf[BUFFERS];
    int memory[BUFFERS]; /* which of the two memories an argument is */
    float want[2][ROOM];
    struct value value[VALUES];
    int values;
};

static int64_t pick(int64_t n) { return test_int(0, n - 1); }
static tsr_tv k64(struct chain_gen *g, int64_t v) { return tsr_tile_int(g->p, TSR_I64, v); }

static float some_number(void) {
    static const float odd[] = {0, -0.0f, 1, -1, INFINITY, -INFINITY, NAN, 1e-40f, -1e38f, 100};
    return pick(20) ? (float)test_normal() : odd[pick(10)];
}

/* Tile indices of element i of the program's shape. */
static void unflat(const struct chain_gen *g, int64_t i, int64_t at[3]) {
    for (int a = g->rank - 1; a >= 0; a--) at[a] = i % g->extent[a], i /= g->extent[a];
}

/* A window of the program's shape, or of one of its rows; stride, lo and hi as numbers. */
struct window {
    int64_t base, stride[3], lo[3], hi[3];
    bool row;
};

static struct window random_window(const struct chain_gen *g, bool row, bool clipped) {
    struct window w = {.base = pick(5) * 16 + (pick(3) ? 0 : pick(40)), .row = row};
    int64_t dense = 1, pitch = pick(3) ? 0 : 16 + pick(2) * pick(9);
    for (int a = g->rank - 1; a >= 0; a--) {
        w.stride[a] = dense;
        w.lo[a] = 0, w.hi[a] = row && a < g->rank - 1 ? 1 : g->extent[a];
        dense *= g->extent[a];
        if (a == g->rank - 1) dense += pitch;
        if (clipped && !pick(3)) w.lo[a] = pick(3), w.hi[a] -= pick(3);
    }
    return w;
}

static tsr_tile_block block_of(struct chain_gen *g, const struct window *w) {
    tsr_tile_block b = {.rank = g->rank, .base = k64(g, w->base)};
    for (int a = 0; a < g->rank; a++) {
        b.extent[a] = w->row && a < g->rank - 1 ? 1 : g->extent[a];
        b.stride[a] = k64(g, w->stride[a]);
        b.lo[a] = w->lo[a] == 0 ? TSR_TV_NONE : k64(g, w->lo[a]);
        b.hi[a] = w->hi[a] == b.extent[a] ? TSR_TV_NONE : k64(g, w->hi[a]);
    }
    return b;
}

/* Where element i of the program's shape lies in a window; -1: it takes no part. */
static int64_t place_in(const struct chain_gen *g, const struct window *w, int64_t i) {
    int64_t at[3], e = w->base;
    unflat(g, i, at);
    for (int a = 0; a < g->rank; a++) {
        if (w->row && a < g->rank - 1) at[a] = 0;
        if (at[a] < w->lo[a] || at[a] >= w->hi[a]) return -1;
        e += at[a] * w->stride[a];
    }
    return e;
}

static struct window loaded;

static void add_load(struct chain_gen *g) {
    struct window w = random_window(g, !pick(4), !pick(4));
    struct value *v = &g->value[g->values++];
    int which = (int)pick(BUFFERS);
    tsr_tile_block b = block_of(g, &w);
    v->v = tsr_tile_load(g->p, g->buf[which], &b, TSR_TV_NONE);
    for (int64_t i = 0; i < g->n; i++) {
        int64_t e = place_in(g, &w, i);
        v->x[i] = e < 0 ? 0 : g->want[g->memory[which]][e];
    }
    if (!w.row) loaded = w;
}

static void add_constant(struct chain_gen *g) {
    struct value *v = &g->value[g->values++];
    float x = (float)pick(7) - 3;
    v->v = tsr_tile_float(g->p, TSR_F32, x);
    for (int64_t i = 0; i < g->n; i++) v->x[i] = x;
}

/* One number for each row: the greatest of an earlier value's. */
static void add_column(struct chain_gen *g) {
    struct value *a = &g->value[pick(g->values)], *v = &g->value[g->values];
    int64_t e[6], n = g->extent[g->rank - 1];
    if (tsr_tile_shape(g->p, a->v, e) != g->rank || e[g->rank - 1] != n) return;
    g->values++;
    v->v = tsr_tile_reduce(g->p, TSR_REDUCE_MAX, a->v, g->rank - 1);
    vm_elem_kernel *max = vm_elem_find(g->isa, TSR_S_MAX, TSR_F32);
    for (int64_t r = 0; r < g->n; r += n) {
        float best = a->x[r];
        for (int64_t i = 1; i < n; i++) max(1, &best, &best, &a->x[r + i], NULL, 0);
        for (int64_t i = 0; i < n; i++) v->x[r + i] = best;
    }
}

static void add_function(struct chain_gen *g) {
    static const tsr_scalar fn[] = {TSR_S_ADD, TSR_S_SUB, TSR_S_MUL, TSR_S_DIV, TSR_S_MAX, TSR_S_MIN, TSR_S_ADD,
        TSR_S_SUB, TSR_S_MUL, TSR_S_DIV, TSR_S_NEG, TSR_S_ABS, TSR_S_SQRT, TSR_S_RSQRT, TSR_S_EXP, TSR_S_EXP2,
        TSR_S_LOG, TSR_S_TANH, TSR_S_LOGISTIC, TSR_S_ERF, TSR_S_FLOOR, TSR_S_SIGN, TSR_S_CBRT};
    tsr_scalar f = fn[pick(sizeof fn / sizeof *fn)];
    int near = g->values > 3 && pick(3) ? 2 : g->values; /* mostly what has just been made */
    struct value *a = &g->value[g->values - 1 - pick(near)], *b = &g->value[g->values - 1 - pick(g->values)];
    if (pick(2)) { struct value *t = a; a = b, b = t; }
    struct value *v = &g->value[g->values++];
    bool two = f == TSR_S_ADD || f == TSR_S_SUB || f == TSR_S_MUL || f == TSR_S_DIV || f == TSR_S_MAX || f == TSR_S_MIN;
    v->v = two ? tsr_tile_elem2(g->p, f, a->v, b->v) : tsr_tile_elem1(g->p, f, a->v);
    vm_elem_kernel *kernel = vm_elem_find(g->isa, f, TSR_F32);
    for (int64_t i = 0; i < g->n; i++) kernel(1, &v->x[i], &a->x[i], &b->x[i], NULL, 0);
}

static void add_store(struct chain_gen *g) {
    int64_t e[6];
    struct value *v = &g->value[g->values - 1 - pick(g->values > 4 ? 4 : g->values)];
    if (tsr_tile_shape(g->p, v->v, e) != g->rank || e[0] != g->extent[0] || e[g->rank - 1] != g->extent[g->rank - 1])
        return;
    struct window w = random_window(g, false, !pick(4));
    if (!pick(2)) w = loaded; /* in place, where the buffer is the same */
    if (!pick(3)) w.base += pick(4) * 16;
    int which = 1 + (int)pick(BUFFERS - 1);
    tsr_tile_block b = block_of(g, &w);
    tsr_tile_store(g->p, g->buf[which], &b, v->v);
    for (int64_t i = 0; i < g->n; i++) {
        int64_t at = place_in(g, &w, i);
        if (at >= 0) g->want[g->memory[which]][at] = v->x[i];
    }
}

static void random_chain(tsr_ctx *c, struct chain_gen *g, float start[2][ROOM]) {
    static const int64_t lengths[] = {128, 256, 129, 200, 300, 384, 64, 17, 600};
    memcpy(g->want, start, sizeof g->want);
    g->p = tsr_tile_new(c, "chain");
    g->rank = 1 + (int)pick(3), g->n = 1, g->values = 0;
    for (int a = 0; a < g->rank; a++) g->extent[a] = a == g->rank - 1 ? lengths[pick(9)] : 1 + pick(2), g->n *=
        g->extent[a];
    for (int i = 0; i < BUFFERS; i++) {
        g->buf[i] = tsr_tile_arg_buf(g->p, TSR_F32, i ? TSR_TILE_INOUT : TSR_TILE_IN, "b");
        g->memory[i] = (int)pick(2);
    }
    loaded = random_window(g, false, false);
    add_load(g);
    while (g->values < VALUES - 1 && pick(25)) {
        int what = (int)pick(14);
        if (what < 2) add_load(g);
        else if (what == 2) add_constant(g);
        else if (what == 3) add_column(g);
        else if (what == 4) add_store(g);
        else add_function(g);
    }
    add_store(g);
}

static bool same(const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

static void check_chain(tsr_ctx *c, struct chain_gen *g, float start[2][ROOM], bool check) {
    static float got[2][ROOM] __attribute__((aligned(64)));
    memcpy(got, start, sizeof got);
    struct vm_code *k = vm_compile_for(c, g->p, g->isa, check);
    union vm_arg arg[BUFFERS];
    bool great = !check && pick(3);
    for (int i = 0; i < BUFFERS; i++) {
        arg[i].buf.p = got[g->memory[i]];
        arg[i].buf.bytes = great ? SIZE_MAX : sizeof *got;
    }
    if (!CHECK_OK(c)) return;
    for (int turn = 0; turn < 2; turn++) { /* the second time loads know where they pointed before */
        memcpy(got, start, sizeof got);
        CHECK_EQ(vm_run(c, k, (int64_t[]){1, 1, 1}, arg, NULL), TSR_OK);
        if (CHECK(same(got[0], g->want[0], ROOM) && same(got[1], g->want[1], ROOM))) continue;
        char *text = tsr_tile_print(g->p);
        fprintf(stderr, "memories %d %d %d, %s\n%s\n", g->memory[0], g->memory[1], g->memory[2], cpu_isa_name(g->isa),
            text);
        tsr_text_free(c, text);
        break;
    }
    vm_free(k);
}

TEST(random_chains) {
    static struct chain_gen g;
    static float start[2][ROOM];
    int count = getenv("PROGRAMS") ? atoi(getenv("PROGRAMS")) : 300;
    for (int i = 0; i < count; i++) {
        tsr_ctx *c = test_ctx();
        test_case("program %d", i);
        for (int k = 0; k < 2 * ROOM; k++) start[k / ROOM][k % ROOM] = some_number();
        g.isa = (enum cpu_isa)pick(cpu_isa() + 1);
        random_chain(c, &g, start);
        if (CHECK_EQ(tsr_tile_finish(g.p), TSR_OK)) check_chain(c, &g, start, pick(2));
        tsr_tile_free(g.p);
        test_ctx_close(c);
    }
}

#ifndef CHAIN_STRIDE
#define CHAIN_STRIDE 997
#endif

/* Every CHAIN_STRIDE-th bit pattern through the link of each function of one operand and through its kernel. */
static void check_link(enum cpu_isa isa, tsr_scalar fn) {
    const struct vm_links *links = vm_links_of(isa);
    vm_elem_kernel *kernel = vm_elem_find(isa, fn, TSR_F32);
    struct vm_link chain[] = {{links->load[0], 0, SIZE_MAX}, {links->fn[fn][0][0], 0, 0}, {links->store, 1, SIZE_MAX},
        {links->end, 0, 0}};
    enum { N = 1024 };
    float x[N], got[N], want[N];
    char *place[2] = {(char *)x, (char *)got};
    for (uint64_t bits = (uint64_t)pick(CHAIN_STRIDE); bits < (uint64_t)1 << 32;) {
        for (int i = 0; i < N; i++, bits += CHAIN_STRIDE) memcpy(&x[i], &(uint32_t){(uint32_t)bits}, sizeof *x);
        links->run(chain, N / links->block, place, 0, NULL);
        kernel(N, want, x, NULL, NULL, 0);
        if (!CHECK(same(got, want, N))) return;
    }
}

TEST(links_have_the_bits_of_kernels) {
    for (int isa = 0; isa <= (int)cpu_isa(); isa++)
        for (int fn = 0; fn < TSR_SCALAR_COUNT; fn++) {
            const struct vm_links *links = vm_links_of((enum cpu_isa)isa);
            if (!links->fn[fn][0][0] || links->fn[fn][1][0]) continue;
            test_case("function %d, %s", fn, cpu_isa_name((enum cpu_isa)isa));
            check_link((enum cpu_isa)isa, (tsr_scalar)fn);
        }
}
