/* test_stablehlo_bodies.c: operations with bodies and big attributes, imported from text and run on both tiers.
 *
 * Every module is run by the reference interpreter and by the plan (tile VM and library kernels); both must give what
 * is expected: literals worked out by hand, or naive loops of the specification's formulas over random inputs. A wrong
 * order of a fold, a skipped or doubled initial value, an unstable network or a scatter that drops the wrong elements
 * fails here. Bodies that no primitive has are written so that an equal primitive body exists (a - (-b) for a + b). */
#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "formats/stablehlo/import.h"
#include "formats/stablehlo/read.h"
#include "harness.h"
#include "tessera/ops.h"
#include "tessera/run.h"

/* ---- running text ----------------------------------------------------------------------------------------------- */

enum { OUT_MAX = 8, VALUES_MAX = 4096 };

/* Values of results, as doubles, one result after the other. */
struct values { int n; double v[VALUES_MAX]; };

static bool read_values(tsr_ctx *c, int n, tsr_node *const *y, struct values *out) {
    out->n = 0;
    for (int i = 0; i < n; i++) {
        tsr_node *d = tsr_prim_convert(c, y[i], TSR_F64);
        int64_t dim[TSR_MAX_RANK], count = 1;
        if (tsr_is_poison(d) || !tsr_type_ints(tsr_node_type(d), dim)) return false;
        for (int a = 0; a < tsr_node_rank(d); a++) count *= dim[a];
        if (out->n + count > VALUES_MAX) return false;
        if (count && tsr_read(c, d, out->v + out->n, (size_t)count * sizeof(double)) != TSR_OK) return false;
        out->n += (int)count;
    }
    return true;
}

static tsr_fn *import_text(tsr_ctx *c, const char *text, struct hlo_module **m) {
    static const struct hlo_import_options plain = {.partition = -1};
    *m = hlo_read_text(c, "test.mlir", text, strlen(text));
    return *m ? hlo_import(*m, "main", &plain, NULL) : NULL;
}

/* @main of text on arguments x, by one tier. */
static bool run_text(tsr_ctx *c, const char *text, int n, tsr_node *const *x, bool vm, struct values *out) {
    struct hlo_module *m;
    tsr_node *y[OUT_MAX];
    tsr_fn *fn = import_text(c, text, &m);
    bool ok = fn && tsr_fn_results(fn) <= OUT_MAX &&
        (vm ? tsr_run : tsr_interpret)(c, fn, n, x, y) == TSR_OK && read_values(c, tsr_fn_results(fn), y, out);
    tsr_fn_free(c, fn);
    hlo_module_free(m);
    return ok;
}

static void check_values(const struct values *got, int n, const double *want, double rtol) {
    if (CHECK_EQ(got->n, n)) CHECK_F64(got->v, want, (size_t)n, rtol, rtol);
}

/* Both tiers against what is wanted. */
static void check_text(tsr_ctx *c, const char *text, int nx, tsr_node *const *x, int n, const double *want,
    double rtol) {
    struct values got;
    for (int vm = 0; vm < 2; vm++)
        if (CHECK(run_text(c, text, nx, x, vm != 0, &got))) check_values(&got, n, want, rtol);
    CHECK_OK(c);
}

/* f32 tensor with random values on a grid of 1/8, also kept in v: sums of them are exact in any order. */
static tsr_node *random_f32(tsr_ctx *c, int rank, const int64_t *dim, float *v) {
    int64_t n = 1;
    for (int a = 0; a < rank; a++) n *= dim[a];
    for (int64_t i = 0; i < n; i++) v[i] = (float)test_int(-24, 24) / 8;
    return tsr_tensor(c, TSR_F32, rank, dim, v);
}

/* ---- literal cases ---------------------------------------------------------------------------------------------- */

struct literal { const char *name, *text; int n; double want[24]; double rtol; };
#define FN(results, body) "func.func @main() -> " results " {\n" body "}\n"

static const struct literal literals[] = {
    {"reduce, initial value 10 taken once", FN("tensor<2xi32>",
        "%x = stablehlo.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi32>\n"
        "%i = stablehlo.constant dense<10> : tensor<i32>\n"
        "%y = stablehlo.reduce(%x init: %i) applies stablehlo.add across dimensions = [1] : "
        "(tensor<2x3xi32>, tensor<i32>) -> tensor<2xi32>\nreturn %y : tensor<2xi32>\n"), 2, {16, 25}, 0},
    {"reduce of nothing", FN("tensor<2xi32>",
        "%x = stablehlo.constant dense<> : tensor<2x0xi32>\n%i = stablehlo.constant dense<7> : tensor<i32>\n"
        "%y = \"stablehlo.reduce\"(%x, %i) <{dimensions = array<i64: 1>}> ({\n^bb0(%a: tensor<i32>, %b: tensor<i32>):\n"
        "%0 = stablehlo.subtract %a, %b : tensor<i32>\nstablehlo.return %0 : tensor<i32>\n}) : "
        "(tensor<2x0xi32>, tensor<i32>) -> tensor<2xi32>\nreturn %y : tensor<2xi32>\n"), 2, {7, 7}, 0},
    /* digits: (a, b) -> 10 a + b is a fold whose every step shows the order; with 10 -> 10^len it is associative */
    {"variadic reduce keeps the order", FN("(tensor<i64>, tensor<i64>)",
        "%x = stablehlo.constant dense<[1, 2, 3, 4, 5, 6, 7]> : tensor<7xi64>\n"
        "%s = stablehlo.constant dense<10> : tensor<7xi64>\n"
        "%z = stablehlo.constant dense<0> : tensor<i64>\n%o = stablehlo.constant dense<1> : tensor<i64>\n"
        "%y:2 = \"stablehlo.reduce\"(%x, %s, %z, %o) <{dimensions = array<i64: 0>}> ({\n"
        "^bb0(%a: tensor<i64>, %p: tensor<i64>, %b: tensor<i64>, %q: tensor<i64>):\n"
        "%0 = stablehlo.multiply %a, %q : tensor<i64>\n%1 = stablehlo.add %0, %b : tensor<i64>\n"
        "%2 = stablehlo.multiply %p, %q : tensor<i64>\nstablehlo.return %1, %2 : tensor<i64>, tensor<i64>\n}) : "
        "(tensor<7xi64>, tensor<7xi64>, tensor<i64>, tensor<i64>) -> (tensor<i64>, tensor<i64>)\n"
        "return %y#0, %y#1 : tensor<i64>, tensor<i64>\n"), 2, {1234567, 10000000}, 0},
    {"reduce_window pads with the initial value", FN("tensor<3xi32>",
        "%x = stablehlo.constant dense<[1, 2, 3]> : tensor<3xi32>\n%i = stablehlo.constant dense<100> : tensor<i32>\n"
        "%y = \"stablehlo.reduce_window\"(%x, %i) <{window_dimensions = array<i64: 2>, padding = dense<[[1, 0]]> : "
        "tensor<1x2xi64>}> ({\n^bb0(%a: tensor<i32>, %b: tensor<i32>):\n%0 = stablehlo.add %a, %b : tensor<i32>\n"
        "stablehlo.return %0 : tensor<i32>\n}) : (tensor<3xi32>, tensor<i32>) -> tensor<3xi32>\n"
        "return %y : tensor<3xi32>\n"), 3, {201, 103, 105}, 0},
    {"scatter skips single elements outside", FN("tensor<4xi32>",
        "%x = stablehlo.constant dense<0> : tensor<4xi32>\n"
        "%k = stablehlo.constant dense<[[-1], [3]]> : tensor<2x1xi32>\n"
        "%u = stablehlo.constant dense<[[1, 2], [3, 4]]> : tensor<2x2xi32>\n"
        "%y = \"stablehlo.scatter\"(%x, %k, %u) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = "
        "[1], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({\n"
        "^bb0(%a: tensor<i32>, %b: tensor<i32>):\n%0 = stablehlo.add %a, %b : tensor<i32>\n"
        "stablehlo.return %0 : tensor<i32>\n}) : (tensor<4xi32>, tensor<2x1xi32>, tensor<2x2xi32>) -> tensor<4xi32>\n"
        "return %y : tensor<4xi32>\n"), 4, {2, 0, 0, 3}, 0},
    {"scatter with xor, twice to one place", FN("tensor<3xi32>",
        "%x = stablehlo.constant dense<[1, 2, 4]> : tensor<3xi32>\n"
        "%k = stablehlo.constant dense<[[1], [1], [5], [0]]> : tensor<4x1xi64>\n"
        "%u = stablehlo.constant dense<[8, 16, 32, 1]> : tensor<4xi32>\n"
        "%y = \"stablehlo.scatter\"(%x, %k, %u) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims "
        "= [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({\n"
        "^bb0(%a: tensor<i32>, %b: tensor<i32>):\n%0 = stablehlo.xor %a, %b : tensor<i32>\n"
        "stablehlo.return %0 : tensor<i32>\n}) : (tensor<3xi32>, tensor<4x1xi64>, tensor<4xi32>) -> tensor<3xi32>\n"
        "return %y : tensor<3xi32>\n"), 3, {0, 26, 4}, 0},
    {"sort by total order", FN("tensor<5xf32>",
        "%x = stablehlo.constant dense<[0.0, 0xFFC00000, 1.0, -0.0, 0x7FC00000]> : tensor<5xf32>\n"
        "%y = \"stablehlo.sort\"(%x) <{dimension = 0 : i64, is_stable = true}> ({\n"
        "^bb0(%a: tensor<f32>, %b: tensor<f32>):\n%0 = stablehlo.compare LT, %a, %b, TOTALORDER : "
        "(tensor<f32>, tensor<f32>) -> tensor<i1>\nstablehlo.return %0 : tensor<i1>\n}) : (tensor<5xf32>) -> "
        "tensor<5xf32>\nreturn %y : tensor<5xf32>\n"), 5, {NAN, -0.0, 0, 1, NAN}, 0},
    {"map with a branch inside", FN("tensor<4xi32>",
        "%x = stablehlo.constant dense<[1, -2, 3, -4]> : tensor<4xi32>\n"
        "%y = \"stablehlo.map\"(%x) <{dimensions = array<i64: 0>}> ({\n^bb0(%a: tensor<i32>):\n"
        "%z = stablehlo.constant dense<0> : tensor<i32>\n"
        "%p = stablehlo.compare GE, %a, %z : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
        "%r = \"stablehlo.if\"(%p) ({\nstablehlo.return %a : tensor<i32>\n}, {\n"
        "%n = stablehlo.multiply %a, %a : tensor<i32>\nstablehlo.return %n : tensor<i32>\n}) : (tensor<i1>) -> "
        "tensor<i32>\nstablehlo.return %r : tensor<i32>\n}) : (tensor<4xi32>) -> tensor<4xi32>\n"
        "return %y : tensor<4xi32>\n"), 4, {1, 4, 3, 16}, 0},
    {"dot_general of i8 into i32", FN("tensor<i32>",
        "%x = stablehlo.constant dense<[100, 100, -100]> : tensor<3xi8>\n"
        "%y = stablehlo.dot_general %x, %x, contracting_dims = [0] x [0] : (tensor<3xi8>, tensor<3xi8>) -> "
        "tensor<i32>\n"
        "return %y : tensor<i32>\n"), 1, {30000}, 0},
    {"gather with a slice size of 0", FN("tensor<2x0xi32>",
        "%x = stablehlo.constant dense<[1, 2, 3]> : tensor<3xi32>\n%k = stablehlo.constant dense<[[0], [1]]> : "
        "tensor<2x1xi32>\n%y = \"stablehlo.gather\"(%x, %k) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], "
        "start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 0>}> : (tensor<3xi32>, tensor<2x1xi32>)"
        " -> tensor<2x0xi32>\nreturn %y : tensor<2x0xi32>\n"), 0, {0}, 0},
    {"torch_index_select with a batch", FN("tensor<2x2xi32>",
        "%x = stablehlo.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi32>\n"
        "%k = stablehlo.constant dense<[[2, 0], [1, 1]]> : tensor<2x2xi32>\n"
        "%y = \"stablehlo.torch_index_select\"(%x, %k) <{batch_dims = 1 : i64, dim = 1 : i64}> : (tensor<2x3xi32>, "
        "tensor<2x2xi32>) -> tensor<2x2xi32>\nreturn %y : tensor<2x2xi32>\n"), 4, {3, 1, 5, 5}, 0},
    {"batch_norm_training", FN("(tensor<4x1xf32>, tensor<1xf32>, tensor<1xf32>)",
        "%x = stablehlo.constant dense<[[1.0], [3.0], [5.0], [7.0]]> : tensor<4x1xf32>\n"
        "%s = stablehlo.constant dense<2.0> : tensor<1xf32>\n%o = stablehlo.constant dense<1.0> : tensor<1xf32>\n"
        "%y:3 = \"stablehlo.batch_norm_training\"(%x, %s, %o) <{epsilon = 0.0 : f32, feature_index = 1 : i64}> : "
        "(tensor<4x1xf32>, tensor<1xf32>, tensor<1xf32>) -> (tensor<4x1xf32>, tensor<1xf32>, tensor<1xf32>)\n"
        "return %y#0, %y#1, %y#2 : tensor<4x1xf32>, tensor<1xf32>, tensor<1xf32>\n"), 6,
        {-1.683281573, 0.105572809, 1.894427191, 3.683281573, 4, 5}, 1e-6},
    {"chlo.broadcast_add with a row and a column", FN("tensor<2x3xi32>",
        "%x = stablehlo.constant dense<[[10], [20]]> : tensor<2x1xi32>\n"
        "%w = stablehlo.constant dense<[1, 2, 3]> : tensor<3xi32>\n"
        "%y = chlo.broadcast_add %x, %w : (tensor<2x1xi32>, tensor<3xi32>) -> tensor<2x3xi32>\n"
        "return %y : tensor<2x3xi32>\n"), 6, {11, 12, 13, 21, 22, 23}, 0},
    {"chlo.mulhi of the greatest u64", FN("tensor<2xui64>",
        "%x = stablehlo.constant dense<[18446744073709551615, 4294967296]> : tensor<2xui64>\n"
        "%y = \"chlo.mulhi\"(%x, %x) : (tensor<2xui64>, tensor<2xui64>) -> tensor<2xui64>\n"
        "return %y : tensor<2xui64>\n"), 2, {18446744073709551614.0, 1}, 0},
    /* the first of Salmon et al.'s known answers */
    {"threefry of zeros", FN("(tensor<1xui32>, tensor<1xui32>)",
        "%x = stablehlo.constant dense<0> : tensor<1xui32>\n"
        "%y:2 = stablehlo.custom_call @cu_threefry2x32(%x, %x, %x, %x) : (tensor<1xui32>, tensor<1xui32>, "
        "tensor<1xui32>, tensor<1xui32>) -> (tensor<1xui32>, tensor<1xui32>)\n"
        "return %y#0, %y#1 : tensor<1xui32>, tensor<1xui32>\n"), 2, {0x6b200159, 0x99ba4efe}, 0},
    {"lapack_sgetrf_ffi of zeros", FN("(tensor<2x2xf32>, tensor<2xi32>, tensor<i32>)",
        "%x = stablehlo.constant dense<0.0> : tensor<2x2xf32>\n"
        "%y:3 = stablehlo.custom_call @lapack_sgetrf_ffi(%x) : (tensor<2x2xf32>) -> "
        "(tensor<2x2xf32>, tensor<2xi32>, tensor<i32>)\n"
        "return %y#0, %y#1, %y#2 : tensor<2x2xf32>, tensor<2xi32>, tensor<i32>\n"), 7, {0, 0, 0, 0, 1, 2, 1}, 0},
    {"lapack_strsm_ffi", FN("tensor<2x1xf32>",
        "%a = stablehlo.constant dense<[[2.0, 9.0], [1.0, 4.0]]> : tensor<2x2xf32>\n"
        "%b = stablehlo.constant dense<[[2.0], [9.0]]> : tensor<2x1xf32>\n"
        "%y = stablehlo.custom_call @lapack_strsm_ffi(%a, %b) {mhlo.backend_config = {diag = 78 : ui8, side = 76 : "
        "ui8, trans_x = 78 : ui8, uplo = 76 : ui8}} : (tensor<2x2xf32>, tensor<2x1xf32>) -> tensor<2x1xf32>\n"
        "return %y : tensor<2x1xf32>\n"), 2, {1, 2}, 1e-6},
    {"einsum", FN("tensor<2x2xf32>",
        "%x = stablehlo.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>\n"
        "%y = stablehlo.einsum %x, %x, config = \"ij,kj->ik\" : (tensor<2x2xf32>, tensor<2x2xf32>) -> tensor<2x2xf32>\n"
        "return %y : tensor<2x2xf32>\n"), 4, {5, 11, 11, 25}, 0},
    {"ragged_dot, ragged contraction", FN("tensor<2x1x1xf32>",
        "%x = stablehlo.constant dense<[[1.0, 2.0, 3.0, 4.0]]> : tensor<1x4xf32>\n"
        "%w = stablehlo.constant dense<[[1.0], [10.0], [100.0], [1000.0]]> : tensor<4x1xf32>\n"
        "%g = stablehlo.constant dense<[1, 2]> : tensor<2xi32>\n"
        "%y = \"chlo.ragged_dot\"(%x, %w, %g) {ragged_dot_dimension_numbers = #chlo.ragged_dot<"
        "lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], "
        "rhs_contracting_dimensions = [0], lhs_ragged_dimensions = [1], rhs_group_dimensions = []>} : "
        "(tensor<1x4xf32>, tensor<4x1xf32>, tensor<2xi32>) -> tensor<2x1x1xf32>\n"
        "return %y : tensor<2x1x1xf32>\n"), 2, {1, 320}, 0},
    {"mhlo.topk", FN("(tensor<2xf32>, tensor<2xi32>)",
        "%x = stablehlo.constant dense<[1.0, 7.0, 3.0, 7.0]> : tensor<4xf32>\n"
        "%y:2 = stablehlo.custom_call @mhlo.topk(%x) {mhlo.attributes = {k = 2 : i64, largest = true}, mhlo.version "
        "= 1 : i64} : (tensor<4xf32>) -> (tensor<2xf32>, tensor<2xi32>)\n"
        "return %y#0, %y#1 : tensor<2xf32>, tensor<2xi32>\n"), 4, {7, 7, 1, 3}, 0},
    {"Sharding", FN("tensor<2xi32>",
        "%x = stablehlo.constant dense<[1, 2]> : tensor<2xi32>\n"
        "%y = stablehlo.custom_call @Sharding(%x) {mhlo.sharding = \"{replicated}\"} : (tensor<2xi32>) -> "
        "tensor<2xi32>\nreturn %y : tensor<2xi32>\n"), 2, {1, 2}, 0},
    {"lapack_spotrf_ffi", FN("(tensor<2x2xf32>, tensor<i32>)",
        "%x = stablehlo.constant dense<[[4.0, 2.0], [2.0, 5.0]]> : tensor<2x2xf32>\n"
        "%y:2 = stablehlo.custom_call @lapack_spotrf_ffi(%x) {mhlo.backend_config = {uplo = 76 : ui8}} : "
        "(tensor<2x2xf32>) -> (tensor<2x2xf32>, tensor<i32>)\nreturn %y#0, %y#1 : tensor<2x2xf32>, tensor<i32>\n"), 5,
        {2, 0, 1, 2, 0}, 1e-6},
};

TEST(literal_cases) {
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        const struct literal *l = &literals[i];
        test_case("%s", l->name);
        tsr_scope *s = tsr_scope_begin(c);
        check_text(c, l->text, 0, NULL, l->n, l->want, l->rtol);
        tsr_scope_end(c, s);
    }
}

/* ---- random cases against loops --------------------------------------------------------------------------------- */

/* Three bodies that add: the primitive's, one that lifts to tensors, one with a branch that does not lift. */
enum { BODY_NATIVE, BODY_LIFTS, BODY_BRANCH, BODIES };
static const char *const body_name[BODIES] = {"native", "lifts", "branch"};
#define BODY_HEAD "({\n^bb0(%a: tensor<f32>, %b: tensor<f32>):\n"
#define BODY_TAIL "stablehlo.return %r : tensor<f32>\n})"
static const char *const add_body[BODIES] = {
    BODY_HEAD "%r = stablehlo.add %a, %b : tensor<f32>\n" BODY_TAIL,
    BODY_HEAD "%n = stablehlo.negate %b : tensor<f32>\n%r = stablehlo.subtract %a, %n : tensor<f32>\n" BODY_TAIL,
    BODY_HEAD "%p = stablehlo.compare GE, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
              "%r = \"stablehlo.if\"(%p) ({\n%s = stablehlo.add %a, %b : tensor<f32>\n"
              "stablehlo.return %s : tensor<f32>\n}, {\n%t = stablehlo.add %b, %a : tensor<f32>\n"
              "stablehlo.return %t : tensor<f32>\n}) : (tensor<i1>) -> tensor<f32>\n" BODY_TAIL,
};

TEST(reduce_random) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 24; k++) {
        int64_t d[3] = {test_int(1, 5), test_int(1, 9), test_int(1, 4)};
        int axis = (int)test_int(0, 2), body = k % BODIES;
        float v[5 * 9 * 4];
        double want[64] = {0};
        struct str text;
        test_case("%s %dx%dx%d over %d", body_name[body], (int)d[0], (int)d[1], (int)d[2], axis);
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *x = random_f32(c, 3, d, v);
        int64_t kept[2] = {d[axis == 0], d[axis == 2 ? 1 : 2]};
        for (int64_t i = 0; i < kept[0] * kept[1]; i++) want[i] = 0.5;
        for (int64_t i = 0; i < d[0] * d[1] * d[2]; i++) {
            int64_t at[3] = {i / (d[1] * d[2]), i / d[2] % d[1], i % d[2]};
            want[at[axis == 0] * kept[1] + at[axis == 2 ? 1 : 2]] += (double)v[i];
        }
        str_init(&text, c);
        str_printf(&text, "func.func @main(%%x: tensor<%dx%dx%dxf32>) -> tensor<%dx%dxf32> {\n%%i = stablehlo.constant "
            "dense<0.5> : tensor<f32>\n%%y = \"stablehlo.reduce\"(%%x, %%i) <{dimensions = array<i64: %d>}> %s : "
            "(tensor<%dx%dx%dxf32>, tensor<f32>) -> tensor<%dx%dxf32>\nreturn %%y : tensor<%dx%dxf32>\n}\n",
            (int)d[0], (int)d[1], (int)d[2], (int)kept[0], (int)kept[1], axis, add_body[body], (int)d[0], (int)d[1],
            (int)d[2], (int)kept[0], (int)kept[1], (int)kept[0], (int)kept[1]);
        check_text(c, text.s, 1, &x, (int)(kept[0] * kept[1]), want, 0);
        str_release(&text);
        tsr_scope_end(c, s);
    }
}

/* One axis of a window as the specification has it. */
struct axis { int64_t n, window, stride, base, dilation, low, high, windows; };

static struct axis random_axis(bool dilations) {
    struct axis a;
    do {
        a = (struct axis){.n = test_int(1, 14), .window = test_int(1, dilations ? 11 : 4),
                          .stride = test_int(1, 3), .base = 1,
                          .dilation = 1, .low = test_int(0, 2), .high = test_int(0, 2)};
        if (dilations) a.base = test_int(1, 2), a.dilation = test_int(1, 3), a.low -= test_int(0, 1);
        int64_t padded = a.low + a.high + (a.n - 1) * a.base + 1, span = (a.window - 1) * a.dilation + 1;
        a.windows = span > padded || padded <= 0 ? 0 : (padded - span) / a.stride + 1;
    } while (!a.windows);
    return a;
}

/* Index in the operand of element k of window o: -1 on padding and in holes. */
static int64_t window_at(const struct axis *a, int64_t o, int64_t k) {
    int64_t at = o * a->stride + k * a->dilation - a->low;
    return at < 0 || at % a->base || at / a->base >= a->n ? -1 : at / a->base;
}

TEST(reduce_window_random) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 30; k++) {
        struct axis r = random_axis(true), q = random_axis(true);
        int body = k % BODIES;
        float v[14 * 14];
        double want[VALUES_MAX], init = k % 2 ? 0.25 : 0;
        int n = 0;
        struct str text;
        test_case("%s, windows %dx%d of %dx%d", body_name[body], (int)r.windows, (int)q.windows, (int)r.n, (int)q.n);
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *x = random_f32(c, 2, (int64_t[]){r.n, q.n}, v);
        for (int64_t i = 0; i < r.windows; i++)
            for (int64_t j = 0; j < q.windows; j++, n++) {
                want[n] = init;
                for (int64_t e = 0; e < r.window * q.window; e++) {
                    int64_t a = window_at(&r, i, e / q.window), b = window_at(&q, j, e % q.window);
                    want[n] += a < 0 || b < 0 ? init : (double)v[a * q.n + b];
                }
            }
        str_init(&text, c);
        str_printf(&text, "func.func @main(%%x: tensor<%dx%dxf32>) -> tensor<%dx%dxf32> {\n%%i = stablehlo.constant "
            "dense<%g> : tensor<f32>\n%%y = \"stablehlo.reduce_window\"(%%x, %%i) <{window_dimensions = array<i64: %d, "
            "%d>, window_strides = array<i64: %d, %d>, base_dilations = array<i64: %d, %d>, window_dilations = "
            "array<i64: %d, %d>, padding = dense<[[%d, %d], [%d, %d]]> : tensor<2x2xi64>}> %s : (tensor<%dx%dxf32>, "
            "tensor<f32>) -> tensor<%dx%dxf32>\nreturn %%y : tensor<%dx%dxf32>\n}\n", (int)r.n, (int)q.n,
            (int)r.windows, (int)q.windows, init, (int)r.window, (int)q.window, (int)r.stride, (int)q.stride,
            (int)r.base, (int)q.base, (int)r.dilation, (int)q.dilation, (int)r.low, (int)r.high, (int)q.low,
            (int)q.high, add_body[body], (int)r.n, (int)q.n, (int)r.windows, (int)q.windows, (int)r.windows,
            (int)q.windows);
        check_text(c, text.s, 1, &x, n, want, 0);
        str_release(&text);
        tsr_scope_end(c, s);
    }
}

/* Picking the first greatest, by the primitive and by the fold. */
TEST(select_and_scatter_random) {
    static const char *const pick[2] = {
        "({\n^bb0(%a: tensor<f32>, %b: tensor<f32>):\n%r = stablehlo.compare GE, %a, %b : (tensor<f32>, tensor<f32>) "
        "-> tensor<i1>\nstablehlo.return %r : tensor<i1>\n}",
        "({\n^bb0(%a: tensor<f32>, %b: tensor<f32>):\n%q = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) "
        "-> tensor<i1>\n%r = stablehlo.not %q : tensor<i1>\nstablehlo.return %r : tensor<i1>\n}"};
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 24; k++) {
        struct axis r = random_axis(false), q = random_axis(false);
        float v[14 * 14], u[18 * 18];
        double want[14 * 14], init = k % 2 ? 1.5 : 0;
        struct str text;
        test_case("%s, windows %dx%d of %dx%d", k % 4 < 2 ? "primitive" : "fold", (int)r.windows, (int)q.windows,
            (int)r.n, (int)q.n);
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *x[2] = {random_f32(c, 2, (int64_t[]){r.n, q.n}, v),
                          random_f32(c, 2, (int64_t[]){r.windows, q.windows}, u)};
        for (int64_t i = 0; i < r.n * q.n; i++) want[i] = init;
        for (int64_t i = 0; i < r.windows; i++)
            for (int64_t j = 0; j < q.windows; j++) {
                int64_t best = -1;
                for (int64_t e = 0; e < r.window * q.window; e++) {
                    int64_t a = window_at(&r, i, e / q.window), b = window_at(&q, j, e % q.window);
                    if (a >= 0 && b >= 0 && (best < 0 || v[a * q.n + b] > v[best])) best = a * q.n + b;
                }
                if (best >= 0) want[best] += (double)u[i * q.windows + j];
            }
        str_init(&text, c);
        str_printf(&text, "func.func @main(%%x: tensor<%dx%dxf32>, %%u: tensor<%dx%dxf32>) -> tensor<%dx%dxf32> {\n"
            "%%i = stablehlo.constant dense<%g> : tensor<f32>\n%%y = \"stablehlo.select_and_scatter\"(%%x, %%u, %%i) "
            "<{window_dimensions = array<i64: %d, %d>, window_strides = array<i64: %d, %d>, padding = "
            "dense<[[%d, %d], [%d, %d]]> : tensor<2x2xi64>}> %s, %s : (tensor<%dx%dxf32>, tensor<%dx%dxf32>, "
            "tensor<f32>) -> tensor<%dx%dxf32>\nreturn %%y : tensor<%dx%dxf32>\n}\n", (int)r.n, (int)q.n,
            (int)r.windows, (int)q.windows, (int)r.n, (int)q.n, init, (int)r.window, (int)q.window, (int)r.stride,
            (int)q.stride, (int)r.low, (int)r.high, (int)q.low, (int)q.high, pick[k % 4 / 2],
            add_body[k % 4 / 2] + 1, (int)r.n, (int)q.n, (int)r.windows, (int)q.windows, (int)r.n, (int)q.n, (int)r.n,
            (int)q.n);
        check_text(c, text.s, 2, x, (int)(r.n * q.n), want, 0);
        str_release(&text);
        tsr_scope_end(c, s);
    }
}

/* Windows that stick out on all sides, places met more than once; constant and given indices. */
TEST(scatter_random) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 30; k++) {
        int64_t d[2] = {test_int(1, 6), test_int(1, 6)}, w[2] = {test_int(1, d[0]), test_int(1, d[1])};
        int64_t count = test_int(0, 6), swap = test_int(0, 1);
        int body = k % BODIES;
        float v[36], u[6 * 36];
        int32_t index[12];
        double want[36];
        struct str text;
        test_case("%s, %d windows %dx%d in %dx%d", body_name[body], (int)count, (int)w[0], (int)w[1], (int)d[0],
            (int)d[1]);
        tsr_scope *s = tsr_scope_begin(c);
        for (int i = 0; i < 2 * count; i++) index[i] = (int32_t)test_int(-4, 7);
        tsr_node *x[3] = {random_f32(c, 2, d, v), tsr_tensor(c, TSR_I32, 2, (int64_t[]){count, 2}, index),
                          random_f32(c, 3, (int64_t[]){count, w[0], w[1]}, u)};
        for (int64_t i = 0; i < d[0] * d[1]; i++) want[i] = (double)v[i];
        for (int64_t i = 0; i < count * w[0] * w[1]; i++) {
            int64_t e = i / (w[0] * w[1]), a = index[2 * e + swap] + i / w[1] % w[0];
            int64_t b = index[2 * e + 1 - swap] + i % w[1];
            if (a >= 0 && a < d[0] && b >= 0 && b < d[1]) want[a * d[1] + b] += (double)u[i];
        }
        str_init(&text, c);
        str_printf(&text, "func.func @main(%%x: tensor<%dx%dxf32>, %%k: tensor<%dx2xi32>, %%u: tensor<%dx%dx%dxf32>) "
            "-> tensor<%dx%dxf32> {\n%%y = \"stablehlo.scatter\"(%%x, %%k, %%u) <{scatter_dimension_numbers = "
            "#stablehlo.scatter<update_window_dims = [1, 2], scatter_dims_to_operand_dims = [%d, %d], index_vector_dim "
            "= 1>}> %s : (tensor<%dx%dxf32>, tensor<%dx2xi32>, tensor<%dx%dx%dxf32>) -> tensor<%dx%dxf32>\n"
            "return %%y : tensor<%dx%dxf32>\n}\n", (int)d[0], (int)d[1], (int)count, (int)count, (int)w[0], (int)w[1],
            (int)d[0], (int)d[1], (int)swap, (int)(1 - swap), add_body[body], (int)d[0], (int)d[1], (int)count,
            (int)count, (int)w[0], (int)w[1], (int)d[0], (int)d[1], (int)d[0], (int)d[1]);
        check_text(c, text.s, 3, x, (int)(d[0] * d[1]), want, 0);
        str_release(&text);
        tsr_scope_end(c, s);
    }
}

/* ---- axes of unknown extent -------------------------------------------------------------------------------------- */

/* The same folds where an extent is '?': by a scan along it, and with it as a batch. */
TEST(unknown_extents) {
    static const struct { const char *name, *text; int rank, n; double want[12]; } cases[] = {
        {"reduce along it keeps the order", "func.func @main(%x: tensor<?xi64>) -> (tensor<i64>, tensor<i64>) {\n"
            "%u = stablehlo.constant dense<10> : tensor<i64>\n%d = stablehlo.get_dimension_size %x, dim = 0 : "
            "(tensor<?xi64>) -> tensor<i32>\n%e = stablehlo.reshape %d : (tensor<i32>) -> tensor<1xi32>\n"
            "%v = stablehlo.dynamic_broadcast_in_dim %u, %e, dims = [] : (tensor<i64>, tensor<1xi32>) -> "
            "tensor<?xi64>\n"
            "%z = stablehlo.constant dense<0> : tensor<i64>\n%o = stablehlo.constant dense<1> : tensor<i64>\n"
            "%y:2 = \"stablehlo.reduce\"(%x, %v, %z, %o) <{dimensions = array<i64: 0>}> ({\n"
            "^bb0(%a: tensor<i64>, %p: tensor<i64>, %b: tensor<i64>, %q: tensor<i64>):\n"
            "%0 = stablehlo.multiply %a, %q : tensor<i64>\n%1 = stablehlo.add %0, %b : tensor<i64>\n"
            "%2 = stablehlo.multiply %p, %q : tensor<i64>\nstablehlo.return %1, %2 : tensor<i64>, tensor<i64>\n}) : "
            "(tensor<?xi64>, tensor<?xi64>, tensor<i64>, tensor<i64>) -> (tensor<i64>, tensor<i64>)\n"
            "return %y#0, %y#1 : tensor<i64>, tensor<i64>\n}\n", 1, 2, {314159, 1000000}},
        {"a network beside it", "func.func @main(%x: tensor<?x3xi64>) -> tensor<?x3xi64> {\n"
            "%y = \"stablehlo.sort\"(%x) <{dimension = 1 : i64}> ({\n^bb0(%a: tensor<i64>, %b: tensor<i64>):\n"
            "%0 = stablehlo.subtract %b, %a : tensor<i64>\n%1 = stablehlo.sign %0 : tensor<i64>\n"
            "%o = stablehlo.constant dense<1> : tensor<i64>\n%r = stablehlo.compare EQ, %1, %o : "
            "(tensor<i64>, tensor<i64>) -> tensor<i1>\nstablehlo.return %r : tensor<i1>\n}) : (tensor<?x3xi64>) -> "
            "tensor<?x3xi64>\nreturn %y : tensor<?x3xi64>\n}\n", 2, 6, {1, 3, 4, 1, 5, 9}},
        {"a window beside it", "func.func @main(%x: tensor<?x3xi64>) -> tensor<?x2xi64> {\n"
            "%i = stablehlo.constant dense<0> : tensor<i64>\n%y = \"stablehlo.reduce_window\"(%x, %i) <{"
            "window_dimensions = array<i64: 1, 2>}> ({\n^bb0(%a: tensor<i64>, %b: tensor<i64>):\n"
            "%n = stablehlo.negate %b : tensor<i64>\n%0 = stablehlo.subtract %a, %n : tensor<i64>\n"
            "stablehlo.return %0 : tensor<i64>\n}) : (tensor<?x3xi64>, tensor<i64>) -> tensor<?x2xi64>\n"
            "return %y : tensor<?x2xi64>\n}\n", 2, 4, {4, 5, 6, 14}},
        {"updates of unknown number", "func.func @main(%k: tensor<?x3xi64>) -> tensor<6xi64> {\n"
            "%x = stablehlo.constant dense<1> : tensor<6xi64>\n%y = \"stablehlo.scatter\"(%x, %k, %k) <{"
            "scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0], scatter_dims_to_operand_dims = "
            "[0], index_vector_dim = 2>}> ({\n^bb0(%a: tensor<i64>, %b: tensor<i64>):\n"
            "%m = stablehlo.multiply %a, %b : tensor<i64>\n%0 = stablehlo.add %m, %a : tensor<i64>\n"
            "stablehlo.return %0 : tensor<i64>\n}) : (tensor<6xi64>, tensor<?x3xi64>, tensor<?x3xi64>) -> "
            "tensor<6xi64>\nreturn %y : tensor<6xi64>\n}\n", 2, 6, {1, 4, 1, 4, 5, 6}},
    };
    static const int64_t digits[6] = {3, 1, 4, 1, 5, 9};
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case("%s", cases[i].name);
        tsr_node *x = tsr_tensor(c, TSR_I64, cases[i].rank, cases[i].rank == 1 ? (int64_t[]){6} : (int64_t[]){2, 3},
            digits);
        check_text(c, cases[i].text, 1, &x, cases[i].n, cases[i].want, 0);
    }
}

/* ---- reductions of pairs ----------------------------------------------------------------------------------------- */

/* JAX's argmax and argmin, with ties and NaN. */
TEST(argreduce_random) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 16; k++) {
        int n = (int)test_int(1, 9);
        bool greatest = k % 2;
        float v[3 * 9];
        double want[6];
        struct str text;
        test_case("%s of %d", greatest ? "argmax" : "argmin", n);
        tsr_scope *s = tsr_scope_begin(c);
        for (int i = 0; i < 3 * n; i++) v[i] = k > 7 && test_int(0, 5) == 0 ? NAN : (float)test_int(-2, 2);
        for (int row = 0; row < 3; row++) {
            int best = 0;
            for (int i = 1; i < n; i++) {
                float a = v[row * n + best], b = v[row * n + i];
                if (!isnan(a) && (isnan(b) || (greatest ? b > a : b < a))) best = i;
            }
            want[row] = (double)v[row * n + best], want[3 + row] = best;
        }
        tsr_node *x = tsr_tensor(c, TSR_F32, 2, (int64_t[]){3, n}, v);
        str_init(&text, c);
        str_printf(&text, "func.func @main(%%x: tensor<3x%dxf32>) -> (tensor<3xf32>, tensor<3xi32>) {\n"
            "%%k = stablehlo.iota dim = 1 : tensor<3x%dxi32>\n%%i = stablehlo.constant dense<%s> : tensor<f32>\n"
            "%%z = stablehlo.constant dense<0> : tensor<i32>\n%%y:2 = \"stablehlo.reduce\"(%%x, %%k, %%i, %%z) "
            "<{dimensions = array<i64: 1>}> ({\n^bb0(%%a: tensor<f32>, %%p: tensor<i32>, %%b: tensor<f32>, "
            "%%q: tensor<i32>):\n%%0 = stablehlo.compare %s, %%a, %%b : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
            "%%1 = stablehlo.compare NE, %%a, %%a : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
            "%%2 = stablehlo.or %%0, %%1 : tensor<i1>\n"
            "%%3 = stablehlo.compare EQ, %%a, %%b : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
            "%%4 = stablehlo.compare LT, %%p, %%q : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
            "%%5 = stablehlo.and %%3, %%4 : tensor<i1>\n%%6 = stablehlo.or %%2, %%5 : tensor<i1>\n"
            "%%7 = stablehlo.select %%2, %%a, %%b : tensor<i1>, tensor<f32>\n"
            "%%8 = stablehlo.select %%6, %%p, %%q : tensor<i1>, tensor<i32>\n"
            "stablehlo.return %%7, %%8 : tensor<f32>, tensor<i32>\n}) : (tensor<3x%dxf32>, tensor<3x%dxi32>, "
            "tensor<f32>, tensor<i32>) -> (tensor<3xf32>, tensor<3xi32>)\n"
            "return %%y#0, %%y#1 : tensor<3xf32>, tensor<3xi32>\n}\n", n, n, greatest ? "0xFF800000" : "0x7F800000",
            greatest ? "GT" : "LT", n, n);
        check_text(c, text.s, 1, &x, 6, want, 0);
        str_release(&text);
        tsr_scope_end(c, s);
    }
}

/* ---- matrices and complex functions ------------------------------------------------------------------------------ */

typedef double complex cx;

/* q r = a and q^H q = 1 for the factors that geqrf and orgqr give; real: the imaginary parts of a are 0. */
static void check_factors(int m, int n, int k, const cx *a, const double *v) {
    const double *qr = v, *qi = v + m * k, *rr = qi + m * k, *ri = rr + m * n;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            cx sum = 0;
            for (int e = 0; e < k && e <= j; e++)
                sum += (qr[i * k + e] + I * qi[i * k + e]) * (rr[e * n + j] + I * ri[e * n + j]);
            CHECK_MSG(cabs(sum - a[i * n + j]) < 1e-9, "(q r)[%d, %d] = %g, not %g", i, j, creal(sum),
                creal(a[i * n + j]));
        }
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            cx sum = 0;
            for (int e = 0; e < m; e++)
                sum += (qr[e * k + i] - I * qi[e * k + i]) * (qr[e * k + j] + I * qi[e * k + j]);
            CHECK_MSG(cabs(sum - (i == j)) < 1e-9, "(q^H q)[%d, %d] = %g", i, j, creal(sum));
        }
}

TEST(householder) {
    tsr_ctx *c = test_ctx();
    for (int t = 0; t < 12; t++) {
        int m = (int)test_int(1, 5), n = (int)test_int(1, 5), k = m < n ? m : n;
        double re[25], im[25];
        cx a[25];
        struct str text;
        struct values got;
        test_case("%s %dx%d", t % 2 ? "complex" : "real", m, n);
        tsr_scope *s = tsr_scope_begin(c);
        for (int i = 0; i < m * n; i++) {
            re[i] = test_normal(), im[i] = t % 2 ? test_normal() : 0;
            if (t > 8 && i / n > i % n) re[i] = im[i] = 0; /* nothing to reflect */
            a[i] = re[i] + I * im[i];
        }
        tsr_node *x[2] = {tsr_tensor(c, TSR_F64, 2, (int64_t[]){m, n}, re),
                          tsr_tensor(c, TSR_F64, 2, (int64_t[]){m, n}, im)};
        str_init(&text, c);
        str_printf(&text, "func.func @main(%%x: tensor<%dx%dxf64>, %%y: tensor<%dx%dxf64>) -> (tensor<%dx%dxf64>, "
            "tensor<%dx%dxf64>, tensor<%dx%dxf64>, tensor<%dx%dxf64>) {\n"
            "%%a = stablehlo.complex %%x, %%y : tensor<%dx%dxcomplex<f64>>\n"
            "%%f:2 = stablehlo.custom_call @lapack_zgeqrf_ffi(%%a) : (tensor<%dx%dxcomplex<f64>>) -> "
            "(tensor<%dx%dxcomplex<f64>>, tensor<%dxcomplex<f64>>)\n"
            "%%v = stablehlo.slice %%f#0 [0:%d, 0:%d] : (tensor<%dx%dxcomplex<f64>>) -> tensor<%dx%dxcomplex<f64>>\n"
            "%%q = stablehlo.custom_call @lapack_zungqr_ffi(%%v, %%f#1) : (tensor<%dx%dxcomplex<f64>>, "
            "tensor<%dxcomplex<f64>>) -> tensor<%dx%dxcomplex<f64>>\n", m, n, m, n, m, k, m, k, m, n, m, n, m, n, m, n,
            m, n, k, m, k, m, n, m, k, m, k, k, m, k);
        str_printf(&text, "%%0 = stablehlo.real %%q : (tensor<%dx%dxcomplex<f64>>) -> tensor<%dx%dxf64>\n"
            "%%1 = stablehlo.imag %%q : (tensor<%dx%dxcomplex<f64>>) -> tensor<%dx%dxf64>\n"
            "%%2 = stablehlo.real %%f#0 : (tensor<%dx%dxcomplex<f64>>) -> tensor<%dx%dxf64>\n"
            "%%3 = stablehlo.imag %%f#0 : (tensor<%dx%dxcomplex<f64>>) -> tensor<%dx%dxf64>\n"
            "return %%0, %%1, %%2, %%3 : tensor<%dx%dxf64>, tensor<%dx%dxf64>, tensor<%dx%dxf64>, tensor<%dx%dxf64>\n"
            "}\n", m, k, m, k, m, k, m, k, m, n, m, n, m, n, m, n, m, k, m, k, m, n, m, n);
        for (int vm = 0; vm < 2; vm++)
            if (CHECK(run_text(c, text.s, 2, x, vm != 0, &got)) && CHECK_EQ(got.n, 2 * m * k + 2 * m * n))
                check_factors(m, n, k, a, got.v);
        CHECK_OK(c);
        str_release(&text);
        tsr_scope_end(c, s);
    }
}

/* Rows swapped as the pivots say make l u; each pivot is the greatest of its column. A batch of two. */
static void check_lu(int m, int n, const double *a, const double *v) {
    int k = m < n ? m : n, row[5];
    const double *lu = v, *pivot = v + 2 * m * n, *info = pivot + 2 * k;
    for (int b = 0; b < 2; b++, a += m * n, lu += m * n, pivot += k) {
        CHECK_EQ(info[b], 0);
        for (int i = 0; i < m; i++) row[i] = i;
        for (int i = 0; i < k; i++) {
            int q = (int)pivot[i] - 1, old = row[i];
            if (!CHECK(q >= i && q < m)) return;
            row[i] = row[q], row[q] = old;
        }
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int e = 0; e <= j && e <= i && e < k; e++)
                    sum += (e == i ? 1 : lu[i * n + e]) * lu[e * n + j];
                CHECK_CLOSE(sum, a[row[i] * n + j], 1e-9, 1e-9);
                if (j < i && j < k) CHECK(fabs(lu[i * n + j]) <= 1);
            }
    }
}

TEST(lu_factors) {
    tsr_ctx *c = test_ctx();
    for (int t = 0; t < 8; t++) {
        int m = (int)test_int(1, 5), n = (int)test_int(1, 5), k = m < n ? m : n;
        double a[50];
        char text[800];
        struct values got;
        test_case("%dx%d", m, n);
        for (int i = 0; i < 2 * m * n; i++) a[i] = test_normal();
        tsr_node *x = tsr_tensor(c, TSR_F64, 3, (int64_t[]){2, m, n}, a);
        snprintf(text, sizeof text, "func.func @main(%%x: tensor<2x%dx%dxf64>) -> (tensor<2x%dx%dxf64>, "
            "tensor<2x%dxi32>, tensor<2xi32>) {\n%%f:3 = stablehlo.custom_call @lapack_dgetrf_ffi(%%x) : "
            "(tensor<2x%dx%dxf64>) -> (tensor<2x%dx%dxf64>, tensor<2x%dxi32>, tensor<2xi32>)\n"
            "return %%f#0, %%f#1, %%f#2 : tensor<2x%dx%dxf64>, tensor<2x%dxi32>, tensor<2xi32>\n}\n", m, n, m, n, k, m,
            n, m, n, k, m, n, k);
        for (int vm = 0; vm < 2; vm++)
            if (CHECK(run_text(c, text, 1, &x, vm != 0, &got)) && CHECK_EQ(got.n, 2 * (m * n + k + 1)))
                check_lu(m, n, a, got.v);
        CHECK_OK(c);
    }
}

/* Full factors of a matrix that is not square: u s vt = a, u and vt orthonormal. */
TEST(full_svd) {
    tsr_ctx *c = test_ctx();
    for (int t = 0; t < 6; t++) {
        int m = (int)test_int(1, 5), n = (int)test_int(1, 5), k = m < n ? m : n;
        double a[25];
        char text[900];
        struct values got;
        test_case("%dx%d", m, n);
        for (int i = 0; i < m * n; i++) a[i] = test_normal();
        tsr_node *x = tsr_tensor(c, TSR_F64, 2, (int64_t[]){m, n}, a);
        snprintf(text, sizeof text, "func.func @main(%%x: tensor<%dx%dxf64>) -> (tensor<%dxf64>, tensor<%dx%dxf64>, "
            "tensor<%dx%dxf64>) {\n%%f:5 = stablehlo.custom_call @lapack_dgesdd_ffi(%%x) {mhlo.backend_config = {mode "
            "= 65 : ui8}} : (tensor<%dx%dxf64>) -> (tensor<%dx%dxf64>, tensor<%dxf64>, tensor<%dx%dxf64>, "
            "tensor<%dx%dxf64>, tensor<i32>)\nreturn %%f#1, %%f#2, %%f#3 : tensor<%dxf64>, tensor<%dx%dxf64>, "
            "tensor<%dx%dxf64>\n}\n", m, n, k, m, m, n, n, m, n, m, n, k, m, m, n, n, k, m, m, n, n);
        for (int vm = 0; vm < 2; vm++) {
            if (!CHECK(run_text(c, text, 1, &x, vm != 0, &got)) || !CHECK_EQ(got.n, k + m * m + n * n)) continue;
            const double *s = got.v, *u = s + k, *vt = u + m * m;
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) {
                    double sum = 0;
                    for (int e = 0; e < k; e++) sum += u[i * m + e] * s[e] * vt[e * n + j];
                    CHECK_CLOSE(sum, a[i * n + j], 1e-9, 1e-9);
                }
            for (int i = 0; i < m * m + n * n; i++) {
                bool left = i < m * m;
                int size = left ? m : n, r = (left ? i : i - m * m) / size, q = (left ? i : i - m * m) % size;
                double sum = 0;
                for (int e = 0; e < size; e++)
                    sum += left ? u[e * m + r] * u[e * m + q] : vt[r * n + e] * vt[q * n + e];
                CHECK_CLOSE(sum, (double)(r == q), 1e-9, 1e-9);
            }
        }
        CHECK_OK(c);
    }
}

static const struct { const char *name; cx (*fn)(cx); } functions[] = {
    {"asin", casin}, {"acos", cacos}, {"asinh", casinh}, {"acosh", cacosh}, {"atan", catan}, {"atanh", catanh},
    {"sinh", csinh}, {"cosh", ccosh}, {"tan", ctan},
};

/* Arguments of all sizes, near and on the axes and the branch points. */
static double coordinate(void) {
    static const double corner[] = {0, -0.0, 1, -1, 0.5, 1 + 1e-9, 1e-8, -1e-3};
    int64_t k = test_int(0, 15);
    return k < 8 ? corner[k] : test_normal() * (k < 11 ? 1 : k < 14 ? 4 : 0.05);
}

TEST(complex_functions) {
    tsr_ctx *c = test_ctx();
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        enum { N = 64 };
        double re[N], im[N], want[2 * N];
        char text[600];
        test_case("chlo.%s", functions[f].name);
        tsr_scope *s = tsr_scope_begin(c);
        for (int i = 0; i < N; i++) {
            cx w;
            do {
                re[i] = coordinate(), im[i] = coordinate();
                w = functions[f].fn(CMPLX(re[i], im[i]));
            } while (!isfinite(creal(w)) || !isfinite(cimag(w)));
            want[i] = creal(w), want[N + i] = cimag(w);
        }
        tsr_node *x[2] = {tsr_tensor(c, TSR_F64, 1, (int64_t[]){N}, re), tsr_tensor(c, TSR_F64, 1, (int64_t[]){N}, im)};
        snprintf(text, sizeof text, "func.func @main(%%x: tensor<%dxf64>, %%y: tensor<%dxf64>) -> (tensor<%dxf64>, "
            "tensor<%dxf64>) {\n%%z = stablehlo.complex %%x, %%y : tensor<%dxcomplex<f64>>\n"
            "%%w = chlo.%s %%z : tensor<%dxcomplex<f64>> -> tensor<%dxcomplex<f64>>\n"
            "%%0 = stablehlo.real %%w : (tensor<%dxcomplex<f64>>) -> tensor<%dxf64>\n"
            "%%1 = stablehlo.imag %%w : (tensor<%dxcomplex<f64>>) -> tensor<%dxf64>\n"
            "return %%0, %%1 : tensor<%dxf64>, tensor<%dxf64>\n}\n", N, N, N, N, N, functions[f].name, N, N, N, N, N, N,
            N, N);
        check_text(c, text, 2, x, 2 * N, want, 1e-10);
        tsr_scope_end(c, s);
    }
}

/* ---- random numbers ---------------------------------------------------------------------------------------------- */

TEST(rng_distributions) {
    static const struct { const char *type, *a, *b, *how; double lo, hi, mean, deviation; } draws[] = {
        {"f32", "2.0", "5.0", "UNIFORM", 2, 5, 3.5, 0.866}, {"f64", "-1.0", "3.0", "NORMAL", -20, 20, -1, 3},
        {"i32", "-3", "4", "UNIFORM", -3, 3, 0, 2}, {"ui8", "250", "255", "UNIFORM", 250, 254, 252, 1.414},
    };
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < sizeof draws / sizeof *draws; k++) {
        enum { N = 4000 };
        char text[400];
        struct values got;
        test_case("%s %s", draws[k].how, draws[k].type);
        snprintf(text, sizeof text, FN("tensor<4000x%s>", "%%a = stablehlo.constant dense<%s> : tensor<%s>\n"
            "%%b = stablehlo.constant dense<%s> : tensor<%s>\n%%n = stablehlo.constant dense<4000> : tensor<1xi64>\n"
            "%%y = stablehlo.rng %%a, %%b, %%n, distribution = %s : (tensor<%s>, tensor<%s>, tensor<1xi64>) -> "
            "tensor<4000x%s>\nreturn %%y : tensor<4000x%s>\n"), draws[k].type, draws[k].a, draws[k].type, draws[k].b,
            draws[k].type, draws[k].how, draws[k].type, draws[k].type, draws[k].type, draws[k].type);
        for (int vm = 0; vm < 2; vm++) {
            double sum = 0, squares = 0;
            if (!CHECK(run_text(c, text, 0, NULL, vm != 0, &got)) || !CHECK_EQ(got.n, N)) continue;
            for (int i = 0; i < N; i++) {
                CHECK(got.v[i] >= draws[k].lo && got.v[i] <= draws[k].hi);
                sum += got.v[i], squares += (got.v[i] - draws[k].mean) * (got.v[i] - draws[k].mean);
            }
            CHECK_CLOSE(sum / N, draws[k].mean, 0, 5 * draws[k].deviation / sqrt(N));
            CHECK_CLOSE(sqrt(squares / N), draws[k].deviation, 0.06, 0);
        }
        CHECK_OK(c);
    }
}

/* ---- sort -------------------------------------------------------------------------------------------------------- */

/* Comparators of (a, b) i32 keys and (p, q) i32 second values; the first three are read as keys, the others are not. */
static const struct { const char *name, *text; int keys; bool descending, square; } comparators[] = {
    {"LT", "%r = stablehlo.compare LT, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>\n", 1, false, false},
    {"GT", "%r = stablehlo.compare LT, %b, %a : (tensor<i32>, tensor<i32>) -> tensor<i1>\n", 1, true, false},
    {"squares, then p", "%s = stablehlo.multiply %a, %a : tensor<i32>\n%t = stablehlo.multiply %b, %b : tensor<i32>\n"
     "%0 = stablehlo.compare LT, %s, %t : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
     "%1 = stablehlo.compare EQ, %s, %t : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
     "%2 = stablehlo.compare LT, %p, %q : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
     "%3 = stablehlo.and %1, %2 : tensor<i1>\n%r = stablehlo.or %0, %3 : tensor<i1>\n", 2, false, true},
    {"not GE", "%0 = stablehlo.compare GE, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
     "%r = stablehlo.not %0 : tensor<i1>\n", 1, false, false},
    {"difference above 0", "%0 = stablehlo.subtract %a, %b : tensor<i32>\n%c = stablehlo.constant dense<0> : "
     "tensor<i32>\n%r = stablehlo.compare GT, %0, %c : (tensor<i32>, tensor<i32>) -> tensor<i1>\n", 1, true, false},
    {"LE counts as LT", "%0 = stablehlo.compare GT, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
     "%r = stablehlo.not %0 : tensor<i1>\n", 1, false, false},
    {"a branch", "%p1 = stablehlo.compare EQ, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
     "%r = \"stablehlo.if\"(%p1) ({\n%0 = stablehlo.compare LT, %p, %q : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
     "stablehlo.return %0 : tensor<i1>\n}, {\n%1 = stablehlo.compare LT, %a, %b : (tensor<i32>, tensor<i32>) -> "
     "tensor<i1>\nstablehlo.return %1 : tensor<i1>\n}) : (tensor<i1>) -> tensor<i1>\n", 2, false, false},
};

static bool in_order(int k, const int32_t *a, const int32_t *b) {
    bool square = comparators[k].square;
    int64_t x = square ? (int64_t)a[0] * a[0] : a[0], y = square ? (int64_t)b[0] * b[0] : b[0];
    if (x != y) return comparators[k].descending ? x > y : x < y;
    return comparators[k].keys == 2 && a[1] < b[1];
}

/* Keys with many ties, second values, and positions, which show stability: sorted along the first of two axes. */
TEST(sort_random) {
    tsr_ctx *c = test_ctx();
    for (int t = 0; t < 42; t++) {
        int k = t % 7, n = (int)test_int(t < 7 ? 0 : 1, 13);
        int32_t v[3][2 * 13], e[13][3];
        double want[3 * 2 * 13];
        struct str text;
        test_case("%s, %d elements", comparators[k].name, n);
        tsr_scope *s = tsr_scope_begin(c);
        for (int i = 0; i < 2 * n; i++)
            v[0][i] = (int32_t)test_int(-3, 3), v[1][i] = (int32_t)test_int(0, 2), v[2][i] = i;
        tsr_node *x[3];
        for (int j = 0; j < 3; j++) x[j] = tsr_tensor(c, TSR_I32, 2, (int64_t[]){n, 2}, v[j]);
        for (int col = 0; col < 2; col++) {
            for (int i = 0; i < n; i++) { /* insertion */
                int32_t own[3] = {v[0][2 * i + col], v[1][2 * i + col], v[2][2 * i + col]};
                int at = i;
                for (; at > 0 && in_order(k, own, e[at - 1]); at--) memcpy(e[at], e[at - 1], sizeof own);
                memcpy(e[at], own, sizeof own);
            }
            for (int i = 0; i < n; i++)
                for (int j = 0; j < 3; j++) want[(j * n + i) * 2 + col] = e[i][j];
        }
        str_init(&text, c);
        str_printf(&text, "func.func @main(%%x: tensor<%dx2xi32>, %%y: tensor<%dx2xi32>, %%z: tensor<%dx2xi32>) -> "
            "(tensor<%dx2xi32>, tensor<%dx2xi32>, tensor<%dx2xi32>) {\n%%s:3 = \"stablehlo.sort\"(%%x, %%y, %%z) "
            "<{dimension = -2 : i64, is_stable = true}> ({\n^bb0(%%a: tensor<i32>, %%b: tensor<i32>, %%p: tensor<i32>, "
            "%%q: tensor<i32>, %%u: tensor<i32>, %%v: tensor<i32>):\n%sstablehlo.return %%r : tensor<i1>\n}) : "
            "(tensor<%dx2xi32>, tensor<%dx2xi32>, tensor<%dx2xi32>) -> (tensor<%dx2xi32>, tensor<%dx2xi32>, "
            "tensor<%dx2xi32>)\nreturn %%s#0, %%s#1, %%s#2 : tensor<%dx2xi32>, tensor<%dx2xi32>, tensor<%dx2xi32>\n}\n",
            n, n, n, n, n, n, comparators[k].text, n, n, n, n, n, n, n, n, n);
        check_text(c, text.s, 3, x, 6 * n, want, 0);
        str_release(&text);
        tsr_scope_end(c, s);
    }
}

/* ---- refused and unlucky ----------------------------------------------------------------------------------------- */

TEST(refusals) {
    static const struct { const char *name, *text, *part; } bad[] = {
        {"an axis twice", FN("tensor<f32>", "%x = stablehlo.constant dense<0.0> : tensor<2x2xf32>\n%i = "
            "stablehlo.constant dense<0.0> : tensor<f32>\n%y = \"stablehlo.reduce\"(%x, %i) <{dimensions = "
            "array<i64: 0, 0>}> ({\n^bb0(%a: tensor<f32>, %b: tensor<f32>):\n%0 = stablehlo.add %a, %b : tensor<f32>\n"
            "stablehlo.return %0 : tensor<f32>\n}) : (tensor<2x2xf32>, tensor<f32>) -> tensor<f32>\n"
            "return %y : tensor<f32>\n"), "test.mlir:4:"},
        {"an unknown target", FN("tensor<f32>", "%x = stablehlo.constant dense<0.0> : tensor<f32>\n"
            "%y = stablehlo.custom_call @nobody(%x) : (tensor<f32>) -> tensor<f32>\nreturn %y : tensor<f32>\n"),
            "@nobody"},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct hlo_module *m;
        test_case("%s", bad[i].name);
        tsr_fn *fn = import_text(c, bad[i].text, &m);
        CHECK(fn == NULL);
        CHECK_ERROR(c, TSR_EINVAL, bad[i].part);
        hlo_module_free(m);
    }
}

/* Every way of building a body, with each allocation refused in turn. */
static bool build(tsr_ctx *c, void *arg) {
    struct hlo_module *m;
    tsr_fn *fn = import_text(c, arg, &m);
    tsr_fn_free(c, fn);
    hlo_module_free(m);
    return fn != NULL;
}

TEST(torture_bodies) {
    static const char *const text[] = {
        FN("tensor<f32>", "%x = stablehlo.constant dense<1.0> : tensor<3xf32>\n%i = stablehlo.constant dense<2.0> : "
            "tensor<f32>\n%y = \"stablehlo.reduce\"(%x, %i) <{dimensions = array<i64: 0>}> ({\n^bb0(%a: tensor<f32>, "
            "%b: tensor<f32>):\n%0 = stablehlo.atan2 %a, %b : tensor<f32>\nstablehlo.return %0 : tensor<f32>\n}) : "
            "(tensor<3xf32>, tensor<f32>) -> tensor<f32>\nreturn %y : tensor<f32>\n"),
        FN("tensor<3xi32>", "%x = stablehlo.constant dense<[3, 1, 2]> : tensor<3xi32>\n%y = \"stablehlo.sort\"(%x) "
            "<{dimension = 0 : i64}> ({\n^bb0(%a: tensor<i32>, %b: tensor<i32>):\n%0 = stablehlo.compare GE, %a, %b : "
            "(tensor<i32>, tensor<i32>) -> tensor<i1>\n%1 = stablehlo.not %0 : tensor<i1>\n"
            "stablehlo.return %1 : tensor<i1>\n}) : (tensor<3xi32>) -> tensor<3xi32>\nreturn %y : tensor<3xi32>\n"),
        FN("tensor<3xi32>", "%x = stablehlo.constant dense<1> : tensor<3xi32>\n%k = stablehlo.constant dense<[[1], "
            "[0]]> : tensor<2x1xi32>\n%u = stablehlo.constant dense<7> : tensor<2xi32>\n%y = \"stablehlo.scatter\"(%x, "
            "%k, %u) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0], "
            "scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({\n^bb0(%a: tensor<i32>, %b: tensor<i32>):\n"
            "%0 = stablehlo.xor %a, %b : tensor<i32>\nstablehlo.return %0 : tensor<i32>\n}) : (tensor<3xi32>, "
            "tensor<2x1xi32>, tensor<2xi32>) -> tensor<3xi32>\nreturn %y : tensor<3xi32>\n"),
    };
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        test_case("%s", literals[i].name);
        CHECK(torture(build, (void *)literals[i].text) > 20);
    }
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        test_case("module %zu", i);
        CHECK(torture(build, (void *)text[i]) > 20);
    }
}
