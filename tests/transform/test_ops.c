/* test_ops.c: every op of the list under the transformations: gradient against differences, gradient of the gradient
 * for smooth ops, forward mode against reverse mode, vmap against a loop over examples. */
#include <stdio.h>

#include "support.h"

enum { ROUNDS = 12 };

static int second, vmaps; /* instances of second gradients, of vmaps */

static bool sampled(const struct op_def *d, tsr_dtype t) { return d && d->sample != sample_elsewhere &&
    op_admits(d->domain, t); }

static tsr_fn *sample_of(tsr_ctx *c, const struct op_def *d, tsr_dtype t, struct sample *s, struct arena *a,
                         struct ref_tensor *in) {
    sample_init(s, t, test_rng(), 0);
    tsr_fn *f = d->sample(c, s);
    if (!f) return NULL;
    CHECK(f->param.n <= MOST / 4);
    if (sample_fill(s, f, a, in) == TSR_OK) return f;
    tsr_fn_free(c, f);
    return NULL;
}

/* Ops whose derivative is meant to differ from that of their values, or to be read off them only coarsely. */
static bool by_design(const struct op_def *d) {
    return d == op_def(TSR_OP_STOP_GRADIENT) || d == op_def(TSR_OP_BITCAST) || d == op_def(TSR_OP_CONVERT);
}

/* Does the op itself (or one that the sampler put around it) refuse gradients? */
static bool refuses(const tsr_fn *f) {
    for (size_t i = 0; i < f->node.n; i++)
        if (op_def(f->node.v[i]->op)->vjp == vjp_none) return true;
    return false;
}

static bool second_order(tsr_ctx *c, tsr_fn *v, const struct ref_tensor *x, int np, struct arena *a) {
    struct ref_tensor in[MOST];
    for (int i = 0; i < v->nparam; i++) {
        if (i < np) in[i] = x[i];
        else {
            const tsr_type *t = v->param.v[i].node->type;
            struct ref_tensor like = {.dtype = t->dtype, .rank = t->rank};
            if (!tsr_type_ints(t, like.dim)) return false;
            like.count = 1;
            for (int k = 0; k < t->rank; k++) like.count *= like.dim[k];
            if (!random_like(a, &like, &in[i])) return false;
        }
    }
    tsr_fn *vv = tsr_vjp(c, v);
    bool ok = CHECK_MSG(vv != NULL, "gradient of the gradient: %s", tsr_error_message(c)) &&
        judge(c, v, vv, NULL, in, 2e-6, a);
    if (ok) CHECK_EQ(tsr_verify(c, vv), TSR_OK);
    tsr_fn_free(c, vv);
    return ok;
}

/* One random instance; false to stop this op. */
static bool one_gradient(tsr_ctx *c, const struct op_def *d, tsr_dtype t) {
    struct arena a;
    struct sample s;
    struct ref_tensor x[MOST];
    tsr_scope *scope = tsr_scope_begin(c);
    arena_init(&a, c);
    tsr_fn *f = sample_of(c, d, t, &s, &a, x), *v = f ? tsr_vjp(c, f) : NULL, *j = v ? tsr_jvp(c, f) : NULL;
    bool ok = f != NULL, refused = f && refuses(f);
    if (ok && refused && !v) {
        CHECK_CONTAINS(tsr_error_message(c), "no gradient");
        tsr_error_clear(c);
        ok = false;
    } else if (ok && CHECK_MSG(v && j, "%s: %s", d->name, tsr_error_message(c))) {
        CHECK_EQ(tsr_verify(c, v), TSR_OK);
        CHECK_EQ(tsr_verify(c, j), TSR_OK);
        ok = judge(c, f, v, j, x, 2e-7, &a);
        if (ok && s.smooth) ok = second_order(c, v, x, f->nparam, &a), second++;
    } else {
        ok = false;
    }
    if (!ok && err_any(c)) tsr_error_clear(c);
    tsr_fn_free(c, f), tsr_fn_free(c, v), tsr_fn_free(c, j);
    arena_release(&a);
    tsr_scope_end(c, scope);
    return ok;
}

TEST(gradients_of_every_op) {
    static const tsr_dtype dtypes[] = {TSR_F64, TSR_C128};
    tsr_ctx *c = test_ctx();
    for (int op = 0; op < TSR_OP_COUNT; op++)
        for (int k = 0; k < 2; k++) {
            const struct op_def *d = op_def((enum tsr_op)op);
            if (!sampled(d, dtypes[k]) || by_design(d)) continue;
            test_case("%s %s", d->name, tsr_dtype_name(dtypes[k]));
            for (int n = 0; n < ROUNDS && one_gradient(c, d, dtypes[k]); n++) continue;
            CHECK_OK(c);
        }
    printf("gradients and forward modes against differences: %d (%d more on a kink), %d of them gradients of "
           "gradients\n", judged, kinks, second);
}

/* ---- vmap ---- */

enum { LANES = 3 };

/* Stack LANES tensors of one shape along a new axis. */
static bool stack(struct arena *a, const struct ref_tensor *lane[LANES], int axis, struct ref_tensor *out) {
    int64_t dim[TSR_MAX_RANK], index[TSR_MAX_RANK];
    const struct ref_tensor *x = lane[0];
    for (int i = 0; i < x->rank; i++) dim[i < axis ? i : i + 1] = x->dim[i];
    dim[axis] = LANES;
    if (!ref_new(a, x->dtype, x->rank + 1, dim, out)) return false;
    for (int l = 0; l < LANES; l++)
        for (int64_t i = 0; i < x->count; i++) {
            int64_t at[TSR_MAX_RANK];
            ref_unravel(x->rank, x->dim, i, index);
            for (int k = 0; k < x->rank; k++) at[k < axis ? k : k + 1] = index[k];
            at[axis] = l;
            ref_move(out, ref_ravel(out->rank, out->dim, at), lane[l], i);
        }
    return true;
}

static bool same_as(const struct ref_tensor *got, const struct ref_tensor *want, double tol) {
    if (got->count != want->count || got->dtype != want->dtype) return false;
    for (int64_t i = 0; i < want->count; i++) {
        struct ref_val g = ref_get(got, i), w = ref_get(want, i);
        if (!inexact(want->dtype) ? g.i != w.i || g.u != w.u : !test_close(g.re, w.re, tol, tol) ||
            !test_close(g.im, w.im, tol, tol)) return false;
    }
    return true;
}

/* The batched fn against f on each example. */
static bool compare_lanes(tsr_ctx *c, tsr_fn *f, tsr_fn *v, struct ref_tensor x[LANES][MOST], const int *in,
                          const int *out, double tol, struct arena *a) {
    struct ref_tensor y[LANES][MOST], arg[MOST], got[MOST], want;
    for (size_t i = 0; i < f->param.n; i++) {
        const struct ref_tensor *lane[LANES];
        for (int l = 0; l < LANES; l++) lane[l] = &x[l][i];
        if (in[i] < 0) arg[i] = x[0][i];
        else if (!stack(a, lane, in[i], &arg[i])) return false;
    }
    for (int l = 0; l < LANES; l++)
        if (!run_fn(c, f, x[l], a, y[l])) return false;
    if (!run_fn(c, v, arg, a, got)) return false;
    for (size_t i = 0; i < f->result.n; i++) {
        const struct ref_tensor *lane[LANES];
        for (int l = 0; l < LANES; l++) lane[l] = &y[l][i];
        if (!stack(a, lane, out[i], &want)) return false;
        if (!CHECK_MSG(same_as(&got[i], &want, tol), "%s: result %zu differs from the loop's", f->name, i)) return
            false;
    }
    return true;
}

static bool one_vmap(tsr_ctx *c, const struct op_def *d, tsr_dtype t) {
    struct arena a;
    struct sample s;
    static struct ref_tensor x[LANES][MOST];
    int in[MOST], out[MOST];
    tsr_scope *scope = tsr_scope_begin(c);
    arena_init(&a, c);
    tsr_fn *f = sample_of(c, d, t, &s, &a, x[0]), *v = NULL;
    bool ok = f != NULL;
    for (int i = 0; ok && i < f->nparam; i++) { /* quantised weights are shared: their blocks cannot be moved about */
        bool block = tsr_dtype_of(x[0][i].dtype)->kind == TSR_KIND_BLOCK;
        in[i] = !block && test_int(0, 2) ? (int)test_int(0, x[0][i].rank) : -1;
    }
    for (int l = 1; ok && l < LANES; l++) {
        ok = sample_fill(&s, f, &a, x[l]) == TSR_OK;
        for (int i = 0; i < f->nparam; i++)
            if (in[i] < 0) x[l][i] = x[0][i];
    }
    for (int i = 0; ok && i < f->nresult; i++) out[i] = (int)test_int(0, f->result.v[i]->type->rank);
    if (ok) v = tsr_vmap(c, f, in, out, tsr_extent_int(c, LANES));
    if (ok && d->vmap == vmap_none && !v) {
        CHECK_CONTAINS(tsr_error_message(c), "no batching rule");
        tsr_error_clear(c);
        ok = false;
    } else if (ok && (ok = CHECK_MSG(v != NULL, "%s: %s", d->name, tsr_error_message(c)))) {
        CHECK_EQ(tsr_verify(c, v), TSR_OK);
        ok = compare_lanes(c, f, v, x, in, out, s.rtol > 1e-6 ? s.rtol :
                           1e-6 * (t == TSR_F64 || t == TSR_C128 ? 1e-6 : 1), &a);
        vmaps++;
    }
    if (!ok && err_any(c)) tsr_error_clear(c);
    tsr_fn_free(c, f), tsr_fn_free(c, v);
    arena_release(&a);
    tsr_scope_end(c, scope);
    return ok;
}

TEST(vmap_of_every_op) {
    static const tsr_dtype dtypes[] = {TSR_F64, TSR_I32, TSR_U32, TSR_BOOL, TSR_C128, TSR_F32};
    tsr_ctx *c = test_ctx();
    for (int op = 0; op < TSR_OP_COUNT; op++)
        for (int k = 0; k < 6; k++) {
            const struct op_def *d = op_def((enum tsr_op)op);
            if (!sampled(d, dtypes[k])) continue;
            test_case("%s %s", d->name, tsr_dtype_name(dtypes[k]));
            for (int n = 0; n < ROUNDS && one_vmap(c, d, dtypes[k]); n++) continue;
            CHECK_OK(c);
        }
    printf("vmap against a loop: %d\n", vmaps);
}
