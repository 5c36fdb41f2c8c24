/* test_twin.c: clusters that are alike share one program, and only those; what they compute is what the interpreter
 * does. */
#include <string.h>

#include "compile/plan.h"
#include "harness.h"
#include "tessera/ops.h"
#include "tessera/prim.h"
#include "tessera/run.h"
#include "tessera/transform.h"

enum { WIDE = 24, ROWS = 5, SHOWN = 8 };

static tsr_node *matrix(tsr_ctx *c, int64_t rows, int64_t wide, const char *name) {
    return tsr_param(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){rows, wide}), name);
}

static tsr_plan *plan_of(tsr_ctx *c, tsr_fn *f) {
    struct compile_opts o = {.fuse = true, .check = 1};
    tsr_plan *p = f ? compile_fn(c, f, &o) : NULL;
    CHECK(p != NULL);
    CHECK_OK(c);
    return p;
}

/* How many different programs the kernels of p have, as pointers. */
static int programs(const tsr_plan *p) {
    int n = 0;
    for (size_t i = 0; p && i < p->step.n; i++) {
        bool seen = !p->step.v[i].program;
        for (size_t j = 0; j < i; j++) seen |= p->step.v[j].program == p->step.v[i].program;
        n += !seen;
    }
    return n;
}

static int kernels(const tsr_plan *p) {
    int n = 0;
    for (size_t i = 0; p && i < p->step.n; i++) n += p->step.v[i].kind == STEP_KERNEL;
    return n;
}

/* f on random values, compiled and interpreted: few digits, so that products are exact and roundings behind them agree.
 */
static void compare(tsr_ctx *c, tsr_fn *f) {
    tsr_node *arg[SHOWN], *got[SHOWN], *want[SHOWN];
    struct rng *r = test_rng();
    int n = tsr_fn_params(f), results = tsr_fn_results(f);
    for (int i = 0; i < n; i++) {
        int64_t dim[TSR_MAX_RANK], count = 1;
        float v[WIDE * WIDE];
        const tsr_type *t = tsr_fn_param_type(f, i);
        CHECK(tsr_type_ints(t, dim));
        for (int j = 0; j < t->rank; j++) count *= dim[j];
        for (int64_t j = 0; j < count; j++) v[j] = (float)((int)rng_below(r, 17) - 8) / 16;
        arg[i] = tsr_tensor(c, t->dtype, t->rank, dim, v);
    }
    if (!CHECK(!tsr_run(c, f, n, arg, got)) || !CHECK(!tsr_interpret(c, f, n, arg, want))) return;
    for (int i = 0; i < results; i++) {
        float g[WIDE * WIDE], w[WIDE * WIDE];
        const tsr_type *t = tsr_fn_result_type(f, i);
        int64_t dim[TSR_MAX_RANK], count = 1;
        CHECK(tsr_type_ints(t, dim));
        for (int j = 0; j < t->rank; j++) count *= dim[j];
        if (!CHECK(!tsr_read(c, got[i], g, (size_t)count * 4) && !tsr_read(c, want[i], w, (size_t)count * 4))) return;
        for (int64_t j = 0; j < count; j++) CHECK_CLOSE(g[j], w[j], 1e-4, 1e-5);
    }
}

/* The programs of `kernels` clusters, when they are one kernel each. */
static void expect(tsr_ctx *c, tsr_fn *f, int nkernels, int nprograms) {
    tsr_plan *p = plan_of(c, f);
    CHECK_EQ(kernels(p), nkernels);
    CHECK_EQ(programs(p), nprograms);
    plan_free(p);
    compare(c, f);
    tsr_fn_free(c, f);
}

/* ---- layers ---- */

TEST(layers_share_their_programs) {
    tsr_ctx *c = test_ctx();
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_fn_begin(c, "layers");
    tsr_node *x = matrix(c, ROWS, WIDE, "x");
    for (int i = 0; i < 4; i++)
        x = tsr_softmax(c, tsr_relu(c, tsr_matmul(c, x, matrix(c, WIDE, WIDE, "w"))), -1);
    expect(c, tsr_fn_end(c, 1, &x), 8, 2);
    tsr_scope_end(c, scope);
}

/* The last layer's gradient is computed in clusters of its own, all others' in one another's image. */
TEST(gradients_share_too) {
    tsr_ctx *c = test_ctx();
    int count[2];
    for (int turn = 0; turn < 2; turn++) {
        enum { FEW = 4 };
        int layers = FEW + turn;
        tsr_node *w[FEW + 1], *out[FEW + 2];
        tsr_scope *scope = tsr_scope_begin(c);
        tsr_fn_begin(c, "step");
        tsr_node *x = matrix(c, ROWS, WIDE, "x");
        for (int i = 0; i < layers; i++) x = tsr_tanh(c, tsr_matmul(c, x, w[i] = matrix(c, WIDE, WIDE, "w")));
        out[0] = tsr_sum(c, tsr_square(c, x), 2, (int[]){0, 1}, false);
        CHECK(tsr_grad(c, out[0], layers, w, out + 1) == TSR_OK);
        tsr_fn *f = tsr_fn_end(c, layers + 1, out);
        tsr_plan *p = plan_of(c, f);
        count[turn] = programs(p);
        CHECK(kernels(p) > 2 * layers);
        plan_free(p);
        compare(c, f);
        tsr_fn_free(c, f);
        tsr_scope_end(c, scope);
    }
    CHECK_EQ(count[1], count[0]); /* another layer costs no program */
}

/* ---- what is not alike ---- */

/* Two products, each a kernel with something done to its results (rows of one shape would become one kernel), that
 * differ in one respect. */
enum difference { SAME, LITERAL, OP, EXTENT, DTYPE, SHARED, SOURCES, AXIS, ROOT, DIFFERENCES };

static tsr_node *narrow_and_back(tsr_ctx *c, tsr_node *x, tsr_dtype t) {
    return tsr_cast(c, tsr_cast(c, x, t), TSR_F32);
}

/* The second product's end; the first one's with d SAME. */
static tsr_node *ending(tsr_ctx *c, tsr_node *t, enum difference d, bool second) {
    tsr_node *by = tsr_num(c, t, second && d == LITERAL ? 3 : 2), *e = tsr_exp(c, t);
    switch (d) {
        case OP: return second ? tsr_sub(c, t, by) : tsr_mul(c, t, by);
        case DTYPE: return narrow_and_back(c, t, second ? TSR_BF16 : TSR_F16);
        case SOURCES: return second ? tsr_sub(c, t, e) : tsr_sub(c, e, t);
        default: return tsr_mul(c, t, by);
    }
}

TEST(differences_keep_programs_apart) {
    static const char *const name[] = {"same", "literal", "op", "extent", "dtype", "shared source",
        "order of sources", "axis", "root"};
    for (enum difference i = SAME; i < DIFFERENCES; i++) {
        tsr_ctx *c = test_ctx();
        tsr_scope *scope = tsr_scope_begin(c);
        test_case("%s", name[i]);
        tsr_fn_begin(c, "pair");
        int64_t wide = i == EXTENT ? WIDE - 1 : WIDE;
        tsr_node *a = matrix(c, WIDE, WIDE, "a"), *a2 = matrix(c, WIDE, WIDE, "a2");
        tsr_node *b = matrix(c, WIDE, wide, "b"), *b2 = matrix(c, wide, WIDE, "b2");
        tsr_node *s = tsr_matmul(c, a, a2);
        tsr_node *t = tsr_matmul(c, b, i == SHARED ? b : i == AXIS ? tsr_transpose(c, b2, (int[]){1, 0}) : b2);
        tsr_node *out[3] = {ending(c, s, i, false), ending(c, t, i, true), t};
        expect(c, tsr_fn_end(c, i == ROOT ? 3 : 2, out), 2, i == SAME ? 1 : 2);
        tsr_scope_end(c, scope);
    }
}

/* ---- what is alike all the same ---- */

/* Of a value in memory only the type counts: not which op made it, nor with which attributes. */
TEST(what_made_a_value_does_not_matter) {
    tsr_ctx *c = test_ctx();
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_fn_begin(c, "read");
    tsr_node *x = matrix(c, WIDE, WIDE, "x"), *y = matrix(c, WIDE, WIDE, "y"), *out[3], *from[3];
    from[0] = x, from[1] = tsr_cumsum(c, x, 0), from[2] = tsr_cumsum(c, y, 1);
    for (int i = 0; i < 3; i++) out[i] = tsr_matmul(c, from[i], y);
    expect(c, tsr_fn_end(c, 3, out), 5, 3); /* two sums, three products that share a program */
    tsr_scope_end(c, scope);
}

/* Items of tuples stand in slots of their own, and which of them is read first does not matter either. */
TEST(items_of_tuples) {
    tsr_ctx *c = test_ctx();
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_fn_begin(c, "items");
    tsr_node *x[2] = {matrix(c, WIDE, WIDE, "x"), matrix(c, WIDE, WIDE, "y")};
    tsr_node *sorted = tsr_prim_sort(c, 2, x, 1, 1, false, true);
    tsr_node *a = tsr_item(c, sorted, 0), *b = tsr_item(c, sorted, 1);
    tsr_node *out[2] = {tsr_matmul(c, a, b), tsr_matmul(c, b, a)};
    expect(c, tsr_fn_end(c, 2, out), 2, 1);
    tsr_scope_end(c, scope);
}

/* x * x and x * y are one form but for who is who. */
TEST(one_buffer_is_not_two) {
    tsr_ctx *c = test_ctx();
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_fn_begin(c, "who");
    tsr_node *x = matrix(c, WIDE, WIDE, "x"), *y = matrix(c, WIDE, WIDE, "y"), *z = matrix(c, WIDE, WIDE, "z");
    tsr_node *out[3] = {tsr_matmul(c, x, x), tsr_matmul(c, x, y), tsr_matmul(c, y, z)};
    expect(c, tsr_fn_end(c, 3, out), 3, 2);
    tsr_scope_end(c, scope);
}

/* Single elements, which both sums compute where they use them. */
TEST(clusters_of_many_nodes) {
    enum { MANY = 520 };
    tsr_ctx *c = test_ctx();
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_fn_begin(c, "many");
    tsr_node *x = matrix(c, 1, MANY, "x"), *part[MANY], *out[2];
    for (int j = 0; j < MANY; j++) part[j] = tsr_slice(c, x, 1, j, j + 1, 1);
    for (int i = 0; i < 2; i++)
        out[i] = tsr_sum(c, tsr_concat(c, MANY - i, part, 1), 1, (int[]){1}, false);
    expect(c, tsr_fn_end(c, 2, out), 2, 2);
    tsr_scope_end(c, scope);
}

/* Literals that have memory are buffers, and those of two clusters are two. */
TEST(literals_in_memory) {
    tsr_ctx *c = test_ctx();
    tsr_scope *scope = tsr_scope_begin(c);
    float v[2][WIDE];
    for (int i = 0; i < 2 * WIDE; i++) v[i / WIDE][i % WIDE] = (float)i;
    tsr_fn_begin(c, "tables");
    tsr_node *x = matrix(c, WIDE, WIDE, "x"), *y = matrix(c, WIDE, WIDE, "y"), *out[2];
    for (int i = 0; i < 2; i++) {
        tsr_node *table = tsr_tensor(c, TSR_F32, 1, (int64_t[]){WIDE}, v[i]);
        out[i] = tsr_sum(c, tsr_mul(c, i ? y : x, table), 1, (int[]){1}, false);
    }
    tsr_fn *f = tsr_fn_end(c, 2, out);
    tsr_node *arg[2] = {tsr_ones(c, TSR_F32, 2, (int64_t[]){WIDE, WIDE}), NULL}, *got[2];
    arg[1] = arg[0];
    if (CHECK(!tsr_run(c, f, tsr_fn_params(f), arg, got)))
        for (int i = 0; i < 2; i++) {
            float sum[WIDE];
            CHECK(tsr_read(c, got[i], sum, sizeof sum) == TSR_OK);
            CHECK_CLOSE(sum[0], (double)WIDE * (WIDE - 1) / 2 + i * WIDE * WIDE, 0, 0);
        }
    tsr_fn_free(c, f);
    tsr_scope_end(c, scope);
}
