/* import_quant.c: operations on quantised tensors. */
#include "formats/stablehlo/import.h"

bool imp_quantised(struct imp *p, const struct hlo_op *op) {
    return imp_fail(p, op, "quantised types are not supported");
}
