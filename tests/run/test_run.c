/* test_run.c: from graph to numbers: eval, run, variables, symbolic sizes, control flow, checking modes, threads.
 *
 * The oracle is the reference interpreter (tsr_interpret) and plain loops. What would be wrong if a test failed is
 * said at each one. */
#include <math.h>
#include <stdlib.h>

#include "graph/node.h"
#include "harness.h"
#include "tessera/engine.h"
#include "tessera/ops.h"
#include "tessera/run.h"
#include "tessera/stablehlo.h"
#include "tessera/transform.h"

static tsr_node *random_f32(tsr_ctx *c, int rank, const int64_t *dim) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    float *p = mem_alloc(c, (size_t)n * sizeof *p + 1);
    if (!p) return tsr_poison(c);
    for (int64_t i = 0; i < n; i++) p[i] = (float)test_uniform(-1, 1);
    tsr_node *x = tsr_tensor(c, TSR_F32, rank, dim, p);
    mem_free(c, p, (size_t)n * sizeof *p + 1);
    return x;
}

static int64_t count_of(const tsr_node *n) {
    int64_t k = 1;
    for (int i = 0; i < tsr_node_rank(n); i++) k *= tsr_node_dim(n, i);
    return k;
}

static void check_same(tsr_ctx *c, tsr_node *got, tsr_node *want, double rtol, double atol) {
    if (!CHECK(tsr_node_type(got) == tsr_node_type(want))) return;
    int64_t n = count_of(got);
    float *a = mem_array(c, (size_t)n + 1, sizeof *a), *b = mem_array(c, (size_t)n + 1, sizeof *b);
    CHECK_EQ(tsr_read(c, got, a, (size_t)n * sizeof *a), TSR_OK);
    CHECK_EQ(tsr_read(c, want, b, (size_t)n * sizeof *b), TSR_OK);
    CHECK_F32(a, b, (size_t)n, rtol, atol);
    mem_array_free(c, a, (size_t)n + 1, sizeof *a);
    mem_array_free(c, b, (size_t)n + 1, sizeof *b);
}

/* ---- eval ---- */

TEST(eval_computes_together_and_lets_go) {
    tsr_ctx *c = test_ctx();
    tsr_node *x = random_f32(c, 2, (int64_t[]){3, 5});
    tsr_node *y = tsr_mul(c, x, x), *z = tsr_add(c, y, x);
    CHECK_EQ(tsr_eval(c, 2, (tsr_node *[]){y, z}), TSR_OK);
    CHECK_OK(c);
    CHECK(tsr_node_buf(y) && tsr_node_buf(z));
    CHECK_EQ(y->nsrc, 0);
    float a[15], b[15], d[15];
    tsr_read(c, x, a, sizeof a), tsr_read(c, y, b, sizeof b), tsr_read(c, z, d, sizeof d);
    for (int i = 0; i < 15; i++) {
        CHECK_CLOSE(b[i], a[i] * a[i], 0, 0);
        CHECK_CLOSE(d[i], a[i] * a[i] + a[i], 1e-6, 1e-7);
    }
    CHECK_EQ(tsr_eval(c, 2, (tsr_node *[]){y, z}), TSR_OK);
    /* the same structure over other data: the plan is found, nothing is built */
    tsr_run_stats s = tsr_stats(c);
    tsr_node *x2 = random_f32(c, 2, (int64_t[]){3, 5}), *y2 = tsr_mul(c, x2, x2), *z2 = tsr_add(c, y2, x2);
    CHECK_EQ(tsr_eval(c, 2, (tsr_node *[]){y2, z2}), TSR_OK);
    CHECK_EQ(tsr_stats(c).plans_built, s.plans_built);
    CHECK_EQ(tsr_stats(c).kernels_built, s.kernels_built);
}

TEST(a_new_shape_makes_a_plan_and_no_kernel) {
    tsr_ctx *c = test_ctx();
    uint64_t kernels = 0;
    for (int n = 0; n < 10; n++) {
        test_case("rows %d", 70 + 7 * n);
        tsr_node *x = random_f32(c, 2, (int64_t[]){70 + 7 * n, 1041 + n}), *y = tsr_softmax(c, tsr_add(c, x, x), -1);
        CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
        if (n) CHECK_EQ(tsr_stats(c).kernels_built, kernels);
        kernels = tsr_stats(c).kernels_built;
    }
    CHECK_OK(c);
}

TEST(errors_say_what_to_do) {
    tsr_ctx *c = test_ctx();
    tsr_node *x = random_f32(c, 1, (int64_t[]){4}), *bad = tsr_matmul(c, x, random_f32(c, 1, (int64_t[]){5}));
    CHECK_EQ(tsr_eval(c, 1, &bad), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "4");
    float small[2];
    CHECK_EQ(tsr_read(c, x, small, sizeof small), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "16 bytes");
    CHECK(isnan(tsr_read_scalar(c, x)));
    CHECK_ERROR(c, TSR_EINVAL, "f32[4]");
    tsr_config k = {.device = "toaster"};
    tsr_ctx *d = test_ctx_with(&k);
    tsr_node *y = tsr_add(d, tsr_scalar_float(d, TSR_F32, 1), tsr_scalar_float(d, TSR_F32, 2));
    CHECK_EQ(tsr_eval(d, 1, &y), TSR_ENOTFOUND);
    CHECK_ERROR(d, TSR_ENOTFOUND, "toaster");
}

/* ---- fns, variables, symbols ---- */

/* One gradient step of a two-layer net on variables w, b; returns the fn (x, y) -> loss. */
struct net { tsr_var *w1, *b1, *w2; };
static struct net net_new(tsr_ctx *c, int64_t in, int64_t hidden, int64_t out) {
    struct net n;
    n.w1 = tsr_var_new(c, "w1", random_f32(c, 2, (int64_t[]){in, hidden}));
    n.b1 = tsr_var_new(c, "b1", random_f32(c, 1, (int64_t[]){hidden}));
    n.w2 = tsr_var_new(c, "w2", random_f32(c, 2, (int64_t[]){hidden, out}));
    return n;
}
static void net_free(tsr_ctx *c, struct net *n) {
    tsr_var_free(c, n->w1), tsr_var_free(c, n->b1), tsr_var_free(c, n->w2);
}

static tsr_fn *net_step(tsr_ctx *c, struct net *n, const tsr_extent *batch) {
    const tsr_extent *xe[2] = {batch, tsr_extent_int(c, tsr_node_dim(n->w1->value, 0))};
    const tsr_extent *ye[1] = {batch};
    if (tsr_fn_begin(c, "step")) return NULL;
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, xe), "x");
    tsr_node *y = tsr_param(c, tsr_type_tensor(c, TSR_I32, 1, ye), "y");
    tsr_node *p[3] = {tsr_var_read(c, n->w1), tsr_var_read(c, n->b1), tsr_var_read(c, n->w2)}, *g[3];
    tsr_node *h = tsr_relu(c, tsr_add(c, tsr_matmul(c, x, p[0]), p[1]));
    tsr_node *loss = tsr_cross_entropy(c, tsr_matmul(c, h, p[2]), y, 0, INT64_MIN, TSR_LOSS_MEAN);
    if (!tsr_grad(c, loss, 3, p, g)) {
        tsr_var *v[3] = {n->w1, n->b1, n->w2};
        for (int i = 0; i < 3; i++) tsr_var_assign(c, v[i], tsr_sub(c, p[i], tsr_mul(c, g[i], tsr_num(c, g[i], 0.1))));
    }
    return tsr_fn_end(c, 1, &loss);
}

static tsr_node *random_labels(tsr_ctx *c, int64_t n, int64_t classes) {
    int32_t *p = mem_array(c, (size_t)n + 1, sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = (int32_t)test_int(0, classes - 1);
    tsr_node *y = tsr_tensor(c, TSR_I32, 1, &n, p);
    mem_array_free(c, p, (size_t)n + 1, sizeof *p);
    return y;
}

TEST(fifty_batch_sizes_build_kernels_once) {
    tsr_ctx *c = test_ctx();
    struct net n = net_new(c, 13, 17, 5);
    tsr_fn *f = net_step(c, &n, tsr_extent_symbol(c, "B", 0, 100000));
    if (!CHECK(f != NULL)) CHECK_OK(c);
    uint64_t kernels = 0;
    for (int i = 0; f && i < 50; i++) {
        int64_t batch = i == 0 ? 32 : i == 1 ? 1 : i == 2 ? 257 : test_int(1, 200);
        test_case("batch %d", (int)batch);
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *arg[2] = {random_f32(c, 2, (int64_t[]){batch, 13}), random_labels(c, batch, 5)}, *loss, *want;
        tsr_node *before[3] = {tsr_var_read(c, n.w1), tsr_var_read(c, n.b1), tsr_var_read(c, n.w2)};
        CHECK_EQ(tsr_interpret(c, f, 2, arg, &want), TSR_OK);
        tsr_node *after[3] = {tsr_var_read(c, n.w1), tsr_var_read(c, n.b1), tsr_var_read(c, n.w2)};
        tsr_var_assign(c, n.w1, before[0]), tsr_var_assign(c, n.b1, before[1]), tsr_var_assign(c, n.w2, before[2]);
        CHECK_EQ(tsr_run(c, f, 2, arg, &loss), TSR_OK);
        CHECK_OK(c);
        check_same(c, loss, want, 1e-5, 1e-6);
        check_same(c, tsr_var_read(c, n.w1), after[0], 1e-4, 1e-5);
        check_same(c, tsr_var_read(c, n.b1), after[1], 1e-4, 1e-5);
        check_same(c, tsr_var_read(c, n.w2), after[2], 1e-4, 1e-5);
        if (i) CHECK_EQ(tsr_stats(c).kernels_built, kernels);
        kernels = tsr_stats(c).kernels_built;
        tsr_scope_end(c, s);
    }
    CHECK_EQ(tsr_stats(c).plans_built, 1);
    tsr_fn_free(c, f);
    net_free(c, &n);
}

TEST(arguments_are_checked) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *B = tsr_extent_symbol(c, "B", 1, 64), *e[2] = {B, B};
    CHECK_EQ(tsr_fn_begin(c, "square"), TSR_OK);
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, e), "x"), *y = tsr_add(c, x, tsr_transpose(c, x, NULL));
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    CHECK_OK(c);
    tsr_node *a = random_f32(c, 2, (int64_t[]){3, 3}), *b = random_f32(c, 2, (int64_t[]){3, 4});
    tsr_node *d = random_f32(c, 2, (int64_t[]){65, 65}), *out;
    CHECK_EQ(tsr_run(c, f, 1, &a, &out), TSR_OK);
    CHECK_EQ(tsr_run(c, f, 1, &b, &out), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "B = 4");
    CHECK(tsr_run(c, f, 1, &d, &out) != TSR_OK);
    CHECK_ERROR(c, TSR_ECHECK, "64");
    CHECK_EQ(tsr_run(c, f, 0, NULL, &out), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "takes 1 arguments");
    tsr_fn_free(c, f);
}

/* (i32 n, f32[n, 2*m] x, i64[2] k) with k = (m, ...): iota(n + m) and the sum of x's rows. */
TEST(sizes_may_be_arguments) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *n = tsr_extent_symbol(c, "size_n", 0, 1000), *m = tsr_extent_symbol(c, "size_m", 0, 1000);
    const tsr_extent *xe[2] = {n, tsr_extent_mul(c, m, tsr_extent_int(c, 2))}, *sum = tsr_extent_add(c, n, m);
    CHECK_EQ(tsr_fn_begin(c, "sized"), TSR_OK);
    tsr_node *count = tsr_param(c, tsr_type_dims(c, TSR_I32, 0, NULL), "n");
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, xe), "x");
    tsr_node *k = tsr_param(c, tsr_type_dims(c, TSR_I64, 1, (int64_t[]){2}), "k");
    CHECK_EQ(tsr_fn_size(c, count, 0, n), TSR_OK);
    CHECK_EQ(tsr_fn_size(c, k, 0, m), TSR_OK);
    CHECK_EQ(tsr_fn_size(c, k, 0, m), TSR_OK);
    CHECK_EQ(tsr_fn_size(c, k, 2, m), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "gives it no value");
    CHECK_EQ(tsr_fn_size(c, x, 0, m), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "gives it no value");
    tsr_node *r[2] = {tsr_prim_iota(c, tsr_type_tensor(c, TSR_I32, 1, &sum), 0), tsr_sum(c, x, 1, (int[]){1}, false)};
    tsr_fn *f = tsr_fn_end(c, 2, r);
    if (!CHECK(f != NULL)) CHECK_OK(c);
    for (int i = 0; f && i < 12; i++) {
        int32_t rows = (int32_t)test_int(0, 9);
        int64_t half[2] = {i == 11 ? 4 : test_int(1, 5), -7};
        test_case("n=%d m=%d", (int)rows, (int)half[0]);
        tsr_node *arg[3] = {tsr_tensor(c, TSR_I32, 0, NULL, &rows), random_f32(c, 2, (int64_t[]){rows, 2 * half[0]}),
                            tsr_tensor(c, TSR_I64, 1, (int64_t[]){2}, half)}, *got[2], *want[2];
        if (i == 11) arg[1] = random_f32(c, 2, (int64_t[]){rows, 7});
        CHECK_EQ(tsr_run(c, f, 3, arg, got), i == 11 ? TSR_EINVAL : TSR_OK);
        if (i == 11) CHECK_ERROR(c, TSR_EINVAL, "axis 1 must be 8");
        CHECK_EQ(tsr_interpret(c, f, 3, arg, want), i == 11 ? TSR_EINVAL : TSR_OK);
        if (i == 11) CHECK_ERROR(c, TSR_EINVAL, "axis 1 must be 8");
        if (i == 11) break;
        CHECK_EQ(tsr_node_dim(got[0], 0), rows + half[0]);
        check_same(c, got[0], want[0], 0, 0);
        check_same(c, got[1], want[1], 1e-5, 1e-6);
    }
    CHECK_OK(c);
    tsr_fn_free(c, f);
}

TEST(results_may_be_parameters_literals_and_parts) {
    tsr_ctx *c = test_ctx();
    CHECK_EQ(tsr_fn_begin(c, "pass"), TSR_OK);
    tsr_node *x = tsr_param(c, tsr_type_dims(c, TSR_F32, 1, (int64_t[]){6}), "x");
    tsr_node *y = tsr_add(c, x, x), *three = tsr_scalar_float(c, TSR_F32, 3);
    tsr_node *r[6] = {x, three, y, tsr_reshape(c, y, 2, (int64_t[]){2, 3}), y, tsr_slice(c, y, 0, 2, 4, 1)};
    tsr_fn *f = tsr_fn_end(c, 6, r);
    tsr_node *in = random_f32(c, 1, (int64_t[]){6}), *got[6], *want[6];
    CHECK_EQ(tsr_run(c, f, 1, &in, got), TSR_OK);
    CHECK_EQ(tsr_interpret(c, f, 1, &in, want), TSR_OK);
    CHECK_OK(c);
    for (int i = 0; i < 6; i++) {
        test_case("result %d", i);
        check_same(c, got[i], want[i], 0, 0);
    }
    tsr_fn_free(c, f);
}

/* ---- control flow ---- */

TEST(loops_and_branches_match_the_interpreter) {
    tsr_ctx *c = test_ctx();
    const tsr_type *vec = tsr_type_dims(c, TSR_F32, 1, (int64_t[]){4}), *i32 = tsr_type_dims(c, TSR_I32, 0, NULL);
    CHECK_EQ(tsr_fn_begin(c, "outer"), TSR_OK);
    tsr_node *x = tsr_param(c, vec, "x"), *n = tsr_param(c, i32, "n"),
        *xs = tsr_param(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){5, 4}), "xs");
    tsr_fn_begin(c, "cond");
    tsr_node *i = tsr_param(c, i32, "i"), *v = tsr_param(c, vec, "v"), *go = tsr_lt(c, i, n);
    tsr_fn *cond = tsr_fn_end(c, 1, &go);
    tsr_fn_begin(c, "body");
    i = tsr_param(c, i32, "i"), v = tsr_param(c, vec, "v");
    tsr_node *half = tsr_mul(c, v, tsr_num(c, v, 0.5));
    tsr_node *next[2] = {tsr_add(c, i, tsr_scalar_int(c, TSR_I32, 1)), tsr_add(c, half, x)};
    tsr_fn *body = tsr_fn_end(c, 2, next);
    tsr_node *init[2] = {tsr_scalar_int(c, TSR_I32, 0), x}, *w = tsr_prim_while(c, cond, body, 2, init, 0);
    tsr_fn_begin(c, "turn");
    tsr_node *carry = tsr_param(c, vec, "carry"), *slice = tsr_param(c, vec, "slice");
    tsr_node *out[2] = {tsr_add(c, tsr_mul(c, carry, slice), x), tsr_sub(c, carry, slice)};
    tsr_fn *turn = tsr_fn_end(c, 2, out);
    tsr_node *sc = tsr_prim_scan(c, turn, 1, &x, 1, &xs, tsr_extent_int(c, 5), true);
    tsr_fn *branch[3];
    for (int b = 0; b < 3; b++) {
        tsr_fn_begin(c, "branch");
        tsr_node *a = tsr_param(c, vec, "a"), *r = b == 0 ? tsr_neg(c, a) : b == 1 ? tsr_mul(c, a, x) : a;
        branch[b] = tsr_fn_end(c, 1, &r);
    }
    tsr_node *k = tsr_prim_cond(c, n, 3, branch, 1, &x);
    tsr_node *res[5] = {tsr_item(c, w, 0), tsr_item(c, w, 1), tsr_item(c, sc, 0), tsr_item(c, sc, 1),
        tsr_item(c, k, 0)};
    tsr_fn *f = tsr_fn_end(c, 5, res);
    if (!CHECK(f != NULL)) CHECK_OK(c);
    for (int turns = -1; f && turns < 7; turns++) {
        test_case("n = %d", turns);
        tsr_node *arg[3] = {random_f32(c, 1, (int64_t[]){4}), tsr_tensor(c, TSR_I32, 0, NULL, &(int32_t){turns}),
                            random_f32(c, 2, (int64_t[]){5, 4})}, *got[5], *want[5];
        CHECK_EQ(tsr_run(c, f, 3, arg, got), TSR_OK);
        CHECK_EQ(tsr_interpret(c, f, 3, arg, want), TSR_OK);
        CHECK_OK(c);
        for (int j = 1; j < 5; j++) check_same(c, got[j], want[j], 1e-5, 1e-6);
        CHECK_CLOSE(tsr_read_scalar(c, got[0]), turns < 0 ? 0 : turns, 0, 0);
    }
    tsr_fn_free(c, f), tsr_fn_free(c, cond), tsr_fn_free(c, body), tsr_fn_free(c, turn);
    for (int b = 0; b < 3; b++) tsr_fn_free(c, branch[b]);
}

/* ---- threads: the same bits ---- */

static void deep_bits(int threads, uint64_t seed, float *out /* (3, 64) */) {
    tsr_config k = {.threads = threads};
    tsr_ctx *c = test_ctx_with(&k);
    struct rng r = {.seed = seed};
    float *p = mem_array(c, 70000, sizeof *p);
    for (int i = 0; i < 70000; i++) p[i] = (float)rng_uniform(&r) - 0.5f;
    tsr_node *x = tsr_tensor(c, TSR_F32, 2, (int64_t[]){100, 300}, p),
        *w = tsr_tensor(c, TSR_F32, 2, (int64_t[]){300, 133}, p + 30000);
    tsr_node *y = tsr_gelu(c, tsr_layer_norm(c, tsr_matmul(c, x, w), 1, NULL, NULL, 1e-5), false);
    tsr_node *s = tsr_sum(c, tsr_softmax(c, y, -1), 1, (int[]){0}, false);
    tsr_node *img = tsr_tensor(c, TSR_F32, 4, (int64_t[]){2, 3, 33, 29}, p),
        *ker = tsr_tensor(c, TSR_F32, 4, (int64_t[]){7, 3, 3, 3}, p + 40000);
    tsr_node *cv = tsr_sum(c, tsr_conv(c, img, ker, NULL, NULL, (int64_t[]){1, 1}, NULL, 1), 3, (int[]){0, 2, 3},
        false);
    tsr_node *all = tsr_sum(c, y, 0, NULL, false);
    CHECK_EQ(tsr_eval(c, 3, (tsr_node *[]){s, cv, all}), TSR_OK);
    CHECK_OK(c);
    float full[133];
    memset(out, 0, 3 * 64 * sizeof *out);
    tsr_read(c, s, full, sizeof full);
    memcpy(out, full, 64 * sizeof *out);
    tsr_read(c, cv, out + 64, 7 * sizeof *out);
    tsr_read(c, all, out + 128, sizeof *out);
    mem_array_free(c, p, 70000, sizeof *p);
    test_ctx_close(c);
}

TEST(one_two_and_seven_threads_give_the_same_bits) {
    float one[192], other[192];
    uint64_t seed = (uint64_t)test_int(1, 1 << 30);
    deep_bits(1, seed, one);
    for (int t = 2; t <= 7; t += 5) {
        test_case("%d threads", t);
        deep_bits(t, seed, other);
        CHECK_BYTES(other, one, sizeof one);
    }
}

/* A row of x, alone and among others, through contractions, rows and windows: if the blocking or the tier leaked into
 * the order of a sum, some bit would differ. */
static void batch_bits(tsr_ctx *c, tsr_node *x, tsr_node *w, tsr_node *ker, tsr_node **out) {
    tsr_node *h = tsr_gelu(c, tsr_layer_norm(c, tsr_matmul(c, x, w), 1, NULL, NULL, 1e-5), true);
    int64_t B = tsr_node_dim(x, 0);
    tsr_node *q = tsr_reshape(c, x, 4, (int64_t[]){B, 4, 25, 7});
    out[0] = tsr_softmax(c, h, -1);
    out[1] = tsr_attention(c, q, q, q, &(tsr_attention_opts){.causal = true});
    out[2] = tsr_conv(c, q, ker, NULL, NULL, (int64_t[]){1, 1}, NULL, 1);
    out[3] = tsr_sum(c, x, 1, (int[]){1}, false);
    out[4] = tsr_linear(c, x, tsr_transpose(c, w, NULL), NULL);
}

TEST(a_row_does_not_depend_on_the_batch) {
    enum { ROWS = 37, OUTS = 5 };
    tsr_ctx *c = test_ctx();
    tsr_node *x = random_f32(c, 2, (int64_t[]){ROWS, 700}), *w = random_f32(c, 2, (int64_t[]){700, 91});
    tsr_node *ker = random_f32(c, 4, (int64_t[]){6, 4, 3, 3}), *all[OUTS], *one[OUTS];
    batch_bits(c, x, w, ker, all);
    CHECK_EQ(tsr_eval(c, OUTS, all), TSR_OK);
    for (int n = 0; n < 6; n++) {
        int64_t row = test_int(0, ROWS - 1), rows = n < 3 ? 1 : test_int(1, ROWS - row);
        test_case("rows %d to %d of %d", (int)row, (int)(row + rows - 1), ROWS);
        batch_bits(c, tsr_slice(c, x, 0, row, row + rows, 1), w, ker, one);
        CHECK_EQ(tsr_eval(c, OUTS, one), TSR_OK);
        CHECK_OK(c);
        for (int i = 0; i < OUTS; i++) {
            size_t bytes = (size_t)count_of(all[i]) / ROWS * sizeof(float);
            char *some = mem_alloc(c, bytes * (size_t)rows), *whole = mem_alloc(c, bytes * ROWS);
            CHECK_EQ(tsr_read(c, one[i], some, bytes * (size_t)rows), TSR_OK);
            CHECK_EQ(tsr_read(c, all[i], whole, bytes * ROWS), TSR_OK);
            CHECK_BYTES(some, whole + bytes * (size_t)row, bytes * (size_t)rows);
            mem_free(c, some, bytes * (size_t)rows), mem_free(c, whole, bytes * ROWS);
        }
    }
}

/* ---- checking modes ---- */

TEST(nan_mode_names_the_op) {
    setenv("TSR_NAN", "1", 1);
    tsr_ctx *c = test_ctx();
    tsr_node *x = tsr_tensor(c, TSR_F32, 1, (int64_t[]){3}, (float[]){1, -1, 2}),
        *y = tsr_sum(c, tsr_log(c, x), 0, NULL, false);
    CHECK(tsr_eval(c, 1, &y) == TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK, "NaN");
    test_ctx_close(c);
    unsetenv("TSR_NAN");
}

TEST(check_mode_agrees_with_the_reference) {
    setenv("TSR_CHECK", "2", 1);
    float out[192];
    deep_bits(2, 7, out);
    unsetenv("TSR_CHECK");
}

TEST(null_device_runs_everything) {
    tsr_config k = {.device = "null"};
    tsr_ctx *c = test_ctx_with(&k);
    tsr_node *x = random_f32(c, 2, (int64_t[]){30, 40}),
        *y = tsr_softmax(c, tsr_matmul(c, x, tsr_transpose(c, x, NULL)), -1);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
    CHECK(tsr_stats(c).launches > 0);
    CHECK_OK(c);
}

/* ---- what is not there ---- */

static void refused(tsr_ctx *c, tsr_status s, const char *asked) {
    test_case("%s", asked);
    CHECK_EQ(s, TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, asked);
}

TEST(a_fn_that_could_not_be_made_is_an_error_not_a_crash) {
    tsr_ctx *c = test_ctx();
    tsr_node *out = NULL;
    tsr_plan_info info;
    int zero = 0;
    refused(c, tsr_run(c, NULL, 0, NULL, &out), "run: the fn is NULL");
    refused(c, tsr_interpret(c, NULL, 0, NULL, &out), "interpret: the fn is NULL");
    refused(c, tsr_plan_measure(c, NULL, &info), "plan: the fn is NULL");
    refused(c, tsr_engine_save(c, test_path("none.tsr"), NULL), "engine: the fn is NULL");
    refused(c, tsr_verify(c, NULL), "verify: the fn is NULL");
    refused(c, tsr_plan_text(c, NULL) ? TSR_OK : TSR_EINVAL, "plan: the fn is NULL");
    refused(c, tsr_fn_print(c, NULL) ? TSR_OK : TSR_EINVAL, "print: the fn is NULL");
    refused(c, tsr_stablehlo_text(c, NULL) ? TSR_OK : TSR_EINVAL, "export: the fn is NULL");
    refused(c, tsr_grad_fn(c, NULL, 1, &zero, true) ? TSR_OK : TSR_EINVAL, "gradient: the fn is NULL");
    refused(c, tsr_vjp(c, NULL) ? TSR_OK : TSR_EINVAL, "vjp: the fn is NULL");
    refused(c, tsr_jvp(c, NULL) ? TSR_OK : TSR_EINVAL, "jvp: the fn is NULL");
    refused(c, tsr_hessian(c, NULL, 0) ? TSR_OK : TSR_EINVAL, "hessian: the fn is NULL");
    refused(c, tsr_vmap(c, NULL, NULL, NULL, tsr_extent_int(c, 2)) ? TSR_OK : TSR_EINVAL, "vmap: the fn is NULL");
    refused(c, (tsr_checkpoint(c, NULL, 0, NULL, &out), tsr_error_status(c)), "checkpoint: the fn is NULL");
    refused(c, (tsr_fn_call(c, NULL, 0, NULL, &out), tsr_error_status(c)), "call: the fn is NULL");
    refused(c, (tsr_fn_inline(c, NULL, 0, NULL, &out), tsr_error_status(c)), "inline: the fn is NULL");
    refused(c, tsr_eval(c, 1, &out), "node 0 is missing");
    refused(c, tsr_eval_vars(c, 1, &(tsr_var *){NULL}, 0, NULL), "node 0 is missing");
    refused(c, (tsr_var_read(c, NULL), tsr_error_status(c)), "read of a variable: it is NULL");
    refused(c, tsr_var_assign(c, NULL, NULL), "assign to a variable: it is NULL");
    CHECK_EQ(tsr_fn_results(NULL) + tsr_fn_params(NULL), 0);
    CHECK_EQ(tsr_engine_run(NULL, 0, NULL, &out), TSR_EINVAL);
}

TEST(the_first_error_stays_when_its_fn_is_run) {
    tsr_ctx *c = test_ctx();
    tsr_node *x = random_f32(c, 2, (int64_t[]){3, 4}), *y;
    CHECK_EQ(tsr_fn_begin(c, "wrong"), TSR_OK);
    tsr_node *z = tsr_matmul(c, x, x);
    tsr_fn *f = tsr_fn_end(c, 1, &z);
    CHECK(!f && tsr_run(c, f, 0, NULL, &y) != TSR_OK);
    CHECK_ERROR(c, TSR_EINVAL, "matmul");
}

/* ---- torture ---- */

static bool run_small_net(tsr_ctx *c, void *arg) {
    (void)arg;
    bool ok = false;
    tsr_scope *s = tsr_scope_begin(c);
    struct net n = {0};
    tsr_fn *f = NULL;
    float data[12] = {1, 2, 3, 4, 5, 6, -1, -2, -3, 0.5f, 0.25f, 1};
    int32_t label[4] = {0, 1, 1, 0};
    if (!s) return false;
    n.w1 = tsr_var_new(c, "w1", tsr_tensor(c, TSR_F32, 2, (int64_t[]){3, 2}, data));
    n.b1 = tsr_var_new(c, "b1", tsr_tensor(c, TSR_F32, 1, (int64_t[]){2}, data));
    n.w2 = tsr_var_new(c, "w2", tsr_tensor(c, TSR_F32, 2, (int64_t[]){2, 2}, data));
    if (!n.w1 || !n.b1 || !n.w2) goto out;
    if (!(f = net_step(c, &n, tsr_extent_int(c, 4)))) goto out;
    tsr_node *loss, *labels = tsr_tensor(c, TSR_I32, 1, (int64_t[]){4}, label);
    tsr_node *in[2] = {tsr_tensor(c, TSR_F32, 2, (int64_t[]){4, 3}, data), labels};
    ok = tsr_run(c, f, 2, in, &loss) == TSR_OK && isfinite(tsr_read_scalar(c, loss));
out:
    tsr_fn_free(c, f);
    net_free(c, &n);
    tsr_scope_end(c, s);
    return ok;
}

TEST(every_failing_allocation_of_a_training_step_is_clean) { torture(run_small_net, NULL); }
