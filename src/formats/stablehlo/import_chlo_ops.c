/* import_chlo_ops.c: the client ops that are not elementwise: top_k, scan, ragged_dot.
 *
 * scan: the body gets one slice of each input and the carries, gives one slice of each output and the next carries; it
 * is the primitive, whose body has the carries first.
 *
 * ragged_dot: rows of a ragged dimension belong to groups of given sizes, one after the other. Groups are masks: a left
 * operand with a group axis in front, zero where a row is not of the group, makes each mode one dot_general:
 *     1, ragged among the free axes     [b,m,k] x [g,b,k,n] -> [b,m,n]     groups are contracted with the right side's
 *     2, ragged among the contracted    [b,m,k] x [b,k,n]   -> [g,b,m,n]   groups are a free axis, moved to the front
 *     3, ragged among the batch axes    [b,m,k] x [b,k,n]   -> [b,m,n]     every batch member is of one group: no mask
 * group_sizes is (g), or (b..., g) with sizes for each batch member.
 * Source: the CHLO dialect of openxla/stablehlo. */
#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"

bool imp_chlo_top_k(struct imp *p, const struct hlo_op *op) {
    tsr_node *x;
    if (!imp_operands(p, op, 1, &x)) return false;
    if (op->nresult != 2) return imp_fail(p, op, "it gives values and indices, %d results are declared", op->nresult);
    tsr_node *y = tsr_prim_top_k(p->c, x, hlo_get_int(op, "k", 0));
    if (tsr_is_poison(y)) return false;
    return imp_result(p, op, 0, tsr_item(p->c, y, 0)) &&
        imp_result(p, op, 1, imp_as(p->c, tsr_item(p->c, y, 1), imp_dtype(op->result[1].type)));
}

/* ---- scan ------------------------------------------------------------------------------------------------------- */

struct scan {
    int inputs, carries, outputs;
    int64_t axis;
    bool reverse;
};

static bool scan_of(struct imp *p, const struct hlo_op *op, struct scan *s) {
    int n = 0, m = 0;
    const int64_t *in = hlo_get_ints(op, "operandSegmentSizes", &n);
    const int64_t *out = hlo_get_ints(op, "resultSegmentSizes", &m);
    if (n != 2 || m != 2 || in[0] < 1 || in[1] < 0 || in[0] + in[1] != op->noperand || out[0] < 0 ||
        out[0] + out[1] != op->nresult || out[1] != in[1] || op->noperand > IMP_BODY_MAX || op->nresult > IMP_BODY_MAX)
        return imp_fail(p, op, "its segment sizes do not fit %d operands and %d results", op->noperand, op->nresult);
    if (op->nregion != 1 || op->region[0].nblock != 1 || op->region[0].block[0].narg != op->noperand)
        return imp_fail(p, op, "its body must be one block of %d arguments", op->noperand);
    *s = (struct scan){.inputs = (int)in[0], .carries = (int)in[1], .outputs = (int)out[0],
                       .axis = hlo_get_int(op, "dimension", 0), .reverse = hlo_get_int(op, "is_reverse", 0) != 0};
    return true;
}

/* The primitive's body: (carries..., slices...) -> (carries..., outputs...). NULL: an error is recorded. */
static tsr_fn *scan_body(struct imp *p, const struct hlo_op *op, const struct scan *s, tsr_node *const *x) {
    tsr_ctx *c = p->c;
    tsr_node *arg[IMP_BODY_MAX], *out[IMP_BODY_MAX], *given[IMP_BODY_MAX];
    int n = s->carries + s->outputs;
    if (tsr_fn_begin(c, "scan")) return NULL;
    for (int i = 0; i < s->carries; i++) arg[s->inputs + i] = tsr_param(c, tsr_node_type(x[s->inputs + i]), "carry");
    for (int i = 0; i < s->inputs; i++) {
        const tsr_type *t = tsr_node_type(x[i]);
        arg[i] = tsr_param(c, tsr_type_tensor(c, t->dtype, t->rank - 1, t->extent + 1), "x");
    }
    if (!imp_region_inline(p, &op->region[0], op->noperand, arg, n, out)) return tsr_fn_abort(c), NULL;
    for (int i = 0; i < s->carries; i++) given[i] = out[s->outputs + i];
    for (int i = 0; i < s->outputs; i++) given[s->carries + i] = out[i];
    return tsr_fn_end(c, n, given);
}

bool imp_chlo_scan(struct imp *p, const struct hlo_op *op) {
    tsr_ctx *c = p->c;
    struct scan s = {0};
    tsr_node *x[IMP_BODY_MAX];
    if (!scan_of(p, op, &s) || !imp_operands(p, op, op->noperand, x)) return false;
    for (int i = 0; i < s.inputs; i++) {
        if (s.axis < 0 || s.axis >= tsr_node_rank(x[i]))
            return imp_fail(p, op, "dimension %lld is no axis of input %d", (long long)s.axis, i);
        if (tsr_is_poison(x[i] = tsr_move_axis(c, x[i], (int)s.axis, 0))) return false;
    }
    tsr_fn *body = scan_body(p, op, &s, x);
    if (!body) return false;
    tsr_node *y = tsr_prim_scan(c, body, s.carries, x + s.inputs, s.inputs, x, tsr_node_extent(x[0], 0), s.reverse);
    tsr_fn_free(c, body);
    if (tsr_is_poison(y)) return false;
    for (int i = 0; i < s.outputs; i++)
        if (!imp_result(p, op, i, tsr_move_axis(c, tsr_item(c, y, s.carries + i), 0, (int)s.axis))) return false;
    for (int i = 0; i < s.carries; i++)
        if (!imp_result(p, op, s.outputs + i, tsr_item(c, y, i))) return false;
    return true;
}

/* ---- ragged_dot ------------------------------------------------------------------------------------------------- */

struct ragged {
    int nb, nc, nr, ng; /* counts of the lists below */
    int64_t lhs_batch[TSR_MAX_RANK], rhs_batch[TSR_MAX_RANK], lhs_contract[TSR_MAX_RANK + 1],
        rhs_contract[TSR_MAX_RANK + 1], axis[TSR_MAX_RANK], group[TSR_MAX_RANK];
};

static bool ragged_of(struct imp *p, const struct hlo_op *op, struct ragged *r) {
    const struct hlo_attr *a = hlo_get(op, "ragged_dot_dimension_numbers");
    int nb, nc;
    if (!a) return imp_fail(p, op, "it has no ragged_dot_dimension_numbers");
    if (!imp_axes(p, op, a, "lhs_batching_dimensions", &r->nb, r->lhs_batch) ||
        !imp_axes(p, op, a, "rhs_batching_dimensions", &nb, r->rhs_batch) ||
        !imp_axes(p, op, a, "lhs_contracting_dimensions", &r->nc, r->lhs_contract) ||
        !imp_axes(p, op, a, "rhs_contracting_dimensions", &nc, r->rhs_contract) ||
        !imp_axes(p, op, a, "lhs_ragged_dimensions", &r->nr, r->axis) ||
        !imp_axes(p, op, a, "rhs_group_dimensions", &r->ng, r->group))
        return false;
    if (nb != r->nb || nc != r->nc || r->nr != 1 || r->ng > 1)
        return imp_fail(p, op, "it needs batching and contracting dimensions in pairs, one ragged dimension and at "
            "most one group dimension");
    return true;
}

static bool listed(int n, const int64_t *list, int64_t a) {
    for (int i = 0; i < n; i++)
        if (list[i] == a) return true;
    return false;
}

/* lhs with a group axis in front, zero where the ragged axis is outside the group. */
static tsr_node *in_groups(struct imp *p, const struct hlo_op *op, const struct ragged *r, tsr_node *lhs,
    tsr_node *sizes) {
    tsr_ctx *c = p->c;
    int rank = tsr_node_rank(lhs), given = tsr_node_rank(sizes);
    const tsr_extent *extent[TSR_MAX_RANK + 1];
    int64_t axes[TSR_MAX_RANK], under[TSR_MAX_RANK];
    if (given != 1 && given != r->nb + 1)
        return imp_fail(p, op, "group_sizes has rank %d; it is (g), or (b..., g)", given), tsr_poison(c);
    if (rank >= TSR_MAX_RANK) return imp_fail(p, op, "its left operand has too many axes"), tsr_poison(c);
    extent[0] = tsr_node_extent(sizes, given - 1);
    for (int a = 0; a < rank; a++) extent[a + 1] = tsr_node_extent(lhs, a), under[a] = a + 1;
    for (int i = 0; i < given; i++) axes[i] = i == given - 1 ? 0 : r->lhs_batch[i] + 1;
    const tsr_type *t = tsr_type_tensor(c, tsr_node_dtype(lhs), rank + 1, extent);
    const tsr_type *it = tsr_type_tensor(c, TSR_I64, rank + 1, extent);
    if (!t || !it) return tsr_poison(c);
    sizes = imp_as(c, sizes, TSR_I64);
    tsr_node *end = tsr_prim_cumulate(c, sizes, TSR_REDUCE_SUM, given - 1, false), *start = tsr_prim2(c, TSR_S_SUB, end,
        sizes);
    tsr_node *row = tsr_prim_iota(c, it, (int)r->axis[0] + 1);
    tsr_node *mine = tsr_prim2(c, TSR_S_AND, tsr_prim2(c, TSR_S_GE, row, tsr_prim_broadcast(c, start, it, axes)),
        tsr_prim2(c, TSR_S_LT, row, tsr_prim_broadcast(c, end, it, axes)));
    return tsr_prim3(c, TSR_S_SELECT, mine, tsr_prim_broadcast(c, lhs, t, under), tsr_full(c, t, 0));
}

bool imp_chlo_ragged_dot(struct imp *p, const struct hlo_op *op) {
    tsr_ctx *c = p->c;
    struct ragged r;
    tsr_node *x[3];
    if (!imp_operands(p, op, 3, x) || !ragged_of(p, op, &r)) return false;
    tsr_dtype t = imp_dtype(op->result[0].type);
    x[0] = imp_as(c, x[0], t), x[1] = imp_as(c, x[1], t);
    bool batch = listed(r.nb, r.lhs_batch, r.axis[0]), inner = listed(r.nc, r.lhs_contract, r.axis[0]);
    if (r.axis[0] < 0 || r.axis[0] >= tsr_node_rank(x[0]))
        return imp_fail(p, op, "the ragged dimension is no axis of the left operand");
    if (r.ng != (batch || inner ? 0 : 1))
        return imp_fail(p, op, "a group dimension of the right operand goes with a ragged dimension that is free");
    if (!batch) {
        if (tsr_is_poison(x[0] = in_groups(p, op, &r, x[0], x[2]))) return false;
        for (int i = 0; i < r.nb; i++) r.lhs_batch[i]++;
        for (int i = 0; i < r.nc; i++) r.lhs_contract[i]++;
    }
    if (r.ng) r.lhs_contract[r.nc] = 0, r.rhs_contract[r.nc++] = r.group[0];
    tsr_dot_dims d = {.n_batch = r.nb, .n_contract = r.nc, .lhs_batch = r.lhs_batch, .rhs_batch = r.rhs_batch,
                      .lhs_contract = r.lhs_contract, .rhs_contract = r.rhs_contract};
    tsr_node *y = tsr_prim_dot(c, x[0], x[1], &d, t);
    if (inner && !tsr_is_poison(y)) y = tsr_move_axis(c, y, r.nb, 0);
    return imp_result(p, op, 0, y);
}
