/* import_form.c: constants, movement, tuples: operations that compute nothing.
 *
 * Each is one primitive of prim.h with the attributes of the specification. Extents come from the result type where
 * the operation has no attribute for them (imp_result_type: static, or found out by import_shape.c).
 * Source: StableHLO specification. */
#include "formats/stablehlo/import.h"
#include "graph/node.h"
#include "tessera/ops.h"

/* ---- literals --------------------------------------------------------------------------------------------------- */

static tsr_node *dense(struct imp *p, const struct hlo_attr *a, const tsr_type *t) {
    int64_t count = hlo_type_count(a->type);
    size_t bytes;
    if (count < 0 || !tsr_dtype_bytes(t->dtype, count, &bytes))
        return err_set(p->c, TSR_EINVAL, "the constant has more elements than memory can hold"), tsr_poison(p->c);
    void *data = mem_alloc(p->c, bytes + 1);
    tsr_node *n = data && hlo_elements_read(p->c, a, data, bytes) ? tsr_const(p->c, t, data) : tsr_poison(p->c);
    mem_free(p->c, data, bytes + 1);
    return n;
}

/* One value for all elements: a scalar, spread. */
static tsr_node *splat(struct imp *p, const struct hlo_attr *a, const tsr_type *t) {
    struct hlo_type scalar = *a->type;
    struct hlo_attr one = *a;
    scalar.rank = 0, one.type = &scalar;
    tsr_node *n = dense(p, &one, tsr_type_dims(p->c, t->dtype, 0, NULL));
    return t->rank ? tsr_prim_broadcast(p->c, n, t, NULL) : n;
}

tsr_node *imp_elements(struct imp *p, const struct hlo_attr *a) {
    const tsr_type *t = imp_type(p, a->type);
    if (!t) return tsr_poison(p->c);
    return a->splat ? splat(p, a, t) : dense(p, a, t);
}

bool imp_constant(struct imp *p, const struct hlo_op *op) {
    const struct hlo_attr *a = hlo_get(op, "value");
    if (!a || a->kind != HLO_A_ELEMENTS) return imp_fail(p, op, "its value is no dense<...> of known elements");
    return imp_result(p, op, 0, imp_elements(p, a));
}

/* The axis that attribute `name` states; -1: none, or no axis any tensor has. */
static int axis_of(const struct hlo_op *op, const char *name) {
    int64_t v = hlo_get_int(op, name, -1);
    return v < 0 || v >= TSR_MAX_RANK ? -1 : (int)v;
}

bool imp_iota(struct imp *p, const struct hlo_op *op) {
    const tsr_type *t = imp_result_type(p, op, 0);
    return t && imp_result(p, op, 0, tsr_prim_iota(p->c, t, axis_of(op, "iota_dimension")));
}

/* ---- movement --------------------------------------------------------------------------------------------------- */

/* The list of integers `name` with n entries; NULL with an error recorded. An absent list of length 0 is one. */
static const int64_t *ints(struct imp *p, const struct hlo_op *op, const char *name, int n) {
    static const int64_t none[1];
    int have;
    const int64_t *v = hlo_get_ints(op, name, &have);
    if (have == n) return v ? v : none;
    return imp_fail(p, op, "%s has %d entries, %d are needed", name, have, n), NULL;
}

bool imp_reshape(struct imp *p, const struct hlo_op *op) {
    const tsr_type *t = imp_result_type(p, op, 0);
    return t && imp_result(p, op, 0, tsr_prim_reshape(p->c, imp_operand(p, op, 0), t));
}

bool imp_broadcast_in_dim(struct imp *p, const struct hlo_op *op) {
    const tsr_type *t = imp_result_type(p, op, 0);
    tsr_node *x = imp_operand(p, op, 0);
    if (!t || tsr_is_poison(x)) return false;
    const int64_t *axes = ints(p, op, "broadcast_dimensions", tsr_node_rank(x));
    return axes && imp_result(p, op, 0, tsr_prim_broadcast(p->c, x, t, axes));
}

/* The old form: new axes in front. */
bool imp_broadcast(struct imp *p, const struct hlo_op *op) {
    const tsr_type *t = imp_result_type(p, op, 0);
    tsr_node *x = imp_operand(p, op, 0);
    int64_t axes[TSR_MAX_RANK];
    if (!t || tsr_is_poison(x)) return false;
    if (t->rank < tsr_node_rank(x)) return imp_fail(p, op, "its result has fewer axes than its operand");
    for (int i = 0; i < tsr_node_rank(x); i++) axes[i] = t->rank - tsr_node_rank(x) + i;
    return imp_result(p, op, 0, tsr_prim_broadcast(p->c, x, t, axes));
}

bool imp_transpose(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0);
    const int64_t *perm = tsr_is_poison(x) ? NULL : ints(p, op, "permutation", tsr_node_rank(x));
    return perm && imp_result(p, op, 0, tsr_prim_transpose(p->c, x, perm));
}

bool imp_slice(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0);
    if (tsr_is_poison(x)) return false;
    int rank = tsr_node_rank(x);
    const int64_t *start = ints(p, op, "start_indices", rank), *limit = ints(p, op, "limit_indices", rank);
    const int64_t *stride = ints(p, op, "strides", rank);
    return start && limit && stride && imp_result(p, op, 0, tsr_prim_slice_ints(p->c, x, start, limit, stride));
}

bool imp_pad(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0), *value = imp_operand(p, op, 1);
    if (tsr_is_poison(x) || tsr_is_poison(value)) return false;
    int rank = tsr_node_rank(x);
    const int64_t *low = ints(p, op, "edge_padding_low", rank), *high = ints(p, op, "edge_padding_high", rank);
    const int64_t *interior = ints(p, op, "interior_padding", rank);
    return low && high && interior &&
        imp_result(p, op, 0, tsr_prim_pad_ints(p->c, x, value, low, high, interior));
}

bool imp_concatenate(struct imp *p, const struct hlo_op *op) {
    tsr_node **x = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *x);
    if (!x) return false;
    for (int i = 0; i < op->noperand; i++) x[i] = imp_operand(p, op, i);
    return imp_result(p, op, 0, tsr_prim_concat(p->c, op->noperand, x, axis_of(op, "dimension")));
}

bool imp_reverse(struct imp *p, const struct hlo_op *op) {
    int n;
    const int64_t *axes = hlo_get_ints(op, "dimensions", &n);
    return imp_result(p, op, 0, tsr_prim_reverse(p->c, imp_operand(p, op, 0), n, axes));
}

/* Operands first .. first + rank - 1 are the start indices. */
static bool starts(struct imp *p, const struct hlo_op *op, int first, int rank, tsr_node **start) {
    if (op->noperand != first + rank)
        return imp_fail(p, op, "%d start indices for rank %d", op->noperand - first, rank);
    for (int i = 0; i < rank; i++) start[i] = imp_operand(p, op, first + i);
    return true;
}

bool imp_dynamic_slice(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0), *start[TSR_MAX_RANK];
    const tsr_extent *size[TSR_MAX_RANK];
    if (tsr_is_poison(x)) return false;
    int rank = tsr_node_rank(x);
    const int64_t *n = ints(p, op, "slice_sizes", rank);
    if (!n || !starts(p, op, 1, rank, start)) return false;
    for (int i = 0; i < rank; i++) size[i] = tsr_extent_int(p->c, n[i]);
    return imp_result(p, op, 0, tsr_prim_dynamic_slice(p->c, x, start, size));
}

bool imp_dynamic_update_slice(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0), *update = imp_operand(p, op, 1), *start[TSR_MAX_RANK];
    if (tsr_is_poison(x) || tsr_is_poison(update) || !starts(p, op, 2, tsr_node_rank(x), start)) return false;
    return imp_result(p, op, 0, tsr_prim_dynamic_update_slice(p->c, x, update, start));
}

/* A symbolic extent is counted: the sum of as many ones. */
static tsr_node *extent_node(struct imp *p, const tsr_extent *e) {
    int64_t known;
    if (tsr_extent_is_int(e, &known)) return tsr_scalar_int(p->c, TSR_I32, known);
    const tsr_type *t = tsr_type_tensor(p->c, TSR_I32, 1, &e);
    return t ? tsr_prim_reduce(p->c, tsr_full(p->c, t, 1), TSR_REDUCE_SUM, 1, (int64_t[]){0}) : tsr_poison(p->c);
}

bool imp_get_dimension_size(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0);
    int64_t axis = hlo_get_int(op, "dimension", -1);
    if (tsr_is_poison(x)) return false;
    if (axis < 0 || axis >= tsr_node_rank(x))
        return imp_fail(p, op, "dimension %lld of a tensor of rank %d", (long long)axis, tsr_node_rank(x));
    return imp_result(p, op, 0, extent_node(p, tsr_node_extent(x, (int)axis)));
}

/* ---- tuples, barriers ------------------------------------------------------------------------------------------- */

bool imp_tuple(struct imp *p, const struct hlo_op *op) {
    struct imp_value *item = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *item);
    const struct hlo_type *t = op->nresult ? op->result[0].type : NULL;
    if (!item) return false;
    if (!t || t->kind != HLO_T_TUPLE || t->n != op->noperand)
        return imp_fail(p, op, "its result is no tuple of %d values", op->noperand);
    for (int i = 0; i < op->noperand; i++) item[i] = *imp_value(p, op->operand[i]);
    *imp_value(p, &op->result[0]) = (struct imp_value){.type = t, .item = item};
    return true;
}

bool imp_get_tuple_element(struct imp *p, const struct hlo_op *op) {
    const struct imp_value *v = imp_operand_value(p, op, 0);
    int64_t i = hlo_get_int(op, "index", -1);
    if (!v) return false;
    if (!v->item || i < 0 || i >= v->type->n)
        return imp_fail(p, op, "index %lld of %s", (long long)i, v->item ? "a tuple with fewer items" : "no tuple");
    return imp_forward(p, op, 0, &v->item[i]);
}

bool imp_optimization_barrier(struct imp *p, const struct hlo_op *op) {
    tsr_node **x = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *x), *tuple = NULL;
    int n = 0, at = 0;
    if (!x) return false;
    if (op->nresult != op->noperand) return imp_fail(p, op, "%d results of %d operands", op->nresult, op->noperand);
    for (int i = 0; i < op->noperand; i++)
        if (imp_value(p, op->operand[i])->node) x[n++] = imp_operand(p, op, i);
    if (n && tsr_is_poison(tuple = tsr_prim_barrier(p->c, n, x))) return false;
    for (int i = 0; i < op->nresult; i++) {
        struct imp_value v = *imp_value(p, op->operand[i]);
        if (v.node) v.node = tsr_item(p->c, tuple, at++);
        if (!imp_forward(p, op, i, &v)) return false;
    }
    return true;
}
