/* test_harness.c: the checks check. Each thing that the harness is there to notice is done on purpose in a child
 * process, whose exit status is the number of failures noticed; were a check blind, every test above it would be. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* Failures that `run` causes, -1 when it crashes. */
static int failures_of(void (*run)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout)) _exit(99);
        int before = test_failures();
        run();
        _exit(test_failures() - before);
    }
    int status = 0;
    TSR_ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void nothing(void) { CHECK(1); }
static void plain(void) { CHECK(1 > 2); }
static void numbers(void) { CHECK_EQ(2, 3); }
static void texts(void) { CHECK_STR("a", "b"), CHECK_STR(NULL, "b"), CHECK_CONTAINS("tessera", "tile"); }
static void bytes(void) { CHECK_BYTES("abc", "abd", 3); }
static void error_expected(void) { CHECK_ERROR(test_ctx(), TSR_EIO, ""); }
static void error_unexpected(void) {
    tsr_ctx *c = test_ctx();
    err_set(c, TSR_EIO, "x"), CHECK_OK(c);
    err_set(c, TSR_EIO, "x"), CHECK_ERROR(c, TSR_EIO, "y");
    err_set(c, TSR_EIO, "x"), CHECK_ERROR(c, TSR_EINVAL, "x");
}
static void float_arrays(void) {
    float g[3] = {1, NAN, 3}, w[3] = {1, 2, 3}, h[3] = {1, 2, INFINITY};
    CHECK_F32(g, w, 3, 1e30, 1e30);
    CHECK_F32(w, g, 3, 1e30, 1e30);
    CHECK_F32(h, w, 3, 1e30, 1e30);
    CHECK_ULP32(g, w, 3, 1e30);
    CHECK_CLOSE(1.0, 1.0 + 1e-9, 1e-10, 0);
}
static void leak(void) {
    tsr_ctx *c = test_ctx();
    mem_alloc(c, 100);
    test_ctx_close(c);
}
static void wrong_size(void) {
    tsr_ctx *c = test_ctx();
    mem_free(c, mem_alloc(c, 100), 99);
}
static void overrun(void) {
    tsr_ctx *c = test_ctx();
    char *p = mem_alloc(c, 100);
    p[100] = 0;
    mem_free(c, p, 100);
}

static bool swallow(tsr_ctx *c, void *arg) { /* reports success without its memory */
    (void)arg;
    void *p = mem_alloc(c, 10);
    mem_free(c, p, 10);
    return true;
}
static bool forget(tsr_ctx *c, void *arg) { /* leaks the first block when the second is refused */
    (void)arg;
    void *p = mem_alloc(c, 10), *q = mem_alloc(c, 10);
    if (!p || !q) return false;
    mem_free(c, p, 10), mem_free(c, q, 10);
    return true;
}
static bool hide(tsr_ctx *c, void *arg) { /* fails without saying why */
    bool ok = forget(c, arg);
    tsr_error_clear(c);
    return ok;
}
static void torture_swallow(void) { torture(swallow, NULL); }
static void torture_forget(void) { torture(forget, NULL); }
static void torture_hide(void) { torture(hide, NULL); }

TEST(checks_notice) {
    static const struct { const char *what; void (*run)(void); int failures; } row[] = {
        {"nothing", nothing, 0}, {"CHECK", plain, 1}, {"CHECK_EQ", numbers, 1}, {"strings", texts, 3}, {"bytes", bytes,
            1},
        {"an error that is not there", error_expected, 1}, {"an error that should not be", error_unexpected, 3},
        {"floats", float_arrays, 5}, {"a leak", leak, 1}, {"a wrong old size", wrong_size, 1}, {"an overrun", overrun,
            1},
        {"success without memory", torture_swallow, 1}, {"a leak on refusal", torture_forget, 1},
        {"failure without ENOMEM", torture_hide, 2},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        test_case("%s", row[i].what);
        CHECK_EQ(failures_of(row[i].run), row[i].failures);
    }
}

TEST(poison) {
    tsr_ctx *c = test_ctx();
    unsigned char *p = mem_alloc(c, 1000);
    for (int i = 0; i < 1000; i++) CHECK_EQ(p[i], 0xa5);
    unsigned char *q = mem_resize(c, p, 1000, 1001);
    CHECK(q != p); /* a stale pointer is caught, not lucky */
    CHECK_EQ(q[1000], 0xa5);
    mem_free(c, q, 1001);
}

TEST(ulps) {
    static const struct { float a, b; double ulps; } row[] = {
        {1, 1, 0}, {0.0f, -0.0f, 0}, {1, 1.0f + 0x1p-23f, 1}, {1, 1.0f - 0x1p-24f, 1}, {0x1p-149f, -0x1p-149f, 2},
        {0, 0x1p-149f, 1}, {3.4028235e38f, INFINITY, 1}, {NAN, NAN, 0}, {NAN, 1, INFINITY}, {1, NAN, INFINITY},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        test_case("%g, %g", row[i].a, row[i].b);
        CHECK(test_ulps32(row[i].a, row[i].b) == row[i].ulps);
        CHECK(test_ulps32(row[i].b, row[i].a) == row[i].ulps);
    }
    test_case("doubles");
    CHECK(test_ulps64(1, 1 + 0x1p-52) == 1 && test_ulps64(0x1p-1074, -0x1p-1074) == 2);
}

/* A TEST run again begins with the same numbers: two draws of the first one are compared with a generator made the
 * same way. */
static int64_t first_draw;
TEST(random_a) {
    first_draw = test_int(0, INT64_MAX - 1);
    for (int i = 0; i < 1000; i++) {
        int64_t x = test_int(-3, 4);
        CHECK(x >= -3 && x <= 4);
    }
}
TEST(random_b) { CHECK(test_int(0, INT64_MAX - 1) != first_draw); }
