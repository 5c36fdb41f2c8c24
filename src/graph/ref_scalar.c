/* ref_scalar.c: the elementwise functions of scalar.h on one element: the definition that every faster tier is held to.
 *
 * One list for each kind of operand: floats, complex numbers by textbook formulas, signed and unsigned
 * integers in 64 bits wrapped to their width, truth values. Comparisons give .u = 0 or 1. A function that the dtype
 * does not admit is a broken invariant, not an input error: type rules refused it before.
 *
 * Arithmetic is f64's. Transcendental functions are computed in long double and rounded once: right to half a unit in
 * nearly every case where long double has 64 bits of significand or more, also for complex numbers whose parts cancel;
 * as good as the C library where it has not.
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

static const long double PI = 3.141592653589793238462643383279502884L;

static long double log_gamma(long double x) {
    int sign;
    return lgammal_r(x, &sign);
}

static long double digamma_positive(long double x) {
    long double below = 0;
    for (; x < 24; x++) below += 1 / x;
    long double z = 1 / (x * x); /* Bernoulli numbers B_2k / 2k */
    long double tail = 1.L / 240 - z * (1.L / 132 - z * (691.L / 32760 - z / 12));
    tail = z * (1.L / 12 - z * (1.L / 120 - z * (1.L / 252 - z * tail)));
    return logl(x) - 0.5L / x - tail - below;
}

/* Poles at 0, -1, -2, ... give NaN: the two sides disagree in sign. */
static long double digamma(long double x) {
    if (isnan(x) || x == -INFINITY || (x <= 0 && x == floorl(x))) return NAN;
    if (x == INFINITY) return x;
    if (x > 0) return digamma_positive(x);
    return digamma_positive(1 - x) - PI / tanl(PI * (x - rintl(x)));
}

static long double erf_inv_start(long double x) {
    const long double a = 0.147L;
    long double l = log1pl(-x * x), b = 2 / (PI * a) + l / 2;
    return sqrtl(sqrtl(b * b - l / a) - b);
}

static long double erf_inv(long double x) {
    long double ax = fabsl(x);
    if (!(ax < 1)) return ax == 1 ? copysignl(INFINITY, x) : NAN;
    if (ax < 1e-10L) return x * (sqrtl(PI) / 2);
    long double y = erf_inv_start(ax);
    for (int turn = 0; turn < 5; turn++) {
        long double slope = 2 / sqrtl(PI) * expl(-y * y);
        if (ax < 0.5L) y -= (erfl(y) - ax) / slope;
        else y += erfcl(y) / slope * logl(erfcl(y) / (1 - ax));
    }
    return copysignl(y, x);
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
    X(EXP, (double)expl(x))                                 \
    X(EXP2, (double)exp2l(x))                               \
    X(EXPM1, (double)expm1l(x))                             \
    X(LOG, (double)logl(x))                                 \
    X(LOG2, (double)log2l(x))                               \
    X(LOG1P, (double)log1pl(x))                             \
    X(SQRT, sqrt(x))                                        \
    X(RSQRT, (double)(1 / sqrtl(x)))                        \
    X(CBRT, (double)cbrtl(x))                               \
    X(SIN, (double)sinl(x))                                 \
    X(COS, (double)cosl(x))                                 \
    X(TAN, (double)tanl(x))                                 \
    X(ASIN, (double)asinl(x))                               \
    X(ACOS, (double)acosl(x))                               \
    X(ATAN, (double)atanl(x))                               \
    X(SINH, (double)sinhl(x))                               \
    X(COSH, (double)coshl(x))                               \
    X(TANH, (double)tanhl(x))                               \
    X(ASINH, (double)asinhl(x))                             \
    X(ACOSH, (double)acoshl(x))                             \
    X(ATANH, (double)atanhl(x))                             \
    X(LOGISTIC, (double)(1 / (1 + expl(-(long double)x))))  \
    X(ERF, (double)erfl(x))                                 \
    X(ERFC, (double)erfcl(x))                               \
    X(ERF_INV, (double)erf_inv(x))                          \
    X(LGAMMA, (double)log_gamma(x))                         \
    X(DIGAMMA, (double)digamma(x))                          \
    X(REAL, x)                                              \
    X(IMAG, 0 * t)                                          \
    X(ADD, x + y)                                           \
    X(SUB, x - y)                                           \
    X(MUL, x *y)                                            \
    X(DIV, x / y)                                           \
    X(REM, fmod(x, y))                                      \
    X(POW, (double)powl(x, y))                              \
    X(ATAN2, (double)atan2l(x, y))                          \
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

typedef long double complex wide;
static wide wide_make(long double re, long double im) {
    long double part[2] = {re, im};
    wide z;
    memcpy(&z, part, sizeof z);
    return z;
}
static cx narrow(wide z) { return cx_make((double)creall(z), (double)cimagl(z)); }

static bool wide_finite(wide z) { return isfinite(creall(z)) && isfinite(cimagl(z)); }

/* a b + c d with the errors of the products and of the sum: no digits are lost where the products cancel. */
static long double sum_of_products(double a, double b, double c, double d) {
    long double p = (long double)a * b, q = (long double)c * d, s = p + q, t = s - p;
    long double lost = (p - (s - t)) + (q - t);
    return s + (fmal(a, b, -p) + fmal(c, d, -q) + lost);
}

/* C11 Annex G: x/0 and the quotients of infinite numbers have infinite or zero parts, as in StableHLO's compilers. */
static cx cx_div(cx x, cx y) {
    double a = creal(x), b = cimag(x), c = creal(y), d = cimag(y);
    long double m = sum_of_products(c, c, d, d);
    wide q = wide_make(sum_of_products(a, c, b, d) / m, sum_of_products(b, c, -a, d) / m);
    return wide_finite(q) ? narrow(q) : x / y;
}
static cx cx_rsqrt(cx x) {
    wide q = 1 / csqrtl(x);
    return wide_finite(q) ? narrow(q) : 1 / csqrt(x);
}

static cx cx_sign(cx x) {
    if (isnan(creal(x)) || isnan(cimag(x))) return cx_make(NAN, NAN);
    long double r = cabsl(x);
    return r == 0 ? x : cx_make((double)(creal(x) / r), (double)(cimag(x) / r));
}

static cx cx_expm1(cx x) {
    long double a = creal(x), b = cimag(x), h = sinl(b / 2);
    if (b == 0) return cx_make(expm1(creal(x)), cimag(x));
    if (!isfinite(cimag(x)) || !(a < 700)) return narrow(cexpl(x));
    return cx_make((double)(expm1l(a) * cosl(b) - 2 * h * h), (double)(expl(a) * sinl(b)));
}

/* ln |1 + z| = ln(1 + 2x + x^2 + y^2) / 2 for small x. */
static cx cx_log1p(cx x) {
    long double a = creal(x), b = cimag(x);
    bool near = fabsl(a) < 0x1p-10L && fabsl(b) < 4; /* 1 + a may not be exact */
    wide l = clogl(wide_make(1 + a, b));
    return cx_make((double)(near ? log1pl(a * (2 + a) + b * b) / 2 : creall(l)), (double)cimagl(l));
}

/* 1 / (1 + e^-z) with the denominator's modulus as a sum of squares: near its poles 1 + e^-z cancels. */
static cx cx_logistic(cx x) {
    bool left = creal(x) < 0;
    long double t = expl(-fabsl((long double)creal(x))), u = expm1l(-fabsl((long double)creal(x))), b = cimag(x),
        h = cosl(b / 2), d = u * u + 4 * t * h * h;
    if (isinf(creal(x))) return cx_make(left ? 0 : 1, 0);
    long double top = left ? t * (2 * h * h + u) : 2 * t * h * h - u; /* t (t + cos b), 1 + t cos b */
    return cx_make((double)(top / d), b == 0 ? cimag(x) : (double)(t * sinl(b) / d));
}

/* Real operands with a real result take the real function. */
static cx cx_pow(cx x, cx y) {
    if (creal(y) == 0 && cimag(y) == 0) return 1;
    if (creal(x) == 0 && cimag(x) == 0 && creal(y) > 0) return 0;
    if (cimag(x) == 0 && cimag(y) == 0 && creal(x) >= 0) return pow(creal(x), creal(y));
    wide l = clogl(x);
    long double a = creal(y), b = cimag(y);
    return narrow(cexpl(wide_make(a * creall(l) - b * cimagl(l), a * cimagl(l) + b * creall(l))));
}

static bool cx_less(cx x, cx y) { return creal(x) < creal(y) || (creal(x) == creal(y) && cimag(x) < cimag(y)); }
static bool cx_nan(cx x) { return isnan(creal(x)) || isnan(cimag(x)); }
static cx cx_max(cx x, cx y) { return cx_nan(x) ? x : cx_nan(y) ? y : cx_less(x, y) ? y : x; }
static cx cx_min(cx x, cx y) { return cx_nan(x) ? x : cx_nan(y) ? y : cx_less(y, x) ? y : x; }

#define COMPLEX_LIST(X)                                        \
    X(NEG, cx_make(-creal(x), -cimag(x)))                      \
    X(ABS, (double)cabsl(x))                                   \
    X(SIGN, cx_sign(x))                                        \
    X(EXP, narrow(cexpl(x)))                                   \
    X(EXPM1, cx_expm1(x))                                      \
    X(LOG, narrow(clogl(x)))                                   \
    X(LOG1P, cx_log1p(x))                                      \
    X(SQRT, narrow(csqrtl(x)))                                 \
    X(RSQRT, cx_rsqrt(x))                                      \
    X(SIN, narrow(csinl(x)))                                   \
    X(COS, narrow(ccosl(x)))                                   \
    X(TAN, narrow(ctanl(x)))                                   \
    X(ASIN, narrow(casinl(x)))                                 \
    X(ACOS, narrow(cacosl(x)))                                 \
    X(ATAN, narrow(catanl(x)))                                 \
    X(SINH, narrow(csinhl(x)))                                 \
    X(COSH, narrow(ccoshl(x)))                                 \
    X(TANH, narrow(ctanhl(x)))                                 \
    X(ASINH, narrow(casinhl(x)))                               \
    X(ACOSH, narrow(cacoshl(x)))                               \
    X(ATANH, narrow(catanhl(x)))                               \
    X(LOGISTIC, cx_logistic(x))                                \
    X(REAL, creal(x))                                          \
    X(IMAG, cimag(x))                                          \
    X(ADD, cx_make(creal(x) + creal(y), cimag(x) + cimag(y)))  \
    X(SUB, cx_make(creal(x) - creal(y), cimag(x) - cimag(y)))  \
    X(MUL, cx_mul(x, y))                                       \
    X(DIV, cx_div(x, y))                                       \
    X(POW, cx_pow(x, y))                                       \
    X(MAX, cx_max(x, y))                                       \
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
