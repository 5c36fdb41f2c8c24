/* harness.h: how tests are written. Each tests/<room>/test_*.c is one program; harness.c holds main().
 *
 *     #include "harness.h"
 *
 *     TEST(vec_grows) {                                  // registers itself; runs in order of definition
 *         tsr_ctx *c = test_ctx();                       // leak-checked, poisoning; closed when the TEST ends
 *         for (int n = 0; n < 100; n++) {
 *             test_case("n=%d", n);                      // a counted case (a TEST without any counts as one)
 *             if (n == 13) { test_skip("no 13"); continue; }
 *             CHECK(double_it(c, n) == 2 * n);           // goes on after a failure; is true when it held
 *             if (!CHECK_EQ(double_it(c, n), 2 * n)) return;
 *         }
 *     }
 *
 * A case fails when any check in it failed. The last line a program prints is `N passed, N failed, N skipped`, in
 * cases; failures are printed with the seed. Options: -v prints passing cases, -l lists, a word runs the tests whose
 * name contains it.
 *
 * TSR_TEST_FOREIGN=1 gives every context the device of foreign.h, whose memory the host does not see: any test program
 * is then a test of residency.
 *
 * Random inputs come from test_rng(), seeded for each TEST from TSR_TEST_SEED (decimal) or the clock, so a TEST run
 * alone with the printed seed sees the same numbers. Comparisons of floats: NaN passes only against NaN, infinities
 * and signed zero by value. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tessera/base.h"

#define TEST(name)                                                                                                    \
    static void name(void);                                                                                           \
    __attribute__((constructor)) static void register_##name(void) { test_register(#name, name); }                    \
    static void name(void)
void test_register(const char *name, void (*run)(void));

void test_case(const char *fmt, ...) TSR_PRINTF(1, 2); /* ends the case before it, begins the next */
void test_skip(const char *fmt, ...) TSR_PRINTF(1, 2); /* marks the present case as skipped and says why */
#define SKIP(...)               \
    do {                        \
        test_skip(__VA_ARGS__); \
        return;                 \
    } while (0)

int test_failures(void); /* failed checks of the present case so far: for tests of the checks themselves */

/* Checks: each evaluates its arguments once and gives true when it held. */
#define CHECK(x) test_check((x), __FILE__, __LINE__, "%s", #x)
#define CHECK_MSG(x, ...) test_check((x), __FILE__, __LINE__, __VA_ARGS__)
#define CHECK_EQ(got, want) test_check_i64((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, #got)
#define CHECK_STR(got, want) test_check_str((got), (want), __FILE__, __LINE__, #got)
#define CHECK_CONTAINS(got, part) test_check_contains((got), (part), __FILE__, __LINE__, #got)
#define CHECK_BYTES(got, want, n) test_check_bytes((got), (want), (n), __FILE__, __LINE__, #got)
#define CHECK_CLOSE(got, want, rtol, atol)                                                                            \
    test_check_f64(&(double){got}, &(double){want}, 1, rtol, atol, __FILE__, __LINE__, #got)
/* |got - want| <= atol + rtol * |want| for each of n elements; prints how many differ, the first and the worst. */
#define CHECK_F64(got, want, n, rtol, atol) test_check_f64((got), (want), (n), rtol, atol, __FILE__, __LINE__, #got)
#define CHECK_F32(got, want, n, rtol, atol) test_check_f32((got), (want), (n), rtol, atol, __FILE__, __LINE__, #got)
/* At most `ulps` representable numbers apart. */
#define CHECK_ULP32(got, want, n, ulps) test_check_ulp32((got), (want), (n), ulps, __FILE__, __LINE__, #got)
#define CHECK_ULP64(got, want, n, ulps) test_check_ulp64((got), (want), (n), ulps, __FILE__, __LINE__, #got)
/* No error is recorded in c (prints it when there is one, and clears it); or exactly status s with a message that
 * contains `part`. */
#define CHECK_OK(c) test_check_status((c), TSR_OK, "", __FILE__, __LINE__)
#define CHECK_ERROR(c, s, part) test_check_status((c), (s), (part), __FILE__, __LINE__)

bool test_check(bool ok, const char *file, int line, const char *fmt, ...) TSR_PRINTF(4, 5);
bool test_check_i64(int64_t got, int64_t want, const char *file, int line, const char *what);
bool test_check_str(const char *got, const char *want, const char *file, int line, const char *what);
bool test_check_contains(const char *got, const char *part, const char *file, int line, const char *what);
bool test_check_bytes(const void *got, const void *want, size_t n, const char *file, int line, const char *what);
bool test_check_f64(const double *got, const double *want, size_t n, double rtol, double atol, const char *file,
    int line, const char *what);
bool test_check_f32(const float *got, const float *want, size_t n, double rtol, double atol, const char *file,
    int line, const char *what);
bool test_check_ulp32(const float *got, const float *want, size_t n, double ulps, const char *file, int line,
    const char *what);
bool test_check_ulp64(const double *got, const double *want, size_t n, double ulps, const char *file, int line,
    const char *what);
bool test_check_status(tsr_ctx *c, tsr_status s, const char *part, const char *file, int line);

bool test_close(double got, double want, double rtol, double atol);
double test_ulps32(float a, float b); /* 0 for NaN against NaN, infinity for NaN against a number */
double test_ulps64(double a, double b);

/* Random inputs; the generator restarts with each TEST. */
struct rng *test_rng(void);
int64_t test_int(int64_t lo, int64_t hi); /* uniform in [lo, hi], both included */
double test_uniform(double lo, double hi);
double test_normal(void);

/* A context whose allocator fills fresh memory with 0xA5, overwrites freed memory with 0x5A, moves every resized
 * block, guards both ends of a block and verifies the old size passed back. Closing it (at the end of the TEST at the
 * latest) fails the test when anything was not freed. test_ctx() has two threads; test_ctx_with() takes everything but
 * the allocator from `config`. */
tsr_ctx *test_ctx(void);
tsr_ctx *test_ctx_with(const tsr_config *config);
void test_ctx_close(tsr_ctx *c); /* NULL is accepted */

/* Runs fn on a fresh context (one thread) with the 1st, 2nd, ... allocation refused, until one run passes with none
 * refused. fn returns true when it did all it wanted. Checked on each run: a refusal makes fn return false with
 * TSR_ENOMEM recorded, and nothing leaks either way. Returns the number of allocations refused, one a run; fn must be
 * deterministic. Past 2000 allocations only a sample is refused (random strides), or all with TSR_TEST_TORTURE=all. */
typedef bool torture_fn(tsr_ctx *c, void *arg);
int64_t torture(torture_fn *fn, void *arg);

/* A folder of this program alone, removed when it ends; test_path gives a path inside (valid until 8 more were asked
 * for). */
const char *test_path(const char *fmt, ...) TSR_PRINTF(1, 2);
void test_write_file(const char *path, const void *p, size_t n);

#endif
