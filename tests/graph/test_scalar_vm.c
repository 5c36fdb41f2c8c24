/* test_scalar_vm.c: the elementwise kernels and casts of the tile VM against the reference, over special and random
 * operands: two definitions of scalar.h, written apart, must agree. Integers, truth values and what rounds nothing
 * agree exactly; floats within a few units in the last place of their dtype; complex numbers within that of their
 * modulus. Where the reference has NaN or an infinity the kernel has no finite number. Not compared: complex operands
 * with a NaN part, whose results C leaves open, and complex powers past an exponent of 100, where digits cancel. */
#include <math.h>

#include "base/sys.h"
#include "graph/op_elem.h"
#include "graph/ref.h"
#include "harness.h"
#include "tile/vm_kernels.h"

enum { N = 4096 };

/* Operands: every pair of specials first (the operand's place decides which digit of the index), then random ones. */
static const double specials[] = {0.0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3, 1.5, -2.5, 1e-3, 20, -20, 100, 1e10, -1e10,
    INFINITY, -INFINITY, NAN};
enum { SPECIALS = sizeof specials / sizeof *specials };

static double special_or_random(int i, int place) {
    int at = place == 0 ? i % SPECIALS : place == 1 ? i / SPECIALS % SPECIALS : (i * 7 + i / SPECIALS) % SPECIALS;
    if (i < SPECIALS * SPECIALS) return specials[at];
    return i % 3 == 0 ? test_uniform(-1, 1) : i % 3 == 1 ? test_uniform(-6, 6)
        : test_normal() * exp(test_uniform(-5, 5));
}

static void fill(struct ref_tensor *t, int place) {
    for (int i = 0; i < N; i++) {
        double x = special_or_random(i, place);
        int64_t whole = i % 5 == 0 ? (int64_t)rng_u64(test_rng()) : isfinite(x) ? (int64_t)x : INT64_MIN;
        struct ref_val v = {.re = x, .im = special_or_random((i * 13 + 5) % N, place), .i = whole,
            .u = (uint64_t)whole};
        if (t->dtype == TSR_BOOL) v.u = (uint64_t)test_int(0, 1);
        ref_set(t, i, v);
    }
}

/* One unit in the last place of a number of this size, in this dtype. */
static double unit(tsr_dtype t, double x) {
    static const struct { int digits, least; } format[TSR_DTYPE_COUNT] = {
        [TSR_F64] = {53, -1074}, [TSR_F32] = {24, -149}, [TSR_F16] = {11, -24}, [TSR_BF16] = {8, -133},
        [TSR_F8E4M3] = {4, -9}, [TSR_F8E5M2] = {3, -16}, [TSR_C64] = {24, -149}, [TSR_C128] = {53, -1074},
    };
    int e;
    frexp(x, &e);
    e -= format[t].digits;
    return x == 0 || e < format[t].least ? ldexp(1, format[t].least) : ldexp(1, e);
}

/* least: results smaller than this have the unit of this. */
static bool agree(tsr_dtype t, struct ref_val got, struct ref_val want, double ulps, double least) {
    if (!dtype_is_float(t) && !dtype_is_complex(t)) return got.i == want.i && got.u == want.u;
    if (dtype_is_complex(t)) {
        bool finite = isfinite(want.re) && isfinite(want.im);
        if (!finite) return !isfinite(got.re) || !isfinite(got.im);
        return hypot(got.re - want.re, got.im - want.im) <= ulps * unit(t, hypot(want.re, want.im));
    }
    if (isnan(want.re)) return isnan(got.re);
    if (got.re == want.re) return want.re != 0 || !signbit(got.re) == !signbit(want.re);
    return isfinite(want.re) && fabs(got.re - want.re) <= ulps * unit(t, fmax(fabs(want.re), least));
}

static void describe(const struct ref_tensor *t, int64_t i, char *out, size_t n) {
    struct ref_val v = ref_get(t, i);
    if (dtype_is_complex(t->dtype)) snprintf(out, n, "%.9g%+.9gi", v.re, v.im);
    else if (dtype_is_float(t->dtype)) snprintf(out, n, "%.17g", v.re);
    else snprintf(out, n, "%lld", (long long)(v.i | (int64_t)v.u));
}

/* Functions with zeros between poles: held to absolute errors below 1. */
static bool is_special(tsr_scalar fn) { return fn == TSR_S_LGAMMA || fn == TSR_S_DIGAMMA; }

static bool left_open(tsr_scalar fn, int nin, const struct ref_tensor *in, int64_t i) {
    for (int j = 0; j < nin; j++) {
        struct ref_val v = ref_get(&in[j], i);
        if (dtype_is_complex(in[j].dtype) && (isnan(v.re) || isnan(v.im))) return true;
        if (dtype_is_complex(in[j].dtype) && fn == TSR_S_POW && j == 1 && hypot(v.re, v.im) > 100) return true;
    }
    return false;
}

/* Compare N results; says the first that differs with its operands. */
static void compare(tsr_scalar fn, const struct ref_tensor *got, const struct ref_tensor *want, int nin,
                    const struct ref_tensor *in, double ulps) {
    char text[5][64] = {{0}};
    int wrong = 0;
    for (int i = 0; i < N; i++) {
        if (agree(got->dtype, ref_get(got, i), ref_get(want, i), ulps, is_special(fn)) || left_open(fn, nin, in, i))
            continue;
        if (wrong++) continue;
        for (int j = 0; j < nin; j++) describe(&in[j], i, text[j], sizeof *text);
        describe(got, i, text[3], sizeof *text), describe(want, i, text[4], sizeof *text);
    }
    CHECK_MSG(!wrong, "%d of %d differ; first (%s, %s, %s) gives %s, the reference %s", wrong, N, text[0], text[1],
              text[2], text[3], text[4]);
}

static struct ref_tensor operand(tsr_ctx *c, tsr_dtype t) {
    struct ref_tensor x = {.dtype = t, .rank = 1, .dim = {N}, .count = N};
    x.p = mem_zalloc(c, ref_bytes(&x));
    return x;
}

static void release(tsr_ctx *c, struct ref_tensor *t) { mem_free(c, t->p, ref_bytes(t)); }

static tsr_dtype result_of(tsr_scalar fn, tsr_dtype t) {
    enum elem_result r = elem_info[fn].result;
    if (r == ELEM_CPLX) return t == TSR_F64 ? TSR_C128 : TSR_C64;
    return r == ELEM_BOOL ? TSR_BOOL : r == ELEM_REAL ? dtype_real(t) : t;
}

/* A power's logarithm is multiplied by up to 100 before it is rounded. */
static double tolerance(tsr_scalar fn, tsr_dtype t) {
    if (t == TSR_C128 && fn == TSR_S_POW) return 128;
    if (t == TSR_F64 || t == TSR_C128) return is_special(fn) ? 256 : 16;
    return t == TSR_F32 || t == TSR_C64 ? 4 : 1; /* narrower: rounded twice (through f32) against once */
}

static void check_elem(tsr_ctx *c, tsr_scalar fn, tsr_dtype t, vm_elem_kernel *kernel) {
    struct ref_tensor in[3], got = operand(c, result_of(fn, t)), want = operand(c, result_of(fn, t));
    const void *p[3] = {NULL};
    int n = elem_info[fn].arity;
    for (int j = 0; j < n; j++) {
        in[j] = operand(c, fn == TSR_S_SELECT && j == 0 ? TSR_BOOL : t);
        fill(&in[j], j);
        p[j] = in[j].p;
    }
    kernel(N, got.p, p[0], p[1], p[2], 0);
    for (int i = 0; i < N; i++) {
        struct ref_val v[3];
        for (int j = 0; j < n; j++) v[j] = ref_get(&in[j], i);
        ref_set(&want, i, ref_scalar(fn, t, v));
    }
    compare(fn, &got, &want, n, in, tolerance(fn, t));
    for (int j = 0; j < n; j++) release(c, &in[j]);
    release(c, &got), release(c, &want);
}

TEST(elementwise_kernels) {
    tsr_ctx *c = test_ctx();
    for (int fn = 0; fn < TSR_SCALAR_COUNT; fn++)
        for (int t = 0; t <= TSR_C128; t++) {
            vm_elem_kernel *k = vm_elem_find(cpu_isa(), (tsr_scalar)fn, (tsr_dtype)t);
            if (!k || !op_admits(elem_info[fn].domain, (tsr_dtype)t)) continue;
            test_case("%s %s", elem_info[fn].name, tsr_dtype_name((tsr_dtype)t));
            check_elem(c, (tsr_scalar)fn, (tsr_dtype)t, k);
        }
}

TEST(casts) {
    tsr_ctx *c = test_ctx();
    for (int from = 0; from <= TSR_C128; from++)
        for (int to = 0; to <= TSR_C128; to++) {
            vm_cast_kernel *k = vm_cast_find(cpu_isa(), (tsr_dtype)from, (tsr_dtype)to);
            bool packed = tsr_dtype_of((tsr_dtype)from)->bits < 8 || tsr_dtype_of((tsr_dtype)to)->bits < 8;
            if (!k || packed) continue;
            test_case("%s to %s", tsr_dtype_name((tsr_dtype)from), tsr_dtype_name((tsr_dtype)to));
            struct ref_tensor x = operand(c, (tsr_dtype)from), got = operand(c, (tsr_dtype)to),
                want = operand(c, (tsr_dtype)to);
            fill(&x, 0);
            k(N, got.p, x.p);
            for (int i = 0; i < N; i++) ref_set(&want, i, ref_convert(ref_get(&x, i), (tsr_dtype)from, (tsr_dtype)to));
            compare(TSR_S_REAL, &got, &want, 1, &x, 0);
            release(c, &x), release(c, &got), release(c, &want);
        }
}
