/* op_check.h: what the tests of op families share: run a fn, and hold sampled instances of an op against an oracle,
 * its gradient rule against finite differences, its batching rule against a loop.
 *
 * An oracle computes one op by its definition, written independently of the reference kernel (where the kernel loops
 * over results, the oracle loops over sources, or the other way round). Oracles compute every member of struct
 * ref_val at once, so one text serves all dtypes. */
#ifndef TESTS_GRAPH_OP_CHECK_H
#define TESTS_GRAPH_OP_CHECK_H

#include <math.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"

#define MAYBE_UNUSED __attribute__((unused))

/* ---- numbers of any dtype --------------------------------------------------------------------------------------- */

typedef struct ref_val val;
static MAYBE_UNUSED val val_of(double x) {
    return (val){.re = x, .i = isfinite(x) ? (int64_t)x : 0, .u = isfinite(x) ? (uint64_t)(int64_t)x : 0};
}
static MAYBE_UNUSED val val_add(tsr_dtype t, val a, val b) {
    return (val){a.re + b.re, a.im + b.im, (int64_t)((uint64_t)a.i + (uint64_t)b.i), t == TSR_BOOL ? a.u | b.u
                 : a.u + b.u};
}
static MAYBE_UNUSED val val_mul(tsr_dtype t, val a, val b) {
    return (val){a.re * b.re - (dtype_is_complex(t) ? a.im * b.im : 0), a.re * b.im + a.im * b.re,
                 (int64_t)((uint64_t)a.i * (uint64_t)b.i), t == TSR_BOOL ? a.u & b.u : a.u * b.u};
}
static MAYBE_UNUSED bool val_less(tsr_dtype t, val a, val b) {
    if (dtype_is_complex(t)) return a.re < b.re || (a.re == b.re && a.im < b.im);
    return dtype_is_float(t) ? a.re < b.re : tsr_dtype_of(t)->kind == TSR_KIND_INT ? a.i < b.i : a.u < b.u;
}
static MAYBE_UNUSED val val_reduce(int64_t op, tsr_dtype t, val a, val b) {
    switch (op) {
    case TSR_REDUCE_SUM: return val_add(t, a, b);
    case TSR_REDUCE_PROD: return val_mul(t, a, b);
    case TSR_REDUCE_MAX: return val_less(t, a, b) ? b : a;
    case TSR_REDUCE_MIN: return val_less(t, b, a) ? b : a;
    case TSR_REDUCE_AND: return (val){.i = a.i & b.i, .u = a.u & b.u};
    case TSR_REDUCE_OR: return (val){.i = a.i | b.i, .u = a.u | b.u};
    default: return (val){.i = a.i ^ b.i, .u = a.u ^ b.u};
    }
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

static MAYBE_UNUSED bool run_fn(tsr_ctx *c, const tsr_fn *f, const struct ref_tensor *in, struct arena *a,
                                struct ref_tensor *out) {
    return interp_run(c, f, (int)f->param.n, in, a, out, &(struct interp_opts){.poison = 0xA5}) == TSR_OK;
}

/* A tensor of plain numbers, stored as dtype t. */
static MAYBE_UNUSED struct ref_tensor dense(struct arena *a, tsr_dtype t, int rank, const int64_t *dim,
                                            const double *v) {
    struct ref_tensor x = {0};
    if (!ref_new(a, t, rank, dim, &x)) return x;
    for (int64_t i = 0; i < x.count; i++) ref_set(&x, i, val_of(v[i]));
    return x;
}
static MAYBE_UNUSED double number(const struct ref_tensor *t, int64_t i) {
    val v = ref_get(t, i);
    return dtype_is_float(t->dtype) ? v.re : tsr_dtype_of(t->dtype)->kind == TSR_KIND_INT ? (double)v.i : (double)v.u;
}

/* Runs an op on parameters given as plain numbers and compares with plain numbers: the form of a spec's example. */
struct plain { tsr_dtype t; int rank; int64_t dim[TSR_MAX_RANK]; const double *v; };
static MAYBE_UNUSED void check_plain(tsr_ctx *c, tsr_fn *f, int n, const struct plain *in, const struct plain *want) {
    struct arena a;
    struct ref_tensor x[8], y;
    arena_init(&a, c);
    for (int i = 0; i < n; i++) x[i] = dense(&a, in[i].t, in[i].rank, in[i].dim, in[i].v);
    if (CHECK(f != NULL) && CHECK(run_fn(c, f, x, &a, &y)) && CHECK_EQ(y.rank, want->rank) &&
        CHECK_EQ(y.dtype, want->t)) {
        for (int i = 0; i < y.rank; i++) CHECK_EQ(y.dim[i], want->dim[i]);
        for (int64_t i = 0; i < y.count; i++) CHECK_CLOSE(number(&y, i), want->v[i], 1e-6, 1e-6);
    }
    CHECK_OK(c);
    arena_release(&a);
}

/* ---- sampled instances ------------------------------------------------------------------------------------------ */

static MAYBE_UNUSED bool admits(const char *domain, tsr_dtype t) {
    static const char letter[] = "fiubc-";
    return tsr_dtype_of(t)->bits >= 8 && strchr(domain, letter[tsr_dtype_of(t)->kind]) != NULL;
}

/* The op of f: its only result, which is not a leaf. */
static MAYBE_UNUSED tsr_node *op_of(const tsr_fn *f) { return f->result.v[0]; }

/* The source tensors of the op node of f, given f's parameters: literals are read from their attribute. */
static MAYBE_UNUSED void op_inputs(const tsr_fn *f, const struct ref_tensor *param, struct arena *a,
                                   struct ref_tensor *in) {
    const tsr_node *n = op_of(f);
    for (int j = 0; j < n->nsrc; j++) {
        const tsr_node *s = n->src[j];
        for (size_t p = 0; p < f->param.n; p++)
            if (f->param.v[p].node == s) in[j] = param[p];
        if (s->op == TSR_OP_CONST) {
            int64_t dim[TSR_MAX_RANK];
            const struct attr *v = node_attr(s, ATTR_VALUE);
            tsr_type_ints(s->type, dim);
            if (ref_new(a, s->type->dtype, s->type->rank, dim, &in[j])) memcpy(in[j].p, v->bytes, v->n);
        }
    }
}

static MAYBE_UNUSED bool same_number(tsr_dtype t, val got, val want, double rtol, double atol) {
    if (dtype_is_float(t)) return test_close(got.re, want.re, rtol, atol);
    if (dtype_is_complex(t)) { /* relative to the modulus: one part may be what cancellation left */
        double slack = atol + rtol * hypot(want.re, want.im);
        return test_close(got.re, want.re, 0, slack) && test_close(got.im, want.im, 0, slack);
    }
    return tsr_dtype_of(t)->kind == TSR_KIND_INT ? got.i == want.i : got.u == want.u;
}

/* out: what the op gives, before rounding to its dtype; y has the extents of the result. */
typedef void oracle_fn(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out);

static MAYBE_UNUSED void compare_with_oracle(tsr_ctx *c, const tsr_fn *f, const struct sample *s,
                                             const struct ref_tensor *y, const val *want) {
    struct ref_tensor rounded;
    struct arena a;
    int wrong = 0;
    arena_init(&a, c);
    bool wide = y->dtype == TSR_F64 || y->dtype == TSR_C128;
    double rtol = wide ? 1e-12 : s->rtol, atol = wide ? 1e-12 : s->atol;
    if (CHECK(ref_new(&a, y->dtype, y->rank, y->dim, &rounded)))
        for (int64_t i = 0; i < y->count && wrong < 3; i++) {
            ref_set(&rounded, i, want[i]);
            val g = ref_get(y, i), w = ref_get(&rounded, i);
            if (same_number(y->dtype, g, w, rtol, atol)) continue;
            wrong++;
            CHECK_MSG(false, "%s of type %s, element %lld: got %g %lld, oracle %g %lld", op_name(op_of(f)->op),
                      type_text(c, op_of(f)->type),
                      (long long)i, g.re, (long long)g.i, w.re, (long long)w.i);
        }
    arena_release(&a);
}

static MAYBE_UNUSED void check_against_oracle(enum tsr_op op, int turns, oracle_fn *oracle) {
    tsr_ctx *c = test_ctx();
    for (int t = 0; t < TSR_DTYPE_COUNT; t++)
        for (int turn = 0; turn < turns && admits(op_def(op)->domain, (tsr_dtype)t); turn++) {
            struct sample s;
            struct arena a;
            struct ref_tensor param[16], in[16] = {0}, y;
            tsr_scope *scope = tsr_scope_begin(c);
            sample_init(&s, (tsr_dtype)t, test_rng(), turn % 5 == 4 ? 1 : 0);
            test_case("%s %s %d", op_def(op)->name, tsr_dtype_name((tsr_dtype)t), turn);
            arena_init(&a, c);
            tsr_fn *f = op_def(op)->sample(c, &s);
            if (CHECK(f != NULL) && CHECK_EQ(op_of(f)->op, op) && CHECK(sample_fill(&s, f, &a, param) == TSR_OK) &&
                CHECK(run_fn(c, f, param, &a, &y))) {
                val *want = arena_array(&a, (size_t)y.count + 1, sizeof *want);
                op_inputs(f, param, &a, in);
                oracle(op_of(f), in, &y, want);
                compare_with_oracle(c, f, &s, &y, want);
                CHECK(tsr_verify(c, f) == TSR_OK);
            }
            CHECK_OK(c);
            arena_release(&a);
            tsr_fn_free(c, f);
            tsr_scope_end(c, scope);
        }
}

/* ---- gradient rule against finite differences ------------------------------------------------------------------- */

/* The op node of f built again in the open fn, on the given parameters. */
static MAYBE_UNUSED tsr_node *respliced(tsr_ctx *c, const tsr_fn *f, tsr_node *const *param) {
    tsr_node *out[4];
    fn_splice(c, f, param, out, NULL);
    return out[0];
}

/* A fn (params of f..., g) -> cotangent of each source of its op (zeros where the rule says so, or the source is no
 * float). */
static MAYBE_UNUSED tsr_fn *vjp_fn(tsr_ctx *c, const tsr_fn *f) {
    tsr_node *param[16], *gsrc[16] = {0};
    bool want[16];
    if (tsr_fn_begin(c, "vjp")) return NULL;
    for (size_t p = 0; p < f->param.n; p++) param[p] = tsr_param(c, f->param.v[p].node->type, "x");
    tsr_node *g = tsr_param(c, op_of(f)->type, "g"), *n = respliced(c, f, param);
    if (tsr_is_poison(n)) return tsr_fn_abort(c), NULL;
    for (int j = 0; j < n->nsrc; j++)
        want[j] = dtype_is_float(n->src[j]->type->dtype) || dtype_is_complex(n->src[j]->type->dtype);
    if (!op_def(n->op)->vjp(c, n, &g, want, gsrc)) return tsr_fn_abort(c), NULL;
    for (int j = 0; j < n->nsrc; j++) {
        if (!gsrc[j] || !want[j]) gsrc[j] = rule_zeros(c, n->src[j]->type);
        if (!tsr_is_poison(gsrc[j]))
            CHECK_MSG(gsrc[j]->type == n->src[j]->type, "the cotangent of source %d of %s is %s, the source %s", j,
                      op_name(n->op),
                      type_text(c, gsrc[j]->type), type_text(c, n->src[j]->type));
    }
    return tsr_fn_end(c, n->nsrc, gsrc);
}

static MAYBE_UNUSED double inner(const struct ref_tensor *a, const struct ref_tensor *b) {
    double sum = 0;
    for (int64_t i = 0; i < a->count; i++) /* the identity of max over nothing is infinite, and constant */
        if (isfinite(ref_get(b, i).re)) sum += ref_get(a, i).re * ref_get(b, i).re;
    return sum;
}

/* One source: d/de <g, f(x + e d)> for a random direction d against <cotangent, d>. */
static MAYBE_UNUSED void check_direction(tsr_ctx *c, const tsr_fn *f, struct ref_tensor *param, size_t p,
                                         const struct ref_tensor *g,
                                         const struct ref_tensor *cotangent, struct arena *a) {
    const double e = 1e-5;
    struct ref_tensor d, moved, y, saved = param[p];
    double value[2], size = 1;
    if (!ref_new(a, TSR_F64, saved.rank, saved.dim, &d) || !ref_new(a, TSR_F64, saved.rank, saved.dim, &moved)) return;
    for (int64_t i = 0; i < d.count; i++) ref_set(&d, i, val_of(test_uniform(-1, 1)));
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < d.count; i++)
            ref_set(&moved, i, val_of(ref_get(&saved, i).re + (k ? e : -e) * ref_get(&d, i).re));
        param[p] = moved;
        if (!CHECK(run_fn(c, f, param, a, &y))) break;
        value[k] = inner(g, &y);
        size += fabs(value[k]);
    }
    param[p] = saved;
    double numeric = (value[1] - value[0]) / (2 * e), rule = inner(cotangent, &d);
    CHECK_MSG(test_close(rule, numeric, 1e-6, 1e-8 * size),
              "%s, source %zu of type %s: gradient rule %.12g, finite difference %.12g",
              op_name(op_of(f)->op), p, type_text(c, f->param.v[p].node->type), rule, numeric);
}

static MAYBE_UNUSED void check_gradient(enum tsr_op op, int turns) {
    tsr_ctx *c = test_ctx();
    for (int turn = 0; turn < turns; turn++) {
        struct sample s;
        struct arena a;
        struct ref_tensor param[16], cotangent[16];
        tsr_scope *scope = tsr_scope_begin(c);
        sample_init(&s, TSR_F64, test_rng(), 0);
        test_case("%s gradient %d", op_def(op)->name, turn);
        arena_init(&a, c);
        tsr_fn *f = op_def(op)->sample(c, &s), *h = f ? vjp_fn(c, f) : NULL;
        if (CHECK(h != NULL) && CHECK(sample_fill(&s, f, &a, param) == TSR_OK)) {
            struct ref_tensor *g = &param[f->param.n], y;
            const tsr_node *n = op_of(f);
            int64_t dim[TSR_MAX_RANK];
            tsr_type_ints(n->type, dim);
            CHECK(ref_new(&a, TSR_F64, n->type->rank, dim, g));
            for (int64_t i = 0; i < g->count; i++) ref_set(g, i, val_of(test_uniform(-1, 1)));
            if (CHECK(run_fn(c, h, param, &a, cotangent)) && CHECK(run_fn(c, f, param, &a, &y)))
                for (int j = 0; j < n->nsrc; j++)
                    for (size_t p = 0; p < f->param.n; p++)
                        if (f->param.v[p].node == n->src[j] && n->src[j]->type->dtype == TSR_F64)
                            check_direction(c, f, param, p, g, &cotangent[j], &a);
        }
        CHECK_OK(c);
        arena_release(&a);
        tsr_fn_free(c, h);
        tsr_fn_free(c, f);
        tsr_scope_end(c, scope);
    }
}

/* ---- batching rule against a loop ------------------------------------------------------------------------------- */

/* A fn whose parameters have a front axis of extent `size` where their bit is set in `mask`. */
static MAYBE_UNUSED tsr_fn *vmap_fn(tsr_ctx *c, const tsr_fn *f, unsigned mask, const tsr_extent *size) {
    tsr_node *plain[16], *param[16], *src[16];
    bool batched[16] = {0};
    if (tsr_fn_begin(c, "vmap")) return NULL;
    for (size_t p = 0; p < f->param.n; p++) {
        const tsr_type *t = f->param.v[p].node->type;
        param[p] = tsr_param(c, mask >> p & 1 ? type_insert_axis(c, t, 0, size) : t, "x");
    }
    for (size_t p = 0; p < f->param.n; p++) /* where only the type matters: one more parameter, which nothing reads */
        plain[p] = mask >> p & 1 ? tsr_param(c, f->param.v[p].node->type, "type") : param[p];
    tsr_node *n = respliced(c, f, plain);
    if (tsr_is_poison(n)) return tsr_fn_abort(c), NULL;
    for (int j = 0; j < n->nsrc; j++) {
        src[j] = n->src[j];
        for (size_t p = 0; p < f->param.n; p++)
            if (f->param.v[p].node == op_of(f)->src[j] && (mask >> p & 1)) src[j] = param[p], batched[j] = true;
    }
    tsr_node *y = op_def(n->op)->vmap(c, n, src, batched, size);
    if (!tsr_is_poison(y))
        CHECK_MSG(y->type == type_insert_axis(c, n->type, 0, size), "%s of type %s, batched, is %s", op_name(n->op),
                  type_text(c, n->type),
                  type_text(c, y->type));
    return tsr_fn_end(c, 1, &y);
}

/* Member b of a batch: a view. */
static MAYBE_UNUSED struct ref_tensor member(const struct ref_tensor *t, int64_t b) {
    struct ref_tensor m = {.dtype = t->dtype, .rank = t->rank - 1, .count = 1};
    for (int i = 1; i < t->rank; i++) m.count *= m.dim[i - 1] = t->dim[i];
    size_t bytes = 0;
    tsr_dtype_bytes(t->dtype, m.count, &bytes);
    m.p = t->p + bytes * (size_t)b;
    return m;
}

static MAYBE_UNUSED void check_batching(enum tsr_op op, int turns) {
    tsr_ctx *c = test_ctx();
    for (int turn = 0; turn < turns; turn++) {
        struct sample s;
        struct arena a;
        struct ref_tensor param[16], one[16], y, z;
        tsr_scope *scope = tsr_scope_begin(c);
        tsr_dtype t = strchr(op_def(op)->domain, 'f') ? TSR_F32 : TSR_I32;
        int64_t size = turn % 7 == 6 ? 0 : test_int(1, 3);
        sample_init(&s, t, test_rng(), turn % 5 == 4 ? 1 : 0);
        arena_init(&a, c);
        tsr_fn *f = op_def(op)->sample(c, &s);
        unsigned mask = f && f->param.n ? (unsigned)test_int(1, (1 << f->param.n) - 1) : 0;
        test_case("%s batched %d, size %d, mask %u", op_def(op)->name, turn, (int)size, mask);
        tsr_fn *h = f ? vmap_fn(c, f, mask, tsr_extent_int(c, size)) : NULL;
        if (CHECK(h != NULL) && CHECK(sample_fill(&s, h, &a, param) == TSR_OK) && CHECK(run_fn(c, h, param, &a, &y)))
            for (int64_t b = 0; b < size; b++) {
                struct ref_tensor part = member(&y, b);
                for (size_t p = 0; p < f->param.n; p++) one[p] = mask >> p & 1 ? member(&param[p], b) : param[p];
                if (!CHECK(run_fn(c, f, one, &a, &z)) || !CHECK_EQ(z.count, part.count)) break;
                int64_t wrong = 0;
                for (int64_t i = 0; i < z.count; i++)
                    wrong += !same_number(z.dtype, ref_get(&part, i), ref_get(&z, i), s.rtol, s.atol);
                CHECK_MSG(wrong == 0, "%s: %lld of %lld elements of member %lld differ", op_name(op), (long long)wrong,
                          (long long)z.count, (long long)b);
            }
        CHECK_OK(c);
        arena_release(&a);
        tsr_fn_free(c, h);
        tsr_fn_free(c, f);
        tsr_scope_end(c, scope);
    }
}

/* ---- symbolic extents, refusals, failing allocations ------------------------------------------------------------ */

/* An op over parameters whose negative extents are symbols (-1: B, -2: T). The op and its cotangents are built once
 * with symbols and once with the sizes, for each pair of sizes; both must give the same bits. */
struct symbolic {
    const char *name;
    tsr_node *(*build)(tsr_ctx *c, tsr_node *const *x);
    int n;
    struct { tsr_dtype t; int rank; int64_t dim[4]; } param[4];
    int64_t sizes[4][2]; /* B, T; rows of zeros are skipped */
};

static MAYBE_UNUSED tsr_fn *symbolic_fn(tsr_ctx *c, const struct symbolic *y, const int64_t *size) {
    tsr_node *x[8], *out[8] = {0};
    if (tsr_fn_begin(c, y->name)) return NULL;
    for (int i = 0; i < y->n; i++) {
        const tsr_extent *e[4] = {0};
        for (int a = 0; a < y->param[i].rank; a++) {
            int64_t d = y->param[i].dim[a];
            e[a] = d >= 0 ? tsr_extent_int(c, d) : size ? tsr_extent_int(c, size[-1 - d])
                : tsr_extent_symbol(c, d == -1 ? "B" : "T", 1, 100);
        }
        const tsr_type *t = tsr_type_tensor(c, y->param[i].t, y->param[i].rank, e);
        x[i] = t ? tsr_param(c, t, "x") : tsr_poison(c);
    }
    tsr_node *n = y->build(c, x);
    if (tsr_is_poison(n)) return tsr_fn_abort(c), NULL;
    bool want[8];
    for (int j = 0; j < n->nsrc; j++) want[j] = dtype_is_float(n->src[j]->type->dtype);
    tsr_node *g = rule_full_like(c, n, 0.5);
    if (!op_def(n->op)->vjp(c, n, &g, want, out + 1)) return tsr_fn_abort(c), NULL;
    out[0] = n;
    for (int j = 0; j < n->nsrc; j++)
        if (!out[1 + j]) out[1 + j] = rule_zeros(c, n->src[j]->type);
    return tsr_fn_end(c, 1 + n->nsrc, out);
}

static MAYBE_UNUSED void check_symbolic(const struct symbolic *y) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = symbolic_fn(c, y, NULL);
    if (!CHECK(f != NULL)) CHECK_OK(c);
    for (int k = 0; f && k < 4 && y->sizes[k][0]; k++) {
        struct arena a;
        struct ref_tensor in[8], got[8], want[8];
        struct sample s;
        test_case("%s B=%d T=%d", y->name, (int)y->sizes[k][0], (int)y->sizes[k][1]);
        arena_init(&a, c);
        tsr_fn *h = symbolic_fn(c, y, y->sizes[k]);
        sample_init(&s, TSR_F64, test_rng(), 0);
        s.distinct = true;
        if (CHECK(h != NULL) && CHECK(sample_fill(&s, h, &a, in) == TSR_OK) && CHECK(run_fn(c, f, in, &a, got)) &&
            CHECK(run_fn(c, h, in, &a, want)))
            for (size_t i = 0; i < f->result.n; i++) {
                CHECK_EQ(got[i].count, want[i].count);
                CHECK_BYTES(got[i].p, want[i].p, ref_bytes(&want[i]));
            }
        CHECK_OK(c);
        tsr_fn_free(c, h);
        arena_release(&a);
    }
    tsr_fn_free(c, f);
}

/* A builder that must refuse, with an error that says `part`. */
struct refusal { const char *part; tsr_node *(*build)(tsr_ctx *c); };
static MAYBE_UNUSED void check_refusals(const struct refusal *r, int n) {
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < n; i++) {
        test_case("%s", r[i].part);
        CHECK(tsr_is_poison(r[i].build(c)));
        CHECK_ERROR(c, TSR_EINVAL, r[i].part);
    }
}

/* A literal of zeros. */
static MAYBE_UNUSED tsr_node *zeros(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim) {
    const tsr_type *type = tsr_type_dims(c, t, rank, dim);
    return type ? tsr_full(c, type, 0) : tsr_poison(c);
}
#define DIMS(...) (int)(sizeof(int64_t[]){__VA_ARGS__} / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}

/* Building, transforming and running a few instances of an op while allocations fail. */
static MAYBE_UNUSED bool torture_op(tsr_ctx *c, void *arg) {
    const struct op_def *def = op_def(*(enum tsr_op *)arg);
    bool done = true;
    for (uint64_t turn = 0; turn < 3 && done; turn++) {
        struct rng rng = {.seed = 77 + turn};
        struct sample s;
        struct arena a;
        struct ref_tensor in[16], out[16];
        arena_init(&a, c);
        sample_init(&s, TSR_F32, &rng, 0);
        tsr_fn *f = def->sample(c, &s), *v = f ? vjp_fn(c, f) : NULL, *b = v ? vmap_fn(c, f, 1, tsr_extent_int(c, 2))
            : NULL;
        done = b && sample_fill(&s, v, &a, in) == TSR_OK && run_fn(c, v, in, &a, out) && tsr_error_status(c) == TSR_OK;
        tsr_fn_free(c, b);
        tsr_fn_free(c, v);
        tsr_fn_free(c, f);
        arena_release(&a);
    }
    return done;
}
static MAYBE_UNUSED void check_torture(enum tsr_op op) {
    test_case("%s with failing allocations", op_def(op)->name);
    CHECK(torture(torture_op, &op) > 0);
}

#endif
