/* jit.c: units of kernels, the threads that have them compiled, and launches of compiled code.
 *
 * Adding a kernel only keeps its program. A unit is filled until its first launch, then closed; it is heated by the
 * time its kernels take on the VM until that passes HOT_SECONDS; at the end of that run, or after LONG_SECONDS within
 * one run, it is cut into parts that are queued: a short program never pays for text, a compiler or even a thread, and
 * a first result does not wait for compilers that would take its processors. How a unit is cut depends on its programs
 * alone, so that the parts of another run are the same and found on disk; which part goes first is decided by heat.
 *
 * Workers write the text and run the compiler. Each has a context of its own beside the device's (same allocator), so
 * what goes wrong in the background is nobody's error; of the device's context they read programs, which nobody
 * changes. Functions are published with release order and read with acquire order, so a launch sees whole code or
 * none. A process that was forked off has no workers: it goes on with what was there. */
#include "device/cpu/jit.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "device/cpu/jit_cache.h"

#define HOT_SECONDS 0.1
#define LONG_SECONDS 1.0
/* Instructions of a part: some tenths of a second of a compiler; what a kernel costs beside its own. */
enum { PART_WEIGHT = 600, KERNEL_WEIGHT = 20, WORKERS_MOST = 8, LAZY_WORKERS = 2 };

enum unit_state { UNIT_OPEN, UNIT_CLOSED, UNIT_QUEUED, UNIT_BUILDING, UNIT_DONE };
struct jit_unit {
    struct jit_kernel *kernel, **last; /* in the order in which they were added */
    int kernels;
    size_t weight;                  /* instructions of all */
    _Atomic(enum unit_state) state; /* becomes QUEUED and more under the lock; workers read it at any time */
    double heat;
    void *so;
    struct jit_unit *next;
};
struct worker {
    struct jit *j;
    struct jit_tool tool;
    pthread_t thread;
};
struct jit {
    tsr_ctx *c;
    bool now, asked; /* TSR_JIT; neither: lazy */
    bool hot;        /* some unit is hot and not queued */
    struct jit_tool tool;
    struct jit_unit *units, *open;
    struct worker worker[WORKERS_MOST];
    int workers;
    pid_t pid; /* of the process that has the workers */
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    bool stop;
    char **room; /* scratch of each worker of the pool */
    size_t room_bytes;
    int rooms;
};

/* ---- workers ---- */

static void publish(struct jit_unit *u) {
    for (struct jit_kernel *k = u->kernel; k; k = k->next) {
        char name[32];
        snprintf(name, sizeof name, "tsr_k%d", k->number);
        void *f = dlsym(u->so, name);
        jit_fn *run;
        memcpy(&run, &f, sizeof run);
        atomic_store_explicit(&k->run, run, memory_order_release);
    }
}

/* Under the lock: the hottest queued unit, to be built by the caller. */
static struct jit_unit *take(struct jit *j) {
    struct jit_unit *best = NULL;
    for (struct jit_unit *u = j->units; u; u = u->next)
        if (u->state == UNIT_QUEUED && (!best || u->heat > best->heat)) best = u;
    if (best) best->state = UNIT_BUILDING;
    return best;
}

/* The text of the unit's kernels, and what stands in front of them. */
static bool write_unit(tsr_ctx *own, struct jit_unit *u, struct str *library, struct str *text) {
    for (struct jit_kernel *k = u->kernel; k; k = k->next) {
        struct emit_plan plan;
        char name[32];
        if (!emit_plan_init(&plan, own, k->program, EMIT_FOR_HOST)) return false;
        snprintf(name, sizeof name, "tsr_k%d", k->number);
        emit_c_kernel(text, &plan, name);
        k->scratch = plan.scratch;
        emit_plan_release(&plan);
    }
    return !text->failed && emit_c_library(library, own, text->s);
}

/* Under the lock, which is let go meanwhile. */
static void build(struct worker *w, tsr_ctx *own, struct jit_unit *u) {
    struct jit *j = w->j;
    struct str library, text;
    pthread_mutex_unlock(&j->lock);
    str_init(&library, own), str_init(&text, own);
    if (write_unit(own, u, &library, &text)) u->so = jit_tool_build(&w->tool, library.s, text.s);
    str_release(&library), str_release(&text);
    tsr_error_clear(own);
    pthread_mutex_lock(&j->lock);
    if (u->so) publish(u);
    u->state = UNIT_DONE;
    pthread_cond_broadcast(&j->done);
}

/* No memory for a context: the VM goes on. */
static void give_up(struct jit *j) {
    for (struct jit_unit *u; (u = take(j));) u->state = UNIT_DONE;
    pthread_cond_broadcast(&j->done);
}

static void *work(void *arg) {
    struct worker *w = arg;
    struct jit *j = w->j;
    tsr_ctx *own = ctx_beside(j->c);
    jit_tool_start(&w->tool);
    pthread_mutex_lock(&j->lock);
    while (!j->stop) {
        struct jit_unit *u = own ? take(j) : NULL;
        if (!own) give_up(j);
        if (u) build(w, own, u);
        else pthread_cond_wait(&j->wake, &j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    tsr_close(own);
    return NULL;
}

/* Under the lock: as many workers as the queue can use. Their threads take no signals: those are the program's. */
static void hire(struct jit *j) {
    sigset_t all, before;
    int queued = 0, most = j->now || j->asked ? cpu_count() : LAZY_WORKERS;
    for (struct jit_unit *u = j->units; u; u = u->next) queued += u->state == UNIT_QUEUED || u->state == UNIT_BUILDING;
    if (most > WORKERS_MOST) most = WORKERS_MOST;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (j->workers < most && j->workers < queued) {
        struct worker *w = &j->worker[j->workers];
        w->j = j, w->tool = j->tool;
        if (pthread_create(&w->thread, NULL, work, w)) break;
        j->workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (j->workers == 0) give_up(j);
    pthread_cond_broadcast(&j->wake);
}

/* ---- kernels ---- */

struct jit *jit_open(tsr_ctx *c, bool *failed) {
    const char *mode = env_str("TSR_JIT");
    struct jit_tool tool;
    *failed = false;
    if (strcmp(mode, "off") == 0 || env_int("TSR_CHECK") > 0 || !jit_tool_find(&tool)) return NULL;
    struct jit *j = mem_new(c, struct jit);
    if (!j) return *failed = true, NULL;
    j->c = c, j->tool = tool, j->now = strcmp(mode, "now") == 0, j->asked = strcmp(mode, "asked") == 0;
    j->tool.background = !j->now && !j->asked;
    j->pid = getpid();
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, NULL), pthread_cond_init(&j->done, NULL);
    return j;
}

static void free_unit(struct jit *j, struct jit_unit *u) {
    if (u->so) dlclose(u->so);
    for (struct jit_kernel *k = u->kernel, *next; k; k = next) {
        next = k->next;
        tsr_tile_free(k->program);
        mem_del(j->c, k);
    }
    mem_del(j->c, u);
}

static void dismiss(struct jit *j) {
    if (j->pid != getpid()) return; /* threads and locks are the other process's */
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    pthread_cond_broadcast(&j->wake);
    for (int i = 0; i < j->workers; i++) jit_tool_stop(&j->worker[i].tool);
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < j->workers; i++) pthread_join(j->worker[i].thread, NULL);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->wake), pthread_cond_destroy(&j->done);
}

void jit_close(struct jit *j) {
    if (!j) return;
    dismiss(j);
    for (struct jit_unit *u = j->units, *next; u; u = next) next = u->next, free_unit(j, u);
    for (int i = 0; i < j->rooms; i++) mem_free(j->c, j->room[i], j->room_bytes);
    mem_array_free(j->c, j->room, (size_t)j->rooms, sizeof *j->room);
    mem_del(j->c, j);
}

bool jit_is_lazy(const struct jit *j) { return !j->now && !j->asked; }

static struct jit_unit *new_unit(struct jit *j) {
    struct jit_unit *u = mem_new(j->c, struct jit_unit);
    if (!u) return NULL;
    u->last = &u->kernel;
    pthread_mutex_lock(&j->lock);
    u->next = j->units, j->units = u;
    pthread_mutex_unlock(&j->lock);
    return u;
}

static void put_kernel(struct jit_unit *u, struct jit_kernel *k) {
    k->unit = u, k->number = u->kernels++, k->next = NULL;
    *u->last = k, u->last = &k->next;
    u->weight += k->program->inst.n + KERNEL_WEIGHT;
    u->heat += k->seconds;
}

struct jit_kernel *jit_add(struct jit *j, const tsr_tile *program) {
    if (!j->open) j->open = new_unit(j);
    struct jit_kernel *k = j->open ? mem_new(j->c, struct jit_kernel) : NULL;
    if (!k) return NULL;
    k->program = tsr_tile_keep((tsr_tile *)(uintptr_t)program);
    put_kernel(j->open, k);
    return k;
}

/* Cuts a unit into parts of like weight, of which it is the first; an even number of them, since two workers share them
 * and the last turn of one alone is what makes a program wait. Where memory ends a part is longer. */
static void cut(struct jit *j, struct jit_unit *u) {
    struct jit_kernel *k = u->kernel;
    struct jit_unit *part = u;
    size_t all = u->weight, parts = (all + PART_WEIGHT - 1) / PART_WEIGHT, made = 1, before = 0;
    if (parts > 1) parts += parts % 2;
    u->kernel = NULL, u->last = &u->kernel, u->kernels = 0, u->weight = 0, u->heat = 0;
    for (struct jit_kernel *next; k; k = next) {
        next = k->next;
        size_t weight = k->program->inst.n + KERNEL_WEIGHT;
        if ((before + weight / 2) * parts >= all * made && made < parts && part->kernels) {
            struct jit_unit *fresh = new_unit(j);
            made++;
            if (fresh) part = fresh;
            else tsr_error_clear(j->c);
        }
        put_kernel(part, k);
        before += weight;
    }
}

/* Queues a unit, in parts. */
static void enqueue(struct jit *j, struct jit_unit *u) {
    struct jit_unit *before = j->units;
    cut(j, u);
    pthread_mutex_lock(&j->lock);
    u->state = UNIT_QUEUED;
    for (struct jit_unit *part = j->units; part != before; part = part->next) part->state = UNIT_QUEUED;
    hire(j);
    pthread_mutex_unlock(&j->lock);
}

static void await(struct jit *j, struct jit_unit *u) {
    pthread_mutex_lock(&j->lock);
    while (u->state != UNIT_DONE) pthread_cond_wait(&j->done, &j->lock);
    pthread_mutex_unlock(&j->lock);
}

void jit_heat(struct jit *j, struct jit_kernel *k, double seconds) {
    struct jit_unit *u = k->unit;
    if (j->asked) return;
    j->open = NULL;
    if (u->state <= UNIT_CLOSED) {
        u->state = UNIT_CLOSED;
        k->seconds += seconds, u->heat += seconds;
        j->hot |= u->heat >= HOT_SECONDS;
        if ((!j->now && u->heat < LONG_SECONDS) || j->pid != getpid()) return;
        enqueue(j, u);
    }
    if (j->now && j->pid == getpid()) await(j, k->unit);
}

void jit_rest(struct jit *j) {
    if (!j->hot || j->pid != getpid()) return;
    j->hot = false;
    for (struct jit_unit *u = j->units, *next; u; u = next) { /* new parts stand before it */
        next = u->next;
        if (u->state == UNIT_CLOSED && u->heat >= HOT_SECONDS) enqueue(j, u);
    }
}

int jit_settle(struct jit *j) {
    int failed = 0;
    j->open = NULL;
    for (struct jit_unit *u = j->units; u && j->pid == getpid();) {
        if (u->state <= UNIT_CLOSED) enqueue(j, u), u = j->units;
        else u = u->next;
    }
    for (struct jit_unit *u = j->units; u; u = u->next) {
        if (j->pid == getpid()) await(j, u);
        failed += !u->so;
    }
    return failed;
}

/* ---- launches ---- */

struct launch {
    jit_fn *run;
    const union vm_arg *args;
    const int64_t *grid;
    int64_t total, chunk;
    char **room;
};

static void run_chunk(void *arg, int64_t chunk, int worker) {
    const struct launch *l = arg;
    int64_t begin = chunk * l->chunk, end = begin + l->chunk < l->total ? begin + l->chunk : l->total;
    l->run(l->args, l->grid, begin, end, l->room[worker]);
}

static bool reserve(struct jit *j, size_t bytes, int workers) {
    bytes = (bytes + 4095) & ~(size_t)4095;
    if (bytes <= j->room_bytes && workers <= j->rooms) return true;
    if (bytes < j->room_bytes) bytes = j->room_bytes;
    char **room = mem_array(j->c, (size_t)workers, sizeof *room);
    bool ok = room != NULL;
    for (int i = 0; ok && i < workers; i++) ok = (room[i] = mem_alloc(j->c, bytes)) != NULL;
    if (!ok) {
        for (int i = 0; room && i < workers; i++) mem_free(j->c, room[i], bytes);
        mem_array_free(j->c, room, (size_t)workers, sizeof *room);
        return false;
    }
    for (int i = 0; i < j->rooms; i++) mem_free(j->c, j->room[i], j->room_bytes);
    mem_array_free(j->c, j->room, (size_t)j->rooms, sizeof *j->room);
    j->room = room, j->rooms = workers, j->room_bytes = bytes;
    return true;
}

tsr_status jit_run(struct jit *j, struct jit_kernel *k, const int64_t grid[3], const union vm_arg *args,
    struct pool *pool) {
    enum { CHUNKS_EACH = 16 };
    int workers = pool_threads(pool);
    struct launch l = {atomic_load_explicit(&k->run, memory_order_acquire), args, grid,
        grid[0] * grid[1] * grid[2], 1, NULL};
    if (l.total <= 0) return TSR_OK;
    if (!reserve(j, k->scratch + 1, workers)) return TSR_ENOMEM;
    l.room = j->room;
    l.chunk = l.total / ((int64_t)workers * CHUNKS_EACH);
    if (l.chunk < 1) l.chunk = 1;
    pool_for(pool, (l.total + l.chunk - 1) / l.chunk, run_chunk, &l);
    return TSR_OK;
}
