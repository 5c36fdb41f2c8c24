/* test_pool.c: every iteration exactly once on any number of threads, worker indices private, nested and concurrent
 * calls, many short loops (the races between a late worker and the next job), and clean failure when memory is short.
 * */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/pool.h"
#include "base/sys.h"
#include "harness.h"

static const int thread_counts[] = {1, 2, 7};
enum { COUNTS = sizeof thread_counts / sizeof *thread_counts, ITERATIONS_MAX = 20000, WORKERS_MAX = 8 };

struct visits {
    int threads;
    atomic_int seen[ITERATIONS_MAX];
    atomic_int inside[WORKERS_MAX]; /* how many bodies run under a worker index just now: never more than one */
    atomic_int bad;
};
static struct visits visits;

static void visit(void *arg, int64_t i, int worker) {
    struct visits *v = arg;
    if (worker < 0 || worker >= v->threads || i < 0 || i >= ITERATIONS_MAX) {
        atomic_fetch_add(&v->bad, 1);
        return;
    }
    if (atomic_fetch_add(&v->inside[worker], 1)) atomic_fetch_add(&v->bad, 1);
    atomic_fetch_add(&v->seen[i], 1);
    for (volatile int spin = 0; spin < (int)(i % 64); spin++) continue;
    atomic_fetch_sub(&v->inside[worker], 1);
}

static void check_visits(int64_t n) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < ITERATIONS_MAX; i++) wrong += atomic_load(&visits.seen[i]) != (i < n);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(atomic_load(&visits.bad), 0);
}

TEST(each_exactly_once) {
    static const int64_t sizes[] = {-1, 0, 1, 2, 3, 7, 8, 15, 16, 17, 63, 100, 1000, 19999, 20000};
    for (int t = 0; t < COUNTS; t++) {
        tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = thread_counts[t]});
        struct pool *p = ctx_pool(c);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            test_case("%d threads, %d iterations", thread_counts[t], (int)sizes[s]);
            memset(&visits, 0, sizeof visits);
            visits.threads = pool_threads(p);
            CHECK_EQ(visits.threads, thread_counts[t]);
            pool_for(p, sizes[s], visit, &visits);
            check_visits(sizes[s]);
        }
        test_ctx_close(c);
    }
}

TEST(without_a_pool) {
    memset(&visits, 0, sizeof visits);
    visits.threads = 1;
    pool_for(NULL, 1000, visit, &visits);
    check_visits(1000);
    CHECK_EQ(pool_threads(NULL), 1);
    pool_close(NULL);
}

static void add_up(void *arg, int64_t i, int worker) {
    (void)worker;
    atomic_fetch_add((_Atomic int64_t *)arg, i + 1);
}

/* Thousands of loops of a few iterations: most workers come late to most of them. */
TEST(many_short_loops) {
    for (int t = 0; t < COUNTS; t++) {
        tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = thread_counts[t]});
        test_case("%d threads", thread_counts[t]);
        for (int round = 0; round < 20000; round++) {
            _Atomic int64_t sum = 0;
            int64_t n = 1 + round % 9;
            pool_for(ctx_pool(c), n, add_up, &sum);
            if (!CHECK_EQ(atomic_load(&sum), n * (n + 1) / 2)) break;
        }
        test_ctx_close(c);
    }
}

struct nest {
    struct pool *pool, *other;
    int outer_worker[64];
    _Atomic int64_t sum;
    atomic_int bad;
};
struct inner_arg { struct nest *nest; int worker; };

static void innermost(void *arg, int64_t i, int worker) {
    struct inner_arg *a = arg;
    if (worker != a->worker) atomic_fetch_add(&a->nest->bad, 1);
    atomic_fetch_add(&a->nest->sum, i);
}

/* A loop inside a loop runs under the index its thread already has, also with another pool's loop between the two. */
static void through_other_pool(void *arg, int64_t i, int worker) {
    struct inner_arg *a = arg;
    (void)i, (void)worker;
    pool_for(a->nest->pool, 10, innermost, a);
}

static void outer(void *arg, int64_t i, int worker) {
    struct nest *n = arg;
    struct inner_arg a = {n, worker};
    n->outer_worker[i] = worker;
    pool_for(n->pool, 10, innermost, &a);
    struct inner_arg through = {n, worker};
    if (n->other) pool_for(n->other, 1, through_other_pool, &through);
}

TEST(nested) {
    for (int t = 0; t < COUNTS; t++) {
        tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = thread_counts[t]});
        tsr_ctx *d = test_ctx_with(&(tsr_config){.threads = 3});
        for (int with_other = 0; with_other < 2; with_other++) {
            struct nest n = {.pool = ctx_pool(c), .other = with_other ? ctx_pool(d) : NULL};
            test_case("%d threads%s", thread_counts[t], with_other ? ", through another pool" : "");
            pool_for(n.pool, 64, outer, &n);
            CHECK_EQ(atomic_load(&n.sum), 64 * 45 * (1 + with_other));
            CHECK_EQ(atomic_load(&n.bad), 0);
        }
        test_ctx_close(c);
        test_ctx_close(d);
    }
}

struct rival { struct pool *pool; int64_t wrong; };

static void *rival_main(void *arg) {
    struct rival *r = arg;
    for (int round = 0; round < 2000; round++) {
        _Atomic int64_t sum = 0;
        pool_for(r->pool, 50, add_up, &sum);
        r->wrong += atomic_load(&sum) != 50 * 51 / 2;
    }
    return NULL;
}

TEST(concurrent_callers) {
    tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = 3});
    pthread_t thread[4];
    struct rival rival[4];
    for (int i = 0; i < 4; i++) {
        rival[i] = (struct rival){.pool = ctx_pool(c)};
        CHECK_EQ(pthread_create(&thread[i], NULL, rival_main, &rival[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        CHECK_EQ(rival[i].wrong, 0);
    }
}

static void wait_for_partner(void *arg, int64_t i, int worker) {
    atomic_int *arrived = arg;
    (void)i, (void)worker;
    atomic_fetch_add(arrived, 1);
    for (double give_up = clock_seconds() + 20; atomic_load(arrived) < 2 && clock_seconds() < give_up;) continue;
}

/* Two iterations that each wait for the other finish only when two threads run them at once. */
TEST(really_parallel) {
    for (int t = 1; t < COUNTS; t++) {
        tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = thread_counts[t]});
        atomic_int arrived = 0;
        test_case("%d threads", thread_counts[t]);
        double begin = clock_seconds();
        pool_for(ctx_pool(c), 2, wait_for_partner, &arrived);
        CHECK(clock_seconds() - begin < 15);
        test_ctx_close(c);
    }
}

TEST(idle_workers_wake_again) {
    tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = 2});
    struct pool *p = ctx_pool(c);
    for (int round = 0; round < 5; round++) {
        struct timespec nap = {.tv_nsec = 5000000}; /* long after the spin: the worker sleeps on its condition */
        atomic_int arrived = 0;
        nanosleep(&nap, NULL);
        double begin = clock_seconds();
        pool_for(p, 2, wait_for_partner, &arrived);
        CHECK(clock_seconds() - begin < 15);
    }
}

static bool open_and_use(tsr_ctx *c, void *arg) {
    (void)arg;
    struct pool *p = pool_open(c, 3);
    if (!p) return false;
    _Atomic int64_t sum = 0;
    pool_for(p, 10, add_up, &sum);
    CHECK_EQ(atomic_load(&sum), 55);
    pool_close(p);
    return true;
}

TEST(torture_pool) { CHECK(torture(open_and_use, NULL) >= 4); }
