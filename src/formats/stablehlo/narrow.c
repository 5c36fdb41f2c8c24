/* narrow.c: rounding, encoding and decoding of one value of a narrow type (narrow.h).
 *
 * A float of the table with P mantissa bits and exponents from emin = 1 - bias on lies on multiples of
 * 2^(max(floor(log2 |v|), emin) - P); the rounding here is division by that quantum in f64, where all of it is exact.
 * Formats: OCP Microscaling Formats 1.0 (f4E2M1FN, f6E2M3FN, f6E3M2FN, f8E8M0FNU), IEEE-like f8E3M4 and f8E4M3,
 * the FNUZ types of Noune et al. 2022 (8-bit Numerical Formats for Deep Neural Networks); tf32 is the 19-bit format
 * of tensor cores. Corner cases agree with ml_dtypes, but for values between 2^-127 and 2^-126, which go to the nearer
 * of the two in f8E8M0FNU and always up there. */
#include <math.h>

#include "formats/stablehlo/narrow.h"

const struct narrow_format *narrow_format_of(enum hlo_elem e) {
    static const struct narrow_format none = {0}, format[HLO_ELEM_COUNT] = {
        [HLO_I2] = {NARROW_INT, 2, 1, 0, 0},
        [HLO_UI2] = {NARROW_INT, 2, 0, 0, 0},
        [HLO_F4E2M1FN] = {NARROW_FINITE, 2, 1, 1, 6},
        [HLO_F6E2M3FN] = {NARROW_FINITE, 2, 3, 1, 7.5},
        [HLO_F6E3M2FN] = {NARROW_FINITE, 3, 2, 3, 28},
        [HLO_F8E3M4] = {NARROW_IEEE, 3, 4, 3, 15.5},
        [HLO_F8E4M3] = {NARROW_IEEE, 4, 3, 7, 240},
        [HLO_F8E4M3FNUZ] = {NARROW_FNUZ, 4, 3, 8, 240},
        [HLO_F8E4M3B11FNUZ] = {NARROW_FNUZ, 4, 3, 11, 30},
        [HLO_F8E5M2FNUZ] = {NARROW_FNUZ, 5, 2, 16, 57344},
        [HLO_F8E8M0FNU] = {NARROW_SCALE, 8, 0, 127, 0x1p127},
        [HLO_TF32] = {NARROW_IEEE, 8, 10, 127, 0x1.ffcp127},
    };
    return e < HLO_ELEM_COUNT ? &format[e] : &none;
}

static double int_wrapped(const struct narrow_format *f, double v) {
    uint32_t bits = (uint32_t)(int32_t)v & ((1u << f->exponent) - 1);
    bool negative = f->mantissa && bits >> (f->exponent - 1);
    return (double)bits - (negative ? (double)(1u << f->exponent) : 0);
}

/* The nearer power of two; half way, the one with the even pattern. */
static double scale_rounded(double v) {
    if (!(v > 0) || isinf(v)) return NAN;
    if (v <= 0x1p-127) return 0x1p-127;
    int e;
    double m = frexp(v, &e); /* v = m 2^e, m in [1/2, 1) */
    bool up = m > 0.75 || (m == 0.75 && (e - 1 + 127) % 2);
    double r = ldexp(0.5, e + up);
    return r > 0x1p127 ? NAN : r;
}

double narrow_round(enum hlo_elem elem, double v) {
    const struct narrow_format *f = narrow_format_of(elem);
    if (f->kind == NARROW_NONE) return v;
    if (f->kind == NARROW_INT) return int_wrapped(f, v);
    if (f->kind == NARROW_SCALE) return scale_rounded(v);
    if (isnan(v)) return f->kind == NARROW_FINITE ? -0.0 : v;
    int e, emin = 1 - f->bias;
    frexp(v, &e); /* |v| in [2^(e-1), 2^e) */
    e = v == 0 || isinf(v) || e - 1 < emin ? emin : e - 1;
    double r = isinf(v) ? v : ldexp(rint(ldexp(v, f->mantissa - e)), e - f->mantissa);
    if (fabs(r) > f->greatest)
        r = f->kind == NARROW_FINITE ? copysign(f->greatest, v) : f->kind == NARROW_FNUZ ? NAN : copysign(INFINITY, v);
    return f->kind == NARROW_FNUZ && r == 0 ? 0.0 : r;
}

/* The pattern of NaN or an infinity. */
static uint32_t special_bits(const struct narrow_format *f, double r) {
    uint32_t sign = (uint32_t)(signbit(r) != 0) << (f->exponent + f->mantissa);
    uint32_t top = ((1u << f->exponent) - 1) << f->mantissa;
    if (f->kind == NARROW_SCALE) return 0xff;
    if (f->kind == NARROW_FNUZ) return 1u << (f->exponent + f->mantissa);
    return sign | top | (isnan(r) ? 1u << (f->mantissa - 1) : 0);
}

uint32_t narrow_encode(enum hlo_elem elem, double v) {
    const struct narrow_format *f = narrow_format_of(elem);
    double r = narrow_round(elem, v);
    if (f->kind == NARROW_NONE) return 0;
    if (f->kind == NARROW_INT) return (uint32_t)(int32_t)r & ((1u << f->exponent) - 1);
    if (isnan(r) || isinf(r)) return special_bits(f, r);
    int e, emin = 1 - f->bias;
    frexp(r, &e);
    e = r == 0 || e - 1 < emin ? emin : e - 1;
    if (f->kind == NARROW_SCALE) return (uint32_t)(ilogb(r) + f->bias);
    uint32_t sign = (uint32_t)(signbit(r) != 0) << (f->exponent + f->mantissa);
    uint32_t m = (uint32_t)ldexp(fabs(r), f->mantissa - e), one = 1u << f->mantissa; /* the leading one, where normal */
    return sign | (m < one ? m : m - one + ((uint32_t)(e - emin + 1) << f->mantissa));
}

double narrow_decode(enum hlo_elem elem, uint32_t bits) {
    const struct narrow_format *f = narrow_format_of(elem);
    if (f->kind == NARROW_NONE) return NAN;
    if (f->kind == NARROW_INT) return int_wrapped(f, (double)(bits & ((1u << f->exponent) - 1)));
    if (f->kind == NARROW_SCALE) return (bits & 0xff) == 0xff ? NAN : ldexp(1, (int)(bits & 0xff) - f->bias);
    uint32_t m = bits & ((1u << f->mantissa) - 1), e = bits >> f->mantissa & ((1u << f->exponent) - 1);
    double sign = bits >> (f->exponent + f->mantissa) & 1 ? -1 : 1;
    if (f->kind == NARROW_FNUZ && sign < 0 && !m && !e) return NAN;
    if (f->kind == NARROW_IEEE && e == (1u << f->exponent) - 1) return m ? NAN : sign * INFINITY;
    double value = e ? ldexp((double)(m + (1u << f->mantissa)), (int)e - f->bias - f->mantissa)
                     : ldexp((double)m, 1 - f->bias - f->mantissa);
    return sign * value;
}
