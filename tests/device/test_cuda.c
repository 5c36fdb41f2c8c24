/* test_cuda.c: the CUDA device, and HIP, on a look-alike of the driver and compiler that computes on the host
 * (fake_gpu.c): the CPU's bits in training and in ops, replays, the cache, every error in words and without leak, the
 * kernel behind a fault that shows later.
 *
 * What it cannot tell: whether the makers' libraries take our prototypes, and speed. bench/gpu_check.sh is for that. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/cuda/cuda.h"
#include "device/devices.h"
#include "fake_gpu.h"
#include "harness.h"
#include "nvrtc.h"
#include "run/selftest.h"
#include "tessera/tessera.h"

/* ---- the look-alike ---- */

static struct fake_gpu *fake;

/* Fresh state; the device of new contexts is cuda or hip on it. */
static bool use(const char *device) {
    static void (*reset)(void);
    if (!fake) {
        void *so = dlopen(FAKE_GPU, RTLD_NOW);
        struct fake_gpu *(*get)(void) = NULL;
        if (so) get = (struct fake_gpu *(*)(void))(uintptr_t)dlsym(so, "fake_gpu");
        if (!CHECK_MSG(so && get, "%s", dlerror())) return false;
        fake = get();
        reset = (void (*)(void))(uintptr_t)dlsym(so, "fake_gpu_reset");
        setenv("TSR_CACHE", test_path("cache"), 1);
    }
    reset();
    static const char *const name[] = {"TSR_CUDA", "TSR_NVRTC", "TSR_HIP", "TSR_HIPRTC"};
    for (int i = 0; i < 4; i++) setenv(name[i], FAKE_GPU, 1);
    setenv("TSR_DEVICE", device, 1);
    return true;
}

static bool has_compiler(void) {
    static int has = -1;
    if (has < 0) has = system("c++ --version >/dev/null 2>&1") == 0;
    return has;
}
#define NEEDS_COMPILER() \
    if (!has_compiler()) SKIP("needs a C++ compiler named c++ to run kernels on the look-alike")

/* Nothing of the driver's is left. memory: a device that failed cannot give its memory back. */
static void check_released(bool memory) {
    CHECK_EQ(fake->contexts, 0), CHECK_EQ(fake->streams, 0), CHECK_EQ(fake->events, 0), CHECK_EQ(fake->hosts, 0);
    CHECK_EQ(fake->modules, 0), CHECK_EQ(fake->graphs, 0), CHECK_EQ(fake->executables, 0);
    if (memory) CHECK_EQ(fake->allocs, 0);
}

/* ---- training ---- */

enum { ROWS = 33, WIDE = 60, OUT = 9, STEPS = 12, COUNT = WIDE * OUT };

static void fill(float *p, int n, int seed) {
    for (int i = 0; i < n; i++) p[i] = (float)((i * 131 + seed * 977) % 1999) / 1000 - 1;
}

/* Softmax regression with a gelu in front, plain descent, as a fn that assigns its variable. */
static tsr_fn *make_step(tsr_ctx *c, tsr_var *w) {
    float x[ROWS * WIDE];
    fill(x, ROWS * WIDE, 1);
    tsr_node *in = tsr_tensor(c, TSR_F32, 2, (int64_t[]){ROWS, WIDE}, x);
    if (tsr_fn_begin(c, "descent")) return NULL;
    tsr_node *weight = tsr_var_read(c, w), *grad;
    tsr_node *p = tsr_softmax(c, tsr_matmul(c, tsr_gelu(c, in, false), weight), -1);
    tsr_node *loss = tsr_mean(c, tsr_mul(c, p, tsr_log(c, p)), 0, NULL, false);
    if (!tsr_grad(c, loss, 1, &weight, &grad))
        tsr_var_assign(c, w, tsr_sub(c, weight, tsr_mul(c, grad, tsr_scalar_float(c, TSR_F32, 0.5))));
    return tsr_fn_end(c, 1, &loss);
}

static bool train(tsr_ctx *c, int steps, float *weights) {
    float start[COUNT];
    fill(start, COUNT, 2);
    tsr_var *w = tsr_var_new(c, "w", tsr_tensor(c, TSR_F32, 2, (int64_t[]){WIDE, OUT}, start));
    tsr_fn *f = w ? make_step(c, w) : NULL;
    bool ok = f != NULL;
    for (int i = 0; i < steps && ok; i++) {
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *loss;
        ok = tsr_run(c, f, 0, NULL, &loss) == TSR_OK;
        tsr_scope_end(c, s);
    }
    ok = ok && tsr_read(c, tsr_var_read(c, w), weights, sizeof *weights * COUNT) == TSR_OK;
    tsr_fn_free(c, f);
    tsr_var_free(c, w);
    return ok;
}

static const float *cpu_weights(void) {
    static float w[COUNT];
    static bool have;
    if (have) return w;
    tsr_ctx *c = test_ctx_with(&(tsr_config){.device = "cpu", .threads = 2});
    have = CHECK(train(c, STEPS, w));
    test_ctx_close(c);
    return w;
}

static void trained_like_cpu(tsr_ctx *c) {
    float w[COUNT];
    if (CHECK(train(c, STEPS, w))) CHECK_BYTES(w, cpu_weights(), sizeof w);
    CHECK_OK(c);
}

TEST(training_gives_the_cpus_bits) {
    static const char *const device[] = {"cuda", "hip"};
    NEEDS_COMPILER();
    for (int i = 0; i < 2; i++) {
        test_case("%s", device[i]);
        if (!use(device[i])) return;
        tsr_ctx *c = test_ctx();
        trained_like_cpu(c);
        struct device *d = device_of(c);
        CHECK_STR(d->facts.name, "look-alike 0");
        CHECK(!d->host_memory && d->facts.units == 2 && d->facts.memory == 256u << 20);
        CHECK_CONTAINS(fake->options, i ? "-ffp-contract=off" : "--gpu-architecture=sm_70 --std=c++17 --fmad=false");
        CHECK(fake->compiled > 0 && fake->launches > 0);
        /* most of the steps are replays of what two of them recorded, whose kernels count as launches */
        CHECK(fake->graph_launches >= STEPS - 6 && tsr_stats(c).replays == (uint64_t)fake->graph_launches);
        CHECK(tsr_stats(c).launches > (uint64_t)fake->launches);
        test_ctx_close(c);
        check_released(true);
    }
}

TEST(kernels_come_from_the_cache) {
    NEEDS_COMPILER();
    if (!use("cuda")) return;
    tsr_ctx *c = test_ctx();
    trained_like_cpu(c);
    test_ctx_close(c);
    test_case("again: nothing is compiled");
    use("cuda");
    c = test_ctx();
    trained_like_cpu(c);
    test_ctx_close(c);
    CHECK(fake->compiled == 0 && fake->loaded > 0);
    test_case("damaged entries are compiled again");
    char command[300];
    snprintf(command, sizeof command, "for f in %s/*.gpu; do printf damaged | dd of=$f bs=1 seek=700 conv=notrunc "
        "2>/dev/null; done", test_path("cache"));
    CHECK_EQ(system(command), 0);
    use("cuda");
    c = test_ctx();
    trained_like_cpu(c);
    test_ctx_close(c);
    CHECK(fake->compiled == fake->loaded && fake->compiled > 0);
    test_case("another compiler's are not taken");
    use("cuda");
    fake->compiler_major = 11;
    c = test_ctx();
    trained_like_cpu(c);
    test_ctx_close(c);
    CHECK(fake->compiled > 0);
}

TEST(drivers_that_lack_things) {
    static const char *const lack[] = {"memory pools", "marks", "recordings", "marks in recordings", "graphs"};
    NEEDS_COMPILER();
    for (int i = 0; i < 5; i++) {
        test_case("no %s", lack[i]);
        if (!use("cuda")) return;
        fake->no_pools = i == 0, fake->no_marks = i == 1, fake->no_recording = i == 2, fake->no_recorded_marks = i == 3;
        fake->no_graphs = i == 4;
        tsr_ctx *c = test_ctx();
        trained_like_cpu(c);
        CHECK_EQ(fake->graph_launches > 0, i != 2 && i != 4);
        test_ctx_close(c);
        check_released(true);
    }
}

/* ---- copies ---- */

TEST(copies_of_any_size) {
    if (!use("cuda")) return;
    tsr_ctx *c = test_ctx();
    struct device *d = device_of(c);
    static uint8_t from[3 * STAGE_HALF + 77], to[sizeof from];
    if (!CHECK(d != NULL)) return;
    for (size_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)(i * 31 + i / 777);
    static const size_t size[] = {1, 4096, STAGE_HALF - 1, STAGE_HALF, STAGE_HALF + 1, 2 * STAGE_HALF, sizeof from};
    for (int i = 0; i < 7; i++) {
        test_case("%zu bytes", size[i]);
        void *p = d->ops->alloc(d, size[i]), *q = d->ops->alloc(d, size[i]);
        memset(to, 0, sizeof to);
        CHECK_EQ(d->ops->copy_in(d, p, from, size[i]), TSR_OK);
        CHECK_EQ(d->ops->copy(d, q, p, size[i]), TSR_OK);
        CHECK_EQ(d->ops->copy_out(d, to, q, size[i]), TSR_OK);
        CHECK(memcmp(from, to, size[i]) == 0 && (size[i] == sizeof to || !to[size[i]]));
        d->ops->free(d, p, size[i]), d->ops->free(d, q, size[i]);
    }
    test_case("many small ones share pinned memory, and wait only when it is full");
    uint8_t *p = d->ops->alloc(d, sizeof from);
    CHECK_EQ(d->ops->sync(d), TSR_OK);
    int syncs = fake->syncs;
    for (size_t i = 0; i + 200 < sizeof from; i += 200) CHECK_EQ(d->ops->copy_in(d, p + i, from + i, 200), TSR_OK);
    CHECK(fake->syncs - syncs <= 16);
    size_t n = sizeof from / 200 * 200 - 200;
    CHECK_EQ(d->ops->copy_out(d, to, p, n), TSR_OK);
    CHECK(memcmp(from, to, n) == 0);
    d->ops->free(d, p, sizeof from);
    test_ctx_close(c);
    check_released(true);
}

/* ---- the driver's errors ---- */

static void open_fails(tsr_status s, const char *part) {
    tsr_ctx *c = test_ctx();
    CHECK(device_of(c) == NULL);
    CHECK_ERROR(c, s, part);
    test_ctx_close(c);
    if (fake) check_released(true);
}

TEST(devices_that_cannot_be_opened) {
    char why[CUDA_WHY];
    if (!use("cuda")) return;
    test_case("no driver");
    setenv("TSR_CUDA", "/no/such/library.so", 1);
    open_fails(TSR_ENOTFOUND, "TSR_CUDA names cannot be loaded");
    tsr_ctx *c = test_ctx();
    CHECK_EQ(device_cuda.count(c, why), 0);
    CHECK_CONTAINS(why, "cannot be loaded");
    test_case("a library that is no driver");
    setenv("TSR_CUDA", "libm.so.6", 1);
    open_fails(TSR_ENOTFOUND, "it has no cuInit");
    test_case("no device");
    use("cuda"), fake->devices = -1;
    open_fails(TSR_ENOTFOUND, "the driver finds no device");
    CHECK_EQ(device_cuda.count(c, why), 0);
    CHECK_CONTAINS(why, "finds no device");
    use("cuda"), fake->init_error = 100;
    open_fails(TSR_ENOTFOUND, "the driver finds no device");
    test_case("another index");
    use("cuda:2"), fake->devices = 2;
    CHECK_EQ(device_cuda.count(c, why), 2);
    open_fails(TSR_ENOTFOUND, "there are 2, from cuda:0");
    test_case("a driver that does not start");
    use("cuda"), fake->init_error = 803;
    open_fails(TSR_ENOTFOUND, "does not start: failed (ERROR_OTHER, 803)");
    test_case("an old driver");
    use("cuda"), fake->version = 10020;
    open_fails(TSR_ENOTFOUND, "too old: it has CUDA 10.2, 11.0 is needed");
    test_case("an old device");
    use("cuda"), fake->arch = 61;
    open_fails(TSR_EUNSUPPORTED, "is sm_61; sm_70 or newer");
    test_case("no pinned memory");
    use("cuda"), fake->fail_alloc = 1;
    open_fails(TSR_ENOMEM, "pinned memory");
    test_ctx_close(c);
}

TEST(a_machine_without_gpu) {
    char why[CUDA_WHY];
    static const struct { const struct device_ops *ops; const char *variable, *part; } row[] = {
        {&device_cuda, "TSR_CUDA", "install NVIDIA's driver"}, {&device_hip, "TSR_HIP", "install ROCm"}};
    for (int i = 0; i < 2; i++) {
        test_case("%s", row[i].ops->name);
        unsetenv(row[i].variable);
        tsr_ctx *c = test_ctx();
        int n = row[i].ops->count(c, why);
        if (n) test_skip("there is one: %d devices", n);
        else CHECK_CONTAINS(why, strstr(why, "finds no device") ? "finds no device" : row[i].part);
        CHECK_OK(c);
        test_ctx_close(c);
    }
}

/* What a run of a few kernels says. */
static void run_fails(tsr_status s, const char *part) {
    float w[COUNT];
    tsr_ctx *c = test_ctx();
    CHECK(!train(c, 3, w));
    CHECK_ERROR(c, s, part);
    test_ctx_close(c);
    check_released(true);
}

TEST(compilers_that_fail) {
    if (!use("cuda")) return;
    test_case("none");
    setenv("TSR_NVRTC", "/no/such/library.so", 1);
    run_fails(TSR_ENOTFOUND, "pip install nvidia-cuda-nvrtc-cu12");
    test_case("knows nothing as old");
    use("cuda"), fake->known[0] = 80;
    run_fails(TSR_EUNSUPPORTED, "knows nothing as old as sm_70");
    test_case("refuses the text");
    use("cuda"), fake->compile_error = 1, fake->compiler_major = 10;
    run_fails(TSR_EUNSUPPORTED, "error: told to fail");
    NEEDS_COMPILER();
    test_case("makes what the driver refuses");
    use("cuda"), fake->load_error = 222;
    run_fails(TSR_EUNSUPPORTED, "told to fail: use a newer driver or an older NVRTC");
    test_case("knows only older devices: PTX for the newest it knows");
    use("cuda"), fake->arch = 103, fake->known[0] = 75, fake->known[1] = 70;
    tsr_ctx *c = test_ctx();
    trained_like_cpu(c);
    test_ctx_close(c);
    CHECK(fake->ptx_taken > 0);
    CHECK_CONTAINS(fake->options, "--gpu-architecture=compute_75");
}

TEST(memory_that_runs_out) {
    NEEDS_COMPILER();
    float w[COUNT];
    bool done = false;
    int refused = 0;
    for (int n = 1; n < 200 && !done; n++) {
        test_case("allocation %d", n);
        if (!use("cuda")) return;
        tsr_ctx *c = test_ctx();
        fake->fail_alloc = n;
        bool ok = train(c, 3, w);
        done = fake->fail_alloc > 0; /* it was never asked so often */
        refused += !done;
        /* once: what is kept is given back and it is tried again; pinned memory is not */
        CHECK(ok || tsr_error_status(c) == TSR_ENOMEM);
        tsr_error_clear(c);
        test_ctx_close(c);
        check_released(true);
    }
    CHECK(done && refused > 5);
    test_case("for good");
    use("cuda"), fake->memory = 1 << 14;
    tsr_ctx *c = test_ctx();
    CHECK(!train(c, 3, w));
    CHECK_ERROR(c, TSR_ENOMEM, "out of memory");
    test_ctx_close(c);
    check_released(true);
}

TEST(a_launch_that_is_refused) {
    NEEDS_COMPILER();
    if (!use("cuda")) return;
    fake->fail_launch = 2;
    run_fails(TSR_EIO, "launch of kernel ");
}

/* ---- faults ---- */

/* A chain of kernels with labels that differ, one for each op. */
static tsr_status run_chain(tsr_ctx *c, int ops, int times) {
    float x[64];
    fill(x, 64, 3);
    if (tsr_fn_begin(c, "chain")) return TSR_ENOMEM;
    tsr_node *in = tsr_param(c, tsr_type_dims(c, TSR_F32, 1, (int64_t[]){64}), "x");
    tsr_node *y = tsr_sin(c, tsr_sqrt(c, tsr_abs(c, in))), *out;
    if (ops > 3) y = tsr_cos(c, tsr_exp(c, y));
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    tsr_node *arg = tsr_keep(c, tsr_tensor(c, TSR_F32, 1, (int64_t[]){64}, x));
    tsr_status s = f ? tsr_error_status(c) : TSR_ENOMEM;
    for (int i = 0; i < times && !s; i++) {
        tsr_scope *scope = tsr_scope_begin(c);
        s = tsr_run(c, f, 1, &arg, &out);
        if (!s) s = tsr_read(c, out, x, sizeof x);
        tsr_scope_end(c, scope);
    }
    tsr_drop(c, arg);
    tsr_fn_free(c, f);
    return s;
}

static tsr_ctx *chain_ctx(void) {
    setenv("TSR_FUSE", "0", 1);
    return test_ctx();
}

/* After a fault every call says so, and closing does not hang. */
static void check_dead(tsr_ctx *c) {
    struct device *d = device_of(c);
    char byte;
    tsr_error_clear(c);
    CHECK_EQ(d->ops->copy_out(d, &byte, &byte, 1), TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "Its memory is lost");
    CHECK(d->ops->alloc(d, 64) == NULL);
    CHECK_ERROR(c, TSR_EIO, "Its memory is lost");
    CHECK_EQ(d->ops->sync(d), TSR_EIO);
    tsr_error_clear(c);
    tsr_node *x = tsr_scalar_float(c, TSR_F32, 1), *y = tsr_add(c, x, x);
    CHECK(tsr_eval(c, 1, &y) != TSR_OK);
    tsr_error_clear(c);
    test_ctx_close(c);
    check_released(false);
    unsetenv("TSR_FUSE");
}

TEST(a_fault_names_its_kernel) {
    static const char *const op[] = {"abs", "sqrt", "sin", "exp", "cos"};
    NEEDS_COMPILER();
    for (int i = 0; i < 15; i++) {
        int run = i / 5, nth = i % 5;
        char step[64];
        test_case("kernel %d of run %d%s", nth, run, run ? ": a replay" : "");
        if (!use("cuda")) return;
        tsr_ctx *c = chain_ctx();
        fake->fault_launch = 1 + i;
        CHECK_EQ(run_chain(c, 5, 4), TSR_EIO);
        snprintf(step, sizeof step, "step %d (%s) of plan chain, graph node ", nth, op[nth]);
        CHECK_CONTAINS(tsr_error_message(c), step);
        CHECK_CONTAINS(tsr_error_message(c), "an illegal memory access was encountered");
        CHECK_CONTAINS(tsr_error_message(c), "buffers of 256, 256 bytes");
        CHECK(run == 0 || fake->graph_launches > 0);
        check_dead(c);
    }
}

TEST(a_fault_where_launches_leave_no_marks) {
    NEEDS_COMPILER();
    if (!use("cuda")) return;
    fake->no_marks = true, fake->fault_launch = 3;
    tsr_ctx *c = chain_ctx();
    CHECK_EQ(run_chain(c, 5, 4), TSR_EIO);
    CHECK_CONTAINS(tsr_error_message(c), "TSR_CHECK=1 names the one that failed");
    check_dead(c);
    test_case("with TSR_CHECK");
    use("cuda");
    fake->no_marks = true, fake->fault_launch = 3;
    setenv("TSR_CHECK", "1", 1);
    c = chain_ctx();
    CHECK_EQ(run_chain(c, 5, 4), TSR_EIO);
    CHECK_CONTAINS(tsr_error_message(c), "step 2 (sin) of plan chain");
    unsetenv("TSR_CHECK");
    check_dead(c);
    test_case("without marks in recordings");
    use("cuda");
    fake->no_recorded_marks = true, fake->fault_launch = 5 * 2 + 3;
    c = chain_ctx();
    CHECK_EQ(run_chain(c, 5, 4), TSR_EIO);
    CHECK_CONTAINS(tsr_error_message(c), "one of 5 kernels of a replay");
    check_dead(c);
}

/* ---- host memory that runs out ---- */

static bool chain_under_torture(tsr_ctx *c, void *arg) {
    (void)arg;
    bool ok = run_chain(c, 3, 3) == TSR_OK;
    return ok && tsr_error_status(c) == TSR_OK;
}

TEST(every_host_allocation_may_fail) {
    NEEDS_COMPILER();
    if (!use("cuda")) return;
    tsr_ctx *c = chain_ctx();
    CHECK(chain_under_torture(c, NULL)); /* kernels come from the cache from now on */
    test_ctx_close(c);
    CHECK(torture(chain_under_torture, NULL) > 100);
    CHECK(fake->graph_launches > 0);
    check_released(true);
    unsetenv("TSR_FUSE");
}

/* ---- ops ---- */

static void on_case(void *user, const struct selftest_case *k) {
    (void)user;
    test_case("%s %s", k->op, tsr_dtype_name(k->dtype));
    CHECK_MSG(k->outcome != SELFTEST_FAILED, "%s", k->reason);
    CHECK_MSG(k->same_bits, "%s", k->differs);
}

/* One case in forty of the whole self-test; TSR_TEST_TORTURE=all runs them all (a quarter of an hour). */
TEST(ops_give_the_cpus_bits) {
    const char *all = getenv("TSR_TEST_TORTURE");
    NEEDS_COMPILER();
    if (!use("cuda")) return;
    tsr_ctx *cpu = test_ctx_with(&(tsr_config){.device = "cpu", .threads = 2}), *c = test_ctx();
    struct selftest_options o = {.seed = 5, .samples = 1, .shards = all ? 1 : 40, .shard = all ? 0 : 7, .twin = cpu,
        .fused_only = true};
    CHECK_EQ(selftest_run(c, &o, on_case, NULL), TSR_OK);
    test_case("and so much runs");
    CHECK_OK(c);
    CHECK(fake->kernels_run > 10);
    test_ctx_close(c), test_ctx_close(cpu);
    check_released(true);
}

/* ---- threads ---- */

static void *drop_buffers(void *arg) {
    tsr_buf **buf = arg;
    for (int i = 0; i < 200; i++) {
        tsr_buf_free(buf[i]);
        if (i % 8 == 0) usleep(200);
    }
    return NULL;
}

/* Buffers are dropped by any thread, while the device records too: what is given back is then no part of it. */
TEST(buffers_dropped_by_another_thread) {
    NEEDS_COMPILER();
    if (!use("cuda")) return;
    tsr_ctx *c = chain_ctx();
    tsr_buf *buf[200];
    tsr_scope *s = tsr_scope_begin(c);
    for (int i = 0; i < 200; i++) {
        float value = (float)i;
        tsr_node *x = tsr_tensor(c, TSR_F32, 1, (int64_t[]){1}, &value);
        tsr_node *y = tsr_add(c, x, tsr_zeros(c, TSR_F32, 1, (int64_t[]){100 + 64 * i}));
        CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
        buf[i] = tsr_buf_keep(tsr_node_buf(y));
    }
    tsr_scope_end(c, s);
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, drop_buffers, buf), 0);
    for (int i = 0; i < 6; i++) CHECK_EQ(run_chain(c, 5, 4), TSR_OK);
    pthread_join(t, NULL);
    CHECK_OK(c);
    CHECK(fake->graph_launches > 0);
    test_ctx_close(c);
    check_released(true);
    unsetenv("TSR_FUSE");
}

/* ---- NVIDIA's own compiler, where it is found ---- */

TEST(nvrtc_makes_code_for_real_devices) {
    struct rtc r;
    char why[RTC_WHY];
    unsetenv("TSR_NVRTC");
    if (!nvrtc_open(&r, why)) SKIP("%s", why);
    tsr_ctx *c = test_ctx();
    static const char text[] = "extern \"C\" __global__ void __launch_bounds__(64) k(const float *x, float *y, "
        "const long long n) { for (long long i = threadIdx.x; i < n; i += 64) y[i] = x[i] * 3 + 1; }\n";
    for (int arch = 80; arch <= 90; arch += 10) {
        test_case("sm_%d by NVRTC %d.%d", arch, r.major, r.minor);
        struct rtc_code code = {0};
        CHECK_EQ(rtc_build(&r, c, text, "k", arch, &code), TSR_OK);
        CHECK(!code.ptx && code.n > 64 && memcmp(code.p, "\177ELF", 4) == 0);
        rtc_code_free(c, &code);
    }
    test_case("an architecture it does not know yet: PTX for the newest it does, with unfused sums");
    struct rtc_code code = {0};
    CHECK_EQ(rtc_build(&r, c, text, "k", 999, &code), TSR_OK);
    if (CHECK(code.ptx && code.p)) {
        CHECK_CONTAINS(code.p, ".visible .entry k(");
        CHECK(strstr(code.p, "mul.f32") || strstr(code.p, "mul.rn.f32"));
        CHECK(!strstr(code.p, "fma.rn.f32"));
    }
    rtc_code_free(c, &code);
    test_case("text that does not compile");
    CHECK_EQ(rtc_build(&r, c, "extern \"C\" __global__ void k() { undeclared(); }", "k", 80, &code), TSR_EUNSUPPORTED);
    CHECK_ERROR(c, TSR_EUNSUPPORTED, "undeclared");
    rtc_close(&r);
    test_ctx_close(c);
}
