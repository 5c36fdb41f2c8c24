/* op_conv.c: convolution of any number of spatial axes, with strides, padding (also negative), dilation of input and
 * kernel, mirrored kernels, feature groups and batch groups.
 *
 * Semantics follow StableHLO convolution; dtypes are those of dot (op_dot.c): sums are kept in the result's dtype.
 * Layouts are data: a spec lists the axis of batch, feature, then the spatial axes of input and result, and of
 * output feature, input feature, then spatial axes of the kernel. op_conv_rules.c has gradients and batching, which
 * are convolutions again. */
#include <inttypes.h>

#include "graph/conv.h"
#include "graph/ref.h"

/* ---- attributes ------------------------------------------------------------------------------------------------- */

tsr_node *conv_make(tsr_ctx *c, tsr_node *x, tsr_node *w, const struct conv *v) {
    size_t ns = (size_t)v->spatial, nr = ns + 2;
    int64_t list[5][TSR_MAX_RANK];
    for (int i = 0; i < v->spatial; i++) {
        const struct axis_window *a = &v->axis[i];
        list[0][i] = a->stride, list[1][i] = a->low, list[2][i] = a->high, list[3][i] = a->base,
            list[4][i] = a->dilation;
    }
    struct attr attr[] = {
        attr_ints(ATTR_STRIDE, ns, list[0]), attr_ints(ATTR_PAD_LOW, ns, list[1]),
        attr_ints(ATTR_PAD_HIGH, ns, list[2]),
        attr_ints(ATTR_BASE_DILATION, ns, list[3]), attr_ints(ATTR_WINDOW_DILATION, ns, list[4]),
        attr_ints(ATTR_WINDOW_REVERSE, ns, v->reverse), attr_ints(ATTR_LHS_SPEC, nr, v->lhs),
        attr_ints(ATTR_RHS_SPEC, nr, v->rhs),
        attr_ints(ATTR_OUT_SPEC, nr, v->out), attr_int(ATTR_FEATURE_GROUPS, v->feature_groups),
        attr_int(ATTR_BATCH_GROUPS, v->batch_groups), attr_dtype(ATTR_DTYPE, v->dtype)};
    return node_make(c, &(struct draft){.op = TSR_OP_CONV, .nsrc = 2, .src = (tsr_node *[]){x, w},
                                        .nattr = sizeof attr / sizeof *attr, .attr = attr});
}

void conv_of(int nattr, const struct attr *attr, struct conv *v) {
    const struct draft d = {.op = TSR_OP_CONV, .nattr = nattr, .attr = attr};
    *v = (struct conv){.spatial = (int)draft_attr(&d, ATTR_STRIDE)->n,
                       .feature_groups = draft_int(&d, ATTR_FEATURE_GROUPS),
                       .batch_groups = draft_int(&d, ATTR_BATCH_GROUPS), .dtype = draft_attr(&d, ATTR_DTYPE)->dtype};
    for (int i = 0; i < v->spatial + 2; i++) {
        v->lhs[i] = draft_ints(&d, ATTR_LHS_SPEC)[i];
        v->rhs[i] = draft_ints(&d, ATTR_RHS_SPEC)[i];
        v->out[i] = draft_ints(&d, ATTR_OUT_SPEC)[i];
    }
    for (int i = 0; i < v->spatial; i++) {
        v->axis[i] = (struct axis_window){.stride = draft_ints(&d, ATTR_STRIDE)[i],
                                          .base = draft_ints(&d, ATTR_BASE_DILATION)[i],
                                          .dilation = draft_ints(&d, ATTR_WINDOW_DILATION)[i],
                                          .low = draft_ints(&d, ATTR_PAD_LOW)[i],
                                          .high = draft_ints(&d, ATTR_PAD_HIGH)[i]};
        v->reverse[i] = draft_ints(&d, ATTR_WINDOW_REVERSE)[i] != 0;
    }
}

tsr_node *tsr_prim_conv(tsr_ctx *c, tsr_node *x, tsr_node *w, const tsr_conv_dims *d, tsr_dtype result) {
    struct conv v = {.spatial = d->spatial, .feature_groups = d->feature_groups ? d->feature_groups : 1,
                     .batch_groups = d->batch_groups ? d->batch_groups : 1, .dtype = result};
    if (d->spatial < 0 || d->spatial > TSR_MAX_RANK - 2) {
        err_set(c, TSR_EINVAL, "conv: %d spatial axes; 0 to %d are possible", d->spatial, TSR_MAX_RANK - 2);
        return tsr_poison(c);
    }
    for (int i = 0; i < d->spatial + 2; i++) {
        v.lhs[i] = d->lhs_spec ? d->lhs_spec[i] : i;
        v.rhs[i] = d->rhs_spec ? d->rhs_spec[i] : i;
        v.out[i] = d->out_spec ? d->out_spec[i] : i;
    }
    for (int i = 0; i < d->spatial; i++) {
        v.axis[i] = (struct axis_window){
            .stride = d->stride ? d->stride[i] : 1, .base = d->lhs_dilation ? d->lhs_dilation[i] : 1,
            .dilation = d->rhs_dilation ? d->rhs_dilation[i] : 1, .low = d->pad_low ? d->pad_low[i] : 0,
            .high = d->pad_high ? d->pad_high[i] : 0};
        v.reverse[i] = d->reverse && d->reverse[i];
    }
    return conv_make(c, x, w, &v);
}

/* ---- type ------------------------------------------------------------------------------------------------------- */

static bool conv_dtypes(tsr_ctx *c, const tsr_type *x, const tsr_type *w, tsr_dtype result) {
    if ((unsigned)result >= TSR_DTYPE_COUNT)
        return err_set(c, TSR_EINVAL, "conv: result dtype %d is no dtype", (int)result), false;
    if (x->dtype != w->dtype) {
        err_set(c, TSR_EINVAL, "conv: input %s and kernel %s have different dtypes; convert one of them",
                type_text(c, x), type_text(c, w));
        return false;
    }
    bool same_kind = dtype_is_float(x->dtype) ? dtype_is_float(result)
                   : dtype_is_complex(x->dtype) ? dtype_is_complex(result) : dtype_is_int(result) || result == TSR_BOOL;
    if (!same_kind)
        err_set(c, TSR_EINVAL, "conv: sums of %s products cannot be kept as %s; ask for a result of the same kind and "
                "convert it after", tsr_dtype_name(x->dtype), tsr_dtype_name(result));
    return same_kind;
}

static bool conv_numbers(tsr_ctx *c, const tsr_type *x, const tsr_type *w, const struct conv *v) {
    int rank = v->spatial + 2;
    if (x->rank != rank || w->rank != rank) {
        err_set(c, TSR_EINVAL, "conv: with %d spatial axes input and kernel have rank %d, but they are %s and %s",
                v->spatial, rank, type_text(c, x), type_text(c, w));
        return false;
    }
    if (!axes_check(c, "conv", "lhs_spec", (size_t)rank, v->lhs, rank) ||
        !axes_check(c, "conv", "rhs_spec", (size_t)rank, v->rhs, rank) ||
        !axes_check(c, "conv", "out_spec", (size_t)rank, v->out, rank))
        return false;
    for (int i = 0; i < v->spatial; i++)
        if (v->axis[i].stride < 1 || v->axis[i].base < 1 || v->axis[i].dilation < 1) {
            err_set(c, TSR_EINVAL, "conv: stride %" PRId64 ", lhs_dilation %" PRId64 " and rhs_dilation %" PRId64 " of "
                    "spatial axis %d must all be at least 1", v->axis[i].stride, v->axis[i].base, v->axis[i].dilation,
                    i);
            return false;
        }
    if (v->feature_groups >= 1 && v->batch_groups >= 1 && (v->feature_groups == 1 || v->batch_groups == 1)) return true;
    err_set(c, TSR_EINVAL, "conv: %" PRId64 " feature groups and %" PRId64 " batch groups; both are at least 1, and "
            "one of them is 1", v->feature_groups, v->batch_groups);
    return false;
}

/* n must be a multiple of groups. */
static bool divides(tsr_ctx *c, const tsr_extent *n, int64_t groups, const char *what, const tsr_type *t) {
    const tsr_extent *rest = tsr_extent_mod(c, n, tsr_extent_int(c, groups));
    return extent_require_equal(c, rest, tsr_extent_int(c, 0), "conv: %" PRId64 " groups do not divide the %s %s of %s",
                                groups, what, extent_text(c, n), type_text(c, t));
}

static bool conv_groups(tsr_ctx *c, const tsr_type *x, const tsr_type *w, const struct conv *v) {
    const tsr_extent *in = x->extent[v->lhs[1]], *kernel_in = w->extent[v->rhs[1]], *features = w->extent[v->rhs[0]];
    const tsr_extent *need = tsr_extent_mul(c, kernel_in, tsr_extent_int(c, v->feature_groups));
    return extent_require_equal(c, in, need,
                                "conv: input %s has %s features, but kernel %s takes %s in each of %" PRId64 " groups",
                                type_text(c, x), extent_text(c, in), type_text(c, w), extent_text(c, kernel_in),
                                v->feature_groups) && divides(c, features, v->feature_groups, "output features", w) &&
                                divides(c, features, v->batch_groups, "output features", w) &&
                                divides(c, x->extent[v->lhs[0]], v->batch_groups, "batch", x);
}

static const tsr_type *conv_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *w = d->src[1]->type;
    const tsr_extent *extent[TSR_MAX_RANK];
    struct conv v;
    conv_of(d->nattr, d->attr, &v);
    if (!axes_is_plain(c, "conv", x) || !axes_is_plain(c, "conv", w) || !conv_dtypes(c, x, w, v.dtype) ||
        !conv_numbers(c, x, w, &v) ||
        !conv_groups(c, x, w, &v))
        return NULL;
    extent[v.out[0]] = tsr_extent_floordiv(c, x->extent[v.lhs[0]], tsr_extent_int(c, v.batch_groups));
    extent[v.out[1]] = w->extent[v.rhs[0]];
    for (int i = 0; i < v.spatial; i++)
        extent[v.out[2 + i]] = axis_window_count(c, x->extent[v.lhs[2 + i]], w->extent[v.rhs[2 + i]], &v.axis[i]);
    return tsr_type_tensor(c, v.dtype, x->rank, extent);
}

/* ---- reference -------------------------------------------------------------------------------------------------- */

static struct ref_val conv_operand(const struct ref_tensor *t, int64_t at, tsr_dtype result) {
    struct ref_val v = ref_get(t, at);
    return dtype_is_int(result) || result == TSR_BOOL ? ref_convert(v, t->dtype, result) : v;
}

/* The sum for one result position at[] (axes of the result). */
static struct ref_val conv_at(const struct ref_call *r, const struct conv *v, const int64_t *at) {
    const struct ref_tensor *x = &r->in[0], *w = &r->in[1];
    tsr_dtype t = r->out[0].dtype;
    int64_t xi[TSR_MAX_RANK], wi[TSR_MAX_RANK], window[TSR_MAX_RANK], k[TSR_MAX_RANK], elements = 1;
    int64_t feature = at[v->out[1]], features = w->dim[v->rhs[0]], inputs = w->dim[v->rhs[1]];
    int64_t group = feature / (features / v->feature_groups), batch_group = feature / (features / v->batch_groups);
    struct ref_val acc = {0};
    for (int i = 0; i < v->spatial; i++) elements *= window[i] = w->dim[v->rhs[2 + i]];
    wi[v->rhs[0]] = feature;
    xi[v->lhs[0]] = batch_group * (x->dim[v->lhs[0]] / v->batch_groups) + at[v->out[0]];
    for (int64_t e = 0; e < elements; e++) {
        bool outside = false;
        ref_unravel(v->spatial, window, e, k);
        for (int i = 0; i < v->spatial; i++) {
            wi[v->rhs[2 + i]] = v->reverse[i] ? window[i] - 1 - k[i] : k[i];
            xi[v->lhs[2 + i]] = axis_window_at(&v->axis[i], x->dim[v->lhs[2 + i]], at[v->out[2 + i]], k[i]);
            outside = outside || xi[v->lhs[2 + i]] < 0;
        }
        for (int64_t f = 0; f < inputs && !outside; f++) {
            wi[v->rhs[1]] = f, xi[v->lhs[1]] = group * inputs + f;
            struct ref_val a = conv_operand(x, ref_ravel(x->rank, x->dim, xi), t),
                b = conv_operand(w, ref_ravel(w->rank, w->dim, wi), t);
            acc = ref_reduce(TSR_REDUCE_SUM, t, acc, ref_reduce(TSR_REDUCE_PROD, t, a, b));
        }
    }
    return acc;
}

static tsr_status conv_ref(struct ref_call *r) {
    struct ref_tensor *y = &r->out[0];
    struct conv v;
    int64_t at[TSR_MAX_RANK];
    conv_of(r->node->nattr, r->node->attr, &v);
    for (int64_t k = 0; k < y->count; k++) {
        ref_unravel(y->rank, y->dim, k, at);
        ref_set(y, k, conv_at(r, &v, at));
    }
    return TSR_OK;
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

static void random_spec(struct sample *s, int rank, bool plain, int64_t *spec) {
    for (int i = 0; i < rank; i++) spec[i] = i;
    for (int i = rank - 1; i > 0 && !plain; i--) {
        int64_t j = sample_int(s, 0, i), t = spec[i];
        spec[i] = spec[j], spec[j] = t;
    }
}

/* One of three shapes: plain (what nets use), or everything at once with feature groups, or with batch groups. */
static void random_conv(struct sample *s, struct conv *v, int64_t *xdim, int64_t *wdim) {
    bool plain = sample_int(s, 0, 2) == 0;
    int rank = (v->spatial = (int)sample_int(s, 0, s->size ? 3 : 2)) + 2;
    int64_t most = s->size ? 4 : 2, groups = plain ? 1 : sample_int(s, 1, s->size ? 3 : 2),
        inputs = sample_int(s, 1, most);
    bool by_batch = sample_int(s, 0, 2) == 0;
    v->feature_groups = by_batch ? 1 : groups, v->batch_groups = by_batch ? groups : 1;
    random_spec(s, rank, plain, v->lhs), random_spec(s, rank, plain, v->rhs), random_spec(s, rank, plain, v->out);
    wdim[v->rhs[0]] = groups * sample_int(s, 1, most), wdim[v->rhs[1]] = inputs;
    xdim[v->lhs[0]] = v->batch_groups * sample_int(s, sample_int(s, 0, 19) ? 1 : 0, most);
    xdim[v->lhs[1]] = v->feature_groups * inputs;
    for (int i = 0; i < v->spatial; i++) {
        int64_t n = sample_int(s, sample_int(s, 0, 19) ? 1 : 0, s->size == 0 ? 4 : v->spatial == 3 ? 6 : 11),
            k = sample_int(s, 1, 3);
        if (s->size == 2 && v->spatial == 1) n = sample_int(s, 500, 1500);
        v->axis[i] = (struct axis_window){.stride = sample_int(s, 1, 2), .base = plain ? 1 : sample_int(s, 1, 2),
                                          .dilation = plain ? 1 : sample_int(s, 1, 2)};
        v->axis[i].low = sample_int(s, plain || n < 3 ? 0 : -1, 2),
            v->axis[i].high = sample_int(s, plain || n < 3 ? 0 : -1, 2);
        v->reverse[i] = !plain && sample_int(s, 0, 1);
        xdim[v->lhs[2 + i]] = n, wdim[v->rhs[2 + i]] = k;
    }
}

static tsr_fn *conv_sample(tsr_ctx *c, struct sample *s) {
    int64_t xdim[TSR_MAX_RANK], wdim[TSR_MAX_RANK], terms = 1;
    struct conv v = {.dtype = s->dtype};
    random_conv(s, &v, xdim, wdim);
    if (sample_int(s, 0, 1)) v.dtype = dtype_accumulator(s->dtype);
    for (int i = 0; i < v.spatial + 1; i++) terms *= wdim[v.rhs[1 + i]];
    sample_sum_of(s, terms, 8);
    if (tsr_fn_begin(c, "conv")) return NULL;
    tsr_node *x = sample_param(c, s->dtype, v.spatial + 2, xdim), *w = sample_param(c, s->dtype, v.spatial + 2, wdim);
    tsr_node *y = conv_make(c, x, w, &v);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_CONV = {
    .name = "conv",
    .formula = "y[n, o, p] = sum over i, k of padded, dilated x[n, i, p stride + k dilation] w[o, i, k]",
    .spec = "StableHLO convolution",
    .cls = OP_CONTRACT,
    .arity = 2,
    .domain = "fiuc",
    .infer = conv_infer,
    .vjp = conv_vjp,
    .vmap = conv_vmap,
    .ref = conv_ref,
    .sample = conv_sample,
};
