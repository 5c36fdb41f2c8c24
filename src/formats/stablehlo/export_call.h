/* export_call.h: what the exporter's families ask of each other. */
#ifndef FORMATS_STABLEHLO_EXPORT_CALL_H
#define FORMATS_STABLEHLO_EXPORT_CALL_H

#include "formats/stablehlo/export.h"

bool exp_own_composite(struct exp *x, const tsr_node *n); /* a COMPOSITE of calls.def */
bool exp_own_call(struct exp *x, const tsr_node *n);      /* a CUSTOM of calls.def */
bool exp_own_call_with(struct exp *x, const tsr_node *n, struct hlo_value *more); /* with one more operand */

/* An attribute of the graph; NULL: it has no form (recorded). */
const struct hlo_attr *exp_attr_value(struct exp *x, const struct attr *a);

/* Dimension numbers of gather and scatter. */
struct exp_numbers {
    bool scatter, sorted;
    int n_offset, n_collapsed, n_batching, n_map;
    const int64_t *offset, *collapsed, *batching, *index_batching, *map;
    int64_t vector_axis;
};
const struct hlo_attr *exp_gather_dims(struct exp *x, const struct exp_numbers *d);
/* gather, or dynamic_gather where a slice size is symbolic. */
struct hlo_value *exp_gathered(struct exp *x, const struct hlo_type *t, const struct exp_numbers *d, int rank,
    const tsr_extent *const *sizes, struct hlo_value *operand, struct hlo_value *index);

#endif
