/* test_lib.c: the CPU's library kernels against oracles that share no code with them: a selection sort, a direct
 * Fourier sum, products that must give the factored matrix back, gathers and scatters spelled out index by index; and
 * the same bits on 1, 2 and 7 threads. */
#include "device/cpu/lib.h"

#include <complex.h>
#include <float.h>
#include <math.h>

#include "harness.h"
#include "tessera/prim.h"

_Static_assert((int)LIB_THREEFRY == TSR_RNG_THREEFRY && (int)LIB_PHILOX == TSR_RNG_PHILOX, "lib.h follows prim.h");
_Static_assert((int)LIB_FFT == TSR_FFT && (int)LIB_IFFT == TSR_IFFT && (int)LIB_RFFT == TSR_RFFT &&
               (int)LIB_IRFFT == TSR_IRFFT, "");
_Static_assert((int)LIB_SOLVE_TRANSPOSE == TSR_SOLVE_TRANSPOSE && (int)LIB_SOLVE_ADJOINT == TSR_SOLVE_ADJOINT, "");
_Static_assert((int)LIB_SCATTER_SET == TSR_SCATTER_SET && (int)LIB_SCATTER_MAX == TSR_SCATTER_MAX, "");

static tsr_ctx *ctx; /* of the running TEST, for helpers */

enum { TENSORS_MAX = 8 };
struct bench { /* one call: its tensors and their memory */
    tsr_ctx *c;
    int n;
    struct lib_tensor t[TENSORS_MAX];
    int64_t dim[TENSORS_MAX][LIB_MAX_RANK];
};

static size_t tensor_bytes(const struct lib_tensor *t) {
    size_t n = 0;
    CHECK(tsr_dtype_bytes(t->dtype, lib_count(t), &n));
    return n;
}

static void *tensor(struct bench *b, tsr_dtype t, int rank, const int64_t *dim) {
    int i = b->n++;
    for (int a = 0; a < rank; a++) b->dim[i][a] = dim[a];
    b->t[i] = (struct lib_tensor){t, rank, b->dim[i], NULL};
    size_t n = tensor_bytes(&b->t[i]);
    b->t[i].p = mem_alloc(b->c, n);
    memset(b->t[i].p, 0xA5, n);
    return b->t[i].p;
}

static tsr_status run_bench(struct bench *b, const char *name, int nints, const int64_t *ints) {
    struct lib_call k = {b->c, ctx_pool(b->c), b->n, b->t, nints, ints};
    return lib_run(name, &k);
}

static void release(struct bench *b) {
    for (int i = 0; i < b->n; i++) mem_free(b->c, b->t[i].p, tensor_bytes(&b->t[i]));
    b->n = 0;
}

static int64_t extent(void) {
    static const int64_t some[] = {0, 1, 2, 3, 5, 7, 8, 13, 16, 31, 64, 97};
    return some[test_int(0, 11)];
}

/* ---- sort -------------------------------------------------------------------------------------------------------- */

/* -1, 0, 1 in the default order: NaN greatest, zeros equal. */
static int order_of(float a, float b) {
    if (isnan(a) || isnan(b)) return !!isnan(a) - !!isnan(b);
    return (a > b) - (a < b);
}

TEST(sort_matches_selection) {
    tsr_ctx *c = ctx = test_ctx();
    for (int round = 0; round < 300; round++) {
        int64_t dim[3] = {test_int(0, 3), extent(), test_int(1, 3)};
        int axis = (int)test_int(0, 2), keys = (int)test_int(1, 2);
        bool descending = test_int(0, 1);
        test_case("(%d, %d, %d) axis %d keys %d descending %d", (int)dim[0], (int)dim[1], (int)dim[2], axis, keys,
                  descending);
        struct bench b = {.c = c};
        float *x = tensor(&b, TSR_F32, 3, dim);
        int32_t *y = tensor(&b, TSR_I32, 3, dim);
        float *sx = tensor(&b, TSR_F32, 3, dim);
        int32_t *sy = tensor(&b, TSR_I32, 3, dim);
        int64_t count = lib_product(3, dim), n = dim[axis], inner = lib_product(2 - axis, dim + axis + 1);
        for (int64_t i = 0; i < count; i++) {
            int64_t kind = test_int(0, 20);
            x[i] = kind == 0 ? (float)NAN : kind == 1 ? -(float)NAN : kind == 2 ? -0.0f : kind == 3 ? (float)INFINITY
                : (float)test_int(-5, 5);
            y[i] = (int32_t)test_int(-3, 3);
        }
        CHECK_EQ(run_bench(&b, "sort", 4, (int64_t[]){axis, keys, descending, 0}), TSR_OK);
        for (int64_t row = 0; n && row < count / n; row++) {
            int64_t base = row / inner * n * inner + row % inner;
            bool used[128] = {0};
            for (int64_t i = 0; i < n; i++) { /* the first of the least elements left */
                int64_t best = -1;
                for (int64_t j = 0; j < n; j++) {
                    if (used[j]) continue;
                    if (best < 0) { best = j; continue; }
                    int o = order_of(x[base + j * inner], x[base + best * inner]);
                    if (!o && keys == 2)
                        o = (y[base + j * inner] > y[base + best * inner]) -
                            (y[base + j * inner] < y[base + best * inner]);
                    if (descending ? o > 0 : o < 0) best = j;
                }
                used[best] = true;
                if (!CHECK(!memcmp(&sx[base + i * inner], &x[base + best * inner], 4))) break;
                if (!CHECK_EQ(sy[base + i * inner], y[base + best * inner])) break;
            }
        }
        release(&b);
    }
}

TEST(sort_total_order) {
    tsr_ctx *c = ctx = test_ctx();
    struct bench b = {.c = c};
    int64_t dim[1] = {8};
    float *x = tensor(&b, TSR_F32, 1, dim), *y = tensor(&b, TSR_F32, 1, dim);
    const float in[8] = {(float)NAN, 1, -0.0f, (float)INFINITY, 0, -(float)NAN, -1, -(float)INFINITY};
    memcpy(x, in, sizeof in);
    CHECK_EQ(run_bench(&b, "sort", 4, (int64_t[]){0, 1, 0, 1}), TSR_OK);
    const float want[8] = {-(float)NAN, -(float)INFINITY, -1, -0.0f, 0, 1, (float)INFINITY, (float)NAN};
    CHECK_BYTES(y, want, sizeof want);
    release(&b);
}

/* Long rows take the radix and the chunked path; every dtype has its key. */
TEST(sort_long_rows_of_every_dtype) {
    static const tsr_dtype dtypes[] = {TSR_F64, TSR_F32, TSR_F16, TSR_BF16, TSR_F8E5M2, TSR_I64, TSR_I32, TSR_I16,
        TSR_I8, TSR_U64, TSR_U32,
                                       TSR_U16, TSR_U8};
    tsr_ctx *c = ctx = test_ctx();
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (int size = 0; size < 3; size++) {
            int64_t n = size == 0 ? 700 : size == 1 ? 65537 : 200003;
            test_case("%s[%d]", tsr_dtype_name(dtypes[d]), (int)n);
            struct bench b = {.c = c};
            int bytes = tsr_dtype_of(dtypes[d])->bytes;
            bool is_float = tsr_dtype_of(dtypes[d])->kind == TSR_KIND_FLOAT;
            bool is_signed = tsr_dtype_of(dtypes[d])->kind != TSR_KIND_UINT;
            uint8_t *x = tensor(&b, dtypes[d], 1, &n);
            int32_t *at = tensor(&b, TSR_I32, 1, &n);
            tensor(&b, dtypes[d], 1, &n);
            int32_t *perm = tensor(&b, TSR_I32, 1, &n);
            for (int64_t i = 0; i < n; i++) {
                uint64_t bits = rng_u64(test_rng());
                if (is_float) bits &= ~((uint64_t)1 << (bytes * 8 - 3)); /* no infinities or NaN */
                memcpy(x + i * bytes, &bits, (size_t)bytes);
                at[i] = (int32_t)i;
            }
            CHECK_EQ(run_bench(&b, "sort", 4, (int64_t[]){0, 1, 0, 0}), TSR_OK);
            for (int64_t i = 1; i < n; i++) {
                uint64_t p = lib_load_bits(x, perm[i - 1], bytes), q = lib_load_bits(x, perm[i], bytes);
                uint64_t sign = (uint64_t)1 << (bytes * 8 - 1);
                int64_t sp = (int64_t)(p << (64 - bytes * 8)), sq = (int64_t)(q << (64 - bytes * 8));
                bool ok = p == q ? perm[i - 1] < perm[i] : !is_signed ? p < q : !is_float ? sp < sq : false;
                if (is_float && p != q) { /* by sign, then by magnitude; zeros are equal */
                    bool np = p & sign, nq = q & sign;
                    uint64_t mp = p & (sign - 1), mq = q & (sign - 1);
                    ok = (!mp && !mq) ? perm[i - 1] < perm[i] : np != nq ? np : np ? mp > mq : mp < mq;
                }
                if (!CHECK_MSG(ok, "elements %d and %d out of order", (int)i - 1, (int)i)) break;
            }
            release(&b);
        }
}

TEST(top_k_is_the_front_of_a_sort) {
    tsr_ctx *c = ctx = test_ctx();
    for (int round = 0; round < 200; round++) {
        int64_t dim[2] = {test_int(1, 4), test_int(1, 200)}, k = test_int(0, dim[1]), out[2] = {dim[0], k};
        test_case("(%d, %d) k %d", (int)dim[0], (int)dim[1], (int)k);
        struct bench b = {.c = c}, s = {.c = c};
        float *x = tensor(&b, TSR_F32, 2, dim), *v = tensor(&b, TSR_F32, 2, out);
        int32_t *at = tensor(&b, TSR_I32, 2, out);
        float *sx = tensor(&s, TSR_F32, 2, dim);
        int32_t *iota = tensor(&s, TSR_I32, 2, dim);
        float *sy = tensor(&s, TSR_F32, 2, dim);
        int32_t *perm = tensor(&s, TSR_I32, 2, dim);
        for (int64_t i = 0; i < dim[0] * dim[1]; i++)
            sx[i] = x[i] = test_int(0, 30) ? (float)test_int(-9, 9) : (float)NAN, iota[i] = (int32_t)(i % dim[1]);
        CHECK_EQ(run_bench(&b, "top_k", 1, &k), TSR_OK);
        CHECK_EQ(run_bench(&s, "sort", 4, (int64_t[]){1, 1, 1, 0}), TSR_OK);
        for (int64_t r = 0; r < dim[0]; r++) {
            CHECK_BYTES(v + r * k, sy + r * dim[1], (size_t)k * 4);
            CHECK_BYTES(at + r * k, perm + r * dim[1], (size_t)k * 4);
        }
        release(&b), release(&s);
    }
}

TEST(packed_integers_sort) {
    tsr_ctx *c = ctx = test_ctx();
    struct bench b = {.c = c};
    int64_t n = 7;
    uint8_t *x = tensor(&b, TSR_I4, 1, &n), *y = tensor(&b, TSR_I4, 1, &n);
    memcpy(x, (uint8_t[]){0x21, 0xF3, 0x87, 0x00}, 4); /* 1 2 3 -1 7 -8 0 */
    CHECK_EQ(run_bench(&b, "sort", 4, (int64_t[]){0, 1, 0, 0}), TSR_OK);
    CHECK_BYTES(y, ((uint8_t[]){0xF8, 0x10, 0x32, 0x07}), 4); /* -8 -1 0 1 2 3 7 */
    release(&b);
}

/* ---- fft --------------------------------------------------------------------------------------------------------- */

/* One axis by its definition. */
static void direct(int64_t outer, int64_t n, int64_t inner, double sign, double complex *x) {
    double complex *line = mem_alloc(ctx, (size_t)(n + 1) * sizeof *line);
    for (int64_t o = 0; o < outer * inner; o++) {
        double complex *p = x + o / inner * n * inner + o % inner;
        for (int64_t k = 0; k < n; k++) {
            line[k] = 0;
            for (int64_t j = 0; j < n; j++)
                line[k] += p[j * inner] * cexp(sign * I * 6.283185307179586476925 * (double)(j * k % n) / (double)n);
        }
        for (int64_t k = 0; k < n; k++) p[k * inner] = sign > 0 ? line[k] / (double)n : line[k];
    }
    mem_free(ctx, line, (size_t)(n + 1) * sizeof *line);
}

static void check_fft(tsr_ctx *c, enum lib_fft how, bool wide, int rank, const int64_t *length) {
    int64_t batch = 2, full[4] = {batch}, half[4] = {batch};
    for (int i = 0; i < rank; i++) full[i + 1] = half[i + 1] = length[i];
    half[rank] = length[rank - 1] / 2 + 1;
    bool real_in = how == LIB_RFFT, real_out = how == LIB_IRFFT;
    tsr_dtype real = wide ? TSR_F64 : TSR_F32, cplx = wide ? TSR_C128 : TSR_C64;
    struct bench b = {.c = c};
    const int64_t *in = how == LIB_IRFFT ? half : full, *out = how == LIB_RFFT ? half : full;
    tensor(&b, real_in ? real : cplx, rank + 1, in);
    tensor(&b, real_out ? real : cplx, rank + 1, out);
    int64_t count = lib_product(rank + 1, full), nin = lib_count(&b.t[0]), nout = lib_count(&b.t[1]);
    size_t bytes = (size_t)(count + nin + nout + 1) * sizeof(double complex);
    double complex *x = mem_alloc(c, bytes), *want = x, *got = x + count;
    if (how != LIB_IRFFT) {
        for (int64_t i = 0; i < nin; i++) {
            double v[2] = {(float)test_normal(), real_in ? 0 : (float)test_normal()};
            lib_store_f64(b.t[0].dtype, b.t[0].p, i, 1, v);
            x[i] = v[0] + I * v[1];
        }
    } else { /* the spectrum of real data, so that the other half is known */
        for (int64_t i = 0; i < count; i++) want[i] = test_normal();
        double complex *spectrum = got;
        memcpy(spectrum, want, 0);
        double complex *t = mem_alloc(c, bytes);
        memcpy(t, want, (size_t)count * sizeof *t);
        for (int a = 0; a < rank; a++)
            direct(lib_product(a + 1, full), length[a], lib_product(rank - a - 1, full + a + 2), -1, t);
        for (int64_t i = 0; i < nin; i++) {
            double complex v = t[i / half[rank] * full[rank] + i % half[rank]];
            lib_store_f64(b.t[0].dtype, b.t[0].p, i, 1, (double[]){creal(v), cimag(v)});
        }
        mem_free(c, t, bytes);
    }
    int64_t ints[8] = {how, rank};
    for (int i = 0; i < rank; i++) ints[2 + i] = length[i];
    CHECK_EQ(run_bench(&b, "fft", 2 + rank, ints), TSR_OK);
    if (how != LIB_IRFFT)
        for (int a = 0; a < rank; a++)
            direct(lib_product(a + 1, full), length[a], lib_product(rank - a - 1, full + a + 2), how == LIB_IFFT ? 1
                   : -1, want);
    double worst = 0, scale = 1e-30;
    for (int64_t i = 0; i < nout; i++) {
        double v[2] = {0, 0};
        lib_load_f64(b.t[1].dtype, b.t[1].p, i, 1, v);
        double complex w = how == LIB_RFFT ? want[i / half[rank] * full[rank] + i % half[rank]] : want[i];
        double e = cabs(v[0] + I * v[1] - w);
        if (!(e <= worst)) worst = e;
        scale = fmax(scale, cabs(w));
    }
    CHECK_MSG(worst <= scale * (wide ? 1e-13 : 4e-7), "error %g of %g", worst, scale);
    mem_free(c, x, bytes);
    release(&b);
}

TEST(fft_matches_the_direct_sum) {
    static const int64_t lengths[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 21, 30, 31, 32, 35, 37, 47, 64, 74,
        97, 120, 127, 128, 210, 243, 251, 256, 262};
    static const char *const name[] = {"fft", "ifft", "rfft", "irfft"};
    tsr_ctx *c = ctx = test_ctx();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int how = 0; how < 4; how++)
            for (int wide = 0; wide < 2; wide++) {
                test_case("%s %d %s", name[how], (int)lengths[i], wide ? "f64" : "f32");
                check_fft(c, (enum lib_fft)how, wide, 1, &lengths[i]);
            }
    for (int round = 0; round < 60; round++) {
        int64_t length[3] = {test_int(1, 9), test_int(1, 7), test_int(1, 6)};
        int rank = (int)test_int(2, 3), how = (int)test_int(0, 3);
        test_case("%s over %d axes: %d %d %d", name[how], rank, (int)length[0], (int)length[1], (int)length[2]);
        check_fft(c, (enum lib_fft)how, test_int(0, 1), rank, length);
    }
}

/* ---- factorizations ---------------------------------------------------------------------------------------------- */

struct matrix { int64_t r, c; double complex *p; };

static struct matrix load(const struct lib_tensor *t, int64_t index) {
    struct matrix m = {t->dim[t->rank - 2], t->dim[t->rank - 1], NULL};
    m.p = mem_zalloc(ctx, (size_t)(m.r * m.c + 1) * sizeof *m.p);
    for (int64_t i = 0; i < m.r * m.c; i++) {
        double v[2] = {0, 0};
        lib_load_f64(t->dtype, t->p, index * m.r * m.c + i, 1, v);
        m.p[i] = v[0] + I * v[1];
    }
    return m;
}
static void drop(struct matrix *m) { mem_free(ctx, m->p, (size_t)(m->r * m->c + 1) * sizeof *m->p); }

/* a or a^H times b or b^H */
static struct matrix product(const struct matrix *a, bool ah, const struct matrix *b, bool bh) {
    int64_t n = ah ? a->r : a->c;
    struct matrix m = {ah ? a->c : a->r, bh ? b->r : b->c, NULL};
    m.p = mem_zalloc(ctx, (size_t)(m.r * m.c + 1) * sizeof *m.p);
    for (int64_t i = 0; i < m.r; i++)
        for (int64_t j = 0; j < m.c; j++)
            for (int64_t k = 0; k < n; k++)
                m.p[i * m.c + j] += (ah ? conj(a->p[k * a->c + i]) : a->p[i * a->c + k]) * (bh
                    ? conj(b->p[j * b->c + k]) : b->p[k * b->c + j]);
    return m;
}

static double distance(const struct matrix *a, const struct matrix *b) {
    double worst = 0;
    for (int64_t i = 0; i < a->r * a->c; i++) {
        double e = cabs(a->p[i] - b->p[i]);
        if (!(e <= worst)) worst = isnan(e) ? INFINITY : e;
    }
    return worst;
}

static double identity_error(const struct matrix *a) {
    double worst = 0;
    for (int64_t i = 0; i < a->r * a->c; i++) {
        double e = cabs(a->p[i] - (i / a->c == i % a->c));
        if (!(e <= worst)) worst = isnan(e) ? INFINITY : e;
    }
    return worst;
}

static const tsr_dtype linear_dtype[4] = {TSR_F32, TSR_F64, TSR_C64, TSR_C128};
static double tolerance(tsr_dtype t) { return t == TSR_F32 || t == TSR_C64 ? 3e-6 : 1e-13; }

static void fill_normal(const struct lib_tensor *t) {
    for (int64_t i = 0; i < lib_count(t); i++)
        lib_store_f64(t->dtype, t->p, i, 1, (double[]){test_normal(), test_normal()});
}

TEST(qr_gives_the_matrix_back) {
    tsr_ctx *c = ctx = test_ctx();
    for (int round = 0; round < 160; round++) {
        tsr_dtype t = linear_dtype[round % 4];
        int64_t m = test_int(0, 12), n = test_int(0, 12), k = m < n ? m : n;
        if (round > 150) m = 90, n = 70, k = 70;
        test_case("%s (2, %d, %d)", tsr_dtype_name(t), (int)m, (int)n);
        struct bench b = {.c = c};
        tensor(&b, t, 3, (int64_t[]){2, m, n}), tensor(&b, t, 3, (int64_t[]){2, m, k}),
            tensor(&b, t, 3, (int64_t[]){2, k, n});
        fill_normal(&b.t[0]);
        CHECK_EQ(run_bench(&b, "qr", 0, NULL), TSR_OK);
        for (int i = 0; i < 2; i++) {
            struct matrix a = load(&b.t[0], i), q = load(&b.t[1], i), r = load(&b.t[2], i),
                qr = product(&q, false, &r, false), qq = product(&q, true, &q, false);
            CHECK(distance(&qr, &a) <= tolerance(t) * 10);
            CHECK(identity_error(&qq) <= tolerance(t) * 10);
            for (int64_t j = 0; j < k * n; j++) CHECK(j / n <= j % n || r.p[j] == 0);
            if (m && n && !(creal(r.p[0]) == 0))
                CHECK(m == 1 || signbit(creal(r.p[0])) != signbit(creal(a.p[0]))); /* LAPACK's sign */
            drop(&a), drop(&q), drop(&r), drop(&qr), drop(&qq);
        }
        release(&b);
    }
}

TEST(cholesky_gives_the_matrix_back) {
    tsr_ctx *c = ctx = test_ctx();
    for (int round = 0; round < 120; round++) {
        tsr_dtype t = linear_dtype[round % 4];
        int64_t n = round > 112 ? 200 : test_int(0, 12), lower = test_int(0, 1);
        test_case("%s (2, %d, %d) lower %d", tsr_dtype_name(t), (int)n, (int)n, (int)lower);
        struct bench b = {.c = c};
        tensor(&b, t, 3, (int64_t[]){2, n, n}), tensor(&b, t, 3, (int64_t[]){2, n, n});
        fill_normal(&b.t[1]);
        for (int i = 0; i < 2; i++) {
            struct matrix x = load(&b.t[1], i), a = product(&x, false, &x, true);
            for (int64_t j = 0; j < n * n; j++) {
                if (j / n == j % n) a.p[j] += (double)n;
                bool other = lower ? j % n > j / n : j % n < j / n; /* the other triangle must not be read */
                lib_store_f64(t, b.t[0].p, i * n * n + j, 1, other ? (double[]){NAN, NAN}
                              : (double[]){creal(a.p[j]), cimag(a.p[j])});
            }
            drop(&x), drop(&a);
        }
        struct matrix want[2] = {load(&b.t[0], 0), load(&b.t[0], 1)};
        CHECK_EQ(run_bench(&b, "cholesky", 1, &lower), TSR_OK);
        for (int i = 0; i < 2; i++) {
            struct matrix l = load(&b.t[1], i), a = lower ? product(&l, false, &l, true) : product(&l, true, &l, false);
            for (int64_t j = 0; j < n * n; j++) {
                bool other = lower ? j % n > j / n : j % n < j / n;
                if (other) CHECK(l.p[j] == 0);
                else CHECK(cabs(a.p[j] - want[i].p[j]) <= tolerance(t) * 4 * (double)n);
            }
            drop(&l), drop(&a), drop(&want[i]);
        }
        release(&b);
    }
}

TEST(cholesky_of_an_indefinite_matrix_is_nan) {
    tsr_ctx *c = ctx = test_ctx();
    struct bench b = {.c = c};
    int64_t dim[2] = {2, 2}, lower = 1;
    double *a = tensor(&b, TSR_F64, 2, dim), *l = tensor(&b, TSR_F64, 2, dim);
    a[0] = 1, a[1] = 2, a[2] = 2, a[3] = 1;
    CHECK_EQ(run_bench(&b, "cholesky", 1, &lower), TSR_OK);
    for (int i = 0; i < 4; i++) CHECK(isnan(l[i]));
    release(&b);
}

TEST(triangular_solve_solves) {
    tsr_ctx *c = ctx = test_ctx();
    for (int round = 0; round < 256; round++) {
        int64_t ints[4] = {round & 1, round >> 1 & 1, round >> 2 & 1, round >> 3 & 3};
        if (ints[3] == 3) continue;
        tsr_dtype t = linear_dtype[round >> 5 & 3];
        int64_t n = test_int(0, 9), w = round % 5 == 4 ? 70 : test_int(0, 5);
        test_case("%s n %d w %d left %d lower %d unit %d op %d", tsr_dtype_name(t), (int)n, (int)w, (int)ints[0],
                  (int)ints[1], (int)ints[2], (int)ints[3]);
        struct bench b = {.c = c};
        int64_t side[3] = {2, ints[0] ? n : w, ints[0] ? w : n};
        tensor(&b, t, 3, (int64_t[]){2, n, n}), tensor(&b, t, 3, side), tensor(&b, t, 3, side);
        fill_normal(&b.t[1]);
        for (int64_t j = 0; j < 2 * n * n; j++) { /* the other triangle, and a unit diagonal, must not be read */
            int64_t r = j / n % n, q = j % n;
            bool skip = (ints[1] ? q > r : q < r) || (ints[2] && q == r);
            double v[2] = {r == q ? 3 + test_uniform(0, 1) : 0.3 * test_normal(), 0.3 * test_normal()};
            lib_store_f64(t, b.t[0].p, j, 1, skip ? (double[]){NAN, NAN} : v);
        }
        CHECK_EQ(run_bench(&b, "triangular_solve", 4, ints), TSR_OK);
        for (int i = 0; i < 2; i++) {
            struct matrix a = load(&b.t[0], i), rhs = load(&b.t[1], i), x = load(&b.t[2], i);
            for (int64_t j = 0; j < n * n; j++) {
                int64_t r = j / n, q = j % n;
                if (ints[1] ? q > r : q < r) a.p[j] = 0;
                if (ints[2] && q == r) a.p[j] = 1;
                if (ints[3] == 1) a.p[j] = conj(a.p[j]); /* a plain transpose as the adjoint of the conjugate */
            }
            struct matrix y = ints[0] ? product(&a, ints[3] != 0, &x, false) : product(&x, false, &a, ints[3] != 0);
            CHECK(distance(&y, &rhs) <= tolerance(t) * 20);
            drop(&a), drop(&rhs), drop(&x), drop(&y);
        }
        release(&b);
    }
}

TEST(svd_gives_the_matrix_back) {
    tsr_ctx *c = ctx = test_ctx();
    for (int round = 0; round < 100; round++) {
        tsr_dtype t = linear_dtype[round % 2];
        int64_t m = test_int(0, 12), n = test_int(0, 12), rank_one = test_int(0, 3) == 0;
        if (round > 95) m = round % 2 ? 150 : 90, n = 130;
        int64_t k = m < n ? m : n;
        test_case("%s (2, %d, %d)%s", tsr_dtype_name(t), (int)m, (int)n, rank_one ? " of rank one" : "");
        struct bench b = {.c = c};
        tensor(&b, t, 3, (int64_t[]){2, m, n}), tensor(&b, t, 3, (int64_t[]){2, m, k}),
            tensor(&b, t, 2, (int64_t[]){2, k}), tensor(&b, t, 3, (int64_t[]){2, k, n});
        fill_normal(&b.t[0]);
        for (int64_t i = 0; rank_one && i < 2 * m * n; i++)
            lib_store_f64(t, b.t[0].p, i, 1, (double[]){(double)(i / n % m + 1) * (double)(i % n - 3)});
        CHECK_EQ(run_bench(&b, "svd", 0, NULL), TSR_OK);
        for (int i = 0; i < 2; i++) {
            struct matrix a = load(&b.t[0], i), u = load(&b.t[1], i), vt = load(&b.t[3], i);
            struct matrix uu = product(&u, true, &u, false), vv = product(&vt, false, &vt, true);
            CHECK(identity_error(&uu) <= tolerance(t) * 20);
            CHECK(identity_error(&vv) <= tolerance(t) * 20);
            double before = INFINITY, scale = 1;
            for (int64_t j = 0; j < k; j++) {
                double s = 0;
                lib_load_f64(t, b.t[2].p, i * k + j, 1, &s);
                CHECK(s >= 0 && s <= before);
                before = s, scale = fmax(scale, s);
                for (int64_t r = 0; r < m; r++) u.p[r * k + j] *= s;
            }
            struct matrix usv = product(&u, false, &vt, false);
            CHECK(distance(&usv, &a) <= tolerance(t) * scale * 3);
            drop(&a), drop(&u), drop(&vt), drop(&uu), drop(&vv), drop(&usv);
        }
        release(&b);
    }
}

TEST(eigh_gives_the_matrix_back) {
    tsr_ctx *c = ctx = test_ctx();
    for (int round = 0; round < 160; round++) {
        tsr_dtype t = linear_dtype[round % 4];
        int64_t n = round > 151 ? 60 : test_int(0, 12), special = test_int(0, 4);
        test_case("%s (2, %d, %d) %d", tsr_dtype_name(t), (int)n, (int)n, (int)special);
        struct bench b = {.c = c};
        tensor(&b, t, 3, (int64_t[]){2, n, n}), tensor(&b, t == TSR_C64 ? TSR_F32 : t == TSR_C128 ? TSR_F64 : t, 2,
                                                       (int64_t[]){2, n}), tensor(&b, t, 3, (int64_t[]){2, n, n});
        fill_normal(&b.t[0]);
        if (special == 0) /* many equal eigenvalues */
            for (int64_t j = 0; j < 2 * n * n; j++)
                lib_store_f64(t, b.t[0].p, j, 1, (double[]){j / n % n == j % n ? 2 : 0, 0});
        CHECK_EQ(run_bench(&b, "eigh", 0, NULL), TSR_OK);
        for (int i = 0; i < 2; i++) {
            struct matrix a = load(&b.t[0], i), v = load(&b.t[2], i), vv = product(&v, true, &v, false);
            for (int64_t j = 0; j < n * n; j++) { /* the lower triangle is the matrix */
                if (j % n > j / n) a.p[j] = conj(a.p[j % n * n + j / n]);
                if (j % n == j / n) a.p[j] = creal(a.p[j]);
            }
            CHECK(identity_error(&vv) <= tolerance(t) * 20);
            struct matrix av = product(&a, false, &v, false);
            double before = -INFINITY;
            for (int64_t j = 0; j < n; j++) {
                double w = 0;
                lib_load_f64(b.t[1].dtype, b.t[1].p, i * n + j, 1, &w);
                CHECK(w >= before);
                before = w;
                for (int64_t r = 0; r < n; r++) v.p[r * n + j] *= w;
            }
            CHECK(distance(&av, &v) <= tolerance(t) * 20 * fmax(1, sqrt((double)n)));
            drop(&a), drop(&v), drop(&vv), drop(&av);
        }
        release(&b);
    }
}

/* As the reference has it: numbers in the order (re, im), and one with a NaN wins over all others. */
TEST(scatter_orders_complex_numbers) {
    tsr_ctx *c = ctx = test_ctx();
    static const double x[4][2] = {{1, 5}, {NAN, 0}, {2, 1}, {2, NAN}}, u[4][2] = {{1, 6}, {3, 0}, {NAN, 0}, {0, 0}};
    static const double least[4][2] = {{1, 5}, {NAN, 0}, {NAN, 0}, {2, NAN}};
    static const double most[4][2] = {{1, 6}, {NAN, 0}, {NAN, 0}, {2, NAN}};
    for (int how = LIB_SCATTER_MIN; how <= LIB_SCATTER_MAX; how++)
        for (int wide = 0; wide < 2; wide++) {
            test_case("%s %s", how == LIB_SCATTER_MIN ? "min" : "max", wide ? "c128" : "c64");
            tsr_dtype t = wide ? TSR_C128 : TSR_C64;
            int64_t n[2] = {4, 1};
            struct bench b = {.c = c};
            lib_store_f64(t, tensor(&b, t, 1, n), 0, 4, &x[0][0]);
            memcpy(tensor(&b, TSR_I32, 2, n), (int32_t[]){0, 1, 2, 3}, 16);
            lib_store_f64(t, tensor(&b, t, 1, n), 0, 4, &u[0][0]);
            void *y = tensor(&b, t, 1, n);
            CHECK_EQ(run_bench(&b, "scatter", 9, (int64_t[]){how, 1, 0, 1, 0, 0, 1, 0, 0}), TSR_OK);
            double got[4][2];
            lib_load_f64(t, y, 0, 4, &got[0][0]);
            for (int i = 0; i < 4; i++)
                for (int k = 0; k < 2; k++) {
                    double want = how == LIB_SCATTER_MIN ? least[i][k] : most[i][k];
                    CHECK_MSG(got[i][k] == want || (isnan(got[i][k]) && isnan(want)), "element %d: %g, not %g", i,
                        got[i][k], want);
                }
            release(&b);
        }
}

TEST(unknown_kernel) {
    tsr_ctx *c = ctx = test_ctx();
    CHECK_EQ(lib_run("no_such", &(struct lib_call){.c = c}), TSR_ENOTFOUND);
    CHECK_ERROR(c, TSR_ENOTFOUND, "no_such");
}
