/* comp_spatial.c: convolution, pooling and resizing on x (N, C, spatial...), with PyTorch's conventions.
 *
 * Convolutions and fixed-window pooling are one primitive each with its axes and padding worked out, so there is
 * nothing for a composite to keep whole; adaptive pooling and interpolation are composites. */
#include "graph/build.h"

enum { SPATIAL_MAX = TSR_MAX_RANK - 2 };

static int64_t at_or(const int64_t *v, int i, int64_t otherwise) { return v ? v[i] : otherwise; }

static bool check_spatial(tsr_ctx *c, const char *what, const tsr_node *x) {
    if (x->type->rank >= 3) return true;
    return build_fail(c, "%s: of %s; batch, channel and at least one spatial axis are needed, (N, C, ...)", what,
                      type_text(c, x->type)), false;
}

/* ---- convolution ---- */

static tsr_node *with_bias(tsr_ctx *c, tsr_node *y, tsr_node *bias, tsr_dtype as) {
    if (tsr_is_poison(y)) return y;
    if (bias) {
        const tsr_extent *e[TSR_MAX_RANK], *ones = tsr_extent_int(c, 1);
        if (tsr_is_poison(bias) || bias->type->rank != 1) return build_fail(c,
                "conv: the bias must have one axis, the output channels");
        for (int i = 0; i < y->type->rank - 1; i++) e[i] = i ? ones : bias->type->extent[0];
        y = tsr_add(c, y, tsr_reshape_extents(c, tsr_cast(c, bias, y->type->dtype), y->type->rank - 1, e));
    }
    return tsr_cast(c, y, as);
}

static bool check_conv(tsr_ctx *c, const char *what, tsr_node *x, tsr_node *w) {
    tsr_node *in[2] = {x, w};
    if (build_bad(c, 2, in) || !check_spatial(c, what, x)) return false;
    if (w->type->rank == x->type->rank) return true;
    return build_fail(c, "%s: x %s with kernel %s; both need %d spatial axes", what, type_text(c, x->type),
                      type_text(c, w->type), x->type->rank - 2), false;
}

tsr_node *tsr_conv(tsr_ctx *c, tsr_node *x, tsr_node *w, tsr_node *bias, const int64_t *stride, const int64_t *padding,
                   const int64_t *dilation, int64_t groups) {
    if (!check_conv(c, "conv", x, w)) return tsr_poison(c);
    tsr_dtype t = tsr_promote(x->type->dtype, w->type->dtype);
    tsr_conv_dims d = {.spatial = x->type->rank - 2, .stride = stride, .pad_low = padding, .pad_high = padding,
        .rhs_dilation = dilation, .feature_groups = groups};
    return with_bias(c, tsr_prim_conv(c, tsr_cast(c, x, t), tsr_cast(c, w, t), &d, build_wide(t)), bias, t);
}

/* Kernel (C, O/g, k...) as (O, C/g, k...). */
static tsr_node *swap_channels(tsr_ctx *c, tsr_node *w, int64_t groups) {
    const tsr_extent *e[TSR_MAX_RANK + 1], *g = tsr_extent_int(c, groups);
    int r = w->type->rank;
    if (!g || r == TSR_MAX_RANK) return tsr_poison(c);
    e[0] = g, e[1] = tsr_extent_floordiv(c, w->type->extent[0], g);
    for (int i = 1; i < r; i++) e[i + 1] = w->type->extent[i];
    w = tsr_swap_axes(c, tsr_reshape_extents(c, w, r + 1, e), 1, 2);
    return tsr_flatten(c, w, 0, 1);
}

/* A convolution over x spread out by the stride, with the mirrored kernel. */
tsr_node *tsr_conv_transpose(tsr_ctx *c, tsr_node *x, tsr_node *w, tsr_node *bias, const int64_t *stride,
                             const int64_t *padding, const int64_t *output_padding,
                             const int64_t *dilation, int64_t groups) {
    int64_t low[SPATIAL_MAX], high[SPATIAL_MAX], mirror[SPATIAL_MAX];
    if (!check_conv(c, "conv_transpose", x, w)) return tsr_poison(c);
    for (int i = 0; i < x->type->rank - 2; i++) {
        int64_t k = tsr_node_dim(w, 2 + i);
        if (k < 0) return build_fail(c, "conv_transpose: the kernel's extents must be constants, got %s",
                                     type_text(c, w->type));
        low[i] = at_or(dilation, i, 1) * (k - 1) - at_or(padding, i, 0);
        high[i] = low[i] + at_or(output_padding, i, 0);
        mirror[i] = 1;
    }
    tsr_dtype t = tsr_promote(x->type->dtype, w->type->dtype);
    tsr_conv_dims d = {.spatial = x->type->rank - 2, .pad_low = low, .pad_high = high, .lhs_dilation = stride,
        .rhs_dilation = dilation, .reverse = mirror,
                       .feature_groups = groups};
    w = swap_channels(c, tsr_cast(c, w, t), groups ? groups : 1);
    return with_bias(c, tsr_prim_conv(c, tsr_cast(c, x, t), w, &d, build_wide(t)), bias, t);
}

/* ---- pooling ---- */

struct pool {
    int64_t window[TSR_MAX_RANK], stride[TSR_MAX_RANK], low[TSR_MAX_RANK], high[TSR_MAX_RANK];
    bool clipped; /* a last window reaches past the padded input */
};

/* ceil_mode adds windows on the right, unless one would begin beyond the input and its left padding. */
static bool plan_pool(tsr_ctx *c, const char *what, const tsr_node *x, const int64_t *kernel, const int64_t *stride,
                      const int64_t *padding, bool ceil_mode, struct pool *p) {
    *p = (struct pool){.clipped = false};
    if (!check_spatial(c, what, x)) return false;
    for (int i = 0; i < x->type->rank; i++) {
        int s = i - 2;
        int64_t n, k = p->window[i] = s < 0 ? 1 : kernel[s], step = p->stride[i] = s < 0 ? 1 :
            at_or(stride, s, kernel[s]);
        int64_t pad = p->low[i] = p->high[i] = s < 0 ? 0 : at_or(padding, s, 0);
        if (k < 1 || step < 1 || pad < 0 || 2 * pad > k)
            return build_fail(c,
                              "%s: window %lld, stride %lld, padding %lld on spatial axis %d; padding is at most half "
                              "the window", what, (long long)k,
                              (long long)step, (long long)pad, s), false;
        if (!ceil_mode || s < 0) continue;
        if ((n = tsr_node_dim(x, i)) < 0) return build_fail(c, "%s: ceil_mode needs constant extents, got %s", what,
                                                            type_text(c, x->type)), false;
        int64_t room = n + 2 * pad - k, out = room < 0 ? 0 : (room + step - 1) / step + 1;
        if (out && (out - 1) * step >= n + pad) out--;
        int64_t over = out ? (out - 1) * step + k - (n + 2 * pad) : 0;
        if (over > 0) p->high[i] += over, p->clipped = true;
    }
    return true;
}

static tsr_node *window(tsr_ctx *c, tsr_node *x, tsr_reduce op, const struct pool *p) {
    tsr_window w = {.extent = p->window, .stride = p->stride, .pad_low = p->low, .pad_high = p->high};
    return tsr_prim_reduce_window(c, x, op, &w);
}

tsr_node *tsr_max_pool(tsr_ctx *c, tsr_node *x, const int64_t *kernel, const int64_t *stride, const int64_t *padding,
                       bool ceil_mode) {
    struct pool p;
    if (build_bad(c, 1, &x) || !plan_pool(c, "max_pool", x, kernel, stride, padding, ceil_mode, &p)) return
        tsr_poison(c);
    return window(c, x, TSR_REDUCE_MAX, &p);
}

/* How many elements each window averages, as (1, 1, spatial...) of dtype t: windows over ones. */
static tsr_node *window_counts(tsr_ctx *c, const tsr_node *x, const struct pool *p, const int64_t *padding,
                               bool include, tsr_dtype t) {
    const tsr_extent *e[TSR_MAX_RANK], *ones = tsr_extent_int(c, 1);
    struct pool q = *p;
    for (int i = 0; i < x->type->rank; i++) {
        int64_t pad = i < 2 || !include ? 0 : at_or(padding, i - 2, 0);
        e[i] = i < 2 ? ones : tsr_extent_add(c, x->type->extent[i], tsr_extent_int(c, 2 * pad));
        q.low[i] -= pad, q.high[i] -= pad;
    }
    const tsr_type *type = tsr_type_tensor(c, t, x->type->rank, e);
    return type ? window(c, tsr_full(c, type, 1), TSR_REDUCE_SUM, &q) : tsr_poison(c);
}

tsr_node *tsr_avg_pool(tsr_ctx *c, tsr_node *x, const int64_t *kernel, const int64_t *stride, const int64_t *padding,
                       bool ceil_mode, bool count_include_pad) {
    struct pool p;
    if (build_bad(c, 1, &x) || !plan_pool(c, "avg_pool", x, kernel, stride, padding, ceil_mode, &p)) return
        tsr_poison(c);
    tsr_dtype as = build_float(x->type->dtype), t = build_wide(as);
    tsr_node *sum = window(c, tsr_cast(c, x, t), TSR_REDUCE_SUM, &p);
    bool padded = false;
    double full = 1;
    for (int i = 2; i < x->type->rank; i++) padded |= p.low[i] > 0, full *= (double)p.window[i];
    bool same = !p.clipped && (count_include_pad || !padded);
    tsr_node *mean = same ? build_num2(c, TSR_S_DIV, sum, full) :
        tsr_div(c, sum, window_counts(c, x, &p, padding, count_include_pad, t));
    return tsr_cast(c, mean, as);
}

/* ---- adaptive pooling: one axis after another, as the cells are rectangles ---- */

static tsr_node *adaptive(tsr_ctx *c, const char *what, tsr_node *x, const int64_t *out, bool max) {
    int64_t dims[TSR_MAX_RANK];
    if (build_bad(c, 1, &x) || !check_spatial(c, what, x)) return tsr_poison(c);
    for (int i = 2; i < x->type->rank; i++)
        if (tsr_node_dim(x, i) < 1 || out[i - 2] < 1)
            return build_fail(c, "%s: %s to an extent of %lld on spatial axis %d; both must be constants of at least 1",
                              what, type_text(c, x->type),
                              (long long)out[i - 2], i - 2);
    memcpy(dims, out, (size_t)(x->type->rank - 2) * sizeof *dims);
    struct attr a[] = {attr_ints(ATTR_LENGTHS, (size_t)(x->type->rank - 2), dims), attr_int(ATTR_MODE, max)};
    return composite_one(c, COMP_adaptive_pool, 1, &x, 2, a);
}

tsr_node *tsr_adaptive_avg_pool(tsr_ctx *c, tsr_node *x, const int64_t *out) {
    return adaptive(c, "adaptive_avg_pool", tsr_is_poison(x) ? x : tsr_cast(c, x, build_float(x->type->dtype)), out,
                    false);
}
tsr_node *tsr_adaptive_max_pool(tsr_ctx *c, tsr_node *x, const int64_t *out) { return adaptive(c, "adaptive_max_pool",
        x, out, true); }

static tsr_node *adaptive_axis(tsr_ctx *c, tsr_node *x, int axis, int64_t out, bool max) {
    int64_t n = tsr_node_dim(x, axis);
    tsr_node **cell = mem_array(c, (size_t)out, sizeof *cell), *r = tsr_poison(c);
    for (int64_t i = 0; cell && i < out; i++) {
        tsr_node *part = tsr_slice(c, x, axis, i * n / out, ((i + 1) * n + out - 1) / out, 1);
        cell[i] = max ? tsr_max(c, part, 1, &axis, true) : tsr_mean(c, part, 1, &axis, true);
    }
    if (cell) r = tsr_concat(c, (int)out, cell, axis);
    mem_array_free(c, cell, (size_t)out, sizeof *cell);
    return r;
}

bool comp_adaptive_pool(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                        int *nout) {
    const struct attr *dims = attrs_find(nattr, attr, ATTR_LENGTHS);
    bool max = comp_int(attr, nattr, ATTR_MODE) != 0;
    tsr_dtype as = in[0]->type->dtype;
    tsr_node *y = max ? in[0] : tsr_cast(c, in[0], build_wide(as));
    (void)n;
    for (size_t i = 0; i < dims->n && !tsr_is_poison(y); i++) y = adaptive_axis(c, y, (int)i + 2, dims->ints[i], max);
    out[0] = tsr_cast(c, y, as), *nout = 1;
    return !tsr_is_poison(out[0]);
}

/* ---- interpolation: on each axis, a few taken samples with constant weights ---- */

tsr_node *tsr_interpolate(tsr_ctx *c, tsr_node *x, const int64_t *size, tsr_resize how, tsr_coords coords) {
    int64_t dims[TSR_MAX_RANK];
    if (build_bad(c, 1, &x) || !check_spatial(c, "interpolate", x)) return tsr_poison(c);
    if (how != TSR_RESIZE_NEAREST) x = tsr_cast(c, x, build_float(x->type->dtype));
    for (int i = 2; i < x->type->rank; i++) {
        if (tsr_node_dim(x, i) < 1 || size[i - 2] < 1)
            return build_fail(c,
                              "interpolate: %s to an extent of %lld on spatial axis %d; both must be constants of at "
                              "least 1", type_text(c, x->type),
                              (long long)size[i - 2], i - 2);
        dims[i - 2] = size[i - 2];
    }
    struct attr a[] = {attr_ints(ATTR_LENGTHS, (size_t)(x->type->rank - 2), dims), attr_int(ATTR_MODE, how),
        attr_int(ATTR_K, coords)};
    return composite_one(c, COMP_interpolate, 1, &x, 3, a);
}

/* Where output i samples an axis of n. PyTorch clamps at 0 for linear, not for cubic. */
static double source_at(int64_t i, int64_t n, int64_t out, tsr_resize how, tsr_coords coords) {
    double scale = (double)n / (double)out;
    if (coords == TSR_COORDS_ALIGN_CORNERS) return out > 1 ? (double)i * (double)(n - 1) / (double)(out - 1) : 0;
    double s = coords == TSR_COORDS_ASYMMETRIC ? (double)i * scale : ((double)i + 0.5) * scale -
        (how == TSR_RESIZE_NEAREST ? 0 : 0.5);
    return how == TSR_RESIZE_LINEAR && s < 0 ? 0 : s;
}

/* Keys's cubic kernel at distance d, a = -0.75. */
static double cubic(double d) {
    const double a = -0.75;
    d = fabs(d);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

static int64_t clamp(int64_t v, int64_t n) { return v < 0 ? 0 : v >= n ? n - 1 : v; }

/* Sample number k (of `taps`) of every output: its index and weight. */
static void samples(int64_t n, int64_t out, tsr_resize how, tsr_coords coords, int k, int64_t *index, double *weight) {
    for (int64_t i = 0; i < out; i++) {
        double s = source_at(i, n, out, how, coords), base = floor(s), frac = s - base;
        if (how == TSR_RESIZE_NEAREST) index[i] = clamp((int64_t)(coords == TSR_COORDS_ALIGN_CORNERS ? floor(s + 0.5) :
                                                                  base), n), weight[i] = 1;
        if (how == TSR_RESIZE_LINEAR) index[i] = clamp((int64_t)base + k, n), weight[i] = k ? frac : 1 - frac;
        if (how == TSR_RESIZE_CUBIC) index[i] = clamp((int64_t)base + k - 1, n), weight[i] = cubic(frac - (k - 1));
    }
}

static tsr_node *resize_axis(tsr_ctx *c, tsr_node *x, int axis, int64_t out, tsr_resize how, tsr_coords coords) {
    int taps = how == TSR_RESIZE_NEAREST ? 1 : how == TSR_RESIZE_LINEAR ? 2 : 4, rank = x->type->rank;
    int64_t *index = mem_array(c, (size_t)out, sizeof *index), dim[TSR_MAX_RANK];
    double *weight = mem_array(c, (size_t)out, sizeof *weight);
    const tsr_type *it = tsr_type_dims(c, TSR_I64, 1, &out), *wt = tsr_type_dims(c, TSR_F64, 1, &out);
    tsr_node *sum = NULL;
    for (int i = 0; i < rank - axis; i++) dim[i] = i ? 1 : out;
    for (int k = 0; k < taps && index && weight && it && wt; k++) {
        samples(tsr_node_dim(x, axis), out, how, coords, k, index, weight);
        tsr_node *part = tsr_take(c, x, tsr_const(c, it, index), axis);
        if (taps > 1) part = tsr_mul(c, part, tsr_reshape(c, tsr_cast(c, tsr_const(c, wt, weight), x->type->dtype),
                                                          rank - axis, dim));
        sum = sum ? tsr_add(c, sum, part) : part;
    }
    mem_array_free(c, index, (size_t)out, sizeof *index), mem_array_free(c, weight, (size_t)out, sizeof *weight);
    return sum ? sum : tsr_poison(c);
}

bool comp_interpolate(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                      int *nout) {
    const struct attr *dims = attrs_find(nattr, attr, ATTR_LENGTHS);
    tsr_resize how = (tsr_resize)comp_int(attr, nattr, ATTR_MODE);
    tsr_coords coords = (tsr_coords)comp_int(attr, nattr, ATTR_K);
    tsr_dtype as = in[0]->type->dtype;
    tsr_node *y = how == TSR_RESIZE_NEAREST ? in[0] : tsr_cast(c, in[0], build_wide(as));
    (void)n;
    for (size_t i = 0; i < dims->n && !tsr_is_poison(y); i++) y = resize_axis(c, y, (int)i + 2, dims->ints[i], how,
            coords);
    out[0] = tsr_cast(c, y, as), *nout = 1;
    return !tsr_is_poison(out[0]);
}
