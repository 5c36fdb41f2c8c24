/* test_stablehlo_elements.c: what constants hold: every element type in every way of writing, against literals from the
 * specifications of the formats and against the conversions of dtype.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/read.h"
#include "harness.h"

struct constant {
    struct hlo_module *m;
    const struct hlo_attr *value;
    char text[4096]; /* the module points into it */
};

/* `dense<...> : tensor<...>` */
static bool constant_open(tsr_ctx *c, struct constant *k, const char *text) {
    snprintf(k->text, sizeof k->text, "%%0 = stablehlo.constant %s", text);
    k->m = hlo_read_text(c, "t.mlir", k->text, strlen(k->text));
    CHECK_OK(c);
    k->value = k->m ? hlo_get(k->m->op->region[0].block[0].first, "value") : NULL;
    return CHECK(k->value != NULL);
}

static void constant_close(struct constant *k) { hlo_module_free(k->m); }

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
static const struct {
    const char *text;
    const uint8_t *want;
    size_t n;
} bytes[] = {
    {"dense<[true, false, true]> : tensor<3xi1>", BYTES(1, 0, 1)},
    {"dense<true> : tensor<3xi1>", BYTES(1, 1, 1)},
    {"dense<[1, 0, -1]> : tensor<3xi1>", BYTES(1, 0, 1)},
    {"dense<\"0x010001\"> : tensor<3xi1>", BYTES(1, 0, 1)},
    {"dense<\"0x0501\"> : tensor<9xi1>", BYTES(1, 0, 1, 0, 0, 0, 0, 0, 1)}, /* bits, low first */
    {"dense<\"0xFF\"> : tensor<9xi1>", BYTES(1, 1, 1, 1, 1, 1, 1, 1, 1)},
    {"dense<[1, -2, -1]> : tensor<3xi2>", BYTES(1, 0xFE, 0xFF)},
    {"dense<[1, 3]> : tensor<2xui2>", BYTES(1, 3)},
    {"dense<[1, -2, 7]> : tensor<3xi4>", BYTES(0xE1, 0x07)},
    {"dense<-2> : tensor<3xi4>", BYTES(0xEE, 0x0E)},
    {"dense<\"0x010F07\"> : tensor<3xi4>", BYTES(0xF1, 0x07)},
    {"dense<[1, 15]> : tensor<2xui4>", BYTES(0xF1)},
    {"dense<[-128, 127, 255]> : tensor<3xi8>", BYTES(0x80, 0x7F, 0xFF)},
    {"dense<[0xFF, 0x10]> : tensor<2xi8>", BYTES(0xFF, 0x10)},
    {"dense<[[-2], [258]]> : tensor<2x1xi16>", BYTES(0xFE, 0xFF, 2, 1)},
    {"dense<4294967295> : tensor<ui32>", BYTES(0xFF, 0xFF, 0xFF, 0xFF)},
    {"dense<-9223372036854775808> : tensor<1xi64>", BYTES(0, 0, 0, 0, 0, 0, 0, 0x80)},
    {"dense<18446744073709551615> : tensor<ui64>", BYTES(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)},
    {"dense<3> : tensor<2xindex>", BYTES(3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0)},
    {"dense<[1.0, -2.5]> : tensor<2xf16>", BYTES(0, 0x3C, 0, 0xC1)},
    {"dense<[1.0, 0xFFC0]> : tensor<2xbf16>", BYTES(0x80, 0x3F, 0xC0, 0xFF)},
    {"dense<0x7FC00000> : tensor<f32>", BYTES(0, 0, 0xC0, 0x7F)},
    {"dense<1.0e+00> : tensor<2xf32>", BYTES(0, 0, 0x80, 0x3F, 0, 0, 0x80, 0x3F)},
    {"dense<0xFFF0000000000000> : tensor<f64>", BYTES(0, 0, 0, 0, 0, 0, 0xF0, 0xFF)},
    {"dense<(1.0, -0.0)> : tensor<2xcomplex<f32>>", BYTES(0, 0, 0x80, 0x3F, 0, 0, 0, 0x80, 0, 0, 0x80, 0x3F, 0, 0, 0,
        0x80)},
    {"dense<[(1.0, 2.0)]> : tensor<1xcomplex<f32>>", BYTES(0, 0, 0x80, 0x3F, 0, 0, 0, 0x40)},
    {"dense<[(1.0, 2.0)]> : tensor<1xcomplex<f64>>", BYTES(0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0x40)},
    {"dense<\"0x0000803F00000040\"> : tensor<1xcomplex<f32>>", BYTES(0, 0, 0x80, 0x3F, 0, 0, 0, 0x40)},
    {"dense<\"0x0000803F00000040\"> : tensor<2xcomplex<f32>>",
        BYTES(0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 0, 0, 0x80, 0x3F, 0, 0, 0, 0x40)},
    {"dense<[448.0, 1.0e9, -0.0, 0.001953125]> : tensor<4xf8E4M3FN>", BYTES(0x7E, 0x7F, 0x80, 0x01)},
    {"dense<[57344.0, 1.0e9, 1.0]> : tensor<3xf8E5M2>", BYTES(0x7B, 0x7C, 0x3C)},
    {"dense<[1.0, 2.0]> : tensor<2xf8E3M4>", BYTES(0, 0, 0x80, 0x3F, 0, 0, 0, 0x40)}, /* carried by f32 */
    {"dense<\"0x3040\"> : tensor<2xf8E3M4>", BYTES(0, 0, 0x80, 0x3F, 0, 0, 0, 0x40)},
};

TEST(bytes_of_constants) {
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        test_case("%s", bytes[i].text);
        tsr_ctx *c = test_ctx();
        struct constant k;
        uint8_t got[64];
        if (constant_open(c, &k, bytes[i].text)) {
            memset(got, 0xA5, sizeof got);
            CHECK(hlo_elements_read(c, k.value, got, bytes[i].n));
            CHECK_BYTES(got, bytes[i].want, bytes[i].n);
            CHECK_EQ(got[bytes[i].n], 0xA5); /* nothing behind */
            CHECK(!hlo_elements_read(c, k.value, got, bytes[i].n + 1));
            CHECK_ERROR(c, TSR_EINVAL, "does not fill");
        }
        constant_close(&k);
        test_ctx_close(c);
    }
}

TEST(no_elements) {
    static const char *const text[] = {"dense<> : tensor<0xf32>", "dense<[]> : tensor<0xf32>", "dense<[[], []]> : "
        "tensor<2x0xf32>", "dense<5.0> : tensor<0x7xf32>"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        test_case("%s", text[i]);
        tsr_ctx *c = test_ctx();
        struct constant k;
        uint8_t byte = 0xA5;
        if (constant_open(c, &k, text[i])) CHECK(hlo_elements_read(c, k.value, &byte, 0));
        CHECK_EQ(byte, 0xA5);
        constant_close(&k);
        test_ctx_close(c);
    }
}

/* ---- floats of few bits ------------------------------------------------------------------------------------------ */

/* Some codes and their values, from the formats' specifications. */
static const struct {
    enum hlo_elem e;
    uint64_t bits;
    double v;
} code[] = {
    {HLO_F4E2M1FN, 0x1, 0.5}, {HLO_F4E2M1FN, 0x7, 6}, {HLO_F4E2M1FN, 0xF, -6}, {HLO_F6E2M3FN, 0x1F, 7.5},
    {HLO_F6E2M3FN, 0x01, 0.125}, {HLO_F6E3M2FN, 0x1F, 28}, {HLO_F6E3M2FN, 0x01, 0.0625}, {HLO_F8E3M4, 0x6F, 15.5},
    {HLO_F8E3M4, 0x70, INFINITY}, {HLO_F8E3M4, 0x01, 0.015625}, {HLO_F8E4M3, 0x77, 240}, {HLO_F8E4M3, 0x78, INFINITY},
    {HLO_F8E4M3FN, 0x7E, 448}, {HLO_F8E4M3FN, 0x7F, NAN}, {HLO_F8E4M3FNUZ, 0x7F, 240}, {HLO_F8E4M3FNUZ, 0x80, NAN},
    {HLO_F8E4M3FNUZ, 0x01, 0x1p-10}, {HLO_F8E4M3B11FNUZ, 0x7F, 30}, {HLO_F8E4M3B11FNUZ, 0x01, 0x1p-13},
    {HLO_F8E5M2, 0x7B, 57344}, {HLO_F8E5M2, 0x7C, INFINITY}, {HLO_F8E5M2FNUZ, 0x7F, 57344},
    {HLO_F8E5M2FNUZ, 0x80, NAN}, {HLO_F8E5M2FNUZ, 0x01, 0x1p-17}, {HLO_F8E8M0FNU, 0x00, 0x1p-127},
    {HLO_F8E8M0FNU, 0x7F, 1}, {HLO_F8E8M0FNU, 0xFE, 0x1p127}, {HLO_F8E8M0FNU, 0xFF, NAN},
};

TEST(codes_of_small_floats) {
    for (size_t i = 0; i < sizeof code / sizeof *code; i++) {
        test_case("%s 0x%02x", hlo_elem_of(code[i].e)->text, (int)code[i].bits);
        CHECK_CLOSE(hlo_bits_to_double(code[i].e, code[i].bits), code[i].v, 0, 0);
        if (!isnan(code[i].v)) CHECK_EQ(hlo_bits_from_double(code[i].e, code[i].v), code[i].bits);
    }
}

/* Every code's value gives the code again; what lies between two codes goes to the nearer, ties to the even one. */
TEST(small_floats_round_to_nearest_even) {
    for (int e = HLO_F4E2M1FN; e <= HLO_F8E5M2FNUZ; e++) {
        int count = 1 << (e == HLO_F4E2M1FN ? 3 : e <= HLO_F6E3M2FN ? 5 : 7); /* without sign */
        test_case("%s", hlo_elem_of((enum hlo_elem)e)->text);
        for (int b = 0; b < count; b++) {
            double v = hlo_bits_to_double((enum hlo_elem)e, (uint64_t)b);
            double next = b + 1 < count ? hlo_bits_to_double((enum hlo_elem)e, (uint64_t)b + 1) : NAN;
            if (isnan(v) || isinf(v)) continue;
            CHECK_EQ(hlo_bits_from_double((enum hlo_elem)e, v), b);
            if (isnan(next) || isinf(next)) continue;
            double half = (v + next) / 2;
            CHECK_EQ(hlo_bits_from_double((enum hlo_elem)e, half), b + (b & 1));
            CHECK_EQ(hlo_bits_from_double((enum hlo_elem)e, nextafter(half, 0)), b);
            CHECK_EQ(hlo_bits_from_double((enum hlo_elem)e, nextafter(half, INFINITY)), b + 1);
        }
    }
}

TEST(small_floats_agree_with_dtype) {
    for (int i = 0; i < 20000; i++) {
        double v = ldexp(test_uniform(-2, 2), (int)test_int(-160, 140));
        if (i % 100 == 0) v = i % 200 ? INFINITY : -0.0;
        CHECK_EQ(hlo_bits_from_double(HLO_F16, v), tsr_f64_to_f16(v));
        CHECK_EQ(hlo_bits_from_double(HLO_BF16, v), tsr_f64_to_bf16(v));
        CHECK_EQ(hlo_bits_from_double(HLO_F8E4M3FN, v), tsr_f64_to_f8e4m3(v));
        CHECK_EQ(hlo_bits_from_double(HLO_F8E5M2, v), tsr_f64_to_f8e5m2(v));
    }
}

/* ---- literals
 * ----------------------------------------------------------------------------------------------------- */

TEST(decimal_literals_are_exact) {
    for (int i = 0; i < 20000; i++) {
        char text[64];
        uint64_t bits = rng_u64(test_rng()), got = 0;
        double v;
        memcpy(&v, &bits, 8);
        if (!isfinite(v)) continue;
        snprintf(text, sizeof text, i % 2 ? "%.17g" : "%.6e", v);
        size_t n = strlen(text);
        CHECK_EQ(hlo_literal(HLO_F64, text, text + n, &got), n);
        double want = strtod(text, NULL), have;
        memcpy(&have, &got, 8);
        CHECK_MSG(memcmp(&have, &want, 8) == 0, "%s: %.17g", text, have);
    }
}

/* The same numbers, written as bytes, digits and a list, are equal; one changed is not. */
TEST(stores_are_equal_by_value) {
    tsr_ctx *c = test_ctx();
    struct constant list, hex, other, splat, same;
    CHECK(constant_open(c, &list, "dense<[[1, 2], [3, 4]]> : tensor<2x2xi16>") &&
        constant_open(c, &hex, "dense<\"0x0100020003000400\"> : tensor<2x2xi16>") &&
        constant_open(c, &other, "dense<[[1, 2], [3, 5]]> : tensor<2x2xi16>") &&
        constant_open(c, &splat, "dense<1> : tensor<3xi16>") && constant_open(c, &same,
            "dense<[1, 1, 1]> : tensor<3xi16>"));
    int16_t raw[] = {1, 2, 3, 4};
    const struct hlo_attr *bytes = hlo_attr_elements(list.m, list.value->type, false, raw, sizeof raw);
    CHECK(hlo_attr_equal(list.value, hex.value));
    CHECK(hlo_attr_equal(bytes, hex.value));
    CHECK(hlo_attr_equal(list.value, bytes));
    CHECK(!hlo_attr_equal(other.value, hex.value));
    CHECK(!hlo_attr_equal(other.value, bytes));
    CHECK(hlo_attr_equal(splat.value, same.value));
    CHECK(!hlo_attr_equal(splat.value, list.value));
    int64_t v[4];
    CHECK(hlo_elements_ints(c, hex.value, v) && v[0] == 1 && v[3] == 4);
    constant_close(&list), constant_close(&hex), constant_close(&other), constant_close(&splat), constant_close(&same);
}
