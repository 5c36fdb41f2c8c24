/* import_shape.c: what is known of shapes while importing: the types of results, constant operands. */
#include "formats/stablehlo/import.h"
#include "graph/node.h"

const tsr_type *imp_result_type(struct imp *p, const struct hlo_op *op, int i) {
    if (i < op->nresult) return imp_type(p, op->result[i].type);
    return imp_fail(p, op, "it has %d results, %d are needed", op->nresult, i + 1), NULL;
}

bool imp_shape_values(struct imp *p, const struct hlo_op *op) {
    (void)p, (void)op;
    return true;
}

bool imp_const_ints(struct imp *p, const struct hlo_op *op, int i, int64_t *out, int n) {
    if (i >= op->noperand || hlo_type_count(op->operand[i]->type) != n) return false;
    const struct hlo_op *from = op->operand[i]->op;
    const struct hlo_attr *a = from && from->code == HLO_OP_CONSTANT ? hlo_get(from, "value") : NULL;
    return a && a->kind == HLO_A_ELEMENTS && hlo_elements_ints(p->c, a, out);
}
