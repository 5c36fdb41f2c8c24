/* test_stablehlo_import.c: small modules for each family of operations, with literal results; errors and their
 * positions; failing allocations.
 *
 * The texts check themselves: what their check ops expect are values of the specification or worked out by hand. Each
 * runs on the reference and on the VM. If one failed, that operation would be imported as something else. */
#include "formats/hlo_run.h"
#include "harness.h"

#include "formats/stablehlo/conform.h"
#include "formats/stablehlo/read.h"
#include "tessera/run.h"

static tsr_fn *import_text(tsr_ctx *c, const char *text, struct hlo_module **m, hlo_checks *checks) {
    struct hlo_import_options o = {.checks = checks != NULL, .partition = -1, .replica = -1};
    *m = hlo_read_text(c, "t.mlir", text, strlen(text));
    return *m ? hlo_import(*m, "main", &o, checks) : NULL;
}

/* Reads, imports and runs the checks of @main. True: all hold. */
static bool holds(tsr_ctx *c, const char *text, bool vm) {
    struct hlo_module *m;
    hlo_checks k = {0};
    tsr_node *out[32];
    tsr_scope *scope = tsr_scope_begin(c);
    if (!scope) return false;
    tsr_fn *f = import_text(c, text, &m, &k);
    bool ok = f && k.n && k.n <= 16 && !(vm ? tsr_run : tsr_interpret)(c, f, 0, NULL, out) && hlo_hold(c, &k, out);
    tsr_fn_free(c, f);
    vec_release(c, &k);
    hlo_module_free(m);
    tsr_scope_end(c, scope);
    return ok;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

#define MAIN(body) "func.func @main() {\n" body "  func.return\n}\n"
#define CONST(name, value, type) "  %" name " = stablehlo.constant dense<" value "> : tensor<" type ">\n"
#define WANT(name, value, type) "  check.expect_eq_const %" name ", dense<" value "> : tensor<" type ">\n"
#define UNARY(op, in, out, type) MAIN(CONST("a", in, type) "  %r = stablehlo." op " %a : tensor<" type ">\n" \
    WANT("r", out, type))
#define BINARY(op, x, y, out, type) MAIN(CONST("a", x, type) CONST("b", y, type) \
    "  %r = stablehlo." op " %a, %b : tensor<" type ">\n" WANT("r", out, type))
#define COMPARE(how, x, y, out, type) MAIN(CONST("a", x, type) CONST("b", y, type) "  %r = stablehlo.compare " how \
    " : (tensor<" type ">, tensor<" type ">) -> tensor<4xi1>\n" WANT("r", out, "4xi1"))
#define CONVERT(in, from, out, to) MAIN(CONST("a", in, from) "  %r = stablehlo.convert %a : (tensor<" from \
    ">) -> tensor<" to ">\n" WANT("r", out, to))

static const struct { const char *name, *text; } programs[] = {
    {"abs", UNARY("abs", "[-2, 0, 2]", "[2, 0, 2]", "3xi32")},
    {"abs of the least integer", UNARY("abs", "-128", "-128", "i8")},
    {"negate unsigned", UNARY("negate", "[0, 1]", "[0, 255]", "2xui8")},
    {"sign", UNARY("sign", "[-0.0, -3.0, 2.5]", "[-0.0, -1.0, 1.0]", "3xf32")},
    {"clz", UNARY("count_leading_zeros", "[0, 1, -1]", "[16, 15, 0]", "3xi16")},
    {"popcnt", UNARY("popcnt", "[0, 7, 255]", "[0, 3, 8]", "3xui8")},
    {"round afz", UNARY("round_nearest_afz", "[-2.5, 0.5, 1.4]", "[-3.0, 1.0, 1.0]", "3xf64")},
    {"round even", UNARY("round_nearest_even", "[-2.5, 0.5, 1.5]", "[-2.0, 0.0, 2.0]", "3xf64")},
    {"not", UNARY("not", "[true, false]", "[false, true]", "2xi1")},
    {"add wraps", BINARY("add", "[127, -1]", "[1, 1]", "[-128, 0]", "2xi8")},
    {"add of bool is or", BINARY("add", "[true, true, false]", "[true, false, false]", "[true, true, false]", "3xi1")},
    {"divide by zero", BINARY("divide", "[7, -128, -7]", "[0, -1, 2]", "[-1, -128, -3]", "3xi8")},
    {"divide unsigned", BINARY("divide", "[250, 7]", "[3, 0]", "[83, 255]", "2xui8")},
    {"remainder", BINARY("remainder", "[17, -17, 5, -128]", "[3, 3, 0, -1]", "[2, -2, 5, 0]", "4xi8")},
    {"remainder of floats", BINARY("remainder", "[17.1, -17.5]", "[3.0, 3.0]", "[2.1000000000000014, -2.5]", "2xf64")},
    {"shift out of range", BINARY("shift_left", "[-1, 1, 1]", "[8, 7, 0]", "[0, -128, 1]", "3xi8")},
    {"shift arithmetic", BINARY("shift_right_arithmetic", "[-128, -128, 64]", "[8, 1, 9]", "[-1, -64, 0]", "3xi8")},
    {"shift logical", BINARY("shift_right_logical", "[-128, -128]", "[8, 1]", "[0, 64]", "2xi8")},
    {"power of integers", BINARY("power", "[-2, 2, -1, 3]", "[3, -1, -3, 0]", "[-8, 0, -1, 1]", "4xi64")},
    {"maximum of bool", BINARY("maximum", "[true, false]", "[false, false]", "[true, false]", "2xi1")},
    {"compare signed", COMPARE("LT, %a, %b, SIGNED", "[1, -2, 3, 0]", "[2, 1, 3, -1]", "[true, true, false, false]",
        "4xi8")},
    {"compare unsigned", COMPARE("GT, %a, %b, UNSIGNED", "[1, 255, 3, 0]", "[2, 1, 3, 9]",
        "[false, true, false, false]", "4xui8")},
    {"compare floats", COMPARE("LE, %a, %b, FLOAT", "[0x7FC00000, -0.0, 1.0, 2.0]", "[1.0, 0.0, 1.0, 1.0]",
        "[false, true, true, false]", "4xf32")},
    {"compare total order", COMPARE("LT, %a, %b, TOTALORDER", "[0x7FC00000, -0.0, 0xFFC00000, 2.0]",
        "[0x7F800000, 0.0, 0xFF800000, 0x7FC00000]", "[false, true, true, true]", "4xf32")},
    {"select, scalar predicate", MAIN(CONST("p", "true", "i1") CONST("a", "[1, 2]", "2xi32") CONST("b", "[3, 4]",
        "2xi32") "  %r = stablehlo.select %p, %a, %b : tensor<i1>, tensor<2xi32>\n" WANT("r", "[1, 2]", "2xi32"))},
    {"clamp, scalar bounds", MAIN(CONST("l", "5", "i64") CONST("x", "[3, 7, 13]", "3xi64") CONST("h", "10", "i64")
        "  %r = stablehlo.clamp %l, %x, %h : (tensor<i64>, tensor<3xi64>, tensor<i64>) -> tensor<3xi64>\n"
        WANT("r", "[5, 7, 10]", "3xi64"))},
    {"convert to bool", CONVERT("[0.0, -0.5, 0x7FC00000]", "3xf32", "[false, true, true]", "3xi1")},
    {"convert from bool", CONVERT("[true, false]", "2xi1", "[1.0, 0.0]", "2xf16")},
    {"convert truncates", CONVERT("[-2.9, 2.9, 0.5]", "3xf64", "[-2, 2, 0]", "3xi32")},
    {"convert complex", CONVERT("[(1.5, 2.0)]", "1xcomplex<f32>", "[1.5]", "1xf32")},
    {"complex parts", MAIN(CONST("a", "[1.0, 2.0]", "2xf32") CONST("b", "[3.0, 4.0]", "2xf32")
        "  %z = stablehlo.complex %a, %b : tensor<2xcomplex<f32>>\n"
        "  %i = stablehlo.imag %z : (tensor<2xcomplex<f32>>) -> tensor<2xf32>\n" WANT("i", "[3.0, 4.0]", "2xf32")
        WANT("z", "[(1.0, 3.0), (2.0, 4.0)]", "2xcomplex<f32>"))},
    {"reduce_precision", MAIN(CONST("a", "[0x7FF0000000000000, 0x7FFFFFFFFFFFFFFF, 0x0000000000000001, 0.0, 65519.0, "
        "65520.0]", "6xf64") "  %r = stablehlo.reduce_precision %a, format = e5m10 : tensor<6xf64>\n"
        WANT("r", "[0x7FF0000000000000, 0x7FFFFFFFFFFFFFFF, 0.0, 0.0, 65504.0, 0x7FF0000000000000]", "6xf64"))},
    {"bitcast_convert changes rank", MAIN(CONST("a", "0x0123456789ABCDEF", "f64")
        "  %r = stablehlo.bitcast_convert %a : (tensor<f64>) -> tensor<4xf16>\n"
        WANT("r", "[0xCDEF, 0x89AB, 0x4567, 0x0123]", "4xf16"))},
    {"iota", MAIN("  %r = stablehlo.iota dim = 1 : tensor<2x3xi32>\n" WANT("r", "[[0, 1, 2], [0, 1, 2]]", "2x3xi32"))},
    {"broadcast_in_dim", MAIN(CONST("a", "[[1], [2]]", "2x1xi32")
        "  %r = stablehlo.broadcast_in_dim %a, dims = [1, 0] : (tensor<2x1xi32>) -> tensor<2x2xi32>\n"
        WANT("r", "[[1, 2], [1, 2]]", "2x2xi32"))},
    {"transpose and reshape", MAIN(CONST("a", "[[1, 2, 3], [4, 5, 6]]", "2x3xi32")
        "  %t = stablehlo.transpose %a, dims = [1, 0] : (tensor<2x3xi32>) -> tensor<3x2xi32>\n"
        "  %r = stablehlo.reshape %t : (tensor<3x2xi32>) -> tensor<6xi32>\n" WANT("r", "[1, 4, 2, 5, 3, 6]", "6xi32"))},
    {"slice", MAIN(CONST("a", "[0, 1, 2, 3, 4, 5, 6]", "7xi8")
        "  %r = stablehlo.slice %a [1:6:2] : (tensor<7xi8>) -> tensor<3xi8>\n" WANT("r", "[1, 3, 5]", "3xi8"))},
    {"pad, negative and interior", MAIN(CONST("a", "[1, 2, 3]", "3xi32") CONST("v", "9", "i32")
        "  %r = stablehlo.pad %a, %v, low = [-1], high = [1], interior = [1] : (tensor<3xi32>, tensor<i32>) -> "
        "tensor<5xi32>\n" WANT("r", "[9, 2, 9, 3, 9]", "5xi32"))},
    {"concatenate", MAIN(CONST("a", "[[1, 2]]", "1x2xi32") CONST("b", "[[3, 4], [5, 6]]", "2x2xi32")
        "  %r = stablehlo.concatenate %a, %b, dim = 0 : (tensor<1x2xi32>, tensor<2x2xi32>) -> tensor<3x2xi32>\n"
        WANT("r", "[[1, 2], [3, 4], [5, 6]]", "3x2xi32"))},
    {"reverse", MAIN(CONST("a", "[1, 2, 3]", "3xi32") "  %r = stablehlo.reverse %a, dims = [0] : tensor<3xi32>\n"
        WANT("r", "[3, 2, 1]", "3xi32"))},
    {"dynamic_slice clamps", MAIN(CONST("a", "[1, 2, 3, 4]", "4xi32") CONST("i", "9", "i64")
        "  %r = stablehlo.dynamic_slice %a, %i, sizes = [2] : (tensor<4xi32>, tensor<i64>) -> tensor<2xi32>\n"
        WANT("r", "[3, 4]", "2xi32"))},
    {"dynamic_update_slice clamps", MAIN(CONST("a", "[1, 2, 3, 4]", "4xi32") CONST("u", "[8, 9]", "2xi32")
        CONST("i", "-3", "i64") "  %r = stablehlo.dynamic_update_slice %a, %u, %i : (tensor<4xi32>, tensor<2xi32>, "
        "tensor<i64>) -> tensor<4xi32>\n" WANT("r", "[8, 9, 3, 4]", "4xi32"))},
    {"tuples", MAIN(CONST("a", "1", "i32") CONST("b", "[2.0]", "1xf32")
        "  %t = stablehlo.tuple %a, %b : tuple<tensor<i32>, tensor<1xf32>>\n"
        "  %r = stablehlo.get_tuple_element %t[1] : (tuple<tensor<i32>, tensor<1xf32>>) -> tensor<1xf32>\n"
        WANT("r", "[2.0]", "1xf32"))},
    {"barrier", MAIN(CONST("a", "1", "i32") CONST("b", "2", "i32")
        "  %r:2 = stablehlo.optimization_barrier %a, %b : tensor<i32>, tensor<i32>\n"
        WANT("r#0", "1", "i32") WANT("r#1", "2", "i32"))},
    {"get_dimension_size", MAIN(CONST("a", "[[1, 2, 3]]", "1x3xi8")
        "  %r = stablehlo.get_dimension_size %a, dim = 1 : (tensor<1x3xi8>) -> tensor<i32>\n" WANT("r", "3", "i32"))},
};

TEST(operations) {
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        for (int vm = 0; vm < 2; vm++) {
            tsr_ctx *c = test_ctx();
            test_case("%s on the %s", programs[i].name, vm ? "VM" : "reference");
            CHECK(holds(c, programs[i].text, vm));
            CHECK_OK(c);
            test_ctx_close(c);
        }
}

/* ---- control ---------------------------------------------------------------------------------------------------- */

#define LOOP                                                                                                         \
    "func.func private @twice(%x: tensor<i64>) -> tensor<i64> {\n"                                                   \
    "  %0 = stablehlo.add %x, %x : tensor<i64>\n  func.return %0 : tensor<i64>\n}\n"                                 \
    "func.func @main() {\n"                                                                                          \
    "  %zero = stablehlo.constant dense<0> : tensor<i64>\n  %one = stablehlo.constant dense<1> : tensor<i64>\n"      \
    "  %ten = stablehlo.constant dense<10> : tensor<i64>\n"                                                          \
    "  %r:2 = stablehlo.while(%i = %zero, %s = %one) : tensor<i64>, tensor<i64>\n"                                   \
    "  cond {\n"                                                                                                     \
    "    %p = stablehlo.compare LT, %i, %ten : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"                           \
    "    stablehlo.return %p : tensor<i1>\n"                                                                         \
    "  } do {\n"                                                                                                     \
    "    %d = func.call @twice(%s) : (tensor<i64>) -> tensor<i64>\n"                                                 \
    "    %n = stablehlo.add %i, %one : tensor<i64>\n"                                                                \
    "    stablehlo.return %n, %d : tensor<i64>, tensor<i64>\n"                                                       \
    "  }\n"                                                                                                          \
    "  check.expect_eq_const %r#1, dense<1024> : tensor<i64>\n"

#define BRANCH(op, index, type, want)                                                                                \
    "func.func @main() {\n  %i = stablehlo.constant dense<" index "> : tensor<" type ">\n"                           \
    "  %a = stablehlo.constant dense<[1, 2]> : tensor<2xi32>\n"                                                      \
    "  %r = \"stablehlo." op "\"(%i) ({\n    stablehlo.return %a : tensor<2xi32>\n  }, {\n"                          \
    "    %b = stablehlo.negate %a : tensor<2xi32>\n    stablehlo.return %b : tensor<2xi32>\n"                        \
    "  }) : (tensor<" type ">) -> tensor<2xi32>\n"                                                                   \
    "  check.expect_eq_const %r, dense<" want "> : tensor<2xi32>\n  func.return\n}\n"

static const struct { const char *name, *text; } controls[] = {
    {"while with a call", LOOP "  func.return\n}\n"},
    {"update of one element at a place, both known at run time", LOOP
        "  %u = stablehlo.reshape %r#1 : (tensor<i64>) -> tensor<1xi64>\n"
        "  %v = stablehlo.constant dense<7> : tensor<3xi64>\n"
        "  %w = stablehlo.dynamic_update_slice %v, %u, %r#0 : (tensor<3xi64>, tensor<1xi64>, tensor<i64>) -> "
        "tensor<3xi64>\n  check.expect_eq_const %w, dense<[7, 7, 1024]> : tensor<3xi64>\n  func.return\n}\n"},
    {"if true", BRANCH("if", "true", "i1", "[1, 2]")},
    {"if false", BRANCH("if", "false", "i1", "[-1, -2]")},
    {"case 0", BRANCH("case", "0", "i32", "[1, 2]")},
    {"case below", BRANCH("case", "-1", "i32", "[-1, -2]")},
    {"case beyond", BRANCH("case", "5", "i32", "[-1, -2]")},
    {"composite", "func.func @impl(%x: tensor<i64>) -> tensor<i64> {\n"
        "  %0 = stablehlo.constant dense<2> : tensor<i64>\n  %1 = stablehlo.add %x, %0 : tensor<i64>\n"
        "  func.return %1 : tensor<i64>\n}\n" MAIN(CONST("a", "1", "i64")
        "  %r = stablehlo.composite \"my.add\" %a {decomposition = @impl} : (tensor<i64>) -> tensor<i64>\n"
        WANT("r", "3", "i64"))},
    {"probe in a loop", "func.func @main() {\n" CONST("z", "0", "i64") CONST("one", "1", "i64") CONST("two", "2", "i64")
        "  %r = stablehlo.while(%i = %z) : tensor<i64>\n  cond {\n"
        "    %p = stablehlo.compare LT, %i, %two : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "    stablehlo.return %p : tensor<i1>\n  } do {\n    %n = stablehlo.add %i, %one : tensor<i64>\n"
        "    %s = interpreter.probe %n, probe_id = \"p\" : tensor<i64>\n    stablehlo.return %s : tensor<i64>\n  }\n"
        WANT("r", "2", "i64") "  check.expect_serialized_eq %two, probe_id = \"p\", iter = 1 : tensor<i64>\n"
        "  func.return\n}\n"},
    {"probe", MAIN(CONST("a", "[1, 2]", "2xi32")
        "  %r = interpreter.probe %a, probe_id = \"p\" : tensor<2xi32>\n"
        "  check.expect_serialized_eq %r, probe_id = \"p\" : tensor<2xi32>\n")},
};

TEST(control) {
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++)
        for (int vm = 0; vm < 2; vm++) {
            tsr_ctx *c = test_ctx();
            test_case("%s on the %s", controls[i].name, vm ? "VM" : "reference");
            CHECK(holds(c, controls[i].text, vm));
            CHECK_OK(c);
            test_ctx_close(c);
        }
}

/* ---- arguments -------------------------------------------------------------------------------------------------- */

/* Unknown extents become symbols: one fn serves every size, equal extents of one symbol are checked. */
TEST(symbolic_extents) {
    static const char text[] = "func.func @main(%x: tensor<?x3xf32>, %y: tensor<?x3xf32>) -> tensor<?x3xf32> {\n"
        "  %0 = stablehlo.add %x, %y : tensor<?x3xf32>\n  func.return %0 : tensor<?x3xf32>\n}\n";
    tsr_ctx *c = test_ctx();
    struct hlo_module *m;
    tsr_fn *f = import_text(c, text, &m, NULL);
    for (int64_t n = 1; f && n < 4; n++) {
        float x[9], got[9];
        tsr_node *out;
        for (int i = 0; i < 3 * n; i++) x[i] = (float)test_int(-9, 9);
        tsr_node *v = tsr_tensor(c, TSR_F32, 2, (int64_t[]){n, 3}, x);
        test_case("n=%lld", (long long)n);
        if (!CHECK(!tsr_run(c, f, 2, (tsr_node *[]){v, v}, &out))) break;
        CHECK(!tsr_read(c, out, got, (size_t)(12 * n)));
        for (int i = 0; i < 3 * n; i++) CHECK(got[i] == 2 * x[i]);
    }
    CHECK(f != NULL);
    CHECK_OK(c);
    tsr_fn_free(c, f);
    hlo_module_free(m);
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

static const struct { const char *name, *text, *where, *what; } errors[] = {
    {"unknown dialect", "func.func @main() {\n  \"my.op\"() : () -> ()\n  func.return\n}\n", "t.mlir:2:", "dialect"},
    {"wrong result", "func.func @main() {\n  %a = stablehlo.constant dense<1> : tensor<2xi32>\n"
        "  %b = stablehlo.reshape %a : (tensor<2xi32>) -> tensor<3xi32>\n  func.return\n}\n", "t.mlir:3:", "reshape"},
    {"dtypes differ", "func.func @main(%a: tensor<i32>, %b: tensor<f32>) {\n"
        "  %0 = \"stablehlo.add\"(%a, %b) : (tensor<i32>, tensor<f32>) -> tensor<i32>\n  func.return\n}\n",
        "t.mlir:2:", "dtype"},
    {"probe in a loop of unknown turns", "func.func @main(%n: tensor<i64>) {\n" CONST("z", "0", "i64")
        "  %r = stablehlo.while(%i = %z) : tensor<i64>\n  cond {\n"
        "    %p = stablehlo.compare LT, %i, %n : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "    stablehlo.return %p : tensor<i1>\n  } do {\n"
        "    %s = interpreter.probe %i, probe_id = \"p\" : tensor<i64>\n    stablehlo.return %s : tensor<i64>\n  }\n"
        "  func.return\n}\n", "t.mlir:3:", "probe"},
    {"recursion", "func.func @main() {\n  func.call @main() : () -> ()\n  func.return\n}\n", "t.mlir:2:", "itself"},
    {"no such function", "func.func @main() {\n  func.call @other() : () -> ()\n  func.return\n}\n", "t.mlir:2:",
        "@other"},
    {"declared otherwise", "func.func @main(%a: tensor<2xi32>) {\n"
        "  %0 = \"stablehlo.negate\"(%a) : (tensor<2xi32>) -> tensor<3xi32>\n  func.return\n}\n", "t.mlir:2:",
        "declared"},
};

TEST(errors_have_positions) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        tsr_ctx *c = test_ctx();
        struct hlo_module *m;
        test_case("%s", errors[i].name);
        tsr_fn *f = import_text(c, errors[i].text, &m, NULL);
        CHECK(f == NULL);
        CHECK_CONTAINS(tsr_error_message(c), errors[i].where);
        CHECK_CONTAINS(tsr_error_message(c), errors[i].what);
        tsr_error_clear(c);
        tsr_fn_free(c, f);
        hlo_module_free(m);
        test_ctx_close(c);
    }
}

/* ---- comparisons ------------------------------------------------------------------------------------------------ */

TEST(comparisons) {
    tsr_ctx *c = test_ctx();
    struct str why;
    static const float one = 1, up = 1.00000012f, zero = 0, minus = -0.0f;
    const float nan = __builtin_nanf(""), inf = __builtin_inff();
    str_init(&why, c);
    struct { const char *name; struct hlo_check k; float a, b; bool same; } t[] = {
        {"eq", {.kind = HLO_CHECK_EQ}, one, one, true},
        {"eq, one ulp", {.kind = HLO_CHECK_EQ}, one, up, false},
        {"eq, zeros", {.kind = HLO_CHECK_EQ}, zero, minus, true},
        {"eq, NaN and number", {.kind = HLO_CHECK_EQ}, nan, one, false},
        {"close, one ulp", {.kind = HLO_CHECK_CLOSE, .max_ulp = 1}, one, up, true},
        {"close, one ulp of none", {.kind = HLO_CHECK_CLOSE}, one, up, false},
        {"close, at least two", {.kind = HLO_CHECK_CLOSE, .min_ulp = 2, .max_ulp = 9}, one, up, false},
        {"close, NaNs", {.kind = HLO_CHECK_CLOSE}, nan, -nan, true},
        {"close, inf", {.kind = HLO_CHECK_CLOSE, .max_ulp = 1000}, inf, 3.4028235e38f, false},
        {"close, zeros", {.kind = HLO_CHECK_CLOSE}, zero, minus, true},
        {"almost", {.kind = HLO_CHECK_ALMOST_EQ, .tolerance = 0.1}, one, 1.05f, true},
        {"almost, too far", {.kind = HLO_CHECK_ALMOST_EQ, .tolerance = 0.01}, one, 1.05f, false},
        {"almost, inf", {.kind = HLO_CHECK_ALMOST_EQ, .tolerance = 0.1}, inf, inf, true},
        {"almost, inf and number", {.kind = HLO_CHECK_ALMOST_EQ, .tolerance = 0.1}, inf, one, false},
        {"almost, NaN and number", {.kind = HLO_CHECK_ALMOST_EQ, .tolerance = 10}, one, nan, false},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        test_case("%s", t[i].name);
        str_clear(&why);
        CHECK(conform_compare(&t[i].k, TSR_F32, 1, &t[i].a, &t[i].b, &why) == t[i].same);
        CHECK((why.n == 0) == t[i].same);
    }
    str_release(&why);
}

/* ---- no memory -------------------------------------------------------------------------------------------------- */

static bool runs(tsr_ctx *c, void *text) { return holds(c, text, false); }

TEST(allocations_may_fail) {
    static const char text[] = LOOP
        "  %t = stablehlo.tuple %one, %ten : tuple<tensor<i64>, tensor<i64>>\n"
        "  %e = stablehlo.get_tuple_element %t[1] : (tuple<tensor<i64>, tensor<i64>>) -> tensor<i64>\n"
        "  %q = stablehlo.compare GT, %e, %one : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "  %f = \"stablehlo.if\"(%q) ({\n    stablehlo.return %e : tensor<i64>\n  }, {\n"
        "    stablehlo.return %one : tensor<i64>\n  }) : (tensor<i1>) -> tensor<i64>\n"
        "  check.expect_eq_const %f, dense<10> : tensor<i64>\n  func.return\n}\n";
    CHECK(torture(runs, (void *)text) > 50);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        test_case("%s", programs[i].name);
        CHECK(torture(runs, (void *)programs[i].text) > 20);
    }
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) {
        test_case("%s", controls[i].name);
        CHECK(torture(runs, (void *)controls[i].text) > 20);
    }
}
