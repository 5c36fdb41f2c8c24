/* mem.c: the one place that calls the host's allocator, and the arena on top of it.
 *
 * Accounting: `now` is the sum of the sizes of live blocks exactly as they were asked for; `peak` its maximum;
 * `allocs` counts every request for memory, refused ones too, because the torture test refuses the Nth. A zero-byte
 * request is a one-byte block, so NULL always means failure. A request above PTRDIFF_MAX is refused here: no object
 * may be larger, and allocators differ in what they do.
 *
 * The default allocator puts blocks of 4 MiB and more on huge pages where the system has them: streams through large
 * tensors are bound by how fast pages are found as much as by memory.
 *
 * Arena chunks double from 4 KiB to 64 KiB, small enough for the C library to keep them for the next arena; a block
 * larger than that gets a chunk of its own size. Chunks are zeroed once when they are made, which is all the zeroing
 * that arena_alloc promises. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/ctx_state.h"
#include "base/mem.h"

#include "base/sys.h"

enum { LARGE = 4 << 20, HUGE_PAGE = 2 << 20 };

void *mem_default_allocator(void *user, void *p, size_t old_size, size_t new_size) {
    (void)user;
    if (!new_size) return free(p), NULL;
    size_t align = new_size >= LARGE ? HUGE_PAGE : new_size >= 64 ? 64 : 16, n = (new_size + align - 1) / align * align;
    void *q = aligned_alloc(align, n);
#ifdef MADV_HUGEPAGE
    if (q && align == HUGE_PAGE) madvise(q, n, MADV_HUGEPAGE); /* a wish: nothing depends on it */
#endif
    if (q && p) {
        memcpy(q, p, old_size < new_size ? old_size : new_size);
        free(p);
    }
    return q;
}

static void account(tsr_ctx *c, size_t old_n, size_t new_n) {
    size_t now = atomic_fetch_add(&c->now, new_n - old_n) + (new_n - old_n); /* modulo 2^N: shrinking adds a negative */
    size_t peak = atomic_load(&c->peak);
    while (now > peak && !atomic_compare_exchange_weak(&c->peak, &peak, now)) continue;
}

void *mem_resize(tsr_ctx *c, void *p, size_t old_n, size_t new_n) {
    old_n = !p ? 0 : old_n ? old_n : 1;
    new_n = new_n ? new_n : 1;
    atomic_fetch_add(&c->allocs, 1);
    void *q = new_n <= PTRDIFF_MAX - 64 ? c->alloc(c->alloc_user, p, old_n, new_n) : NULL;
    if (!q) {
        err_set(c, TSR_ENOMEM,
            "out of memory: asked for %zu bytes with %zu in use; use a smaller model or batch, or give the process "
            "more memory", new_n, atomic_load(&c->now));
        return NULL;
    }
    account(c, old_n, new_n);
    return q;
}

void *mem_alloc(tsr_ctx *c, size_t n) { return mem_resize(c, NULL, 0, n); }

void *mem_zalloc(tsr_ctx *c, size_t n) {
    void *p = mem_alloc(c, n);
    return p ? memset(p, 0, n ? n : 1) : NULL;
}

void mem_free(tsr_ctx *c, void *p, size_t n) {
    if (!p) return;
    n = n ? n : 1;
    c->alloc(c->alloc_user, p, n, 0);
    account(c, n, 0);
}

char *mem_strdup(tsr_ctx *c, const char *s) {
    size_t n = strlen(s) + 1;
    char *p = mem_alloc(c, n);
    return p ? memcpy(p, s, n) : NULL;
}

void mem_strfree(tsr_ctx *c, char *s) {
    if (s) mem_free(c, s, strlen(s) + 1);
}

void *mem_array(tsr_ctx *c, size_t count, size_t size) {
    size_t n;
    if (size_mul(count, size, &n)) return mem_zalloc(c, n);
    err_set(c, TSR_ENOMEM, "out of memory: an array of %zu elements of %zu bytes is larger than the address space",
        count, size);
    return NULL;
}

void mem_array_free(tsr_ctx *c, void *p, size_t count, size_t size) { mem_free(c, p, count * size); }

/* ---- arena
 * ---------------------------------------------------------------------------------------------------------- */

enum { CHUNK_MIN = 4096, CHUNK_MAX = 1 << 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of the whole block, this header included */
    char data[] __attribute__((aligned(16)));
};

void arena_init(struct arena *a, tsr_ctx *c) { *a = (struct arena){.c = c}; }

void arena_release(struct arena *a) {
    for (struct arena_chunk *k = a->head, *next; k; k = next) {
        next = k->next;
        mem_free(a->c, k, k->size);
    }
    arena_init(a, a->c);
}

static bool new_chunk(struct arena *a, size_t n) {
    size_t size = a->size < CHUNK_MIN / 2 ? CHUNK_MIN : a->size < CHUNK_MAX / 2 ? a->size * 2 : CHUNK_MAX;
    if (n > size - sizeof(struct arena_chunk)) size = n + sizeof(struct arena_chunk);
    struct arena_chunk *k = mem_zalloc(a->c, size);
    if (!k) return false;
    k->next = a->head, k->size = size;
    a->head = k, a->used = 0, a->size = size - sizeof *k;
    return true;
}

void *arena_alloc(struct arena *a, size_t n) {
    if (n > PTRDIFF_MAX / 2) {
        err_set(a->c, TSR_ENOMEM, "out of memory: asked an arena for %zu bytes", n);
        return NULL;
    }
    n = ((n ? n : 1) + 15) & ~(size_t)15;
    if (n > a->size - a->used && !new_chunk(a, n)) return NULL;
    void *p = a->head->data + a->used;
    a->used += n;
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size) {
    size_t n;
    return arena_alloc(a, size_mul(count, size, &n) ? n : SIZE_MAX);
}

char *arena_strdup(struct arena *a, const char *s) {
    size_t n = strlen(s) + 1;
    char *p = arena_alloc(a, n);
    return p ? memcpy(p, s, n) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    locale_t before = locale_enter_c();
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = arena_alloc(a, n < 0 ? SIZE_MAX : (size_t)n + 1); /* n < 0: longer than an int can say, refused */
    if (p) vsnprintf(p, (size_t)n + 1, fmt, again);
    locale_leave_c(before);
    va_end(again);
    va_end(ap);
    return p;
}
