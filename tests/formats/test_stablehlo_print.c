/* test_stablehlo_print.c: what the printer writes, the reader reads as the same program: every program of the suite in
 * both forms, every number of every narrow type, and texts as stablehlo-opt prints them. */
#include <math.h>
#include <stdlib.h>

#include "base/vec.h"
#include "formats/stablehlo/read.h"
#include "harness.h"
#include "suite.h"

typedef void print_fn(struct str *out, const struct hlo_module *m);

/* The text of m read again says the same, and prints the same. */
static void check_round_trip(tsr_ctx *c, const struct hlo_module *m, print_fn *print) {
    struct str first, second, why;
    str_init(&first, c), str_init(&second, c), str_init(&why, c);
    print(&first, m);
    struct hlo_module *again = CHECK(!first.failed) ? hlo_read_text(c, "printed", first.s, first.n) : NULL;
    if (CHECK_OK(c) && CHECK(again != NULL)) {
        bool same = hlo_module_equal(m, again, &why);
        CHECK_MSG(same, "read(print(m)) differs: %s", why.s);
        print(&second, again);
        CHECK_STR(second.s, first.s);
    } else {
        CHECK_MSG(false, "the text was:\n%.2000s", first.s);
    }
    hlo_module_free(again);
    str_release(&first), str_release(&second), str_release(&why);
}

/* ---- the suite -------------------------------------------------------------------------------------------------- */

/* Files whose point is that they are refused, or that mix in dialects with a syntax of their own. */
static bool is_ours(const char *name) {
    return !strstr(name, "invalid") && !strstr(name, "downgrade") && !strstr(name, "mixed");
}

static void each_section(tsr_ctx *c, const char *name, const char *text, size_t n) {
    size_t at = 0, length;
    const char *section;
    uint32_t line;
    while (hlo_split(text, n, &at, &section, &length, &line)) {
        struct hlo_module *m = hlo_read_section(c, name, section, length, line);
        if (!m) { /* sections that are there to be refused are the reader's test */
            tsr_error_clear(c);
            continue;
        }
        check_round_trip(c, m, hlo_print);
        check_round_trip(c, m, hlo_print_generic);
        hlo_module_free(m);
    }
}

static void visit(void *c, const char *name, char *text, size_t n) { each_section(c, name, text, n); }

static void each_file(const char *folder) { suite_each("stablehlo", folder, ".mlir", is_ours, visit, test_ctx()); }

TEST(suite_testdata) { each_file("testdata"); }
TEST(suite_interpret) { each_file("tests/interpret"); }
TEST(suite_vhlo) { each_file("tests/vhlo"); }

/* Runs of spaces become one, in place: older versions of stablehlo-opt wrote two before a keyword. */
static char *squeeze(char *s) {
    char *to = s;
    for (const char *from = s; *from; from++)
        if (*from != ' ' || to == s || to[-1] != ' ') *to++ = *from;
    return *to = 0, s;
}

/* The files of testdata were printed by stablehlo-opt: ours is the same text past their first comments, but for
 * repeated spaces. Of a constant of no elements it kept the one that would fill it, which we do not. */
TEST(suite_texts_as_stablehlo_opt_prints_them) {
    const char *root = suite_find("stablehlo");
    if (!root) SKIP(SUITE_MISSING);
    struct suite_files f = suite_list(root, "testdata", ".mlir");
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < f.n; i++) {
        size_t n = 0;
        char *text = suite_read(f.path[i], &n), *start = text ? strstr(text, "\nmodule") : NULL;
        bool older = strchr(f.name[i] + strlen("testdata/"), '/') != NULL; /* folders of it were printed years before */
        if (start && !older && !strstr(start, "dense<(0.0, 0.0)>")) {
            test_case("%s", f.name[i]);
            struct str out;
            str_init(&out, c);
            struct hlo_module *m = hlo_read_text(c, f.name[i], text, n);
            if (CHECK_OK(c) && CHECK(m != NULL)) hlo_print(&out, m), CHECK_STR(squeeze(out.s), squeeze(start + 1));
            hlo_module_free(m);
            str_release(&out);
        }
        free(text);
    }
    suite_list_free(&f);
}

/* ---- texts ------------------------------------------------------------------------------------------------------ */

/* A function body line by line, and how it is printed; want NULL: as it stands. The wanted texts are those of
 * StableHLO's own printing tests (tests/print_stablehlo.mlir, ops_chlo_roundtrip.mlir, print_reduce.mlir). */
static const struct {
    const char *signature, *body, *want;
} texts[] = {
    {"", "%c = stablehlo.constant dense<[-1]> : tensor<1xi64>", "%c = stablehlo.constant dense<-1> : tensor<1xi64>"},
    {"", "%c = stablehlo.constant {attr = 1 : i32} dense<[-2, 4]> : tensor<2xi64>", NULL},
    {"", "%cst = stablehlo.constant() <{value = dense<[1, 2]> : tensor<2xi8>}> : () -> "
         "tensor<2x!quant.uniform<i8:f32, 2.000000e+00:15>>", NULL},
    {"%arg0: tensor<2xi32>", "%0 = stablehlo.abs %arg0 : tensor<2xi32>", NULL},
    {"%arg0: tensor<2xf32>", "%0 = \"stablehlo.convert\"(%arg0) : (tensor<2xf32>) -> tensor<2xf64>",
        "%0 = stablehlo.convert %arg0 : (tensor<2xf32>) -> tensor<2xf64>"},
    {"%arg0: tensor<3x4xf32>", "%0 = stablehlo.reduce_precision %arg0, format = e8m10 : tensor<3x4xf32>", NULL},
    {"%arg0: tensor<3x4xf32>", "%0 = stablehlo.custom_call @\"foo-not-id\"(%arg0) {backend_config = \"bar\", "
                              "has_side_effect = true} : (tensor<3x4xf32>) -> tensor<1x2x3xf32>", NULL},
    {"%arg0: tensor<2x3xi1>, %arg1: tensor<2x?xi32>, %arg2: tensor<?x3xi32>",
        "%0 = stablehlo.select %arg0, %arg1, %arg2 : (tensor<2x3xi1>, tensor<2x?xi32>, tensor<?x3xi32>) -> "
        "tensor<2x?xi32>", NULL},
    {"%arg0: tensor<3xi64>", "%0 = stablehlo.dot %arg0, %arg0, precision = [DEFAULT, HIGH] : (tensor<3xi64>, "
                             "tensor<3xi64>) -> tensor<i64>", NULL},
    {"%arg0: tensor<2x2xf32>", "%0 = stablehlo.cholesky %arg0, lower = true : tensor<2x2xf32>", NULL},
    {"%arg0: tensor<8xf32>", "%0 = stablehlo.slice %arg0 [0:4:2] : (tensor<8xf32>) -> tensor<2xf32>", NULL},
    {"%arg0: tensor<8xf32>", "%0 = stablehlo.slice %arg0 [0:1:1] : (tensor<8xf32>) -> tensor<1xf32>",
        "%0 = stablehlo.slice %arg0 [0:1] : (tensor<8xf32>) -> tensor<1xf32>"},
    {"%arg0: tensor<2x2xi8>, %arg1: tensor<2x3xi8>",
        "%0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0], precision = [HIGH, DEFAULT], "
        "algorithm = <lhs_precision_type = tf32, rhs_precision_type = tf32, accumulation_type = f32, "
        "lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, "
        "allow_imprecise_accumulation = false> : (tensor<2x2xi8>, tensor<2x3xi8>) -> tensor<2x3xi32>", NULL},
    {"%arg0: tensor<8x8xf64>", "%0 = chlo.acos %arg0 : tensor<8x8xf64> -> tensor<8x8xf64>", NULL},
    {"%arg0: tensor<?x?xf32>, %arg1: tensor<f32>",
        "%0 = \"stablehlo.reduce\"(%arg0, %arg1) ({\n^bb0(%x: tensor<f32>, %y: tensor<f32>):\n"
        "%1 = stablehlo.add %x, %y : tensor<f32>\nstablehlo.return %1 : tensor<f32>\n"
        "}) {dimensions = array<i64: 1>, foo = \"bar\"} : "
        "(tensor<?x?xf32>, tensor<f32>) -> tensor<?xf32>",
        "%0 = stablehlo.reduce(%arg0 init: %arg1) applies stablehlo.add across dimensions = [1] {foo = \"bar\"} : "
        "(tensor<?x?xf32>, tensor<f32>) -> tensor<?xf32>"},
    /* not commutative: the body is written */
    {"%arg0: tensor<?x?xf32>, %arg1: tensor<f32>",
        "%0 = stablehlo.reduce(%arg0 init: %arg1) across dimensions = [1] : (tensor<?x?xf32>, tensor<f32>) -> "
        "tensor<?xf32>\n     reducer(%arg2: tensor<f32>, %arg3: tensor<f32>)  {\n"
        "      %1 = stablehlo.divide %arg2, %arg3 : tensor<f32>\n      stablehlo.return %1 : tensor<f32>\n    }", NULL},
    /* an op that does not fit its form: two results, another dialect */
    {"%arg0: tensor<f32>", "%0:2 = \"foo.bar\"(%arg0) <{x = #foo.y<1>}> : (tensor<f32>) -> (tensor<f32>, tensor<f32>)",
        NULL},
    {"%arg0: tensor<?xf32, #stablehlo.type_extensions<bounds = [4]>>",
        "%0 = stablehlo.abs %arg0 : tensor<?xf32, #stablehlo.bounds<4>>", NULL},
    {"", "%cst = stablehlo.constant dense<[0x7FC00000, 0xFF800000, -0.000000e+00]> : tensor<3xf32>", NULL},
    {"", "%cst = stablehlo.constant dense<[(1.000000e+00,0x7F800000), (0.333333343,2.000000e+00)]> : "
         "tensor<2xcomplex<f32>>", NULL},
    {"", "%cst = stablehlo.constant dense<[0x4B3C614F, 1.17549435E-38, 1.638400e+04]> : tensor<3xf32>", NULL},
    {"", "%0 = stablehlo.create_token {a.s = \"q\\22u\\\\o\\00t\\C3\\A9\", \"odd name\" = [1 : i8, unit, @f::@g]} : "
         "!stablehlo.token",
        "%0 = stablehlo.create_token {a.s = \"q\\22u\\\\o\\00t\\C3\\A9\", \"odd name\" = [1 : i8, unit, @f::@g]} : "
        "!stablehlo.token"},
};

TEST(texts_as_they_should_be) {
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        test_case("%.60s", texts[i].body);
        struct str text, want, out;
        str_init(&text, c), str_init(&want, c), str_init(&out, c);
        str_printf(&text, "func.func @f(%s) {\n%s\nreturn\n}", texts[i].signature, texts[i].body);
        struct hlo_module *m = hlo_read_text(c, "case", text.s, text.n);
        if (CHECK_OK(c) && CHECK(m != NULL)) {
            hlo_print(&out, m);
            str_printf(&want, "    %s\n    return", texts[i].want ? texts[i].want : texts[i].body);
            CHECK_CONTAINS(out.s, want.s);
            check_round_trip(c, m, hlo_print);
            check_round_trip(c, m, hlo_print_generic);
        }
        hlo_module_free(m);
        str_release(&text), str_release(&want), str_release(&out);
    }
}

/* Names: each region goes on counting where the one around it ended; words are unique among those that are visible. */
TEST(names_of_values) {
    static const char text[] = "module {\n"
                               "  func.func @f(%arg0: tensor<i32>) -> tensor<i32> {\n"
                               "    %c = stablehlo.constant dense<0> : tensor<i32>\n"
                               "    %0 = stablehlo.while(%iterArg = %arg0) : tensor<i32>\n"
                               "    cond {\n"
                               "      %c_0 = stablehlo.constant dense<9> : tensor<i32>\n"
                               "      %2 = stablehlo.compare LT, %iterArg, %c_0, SIGNED : (tensor<i32>, "
                               "tensor<i32>) -> tensor<i1>\n"
                               "      stablehlo.return %2 : tensor<i1>\n"
                               "    } do {\n"
                               "      %2 = stablehlo.add %iterArg, %c : tensor<i32>\n"
                               "      %3 = func.call @g(%2) : (tensor<i32>) -> tensor<i32>\n"
                               "      stablehlo.return %3 : tensor<i32>\n"
                               "    }\n"
                               "    %1 = call @g(%0) : (tensor<i32>) -> tensor<i32>\n"
                               "    return %1 : tensor<i32>\n"
                               "  }\n"
                               "  func.func private @g(tensor<i32> {a.b}) -> (tensor<i32> {a.c = 1 : i64})\n"
                               "}\n";
    tsr_ctx *c = test_ctx();
    struct str out;
    str_init(&out, c);
    struct hlo_module *m = hlo_read_text(c, "names", text, sizeof text - 1);
    if (CHECK_OK(c) && CHECK(m != NULL)) hlo_print(&out, m), CHECK_STR(out.s, text);
    hlo_module_free(m);
    str_release(&out);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* A constant of these bytes, printed (as a list of at most 100) and read again, has them still. */
static void check_bytes(tsr_ctx *c, enum hlo_elem e, const uint8_t *bytes, int64_t count) {
    size_t width = hlo_elem_of(e)->bits < 8 ? 1 : (size_t)hlo_elem_of(e)->bits / 8, n = (size_t)count * width;
    struct str out;
    str_init(&out, c);
    struct hlo_module *m = hlo_module_new(c, "numbers"), *again = NULL;
    const struct hlo_type *t = m ? hlo_type_tensor(m, e, 1, &count) : NULL;
    const struct hlo_attr *a = t ? hlo_attr_elements(m, t, false, bytes, n) : NULL;
    struct hlo_named value = {"value", a};
    struct hlo_loc at = {0, 0};
    struct hlo_op *op = a ? hlo_op_new(m, "stablehlo.constant", at, 0, NULL, 1, &value, 1, &t, 0) : NULL;
    if (CHECK(op != NULL)) {
        hlo_block_append(&m->op->region[0].block[0], op);
        hlo_print(&out, m);
        again = hlo_read_text(c, "numbers", out.s, out.n);
        if (CHECK_OK(c) && CHECK(again != NULL)) {
            const struct hlo_op *first = again->op->region[0].block[0].first;
            CHECK_MSG(hlo_attr_equal(hlo_get(first, "value"), a), "other numbers: %.3000s", out.s);
        }
    }
    hlo_module_free(m), hlo_module_free(again);
    str_release(&out);
}

/* Every pattern of every type of up to 16 bits, a hundred to a constant. */
TEST(every_narrow_number) {
    tsr_ctx *c = test_ctx();
    for (int e = 0; e < HLO_INDEX; e++) {
        int bits = hlo_elem_of((enum hlo_elem)e)->bits;
        if (bits > 16) continue;
        test_case("%s", hlo_elem_of((enum hlo_elem)e)->text);
        for (int from = 0; from < 1 << bits; from += 100) {
            uint8_t bytes[200];
            int n = (1 << bits) - from < 100 ? (1 << bits) - from : 100;
            for (int i = 0; i < n; i++) {
                uint16_t v = (uint16_t)(from + i);
                memcpy(bytes + i * (bits == 16 ? 2 : 1), &v, bits == 16 ? 2 : 1);
            }
            check_bytes(c, (enum hlo_elem)e, bytes, n);
        }
    }
}

TEST(random_wide_numbers) {
    static const enum hlo_elem wide[] = {HLO_F32, HLO_F64, HLO_C64, HLO_C128, HLO_I32, HLO_I64, HLO_UI32, HLO_UI64};
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < sizeof wide / sizeof *wide; k++) {
        test_case("%s", hlo_elem_of(wide[k])->text);
        for (int round = 0; round < 40; round++) {
            uint8_t bytes[1600];
            double d;
            for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)test_int(0, 255);
            if (round % 2) /* ordinary numbers: few digits, or a fraction */
                for (size_t i = 0; i + 8 <= sizeof bytes; i += 8)
                    d = round % 4 == 1 ? (double)test_int(-9999, 99999) / 8 : test_normal(), memcpy(bytes + i, &d, 8);
            check_bytes(c, wide[k], bytes, test_int(1, 130) % 101);
        }
    }
}

/* ---- equality --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *a, *b, *why; /* why NULL: they are equal */
} pairs[] = {
    {"func.func @f(%a: tensor<f32>) { return }", "func.func @f(%b: tensor<f32>) {\n  return\n}", NULL},
    {"func.func @f() { %c = stablehlo.constant dense<[1, 1]> : tensor<2xi8> return }",
        "func.func @f() { %c = stablehlo.constant dense<\"0x0101\"> : tensor<2xi8> return }", NULL},
    {"func.func @f() { return }", "func.func @g() { return }", "attribute sym_name"},
    {"func.func @f(%a: tensor<f32>) { return }", "func.func @f(%a: tensor<f64>) { return }",
        "attribute function_type"},
    {"func.func @f(%a: tensor<f32>) { %0 = stablehlo.abs %a : tensor<f32> return }",
        "func.func @f(%a: tensor<f32>) { %0 = stablehlo.sine %a : tensor<f32> return }", "the other is stablehlo.sine"},
    {"func.func @f(%a: tensor<f32>, %b: tensor<f32>) { %0 = stablehlo.add %a, %b : tensor<f32> return }",
        "func.func @f(%a: tensor<f32>, %b: tensor<f32>) { %0 = stablehlo.add %b, %a : tensor<f32> return }",
        "operand 0 is another value"},
    {"func.func @f() { %c = stablehlo.constant dense<1> : tensor<i8> return }",
        "func.func @f() { %c = stablehlo.constant dense<2> : tensor<i8> return }", "dense<1>"},
    {"func.func @f(%a: tensor<f32>) { %0 = stablehlo.abs %a : tensor<f32> return }",
        "func.func @f(%a: tensor<f32>) { return }", "the other is"},
};

TEST(equality_names_the_first_difference) {
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        test_case("%s", pairs[i].why ? pairs[i].why : "equal");
        struct str why;
        str_init(&why, c);
        struct hlo_module *a = hlo_read_text(c, "a", pairs[i].a, strlen(pairs[i].a));
        struct hlo_module *b = hlo_read_text(c, "b", pairs[i].b, strlen(pairs[i].b));
        if (CHECK_OK(c) && CHECK(a && b)) {
            CHECK_EQ(hlo_module_equal(a, b, &why), pairs[i].why == NULL);
            if (pairs[i].why) CHECK_CONTAINS(why.s, pairs[i].why), CHECK_CONTAINS(why.s, "a:1:");
        }
        hlo_module_free(a), hlo_module_free(b);
        str_release(&why);
    }
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static bool print_all_forms(tsr_ctx *c, void *arg) {
    static const char text[] =
        "func.func @f(%a: tensor<2x2xf32>, %b: tensor<f32>) -> tensor<2xf32> {\n"
        "  %0 = stablehlo.constant dense<[[1.0, 2.5], [0.1, 0x7FC00000]]> : tensor<2x2xf32>\n"
        "  %1 = stablehlo.add %a, %0 : tensor<2x2xf32>\n"
        "  %2 = stablehlo.reduce(%1 init: %b) applies stablehlo.add across dimensions = [0] : (tensor<2x2xf32>, "
        "tensor<f32>) -> tensor<2xf32>\n  return %2 : tensor<2xf32>\n}";
    struct str out;
    (void)arg;
    str_init(&out, c);
    struct hlo_module *m = hlo_read_text(c, "torture", text, sizeof text - 1);
    if (m) hlo_print(&out, m), hlo_print_generic(&out, m);
    bool ok = m && !out.failed && out.n > 500;
    hlo_module_free(m);
    str_release(&out);
    return ok;
}

TEST(every_allocation_may_fail) { torture(print_all_forms, NULL); }
