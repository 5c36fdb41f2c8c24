/* mem.h: every byte through the context's allocator, every size a checked product.
 *
 * A failed allocation records TSR_ENOMEM in the context and returns NULL; callers unwind and return. Old sizes are
 * passed back so that accounting is exact: a block is freed with the size it was allocated with. Thread safe. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/ctx.h"

/* uninitialised; n == 0 gives a non-NULL one-byte block */
void *mem_alloc(tsr_ctx *c, size_t n);
void *mem_zalloc(tsr_ctx *c, size_t n);                           /* zeroed */
void *mem_resize(tsr_ctx *c, void *p, size_t old_n, size_t new_n); /* NULL on failure, p stays valid */
void mem_free(tsr_ctx *c, void *p, size_t n);                     /* p may be NULL */
char *mem_strdup(tsr_ctx *c, const char *s);                      /* freed with mem_strfree */
void mem_strfree(tsr_ctx *c, char *s);

#define mem_new(c, T) ((T *)mem_zalloc((c), sizeof(T)))
#define mem_del(c, p) mem_free((c), (p), sizeof *(p))
void *mem_array(tsr_ctx *c, size_t count, size_t size);  /* zeroed; ENOMEM on overflow of the product */
void mem_array_free(tsr_ctx *c, void *p, size_t count, size_t size);

/* Checked arithmetic: false when the result does not fit (the output is then untouched). */
static inline bool size_mul(size_t a, size_t b, size_t *out) {
    size_t r;
    return !__builtin_mul_overflow(a, b, &r) && (*out = r, true);
}
static inline bool size_add(size_t a, size_t b, size_t *out) {
    size_t r;
    return !__builtin_add_overflow(a, b, &r) && (*out = r, true);
}
static inline bool i64_mul(int64_t a, int64_t b, int64_t *out) {
    int64_t r;
    return !__builtin_mul_overflow(a, b, &r) && (*out = r, true);
}
static inline bool i64_add(int64_t a, int64_t b, int64_t *out) {
    int64_t r;
    return !__builtin_add_overflow(a, b, &r) && (*out = r, true);
}

/* Arena: bump allocation in chunks, freed all at once. Blocks are 16-byte aligned and zeroed. */
struct arena {
    tsr_ctx *c;
    struct arena_chunk *head;
    size_t used, size; /* of the head chunk */
};
void arena_init(struct arena *a, tsr_ctx *c);
void arena_release(struct arena *a);
void *arena_alloc(struct arena *a, size_t n); /* NULL on failure, recorded in the context */
void *arena_array(struct arena *a, size_t count, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) TSR_PRINTF(2, 3);

#endif
