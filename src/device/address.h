/* address.h: addresses for memory that has none.
 *
 * Where a driver names memory by objects, handles are addresses in a space made up here: one range for each object, in
 * growing order, 256-byte aligned, with gaps between them and no range used twice. So bytes can be added to a handle,
 * and a handle that points past its memory, or to memory that was given back, is found out instead of followed.
 * Thread safe. */
#ifndef DEVICE_ADDRESS_H
#define DEVICE_ADDRESS_H

#include <pthread.h>

#include "base/vec.h"

struct address_range { uintptr_t base; size_t bytes; void *object; };
struct address_space {
    tsr_ctx *c;
    pthread_mutex_t lock;
    VEC(struct address_range) range; /* in order of base */
    uintptr_t next;
    size_t total; /* bytes of all ranges */
};
void address_init(struct address_space *s, tsr_ctx *c);
void address_release(struct address_space *s); /* objects are the caller's to release before */
void *address_add(struct address_space *s, void *object, size_t bytes); /* NULL: out of memory, recorded */
/* The object of the memory that begins at `at`, which is forgotten; NULL when there is none. */
void *address_remove(struct address_space *s, void *at);
/* The object that at .. at + bytes lies in, and how far from its start; NULL when it lies in none. */
void *address_find(struct address_space *s, const void *at, size_t bytes, size_t *offset);

#endif
