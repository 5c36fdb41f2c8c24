/* random.c: the functions of random.h, written with primitives.
 *
 * Threefry is built as elementwise ops on u32 and not as rng_bits: it fuses into what uses the numbers, batches like
 * any arithmetic, and JAX's counters (high word first) are not those of StableHLO's generator. A literal key folds
 * nothing: the block is about a hundred nodes, shared by interning between equal calls.
 *
 * Conventions that make bits equal to JAX's: split gives key i the two halves of the block of counter i; fold_in takes
 * the block of (0, data); floats put the top bits of the random word into the mantissa of a number in [1, 2) and
 * subtract 1; randint reduces two words modulo the span with the high one weighted by 2^bits mod span; a permutation
 * sorts by random words ceil(3 ln n / ln(2^32 - 1)) times, splitting the key before each. */
#include <math.h>

#include "graph/op.h"
#include "tessera/random.h"

struct pair { tsr_node *a, *b; };

static tsr_node *fail(tsr_ctx *c, const char *what, const tsr_type *t, const char *want) {
    err_set(c, TSR_EINVAL, "%s: of type %s; %s", what, t ? type_text(c, t) : "NULL", want);
    return tsr_poison(c);
}

static tsr_node *op2(tsr_ctx *c, tsr_scalar fn, tsr_node *x, tsr_node *y) { return tsr_prim2(c, fn, x, y); }
/* x fn v, v a number of x's type */
static tsr_node *with(tsr_ctx *c, tsr_scalar fn, tsr_node *x, double v) {
    return tsr_is_poison(x) ? tsr_poison(c) : tsr_prim2(c, fn, x, tsr_full(c, x->type, v));
}
static tsr_node *with_int(tsr_ctx *c, tsr_scalar fn, tsr_node *x, uint64_t v) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    tsr_node *s = tsr_scalar_int(c, x->type->dtype, (int64_t)v);
    return tsr_prim2(c, fn, x, tsr_prim_broadcast(c, s, x->type, NULL));
}

/* ---- threefry2x32 ------------------------------------------------------------------------------------------------ */

static tsr_node *rotated(tsr_ctx *c, tsr_node *x, unsigned n) {
    return op2(c, TSR_S_OR, with_int(c, TSR_S_SHL, x, n), with_int(c, TSR_S_SHR_LOGICAL, x, 32 - n));
}

/* The blocks of counters x under key k, all u32 of one type. */
static struct pair threefry(tsr_ctx *c, struct pair k, struct pair x) {
    static const unsigned char rotation[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    tsr_node *ks[3] = {k.a, k.b, with_int(c, TSR_S_XOR, op2(c, TSR_S_XOR, k.a, k.b), 0x1bd11bda)};
    x.a = op2(c, TSR_S_ADD, x.a, ks[0]), x.b = op2(c, TSR_S_ADD, x.b, ks[1]);
    for (unsigned round = 0; round < 20; round++) {
        x.a = op2(c, TSR_S_ADD, x.a, x.b);
        x.b = op2(c, TSR_S_XOR, rotated(c, x.b, rotation[round % 8]), x.a);
        if (round % 4 < 3) continue;
        unsigned s = round / 4 + 1; /* the key is injected after every fourth round */
        x.a = op2(c, TSR_S_ADD, x.a, ks[s % 3]);
        x.b = with_int(c, TSR_S_ADD, op2(c, TSR_S_ADD, x.b, ks[(s + 1) % 3]), s);
    }
    return x;
}

/* The halves of a key, repeated to type t. False with an error when it is no key. */
static bool key_halves(tsr_ctx *c, const char *what, tsr_node *key, const tsr_type *t, struct pair *out) {
    if (tsr_is_poison(key) || !t) return false;
    if (key->type != tsr_type_dims(c, TSR_U32, 1, (int64_t[]){2}))
        return fail(c, what, key->type, "a key is u32[2], of tsr_prng_key (u64[2] keys are for tsr_random_*)"), false;
    const tsr_type *scalar = tsr_type_dims(c, TSR_U32, 0, NULL), *wide = type_with_dtype(c, t, TSR_U32);
    tsr_node *half[2];
    for (int64_t i = 0; i < 2; i++) {
        tsr_node *s = tsr_prim_slice_ints(c, key, &i, (int64_t[]){i + 1}, NULL);
        half[i] = tsr_prim_broadcast(c, scalar ? tsr_prim_reshape(c, s, scalar) : tsr_poison(c), wide, NULL);
    }
    *out = (struct pair){half[0], half[1]};
    return !tsr_is_poison(half[0]) && !tsr_is_poison(half[1]);
}

/* The number of each element in row-major order, as (high, low) words. */
static struct pair counters(tsr_ctx *c, const tsr_type *t) {
    const tsr_extent *n = type_elements(c, t);
    const tsr_type *flat = n ? tsr_type_tensor(c, TSR_U64, 1, &n) : NULL, *u64 = type_with_dtype(c, t, TSR_U64);
    const tsr_type *u32 = type_with_dtype(c, t, TSR_U32);
    int64_t lo, hi;
    if (!flat || !u64 || !u32) return (struct pair){tsr_poison(c), tsr_poison(c)};
    tsr_extent_bounds(n, &lo, &hi);
    if (hi <= UINT32_MAX) { /* one word will do */
        tsr_node *i = tsr_prim_reshape(c, tsr_prim_iota(c, type_with_dtype(c, flat, TSR_U32), 0), u32);
        return (struct pair){tsr_full(c, u32, 0), i};
    }
    tsr_node *i = tsr_prim_reshape(c, tsr_prim_iota(c, flat, 0), u64);
    return (struct pair){tsr_prim_convert(c, with_int(c, TSR_S_SHR_LOGICAL, i, 32), TSR_U32),
        tsr_prim_convert(c, i, TSR_U32)};
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

tsr_node *tsr_prng_key(tsr_ctx *c, uint64_t seed) {
    const tsr_type *t = tsr_type_dims(c, TSR_U32, 1, (int64_t[]){2});
    return t ? tsr_const(c, t, (uint32_t[]){(uint32_t)(seed >> 32), (uint32_t)seed}) : tsr_poison(c);
}

/* u32[n, 2] of two u32[n] */
static tsr_node *columns(tsr_ctx *c, struct pair x, const tsr_type *column) {
    tsr_node *part[2] = {tsr_prim_reshape(c, x.a, column), tsr_prim_reshape(c, x.b, column)};
    return tsr_is_poison(part[0]) || tsr_is_poison(part[1]) ? tsr_poison(c)
        : tsr_prim_concat(c, 2, part, column->rank - 1);
}

tsr_node *tsr_prng_split(tsr_ctx *c, tsr_node *key, int64_t n) {
    struct pair k;
    if (n < 0) return err_set(c, TSR_EINVAL, "prng_split: into %lld keys", (long long)n), tsr_poison(c);
    const tsr_type *t = tsr_type_dims(c, TSR_U32, 1, &n), *column = tsr_type_dims(c, TSR_U32, 2, (int64_t[]){n, 1});
    if (!column || !key_halves(c, "prng_split", key, t, &k)) return tsr_poison(c);
    return columns(c, threefry(c, k, counters(c, t)), column);
}

tsr_node *tsr_prng_subkey(tsr_ctx *c, tsr_node *keys, int64_t i) {
    if (tsr_is_poison(keys)) return tsr_poison(c);
    int64_t n = keys->type->kind == TSR_TENSOR && keys->type->rank == 2 ? tsr_node_dim(keys, 0) : -1;
    if (i < 0 || i >= n)
        return fail(c, "prng_subkey", keys->type, "u32[n, 2] of tsr_prng_split with a row of that number is needed");
    tsr_node *row = tsr_prim_slice_ints(c, keys, (int64_t[]){i, 0}, (int64_t[]){i + 1, 2}, NULL);
    return tsr_prim_reshape(c, row, tsr_type_dims(c, TSR_U32, 1, (int64_t[]){2}));
}

tsr_node *tsr_prng_fold_in(tsr_ctx *c, tsr_node *key, tsr_node *data) {
    struct pair k;
    if (tsr_is_poison(data)) return tsr_poison(c);
    if (data->type->kind != TSR_TENSOR || data->type->rank || !dtype_is_int(data->type->dtype))
        return fail(c, "prng_fold_in", data->type, "the data must be an integer scalar");
    const tsr_type *t = tsr_type_dims(c, TSR_U32, 0, NULL), *one = tsr_type_dims(c, TSR_U32, 1, (int64_t[]){1});
    if (!one || !key_halves(c, "prng_fold_in", key, t, &k)) return tsr_poison(c);
    tsr_node *word = tsr_prim_convert(c, data, TSR_U32);
    return columns(c, threefry(c, k, (struct pair){tsr_full(c, t, 0), word}), one);
}

/* ---- bits and floats --------------------------------------------------------------------------------------------- */

static tsr_node *bits(tsr_ctx *c, const char *what, tsr_node *key, const tsr_type *t, tsr_dtype word) {
    struct pair k;
    if (!t || !key_halves(c, what, key, t, &k)) return tsr_poison(c);
    struct pair x = threefry(c, k, counters(c, t));
    if (word != TSR_U64) return tsr_prim_convert(c, op2(c, TSR_S_XOR, x.a, x.b), word);
    tsr_node *high = with_int(c, TSR_S_SHL, tsr_prim_convert(c, x.a, TSR_U64), 32);
    return op2(c, TSR_S_OR, high, tsr_prim_convert(c, x.b, TSR_U64));
}

tsr_node *tsr_prng_bits(tsr_ctx *c, tsr_node *key, const tsr_type *t) {
    bool fits = t && t->kind == TSR_TENSOR && tsr_dtype_of(t->dtype)->kind == TSR_KIND_UINT && t->dtype != TSR_U4;
    return fits ? bits(c, "prng_bits", key, t, t->dtype) : fail(c, "prng_bits", t, "u8, u16, u32 or u64 is needed");
}

/* mantissa bits; word the random bits come in; the bits of 1.0 */
static const struct float_form { tsr_dtype t, word; int mantissa; uint64_t one; } float_forms[] = {
    {TSR_F64, TSR_U64, 52, 0x3ff0000000000000u}, {TSR_F32, TSR_U32, 23, 0x3f800000u},
    {TSR_F16, TSR_U16, 10, 0x3c00u}, {TSR_BF16, TSR_U8, 7, 0x3f80u}, /* fewer than 8 bits are drawn as 8 */
};

static const struct float_form *float_form(const tsr_type *t) {
    for (size_t i = 0; t && t->kind == TSR_TENSOR && i < sizeof float_forms / sizeof *float_forms; i++)
        if (float_forms[i].t == t->dtype) return &float_forms[i];
    return NULL;
}

/* Uniform in [0, 1). */
static tsr_node *unit(tsr_ctx *c, const char *what, tsr_node *key, const tsr_type *t) {
    const struct float_form *f = float_form(t);
    if (!f) return fail(c, what, t, "f16, bf16, f32 or f64 is needed");
    tsr_node *b = bits(c, what, key, t, f->word);
    int width = tsr_dtype_of(t->dtype)->bits, drawn = tsr_dtype_of(f->word)->bits;
    if (width != drawn) b = tsr_prim_convert(c, b, TSR_U16);
    b = with_int(c, TSR_S_SHR_LOGICAL, b, (uint64_t)(drawn - f->mantissa));
    return with(c, TSR_S_SUB, tsr_prim_bitcast(c, with_int(c, TSR_S_OR, b, f->one), t->dtype), 1);
}

/* u (hi - lo) + lo, and not below lo for rounding; lo and hi scalars of t's dtype. */
static tsr_node *between(tsr_ctx *c, tsr_node *u, tsr_node *lo, tsr_node *hi) {
    if (tsr_is_poison(u) || tsr_is_poison(lo) || tsr_is_poison(hi)) return tsr_poison(c);
    tsr_node *least = tsr_prim_broadcast(c, lo, u->type, NULL);
    tsr_node *span = tsr_prim_broadcast(c, op2(c, TSR_S_SUB, hi, lo), u->type, NULL);
    return op2(c, TSR_S_MAX, least, op2(c, TSR_S_ADD, op2(c, TSR_S_MUL, u, span), least));
}

static tsr_node *uniform(tsr_ctx *c, const char *what, tsr_node *key, const tsr_type *t, double lo, double hi) {
    tsr_node *u = unit(c, what, key, t);
    return tsr_is_poison(u) ? u : between(c, u, tsr_scalar_float(c, t->dtype, lo), tsr_scalar_float(c, t->dtype, hi));
}

tsr_node *tsr_prng_uniform(tsr_ctx *c, tsr_node *key, const tsr_type *t, double lo, double hi) {
    return uniform(c, "prng_uniform", key, t, lo, hi);
}

/* The least number of dtype t above -1: one unit in the last place below 1. */
static double above_minus_one(const tsr_type *t) {
    return float_form(t) ? -1 + ldexp(1, -float_form(t)->mantissa - 1) : 0;
}

tsr_node *tsr_prng_normal(tsr_ctx *c, tsr_node *key, const tsr_type *t) {
    tsr_node *u = uniform(c, "prng_normal", key, t, above_minus_one(t), 1);
    return with(c, TSR_S_MUL, tsr_prim1(c, TSR_S_ERF_INV, u), sqrt(2));
}

tsr_node *tsr_prng_truncated_normal(tsr_ctx *c, tsr_node *key, const tsr_type *t, double lo, double hi) {
    tsr_node *u = unit(c, "prng_truncated_normal", key, t);
    if (tsr_is_poison(u)) return u;
    if (!(lo < hi))
        return err_set(c, TSR_EINVAL, "prng_truncated_normal: the interval (%g, %g) is empty", lo, hi), tsr_poison(c);
    tsr_node *root = tsr_scalar_float(c, t->dtype, sqrt(2)), *low = tsr_scalar_float(c, t->dtype, lo);
    tsr_node *high = tsr_scalar_float(c, t->dtype, hi);
    tsr_node *a = tsr_prim1(c, TSR_S_ERF, op2(c, TSR_S_DIV, low, root));
    tsr_node *b = tsr_prim1(c, TSR_S_ERF, op2(c, TSR_S_DIV, high, root));
    tsr_node *x = with(c, TSR_S_MUL, tsr_prim1(c, TSR_S_ERF_INV, between(c, u, a, b)), sqrt(2));
    tsr_node *up = op2(c, TSR_S_NEXTAFTER, low, tsr_scalar_float(c, t->dtype, INFINITY));
    return tsr_prim3(c, TSR_S_CLAMP, up, x, op2(c, TSR_S_NEXTAFTER, high, tsr_scalar_float(c, t->dtype, -INFINITY)));
}

/* The least normal number keeps u off 0. */
tsr_node *tsr_prng_gumbel(tsr_ctx *c, tsr_node *key, const tsr_type *t) {
    double tiny = !t ? 0 : t->dtype == TSR_F64 ? 0x1p-1022 : t->dtype == TSR_F16 ? 0x1p-14 : 0x1p-126;
    tsr_node *u = uniform(c, "prng_gumbel", key, t, tiny, 1);
    tsr_node *inner = tsr_prim1(c, TSR_S_NEG, tsr_prim1(c, TSR_S_LOG, u));
    return tsr_prim1(c, TSR_S_NEG, tsr_prim1(c, TSR_S_LOG, inner));
}

/* ---- choices ----------------------------------------------------------------------------------------------------- */

tsr_node *tsr_prng_bernoulli(tsr_ctx *c, tsr_node *key, const tsr_type *t, double p) {
    if (!t || t->kind != TSR_TENSOR || t->dtype != TSR_BOOL)
        return fail(c, "prng_bernoulli", t, "a bool type is needed");
    return with(c, TSR_S_LT, uniform(c, "prng_bernoulli", key, type_with_dtype(c, t, TSR_F32), 0, 1), p);
}

tsr_node *tsr_prng_randint(tsr_ctx *c, tsr_node *key, const tsr_type *t, int64_t lo, int64_t hi) {
    if (!t || t->kind != TSR_TENSOR || !dtype_is_int(t->dtype) || tsr_dtype_of(t->dtype)->bits < 8)
        return fail(c, "prng_randint", t, "an integer type of 8 to 64 bits is needed");
    int width = tsr_dtype_of(t->dtype)->bits == 64 ? 64 : 32; /* narrow integers are drawn from words of 32 bits */
    uint64_t mask = width == 64 ? UINT64_MAX : UINT32_MAX;
    uint64_t span = hi > lo ? ((uint64_t)hi - (uint64_t)lo) & mask : 1;
    tsr_dtype word = width == 64 ? TSR_U64 : TSR_U32;
    tsr_node *two = tsr_prng_split(c, key, 2);
    tsr_node *high = bits(c, "prng_randint", tsr_prng_subkey(c, two, 0), t, word);
    tsr_node *low = bits(c, "prng_randint", tsr_prng_subkey(c, two, 1), t, word), *offset = low;
    if (span) { /* 0: every word is as good */
        uint64_t half = ((uint64_t)1 << (width / 2)) % span, weight = (half * half & mask) % span;
        tsr_node *upper = with_int(c, TSR_S_MUL, with_int(c, TSR_S_REM, high, span), weight);
        offset = with_int(c, TSR_S_REM, op2(c, TSR_S_ADD, upper, with_int(c, TSR_S_REM, low, span)), span);
    }
    return with_int(c, TSR_S_ADD, tsr_prim_convert(c, offset, t->dtype), (uint64_t)lo);
}

tsr_node *tsr_prng_permutation(tsr_ctx *c, tsr_node *key, int64_t n) {
    if (n < 0 || n > INT32_MAX)
        return err_set(c, TSR_EINVAL, "prng_permutation: of %lld numbers; 0 to 2^31 - 1 are possible", (long long)n),
            tsr_poison(c);
    const tsr_type *t = tsr_type_dims(c, TSR_I32, 1, &n), *words = tsr_type_dims(c, TSR_U32, 1, &n);
    int rounds = (int)ceil(3 * log(n > 1 ? (double)n : 1) / log(4294967295.0));
    tsr_node *x[2] = {NULL, t ? tsr_prim_iota(c, t, 0) : tsr_poison(c)};
    if (tsr_is_poison(key)) return tsr_poison(c);
    for (int i = 0; i < rounds; i++) {
        tsr_node *two = tsr_prng_split(c, key, 2);
        key = tsr_prng_subkey(c, two, 0);
        x[0] = bits(c, "prng_permutation", tsr_prng_subkey(c, two, 1), words, TSR_U32);
        x[1] = tsr_item(c, tsr_prim_sort(c, 2, x, 0, 1, false, true), 1);
    }
    return x[1];
}

tsr_node *tsr_prng_categorical(tsr_ctx *c, tsr_node *key, tsr_node *logits) {
    if (tsr_is_poison(logits)) return tsr_poison(c);
    if (!float_form(logits->type) || logits->type->rank < 1)
        return fail(c, "prng_categorical", logits->type, "floats (..., K) are needed as logits");
    tsr_node *noisy = op2(c, TSR_S_ADD, tsr_prng_gumbel(c, key, logits->type), logits);
    return tsr_prim_argreduce(c, noisy, TSR_REDUCE_MAX, logits->type->rank - 1, TSR_I32);
}
