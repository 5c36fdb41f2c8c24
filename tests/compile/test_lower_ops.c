/* test_lower_ops.c: every op of the list, in every dtype it admits, compiled and run on the cpu against the
 * interpreter.
 *
 * Each op's sampler builds random instances of three sizes (the third beyond a tile). Each is compiled with clusters
 * and without, runs on fresh random data, and is compared element by element: integers and booleans exactly, floats
 * within the sampler's tolerance, NaN only against NaN. Results are poisoned before (the test allocator does). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"
#include "run/runner.h"

enum { MOST = 64, SAMPLES = 4 };

static int cases;

/* ---- comparison ---- */

static bool close_enough(double got, double want, const struct sample *s, double scale) {
    if (isnan(want)) return isnan(got);
    if (isinf(want) || isinf(got)) return got == want;
    return fabs(got - want) <= s->atol + s->rtol * fmax(fabs(want), scale);
}

static bool same_value(const struct ref_tensor *a, const struct ref_tensor *b, int64_t i, const struct sample *s) {
    struct ref_val x = ref_get(a, i), y = ref_get(b, i);
    switch (tsr_dtype_of(a->dtype)->kind) {
    case TSR_KIND_FLOAT: return close_enough(x.re, y.re, s, 0);
    case TSR_KIND_COMPLEX: {
        double scale = fmax(fabs(y.re), fabs(y.im));
        return close_enough(x.re, y.re, s, scale) && close_enough(x.im, y.im, s, scale);
    }
    case TSR_KIND_INT: return x.i == y.i;
    default: return x.u == y.u;
    }
}

static double number(const struct ref_tensor *t, int64_t i) {
    struct ref_val v = ref_get(t, i);
    tsr_kind k = tsr_dtype_of(t->dtype)->kind;
    return k == TSR_KIND_FLOAT || k == TSR_KIND_COMPLEX ? v.re : k == TSR_KIND_INT ? (double)v.i : (double)v.u;
}

static bool compare(tsr_ctx *c, const tsr_fn *f, int i, const void *got, const struct ref_tensor *want,
    const struct sample *s) {
    struct ref_tensor g = *want;
    g.p = (uint8_t *)got;
    int64_t wrong = 0, first = -1;
    for (int64_t j = 0; j < want->count; j++)
        if (!same_value(&g, want, j, s)) first = wrong++ ? first : j;
    return CHECK_MSG(wrong == 0, "result %d (%s): %lld of %lld differ, first at %lld: got %.9g, want %.9g", i,
                     type_text(c, f->result.v[i]->type), (long long)wrong, (long long)want->count, (long long)first,
                     first < 0 ? 0 : number(&g, first), first < 0 ? 0 : number(want, first));
}

/* ---- one instance ---- */

static void show(tsr_ctx *c, const tsr_fn *f, const tsr_plan *p) {
    if (!getenv("TSR_TEST_SHOW")) return;
    char *text = tsr_fn_print(c, f);
    if (text) puts(text);
    tsr_text_free(c, text);
    for (size_t i = 0; i < p->step.n; i++) {
        if (!p->step.v[i].program) continue;
        text = tsr_tile_print(p->step.v[i].program);
        if (text) puts(text);
        tsr_text_free(c, text);
    }
}

static bool run_compiled(tsr_ctx *c, const tsr_fn *f, const struct ref_tensor *in, const struct ref_tensor *want,
                         const struct sample *s, bool fuse) {
    struct compile_opts o = {.fuse = fuse, .check = 1};
    struct runner *r = runner_of(c);
    tsr_plan *p = r ? compile_fn(c, f, &o) : NULL;
    tsr_buf *param[MOST] = {0}, *out[MOST] = {0};
    bool ok = CHECK_OK(c) && p;
    for (size_t i = 0; ok && i < f->param.n; i++) {
        size_t bytes = ref_bytes(&in[i]);
        if (!(param[i] = tsr_buf_new(c, bytes))) return CHECK_OK(c);
        memcpy(tsr_buf_data(param[i]), in[i].p, bytes);
    }
    if (ok) ok = CHECK_MSG(run_plan(r, p, 0, NULL, param, out) == TSR_OK, "%s", tsr_error_message(c));
    tsr_error_clear(c);
    bool right = ok;
    for (size_t i = 0; ok && i < f->result.n; i++) right = compare(c, f, (int)i, tsr_buf_data(out[i]), &want[i], s) &&
        right;
    if (!right && p) show(c, f, p);
    for (size_t i = 0; i < f->param.n; i++) tsr_buf_free(param[i]);
    for (size_t i = 0; i < f->result.n; i++) tsr_buf_free(out[i]);
    if (p) plan_free(p);
    return right;
}

static bool run_sample(tsr_ctx *c, const struct op_def *d, tsr_dtype t, int size) {
    tsr_scope *scope = tsr_scope_begin(c);
    struct arena a;
    struct sample s;
    struct ref_tensor in[MOST], want[MOST];
    arena_init(&a, c);
    sample_init(&s, t, test_rng(), size);
    tsr_fn *f = d->sample(c, &s);
    bool right = true;
    if (f && CHECK(f->param.n <= MOST && f->result.n <= MOST) && CHECK_EQ(sample_fill(&s, f, &a, in), TSR_OK) &&
        CHECK_EQ(interp_run(c, f, (int)f->param.n, in, &a, want, NULL), TSR_OK)) {
        right = run_compiled(c, f, in, want, &s, false);
        right = run_compiled(c, f, in, want, &s, true) && right;
        cases += 2;
    }
    bool made = f != NULL;
    tsr_fn_free(c, f);
    arena_release(&a);
    tsr_scope_end(c, scope);
    return made && right;
}

TEST(every_op_in_every_dtype) {
    tsr_ctx *c = test_ctx();
    const char *only = getenv("TSR_TEST_OP");
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        if (only && d && strcmp(only, d->name)) continue;
        for (int t = 0; d && t <= TSR_C128; t++) {
            if (!op_admits(d->domain, (tsr_dtype)t) || d->sample == sample_elsewhere) continue;
            test_case("%s %s", d->name, tsr_dtype_name((tsr_dtype)t));
            for (int n = 0; n < SAMPLES; n++)
                if (!run_sample(c, d, (tsr_dtype)t, n == SAMPLES - 1 ? 2 : n > 1)) break;
        }
    }
    printf("%d instances of ops compared with the reference\n", cases);
}
