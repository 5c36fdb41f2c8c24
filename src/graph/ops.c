/* ops.c: the table of op records, made from scalar.h and ops.def. */
#include "graph/op.h"

#define OP(name, family) extern const struct op_def op_##name;
#include "graph/ops.def"
#undef OP

static const struct op_def *const table[TSR_OP_COUNT] = {
#define X(name, text, arity, result, domain, formula) [TSR_OP_##name] = &op_elem[TSR_S_##name],
    TSR_SCALAR_LIST(X)
#undef X
#define OP(name, family) [TSR_OP_##name] = &op_##name,
#include "graph/ops.def"
#undef OP
};

const struct op_def *op_def(enum tsr_op op) {
    return (unsigned)op < TSR_OP_COUNT ? table[op] : NULL;
}
const char *op_name(enum tsr_op op) { return op_def(op) ? op_def(op)->name : "unknown op"; }
