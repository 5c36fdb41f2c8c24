/* ctx.h: the inside of a context, as the rooms above base see it.
 *
 * base/ knows no tensors, so every other room hangs its own state on a slot: ctx_slot_set() stores a pointer with the
 * function that destroys it. Slots are destroyed in the reverse order of enum ctx_slot (runs before graphs before
 * types). */
#ifndef BASE_CTX_H
#define BASE_CTX_H

#include "tessera/base.h"

struct pool;

/* One slot a room; order is the order of dependence. */
enum ctx_slot { SLOT_TILE, SLOT_DEVICE, SLOT_GRAPH, SLOT_COMPOSITE, SLOT_COMM, SLOT_COMPILE, SLOT_RUN, SLOT_COUNT };

typedef void ctx_slot_free(tsr_ctx *c, void *state);

void *ctx_slot(const tsr_ctx *c, enum ctx_slot s); /* NULL until set */
void ctx_slot_set(tsr_ctx *c, enum ctx_slot s, void *state, ctx_slot_free *destroy);
/* the worker threads; started at first use; NULL with ENOMEM recorded if they cannot be */
struct pool *ctx_pool(tsr_ctx *c);
const char *ctx_device_name(const tsr_ctx *c);

/* A context with the same allocator and one thread, for work in the background whose errors are nobody's. NULL: no
 * memory (not recorded). */
tsr_ctx *ctx_beside(const tsr_ctx *c);

/* Record an error unless one is recorded already; always returns `s`, so `return err_set(c, TSR_EINVAL, ...)` works.
 * Never allocates. Thread safe: workers may report. A message names what was asked, what was found, what to do. */
tsr_status err_set(tsr_ctx *c, tsr_status s, const char *fmt, ...) TSR_PRINTF(3, 4);
tsr_status err_setv(tsr_ctx *c, tsr_status s, const char *fmt, va_list ap) TSR_PRINTF(3, 0);
/* Put "prefix: " before the recorded message: for callers that know the file or the op. */
void err_prefix(tsr_ctx *c, const char *fmt, ...) TSR_PRINTF(2, 3);
bool err_any(const tsr_ctx *c);

/* A broken invariant of our own: prints and aborts. Never reachable from input. */
#define TSR_BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define TSR_ASSERT(x) ((x) ? (void)0 : bug_at(__FILE__, __LINE__, "assertion failed: %s", #x))
void bug_at(const char *file, int line, const char *fmt, ...) TSR_PRINTF(3, 4) __attribute__((noreturn));

#endif
