/* check.c: what bench/gpu_check.sh asks of a GPU: is it right, and how fast is it. Prints Markdown.
 *
 *     gpu_check PART [small]
 *
 *     ops        the self-test: every op's sampler against the reference interpreter (compute-sanitizer goes around it)
 *     train      digits and a GPT-2-shaped step: losses beside the CPU's, to 1e-3
 *     bandwidth  kernels that only move memory, in parts of the measured copy rate
 *     gemm       products in f32, tf32, f16 and bf16
 *
 * The device is TSR_DEVICE. `small` makes everything so small that a look-alike of a GPU that computes on the host can
 * run it: the figures then mean nothing, and the tables say so. Exit status 1: something was wrong. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "device/device.h"
#include "device/memory.h"
#include "run/selftest.h"
#include "tessera/tessera.h"

static bool small;

static int fail(tsr_ctx *c, const char *what) {
    printf("\n**%s failed**: %s\n", what, tsr_error_message(c));
    return 1;
}

static int print_header(void) {
    tsr_ctx *c = tsr_open(NULL);
    struct device *d = device_of(c);
    int failed = d ? 0 : fail(c, "opening the device");
    if (d) printf("%s, %s, %s, %d units, %zu MiB%s.\n", d->facts.name, d->facts.arch, d->facts.driver, d->facts.units,
        d->facts.memory >> 20, small ? "; **a small run: figures mean nothing**" : "");
    tsr_close(c);
    return failed;
}

/* ---- ops ---- */

struct tally { int outcome[SELFTEST_OUTCOMES]; };

static void on_case(void *user, const struct selftest_case *k) {
    struct tally *t = user;
    t->outcome[k->outcome]++;
    if (k->outcome != SELFTEST_PASSED) printf("- %s %s: %s\n", k->op, tsr_dtype_name(k->dtype), k->reason);
}

static int check_ops(void) {
    struct tally t = {{0}};
    tsr_ctx *c = tsr_open(NULL);
    struct selftest_options o = {.seed = 11, .samples = small ? 1 : 0, .shards = small ? 150 : 1, .fused_only = small};
    printf("\n## Ops against the reference interpreter\n\n");
    tsr_status s = selftest_run(c, &o, on_case, &t);
    printf("\n%d passed, %d failed, %d not claimed.\n", t.outcome[SELFTEST_PASSED], t.outcome[SELFTEST_FAILED],
        t.outcome[SELFTEST_UNCLAIMED]);
    int failed = s ? fail(c, "the self-test") : t.outcome[SELFTEST_FAILED] > 0;
    tsr_close(c);
    return failed;
}

/* ---- training beside the CPU ---- */

enum { LOSSES = 64 };
struct losses {
    int n, most;
    double v[LOSSES];
    volatile int stop;
};

static void on_event(void *user, const tsr_train_event *e) {
    struct losses *l = user;
    if (e->kind == TSR_EVENT_STEP && l->n < l->most) l->v[l->n++] = e->loss;
    l->stop = l->n == l->most;
}

static bool train_digits(tsr_ctx *c, struct losses *l) {
    tsr_data *all = tsr_data_digits(c), *rest = NULL, *some = NULL;
    tsr_nn *net = all ? tsr_convnet(c, all->dim[0], all->dim[1], all->classes) : NULL;
    bool ok = net && !tsr_nn_init(net, 5) && !tsr_data_split(c, all, small ? 0.02 : 0.5, 3, &rest, &some);
    tsr_trainer *t = NULL;
    if (ok) {
        tsr_trainer_opts o = {.model = net, .train = some, .epochs = 8, .batch = small ? 4 : 32, .seed = 9,
            .optim = {.kind = TSR_ADAM, .lr = 0.01}, .callback = on_event, .user = l, .stop = &l->stop};
        t = tsr_trainer_new(c, &o);
        tsr_status s = t ? tsr_trainer_run(t) : TSR_ENOMEM;
        if (s == TSR_EINTERRUPTED) tsr_error_clear(c), s = TSR_OK;
        ok = s == TSR_OK;
    }
    tsr_trainer_free(t);
    tsr_nn_free(net);
    tsr_data_free(c, all), tsr_data_free(c, rest), tsr_data_free(c, some);
    return ok && l->n == l->most;
}

static tsr_node *tokens(tsr_ctx *c, int64_t batch, int64_t time, int64_t vocab, int seed) {
    static int32_t t[4096];
    for (int64_t i = 0; i < batch * time; i++) t[i] = (int32_t)((i * 7919 + seed * 104729) % vocab);
    return tsr_tensor(c, TSR_I32, 2, (int64_t[]){batch, time}, t);
}

static bool open_gpt(tsr_ctx *c, const tsr_gpt *m, int n, tsr_var **var, const char **name, char (*text)[64]) {
    for (int i = 0; i < n; i++) {
        int64_t dim[2];
        int rank = tsr_gpt_param(m, i, text[i], dim);
        name[i] = text[i];
        const tsr_type *t = tsr_type_dims(c, TSR_F32, rank, dim);
        tsr_node *x = tsr_mul(c, tsr_random_normal(c, tsr_key(c, 100 + (uint64_t)i), t), tsr_scalar_float(c, TSR_F32,
            0.02));
        if (tsr_eval(c, 1, &x) || !(var[i] = tsr_var_new(c, text[i], x))) return false;
    }
    return true;
}

static tsr_fn *gpt_step(tsr_ctx *c, const tsr_gpt *m, int n, tsr_var **var, tsr_optim *o, const tsr_type *batch) {
    if (!o || tsr_fn_begin(c, "step")) return NULL;
    tsr_node *x = tsr_param(c, batch, "x"), *y = tsr_param(c, batch, "y");
    tsr_node **p = calloc((size_t)n, sizeof *p);
    for (int i = 0; i < n; i++) p[i] = tsr_var_read(c, var[i]);
    tsr_node *loss = tsr_gpt_loss(c, m, p, x, y);
    free(p);
    tsr_optim_step(o, loss, NULL);
    return tsr_fn_end(c, 1, &loss);
}

static bool train_gpt(tsr_ctx *c, struct losses *l) {
    tsr_gpt m = small ? (tsr_gpt){.vocab = 40, .context = 8, .layers = 1, .heads = 2, .width = 16}
        : (tsr_gpt){.vocab = 50257, .context = 1024, .layers = 12, .heads = 12, .width = 768};
    int n = tsr_gpt_params(&m);
    int64_t time = small ? 8 : 64;
    tsr_scope *outer = tsr_scope_begin(c);
    tsr_var **var = calloc((size_t)n, sizeof *var);
    const char **name = calloc((size_t)n, sizeof *name);
    char (*text)[64] = calloc((size_t)n, sizeof *text);
    bool ok = open_gpt(c, &m, n, var, name, text);
    tsr_optim_opts opts = {.kind = TSR_ADAMW, .lr = 3e-4, .weight_decay = 0.1};
    tsr_optim *o = ok ? tsr_optim_new(c, &opts, n, var, name) : NULL;
    tsr_fn *f = gpt_step(c, &m, n, var, o, tsr_type_dims(c, TSR_I32, 2, (int64_t[]){1, time}));
    for (ok = f != NULL; ok && l->n < l->most;) {
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *arg[2] = {tokens(c, 1, time, m.vocab, 1), tokens(c, 1, time, m.vocab, 2)}, *loss;
        ok = !tsr_run(c, f, 2, arg, &loss);
        if (ok) l->v[l->n++] = tsr_read_scalar(c, loss);
        tsr_scope_end(c, s);
    }
    tsr_fn_free(c, f);
    tsr_optim_free(o);
    for (int i = 0; i < n; i++) tsr_var_free(c, var[i]);
    free(var), free(name), free(text);
    tsr_scope_end(c, outer);
    return ok;
}

static int beside_cpu(const char *name, int steps, bool (*train)(tsr_ctx *c, struct losses *l)) {
    struct losses here = {.most = steps}, cpu = {.most = steps};
    double worst = 0, seconds[2];
    tsr_ctx *c = tsr_open(NULL), *p = tsr_open(&(tsr_config){.device = "cpu"});
    double start = clock_seconds();
    bool ok = train(c, &here);
    seconds[0] = clock_seconds() - start, start = clock_seconds();
    if (!ok) return fail(c, name);
    if (!train(p, &cpu)) return fail(p, name);
    seconds[1] = clock_seconds() - start;
    for (int i = 0; i < steps; i++) worst = fmax(worst, fabs(here.v[i] - cpu.v[i]) / fmax(1, fabs(cpu.v[i])));
    bool right = worst <= 1e-3; /* false for NaN */
    printf("| %s | %d | %.6f | %.6f | %.2g | %s | %.1f s | %.1f s | %llu |\n", name, steps, here.v[steps - 1],
        cpu.v[steps - 1], worst, right ? "yes" : "**no**", seconds[0], seconds[1],
        (unsigned long long)tsr_stats(c).replays);
    tsr_close(c), tsr_close(p);
    return !right;
}

static int check_training(void) {
    printf("\n## Training beside the CPU\n\n| model | steps | last loss | CPU's | worst difference | within 1e-3 | "
        "time, compilation included | CPU's | replays |\n|---|---|---|---|---|---|---|---|---|\n");
    int failed = beside_cpu("digits, convnet, Adam", small ? 6 : 60, train_digits);
    const char *gpt = small ? "GPT, 1 layer, AdamW" : "GPT-2-shaped (12 x 768), 1 x 64, AdamW";
    return beside_cpu(gpt, small ? 6 : 5, train_gpt) || failed;
}

/* ---- rates ---- */

/* A fn of n operands that are random, of dtype t; what a run moves or computes. */
struct rate_case {
    const char *name;
    tsr_dtype t;
    int nargs, rank[3];
    int64_t dim[3][2];
    tsr_node *(*build)(tsr_ctx *c, tsr_node **x);
    double work;
    bool tf32;
};

static tsr_node *chain(tsr_ctx *c, tsr_node **x) { return tsr_relu(c, tsr_add(c, tsr_mul(c, x[0], x[1]), x[0])); }
static tsr_node *gelu(tsr_ctx *c, tsr_node **x) { return tsr_gelu(c, x[0], false); }
static tsr_node *softmax(tsr_ctx *c, tsr_node **x) { return tsr_softmax(c, x[0], -1); }
static tsr_node *norm(tsr_ctx *c, tsr_node **x) { return tsr_layer_norm(c, x[0], 1, x[1], x[2], 1e-5); }
static tsr_node *product(tsr_ctx *c, tsr_node **x) { return tsr_matmul(c, x[0], x[1]); }

static tsr_fn *prepare(tsr_ctx *c, const struct rate_case *k, tsr_node **arg) {
    tsr_node *param[3];
    for (int i = 0; i < k->nargs; i++) {
        const tsr_type *t = tsr_type_dims(c, TSR_F32, k->rank[i], k->dim[i]);
        arg[i] = tsr_cast(c, tsr_random_uniform(c, tsr_key(c, 7 + (uint64_t)i), t, -1, 1), k->t);
        if (tsr_eval(c, 1, &arg[i])) return NULL;
    }
    if (tsr_fn_begin(c, "rate")) return NULL;
    for (int i = 0; i < k->nargs; i++) param[i] = tsr_param(c, tsr_node_type(arg[i]), NULL);
    tsr_node *y = k->build(c, param);
    return tsr_fn_end(c, 1, &y);
}

static bool run_times(tsr_ctx *c, tsr_fn *f, int n, tsr_node **arg, int times) {
    bool ok = true;
    for (int i = 0; i < times && ok; i++) {
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *out;
        ok = tsr_run(c, f, n, arg, &out) == TSR_OK;
        tsr_scope_end(c, s);
    }
    struct device *d = device_of(c);
    return ok && d->ops->sync(d) == TSR_OK;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

enum { ROUNDS = 7, TIMES = 10 };
/* Work a second: the median of rounds of runs that follow each other. 0: failed. */
static double measure(const struct rate_case *k) {
    double rate[ROUNDS] = {0};
    if (k->tf32) setenv("TSR_TF32", "1", 1);
    tsr_ctx *c = tsr_open(NULL);
    tsr_node *arg[3];
    tsr_fn *f = prepare(c, k, arg);
    bool ok = f && run_times(c, f, k->nargs, arg, 3);
    for (int r = 0; r < ROUNDS && ok; r++) {
        double start = clock_seconds();
        ok = run_times(c, f, k->nargs, arg, small ? 1 : TIMES);
        rate[r] = k->work * (small ? 1 : TIMES) / (clock_seconds() - start);
    }
    if (!ok) fail(c, k->name);
    tsr_fn_free(c, f);
    tsr_close(c);
    unsetenv("TSR_TF32");
    qsort(rate, ROUNDS, sizeof *rate, by_value);
    return ok ? rate[ROUNDS / 2] : 0;
}

/* Bytes read and written a second by the driver's own copy. */
static double measure_copy(size_t bytes) {
    double rate[ROUNDS] = {0};
    tsr_ctx *c = tsr_open(NULL);
    struct device *d = device_of(c);
    void *from = d ? device_alloc(d, bytes) : NULL, *to = from ? device_alloc(d, bytes) : NULL;
    bool ok = to && !d->ops->copy(d, to, from, bytes) && !d->ops->sync(d);
    for (int r = 0; r < ROUNDS && ok; r++) {
        double start = clock_seconds();
        for (int i = 0; i < TIMES && ok; i++) ok = !d->ops->copy(d, to, from, bytes);
        ok = ok && !d->ops->sync(d);
        rate[r] = 2.0 * (double)bytes * TIMES / (clock_seconds() - start);
    }
    if (!ok) fail(c, "the copy");
    if (d) device_free(d, to, bytes), device_free(d, from, bytes);
    tsr_close(c);
    qsort(rate, ROUNDS, sizeof *rate, by_value);
    return ok ? rate[ROUNDS / 2] : 0;
}

static int check_bandwidth(void) {
    const int64_t n = small ? 64 : 8192; /* n * n f32: 256 MB */
    const double one = 4.0 * (double)n * (double)n;
    const struct rate_case row[] = {
        {"relu(x y + x)", TSR_F32, 2, {2, 2}, {{n, n}, {n, n}}, chain, 3 * one, false},
        {"gelu(x)", TSR_F32, 1, {2}, {{n, n}}, gelu, 2 * one, false},
        {"softmax, rows", TSR_F32, 1, {2}, {{n, n}}, softmax, 2 * one, false},
        {"layer_norm, rows", TSR_F32, 3, {2, 1, 1}, {{n, n}, {n}, {n}}, norm, 2 * one, false},
    };
    double copy = measure_copy((size_t)one);
    int failed = copy <= 0;
    printf("\n## Memory-bound kernels, f32, %.0f MB an operand\n\n| kernel | GB/s | of the measured copy |\n"
        "|---|---|---|\n| copy by the driver | %.0f | 100 %% |\n", one / (1 << 20), copy * 1e-9);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        double rate = measure(&row[i]);
        failed |= rate <= 0;
        printf("| %s | %.0f | %.0f %% |\n", row[i].name, rate * 1e-9, 100 * rate / copy);
    }
    return failed;
}

static int check_gemm(void) {
    const int64_t n = small ? 16 : 4096;
    const double work = 2.0 * (double)n * (double)n * (double)n;
    const struct rate_case row[] = {
        {"f32", TSR_F32, 2, {2, 2}, {{n, n}, {n, n}}, product, work, false},
        {"f32 as tf32 (TSR_TF32=1)", TSR_F32, 2, {2, 2}, {{n, n}, {n, n}}, product, work, true},
        {"f16", TSR_F16, 2, {2, 2}, {{n, n}, {n, n}}, product, work, false},
        {"bf16", TSR_BF16, 2, {2, 2}, {{n, n}, {n, n}}, product, work, false},
    };
    int failed = 0;
    printf("\n## Products, %lld x %lld x %lld\n\n| operands | TFLOP/s |\n|---|---|\n", (long long)n, (long long)n,
        (long long)n);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        double rate = measure(&row[i]);
        failed |= rate <= 0;
        printf("| %s | %.2f |\n", row[i].name, rate * 1e-12);
    }
    return failed;
}

int main(int argc, char **argv) {
    static const struct { const char *name; int (*run)(void); } part[] = {{"header", print_header}, {"ops", check_ops},
        {"train", check_training}, {"bandwidth", check_bandwidth}, {"gemm", check_gemm}};
    small = argc > 2 && !strcmp(argv[2], "small");
    for (size_t i = 0; argc > 1 && i < sizeof part / sizeof *part; i++)
        if (!strcmp(argv[1], part[i].name)) return part[i].run();
    fprintf(stderr, "usage: gpu_check header|ops|train|bandwidth|gemm [small]\n");
    return 2;
}
