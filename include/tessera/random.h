/* random.h: random numbers as pure functions of a key, split and folded as jax.random does.
 *
 * A key is u32[2] (ops.h has keys of u64[2] for dropout and plain Philox numbers; one is refused where the other is
 * needed). Nothing has hidden state: the same key gives the same numbers on every device, in any order of
 * evaluation, at any batch. Use a key once; for more numbers split it, or fold a counter in.
 *
 * The bits are those of jax.random with its default generator (threefry2x32) and its default layout (the configuration
 * jax_threefry_partitionable, on since JAX 0.5): element i of any shape, in row-major order, is the Threefry2x32 block
 * of the counter i, high word first; its two halves are joined to 64 bits, or xor-ed for 32 and fewer. Uniform
 * numbers, and all that is made of integers and comparisons, are equal to JAX's bit for bit; normal ones up to
 * erf_inv's last bits. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11; JAX's
 * documentation. */
#ifndef TESSERA_RANDOM_H
#define TESSERA_RANDOM_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

tsr_node *tsr_prng_key(tsr_ctx *c, uint64_t seed);                         /* (seed >> 32, seed mod 2^32) */
tsr_node *tsr_prng_split(tsr_ctx *c, tsr_node *key, int64_t n);            /* u32[n, 2]: n independent keys */
tsr_node *tsr_prng_subkey(tsr_ctx *c, tsr_node *keys, int64_t i);          /* row i of a split: u32[2] */
tsr_node *tsr_prng_fold_in(tsr_ctx *c, tsr_node *key, tsr_node *data);     /* data: an integer scalar, taken mod 2^32 */

/* Tensors of type t (its extents may be symbolic; fewer than 2^63 elements). */
tsr_node *tsr_prng_bits(tsr_ctx *c, tsr_node *key, const tsr_type *t);     /* u8, u16, u32, u64: uniform */
/* Floats f16, bf16, f32, f64 in [lo, hi): as many random bits as the mantissa has. */
tsr_node *tsr_prng_uniform(tsr_ctx *c, tsr_node *key, const tsr_type *t, double lo, double hi);
/* sqrt(2) erf_inv(u), u uniform in (-1, 1). */
tsr_node *tsr_prng_normal(tsr_ctx *c, tsr_node *key, const tsr_type *t);
/* A normal number under the condition that it lies in (lo, hi), by the inverse of its distribution. */
tsr_node *tsr_prng_truncated_normal(tsr_ctx *c, tsr_node *key, const tsr_type *t, double lo, double hi);
tsr_node *tsr_prng_gumbel(tsr_ctx *c, tsr_node *key, const tsr_type *t);   /* -log(-log u) */
/* bool, true with probability p. t: a bool type. The comparison is made in f32. */
tsr_node *tsr_prng_bernoulli(tsr_ctx *c, tsr_node *key, const tsr_type *t, double p);
/* Integers of t's dtype (8 to 64 bits) in [lo, hi); lo everywhere when hi <= lo. Two random words, of 32 bits or 64 for
 * i64 and u64, are reduced modulo the span; no number is likelier than another by more than span / 2^32 (2^64). */
tsr_node *tsr_prng_randint(tsr_ctx *c, tsr_node *key, const tsr_type *t, int64_t lo, int64_t hi);
/* 0..n-1 in random order, i32: sorted by random words, as often as makes equal words unlikely. */
tsr_node *tsr_prng_permutation(tsr_ctx *c, tsr_node *key, int64_t n);
/* One index for each distribution: logits (..., K) -> i32 (...); P(k) proportional to exp(logits[k]). */
tsr_node *tsr_prng_categorical(tsr_ctx *c, tsr_node *key, tsr_node *logits);

#ifdef __cplusplus
}
#endif
#endif
