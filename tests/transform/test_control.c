/* test_control.c: the transformations of ops with bodies, and of each other: calls, branches, scans, whiles; captured
 * values; custom gradients, checkpoints, stop_gradient; Hessians; what is refused; every allocation failing. */
#include <stdio.h>

#include "support.h"

static const tsr_type *f64(tsr_ctx *c, int rank, const int64_t *dim) { return tsr_type_dims(c, TSR_F64, rank, dim); }
static const tsr_type *vec(tsr_ctx *c, int64_t n) { return f64(c, 1, &n); }
static tsr_node *half(tsr_ctx *c, tsr_node *x) { return tsr_mul(c, x, tsr_num(c, x, 0.5)); }

/* ---- fns under test: each builds one closed fn of vectors of 3 ---- */

/* sum_t tanh(w h + x_t) with w captured by the body. */
static tsr_fn *recurrent(tsr_ctx *c) {
    tsr_fn_begin(c, "recurrent");
    tsr_node *w = tsr_param(c, vec(c, 3), "w"), *h = tsr_param(c, vec(c, 3), "h"),
        *xs = tsr_param(c, f64(c, 2, (int64_t[]){4, 3}), "xs");
    tsr_fn_begin(c, "step");
    tsr_node *carry = tsr_param(c, vec(c, 3), "carry"), *x = tsr_param(c, vec(c, 3), "x");
    tsr_node *next = tsr_tanh(c, tsr_add(c, tsr_mul(c, w, carry), x)), *r[2] = {next, tsr_mul(c, next, w)};
    tsr_fn *body = tsr_fn_end(c, 2, r);
    tsr_node *scan = tsr_prim_scan(c, body, 1, &h, 1, &xs, tsr_extent_int(c, 4), false),
        *out[2] = {tsr_item(c, scan, 0), tsr_item(c, scan, 1)};
    tsr_fn_free(c, body);
    return tsr_fn_end(c, 2, out);
}

/* The same from the end, with an integer carry that counts. */
static tsr_fn *reversed(tsr_ctx *c) {
    tsr_fn_begin(c, "reversed");
    tsr_node *w = tsr_param(c, vec(c, 3), "w"), *xs = tsr_param(c, f64(c, 2, (int64_t[]){5, 3}), "xs");
    tsr_fn_begin(c, "step");
    tsr_node *n = tsr_param(c, tsr_type_dims(c, TSR_I32, 0, NULL), "n"), *carry = tsr_param(c, vec(c, 3), "carry"),
        *x = tsr_param(c, vec(c, 3), "x");
    tsr_node *scaled = tsr_mul(c, x, tsr_cast(c, n, TSR_F64));
    tsr_node *r[3] = {tsr_add(c, n, tsr_scalar_int(c, TSR_I32, 1)),
        tsr_sin(c, tsr_add(c, tsr_mul(c, carry, w), scaled)), scaled};
    tsr_fn *body = tsr_fn_end(c, 3, r);
    tsr_node *init[2] = {tsr_scalar_int(c, TSR_I32, 1), tsr_exp(c, w)};
    tsr_node *scan = tsr_prim_scan(c, body, 2, init, 1, &xs, tsr_extent_int(c, 5), true);
    tsr_node *out[2] = {tsr_item(c, scan, 1), tsr_item(c, scan, 2)};
    tsr_fn_free(c, body);
    return tsr_fn_end(c, 2, out);
}

/* Branches that capture different values; the index is the sign of the first element. */
static tsr_fn *branching(tsr_ctx *c) {
    tsr_fn_begin(c, "branching");
    tsr_node *x = tsr_param(c, vec(c, 3), "x"), *y = tsr_param(c, vec(c, 3), "y"), *z = tsr_param(c, vec(c, 3), "z");
    tsr_fn *branch[2];
    for (int k = 0; k < 2; k++) {
        tsr_fn_begin(c, k ? "then" : "else");
        tsr_node *p = tsr_param(c, vec(c, 3), "p"), *r = k ? tsr_mul(c, p, tsr_exp(c, y)) :
            tsr_mul(c, tsr_sin(c, p), z);
        branch[k] = tsr_fn_end(c, 1, &r);
    }
    tsr_node *first = tsr_select(c, x, 0, 0), *arg = tsr_mul(c, x, x);
    tsr_node *cond = tsr_prim_cond(c, tsr_gt(c, first, tsr_num(c, first, 0)), 2, branch, 1, &arg),
        *out = tsr_item(c, cond, 0);
    tsr_fn_free(c, branch[0]), tsr_fn_free(c, branch[1]);
    return tsr_fn_end(c, 1, &out);
}

/* while (i < limit) x = sin(x) w + x; limit turns of at most 6. */
static tsr_fn *looping_by(tsr_ctx *c, int64_t trips) {
    tsr_fn_begin(c, "looping");
    tsr_node *x = tsr_param(c, vec(c, 3), "x"), *w = tsr_param(c, vec(c, 3), "w");
    const tsr_type *i32 = tsr_type_dims(c, TSR_I32, 0, NULL);
    tsr_fn_begin(c, "more");
    tsr_node *i = tsr_param(c, i32, "i");
    tsr_param(c, vec(c, 3), "x");
    tsr_node *p = tsr_lt(c, i, tsr_scalar_int(c, TSR_I32, 4));
    tsr_fn *cond = tsr_fn_end(c, 1, &p);
    tsr_fn_begin(c, "turn");
    i = tsr_param(c, i32, "i");
    tsr_node *v = tsr_param(c, vec(c, 3), "x");
    tsr_node *r[2] = {tsr_add(c, i, tsr_scalar_int(c, TSR_I32, 1)),
        tsr_add(c, tsr_mul(c, tsr_sin(c, v), w), half(c, v))};
    tsr_fn *body = tsr_fn_end(c, 2, r);
    tsr_node *init[2] = {tsr_scalar_int(c, TSR_I32, 0), x}, *loop = tsr_prim_while(c, cond, body, 2, init, trips),
        *out = tsr_item(c, loop, 1);
    tsr_fn_free(c, cond), tsr_fn_free(c, body);
    return tsr_fn_end(c, 1, &out);
}
static tsr_fn *looping(tsr_ctx *c) { return looping_by(c, 6); }
static tsr_fn *unbounded(tsr_ctx *c) { return looping_by(c, 0); }

/* Each example runs until its own norm is small: a condition that differs under vmap. */
static tsr_fn *until_small(tsr_ctx *c) {
    tsr_fn_begin(c, "until_small");
    tsr_node *x = tsr_param(c, vec(c, 3), "x"), *w = tsr_param(c, vec(c, 3), "w");
    tsr_fn_begin(c, "more");
    tsr_node *v = tsr_param(c, vec(c, 3), "x"), *norm = tsr_sum(c, tsr_square(c, v), 0, NULL, false),
        *p = tsr_gt(c, norm, tsr_num(c, norm, 0.3));
    tsr_fn *cond = tsr_fn_end(c, 1, &p);
    tsr_fn_begin(c, "turn");
    v = tsr_param(c, vec(c, 3), "x");
    tsr_node *r = half(c, tsr_add(c, v, half(c, half(c, tsr_mul(c, tsr_sin(c, w), v)))));
    tsr_fn *body = tsr_fn_end(c, 1, &r);
    tsr_node *out = tsr_item(c, tsr_prim_while(c, cond, body, 1, &x, 20), 0);
    tsr_fn_free(c, cond), tsr_fn_free(c, body);
    return tsr_fn_end(c, 1, &out);
}

/* A fn that calls another twice, and softmax. */
static tsr_fn *calling(tsr_ctx *c) {
    tsr_fn_begin(c, "inner");
    tsr_node *a = tsr_param(c, vec(c, 3), "a"), *b = tsr_param(c, vec(c, 3), "b"),
        *r[2] = {tsr_mul(c, a, tsr_sin(c, b)), tsr_add(c, a, tsr_square(c, b))};
    tsr_fn *inner = tsr_fn_end(c, 2, r);
    tsr_fn_begin(c, "calling");
    tsr_node *x = tsr_param(c, vec(c, 3), "x"), *y = tsr_param(c, vec(c, 3), "y"), *in[2] = {x, y}, *out[2];
    if (!inner) return NULL;
    tsr_fn_call(c, inner, 2, in, out);
    in[0] = out[1], in[1] = out[0];
    tsr_fn_call(c, inner, 2, in, out);
    out[0] = tsr_mul(c, tsr_softmax(c, out[0], 0), out[1]);
    tsr_fn *f = tsr_fn_end(c, 1, out);
    tsr_fn_free(c, inner);
    return f;
}

/* A checkpointed call inside a scan. */
static tsr_fn *checkpointed(tsr_ctx *c) {
    tsr_fn_begin(c, "block");
    tsr_node *h = tsr_param(c, vec(c, 3), "h"), *w = tsr_param(c, vec(c, 3), "w"),
        *r = tsr_tanh(c, tsr_mul(c, tsr_exp(c, h), w));
    tsr_fn *block = tsr_fn_end(c, 1, &r);
    tsr_fn_begin(c, "checkpointed");
    tsr_node *x = tsr_param(c, vec(c, 3), "x"), *ws = tsr_param(c, f64(c, 2, (int64_t[]){3, 3}), "ws");
    tsr_fn_begin(c, "step");
    tsr_node *in[2] = {tsr_param(c, vec(c, 3), "h"), tsr_param(c, vec(c, 3), "w")}, *next;
    if (!block) return NULL;
    tsr_checkpoint(c, block, 2, in, &next);
    tsr_fn *body = tsr_fn_end(c, 1, &next);
    tsr_node *out = tsr_item(c, tsr_prim_scan(c, body, 1, &x, 1, &ws, tsr_extent_int(c, 3), false), 0);
    tsr_fn_free(c, body), tsr_fn_free(c, block);
    return tsr_fn_end(c, 1, &out);
}

/* A scan inside a branch inside a scan. */
static tsr_fn *nested(tsr_ctx *c) {
    tsr_fn_begin(c, "nested");
    tsr_node *x = tsr_param(c, vec(c, 3), "x"), *w = tsr_param(c, vec(c, 3), "w"),
        *xs = tsr_param(c, f64(c, 2, (int64_t[]){2, 3}), "xs");
    tsr_fn_begin(c, "outer");
    tsr_node *h = tsr_param(c, vec(c, 3), "h"), *u = tsr_param(c, vec(c, 3), "u");
    tsr_fn *branch[2], *body;
    for (int k = 0; k < 2; k++) {
        tsr_fn_begin(c, "branch");
        tsr_fn_begin(c, "inner");
        tsr_node *g = tsr_param(c, vec(c, 3), "g"), *v = k ? tsr_sin(c, tsr_mul(c, g, w)) : half(c, tsr_mul(c, g, u));
        body = tsr_fn_end(c, 1, &v);
        tsr_node *r = tsr_item(c, tsr_prim_scan(c, body, 1, &h, 0, NULL, tsr_extent_int(c, 2), false), 0);
        tsr_fn_free(c, body);
        branch[k] = tsr_fn_end(c, 1, &r);
    }
    tsr_node *first = tsr_select(c, u, 0, 1), *pick = tsr_cast(c, tsr_gt(c, first, tsr_num(c, first, 0)), TSR_I32);
    tsr_node *r = tsr_add(c, u, tsr_item(c, tsr_prim_cond(c, pick, 2, branch, 0, NULL), 0));
    body = tsr_fn_end(c, 1, &r);
    tsr_node *out = tsr_item(c, tsr_prim_scan(c, body, 1, &x, 1, &xs, tsr_extent_int(c, 2), false), 0);
    tsr_fn_free(c, body), tsr_fn_free(c, branch[0]), tsr_fn_free(c, branch[1]);
    return tsr_fn_end(c, 1, &out);
}

/* Perceptron with one hidden layer, sums of squares. */
static tsr_fn *perceptron(tsr_ctx *c) {
    tsr_fn_begin(c, "perceptron");
    tsr_node *x = tsr_param(c, f64(c, 2, (int64_t[]){4, 3}), "x"), *w = tsr_param(c, f64(c, 2, (int64_t[]){5, 3}), "w"),
        *b = tsr_param(c, vec(c, 5), "b");
    tsr_node *v = tsr_param(c, f64(c, 2, (int64_t[]){2, 5}), "v"), *h = tsr_gelu(c, tsr_linear(c, x, w, b), false);
    tsr_node *loss = tsr_mean(c, tsr_square(c, tsr_linear(c, h, v, NULL)), 0, NULL, false);
    return tsr_fn_end(c, 1, &loss);
}

typedef tsr_fn *maker(tsr_ctx *c);
static const struct { const char *name; maker *make; bool reverse; } cases[] = {
    {"scan", recurrent, true}, {"reverse scan", reversed, true}, {"cond", branching, true},
        {"bounded while", looping, true},
    {"while", unbounded, false}, {"while of each", until_small, true}, {"call", calling, true},
        {"checkpoint", checkpointed, true},
    {"nested", nested, true}, {"perceptron", perceptron, true},
};
enum { CASES = sizeof cases / sizeof *cases };

static void fill(tsr_ctx *c, const tsr_fn *f, struct arena *a, struct ref_tensor *x) {
    struct sample s;
    sample_init(&s, TSR_F64, test_rng(), 0);
    CHECK_EQ(sample_fill(&s, f, a, x), TSR_OK);
    (void)c;
}

/* <u, J t> by forward mode against differences. */
static void judge_forward(tsr_ctx *c, tsr_fn *f, const struct ref_tensor *x, struct arena *a) {
    struct ref_tensor in[MOST], u[MOST], y[MOST];
    int np = f->nparam, nr = f->nresult;
    tsr_fn *j = tsr_jvp(c, f);
    if (!CHECK_MSG(j != NULL, "jvp: %s", tsr_error_message(c)) || !run_fn(c, f, x, a, y)) return;
    for (int i = 0; i < np; i++) in[i] = x[i], random_like(a, &x[i], &in[np + i]);
    for (int i = 0; i < nr; i++) random_like(a, &y[i], &u[i]);
    double scale = 1, want = difference_along(c, f, x, in + np, u, 1e-6, a, &scale);
    if (run_fn(c, j, in, a, y)) {
        double got = pair(nr, u, y + nr, &scale);
        CHECK_MSG(isnan(want) || fabs(got - want) < 1e-6 * scale, "forward %.12g, differences %.12g", got, want);
    }
    tsr_fn_free(c, j);
}

TEST(derivatives_of_control_flow) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < CASES; k++)
        for (int order = 1; order <= 3; order++) {
            test_case("%s, order %d", cases[k].name, order);
            struct arena a;
            struct ref_tensor x[MOST];
            arena_init(&a, c);
            tsr_fn *f = cases[k].make(c);
            if (!CHECK_MSG(f != NULL, "%s", tsr_error_message(c))) { tsr_error_clear(c); arena_release(&a); continue; }
            for (int o = 1; o < order && cases[k].reverse; o++) { /* f becomes its own vjp */
                tsr_fn *v = tsr_vjp(c, f);
                CHECK_MSG(v != NULL, "%s", tsr_error_message(c));
                tsr_fn_free(c, f);
                if (!(f = v)) break;
            }
            if (f) {
                fill(c, f, &a, x);
                tsr_fn *v = cases[k].reverse ? tsr_vjp(c, f) : NULL, *j = v ? tsr_jvp(c, f) : NULL;
                if (!cases[k].reverse) judge_forward(c, f, x, &a);
                else if (CHECK_MSG(v && j, "%s", tsr_error_message(c))) {
                    CHECK_EQ(tsr_verify(c, v), TSR_OK);
                    CHECK_EQ(tsr_verify(c, j), TSR_OK);
                    judge(c, f, v, j, x, 1e-6, &a);
                }
                tsr_fn_free(c, v), tsr_fn_free(c, j);
            }
            tsr_fn_free(c, f);
            arena_release(&a);
            CHECK_OK(c);
        }
}

/* ---- vmap ---- */

enum { LANES = 4 };

/* Parameter i batched at axis 0 where flags say so; results against f on each example. */
static void judge_lanes(tsr_ctx *c, tsr_fn *f, int flags, const tsr_extent *size, struct arena *a) {
    struct ref_tensor lane[LANES][MOST], arg[MOST], got[MOST], want[MOST];
    int in[MOST], out[MOST];
    for (int l = 0; l < LANES; l++) fill(c, f, a, lane[l]);
    for (int i = 0; i < f->nparam; i++) {
        in[i] = flags >> i & 1 ? 0 : -1;
        int64_t dim[TSR_MAX_RANK] = {LANES};
        memcpy(dim + 1, lane[0][i].dim, sizeof *dim * (size_t)lane[0][i].rank);
        arg[i] = lane[0][i];
        if (in[i] == 0 && CHECK(ref_new(a, lane[0][i].dtype, lane[0][i].rank + 1, dim, &arg[i])))
            for (int l = 0; l < LANES; l++) memcpy(arg[i].p + (size_t)l * ref_bytes(&lane[l][i]), lane[l][i].p,
                                                   ref_bytes(&lane[l][i]));
        for (int l = 0; l < LANES && in[i] < 0; l++) lane[l][i] = lane[0][i];
    }
    for (int i = 0; i < f->nresult; i++) out[i] = 0;
    tsr_fn *v = tsr_vmap(c, f, in, out, size);
    if (!CHECK_MSG(v != NULL, "vmap: %s", tsr_error_message(c))) { tsr_error_clear(c); return; }
    CHECK_EQ(tsr_verify(c, v), TSR_OK);
    if (run_fn(c, v, arg, a, got))
        for (int l = 0; l < LANES; l++) {
            if (!run_fn(c, f, lane[l], a, want)) break;
            for (int i = 0; i < f->nresult; i++) {
                size_t each = (size_t)want[i].count;
                CHECK_EQ(got[i].count, (int64_t)each * LANES);
                for (size_t e = 0; e < each; e++)
                    if (!CHECK_CLOSE(ref_get(&got[i], (int64_t)((size_t)l * each + e)).re,
                                     ref_get(&want[i], (int64_t)e).re, 1e-11, 1e-12)) break;
            }
        }
    tsr_fn_free(c, v);
}

TEST(vmap_of_control_flow) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < CASES; k++)
        for (int flags = 1; flags < 8; flags++)
            for (int what = 0; what < 3; what++) { /* f, its gradient, the same with a symbolic batch */
                struct arena a;
                tsr_fn *f = cases[k].make(c);
                if (f && (flags >= 1 << f->nparam || (what && !cases[k].reverse))) { tsr_fn_free(c, f); continue; }
                test_case("%s, batched %d, %s", cases[k].name, flags, what == 0 ? "value" : what == 1 ? "gradient" :
                          "symbolic");
                arena_init(&a, c);
                if (what == 1 && CHECK(f != NULL)) {
                    tsr_fn *v = tsr_vjp(c, f);
                    tsr_fn_free(c, f);
                    f = v;
                }
                if (CHECK_MSG(f != NULL, "%s", tsr_error_message(c)))
                    judge_lanes(c, f, flags, what == 2 ? tsr_extent_symbol(c, "B", 0, 1000) : tsr_extent_int(c, LANES),
                                &a);
                tsr_fn_free(c, f);
                arena_release(&a);
                CHECK_OK(c);
            }
}

/* gradient of a vmap, and a vmap of a vmap */
TEST(transformations_compose) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < CASES; k++) {
        if (!cases[k].reverse) continue;
        test_case("gradient of vmap of %s", cases[k].name);
        struct arena a;
        struct ref_tensor x[MOST];
        int in[MOST];
        arena_init(&a, c);
        tsr_fn *f = cases[k].make(c), *m = NULL, *v = NULL, *j = NULL, *mm = NULL;
        for (int i = 0; f && i < f->nparam; i++) in[i] = i == 0 ? -1 : 0;
        if (f && (m = tsr_vmap(c, f, in, NULL, tsr_extent_int(c, 2))) && (v = tsr_vjp(c, m)) && (j = tsr_jvp(c, m))) {
            fill(c, m, &a, x);
            judge(c, m, v, j, x, 1e-6, &a);
        }
        CHECK_MSG(j != NULL, "%s", tsr_error_message(c));
        if (m && CHECK((mm = tsr_vmap(c, m, NULL, NULL, tsr_extent_int(c, 3))) != NULL)) judge_lanes(c, m, 1,
                tsr_extent_int(c, LANES), &a);
        tsr_fn_free(c, f), tsr_fn_free(c, m), tsr_fn_free(c, v), tsr_fn_free(c, j), tsr_fn_free(c, mm);
        arena_release(&a);
        CHECK_OK(c);
    }
}

/* ---- known answers ---- */

static struct ref_tensor of(struct arena *a, int rank, const int64_t *dim, const double *v) {
    struct ref_tensor t;
    if (!CHECK(ref_new(a, TSR_F64, rank, dim, &t))) return t;
    for (int64_t i = 0; i < t.count; i++) ref_set(&t, i, (struct ref_val){.re = v[i]});
    return t;
}

static double value_at(const struct ref_tensor *t, int64_t i) { return ref_get(t, i).re; }

TEST(hessian_of_rosenbrock) {
    tsr_ctx *c = test_ctx();
    struct arena a;
    arena_init(&a, c);
    tsr_fn_begin(c, "rosenbrock");
    tsr_node *p = tsr_param(c, vec(c, 2), "p"), *x = tsr_select(c, p, 0, 0), *y = tsr_select(c, p, 0, 1);
    tsr_node *u = tsr_sub(c, tsr_num(c, x, 1), x), *v = tsr_sub(c, y, tsr_mul(c, x, x));
    tsr_node *r = tsr_add(c, tsr_mul(c, u, u), tsr_mul(c, tsr_num(c, v, 100), tsr_mul(c, v, v)));
    tsr_fn *f = tsr_fn_end(c, 1, &r), *g = tsr_grad_fn(c, f, 0, NULL, true), *h = tsr_hessian(c, f, 0);
    if (CHECK_MSG(g && h, "%s", tsr_error_message(c))) {
        double at[2] = {1.3, -0.4}, a0 = at[0], b0 = at[1];
        struct ref_tensor in = of(&a, 1, (int64_t[]){2}, at), out[2];
        if (run_fn(c, g, &in, &a, out)) {
            CHECK_CLOSE(value_at(&out[0], 0), (1 - a0) * (1 - a0) + 100 * (b0 - a0 * a0) * (b0 - a0 * a0), 1e-14, 0);
            CHECK_CLOSE(value_at(&out[1], 0), -2 * (1 - a0) - 400 * a0 * (b0 - a0 * a0), 1e-14, 0);
            CHECK_CLOSE(value_at(&out[1], 1), 200 * (b0 - a0 * a0), 1e-14, 0);
        }
        if (run_fn(c, h, &in, &a, out)) {
            double want[4] = {2 - 400 * (b0 - 3 * a0 * a0), -400 * a0, -400 * a0, 200};
            for (int i = 0; i < 4; i++) CHECK_CLOSE(value_at(&out[0], i), want[i], 1e-13, 0);
        }
    }
    tsr_fn_free(c, f), tsr_fn_free(c, g), tsr_fn_free(c, h);
    arena_release(&a);
}

/* A rule of one's own is used (it gives three times what is right), under vmap and forward mode too; inlining ignores
 * it. */
TEST(custom_gradient) {
    tsr_ctx *c = test_ctx();
    struct arena a;
    arena_init(&a, c);
    tsr_fn_begin(c, "square");
    tsr_node *x = tsr_param(c, vec(c, 3), "x"), *r = tsr_mul(c, x, x);
    tsr_fn *f = tsr_fn_end(c, 1, &r);
    tsr_fn_begin(c, "square_vjp");
    x = tsr_param(c, vec(c, 3), "x");
    tsr_node *g = tsr_param(c, vec(c, 3), "g"), *y;
    tsr_fn_call(c, f, 1, &x, &y); /* y = x^2: 6 x g is 6 y / x g */
    r = tsr_mul(c, g, tsr_mul(c, tsr_num(c, y, 6), tsr_div(c, y, x)));
    tsr_fn *rule = tsr_fn_end(c, 1, &r);
    CHECK_EQ(tsr_fn_set_vjp(c, f, rule), TSR_OK);
    for (int k = 0; k < 3; k++) {
        test_case("custom gradient %s", k == 0 ? "reverse" : k == 1 ? "forward" : "under vmap");
        int64_t dim[2] = {2, 3};
        double v[6] = {1, 2, 3, 4, 5, 6}, one[6] = {1, 1, 1, 1, 1, 1};
        tsr_fn_begin(c, "outer");
        x = tsr_param(c, vec(c, 3), "x");
        tsr_fn_call(c, f, 1, &x, &y);
        y = tsr_mul(c, y, tsr_num(c, y, 10));
        tsr_fn *outer = tsr_fn_end(c, 1, &y), *m = k == 2 ? tsr_vmap(c, outer, NULL, NULL, tsr_extent_int(c, 2)) :
            tsr_fn_keep(outer);
        tsr_fn *t = m ? (k == 1 ? tsr_jvp : tsr_vjp)(c, m) : NULL;
        struct ref_tensor in[2] = {of(&a, k == 2 ? 2 : 1, dim + (k != 2), v),
            of(&a, k == 2 ? 2 : 1, dim + (k != 2), one)}, out[2];
        if (CHECK_MSG(t != NULL, "%s", tsr_error_message(c)) && run_fn(c, t, in, &a, out))
            for (int i = 0; i < (k == 2 ? 6 : 3); i++) CHECK_CLOSE(value_at(&out[k == 1], i), 60 * v[i], 1e-14, 0);
        tsr_fn_free(c, outer), tsr_fn_free(c, m), tsr_fn_free(c, t);
    }
    tsr_fn_free(c, f), tsr_fn_free(c, rule);
    arena_release(&a);
    CHECK_OK(c);
}

/* Nothing passes stop_gradient; gradients of captured values and of what is not used; conversion passes them on. */
TEST(gradients_over_nodes) {
    tsr_ctx *c = test_ctx();
    struct arena a;
    arena_init(&a, c);
    tsr_fn_begin(c, "nodes");
    tsr_node *x = tsr_param(c, vec(c, 3), "x"), *y = tsr_param(c, vec(c, 3), "y"),
        *unused = tsr_param(c, vec(c, 3), "unused");
    tsr_node *wide = tsr_mul(c, tsr_stop_gradient(c, tsr_mul(c, x, y)), tsr_cast(c, tsr_cast(c, x, TSR_F32), TSR_F64));
    tsr_node *mid = tsr_add(c, wide, wide), *loss = tsr_sum(c, tsr_mul(c, mid, y), 0, NULL, false),
        *wrt[4] = {x, y, unused, mid}, *grad[4];
    CHECK_EQ(tsr_grad(c, loss, 4, wrt, grad), TSR_OK);
    tsr_fn *f = tsr_fn_end(c, 4, grad);
    double v[3] = {1, 2, 3}, w[3] = {0.5, -1, 4};
    struct ref_tensor in[3] = {of(&a, 1, (int64_t[]){3}, v), of(&a, 1, (int64_t[]){3}, w),
        of(&a, 1, (int64_t[]){3}, v)}, out[4];
    if (CHECK_MSG(f != NULL, "%s", tsr_error_message(c)) && run_fn(c, f, in, &a, out))
        for (int i = 0; i < 3; i++) {
            CHECK_CLOSE(value_at(&out[0], i), 2 * v[i] * w[i] * w[i], 1e-14, 0);
            CHECK_CLOSE(value_at(&out[1], i), 2 * v[i] * w[i] * v[i], 1e-14, 0);
            CHECK_CLOSE(value_at(&out[2], i), 0, 0, 0);
            CHECK_CLOSE(value_at(&out[3], i), w[i], 0, 0);
        }
    tsr_fn_free(c, f);
    arena_release(&a);
    CHECK_OK(c);
}

/* The forward scan of a value-and-gradient runs once: the backward pass reads what it saved. */
TEST(scan_runs_once) {
    tsr_ctx *c = test_ctx();
    tsr_fn *r = recurrent(c);
    tsr_fn_begin(c, "loss");
    tsr_node *in[3], *out[2];
    for (int i = 0; i < 3; i++) in[i] = tsr_param(c, tsr_fn_param_type(r, i), NULL);
    tsr_fn_inline(c, r, 3, in, out);
    tsr_node *loss = tsr_add(c, tsr_sum(c, out[0], 0, NULL, false), tsr_sum(c, out[1], 0, NULL, false));
    tsr_fn *f = tsr_fn_end(c, 1, &loss), *g = tsr_grad_fn(c, f, 0, NULL, true);
    int scans = 0;
    for (size_t i = 0; g && i < g->node.n; i++) scans += g->node.v[i]->op == TSR_OP_SCAN;
    CHECK_EQ(scans, 2);
    tsr_fn_free(c, r), tsr_fn_free(c, f), tsr_fn_free(c, g);
}

TEST(what_is_refused) {
    tsr_ctx *c = test_ctx();
    tsr_node *x = tsr_tensor(c, TSR_F64, 1, (int64_t[]){2}, (double[]){1, 2}), *i = tsr_scalar_int(c, TSR_I32, 3), *g;
    CHECK_EQ(tsr_grad(c, x, 1, &x, &g), TSR_EINVAL);
    CHECK(tsr_is_poison(g));
    CHECK_ERROR(c, TSR_EINVAL, "not one floating point number");
    tsr_node *loss = tsr_sum(c, x, 0, NULL, false);
    CHECK_EQ(tsr_grad(c, loss, 1, &i, &g), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "only floating point and complex");
    tsr_fn *f = unbounded(c);
    CHECK(!tsr_vjp(c, f));
    CHECK_ERROR(c, TSR_EUNSUPPORTED, "upper bound of turns");
    CHECK(!tsr_vmap(c, f, (int[]){2, 0}, NULL, tsr_extent_int(c, 2)));
    CHECK_ERROR(c, TSR_EINVAL, "in_axis[0] is 2");
    CHECK(!tsr_vmap(c, f, (int[]){0, 0}, (int[]){-1}, tsr_extent_int(c, 2)));
    CHECK_ERROR(c, TSR_EINVAL, "depends on the example");
    CHECK(tsr_fn_set_vjp(c, f, f) != TSR_OK);
    CHECK_ERROR(c, TSR_EINVAL, "custom gradient");
    CHECK(!tsr_grad_fn(c, f, 1, (int[]){7}, false));
    CHECK_ERROR(c, TSR_EINVAL, "parameter 7");
    tsr_fn_free(c, f);
    /* a value that was evaluated has lost its past */
    tsr_node *y = tsr_mul(c, x, x), *z = tsr_sum(c, y, 0, NULL, false);
    tsr_buf **buf = mem_alloc(c, sizeof *buf);
    if (CHECK(buf && (buf[0] = tsr_buf_new(c, 16)))) {
        node_set_value_take(c, y, buf);
        CHECK_EQ(tsr_grad(c, z, 1, &x, &g), TSR_EINVAL);
        CHECK_ERROR(c, TSR_EINVAL, "evaluated before");
    }
}

/* ---- memory ---- */

static bool transform_all(tsr_ctx *c, void *arg) {
    const int *k = arg;
    int in[MOST] = {0};
    tsr_fn *f = cases[*k].make(c), *v = NULL, *j = NULL, *m = NULL;
    bool ok = f && (!cases[*k].reverse || (v = tsr_vjp(c, f))) && (j = tsr_jvp(c, f)) &&
        (m = tsr_vmap(c, v ? v : f, in, NULL, tsr_extent_int(c, 2)));
    tsr_fn_free(c, f), tsr_fn_free(c, v), tsr_fn_free(c, j), tsr_fn_free(c, m);
    while (fn_open_now(c)) tsr_fn_abort(c);
    return ok;
}

TEST(every_allocation_may_fail) {
    int64_t total = 0;
    for (int k = 0; k < CASES; k++) {
        test_case("%s", cases[k].name);
        total += torture(transform_all, &k);
    }
    printf("derivatives compared: %d (%d on a kink); allocations refused: %lld\n", judged, kinks, (long long)total);
}
