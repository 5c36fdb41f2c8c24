/* address.c: addresses for memory that has none: a sorted list and a binary search.
 *
 * New ranges are above all others, so the list stays sorted by appending. The space begins where no process has memory
 * and a null pointer with an offset does not reach. */
#include "device/address.h"

#include <string.h>

enum { ALIGN = 256, GAP = 1 << 16 };
#define FIRST ((uintptr_t)1 << 40)

void address_init(struct address_space *s, tsr_ctx *c) {
    *s = (struct address_space){.c = c, .next = FIRST};
    pthread_mutex_init(&s->lock, NULL);
}

void address_release(struct address_space *s) {
    vec_release(s->c, &s->range);
    pthread_mutex_destroy(&s->lock);
}

void *address_add(struct address_space *s, void *object, size_t bytes) {
    pthread_mutex_lock(&s->lock);
    struct address_range r = {s->next, bytes, object};
    bool ok = bytes < SIZE_MAX / 2 - s->next && vec_push(s->c, &s->range, r);
    if (ok) s->next += (bytes + ALIGN - 1) / ALIGN * ALIGN + GAP, s->total += bytes;
    pthread_mutex_unlock(&s->lock);
    return ok ? (void *)r.base : NULL;
}

/* The last range that begins at or below `at`, or NULL. */
static struct address_range *below(struct address_space *s, uintptr_t at) {
    size_t lo = 0, hi = s->range.n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->range.v[mid].base <= at) lo = mid + 1;
        else hi = mid;
    }
    return lo ? &s->range.v[lo - 1] : NULL;
}

void *address_remove(struct address_space *s, void *at) {
    pthread_mutex_lock(&s->lock);
    struct address_range *r = below(s, (uintptr_t)at);
    void *object = r && r->base == (uintptr_t)at ? r->object : NULL;
    if (object) {
        s->total -= r->bytes;
        memmove(r, r + 1, (size_t)(&s->range.v[--s->range.n] - r) * sizeof *r);
    }
    pthread_mutex_unlock(&s->lock);
    return object;
}

void *address_find(struct address_space *s, const void *at, size_t bytes, size_t *offset) {
    void *object = NULL;
    pthread_mutex_lock(&s->lock);
    struct address_range *r = below(s, (uintptr_t)at);
    size_t skip = r ? (uintptr_t)at - r->base : 0;
    if (r && skip <= r->bytes && bytes <= r->bytes - skip) object = r->object, *offset = skip;
    pthread_mutex_unlock(&s->lock);
    return object;
}
