/* export_reduce.c: reductions, searches, running sums, windows, sorts.
 *
 * A body is written as a region of scalars. argreduce is a reduce of pairs (value, position) whose body is a total
 * order: NaN first, then the greater (or lesser) value, then the lesser position, so that the order of the reduction
 * does not matter. A running sum is a reduce_window as long as its axis, padded on one side. sort compares
 * floats by TOTALORDER after -0 became 0 and every NaN one NaN, which is the primitive's order (and JAX's).
 * Source: StableHLO specification. */
#include <math.h>
#include <string.h>

#include "formats/stablehlo/export.h"

enum hlo_opcode exp_reduce_code(tsr_reduce how) {
    static const enum hlo_opcode code[TSR_REDUCE_COUNT] = {[TSR_REDUCE_SUM] = HLO_OP_ADD,
        [TSR_REDUCE_PROD] = HLO_OP_MULTIPLY, [TSR_REDUCE_MAX] = HLO_OP_MAXIMUM, [TSR_REDUCE_MIN] = HLO_OP_MINIMUM,
        [TSR_REDUCE_AND] = HLO_OP_AND, [TSR_REDUCE_OR] = HLO_OP_OR, [TSR_REDUCE_XOR] = HLO_OP_XOR};
    return code[how];
}

/* What combining with changes nothing. */
static struct hlo_value *identity(struct exp *x, tsr_dtype t, tsr_reduce how) {
    struct ref_tensor one = {.dtype = t, .count = 1};
    uint8_t bytes[16] = {0};
    one.p = bytes;
    ref_set(&one, 0, ref_reduce_identity(how, t));
    const tsr_type *type = tsr_type_dims(x->c, t, 0, NULL);
    return type ? exp_literal(x, tsr_const(x->c, type, bytes)) : NULL;
}

/* Region r: (a, b) -> op(a, b), scalars of dtype t. */
static bool body_of_two(struct exp *x, struct hlo_region *r, tsr_dtype t, enum hlo_opcode code) {
    const struct hlo_type *s = exp_scalar_type(x, t);
    struct exp_region saved;
    if (!s || !exp_region_begin(x, r, 2, (const struct hlo_type *[]){s, s}, &saved)) return false;
    struct hlo_value *y = exp_make2(x, code, s, &x->block->arg[0], &x->block->arg[1]);
    bool ok = y && exp_return(x, 1, &y);
    exp_region_end(x, &saved);
    return ok;
}

/* ---- reduce ----------------------------------------------------------------------------------------------------- */
bool exp_reduce(struct exp *x, const tsr_node *n) {
    tsr_reduce how = (tsr_reduce)node_int(n, ATTR_REDUCE);
    tsr_dtype t = n->type->dtype;
    int count;
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    struct hlo_named dims = exp_ints(x, "dimensions", count, axes);
    struct hlo_value *in[] = {exp_in(x, n, 0), identity(x, t, how)};
    const struct hlo_type *type = exp_type(x, n->type);
    struct hlo_op *op = exp_op(x, HLO_OP_REDUCE, 2, in, 1, &dims, 1, &type, 1);
    return op && body_of_two(x, &op->region[0], t, exp_reduce_code(how)) && exp_done_op(x, n, op);
}

/* Is the element (v, i) to be taken before (w, j)? */
static struct hlo_value *comes_first(struct exp *x, tsr_dtype t, tsr_dtype index, bool greatest,
    struct hlo_value *const *arg) {
    struct hlo_value *v = arg[0], *i = arg[1], *w = arg[2], *j = arg[3];
    const struct hlo_type *b = exp_scalar_type(x, TSR_BOOL);
    struct hlo_value *better = exp_compare(x, greatest ? "GT" : "LT", t, false, v, w);
    struct hlo_value *same = exp_compare(x, "EQ", t, false, v, w), *sooner = exp_compare(x, "LT", index, false, i, j);
    if (tsr_dtype_of(t)->kind == TSR_KIND_FLOAT) {
        struct hlo_value *v_nan = exp_compare(x, "NE", t, false, v, v), *w_nan = exp_compare(x, "NE", t, false, w, w);
        struct hlo_value *only = exp_make2(x, HLO_OP_AND, b, v_nan, exp_make1(x, HLO_OP_NOT, b, w_nan));
        better = exp_make2(x, HLO_OP_OR, b, better, only);
        same = exp_make2(x, HLO_OP_OR, b, same, exp_make2(x, HLO_OP_AND, b, v_nan, w_nan));
    }
    return exp_make2(x, HLO_OP_OR, b, better, exp_make2(x, HLO_OP_AND, b, same, sooner));
}

static bool search_body(struct exp *x, struct hlo_region *r, tsr_dtype t, tsr_dtype index, bool greatest) {
    const struct hlo_type *v = exp_scalar_type(x, t), *i = exp_scalar_type(x, index);
    struct hlo_value *arg[4];
    struct exp_region saved;
    if (!v || !i || !exp_region_begin(x, r, 4, (const struct hlo_type *[]){v, i, v, i}, &saved)) return false;
    for (int k = 0; k < 4; k++) arg[k] = &x->block->arg[k];
    struct hlo_value *first = comes_first(x, t, index, greatest, arg);
    struct hlo_value *y[] = {exp_select(x, first, arg[0], arg[2]), exp_select(x, first, arg[1], arg[3])};
    bool ok = exp_return(x, 2, y);
    exp_region_end(x, &saved);
    return ok;
}

bool exp_argreduce(struct exp *x, const tsr_node *n) {
    const tsr_type *from = n->src[0]->type, *places = type_with_dtype(x->c, from, n->type->dtype);
    int64_t axis = node_int(n, ATTR_AXIS);
    bool greatest = node_int(n, ATTR_REDUCE) == TSR_REDUCE_MAX;
    const tsr_type *values = type_with_dtype(x->c, n->type, from->dtype);
    if (!places || !values) return false;
    struct hlo_named iota = exp_int(x, "iota_dimension", axis), dims = exp_ints(x, "dimensions", 1, &axis);
    bool fixed = tsr_type_ints(from, NULL);
    struct hlo_value *size = fixed ? NULL : exp_extents(x, from->rank, from->extent);
    struct hlo_value *at = fixed ? exp_make(x, HLO_OP_IOTA, exp_type(x, places), 0, NULL, 1, &iota)
                                 : exp_make(x, HLO_OP_DYNAMIC_IOTA, exp_type(x, places), 1, &size, 1, &iota);
    struct hlo_value *in[] = {exp_in(x, n, 0), at, identity(x, from->dtype, greatest ? TSR_REDUCE_MAX : TSR_REDUCE_MIN),
        identity(x, n->type->dtype, TSR_REDUCE_MIN)};
    const struct hlo_type *t[] = {exp_type(x, values), exp_type(x, n->type)};
    struct hlo_op *op = exp_op(x, HLO_OP_REDUCE, 4, in, 1, &dims, 2, t, 1);
    return op && search_body(x, &op->region[0], from->dtype, n->type->dtype, greatest) &&
           exp_done(x, n, &op->result[1]);
}

/* ---- windows ---------------------------------------------------------------------------------------------------- */
/* padding = dense<[[low, high], ...]> */
static struct hlo_named padding(struct exp *x, int rank, const int64_t *low, const int64_t *high) {
    int64_t dim[] = {rank, 2}, *v = arena_array(&x->m->arena, 2 * (size_t)rank + 1, sizeof *v);
    const struct hlo_type *t = exp_dims_type(x, TSR_I64, 2, dim);
    for (int a = 0; v && a < rank; a++) v[2 * a] = low[a], v[2 * a + 1] = high[a];
    return exp_named("padding", v && t ? hlo_attr_elements(x->m, t, false, v, 2 * (size_t)rank * sizeof *v) : NULL);
}

/* The attributes of the window, defaults left out: how many. */
static int window_attrs(struct exp *x, const tsr_node *n, struct hlo_named *attr) {
    static const struct { enum attr_key key; const char *name; } list[] = {{ATTR_STRIDE, "window_strides"},
        {ATTR_BASE_DILATION, "base_dilations"}, {ATTR_WINDOW_DILATION, "window_dilations"}};
    int count, at = 0;
    const int64_t *v = node_ints(n, ATTR_WINDOW, &count);
    attr[at++] = exp_ints(x, "window_dimensions", count, v);
    for (int i = 0; i < 3; i++) {
        bool ones = true;
        if (!node_attr(n, list[i].key)) continue;
        v = node_ints(n, list[i].key, &count);
        for (int a = 0; a < count; a++) ones &= v[a] == 1;
        if (!ones) attr[at++] = exp_ints(x, list[i].name, count, v);
    }
    const int64_t *low = node_ints(n, ATTR_PAD_LOW, &count), *high = node_ints(n, ATTR_PAD_HIGH, NULL);
    bool zeros = true;
    for (int a = 0; a < count; a++) zeros &= low[a] == 0 && high[a] == 0;
    if (!zeros) attr[at++] = padding(x, count, low, high);
    return at;
}

bool exp_reduce_window(struct exp *x, const tsr_node *n) {
    tsr_reduce how = (tsr_reduce)node_int(n, ATTR_REDUCE);
    tsr_dtype t = n->type->dtype;
    struct hlo_named attr[6];
    int nattr = window_attrs(x, n, attr);
    struct hlo_value *in[] = {exp_in(x, n, 0), identity(x, t, how)};
    const struct hlo_type *type = exp_type(x, n->type);
    struct hlo_op *op = exp_op(x, HLO_OP_REDUCE_WINDOW, 2, in, nattr, attr, 1, &type, 1);
    return op && body_of_two(x, &op->region[0], t, exp_reduce_code(how)) && exp_done_op(x, n, op);
}

bool exp_cumulate(struct exp *x, const tsr_node *n) {
    tsr_reduce how = (tsr_reduce)node_int(n, ATTR_REDUCE);
    int64_t axis = node_int(n, ATTR_AXIS), window[TSR_MAX_RANK], low[TSR_MAX_RANK] = {0}, high[TSR_MAX_RANK] = {0}, len;
    int rank = n->type->rank;
    tsr_dtype t = n->type->dtype;
    if (!tsr_extent_is_int(n->type->extent[axis], &len))
        return exp_fail(x, n, "a running %s along a symbolic extent has no window of constant size",
            hlo_op_of(exp_reduce_code(how))->name);
    if (len <= 1) return exp_done(x, n, exp_in(x, n, 0)); /* one element is its own sum */
    for (int a = 0; a < rank; a++) window[a] = 1;
    window[axis] = len;
    (node_int(n, ATTR_REVERSE) ? high : low)[axis] = len - 1;
    struct hlo_named attr[] = {exp_ints(x, "window_dimensions", rank, window), padding(x, rank, low, high)};
    struct hlo_value *in[] = {exp_in(x, n, 0), identity(x, t, how)};
    const struct hlo_type *type = exp_type(x, n->type);
    struct hlo_op *op = exp_op(x, HLO_OP_REDUCE_WINDOW, 2, in, 2, attr, 1, &type, 1);
    return op && body_of_two(x, &op->region[0], t, exp_reduce_code(how)) && exp_done_op(x, n, op);
}

/* The element picked before stays unless the next one is greater (lesser): what everybody writes for max pooling. With
 * a NaN in the window this picks another element than the primitive, which takes the NaN; the importer gives the
 * primitive back. */
static bool pick_body(struct exp *x, struct hlo_region *r, tsr_dtype t, bool greatest) {
    const struct hlo_type *s = exp_scalar_type(x, t);
    struct exp_region saved;
    if (!s || !exp_region_begin(x, r, 2, (const struct hlo_type *[]){s, s}, &saved)) return false;
    struct hlo_value *keep = exp_compare(x, greatest ? "GE" : "LE", t, false, &x->block->arg[0], &x->block->arg[1]);
    bool ok = keep && exp_return(x, 1, &keep);
    exp_region_end(x, &saved);
    return ok;
}

bool exp_select_and_scatter(struct exp *x, const tsr_node *n) {
    tsr_dtype t = n->type->dtype;
    struct hlo_named attr[6];
    int nattr = window_attrs(x, n, attr);
    struct hlo_value *in[] = {exp_in(x, n, 0), exp_in(x, n, 1), exp_scalar(x, t, 0)};
    const struct hlo_type *type = exp_type(x, n->type);
    struct hlo_op *op = exp_op(x, HLO_OP_SELECT_AND_SCATTER, 3, in, nattr, attr, 1, &type, 2);
    return op && pick_body(x, &op->region[0], t, node_int(n, ATTR_REDUCE) == TSR_REDUCE_MAX) &&
           body_of_two(x, &op->region[1], t, HLO_OP_ADD) && exp_done_op(x, n, op);
}

/* ---- sort ------------------------------------------------------------------------------------------------------- */
static struct hlo_value *canonical(struct exp *x, tsr_dtype t, struct hlo_value *v) {
    struct hlo_value *zero = exp_scalar(x, t, 0), *nan = exp_scalar(x, t, (double)NAN);
    v = exp_select(x, exp_compare(x, "EQ", t, false, v, zero), zero, v);
    return exp_select(x, exp_compare(x, "NE", t, false, v, v), nan, v);
}

/* Do the keys from k on of the left element come before those of the right? */
static struct hlo_value *ordered(struct exp *x, const tsr_node *n, int k) {
    tsr_dtype t = n->src[k]->type->dtype;
    bool total = node_int_or(n, ATTR_MODE, 0), is_float = tsr_dtype_of(t)->kind == TSR_KIND_FLOAT;
    struct hlo_value *a = &x->block->arg[2 * k], *b = &x->block->arg[2 * k + 1];
    if (is_float && !total) a = canonical(x, t, a), b = canonical(x, t, b);
    struct hlo_value *before = exp_compare(x, node_int(n, ATTR_DESCENDING) ? "GT" : "LT", t, true, a, b);
    if (k + 1 == node_int(n, ATTR_KEYS)) return before;
    struct hlo_value *same = exp_compare(x, "EQ", t, true, a, b), *rest = ordered(x, n, k + 1);
    const struct hlo_type *bool_type = exp_scalar_type(x, TSR_BOOL);
    return exp_make2(x, HLO_OP_OR, bool_type, before, exp_make2(x, HLO_OP_AND, bool_type, same, rest));
}

bool exp_sort(struct exp *x, const tsr_node *n) {
    int count = n->nsrc;
    struct exp_region saved;
    struct hlo_value **in = arena_array(&x->m->arena, (size_t)count + 1, sizeof *in);
    const struct hlo_type **t = arena_array(&x->m->arena, 3 * (size_t)count + 1, sizeof *t);
    if (!in || !t) return false;
    for (int i = 0; i < count; i++) {
        in[i] = exp_in(x, n, i);
        t[i] = exp_type(x, n->src[i]->type);
        t[count + 2 * i] = t[count + 2 * i + 1] = exp_scalar_type(x, n->src[i]->type->dtype);
    }
    struct hlo_named attr[] = {exp_int(x, "dimension", node_int(n, ATTR_AXIS)), exp_bool(x, "is_stable", true)};
    struct hlo_op *op = exp_op(x, HLO_OP_SORT, count, in, node_int_or(n, ATTR_STABLE, 0) ? 2 : 1, attr, count, t, 1);
    if (!op || !exp_region_begin(x, &op->region[0], 2 * count, t + count, &saved)) return false;
    struct hlo_value *first = ordered(x, n, 0);
    bool ok = first && exp_return(x, 1, &first);
    exp_region_end(x, &saved);
    return ok && exp_done_op(x, n, op);
}

bool exp_top_k(struct exp *x, const tsr_node *n) {
    struct hlo_named k = exp_int(x, "k", node_int(n, ATTR_K));
    struct hlo_value *in = exp_in(x, n, 0);
    const struct hlo_type *t[] = {exp_type(x, n->type->item[0]), exp_type(x, n->type->item[1])};
    return exp_done_op(x, n, exp_op(x, HLO_OP_CHLO_TOP_K, 1, &in, 1, &k, 2, t, 0));
}
