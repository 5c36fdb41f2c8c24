/* lib_linalg.c: cholesky, triangular_solve and qr of batches of matrices; lib_factor.inc has the algorithms.
 *
 * A batch of more than one matrix runs one matrix a task; a single one runs its own loops on all threads. Both give
 * the same bits, since no sum is ever split by threads. f32 and c64 are computed in f64 and rounded once. A matrix
 * that is not positive definite makes cholesky fill its result with NaN, as the specification leaves it to the
 * implementation and an error cannot name a batch. */
#include <complex.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "device/cpu/lib.h"

enum { PARALLEL_FROM = 1 << 14, COLUMN_BLOCK = 32 };

#define F(name) real_##name
#define T double
#define CONJ(x) (x)
#define RE(x) (x)
#define IM(x) (0.0 * (x))
#include "device/cpu/lib_factor.inc"
#undef F
#undef T
#undef CONJ
#undef RE
#undef IM
#define F(name) complex_##name
#define T double complex
#define CONJ(x) conj(x)
#define RE(x) creal(x)
#define IM(x) cimag(x)
#include "device/cpu/lib_factor.inc"

/* ---- batches ----------------------------------------------------------------------------------------------------- */

/* One matrix of a batch; words: f64 numbers of scratch it needs (complex: pairs). */
struct batch_job {
    const struct lib_call *k;
    struct pool *pool;
    bool is_complex;
    int64_t words;
    void (*one)(const struct batch_job *j, int64_t index, void *scratch);
    atomic_bool failed;
};

static void batch_task(void *arg, int64_t i, int worker) {
    (void)worker;
    struct batch_job *j = arg;
    size_t size = j->is_complex ? sizeof(double complex) : sizeof(double);
    void *scratch = mem_array(j->k->c, (size_t)j->words, size);
    if (!scratch) {
        atomic_store(&j->failed, true);
        return;
    }
    j->one(j, i, scratch);
    mem_array_free(j->k->c, scratch, (size_t)j->words, size);
}

static tsr_status batch_run(const struct lib_call *k, int64_t words, void (*one)(const struct batch_job *, int64_t,
    void *)) {
    const struct lib_tensor *a = &k->t[0];
    int64_t batch = lib_product(a->rank - 2, a->dim);
    struct batch_job j = {.k = k, .is_complex = a->dtype == TSR_C64 || a->dtype == TSR_C128, .words = words,
        .one = one};
    j.pool = batch == 1 ? k->pool : NULL;
    if (batch == 1) batch_task(&j, 0, 0);
    else pool_for(k->pool, batch, batch_task, &j);
    return atomic_load(&j.failed) ? TSR_ENOMEM : TSR_OK;
}

static int64_t rows(const struct lib_tensor *t) { return t->dim[t->rank - 2]; }
static int64_t cols(const struct lib_tensor *t) { return t->dim[t->rank - 1]; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Matrix `index` of a tensor, to and from f64 (pairs when complex). */
static void load(const struct lib_tensor *t, int64_t index, void *to) {
    lib_load_f64(t->dtype, t->p, index * rows(t) * cols(t), rows(t) * cols(t), to);
}
static void save(const struct lib_tensor *t, int64_t index, const void *from) {
    lib_store_f64(t->dtype, t->p, index * rows(t) * cols(t), rows(t) * cols(t), from);
}

/* to (c, r) = from (r, c) transposed, conjugated when adjoint. */
static void transpose(bool is_complex, bool adjoint, int64_t r, int64_t c, const void *from, void *to) {
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++) {
            if (!is_complex) ((double *)to)[j * r + i] = ((const double *)from)[i * c + j];
            else {
                double complex v = ((const double complex *)from)[i * c + j];
                ((double complex *)to)[j * r + i] = adjoint ? conj(v) : v;
            }
        }
}

static void *at(const struct batch_job *j, void *scratch, int64_t i) {
    return j->is_complex ? (void *)((double complex *)scratch + i) : (void *)((double *)scratch + i);
}

static void set(const struct batch_job *j, void *m, int64_t i, double v) {
    if (j->is_complex) ((double complex *)m)[i] = v;
    else ((double *)m)[i] = v;
}

/* ---- the kernels ------------------------------------------------------------------------------------------------- */

/* The upper form works on the adjoint of what it is given: u = l^H. Scratch: two matrices. */
static void cholesky_one(const struct batch_job *j, int64_t index, void *scratch) {
    int64_t n = rows(&j->k->t[0]);
    bool lower = j->k->ints[0], ok;
    void *a = scratch, *t = at(j, scratch, n * n);
    load(&j->k->t[0], index, lower ? a : t);
    if (!lower) transpose(j->is_complex, true, n, n, t, a);
    ok = j->is_complex ? complex_cholesky(j->pool, n, a) : real_cholesky(j->pool, n, a);
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < n; c++)
            if (!ok || c > r) set(j, a, r * n + c, ok ? 0 : NAN);
    if (!lower) transpose(j->is_complex, true, n, n, a, t);
    save(&j->k->t[1], index, lower ? a : t);
}

tsr_status lib_cholesky(const struct lib_call *k) {
    int64_t n = rows(&k->t[0]);
    return batch_run(k, 2 * n * n, cholesky_one);
}

/* x op(a) = b is op(a)^T x^T = b^T, so both sides come down to m x = b. Scratch: a, m (n, n); b and its transpose. */
static void triangular_solve_one(const struct batch_job *j, int64_t index, void *scratch) {
    const struct lib_tensor *b = &j->k->t[1];
    bool left = j->k->ints[0], lower = j->k->ints[1], unit = j->k->ints[2];
    enum lib_solve op = (enum lib_solve)j->k->ints[3];
    int64_t n = rows(&j->k->t[0]), size = rows(b) * cols(b), width = left ? cols(b) : rows(b);
    /* m is a^T (or its conjugate): once for op, once for the right side */
    bool turned = left == (op != LIB_SOLVE_PLAIN);
    void *a = scratch, *m = at(j, scratch, n * n), *x = at(j, scratch, 2 * n * n),
        *t = at(j, scratch, 2 * n * n + size);
    load(&j->k->t[0], index, a);
    if (turned) transpose(j->is_complex, false, n, n, a, m);
    else memcpy(m, a, (size_t)((char *)m - (char *)a));
    if (j->is_complex && op == LIB_SOLVE_ADJOINT)
        for (int64_t i = 0; i < n * n; i++) ((double complex *)m)[i] = conj(((double complex *)m)[i]);
    load(b, index, left ? x : t);
    if (!left) transpose(j->is_complex, false, width, n, t, x);
    if (j->is_complex) complex_solve(j->pool, n, width, m, x, lower != turned, unit);
    else real_solve(j->pool, n, width, m, x, lower != turned, unit);
    if (!left) transpose(j->is_complex, false, n, width, x, t);
    save(&j->k->t[2], index, left ? x : t);
}

tsr_status lib_triangular_solve(const struct lib_call *k) {
    int64_t n = rows(&k->t[0]), size = rows(&k->t[1]) * cols(&k->t[1]);
    return batch_run(k, 2 * n * n + 2 * size, triangular_solve_one);
}

/* Scratch: the matrix, its columns (m n), tau (k), columns of q (m k). */
static void qr_one(const struct batch_job *j, int64_t index, void *scratch) {
    int64_t m = rows(&j->k->t[0]), n = cols(&j->k->t[0]), k = least(m, n);
    void *a = scratch, *c = at(j, scratch, m * n), *tau = at(j, scratch, 2 * m * n), *q = at(j, scratch, 2 * m * n + k);
    load(&j->k->t[0], index, a);
    transpose(j->is_complex, false, m, n, a, c);
    if (j->is_complex) complex_qr(j->pool, m, n, c, tau, q);
    else real_qr(j->pool, m, n, c, tau, q);
    transpose(j->is_complex, false, n, m, c, a); /* back to rows; below the diagonal are the reflectors */
    for (int64_t r = 0; r < k; r++)
        for (int64_t s = 0; s < least(r, n); s++) set(j, a, r * n + s, 0);
    save(&j->k->t[2], index, a);
    transpose(j->is_complex, false, k, m, q, c);
    save(&j->k->t[1], index, c);
}

tsr_status lib_qr(const struct lib_call *k) {
    int64_t m = rows(&k->t[0]), n = cols(&k->t[0]), r = least(m, n);
    return batch_run(k, 2 * m * n + r + m * r, qr_one);
}
