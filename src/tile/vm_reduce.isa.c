/* vm_reduce.isa.c: the halving tree of docs/tile.md over one long contiguous row, for one level of instruction set.
 *
 * A row of n elements, n a power of two, is read once: three levels of the tree are taken in one pass, since elements
 * j, j + n/8, ..., j + 7n/8 meet there and nowhere else, which leaves n/8 elements and the same tree over them. Every
 * combination is the one that the tree asks for, so the bits are those of the level-by-level loop.
 *
 * The greatest and least element do not depend on the order but for two things: a NaN wins, and zeros differ in sign.
 * So max and min choose by a plain comparison, look for NaNs beside it and give up (false) where one was seen or the
 * result is a zero; the caller then takes the loop by levels. In f32 they read the row in order, and a NaN shows in the
 * sum of all elements (as an infinity of each sign does, which costs time alone). */
#include "tile/vm_kernels.h"
#include "tile/vm_lanes.h"
#include "tile/vm_tables.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

enum { LAST = 64 }; /* passes go on while there are so many elements */

/* The elements of one pass that meet in r[j]; m = n / 8. */
#define EIGHT(x, j, m, OP)                                                                        \
    OP(OP(OP(x[j], x[j + 4 * m]), OP(x[j + 2 * m], x[j + 6 * m])),                                \
       OP(OP(x[j + m], x[j + 5 * m]), OP(x[j + 3 * m], x[j + 7 * m])))

/* The last levels: of the 8, 16 or 32 elements that passes leave. */
#define LAST_LEVELS(T, x, n, result, OP)                                                          \
    T r[8], result;                                                                               \
    if (n == 32) {                                                                                \
        IVDEP for (size_t i = 0; i < 8; i++) r[i] = OP(OP(x[i], x[i + 16]), OP(x[i + 8], x[i + 24])); \
    } else if (n == 16) {                                                                         \
        IVDEP for (size_t i = 0; i < 8; i++) r[i] = OP(x[i], x[i + 8]);                           \
    } else                                                                                        \
        for (size_t i = 0; i < 8; i++) r[i] = x[i];                                               \
    result = EIGHT(r, 0, 1, OP);

/* tmp: n / 8 elements. Reading src = tmp is safe: an element is read in the turn that writes it, or is behind it. */
#define SUM(NAME, T)                                                                              \
    static bool sum_##NAME(size_t n, void *dst, const void *src, void *tmp) {                     \
        const T *x = src;                                                                         \
        T *t = tmp;                                                                               \
        for (; n >= LAST; x = t) {                                                                \
            size_t m = n / 8;                                                                     \
            IVDEP for (size_t j = 0; j < m; j++) t[j] = EIGHT(x, j, m, ADD);                      \
            n = m;                                                                                \
        }                                                                                         \
        LAST_LEVELS(T, x, n, result, ADD)                                                         \
        *(T *)dst = result;                                                                       \
        return true;                                                                              \
    }
#define ADD(a, b) ((a) + (b))
SUM(f32, vm_f32)
SUM(f64, vm_f64)

#define CHOICE(WORD, NAME, T, U, OP)                                                              \
    static inline T pick_##WORD##_##NAME(T a, T b) { return a OP b ? a : b; }                     \
    static bool WORD##_##NAME(size_t n, void *dst, const void *src, void *tmp) {                  \
        const T *x = src;                                                                         \
        T *t = tmp;                                                                               \
        U nan = 0;                                                                                \
        for (; n >= LAST; x = t) {                                                                \
            size_t m = n / 8;                                                                     \
            IVDEP for (size_t j = 0; j < m; j++) {                                                \
                nan |= UNORDERED(U, x[j], x[j + m]) | UNORDERED(U, x[j + 2 * m], x[j + 3 * m]) |  \
                    UNORDERED(U, x[j + 4 * m], x[j + 5 * m]) | UNORDERED(U, x[j + 6 * m], x[j + 7 * m]); \
                t[j] = EIGHT(x, j, m, pick_##WORD##_##NAME);                                      \
            }                                                                                     \
            n = m;                                                                                \
        }                                                                                         \
        LAST_LEVELS(T, x, n, result, pick_##WORD##_##NAME)                                        \
        *(T *)dst = result;                                                                       \
        return nan == 0 && result != 0;                                                           \
    }
#define UNORDERED(U, a, b) (__builtin_isunordered(a, b) ? (U)-1 : (U)0)
/* Lanes of a OP b ? a : b, as x86 has it. */
#if TSR_ISA_LEVEL == 2
#define CHOOSE(WORD) (lanes)_mm512_##WORD##_ps((__m512)x, (__m512)y)
#define SOME_NAN(x) (_mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q) != 0)
#elif TSR_ISA_LEVEL == 1
#define CHOOSE(WORD) (lanes)_mm256_##WORD##_ps((__m256)x, (__m256)y)
#define SOME_NAN(x) (_mm256_movemask_ps(_mm256_cmp_ps((__m256)x, (__m256)x, _CMP_UNORD_Q)) != 0)
#elif defined __SSE2__
#define CHOOSE(WORD) (lanes)_mm_##WORD##_ps((__m128)x, (__m128)y)
#define SOME_NAN(x) (_mm_movemask_ps(_mm_cmpunord_ps((__m128)x, (__m128)x)) != 0)
#else
#define SOME_NAN(x) (x[0] != x[0] || x[1] != x[1] || x[2] != x[2] || x[3] != x[3])
#define CHOOSE(WORD) \
    {pick_##WORD##_f32(x[0], y[0]), pick_##WORD##_f32(x[1], y[1]), pick_##WORD##_f32(x[2], y[2]), \
        pick_##WORD##_f32(x[3], y[3])}
#endif
#define CHOICE_F32(WORD, OP)                                                                      \
    static inline vm_f32 pick_##WORD##_f32(vm_f32 a, vm_f32 b) { return a OP b ? a : b; }         \
    TSR_FN lanes pick_lanes_##WORD(lanes x, lanes y) {                                            \
        lanes r = CHOOSE(WORD);                                                                   \
        return r;                                                                                 \
    }                                                                                             \
    static bool WORD##_f32(size_t n, void *dst, const void *src, void *tmp) {                     \
        const loose *x = src, *end = x + n / LANES;                                               \
        lanes m0 = x[0], m1 = x[1], m2 = x[2], m3 = x[3], s0 = m0, s1 = m1, s2 = m2, s3 = m3;     \
        vm_f32 a[LANES];                                                                          \
        (void)tmp;                                                                                \
        for (x += 4; x < end; x += 4) {                                                           \
            lanes x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];                                     \
            IN_ORDER                                                                              \
            m0 = pick_lanes_##WORD(m0, x0), m1 = pick_lanes_##WORD(m1, x1);                       \
            m2 = pick_lanes_##WORD(m2, x2), m3 = pick_lanes_##WORD(m3, x3);                       \
            s0 += x0, s1 += x1, s2 += x2, s3 += x3;                                               \
        }                                                                                         \
        m0 = pick_lanes_##WORD(pick_lanes_##WORD(m0, m1), pick_lanes_##WORD(m2, m3));             \
        s0 = (s0 + s1) + (s2 + s3);                                                               \
        memcpy(a, &m0, WIDTH);                                                                    \
        for (int i = 0; i < LANES / 2; i++) a[i] = pick_##WORD##_f32(a[i], a[i + LANES / 2]);     \
        for (int i = 0; i < LANES / 4; i++) a[i] = pick_##WORD##_f32(a[i], a[i + LANES / 4]);     \
        vm_f32 best = a[0];                                                                       \
        for (int i = 1; i < LANES / 4; i++) best = pick_##WORD##_f32(best, a[i]);                 \
        *(vm_f32 *)dst = best;                                                                    \
        return !SOME_NAN(s0) && best != 0;                                                        \
    }
CHOICE_F32(max, >)
CHOICE_F32(min, <)
CHOICE(max, f64, vm_f64, vm_u64, >)
CHOICE(min, f64, vm_f64, vm_u64, <)

#define PASTE(a, b) a##b
#define WITH_SUFFIX(name, suffix) PASTE(name, suffix)
vm_fold_kernel *const WITH_SUFFIX(vm_fold_table_, TSR_ISA_SUFFIX)[TSR_REDUCE_COUNT][TSR_DTYPE_COUNT] = {
    [TSR_REDUCE_SUM] = {[TSR_F32] = sum_f32, [TSR_F64] = sum_f64},
    [TSR_REDUCE_MAX] = {[TSR_F32] = max_f32, [TSR_F64] = max_f64},
    [TSR_REDUCE_MIN] = {[TSR_F32] = min_f32, [TSR_F64] = min_f64},
};
