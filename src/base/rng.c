/* rng.c: Philox4x32-10, Threefry2x32-20 and the sequential generator over Philox.
 *
 * Rounds, multipliers, rotations and key schedules are those of Salmon, Moraes, Dror and Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC'11 (section 3.2, 3.3 and table 2). The sequential generator numbers its 64-bit
 * draws: draw 2k and 2k+1 are the halves of the Philox block with counter (k, stream) and key seed, so its state is a
 * position and nothing is buffered. */
#include "base/rng.h"

#include <math.h>

void rng_philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t x0 = ctr[0], x1 = ctr[1], x2 = ctr[2], x3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
        uint64_t a = (uint64_t)0xd2511f53u * x0, b = (uint64_t)0xcd9e8d57u * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)a;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

static uint32_t rotate_left(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }

void rng_threefry2x32(const uint32_t ctr[2], const uint32_t key[2], uint32_t out[2]) {
    static const unsigned char rotation[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    const uint32_t ks[3] = {key[0], key[1], 0x1bd11bdau ^ key[0] ^ key[1]};
    uint32_t x0 = ctr[0] + ks[0], x1 = ctr[1] + ks[1];
    for (unsigned round = 0; round < 20; round++) {
        x0 += x1;
        x1 = rotate_left(x1, rotation[round % 8]) ^ x0;
        if (round % 4 == 3) {
            unsigned s = round / 4 + 1; /* the key is injected after every fourth round */
            x0 += ks[s % 3];
            x1 += ks[(s + 1) % 3] + s;
        }
    }
    out[0] = x0, out[1] = x1;
}

uint64_t rng_u64(struct rng *r) {
    uint64_t block = r->counter >> 1;
    unsigned half = (unsigned)(r->counter++ & 1) * 2;
    uint32_t ctr[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)r->stream, (uint32_t)(r->stream >> 32)};
    uint32_t key[2] = {(uint32_t)r->seed, (uint32_t)(r->seed >> 32)}, out[4];
    rng_philox4x32(ctr, key, out);
    return (uint64_t)out[half + 1] << 32 | out[half];
}

/* The first (2^64 mod n) values are drawn again, so that each remainder has equally many values left. */
uint64_t rng_below(struct rng *r, uint64_t n) {
    uint64_t reject = (0 - n) % n, x;
    do x = rng_u64(r);
    while (x < reject);
    return x % n;
}

double rng_uniform(struct rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

double rng_normal(struct rng *r) {
    double u = 1.0 - rng_uniform(r), v = rng_uniform(r); /* u in (0, 1]: its logarithm is finite */
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}
