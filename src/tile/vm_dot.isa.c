/* vm_dot.isa.c: blocked matrix products, compiled once for each instruction set level.
 *
 * For a block of up to 256 rows of a and 256 of k: rows of a are packed (pitch 272, so that rows of a power of two do
 * not fall on one cache set), then for each panel of columns b is packed as (k, columns) and a micro kernel runs over
 * the rows (a panel of dense rows that few rows of a will read is left where it lies). The micro kernel holds rows x 2
 * vectors of sums in registers and adds one product a step, in order of k: blocking, edges and vector width cannot
 * change a bit. Sums between blocks of k wait in `out`. Packing converts to the accumulator's dtype and writes the
 * zeros of elements that lie outside. Few rows take another way where b is dense along its rows: it is read row by row
 * (vm_dot_thin.isa.c). The scheme is that of Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", ACM TOMS 34 (2008), reduced to what a tile needs. */
#include <string.h>

#include "tile/vm_dot_lanes.h"
#include "tile/vm_dot_turn.h"

#if defined(__AVX512F__)
enum { ROWS = 8 };
#elif defined(__AVX2__)
enum { ROWS = 6 };
#else
enum { ROWS = 4 };
#endif

enum { FEW_ROWS = 32, BAD_PITCH = 1024 }; /* bytes: rows at multiples of it meet on few cache sets */
enum { THIN_ROWS = 32, THIN_LEAST = 64, THIN_SUMS = 8192 }; /* products of few rows: columns at least, sums at most */
_Static_assert(THIN_SUMS * VM_THIN_DEPTH <= VM_DOT_COLS * VM_DOT_PITCH, "rows of b fit where its panel would be");
enum { LINE = 64 }; /* bytes of a cache line */

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
    if (size == 4 && rows == TURN && cols == TURN_DEPTH) turn_words(dst, dst_pitch * z, src, src_pitch * z);
    else vm_move2(dst, dst_pitch * z, z, src, z, src_pitch * z, (size_t)cols, (size_t)rows, size);
}

/* Has n elements from (i, j) of a matrix along axis x, dense there, on their way from memory. */
static void ask(const struct vm_matrix *m, int x, int64_t i, int64_t j, int64_t n, size_t size) {
    const char *p = m->p + (i * m->stride[0] + j * m->stride[1]) * (int64_t)size;
    int64_t other = x ? i : j;
    if (other >= m->hi[1 - x] || other < m->lo[1 - x]) return;
    for (int64_t b = 0; b < n * (int64_t)size; b += LINE) __builtin_prefetch(p + b, 0, 2);
}

/* Rows x cols elements from (i, j) as dense rows where they lie, or NULL: converted, cut by an edge or not dense. */
static const char *dense(const struct source *s, int64_t i, int64_t j, int64_t rows, int64_t cols) {
    const struct vm_matrix *m = s->m;
    if (s->cast || m->stride[1] != 1) return NULL;
    if (i < m->lo[0] || i + rows > m->hi[0] || j < m->lo[1] || j + cols > m->hi[1]) return NULL;
    return m->p + (i * m->stride[0] + j) * (int64_t)s->size;
}

/* The same; NULL as well for a pitch that puts many rows on one cache set. */
static const char *in_place(const struct source *s, int64_t i, int64_t j, int64_t rows, int64_t cols) {
    return s->m->stride[0] * (int64_t)s->size % BAD_PITCH ? dense(s, i, j, rows, cols) : NULL;
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
    const char *from = cols * z % VECTOR == 0 && cols * z <= 4 * VECTOR ? in_place(s, i0, j0, rows, cols) : NULL;
    if (from) copy_rows(dst, pitch * z, from, s->m->stride[0] * z, rows, cols * z);
    else if (!turned)
        for (int64_t i = 0; i < rows; i++) fetch(s, 1, i0 + i, j0, cols, dst + i * pitch * z);
    for (int64_t j = 0; turned && j < cols; j += TURN) { /* columns, some at a time, through room (TURN, rows) */
        int64_t n = cols - j < TURN ? cols - j : TURN, next = j0 + j + TURN, below = i0;
        if (next >= s->m->hi[1]) next = 0, below += rows; /* all columns of the next block of k */
        for (int64_t c = 0; c < n; c++) fetch(s, 0, i0, j0 + j + c, rows, room + c * VM_DOT_PITCH * z);
        for (int64_t i = 0; i < rows; i += TURN_DEPTH) { /* meanwhile the next columns are on their way */
            ask(s->m, 0, below + i % TURN * TURN, next + i / TURN, TURN * TURN_DEPTH, s->size);
            turn(dst + (i * pitch + j) * z, pitch, room + i * z, VM_DOT_PITCH, n,
                rows - i < TURN_DEPTH ? rows - i : TURN_DEPTH, s->wide);
        }
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

#define KERNELS(NAME, TYPE, T, V, FMA, KIND)                                                                        \
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
        product(g, sizeof(T), 2 * VECTOR / (int64_t)sizeof(T), panel_##NAME, ISA(vm_thin_find_)(TYPE));             \
    }

typedef void panel_fn(const struct blocking *x, int64_t n0, int64_t cols);

/* Packed rows of a, a packed panel of b or a few rows, room to turn, a micro tile of acc and one of out. */
static void rooms(struct blocking *x, int64_t size, int64_t rows, struct source *a, struct source *b) {
    const struct vm_gemm *g = x->g;
    x->a = g->scratch;
    x->b = x->a + (rows + 16) * VM_DOT_PITCH * size;
    x->room = x->b + (int64_t)VM_DOT_COLS * VM_DOT_PITCH * size;
    x->edge = x->room + 16 * VM_DOT_PITCH * size;
    char *tmp = x->edge + 2 * 16 * (int64_t)VM_DOT_COLS * size;
    *a = (struct source){&g->a, g->a_size, (size_t)size, g->a_cast, tmp};
    *b = (struct source){&g->b, g->b_size, (size_t)size, g->b_cast, tmp};
}

static void next_block(struct blocking *x, int64_t m0, int64_t rows, int64_t k0) {
    const struct vm_gemm *g = x->g;
    x->m0 = m0, x->k0 = k0;
    x->rows = g->m - m0 < rows ? g->m - m0 : rows;
    x->kc = g->k - k0 < VM_DOT_K ? g->k - k0 : VM_DOT_K;
    x->first = k0 == 0, x->last = k0 + x->kc == g->k;
}

/* Columns n0 .. of a block of few rows: rows of b where they lie, or converted. */
static void thin_block(const struct blocking *x, const struct source *b, int64_t n0, int64_t cols, vm_thin_fn *run) {
    const struct vm_gemm *g = x->g;
    int64_t z = (int64_t)b->wide, step = b->m->stride[0] * (int64_t)b->size;
    struct vm_thin t = {.m = g->m, .n = cols, .pitch = g->n, .out = (char *)g->out + n0 * z};
    for (int64_t k = 0; k < x->kc; k += t.depth) {
        t.depth = x->kc - k < VM_THIN_DEPTH ? 1 : VM_THIN_DEPTH;
        t.a = x->a + k * z;
        t.first = x->first && k == 0;
        t.acc = x->last && k + t.depth == x->kc ? (const char *)g->acc + n0 * z : NULL;
        const char *from = dense(b, x->k0 + k, n0, t.depth, cols);
        t.ahead = from ? step * VM_THIN_DEPTH : 0;
        for (int i = 0; i < t.depth; i++) {
            t.b[i] = from ? from + i * step : x->b + i * cols * z;
            if (from) continue;
            ask(b->m, 1, x->k0 + k + i + VM_THIN_DEPTH, n0, cols, b->size);
            fetch(b, 1, x->k0 + k + i, n0, cols, x->b + i * cols * z);
        }
        run(&t);
    }
}

/* Few rows by rows of b, as far as vectors of its columns lie inside it: returns how many columns are done. */
static int64_t thin_product(struct blocking *x, const struct source *a, const struct source *b, vm_thin_fn *run) {
    const struct vm_gemm *g = x->g;
    int64_t lanes = VECTOR / (int64_t)b->wide, end = g->n < g->b.hi[1] ? g->n : g->b.hi[1], most = THIN_SUMS / g->m;
    if (!run || g->m > THIN_ROWS || g->b.stride[1] != 1 || g->b.lo[1] > 0 || end < THIN_LEAST) return 0;
    end = end / lanes * lanes, most = most / lanes * lanes;
    for (int64_t n = 0; n < end; n += most)
        for (int64_t k = 0; k < g->k; k += VM_DOT_K) {
            next_block(x, 0, g->m, k);
            pack(a, 0, k, g->m, x->kc, x->a, VM_DOT_PITCH, x->room);
            thin_block(x, b, n, end - n < most ? end - n : most, run);
        }
    return end;
}

static void product(const struct vm_gemm *g, size_t size, int64_t panel, panel_fn *run, vm_thin_fn *thin) {
    int64_t rows = g->m < VM_DOT_ROWS ? g->m : VM_DOT_ROWS;
    struct blocking x = {.g = g};
    struct source a, b;
    rooms(&x, (int64_t)size, rows, &a, &b);
    int64_t done = thin_product(&x, &a, &b, thin);
    for (int64_t m = 0; m < g->m && done < g->n; m += rows)
        for (int64_t k = 0; k < g->k; k += VM_DOT_K) {
            next_block(&x, m, rows, k);
            pack(&a, x.m0, x.k0, x.rows, x.kc, x.a, VM_DOT_PITCH, x.room);
            for (int64_t n = done; n < g->n; n += panel) {
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

KERNELS(f32, TSR_F32, float, vf32, fma_f32, MICRO)
KERNELS(f64, TSR_F64, double, vf64, fma_f64, MICRO)
KERNELS(u8, TSR_U8, uint8_t, vu8, MUL_ADD, MICRO)
KERNELS(u16, TSR_U16, uint16_t, vu16, MUL_ADD, MICRO)
KERNELS(u32, TSR_U32, uint32_t, vu32, MUL_ADD, MICRO)
KERNELS(u64, TSR_U64, uint64_t, vu64, MUL_ADD, MICRO)
KERNELS(c64, TSR_C64, cf32, , , MICRO_COMPLEX)
KERNELS(c128, TSR_C128, cf64, , , MICRO_COMPLEX)

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
