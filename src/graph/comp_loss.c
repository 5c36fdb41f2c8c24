/* comp_loss.c: losses, with torch.nn.functional's conventions.
 *
 * Elements are computed in f32 at least; a MEAN or SUM of narrow floats is rounded once, at the end. */
#include "graph/build.h"

/* The losses of all elements reduced as asked, in dtype `as`. */
static bool finish(tsr_ctx *c, tsr_node *l, tsr_loss how, tsr_dtype as, tsr_node **out, int *nout) {
    if (how == TSR_LOSS_MEAN) l = tsr_mean(c, l, 0, NULL, false);
    if (how == TSR_LOSS_SUM) l = tsr_sum(c, l, 0, NULL, false);
    out[0] = tsr_cast(c, l, as), *nout = 1;
    return !tsr_is_poison(out[0]);
}

static tsr_loss how_of(const struct attr *attr, int nattr) { return (tsr_loss)comp_int(attr, nattr, ATTR_MODE); }

/* ---- cross entropy ---- */

static bool check_labels(tsr_ctx *c, const tsr_node *z, const tsr_node *labels) {
    bool fits = z->type->rank >= 2 && labels->type->rank == z->type->rank - 1 && dtype_is_int(labels->type->dtype) &&
        dtype_is_float(z->type->dtype);
    for (int i = 0; fits && i < labels->type->rank; i++)
        fits = extent_require_equal(c, labels->type->extent[i], z->type->extent[i ? i + 1 : 0],
                                    "cross_entropy: logits %s, labels %s: axis %d of the labels",
                                    type_text(c, z->type), type_text(c, labels->type), i);
    if (!fits) err_set(c, TSR_EINVAL,
                       "cross_entropy: logits %s with labels %s; expected floats (N, C, ...) and integers (N, ...)",
                           type_text(c, z->type),
                       type_text(c, labels->type));
    return fits;
}

tsr_node *tsr_cross_entropy(tsr_ctx *c, tsr_node *logits, tsr_node *labels, double smoothing, int64_t ignore_index,
                            tsr_loss how) {
    tsr_node *in[2] = {logits, labels};
    if (build_bad(c, 2, in) || !check_labels(c, logits, labels)) return tsr_poison(c);
    if (!(smoothing >= 0 && smoothing <= 1)) return build_fail(c,
                                                               "cross_entropy: label smoothing of %g; it is in [0, 1]",
                                                                   smoothing);
    in[1] = tsr_cast(c, labels, TSR_I64);
    struct attr a[] = {attr_float(ATTR_ALPHA, smoothing), attr_int(ATTR_IGNORE, ignore_index),
        attr_int(ATTR_MODE, how)};
    return composite_one(c, COMP_cross_entropy, 2, in, 3, a);
}

/* z[label] is a masked sum over the classes: it fuses with the logsumexp beside it, and so does its gradient. */
static tsr_node *picked(tsr_ctx *c, tsr_node *z, tsr_node *labels) {
    int axis = 1;
    tsr_node *class = build_iota(c, TSR_I64, z->type->rank, z->type->extent, 1);
    tsr_node *here = tsr_eq(c, class, tsr_unsqueeze(c, labels, 1));
    return tsr_sum(c, tsr_where(c, here, z, tsr_num(c, z, 0)), 1, &axis, false);
}

bool comp_cross_entropy(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                        int *nout) {
    tsr_dtype as = in[0]->type->dtype;
    double s = comp_float(attr, nattr, ATTR_ALPHA);
    int64_t ignore = comp_int(attr, nattr, ATTR_IGNORE);
    int axis = 1;
    (void)n;
    tsr_node *z = tsr_cast(c, in[0], build_wide(as)), *lse = tsr_logsumexp(c, z, 1, false);
    tsr_node *loss = tsr_sub(c, lse, build_num2(c, TSR_S_MUL, picked(c, z, in[1]), 1 - s));
    if (s > 0) loss = tsr_sub(c, loss, build_num2(c, TSR_S_MUL, tsr_mean(c, z, 1, &axis, false), s));
    if (ignore == INT64_MIN) return finish(c, loss, how_of(attr, nattr), as, out, nout);
    tsr_node *counts = tsr_ne(c, in[1], tsr_scalar_int(c, TSR_I64, ignore));
    loss = tsr_where(c, counts, loss, tsr_num(c, loss, 0));
    if (how_of(attr, nattr) != TSR_LOSS_MEAN) return finish(c, loss, how_of(attr, nattr), as, out, nout);
    tsr_node *number = tsr_sum(c, tsr_cast(c, counts, build_wide(as)), 0, NULL, false);
    return finish(c, tsr_div(c, tsr_sum(c, loss, 0, NULL, false), number), TSR_LOSS_NONE, as, out, nout);
}

/* ---- losses of two tensors of one shape ---- */

static tsr_node *between(tsr_ctx *c, enum composite_id id, tsr_node *x, tsr_node *t, tsr_loss how, double alpha) {
    tsr_node *in[2] = {x, t};
    if (!build_meet(c, composites[id].name, 2, in)) return tsr_poison(c);
    for (int i = 0; i < 2; i++) in[i] = tsr_cast(c, in[i], build_float(in[i]->type->dtype));
    return composite_one(c, id, 2, in, 2, (struct attr[]){attr_float(ATTR_ALPHA, alpha), attr_int(ATTR_MODE, how)});
}

tsr_node *tsr_mse(tsr_ctx *c, tsr_node *x, tsr_node *target, tsr_loss how) { return between(c, COMP_mse, x, target, how,
        0); }
tsr_node *tsr_bce_logits(tsr_ctx *c, tsr_node *logits, tsr_node *target,
                         tsr_loss how) { return between(c, COMP_bce_logits, logits, target, how, 0); }
tsr_node *tsr_huber(tsr_ctx *c, tsr_node *x, tsr_node *target, double delta, tsr_loss how) {
    if (!(delta > 0)) return build_fail(c, "huber: delta is %g; it must be positive", delta);
    return between(c, COMP_huber, x, target, how, delta);
}

static tsr_node *difference(tsr_ctx *c, tsr_node *const *in) {
    tsr_dtype t = build_wide(in[0]->type->dtype);
    return tsr_sub(c, tsr_cast(c, in[0], t), tsr_cast(c, in[1], t));
}

bool comp_mse(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    (void)n;
    return finish(c, tsr_square(c, difference(c, in)), how_of(attr, nattr), in[0]->type->dtype, out, nout);
}

bool comp_huber(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    double delta = comp_float(attr, nattr, ATTR_ALPHA);
    (void)n;
    tsr_node *d = difference(c, in), *a = tsr_abs(c, d);
    tsr_node *near = build_num2(c, TSR_S_MUL, tsr_square(c, d), 0.5);
    tsr_node *far = build_num2(c, TSR_S_MUL, build_num2(c, TSR_S_SUB, a, delta / 2), delta);
    return finish(c, tsr_where(c, build_num2(c, TSR_S_LE, a, delta), near, far), how_of(attr, nattr),
                  in[0]->type->dtype, out, nout);
}

bool comp_bce_logits(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                     int *nout) {
    tsr_dtype t = build_wide(in[0]->type->dtype);
    (void)n;
    tsr_node *z = tsr_cast(c, in[0], t), *loss = tsr_sub(c, tsr_softplus(c, z), tsr_mul(c, z, tsr_cast(c, in[1], t)));
    return finish(c, loss, how_of(attr, nattr), in[0]->type->dtype, out, nout);
}
