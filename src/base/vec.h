/* vec.h: growable typed arrays and growable strings.
 *
 *     VEC(int) v = {0};
 *     if (!vec_push(c, &v, 3)) goto out;      // false: out of memory, recorded
 *     for (size_t i = 0; i < v.n; i++) use(v.v[i]);
 *     vec_release(c, &v);
 *
 * A vec holds at most VEC_MAX_BYTES; a str at most STR_MAX: growth past that fails like lack of memory. */
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include "base/mem.h"

#define VEC_MAX_BYTES ((size_t)1 << 40)
#define STR_MAX ((size_t)1 << 32)

#define VEC(T) struct { T *v; size_t n, cap; }
#define vec_reserve(c, a, want) vec_grow_((c), &(a)->v, &(a)->cap, (want), sizeof *(a)->v)
#define vec_push(c, a, x) (vec_reserve((c), (a), (a)->n + 1) ? ((a)->v[(a)->n++] = (x), true) : false)
#define vec_pop(a) ((a)->v[--(a)->n])
#define vec_release(c, a) (mem_free((c), (a)->v, (a)->cap * sizeof *(a)->v), (a)->v = NULL, (a)->n = (a)->cap = 0)
bool vec_grow_(tsr_ctx *c, void *v /* address of the pointer */, size_t *cap, size_t want, size_t elem);

/* A growable, always NUL-terminated string. After a failed append `failed` is set and later appends do nothing, so a
 * printer checks once at the end. s is never NULL ("" when empty). */
struct str {
    tsr_ctx *c;
    char *s;
    size_t n, cap;
    bool failed;
};
void str_init(struct str *s, tsr_ctx *c);
void str_release(struct str *s);
void str_clear(struct str *s); /* length 0, memory kept */
void str_cut(struct str *s, size_t n); /* length n, which is at most the present one: takes back what came after */
void str_put(struct str *s, const char *text);
void str_putn(struct str *s, const char *text, size_t n);
void str_putc(struct str *s, char ch);
void str_printf(struct str *s, const char *fmt, ...) TSR_PRINTF(2, 3);
void str_json(struct str *s, const char *text); /* appended as a quoted JSON string */

#endif
