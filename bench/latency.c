/* latency.c: from a graph that was never seen to its first result, and to compiled code: our half of latency.py.
 *
 *     latency [--batches N] chain|resnet|gpt    one JSON object on one line; without a name, a line for each
 *
 * Times are milliseconds since the graph began to be built (parameters lie in memory by then, as they do for the
 * peers): graph, plan (passes, clusters, tile programs), bind (kernels made, sizes numbers), first result, compiled
 * tier ready (every kernel of the plan compiled and loaded; asked for right after the first result), and the run times
 * of both tiers. With --batches: fifty new batch sizes are bound, N of them run: how many kernels and compilations they
 * cost. A process measures one graph once; TSR_CACHE is the folder that makes a second process warm, and its entries
 * count compilations. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "models/graphs.h"
#include "run/runner.h"
#include "tessera/tessera.h"

enum { RUNS = 5, WARM = 6, BATCHES = 50, ARGS = 256, ROWS = 256, WIDE = 4096 };

struct bench {
    tsr_ctx *c;
    const struct model_graph *graph; /* NULL: the chain */
    tsr_nn *net;
    tsr_fn *fn;
    int n;
    tsr_node *arg[ARGS], *out[ARGS];
};

static double now_ms(void) { return clock_seconds() * 1e3; }

static int cache_entries(void) {
    DIR *d = opendir(env_str("TSR_CACHE"));
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) n += strstr(e->d_name, ".so") != NULL;
    if (d) closedir(d);
    return n;
}

/* ---- graphs ---- */

/* Twelve elementwise ops on (B, WIDE): one kernel. */
static tsr_node *chain_ops(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    for (int i = 0; i < 3; i++) x = tsr_mul(c, tsr_tanh(c, tsr_add(c, x, y)), tsr_sigmoid(c, x));
    return tsr_exp(c, tsr_sub(c, tsr_maximum(c, x, y), tsr_square(c, y)));
}

static tsr_fn *chain(tsr_ctx *c, const tsr_extent *batch) {
    const tsr_type *t = tsr_type_tensor(c, TSR_F32, 2, (const tsr_extent *[]){batch, tsr_extent_int(c, WIDE)});
    if (tsr_fn_begin(c, "chain")) return NULL;
    tsr_node *x = tsr_param(c, t, "x"), *y = chain_ops(c, x, tsr_param(c, t, "y"));
    return tsr_fn_end(c, 1, &y);
}

static const struct model_graph *find_graph(const char *name) {
    const struct model_graph *g;
    for (int i = 0; (g = model_graph_at(i)) && strcmp(g->name, name); i++) {}
    return g;
}

static tsr_fn *build(struct bench *b) {
    return b->graph ? model_graph_build(b->c, b->graph, b->net, NULL) : chain(b->c, tsr_extent_int(b->c, ROWS));
}

/* ---- arguments ---- */

/* Random values for every parameter, small, as an initialiser would draw them. Their types are those of the same graph
 * in another context: the one that is measured has seen nothing. */
static bool fill(struct bench *b, const struct bench *twin) {
    struct rng r = {.seed = 1};
    b->n = tsr_fn_params(twin->fn);
    for (int i = 0; i < b->n && i < ARGS; i++) {
        const tsr_type *t = tsr_fn_param_type(twin->fn, i);
        int64_t dim[TSR_MAX_RANK];
        size_t bytes;
        void *p = type_bytes(t, &bytes) && tsr_type_ints(t, dim) ? malloc(bytes) : NULL;
        if (!p) return false;
        for (size_t j = 0; t->dtype == TSR_F32 && j < bytes / 4; j++)
            ((float *)p)[j] = 0.02f * (float)((double)(rng_u64(&r) >> 40) * 0x1p-23 - 1);
        for (size_t j = 0; t->dtype == TSR_I32 && j < bytes / 4; j++) ((int32_t *)p)[j] = (int32_t)rng_below(&r, 10);
        b->arg[i] = tsr_tensor(b->c, t->dtype, t->rank, dim, p);
        free(p);
    }
    return !tsr_error_status(b->c) && !tsr_eval(b->c, b->n, b->arg);
}

static bool run_once(struct bench *b, double *ms) {
    tsr_scope *s = tsr_scope_begin(b->c);
    double start = now_ms();
    bool ok = !tsr_run(b->c, b->fn, b->n, b->arg, b->out) && !device_of(b->c)->ops->sync(device_of(b->c));
    *ms = now_ms() - start;
    tsr_scope_end(b->c, s);
    return ok;
}

static int by_value(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* A few runs go by first, a second of them at most: until then the tiers may take turns. */
static double steady(struct bench *b) {
    double ms[RUNS], begun = now_ms();
    for (int i = 0; i < WARM && now_ms() - begun < 1000; i++)
        if (!run_once(b, &ms[0])) return -1;
    for (int i = 0; i < RUNS; i++)
        if (!run_once(b, &ms[i])) return -1;
    qsort(ms, RUNS, sizeof *ms, by_value);
    return ms[RUNS / 2];
}

/* ---- fifty batch sizes ---- */

/* Zeros that no kernel makes. */
static tsr_node *zeros(tsr_ctx *c, const tsr_type *t, const int64_t *dim) {
    size_t bytes;
    void *p = type_bytes(tsr_type_dims(c, t->dtype, t->rank, dim), &bytes) ? calloc(1, bytes) : NULL;
    tsr_node *x = p ? tsr_tensor(c, t->dtype, t->rank, dim, p) : NULL;
    free(p);
    return x;
}

/* Arguments of f where the symbol is n: those of constant sizes are b's, the others zeros. */
static bool sized_args(struct bench *b, tsr_fn *f, const tsr_binding *size, tsr_node **arg) {
    for (int i = 0; i < tsr_fn_params(f); i++) {
        const tsr_type *t = tsr_fn_param_type(f, i);
        int64_t dim[TSR_MAX_RANK];
        arg[i] = b->arg[i];
        if (b->graph && tsr_type_ints(t, NULL)) continue;
        for (int j = 0; j < t->rank; j++)
            if (tsr_extent_eval(b->c, t->extent[j], 1, size, &dim[j])) return false;
        if (!(arg[i] = zeros(b->c, t, dim))) return false;
    }
    return true;
}

static bool run_size(struct bench *b, tsr_fn *f, const tsr_binding *size) {
    tsr_node *arg[ARGS], *out[ARGS];
    tsr_scope *s = tsr_scope_begin(b->c);
    bool ok = sized_args(b, f, size, arg) && !tsr_run(b->c, f, tsr_fn_params(f), arg, out);
    tsr_scope_end(b->c, s);
    return ok;
}

struct batches { int built, compiled; double ms; };

/* One fn with a symbol for the batch, bound to fifty sizes, the first `run` of them run: kernels built and compilations
 * after the first. */
static bool new_batches(struct bench *b, int run, struct batches *out) {
    tsr_ctx *c = b->c;
    const tsr_extent *batch = tsr_extent_symbol(c, "B", 1, INT64_MAX);
    tsr_fn *f = b->graph ? model_graph_build(c, b->graph, b->net, batch) : chain(c, batch);
    tsr_plan *p = f ? runner_plan(runner_of(c), f) : NULL;
    bool ok = p != NULL;
    uint64_t built = 0;
    double start = 0;
    int before = 0;
    for (int i = 0; i <= BATCHES && ok; i++) {
        tsr_binding size = {batch, b->graph ? i + 1 : 3 * i + 1};
        ok = exec_bind(runner_of(c), p, 1, &size) && (i > run || run_size(b, f, &size));
        if (i || !ok) continue;
        ok = !runner_settle(c), before = cache_entries(), built = tsr_stats(c).kernels_built;
        start = now_ms();
    }
    out->ms = now_ms() - start;
    ok = ok && !runner_settle(c);
    out->built = (int)(tsr_stats(c).kernels_built - built);
    out->compiled = cache_entries() - before;
    tsr_fn_free(c, f);
    return ok;
}

/* The graph in a context of its own, for the types of its parameters. */
static bool prepare(struct bench *b) {
    struct bench twin = {.c = tsr_open(&(tsr_config){.device = "null"}), .graph = b->graph};
    bool ok = twin.c && (twin.fn = build(&twin)) && fill(b, &twin);
    tsr_fn_free(twin.c, twin.fn);
    tsr_close(twin.c);
    if (ok && b->graph && b->graph->net) ok = (b->net = b->graph->net(b->c)) && !tsr_nn_init(b->net, 1);
    return ok;
}

static bool measure(struct bench *b, const char *name, int sizes) {
    struct runner *r = runner_of(b->c);
    double run, start, graph, plan, bind, first, ready, compiled_run;
    if (!r || !prepare(b)) return false;
    start = now_ms();
    if (!(b->fn = build(b))) return false;
    graph = now_ms() - start;
    tsr_plan *p = runner_plan(r, b->fn);
    plan = now_ms() - start;
    if (!p || !exec_bind(r, p, 0, NULL)) return false;
    bind = now_ms() - start;
    if (!run_once(b, &run)) return false;
    first = now_ms() - start;
    if (runner_settle(b->c)) return false;
    ready = now_ms() - start;
    if ((compiled_run = steady(b)) < 0) return false;
    printf("{\"case\":\"%s\",\"graph\":%.2f,\"plan\":%.2f,\"bind\":%.2f,\"first\":%.2f,\"ready\":%.2f,"
        "\"first_run\":%.2f,\"compiled_run\":%.2f,\"kernels\":%d", name, graph, plan, bind, first, ready, run,
        compiled_run, (int)tsr_stats(b->c).kernels_built);
    struct batches more = {0};
    if (sizes >= 0 && !new_batches(b, sizes, &more)) return printf("}\n"), false;
    if (sizes >= 0)
        printf(",\"batch_kernels\":%d,\"batch_compilations\":%d,\"batch_runs\":%d,\"batches_ms\":%.1f", more.built,
            more.compiled, sizes, more.ms);
    printf("}\n");
    return true;
}

static bool measure_one(const char *name, int sizes) {
    struct bench b = {.c = tsr_open(NULL), .graph = find_graph(name)};
    if (!b.c || (!b.graph && strcmp(name, "chain"))) return tsr_close(b.c), false;
    tsr_scope *s = tsr_scope_begin(b.c);
    bool ok = measure(&b, name, sizes);
    if (!ok) fprintf(stderr, "%s: %s\n", name, tsr_error_message(b.c));
    tsr_fn_free(b.c, b.fn);
    tsr_nn_free(b.net);
    tsr_scope_end(b.c, s);
    tsr_close(b.c);
    return ok;
}

int main(int argc, char **argv) {
    static const char *const all[] = {"chain", "resnet", "gpt"};
    bool ok = true;
    int sizes = -1, from = 1;
    if (argc > 2 && !strcmp(argv[1], "--batches")) sizes = atoi(argv[2]), from = 3;
    if (sizes > BATCHES) sizes = BATCHES;
    for (int i = from; i < argc && ok; i++) ok = measure_one(argv[i], sizes);
    for (int i = 0; argc == from && i < 3 && ok; i++) ok = measure_one(all[i], sizes);
    return !ok;
}
