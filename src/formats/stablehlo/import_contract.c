/* import_contract.c: dot_general, dot, convolution, einsum and unary_einsum.
 *
 * Sums are kept in the element type of the result. Operands of one kind go to the primitive as they are (it converts
 * products: narrow floats are summed in f32 and rounded once, integers convert first and wrap); operands that differ
 * from each other or are of another kind than the result are converted to it before, as the reference interpreter does
 * with all. precision_config and algorithm ask for what hardware may leave out; here every sum is exact to the
 * accumulator, so they change nothing.
 * Source: StableHLO specification, dot_general, convolution; the dialect's einsum. */
#include <string.h>

#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"

/* ---- element types ---------------------------------------------------------------------------------------------- */

static bool integral(tsr_dtype t) {
    tsr_kind k = tsr_dtype_of(t)->kind;
    return k == TSR_KIND_INT || k == TSR_KIND_UINT || t == TSR_BOOL;
}

/* Both operands as the primitives take them for a result of dtype t. */
static void to_common(tsr_ctx *c, tsr_node **x, tsr_dtype t) {
    tsr_dtype a = tsr_node_dtype(x[0]), b = tsr_node_dtype(x[1]);
    bool kind = integral(a) ? integral(t) : tsr_dtype_of(a)->kind == tsr_dtype_of(t)->kind;
    if (a == b && kind && tsr_dtype_of(a)->bits <= tsr_dtype_of(t)->bits) return;
    x[0] = imp_as(c, x[0], t), x[1] = imp_as(c, x[1], t);
}

static bool two_operands(struct imp *p, const struct hlo_op *op, tsr_node **x, tsr_dtype *t) {
    if (op->nresult != 1 || op->result[0].type->kind != HLO_T_TENSOR) return imp_fail(p, op, "its result is no tensor");
    if (!imp_operands(p, op, 2, x)) return false;
    *t = imp_dtype(op->result[0].type);
    to_common(p->c, x, *t);
    return !tsr_is_poison(x[0]) && !tsr_is_poison(x[1]);
}

/* ---- dot -------------------------------------------------------------------------------------------------------- */

bool imp_dot_general(struct imp *p, const struct hlo_op *op) {
    const struct hlo_attr *a = hlo_get(op, "dot_dimension_numbers");
    int64_t list[4][TSR_MAX_RANK];
    int n[4];
    tsr_node *x[2];
    tsr_dtype t;
    static const char *const field[4] = {"lhs_batching_dimensions", "rhs_batching_dimensions",
                                         "lhs_contracting_dimensions", "rhs_contracting_dimensions"};
    if (!a) return imp_fail(p, op, "it has no dot_dimension_numbers");
    for (int i = 0; i < 4; i++)
        if (!imp_axes(p, op, a, field[i], &n[i], list[i])) return false;
    if (n[0] != n[1] || n[2] != n[3])
        return imp_fail(p, op, "%d and %d batching, %d and %d contracting dimensions; they go in pairs", n[0], n[1],
            n[2], n[3]);
    tsr_dot_dims d = {.n_batch = n[0], .n_contract = n[2], .lhs_batch = list[0], .rhs_batch = list[1],
                      .lhs_contract = list[2], .rhs_contract = list[3]};
    return two_operands(p, op, x, &t) && imp_result(p, op, 0, tsr_prim_dot(p->c, x[0], x[1], &d, t));
}

/* Vectors and matrices: the last axis of the left operand against the first of the right one. */
bool imp_dot(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[2];
    tsr_dtype t;
    if (!two_operands(p, op, x, &t)) return false;
    int64_t left = tsr_node_rank(x[0]) - 1, right = 0;
    if (left < 0 || !tsr_node_rank(x[1])) return imp_fail(p, op, "it takes vectors and matrices, no scalars");
    tsr_dot_dims d = {.n_contract = 1, .lhs_contract = &left, .rhs_contract = &right};
    return imp_result(p, op, 0, tsr_prim_dot(p->c, x[0], x[1], &d, t));
}

/* ---- convolution ------------------------------------------------------------------------------------------------ */

/* The axis lists batch or output feature, feature, spatial... of one operand. */
static bool conv_spec(struct imp *p, const struct hlo_op *op, const struct hlo_attr *a, const char *first,
    const char *second, const char *rest, int spatial, int64_t *out) {
    const struct hlo_attr *f = hlo_field(a, first), *s = hlo_field(a, second);
    int n = 0;
    const int64_t *axes = hlo_attr_ints_of(hlo_field(a, rest), &n);
    if (n != spatial) return imp_fail(p, op, "%s lists %d axes, the operand has %d spatial ones", rest, n, spatial);
    out[0] = f ? f->i : 0, out[1] = s ? s->i : 0;
    for (int i = 0; i < n; i++) out[2 + i] = axes[i];
    return true;
}

/* The strides of the spatial axes; a list that has more entries (exporters wrote some) is cut. */
static bool conv_strides(struct imp *p, const struct hlo_op *op, int spatial, int64_t *out) {
    int n = 0;
    const int64_t *v = hlo_get_ints(op, "window_strides", &n);
    if (n <= spatial) return imp_ints(p, op, "window_strides", spatial, 1, out);
    for (int i = 0; i < spatial; i++) out[i] = v[i];
    return true;
}

bool imp_convolution_padded(struct imp *p, const struct hlo_op *op, tsr_node *x, tsr_node *w, const int64_t *low,
    const int64_t *high) {
    const struct hlo_attr *a = hlo_get(op, "dimension_numbers");
    int64_t spec[3][TSR_MAX_RANK], stride[TSR_MAX_RANK], base[TSR_MAX_RANK], dilation[TSR_MAX_RANK],
        reverse[TSR_MAX_RANK];
    int spatial = tsr_node_rank(x) - 2;
    tsr_node *pair[2] = {x, w};
    if (!a) return imp_fail(p, op, "it has no dimension_numbers");
    if (spatial < 0) return imp_fail(p, op, "its operand has no batch and feature axes");
    if (!conv_spec(p, op, a, "input_batch_dimension", "input_feature_dimension", "input_spatial_dimensions", spatial,
            spec[0]) ||
        !conv_spec(p, op, a, "kernel_output_feature_dimension", "kernel_input_feature_dimension",
            "kernel_spatial_dimensions", spatial, spec[1]) ||
        !conv_spec(p, op, a, "output_batch_dimension", "output_feature_dimension", "output_spatial_dimensions", spatial,
            spec[2]) ||
        !conv_strides(p, op, spatial, stride) || !imp_ints(p, op, "lhs_dilation", spatial, 1, base) ||
        !imp_ints(p, op, "rhs_dilation", spatial, 1, dilation) ||
        !imp_ints(p, op, "window_reversal", spatial, 0, reverse))
        return false;
    tsr_conv_dims d = {.spatial = spatial, .lhs_spec = spec[0], .rhs_spec = spec[1], .out_spec = spec[2],
                       .stride = stride, .pad_low = low, .pad_high = high, .lhs_dilation = base,
                       .rhs_dilation = dilation, .reverse = reverse,
                       .feature_groups = hlo_get_int(op, "feature_group_count", 1),
                       .batch_groups = hlo_get_int(op, "batch_group_count", 1)};
    tsr_dtype t = imp_dtype(op->result[0].type);
    to_common(p->c, pair, t);
    return imp_result(p, op, 0, tsr_prim_conv(p->c, pair[0], pair[1], &d, t));
}

bool imp_convolution(struct imp *p, const struct hlo_op *op) {
    int64_t low[TSR_MAX_RANK], high[TSR_MAX_RANK];
    tsr_node *x[2];
    tsr_dtype t;
    return two_operands(p, op, x, &t) && imp_padding(p, op, tsr_node_rank(x[0]) - 2, low, high) &&
        imp_convolution_padded(p, op, x[0], x[1], low, high);
}

/* ---- einsum ----------------------------------------------------------------------------------------------------- */

bool imp_einsum(struct imp *p, const struct hlo_op *op) {
    const char *config = hlo_get_text(op, "einsum_config");
    tsr_node *x[2];
    tsr_dtype t;
    if (!config) return imp_fail(p, op, "it has no einsum_config");
    return two_operands(p, op, x, &t) &&
        imp_result(p, op, 0, imp_as(p->c, tsr_einsum(p->c, config, 2, x), t));
}

bool imp_unary_einsum(struct imp *p, const struct hlo_op *op) {
    const char *config = hlo_get_text(op, "einsum_config");
    tsr_node *x;
    if (!config) return imp_fail(p, op, "it has no einsum_config");
    return imp_operands(p, op, 1, &x) &&
        imp_result(p, op, 0, imp_as(p->c, tsr_einsum(p->c, config, 1, &x), imp_dtype(op->result[0].type)));
}
