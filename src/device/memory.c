/* memory.c: memory of a device that the host does not see, kept for the next of its size.
 *
 * A training step asks for the same sizes again and again, and a device's allocator costs more than most kernels. So
 * memory that is given back is kept, up to a quarter of what the device has, and handed on to the next that asks for
 * the same size; sizes are rounded up, the more the greater they are, so that near sizes meet. When the room is full
 * the oldest goes.
 *
 * Work is done in the order in which it was launched, so memory can be handed on while a kernel that was launched
 * before still uses it. Buffers are dropped by any thread: a lock guards the list alone, held for some hundred
 * instructions, so the others may spin; a device's free may wait for the device, and is called when it is let go. */
#include "device/memory.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCKS = 1024, SMALL = 256, SMALL_UNTIL = 1 << 12, MIDDLE = 1 << 12, MIDDLE_UNTIL = 1 << 18, GREAT = 1 << 16 };
#define KEPT_UNKNOWN ((size_t)1 << 29) /* where a device does not say how much it has */

struct device_memory {
    atomic_flag busy;
    size_t most, total;
    int n;
    size_t size[BLOCKS]; /* (n) oldest first */
    void *block[BLOCKS]; /* (n) */
};

static size_t rounded(size_t n) {
    size_t grain = n <= SMALL_UNTIL ? SMALL : n <= MIDDLE_UNTIL ? MIDDLE : GREAT;
    if (n > SIZE_MAX - grain) return n;
    return n ? (n + grain - 1) / grain * grain : grain;
}

static void lock(struct device_memory *m) {
    while (atomic_flag_test_and_set_explicit(&m->busy, memory_order_acquire)) continue;
}
static void unlock(struct device_memory *m) { atomic_flag_clear_explicit(&m->busy, memory_order_release); }

static void *take(struct device_memory *m, int i) {
    void *p = m->block[i];
    size_t after = (size_t)(--m->n - i);
    m->total -= m->size[i];
    memmove(&m->size[i], &m->size[i + 1], after * sizeof *m->size);
    memmove(&m->block[i], &m->block[i + 1], after * sizeof *m->block);
    return p;
}

/* The first in the order of addresses: whatever the order in which a step gives its memory back, the next but one
 * places the same results at the same addresses, and a device may replay it (run/replay.c). */
static void *take_kept(struct device_memory *m, size_t bytes) {
    int best = -1;
    lock(m);
    for (int i = 0; i < m->n; i++)
        if (m->size[i] == bytes && (best < 0 || (uintptr_t)m->block[i] < (uintptr_t)m->block[best])) best = i;
    void *p = best < 0 ? NULL : take(m, best);
    unlock(m);
    return p;
}

static bool memory_open(struct device *d) {
    if (d->kept) return true;
    if (!(d->kept = mem_new(d->c, struct device_memory))) return false;
    atomic_flag_clear(&d->kept->busy);
    d->kept->most = d->facts.memory ? d->facts.memory / 4 : KEPT_UNKNOWN;
    return true;
}

void *device_alloc(struct device *d, size_t bytes) {
    if (d->host_memory) return d->ops->alloc(d, bytes);
    bytes = rounded(bytes);
    if (!memory_open(d)) return NULL;
    void *p = take_kept(d->kept, bytes);
    return p ? p : d->ops->alloc(d, bytes);
}

/* The oldest block, when there is no room for so many bytes more; NULL: there is. */
static void *make_room(struct device_memory *m, size_t bytes, size_t *old) {
    if (!m->n || (m->n < BLOCKS && bytes <= m->most - m->total)) return NULL;
    *old = m->size[0];
    return take(m, 0);
}

static void put(struct device_memory *m, void *p, size_t bytes) {
    m->size[m->n] = bytes;
    m->block[m->n++] = p;
    m->total += bytes;
}

static void keep(struct device *d, void *p, size_t bytes) {
    struct device_memory *m = d->kept;
    size_t old = 0;
    for (void *oldest = p; oldest;) {
        lock(m);
        oldest = make_room(m, bytes, &old);
        if (!oldest) put(m, p, bytes);
        unlock(m);
        if (oldest) d->ops->free(d, oldest, old);
    }
}

void device_free(struct device *d, void *p, size_t bytes) {
    if (!p) return;
    if (!d->host_memory) bytes = rounded(bytes);
    if (d->host_memory || bytes > d->kept->most) d->ops->free(d, p, bytes);
    else keep(d, p, bytes);
}

void device_memory_empty(struct device *d) {
    struct device_memory *m = d->kept;
    for (void *p = m; p;) {
        size_t bytes = 0;
        lock(m);
        p = make_room(m, SIZE_MAX, &bytes);
        unlock(m);
        if (p) d->ops->free(d, p, bytes);
    }
}

void device_memory_close(struct device *d) {
    device_memory_empty(d);
    if (d->kept) mem_del(d->c, d->kept);
    d->kept = NULL;
}
