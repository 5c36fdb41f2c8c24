/* bench.c: `tessera bench`: what this machine can do, and what part of it the kernels reach.
 *
 * Two limits are measured first: multiply-adds on registers (all threads, nothing loaded) and copying 64 MB. Then each
 * case runs as a compiled fn. Limits and cases are interleaved, round after round, and medians compared, since machines
 * are noisy: the ratio is the figure, the rate is context. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/sys.h"
#include "cli/verbs.h"
#include "tessera/ops.h"
#include "tessera/random.h"
#include "tessera/run.h"
#include "tile/vm_dot.h"

enum { MOST_ROUNDS = 101, COPY_BYTES = 64 << 20, MOST_ARGS = 3, PEAK_TURNS = 200000 };

struct options { int64_t rounds; bool json; };
static const struct cli_option table[] = {
    {"rounds", 'n', CLI_INT, offsetof(struct options, rounds), "N", 1, MOST_ROUNDS,
        "times each case runs; the median counts (11)"},
    {"json", 0, CLI_FLAG, offsetof(struct options, json), NULL, 0, 0, "one JSON object a line"},
};

/* A case: the fn of its operands; work a run in operations or in bytes (what must be read and written once). */
struct bench_case {
    const char *name;
    int nargs;
    int rank[MOST_ARGS];
    int64_t dim[MOST_ARGS][4];
    tsr_node *(*build)(tsr_ctx *c, tsr_node **x);
    double flops, bytes; /* one of them is 0 */
};

static tsr_node *build_matmul(tsr_ctx *c, tsr_node **x) { return tsr_matmul(c, x[0], x[1]); }
static tsr_node *build_conv(tsr_ctx *c, tsr_node **x) {
    return tsr_conv(c, x[0], x[1], NULL, NULL, (int64_t[]){1, 1}, NULL, 1);
}
static tsr_node *build_chain(tsr_ctx *c, tsr_node **x) { return tsr_relu(c, tsr_add(c, tsr_mul(c, x[0], x[1]), x[0])); }
static tsr_node *build_softmax(tsr_ctx *c, tsr_node **x) { return tsr_softmax(c, x[0], -1); }
static tsr_node *build_norm(tsr_ctx *c, tsr_node **x) { return tsr_layer_norm(c, x[0], 1, x[1], x[2], 1e-5); }
static tsr_node *build_sum(tsr_ctx *c, tsr_node **x) { return tsr_sum(c, x[0], 0, NULL, false); }

#define K (1 << 10)
#define M (1 << 20)
static const struct bench_case cases[] = {
    {"matmul 1024 x 1024 x 1024", 2, {2, 2}, {{K, K}, {K, K}}, build_matmul, 2.0 * K * K * K, 0},
    {"matmul 128 x 4096 x 1024", 2, {2, 2}, {{128, 4 * K}, {4 * K, K}}, build_matmul, 2.0 * 128 * 4 * K * K, 0},
    {"matmul 1 x 4096 x 4096", 2, {2, 2}, {{1, 4 * K}, {4 * K, 4 * K}}, build_matmul, 0, 4.0 * 16 * M},
    {"conv 3x3, 64 -> 64, 4 x 56 x 56", 2, {4, 4}, {{4, 64, 56, 56}, {64, 64, 3, 3}}, build_conv,
        2.0 * 4 * 56 * 56 * 64 * 64 * 9, 0},
    {"relu(x y + x), 16 M", 2, {1, 1}, {{16 * M}, {16 * M}}, build_chain, 0, 3.0 * 4 * 16 * M},
    {"softmax, 8192 x 1024", 1, {2}, {{8 * K, K}}, build_softmax, 0, 2.0 * 4 * 8 * M},
    {"layer_norm, 8192 x 1024", 3, {2, 1, 1}, {{8 * K, K}, {K}, {K}}, build_norm, 0, 2.0 * 4 * 8 * M},
    {"sum, 16 M", 1, {1}, {{16 * M}}, build_sum, 0, 4.0 * 16 * M},
};
#undef K
#undef M
enum { CASES = sizeof cases / sizeof *cases };

/* ---- the limits ---- */

struct limits {
    tsr_ctx *c;
    char *from, *to; /* (COPY_BYTES) */
    double done[256]; /* operations of each part of the last peak run */
};

static void peak_part(void *arg, int64_t i, int worker) {
    struct limits *l = arg;
    float sink = 0;
    (void)worker;
    l->done[i] = vm_peak_run(cpu_isa(), PEAK_TURNS, &sink) + (sink == 1 ? 1 : 0);
}

static double measure_peak(struct limits *l) {
    int parts = tsr_threads(l->c) < 256 ? tsr_threads(l->c) : 256;
    double start = clock_seconds(), work = 0;
    pool_for(ctx_pool(l->c), parts, peak_part, l);
    double seconds = clock_seconds() - start;
    for (int i = 0; i < parts; i++) work += l->done[i];
    return work / seconds;
}

static void copy_part(void *arg, int64_t i, int worker) {
    struct limits *l = arg;
    size_t part = COPY_BYTES / 64;
    (void)worker;
    memcpy(l->to + (size_t)i * part, l->from + (size_t)i * part, part);
}

/* Bytes read and written a second. */
static double measure_copy(struct limits *l) {
    double start = clock_seconds();
    pool_for(ctx_pool(l->c), 64, copy_part, l);
    return 2.0 * COPY_BYTES / (clock_seconds() - start);
}

/* ---- the cases ---- */

struct prepared { tsr_fn *fn; tsr_node *arg[MOST_ARGS]; };

static bool prepare(tsr_ctx *c, const struct bench_case *k, uint64_t seed, struct prepared *p) {
    tsr_node *param[MOST_ARGS];
    for (int i = 0; i < k->nargs; i++) {
        p->arg[i] = tsr_random_uniform(c, tsr_key(c, seed + (uint64_t)i),
            tsr_type_dims(c, TSR_F32, k->rank[i], k->dim[i]),
            -1, 1);
        if (tsr_eval(c, 1, &p->arg[i])) return false;
    }
    if (tsr_fn_begin(c, "bench")) return false;
    for (int i = 0; i < k->nargs; i++) param[i] = tsr_param(c, tsr_node_type(p->arg[i]), NULL);
    tsr_node *y = k->build(c, param);
    return (p->fn = tsr_fn_end(c, 1, &y)) != NULL;
}

/* Operations or bytes a second of one run; 0 on failure. */
static double measure(tsr_ctx *c, const struct bench_case *k, const struct prepared *p) {
    tsr_scope *s = tsr_scope_begin(c);
    tsr_node *out;
    double start = clock_seconds();
    bool ok = s && tsr_run(c, p->fn, k->nargs, p->arg, &out) == TSR_OK;
    double seconds = clock_seconds() - start;
    tsr_scope_end(c, s);
    return ok ? (k->flops + k->bytes) / seconds : 0;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

static void show(const struct options *o, const char *name, bool flops, double rate, double limit) {
    const char *unit = flops ? "GFLOP/s" : "GB/s";
    if (o->json)
        printf("{\"case\":\"%s\",\"unit\":\"%s\",\"rate\":%.3f,\"ratio\":%.4f}\n", name, unit, rate * 1e-9,
            rate / limit);
    else printf("%-34s %9.1f %-8s %5.0f %% of the limit\n", name, rate * 1e-9, unit, 100 * rate / limit);
}

static bool run_cases(tsr_ctx *c, const struct options *o, struct limits *l) {
    static double rate[CASES + 2][MOST_ROUNDS];
    struct prepared p[CASES] = {0};
    int rounds = (int)o->rounds;
    bool ok = true;
    for (int i = 0; i < CASES && ok; i++) ok = prepare(c, &cases[i], 1 + (uint64_t)i * MOST_ARGS, &p[i]) &&
                                              measure(c, &cases[i], &p[i]) > 0;
    for (int n = 0; n < rounds && ok; n++) {
        rate[CASES][n] = measure_peak(l), rate[CASES + 1][n] = measure_copy(l);
        for (int i = 0; i < CASES && ok; i++) ok = (rate[i][n] = measure(c, &cases[i], &p[i])) > 0;
    }
    double peak = ok ? median(rate[CASES], rounds) : 0, copy = ok ? median(rate[CASES + 1], rounds) : 0;
    if (ok) show(o, "multiply-adds on registers", true, peak, peak), show(o, "copy of 64 MB", false, copy, copy);
    for (int i = 0; i < CASES && ok; i++)
        show(o, cases[i].name, cases[i].flops > 0, median(rate[i], rounds), cases[i].flops > 0 ? peak : copy);
    for (int i = 0; i < CASES; i++) tsr_fn_free(c, p[i].fn);
    return ok;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {.rounds = 11};
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    tsr_ctx *c = cli_open(NULL);
    if (!c) return CLI_FAILED;
    struct limits l = {.c = c, .from = mem_zalloc(c, COPY_BYTES), .to = mem_zalloc(c, COPY_BYTES)};
    bool ok = l.from && l.to && ctx_pool(c);
    if (ok && !o.json) printf("%d threads, %s, medians of %d rounds\n", tsr_threads(c), cpu_isa_name(cpu_isa()),
        (int)o.rounds);
    ok = ok && run_cases(c, &o, &l);
    mem_free(c, l.from, COPY_BYTES), mem_free(c, l.to, COPY_BYTES);
    if (!ok) return cli_fail(c);
    tsr_close(c);
    return CLI_OK;
}

const struct cli_verb verb_bench = {
    .name = "bench", .args = "", .summary = "this machine's limits, and what part of them kernels reach",
        .option = table,
    .noption = sizeof table / sizeof *table, .run = run,
    .examples = "  tessera bench\n  TSR_THREADS=1 tessera bench --rounds 5 --json\n",
};
