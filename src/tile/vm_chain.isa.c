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
#include "tile/vm_tables.h"
#include "tile/vmath.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

#if TSR_ISA_LEVEL == 2
#define WIDTH 64
#define NONTEMPORAL(p, x) _mm512_stream_ps((float *)(p), (__m512)(x))
#elif TSR_ISA_LEVEL == 1
#define WIDTH 32
#define NONTEMPORAL(p, x) _mm256_stream_ps((float *)(p), (__m256)(x))
#elif defined __SSE2__
#define WIDTH 16
#define NONTEMPORAL(p, x) _mm_stream_ps((float *)(p), (__m128)(x))
#else
#define WIDTH 16
#define NONTEMPORAL(p, x) (void)(*(p) = (x))
#endif
enum { LANES = WIDTH / 4, BLOCK = 8 * WIDTH /* bytes */ };

typedef float lanes __attribute__((vector_size(WIDTH)));
typedef float loose __attribute__((vector_size(WIDTH), aligned(4), may_alias)); /* anywhere in memory */

#define EIGHT lanes a0, lanes a1, lanes a2, lanes a3, lanes a4, lanes a5, lanes a6, lanes a7
typedef void link_fn(const struct vm_link *l, char *const *place, EIGHT);
#define NEXT(l) ((link_fn *)(l)[1].run)((l) + 1, place, a0, a1, a2, a3, a4, a5, a6, a7)
/* Memory is read and written in ascending order, which the machine's own prefetching looks for. */
#define IN_ORDER __asm__ volatile("" ::: "memory");
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* ---- memory ---- */

static void load_v(const struct vm_link *l, char *const *place, EIGHT) {
    const loose *p = (const loose *)(const void *)place[l->place];
#define X(i) a##i = p[i]; IN_ORDER
    EACH(X)
#undef X
    NEXT(l);
}

static void load_s(const struct vm_link *l, char *const *place, EIGHT) {
    a0 = *(const float *)(const void *)place[l->place] - (lanes){0}; /* x - 0 is x, for every x */
    a1 = a2 = a3 = a4 = a5 = a6 = a7 = a0;
    NEXT(l);
}

static void store_v(const struct vm_link *l, char *const *place, EIGHT) {
    loose *p = (loose *)(void *)place[l->place];
#define X(i) p[i] = a##i; IN_ORDER
    EACH(X)
#undef X
    NEXT(l);
}

static void stream_v(const struct vm_link *l, char *const *place, EIGHT) {
    lanes *p = (lanes *)(void *)place[l->place];
#define X(i) NONTEMPORAL(p + i, a##i); IN_ORDER
    EACH(X)
#undef X
    NEXT(l);
}

static void end_v(const struct vm_link *l, char *const *place, EIGHT) {
    (void)l, (void)place;
#define X(i) (void)a##i;
    EACH(X)
#undef X
}

/* ---- functions ---- */

#define LINK1(F, f)                                                           \
    static inline lanes one_##F(lanes x) {                                    \
        lanes r;                                                              \
        for (int i = 0; i < LANES; i++) r[i] = vm_##f##_f32(x[i]);            \
        return r;                                                             \
    }                                                                         \
    static void F##_v(const struct vm_link *l, char *const *place, EIGHT) {   \
        a0 = one_##F(a0), a1 = one_##F(a1), a2 = one_##F(a2), a3 = one_##F(a3); \
        a4 = one_##F(a4), a5 = one_##F(a5), a6 = one_##F(a6), a7 = one_##F(a7); \
        NEXT(l);                                                              \
    }
/* a = f(x, y): x is a and y of the link's place, or the other way round. */
#define LINK2(F, x, y, result)                                                \
    static inline lanes two_##F(lanes x, lanes y) {                           \
        lanes r;                                                              \
        for (int i = 0; i < LANES; i++) r[i] = result;                        \
        return r;                                                             \
    }                                                                         \
    static void F##_v(const struct vm_link *l, char *const *place, EIGHT) {   \
        const loose *b = (const loose *)(const void *)place[l->place];        \
        lanes x0 = b[0]; IN_ORDER a0 = two_##F(a0, x0); lanes x1 = b[1]; IN_ORDER a1 = two_##F(a1, x1); \
        lanes x2 = b[2]; IN_ORDER a2 = two_##F(a2, x2); lanes x3 = b[3]; IN_ORDER a3 = two_##F(a3, x3); \
        lanes x4 = b[4]; IN_ORDER a4 = two_##F(a4, x4); lanes x5 = b[5]; IN_ORDER a5 = two_##F(a5, x5); \
        lanes x6 = b[6]; IN_ORDER a6 = two_##F(a6, x6); lanes x7 = b[7]; IN_ORDER a7 = two_##F(a7, x7); \
        NEXT(l);                                                              \
    }                                                                         \
    static void F##_s(const struct vm_link *l, char *const *place, EIGHT) {   \
        lanes b = *(const float *)(const void *)place[l->place] - (lanes){0}; \
        a0 = two_##F(a0, b), a1 = two_##F(a1, b), a2 = two_##F(a2, b), a3 = two_##F(a3, b); \
        a4 = two_##F(a4, b), a5 = two_##F(a5, b), a6 = two_##F(a6, b), a7 = two_##F(a7, b); \
        NEXT(l);                                                              \
    }

#define UNARY(X)                                                              \
    X(NEG, neg) X(ABS, abs) X(SQRT, sqrt) X(RSQRT, rsqrt) X(EXP, exp) X(EXP2, exp2) X(LOG, log) X(TANH, tanh)   \
    X(LOGISTIC, logistic) X(ERF, erf)
#define BINARY(X) X(ADD, add) X(SUB, sub) X(MUL, mul) X(DIV, div) X(MAX, max) X(MIN, min)
#define FORWARD(F, f) LINK2(F, x, y, vm_##f##_f32(x[i], y[i]))
#define BACKWARD(F, f) LINK2(F##_back, y, x, vm_##f##_f32(x[i], y[i]))
UNARY(LINK1)
BINARY(FORWARD)
BINARY(BACKWARD)

/* ---- blocks ---- */

/* places: of them pointers, each moved on by its step after a block. Each of `ahead` is fetched into the second level
 * of cache, a block's bytes at a time. */
static void run(const struct vm_link *first, size_t blocks, int places, char **place, const int32_t *step, int aheads,
    char **ahead) {
    lanes z = {0};
    for (; blocks > 0; blocks--) {
        for (int k = 0; k < aheads; k++) {
            for (int i = 0; i < BLOCK; i += 64) __builtin_prefetch(ahead[k] + i, 0, 2);
            ahead[k] += BLOCK;
        }
        ((link_fn *)first->run)(first, place, z, z, z, z, z, z, z, z);
        for (int k = 0; k < places; k++) place[k] += step[k];
    }
}

#define ROW1(F, f) [TSR_S_##F] = {{(vm_link_fn *)F##_v, NULL}, {NULL, NULL}},
#define ROW2(F, f) \
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
    .fn = {UNARY(ROW1) BINARY(ROW2)},
};
