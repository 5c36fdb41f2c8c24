/* vm_dot.h: blocked matrix products under the VM's dot, one set for each instruction set level (vm_dot.isa.c).
 *
 * out = acc + chunk, where chunk(m, n) starts as 0 and takes a(m, k) * b(k, n) in order of k, each by one fma (integers
 * wrap, complex by the textbook formula). acc and out are dense row-major (M, N) of the accumulator's dtype and do not
 * overlap. */
#ifndef TILE_VM_DOT_H
#define TILE_VM_DOT_H

#include "tile/vm_code.h"

struct vm_gemm {
    int64_t m, n, k;
    struct vm_matrix a, b;          /* (m, k), (k, n) */
    size_t a_size, b_size;          /* bytes of a stored element */
    vm_cast_kernel *a_cast, *b_cast; /* to the accumulator's dtype; NULL: it is that already */
    const void *acc;
    void *out, *scratch;
};
typedef void vm_dot_fn(const struct vm_gemm *g);

vm_dot_fn *vm_dot_find(enum cpu_isa isa, tsr_dtype acc);
size_t vm_dot_scratch(tsr_dtype acc, int64_t m); /* bytes, whatever the level */

/* vm_peak.isa.c: multiply-adds of f32 on registers; adds a number to *out (so that the work is done), returns the
 * operations. */
double vm_peak_run(enum cpu_isa isa, int64_t turns, float *out);

/* Limits of the blocking, shared by all levels. */
enum { VM_DOT_ROWS = 256, VM_DOT_K = 256, VM_DOT_PITCH = VM_DOT_K + 16, VM_DOT_COLS = 128 };

#endif
