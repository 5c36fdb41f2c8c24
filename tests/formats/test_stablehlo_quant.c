/* Quantised types: every rule of import_quant.c against the formulas of the specification computed here in plain C, on
 * random values, both tiers; what is stored is read by bitcast_convert. */
#include <math.h>
#include <stdlib.h>

#include "hlo_run.h"
#include "suite.h"

enum { N = 64 };

struct quant { const char *text; float scale; int zero, low, high; };
static const struct quant
    fine = {"!quant.uniform<i8:f32, 0.05:3>", 0.05f, 3, -128, 127},
    coarse = {"!quant.uniform<i8:f32, 0.5:-20>", 0.5f, -20, -128, 127},
    narrow = {"!quant.uniform<i8<-20:30>:f32, 0.25:-1>", 0.25f, -1, -20, 30},
    wide = {"!quant.uniform<i32:f32, 0.002>", 0.002f, 0, INT32_MIN, INT32_MAX};

static float real_of(const struct quant *q, int stored) { return (float)(stored - q->zero) * q->scale; }
static int stored_of(const struct quant *q, float x) {
    float v = x / q->scale + (float)q->zero;
    v = v < (float)q->low ? (float)q->low : v > (float)q->high ? (float)q->high : v;
    return v >= 2147483648.0f ? INT32_MAX : (int)rintf(v);
}

static void random_reals(float *x, int n, double spread) {
    for (int i = 0; i < n; i++) x[i] = (float)(rng_normal(test_rng()) * spread);
}

/* main(n args of f32[N] or i8[N]) -> i8[nout] or i32[nout], run on both tiers and compared. */
static void check_program(tsr_ctx *c, const char *text, int n, tsr_node *const *arg, tsr_dtype t, const int *want,
    int nout) {
    tsr_fn *f = hlo_fn(c, text);
    for (int tier = 0; f && tier < HLO_TIERS; tier++) {
        int8_t small[4 * N];
        int32_t big[4 * N];
        tsr_node *out;
        if (!CHECK_EQ(hlo_run(c, (enum hlo_tier)tier, f, n, arg, &out), TSR_OK)) break;
        bool bytes = t == TSR_I8;
        tsr_read(c, out, bytes ? (void *)small : (void *)big, (size_t)nout * (bytes ? 1 : 4));
        for (int i = 0; i < nout; i++) {
            int got = bytes ? small[i] : big[i];
            if (!CHECK_MSG(got == want[i], "tier %d, element %d: stored %d, want %d", tier, i, got, want[i])) break;
        }
    }
    CHECK_OK(c);
    tsr_fn_free(c, f);
}

static tsr_node *vector_f32(tsr_ctx *c, const float *x) { return tsr_tensor(c, TSR_F32, 1, (int64_t[]){N}, x); }

/* ---- there and back --------------------------------------------------------------------------------------------- */

TEST(quantize) {
    tsr_ctx *c = test_ctx();
    const struct quant *all[] = {&fine, &coarse, &narrow};
    for (int k = 0; k < 3; k++) {
        char text[600];
        float x[N];
        int want[N];
        test_case("%s", all[k]->text);
        random_reals(x, N, 20);
        x[0] = 0, x[1] = INFINITY, x[2] = -INFINITY;
        for (int i = 3; i < 12; i++) x[i] = all[k]->scale * ((float)i - 7.5f); /* halves go to even */
        for (int i = 0; i < N; i++) want[i] = stored_of(all[k], x[i]);
        snprintf(text, sizeof text,
            "func.func @main(%%a: tensor<64xf32>) -> tensor<64xi8> {\n"
            "  %%q = stablehlo.uniform_quantize %%a : (tensor<64xf32>) -> tensor<64x%s>\n"
            "  %%r = stablehlo.bitcast_convert %%q : (tensor<64x%s>) -> tensor<64xi8>\n"
            "  return %%r : tensor<64xi8>\n}\n", all[k]->text, all[k]->text);
        tsr_node *arg = vector_f32(c, x);
        check_program(c, text, 1, &arg, TSR_I8, want, N);
    }
}

TEST(requantize_and_dequantize) {
    tsr_ctx *c = test_ctx();
    char text[800];
    int8_t x[N];
    int want[N];
    for (int i = 0; i < N; i++) x[i] = (int8_t)((int)rng_below(test_rng(), 256) - 128);
    for (int i = 0; i < N; i++) want[i] = stored_of(&wide, real_of(&fine, stored_of(&fine, real_of(&coarse, x[i]))));
    snprintf(text, sizeof text,
        "func.func @main(%%a: tensor<64xi8>) -> tensor<64xi32> {\n"
        "  %%q = stablehlo.bitcast_convert %%a : (tensor<64xi8>) -> tensor<64x%s>\n"
        "  %%s = stablehlo.uniform_quantize %%q : (tensor<64x%s>) -> tensor<64x%s>\n"
        "  %%f = stablehlo.uniform_dequantize %%s : (tensor<64x%s>) -> tensor<64xf32>\n"
        "  %%w = stablehlo.uniform_quantize %%f : (tensor<64xf32>) -> tensor<64x%s>\n"
        "  %%r = stablehlo.bitcast_convert %%w : (tensor<64x%s>) -> tensor<64xi32>\n"
        "  return %%r : tensor<64xi32>\n}\n", coarse.text, coarse.text, fine.text, fine.text, wide.text, wide.text);
    tsr_node *arg = tsr_tensor(c, TSR_I8, 1, (int64_t[]){N}, x);
    check_program(c, text, 1, &arg, TSR_I32, want, N);
}

/* Scales along an axis, and in blocks of two rows by two columns; the transpose carries the axis along. */
TEST(scales_per_axis_and_block) {
    tsr_ctx *c = test_ctx();
    static const char *const per_axis =
        "func.func @main(%a: tensor<2x3xf32>) -> tensor<3x2xi8> {\n"
        "  %q = stablehlo.uniform_quantize %a : (tensor<2x3xf32>) -> tensor<2x3x!quant.uniform<i8:f32:1, "
        "{0.1:-30,0.5:2,2.0}>>\n"
        "  %t = stablehlo.transpose %q, dims = [1, 0] : (tensor<2x3x!quant.uniform<i8:f32:1, {0.1:-30,0.5:2,2.0}>>)\n"
        "    -> tensor<3x2x!quant.uniform<i8:f32:0, {0.1:-30,0.5:2,2.0}>>\n"
        "  %m = stablehlo.add %t, %t : (tensor<3x2x!quant.uniform<i8:f32:0, {0.1:-30,0.5:2,2.0}>>,\n"
        "    tensor<3x2x!quant.uniform<i8:f32:0, {0.1:-30,0.5:2,2.0}>>) -> tensor<3x2x!quant.uniform<i8:f32:0, "
        "{0.2,0.5,1.0}>>\n"
        "  %r = stablehlo.bitcast_convert %m : (tensor<3x2x!quant.uniform<i8:f32:0, {0.2,0.5,1.0}>>) -> "
        "tensor<3x2xi8>\n"
        "  return %r : tensor<3x2xi8>\n}\n";
    static const struct quant in[3] = {{"", 0.1f, -30, -128, 127}, {"", 0.5f, 2, -128, 127}, {"", 2, 0, -128, 127}};
    static const struct quant out[3] = {{"", 0.2f, 0, -128, 127}, {"", 0.5f, 0, -128, 127}, {"", 1, 0, -128, 127}};
    float x[24];
    int want[24];
    test_case("axis");
    random_reals(x, 6, 5);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            float v = real_of(&in[i], stored_of(&in[i], x[j * 3 + i]));
            want[i * 2 + j] = stored_of(&out[i], v + v);
        }
    tsr_node *arg = tsr_tensor(c, TSR_F32, 2, (int64_t[]){2, 3}, x);
    check_program(c, per_axis, 1, &arg, TSR_I8, want, 6);

    test_case("block");
    static const char *const per_block =
        "func.func @main(%a: tensor<4x6xf32>) -> tensor<4x6xi8> {\n"
        "  %q = stablehlo.uniform_quantize %a : (tensor<4x6xf32>) ->\n"
        "    tensor<4x6x!quant.uniform<i8:f32:{0:2,1:3}, {{0.1, 0.2:4}, {0.5:-3, 1.0}}>>\n"
        "  %r = stablehlo.bitcast_convert %q : (tensor<4x6x!quant.uniform<i8:f32:{0:2,1:3}, {{0.1, 0.2:4}, {0.5:-3, "
        "1.0}}>>)\n"
        "    -> tensor<4x6xi8>\n"
        "  return %r : tensor<4x6xi8>\n}\n";
    static const struct quant block[4] = {{"", 0.1f, 0, -128, 127}, {"", 0.2f, 4, -128, 127},
                                          {"", 0.5f, -3, -128, 127}, {"", 1, 0, -128, 127}};
    random_reals(x, 24, 10);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 6; j++) want[i * 6 + j] = stored_of(&block[i / 2 * 2 + j / 3], x[i * 6 + j]);
    arg = tsr_tensor(c, TSR_F32, 2, (int64_t[]){4, 6}, x);
    check_program(c, per_block, 1, &arg, TSR_I8, want, 24);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static float sum_of(float x, float y) { return x + y; }
static float product_of(float x, float y) { return x * y; }
static float greater_of(float x, float y) { return x > y ? x : y; }
static float first_of(float x, float y) { return (void)y, x; }

TEST(elementwise) {
    tsr_ctx *c = test_ctx();
    static const struct { const char *op; float (*f)(float, float); } ops[] = {
        {"stablehlo.add %q, %s", sum_of}, {"stablehlo.multiply %q, %s", product_of},
        {"stablehlo.maximum %q, %s", greater_of}, {"stablehlo.select %t, %q, %s", first_of},
    };
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        char text[1400];
        float x[N], y[N];
        int want[N];
        bool select = ops[k].f == first_of;
        test_case("%s", ops[k].op);
        random_reals(x, N, 3), random_reals(y, N, 20);
        for (int i = 0; i < N; i++)
            want[i] = stored_of(&narrow, ops[k].f(real_of(&fine, stored_of(&fine, x[i])),
                real_of(&coarse, stored_of(&coarse, y[i]))));
        snprintf(text, sizeof text,
            "func.func @main(%%a: tensor<64xf32>, %%b: tensor<64xf32>) -> tensor<64xi8> {\n"
            "  %%t = stablehlo.constant dense<true> : tensor<64xi1>\n"
            "  %%q = stablehlo.uniform_quantize %%a : (tensor<64xf32>) -> tensor<64x%s>\n"
            "  %%s = stablehlo.uniform_quantize %%b : (tensor<64xf32>) -> tensor<64x%s>\n"
            "  %%m = %s : (%stensor<64x%s>, tensor<64x%s>) -> tensor<64x%s>\n"
            "  %%r = stablehlo.bitcast_convert %%m : (tensor<64x%s>) -> tensor<64xi8>\n"
            "  return %%r : tensor<64xi8>\n}\n", fine.text, coarse.text, ops[k].op, select ? "tensor<64xi1>, " : "",
            fine.text, coarse.text, narrow.text, narrow.text);
        tsr_node *arg[2] = {vector_f32(c, x), vector_f32(c, y)};
        check_program(c, text, 2, arg, TSR_I8, want, N);
    }
}

TEST(products) { /* scales are powers of two: every product and sum is exact */
    tsr_ctx *c = test_ctx();
    char text[1400];
    float x[N], y[N];
    int want[16];
    random_reals(x, 32, 2), random_reals(y, 32, 10);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            double sum = 0;
            for (int k = 0; k < 8; k++)
                sum += (double)real_of(&narrow, stored_of(&narrow, x[i * 8 + k])) *
                    (double)real_of(&coarse, stored_of(&coarse, y[k * 4 + j]));
            want[i * 4 + j] = stored_of(&coarse, (float)sum);
        }
    snprintf(text, sizeof text,
        "func.func @main(%%a: tensor<4x8xf32>, %%b: tensor<8x4xf32>) -> tensor<4x4xi8> {\n"
        "  %%q = stablehlo.uniform_quantize %%a : (tensor<4x8xf32>) -> tensor<4x8x%s>\n"
        "  %%s = stablehlo.uniform_quantize %%b : (tensor<8x4xf32>) -> tensor<8x4x%s>\n"
        "  %%m = stablehlo.dot_general %%q, %%s, contracting_dims = [1] x [0] : (tensor<4x8x%s>, tensor<8x4x%s>)\n"
        "    -> tensor<4x4x%s>\n"
        "  %%r = stablehlo.bitcast_convert %%m : (tensor<4x4x%s>) -> tensor<4x4xi8>\n"
        "  return %%r : "
        "tensor<4x4xi8>\n}\n", narrow.text, coarse.text, narrow.text, coarse.text, coarse.text, coarse.text);
    tsr_node *arg[2] = {tsr_tensor(c, TSR_F32, 2, (int64_t[]){4, 8}, x),
                        tsr_tensor(c, TSR_F32, 2, (int64_t[]){8, 4}, y)};
    check_program(c, text, 2, arg, TSR_I8, want, 16);
}

/* Movement keeps the stored integers; concatenating different parameters does not. */
TEST(movement) {
    tsr_ctx *c = test_ctx();
    char text[1800];
    int8_t x[N];
    int want[2 * N];
    for (int i = 0; i < N; i++) x[i] = (int8_t)((int)rng_below(test_rng(), 256) - 128);
    for (int i = 0; i < N; i++) {
        want[i] = x[N - 1 - i];
        want[N + i] = stored_of(&fine, real_of(&coarse, x[i]));
    }
    snprintf(text, sizeof text,
        "func.func @main(%%a: tensor<64xi8>) -> tensor<128xi8> {\n"
        "  %%q = stablehlo.bitcast_convert %%a : (tensor<64xi8>) -> tensor<64x%s>\n"
        "  %%m = stablehlo.reshape %%q : (tensor<64x%s>) -> tensor<8x8x%s>\n"
        "  %%v = stablehlo.reverse %%m, dims = [0, 1] : tensor<8x8x%s>\n"
        "  %%w = stablehlo.reshape %%v : (tensor<8x8x%s>) -> tensor<64x%s>\n"
        "  %%s = stablehlo.bitcast_convert %%a : (tensor<64xi8>) -> tensor<64x%s>\n"
        "  %%j = stablehlo.concatenate %%w, %%s, dim = 0 : (tensor<64x%s>, tensor<64x%s>) -> tensor<128x%s>\n"
        "  %%r = stablehlo.bitcast_convert %%j : (tensor<128x%s>) -> tensor<128xi8>\n"
        "  return %%r : tensor<128xi8>\n}\n", fine.text, fine.text, fine.text, fine.text, fine.text, fine.text,
        coarse.text, fine.text, coarse.text, fine.text, fine.text);
    tsr_node *arg = tsr_tensor(c, TSR_I8, 1, (int64_t[]){N}, x);
    check_program(c, text, 1, &arg, TSR_I8, want, 2 * N);
}

/* A reduction's body is on quantised values: its sums are of reals, not of stored integers. */
TEST(bodies) {
    tsr_ctx *c = test_ctx();
    char text[1600];
    int8_t x[N];
    int want[1];
    for (int i = 0; i < N; i++) x[i] = (int8_t)(coarse.zero + (int)rng_below(test_rng(), 9) - 4);
    double sum = 0;
    for (int i = 0; i < N; i++) sum += (double)real_of(&coarse, x[i]);
    want[0] = stored_of(&coarse, (float)sum);
    snprintf(text, sizeof text,
        "func.func @main(%%a: tensor<64xi8>) -> tensor<i8> {\n"
        "  %%q = stablehlo.bitcast_convert %%a : (tensor<64xi8>) -> tensor<64x%s>\n"
        "  %%z = stablehlo.constant dense<-20> : tensor<i8>\n"
        "  %%0 = stablehlo.bitcast_convert %%z : (tensor<i8>) -> tensor<%s>\n"
        "  %%s = \"stablehlo.reduce\"(%%q, %%0) ({\n"
        "  ^bb0(%%x: tensor<%s>, %%y: tensor<%s>):\n"
        "    %%t = stablehlo.add %%x, %%y : tensor<%s>\n"
        "    stablehlo.return %%t : tensor<%s>\n"
        "  }) {dimensions = array<i64: 0>} : (tensor<64x%s>, tensor<%s>) -> tensor<%s>\n"
        "  %%r = stablehlo.bitcast_convert %%s : (tensor<%s>) -> tensor<i8>\n"
        "  return %%r : tensor<i8>\n}\n", coarse.text, coarse.text, coarse.text, coarse.text, coarse.text, coarse.text,
        coarse.text, coarse.text, coarse.text, coarse.text);
    tsr_node *arg = tsr_tensor(c, TSR_I8, 1, (int64_t[]){N}, x);
    check_program(c, text, 1, &arg, TSR_I8, want, 1);
}

/* ---- the published programs -------------------------------------------------------------------------------------- */

/* Every check of the file, as it states it: equal integers, floats within a tolerance. */
static void check_published(tsr_ctx *c, const struct hlo_module *m, const char *name) {
    struct hlo_import_options o = {.checks = true, .partition = -1, .replica = -1};
    hlo_checks checks = {0};
    tsr_fn *f = hlo_import(m, name, &o, &checks);
    tsr_node *out[64];
    CHECK(!f || checks.n > 0);
    for (int tier = 0; f && tier < HLO_TIERS; tier++) {
        if (!CHECK(2 * checks.n <= 64) || !CHECK_EQ(hlo_run(c, (enum hlo_tier)tier, f, 0, NULL, out), TSR_OK)) break;
        for (size_t i = 0; i < checks.n; i++) {
            int64_t count = 1;
            double *v[2];
            for (int a = 0; a < tsr_node_rank(out[2 * i]); a++) count *= tsr_node_dim(out[2 * i], a);
            for (size_t k = 0; k < 2; k++) {
                v[k] = mem_array(c, (size_t)count + 1, sizeof *v[k]);
                CHECK_EQ(tsr_read(c, tsr_prim_convert(c, out[2 * i + k], TSR_F64), v[k], (size_t)count * 8), TSR_OK);
            }
            double tolerance = checks.v[i].kind == HLO_CHECK_EQ ? 0 : checks.v[i].tolerance;
            CHECK_F64(v[0], v[1], (size_t)count, 0, tolerance);
            for (int k = 0; k < 2; k++) mem_array_free(c, v[k], (size_t)count + 1, sizeof *v[k]);
        }
    }
    CHECK_OK(c);
    vec_release(c, &checks);
    tsr_fn_free(c, f);
}

/* Every function of the file that takes nothing. */
static void check_file(const char *path) {
    size_t bytes, at = 0, n;
    const char *section;
    uint32_t line;
    char *text = suite_read(path, &bytes);
    while (text && hlo_split(text, bytes, &at, &section, &n, &line)) {
        tsr_ctx *c = test_ctx();
        struct hlo_module *m = hlo_read_section(c, path, section, n, line);
        CHECK_OK(c);
        for (const struct hlo_op *f = m ? m->op->region[0].block[0].first : NULL; f; f = f->next)
            if (f->code == HLO_OP_FUNC) check_published(c, m, hlo_get_text(f, "sym_name"));
        hlo_module_free(m);
        test_ctx_close(c);
    }
    free(text);
}

TEST(published_programs) {
    const char *root = suite_find("stablehlo");
    if (!root) SKIP(SUITE_MISSING);
    struct suite_files files = suite_list(root, "testdata/quantized", ".mlir");
    CHECK(files.n > 0);
    for (int i = 0; i < files.n; i++) {
        test_case("%s", files.name[i]);
        check_file(files.path[i]);
    }
    suite_list_free(&files);
    files = suite_list(root, "tests/interpret", "quantized_ops.mlir");
    CHECK(files.n > 0);
    for (int i = 0; i < files.n; i++) {
        test_case("%s", files.name[i]);
        check_file(files.path[i]);
    }
    suite_list_free(&files);
}

/* ---- failures --------------------------------------------------------------------------------------------------- */

TEST(wrong_parameters_are_refused) {
    tsr_ctx *c = test_ctx();
    CHECK(!hlo_fn(c, "func.func @main(%a: tensor<2xf32>) -> tensor<2x!quant.uniform<i8:f32:0, {0.1,0.2,0.3}>> {\n"
        "  %q = stablehlo.uniform_quantize %a : (tensor<2xf32>) -> tensor<2x!quant.uniform<i8:f32:0, {0.1,0.2,0.3}>>\n"
        "  return %q : tensor<2x!quant.uniform<i8:f32:0, {0.1,0.2,0.3}>>\n}\n"));
    CHECK_ERROR(c, TSR_EINVAL, "test.mlir:2");
}

static bool import_quantised(tsr_ctx *c, void *unused) {
    (void)unused;
    tsr_fn *f = hlo_fn(c, "func.func @main(%a: tensor<2xf32>) -> tensor<2x!quant.uniform<i8:f32:0, {0.1,0.2}>> {\n"
        "  %q = stablehlo.uniform_quantize %a : (tensor<2xf32>) -> tensor<2x!quant.uniform<i8:f32:0, {0.1,0.2}>>\n"
        "  %r = stablehlo.add %q, %q : tensor<2x!quant.uniform<i8:f32:0, {0.1,0.2}>>\n"
        "  return %r : tensor<2x!quant.uniform<i8:f32:0, {0.1,0.2}>>\n}\n");
    tsr_fn_free(c, f);
    return f != NULL;
}

TEST(survives_every_failed_allocation) { CHECK(torture(import_quantised, NULL) > 0); }
