/* test_pool.c: the gradient of max pooling as elementwise kernels, bit for bit the interpreter's: ties, NaN, zeros of
 * both signs, windows on some axes, elements left over, a symbolic batch; which windows stay with the library. The VM
 * runs them here as a GPU would want them. */
#include <math.h>
#include <stdlib.h>

#include "compile/plan.h"
#include "device/device.h"
#include "graph/node.h"
#include "harness.h"
#include "models/graphs.h"
#include "tessera/prim.h"
#include "tessera/run.h"

struct shape {
    int rank;
    int64_t dim[4], window[4], stride[4], low[4];
    bool library;
};

static tsr_fn *pool_fn(tsr_ctx *c, const struct shape *s, tsr_dtype t, tsr_reduce pick, bool symbolic) {
    const tsr_extent *x[4], *windows[4];
    for (int a = 0; a < s->rank; a++) {
        x[a] = windows[a] = a || !symbolic ? tsr_extent_int(c, s->dim[a]) : tsr_extent_symbol(c, "B", 1, 64);
        int64_t n = (s->dim[a] + s->low[a] - s->window[a]) / s->stride[a] + 1;
        if (a || !symbolic) windows[a] = tsr_extent_int(c, n);
    }
    if (tsr_fn_begin(c, "pool")) return NULL;
    tsr_node *image = tsr_param(c, tsr_type_tensor(c, t, s->rank, x), "x");
    tsr_node *source = tsr_param(c, tsr_type_tensor(c, t, s->rank, windows), "source");
    tsr_window w = {.extent = s->window, .stride = s->stride, .pad_low = s->low};
    tsr_node *y = tsr_prim_select_and_scatter(c, image, source, pick, &w);
    return tsr_fn_end(c, 1, &y);
}

/* Few different values, so that windows tie; now and then NaN and zeros of both signs. */
static tsr_node *some(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim) {
    int64_t n = 1;
    for (int a = 0; a < rank; a++) n *= dim[a];
    float *v = malloc((size_t)(n ? n : 1) * sizeof *v);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = test_int(-4, 5);
        v[i] = k == 5 ? NAN : k == 4 ? -0.0f : (float)k;
        if (k == 5 && !dtype_is_float(t)) v[i] = 7;
    }
    tsr_node *x = tsr_prim_convert(c, tsr_tensor(c, TSR_F32, rank, dim, v), t);
    free(v);
    CHECK_EQ(tsr_eval(c, 1, &x), TSR_OK);
    return x;
}

static void check_pool(tsr_ctx *c, const struct shape *s, tsr_dtype t, tsr_reduce pick, bool symbolic) {
    int64_t windows[4];
    size_t bytes;
    for (int a = 0; a < s->rank; a++) windows[a] = (s->dim[a] + s->low[a] - s->window[a]) / s->stride[a] + 1;
    tsr_fn *f = pool_fn(c, s, t, pick, symbolic);
    tsr_node *arg[2] = {some(c, t, s->rank, s->dim), some(c, t, s->rank, windows)}, *got, *want;
    if (!CHECK_EQ(tsr_run(c, f, 2, arg, &got), TSR_OK) || !CHECK_EQ(tsr_interpret(c, f, 2, arg, &want), TSR_OK)) {
        CHECK_OK(c);
        return;
    }
    type_bytes(tsr_node_type(got), &bytes);
    uint8_t *p = calloc(1, bytes + 1), *q = calloc(1, bytes + 1);
    CHECK_EQ(tsr_read(c, got, p, bytes), TSR_OK);
    CHECK_EQ(tsr_read(c, want, q, bytes), TSR_OK);
    CHECK_BYTES(p, q, bytes);
    free(p), free(q);
    tsr_plan_info info;
    uint64_t calls = tsr_stats(c).library_calls;
    CHECK_EQ(tsr_run(c, f, 2, arg, &got), TSR_OK);
    CHECK_EQ(tsr_stats(c).library_calls - calls, s->library);
    if (!symbolic && CHECK_EQ(tsr_plan_measure(c, f, &info), TSR_OK)) CHECK_EQ(info.library_calls, s->library);
    tsr_fn_free(c, f);
}

static const struct shape shapes[] = {
    {4, {3, 2, 8, 8}, {1, 1, 2, 2}, {1, 1, 2, 2}, {0}, false},
    {4, {2, 3, 7, 9}, {1, 1, 2, 3}, {1, 1, 2, 3}, {0}, false},
    {4, {2, 5, 6, 3}, {1, 4, 3, 1}, {1, 4, 3, 1}, {0}, false},
    {1, {29}, {5}, {5}, {0}, false},
    {2, {4, 300}, {1, 2}, {1, 2}, {0}, false},
    {4, {2, 2, 8, 8}, {1, 1, 3, 3}, {1, 1, 2, 2}, {0}, true},
    {4, {2, 2, 8, 8}, {1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, 1, 1}, true},
    {2, {3, 40}, {1, 20}, {1, 20}, {0}, true},
};

TEST(pooling_gradients_have_the_bits_of_the_interpreter) {
    static const tsr_dtype dtype[] = {TSR_F32, TSR_F64, TSR_F16, TSR_BF16, TSR_I32, TSR_I8, TSR_I64};
    tsr_ctx *c = test_ctx();
    device_of(c)->tiles = &tile_budget_groups;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t t = 0; t < sizeof dtype / sizeof *dtype; t++) {
            test_case("shape %zu, %s", i, tsr_dtype_name(dtype[t]));
            check_pool(c, &shapes[i], dtype[t], i % 2 ? TSR_REDUCE_MIN : TSR_REDUCE_MAX, false);
            check_pool(c, &shapes[i], dtype[t], i % 2 ? TSR_REDUCE_MAX : TSR_REDUCE_MIN, shapes[i].window[0] == 1);
        }
    CHECK_OK(c);
}

/* A step without a call of the host is one recording on a GPU. */
static int library_steps(tsr_ctx *c, const struct model_graph *g, const struct tile_budget *tiles) {
    struct compile_opts o = {.fuse = true, .tiles = tiles};
    tsr_scope *s = tsr_scope_begin(c);
    tsr_fn *f = model_graph_build(c, g, NULL, NULL);
    tsr_plan *p = f ? compile_fn(c, f, &o) : NULL;
    int n = 0;
    for (size_t i = 0; CHECK(p != NULL) && i < p->step.n; i++) n += p->step.v[i].kind == STEP_LIB;
    plan_free(p);
    tsr_fn_free(c, f);
    tsr_scope_end(c, s);
    return n;
}

TEST(a_training_step_of_the_digits_calls_no_library) {
    tsr_ctx *c = test_ctx();
    const struct model_graph *g = model_graph_at(0);
    for (int i = 0; g && strcmp(g->name, "convnet"); i++) g = model_graph_at(i + 1);
    if (!CHECK(g != NULL)) return;
    CHECK_EQ(library_steps(c, g, &tile_budget_groups), 0);
    CHECK_EQ(library_steps(c, g, NULL), 2); /* the host's own is faster there */
    CHECK_OK(c);
}
