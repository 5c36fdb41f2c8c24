/* sample.h: what table-driven tests do with the sampler of an op's record: set it up, and make data for what it
 * built. */
#ifndef GRAPH_SAMPLE_H
#define GRAPH_SAMPLE_H

#include "graph/op.h"

/* Presets: ranges -2..2, smooth iff t is a float or complex dtype, tolerances from its precision. */
void sample_init(struct sample *s, tsr_dtype t, struct rng *rng, int size);
/* Random data for every parameter of f (constant extents), in the ranges that the sampler left in s, exact in each
 * dtype: in gets f's parameter count of tensors, allocated in the arena. With s->distinct no two floats of all the
 * data are closer than the ranges allow. */
tsr_status sample_fill(struct sample *s, const tsr_fn *f, struct arena *arena, struct ref_tensor *in);

#endif
