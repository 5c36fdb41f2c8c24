/* test_rng.c: the generators against the known-answer vectors published with Random123 (Salmon et al., SC'11), and
 * what the sequential generator promises: a position as state, unbiased ranges, the right moments. Wrong bits here
 * would change every shuffle. */
#include <math.h>

#include "harness.h"

TEST(philox_known_answers) {
    static const struct { uint32_t ctr[4], key[2], out[4]; } row[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint32_t out[4];
        test_case("row %zu", i);
        rng_philox4x32(row[i].ctr, row[i].key, out);
        CHECK_BYTES(out, row[i].out, sizeof out);
    }
}

TEST(threefry_known_answers) {
    static const struct { uint32_t ctr[2], key[2], out[2]; } row[] = {
        {{0, 0}, {0, 0}, {0x6b200159, 0x99ba4efe}},
        {{~0u, ~0u}, {~0u, ~0u}, {0x1cb996fc, 0xbb002be7}},
        {{0x243f6a88, 0x85a308d3}, {0x13198a2e, 0x03707344}, {0xc4923a9c, 0x483df7a0}},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint32_t out[2];
        test_case("row %zu", i);
        rng_threefry2x32(row[i].ctr, row[i].key, out);
        CHECK_BYTES(out, row[i].out, sizeof out);
    }
}

TEST(output_may_alias_the_counter) {
    uint32_t four[4] = {1, 2, 3, 4}, two[2] = {1, 2}, key[2] = {5, 6}, out[4];
    rng_philox4x32(four, key, out);
    rng_philox4x32(four, key, four);
    CHECK_BYTES(four, out, sizeof out);
    rng_threefry2x32(two, key, out);
    rng_threefry2x32(two, key, two);
    CHECK_BYTES(two, out, sizeof two);
}

/* Draws 2k and 2k+1 are the halves of block (k, stream), so saving three words resumes anywhere. */
TEST(sequence_is_a_position) {
    struct rng r = {.seed = (uint64_t)test_int(0, INT64_MAX - 1), .stream = (uint64_t)test_int(0, 1000)}, saved = r;
    uint64_t draw[101];
    for (int i = 0; i < 101; i++) {
        if (i == 51) saved = r;
        draw[i] = rng_u64(&r);
    }
    CHECK_EQ(r.counter, 101);
    for (int i = 51; i < 101; i++) CHECK(rng_u64(&saved) == draw[i]);
    for (uint32_t k = 0; k < 50; k++) {
        uint32_t ctr[4] = {k, 0, (uint32_t)r.stream, 0}, key[2] = {(uint32_t)r.seed, (uint32_t)(r.seed >> 32)}, out[4];
        rng_philox4x32(ctr, key, out);
        CHECK(draw[2 * k] == ((uint64_t)out[1] << 32 | out[0]));
        CHECK(draw[2 * k + 1] == ((uint64_t)out[3] << 32 | out[2]));
    }
}

/* Chi-square over n bins with 2000 draws a bin: for a uniform generator below mean + 6 sigma except once in millions
 * of runs. */
TEST(below_is_uniform) {
    static const uint64_t sizes[] = {1, 2, 3, 7, 10, 64, 100};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint64_t n = sizes[s];
        int count[100] = {0};
        test_case("n=%d", (int)n);
        for (uint64_t i = 0; i < 2000 * n; i++) {
            uint64_t x = rng_below(test_rng(), n);
            if (!CHECK(x < n)) return;
            count[x]++;
        }
        double chi2 = 0;
        for (uint64_t i = 0; i < n; i++) chi2 += (count[i] - 2000.0) * (count[i] - 2000.0) / 2000.0;
        CHECK_MSG(chi2 <= (double)n - 1 + 6 * sqrt(2.0 * (double)n), "chi-square %g for %d bins", chi2, (int)n);
    }
    test_case("n near 2^64");
    CHECK(rng_below(test_rng(), UINT64_MAX) < UINT64_MAX);
}

TEST(moments) {
    enum { N = 200000 };
    double u1 = 0, u2 = 0, g1 = 0, g2 = 0, g4 = 0;
    for (int i = 0; i < N; i++) {
        double u = rng_uniform(test_rng()), g = rng_normal(test_rng());
        if (!CHECK(u >= 0 && u < 1 && isfinite(g))) return;
        u1 += u, u2 += u * u, g1 += g, g2 += g * g, g4 += g * g * g * g;
    }
    CHECK_CLOSE(u1 / N, 0.5, 0, 0.005); /* sigma of the mean 0.00065 */
    CHECK_CLOSE(u2 / N, 1.0 / 3, 0, 0.005);
    CHECK_CLOSE(g1 / N, 0.0, 0, 0.015); /* 0.0022 */
    CHECK_CLOSE(g2 / N, 1.0, 0, 0.02);  /* 0.0032 */
    CHECK_CLOSE(g4 / N, 3.0, 0, 0.15);  /* 0.022 */
}
