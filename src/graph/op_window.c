/* op_window.c: reduce_window and select_and_scatter: pooling and its gradient.
 *
 * reduce_window follows StableHLO: the source is dilated, padded (negative padding crops) with the identity of the
 * combining function, and every window is combined. select_and_scatter here always adds, starts from zero, and picks
 * the first greatest (or least) element of each window among those inside the source; a NaN wins as it does in max.
 *
 * Gradients: a windowed sum is carried back by the transposed window sum (stride and source dilation exchanged); max
 * and min without dilations by select_and_scatter. The rest (products, dilated max) goes through patches: one
 * shifted strided slice for each window element, stacked along a new last axis, where it is an ordinary reduce (ties
 * then share). Windows of more than PATCHES elements are refused there. select_and_scatter is linear in its second
 * operand; its gradient reads, through patches, what each window picked (where all that a window sees inside the source
 * is the identity itself, -inf for max, it may take padding for the pick and read zero). */
#include <inttypes.h>
#include <math.h>

#include "graph/axes.h"
#include "graph/ref.h"

enum { PATCHES = 4096 };

/* ---- the window of a node, axis by axis ------------------------------------------------------------------------- */

struct window {
    int rank;
    int64_t extent[TSR_MAX_RANK];
    struct axis_window axis[TSR_MAX_RANK];
};

static void window_fill(struct window *w, int rank, const int64_t *extent, const int64_t *stride, const int64_t *base,
                        const int64_t *dilation, const int64_t *low, const int64_t *high) {
    w->rank = rank;
    for (int a = 0; a < rank; a++) {
        w->extent[a] = extent ? extent[a] : 1;
        w->axis[a] = (struct axis_window){.stride = stride ? stride[a] : 1, .base = base ? base[a] : 1,
                                          .dilation = dilation ? dilation[a] : 1,
                                          .low = low ? low[a] : 0, .high = high ? high[a] : 0};
    }
}

static const int64_t *ints_or_null(int n, const struct attr *attr, enum attr_key k) {
    for (int i = 0; i < n; i++)
        if (attr[i].key == k) return attr[i].ints;
    return NULL;
}

static void window_of(struct window *w, int rank, int n, const struct attr *attr) {
    window_fill(w, rank, ints_or_null(n, attr, ATTR_WINDOW), ints_or_null(n, attr, ATTR_STRIDE),
                ints_or_null(n, attr, ATTR_BASE_DILATION),
                ints_or_null(n, attr, ATTR_WINDOW_DILATION), ints_or_null(n, attr, ATTR_PAD_LOW),
                ints_or_null(n, attr, ATTR_PAD_HIGH));
}

static bool window_dilated(const struct window *w) {
    for (int a = 0; a < w->rank; a++)
        if (w->axis[a].base != 1 || w->axis[a].dilation != 1) return true;
    return false;
}

static int64_t window_elements(const struct window *w) {
    int64_t n = 1;
    for (int a = 0; a < w->rank; a++)
        if (!i64_mul(n, w->extent[a], &n)) return INT64_MAX;
    return n;
}

/* The builder's attributes: room for all lists lives with the caller. */
struct window_attrs {
    int64_t list[6][TSR_MAX_RANK];
    struct attr attr[7];
};
static int window_attrs(const struct window *w, tsr_reduce op, bool dilations, struct window_attrs *out) {
    static const enum attr_key key[6] = {ATTR_WINDOW, ATTR_STRIDE, ATTR_PAD_LOW, ATTR_PAD_HIGH, ATTR_BASE_DILATION,
                                         ATTR_WINDOW_DILATION};
    for (int a = 0; a < w->rank; a++) {
        const struct axis_window *x = &w->axis[a];
        const int64_t v[6] = {w->extent[a], x->stride, x->low, x->high, x->base, x->dilation};
        for (int i = 0; i < 6; i++) out->list[i][a] = v[i];
    }
    int n = dilations ? 6 : 4;
    for (int i = 0; i < n; i++) out->attr[i] = attr_ints(key[i], (size_t)w->rank, out->list[i]);
    out->attr[n] = attr_int(ATTR_REDUCE, (int64_t)op);
    return n + 1;
}

static bool window_check(tsr_ctx *c, const char *op, const struct window *w) {
    for (int a = 0; a < w->rank; a++) {
        const struct axis_window *x = &w->axis[a];
        const struct { const char *what; int64_t v; } least_one[] = {
            {"window extent", w->extent[a]}, {"stride", x->stride}, {"base dilation", x->base},
            {"window dilation", x->dilation}};
        for (int i = 0; i < 4; i++)
            if (least_one[i].v < 1)
                return err_set(c, TSR_EINVAL, "%s: %s on axis %d is %" PRId64 "; it must be at least 1", op,
                               least_one[i].what, a, least_one[i].v), false;
    }
    return true;
}

static const tsr_type *window_result(tsr_ctx *c, const tsr_type *x, const struct window *w) {
    const tsr_extent *extent[TSR_MAX_RANK];
    for (int a = 0; a < x->rank; a++)
        if (!(extent[a] = axis_window_count(c, x->extent[a], tsr_extent_int(c, w->extent[a]), &w->axis[a])))
            return NULL;
    return tsr_type_tensor(c, x->dtype, x->rank, extent);
}

/* The window with a batch axis, which it leaves alone, in front. */
static void window_under_batch(const struct window *w, struct window *out) {
    window_fill(out, w->rank + 1, NULL, NULL, NULL, NULL, NULL, NULL);
    for (int a = 0; a < w->rank; a++) out->extent[a + 1] = w->extent[a], out->axis[a + 1] = w->axis[a];
}

/* Source index of window element k of result position at[], or -1 on padding and holes. */
static int64_t window_read(const struct window *w, const struct ref_tensor *x, const int64_t *at, int64_t k) {
    int64_t offset[TSR_MAX_RANK], from[TSR_MAX_RANK];
    ref_unravel(w->rank, w->extent, k, offset);
    for (int a = 0; a < w->rank; a++) {
        from[a] = axis_window_at(&w->axis[a], x->dim[a], at[a], offset[a]);
        if (from[a] < 0) return -1;
    }
    return ref_ravel(x->rank, x->dim, from);
}

/* ---- patches: (result..., K), K window elements in row-major order ---------------------------------------------- */

static const tsr_extent *padded_extent(tsr_ctx *c, const tsr_extent *n, const struct axis_window *x) {
    return extent_plus(c, extent_dilated(c, n, x->base), x->low + x->high);
}

static bool patches_allowed(tsr_ctx *c, const char *op, const struct window *w) {
    if (window_elements(w) <= PATCHES) return true;
    err_set(c, TSR_EUNSUPPORTED, "%s: the gradient of a window of %" PRId64 " elements needs as many shifted copies; "
            "at most %d are made. Use a smaller window, or reduce in two steps", op, window_elements(w), PATCHES);
    return false;
}

static tsr_node *patches(tsr_ctx *c, tsr_node *x, const struct window *w, const tsr_type *result, double fill) {
    int64_t low[TSR_MAX_RANK], high[TSR_MAX_RANK], interior[TSR_MAX_RANK], stride[TSR_MAX_RANK], offset[TSR_MAX_RANK];
    const tsr_extent *start[TSR_MAX_RANK], *limit[TSR_MAX_RANK], *one = tsr_extent_int(c, 1);
    int64_t count = window_elements(w);
    if (tsr_is_poison(x)) return tsr_poison(c);
    const tsr_type *flat = type_with_dtype(c, result, x->type->dtype), *slice = one && flat
        ? type_insert_axis(c, flat, w->rank, one) : NULL;
    tsr_node **part = mem_array(c, (size_t)count, sizeof *part), *all = tsr_poison(c);
    if (!part || !slice) goto out;
    for (int a = 0; a < w->rank; a++)
        low[a] = w->axis[a].low, high[a] = w->axis[a].high, interior[a] = w->axis[a].base - 1,
            stride[a] = w->axis[a].stride;
    tsr_node *padded = tsr_prim_pad_ints(c, x, tsr_scalar_float(c, x->type->dtype, fill), low, high, interior);
    for (int64_t k = 0; k < count; k++) {
        ref_unravel(w->rank, w->extent, k, offset);
        for (int a = 0; a < w->rank; a++) {
            /* without results the source may be shorter than the offset */
            start[a] = tsr_extent_min(c, tsr_extent_int(c, offset[a] * w->axis[a].dilation),
                                      padded_extent(c, x->type->extent[a], &w->axis[a]));
            limit[a] = tsr_extent_add(c, start[a], extent_dilated(c, result->extent[a], stride[a]));
            if (!start[a] || !limit[a]) goto out;
        }
        part[k] = tsr_prim_reshape(c, tsr_prim_slice(c, padded, start, limit, stride), slice);
    }
    all = tsr_prim_concat(c, (int)count, part, w->rank);
out:
    mem_array_free(c, part, (size_t)count, sizeof *part);
    return all;
}

/* The transpose of patches: adds each element of p back to where it was read from, into a tensor of type x. */
static tsr_node *patches_back(tsr_ctx *c, tsr_node *p, const struct window *w, const tsr_type *result,
                              const tsr_type *x) {
    int rank = w->rank;
    int64_t interior[TSR_MAX_RANK], offset[TSR_MAX_RANK], crop_low[TSR_MAX_RANK], crop_high[TSR_MAX_RANK],
        step[TSR_MAX_RANK + 1];
    const tsr_extent *start[TSR_MAX_RANK + 1], *limit[TSR_MAX_RANK + 1], *low[TSR_MAX_RANK], *high[TSR_MAX_RANK],
        *zero = tsr_extent_int(c, 0);
    const tsr_type *flat = type_with_dtype(c, result, x->dtype);
    tsr_node *sum = NULL, *nothing = tsr_scalar_float(c, x->dtype, 0);
    if (!zero || !flat) return tsr_poison(c);
    for (int a = 0; a < rank; a++) start[a] = zero, limit[a] = result->extent[a], interior[a] = w->axis[a].stride - 1;
    for (int a = 0; a <= rank; a++) step[a] = 1;
    for (int64_t k = 0; k < window_elements(w); k++) {
        ref_unravel(rank, w->extent, k, offset);
        start[rank] = tsr_extent_int(c, k), limit[rank] = tsr_extent_int(c, k + 1);
        for (int a = 0; a < rank; a++) {
            const tsr_extent *used = tsr_extent_add(c, low[a] = tsr_extent_int(c, offset[a] * w->axis[a].dilation),
                                                    extent_dilated(c, result->extent[a], w->axis[a].stride));
            high[a] = tsr_extent_sub(c, padded_extent(c, x->extent[a], &w->axis[a]), used);
            if (!low[a] || !high[a]) return tsr_poison(c);
        }
        if (!start[rank] || !limit[rank]) return tsr_poison(c);
        tsr_node *one = tsr_prim_reshape(c, tsr_prim_slice(c, p, start, limit, step), flat);
        one = tsr_prim_pad(c, one, nothing, low, high, interior);
        sum = sum ? tsr_prim2(c, TSR_S_ADD, sum, one) : one;
    }
    for (int a = 0; a < rank; a++) {
        crop_low[a] = -w->axis[a].low, crop_high[a] = -w->axis[a].high, step[a] = w->axis[a].base;
        start[a] = zero, limit[a] = extent_dilated(c, x->extent[a], step[a]);
        if (!limit[a]) return tsr_poison(c);
    }
    return axes_as(c, tsr_prim_slice(c, tsr_prim_pad_ints(c, sum, nothing, crop_low, crop_high, NULL), start, limit,
                                     step), x);
}

/* ---- reduce_window ---------------------------------------------------------------------------------------------- */

static tsr_node *make_reduce_window(tsr_ctx *c, tsr_node *x, tsr_reduce op, const struct window *w) {
    struct window_attrs a;
    int n = window_attrs(w, op, true, &a);
    return node_make(c, &(struct draft){.op = TSR_OP_REDUCE_WINDOW, .nsrc = 1, .src = &x, .nattr = n, .attr = a.attr});
}

tsr_node *tsr_prim_reduce_window(tsr_ctx *c, tsr_node *x, tsr_reduce op, const tsr_window *v) {
    struct window w;
    if (tsr_is_poison(x) || !axes_is_plain(c, "reduce_window", x->type)) return tsr_poison(c);
    window_fill(&w, x->type->rank, v->extent, v->stride, v->base_dilation, v->dilation, v->pad_low, v->pad_high);
    return make_reduce_window(c, x, op, &w);
}

static const tsr_type *reduce_window_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    struct window w;
    if (!axes_is_plain(c, "reduce_window", x) ||
        !reduce_admits(c, "reduce_window", draft_int(d, ATTR_REDUCE), x->dtype))
        return NULL;
    window_of(&w, x->rank, d->nattr, d->attr);
    return window_check(c, "reduce_window", &w) ? window_result(c, x, &w) : NULL;
}

static tsr_node *window_sum_back(tsr_ctx *c, tsr_node *n, tsr_node *g, const struct window *w) {
    const tsr_type *x = n->src[0]->type;
    const tsr_extent *low[TSR_MAX_RANK], *high[TSR_MAX_RANK];
    int64_t axis[TSR_MAX_RANK], base[TSR_MAX_RANK], low_int[TSR_MAX_RANK], high_int[TSR_MAX_RANK];
    struct window t = *w;
    for (int a = 0; a < w->rank; a++) {
        axis[a] = a, base[a] = w->axis[a].stride;
        axis_window_transpose(c, x->extent[a], n->type->extent[a], tsr_extent_int(c, w->extent[a]), &w->axis[a],
                              &low[a], &high[a]);
    }
    g = axes_pad_or_ints(c, g, w->rank, axis, low, high, base, low_int, high_int);
    if (tsr_is_poison(g)) return g;
    for (int a = 0; a < w->rank; a++)
        t.axis[a] = (struct axis_window){.stride = w->axis[a].base, .base = base[a], .dilation = w->axis[a].dilation,
                                         .low = low_int[a], .high = high_int[a]};
    return axes_as(c, make_reduce_window(c, g, TSR_REDUCE_SUM, &t), x);
}

static tsr_node *make_select(tsr_ctx *c, tsr_node *x, tsr_node *src, tsr_reduce pick, const struct window *w);

static tsr_node *through_patches(tsr_ctx *c, tsr_node *n, tsr_node *g, tsr_reduce op, const struct window *w) {
    tsr_node *x = n->src[0], *gp = NULL;
    int64_t last = w->rank;
    bool want = true;
    if (!patches_allowed(c, "reduce_window", w)) return NULL;
    tsr_node *p = patches(c, x, w, n->type, ref_reduce_identity(op, x->type->dtype).re);
    tsr_node *y = tsr_prim_reduce(c, p, op, 1, &last);
    if (tsr_is_poison(y) || !op_def(TSR_OP_REDUCE)->vjp(c, y, &g, &want, &gp)) return NULL;
    return patches_back(c, gp, w, n->type, x->type);
}

static bool reduce_window_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_reduce op = (tsr_reduce)node_int(n, ATTR_REDUCE);
    struct window w;
    window_of(&w, n->type->rank, n->nattr, n->attr);
    if (!want[0] || (op != TSR_REDUCE_SUM && op != TSR_REDUCE_PROD && op != TSR_REDUCE_MAX && op != TSR_REDUCE_MIN))
        return true;
    if (op == TSR_REDUCE_SUM) gsrc[0] = window_sum_back(c, n, gout[0], &w);
    else if (op != TSR_REDUCE_PROD && !window_dilated(&w)) gsrc[0] = make_select(c, n->src[0], gout[0], op, &w);
    else return (gsrc[0] = through_patches(c, n, gout[0], op, &w)) != NULL;
    return true;
}

static tsr_node *reduce_window_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                                    const tsr_extent *size) {
    struct window w, under;
    (void)batched, (void)size;
    if (n->type->rank == TSR_MAX_RANK) return vmap_none(c, n, src, batched, size);
    window_of(&w, n->type->rank, n->nattr, n->attr);
    window_under_batch(&w, &under);
    return make_reduce_window(c, src[0], (tsr_reduce)node_int(n, ATTR_REDUCE), &under);
}

static tsr_status reduce_window_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0];
    struct ref_tensor *y = &r->out[0];
    tsr_reduce op = (tsr_reduce)node_int(r->node, ATTR_REDUCE);
    struct window w;
    int64_t at[TSR_MAX_RANK];
    window_of(&w, x->rank, r->node->nattr, r->node->attr);
    for (int64_t o = 0; o < y->count; o++) {
        struct ref_val acc = ref_reduce_identity(op, x->dtype);
        ref_unravel(y->rank, y->dim, o, at);
        for (int64_t k = 0; k < window_elements(&w); k++) {
            int64_t from = window_read(&w, x, at, k);
            if (from >= 0) acc = ref_reduce(op, x->dtype, acc, ref_get(x, from));
        }
        ref_set(y, o, acc);
    }
    return TSR_OK;
}

/* Random windows that reach everywhere: strides, padding on both sides also negative, dilations when asked for. */
static void sample_window(struct sample *s, int rank, int64_t *dim, bool dilations, struct window *w) {
    int64_t terms = 1;
    sample_dims(s, rank, dim);
    w->rank = rank;
    for (int a = 0; a < rank; a++) {
        w->extent[a] = sample_int(s, 1, 3);
        w->axis[a] = (struct axis_window){.stride = sample_int(s, 1, 3), .base = dilations ? sample_int(s, 1, 2) : 1,
                                          .dilation = dilations ? sample_int(s, 1, 3) : 1};
        w->axis[a].low = sample_int(s, dim[a] > 2 ? -1 : 0, 2), w->axis[a].high = sample_int(s, dim[a] > 2 ? -1 : 0, 2);
        terms *= w->extent[a];
    }
    sample_sum_of(s, terms, 4);
}

static tsr_fn *reduce_window_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK];
    tsr_reduce op = sample_reduce(s);
    if (dtype_is_complex(s->dtype) && op != TSR_REDUCE_PROD) op = TSR_REDUCE_SUM; /* no order to pick a greatest by */
    struct window w;
    int rank = (int)sample_int(s, 0, 4);
    sample_window(s, rank, dim, sample_int(s, 0, 1) != 0, &w);
    if (tsr_fn_begin(c, "reduce_window")) return NULL;
    tsr_node *y = make_reduce_window(c, sample_param(c, s->dtype, rank, dim), op, &w);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_REDUCE_WINDOW = {
    .name = "reduce_window",
    .formula = "y[o] = op over k of padded, dilated x[o stride + k dilation]",
    .spec = "StableHLO reduce_window",
    .cls = OP_REDUCING,
    .arity = 1,
    .domain = "fiubc",
    .infer = reduce_window_infer,
    .vjp = reduce_window_vjp,
    .vmap = reduce_window_vmap,
    .ref = reduce_window_ref,
    .sample = reduce_window_sample,
};

/* ---- select_and_scatter ----------------------------------------------------------------------------------------- */

static tsr_node *make_select(tsr_ctx *c, tsr_node *x, tsr_node *src, tsr_reduce pick, const struct window *w) {
    struct window_attrs a;
    int n = window_attrs(w, pick, false, &a);
    return node_make(c, &(struct draft){.op = TSR_OP_SELECT_AND_SCATTER, .nsrc = 2, .src = (tsr_node *[]){x, src},
                                        .nattr = n, .attr = a.attr});
}

tsr_node *tsr_prim_select_and_scatter(tsr_ctx *c, tsr_node *x, tsr_node *src, tsr_reduce pick, const tsr_window *v) {
    struct window w;
    if (tsr_is_poison(x) || tsr_is_poison(src) || !axes_is_plain(c, "select_and_scatter", x->type))
        return tsr_poison(c);
    window_fill(&w, x->type->rank, v->extent, v->stride, v->base_dilation, v->dilation, v->pad_low, v->pad_high);
    if (window_dilated(&w)) {
        err_set(c, TSR_EINVAL, "select_and_scatter: windows here have no dilations; leave base_dilation and dilation "
                "at 1");
        return tsr_poison(c);
    }
    return make_select(c, x, src, pick, &w);
}

static const tsr_type *select_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *src = d->src[1]->type;
    int64_t pick = draft_int(d, ATTR_REDUCE);
    struct window w;
    if (!axes_is_plain(c, "select_and_scatter", x) || !axes_is_plain(c, "select_and_scatter", src)) return NULL;
    if (pick != TSR_REDUCE_MAX && pick != TSR_REDUCE_MIN)
        return err_set(c, TSR_EINVAL, "select_and_scatter: windows pick by max or min, not by %s", reduce_name(pick)),
            NULL;
    if (dtype_is_complex(x->dtype) || !reduce_admits(c, "select_and_scatter", pick, x->dtype))
        return err_set(c, TSR_EINVAL, "select_and_scatter: %s has no order to pick by", type_text(c, x)), NULL;
    window_of(&w, x->rank, d->nattr, d->attr);
    const tsr_type *want = window_check(c, "select_and_scatter", &w) ? window_result(c, x, &w) : NULL;
    if (!want) return NULL;
    bool same = src->rank == want->rank && src->dtype == x->dtype;
    for (int a = 0; a < want->rank && same; a++)
        if (!extent_require_equal(c, src->extent[a], want->extent[a],
                                  "select_and_scatter: %s has windows %s, but the source is %s", type_text(c, x),
                                  type_text(c, want), type_text(c, src)))
            return NULL;
    if (!same)
        err_set(c, TSR_EINVAL, "select_and_scatter: %s has windows %s, but the source is %s", type_text(c, x),
                type_text(c, want), type_text(c, src));
    return same ? x : NULL;
}

/* Where a window picks does not change for small changes of x; what it picked is read from the cotangent's own
 * patches. */
static bool select_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_reduce pick = (tsr_reduce)node_int(n, ATTR_REDUCE);
    tsr_node *x = n->src[0];
    const tsr_type *src = n->src[1]->type;
    struct window w;
    if (!want[1]) return true;
    window_of(&w, x->type->rank, n->nattr, n->attr);
    if (!patches_allowed(c, "select_and_scatter", &w)) return false;
    int64_t last = w.rank;
    tsr_node *px = patches(c, x, &w, src, ref_reduce_identity(pick, x->type->dtype).re),
        *pg = patches(c, gout[0], &w, src, 0);
    tsr_node *which = tsr_prim_argreduce(c, px, pick, w.rank, TSR_I32);
    const tsr_type *t = tsr_is_poison(pg) ? NULL : type_with_dtype(c, pg->type, TSR_I32);
    if (!t) return false;
    tsr_node *picked = tsr_prim2(c, TSR_S_EQ, axes_expand(c, which, t, 1, &last), tsr_prim_iota(c, t, w.rank));
    gsrc[1] = tsr_prim_reduce(c, tsr_prim3(c, TSR_S_SELECT, picked, pg, rule_full_like(c, pg, 0)), TSR_REDUCE_SUM, 1,
                              &last);
    return true;
}

static tsr_node *select_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                             const tsr_extent *size) {
    struct window w, under;
    if (n->type->rank == TSR_MAX_RANK) return vmap_none(c, n, src, batched, size);
    window_of(&w, n->type->rank, n->nattr, n->attr);
    window_under_batch(&w, &under);
    return make_select(c, rule_batch(c, src[0], batched[0], size), rule_batch(c, src[1], batched[1], size),
                       (tsr_reduce)node_int(n, ATTR_REDUCE), &under);
}

/* The picked source index of the window at result position at[]; -1 when all of it is padding. */
static int64_t window_pick(const struct window *w, tsr_reduce pick, const struct ref_tensor *x, const int64_t *at) {
    int64_t best = -1;
    for (int64_t k = 0; k < window_elements(w); k++) {
        int64_t from = window_read(w, x, at, k);
        if (from < 0) continue;
        struct ref_val v = ref_get(x, from), old = best < 0 ? v : ref_get(x, best);
        bool nan = dtype_is_float(x->dtype) && (isnan(v.re) || isnan(old.re));
        bool better = nan ? !isnan(old.re) : ref_scalar(pick == TSR_REDUCE_MAX ? TSR_S_GT : TSR_S_LT, x->dtype,
                                                        (struct ref_val[3]){v, old}).u != 0;
        if (best < 0 || better) best = from;
    }
    return best;
}

static tsr_status select_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0], *src = &r->in[1];
    struct ref_val *acc = mem_array(r->c, (size_t)x->count, sizeof *acc);
    if (!acc) return TSR_ENOMEM;
    struct window w;
    int64_t at[TSR_MAX_RANK];
    window_of(&w, x->rank, r->node->nattr, r->node->attr);
    for (int64_t o = 0; o < src->count; o++) {
        ref_unravel(src->rank, src->dim, o, at);
        int64_t to = window_pick(&w, (tsr_reduce)node_int(r->node, ATTR_REDUCE), x, at);
        if (to >= 0) acc[to] = ref_reduce(TSR_REDUCE_SUM, x->dtype, acc[to], ref_get(src, o));
    }
    for (int64_t k = 0; k < x->count; k++) ref_set(&r->out[0], k, acc[k]);
    mem_array_free(r->c, acc, (size_t)x->count, sizeof *acc);
    return TSR_OK;
}

static tsr_fn *select_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK], windows[TSR_MAX_RANK];
    int rank = (int)sample_int(s, 0, 4);
    struct window w;
    sample_window(s, rank, dim, false, &w);
    s->distinct = true;
    for (int a = 0; a < rank; a++) {
        int64_t room = dim[a] + w.axis[a].low + w.axis[a].high - w.extent[a];
        windows[a] = room < 0 ? 0 : room / w.axis[a].stride + 1;
    }
    if (tsr_fn_begin(c, "select_and_scatter")) return NULL;
    tsr_node *x = sample_param(c, s->dtype, rank, dim), *src = sample_param(c, s->dtype, rank, windows);
    tsr_node *y = make_select(c, x, src, sample_int(s, 0, 1) ? TSR_REDUCE_MAX : TSR_REDUCE_MIN, &w);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_SELECT_AND_SCATTER = {
    .name = "select_and_scatter",
    .formula = "y[i] = sum of source[o] over windows o that pick x[i]",
    .spec = "StableHLO select_and_scatter with add, from zero",
    .cls = OP_REDUCING,
    .arity = 2,
    .domain = "fiub",
    .infer = select_infer,
    .vjp = select_vjp,
    .vmap = select_vmap,
    .ref = select_ref,
    .sample = select_sample,
};
