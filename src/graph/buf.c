/* buf.c: reference-counted bytes. Host buffers come from the context's allocator; a
 * device's carry its release function.
 *
 * Views share the root's bytes and hold a reference to it. Counts are atomic: results
 * may be dropped by other threads. */
#include "graph/node.h"

static void release_host(tsr_buf *b) { mem_free(b->c, b->p, b->bytes); }
static void release_view(tsr_buf *b) { tsr_buf_free(b->root); }

tsr_buf *tsr_buf_new(tsr_ctx *c, size_t bytes) {
    tsr_buf *b = mem_new(c, tsr_buf);
    if (!b) return NULL;
    *b = (tsr_buf){.refs = 1, .c = c, .bytes = bytes, .release = release_host};
    b->p = mem_alloc(c, bytes < 64 ? 64 : bytes);
    if (bytes < 64) b->bytes = 64; /* small blocks are aligned like great ones */
    if (b->p) return b;
    mem_del(c, b);
    return NULL;
}

tsr_buf *buf_view(tsr_ctx *c, tsr_buf *root, size_t offset, size_t bytes) {
    tsr_buf *b = mem_new(c, tsr_buf);
    if (!b) return NULL;
    TSR_ASSERT(offset <= root->bytes && bytes <= root->bytes - offset);
    *b = (tsr_buf){.refs = 1, .c = c, .bytes = bytes, .release = release_view, .device = root->device,
                   .p = (uint8_t *)root->p + offset, .root = tsr_buf_keep(root)};
    return b;
}

static void release_borrowed(tsr_buf *b) { b->give_back(b->user); }

tsr_buf *tsr_buf_borrow(tsr_ctx *c, const void *p, size_t bytes, void (*give_back)(void *user), void *user) {
    tsr_buf *b = mem_new(c, tsr_buf);
    if (!b) return NULL;
    *b = (tsr_buf){.refs = 1, .c = c, .p = (void *)(uintptr_t)p, .bytes = bytes, .release = release_borrowed,
                   .give_back = give_back, .user = user};
    return b;
}

tsr_buf *tsr_buf_keep(tsr_buf *b) {
    if (b) __atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}

void tsr_buf_free(tsr_buf *b) {
    if (!b || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL)) return;
    tsr_ctx *c = b->c;
    b->release(b);
    mem_del(c, b);
}

size_t tsr_buf_bytes(const tsr_buf *b) { return b->bytes; }
void *tsr_buf_data(tsr_buf *b) { return b->device ? NULL : b->p; }
