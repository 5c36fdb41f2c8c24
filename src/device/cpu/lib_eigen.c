/* lib_eigen.c: singular values and symmetric (Hermitian) eigenvalues of batches of matrices, in f64.
 *
 * svd is one-sided Jacobi (Hestenes 1958; Demmel and Veselic 1992 for its accuracy): pairs of columns are rotated
 * until all are orthogonal; their lengths are the singular values. A sweep goes through all pairs in rounds of
 * disjoint pairs (a round-robin tournament), so a round runs on all threads and gives the same bits on one.
 * Columns of length zero get left vectors that complete the basis. A wide matrix is done as its transpose. eigh of
 * real matrices: Householder reduction to a tridiagonal matrix, then QL steps with implicit shifts (Golub and Van
 * Loan, 8.3); of complex matrices: two-sided Jacobi. Only the lower triangle is read. Vectors are unique up to a
 * sign (a phase when complex), which is fixed here: the first entry of nearly the greatest magnitude in a column
 * of u, or of v for eigh, is real and positive. */
#include <complex.h>
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "device/cpu/lib.h"

enum { SWEEPS_MAX = 60, PARALLEL_FROM = 1 << 14 };
/* entries this near the greatest count as ties, so that rounding does not choose the sign */
#define SAME_MAGNITUDE 0.999999

/* ---- svd --------------------------------------------------------------------------------------------------------- */

struct svd_job {
    int64_t m, n, players, round; /* players: n, or n + 1 when odd (the last one rests) */
    double *w, *v;                /* columns of a (n, m) and of v (n, n), one after the other */
    atomic_bool turned;
};

static double dot(int64_t n, const double *a, const double *b) {
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) s0 += a[i] * b[i], s1 += a[i + 1] * b[i + 1], s2 += a[i + 2] * b[i + 2],
        s3 += a[i + 3] * b[i + 3];
    for (; i < n; i++) s0 += a[i] * b[i];
    return (s0 + s1) + (s2 + s3);
}

static void rotate(int64_t n, double *x, double *y, double c, double s) {
    for (int64_t i = 0; i < n; i++) {
        double a = x[i], b = y[i];
        x[i] = c * a - s * b, y[i] = s * a + c * b;
    }
}

/* Pair `i` of the round: seat 0 stays, the others move round the table. */
static void svd_pair(void *arg, int64_t i, int worker) {
    (void)worker;
    struct svd_job *j = arg;
    int64_t seats = j->players - 1, p = i ? (j->round + i) % seats + 1 : 0, q = (j->round + seats - i) % seats + 1;
    if (p > q) {
        int64_t swap = p;
        p = q, q = swap;
    }
    if (q >= j->n) return;
    double *x = j->w + p * j->m, *y = j->w + q * j->m;
    double alpha = dot(j->m, x, x), beta = dot(j->m, y, y), gamma = dot(j->m, x, y);
    if (fabs(gamma) <= 4 * DBL_EPSILON * sqrt(alpha) * sqrt(beta) || fabs(gamma) < DBL_MIN) return;
    double zeta = (beta - alpha) / (2 * gamma), t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + hypot(1, zeta)),
        c = 1 / hypot(1, t);
    rotate(j->m, x, y, c, c * t);
    rotate(j->n, j->v + p * j->n, j->v + q * j->n, c, c * t);
    atomic_store(&j->turned, true);
}

static void orthogonalize(struct pool *pool, struct svd_job *j) {
    j->players = j->n + j->n % 2;
    atomic_store(&j->turned, j->n > 1);
    for (int sweep = 0; sweep < SWEEPS_MAX && atomic_load(&j->turned); sweep++) {
        atomic_store(&j->turned, false);
        for (j->round = 0; j->round < j->players - 1; j->round++)
            pool_for(j->n * j->m > PARALLEL_FROM ? pool : NULL, j->players / 2, svd_pair, j);
    }
}

static void swap_columns(int64_t n, double *x, double *y) {
    for (int64_t i = 0; i < n; i++) {
        double a = x[i];
        x[i] = y[i], y[i] = a;
    }
}

/* A unit vector orthogonal to the `have` unit columns before it: some unit vector of the
 * basis keeps a length of 1 / sqrt(m). */
static void complete_column(int64_t m, int64_t have, double *columns) {
    double *x = columns + have * m;
    for (int64_t e = 0; e < m; e++) {
        for (int64_t i = 0; i < m; i++) x[i] = i == e;
        for (int64_t pass = 0; pass < 2; pass++)
            for (int64_t c = 0; c < have; c++) {
                double f = dot(m, columns + c * m, x);
                for (int64_t i = 0; i < m; i++) x[i] -= f * columns[c * m + i];
            }
        double length = sqrt(dot(m, x, x));
        if (length * length * 2 * (double)m < 1) continue;
        for (int64_t i = 0; i < m; i++) x[i] /= length;
        return;
    }
}

static double sign_of_column(int64_t n, const double *x) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    for (int64_t i = 0; i < n; i++)
        if (fabs(x[i]) >= SAME_MAGNITUDE * most) return x[i] < 0 ? -1 : 1;
    return 1;
}

/* Lengths, order, unit columns, signs. s (n). */
static void finish_svd(struct svd_job *j, double *s) {
    for (int64_t c = 0; c < j->n; c++) s[c] = sqrt(dot(j->m, j->w + c * j->m, j->w + c * j->m));
    for (int64_t c = 0; c < j->n; c++) { /* selection sort: n swaps of columns at most */
        int64_t best = c;
        for (int64_t d = c + 1; d < j->n; d++)
            if (s[d] > s[best]) best = d;
        if (best == c) continue;
        swap_columns(1, s + c, s + best);
        swap_columns(j->m, j->w + c * j->m, j->w + best * j->m);
        swap_columns(j->n, j->v + c * j->n, j->v + best * j->n);
    }
    for (int64_t c = 0; c < j->n; c++) {
        double *u = j->w + c * j->m;
        if (s[c] < DBL_MIN) complete_column(j->m, c, j->w);
        else
            for (int64_t i = 0; i < j->m; i++) u[i] /= s[c];
    }
}

static int64_t rows(const struct lib_tensor *t) { return t->dim[t->rank - 2]; }
static int64_t cols(const struct lib_tensor *t) { return t->dim[t->rank - 1]; }

struct batch_job {
    const struct lib_call *k;
    struct pool *pool;
    int64_t words; /* doubles of scratch */
    void (*one)(const struct batch_job *j, int64_t index, double *scratch);
    atomic_bool failed;
};

/* Scratch: the matrix (m n), w (m n), v (n n), s. With a wide matrix m and n change places, and u and v with them. */
static void svd_one(const struct batch_job *b, int64_t index, double *scratch) {
    const struct lib_tensor *a = &b->k->t[0], *u = &b->k->t[1], *vt = &b->k->t[3];
    int64_t r = rows(a), c = cols(a), m = r > c ? r : c, n = r > c ? c : r;
    double *plain = scratch, *w = plain + r * c, *v = w + r * c, *s = v + n * n;
    struct svd_job j = {.m = m, .n = n, .w = w, .v = v};
    lib_load_f64(a->dtype, a->p, index * r * c, r * c, plain);
    double scale = 0; /* squares of lengths must neither overflow nor vanish */
    for (int64_t i = 0; i < r * c; i++) scale = fabs(plain[i]) > scale || isnan(plain[i]) ? fabs(plain[i]) : scale;
    if (!(scale > 0 && isfinite(scale))) scale = 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t q = 0; q < m; q++) w[i * m + q] = plain[r >= c ? q * c + i : i * c + q] / scale;
    for (int64_t i = 0; i < n * n; i++) v[i] = i / n == i % n;
    orthogonalize(b->pool, &j);
    finish_svd(&j, s);
    const double *left = r >= c ? w : v, *right = r >= c ? v : w; /* columns of length r and c */
    for (int64_t i = 0; i < n; i++) {
        double sign = sign_of_column(r, left + i * r), value;
        for (int64_t q = 0; q < r; q++) value = sign * left[i * r + q],
            lib_store_f64(u->dtype, u->p, (index * r + q) * n + i, 1, &value);
        for (int64_t q = 0; q < c; q++) value = sign * right[i * c + q],
            lib_store_f64(vt->dtype, vt->p, (index * n + i) * c + q, 1, &value);
        value = s[i] * scale;
        lib_store_f64(a->dtype, b->k->t[2].p, index * n + i, 1, &value);
    }
}

/* ---- eigh, real -------------------------------------------------------------------------------------------------- */

/* Reduces symmetric a (n, n) to q^T a q = tridiagonal (d (n), e (n): e[i] between i and i + 1). q goes to the rows of
 * v: row i of v is column i of q. Reflector k makes entries k + 2.. of column k zero. Scratch p (n). */
static void tridiagonalize(int64_t n, double *a, double *d, double *e, double *v, double *p) {
    for (int64_t i = 0; i < n * n; i++) v[i] = i / n == i % n;
    for (int64_t k = 0; k + 2 < n; k++) {
        int64_t m = n - k - 1;
        double *x = a + k * n + k + 1; /* row k holds the column: a stays symmetric in full */
        double norm = sqrt(dot(m, x, x)), beta = x[0] > 0 ? -norm : norm;
        e[k] = beta;
        if (norm == 0) continue;
        double v0 = x[0] - beta, tau = -v0 / beta; /* reflector I - tau y y^T with y[0] = 1 */
        x[0] = 1;
        for (int64_t i = 1; i < m; i++) x[i] /= v0;
        for (int64_t i = 0; i < m; i++) p[i] = tau * dot(m, a + (k + 1 + i) * n + k + 1, x);
        double half = -0.5 * tau * dot(m, p, x);
        for (int64_t i = 0; i < m; i++) p[i] += half * x[i];
        for (int64_t i = 0; i < m; i++) {
            double *row = a + (k + 1 + i) * n + k + 1;
            for (int64_t q = 0; q < m; q++) row[q] -= x[i] * p[q] + p[i] * x[q];
        }
        d[k] = tau; /* kept until the reflectors are applied */
    }
    double last[2] = {n > 1 ? a[(n - 2) * n + n - 2] : 0, n > 0 ? a[(n - 1) * n + n - 1] : 0};
    if (n > 1) e[n - 2] = a[(n - 2) * n + n - 1];
    /* q = H_0 H_1 ...: the last reflector acts first, on the columns it can reach */
    for (int64_t k = n - 3; k >= 0; k--) {
        int64_t m = n - k - 1;
        const double *y = a + k * n + k + 1;
        double tau = e[k] == 0 ? 0 : d[k];
        for (int64_t c = k + 1; c < n; c++) {
            double *col = v + c * n + k + 1, w = tau * dot(m, y, col);
            for (int64_t i = 0; i < m; i++) col[i] -= w * y[i];
        }
        d[k] = a[k * n + k];
    }
    if (n > 1) d[n - 2] = last[0];
    if (n > 0) d[n - 1] = last[1], e[n - 1] = 0;
}

/* One implicit QL step on l..m: a bulge made at m by the shift is chased up to l. */
static void ql_step(int64_t n, int64_t l, int64_t m, double *d, double *e, double *v) {
    double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1), s = 1, c = 1, p = 0;
    g = d[m] - d[l] + e[l] / (g + copysign(r, g));
    for (int64_t i = m - 1; i >= l; i--) {
        double f = s * e[i], b = c * e[i];
        r = hypot(f, g);
        e[i + 1] = r;
        if (r == 0) { /* the matrix splits here: start again */
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = f / r, c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate(n, v + i * n, v + (i + 1) * n, c, s);
    }
    d[l] -= p, e[l] = g, e[m] = 0;
}

static void ql(int64_t n, double *d, double *e, double *v) {
    for (int64_t l = 0; l < n; l++)
        for (int step = 0; step < SWEEPS_MAX; step++) {
            int64_t m = l;
            while (m + 1 < n && fabs(e[m]) > DBL_EPSILON * (fabs(d[m]) + fabs(d[m + 1]))) m++;
            if (m == l) break;
            ql_step(n, l, m, d, e, v);
        }
}

/* Scratch: a (n n), v (n n), d, e, p (n). */
static void eigh_real(const struct batch_job *b, int64_t index, double *scratch) {
    const struct lib_tensor *t = &b->k->t[0];
    int64_t n = rows(t);
    double *a = scratch, *v = a + n * n, *d = v + n * n, *e = d + n, *p = e + n;
    lib_load_f64(t->dtype, t->p, index * n * n, n * n, a);
    for (int64_t i = 0; i < n; i++)
        for (int64_t q = i + 1; q < n; q++) a[i * n + q] = a[q * n + i];
    tridiagonalize(n, a, d, e, v, p);
    ql(n, d, e, v);
    for (int64_t c = 0; c < n; c++) {
        int64_t best = c;
        for (int64_t q = c + 1; q < n; q++)
            if (d[q] < d[best]) best = q;
        swap_columns(1, d + c, d + best);
        if (best != c) swap_columns(n, v + c * n, v + best * n);
        double sign = sign_of_column(n, v + c * n);
        for (int64_t i = 0; i < n; i++) a[i * n + c] = sign * v[c * n + i];
    }
    lib_store_f64(t->dtype, b->k->t[1].p, index * n, n, d);
    lib_store_f64(t->dtype, b->k->t[2].p, index * n * n, n * n, a);
}

/* ---- eigh, complex ----------------------------------------------------------------------------------------------- */

/* Makes a[p][q] zero: a = j^H a j with j = [c, s w; -s conj(w), c] in columns p, q; w the phase of a[p][q]. v = v j. */
static void jacobi_turn(int64_t n, double complex *a, double complex *v, int64_t p, int64_t q) {
    double complex apq = a[p * n + q];
    double size = cabs(apq), zeta = (creal(a[q * n + q]) - creal(a[p * n + p])) / (2 * size);
    double t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + hypot(1, zeta)), c = 1 / hypot(1, t), s = c * t;
    double complex w = apq / size;
    for (int64_t i = 0; i < n; i++) {
        double complex x = a[i * n + p], y = a[i * n + q];
        a[i * n + p] = c * x - s * conj(w) * y, a[i * n + q] = s * w * x + c * y;
        x = v[i * n + p], y = v[i * n + q];
        v[i * n + p] = c * x - s * conj(w) * y, v[i * n + q] = s * w * x + c * y;
    }
    for (int64_t i = 0; i < n; i++) {
        double complex x = a[p * n + i], y = a[q * n + i];
        a[p * n + i] = c * x - s * w * y, a[q * n + i] = s * conj(w) * x + c * y;
    }
    a[p * n + q] = a[q * n + p] = 0;
}

static void jacobi(int64_t n, double complex *a, double complex *v) {
    bool turned = true;
    for (int sweep = 0; sweep < SWEEPS_MAX && turned; sweep++) {
        turned = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double size = cabs(a[p * n + q]);
                if (!(size > DBL_EPSILON * sqrt(fabs(creal(a[p * n + p]) * creal(a[q * n + q]))) &&
                    size > DBL_MIN)) continue;
                double left = fabs(creal(a[p * n + p])) + fabs(creal(a[q * n + q]));
                if (size <= DBL_EPSILON * DBL_EPSILON * left) continue;
                jacobi_turn(n, a, v, p, q);
                turned = true;
            }
    }
}

static double complex phase_of_column(int64_t n, const double complex *v, int64_t c) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, cabs(v[i * n + c]));
    for (int64_t i = 0; i < n; i++)
        if (cabs(v[i * n + c]) >= SAME_MAGNITUDE * most && most > 0) return conj(v[i * n + c]) / cabs(v[i * n + c]);
    return 1;
}

/* Scratch: a, v, sorted v (n n complex), w (n). */
static void eigh_complex(const struct batch_job *b, int64_t index, double *scratch) {
    const struct lib_tensor *t = &b->k->t[0];
    int64_t n = rows(t);
    double complex *a = (double complex *)scratch, *v = a + n * n, *out = v + n * n;
    double *w = (double *)(out + n * n);
    lib_load_f64(t->dtype, t->p, index * n * n, n * n, scratch);
    for (int64_t i = 0; i < n; i++)
        for (int64_t q = i; q < n; q++) a[i * n + q] = q == i ? (double complex)creal(a[i * n + i])
            : conj(a[q * n + i]);
    for (int64_t i = 0; i < n * n; i++) v[i] = i / n == i % n;
    jacobi(n, a, v);
    for (int64_t c = 0; c < n; c++) { /* the least diagonal entry left; taken ones become NaN */
        int64_t best = -1;
        for (int64_t q = 0; q < n; q++) {
            double x = creal(a[q * n + q]);
            if (!isnan(cimag(a[q * n + q])) && (best < 0 || x < creal(a[best * n + best]))) best = q;
        }
        if (best < 0) best = c;
        w[c] = creal(a[best * n + best]);
        double complex f = phase_of_column(n, v, best);
        for (int64_t i = 0; i < n; i++) out[i * n + c] = f * v[i * n + best];
        ((double *)(a + best * n + best))[1] = NAN;
    }
    lib_store_f64(b->k->t[1].dtype, b->k->t[1].p, index * n, n, w);
    lib_store_f64(t->dtype, b->k->t[2].p, index * n * n, n * n, (const double *)out);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static void batch_task(void *arg, int64_t i, int worker) {
    (void)worker;
    struct batch_job *j = arg;
    double *scratch = mem_array(j->k->c, (size_t)j->words, sizeof *scratch);
    if (scratch) j->one(j, i, scratch);
    else atomic_store(&j->failed, true);
    mem_array_free(j->k->c, scratch, (size_t)j->words, sizeof *scratch);
}

static tsr_status batch_run(const struct lib_call *k, int64_t words, void (*one)(const struct batch_job *, int64_t,
    double *)) {
    int64_t batch = lib_product(k->t[0].rank - 2, k->t[0].dim);
    struct batch_job j = {.k = k, .pool = batch == 1 ? k->pool : NULL, .words = words, .one = one};
    if (batch == 1) batch_task(&j, 0, 0);
    else pool_for(k->pool, batch, batch_task, &j);
    return atomic_load(&j.failed) ? TSR_ENOMEM : TSR_OK;
}

tsr_status lib_svd(const struct lib_call *k) {
    int64_t m = rows(&k->t[0]), n = cols(&k->t[0]), least = m < n ? m : n;
    return batch_run(k, 2 * m * n + least * least + least, svd_one);
}

tsr_status lib_eigh(const struct lib_call *k) {
    int64_t n = rows(&k->t[0]);
    bool is_complex = k->t[0].dtype == TSR_C64 || k->t[0].dtype == TSR_C128;
    return is_complex ? batch_run(k, 6 * n * n + n, eigh_complex) : batch_run(k, 2 * n * n + 3 * n, eigh_real);
}
