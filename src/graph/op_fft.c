/* op_fft.c: discrete Fourier transforms over the last n axes (1 to 3): fft, ifft, rfft, irfft as StableHLO's fft has
 * them.
 *
 *   fft    Y[k] = sum_j X[j] exp(-2 pi i j k / L)          complex to complex
 *   ifft   the same with +, divided by L                   complex to complex
 *   rfft   fft of a real operand, the last axis cut to L/2 + 1
 *   irfft  its inverse: the last axis of the operand has L/2 + 1 points (0 when L is 0); real result of length L
 * lengths are those of the real or full side; they are constants. Axes before the transformed ones are batch.
 *
 * Gradients are the transposed linear maps: with the pairing Re(g dy) of complex cotangents no conjugate appears.
 * rfft: pad the cotangent's last axis with zeros, transform, take the real part. irfft: the conjugate of rfft of the
 * cotangent, divided by the number of points, doubled for the columns that stand for two. */
#include <inttypes.h>
#include <math.h>

#include "graph/axes.h"
#include "graph/ref.h"

static const char *const mode_name[] = {"fft", "ifft", "rfft", "irfft"};

static tsr_dtype other_dtype(tsr_dtype t) {
    return t == TSR_F32 ? TSR_C64 : t == TSR_F64 ? TSR_C128 : dtype_real(t);
}

static bool dtype_fits(tsr_ctx *c, tsr_fft how, const tsr_type *x) {
    bool real = x->dtype == TSR_F32 || x->dtype == TSR_F64, cplx = dtype_is_complex(x->dtype);
    if (how == TSR_RFFT ? real : cplx) return true;
    err_set(c, TSR_EINVAL, "%s of %s: the operand must be %s", mode_name[how], type_text(c, x), how == TSR_RFFT
            ? "f32 or f64 (fft takes complex ones)" : "c64 or c128 (rfft takes real ones)");
    return false;
}

static const tsr_type *fft_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    int64_t how = draft_int(d, ATTR_MODE);
    const struct attr *lengths = draft_attr(d, ATTR_LENGTHS);
    int n = (int)lengths->n;
    if (how < TSR_FFT || how > TSR_IRFFT)
        return err_set(c, TSR_EINVAL, "fft: there is no kind %d; see tsr_fft", (int)how), NULL;
    if (!axes_is_tensor(c, mode_name[how], x) || !dtype_fits(c, (tsr_fft)how, x)) return NULL;
    if (n < 1 || n > 3 || n > x->rank)
        return err_set(c, TSR_EINVAL, "%s of %s over %d axes: 1 to 3 of its last axes can be transformed",
                       mode_name[how], type_text(c, x), n), NULL;
    for (int i = 0; i < n; i++) {
        int64_t length = lengths->ints[i];
        int64_t want = how == TSR_IRFFT && i == n - 1 ? (length ? length / 2 + 1 : 0) : length;
        const tsr_extent *e = length >= 0 ? tsr_extent_int(c, want) : NULL;
        if (length < 0) err_set(c, TSR_EINVAL, "%s: length %" PRId64 " is negative", mode_name[how], length);
        if (!e || !extent_require_equal(c, x->extent[x->rank - n + i], e,
                                        "%s of %s: axis %d must have %" PRId64 " points for a transform of length "
                                                            "%" PRId64,
                                        mode_name[how], type_text(c, x), x->rank - n + i, want, length))
            return NULL;
    }
    const tsr_type *y = how == TSR_RFFT || how == TSR_IRFFT ? type_with_dtype(c, x, other_dtype(x->dtype)) : x;
    int64_t last = lengths->ints[n - 1];
    if (y && y != x)
        y = type_with_extent(c, y, x->rank - 1, tsr_extent_int(c, how == TSR_IRFFT ? last : last ? last / 2 + 1 : 0));
    return y;
}

tsr_node *tsr_prim_fft(tsr_ctx *c, tsr_node *x, tsr_fft how, int n, const int64_t *lengths) {
    struct attr a[] = {attr_int(ATTR_MODE, how), attr_ints(ATTR_LENGTHS, n > 0 ? (size_t)n : 0, lengths)};
    if (axes_poison(1, &x)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_FFT, .nsrc = 1, .src = &x, .nattr = 2, .attr = a});
}

/* ---- gradient and batching --------------------------------------------------------------------------------------- */

static tsr_node *pad_last(tsr_ctx *c, tsr_node *x, int64_t high) {
    int64_t lo[TSR_MAX_RANK] = {0}, hi[TSR_MAX_RANK] = {0};
    int rank = tsr_node_rank(x);
    if (tsr_is_poison(x) || rank < 1) return tsr_poison(c);
    hi[rank - 1] = high;
    return tsr_prim_pad_ints(c, x, tsr_scalar_float(c, tsr_node_dtype(x), 0), lo, hi, NULL);
}

/* 1 for the columns 0 and L/2 (L even) of the half axis, which are their own mirror images, 2 for the others; times
 * scale. */
static tsr_node *mirror_weight(tsr_ctx *c, const tsr_type *t, int64_t length, double scale) {
    const tsr_type *it = type_with_dtype(c, t, TSR_I32);
    tsr_node *i = it ? tsr_prim_iota(c, it, t->rank - 1) : tsr_poison(c);
    tsr_node *own = tsr_prim2(c, TSR_S_EQ, i, rule_full_like(c, i, 0));
    if (length % 2 == 0)
        own = tsr_prim2(c, TSR_S_OR, own, tsr_prim2(c, TSR_S_EQ, i, rule_full_like(c, i, (double)(length / 2))));
    const tsr_type *rt = type_with_dtype(c, t, dtype_real(t->dtype));
    return rt ? tsr_prim3(c, TSR_S_SELECT, own, tsr_full(c, rt, scale), tsr_full(c, rt, 2 * scale)) : tsr_poison(c);
}

static bool fft_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_fft how = (tsr_fft)node_int(n, ATTR_MODE);
    int count;
    const int64_t *length = node_ints(n, ATTR_LENGTHS, &count);
    int64_t last = length[count - 1];
    double points = 1;
    for (int i = 0; i < count; i++) points *= (double)length[i];
    if (!want[0]) return true;
    if (how == TSR_FFT || how == TSR_IFFT) gsrc[0] = tsr_prim_fft(c, gout[0], how, count, length);
    else if (points == 0) gsrc[0] = rule_zeros(c, n->src[0]->type);
    else if (how == TSR_RFFT)
        gsrc[0] = tsr_prim1(c, TSR_S_REAL, tsr_prim_fft(c, pad_last(c, gout[0], last - (last / 2 + 1)), TSR_FFT, count,
                                                        length));
    else {
        tsr_node *g = tsr_prim_fft(c, gout[0], TSR_RFFT, count, length);
        tsr_node *w = mirror_weight(c, n->src[0]->type, last, 1 / points);
        tsr_node *re = tsr_prim2(c, TSR_S_MUL, tsr_prim1(c, TSR_S_REAL, g), w);
        tsr_node *im = tsr_prim2(c, TSR_S_MUL, tsr_prim1(c, TSR_S_IMAG, g), w);
        gsrc[0] = tsr_prim2(c, TSR_S_COMPLEX, re, tsr_prim1(c, TSR_S_NEG, im));
    }
    return true;
}

static tsr_node *fft_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    int count;
    const int64_t *length = node_ints(n, ATTR_LENGTHS, &count);
    return tsr_prim_fft(c, rule_batch(c, src[0], batched[0], size), (tsr_fft)node_int(n, ATTR_MODE), count, length);
}

/* ---- reference: the sum as it is written, over one axis after the other ------------------------------------------ */

struct dft {
    int n;
    const int64_t *length;
    double sign;
    int64_t points;   /* of one transform: the product of the lengths */
    double *re, *im;  /* (points), then room for one line: (longest axis) */
};

/* One transform's operand at `base`. half: the extent stored on the last axis; what an irfft does not store is the
 * conjugate of the mirror point. */
static void dft_load(const struct dft *d, const struct ref_tensor *x, int64_t base, int64_t half) {
    int64_t stored[3], at[3];
    for (int a = 0; a < d->n; a++) stored[a] = a == d->n - 1 ? half : d->length[a];
    for (int64_t j = 0; j < d->points; j++) {
        ref_unravel(d->n, d->length, j, at);
        bool missing = at[d->n - 1] >= half;
        for (int a = 0; missing && a < d->n; a++) at[a] = (d->length[a] - at[a]) % d->length[a];
        struct ref_val v = ref_get(x, base + ref_ravel(d->n, stored, at));
        double im = dtype_is_complex(x->dtype) ? v.im : 0;
        d->re[j] = v.re, d->im[j] = missing ? -im : im;
    }
}

/* Every line along axis a: y[k] = sum over j of x[j] exp(sign 2 pi i j k / L). */
static void dft_axis(const struct dft *d, int a) {
    int64_t n = d->length[a], step = 1;
    double *re = d->re + d->points, *im = d->im + d->points;
    for (int b = a + 1; b < d->n; b++) step *= d->length[b];
    for (int64_t first = 0; first < d->points; first++) {
        if (first / step % n) continue;
        for (int64_t k = 0; k < n; k++) {
            re[k] = im[k] = 0;
            for (int64_t j = 0; j < n; j++) {
                double angle = d->sign * 6.283185307179586476925 * (double)(j * k % n) / (double)n;
                double c = cos(angle), s = sin(angle), x = d->re[first + j * step], y = d->im[first + j * step];
                re[k] += x * c - y * s, im[k] += x * s + y * c;
            }
        }
        for (int64_t k = 0; k < n; k++) d->re[first + k * step] = re[k], d->im[first + k * step] = im[k];
    }
}

/* Result i of the transform: an rfft keeps the first half of the last axis. */
static void dft_store(const struct dft *d, struct ref_tensor *y, int64_t base, int64_t count) {
    double scale = d->sign > 0 ? (double)d->points : 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t k[3];
        ref_unravel(d->n, y->dim + y->rank - d->n, i, k);
        int64_t from = ref_ravel(d->n, d->length, k);
        ref_set(y, base + i, (struct ref_val){.re = d->re[from] / scale, .im = d->im[from] / scale});
    }
}

static tsr_status fft_ref(struct ref_call *r) {
    tsr_fft how = (tsr_fft)node_int(r->node, ATTR_MODE);
    const struct ref_tensor *x = &r->in[0];
    struct ref_tensor *y = &r->out[0];
    struct dft d = {.sign = how == TSR_IFFT || how == TSR_IRFFT ? 1 : -1, .points = 1};
    int64_t xs = 1, ys = 1, longest = 0; /* elements of one transform on either side */
    d.length = node_ints(r->node, ATTR_LENGTHS, &d.n);
    for (int a = 0; a < d.n; a++) {
        xs *= x->dim[x->rank - d.n + a], ys *= y->dim[y->rank - d.n + a], d.points *= d.length[a];
        if (d.length[a] > longest) longest = d.length[a];
    }
    size_t room = (size_t)(d.points + longest);
    d.re = mem_array(r->c, room, sizeof *d.re), d.im = mem_array(r->c, room, sizeof *d.im);
    for (int64_t i = 0; d.re && d.im && ys && i < y->count / ys; i++) {
        dft_load(&d, x, i * xs, x->dim[x->rank - 1]);
        for (int a = 0; a < d.n; a++) dft_axis(&d, a);
        dft_store(&d, y, i * ys, ys);
    }
    tsr_status s = d.re && d.im ? TSR_OK : TSR_ENOMEM;
    mem_array_free(r->c, d.re, room, sizeof *d.re), mem_array_free(r->c, d.im, room, sizeof *d.im);
    return s;
}

static tsr_fn *fft_sample(tsr_ctx *c, struct sample *s) {
    if (s->dtype != TSR_F32 && s->dtype != TSR_F64 && !dtype_is_complex(s->dtype))
        return NULL; /* other floats have no transform */
    bool real = dtype_is_float(s->dtype);
    tsr_fft how = real ? TSR_RFFT : (tsr_fft)(sample_int(s, 0, 2) == 2 ? TSR_IRFFT : sample_int(s, 0, 1));
    int64_t dim[4], lengths[3];
    int n = (int)sample_int(s, 1, 3), rank = n + (int)sample_int(s, 0, 1);
    if (tsr_fn_begin(c, mode_name[how]) != TSR_OK) return NULL;
    sample_dims(s, rank, dim);
    int64_t points = 1; /* the reference takes time with their square */
    for (int i = rank - n; i < rank; i++) {
        while (points * dim[i] > 400) dim[i] = (dim[i] + 1) / 2;
        points *= dim[i] ? dim[i] : 1;
    }
    for (int i = 0; i < n; i++) lengths[i] = dim[rank - n + i];
    if (how == TSR_IRFFT) dim[rank - 1] = lengths[n - 1] ? lengths[n - 1] / 2 + 1 : 0;
    s->atol *= 64;
    tsr_node *y = tsr_prim_fft(c, sample_param(c, s->dtype, rank, dim), how, n, lengths);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_FFT = {
    .name = "fft", .formula = "Y[k] = sum_j X[j] exp(-2 pi i j k / L)", .spec = "StableHLO fft", .cls = OP_LIBRARY,
    .arity = 1, .domain = "fc",
    .infer = fft_infer, .vjp = fft_vjp, .vmap = fft_vmap, .ref = fft_ref, .sample = fft_sample,
};
