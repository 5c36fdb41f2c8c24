/* base.h: the context, its allocator, its error, its threads.
 *
 * A tsr_ctx owns everything Tessera keeps: memory accounting, the first error, worker threads, graphs, kernel and plan
 * caches, devices. It is the first argument of nearly every call. There are no globals: two contexts may be used by two
 * threads at once; one context is used by one thread at a time (its own workers excepted).
 *
 * Errors: a call that fails returns a status, NULL, or (for graph builders) the context's poison node, and records the
 * FIRST error with its message; later errors do not overwrite it. tsr_error_clear() makes room for the next one.
 * The library never prints (unless a TSR_DEBUG-like variable asks for it), exits or aborts on account of its input. */
#ifndef TESSERA_BASE_H
#define TESSERA_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TSR_VERSION_MAJOR 0
#define TSR_VERSION_MINOR 1
#define TSR_VERSION_PATCH 0

#if defined(__GNUC__)
#define TSR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define TSR_PRINTF(f, a)
#endif

/* Status of a call. TSR_OK is 0; everything else is a failure. */
#define TSR_STATUS_LIST(X)                                                                                            \
    X(OK, "ok")                                                                                                       \
    X(EINVAL, "invalid argument")            /* a wrong shape, dtype, attribute or flag */                            \
    X(ENOMEM, "out of memory")               /* the host allocator or a device refused */                             \
    X(EIO, "input/output error")             /* a file or device could not be read or written */                      \
    X(EFORMAT, "malformed data")             /* foreign bytes do not follow their format */                           \
    X(ENOTFOUND, "not found")                /* a file, device, tensor or name that does not exist */                 \
    X(EUNSUPPORTED, "unsupported")           /* well formed, but not something this build can do */                   \
    X(ECHECK, "check failed")                /* a run-time check of a plan, or TSR_CHECK/TSR_NAN, failed */           \
    X(EINTERRUPTED, "interrupted")           /* the caller asked to stop */
typedef enum tsr_status {
#define X(name, text) TSR_##name,
    TSR_STATUS_LIST(X)
#undef X
        TSR_STATUS_COUNT
} tsr_status;

typedef struct tsr_ctx tsr_ctx;

/* The host allocator: one function in the manner of Lua's. p == NULL allocates; new_size == 0 frees (returns NULL);
 * otherwise resizes. old_size is what the block had (0 for none). Memory is aligned to at least 64 bytes when new_size
 * >= 64, else to 16. Returns NULL when it cannot; the old block then stays valid. Must be callable from any thread. */
typedef void *tsr_allocator(void *user, void *p, size_t old_size, size_t new_size);

/* What a context is opened with. Zero-initialise it, then set what matters: every zero means "the default". */
typedef struct tsr_config {
    tsr_allocator *alloc; /* default: the C library's aligned allocation */
    void *alloc_user;
    int threads;          /* threads that compute, the caller included; default TSR_THREADS, else the number of cores */
    const char *device;   /* default TSR_DEVICE, else "cpu" */
} tsr_config;

/* Memory accounting, in bytes and calls, over the context's life. */
typedef struct tsr_mem_stats {
    size_t now, peak;
    uint64_t allocs; /* successful and failed allocations and growths so far */
} tsr_mem_stats;

tsr_ctx *tsr_open(const tsr_config *config /* may be NULL */); /* NULL only when memory is short */
void tsr_close(tsr_ctx *c);                                    /* frees all the context owns; NULL is accepted */

tsr_status tsr_error_status(const tsr_ctx *c);   /* TSR_OK when no error is recorded */
const char *tsr_error_message(const tsr_ctx *c); /* "" when none; valid until it is cleared or the context closed */
void tsr_error_clear(tsr_ctx *c);
const char *tsr_status_name(tsr_status s); /* "invalid argument", ... */

tsr_mem_stats tsr_memory(const tsr_ctx *c);
int tsr_threads(const tsr_ctx *c);
const char *tsr_version(void); /* "0.1.0" */

/* One line for every environment variable the library reads, for `tessera env`: name, default, meaning. NULL past the
 * end. */
typedef struct tsr_env_info {
    const char *name, *fallback, *help;
} tsr_env_info;
const tsr_env_info *tsr_env_at(int index);

#ifdef __cplusplus
}
#endif
#endif
