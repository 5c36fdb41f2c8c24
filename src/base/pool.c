/* pool.c: persistent workers and the self-scheduled parallel loop.
 *
 * One job is open at a time. A worker that sees a new epoch joins the job under the lock (inside++), claims runs of
 * iterations from an atomic counter until none are left, and leaves (inside--). The caller does the same as worker 0,
 * then closes the job under the lock, so that no late worker can join, and waits until inside is 0: then every claimed
 * iteration is done and the job, which lives in the pool, may be reused. Nobody waits for a worker that slept through
 * a job.
 *
 * Waiting is a short spin (a loop is often followed by the next within microseconds), then a condition variable; on a
 * machine with fewer cores than threads nobody spins.
 *
 * Which loop a thread is inside of is a chain of frames on the stacks of the callers, headed by a thread-local
 * pointer: a nested call finds its pool there and runs inline under the worker index it already has, so scratch memory
 * by index stays private. A caller from an unrelated thread while a job is open runs inline as worker 0 of its own
 * loop. */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"

enum { SPINS = 1000, RUNS_PER_THREAD = 8 };

struct worker {
    struct pool *pool;
    pthread_t thread;
    int id;
};

struct pool {
    tsr_ctx *c;
    int threads;            /* the caller included */
    int started, spins;
    struct worker *worker;  /* (threads - 1), ids from 1 */
    pthread_mutex_t lock;   /* guards open, sleepers, stop, the job's fields and the changes of inside and epoch */
    pthread_cond_t wake, done;
    int sleepers;
    bool open, stop;
    atomic_bool busy;       /* a caller owns the pool */
    _Atomic uint64_t epoch; /* number of jobs so far */
    atomic_int inside;      /* workers that have joined the job */
    pool_body *body;        /* the job: constant while it is open or inside > 0 */
    void *arg;
    int64_t n, run;
    _Atomic int64_t next;
};

struct frame {
    const struct pool *pool;
    int worker;
    const struct frame *outer;
};
static _Thread_local const struct frame *top_frame;

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_range(const struct pool *p, int64_t from, int64_t to, pool_body *body, void *arg, int worker) {
    struct frame f = {p, worker, top_frame};
    top_frame = &f;
    for (int64_t i = from; i < to; i++) body(arg, i, worker);
    top_frame = f.outer;
}

static void run_job(struct pool *p, int worker) {
    int64_t from;
    while ((from = atomic_fetch_add(&p->next, p->run)) < p->n) {
        int64_t to = p->n - from < p->run ? p->n : from + p->run;
        run_range(p, from, to, p->body, p->arg, worker);
    }
}

/* Joins when the job is still open; the lock is held on entry and on return. */
static void take_part(struct pool *p, int worker) {
    if (!p->open) return;
    atomic_fetch_add(&p->inside, 1);
    pthread_mutex_unlock(&p->lock);
    run_job(p, worker);
    pthread_mutex_lock(&p->lock);
    if (atomic_fetch_sub(&p->inside, 1) == 1) pthread_cond_signal(&p->done);
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    struct pool *p = w->pool;
    uint64_t seen = 0;
    for (;;) {
        for (int i = 0; i < p->spins && atomic_load(&p->epoch) == seen; i++) relax();
        pthread_mutex_lock(&p->lock);
        while (atomic_load(&p->epoch) == seen && !p->stop) {
            p->sleepers++;
            pthread_cond_wait(&p->wake, &p->lock);
            p->sleepers--;
        }
        seen = atomic_load(&p->epoch);
        bool stop = p->stop;
        if (!stop) take_part(p, w->id);
        pthread_mutex_unlock(&p->lock);
        if (stop) return NULL;
    }
}

struct pool *pool_open(tsr_ctx *c, int threads) {
    struct pool *p = mem_new(c, struct pool);
    if (!p) return NULL;
    p->c = c, p->threads = threads > 1 ? threads : 1;
    p->spins = p->threads <= cpu_count() ? SPINS : 0;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    p->worker = mem_array(c, (size_t)p->threads - 1, sizeof *p->worker);
    if (!p->worker) goto fail;
    for (int i = 0; i < p->threads - 1; i++, p->started++) {
        p->worker[i] = (struct worker){.pool = p, .id = i + 1};
        int e = pthread_create(&p->worker[i].thread, NULL, worker_main, &p->worker[i]);
        if (!e) continue;
        err_set(c, TSR_ENOMEM, "cannot start thread %d of %d (%s); set TSR_THREADS to a smaller number", i + 2,
            p->threads, strerror(e));
        goto fail;
    }
    return p;
fail:
    pool_close(p);
    return NULL;
}

void pool_close(struct pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    atomic_fetch_add(&p->epoch, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++) pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mem_array_free(p->c, p->worker, (size_t)p->threads - 1, sizeof *p->worker);
    mem_del(p->c, p);
}

int pool_threads(const struct pool *p) { return p ? p->threads : 1; }

static void open_job(struct pool *p, int64_t n, pool_body *body, void *arg) {
    pthread_mutex_lock(&p->lock);
    p->body = body, p->arg = arg, p->n = n;
    p->run = n / ((int64_t)p->threads * RUNS_PER_THREAD);
    if (p->run < 1) p->run = 1;
    atomic_store(&p->next, 0);
    p->open = true;
    atomic_fetch_add(&p->epoch, 1);
    if (p->sleepers) pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void close_job(struct pool *p) {
    pthread_mutex_lock(&p->lock);
    p->open = false;
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->spins && atomic_load(&p->inside); i++) relax();
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->inside)) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

/* The index this thread already has in p, -1 when it is in none of p's loops. */
static int current_worker(const struct pool *p) {
    for (const struct frame *f = top_frame; f; f = f->outer) {
        if (f->pool == p) return f->worker;
    }
    return -1;
}

void pool_for(struct pool *p, int64_t n, pool_body *body, void *arg) {
    if (n <= 0) return;
    int worker = p ? current_worker(p) : 0;
    bool nested = worker >= 0;
    if (nested || n == 1 || p->threads == 1 || atomic_exchange(&p->busy, true)) {
        run_range(p, 0, n, body, arg, nested ? worker : 0);
        return;
    }
    open_job(p, n, body, arg);
    run_job(p, 0);
    close_job(p);
    atomic_store(&p->busy, false);
}
