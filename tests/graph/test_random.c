/* test_random.c: random.h: values that JAX's documentation prints, bits against the host's Threefry, moments, ranges,
 * orders. */
#include <math.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "harness.h"
#include "tessera/random.h"
#include "tessera/transform.h"

/* The value of an expression: begin(), build, value(). The data lives until the next begin. */
static struct arena mem;
static tsr_scope *scope;

static void begin(tsr_ctx *c) {
    arena_init(&mem, c);
    scope = tsr_scope_begin(c);
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
}

static struct ref_tensor value(tsr_ctx *c, tsr_node *y) {
    struct ref_tensor out = {.p = NULL};
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    if (CHECK(f) && CHECK_EQ(tsr_verify(c, f), TSR_OK)) CHECK_EQ(interp_run(c, f, 0, NULL, &mem, &out, NULL), TSR_OK);
    tsr_fn_free(c, f);
    CHECK_OK(c);
    return out;
}

static void end(tsr_ctx *c) {
    tsr_scope_end(c, scope);
    arena_release(&mem);
}

static const tsr_type *dims(tsr_ctx *c, tsr_dtype t, int rank, int64_t a, int64_t b) {
    return tsr_type_dims(c, t, rank, (int64_t[]){a, b});
}

/* docs.jax.dev, jax.random: uniform(key(0)) and uniform(split(key(0))[1]). "Deep learning with Python", 3rd ed.:
 * normal(key(123), (3,)). */
TEST(values_that_jax_prints) {
    tsr_ctx *c = test_ctx();
    test_case("uniform(key(0))");
    begin(c);
    struct ref_tensor y = value(c, tsr_prng_uniform(c, tsr_prng_key(c, 0), dims(c, TSR_F32, 0, 0, 0), 0, 1));
    CHECK_CLOSE(*(float *)y.p, 0.947667, 0, 5e-7);
    end(c);
    test_case("uniform(split(key(0))[1])");
    begin(c);
    tsr_node *sub = tsr_prng_subkey(c, tsr_prng_split(c, tsr_prng_key(c, 0), 2), 1);
    y = value(c, tsr_prng_uniform(c, sub, dims(c, TSR_F32, 0, 0, 0), 0, 1));
    CHECK_CLOSE(*(float *)y.p, 0.00729382, 0, 5e-9);
    end(c);
}

TEST(bits_are_threefry_of_the_row_major_index) {
    static const tsr_dtype types[] = {TSR_U8, TSR_U16, TSR_U32, TSR_U64};
    tsr_ctx *c = test_ctx();
    for (int round = 0; round < 40; round++) {
        uint64_t seed = rng_u64(test_rng());
        int64_t a = test_int(0, 9), b = test_int(1, 9);
        tsr_dtype t = types[round % 4];
        test_case("%s (%d, %d) of %llu", tsr_dtype_name(t), (int)a, (int)b, (unsigned long long)seed);
        begin(c);
        struct ref_tensor y = value(c, tsr_prng_bits(c, tsr_prng_key(c, seed), dims(c, t, 2, a, b)));
        for (int64_t i = 0; i < a * b; i++) {
            uint32_t k[2] = {(uint32_t)(seed >> 32), (uint32_t)seed}, x[2] = {0, (uint32_t)i}, w[2];
            rng_threefry2x32(x, k, w);
            uint64_t want = t == TSR_U64 ? (uint64_t)w[0] << 32 | w[1] : w[0] ^ w[1];
            if (t != TSR_U64) want &= ((uint64_t)1 << tsr_dtype_of(t)->bits) - 1;
            if (!CHECK(ref_get(&y, i).u == want)) break;
        }
        end(c);
    }
}

TEST(split_and_fold_in_are_threefry) {
    tsr_ctx *c = test_ctx();
    for (uint32_t round = 0; round < 10; round++) {
        uint64_t seed = rng_u64(test_rng());
        uint32_t k[2] = {(uint32_t)(seed >> 32), (uint32_t)seed}, w[2];
        test_case("split %d", (int)round);
        begin(c);
        struct ref_tensor y = value(c, tsr_prng_split(c, tsr_prng_key(c, seed), round));
        for (uint32_t i = 0; i < round; i++) {
            rng_threefry2x32((uint32_t[]){0, i}, k, w);
            CHECK_BYTES(y.p + 8 * i, w, 8);
        }
        end(c);
        test_case("fold_in %d", (int)round);
        begin(c);
        y = value(c, tsr_prng_fold_in(c, tsr_prng_key(c, seed), tsr_scalar_int(c, TSR_I64, round * 1000)));
        rng_threefry2x32((uint32_t[]){0, round * 1000}, k, w);
        CHECK_BYTES(y.p, w, 8);
        end(c);
    }
}

/* mean and variance of n numbers, and whether all lie in [lo, hi] */
static void moments(const struct ref_tensor *y, double lo, double hi, double mean, double variance) {
    double s = 0, q = 0, n = (double)y->count;
    bool inside = true;
    for (int64_t i = 0; i < y->count; i++) {
        struct ref_val r = ref_get(y, i);
        double v = dtype_is_float(y->dtype) ? r.re : tsr_dtype_of(y->dtype)->kind == TSR_KIND_INT ? (double)r.i
            : (double)r.u;
        s += v, q += v * v, inside &= v >= lo && v <= hi;
    }
    CHECK(inside);
    CHECK_CLOSE(s / n, mean, 0, 6 * sqrt(variance / n) + 1e-3 * sqrt(variance));
    CHECK_CLOSE(q / n - s / n * (s / n), variance, 0.08, 0.01);
}

TEST(distributions) {
    enum { N = 20000 };
    tsr_ctx *c = test_ctx();
    static const tsr_dtype floats[] = {TSR_F64, TSR_F32, TSR_F16, TSR_BF16};
    for (int t = 0; t < 4; t++) {
        const char *name = tsr_dtype_name(floats[t]);
        const tsr_type *type = dims(c, floats[t], 1, N, 0);
        tsr_node *key = tsr_prng_key(c, rng_u64(test_rng()));
        test_case("uniform %s", name);
        begin(c);
        struct ref_tensor y = value(c, tsr_prng_uniform(c, key, type, -1, 3));
        moments(&y, -1, 3, t < 2 ? 1 : 1 - (t == 3 ? 0.015 : 0.002), 16.0 / 12);
        end(c);
        test_case("normal %s", name);
        begin(c);
        y = value(c, tsr_prng_normal(c, key, type));
        moments(&y, -9, 9, t == 3 ? -0.004 : 0, 1);
        end(c);
        test_case("truncated normal %s", name);
        begin(c);
        y = value(c, tsr_prng_truncated_normal(c, key, type, -1, 1));
        moments(&y, -1, 1, t == 3 ? -0.002 : 0, 0.2911);
        end(c);
        if (t > 1) continue;
        test_case("gumbel %s", name);
        begin(c);
        y = value(c, tsr_prng_gumbel(c, key, type));
        moments(&y, -10, 100, 0.5772156649, 1.6449340668);
        end(c);
    }
    test_case("bernoulli");
    begin(c);
    struct ref_tensor y = value(c, tsr_prng_bernoulli(c, tsr_prng_key(c, 7), dims(c, TSR_BOOL, 1, N, 0), 0.3));
    moments(&y, 0, 1, 0.3, 0.21);
    end(c);
}

TEST(integers_in_their_range) {
    static const tsr_dtype types[] = {TSR_I8, TSR_I16, TSR_I32, TSR_I64, TSR_U8, TSR_U16, TSR_U32, TSR_U64};
    tsr_ctx *c = test_ctx();
    for (int t = 0; t < 8; t++)
        for (int wide = 0; wide < 2; wide++) {
            int64_t lo = t < 4 ? -5 : 3, hi = wide ? 100 : lo + 1 + t;
            test_case("%s [%d, %d)", tsr_dtype_name(types[t]), (int)lo, (int)hi);
            begin(c);
            struct ref_tensor y = value(c, tsr_prng_randint(c, tsr_prng_key(c, rng_u64(test_rng())),
                                                            dims(c, types[t], 1, 20000, 0), lo, hi));
            double n = (double)(hi - lo);
            if (n > 1) moments(&y, (double)lo, (double)hi - 1, (double)lo + (n - 1) / 2, (n * n - 1) / 12);
            end(c);
        }
    test_case("an empty range gives its start");
    begin(c);
    struct ref_tensor y = value(c, tsr_prng_randint(c, tsr_prng_key(c, 1), dims(c, TSR_I32, 1, 9, 0), 4, 4));
    for (int i = 0; i < 9; i++) CHECK_EQ(((int32_t *)y.p)[i], 4);
    end(c);
    test_case("every u8");
    begin(c);
    y = value(c, tsr_prng_randint(c, tsr_prng_key(c, 1), dims(c, TSR_U8, 1, 20000, 0), 0, 256));
    moments(&y, 0, 255, 127.5, 65535.0 / 12);
    end(c);
}

TEST(permutations_permute) {
    static const int64_t sizes[] = {0, 1, 2, 3, 100, 1999};
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 6; k++) {
        int64_t n = sizes[k], moved = 0;
        test_case("n %d", (int)n);
        begin(c);
        struct ref_tensor y = value(c, tsr_prng_permutation(c, tsr_prng_key(c, rng_u64(test_rng())), n));
        bool *seen = mem_zalloc(c, (size_t)n + 1);
        for (int64_t i = 0; i < n; i++) {
            int32_t v = ((int32_t *)y.p)[i];
            if (!CHECK(v >= 0 && v < n && !seen[v])) break;
            seen[v] = true, moved += v != i;
        }
        CHECK(n < 50 || moved > n / 2);
        mem_free(c, seen, (size_t)n + 1);
        end(c);
    }
}

TEST(categories_follow_their_probabilities) {
    enum { N = 20000 };
    tsr_ctx *c = test_ctx();
    begin(c);
    const float p[4] = {0.1f, 0.2f, 0.3f, 0.4f};
    float logits[4];
    for (int i = 0; i < 4; i++) logits[i] = logf(p[i]);
    tsr_node *x = tsr_const(c, dims(c, TSR_F32, 1, 4, 0), logits);
    x = tsr_prim_broadcast(c, x, dims(c, TSR_F32, 2, N, 4), (int64_t[]){1});
    struct ref_tensor y = value(c, tsr_prng_categorical(c, tsr_prng_key(c, 11), x));
    int count[4] = {0};
    for (int i = 0; i < N; i++) count[((int32_t *)y.p)[i] & 3]++;
    for (int i = 0; i < 4; i++) CHECK_CLOSE(count[i] / (double)N, p[i], 0, 0.02);
    end(c);
}

/* Numbers under vmap are those of each key alone. */
TEST(batched_keys) {
    tsr_ctx *c = test_ctx();
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
    tsr_node *key = tsr_param(c, dims(c, TSR_U32, 1, 2, 0), "key");
    tsr_node *y = tsr_prng_normal(c, key, dims(c, TSR_F32, 1, 5, 0));
    tsr_fn *f = tsr_fn_end(c, 1, &y), *g = tsr_vmap(c, f, NULL, NULL, tsr_extent_int(c, 3));
    uint32_t keys[6];
    for (int i = 0; i < 6; i++) keys[i] = (uint32_t)rng_u64(test_rng());
    struct arena a;
    arena_init(&a, c);
    struct ref_tensor in = {.dtype = TSR_U32, .rank = 2, .dim = {3, 2}, .count = 6, .p = (uint8_t *)keys}, all, one;
    CHECK(g && interp_run(c, g, 1, &in, &a, &all, NULL) == TSR_OK);
    for (int i = 0; g && i < 3; i++) {
        struct ref_tensor k = {.dtype = TSR_U32, .rank = 1, .dim = {2}, .count = 2, .p = (uint8_t *)(keys + 2 * i)};
        if (CHECK_EQ(interp_run(c, f, 1, &k, &a, &one, NULL), TSR_OK)) CHECK_BYTES(all.p + 20 * i, one.p, 20);
    }
    arena_release(&a);
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    CHECK_OK(c);
}

TEST(refusals) {
    tsr_ctx *c = test_ctx();
    tsr_node *key = tsr_prng_key(c, 0), *no = tsr_scalar_int(c, TSR_U32, 0);
    const tsr_type *f = dims(c, TSR_F32, 1, 3, 0), *i = dims(c, TSR_I32, 1, 3, 0);
    test_case("no key");
    CHECK(tsr_is_poison(tsr_prng_normal(c, no, f)));
    CHECK_ERROR(c, TSR_EINVAL, "a key is u32[2]");
    test_case("normal integers");
    CHECK(tsr_is_poison(tsr_prng_normal(c, key, i)));
    CHECK_ERROR(c, TSR_EINVAL, "f32 or f64 is needed");
    test_case("float bits");
    CHECK(tsr_is_poison(tsr_prng_bits(c, key, f)));
    CHECK_ERROR(c, TSR_EINVAL, "u64 is needed");
    test_case("an empty interval");
    CHECK(tsr_is_poison(tsr_prng_truncated_normal(c, key, f, 2, 1)));
    CHECK_ERROR(c, TSR_EINVAL, "is empty");
    test_case("a float randint");
    CHECK(tsr_is_poison(tsr_prng_randint(c, key, f, 0, 1)));
    CHECK_ERROR(c, TSR_EINVAL, "integer type");
    test_case("bernoulli of f32");
    CHECK(tsr_is_poison(tsr_prng_bernoulli(c, key, f, 0.5)));
    CHECK_ERROR(c, TSR_EINVAL, "a bool type");
    test_case("a row that is not there");
    CHECK(tsr_is_poison(tsr_prng_subkey(c, tsr_prng_split(c, key, 2), 2)));
    CHECK_ERROR(c, TSR_EINVAL, "u32[2,2]");
    test_case("categorical of a scalar");
    CHECK(tsr_is_poison(tsr_prng_categorical(c, key, tsr_scalar_float(c, TSR_F32, 0))));
    CHECK_ERROR(c, TSR_EINVAL, "logits");
}

static bool draw(tsr_ctx *c, void *arg) {
    (void)arg;
    tsr_node *y = tsr_prng_normal(c, tsr_prng_key(c, 3), dims(c, TSR_F32, 1, 4, 0));
    return !tsr_is_poison(y) && !err_any(c); /* even a message that could not be formatted is recorded */
}
TEST(drawing_under_torture) { CHECK(torture(draw, NULL) > 50); }
