/* test_scatter.c: scatters of rows as tile programs against the interpreter: every mode and place of the row axis,
 * repeated and outlying indices, what is fused around them; which scatters stay with the library. */
#include <stdlib.h>

#include "graph/node.h"
#include "harness.h"
#include "tessera/ops.h"
#include "tessera/prim.h"
#include "tessera/run.h"

struct shape { /* of an operand of rank 3 with rows along `along`; updates in a tensor of index_rank axes */
    int64_t dim[3], updates[2];
    int along, index_rank;
    bool vector; /* the index tensor ends with an axis of one component */
};

static tsr_node *scatter(tsr_ctx *c, const struct shape *s, tsr_node *x, tsr_node *index, tsr_node *update,
    tsr_scatter how) {
    int64_t along = s->along, offset[2] = {s->index_rank, s->index_rank + 1};
    tsr_gather_dims d = {.n_offset = 2, .offset = offset, .n_collapsed = 1, .collapsed = &along, .n_map = 1,
        .map = &along, .index_vector_axis = s->index_rank};
    return tsr_prim_scatter(c, x, index, update, &d, how);
}

static const tsr_type *index_type(tsr_ctx *c, const struct shape *s, tsr_dtype t) {
    int64_t dim[3] = {s->updates[0], s->updates[1], 1};
    if (s->index_rank == 1) dim[1] = 1;
    return tsr_type_dims(c, t, s->index_rank + s->vector, dim);
}

static const tsr_type *update_type(tsr_ctx *c, const struct shape *s, tsr_dtype t) {
    int64_t dim[4];
    int n = 0;
    for (int i = 0; i < s->index_rank; i++) dim[n++] = s->updates[i];
    for (int i = 0; i < 3; i++)
        if (i != s->along) dim[n++] = s->dim[i];
    return tsr_type_dims(c, t, n, dim);
}

/* Whole numbers: sums and products of a few are exact in every dtype, so results are compared bit for bit. */
static tsr_node *random_of(tsr_ctx *c, const tsr_type *t, int64_t lo, int64_t hi) {
    int64_t n = 1, dim[TSR_MAX_RANK];
    tsr_type_ints(t, dim);
    for (int i = 0; i < t->rank; i++) n *= dim[i];
    float *v = malloc((size_t)(n ? n : 1) * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = (float)test_int(lo, hi);
    tsr_node *x = tsr_from(c, tsr_type_dims(c, TSR_F32, t->rank, dim), v);
    free(v);
    x = tsr_prim_convert(c, x, t->dtype);
    CHECK(tsr_eval(c, 1, &x) == TSR_OK);
    return x;
}

static bool same(tsr_ctx *c, tsr_node *a, tsr_node *b) {
    int64_t dim[TSR_MAX_RANK], n = 1;
    const tsr_type *t = tsr_node_type(a);
    tsr_type_ints(t, dim);
    for (int i = 0; i < t->rank; i++) n *= dim[i];
    size_t bytes = (size_t)n * (size_t)tsr_dtype_of(t->dtype)->bytes;
    char *x = malloc(bytes + 1), *y = malloc(bytes + 1);
    bool ok = tsr_read(c, a, x, bytes) == TSR_OK && tsr_read(c, b, y, bytes) == TSR_OK && memcmp(x, y, bytes) == 0;
    free(x), free(y);
    return ok;
}

/* params: x, index, update, p. Results: p - 2 y where fused, else y alone. */
static tsr_fn *build(tsr_ctx *c, const struct shape *s, tsr_dtype t, tsr_dtype it, tsr_scatter how, bool fused) {
    const tsr_type *xt = tsr_type_dims(c, t, 3, s->dim);
    if (tsr_fn_begin(c, "scatter") != TSR_OK) return NULL;
    tsr_node *x = tsr_param(c, xt, "x"), *index = tsr_param(c, index_type(c, s, it), "index");
    tsr_node *update = tsr_param(c, update_type(c, s, t), "update"), *p = tsr_param(c, xt, "p");
    if (fused) x = tsr_add(c, x, tsr_num(c, x, 1));
    tsr_node *y = scatter(c, s, x, index, update, how);
    if (fused) y = tsr_sub(c, p, tsr_add(c, y, y));
    return tsr_fn_end(c, 1, &y);
}

static void check_case(tsr_ctx *c, const struct shape *s, tsr_dtype t, tsr_dtype it, tsr_scatter how, bool fused) {
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_fn *f = build(c, s, t, it, how, fused);
    const tsr_type *xt = tsr_type_dims(c, t, 3, s->dim);
    int64_t low = tsr_dtype_of(t)->kind == TSR_KIND_UINT ? 0 : -2;
    tsr_node *arg[4] = {random_of(c, xt, low, 2), random_of(c, index_type(c, s, it), -1, s->dim[s->along]),
        random_of(c, update_type(c, s, t), low, 2), random_of(c, xt, low, 2)}, *got, *want;
    tsr_plan_info info;
    if (CHECK(f && tsr_plan_measure(c, f, &info) == TSR_OK)) CHECK_MSG(info.kernels == 1 && info.library_calls == 0,
        "%d kernels and %d library calls, not one kernel", info.kernels, info.library_calls);
    if (CHECK(f && tsr_run(c, f, 4, arg, &got) == TSR_OK && tsr_interpret(c, f, 4, arg, &want) == TSR_OK))
        CHECK_MSG(same(c, got, want), "the compiled scatter differs from the interpreter");
    tsr_fn_free(c, f);
    tsr_scope_end(c, scope);
    CHECK_OK(c);
}

static const struct shape shapes[] = {
    {{5, 3, 7}, {4, 1}, 0, 1, true},     {{300, 2, 200}, {300, 1}, 0, 1, false}, {{3, 50, 130}, {7, 9}, 1, 2, true},
    {{9, 33, 6}, {2, 3}, 2, 2, true},    {{1, 40, 11}, {20, 1}, 0, 1, true},    {{6, 1, 1}, {1, 1}, 0, 1, false},
    {{40, 90, 100}, {13, 50}, 0, 2, false}, {{4, 3, 5}, {0, 1}, 0, 1, true},    {{2, 1000, 9}, {12, 1}, 1, 1, true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

TEST(scatter_of_rows) {
    static const tsr_dtype types[] = {TSR_F32, TSR_F64, TSR_BF16, TSR_I32, TSR_U8, TSR_C64};
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < SHAPES; i++)
        for (int how = TSR_SCATTER_SET; how <= TSR_SCATTER_MAX; how++) {
            tsr_dtype t = types[test_int(0, 5)], it = test_int(0, 1) ? TSR_I32 : TSR_I64;
            if (t == TSR_C64 && how > TSR_SCATTER_MUL) t = TSR_F32;
            test_case("shape %d, mode %d, %s", i, how, tsr_dtype_name(t));
            check_case(c, &shapes[i], t, it, (tsr_scatter)how, test_int(0, 1));
        }
}

/* Many updates beside few elements, and windows that are not whole rows, are the library's. */
TEST(other_scatters_stay) {
    tsr_ctx *c = test_ctx();
    static const struct shape many = {{1000, 1, 1}, {500, 1}, 0, 1, true};
    tsr_plan_info info;
    tsr_fn *f = build(c, &many, TSR_F32, TSR_I32, TSR_SCATTER_ADD, false);
    if (CHECK(f && tsr_plan_measure(c, f, &info) == TSR_OK)) CHECK_EQ(info.library_calls, 1);
    tsr_fn_free(c, f);
}

/* Sums of floats that do not fit exactly: the order is that of the updates, whatever the threads. */
TEST(scatter_adds_in_order) {
    enum { ROWS = 3, COLUMNS = 500, UPDATES = 900 };
    static const struct shape s = {{ROWS, 1, COLUMNS}, {UPDATES, 1}, 0, 1, false};
    static float update[UPDATES][COLUMNS], want[ROWS][COLUMNS], got[ROWS][COLUMNS];
    static int32_t index[UPDATES];
    for (int u = 0; u < UPDATES; u++) {
        index[u] = (int32_t)test_int(0, ROWS - 1);
        for (int j = 0; j < COLUMNS; j++) update[u][j] = (float)test_normal(), want[index[u]][j] += update[u][j];
    }
    for (int threads = 1; threads <= 3; threads++) {
        test_case("threads=%d", threads);
        tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = threads});
        tsr_fn_begin(c, "sum");
        tsr_node *i = tsr_param(c, index_type(c, &s, TSR_I32), "i");
        tsr_node *u = tsr_param(c, update_type(c, &s, TSR_F32), "u");
        tsr_node *zero = tsr_zeros(c, TSR_F32, 3, s.dim), *y = scatter(c, &s, zero, i, u,
            TSR_SCATTER_ADD);
        tsr_fn *f = tsr_fn_end(c, 1, &y);
        tsr_node *arg[2] = {tsr_from(c, index_type(c, &s, TSR_I32), index), tsr_from(c, update_type(c, &s, TSR_F32),
            update)};
        memset(got, 0xff, sizeof got);
        CHECK(tsr_run(c, f, 2, arg, &y) == TSR_OK && tsr_read(c, y, got, sizeof got) == TSR_OK);
        CHECK_BYTES(got, want, sizeof want);
        tsr_fn_free(c, f);
        CHECK_OK(c);
        test_ctx_close(c);
    }
}

static bool compile_once(tsr_ctx *c, void *arg) {
    (void)arg;
    tsr_plan_info info;
    tsr_fn *f = build(c, &shapes[2], TSR_F32, TSR_I32, TSR_SCATTER_ADD, true);
    bool ok = f && tsr_plan_measure(c, f, &info) == TSR_OK;
    tsr_fn_free(c, f);
    return ok;
}

TEST(scatter_torture) { CHECK(torture(compile_once, NULL) > 50); }
