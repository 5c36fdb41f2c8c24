/* import_shape_rules.h: between import_shape.c, which keeps what integers are as extents, and the operations' rules. */
#ifndef FORMATS_STABLEHLO_IMPORT_SHAPE_RULES_H
#define FORMATS_STABLEHLO_IMPORT_SHAPE_RULES_H

#include "formats/stablehlo/import_shape.h"

typedef const tsr_extent *ext;

/* A tensor of known elements in row-major order: of an operand, or of the result that is being worked out. */
struct shape_known {
    const struct hlo_type *type;
    int64_t n;
    const ext *v;
};
bool shape_known_of(struct imp *p, const struct hlo_op *op, int i, struct shape_known *k);

/* Element i of the only result of op, of type t (static, small); NULL: it cannot be said. */
typedef ext shape_element(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i);
shape_element *shape_rule_of(enum hlo_opcode code); /* NULL: results of this operation are not followed */

bool shape_is_truth(const struct hlo_type *t);
bool shape_is_int(const struct hlo_type *t); /* or truth */
ext shape_difference(struct imp *p, ext a, ext b); /* a - b; NULL: one is, or it cannot be said */

#endif
