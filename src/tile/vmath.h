/* vmath.h: the elementwise functions of scalar.h as scalar C text: the single source of their bits for every tier.
 *
 * For each function F of scalar.h and each dtype T that its domain admits there is vm_F_T(x, ...), T one of f32 f64,
 * the integers, bool, c64 c128 (f16, bf16 and f8 widen to f32, call vm_F_f32 and narrow once: vm_f16_to_f32,
 * vm_f32_to_f16 ...). The precompiled loops of the tile VM inline these functions, and the renderers paste the same
 * text in front of the kernels they write, so both compute the same bits. The text is
 *   vmath_int.inc      integers and bool          vmath_f32.inc    f32 that needs no f64; conversions of small floats
 *   vmath_f64.inc      f64                        vmath_mixed.inc  f32 computed through f64 and rounded once
 *   vmath_wide.inc     f64 results in two parts      vmath_complex.inc  c64 and c128
 *   vmath_arc.inc      their asin, acosh and kin     vmath_cast.inc   vm_cast_FROM_TO for every pair of dtypes
 * in this order, and it is written in what C11, OpenCL C, CUDA C and HIP have in common: static functions, selects,
 * integer operations, no libm, no recursion, and no loop whose turns depend on data except in rem. Right shifts of
 * negative numbers are arithmetic and integers are two's complement. It is shaped so that a compiler vectorises a loop
 * around a call.
 *
 * A dialect defines before the text:
 *   types      vm_f32 vm_f64 vm_i8 .. vm_i64 vm_u8 .. vm_u64, vm_bool (one byte, 0 or 1)
 *   TSR_FN     qualifiers of a function        TSR_TABLE  qualifiers of a constant array at file scope
 *   TSR_FMAF, TSR_FMA      a * b + c for f32, f64: fused where the machine does that fast, else in two roundings
 *   TSR_HAS_FMA            1 when TSR_FMA is fused (error-free products use it), else 0
 *   TSR_FUSEDF, TSR_FUSED  a * b + c in one rounding, always (for the function fma alone)
 *   TSR_F2U TSR_U2F TSR_D2U TSR_U2D        bit casts f32 <-> vm_u32, f64 <-> vm_u64
 *   TSR_SQRTF TSR_SQRT (correctly rounded), TSR_FLOORF TSR_FLOOR, TSR_TRUNCF TSR_TRUNC, TSR_CEILF TSR_CEIL, TSR_RINTF
 *   TSR_RINT
 *              (to nearest, halves to even)
 *   TSR_POPCNT (of a vm_u64), TSR_CLZ (of a vm_u64 that is not 0)
 * and compiles without contraction of a*b+c, without flushing of subnormals and with round to nearest.
 *
 * Errors, measured over dense samples by tests/tile/test_vmath.c and test_vmath_complex.c: at most 2 ulp in f32, at
 * most 4 ulp in f64 (lgamma: 8). Only the absolute error is bounded in f64 for lgamma and digamma of x < 0, and for
 * digamma of 0.5 to 2 but for 1/8 around its zero, where it is right again. c64: half a unit in each part. c128: 4
 * units in each part (tan, tanh, logistic: 6); a part of expm1, logistic, pow that cancels below modulus / 500 is
 * held to the error of one that does not. Corner cases follow C99 Annex F and scalar.h. Polynomials are minimax fits
 * (Remez, relative error) made for this project; where a method is not folklore its source is named at the function. */
#ifndef TILE_VMATH_H
#define TILE_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float vm_f32;
typedef double vm_f64;
typedef int8_t vm_i8;
typedef int16_t vm_i16;
typedef int32_t vm_i32;
typedef int64_t vm_i64;
typedef uint8_t vm_u8;
typedef uint16_t vm_u16;
typedef uint32_t vm_u32;
typedef uint64_t vm_u64;
typedef uint8_t vm_bool;

#define TSR_FN static inline __attribute__((always_inline, unused))
#define TSR_TABLE static const

#ifdef __FMA__
#define TSR_HAS_FMA 1
#define TSR_FMAF(a, b, c) __builtin_fmaf(a, b, c)
#define TSR_FMA(a, b, c) __builtin_fma(a, b, c)
#else
#define TSR_HAS_FMA 0
#define TSR_FMAF(a, b, c) ((a) * (b) + (c))
#define TSR_FMA(a, b, c) ((a) * (b) + (c))
#endif
#define TSR_FUSEDF(a, b, c) fmaf(a, b, c)
#define TSR_FUSED(a, b, c) fma(a, b, c)

TSR_FN vm_u32 TSR_F2U(vm_f32 f) {
    vm_u32 u;
    memcpy(&u, &f, sizeof u);
    return u;
}
TSR_FN vm_f32 TSR_U2F(vm_u32 u) {
    vm_f32 f;
    memcpy(&f, &u, sizeof f);
    return f;
}
TSR_FN vm_u64 TSR_D2U(vm_f64 f) {
    vm_u64 u;
    memcpy(&u, &f, sizeof u);
    return u;
}
TSR_FN vm_f64 TSR_U2D(vm_u64 u) {
    vm_f64 f;
    memcpy(&f, &u, sizeof f);
    return f;
}
#define TSR_SQRTF(x) __builtin_sqrtf(x)
#define TSR_SQRT(x) __builtin_sqrt(x)
#define TSR_FLOORF(x) __builtin_floorf(x)
#define TSR_FLOOR(x) __builtin_floor(x)
#define TSR_TRUNCF(x) __builtin_truncf(x)
#define TSR_TRUNC(x) __builtin_trunc(x)
#define TSR_CEILF(x) __builtin_ceilf(x)
#define TSR_CEIL(x) __builtin_ceil(x)
#define TSR_RINTF(x) __builtin_rintf(x)
#define TSR_RINT(x) __builtin_rint(x)
#define TSR_POPCNT(x) __builtin_popcountll(x)
#define TSR_CLZ(x) __builtin_clzll(x)

/* the text, in order */
#include "tile/vmath_int.inc"
#include "tile/vmath_f32.inc"
#include "tile/vmath_f64.inc"
#include "tile/vmath_mixed.inc"
#include "tile/vmath_wide.inc"
#include "tile/vmath_complex.inc"
#include "tile/vmath_arc.inc"
#include "tile/vmath_cast.inc"

#endif
