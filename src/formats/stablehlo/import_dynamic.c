/* import_dynamic.c: the operations whose sizes are operands: each is its static sister with extents asked of
 * import_shape.c (imp_extents), which may be symbolic.
 *
 * Extents that a declared result type states are taken from there, and must agree. What a primitive takes as plain
 * integers (strides, interior padding, the padding of a convolution) must be constant; paddings of a convolution that
 * are not are put on its operand first. set_dimension_size keeps the first elements of the axis.
 * Source: StableHLO specification; set_dimension_size and shape_assertion as XLA and JAX define them. */
#include "formats/stablehlo/import_body.h"
#include "formats/stablehlo/import_shape.h"
#include "graph/node.h"
#include "tessera/ops.h"

/* ---- types ------------------------------------------------------------------------------------------------------- */

/* How many integers operand i of sizes holds; -1 with an error recorded. */
static int count_of(struct imp *p, const struct hlo_op *op, int i) {
    const struct imp_value *v = imp_operand_value(p, op, i);
    if (!v) return -1;
    int64_t n = v->type && v->type->kind == HLO_T_TENSOR && v->type->rank <= 1 ? hlo_type_count(v->type) : -1;
    if (n >= 0 && n <= TSR_MAX_RANK) return (int)n;
    return imp_fail(p, op, "operand %d gives sizes: it must be a vector of at most %d integers of known length", i,
        TSR_MAX_RANK), -1;
}

/* Result i with the extents e, the declared ones in their place. NULL: they differ (recorded). */
static const tsr_type *sized(struct imp *p, const struct hlo_op *op, int i, int rank, const tsr_extent **e) {
    const struct hlo_type *t = i < op->nresult ? op->result[i].type : NULL;
    if (!t || t->kind != HLO_T_TENSOR || t->rank != rank)
        return imp_fail(p, op, "its result is no tensor of rank %d, but %d sizes are given", rank, rank), NULL;
    for (int a = 0; a < rank; a++) {
        int64_t v;
        if (tsr_extent_is_int(e[a], &v) && v < 0)
            return imp_fail(p, op, "size %lld of axis %d is negative", (long long)v, a), NULL;
        if (t->dim[a] == HLO_DYNAMIC) continue;
        const tsr_extent *declared = tsr_extent_int(p->c, t->dim[a]);
        if (!declared || !extent_require_equal(p->c, e[a], declared, "%s: axis %d of its result is declared %lld, its "
            "size comes out as %s", op->name, a, (long long)t->dim[a], extent_text(p->c, e[a]))) return NULL;
        e[a] = declared;
    }
    return tsr_type_tensor(p->c, imp_dtype(t), rank, e);
}

/* The same with the extents read from operand i. */
static const tsr_type *sized_by(struct imp *p, const struct hlo_op *op, int i) {
    const tsr_extent *e[TSR_MAX_RANK];
    int n = count_of(p, op, i);
    return n >= 0 && imp_extents(p, op, i, n, e) ? sized(p, op, 0, n, e) : NULL;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

bool imp_dynamic_broadcast_in_dim(struct imp *p, const struct hlo_op *op) {
    int64_t axes[TSR_MAX_RANK];
    tsr_node *x = imp_operand(p, op, 0);
    const tsr_type *t = tsr_is_poison(x) ? NULL : sized_by(p, op, 1);
    return t && imp_ints(p, op, "broadcast_dimensions", tsr_node_rank(x), 0, axes) &&
        imp_result(p, op, 0, tsr_prim_broadcast(p->c, x, t, axes));
}

/* One size may be -1: what is left of the elements (chlo.dynamic_reshape). */
static bool fill_in(struct imp *p, int n, const tsr_extent **e, const tsr_node *x) {
    const tsr_extent *known = tsr_extent_int(p->c, 1);
    int open = -1;
    for (int a = 0; a < n; a++) {
        if (extent_is(e[a], -1)) open = a;
        else known = tsr_extent_mul(p->c, known, e[a]);
    }
    if (open < 0) return true;
    return (e[open] = tsr_extent_floordiv(p->c, type_elements(p->c, tsr_node_type(x)), known)) != NULL;
}

bool imp_dynamic_reshape(struct imp *p, const struct hlo_op *op) {
    const tsr_extent *e[TSR_MAX_RANK];
    tsr_node *x = imp_operand(p, op, 0);
    int n = tsr_is_poison(x) ? -1 : count_of(p, op, 1);
    if (n < 0 || !imp_extents(p, op, 1, n, e) || !fill_in(p, n, e, x)) return false;
    const tsr_type *t = sized(p, op, 0, n, e);
    return t && imp_result(p, op, 0, tsr_prim_reshape(p->c, x, t));
}

bool imp_dynamic_iota(struct imp *p, const struct hlo_op *op) {
    const tsr_type *t = sized_by(p, op, 0);
    return t && imp_result(p, op, 0, tsr_prim_iota(p->c, t, (int)hlo_get_int(op, "iota_dimension", -1)));
}

/* ---- cutting and padding ----------------------------------------------------------------------------------------- */

static bool constants(struct imp *p, const struct hlo_op *op, int i, int n, const char *what, int64_t *out) {
    if (imp_const_ints(p, op, i, out, n)) return true;
    return !err_any(p->c) && imp_fail(p, op, "its %s (operand %d) must be %d constants", what, i, n);
}

bool imp_dynamic_pad(struct imp *p, const struct hlo_op *op) {
    const tsr_extent *low[TSR_MAX_RANK], *high[TSR_MAX_RANK];
    int64_t interior[TSR_MAX_RANK];
    tsr_node *x[2] = {imp_operand(p, op, 0), imp_operand(p, op, 1)};
    if (tsr_is_poison(x[0]) || tsr_is_poison(x[1])) return false;
    int rank = tsr_node_rank(x[0]);
    return imp_extents(p, op, 2, rank, low) && imp_extents(p, op, 3, rank, high) &&
        constants(p, op, 4, rank, "interior padding", interior) &&
        imp_result(p, op, 0, tsr_prim_pad(p->c, x[0], x[1], low, high, interior));
}

/* A slice whose start only a run knows, but not its size. */
static bool slice_at_runtime(struct imp *p, const struct hlo_op *op, tsr_node *x) {
    const tsr_extent *size[TSR_MAX_RANK];
    tsr_node *at = imp_operand(p, op, 1), *start[TSR_MAX_RANK];
    int64_t stride[TSR_MAX_RANK];
    int rank = tsr_node_rank(x);
    if (tsr_is_poison(at) || !imp_slice_sizes(p, op, 1, 2, rank, size) ||
        !constants(p, op, 3, rank, "strides", stride)) return false;
    for (int a = 0; a < rank; a++) {
        if (stride[a] != 1) return imp_fail(p, op, "a slice from where only a run knows needs strides of 1");
        start[a] = tsr_select(p->c, at, 0, a);
    }
    return sized(p, op, 0, rank, size) && imp_result(p, op, 0, tsr_prim_dynamic_slice(p->c, x, start, size));
}

bool imp_real_dynamic_slice(struct imp *p, const struct hlo_op *op) {
    const tsr_extent *start[TSR_MAX_RANK], *limit[TSR_MAX_RANK];
    int64_t stride[TSR_MAX_RANK];
    tsr_node *x = imp_operand(p, op, 0);
    if (tsr_is_poison(x)) return false;
    int rank = tsr_node_rank(x);
    if (imp_is_runtime(p, op, 1)) return slice_at_runtime(p, op, x);
    return imp_extents(p, op, 1, rank, start) && imp_extents(p, op, 2, rank, limit) &&
        constants(p, op, 3, rank, "strides", stride) &&
        imp_result(p, op, 0, tsr_prim_slice(p->c, x, start, limit, stride));
}

bool imp_set_dimension_size(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0);
    int64_t axis = hlo_get_int(op, "dimension", -1);
    const tsr_extent *size, *zero = tsr_extent_int(p->c, 0);
    if (tsr_is_poison(x) || !zero || !imp_extents(p, op, 1, 1, &size)) return false;
    if (axis < 0 || axis >= tsr_node_rank(x))
        return imp_fail(p, op, "dimension %lld of a tensor of rank %d", (long long)axis, tsr_node_rank(x));
    return imp_result(p, op, 0, imp_cut(p->c, x, (int)axis, zero, size, 1));
}

/* ---- gather and convolution -------------------------------------------------------------------------------------- */

bool imp_dynamic_gather(struct imp *p, const struct hlo_op *op) {
    const tsr_extent *size[TSR_MAX_RANK];
    tsr_node *x = imp_operand(p, op, 0), *index = imp_operand(p, op, 1);
    return !tsr_is_poison(x) && !tsr_is_poison(index) && imp_extents(p, op, 2, tsr_node_rank(x), size) &&
        imp_gather_sized(p, op, x, index, size);
}

/* x with zeros around its spatial axes: what a convolution would see. */
static tsr_node *padded(struct imp *p, const struct hlo_op *op, tsr_node *x, const tsr_extent *const *pad) {
    int n, rank = tsr_node_rank(x);
    const tsr_extent *low[TSR_MAX_RANK], *high[TSR_MAX_RANK], *zero = tsr_extent_int(p->c, 0);
    int64_t interior[TSR_MAX_RANK] = {0}, base[TSR_MAX_RANK];
    const int64_t *axes = hlo_attr_ints_of(hlo_field(hlo_get(op, "dimension_numbers"), "input_spatial_dimensions"), &n);
    if (n != rank - 2 || !imp_ints(p, op, "lhs_dilation", n, 1, base))
        return imp_fail(p, op, "its dimension_numbers do not fit an operand of rank %d", rank), tsr_poison(p->c);
    for (int a = 0; a < rank; a++) low[a] = high[a] = zero;
    for (int i = 0; i < n; i++) {
        if (axes[i] < 0 || axes[i] >= rank || base[i] != 1)
            return imp_fail(p, op, "padding that is no constant needs lhs_dilation 1"), tsr_poison(p->c);
        low[axes[i]] = pad[2 * i], high[axes[i]] = pad[2 * i + 1];
    }
    return tsr_prim_pad(p->c, x, tsr_scalar_float(p->c, tsr_node_dtype(x), 0), low, high, interior);
}

bool imp_dynamic_conv(struct imp *p, const struct hlo_op *op) {
    const tsr_extent *pad[2 * TSR_MAX_RANK];
    int64_t low[TSR_MAX_RANK] = {0}, high[TSR_MAX_RANK] = {0}, v;
    tsr_node *x = imp_operand(p, op, 0), *w = imp_operand(p, op, 1);
    if (tsr_is_poison(x) || tsr_is_poison(w)) return false;
    int spatial = tsr_node_rank(x) - 2;
    bool known = true;
    if (spatial < 0) return imp_fail(p, op, "its operand has no batch and feature axes");
    if (!imp_extents(p, op, 2, 2 * spatial, pad)) return false;
    for (int i = 0; i < 2 * spatial; i++) {
        known = known && tsr_extent_is_int(pad[i], &v);
        if (known) (i % 2 ? high : low)[i / 2] = v;
    }
    if (known) return imp_convolution_padded(p, op, x, w, low, high);
    x = padded(p, op, x, pad);
    for (int i = 0; i < spatial; i++) low[i] = high[i] = 0;
    return !tsr_is_poison(x) && imp_convolution_padded(p, op, x, w, low, high);
}

/* ---- custom calls: operations that have no dynamic form of their own -------------------------------------------- */

struct window_operands {
    int64_t extent[TSR_MAX_RANK], stride[TSR_MAX_RANK], base[TSR_MAX_RANK], dilation[TSR_MAX_RANK],
        interior[TSR_MAX_RANK];
};

static bool all_ones(const int64_t *v, int n) {
    for (int i = 0; i < n; i++)
        if (v[i] != 1) return false;
    return true;
}

/* A window as long as its axis, all but one place of it before (or after) every element: a running reduction. */
static bool running(struct imp *p, const tsr_node *x, const tsr_extent *const *window, const tsr_extent *const *pad,
    int *axis, bool *reverse) {
    int rank = tsr_node_rank(x);
    *axis = -1;
    for (int a = 0; a < rank; a++) {
        const tsr_extent *before = pad[2 * a], *after = pad[2 * a + 1], *n = tsr_node_extent(x, a);
        if (extent_is(window[a], 1) && extent_is(before, 0) && extent_is(after, 0)) continue;
        const tsr_extent *most = tsr_extent_sub(p->c, window[a], tsr_extent_int(p->c, 1));
        bool first = before == most && extent_is(after, 0), last = after == most && extent_is(before, 0);
        if (*axis >= 0 || !most || !(first || last)) return false;
        if (!extent_require_equal(p->c, window[a], n, "a running reduction's window is %s long, its axis %s",
            extent_text(p->c, window[a]), extent_text(p->c, n))) return false;
        *axis = a, *reverse = after == most;
    }
    return *axis >= 0;
}

/* @stablehlo.dynamic_reduce_window(x, init, window, strides, base dilations, window dilations, padding): one operand,
 * a body that is a monoid. Windows of constants (the padding, which may be computed, is put on first), or running
 * reductions. */
bool imp_dynamic_reduce_window(struct imp *p, const struct hlo_op *op) {
    const struct hlo_attr *calls = hlo_get(op, "called_computations");
    const struct hlo_attr *name = calls && calls->kind == HLO_A_LIST && calls->n == 1 ? calls->item[0] : NULL;
    const struct hlo_op *body = name && name->kind == HLO_A_SYMBOL ? hlo_find_func(p->m, name->s) : NULL;
    const tsr_extent *window[TSR_MAX_RANK], *pad[2 * TSR_MAX_RANK];
    struct window_operands w;
    tsr_node *x[2];
    tsr_reduce how;
    int axis;
    bool reverse;
    if (op->noperand != 7) return imp_fail(p, op, "one operand, its init and five lists are taken, %d operands are "
        "given",
        op->noperand);
    for (int i = 0; i < 2; i++)
        if (tsr_is_poison(x[i] = imp_operand(p, op, i))) return false;
    int rank = tsr_node_rank(x[0]);
    if (!body || body->nregion != 1 || !imp_region_monoid(&body->region[0], 0, &how) ||
        !imp_is_identity(p->c, x[1], how))
        return imp_fail(p, op, "its computation must be a known reduction that starts from its identity");
    if (!imp_extents(p, op, 2, rank, window) || !constants(p, op, 3, rank, "strides", w.stride) ||
        !constants(p, op, 4, rank, "base dilations", w.base) ||
        !constants(p, op, 5, rank, "window "
            "dilations", w.dilation) || !imp_extents(p, op, 6, 2 * rank, pad)) return false;
    bool plain = all_ones(w.stride, rank) && all_ones(w.base, rank) && all_ones(w.dilation, rank);
    if (plain && running(p, x[0], window, pad, &axis, &reverse))
        return imp_result(p, op, 0, tsr_prim_cumulate(p->c, x[0], how, axis, reverse));
    if (err_any(p->c) || !constants(p, op, 2, rank, "window", w.extent)) return false;
    const tsr_extent *low[TSR_MAX_RANK], *high[TSR_MAX_RANK];
    for (int a = 0; a < rank; a++) low[a] = pad[2 * a], high[a] = pad[2 * a + 1], w.interior[a] = w.base[a] - 1;
    tsr_node *wide = tsr_prim_pad(p->c, x[0], x[1], low, high, w.interior);
    return imp_result(p, op, 0, tsr_prim_reduce_window(p->c, wide, how, &(tsr_window){.extent = w.extent,
        .stride = w.stride, .dilation = w.dilation}));
}

/* @stablehlo.dynamic_top_k(x, k) of a constant k. */
bool imp_dynamic_top_k(struct imp *p, const struct hlo_op *op) {
    int64_t k;
    tsr_node *x = imp_operand(p, op, 0);
    if (tsr_is_poison(x) || !constants(p, op, 1, 1, "number of elements", &k)) return false;
    return imp_results(p, op, tsr_prim_top_k(p->c, x, k));
}

/* @stablehlo.dynamic_rng_bit_generator(state, shape). */
bool imp_dynamic_rng_bit_generator(struct imp *p, const struct hlo_op *op) {
    const tsr_extent *e[TSR_MAX_RANK];
    int n = count_of(p, op, 1);
    if (n < 0 || !imp_extents(p, op, 1, n, e)) return false;
    if (op->nresult != 2) return imp_fail(p, op, "it gives a state and bits, %d results are declared", op->nresult);
    const tsr_type *t = sized(p, op, 1, n, e);
    return t && imp_random_bits(p, op, imp_operand(p, op, 0), t);
}

/* ---- assertions -------------------------------------------------------------------------------------------------- */

/* custom_call @shape_assertion(true, values...) {error_message}: the sizes of the arguments are as they must be. */
bool imp_shape_assertion(struct imp *p, const struct hlo_op *op) {
    const char *what = hlo_get_text(op, "error_message");
    if (op->nresult) return imp_fail(p, op, "%d results are declared, it has none", op->nresult);
    return imp_shape_holds(p, op, 0, what ? what : "the sizes of the arguments are not as the program asserts");
}
