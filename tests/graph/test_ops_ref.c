/* test_ops_ref.c: every op of the list in the reference interpreter: what samplers build verifies, prints, and is
 * computed whole (no poison shines through); the gradient rules of elementwise and form ops against finite
 * differences of the reference. What the functions give at particular points is in test_scalar_ref.c; what the form
 * ops refuse and fold in test_form.c. */
#include <math.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"

enum { SAMPLES = 6 };

/* ---- every op, every dtype -------------------------------------------------------------------------------------- */

/* Are the elements of a those of b from `first` on, bit for bit? */
static bool same_data(const struct ref_tensor *a, const struct ref_tensor *b, int64_t first) {
    const tsr_dtype_info *d = tsr_dtype_of(a->dtype);
    if (d->bits >= 8) return !memcmp(a->p, b->p + first * d->bytes, ref_bytes(a));
    for (int64_t i = 0; i < a->count; i++)
        if (ref_get(a, i).i != ref_get(b, first + i).i || ref_get(a, i).u != ref_get(b, first + i).u) return false;
    return true;
}

static void check_results(tsr_ctx *c, const tsr_fn *f, const struct ref_tensor *a, const struct ref_tensor *b) {
    for (size_t i = 0; i < f->result.n; i++) {
        const tsr_type *t = f->result.v[i]->type;
        int64_t dim[TSR_MAX_RANK];
        if (CHECK(t->kind == TSR_TENSOR && tsr_type_ints(t, dim))) {
            CHECK(a[i].dtype == t->dtype && a[i].rank == t->rank &&
                !memcmp(dim, a[i].dim, sizeof *dim * (size_t)t->rank));
        }
        CHECK_MSG(same_data(&a[i], &b[i], 0), "result %zu (%s) depends on what was in memory", i, type_text(c, t));
    }
}

/* Two runs that differ in what results are filled with before must agree in every bit. */
static void run_twice(tsr_ctx *c, struct sample *s, const tsr_fn *f) {
    enum { MOST = 64 };
    struct arena a;
    struct ref_tensor in[MOST], first[MOST], second[MOST];
    if (!CHECK(f->param.n <= MOST && f->result.n <= MOST)) return;
    arena_init(&a, c);
    if (CHECK_EQ(sample_fill(s, f, &a, in), TSR_OK) &&
        CHECK_EQ(interp_run(c, f, (int)f->param.n, in, &a, first, &(struct interp_opts){.poison = 0xa5}), TSR_OK) &&
        CHECK_EQ(interp_run(c, f, (int)f->param.n, in, &a, second, &(struct interp_opts){.poison = 0x5a}), TSR_OK))
        check_results(c, f, first, second);
    arena_release(&a);
}

/* False when the op has no instance of this dtype. */
static bool run_sample(tsr_ctx *c, const struct op_def *d, tsr_dtype t, int size) {
    tsr_scope *scope = tsr_scope_begin(c);
    struct sample s;
    sample_init(&s, t, test_rng(), size);
    tsr_fn *f = d->sample(c, &s);
    if (f) {
        CHECK_EQ(tsr_verify(c, f), TSR_OK);
        char *text = tsr_fn_print(c, f);
        CHECK(text && strlen(text) > 3);
        tsr_text_free(c, text);
        run_twice(c, &s, f);
    }
    tsr_fn_free(c, f);
    tsr_scope_end(c, scope);
    CHECK_OK(c);
    return f != NULL;
}

TEST(every_op_in_every_dtype) {
    tsr_ctx *c = test_ctx();
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        for (int t = 0; d && t <= TSR_C128; t++) {
            if (!op_admits(d->domain, (tsr_dtype)t) || d->sample == sample_elsewhere) continue;
            test_case("%s %s", d->name, tsr_dtype_name((tsr_dtype)t));
            for (int n = 0; n < SAMPLES && run_sample(c, d, (tsr_dtype)t, n == SAMPLES - 1 ? 2 : n > 2); n++) continue;
        }
    }
}

/* Every record is complete: a rule that does not exist is a sentinel. */
TEST(records_are_complete) {
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        if (!d) continue;
        test_case("%s", d->name);
        CHECK(d->name && d->formula && d->spec && d->domain && d->infer && d->vjp && d->vmap && d->ref && d->sample);
        for (int other = 0; other < op; other++)
            CHECK(!op_def((enum tsr_op)other) || strcmp(op_name((enum tsr_op)other), d->name));
    }
}

/* ---- gradient rules against finite differences ------------------------------------------------------------------ */

enum { PARAMS = 8 };
struct grad_case {
    tsr_fn *f, *g;   /* y = f(x...); (dx...) = g(x..., dy) */
    struct arena mem;
    struct ref_tensor in[PARAMS + 1], dx[PARAMS];
    int n;
};

/* The rule of f's one op, as a fn; NULL when the builder folded the op away. */
static tsr_fn *grad_fn(tsr_ctx *c, const tsr_fn *f, enum tsr_op op) {
    tsr_node *x[PARAMS], *y, *gsrc[PARAMS] = {NULL}, *dx[PARAMS];
    bool want[PARAMS];
    size_t n = f->param.n;
    if (f->result.v[0]->op != op || tsr_fn_begin(c, "grad") != TSR_OK) return NULL;
    for (size_t i = 0; i < n; i++) x[i] = tsr_param(c, f->param.v[i].node->type, "x");
    tsr_node *dy = tsr_param(c, f->result.v[0]->type, "dy");
    fn_splice(c, f, x, &y, NULL);
    for (int j = 0; j < PARAMS; j++) want[j] = true;
    CHECK(op_def(op)->vjp(c, y, &dy, want, gsrc));
    for (size_t i = 0; i < n; i++) {
        dx[i] = rule_zeros(c, x[i]->type);
        for (int j = 0; j < y->nsrc; j++)
            if (y->src[j] == x[i] && gsrc[j]) {
                CHECK_MSG(!tsr_is_poison(gsrc[j]) && gsrc[j]->type == x[i]->type, "operand %d: cotangent %s of %s", j,
                          tsr_is_poison(gsrc[j]) ? "poison" : type_text(c, gsrc[j]->type), type_text(c, x[i]->type));
                dx[i] = gsrc[j];
            }
    }
    return tsr_fn_end(c, (int)n, dx);
}

/* Re sum(dy * f(x)), the number whose derivative the rule gives (cotangents pair as Re(g t)). */
static double loss(tsr_ctx *c, struct grad_case *k) {
    struct arena a;
    struct ref_tensor y;
    double sum = 0;
    arena_init(&a, c);
    if (CHECK_EQ(interp_run(c, k->f, k->n, k->in, &a, &y, NULL), TSR_OK)) {
        for (int64_t i = 0; i < y.count; i++) {
            struct ref_val v = ref_get(&y, i), g = ref_get(&k->in[k->n], i);
            sum += v.re * g.re - v.im * g.im;
        }
    }
    arena_release(&a);
    return sum;
}

static void nudge(struct ref_tensor *t, int64_t i, double re, double im) {
    struct ref_val v = ref_get(t, i);
    v.re += re, v.im += im;
    ref_set(t, i, v);
}

static double slope(tsr_ctx *c, struct grad_case *k, int p, int64_t i, double re, double im) {
    const double h = 1e-5;
    nudge(&k->in[p], i, h * re, h * im);
    double up = loss(c, k);
    nudge(&k->in[p], i, -2 * h * re, -2 * h * im);
    double down = loss(c, k);
    nudge(&k->in[p], i, h * re, h * im);
    return (up - down) / (2 * h);
}

static void compare_slopes(tsr_ctx *c, struct grad_case *k) {
    for (int p = 0; p < k->n; p++) {
        if (k->in[p].dtype != TSR_F64 && k->in[p].dtype != TSR_C128) continue;
        for (int64_t i = 0; i < k->in[p].count; i++) {
            struct ref_val d = ref_get(&k->dx[p], i);
            CHECK_CLOSE(d.re, slope(c, k, p, i, 1, 0), 1e-5, 1e-6);
            if (k->in[p].dtype == TSR_C128) CHECK_CLOSE(-d.im, slope(c, k, p, i, 0, 1), 1e-5, 1e-6);
        }
    }
}

static void check_grad(tsr_ctx *c, enum tsr_op op, tsr_dtype t) {
    tsr_scope *scope = tsr_scope_begin(c);
    struct sample s;
    struct grad_case k = {0};
    sample_init(&s, t, test_rng(), 0);
    k.f = op_def(op)->sample(c, &s);
    bool real = k.f && k.f->result.n == 1 && (k.f->result.v[0]->type->dtype == TSR_F64 ||
        k.f->result.v[0]->type->dtype == TSR_C128);
    k.g = real && s.smooth ? grad_fn(c, k.f, op) : NULL;
    arena_init(&k.mem, c);
    if (k.g) {
        k.n = (int)k.f->param.n;
        s.lo[k.n] = -1, s.hi[k.n] = 1;
        if (CHECK_EQ(sample_fill(&s, k.g, &k.mem, k.in), TSR_OK) &&
            CHECK_EQ(interp_run(c, k.g, k.n + 1, k.in, &k.mem, k.dx, NULL), TSR_OK))
            compare_slopes(c, &k);
    }
    arena_release(&k.mem);
    tsr_fn_free(c, k.f);
    tsr_fn_free(c, k.g);
    tsr_scope_end(c, scope);
    CHECK_OK(c);
}

TEST(gradient_rules_of_elementwise_and_form_ops) {
    static const tsr_dtype types[] = {TSR_F64, TSR_C128};
    tsr_ctx *c = test_ctx();
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        if (!d || (d->cls != OP_ELEM && (op < TSR_OP_CONVERT || op > TSR_OP_REVERSE))) continue;
        for (int t = 0; t < 2; t++) {
            if (!op_admits(d->domain, types[t])) continue;
            test_case("%s %s", d->name, tsr_dtype_name(types[t]));
            for (int n = 0; n < 8; n++) check_grad(c, (enum tsr_op)op, types[t]);
        }
    }
}

/* ---- batching rules against a loop ------------------------------------------------------------------------------ */

enum { BATCH = 3 };

/* v(x...) is f with a front axis on the parameters that are batched; NULL when the builder folded the op away. */
static tsr_fn *vmap_fn(tsr_ctx *c, const tsr_fn *f, enum tsr_op op, const bool *batched) {
    const tsr_node *n = f->result.v[0];
    const tsr_extent *size = tsr_extent_int(c, BATCH);
    tsr_node *x[PARAMS], *src[PARAMS];
    bool src_batched[PARAMS];
    if (n->op != op || n->nsrc == 0 || n->nsrc > PARAMS) return NULL;
    for (int j = 0; j < n->nsrc; j++)
        if (n->src[j]->op != TSR_OP_PARAM) return NULL;
    if (tsr_fn_begin(c, "vmap") != TSR_OK) return NULL;
    for (size_t i = 0; i < f->param.n; i++) {
        const tsr_type *t = f->param.v[i].node->type;
        x[i] = tsr_param(c, batched[i] ? type_insert_axis(c, t, 0, size) : t, "x");
    }
    for (int j = 0; j < n->nsrc; j++) {
        int64_t i = node_int(n->src[j], ATTR_INDEX);
        src[j] = x[i], src_batched[j] = batched[i];
    }
    tsr_node *y = op_def(op)->vmap(c, (tsr_node *)(uintptr_t)n, src, src_batched, size);
    return tsr_fn_end(c, 1, &y);
}

/* Slice b of a tensor whose front axis is the batch; t itself when it has none. */
static struct ref_tensor slice_of(const struct ref_tensor *t, bool batched, int b) {
    struct ref_tensor s = *t;
    if (!batched) return s;
    s.count /= BATCH, s.rank--;
    memmove(s.dim, s.dim + 1, sizeof *s.dim * (size_t)s.rank);
    s.p += (size_t)b * ref_bytes(&s);
    return s;
}

static void compare_slices(tsr_ctx *c, const tsr_fn *f, const bool *batched, struct ref_tensor *in,
    const struct ref_tensor *y, struct arena *a) {
    struct ref_tensor part[PARAMS], one;
    for (int b = 0; b < BATCH; b++) {
        for (size_t i = 0; i < f->param.n; i++) part[i] = slice_of(&in[i], batched[i], b);
        if (!CHECK_EQ(interp_run(c, f, (int)f->param.n, part, a, &one, NULL), TSR_OK)) return;
        CHECK(y->dim[0] == BATCH && one.rank == y->rank - 1 && !memcmp(one.dim, y->dim + 1,
            sizeof *one.dim * (size_t)one.rank));
        CHECK_MSG(same_data(&one, y, b * one.count), "slice %d differs from the result of that slice alone", b);
    }
}

static void check_vmap(tsr_ctx *c, enum tsr_op op, tsr_dtype t) {
    tsr_scope *scope = tsr_scope_begin(c);
    struct sample s;
    struct arena a;
    struct ref_tensor in[PARAMS], y;
    bool batched[PARAMS], any = false;
    sample_init(&s, t, test_rng(), 0);
    tsr_fn *f = op_def(op)->sample(c, &s), *v = NULL;
    for (size_t i = 0; f && i < f->param.n; i++) any |= batched[i] = test_int(0, 1);
    if (any) v = vmap_fn(c, f, op, batched);
    arena_init(&a, c);
    if (v && CHECK_EQ(sample_fill(&s, v, &a, in), TSR_OK) &&
        CHECK_EQ(interp_run(c, v, (int)v->param.n, in, &a, &y, NULL), TSR_OK))
        compare_slices(c, f, batched, in, &y, &a);
    arena_release(&a);
    tsr_fn_free(c, f);
    tsr_fn_free(c, v);
    tsr_scope_end(c, scope);
    CHECK_OK(c);
}

TEST(batching_rules_of_elementwise_and_form_ops) {
    static const tsr_dtype types[] = {TSR_F32, TSR_I16, TSR_BOOL, TSR_C64};
    tsr_ctx *c = test_ctx();
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        if (!d || (d->cls != OP_ELEM && op != TSR_OP_STOP_GRADIENT && (op < TSR_OP_CONVERT || op > TSR_OP_REVERSE)))
            continue;
        for (int t = 0; t < 4; t++) {
            if (!op_admits(d->domain, types[t])) continue;
            test_case("%s %s", d->name, tsr_dtype_name(types[t]));
            for (int n = 0; n < 12; n++) check_vmap(c, (enum tsr_op)op, types[t]);
        }
    }
}
