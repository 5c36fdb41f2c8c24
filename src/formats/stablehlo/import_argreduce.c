/* import_argreduce.c: the reduction that finds where the greatest or least element is.
 *
 * StableHLO has no operation for it. JAX writes a reduction of pairs (value, place) with places from an iota:
 *     first = a > b or a != a
 *     (select(first, a, b), select(first or (a == b and place of a < place of b), place of a, place of b))
 * That is argreduce: the first NaN, else the least place among equals. Read as such, it stays one pass over the operand
 * instead of a fold of several tensors. */
#include <string.h>

#include "formats/stablehlo/import_body.h"

static const struct hlo_op *made_by(const struct hlo_value *v, enum hlo_opcode code) {
    return v->op && v->op->code == code ? v->op : NULL;
}

static bool takes(const struct hlo_op *op, const struct hlo_value *x, const struct hlo_value *y) {
    return op && op->noperand == 2 && op->operand[0] == x && op->operand[1] == y;
}

static bool compares(const struct hlo_value *v, const char *way, const struct hlo_value *x, const struct hlo_value *y) {
    const struct hlo_op *op = made_by(v, HLO_OP_COMPARE);
    const char *have = op ? hlo_get_text(op, "comparison_direction") : NULL;
    const char *order = op ? hlo_get_text(op, "compare_type") : NULL;
    return takes(op, x, y) && have && !strcmp(have, way) && !(order && !strcmp(order, "TOTALORDER"));
}

/* select(p, x, y): p. */
static const struct hlo_value *selects(const struct hlo_value *v, const struct hlo_value *x,
    const struct hlo_value *y) {
    const struct hlo_op *op = made_by(v, HLO_OP_SELECT);
    return op && op->noperand == 3 && op->operand[1] == x && op->operand[2] == y ? op->operand[0] : NULL;
}

/* Is the block the body above? *pick: greatest or least. */
static bool is_argreduce(const struct hlo_block *b, tsr_reduce *pick) {
    if (b->narg != 4 || !b->last || b->last->noperand != 2) return false;
    const struct hlo_value *x = &b->arg[0], *i = &b->arg[1], *y = &b->arg[2], *j = &b->arg[3];
    const struct hlo_value *first = selects(b->last->operand[0], x, y), *place = selects(b->last->operand[1], i, j);
    const struct hlo_op *wins = first ? made_by(first, HLO_OP_OR) : NULL;
    const struct hlo_op *either = place ? made_by(place, HLO_OP_OR) : NULL;
    const struct hlo_op *tie = either ? made_by(either->operand[1], HLO_OP_AND) : NULL;
    if (!wins || !tie || either->operand[0] != first || !compares(wins->operand[1], "NE", x, x) ||
        !compares(tie->operand[0], "EQ", x, y) || !compares(tie->operand[1], "LT", i, j))
        return false;
    *pick = compares(wins->operand[0], "GT", x, y) ? TSR_REDUCE_MAX : TSR_REDUCE_MIN;
    return *pick == TSR_REDUCE_MAX || compares(wins->operand[0], "LT", x, y);
}

bool imp_argreduce(struct imp *p, const struct hlo_op *op, int axis, tsr_node *const *x, tsr_node *const *init,
    tsr_node **out) {
    tsr_ctx *c = p->c;
    tsr_reduce pick;
    if (!is_argreduce(&op->region[0].block[0], &pick) || tsr_node_dim(x[0], axis) == 0) return false;
    tsr_kind kind = tsr_dtype_of(tsr_node_dtype(x[0]))->kind, place = tsr_dtype_of(tsr_node_dtype(x[1]))->kind;
    if (kind == TSR_KIND_COMPLEX || (place != TSR_KIND_INT && place != TSR_KIND_UINT)) return false;
    if (x[1] != tsr_prim_iota(c, tsr_node_type(x[1]), axis) || !imp_is_identity(c, init[0], pick) ||
        init[1] != tsr_scalar_int(c, tsr_node_dtype(x[1]), 0))
        return false;
    int64_t along = axis;
    out[0] = tsr_prim_reduce(c, x[0], pick, 1, &along);
    out[1] = tsr_prim_argreduce(c, x[0], pick, axis, tsr_node_dtype(x[1]));
    return !tsr_is_poison(out[0]) && !tsr_is_poison(out[1]);
}
