/* Dynamic shapes: sizes computed by a program against the same arithmetic in C, the operations whose sizes are operands
 * against loops, the published dynamic programs on both tiers (several against formulas), and what cannot be said. */
#include <math.h>
#include <stdlib.h>

#include "graph/node.h"
#include "hlo_run.h"
#include "suite.h"

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
static int64_t at_least_0(int64_t a) { return a < 0 ? 0 : a; }

static int64_t size_linear(int64_t n) { return 3 * n + 2; }
static int64_t size_square(int64_t n) { return n * n; }
static int64_t size_clamped(int64_t n) { return n < 2 ? 2 : n > 9 ? 9 : n; }
static int64_t size_floor(int64_t n) { return floor_div(n + 5, 3); }
static int64_t size_negative_floor(int64_t n) { return -floor_div(-n, 3); }
static int64_t size_floor_below(int64_t n) { return floor_div(n - 4, 3) + 2; }
static int64_t size_floor_where(int64_t n) { return floor_div(n, 4); }
static int64_t size_ceil_where(int64_t n) { return -floor_div(-n, 4); }
static int64_t size_sign_unknown(int64_t n) { return (n - 6) / 4 - (n - 6) % 4 + 4; }
static int64_t size_before(int64_t n) { return n ? n - 1 : 0; }
static int64_t size_remainder(int64_t n) { return (n + 1) % 4; }
static int64_t size_compared(int64_t n) { return n > 5 ? n - 5 : 7; }
static int64_t size_logic(int64_t n) { return n >= 3 && n <= 8 && n != 5 ? n : 1; }
static int64_t size_picked(int64_t n) { return 2 * n; }
static int64_t size_product(int64_t n) { return (n + 1) * 3 * 2; }
static int64_t size_dot(int64_t n) { return 2 * n + 3 * 4; }
static int64_t size_signs(int64_t n) { return labs(n - 4) + (n == 0 ? 0 : 1) + at_least_0(n - 6); }
static int64_t size_window(int64_t n) { return floor_div(at_least_0(n - 3), 2) + 1; }

/* From %n : tensor<i64> to %s : tensor<i64>. */
static const struct { const char *name, *text; int64_t (*size)(int64_t n); } sizes[] = {
    {"3 n + 2", "%a = stablehlo.constant dense<3> : tensor<i64>\n %b = stablehlo.multiply %a, %n : tensor<i64>\n"
        "%c = stablehlo.constant dense<2> : tensor<i64>\n %s = stablehlo.add %b, %c : tensor<i64>\n", size_linear},
    {"n n", "%s = stablehlo.multiply %n, %n : tensor<i64>\n", size_square},
    {"clamp", "%a = stablehlo.constant dense<2> : tensor<i64>\n %b = stablehlo.constant dense<9> : tensor<i64>\n"
        "%s = stablehlo.clamp %a, %n, %b : tensor<i64>\n", size_clamped},
    {"floor((n + 5) / 3)", "%5 = stablehlo.constant dense<5> : tensor<i64>\n %x = stablehlo.add %n, %5 : tensor<i64>\n"
        "%y = stablehlo.constant dense<3> : tensor<i64>\n"
        "%s = func.call @floor_divide(%x, %y) : (tensor<i64>, tensor<i64>) -> tensor<i64>\n", size_floor},
    {"-floor(-n / 3)", "%x = stablehlo.negate %n : tensor<i64>\n %y = stablehlo.constant dense<3> : tensor<i64>\n"
        "%f = func.call @floor_divide(%x, %y) : (tensor<i64>, tensor<i64>) -> tensor<i64>\n"
        "%s = stablehlo.negate %f : tensor<i64>\n", size_negative_floor},
    {"floor((n - 4) / 3) + 2", "%4 = stablehlo.constant dense<4> : tensor<i64>\n"
        "%x = stablehlo.subtract %n, %4 : tensor<i64>\n %y = stablehlo.constant dense<3> : tensor<i64>\n"
        "%f = func.call @floor_divide(%x, %y) : (tensor<i64>, tensor<i64>) -> tensor<i64>\n"
        "%2 = stablehlo.constant dense<2> : tensor<i64>\n %s = stablehlo.add %f, %2 : tensor<i64>\n", size_floor_below},
    {"floor(n / 4), select in a function", "%y = stablehlo.constant dense<4> : tensor<i64>\n"
        "%s = func.call @divide_where(%n, %y) : (tensor<i64>, tensor<i64>) -> tensor<i64>\n", size_floor_where},
    {"-floor(-n / 4), select in a function", "%y = stablehlo.constant dense<4> : tensor<i64>\n"
        "%x = stablehlo.negate %n : tensor<i64>\n"
        "%f = func.call @divide_where(%x, %y) : (tensor<i64>, tensor<i64>) -> tensor<i64>\n"
        "%s = stablehlo.negate %f : tensor<i64>\n", size_ceil_where},
    {"quotient and rest of unknown sign", "%6 = stablehlo.constant dense<6> : tensor<i64>\n"
        "%x = stablehlo.subtract %n, %6 : tensor<i64>\n %y = stablehlo.constant dense<4> : tensor<i64>\n"
        "%q = stablehlo.divide %x, %y : tensor<i64>\n %r = stablehlo.remainder %x, %y : tensor<i64>\n"
        "%d = stablehlo.subtract %q, %r : tensor<i64>\n %s = stablehlo.add %d, %y : tensor<i64>\n", size_sign_unknown},
    {"-1 mod n", "%x = stablehlo.constant dense<-1> : tensor<i64>\n %z = stablehlo.constant dense<0> : tensor<i64>\n"
        "%1 = stablehlo.constant dense<1> : tensor<i64>\n"
        "%p = stablehlo.compare EQ, %n, %z : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "%y = func.call @_where(%p, %1, %n) : (tensor<i1>, tensor<i64>, tensor<i64>) -> tensor<i64>\n"
        "%s = func.call @remainder(%x, %y) : (tensor<i64>, tensor<i64>) -> tensor<i64>\n", size_before},
    {"(n + 1) mod 4", "%1 = stablehlo.constant dense<1> : tensor<i64>\n %x = stablehlo.add %n, %1 : tensor<i64>\n"
        "%y = stablehlo.constant dense<4> : tensor<i64>\n"
        "%s = func.call @remainder(%x, %y) : (tensor<i64>, tensor<i64>) -> tensor<i64>\n", size_remainder},
    {"n > 5 ? n - 5 : 7", "%a = stablehlo.constant dense<5> : tensor<i64>\n %b = stablehlo.constant dense<7> : "
        "tensor<i64>\n"
        "%p = stablehlo.compare GT, %n, %a : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "%d = stablehlo.subtract %n, %a : tensor<i64>\n"
        "%s = stablehlo.select %p, %d, %b : tensor<i1>, tensor<i64>\n", size_compared},
    {"logic", "%a = stablehlo.constant dense<3> : tensor<i64>\n %b = stablehlo.constant dense<8> : tensor<i64>\n"
        "%f = stablehlo.constant dense<5> : tensor<i64>\n %1 = stablehlo.constant dense<1> : tensor<i64>\n"
        "%p = stablehlo.compare GE, %n, %a : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "%q = stablehlo.compare LE, %n, %b : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "%e = stablehlo.compare EQ, %n, %f : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "%g = stablehlo.not %e : tensor<i1>\n %h = stablehlo.and %p, %q : tensor<i1>\n"
        "%i = stablehlo.and %h, %g : tensor<i1>\n %s = stablehlo.select %i, %n, %1 : tensor<i1>, tensor<i64>\n",
        size_logic},
    {"picked from a vector", "%a = stablehlo.add %n, %n : tensor<i64>\n %b = stablehlo.constant dense<[4, 5]> : "
        "tensor<2xi64>\n"
        "%c = stablehlo.reshape %a : (tensor<i64>) -> tensor<1xi64>\n"
        "%d = stablehlo.concatenate %b, %c, dim = 0 : (tensor<2xi64>, tensor<1xi64>) -> tensor<3xi64>\n"
        "%i = stablehlo.constant dense<[[7], [0]]> : tensor<2x1xi32>\n"
        "%g = \"stablehlo.gather\"(%d, %i) {dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [0], "
        "start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1>} : (tensor<3xi64>, tensor<2x1xi32>) "
        "-> tensor<2xi64>\n %h = stablehlo.slice %g [0:1] : (tensor<2xi64>) -> tensor<1xi64>\n"
        "%s = stablehlo.reshape %h : (tensor<1xi64>) -> tensor<i64>\n", size_picked},
    {"product of a vector", "%1 = stablehlo.constant dense<1> : tensor<i64>\n %a = stablehlo.add %n, %1 : tensor<i64>\n"
        "%b = stablehlo.broadcast_in_dim %a, dims = [] : (tensor<i64>) -> tensor<1xi64>\n"
        "%c = stablehlo.constant dense<[3, 2]> : tensor<2xi64>\n"
        "%d = stablehlo.concatenate %b, %c, dim = 0 : (tensor<1xi64>, tensor<2xi64>) -> tensor<3xi64>\n"
        "%s = stablehlo.reduce(%d init: %1) applies stablehlo.multiply across dimensions = [0] : (tensor<3xi64>, "
        "tensor<i64>) -> tensor<i64>\n", size_product},
    {"dot of vectors", "%a = stablehlo.reshape %n : (tensor<i64>) -> tensor<1xi64>\n"
        "%b = stablehlo.constant dense<3> : tensor<1xi64>\n %w = stablehlo.constant dense<[2, 4]> : tensor<2xi64>\n"
        "%d = stablehlo.concatenate %a, %b, dim = 0 : (tensor<1xi64>, tensor<1xi64>) -> tensor<2xi64>\n"
        "%s = stablehlo.dot_general %d, %w, contracting_dims = [0] x [0] : (tensor<2xi64>, tensor<2xi64>) "
        "-> tensor<i64>\n", size_dot},
    {"signs", "%a = stablehlo.constant dense<4> : tensor<i64>\n %b = stablehlo.constant dense<6> : tensor<i64>\n"
        "%z = stablehlo.constant dense<0> : tensor<i64>\n"
        "%c = stablehlo.subtract %n, %a : tensor<i64>\n %d = stablehlo.abs %c : tensor<i64>\n"
        "%e = stablehlo.sign %n : tensor<i64>\n %f = stablehlo.add %d, %e : tensor<i64>\n"
        "%g = stablehlo.subtract %n, %b : tensor<i64>\n %h = stablehlo.maximum %g, %z : tensor<i64>\n"
        "%s = stablehlo.add %f, %h : tensor<i64>\n", size_signs},
    {"windows", "%a = stablehlo.constant dense<3> : tensor<i64>\n %z = stablehlo.constant dense<0> : tensor<i64>\n"
        "%b = stablehlo.subtract %n, %a : tensor<i64>\n %x = stablehlo.maximum %b, %z : tensor<i64>\n"
        "%y = stablehlo.constant dense<2> : tensor<i64>\n %1 = stablehlo.constant dense<1> : tensor<i64>\n"
        "%q = stablehlo.divide %x, %y : tensor<i64>\n %s = stablehlo.add %q, %1 : tensor<i64>\n", size_window},
};

/* As JAX spells them. */
static const char *const division =
    "func.func private @floor_divide(%x: tensor<i64>, %y: tensor<i64>) -> tensor<i64> {\n"
    "  %0 = stablehlo.divide %x, %y : tensor<i64>\n  %1 = stablehlo.sign %x : tensor<i64>\n"
    "  %2 = stablehlo.sign %y : tensor<i64>\n"
    "  %3 = stablehlo.compare NE, %1, %2, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
    "  %4 = stablehlo.remainder %x, %y : tensor<i64>\n  %5 = stablehlo.constant dense<0> : tensor<i64>\n"
    "  %6 = stablehlo.compare NE, %4, %5, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
    "  %7 = stablehlo.and %3, %6 : tensor<i1>\n  %8 = stablehlo.constant dense<1> : tensor<i64>\n"
    "  %9 = stablehlo.subtract %0, %8 : tensor<i64>\n"
    "  %10 = stablehlo.select %7, %9, %0 : tensor<i1>, tensor<i64>\n  return %10 : tensor<i64>\n}\n"
    "func.func private @remainder(%x: tensor<i64>, %y: tensor<i64>) -> tensor<i64> {\n"
    "  %0 = stablehlo.constant dense<0> : tensor<i64>\n  %1 = stablehlo.remainder %x, %y : tensor<i64>\n"
    "  %2 = stablehlo.compare NE, %1, %0, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
    "  %3 = stablehlo.compare LT, %1, %0, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
    "  %4 = stablehlo.compare LT, %y, %0, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
    "  %5 = stablehlo.compare NE, %3, %4, UNSIGNED : (tensor<i1>, tensor<i1>) -> tensor<i1>\n"
    "  %6 = stablehlo.and %5, %2 : tensor<i1>\n  %7 = stablehlo.add %1, %y : tensor<i64>\n"
    "  %8 = stablehlo.select %6, %7, %1 : tensor<i1>, tensor<i64>\n  return %8 : tensor<i64>\n}\n"
    "func.func private @_where(%p: tensor<i1>, %a: tensor<i64>, %b: tensor<i64>) -> tensor<i64> {\n"
    "  %0 = stablehlo.select %p, %a, %b : tensor<i1>, tensor<i64>\n  return %0 : tensor<i64>\n}\n"
    "func.func private @divide_where(%x: tensor<i64>, %y: tensor<i64>) -> tensor<i64> {\n"
    "  %0 = stablehlo.divide %x, %y : tensor<i64>\n  %1 = stablehlo.sign %x : tensor<i64>\n"
    "  %2 = stablehlo.sign %y : tensor<i64>\n"
    "  %3 = stablehlo.compare NE, %1, %2, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
    "  %4 = stablehlo.remainder %x, %y : tensor<i64>\n  %5 = stablehlo.constant dense<0> : tensor<i64>\n"
    "  %6 = stablehlo.compare NE, %4, %5, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
    "  %7 = stablehlo.and %3, %6 : tensor<i1>\n  %8 = stablehlo.constant dense<1> : tensor<i64>\n"
    "  %9 = stablehlo.subtract %0, %8 : tensor<i64>\n"
    "  %10 = func.call @_where(%7, %9, %0) : (tensor<i1>, tensor<i64>, tensor<i64>) -> tensor<i64>\n"
    "  return %10 : tensor<i64>\n}\n";

/* n is an argument, or the size of one; the result has as many elements as %s says, and says %s itself. */
static tsr_fn *sized_program(tsr_ctx *c, const char *body, bool of_argument) {
    char text[8000];
    snprintf(text, sizeof text,
        "module {\n%s\nfunc.func @main(%s) -> (tensor<?xi32>, tensor<i64>) {\n%s%s"
        "  %%s32 = stablehlo.convert %%s : (tensor<i64>) -> tensor<i32>\n"
        "  %%shape = stablehlo.reshape %%s32 : (tensor<i32>) -> tensor<1xi32>\n"
        "  %%result = stablehlo.dynamic_iota %%shape, dim = 0 : (tensor<1xi32>) -> tensor<?xi32>\n"
        "  return %%result, %%s : tensor<?xi32>, tensor<i64>\n}\n}\n", division,
        of_argument ? "%arg: tensor<?x2xf32>" : "%n: tensor<i64>", of_argument ?
        "  %n32 = stablehlo.get_dimension_size %arg, dim = 0 : (tensor<?x2xf32>) -> tensor<i32>\n"
        "  %n = stablehlo.convert %n32 : (tensor<i32>) -> tensor<i64>\n" : "", body);
    return hlo_fn(c, text);
}

static void check_size(tsr_ctx *c, tsr_fn *f, int tier, bool of_argument, int64_t n, int64_t want) {
    tsr_node *arg = of_argument ? tsr_full(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){n, 2}), 0)
                                : tsr_tensor(c, TSR_I64, 0, NULL, &n), *out[2];
    int64_t said = -1;
    if (!CHECK_EQ(hlo_run(c, (enum hlo_tier)tier, f, 1, &arg, out), TSR_OK)) return;
    CHECK_MSG(tsr_node_dim(out[0], 0) == want, "tier %d: %lld elements for n = %lld, want %lld", tier,
        (long long)tsr_node_dim(out[0], 0), (long long)n, (long long)want);
    tsr_read(c, out[1], &said, sizeof said);
    CHECK_EQ(said, want);
}

TEST(sizes_are_followed) {
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int of_argument = 0; of_argument < 2; of_argument++) {
            test_case("%s%s", sizes[k].name, of_argument ? " of an argument's size" : "");
            tsr_scope *s = tsr_scope_begin(c);
            tsr_fn *f = sized_program(c, sizes[k].text, of_argument);
            for (int tier = 0; f && tier < HLO_TIERS; tier++)
                for (int64_t n = 0; n < 14; n++) check_size(c, f, tier, of_argument, n, sizes[k].size(n));
            CHECK_OK(c);
            tsr_fn_free(c, f);
            tsr_scope_end(c, s);
        }
}

static const char *size_text(const char *name) {
    size_t i = 0;
    while (strcmp(sizes[i].name, name)) i++;
    return sizes[i].text;
}

TEST(idioms_of_division_fold) { /* no select remains in the extent */
    static const struct { const char *name; int64_t add, by; bool up; } fold[] = {
        {"floor((n + 5) / 3)", 5, 3, false}, {"-floor(-n / 3)", 0, 3, true},
        {"floor(n / 4), select in a function", 0, 4, false}, {"-floor(-n / 4), select in a function", 0, 4, true},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof fold / sizeof *fold; i++) {
        test_case("%s", fold[i].name);
        tsr_fn *f = sized_program(c, size_text(fold[i].name), true);
        CHECK_OK(c);
        if (!f) continue;
        const tsr_extent *n = tsr_node_extent(f->param.v[0].node, 0), *by = tsr_extent_int(c, fold[i].by);
        n = tsr_extent_add(c, n, tsr_extent_int(c, fold[i].add));
        const tsr_extent *want = fold[i].up ? tsr_extent_ceildiv(c, n, by) : tsr_extent_floordiv(c, n, by);
        CHECK_MSG(tsr_fn_result_type(f, 0)->extent[0] == want, "%s", type_text(c, tsr_fn_result_type(f, 0)));
        tsr_fn_free(c, f);
    }
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

/* main(%n: i64, %x: f32 of some shape, n for '?') run on both tiers for some sizes; want fills the expected result and
 * says how many elements it has. */
typedef int64_t want_fn(int64_t n, const float *x, float *out);
static void check_program(const char *name, const char *text, want_fn *want) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = hlo_fn(c, text);
    CHECK_OK(c);
    for (int64_t n = 1; f && n < 9; n += 1 + n / 3)
        for (int tier = 0; tier < HLO_TIERS; tier++) {
            float x[64], got[512], expect[512];
            int64_t dim[TSR_MAX_RANK];
            const tsr_type *t = tsr_fn_param_type(f, 1);
            test_case("%s n=%d tier %d", name, (int)n, tier);
            for (int a = 0; a < t->rank; a++)
                if (!tsr_extent_is_int(t->extent[a], &dim[a])) dim[a] = n;
            for (int i = 0; i < 64; i++) x[i] = (float)rng_normal(test_rng());
            int64_t count = want(n, x, expect), have = 1;
            tsr_node *arg[2] = {tsr_tensor(c, TSR_I64, 0, NULL, &n), tsr_tensor(c, TSR_F32, t->rank, dim, x)}, *out;
            if (!CHECK_EQ(hlo_run(c, (enum hlo_tier)tier, f, 2, arg, &out), TSR_OK)) continue;
            for (int a = 0; a < tsr_node_rank(out); a++) have *= tsr_node_dim(out, a);
            if (!CHECK_EQ(have, count)) continue;
            CHECK_EQ(tsr_read(c, out, got, (size_t)count * sizeof *got), TSR_OK);
            CHECK_F32(got, expect, (size_t)count, 1e-5, 1e-5);
        }
    CHECK_OK(c);
    tsr_fn_free(c, f);
    test_ctx_close(c);
}

static int64_t want_reshape(int64_t n, const float *x, float *out) {
    memcpy(out, x, (size_t)(4 * n) * sizeof *out);
    return 4 * n;
}
static int64_t want_broadcast(int64_t n, const float *x, float *out) {
    for (int64_t i = 0; i < 2 * n * 4; i++) out[i] = x[i % (4 * n)];
    return 2 * n * 4;
}
static int64_t want_pad(int64_t n, const float *x, float *out) { /* n rows below zero, every row then one of zeros */
    int64_t rows = n + (2 * n - 1) + 1;
    for (int64_t i = 0; i < rows * 3; i++) out[i] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < 3; j++) out[(n + 2 * i) * 3 + j] = x[i * 4 + j + 1];
    return rows * 3;
}
static int64_t want_slice(int64_t n, const float *x, float *out) { /* rows 1 to n by 2, columns 1 and 2 */
    int64_t k = 0;
    for (int64_t i = 1; i < n; i += 2) out[k++] = x[i * 4 + 1], out[k++] = x[i * 4 + 2];
    return k;
}
static int64_t want_gather(int64_t n, const float *x, float *out) { /* columns 3 and 1 */
    for (int64_t i = 0; i < n; i++) out[i] = x[i * 4 + 3], out[n + i] = x[i * 4 + 1];
    return 2 * n;
}
static int64_t want_conv(int64_t n, const float *x, float *out) { /* sums over three rows, n - 1 rows of zeros before */
    int64_t rows = n + (n - 1) - 2;
    for (int64_t i = 0; i < rows; i++)
        for (int j = 0; j < 4; j++) {
            out[i * 4 + j] = 0;
            for (int64_t k = i; k < i + 3; k++)
                if (k >= n - 1 && k < 2 * n - 1) out[i * 4 + j] += x[(k - n + 1) * 4 + j];
        }
    return at_least_0(rows) * 4;
}
static int64_t want_running(int64_t n, const float *x, float *out) { /* sums down the columns */
    for (int64_t i = 0; i < 4 * n; i++) out[i] = x[i] + (i < 4 ? 0 : out[i - 4]);
    return 4 * n;
}
static int64_t want_windows(int64_t n, const float *x, float *out) { /* sums of two rows, n rows of zeros after */
    for (int64_t i = 0; i < 4 * (2 * n - 1); i++)
        out[i] = (i < 4 * n ? x[i] : 0) + (i + 4 < 4 * n ? x[i + 4] : 0);
    return 4 * (2 * n - 1);
}
static int64_t want_loop(int64_t n, const float *x, float *out) { /* x + 3 iota, one turn each */
    for (int64_t i = 0; i < 4 * n; i++) out[i] = x[i] + 3 * (float)(i / 4);
    return 4 * n;
}

static int64_t want_halves(int64_t n, const float *x, float *out) { /* (n, 4) as (2 n, 2): n rows from 0, 1.. n on */
    for (int64_t i = 0; i < 2 * n; i++) {
        out[i] = 0;
        for (int64_t k = 0; k <= n; k++) out[i] += x[(k + i / 2) * 2 + i % 2];
    }
    return 2 * n;
}
static int64_t want_branch(int64_t n, const float *x, float *out) { /* x below 3, then zeros */
    for (int64_t i = 0; i < 4 * n; i++) out[i] = n < 3 ? x[i] : 0;
    return 4 * n;
}
static int64_t want_starts(int64_t n, const float *x, float *out) { /* the last row, from 0 - 1 on; columns from 2 on */
    out[0] = x[(n - 1) * 4 + 2], out[1] = x[(n - 1) * 4 + 3];
    return 2;
}

#define HEAD "func.func @main(%n: tensor<i64>, %x: tensor<?x4xf32>) -> "
#define SIZES "  %m = stablehlo.convert %n : (tensor<i64>) -> tensor<i32>\n"                              \
    "  %r = stablehlo.reshape %m : (tensor<i32>) -> tensor<1xi32>\n"                                       \
    "  %z = stablehlo.constant dense<0> : tensor<1xi32>\n  %o = stablehlo.constant dense<1> : tensor<1xi32>\n" \
    "  %f = stablehlo.constant dense<4> : tensor<1xi32>\n"

TEST(operations) {
    check_program("dynamic_reshape", HEAD "tensor<?xf32> {\n" SIZES
        "  %s = stablehlo.multiply %r, %f : tensor<1xi32>\n"
        "  %y = stablehlo.dynamic_reshape %x, %s : (tensor<?x4xf32>, tensor<1xi32>) -> tensor<?xf32>\n"
        "  return %y : tensor<?xf32>\n}\n", want_reshape);
    check_program("chlo.dynamic_reshape", HEAD "tensor<2x?xf32> {\n"
        "  %s = stablehlo.constant dense<[2, -1]> : tensor<2xi32>\n"
        "  %y = \"chlo.dynamic_reshape\"(%x, %s) : (tensor<?x4xf32>, tensor<2xi32>) -> tensor<2x?xf32>\n"
        "  return %y : tensor<2x?xf32>\n}\n", want_reshape);
    check_program("dynamic_broadcast_in_dim", HEAD "tensor<?x?x4xf32> {\n" SIZES
        "  %t = stablehlo.constant dense<2> : tensor<1xi32>\n"
        "  %s = stablehlo.concatenate %t, %r, %f, dim = 0 : (tensor<1xi32>, tensor<1xi32>, tensor<1xi32>) -> "
        "tensor<3xi32>\n"
        "  %y = stablehlo.dynamic_broadcast_in_dim %x, %s, dims = [1, 2] : (tensor<?x4xf32>, tensor<3xi32>) -> "
        "tensor<?x?x4xf32>\n"
        "  return %y : tensor<?x?x4xf32>\n}\n", want_broadcast);
    check_program("dynamic_pad", HEAD "tensor<?x3xf32> {\n" SIZES
        "  %v = stablehlo.constant dense<0.0> : tensor<f32>\n  %e = stablehlo.constant dense<-1> : tensor<1xi32>\n"
        "  %l = stablehlo.concatenate %r, %e, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %h = stablehlo.concatenate %o, %z, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %y = stablehlo.dynamic_pad %x, %v, %l, %h, %h : (tensor<?x4xf32>, tensor<f32>, tensor<2xi32>, "
        "tensor<2xi32>, tensor<2xi32>) -> tensor<?x3xf32>\n"
        "  return %y : tensor<?x3xf32>\n}\n", want_pad);
    check_program("real_dynamic_slice", HEAD "tensor<?x2xf32> {\n" SIZES
        "  %t = stablehlo.constant dense<3> : tensor<1xi32>\n  %w = stablehlo.constant dense<[2, 1]> : tensor<2xi32>\n"
        "  %a = stablehlo.concatenate %o, %o, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %b = stablehlo.concatenate %r, %t, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %y = stablehlo.real_dynamic_slice %x, %a, %b, %w : (tensor<?x4xf32>, tensor<2xi32>, tensor<2xi32>, "
        "tensor<2xi32>) -> tensor<?x2xf32>\n"
        "  return %y : tensor<?x2xf32>\n}\n", want_slice);
    check_program("real_dynamic_slice from the end", HEAD "tensor<?x2xf32> {\n" SIZES
        "  %t = stablehlo.constant dense<2> : tensor<1xi32>\n"
        "  %e = stablehlo.subtract %z, %o : tensor<1xi32>\n  %b = stablehlo.add %e, %r : tensor<1xi32>\n"
        "  %p = stablehlo.compare LT, %e, %z : (tensor<1xi32>, tensor<1xi32>) -> tensor<1xi1>\n"
        "  %c = stablehlo.select %p, %b, %e : tensor<1xi1>, tensor<1xi32>\n"
        "  %a = stablehlo.concatenate %c, %t, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %l = stablehlo.concatenate %r, %f, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %w = stablehlo.constant dense<1> : tensor<2xi32>\n"
        "  %y = stablehlo.real_dynamic_slice %x, %a, %l, %w : (tensor<?x4xf32>, tensor<2xi32>, tensor<2xi32>, "
        "tensor<2xi32>) -> tensor<?x2xf32>\n"
        "  return %y : tensor<?x2xf32>\n}\n", want_starts);
    check_program("dynamic_gather", HEAD "tensor<2x?xf32> {\n" SIZES
        "  %i = stablehlo.constant dense<[[3], [1]]> : tensor<2x1xi64>\n"
        "  %s = stablehlo.concatenate %r, %o, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %y = \"stablehlo.dynamic_gather\"(%x, %i, %s) {dimension_numbers = #stablehlo.gather<offset_dims = [1], "
        "collapsed_slice_dims = [1], start_index_map = [1], index_vector_dim = 1>} : (tensor<?x4xf32>, "
        "tensor<2x1xi64>, tensor<2xi32>) -> tensor<2x?xf32>\n"
        "  return %y : tensor<2x?xf32>\n}\n", want_gather);
    check_program("set_dimension_size", HEAD "tensor<?x4xf32, #stablehlo.bounds<9, ?>> {\n" SIZES
        "  %a = stablehlo.constant dense<[[1, 0]]> : tensor<1x2xi32>\n  %v = stablehlo.constant dense<7.0> : "
        "tensor<f32>\n"
        "  %y = stablehlo.pad %x, %v, low = [0, 0], high = [3, 0], interior = [0, 0] : (tensor<?x4xf32>, "
        "tensor<f32>) -> tensor<?x4xf32>\n"
        "  %w = \"stablehlo.set_dimension_size\"(%y, %m) {dimension = 0 : i64} : (tensor<?x4xf32>, tensor<i32>) -> "
        "tensor<?x4xf32, #stablehlo.bounds<9, ?>>\n"
        "  return %w : tensor<?x4xf32, #stablehlo.bounds<9, ?>>\n}\n", want_reshape);
}

TEST(convolution_with_computed_padding) {
    check_program("dynamic_conv", HEAD "tensor<?x4xf32> {\n" SIZES
        "  %b = stablehlo.subtract %r, %o : tensor<1xi32>\n"
        "  %p = stablehlo.concatenate %b, %z, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %q = stablehlo.reshape %p : (tensor<2xi32>) -> tensor<1x2xi32>\n"
        "  %w = stablehlo.constant dense<1.0> : tensor<3x1x1xf32>\n"
        "  %s = stablehlo.concatenate %o, %r, %f, dim = 0 : (tensor<1xi32>, tensor<1xi32>, tensor<1xi32>) -> "
        "tensor<3xi32>\n"
        "  %t = stablehlo.dynamic_reshape %x, %s : (tensor<?x4xf32>, tensor<3xi32>) -> tensor<1x?x4xf32>\n"
        "  %u = stablehlo.transpose %t, dims = [2, 1, 0] : (tensor<1x?x4xf32>) -> tensor<4x?x1xf32>\n"
        "  %y = \"stablehlo.dynamic_conv\"(%u, %w, %q) {batch_group_count = 1 : i64, feature_group_count = 1 : i64, "
        "dimension_numbers = #stablehlo.conv<[b, 0, f]x[0, i, o]->[b, 0, f]>} : (tensor<4x?x1xf32>, "
        "tensor<3x1x1xf32>, tensor<1x2xi32>) -> tensor<4x?x1xf32>\n"
        "  %v = stablehlo.transpose %y, dims = [1, 0, 2] : (tensor<4x?x1xf32>) -> tensor<?x4x1xf32>\n"
        "  %a = stablehlo.reshape %v : (tensor<?x4x1xf32>) -> tensor<?x4xf32>\n"
        "  return %a : tensor<?x4xf32>\n}\n", want_conv);
}

#define WINDOWS(window, padding)                                                                             \
    "func.func private @sum(%a: tensor<f32>, %b: tensor<f32>) -> tensor<f32> {\n"                             \
    "  %s = stablehlo.add %a, %b : tensor<f32>\n  return %s : tensor<f32>\n}\n"                             \
    HEAD "tensor<?x4xf32> {\n" SIZES "  %q = stablehlo.subtract %r, %o : tensor<1xi32>\n"                     \
    "  %i = stablehlo.constant dense<0.0> : tensor<f32>\n  %1 = stablehlo.constant dense<1> : tensor<2xi32>\n" \
    "  %2 = stablehlo.constant dense<2> : tensor<1xi32>\n"                                                   \
    "  %w = stablehlo.concatenate " window ", %o, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n" \
    "  %p = stablehlo.concatenate " padding ", %z, %z, dim = 0 : (tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, " \
    "tensor<1xi32>) -> tensor<4xi32>\n"                                                                       \
    "  %t = stablehlo.reshape %p : (tensor<4xi32>) -> tensor<2x2xi32>\n"                                      \
    "  %y = stablehlo.custom_call @stablehlo.dynamic_reduce_window(%x, %i, %w, %1, %1, %1, %t) "              \
    "{called_computations = [@sum]} : (tensor<?x4xf32>, tensor<f32>, tensor<2xi32>, tensor<2xi32>, "          \
    "tensor<2xi32>, tensor<2xi32>, tensor<2x2xi32>) -> tensor<?x4xf32>\n  return %y : tensor<?x4xf32>\n}\n"

TEST(computed_windows) {
    check_program("running sum", WINDOWS("%r", "%q, %z"), want_running);
    check_program("computed padding", WINDOWS("%2", "%z, %r"), want_windows);
}

/* A loop carries the size along; its body makes a shape of it. */
TEST(sizes_in_loops) {
    check_program("while", HEAD "tensor<?x4xf32> {\n" SIZES
        "  %k = stablehlo.constant dense<0> : tensor<i32>\n"
        "  %y:3 = stablehlo.while(%i = %k, %s = %r, %a = %x) : tensor<i32>, tensor<1xi32>, tensor<?x4xf32>\n"
        "  cond {\n    %t = stablehlo.constant dense<3> : tensor<i32>\n"
        "    %p = stablehlo.compare LT, %i, %t : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
        "    stablehlo.return %p : tensor<i1>\n  } do {\n    %1 = stablehlo.constant dense<1> : tensor<i32>\n"
        "    %j = stablehlo.add %i, %1 : tensor<i32>\n"
        "    %d = stablehlo.concatenate %s, %f, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "    %g = stablehlo.dynamic_iota %d, dim = 0 : (tensor<2xi32>) -> tensor<?x4xf32>\n"
        "    %b = stablehlo.add %g, %a : tensor<?x4xf32>\n"
        "    stablehlo.return %j, %s, %b : tensor<i32>, tensor<1xi32>, tensor<?x4xf32>\n  }\n"
        "  return %y#2 : tensor<?x4xf32>\n}\n", want_loop);
    check_program("slices at run time", HEAD "tensor<?x2xf32> {\n" SIZES
        "  %k = stablehlo.constant dense<0> : tensor<i32>\n  %2 = stablehlo.constant dense<2> : tensor<1xi32>\n"
        "  %d = stablehlo.add %r, %r : tensor<1xi32>\n"
        "  %e = stablehlo.concatenate %d, %2, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %h = stablehlo.concatenate %r, %2, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %u = stablehlo.dynamic_reshape %x, %e : (tensor<?x4xf32>, tensor<2xi32>) -> tensor<?x2xf32>\n"
        "  %v = stablehlo.constant dense<0.0> : tensor<f32>\n  %w = stablehlo.constant dense<1> : tensor<2xi32>\n"
        "  %s = stablehlo.dynamic_broadcast_in_dim %v, %h, dims = [] : (tensor<f32>, tensor<2xi32>) -> "
        "tensor<?x2xf32>\n"
        "  %y:2 = stablehlo.while(%i = %k, %a = %s) : tensor<i32>, tensor<?x2xf32>\n"
        "  cond {\n    %p = stablehlo.compare LE, %i, %m : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
        "    stablehlo.return %p : tensor<i1>\n  } do {\n    %1 = stablehlo.constant dense<1> : tensor<i32>\n"
        "    %j = stablehlo.add %i, %1 : tensor<i32>\n    %q = stablehlo.reshape %i : (tensor<i32>) -> tensor<1xi32>\n"
        "    %b = stablehlo.concatenate %q, %z, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "    %l = stablehlo.add %b, %h : tensor<2xi32>\n"
        "    %g = stablehlo.real_dynamic_slice %u, %b, %l, %w : (tensor<?x2xf32>, tensor<2xi32>, tensor<2xi32>, "
        "tensor<2xi32>) -> tensor<?x2xf32>\n"
        "    %c = stablehlo.add %a, %g : tensor<?x2xf32>\n"
        "    stablehlo.return %j, %c : tensor<i32>, tensor<?x2xf32>\n  }\n"
        "  return %y#1 : tensor<?x2xf32>\n}\n", want_halves);
    check_program("if", HEAD "tensor<?x4xf32> {\n" SIZES
        "  %d = stablehlo.concatenate %r, %f, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %t = stablehlo.constant dense<3> : tensor<i64>\n  %c = stablehlo.constant dense<0.0> : tensor<f32>\n"
        "  %p = stablehlo.compare LT, %n, %t : (tensor<i64>, tensor<i64>) -> tensor<i1>\n"
        "  %y = \"stablehlo.if\"(%p) ({\n    stablehlo.return %x : tensor<?x4xf32>\n  }, {\n"
        "    %b = stablehlo.dynamic_broadcast_in_dim %c, %d, dims = [] : (tensor<f32>, tensor<2xi32>) -> "
        "tensor<?x4xf32>\n"
        "    stablehlo.return %b : tensor<?x4xf32>\n  }) : (tensor<i1>) -> tensor<?x4xf32>\n"
        "  return %y : tensor<?x4xf32>\n}\n", want_branch);
}

/* Sizes that are constants, however they are computed: the reference says what they are. */
TEST(constants_are_folded) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = hlo_fn(c, "func.func @main() -> tensor<?x?xi32> {\n"
        "  %a = stablehlo.constant dense<[2.9, 12.25]> : tensor<2xf32>\n  %b = stablehlo.sqrt %a : tensor<2xf32>\n"
        "  %c = stablehlo.add %a, %b : tensor<2xf32>\n  %i = stablehlo.convert %c : (tensor<2xf32>) -> tensor<2xi32>\n"
        "  %s = stablehlo.reverse %i, dims = [0] : tensor<2xi32>\n"
        "  %y = stablehlo.dynamic_iota %s, dim = 1 : (tensor<2xi32>) -> tensor<?x?xi32>\n"
        "  return %y : tensor<?x?xi32>\n}\n");
    CHECK_OK(c);
    int64_t dim[2] = {0};
    if (f && CHECK(tsr_type_ints(tsr_fn_result_type(f, 0), dim))) {
        CHECK_EQ(dim[0], 15);
        CHECK_EQ(dim[1], 4);
    }
    tsr_fn_free(c, f);
}

/* An assertion is decided where it can be, else it is a check of the run. */
TEST(shape_assertions) {
    static const char *const text = "func.func @main(%%x: tensor<%sx2xf32>) -> tensor<%sx2xf32> {\n"
        "  %%c = stablehlo.constant dense<3> : tensor<i32>\n"
        "  %%n = stablehlo.get_dimension_size %%x, dim = 0 : (tensor<%sx2xf32>) -> tensor<i32>\n"
        "  %%p = stablehlo.compare GE, %%n, %%c, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
        "  stablehlo.custom_call @shape_assertion(%%p, %%n) {api_version = 2 : i32, error_message = \"too few rows\", "
        "has_side_effect = true} : (tensor<i1>, tensor<i32>) -> ()\n  return %%x : tensor<%sx2xf32>\n}\n";
    static const struct { const char *rows; bool imports; } known[] = {
        {"4", true}, {"3", true}, {"2", false}, {"?", true},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char program[2000];
        const char *r = known[i].rows;
        test_case("%s rows", r);
        snprintf(program, sizeof program, text, r, r, r, r);
        tsr_fn *f = hlo_fn(c, program);
        CHECK((f != NULL) == known[i].imports);
        if (!f) CHECK_CONTAINS(tsr_error_message(c), "too few rows");
        tsr_error_clear(c);
        for (int64_t n = 2; f && *r == '?' && n < 5; n++)
            for (int tier = 0; tier < HLO_TIERS; tier++) {
                tsr_node *arg = tsr_full(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){n, 2}), 1), *out;
                CHECK_EQ(hlo_run(c, (enum hlo_tier)tier, f, 1, &arg, &out), n < 3 ? TSR_ECHECK : TSR_OK);
                if (n < 3) CHECK_CONTAINS(tsr_error_message(c), "too few rows");
                tsr_error_clear(c);
            }
        tsr_fn_free(c, f);
    }
}

/* ---- what cannot be said ----------------------------------------------------------------------------------------- */

TEST(errors) {
    tsr_ctx *c = test_ctx();
    static const struct { const char *name, *text, *message; } bad[] = {
        {"data", "func.func @main(%x: tensor<2xf32>) -> tensor<?xf32> {\n"
            "  %i = stablehlo.convert %x : (tensor<2xf32>) -> tensor<2xi32>\n"
            "  %s = stablehlo.slice %i [0:1] : (tensor<2xi32>) -> tensor<1xi32>\n"
            "  %y = stablehlo.dynamic_iota %s, dim = 0 : (tensor<1xi32>) -> tensor<?xf32>\n"
            "  return %y : tensor<?xf32>\n}\n", "test.mlir:4"},
        {"declared", "func.func @main() -> tensor<3xf32> {\n  %s = stablehlo.constant dense<4> : tensor<1xi32>\n"
            "  %y = stablehlo.dynamic_iota %s, dim = 0 : (tensor<1xi32>) -> tensor<3xf32>\n"
            "  return %y : tensor<3xf32>\n}\n", "declared 3"},
        {"negative", "func.func @main() -> tensor<?xf32> {\n  %s = stablehlo.constant dense<-4> : tensor<1xi32>\n"
            "  %y = stablehlo.dynamic_iota %s, dim = 0 : (tensor<1xi32>) -> tensor<?xf32>\n"
            "  return %y : tensor<?xf32>\n}\n", "negative"},
        {"rank", "func.func @main() -> tensor<?xf32> {\n  %s = stablehlo.constant dense<4> : tensor<2xi32>\n"
            "  %y = stablehlo.dynamic_iota %s, dim = 0 : (tensor<2xi32>) -> tensor<?xf32>\n"
            "  return %y : tensor<?xf32>\n}\n", "test.mlir:3"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_case("%s", bad[i].name);
        CHECK(!hlo_fn(c, bad[i].text));
        CHECK_CONTAINS(tsr_error_message(c), bad[i].message);
        tsr_error_clear(c);
    }
}

TEST(sizes_that_contradict_are_refused) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = hlo_fn(c, HEAD "tensor<?x4xf32> {\n" SIZES
        "  %s = stablehlo.concatenate %r, %f, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>\n"
        "  %i = stablehlo.dynamic_iota %s, dim = 1 : (tensor<2xi32>) -> tensor<?x4xf32>\n"
        "  %y = stablehlo.add %i, %x : tensor<?x4xf32>\n  return %y : tensor<?x4xf32>\n}\n");
    CHECK_OK(c);
    for (int tier = 0; f && tier < HLO_TIERS; tier++)
        for (int64_t n = -1; n < 4; n++) {
            tsr_node *arg[2] = {tsr_tensor(c, TSR_I64, 0, NULL, &n),
                                tsr_full(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){2, 4}), 1)}, *out;
            test_case("tier %d, n = %d", tier, (int)n);
            CHECK_EQ(hlo_run(c, (enum hlo_tier)tier, f, 2, arg, &out), n == 2 ? TSR_OK : TSR_ECHECK);
            if (n != 2) CHECK(tsr_error_status(c) == TSR_ECHECK);
            tsr_error_clear(c);
        }
    tsr_fn_free(c, f);
}

/* ---- the published programs -------------------------------------------------------------------------------------- */

/* A value for a parameter when every size is n: integers are n where they are scalars, 0 where sizes are made of a
 * vector (starts of slices), else small. */
static tsr_node *argument(tsr_ctx *c, const tsr_fn *f, int param, int64_t n) {
    const tsr_type *t = tsr_fn_param_type(f, param);
    bool starts = false;
    for (size_t i = 0; i < f->size.n; i++) starts = starts || (t->rank && f->size.v[i].param == param);
    int64_t dim[TSR_MAX_RANK], count = 1;
    for (int a = 0; a < t->rank; a++) {
        if (!tsr_extent_is_int(t->extent[a], &dim[a])) dim[a] = n;
        count *= dim[a];
    }
    double *v = mem_array(c, (size_t)count + 1, sizeof *v);
    bool whole = !dtype_is_float(t->dtype) && !dtype_is_complex(t->dtype);
    for (int64_t i = 0; v && i < count; i++)
        v[i] = starts ? 0 : !t->rank && whole ? (double)n : whole ? (double)rng_below(test_rng(), 3) :
            rng_normal(test_rng());
    tsr_node *x = v ? tsr_tensor(c, TSR_F64, t->rank, dim, v) : tsr_poison(c);
    mem_array_free(c, v, (size_t)count + 1, sizeof *v);
    return tsr_prim_convert(c, x, t->dtype);
}

/* Both tiers agree: the same extents, the same values but for the rounding of sums and functions. */
static void check_tiers(tsr_ctx *c, const tsr_node *got, const tsr_node *want) {
    int64_t count = 1;
    if (!CHECK_MSG(got->type == want->type, "compiled: %s, reference: %s", type_text(c, got->type),
        type_text(c, want->type))) return;
    for (int a = 0; a < got->type->rank; a++) count *= tsr_node_dim(got, a);
    double *v[2];
    for (int k = 0; k < 2; k++) {
        tsr_node *x = (tsr_node *)(uintptr_t)(k ? want : got);
        if (dtype_is_complex(got->type->dtype)) x = tsr_prim1(c, TSR_S_REAL, x);
        v[k] = mem_array(c, (size_t)count + 1, sizeof *v[k]);
        CHECK_EQ(tsr_read(c, tsr_prim_convert(c, x, TSR_F64), v[k], (size_t)count * sizeof *v[k]), TSR_OK);
    }
    double tolerance = tsr_dtype_of(got->type->dtype)->bits <= 16 ? 0.02 : 1e-4;
    CHECK_F64(v[0], v[1], (size_t)count, tolerance, tolerance);
    for (int k = 0; k < 2; k++) mem_array_free(c, v[k], (size_t)count + 1, sizeof *v[k]);
}

static void run_published(tsr_ctx *c, tsr_fn *f, int64_t n) {
    tsr_node *arg[16], *out[2][16];
    int np = tsr_fn_params(f), nr = tsr_fn_results(f);
    if (!CHECK(np <= 16 && nr <= 16)) return;
    for (int i = 0; i < np; i++) arg[i] = argument(c, f, i, n);
    for (int tier = 0; tier < HLO_TIERS; tier++)
        if (!CHECK_EQ(hlo_run(c, (enum hlo_tier)tier, f, np, arg, out[tier]), TSR_OK)) return;
    for (int i = 0; i < nr; i++) check_tiers(c, out[0][i], out[1][i]);
}

static int64_t want_tile(int64_t n, const float *x, float *out) {
    for (int64_t i = 0; i < n * 6; i++) out[i] = x[i / 6 * 3 + i % 3];
    return n * 6;
}
static int64_t want_even_rows(int64_t n, const float *x, float *out) {
    int64_t k = 0;
    for (int64_t i = 0; i < n; i += 2)
        for (int j = 0; j < 4; j++) out[k++] = x[i * 4 + j];
    return k;
}
static int64_t want_last_row(int64_t n, const float *x, float *out) {
    memcpy(out, x + (n - 1) * 4, 4 * sizeof *out);
    return 4;
}
static int64_t want_triangle(int64_t n, const float *x, float *out) { /* x (n, 1): plus a lower triangle (n, n + 2) */
    for (int64_t i = 0; i < n * (n + 2); i++) out[i] = x[i / (n + 2)] + (float)(i / (n + 2) >= i % (n + 2));
    return n * (n + 2);
}
static int64_t want_frame(int64_t n, const float *x, float *out) { /* x (n, 5) below n rows of 0, after 5 columns */
    for (int64_t i = 0; i < 2 * n * 11; i++) out[i] = 0;
    for (int64_t i = 0; i < n * 5; i++) out[(n + i / 5) * 11 + 5 + i % 5] = x[i];
    return 2 * n * 11;
}
static int64_t want_repeated(int64_t n, const float *x, float *out) { /* x (n, 1, 4) to (n, 2 n, 4) */
    for (int64_t i = 0; i < n * 2 * n * 4; i++) out[i] = x[i / (2 * n * 4) * 4 + i % 4];
    return n * 2 * n * 4;
}
static int64_t want_row_sums(int64_t n, const float *x, float *out) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = 0;
        for (int j = 0; j < 5; j++) out[i] += x[i * 5 + j];
    }
    return n;
}
static int64_t want_first_columns(int64_t n, const float *x, float *out) {
    for (int64_t i = 0; i < 2 * n; i++) out[i] = x[i / 2 * 4 + i % 2];
    return 2 * n;
}
static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}
static int64_t want_median(int64_t n, const float *x, float *out) {
    float v[64];
    memcpy(v, x, (size_t)(5 * n) * sizeof *v);
    qsort(v, (size_t)(5 * n), sizeof *v, ascending);
    out[0] = (v[(5 * n - 1) / 2] + v[5 * n / 2]) / 2;
    return 1;
}

TEST(published_programs_by_formula) {
    static const struct { const char *name; want_fn *want; } known[] = {
        {"tile_0", want_tile}, {"slice_in_dim_stride_2_even", want_even_rows}, {"index_in_dim_idx_neg", want_last_row},
        {"tri_N_poly_M_poly", want_triangle}, {"jnp_pad_mode_constant", want_frame},
        {"broadcast_in_dim_poly", want_repeated}, {"reduce_sum", want_row_sums},
        {"getitem_op_poly_idx_slice-ct-2", want_first_columns}, {"percentile", want_median},
    };
    const char *root = suite_find("stablehlo");
    if (!root) SKIP(SUITE_MISSING);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char path[1024];
        size_t bytes;
        snprintf(path, sizeof path, "%s/testdata/dynamic/%s_dynamic.mlir", root, known[i].name);
        char *text = suite_read(path, &bytes);
        if (CHECK(text != NULL)) check_program(known[i].name, text, known[i].want);
        free(text);
    }
}

TEST(published_programs) {
    const char *root = suite_find("stablehlo");
    if (!root) SKIP(SUITE_MISSING);
    struct suite_files files = suite_list(root, "testdata/dynamic", ".mlir");
    CHECK(files.n > 0);
    for (int i = 0; i < files.n; i++) {
        size_t bytes;
        test_case("%s", files.name[i]);
        char *text = suite_read(files.path[i], &bytes);
        tsr_ctx *c = test_ctx();
        tsr_fn *f = text ? hlo_fn(c, text) : NULL;
        CHECK_OK(c);
        if (f) run_published(c, f, 4);
        CHECK_OK(c);
        tsr_fn_free(c, f);
        test_ctx_close(c);
        free(text);
    }
    suite_list_free(&files);
}

static bool import_sized(tsr_ctx *c, void *name) {
    tsr_fn *f = sized_program(c, size_text(name), false);
    tsr_fn_free(c, f);
    return f != NULL;
}

static bool import_text(tsr_ctx *c, void *text) {
    tsr_fn *f = hlo_fn(c, text);
    tsr_fn_free(c, f);
    return f != NULL;
}

TEST(survives_every_failed_allocation) {
    static char divided[] = "floor((n + 5) / 3)", picked[] = "picked from a vector", windows[] = WINDOWS("%r", "%q, "
        "%z");
    static char folded[] = "func.func @main() -> tensor<?xi32> {\n  %a = stablehlo.constant dense<2.9> : "
        "tensor<1xf32>\n"
        "  %s = stablehlo.convert %a : (tensor<1xf32>) -> tensor<1xi32>\n"
        "  %y = stablehlo.dynamic_iota %s, dim = 0 : (tensor<1xi32>) -> tensor<?xi32>\n  return %y : "
        "tensor<?xi32>\n}\n";
    CHECK(torture(import_sized, divided) > 0);
    CHECK(torture(import_sized, picked) > 0);
    CHECK(torture(import_text, windows) > 0);
    CHECK(torture(import_text, folded) > 0);
}
