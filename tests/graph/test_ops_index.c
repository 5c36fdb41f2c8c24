/* test_ops_index.c: dynamic_slice, dynamic_update_slice, gather and scatter against the definitions of the StableHLO
 * specification (the formulas for operand and result index, spelled out), their gradients, batching, refusals and
 * symbolic extents. */
#include "op_check.h"

/* links them in while the table of ops.c is weak */
extern const struct op_def op_DYNAMIC_SLICE, op_DYNAMIC_UPDATE_SLICE, op_GATHER, op_SCATTER;
__attribute__((used)) static const struct op_def *const records[] = {&op_DYNAMIC_SLICE, &op_DYNAMIC_UPDATE_SLICE,
                                                                     &op_GATHER, &op_SCATTER};

/* ---- oracles ---------------------------------------------------------------------------------------------------- */

static int64_t index_number(const struct ref_tensor *t, int64_t at) {
    val v = ref_get(t, at);
    return tsr_dtype_of(t->dtype)->kind == TSR_KIND_INT ? v.i : (int64_t)v.u;
}

static int64_t clamp(int64_t v, int64_t hi) { return v < 0 ? 0 : v > hi ? hi : v; }

static void oracle_dynamic_slice(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0];
    (void)n;
    for (int64_t k = 0, at[TSR_MAX_RANK]; k < x->count; k++) { /* over the operand: which result is it? */
        bool taken = true;
        ref_unravel(x->rank, x->dim, k, at);
        for (int i = 0; i < x->rank; i++) {
            at[i] -= clamp(index_number(&in[1 + i], 0), x->dim[i] - y->dim[i]);
            taken = taken && at[i] >= 0 && at[i] < y->dim[i];
        }
        if (taken) out[ref_ravel(y->rank, y->dim, at)] = ref_get(x, k);
    }
}

static void oracle_update(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0], *u = &in[1];
    (void)n;
    for (int64_t k = 0, at[TSR_MAX_RANK]; k < y->count; k++) {
        bool over = true;
        ref_unravel(x->rank, x->dim, k, at);
        for (int i = 0; i < x->rank; i++) {
            at[i] -= clamp(index_number(&in[2 + i], 0), x->dim[i] - u->dim[i]);
            over = over && at[i] >= 0 && at[i] < u->dim[i];
        }
        out[k] = over ? ref_get(u, ref_ravel(u->rank, u->dim, at)) : ref_get(x, k);
    }
}

static bool among(const int64_t *list, int n, int64_t v) {
    for (int i = 0; i < n; i++)
        if (list[i] == v) return true;
    return false;
}

/* The spec's index arithmetic, list by list: full_start_index, full_batching_index, full_offset_index of a result
 * (update) position. */
struct place { int64_t start[TSR_MAX_RANK], batching[TSR_MAX_RANK], offset[TSR_MAX_RANK]; };
static struct place place_of(const tsr_node *n, const struct ref_tensor *index, int rank, int at_rank,
                             const int64_t *at) {
    int no, nc, nb, nm;
    const int64_t *offset = node_ints(n, ATTR_OFFSET_DIMS, &no), *collapsed = node_ints(n, ATTR_COLLAPSED_DIMS, &nc);
    const int64_t *ob = node_ints(n, ATTR_OPERAND_BATCHING, &nb), *ib = node_ints(n, ATTR_INDEX_BATCHING, NULL);
    const int64_t *map = node_ints(n, ATTR_INDEX_MAP, &nm), v = node_int(n, ATTR_INDEX_VECTOR_AXIS);
    int64_t batch_index[TSR_MAX_RANK], offset_index[TSR_MAX_RANK], where[TSR_MAX_RANK];
    int batch = 0, window = 0;
    struct place p = {{0}, {0}, {0}};
    for (int a = 0; a < at_rank; a++) {
        if (among(offset, no, a)) offset_index[window++] = at[a];
        else batch_index[batch++] = at[a];
    }
    for (int k = 0; k < nm; k++) {
        for (int i = 0, b = 0; i < index->rank; i++) where[i] = i == v ? k : batch_index[b++];
        p.start[map[k]] = index_number(index, ref_ravel(index->rank, index->dim, where));
    }
    for (int i = 0; i < nb; i++) p.batching[ob[i]] = batch_index[ib[i] - (ib[i] < v ? 0 : 1)];
    for (int a = 0, w = 0; a < rank; a++)
        p.offset[a] = among(collapsed, nc, a) || among(ob, nb, a) ? 0 : offset_index[w++];
    return p;
}

static void oracle_gather(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0];
    int nm;
    const int64_t *map = node_ints(n, ATTR_INDEX_MAP, &nm);
    const tsr_extent *const *sizes = node_exts(n, ATTR_SIZES, NULL);
    for (int64_t k = 0, at[TSR_MAX_RANK], from[TSR_MAX_RANK]; k < y->count; k++) {
        ref_unravel(y->rank, y->dim, k, at);
        struct place p = place_of(n, &in[1], x->rank, y->rank, at);
        for (int a = 0; a < x->rank; a++) {
            int64_t size = 0;
            tsr_extent_is_int(sizes[a], &size);
            from[a] = (among(map, nm, a) ? clamp(p.start[a], x->dim[a] - size) : 0) + p.batching[a] + p.offset[a];
        }
        out[k] = ref_get(x, ref_ravel(x->rank, x->dim, from));
    }
}

/* Window extents over operand axes: 1 where inserted or batching, else the update's, in order. */
static void windows(const tsr_node *n, const struct ref_tensor *x, const struct ref_tensor *u, int64_t *size) {
    int no, nc, nb, w = 0;
    const int64_t *offset = node_ints(n, ATTR_OFFSET_DIMS, &no), *collapsed = node_ints(n, ATTR_COLLAPSED_DIMS, &nc);
    const int64_t *batching = node_ints(n, ATTR_OPERAND_BATCHING, &nb);
    for (int a = 0; a < x->rank; a++)
        size[a] = among(collapsed, nc, a) || among(batching, nb, a) ? 1 : u->dim[offset[w++]];
    CHECK_EQ(w, no);
}

static void oracle_scatter(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    static const int64_t as[] = {-1, TSR_REDUCE_SUM, TSR_REDUCE_PROD, TSR_REDUCE_MIN, TSR_REDUCE_MAX};
    const struct ref_tensor *x = &in[0], *u = &in[2];
    int64_t mode = node_int(n, ATTR_MODE), size[TSR_MAX_RANK], at[TSR_MAX_RANK], to[TSR_MAX_RANK];
    int nm;
    const int64_t *map = node_ints(n, ATTR_INDEX_MAP, &nm);
    windows(n, x, u, size);
    for (int64_t k = 0; k < y->count; k++) out[k] = ref_get(x, k);
    for (int64_t k = 0; k < u->count; k++) {
        bool inside = true;
        ref_unravel(u->rank, u->dim, k, at);
        struct place p = place_of(n, &in[1], x->rank, u->rank, at);
        for (int a = 0; a < x->rank; a++) {
            if (among(map, nm, a)) inside = inside && p.start[a] >= 0 && p.start[a] + size[a] <= x->dim[a];
            to[a] = p.start[a] + p.batching[a] + p.offset[a];
        }
        if (!inside) continue;
        int64_t place = ref_ravel(x->rank, x->dim, to);
        out[place] = mode == TSR_SCATTER_SET ? ref_get(u, k)
            : val_reduce(as[mode], x->dtype, out[place], ref_get(u, k));
    }
}

TEST(dynamic_slice_oracle) { check_against_oracle(TSR_OP_DYNAMIC_SLICE, 25, oracle_dynamic_slice); }
TEST(dynamic_update_slice_oracle) { check_against_oracle(TSR_OP_DYNAMIC_UPDATE_SLICE, 25, oracle_update); }
TEST(gather_oracle) { check_against_oracle(TSR_OP_GATHER, 60, oracle_gather); }
TEST(scatter_oracle) { check_against_oracle(TSR_OP_SCATTER, 60, oracle_scatter); }

TEST(dynamic_slice_gradient) { check_gradient(TSR_OP_DYNAMIC_SLICE, 60); }
TEST(dynamic_update_slice_gradient) { check_gradient(TSR_OP_DYNAMIC_UPDATE_SLICE, 60); }
TEST(gather_gradient) { check_gradient(TSR_OP_GATHER, 150); }
TEST(scatter_gradient) { check_gradient(TSR_OP_SCATTER, 300); }

TEST(dynamic_slice_batching) { check_batching(TSR_OP_DYNAMIC_SLICE, 80); }
TEST(dynamic_update_slice_batching) { check_batching(TSR_OP_DYNAMIC_UPDATE_SLICE, 80); }
TEST(gather_batching) { check_batching(TSR_OP_GATHER, 200); }
TEST(scatter_batching) { check_batching(TSR_OP_SCATTER, 200); }
