/* vm_peak.isa.c: the limit that products are measured against: fused multiply-adds on registers, nothing loaded.
 *
 * Enough independent chains to hide the latency of the unit (12 covers 4 to 6 cycles at two a cycle). Compiled for each
 * instruction set level; vm_peak_run says how many floating-point operations a call has done. */
#include <math.h>

#include "tile/vm_dot.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)

#if defined(__AVX512F__)
typedef __m512 lanes;
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#elif defined(__FMA__)
typedef __m256 lanes;
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#else
typedef float lanes __attribute__((vector_size(16)));
static inline lanes FMA(lanes a, lanes b, lanes c) {
    for (int i = 0; i < 4; i++) c[i] = fmaf(a[i], b[i], c[i]);
    return c;
}
#endif

enum { CHAINS = 12, WIDTH = sizeof(lanes) / sizeof(float) };

double PASTE(vm_peak_, TSR_ISA_SUFFIX)(int64_t turns, float *out);
double PASTE(vm_peak_, TSR_ISA_SUFFIX)(int64_t turns, float *out) {
    lanes c[CHAINS], a, b, sum;
    for (int l = 0; l < WIDTH; l++) a[l] = 0.5f, b[l] = 0.25f * (float)l, sum[l] = 0;
    for (int i = 0; i < CHAINS; i++) c[i] = b + (float)i;
    for (int64_t t = 0; t < turns; t++)
        for (int i = 0; i < CHAINS; i++) c[i] = FMA(c[i], a, b);
    for (int i = 0; i < CHAINS; i++) sum += c[i];
    for (int l = 0; l < WIDTH; l++) *out += sum[l];
    return 2.0 * CHAINS * WIDTH * (double)turns;
}
