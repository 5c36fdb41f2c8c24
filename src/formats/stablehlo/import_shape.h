/* import_shape.h: sizes that a program computes (import_shape.c), for the operations that take them. */
#ifndef FORMATS_STABLEHLO_IMPORT_SHAPE_H
#define FORMATS_STABLEHLO_IMPORT_SHAPE_H

#include "formats/stablehlo/import.h"

/* Operand i as n extents. False, with an error recorded, where they depend on values that are no sizes. */
bool imp_extents(struct imp *p, const struct hlo_op *op, int i, int n, const tsr_extent **out);
/* Operand i has elements that only a run knows. imp_slice_sizes: what lies between two such operands, as n extents. */
bool imp_is_runtime(struct imp *p, const struct hlo_op *op, int i);
bool imp_slice_sizes(struct imp *p, const struct hlo_op *op, int start, int limit, int n, const tsr_extent **out);
/* Operand i, a truth value made of sizes, must be true: an error now when it is known to be false, else a check when
 * the fn runs; what says so in both. */
bool imp_shape_holds(struct imp *p, const struct hlo_op *op, int i, const char *what);
/* custom_call @shape_assertion, @stablehlo.dynamic_*: import_dynamic.c */
imp_handler imp_shape_assertion, imp_dynamic_reduce_window, imp_dynamic_top_k, imp_dynamic_rng_bit_generator;
/* Argument `arg` of the imported function, v: integers of which sizes may be made. */
bool imp_shape_param(struct imp *p, int arg, struct imp_value *v);

#endif
