/* import_norm.c: batch_norm_inference, batch_norm_training, batch_norm_grad, as the specification spells them out.
 *
 * Statistics run over every axis but feature_index. Narrow floats are computed in f32 and rounded at the end.
 * Source: StableHLO specification, batch_norm_*. */
#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"

/* The vocabulary of the formulas: x like the operand, vectors of one element a feature. */
struct norm {
    tsr_ctx *c;
    const tsr_type *t;   /* of the operand, in the dtype that is computed in */
    int64_t feature, rest[TSR_MAX_RANK];
    tsr_node *count;     /* elements of a feature, spread */
    double epsilon;
};

static bool norm_of(struct imp *p, const struct hlo_op *op, int n, tsr_node **x, struct norm *w) {
    const struct hlo_attr *eps = hlo_get(op, "epsilon");
    if (!imp_operands(p, op, n, x)) return false;
    int rank = tsr_node_rank(x[0]);
    *w = (struct norm){.c = p->c, .feature = hlo_get_int(op, "feature_index", 0), .epsilon = eps ? eps->f : 0};
    if (w->feature < 0 || w->feature >= rank)
        return imp_fail(p, op, "feature_index %lld is no axis of an operand of rank %d", (long long)w->feature, rank);
    for (int i = 1; i < n; i++)
        if (tsr_node_rank(x[i]) != 1 && !(op->code == HLO_OP_BATCH_NORM_GRAD && i == 4 && tsr_node_rank(x[i]) == rank))
            return imp_fail(p, op, "operand %d has rank %d; it has one element a feature", i, tsr_node_rank(x[i]));
    const struct tsr_dtype_info *d = tsr_dtype_of(tsr_node_dtype(x[0]));
    for (int i = 0; i < n; i++)
        if (d->bits < 32) x[i] = imp_as(p->c, x[i], TSR_F32);
    if (tsr_is_poison(x[0])) return false;
    w->t = tsr_node_type(x[0]);
    tsr_node *one = tsr_full(p->c, w->t, 1);
    for (int a = 0, k = 0; a < rank; a++)
        if (a != w->feature) w->rest[k++] = a;
    w->count = tsr_prim_broadcast(p->c, tsr_prim_reduce(p->c, one, TSR_REDUCE_SUM, rank - 1, w->rest), w->t,
        &w->feature);
    return !tsr_is_poison(w->count);
}

static tsr_node *over(const struct norm *w, tsr_node *v) { return tsr_prim_broadcast(w->c, v, w->t, &w->feature); }
static tsr_node *sum(const struct norm *w, tsr_node *x) {
    return tsr_prim_reduce(w->c, x, TSR_REDUCE_SUM, w->t->rank - 1, w->rest);
}
static tsr_node *add(const struct norm *w, tsr_node *x, tsr_node *y) { return tsr_prim2(w->c, TSR_S_ADD, x, y); }
static tsr_node *sub(const struct norm *w, tsr_node *x, tsr_node *y) { return tsr_prim2(w->c, TSR_S_SUB, x, y); }
static tsr_node *mul(const struct norm *w, tsr_node *x, tsr_node *y) { return tsr_prim2(w->c, TSR_S_MUL, x, y); }
static tsr_node *divide(const struct norm *w, tsr_node *x, tsr_node *y) { return tsr_prim2(w->c, TSR_S_DIV, x, y); }
static tsr_node *mean_over(const struct norm *w, tsr_node *x) { return divide(w, over(w, sum(w, x)), w->count); }

/* One value a feature of something that is constant over the other axes. */
static tsr_node *of_feature(const struct norm *w, tsr_node *x) {
    const tsr_extent *zero = tsr_extent_int(w->c, 0), *one = tsr_extent_int(w->c, 1);
    for (int a = w->t->rank - 1; a >= 0; a--)
        if (a != w->feature) x = tsr_squeeze(w->c, imp_cut(w->c, x, a, zero, one, 1), a);
    return x;
}

static tsr_node *deviation(const struct norm *w, tsr_node *variance) {
    return tsr_prim1(w->c, TSR_S_SQRT, add(w, variance, tsr_full(w->c, w->t, w->epsilon)));
}

/* scale * (x - mean) / sqrt(variance + epsilon) + offset; mean and variance spread. */
static tsr_node *normalised(const struct norm *w, tsr_node *x, tsr_node *scale, tsr_node *offset, tsr_node *mean,
    tsr_node *variance) {
    return add(w, mul(w, over(w, scale), divide(w, sub(w, x, mean), deviation(w, variance))), over(w, offset));
}

static bool results(struct imp *p, const struct hlo_op *op, int n, tsr_node *const *y) {
    if (op->nresult != n) return imp_fail(p, op, "%d results are declared, it has %d", op->nresult, n);
    for (int i = 0; i < n; i++)
        if (!imp_result(p, op, i, imp_as(p->c, y[i], imp_dtype(op->result[i].type)))) return false;
    return true;
}

bool imp_batch_norm_inference(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[5], *y;
    struct norm w;
    if (!norm_of(p, op, 5, x, &w)) return false;
    y = normalised(&w, x[0], x[1], x[2], over(&w, x[3]), over(&w, x[4]));
    return results(p, op, 1, &y);
}

bool imp_batch_norm_training(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[3], *y[3];
    struct norm w;
    if (!norm_of(p, op, 3, x, &w)) return false;
    tsr_node *mean = mean_over(&w, x[0]), *centered = sub(&w, x[0], mean);
    tsr_node *variance = mean_over(&w, mul(&w, centered, centered));
    y[0] = normalised(&w, x[0], x[1], x[2], mean, variance);
    y[1] = of_feature(&w, mean), y[2] = of_feature(&w, variance);
    return results(p, op, 3, y);
}

bool imp_batch_norm_grad(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[5], *y[3];
    struct norm w;
    if (!norm_of(p, op, 5, x, &w)) return false;
    tsr_node *scale = over(&w, x[1]), *variance = over(&w, x[3]), *g = x[4];
    tsr_node *centered = sub(&w, x[0], over(&w, x[2])), *stddev = deviation(&w, variance);
    tsr_node *i1 = mul(&w, g, w.count), *i2 = over(&w, sum(&w, g)), *i3 = over(&w, sum(&w, mul(&w, g, centered)));
    tsr_node *i5 = divide(&w, mul(&w, i3, centered), add(&w, variance, tsr_full(p->c, w.t, w.epsilon)));
    y[0] = mul(&w, divide(&w, divide(&w, scale, stddev), w.count), sub(&w, sub(&w, i1, i2), i5));
    y[1] = sum(&w, mul(&w, g, divide(&w, centered, stddev)));
    y[2] = sum(&w, g);
    return results(p, op, 3, y);
}
