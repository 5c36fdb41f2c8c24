/* bench_gemm: how near the tile VM comes to the machine: a matrix product, copy and add, the cost of a step.
 *
 * Every figure stands beside its limit, measured in the same run: the product beside the FMA rate of the same threads
 * (sums held in registers, nothing loaded), copy and add beside memcpy over as many bytes. Usage: gemm [size [threads
 * [isa]]] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tile/vm_dot.h"

enum { REPEATS = 9 };

static tsr_tv k64(tsr_tile *p, int64_t v) { return tsr_tile_int(p, TSR_I64, v); }
static tsr_tv sub(tsr_tile *p, tsr_tv a, tsr_tv b) { return tsr_tile_elem2(p, TSR_S_SUB, a, b); }
static tsr_tv mul(tsr_tile *p, tsr_tv a, tsr_tv b) { return tsr_tile_elem2(p, TSR_S_MUL, a, b); }
static tsr_tv add(tsr_tile *p, tsr_tv a, tsr_tv b) { return tsr_tile_elem2(p, TSR_S_ADD, a, b); }

static double best(double *t, double seconds) { return *t = *t == 0 || seconds < *t ? seconds : *t; }

/* ---- limits ---- */

struct peak {
    enum cpu_isa isa;
    float out[64 * 16];
    double flops[64];
};

static void peak_body(void *arg, int64_t i, int worker) {
    struct peak *p = arg;
    (void)worker;
    p->flops[i] = vm_peak_run(p->isa, 4000000, &p->out[i * 16]);
}

static double fma_peak(struct pool *pool, enum cpu_isa isa) {
    struct peak p = {.isa = isa};
    int n = pool_threads(pool) > 64 ? 64 : pool_threads(pool);
    double t = 0;
    for (int r = 0; r < REPEATS; r++) {
        double start = clock_seconds();
        pool_for(pool, n, peak_body, &p);
        best(&t, clock_seconds() - start);
    }
    return p.flops[0] * n / t;
}

struct span {
    char *dst, *src;
    size_t n;
    int parts;
};

static void copy_body(void *arg, int64_t i, int worker) {
    struct span *s = arg;
    size_t part = s->n / (size_t)s->parts;
    (void)worker;
    memcpy(s->dst + (size_t)i * part, s->src + (size_t)i * part, part);
}

static double copy_seconds(struct pool *pool, void *dst, void *src, size_t n) {
    struct span s = {dst, src, n, pool_threads(pool)};
    double t = 0;
    for (int r = 0; r < REPEATS; r++) {
        double start = clock_seconds();
        pool_for(pool, s.parts, copy_body, &s);
        best(&t, clock_seconds() - start);
    }
    return t;
}

/* ---- programs ---- */

/* C = A B: a tile of bm x bn for each instance, k in chunks. */
static tsr_tile *matmul(tsr_ctx *c, int64_t bm, int64_t bn, int64_t bk) {
    tsr_tile *p = tsr_tile_new(c, "matmul");
    tsr_tv a = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "a"), b = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "b");
    tsr_tv o = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "o"), m = tsr_tile_arg(p, TSR_I64, "m");
    tsr_tv n = tsr_tile_arg(p, TSR_I64, "n"), k = tsr_tile_arg(p, TSR_I64, "k");
    tsr_tv m0 = mul(p, tsr_tile_pid(p, 0), k64(p, bm)), n0 = mul(p, tsr_tile_pid(p, 1), k64(p, bn)), one = k64(p, 1);
    tsr_tv ml = sub(p, m, m0), nl = sub(p, n, n0), no = TSR_TV_NONE;
    int64_t shape[2] = {bm, bn};
    tsr_tv acc = tsr_tile_broadcast(p, tsr_tile_float(p, TSR_F32, 0), 2, shape), sum, end;
    tsr_tv k0 = tsr_tile_for(p, k64(p, 0), k, k64(p, bk), 1, &acc, &sum), kl = sub(p, k, k0);
    tsr_tile_block ba = {2, {bm, bk}, add(p, mul(p, m0, k), k0), {k, one}, {no, no}, {ml, kl}};
    tsr_tile_block bb = {2, {bk, bn}, add(p, mul(p, k0, n), n0), {n, one}, {no, no}, {kl, nl}};
    tsr_tv next = tsr_tile_dot(p, tsr_tile_load(p, a, &ba, no), tsr_tile_load(p, b, &bb, no), sum);
    tsr_tile_yield(p, 1, &next);
    tsr_tile_end(p, 1, &end);
    tsr_tile_block bo = {2, {bm, bn}, add(p, mul(p, m0, n), n0), {n, one}, {no, no}, {ml, nl}};
    tsr_tile_store(p, o, &bo, end);
    tsr_tile_finish(p);
    return p;
}

/* out = x (+ y) over n elements, `block` an instance. */
static tsr_tile *stream(tsr_ctx *c, int64_t block, int operands) {
    tsr_tile *p = tsr_tile_new(c, "stream");
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "y");
    tsr_tv o = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "o"), n = tsr_tile_arg(p, TSR_I64, "n");
    tsr_tv base = mul(p, tsr_tile_pid(p, 0), k64(p, block));
    tsr_tile_block b = {1, {block}, base, {k64(p, 1)}, {TSR_TV_NONE}, {sub(p, n, base)}};
    tsr_tv v = tsr_tile_load(p, x, &b, TSR_TV_NONE);
    if (operands == 2) v = add(p, v, tsr_tile_load(p, y, &b, TSR_TV_NONE));
    tsr_tile_store(p, o, &b, v);
    tsr_tile_finish(p);
    return p;
}

/* n dependent additions of tiles of `block` elements. */
static tsr_tile *chain(tsr_ctx *c, int64_t block, int n) {
    tsr_tile *p = tsr_tile_new(c, "chain");
    tsr_tv o = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "o"), x = tsr_tile_arg(p, TSR_F32, "x");
    tsr_tile_block b = {1, {block}, k64(p, 0), {k64(p, 1)}, {TSR_TV_NONE}, {TSR_TV_NONE}};
    tsr_tv pid = tsr_tile_cast(p, TSR_F32, tsr_tile_pid(p, 0)), v = tsr_tile_broadcast(p, pid, 1, &block);
    for (int i = 0; i < n; i++) v = tsr_tile_elem2(p, i & 1 ? TSR_S_MUL : TSR_S_ADD, v, x);
    tsr_tile_if(p, tsr_tile_elem2(p, TSR_S_LT, pid, tsr_tile_float(p, TSR_F32, 0)));
    tsr_tile_store(p, o, &b, v);
    tsr_tile_end(p, 0, NULL);
    tsr_tile_finish(p);
    return p;
}

static double run(tsr_ctx *c, tsr_tile *p, enum cpu_isa isa, struct pool *pool, int64_t g0, int64_t g1,
    const union vm_arg *a) {
    struct vm_code *code = vm_compile_for(c, p, isa, false);
    double t = 0;
    for (int r = 0; r < REPEATS && code; r++) {
        double start = clock_seconds();
        vm_run(c, code, (int64_t[]){g0, g1, 1}, a, pool);
        best(&t, clock_seconds() - start);
    }
    vm_free(code);
    tsr_tile_free(p);
    if (tsr_error_status(c) != TSR_OK) fprintf(stderr, "%s\n", tsr_error_message(c)), exit(1);
    return t;
}

/* ---- reports ---- */

static void fill(float *x, size_t n) {
    struct rng r = {.seed = 1};
    for (size_t i = 0; i < n; i++) x[i] = (float)rng_uniform(&r) - 0.5f;
}

static void report_gemm(tsr_ctx *c, struct pool *pool, enum cpu_isa isa, int64_t n) {
    static const int64_t tile[][3] = {{64, 64, 256}, {128, 128, 256}, {128, 256, 256}, {256, 256, 256}, {256, 128, 256},
        {128, 512, 256}};
    size_t bytes = (size_t)(n * n) * sizeof(float);
    float *a = malloc(bytes), *b = malloc(bytes), *o = malloc(bytes);
    fill(a, (size_t)(n * n)), fill(b, (size_t)(n * n)), memset(o, 0, bytes);
    double peak = fma_peak(pool, isa);
    printf("fma peak, %s, %d threads: %.1f GFLOP/s\n", cpu_isa_name(isa), pool_threads(pool), peak * 1e-9);
    for (size_t i = 0; i < sizeof tile / sizeof *tile; i++) {
        int64_t bm = tile[i][0], bn = tile[i][1];
        union vm_arg arg[6] = {{.buf = {a, bytes}}, {.buf = {b, bytes}}, {.buf = {o, bytes}}, {.i64 = n}, {.i64 = n},
            {.i64 = n}};
        double t = run(c, matmul(c, bm, bn, tile[i][2]), isa, pool, (n + bm - 1) / bm, (n + bn - 1) / bn, arg);
        double rate = 2.0 * (double)n * (double)n * (double)n / t;
        printf("matmul %lld^3 f32, tile %lld x %lld x %lld: %.2f ms, %.1f GFLOP/s, %.0f %% of peak\n", (long long)n,
            (long long)bm,
               (long long)bn, (long long)tile[i][2], t * 1e3, rate * 1e-9, 100 * rate / peak);
    }
    free(a), free(b), free(o);
}

static void report_stream(tsr_ctx *c, struct pool *pool, enum cpu_isa isa) {
    static const int64_t block[] = {1024, 4096, 16384, 65536};
    int64_t n = 16 << 20;
    size_t bytes = (size_t)n * sizeof(float);
    float *x = malloc(bytes), *y = malloc(bytes), *o = malloc(bytes);
    fill(x, (size_t)n), fill(y, (size_t)n), memset(o, 0, bytes);
    double limit = 2 * (double)bytes / copy_seconds(pool, o, x, bytes);
    printf("memcpy of 16M f32, %d threads: %.1f GB/s (read + written)\n", pool_threads(pool), limit * 1e-9);
    for (size_t i = 0; i < sizeof block / sizeof *block; i++)
        for (int operands = 1; operands <= 2; operands++) {
            union vm_arg arg[4] = {{.buf = {x, bytes}}, {.buf = {y, bytes}}, {.buf = {o, bytes}}, {.i64 = n}};
            double t = run(c, stream(c, block[i], operands), isa, pool, n / block[i], 1, arg),
                rate = (operands + 1) * (double)bytes / t;
            printf("%s, block %lld: %.1f GB/s, %.0f %% of memcpy\n", operands == 1 ? "copy" : "add",
                (long long)block[i], rate * 1e-9,
                   100 * rate / limit);
        }
    free(x), free(y), free(o);
}

static void report_steps(tsr_ctx *c, enum cpu_isa isa) {
    static const int64_t block[] = {1, 16, 256, 4096};
    static float out[4096];
    enum { INSTANCES = 4000, STEPS = 100 };
    union vm_arg arg[2] = {{.buf = {out, sizeof out}}, {.f32 = 1.5f}};
    double empty = run(c, chain(c, 1, 0), isa, NULL, INSTANCES, 1, arg);
    printf("an instance of an empty program: %.0f ns\n", empty / INSTANCES * 1e9);
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
        double few = run(c, chain(c, block[i], 1), isa, NULL, INSTANCES, 1, arg);
        double t = run(c, chain(c, block[i], 1 + STEPS), isa, NULL, INSTANCES, 1, arg) - few;
        printf("a step on %lld f32: %.1f ns\n", (long long)block[i], t / INSTANCES / STEPS * 1e9);
    }
}

int main(int argc, char **argv) {
    tsr_ctx *c = tsr_open(&(tsr_config){.threads = argc > 2 ? atoi(argv[2]) : 0});
    enum cpu_isa isa = argc > 3 ? (enum cpu_isa)atoi(argv[3]) : cpu_isa();
    struct pool *pool = c ? ctx_pool(c) : NULL;
    if (!pool) return 1;
    report_gemm(c, pool, isa, argc > 1 ? atoi(argv[1]) : 1024);
    report_stream(c, pool, isa);
    report_steps(c, isa);
    tsr_close(c);
    return 0;
}
