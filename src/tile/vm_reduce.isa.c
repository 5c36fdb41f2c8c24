/* vm_reduce.isa.c: the halving tree of docs/tile.md over one long contiguous row, for one level of instruction set.
 *
 * A row of n elements, n a power of two, is read once: three levels of the tree are taken in one pass, since elements
 * j, j + n/8, ..., j + 7n/8 meet there and nowhere else, which leaves n/8 elements and the same tree over them. Every
 * combination is the one that the tree asks for, so the bits are those of the level-by-level loop.
 *
 * The greatest and least element do not depend on the order but for two things: a NaN wins, and zeros differ in sign.
 * So max and min choose by a plain comparison, look for NaNs beside it and give up (false) where one was seen or the
 * result is a zero; the caller then takes the loop by levels. */
#include "tile/vm_kernels.h"
#include "tile/vm_tables.h"
#include "tile/vmath.h"

#ifdef __clang__
#define IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define IVDEP _Pragma("GCC ivdep")
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
CHOICE(max, f32, vm_f32, vm_u32, >)
CHOICE(min, f32, vm_f32, vm_u32, <)
CHOICE(max, f64, vm_f64, vm_u64, >)
CHOICE(min, f64, vm_f64, vm_u64, <)

#define PASTE(a, b) a##b
#define WITH_SUFFIX(name, suffix) PASTE(name, suffix)
vm_fold_kernel *const WITH_SUFFIX(vm_fold_table_, TSR_ISA_SUFFIX)[TSR_REDUCE_COUNT][TSR_DTYPE_COUNT] = {
    [TSR_REDUCE_SUM] = {[TSR_F32] = sum_f32, [TSR_F64] = sum_f64},
    [TSR_REDUCE_MAX] = {[TSR_F32] = max_f32, [TSR_F64] = max_f64},
    [TSR_REDUCE_MIN] = {[TSR_F32] = min_f32, [TSR_F64] = min_f64},
};
