/* op_elem_grad.c: the gradients of the elementwise functions, a line each.
 *
 * In a line, x, y, z are the operands, g the cotangent of the result and r the result itself. Every rule is linear
 * in g and never tests it, so transposing a rule again (forward mode) is right even where g is 0. The price, as in
 * JAX and PyTorch: where a derivative is infinite (sqrt at 0), a zero cotangent gives NaN.
 *
 * Complex functions: a cotangent pairs with a tangent as Re(g t), so a holomorphic f has g f'(x), without a
 * conjugate; the others (abs, sign, real, imag, complex) follow from that pairing.
 *
 * Choices at kinks: abs and sign have 0 at 0; equal operands of max and min share the cotangent half and half (JAX
 * does, too); clamp passes it at its bounds (PyTorch does, too); pow has d/dx = 0 where y = 0, d/dy = 0 where x =
 * 0. nextafter follows x. */
#include "graph/op_elem.h"

#define neg(a) tsr_prim1(c, TSR_S_NEG, (a))
#define f1(NAME, a) tsr_prim1(c, TSR_S_##NAME, (a))
#define add(a, b) tsr_prim2(c, TSR_S_ADD, (a), (b))
#define sub(a, b) tsr_prim2(c, TSR_S_SUB, (a), (b))
#define mul(a, b) tsr_prim2(c, TSR_S_MUL, (a), (b))
#define divide(a, b) tsr_prim2(c, TSR_S_DIV, (a), (b))
#define cmp(NAME, a, b) tsr_prim2(c, TSR_S_##NAME, (a), (b))
#define pick(p, a, b) tsr_prim3(c, TSR_S_SELECT, (p), (a), (b))
#define k(v) rule_full_like(c, x, (v))
#define sq(a) square(c, (a))
static tsr_node *square(tsr_ctx *c, tsr_node *a) { return mul(a, a); }

static const double LN2 = 0.693147180559945309417, SQRT_PI = 1.77245385090551602730, PI = 3.14159265358979323846;

#define RULE_HEAD(NAME) \
    bool elem_vjp_##NAME(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) { \
        tsr_node *g = gout[0], *r = n, *x = n->src[0], *y = n->src[n->nsrc > 1], *z = n->src[n->nsrc - 1]; \
        (void)c, (void)g, (void)r, (void)x, (void)y, (void)z;
#define RULE1(NAME, dx)                    \
    RULE_HEAD(NAME)                        \
    gsrc[0] = want[0] ? (dx) : NULL;       \
    return true;                           \
    }
#define RULE2(NAME, dx, dy)                \
    RULE_HEAD(NAME)                        \
    gsrc[0] = want[0] ? (dx) : NULL;       \
    gsrc[1] = want[1] ? (dy) : NULL;       \
    return true;                           \
    }
#define RULE3(NAME, dx, dy, dz)            \
    RULE_HEAD(NAME)                        \
    gsrc[0] = want[0] ? (dx) : NULL;       \
    gsrc[1] = want[1] ? (dy) : NULL;       \
    gsrc[2] = want[2] ? (dz) : NULL;       \
    return true;                           \
    }

/* ---- parts that do not fit a line ------------------------------------------------------------------------------- */

static tsr_node *complex_of(tsr_ctx *c, tsr_node *re, tsr_node *im) { return tsr_prim2(c, TSR_S_COMPLEX, re, im); }
static tsr_node *conjugate(tsr_ctx *c, tsr_node *z) { return complex_of(c, f1(REAL, z), neg(f1(IMAG, z))); }
static tsr_node *as_complex(tsr_ctx *c, tsr_node *re) { return complex_of(c, re, rule_full_like(c, re, 0)); }

/* d|x| along t is sign(x) t, for complex x Re(conj(sign x) t). */
static tsr_node *abs_grad(tsr_ctx *c, tsr_node *x, tsr_node *g) {
    tsr_node *s = f1(SIGN, x);
    return tsr_is_poison(x) || !dtype_is_complex(x->type->dtype) ? mul(g, s) : mul(as_complex(c, g), conjugate(c, s));
}

/* Real sign is constant between jumps; complex: s = x / |x|, ds = (t - s Re(conj(s) t)) / |x|, and 0 at 0. */
static tsr_node *sign_grad(tsr_ctx *c, tsr_node *x, tsr_node *s, tsr_node *g) {
    if (tsr_is_poison(x) || !dtype_is_complex(x->type->dtype)) return NULL;
    tsr_node *size = f1(ABS, x), *zero = rule_full_like(c, size, 0), *at_zero = cmp(EQ, size, zero);
    tsr_node *along = mul(as_complex(c, f1(REAL, mul(g, s))), conjugate(c, s));
    tsr_node *d = divide(sub(g, along), as_complex(c, pick(at_zero, rule_full_like(c, size, 1), size)));
    return pick(at_zero, k(0), d);
}

/* Full share where an operand alone is the result, half where both are. */
static tsr_node *extreme_share(tsr_ctx *c, tsr_node *x, tsr_node *other, tsr_node *r, tsr_node *g) {
    tsr_node *share = pick(cmp(EQ, other, r), k(0.5), k(1));
    return mul(g, pick(cmp(EQ, x, r), share, k(0)));
}

static tsr_node *pow_grad_base(tsr_ctx *c, tsr_node *x, tsr_node *y, tsr_node *g) {
    tsr_node *none = cmp(EQ, y, k(0)), *d = mul(y, tsr_prim2(c, TSR_S_POW, x, sub(pick(none, k(1), y), k(1))));
    return mul(g, pick(none, k(0), d));
}

static tsr_node *pow_grad_exponent(tsr_ctx *c, tsr_node *x, tsr_node *r, tsr_node *g) {
    tsr_node *zero = cmp(EQ, x, k(0));
    return mul(g, pick(zero, k(0), mul(r, f1(LOG, pick(zero, k(1), x)))));
}

/* Sum over every axis when the operand was a scalar. */
static tsr_node *for_operand(tsr_ctx *c, tsr_node *g, const tsr_node *operand) {
    return rule_unbroadcast(c, g, operand->type);
}
static tsr_node *spread(tsr_ctx *c, tsr_node *scalar, const tsr_type *like) {
    if (scalar->type->rank == like->rank) return scalar;
    return tsr_prim_broadcast(c, scalar, type_with_dtype(c, like, scalar->type->dtype), NULL);
}

/* Which operand of min(max(x, lo), hi) is the result: 0 lo, 1 x, 2 hi. */
static tsr_node *clamp_grad(tsr_ctx *c, tsr_node *n, tsr_node *g, int which) {
    tsr_node *x = n->src[1], *lo = spread(c, n->src[0], x->type), *hi = spread(c, n->src[2], x->type), *p;
    if (which == 0) p = cmp(AND, cmp(LT, x, lo), cmp(LE, lo, hi));
    else if (which == 1) p = cmp(AND, cmp(GE, x, lo), cmp(LE, x, hi));
    else p = cmp(GT, cmp(MAX, x, lo), hi);
    return for_operand(c, pick(p, g, k(0)), n->src[which]);
}

/* psi'(x): the recurrence psi'(x) = psi'(x + 1) + 1/x^2 eight times, then the asymptotic series; below 1/2 by
 * reflection, psi'(1 - x) + psi'(x) = pi^2 / sin^2(pi x). (Abramowitz and Stegun 6.4.6, 6.4.7, 6.4.12.) */
static tsr_node *trigamma(tsr_ctx *c, tsr_node *x) {
    enum { SHIFT = 8, TERMS = 6 };
    static const double series[TERMS] = {1. / 6, -1. / 30, 1. / 42, -1. / 30, 5. / 66, -691. / 2730};
    tsr_node *low = cmp(LT, x, k(0.5)), *at = pick(low, sub(k(1), x), x), *sum = k(0), *tail = k(0);
    for (int i = 0; i < SHIFT; i++) sum = add(sum, divide(k(1), sq(add(at, k(i)))));
    tsr_node *inverse = divide(k(1), add(at, k(SHIFT))), *inverse2 = sq(inverse);
    for (int i = TERMS - 1; i >= 0; i--) tail = mul(inverse2, add(k(series[i]), tail));
    sum = add(sum, mul(inverse, add(add(k(1), mul(k(0.5), inverse)), tail)));
    tsr_node *mirror = divide(k(PI * PI), sq(f1(SIN, mul(k(PI), pick(low, x, k(0.5))))));
    return pick(low, sub(mirror, sum), sum);
}

/* ---- one operand ------------------------------------------------------------------------------------------------ */

RULE1(NEG, neg(g))
RULE1(ABS, abs_grad(c, x, g))
RULE1(SIGN, sign_grad(c, x, r, g))
RULE1(EXP, mul(g, r))
RULE1(EXP2, mul(g, mul(r, k(LN2))))
RULE1(EXPM1, mul(g, add(r, k(1))))
RULE1(LOG, divide(g, x))
RULE1(LOG2, divide(g, mul(x, k(LN2))))
RULE1(LOG1P, divide(g, add(x, k(1))))
RULE1(SQRT, divide(mul(g, k(0.5)), r))
RULE1(RSQRT, mul(g, mul(k(-0.5), divide(r, x))))
RULE1(CBRT, divide(g, mul(k(3), sq(r))))
RULE1(SIN, mul(g, f1(COS, x)))
RULE1(COS, neg(mul(g, f1(SIN, x))))
RULE1(TAN, mul(g, add(k(1), sq(r))))
RULE1(ASIN, mul(g, f1(RSQRT, mul(sub(k(1), x), add(k(1), x)))))
RULE1(ACOS, neg(mul(g, f1(RSQRT, mul(sub(k(1), x), add(k(1), x))))))
RULE1(ATAN, divide(g, add(k(1), sq(x))))
RULE1(SINH, mul(g, f1(COSH, x)))
RULE1(COSH, mul(g, f1(SINH, x)))
RULE1(TANH, mul(g, sub(k(1), sq(r))))
RULE1(ASINH, mul(g, f1(RSQRT, add(sq(x), k(1)))))
RULE1(ACOSH, mul(g, mul(f1(RSQRT, sub(x, k(1))), f1(RSQRT, add(x, k(1))))))
RULE1(ATANH, divide(g, mul(sub(k(1), x), add(k(1), x))))
RULE1(LOGISTIC, mul(g, mul(r, sub(k(1), r))))
RULE1(ERF, mul(g, mul(k(2 / SQRT_PI), f1(EXP, neg(sq(x))))))
RULE1(ERFC, mul(g, mul(k(-2 / SQRT_PI), f1(EXP, neg(sq(x))))))
RULE1(ERF_INV, mul(g, mul(k(SQRT_PI / 2), f1(EXP, sq(r)))))
RULE1(LGAMMA, mul(g, f1(DIGAMMA, x)))
RULE1(DIGAMMA, mul(g, trigamma(c, x)))
RULE1(REAL, dtype_is_complex(x->type->dtype) ? as_complex(c, g) : g)
RULE1(IMAG, dtype_is_complex(x->type->dtype) ? complex_of(c, rule_full_like(c, g, 0), neg(g)) : NULL)

/* ---- two and three ---------------------------------------------------------------------------------------------- */

RULE2(ADD, g, g)
RULE2(SUB, g, neg(g))
RULE2(MUL, mul(g, y), mul(g, x))
RULE2(DIV, divide(g, y), neg(mul(g, divide(r, y))))
RULE2(REM, g, neg(mul(g, f1(ROUND_EVEN, divide(sub(x, r), y)))))
RULE2(POW, pow_grad_base(c, x, y, g), pow_grad_exponent(c, x, r, g))
RULE2(ATAN2, mul(g, divide(y, add(sq(x), sq(y)))), neg(mul(g, divide(x, add(sq(x), sq(y))))))
RULE2(NEXTAFTER, g, NULL)
RULE2(MAX, extreme_share(c, x, y, r, g), extreme_share(c, y, x, r, g))
RULE2(MIN, extreme_share(c, x, y, r, g), extreme_share(c, y, x, r, g))
RULE2(COMPLEX, f1(REAL, g), neg(f1(IMAG, g)))
RULE3(SELECT, NULL, pick(x, g, rule_full_like(c, y, 0)), pick(x, rule_full_like(c, y, 0), g))
RULE3(CLAMP, clamp_grad(c, n, g, 0), clamp_grad(c, n, g, 1), clamp_grad(c, n, g, 2))
RULE3(FMA, mul(g, y), mul(g, x), g)
