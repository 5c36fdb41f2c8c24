/* ctx_state.h: the fields of a context; for ctx.c and mem.c alone, everybody else goes through ctx.h and mem.h. */
#ifndef BASE_CTX_STATE_H
#define BASE_CTX_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/ctx.h"

struct slot {
    void *state;
    ctx_slot_free *destroy;
};

struct tsr_ctx {
    tsr_allocator *alloc;
    void *alloc_user;
    _Atomic size_t now, peak; /* bytes held, the context itself included */
    _Atomic uint64_t allocs;
    int threads;
    char *device;
    struct pool *pool; /* NULL until first asked for */
    struct slot slot[SLOT_COUNT];
    pthread_mutex_t lock; /* guards the write of message; status is its flag */
    _Atomic int status;
    char message[2048];
};

/* The allocator of contexts that bring none: the C library's, aligned as tsr_allocator promises. */
void *mem_default_allocator(void *user, void *p, size_t old_size, size_t new_size);

#endif
