/* pool.h: persistent worker threads and the one parallel loop.
 *
 * pool_for runs body(arg, i, worker) for i in [0, n), each exactly once, and returns when all are done. Which thread
 * runs which i is unspecified, so bodies must not let it matter: the grid, never the number of threads, decides the
 * order of every sum. Nested calls (from inside a body) are safe: they run inline on the calling worker. One caller at
 * a time per pool; a second concurrent caller runs its loop inline. worker is in [0, pool_threads): an index for
 * scratch memory. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/ctx.h"

struct pool;
typedef void pool_body(void *arg, int64_t i, int worker);

/* the caller counts as one of them; NULL + recorded error on failure */
struct pool *pool_open(tsr_ctx *c, int threads);
void pool_close(struct pool *p);
int pool_threads(const struct pool *p);
void pool_for(struct pool *p, int64_t n, pool_body *body, void *arg); /* p == NULL: inline, worker 0 */

#endif
