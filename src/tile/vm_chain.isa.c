/* vm_chain.isa.c: links: what a chain of elementwise functions of f32 does to one block, for one level of instruction
 * set.
 *
 * A block is eight vector registers. A link acts on them and calls the next link with the result in the same registers
 * (the calling convention passes eight vectors so, and a call in tail position is a jump); between two links nothing
 * goes through memory but what a second operand reads. A vector's lanes are written as a loop over the scalar text of
 * vmath.h, whose length is one register, so the bits are those of every other loop around it.
 *
 * Links come in pairs: _V reads a block of its place, _S one value that is repeated. STREAM stores past the caches and
 * wants its place on whole vectors. */
#include "tile/vm_kernels.h"
#include "tile/vm_lanes.h"
#include "tile/vm_tables.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

#if TSR_ISA_LEVEL == 2
#define NONTEMPORAL(p, x) _mm512_stream_ps((float *)(p), (__m512)(x))
#elif TSR_ISA_LEVEL == 1
#define NONTEMPORAL(p, x) _mm256_stream_ps((float *)(p), (__m256)(x))
#elif defined __SSE2__
#define NONTEMPORAL(p, x) _mm_stream_ps((float *)(p), (__m128)(x))
#else
#define NONTEMPORAL(p, x) (void)(*(p) = (x))
#endif
#define BLOCK ((size_t)8 * WIDTH) /* bytes */

#define EIGHT lanes a0, lanes a1, lanes a2, lanes a3, lanes a4, lanes a5, lanes a6, lanes a7
typedef void link_fn(const struct vm_link *l, char *const *place, size_t at, EIGHT);
#define PLACE ((void *)(place[l->place] + (at & l->moves)))
#define NEXT(l) ((link_fn *)(l)[1].run)((l) + 1, place, at, a0, a1, a2, a3, a4, a5, a6, a7)
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* ---- memory ---- */

static void load_v(const struct vm_link *l, char *const *place, size_t at, EIGHT) {
    const loose *p = (const loose *)PLACE;
#define X(i) a##i = p[i]; IN_ORDER
    EACH(X)
#undef X
    NEXT(l);
}

static void load_s(const struct vm_link *l, char *const *place, size_t at, EIGHT) {
    a0 = *(const float *)PLACE - (lanes){0}; /* x - 0 is x, for every x */
    a1 = a2 = a3 = a4 = a5 = a6 = a7 = a0;
    NEXT(l);
}

static void store_v(const struct vm_link *l, char *const *place, size_t at, EIGHT) {
    loose *p = (loose *)PLACE;
#define X(i) p[i] = a##i; IN_ORDER
    EACH(X)
#undef X
    NEXT(l);
}

static void stream_v(const struct vm_link *l, char *const *place, size_t at, EIGHT) {
    lanes *p = (lanes *)PLACE;
#define X(i) NONTEMPORAL(p + i, a##i); IN_ORDER
    EACH(X)
#undef X
    NEXT(l);
}

static void end_v(const struct vm_link *l, char *const *place, size_t at, EIGHT) {
    (void)l, (void)place, (void)at;
#define X(i) (void)a##i;
    EACH(X)
#undef X
}

/* ---- functions ---- */

#define LINK1(F, f)                                                                               \
    LANEWISE lanes one_##F(lanes x) {                                                             \
        lanes r;                                                                                  \
        EVERY_LANE(x, x, r, R = vm_##f##_f32(X);)                                                 \
        return r;                                                                                 \
    }                                                                                             \
    LINK_OF(F)
#define LINK_OF(F)                                                                                \
    static void F##_v(const struct vm_link *l, char *const *place, size_t at, EIGHT) {            \
        a0 = one_##F(a0), a1 = one_##F(a1), a2 = one_##F(a2), a3 = one_##F(a3);                   \
        a4 = one_##F(a4), a5 = one_##F(a5), a6 = one_##F(a6), a7 = one_##F(a7);                   \
        NEXT(l);                                                                                  \
    }
/* a = f(x, y): x is a and y of the link's place, or the other way round. */
#define LINK2(F, result)                                                                          \
    TSR_FN lanes two_##F(lanes x, lanes y) {                                                      \
        lanes r;                                                                                  \
        EVERY_LANE(x, y, r, R = result;)                                                          \
        return r;                                                                                 \
    }                                                                                             \
    static void F##_v(const struct vm_link *l, char *const *place, size_t at, EIGHT) {            \
        const loose *b = (const loose *)PLACE;                                                    \
        lanes x0 = b[0]; IN_ORDER a0 = two_##F(a0, x0); lanes x1 = b[1]; IN_ORDER a1 = two_##F(a1, x1); \
        lanes x2 = b[2]; IN_ORDER a2 = two_##F(a2, x2); lanes x3 = b[3]; IN_ORDER a3 = two_##F(a3, x3); \
        lanes x4 = b[4]; IN_ORDER a4 = two_##F(a4, x4); lanes x5 = b[5]; IN_ORDER a5 = two_##F(a5, x5); \
        lanes x6 = b[6]; IN_ORDER a6 = two_##F(a6, x6); lanes x7 = b[7]; IN_ORDER a7 = two_##F(a7, x7); \
        NEXT(l);                                                                                  \
    }                                                                                             \
    static void F##_s(const struct vm_link *l, char *const *place, size_t at, EIGHT) {            \
        lanes b = *(const float *)PLACE - (lanes){0};                                             \
        a0 = two_##F(a0, b), a1 = two_##F(a1, b), a2 = two_##F(a2, b), a3 = two_##F(a3, b);       \
        a4 = two_##F(a4, b), a5 = two_##F(a5, b), a6 = two_##F(a6, b), a7 = two_##F(a7, b);       \
        NEXT(l);                                                                                  \
    }

#if TSR_ISA_LEVEL == 2
/* The machine's y 2^k rounds once, as the text's two products do: the same bits in fewer steps. */
LANEWISE lanes one_EXP(lanes x) {
    lanes y, k; /* max and min give their second operand where one is a NaN */
    x = (lanes)_mm512_max_ps(_mm512_set1_ps(-104.0f), (__m512)x);
    x = (lanes)_mm512_min_ps(_mm512_set1_ps(89.0f), (__m512)x);
    EVERY_LANE(x, x, y, vm_u32 n; R = 1.0f + vm_exp_reduced_f32(X, &n);)
    EVERY_LANE(x, x, k, vm_u32 n; vm_exp_reduced_f32(X, &n); /* the compiler has n from above */
        R = TSR_U2F(n) - VM_MAGIC_F32;)
    return (lanes)_mm512_scalef_ps((__m512)y, (__m512)k);
}
LINK_OF(EXP)
#define EXP_BELOW_v EXP_v /* it would save one step of many */

/* e^x for |x| < 87. */
TSR_FN lanes exp_mid(lanes x) {
    lanes y, k;
    EVERY_LANE(x, x, y, vm_u32 n; R = 1.0f + vm_exp_reduced_f32(X, &n);)
    EVERY_LANE(x, x, k, vm_u32 n; vm_exp_reduced_f32(X, &n); R = TSR_U2F(n) - VM_MAGIC_F32;)
    return (lanes)_mm512_scalef_ps((__m512)y, (__m512)k);
}

/* vm_erf_f32 evaluates two polynomials and drops one. Here a lane chooses its coefficients and there is one chain of
 * multiply-adds (the shorter polynomial begins with two zeros): the same operations on what is kept. The coefficients
 * are those of the text. */
#define ERF_STEP(below, above) \
    q = _mm512_fmadd_ps(q, v, _mm512_mask_blend_ps(low, _mm512_set1_ps(above), _mm512_set1_ps(below)))
TSR_FN lanes one_ERF(lanes x) {
    __m512 a = _mm512_abs_ps((__m512)x), four = _mm512_set1_ps(4.0f), one = _mm512_set1_ps(1.0f), q;
    __mmask16 low = _mm512_cmp_ps_mask(a, one, _CMP_LT_OQ);
    __m512 v = _mm512_sub_ps(_mm512_min_ps(four, a), _mm512_set1_ps(2.0f)); /* of a NaN: the NaN */
    v = _mm512_mask_mul_ps(v, low, a, a);
    q = _mm512_mask_blend_ps(low, _mm512_set1_ps(1.5024242e-06f), _mm512_setzero_ps());
    ERF_STEP(0.0f, -1.9477531e-05f);
    ERF_STEP(7.85385e-05f, 1.3549606e-04f);
    ERF_STEP(-8.0102024e-04f, -7.3429046e-04f);
    ERF_STEP(5.1883305e-03f, 3.5708658e-03f);
    ERF_STEP(-2.6853815e-02f, -1.6463948e-02f);
    ERF_STEP(1.12835854e-01f, -9.237508e-01f);
    ERF_STEP(-3.7612626e-01f, -4.418161e+00f);
    ERF_STEP(1.2837917e-01f, -5.364941e+00f);
    v = _mm512_sub_ps(one, (__m512)exp_mid((lanes)q));
    lanes r = (lanes)_mm512_mask_fmadd_ps(q, low, a, a);
    r = (lanes)_mm512_mask_mov_ps((__m512)r, (__mmask16)~low, v);
    EVERY_LANE(r, x, r, R = vm_copysign_f32(X, Y);)
    return r;
}
LINK_OF(ERF)
#else
LINK1(EXP, exp)
LINK1(ERF, erf)
LINK1(EXP_BELOW, exp_below)
#endif

#define UNARY(X) UNARY_PLAIN(X) X(EXP, exp) X(ERF, erf)
#define UNARY_PLAIN(X)                                                                            \
    X(NEG, neg) X(ABS, abs) X(SIGN, sign) X(CEIL, ceil) X(FLOOR, floor) X(ROUND, round) X(ROUND_EVEN, round_even) \
    X(SQRT, sqrt) X(RSQRT, rsqrt) X(EXP2, exp2) X(LOG, log) X(LOG2, log2) X(TANH, tanh) X(LOGISTIC, logistic)
#define BINARY(X) X(ADD, add) X(SUB, sub) X(MUL, mul) X(DIV, div) X(MAX, max) X(MIN, min)
#define FORWARD(F, f) LINK2(F, vm_##f##_f32(X, Y))
#define BACKWARD(F, f) LINK2(F##_back, vm_##f##_f32(Y, X))
UNARY_PLAIN(LINK1)
BINARY(FORWARD)
BINARY(BACKWARD)

/* ---- blocks ---- */

/* Each of `ahead` is fetched into cache, a block's bytes at a time. */
static void run(const struct vm_link *first, size_t blocks, char *const *place, int aheads, char *const *ahead) {
    lanes z = {0};
    for (size_t at = 0; at < blocks * BLOCK; at += BLOCK) {
        for (int k = 0; k < aheads; k++)
            for (size_t i = 0; i < BLOCK; i += 64) __builtin_prefetch(ahead[k] + at + i, 0, 3);
        ((link_fn *)first->run)(first, place, at, z, z, z, z, z, z, z, z);
    }
}

#define ROW1(F, f) [TSR_S_##F] = {{(vm_link_fn *)F##_v, NULL}, {NULL, NULL}},
#define ROW2(F, f)                                                                                \
    [TSR_S_##F] = {{(vm_link_fn *)F##_v, (vm_link_fn *)F##_s}, {(vm_link_fn *)F##_back_v, (vm_link_fn *)F##_back_s}},
#define PASTE(a, b) a##b
#define WITH_SUFFIX(name, suffix) PASTE(name, suffix)
const struct vm_links WITH_SUFFIX(vm_links_, TSR_ISA_SUFFIX) = {
    .block = BLOCK / 4,
    .align = WIDTH,
    .run = run,
    .load = {(vm_link_fn *)load_v, (vm_link_fn *)load_s},
    .store = (vm_link_fn *)store_v,
    .stream = (vm_link_fn *)stream_v,
    .end = (vm_link_fn *)end_v,
    .exp_below = (vm_link_fn *)EXP_BELOW_v,
    .fn = {UNARY(ROW1) BINARY(ROW2)},
};
