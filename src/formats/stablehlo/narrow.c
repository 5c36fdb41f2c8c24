/* narrow.c: encoding, decoding and rounding of one value of a narrow type (narrow.h).
 *
 * A float of the table with P mantissa bits lies on multiples of 2^(max(floor(log2 |v|), 1 - bias) - P): counted in
 * these it is its mantissa, and with the exponent above it its pattern; a carry out of the mantissa goes into the
 * exponent by itself. All of it is exact in f64 but for the one rounding.
 * Formats: IEEE 754, OCP 8-bit Floating Point (f8E4M3FN, f8E5M2), OCP Microscaling (f4E2M1FN, f6E2M3FN, f6E3M2FN,
 * f8E8M0FNU), IEEE-like f8E3M4 and f8E4M3, the FNUZ types of Noune et al. 2022 (arXiv:2206.02915); tf32 is the 19-bit
 * format of tensor cores. Corner cases agree with ml_dtypes, but for values between 2^-127 and 2^-126, which go to the
 * nearer of the two in f8E8M0FNU and always up there. */
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
        [HLO_F8E4M3FN] = {NARROW_FN, 4, 3, 7, 448},
        [HLO_F8E4M3FNUZ] = {NARROW_FNUZ, 4, 3, 8, 240},
        [HLO_F8E4M3B11FNUZ] = {NARROW_FNUZ, 4, 3, 11, 30},
        [HLO_F8E5M2] = {NARROW_IEEE, 5, 2, 15, 57344},
        [HLO_F8E5M2FNUZ] = {NARROW_FNUZ, 5, 2, 16, 57344},
        [HLO_F8E8M0FNU] = {NARROW_SCALE, 8, 0, 127, 0x1p127},
        [HLO_BF16] = {NARROW_IEEE, 8, 7, 127, 0x1.fep127},
        [HLO_F16] = {NARROW_IEEE, 5, 10, 15, 65504},
        [HLO_TF32] = {NARROW_IEEE, 8, 10, 127, 0x1.ffcp127},
    };
    return e < HLO_ELEM_COUNT ? &format[e] : &none;
}

static uint32_t sign_bit(const struct narrow_format *f) { return 1u << (f->exponent + f->mantissa); }
static uint32_t top_exponent(const struct narrow_format *f) { return ((1u << f->exponent) - 1) << f->mantissa; }

static uint32_t nan_pattern(const struct narrow_format *f, bool negative) {
    if (f->kind == NARROW_SCALE) return top_exponent(f);
    if (f->kind == NARROW_FNUZ || f->kind == NARROW_FINITE) return sign_bit(f);
    if (f->kind == NARROW_FN) return (negative ? sign_bit(f) : 0) | (sign_bit(f) - 1);
    return (negative ? sign_bit(f) : 0) | top_exponent(f) | 1u << (f->mantissa - 1);
}

/* The pattern of what is past the greatest value. */
static uint32_t past_pattern(const struct narrow_format *f, bool negative) {
    if (f->kind == NARROW_IEEE) return (negative ? sign_bit(f) : 0) | top_exponent(f);
    if (f->kind == NARROW_FINITE) return (negative ? sign_bit(f) : 0) | (sign_bit(f) - 1);
    return nan_pattern(f, negative);
}

/* The greatest finite pattern. */
static uint32_t last_pattern(const struct narrow_format *f) {
    if (f->kind == NARROW_IEEE) return top_exponent(f) - 1;
    return sign_bit(f) - 1 - (f->kind == NARROW_FN);
}

static uint32_t scale_pattern(const struct narrow_format *f, double v) {
    int e;
    if (!(v > 0) || isinf(v)) return nan_pattern(f, false);
    double part = frexp(v, &e); /* [0.5, 1): the nearest is 2^(e-1) or 2^e */
    int code = e - 1 + f->bias;
    code += part > 0.75 || (part == 0.75 && code % 2);
    return code < 0 ? 0 : code > 254 ? nan_pattern(f, false) : (uint32_t)code;
}

uint32_t narrow_encode(enum hlo_elem elem, double v) {
    const struct narrow_format *f = narrow_format_of(elem);
    bool negative = signbit(v);
    int e, p = f->mantissa;
    if (f->kind == NARROW_INT) return (uint32_t)(int32_t)v & ((1u << f->exponent) - 1);
    if (isnan(v)) return nan_pattern(f, negative);
    if (f->kind == NARROW_SCALE) return scale_pattern(f, v);
    if (isinf(v)) return past_pattern(f, negative);
    frexp(v, &e); /* |v| in [2^(e-1), 2^e) */
    int quantum = (v != 0 && e - 1 > 1 - f->bias ? e - 1 : 1 - f->bias) - p;
    uint32_t steps = (uint32_t)rint(ldexp(fabs(v), -quantum)); /* at most 2^(p+1) */
    uint32_t code = steps + ((uint32_t)(quantum + p - 1 + f->bias) << p);
    if (code > last_pattern(f)) return past_pattern(f, negative);
    if (code == 0 && f->kind == NARROW_FNUZ) return 0;
    return code | (negative ? sign_bit(f) : 0);
}

static double int_of(const struct narrow_format *f, uint32_t bits) {
    bits &= (1u << f->exponent) - 1;
    bool negative = f->mantissa && bits >> (f->exponent - 1);
    return (double)bits - (negative ? (double)(1u << f->exponent) : 0);
}

double narrow_decode(enum hlo_elem elem, uint32_t bits) {
    const struct narrow_format *f = narrow_format_of(elem);
    int p = f->mantissa;
    if (f->kind == NARROW_NONE) return NAN;
    if (f->kind == NARROW_INT) return int_of(f, bits);
    if (f->kind == NARROW_SCALE) return (bits & 0xff) == 0xff ? NAN : ldexp(1, (int)(bits & 0xff) - f->bias);
    uint32_t m = bits & ((1u << p) - 1), e = bits & top_exponent(f), magnitude = bits & (sign_bit(f) - 1);
    double sign = bits & sign_bit(f) ? -1 : 1;
    if (f->kind == NARROW_FNUZ && sign < 0 && !magnitude) return NAN;
    if (f->kind == NARROW_FN && magnitude == sign_bit(f) - 1) return copysign(NAN, sign);
    if (f->kind == NARROW_IEEE && e == top_exponent(f)) return m ? copysign(NAN, sign) : sign * INFINITY;
    int exponent = (int)(e >> p) - f->bias;
    return sign * (e ? ldexp((double)(m | 1u << p), exponent - p) : ldexp((double)m, 1 - f->bias - p));
}

double narrow_round(enum hlo_elem elem, double v) { return narrow_decode(elem, narrow_encode(elem, v)); }
