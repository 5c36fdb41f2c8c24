/* dtype.c: the table of element types and the exact scalar conversions between float formats.
 *
 * A small float format is four numbers (exponent bits, mantissa bits, greatest finite code, infinity or not); one
 * function widens any of them to f32 and one narrows f64 to any of them. Every narrowing here goes through f64: f32 ->
 * f64 is exact, so there is one rounding, to nearest even, whichever of the two the caller holds. These are the obvious
 * scalar versions; tile/vmath.h has the branch-free ones that the loops use, and the tests hold the two against each
 * other.
 *
 * Invariant of narrow(): codes of positive finite values are ordered like the values and have no gaps (true of every
 * IEEE style format), so rounding up from the last mantissa of a binade carries into the next binade, and from the
 * greatest finite value into infinity (IEEE) or into the NaN code (e4m3fn), with no special case.
 *
 * NaN: the sign and the leading payload bits are kept; narrowing sets the quiet bit.
 * Formats: IEEE 754-2019; bfloat16; OCP 8-bit Floating Point Specification 1.0. Block types: dtype_block.c. */
#include "tessera/dtype.h"

#include <string.h>

#include "graph/dtype_block.h"

struct float_format {
    int exponent_bits, mantissa_bits;
    uint32_t overflow; /* the code after the greatest finite one: infinity, or NaN where there is no infinity */
    uint32_t quiet;    /* set in every NaN */
};

static const struct float_format format_f16 = {5, 10, 0x7c00, 0x7e00};
static const struct float_format format_bf16 = {8, 7, 0x7f80, 0x7fc0};
static const struct float_format format_f8e4m3 = {4, 3, 0x7f, 0x7f};
static const struct float_format format_f8e5m2 = {5, 2, 0x7c, 0x7e};

static uint32_t f32_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float f32_from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint64_t f64_bits(double d) {
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

static double f64_from_bits(uint64_t u) {
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

/* f32 -> f64, keeping the payload of a NaN even where the machine's own conversion would not. */
static double f64_of_f32(float f) {
    uint32_t u = f32_bits(f);
    if ((u & 0x7fffffffu) <= 0x7f800000u) return f;
    return f64_from_bits((uint64_t)(u >> 31) << 63 | UINT64_C(0x7ff) << 52 | (uint64_t)(u & 0x7fffffu) << 29);
}

static float widen(uint32_t code, const struct float_format *f) {
    int e_bits = f->exponent_bits, m_bits = f->mantissa_bits, bias = (1 << (e_bits - 1)) - 1;
    uint32_t sign = code >> (e_bits + m_bits) << 31, magnitude = code & ((1u << (e_bits + m_bits)) - 1);
    uint32_t e = magnitude >> m_bits, m = magnitude & ((1u << m_bits) - 1);
    if (magnitude > f->overflow || (magnitude == f->overflow && f->overflow == f->quiet)) /* NaN */
        return f32_from_bits(sign | 0x7f800000u | m << (23 - m_bits));
    if (magnitude == f->overflow) return f32_from_bits(sign | 0x7f800000u);
    if (e > 0) return f32_from_bits(sign | (e + 127u - (uint32_t)bias) << 23 | m << (23 - m_bits));
    float quantum = f32_from_bits((uint32_t)(128 - bias - m_bits) << 23); /* 2^(1 - bias - m_bits) */
    return f32_from_bits(sign | f32_bits((float)m * quantum));
}

/* m / 2^shift rounded to nearest, halves to even; any shift >= 0. */
static uint64_t round_shift(uint64_t m, int shift) {
    if (shift <= 0) return m;
    if (shift > 62) return 0; /* m < 2^53: less than half */
    uint64_t half = UINT64_C(1) << (shift - 1), rest = m & ((half << 1) - 1), q = m >> shift;
    return q + (rest > half || (rest == half && (q & 1)));
}

static uint32_t narrow(double d, const struct float_format *f) {
    int e_bits = f->exponent_bits, m_bits = f->mantissa_bits, e_min = 2 - (1 << (e_bits - 1));
    uint64_t u = f64_bits(d), magnitude = u & (UINT64_MAX >> 1);
    uint32_t sign = (uint32_t)(u >> 63) << (e_bits + m_bits);
    if (magnitude > UINT64_C(0x7ff) << 52) {
        uint32_t payload = (uint32_t)(magnitude >> (52 - m_bits)) & ((1u << m_bits) - 1);
        return sign | f->quiet | payload;
    }
    int e = (int)(magnitude >> 52) - 1023;
    uint64_t m = magnitude & ((UINT64_C(1) << 52) - 1);
    if (e > -1023) m |= UINT64_C(1) << 52;
    else e = -1022;
    int below = e < e_min ? e_min - e : 0; /* binades below the least normal one */
    uint64_t code = round_shift(m, 52 - m_bits + below);
    if (below == 0) code += (uint64_t)(e - e_min) << m_bits; /* the hidden bit in m adds the last unit of exponent */
    return sign | (code > f->overflow ? f->overflow : (uint32_t)code);
}

float tsr_f16_to_f32(uint16_t h) { return widen(h, &format_f16); }
float tsr_bf16_to_f32(uint16_t h) { return f32_from_bits((uint32_t)h << 16); }
float tsr_f8e4m3_to_f32(uint8_t b) { return widen(b, &format_f8e4m3); }
float tsr_f8e5m2_to_f32(uint8_t b) { return widen(b, &format_f8e5m2); }

uint16_t tsr_f32_to_f16(float f) { return (uint16_t)narrow(f64_of_f32(f), &format_f16); }
uint16_t tsr_f32_to_bf16(float f) { return (uint16_t)narrow(f64_of_f32(f), &format_bf16); }
uint8_t tsr_f32_to_f8e4m3(float f) { return (uint8_t)narrow(f64_of_f32(f), &format_f8e4m3); }
uint8_t tsr_f32_to_f8e5m2(float f) { return (uint8_t)narrow(f64_of_f32(f), &format_f8e5m2); }

uint16_t tsr_f64_to_f16(double d) { return (uint16_t)narrow(d, &format_f16); }
uint16_t tsr_f64_to_bf16(double d) { return (uint16_t)narrow(d, &format_bf16); }
uint8_t tsr_f64_to_f8e4m3(double d) { return (uint8_t)narrow(d, &format_f8e4m3); }
uint8_t tsr_f64_to_f8e5m2(double d) { return (uint8_t)narrow(d, &format_f8e5m2); }

/* The list's columns field by field, then what only block types have; no field is set twice. */
static const tsr_dtype_info infos[TSR_DTYPE_COUNT] = {
#define X(id, text, kind_, bits_, block_, bytes_, full_) \
    [TSR_##id].name = text, [TSR_##id].full = full_, [TSR_##id].kind = TSR_KIND_##kind_, [TSR_##id].bits = bits_, \
    [TSR_##id].block = block_, [TSR_##id].bytes = bytes_,
    TSR_DTYPE_LIST(X)
#undef X
#define X(id, dequant_, quant_) [TSR_##id].dequant = dequant_, [TSR_##id].quant = quant_,
    BLOCK_CODEC_LIST(X)
#undef X
};

const tsr_dtype_info *tsr_dtype_of(tsr_dtype t) { return &infos[t]; }

const char *tsr_dtype_name(tsr_dtype t) { return infos[t].name; }

bool tsr_dtype_parse(const char *name, tsr_dtype *out) {
    for (int t = 0; t < TSR_DTYPE_COUNT; t++) {
        if (strcmp(name, infos[t].name) != 0) continue;
        *out = (tsr_dtype)t;
        return true;
    }
    return false;
}

bool tsr_dtype_bytes(tsr_dtype t, int64_t count, size_t *out) {
    const tsr_dtype_info *info = &infos[t];
    if (count < 0 || (info->kind == TSR_KIND_BLOCK && count % info->block != 0)) return false;
    uint64_t blocks = (uint64_t)count / (uint64_t)info->block + (count % info->block != 0);
    return !__builtin_mul_overflow(blocks, (uint64_t)info->bytes, out);
}
