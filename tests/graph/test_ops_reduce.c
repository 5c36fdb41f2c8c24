/* test_ops_reduce.c: reduce, argreduce, cumulate, reduce_window and select_and_scatter against their definitions,
 * their gradients, batching, corner cases (empty axes, NaN, ties, zeros in products), refusals and symbolic extents. */
#include <stdlib.h>

#include "op_check.h"

/* links them in while the table of ops.c is weak */
extern const struct op_def op_REDUCE, op_ARGREDUCE, op_CUMULATE, op_REDUCE_WINDOW, op_SELECT_AND_SCATTER;
__attribute__((used)) static const struct op_def *const records[] = {&op_REDUCE, &op_ARGREDUCE, &op_CUMULATE,
                                                                     &op_REDUCE_WINDOW, &op_SELECT_AND_SCATTER};

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
