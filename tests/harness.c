/* harness.c: main() of every test program, the counting, the comparisons, the checking allocator and torture mode.
 *
 * Not cmocka: its unit of counting is a function known at compile time and its checks leave by longjmp; ours are rows
 * of tables with random shapes, counted one by one, that go on after a failure (docs/dependencies.md). */
#include "harness.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "foreign.h"

/* What drivers keep to the end of a process is not ours: their libraries are not looked at for leaks. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libpocl\nleak:libLLVM\nleak:libnvrtc\n"; }

enum { TESTS_MAX = 512, CTX_MAX = 32, NAME_MAX_LEN = 240, FAILURES_SHOWN = 5 };

static struct test { const char *name; void (*run)(void); } tests[TESTS_MAX];
static int test_count;
static const struct test *running;
static uint64_t seed;
static struct rng random_state;
static bool verbose, on_foreign;

static struct { char name[NAME_MAX_LEN]; int failures; bool open, named, skipped; } current; /* the present case */
static long passed, failed, skipped;

void test_register(const char *name, void (*run)(void)) {
    TSR_ASSERT(test_count < TESTS_MAX);
    tests[test_count++] = (struct test){name, run};
}

/* ---- cases and checks
 * ----------------------------------------------------------------------------------------------- */

static void end_case(void) {
    if (!current.open) return;
    current.open = false;
    if (current.failures > FAILURES_SHOWN) printf("    ... and %d failures more\n", current.failures - FAILURES_SHOWN);
    if (current.failures) {
        failed++;
        printf("%s%s%s: FAILED (TSR_TEST_SEED=%" PRIu64 ")\n", running->name, current.named ? " " : "", current.name,
            seed);
    } else if (current.skipped) {
        skipped++;
    } else {
        passed++;
        if (verbose) printf("%s%s%s: ok\n", running->name, current.named ? " " : "", current.name);
    }
    fflush(stdout);
}

static void begin_case(void) {
    memset(&current, 0, sizeof current);
    current.open = true;
}

/* The case that a TEST begins with is counted only when something was checked in it before the first named one. */
void test_case(const char *fmt, ...) {
    if (current.named || current.failures || current.skipped) end_case();
    begin_case();
    current.named = true;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(current.name, sizeof current.name, fmt, ap);
    va_end(ap);
}

void test_skip(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    current.skipped = true;
    printf("%s%s%s: skipped: ", running->name, current.named ? " " : "", current.name);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
}

int test_failures(void) { return current.failures; }

/* Says where and what, for the first few failures of a case. Workers may check, too. */
static bool report(bool ok, const char *file, int line, const char *fmt, va_list ap) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (ok) return true;
    pthread_mutex_lock(&lock);
    if (current.failures++ < FAILURES_SHOWN) {
        printf("    %s:%d: ", file, line);
        vprintf(fmt, ap);
        putchar('\n');
    }
    pthread_mutex_unlock(&lock);
    return false;
}

bool test_check(bool ok, const char *file, int line, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    report(ok, file, line, fmt, ap);
    va_end(ap);
    return ok;
}

bool test_check_i64(int64_t got, int64_t want, const char *file, int line, const char *what) {
    return test_check(got == want, file, line, "%s is %" PRId64 ", not %" PRId64, what, got, want);
}

bool test_check_str(const char *got, const char *want, const char *file, int line, const char *what) {
    bool ok = got && want ? !strcmp(got, want) : got == want;
    return test_check(ok, file, line, "%s is\n      \"%s\", not\n      \"%s\"", what, got ? got : "(null)",
        want ? want : "(null)");
}

bool test_check_contains(const char *got, const char *part, const char *file, int line, const char *what) {
    return test_check(got && strstr(got, part), file, line, "%s is \"%s\", without \"%s\"", what, got ? got : "(null)",
        part);
}

bool test_check_bytes(const void *got, const void *want, size_t n, const char *file, int line, const char *what) {
    const uint8_t *g = got, *w = want;
    for (size_t i = 0; i < n; i++) {
        if (g[i] == w[i]) continue;
        return test_check(false, file, line, "%s: byte %zu of %zu is 0x%02x, not 0x%02x", what, i, n, g[i], w[i]);
    }
    return true;
}

bool test_check_status(tsr_ctx *c, tsr_status s, const char *part, const char *file, int line) {
    tsr_status got = tsr_error_status(c);
    bool ok = test_check(got == s && strstr(tsr_error_message(c), part), file, line,
        "status is \"%s\" (%s), not \"%s\" with \"%s\"", tsr_status_name(got), tsr_error_message(c),
            tsr_status_name(s), part);
    tsr_error_clear(c);
    return ok;
}

/* ---- floats
 * --------------------------------------------------------------------------------------------------------- */

bool test_close(double got, double want, double rtol, double atol) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got)) return got == want;
    return fabs(got - want) <= atol + rtol * fabs(want);
}

/* Floats of one sign are ordered like their bits; negative ones are folded below zero, so that both zeros are 0. */
static int64_t order32(float x) {
    int32_t i;
    memcpy(&i, &x, sizeof i);
    return i < 0 ? (int64_t)INT32_MIN - i : i;
}

static int64_t order64(double x) {
    int64_t i;
    memcpy(&i, &x, sizeof i);
    return i < 0 ? INT64_MIN - i : i;
}

double test_ulps64(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INFINITY;
    int64_t x = order64(a), y = order64(b);
    return (double)(x > y ? (uint64_t)x - (uint64_t)y : (uint64_t)y - (uint64_t)x);
}

double test_ulps32(float a, float b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INFINITY;
    return fabs((double)order32(a) - (double)order32(b));
}

/* What an array comparison found: the first bad element and the worst. */
struct mismatch { size_t count, first, worst; double worst_by; };

static void mismatch_add(struct mismatch *m, size_t i, double by) {
    if (isnan(by)) by = INFINITY;
    if (!m->count++) m->first = m->worst = i, m->worst_by = by;
    if (by > m->worst_by) m->worst = i, m->worst_by = by;
}

#define AT(x, i) (n ? (double)x[i] : 0)
#define CHECK_ARRAY(T, name, bad, by, unit, ...)                                                                      \
    bool name(const T *got, const T *want, size_t n, __VA_ARGS__, const char *file, int line, const char *what) {     \
        struct mismatch m = {0};                                                                                      \
        for (size_t i = 0; i < n; i++) {                                                                              \
            if (bad) mismatch_add(&m, i, by);                                                                         \
        }                                                                                                             \
        return test_check(!m.count, file, line,                                                                       \
            "%s: %zu of %zu differ; first [%zu] is %.9g, not %.9g; worst [%zu] is %.9g, not %.9g (off by %.3g " unit  \
            ")", what, m.count, n, m.first, AT(got, m.first), AT(want, m.first), m.worst, AT(got, m.worst),           \
            AT(want, m.worst), m.worst_by);                                                                           \
    }
CHECK_ARRAY(double, test_check_f64, !test_close(got[i], want[i], rtol, atol), fabs(got[i] - want[i]), "absolute",
    double rtol, double atol)
CHECK_ARRAY(float, test_check_f32, !test_close(got[i], want[i], rtol, atol), fabs((double)got[i] - want[i]),
    "absolute", double rtol, double atol)
CHECK_ARRAY(float, test_check_ulp32, !(test_ulps32(got[i], want[i]) <= ulps), test_ulps32(got[i], want[i]), "ulp",
    double ulps)
CHECK_ARRAY(double, test_check_ulp64, !(test_ulps64(got[i], want[i]) <= ulps), test_ulps64(got[i], want[i]), "ulp",
    double ulps)

struct rng *test_rng(void) { return &random_state; }
int64_t test_int(int64_t lo, int64_t hi) { return lo + (int64_t)rng_below(&random_state, (uint64_t)(hi - lo) + 1); }
double test_uniform(double lo, double hi) { return lo + (hi - lo) * rng_uniform(&random_state); }
double test_normal(void) { return rng_normal(&random_state); }

/* ---- the checking allocator
 * ------------------------------------------------------------------------------------------ */

enum { GUARD = 64 }; /* bytes before and behind each block; those before hold its record */
#define BLOCK_MAGIC 0x7e55e7a0b10c4a11u
#define BLOCK_LIMIT ((size_t)1 << 36)

struct block { uint64_t magic; size_t size; uint64_t number; struct block *prev, *next; };
_Static_assert(sizeof(struct block) <= GUARD, "the record fits the guard");

struct heap {
    pthread_mutex_t lock;
    struct block *blocks;
    uint64_t requests, refuse; /* requests so far; the one to refuse, 0 for none */
    bool refused;
};

static void *block_new(struct heap *h, size_t size) {
    h->requests++;
    if (h->requests == h->refuse) return h->refused = true, NULL;
    if (size > BLOCK_LIMIT) return NULL;
    struct block *b = aligned_alloc(64, (size + 2 * GUARD + 63) / 64 * 64);
    if (!b) return NULL;
    memset(b, 0xee, GUARD);
    *b = (struct block){BLOCK_MAGIC, size, h->requests, NULL, h->blocks};
    if (h->blocks) h->blocks->prev = b;
    h->blocks = b;
    char *p = (char *)b + GUARD;
    memset(p, 0xa5, size);
    memset(p + size, 0xee, GUARD);
    return p;
}

static struct block *block_of(void *p, size_t old_size) {
    struct block *b = (struct block *)((char *)p - GUARD);
    CHECK_MSG(b->magic == BLOCK_MAGIC, "a block that was never allocated, or is already free, was passed back");
    CHECK_MSG(b->size == old_size, "block %" PRIu64 " of %zu bytes was passed back as one of %zu", b->number, b->size,
        old_size);
    unsigned char *end = (unsigned char *)p + b->size;
    for (int i = 0; i < GUARD; i++) {
        bool kept = end[i] == 0xee;
        if (!CHECK_MSG(kept, "block %" PRIu64 " of %zu bytes was written past its end", b->number, b->size)) break;
    }
    return b;
}

static void block_delete(struct heap *h, struct block *b) {
    if (b->prev) b->prev->next = b->next;
    else h->blocks = b->next;
    if (b->next) b->next->prev = b->prev;
    memset(b, 0x5a, b->size + 2 * GUARD);
    __asm__ volatile("" : : "r"(b) : "memory"); /* else the compiler drops stores into what is freed next */
    free(b);
}

static void *checking_allocator(void *user, void *p, size_t old_size, size_t new_size) {
    struct heap *h = user;
    pthread_mutex_lock(&h->lock);
    struct block *old = p ? block_of(p, old_size) : NULL;
    void *q = new_size ? block_new(h, new_size) : NULL;
    if (q && old) memcpy(q, p, old->size < new_size ? old->size : new_size);
    if (old && (q || !new_size)) block_delete(h, old);
    pthread_mutex_unlock(&h->lock);
    return q;
}

/* Fails the present case for what is left, and frees it. */
static void heap_close(struct heap *h) {
    size_t count = 0, bytes = 0;
    uint64_t first = UINT64_MAX;
    for (struct block *b = h->blocks, *next; b; b = next) {
        next = b->next;
        count++, bytes += b->size;
        if (b->number < first) first = b->number;
        free(b);
    }
    CHECK_MSG(!count, "%zu blocks of %zu bytes leaked; the first was allocation %" PRIu64, count, bytes, first);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static struct heap *heap_open(uint64_t refuse) {
    struct heap *h = calloc(1, sizeof *h);
    TSR_ASSERT(h);
    pthread_mutex_init(&h->lock, NULL);
    h->refuse = refuse;
    return h;
}

static struct { tsr_ctx *c; struct heap *heap; } opened[CTX_MAX];

tsr_ctx *test_ctx_with(const tsr_config *config) {
    int i = 0;
    while (i < CTX_MAX && opened[i].c) i++;
    TSR_ASSERT(i < CTX_MAX);
    tsr_config cfg = config ? *config : (tsr_config){0};
    opened[i].heap = heap_open(0);
    cfg.alloc = checking_allocator, cfg.alloc_user = opened[i].heap;
    opened[i].c = tsr_open(&cfg);
    TSR_ASSERT(opened[i].c);
    if (on_foreign && !cfg.device) TSR_ASSERT(foreign_open(opened[i].c));
    return opened[i].c;
}

tsr_ctx *test_ctx(void) { return test_ctx_with(&(tsr_config){.threads = 2}); }

void test_ctx_close(tsr_ctx *c) {
    for (int i = 0; c && i < CTX_MAX; i++) {
        if (opened[i].c != c) continue;
        tsr_close(c);
        opened[i].c = NULL;
        heap_close(opened[i].heap);
    }
}

/* One run with allocation `refuse` refused; false when nothing was refused, that is, when the end is reached. */
static bool torture_run(torture_fn *fn, void *arg, uint64_t refuse, uint64_t *requests) {
    struct heap *h = heap_open(refuse);
    tsr_ctx *c = tsr_open(&(tsr_config){.alloc = checking_allocator, .alloc_user = h, .threads = 1});
    bool done = c && (!on_foreign || foreign_open(c)) && fn(c, arg);
    tsr_status s = c ? tsr_error_status(c) : TSR_ENOMEM;
    if (h->refused) {
        CHECK_MSG(!done, "allocation %" PRIu64 " was refused, yet success was reported", refuse);
        CHECK_MSG(s == TSR_ENOMEM, "allocation %" PRIu64 " was refused, yet the context says \"%s\" (%s)", refuse,
            tsr_status_name(s), c ? tsr_error_message(c) : "");
    } else {
        CHECK_MSG(done && s == TSR_OK, "failed with no allocation refused: \"%s\" (%s)", tsr_status_name(s),
            c ? tsr_error_message(c) : "");
    }
    int before = current.failures;
    tsr_close(c);
    bool refused = h->refused;
    *requests = h->requests;
    heap_close(h);
    if (current.failures > before) printf("    (with allocation %" PRIu64 " refused)\n", refuse);
    return refused;
}

int64_t torture(torture_fn *fn, void *arg) {
    enum { EVERY = 2000 };
    const char *mode = getenv("TSR_TEST_TORTURE");
    bool all = mode && !strcmp(mode, "all");
    uint64_t total, ignored, runs = 0;
    torture_run(fn, arg, 0, &total);
    if (current.failures) return 0;
    for (uint64_t n = 1; torture_run(fn, arg, n, &ignored) && !current.failures; runs++) {
        uint64_t stride = all || total <= EVERY ? 1 : total * 2 / EVERY;
        n += stride < 2 ? 1 : (uint64_t)test_int(1, (int64_t)stride);
    }
    if (verbose) printf("    torture: %" PRIu64 " of %" PRIu64 " allocations refused, one a run\n", runs, total);
    return (int64_t)runs;
}

/* ---- files
 * ---------------------------------------------------------------------------------------------------------- */

static char folder[256];

static void remove_folder(void) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) fprintf(stderr, "could not remove %s\n", folder);
}

const char *test_path(const char *fmt, ...) {
    static char paths[8][1024];
    static int turn;
    if (!*folder) {
        const char *tmp = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/tessera-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        TSR_ASSERT(mkdtemp(folder));
        atexit(remove_folder);
    }
    char *p = paths[turn++ % 8];
    int n = snprintf(p, sizeof paths[0], "%s/", folder);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p + n, sizeof paths[0] - (size_t)n, fmt, ap);
    va_end(ap);
    return p;
}

void test_write_file(const char *path, const void *p, size_t n) {
    FILE *f = fopen(path, "wb");
    TSR_ASSERT(f);
    size_t wrote = n ? fwrite(p, 1, n, f) : 0;
    TSR_ASSERT(wrote == n && !fclose(f));
}

/* ---- main
 * ------------------------------------------------------------------------------------------------------------ */

static void run_test(const struct test *t) {
    running = t;
    random_state = (struct rng){.seed = seed, .stream = hash_str(0, t->name)};
    begin_case();
    t->run();
    for (int i = 0; i < CTX_MAX; i++) test_ctx_close(opened[i].c);
    end_case();
}

static uint64_t choose_seed(void) {
    const char *given = getenv("TSR_TEST_SEED");
    on_foreign = getenv("TSR_TEST_FOREIGN") != NULL;
    if (given && *given) return strtoull(given, NULL, 10);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    const char *filter = "";
    bool list = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-v")) verbose = true;
        else if (!strcmp(argv[i], "-l")) list = true;
        else filter = argv[i];
    }
    seed = choose_seed();
    setenv("TSR_JIT", "off", 0); /* what is compiled in the background is a matter of time; its tests switch it on */
    for (int i = 0; i < test_count; i++) {
        if (!strstr(tests[i].name, filter)) continue;
        if (list) puts(tests[i].name);
        else run_test(&tests[i]);
    }
    printf("%ld passed, %ld failed, %ld skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}

/* An allocation that the sanitizers find too large is refused like any other, instead of ending the program. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1:detect_stack_use_after_return=1"; }
