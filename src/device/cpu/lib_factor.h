/* lib_factor.h: the factorizations, once for real and once for complex numbers; lib_linalg.c includes this page twice.
 *
 * T is double or double complex; F(name) gives each its own name; CONJ and RE are conjugate and real part. All matrices here are
 * dense f64. Loops that run on several threads give each thread whole rows or columns, so every sum has one fixed order.
 *
 * Sources: Golub and Van Loan, "Matrix Computations" (4th ed.): 4.2 Cholesky, 3.1 substitution, 5.1 and 5.2 Householder QR. The sign of
 * a reflection is LAPACK's (xGEQRF): beta = -sign(Re alpha) |x|, so the diagonal of R is real with the sign opposite to alpha's. */

/* sum_i conj(a_i) b_i in four interleaved partial sums. */
static T F(dot)(int64_t n, const T *a, const T *b) {
    T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 += CONJ(a[i]) * b[i], s1 += CONJ(a[i + 1]) * b[i + 1];
        s2 += CONJ(a[i + 2]) * b[i + 2], s3 += CONJ(a[i + 3]) * b[i + 3];
    }
    for (; i < n; i++) s0 += CONJ(a[i]) * b[i];
    return (s0 + s1) + (s2 + s3);
}

/* y += f x */
static void F(axpy)(int64_t n, T f, const T *x, T *y) {
    for (int64_t i = 0; i < n; i++) y[i] += f * x[i];
}

/* ---- cholesky: a (n, n), lower triangle read and overwritten by l with a = l l^H --------------------------------------- */

struct F(chol_job) { int64_t n, j; T *a; };

static void F(chol_row)(void *arg, int64_t i, int worker) {
    (void)worker;
    struct F(chol_job) *q = arg;
    T *row = q->a + (q->j + 1 + i) * q->n, *pivot = q->a + q->j * q->n;
    row[q->j] = (row[q->j] - F(dot)(q->j, pivot, row)) / pivot[q->j];
}

/* false: not positive definite. */
static bool F(cholesky)(struct pool *pool, int64_t n, T *a) {
    for (int64_t j = 0; j < n; j++) {
        double d = RE(a[j * n + j]) - RE(F(dot)(j, a + j * n, a + j * n));
        if (!(d > 0)) return false;
        a[j * n + j] = sqrt(d);
        struct F(chol_job) q = {n, j, a};
        pool_for(j * (n - j) > PARALLEL_FROM ? pool : NULL, n - j - 1, F(chol_row), &q);
    }
    return true;
}

/* ---- triangular solve: m (n, n) lower or upper, b (n, cols) overwritten by x with m x = b ------------------------------- */

struct F(solve_job) { int64_t n, cols; const T *m; T *b; bool lower, unit; };

static void F(solve_columns)(void *arg, int64_t block, int worker) {
    (void)worker;
    struct F(solve_job) *q = arg;
    int64_t from = block * COLUMN_BLOCK, count = q->cols - from < COLUMN_BLOCK ? q->cols - from : COLUMN_BLOCK;
    for (int64_t step = 0; step < q->n; step++) {
        int64_t i = q->lower ? step : q->n - 1 - step;
        T *x = q->b + i * q->cols + from;
        int64_t k0 = q->lower ? 0 : i + 1, k1 = q->lower ? i : q->n;
        for (int64_t k = k0; k < k1; k++) F(axpy)(count, -q->m[i * q->n + k], q->b + k * q->cols + from, x);
        if (!q->unit)
            for (int64_t j = 0; j < count; j++) x[j] /= q->m[i * q->n + i];
    }
}

static void F(solve)(struct pool *pool, int64_t n, int64_t cols, const T *m, T *b, bool lower, bool unit) {
    struct F(solve_job) q = {n, cols, m, b, lower, unit};
    pool_for(n * n > PARALLEL_FROM ? pool : NULL, lib_ceil(cols, COLUMN_BLOCK), F(solve_columns), &q);
}

/* ---- qr: columns of a (m) stored one after the other ------------------------------------------------------------------- */

/* Makes the reflector of column x (m): H = I - tau v v^H, v = (1, x[1..]), x[0] becomes beta. Returns tau. */
static T F(reflector)(int64_t m, T *x) {
    double tail = sqrt(RE(F(dot)(m - 1, x + 1, x + 1)));
    T alpha = x[0];
    if (tail == 0 && alpha == RE(alpha)) return 0;
    double norm = hypot(hypot(RE(alpha), IM(alpha)), tail), beta = RE(alpha) > 0 || (RE(alpha) == 0 && !signbit(RE(alpha))) ? -norm : norm;
    T scale = 1 / (alpha - beta);
    for (int64_t i = 1; i < m; i++) x[i] *= scale;
    x[0] = beta;
    return (beta - alpha) / beta;
}

struct F(reflect_job) { int64_t m, stride; const T *v; T tau; T *column; };

/* column j: a -= tau v (v^H a), where v[0] counts as 1 */
static void F(reflect_column)(void *arg, int64_t j, int worker) {
    (void)worker;
    struct F(reflect_job) *q = arg;
    T *a = q->column + j * q->stride;
    T w = -q->tau * (a[0] + F(dot)(q->m - 1, q->v + 1, a + 1));
    a[0] += w;
    F(axpy)(q->m - 1, w, q->v + 1, a + 1);
}

static void F(reflect)(struct pool *pool, int64_t m, const T *v, T tau, int64_t count, T *column, int64_t stride) {
    struct F(reflect_job) q = {m, stride, v, tau, column};
    pool_for(m * count > PARALLEL_FROM ? pool : NULL, count, F(reflect_column), &q);
}

/* a: n columns of m; on return R in the upper part and the reflectors below. tau (k), q: k columns of m, k = min(m, n). */
static void F(qr)(struct pool *pool, int64_t m, int64_t n, T *a, T *tau, T *q) {
    int64_t k = m < n ? m : n;
    for (int64_t j = 0; j < k; j++) {
        T *v = a + j * m + j;
        tau[j] = F(reflector)(m - j, v);
        F(reflect)(pool, m - j, v, CONJ(tau[j]), n - j - 1, v + m, m);
    }
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < m; i++) q[j * m + i] = i == j;
    for (int64_t j = k; j-- > 0;) F(reflect)(pool, m - j, a + j * m + j, tau[j], k - j, q + j * m + j, m);
}
