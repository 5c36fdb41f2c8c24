/* test_cluster.c: how many kernels known expressions become. */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "compile/plan.h"
#include "tessera/ops.h"
#include "tessera/transform.h"

static tsr_plan *plan_of(tsr_ctx *c, tsr_fn *f, bool fuse) {
    struct compile_opts o = {.fuse = fuse, .check = 1};
    tsr_plan *p = f ? compile_fn(c, f, &o) : NULL;
    CHECK_OK(c);
    if (p && getenv("SHOW")) {
        struct str s;
        str_init(&s, c);
        plan_print(&s, p);
        puts(s.s);
        str_release(&s);
        for (size_t i = 0; i < p->step.n; i++) if (p->step.v[i].program && getenv("SHOW")[0] == '2') {
            char *t = tsr_tile_print(p->step.v[i].program);
            puts(t);
            tsr_text_free(c, t);
        }
    }
    return p;
}

static int kernels(const tsr_plan *p) {
    int n = 0;
    for (size_t i = 0; p && i < p->step.n; i++) n += p->step.v[i].kind == STEP_KERNEL;
    return n;
}

static tsr_node *param(tsr_ctx *c, int rank, const int64_t *dim, const char *name) {
    return tsr_param(c, tsr_type_dims(c, TSR_F32, rank, dim), name);
}

TEST(softmax_affine) {
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "softmax_affine");
    const tsr_extent *e[2] = {tsr_extent_symbol(c, "B", 1, 1 << 20), tsr_extent_int(c, 1000)};
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, e), "x");
    tsr_node *w = param(c, 1, (int64_t[]){1000}, "w"), *b = param(c, 1, (int64_t[]){1000}, "b");
    tsr_node *y = tsr_softmax(c, tsr_add(c, tsr_mul(c, x, w), b), -1);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    tsr_plan *p = plan_of(c, f, true), *q = plan_of(c, f, false);
    CHECK_EQ(kernels(p), 1);
    printf("softmax(x*w+b): %d kernels, %d without clusters\n", kernels(p), kernels(q));
    plan_free(p), plan_free(q);
    tsr_fn_free(c, f);
}

TEST(layer_norm_gelu) {
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "layer_norm_gelu");
    tsr_node *x = param(c, 2, (int64_t[]){64, 768}, "x"), *w = param(c, 1, (int64_t[]){768}, "w"), *b = param(c, 1,
        (int64_t[]){768}, "b");
    tsr_node *y = tsr_gelu(c, tsr_layer_norm(c, x, 1, w, b, 1e-5), false);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    tsr_plan *p = plan_of(c, f, true), *q = plan_of(c, f, false);
    CHECK_EQ(kernels(p), 1);
    printf("layer_norm+gelu: %d kernels, %d without clusters\n", kernels(p), kernels(q));
    plan_free(p), plan_free(q);
    tsr_fn_free(c, f);
}

TEST(mlp_step) {
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "loss");
    tsr_node *x = param(c, 2, (int64_t[]){128, 784}, "x"), *t = tsr_param(c, tsr_type_dims(c, TSR_I32, 1,
        (int64_t[]){128}), "t");
    tsr_node *w1 = param(c, 2, (int64_t[]){256, 784}, "w1"), *b1 = param(c, 1, (int64_t[]){256}, "b1");
    tsr_node *w2 = param(c, 2, (int64_t[]){10, 256}, "w2"), *b2 = param(c, 1, (int64_t[]){10}, "b2");
    tsr_node *h = tsr_relu(c, tsr_linear(c, x, w1, b1));
    tsr_node *l = tsr_cross_entropy(c, tsr_linear(c, h, w2, b2), t, 0, -100, TSR_LOSS_MEAN);
    tsr_node *wrt[4] = {w1, b1, w2, b2}, *g[4], *out[5] = {l};
    CHECK(tsr_grad(c, l, 4, wrt, g) == TSR_OK);
    for (int i = 0; i < 4; i++) out[1 + i] = tsr_sub(c, wrt[i], tsr_mul(c, g[i], tsr_num(c, wrt[i], 0.1)));
    tsr_fn *f = tsr_fn_end(c, 5, out);
    tsr_plan *p = plan_of(c, f, true), *q = plan_of(c, f, false);
    CHECK(kernels(p) <= 12);
    printf("MLP step: %d kernels of %zu steps, %d of %zu without clusters\n", kernels(p), p ? p->step.n : 0, kernels(q),
        q ? q->step.n : 0);
    plan_free(p), plan_free(q);
    tsr_fn_free(c, f);
}

/* What the gradient of gelu needs is a function of its argument: the forward product stores that and the result. */
TEST(a_gradient_computes_cheap_values_again) {
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "gelu_step");
    tsr_node *x = param(c, 2, (int64_t[]){128, 64}, "x"), *w = param(c, 2, (int64_t[]){256, 64}, "w");
    tsr_node *b = param(c, 1, (int64_t[]){256}, "b"), *v = param(c, 2, (int64_t[]){10, 256}, "v");
    tsr_node *y = tsr_linear(c, tsr_gelu(c, tsr_linear(c, x, w, b), true), v, NULL);
    tsr_node *l = tsr_mean(c, tsr_square(c, y), 0, NULL, false), *wrt[3] = {w, b, v}, *out[4] = {l};
    CHECK(tsr_grad(c, l, 3, wrt, out + 1) == TSR_OK);
    tsr_fn *f = tsr_fn_end(c, 4, out);
    tsr_plan *p = plan_of(c, f, true);
    for (size_t i = 0; p && i < p->step.n; i++) {
        int writes = 0;
        for (int j = 0; j < p->step.v[i].narg; j++) writes += p->step.v[i].arg[j].writes;
        CHECK_MSG(writes <= 2, "step %zu (%s) writes %d tensors", i, p->step.v[i].label, writes);
    }
    plan_free(p);
    tsr_fn_free(c, f);
}

/* ---- memory runs out ---- */

static bool compile_small(tsr_ctx *c, void *arg) {
    (void)arg;
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_plan *p = NULL;
    if (scope && tsr_fn_begin(c, "small") == TSR_OK) {
        tsr_node *x = param(c, 2, (int64_t[]){5, 12}, "x"), *w = param(c, 2, (int64_t[]){12, 12}, "w");
        tsr_node *y = tsr_pad(c, tsr_softmax(c, tsr_matmul(c, x, w), -1), (int64_t[]){1, 0}, (int64_t[]){0, 1}, 0);
        y = tsr_cumsum(c, y, 1);
        tsr_node *out[2] = {y, tsr_sum(c, param(c, 1, (int64_t[]){300001}, "long"), 0, NULL, false)};
        tsr_fn *f = tsr_fn_end(c, 2, out);
        struct compile_opts o = {.fuse = true, .check = 1};
        if (f) p = compile_fn(c, f, &o);
        tsr_fn_free(c, f);
    }
    bool ok = p != NULL;
    if (p) plan_free(p);
    if (scope) tsr_scope_end(c, scope);
    return ok;
}

TEST(every_allocation_may_fail) { CHECK(torture(compile_small, NULL) > 100); }
