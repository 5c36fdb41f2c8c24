/* test_stablehlo_mesh.c: modules whose programs communicate: groups, bodies, effects, what is refused, and failing
 * allocations.
 *
 * The texts check themselves, on the reference and on the VM; what they expect was worked out by hand from the
 * specification. If one failed, a participant would get another's value, or an effect would be lost or out of order. */
#include "formats/hlo_run.h"
#include "harness.h"

#include "formats/stablehlo/conform.h"
#include "formats/stablehlo/read.h"
#include "tessera/mesh.h"

static tsr_fn *import_text(tsr_ctx *c, const char *text, struct hlo_module **m, hlo_checks *checks, tsr_tier tier) {
    struct hlo_import_options o = {.checks = checks != NULL, .partition = -1, .replica = -1, .tier = tier};
    *m = hlo_read_text(c, "t.mlir", text, strlen(text));
    return *m ? hlo_import(*m, "main", &o, checks) : NULL;
}

static bool holds(tsr_ctx *c, const char *text, tsr_tier tier) {
    struct hlo_module *m = NULL;
    hlo_checks k = {0};
    tsr_node *out[32];
    tsr_scope *scope = tsr_scope_begin(c);
    if (!scope) return false;
    tsr_fn *f = import_text(c, text, &m, &k, tier);
    bool ok = f && k.n && k.n <= 8 && !(tier == TSR_TIER_PLAN ? tsr_run : tsr_interpret)(c, f, 0, NULL, out) &&
              hlo_hold(c, &k, out);
    tsr_fn_free(c, f);
    vec_release(c, &k);
    hlo_module_free(m);
    tsr_scope_end(c, scope);
    return ok;
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

#define FUNC(name, args, result, body) "func.func @" name "(" args ") -> (" result ") {\n" body "}\n"
#define MAIN(body) "func.func @main() {\n" body "  func.return\n}\n"
#define CONST(name, value, type) "  %" name " = stablehlo.constant dense<" value "> : " type "\n"
#define WANT(name, value, type) "  check.expect_eq_const %" name ", dense<" value "> : " type "\n"
#define PARALLEL(n, args, programs, types, results)                                                             \
    "  %r:" n " = \"interpreter.run_parallel\"(" args ") {programs = " programs "} : (" types ") -> (" results ")\n"
#define BODY(op, type)                                                                                          \
    "({\n^bb0(%a: tensor<" type ">, %b: tensor<" type ">):\n  %c = stablehlo." op " %a, %b : tensor<" type ">\n" \
    "  stablehlo.return %c : tensor<" type ">\n})"
/* the value of greater magnitude, with its sign */
#define GREATER                                                                                                 \
    "({\n^bb0(%a: tensor<i32>, %b: tensor<i32>):\n  %c = stablehlo.abs %a : tensor<i32>\n"                      \
    "  %d = stablehlo.abs %b : tensor<i32>\n"                                                                   \
    "  %e = stablehlo.compare GE, %c, %d, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"                  \
    "  %f = stablehlo.select %e, %a, %b : tensor<i1>, tensor<i32>\n  stablehlo.return %f : tensor<i32>\n})"
#define I2 "tensor<2xi32>"
#define I1 "tensor<1xi32>"
#define FOUR(t) t ", " t ", " t ", " t
/* 0, 1, 2, 3 for participants in order; f on all */
#define NUMBERED CONST("x0", "0", I1) CONST("x1", "1", I1) CONST("x2", "2", I1) CONST("x3", "3", I1)
#define WANT4(a, b, c, d, t) WANT("r#0", a, t) WANT("r#1", b, t) WANT("r#2", c, t) WANT("r#3", d, t)
#define ON_FOUR_REPLICAS(result) PARALLEL("4", "%x0, %x1, %x2, %x3", "[[@f], [@f], [@f], [@f]]", FOUR(I1), FOUR(result))
#define ON_TWO_BY_TWO(result) PARALLEL("4", "%x0, %x1, %x2, %x3", "[[@f, @f], [@f, @f]]", FOUR(I1), FOUR(result))
#define SUM_BY_AXES(groups) FUNC("f", "%x: " I1, I1, "  %y = \"stablehlo.all_reduce\"(%x) " BODY("add", "i32")      \
    " {replica_groups = #stablehlo.replica_group_mesh_axes<" groups ">} : (" I1 ") -> " I1 "\n  return %y : " I1 "\n")
#define Q "!quant.uniform<i8:f32, 5.000000e-01:3>"
#define QUANTISED(op) FUNC("f", "%x: tensor<2xf32>", "tensor<2xf32>",                                               \
    "  %q = stablehlo.uniform_quantize %x : (tensor<2xf32>) -> tensor<2x" Q ">\n" op                                \
    "  %z = stablehlo.uniform_dequantize %y : (tensor<2x" Q ">) -> tensor<2xf32>\n  return %z : tensor<2xf32>\n")
#define TWO_FLOATS CONST("x0", "[1.0, -2.5]", "tensor<2xf32>") CONST("x1", "[4.0, 0.5]", "tensor<2xf32>")           \
    PARALLEL("2", "%x0, %x1", "[[@f], [@f]]", "tensor<2xf32>, tensor<2xf32>", "tensor<2xf32>, tensor<2xf32>")
#define TOKEN "!stablehlo.token"

#define REDUCE_BY_BODY                                                                                              \
    FUNC("f", "%x: " I2, I2, "  %y = \"stablehlo.all_reduce\"(%x) " GREATER " {replica_groups = dense<[[0, 1, 2]]> "  \
        ": tensor<1x3xi64>} : (" I2 ") -> " I2 "\n  return %y : " I2 "\n")                                          \
    MAIN(CONST("x0", "[1, -5]", I2) CONST("x1", "[-2, 4]", I2) CONST("x2", "[0, 3]", I2)                             \
        PARALLEL("3", "%x0, %x1, %x2", "[[@f], [@f], [@f]]", I2 ", " I2 ", " I2, I2 ", " I2 ", " I2)                 \
        WANT("r#0", "[-2, -5]", I2) WANT("r#1", "[-2, -5]", I2) WANT("r#2", "[-2, -5]", I2))

/* Adds up two entries of the infeed in a loop that carries its token. */
#define FEED                                                                                                        \
    FUNC("f", "%t: " TOKEN, "tensor<i32>, " TOKEN, CONST("zero", "0", "tensor<i32>")                                 \
        "  %w:3 = stablehlo.while(%i = %zero, %s = %zero, %u = %t) : tensor<i32>, tensor<i32>, " TOKEN "\n"          \
        "  cond {\n" CONST("n", "2", "tensor<i32>")                                                                 \
        "    %go = stablehlo.compare LT, %i, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"               \
        "    stablehlo.return %go : tensor<i1>\n  } do {\n" CONST("one", "1", "tensor<i32>")                         \
        "    %v:2 = \"stablehlo.infeed\"(%u) : (" TOKEN ") -> (tensor<i32>, " TOKEN ")\n"                            \
        "    %j = stablehlo.add %i, %one : tensor<i32>\n    %sum = stablehlo.add %s, %v#0 : tensor<i32>\n"           \
        "    stablehlo.return %j, %sum, %v#1 : tensor<i32>, tensor<i32>, " TOKEN "\n  }\n"                           \
        "  return %w#1, %w#2 : tensor<i32>, " TOKEN "\n")                                                           \
    FUNC("q0", "", "tensor<i32>", CONST("v", "20", "tensor<i32>") "  return %v : tensor<i32>\n")                     \
    FUNC("q1", "", "tensor<i32>", CONST("v", "3", "tensor<i32>") "  return %v : tensor<i32>\n")                      \
    MAIN("  %t = stablehlo.after_all : " TOKEN "\n  %r:2 = \"interpreter.run_parallel\"(%t) {infeed = [@q0, @q1], "  \
        "programs = [[@f]]} : (" TOKEN ") -> (tensor<i32>, " TOKEN ")\n" WANT("r#0", "23", "tensor<i32>"))

static const struct { const char *name, *text; } programs[] = {
    {"all_reduce by a body", REDUCE_BY_BODY},
    {"reduce_scatter by a body", FUNC("f", "%x: tensor<4xi32>", I2, "  %y = \"stablehlo.reduce_scatter\"(%x) " GREATER
        " {replica_groups = dense<[[1, 0]]> : tensor<1x2xi64>, scatter_dimension = 0 : i64} : (tensor<4xi32>) -> " I2
        "\n  return %y : " I2 "\n")
        MAIN(CONST("x0", "[1, -5, 3, 2]", "tensor<4xi32>") CONST("x1", "[-2, 4, -4, 1]", "tensor<4xi32>")
        PARALLEL("2", "%x0, %x1", "[[@f], [@f]]", "tensor<4xi32>, tensor<4xi32>", I2 ", " I2)
        WANT("r#0", "[-4, 2]", I2) WANT("r#1", "[-2, -5]", I2))},
    {"collective_reduce by a body to a root", FUNC("f", "%x: " I2 ", %root: " I1, I2,
        "  %y = \"stablehlo.collective_reduce\"(%x, %root) " GREATER " {replica_groups = dense<[[0, 1]]> : "
        "tensor<1x2xi64>, has_dynamic_root} : (" I2 ", " I1 ") -> " I2 "\n  return %y : " I2 "\n")
        MAIN(CONST("x0", "[1, -5]", I2) CONST("x1", "[-2, 4]", I2) CONST("root", "1", I1)
        PARALLEL("2", "%x0, %root, %x1, %root", "[[@f], [@f]]", I2 ", " I1 ", " I2 ", " I1, I2 ", " I2)
        WANT("r#0", "[0, 0]", I2) WANT("r#1", "[-2, -5]", I2))},
    {"all_reduce promotes", FUNC("f", "%x: tensor<1xi8>", "tensor<1xi32>", "  %y = \"stablehlo.all_reduce\"(%x) "
        BODY("add", "i32") " {replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>} : (tensor<1xi8>) -> tensor<1xi32>\n"
        "  return %y : tensor<1xi32>\n")
        MAIN(CONST("x", "100", "tensor<1xi8>") PARALLEL("2", "%x, %x", "[[@f], [@f]]", "tensor<1xi8>, tensor<1xi8>",
        I1 ", " I1) WANT("r#1", "200", I1))},
    {"a body on a narrow type rounds each sum", FUNC("f", "%x: tensor<1xf8E4M3>", "tensor<1xf8E4M3>",
        "  %y = \"stablehlo.all_reduce\"(%x) " BODY("add", "f8E4M3") " {replica_groups = dense<[[0, 1, 2]]> : "
        "tensor<1x3xi64>} : (tensor<1xf8E4M3>) -> tensor<1xf8E4M3>\n  return %y : tensor<1xf8E4M3>\n")
        MAIN(CONST("x0", "1.0", "tensor<1xf8E4M3>") CONST("x1", "0.0625", "tensor<1xf8E4M3>")
        PARALLEL("3", "%x0, %x1, %x1", "[[@f], [@f], [@f]]", "tensor<1xf8E4M3>, tensor<1xf8E4M3>, tensor<1xf8E4M3>",
        "tensor<1xf8E4M3>, tensor<1xf8E4M3>, tensor<1xf8E4M3>") WANT("r#2", "1.0", "tensor<1xf8E4M3>"))},
    {"the order of replicas and partitions", FUNC("f", "%x: " I1, "tensor<4xi32>",
        "  %y = \"stablehlo.all_gather\"(%x) "
        "{all_gather_dim = 0 : i64, replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>, channel_handle = "
        "#stablehlo.channel_handle<handle = 1, type = 0>} : (" I1 ") -> tensor<4xi32>\n  return %y : tensor<4xi32>\n")
        MAIN(NUMBERED ON_TWO_BY_TWO("tensor<4xi32>") WANT4("[0, 2, 1, 3]", "[0, 2, 1, 3]", "[0, 2, 1, 3]",
        "[0, 2, 1, 3]",
        "tensor<4xi32>"))},
    {"flattened ids", FUNC("f", "%x: " I1, I2, "  %y = \"stablehlo.all_gather\"(%x) {all_gather_dim = 0 : i64, "
        "replica_groups = dense<[[3, 0], [1, 2]]> : tensor<2x2xi64>, use_global_device_ids, channel_handle = "
        "#stablehlo.channel_handle<handle = 1, type = 0>} : (" I1 ") -> " I2 "\n  return %y : " I2 "\n")
        MAIN(NUMBERED ON_TWO_BY_TWO(I2) WANT4("[3, 0]", "[1, 2]", "[1, 2]", "[3, 0]", I2))},
    {"no groups: everybody", FUNC("f", "%x: " I1, I1, "  %y = \"stablehlo.all_reduce\"(%x) " BODY("maximum", "i32")
        " {replica_groups = dense<> : tensor<0x0xi64>} : (" I1 ") -> " I1 "\n  return %y : " I1 "\n")
        MAIN(NUMBERED ON_TWO_BY_TWO(I1) WANT4("2", "3", "2", "3", I1))},
    {"groups by an axis", SUM_BY_AXES("mesh = #stablehlo.mesh<axes = [<name = \"x\", size = 2>, <name = \"y\", size "
        "= 2>]>"
        ", axes = [#stablehlo.axis_ref<name = \"y\">]") MAIN(NUMBERED ON_FOUR_REPLICAS(I1) WANT4("1", "1", "5",
        "5", I1))},
    {"groups by a part of an axis", SUM_BY_AXES("mesh = #stablehlo.mesh<axes = [<name = \"z\", size = 4>]>, axes = "
        "[#stablehlo.axis_ref<name = \"z\", sub_axis_info = (1)2>]")
        MAIN(NUMBERED ON_FOUR_REPLICAS(I1) WANT4("2", "4", "2", "4", I1))},
    {"groups of numbered devices", SUM_BY_AXES("mesh = #stablehlo.mesh<axes = [<name = \"x\", size = 2>, <name = "
        "\"y\", "
        "size = 2>], device_ids = dense<[0, 3, 1, 2]> : tensor<4xi64>>, axes = [#stablehlo.axis_ref<name = \"y\">]")
        MAIN(NUMBERED ON_FOUR_REPLICAS(I1) WANT4("3", "3", "3", "3", I1))},
    {"the old sum over replicas", FUNC("f", "%x: " I1, I1, "  %y = \"stablehlo.cross-replica-sum\"(%x) "
        "{replica_groups = "
        "dense<[[0, 3], [1, 2]]> : tensor<2x2xi64>} : (" I1 ") -> " I1 "\n  return %y : " I1 "\n")
        MAIN(NUMBERED ON_FOUR_REPLICAS(I1) WANT4("3", "3", "3", "3", I1))},
    {"zero of a quantised type", QUANTISED("  %y = \"stablehlo.collective_permute\"(%q) {source_target_pairs = "
        "dense<[[0, 1]]> : tensor<1x2xi64>} : (tensor<2x" Q ">) -> tensor<2x" Q ">\n")
        MAIN(TWO_FLOATS WANT("r#0", "[0.0, 0.0]", "tensor<2xf32>") WANT("r#1", "[1.0, -2.5]", "tensor<2xf32>"))},
    {"a sum of quantised values", QUANTISED("  %y = \"stablehlo.all_reduce\"(%q) " BODY("add", Q) " {replica_groups = "
        "dense<[[0, 1]]> : tensor<1x2xi64>} : (tensor<2x" Q ">) -> tensor<2x" Q ">\n")
        MAIN(TWO_FLOATS WANT("r#0", "[5.0, -2.0]", "tensor<2xf32>"))},
    {"asynchronous", FUNC("f", "%x: " I1, I2, "  %s = \"stablehlo.async_start\"(%x) ({\n^bb0(%a: " I1 "):\n    %g = "
        "\"stablehlo.all_gather\"(%a) {all_gather_dim = 0 : i64, replica_groups = dense<[[0, 1]]> : "
        "tensor<1x2xi64>} : ("
        I1 ") -> " I2 "\n    \"stablehlo.return\"(%g) : (" I2 ") -> ()\n  }) : (" I1 ") -> !stablehlo.future<" I2 ">\n"
        "  %y = \"stablehlo.async_done\"(%s) : (!stablehlo.future<" I2 ">) -> " I2 "\n  return %y : " I2 "\n")
        MAIN(CONST("x0", "7", I1) CONST("x1", "8", I1) PARALLEL("2", "%x0, %x1", "[[@f], [@f]]", I1 ", " I1, I2 ", " I2)
        WANT("r#0", "[7, 8]", I2) WANT("r#1", "[7, 8]", I2))},
    {"a value that only others need", FUNC("f", "%x: " I1, I1, "  %y = \"stablehlo.all_reduce\"(%x) " BODY("add", "i32")
        " {replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>} : (" I1 ") -> " I1 "\n  return %y : " I1 "\n")
        FUNC("g", "%x: " I1, I1, "  %y = \"stablehlo.all_reduce\"(%x) " BODY("add", "i32")
        " {replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>} : (" I1 ") -> " I1 "\n  return %x : " I1 "\n")
        MAIN(CONST("x0", "7", I1) CONST("x1", "8", I1) PARALLEL("2", "%x0, %x1", "[[@f], [@g]]", I1 ", " I1, I1 ", " I1)
        WANT("r#0", "15", I1) WANT("r#1", "8", I1))},
    {"the infeed in a loop", FEED},
    {"a branch that sends, a token that nobody returns", FUNC("f", "%i: tensor<i32>, %x: " I1 ", %t: " TOKEN, "",
        "  %u = \"stablehlo.case\"(%i) ({\n    stablehlo.return %t : " TOKEN
        "\n  }, {\n    %s = \"stablehlo.send\"(%x, %t)"
        " {channel_handle = #stablehlo.channel_handle<handle = 5, type = 1>, source_target_pairs = dense<[[0, 1]]> : "
        "tensor<1x2xi64>} : (" I1 ", " TOKEN ") -> " TOKEN "\n    stablehlo.return %s : " TOKEN
        "\n  }) : (tensor<i32>) -> "
        TOKEN "\n  %v = stablehlo.after_all %t, %u : " TOKEN "\n  %y = stablehlo.add %x, %x : " I1 "\n"
        "  %w = \"stablehlo.send\"(%y, %v) {channel_handle = #stablehlo.channel_handle<handle = 5, type = 1>, "
        "source_target_pairs = dense<[[0, 1]]> : tensor<1x2xi64>} : (" I1 ", " TOKEN ") -> " TOKEN "\n  return\n")
        FUNC("g", "%t: " TOKEN, I1 ", " I1, "  %a:2 = \"stablehlo.recv\"(%t) {channel_handle = "
        "#stablehlo.channel_handle<"
        "handle = 5, type = 1>, source_target_pairs = dense<[[0, 1]]> : tensor<1x2xi64>} : (" TOKEN ") -> (" I1
        ", " TOKEN
        ")\n  %b:2 = \"stablehlo.recv\"(%a#1) {channel_handle = #stablehlo.channel_handle<handle = 5, type = 1>, "
        "source_target_pairs = dense<[[0, 1]]> : tensor<1x2xi64>} : (" TOKEN ") -> (" I1 ", " TOKEN ")\n"
        "  return %a#0, %b#0 : " I1 ", " I1 "\n")
        MAIN(CONST("i", "1", "tensor<i32>") CONST("x", "21", I1) "  %t = stablehlo.create_token : " TOKEN "\n"
        PARALLEL("2", "%i, %x, %t, %t", "[[@f], [@g]]", "tensor<i32>, " I1 ", " TOKEN ", " TOKEN, I1 ", " I1)
        WANT("r#0", "21", I1) WANT("r#1", "42", I1))},
};

TEST(programs_speak_as_specified) {
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        for (int tier = 0; tier < 2; tier++) {
            test_case("%s, %s", programs[i].name, tier ? "reference" : "plan");
            CHECK(holds(c, programs[i].text, (tsr_tier)tier));
            CHECK_OK(c);
        }
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

#define REDUCE(name) FUNC(name, "%x: " I1, I1, "  %y = \"stablehlo.all_reduce\"(%x) " BODY("add", "i32")             \
    " {replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>} : (" I1 ") -> " I1 "\n  return %y : " I1 "\n")
#define IDENTITY(name) FUNC(name, "%x: " I1, I1, "  return %x : " I1 "\n")
#define TWO(programs) MAIN(CONST("x", "7", I1) PARALLEL("2", "%x, %x", programs, I1 ", " I1, I1 ", " I1) \
    WANT("r#0", "7", I1))

static const struct { const char *name, *text, *says; } refused[] = {
    {"programs that wait for ever", REDUCE("f") IDENTITY("g") TWO("[[@f], [@g]]"),
        "t.mlir:14:10: interpreter.run_parallel: deadlock"},
    {"rows of different lengths", IDENTITY("f") TWO("[[@f], [@f, @f]]"), "no table of functions"},
    {"a function that is not there", IDENTITY("f") TWO("[[@f], [@h]]"), "no function @h"},
    {"too few operands", IDENTITY("f") TWO("[[@f], [@f], [@f]]"), "take 3 values, 2 are given"},
    {"too many results", IDENTITY("f") MAIN(CONST("x", "7", I1) PARALLEL("2", "%x", "[[@f]]", I1, I1 ", " I1)
        WANT("r#0", "7", I1)), "give 1 results, 2 are declared"},
    {"programs that run themselves", MAIN("  \"interpreter.run_parallel\"() {programs = [[@main]]} : () -> ()\n"
        CONST("x", "1", I1) WANT("x", "1", I1)),
        "4 deep"},
    {"an operand that is no constant", IDENTITY("f") "func.func @main(%x: " I1 ") {\n" PARALLEL("1", "%x",
        "[[@f]]", I1, I1)
        WANT("r", "7", I1) "  return\n}\n", "only constants"},
    {"global ids without a channel", FUNC("f", "%x: " I1, I1, "  %y = \"stablehlo.all_reduce\"(%x) " BODY("add", "i32")
        " {replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>, use_global_device_ids} : (" I1 ") -> " I1
        "\n  return %y : " I1 "\n") TWO("[[@f], [@f]]"), "positive id"},
    {"an axis that the mesh lacks", SUM_BY_AXES("mesh = #stablehlo.mesh<axes = [<name = \"x\", size = 2>]>, axes = "
        "[#stablehlo.axis_ref<name = \"y\">]") TWO("[[@f], [@f]]"), "no axis \"y\""},
    {"a mesh by name", SUM_BY_AXES("mesh = @m, axes = [#stablehlo.axis_ref<name = \"y\">]") TWO("[[@f], [@f]]"),
        "must be written out"},
    {"an empty infeed", FUNC("f", "%t: " TOKEN, "tensor<i32>", "  %v:2 = \"stablehlo.infeed\"(%t) : (" TOKEN ") -> "
        "(tensor<i32>, " TOKEN ")\n  return %v#0 : tensor<i32>\n") MAIN("  %t = stablehlo.create_token : " TOKEN "\n"
        PARALLEL("1", "%t", "[[@f]]", TOKEN, "tensor<i32>") WANT("r", "1", "tensor<i32>")), "infeed is empty"},
    {"an effect that its region loses", FUNC("f", "%x: " I1 ", %t: " TOKEN, I1, CONST("p", "true", "tensor<i1>")
        "  %y = \"stablehlo.if\"(%p) ({\n    %o = \"stablehlo.outfeed\"(%x, %t) : (" I1 ", " TOKEN ") -> " TOKEN "\n"
        "    stablehlo.return %x : " I1 "\n  }, {\n    stablehlo.return %x : " I1 "\n  }) : (tensor<i1>) -> " I1 "\n"
        "  return %y : " I1 "\n") MAIN(CONST("x", "7", I1) "  %t = stablehlo.create_token : " TOKEN "\n"
        PARALLEL("1", "%x, %t", "[[@f]]", I1 ", " TOKEN, I1) WANT("r", "7", I1)), "must be followed by its token"},
};

TEST(what_is_wrong_is_said_where) {
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct hlo_module *m = NULL;
        hlo_checks k = {0};
        test_case("%s", refused[i].name);
        tsr_fn *f = import_text(c, refused[i].text, &m, &k, TSR_TIER_PLAN);
        CHECK(!f);
        CHECK_CONTAINS(tsr_error_message(c), "t.mlir:");
        CHECK_CONTAINS(tsr_error_message(c), refused[i].says);
        tsr_error_clear(c);
        tsr_fn_free(c, f);
        vec_release(c, &k);
        hlo_module_free(m);
    }
}

/* ---- a module for a mesh of the caller's ------------------------------------------------------------------------- */

/* The grid of the module's attributes decides shapes; the caller's mesh runs it. Participants by options are constants,
 * and the token of an effect is one more result. */
TEST(imported_programs_run_on_a_mesh) {
    static const char text[] = "module attributes {mhlo.num_replicas = 2 : i32, mhlo.num_partitions = 2 : i32} {\n"
        "func.func @main(%x: tensor<1xui32>, %t: " TOKEN ") -> (tensor<4xui32>, " TOKEN ") {\n"
        "  %p = stablehlo.partition_id : tensor<ui32>\n  %q = stablehlo.reshape %p : (tensor<ui32>) -> tensor<1xui32>\n"
        "  %y = stablehlo.add %x, %q : tensor<1xui32>\n"
        "  %z = \"stablehlo.all_gather\"(%y) {all_gather_dim = 0 : i64, replica_groups = dense<> : tensor<0x0xi64>, "
        "channel_handle = #stablehlo.channel_handle<handle = 1, type = 0>} : (tensor<1xui32>) -> tensor<4xui32>\n"
        "  %u = \"stablehlo.outfeed\"(%q, %t) : (tensor<1xui32>, " TOKEN ") -> " TOKEN "\n"
        "  return %z, %u : tensor<4xui32>, " TOKEN "\n}\n}\n";
    tsr_ctx *c = test_ctx();
    for (int known = 0; known < 2; known++) {
        test_case("partition %s", known ? "from the options" : "asked for");
        struct hlo_import_options o = {.partition = known ? 1 : -1, .replica = -1};
        struct hlo_module *m = hlo_read_text(c, "t.mlir", text, strlen(text));
        tsr_fn *f = m ? hlo_import(m, "main", &o, NULL) : NULL;
        tsr_mesh *mesh = tsr_mesh_new(c, 2, 2);
        tsr_node *x[4], *out[8], *fed;
        tsr_mesh_program p[4];
        if (!CHECK(f && mesh) || !CHECK_EQ(tsr_fn_results(f), 2)) return;
        for (int i = 0; i < 4; i++) {
            x[i] = tsr_tensor(c, TSR_U32, 1, (int64_t[]){1}, &(uint32_t){(uint32_t)i * 10});
            p[i] = (tsr_mesh_program){f, 1, &x[i], out + 2 * i};
        }
        CHECK_EQ(tsr_mesh_run(c, mesh, p, TSR_TIER_PLAN), TSR_OK);
        uint32_t got[4], asked[] = {0, 20, 11, 31}, one[] = {1, 21, 11, 31}; /* partition by partition */
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(tsr_read(c, out[2 * i], got, sizeof got), TSR_OK);
            CHECK_BYTES(got, known ? one : asked, sizeof got);
            int who = -1;
            CHECK_EQ(tsr_mesh_outfeed(c, mesh, &who, 1, &fed), 1);
            CHECK_CLOSE(tsr_read_scalar(c, fed), known ? 1 : who % 2, 0, 0);
        }
        tsr_mesh_free(mesh);
        tsr_fn_free(c, f);
        hlo_module_free(m);
    }
    CHECK_OK(c);
}

/* ---- refused allocations ----------------------------------------------------------------------------------------- */

static bool runs(tsr_ctx *c, void *text) { return holds(c, text, TSR_TIER_REFERENCE); }

TEST(refused_allocations_end_cleanly) {
    static const char *const texts[] = {REDUCE_BY_BODY, FEED};
    for (int i = 0; i < 2; i++) {
        test_case("program %d", i);
        CHECK(torture(runs, (void *)(uintptr_t)texts[i]) > 100);
    }
}
