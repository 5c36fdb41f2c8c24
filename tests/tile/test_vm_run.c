/* The VM from outside: products bit for bit against a scalar fma loop at sizes past every blocking, long reductions
 * against the tree as docs/tile.md states it, stores past the caches, quantised buffers, in-place launches, checked
 * addresses, empty grids, many threads on one code, and the torture of allocation failures. */
#include "harness.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "tile/vm.h"

static tsr_tv k64(tsr_tile *p, int64_t v) { return tsr_tile_int(p, TSR_I64, v); }

/* y = x over [0, n) of blocks of 64, as x's dtype loads. */
static tsr_tile *copy_program(tsr_ctx *c, tsr_dtype t, tsr_dtype out) {
    tsr_tile *p = tsr_tile_new(c, "copy");
    tsr_tv x = tsr_tile_arg_buf(p, t, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, out, TSR_TILE_OUT, "y"),
        n = tsr_tile_arg(p, TSR_I64, "n");
    tsr_tv base = tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), k64(p, 64));
    tsr_tile_block b = {.rank = 1, .extent = {64}, .base = base, .stride = {k64(p, 1)}, .lo = {TSR_TV_NONE}};
    b.hi[0] = tsr_tile_elem2(p, TSR_S_SUB, n, base);
    tsr_tile_store(p, y, &b, tsr_tile_load(p, x, &b, TSR_TV_NONE));
    tsr_tile_finish(p);
    return p;
}

/* o = acc + a b, all in one dot; the matrices dense, or stored turned. */
static tsr_tile *dot_program(tsr_ctx *c, tsr_dtype t, int64_t m, int64_t n, int64_t k, bool turn_a, bool turn_b) {
    tsr_tile *p = tsr_tile_new(c, "dot");
    tsr_tv a = tsr_tile_arg_buf(p, t, TSR_TILE_IN, "a"), b = tsr_tile_arg_buf(p, t, TSR_TILE_IN, "b");
    tsr_tv o = tsr_tile_arg_buf(p, t, TSR_TILE_INOUT, "o"), none = TSR_TV_NONE, one = k64(p, 1), zero = k64(p, 0);
    tsr_tile_block ba = {2, {m, k}, zero, {k64(p, k), one}, {none, none}, {none, none}}, bb = {2, {k, n}, zero,
        {k64(p, n), one}, {none, none}, {none, none}};
    tsr_tile_block bo = {2, {m, n}, zero, {k64(p, n), one}, {none, none}, {none, none}};
    if (turn_a) ba.stride[0] = one, ba.stride[1] = k64(p, m);
    if (turn_b) bb.stride[0] = one, bb.stride[1] = k64(p, k);
    tsr_tv acc = tsr_tile_load(p, o, &bo, none);
    tsr_tile_store(p, o, &bo, tsr_tile_dot(p, tsr_tile_load(p, a, &ba, none), tsr_tile_load(p, b, &bb, none), acc));
    tsr_tile_finish(p);
    return p;
}

static void check_dot(tsr_ctx *c, int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
    float *a = malloc((size_t)(m * k) * 4), *b = malloc((size_t)(k * n) * 4), *o = malloc((size_t)(m * n) * 4);
    float *start = malloc((size_t)(m * n) * 4), *want = malloc((size_t)(m * n) * 4);
    for (int64_t i = 0; i < m * k; i++) a[i] = (float)test_normal();
    for (int64_t i = 0; i < k * n; i++) b[i] = (float)test_normal();
    for (int64_t i = 0; i < m * n; i++) start[i] = (float)test_normal();
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float chunk = 0;
            for (int64_t q = 0; q < k; q++)
                chunk = fmaf(a[ta ? q * m + i : i * k + q], b[tb ? j * k + q : q * n + j], chunk);
            want[i * n + j] = start[i * n + j] + chunk;
        }
    tsr_tile *p = dot_program(c, TSR_F32, m, n, k, ta, tb);
    CHECK_OK(c);
    for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
        struct vm_code *code = vm_compile_for(c, p, (enum cpu_isa)isa, true);
        union vm_arg arg[3] = {{.buf = {a, (size_t)(m * k) * 4}}, {.buf = {b, (size_t)(k * n) * 4}},
            {.buf = {o, (size_t)(m * n) * 4}}};
        memcpy(o, start, (size_t)(m * n) * 4);
        CHECK_EQ(vm_run(c, code, (int64_t[]){1, 1, 1}, arg, NULL), TSR_OK);
        CHECK_BYTES(o, want, (size_t)(m * n) * 4);
        vm_free(code);
    }
    tsr_tile_free(p);
    free(a), free(b), free(o), free(start), free(want);
}

TEST(dot_has_the_bits_of_an_fma_loop) {
    static const int64_t size[][3] = {{1, 1, 1}, {1, 33, 257}, {7, 32, 256}, {8, 64, 255}, {13, 65, 513}, {300, 17, 40},
        {257, 31, 300}, {2, 130, 1000}, {64, 1, 64}, {1, 9000, 29}, {3, 496, 513}, {32, 320, 258}, {31, 200, 77}};
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int turned = 0; turned < 4; turned++) {
            test_case("%lld x %lld x %lld, turned %d", (long long)size[i][0], (long long)size[i][1],
                (long long)size[i][2], turned);
            check_dot(c, size[i][0], size[i][1], size[i][2], turned & 1, turned >> 1);
        }
}

struct complex { double re, im; };

/* Every operation rounded: two products and a sum a part, then the sum of the terms, then the accumulator. */
static struct complex complex_dot(const struct complex *a, const struct complex *b, int64_t n, int64_t k,
    struct complex acc) {
    struct complex s = {0, 0};
    for (int64_t q = 0; q < k; q++) {
        volatile double p[4] = {a[q].re * b[q * n].re, a[q].im * b[q * n].im, a[q].re * b[q * n].im,
            a[q].im * b[q * n].re};
        volatile double re = p[0] - p[1], im = p[2] + p[3];
        s.re += re, s.im += im;
    }
    return (struct complex){acc.re + s.re, acc.im + s.im};
}

static void check_complex_dot(tsr_ctx *c, int64_t m, int64_t n, int64_t k) {
    size_t na = (size_t)(m * k) * 16, nb = (size_t)(k * n) * 16, no = (size_t)(m * n) * 16;
    struct complex *a = malloc(na), *b = malloc(nb), *o = malloc(no), *start = malloc(no), *want = malloc(no);
    for (int64_t i = 0; i < m * k; i++) a[i] = (struct complex){test_normal(), test_normal()};
    for (int64_t i = 0; i < k * n; i++) b[i] = (struct complex){test_normal(), test_normal()};
    for (int64_t i = 0; i < m * n; i++) start[i] = (struct complex){test_normal(), test_normal()};
    for (int64_t i = 0; i < m * n; i++) want[i] = complex_dot(a + i / n * k, b + i % n, n, k, start[i]);
    tsr_tile *p = dot_program(c, TSR_C128, m, n, k, false, false);
    for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
        struct vm_code *code = vm_compile_for(c, p, (enum cpu_isa)isa, true);
        union vm_arg arg[3] = {{.buf = {a, na}}, {.buf = {b, nb}}, {.buf = {o, no}}};
        memcpy(o, start, no);
        CHECK_EQ(vm_run(c, code, (int64_t[]){1, 1, 1}, arg, NULL), TSR_OK);
        CHECK_BYTES(o, want, no);
        vm_free(code);
    }
    tsr_tile_free(p);
    free(a), free(b), free(o), free(start), free(want);
}

TEST(a_complex_dot_rounds_every_operation) {
    static const int64_t size[][3] = {{1, 1, 1}, {3, 4, 5}, {7, 9, 33}, {8, 16, 255}, {9, 17, 513}};
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        test_case("%lld x %lld x %lld", (long long)size[i][0], (long long)size[i][1], (long long)size[i][2]);
        check_complex_dot(c, size[i][0], size[i][1], size[i][2]);
    }
}

/* ---- long rows ---- */

/* y = x reduced along the second axis, x (rows, n). */
static tsr_tile *reduce_program(tsr_ctx *c, tsr_dtype t, tsr_reduce op, int64_t rows, int64_t n) {
    tsr_tile *p = tsr_tile_new(c, "reduce");
    tsr_tv x = tsr_tile_arg_buf(p, t, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, t, TSR_TILE_OUT, "y"),
        none = TSR_TV_NONE, one = k64(p, 1), zero = k64(p, 0);
    tsr_tile_block bx = {2, {rows, n}, zero, {k64(p, n), one}, {none, none}, {none, none}};
    tsr_tile_block by = {2, {rows, 1}, zero, {one, one}, {none, none}, {none, none}};
    tsr_tile_store(p, y, &by, tsr_tile_reduce(p, op, tsr_tile_load(p, x, &bx, none), 1));
    tsr_tile_finish(p);
    return p;
}

static double combine(tsr_reduce op, bool wide, double a, double b) {
    if (op == TSR_REDUCE_SUM) return wide ? a + b : (double)((float)a + (float)b);
    if (isnan(a) || isnan(b)) return NAN;
    if (a == b) return (op == TSR_REDUCE_MAX) == !signbit(a) ? a : b;
    return (op == TSR_REDUCE_MAX) == (a > b) ? a : b;
}

/* The loop of docs/tile.md. */
static double reduced(tsr_reduce op, bool wide, int64_t n, double *r) {
    int64_t h = 1, live = n;
    while (h * 2 < n) h *= 2;
    for (; h >= 1; h /= 2) {
        for (int64_t j = 0; j < h && j + h < live; j++) r[j] = combine(op, wide, r[j], r[j + h]);
        live = live < h ? live : h;
    }
    return r[0];
}

enum { ROWS = 5, LONGEST = 4096 };
/* Rows of ordinary numbers; of zeros of both signs, which are the greatest or least; with a NaN of either sign. */
static double sample(int row, int64_t j, int64_t n, int64_t where, double sign) {
    double x = test_normal();
    if (row == 1) return copysign(j % 3 ? 0 : x, j == where ? -sign : sign);
    if (row == 2) return copysign(fabs(x), sign) * (j < n / 2);
    if (row == 3 && j == where) return copysign(NAN, sign);
    return x;
}

static void check_reduce(tsr_ctx *c, tsr_reduce op, bool wide, int64_t n, double sign) {
    static double row[ROWS][LONGEST], got[ROWS], want[ROWS];
    static float narrow[ROWS * LONGEST], narrow_got[ROWS];
    static double dense[ROWS * LONGEST];
    for (int i = 0; i < ROWS; i++) {
        int64_t where = test_int(0, n - 1);
        for (int64_t j = 0; j < n; j++) {
            double x = sample(i, j, n, where, sign);
            narrow[i * n + j] = (float)x;
            dense[i * n + j] = row[i][j] = wide ? x : (double)(float)x;
        }
        want[i] = reduced(op, wide, n, row[i]);
    }
    tsr_tile *p = reduce_program(c, wide ? TSR_F64 : TSR_F32, op, ROWS, n);
    for (int isa = 0; isa <= (int)cpu_isa(); isa++) {
        struct vm_code *code = vm_compile_for(c, p, (enum cpu_isa)isa, true);
        size_t z = wide ? 8 : 4;
        union vm_arg arg[2] = {{.buf = {wide ? (void *)dense : narrow, (size_t)(ROWS * n) * z}},
            {.buf = {wide ? (void *)got : narrow_got, ROWS * z}}};
        CHECK_EQ(vm_run(c, code, (int64_t[]){1, 1, 1}, arg, NULL), TSR_OK);
        for (int i = 0; i < ROWS; i++) {
            double g = wide ? got[i] : (double)narrow_got[i];
            CHECK_MSG(isnan(want[i]) ? isnan(g) : g == want[i] && signbit(g) == signbit(want[i]),
                "%s, row %d: got %.17g, want %.17g", cpu_isa_name((enum cpu_isa)isa), i, g, want[i]);
        }
        vm_free(code);
    }
    tsr_tile_free(p);
}

TEST(long_rows_reduce_in_the_stated_order) {
    static const int64_t size[] = {32, 64, 100, 128, 256, 512, 1000, 1024, 2048, LONGEST};
    static const tsr_reduce ops[] = {TSR_REDUCE_SUM, TSR_REDUCE_MAX, TSR_REDUCE_MIN};
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int o = 0; o < 3; o++)
            for (int variant = 0; variant < 4; variant++) {
                test_case("reduction %d of %lld elements, %s, zeros %s", (int)ops[o], (long long)size[i],
                    variant & 1 ? "f64" : "f32", variant & 2 ? "below" : "above");
                check_reduce(c, ops[o], variant & 1, size[i], variant & 2 ? -1 : 1);
            }
}

/* ---- stores past the caches ---- */

/* y(i, j) = x(i, j) + 1 for rows of `width` that lie `pitch` apart in y; every instance a row. */
static tsr_tile *rows_program(tsr_ctx *c, int64_t width) {
    tsr_tile *p = tsr_tile_new(c, "rows");
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "y"),
        pitch = tsr_tile_arg(p, TSR_I64, "pitch"), first = tsr_tile_arg(p, TSR_I64, "first"), one = k64(p, 1);
    tsr_tile_block b = {.rank = 1, .extent = {width}, .stride = {one}, .lo = {TSR_TV_NONE}, .hi = {TSR_TV_NONE}};
    b.base = tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), k64(p, width));
    tsr_tv v = tsr_tile_elem2(p, TSR_S_ADD, tsr_tile_load(p, x, &b, TSR_TV_NONE), tsr_tile_float(p, TSR_F32, 1));
    b.base = tsr_tile_elem2(p, TSR_S_ADD, tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), pitch), first);
    tsr_tile_store(p, y, &b, v);
    tsr_tile_finish(p);
    return p;
}

/* A buffer that claims to be greater than the caches is written like any other, whatever its alignment. */
TEST(great_results_are_streamed) {
    enum { HEIGHT = 37, MOST = 600, PITCH = 640 };
    static const int64_t width[] = {1, 127, 128, 300, 600};
    static float x[HEIGHT * MOST], y[HEIGHT * PITCH], want[HEIGHT * PITCH];
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < HEIGHT * MOST; i++) x[i] = (float)test_normal();
    for (size_t w = 0; w < sizeof width / sizeof *width; w++)
        for (int64_t first = 0; first < 8; first += 3) {
            test_case("rows of %lld from %lld", (long long)width[w], (long long)first);
            for (int i = 0; i < HEIGHT * PITCH; i++) y[i] = want[i] = -7;
            for (int64_t i = 0; i < HEIGHT; i++)
                for (int64_t j = 0; j < width[w]; j++) want[i * PITCH + first + j] = x[i * width[w] + j] + 1;
            tsr_tile *p = rows_program(c, width[w]);
            struct vm_code *code = vm_compile_for(c, p, cpu_isa(), false);
            union vm_arg arg[4] = {{.buf = {x, sizeof x}}, {.buf = {y, SIZE_MAX}}, {.i64 = PITCH}, {.i64 = first}};
            CHECK_EQ(vm_run(c, code, (int64_t[]){HEIGHT, 1, 1}, arg, ctx_pool(c)), TSR_OK);
            CHECK_BYTES(y, want, sizeof y);
            vm_free(code), tsr_tile_free(p);
        }
}

/* Block types load as their dequantised values, whole blocks and parts. */
TEST(quantised_buffers_dequantise) {
    tsr_ctx *c = test_ctx();
    for (int t = 0; t < TSR_DTYPE_COUNT; t++) {
        const tsr_dtype_info *d = tsr_dtype_of((tsr_dtype)t);
        if (d->kind != TSR_KIND_BLOCK || !d->dequant || d->block > 64) continue;
        enum { N = 64 * 9, USED = N - 37 };
        unsigned char *q = malloc((size_t)(N / d->block * d->bytes));
        float want[N], got[N];
        test_case("%s", d->name);
        for (int i = 0; i < N / d->block * d->bytes; i++) q[i] = (unsigned char)test_int(0, 100);
        d->dequant((size_t)(N / d->block), q, want);
        for (int i = 0; i < N; i++) got[i] = -77;
        for (int i = USED; i < N; i++) want[i] = -77;
        tsr_tile *p = copy_program(c, (tsr_dtype)t, TSR_F32);
        struct vm_code *k = vm_compile_for(c, p, cpu_isa(), true);
        union vm_arg arg[3] = {{.buf = {q, (size_t)(N / d->block * d->bytes)}}, {.buf = {got, sizeof got}},
            {.i64 = USED}};
        CHECK_EQ(vm_run(c, k, (int64_t[]){N / 64, 1, 1}, arg, ctx_pool(c)), TSR_OK);
        CHECK_OK(c);
        CHECK_BYTES(got, want, sizeof got);
        vm_free(k), tsr_tile_free(p), free(q);
    }
}

/* y = (x + 1) * x, y = y + x with y and x one buffer: what was loaded is not disturbed by the store. */
TEST(one_buffer_for_two_arguments) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = tsr_tile_new(c, "in_place");
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_INOUT, "y");
    tsr_tile_block b = {1, {256}, tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), k64(p, 256)), {k64(p, 1)},
        {TSR_TV_NONE}, {TSR_TV_NONE}};
    tsr_tv v = tsr_tile_load(p, x, &b, TSR_TV_NONE), one = tsr_tile_float(p, TSR_F32, 1);
    tsr_tile_store(p, y, &b, tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_elem2(p, TSR_S_ADD, v, one), v));
    tsr_tile_store(p, y, &b, tsr_tile_elem2(p, TSR_S_ADD, tsr_tile_load(p, y, &b, TSR_TV_NONE), v));
    CHECK_EQ(tsr_tile_finish(p), TSR_OK);
    struct vm_code *k = vm_compile(c, p);
    float buf[1024], want[1024];
    for (int i = 0; i < 1024; i++) {
        float s = (float)test_normal(), u = s + 1, w = u * s;
        buf[i] = s, want[i] = w + s;
    }
    union vm_arg arg[2] = {{.buf = {buf, sizeof buf}}, {.buf = {buf, sizeof buf}}};
    CHECK_EQ(vm_run(c, k, (int64_t[]){4, 1, 1}, arg, ctx_pool(c)), TSR_OK);
    CHECK_BYTES(buf, want, sizeof buf);
    vm_free(k), tsr_tile_free(p);
}

TEST(checked_code_refuses_to_leave_a_buffer) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = copy_program(c, TSR_F32, TSR_F32);
    struct vm_code *k = vm_compile_for(c, p, cpu_isa(), true);
    float x[128], y[128];
    memset(x, 0, sizeof x), memset(y, 0x55, sizeof y);
    union vm_arg arg[3] = {{.buf = {x, sizeof x}}, {.buf = {y, sizeof y}}, {.i64 = 129}};
    test_case("past the end");
    CHECK_EQ(vm_run(c, k, (int64_t[]){3, 1, 1}, arg, ctx_pool(c)), TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK,
        "tile program 'copy': load reaches elements 128 .. 128 of buffer 'x' (f32), which has 512 bytes");
    test_case("the output is smaller");
    arg[2].i64 = 128, arg[1].buf.bytes = 500;
    CHECK_EQ(vm_run(c, k, (int64_t[]){2, 1, 1}, arg, NULL), TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK, "store reaches elements 64 .. 127 of buffer 'y'");
    test_case("no address");
    arg[0].buf.p = NULL;
    CHECK_EQ(vm_run(c, k, (int64_t[]){1, 1, 1}, arg, NULL), TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK, "no address");
    test_case("nothing takes part");
    arg[2].i64 = 0;
    CHECK_EQ(vm_run(c, k, (int64_t[]){1, 1, 1}, arg, NULL), TSR_OK);
    CHECK_OK(c);
    vm_free(k), tsr_tile_free(p);
}

TEST(grids) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = copy_program(c, TSR_I32, TSR_I32);
    struct vm_code *k = vm_compile(c, p);
    union vm_arg arg[3] = {{.buf = {NULL, 0}}, {.buf = {NULL, 0}}, {.i64 = 0}};
    CHECK_EQ(vm_run(c, k, (int64_t[]){0, 5, 5}, arg, NULL), TSR_OK);
    CHECK_EQ(vm_run(c, k, (int64_t[]){-1, 1, 1}, arg, NULL), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "the grid -1 x 1 x 1");
    CHECK_EQ(vm_run(c, k, (int64_t[]){INT64_MAX, 2, 1}, arg, NULL), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "too large");
    vm_free(k), tsr_tile_free(p);
}

struct runner {
    tsr_ctx *c;
    const struct vm_code *k;
    int32_t in[4096], out[4096];
    bool ok;
};

static void *run_many(void *arg) {
    struct runner *r = arg;
    union vm_arg a[3] = {{.buf = {r->in, sizeof r->in}}, {.buf = {r->out, sizeof r->out}}, {.i64 = 4096}};
    r->ok = true;
    for (int i = 0; i < 50; i++) {
        memset(r->out, 0xee, sizeof r->out);
        r->ok &= vm_run(r->c, r->k, (int64_t[]){64, 1, 1}, a, i % 2 ? ctx_pool(r->c) : NULL) == TSR_OK;
        r->ok &= memcmp(r->in, r->out, sizeof r->in) == 0;
    }
    return NULL;
}

TEST(many_threads_run_one_code) {
    tsr_ctx *c = test_ctx();
    ctx_pool(c);
    tsr_tile *p = copy_program(c, TSR_I32, TSR_I32);
    struct vm_code *k = vm_compile(c, p);
    enum { THREADS = 4 };
    static struct runner r[THREADS];
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++) {
        r[i].c = c, r[i].k = k;
        for (int j = 0; j < 4096; j++) r[i].in[j] = i * 10000 + j;
        pthread_create(&t[i], NULL, run_many, &r[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL), CHECK(r[i].ok);
    CHECK_OK(c);
    vm_free(k), tsr_tile_free(p);
}

/* Many kernels compute in the memory of one: each further code of a product adds little but its steps. */
TEST(codes_share_rooms) {
    enum { CODES = 6, SIZE = 128 };
    tsr_ctx *c = test_ctx();
    tsr_tile *p = dot_program(c, TSR_F32, SIZE, SIZE, SIZE, false, false);
    struct vm_code *k[CODES];
    size_t before = 0;
    for (int i = 0; i < CODES; i++) {
        k[i] = vm_compile(c, p);
        if (!i) before = tsr_memory(c).now;
    }
    CHECK(tsr_memory(c).now - before < (CODES - 1) * SIZE * SIZE * sizeof(float));
    for (int i = 0; i < CODES; i++) vm_free(k[i]);
    tsr_tile_free(p);
}

/* Code with a greater need is compiled and run while launches of others hold rooms that are too small for it. */
TEST(rooms_grow_while_lent) {
    enum { THREADS = 3, SIZE = 96 };
    tsr_ctx *c = test_ctx();
    tsr_tile *small = copy_program(c, TSR_I32, TSR_I32);
    struct vm_code *k = vm_compile(c, small);
    static struct runner r[THREADS];
    pthread_t t[THREADS];
    ctx_pool(c);
    for (int i = 0; i < THREADS; i++) {
        r[i].c = c, r[i].k = k;
        for (int j = 0; j < 4096; j++) r[i].in[j] = i - j;
        pthread_create(&t[i], NULL, run_many, &r[i]);
    }
    for (int size = 8; size <= SIZE; size += 8) check_dot(c, size, size, size, false, false);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL), CHECK(r[i].ok);
    CHECK_OK(c);
    vm_free(k), tsr_tile_free(small);
}

static bool compile_and_run(tsr_ctx *c, void *arg) {
    float a[12] = {0}, b[12] = {0}, o[16] = {0};
    union vm_arg x[3] = {{.buf = {a, sizeof a}}, {.buf = {b, sizeof b}}, {.buf = {o, sizeof o}}};
    tsr_tile *p = dot_program(c, TSR_F32, 4, 4, 3, false, true);
    struct vm_code *k = p && tsr_tile_finish(p) == TSR_OK ? vm_compile(c, p) : NULL;
    bool ok = k && vm_run(c, k, (int64_t[]){1, 1, 1}, x, NULL) == TSR_OK;
    (void)arg;
    vm_free(k), tsr_tile_free(p);
    return ok;
}

TEST(every_allocation_may_fail) { CHECK(torture(compile_and_run, NULL) > 20); }
