/* lib_text.h: library kernels as C text that the CPU compiles in (device/cpu/lib_fft.c and its like) and that
 * module_lib.c writes into C files: one source of their bits.
 *
 * lib_fft.inc has transforms, lib_linalg.inc and lib_eigen.inc factorizations. The text is C99 behind that of vmath.h,
 * whose types and names it uses, and of vmath it takes only what has no TSR_FMA: sums, products, quotients and square
 * roots, each rounded once, so that its results are the same on every machine. It calls no library and asks for no
 * memory: a kernel says how much room it needs, the caller gives it. A dialect defines, besides what vmath.h says,
 *   TSR_CALLED                       qualifiers of a function that is not worth inlining
 *   TSR_EACH(pool, n, body, job)     body(job, i, worker) for i in [0, n), in any order and on any threads
 *   TSR_RAISE(flag)                  sets an int that other threads may set too
 * worker counts from 0; a pool of NULL means this thread. C files have one thread (parts_c.inc). */
#ifndef EMIT_LIB_TEXT_H
#define EMIT_LIB_TEXT_H

#include "base/pool.h"
#include "tile/vmath.h"

#define TSR_CALLED static __attribute__((unused))
#define TSR_EACH(pool, n, body, job) pool_for(pool, n, body, job)
#define TSR_RAISE(flag) __atomic_store_n(flag, 1, __ATOMIC_RELAXED)

#endif
