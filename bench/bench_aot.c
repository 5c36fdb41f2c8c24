/* bench_aot.c: what is compiled ahead of time beside the same fn run by the library: sizes, load times, run times.
 *
 *     bench_aot [digits|gpt]      one model a process, so that TSR_JIT and TSR_THREADS of the caller hold for it
 *
 * digits: the convnet on one image; gpt: logits of 64 tokens, 12 layers of width 768, its weights constants. Times are
 * medians; files go to a folder that is removed. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "run/aot.h"
#include "run/engine.h"
#include "tessera/tessera.h"

enum { MOST = 256, RUNS = 9 };

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *t, int n) {
    qsort(t, (size_t)n, sizeof *t, by_value);
    return t[n / 2] * 1e3;
}

static tsr_node *values(tsr_ctx *c, uint64_t seed, int rank, const int64_t *dim) {
    tsr_node *key = tsr_prng_key(c, seed);
    tsr_node *x = tsr_mul(c, tsr_prng_normal(c, key, tsr_type_dims(c, TSR_F32, rank, dim)), tsr_scalar_float(c,
        TSR_F32, 0.02));
    tsr_eval(c, 1, &x);
    return x;
}

static tsr_fn *gpt(tsr_ctx *c, tsr_node **arg) {
    const tsr_gpt m = {.vocab = 1024, .context = 64, .layers = 12, .heads = 12, .width = 768};
    tsr_node *p[MOST];
    int n = tsr_gpt_params(&m);
    for (int i = 0; i < n; i++) {
        char name[64];
        int64_t dim[2];
        int rank = tsr_gpt_param(&m, i, name, dim);
        p[i] = values(c, (uint64_t)i, rank, dim);
    }
    const tsr_type *t = tsr_type_dims(c, TSR_I32, 2, (int64_t[]){1, 64});
    *arg = tsr_full(c, t, 7);
    tsr_eval(c, 1, arg);
    if (tsr_fn_begin(c, "gpt")) return NULL;
    tsr_node *y = tsr_gpt_logits(c, &m, p, tsr_param(c, t, "token"));
    return tsr_fn_end(c, 1, &y);
}

static tsr_fn *digits(tsr_ctx *c, tsr_node **arg) {
    tsr_nn *net = tsr_convnet(c, 8, 8, 10);
    tsr_nn_init(net, 1);
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 4, (int64_t[]){1, 1, 8, 8});
    *arg = tsr_full(c, t, 0.5);
    tsr_eval(c, 1, arg);
    if (tsr_fn_begin(c, "digits")) return NULL;
    tsr_node *y = tsr_softmax(c, tsr_nn_forward(net, tsr_param(c, t, "x"), NULL), 1);
    return tsr_fn_end(c, 1, &y);
}

static long long bytes_of(const char *path) {
    struct stat s;
    return stat(path, &s) ? -1 : (long long)s.st_size;
}

static void time_engine(tsr_ctx *c, const char *path, tsr_node *arg) {
    double open[RUNS], first[RUNS], run[RUNS];
    tsr_node *y;
    for (int i = 0; i < RUNS; i++) {
        tsr_ctx *d = tsr_open(NULL);
        int64_t dim[4];
        tsr_type_ints(tsr_node_type(arg), dim);
        tsr_node *x = tsr_tensor(d, tsr_node_dtype(arg), tsr_node_rank(arg), dim, tsr_buf_data(tsr_node_buf(arg)));
        double t = clock_seconds();
        tsr_engine *e = tsr_engine_open(d, path);
        open[i] = clock_seconds() - t, t = clock_seconds();
        if (!e || tsr_engine_run(e, 1, &x, &y)) printf("%s\n", tsr_error_message(d));
        first[i] = clock_seconds() - t;
        for (int k = 0; k < 2; k++) t = clock_seconds(), tsr_engine_run(e, 1, &x, &y), run[i] = clock_seconds() - t;
        tsr_engine_close(e);
        tsr_close(d);
    }
    (void)c;
    printf("engine: %lld bytes, open %.2f ms, first run %.2f ms, then %.3f ms\n", bytes_of(path), median(open, RUNS),
        median(first, RUNS), median(run, RUNS));
}

static void time_object(tsr_ctx *c, const char *path, tsr_fn *f, tsr_node *arg) {
    struct aot_opts o = {.path = path, .name = "m", .source = "bench"};
    struct aot_info info;
    tsr_fn *closed = engine_freeze(c, f, false);
    struct aot_entry entry = {"run", "bench", closed};
    double run[RUNS], t = clock_seconds();
    if (aot_so(c, &o, 1, &entry, &info)) {
        printf("object: %s\n", tsr_error_message(c));
        tsr_error_clear(c);
        return;
    }
    double built = clock_seconds() - t;
    void *so = dlopen(path, RTLD_NOW), *sym = so ? dlsym(so, "m_run") : NULL, *room = so ? dlsym(so, "m_workspace")
        : NULL;
    int (*go)(const void *const *, void *const *, void *, const long long *);
    size_t (*need)(const long long *);
    memcpy(&go, &sym, sizeof go), memcpy(&need, &room, sizeof need);
    size_t out_bytes = 4 << 20;
    void *out[1] = {malloc(out_bytes)}, *space = malloc(need(NULL));
    const void *in[1] = {tsr_buf_data(tsr_node_buf(arg))};
    for (int i = 0; i < RUNS; i++) t = clock_seconds(), go(in, out, space, NULL), run[i] = clock_seconds() - t;
    printf("object: %lld bytes, built in %.1f s, workspace %zu bytes, a run %.3f ms (one thread)\n", bytes_of(path),
        built,
        need(NULL), median(run, RUNS));
    free(out[0]), free(space), dlclose(so);
    tsr_fn_free(c, closed);
}

int main(int argc, char **argv) {
    bool is_gpt = argc > 1 && !strcmp(argv[1], "gpt");
    char folder[] = "/tmp/tessera-bench-XXXXXX", path[80];
    tsr_ctx *c = tsr_open(NULL);
    tsr_node *arg, *y;
    double run[RUNS];
    if (!mkdtemp(folder)) return 1;
    tsr_fn *f = is_gpt ? gpt(c, &arg) : digits(c, &arg);
    for (int i = -3; f && i < RUNS; i++) {
        double t = clock_seconds();
        tsr_run(c, f, 1, &arg, &y);
        if (i >= 0) run[i] = clock_seconds() - t;
    }
    printf("tsr_run: %.3f ms (%d threads, TSR_JIT=%s)\n", median(run, RUNS), tsr_threads(c), env_str("TSR_JIT"));
    snprintf(path, sizeof path, "%s/m.tsr", folder);
    double t = clock_seconds();
    if (tsr_engine_save(c, path, f)) printf("%s\n", tsr_error_message(c));
    printf("engine saved in %.0f ms\n", (clock_seconds() - t) * 1e3);
    time_engine(c, path, arg);
    unlink(path);
    if (!getenv("NO_SO")) {
        snprintf(path, sizeof path, "%s/m.so", folder);
        time_object(c, path, f, arg);
        unlink(path);
        snprintf(path, sizeof path, "%s/m.h", folder);
        unlink(path);
    }
    rmdir(folder);
    tsr_fn_free(c, f);
    tsr_close(c);
    return 0;
}
