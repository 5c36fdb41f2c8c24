/* test_ops_lib.c: the ops whose kernels are a library's: sort, top_k, rng_bits, fft and the factorizations. What their
 * samplers build verifies and runs; gradient rules against finite differences (of real and of complex operands);
 * batching rules against one example at a time; published vectors; what the shape rules refuse, and what is symbolic.
 * */
#include <math.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"
#include "tessera/transform.h"

extern const struct op_def op_SORT, op_TOP_K, op_RNG_BITS, op_FFT, op_CHOLESKY, op_TRIANGULAR_SOLVE, op_QR, op_SVD,
    op_EIGH;
static const struct op_def *const records[] = {&op_SORT, &op_TOP_K, &op_RNG_BITS, &op_FFT, &op_CHOLESKY,
                                               &op_TRIANGULAR_SOLVE, &op_QR, &op_SVD, &op_EIGH};
enum { RECORDS = sizeof records / sizeof *records, MOST = 16 };

/* ---- samplers ---------------------------------------------------------------------------------------------------- */

static bool run_fn(tsr_ctx *c, const tsr_fn *f, const struct ref_tensor *in, struct arena *a, struct ref_tensor *out) {
    return CHECK_EQ(interp_run(c, f, (int)f->param.n, in, a, out, &(struct interp_opts){.poison = 0xa5}), TSR_OK);
}

TEST(samples_verify_and_run) {
    tsr_ctx *c = test_ctx();
    for (int r = 0; r < RECORDS; r++)
        for (int t = 0; t <= TSR_C128; t++) {
            if (!op_admits(records[r]->domain, (tsr_dtype)t)) continue;
            test_case("%s %s", records[r]->name, tsr_dtype_name((tsr_dtype)t));
            for (int round = 0; round < 12; round++) {
                tsr_scope *scope = tsr_scope_begin(c);
                struct arena a;
                struct ref_tensor in[MOST], out[MOST];
                struct sample s;
                arena_init(&a, c);
                sample_init(&s, (tsr_dtype)t, test_rng(), round < 6 ? 0 : round < 10 ? 1 : 2);
                tsr_fn *f = records[r]->sample(c, &s);
                if (f) {
                    CHECK_EQ(tsr_verify(c, f), TSR_OK);
                    if (CHECK_EQ(sample_fill(&s, f, &a, in), TSR_OK)) run_fn(c, f, in, &a, out);
                }
                arena_release(&a);
                tsr_fn_free(c, f);
                tsr_scope_end(c, scope);
                if (!CHECK_OK(c) || !f) break;
            }
        }
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

struct grad_case {
    tsr_fn *f, *v; /* y... = f(x...); dx... = v(x..., dy...) */
    struct arena mem;
    struct ref_tensor in[MOST], dx[MOST];
    int n, results;
};

static bool is_float(tsr_dtype t) { return dtype_is_float(t) || dtype_is_complex(t); }

/* Re sum(dy y) over all results */
static double loss(tsr_ctx *c, struct grad_case *k) {
    struct arena a;
    struct ref_tensor y[MOST];
    double sum = 0;
    arena_init(&a, c);
    if (run_fn(c, k->f, k->in, &a, y))
        for (int r = 0; r < k->results; r++)
            for (int64_t i = 0; i < y[r].count && is_float(y[r].dtype); i++) {
                struct ref_val v = ref_get(&y[r], i), g = ref_get(&k->in[k->n + r], i);
                sum += dtype_is_complex(y[r].dtype) ? v.re * g.re - v.im * g.im : v.re * g.re;
            }
    arena_release(&a);
    return sum;
}

static double slope(tsr_ctx *c, struct grad_case *k, int p, int64_t i, double re, double im) {
    const double h = 1e-5;
    struct ref_val v = ref_get(&k->in[p], i);
    ref_set(&k->in[p], i, (struct ref_val){.re = v.re + h * re, .im = v.im + h * im});
    double up = loss(c, k);
    ref_set(&k->in[p], i, (struct ref_val){.re = v.re - h * re, .im = v.im - h * im});
    double down = loss(c, k);
    ref_set(&k->in[p], i, v);
    return (up - down) / (2 * h);
}

static int compare_slopes(tsr_ctx *c, struct grad_case *k) {
    int compared = 0;
    for (int p = 0; p < k->n; p++)
        for (int64_t i = 0; i < k->in[p].count && is_float(k->in[p].dtype); i++) {
            struct ref_val d = ref_get(&k->dx[p], i);
            CHECK_CLOSE(d.re, slope(c, k, p, i, 1, 0), 2e-5, 2e-6);
            if (k->in[p].dtype == TSR_C128) CHECK_CLOSE(-d.im, slope(c, k, p, i, 0, 1), 2e-5, 2e-6);
            compared++;
        }
    return compared;
}

/* Numbers compared; 0 when the op has no gradient in this dtype. */
static int check_grad(tsr_ctx *c, const struct op_def *d, tsr_dtype t) {
    tsr_scope *scope = tsr_scope_begin(c);
    struct sample s;
    struct grad_case k = {0};
    int compared = 0;
    sample_init(&s, t, test_rng(), 0);
    k.f = d->sample(c, &s);
    k.v = k.f ? tsr_vjp(c, k.f) : NULL;
    arena_init(&k.mem, c);
    if (k.v) {
        k.n = (int)k.f->param.n, k.results = (int)k.f->result.n;
        for (int i = k.n; i < 8; i++) s.lo[i] = -1, s.hi[i] = 1;
        CHECK_EQ(tsr_verify(c, k.v), TSR_OK);
        if (CHECK_EQ(sample_fill(&s, k.v, &k.mem, k.in), TSR_OK) && run_fn(c, k.v, k.in, &k.mem, k.dx))
            compared = compare_slopes(c, &k);
    }
    arena_release(&k.mem);
    tsr_fn_free(c, k.f);
    tsr_fn_free(c, k.v);
    tsr_scope_end(c, scope);
    CHECK_OK(c);
    return compared;
}

TEST(gradient_rules_against_finite_differences) {
    static const tsr_dtype types[] = {TSR_F64, TSR_C128};
    tsr_ctx *c = test_ctx();
    for (int r = 0; r < RECORDS; r++)
        for (int t = 0; t < 2; t++) {
            if (!op_admits(records[r]->domain, types[t])) continue;
            int compared = 0;
            for (int round = 0; round < 20; round++) {
                test_case("%s %s %d", records[r]->name, tsr_dtype_name(types[t]), round);
                compared += check_grad(c, records[r], types[t]);
            }
            CHECK_MSG(compared > 20, "only %d slopes compared", compared);
        }
}

/* ---- batching ---------------------------------------------------------------------------------------------------- */

static struct ref_tensor example(const struct ref_tensor *t, int64_t i) {
    struct ref_tensor e = *t;
    e.rank--;
    e.count = t->dim[0] ? t->count / t->dim[0] : 0;
    for (int a = 0; a < e.rank; a++) e.dim[a] = t->dim[a + 1];
    e.p = t->p + (tsr_dtype_of(t->dtype)->bits >= 8 ? i * e.count * tsr_dtype_of(t->dtype)->bytes : 0);
    return e;
}

static void compare_example(const struct ref_tensor *y, const struct ref_tensor *w, int64_t example_index) {
    CHECK_EQ(y->count, w->count);
    for (int64_t i = 0; i < y->count; i++) {
        struct ref_val a = ref_get(y, i), b = ref_get(w, i);
        bool same = is_float(y->dtype) ? test_close(a.re, b.re, 1e-9, 1e-9) &&
                                             (!dtype_is_complex(y->dtype) || test_close(a.im, b.im, 1e-9, 1e-9))
                                       : a.i == b.i && a.u == b.u;
        if (!CHECK_MSG(same, "example %d element %d: %g, alone %g", (int)example_index, (int)i, a.re, b.re)) return;
    }
}

static void check_vmap(tsr_ctx *c, const struct op_def *d, tsr_dtype t) {
    enum { B = 3 };
    tsr_scope *scope = tsr_scope_begin(c);
    struct arena mem;
    struct ref_tensor in[MOST], y[MOST], one[MOST], w[MOST];
    struct sample s;
    sample_init(&s, t, test_rng(), 0);
    arena_init(&mem, c);
    tsr_fn *f = d->sample(c, &s), *g = f ? tsr_vmap(c, f, NULL, NULL, tsr_extent_int(c, B)) : NULL;
    if (f && CHECK(g) && CHECK_EQ(tsr_verify(c, g), TSR_OK) && CHECK_EQ(sample_fill(&s, g, &mem, in), TSR_OK) &&
        run_fn(c, g, in, &mem, y))
        for (int64_t b = 0; b < B; b++) {
            for (size_t i = 0; i < f->param.n; i++) one[i] = example(&in[i], b);
            if (!run_fn(c, f, one, &mem, w)) break;
            for (size_t i = 0; i < f->result.n; i++) {
                struct ref_tensor e = example(&y[i], b);
                compare_example(&e, &w[i], b);
            }
        }
    arena_release(&mem);
    tsr_fn_free(c, f);
    tsr_fn_free(c, g);
    tsr_scope_end(c, scope);
    CHECK_OK(c);
}

TEST(batching_rules_against_one_example_at_a_time) {
    static const tsr_dtype types[] = {TSR_F64, TSR_C128, TSR_I32, TSR_U8, TSR_U32, TSR_U64};
    tsr_ctx *c = test_ctx();
    for (int r = 0; r < RECORDS; r++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            if (!op_admits(records[r]->domain, types[t])) continue;
            test_case("%s %s", records[r]->name, tsr_dtype_name(types[t]));
            for (int round = 0; round < 8; round++) check_vmap(c, records[r], types[t]);
        }
}

/* ---- what they refuse, and what is symbolic ---------------------------------------------------------------------- */

static const tsr_type *dims(tsr_ctx *c, tsr_dtype t, int rank, int64_t a, int64_t b) {
    return tsr_type_dims(c, t, rank, (int64_t[]){a, b});
}

TEST(refusals) {
    tsr_ctx *c = test_ctx();
    tsr_node *m = tsr_full(c, dims(c, TSR_F64, 2, 3, 4), 1), *square = tsr_full(c, dims(c, TSR_F64, 2, 3, 3), 1);
    tsr_node *z = tsr_full(c, dims(c, TSR_C128, 2, 3, 4), 1), *half = tsr_full(c, dims(c, TSR_F16, 2, 3, 3), 1);
    tsr_node *two[2] = {m, square}, *state = tsr_full(c, dims(c, TSR_U64, 1, 3, 0), 1);
    int64_t four = 4, five = 5;
    const struct { const char *name; tsr_node *y; const char *part; } row[] = {
        {"sort axis", tsr_prim_sort(c, 1, &m, 2, 1, false, true), "axis"},
        {"sort shapes", tsr_prim_sort(c, 2, two, 0, 1, false, true), "all operands need one shape"},
        {"sort keys", tsr_prim_sort(c, 1, &m, 0, 2, false, true), "2 keys of 1 operands"},
        {"sort complex", tsr_prim_sort(c, 1, &z, 0, 1, false, true), "has no order"},
        {"top_k of too few", tsr_prim_top_k(c, m, 5), "has only 4 elements"},
        {"top_k negative", tsr_prim_top_k(c, m, -1), "must not be negative"},
        {"threefry state", tsr_prim_rng_bits(c, TSR_RNG_THREEFRY, state, dims(c, TSR_U32, 1, 2, 0)),
            "Threefry is u64[2]"},
        {"bits of f32", tsr_prim_rng_bits(c, TSR_RNG_PHILOX, state, dims(c, TSR_F32, 1, 2, 0)), "bitcast them"},
        {"fft of reals", tsr_prim_fft(c, m, TSR_FFT, 1, &four), "rfft takes real ones"},
        {"rfft of complex", tsr_prim_fft(c, z, TSR_RFFT, 1, &four), "fft takes complex ones"},
        {"fft length", tsr_prim_fft(c, z, TSR_FFT, 1, &five), "must have 5 points"},
        {"irfft length", tsr_prim_fft(c, z, TSR_IRFFT, 1, &four), "must have 3 points"},
        {"fft axes", tsr_prim_fft(c, z, TSR_FFT, 0, &four), "1 to 3"},
        {"cholesky of a rectangle", tsr_prim_cholesky(c, m, true), "must be square"},
        {"cholesky of f16", tsr_prim_cholesky(c, half, true), "convert first"},
        {"svd of complex", tsr_prim_svd(c, z), "f32 or f64"},
        {"eigh of a rectangle", tsr_prim_eigh(c, m), "must be square"},
        {"qr of a vector", tsr_prim_qr(c, state), "at least two axes"},
        {"solve rows", tsr_prim_triangular_solve(c, tsr_full(c, dims(c, TSR_F64, 2, 2, 2), 1), m, true, true, false,
                                                 TSR_SOLVE_PLAIN), "as many rows as a"},
        {"solve dtypes", tsr_prim_triangular_solve(c, square, z, true, true, false, TSR_SOLVE_PLAIN), "one dtype"},
    };
    tsr_error_clear(c); /* only the first of them was kept: each is made again alone */
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        test_case("%s", row[i].name);
        CHECK(tsr_is_poison(row[i].y));
    }
    test_case("messages");
    tsr_prim_sort(c, 1, &z, 0, 1, false, true);
    CHECK_ERROR(c, TSR_EINVAL, row[3].part);
    tsr_prim_top_k(c, m, 5);
    CHECK_ERROR(c, TSR_EINVAL, row[4].part);
    tsr_prim_fft(c, z, TSR_FFT, 1, &five);
    CHECK_ERROR(c, TSR_EINVAL, row[10].part);
    tsr_prim_cholesky(c, m, true);
    CHECK_ERROR(c, TSR_EINVAL, row[13].part);
    tsr_prim_triangular_solve(c, square, z, true, true, false, TSR_SOLVE_PLAIN);
    CHECK_ERROR(c, TSR_EINVAL, row[19].part);
}

TEST(symbolic_extents) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *b = tsr_extent_symbol(c, "B", 0, 100), *n = tsr_extent_symbol(c, "N", 1, 50), *bnn[3] = {b, n, n};
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 3, bnn), "x");
    CHECK(tsr_prim_cholesky(c, x, true)->type == x->type);
    CHECK(tsr_item(c, tsr_prim_eigh(c, x), 1)->type == x->type);
    CHECK(tsr_node_extent(tsr_item(c, tsr_prim_qr(c, x), 0), 2) == n);
    CHECK(tsr_node_extent(tsr_item(c, tsr_prim_svd(c, x), 1), 0) == b);
    CHECK(tsr_item(c, tsr_prim_sort(c, 1, &x, 1, 1, false, true), 0)->type == x->type);
    CHECK_EQ(tsr_node_dim(tsr_item(c, tsr_prim_top_k(c, x, 1), 0), 2), 1);
    CHECK_OK(c);
    tsr_fn_abort(c);
}
