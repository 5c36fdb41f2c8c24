/* test_opencl.c: the OpenCL device on a look-alike of a driver (fake_cl.c) that is absent, short of memory or broken on
 * request: every error in words, nothing left behind, the cache on disk, memory that is handed on, refused allocations.
 * What real drivers compute is in test_opencl_ops.c. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sys.h"
#include "device/address.h"
#include "device/devices.h"
#include "device/memory.h"
#include "fake_cl.h"
#include "harness.h"
#include "tessera/ops.h"
#include "tessera/run.h"

static struct fake_cl *fake;

/* The fake as new, and nothing in the cache; the loader of every context from now on. */
static void use_fake(void) {
    static int turn;
    void *so = dlopen(FAKE_CL, RTLD_NOW);
    struct fake_cl *(*get)(void) = (struct fake_cl *(*)(void))(uintptr_t)dlsym(so ? so : RTLD_DEFAULT, "fake_cl");
    void (*reset)(void) = (void (*)(void))(uintptr_t)dlsym(so ? so : RTLD_DEFAULT, "fake_cl_reset");
    TSR_ASSERT(get && reset);
    fake = get();
    reset();
    setenv("TSR_OPENCL", FAKE_CL, 1);
    setenv("TSR_CACHE", test_path("cache%d", turn++), 1);
}

static tsr_ctx *ctx_of(const char *device) { return test_ctx_with(&(tsr_config){.threads = 1, .device = device}); }

static void check_nothing_left(void) {
    CHECK_EQ(fake->contexts, 0), CHECK_EQ(fake->queues, 0), CHECK_EQ(fake->blocks, 0), CHECK_EQ(fake->programs, 0);
    CHECK_EQ(fake->kernels, 0), CHECK_EQ(fake->events, 0);
}

static tsr_node *values(tsr_ctx *c, int64_t n) {
    return tsr_full(c, tsr_type_dims(c, TSR_F32, 1, &n), 1);
}
/* A value that a kernel computes. */
static tsr_node *computed(tsr_ctx *c, int64_t n) {
    float *v = mem_array(c, (size_t)n, sizeof *v);
    tsr_node *x = v ? tsr_tensor(c, TSR_F32, 1, &n, v) : tsr_poison(c);
    mem_array_free(c, v, (size_t)n, sizeof *v);
    return tsr_exp(c, x);
}

/* ---- finding devices --------------------------------------------------------------------------------------------- */

static void check_open(const char *device, const char *part) {
    tsr_ctx *c = ctx_of(device);
    CHECK(device_of(c) == NULL);
    CHECK_ERROR(c, TSR_ENOTFOUND, part);
}

TEST(what_is_missing_is_said) {
    char why[256] = "";
    use_fake();
    tsr_ctx *c = ctx_of("cpu");
    setenv("TSR_OPENCL", "/nowhere/libOpenCL.so", 1);
    CHECK_EQ(device_opencl.count(c, why), 0);
    CHECK_CONTAINS(why, "TSR_OPENCL=/nowhere/libOpenCL.so");
    check_open("opencl", "/nowhere/libOpenCL.so");
    setenv("TSR_OPENCL", "libm.so.6", 1);
    check_open("opencl", "has no clGetPlatformIDs");
    use_fake();
    fake->platforms = -1;
    check_open("opencl", "apt-get install pocl-opencl-icd");
    use_fake();
    fake->unavailable = true;
    check_open("opencl", "available");
    use_fake();
    check_open("opencl:3", "opencl:0 is alpha gpu (Alpha), opencl:1 is zeta gpu (Zeta), opencl:2 is zeta cpu (Zeta)");
    check_open("opencl:x", "is not known");
    check_open("opencl:", "is not known");
    check_open("opencl:-1", "is not known");
    check_open("vulkan", "cpu, cuda, hip, opencl, null");
    check_nothing_left();
}

TEST(the_order_of_devices_is_ours) {
    static const char *const name[] = {"alpha gpu", "zeta gpu", "zeta cpu"};
    for (int turned = 0; turned < 2; turned++) {
        char why[256] = "";
        use_fake();
        fake->turned = turned;
        for (int i = 0; i < 3; i++) {
            char device[24];
            snprintf(device, sizeof device, "opencl:%d", i);
            tsr_ctx *c = ctx_of(device);
            CHECK_EQ(device_opencl.count(c, why), 3);
            if (!CHECK(device_of(c))) continue;
            CHECK_STR(device_of(c)->facts.name, name[i]);
            CHECK_STR(device_of(c)->facts.driver, "OpenCL 1.2, driver 7.1");
            test_ctx_close(c);
        }
        check_nothing_left();
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

TEST(what_does_not_fit_is_said) {
    use_fake();
    tsr_ctx *c = ctx_of("opencl");
    tsr_node *big = computed(c, 5 << 20); /* 20 MiB; a block has at most 16 */
    CHECK_EQ(tsr_eval(c, 1, &big), TSR_ENOMEM);
    CHECK_CONTAINS(tsr_error_message(c), "asked for a block of 20.0 MiB");
    CHECK_CONTAINS(tsr_error_message(c), "it has 64.0 MiB");
    CHECK_ERROR(c, TSR_ENOMEM, "at most 16.0 MiB in a block: use a smaller batch");
    tsr_scope *s = tsr_scope_begin(c);
    tsr_node *all[8];
    for (int i = 0; i < 8; i++) all[i] = tsr_exp(c, computed(c, (3 << 20) + i));
    CHECK_EQ(tsr_eval(c, 8, all), TSR_ENOMEM); /* 96 MiB */
    CHECK_ERROR(c, TSR_ENOMEM, "of them in use");
    tsr_scope_end(c, s);
    tsr_node *y = computed(c, 3 << 20); /* and it goes on */
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
    test_ctx_close(c);
    check_nothing_left();
}

/* Kept blocks of other sizes make room for what a driver refuses at first. */
TEST(kept_memory_makes_room) {
    use_fake();
    tsr_ctx *c = ctx_of("opencl");
    for (int i = 0; i < 12; i++) {
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *y = computed(c, (int64_t)(i + 1) << 18);
        CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
        tsr_scope_end(c, s);
    }
    CHECK(fake->bytes > 0);
    fake->fail_alloc = 1;
    tsr_node *y = computed(c, 1234567);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
    CHECK_OK(c);
    int blocks = fake->blocks;
    for (int i = 0; i < 5; i++) {
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *z = computed(c, 500000);
        CHECK_EQ(tsr_eval(c, 1, &z), TSR_OK);
        tsr_scope_end(c, s);
        if (i == 0) blocks = fake->blocks;
        CHECK_EQ(fake->blocks, blocks);
    }
    test_ctx_close(c);
    check_nothing_left();
}

TEST(made_up_addresses) {
    struct address_space s;
    tsr_ctx *c = ctx_of("cpu");
    int object[3];
    char *at[3];
    size_t offset = 7;
    address_init(&s, c);
    for (int i = 0; i < 3; i++) CHECK(at[i] = address_add(&s, &object[i], 1000 * (size_t)(i + 1)));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ((uintptr_t)at[i] % 256, 0);
        CHECK(address_find(&s, at[i] + 10, 990, &offset) == &object[i] && offset == 10);
        CHECK(address_find(&s, at[i], 1000 * (size_t)(i + 1) + 1, &offset) == NULL);
        CHECK(address_find(&s, at[i] - 1, 1, &offset) == NULL);
    }
    CHECK(address_find(&s, NULL, 1, &offset) == NULL);
    CHECK_EQ(s.total, 6000);
    CHECK(address_remove(&s, at[1] + 1) == NULL);
    CHECK(address_remove(&s, at[1]) == &object[1]);
    CHECK(address_find(&s, at[1], 1, &offset) == NULL);
    CHECK(address_find(&s, at[2] + 1, 1, &offset) == &object[2] && offset == 1);
    CHECK((char *)address_add(&s, &object[1], 10) > at[2]);
    address_release(&s);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

TEST(a_build_that_fails_says_what_the_driver_said) {
    use_fake();
    fake->build_error = true;
    tsr_ctx *c = ctx_of("opencl");
    tsr_node *y = computed(c, 100);
    CHECK(tsr_eval(c, 1, &y) != TSR_OK);
    CHECK_CONTAINS(tsr_error_message(c), "kernel exp_cl does not build: CL_BUILD_PROGRAM_FAILURE");
    CHECK(!strstr(tsr_error_message(c), "seventh line"));
    CHECK_ERROR(c, TSR_EIO, "<source>:1:1: error: no such thing");
    test_ctx_close(c);
    check_nothing_left();
}

TEST(text_and_launch_are_as_the_device_wants) {
    use_fake();
    tsr_ctx *c = ctx_of("opencl:2"); /* a cpu of two units */
    tsr_node *y = computed(c, 1 << 20);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
    CHECK_STR(fake->options, "-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt");
    CHECK_CONTAINS(fake->text, "FP_CONTRACT OFF");
    CHECK(fake->groups >= 1 && fake->groups <= 16);
    CHECK_EQ(fake->threads, 1);
    test_ctx_close(c);
    c = ctx_of("opencl:1"); /* a gpu of two */
    y = computed(c, 1 << 20);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
    CHECK(fake->groups > 16 && fake->groups <= 64);
    CHECK(fake->threads > 1 && fake->threads <= 256);
}

static void run_once(tsr_ctx *c) {
    tsr_node *y = computed(c, 100);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
    test_ctx_close(c);
}

TEST(built_programs_are_kept_on_disk) {
    use_fake();
    run_once(ctx_of("opencl"));
    CHECK_EQ(fake->from_source, 1), CHECK_EQ(fake->from_binary, 0);
    run_once(ctx_of("opencl"));
    CHECK_EQ(fake->from_source, 1), CHECK_EQ(fake->from_binary, 1);
    run_once(ctx_of("opencl:1")); /* another device */
    CHECK_EQ(fake->from_source, 2), CHECK_EQ(fake->from_binary, 1);
    fake->binary_error = true; /* the driver does not take it: it is built again, and kept again */
    run_once(ctx_of("opencl"));
    CHECK_EQ(fake->from_source, 3);
    fake->binary_error = false;
    run_once(ctx_of("opencl"));
    CHECK_EQ(fake->from_source, 3), CHECK_EQ(fake->from_binary, 2);
    use_fake();
    fake->no_binaries = true;
    for (int i = 0; i < 2; i++) run_once(ctx_of("opencl"));
    CHECK_EQ(fake->from_source, 2), CHECK_EQ(fake->from_binary, 0);
    check_nothing_left();
}

/* What a driver cannot run in groups of that size, the VM computes on copies. */
TEST(a_group_that_is_too_large_runs_on_the_cpu) {
    use_fake();
    fake->group_size = 1;
    tsr_ctx *c = ctx_of("opencl");
    tsr_node *y = tsr_mul(c, computed(c, 50), values(c, 50));
    float v[50], want[50];
    for (int i = 0; i < 50; i++) want[i] = 1;
    CHECK_EQ(tsr_read(c, y, v, sizeof v), TSR_OK);
    CHECK_BYTES(v, want, sizeof v);
    CHECK_EQ(fake->launches, 0);
    CHECK_OK(c);
}

TEST(f64_where_there_is_none_is_refused) {
    use_fake();
    fake->no_f64 = true;
    tsr_ctx *c = ctx_of("opencl");
    tsr_node *y = tsr_exp(c, tsr_tensor(c, TSR_F64, 1, (int64_t[]){3}, (double[]){1, 2, 3}));
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_EUNSUPPORTED);
    CHECK_ERROR(c, TSR_EUNSUPPORTED, "needs f64, which OpenCL device alpha gpu has not: use f32");
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

TEST(a_refused_launch_names_the_kernel) {
    use_fake();
    fake->fail_launch = 1;
    tsr_ctx *c = ctx_of("opencl");
    tsr_node *y = computed(c, 100);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_EIO);
    CHECK_CONTAINS(tsr_error_message(c), "exp_cl");
    CHECK_ERROR(c, TSR_EIO, "CL_OUT_OF_RESOURCES");
    test_ctx_close(c);
    check_nothing_left();
}

/* The kernel that broke the device is named when the failure shows itself, with the step it was launched for; later
 * calls say that the device is lost. */
TEST(an_asynchronous_failure_names_kernel_and_step) {
    use_fake();
    fake->break_launch = 2;
    tsr_ctx *c = ctx_of("opencl");
    tsr_node *x = computed(c, 100), *y, *z;
    float v[100];
    CHECK_EQ(tsr_eval(c, 1, &x), TSR_OK);
    y = tsr_sin(c, x);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK); /* only launched */
    z = tsr_log(c, y);
    CHECK_EQ(tsr_eval(c, 1, &z), TSR_OK);
    CHECK_EQ(tsr_read(c, z, v, sizeof v), TSR_EIO);
    CHECK_CONTAINS(tsr_error_message(c), "kernel sin_cl (sin, step 0 of eval, node");
    CHECK_ERROR(c, TSR_EIO, "CL_OUT_OF_RESOURCES");
    CHECK_EQ(tsr_read(c, x, v, sizeof v), TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "lost by an earlier failure: close the context");
    test_ctx_close(c);
    check_nothing_left();
}

/* More launches than may wait: the oldest are looked at on the way. */
TEST(the_queue_is_bounded) {
    use_fake();
    tsr_ctx *c = ctx_of("opencl");
    int most = 0;
    for (int i = 0; i < 600; i++) {
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *y = computed(c, 8);
        CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
        tsr_scope_end(c, s);
        if (fake->events > most) most = fake->events;
    }
    CHECK_MSG(most <= 256, "%d events at a time", most);
    CHECK_OK(c);
}

/* ---- refused allocations ----------------------------------------------------------------------------------------- */

static bool run_some(tsr_ctx *c, void *arg) {
    (void)arg;
    tsr_scope *s = tsr_scope_begin(c);
    tsr_node *y = tsr_softmax(c, tsr_reshape(c, computed(c, 64), 2, (int64_t[]){8, 8}), -1);
    float v[64];
    bool ok = s && tsr_read(c, y, v, sizeof v) == TSR_OK;
    tsr_scope_end(c, s);
    return ok;
}

TEST(every_failing_allocation_is_clean) {
    use_fake();
    setenv("TSR_DEVICE", "opencl", 1);
    setenv("TSR_CACHE", "/dev/null/none", 1); /* each run builds from source */
    CHECK(torture(run_some, NULL) > 50);
    unsetenv("TSR_DEVICE");
    check_nothing_left();
}
