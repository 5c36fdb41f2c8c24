/* rates.c: three small programs, launched until the clock can tell (rates.h). The best of several turns counts: what
 * disturbs a machine only makes it slower. */
#include "run/rates.h"

#include <string.h>

#include "base/sys.h"
#include "run/runner.h"
#include "tile/tile.h"

enum { TILE = 4096, TURNS = 7, CHAINS = 4, CHAIN_TILE = 512, CHAIN_STEPS = 2000, SIDE = 64, DOT_STEPS = 200 };
enum { COPY_BYTES = 128 << 20, GROUPS_EACH = 8 };
#define LEAST_SECONDS 0.02

/* ---- programs ---- */

/* y = x, TILE elements an instance */
static void write_copy(tsr_tile *p) {
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "y");
    tsr_tv base = tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), tsr_tile_int(p, TSR_I64, TILE));
    tsr_tile_block b = {.rank = 1, .extent = {TILE}, .base = base, .stride = {tsr_tile_int(p, TSR_I64, 1)},
        .lo = {TSR_TV_NONE}, .hi = {TSR_TV_NONE}};
    tsr_tile_store(p, y, &b, tsr_tile_load(p, x, &b, TSR_TV_NONE));
}

/* CHAINS independent tiles: z = z * a + b, CHAIN_STEPS times; their sum is stored so that the work is done. */
static void write_chain(tsr_tile *p) {
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "y");
    tsr_tv zero = tsr_tile_int(p, TSR_I64, 0), one = tsr_tile_int(p, TSR_I64, 1), z[CHAINS], sum = TSR_TV_NONE;
    tsr_tile_block b = {.rank = 1, .extent = {CHAIN_TILE}, .stride = {one}, .lo = {TSR_TV_NONE}, .hi = {TSR_TV_NONE}};
    for (int i = 0; i < CHAINS; i++) {
        b.base = tsr_tile_int(p, TSR_I64, i * CHAIN_TILE);
        z[i] = tsr_tile_load(p, x, &b, TSR_TV_NONE);
    }
    tsr_tv a = tsr_tile_float(p, TSR_F32, 0.5), start[CHAINS];
    memcpy(start, z, sizeof start);
    tsr_tile_for(p, zero, tsr_tile_int(p, TSR_I64, CHAIN_STEPS), one, CHAINS, start, z);
    for (int i = 0; i < CHAINS; i++) z[i] = tsr_tile_elem3(p, TSR_S_FMA, z[i], a, a);
    tsr_tile_yield(p, CHAINS, z);
    tsr_tile_end(p, CHAINS, z);
    for (int i = 0; i < CHAINS; i++) sum = i ? tsr_tile_elem2(p, TSR_S_ADD, sum, z[i]) : z[i];
    b.base = tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), tsr_tile_int(p, TSR_I64, CHAIN_TILE));
    tsr_tile_store(p, y, &b, sum);
}

/* acc = acc + a b, all SIDE x SIDE, DOT_STEPS times */
static void write_dot(tsr_tile *p) {
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "y");
    tsr_tv zero = tsr_tile_int(p, TSR_I64, 0), one = tsr_tile_int(p, TSR_I64, 1), acc;
    tsr_tile_block b = {.rank = 2, .extent = {SIDE, SIDE}, .base = zero,
        .stride = {tsr_tile_int(p, TSR_I64, SIDE), one},
        .lo = {TSR_TV_NONE, TSR_TV_NONE}, .hi = {TSR_TV_NONE, TSR_TV_NONE}};
    tsr_tv m = tsr_tile_load(p, x, &b, TSR_TV_NONE);
    tsr_tile_for(p, zero, tsr_tile_int(p, TSR_I64, DOT_STEPS), one, 1, &m, &acc);
    tsr_tv next = tsr_tile_dot(p, m, m, acc);
    tsr_tile_yield(p, 1, &next);
    tsr_tile_end(p, 1, &acc);
    b.base = tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), tsr_tile_int(p, TSR_I64, SIDE * SIDE));
    tsr_tile_store(p, y, &b, acc);
}

/* ---- measuring ---- */

struct bench {
    struct device *d;
    void *kernel, *from, *to;
    int64_t grid[3];
};

static tsr_status launch(struct bench *b, int times) {
    struct launch_arg arg[2] = {{.is_buf = true, .buf = b->from, .bytes = COPY_BYTES},
        {.is_buf = true, .buf = b->to, .bytes = COPY_BYTES}};
    tsr_status s = TSR_OK;
    for (int i = 0; i < times && !s; i++) s = b->d->ops->launch(b->d, b->kernel, b->grid, 2, arg);
    return s ? s : b->d->ops->sync(b->d);
}

/* Seconds of one launch: the best turn of enough launches for the clock. */
static tsr_status time_launch(struct bench *b, double *seconds) {
    tsr_status s = launch(b, 1); /* the first one warms up, and lets a compiler see the kernel */
    if (!s) s = runner_settle(b->d->c);
    int times = 1;
    *seconds = 1e30;
    for (int turn = 0; turn < TURNS && !s; turn++) {
        double start = clock_seconds();
        s = launch(b, times);
        double took = clock_seconds() - start;
        if (took < LEAST_SECONDS && times < 1 << 20) times *= 2, turn = -1;
        else if (took / times < *seconds) *seconds = took / times;
    }
    return s;
}

/* work: of one instance. rate: work a second. */
static tsr_status run_program(struct bench *b, const char *name, void (*write)(tsr_tile *p), int64_t instances,
    double work, double *rate) {
    tsr_tile *p = tsr_tile_new(b->d->c, name);
    double seconds;
    if (!p) return TSR_ENOMEM;
    write(p);
    tsr_status s = tsr_tile_finish(p);
    b->kernel = NULL;
    b->grid[0] = instances, b->grid[1] = b->grid[2] = 1;
    if (!s) s = b->d->ops->compile(b->d, p, &b->kernel);
    if (!s) s = time_launch(b, &seconds);
    if (!s) *rate = work * (double)instances / seconds;
    if (b->kernel) b->d->ops->unload(b->d, b->kernel);
    tsr_tile_free(p);
    return s;
}

tsr_status rates_measure(tsr_ctx *c, struct rates *out) {
    struct device *d = device_of(c);
    struct bench b = {.d = d};
    *out = (struct rates){0};
    if (!d) return tsr_error_status(c);
    float *half = mem_alloc(c, COPY_BYTES);
    for (size_t i = 0; half && i < COPY_BYTES / sizeof *half; i++) half[i] = 0.0078125f; /* powers of it stay small */
    b.from = half ? d->ops->alloc(d, COPY_BYTES) : NULL, b.to = b.from ? d->ops->alloc(d, COPY_BYTES) : NULL;
    tsr_status s = b.to ? d->ops->copy_in(d, b.from, half, COPY_BYTES) : TSR_ENOMEM;
    if (!s) s = d->ops->copy_in(d, b.to, half, COPY_BYTES);
    int64_t groups = (int64_t)GROUPS_EACH * (d->facts.units > 0 ? d->facts.units : 1);
    if (!s) s = run_program(&b, "copy", write_copy, COPY_BYTES / 4 / TILE, 2.0 * 4 * TILE, &out->copy);
    if (!s) s = run_program(&b, "fma chain", write_chain, groups, 2.0 * CHAINS * CHAIN_TILE * CHAIN_STEPS, &out->chain);
    if (!s) s = run_program(&b, "dot", write_dot, groups, 2.0 * SIDE * SIDE * SIDE * DOT_STEPS, &out->dot);
    if (b.from) d->ops->free(d, b.from, COPY_BYTES);
    if (b.to) d->ops->free(d, b.to, COPY_BYTES);
    mem_free(c, half, COPY_BYTES);
    return s;
}
