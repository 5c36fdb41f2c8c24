/* vm_elem.isa.c: the loops around the functions of vmath.h, for one level of instruction set.
 *
 * Every kernel is one plain loop that the compiler vectorises, over chunks of CHUNK elements. A scalar operand is
 * repeated into a buffer of one chunk that the loop reads again and again, so there is one loop and not one for each
 * mixture of vectors and scalars. dst may be an operand exactly, which the compiler cannot know to be harmless: IVDEP
 * says so.
 *
 * f16, bf16 and f8 run a chunk at a time through f32 buffers and the f32 kernel. sin, cos and tan look at a chunk first
 * and take the short reduction when all its angles are small; the bits are the same either way.
 *
 * The lists below say which function exists for which kinds of dtype; the test holds them against the domains of
 * scalar.h. */
#include "tile/vm_kernels.h"
#include "tile/vm_tables.h"
#include "tile/vmath.h"

#undef bool /* a dtype's name below, to be pasted */
#define CHUNK 256

#ifdef __clang__
#define IVDEP _Pragma("clang loop vectorize(assume_safety)")
#define UNROLL
#else
#define IVDEP _Pragma("GCC ivdep")
#define UNROLL _Pragma("GCC unroll 4")
#endif

#define ARGS size_t n, void *dst, const void *pa, const void *pb, const void *pc, unsigned scalar
#define UNUSED (void)pa, (void)pb, (void)pc, (void)scalar

/* Operand `x` of type T: a pointer, its step from chunk to chunk, and the buffer that repeats a scalar. */
#define OPERAND(T, x, bit)                                                    \
    T x##_fill[CHUNK];                                                        \
    const T *x = p##x;                                                        \
    size_t x##_step = CHUNK;                                                  \
    if (scalar & bit) {                                                       \
        for (size_t i = 0; i < (n < CHUNK ? n : CHUNK); i++) x##_fill[i] = *x; \
        x = x##_fill, x##_step = 0;                                           \
    }

#define KERNEL1(F, f, T, IN, OUT)                                             \
    static void k_##F##_##T(ARGS) {                                           \
        OUT *d = dst;                                                         \
        UNUSED;                                                               \
        OPERAND(IN, a, 1)                                                     \
        for (size_t m; n > 0; n -= m, d += m, a += a_step) {                  \
            m = n < CHUNK ? n : CHUNK;                                        \
            IVDEP for (size_t i = 0; i < m; i++) d[i] = vm_##f##_##T(a[i]);   \
        }                                                                     \
    }
#define KERNEL2(F, f, T, IN, OUT)                                             \
    static void k_##F##_##T(ARGS) {                                           \
        OUT *d = dst;                                                         \
        UNUSED;                                                               \
        OPERAND(IN, a, 1)                                                     \
        OPERAND(IN, b, 2)                                                     \
        for (size_t m; n > 0; n -= m, d += m, a += a_step, b += b_step) {     \
            m = n < CHUNK ? n : CHUNK;                                        \
            IVDEP for (size_t i = 0; i < m; i++) d[i] = vm_##f##_##T(a[i], b[i]); \
        }                                                                     \
    }
#define KERNEL3(F, f, T, FIRST, IN, OUT)                                      \
    static void k_##F##_##T(ARGS) {                                           \
        OUT *d = dst;                                                         \
        UNUSED;                                                               \
        OPERAND(FIRST, a, 1)                                                  \
        OPERAND(IN, b, 2)                                                     \
        OPERAND(IN, c, 4)                                                     \
        for (size_t m; n > 0; n -= m, d += m, a += a_step, b += b_step, c += c_step) { \
            m = n < CHUNK ? n : CHUNK;                                        \
            IVDEP for (size_t i = 0; i < m; i++) d[i] = vm_##f##_##T(a[i], b[i], c[i]); \
        }                                                                     \
    }
/* A function so cheap that loads and stores bound it: a loop for each mixture of vectors and scalars, unrolled. */
#define CHEAP2(F, f, T, IN, OUT)                                              \
    static void k_##F##_##T(ARGS) {                                           \
        const IN *a = pa, *b = pb, x = *a, y = *b;                            \
        OUT *d = dst;                                                         \
        (void)pc;                                                             \
        if (scalar & 1 && !(scalar & 2)) {                                    \
            IVDEP UNROLL for (size_t i = 0; i < n; i++) d[i] = vm_##f##_##T(x, b[i]); \
        } else if (scalar & 1) {                                              \
            IVDEP for (size_t i = 0; i < n; i++) d[i] = vm_##f##_##T(x, y);   \
        } else if (scalar & 2) {                                              \
            IVDEP UNROLL for (size_t i = 0; i < n; i++) d[i] = vm_##f##_##T(a[i], y); \
        } else {                                                              \
            IVDEP UNROLL for (size_t i = 0; i < n; i++) d[i] = vm_##f##_##T(a[i], b[i]); \
        }                                                                     \
    }
/* A function of an angle: vm_f_T for any, vm_f_small_T for a chunk below `limit`. */
#define KERNEL_TRIG(F, f, T, IN, limit)                                       \
    static void k_##F##_##T(ARGS) {                                           \
        IN *d = dst;                                                          \
        UNUSED;                                                               \
        OPERAND(IN, a, 1)                                                     \
        for (size_t m; n > 0; n -= m, d += m, a += a_step) {                  \
            unsigned large = 0;                                               \
            m = n < CHUNK ? n : CHUNK;                                        \
            for (size_t i = 0; i < m; i++) large |= !(vm_abs_##T(a[i]) < (limit)); \
            if (large) {                                                      \
                IVDEP for (size_t i = 0; i < m; i++) d[i] = vm_##f##_##T(a[i]); \
            } else {                                                          \
                IVDEP for (size_t i = 0; i < m; i++) d[i] = vm_##f##_small_##T(a[i]); \
            }                                                                 \
        }                                                                     \
    }

/* ---- which function exists for what: X(NAME, name, extra...) --------------------------------------------------- */

#define FLOAT_UNARY(X, ...)                                                                                           \
    X(NEG, neg, __VA_ARGS__) X(ABS, abs, __VA_ARGS__) X(SIGN, sign, __VA_ARGS__) X(CEIL, ceil, __VA_ARGS__)           \
    X(FLOOR, floor, __VA_ARGS__) X(ROUND, round, __VA_ARGS__) X(ROUND_EVEN, round_even, __VA_ARGS__)                  \
    X(EXP, exp, __VA_ARGS__) X(EXP2, exp2, __VA_ARGS__) X(EXPM1, expm1, __VA_ARGS__) X(LOG, log, __VA_ARGS__)         \
    X(LOG2, log2, __VA_ARGS__) X(LOG1P, log1p, __VA_ARGS__) X(SQRT, sqrt, __VA_ARGS__) X(RSQRT, rsqrt, __VA_ARGS__)   \
    X(CBRT, cbrt, __VA_ARGS__) X(ASIN, asin, __VA_ARGS__) X(ACOS, acos, __VA_ARGS__) X(ATAN, atan, __VA_ARGS__)       \
    X(SINH, sinh, __VA_ARGS__) X(COSH, cosh, __VA_ARGS__) X(TANH, tanh, __VA_ARGS__) X(ASINH, asinh, __VA_ARGS__)     \
    X(ACOSH, acosh, __VA_ARGS__) X(ATANH, atanh, __VA_ARGS__) X(LOGISTIC, logistic, __VA_ARGS__)                      \
    X(ERF, erf, __VA_ARGS__) X(ERFC, erfc, __VA_ARGS__) X(ERF_INV, erf_inv, __VA_ARGS__)                              \
    X(LGAMMA, lgamma, __VA_ARGS__) X(DIGAMMA, digamma, __VA_ARGS__) X(REAL, real, __VA_ARGS__) \
    X(IMAG, imag, __VA_ARGS__)
#define FLOAT_TRIG(X, ...) X(SIN, sin, __VA_ARGS__) X(COS, cos, __VA_ARGS__) X(TAN, tan, __VA_ARGS__)
#define FLOAT_CHEAP(X, ...)                                                                                           \
    X(ADD, add, __VA_ARGS__) X(SUB, sub, __VA_ARGS__) X(MUL, mul, __VA_ARGS__) X(DIV, div, __VA_ARGS__)               \
    X(MAX, max, __VA_ARGS__) X(MIN, min, __VA_ARGS__)
#define FLOAT_DEAR(X, ...) X(REM, rem, __VA_ARGS__) X(POW, pow, __VA_ARGS__) X(ATAN2, atan2, __VA_ARGS__)
#define FLOAT_BINARY(X, ...) FLOAT_CHEAP(X, __VA_ARGS__) FLOAT_DEAR(X, __VA_ARGS__)
#define NEXTAFTER(X, ...) X(NEXTAFTER, nextafter, __VA_ARGS__)
#define COMPARE(X, ...)                                                                                               \
    X(EQ, eq, __VA_ARGS__) X(NE, ne, __VA_ARGS__) X(LT, lt, __VA_ARGS__) X(LE, le, __VA_ARGS__) X(GT, gt, __VA_ARGS__) \
    X(GE, ge, __VA_ARGS__)
#define SELECT(X, ...) X(SELECT, select, __VA_ARGS__)
#define CLAMP(X, ...) X(CLAMP, clamp, __VA_ARGS__)
#define FLOAT_TERNARY(X, ...) X(CLAMP, clamp, __VA_ARGS__) X(FMA, fma, __VA_ARGS__)
#define INT_UNARY(X, ...) X(NOT, not, __VA_ARGS__) X(POPCNT, popcnt, __VA_ARGS__) X(CLZ, clz, __VA_ARGS__) \
    X(NEG, neg, __VA_ARGS__)
#define SIGNED_UNARY(X, ...) X(ABS, abs, __VA_ARGS__) X(SIGN, sign, __VA_ARGS__)
#define INT_BINARY(X, ...)                                                                                            \
    X(ADD, add, __VA_ARGS__) X(SUB, sub, __VA_ARGS__) X(MUL, mul, __VA_ARGS__) X(DIV, div, __VA_ARGS__)               \
    X(REM, rem, __VA_ARGS__) X(POW, pow, __VA_ARGS__) X(MAX, max, __VA_ARGS__) X(MIN, min, __VA_ARGS__)               \
    X(AND, and, __VA_ARGS__) X(OR, or, __VA_ARGS__) X(XOR, xor, __VA_ARGS__) X(SHL, shl, __VA_ARGS__)                 \
    X(SHR, shr, __VA_ARGS__) X(SHR_LOGICAL, shr_logical, __VA_ARGS__)
#define BOOL_BINARY(X, ...)                                                                                           \
    X(ADD, add, __VA_ARGS__) X(MUL, mul, __VA_ARGS__) X(MAX, max, __VA_ARGS__) X(MIN, min, __VA_ARGS__)               \
    X(AND, and, __VA_ARGS__) X(OR, or, __VA_ARGS__) X(XOR, xor, __VA_ARGS__)
#define COMPLEX_UNARY(X, ...)                                                                                         \
    X(NEG, neg, __VA_ARGS__) X(SIGN, sign, __VA_ARGS__) X(EXP, exp, __VA_ARGS__) X(EXPM1, expm1, __VA_ARGS__)         \
    X(LOG, log, __VA_ARGS__) X(LOG1P, log1p, __VA_ARGS__) X(SQRT, sqrt, __VA_ARGS__) X(RSQRT, rsqrt, __VA_ARGS__)     \
    X(SIN, sin, __VA_ARGS__) X(COS, cos, __VA_ARGS__) X(TAN, tan, __VA_ARGS__) X(ASIN, asin, __VA_ARGS__)             \
    X(ACOS, acos, __VA_ARGS__) X(ATAN, atan, __VA_ARGS__) X(SINH, sinh, __VA_ARGS__) X(COSH, cosh, __VA_ARGS__)       \
    X(TANH, tanh, __VA_ARGS__) X(ASINH, asinh, __VA_ARGS__) X(ACOSH, acosh, __VA_ARGS__)                              \
    X(ATANH, atanh, __VA_ARGS__) X(LOGISTIC, logistic, __VA_ARGS__)
#define COMPLEX_TO_REAL(X, ...) X(ABS, abs, __VA_ARGS__) X(REAL, real, __VA_ARGS__) X(IMAG, imag, __VA_ARGS__)
#define COMPLEX_BINARY(X, ...)                                                                                        \
    X(ADD, add, __VA_ARGS__) X(SUB, sub, __VA_ARGS__) X(MUL, mul, __VA_ARGS__) X(DIV, div, __VA_ARGS__)               \
    X(POW, pow, __VA_ARGS__) X(MAX, max, __VA_ARGS__) X(MIN, min, __VA_ARGS__)
#define COMPLEX_COMPARE(X, ...) X(EQ, eq, __VA_ARGS__) X(NE, ne, __VA_ARGS__)

/* ---- kernels --------------------------------------------------------------------------------------------------- */

#define SAME1(F, f, T, C) KERNEL1(F, f, T, C, C)
#define SAME2(F, f, T, C) KERNEL2(F, f, T, C, C)
#define SAME_CHEAP(F, f, T, C) CHEAP2(F, f, T, C, C)
#define SAME3(F, f, T, C) KERNEL3(F, f, T, C, C, C)
#define TO_BOOL(F, f, T, C) KERNEL2(F, f, T, C, vm_bool)
#define CHOOSE(F, f, T, C) KERNEL3(F, f, T, vm_bool, C, C)
#define TO_REAL(F, f, T, C, R) KERNEL1(F, f, T, C, R)

FLOAT_UNARY(SAME1, f32, vm_f32)
FLOAT_UNARY(SAME1, f64, vm_f64)
FLOAT_TRIG(KERNEL_TRIG, f32, vm_f32, VM_TRIG_SMALL_F32)
FLOAT_TRIG(KERNEL_TRIG, f64, vm_f64, VM_TRIG_SMALL_F64)
KERNEL1(IS_FINITE, is_finite, f32, vm_f32, vm_bool)
KERNEL1(IS_FINITE, is_finite, f64, vm_f64, vm_bool)
KERNEL2(COMPLEX, complex, f32, vm_f32, vm_c64)
KERNEL2(COMPLEX, complex, f64, vm_f64, vm_c128)
FLOAT_CHEAP(SAME_CHEAP, f32, vm_f32)
FLOAT_CHEAP(SAME_CHEAP, f64, vm_f64)
FLOAT_DEAR(SAME2, f32, vm_f32)
FLOAT_DEAR(SAME2, f64, vm_f64)
NEXTAFTER(SAME2, f32, vm_f32)
NEXTAFTER(SAME2, f64, vm_f64)
FLOAT_TERNARY(SAME3, f32, vm_f32)
FLOAT_TERNARY(SAME3, f64, vm_f64)

#define ORDINARY(T, C)      \
    COMPARE(TO_BOOL, T, C)  \
    SELECT(CHOOSE, T, C)
ORDINARY(f32, vm_f32)
ORDINARY(f64, vm_f64)
ORDINARY(bool, vm_bool)
KERNEL1(NOT, not, bool, vm_bool, vm_bool)
BOOL_BINARY(SAME2, bool, vm_bool)
CLAMP(SAME3, bool, vm_bool)

#define INTEGER(T, C)       \
    ORDINARY(T, C)          \
    INT_UNARY(SAME1, T, C)  \
    INT_BINARY(SAME2, T, C) \
    CLAMP(SAME3, T, C)
#define SIGNED_INTEGER(T, C) INTEGER(T, C) SIGNED_UNARY(SAME1, T, C)
SIGNED_INTEGER(i8, vm_i8)
SIGNED_INTEGER(i16, vm_i16)
SIGNED_INTEGER(i32, vm_i32)
SIGNED_INTEGER(i64, vm_i64)
INTEGER(u8, vm_u8)
INTEGER(u16, vm_u16)
INTEGER(u32, vm_u32)
INTEGER(u64, vm_u64)

#define COMPLEX_KERNELS(T, C, R)       \
    COMPLEX_UNARY(SAME1, T, C)         \
    COMPLEX_TO_REAL(TO_REAL, T, C, R)  \
    COMPLEX_BINARY(SAME2, T, C)        \
    COMPLEX_COMPARE(TO_BOOL, T, C)     \
    SELECT(CHOOSE, T, C)
COMPLEX_KERNELS(c64, vm_c64, vm_f32)
COMPLEX_KERNELS(c128, vm_c128, vm_f64)

/* ---- small floats ---------------------------------------------------------------------------------------------- */

struct small_float {
    vm_cast_kernel *widen, *narrow; /* to and from f32; narrow of a function with a bool result copies bytes */
    size_t size;
    vm_elem_kernel *f32;
    int arity;
    size_t result; /* bytes of a result of the f32 kernel: 4, or 1 for a bool that goes to dst as it is */
};

static void small_run(const struct small_float *s, ARGS) {
    const unsigned char *operand[3] = {pa, pb, pc};
    float buffer[3][CHUNK];
    unsigned char *d = dst;
    for (size_t m; n > 0; n -= m) {
        m = n < CHUNK ? n : CHUNK;
        for (int k = 0; k < s->arity; k++) {
            unsigned once = scalar >> k & 1;
            s->widen(once ? 1 : m, buffer[k], operand[k]);
            operand[k] += once ? 0 : m * s->size;
        }
        s->f32(m, s->result == 1 ? (void *)d : buffer[0], buffer[0], buffer[1], buffer[2], scalar);
        if (s->result != 1) s->narrow(m, d, buffer[0]);
        d += m * (s->result == 1 ? 1 : s->size);
    }
}

#define CAST(from, FROM, to, TO)                                              \
    static void c_##from##_##to(size_t n, void *dst, const void *src) {       \
        TO *d = dst;                                                          \
        const FROM *s = src;                                                  \
        IVDEP for (size_t i = 0; i < n; i++) d[i] = vm_cast_##from##_##to(s[i]); \
    }
#define CASTS_FROM(from, FROM)                                                \
    CAST(from, FROM, f64, vm_f64) CAST(from, FROM, f32, vm_f32) CAST(from, FROM, f16, vm_u16)                          \
    CAST(from, FROM, bf16, vm_u16) CAST(from, FROM, f8e4m3, vm_u8) CAST(from, FROM, f8e5m2, vm_u8)                     \
    CAST(from, FROM, i64, vm_i64) CAST(from, FROM, i32, vm_i32) CAST(from, FROM, i16, vm_i16) \
    CAST(from, FROM, i8, vm_i8) \
    CAST(from, FROM, i4, vm_i8) CAST(from, FROM, u64, vm_u64) CAST(from, FROM, u32, vm_u32) \
    CAST(from, FROM, u16, vm_u16) \
    CAST(from, FROM, u8, vm_u8) CAST(from, FROM, u4, vm_u8) CAST(from, FROM, bool, vm_bool) \
    CAST(from, FROM, c64, vm_c64) \
    CAST(from, FROM, c128, vm_c128)
#define CASTABLE(X)                                                                                                   \
    X(f64, vm_f64, F64) X(f32, vm_f32, F32) X(f16, vm_u16, F16) X(bf16, vm_u16, BF16) X(f8e4m3, vm_u8, F8E4M3)         \
    X(f8e5m2, vm_u8, F8E5M2) X(i64, vm_i64, I64) X(i32, vm_i32, I32) X(i16, vm_i16, I16) X(i8, vm_i8, I8) \
    X(i4, vm_i8, I4) \
    X(u64, vm_u64, U64) X(u32, vm_u32, U32) X(u16, vm_u16, U16) X(u8, vm_u8, U8) X(u4, vm_u8, U4) \
    X(bool, vm_bool, BOOL) \
    X(c64, vm_c64, C64) X(c128, vm_c128, C128)
#define X(from, FROM, NAME) CASTS_FROM(from, FROM)
CASTABLE(X)
#undef X

#define SMALL(F, f, T, C, arity, result)                                                                              \
    static void k_##F##_##T(ARGS) {                                                                                   \
        static const struct small_float s = {c_##T##_f32, c_f32_##T, sizeof(C), k_##F##_f32, arity, result};          \
        small_run(&s, n, dst, pa, pb, pc, scalar);                                                                    \
    }
#define SMALL_SAME1(F, f, T, C) SMALL(F, f, T, C, 1, 4)
#define SMALL_SAME2(F, f, T, C) SMALL(F, f, T, C, 2, 4)
#define SMALL_SAME3(F, f, T, C) SMALL(F, f, T, C, 3, 4)
#define SMALL_TO_BOOL(F, f, T, C) SMALL(F, f, T, C, 2, 1)
#define SMALL_FLOAT(T, C, bits)                                               \
    FLOAT_UNARY(SMALL_SAME1, T, C)                                            \
    FLOAT_TRIG(SMALL_SAME1, T, C)                                             \
    FLOAT_BINARY(SMALL_SAME2, T, C)                                           \
    FLOAT_TERNARY(SMALL_SAME3, T, C)                                          \
    COMPARE(SMALL_TO_BOOL, T, C)                                              \
    SMALL(IS_FINITE, is_finite, T, C, 1, 1)                                   \
    NEXTAFTER(SAME2, T, C)                                                    \
    static void k_SELECT_##T(ARGS) { k_SELECT_##bits(n, dst, pa, pb, pc, scalar); }
SMALL_FLOAT(f16, vm_u16, u16)
SMALL_FLOAT(bf16, vm_u16, u16)
SMALL_FLOAT(f8e4m3, vm_u8, u8)
SMALL_FLOAT(f8e5m2, vm_u8, u8)

/* ---- the tables ------------------------------------------------------------------------------------------------ */

#define ROW(F, f, T, ID) [TSR_S_##F][TSR_##ID] = k_##F##_##T,
#define FLOAT_ROWS(T, ID)                                                                                             \
    FLOAT_UNARY(ROW, T, ID) FLOAT_TRIG(ROW, T, ID) FLOAT_BINARY(ROW, T, ID) NEXTAFTER(ROW, T, ID) \
    FLOAT_TERNARY(ROW, T, ID) \
    COMPARE(ROW, T, ID) SELECT(ROW, T, ID) ROW(IS_FINITE, is_finite, T, ID)
#define INT_ROWS(T, ID)                                                                                               \
    INT_UNARY(ROW, T, ID) INT_BINARY(ROW, T, ID) COMPARE(ROW, T, ID) SELECT(ROW, T, ID) CLAMP(ROW, T, ID)
#define COMPLEX_ROWS(T, ID)                                                                                           \
    COMPLEX_UNARY(ROW, T, ID) COMPLEX_TO_REAL(ROW, T, ID) COMPLEX_BINARY(ROW, T, ID) COMPLEX_COMPARE(ROW, T, ID)      \
    SELECT(ROW, T, ID)

#define PASTE(a, b) a##b
#define WITH_SUFFIX(name, suffix) PASTE(name, suffix)

vm_elem_kernel *const WITH_SUFFIX(vm_elem_table_, TSR_ISA_SUFFIX)[TSR_SCALAR_COUNT][TSR_DTYPE_COUNT] = {
    FLOAT_ROWS(f64, F64) FLOAT_ROWS(f32, F32) FLOAT_ROWS(f16, F16) FLOAT_ROWS(bf16, BF16) FLOAT_ROWS(f8e4m3, F8E4M3)
    FLOAT_ROWS(f8e5m2, F8E5M2) ROW(COMPLEX, complex, f32, F32) ROW(COMPLEX, complex, f64, F64)
    INT_ROWS(i64, I64) INT_ROWS(i32, I32) INT_ROWS(i16, I16) INT_ROWS(i8, I8)
    SIGNED_UNARY(ROW, i64, I64) SIGNED_UNARY(ROW, i32, I32) SIGNED_UNARY(ROW, i16, I16) SIGNED_UNARY(ROW, i8, I8)
    INT_ROWS(u64, U64) INT_ROWS(u32, U32) INT_ROWS(u16, U16) INT_ROWS(u8, U8)
    ROW(NOT, not, bool, BOOL) BOOL_BINARY(ROW, bool, BOOL) COMPARE(ROW, bool, BOOL) SELECT(ROW, bool, BOOL)
    CLAMP(ROW, bool, BOOL)
    COMPLEX_ROWS(c64, C64) COMPLEX_ROWS(c128, C128)
};

#define X(from, FROM, ID)                                                                                             \
    [TSR_##ID] = { \
        [TSR_F64] = c_##from##_f64, [TSR_F32] = c_##from##_f32, [TSR_F16] = c_##from##_f16, \
        [TSR_BF16] = c_##from##_bf16, [TSR_F8E4M3] = c_##from##_f8e4m3, [TSR_F8E5M2] = c_##from##_f8e5m2, \
        [TSR_I64] = c_##from##_i64, [TSR_I32] = c_##from##_i32, [TSR_I16] = c_##from##_i16, \
        [TSR_I8] = c_##from##_i8, [TSR_I4] = c_##from##_i4, [TSR_U64] = c_##from##_u64, \
        [TSR_U32] = c_##from##_u32, [TSR_U16] = c_##from##_u16, [TSR_U8] = c_##from##_u8, \
        [TSR_U4] = c_##from##_u4, [TSR_BOOL] = c_##from##_bool, [TSR_C64] = c_##from##_c64, \
        [TSR_C128] = c_##from##_c128, \
    },
vm_cast_kernel *const WITH_SUFFIX(vm_cast_table_, TSR_ISA_SUFFIX)[TSR_DTYPE_COUNT][TSR_DTYPE_COUNT] = {CASTABLE(X)};
#undef X
