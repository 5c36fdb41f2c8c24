/* conv.h: a convolution's attributes as one struct, between op_conv.c (op) and op_conv_rules.c (gradients,
 * batching). */
#ifndef GRAPH_CONV_H
#define GRAPH_CONV_H

#include "graph/axes.h"

struct conv {
    int spatial;
    /* Axis of batch, feature (kernel: output feature, input feature), then spatial axes. */
    int64_t lhs[TSR_MAX_RANK], rhs[TSR_MAX_RANK], out[TSR_MAX_RANK];
    struct axis_window axis[TSR_MAX_RANK]; /* base: lhs_dilation; dilation: rhs_dilation */
    int64_t reverse[TSR_MAX_RANK];         /* 1: the kernel is mirrored on that spatial axis */
    int64_t feature_groups, batch_groups;
    tsr_dtype dtype; /* of the sums and the result */
};
void conv_of(int nattr, const struct attr *attr, struct conv *v); /* of a conv node or draft */
tsr_node *conv_make(tsr_ctx *c, tsr_node *x, tsr_node *w, const struct conv *v);

bool conv_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc);
tsr_node *conv_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size);

#endif
