/* test_vm_elem.c: every elementwise kernel and every cast of the tile VM against a plain scalar oracle.
 *
 * The oracle holds each value in one wide struct (an integer, a long double pair) and applies scalar.h's definition to
 * it, then rounds to the dtype with dtype.h. Integer, bool, comparison and movement functions must agree exactly,
 * arithmetic of floats too (one rounding); the transcendental ones are held to a few units in the last place here and
 * to their bounds in test_vmath.c. Each kernel runs with every mixture of vector and repeated operands, lengths around
 * the chunk, in place, and on every ISA level; levels with FMA must give the same bits. */
#include <complex.h>
#include <math.h>

#include "harness.h"
#include "tile/vm_kernels.h"

#define MAX 600
typedef long double real;

struct value {
    __int128 i;
    real re, im;
};

struct info {
    const char *name, *domain;
    int arity;
    char result; /* S same, B bool, R real, C complex */
};
enum { SAME = 'S', BOOL = 'B', REAL = 'R', CPLX = 'C' };
static const struct info fns[] = {
#define X(id, name, arity, result, domain, formula) {name, domain, arity, result},
    TSR_SCALAR_LIST(X)
#undef X
};

static char letter(tsr_dtype t) {
    static const char letters[] = {[TSR_KIND_FLOAT] = 'f', [TSR_KIND_INT] = 'i', [TSR_KIND_UINT] = 'u',
        [TSR_KIND_BOOL] = 'b',
                                   [TSR_KIND_COMPLEX] = 'c', [TSR_KIND_BLOCK] = '-'};
    return tsr_dtype_of(t)->block > 1 ? '-' : letters[tsr_dtype_of(t)->kind]; /* i4, u4: held as i8, u8 */
}

static int bits_of(tsr_dtype t) { return tsr_dtype_of(t)->bits; }

static tsr_dtype real_of(tsr_dtype t) { return t == TSR_C64 ? TSR_F32 : t == TSR_C128 ? TSR_F64 : t; }

static tsr_dtype result_of(tsr_scalar fn, tsr_dtype t) {
    char r = (char)fns[fn].result;
    return r == BOOL ? TSR_BOOL : r == REAL ? real_of(t) : r == CPLX ? (t == TSR_F32 ? TSR_C64 : TSR_C128) : t;
}

/* ---- storage ---------------------------------------------------------------------------------------------------- */

static real load_float(tsr_dtype t, const void *p) {
    uint16_t h;
    float f;
    double d;
    switch (t) {
        case TSR_F64: memcpy(&d, p, 8); return d;
        case TSR_F32: memcpy(&f, p, 4); return f;
        case TSR_F16: memcpy(&h, p, 2); return tsr_f16_to_f32(h);
        case TSR_BF16: memcpy(&h, p, 2); return tsr_bf16_to_f32(h);
        case TSR_F8E4M3: return tsr_f8e4m3_to_f32(*(const uint8_t *)p);
        default: return tsr_f8e5m2_to_f32(*(const uint8_t *)p);
    }
}

/* x is exact in f64 or has been rounded to f32 already for the small types. */
static void store_float(tsr_dtype t, void *p, real x) {
    float f = (float)x;
    double d = (double)x;
    uint16_t h;
    switch (t) {
        case TSR_F64: memcpy(p, &d, 8); break;
        case TSR_F32: memcpy(p, &f, 4); break;
        case TSR_F16: h = tsr_f64_to_f16(d), memcpy(p, &h, 2); break;
        case TSR_BF16: h = tsr_f64_to_bf16(d), memcpy(p, &h, 2); break;
        case TSR_F8E4M3: *(uint8_t *)p = tsr_f64_to_f8e4m3(d); break;
        default: *(uint8_t *)p = tsr_f64_to_f8e5m2(d);
    }
}

static struct value load(tsr_dtype t, const void *p) {
    struct value v = {0, 0, 0};
    char k = letter(t);
    if (t == TSR_I4) k = 'i';
    if (t == TSR_U4) k = 'u';
    if (k == 'f') v.re = load_float(t, p);
    else if (k == 'c') {
        v.re = load_float(real_of(t), p);
        v.im = load_float(real_of(t), (const char *)p + tsr_dtype_of(t)->bytes / 2);
    } else {
        uint64_t u = 0;
        int n = tsr_dtype_of(t)->bytes;
        memcpy(&u, p, (size_t)n);
        v.i = k == 'i' ? (__int128)((int64_t)(u << (64 - 8 * n)) >> (64 - 8 * n)) : (__int128)u;
    }
    return v;
}

/* Integers wrap to the width of t. */
static void store(tsr_dtype t, void *p, struct value v) {
    char k = letter(t);
    if (k == 'f') store_float(t, p, v.re);
    else if (k == 'c') {
        store_float(real_of(t), p, v.re);
        store_float(real_of(t), (char *)p + tsr_dtype_of(t)->bytes / 2, v.im);
    } else {
        if (t == TSR_I4) v.i = (__int128)(((int)v.i & 15) ^ 8) - 8;
        if (t == TSR_U4) v.i &= 15;
        uint64_t u = (uint64_t)v.i;
        memcpy(p, &u, (size_t)tsr_dtype_of(t)->bytes);
    }
}

/* ---- oracles ---------------------------------------------------------------------------------------------------- */

static __int128 wrap(tsr_dtype t, __int128 x) {
    uint8_t b[8];
    store(t, b, (struct value){.i = x});
    return load(t, b).i;
}

static __int128 int_power(tsr_dtype t, __int128 x, __int128 n) {
    if (n < 0) return x == 1 ? 1 : x == -1 ? (n % 2 ? -1 : 1) : 0;
    __int128 r = 1, b = x;
    for (; n > 0; n /= 2, b = wrap(t, (__int128)((unsigned __int128)b * (unsigned __int128)b)))
        if (n % 2) r = wrap(t, (__int128)((unsigned __int128)r * (unsigned __int128)b));
    return r;
}

static __int128 int_oracle(tsr_scalar fn, tsr_dtype t, __int128 a, __int128 b, __int128 c) {
    int w = bits_of(t), n = 0;
    unsigned __int128 mask = ((unsigned __int128)1 << w) - 1, ua = (unsigned __int128)a & mask,
        ub = (unsigned __int128)b & mask;
    switch (fn) {
        case TSR_S_NEG: return -a;
        case TSR_S_ABS: return a < 0 ? -a : a;
        case TSR_S_SIGN: return (a > 0) - (a < 0);
        case TSR_S_NOT: return t == TSR_BOOL ? !a : ~a;
        case TSR_S_POPCNT: for (; ua; ua >>= 1) n += ua & 1; return n;
        case TSR_S_CLZ: for (n = w; ua; ua >>= 1) n--; return n;
        case TSR_S_ADD: return t == TSR_BOOL ? a | b : a + b;
        case TSR_S_SUB: return a - b;
        case TSR_S_MUL: return t == TSR_BOOL ? a & b : (__int128)(ua * ub);
        case TSR_S_DIV: return b == 0 ? -1 : a / b;
        case TSR_S_REM: return b == 0 ? a : a % b;
        case TSR_S_POW: return int_power(t, a, b);
        case TSR_S_MAX: return a > b ? a : b;
        case TSR_S_MIN: return a < b ? a : b;
        case TSR_S_AND: return a & b;
        case TSR_S_OR: return a | b;
        case TSR_S_XOR: return a ^ b;
        case TSR_S_SHL: return ub >= (unsigned)w ? 0 : (__int128)(ua << ub);
        case TSR_S_SHR: return ub >= (unsigned)w ? (a < 0 ? -1 : 0) : a >> ub;
        case TSR_S_SHR_LOGICAL: return ub >= (unsigned)w ? 0 : (__int128)(ua >> ub);
        case TSR_S_EQ: return a == b;
        case TSR_S_NE: return a != b;
        case TSR_S_LT: return a < b;
        case TSR_S_LE: return a <= b;
        case TSR_S_GT: return a > b;
        case TSR_S_GE: return a >= b;
        case TSR_S_SELECT: return a ? b : c;
        default: { __int128 x = a > b ? a : b; return x < c ? x : c; } /* clamp: lo, x, hi */
    }
}

static real max_oracle(real a, real b, int greater) {
    if (isnan(a) || isnan(b)) return NAN;
    if (a == b) return (signbit(a) != 0) == greater ? b : a;
    return (a > b) == greater ? a : b;
}

static real digamma_oracle(real x) { /* central difference is not enough: recurrence and series */
    real sum = 0;
    if (x <= 0) return x == rintl(x) || isinf(x) ? NAN : digamma_oracle(1 - x) - acosl(-1) / tanl(acosl(-1)
        * (x - rintl(x)));
    for (; x < 50; x += 1) sum -= 1 / x;
    real w = 1 / (x * x);
    return sum + logl(x) - 1 / (2 * x)
        - w * (1.0L / 12 - w * (1.0L / 120 - w * (1.0L / 252 - w * (1.0L / 240 - w / 132))));
}

static real erf_inv_oracle(real x) {
    real lo = -20, hi = 20, a = fabsl(x);
    if (!(a <= 1)) return NAN;
    if (a == 1) return copysignl(INFINITY, x);
    if (a < 1e-10L) return x * sqrtl(acosl(-1)) / 2;
    for (int i = 0; i < 90; i++) { /* bisection on the side of the tail */
        real mid = (lo + hi) / 2;
        if (a < 0.5L ? erfl(mid) < a : erfcl(mid) > 1 - a) lo = mid;
        else hi = mid;
    }
    return copysignl((lo + hi) / 2, x);
}

static real next_oracle(tsr_dtype t, real a, real b) {
    if (isnan(a) || isnan(b)) return NAN;
    if (t == TSR_F64) return nextafter((double)a, (double)b);
    if (t == TSR_F32) return nextafterf((float)a, (float)b);
    if (a == b) return b;
    uint16_t u = 0;
    store_float(t, &u, a == 0 ? copysignl(0, b) : a);
    u = (uint16_t)(u + (a == 0 ? 1 : (b > a) == (a > 0) ? 1 : -1)); /* codes of one sign are ordered as their values */
    return load_float(t, &u);
}

static real float_oracle(tsr_scalar fn, tsr_dtype t, real a, real b, real c) {
    switch (fn) {
        case TSR_S_NEG: return -a;
        case TSR_S_ABS: return fabsl(a);
        case TSR_S_SIGN: return a > 0 ? 1 : a < 0 ? -1 : a;
        case TSR_S_CEIL: return ceill(a);
        case TSR_S_FLOOR: return floorl(a);
        case TSR_S_ROUND: return roundl(a);
        case TSR_S_ROUND_EVEN: return rintl(a);
        case TSR_S_EXP: return expl(a);
        case TSR_S_EXP2: return exp2l(a);
        case TSR_S_EXPM1: return expm1l(a);
        case TSR_S_LOG: return logl(a);
        case TSR_S_LOG2: return log2l(a);
        case TSR_S_LOG1P: return log1pl(a);
        case TSR_S_SQRT: return sqrtl(a);
        case TSR_S_RSQRT: return 1 / sqrtl(a);
        case TSR_S_CBRT: return cbrtl(a);
        case TSR_S_SIN: return sinl(a);
        case TSR_S_COS: return cosl(a);
        case TSR_S_TAN: return tanl(a);
        case TSR_S_ASIN: return asinl(a);
        case TSR_S_ACOS: return acosl(a);
        case TSR_S_ATAN: return atanl(a);
        case TSR_S_SINH: return sinhl(a);
        case TSR_S_COSH: return coshl(a);
        case TSR_S_TANH: return tanhl(a);
        case TSR_S_ASINH: return asinhl(a);
        case TSR_S_ACOSH: return acoshl(a);
        case TSR_S_ATANH: return atanhl(a);
        case TSR_S_LOGISTIC: return 1 / (1 + expl(-a));
        case TSR_S_ERF: return erfl(a);
        case TSR_S_ERFC: return erfcl(a);
        case TSR_S_ERF_INV: return erf_inv_oracle(a);
        case TSR_S_LGAMMA: return lgammal(a);
        case TSR_S_DIGAMMA: return digamma_oracle(a);
        case TSR_S_REAL: return a;
        case TSR_S_IMAG: return 0;
        case TSR_S_ADD: return a + b;
        case TSR_S_SUB: return a - b;
        case TSR_S_MUL: return a * b;
        case TSR_S_DIV: return a / b;
        case TSR_S_REM: return fmodl(a, b);
        case TSR_S_POW: return powl(a, b);
        case TSR_S_ATAN2: return atan2l(a, b);
        case TSR_S_NEXTAFTER: return next_oracle(t, a, b);
        case TSR_S_MAX: return max_oracle(a, b, 1);
        case TSR_S_MIN: return max_oracle(a, b, 0);
        case TSR_S_CLAMP: return max_oracle(max_oracle(b, a, 1), c, 0);
        default: return t == TSR_F64 ? fma((double)a, (double)b, (double)c) : fmal(a, b, c); /* fma */
    }
}

static int float_test(tsr_scalar fn, real a, real b) {
    switch (fn) {
        case TSR_S_IS_FINITE: return isfinite(a);
        case TSR_S_EQ: return a == b;
        case TSR_S_NE: return a != b;
        case TSR_S_LT: return a < b;
        case TSR_S_LE: return a <= b;
        case TSR_S_GT: return a > b;
        default: return a >= b;
    }
}

static bool before(struct value a, struct value b) { return a.re < b.re || (a.re == b.re && a.im < b.im); }

static long double complex complex_of(struct value a) {
    union { long double part[2]; long double complex z; } u = {{a.re, a.im}};
    return u.z;
}

static struct value complex_oracle(tsr_scalar fn, struct value a, struct value b) {
    long double complex x = complex_of(a), y = complex_of(b), r = 0;
    switch (fn) {
        case TSR_S_NEG: r = -x; break;
        case TSR_S_SIGN: r = x == 0 ? x : x / cabsl(x); break;
        case TSR_S_EXP: r = cexpl(x); break;
        case TSR_S_EXPM1: r = cexpl(x) - 1; break;
        case TSR_S_LOG: r = clogl(x); break;
        case TSR_S_LOG1P: r = clogl(1 + x); break;
        case TSR_S_SQRT: r = csqrtl(x); break;
        case TSR_S_RSQRT: r = 1 / csqrtl(x); break;
        case TSR_S_SIN: r = csinl(x); break;
        case TSR_S_COS: r = ccosl(x); break;
        case TSR_S_TAN: r = ctanl(x); break;
        case TSR_S_ASIN: r = casinl(x); break;
        case TSR_S_ACOS: r = cacosl(x); break;
        case TSR_S_ATAN: r = catanl(x); break;
        case TSR_S_SINH: r = csinhl(x); break;
        case TSR_S_COSH: r = ccoshl(x); break;
        case TSR_S_TANH: r = ctanhl(x); break;
        case TSR_S_ASINH: r = casinhl(x); break;
        case TSR_S_ACOSH: r = cacoshl(x); break;
        case TSR_S_ATANH: r = catanhl(x); break;
        case TSR_S_LOGISTIC: r = 1 / (1 + cexpl(-x)); break;
        case TSR_S_ABS: r = cabsl(x); break;
        case TSR_S_REAL: r = creall(x); break;
        case TSR_S_IMAG: r = cimagl(x); break;
        case TSR_S_ADD: r = x + y; break;
        case TSR_S_SUB: r = x - y; break;
        case TSR_S_MUL: r = x * y; break;
        case TSR_S_DIV: r = x / y; break;
        case TSR_S_POW: r = cpowl(x, y); break;
        case TSR_S_MAX: return before(a, b) ? b : a;
        case TSR_S_MIN: return before(b, a) ? b : a;
        default: break;
    }
    return (struct value){0, creall(r), cimagl(r)};
}

/* The value of fn at operands a, b, c of dtype t, not yet rounded. */
static struct value oracle(tsr_scalar fn, tsr_dtype t, const struct value *v) {
    struct value a = v[0], b = v[1], c = v[2];
    char k = letter(t);
    if (fn == TSR_S_SELECT) return a.i ? b : c;
    if (fn == TSR_S_COMPLEX) return (struct value){0, a.re, b.re};
    if (k == 'c' && (fn == TSR_S_EQ || fn == TSR_S_NE)) return (struct value){(a.re == b.re && a.im == b.im)
        == (fn == TSR_S_EQ), 0, 0};
    if (k == 'c') return complex_oracle(fn, a, b);
    if (k == 'f' && fns[fn].result == BOOL) return (struct value){float_test(fn, a.re, b.re), 0, 0};
    if (k == 'f') return (struct value){0, float_oracle(fn, t, a.re, b.re, c.re), 0};
    return (struct value){int_oracle(fn, t, a.i, b.i, c.i), 0, 0};
}

/* ---- comparison ------------------------------------------------------------------------------------------------- */

/* Rounding a real to t: small floats compute in f32 and round a second time, so the oracle's result may be either
 * neighbour. */
static double float_error(tsr_dtype t, real got, real want) {
    static const int digits[] = {[TSR_F64] = 53, [TSR_F32] = 24, [TSR_F16] = 11, [TSR_BF16] = 8, [TSR_F8E4M3] = 4,
        [TSR_F8E5M2] = 3};
    static const int least[] = {[TSR_F64] = -1074, [TSR_F32] = -149, [TSR_F16] = -24, [TSR_BF16] = -133,
        [TSR_F8E4M3] = -9, [TSR_F8E5M2] = -16};
    char stored[8] = {0};
    int e;
    store_float(t, stored, t == TSR_F64 ? want : (real)(float)want);
    real rounded = load_float(t, stored);
    if (isnan(got) || isnan(rounded)) return isnan(got) && isnan(rounded) ? 0 : INFINITY;
    if (got == rounded) return got == 0 && !signbit(got) != !signbit(rounded) ? INFINITY : 0;
    if (isinf(got) || isinf(rounded)) return INFINITY;
    frexpl(want, &e);
    if (e - digits[t] < least[t]) e = least[t] + digits[t];
    return (double)(fabsl(got - want) / ldexpl(1, e - digits[t]));
}

/* Greatest allowed error in ulp: 0.5 where the machine's own operation is meant. */
static double allowed(tsr_scalar fn, tsr_dtype t) {
    static const tsr_scalar exact[] = {TSR_S_NEG, TSR_S_ABS, TSR_S_SIGN, TSR_S_CEIL, TSR_S_FLOOR, TSR_S_ROUND,
        TSR_S_ROUND_EVEN, TSR_S_SQRT, TSR_S_REAL, TSR_S_IMAG,
                                       TSR_S_ADD, TSR_S_SUB, TSR_S_MUL, TSR_S_DIV, TSR_S_REM, TSR_S_NEXTAFTER,
                                           TSR_S_MAX, TSR_S_MIN, TSR_S_CLAMP, TSR_S_FMA, TSR_S_COMPLEX, TSR_S_SELECT};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (exact[i] == fn) return 0.5001;
    return t == TSR_F64 ? 8 : t == TSR_F32 ? 2 : 1;
}

static bool agrees(tsr_scalar fn, tsr_dtype t, tsr_dtype out, struct value got, struct value want) {
    if (letter(out) == 'c' && fn != TSR_S_COMPLEX && fn != TSR_S_SELECT) { /* in the norm: one part may cancel */
        real size = hypotl(want.re, want.im), bound = (out == TSR_C64 ? 1e-6L : 1e-13L) * fmaxl(size, 1e-3L);
        if (fn == TSR_S_POW) bound *= 100;
        real most = out == TSR_C64 ? 3e38L : 1e308L;
        /* corners of complex functions are the suites' business */
        if (!(fabsl(want.re) < most) || !(fabsl(want.im) < most)) return true;
        return fabsl(got.re - want.re) <= bound && fabsl(got.im - want.im) <= bound;
    }
    if (letter(out) == 'c') return float_error(real_of(out), got.re, want.re) == 0 && float_error(real_of(out), got.im,
        want.im) == 0;
    if (letter(out) != 'f') return got.i == wrap(out, want.i);
    if ((fn == TSR_S_LGAMMA || fn == TSR_S_DIGAMMA) && fabsl(got.re - want.re) < (t == TSR_F64 ? 1e-14L : 1e-6L))
        return true;
    return float_error(out, got.re, want.re) <= (letter(t) == 'c' ? 2 : allowed(fn, t));
}

/* Equal bytes, or NaNs: the sign and payload of a NaN are not part of the contract. */
static bool same_bits(tsr_dtype t, const void *p, const void *q) {
    struct value a = load(t, p), b = load(t, q);
    bool re = isnan(a.re) ? isnan(b.re) : a.re == b.re && !signbit(a.re) == !signbit(b.re);
    bool im = isnan(a.im) ? isnan(b.im) : a.im == b.im && !signbit(a.im) == !signbit(b.im);
    return a.i == b.i && re && im;
}

/* ---- runs ------------------------------------------------------------------------------------------------------- */

/* A random value of t: small, huge, special. */
static void random_value(tsr_dtype t, void *p) {
    static const real specials[] = {0.0L, -0.0L, 1, -1, 0.5L, 2, 3, -3, INFINITY, -INFINITY, NAN, 65504, 1e-6L};
    struct value v = {0, 0, 0};
    int64_t how = test_int(0, 9);
    real part[2];
    for (int k = 0; k < 2; k++) part[k] = how == 0 && letter(t) != 'c' ? specials[test_int(0,
        12)] : how < 8 ? (real)test_uniform(-4, 4) : (real)test_uniform(-300, 300);
    v.re = part[0], v.im = part[1];
    v.i = how < 6 ? test_int(-9, 70) : (__int128)test_int(-2147483647, 2147483647) * (how < 8 ? 1 : test_int(1,
        2147483647) * 2);
    if (how == 9 && test_int(0, 3) == 0) v.i = t == TSR_I64 ? INT64_MIN : t == TSR_I32 ? INT32_MIN : t == TSR_I16
        ? INT16_MIN : INT8_MIN;
    if (t == TSR_BOOL) v.i = test_int(0, 1);
    store(t, p, v);
}

static char operand[3][MAX * 16], result[CPU_ISA_COUNT][MAX * 16];

static void run_case(tsr_scalar fn, tsr_dtype t, size_t n, unsigned scalar) {
    tsr_dtype out = result_of(fn, t), in[3] = {fn == TSR_S_SELECT ? TSR_BOOL : t, t, t};
    size_t size = (size_t)tsr_dtype_of(out)->bytes;
    for (int k = 0; k < fns[fn].arity; k++)
        for (size_t i = 0; i < n; i++) random_value(in[k], operand[k] + i * (size_t)tsr_dtype_of(in[k])->bytes);
    for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
        memset(result[isa], 0xa5, sizeof result[isa]);
        vm_elem_find((enum cpu_isa)isa, fn, t)(n, result[isa], operand[0], operand[1], operand[2], scalar);
        CHECK((uint8_t)result[isa][n * size] == 0xa5);
        for (size_t i = 0; i < n; i++) {
            struct value x[3] = {{0}};
            for (int k = 0; k < fns[fn].arity; k++)
                x[k] = load(in[k], operand[k] + (scalar >> k & 1 ? 0 : i) * (size_t)tsr_dtype_of(in[k])->bytes);
            struct value got = load(out, result[isa] + i * size), want = oracle(fn, t, x);
            if (!CHECK_MSG(agrees(fn, t, out, got, want),
                           "%s %s (%Lg,%Lg|%lld; %Lg,%Lg|%lld; %Lg) got %Lg,%Lg|%lld want %Lg,%Lg|%lld",
                           cpu_isa_name((enum cpu_isa)isa), tsr_dtype_name(t), x[0].re, x[0].im, (long long)x[0].i,
                           x[1].re, x[1].im, (long long)x[1].i, x[2].re, got.re, got.im, (long long)got.i, want.re,
                           want.im, (long long)want.i))
                return;
        }
    }
    for (size_t i = 0; i < n && (int)cpu_isa() >= CPU_AVX512; i++)
        if (!CHECK(same_bits(out, result[CPU_AVX2] + i * size, result[CPU_AVX512] + i * size))) break;
    if (out == t && scalar == 0 && in[0] == t) { /* in place */
        vm_elem_find(cpu_isa(), fn, t)(n, operand[0], operand[0], operand[1], operand[2], 0);
        for (size_t i = 0; i < n; i++)
            if (!CHECK(same_bits(t, operand[0] + i * size, result[cpu_isa()] + i * size))) break;
    }
}

TEST(vm_elem_every_function_and_dtype) {
    static const size_t lengths[] = {0, 1, 7, 255, 256, 257, 599};
    for (int fn = 0; fn < TSR_SCALAR_COUNT; fn++) {
        for (int t = 0; t < TSR_DTYPE_COUNT; t++) {
            bool admitted = strchr(fns[fn].domain, letter((tsr_dtype)t)) != NULL;
            /* no complex dtype of a small float */
            if (fn == TSR_S_COMPLEX && t != TSR_F32 && t != TSR_F64) admitted = false;
            test_case("%s %s", fns[fn].name, tsr_dtype_name((tsr_dtype)t));
            CHECK((vm_elem_find(cpu_isa(), (tsr_scalar)fn, (tsr_dtype)t) != NULL) == admitted);
            if (!admitted) continue;
            for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
                for (unsigned scalar = 0; scalar < 1u << fns[fn].arity; scalar++)
                    if (k == 6 || scalar == 0) run_case((tsr_scalar)fn, (tsr_dtype)t, lengths[k], scalar);
        }
    }
}

/* ---- casts ------------------------------------------------------------------------------------------------------ */

static struct value cast_oracle(tsr_dtype from, tsr_dtype to, struct value v) {
    char a = from == TSR_I4 ? 'i' : from == TSR_U4 ? 'u' : letter(from),
        b = to == TSR_I4 ? 'i' : to == TSR_U4 ? 'u' : letter(to);
    bool float_in = a == 'f' || a == 'c', float_out = b == 'f' || b == 'c';
    if (float_out) return float_in ? (struct value){0, v.re, a == 'c' ? v.im : 0} : (struct value){0, (real)v.i, 0};
    if (to == TSR_BOOL) return (struct value){float_in ? v.re != 0 || v.im != 0 : v.i != 0, 0, 0};
    if (!float_in) return v;
    __int128 one = 1, low = b == 'u' ? 0 : -(one << (bits_of(to) - 1)),
        high = b == 'u' ? (one << bits_of(to)) - 1 : (one << (bits_of(to) - 1)) - 1;
    return (struct value){isnan(v.re) ? 0 : v.re <= (real)low ? low : v.re >= (real)high ? high : (__int128)v.re, 0, 0};
}

TEST(vm_cast_every_pair) {
    for (int from = 0; from < TSR_DTYPE_COUNT; from++) {
        for (int to = 0; to < TSR_DTYPE_COUNT; to++) {
            bool has = tsr_dtype_of((tsr_dtype)from)->kind != TSR_KIND_BLOCK
                && tsr_dtype_of((tsr_dtype)to)->kind != TSR_KIND_BLOCK;
            test_case("%s to %s", tsr_dtype_name((tsr_dtype)from), tsr_dtype_name((tsr_dtype)to));
            CHECK((vm_cast_find(cpu_isa(), (tsr_dtype)from, (tsr_dtype)to) != NULL) == has);
            if (!has) continue;
            size_t in = (size_t)tsr_dtype_of((tsr_dtype)from)->bytes, out = (size_t)tsr_dtype_of((tsr_dtype)to)->bytes,
                n = 500;
            for (size_t i = 0; i < n; i++) random_value((tsr_dtype)from, operand[0] + i * in);
            for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
                vm_cast_find((enum cpu_isa)isa, (tsr_dtype)from, (tsr_dtype)to)(n, result[isa], operand[0]);
                for (size_t i = 0; i < n; i++) {
                    struct value x = load((tsr_dtype)from, operand[0] + i * in), want = cast_oracle((tsr_dtype)from,
                        (tsr_dtype)to, x);
                    char stored[16] = {0};
                    store((tsr_dtype)to, stored, want);
                    struct value got = load((tsr_dtype)to, result[isa] + i * out), w = load((tsr_dtype)to, stored);
                    bool same = got.i == w.i && (got.re == w.re || (isnan(got.re) && isnan(w.re)))
                        && (got.im == w.im || (isnan(got.im) && isnan(w.im)));
                    if (!CHECK_MSG(same, "%s: %Lg|%lld gave %Lg|%lld, want %Lg|%lld", cpu_isa_name((enum cpu_isa)isa),
                        x.re, (long long)x.i, got.re,
                                   (long long)got.i, w.re, (long long)w.i))
                        break;
                }
            }
        }
    }
}
