/* vm_dot.isa.c: blocked matrix products, compiled once for each instruction set level.
 *
 * For a block of up to 256 rows of a and 256 of k: rows of a are packed (pitch 272, so that rows of a power of two do
 * not fall on one cache set), then for each panel of columns b is packed as (k, columns) and a micro kernel runs over
 * the rows (a panel of dense rows that few rows of a will read is left where it lies). The micro kernel holds rows x 2
 * vectors of sums in registers and adds one product a step, in order of k: blocking, edges and vector width cannot
 * change a bit. Sums between blocks of k wait in `out`. Packing converts to the accumulator's dtype and writes the
 * zeros of elements that lie outside. The scheme is that of Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", ACM TOMS 34 (2008), reduced to what a tile needs. */
#include <math.h>
#include <string.h>

#include "tile/vm_dot.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define ISA(name) PASTE(name, TSR_ISA_SUFFIX)

#if defined(__AVX512F__)
enum { VECTOR = 64, ROWS = 8 };
#elif defined(__AVX2__)
enum { VECTOR = 32, ROWS = 6 };
#else
enum { VECTOR = 16, ROWS = 4 };
#endif

typedef float vf32 __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef double vf64 __attribute__((vector_size(VECTOR), aligned(8), may_alias));
typedef uint8_t vu8 __attribute__((vector_size(VECTOR), aligned(1), may_alias));
typedef uint16_t vu16 __attribute__((vector_size(VECTOR), aligned(2), may_alias));
typedef uint32_t vu32 __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef uint64_t vu64 __attribute__((vector_size(VECTOR), aligned(8), may_alias));

enum { FEW_ROWS = 32, BAD_PITCH = 1024 }; /* bytes: rows at multiples of it meet on few cache sets */

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

/* ---- packing ---- */

/* n elements of a matrix along axis x from (i, j), converted, zeros outside; room for n stored elements in tmp. */
struct source {
    const struct vm_matrix *m;
    size_t size, wide; /* bytes of a stored element and of a packed one */
    vm_cast_kernel *cast;
    char *tmp;
};

static void gather(char *dst, const char *src, int64_t step, int64_t n, size_t size) {
    if (step == (int64_t)size) memcpy(dst, src, (size_t)n * size);
    else if (size == 4)
        for (int64_t i = 0; i < n; i++) memcpy(dst + i * 4, src + i * step, 4);
    else if (size == 8)
        for (int64_t i = 0; i < n; i++) memcpy(dst + i * 8, src + i * step, 8);
    else
        for (int64_t i = 0; i < n; i++) memcpy(dst + i * (int64_t)size, src + i * step, size);
}

static void fetch(const struct source *s, int x, int64_t i, int64_t j, int64_t n, char *dst) {
    const struct vm_matrix *m = s->m;
    int64_t at[2] = {i, j}, other = at[1 - x], from = at[x], to = from + n;
    int64_t lo = from > m->lo[x] ? from : m->lo[x], hi = to < m->hi[x] ? to : m->hi[x];
    if (other < m->lo[1 - x] || other >= m->hi[1 - x] || lo >= hi) {
        memset(dst, 0, (size_t)n * s->wide);
        return;
    }
    if (lo > from) memset(dst, 0, (size_t)(lo - from) * s->wide);
    if (hi < to) memset(dst + (hi - from) * (int64_t)s->wide, 0, (size_t)(to - hi) * s->wide);
    const char *src = m->p + (other * m->stride[1 - x] + lo * m->stride[x]) * (int64_t)s->size;
    int64_t step = m->stride[x] * (int64_t)s->size;
    dst += (lo - from) * (int64_t)s->wide;
    if (!s->cast) gather(dst, src, step, hi - lo, s->size);
    else if (step == (int64_t)s->size) s->cast((size_t)(hi - lo), dst, src);
    else gather(s->tmp, src, step, hi - lo, s->size), s->cast((size_t)(hi - lo), dst, s->tmp);
}

/* dst(j, i) = src(i, j): rows x cols elements, pitches in elements. */
static void turn(char *dst, int64_t dst_pitch, const char *src, int64_t src_pitch, int64_t rows, int64_t cols,
    size_t size) {
    int64_t z = (int64_t)size;
    vm_move2(dst, dst_pitch * z, z, src, z, src_pitch * z, (size_t)cols, (size_t)rows, size);
}

/* Rows x cols elements from (i, j) as dense rows where they lie, or NULL: converted, cut by an edge, not dense, or of a
 * pitch that puts many rows on one cache set. */
static const char *in_place(const struct source *s, int64_t i, int64_t j, int64_t rows, int64_t cols) {
    const struct vm_matrix *m = s->m;
    if (s->cast || m->stride[1] != 1 || m->stride[0] * (int64_t)s->size % BAD_PITCH == 0) return NULL;
    if (i < m->lo[0] || i + rows > m->hi[0] || j < m->lo[1] || j + cols > m->hi[1]) return NULL;
    return m->p + (i * m->stride[0] + j) * (int64_t)s->size;
}

/* Dense rows of a few vectors each: a copy that is inlined. */
static void copy_rows(char *dst, int64_t dst_pitch, const char *src, int64_t src_pitch, int64_t rows, int64_t bytes) {
    for (int64_t i = 0; i < rows; i++, dst += dst_pitch, src += src_pitch)
        for (int64_t b = 0; b < bytes; b += VECTOR) *(vu8 *)(dst + b) = *(const vu8 *)(src + b);
}

/* dst(i, j), pitch given, = elements (i0 + i, j0 + j), read along the axis that is dense. */
static void pack(const struct source *s, int64_t i0, int64_t j0, int64_t rows, int64_t cols, char *dst, int64_t pitch,
    char *room) {
    int64_t z = (int64_t)s->wide;
    bool turned = s->m->stride[0] == 1 && s->m->stride[1] != 1;
    const char *dense = cols * z % VECTOR == 0 && cols * z <= 4 * VECTOR ? in_place(s, i0, j0, rows, cols) : NULL;
    if (dense) copy_rows(dst, pitch * z, dense, s->m->stride[0] * z, rows, cols * z);
    else if (!turned)
        for (int64_t i = 0; i < rows; i++) fetch(s, 1, i0 + i, j0, cols, dst + i * pitch * z);
    for (int64_t j = 0; turned && j < cols; j += 16) { /* columns, 16 at a time, through room (16, rows) */
        int64_t n = cols - j < 16 ? cols - j : 16;
        for (int64_t c = 0; c < n; c++) fetch(s, 0, i0, j0 + j + c, rows, room + c * VM_DOT_PITCH * z);
        turn(dst + j * z, pitch, room, VM_DOT_PITCH, n, rows, s->wide);
    }
}

/* ---- micro kernels ---- */

/* out(i, j) for i < R and one panel of 2 vectors: b is (k, 2 vectors) with pitch step, a has pitch VM_DOT_PITCH. The
 * sums start from 0 or from out; the last block adds acc. pitch: of acc and out. */
#define MICRO(NAME, T, V, FMA, R)                                                                           \
    static void micro_##NAME##_##R(int64_t kc, const T *a, const T *b, int64_t step, const T *acc, T *out,  \
                                   int64_t pitch, bool first, bool last) {                                  \
        enum { W = VECTOR / (int)sizeof(T) };                                                               \
        V c[R][2];                                                                                          \
        for (int i = 0; i < R; i++)                                                                         \
            for (int v = 0; v < 2; v++) {                                                                   \
                c[i][v] = (V){0};                                                                           \
                if (!first) c[i][v] = *(const V *)(out + i * pitch + v * W);                                \
            }                                                                                               \
        for (int64_t k = 0; k < kc; k++) {                                                                  \
            V b0 = *(const V *)(b + k * step), b1 = *(const V *)(b + k * step + W);                         \
            for (int i = 0; i < R; i++) {                                                                   \
                V x = a[i * VM_DOT_PITCH + k] - (V){0};                                                     \
                c[i][0] = FMA(x, b0, c[i][0]);                                                              \
                c[i][1] = FMA(x, b1, c[i][1]);                                                              \
            }                                                                                               \
        }                                                                                                   \
        for (int i = 0; i < R; i++)                                                                         \
            for (int v = 0; v < 2; v++) {                                                                   \
                V *o = (V *)(out + i * pitch + v * W);                                                      \
                if (last) c[i][v] = *(const V *)(acc + i * pitch + v * W) + c[i][v];                        \
                *o = c[i][v];                                                                               \
            }                                                                                               \
    }

/* The textbook complex product: two products and one sum a part, each rounded; then the sum. The difference is a sum
 * with a sign: gcc 12 fuses x * y - z, x * y + z in pairs whatever it is told. */
#define MICRO_COMPLEX(NAME, T, V, FMA, R)                                                                   \
    static void micro_##NAME##_##R(int64_t kc, const T *a, const T *b, int64_t step, const T *acc, T *out,  \
                                   int64_t pitch, bool first, bool last) {                                  \
        enum { W = VECTOR / (int)sizeof(T) };                                                               \
        for (int i = 0; i < R; i++)                                                                         \
            for (int j = 0; j < 2 * W; j++) {                                                               \
                T s = {0, 0};                                                                               \
                if (!first) s = out[i * pitch + j];                                                         \
                for (int64_t k = 0; k < kc; k++) {                                                          \
                    T x = a[i * VM_DOT_PITCH + k], y = b[k * step + j];                                     \
                    s.re += x.re * y.re + -x.im * y.im;                                                     \
                    s.im += x.re * y.im + x.im * y.re;                                                      \
                }                                                                                           \
                if (last) s.re = acc[i * pitch + j].re + s.re, s.im = acc[i * pitch + j].im + s.im;         \
                out[i * pitch + j] = s;                                                                     \
            }                                                                                               \
    }

typedef struct { float re, im; } cf32;
typedef struct { double re, im; } cf64;

/* ---- one product ---- */

/* A block (rows x kc of a, at m0, k0) times all of b. */
struct blocking {
    const struct vm_gemm *g;
    int64_t m0, rows, k0, kc;
    bool first, last;
    char *a, *b, *room, *edge; /* packed a, packed panel of b, room to turn, a micro tile of acc and one of out */
    const char *from;          /* the present panel of b, packed or not, and its pitch */
    int64_t step;
};

#define KERNELS(NAME, T, V, FMA, KIND)                                                                              \
    KIND(NAME, T, V, FMA, 1)                                                                                        \
    KIND(NAME, T, V, FMA, 2)                                                                                        \
    KIND(NAME, T, V, FMA, 4)                                                                                        \
    KIND(NAME, T, V, FMA, 6)                                                                                        \
    KIND(NAME, T, V, FMA, 8)                                                                                        \
    typedef void micro_fn_##NAME(int64_t, const T *, const T *, int64_t, const T *, T *, int64_t, bool, bool);      \
    static void panel_##NAME(const struct blocking *x, int64_t n0, int64_t cols) {                                  \
        enum { N = 2 * VECTOR / (int)sizeof(T) };                                                                   \
        static micro_fn_##NAME *const micro[9] = {NULL, micro_##NAME##_1, micro_##NAME##_2, NULL, micro_##NAME##_4, \
                                                  NULL, micro_##NAME##_6, NULL, micro_##NAME##_8};                  \
        const struct vm_gemm *g = x->g;                                                                             \
        T *acc_edge = (T *)(void *)x->edge, *out_edge = acc_edge + 16 * VM_DOT_COLS;                                \
        for (int64_t i = 0, r; i < x->rows; i += r) {                                                               \
            for (r = ROWS; r > x->rows - i;) r = r > 4 ? 4 : r / 2;                                                 \
            const T *a = (const T *)(const void *)x->a + i * VM_DOT_PITCH, *b = (const T *)(const void *)x->from;   \
            const T *acc = (const T *)g->acc + (x->m0 + i) * g->n + n0;                                             \
            T *out = (T *)g->out + (x->m0 + i) * g->n + n0;                                                         \
            if (cols == N) {                                                                                        \
                micro[r](x->kc, a, b, x->step, acc, out, g->n, x->first, x->last);                                  \
                continue;                                                                                           \
            }                                                                                                       \
            for (int64_t e = 0; e < r; e++) {                                                                       \
                memcpy(acc_edge + e * N, acc + e * g->n, (size_t)cols * sizeof(T));                                 \
                if (!x->first) memcpy(out_edge + e * N, out + e * g->n, (size_t)cols * sizeof(T));                  \
            }                                                                                                       \
            micro[r](x->kc, a, b, x->step, acc_edge, out_edge, N, x->first, x->last);                               \
            for (int64_t e = 0; e < r; e++) memcpy(out + e * g->n, out_edge + e * N, (size_t)cols * sizeof(T));     \
        }                                                                                                           \
    }                                                                                                               \
    static void dot_##NAME(const struct vm_gemm *g) {                                                               \
        product(g, sizeof(T), 2 * VECTOR / (int64_t)sizeof(T), panel_##NAME);                                       \
    }

typedef void panel_fn(const struct blocking *x, int64_t n0, int64_t cols);

static void product(const struct vm_gemm *g, size_t size, int64_t panel, panel_fn *run) {
    int64_t z = (int64_t)size, rows = g->m < VM_DOT_ROWS ? g->m : VM_DOT_ROWS;
    struct blocking x = {.g = g, .a = g->scratch};
    x.b = x.a + (rows + 16) * VM_DOT_PITCH * z;
    x.room = x.b + (int64_t)VM_DOT_COLS * VM_DOT_PITCH * z;
    x.edge = x.room + 16 * VM_DOT_PITCH * z;
    char *tmp = x.edge + 2 * 16 * (int64_t)VM_DOT_COLS * z;
    struct source a = {&g->a, g->a_size, size, g->a_cast, tmp}, b = {&g->b, g->b_size, size, g->b_cast, tmp};
    for (x.m0 = 0; x.m0 < g->m; x.m0 += rows)
        for (x.k0 = 0; x.k0 < g->k; x.k0 += VM_DOT_K) {
            x.rows = g->m - x.m0 < rows ? g->m - x.m0 : rows;
            x.kc = g->k - x.k0 < VM_DOT_K ? g->k - x.k0 : VM_DOT_K;
            x.first = x.k0 == 0, x.last = x.k0 + x.kc == g->k;
            pack(&a, x.m0, x.k0, x.rows, x.kc, x.a, VM_DOT_PITCH, x.room);
            for (int64_t n = 0; n < g->n; n += panel) {
                int64_t cols = g->n - n < panel ? g->n - n : panel;
                x.from = x.rows <= FEW_ROWS && cols == panel ? in_place(&b, x.k0, n, x.kc, cols) : NULL;
                x.step = x.from ? g->b.stride[0] : panel;
                if (!x.from) {
                    if (cols < panel) memset(x.b, 0, (size_t)(x.kc * panel) * size);
                    pack(&b, x.k0, n, x.kc, cols, x.b, panel, x.room);
                    x.from = x.b;
                }
                run(&x, n, cols);
            }
        }
}

KERNELS(f32, float, vf32, fma_f32, MICRO)
KERNELS(f64, double, vf64, fma_f64, MICRO)
KERNELS(u8, uint8_t, vu8, MUL_ADD, MICRO)
KERNELS(u16, uint16_t, vu16, MUL_ADD, MICRO)
KERNELS(u32, uint32_t, vu32, MUL_ADD, MICRO)
KERNELS(u64, uint64_t, vu64, MUL_ADD, MICRO)
KERNELS(c64, cf32, , , MICRO_COMPLEX)
KERNELS(c128, cf64, , , MICRO_COMPLEX)

vm_dot_fn *ISA(vm_dot_find_)(tsr_dtype acc);
vm_dot_fn *ISA(vm_dot_find_)(tsr_dtype acc) {
    static vm_dot_fn *const table[TSR_DTYPE_COUNT] = {
        [TSR_F32] = dot_f32, [TSR_F64] = dot_f64, [TSR_I8] = dot_u8,   [TSR_U8] = dot_u8,   [TSR_I16] = dot_u16,
            [TSR_U16] = dot_u16,
        [TSR_I32] = dot_u32, [TSR_U32] = dot_u32, [TSR_I64] = dot_u64, [TSR_U64] = dot_u64, [TSR_C64] = dot_c64,
            [TSR_C128] = dot_c128,
    };
    return table[acc];
}
