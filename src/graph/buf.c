/* buf.c: reference-counted bytes. Host buffers come from the context's allocator; a
 * device's carry its release function.
 *
 * Views share the root's bytes and hold a reference to it. Counts are atomic: results may be dropped by other threads.
 * Bytes do not change once they are a value, so a device that cannot see them makes one copy, which ends with them.
 *
 * Great host buffers (from KEEP_FROM bytes) are not given back at once: the room keeps the latest, up to
 * KEPT_MOST bytes in all, and hands one on to the next buffer of the same size. A training step asks for the same
 * sizes again and again, and fresh pages cost more than the arithmetic of a memory-bound kernel. Sizes are
 * rounded up to GRAIN so that near sizes meet. */
#include <string.h>

#include "graph/room.h"

enum { KEEP_FROM = 1 << 18, GRAIN = 1 << 14, ALIGNED = 64 };
#define KEPT_MOST ((size_t)1 << 29)

static void lock(struct buf_cache *k) {
    while (atomic_flag_test_and_set_explicit(&k->busy, memory_order_acquire)) continue;
}
static void unlock(struct buf_cache *k) { atomic_flag_clear_explicit(&k->busy, memory_order_release); }

static struct buf_cache *cache_of(tsr_ctx *c) {
    struct graph_room *g = ctx_slot(c, SLOT_GRAPH);
    return g ? &g->buffers : NULL;
}

static void *remove_kept(struct buf_cache *k, int i) {
    void *p = k->block[i].p;
    k->total -= k->block[i].bytes;
    memmove(&k->block[i], &k->block[i + 1], (size_t)(--k->n - i) * sizeof *k->block);
    return p;
}

/* A kept block of that size, or NULL. */
static void *take_kept(tsr_ctx *c, size_t bytes) {
    struct buf_cache *k = cache_of(c);
    void *p = NULL;
    if (!k || bytes < KEEP_FROM) return NULL;
    lock(k);
    for (int i = k->n; i-- > 0 && !p;) {
        if (k->block[i].bytes != bytes) continue;
        p = remove_kept(k, i);
    }
    unlock(k);
    return p;
}

/* The oldest blocks make room. */
static bool keep(tsr_ctx *c, void *p, size_t bytes) {
    struct buf_cache *k = cache_of(c);
    if (!k || bytes < KEEP_FROM || bytes > KEPT_MOST) return false;
    lock(k);
    while (k->n == BUFFERS_KEPT || bytes > KEPT_MOST - k->total) {
        size_t oldest = k->block[0].bytes;
        mem_free(c, remove_kept(k, 0), oldest);
    }
    k->block[k->n++] = (struct kept_block){p, bytes};
    k->total += bytes;
    unlock(k);
    return true;
}

void buf_cache_empty(tsr_ctx *c, struct buf_cache *k) {
    lock(k);
    for (int i = 0; i < k->n; i++) mem_free(c, k->block[i].p, k->block[i].bytes);
    k->n = 0, k->total = 0;
    unlock(k);
}

static void release_host(tsr_buf *b) {
    if (!keep(b->c, b->p, b->bytes)) mem_free(b->c, b->p, b->bytes);
}
static void release_view(tsr_buf *b) { tsr_buf_free(b->root); }

tsr_buf *tsr_buf_new(tsr_ctx *c, size_t bytes) {
    tsr_buf *b = mem_new(c, tsr_buf);
    if (!b) return NULL;
    if (bytes < ALIGNED) bytes = ALIGNED; /* small blocks are aligned like great ones */
    if (bytes >= KEEP_FROM && bytes <= SIZE_MAX - GRAIN) bytes = (bytes + GRAIN - 1) & ~(size_t)(GRAIN - 1);
    *b = (tsr_buf){.refs = 1, .c = c, .bytes = bytes, .release = release_host, .p = take_kept(c, bytes)};
    if (b->p || (b->p = mem_alloc(c, bytes))) return b;
    mem_del(c, b);
    return NULL;
}

static void release_borrowed(tsr_buf *b) { b->give_back(b->user); }

tsr_buf *tsr_buf_borrow(tsr_ctx *c, const void *p, size_t bytes, void (*give_back)(void *user), void *user) {
    tsr_buf *b = mem_new(c, tsr_buf);
    if (!b) return NULL;
    *b = (tsr_buf){.refs = 1, .c = c, .p = (void *)(uintptr_t)p, .bytes = bytes, .release = release_borrowed,
                   .give_back = give_back, .user = user};
    return b;
}

tsr_buf *buf_view(tsr_ctx *c, tsr_buf *root, size_t offset, size_t bytes) {
    tsr_buf *b = mem_new(c, tsr_buf);
    if (!b) return NULL;
    TSR_ASSERT(offset <= root->bytes && bytes <= root->bytes - offset);
    *b = (tsr_buf){.refs = 1, .c = c, .bytes = bytes, .release = release_view, .device = root->device,
                   .p = (uint8_t *)root->p + offset, .root = tsr_buf_keep(root)};
    return b;
}

tsr_buf *tsr_buf_keep(tsr_buf *b) {
    if (b) __atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}

void tsr_buf_free(tsr_buf *b) {
    if (!b || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL)) return;
    tsr_ctx *c = b->c;
    if (b->mirror) b->drop_mirror(b);
    b->release(b);
    mem_del(c, b);
}

size_t tsr_buf_bytes(const tsr_buf *b) { return b->bytes; }
void *tsr_buf_data(tsr_buf *b) { return b->device ? NULL : b->p; }
