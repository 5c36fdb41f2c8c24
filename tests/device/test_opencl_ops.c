/* test_opencl_ops.c: real OpenCL drivers (PoCL, or a GPU's): what is computed there against the reference and the cpu.
 *
 * A driver's compiler takes half a second for a kernel, so each run takes another few of the ops; TSR_TEST_SHARD=i/n
 * takes those that are i modulo n, 0/1 all. Then whole programs: training of a convolutional net and of a small GPT-2
 * with the losses of the cpu, loops and branches, sizes that are symbols, two contexts at once. Without a driver
 * everything is skipped and says how to get one. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "device/devices.h"
#include "harness.h"
#include "run/runner.h"
#include "run/selftest.h"
#include "tessera/data.h"
#include "tessera/models.h"
#include "tessera/nn.h"
#include "tessera/ops.h"
#include "tessera/train.h"
#include "tessera/transform.h"

#define LOSS_TOLERANCE 1e-5 /* of drivers that are not exact to the last bit; PoCL is */

static tsr_ctx *opencl_ctx(void) {
    char why[256] = "";
    tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = 2, .device = "opencl"});
    if (device_opencl.count(c, why)) return c;
    test_skip("%s", why);
    return NULL;
}
static tsr_ctx *cpu_ctx(void) { return test_ctx_with(&(tsr_config){.threads = 2, .device = "cpu"}); }

/* ---- ops --------------------------------------------------------------------------------------------------------- */

static int instances, same, cases;

static void judge(void *user, const struct selftest_case *k) {
    (void)user;
    test_case("%s %s", k->op, tsr_dtype_name(k->dtype));
    instances += k->instances;
    cases++, same += k->same_bits;
    CHECK_MSG(k->outcome != SELFTEST_FAILED, "%s", k->reason);
    if (!k->same_bits && getenv("TSR_TEST_BITS")) printf("%s %s: %s\n", k->op, tsr_dtype_name(k->dtype), k->differs);
    if (*k->graph && getenv("TSR_TEST_SHOW")) puts(k->graph);
}

TEST(ops_against_the_reference) {
    tsr_ctx *c = opencl_ctx(), *cpu = cpu_ctx();
    struct selftest_options o = {.seed = rng_u64(test_rng()), .op = getenv("TSR_TEST_OP"), .twin = cpu, .shards = 60,
        .samples = 3, .fused_only = true};
    const char *shard = getenv("TSR_TEST_SHARD");
    if (!c) return;
    if (o.op) o.shards = 1;
    else if (!shard) o.shard = (int)test_int(0, o.shards - 1);
    else if (!CHECK_EQ(sscanf(shard, "%d/%d", &o.shard, &o.shards), 2)) return;
    CHECK_EQ(selftest_run(c, &o, judge, NULL), TSR_OK);
    CHECK_OK(c);
    printf("%d instances of ops compared with the reference; %d of %d cases have the bits of the cpu; %d kernels\n",
        instances, same, cases, (int)tsr_stats(c).kernels_built);
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

enum { LOSSES = 8 };
struct seen { double loss[LOSSES]; int n; };

static void on_event(void *user, const tsr_train_event *e) {
    struct seen *s = user;
    if (e->kind == TSR_EVENT_STEP && s->n < LOSSES) s->loss[s->n++] = e->loss;
}

static bool train_digits(tsr_ctx *c, struct seen *s) {
    tsr_nn *m = tsr_convnet(c, 8, 8, 10);
    tsr_data *all = tsr_data_digits(c), *some = NULL, *rest = NULL;
    tsr_trainer *t = NULL;
    *s = (struct seen){0};
    bool ok = m && all && !tsr_nn_init(m, 3) && !tsr_data_split(c, all, 256.0 / 1797, 3, &rest, &some);
    tsr_trainer_opts o = {.model = m, .train = some, .epochs = 1, .batch = 32, .seed = 5, .callback = on_event,
        .user = s, .optim = {.kind = TSR_ADAMW, .lr = 0.01}};
    ok = ok && (t = tsr_trainer_new(c, &o)) && !tsr_trainer_run(t);
    tsr_trainer_free(t);
    tsr_nn_free(m);
    tsr_data_free(c, all), tsr_data_free(c, some), tsr_data_free(c, rest);
    return ok;
}

TEST(digits_train_with_the_losses_of_the_cpu) {
    struct seen here, there;
    tsr_ctx *c = opencl_ctx(), *cpu = cpu_ctx();
    if (!c) return;
    CHECK(train_digits(c, &here)), CHECK_OK(c);
    CHECK(train_digits(cpu, &there)), CHECK_OK(cpu);
    CHECK_EQ(here.n, LOSSES);
    CHECK_F64(here.loss, there.loss, LOSSES, LOSS_TOLERANCE, 0);
    CHECK(here.loss[LOSSES - 1] < here.loss[0]);
}

/* A few steps of gradient descent on a GPT-2 of two layers. */
static bool train_gpt(tsr_ctx *c, double *loss, int steps) {
    enum { B = 2, T = 16, PARAMS = 40 };
    tsr_gpt m = {.vocab = 61, .context = T, .layers = 2, .heads = 2, .width = 32};
    tsr_node *param[PARAMS], *grad[PARAMS];
    int n = tsr_gpt_params(&m);
    int32_t token[B * T], target[B * T];
    struct rng r = {.seed = 11};
    if (!CHECK(n <= PARAMS)) return false;
    for (int i = 0; i < n; i++) {
        char name[64];
        int64_t dim[2] = {1, 1};
        int rank = tsr_gpt_param(&m, i, name, dim);
        float v[4096];
        if (!CHECK(dim[0] * dim[1] <= 4096)) return false;
        for (int64_t j = 0; j < dim[0] * dim[1]; j++) v[j] = rank == 1 ? 1.0f : 0.1f * (float)rng_normal(&r);
        param[i] = tsr_tensor(c, TSR_F32, rank, dim, v);
    }
    for (int i = 0; i < B * T; i++) token[i] = (i * 7 + 3) % 61, target[i] = (i * 7 + 10) % 61;
    tsr_node *x = tsr_tensor(c, TSR_I32, 2, (int64_t[]){B, T}, token);
    tsr_node *y = tsr_tensor(c, TSR_I32, 2, (int64_t[]){B, T}, target);
    for (int s = 0; s < steps; s++) {
        tsr_node *l = tsr_gpt_loss(c, &m, param, x, y), *all[PARAMS + 1];
        if (tsr_grad(c, l, n, param, grad)) return false;
        for (int i = 0; i < n; i++) all[i] = 
            tsr_sub(c, param[i], tsr_mul(c, grad[i], tsr_scalar_float(c, TSR_F32, 0.1)));
        all[n] = l;
        if (tsr_eval(c, n + 1, all)) return false;
        for (int i = 0; i < n; i++) param[i] = all[i];
        loss[s] = tsr_read_scalar(c, l);
    }
    return tsr_error_status(c) == TSR_OK;
}

TEST(a_small_gpt2_trains_with_the_losses_of_the_cpu) {
    double here[3], there[3];
    tsr_ctx *c = opencl_ctx(), *cpu = cpu_ctx();
    if (!c) return;
    CHECK(train_gpt(c, here, 3)), CHECK_OK(c);
    CHECK(train_gpt(cpu, there, 3)), CHECK_OK(cpu);
    CHECK_F64(here, there, 3, LOSS_TOLERANCE, 0);
    CHECK(here[2] < here[0]);
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

static tsr_node *random_f32(tsr_ctx *c, int64_t n) {
    float *p = mem_array(c, (size_t)n, sizeof *p);
    if (!p) return tsr_poison(c);
    for (int64_t i = 0; i < n; i++) p[i] = (float)test_uniform(-1, 1);
    tsr_node *x = tsr_tensor(c, TSR_F32, 2, (int64_t[]){n / 8, 8}, p);
    mem_array_free(c, p, (size_t)n, sizeof *p);
    return x;
}

/* A new batch size makes no kernel. */
TEST(ten_batch_sizes_build_kernels_once) {
    tsr_ctx *c = opencl_ctx();
    if (!c) return;
    const tsr_extent *B = tsr_extent_symbol(c, "B", 1, 1 << 20);
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
    tsr_node *p = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, (const tsr_extent *[]){B, tsr_extent_int(c, 8)}), "x");
    tsr_node *y = tsr_softmax(c, tsr_mul(c, p, p), -1);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    uint64_t built = 0;
    for (int i = 0; i < 10; i++) {
        int64_t rows = i ? test_int(1, 300) : 5;
        tsr_node *x = random_f32(c, rows * 8), *got, *want;
        float a[2400], b[2400];
        CHECK_EQ(tsr_run(c, f, 1, &x, &got), TSR_OK);
        CHECK_EQ(tsr_interpret(c, f, 1, &x, &want), TSR_OK);
        CHECK_EQ(tsr_read(c, got, a, (size_t)rows * 32), TSR_OK);
        CHECK_EQ(tsr_read(c, want, b, (size_t)rows * 32), TSR_OK);
        CHECK_F32(a, b, (size_t)rows * 8, 1e-6, 1e-7);
        if (!i) built = tsr_stats(c).kernels_built;
        CHECK_EQ(tsr_stats(c).kernels_built, built);
    }
    tsr_fn_free(c, f);
    CHECK_OK(c);
}

/* Predicates come back to the host, carried values stay: doubling until the sum passes a bound. */
TEST(loops_and_branches) {
    tsr_ctx *c = opencl_ctx();
    if (!c) return;
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 1, (int64_t[]){7});
    CHECK_EQ(tsr_fn_begin(c, "again"), TSR_OK);
    tsr_node *x = tsr_param(c, t, "x");
    tsr_node *go = tsr_lt(c, tsr_sum(c, x, 0, NULL, false), tsr_scalar_float(c, TSR_F32, 1000));
    tsr_fn *cond = tsr_fn_end(c, 1, &go);
    CHECK_EQ(tsr_fn_begin(c, "double"), TSR_OK);
    x = tsr_param(c, t, "x");
    tsr_node *twice = tsr_add(c, x, x);
    tsr_fn *body = tsr_fn_end(c, 1, &twice);
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
    x = tsr_param(c, t, "x");
    tsr_node *w = tsr_prim_while(c, cond, body, 1, &x, 0);
    tsr_node *out = tsr_item(c, w, 0);
    tsr_fn *f = tsr_fn_end(c, 1, &out);
    float v[7] = {1, 2, 3, 4, 5, 6, 7}, a[7], b[7];
    tsr_node *arg = tsr_from(c, t, v), *got, *want;
    CHECK_EQ(tsr_run(c, f, 1, &arg, &got), TSR_OK);
    CHECK_EQ(tsr_interpret(c, f, 1, &arg, &want), TSR_OK);
    CHECK_EQ(tsr_read(c, got, a, sizeof a), TSR_OK);
    CHECK_EQ(tsr_read(c, want, b, sizeof b), TSR_OK);
    CHECK_BYTES(a, b, sizeof a);
    CHECK(a[0] == 64);
    tsr_fn_free(c, f), tsr_fn_free(c, cond), tsr_fn_free(c, body);
    CHECK_OK(c);
}

/* Two contexts in two threads share a driver and nothing else. */
static void *work(void *user) {
    tsr_ctx *c = user;
    for (int i = 0; i < 20; i++) {
        float v[64], got[64];
        for (int j = 0; j < 64; j++) v[j] = (float)(i + j);
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *x = tsr_tensor(c, TSR_F32, 1, (int64_t[]){64}, v), *y = tsr_add(c, x, x);
        if (tsr_read(c, y, got, sizeof got)) return "failed";
        tsr_scope_end(c, s);
        for (int j = 0; j < 64; j++)
            if (got[j] != 2 * v[j]) return "wrong";
    }
    return NULL;
}

TEST(two_contexts_in_two_threads) {
    tsr_ctx *a = opencl_ctx(), *b = a ? opencl_ctx() : NULL;
    pthread_t t;
    void *there;
    if (!b) return;
    CHECK_EQ(pthread_create(&t, NULL, work, b), 0);
    void *here = work(a);
    pthread_join(t, &there);
    CHECK_MSG(!here && !there, "%s, %s", here ? (char *)here : "ok", there ? (char *)there : "ok");
    CHECK_OK(a), CHECK_OK(b);
}
