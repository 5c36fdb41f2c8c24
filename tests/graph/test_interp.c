/* test_interp.c: the reference interpreter: binding of symbolic extents, checks, captures, calls, freeing, the
 * callback, and every allocation of building and running a small graph refused in turn. */
#include "graph/interp.h"
#include "graph/ref.h"
#include "harness.h"

static struct ref_tensor floats(const float *p, int rank, const int64_t *dim) {
    struct ref_tensor t = {.dtype = TSR_F32, .rank = rank, .count = 1, .p = (uint8_t *)(uintptr_t)p};
    for (int i = 0; i < rank; i++) t.dim[i] = dim[i], t.count *= dim[i];
    return t;
}

static const tsr_type *symbolic(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) {
    return tsr_type_tensor(c, TSR_F32, 2, (const tsr_extent *[]){a, b});
}

/* y = concat(x, x) * 2 along axis 0, of x: f32[B, T] */
static tsr_fn *double_rows(tsr_ctx *c) {
    const tsr_extent *b = tsr_extent_symbol(c, "B", 0, 100), *t = tsr_extent_symbol(c, "T", 1, 100);
    if (tsr_fn_begin(c, "double_rows") != TSR_OK) return NULL;
    tsr_node *x = tsr_param(c, symbolic(c, b, t), "x");
    tsr_node *y = tsr_prim_concat(c, 2, (tsr_node *[]){x, x}, 0);
    y = tsr_prim2(c, TSR_S_MUL, y, rule_full_like(c, y, 2));
    return tsr_fn_end(c, 1, &y);
}

TEST(symbols_take_the_sizes_of_the_data) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = double_rows(c);
    if (!CHECK(f != NULL)) {
        CHECK_OK(c);
        return;
    }
    CHECK_EQ(tsr_verify(c, f), TSR_OK);
    float data[60];
    for (int i = 0; i < 60; i++) data[i] = (float)test_uniform(-1, 1);
    for (int64_t rows = 0; rows < 6; rows++) {
        test_case("rows=%d", (int)rows);
        struct arena a;
        struct ref_tensor y, x = floats(data, 2, (int64_t[]){rows, 10});
        arena_init(&a, c);
        if (CHECK_EQ(interp_run(c, f, 1, &x, &a, &y, NULL), TSR_OK)) {
            CHECK_EQ(y.dim[0], 2 * rows);
            CHECK_EQ(y.dim[1], 10);
            for (int64_t i = 0; i < y.count; i++) CHECK_CLOSE(ref_get(&y, i).re, 2 * data[i % (rows * 10)], 0, 0);
        }
        arena_release(&a);
    }
    tsr_fn_free(c, f);
    CHECK_OK(c);
}

/* A parameter of extent 2 T + 1 says what T is; the second parameter must agree. */
TEST(expressions_are_solved_for_their_symbol) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *t = tsr_extent_symbol(c, "T", 1, 100), *one = tsr_extent_int(c, 1);
    const tsr_extent *odd = tsr_extent_add(c, tsr_extent_mul(c, t, tsr_extent_int(c, 2)), one);
    CHECK_EQ(tsr_fn_begin(c, "solve"), TSR_OK);
    tsr_node *x = tsr_param(c, symbolic(c, one, odd), "x"), *y = tsr_param(c, symbolic(c, one, t), "y");
    tsr_node *r = tsr_prim_concat(c, 2, (tsr_node *[]){x, y}, 1);
    tsr_fn *f = tsr_fn_end(c, 1, &r);
    if (!CHECK(f != NULL)) {
        CHECK_OK(c);
        return;
    }
    static const struct { int64_t a, b; const char *error; } rows[] = {
        {7, 3, NULL}, {3, 1, NULL}, {7, 4, "axis 1 is then 3, but the data has 4"}, {8, 3, "f32"}, {1, 0, "T"},
        {201, 100, NULL}, {203, 101, "T"},
    };
    float data[256] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_case("2T+1=%d T=%d", (int)rows[i].a, (int)rows[i].b);
        struct arena a;
        struct ref_tensor out, in[2] = {floats(data, 2, (int64_t[]){1, rows[i].a}),
            floats(data, 2, (int64_t[]){1, rows[i].b})};
        arena_init(&a, c);
        tsr_status s = interp_run(c, f, 2, in, &a, &out, NULL);
        if (rows[i].error) {
            CHECK(s != TSR_OK);
            CHECK_CONTAINS(tsr_error_message(c), rows[i].error);
            tsr_error_clear(c);
        } else if (CHECK_EQ(s, TSR_OK)) {
            CHECK_EQ(out.dim[1], rows[i].a + rows[i].b);
        } else CHECK_OK(c);
        arena_release(&a);
    }
    tsr_fn_free(c, f);
}

/* What cannot be proved while building is checked while running. */
TEST(recorded_checks_hold_or_stop_the_run) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *m = tsr_extent_symbol(c, "M", 1, 9), *n = tsr_extent_symbol(c, "N", 1, 9),
        *one = tsr_extent_int(c, 1);
    CHECK_EQ(tsr_fn_begin(c, "check"), TSR_OK);
    tsr_node *x = tsr_param(c, symbolic(c, one, m), "x"), *y = tsr_param(c, symbolic(c, one, n), "y");
    tsr_node *r = tsr_prim2(c, TSR_S_ADD, x, y);
    tsr_fn *f = tsr_fn_end(c, 1, &r);
    if (!CHECK(f != NULL)) {
        CHECK_OK(c);
        return;
    }
    float data[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct arena a;
    struct ref_tensor out, same[2] = {floats(data, 2, (int64_t[]){1, 4}), floats(data, 2, (int64_t[]){1, 4})};
    struct ref_tensor other[2] = {same[0], floats(data, 2, (int64_t[]){1, 5})};
    arena_init(&a, c);
    CHECK_EQ(interp_run(c, f, 2, same, &a, &out, NULL), TSR_OK);
    CHECK_CLOSE(ref_get(&out, 3).re, 8, 0, 0);
    CHECK_OK(c);
    interp_run(c, f, 2, other, &a, &out, NULL);
    CHECK_ERROR(c, TSR_ECHECK, "M");
    interp_run(c, f, 1, same, &a, &out, NULL);
    CHECK_ERROR(c, TSR_EINVAL, "2 parameters");
    same[1].dtype = TSR_I32;
    interp_run(c, f, 2, same, &a, &out, NULL);
    CHECK_ERROR(c, TSR_EINVAL, "i32");
    arena_release(&a);
    tsr_fn_free(c, f);
}

static tsr_status count_nodes(void *user, const tsr_fn *f, const tsr_node *n, int nin, const struct ref_tensor *in,
    int nout, const struct ref_tensor *out) {
    (void)f, (void)n, (void)nin, (void)in, (void)nout, (void)out;
    return --*(int *)user < 0 ? TSR_EINTERRUPTED : TSR_OK;
}

TEST(callback_sees_nodes_and_may_stop) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = double_rows(c);
    float data[4] = {1, 2, 3, 4};
    struct ref_tensor y, x = floats(data, 2, (int64_t[]){2, 2});
    struct arena a;
    arena_init(&a, c);
    int left = 100;
    CHECK_EQ(interp_run(c, f, 1, &x, &a, &y, &(struct interp_opts){.node = count_nodes, .user = &left}), TSR_OK);
    CHECK_EQ(100 - left, 4); /* concat, the literal, its broadcast, mul */
    left = 2;
    CHECK_EQ(interp_run(c, f, 1, &x, &a, &y, &(struct interp_opts){.node = count_nodes, .user = &left}),
        TSR_EINTERRUPTED);
    tsr_error_clear(c);
    arena_release(&a);
    tsr_fn_free(c, f);
}

/* A chain of n nodes over one tensor never holds more than a few of them. */
TEST(dead_values_are_freed) {
    enum { LINKS = 50, ELEMS = 1 << 14 };
    tsr_ctx *c = test_ctx();
    int64_t dim[] = {ELEMS};
    CHECK_EQ(tsr_fn_begin(c, "chain"), TSR_OK);
    tsr_node *x = tsr_param(c, tsr_type_dims(c, TSR_F32, 1, dim), "x");
    for (int i = 0; i < LINKS; i++) {
        tsr_node *t = tsr_prim_barrier(c, 2, (tsr_node *[]){tsr_prim1(c, TSR_S_NEG, x), x});
        x = tsr_prim2(c, TSR_S_ADD, tsr_item(c, t, 0), tsr_item(c, t, 1));
    }
    tsr_fn *f = tsr_fn_end(c, 1, &x);
    if (!CHECK(f != NULL)) {
        CHECK_OK(c);
        return;
    }
    float *data = mem_zalloc(c, ELEMS * sizeof *data);
    struct ref_tensor y, in = floats(data, 1, dim);
    struct arena a;
    arena_init(&a, c);
    size_t before = tsr_memory(c).now;
    CHECK_EQ(interp_run(c, f, 1, &in, &a, &y, NULL), TSR_OK);
    CHECK(tsr_memory(c).peak - before < 9 * ELEMS * sizeof(float));
    arena_release(&a);
    CHECK_EQ(tsr_memory(c).now, before);
    mem_free(c, data, ELEMS * sizeof *data);
    tsr_fn_free(c, f);
    CHECK_OK(c);
}

static bool build_and_run(tsr_ctx *c, void *arg) {
    (void)arg;
    tsr_fn *f = double_rows(c);
    float data[4] = {1, 2, 3, 4};
    struct ref_tensor y, x = floats(data, 2, (int64_t[]){2, 2});
    struct arena a;
    arena_init(&a, c);
    bool ok = f && interp_run(c, f, 1, &x, &a, &y, NULL) == TSR_OK && ref_get(&y, 7).re == 8;
    arena_release(&a);
    tsr_fn_free(c, f);
    return ok;
}

TEST(torture_building_and_running) { CHECK(torture(build_and_run, NULL) > 20); }
