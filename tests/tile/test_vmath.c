/* test_vmath.c: how many units in the last place the float functions of vmath.h are off, against the C library in the
 * next wider format (f32 against double, f64 against long double), through the kernels of every ISA level that this
 * machine has.
 *
 * Samples: every STRIDE-th bit pattern of f32 from a random start, so all exponents, both signs, subnormals, infinities
 * and NaNs; for f64 random bit patterns and random values in the ranges where a function does something; for both, the
 * neighbours of special points. NaN passes only where the oracle says NaN; zeros must have the oracle's sign. The
 * greatest error is printed. Built with -DVMATH_STRIDE=1 the f32 part visits every bit pattern. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "tile/vm_kernels.h"

#ifndef VMATH_STRIDE
#define VMATH_STRIDE 997
#endif
#define BLOCK 1024

typedef long double real;

/* ---- oracles that libm lacks ----------------------------------------------------------------------------------- */

static real logisticl(real x) { return 1 / (1 + expl(-x)); }
static real rsqrtl(real x) { return 1 / sqrtl(x); }
static double logistic(double x) { return 1 / (1 + exp(-x)); }
static double rsqrt(double x) { return 1 / sqrt(x); }
static double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
static real signl(real x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

/* psi near its positive zero: Taylor's series there, the zero in two parts. */
static real digamma_near_zero(real x) {
    static const real taylor[] = {
        0.9676722454476211704274448L, -0.4427631689835921060928653L, 0.2584997609556510106244014L,
        -0.1639427054424065275042513L, 0.1078240506912623657571829L, -0.07219956125645471092612178L,
        0.04880428816414310722509253L, -0.0331611264748473592922584L, 0.02259764823221810465962483L,
        -0.01542476590494895913880032L};
    real d = (x - (real)1.4616321449683622) - (real)9.549995429965697e-17, sum = 0;
    for (int k = 9; k >= 0; k--) sum = sum * d + taylor[k];
    return sum * d;
}

/* psi by recurrence to x >= 40 and ten terms of the asymptotic series; reflection on the left. */
static real digammal(real x) {
    static const real bernoulli[] = {1.0L / 6, -1.0L / 30, 1.0L / 42, -1.0L / 30, 5.0L / 66, -691.0L / 2730, 7.0L / 6,
        -3617.0L / 510};
    if (x <= 0) {
        real part = x - rintl(x);
        if (isinf(x) || part == 0) return NAN;
        return digammal(1 - x) - acosl(-1) / tanl(acosl(-1) * part);
    }
    if (fabsl(x - 1.4616321449683622L) < 0.01L) return digamma_near_zero(x);
    real sum = 0, power = 1;
    for (; x < 40; x += 1) sum -= 1 / x;
    sum += logl(x) - 1 / (2 * x);
    for (int k = 0; k < 8; k++) sum -= bernoulli[k] / (2 * (k + 1)) * (power /= x * x);
    return sum;
}
static double digamma(double x) { return (double)digammal(x); }

/* Bisection would do; Newton on the side where the function is well conditioned is faster. */
static real erf_invl(real x) {
    real a = fabsl(x), y, rest = 1 - a;
    if (!(a <= 1)) return NAN;
    if (a == 1) return copysignl(INFINITY, x);
    y = a < 0.9L ? a : sqrtl(-logl(rest));
    for (int i = 0; i < 40; i++) {
        real f = a < 0.5L ? erfl(y) - a : rest - erfcl(y),
            d = f * 0.886226925452758013649083741670572591L * expl(y * y);
        y -= d / (1 + y * d);
        if (fabsl(d) < 1e-18L * y) break;
    }
    return copysignl(y, x);
}
static double erf_inv(double x) { return (double)erf_invl(x); }

/* ---- the table ------------------------------------------------------------------------------------------------- */

struct row {
    tsr_scalar fn;
    double (*narrow)(double);
    real (*wide)(real);
    double ulp32, ulp64; /* allowed; 0 is exact */
    double lo, hi;       /* where half of the f64 samples lie */
    int sparse;          /* an expensive oracle: this many times fewer samples */
    /* f64: for negative arguments, and digamma away from its zero, an error below this (times max(1, ln |x|,
     * |result|)) passes: differences that are not exact */
    double absolute;
};
#define ROW(NAME, f, ulp32, ulp64, lo, hi) {TSR_S_##NAME, f, f##l, ulp32, ulp64, lo, hi, 1, 0}
static const struct row rows[] = {
    ROW(ABS, fabs, 0, 0, -2, 2),
    ROW(SIGN, sign, 0, 0, -2, 2),
    ROW(CEIL, ceil, 0, 0, -9, 9),
    ROW(FLOOR, floor, 0, 0, -9, 9),
    ROW(ROUND, round, 0, 0, -9, 9),
    ROW(ROUND_EVEN, rint, 0, 0, -9, 9),
    ROW(EXP, exp, 2, 2, -746, 711),
    ROW(EXP2, exp2, 2, 2, -1076, 1025),
    ROW(EXPM1, expm1, 2, 4, -5, 5),
    ROW(LOG, log, 2, 2, 0, 4),
    ROW(LOG2, log2, 2, 4, 0, 4),
    ROW(LOG1P, log1p, 2, 4, -1, 3),
    ROW(SQRT, sqrt, 0.5001, 0.5001, 0, 4),
    ROW(RSQRT, rsqrt, 2, 2, 0, 4),
    ROW(CBRT, cbrt, 2, 2, -9, 9),
    ROW(SIN, sin, 2, 2, -9, 9),
    ROW(COS, cos, 2, 2, -9, 9),
    ROW(TAN, tan, 2, 4, -9, 9),
    ROW(ASIN, asin, 2, 4, -1, 1),
    ROW(ACOS, acos, 2, 4, -1, 1),
    ROW(ATAN, atan, 2, 4, -5, 5),
    ROW(SINH, sinh, 2, 4, -711, 711),
    ROW(COSH, cosh, 2, 4, -711, 711),
    ROW(TANH, tanh, 2, 4, -3, 3),
    ROW(ASINH, asinh, 2, 4, -5, 5),
    ROW(ACOSH, acosh, 2, 4, 1, 9),
    ROW(ATANH, atanh, 2, 4, -1, 1),
    ROW(LOGISTIC, logistic, 2, 4, -40, 40),
    ROW(ERF, erf, 2, 4, -4, 4),
    ROW(ERFC, erfc, 2, 4, -6, 28),
    {TSR_S_ERF_INV, erf_inv, erf_invl, 2, 4, -1, 1, 50, 0},
    {TSR_S_LGAMMA, lgamma, lgammal, 2, 8, -30, 30, 1, 4e-15},
    {TSR_S_DIGAMMA, digamma, digammal, 2, 8, -30, 30, 50, 4e-15},
};

/* |got - want| in units of the last place of want as a float of `digits` bits and least exponent `least`. */
static double ulps(real got, real want, int digits, int least) {
    int e;
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (got == want) return want == 0 && signbit(got) != signbit(want) ? INFINITY : 0;
    if (isinf(got) && !isinf(want)) { /* overflow: the infinity stands for the power of two above the range */
        real bound = ldexpl(1, digits == 24 ? 128 : 1024);
        return signbit(got) != signbit(want) ? INFINITY : (double)(fmaxl(bound - fabsl(want), 0) / ldexpl(bound,
            -digits));
    }
    if (isinf(got) || isinf(want)) return INFINITY;
    frexpl(want, &e);
    if (e - digits < least) e = least + digits;
    return (double)(fabsl(got - want) / ldexpl(1, e - digits));
}

struct worst {
    double ulps, at, got, want;
};

static void worse(struct worst *w, double u, double at, double got, double want) {
    if (u > w->ulps) *w = (struct worst){u, at, got, want};
}

static void report(tsr_scalar fn, const char *type, enum cpu_isa isa, const struct worst *w, double allowed) {
    static const char *const names[] = {
#define X(name, text, ...) text,
        TSR_SCALAR_LIST(X)
#undef X
    };
    test_case("%s %s %s", names[fn], type, cpu_isa_name(isa));
    CHECK_MSG(w->ulps <= allowed, "%s %s %s: %.3f ulp at %a (%.9g): got %a, want %a", names[fn], type,
        cpu_isa_name(isa), w->ulps, w->at, w->at,
              w->got, w->want);
    if (allowed > 0) printf("    %-10s %s %-8s %8.3f ulp at %.9g\n", names[fn], type, cpu_isa_name(isa), w->ulps,
        w->at);
}

/* ---- f32 ------------------------------------------------------------------------------------------------------- */

static void check32(const struct row *r, size_t n, const float *x, struct worst *w) {
    double want[BLOCK];
    float got[BLOCK];
    for (size_t i = 0; i < n; i++) want[i] = r->narrow((double)x[i]);
    for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
        memset(got, 0xa5, sizeof got);
        vm_elem_find((enum cpu_isa)isa, r->fn, TSR_F32)(n, got, x, NULL, NULL, 0);
        for (size_t i = 0; i < n; i++) {
            if (got[i] == (float)want[i] && got[i] != 0) {
                double u = w[isa].ulps < 0.6 ? ulps(got[i], want[i], 24, -149) : 0; /* half an ulp at most */
                worse(&w[isa], u, (double)x[i], (double)got[i], want[i]);
            } else {
                worse(&w[isa], ulps(got[i], want[i], 24, -149), (double)x[i], (double)got[i], want[i]);
            }
        }
    }
}

static const double specials[] = {0, 1, 2, 3, 0.5, 0.25, 0.625, 4, 8, 10, 22, 40, 89, 87.33654475, 88.72283905,
    103.97208, 104, 128, 149, 150, 709.782712893384,
                                  745.1332191019412, 1e-20, 1e-310, 1e-45, 1.17549435e-38, 2.2250738585072014e-308,
                                      1e300, 3.4e38, 8192, 500000, 1e22,
                                  0.7853981633974483, 1.5707963267948966, 3.141592653589793, 6.283185307179586,
                                      0.70710678118654752, 1.4142135623730951,
                                  1.4616321449683622, 2.4570247382208, 0.41421356237309503, 2.414213562373095,
                                      16777216, 9007199254740992.0, 5, 6, 7, 12, 13, 1.5, 2.5};

TEST(vmath_f32_ulp) {
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct worst w[CPU_ISA_COUNT] = {{0}};
        float x[BLOCK];
        size_t n = 0;
        uint64_t stride = (uint64_t)VMATH_STRIDE * (uint64_t)(VMATH_STRIDE == 1 ? 1 : rows[k].sparse);
        for (uint64_t u = (uint64_t)test_int(0, (int64_t)stride - 1); u <= UINT32_MAX; u += stride) {
            uint32_t bits = (uint32_t)u;
            memcpy(&x[n++], &bits, 4);
            if (n == BLOCK || u + stride > UINT32_MAX) check32(&rows[k], n, x, w), n = 0;
        }
        for (size_t s = 0; s < sizeof specials / sizeof *specials; s++) {
            for (int step = 0; step < 10; step++) {
                x[step] = (float)(step % 2 ? -specials[s] : specials[s]);
                for (int j = 0; j < step / 4; j++) x[step] = nextafterf(x[step], step / 2 % 2 ? INFINITY : -INFINITY);
            }
            check32(&rows[k], 10, x, w);
        }
        check32(&rows[k], 3, (float[]){INFINITY, -INFINITY, NAN}, w);
        for (int isa = 0; isa <= (int)cpu_isa(); isa++) report(rows[k].fn, "f32", (enum cpu_isa)isa, &w[isa],
            rows[k].ulp32);
    }
}

/* ---- f64 ------------------------------------------------------------------------------------------------------- */

static void check64(const struct row *r, size_t n, const double *x, struct worst *w) {
    real want[BLOCK];
    double got[BLOCK];
    for (size_t i = 0; i < n; i++) want[i] = r->wide((real)x[i]);
    for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
        memset(got, 0xa5, sizeof got);
        vm_elem_find((enum cpu_isa)isa, r->fn, TSR_F64)(n, got, x, NULL, NULL, 0);
        for (size_t i = 0; i < n; i++) {
            double u = ulps((real)got[i], want[i], 53, -1074);
            bool cancels = x[i] < 0 || (r->fn == TSR_S_DIGAMMA && fabs(x[i] - 1.46163) > 0.12);
            real enough = cancels ? r->absolute * fmaxl(fmaxl(1, log1p(fabs(x[i]))), fabsl(want[i])) : 0;
            if (fabsl((real)got[i] - want[i]) < enough) u = 0;
            worse(&w[isa], u, x[i], got[i], (double)want[i]);
        }
    }
}

static double any_double(void) {
    double d;
    uint64_t u = (uint64_t)test_int(0, UINT32_MAX) << 32 | (uint64_t)test_int(0, UINT32_MAX);
    memcpy(&d, &u, sizeof d);
    return d;
}

TEST(vmath_f64_ulp) {
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        const struct row *r = &rows[k];
        struct worst w[CPU_ISA_COUNT] = {{0}};
        double x[BLOCK];
        for (int turn = 0; turn < 200 / r->sparse + 4; turn++) {
            for (int i = 0; i < BLOCK; i++) {
                double t = test_uniform(r->lo, r->hi);
                x[i] = i % 4 < 2 ? t : i % 4 == 2 ? any_double() : t * ldexp(1, (int)test_int(-60, 0));
            }
            check64(r, BLOCK, x, w);
        }
        for (size_t s = 0; s < sizeof specials / sizeof *specials; s++) {
            for (int step = 0; step < 10; step++) {
                x[step] = step % 2 ? -specials[s] : specials[s];
                for (int j = 0; j < step / 4; j++) x[step] = nextafter(x[step], step / 2 % 2 ? INFINITY : -INFINITY);
            }
            check64(r, 10, x, w);
        }
        check64(r, 3, (double[]){INFINITY, -INFINITY, NAN}, w);
        for (int isa = 0; isa <= (int)cpu_isa(); isa++) report(r->fn, "f64", (enum cpu_isa)isa, &w[isa], r->ulp64);
    }
}

/* ---- two operands ----------------------------------------------------------------------------------------------- */

/* pow and atan2 of f64 against long double; of f32 against long double, too. */
TEST(vmath_binary_ulp) {
    static const struct { tsr_scalar fn; real (*wide)(real, real); double ulp64; } two[] = {
        {TSR_S_POW, powl, 2}, {TSR_S_ATAN2, atan2l, 3},
    };
    for (size_t k = 0; k < sizeof two / sizeof *two; k++) {
        struct worst w[CPU_ISA_COUNT] = {{0}}, w32[CPU_ISA_COUNT] = {{0}};
        double x[BLOCK], y[BLOCK], got[BLOCK];
        float x32[BLOCK], y32[BLOCK], got32[BLOCK];
        for (int turn = 0; turn < 200; turn++) {
            for (int i = 0; i < BLOCK; i++) {
                x[i] = i % 4 == 3 ? any_double() : test_uniform(-2, 9) * ldexp(1, (int)test_int(-20, 20));
                y[i] = i % 4 == 3 ? any_double() : test_uniform(-9, 9) * ldexp(1, (int)test_int(-20, 5));
                if (i % 8 == 0) y[i] = rint(y[i]);
                x32[i] = (float)x[i], y32[i] = (float)y[i];
            }
            for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
                vm_elem_find((enum cpu_isa)isa, two[k].fn, TSR_F64)(BLOCK, got, x, y, NULL, 0);
                vm_elem_find((enum cpu_isa)isa, two[k].fn, TSR_F32)(BLOCK, got32, x32, y32, NULL, 0);
                for (int i = 0; i < BLOCK; i++) {
                    real want = two[k].wide(x[i], y[i]), want32 = two[k].wide(x32[i], y32[i]);
                    worse(&w[isa], ulps((real)got[i], want, 53, -1074), x[i], got[i], (double)want);
                    worse(&w32[isa], ulps((real)got32[i], want32, 24, -149), (double)x32[i], (double)got32[i],
                        (double)want32);
                }
            }
        }
        for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
            report(two[k].fn, "f64", (enum cpu_isa)isa, &w[isa], two[k].ulp64);
            report(two[k].fn, "f32", (enum cpu_isa)isa, &w32[isa], 1);
        }
    }
}
