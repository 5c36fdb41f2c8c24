/* import_random.c: rng_bit_generator and rng.
 *
 * rng_bit_generator is the primitive rng_bits, whose bits are XLA's for both algorithms; DEFAULT is Philox, as XLA has
 * it on CPUs, and Threefry for no state that Philox could not take. Results of signed or float types are the same bits.
 *
 * rng has no state in the specification, which leaves open how numbers come about. Here they are pure: Threefry keyed
 * by where the operation stands in its module, so that two operations draw different numbers, and every run of one
 * module draws the same. Integers: a + 64 random bits modulo (b - a).
 * Source: StableHLO specification, rng_bit_generator, rng. */
#include <string.h>

#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"
#include "tessera/random.h"

static tsr_dtype unsigned_of(tsr_dtype t) {
    int bits = tsr_dtype_of(t)->bits;
    return bits == 64 ? TSR_U64 : bits == 32 ? TSR_U32 : bits == 16 ? TSR_U16 : TSR_U8;
}

bool imp_random_bits(struct imp *p, const struct hlo_op *op, tsr_node *state, const tsr_type *t) {
    const char *name = hlo_get_text(op, "rng_algorithm");
    if (tsr_is_poison(state)) return false;
    if (!name || (strcmp(name, "DEFAULT") && strcmp(name, "THREE_FRY") && strcmp(name, "PHILOX")))
        return imp_fail(p, op, "rng_algorithm is %s, not DEFAULT, THREE_FRY or PHILOX", name ? name : "missing");
    tsr_dtype own = tsr_node_dtype(state);
    const tsr_type *bits = tsr_type_tensor(p->c, unsigned_of(t->dtype), t->rank, t->extent);
    if (own != TSR_U64) state = tsr_prim_bitcast(p->c, state, TSR_U64);
    tsr_node *y = tsr_prim_rng_bits(p->c, strcmp(name, "THREE_FRY") ? TSR_RNG_PHILOX : TSR_RNG_THREEFRY, state, bits);
    if (tsr_is_poison(y)) return false;
    tsr_node *after = tsr_item(p->c, y, 0), *out = tsr_item(p->c, y, 1);
    return imp_result(p, op, 0, own == TSR_U64 ? after : tsr_prim_bitcast(p->c, after, own)) &&
        imp_result(p, op, 1, bits->dtype == t->dtype ? out : tsr_prim_bitcast(p->c, out, t->dtype));
}

bool imp_rng_bit_generator(struct imp *p, const struct hlo_op *op) {
    tsr_node *state;
    if (!imp_operands(p, op, 1, &state)) return false;
    if (op->nresult != 2) return imp_fail(p, op, "it gives a state and bits, %d results are declared", op->nresult);
    const tsr_type *t = imp_result_type(p, op, 1);
    return t && imp_random_bits(p, op, state, t);
}

/* ---- rng -------------------------------------------------------------------------------------------------------- */

/* The result's type: declared, or of the constant extents in the operand `shape`. */
static const tsr_type *shape_of(struct imp *p, const struct hlo_op *op) {
    const struct hlo_type *t = op->result[0].type;
    int64_t dim[TSR_MAX_RANK];
    if (hlo_type_static(t)) return imp_type(p, t);
    if (t->rank > TSR_MAX_RANK || !imp_const_ints(p, op, 2, dim, t->rank)) return imp_result_type(p, op, 0);
    return tsr_type_dims(p->c, imp_dtype(t), t->rank, dim);
}

/* a + bits mod (b - a), in 64 bits. */
static tsr_node *random_ints(tsr_ctx *c, tsr_node *key, const tsr_type *t, tsr_node *a, tsr_node *b) {
    const tsr_type *wide = tsr_type_tensor(c, TSR_U64, t->rank, t->extent);
    a = tsr_prim_bitcast(c, imp_as(c, a, TSR_I64), TSR_U64), b = tsr_prim_bitcast(c, imp_as(c, b, TSR_I64), TSR_U64);
    tsr_node *bits = wide ? tsr_prng_bits(c, key, wide) : tsr_poison(c);
    tsr_node *span = imp_spread(c, tsr_prim2(c, TSR_S_SUB, b, a), bits);
    tsr_node *x = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_REM, bits, span), imp_spread(c, a, bits));
    return imp_as(c, tsr_prim_bitcast(c, x, TSR_I64), t->dtype);
}

/* x * scale + shift, all of x's dtype, scale and shift scalars. */
static tsr_node *scaled(tsr_ctx *c, tsr_node *x, tsr_node *scale, tsr_node *shift) {
    return tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_MUL, x, imp_spread(c, scale, x)), imp_spread(c, shift, x));
}

bool imp_rng(struct imp *p, const struct hlo_op *op) {
    tsr_ctx *c = p->c;
    const char *how = hlo_get_text(op, "rng_distribution");
    if (op->noperand != 3) return imp_fail(p, op, "it takes a, b and a shape, %d operands are given", op->noperand);
    if (!how || (strcmp(how, "UNIFORM") && strcmp(how, "NORMAL")))
        return imp_fail(p, op, "rng_distribution is %s, not UNIFORM or NORMAL", how ? how : "missing");
    tsr_node *a = imp_operand(p, op, 0), *b = imp_operand(p, op, 1);
    const tsr_type *t = shape_of(p, op);
    if (!t || tsr_is_poison(a) || tsr_is_poison(b)) return false;
    tsr_node *key = tsr_prng_key(c, (uint64_t)op->loc.line << 32 | (op->loc.col + (uint32_t)op->result[0].id));
    bool real = tsr_dtype_of(t->dtype)->kind == TSR_KIND_FLOAT;
    if (!real && !strcmp(how, "NORMAL")) return imp_fail(p, op, "normal numbers are floats, not %s",
        tsr_dtype_name(t->dtype));
    if (!real) return imp_result(p, op, 0, random_ints(c, key, t, a, b));
    if (!strcmp(how, "NORMAL")) return imp_result(p, op, 0, scaled(c, tsr_prng_normal(c, key, t), b, a));
    return imp_result(p, op, 0, scaled(c, tsr_prng_uniform(c, key, t, 0, 1), tsr_prim2(c, TSR_S_SUB, b, a), a));
}
