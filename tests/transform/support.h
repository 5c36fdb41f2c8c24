/* support.h: what the tests of transformations share: running fns in the reference interpreter, and judging
 * derivatives.
 *
 * The judge of a derivative is a central difference along a random direction: sum_j Re(u_j . (f_j(x + h t) - f_j(x - h
 * t))) / 2h must be sum_i Re(g_i . t_i) with g the cotangents of x for the cotangents u (no conjugation: the
 * convention of transform.h). Plain products of real numbers are the same formula. Everything in f64. */
#ifndef TESTS_TRANSFORM_SUPPORT_H
#define TESTS_TRANSFORM_SUPPORT_H

#include <math.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"
#include "tessera/ops.h"
#include "tessera/transform.h"

enum { MOST = 64 }; /* parameters or results of one tested fn */

/* Results of f on in (every parameter), in the arena; false when the run failed (a failed check). */
static inline bool run_fn(tsr_ctx *c, const tsr_fn *f, const struct ref_tensor *in, struct arena *a,
                          struct ref_tensor *out) {
    if (!CHECK_MSG(f->param.n <= MOST && f->result.n <= MOST, "fn %s is too large for the test", f->name)) return false;
    return CHECK_MSG(interp_run(c, f, (int)f->param.n, in, a, out, NULL) == TSR_OK, "running %s: %s", f->name,
                     tsr_error_message(c));
}

static inline bool inexact(tsr_dtype t) { return dtype_is_float(t) || dtype_is_complex(t); }

/* Like x (which may be *out): random in [-1, 1] for floats and complexes, zero otherwise. */
static inline bool random_like(struct arena *a, const struct ref_tensor *x, struct ref_tensor *out) {
    struct ref_tensor like = *x;
    if (!ref_new(a, like.dtype, like.rank, like.dim, out)) return false;
    for (int64_t i = 0; inexact(like.dtype) && i < like.count; i++)
        ref_set(out, i, (struct ref_val){.re = test_uniform(-1, 1), .im = test_uniform(-1, 1)});
    return true;
}

static inline bool zeros_like(struct arena *a, const struct ref_tensor *x, struct ref_tensor *out) {
    return ref_new(a, x->dtype, x->rank, x->dim, out);
}

/* x + h t */
static inline bool step_along(struct arena *a, const struct ref_tensor *x, const struct ref_tensor *t, double h,
                              struct ref_tensor *out) {
    if (!ref_new(a, x->dtype, x->rank, x->dim, out)) return false;
    memcpy(out->p, x->p, ref_bytes(x));
    for (int64_t i = 0; inexact(x->dtype) && i < x->count; i++) {
        struct ref_val v = ref_get(x, i), d = ref_get(t, i);
        ref_set(out, i, (struct ref_val){.re = v.re + h * d.re, .im = v.im + h * d.im});
    }
    return true;
}

/* Re sum u v over the float and complex ones of n tensors; scale gathers sum |u v|, what an error is relative to. */
static inline double pair(int n, const struct ref_tensor *u, const struct ref_tensor *v, double *scale) {
    double s = 0;
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; inexact(u[k].dtype) && i < u[k].count; i++) {
            struct ref_val a = ref_get(&u[k], i), b = ref_get(&v[k], i);
            bool complex = dtype_is_complex(u[k].dtype);
            s += a.re * b.re - (complex ? a.im * b.im : 0);
            if (scale) *scale += fabs(a.re * b.re) + (complex ? fabs(a.im * b.im) : 0);
        }
    return s;
}

/* Directional derivative of <u, f> along t by central differences; NaN where there is none: the run failed, a value is
 * not finite, or the differences of the two sides disagree (x sits on a kink). */
static inline double difference_along(tsr_ctx *c, const tsr_fn *f, const struct ref_tensor *x,
                                      const struct ref_tensor *t,
                                      const struct ref_tensor *u, double h, struct arena *a, double *scale) {
    struct ref_tensor at[MOST], out[MOST];
    double v[3];
    for (int side = -1; side <= 1; side++) {
        for (size_t i = 0; i < f->param.n; i++) step_along(a, &x[i], &t[i], side * h, &at[i]);
        if (!run_fn(c, f, at, a, out)) return NAN;
        v[side + 1] = pair((int)f->result.n, u, out, scale);
    }
    double left = (v[1] - v[0]) / h, right = (v[2] - v[1]) / h;
    return fabs(left - right) <= 2e-5 * *scale ? (v[2] - v[0]) / (2 * h) : NAN;
}

static int judged, kinks; /* derivatives compared; instances that sat on a kink */

/* The cotangents of v = tsr_vjp(f) against differences of f, and j = tsr_jvp(f) (may be NULL) against both. x: data of
 * f. */
static inline bool judge(tsr_ctx *c, const tsr_fn *f, const tsr_fn *v, const tsr_fn *j, const struct ref_tensor *x,
                         double tol, struct arena *a) {
    struct ref_tensor in[MOST], t[MOST], y[MOST], g[MOST], jt[MOST];
    int np = (int)f->param.n, nr = (int)f->result.n;
    if (!CHECK(np + nr <= MOST && 2 * np <= MOST && 2 * nr <= MOST)) return false;
    for (int i = 0; i < np; i++) in[i] = x[i], random_like(a, &x[i], &t[i]);
    if (!run_fn(c, f, x, a, y)) return false;
    for (int i = 0; i < nr; i++) random_like(a, &y[i], &in[np + i]);
    if (!run_fn(c, v, in, a, g)) return false;
    double scale = 1, h = 1e-6, want = difference_along(c, f, x, t, in + np, h, a, &scale),
        got = pair(np, g, t, &scale);
    judged += !isnan(want), kinks += isnan(want);
    if (isnan(want)) return true;
    bool ok = CHECK_MSG(fabs(got - want) <= tol * scale, "%s: <g, t> = %.12g, differences give %.12g", f->name, got,
                        want);
    if (!j) return ok;
    struct ref_tensor u[MOST];
    memcpy(u, in + np, (size_t)nr * sizeof *u);
    for (int i = 0; i < np; i++) in[np + i] = t[i];
    if (!run_fn(c, j, in, a, jt)) return false;
    double forward = pair(nr, u, jt + nr, &scale);
    ok &= CHECK_MSG(fabs(forward - got) <= 1e-9 * scale, "%s: <u, J t> = %.12g, <J^T u, t> = %.12g", f->name, forward,
                    got);
    for (int i = 0; i < nr; i++)
        for (int64_t k = 0; k < y[i].count && ok; k++)
            ok = CHECK_MSG(test_close(ref_get(&jt[i], k).re, ref_get(&y[i], k).re, 1e-12, 1e-12),
                           "%s: jvp's value differs from the value", f->name);
    return ok;
}

#endif
