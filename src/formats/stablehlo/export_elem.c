/* export_elem.c: elementwise functions: most are one operation, a line each in the table below.
 *
 * Comparisons are compare with a direction; exp2, log2 and fma are composites, with a decomposition of operations that
 * everybody has (calls.def). The table is the inverse of import_elem.c's and import_chlo.c's. */
#include <math.h>
#include <string.h>

#include "formats/stablehlo/calls.h"
#include "formats/stablehlo/export_call.h"

static const struct {
    enum hlo_opcode code;
    const char *direction; /* of a compare */
} elem_table[TSR_SCALAR_COUNT] = {
    [TSR_S_NEG] = {HLO_OP_NEGATE, NULL},
    [TSR_S_ABS] = {HLO_OP_ABS, NULL},
    [TSR_S_SIGN] = {HLO_OP_SIGN, NULL},
    [TSR_S_CEIL] = {HLO_OP_CEIL, NULL},
    [TSR_S_FLOOR] = {HLO_OP_FLOOR, NULL},
    [TSR_S_ROUND] = {HLO_OP_ROUND_NEAREST_AFZ, NULL},
    [TSR_S_ROUND_EVEN] = {HLO_OP_ROUND_NEAREST_EVEN, NULL},
    [TSR_S_NOT] = {HLO_OP_NOT, NULL},
    [TSR_S_POPCNT] = {HLO_OP_POPCNT, NULL},
    [TSR_S_CLZ] = {HLO_OP_COUNT_LEADING_ZEROS, NULL},
    [TSR_S_EXP] = {HLO_OP_EXPONENTIAL, NULL},
    [TSR_S_EXPM1] = {HLO_OP_EXPONENTIAL_MINUS_ONE, NULL},
    [TSR_S_LOG] = {HLO_OP_LOG, NULL},
    [TSR_S_LOG1P] = {HLO_OP_LOG_PLUS_ONE, NULL},
    [TSR_S_SQRT] = {HLO_OP_SQRT, NULL},
    [TSR_S_RSQRT] = {HLO_OP_RSQRT, NULL},
    [TSR_S_CBRT] = {HLO_OP_CBRT, NULL},
    [TSR_S_SIN] = {HLO_OP_SINE, NULL},
    [TSR_S_COS] = {HLO_OP_COSINE, NULL},
    [TSR_S_TAN] = {HLO_OP_TAN, NULL},
    [TSR_S_ASIN] = {HLO_OP_CHLO_ASIN, NULL},
    [TSR_S_ACOS] = {HLO_OP_CHLO_ACOS, NULL},
    [TSR_S_ATAN] = {HLO_OP_CHLO_ATAN, NULL},
    [TSR_S_SINH] = {HLO_OP_CHLO_SINH, NULL},
    [TSR_S_COSH] = {HLO_OP_CHLO_COSH, NULL},
    [TSR_S_TANH] = {HLO_OP_TANH, NULL},
    [TSR_S_ASINH] = {HLO_OP_CHLO_ASINH, NULL},
    [TSR_S_ACOSH] = {HLO_OP_CHLO_ACOSH, NULL},
    [TSR_S_ATANH] = {HLO_OP_CHLO_ATANH, NULL},
    [TSR_S_LOGISTIC] = {HLO_OP_LOGISTIC, NULL},
    [TSR_S_ERF] = {HLO_OP_CHLO_ERF, NULL},
    [TSR_S_ERFC] = {HLO_OP_CHLO_ERFC, NULL},
    [TSR_S_ERF_INV] = {HLO_OP_CHLO_ERF_INV, NULL},
    [TSR_S_LGAMMA] = {HLO_OP_CHLO_LGAMMA, NULL},
    [TSR_S_DIGAMMA] = {HLO_OP_CHLO_DIGAMMA, NULL},
    [TSR_S_IS_FINITE] = {HLO_OP_IS_FINITE, NULL},
    [TSR_S_REAL] = {HLO_OP_REAL, NULL},
    [TSR_S_IMAG] = {HLO_OP_IMAG, NULL},
    [TSR_S_ADD] = {HLO_OP_ADD, NULL},
    [TSR_S_SUB] = {HLO_OP_SUBTRACT, NULL},
    [TSR_S_MUL] = {HLO_OP_MULTIPLY, NULL},
    [TSR_S_DIV] = {HLO_OP_DIVIDE, NULL},
    [TSR_S_REM] = {HLO_OP_REMAINDER, NULL},
    [TSR_S_POW] = {HLO_OP_POWER, NULL},
    [TSR_S_ATAN2] = {HLO_OP_ATAN2, NULL},
    [TSR_S_NEXTAFTER] = {HLO_OP_CHLO_NEXT_AFTER, NULL},
    [TSR_S_MAX] = {HLO_OP_MAXIMUM, NULL},
    [TSR_S_MIN] = {HLO_OP_MINIMUM, NULL},
    [TSR_S_AND] = {HLO_OP_AND, NULL},
    [TSR_S_OR] = {HLO_OP_OR, NULL},
    [TSR_S_XOR] = {HLO_OP_XOR, NULL},
    [TSR_S_SHL] = {HLO_OP_SHIFT_LEFT, NULL},
    [TSR_S_SHR] = {HLO_OP_SHIFT_RIGHT_ARITHMETIC, NULL},
    [TSR_S_SHR_LOGICAL] = {HLO_OP_SHIFT_RIGHT_LOGICAL, NULL},
    [TSR_S_COMPLEX] = {HLO_OP_COMPLEX, NULL},
    [TSR_S_EQ] = {HLO_OP_COMPARE, "EQ"},
    [TSR_S_NE] = {HLO_OP_COMPARE, "NE"},
    [TSR_S_LT] = {HLO_OP_COMPARE, "LT"},
    [TSR_S_LE] = {HLO_OP_COMPARE, "LE"},
    [TSR_S_GT] = {HLO_OP_COMPARE, "GT"},
    [TSR_S_GE] = {HLO_OP_COMPARE, "GE"},
    [TSR_S_SELECT] = {HLO_OP_SELECT, NULL},
    [TSR_S_CLAMP] = {HLO_OP_CLAMP, NULL},
    [TSR_S_EXP2] = {HLO_OP_COMPOSITE, NULL},
    [TSR_S_LOG2] = {HLO_OP_COMPOSITE, NULL},
    [TSR_S_FMA] = {HLO_OP_COMPOSITE, NULL},
};

/* ---- decompositions for others ---------------------------------------------------------------------------------- */
/* A number in the shape of x, also where x has '?'. */
static struct hlo_value *filled(struct exp *x, double v, struct hlo_value *like) {
    struct hlo_named dims = exp_ints(x, "broadcast_dimensions", 0, NULL);
    tsr_dtype t = hlo_elem_of(like->type->elem)->dtype;
    struct hlo_value *number = exp_scalar(x, t, v), *extent[TSR_MAX_RANK];
    int64_t one = 1, rank = like->type->rank;
    if (rank == 0) return number;
    if (hlo_type_static(like->type)) return exp_broadcast(x, number, like->type, 0, NULL);
    for (int a = 0; a < rank; a++) {
        struct hlo_named dim = exp_int(x, "dimension", a);
        extent[a] = exp_make(x, HLO_OP_GET_DIMENSION_SIZE, exp_scalar_type(x, TSR_I32), 1, &like, 1, &dim);
        extent[a] = exp_reshape(x, extent[a], exp_dims_type(x, TSR_I32, 1, &one));
    }
    struct hlo_named axis = exp_int(x, "dimension", 0);
    struct hlo_value *in[] = {number,
        exp_make(x, HLO_OP_CONCATENATE, exp_dims_type(x, TSR_I32, 1, &rank), (int)rank, extent, 1, &axis)};
    return exp_make(x, HLO_OP_DYNAMIC_BROADCAST_IN_DIM, like->type, 2, in, 1, &dims);
}

static struct hlo_value *exp2_body(struct exp *x, struct hlo_value *const *in) {
    return exp_make2(x, HLO_OP_POWER, in[0]->type, filled(x, 2, in[0]), in[0]);
}
static struct hlo_value *log2_body(struct exp *x, struct hlo_value *const *in) {
    struct hlo_value *ln = exp_make1(x, HLO_OP_LOG, in[0]->type, in[0]);
    return exp_make2(x, HLO_OP_MULTIPLY, in[0]->type, ln, filled(x, 1 / log(2), in[0]));
}
static struct hlo_value *fma_body(struct exp *x, struct hlo_value *const *in) {
    return exp_make2(x, HLO_OP_ADD, in[0]->type, exp_make2(x, HLO_OP_MULTIPLY, in[0]->type, in[0], in[1]), in[2]);
}
static struct hlo_value *identity_body(struct exp *x, struct hlo_value *const *in) {
    (void)x;
    return in[0];
}

static exp_decomposition *decomposition_of(enum tsr_op op) {
    static const struct {
        enum tsr_op op;
        exp_decomposition *body;
    } list[] = {{TSR_OP_EXP2, exp2_body}, {TSR_OP_LOG2, log2_body}, {TSR_OP_FMA, fma_body},
        {TSR_OP_STOP_GRADIENT, identity_body}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].op == op) return list[i].body;
    TSR_BUG("export: %s has no decomposition", op_name(op));
}

bool exp_own_composite(struct exp *x, const tsr_node *n) {
    const char *name = hlo_call_name((enum tsr_op)n->op);
    const struct hlo_type *type[3], *result = exp_type(x, n->type);
    struct hlo_value *in[3];
    for (int i = 0; i < n->nsrc; i++) {
        if (!(in[i] = exp_in(x, n, i))) return false;
        type[i] = in[i]->type;
    }
    exp_decomposition *build = decomposition_of((enum tsr_op)n->op);
    const char *body = result ? exp_decomposed(x, name, n->nsrc, type, result, build) : NULL;
    if (!body) return false;
    struct hlo_named attr[] = {exp_string(x, "name", name), exp_named("decomposition", hlo_attr_symbol(x->m, body))};
    return exp_done(x, n, exp_make(x, HLO_OP_COMPOSITE, result, n->nsrc, in, 2, attr));
}

/* ---- one operation ---------------------------------------------------------------------------------------------- */
bool exp_elementwise(struct exp *x, const tsr_node *n) {
    enum hlo_opcode code = elem_table[n->op].code;
    struct hlo_value *in[3];
    if (code == HLO_OP_COMPOSITE) return exp_own_composite(x, n);
    for (int i = 0; i < n->nsrc; i++) in[i] = exp_in(x, n, i);
    if (n->op == TSR_OP_OR && (exp_is_token(in[0]) || exp_is_token(in[1]))) return exp_after_all(x, n);
    if (code == HLO_OP_COMPARE)
        return exp_done(x, n, exp_compare(x, elem_table[n->op].direction, n->src[0]->type->dtype, false, in[0], in[1]));
    return exp_done(x, n, exp_make(x, code, exp_type(x, n->type), n->nsrc, in, 0, NULL));
}
