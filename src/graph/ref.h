/* ref.h: what reference kernels use beside the functions of op.h: raw moves and sizes. */
#ifndef GRAPH_REF_H
#define GRAPH_REF_H

#include "graph/op.h"

/* Copy one stored element unchanged (NaN payloads too); both tensors have one dtype. */
void ref_move(struct ref_tensor *to, int64_t to_index, const struct ref_tensor *from, int64_t from_index);
/* A tensor in the arena, zeroed; false: out of memory or too large, recorded. */
bool ref_new(struct arena *a, tsr_dtype t, int rank, const int64_t *dim, struct ref_tensor *out);
/* Count and bytes of a shape as checked products; false with the error recorded. Sets everything but the data. */
bool ref_shape(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim, struct ref_tensor *out, size_t *bytes);
size_t ref_bytes(const struct ref_tensor *t); /* of its data; the count was checked when it was made */

#endif
