/* export_contract.c: contractions and library ops.
 *
 * Accumulation is in the graph's result type, so that is the operation's; precision_config stays at its default.
 * Source: StableHLO specification. */
#include <string.h>

#include "formats/stablehlo/export.h"
#include "formats/stablehlo/export_call.h"

/* Structure `name` of the lists that are not empty. */
struct list {
    const char *name;
    enum attr_key key;
};

bool exp_dot(struct exp *x, const tsr_node *n) {
    static const struct list list[] = {{"lhs_batching_dimensions", ATTR_LHS_BATCH},
        {"rhs_batching_dimensions", ATTR_RHS_BATCH}, {"lhs_contracting_dimensions", ATTR_LHS_CONTRACT},
        {"rhs_contracting_dimensions", ATTR_RHS_CONTRACT}};
    struct hlo_named field[4];
    int fields = 0, count;
    for (int i = 0; i < 4; i++) {
        const int64_t *v = node_ints(n, list[i].key, &count);
        if (count == 0) continue;
        field[fields] = exp_ints(x, list[i].name, count, v);
        if (!field[fields++].value) return false;
    }
    struct hlo_named dims = exp_named("dot_dimension_numbers", hlo_attr_struct(x->m, "stablehlo.dot", fields, field));
    struct hlo_value *in[] = {exp_in(x, n, 0), exp_in(x, n, 1)};
    return exp_done(x, n, exp_make(x, HLO_OP_DOT_GENERAL, exp_type(x, n->type), 2, in, 1, &dims));
}

/* ---- convolution ------------------------------------------------------------------------------------------------ */
/* Axes of one tensor: first two by name, then the spatial ones. */
static bool conv_axes(struct exp *x, const tsr_node *n, enum attr_key key, const char *const name[3],
    struct hlo_named *field) {
    int rank;
    const int64_t *v = node_ints(n, key, &rank);
    field[0] = exp_int(x, name[0], v[0]);
    field[1] = exp_int(x, name[1], v[1]);
    field[2] = exp_ints(x, name[2], rank - 2, v + 2);
    return field[0].value && field[1].value && field[2].value;
}

/* In the order of the definition; the kernel's input feature stands before its output feature there. */
static const struct hlo_attr *conv_dims(struct exp *x, const tsr_node *n) {
    static const char *const in[] = {"input_batch_dimension", "input_feature_dimension", "input_spatial_dimensions"};
    static const char *const kernel[] = {"kernel_output_feature_dimension", "kernel_input_feature_dimension",
        "kernel_spatial_dimensions"};
    static const char *const out[] = {"output_batch_dimension", "output_feature_dimension",
        "output_spatial_dimensions"};
    struct hlo_named field[9];
    if (!conv_axes(x, n, ATTR_LHS_SPEC, in, field) || !conv_axes(x, n, ATTR_RHS_SPEC, kernel, field + 3) ||
        !conv_axes(x, n, ATTR_OUT_SPEC, out, field + 6))
        return NULL;
    struct hlo_named output_feature = field[3];
    field[3] = field[4], field[4] = output_feature;
    int count = 0;
    for (int i = 0; i < 9; i++) /* no spatial axes: an empty list */
        if (field[i].value->kind != HLO_A_INTS || field[i].value->n) field[count++] = field[i];
    return hlo_attr_struct(x->m, "stablehlo.conv", count, field);
}

/* A list that is all `otherwise` is left out. */
static bool differs(int n, const int64_t *v, int64_t otherwise) {
    for (int i = 0; i < n; i++)
        if (v[i] != otherwise) return true;
    return false;
}

static struct hlo_named conv_padding(struct exp *x, int spatial, const int64_t *low, const int64_t *high) {
    int64_t dim[] = {spatial, 2}, *v = arena_array(&x->m->arena, 2 * (size_t)spatial + 1, sizeof *v);
    const struct hlo_type *t = exp_dims_type(x, TSR_I64, 2, dim);
    for (int a = 0; v && a < spatial; a++) v[2 * a] = low[a], v[2 * a + 1] = high[a];
    return exp_named("padding", v && t ? hlo_attr_elements(x->m, t, false, v, 2 * (size_t)spatial * sizeof *v) : NULL);
}

bool exp_conv(struct exp *x, const tsr_node *n) {
    static const struct list list[] = {{"window_strides", ATTR_STRIDE}, {"lhs_dilation", ATTR_BASE_DILATION},
        {"rhs_dilation", ATTR_WINDOW_DILATION}};
    struct hlo_named attr[EXP_ATTRS_MAX];
    int at = 0, spatial;
    const int64_t *low = node_ints(n, ATTR_PAD_LOW, &spatial), *high = node_ints(n, ATTR_PAD_HIGH, NULL);
    const int64_t *reverse = node_ints(n, ATTR_WINDOW_REVERSE, NULL);
    attr[at++] = exp_named("dimension_numbers", conv_dims(x, n));
    attr[at++] = exp_int(x, "feature_group_count", node_int(n, ATTR_FEATURE_GROUPS));
    attr[at++] = exp_int(x, "batch_group_count", node_int(n, ATTR_BATCH_GROUPS));
    for (int i = 0; i < 3; i++) {
        const int64_t *v = node_ints(n, list[i].key, NULL);
        if (differs(spatial, v, 1)) attr[at++] = exp_ints(x, list[i].name, spatial, v);
    }
    if (differs(spatial, low, 0) || differs(spatial, high, 0)) attr[at++] = conv_padding(x, spatial, low, high);
    if (differs(spatial, reverse, 0))
        attr[at++] = exp_named("window_reversal", hlo_attr_ints(x->m, HLO_I1, spatial, reverse));
    struct hlo_value *in[] = {exp_in(x, n, 0), exp_in(x, n, 1)};
    return exp_done(x, n, exp_make(x, HLO_OP_CONVOLUTION, exp_type(x, n->type), 2, in, at, attr));
}

/* ---- library ops ------------------------------------------------------------------------------------------------ */
bool exp_fft(struct exp *x, const tsr_node *n) {
    static const char *const type[] = {[TSR_FFT] = "FFT", [TSR_IFFT] = "IFFT", [TSR_RFFT] = "RFFT",
        [TSR_IRFFT] = "IRFFT"};
    int count;
    const int64_t *length = node_ints(n, ATTR_LENGTHS, &count);
    struct hlo_named attr[] = {exp_enum(x, "fft_type", "fft_type", type[node_int(n, ATTR_MODE)]),
        exp_ints(x, "fft_length", count, length)};
    struct hlo_value *in = exp_in(x, n, 0);
    return exp_done(x, n, exp_make(x, HLO_OP_FFT, exp_type(x, n->type), 1, &in, 2, attr));
}

bool exp_cholesky(struct exp *x, const tsr_node *n) {
    struct hlo_named lower = exp_bool(x, "lower", true);
    struct hlo_value *in = exp_in(x, n, 0);
    int nattr = node_int(n, ATTR_LOWER) != 0;
    return exp_done(x, n, exp_make(x, HLO_OP_CHOLESKY, exp_type(x, n->type), 1, &in, nattr, &lower));
}

bool exp_triangular_solve(struct exp *x, const tsr_node *n) {
    static const char *const op[] = {[TSR_SOLVE_PLAIN] = "NO_TRANSPOSE", [TSR_SOLVE_TRANSPOSE] = "TRANSPOSE",
        [TSR_SOLVE_ADJOINT] = "ADJOINT"};
    struct hlo_named attr[] = {exp_bool(x, "left_side", node_int(n, ATTR_LEFT) != 0),
        exp_bool(x, "lower", node_int(n, ATTR_LOWER) != 0), exp_bool(x, "unit_diagonal", node_int(n, ATTR_UNIT) != 0),
        exp_enum(x, "transpose_a", "transpose", op[node_int(n, ATTR_MODE)])};
    struct hlo_value *in[] = {exp_in(x, n, 0), exp_in(x, n, 1)};
    return exp_done(x, n, exp_make(x, HLO_OP_TRIANGULAR_SOLVE, exp_type(x, n->type), 2, in, 4, attr));
}

/* States with batch axes and bits of symbolic extents are beyond the specification: a call with our own name. */
bool exp_rng_bits(struct exp *x, const tsr_node *n) {
    const tsr_type *bits = n->type->item[1];
    if (!tsr_type_ints(bits, NULL)) return exp_own_call_with(x, n, exp_extents(x, bits->rank, bits->extent));
    if (n->src[0]->type->rank != 1) return exp_own_call(x, n);
    bool philox = node_int(n, ATTR_MODE) == TSR_RNG_PHILOX;
    struct hlo_named how = exp_enum(x, "rng_algorithm", "rng_algorithm", philox ? "PHILOX" : "THREE_FRY");
    struct hlo_value *in = exp_in(x, n, 0);
    const struct hlo_type *t[] = {exp_type(x, n->type->item[0]), exp_type(x, n->type->item[1])};
    return exp_done_op(x, n, exp_op(x, HLO_OP_RNG_BIT_GENERATOR, 1, &in, 1, &how, 2, t, 0));
}
