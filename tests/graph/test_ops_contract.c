/* test_ops_contract.c: dot_general and convolution against their definitions, their gradients (convolutions and dots
 * again), batching, quantised weights, refusals and symbolic extents. The oracle of dot walks over the full index
 * space of all labels; that of convolution pushes every input element through every kernel element to the result it
 * reaches. */
#include "op_check.h"

/* ---- oracles ---------------------------------------------------------------------------------------------------- */

static val as_result(const struct ref_tensor *x, int64_t at, tsr_dtype t) {
    val v = ref_get(x, at);
    if (!dtype_is_int(t)) return v;
    int64_t i = tsr_dtype_of(x->dtype)->kind == TSR_KIND_INT ? v.i : (int64_t)v.u;
    return (val){.i = i, .u = (uint64_t)i};
}

/* Every pair of an element of a and one of b whose batch and contracted coordinates agree meets in one result. */
static void oracle_dot(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *a = &in[0], *b = &in[1];
    int nb, nc;
    const int64_t *lb = node_ints(n, ATTR_LHS_BATCH, &nb), *rb = node_ints(n, ATTR_RHS_BATCH, NULL);
    const int64_t *lc = node_ints(n, ATTR_LHS_CONTRACT, &nc), *rc = node_ints(n, ATTR_RHS_CONTRACT, NULL);
    for (int64_t i = 0; i < y->count; i++) out[i] = (val){0};
    for (int64_t i = 0, ai[TSR_MAX_RANK]; i < a->count; i++) {
        ref_unravel(a->rank, a->dim, i, ai);
        for (int64_t j = 0, bi[TSR_MAX_RANK], to[TSR_MAX_RANK]; j < b->count; j++) {
            bool meet = true, used_a[TSR_MAX_RANK] = {0}, used_b[TSR_MAX_RANK] = {0};
            int m = 0;
            ref_unravel(b->rank, b->dim, j, bi);
            for (int k = 0; k < nb; k++)
                meet = meet && ai[lb[k]] == bi[rb[k]], used_a[lb[k]] = used_b[rb[k]] = true, to[m++] = ai[lb[k]];
            for (int k = 0; k < nc; k++) meet = meet && ai[lc[k]] == bi[rc[k]], used_a[lc[k]] = used_b[rc[k]] = true;
            if (!meet) continue;
            for (int k = 0; k < a->rank; k++)
                if (!used_a[k]) to[m++] = ai[k];
            for (int k = 0; k < b->rank; k++)
                if (!used_b[k]) to[m++] = bi[k];
            int64_t at = ref_ravel(y->rank, y->dim, to);
            out[at] = val_add(y->dtype, out[at],
                              val_mul(y->dtype, as_result(a, i, y->dtype), as_result(b, j, y->dtype)));
        }
    }
}

/* The result position along spatial axis s that input index i reaches through kernel index k, or -1. */
static int64_t reached(const tsr_node *n, int s, int64_t i, int64_t k, int64_t kernel, int64_t results) {
    if (node_ints(n, ATTR_WINDOW_REVERSE, NULL)[s]) k = kernel - 1 - k;
    int64_t base = node_ints(n, ATTR_BASE_DILATION, NULL)[s], dilation = node_ints(n, ATTR_WINDOW_DILATION, NULL)[s];
    int64_t at = i * base + node_ints(n, ATTR_PAD_LOW, NULL)[s] - k * dilation;
    int64_t stride = node_ints(n, ATTR_STRIDE, NULL)[s];
    return at < 0 || at % stride || at / stride >= results ? -1 : at / stride;
}

static void oracle_conv(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0], *w = &in[1];
    const int64_t *ls = node_ints(n, ATTR_LHS_SPEC, NULL), *rs = node_ints(n, ATTR_RHS_SPEC, NULL),
        *os = node_ints(n, ATTR_OUT_SPEC, NULL);
    int64_t fg = node_int(n, ATTR_FEATURE_GROUPS), bg = node_int(n, ATTR_BATCH_GROUPS);
    int64_t inputs = w->dim[rs[1]], outputs = w->dim[rs[0]], batch = x->dim[ls[0]] / bg;
    for (int64_t i = 0; i < y->count; i++) out[i] = (val){0};
    for (int64_t i = 0, xi[TSR_MAX_RANK]; i < x->count; i++) {
        ref_unravel(x->rank, x->dim, i, xi);
        for (int64_t j = 0, wi[TSR_MAX_RANK], to[TSR_MAX_RANK]; j < w->count; j++) {
            ref_unravel(w->rank, w->dim, j, wi);
            /* the feature group of this output */
            bool meet = xi[ls[1]] == wi[rs[0]] / (outputs / fg) * inputs + wi[rs[1]];
            meet = meet && xi[ls[0]] / batch == wi[rs[0]] / (outputs / bg);           /* its batch group */
            to[os[0]] = xi[ls[0]] % batch, to[os[1]] = wi[rs[0]];
            for (int s = 0; s < x->rank - 2; s++) {
                to[os[2 + s]] = reached(n, s, xi[ls[2 + s]], wi[rs[2 + s]], w->dim[rs[2 + s]], y->dim[os[2 + s]]);
                meet = meet && to[os[2 + s]] >= 0;
            }
            if (!meet) continue;
            int64_t at = ref_ravel(y->rank, y->dim, to);
            out[at] = val_add(y->dtype, out[at],
                              val_mul(y->dtype, as_result(x, i, y->dtype), as_result(w, j, y->dtype)));
        }
    }
}

TEST(dot_oracle) { check_against_oracle(TSR_OP_DOT, 30, oracle_dot); }
TEST(conv_oracle) { check_against_oracle(TSR_OP_CONV, 40, oracle_conv); }

TEST(dot_gradient) { check_gradient(TSR_OP_DOT, 200); }
TEST(conv_gradient) { check_gradient(TSR_OP_CONV, 400); }

TEST(dot_batching) { check_batching(TSR_OP_DOT, 150); }
TEST(conv_batching) { check_batching(TSR_OP_CONV, 250); }

/* ---- examples --------------------------------------------------------------------------------------------------- */

static tsr_fn *one_op(tsr_ctx *c, tsr_node *y) { return tsr_fn_end(c, 1, &y); }

TEST(dot_example) {
    static const double a[] = {1, 2, 3, 4, 5, 6, 7, 8}, b[] = {1, 0, 0, 1, 1, 0, 0, 1};
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "f");
    tsr_node *p = sample_param(c, TSR_I64, DIMS(2, 2, 2)), *q = sample_param(c, TSR_I64, DIMS(2, 2, 2));
    int64_t zero = 0, one = 1, two = 2;
    tsr_dot_dims d = {.n_batch = 1, .n_contract = 1, .lhs_batch = &zero, .rhs_batch = &zero, .lhs_contract = &two,
                      .rhs_contract = &one};
    tsr_fn *f = one_op(c, tsr_prim_dot(c, p, q, &d, TSR_I64));
    check_plain(c, f, 2, (struct plain[]){{TSR_I64, 3, {2, 2, 2}, a}, {TSR_I64, 3, {2, 2, 2}, b}},
                &(struct plain){TSR_I64, 3, {2, 2, 2}, a});
    tsr_fn_free(c, f);
}

/* Sums are kept in the result's dtype: i8 products that pass i8, f16 products that pass f16. */
TEST(dot_accumulates_in_the_result) {
    static const double ints[] = {100, 100, 100}, many[] = {300, 300, 300}, want_i32[] = {30000}, want_i8[] = {48},
        want_f32[] = {270000};
    static const struct { tsr_dtype in, out; const double *x, *want; } list[] = {
        {TSR_I8, TSR_I32, ints, want_i32}, {TSR_I8, TSR_I8, ints, want_i8}, {TSR_F16, TSR_F32, many, want_f32}};
    tsr_ctx *c = test_ctx();
    int64_t zero = 0;
    tsr_dot_dims d = {.n_contract = 1, .lhs_contract = &zero, .rhs_contract = &zero};
    for (int i = 0; i < 3; i++) {
        test_case("%s to %s", tsr_dtype_name(list[i].in), tsr_dtype_name(list[i].out));
        tsr_fn_begin(c, "f");
        tsr_node *p = sample_param(c, list[i].in, DIMS(3));
        tsr_fn *f = one_op(c, tsr_prim_dot(c, p, p, &d, list[i].out));
        check_plain(c, f, 1, (struct plain[]){{list[i].in, 1, {3}, list[i].x}},
                    &(struct plain){list[i].out, 0, {0}, list[i].want});
        tsr_fn_free(c, f);
    }
}

/* The specification's example: NHWC by HWIO, both spatial axes dilated by 2 in the input and strided by 4. */
TEST(conv_example) {
    static const double x[] = {1, 2, 5, 6, 3, 4, 7, 8, 10, 11, 14, 15, 12, 13, 16, 17},
        w[] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, want[] = {10, 26, 46, 62};
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "f");
    tsr_node *p = sample_param(c, TSR_I64, DIMS(1, 4, 4, 1)), *q = sample_param(c, TSR_I64, DIMS(3, 3, 1, 1));
    tsr_conv_dims d = {.spatial = 2, .lhs_spec = (int64_t[]){0, 3, 1, 2}, .rhs_spec = (int64_t[]){3, 2, 0, 1},
                       .out_spec = (int64_t[]){0, 3, 1, 2},
                       .stride = (int64_t[]){4, 4}, .lhs_dilation = (int64_t[]){2, 2}};
    tsr_fn *f = one_op(c, tsr_prim_conv(c, p, q, &d, TSR_I64));
    check_plain(c, f, 2, (struct plain[]){{TSR_I64, 4, {1, 4, 4, 1}, x}, {TSR_I64, 4, {3, 3, 1, 1}, w}},
                &(struct plain){TSR_I64, 4, {1, 2, 2, 1}, want});
    tsr_fn_free(c, f);
}

/* ---- symbolic extents ------------------------------------------------------------------------------------------- */

static tsr_node *dot_last_first(tsr_ctx *c, tsr_node *const *x) {
    int64_t a = tsr_node_rank(x[0]) - 1, b = 0;
    return tsr_prim_dot(c, x[0], x[1], &(tsr_dot_dims){.n_contract = 1, .lhs_contract = &a, .rhs_contract = &b},
                        TSR_F64);
}
static tsr_node *dot_batched(tsr_ctx *c, tsr_node *const *x) {
    int64_t zero = 0, two = 2;
    return tsr_prim_dot(c, x[0], x[1], &(tsr_dot_dims){1, 1, &zero, &zero, &two, &two}, TSR_F64);
}
static tsr_node *conv_with(tsr_ctx *c, tsr_node *const *x, int64_t stride, int64_t base, int64_t groups,
                           int64_t batch_groups) {
    tsr_conv_dims d = {.spatial = 1, .stride = &stride, .lhs_dilation = &base, .pad_low = (int64_t[]){1},
                       .pad_high = (int64_t[]){1},
                       .feature_groups = groups, .batch_groups = batch_groups};
    return tsr_prim_conv(c, x[0], x[1], &d, TSR_F64);
}
static tsr_node *conv_same(tsr_ctx *c, tsr_node *const *x) { return conv_with(c, x, 1, 1, 1, 1); }
static tsr_node *conv_strided(tsr_ctx *c, tsr_node *const *x) { return conv_with(c, x, 2, 1, 1, 1); }
static tsr_node *conv_dilated(tsr_ctx *c, tsr_node *const *x) { return conv_with(c, x, 2, 3, 1, 1); }
static tsr_node *conv_grouped(tsr_ctx *c, tsr_node *const *x) { return conv_with(c, x, 2, 1, 2, 1); }

TEST(contract_symbolic) {
    static const struct symbolic list[] = {
        {"dot rows", dot_last_first, 2, {{TSR_F64, 3, {-1, -2, 3}}, {TSR_F64, 2, {3, 4}}}, {{1, 1}, {5, 2}, {2, 7}}},
        {"dot contracted", dot_last_first, 2, {{TSR_F64, 2, {3, -1}}, {TSR_F64, 2, {-1, -2}}},
         {{1, 1}, {5, 2}, {2, 7}}},
        {"dot batch", dot_batched, 2, {{TSR_F64, 3, {-1, -2, 3}}, {TSR_F64, 3, {-1, 2, 3}}}, {{1, 1}, {5, 2}, {2, 7}}},
        {"conv same", conv_same, 2, {{TSR_F64, 3, {-1, 2, -2}}, {TSR_F64, 3, {4, 2, 3}}}, {{1, 1}, {3, 5}, {2, 8}}},
        {"conv strided", conv_strided, 2, {{TSR_F64, 3, {-1, 2, -2}}, {TSR_F64, 3, {4, 2, 3}}},
         {{1, 1}, {3, 5}, {2, 8}}},
        {"conv dilated", conv_dilated, 2, {{TSR_F64, 3, {-1, 2, -2}}, {TSR_F64, 3, {4, 2, 3}}},
         {{1, 1}, {3, 5}, {2, 8}}},
        {"conv grouped", conv_grouped, 2, {{TSR_F64, 3, {-1, 4, -2}}, {TSR_F64, 3, {4, 2, 3}}},
         {{1, 1}, {3, 5}, {2, 8}}},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) check_symbolic(&list[i]);
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

static tsr_node *dot_of(tsr_ctx *c, tsr_node *a, tsr_node *b, int64_t la, int64_t ra, tsr_dtype result) {
    return tsr_prim_dot(c, a, b, &(tsr_dot_dims){.n_contract = 1, .lhs_contract = &la, .rhs_contract = &ra}, result);
}
static tsr_node *f32(tsr_ctx *c, int64_t m, int64_t n) { return zeros(c, TSR_F32, DIMS(m, n)); }
static tsr_node *bad_extents(tsr_ctx *c) { return dot_of(c, f32(c, 2, 3), f32(c, 4, 5), 1, 0, TSR_F32); }
static tsr_node *bad_dot_axis(tsr_ctx *c) { return dot_of(c, f32(c, 2, 3), f32(c, 3, 5), 2, 0, TSR_F32); }
static tsr_node *bad_dot_dtypes(tsr_ctx *c) { return dot_of(c, f32(c, 2, 3), zeros(c, TSR_F16, DIMS(3, 5)), 1, 0,
                                                            TSR_F32); }
static tsr_node *bad_dot_result(tsr_ctx *c) { return dot_of(c, f32(c, 2, 3), f32(c, 3, 5), 1, 0, TSR_I32); }
static tsr_node *bad_dot_both(tsr_ctx *c) {
    int64_t zero = 0, one = 1;
    return tsr_prim_dot(c, f32(c, 3, 3), f32(c, 3, 3), &(tsr_dot_dims){1, 1, &zero, &one, &zero, &zero}, TSR_F32);
}
static tsr_node *bad_quantised(tsr_ctx *c) {
    unsigned char block[34] = {0};
    const tsr_type *t = tsr_type_dims(c, TSR_Q8_0, DIMS(1, 32));
    return dot_of(c, zeros(c, TSR_I32, DIMS(2, 32)), tsr_const(c, t, block), 1, 1, TSR_F32);
}
static tsr_node *conv_of_dims(tsr_ctx *c, int64_t n, int64_t in, int64_t out, int64_t kernel_in, tsr_conv_dims d) {
    d.spatial = 1;
    return tsr_prim_conv(c, zeros(c, TSR_F32, DIMS(n, in, 5)), zeros(c, TSR_F32, DIMS(out, kernel_in, 3)), &d, TSR_F32);
}
static tsr_node *bad_features(tsr_ctx *c) { return conv_of_dims(c, 1, 3, 4, 2, (tsr_conv_dims){0}); }
static tsr_node *bad_groups(tsr_ctx *c) { return conv_of_dims(c, 1, 4, 3, 2, (tsr_conv_dims){.feature_groups = 2}); }
static tsr_node *bad_batch_groups(tsr_ctx *c) { return conv_of_dims(c, 3, 2, 4, 2,
                                                                    (tsr_conv_dims){.batch_groups = 2}); }
static tsr_node *bad_both_groups(tsr_ctx *c) { return conv_of_dims(c, 2, 4, 4, 2,
                                                                   (tsr_conv_dims){.feature_groups = 2,
                                                                                   .batch_groups = 2}); }
static tsr_node *bad_conv_stride(tsr_ctx *c) { return conv_of_dims(c, 1, 2, 4, 2,
                                                                   (tsr_conv_dims){.stride = (int64_t[]){0}}); }
static tsr_node *bad_spec(tsr_ctx *c) { return conv_of_dims(c, 1, 2, 4, 2,
                                                            (tsr_conv_dims){.lhs_spec = (int64_t[]){0, 0, 2}}); }
static tsr_node *bad_conv_rank(tsr_ctx *c) {
    return tsr_prim_conv(c, f32(c, 2, 3), zeros(c, TSR_F32, DIMS(4, 3, 1)), &(tsr_conv_dims){.spatial = 1}, TSR_F32);
}

TEST(contract_refusals) {
    static const struct refusal list[] = {
        {"differ (3 and 4)", bad_extents},          {"lhs_contract[0] = 2 is not an axis", bad_dot_axis},
        {"have different dtypes", bad_dot_dtypes},  {"cannot be kept as i32", bad_dot_result},
        {"both a batch and a contracted", bad_dot_both}, {"a quantised weight must be q8_0", bad_quantised},
        {"takes 2 in each of 1 groups", bad_features}, {"2 groups do not divide the output features 3", bad_groups},
        {"2 groups do not divide the batch 3", bad_batch_groups}, {"one of them is 1", bad_both_groups},
        {"must all be at least 1", bad_conv_stride}, {"names axis 0 twice", bad_spec},
        {"input and kernel have rank 3", bad_conv_rank},
    };
    check_refusals(list, sizeof list / sizeof *list);
}

/* Mapping a symbolic batch over input and kernel at once has no constant number of groups. */
TEST(conv_vmap_symbolic) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *b = tsr_extent_symbol(c, "B", 1, 100);
    tsr_fn_begin(c, "f");
    tsr_node *x = zeros(c, TSR_F32, DIMS(1, 2, 5)), *w = zeros(c, TSR_F32, DIMS(4, 2, 3));
    tsr_node *y = tsr_prim_conv(c, x, w, &(tsr_conv_dims){.spatial = 1}, TSR_F32);
    tsr_node *src[2] = {tsr_param(c, type_insert_axis(c, x->type, 0, b), "x"), w};
    tsr_node *one = op_def(TSR_OP_CONV)->vmap(c, y, src, (bool[]){true, false}, b);
    CHECK(!tsr_is_poison(one) && one->type == type_insert_axis(c, y->type, 0, b));
    src[1] = tsr_param(c, type_insert_axis(c, w->type, 0, b), "w");
    CHECK(tsr_is_poison(op_def(TSR_OP_CONV)->vmap(c, y, src, (bool[]){true, true}, b)));
    CHECK_ERROR(c, TSR_EUNSUPPORTED, "one group for each member");
    tsr_fn_abort(c);
}

TEST(contract_torture) {
    check_torture(TSR_OP_DOT);
    check_torture(TSR_OP_CONV);
}
