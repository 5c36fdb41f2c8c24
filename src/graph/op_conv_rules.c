/* op_conv_rules.c: gradients and batching of convolution, as convolutions.
 *
 * With y[n, o, p] = sum x[n, i, p s + k d - low] w[o, i, k] (s stride, d kernel dilation, b input dilation, G
 * groups):
 *   to the input: the cotangent is the input, dilated by s; the kernel has its feature axes exchanged and is
 *   mirrored; the stride is b;
 *   to the kernel: the input with batch and feature exchanged meets the cotangent as kernel, dilated by s; the stride
 *   is d.
 * Feature groups of y become groups of the kernel's output features for the first and batch groups for the second;
 * batch groups become feature groups for both. Paddings make the extents come out; where they are symbolic they are
 * written out as a pad.
 *
 * Batching merges the batch axis into an axis that the convolution has anyway: batch when only the input is batched,
 * output features when only the kernel is, and one more feature (or batch) group for each member when both are. */
#include "graph/conv.h"

/* Take `groups` out of axis `from`, (groups, rest), and put them in front of axis `to`. */
static tsr_node *regroup(tsr_ctx *c, tsr_node *x, int64_t from, int64_t to, int64_t groups) {
    if (tsr_is_poison(x) || groups == 1) return x;
    const tsr_extent *g = tsr_extent_int(c, groups);
    x = axes_split(c, x, (int)from, g, tsr_extent_floordiv(c, x->type->extent[from], g));
    return axes_merge(c, axes_move(c, x, (int)from, (int)to), (int)to);
}

static void swap_features(const int64_t *from, int spatial, int64_t *to) {
    for (int i = 0; i < spatial + 2; i++) to[i] = from[i < 2 ? 1 - i : i];
}

/* conv(x, w) under attributes v, whose paddings are still extents: integers become attributes, the rest a pad of x. */
static tsr_node *conv_padded(tsr_ctx *c, tsr_node *x, tsr_node *w, struct conv *v, const tsr_extent *const *low,
                             const tsr_extent *const *high) {
    int64_t base[TSR_MAX_RANK], low_int[TSR_MAX_RANK], high_int[TSR_MAX_RANK];
    for (int i = 0; i < v->spatial; i++) base[i] = v->axis[i].base;
    x = axes_pad_or_ints(c, x, v->spatial, v->lhs + 2, low, high, base, low_int, high_int);
    if (tsr_is_poison(x)) return x;
    for (int i = 0; i < v->spatial; i++)
        v->axis[i].base = base[i], v->axis[i].low = low_int[i], v->axis[i].high = high_int[i];
    return conv_make(c, x, w, v);
}

/* ---- gradients -------------------------------------------------------------------------------------------------- */

static tsr_node *input_cotangent(tsr_ctx *c, tsr_node *n, tsr_node *g, const struct conv *v) {
    tsr_node *x = n->src[0], *w = axes_convert(c, n->src[1], g->type->dtype);
    int64_t groups = v->feature_groups * v->batch_groups;
    const tsr_extent *low[TSR_MAX_RANK], *high[TSR_MAX_RANK];
    struct conv t = {.spatial = v->spatial, .feature_groups = groups, .batch_groups = 1, .dtype = g->type->dtype};
    swap_features(v->rhs, v->spatial, t.rhs);
    for (int i = 0; i < v->spatial + 2; i++) t.lhs[i] = v->out[i], t.out[i] = v->lhs[i];
    for (int i = 0; i < v->spatial; i++) {
        const struct axis_window *a = &v->axis[i];
        t.axis[i] = (struct axis_window){.stride = a->base, .base = a->stride, .dilation = a->dilation};
        t.reverse[i] = !v->reverse[i];
        axis_window_transpose(c, x->type->extent[v->lhs[2 + i]], n->type->extent[v->out[2 + i]],
                              n->src[1]->type->extent[v->rhs[2 + i]], a,
                              &low[i], &high[i]);
    }
    tsr_node *y = conv_padded(c, g, regroup(c, w, v->rhs[0], v->rhs[1], groups), &t, low, high);
    y = regroup(c, y, v->lhs[1], v->lhs[0], v->batch_groups);
    return axes_as(c, axes_convert(c, y, x->type->dtype), x->type);
}

static tsr_node *kernel_cotangent(tsr_ctx *c, tsr_node *n, tsr_node *g, const struct conv *v) {
    tsr_node *x = axes_convert(c, n->src[0], g->type->dtype), *w = n->src[1];
    const tsr_extent *low[TSR_MAX_RANK], *high[TSR_MAX_RANK];
    struct conv t = {.spatial = v->spatial, .feature_groups = v->batch_groups, .batch_groups = v->feature_groups,
                     .dtype = g->type->dtype};
    int64_t mirrored[TSR_MAX_RANK];
    int m = 0;
    swap_features(v->lhs, v->spatial, t.lhs), swap_features(v->out, v->spatial, t.rhs),
        swap_features(v->rhs, v->spatial, t.out);
    for (int i = 0; i < v->spatial; i++) {
        const struct axis_window *a = &v->axis[i];
        const tsr_extent *k = w->type->extent[v->rhs[2 + i]], *out = n->type->extent[v->out[2 + i]];
        const tsr_extent *padded = tsr_extent_mul(c, extent_plus(c, k, -1), tsr_extent_int(c, a->dilation));
        padded = tsr_extent_add(c, padded, extent_dilated(c, out, a->stride));
        t.axis[i] = (struct axis_window){.stride = a->dilation, .base = a->base, .dilation = a->stride};
        low[i] = tsr_extent_int(c, a->low);
        high[i] = tsr_extent_sub(c, extent_plus(c, padded, -a->low),
                                 extent_dilated(c, n->src[0]->type->extent[v->lhs[2 + i]], a->base));
        if (v->reverse[i]) mirrored[m++] = v->rhs[2 + i];
    }
    tsr_node *y = conv_padded(c, x, g, &t, low, high);
    if (m) y = tsr_prim_reverse(c, y, m, mirrored);
    return axes_as(c, axes_convert(c, y, w->type->dtype), w->type);
}

bool conv_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    struct conv v;
    if (tsr_is_poison(gout[0])) return false;
    conv_of(n->nattr, n->attr, &v);
    for (int i = 0; i < n->type->rank; i++)
        if (extent_is(n->type->extent[i], 0)) return true; /* an empty result: all cotangents are zero */
    if (want[0]) gsrc[0] = input_cotangent(c, n, gout[0], &v);
    if (want[1]) gsrc[1] = kernel_cotangent(c, n, gout[0], &v);
    return true;
}

/* ---- batching --------------------------------------------------------------------------------------------------- */

/* The batch axis in front goes into axis `axis` (numbered without it), which becomes (groups, size, rest). */
static tsr_node *absorb(tsr_ctx *c, tsr_node *x, int64_t axis, int64_t groups) {
    int a = (int)axis;
    if (tsr_is_poison(x) || groups == 1) return axes_merge(c, axes_move(c, x, 0, a), a);
    const tsr_extent *g = tsr_extent_int(c, groups);
    x = axes_split(c, x, a + 1, g, tsr_extent_floordiv(c, x->type->extent[a + 1], g));
    return axes_merge(c, axes_merge(c, axes_move(c, x, 0, a + 1), a + 1), a);
}

/* The inverse: axis (groups, size, rest) gives up its size to a new front axis. */
static tsr_node *release(tsr_ctx *c, tsr_node *y, int64_t axis, int64_t groups, const tsr_extent *size,
                         const tsr_extent *was) {
    int a = (int)axis;
    const tsr_extent *g = tsr_extent_int(c, groups), *rest = tsr_extent_floordiv(c, was, g);
    if (groups == 1) return axes_move(c, axes_split(c, y, a, size, was), a, 0);
    y = axes_split(c, y, a, g, tsr_extent_mul(c, size, rest));
    y = axes_move(c, axes_split(c, y, a + 1, size, rest), a + 1, 0);
    return axes_merge(c, y, a + 1);
}

static tsr_node *vmap_both(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const tsr_extent *size, struct conv *v) {
    int64_t members;
    if (!tsr_extent_is_int(size, &members)) {
        err_set(c, TSR_EUNSUPPORTED, "conv: vmap over an axis of symbolic extent %s of both input and kernel needs one "
                "group for each member, and the number of groups is a constant; give the axis a constant extent, or "
                "map over one operand", extent_text(c, size));
        return tsr_poison(c);
    }
    if (members == 0) return axes_zeros(c, type_insert_axis(c, n->type, 0, size));
    bool by_batch = v->batch_groups > 1;
    const tsr_extent *features = n->type->extent[v->out[1]];
    tsr_node *x = absorb(c, src[0], v->lhs[by_batch ? 0 : 1], 1), *w = absorb(c, src[1], v->rhs[0], 1);
    *(by_batch ? &v->batch_groups : &v->feature_groups) *= members;
    return release(c, conv_make(c, x, w, v), v->out[1], 1, size, features);
}

tsr_node *conv_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    struct conv v;
    conv_of(n->nattr, n->attr, &v);
    const tsr_extent *const *extent = n->type->extent;
    int64_t groups = v.feature_groups * v.batch_groups;
    if (batched[0] && batched[1]) return vmap_both(c, n, src, size, &v);
    if (batched[0])
        return release(c, conv_make(c, absorb(c, src[0], v.lhs[0], v.batch_groups), src[1], &v), v.out[0], 1, size,
                       extent[v.out[0]]);
    return release(c, conv_make(c, src[0], absorb(c, src[1], v.rhs[0], groups), &v), v.out[1], groups, size,
                   extent[v.out[1]]);
}
