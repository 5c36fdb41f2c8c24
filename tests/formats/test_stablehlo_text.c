/* test_stablehlo_text.c: the text reader: every program of the suite, every way to write a constant, every error at its
 * place. */
#include <stdio.h>
#include <stdlib.h>

#include "base/vec.h"
#include "formats/stablehlo/read.h"
#include "harness.h"
#include "suite.h"

/* ---- the suite -------------------------------------------------------------------------------------------------- */

/* Files whose point is that they are refused, or that mix in dialects with a syntax of their own. */
static bool is_ours(const char *name) {
    return !strstr(name, "invalid") && !strstr(name, "downgrade") && !strstr(name, "mixed");
}

/* A section that says it is wrong: a line "// expected-error". */
static bool says_wrong(const char *p, size_t n) {
    static const char mark[] = "expected-error";
    for (size_t i = 0; i + sizeof mark - 1 <= n; i++)
        if (memcmp(p + i, mark, sizeof mark - 1) == 0) return true;
    return false;
}

static void read_sections(tsr_ctx *c, const char *name, const char *text, size_t n) {
    size_t at = 0, length;
    const char *section;
    uint32_t line;
    while (hlo_split(text, n, &at, &section, &length, &line)) {
        if (says_wrong(section, length)) continue;
        struct hlo_module *m = hlo_read_section(c, name, section, length, line);
        CHECK_OK(c);
        CHECK(m != NULL);
        hlo_module_free(m);
    }
}

static void visit(void *c, const char *name, char *text, size_t n) { read_sections(c, name, text, n); }

static void read_folder(const char *folder) { suite_each("stablehlo", folder, ".mlir", is_ours, visit, test_ctx()); }

TEST(suite_testdata) { read_folder("testdata"); }
TEST(suite_interpret) { read_folder("tests/interpret"); }
TEST(suite_vhlo) { read_folder("tests/vhlo"); }

/* ---- forms
 * ---------------------------------------------------------------------------------------------------------- */

static struct hlo_module *read(tsr_ctx *c, const char *text) {
    return hlo_read_text(c, "t.mlir", text, strlen(text));
}

/* Programs of a function @f (its whole text) and what is asked of the operation `op` in it, the nth of that name. */
static const struct hlo_op *find_op(const struct hlo_block *b, const char *name) {
    for (const struct hlo_op *op = b->first; op; op = op->next) {
        if (strcmp(op->name, name) == 0) return op;
        for (int r = 0; r < op->nregion; r++)
            for (int k = 0; k < op->region[r].nblock; k++) {
                const struct hlo_op *in = find_op(&op->region[r].block[k], name);
                if (in) return in;
            }
    }
    return NULL;
}

static const struct hlo_op *op_of(const struct hlo_module *m, const char *name) {
    return m ? find_op(&m->op->region[0].block[0], name) : NULL;
}

/* An attribute in few words, for the tables below. */
static void attr_text(struct str *out, const struct hlo_attr *a) {
    if (!a) {
        str_put(out, "-");
        return;
    }
    switch (a->kind) {
    case HLO_A_UNIT: str_put(out, "unit"); break;
    case HLO_A_BOOL: str_put(out, a->i ? "true" : "false"); break;
    case HLO_A_INT: str_printf(out, "%lld:", (long long)a->i), hlo_type_text(out, a->type); break;
    case HLO_A_FLOAT: str_printf(out, "%g:", a->f), hlo_type_text(out, a->type); break;
    case HLO_A_STRING: str_json(out, a->s); break;
    case HLO_A_SYMBOL: str_printf(out, "@%s", a->s); break;
    case HLO_A_OPAQUE: str_put(out, a->s); break;
    case HLO_A_TYPE: hlo_type_text(out, a->type); break;
    case HLO_A_ENUM: str_printf(out, "%s.%s", a->name, a->s); break;
    case HLO_A_ELEMENTS: str_printf(out, "%s%d ", a->splat ? "splat " : "", a->store), hlo_type_text(out,
        a->type); break;
    case HLO_A_INTS:
        hlo_type_text(out, a->type);
        for (int i = 0; i < a->n; i++) {
            str_put(out, i ? "," : ":");
            if (a->ints[i] == HLO_DYNAMIC) str_putc(out, '?');
            else str_printf(out, "%lld", (long long)a->ints[i]);
        }
        break;
    case HLO_A_FLOATS:
        hlo_type_text(out, a->type);
        for (int i = 0; i < a->n; i++) str_printf(out, "%c%g", i ? ',' : ':', a->floats[i]);
        break;
    case HLO_A_LIST:
        str_putc(out, '[');
        for (int i = 0; i < a->n; i++) str_put(out, i ? " " : ""), attr_text(out, a->item[i]);
        str_putc(out, ']');
        break;
    case HLO_A_DICT:
    case HLO_A_STRUCT:
        str_printf(out, "%s{", a->name ? a->name : "");
        for (int i = 0; i < a->n; i++)
            str_printf(out, "%s%s=", i ? " " : "", a->field[i].name), attr_text(out, a->field[i].value);
        str_putc(out, '}');
        break;
    }
}

static void check_attr(tsr_ctx *c, const struct hlo_op *op, const char *name, const char *want) {
    struct str s;
    str_init(&s, c);
    attr_text(&s, hlo_get(op, name));
    CHECK_STR(s.s, want);
    str_release(&s);
}

#define F(args, body) "func.func @f(" args ") {\n" body "\n  return\n}\n"
static const struct {
    const char *text, *op, *attr, *want;
} form[] = {
    /* every form of pretty.def with a directive of its own, and the old spellings */
    {F("", "%0 = stablehlo.constant dense<1.5> : tensor<2xf32>"), "stablehlo.constant", "value",
        "splat 0 tensor<2xf32>"},
    {F("", "%0 = stablehlo.constant {a = 1 : i32} dense<[1, 2]> : tensor<2xi8>"), "stablehlo.constant", "a", "1:i32"},
    {F("", "%0 = stablehlo.constant dense<\"0x0100\"> : tensor<2xi8>"), "stablehlo.constant", "value",
        "1 tensor<2xi8>"},
    {F("", "%0 = stablehlo.constant() <{value = dense<> : tensor<0xi8>}> : () -> tensor<0xi8>"), "stablehlo.constant",
        "value", "0 tensor<0xi8>"},
    {F("%a: tensor<2xf32>", "%0 = stablehlo.compare LT, %a, %a, TOTALORDER : (tensor<2xf32>, tensor<2xf32>) -> "
                            "tensor<2xi1>"), "stablehlo.compare", "compare_type",
        "stablehlo.comparison_type.TOTALORDER"},
    {F("%a: tensor<2xf32>", "%0 = stablehlo.compare NE, %a, %a : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xi1>"),
        "stablehlo.compare", "comparison_direction", "stablehlo.comparison_direction.NE"},
    {F("%a: tensor<4x5xf32>", "%0 = stablehlo.slice %a [1:3, 0:5:2] : (tensor<4x5xf32>) -> tensor<2x3xf32>"),
        "stablehlo.slice", "strides", "i64:1,2"},
    {F("%a: tensor<4xf32>, %i: tensor<i32>", "%0 = stablehlo.dynamic_slice %a, %i, sizes = [2] : (tensor<4xf32>, "
                                             "tensor<i32>) -> tensor<2xf32>"), "stablehlo.dynamic_slice", "slice_sizes",
        "i64:2"},
    {F("%a: tensor<4xf32>", "%0 = stablehlo.concatenate %a, %a, dim = 0 : (tensor<4xf32>, tensor<4xf32>) -> "
                            "tensor<8xf32>"), "stablehlo.concatenate", "dimension", "0:i64"},
    {F("", "%0 = stablehlo.iota dim = 1 : tensor<2x3xi32>"), "stablehlo.iota", "iota_dimension", "1:i64"},
    {F("%a: tensor<2x3xf32>, %b: tensor<3x4xf32>", "%0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0], "
        "precision = [HIGH, DEFAULT], algorithm = <lhs_precision_type = tf32, rhs_precision_type = tf32, "
        "accumulation_type = f32, lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, "
        "allow_imprecise_accumulation = false> : (tensor<2x3xf32>, tensor<3x4xf32>) -> tensor<2x4xf32>"),
        "stablehlo.dot_general", "algorithm", "stablehlo.dot_algorithm{lhs_precision_type=tf32 rhs_precision_type=tf32 "
        "accumulation_type=f32 lhs_component_count=1:i64 rhs_component_count=1:i64 num_primitive_operations=1:i64 "
        "allow_imprecise_accumulation=false}"},
    {F("%a: tensor<5x2x3xf32>, %b: tensor<5x3x4xf32>", "%0 = stablehlo.dot_general %a, %b, batching_dims = [0] x [0], "
        "contracting_dims = [2] x [1] : (tensor<5x2x3xf32>, tensor<5x3x4xf32>) -> tensor<5x2x4xf32>"),
        "stablehlo.dot_general", "dot_dimension_numbers", "stablehlo.dot{lhs_batching_dimensions=i64:0 "
        "rhs_batching_dimensions=i64:0 lhs_contracting_dimensions=i64:2 rhs_contracting_dimensions=i64:1}"},
    {F("%a: tensor<1x8x8x1xf32>, %b: tensor<3x3x1x1xf32>", "%0 = stablehlo.convolution(%a, %b) dim_numbers = "
        "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [2, 1], pad = [[0, 1], [0, 0]], "
        "reverse = [true, false]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : "
        "(tensor<1x8x8x1xf32>, tensor<3x3x1x1xf32>) -> tensor<1x4x6x1xf32>"), "stablehlo.convolution",
        "dimension_numbers", "stablehlo.conv{input_batch_dimension=0:i64 input_feature_dimension=3:i64 "
        "input_spatial_dimensions=i64:1,2 kernel_input_feature_dimension=2:i64 kernel_output_feature_dimension=3:i64 "
        "kernel_spatial_dimensions=i64:0,1 output_batch_dimension=0:i64 output_feature_dimension=3:i64 "
        "output_spatial_dimensions=i64:1,2}"},
    {F("%a: tensor<1x8x8x1xf32>, %b: tensor<3x3x1x1xf32>", "%0 = \"stablehlo.convolution\"(%a, %b) {batch_group_count "
        "= 1 : i64, feature_group_count = 1 : i64, window_strides = dense<[2, 1]> : tensor<2xi64>, rhs_dilation = "
        "dense<1> : tensor<2xi64>, window_reversal = dense<[true, false]> : tensor<2xi1>, dimension_numbers = "
        "#stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>} : (tensor<1x8x8x1xf32>, tensor<3x3x1x1xf32>) -> "
        "tensor<1x3x6x1xf32>"), "stablehlo.convolution", "window_reversal", "i1:1,0"},
    {F("%a: tensor<9xf32>", "%0 = stablehlo.fft %a, type = RFFT, length = [9] : (tensor<9xf32>) -> "
                            "tensor<5xcomplex<f32>>"), "stablehlo.fft", "fft_type", "stablehlo.fft_type.RFFT"},
    {F("%a: tensor<2x2xf32>", "%0 = stablehlo.cholesky %a, lower = true : tensor<2x2xf32>"), "stablehlo.cholesky",
        "lower", "true"},
    {F("%a: tensor<2x2xf32>", "%0 = stablehlo.cholesky %a {lower = false} : tensor<2x2xf32>"), "stablehlo.cholesky",
        "lower", "-"},
    {F("%a: tensor<2xf32>", "%0 = stablehlo.reduce_precision %a, format = e5m10 : tensor<2xf32>"),
        "stablehlo.reduce_precision", "mantissa_bits", "10:i32"},
    {F("%a: tensor<2xf32>", "%0:2 = stablehlo.custom_call @my.call(%a) {api_version = 4 : i32, backend_config = {x = "
        "1 : i32}, has_side_effect = false} : (tensor<2xf32>) -> (tensor<f32>, tensor<f32>)"), "stablehlo.custom_call",
        "backend_config", "{x=1:i32}"},
    {F("%a: tensor<2xf32>", "stablehlo.custom_call @\"a b\"(%a) {has_side_effect = true} : (tensor<2xf32>) -> ()"),
        "stablehlo.custom_call", "call_target_name", "\"a b\""},
    {F("%a: tensor<2xf32>", "%0 = stablehlo.composite \"my.op\" %a {composite_attributes = {n = 2 : i64}, "
        "decomposition "
        "= @f} : (tensor<2xf32>) -> tensor<2xf32>"), "stablehlo.composite", "decomposition", "@f"},
    {F("%a: tensor<f32>, %s: tensor<1xi64>", "%0 = stablehlo.rng %a, %a, %s, distribution = NORMAL : (tensor<f32>, "
        "tensor<f32>, tensor<1xi64>) -> tensor<2xf32>"), "stablehlo.rng", "rng_distribution",
        "stablehlo.rng_distribution.NORMAL"},
    {F("%a: tensor<2xui64>", "%0, %1 = stablehlo.rng_bit_generator %a, algorithm = THREE_FRY : (tensor<2xui64>) -> "
        "(tensor<2xui64>, tensor<4xui32>)"), "stablehlo.rng_bit_generator", "rng_algorithm",
        "stablehlo.rng_algorithm.THREE_FRY"},
    {F("%a: tensor<9xf32>", "%0:2 = chlo.top_k(%a, k = 3) : tensor<9xf32> -> (tensor<3xf32>, tensor<3xi32>)"),
        "chlo.top_k", "k", "3:i64"},
    {F("%a: tensor<9xf32>", "%0:2 = chlo.top_k(%a, k = 3, is_stable = false) : tensor<9xf32> -> (tensor<3xf32>, "
        "tensor<3xi32>)"), "chlo.top_k", "is_stable", "false"},
    {F("%a: tensor<2xf32>", "%0 = chlo.broadcast_add %a, %a {broadcast_dimensions = array<i64: 0>} : (tensor<2xf32>, "
        "tensor<2xf32>) -> tensor<2xf32>"), "chlo.broadcast_add", "broadcast_dimensions", "i64:0"},
    {F("%a: tensor<2xf32>", "%0 = stablehlo.exponential %a {result_accuracy = #stablehlo.result_accuracy<atol = "
        "1.0e-5, ulps = 2, mode = #stablehlo.result_accuracy_mode<TOLERANCE>>} : tensor<2xf32>"),
        "stablehlo.exponential", "result_accuracy", "stablehlo.result_accuracy{atol=1e-05:f64 rtol=0:f64 ulps=2:i64 "
        "mode=stablehlo.result_accuracy_mode.TOLERANCE}"},
    {F("%a: tensor<2xf32>", "%0 = stablehlo.exponential %a {result_accuracy = #stablehlo.result_accuracy<mode = "
        "#stablehlo.result_accuracy_mode<DEFAULT>>} : tensor<2xf32>"), "stablehlo.exponential", "result_accuracy", "-"},
    {F("%a: tensor<2xf32>", "check.expect_close %a, %a, max_ulp_difference = 3, min_ulp_difference = 1 : "
        "tensor<2xf32>, tensor<2xf32>"), "check.expect_close", "max_ulp_difference", "3:ui64"},
    {F("%a: tensor<2xf32>", "check.expect_close %a, %a, max_ulp_difference = 18446744073709551615 : tensor<2xf32>, "
        "tensor<2xf32>"), "check.expect_close", "max_ulp_difference", "-1:ui64"},
    {F("%a: tensor<2xf32>", "%0 = chlo.broadcast_compare %a, %a {comparison_direction = "
        "#chlo<comparison_direction EQ>} "
        ": (tensor<2xf32>, tensor<2xf32>) -> tensor<2xi1>"), "chlo.broadcast_compare", "comparison_direction",
        "chlo.comparison_direction.EQ"},
    {F("%a: tensor<2xf32>", "check.expect_almost_eq_const %a, dense<0.5> : tensor<2xf32>, tolerance = 0.25"),
        "check.expect_almost_eq_const", "tolerance", "0.25:f64"},
    {F("%a: tensor<2xf32>", "check.expect_almost_eq %a, %a, tolerance = 0.25 : tensor<2xf32>"),
        "check.expect_almost_eq", "tolerance", "0.25:f64"},
    {F("%a: tensor<2xf32>", "check.expect_serialized_eq %a, probe_id = \"p\", iter = 2 : tensor<2xf32>"),
        "check.expect_serialized_eq", "iteration", "2:ui32"},
    {F("%a: tensor<2xf32>", "%0 = interpreter.probe %a, probe_id = \"p\\22\\n\\0A\" : tensor<2xf32>"),
        "interpreter.probe", "probe_id", "\"p\\\"\\n\\n\""},
    {F("%a: tensor<2xf32>", "%0 = \"stablehlo.transpose\"(%a) {permutation = dense<0> : tensor<1xi64>} : "
        "(tensor<2xf32>) -> tensor<2xf32>"), "stablehlo.transpose", "permutation", "i64:0"},
    {F("", "%0 = \"my.op\"() {a = #my<stuff <[1, {x = \"}\"}]> -> y>, b = #my.attr<1>, c = "
        "!my.type<tensor<2xf32>>, d = "
           "array<f32: 1.5, -2>, e = [1, unit, \"x\"], f = @a::@b, g, h = -1.5e3 : f16, i = 0x3F800000 : f32} : () -> "
           "!my.type<3>"), "my.op", "a", "#my<stuff <[1, {x = \"}\"}]> -> y>"},
    {F("", "%0 = \"my.op\"() {d = array<f32: 1.5, -2>} : () -> !my.type<3>"), "my.op", "d", "f32:1.5,-2"},
    {F("", "%0 = \"my.op\"() {e = [1, unit, \"x\"]} : () -> i32"), "my.op", "e", "[1:i64 unit \"x\"]"},
    {"#c = #my.attr<{\n  a = (x) -> y\n}> // not this\n\n" F("", "%0 = \"my.op\"() {f = #c} : () -> i32"), "my.op", "f",
        "#my.attr<{\n  a = (x) -> y\n}>"},
    {F("", "%0 = \"my.op\"() {f = @a::@b} : () -> i32"), "my.op", "f", "@a::b"},
    {F("", "%0 = \"my.op\"() {h = -1.5e3 : f16} : () -> i32"), "my.op", "h", "-1500:f16"},
    {F("", "%0 = \"my.op\"() {i = 0x3F800000 : f32} : () -> i32"), "my.op", "i", "1:f32"},
    {F("", "%0 = \"my.op\"() {i = 255 : i8, \"quoted name\" = 18446744073709551615 : ui64} : () -> i32"), "my.op", "i",
        "-1:i8"},
    {F("", "%0 = \"my.op\"() {a = #late} : () -> i32") "#late = 7 : i32\n", "my.op", "a", "7:i32"},
    {"#early = [#inner]\n#inner = \"x\"\n!t = tensor<3xi32>\n" F("%a: !t",
        "%0 = \"my.op\"(%a) {a = #early} : (!t) -> !t"),
        "my.op", "a", "[\"x\"]"},
    {F("", "%0 = stablehlo.constant dense_resource<blob> : tensor<2xi16>") "{-#\n  dialect_resources: {\n    "
        "builtin: {\n"
        "      blob: \"0x0400000001000200\"\n    }\n  }\n#-}\n", "stablehlo.constant", "value", "1 tensor<2xi16>"},
    {F("", "%0 = stablehlo.constant dense_resource<\"a b\"> : tensor<1xi8>") "{-# dialect_resources: {builtin: {c: "
        "\"0x0400000001\", \"a b\": \"0x0400000002\"}} #-}\n", "stablehlo.constant", "value", "1 tensor<1xi8>"},
    {F("", "%0 = \"my.op\"() {a = #stablehlo.replica_group_mesh_axes<mesh = @m, axes = "
        "[#stablehlo.axis_ref<name = \"x\", "
        "sub_axis_info = (1)2>]>} : () -> i32"), "my.op", "a", "stablehlo.replica_group_mesh_axes{mesh=@m axes="
        "[stablehlo.axis_ref{name=\"x\" sub_axis_info=stablehlo.sub_axis_info{pre_size=1:i64 size=2:i64}}]}"},
    {F("", "%0 = \"my.op\"() {a = #stablehlo<precision HIGH>, b = #stablehlo.precision<HIGH>} : () -> i32"), "my.op",
        "b",
        "stablehlo.precision.HIGH"},
    {F("", "%0 = \"my.op\"() {a = #stablehlo.output_operand_alias<output_tuple_indices = [], operand_index = 1, "
        "operand_tuple_indices = [1]>} : () -> i32"), "my.op", "a",
        "stablehlo.output_operand_alias{operand_index=1:i64 operand_tuple_indices=i64:1}"},
    {"module @m attributes {mhlo.n = 2 : i32} {\n" F("", "") "}\n", "func.func", "sym_name", "\"f\""},
    {"func.func private @g(tensor<f32> {a.b = 1 : i64}, i32) -> (tensor<f32> {jax.result_info = \"r\"}) "
        "attributes {z}\n",
        "func.func", "arg_attrs", "[{a.b=1:i64} {}]"},
    {"func.func private @g(tensor<f32>) -> tensor<f32>\n", "func.func", "sym_visibility", "\"private\""},
    {"func.func @f(%a: tensor<f32> loc(\"x\")) -> (tensor<f32> {jax.result_info = \"r\"}) {\n  return %a : tensor<f32> "
     "loc(#l)\n} loc(callsite(\"a\" at \"b\":1:2))\n#l = loc(unknown)\n", "func.func", "res_attrs",
        "[{jax.result_info=\"r\"}]"},
};

TEST(forms) {
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        test_case("%s %s: %.60s", form[i].op, form[i].attr, form[i].text);
        tsr_ctx *c = test_ctx();
        struct hlo_module *m = read(c, form[i].text);
        CHECK_OK(c);
        const struct hlo_op *op = op_of(m, form[i].op);
        if (CHECK(op != NULL)) check_attr(c, op, form[i].attr, form[i].want);
        hlo_module_free(m);
        test_ctx_close(c);
    }
}

/* ---- types
 * ------------------------------------------------------------------------------------------------------------ */

TEST(types_print_as_they_were_read) {
    static const char *const type[] = {"tensor<f32>", "tensor<4x?xbf16>", "tensor<*xf32>", "tensor<0x3xcomplex<f64>>",
        "tensor<?x4xf32, #stablehlo.bounds<8, ?>>", "tensor<f32, #stablehlo.bounds<>>",
            "tuple<tensor<f32>, tuple<>, !stablehlo.token>", "!stablehlo.token",
        "!stablehlo.future<tensor<2xf32>>", "(tensor<f32>, i32) -> tensor<f32>", "() -> ()", "(i1) -> (i8, i16)",
        "memref<2x2xf8E4M3FN>", "tensor<2x!quant.uniform<i8:f32, 1.000000e-01:-30>>",
        "tensor<2x!quant.uniform<i8<-127:127>:f32:0, {1.000000e-01:-30,5.000000e-01}>>",
        "!quant.uniform<u8:f32, 1.2345678899999999e+00:16>", "!foo.bar<\"x>\", 3>", "index", "none", "ui4", "f4E2M1FN",
        "tensor<2x!foo.bar>", "vector<4xf32>", "() -> ((i1) -> i1)"};
    for (size_t i = 0; i < sizeof type / sizeof *type; i++) {
        test_case("%s", type[i]);
        tsr_ctx *c = test_ctx();
        char text[256];
        snprintf(text, sizeof text, "\"my.op\"() {t = %s} : () -> ()", type[i]);
        struct hlo_module *m = read(c, text);
        CHECK_OK(c);
        const struct hlo_op *op = op_of(m, "my.op");
        struct str s;
        str_init(&s, c);
        if (CHECK(op != NULL)) {
            hlo_type_text(&s, hlo_get(op, "t")->type);
            CHECK_STR(s.s, type[i]);
        }
        str_release(&s);
        hlo_module_free(m);
        test_ctx_close(c);
    }
}

/* ---- control flow and names
 * ------------------------------------------------------------------------------------------- */

TEST(reduce_applies_is_its_body) {
    tsr_ctx *c = test_ctx();
    struct hlo_module *m = read(c, F("%x: tensor<2x3xf32>, %z: tensor<f32>",
        "%0 = stablehlo.reduce(%x init: %z) applies stablehlo.maximum across dimensions = [1, 0] {a = 1 : i32} : "
        "(tensor<2x3xf32>, tensor<f32>) -> tensor<f32>"));
    CHECK_OK(c);
    const struct hlo_op *op = op_of(m, "stablehlo.reduce");
    if (CHECK(op != NULL)) {
        CHECK_EQ(op->noperand, 2);
        const struct hlo_block *b = &op->region[0].block[0];
        CHECK_EQ(b->narg, 2);
        CHECK_STR(b->first->name, "stablehlo.maximum");
        CHECK(b->first->operand[0] == &b->arg[0] && b->first->operand[1] == &b->arg[1]);
        CHECK(b->last->code == HLO_OP_RETURN && b->last->operand[0] == &b->first->result[0]);
        check_attr(c, op, "dimensions", "i64:1,0");
    }
    hlo_module_free(m);
}

TEST(reducer_arguments_are_unzipped) {
    tsr_ctx *c = test_ctx();
    struct hlo_module *m = read(c, F("%x: tensor<2xf32>, %y: tensor<2xi32>, %a: tensor<f32>, %b: tensor<i32>",
        "%0:2 = stablehlo.reduce(%x init: %a), (%y init: %b) across dimensions = [0] : (tensor<2xf32>, tensor<2xi32>, "
        "tensor<f32>, tensor<i32>) -> (tensor<f32>, tensor<i32>)\n reducer(%p: tensor<f32>, %q: tensor<f32>) (%r: "
        "tensor<i32>, %s: tensor<i32>) {\n stablehlo.return %q, %s : tensor<f32>, tensor<i32>\n}"));
    CHECK_OK(c);
    const struct hlo_op *op = op_of(m, "stablehlo.reduce");
    if (CHECK(op != NULL)) {
        const struct hlo_block *b = &op->region[0].block[0];
        const char *want[] = {"p", "r", "q", "s"};
        CHECK_EQ(b->narg, 4);
        for (int i = 0; i < 4; i++) CHECK_STR(b->arg[i].label, want[i]);
        CHECK_STR(op->operand[1]->label, "y");
        CHECK_STR(op->operand[2]->label, "a");
    }
    hlo_module_free(m);
}

TEST(while_and_result_numbers) {
    tsr_ctx *c = test_ctx();
    struct hlo_module *m = read(c, F("%i: tensor<i32>, %x: tensor<f32>",
        "%0:2 = stablehlo.while(%a = %i, %b = %x) : tensor<i32>, tensor<f32> attributes {n = 1 : i64}\n cond {\n %1 = "
        "stablehlo.compare LT, %a, %a : (tensor<i32>, tensor<i32>) -> tensor<i1>\n stablehlo.return %1 : tensor<i1>\n} "
        "do {\n %1 = stablehlo.add %b, %b : tensor<f32>\n stablehlo.return %a, %1 : tensor<i32>, tensor<f32>\n}\n"
        "%2 = stablehlo.abs %0#1 : tensor<f32>"));
    CHECK_OK(c);
    const struct hlo_op *loop = op_of(m, "stablehlo.while"), *abs = op_of(m, "stablehlo.abs");
    if (CHECK(loop && abs)) {
        CHECK(abs->operand[0] == &loop->result[1]);
        CHECK_EQ(loop->nregion, 2);
        CHECK_STR(loop->region[1].block[0].arg[1].label, "b");
        const struct hlo_op *f = hlo_find_func(m, "f");
        CHECK_EQ(f->nvalue, 2 + 2 + 2 + 1 + 2 + 1 + 1); /* arguments, results, two regions, abs */
        CHECK_EQ(abs->result[0].id, f->nvalue - 1);
    }
    hlo_module_free(m);
}

TEST(sections) {
    static const char text[] = "func.func @a() {\n  return\n}\n// -----\nfunc.func @b() {\n  return\n}\n// ----- x\n\n";
    tsr_ctx *c = test_ctx();
    struct hlo_module *m = read(c, text);
    CHECK_OK(c);
    if (CHECK(m && m->next && m->next->next && !m->next->next->next)) {
        CHECK(hlo_find_func(m, "a") && !hlo_find_func(m, "b") && hlo_find_func(m->next, "b"));
        CHECK_EQ(hlo_find_func(m->next, "b")->loc.line, 5);
        CHECK(m->next->next->op->region[0].block[0].first == NULL);
    }
    hlo_module_free(m);
    m = read(c, "");
    CHECK(m && !m->next);
    hlo_module_free(m);
}

/* ---- errors
 * ----------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *message;
} error[] = {
    {"func.func @f() {\n  return\n", "t.mlir:3:1: expected '}' at the end of a region, found the end of the text"},
    {"func.func @f() {\n}", "t.mlir:2:1: the block does not end in a terminator"},
    {"func.func @f(%a: tensor<f32>) {\n  %a = stablehlo.abs %a : tensor<f32>\n  return\n}",
        "t.mlir:2:3: %a is defined already, at line 1"},
    {F("", "  %0 = stablehlo.abs %x : tensor<f32>"), "t.mlir:2:22: %x is not defined before this line"},
    {F("%a: tensor<f32>", "  %0 = stablehlo.abs %a : tensor<2xf32>"),
        "t.mlir:2:8: operand 0 is said to be a tensor<2xf32>, but it is defined as a tensor<f32>"},
    {F("%a: tensor<f32>", "  %0:2 = stablehlo.abs %a : tensor<f32>"),
        "t.mlir:2:10: 'stablehlo.abs' has 1 results, but 2 are named"},
    {F("%a: tensor<f32>", "  %0 = stablehlo.abs %a#1 : tensor<f32>"), "t.mlir:2:22: %a#1: %a has 1 results"},
    {F("%a: tensor<f32>", "  %0 = stablehlo.add %a : tensor<f32>"),
        "t.mlir:2:8: 'stablehlo.add' has 2 operands, not 1"},
    {F("%a: tensor<f32>", "  %0 = \"stablehlo.abs\"(%a) : (tensor<f32>, tensor<f32>) -> tensor<f32>"),
        "t.mlir:2:8: 'stablehlo.abs' has 1 operands, but 2 types for them"},
    {F("%a: tensor<f32>", "  %0 = stablehlo.frob %a : tensor<f32>"),
        "t.mlir:2:8: 'stablehlo.frob' is no operation known"},
    {F("%a: tensor<f32>", "  %0 = stablehlo.sort %a : tensor<f32>"),
        "t.mlir:2:8: 'stablehlo.sort' has no form of its own"},
    {F("%a: tensor<2xf32>", "  %0 = \"stablehlo.reverse\"(%a) : (tensor<2xf32>) -> tensor<2xf32>"),
        "t.mlir:2:8: 'stablehlo.reverse' needs the attribute 'dimensions', array<i64: ...>"},
    {F("%a: tensor<2xf32>", "  %0 = \"stablehlo.reverse\"(%a) {dimensions = \"x\"} : (tensor<2xf32>) -> tensor<2xf32>"),
        "t.mlir:2:8: 'stablehlo.reverse': the attribute 'dimensions' is array<i64: ...>"},
    {F("", "  %0 = stablehlo.constant dense<[1, 2, 3]> : tensor<2xi32>"),
        "t.mlir:2:39: more elements than the type's extent (the constant is a tensor<2xi32>)"},
    {F("", "  %0 = stablehlo.constant dense<[[1, 2], [3]]> : tensor<2x2xi32>"),
        "t.mlir:2:44: fewer elements than the type's extent"},
    {F("", "  %0 = stablehlo.constant dense<[[1, 2],\n  [3, x]]> : tensor<2x2xi32>"),
        "t.mlir:3:7: expected a number that the element type can hold"},
    {F("", "  %0 = stablehlo.constant dense<[300]> : tensor<1xi8>"), "t.mlir:2:34: expected a number that the element"},
    {F("", "  %0 = stablehlo.constant dense<300> : tensor<1xi8>"),
        "t.mlir:2:33: expected a value that the element type i8"},
    {F("", "  %0 = stablehlo.constant dense<1> : tensor<2xcomplex<f32>>"), "t.mlir:2:33: expected (re, im)"},
    {F("", "  %0 = stablehlo.constant dense<\"0x0102\"> : tensor<3xi8>"),
        "t.mlir:2:33: the constant has 2 bytes (4 hexadecimal digits), its type wants 3, or 1 for a splat"},
    {F("", "  %0 = stablehlo.constant dense<\"0x01zz03\"> : tensor<3xi8>"),
        "t.mlir:2:33: the constant's string is not"},
    {F("", "  %0 = stablehlo.constant dense<\"0x01"), "t.mlir:2:33: the string that begins here has no closing quote"},
    {F("", "  %0 = stablehlo.constant dense<1> : tensor<?xi8>"),
        "t.mlir:2:38: the type of a constant is a tensor type with"},
    {F("", "  %0 = stablehlo.constant dense_resource<x> : tensor<1xi8>"),
        "t.mlir:2:41: the resource 'x' is not in the"},
    {F("", "  %0 = stablehlo.constant dense_resource<xxx> : tensor<1xi8>") "{-# a: \"", "t.mlir:2:41: the resource 'x"},
    {F("%a: tensor<4xf33>", ""), "t.mlir:1:27: 'f33' is no element type"},
    {F("%a: tensor<4294967296x4294967296xf32>", ""), "t.mlir:1:24: the type has more elements than 60 bits can count"},
    {F("%a: tensor<99999999999999999999xf32>", ""), "t.mlir:1:43: the extent does not fit in 63 bits"},
    {F("%a: tensor<4f32>", ""), "t.mlir:1:26: expected 'x' after the extent, found 'f32'"},
    {F("%a: tensor<2x!quant.uniform<i8:f32, 0.0>>", ""),
        "t.mlir:1:50: expected a scale, a positive float, found '0.0'"},
    {F("%a: tensor<2x!quant.uniform<i8<-200:1>:f32, 1.0>>", ""), "t.mlir:1:45: the bounds -200:1 do not lie"},
    {F("%a: tensor<2xf32>", "  %0 = stablehlo.compare LESS, %a, %a : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xi1>"),
        "t.mlir:2:26: 'LESS' is no value of stablehlo.comparison_direction: it has EQ NE GE GT LE LT"},
    {F("", "  \"a.b\"() {x = #stablehlo.gather<offset = [1]>} : () -> ()"),
        "t.mlir:2:34: #stablehlo.gather has no field 'offset'"},
    {F("", "  \"a.b\"() {x = #stablehlo.conv<[b, 0, 2, f]x[0, 1, i, o]->[b, 0, 1, f]>} : () -> ()"),
        "t.mlir:2:32: spatial axis 1 is not there"},
    {F("", "  \"a.b\"() {x = 1, x = 2} : () -> ()"), "t.mlir:2:19: the attribute 'x' is there twice"},
    {F("", "  \"a.b\"() {x = \"a\\q\"} : () -> ()"), "t.mlir:2:18: unknown escape"},
    {F("", "  \"a.b\"() {x = #none} : () -> ()"), "t.mlir:2:16: '#none' is an alias that no line of the text defines"},
    {"#a = #b\n#b = #a\n" F("", "  \"a.b\"() {x = #a} : () -> ()"), "nest deeper than 256 levels"},
    {F("", "  \"a.b\"() {x = #foo<(]>} : () -> ()"), "t.mlir:2:22: ']' does not close the '('"},
    {F("", "  \"a.b\"() {x = 1.5 : i32} : () -> ()"), "t.mlir:2:16: '1.5' is no value of type i32"},
    {F("", "  \"a.b\"()[^bb1] : () -> ()"), "t.mlir:2:10: expected no successors"},
    {F("", "  \"a.b\"() : () -> () foo"), "'foo' is no operation known here"},
    {"func.func @f() {\n  return\n}\nfunc.func @f() {\n  return\n}",
        "t.mlir:4:1: a function named @f is there already, at line 1"},
    {"func.func @f(%a: i32, i32) {\n  return\n}", "t.mlir:1:26: expected a name for each argument"},
    {"\xff", "t.mlir:1:1: expected an operation, found the byte 0xff"},
    {"func.func @f() {\n  return\n}\n// -----\n  oops", "t.mlir:5:3: 'oops' is no operation known here"},
    {F("%a: tensor<2xf32>, %z: tensor<f32>", "  %0 = stablehlo.reduce(%a init: %z) applies stablehlo.subtract across "
        "dimensions = [0] : (tensor<2xf32>, tensor<f32>) -> tensor<f32>"), "t.mlir:2:46: 'applies stablehlo.subtract'"},
    {F("%p: tensor<i1>", "  \"stablehlo.if\"(%p) ({\n    stablehlo.return\n  }) : (tensor<i1>) -> ()"),
        "t.mlir:2:3: 'stablehlo.if' has 2 regions, not 1"},
    {F("%p: tensor<i1>", "  \"stablehlo.if\"(%p) ({\n  }, {\n    stablehlo.return\n  }) : (tensor<i1>) -> ()"),
        "t.mlir:2:3: 'stablehlo.if': region 0 has 0 blocks, not one"},
    {F("%a: tensor<2xf32>", "  %0 = stablehlo.slice %a [0:1 : (tensor<2xf32>) -> tensor<1xf32>"),
        "t.mlir:2:34: expected a stride"},
    {"\"a.b\\00c\"() : () -> ()", "t.mlir:1:10: the name before this has a byte \\00 in it"},
    {"func.func @\"f\\00\"() { return }", "t.mlir:1:18: the name before this has a byte \\00 in it"},
};

TEST(errors_at_their_places) {
    for (size_t i = 0; i < sizeof error / sizeof *error; i++) {
        test_case("%s", error[i].message);
        tsr_ctx *c = test_ctx();
        CHECK(read(c, error[i].text) == NULL);
        CHECK_ERROR(c, TSR_EINVAL, error[i].message);
        test_ctx_close(c);
    }
}

/* Every prefix of a program is an error, or a shorter program; none is read past its end (the bytes are copied to a
 * block
 * of their own length). */
static const char sample[] =
    "#a = #stablehlo.gather<offset_dims = [0], index_vector_dim = 1>\n"
    "module @m attributes {x = dense<[[1, 2], [3, 4]]> : tensor<2x2xi8>} {\n"
    "  func.func public @main(%arg0: tensor<2x!quant.uniform<i8:f32:0, {0.1:-30,0.5}>> {a = \"b\\22\"}) -> "
        "tensor<f32> {\n"
    "    %0 = stablehlo.constant dense<\"0x00000000\"> : tensor<f32>\n"
    "    %1:2 = \"stablehlo.while\"(%0, %0) ({\n"
    "    ^bb0(%x: tensor<f32>, %y: tensor<f32>):\n"
    "      %2 = stablehlo.compare LT, %x, %y : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
    "      stablehlo.return %2 : tensor<i1>\n"
    "    }, {\n"
    "    ^bb0(%x: tensor<f32>, %y: tensor<f32>):\n"
    "      stablehlo.return %y, %x : tensor<f32>, tensor<f32>\n"
    "    }) {b = array<i64: 1, 2>, c = [#a, @f::@g, 1.5 : f16]} : (tensor<f32>, tensor<f32>) -> (tensor<f32>, "
        "tensor<f32>)\n"
    "    %z = stablehlo.iota dim = 0 : tensor<4xf32>\n"
    "    %3 = stablehlo.reduce(%z init: %0) applies stablehlo.add across dimensions = [0] : (tensor<4xf32>, "
        "tensor<f32>) "
    "-> tensor<f32> loc(\"here\")\n"
    "    return %1#1 : tensor<f32>\n"
    "  }\n"
    "}\n";

TEST(every_prefix) {
    for (size_t n = 0; n < sizeof sample - 1; n++) {
        tsr_ctx *c = test_ctx();
        char *text = mem_alloc(c, n);
        memcpy(text, sample, n);
        struct hlo_module *m = hlo_read(c, "t.mlir", text, n);
        CHECK((m != NULL) == (tsr_error_status(c) == TSR_OK));
        if (!m) CHECK_CONTAINS(tsr_error_message(c), "t.mlir:");
        hlo_module_free(m);
        tsr_error_clear(c);
        mem_free(c, text, n);
        test_ctx_close(c);
    }
}

static bool read_sample(tsr_ctx *c, void *arg) {
    (void)arg;
    struct hlo_module *m = hlo_read_text(c, "t.mlir", sample, sizeof sample - 1);
    bool ok = m != NULL;
    hlo_module_free(m);
    return ok;
}

TEST(allocations_fail) { CHECK(torture(read_sample, NULL) > 20); }

/* Any change of one byte is an error or another program, never a crash. */
TEST(one_byte_changed) {
    char text[sizeof sample];
    for (int i = 0; i < 4000; i++) {
        tsr_ctx *c = test_ctx();
        memcpy(text, sample, sizeof sample);
        text[test_int(0, sizeof sample - 2)] = (char)test_int(0, 255);
        struct hlo_module *m = hlo_read_text(c, "t.mlir", text, sizeof sample - 1);
        CHECK((m != NULL) == (tsr_error_status(c) == TSR_OK));
        hlo_module_free(m);
        tsr_error_clear(c);
        test_ctx_close(c);
    }
}

/* Each alias stands for the one before it twice. */
TEST(aliases_do_not_explode) {
    tsr_ctx *c = test_ctx();
    struct str s;
    str_init(&s, c);
    str_put(&s, "#a0 = 1\n");
    for (int i = 1; i < 100; i++) str_printf(&s, "#a%d = [#a%d, #a%d]\n", i, i - 1, i - 1);
    CHECK(read(c, s.s) == NULL);
    CHECK_ERROR(c, TSR_EINVAL, "aliases stand for more than");
    str_release(&s);
}

TEST(nesting_is_bounded) {
    static const char *const open[] = {"\"a\"() {x = ", "\"a\"() {x = ", "\"a\"() {x = "};
    static const char *const level[] = {"[", "tuple<", "{y = "};
    for (int k = 0; k < 3; k++) {
        test_case("%s", level[k]);
        tsr_ctx *c = test_ctx();
        struct str s;
        str_init(&s, c);
        str_put(&s, open[k]);
        for (int i = 0; i < 100000; i++) str_put(&s, level[k]);
        CHECK(read(c, s.s) == NULL);
        CHECK_ERROR(c, TSR_EINVAL, "deeper than 256 levels");
        str_release(&s);
        test_ctx_close(c);
    }
}
