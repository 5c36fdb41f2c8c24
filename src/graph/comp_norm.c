/* comp_norm.c: normalisations and dropout.
 *
 * Statistics of narrow floats are in f32, two passes (mean, then mean of squares about it), and the result is rounded
 * once. Optional operands: a bit of FLAGS each, weight first; those there are follow x in order. */
#include "graph/build.h"

enum { HAS_WEIGHT = 1, HAS_BIAS = 2 };

/* x and those of the optional operands that are there. */
static int gather_operands(tsr_node *x, tsr_node *weight, tsr_node *bias, tsr_node **in, int64_t *flags) {
    int n = 0;
    in[n++] = x;
    if (weight) in[n++] = weight;
    if (bias) in[n++] = bias;
    *flags = (weight ? HAS_WEIGHT : 0) | (bias ? HAS_BIAS : 0);
    return n;
}

/* y * weight + bias, rounded to dtype; shape: how weight and bias are viewed (rank, extents), aligned at the right. */
static tsr_node *affine(tsr_ctx *c, tsr_node *y, tsr_node *const *in, int first, const struct attr *attr, int nattr,
                        const tsr_type *shape, tsr_dtype as) {
    int64_t flags = comp_int(attr, nattr, ATTR_FLAGS);
    for (int64_t bit = HAS_WEIGHT; bit <= HAS_BIAS; bit <<= 1) {
        if (!(flags & bit)) continue;
        tsr_node *w = tsr_cast(c, in[first++], tsr_is_poison(y) ? TSR_F32 : y->type->dtype);
        if (shape) w = tsr_reshape_extents(c, w, shape->rank, shape->extent);
        y = bit == HAS_WEIGHT ? tsr_mul(c, y, w) : tsr_add(c, y, w);
    }
    return tsr_cast(c, y, as);
}

/* (x - mean) / sqrt(var + eps) over axes. */
static tsr_node *standardise(tsr_ctx *c, tsr_node *x, int n, const int *axes, double eps) {
    tsr_node *off = tsr_sub(c, x, tsr_mean(c, x, n, axes, true));
    tsr_node *var = tsr_mean(c, tsr_square(c, off), n, axes, true);
    return tsr_mul(c, off, tsr_rsqrt(c, build_num2(c, TSR_S_ADD, var, eps)));
}

static bool one(tsr_node *y, tsr_node **out, int *nout) {
    out[0] = y, *nout = 1;
    return !tsr_is_poison(y);
}

/* Must weight (and bias) have just these extents? */
static bool check_param(tsr_ctx *c, const char *what, const char *name, const tsr_node *w, const tsr_node *x, int first,
                        int count) {
    if (!w || tsr_is_poison(w)) return !w;
    bool fits = w->type->kind == TSR_TENSOR && w->type->rank == count;
    for (int i = 0; fits && i < count; i++)
        fits = extent_require_equal(c, w->type->extent[i], x->type->extent[first + i],
                                    "%s: axis %d of the %s is %s, of x (%s) it is %s", what, i, name,
                                    extent_text(c, w->type->extent[i]), type_text(c, x->type),
                                        extent_text(c, x->type->extent[first + i]));
    if (!fits) err_set(c, TSR_EINVAL, "%s: the %s is %s; it must have the %d axes from axis %d on of x, %s", what, name,
                       type_text(c, w->type), count, first,
                       type_text(c, x->type));
    return fits;
}

/* ---- layer and rms norm ---- */

tsr_node *tsr_layer_norm(tsr_ctx *c, tsr_node *x, int naxes, tsr_node *weight, tsr_node *bias, double eps) {
    tsr_node *in[3];
    int64_t flags;
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    int first = x->type->rank - naxes;
    if (naxes < 1 || first < 0) return build_fail(c, "layer_norm: over the last %d axes of %s", naxes,
                                                  type_text(c, x->type));
    if (!check_param(c, "layer_norm", "weight", weight, x, first, naxes) || !check_param(c, "layer_norm", "bias", bias,
            x, first, naxes)) return tsr_poison(c);
    int n = gather_operands(x, weight, bias, in, &flags);
    return composite_one(c, COMP_layer_norm, n, in, 3, (struct attr[]){attr_int(ATTR_AXIS, first),
        attr_int(ATTR_FLAGS, flags), attr_float(ATTR_EPSILON, eps)});
}

bool comp_layer_norm(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                     int *nout) {
    tsr_dtype as = in[0]->type->dtype;
    int axes[TSR_MAX_RANK], k = 0;
    (void)n;
    for (int i = (int)comp_int(attr, nattr, ATTR_AXIS); i < in[0]->type->rank; i++) axes[k++] = i;
    tsr_node *y = standardise(c, tsr_cast(c, in[0], build_wide(as)), k, axes, comp_float(attr, nattr, ATTR_EPSILON));
    return one(affine(c, y, in, 1, attr, nattr, NULL, as), out, nout);
}

tsr_node *tsr_rms_norm(tsr_ctx *c, tsr_node *x, tsr_node *weight, double eps) {
    tsr_node *in[3];
    int64_t flags;
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    if (x->type->rank < 1) return build_fail(c, "rms_norm: of a scalar");
    if (!check_param(c, "rms_norm", "weight", weight, x, x->type->rank - 1, 1)) return tsr_poison(c);
    int n = gather_operands(x, weight, NULL, in, &flags);
    return composite_one(c, COMP_rms_norm, n, in, 2, (struct attr[]){attr_int(ATTR_FLAGS, flags),
        attr_float(ATTR_EPSILON, eps)});
}

bool comp_rms_norm(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                   int *nout) {
    tsr_dtype as = in[0]->type->dtype;
    int last = -1;
    (void)n;
    tsr_node *x = tsr_cast(c, in[0], build_wide(as)), *ms = tsr_mean(c, tsr_square(c, x), 1, &last, true);
    tsr_node *y = tsr_mul(c, x, tsr_rsqrt(c, build_num2(c, TSR_S_ADD, ms, comp_float(attr, nattr, ATTR_EPSILON))));
    return one(affine(c, y, in, 1, attr, nattr, NULL, as), out, nout);
}

/* ---- norms over channels: x (N, C, ...) ---- */

/* (C, 1, 1, ...): how a value for each channel is viewed beside x. */
static const tsr_type *channel_view(tsr_ctx *c, const tsr_node *x) {
    const tsr_extent *e[TSR_MAX_RANK], *ones = tsr_extent_int(c, 1);
    if (!ones) return NULL;
    for (int i = 1; i < x->type->rank; i++) e[i - 1] = i == 1 ? x->type->extent[1] : ones;
    return tsr_type_tensor(c, x->type->dtype, x->type->rank - 1, e);
}

static bool check_channels(tsr_ctx *c, const char *what, const tsr_node *x, tsr_node *weight, tsr_node *bias) {
    if (x->type->rank < 2) return build_fail(c, "%s: of %s; batch and channel axes are needed, (N, C, ...)", what,
                                             type_text(c, x->type)), false;
    return check_param(c, what, "weight", weight, x, 1, 1) && check_param(c, what, "bias", bias, x, 1, 1);
}

tsr_node *tsr_group_norm(tsr_ctx *c, tsr_node *x, int64_t groups, tsr_node *weight, tsr_node *bias, double eps) {
    tsr_node *in[3];
    int64_t flags, channels;
    if (build_bad(c, 1, &x) || !check_channels(c, "group_norm", x, weight, bias)) return tsr_poison(c);
    if (groups < 1 || (tsr_extent_is_int(x->type->extent[1], &channels) && channels % groups))
        return build_fail(c, "group_norm: %lld groups of the channels of %s; they must divide evenly",
                          (long long)groups, type_text(c, x->type));
    int n = gather_operands(x, weight, bias, in, &flags);
    struct attr a[] = {attr_int(ATTR_FEATURE_GROUPS, groups), attr_int(ATTR_FLAGS, flags),
        attr_float(ATTR_EPSILON, eps)};
    return composite_one(c, COMP_group_norm, n, in, 3, a);
}

bool comp_group_norm(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                     int *nout) {
    const tsr_type *t = in[0]->type;
    const tsr_extent *e[TSR_MAX_RANK + 1] = {t->extent[0],
        tsr_extent_int(c, comp_int(attr, nattr, ATTR_FEATURE_GROUPS))};
    int axes[TSR_MAX_RANK], k = 0;
    (void)n;
    if (!e[1] || !(e[2] = tsr_extent_floordiv(c, t->extent[1], e[1])) || t->rank == TSR_MAX_RANK) return false;
    for (int i = 2; i < t->rank; i++) e[i + 1] = t->extent[i];
    for (int i = 2; i <= t->rank; i++) axes[k++] = i;
    tsr_node *x = tsr_reshape_extents(c, tsr_cast(c, in[0], build_wide(t->dtype)), t->rank + 1, e);
    tsr_node *y = tsr_reshape_extents(c, standardise(c, x, k, axes, comp_float(attr, nattr, ATTR_EPSILON)), t->rank,
                                      t->extent);
    return one(affine(c, y, in, 1, attr, nattr, channel_view(c, in[0]), t->dtype), out, nout);
}

tsr_node *tsr_batch_norm(tsr_ctx *c, tsr_node *x, tsr_node *mean, tsr_node *var, tsr_node *weight, tsr_node *bias,
                         double eps) {
    tsr_node *in[5] = {x, mean, var};
    int64_t flags;
    if (build_bad(c, 3, in) || !check_channels(c, "batch_norm", x, weight, bias) ||
        !check_channels(c, "batch_norm", x, mean, var)) return tsr_poison(c);
    int n = gather_operands(var, weight, bias, in + 2, &flags);
    return composite_one(c, COMP_batch_norm, n + 2, in, 2,
                         (struct attr[]){attr_int(ATTR_FLAGS, flags), attr_float(ATTR_EPSILON, eps)});
}

static tsr_node *per_channel(tsr_ctx *c, tsr_node *v, const tsr_type *view, tsr_dtype t) {
    return view ? tsr_reshape_extents(c, tsr_cast(c, v, t), view->rank, view->extent) : tsr_poison(c);
}

bool comp_batch_norm(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                     int *nout) {
    tsr_dtype as = in[0]->type->dtype, t = build_wide(as);
    const tsr_type *view = channel_view(c, in[0]);
    (void)n;
    tsr_node *mean = per_channel(c, in[1], view, t), *var = per_channel(c, in[2], view, t);
    tsr_node *y = tsr_mul(c, tsr_sub(c, tsr_cast(c, in[0], t), mean),
                          tsr_rsqrt(c, build_num2(c, TSR_S_ADD, var, comp_float(attr, nattr, ATTR_EPSILON))));
    return one(affine(c, y, in, 3, attr, nattr, view, as), out, nout);
}

tsr_node *tsr_batch_norm_train(tsr_ctx *c, tsr_node *x, tsr_node *weight, tsr_node *bias, double eps, tsr_node **mean,
                               tsr_node **var) {
    tsr_node *in[3], *out[3] = {tsr_poison(c), tsr_poison(c), tsr_poison(c)};
    int64_t flags;
    if (!build_bad(c, 1, &x) && check_channels(c, "batch_norm", x, weight, bias)) {
        int n = gather_operands(x, weight, bias, in, &flags);
        struct attr a[] = {attr_int(ATTR_FLAGS, flags), attr_float(ATTR_EPSILON, eps)};
        composite_call(c, &composites[COMP_batch_norm_train], n, in, 2, a, out, 3);
    }
    if (mean) *mean = out[1];
    if (var) *var = out[2];
    return out[0];
}

bool comp_batch_norm_train(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                           int *nout) {
    tsr_dtype as = in[0]->type->dtype, t = build_wide(as);
    const tsr_type *view = channel_view(c, in[0]);
    int axes[TSR_MAX_RANK] = {0}, k = 1;
    (void)n;
    for (int i = 2; i < in[0]->type->rank; i++) axes[k++] = i;
    tsr_node *x = tsr_cast(c, in[0], t), *mean = tsr_mean(c, x, k, axes, true), *off = tsr_sub(c, x, mean);
    tsr_node *var = tsr_mean(c, tsr_square(c, off), k, axes, true);
    tsr_node *y = tsr_mul(c, off, tsr_rsqrt(c, build_num2(c, TSR_S_ADD, var, comp_float(attr, nattr, ATTR_EPSILON))));
    const tsr_extent *channels = in[0]->type->extent[1];
    out[0] = affine(c, y, in, 1, attr, nattr, view, as);
    out[1] = tsr_reshape_extents(c, mean, 1, &channels), out[2] = tsr_reshape_extents(c, var, 1, &channels);
    *nout = 3;
    return !build_bad(c, 3, out);
}

/* ---- dropout ---- */

tsr_node *tsr_dropout(tsr_ctx *c, tsr_node *x, tsr_node *key, double p) {
    tsr_node *in[2] = {x, key};
    if (!(p >= 0 && p <= 1)) return build_fail(c, "dropout: p is %g; a probability is in [0, 1]", p);
    return composite_one(c, COMP_dropout, 2, in, 1, (struct attr[]){attr_float(ATTR_ALPHA, p)});
}

/* The draw is a whole u32 compared with p 2^32, so p is met to 32 bits whatever the dtype. */
bool comp_dropout(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                  int *nout) {
    double p = comp_float(attr, nattr, ATTR_ALPHA), cut = floor(p * 4294967296.0);
    const tsr_type *t = type_with_dtype(c, in[0]->type, TSR_U32);
    (void)n;
    if (!t || p == 0 || p == 1) return t && one(p == 0 ? in[0] : rule_full_like(c, in[0], 0), out, nout);
    tsr_node *bits = tsr_item(c, tsr_prim_rng_bits(c, TSR_RNG_PHILOX, in[1], t), 1);
    tsr_node *stays = tsr_prim2(c, TSR_S_GE, bits, tsr_broadcast_to(c, tsr_scalar_int(c, TSR_U32, (int64_t)cut),
                                                                    t->rank, t->extent));
    tsr_node *scaled = build_num2(c, TSR_S_MUL, in[0], 1 / (1 - p));
    return one(tsr_prim3(c, TSR_S_SELECT, stays, scaled, rule_full_like(c, in[0], 0)), out, nout);
}
