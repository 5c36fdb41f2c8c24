/* vm_dot_lanes.h: what the files of products share at the level of instruction set they are compiled for: vectors of
 * every element type, multiply-add on them, and the kernels of one file that another calls.
 *
 * fma is one rounding on every level; where the processor has no instruction for it, the C library's. */
#ifndef TILE_VM_DOT_LANES_H
#define TILE_VM_DOT_LANES_H

#include <math.h>

#include "tile/vm_dot.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define ISA(name) PASTE(name, TSR_ISA_SUFFIX)

#if defined(__AVX512F__)
enum { VECTOR = 64 };
#elif defined(__AVX2__)
enum { VECTOR = 32 };
#else
enum { VECTOR = 16 };
#endif

typedef float vf32 __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef double vf64 __attribute__((vector_size(VECTOR), aligned(8), may_alias));
typedef uint8_t vu8 __attribute__((vector_size(VECTOR), aligned(1), may_alias));
typedef uint16_t vu16 __attribute__((vector_size(VECTOR), aligned(2), may_alias));
typedef uint32_t vu32 __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef uint64_t vu64 __attribute__((vector_size(VECTOR), aligned(8), may_alias));

#if defined(__AVX512F__)
static inline vf32 fma_f32(vf32 a, vf32 b, vf32 c) { return (vf32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
static inline vf64 fma_f64(vf64 a, vf64 b, vf64 c) { return (vf64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
#elif defined(__FMA__) && defined(__AVX2__)
static inline vf32 fma_f32(vf32 a, vf32 b, vf32 c) { return (vf32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
static inline vf64 fma_f64(vf64 a, vf64 b, vf64 c) { return (vf64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
#else
static inline vf32 fma_f32(vf32 a, vf32 b, vf32 c) {
    for (int i = 0; i < VECTOR / 4; i++) c[i] = fmaf(a[i], b[i], c[i]);
    return c;
}
static inline vf64 fma_f64(vf64 a, vf64 b, vf64 c) {
    for (int i = 0; i < VECTOR / 8; i++) c[i] = fma(a[i], b[i], c[i]);
    return c;
}
#endif
#define MUL_ADD(a, b, c) ((c) + (a) * (b)) /* integers */

/* vm_dot_thin.isa.c: sum(i, j) + a(i, 0) b(0, j) + a(i, 1) b(1, j) ... in this order, for i < m, j < n and so many rows
 * of b. The sum is 0 or what out holds; acc, where it is given, is added last. */
enum { VM_THIN_DEPTH = 4 };
struct vm_thin {
    int64_t m, n, pitch;          /* pitch: of out and acc, in elements */
    const void *a;                /* (m, depth) at VM_DOT_PITCH */
    const void *b[VM_THIN_DEPTH]; /* rows of n elements, anywhere */
    const void *acc;              /* NULL: more rows will follow */
    void *out;
    int64_t ahead;                /* bytes from a row of b to one that comes next, to be asked for */
    int depth;                    /* rows of b: VM_THIN_DEPTH or 1 */
    bool first;                   /* sums start as 0 */
};
typedef void vm_thin_fn(const struct vm_thin *t);
vm_thin_fn *ISA(vm_thin_find_)(tsr_dtype acc); /* NULL: none for this dtype */

#endif
