/* vm_dot_thin.isa.c: products of few rows: what a decoder's token is, bound by how fast b comes from memory.
 *
 * Rows of b are read where they lie, four at a time from end to end, so memory sees four long runs in ascending order,
 * which its own prefetching follows; a panel of few columns down all of k would touch two lines of each page and, at a
 * pitch of a power of two, one cache set. The sums of all columns wait in `out`, which stays in the first-level cache;
 * each is read and written once in four products. Every sum takes its products in order of k, one fma each, like the
 * micro kernels' (vm_dot.isa.c): the same bits. */
#include "tile/vm_dot_lanes.h"

/* R rows of a from `top` on; D rows of b. What the loop needs is in locals: stores might alias *t. */
#define THIN(NAME, T, V, FMA, R, D)                                                                 \
    static void thin_##NAME##_##R##_##D(const struct vm_thin *t, int64_t top) {                     \
        enum { W = VECTOR / (int)sizeof(T) };                                                       \
        const T *a = (const T *)t->a + top * VM_DOT_PITCH, *row[D];                                 \
        const T *acc = t->acc ? (const T *)t->acc + top * t->pitch : NULL;                          \
        T *out = (T *)t->out + top * t->pitch;                                                      \
        int64_t n = t->n, pitch = t->pitch, ahead = t->ahead;                                                     \
        bool first = t->first;                                                                      \
        V x[R][D], b[D];                                                                            \
        for (int d = 0; d < D; d++) row[d] = t->b[d];                                               \
        for (int i = 0; i < R; i++)                                                                 \
            for (int d = 0; d < D; d++) x[i][d] = a[i * VM_DOT_PITCH + d] - (V){0};                 \
        for (int64_t j = 0; j < n; j += W) {                                                        \
            for (int d = 0; d < D; d++) b[d] = *(const V *)(row[d] + j);                            \
            for (int d = 0; d < D && R > 1; d++) __builtin_prefetch((const char *)(row[d] + j) + ahead); \
            for (int i = 0; i < R; i++) {                                                           \
                V s = {0};                                                                          \
                if (!first) s = *(const V *)(out + i * pitch + j);                                  \
                for (int d = 0; d < D; d++) s = FMA(x[i][d], b[d], s);                              \
                if (acc) s = *(const V *)(acc + i * pitch + j) + s;                                 \
                *(V *)(out + i * pitch + j) = s;                                                    \
            }                                                                                       \
        }                                                                                           \
    }

#define KERNELS(NAME, T, V, FMA)                                                                    \
    THIN(NAME, T, V, FMA, 1, 1)                                                                     \
    THIN(NAME, T, V, FMA, 1, 4)                                                                     \
    THIN(NAME, T, V, FMA, 2, 4)                                                                     \
    THIN(NAME, T, V, FMA, 4, 4)                                                                     \
    static void thin_##NAME(const struct vm_thin *t) {                                              \
        for (int64_t i = 0, r; i < t->m; i += r) {                                                  \
            int64_t left = t->m - i;                                                                \
            r = t->depth == 1 || left == 1 ? 1 : left < 4 ? 2 : 4;                                  \
            if (t->depth == 1) thin_##NAME##_1_1(t, i);                                             \
            else if (r == 1) thin_##NAME##_1_4(t, i);                                               \
            else if (r == 2) thin_##NAME##_2_4(t, i);                                               \
            else thin_##NAME##_4_4(t, i);                                                           \
        }                                                                                           \
    }

KERNELS(f32, float, vf32, fma_f32)
KERNELS(f64, double, vf64, fma_f64)
KERNELS(u8, uint8_t, vu8, MUL_ADD)
KERNELS(u16, uint16_t, vu16, MUL_ADD)
KERNELS(u32, uint32_t, vu32, MUL_ADD)
KERNELS(u64, uint64_t, vu64, MUL_ADD)

vm_thin_fn *ISA(vm_thin_find_)(tsr_dtype acc) {
    static vm_thin_fn *const table[TSR_DTYPE_COUNT] = {
        [TSR_F32] = thin_f32, [TSR_F64] = thin_f64, [TSR_I8] = thin_u8, [TSR_U8] = thin_u8, [TSR_I16] = thin_u16,
        [TSR_U16] = thin_u16, [TSR_I32] = thin_u32, [TSR_U32] = thin_u32, [TSR_I64] = thin_u64, [TSR_U64] = thin_u64,
    };
    return table[acc];
}
