/* lib_fft.c: discrete Fourier transforms of any length.
 *
 * One line of n points is a Stockham autosort transform (no bit reversal: each pass reads one array and writes the
 * other) over the factors 4, 2, 3, 5, 7 and, by a direct butterfly, primes to 31. A length with a greater prime
 * factor goes through Bluestein's identity jk = (j^2 + k^2 - (k - j)^2) / 2: the transform becomes a convolution with
 * a chirp, done by transforms of a power of two. Everything is computed in f64 whatever the dtype, so f32 results
 * carry little more than one rounding an axis. Twiddles come from sin and cos of angles reduced to an eighth of a
 * turn, so that they are exact where they can be.
 *
 * A transform over several axes is one over each. Real transforms work on whole complex lines: rfft drops
 * the mirrored half of the last axis, irfft first restores it (as the conjugate; imaginary parts of the
 * lines' own mirror points are not read). */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "device/cpu/lib.h"

enum { PRIME_MAX = 31, FACTORS_MAX = 64, TASK = 1 << 13 };

struct cx { double re, im; };
static struct cx add(struct cx a, struct cx b) { return (struct cx){a.re + b.re, a.im + b.im}; }
static struct cx sub(struct cx a, struct cx b) { return (struct cx){a.re - b.re, a.im - b.im}; }
static struct cx mul(struct cx a, struct cx b) {
    return (struct cx){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* exp(-2 pi i k / n), 0 <= k < n. */
static struct cx root(int64_t k, int64_t n) {
    int64_t eighth = 8 * k / n; /* which eighth of the turn */
    int64_t quarter = (eighth + 1) / 2; /* nearest multiple of a quarter turn */
    double x = 6.283185307179586476925 * (double)(4 * k - quarter * n) / (4.0 * (double)n), c = cos(x), s = sin(x);
    switch (quarter & 3) {
    case 0: return (struct cx){c, -s};
    case 1: return (struct cx){-s, -c};
    case 2: return (struct cx){-c, s};
    default: return (struct cx){s, c};
    }
}

/* What is known about a length before any line is transformed. */
struct fft_plan {
    tsr_ctx *c;
    int64_t n;
    int nfactor;
    int factor[FACTORS_MAX];
    struct cx *twiddle; /* (n) roots of unity */
    struct fft_plan *inner; /* Bluestein: the transform of m = 2^p >= 2 n - 1 points, or NULL */
    struct cx *chirp;       /* (n) exp(-pi i j^2 / n) */
    struct cx *kernel;      /* (m) transform of the conjugate chirp, wrapped */
};

static bool factorize(struct fft_plan *p) {
    static const int candidate[] = {4, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, PRIME_MAX};
    int64_t left = p->n;
    for (size_t i = 0; i < sizeof candidate / sizeof *candidate; i++)
        for (; left % candidate[i] == 0; left /= candidate[i]) p->factor[p->nfactor++] = candidate[i];
    return left == 1;
}

static void plan_free(struct fft_plan *p) {
    if (!p) return;
    mem_array_free(p->c, p->twiddle, (size_t)p->n, sizeof(struct cx));
    mem_array_free(p->c, p->chirp, (size_t)p->n, sizeof(struct cx));
    if (p->inner) mem_array_free(p->c, p->kernel, (size_t)p->inner->n, sizeof(struct cx));
    plan_free(p->inner);
    mem_del(p->c, p);
}

static void transform(const struct fft_plan *p, struct cx *x, struct cx *scratch);

/* Points of scratch that one line needs. */
static int64_t scratch_points(const struct fft_plan *p) { return p->inner ? 2 * p->inner->n : p->n; }

static bool plan_chirp(struct fft_plan *p, struct fft_plan *inner) {
    int64_t n = p->n, m = inner->n;
    p->chirp = mem_array(p->c, (size_t)n, sizeof(struct cx));
    p->kernel = mem_array(p->c, (size_t)m, sizeof(struct cx));
    struct cx *t = mem_array(p->c, (size_t)m, sizeof(struct cx));
    if (!p->chirp || !p->kernel || !t) return mem_array_free(p->c, t, (size_t)m, sizeof(struct cx)), false;
    for (int64_t j = 0; j < n; j++) {
        p->chirp[j] = root((int64_t)((unsigned __int128)j * (unsigned __int128)j % (unsigned __int128)(2 * n)), 2 * n);
        struct cx conj = {p->chirp[j].re, -p->chirp[j].im};
        p->kernel[j] = conj;
        if (j) p->kernel[m - j] = conj;
    }
    transform(inner, p->kernel, t);
    mem_array_free(p->c, t, (size_t)m, sizeof(struct cx));
    return true;
}

static struct fft_plan *plan_new(tsr_ctx *c, int64_t n) {
    struct fft_plan *p = mem_new(c, struct fft_plan);
    if (!p) return NULL;
    p->c = c, p->n = n;
    if (factorize(p)) {
        p->twiddle = mem_array(c, (size_t)n, sizeof(struct cx));
        if (!p->twiddle) return plan_free(p), NULL;
        for (int64_t k = 0; k < n; k++) p->twiddle[k] = root(k, n);
        return p;
    }
    int64_t m = 1;
    while (m < 2 * n - 1) m *= 2;
    p->inner = plan_new(c, m);
    if (!p->inner || !plan_chirp(p, p->inner)) return plan_free(p), NULL;
    return p;
}

/* ---- passes: y[k + s (r q + j)] = w^(j q s) * sum_i x[k + s (q + m i)] w_r^(i j), q < m = n / r, k < s ----------- */

static void pass2(int64_t m, int64_t s, const struct cx *w, const struct cx *x, struct cx *y) {
    for (int64_t q = 0; q < m; q++)
        for (int64_t k = 0; k < s; k++) {
            struct cx a = x[k + s * q], b = x[k + s * (q + m)];
            y[k + s * 2 * q] = add(a, b);
            y[k + s * (2 * q + 1)] = mul(w[q * s], sub(a, b));
        }
}

static void pass4(int64_t m, int64_t s, const struct cx *w, const struct cx *x, struct cx *y) {
    for (int64_t q = 0; q < m; q++) {
        struct cx w1 = w[q * s], w2 = w[2 * q * s], w3 = w[3 * q * s];
        for (int64_t k = 0; k < s; k++) {
            struct cx a = x[k + s * q], b = x[k + s * (q + m)], c = x[k + s * (q + 2 * m)], d = x[k + s * (q + 3 * m)];
            struct cx ac = add(a, c), a_c = sub(a, c), bd = add(b, d), b_d = sub(b, d);
            struct cx turned = {b_d.im, -b_d.re}; /* -i (b - d) */
            struct cx *out = y + k + s * 4 * q;
            out[0] = add(ac, bd);
            out[s] = mul(w1, add(a_c, turned));
            out[2 * s] = mul(w2, sub(ac, bd));
            out[3 * s] = mul(w3, sub(a_c, turned));
        }
    }
}

static void pass_any(int r, int64_t m, int64_t s, const struct cx *w, const struct cx *x, struct cx *y) {
    int64_t n = m * r * s; /* the whole length: w has n roots */
    for (int64_t q = 0; q < m; q++)
        for (int64_t k = 0; k < s; k++)
            for (int j = 0; j < r; j++) {
                struct cx sum = x[k + s * q];
                for (int i = 1; i < r; i++) sum = add(sum, mul(x[k + s * (q + m * i)], w[n / r * (i * j % r)]));
                y[k + s * (r * q + j)] = mul(w[j * q * s], sum);
            }
}

static void stockham(const struct fft_plan *p, struct cx *x, struct cx *scratch) {
    struct cx *from = x, *to = scratch;
    int64_t s = 1, left = p->n;
    for (int f = 0; f < p->nfactor; f++) {
        int r = p->factor[f];
        left /= r;
        if (r == 4) pass4(left, s, p->twiddle, from, to);
        else if (r == 2) pass2(left, s, p->twiddle, from, to);
        else pass_any(r, left, s, p->twiddle, from, to);
        s *= r;
        struct cx *swap = from;
        from = to, to = swap;
    }
    if (from != x) memcpy(x, from, (size_t)p->n * sizeof *x);
}

/* scratch: 2 m points, the padded line and the inner transform's own. */
static void bluestein(const struct fft_plan *p, struct cx *x, struct cx *scratch) {
    int64_t n = p->n, m = p->inner->n;
    struct cx *a = scratch;
    for (int64_t j = 0; j < n; j++) a[j] = mul(x[j], p->chirp[j]);
    memset(a + n, 0, (size_t)(m - n) * sizeof *a);
    transform(p->inner, a, scratch + m);
    for (int64_t k = 0; k < m; k++) { /* the inverse transform as the conjugate of the transform of the conjugate */
        struct cx v = mul(a[k], p->kernel[k]);
        a[k] = (struct cx){v.re, -v.im};
    }
    transform(p->inner, a, scratch + m);
    for (int64_t k = 0; k < n; k++) x[k] = mul((struct cx){a[k].re / (double)m, -a[k].im / (double)m}, p->chirp[k]);
}

static void transform(const struct fft_plan *p, struct cx *x, struct cx *scratch) {
    if (p->inner) bluestein(p, x, scratch);
    else stockham(p, x, scratch);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* One axis of one tensor: lines of n points, point j of line l at (l / inner * extent + j) * inner + l % inner. Source
 * and destination may have fewer points (half spectra) and may be real. */
struct lines {
    const struct lib_call *k;
    const struct fft_plan *plan;
    tsr_dtype from, to;
    const void *src;
    void *dst;
    int64_t n, nsrc, ndst, inner, lines, per_task;
    bool inverse;
    atomic_bool failed;
};

static void load_line(const struct lines *l, int64_t line, struct cx *x) {
    int64_t base = line / l->inner * l->nsrc * l->inner + line % l->inner;
    for (int64_t j = 0; j < l->nsrc; j++) {
        x[j].im = 0;
        lib_load_f64(l->from, l->src, base + j * l->inner, 1, (double *)&x[j]);
    }
    if (l->nsrc == l->n) return;
    x[0].im = 0; /* half a spectrum: what is its own mirror image is real */
    if (l->n % 2 == 0) x[l->n / 2].im = 0;
    for (int64_t j = l->nsrc; j < l->n; j++) x[j] = (struct cx){x[l->n - j].re, -x[l->n - j].im};
}

static void store_line(const struct lines *l, int64_t line, struct cx *x) {
    int64_t base = line / l->inner * l->ndst * l->inner + line % l->inner;
    for (int64_t j = 0; j < l->ndst; j++) {
        if (l->inverse) x[j] = (struct cx){x[j].re / (double)l->n, -x[j].im / (double)l->n};
        lib_store_f64(l->to, l->dst, base + j * l->inner, 1, (double *)&x[j]);
    }
}

static void line_task(void *arg, int64_t task, int worker) {
    (void)worker;
    struct lines *l = arg;
    size_t points = (size_t)(l->n + scratch_points(l->plan));
    struct cx *x = mem_array(l->k->c, points, sizeof *x);
    if (!x) {
        atomic_store(&l->failed, true);
        return;
    }
    for (int64_t i = task * l->per_task; i < l->lines && i < (task + 1) * l->per_task; i++) {
        load_line(l, i, x);
        if (l->inverse)
            for (int64_t j = 0; j < l->n; j++) x[j].im = -x[j].im;
        transform(l->plan, x, x + l->n);
        store_line(l, i, x);
    }
    mem_array_free(l->k->c, x, points, sizeof *x);
}

/* Transforms axis `axis` from src (dims, but nsrc points there) to dst (ndst points). */
static tsr_status run_axis(struct lines *l, int rank, const int64_t *dim, int axis) {
    l->inner = lib_product(rank - axis - 1, dim + axis + 1);
    l->lines = lib_product(axis, dim) * l->inner;
    if (!l->lines || !l->n) return TSR_OK;
    struct fft_plan *p = plan_new(l->k->c, l->n);
    if (!p) return TSR_ENOMEM;
    l->plan = p;
    l->per_task = l->n < TASK ? TASK / l->n : 1;
    pool_for(l->k->pool, lib_ceil(l->lines, l->per_task), line_task, l);
    plan_free(p);
    return atomic_load(&l->failed) ? TSR_ENOMEM : TSR_OK;
}

tsr_status lib_fft(const struct lib_call *k) {
    const struct lib_tensor *x = &k->t[0], *y = &k->t[1];
    enum lib_fft how = (enum lib_fft)k->ints[0];
    int n = (int)k->ints[1], rank = x->rank;
    const int64_t *length = k->ints + 2;
    bool inverse = how == LIB_IFFT || how == LIB_IRFFT;
    if (!lib_count(y)) return TSR_OK;
    /* irfft ends with the half axis, so its other axes go first, in a complex copy of the operand */
    const struct lib_tensor *work = how == LIB_IRFFT ? x : y;
    size_t bytes = (size_t)lib_count(work) * (size_t)tsr_dtype_of(work->dtype)->bytes;
    void *copy = how == LIB_IRFFT ? mem_alloc(k->c, bytes) : NULL;
    if (how == LIB_IRFFT && !copy) return TSR_ENOMEM;
    void *half = copy ? copy : y->p;
    if (copy) memcpy(copy, x->p, bytes);
    tsr_status s = TSR_OK;
    int last = rank - 1;
    struct lines l = {.k = k, .inverse = inverse};
    if (how != LIB_IRFFT) {
        l.from = x->dtype, l.to = y->dtype, l.src = x->p, l.dst = y->p;
        l.n = length[n - 1], l.nsrc = x->dim[last], l.ndst = y->dim[last];
        s = run_axis(&l, rank, y->dim, last);
    }
    for (int i = n - 2; i >= 0 && s == TSR_OK; i--) {
        l.from = l.to = work->dtype, l.src = l.dst = half;
        l.n = l.nsrc = l.ndst = length[i];
        s = run_axis(&l, rank, work->dim, rank - n + i);
    }
    if (how == LIB_IRFFT && s == TSR_OK) {
        l.from = x->dtype, l.to = y->dtype, l.src = half, l.dst = y->p;
        l.n = length[n - 1], l.nsrc = x->dim[last], l.ndst = y->dim[last];
        s = run_axis(&l, rank, y->dim, last);
    }
    mem_free(k->c, copy, bytes);
    return s;
}
