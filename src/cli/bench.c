/* bench.c: `tessera bench`: what this machine can do, and what part of it the kernels reach.
 *
 * Two limits are measured first: multiply-adds on registers (all threads, nothing loaded), and copying 64 MB: with the
 * C library's memcpy and with stores past the caches, of which the faster one is the limit. Then each case runs as a
 * compiled fn, on the tile VM and, where there is a C compiler, on the C tier, both on the same operands. Limits and
 * cases are interleaved, round after round, and medians compared, since machines are noisy: the ratio is the figure,
 * the rate is context. Bytes of a case are what must be read and written once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/sys.h"
#include "cli/verbs.h"
#include "device/cpu/jit_cache.h"
#include "tessera/ops.h"
#include "tessera/run.h"
#include "tile/vm_dot.h"

enum { MOST_ROUNDS = 101, COPY_BYTES = 64 << 20, COPY_PARTS = 64, MOST_ARGS = 3, PEAK_TURNS = 200000 };

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
static tsr_node *build_linear(tsr_ctx *c, tsr_node **x) { return tsr_linear(c, x[0], x[1], NULL); }
static tsr_node *build_conv(tsr_ctx *c, tsr_node **x) {
    return tsr_conv(c, x[0], x[1], NULL, NULL, (int64_t[]){1, 1}, NULL, 1);
}
static tsr_node *build_chain(tsr_ctx *c, tsr_node **x) { return tsr_relu(c, tsr_add(c, tsr_mul(c, x[0], x[1]), x[0])); }
static tsr_node *build_gelu(tsr_ctx *c, tsr_node **x) {
    tsr_node *half = tsr_scalar_float(c, TSR_F32, 0.5), *third = tsr_scalar_float(c, TSR_F32, 1.0 / 3);
    return tsr_mul(c, tsr_gelu(c, tsr_add(c, tsr_mul(c, x[0], half), third), false), x[1]);
}
static tsr_node *build_softmax(tsr_ctx *c, tsr_node **x) { return tsr_softmax(c, x[0], -1); }
static tsr_node *build_norm(tsr_ctx *c, tsr_node **x) { return tsr_layer_norm(c, x[0], 1, x[1], x[2], 1e-5); }
static tsr_node *build_sum(tsr_ctx *c, tsr_node **x) { return tsr_sum(c, x[0], 0, NULL, false); }

#define K (1 << 10)
#define M (1 << 20)
static const struct bench_case cases[] = {
    {"matmul 1024 x 1024 x 1024", 2, {2, 2}, {{K, K}, {K, K}}, build_matmul, 2.0 * K * K * K, 0},
    {"matmul 128 x 4096 x 1024", 2, {2, 2}, {{128, 4 * K}, {4 * K, K}}, build_matmul, 2.0 * 128 * 4 * K * K, 0},
    {"matmul 1 x 4096 x 4096", 2, {2, 2}, {{1, 4 * K}, {4 * K, 4 * K}}, build_matmul, 0, 4.0 * 16 * M},
    {"linear 1 x 4096 -> 4096", 2, {2, 2}, {{1, 4 * K}, {4 * K, 4 * K}}, build_linear, 0, 4.0 * 16 * M},
    {"conv 3x3, 64 -> 64, 4 x 56 x 56", 2, {4, 4}, {{4, 64, 56, 56}, {64, 64, 3, 3}}, build_conv,
        2.0 * 4 * 56 * 56 * 64 * 64 * 9, 0},
    {"relu(x y + x), 16 M", 2, {1, 1}, {{16 * M}, {16 * M}}, build_chain, 0, 3.0 * 4 * 16 * M},
    {"gelu(x / 2 + 1 / 3) y, 16 M", 2, {1, 1}, {{16 * M}, {16 * M}}, build_gelu, 0, 3.0 * 4 * 16 * M},
    {"softmax, 8192 x 1024", 1, {2}, {{8 * K, K}}, build_softmax, 0, 2.0 * 4 * 8 * M},
    {"layer_norm, 8192 x 1024", 3, {2, 1, 1}, {{8 * K, K}, {K}, {K}}, build_norm, 0, 2.0 * 4 * 8 * M},
    {"sum, 16 M", 1, {1}, {{16 * M}}, build_sum, 0, 4.0 * 16 * M},
};
#undef K
#undef M
enum { CASES = sizeof cases / sizeof *cases };

/* ---- the limits ---- */

enum limit { PEAK, MEMCPY, STREAM, LIMITS };
static const char *const limit_name[LIMITS] = {"multiply-adds on registers", "copy of 64 MB, memcpy",
    "copy of 64 MB, past the caches"};

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

static void memcpy_part(void *arg, int64_t i, int worker) {
    struct limits *l = arg;
    size_t part = COPY_BYTES / COPY_PARTS;
    (void)worker;
    memcpy(l->to + (size_t)i * part, l->from + (size_t)i * part, part);
}

static void stream_part(void *arg, int64_t i, int worker) {
    struct limits *l = arg;
    size_t part = COPY_BYTES / COPY_PARTS;
    (void)worker;
    vm_stream(l->to + (size_t)i * part, l->from + (size_t)i * part, part);
    vm_stream_end();
}

/* Bytes read and written a second. */
static double measure_copy(struct limits *l, pool_body *part) {
    double start = clock_seconds();
    pool_for(ctx_pool(l->c), COPY_PARTS, part, l);
    return 2.0 * COPY_BYTES / (clock_seconds() - start);
}

static double measure_limit(struct limits *l, enum limit i) {
    return i == PEAK ? measure_peak(l) : measure_copy(l, i == MEMCPY ? memcpy_part : stream_part);
}

/* ---- the cases ---- */

/* A tier is a context of its own: which one its kernels run on is decided when its device opens. */
enum tier { VM, C_TIER, TIERS };
static const struct { const char *name, *jit; } tiers[TIERS] = {[VM] = {"vm", "off"}, [C_TIER] = {"c", "now"}};

struct prepared { tsr_fn *fn; tsr_node *arg[MOST_ARGS]; };

/* What all cases share: operands are parts of one block of numbers between -1 and 1. */
struct bench {
    const struct options *o;
    tsr_ctx *c[TIERS]; /* NULL: not there */
    float *data;
    struct limits limits;
    struct prepared p[TIERS][CASES];
    bool wanted[CASES];
    double limit[LIMITS][MOST_ROUNDS], rate[TIERS][CASES][MOST_ROUNDS];
};

static int64_t elements(const struct bench_case *k, int i) {
    int64_t n = 1;
    for (int j = 0; j < k->rank[i]; j++) n *= k->dim[i][j];
    return n;
}

static int64_t most_elements(void) {
    int64_t most = 0;
    for (int i = 0; i < CASES; i++) {
        int64_t n = 0;
        for (int j = 0; j < cases[i].nargs; j++) n += elements(&cases[i], j);
        if (n > most) most = n;
    }
    return most;
}

static void give_nothing_back(void *user) { (void)user; }

static tsr_node *operand(tsr_ctx *c, const struct bench_case *k, int i, const float *data) {
    for (int j = 0; j < i; j++) data += elements(k, j);
    tsr_buf *b = tsr_buf_borrow(c, data, (size_t)elements(k, i) * sizeof *data, give_nothing_back, NULL);
    tsr_node *n = b ? tsr_wrap(c, tsr_type_dims(c, TSR_F32, k->rank[i], k->dim[i]), b) : NULL;
    tsr_buf_free(b);
    return n;
}

static bool prepare(tsr_ctx *c, const struct bench_case *k, const float *data, struct prepared *p) {
    tsr_node *param[MOST_ARGS];
    for (int i = 0; i < k->nargs; i++)
        if (tsr_is_poison(p->arg[i] = operand(c, k, i, data))) return false;
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

/* ---- the table ---- */

static void show_limit(const struct options *o, const char *name, bool flops, double rate) {
    const char *unit = flops ? "GFLOP/s" : "GB/s";
    if (o->json) printf("{\"case\":\"%s\",\"unit\":\"%s\",\"rate\":%.3f}\n", name, unit, rate * 1e-9);
    else printf("%-34s %9.1f %s\n", name, rate * 1e-9, unit);
}

static void show_case(struct bench *b, int i, double limit) {
    const char *unit = cases[i].flops > 0 ? "GFLOP/s" : "GB/s";
    if (!b->o->json) printf("%-34s", cases[i].name);
    for (int t = 0; t < TIERS; t++) {
        if (!b->c[t]) continue;
        double rate = median(b->rate[t][i], (int)b->o->rounds);
        if (b->o->json) printf("{\"case\":\"%s\",\"tier\":\"%s\",\"unit\":\"%s\",\"rate\":%.3f,\"ratio\":%.4f}\n",
            cases[i].name, tiers[t].name, unit, rate * 1e-9, rate / limit);
        else printf(" %9.1f %-7s %4.0f %%", rate * 1e-9, unit, 100 * rate / limit);
    }
    if (!b->o->json) putchar('\n');
}

static void show(struct bench *b) {
    int rounds = (int)b->o->rounds;
    double limit[LIMITS];
    if (!b->o->json) printf("%d threads, %s, medians of %d rounds\n", tsr_threads(b->c[VM]), cpu_isa_name(cpu_isa()),
        rounds);
    for (int i = 0; i < LIMITS; i++)
        show_limit(b->o, limit_name[i], i == PEAK, limit[i] = median(b->limit[i], rounds));
    if (!b->o->json) printf("\n%-34s %17s %4s  %17s\n", "", "tile VM", "", b->c[C_TIER] ? "C tier" : "");
    for (int i = 0; i < CASES; i++)
        if (b->wanted[i]) show_case(b, i, cases[i].flops > 0 ? limit[PEAK] : fmax(limit[MEMCPY], limit[STREAM]));
}

/* The first run of a fn compiles it, on every tier. */
static bool measure_all(struct bench *b, tsr_ctx **failed) {
    for (int n = -1; n < (int)b->o->rounds; n++) {
        for (int i = 0; i < LIMITS && n >= 0; i++) b->limit[i][n] = measure_limit(&b->limits, (enum limit)i);
        for (int i = 0; i < CASES * TIERS; i++) {
            int k = i / TIERS, t = i % TIERS;
            tsr_ctx *c = *failed = b->c[t];
            if (!c || !b->wanted[k]) continue;
            setenv("TSR_JIT", tiers[t].jit, 1); /* read when the first run opens the device */
            if (n < 0 && !prepare(c, &cases[k], b->data, &b->p[t][k])) return false;
            double rate = measure(c, &cases[k], &b->p[t][k]);
            if (rate == 0) return false;
            if (n >= 0) b->rate[t][k][n] = rate;
        }
    }
    return true;
}

static void fill(float *data, int64_t n) {
    uint32_t u = 1;
    for (int64_t i = 0; i < n; i++) {
        u = u * 1664525u + 1013904223u; /* Knuth's linear congruence; the upper bits are good enough */
        data[i] = (float)(int32_t)u * 0x1p-31f;
    }
}

static bool allocate(struct bench *b, int64_t elements) {
    tsr_ctx *c = b->c[VM];
    b->data = mem_array(c, (size_t)elements, sizeof *b->data);
    b->limits = (struct limits){.c = c, .from = mem_zalloc(c, COPY_BYTES), .to = mem_zalloc(c, COPY_BYTES)};
    if (!b->data || !b->limits.from || !b->limits.to || !ctx_pool(c)) return false;
    fill(b->data, elements);
    return true;
}

static tsr_ctx *open_tier(enum tier t) {
    struct jit_tool tool;
    if (t == C_TIER && !jit_tool_find(&tool)) return NULL;
    return cli_open(NULL);
}

static void close_tiers(struct bench *b, int64_t elements) {
    for (int t = TIERS; t-- > 0;) {
        if (!b->c[t]) continue;
        for (int i = 0; i < CASES; i++) tsr_fn_free(b->c[t], b->p[t][i].fn);
        if (t == VM) {
            mem_array_free(b->c[VM], b->data, (size_t)elements, sizeof *b->data);
            mem_free(b->c[VM], b->limits.from, COPY_BYTES), mem_free(b->c[VM], b->limits.to, COPY_BYTES);
        }
        tsr_close(b->c[t]);
    }
}

/* Cases whose names contain one of the words; all without words. */
static bool choose(struct bench *b, int n, char **word) {
    bool any = false;
    for (int i = 0; i < CASES; i++) {
        b->wanted[i] = n == 0;
        for (int j = 0; j < n; j++) b->wanted[i] |= strstr(cases[i].name, word[j]) != NULL;
        any |= b->wanted[i];
    }
    return any;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    static struct bench b;
    struct options o = {.rounds = 11};
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    if (!choose(&b, argc, argv)) return cli_usage(v, "no case has \"%s\" in its name", argv[0]);
    b.o = &o;
    for (int t = 0; t < TIERS; t++) b.c[t] = open_tier((enum tier)t);
    if (!b.c[VM]) return CLI_FAILED;
    tsr_ctx *failed = b.c[VM];
    int64_t most = most_elements();
    if (!allocate(&b, most) || !measure_all(&b, &failed)) return cli_fail(failed);
    show(&b);
    close_tiers(&b, most);
    return CLI_OK;
}

const struct cli_verb verb_bench = {
    .name = "bench", .args = "[WORD...]", .summary = "this machine's limits, and what part of them kernels reach",
    .max_args = 16, .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "Runs the cases whose names contain a WORD (all without one) on the tile VM and, where there is a C\n"
             "compiler, on the C tier.\n",
    .examples = "  tessera bench\n  tessera bench softmax norm\n  TSR_THREADS=1 tessera bench --rounds 5 --json\n",
};
