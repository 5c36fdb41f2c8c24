/* test_ops_index.c: dynamic_slice, dynamic_update_slice, gather and scatter against the definitions of the StableHLO
 * specification (the formulas for operand and result index, spelled out), their gradients, batching, refusals and
 * symbolic extents. */
#include "op_check.h"

/* links them in while the table of ops.c is weak */
/* ---- oracles ---------------------------------------------------------------------------------------------------- */

static int64_t index_number(const struct ref_tensor *t, int64_t at) {
    val v = ref_get(t, at);
    return tsr_dtype_of(t->dtype)->kind == TSR_KIND_INT ? v.i : (int64_t)v.u;
}

static int64_t clamp(int64_t v, int64_t hi) { return v < 0 ? 0 : v > hi ? hi : v; }

static void oracle_dynamic_slice(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0];
    (void)n;
    for (int64_t k = 0, at[TSR_MAX_RANK]; k < x->count; k++) { /* over the operand: which result is it? */
        bool taken = true;
        ref_unravel(x->rank, x->dim, k, at);
        for (int i = 0; i < x->rank; i++) {
            at[i] -= clamp(index_number(&in[1 + i], 0), x->dim[i] - y->dim[i]);
            taken = taken && at[i] >= 0 && at[i] < y->dim[i];
        }
        if (taken) out[ref_ravel(y->rank, y->dim, at)] = ref_get(x, k);
    }
}

static void oracle_update(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0], *u = &in[1];
    (void)n;
    for (int64_t k = 0, at[TSR_MAX_RANK]; k < y->count; k++) {
        bool over = true;
        ref_unravel(x->rank, x->dim, k, at);
        for (int i = 0; i < x->rank; i++) {
            at[i] -= clamp(index_number(&in[2 + i], 0), x->dim[i] - u->dim[i]);
            over = over && at[i] >= 0 && at[i] < u->dim[i];
        }
        out[k] = over ? ref_get(u, ref_ravel(u->rank, u->dim, at)) : ref_get(x, k);
    }
}

static bool among(const int64_t *list, int n, int64_t v) {
    for (int i = 0; i < n; i++)
        if (list[i] == v) return true;
    return false;
}

/* The spec's index arithmetic, list by list: full_start_index, full_batching_index, full_offset_index of a result
 * (update) position. */
struct place { int64_t start[TSR_MAX_RANK], batching[TSR_MAX_RANK], offset[TSR_MAX_RANK]; };
static struct place place_of(const tsr_node *n, const struct ref_tensor *index, int rank, int at_rank,
                             const int64_t *at) {
    int no, nc, nb, nm;
    const int64_t *offset = node_ints(n, ATTR_OFFSET_DIMS, &no), *collapsed = node_ints(n, ATTR_COLLAPSED_DIMS, &nc);
    const int64_t *ob = node_ints(n, ATTR_OPERAND_BATCHING, &nb), *ib = node_ints(n, ATTR_INDEX_BATCHING, NULL);
    const int64_t *map = node_ints(n, ATTR_INDEX_MAP, &nm), v = node_int(n, ATTR_INDEX_VECTOR_AXIS);
    int64_t batch_index[TSR_MAX_RANK], offset_index[TSR_MAX_RANK], where[TSR_MAX_RANK];
    int batch = 0, window = 0;
    struct place p = {{0}, {0}, {0}};
    for (int a = 0; a < at_rank; a++) {
        if (among(offset, no, a)) offset_index[window++] = at[a];
        else batch_index[batch++] = at[a];
    }
    for (int k = 0; k < nm; k++) {
        for (int i = 0, b = 0; i < index->rank; i++) where[i] = i == v ? k : batch_index[b++];
        p.start[map[k]] = index_number(index, ref_ravel(index->rank, index->dim, where));
    }
    for (int i = 0; i < nb; i++) p.batching[ob[i]] = batch_index[ib[i] - (ib[i] < v ? 0 : 1)];
    for (int a = 0, w = 0; a < rank; a++)
        p.offset[a] = among(collapsed, nc, a) || among(ob, nb, a) ? 0 : offset_index[w++];
    return p;
}

static void oracle_gather(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0];
    int nm;
    const int64_t *map = node_ints(n, ATTR_INDEX_MAP, &nm);
    const tsr_extent *const *sizes = node_exts(n, ATTR_SIZES, NULL);
    for (int64_t k = 0, at[TSR_MAX_RANK], from[TSR_MAX_RANK]; k < y->count; k++) {
        ref_unravel(y->rank, y->dim, k, at);
        struct place p = place_of(n, &in[1], x->rank, y->rank, at);
        for (int a = 0; a < x->rank; a++) {
            int64_t size = 0;
            tsr_extent_is_int(sizes[a], &size);
            from[a] = (among(map, nm, a) ? clamp(p.start[a], x->dim[a] - size) : 0) + p.batching[a] + p.offset[a];
        }
        out[k] = ref_get(x, ref_ravel(x->rank, x->dim, from));
    }
}

/* Window extents over operand axes: 1 where inserted or batching, else the update's, in order. */
static void windows(const tsr_node *n, const struct ref_tensor *x, const struct ref_tensor *u, int64_t *size) {
    int no, nc, nb, w = 0;
    const int64_t *offset = node_ints(n, ATTR_OFFSET_DIMS, &no), *collapsed = node_ints(n, ATTR_COLLAPSED_DIMS, &nc);
    const int64_t *batching = node_ints(n, ATTR_OPERAND_BATCHING, &nb);
    for (int a = 0; a < x->rank; a++)
        size[a] = among(collapsed, nc, a) || among(batching, nb, a) ? 1 : u->dim[offset[w++]];
    CHECK_EQ(w, no);
}

static void oracle_scatter(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    static const int64_t as[] = {-1, TSR_REDUCE_SUM, TSR_REDUCE_PROD, TSR_REDUCE_MIN, TSR_REDUCE_MAX};
    const struct ref_tensor *x = &in[0], *u = &in[2];
    int64_t mode = node_int(n, ATTR_MODE), size[TSR_MAX_RANK], at[TSR_MAX_RANK], to[TSR_MAX_RANK];
    int nm;
    const int64_t *map = node_ints(n, ATTR_INDEX_MAP, &nm);
    windows(n, x, u, size);
    for (int64_t k = 0; k < y->count; k++) out[k] = ref_get(x, k);
    for (int64_t k = 0; k < u->count; k++) {
        bool inside = true;
        ref_unravel(u->rank, u->dim, k, at);
        struct place p = place_of(n, &in[1], x->rank, u->rank, at);
        for (int a = 0; a < x->rank; a++) {
            if (among(map, nm, a)) inside = inside && p.start[a] >= 0 && p.start[a] + size[a] <= x->dim[a];
            to[a] = p.start[a] + p.batching[a] + p.offset[a];
        }
        if (!inside) continue;
        int64_t place = ref_ravel(x->rank, x->dim, to);
        out[place] = mode == TSR_SCATTER_SET ? ref_get(u, k)
            : val_reduce(as[mode], x->dtype, out[place], ref_get(u, k));
    }
}

TEST(dynamic_slice_oracle) { check_against_oracle(TSR_OP_DYNAMIC_SLICE, 25, oracle_dynamic_slice); }
TEST(dynamic_update_slice_oracle) { check_against_oracle(TSR_OP_DYNAMIC_UPDATE_SLICE, 25, oracle_update); }
TEST(gather_oracle) { check_against_oracle(TSR_OP_GATHER, 60, oracle_gather); }
TEST(scatter_oracle) { check_against_oracle(TSR_OP_SCATTER, 60, oracle_scatter); }

TEST(dynamic_slice_gradient) { check_gradient(TSR_OP_DYNAMIC_SLICE, 60); }
TEST(dynamic_update_slice_gradient) { check_gradient(TSR_OP_DYNAMIC_UPDATE_SLICE, 60); }
TEST(gather_gradient) { check_gradient(TSR_OP_GATHER, 150); }
TEST(scatter_gradient) { check_gradient(TSR_OP_SCATTER, 300); }

TEST(dynamic_slice_batching) { check_batching(TSR_OP_DYNAMIC_SLICE, 80); }
TEST(dynamic_update_slice_batching) { check_batching(TSR_OP_DYNAMIC_UPDATE_SLICE, 80); }
TEST(gather_batching) { check_batching(TSR_OP_GATHER, 200); }
TEST(scatter_batching) { check_batching(TSR_OP_SCATTER, 200); }

/* ---- the specification's examples ------------------------------------------------------------------------------- */

static tsr_fn *one_op(tsr_ctx *c, tsr_node *y) { return tsr_fn_end(c, 1, &y); }

TEST(dynamic_slice_example) {
    static const double x[] = {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}, row = -1, column = 3,
        want[] = {1, 1, 1, 1};
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "f");
    tsr_node *p = sample_param(c, TSR_I32, DIMS(4, 4)),
        *start[2] = {sample_param(c, TSR_I64, 0, NULL), sample_param(c, TSR_I64, 0, NULL)};
    tsr_fn *f = one_op(c, tsr_prim_dynamic_slice(c, p, start,
                                                 (const tsr_extent *[]){tsr_extent_int(c, 2), tsr_extent_int(c, 2)}));
    check_plain(c, f, 3, (struct plain[]){{TSR_I32, 2, {4, 4}, x}, {TSR_I64, 0, {0}, &row}, {TSR_I64, 0, {0}, &column}},
                &(struct plain){TSR_I32, 2, {2, 2}, want});
    tsr_fn_free(c, f);
}

TEST(dynamic_update_slice_example) {
    static const double x[] = {1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}, u[] = {1, 1, 1, 1}, row = -1,
        column = 3;
    static const double want[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "f");
    tsr_node *p = sample_param(c, TSR_I32, DIMS(4, 4)), *q = sample_param(c, TSR_I32, DIMS(2, 2));
    tsr_node *start[2] = {sample_param(c, TSR_I64, 0, NULL), sample_param(c, TSR_I64, 0, NULL)};
    tsr_fn *f = one_op(c, tsr_prim_dynamic_update_slice(c, p, q, start));
    check_plain(c, f, 4, (struct plain[]){{TSR_I32, 2, {4, 4}, x}, {TSR_I32, 2, {2, 2}, u}, {TSR_I64, 0, {0}, &row},
                                          {TSR_I64, 0, {0}, &column}},
                &(struct plain){TSR_I32, 2, {4, 4}, want});
    tsr_fn_free(c, f);
}

/* Rows 2, 0 and, clamped, 3 and 0 of a table. */
static const int64_t axis0 = 0, axis1 = 1;
static const tsr_gather_dims rows = {.n_offset = 1, .offset = &axis1, .n_collapsed = 1, .collapsed = &axis0, .n_map = 1,
                                     .map = &axis0, .index_vector_axis = 1};

TEST(gather_rows) {
    static const double x[] = {1, 2, 3, 4, 5, 6, 7, 8}, at[] = {2, 0, 9, -5}, want[] = {5, 6, 1, 2, 7, 8, 1, 2};
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "f");
    tsr_node *p = sample_param(c, TSR_F32, DIMS(4, 2)), *i = sample_param(c, TSR_I32, DIMS(4));
    tsr_fn *f = one_op(c, tsr_prim_gather(c, p, i, &rows,
                                          (const tsr_extent *[]){tsr_extent_int(c, 1), tsr_extent_int(c, 2)}));
    check_plain(c, f, 2, (struct plain[]){{TSR_F32, 2, {4, 2}, x}, {TSR_I32, 1, {4}, at}},
                &(struct plain){TSR_F32, 2, {4, 2}, want});
    tsr_fn_free(c, f);
}

/* Row 1 is written three times, row 9 is skipped: each way of combining, in order of the updates. */
TEST(scatter_rows) {
    static const double x[] = {1, 2, 3, 4, 5, 6}, at[] = {1, 9, 1, 1}, u[] = {2, 7, 90, 91, 5, 1, 4, 3};
    static const double want[][6] = {{1, 2, 4, 3, 5, 6}, {1, 2, 14, 15, 5, 6}, {1, 2, 120, 84, 5, 6},
                                     {1, 2, 2, 1, 5, 6}, {1, 2, 5, 7, 5, 6}};
    tsr_ctx *c = test_ctx();
    for (int how = TSR_SCATTER_SET; how <= TSR_SCATTER_MAX; how++) {
        test_case("mode %d", how);
        tsr_fn_begin(c, "f");
        tsr_node *p = sample_param(c, TSR_F32, DIMS(3, 2)), *i = sample_param(c, TSR_I32, DIMS(4)),
            *q = sample_param(c, TSR_F32, DIMS(4, 2));
        tsr_fn *f = one_op(c, tsr_prim_scatter(c, p, i, q, &rows, (tsr_scatter)how));
        check_plain(c, f, 3, (struct plain[]){{TSR_F32, 2, {3, 2}, x}, {TSR_I32, 1, {4}, at}, {TSR_F32, 2, {4, 2}, u}},
                    &(struct plain){TSR_F32, 2, {3, 2}, want[how]});
        tsr_fn_free(c, f);
    }
}

/* d/du of x * u0 * u1 * u2 at one place, with one and with two zeros among the factors. */
TEST(scatter_mul_gradient_with_zeros) {
    static const double x[] = {3}, at[] = {0, 0, 0}, g[] = {1}, one[] = {2, 0, 5}, two[] = {0, 0, 5};
    static const double want_one[] = {0, 30, 0}, want_two[] = {0, 0, 0};
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 2; k++) {
        test_case("%d zeros", k + 1);
        tsr_fn_begin(c, "f");
        tsr_gather_dims d = {.n_collapsed = 1, .collapsed = &axis0, .n_map = 1, .map = &axis0, .index_vector_axis = 1};
        tsr_node *p = sample_param(c, TSR_F64, DIMS(1)), *i = sample_param(c, TSR_I32, DIMS(3)),
            *u = sample_param(c, TSR_F64, DIMS(3));
        tsr_node *q = sample_param(c, TSR_F64, DIMS(1)), *y = tsr_prim_scatter(c, p, i, u, &d, TSR_SCATTER_MUL),
            *cot[3] = {0};
        CHECK(op_def(TSR_OP_SCATTER)->vjp(c, y, &q, (bool[]){true, false, true}, cot));
        tsr_fn *f = one_op(c, cot[2]);
        check_plain(c, f, 4, (struct plain[]){{TSR_F64, 1, {1}, x}, {TSR_I32, 1, {3}, at},
                                              {TSR_F64, 1, {3}, k ? two : one}, {TSR_F64, 1, {1}, g}},
                    &(struct plain){TSR_F64, 1, {3}, k ? want_two : want_one});
        tsr_fn_free(c, f);
    }
}

/* ---- symbolic extents ------------------------------------------------------------------------------------------- */

static tsr_node *symbolic_slice(tsr_ctx *c, tsr_node *const *x) {
    return tsr_prim_dynamic_slice(c, x[0], x + 1, (const tsr_extent *[]){x[0]->type->extent[0], tsr_extent_int(c, 2)});
}
static tsr_node *symbolic_update(tsr_ctx *c,
                                 tsr_node *const *x) { return tsr_prim_dynamic_update_slice(c, x[0], x[1], x + 2); }
static tsr_node *symbolic_gather(tsr_ctx *c, tsr_node *const *x) {
    return tsr_prim_gather(c, x[0], x[1], &rows, (const tsr_extent *[]){tsr_extent_int(c, 1), x[0]->type->extent[1]});
}
static tsr_node *symbolic_add(tsr_ctx *c,
                              tsr_node *const *x) { return tsr_prim_scatter(c, x[0], x[1], x[2], &rows,
                                                                            TSR_SCATTER_ADD); }
static tsr_node *symbolic_set(tsr_ctx *c,
                              tsr_node *const *x) { return tsr_prim_scatter(c, x[0], x[1], x[2], &rows,
                                                                            TSR_SCATTER_SET); }

TEST(index_symbolic) {
    static const struct symbolic list[] = {
        {"dynamic_slice", symbolic_slice, 3, {{TSR_F64, 2, {-1, 5}}, {TSR_I32, 0, {0}}, {TSR_I32, 0, {0}}},
         {{1, 1}, {4, 1}, {7, 1}}},
        {"dynamic_update_slice", symbolic_update, 4,
         {{TSR_F64, 2, {-1, 5}}, {TSR_F64, 2, {-1, 2}}, {TSR_I32, 0, {0}}, {TSR_I32, 0, {0}}}, {{1, 1}, {4, 1}}},
        {"gather", symbolic_gather, 2, {{TSR_F64, 2, {-2, 3}}, {TSR_I32, 1, {-1}}}, {{1, 1}, {4, 2}, {2, 5}}},
        {"gather of columns", symbolic_gather, 2, {{TSR_F64, 2, {6, -2}}, {TSR_I32, 1, {-1}}},
         {{1, 1}, {4, 2}, {2, 5}}},
        {"scatter add", symbolic_add, 3, {{TSR_F64, 2, {-2, 3}}, {TSR_I32, 1, {-1}}, {TSR_F64, 2, {-1, 3}}},
         {{1, 1}, {4, 2}, {2, 5}}},
        {"scatter set", symbolic_set, 3, {{TSR_F64, 2, {-2, 3}}, {TSR_I32, 1, {-1}}, {TSR_F64, 2, {-1, 3}}},
         {{1, 1}, {4, 2}, {9, 2}}},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) check_symbolic(&list[i]);
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

static tsr_node *bad_start_count(tsr_ctx *c) {
    tsr_node *x = zeros(c, TSR_F32, DIMS(4, 4)), *start[2] = {zeros(c, TSR_F32, 0, NULL), zeros(c, TSR_I32, 0, NULL)};
    return tsr_prim_dynamic_slice(c, x, start, (const tsr_extent *[]){tsr_extent_int(c, 1), tsr_extent_int(c, 1)});
}
static tsr_node *bad_slice_size(tsr_ctx *c) {
    tsr_node *x = zeros(c, TSR_F32, DIMS(4, 4)), *start[2] = {zeros(c, TSR_I32, 0, NULL), zeros(c, TSR_I32, 0, NULL)};
    return tsr_prim_dynamic_slice(c, x, start, (const tsr_extent *[]){tsr_extent_int(c, 1), tsr_extent_int(c, 5)});
}
static tsr_node *bad_update_dtype(tsr_ctx *c) {
    tsr_node *start[1] = {zeros(c, TSR_I32, 0, NULL)};
    return tsr_prim_dynamic_update_slice(c, zeros(c, TSR_F32, DIMS(4)), zeros(c, TSR_F64, DIMS(2)), start);
}
static tsr_node *gather_with(tsr_ctx *c, tsr_gather_dims d, tsr_dtype index, int64_t first, int64_t second) {
    return tsr_prim_gather(c, zeros(c, TSR_F32, DIMS(4, 2)), zeros(c, index, DIMS(3)), &d,
                           (const tsr_extent *[]){tsr_extent_int(c, first), tsr_extent_int(c, second)});
}
static tsr_node *bad_index_dtype(tsr_ctx *c) { return gather_with(c, rows, TSR_F32, 1, 2); }
static tsr_node *bad_collapsed(tsr_ctx *c) { return gather_with(c, rows, TSR_I32, 2, 2); }
static tsr_node *bad_gather_size(tsr_ctx *c) { return gather_with(c, rows, TSR_I32, 1, 3); }
static tsr_node *bad_window_count(tsr_ctx *c) {
    tsr_gather_dims d = rows;
    d.n_collapsed = 0;
    return gather_with(c, d, TSR_I32, 1, 2);
}
static tsr_node *bad_map(tsr_ctx *c) {
    tsr_gather_dims d = rows;
    d.map = (int64_t[]){7};
    return gather_with(c, d, TSR_I32, 1, 2);
}
static tsr_node *bad_vector_axis(tsr_ctx *c) {
    tsr_gather_dims d = rows;
    d.index_vector_axis = 0;
    return gather_with(c, d, TSR_I32, 1, 2);
}
static tsr_node *bad_scatter_update(tsr_ctx *c) {
    return tsr_prim_scatter(c, zeros(c, TSR_F32, DIMS(4, 2)), zeros(c, TSR_I32, DIMS(3)), zeros(c, TSR_F32, DIMS(3, 5)),
                            &rows, TSR_SCATTER_ADD);
}
static tsr_node *bad_scatter_count(tsr_ctx *c) {
    return tsr_prim_scatter(c, zeros(c, TSR_F32, DIMS(4, 2)), zeros(c, TSR_I32, DIMS(3)), zeros(c, TSR_F32, DIMS(2, 2)),
                            &rows, TSR_SCATTER_ADD);
}
static tsr_node *bad_scatter_mode(tsr_ctx *c) {
    return tsr_prim_scatter(c, zeros(c, TSR_F32, DIMS(4, 2)), zeros(c, TSR_I32, DIMS(3)), zeros(c, TSR_F32, DIMS(3, 2)),
                            &rows, (tsr_scatter)9);
}

TEST(index_refusals) {
    static const struct refusal list[] = {
        {"start indices are integer scalars", bad_start_count}, {"take at most 4 there", bad_slice_size},
        {"both need one dtype and one rank", bad_update_dtype}, {"must hold integers", bad_index_dtype},
        {"it must be 1 there", bad_collapsed},                  {"does not fit into f32[4,2]", bad_gather_size},
        {"must together be the 2 axes", bad_window_count},      {"index map[0] = 7 is not an axis", bad_map},
        {"index vectors of length 3", bad_vector_axis},
                {"longer than axis 1 of the operand", bad_scatter_update},
        {"must have the extent of axis 0", bad_scatter_count},  {"not one of tsr_scatter", bad_scatter_mode},
    };
    check_refusals(list, sizeof list / sizeof *list);
}

TEST(index_torture) {
    check_torture(TSR_OP_DYNAMIC_SLICE);
    check_torture(TSR_OP_DYNAMIC_UPDATE_SLICE);
    check_torture(TSR_OP_GATHER);
    check_torture(TSR_OP_SCATTER);
}
