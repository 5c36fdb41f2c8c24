/* ref_linalg.c: reference kernels of the matrix ops: textbook loops over complex numbers in f64, real matrices
 * included.
 *
 * They are meant to be read: every matrix is copied out, worked on with the plainest algorithm, and written back.
 * cholesky: the column recurrence. triangular_solve: substitution, one right side at a time. qr: Householder
 * reflections as full matrices. svd: one-sided Jacobi, column pairs in order. eigh: two-sided Jacobi. Signs and phases
 * as op_linalg.c and op_eigen.c state them. */
#include <complex.h>
#include <math.h>

#include "graph/op_linalg.h"

typedef double complex cx;
enum { SWEEPS = 100 };

struct mat { int64_t r, c; cx *p; };
#define AT(m, i, j) (m).p[(i) * (m).c + (j)]

static bool mat_new(tsr_ctx *c, int64_t rows, int64_t cols, struct mat *m) {
    *m = (struct mat){rows, cols, mem_array(c, (size_t)(rows * cols) + 1, sizeof(cx))};
    return m->p != NULL;
}
static void mat_free(tsr_ctx *c, struct mat *m) { mem_array_free(c, m->p, (size_t)(m->r * m->c) + 1, sizeof(cx)); }

static int64_t rows_of(const struct ref_tensor *t) { return t->dim[t->rank - 2]; }
static int64_t cols_of(const struct ref_tensor *t) { return t->dim[t->rank - 1]; }

static void get(const struct ref_tensor *t, int64_t index, struct mat *m) {
    for (int64_t i = 0; i < m->r * m->c; i++) {
        struct ref_val v = ref_get(t, index * m->r * m->c + i);
        double *part = (double *)(m->p + i); /* re + im * I would lose infinities */
        part[0] = v.re, part[1] = dtype_is_complex(t->dtype) ? v.im : 0;
    }
}
static void put(struct ref_tensor *t, int64_t index, const struct mat *m) {
    for (int64_t i = 0; i < m->r * m->c; i++)
        ref_set(t, index * m->r * m->c + i, (struct ref_val){.re = creal(m->p[i]), .im = cimag(m->p[i])});
}
static void eye(struct mat *m) {
    for (int64_t i = 0; i < m->r; i++)
        for (int64_t j = 0; j < m->c; j++) AT(*m, i, j) = i == j;
}

/* Every matrix of the batch; w: matrices of scratch. */
#define W_MAX 3
static tsr_status each(struct ref_call *r, int nw, const int64_t (*shape)[2],
                       void (*one)(struct ref_call *, int64_t, struct mat *)) {
    struct mat w[W_MAX] = {{0}};
    bool ok = true;
    int64_t batch = 1;
    for (int i = 0; i + 2 < r->in[0].rank; i++) batch *= r->in[0].dim[i];
    for (int i = 0; i < nw; i++) ok = ok && mat_new(r->c, shape[i][0], shape[i][1], &w[i]);
    for (int64_t b = 0; ok && b < batch; b++) one(r, b, w);
    for (int i = 0; i < nw; i++) mat_free(r->c, &w[i]);
    return ok ? TSR_OK : TSR_ENOMEM;
}

/* ---- cholesky ---------------------------------------------------------------------------------------------------- */

static void cholesky_one(struct ref_call *r, int64_t b, struct mat *w) {
    struct mat a = w[0], l = w[1];
    bool lower = node_int(r->node, ATTR_LOWER), positive = true;
    int64_t n = a.r;
    get(&r->in[0], b, &a);
    for (int64_t i = 0; i < n * n; i++) l.p[i] = 0;
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = j; i < n; i++) {
            cx sum = lower ? AT(a, i, j) : conj(AT(a, j, i));
            for (int64_t k = 0; k < j; k++) sum -= AT(l, i, k) * conj(AT(l, j, k));
            if (i == j && !(creal(sum) > 0)) positive = false;
            AT(l, i, j) = i == j ? sqrt(creal(sum)) : sum / AT(l, j, j);
        }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) AT(a, i, j) = !positive ? NAN : lower ? AT(l, i, j) : conj(AT(l, j, i));
    put(&r->out[0], b, &a);
}

tsr_status ref_cholesky(struct ref_call *r) {
    int64_t n = rows_of(&r->in[0]);
    return each(r, 2, (int64_t[][2]){{n, n}, {n, n}}, cholesky_one);
}

/* ---- triangular_solve -------------------------------------------------------------------------------------------- */

/* Entry (i, j) of op(a), its triangle and unit diagonal taken as told. */
static cx solve_entry(const struct ref_call *r, const struct mat *a, int64_t i, int64_t j) {
    int64_t op = node_int(r->node, ATTR_MODE), row = op == TSR_SOLVE_PLAIN ? i : j, col = op == TSR_SOLVE_PLAIN ? j : i;
    if (row == col && node_int(r->node, ATTR_UNIT)) return 1;
    if (node_int(r->node, ATTR_LOWER) ? col > row : col < row) return 0;
    return op == TSR_SOLVE_ADJOINT ? conj(AT(*a, row, col)) : AT(*a, row, col);
}

static void solve_one(struct ref_call *r, int64_t b, struct mat *w) {
    struct mat a = w[0], x = w[1];
    bool left = node_int(r->node, ATTR_LEFT), plain = node_int(r->node, ATTR_MODE) == TSR_SOLVE_PLAIN;
    bool lower = (bool)node_int(r->node, ATTR_LOWER) == plain; /* is op(a) lower? */
    bool forward = lower == left;                              /* is the first unknown the one that stands alone? */
    int64_t n = a.r, sides = left ? x.c : x.r;
    get(&r->in[0], b, &a), get(&r->in[1], b, &x);
    for (int64_t s = 0; s < sides; s++)
        for (int64_t step = 0; step < n; step++) {
            int64_t i = forward ? step : n - 1 - step;
            cx sum = left ? AT(x, i, s) : AT(x, s, i);
            for (int64_t k = forward ? 0 : i + 1; k < (forward ? i : n); k++)
                sum -= left ? solve_entry(r, &a, i, k) * AT(x, k, s) : AT(x, s, k) * solve_entry(r, &a, k, i);
            sum /= solve_entry(r, &a, i, i);
            if (left) AT(x, i, s) = sum;
            else AT(x, s, i) = sum;
        }
    put(&r->out[0], b, &x);
}

tsr_status ref_triangular_solve(struct ref_call *r) {
    const struct ref_tensor *a = &r->in[0], *b = &r->in[1];
    return each(r, 2, (int64_t[][2]){{rows_of(a), cols_of(a)}, {rows_of(b), cols_of(b)}}, solve_one);
}

/* ---- qr ---------------------------------------------------------------------------------------------------------- */

/* m = m (1 - tau v v^H) when right, (1 - conj(tau) v v^H) m else; v is zero before index j. */
static void reflect(struct mat *m, const cx *v, cx tau, int64_t j, bool right) {
    int64_t lines = right ? m->r : m->c, n = right ? m->c : m->r;
    for (int64_t q = 0; q < lines; q++) {
        cx sum = 0;
        for (int64_t i = j; i < n; i++) sum += right ? AT(*m, q, i) * v[i] : conj(v[i]) * AT(*m, i, q);
        for (int64_t i = j; i < n; i++) {
            if (right) AT(*m, q, i) -= tau * sum * conj(v[i]);
            else AT(*m, i, q) -= conj(tau) * sum * v[i];
        }
    }
}

static void qr_one(struct ref_call *r, int64_t b, struct mat *w) {
    struct mat a = w[0], q = w[1], v = w[2];
    int64_t k = a.r < a.c ? a.r : a.c;
    get(&r->in[0], b, &a);
    eye(&q);
    for (int64_t j = 0; j < k; j++) {
        double norm = 0, tail = 0;
        for (int64_t i = j; i < a.r; i++)
            norm = hypot(norm, cabs(AT(a, i, j))), tail = i > j ? hypot(tail, cabs(AT(a, i, j))) : 0;
        cx alpha = AT(a, j, j);
        if (tail == 0 && cimag(alpha) == 0) continue;
        double beta = signbit(creal(alpha)) ? norm : -norm;
        for (int64_t i = 0; i < a.r; i++) v.p[i] = i < j ? 0 : i == j ? 1 : AT(a, i, j) / (alpha - beta);
        cx tau = (beta - alpha) / beta;
        reflect(&a, v.p, tau, j, false);
        reflect(&q, v.p, tau, j, true);
    }
    for (int64_t i = 0; i < a.r; i++)
        for (int64_t j = 0; j < k; j++) {
            struct ref_val x = {.re = creal(AT(q, i, j)), .im = cimag(AT(q, i, j))};
            ref_set(&r->out[0], (b * a.r + i) * k + j, x);
        }
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < a.c; j++) {
            cx x = j < i ? 0 : AT(a, i, j);
            ref_set(&r->out[1], (b * k + i) * a.c + j, (struct ref_val){.re = creal(x), .im = cimag(x)});
        }
}

tsr_status ref_qr(struct ref_call *r) {
    int64_t m = rows_of(&r->in[0]), n = cols_of(&r->in[0]);
    return each(r, 3, (int64_t[][2]){{m, n}, {m, m}, {m, 1}}, qr_one);
}

/* ---- signs ------------------------------------------------------------------------------------------------------- */

/* What column j is multiplied with so that its first entry of nearly the greatest magnitude is real and positive. */
static cx phase(const struct mat *m, int64_t j) {
    double most = 0;
    for (int64_t i = 0; i < m->r; i++) most = fmax(most, cabs(AT(*m, i, j)));
    for (int64_t i = 0; i < m->r && most > 0; i++)
        if (cabs(AT(*m, i, j)) >= 0.999999 * most) return conj(AT(*m, i, j)) / cabs(AT(*m, i, j));
    return 1;
}

static void scale_column(struct mat *m, int64_t j, cx f) {
    for (int64_t i = 0; i < m->r; i++) AT(*m, i, j) *= f;
}

static void swap_columns(struct mat *m, int64_t a, int64_t b) {
    for (int64_t i = 0; i < m->r; i++) {
        cx t = AT(*m, i, a);
        AT(*m, i, a) = AT(*m, i, b), AT(*m, i, b) = t;
    }
}

/* ---- svd (real) -------------------------------------------------------------------------------------------------- */

static double inner(const struct mat *m, int64_t a, int64_t b) {
    double s = 0;
    for (int64_t i = 0; i < m->r; i++) s += creal(AT(*m, i, a)) * creal(AT(*m, i, b));
    return s;
}

static void turn(struct mat *m, int64_t p, int64_t q, double c, double s) {
    for (int64_t i = 0; i < m->r; i++) {
        cx x = AT(*m, i, p), y = AT(*m, i, q);
        AT(*m, i, p) = c * x - s * y, AT(*m, i, q) = s * x + c * y;
    }
}

/* Columns of w become orthogonal: w_in = w_out v^T. */
static void orthogonalize(struct mat *w, struct mat *v) {
    bool again = true;
    eye(v);
    for (int sweep = 0; sweep < SWEEPS && again; sweep++) {
        again = false;
        for (int64_t p = 0; p < w->c; p++)
            for (int64_t q = p + 1; q < w->c; q++) {
                double a = inner(w, p, p), b = inner(w, q, q), g = inner(w, p, q);
                if (!(fabs(g) > 1e-15 * sqrt(a) * sqrt(b)) || fabs(g) < 1e-300) continue;
                double angle = 0.5 * atan2(2 * g, b - a), c, s;
                if (fabs(angle) > 0.7853981633974483)
                    angle -= copysign(1.5707963267948966, angle); /* the small turn of the two */
                c = cos(angle), s = sin(angle);
                turn(w, p, q, c, s), turn(v, p, q, c, s);
                again = true;
            }
    }
}

/* Column j of u, whose value is 0: the unit vector that is farthest from the columns before, made orthogonal to them.
 * */
static void complete(struct mat *u, int64_t j) {
    int64_t best = 0;
    double far = -1;
    for (int64_t e = 0; e < u->r; e++) {
        double left = 1;
        for (int64_t k = 0; k < j; k++) left -= creal(AT(*u, e, k)) * creal(AT(*u, e, k));
        if (left > far + 1e-9) far = left, best = e;
    }
    for (int64_t i = 0; i < u->r; i++) AT(*u, i, j) = i == best;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < j; k++) {
            double f = inner(u, k, j);
            for (int64_t i = 0; i < u->r; i++) AT(*u, i, j) -= f * AT(*u, i, k);
        }
    scale_column(u, j, 1 / sqrt(inner(u, j, j)));
}

static void svd_one(struct ref_call *r, int64_t b, struct mat *w) {
    struct mat a = w[0], u = w[1], v = w[2]; /* u: columns of a, or of its transpose when a is wide */
    bool wide = a.r < a.c;
    get(&r->in[0], b, &a);
    for (int64_t i = 0; i < u.r; i++)
        for (int64_t j = 0; j < u.c; j++) AT(u, i, j) = wide ? AT(a, j, i) : AT(a, i, j);
    orthogonalize(&u, &v);
    for (int64_t j = 0; j < u.c; j++) {
        int64_t best = j;
        for (int64_t k = j + 1; k < u.c; k++)
            if (inner(&u, k, k) > inner(&u, best, best)) best = k;
        swap_columns(&u, j, best), swap_columns(&v, j, best);
        double s = sqrt(inner(&u, j, j));
        if (s > 0) scale_column(&u, j, 1 / s);
        else complete(&u, j);
        ref_set(&r->out[1], b * u.c + j, (struct ref_val){.re = s});
        cx f = phase(wide ? &v : &u, j);
        scale_column(&u, j, f), scale_column(&v, j, f);
    }
    struct mat left = wide ? v : u, right = wide ? u : v;
    for (int64_t j = 0; j < left.c; j++) {
        for (int64_t i = 0; i < left.r; i++)
            ref_set(&r->out[0], (b * left.r + i) * left.c + j, (struct ref_val){.re = creal(AT(left, i, j))});
        for (int64_t i = 0; i < right.r; i++)
            ref_set(&r->out[2], (b * left.c + j) * right.r + i, (struct ref_val){.re = creal(AT(right, i, j))});
    }
}

tsr_status ref_svd(struct ref_call *r) {
    int64_t m = rows_of(&r->in[0]), n = cols_of(&r->in[0]), most = m > n ? m : n, least = m > n ? n : m;
    return each(r, 3, (int64_t[][2]){{m, n}, {most, least}, {least, least}}, svd_one);
}

/* ---- eigh -------------------------------------------------------------------------------------------------------- */

/* a = j^H a j and v = v j, where j turns columns p and q so that a[p][q] vanishes. */
static void jacobi_turn(struct mat *a, struct mat *v, int64_t p, int64_t q) {
    cx apq = AT(*a, p, q), w = apq / cabs(apq);
    double angle = 0.5 * atan2(2 * cabs(apq), creal(AT(*a, q, q)) - creal(AT(*a, p, p))), c, s;
    if (fabs(angle) > 0.7853981633974483) angle -= copysign(1.5707963267948966, angle);
    c = cos(angle), s = sin(angle);
    for (int64_t i = 0; i < a->r; i++) {
        cx x = AT(*a, i, p), y = AT(*a, i, q), vx = AT(*v, i, p), vy = AT(*v, i, q);
        AT(*a, i, p) = c * x - s * conj(w) * y, AT(*a, i, q) = s * w * x + c * y;
        AT(*v, i, p) = c * vx - s * conj(w) * vy, AT(*v, i, q) = s * w * vx + c * vy;
    }
    for (int64_t i = 0; i < a->r; i++) {
        cx x = AT(*a, p, i), y = AT(*a, q, i);
        AT(*a, p, i) = c * x - s * w * y, AT(*a, q, i) = s * conj(w) * x + c * y;
    }
}

static void eigh_one(struct ref_call *r, int64_t b, struct mat *w) {
    struct mat a = w[0], v = w[1];
    int64_t n = a.r;
    bool again = true;
    double size = 0;
    get(&r->in[0], b, &a);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) AT(a, i, j) = i == j ? (cx)creal(AT(a, i, i)) : conj(AT(a, j, i));
    for (int64_t i = 0; i < n * n; i++) size = hypot(size, cabs(a.p[i]));
    eye(&v);
    for (int sweep = 0; sweep < SWEEPS && again; sweep++) {
        again = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++)
                if (cabs(AT(a, p, q)) > 1e-17 * size) jacobi_turn(&a, &v, p, q), again = true;
    }
    for (int64_t j = 0; j < n; j++) {
        int64_t best = j;
        for (int64_t k = j + 1; k < n; k++)
            if (creal(AT(a, k, k)) < creal(AT(a, best, best))) best = k;
        cx t = AT(a, j, j);
        AT(a, j, j) = AT(a, best, best), AT(a, best, best) = t;
        swap_columns(&v, j, best);
        scale_column(&v, j, phase(&v, j));
        ref_set(&r->out[0], b * n + j, (struct ref_val){.re = creal(AT(a, j, j))});
    }
    put(&r->out[1], b, &v);
}

tsr_status ref_eigh(struct ref_call *r) {
    int64_t n = rows_of(&r->in[0]);
    return each(r, 2, (int64_t[][2]){{n, n}, {n, n}}, eigh_one);
}
