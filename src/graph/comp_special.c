/* comp_special.c: functions that StableHLO and CHLO have and scalar.h has not, said by those it has: reduce_precision,
 * the scaled modified Bessel functions of order 0 and 1, Hurwitz's zeta, polygamma.
 *
 * reduce_precision works on the bits: the dropped digits are rounded to even by an integer addition whose carry runs
 * into the exponent; then exponents outside of the narrower range become infinity or a zero of the same sign. The
 * format has no subnormal numbers (its least magnitude is normal), as in StableHLO's compilers; where it keeps the
 * whole exponent the subnormal numbers of the operand stay. NaN stays NaN while there is a digit to say so, and
 * becomes infinity when there is none.
 *
 * The others compute in f64 and round once. i0e, i1e: sums of Chebyshev polynomials (Clenshaw 1955) in x/4 - 1 up to
 * |x| = 8 and in 16/|x| - 1 above; the coefficients are those of the interpolant in 64 nodes, computed with 60 digits.
 * zeta: Euler and Maclaurin's sum (Abramowitz and Stegun 23.1.30 with 25.11 of the DLMF) with HEAD terms before it.
 * polygamma(n, x) = (-1)^(n+1) n! zeta(n + 1, x), digamma for n = 0 (DLMF 25.11.12). */
#include "graph/build.h"

#define f1(NAME, a) tsr_prim1(c, TSR_S_##NAME, (a))
#define f2(NAME, a, b) tsr_prim2(c, TSR_S_##NAME, (a), (b))
#define num2(NAME, a, v) build_num2(c, TSR_S_##NAME, (a), (v))
#define pick(p, a, b) tsr_prim3(c, TSR_S_SELECT, (p), (a), (b))
#define like(a, v) rule_full_like(c, (a), (v))

static bool finish(tsr_ctx *c, tsr_node *y, tsr_dtype as, tsr_node **out, int *nout) {
    out[0] = tsr_cast(c, y, as), *nout = 1;
    return !tsr_is_poison(out[0]);
}

/* ---- reduce_precision ------------------------------------------------------------------------------------------- */

/* The fields of a float as an integer of its width: sign, exponent, mantissa. */
struct fields {
    tsr_dtype bits;
    int exponent, mantissa;
};

static struct fields fields_of(tsr_dtype t) {
    switch (t) {
    case TSR_F64: return (struct fields){TSR_U64, 11, 52};
    case TSR_F32: return (struct fields){TSR_U32, 8, 23};
    case TSR_BF16: return (struct fields){TSR_U16, 8, 7};
    default: return (struct fields){TSR_U16, 5, 10};
    }
}

/* fn(u, v) with v an exact integer */
static tsr_node *bits2(tsr_ctx *c, tsr_scalar fn, tsr_node *u, uint64_t v) {
    if (tsr_is_poison(u)) return tsr_poison(c);
    return tsr_prim2(c, fn, u, tsr_prim_broadcast(c, tsr_scalar_int(c, u->type->dtype, (int64_t)v), u->type, NULL));
}

static tsr_node *round_mantissa(tsr_ctx *c, tsr_node *u, int dropped) {
    tsr_node *odd = bits2(c, TSR_S_AND, bits2(c, TSR_S_SHR_LOGICAL, u, (uint64_t)dropped), 1);
    u = f2(ADD, bits2(c, TSR_S_ADD, u, ((uint64_t)1 << (dropped - 1)) - 1), odd);
    return bits2(c, TSR_S_AND, u, ~(uint64_t)0 << dropped);
}

static tsr_node *limit_exponent(tsr_ctx *c, tsr_node *u, struct fields f, int exponent) {
    uint64_t bias = ((uint64_t)1 << (f.exponent - 1)) - 1, range = ((uint64_t)1 << (exponent - 1)) - 1;
    uint64_t sign = (uint64_t)1 << (f.mantissa + f.exponent), infinity = sign - ((uint64_t)1 << f.mantissa);
    tsr_node *s = bits2(c, TSR_S_AND, u, sign), *magnitude = bits2(c, TSR_S_AND, u, sign - 1);
    tsr_node *over = bits2(c, TSR_S_GE, magnitude, (bias + range + 1) << f.mantissa);
    tsr_node *under = bits2(c, TSR_S_LT, magnitude, (bias - range + 1) << f.mantissa);
    return pick(over, bits2(c, TSR_S_OR, s, infinity), pick(under, s, u));
}

bool comp_reduce_precision(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                           int *nout) {
    tsr_dtype as = in[0]->type->dtype, t = tsr_dtype_of(as)->bits == 8 ? TSR_F16 : as;
    int exponent = (int)comp_int(attr, nattr, ATTR_EXPONENT), mantissa = (int)comp_int(attr, nattr, ATTR_MANTISSA);
    int own = as == TSR_F8E4M3 ? 4 : fields_of(t).exponent;
    struct fields f = fields_of(t);
    tsr_node *x = tsr_cast(c, in[0], t), *u = tsr_prim_bitcast(c, x, f.bits);
    (void)n;
    if (mantissa < f.mantissa) u = round_mantissa(c, u, f.mantissa - mantissa);
    if (exponent < own) u = limit_exponent(c, u, f, exponent);
    tsr_node *lost = mantissa > 0 ? x : like(x, INFINITY);
    return finish(c, pick(f2(NE, x, x), lost, tsr_prim_bitcast(c, u, t)), as, out, nout);
}

/* The rounding counts as the identity that it nearly is; the cotangent is held in the same format. */
bool comp_reduce_precision_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    const tsr_fn *f = n->fn[0];
    (void)want;
    gsrc[0] = tsr_reduce_precision(c, gout[0], (int)comp_int(f->attr, f->nattr, ATTR_EXPONENT),
        (int)comp_int(f->attr, f->nattr, ATTR_MANTISSA));
    return !tsr_is_poison(gsrc[0]);
}

tsr_node *tsr_reduce_precision(tsr_ctx *c, tsr_node *x, int exponent_bits, int mantissa_bits) {
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    if (!dtype_is_float(x->type->dtype))
        return build_fail(c, "reduce_precision: the operand is %s; it takes floats", type_text(c, x->type));
    if (exponent_bits < 1 || mantissa_bits < 0)
        return build_fail(c, "reduce_precision to %d exponent bits and %d mantissa bits: at least 1 and 0 are needed",
            exponent_bits, mantissa_bits);
    struct attr attr[] = {attr_int(ATTR_EXPONENT, exponent_bits), attr_int(ATTR_MANTISSA, mantissa_bits)};
    return composite_one(c, COMP_reduce_precision, 1, &x, 2, attr);
}

/* ---- Bessel functions ------------------------------------------------------------------------------------------- */

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

/* e^-x I0(x) for 0 <= x <= 8, and sqrt(x) e^-x I0(x) above; the same for I1(x) / x and I1(x). */
static const double i0_near[] = {0.33839763720473803, -0.3046826723431984, 0.17162090152220877, -0.094901097048047639,
    0.049305284239670712, -0.023737414805899471, 0.010546460394594998, -0.0043243099950505759, 0.0016394756169413357,
    -0.00057637557453858236, 0.00018850288509584165, -5.754195010082104e-05, 1.6448448070728896e-05,
    -4.4167383584587505e-06, 1.1173875391201037e-06, -2.6707938539406119e-07, 6.0469950225419186e-08,
    -1.300025009986248e-08, 2.6598237246823866e-09, -5.1897956016352627e-10, 9.675809035373237e-11,
    -1.7268262914415559e-11, 2.9550526631296399e-12, -4.856446783111929e-13, 7.6761854986049361e-14,
    -1.1685332877993451e-14, 1.7153912855551331e-15, -2.4312798465479549e-16, 3.3307945188222384e-17,
    -4.4153416464793395e-18};
static const double i0_far[] = {0.40224520550705439, 0.0033691164782556943, 6.8897583469168245e-05,
    2.8913705208347567e-06, 2.0489185894690638e-07, 2.266668990498178e-08, 3.3962320257083865e-09,
    4.9406023882249701e-10, 1.1889147107846439e-11, -3.1499165279632416e-11, -1.3215811840447713e-11,
    -1.7941785315068062e-12, 7.180124451383666e-13, 3.8527783827421426e-13, 1.54008621752141e-14,
    -4.1505693472872222e-14, -9.5548466988283073e-15, 3.8116806693526224e-15, 1.7725601330565263e-15,
    -3.425485619677219e-16, -2.8276239805165836e-16, 3.4612228676974612e-17, 4.4656214202967598e-17,
    -4.8305044859441819e-18, -7.2331804878747538e-18};
static const double i1_near[] = {0.12629359322181682, -0.17641651835783406, 0.10264365868984709,
    -0.052945981208094989, 0.024726449030626516, -0.010564084894626197, 0.0041564229443128882, -0.0015135724506312532,
    0.00051228595616857576, -0.00016176081582589674, 4.7815651075500542e-05, -1.3273163656039436e-05,
    3.4702513081376785e-06, -8.5687202646954547e-07, 2.0032947535521353e-07, -4.4450591287963281e-08,
    9.3815373864957726e-09, -1.8872497517228294e-09, 3.6255902815521172e-10, -6.6634897235020271e-11,
    1.1736186298890901e-11, -1.9839743977649436e-12, 3.2237933659455748e-13, -5.0421855047279118e-14,
    7.6006842947354077e-15, -1.1055969477353862e-15, 1.5536319577362005e-16, -2.111421214358166e-17,
    2.7779141127610464e-18};
static const double i1_far[] = {0.38928811750914005, -0.0097610974913614687, -0.00011058893876262371,
    -3.8825648088776906e-06, -2.5122362378702088e-07, -2.6314688468895196e-08, -3.835380385964237e-09,
    -5.5897434621965838e-10, -1.8974958123505413e-11, 3.2526035830154884e-11, 1.4125807436613782e-11,
    2.0356285441470896e-12, -7.1985517762459084e-13, -4.0835511110921974e-13, -2.1015418427726643e-14,
    4.272440016711951e-14, 1.0420276984128802e-14, -3.8144030724370075e-15, -1.8803547755107825e-15,
    3.3082023109209285e-16, 2.9626289976459501e-16, -3.2095259219934238e-17, -4.6503053684893586e-17,
    4.4143483230717077e-18, 7.5172963108421052e-18};

/* Sum of a[k] T_k(t). */
static tsr_node *chebyshev(tsr_ctx *c, tsr_node *t, const double *a, int n) {
    tsr_node *b1 = like(t, a[n - 1]), *b2 = like(t, 0), *twice = num2(MUL, t, 2);
    for (int k = n - 2; k > 0; k--) {
        tsr_node *b = num2(ADD, f2(SUB, f2(MUL, twice, b1), b2), a[k]);
        b2 = b1, b1 = b;
    }
    return num2(ADD, f2(SUB, f2(MUL, t, b1), b2), a[0]);
}

/* near(|x|) up to 8, far(|x|) / sqrt |x| above; NaN and infinity go through the second. */
static tsr_node *two_ranges(tsr_ctx *c, tsr_node *a, tsr_node *near, tsr_node *far) {
    return pick(num2(LE, a, 8), near, f2(DIV, far, f1(SQRT, a)));
}
static tsr_node *near_at(tsr_ctx *c, tsr_node *a) { return num2(SUB, num2(MUL, num2(MIN, a, 8), 0.25), 1); }
static tsr_node *far_at(tsr_ctx *c, tsr_node *a) { return num2(SUB, f2(DIV, like(a, 16), num2(MAX, a, 8)), 1); }

bool comp_bessel_i0e(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                     int *nout) {
    tsr_node *a = f1(ABS, tsr_cast(c, in[0], TSR_F64));
    (void)n, (void)attr, (void)nattr;
    tsr_node *near = chebyshev(c, near_at(c, a), i0_near, LENGTH(i0_near));
    tsr_node *far = chebyshev(c, far_at(c, a), i0_far, LENGTH(i0_far));
    return finish(c, two_ranges(c, a, near, far), in[0]->type->dtype, out, nout);
}

bool comp_bessel_i1e(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                     int *nout) {
    tsr_node *x = tsr_cast(c, in[0], TSR_F64), *a = f1(ABS, x);
    (void)n, (void)attr, (void)nattr;
    tsr_node *near = f2(MUL, x, chebyshev(c, near_at(c, a), i1_near, LENGTH(i1_near)));
    tsr_node *far = f2(MUL, f1(SIGN, x), chebyshev(c, far_at(c, a), i1_far, LENGTH(i1_far)));
    return finish(c, two_ranges(c, a, near, far), in[0]->type->dtype, out, nout);
}

/* i0e' = i1e - sign(x) i0e */
bool comp_bessel_i0e_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_node *x = n->src[0];
    (void)want;
    gsrc[0] = f2(MUL, gout[0], f2(SUB, tsr_bessel_i1e(c, x), f2(MUL, f1(SIGN, x), tsr_bessel_i0e(c, x))));
    return !tsr_is_poison(gsrc[0]);
}

/* i1e' = i0e - i1e (sign(x) + 1/x), 1/2 at 0 */
bool comp_bessel_i1e_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_node *x = n->src[0], *zero = num2(EQ, x, 0), *safe = pick(zero, like(x, 1), x);
    tsr_node *slope = f2(ADD, f1(SIGN, safe), f2(DIV, like(x, 1), safe));
    (void)want;
    slope = f2(SUB, tsr_bessel_i0e(c, x), f2(MUL, tsr_bessel_i1e(c, safe), slope));
    gsrc[0] = f2(MUL, gout[0], pick(zero, like(x, 0.5), slope));
    return !tsr_is_poison(gsrc[0]);
}

/* One operand, integers as f32. */
static tsr_node *special(tsr_ctx *c, enum composite_id id, const char *what, int n, tsr_node **x) {
    if (!build_meet(c, what, n, x)) return tsr_poison(c);
    if (dtype_is_complex(x[0]->type->dtype))
        return build_fail(c, "%s is not defined for %s: it takes floats", what, type_text(c, x[0]->type));
    for (int i = 0; i < n; i++) x[i] = tsr_cast(c, x[i], build_float(x[i]->type->dtype));
    return composite_one(c, id, n, x, 0, NULL);
}
tsr_node *tsr_bessel_i0e(tsr_ctx *c, tsr_node *x) { return special(c, COMP_bessel_i0e, "bessel_i0e", 1, &x); }
tsr_node *tsr_bessel_i1e(tsr_ctx *c, tsr_node *x) { return special(c, COMP_bessel_i1e, "bessel_i1e", 1, &x); }

/* ---- zeta and polygamma ----------------------------------------------------------------------------------------- */

enum { HEAD = 16, TAIL = 10 };

/* a^-s (a / (s - 1) + 1/2 + sum of B_2j / (2j)! s (s + 1) ... (s + 2j - 2) a^(1 - 2j)) */
static tsr_node *zeta_tail(tsr_ctx *c, tsr_node *s, tsr_node *a) {
    static const double bernoulli[TAIL] = {1. / 6, -1. / 30, 1. / 42, -1. / 30, 5. / 66, -691. / 2730, 7. / 6,
        -3617. / 510, 43867. / 798, -174611. / 330};
    tsr_node *power = f2(POW, a, f1(NEG, s)), *factor = f2(DIV, s, a), *inverse2 = f2(DIV, like(a, 1), f2(MUL, a, a));
    tsr_node *sum = num2(ADD, f2(DIV, a, num2(SUB, s, 1)), 0.5);
    double factorial = 2;
    for (int j = 1; j <= TAIL; j++) {
        sum = f2(ADD, sum, num2(MUL, factor, bernoulli[j - 1] / factorial));
        tsr_node *next = f2(MUL, num2(ADD, s, 2 * j - 1), num2(ADD, s, 2 * j));
        factor = f2(MUL, factor, f2(MUL, next, inverse2));
        factorial *= (2 * j + 1) * (2 * j + 2);
    }
    return pick(num2(EQ, power, 0), power, f2(MUL, power, sum));
}

/* s = 1: infinity; s < 1: NaN; q at a pole: infinity; q below 0: defined for whole s, and while HEAD terms reach the
 * right side. */
static tsr_node *zeta_edges(tsr_ctx *c, tsr_node *s, tsr_node *q, tsr_node *y) {
    tsr_node *nan = like(y, NAN), *infinity = like(y, INFINITY), *left = num2(LT, q, 0);
    tsr_node *fraction = f2(NE, s, f1(FLOOR, s)), *far = num2(LT, q, 8 - HEAD);
    y = pick(f2(AND, left, f2(OR, fraction, far)), nan, y);
    y = pick(f2(AND, num2(LE, q, 0), f2(EQ, q, f1(FLOOR, q))), infinity, y);
    y = pick(num2(EQ, s, 1), infinity, y);
    y = pick(num2(LT, s, 1), nan, y);
    return pick(f2(OR, f2(NE, s, s), f2(NE, q, q)), nan, y);
}

bool comp_zeta(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    tsr_node *s = tsr_cast(c, in[0], TSR_F64), *q = tsr_cast(c, in[1], TSR_F64), *minus = f1(NEG, s);
    tsr_node *sum = zeta_tail(c, s, num2(ADD, q, HEAD));
    (void)n, (void)attr, (void)nattr;
    for (int k = HEAD - 1; k >= 0; k--) sum = f2(ADD, sum, f2(POW, num2(ADD, q, k), minus)); /* small ones first */
    return finish(c, zeta_edges(c, s, q, sum), in[0]->type->dtype, out, nout);
}

/* d/dq zeta(s, q) = -s zeta(s + 1, q); d/ds has no closed form, and is refused as NaN would mislead. */
bool comp_zeta_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_node *s = n->src[0], *q = n->src[1];
    if (want[0]) {
        build_fail(c, "zeta(s, q): there is no gradient in s; put tsr_stop_gradient around s");
        return false;
    }
    gsrc[0] = NULL;
    gsrc[1] = want[1] ? f2(MUL, gout[0], f2(MUL, f1(NEG, s), tsr_zeta(c, num2(ADD, s, 1), q))) : NULL;
    return true;
}

bool comp_polygamma(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                    int *nout) {
    tsr_node *order = tsr_cast(c, in[0], TSR_F64), *x = tsr_cast(c, in[1], TSR_F64), *s = num2(ADD, order, 1);
    (void)n, (void)attr, (void)nattr;
    tsr_node *odd = num2(NE, num2(REM, order, 2), 0), *size = f2(MUL, f1(EXP, f1(LGAMMA, s)), tsr_zeta(c, s, x));
    tsr_node *whole = f2(AND, num2(GE, order, 0), f2(EQ, order, f1(FLOOR, order)));
    tsr_node *y = pick(num2(EQ, order, 0), f1(DIGAMMA, x), pick(odd, size, f1(NEG, size)));
    return finish(c, pick(whole, y, like(y, NAN)), in[0]->type->dtype, out, nout);
}

/* d/dx polygamma(n, x) = polygamma(n + 1, x); n counts. */
bool comp_polygamma_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    gsrc[0] = NULL;
    gsrc[1] = want[1] ? f2(MUL, gout[0], tsr_polygamma(c, num2(ADD, n->src[0], 1), n->src[1])) : NULL;
    return true;
}

tsr_node *tsr_zeta(tsr_ctx *c, tsr_node *s, tsr_node *q) {
    tsr_node *in[2] = {s, q};
    return special(c, COMP_zeta, "zeta", 2, in);
}
tsr_node *tsr_polygamma(tsr_ctx *c, tsr_node *order, tsr_node *x) {
    tsr_node *in[2] = {order, x};
    return special(c, COMP_polygamma, "polygamma", 2, in);
}
