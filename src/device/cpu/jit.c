/* jit.c: units of kernels, the thread that has them compiled, and launches of compiled code.
 *
 * Text is written by the thread that adds a kernel; the worker thread only spawns the compiler, loads what it made and
 * publishes functions, and allocates nothing from the context. A unit is filled until its first launch, then closed;
 * it is heated by the time its kernels take on the VM until that passes HOT_SECONDS, then queued. Functions are
 * published with release order and read with acquire order, so a launch sees whole code or none. */
#include "device/cpu/jit.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "device/cpu/jit_cache.h"

#define HOT_SECONDS 0.1
enum { ASKED_TEXT = 64 << 10, HELPERS_MOST = 15 }; /* a unit of kernels that wait to be asked for has about this much */

enum unit_state { UNIT_OPEN, UNIT_CLOSED, UNIT_QUEUED, UNIT_BUILDING, UNIT_DONE };
struct jit_unit {
    struct str text, library; /* the kernels, and what stands in front of them */
    struct jit_kernel *kernel;
    int kernels;
    _Atomic(enum unit_state) state; /* becomes QUEUED and more under the lock; workers read it at any time */
    double heat;
    void *so;
    struct jit_unit *next;
};
struct jit {
    tsr_ctx *c;
    bool now, asked; /* TSR_JIT; neither: lazy */
    struct jit_tool tool;
    struct jit_unit *units, *open;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    bool stop;
    char **room; /* scratch of each worker of the pool */
    size_t room_bytes;
    int rooms;
};

/* ---- the worker ---- */

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

/* Under the lock: a queued unit, to be built by the caller. */
static struct jit_unit *take(struct jit *j) {
    struct jit_unit *u = j->units;
    while (u && u->state != UNIT_QUEUED) u = u->next;
    if (u) u->state = UNIT_BUILDING;
    return u;
}

/* Under the lock, which is let go meanwhile. */
static void build(struct jit *j, struct jit_tool *tool, struct jit_unit *u) {
    pthread_mutex_unlock(&j->lock);
    u->so = jit_tool_build(tool, u->library.s, u->text.s);
    pthread_mutex_lock(&j->lock);
    if (u->so) publish(u);
    str_release(&u->text), str_release(&u->library);
    u->state = UNIT_DONE;
    pthread_cond_broadcast(&j->done);
}

static void *work(void *arg) {
    struct jit *j = arg;
    pthread_mutex_lock(&j->lock);
    while (!j->stop) {
        struct jit_unit *u = take(j);
        if (u) build(j, &j->tool, u);
        else pthread_cond_wait(&j->wake, &j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* A worker for as long as units are queued. */
static void *help(void *arg) {
    struct jit *j = arg;
    struct jit_tool own;
    if (!jit_tool_find(&own)) return NULL;
    pthread_mutex_lock(&j->lock);
    for (struct jit_unit *u; (u = take(j));) build(j, &own, u);
    pthread_mutex_unlock(&j->lock);
    return NULL;
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
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, NULL), pthread_cond_init(&j->done, NULL);
    if (pthread_create(&j->thread, NULL, work, j)) {
        mem_del(c, j);
        return NULL;
    }
    return j;
}

static void free_unit(struct jit *j, struct jit_unit *u) {
    if (u->so) dlclose(u->so);
    for (struct jit_kernel *k = u->kernel, *next; k; k = next) next = k->next, mem_del(j->c, k);
    str_release(&u->text), str_release(&u->library);
    mem_del(j->c, u);
}

void jit_close(struct jit *j) {
    if (!j) return;
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    pthread_cond_signal(&j->wake);
    jit_tool_stop(&j->tool);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    for (struct jit_unit *u = j->units, *next; u; u = next) next = u->next, free_unit(j, u);
    for (int i = 0; i < j->rooms; i++) mem_free(j->c, j->room[i], j->room_bytes);
    mem_array_free(j->c, j->room, (size_t)j->rooms, sizeof *j->room);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->wake), pthread_cond_destroy(&j->done);
    mem_del(j->c, j);
}

static struct jit_unit *open_unit(struct jit *j) {
    if (j->open) return j->open;
    struct jit_unit *u = mem_new(j->c, struct jit_unit);
    if (!u) return NULL;
    str_init(&u->text, j->c), str_init(&u->library, j->c);
    pthread_mutex_lock(&j->lock);
    u->next = j->units, j->units = u;
    pthread_mutex_unlock(&j->lock);
    return j->open = u;
}

struct jit_kernel *jit_add(struct jit *j, const tsr_tile *program) {
    struct emit_plan plan;
    if (!emit_plan_init(&plan, j->c, program)) return NULL;
    struct jit_unit *u = open_unit(j);
    struct jit_kernel *k = u ? mem_new(j->c, struct jit_kernel) : NULL;
    if (k) {
        char name[32];
        k->unit = u, k->number = u->kernels++, k->next = u->kernel, k->scratch = plan.scratch;
        u->kernel = k;
        snprintf(name, sizeof name, "tsr_k%d", k->number);
        emit_c_kernel(&u->text, &plan, name);
        if (j->asked && u->text.n > ASKED_TEXT) j->open = NULL;
    }
    emit_plan_release(&plan);
    return k;
}

/* Under the lock. */
static void enqueue(struct jit *j, struct jit_unit *u) {
    bool ok = !u->text.failed && emit_c_library(&u->library, j->c, u->text.s);
    u->state = ok ? UNIT_QUEUED : UNIT_DONE;
}

void jit_heat(struct jit *j, struct jit_kernel *k, double seconds) {
    struct jit_unit *u = k->unit;
    if (j->asked) return;
    j->open = NULL;
    if (u->state == UNIT_OPEN) u->state = UNIT_CLOSED;
    if (u->state == UNIT_CLOSED) {
        u->heat += seconds;
        if (!j->now && u->heat < HOT_SECONDS) return;
        pthread_mutex_lock(&j->lock);
        enqueue(j, u);
        pthread_cond_signal(&j->wake);
        pthread_mutex_unlock(&j->lock);
    }
    if (!j->now) return;
    pthread_mutex_lock(&j->lock);
    while (u->state != UNIT_DONE) pthread_cond_wait(&j->done, &j->lock);
    pthread_mutex_unlock(&j->lock);
}

static int queue_all(struct jit *j) {
    int n = 0;
    for (struct jit_unit *u = j->units; u; u = u->next) {
        if (u->state < UNIT_QUEUED) enqueue(j, u);
        n += u->state == UNIT_QUEUED;
    }
    pthread_cond_signal(&j->wake);
    return n;
}

int jit_settle(struct jit *j) {
    pthread_t helper[HELPERS_MOST];
    int helpers = 0, failed = 0;
    j->open = NULL;
    pthread_mutex_lock(&j->lock);
    int queued = queue_all(j);
    pthread_mutex_unlock(&j->lock);
    while (helpers < HELPERS_MOST && helpers < queued - 1 && helpers < cpu_count() - 1 &&
        !pthread_create(&helper[helpers], NULL, help, j)) helpers++;
    for (int i = 0; i < helpers; i++) pthread_join(helper[i], NULL);
    pthread_mutex_lock(&j->lock);
    for (struct jit_unit *u = j->units; u; u = u->next) {
        while (u->state != UNIT_DONE) pthread_cond_wait(&j->done, &j->lock);
        failed += !u->so;
    }
    pthread_mutex_unlock(&j->lock);
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
