/* ref_scalar.c: the elementwise functions of scalar.h on one element: the definition that every faster tier is held to.
 *
 * One list for each kind of operand: floats in f64, complex numbers by textbook formulas in f64, signed and
 * unsigned integers in 64 bits wrapped to their width, truth values. Comparisons give .u = 0 or 1. A function that
 * the dtype does not admit is a broken invariant, not an input error: type rules refused it before.
 *
 * Where f64 alone would be wrong the dtype is asked for: nextafter steps in the format itself, and fma of f32
 * rounds once. Complex multiplication is the textbook formula: it does not recover infinities from NaN parts as
 * C's Annex G does, since StableHLO's does not.
 *
 * Own series: digamma (Bernardo, "Algorithm AS 103", 1976: recurrence, then the asymptotic series) and erf_inv
 * (Winitzki's 2008 approximation, polished by Newton steps on erf or on log erfc). lgamma is the C library's,
 * without its global sign. */
#include <complex.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "graph/ref.h"

/* ---- special functions ------------------------------------------------------------------------------------------ */

static const double PI = 3.14159265358979323846;

static double log_gamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

static double digamma_positive(double x) {
    double below = 0;
    for (; x < 12; x++) below += 1 / x;
    double z = 1 / (x * x); /* Bernoulli numbers B_2k / 2k */
    double tail = 1. / 240 - z * (1. / 132 - z * (691. / 32760 - z / 12));
    tail = z * (1. / 12 - z * (1. / 120 - z * (1. / 252 - z * tail)));
    return log(x) - 0.5 / x - tail - below;
}

/* Poles at 0, -1, -2, ... give NaN: the two sides disagree in sign. */
static double digamma(double x) {
    if (isnan(x) || x == -INFINITY || (x <= 0 && x == floor(x))) return NAN;
    if (x == INFINITY) return x;
    if (x > 0) return digamma_positive(x);
    return digamma_positive(1 - x) - PI / tan(PI * (x - rint(x)));
}

static double erf_inv_start(double x) {
    const double a = 0.147;
    double l = log1p(-x * x), b = 2 / (PI * a) + l / 2;
    return sqrt(sqrt(b * b - l / a) - b);
}

static double erf_inv(double x) {
    double ax = fabs(x);
    if (!(ax < 1)) return ax == 1 ? copysign(INFINITY, x) : NAN;
    if (ax < 1e-9) return x * (sqrt(PI) / 2);
    double y = erf_inv_start(ax);
    for (int turn = 0; turn < 4; turn++) {
        double slope = 2 / sqrt(PI) * exp(-y * y);
        if (ax < 0.5) y -= (erf(y) - ax) / slope;
        else y += erfc(y) / slope * log(erfc(y) / (1 - ax));
    }
    return copysign(y, x);
}

static double sign_of(double x) { return isnan(x) || x == 0 ? x : copysign(1, x); }
static double greater(double x, double y) {
    return isnan(x) || isnan(y) ? NAN : x > y || (x == y && signbit(y)) ? x : y;
}
static double lesser(double x, double y) {
    return isnan(x) || isnan(y) ? NAN : x < y || (x == y && signbit(x)) ? x : y;
}

/* The stored bits of a float grow with its magnitude, so a step is one more or one less. */
static double next_after(tsr_dtype t, double x, double y) {
    if (t == TSR_F64 || isnan(x) || isnan(y) || x == y)
        return isnan(x) || isnan(y) ? NAN : x == y ? y : nextafter(x, y);
    uint8_t raw[4] = {0};
    uint32_t bits = 0;
    struct ref_tensor one = {.dtype = t, .count = 1, .p = raw};
    size_t n = (size_t)tsr_dtype_of(t)->bytes;
    ref_set(&one, 0, (struct ref_val){.re = x});
    memcpy(&bits, raw, n);
    if (x == 0) bits = y < 0 ? 1u | 1u << (8 * n - 1) : 1u;
    else if ((y > x) == (x > 0)) bits++;
    else bits--;
    memcpy(raw, &bits, n);
    return ref_get(&one, 0).re;
}

/* ---- floats ----------------------------------------------------------------------------------------------------- */

#define FLOAT_LIST(X)                                       \
    X(NEG, -x)                                              \
    X(ABS, fabs(x))                                         \
    X(SIGN, sign_of(x))                                     \
    X(CEIL, ceil(x))                                        \
    X(FLOOR, floor(x))                                      \
    X(ROUND, round(x))                                      \
    X(ROUND_EVEN, rint(x))                                  \
    X(EXP, exp(x))                                          \
    X(EXP2, exp2(x))                                        \
    X(EXPM1, expm1(x))                                      \
    X(LOG, log(x))                                          \
    X(LOG2, log2(x))                                        \
    X(LOG1P, log1p(x))                                      \
    X(SQRT, sqrt(x))                                        \
    X(RSQRT, 1 / sqrt(x))                                   \
    X(CBRT, cbrt(x))                                        \
    X(SIN, sin(x))                                          \
    X(COS, cos(x))                                          \
    X(TAN, tan(x))                                          \
    X(ASIN, asin(x))                                        \
    X(ACOS, acos(x))                                        \
    X(ATAN, atan(x))                                        \
    X(SINH, sinh(x))                                        \
    X(COSH, cosh(x))                                        \
    X(TANH, tanh(x))                                        \
    X(ASINH, asinh(x))                                      \
    X(ACOSH, acosh(x))                                      \
    X(ATANH, atanh(x))                                      \
    X(LOGISTIC, 1 / (1 + exp(-x)))                          \
    X(ERF, erf(x))                                          \
    X(ERFC, erfc(x))                                        \
    X(ERF_INV, erf_inv(x))                                  \
    X(LGAMMA, log_gamma(x))                                 \
    X(DIGAMMA, digamma(x))                                  \
    X(REAL, x)                                              \
    X(IMAG, 0 * t)                                          \
    X(ADD, x + y)                                           \
    X(SUB, x - y)                                           \
    X(MUL, x *y)                                            \
    X(DIV, x / y)                                           \
    X(REM, fmod(x, y))                                      \
    X(POW, pow(x, y))                                       \
    X(ATAN2, atan2(x, y))                                   \
    X(NEXTAFTER, next_after(t, x, y))                       \
    X(MAX, greater(x, y))                                   \
    X(MIN, lesser(x, y))                                    \
    X(CLAMP, lesser(greater(y, x), z))                      \
    X(FMA, t == TSR_F32 ? fmaf((float)x, (float)y, (float)z) : fma(x, y, z))

typedef double float_fn(tsr_dtype t, double x, double y, double z);
#define X(NAME, expr)                                                      \
    static double float_##NAME(tsr_dtype t, double x, double y, double z) { \
        (void)t, (void)x, (void)y, (void)z;                                \
        return expr;                                                       \
    }
FLOAT_LIST(X)
#undef X
static float_fn *const float_table[TSR_SCALAR_COUNT] = {
#define X(NAME, expr) [TSR_S_##NAME] = float_##NAME,
    FLOAT_LIST(X)
#undef X
};

/* ---- complex ---------------------------------------------------------------------------------------------------- */

typedef double complex cx;
static cx cx_make(double re, double im) {
    double part[2] = {re, im};
    cx z;
    memcpy(&z, part, sizeof z);
    return z;
}

static cx cx_mul(cx x, cx y) {
    double a = creal(x), b = cimag(x), c = creal(y), d = cimag(y);
    return cx_make(a * c - b * d, a * d + b * c);
}

/* C11 Annex G: x/0 and the quotients of infinite numbers have infinite or zero parts, as in StableHLO's compilers. */
static cx cx_div(cx x, cx y) { return x / y; }

static cx cx_sign(cx x) {
    if (isnan(creal(x)) || isnan(cimag(x))) return cx_make(NAN, NAN);
    double r = cabs(x);
    return r == 0 ? x : cx_make(creal(x) / r, cimag(x) / r);
}

static cx cx_expm1(cx x) {
    double a = creal(x), b = cimag(x), h = sin(b / 2);
    return cx_make(expm1(a) * cos(b) - 2 * h * h, b == 0 ? b : exp(a) * sin(b));
}

static cx cx_log1p(cx x) {
    double a = creal(x), b = cimag(x), im = atan2(b, 1 + a);
    return cx_make(fabs(a) < 0.5 && fabs(b) < 0.5 ? 0.5 * log1p(a * (2 + a) + b * b) : log(hypot(1 + a, b)), im);
}

/* Real operands with a real result take the real function. */
static cx cx_pow(cx x, cx y) {
    if (creal(y) == 0 && cimag(y) == 0) return 1;
    if (creal(x) == 0 && cimag(x) == 0 && creal(y) > 0) return 0;
    if (cimag(x) == 0 && cimag(y) == 0 && creal(x) >= 0) return pow(creal(x), creal(y));
    return cexp(cx_mul(y, clog(x)));
}

static bool cx_less(cx x, cx y) { return creal(x) < creal(y) || (creal(x) == creal(y) && cimag(x) < cimag(y)); }
static bool cx_nan(cx x) { return isnan(creal(x)) || isnan(cimag(x)); }
static cx cx_max(cx x, cx y) { return cx_nan(x) ? x : cx_nan(y) ? y : cx_less(x, y) ? y : x; }
static cx cx_min(cx x, cx y) { return cx_nan(x) ? x : cx_nan(y) ? y : cx_less(y, x) ? y : x; }

#define COMPLEX_LIST(X)                           \
    X(NEG, cx_make(-creal(x), -cimag(x)))         \
    X(ABS, cabs(x))                               \
    X(SIGN, cx_sign(x))                           \
    X(EXP, cexp(x))                               \
    X(EXPM1, cx_expm1(x))                         \
    X(LOG, clog(x))                               \
    X(LOG1P, cx_log1p(x))                         \
    X(SQRT, csqrt(x))                             \
    X(RSQRT, cx_div(1, csqrt(x)))                 \
    X(SIN, csin(x))                               \
    X(COS, ccos(x))                               \
    X(TAN, ctan(x))                               \
    X(TANH, ctanh(x))                             \
    X(LOGISTIC, cx_div(1, 1 + cexp(-x)))          \
    X(REAL, creal(x))                             \
    X(IMAG, cimag(x))                             \
    X(ADD, cx_make(creal(x) + creal(y), cimag(x) + cimag(y))) \
    X(SUB, cx_make(creal(x) - creal(y), cimag(x) - cimag(y))) \
    X(MUL, cx_mul(x, y))                          \
    X(DIV, cx_div(x, y))                          \
    X(POW, cx_pow(x, y))                          \
    X(MAX, cx_max(x, y))                          \
    X(MIN, cx_min(x, y))

typedef cx complex_fn(cx x, cx y);
#define X(NAME, expr)                      \
    static cx complex_##NAME(cx x, cx y) { \
        (void)x, (void)y;                  \
        return expr;                       \
    }
COMPLEX_LIST(X)
#undef X
static complex_fn *const complex_table[TSR_SCALAR_COUNT] = {
#define X(NAME, expr) [TSR_S_##NAME] = complex_##NAME,
    COMPLEX_LIST(X)
#undef X
};

/* ---- integers: w is the width in bits; signed values are wrapped to it after the function, unsigned ones masked - */

static uint64_t mask(int w) { return ~(uint64_t)0 >> (64 - w); }
static int64_t wrap(int64_t v, int w) { return (int64_t)((uint64_t)v << (64 - w)) >> (64 - w); }
static int leading_zeros(uint64_t bits, int w) { return bits ? __builtin_clzll(bits) - (64 - w) : w; }

static uint64_t power(uint64_t x, uint64_t n) {
    uint64_t r = 1;
    for (; n; n >>= 1, x *= x) {
        if (n & 1) r *= x;
    }
    return r;
}

static int64_t int_pow(int64_t x, int64_t n) {
    if (n >= 0) return (int64_t)power((uint64_t)x, (uint64_t)n);
    return x == 1 ? 1 : x == -1 ? (n & 1 ? -1 : 1) : 0;
}

#define SIGNED_LIST(X)                                                       \
    X(NEG, (int64_t)(0 - (uint64_t)x))                                       \
    X(ABS, x < 0 ? (int64_t)(0 - (uint64_t)x) : x)                           \
    X(SIGN, (x > 0) - (x < 0))                                               \
    X(NOT, ~x)                                                               \
    X(POPCNT, __builtin_popcountll((uint64_t)x &mask(w)))                    \
    X(CLZ, leading_zeros((uint64_t)x &mask(w), w))                           \
    X(ADD, (int64_t)((uint64_t)x + (uint64_t)y))                             \
    X(SUB, (int64_t)((uint64_t)x - (uint64_t)y))                             \
    X(MUL, (int64_t)((uint64_t)x * (uint64_t)y))                             \
    X(DIV, y == 0 ? -1 : y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y)       \
    X(REM, y == 0 ? x : y == -1 ? 0 : x % y)                                 \
    X(POW, int_pow(x, y))                                                    \
    X(MAX, x > y ? x : y)                                                    \
    X(MIN, x < y ? x : y)                                                    \
    X(AND, x &y)                                                             \
    X(OR, x | y)                                                             \
    X(XOR, x ^ y)                                                            \
    X(SHL, (uint64_t)y >= (uint64_t)w ? 0 : (int64_t)((uint64_t)x << y))     \
    X(SHR, (uint64_t)y >= (uint64_t)w ? (x < 0 ? -1 : 0) : x >> y)           \
    X(SHR_LOGICAL, (uint64_t)y >= (uint64_t)w ? 0 : (int64_t)(((uint64_t)x & mask(w)) >> y)) \
    X(CLAMP, (y > x ? y : x) < z ? (y > x ? y : x) : z)

#define UNSIGNED_LIST(X)                               \
    X(NEG, 0 - x)                                      \
    X(NOT, ~x)                                         \
    X(POPCNT, (uint64_t)__builtin_popcountll(x))       \
    X(CLZ, (uint64_t)leading_zeros(x, w))              \
    X(ADD, x + y)                                      \
    X(SUB, x - y)                                      \
    X(MUL, x *y)                                       \
    X(DIV, y == 0 ? ~(uint64_t)0 : x / y)              \
    X(REM, y == 0 ? x : x % y)                         \
    X(POW, power(x, y))                                \
    X(MAX, x > y ? x : y)                              \
    X(MIN, x < y ? x : y)                              \
    X(AND, x &y)                                       \
    X(OR, x | y)                                       \
    X(XOR, x ^ y)                                      \
    X(SHL, y >= (uint64_t)w ? 0 : x << y)              \
    X(SHR, y >= (uint64_t)w ? 0 : x >> y)              \
    X(SHR_LOGICAL, y >= (uint64_t)w ? 0 : x >> y)      \
    X(CLAMP, (y > x ? y : x) < z ? (y > x ? y : x) : z)

#define BOOL_LIST(X)       \
    X(NOT, !x)             \
    X(ADD, x | y)          \
    X(MUL, x &y)           \
    X(MAX, x | y)          \
    X(MIN, x &y)           \
    X(AND, x &y)           \
    X(OR, x | y)           \
    X(XOR, x ^ y)          \
    X(CLAMP, (x | y) & z)

#define INTEGER_TABLE(kind, T, LIST)                    \
    typedef T kind##_fn(int w, T x, T y, T z);          \
    LIST(DEFINE_##kind)                                 \
    static kind##_fn *const kind##_table[TSR_SCALAR_COUNT] = {LIST(ROW_##kind)};
#define DEFINE_INTEGER(kind, T, NAME, expr)              \
    static T kind##_##NAME(int w, T x, T y, T z) {       \
        (void)w, (void)x, (void)y, (void)z;              \
        return expr;                                     \
    }
#define DEFINE_signed(NAME, expr) DEFINE_INTEGER(signed, int64_t, NAME, expr)
#define DEFINE_unsigned(NAME, expr) DEFINE_INTEGER(unsigned, uint64_t, NAME, expr)
#define DEFINE_bool(NAME, expr) DEFINE_INTEGER(bool, uint64_t, NAME, expr)
#define ROW_signed(NAME, expr) [TSR_S_##NAME] = signed_##NAME,
#define ROW_unsigned(NAME, expr) [TSR_S_##NAME] = unsigned_##NAME,
#define ROW_bool(NAME, expr) [TSR_S_##NAME] = bool_##NAME,
INTEGER_TABLE(signed, int64_t, SIGNED_LIST)
INTEGER_TABLE(unsigned, uint64_t, UNSIGNED_LIST)
INTEGER_TABLE(bool, uint64_t, BOOL_LIST)

/* ---- comparisons and the whole ---------------------------------------------------------------------------------- */

#define COMPARE(fn, a, b)                                              \
    ((fn) == TSR_S_EQ          ? (a) == (b)                               \
            : (fn) == TSR_S_NE ? (a) != (b)                            \
            : (fn) == TSR_S_LT ? (a) < (b)                             \
            : (fn) == TSR_S_LE ? (a) <= (b)                            \
            : (fn) == TSR_S_GT ? (a) > (b)                             \
                               : (a) >= (b))

static bool compare(tsr_scalar fn, tsr_kind k, struct ref_val a, struct ref_val b) {
    if (k == TSR_KIND_COMPLEX) return (a.re == b.re && a.im == b.im) == (fn == TSR_S_EQ);
    if (k == TSR_KIND_FLOAT) return COMPARE(fn, a.re, b.re);
    return k == TSR_KIND_INT ? COMPARE(fn, a.i, b.i) : COMPARE(fn, a.u, b.u);
}

static struct ref_val by_kind(tsr_scalar fn, tsr_dtype t, const struct ref_val *v) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    if (d->kind == TSR_KIND_FLOAT && float_table[fn])
        return (struct ref_val){.re = float_table[fn](t, v[0].re, v[1].re, v[2].re)};
    if (d->kind == TSR_KIND_INT && signed_table[fn])
        return (struct ref_val){.i = wrap(signed_table[fn](d->bits, v[0].i, v[1].i, v[2].i), d->bits)};
    if (d->kind == TSR_KIND_UINT && unsigned_table[fn])
        return (struct ref_val){.u = unsigned_table[fn](d->bits, v[0].u, v[1].u, v[2].u) & mask(d->bits)};
    if (d->kind == TSR_KIND_BOOL && bool_table[fn])
        return (struct ref_val){.u = bool_table[fn](1, v[0].u, v[1].u, v[2].u) & 1};
    if (d->kind == TSR_KIND_COMPLEX && complex_table[fn]) {
        cx z = complex_table[fn](cx_make(v[0].re, v[0].im), cx_make(v[1].re, v[1].im));
        return (struct ref_val){.re = creal(z), .im = cimag(z)};
    }
    TSR_BUG("elementwise function %d does not admit %s", (int)fn, d->name);
}

static const int arity[TSR_SCALAR_COUNT] = {
#define X(NAME, text, n, result, domain, formula) n,
    TSR_SCALAR_LIST(X)
#undef X
};

struct ref_val ref_scalar(tsr_scalar fn, tsr_dtype t, const struct ref_val *operand) {
    struct ref_val v[3] = {{0}};
    for (int i = 0; i < arity[fn]; i++) v[i] = operand[i];
    switch (fn) {
    case TSR_S_SELECT: return v[0].u ? v[1] : v[2];
    case TSR_S_COMPLEX: return (struct ref_val){.re = v[0].re, .im = v[1].re};
    case TSR_S_IS_FINITE: return (struct ref_val){.u = isfinite(v[0].re) != 0};
    case TSR_S_EQ: case TSR_S_NE: case TSR_S_LT: case TSR_S_LE: case TSR_S_GT: case TSR_S_GE:
        return (struct ref_val){.u = compare(fn, tsr_dtype_of(t)->kind, v[0], v[1])};
    default: return by_kind(fn, t, v);
    }
}
