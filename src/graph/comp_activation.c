/* comp_activation.c: activations and the softmax family.
 *
 * Narrow floats are computed in f32 and rounded once, softmax subtracts the greatest element, softplus never
 * exponentiates a positive number. Rules of their own: relu (0 at 0, as PyTorch's), softplus, and the softmaxes, whose
 * gradients are written with their results. */
#include "graph/build.h"

/* x in the dtype the body computes in; *as: the dtype of the result. */
static tsr_node *widen(tsr_ctx *c, tsr_node *x, tsr_dtype *as) {
    *as = x->type->dtype;
    return tsr_cast(c, x, build_wide(x->type->dtype));
}

static bool one(tsr_ctx *c, tsr_node *y, tsr_dtype as, tsr_node **out, int *nout) {
    out[0] = tsr_cast(c, y, as), *nout = 1;
    return !tsr_is_poison(out[0]);
}

static tsr_node *activate(tsr_ctx *c, enum composite_id id, tsr_node *x, int nattr, const struct attr *attr) {
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    x = tsr_cast(c, x, build_float(x->type->dtype));
    return composite_one(c, id, 1, &x, nattr, attr);
}

tsr_node *tsr_relu(tsr_ctx *c, tsr_node *x) { return composite_one(c, COMP_relu, 1, &x, 0, NULL); }
tsr_node *tsr_gelu(tsr_ctx *c, tsr_node *x, bool tanh_form) {
    return activate(c, COMP_gelu, x, 1, (struct attr[]){attr_int(ATTR_MODE, tanh_form)});
}
tsr_node *tsr_silu(tsr_ctx *c, tsr_node *x) { return activate(c, COMP_silu, x, 0, NULL); }
tsr_node *tsr_softplus(tsr_ctx *c, tsr_node *x) { return activate(c, COMP_softplus, x, 0, NULL); }
tsr_node *tsr_leaky_relu(tsr_ctx *c, tsr_node *x, double slope) {
    return activate(c, COMP_leaky_relu, x, 1, (struct attr[]){attr_float(ATTR_ALPHA, slope)});
}
tsr_node *tsr_elu(tsr_ctx *c, tsr_node *x, double alpha) {
    return activate(c, COMP_elu, x, 1, (struct attr[]){attr_float(ATTR_ALPHA, alpha)});
}

bool comp_relu(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    (void)n, (void)attr, (void)nattr;
    return one(c, build_num2(c, TSR_S_MAX, in[0], 0), in[0]->type->dtype, out, nout);
}

bool comp_relu_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    (void)want;
    gsrc[0] = tsr_prim3(c, TSR_S_SELECT, build_num2(c, TSR_S_GT, n->src[0], 0), gout[0], rule_full_like(c, gout[0], 0));
    return !tsr_is_poison(gsrc[0]);
}

bool comp_gelu(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    tsr_dtype as;
    tsr_node *x = widen(c, in[0], &as), *gate;
    (void)n;
    if (comp_int(attr, nattr, ATTR_MODE)) {
        tsr_node *cube = tsr_mul(c, tsr_mul(c, x, x), x),
            *poly = tsr_add(c, x, build_num2(c, TSR_S_MUL, cube, 0.044715));
        gate = tsr_tanh(c, build_num2(c, TSR_S_MUL, poly, 0.7978845608028654));
    } else {
        gate = tsr_erf(c, build_num2(c, TSR_S_MUL, x, 0.7071067811865476));
    }
    tsr_node *half = build_num2(c, TSR_S_MUL, x, 0.5);
    return one(c, tsr_mul(c, half, build_num2(c, TSR_S_ADD, gate, 1)), as, out, nout);
}

bool comp_silu(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    tsr_dtype as;
    tsr_node *x = widen(c, in[0], &as);
    (void)n, (void)attr, (void)nattr;
    return one(c, tsr_mul(c, x, tsr_sigmoid(c, x)), as, out, nout);
}

bool comp_softplus(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                   int *nout) {
    tsr_dtype as;
    tsr_node *x = widen(c, in[0], &as);
    (void)n, (void)attr, (void)nattr;
    tsr_node *tail = tsr_log1p(c, tsr_exp(c, tsr_neg(c, tsr_abs(c, x))));
    return one(c, tsr_add(c, build_num2(c, TSR_S_MAX, x, 0), tail), as, out, nout);
}

bool comp_softplus_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    (void)want;
    gsrc[0] = tsr_mul(c, gout[0], tsr_sigmoid(c, n->src[0]));
    return !tsr_is_poison(gsrc[0]);
}

static tsr_node *positive(tsr_ctx *c, tsr_node *x, tsr_node *otherwise) {
    return tsr_where(c, build_num2(c, TSR_S_GT, x, 0), x, otherwise);
}

bool comp_leaky_relu(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                     int *nout) {
    (void)n;
    return one(c, positive(c, in[0], build_num2(c, TSR_S_MUL, in[0], comp_float(attr, nattr, ATTR_ALPHA))),
               in[0]->type->dtype, out, nout);
}

/* The negative branch sees min(x, 0), so that neither it nor its gradient overflows where it is not taken. */
bool comp_elu(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    tsr_dtype as;
    tsr_node *x = widen(c, in[0], &as);
    (void)n;
    tsr_node *low = tsr_where(c, build_num2(c, TSR_S_GT, x, 0), rule_full_like(c, x, 0), x);
    return one(c, positive(c, x, build_num2(c, TSR_S_MUL, tsr_expm1(c, low), comp_float(attr, nattr, ATTR_ALPHA))), as,
               out, nout);
}

/* ---- softmax, log_softmax, logsumexp ---- */

static tsr_node *along(tsr_ctx *c, enum composite_id id, const char *what, tsr_node *x, int axis) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, what, x, axis)) < 0) return tsr_poison(c);
    return activate(c, id, x, 1, (struct attr[]){attr_int(ATTR_AXIS, axis)});
}

tsr_node *tsr_softmax(tsr_ctx *c, tsr_node *x, int axis) { return along(c, COMP_softmax, "softmax", x, axis); }
tsr_node *tsr_log_softmax(tsr_ctx *c, tsr_node *x, int axis) { return along(c, COMP_log_softmax, "log_softmax", x,
        axis); }
tsr_node *tsr_logsumexp(tsr_ctx *c, tsr_node *x, int axis, bool keepdims) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "logsumexp", x, axis)) < 0) return tsr_poison(c);
    tsr_node *y = along(c, COMP_logsumexp, "logsumexp", x, axis);
    return keepdims ? y : tsr_squeeze(c, y, axis);
}

static int axis_of(const struct attr *attr, int nattr) { return (int)comp_int(attr, nattr, ATTR_AXIS); }

/* The greatest element, kept as an axis of 1: a constant for the gradient, as it cancels. */
static tsr_node *greatest(tsr_ctx *c, tsr_node *x, int axis) { return tsr_stop_gradient(c,
        tsr_max(c, x, 1, &axis, true)); }

bool comp_softmax(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                  int *nout) {
    tsr_dtype as;
    int axis = axis_of(attr, nattr);
    tsr_node *x = widen(c, in[0], &as), *e = tsr_exp(c, tsr_sub(c, x, greatest(c, x, axis)));
    (void)n;
    return one(c, tsr_div(c, e, tsr_sum(c, e, 1, &axis, true)), as, out, nout);
}

/* ln sum e^x along axis, kept; infinite maxima are subtracted as 0, so that a row of -inf gives -inf and +inf gives
 * +inf. */
static tsr_node *lse(tsr_ctx *c, tsr_node *x, int axis) {
    tsr_node *m = greatest(c, x, axis), *safe = tsr_where(c, tsr_is_finite(c, m), m, tsr_num(c, m, 0));
    return tsr_add(c, tsr_log(c, tsr_sum(c, tsr_exp(c, tsr_sub(c, x, safe)), 1, &axis, true)), safe);
}

bool comp_log_softmax(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                      int *nout) {
    tsr_dtype as;
    int axis = axis_of(attr, nattr);
    tsr_node *x = widen(c, in[0], &as), *off = tsr_sub(c, x, greatest(c, x, axis));
    (void)n;
    return one(c, tsr_sub(c, off, tsr_log(c, tsr_sum(c, tsr_exp(c, off), 1, &axis, true))), as, out, nout);
}

bool comp_logsumexp(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                    int *nout) {
    tsr_dtype as;
    tsr_node *x = widen(c, in[0], &as);
    (void)n;
    return one(c, lse(c, x, axis_of(attr, nattr)), as, out, nout);
}

/* The three gradients, in the wide dtype: y (g - sum(g y)), g - e^y sum g, g e^(x - y). */
static bool finish(tsr_ctx *c, tsr_node *n, tsr_node *dx, tsr_node **gsrc) {
    gsrc[0] = tsr_cast(c, dx, n->src[0]->type->dtype);
    return !tsr_is_poison(gsrc[0]);
}

static tsr_node *result_of(tsr_ctx *c, tsr_node *n) { return n->type->kind == TSR_TUPLE ? tsr_item(c, n, 0) : n; }

bool comp_softmax_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    int axis = axis_of(n->fn[0]->attr, n->fn[0]->nattr);
    tsr_dtype as;
    tsr_node *y = widen(c, result_of(c, n), &as), *g = widen(c, gout[0], &as);
    (void)want;
    return finish(c, n, tsr_mul(c, y, tsr_sub(c, g, tsr_sum(c, tsr_mul(c, g, y), 1, &axis, true))), gsrc);
}

bool comp_log_softmax_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    int axis = axis_of(n->fn[0]->attr, n->fn[0]->nattr);
    tsr_dtype as;
    tsr_node *y = widen(c, result_of(c, n), &as), *g = widen(c, gout[0], &as);
    (void)want;
    return finish(c, n, tsr_sub(c, g, tsr_mul(c, tsr_exp(c, y), tsr_sum(c, g, 1, &axis, true))), gsrc);
}

/* x - y where both are -inf would be NaN: y is taken as 0 there, and e^-inf is the right weight. */
bool comp_logsumexp_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_dtype as;
    tsr_node *y = widen(c, result_of(c, n), &as), *g = widen(c, gout[0], &as), *x = widen(c, n->src[0], &as);
    (void)want;
    tsr_node *safe = tsr_where(c, tsr_eq(c, y, tsr_num(c, y, -INFINITY)), tsr_num(c, y, 0), y);
    return finish(c, n, tsr_mul(c, g, tsr_exp(c, tsr_sub(c, x, safe))), gsrc);
}
