/* import_chlo_complex.c: chlo._asin_acos_kernel, what asin, acos, asinh and acosh of complex numbers have in common.
 *
 * w(z) of Hull, Fairgrieve, Tang, "Implementing the complex arcsine and arccosine functions using exception handling",
 * 1997. With a = |Re z|, b = |Im z|, r = |a + 1 + i b|, s = |a - 1 + i b|, A = (r + s) / 2:
 *     w = sqrt(A^2 - a^2) + i log(A + sqrt(A^2 - 1))
 * A - a and A - 1 are formed without cancellation. All in f64 on real and imaginary parts; c64 results are rounded
 * once, c128 ones are good to some units in the last place except where squares over- or underflow. */
#include <math.h>

#include "formats/stablehlo/import_body.h"
#include "formats/stablehlo/import_chlo.h"
#include "tessera/ops.h"

/* ---- vocabulary: real tensors in f64 ---------------------------------------------------------------------------- */

struct parts { tsr_node *x, *y; };

static struct parts parts_of(tsr_ctx *c, tsr_node *z) {
    return (struct parts){imp_as(c, tsr_prim1(c, TSR_S_REAL, z), TSR_F64),
                          imp_as(c, tsr_prim1(c, TSR_S_IMAG, z), TSR_F64)};
}

/* x + i y in like's dtype. */
static tsr_node *joined(tsr_ctx *c, const tsr_node *like, tsr_node *x, tsr_node *y) {
    if (tsr_is_poison(like)) return tsr_poison(c);
    tsr_dtype t = tsr_node_dtype(like) == TSR_C64 ? TSR_F32 : TSR_F64;
    return tsr_prim2(c, TSR_S_COMPLEX, imp_as(c, x, t), imp_as(c, y, t));
}

static tsr_node *num(tsr_ctx *c, double v, const tsr_node *like) {
    return imp_spread(c, tsr_scalar_float(c, TSR_F64, v), like);
}
static tsr_node *add(tsr_ctx *c, tsr_node *x, tsr_node *y) { return tsr_prim2(c, TSR_S_ADD, x, y); }
static tsr_node *sub(tsr_ctx *c, tsr_node *x, tsr_node *y) { return tsr_prim2(c, TSR_S_SUB, x, y); }
static tsr_node *mul(tsr_ctx *c, tsr_node *x, tsr_node *y) { return tsr_prim2(c, TSR_S_MUL, x, y); }
static tsr_node *quo(tsr_ctx *c, tsr_node *x, tsr_node *y) { return tsr_prim2(c, TSR_S_DIV, x, y); }
static tsr_node *root(tsr_ctx *c, tsr_node *x) { return tsr_prim1(c, TSR_S_SQRT, x); }
static tsr_node *times(tsr_ctx *c, double v, tsr_node *x) { return mul(c, num(c, v, x), x); }
static tsr_node *pick(tsr_ctx *c, tsr_node *p, tsr_node *x, tsr_node *y) {
    return tsr_prim3(c, TSR_S_SELECT, p, x, y);
}
static tsr_node *less(tsr_ctx *c, tsr_node *x, double v) { return tsr_prim2(c, TSR_S_LT, x, num(c, v, x)); }

/* sqrt(x^2 + y^2) for x, y >= 0, scaled by the greater. */
static tsr_node *hypotenuse(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    tsr_node *big = tsr_prim2(c, TSR_S_MAX, x, y), *small = tsr_prim2(c, TSR_S_MIN, x, y);
    tsr_node *none = tsr_prim2(c, TSR_S_EQ, big, num(c, 0, big));
    tsr_node *q = quo(c, small, pick(c, none, num(c, 1, big), big));
    tsr_node *even = tsr_prim2(c, TSR_S_EQ, big, small); /* also for two infinities */
    q = pick(c, even, num(c, 1, big), q);
    return mul(c, big, root(c, add(c, num(c, 1, q), mul(c, q, q))));
}

/* ---- the kernel of asin and acos -------------------------------------------------------------------------------- */

static struct parts kernel(tsr_ctx *c, struct parts z) {
    tsr_node *a = tsr_prim1(c, TSR_S_ABS, z.x), *b = tsr_prim1(c, TSR_S_ABS, z.y), *one = num(c, 1, a);
    tsr_node *a1 = add(c, a, one), *d = sub(c, a, one), *bb = mul(c, b, b), *inner = less(c, a, 1);
    tsr_node *gap = tsr_prim1(c, TSR_S_ABS, d); /* |a - 1| */
    tsr_node *r = hypotenuse(c, a1, b), *s = hypotenuse(c, gap, b), *big = times(c, 0.5, add(c, r, s));
    tsr_node *ra = add(c, r, a1), *sg = add(c, s, gap);
    tsr_node *still = tsr_prim2(c, TSR_S_EQ, sg, num(c, 0, sg)); /* z = 1: b = 0 and s = 0 */
    tsr_node *far = quo(c, bb, ra), *near = quo(c, bb, pick(c, still, one, sg));
    /* A - a = (b^2 / (r + a + 1) + (s + 1 - a)) / 2, where s + 1 - a = b^2 / (s + a - 1) for a > 1 */
    tsr_node *minus_a = times(c, 0.5, add(c, far, pick(c, inner, sg, near)));
    /* A - 1 likewise, where s + a - 1 = b^2 / (s + 1 - a) for a < 1 */
    tsr_node *minus_1 = times(c, 0.5, add(c, far, pick(c, inner, near, sg)));
    tsr_node *re = root(c, mul(c, minus_a, add(c, big, a)));
    tsr_node *im = tsr_prim1(c, TSR_S_LOG1P, add(c, minus_1, root(c, mul(c, minus_1, add(c, big, one)))));
    /* past 1e150 squares overflow: w = b + i (log 2 + log |z|) */
    tsr_node *size = hypotenuse(c, a, b), *huge = tsr_prim2(c, TSR_S_GT, size, num(c, 1e150, size));
    tsr_node *log2z = add(c, tsr_prim1(c, TSR_S_LOG, size), num(c, 0.69314718055994530942, size));
    return (struct parts){pick(c, huge, b, re), pick(c, huge, log2z, im)};
}

tsr_node *imp_complex_asin_acos_kernel(tsr_ctx *c, tsr_node *z) {
    struct parts w = kernel(c, parts_of(c, z));
    return joined(c, z, w.x, w.y);
}
