/* test_dtype.c: float conversions against an oracle that only compares numbers, and block types against hand-made
 * blocks.
 *
 * The oracle knows a format as the sorted list of its finite values (made with ldexp from the format's definition) and
 * finds the nearest by comparing distances in f64, exact for these formats. If these fail, every 8/16-bit result is
 * suspect. */
#include <math.h>

#include "harness.h"
#include "tessera/dtype.h"

struct format {
    const char *name;
    int exponent_bits, mantissa_bits, has_infinity;
    int finite;    /* codes 0 .. finite - 1 are the finite magnitudes */
    double *value; /* of each, ascending; [finite] is the value that would come next */
    float (*widen)(unsigned code);
    unsigned (*narrow)(float f), (*narrow64)(double d);
};

#define WRAP(name)                                                                 \
    static float name##_widen(unsigned code) { return tsr_##name##_to_f32(code); } \
    static unsigned name##_narrow(float f) { return tsr_f32_to_##name(f); }        \
    static unsigned name##_narrow64(double d) { return tsr_f64_to_##name(d); }
WRAP(f16)
WRAP(bf16)
WRAP(f8e4m3)
WRAP(f8e5m2)

#define FORMAT(name, e, m, inf, finite) {#name, e, m, inf, finite, NULL, name##_widen, name##_narrow, name##_narrow64}
static struct format formats[] = {
    FORMAT(f16, 5, 10, 1, 0x7c00),
    FORMAT(bf16, 8, 7, 1, 0x7f80),
    FORMAT(f8e4m3, 4, 3, 0, 0x7f),
    FORMAT(f8e5m2, 5, 2, 1, 0x7c),
};
#define FORMATS (int)(sizeof formats / sizeof *formats)

static double value_of(const struct format *f, int code) {
    int bias = (1 << (f->exponent_bits - 1)) - 1, e = code >> f->mantissa_bits,
        m = code & ((1 << f->mantissa_bits) - 1);
    double fraction = (double)m / (1 << f->mantissa_bits);
    return e == 0 ? ldexp(fraction, 1 - bias) : ldexp(1 + fraction, e - bias);
}

static struct format *format_at(int i) {
    static double values[FORMATS][0x8000];
    struct format *f = &formats[i];
    f->value = values[i];
    for (int code = 0; code <= f->finite; code++) f->value[code] = value_of(f, code);
    return f;
}

/* Code of the value nearest to d (ties to the even code), sign included; -1 for any NaN. */
static int oracle(const struct format *f, double d) {
    int sign = signbit(d) ? 1 << (f->exponent_bits + f->mantissa_bits) : 0, lo = 0, hi = f->finite;
    if (isnan(d)) return -1;
    d = fabs(d);
    if (d >= f->value[hi]) {
        lo = hi;
    } else {
        while (hi - lo > 1) {
            int mid = (lo + hi) / 2;
            if (f->value[mid] <= d) lo = mid;
            else hi = mid;
        }
        double down = d - f->value[lo], up = f->value[hi] - d;
        if (up < down || (up == down && (hi & 1) == 0)) lo = hi;
    }
    if (lo == f->finite && !f->has_infinity) return -1;
    return sign | lo;
}

static int failures; /* of the present case: a broken format would print 2^16 lines otherwise */

static void expect(const struct format *f, double d, unsigned got, const char *from) {
    int want = oracle(f, d), sign_at = f->exponent_bits + f->mantissa_bits;
    bool ok = want < 0 ? isnan(f->widen(got)) && (signbit(d) != 0) == got >> sign_at : got == (unsigned)want;
    if (!ok && failures++ < 5) CHECK_MSG(ok, "%s -> %s of %a: got %#x, want %#x", from, f->name, d, got,
        (unsigned)want);
}

static bool widens(const struct format *f, unsigned code) {
    unsigned sign = 1u << (f->exponent_bits + f->mantissa_bits);
    int magnitude = (int)(code & (sign - 1));
    float got = f->widen(code);
    unsigned back = f->narrow(got), back64 = f->narrow64(got);
    if ((signbit(got) != 0) != ((code & sign) != 0)) return false;
    if (magnitude < f->finite || (magnitude == f->finite && f->has_infinity)) {
        double want = magnitude < f->finite ? f->value[magnitude] : INFINITY;
        return fabs((double)got) == want && back == code && back64 == code;
    }
    return isnan(got) && isnan(f->widen(back)) && isnan(f->widen(back64)) && (back & sign) == (code & sign);
}

TEST(dtype_widen_every_pattern_and_back) {
    for (int i = 0; i < FORMATS; i++) {
        const struct format *f = format_at(i);
        test_case("%s", f->name);
        for (unsigned code = 0; code < 2u << (f->exponent_bits + f->mantissa_bits); code++)
            if (!CHECK_MSG(widens(f, code), "%#x became %a and %#x", code, (double)f->widen(code),
                f->narrow(f->widen(code)))) break;
    }
}

TEST(dtype_narrow_f32_dense) {
    for (int i = 0; i < FORMATS; i++) {
        const struct format *f = format_at(i);
        failures = 0;
        test_case("%s", f->name);
        for (uint64_t u = (uint64_t)test_int(0, 990); u <= UINT32_MAX; u += 991) {
            uint32_t bits = (uint32_t)u;
            float x;
            memcpy(&x, &bits, sizeof x);
            expect(f, x, f->narrow(x), "f32");
        }
        CHECK(failures == 0);
    }
}

static void expect_both_signs(const struct format *f, double d) {
    for (int s = -1; s <= 1; s += 2) {
        expect(f, s * d, f->narrow64(s * d), "f64");
        expect(f, (double)(s * (float)d), f->narrow(s * (float)d), "f32");
    }
}

/* Each value, each halfway point, and their neighbours in f64 and f32. */
TEST(dtype_narrow_halfway) {
    for (int i = 0; i < FORMATS; i++) {
        const struct format *f = format_at(i);
        failures = 0;
        test_case("%s", f->name);
        for (int code = 0; code < f->finite; code++) {
            for (int k = 0; k < 2; k++) {
                double d = k ? (f->value[code] + f->value[code + 1]) / 2 : f->value[code];
                expect_both_signs(f, d);
                expect_both_signs(f, nextafter(d, INFINITY));
                expect_both_signs(f, nextafter(d, -INFINITY));
                expect_both_signs(f, (double)nextafterf((float)d, INFINITY));
                expect_both_signs(f, (double)nextafterf((float)d, -INFINITY));
            }
        }
        CHECK(failures == 0);
    }
}

TEST(dtype_narrow_f64) {
    static const double edges[] = {0.0, INFINITY, NAN, 5e-324, 1e-310, 1.7976931348623157e308, 448, 464, 465, 480,
        65504, 65519.99, 65520, 57344, 61440};
    for (int i = 0; i < FORMATS; i++) {
        const struct format *f = format_at(i);
        failures = 0;
        test_case("%s", f->name);
        for (size_t k = 0; k < sizeof edges / sizeof *edges; k++) expect_both_signs(f, edges[k]);
        for (int k = 0; k < 100000; k++) expect_both_signs(f, ldexp(test_uniform(-1, 1), (int)test_int(-180, 180)));
        CHECK(failures == 0);
    }
}

TEST(dtype_table) {
    tsr_dtype t;
    for (int i = 0; i < TSR_DTYPE_COUNT; i++) {
        const tsr_dtype_info *info = tsr_dtype_of((tsr_dtype)i);
        size_t bytes = 0;
        test_case("%s", info->name);
        CHECK(tsr_dtype_parse(info->name, &t) && t == (tsr_dtype)i);
        CHECK_STR(tsr_dtype_name((tsr_dtype)i), info->name);
        CHECK(tsr_dtype_bytes((tsr_dtype)i, info->block * INT64_C(7), &bytes));
        CHECK_EQ(bytes, info->bytes * 7);
        CHECK(tsr_dtype_bytes((tsr_dtype)i, 0, &bytes) && bytes == 0);
        CHECK(!tsr_dtype_bytes((tsr_dtype)i, -1, &bytes));
        if (info->bytes > 2 && info->block == 1) CHECK(!tsr_dtype_bytes((tsr_dtype)i, INT64_MAX, &bytes));
        bool odd = tsr_dtype_bytes((tsr_dtype)i, info->block + 1, &bytes);
        CHECK_EQ(odd, info->kind != TSR_KIND_BLOCK);
        if (odd) CHECK_EQ(bytes, info->block == 1 ? 2 * info->bytes : 2); /* three i4 take two bytes */
        CHECK((info->kind == TSR_KIND_BLOCK) == (info->dequant != NULL));
    }
    test_case("unknown names");
    CHECK(!tsr_dtype_parse("f33", &t) && !tsr_dtype_parse("", &t) && !tsr_dtype_parse("f3", &t));
}

/* A block under construction: fields are put where the format's description says, bit by bit. */
struct block {
    uint8_t byte[256];
};

static void put(struct block *b, int byte, int low_bit, int width, int v) {
    for (int i = low_bit; i < low_bit + width; i++, v >>= 1) b->byte[byte + i / 8] |= (uint8_t)((v & 1) << i % 8);
}

static float put_f16(struct block *b, int byte, double v) { /* returns what was stored */
    uint16_t h = tsr_f64_to_f16(v);
    put(b, byte, 0, 16, h);
    return tsr_f16_to_f32(h);
}

/* q4_0, q4_1, q5_0, q5_1: byte offsets of minimum and fifth bits (or -1) and of the nibbles; the offset of q. */
static void small_block(tsr_dtype t, int m_at, int high_at, int q_at, int offset) {
    struct block b = {{0}};
    float want[32], got[32], d = put_f16(&b, 0, test_uniform(-2, 2)), m = m_at < 0 ? 0 : put_f16(&b, m_at,
        test_uniform(-2, 2));
    for (int i = 0; i < 32; i++) {
        int q = (int)test_int(0, high_at >= 0 ? 31 : 15);
        put(&b, q_at + i % 16, i < 16 ? 0 : 4, 4, q);
        if (high_at >= 0) put(&b, high_at, i, 1, q >> 4);
        want[i] = (float)(q - offset) * d + m;
    }
    tsr_dtype_of(t)->dequant(1, b.byte, got);
    CHECK_F32(got, want, 32, 0, 0);
}

TEST(dtype_small_blocks) {
    for (int turn = 0; turn < 20; turn++) {
        test_case("turn %d", turn);
        small_block(TSR_Q4_0, -1, -1, 2, 8);
        small_block(TSR_Q4_1, 2, -1, 4, 0);
        small_block(TSR_Q5_0, -1, 2, 6, 16);
        small_block(TSR_Q5_1, 2, 4, 8, 0);
    }
}

/* The K families. Each function puts element i (and, with the first of its group g, the group's scale and minimum). */
struct k_field {
    int q, scale, min;
};
typedef void k_put(struct block *b, int i, struct k_field *f);

static void q2_k(struct block *b, int i, struct k_field *f) {
    if (i % 16 == 0) {
        put(b, i / 16, 0, 4, f->scale = (int)test_int(0, 15));
        put(b, i / 16, 4, 4, f->min = (int)test_int(0, 15));
    }
    put(b, 16 + 32 * (i / 128) + i % 32, 2 * (i % 128 / 32), 2, f->q = (int)test_int(0, 3));
}

static void q3_k(struct block *b, int i, struct k_field *f) {
    int g = i / 16, q = (int)test_int(0, 7);
    if (i % 16 == 0) {
        int scale = (int)test_int(0, 63);
        put(b, 96 + g % 8, 4 * (g / 8), 4, scale);
        put(b, 104 + g % 4, 2 * (g / 4), 2, scale >> 4);
        f->scale = scale - 32;
    }
    put(b, 32 + 32 * (i / 128) + i % 32, 2 * (i % 128 / 32), 2, q);
    put(b, i % 32, i / 32, 1, q >> 2);
    f->q = q - 4;
}

static void q45_scales(struct block *b, int g, struct k_field *f) {
    f->scale = (int)test_int(0, 63), f->min = (int)test_int(0, 63);
    if (g < 4) {
        put(b, 4 + g, 0, 6, f->scale);
        put(b, 8 + g, 0, 6, f->min);
    } else {
        put(b, 12 + g - 4, 0, 4, f->scale);
        put(b, 12 + g - 4, 4, 4, f->min);
        put(b, 4 + g - 4, 6, 2, f->scale >> 4);
        put(b, 8 + g - 4, 6, 2, f->min >> 4);
    }
}

static void q4_k(struct block *b, int i, struct k_field *f) {
    if (i % 32 == 0) q45_scales(b, i / 32, f);
    put(b, 16 + 32 * (i / 64) + i % 32, i % 64 < 32 ? 0 : 4, 4, f->q = (int)test_int(0, 15));
}

static void q5_k(struct block *b, int i, struct k_field *f) {
    if (i % 32 == 0) q45_scales(b, i / 32, f);
    put(b, 48 + 32 * (i / 64) + i % 32, i % 64 < 32 ? 0 : 4, 4, f->q = (int)test_int(0, 31));
    put(b, 16 + i % 32, i / 32, 1, f->q >> 4);
}

static void q6_k(struct block *b, int i, struct k_field *f) {
    int q = (int)test_int(0, 63);
    if (i % 16 == 0) put(b, 192 + i / 16, 0, 8, f->scale = (int)test_int(-128, 127));
    put(b, 64 * (i / 128) + i % 64, i % 128 < 64 ? 0 : 4, 4, q);
    put(b, 128 + 32 * (i / 128) + i % 32, 2 * (i % 128 / 32), 2, q >> 4);
    f->q = q - 32;
}

TEST(dtype_k_blocks) {
    static const struct {
        tsr_dtype t;
        k_put *put;
        int d_at, dmin_at;
    } table[] = {{TSR_Q2_K, q2_k, 80, 82}, {TSR_Q3_K, q3_k, 108, -1}, {TSR_Q4_K, q4_k, 0, 2}, {TSR_Q5_K, q5_k, 0, 2},
        {TSR_Q6_K, q6_k, 208, -1}};
    for (size_t k = 0; k < 20 * sizeof table / sizeof *table; k++) {
        tsr_dtype t = table[k / 20].t;
        struct block b = {{0}};
        struct k_field f = {0};
        float want[256], got[256];
        test_case("%s turn %zu", tsr_dtype_name(t), k % 20);
        float d = put_f16(&b, table[k / 20].d_at, 1.0 / 128), dmin = 0;
        if (table[k / 20].dmin_at >= 0) dmin = put_f16(&b, table[k / 20].dmin_at, 1.0 / 32);
        for (int i = 0; i < 256; i++) {
            table[k / 20].put(&b, i, &f);
            want[i] = d * (float)(f.scale * f.q) - dmin * (float)f.min; /* exact: small integers times powers of two */
        }
        tsr_dtype_of(t)->dequant(1, b.byte, got);
        CHECK_F32(got, want, 256, 0, 0);
    }
}

TEST(dtype_fp4_blocks) {
    static const float fp4[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6}; /* OCP MX 1.0, E2M1 */
    uint8_t mx[17] = {126}, nv[9] = {0x3c};                     /* scales 0.5 and 1.5 */
    float want_mx[32], want_nv[16], got[32];
    for (int i = 0; i < 32; i++) {
        int q = (int)test_int(0, 15);
        float v = q & 8 ? -fp4[q & 7] : fp4[q & 7];
        mx[1 + i % 16] |= (uint8_t)(i < 16 ? q : q << 4);
        want_mx[i] = 0.5f * v;
        if (i >= 16) continue;
        nv[1 + i % 8] |= (uint8_t)(i < 8 ? q : q << 4);
        want_nv[i] = 1.5f * v;
    }
    tsr_dtype_of(TSR_MXFP4)->dequant(1, mx, got);
    CHECK_F32(got, want_mx, 32, 0, 0);
    tsr_dtype_of(TSR_NVFP4)->dequant(1, nv, got);
    CHECK_F32(got, want_nv, 16, 0, 0);
    mx[0] = 255;
    tsr_dtype_of(TSR_MXFP4)->dequant(1, mx, got);
    CHECK(isnan(got[0]) && isnan(got[31]));
}

static void quantise_blocks(tsr_dtype t, double step, bool zeros) {
    float x[64], y[64];
    uint8_t stored[2 * 34];
    double scale = ldexp(1, (int)test_int(-8, 8));
    for (int i = 0; i < 64; i++) x[i] = zeros ? 0 : (float)(test_normal() * scale);
    memset(stored, 0xa5, sizeof stored);
    tsr_dtype_of(t)->quant(2, x, stored);
    tsr_dtype_of(t)->dequant(2, stored, y);
    for (int b = 0; b < 64; b += 32) {
        double amax = 0;
        for (int i = b; i < b + 32; i++) amax = fmax(amax, fabs((double)x[i]));
        for (int i = b; i < b + 32; i++) CHECK_CLOSE(y[i], x[i], 0, amax * (step + 1.0 / 1024)); /* 1/1024: d in f16 */
    }
}

/* Quantising then dequantising stays within half a step (q8_0), or one step at q4_0's short end; and literal blocks. */
TEST(dtype_quantise) {
    for (int turn = 0; turn < 50; turn++) {
        test_case("turn %d", turn);
        quantise_blocks(TSR_Q8_0, 0.5 / 127, turn == 0);
        quantise_blocks(TSR_Q4_0, 1.0 / 8, turn == 0);
    }
    test_case("literal q8_0 and q4_0");
    float q8[32] = {127, -127, 63.4f, -0.6f}, q4[32] = {-8, 7, 3.4f};
    uint8_t stored[34];
    tsr_dtype_of(TSR_Q8_0)->quant(1, q8, stored);
    CHECK_BYTES(stored, ((uint8_t[]){0x00, 0x3c, 127, 129, 63, 255, 0}), 7); /* d = 1.0 */
    tsr_dtype_of(TSR_Q4_0)->quant(1, q4, stored);
    CHECK_BYTES(stored, ((uint8_t[]){0x00, 0x3c, 0x80, 0x8f, 0x8b, 0x88}), 6);
}
