/* test_fuse.c: whole expressions, compiled with clusters, against the interpreter: known layers with their gradients,
 * random graphs, and a symbolic batch at many sizes with one set of kernels. What would be wrong if it failed: a
 * cluster that computes a value at another index, reads what is not written yet, or drops a guard. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"
#include "run/runner.h"
#include "tessera/ops.h"
#include "tessera/run.h"
#include "tessera/transform.h"

enum { MOST = 64 };

/* ---- running both ---- */

static double value(const struct ref_tensor *t, int64_t i) {
    struct ref_val v = ref_get(t, i);
    tsr_kind k = tsr_dtype_of(t->dtype)->kind;
    return k == TSR_KIND_FLOAT || k == TSR_KIND_COMPLEX ? v.re : k == TSR_KIND_INT ? (double)v.i : (double)v.u;
}

/* Relative to the greatest value of the tensor: the reference sums in f64. */
static bool compare(const struct ref_tensor *want, const void *got, double tolerance, const char *what, int i) {
    struct ref_tensor g = *want;
    g.p = (uint8_t *)got;
    double greatest = 0, worst = 0;
    int64_t at = -1;
    for (int64_t j = 0; j < want->count; j++)
        if (isfinite(value(want, j))) greatest = fmax(greatest, fabs(value(want, j)));
    for (int64_t j = 0; j < want->count; j++) {
        double a = value(&g, j), b = value(want, j);
        if (isnan(a) && isnan(b)) continue;
        if (isinf(b) && a == b) continue;
        double e = fabs(a - b) / (greatest + 1e-2);
        if (!(e <= worst)) worst = e, at = j;
        if (!(e <= tolerance)) break;
    }
    return CHECK_MSG(worst <= tolerance, "%s: result %d, element %lld of %lld: got %.9g, want %.9g", what, i,
        (long long)at,
                     (long long)want->count, at < 0 ? 0 : value(&g, at), at < 0 ? 0 : value(want, at));
}

static void print_all(tsr_ctx *c, const tsr_fn *f, const tsr_plan *p) {
    if (!getenv("TSR_TEST_SHOW")) return;
    char *text = tsr_fn_print(c, p->fn ? p->fn : f);
    struct str s;
    str_init(&s, c);
    plan_print(&s, p);
    printf("%s\n%s\n", text, s.s);
    str_release(&s);
    tsr_text_free(c, text);
    for (size_t i = 0; i < p->step.n && getenv("TSR_TEST_SHOW")[0] == '2'; i++) {
        if (!p->step.v[i].program) continue;
        text = tsr_tile_print(p->step.v[i].program);
        puts(text);
        tsr_text_free(c, text);
    }
}

static bool run_plan_on(tsr_ctx *c, const tsr_fn *f, tsr_plan *p, int nb, const tsr_binding *b,
    const struct ref_tensor *in,
                        const struct ref_tensor *want, double tolerance, const char *what) {
    tsr_buf *param[MOST] = {0}, *out[MOST] = {0};
    struct runner *r = runner_of(c);
    for (size_t i = 0; i < f->param.n; i++) {
        if (!(param[i] = tsr_buf_new(c, ref_bytes(&in[i])))) return CHECK_OK(c);
        memcpy(tsr_buf_data(param[i]), in[i].p, ref_bytes(&in[i]));
    }
    bool ok = CHECK_MSG(run_plan(r, p, nb, b, param, out) == TSR_OK, "%s: %s", what, tsr_error_message(c));
    tsr_error_clear(c);
    struct arena mem;
    arena_init(&mem, c);
    for (size_t i = 0; ok && i < f->result.n; i++) {
        void *got;
        ok = CHECK_EQ(resident_host_buf(out[i], ref_bytes(&want[i]), &mem, &got), TSR_OK) &&
            compare(&want[i], got, tolerance, what, (int)i);
    }
    arena_release(&mem);
    for (size_t i = 0; i < f->param.n; i++) tsr_buf_free(param[i]);
    for (size_t i = 0; i < f->result.n; i++) tsr_buf_free(out[i]);
    return ok;
}

/* Random data for every parameter; integers are small and not negative. */
static void fill(const tsr_fn *f, int nb, const tsr_binding *b, struct arena *a, struct ref_tensor *in,
    int64_t int_top) {
    for (size_t i = 0; i < f->param.n; i++) {
        const tsr_type *t = f->param.v[i].node->type;
        in[i] = (struct ref_tensor){.dtype = t->dtype, .rank = t->rank, .count = 1};
        for (int j = 0; j < t->rank; j++) {
            CHECK(tsr_extent_eval(a->c, t->extent[j], nb, b, &in[i].dim[j]) == TSR_OK);
            in[i].count *= in[i].dim[j];
        }
        in[i].p = arena_alloc(a, ref_bytes(&in[i]) + 1);
        for (int64_t j = 0; j < in[i].count; j++) {
            struct ref_val v = {.re = test_normal(), .im = test_normal(), .i = test_int(0, int_top)};
            v.u = (uint64_t)v.i & (t->dtype == TSR_BOOL ? 1 : ~(uint64_t)0);
            ref_set(&in[i], j, v);
        }
    }
}

static bool check_fn(tsr_ctx *c, tsr_fn *f, double tolerance, const char *what, int64_t int_top) {
    struct arena a;
    struct ref_tensor in[MOST], want[MOST];
    if (!CHECK_OK(c) || !f) return false;
    arena_init(&a, c);
    fill(f, 0, NULL, &a, in, int_top);
    bool ok = CHECK(interp_run(c, f, (int)f->param.n, in, &a, want, NULL) == TSR_OK);
    CHECK_OK(c);
    struct compile_opts fused = {.fuse = true, .check = 1};
    tsr_plan *p = ok ? compile_fn(c, f, &fused) : NULL;
    CHECK_OK(c);
    ok = p && run_plan_on(c, f, p, 0, NULL, in, want, tolerance, what);
    if (p && !ok) print_all(c, f, p);
    if (p) plan_free(p);
    arena_release(&a);
    return ok;
}

/* ---- known layers and their gradients ---- */

static tsr_node *in(tsr_ctx *c, int rank, const int64_t *dim) { return tsr_param(c, tsr_type_dims(c, TSR_F32, rank,
    dim), NULL); }
#define D(...) (sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__}
#define P(...) in(c, D(__VA_ARGS__))
#define LABELS(n) tsr_param(c, tsr_type_dims(c, TSR_I32, 1, (int64_t[]){n}), NULL)

typedef tsr_node *layer(tsr_ctx *c);
static tsr_node *softmax(tsr_ctx *c) { return tsr_softmax(c, tsr_add(c, tsr_mul(c, P(7, 33), P(33)), P(33)), -1); }
static tsr_node *softmax_outer(tsr_ctx *c) { return tsr_softmax(c, P(5, 19, 37), 1); }
static tsr_node *long_softmax(tsr_ctx *c) { return tsr_log_softmax(c, P(3, 5003), -1); }
static tsr_node *layer_norm(tsr_ctx *c) { return tsr_gelu(c, tsr_layer_norm(c, P(4, 9, 48), 1, P(48), P(48), 1e-5),
    true); }
static tsr_node *rms_norm(tsr_ctx *c) { return tsr_rms_norm(c, P(11, 40), P(40), 1e-5); }
static tsr_node *group_norm(tsr_ctx *c) { return tsr_group_norm(c, P(2, 6, 5, 4), 3, P(6), P(6), 1e-5); }
static tsr_node *batch_norm(tsr_ctx *c) { return tsr_batch_norm_train(c, P(3, 4, 5, 6), P(4), P(4), 1e-5, NULL, NULL); }
static tsr_node *linear(tsr_ctx *c) { return tsr_relu(c, tsr_linear(c, P(6, 5, 20), P(12, 20), P(12))); }
static tsr_node *mlp(tsr_ctx *c) {
    tsr_node *x = P(9, 30), *h = tsr_gelu(c, tsr_linear(c, x, P(300, 30), P(300)), false);
    return tsr_add(c, x, tsr_linear(c, h, P(30, 300), P(30)));
}
static tsr_node *classify(tsr_ctx *c) {
    tsr_node *labels = LABELS(13);
    return tsr_cross_entropy(c, tsr_linear(c, P(13, 20), P(10, 20), P(10)), labels, 0.1, -100, TSR_LOSS_MEAN);
}
static tsr_node *attention(tsr_ctx *c) {
    return tsr_attention(c, P(2, 4, 7, 8), P(2, 2, 7, 8), P(2, 2, 7, 8), &(tsr_attention_opts){.causal = true});
}
static tsr_node *heads(tsr_ctx *c) {
    tsr_node *x = P(2, 6, 24), *part[3], *y;
    tsr_node *qkv = tsr_linear(c, x, P(72, 24), P(72));
    tsr_split(c, qkv, 3, -1, part);
    for (int i = 0; i < 3; i++) part[i] = tsr_swap_axes(c, tsr_reshape(c, part[i], 4, (int64_t[]){2, 6, 3, 8}), 1, 2);
    y = tsr_attention(c, part[0], part[1], part[2], &(tsr_attention_opts){.causal = true});
    y = tsr_reshape(c, tsr_swap_axes(c, y, 1, 2), 3, (int64_t[]){2, 6, 24});
    return tsr_add(c, x, tsr_linear(c, y, P(24, 24), P(24)));
}
static tsr_node *conv(tsr_ctx *c) {
    tsr_node *y = tsr_relu(c, tsr_conv(c, P(2, 3, 9, 8), P(5, 3, 3, 3), P(5), NULL, (int64_t[]){1, 1}, NULL, 1));
    return tsr_max_pool(c, y, (int64_t[]){2, 2}, NULL, NULL, false);
}
static tsr_node *conv_strided(tsr_ctx *c) {
    return tsr_conv(c, P(2, 4, 9, 8), P(6, 2, 3, 2), NULL, (int64_t[]){2, 1}, (int64_t[]){1, 1}, (int64_t[]){1, 2}, 2);
}
static tsr_node *conv_transpose(tsr_ctx *c) {
    return tsr_conv_transpose(c, P(2, 4, 5, 5), P(4, 3, 3, 3), P(3), (int64_t[]){2, 2}, (int64_t[]){1, 1}, NULL, NULL,
        1);
}
static tsr_node *pool(tsr_ctx *c) { return tsr_avg_pool(c, P(2, 3, 8, 9), (int64_t[]){3, 2}, NULL, (int64_t[]){1, 0},
    false, false); }
static tsr_node *resize(tsr_ctx *c) {
    return tsr_interpolate(c, P(1, 2, 5, 6), (int64_t[]){9, 11}, TSR_RESIZE_LINEAR, TSR_COORDS_HALF_PIXEL);
}
static tsr_node *rope(tsr_ctx *c) { return tsr_rope(c, P(2, 3, 5, 8), LABELS(5), 10000, false); }
static tsr_node *lstm(tsr_ctx *c) { return tsr_lstm(c, P(4, 3, 5), P(3, 6), P(3, 6), P(24, 5), P(24, 6), P(24), P(24),
    NULL, NULL); }
static tsr_node *embedding(tsr_ctx *c) { return tsr_mul(c, tsr_embedding(c, P(11, 6), LABELS(9)), P(6)); }
static tsr_node *cumulative(tsr_ctx *c) { return tsr_cumsum(c, tsr_mul(c, P(5, 700), P(700)), 1); }
static tsr_node *huge_sum(tsr_ctx *c) { return tsr_mean(c, tsr_square(c, tsr_sub(c, P(300, 401), P(401))), 0, NULL,
    false); }
/* Long enough to be cut into chunks: whole and part, the last chunk full or not. */
static tsr_node *long_mse(tsr_ctx *c) { return tsr_mean(c, tsr_square(c, tsr_sub(c, P(300007), P(300007))), 0, NULL,
    false); }
static tsr_node *long_rows(tsr_ctx *c) { return tsr_max(c, tsr_mul(c, P(2, 262144), P(262144)), 1, (int[]){1}, false); }
static tsr_node *long_columns(tsr_ctx *c) { return tsr_sum(c, tsr_mul(c, P(270001, 3), P(3)), 1, (int[]){0}, true); }
static tsr_node *long_image(tsr_ctx *c) { return tsr_mean(c, tsr_mul(c, P(5, 3, 300, 190), P(3, 1, 190)), 3,
    (int[]){0, 2, 3}, false); }
static tsr_node *long_and_empty(tsr_ctx *c) { return tsr_sum(c, P(300000, 0, 2), 2, (int[]){0, 1}, false); }
static tsr_node *long_softmax_of_all(tsr_ctx *c) {
    return tsr_slice(c, tsr_softmax(c, tsr_mul(c, P(1, 280000), P(280000)), -1), 1, 100, 200, 1);
}
static tsr_node *columns(tsr_ctx *c) { return tsr_sum(c, tsr_exp(c, P(500, 70)), 1, (int[]){0}, false); }
static tsr_node *middle(tsr_ctx *c) { return tsr_sum(c, tsr_tanh(c, P(6, 7, 8, 9)), 2, (int[]){0, 2}, false); }
static tsr_node *matmul_chain(tsr_ctx *c) {
    tsr_node *a = P(17, 23), *b = tsr_softmax(c, tsr_matmul(c, a, P(23, 23)), -1);
    return tsr_matmul(c, tsr_add(c, b, a), tsr_transpose(c, a, NULL));
}
static tsr_node *pads(tsr_ctx *c) {
    tsr_node *x = P(6, 10), *y = tsr_concat(c, 3, (tsr_node *[]){x, P(6, 1), tsr_slice(c, x, 1, 2, 9, 3)}, 1);
    return tsr_mul(c, tsr_pad(c, y, (int64_t[]){1, 2}, (int64_t[]){2, -1}, 1.5), tsr_flip(c, P(9, 15), 1, (int[]){1}));
}
static tsr_node *sorts(tsr_ctx *c) {
    tsr_node *v, *i;
    tsr_sort(c, tsr_mul(c, P(4, 21), P(21)), 1, true, &v, &i);
    return tsr_add(c, v, tsr_cast(c, i, TSR_F32));
}
/* One element read and written where data says: the guard of what is written must not hide the start itself. */
static tsr_node *element_in_place(tsr_ctx *c) {
    tsr_node *x = P(8), *at = tsr_reshape(c, LABELS(1), 0, NULL);
    const tsr_extent *one = tsr_extent_int(c, 1);
    tsr_node *y = tsr_prim_dynamic_slice(c, x, &at, &one);
    return tsr_prim_dynamic_update_slice(c, P(8), tsr_square(c, y), &at);
}

static const struct { const char *name; layer *make; bool grad; double tolerance; } layers[] = {
    {"softmax(x*w+b)", softmax, true, 1e-5}, {"softmax over an outer axis", softmax_outer, true, 3e-5},
    {"log_softmax of long rows", long_softmax, true, 1e-5}, {"gelu(layer_norm)", layer_norm, true, 3e-5},
    {"rms_norm", rms_norm, true, 3e-5}, {"group_norm", group_norm, true, 3e-5}, {"batch_norm", batch_norm, true, 1e-4},
    {"linear", linear, true, 1e-5}, {"mlp", mlp, true, 2e-5}, {"cross entropy", classify, true, 1e-5},
    {"attention", attention, true, 1e-5}, {"heads", heads, true, 3e-5}, {"conv", conv, true, 1e-5},
    {"conv strided, dilated, grouped", conv_strided, true, 1e-5}, {"conv transposed", conv_transpose, true, 1e-5},
    {"avg_pool", pool, true, 1e-5}, {"interpolate", resize, true, 1e-5}, {"rope", rope, true, 1e-4}, {"lstm", lstm,
        true, 3e-5},
    {"embedding", embedding, true, 1e-5}, {"cumsum", cumulative, true, 1e-5}, {"mean of squares", huge_sum, true, 1e-5},
    {"long mean of squares", long_mse, true, 1e-5}, {"long rows", long_rows, true, 1e-5},
    {"long columns", long_columns, true, 1e-4}, {"long image", long_image, true, 1e-5},
    {"long and empty", long_and_empty, true, 1e-5},
    {"softmax of one long row", long_softmax_of_all, false, 1e-5},
    {"sum of columns", columns, true, 1e-5}, {"sum of outer and inner axes", middle, true, 1e-5},
    {"matmul chain", matmul_chain, true, 3e-5}, {"pad, concat, slice, flip", pads, true, 1e-5}, {"sort", sorts, false,
        1e-5}, {"element in place", element_in_place, true, 1e-6},
};

/* y, and the gradients of sum(y * r) to every float parameter. */
static tsr_fn *with_gradients(tsr_ctx *c, layer *make, bool grad) {
    if (tsr_fn_begin(c, "layer")) return NULL;
    tsr_node *out[MOST], *wrt[MOST];
    int n = 0;
    out[0] = make(c);
    tsr_fn *f = fn_open_now(c);
    for (size_t i = 0; grad && i < f->param.n; i++)
        if (f->param.v[i].node->type->dtype == TSR_F32) wrt[n++] = f->param.v[i].node;
    if (n) {
        tsr_node *weight = tsr_sin(c, tsr_cast(c, tsr_prim_iota(c, type_with_dtype(c, out[0]->type, TSR_I32),
            out[0]->type->rank - 1 < 0 ? 0 : out[0]->type->rank - 1), TSR_F32));
        if (out[0]->type->rank == 0) weight = tsr_scalar_float(c, TSR_F32, 1), tsr_error_clear(c);
        tsr_node *loss = tsr_sum(c, tsr_mul(c, out[0], weight), 0, NULL, false);
        tsr_grad(c, loss, n, wrt, out + 1);
    }
    return tsr_fn_end(c, n + 1, out);
}

TEST(layers_and_gradients) {
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        tsr_ctx *c = test_ctx();
        test_case("%s", layers[i].name);
        if (getenv("TSR_TEST_SHOW")) puts(layers[i].name), fflush(stdout);
        tsr_fn *f = with_gradients(c, layers[i].make, layers[i].grad);
        check_fn(c, f, layers[i].tolerance, layers[i].name, 8);
        tsr_fn_free(c, f);
        test_ctx_close(c);
    }
}

/* ---- random graphs ---- */

enum { POOL = 24 };

static tsr_node *pick(tsr_node *const *pool, int n) { return pool[test_int(n > 8 ? n - 8 : 0, n - 1)]; }

/* Values stay moderate, so that rounding does: nothing is multiplied by, or goes into a cosine as, more than 1. */
static tsr_node *small(tsr_ctx *c, tsr_node *x) { return tsr_tanh(c, x); }

static tsr_node *grow(tsr_ctx *c, tsr_node *const *pool, int n) {
    tsr_node *x = pick(pool, n), *y = pick(pool, n);
    int rank = x->type->rank, axis = rank ? (int)test_int(0, rank - 1) : 0;
    switch (test_int(0, 15)) {
    case 0: return tsr_add(c, x, y);
    case 1: return tsr_mul(c, x, small(c, y));
    case 2: return tsr_sub(c, y, x);
    case 3: return tsr_tanh(c, x);
    case 4: return tsr_sigmoid(c, x);
    case 5: return rank ? tsr_sum(c, small(c, x), 1, &axis, test_int(0, 1)) : tsr_sin(c, small(c, x));
    case 6: return rank ? tsr_max(c, x, 1, &axis, true) : tsr_cos(c, small(c, x));
    case 7: return rank > 1 ? tsr_swap_axes(c, x, axis, 0) : tsr_neg(c, x);
    case 8: return rank ? tsr_flip(c, x, 1, &axis) : x;
    case 9: return rank > 1 ? tsr_reshape(c, x, 2, (int64_t[]){tsr_node_dim(x, axis), -1}) : tsr_square(c, small(c, x));
    case 10: return rank ? tsr_softmax(c, small(c, x), axis) : x;
    case 11: return rank ? tsr_slice(c, x, axis, 0, INT64_MAX, 2) : x;
    case 12: return rank == 2 ? tsr_matmul(c, small(c, x), tsr_transpose(c, small(c, x), NULL)) : tsr_abs(c, x);
    case 13: return rank ? tsr_concat(c, 2, (tsr_node *[]){x, tsr_cos(c, small(c, x))}, axis) : x;
    case 14: return rank ? tsr_cumsum(c, small(c, x), axis) : x;
    default: return tsr_where(c, tsr_gt(c, x, tsr_num(c, x, 0)), x, tsr_mul(c, x, tsr_num(c, x, 0.3)));
    }
}

static tsr_fn *random_fn(tsr_ctx *c) {
    tsr_node *pool[POOL], *out[4];
    int n = 0, results = (int)test_int(1, 4);
    int64_t a = test_int(1, 6), b = test_int(1, 40), d = test_int(1, 9);
    if (tsr_fn_begin(c, "random")) return NULL;
    pool[n++] = P(a, b), pool[n++] = P(a, b), pool[n++] = P(b), pool[n++] = P(d, a, b), pool[n++] = P(a, 1);
    while (n < POOL) {
        tsr_node *y = grow(c, pool, n);
        int64_t elements = 1;
        if (tsr_is_poison(y)) {
            tsr_error_clear(c); /* shapes that do not fit */
            continue;
        }
        for (int i = 0; i < y->type->rank; i++) elements *= tsr_node_dim(y, i);
        if (elements <= 20000 && y->type->rank <= 4) pool[n++] = y;
    }
    for (int i = 0; i < results; i++) out[i] = i ? pick(pool, n) : pool[n - 1];
    return tsr_fn_end(c, results, out);
}

TEST(random_graphs) {
    for (int i = 0; i < 200; i++) {
        tsr_ctx *c = test_ctx();
        test_case("random graph %d", i);
        tsr_fn *f = random_fn(c);
        bool ok = check_fn(c, f, 1e-3, "random graph", 3);
        tsr_fn_free(c, f);
        test_ctx_close(c);
        if (!ok) break;
    }
}

/* ---- a symbolic batch ---- */

TEST(symbolic_batch_at_fifty_sizes) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *batch = tsr_extent_symbol(c, "B", 1, 4096), *e[2] = {batch, tsr_extent_int(c, 30)};
    tsr_fn_begin(c, "net");
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, e), "x");
    tsr_node *labels = tsr_param(c, tsr_type_tensor(c, TSR_I32, 1, e), "labels"), *w = P(70, 30), *b = P(70),
        *v = P(10, 70);
    /* smooth all through, or a value next to a kink would decide between two right gradients */
    tsr_node *h = tsr_layer_norm(c, tsr_gelu(c, tsr_linear(c, x, w, b), false), 1, NULL, NULL, 1e-5);
    tsr_node *loss = tsr_cross_entropy(c, tsr_linear(c, h, v, NULL), labels, 0, -100, TSR_LOSS_MEAN), *wrt[] = {w, b,
        v}, *out[4] = {loss};
    tsr_grad(c, loss, 3, wrt, out + 1);
    tsr_fn *f = tsr_fn_end(c, 4, out);
    struct compile_opts o = {.fuse = true, .check = 1};
    tsr_plan *p = compile_fn(c, f, &o);
    uint64_t kernels = 0;
    if (!CHECK_OK(c)) return;
    for (int i = 0; i < 50; i++) {
        struct arena a;
        struct ref_tensor in[MOST], want[MOST];
        tsr_binding bind = {batch, i < 4 ? i + 1 : test_int(1, 300)};
        test_case("B = %lld", (long long)bind.value);
        arena_init(&a, c);
        fill(f, 1, &bind, &a, in, 9);
        CHECK(interp_run(c, f, (int)f->param.n, in, &a, want, NULL) == TSR_OK);
        run_plan_on(c, f, p, 1, &bind, in, want, 3e-4, "symbolic batch"); /* the loss is a difference of logits */
        arena_release(&a);
        if (i == 0) kernels = runner_of(c)->stats.kernels_built;
    }
    CHECK_EQ(runner_of(c)->stats.kernels_built, kernels); /* a new size makes no kernel */
    printf("50 batch sizes, %zu steps, %llu kernels built\n", p->step.n, (unsigned long long)kernels);
    plan_free(p);
    tsr_fn_free(c, f);
}

/* ---- long reductions ---- */

static tsr_fn *sum_of_symbol(tsr_ctx *c, const tsr_extent *n, tsr_dtype t) {
    tsr_fn_begin(c, "long");
    const tsr_extent *e[2] = {tsr_extent_int(c, 3), n};
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, t, 2, e), "x"), *out[3];
    out[0] = tsr_sum(c, x, 1, (int[]){1}, false), out[1] = tsr_max(c, x, 0, NULL, false);
    out[2] = tsr_sum(c, tsr_mul(c, x, x), 0, NULL, false);
    return tsr_fn_end(c, 3, out);
}

/* One program for every size, none among them; what the halves pass on is not rounded to the short dtype. */
TEST(long_symbolic_reductions) {
    static const int64_t sizes[] = {0, 1, 5, 32767, 32768, 32769, 262144, 300001};
    static const struct { tsr_dtype t; double tolerance; } kinds[] = {{TSR_F32, 1e-5}, {TSR_BF16, 5e-3}, {TSR_I32, 0}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        tsr_ctx *c = test_ctx();
        const tsr_extent *n = tsr_extent_symbol(c, "N", 0, INT64_C(1) << 40);
        tsr_fn *f = sum_of_symbol(c, n, kinds[k].t);
        struct compile_opts o = {.fuse = true, .check = 1};
        tsr_plan *p = f ? compile_fn(c, f, &o) : NULL;
        uint64_t kernels = 0;
        if (!CHECK_OK(c) || !p) return;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct arena a;
            struct ref_tensor in[MOST], want[MOST];
            tsr_binding bind = {n, sizes[i]};
            test_case("%s, N = %lld", tsr_dtype_name(kinds[k].t), (long long)bind.value);
            arena_init(&a, c);
            fill(f, 1, &bind, &a, in, 9);
            CHECK(interp_run(c, f, (int)f->param.n, in, &a, want, NULL) == TSR_OK);
            run_plan_on(c, f, p, 1, &bind, in, want, kinds[k].tolerance, "long symbolic reduction");
            arena_release(&a);
            if (i == 0) kernels = runner_of(c)->stats.kernels_built;
        }
        CHECK_EQ(runner_of(c)->stats.kernels_built, kernels);
        plan_free(p);
        tsr_fn_free(c, f);
        test_ctx_close(c);
    }
}

/* Sums of long rows and of everything: out (4): row 1 of 3, the same row alone, all of it, all of the row alone. */
static void long_bits(int threads, const float *data, float *out) {
    enum { N = 300001 };
    tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = threads});
    tsr_node *x = tsr_tensor(c, TSR_F32, 2, (int64_t[]){3, N}, data);
    tsr_node *row = tsr_tensor(c, TSR_F32, 2, (int64_t[]){1, N}, data + N), *y[4];
    y[0] = tsr_slice(c, tsr_sum(c, x, 1, (int[]){1}, false), 0, 1, 2, 1);
    y[1] = tsr_sum(c, row, 1, (int[]){1}, false);
    y[2] = tsr_sum(c, x, 0, NULL, false), y[3] = tsr_sum(c, tsr_reshape(c, row, 1, (int64_t[]){N}), 0, NULL, false);
    CHECK_EQ(tsr_eval(c, 4, y), TSR_OK);
    for (int i = 0; i < 4; i++) CHECK_EQ(tsr_read(c, y[i], out + i, sizeof *out), TSR_OK);
    CHECK_OK(c);
    test_ctx_close(c);
}

TEST(a_long_sum_depends_on_nothing_but_its_row) {
    enum { COUNT = 3 * 300001 };
    float *data = malloc(COUNT * sizeof *data), one[4], other[4];
    if (!CHECK(data != NULL)) return;
    for (int i = 0; i < COUNT; i++) data[i] = (float)test_normal();
    long_bits(1, data, one);
    CHECK_BYTES(&one[0], &one[1], sizeof *one);
    CHECK_BYTES(&one[1], &one[3], sizeof *one);
    for (int t = 2; t <= 7; t += 5) {
        test_case("%d threads", t);
        long_bits(t, data, other);
        CHECK_BYTES(other, one, sizeof one);
    }
    free(data);
}
