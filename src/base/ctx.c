/* ctx.c: opening and closing a context, its error, its accounting, its slots.
 *
 * The context is one block from the caller's allocator, counted like every other, so that after tsr_close() the host
 * has got every byte back. What the rooms above hang on it goes in reverse order of enum ctx_slot; the worker threads
 * go last, because a room's destructor may still wait for them.
 *
 * The error is a fixed buffer: recording one never allocates, so running out of memory can always be reported. The
 * first error wins; a lock makes that true when several workers fail at once. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctx_state.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/sys.h"

enum { THREADS_MAX = 1024 };

static int choose_threads(int asked) {
    int64_t n = asked > 0 ? asked : env_int("TSR_THREADS");
    if (n <= 0) n = cpu_count();
    return n < THREADS_MAX ? (int)n : THREADS_MAX;
}

tsr_ctx *tsr_open(const tsr_config *config) {
    tsr_config cfg = config ? *config : (tsr_config){0};
    if (!cfg.alloc) cfg.alloc = mem_default_allocator;
    tsr_ctx *c = cfg.alloc(cfg.alloc_user, NULL, 0, sizeof *c);
    if (!c) return NULL;
    memset(c, 0, sizeof *c);
    c->alloc = cfg.alloc, c->alloc_user = cfg.alloc_user;
    atomic_init(&c->now, sizeof *c), atomic_init(&c->peak, sizeof *c), atomic_init(&c->allocs, 1);
    atomic_init(&c->status, TSR_OK);
    pthread_mutex_init(&c->lock, NULL);
    c->threads = choose_threads(cfg.threads);
    c->device = mem_strdup(c, cfg.device && *cfg.device ? cfg.device : env_str("TSR_DEVICE"));
    if (!c->device) return tsr_close(c), NULL;
    return c;
}

tsr_ctx *ctx_beside(const tsr_ctx *c) {
    return tsr_open(&(tsr_config){.alloc = c->alloc, .alloc_user = c->alloc_user, .threads = 1, .device = c->device});
}

void tsr_close(tsr_ctx *c) {
    if (!c) return;
    for (int s = SLOT_COUNT; s-- > 0;) ctx_slot_set(c, (enum ctx_slot)s, NULL, NULL);
    pool_close(c->pool);
    mem_strfree(c, c->device);
    size_t left = atomic_load(&c->now) - sizeof *c;
    if (left) log_line(1, "context closed with %zu bytes never freed", left);
    pthread_mutex_destroy(&c->lock);
    c->alloc(c->alloc_user, c, sizeof *c, 0);
}

tsr_mem_stats tsr_memory(const tsr_ctx *c) {
    return (tsr_mem_stats){atomic_load(&c->now), atomic_load(&c->peak), atomic_load(&c->allocs)};
}

int tsr_threads(const tsr_ctx *c) { return c->threads; }
const char *ctx_device_name(const tsr_ctx *c) { return c->device; }

#define STRING_(x) #x
#define STRING(x) STRING_(x)
const char *tsr_version(void) {
    return STRING(TSR_VERSION_MAJOR) "." STRING(TSR_VERSION_MINOR) "." STRING(TSR_VERSION_PATCH);
}

/* ---- slots and threads
 * ---------------------------------------------------------------------------------------------- */

void *ctx_slot(const tsr_ctx *c, enum ctx_slot s) { return c->slot[s].state; }

void ctx_slot_set(tsr_ctx *c, enum ctx_slot s, void *state, ctx_slot_free *destroy) {
    struct slot old = c->slot[s];
    c->slot[s] = (struct slot){state, destroy};
    if (old.state && old.destroy) old.destroy(c, old.state);
}

struct pool *ctx_pool(tsr_ctx *c) {
    if (!c->pool) c->pool = pool_open(c, c->threads);
    return c->pool;
}

/* ---- errors
 * --------------------------------------------------------------------------------------------------------- */

static const char *const status_name[TSR_STATUS_COUNT] = {
#define X(name, text) [TSR_##name] = text,
    TSR_STATUS_LIST(X)
#undef X
};

const char *tsr_status_name(tsr_status s) {
    return (unsigned)s < TSR_STATUS_COUNT ? status_name[s] : "unknown status";
}

tsr_status err_setv(tsr_ctx *c, tsr_status s, const char *fmt, va_list ap) {
    TSR_ASSERT(s != TSR_OK);
    pthread_mutex_lock(&c->lock);
    if (atomic_load(&c->status) == TSR_OK) {
        vsnprintf(c->message, sizeof c->message, fmt, ap);
        atomic_store(&c->status, (int)s);
    }
    pthread_mutex_unlock(&c->lock);
    return s;
}

tsr_status err_set(tsr_ctx *c, tsr_status s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_setv(c, s, fmt, ap);
    va_end(ap);
    return s;
}

/* The recorded text moves up to make room for the prefix; what no longer fits falls off its end. */
void err_prefix(tsr_ctx *c, const char *fmt, ...) {
    char prefix[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&c->lock);
    if (atomic_load(&c->status) != TSR_OK) {
        size_t n = strlen(prefix), old = strlen(c->message), room = sizeof c->message - n - 3;
        memmove(c->message + n + 2, c->message, (old < room ? old : room) + 1);
        memcpy(c->message, prefix, n);
        memcpy(c->message + n, ": ", 2);
        c->message[sizeof c->message - 1] = 0;
    }
    pthread_mutex_unlock(&c->lock);
}

bool err_any(const tsr_ctx *c) { return atomic_load(&c->status) != TSR_OK; }
tsr_status tsr_error_status(const tsr_ctx *c) { return (tsr_status)atomic_load(&c->status); }
const char *tsr_error_message(const tsr_ctx *c) { return err_any(c) ? c->message : ""; }

void tsr_error_clear(tsr_ctx *c) {
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->status, TSR_OK);
    c->message[0] = 0;
    pthread_mutex_unlock(&c->lock);
}

void bug_at(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "tessera: broken invariant at %s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}
