/* vm_room.c: the memory that frames compute in, shared by all code of a context.
 *
 * A frame's registers and scratch hold nothing between launches. So a context keeps one room for each worker, as large
 * as the greatest need of its code, and a launch borrows as many as it has workers: a model's kernels touch a few
 * hundred KiB for each worker, not that much for each kernel, and find them in the caches. The room given back last is
 * lent first, so that a worker meets its own again. Launches may come from many threads: what they need beyond what is
 * idle is made for them and kept. */
#include <pthread.h>

#include "base/mem.h"
#include "base/vec.h"
#include "tile/vm_code.h"

struct room { char *p; size_t bytes; };
struct rooms {
    pthread_mutex_t lock;
    size_t bytes;          /* of a new one: the greatest need so far */
    int lent;
    VEC(struct room) idle; /* capacity for all there are */
};

static void rooms_close(tsr_ctx *c, void *state) {
    struct rooms *r = state;
    for (size_t i = 0; i < r->idle.n; i++) mem_free(c, r->idle.v[i].p, r->idle.v[i].bytes);
    vec_release(c, &r->idle);
    pthread_mutex_destroy(&r->lock);
    mem_del(c, r);
}

static struct rooms *rooms_of(tsr_ctx *c) {
    struct rooms *r = ctx_slot(c, SLOT_TILE);
    if (r || !(r = mem_new(c, struct rooms))) return r;
    pthread_mutex_init(&r->lock, NULL);
    ctx_slot_set(c, SLOT_TILE, r, rooms_close);
    return r;
}

/* Under the lock: another idle room. */
static bool add_room(tsr_ctx *c, struct rooms *r) {
    struct room fresh = {.bytes = r->bytes};
    if (!vec_reserve(c, &r->idle, r->idle.n + (size_t)r->lent + 1) || !(fresh.p = mem_alloc(c, r->bytes))) return false;
    r->idle.v[r->idle.n++] = fresh;
    return true;
}

/* Under the lock: idle rooms that have become too small go. */
static void drop_small(tsr_ctx *c, struct rooms *r) {
    size_t kept = 0;
    for (size_t i = 0; i < r->idle.n; i++)
        if (r->idle.v[i].bytes >= r->bytes) r->idle.v[kept++] = r->idle.v[i];
        else mem_free(c, r->idle.v[i].p, r->idle.v[i].bytes);
    r->idle.n = kept;
}

bool vm_rooms_reserve(tsr_ctx *c, size_t bytes, int n) {
    struct rooms *r = rooms_of(c);
    if (!r) return false;
    pthread_mutex_lock(&r->lock);
    if (bytes > r->bytes) r->bytes = bytes, drop_small(c, r);
    bool ok = true;
    while (ok && r->idle.n + (size_t)r->lent < (size_t)n) ok = add_room(c, r);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool vm_room_take(tsr_ctx *c, struct vm_frame *f) {
    struct rooms *r = ctx_slot(c, SLOT_TILE);
    pthread_mutex_lock(&r->lock);
    drop_small(c, r);
    bool ok = r->idle.n || add_room(c, r);
    if (ok) {
        struct room k = r->idle.v[--r->idle.n];
        f->memory = k.p, f->room_bytes = k.bytes;
        r->lent++;
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

void vm_room_give(tsr_ctx *c, struct vm_frame *f) {
    struct rooms *r = ctx_slot(c, SLOT_TILE);
    pthread_mutex_lock(&r->lock);
    r->idle.v[r->idle.n++] = (struct room){f->memory, f->room_bytes};
    r->lent--;
    pthread_mutex_unlock(&r->lock);
    f->memory = f->scratch = NULL;
}
