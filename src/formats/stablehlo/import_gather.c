/* import_gather.c: gather and torch_index_select.
 *
 * gather is the primitive. The specification also admits slices of size 0 along collapsed and batching axes, from which
 * nothing can be read: such a result has no elements, or zeros.
 * Source: StableHLO specification, gather; the dialect's torch_index_select. */
#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"

bool imp_gather_sized(struct imp *p, const struct hlo_op *op, tsr_node *x, tsr_node *index,
    const tsr_extent *const *sizes) {
    const struct hlo_attr *a = hlo_get(op, "dimension_numbers"), *v = hlo_field(a, "index_vector_dim");
    int64_t list[5][TSR_MAX_RANK];
    tsr_gather_dims d = {.offset = list[0], .collapsed = list[1], .operand_batching = list[2],
                         .index_batching = list[3], .map = list[4],
                         .sorted = hlo_get_int(op, "indices_are_sorted", 0) != 0};
    if (!a) return imp_fail(p, op, "it has no dimension_numbers");
    d.index_vector_axis = v ? (int)v->i : 0;
    if (!imp_axes(p, op, a, "offset_dims", &d.n_offset, list[0]) ||
        !imp_axes(p, op, a, "collapsed_slice_dims", &d.n_collapsed, list[1]) ||
        !imp_axes(p, op, a, "operand_batching_dims", &d.n_operand_batching, list[2]) ||
        !imp_axes(p, op, a, "start_indices_batching_dims", &d.n_index_batching, list[3]) ||
        !imp_axes(p, op, a, "start_index_map", &d.n_map, list[4]))
        return false;
    return imp_result(p, op, 0, tsr_prim_gather(p->c, x, index, &d, sizes));
}

bool imp_gather(struct imp *p, const struct hlo_op *op) {
    int64_t size[TSR_MAX_RANK];
    const tsr_extent *sizes[TSR_MAX_RANK];
    tsr_node *x[2];
    bool empty = false;
    if (!imp_operands(p, op, 2, x) || !imp_ints(p, op, "slice_sizes", tsr_node_rank(x[0]), 0, size)) return false;
    for (int a = 0; a < tsr_node_rank(x[0]); a++) {
        if (size[a] < 0) return imp_fail(p, op, "slice_sizes[%d] = %lld is negative", a, (long long)size[a]);
        if (!(sizes[a] = tsr_extent_int(p->c, size[a]))) return false;
        empty = empty || size[a] == 0;
    }
    if (!empty) return imp_gather_sized(p, op, x[0], x[1], sizes);
    const tsr_type *t = imp_result_type(p, op, 0);
    return t && imp_result(p, op, 0, tsr_full(p->c, t, 0));
}

/* result[b..., o..., i..., r...] = operand[b..., o..., index[b..., i...], r...]: the first batch_dims axes go together,
 * the axis `dim` is looked up. */
bool imp_torch_index_select(struct imp *p, const struct hlo_op *op) {
    int64_t offset[TSR_MAX_RANK], batch[TSR_MAX_RANK], dim = hlo_get_int(op, "dim", 0),
        nbatch = hlo_get_int(op, "batch_dims", 0);
    const tsr_extent *sizes[TSR_MAX_RANK];
    tsr_node *x[2];
    if (!imp_operands(p, op, 2, x)) return false;
    int rank = tsr_node_rank(x[0]), indices = tsr_node_rank(x[1]), n = 0;
    if (nbatch < 0) nbatch += indices;
    if (dim < 0) dim += rank;
    if (nbatch < 0 || nbatch > indices || nbatch > dim || dim >= rank)
        return imp_fail(p, op, "dim %lld and batch_dims %lld do not fit an operand of rank %d and indices of rank %d",
            (long long)dim, (long long)nbatch, rank, indices);
    for (int a = 0; a < rank; a++) {
        bool whole = a >= nbatch && a != dim;
        sizes[a] = whole ? tsr_node_extent(x[0], a) : tsr_extent_int(p->c, 1);
        if (whole) offset[n++] = a < dim ? a : a + indices - nbatch - 1;
    }
    for (int a = 0; a < nbatch; a++) batch[a] = a;
    tsr_gather_dims d = {.n_offset = n, .n_collapsed = 1, .n_operand_batching = (int)nbatch,
                         .n_index_batching = (int)nbatch, .n_map = 1, .offset = offset, .collapsed = &dim,
                         .operand_batching = batch, .index_batching = batch, .map = &dim,
                         .index_vector_axis = indices};
    return imp_result(p, op, 0, tsr_prim_gather(p->c, x[0], x[1], &d, sizes));
}
