/* import_narrow.c: element types without a dtype of their own, as graph: rounding to the grid, bits in and out.
 *
 * Such a value is a node of the carrier's dtype (f32, i8, u8) that always lies on the type's grid; every op computes in
 * the carrier and imp_on_grid rounds what comes out. For the float types of at most 10 mantissa bits an f32 result of
 * + - * / sqrt rounded again is the correctly rounded one (24 >= 2p + 2), so nothing is lost. Conversions from f64 and
 * from wide integers go to f32 by rounding to odd, which keeps the second rounding honest.
 *
 * Rounding: the quantum of x is 2^(max(floor(log2 |x|), emin) - P), built from x's exponent bits; x divided by it is
 * exact, so is the way back. tf32 and the powers of two of f8E8M0FNU round on the bits themselves. The table and the
 * twin for single values are narrow.c. Patterns of 8 and fewer bits come in by a table of 256 values. 2-bit integers
 * wrap as a carrier does once cut; only what counts or shifts bits has to be told how many there are (imp_bitwise). */
#include <math.h>

#include "formats/stablehlo/import.h"
#include "formats/stablehlo/narrow.h"
#include "graph/node.h"

/* ---- small expressions over one shape --------------------------------------------------------------------------- */

/* Literals of x's shape. */
static tsr_node *spread(tsr_ctx *c, tsr_node *scalar, const tsr_node *x) {
    if (tsr_is_poison(x) || tsr_is_poison(scalar)) return tsr_poison(c);
    const tsr_type *t = type_with_dtype(c, tsr_node_type(x), tsr_node_dtype(scalar));
    return t ? tsr_prim_broadcast(c, scalar, t, NULL) : tsr_poison(c);
}
static tsr_node *f32_of(tsr_ctx *c, double v, const tsr_node *x) {
    return spread(c, tsr_scalar_float(c, TSR_F32, v), x);
}
static tsr_node *u32_of(tsr_ctx *c, uint32_t v, const tsr_node *x) {
    return spread(c, tsr_scalar_int(c, TSR_U32, v), x);
}
static tsr_node *select_of(tsr_ctx *c, tsr_node *p, tsr_node *x, tsr_node *y) {
    return tsr_prim3(c, TSR_S_SELECT, p, x, y);
}
static tsr_node *apply_u32(tsr_ctx *c, tsr_scalar fn, tsr_node *x, uint32_t v) {
    return tsr_prim2(c, fn, x, u32_of(c, v, x));
}

/* ---- to the grid ------------------------------------------------------------------------------------------------ */

static tsr_node *int_on_grid(tsr_ctx *c, const struct narrow_format *f, tsr_node *x) {
    tsr_dtype t = tsr_node_dtype(x);
    tsr_node *by = spread(c, tsr_scalar_int(c, t, 8 - f->exponent), x);
    return tsr_prim2(c, f->mantissa ? TSR_S_SHR : TSR_S_SHR_LOGICAL, tsr_prim2(c, TSR_S_SHL, x, by), by);
}

/* The nearest power of two, ties to the even exponent; everything that is no positive finite number is NaN. */
static tsr_node *scale_on_grid(tsr_ctx *c, tsr_node *x) {
    tsr_node *v = tsr_prim_bitcast(c, x, TSR_U32);
    tsr_node *odd = apply_u32(c, TSR_S_AND, apply_u32(c, TSR_S_SHR_LOGICAL, v, 23), 1);
    tsr_node *near = tsr_prim2(c, TSR_S_ADD, apply_u32(c, TSR_S_ADD, v, 0x3fffff), odd);
    near = apply_u32(c, TSR_S_AND, near, 0x7f800000);
    tsr_node *low = select_of(c, apply_u32(c, TSR_S_LE, v, 0x600000), u32_of(c, 0x400000, x), u32_of(c, 0x800000, x));
    near = select_of(c, apply_u32(c, TSR_S_LT, v, 0x800000), low, near);
    tsr_node *positive = tsr_prim2(c, TSR_S_AND, apply_u32(c, TSR_S_NE, v, 0), apply_u32(c, TSR_S_LT, v, 0x7f800000));
    tsr_node *good = tsr_prim2(c, TSR_S_AND, positive, apply_u32(c, TSR_S_LT, near, 0x7f800000));
    return tsr_prim_bitcast(c, select_of(c, good, near, u32_of(c, 0x7fc00000, x)), TSR_F32);
}

/* Types with f32's exponents: adding half of what is cut off rounds, and carries into the exponent where it must. */
static tsr_node *cut_on_grid(tsr_ctx *c, const struct narrow_format *f, tsr_node *x) {
    uint32_t cut = 23 - (uint32_t)f->mantissa;
    tsr_node *v = tsr_prim_bitcast(c, x, TSR_U32);
    tsr_node *odd = apply_u32(c, TSR_S_AND, apply_u32(c, TSR_S_SHR_LOGICAL, v, cut), 1);
    tsr_node *near = tsr_prim2(c, TSR_S_ADD, apply_u32(c, TSR_S_ADD, v, (1u << (cut - 1)) - 1), odd);
    near = tsr_prim_bitcast(c, apply_u32(c, TSR_S_AND, near, ~((1u << cut) - 1)), TSR_F32);
    return select_of(c, tsr_prim2(c, TSR_S_EQ, x, x), near, x);
}

/* What stands for r where |r| is past the greatest value, and for NaN and -0 where the type has none. */
static tsr_node *past_the_end(tsr_ctx *c, const struct narrow_format *f, tsr_node *r) {
    tsr_node *top = f32_of(c, f->greatest, r), *zero = f32_of(c, 0, r);
    tsr_node *over = tsr_prim2(c, TSR_S_GT, tsr_prim1(c, TSR_S_ABS, r), top);
    if (f->kind == NARROW_IEEE) return select_of(c, over, tsr_prim2(c, TSR_S_MUL, r, f32_of(c, HUGE_VAL, r)), r);
    if (f->kind == NARROW_FNUZ) {
        r = select_of(c, over, f32_of(c, NAN, r), r);
        return select_of(c, tsr_prim2(c, TSR_S_EQ, r, zero), zero, r);
    }
    tsr_node *bounded = tsr_prim3(c, TSR_S_CLAMP, tsr_prim1(c, TSR_S_NEG, top), r, top);
    return select_of(c, tsr_prim2(c, TSR_S_EQ, r, r), bounded, f32_of(c, -0.0, r));
}

static tsr_node *float_on_grid(tsr_ctx *c, const struct narrow_format *f, tsr_node *x) {
    uint32_t p = (uint32_t)f->mantissa, least = (uint32_t)(1 - f->bias + 127) << 23, most = 227u << 23;
    tsr_node *e = apply_u32(c, TSR_S_AND, tsr_prim_bitcast(c, x, TSR_U32), 0x7f800000);
    e = tsr_prim3(c, TSR_S_CLAMP, u32_of(c, least, x), e, u32_of(c, most, x));
    tsr_node *quantum = apply_u32(c, TSR_S_SUB, e, p << 23);
    tsr_node *inverse = tsr_prim2(c, TSR_S_SUB, u32_of(c, 254u << 23, x), quantum);
    tsr_node *steps = tsr_prim2(c, TSR_S_MUL, x, tsr_prim_bitcast(c, inverse, TSR_F32));
    tsr_node *r = tsr_prim2(c, TSR_S_MUL, tsr_prim1(c, TSR_S_ROUND_EVEN, steps), tsr_prim_bitcast(c, quantum, TSR_F32));
    return past_the_end(c, f, r);
}

tsr_node *imp_to_grid(struct imp *p, enum hlo_elem e, tsr_node *x) {
    const struct narrow_format *f = narrow_format_of(e);
    if (tsr_is_poison(x) || hlo_elem_of(e)->exact) return x;
    if (f->kind == NARROW_INT) return int_on_grid(p->c, f, x);
    if (f->kind == NARROW_SCALE) return scale_on_grid(p->c, x);
    return f->exponent == 8 ? cut_on_grid(p->c, f, x) : float_on_grid(p->c, f, x);
}

tsr_node *imp_on_grid(struct imp *p, const struct hlo_type *t, tsr_node *n) {
    return t->kind == HLO_T_TENSOR && !t->quant ? imp_to_grid(p, t->elem, n) : n;
}

/* On the pattern alone, the carrier's other bits zero; there are as many leading ones too many. */
tsr_node *imp_bitwise(struct imp *p, const struct hlo_type *t, tsr_scalar fn, int n, tsr_node *const *x) {
    const struct narrow_format *f = narrow_format_of(t->elem);
    tsr_ctx *c = p->c;
    bool bitwise = fn == TSR_S_POPCNT || fn == TSR_S_CLZ || fn == TSR_S_SHR_LOGICAL;
    if (f->kind != NARROW_INT || t->kind != HLO_T_TENSOR || t->quant || !bitwise || tsr_is_poison(x[0])) return NULL;
    tsr_dtype own = tsr_node_dtype(x[0]);
    tsr_node *mask = spread(c, tsr_scalar_int(c, own, (1 << f->exponent) - 1), x[0]);
    tsr_node *in[2] = {tsr_prim2(c, TSR_S_AND, x[0], mask), n > 1 ? x[1] : NULL};
    tsr_node *y = tsr_prim_elem(c, fn, n, in);
    if (fn != TSR_S_CLZ) return y;
    return tsr_prim2(c, TSR_S_SUB, y, spread(c, tsr_scalar_int(c, own, 8 - f->exponent), x[0]));
}

/* ---- convert ---------------------------------------------------------------------------------------------------- */

/* f64 to f32 towards zero, the last bit set where something was cut off: the next rounding sees that there was more. */
static tsr_node *rounded_to_odd(tsr_ctx *c, tsr_node *x) {
    tsr_node *near = tsr_prim_convert(c, x, TSR_F32), *back = tsr_prim_convert(c, near, TSR_F64);
    tsr_node *v = tsr_prim_bitcast(c, near, TSR_U32);
    tsr_node *away = tsr_prim2(c, TSR_S_GT, tsr_prim1(c, TSR_S_ABS, back), tsr_prim1(c, TSR_S_ABS, x));
    tsr_node *down = select_of(c, away, apply_u32(c, TSR_S_SUB, v, 1), v);
    tsr_node *odd = apply_u32(c, TSR_S_OR, down, 1);
    return tsr_prim_bitcast(c, select_of(c, tsr_prim2(c, TSR_S_NE, back, x), odd, v), TSR_F32);
}

tsr_node *imp_to_elem(struct imp *p, enum hlo_elem to, tsr_node *x) {
    const struct narrow_format *f = narrow_format_of(to);
    tsr_dtype carrier = hlo_elem_of(to)->dtype;
    if (tsr_is_poison(x)) return x;
    if (tsr_node_dtype(x) == carrier) return imp_to_grid(p, to, x);
    if (dtype_is_complex(tsr_node_dtype(x)) && !dtype_is_complex(carrier)) x = tsr_prim1(p->c, TSR_S_REAL, x);
    if (hlo_elem_of(to)->exact || f->kind == NARROW_INT) return imp_to_grid(p, to, tsr_prim_convert(p->c, x, carrier));
    bool wide = tsr_dtype_of(tsr_node_dtype(x))->bits >= 32 && tsr_node_dtype(x) != TSR_F32;
    if (!wide) return imp_to_grid(p, to, tsr_prim_convert(p->c, x, TSR_F32));
    tsr_node *exact = tsr_node_dtype(x) == TSR_F64 ? x : tsr_prim_convert(p->c, x, TSR_F64);
    return imp_to_grid(p, to, rounded_to_odd(p->c, exact));
}

/* ---- bits ------------------------------------------------------------------------------------------------------- */

/* Bits of a type that bitcasts to and from bytes here, one pattern to a byte; 0: its own dtype has them. */
static int pattern_bits(enum hlo_elem e) {
    return hlo_elem_of(e)->exact || e == HLO_TF32 ? 0 : hlo_elem_of(e)->bits;
}

/* Patterns of values on the grid of e, as u8. */
static tsr_node *bits_of(tsr_ctx *c, enum hlo_elem e, tsr_node *x) {
    const struct narrow_format *f = narrow_format_of(e);
    uint32_t p = (uint32_t)f->mantissa, sign = 1u << (f->exponent + f->mantissa);
    if (f->kind == NARROW_INT) {
        tsr_node *byte = tsr_prim_convert(c, x, TSR_U8);
        return tsr_prim2(c, TSR_S_AND, byte, spread(c, tsr_scalar_int(c, TSR_U8, (1 << f->exponent) - 1), x));
    }
    tsr_node *v = tsr_prim_bitcast(c, x, TSR_U32), *a = apply_u32(c, TSR_S_AND, v, 0x7fffffff);
    tsr_node *nan = tsr_prim2(c, TSR_S_NE, x, x), *code;
    if (f->kind == NARROW_SCALE) {
        code = apply_u32(c, TSR_S_SHR_LOGICAL, v, 23);
    } else { /* the exponent's bias changes; below emin the multiple of the least quantum is the code */
        uint32_t least = (uint32_t)(1 - f->bias + 127) << 23;
        tsr_node *normal = apply_u32(c, TSR_S_SUB, apply_u32(c, TSR_S_SHR_LOGICAL, a, 23 - p),
            (uint32_t)(127 - f->bias) << p);
        tsr_node *scale = f32_of(c, exp2(f->bias - 1 + (int)p), x);
        tsr_node *small = tsr_prim_convert(c, tsr_prim2(c, TSR_S_MUL, tsr_prim1(c, TSR_S_ABS, x), scale), TSR_U32);
        code = select_of(c, apply_u32(c, TSR_S_LT, a, least), small, normal);
        if (f->kind == NARROW_IEEE) code = select_of(c, apply_u32(c, TSR_S_EQ, a, 0x7f800000),
            u32_of(c, narrow_encode(e, HUGE_VAL), x), code);
        tsr_node *negative = apply_u32(c, TSR_S_NE, apply_u32(c, TSR_S_SHR_LOGICAL, v, 31), 0);
        code = select_of(c, negative, apply_u32(c, TSR_S_OR, code, sign), code);
    }
    code = select_of(c, nan, u32_of(c, narrow_encode(e, NAN), x), code);
    return tsr_prim_convert(c, code, TSR_U8);
}

/* The values of the patterns in x (u8): one gather from the table of all 256. */
static tsr_node *values_of(tsr_ctx *c, enum hlo_elem e, tsr_node *x) {
    float value[256];
    for (uint32_t i = 0; i < 256; i++) value[i] = (float)narrow_decode(e, i);
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 1, (int64_t[]){256});
    const tsr_extent *one = tsr_extent_int(c, 1);
    if (!t || !one || tsr_is_poison(x)) return tsr_poison(c);
    tsr_node *table = tsr_const(c, t, value), *index = tsr_prim_convert(c, x, TSR_I32);
    tsr_gather_dims d = {.n_collapsed = 1, .n_map = 1, .collapsed = (int64_t[]){0}, .map = (int64_t[]){0},
                         .index_vector_axis = tsr_node_rank(x)};
    return tsr_prim_convert(c, tsr_prim_gather(c, table, index, &d, &one), hlo_elem_of(e)->dtype);
}

tsr_node *imp_bits_as(struct imp *p, enum hlo_elem from, enum hlo_elem to, tsr_node *x) {
    int a = pattern_bits(from), b = pattern_bits(to);
    tsr_ctx *c = p->c;
    if (tsr_is_poison(x)) return x;
    if ((from == HLO_TF32 || to == HLO_TF32) && from != to)
        return err_set(c, TSR_EUNSUPPORTED, "bitcast of tf32: its 19 bits are no type's; convert it to f32 instead"),
            tsr_poison(c);
    int width_a = hlo_elem_of(from)->bits, width_b = hlo_elem_of(to)->bits;
    if ((a && a < 8 && width_b != a) || (b && b < 8 && width_a != b))
        return err_set(c, TSR_EUNSUPPORTED, "bitcast of %s to %s: types of fewer than 8 bits keep their width",
            hlo_elem_of(from)->text, hlo_elem_of(to)->text), tsr_poison(c);
    if (a) x = bits_of(c, from, x); /* now u8 */
    if (a == 4 && !b) x = tsr_prim_convert(c, x, TSR_U4);
    if (!b) return tsr_prim_bitcast(c, x, hlo_elem_of(to)->dtype);
    if (!a && b == 4) x = tsr_prim_convert(c, tsr_prim_bitcast(c, x, TSR_U4), TSR_U8);
    else if (!a) x = tsr_prim_bitcast(c, x, TSR_U8);
    return values_of(c, to, x);
}
