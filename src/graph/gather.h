/* gather.h: dimension numbers, what gather and scatter share.
 *
 * The result of a gather and the update of a scatter have one layout: each of their axes is either a window axis,
 * which walks along one operand axis, or a batch axis, which walks along one axis of the index tensor. Names below
 * are gather's; scatter has the same lists under other names (prim.h). */
#ifndef GRAPH_GATHER_H
#define GRAPH_GATHER_H

#include "graph/axes.h"

enum { GATHER_ATTRS = 7 };

/* For axis a of the result: the operand axis or the index axis it walks along; the other is -1. */
struct gather_layout {
    int rank;
    int operand_axis[2 * TSR_MAX_RANK], index_axis[2 * TSR_MAX_RANK];
};

void gather_attrs(const tsr_gather_dims *d, struct attr a[GATHER_ATTRS]);
void gather_dims(int nattr, const struct attr *attr, tsr_gather_dims *out); /* what gather_attrs put there */
bool gather_counts_valid(tsr_ctx *c, const char *op, const tsr_gather_dims *d); /* no negative lengths */
/* The constraints on lists, operand and index that both ops have; their operands, in messages, are those of `op`. */
bool gather_check(tsr_ctx *c, const char *op, const tsr_gather_dims *d, const tsr_type *x, const tsr_type *index);
void gather_layout(const tsr_gather_dims *d, int operand_rank, int index_rank, struct gather_layout *out);

/* Dimension numbers when operand, index or both get a batch axis in front; `room` holds the new lists. */
struct gather_room { int64_t offset[TSR_MAX_RANK + 1], collapsed[TSR_MAX_RANK + 1], operand[TSR_MAX_RANK + 1],
                    index[TSR_MAX_RANK + 1], map[TSR_MAX_RANK + 1]; };
void gather_batch(const tsr_gather_dims *d, bool operand, bool index, struct gather_room *room, tsr_gather_dims *out);

/* Graph: last valid start for each index component, broadcast to the (i64) index; the index clamped to [0, last];
 * which windows lie inside, over the batch axes, broadcast to type t of the result. size: window extents over
 * operand axes. */
tsr_node *gather_last(tsr_ctx *c, const tsr_gather_dims *d, const tsr_type *x, const tsr_extent *const *size,
                      tsr_node *index);
tsr_node *gather_clamped(tsr_ctx *c, const tsr_gather_dims *d, const tsr_type *x, const tsr_extent *const *size,
                         tsr_node *index);
tsr_node *gather_inside(tsr_ctx *c, const tsr_gather_dims *d, const tsr_type *x, const tsr_extent *const *size,
                        tsr_node *index, const tsr_type *t);

/* Reference: start[] over operand axes (not clamped; batching axes get their coordinate) of the window of result
 * position at[]. */
void gather_start(const tsr_gather_dims *d, const struct gather_layout *l, const struct ref_tensor *index,
                  const int64_t *at, int operand_rank, int64_t *start);

/* Random dimension numbers with the extents that go with them. */
struct gather_case {
    tsr_gather_dims d;
    struct gather_room room;
    int rank, index_rank, result_rank;
    int64_t dim[TSR_MAX_RANK], size[TSR_MAX_RANK], index_dim[TSR_MAX_RANK], result_dim[TSR_MAX_RANK];
    tsr_dtype index_type;
};
void gather_case(struct sample *s, struct gather_case *g);
/* of the index data: also out of range */
void gather_case_range(struct sample *s, const struct gather_case *g, int param);

#endif
