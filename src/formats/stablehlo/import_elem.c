/* import_elem.c: elementwise operations: most are one scalar function (scalar.h), a line each in the table below.
 *
 * Not so plain: compare (the order of IEEE's totalOrder is the order of the bits as integers, negative ones flipped).
 * Where the specification leaves integer corner cases to the implementation, scalar.h says what holds.
 * Source: StableHLO specification; IEEE 754-2019, 5.10. */
#include <string.h>

#include "formats/stablehlo/import.h"
#include "graph/node.h"
#include "tessera/ops.h"

/* ---- one scalar function ---------------------------------------------------------------------------------------- */

static const struct { tsr_scalar fn; uint8_t arity; } elem_table[HLO_OPCODE_COUNT] = {
    [HLO_OP_ABS] = {TSR_S_ABS, 1}, [HLO_OP_ADD] = {TSR_S_ADD, 2}, [HLO_OP_AND] = {TSR_S_AND, 2},
    [HLO_OP_ATAN2] = {TSR_S_ATAN2, 2}, [HLO_OP_CBRT] = {TSR_S_CBRT, 1}, [HLO_OP_CEIL] = {TSR_S_CEIL, 1},
    [HLO_OP_CLAMP] = {TSR_S_CLAMP, 3}, [HLO_OP_COMPLEX] = {TSR_S_COMPLEX, 2}, [HLO_OP_COSINE] = {TSR_S_COS, 1},
    [HLO_OP_COUNT_LEADING_ZEROS] = {TSR_S_CLZ, 1}, [HLO_OP_DIVIDE] = {TSR_S_DIV, 2},
    [HLO_OP_EXPONENTIAL] = {TSR_S_EXP, 1}, [HLO_OP_EXPONENTIAL_MINUS_ONE] = {TSR_S_EXPM1, 1},
    [HLO_OP_FLOOR] = {TSR_S_FLOOR, 1}, [HLO_OP_IMAG] = {TSR_S_IMAG, 1}, [HLO_OP_IS_FINITE] = {TSR_S_IS_FINITE, 1},
    [HLO_OP_LOG] = {TSR_S_LOG, 1}, [HLO_OP_LOGISTIC] = {TSR_S_LOGISTIC, 1}, [HLO_OP_LOG_PLUS_ONE] = {TSR_S_LOG1P, 1},
    [HLO_OP_MAXIMUM] = {TSR_S_MAX, 2}, [HLO_OP_MINIMUM] = {TSR_S_MIN, 2}, [HLO_OP_MULTIPLY] = {TSR_S_MUL, 2},
    [HLO_OP_NEGATE] = {TSR_S_NEG, 1}, [HLO_OP_NOT] = {TSR_S_NOT, 1}, [HLO_OP_OR] = {TSR_S_OR, 2},
    [HLO_OP_POPCNT] = {TSR_S_POPCNT, 1}, [HLO_OP_POWER] = {TSR_S_POW, 2}, [HLO_OP_REAL] = {TSR_S_REAL, 1},
    [HLO_OP_REMAINDER] = {TSR_S_REM, 2}, [HLO_OP_ROUND_NEAREST_AFZ] = {TSR_S_ROUND, 1},
    [HLO_OP_ROUND_NEAREST_EVEN] = {TSR_S_ROUND_EVEN, 1}, [HLO_OP_RSQRT] = {TSR_S_RSQRT, 1},
    [HLO_OP_SELECT] = {TSR_S_SELECT, 3}, [HLO_OP_SHIFT_LEFT] = {TSR_S_SHL, 2},
    [HLO_OP_SHIFT_RIGHT_ARITHMETIC] = {TSR_S_SHR, 2}, [HLO_OP_SHIFT_RIGHT_LOGICAL] = {TSR_S_SHR_LOGICAL, 2},
    [HLO_OP_SIGN] = {TSR_S_SIGN, 1}, [HLO_OP_SINE] = {TSR_S_SIN, 1}, [HLO_OP_SQRT] = {TSR_S_SQRT, 1},
    [HLO_OP_SUBTRACT] = {TSR_S_SUB, 2}, [HLO_OP_TAN] = {TSR_S_TAN, 1}, [HLO_OP_TANH] = {TSR_S_TANH, 1},
    [HLO_OP_XOR] = {TSR_S_XOR, 2},
};

/* ---- complex numbers, where the scalar function takes floats alone ---------------------------------------------- */

static tsr_node *parts(tsr_ctx *c, tsr_node *like, double re, double im) {
    tsr_dtype t = dtype_real(tsr_node_dtype(like));
    tsr_node *z = tsr_prim2(c, TSR_S_COMPLEX, tsr_scalar_float(c, t, re), tsr_scalar_float(c, t, im));
    return tsr_broadcast_like(c, z, like);
}

/* z^(1/3), the principal root. */
static tsr_node *complex_cbrt(tsr_ctx *c, tsr_node *z) {
    return tsr_prim2(c, TSR_S_POW, z, parts(c, z, 1.0 / 3, 0));
}

/* -i log((x + iy) / sqrt(x^2 + y^2)). */
static tsr_node *complex_atan2(tsr_ctx *c, tsr_node *y, tsr_node *x) {
    tsr_node *sum = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_MUL, x, x), tsr_prim2(c, TSR_S_MUL, y, y));
    tsr_node *turn = tsr_prim2(c, TSR_S_ADD, x, tsr_prim2(c, TSR_S_MUL, parts(c, y, 0, 1), y));
    tsr_node *unit = tsr_prim2(c, TSR_S_DIV, turn, tsr_prim1(c, TSR_S_SQRT, sum));
    return tsr_prim2(c, TSR_S_MUL, parts(c, x, 0, -1), tsr_prim1(c, TSR_S_LOG, unit));
}

static tsr_node *scalar_function(tsr_ctx *c, tsr_scalar fn, int n, tsr_node **x) {
    bool complex = !tsr_is_poison(x[0]) && dtype_is_complex(tsr_node_dtype(x[0]));
    if (complex && fn == TSR_S_CBRT) return complex_cbrt(c, x[0]);
    if (complex && fn == TSR_S_ATAN2) return complex_atan2(c, x[0], x[1]);
    return tsr_prim_elem(c, fn, n, x);
}

bool imp_elem(struct imp *p, const struct hlo_op *op) {
    int n = elem_table[op->code].arity;
    tsr_node *x[3];
    if (op->noperand != n) return imp_fail(p, op, "it takes %d operands, %d are given", n, op->noperand);
    for (int j = 0; j < n; j++) x[j] = imp_operand(p, op, j);
    tsr_node *y = imp_bitwise(p, op->operand[0]->type, elem_table[op->code].fn, n, x);
    return imp_result(p, op, 0, y ? y : scalar_function(p->c, elem_table[op->code].fn, n, x));
}

/* ---- compare ---------------------------------------------------------------------------------------------------- */

static tsr_dtype int_of_bits(int bits) {
    return bits == 64 ? TSR_I64 : bits == 32 ? TSR_I32 : bits == 16 ? TSR_I16 : TSR_I8;
}

/* Signed integers in the order of totalOrder: the bits of x, those below the sign flipped when it is set. */
static tsr_node *total_order_key(tsr_ctx *c, tsr_node *x) {
    int bits = tsr_dtype_of(tsr_node_dtype(x))->bits;
    tsr_dtype t = int_of_bits(bits);
    tsr_node *i = tsr_prim_bitcast(c, x, t);
    tsr_node *sign = tsr_prim2(c, TSR_S_SHR, i, tsr_broadcast_like(c, tsr_scalar_int(c, t, bits - 1), i));
    int64_t magnitude = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
    tsr_node *mask = tsr_broadcast_like(c, tsr_scalar_int(c, t, magnitude), i);
    return tsr_prim2(c, TSR_S_XOR, i, tsr_prim2(c, TSR_S_AND, sign, mask));
}

bool imp_compare_nodes(struct imp *p, const struct hlo_op *op, tsr_node *x, tsr_node *y) {
    static const struct { const char *name; tsr_scalar fn; } directions[] = {{"EQ", TSR_S_EQ}, {"NE", TSR_S_NE},
        {"LT", TSR_S_LT}, {"LE", TSR_S_LE}, {"GT", TSR_S_GT}, {"GE", TSR_S_GE}};
    const char *way = hlo_get_text(op, "comparison_direction"), *how = hlo_get_text(op, "compare_type");
    if (tsr_is_poison(x) || tsr_is_poison(y)) return false;
    if (how && !strcmp(how, "TOTALORDER")) {
        if (tsr_dtype_of(tsr_node_dtype(x))->kind != TSR_KIND_FLOAT)
            return imp_fail(p, op, "TOTALORDER is the order of floats, not of %s", tsr_dtype_name(tsr_node_dtype(x)));
        x = total_order_key(p->c, x), y = total_order_key(p->c, y);
    }
    for (size_t i = 0; way && i < sizeof directions / sizeof *directions; i++)
        if (!strcmp(way, directions[i].name)) return imp_result(p, op, 0, tsr_prim2(p->c, directions[i].fn, x, y));
    return imp_fail(p, op, "its direction is %s, not EQ, NE, LT, LE, GT or GE", way ? way : "missing");
}

bool imp_compare(struct imp *p, const struct hlo_op *op) {
    return imp_compare_nodes(p, op, imp_operand(p, op, 0), imp_operand(p, op, 1));
}

/* ---- conversions ------------------------------------------------------------------------------------------------ */

/* What is stored: of quantised types, their storage type. */
static enum hlo_elem elem_of(const struct hlo_type *t) { return t->quant ? t->quant->storage : t->elem; }

bool imp_convert(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0);
    if (!op->nresult || op->result[0].type->kind != HLO_T_TENSOR) return imp_fail(p, op, "its result is no tensor");
    return !tsr_is_poison(x) && imp_result(p, op, 0, imp_to_elem(p, elem_of(op->result[0].type), x));
}

bool imp_bitcast_convert(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0);
    if (!op->nresult || op->result[0].type->kind != HLO_T_TENSOR) return imp_fail(p, op, "its result is no tensor");
    return !tsr_is_poison(x) && imp_result(p, op, 0,
        imp_bits_as(p, elem_of(op->operand[0]->type), elem_of(op->result[0].type), x));
}

/* ---- reduce_precision ------------------------------------------------------------------------------------------- */

bool imp_reduce_precision(struct imp *p, const struct hlo_op *op) {
    tsr_node *x = imp_operand(p, op, 0);
    int64_t exponent = hlo_get_int(op, "exponent_bits", 0), mantissa = hlo_get_int(op, "mantissa_bits", -1);
    if (tsr_is_poison(x)) return false;
    if (exponent < 1 || mantissa < 0) return imp_fail(p, op, "its format has no exponent or a negative mantissa");
    int e = exponent > 64 ? 64 : (int)exponent, m = mantissa > 64 ? 64 : (int)mantissa; /* more change nothing */
    return imp_result(p, op, 0, tsr_reduce_precision(p->c, x, e, m));
}
