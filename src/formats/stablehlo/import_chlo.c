/* import_chlo.c: the elementwise client ops, and those that broadcast.
 *
 * One table: name, number of operands, the function of scalar.h or the formula. broadcast_NAME is NAME after its
 * operands are aligned: at the right as in NumPy, or as broadcast_dimensions says for the one of lower rank.
 * Source: the CHLO dialect of openxla/stablehlo. */
#include <math.h>
#include <string.h>

#include "formats/stablehlo/import_body.h"
#include "formats/stablehlo/import_chlo.h"
#include "tessera/ops.h"

/* ---- formulas --------------------------------------------------------------------------------------------------- */

static bool is_complex(const tsr_node *x) {
    return !tsr_is_poison(x) && tsr_dtype_of(tsr_node_dtype(x))->kind == TSR_KIND_COMPLEX;
}

#define SCALAR1(name, FN) \
    static tsr_node *chlo_##name(tsr_ctx *c, tsr_node *const *x) { return tsr_prim1(c, TSR_S_##FN, x[0]); }
#define SCALAR2(name, FN) \
    static tsr_node *chlo_##name(tsr_ctx *c, tsr_node *const *x) { return tsr_prim2(c, TSR_S_##FN, x[0], x[1]); }
SCALAR1(acos, ACOS)
SCALAR1(acosh, ACOSH)
SCALAR1(asin, ASIN)
SCALAR1(asinh, ASINH)
SCALAR1(atan, ATAN)
SCALAR1(atanh, ATANH)
SCALAR1(cosh, COSH)
SCALAR1(digamma, DIGAMMA)
SCALAR1(erf, ERF)
SCALAR1(erf_inv, ERF_INV)
SCALAR1(erfc, ERFC)
SCALAR1(lgamma, LGAMMA)
SCALAR1(sinh, SINH)
SCALAR1(tan, TAN)
SCALAR2(add, ADD)
SCALAR2(and, AND)
SCALAR2(atan2, ATAN2)
SCALAR2(divide, DIV)
SCALAR2(maximum, MAX)
SCALAR2(minimum, MIN)
SCALAR2(multiply, MUL)
SCALAR2(next_after, NEXTAFTER)
SCALAR2(or, OR)
SCALAR2(power, POW)
SCALAR2(remainder, REM)
SCALAR2(shift_left, SHL)
SCALAR2(shift_right_arithmetic, SHR)
SCALAR2(shift_right_logical, SHR_LOGICAL)
SCALAR2(subtract, SUB)
SCALAR2(xor, XOR)
SCALAR2(complex, COMPLEX)
#undef SCALAR1
#undef SCALAR2

static tsr_node *chlo_asin_acos_kernel(tsr_ctx *c, tsr_node *const *x) { return imp_complex_asin_acos_kernel(c, x[0]); }
static tsr_node *chlo_bessel_i1e(tsr_ctx *c, tsr_node *const *x) { return tsr_bessel_i1e(c, x[0]); }
static tsr_node *chlo_polygamma(tsr_ctx *c, tsr_node *const *x) { return tsr_polygamma(c, x[0], x[1]); }
static tsr_node *chlo_zeta(tsr_ctx *c, tsr_node *const *x) { return tsr_zeta(c, x[0], x[1]); }
static tsr_node *chlo_square(tsr_ctx *c, tsr_node *const *x) { return tsr_prim2(c, TSR_S_MUL, x[0], x[0]); }

static tsr_node *chlo_conj(tsr_ctx *c, tsr_node *const *x) {
    if (!is_complex(x[0])) return x[0];
    tsr_node *im = tsr_prim1(c, TSR_S_NEG, tsr_prim1(c, TSR_S_IMAG, x[0]));
    return tsr_prim2(c, TSR_S_COMPLEX, tsr_prim1(c, TSR_S_REAL, x[0]), im);
}

static tsr_node *equals(tsr_ctx *c, tsr_node *x, double v) {
    if (tsr_is_poison(x)) return x;
    return tsr_prim2(c, TSR_S_EQ, x, imp_spread(c, tsr_scalar_float(c, tsr_node_dtype(x), v), x));
}
static tsr_node *chlo_is_inf(tsr_ctx *c, tsr_node *const *x) {
    return equals(c, tsr_prim1(c, TSR_S_ABS, x[0]), (double)INFINITY);
}
static tsr_node *chlo_is_pos_inf(tsr_ctx *c, tsr_node *const *x) { return equals(c, x[0], (double)INFINITY); }
static tsr_node *chlo_is_neg_inf(tsr_ctx *c, tsr_node *const *x) { return equals(c, x[0], -(double)INFINITY); }

/* The upper half of a product of 64-bit integers, from four products of halves; for signed ones the unsigned result
 * less y where x < 0 and less x where y < 0. */
static tsr_node *mulhi64(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    bool is_signed = tsr_node_dtype(x) == TSR_I64;
    tsr_node *n = imp_spread(c, tsr_scalar_int(c, TSR_U64, 32), x);
    tsr_node *zero = imp_spread(c, tsr_scalar_int(c, TSR_U64, 0), x);
    tsr_node *half = imp_spread(c, tsr_scalar_int(c, TSR_U64, 0xffffffff), x), *u[2] = {x, y}, *lo[2], *hi[2];
    for (int i = 0; i < 2; i++) {
        if (is_signed) u[i] = tsr_prim_bitcast(c, u[i], TSR_U64);
        lo[i] = tsr_prim2(c, TSR_S_AND, u[i], half), hi[i] = tsr_prim2(c, TSR_S_SHR_LOGICAL, u[i], n);
    }
    tsr_node *low = tsr_prim2(c, TSR_S_SHR_LOGICAL, tsr_prim2(c, TSR_S_MUL, lo[0], lo[1]), n);
    tsr_node *mid = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_MUL, hi[0], lo[1]), low); /* below 2^64 */
    tsr_node *rest = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_MUL, lo[0], hi[1]), tsr_prim2(c, TSR_S_AND, mid, half));
    tsr_node *y64 = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_MUL, hi[0], hi[1]),
        tsr_prim2(c, TSR_S_SHR_LOGICAL, mid, n));
    y64 = tsr_prim2(c, TSR_S_ADD, y64, tsr_prim2(c, TSR_S_SHR_LOGICAL, rest, n));
    if (!is_signed) return y64;
    for (int i = 0; i < 2; i++) {
        tsr_node *negative = tsr_prim2(c, TSR_S_NE, tsr_prim2(c, TSR_S_SHR_LOGICAL, hi[i],
            imp_spread(c, tsr_scalar_int(c, TSR_U64, 31), x)), zero);
        y64 = tsr_prim2(c, TSR_S_SUB, y64, tsr_prim3(c, TSR_S_SELECT, negative, u[1 - i], zero));
    }
    return tsr_prim_bitcast(c, y64, TSR_I64);
}

static tsr_node *chlo_mulhi(tsr_ctx *c, tsr_node *const *x) {
    if (tsr_is_poison(x[0]) || tsr_is_poison(x[1])) return tsr_poison(c);
    tsr_dtype t = tsr_node_dtype(x[0]);
    const struct tsr_dtype_info *d = tsr_dtype_of(t);
    if (d->bits == 64) return mulhi64(c, x[0], x[1]);
    tsr_dtype wide = d->kind == TSR_KIND_INT ? TSR_I64 : TSR_U64;
    tsr_node *y = tsr_prim2(c, TSR_S_MUL, imp_as(c, x[0], wide), imp_as(c, x[1], wide));
    y = tsr_prim2(c, wide == TSR_I64 ? TSR_S_SHR : TSR_S_SHR_LOGICAL, y,
        imp_spread(c, tsr_scalar_int(c, wide, d->bits), y));
    return imp_as(c, y, t);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

#define ROW(name, n) {#name, n, chlo_##name},
static const struct { const char *name; int n; imp_chlo_fn *fn; } table[] = {
    ROW(acos, 1) ROW(acosh, 1) ROW(asin, 1) ROW(asin_acos_kernel, 1) ROW(asinh, 1) ROW(atan, 1) ROW(atanh, 1)
    ROW(bessel_i1e, 1) ROW(conj, 1) ROW(cosh, 1) ROW(digamma, 1) ROW(erf, 1) ROW(erf_inv, 1) ROW(erfc, 1)
    ROW(is_inf, 1) ROW(is_neg_inf, 1) ROW(is_pos_inf, 1) ROW(lgamma, 1) ROW(sinh, 1) ROW(square, 1) ROW(tan, 1)
    ROW(add, 2) ROW(and, 2) ROW(atan2, 2) ROW(complex, 2) ROW(divide, 2) ROW(maximum, 2) ROW(minimum, 2) ROW(mulhi, 2)
    ROW(multiply, 2) ROW(next_after, 2) ROW(or, 2) ROW(polygamma, 2) ROW(power, 2) ROW(remainder, 2)
    ROW(shift_left, 2) ROW(shift_right_arithmetic, 2) ROW(shift_right_logical, 2) ROW(subtract, 2) ROW(xor, 2)
    ROW(zeta, 2)
};
#undef ROW

imp_chlo_fn *imp_chlo_find(const char *name, int n) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].n == n && !strcmp(table[i].name, name)) return table[i].fn;
    return NULL;
}

/* The part of the op's name after `prefix`. */
static imp_chlo_fn *named(const struct hlo_op *op, const char *prefix, int n) {
    size_t k = strlen(prefix);
    const char *name = !strncmp(op->name, prefix, k) ? op->name + k : "";
    return imp_chlo_find(*name == '_' ? name + 1 : name, n); /* the kernel's name begins with '_' in some versions */
}

bool imp_chlo_elem(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[2];
    imp_chlo_fn *fn = named(op, "chlo.", op->noperand);
    if (!fn) return imp_fail(p, op, "there is no such function of %d operands", op->noperand);
    return imp_operands(p, op, op->noperand, x) && imp_result(p, op, 0, fn(p->c, x));
}

/* ---- constants -------------------------------------------------------------------------------------------------- */

bool imp_chlo_constant(struct imp *p, const struct hlo_op *op) {
    const struct hlo_attr *v = hlo_get(op, "value");
    if (!v || v->kind != HLO_A_ELEMENTS) return imp_fail(p, op, "its value is no dense<...>");
    return imp_result(p, op, 0, imp_elements(p, v));
}

/* A number of the result's element type: an integer, a float, true or false, or a one-element dense<...>. */
static tsr_node *scalar_of(struct imp *p, const struct hlo_op *op, const struct hlo_attr *v) {
    tsr_dtype t = imp_dtype(op->result[0].type);
    switch (v ? v->kind : HLO_A_UNIT) {
    case HLO_A_INT:
    case HLO_A_BOOL: return tsr_scalar_int(p->c, t, v->i);
    case HLO_A_FLOAT: return tsr_scalar_float(p->c, t, v->f);
    case HLO_A_ELEMENTS: return imp_as(p->c, tsr_reshape(p->c, imp_elements(p, v), 0, NULL), t);
    default: imp_fail(p, op, "its value is no number"); return tsr_poison(p->c);
    }
}

bool imp_chlo_constant_like(struct imp *p, const struct hlo_op *op) {
    tsr_node *like, *v;
    if (!imp_operands(p, op, 1, &like)) return false;
    v = scalar_of(p, op, hlo_get(op, "value"));
    return !tsr_is_poison(v) && imp_result(p, op, 0, tsr_broadcast_like(p->c, v, like));
}

/* ---- broadcasting ----------------------------------------------------------------------------------------------- */

/* Axes of operand x within a result of `rank` axes. */
static bool axes_within(struct imp *p, const struct hlo_op *op, const tsr_node *x, int rank, int64_t *axes) {
    int n = 0, own = tsr_node_rank(x);
    const int64_t *given = hlo_get_ints(op, "broadcast_dimensions", &n);
    if (own == rank || !given || n != own) {
        for (int i = 0; i < own; i++) axes[i] = rank - own + i;
        return true;
    }
    for (int i = 0; i < n; i++) {
        if (given[i] < 0 || given[i] >= rank || (i && given[i] <= given[i - 1]))
            return imp_fail(p, op, "broadcast_dimensions[%d] = %lld is no axis of the result, or out of order", i,
                (long long)given[i]);
        axes[i] = given[i];
    }
    return true;
}

/* All of x[n] in one shape: an extent of 1 (or a missing axis) is repeated. */
static bool aligned(struct imp *p, const struct hlo_op *op, int n, tsr_node **x) {
    const tsr_extent *extent[TSR_MAX_RANK], *one = tsr_extent_int(p->c, 1);
    int64_t axes[3][TSR_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < n; i++)
        if (tsr_node_rank(x[i]) > rank) rank = tsr_node_rank(x[i]);
    for (int a = 0; a < rank; a++) extent[a] = one;
    for (int i = 0; i < n; i++) {
        if (!axes_within(p, op, x[i], rank, axes[i])) return false;
        for (int a = 0; a < tsr_node_rank(x[i]); a++)
            if (extent[axes[i][a]] == one) extent[axes[i][a]] = tsr_node_extent(x[i], a);
    }
    for (int i = 0; i < n && one; i++) {
        const tsr_type *t = tsr_type_tensor(p->c, tsr_node_dtype(x[i]), rank, extent);
        if (t && t != tsr_node_type(x[i])) x[i] = tsr_prim_broadcast(p->c, x[i], t, axes[i]);
        if (!t || tsr_is_poison(x[i])) return false;
    }
    return one != NULL;
}

bool imp_chlo_broadcast(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[2];
    imp_chlo_fn *fn = named(op, "chlo.broadcast_", 2);
    if (!fn) return imp_fail(p, op, "there is no such function of two operands");
    return imp_operands(p, op, 2, x) && aligned(p, op, 2, x) && imp_result(p, op, 0, fn(p->c, x));
}

bool imp_chlo_broadcast_select(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[3];
    return imp_operands(p, op, 3, x) && aligned(p, op, 3, x) &&
        imp_result(p, op, 0, tsr_prim3(p->c, TSR_S_SELECT, x[0], x[1], x[2]));
}

bool imp_chlo_broadcast_compare(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[2];
    return imp_operands(p, op, 2, x) && aligned(p, op, 2, x) && imp_compare_nodes(p, op, x[0], x[1]);
}
