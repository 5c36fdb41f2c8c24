/* test_special.c: reduce_precision against an oracle that rounds numbers, not bits; Bessel functions, zeta and
 * polygamma against values of 20 digits (computed with mpmath); each in the interpreter and in the compiled tier;
 * gradients against differences; torture. */
#include <stdio.h>

#include "graph/build.h"
#include "tessera/run.h"
#include "transform/support.h"

/* n elements of dtype t through the fn that `build` makes of one parameter, in a tier; as doubles. */
typedef tsr_node *builder(tsr_ctx *c, tsr_node *x, int a, int b);

static bool run_one(tsr_ctx *c, builder *build, int a, int b, tsr_dtype t, int n, const void *in, bool compiled,
                    void *out) {
    const tsr_type *type = tsr_type_dims(c, t, 1, (int64_t[]){n});
    tsr_node *arg = tsr_from(c, type, in), *result = NULL;
    if (tsr_fn_begin(c, "special") != TSR_OK) return false;
    tsr_node *y = build(c, tsr_param(c, type, "x"), a, b);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    size_t bytes = (size_t)n * (size_t)tsr_dtype_of(t)->bytes;
    memset(out, 0xa5, bytes);
    bool ok = f && (compiled ? tsr_run : tsr_interpret)(c, f, 1, &arg, &result) == TSR_OK;
    ok = ok && tsr_read(c, result, out, bytes) == TSR_OK;
    CHECK_MSG(ok, "%s", tsr_error_message(c));
    tsr_fn_free(c, f);
    return ok;
}

/* ---- reduce_precision ------------------------------------------------------------------------------------------- */

/* x to a float of e exponent and m mantissa bits; own: exponent bits of x's own format. The dropped digits count from
 * x's own last place where x is subnormal. */
static double reduced(double x, int e, int m, int own, int own_mantissa) {
    int at;
    if (isnan(x)) return m > 0 ? x : INFINITY;
    if (x == 0 || isinf(x)) return x;
    frexp(x, &at);
    int bias = (1 << (own - 1)) - 1, least = 1 - bias - own_mantissa; /* exponent of the last place of a subnormal */
    int unit = at - 1 - m;
    if (unit < least + own_mantissa - m && own_mantissa > m) unit = least + own_mantissa - m;
    double scaled = ldexp(x, -unit);
    if (m == 0 && fabs(scaled) == 1.5) x = copysign(ldexp((unit + bias) % 2 ? 2 : 1, unit), x); /* even: the exponent */
    else if (m < own_mantissa) x = ldexp(rint(scaled), unit);
    if (x == 0) return x;
    frexp(x, &at);
    if (e >= own) return at > bias + 1 ? copysign(INFINITY, x) : x;
    int range = (1 << (e - 1)) - 1;
    if (at - 1 > range) return copysign(INFINITY, x);
    return at - 1 < 1 - range ? copysign(0, x) : x;
}

static tsr_node *reduce(tsr_ctx *c, tsr_node *x, int e, int m) { return tsr_reduce_precision(c, x, e, m); }

TEST(reduce_precision_of_any_bits) {
    static const struct { tsr_dtype t; int exponent, mantissa; } format[] = {{TSR_F64, 11, 52}, {TSR_F32, 8, 23},
        {TSR_F16, 5, 10}, {TSR_BF16, 8, 7}, {TSR_F8E5M2, 5, 2}, {TSR_F8E4M3, 4, 3}};
    enum { N = 500 };
    tsr_ctx *c = test_ctx();
    for (int turn = 0; turn < 120; turn++) {
        int k = turn % 6, e = (int)test_int(1, format[k].exponent + 1), m = (int)test_int(0, format[k].mantissa + 1);
        uint8_t in[N * 8], out[2][N * 8];
        size_t size = (size_t)tsr_dtype_of(format[k].t)->bytes;
        for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)test_int(0, 255);
        struct ref_tensor x = {.dtype = format[k].t, .count = N, .p = in};
        for (int i = 0; i < N / 2; i++) /* near 1, where little is lost to the range */
            ref_set(&x, i, (struct ref_val){.re = test_uniform(-2, 2) * ldexp(1, (int)test_int(-20, 20))});
        test_case("%s to e%dm%d", tsr_dtype_name(format[k].t), e, m);
        for (int tier = 0; tier < 2; tier++)
            if (!run_one(c, reduce, e, m, format[k].t, N, in, tier, out[tier])) return;
        for (int i = 0; i < N; i++) {
            struct ref_tensor y = {.dtype = format[k].t, .count = N, .p = out[0]}, want = y, z = y;
            uint8_t bits[8];
            double v = ref_get(&x, i).re, r;
            z.p = out[1], want.p = bits;
            if (size > 1) r = reduced(v, e, m, format[k].exponent, format[k].mantissa);
            else r = reduced(v, e >= format[k].exponent ? 5 : e, m, 5, 10); /* as f16 */
            ref_set(&want, 0, (struct ref_val){.re = r});
            double w = ref_get(&want, 0).re, got = ref_get(&y, i).re, vm = ref_get(&z, i).re;
            bool same = isnan(w) ? isnan(got) && isnan(vm)
                                 : got == w && vm == w && signbit(got) == signbit(w) && signbit(vm) == signbit(w);
            if (!CHECK_MSG(same, "%a: interpreter %a, compiled %a, want %a", v, got, vm, w)) break;
        }
    }
    CHECK_OK(c);
}

/* ---- values of 20 digits ---------------------------------------------------------------------------------------- */

static tsr_node *i0e(tsr_ctx *c, tsr_node *x, int a, int b) { return (void)a, (void)b, tsr_bessel_i0e(c, x); }
static tsr_node *i1e(tsr_ctx *c, tsr_node *x, int a, int b) { return (void)a, (void)b, tsr_bessel_i1e(c, x); }
static tsr_node *zeta_of(tsr_ctx *c, tsr_node *x, int a, int b) {
    return tsr_zeta(c, rule_full_like(c, x, a / 4.0), ((void)b, x));
}
static tsr_node *polygamma_of(tsr_ctx *c, tsr_node *x, int a, int b) {
    return tsr_polygamma(c, rule_full_like(c, x, a), ((void)b, x));
}

static const struct { builder *build; const char *name; int a; double x, want; } values[] = {
    {i0e, "i0e", 0, 0, 1}, {i1e, "i1e", 0, 0, 0}, {i0e, "i0e", 0, INFINITY, 0}, {i1e, "i1e", 0, -INFINITY, -0.0},
    {i0e, "i0e", 0, NAN, NAN}, {i1e, "i1e", 0, NAN, NAN},
    {i0e, "i0e", 0, 0.25, 0.79101716213971936389}, {i1e, "i1e", 0, -0.25, -0.098112628697368246674},
    {i0e, "i0e", 0, -1, 0.4657596075936404365}, {i1e, "i1e", 0, 1, 0.20791041534970844887},
    {i0e, "i0e", 0, 8, 0.14343178185685031071}, {i1e, "i1e", 0, 8, 0.13414249329269817831},
    {i0e, "i0e", 0, -8.5, 0.13900184305484759682}, {i1e, "i1e", 0, 8.5, 0.13054935509459585509},
    {i0e, "i0e", 0, 30, 0.073145946482237293929}, {i1e, "i1e", 0, -30, -0.071916330598647554706},
    {i0e, "i0e", 0, 700, 0.015081295651531357587}, {i1e, "i1e", 0, 700, 0.015070519444716846949},
    {i1e, "i1e", 0, 0x1p-100, 0x1p-101},
    {zeta_of, "zeta", 8, 1, 1.6449340668482264365}, {zeta_of, "zeta", 6, 0.25, 10.213055360466600739},
    {zeta_of, "zeta", 12, 100.5, 0.000049998750072908595238}, {zeta_of, "zeta", 120, 1, 1.0000000009313274324},
    {zeta_of, "zeta", 8, -0.5, 8.9348022005446793094}, {zeta_of, "zeta", 20, 1048576, 2.0679554756902299438e-25},
    {zeta_of, "zeta", 4, 3, INFINITY}, {zeta_of, "zeta", 3, 3, NAN}, {zeta_of, "zeta", 8, -2, INFINITY},
    {zeta_of, "zeta", 6, -0.5, NAN}, {zeta_of, "zeta", 8, INFINITY, 0}, {zeta_of, "zeta", 8, NAN, NAN},
    {polygamma_of, "polygamma", 0, 1.5, 0.036489973978576520559},
    {polygamma_of, "polygamma", 1, 1, 1.6449340668482264365},
    {polygamma_of, "polygamma", 1, -0.5, 8.9348022005446793094},
    {polygamma_of, "polygamma", 2, 0.1, -2001.8614573783436732},
    {polygamma_of, "polygamma", 3, 40.25, 0.000031833267701906661515},
    {polygamma_of, "polygamma", 10, 2, -1793.3116066287129906}, {polygamma_of, "polygamma", -1, 2, NAN},
};

TEST(values_of_20_digits) {
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < sizeof values / sizeof *values; k++)
        for (int tier = 0; tier < 2; tier++) {
            double x = values[k].x, y = 0;
            float x32 = (float)x, y32 = 0, want32 = (float)values[k].want;
            test_case("%s(%g, %g), tier %d", values[k].name, values[k].a / 4.0, x, tier);
            if (run_one(c, values[k].build, values[k].a, 0, TSR_F64, 1, &x, tier, &y))
                CHECK_ULP64(&y, &values[k].want, 1, 32);
            if ((double)x32 == x && run_one(c, values[k].build, values[k].a, 0, TSR_F32, 1, &x32, tier, &y32))
                CHECK_ULP32(&y32, &want32, 1, 1);
        }
    CHECK_OK(c);
}

/* ---- gradients, refusals, memory -------------------------------------------------------------------------------- */

static tsr_fn *sum_of_all(tsr_ctx *c) {
    const tsr_type *t = tsr_type_dims(c, TSR_F64, 1, (int64_t[]){5});
    if (tsr_fn_begin(c, "all") != TSR_OK) return NULL;
    tsr_node *x = tsr_param(c, t, "x"), *shifted = tsr_add(c, x, tsr_num(c, x, 3));
    tsr_node *y = tsr_add(c, tsr_bessel_i0e(c, x), tsr_bessel_i1e(c, x));
    y = tsr_add(c, y, tsr_zeta(c, tsr_num(c, x, 2.5), shifted));
    y = tsr_add(c, y, tsr_polygamma(c, tsr_num(c, x, 2), shifted));
    return tsr_fn_end(c, 1, &y);
}

TEST(gradients_of_special) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = sum_of_all(c), *g = f ? tsr_vjp(c, f) : NULL;
    struct arena a;
    struct ref_tensor in[2], dir[2], out[MOST];
    double scale = 1;
    arena_init(&a, c);
    if (CHECK_MSG(g != NULL, "%s", tsr_error_message(c)) && CHECK(ref_new(&a, TSR_F64, 1, (int64_t[]){5}, &in[0]))) {
        for (int i = 0; i < 5; i++) ref_set(&in[0], i, (struct ref_val){.re = test_uniform(0.2, 2)});
        random_like(&a, &in[0], &in[1]), random_like(&a, &in[0], &dir[0]);
        double want = difference_along(c, f, in, dir, &in[1], 1e-6, &a, &scale);
        if (run_fn(c, g, in, &a, out)) CHECK_CLOSE(pair(1, &out[g->nresult - 1], dir, &scale), want, 1e-6, 1e-6);
    }
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    arena_release(&a);
    CHECK_OK(c);
}

TEST(special_refused) {
    tsr_ctx *c = test_ctx();
    tsr_node *x = tsr_scalar_float(c, TSR_F32, 1), *i = tsr_scalar_int(c, TSR_I32, 1);
    CHECK(tsr_is_poison(tsr_reduce_precision(c, i, 5, 2)));
    CHECK_ERROR(c, TSR_EINVAL, "takes floats");
    CHECK(tsr_is_poison(tsr_reduce_precision(c, x, 0, 2)));
    CHECK_ERROR(c, TSR_EINVAL, "exponent bits");
    CHECK(tsr_is_poison(tsr_bessel_i1e(c, tsr_scalar_float(c, TSR_C64, 1))));
    CHECK_ERROR(c, TSR_EINVAL, "bessel_i1e");
    tsr_fn_begin(c, "zeta");
    tsr_node *s = tsr_param(c, tsr_type_dims(c, TSR_F64, 0, NULL), "s"), *y = tsr_zeta(c, s, s);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    CHECK(tsr_vjp(c, f) == NULL);
    CHECK_ERROR(c, TSR_EINVAL, "no gradient in s");
    tsr_fn_free(c, f);
}

static bool build_all(tsr_ctx *c, void *arg) {
    (void)arg;
    tsr_fn *f = sum_of_all(c), *g = f ? tsr_vjp(c, f) : NULL;
    bool ok = g != NULL;
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    while (fn_open_now(c)) tsr_fn_abort(c);
    tsr_node *x = tsr_scalar_float(c, TSR_F32, 1.1);
    return ok && !tsr_is_poison(tsr_reduce_precision(c, x, 4, 3));
}
TEST(special_memory) { CHECK(torture(build_all, NULL) > 0); }
