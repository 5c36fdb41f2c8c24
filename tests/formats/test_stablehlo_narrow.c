/* The narrow element types: patterns against their definitions, rounding against the nearest of all patterns found by
 * search, the graph expressions against the scalar functions on both tiers. */
#include <math.h>

#include "formats/stablehlo/narrow.h"
#include "hlo_run.h"

static const enum hlo_elem floats[] = { /* those with a dtype of their own come last */
    HLO_F4E2M1FN, HLO_F6E2M3FN, HLO_F6E3M2FN, HLO_F8E3M4, HLO_F8E4M3,
    HLO_F8E4M3FNUZ, HLO_F8E4M3B11FNUZ, HLO_F8E5M2FNUZ, HLO_F8E8M0FNU, HLO_F8E4M3FN, HLO_F8E5M2,
};
enum { NVALUES = sizeof floats / sizeof *floats, NFLOATS = NVALUES - 2, MANY = 4000 };

static bool same(double a, double b) { return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b)); }

/* ---- definitions ------------------------------------------------------------------------------------------------ */

TEST(patterns) { /* from the OCP MX specification and the definitions of the FNUZ types */
    static const struct { enum hlo_elem e; uint32_t bits; double value; } fact[] = {
        {HLO_F4E2M1FN, 0x1, 0.5}, {HLO_F4E2M1FN, 0x7, 6}, {HLO_F4E2M1FN, 0xf, -6}, {HLO_F4E2M1FN, 0x8, -0.0},
        {HLO_F6E2M3FN, 0x01, 0.125}, {HLO_F6E2M3FN, 0x1f, 7.5}, {HLO_F6E3M2FN, 0x01, 0.0625}, {HLO_F6E3M2FN, 0x1f, 28},
        {HLO_F8E3M4, 0x01, 0x1p-6}, {HLO_F8E3M4, 0x6f, 15.5}, {HLO_F8E3M4, 0x70, INFINITY}, {HLO_F8E3M4, 0x78, NAN},
        {HLO_F8E4M3, 0x01, 0x1p-9}, {HLO_F8E4M3, 0x77, 240}, {HLO_F8E4M3, 0xf8, -INFINITY}, {HLO_F8E4M3, 0x79, NAN},
        {HLO_F8E4M3FNUZ, 0x01, 0x1p-10}, {HLO_F8E4M3FNUZ, 0x7f, 240}, {HLO_F8E4M3FNUZ, 0x80, NAN},
        {HLO_F8E4M3B11FNUZ, 0x01, 0x1p-13}, {HLO_F8E4M3B11FNUZ, 0x7f, 30}, {HLO_F8E4M3B11FNUZ, 0x80, NAN},
        {HLO_F8E5M2FNUZ, 0x01, 0x1p-17}, {HLO_F8E5M2FNUZ, 0x7f, 57344}, {HLO_F8E5M2FNUZ, 0x80, NAN},
        {HLO_F8E4M3FN, 0x7e, 448}, {HLO_F8E4M3FN, 0x7f, NAN}, {HLO_F8E5M2, 0x7b, 57344}, {HLO_F8E5M2, 0xfc, -INFINITY},
        {HLO_F16, 0x7bff, 65504}, {HLO_F16, 0x0001, 0x1p-24}, {HLO_BF16, 0x3fc0, 1.5},
        {HLO_F8E8M0FNU, 0x00, 0x1p-127}, {HLO_F8E8M0FNU, 0x7f, 1}, {HLO_F8E8M0FNU, 0xfe, 0x1p127},
        {HLO_F8E8M0FNU, 0xff, NAN}, {HLO_I2, 2, -2}, {HLO_I2, 1, 1}, {HLO_UI2, 3, 3},
        {HLO_TF32, 0x1fc00, 1}, {HLO_TF32, 0x00001, 0x1p-136}, {HLO_TF32, 0x7fbff, -0x1.ffcp127},
    };
    for (size_t i = 0; i < sizeof fact / sizeof *fact; i++) {
        test_case("%s %x", hlo_elem_of(fact[i].e)->text, fact[i].bits);
        CHECK(same(narrow_decode(fact[i].e, fact[i].bits), fact[i].value));
        CHECK(isnan(fact[i].value) || narrow_encode(fact[i].e, fact[i].value) == fact[i].bits);
    }
}

TEST(every_pattern_comes_back) {
    for (int k = 0; k < NVALUES; k++) {
        test_case("%s", hlo_elem_of(floats[k])->text);
        for (uint32_t b = 0; b < 1u << hlo_elem_of(floats[k])->bits; b++) {
            double v = narrow_decode(floats[k], b);
            CHECK(same(narrow_round(floats[k], v), v));
            if (!isnan(v)) CHECK_EQ(narrow_encode(floats[k], v), b);
            else CHECK(isnan(narrow_decode(floats[k], narrow_encode(floats[k], v))));
        }
    }
}

/* ---- rounding against a search ---------------------------------------------------------------------------------- */

/* The finite pattern nearest to |v|, the even one when two are; half a step past the greatest still reaches it. */
static double nearest(enum hlo_elem e, double v) {
    const struct narrow_format *f = narrow_format_of(e);
    int width = hlo_elem_of(e)->bits;
    uint32_t n = f->kind == NARROW_SCALE ? 255 : 1u << (width - 1), best = 0, last = 0;
    double low = INFINITY, a = fabs(v);
    if (f->kind == NARROW_SCALE && !(v > 0 && v < INFINITY)) return NAN;
    if (isnan(v)) return f->kind == NARROW_FINITE ? -0.0 : v;
    for (uint32_t b = 0; b < n; b++) {
        double w = narrow_decode(e, b), d = fabs(w - a);
        if (isnan(w) || isinf(w)) continue;
        if (d < low || (d == low && b % 2 == 0)) low = d, best = b;
        last = b;
    }
    double top = narrow_decode(e, last), below = narrow_decode(e, last - 1), next = top + (top - below);
    if (f->kind == NARROW_SCALE) next = 2 * top;
    bool over = a > (top + next) / 2 || (a == (top + next) / 2 && last % 2);
    double r = narrow_decode(e, best);
    if (over) r = f->kind == NARROW_FINITE ? top : f->kind == NARROW_IEEE ? INFINITY : NAN;
    return f->kind == NARROW_FNUZ && r == 0 ? 0 : copysign(r, v);
}

/* Numbers of every magnitude, midpoints of neighbours and what is right beside them, specials. */
static double trial(enum hlo_elem e, int i) {
    static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1e30, -1e30, 1e-44, -1e-44};
    if (i < (int)(sizeof special / sizeof *special)) return special[i];
    if (i % 3 == 0) return ldexp(rng_normal(test_rng()), (int)rng_below(test_rng(), 270) - 140);
    if (i % 3 == 1) return ldexp(rng_normal(test_rng()), (int)rng_below(test_rng(), 30) - 15);
    uint32_t b = (uint32_t)rng_below(test_rng(), (1u << hlo_elem_of(e)->bits) - 1);
    double v = narrow_decode(e, b), w = narrow_decode(e, b + 1), mid = (v + w) / 2;
    int side = (int)rng_below(test_rng(), 3);
    if (isnan(mid) || isinf(mid)) return mid;
    return side == 0 ? mid : (double)nextafterf((float)mid, side == 1 ? INFINITY : -INFINITY);
}

TEST(rounds_to_the_nearest_pattern) {
    for (int k = 0; k < NVALUES; k++) {
        test_case("%s", hlo_elem_of(floats[k])->text);
        for (int i = 0; i < MANY; i++) {
            double v = (double)(float)trial(floats[k], i);
            double got = narrow_round(floats[k], v), want = nearest(floats[k], v);
            if (!CHECK_MSG(same(got, want), "%a rounds to %a, the nearest is %a", v, got, want)) break;
        }
    }
}

/* ---- the graph -------------------------------------------------------------------------------------------------- */

typedef tsr_node *build_fn(struct imp *p, enum hlo_elem e, tsr_node *x);

/* build over n values of dtype t, read back from both tiers: got[0] compiled, got[1] the reference. */
static bool run_both(tsr_ctx *c, build_fn *build, enum hlo_elem e, tsr_dtype t, int n, const void *data, size_t bytes,
    void *const got[2]) {
    struct imp p = {.c = c};
    const tsr_type *type = tsr_type_dims(c, t, 1, (int64_t[]){n});
    if (!CHECK(tsr_fn_begin(c, "narrow") == TSR_OK)) return false;
    tsr_node *x = tsr_param(c, type, "x"), *y = build(&p, e, x), *out;
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    tsr_node *arg = tsr_from(c, type, data);
    bool ok = f && tsr_run(c, f, 1, &arg, &out) == TSR_OK && tsr_read(c, out, got[0], bytes) == TSR_OK &&
        tsr_interpret(c, f, 1, &arg, &out) == TSR_OK && tsr_read(c, out, got[1], bytes) == TSR_OK;
    tsr_fn_free(c, f);
    CHECK_OK(c);
    return CHECK(ok);
}

static tsr_node *to_grid(struct imp *p, enum hlo_elem e, tsr_node *x) { return imp_to_grid(p, e, x); }
static tsr_node *converted(struct imp *p, enum hlo_elem e, tsr_node *x) { return imp_to_elem(p, e, x); }
static tsr_node *to_bits(struct imp *p, enum hlo_elem e, tsr_node *x) {
    x = imp_bits_as(p, e, hlo_elem_of(e)->bits == 4 ? HLO_UI4 : HLO_UI8, x);
    return tsr_node_dtype(x) == TSR_U8 ? x : tsr_prim_convert(p->c, x, TSR_U8);
}
static tsr_node *from_bits(struct imp *p, enum hlo_elem e, tsr_node *x) {
    bool four = hlo_elem_of(e)->bits == 4;
    return imp_bits_as(p, four ? HLO_UI4 : HLO_UI8, e, four ? tsr_prim_convert(p->c, x, TSR_U4) : x);
}

TEST(grid_as_graph) {
    tsr_ctx *c = test_ctx();
    static float x[MANY], got[2][MANY];
    for (int k = 0; k <= NFLOATS; k++) {
        enum hlo_elem e = k < NFLOATS ? floats[k] : HLO_TF32;
        test_case("%s", hlo_elem_of(e)->text);
        for (int i = 0; i < MANY; i++) x[i] = (float)trial(k < NFLOATS ? e : HLO_F8E5M2FNUZ, i);
        if (!run_both(c, to_grid, e, TSR_F32, MANY, x, sizeof x, (void *[]){got[0], got[1]})) continue;
        for (int tier = 0; tier < 2; tier++)
            for (int i = 0; i < MANY; i++) {
                double want = narrow_round(e, (double)x[i]);
                if (!CHECK_MSG(same((double)got[tier][i], want), "tier %d: %a gives %a, want %a", tier, (double)x[i],
                    (double)got[tier][i], want)) break;
            }
    }
}

TEST(conversion_from_f64_rounds_once) {
    tsr_ctx *c = test_ctx();
    static double x[MANY];
    static float got[2][MANY];
    for (int k = 0; k < NFLOATS; k++) {
        test_case("%s", hlo_elem_of(floats[k])->text);
        for (int i = 0; i < MANY; i++) {
            x[i] = (double)(float)trial(floats[k], i);
            if (i % 2 && isfinite(x[i])) x[i] *= 1 + 0x1p-50 * (double)(i % 4 - 2); /* beside the midpoint, past f32 */
        }
        if (!run_both(c, converted, floats[k], TSR_F64, MANY, x, sizeof got[0], (void *[]){got[0], got[1]})) continue;
        for (int tier = 0; tier < 2; tier++)
            for (int i = 0; i < MANY; i++) {
                double want = narrow_round(floats[k], x[i]);
                if (!CHECK_MSG(same((double)got[tier][i], want), "tier %d: %a gives %a, want %a", tier, x[i],
                    (double)got[tier][i], want)) break;
            }
    }
}

TEST(bits_as_graph) {
    tsr_ctx *c = test_ctx();
    uint8_t bits[256], back[2][256];
    float value[2][256];
    for (int k = 0; k < NFLOATS; k++) {
        enum hlo_elem e = floats[k];
        int width = hlo_elem_of(e)->bits, n = 1 << width;
        if (width == 6) continue; /* no integer of 6 bits to cast to */
        test_case("%s", hlo_elem_of(e)->text);
        for (int i = 0; i < n; i++) bits[i] = (uint8_t)i;
        if (!run_both(c, from_bits, e, TSR_U8, n, bits, (size_t)n * 4, (void *[]){value[0], value[1]})) continue;
        if (!run_both(c, to_bits, e, TSR_F32, n, value[0], (size_t)n, (void *[]){back[0], back[1]})) continue;
        for (int tier = 0; tier < 2; tier++)
            for (int i = 0; i < n; i++) {
                double want = narrow_decode(e, (uint32_t)i);
                CHECK(same((double)value[tier][i], want));
                CHECK_EQ(back[tier][i], isnan(want) ? narrow_encode(e, NAN) : (uint32_t)i);
            }
    }
}

TEST(two_bit_integers_wrap) {
    tsr_ctx *c = test_ctx();
    int8_t x[256], got[2][256];
    for (int i = 0; i < 256; i++) x[i] = (int8_t)(i - 128);
    for (int u = 0; u < 2; u++) {
        enum hlo_elem e = u ? HLO_UI2 : HLO_I2;
        test_case("%s", hlo_elem_of(e)->text);
        if (!run_both(c, to_grid, e, u ? TSR_U8 : TSR_I8, 256, x, sizeof x, (void *[]){got[0], got[1]})) continue;
        for (int i = 0; i < 256; i++) {
            int low = (uint8_t)x[i] & 3, want = u || low < 2 ? low : low - 4;
            CHECK_EQ(got[0][i], want);
            CHECK_EQ(got[1][i], want);
        }
    }
}

/* Every pair of 2-bit integers through the operations that look at bits, against the same on patterns. */
TEST(two_bit_operations) {
    static const char *const ops[] = {"popcnt", "count_leading_zeros", "not", "shift_right_logical",
        "shift_right_arithmetic", "shift_left", "add", "multiply"};
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
        for (int u = 0; u < 2; u++) {
            char text[900];
            const char *t = u ? "ui2" : "i2";
            bool two = k > 2;
            int8_t got[16];
            test_case("%s %s", ops[k], t);
            snprintf(text, sizeof text, "func.func @main() -> tensor<16x%s> {\n"
                "  %%a = stablehlo.constant dense<[0, 0, 0, 0, 1, 1, 1, 1, %s]> : tensor<16x%s>\n"
                "  %%b = stablehlo.constant dense<[0, 1, %s, 0, 1, %s, 0, 1, %s, 0, 1, %s]> : tensor<16x%s>\n"
                "  %%y = stablehlo.%s %%a%s : tensor<16x%s>\n  return %%y : tensor<16x%s>\n}\n", t,
                u ? "2, 2, 2, 2, 3, 3, 3, 3" : "-2, -2, -2, -2, -1, -1, -1, -1", t, u ? "2, 3" : "-2, -1",
                u ? "2, 3" : "-2, -1", u ? "2, 3" : "-2, -1", u ? "2, 3" : "-2, -1", t, ops[k], two ? ", "
                    "%b" : "", t, t);
            tsr_fn *f = hlo_fn(c, text);
            for (int tier = 0; f && tier < HLO_TIERS; tier++) {
                tsr_node *out;
                CHECK_EQ(hlo_run(c, (enum hlo_tier)tier, f, 0, NULL, &out), TSR_OK);
                CHECK_EQ(tsr_read(c, out, got, sizeof got), TSR_OK);
                for (int i = 0; i < 16; i++) {
                    int a = i / 4, b = i % 4, fill = !u && a > 1 ? 0xf : 0, want[] = {(a & 1) + (a >> 1),
                        a > 1 ? 0 : a ? 1 : 2, ~a, b > 1 ? 0 : a >> b, (a | fill << 2) >> (b > 1 ? 2 : b),
                        b > 1 ? 0 : a << b, a + b, a * b};
                    CHECK_MSG((got[i] & 3) == (want[k] & 3) && got[i] == (u || (got[i] & 3) < 2 ? got[i] & 3 :
                        (got[i] & 3) - 4), "tier %d: %d, %d give %d, want %d", tier, a, b, got[i], want[k] & 3);
                }
            }
            CHECK_OK(c);
            tsr_fn_free(c, f);
        }
}

static bool build_all(tsr_ctx *c, void *unused) {
    struct imp p = {.c = c};
    (void)unused;
    const tsr_type *t = tsr_type_dims(c, TSR_F64, 1, (int64_t[]){3});
    if (!t || tsr_fn_begin(c, "narrow")) return false;
    tsr_node *y = imp_to_elem(&p, HLO_F8E4M3FNUZ, tsr_param(c, t, "x"));
    y = imp_bits_as(&p, HLO_F8E3M4, HLO_F8E8M0FNU, imp_to_grid(&p, HLO_F8E3M4, y));
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    tsr_fn_free(c, f);
    return f != NULL;
}

TEST(survives_every_failed_allocation) { CHECK(torture(build_all, NULL) > 0); }
