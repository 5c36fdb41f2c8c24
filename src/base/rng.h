/* rng.h: counter-based random bits: the same key and counter give the same bits on every machine and thread.
 *
 * Philox4x32-10 and Threefry2x32-20 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC'11; the published known-answer vectors are in tests/base. StableHLO's rng_bit_generator is built on these. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

void rng_philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);   /* 10 rounds */
void rng_threefry2x32(const uint32_t ctr[2], const uint32_t key[2], uint32_t out[2]); /* 20 rounds */

/* A sequential host generator over Philox, for shuffles and tests. State is three words: cheap to save and restore. */
struct rng { uint64_t seed, stream, counter; };
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* uniform in [0, n), unbiased; n > 0 */
double rng_uniform(struct rng *r);             /* [0, 1), 53 bits */
double rng_normal(struct rng *r);              /* Box-Muller; consumes two draws */

#endif
