/* lib.h: the library kernels of the CPU: what is no tile program (sorting, transforms, factorizations, general index
 * work).
 *
 * A kernel is a name and a function over buffers and sizes (struct lib_call of device.h: operands first, then results,
 * all dense row-major, dims at run time). It knows no nodes: an op's attributes arrive as plain integers, laid out as
 * this page says. Results depend on the operands alone, never on the number of threads. No kernel writes an operand; a
 * result may share memory with an operand only where this page says so. i4/u4 operands are unpacked around a kernel, so
 * kernels see i8/u8.
 *
 *   sort                n x -> n y                 axis, keys, descending, total. Always stable.
 *   top_k               x -> values, i32 index     k. Last axis; order of sort, descending.
 *   rng_bits            state -> state, bits       enum lib_rng. Batch: leading axes of state beyond its last.
 *   fft                 x -> y                     enum lib_fft, n, length[n]
 *   cholesky            a -> l                     lower
 *   triangular_solve    a, b -> x                  left, lower, unit, enum lib_solve
 *   qr                  a -> q, r                  none
 *   svd                 a -> u, s, vt              none
 *   eigh                a -> w, v                  none
 *   gather              x, index -> y              index_vector_axis, n_offset, n_collapsed, n_operand_batching,
 *                                                  n_index_batching, n_map, then the five lists in that order
 *   scatter             x, index, update -> y      enum lib_scatter_how, then as gather. y may be x's memory.
 *   select_and_scatter  x, src -> y                1 for min, 0 for max; window[r], stride[r], pad_low[r], pad_high[r]
 */
#ifndef DEVICE_CPU_LIB_H
#define DEVICE_CPU_LIB_H

#include "base/mem.h"
#include "base/pool.h"
#include "device/device.h"

/* The values of mode integers; those of the enums of prim.h with the same names. */
enum lib_rng { LIB_THREEFRY, LIB_PHILOX };
enum lib_fft { LIB_FFT, LIB_IFFT, LIB_RFFT, LIB_IRFFT };
enum lib_solve { LIB_SOLVE_PLAIN, LIB_SOLVE_TRANSPOSE, LIB_SOLVE_ADJOINT };
enum lib_scatter_how { LIB_SCATTER_SET, LIB_SCATTER_ADD, LIB_SCATTER_MUL, LIB_SCATTER_MIN, LIB_SCATTER_MAX };

typedef tsr_status lib_kernel(const struct lib_call *k);
struct lib_entry {
    const char *name;
    int nin, nout; /* sort: -1, as many results as operands */
    lib_kernel *run;
};
const struct lib_entry *lib_find(const char *name); /* NULL: no such kernel */
/* Checks the number of operands, unpacks 4-bit tensors, runs. ENOTFOUND for an unknown name. */
tsr_status lib_run(const char *name, const struct lib_call *k);

lib_kernel lib_sort, lib_top_k, lib_rng_bits, lib_fft, lib_cholesky, lib_triangular_solve, lib_qr, lib_svd, lib_eigh,
    lib_gather,
    lib_scatter, lib_select_and_scatter;

/* ---- for the kernels ---- */
#define LIB_MAX_RANK 12
static inline int64_t lib_product(int n, const int64_t *dim) {
    int64_t p = 1;
    for (int i = 0; i < n; i++) p *= dim[i];
    return p;
}
static inline int64_t lib_count(const struct lib_tensor *t) { return lib_product(t->rank, t->dim); }
static inline int lib_workers(const struct lib_call *k) { return k->pool ? pool_threads(k->pool) : 1; }
static inline int64_t lib_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* The raw bits of one element of 1, 2, 4 or 8 bytes. */
uint64_t lib_load_bits(const void *p, int64_t i, int bytes);
/* Copies element `from` of src to element `to` of dst. */
void lib_copy_element(void *dst, int64_t to, const void *src, int64_t from, int bytes);
/* Loads count floats (complex: pairs) of any float or complex dtype as f64, and stores them back rounded. */
void lib_load_f64(tsr_dtype t, const void *src, int64_t offset, int64_t count, double *dst);
void lib_store_f64(tsr_dtype t, void *dst, int64_t offset, int64_t count, const double *src);
/* f16, bf16 and f8: n elements to f32, and back rounded to nearest even. */
static inline bool lib_is_narrow(tsr_dtype t) {
    return t == TSR_F16 || t == TSR_BF16 || t == TSR_F8E4M3 || t == TSR_F8E5M2;
}
void lib_widen(tsr_dtype t, const void *src, int64_t n, float *dst);
void lib_narrow(tsr_dtype t, const float *src, int64_t n, void *dst);
/* Element i of an integer tensor (u64 values past the greatest i64 count as the greatest
 * i64: they are out of range anyway). */
int64_t lib_load_index(const struct lib_tensor *t, int64_t i);

#endif
