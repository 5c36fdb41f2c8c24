/* vm_lanes.h: one vector register of f32 at the level of instruction set that an *.isa.c is compiled for.
 *
 * What happens to the lanes is written as a loop over the scalar text of vmath.h, as long as the register: the compiler
 * makes vector instructions of it, and the bits are those of every other loop around that text. */
#ifndef TILE_VM_LANES_H
#define TILE_VM_LANES_H

#include "tile/vmath.h"

#if TSR_ISA_LEVEL == 2
#define WIDTH 64 /* bytes */
#elif TSR_ISA_LEVEL == 1
#define WIDTH 32
#else
#define WIDTH 16
#endif
enum { LANES = WIDTH / 4 };

typedef float lanes __attribute__((vector_size(WIDTH)));
typedef float loose __attribute__((vector_size(WIDTH), aligned(4), may_alias)); /* anywhere in memory */

#ifdef __clang__
#define IVDEP _Pragma("clang loop vectorize(assume_safety)")
#define LANEWISE static __attribute__((noinline)) /* elsewhere clang unrolls the loop before it vectorises it */
#else
#define IVDEP _Pragma("GCC ivdep")
#define LANEWISE TSR_FN
#endif

/* Memory is read and written in ascending order, which the machine's own prefetching looks for, and once. */
#define IN_ORDER __asm__ volatile("" ::: "memory");

/* A loop over the lanes of x and y; the text speaks of X and Y and sets R, which goes to the lane of r. */
#define EVERY_LANE(x, y, r, ...)                                                                  \
    {                                                                                             \
        float x_[LANES], y_[LANES], r_[LANES];                                                    \
        memcpy(x_, &x, WIDTH), memcpy(y_, &y, WIDTH);                                             \
        IVDEP for (int i = 0; i < LANES; i++) {                                                   \
            float X = x_[i], Y = y_[i], R;                                                        \
            (void)Y;                                                                              \
            __VA_ARGS__                                                                           \
            r_[i] = R;                                                                            \
        }                                                                                         \
        memcpy(&r, r_, WIDTH);                                                                    \
    }

#endif
