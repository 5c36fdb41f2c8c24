/* test_ops_reduce.c: reduce, argreduce, cumulate, reduce_window and select_and_scatter against their definitions,
 * their gradients, batching, corner cases (empty axes, NaN, ties, zeros in products), refusals and symbolic extents. */
#include <stdlib.h>

#include "op_check.h"

/* links them in while the table of ops.c is weak */
/* ---- oracles ---------------------------------------------------------------------------------------------------- */

static val identity(int64_t op, tsr_dtype t) {
    int bits = tsr_dtype_of(t)->bits;
    double inf = t == TSR_F8E4M3 ? 448 : INFINITY;
    bool is_int = tsr_dtype_of(t)->kind == TSR_KIND_INT;
    uint64_t ones = t == TSR_BOOL ? 1 : bits < 64 ? ((uint64_t)1 << bits) - 1 : ~(uint64_t)0;
    switch (op) {
    case TSR_REDUCE_PROD: return (val){1, 0, 1, 1};
    case TSR_REDUCE_MAX: return (val){-inf, -inf, is_int ? -((int64_t)1 << (bits - 2)) * 2 : 0, 0};
    case TSR_REDUCE_MIN: return (val){inf, inf, is_int ? (int64_t)(((uint64_t)1 << (bits - 1)) - 1) : 0, ones};
    case TSR_REDUCE_AND: return (val){.i = -1, .u = ones};
    default: return (val){0};
    }
}

static void oracle_reduce(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0];
    int na;
    const int64_t *axes = node_ints(n, ATTR_AXES, &na);
    for (int64_t o = 0; o < y->count; o++) { /* the sub-cube of each result, found by comparing coordinates */
        out[o] = identity(node_int(n, ATTR_REDUCE), x->dtype);
        int64_t want[TSR_MAX_RANK], at[TSR_MAX_RANK];
        ref_unravel(y->rank, y->dim, o, want);
        for (int64_t k = 0; k < x->count; k++) {
            bool mine = true;
            ref_unravel(x->rank, x->dim, k, at);
            for (int a = 0, b = 0; a < x->rank; a++) {
                bool gone = false;
                for (int i = 0; i < na; i++) gone = gone || axes[i] == a;
                if (!gone) mine = mine && at[a] == want[b++];
            }
            if (mine) out[o] = val_reduce(node_int(n, ATTR_REDUCE), x->dtype, out[o], ref_get(x, k));
        }
    }
}

static void oracle_argreduce(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0];
    int64_t axis = node_int(n, ATTR_AXIS), at[TSR_MAX_RANK];
    bool max = node_int(n, ATTR_REDUCE) == TSR_REDUCE_MAX;
    for (int64_t o = 0; o < y->count; o++) {
        int64_t best = 0, best_at = 0, n_axis = x->dim[axis];
        ref_unravel(y->rank, y->dim, o, at);
        for (int a = x->rank - 1; a > axis; a--) at[a] = at[a - 1];
        for (int64_t i = n_axis - 1; i >= 0; i--) { /* from the end: a later equal one is overtaken by an earlier */
            at[axis] = i;
            int64_t k = ref_ravel(x->rank, x->dim, at);
            bool worse = max ? val_less(x->dtype, ref_get(x, k), ref_get(x, best_at))
                : val_less(x->dtype, ref_get(x, best_at), ref_get(x, k));
            if (i == n_axis - 1 || !worse) best = i, best_at = k;
        }
        out[o] = (val){.i = best, .u = (uint64_t)best};
    }
}

static void oracle_cumulate(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0];
    int64_t axis = node_int(n, ATTR_AXIS), at[TSR_MAX_RANK];
    bool reverse = node_int(n, ATTR_REVERSE) != 0;
    for (int64_t o = 0; o < y->count; o++) {
        ref_unravel(y->rank, y->dim, o, at);
        int64_t end = at[axis];
        out[o] = ref_get(x, o);
        for (int64_t i = 0; i < x->dim[axis]; i++) {
            at[axis] = i;
            if (reverse ? i > end : i < end)
                out[o] = val_reduce(node_int(n, ATTR_REDUCE), x->dtype, out[o],
                                    ref_get(x, ref_ravel(x->rank, x->dim, at)));
        }
    }
}

/* The source is laid out dilated and padded for real, filled with the identity, and windows slide over that. */
struct laid_out { int64_t dim[TSR_MAX_RANK], count; val *v; int64_t *from; };
static void lay_out(const tsr_node *n, const struct ref_tensor *x, val fill, struct laid_out *p) {
    const int64_t *low = node_ints(n, ATTR_PAD_LOW, NULL), *high = node_ints(n, ATTR_PAD_HIGH, NULL);
    const struct attr *base = node_attr(n, ATTR_BASE_DILATION);
    p->count = 1;
    for (int a = 0; a < x->rank; a++) {
        int64_t b = base ? base->ints[a] : 1;
        p->dim[a] = low[a] + high[a] + (x->dim[a] ? (x->dim[a] - 1) * b + 1 : 0);
        p->count *= p->dim[a] < 0 ? p->dim[a] = 0 : p->dim[a];
    }
    p->v = calloc((size_t)p->count + 1, sizeof *p->v), p->from = calloc((size_t)p->count + 1, sizeof *p->from);
    for (int64_t k = 0; k < p->count; k++) p->v[k] = fill, p->from[k] = -1;
    for (int64_t k = 0, at[TSR_MAX_RANK]; k < x->count; k++) {
        bool inside = true;
        ref_unravel(x->rank, x->dim, k, at);
        for (int a = 0; a < x->rank; a++) {
            at[a] = at[a] * (base ? base->ints[a] : 1) + low[a];
            inside = inside && at[a] >= 0 && at[a] < p->dim[a];
        }
        if (inside) p->from[ref_ravel(x->rank, p->dim, at)] = k, p->v[ref_ravel(x->rank, p->dim, at)] = ref_get(x, k);
    }
}

/* Position of window element k of result o in the laid-out source. */
static int64_t slid(const tsr_node *n, const struct laid_out *p, int rank, const int64_t *o, int64_t k) {
    const int64_t *window = node_ints(n, ATTR_WINDOW, NULL), *stride = node_ints(n, ATTR_STRIDE, NULL);
    const struct attr *dilation = node_attr(n, ATTR_WINDOW_DILATION);
    int64_t at[TSR_MAX_RANK];
    ref_unravel(rank, window, k, at);
    for (int a = 0; a < rank; a++) at[a] = o[a] * stride[a] + at[a] * (dilation ? dilation->ints[a] : 1);
    return ref_ravel(rank, p->dim, at);
}

static int64_t window_count(const tsr_node *n, int rank) {
    int64_t count = 1;
    for (int a = 0; a < rank; a++) count *= node_ints(n, ATTR_WINDOW, NULL)[a];
    return count;
}

static void oracle_reduce_window(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    int64_t op = node_int(n, ATTR_REDUCE), o[TSR_MAX_RANK];
    struct laid_out p;
    lay_out(n, &in[0], identity(op, in[0].dtype), &p);
    for (int64_t i = 0; i < y->count; i++) {
        out[i] = identity(op, in[0].dtype);
        ref_unravel(y->rank, y->dim, i, o);
        for (int64_t k = 0; k < window_count(n, y->rank); k++)
            out[i] = val_reduce(op, in[0].dtype, out[i], p.v[slid(n, &p, y->rank, o, k)]);
    }
    free(p.v), free(p.from);
}

static void oracle_select(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *src = &in[1];
    bool max = node_int(n, ATTR_REDUCE) == TSR_REDUCE_MAX;
    struct laid_out p;
    lay_out(n, &in[0], (val){0}, &p);
    for (int64_t i = 0; i < y->count; i++) out[i] = (val){0};
    for (int64_t i = 0, o[TSR_MAX_RANK]; i < src->count; i++) {
        int64_t best = -1;
        ref_unravel(src->rank, src->dim, i, o);
        for (int64_t k = 0; k < window_count(n, src->rank); k++) {
            int64_t at = slid(n, &p, src->rank, o, k);
            if (p.from[at] < 0) continue;
            if (best < 0 || (max ? val_less(y->dtype, p.v[best], p.v[at]) : val_less(y->dtype, p.v[at], p.v[best])))
                best = at;
        }
        if (best >= 0) out[p.from[best]] = val_add(y->dtype, out[p.from[best]], ref_get(src, i));
    }
    free(p.v), free(p.from);
}

TEST(reduce_oracle) { check_against_oracle(TSR_OP_REDUCE, 40, oracle_reduce); }
TEST(argreduce_oracle) { check_against_oracle(TSR_OP_ARGREDUCE, 25, oracle_argreduce); }
TEST(cumulate_oracle) { check_against_oracle(TSR_OP_CUMULATE, 30, oracle_cumulate); }
TEST(reduce_window_oracle) { check_against_oracle(TSR_OP_REDUCE_WINDOW, 40, oracle_reduce_window); }
TEST(select_and_scatter_oracle) { check_against_oracle(TSR_OP_SELECT_AND_SCATTER, 30, oracle_select); }

TEST(reduce_gradient) { check_gradient(TSR_OP_REDUCE, 150); }
TEST(cumulate_gradient) { check_gradient(TSR_OP_CUMULATE, 150); }
TEST(reduce_window_gradient) { check_gradient(TSR_OP_REDUCE_WINDOW, 200); }
TEST(select_and_scatter_gradient) { check_gradient(TSR_OP_SELECT_AND_SCATTER, 100); }

TEST(reduce_batching) { check_batching(TSR_OP_REDUCE, 60); }
TEST(argreduce_batching) { check_batching(TSR_OP_ARGREDUCE, 60); }
TEST(cumulate_batching) { check_batching(TSR_OP_CUMULATE, 60); }
TEST(reduce_window_batching) { check_batching(TSR_OP_REDUCE_WINDOW, 60); }
TEST(select_and_scatter_batching) { check_batching(TSR_OP_SELECT_AND_SCATTER, 60); }

/* ---- examples and corner cases ---------------------------------------------------------------------------------- */

static tsr_fn *one_op(tsr_ctx *c, tsr_node *y) { return tsr_fn_end(c, 1, &y); }

/* A row of numbers through an op along its only axis. */
struct row_case { const char *what; tsr_dtype t; int n; double x[6]; int m; double want[6]; };
typedef tsr_node *row_op(tsr_ctx *c, tsr_node *x);
static void check_rows(const struct row_case *r, int n, row_op *const *op, tsr_dtype result) {
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < n; i++) {
        test_case("%s", r[i].what);
        tsr_fn_begin(c, "f");
        tsr_node *x = sample_param(c, r[i].t, 1, (int64_t[]){r[i].n});
        tsr_fn *f = one_op(c, op[i](c, x));
        int rank = f ? f->result.v[0]->type->rank : 0;
        check_plain(c, f, 1, (struct plain[]){{r[i].t, 1, {r[i].n}, r[i].x}},
                    &(struct plain){result == TSR_DTYPE_COUNT ? r[i].t : result, rank, {r[i].m}, r[i].want});
        tsr_fn_free(c, f);
    }
}

#define ROW_REDUCE(op)                                            \
    static tsr_node *row_##op(tsr_ctx *c, tsr_node *x) {          \
        return tsr_prim_reduce(c, x, TSR_REDUCE_##op, 1, (int64_t[]){0}); \
    }
ROW_REDUCE(SUM)
ROW_REDUCE(PROD)
ROW_REDUCE(MAX)
ROW_REDUCE(MIN)
ROW_REDUCE(AND)
ROW_REDUCE(OR)
ROW_REDUCE(XOR)

TEST(reduce_examples) {
    static const struct row_case list[] = {
        {"the specification's sum", TSR_I64, 6, {0, 1, 2, 3, 4, 5}, 1, {15}},
            {"bytes wrap", TSR_U8, 3, {200, 100, 1}, 1, {45}},
        {"product of nothing", TSR_F32, 0, {0}, 1, {1}},
                             {"max of nothing", TSR_F32, 0, {0}, 1, {-INFINITY}},
        {"max of no bytes", TSR_I8, 0, {0}, 1, {-128}},
                              {"min of nothing", TSR_F32, 0, {0}, 1, {INFINITY}},
        {"NaN wins", TSR_F32, 3, {1, NAN, 2}, 1, {NAN}},                      {"and", TSR_I32, 3, {7, 6, 12}, 1, {4}},
        {"or", TSR_BOOL, 3, {0, 1, 0}, 1, {1}},                               {"xor", TSR_U16, 3, {1, 3, 8}, 1, {10}},
        {"bool sum is or", TSR_BOOL, 3, {1, 1, 0}, 1, {1}},
                          {"sum of f16 is rounded once", TSR_F16, 3, {2048, 1, 1}, 1, {2050}},
    };
    static row_op *const op[] = {row_SUM, row_SUM, row_PROD, row_MAX, row_MAX, row_MIN, row_MAX, row_AND, row_OR,
                                 row_XOR, row_SUM, row_SUM};
    check_rows(list, sizeof list / sizeof *list, op, TSR_DTYPE_COUNT);
}

static tsr_node *row_argmax(tsr_ctx *c, tsr_node *x) { return tsr_prim_argreduce(c, x, TSR_REDUCE_MAX, 0, TSR_I32); }
static tsr_node *row_argmin(tsr_ctx *c, tsr_node *x) { return tsr_prim_argreduce(c, x, TSR_REDUCE_MIN, 0, TSR_I32); }
TEST(argreduce_examples) {
    static const struct row_case list[] = {
        {"ties take the least index", TSR_F32, 5, {1, 4, 0, 4, 0}, 1, {1}},
            {"argmin", TSR_F32, 5, {1, 4, 0, 4, 0}, 1, {2}},
        {"the first NaN wins a max", TSR_F32, 4, {9, NAN, 1, NAN}, 1, {1}},
        {"and a min", TSR_F32, 4, {NAN, 1, NAN, -9}, 1, {0}},
        {"signed zeros tie", TSR_F32, 2, {-0.0, 0.0}, 1, {0}},
                     {"unsigned", TSR_U8, 3, {3, 255, 128}, 1, {1}},
    };
    static row_op *const op[] = {row_argmax, row_argmin, row_argmax, row_argmin, row_argmax, row_argmax};
    check_rows(list, sizeof list / sizeof *list, op, TSR_I32);
}

static tsr_node *row_cumsum(tsr_ctx *c, tsr_node *x) { return tsr_prim_cumulate(c, x, TSR_REDUCE_SUM, 0, false); }
static tsr_node *row_cumsum_back(tsr_ctx *c, tsr_node *x) { return tsr_prim_cumulate(c, x, TSR_REDUCE_SUM, 0, true); }
static tsr_node *row_cummax(tsr_ctx *c, tsr_node *x) { return tsr_prim_cumulate(c, x, TSR_REDUCE_MAX, 0, false); }
TEST(cumulate_examples) {
    static const struct row_case list[] = {
        {"running sum", TSR_F32, 4, {1, 2, 3, 4}, 4, {1, 3, 6, 10}},
        {"from the end", TSR_I32, 4, {1, 2, 3, 4}, 4, {10, 9, 7, 4}},
        {"running max keeps NaN", TSR_F32, 4, {1, NAN, 3, 0}, 4, {1, NAN, NAN, NAN}},
    };
    static row_op *const op[] = {row_cumsum, row_cumsum_back, row_cummax};
    check_rows(list, sizeof list / sizeof *list, op, TSR_DTYPE_COUNT);
}

TEST(reduce_window_example) {
    static const double x[] = {1, 2, 3, 4, 5, 6}, want[] = {0, 0, 3, 4};
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "f");
    tsr_window w = {.extent = (int64_t[]){2, 1}, .stride = (int64_t[]){4, 1}, .base_dilation = (int64_t[]){2, 1},
                    .dilation = (int64_t[]){3, 1}, .pad_low = (int64_t[]){2, 0}, .pad_high = (int64_t[]){1, 0}};
    tsr_fn *f = one_op(c, tsr_prim_reduce_window(c, sample_param(c, TSR_I32, DIMS(3, 2)), TSR_REDUCE_SUM, &w));
    check_plain(c, f, 1, (struct plain[]){{TSR_I32, 2, {3, 2}, x}}, &(struct plain){TSR_I32, 2, {2, 2}, want});
    tsr_fn_free(c, f);
}

TEST(select_and_scatter_example) {
    static const double x[] = {1, 5, 2, 5, 3, 6, 4, 4}, src[] = {5, 6, 7, 8}, want[] = {0, 0, 0, 0, 5, 14, 7, 0};
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "f");
    tsr_window w = {.extent = (int64_t[]){3, 1}, .stride = (int64_t[]){2, 1}, .pad_low = (int64_t[]){0, 0},
                    .pad_high = (int64_t[]){1, 0}};
    tsr_node *p = sample_param(c, TSR_I32, DIMS(4, 2)), *q = sample_param(c, TSR_I32, DIMS(2, 2));
    tsr_fn *f = one_op(c, tsr_prim_select_and_scatter(c, p, q, TSR_REDUCE_MAX, &w));
    check_plain(c, f, 2, (struct plain[]){{TSR_I32, 2, {4, 2}, x}, {TSR_I32, 2, {2, 2}, src}},
                &(struct plain){TSR_I32, 2, {4, 2}, want});
    tsr_fn_free(c, f);
}

/* ---- gradients where finite differences cannot look: ties and zeros --------------------------------------------- */

static tsr_node *row_cumprod(tsr_ctx *c, tsr_node *x) { return tsr_prim_cumulate(c, x, TSR_REDUCE_PROD, 0, false); }
static tsr_node *with_ones(tsr_ctx *c, tsr_node *y) {
    tsr_node *g = rule_full_like(c, y, 1), *cot = NULL;
    CHECK(op_def(y->op)->vjp(c, y, &g, (bool[]){true}, &cot));
    return cot;
}
static tsr_node *d_max(tsr_ctx *c, tsr_node *x) { return with_ones(c, row_MAX(c, x)); }
static tsr_node *d_prod(tsr_ctx *c, tsr_node *x) { return with_ones(c, row_PROD(c, x)); }
static tsr_node *d_cumprod(tsr_ctx *c, tsr_node *x) { return with_ones(c, row_cumprod(c, x)); }
static tsr_node *d_cummax(tsr_ctx *c, tsr_node *x) { return with_ones(c, row_cummax(c, x)); }

TEST(gradients_at_ties_and_zeros) {
    static const struct row_case list[] = {
        {"max shares among ties", TSR_F64, 5, {1, 3, 3, 0, 3}, 5, {0, 1.0 / 3, 1.0 / 3, 0, 1.0 / 3}},
        {"product with one zero", TSR_F64, 3, {2, 0, 5}, 3, {0, 10, 0}},
        {"product with two zeros", TSR_F64, 3, {0, 0, 5}, 3, {0, 0, 0}},
        {"product of one", TSR_F64, 1, {0}, 1, {1}},
        /* y = (2, 0, 0, 0): dy1/dx1 = 2, dy2/dx1 = 2*5, dy3/dx1 = 2*5*3; to x0: 1 + 0 + 0 + 0 */
        {"running product with a zero", TSR_F64, 4, {2, 0, 5, 3}, 4, {1, 42, 0, 0}},
        {"running max: the latest that ties", TSR_F64, 5, {1, 3, 2, 3, 2}, 5, {1, 2, 0, 2, 0}},
    };
    static row_op *const op[] = {d_max, d_prod, d_prod, d_prod, d_cumprod, d_cummax};
    check_rows(list, sizeof list / sizeof *list, op, TSR_DTYPE_COUNT);
}

/* ---- symbolic extents ------------------------------------------------------------------------------------------- */

#define SYMBOLIC_REDUCE(op)                                              \
    static tsr_node *symbolic_##op(tsr_ctx *c, tsr_node *const *x) {     \
        return tsr_prim_reduce(c, x[0], TSR_REDUCE_##op, 2, (int64_t[]){0, 2}); \
    }
SYMBOLIC_REDUCE(SUM)
SYMBOLIC_REDUCE(PROD)
SYMBOLIC_REDUCE(MAX)
static tsr_node *symbolic_cumprod(tsr_ctx *c,
                                  tsr_node *const *x) { return tsr_prim_cumulate(c, x[0], TSR_REDUCE_PROD, 1, true); }
static tsr_node *symbolic_cummin(tsr_ctx *c,
                                 tsr_node *const *x) { return tsr_prim_cumulate(c, x[0], TSR_REDUCE_MIN, 1, true); }
static tsr_node *symbolic_window(tsr_ctx *c, tsr_node *x, tsr_reduce op, int64_t stride, int64_t base) {
    tsr_window w = {.extent = (int64_t[]){1, 3}, .stride = (int64_t[]){1, stride},
                    .base_dilation = (int64_t[]){1, base}, .pad_low = (int64_t[]){0, 1}, .pad_high = (int64_t[]){0, 1}};
    return tsr_prim_reduce_window(c, x, op, &w);
}
static tsr_node *symbolic_same(tsr_ctx *c,
                               tsr_node *const *x) { return symbolic_window(c, x[0], TSR_REDUCE_SUM, 1, 1); }
static tsr_node *symbolic_strided(tsr_ctx *c,
                                  tsr_node *const *x) { return symbolic_window(c, x[0], TSR_REDUCE_SUM, 2, 1); }
static tsr_node *symbolic_pool(tsr_ctx *c,
                               tsr_node *const *x) { return symbolic_window(c, x[0], TSR_REDUCE_MAX, 2, 1); }
static tsr_node *symbolic_patches(tsr_ctx *c,
                                  tsr_node *const *x) { return symbolic_window(c, x[0], TSR_REDUCE_MAX, 2, 2); }

TEST(reduce_symbolic) {
    static const struct symbolic list[] = {
        {"sum", symbolic_SUM, 1, {{TSR_F64, 3, {-1, 3, -2}}}, {{1, 1}, {2, 5}, {7, 3}}},
        {"prod", symbolic_PROD, 1, {{TSR_F64, 3, {-1, 3, -2}}}, {{1, 1}, {2, 5}, {7, 3}}},
        {"max", symbolic_MAX, 1, {{TSR_F64, 3, {-1, 3, -2}}}, {{1, 1}, {2, 5}, {7, 3}}},
        {"cumprod", symbolic_cumprod, 1, {{TSR_F64, 2, {-1, -2}}}, {{1, 1}, {2, 5}, {3, 13}}},
        {"cummin", symbolic_cummin, 1, {{TSR_F64, 2, {-1, -2}}}, {{1, 1}, {2, 5}, {3, 13}}},
        {"window sum", symbolic_same, 1, {{TSR_F64, 2, {-1, -2}}}, {{1, 1}, {2, 5}, {3, 12}}},
        {"strided window sum", symbolic_strided, 1, {{TSR_F64, 2, {-1, -2}}}, {{1, 1}, {2, 5}, {3, 12}}},
        {"max pooling", symbolic_pool, 1, {{TSR_F64, 2, {-1, -2}}}, {{1, 1}, {2, 5}, {3, 12}}},
        {"dilated max", symbolic_patches, 1, {{TSR_F64, 2, {-1, -2}}}, {{1, 1}, {2, 5}, {3, 12}}},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) check_symbolic(&list[i]);
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

static tsr_node *matrix(tsr_ctx *c, tsr_dtype t) { return zeros(c, t, DIMS(4, 4)); }
static tsr_node *bad_axis(tsr_ctx *c) { return tsr_prim_reduce(c, matrix(c, TSR_F32), TSR_REDUCE_SUM, 1,
                                                               (int64_t[]){2}); }
static tsr_node *bad_twice(tsr_ctx *c) { return tsr_prim_reduce(c, matrix(c, TSR_F32), TSR_REDUCE_SUM, 2,
                                                                (int64_t[]){1, 1}); }
static tsr_node *bad_and(tsr_ctx *c) { return tsr_prim_reduce(c, matrix(c, TSR_F32), TSR_REDUCE_AND, 1,
                                                              (int64_t[]){1}); }
static tsr_node *bad_op(tsr_ctx *c) { return tsr_prim_reduce(c, matrix(c, TSR_F32), (tsr_reduce)99, 1,
                                                             (int64_t[]){1}); }
static tsr_node *bad_arg_empty(tsr_ctx *c) { return tsr_prim_argreduce(c, zeros(c, TSR_F32, DIMS(4, 0)), TSR_REDUCE_MAX,
                                                                       1, TSR_I32); }
static tsr_node *bad_arg_sum(tsr_ctx *c) { return tsr_prim_argreduce(c, matrix(c, TSR_F32), TSR_REDUCE_SUM, 1,
                                                                     TSR_I32); }
static tsr_node *bad_arg_dtype(tsr_ctx *c) { return tsr_prim_argreduce(c, matrix(c, TSR_F32), TSR_REDUCE_MAX, 1,
                                                                       TSR_F32); }
static tsr_node *bad_arg_complex(tsr_ctx *c) { return tsr_prim_argreduce(c, matrix(c, TSR_C64), TSR_REDUCE_MAX, 1,
                                                                         TSR_I32); }
static tsr_node *bad_cumulate(tsr_ctx *c) { return tsr_prim_cumulate(c, matrix(c, TSR_F32), TSR_REDUCE_SUM, -1,
                                                                     false); }
static tsr_node *bad_window(tsr_ctx *c) {
    return tsr_prim_reduce_window(c, matrix(c, TSR_F32), TSR_REDUCE_SUM, &(tsr_window){.extent = (int64_t[]){2, 0}});
}
static tsr_node *bad_stride(tsr_ctx *c) {
    return tsr_prim_reduce_window(c, matrix(c, TSR_F32), TSR_REDUCE_SUM, &(tsr_window){.stride = (int64_t[]){-1, 1}});
}
static tsr_node *bad_select(tsr_ctx *c) {
    return tsr_prim_select_and_scatter(c, matrix(c, TSR_F32), zeros(c, TSR_F32, DIMS(4, 4)), TSR_REDUCE_MAX,
                                       &(tsr_window){.extent = (int64_t[]){2, 2}});
}
static tsr_node *bad_select_dilation(tsr_ctx *c) {
    return tsr_prim_select_and_scatter(c, matrix(c, TSR_F32), matrix(c, TSR_F32), TSR_REDUCE_MAX,
                                       &(tsr_window){.dilation = (int64_t[]){2, 2}});
}

TEST(reduce_refusals) {
    static const struct refusal list[] = {
        {"axes[0] = 2 is not an axis", bad_axis},     {"names axis 1 twice", bad_twice},
        {"and is not defined for f32", bad_and},      {"not one of tsr_reduce", bad_op},
        {"so no element is the max", bad_arg_empty},  {"not of a sum", bad_arg_sum},
        {"an index cannot be f32", bad_arg_dtype},    {"has no order", bad_arg_complex},
        {"axis[0] = -1 is not an axis", bad_cumulate}, {"window extent on axis 1 is 0", bad_window},
        {"stride on axis 0 is -1", bad_stride},       {"has windows f32[3,3]", bad_select},
        {"have no dilations", bad_select_dilation},
    };
    check_refusals(list, sizeof list / sizeof *list);
}

TEST(reduce_torture) {
    for (int i = 0; i < 5; i++)
        check_torture((enum tsr_op[]){TSR_OP_REDUCE, TSR_OP_ARGREDUCE, TSR_OP_CUMULATE, TSR_OP_REDUCE_WINDOW,
                                      TSR_OP_SELECT_AND_SCATTER}[i]);
}
