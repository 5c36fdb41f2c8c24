/* test_fma.c: the functions with which a C file multiplies and adds in one rounding, against the C library's, on hard
 * numbers: any bits, few digits set, below the normal numbers, at the largest, products that cancel with the addend in
 * all but some digits, addends far below or above the product, sums halfway between two numbers, zeros, infinities,
 * NaNs. That they are hard is checked too: many must come out wrong when rounded twice. */
#include <math.h>
#include <stdio.h>

#include "harness.h"

#include "emit/prelude_c99.inc"

enum { TURNS = 4000000 };

/* A number of one of several kinds from 128 random bits: sign, exponent field, digits. */
static float number32(void) {
    static const uint32_t special[] = {0, 0x7f800000u, 0x7fc00000u, 1, 0x7fffffu, 0x800000u, 0x7f7fffffu, 0x3f800000u};
    const uint64_t u = rng_u64(test_rng()), v = rng_u64(test_rng());
    const uint32_t sign = (uint32_t)(u >> 63) << 31, digits = (uint32_t)u & 0x7fffffu, e = (uint32_t)(u >> 32 & 0xff);
    switch (v >> 61) {
    case 0: return TSR_U2F((uint32_t)u);
    case 1: return TSR_U2F(sign | e << 23 | (digits & (uint32_t)(v >> 24) & (uint32_t)v)); /* few digits */
    case 2: return TSR_U2F(sign | e % 24 << 23 | (digits & (uint32_t)v));                  /* small */
    case 3: return TSR_U2F(sign | (254 - e % 3) << 23 | digits);                           /* large */
    case 4: return TSR_U2F(sign | special[e % 8]);
    case 5: return TSR_U2F((sign | (e & 1 ? 52u : 127u) << 23) + (e >> 1) % 8 - 4); /* by powers of two, or 2^-75 */
    default: return TSR_U2F(sign | (125 + e % 4) << 23 | (digits & (v & 1 ? 0x7ff000u : ~0u)));
    }
}

static double number64(void) {
    static const uint64_t special[] = {0, 0x7ff0000000000000u, 0x7ff8000000000000u, 1, 0xfffffffffffffu,
        0x10000000000000u, 0x7fefffffffffffffu, 0x3ff0000000000000u};
    const uint64_t u = rng_u64(test_rng()), v = rng_u64(test_rng()), w = rng_u64(test_rng());
    const uint64_t sign = u >> 63 << 63, digits = u & 0xfffffffffffffu, e = w & 0x7ff;
    switch (v >> 61) {
    case 0: return TSR_U2D(u);
    case 1: return TSR_U2D(sign | e << 52 | (digits & w >> 11 & v));
    case 2: return TSR_U2D(sign | e % 60 << 52 | (digits & v));
    case 3: return TSR_U2D(sign | (2046 - e % 3) << 52 | digits);
    case 4: return TSR_U2D(sign | special[e % 8]);
    case 5: return TSR_U2D(sign | (e & 1 ? 571 + (e >> 1) % 5 : 1471 + (e >> 1) % 5) << 52 | digits); /* by integers? */
    case 6: return TSR_U2D((sign | (uint64_t)1023 << 52) + (e >> 1) % 8 - 4);
    default: return TSR_U2D(sign | (1021 + e % 4) << 52 | (digits & (v & 1 ? 0xfffff00000000u : ~(uint64_t)0)));
    }
}

/* Something to add to p, the rounded product, for numbers of so many digits: p is half of its last place, or it has p's
 * size, or is near to p with another sign and a digit changed. */
static double addend(double p, int digits) {
    if (p == 0 || !isfinite(p)) return 1;
    switch (test_int(0, 4)) {
    case 4: return ldexp((double)test_int(0, ((int64_t)1 << digits) - 1), ilogb(p) + (int)test_int(0, 2));
    case 0: return -p;
    case 1: return ldexp(p, (int)test_int(-digits - 12, digits + 12));
    case 2: return -p * (1 + ldexp(1, (int)test_int(-digits, -1)));
    default: return ldexp(1 + ldexp((double)test_int(0, 3), -(int)test_int(1, digits)), ilogb(p) +
        (int)test_int(-digits - 2, digits + 2));
    }
}

static bool same32(float a, float b) { return TSR_F2U(a) == TSR_F2U(b) || (a != a && b != b); }
static bool same64(double a, double b) { return TSR_D2U(a) == TSR_D2U(b) || (a != a && b != b); }

TEST(f32) {
    int twice = 0;
    for (int i = 0; i < TURNS; i++) {
        const float a = number32(), b = number32(), c = i & 1 ? number32() : (float)addend((double)a * b, 24);
        const float want = fmaf(a, b, c), by_f64 = tsr_fmaf_by_f64(a, b, c), by_int = tsr_fmaf_by_int(a, b, c);
        twice += !same32((float)((double)a * b + c), want);
        if (!CHECK_MSG(same32(by_f64, want), "by f64: %a %a %a: %a, not %a", a, b, c, by_f64, want)) return;
        if (!CHECK_MSG(same32(by_int, want), "by integers: %a %a %a: %a, not %a", a, b, c, by_int, want)) return;
    }
    printf("f32: %d of %d are other numbers in two roundings\n", twice, TURNS);
    CHECK(twice > TURNS / 10000);
}

TEST(f64) {
    int twice = 0;
    for (int i = 0; i < TURNS; i++) {
        const double a = number64(), b = number64(), c = i & 1 ? number64() : addend(a * b, 53);
        const double want = fma(a, b, c), by_f64 = tsr_fma_by_f64(a, b, c), by_int = tsr_fma_by_int(a, b, c);
        twice += !same64(a * b + c, want);
        if (!CHECK_MSG(same64(by_f64, want), "by f64: %a %a %a: %a, not %a", a, b, c, by_f64, want)) return;
        if (!CHECK_MSG(same64(by_int, want), "by integers: %a %a %a: %a, not %a", a, b, c, by_int, want)) return;
    }
    printf("f64: %d of %d are other numbers in two roundings\n", twice, TURNS);
    CHECK(twice > TURNS / 100);
}
