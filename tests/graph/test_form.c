/* test_form.c: the form ops, leaves and elementwise builders: what they compute on the examples of the StableHLO
 * specification, what folds away while building, what is refused and how the message reads, symbolic extents,
 * batching rules. */
#include <math.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "harness.h"

static tsr_node *floats(tsr_ctx *c, int rank, const int64_t *dim, const float *v) {
    const tsr_type *t = tsr_type_dims(c, TSR_F32, rank, dim);
    return tsr_const(c, t, v);
}

/* The results of an expression of literals, as doubles; false with the error left in c. */
typedef tsr_node *builder(tsr_ctx *c);
static bool value_of(tsr_ctx *c, builder *build, int64_t most, double *v, int64_t *count) {
    struct arena a;
    struct ref_tensor y;
    arena_init(&a, c);
    tsr_fn *f = NULL;
    if (tsr_fn_begin(c, "value") == TSR_OK) {
        tsr_node *x = build(c);
        f = tsr_fn_end(c, 1, &x);
    }
    bool ok = f && interp_run(c, f, 0, NULL, &a, &y, NULL) == TSR_OK && y.count <= most;
    for (int64_t i = 0; ok && i < y.count; i++) {
        struct ref_val e = ref_get(&y, i);
        v[i] = dtype_is_int(y.dtype) || y.dtype == TSR_BOOL ? (double)(e.i + (int64_t)e.u) : e.re;
    }
    if (ok) *count = y.count;
    arena_release(&a);
    tsr_fn_free(c, f);
    return ok;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

struct row { const char *name; builder *build; int64_t n; double want[24]; };

#define DIMS(...) ((int64_t[]){__VA_ARGS__})
static tsr_node *matrix(tsr_ctx *c) { return floats(c, 2, DIMS(2, 3), (float[]){1, 2, 3, 4, 5, 6}); }
static tsr_node *num(tsr_ctx *c, double v) { return tsr_scalar_float(c, TSR_F32, v); }
static tsr_node *full_like(tsr_ctx *c, tsr_node *x, double v) {
    return tsr_prim2(c, TSR_S_ADD, x, rule_full_like(c, x, v));
}

static tsr_node *pad_all(tsr_ctx *c) {
    return tsr_prim_pad_ints(c, matrix(c), num(c, 0), DIMS(0, 1), DIMS(2, 1), DIMS(1, 2));
}
static tsr_node *pad_crop(tsr_ctx *c) {
    return tsr_prim_pad_ints(c, matrix(c), num(c, 9), DIMS(-1, 0), DIMS(0, -1), NULL);
}
static tsr_node *pad_crop_dilated(tsr_ctx *c) {
    return tsr_prim_pad_ints(c, floats(c, 1, DIMS(3), (float[]){1, 2, 3}), num(c, 9), DIMS(-1), DIMS(1), DIMS(1));
}
static tsr_node *pad_empty(tsr_ctx *c) {
    return tsr_prim_pad_ints(c, tsr_full(c, tsr_type_dims(c, TSR_F32, 1, DIMS(0)), 1), num(c, 9), DIMS(1), DIMS(2),
        DIMS(3));
}
static tsr_node *slice_some(tsr_ctx *c) {
    return tsr_prim_slice_ints(c, matrix(c), DIMS(1, 0), DIMS(2, 3), DIMS(1, 2));
}
static tsr_node *transposed(tsr_ctx *c) { return tsr_prim_transpose(c, matrix(c), DIMS(1, 0)); }
static tsr_node *reversed(tsr_ctx *c) { return tsr_prim_reverse(c, matrix(c), 1, DIMS(1)); }
static tsr_node *broad(tsr_ctx *c) {
    return tsr_prim_broadcast(c, floats(c, 2, DIMS(1, 3), (float[]){1, 2, 3}), tsr_type_dims(c, TSR_F32, 3,
        DIMS(2, 3, 2)), DIMS(2, 1));
}
static tsr_node *concat(tsr_ctx *c) {
    return tsr_prim_concat(c, 2, (tsr_node *[]){matrix(c), floats(c, 2, DIMS(1, 3), (float[]){7, 8, 9})}, 0);
}
static tsr_node *counted(tsr_ctx *c) { return tsr_prim_iota(c, tsr_type_dims(c, TSR_I8, 2, DIMS(3, 2)), 0); }
/* the specification's bitcast_convert example, halved: 0x0123456789ABCDEF as f64 to f16s */
static tsr_node *halves(tsr_ctx *c) {
    uint64_t bits = 0x0123456789abcdef;
    return tsr_prim_convert(c, tsr_prim_bitcast(c,
        tsr_prim_bitcast(c, tsr_const(c, tsr_type_dims(c, TSR_F64, 0, NULL), &bits), TSR_F16), TSR_U16), TSR_F32);
}
static tsr_node *nibbles(tsr_ctx *c) {
    return tsr_prim_bitcast(c, tsr_const(c, tsr_type_dims(c, TSR_U8, 1, DIMS(2)), (uint8_t[]){0x21, 0xf3}), TSR_U4);
}
static tsr_node *joined(tsr_ctx *c) { return tsr_prim_bitcast(c, nibbles(c), TSR_U8); }
static tsr_node *truncated(tsr_ctx *c) {
    return tsr_prim_convert(c, full_like(c, floats(c, 1, DIMS(3), (float[]){-1.5f, 0.25f, 300}), 0), TSR_I8);
}
static tsr_node *masked(tsr_ctx *c) {
    return tsr_prim3(c, TSR_S_SELECT, tsr_scalar_int(c, TSR_BOOL, 0), matrix(c), full_like(c, matrix(c), 10));
}
static tsr_node *clamped(tsr_ctx *c) { return tsr_prim3(c, TSR_S_CLAMP, num(c, 2), matrix(c), num(c, 4)); }

static const struct row rows[] = {
    {"pad with interior", pad_all, 45, {0}},
    {"pad crops", pad_crop, 2, {4, 5}},
    {"pad crops what it dilated", pad_crop_dilated, 5, {9, 2, 9, 3, 9}},
    {"pad of nothing", pad_empty, 3, {9, 9, 9}},
    {"slice", slice_some, 2, {4, 6}},
    {"transpose", transposed, 6, {1, 4, 2, 5, 3, 6}},
    {"reverse", reversed, 6, {3, 2, 1, 6, 5, 4}},
    {"broadcast", broad, 12, {1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3}},
    {"concat", concat, 9, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
    {"iota", counted, 6, {0, 0, 1, 1, 2, 2}},
    {"bitcast to narrower", halves, 4, {0xcdef, 0x89ab, 0x4567, 0x0123}},
    {"bitcast to nibbles", nibbles, 4, {1, 2, 3, 15}},
    {"bitcast from nibbles", joined, 2, {0x21, 0xf3}},
    {"convert truncates and saturates", truncated, 3, {-1, 0, 127}},
    {"select by a scalar", masked, 6, {11, 12, 13, 14, 15, 16}},
    {"clamp by scalars", clamped, 6, {2, 2, 3, 4, 4, 4}},
};

TEST(values) {
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double got[64];
        int64_t count = -1;
        test_case("%s", rows[i].name);
        if (!CHECK(value_of(c, rows[i].build, 64, got, &count)) || !CHECK_EQ(count, rows[i].n)) CHECK_OK(c);
        else if (rows[i].n <= 24) CHECK_F64(got, rows[i].want, (size_t)count, 0, 0);
    }
    test_case("pad with interior, places"); /* 2x3 -> (2 + 1 + 2) x (1 + 7 + 1) */
    double got[64], want[45] = {[1] = 1, [4] = 2, [7] = 3, [19] = 4, [22] = 5, [25] = 6};
    int64_t count;
    CHECK(value_of(c, pad_all, 64, got, &count));
    CHECK_F64(got, want, 45, 0, 0);
    CHECK_OK(c);
}

/* ---- folding ---------------------------------------------------------------------------------------------------- */

TEST(identities_return_their_source) {
    tsr_ctx *c = test_ctx();
    CHECK_EQ(tsr_fn_begin(c, "fold"), TSR_OK);
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 2, DIMS(2, 3)), *flat = tsr_type_dims(c, TSR_F32, 1, DIMS(6)),
        *cube = tsr_type_dims(c, TSR_F32, 3, DIMS(4, 2, 3));
    tsr_node *x = tsr_param(c, t, "x"), *zero = num(c, 0);
    CHECK(tsr_prim_convert(c, x, TSR_F32) == x);
    CHECK(tsr_prim_bitcast(c, x, TSR_F32) == x);
    CHECK(tsr_prim_broadcast(c, x, t, DIMS(0, 1)) == x);
    CHECK(tsr_prim_reshape(c, x, t) == x);
    CHECK(tsr_prim_reshape(c, tsr_prim_reshape(c, x, flat), t) == x);
    CHECK(tsr_prim_transpose(c, x, DIMS(0, 1)) == x);
    CHECK(tsr_prim_transpose(c, tsr_prim_transpose(c, x, DIMS(1, 0)), DIMS(1, 0)) == x);
    CHECK(tsr_prim_slice_ints(c, x, DIMS(0, 0), DIMS(2, 3), NULL) == x);
    CHECK(tsr_prim_pad_ints(c, x, zero, DIMS(0, 0), DIMS(0, 0), NULL) == x);
    CHECK(tsr_prim_concat(c, 1, &x, 1) == x);
    CHECK(tsr_prim_reverse(c, x, 0, NULL) == x);
    CHECK(tsr_prim1(c, TSR_S_REAL, x) == x);
    CHECK(tsr_stop_gradient(c, tsr_stop_gradient(c, x)) == tsr_stop_gradient(c, x));
    tsr_node *one = tsr_full(c, t, 1);
    CHECK(tsr_prim_convert(c, tsr_prim_convert(c, one, TSR_I32), TSR_F32) == one);
    CHECK(tsr_prim_broadcast(c, one, cube, DIMS(1, 2)) == tsr_full(c, cube, 1));
    CHECK(tsr_prim_reshape(c, one, flat) == tsr_full(c, flat, 1));
    CHECK(tsr_prim_broadcast(c, tsr_prim_broadcast(c, x, cube, DIMS(1, 2)), tsr_type_dims(c, TSR_F32, 4,
        DIMS(5, 4, 2, 3)), DIMS(1, 2, 3)) == tsr_prim_broadcast(c, x, tsr_type_dims(c, TSR_F32, 4, DIMS(5, 4, 2, 3)),
        DIMS(2, 3)));
    CHECK(num(c, 2) == num(c, 2) && num(c, 0.0) != num(c, -0.0));
    tsr_fn_abort(c);
    CHECK_OK(c);
}

/* ---- symbolic extents ------------------------------------------------------------------------------------------- */

static const char *type_of(tsr_ctx *c, tsr_node *x) {
    return tsr_is_poison(x) ? tsr_error_message(c) : type_text(c, x->type);
}

TEST(extents_stay_symbolic) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *b = tsr_extent_symbol(c, "B", 2, 64), *one = tsr_extent_int(c, 1), *zero = tsr_extent_int(c, 0),
        *two = tsr_extent_int(c, 2);
    CHECK_EQ(tsr_fn_begin(c, "symbols"), TSR_OK);
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 1, &b), "x");
    CHECK_STR(type_of(c, tsr_prim_concat(c, 2, (tsr_node *[]){x, x}, 0)), "f32[2*B]");
    CHECK_STR(type_of(c, tsr_prim_slice(c, x, &one, &b, DIMS(1))), "f32[B - 1]");
    CHECK_STR(type_of(c, tsr_prim_slice(c, x, &zero, &two, DIMS(1))), "f32[2]");
    CHECK_STR(type_of(c, tsr_prim_pad(c, x, num(c, 0), &one, &two, DIMS(1))), "f32[2*B + 2]");
    const tsr_extent *pair[] = {tsr_extent_int(c, 3), b};
    tsr_node *wide = tsr_prim_broadcast(c, x, tsr_type_tensor(c, TSR_F32, 2, pair), DIMS(1));
    const tsr_extent *flat = tsr_extent_mul(c, b, tsr_extent_int(c, 3));
    CHECK_STR(type_of(c, tsr_prim_reshape(c, wide, tsr_type_tensor(c, TSR_F32, 1, &flat))), "f32[3*B]");
    CHECK_EQ(fn_open_now(c)->check.n, 0); /* all of it was proved */
    tsr_fn_abort(c);
    CHECK_OK(c);
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

static tsr_node *ints(tsr_ctx *c) { return tsr_full(c, tsr_type_dims(c, TSR_I32, 2, DIMS(2, 3)), 1); }
static tsr_node *vec3(tsr_ctx *c) { return floats(c, 1, DIMS(3), (float[]){1, 2, 3}); }
static tsr_node *bad_dtype(tsr_ctx *c) { return tsr_prim2(c, TSR_S_ADD, matrix(c), ints(c)); }
static tsr_node *bad_rank(tsr_ctx *c) { return tsr_prim2(c, TSR_S_MUL, matrix(c), vec3(c)); }
static tsr_node *bad_extent(tsr_ctx *c) { return tsr_prim2(c, TSR_S_MUL, matrix(c), transposed(c)); }
static tsr_node *bad_domain(tsr_ctx *c) { return tsr_prim1(c, TSR_S_EXP, ints(c)); }
static tsr_node *bad_domain2(tsr_ctx *c) { return tsr_prim2(c, TSR_S_SHL, matrix(c), matrix(c)); }
static tsr_node *bad_pred(tsr_ctx *c) { return tsr_prim3(c, TSR_S_SELECT, matrix(c), matrix(c), matrix(c)); }
static tsr_node *bad_arity(tsr_ctx *c) { return tsr_prim_elem(c, TSR_S_ADD, 1, (tsr_node *[]){matrix(c)}); }
static tsr_node *bad_scalar(tsr_ctx *c) { return tsr_prim_elem(c, (tsr_scalar)999, 1, (tsr_node *[]){matrix(c)}); }
static tsr_node *bad_parts(tsr_ctx *c) {
    return tsr_prim2(c, TSR_S_COMPLEX, tsr_prim_convert(c, matrix(c), TSR_F16), tsr_prim_convert(c, matrix(c),
        TSR_F16));
}
static tsr_node *bad_tuple(tsr_ctx *c) {
    return tsr_prim1(c, TSR_S_NEG, tsr_prim_barrier(c, 1, (tsr_node *[]){matrix(c)}));
}
static tsr_node *bad_block(tsr_ctx *c) { return tsr_prim_convert(c, matrix(c), TSR_Q8_0); }
static tsr_node *bad_bits(tsr_ctx *c) { return tsr_prim_bitcast(c, matrix(c), TSR_F64); }
static tsr_node *bad_bool(tsr_ctx *c) { return tsr_prim_bitcast(c, matrix(c), TSR_BOOL); }
static tsr_node *bad_iota(tsr_ctx *c) { return tsr_prim_iota(c, tsr_type_dims(c, TSR_F32, 1, DIMS(3)), 1); }
static tsr_node *bad_iota_type(tsr_ctx *c) { return tsr_prim_iota(c, tsr_type_dims(c, TSR_BOOL, 1, DIMS(3)), 0); }
static tsr_node *bad_broadcast(tsr_ctx *c) {
    return tsr_prim_broadcast(c, vec3(c), tsr_type_dims(c, TSR_F32, 2, DIMS(2, 4)), DIMS(1));
}
static tsr_node *bad_broadcast_axis(tsr_ctx *c) {
    return tsr_prim_broadcast(c, vec3(c), tsr_type_dims(c, TSR_F32, 2, DIMS(2, 3)), DIMS(2));
}
static tsr_node *bad_broadcast_twice(tsr_ctx *c) {
    return tsr_prim_broadcast(c, matrix(c), tsr_type_dims(c, TSR_F32, 2, DIMS(2, 3)), DIMS(1, 1));
}
static tsr_node *bad_reshape(tsr_ctx *c) {
    return tsr_prim_reshape(c, matrix(c), tsr_type_dims(c, TSR_F32, 1, DIMS(7)));
}
static tsr_node *bad_reshape_type(tsr_ctx *c) {
    return tsr_prim_reshape(c, matrix(c), tsr_type_dims(c, TSR_I32, 1, DIMS(6)));
}
static tsr_node *bad_perm(tsr_ctx *c) { return tsr_prim_transpose(c, matrix(c), DIMS(0, 2)); }
static tsr_node *bad_slice(tsr_ctx *c) { return tsr_prim_slice_ints(c, matrix(c), DIMS(0, 0), DIMS(2, 4), NULL); }
static tsr_node *bad_slice_order(tsr_ctx *c) { return tsr_prim_slice_ints(c, matrix(c), DIMS(2, 0), DIMS(1, 3), NULL); }
static tsr_node *bad_stride(tsr_ctx *c) {
    return tsr_prim_slice_ints(c, matrix(c), DIMS(0, 0), DIMS(2, 3), DIMS(1, -1));
}
static tsr_node *bad_pad(tsr_ctx *c) {
    return tsr_prim_pad_ints(c, matrix(c), num(c, 0), DIMS(-1, 0), DIMS(-2, 0), NULL);
}
static tsr_node *bad_pad_value(tsr_ctx *c) {
    return tsr_prim_pad_ints(c, matrix(c), vec3(c), DIMS(1, 0), DIMS(0, 0), NULL);
}
static tsr_node *bad_interior(tsr_ctx *c) {
    return tsr_prim_pad_ints(c, matrix(c), num(c, 0), DIMS(0, 0), DIMS(0, 0), DIMS(-1, 0));
}
static tsr_node *bad_concat(tsr_ctx *c) { return tsr_prim_concat(c, 2, (tsr_node *[]){matrix(c), transposed(c)}, 0); }
static tsr_node *bad_concat_rank(tsr_ctx *c) { return tsr_prim_concat(c, 2, (tsr_node *[]){matrix(c), vec3(c)}, 0); }
static tsr_node *bad_concat_none(tsr_ctx *c) { return tsr_prim_concat(c, 0, NULL, 0); }
static tsr_node *bad_reverse(tsr_ctx *c) { return tsr_prim_reverse(c, matrix(c), 1, DIMS(5)); }
static tsr_node *bad_item(tsr_ctx *c) { return tsr_item(c, tsr_prim_barrier(c, 1, (tsr_node *[]){matrix(c)}), 1); }
static tsr_node *bad_item_tensor(tsr_ctx *c) { return tsr_item(c, matrix(c), 0); }
static tsr_node *bad_full(tsr_ctx *c) { return tsr_full(c, tsr_type_dims(c, TSR_Q8_0, 1, DIMS(32)), 0); }
static tsr_node *bad_literal(tsr_ctx *c) {
    const tsr_extent *b = tsr_extent_symbol(c, "B", 1, 9);
    return tsr_const(c, tsr_type_tensor(c, TSR_F32, 1, &b), "");
}

/* name in the message, and two facts it must state */
static const struct refusal { builder *build; const char *says[3]; } refusals[] = {
    {bad_dtype, {"add", "f32[2,3]", "i32[2,3]"}}, {bad_rank, {"mul", "f32[2,3]", "f32[3]"}},
    {bad_extent, {"mul", "f32[2,3]", "f32[3,2]"}},
    {bad_domain, {"exp", "i32[2,3]", "floats"}}, {bad_domain2, {"shl", "f32[2,3]", "integers"}},
    {bad_pred, {"select", "f32[2,3]", "bool"}},
    {bad_arity, {"add", "2", "1"}}, {bad_scalar, {"elementwise", "999", ""}}, {bad_parts, {"complex", "f16", "f32"}},
    {bad_tuple, {"neg", "tsr_item", ""}},
    {bad_block, {"convert", "f32[2,3]", "q8_0"}}, {bad_bits, {"bitcast", "f32[2,3]", "f64"}},
    {bad_bool, {"bitcast", "bool", "convert"}},
    {bad_iota, {"iota", "1", "rank 1"}}, {bad_iota_type, {"iota", "bool[3]", "integers"}},
    {bad_broadcast, {"broadcast", "f32[3]", "f32[2,4]"}}, {bad_broadcast_axis, {"broadcast", "axes", "2"}},
    {bad_broadcast_twice, {"broadcast", "twice", "1"}},
    {bad_reshape, {"reshape", "f32[2,3]", "f32[7]"}}, {bad_reshape_type, {"reshape", "f32[2,3]", "i32[6]"}},
    {bad_perm, {"transpose", "perm", "2"}},
    {bad_slice, {"slice", "f32[2,3]", "limit 4"}}, {bad_slice_order, {"slice", "start 2", "limit 1"}},
    {bad_stride, {"slice", "stride -1", "reverse"}},
    {bad_pad, {"pad", "f32[2,3]", "-1"}}, {bad_pad_value, {"pad", "f32[2,3]", "f32[3]"}},
    {bad_interior, {"pad", "interior", "-1"}},
    {bad_concat, {"concat", "f32[2,3]", "f32[3,2]"}}, {bad_concat_rank, {"concat", "f32[2,3]", "f32[3]"}},
    {bad_concat_none, {"concat", "0", "one"}},
    {bad_reverse, {"reverse", "5", "rank 2"}}, {bad_item, {"item", "1", "tuple"}},
    {bad_item_tensor, {"item", "f32[2,3]", "tuple"}},
    {bad_full, {"q8_0", "block", ""}}, {bad_literal, {"literal", "f32[B]", "constant"}},
};

TEST(refusals_teach) {
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        test_case("refusal %zu: %s", i, refusals[i].says[0]);
        tsr_scope *s = tsr_scope_begin(c);
        tsr_node *x = refusals[i].build(c);
        CHECK(tsr_is_poison(x));
        for (int k = 0; k < 3; k++) CHECK_CONTAINS(tsr_error_message(c), refusals[i].says[k]);
        CHECK_EQ(tsr_error_status(c), TSR_EINVAL);
        CHECK(tsr_is_poison(tsr_prim1(c, TSR_S_NEG, x)));
        tsr_error_clear(c);
        tsr_scope_end(c, s);
    }
}

/* ---- values from the host --------------------------------------------------------------------------------------- */

TEST(values_belong_outside_and_are_captured) {
    tsr_ctx *c = test_ctx();
    float data[] = {1, 2, 3};
    CHECK_EQ(tsr_fn_begin(c, "capture"), TSR_OK);
    tsr_node *v = tsr_tensor(c, TSR_F32, 1, DIMS(3), data), *y = tsr_prim1(c, TSR_S_NEG, v);
    CHECK(!tsr_is_poison(v) && !v->owner && tsr_buf_data(v->buf[0]) != data);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    if (CHECK(f != NULL)) {
        CHECK_EQ(f->param.n, 1);
        CHECK(f->param.v[0].kind == PARAM_CAPTURE && f->param.v[0].outside == v);
    }
    tsr_fn_free(c, f);
    CHECK_OK(c);
    tsr_buf *buf = tsr_buf_new(c, 12);
    tsr_node *w = tsr_wrap(c, tsr_type_dims(c, TSR_F32, 1, DIMS(3)), buf);
    CHECK(!tsr_is_poison(w) && tsr_buf_data(w->buf[0]) == tsr_buf_data(buf));
    CHECK(tsr_is_poison(tsr_wrap(c, tsr_type_dims(c, TSR_F32, 1, DIMS(1000)), buf)));
    CHECK_ERROR(c, TSR_EINVAL, "too small");
    tsr_buf_free(buf);
}

static bool build_all(tsr_ctx *c, void *arg) {
    (void)arg;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double v[64];
        int64_t n;
        if (!value_of(c, rows[i].build, 64, v, &n)) return false;
    }
    float data[] = {1, 2, 3};
    return !tsr_is_poison(tsr_tensor(c, TSR_F32, 1, DIMS(3), data));
}

TEST(torture_every_builder) { CHECK(torture(build_all, NULL) > 100); }
