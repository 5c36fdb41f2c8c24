/* dtype_block.c: dequantising (and, for q8_0 and q4_0, quantising) of block types, in plain loops.
 *
 * A block is a few scales and a run of small integers q; every family is value = scale * (q - offset) or scale * q -
 * minimum. Layouts are those of the GGUF file format (little-endian, packed, so blocks are read byte by byte and need
 * no alignment):
 *   q8_0   d:f16, q:i8[32]                       q4_0   d:f16, lo/hi nibbles[16], offset 8
 *   q4_1   d:f16, m:f16, nibbles[16]             q5_0   d:f16, bit 4 of all q: u32, nibbles[16], offset 16
 *   q5_1   d:f16, m:f16, u32, nibbles[16]        q2_k   (scale | min << 4)[16], 2-bit[64], d:f16, dmin:f16
 *   q3_k   bit 2 of q [32], 2-bit[64], 6-bit scales[12], d:f16
 *   q4_k   d:f16, dmin:f16, 6-bit scales and minima[12], nibbles[128]
 *   q5_k   the same with bit 4 of q [32] before the nibbles
 *   q6_k   low nibbles[128], high 2 bits[64], scales:i8[16], d:f16
 *   mxfp4  E8M0 scale, E2M1 nibbles[16] (OCP Microscaling specification 1.0)
 *   nvfp4  E4M3 scale, E2M1 nibbles[8]; the tensor's own f32 scale is kept outside
 * In a plain block of n elements the low nibbles are elements 0 .. n/2-1 and the high nibbles n/2 .. n-1. The K
 * families hold 256 elements in groups of 16 or 32, each group with a small scale (and minimum) relative to d (and
 * dmin).
 *
 * Quantising: q8_0 has d = max|x| / 127, q4_0 has d = (the x of greatest magnitude, with its sign) / -8, so that this x
 * becomes q = 0 exactly; q is rounded with the unrounded d, then d is stored as f16. */
#include "graph/dtype_block.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tessera/dtype.h"

static float read_f16(const uint8_t *p) { return tsr_f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

static void write_f16(uint8_t *p, float f) {
    uint16_t h = tsr_f32_to_f16(f);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

/* Nibble i of a plain block of n elements. */
static int nibble(const uint8_t *p, int n, int i) { return i < n / 2 ? p[i] & 15 : p[i - n / 2] >> 4; }

/* Bit i of a little-endian bit string. */
static int bit(const uint8_t *p, int i) { return p[i / 8] >> (i % 8) & 1; }

void block_q8_0_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 34, dst += 32) {
        float d = read_f16(p);
        for (int i = 0; i < 32; i++) dst[i] = d * (float)(int8_t)p[2 + i];
    }
}

void block_q4_0_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 18, dst += 32) {
        float d = read_f16(p);
        for (int i = 0; i < 32; i++) dst[i] = d * (float)(nibble(p + 2, 32, i) - 8);
    }
}

void block_q4_1_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 20, dst += 32) {
        float d = read_f16(p), m = read_f16(p + 2);
        for (int i = 0; i < 32; i++) dst[i] = d * (float)nibble(p + 4, 32, i) + m;
    }
}

void block_q5_0_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 22, dst += 32) {
        float d = read_f16(p);
        for (int i = 0; i < 32; i++) dst[i] = d * (float)((nibble(p + 6, 32, i) | bit(p + 2, i) << 4) - 16);
    }
}

void block_q5_1_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 24, dst += 32) {
        float d = read_f16(p), m = read_f16(p + 2);
        for (int i = 0; i < 32; i++) dst[i] = d * (float)(nibble(p + 8, 32, i) | bit(p + 4, i) << 4) + m;
    }
}

/* 2-bit fields of q2_k and q3_k: each half of 128 elements has 32 bytes; byte j holds elements j, j+32, j+64, j+96. */
static int two_bits(const uint8_t *p, int i) { return p[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3; }

void block_q2_k_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 84, dst += 256) {
        float d = read_f16(p + 80), dmin = read_f16(p + 82);
        for (int i = 0; i < 256; i++) {
            int scale = p[i / 16] & 15, min = p[i / 16] >> 4;
            dst[i] = d * (float)scale * (float)two_bits(p + 16, i) - dmin * (float)min;
        }
    }
}

/* Scale g of q3_k: low 4 bits in nibbles (8 bytes), high 2 bits in the last 4 bytes, four groups a byte; offset 32. */
static int q3_k_scale(const uint8_t *p, int g) {
    int low = nibble(p, 16, g), high = p[8 + g % 4] >> (g / 4 * 2) & 3;
    return (low | high << 4) - 32;
}

void block_q3_k_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 110, dst += 256) {
        float d = read_f16(p + 108);
        for (int i = 0; i < 256; i++) {
            int high = p[i % 32] >> (i / 32) & 1; /* set: nothing to take away */
            int q = two_bits(p + 32, i) - (high ? 0 : 4);
            dst[i] = d * (float)q3_k_scale(p + 96, i / 16) * (float)q;
        }
    }
}

/* Scale and minimum of group g of q4_k and q5_k, 6 bits each in 12 bytes: groups 0-3 lie in the low 6 bits of bytes 0-3
 * (scale) and 4-7 (minimum); groups 4-7 have low nibbles in bytes 8-11 and high 2 bits on top of bytes 0-7. */
static void six_bits(const uint8_t *p, int g, int *scale, int *min) {
    if (g < 4) {
        *scale = p[g] & 63;
        *min = p[g + 4] & 63;
    } else {
        *scale = (p[g + 4] & 15) | p[g - 4] >> 6 << 4;
        *min = p[g + 4] >> 4 | p[g] >> 6 << 4;
    }
}

/* Nibbles of q4_k and q5_k: each 64 elements have 32 bytes, low nibbles first. */
static int nibble_of_64(const uint8_t *p, int i) { return p[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15; }

void block_q4_k_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 144, dst += 256) {
        float d = read_f16(p), dmin = read_f16(p + 2);
        for (int i = 0; i < 256; i++) {
            int scale, min;
            six_bits(p + 4, i / 32, &scale, &min);
            dst[i] = d * (float)scale * (float)nibble_of_64(p + 16, i) - dmin * (float)min;
        }
    }
}

void block_q5_k_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 176, dst += 256) {
        float d = read_f16(p), dmin = read_f16(p + 2);
        for (int i = 0; i < 256; i++) {
            int scale, min, high = p[16 + i % 32] >> (i / 32) & 1;
            six_bits(p + 4, i / 32, &scale, &min);
            dst[i] = d * (float)scale * (float)(nibble_of_64(p + 48, i) | high << 4) - dmin * (float)min;
        }
    }
}

/* q6_k: each half of 128 elements has 64 bytes of low nibbles (elements 0-63 low, 64-127 high) and 32 bytes whose byte
 * j has the high bits of elements j, j+32, j+64, j+96. */
void block_q6_k_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 210, dst += 256) {
        float d = read_f16(p + 208);
        for (int i = 0; i < 256; i++) {
            int low = p[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
            int q = (low | two_bits(p + 128, i) << 4) - 32;
            dst[i] = d * (float)(int8_t)p[192 + i / 16] * (float)q;
        }
    }
}

/* E2M1: sign, 2 exponent bits (bias 1), 1 mantissa bit. */
static const float e2m1[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                               -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

void block_mxfp4_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 17, dst += 32) {
        float scale = p[0] == 255 ? NAN : ldexpf(1.0f, p[0] - 127); /* E8M0: a power of two, 255 is NaN */
        for (int i = 0; i < 32; i++) dst[i] = scale * e2m1[nibble(p + 1, 32, i)];
    }
}

void block_nvfp4_dequant(size_t blocks, const void *src, float *dst) {
    const uint8_t *p = src;
    for (size_t b = 0; b < blocks; b++, p += 9, dst += 16) {
        float scale = tsr_f8e4m3_to_f32(p[0]);
        for (int i = 0; i < 16; i++) dst[i] = scale * e2m1[nibble(p + 1, 16, i)];
    }
}

/* x rounded to an integer and held to [lo, hi]; NaN becomes 0. */
static int round_clamp(float x, int lo, int hi) {
    if (!(x == x)) return 0;
    return x <= (float)lo ? lo : x >= (float)hi ? hi : (int)floorf(x);
}

void block_q8_0_quant(size_t blocks, const float *src, void *dst) {
    uint8_t *p = dst;
    for (size_t b = 0; b < blocks; b++, p += 34, src += 32) {
        float amax = 0;
        for (int i = 0; i < 32; i++) amax = fmaxf(amax, fabsf(src[i]));
        float d = amax / 127, inverse = d != 0 ? 1 / d : 0;
        write_f16(p, d);
        for (int i = 0; i < 32; i++) p[2 + i] = (uint8_t)(int8_t)round_clamp(roundf(src[i] * inverse), -127, 127);
    }
}

void block_q4_0_quant(size_t blocks, const float *src, void *dst) {
    uint8_t *p = dst;
    for (size_t b = 0; b < blocks; b++, p += 18, src += 32) {
        float extreme = 0;
        for (int i = 0; i < 32; i++) extreme = fabsf(src[i]) > fabsf(extreme) ? src[i] : extreme;
        float d = extreme / -8, inverse = d != 0 ? 1 / d : 0;
        write_f16(p, d);
        for (int i = 0; i < 16; i++) {
            int low = round_clamp(src[i] * inverse + 8.5f, 0, 15), high = round_clamp(src[i + 16] * inverse + 8.5f, 0,
                15);
            p[2 + i] = (uint8_t)(low | high << 4);
        }
    }
}
