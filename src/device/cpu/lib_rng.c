/* lib_rng.c: random bits from a key and a counter: StableHLO's rng_bit_generator with
 * the algorithms THREE_FRY and PHILOX.
 *
 * How counters map to elements is not in the specification; this follows XLA, so that
 * the same state gives the same bits there.
 *   Threefry2x32, state u64[2] = (key, counter). The two 32-bit words of a key or counter are (low, high).
 *     64-bit results: element i (row-major) is the block of counter + i, words (low, high); the counter advances by
 *     their number.
 *     32-bit results: the tensor is halved along its first even axis (none: the longest, rounded up), half h of place i
 *     being word h of the block of counter + i, i counting the halved tensor in row-major order; the counter advances
 *     by the halved tensor's size. 8 and 16 bits: the low bits of the 32-bit results.
 *   Philox4x32, state u64[3] = (key, counter low, counter high), or u64[2] = (key, counter)
 *   whose counter is (low = counter, high = key).
 *     32-bit results: element i is word i % 4 of the block of counter + i / 4; the 128-bit counter advances by
 *     ceil(n / 4).
 *     64-bit results: element i is words (2 (i % 2), 2 (i % 2) + 1), low first, of block i / 2; advance ceil(n / 2).
 * The op also takes leading batch axes on the state: each state fills its own part of the result. */
#include <string.h>

#include "base/rng.h"
#include "device/cpu/lib.h"

enum { GRAIN = 1 << 12 };

struct rng_job {
    tsr_dtype dtype;
    int bytes;
    uint64_t key, low, high;
    int64_t n, half, inner; /* elements; extent of a half of the split axis; elements past it */
    int64_t full;           /* extent of the split axis */
    uint8_t *out;
};

static void split(uint64_t x, uint32_t out[2]) { out[0] = (uint32_t)x, out[1] = (uint32_t)(x >> 32); }
static uint64_t join(uint32_t low, uint32_t high) { return (uint64_t)high << 32 | low; }

static void store(const struct rng_job *j, int64_t i, uint64_t bits) {
    switch (j->bytes) {
    case 1: j->out[i] = (uint8_t)bits; break;
    case 2: ((uint16_t *)j->out)[i] = (uint16_t)bits; break;
    case 4: ((uint32_t *)j->out)[i] = (uint32_t)bits; break;
    default: ((uint64_t *)j->out)[i] = bits;
    }
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void threefry64(void *arg, int64_t task, int worker) {
    (void)worker;
    struct rng_job *j = arg;
    uint32_t key[2], ctr[2], x[2];
    split(j->key, key);
    for (int64_t i = task * GRAIN; i < least(j->n, (task + 1) * GRAIN); i++) {
        split(j->low + (uint64_t)i, ctr);
        rng_threefry2x32(ctr, key, x);
        store(j, i, join(x[0], x[1]));
    }
}

/* Places of the halved tensor: (outer, half, inner); word h goes to (outer, h * half + place, inner). */
static void threefry32(void *arg, int64_t task, int worker) {
    (void)worker;
    struct rng_job *j = arg;
    uint32_t key[2], ctr[2], x[2];
    split(j->key, key);
    int64_t places = j->n / (j->full * j->inner) * j->half * j->inner;
    for (int64_t i = task * GRAIN; i < least(places, (task + 1) * GRAIN); i++) {
        split(j->low + (uint64_t)i, ctr);
        rng_threefry2x32(ctr, key, x);
        int64_t inner = i % j->inner, place = i / j->inner % j->half, outer = i / j->inner / j->half;
        for (int h = 0; h < 2; h++)
            if (h * j->half + place < j->full) store(j, (outer * j->full + h * j->half + place) * j->inner + inner,
                x[h]);
    }
}

static void philox(void *arg, int64_t task, int worker) {
    (void)worker;
    struct rng_job *j = arg;
    uint32_t key[2], ctr[4], x[4];
    split(j->key, key);
    int per = j->bytes == 8 ? 2 : 4;
    for (int64_t b = task * GRAIN; b < least(lib_ceil(j->n, per), (task + 1) * GRAIN); b++) {
        uint64_t low = j->low + (uint64_t)b;
        split(low, ctr), split(j->high + (low < j->low), ctr + 2);
        rng_philox4x32(ctr, key, x);
        for (int w = 0; w < per && b * per + w < j->n; w++)
            store(j, b * per + w, per == 2 ? join(x[2 * w], x[2 * w + 1]) : x[w]);
    }
}

/* The axis that threefry halves: the first even one, else the longest. */
static void choose_halves(struct rng_job *j, int rank, const int64_t *dim) {
    int axis = -1;
    for (int i = 0; i < rank && axis < 0; i++)
        if (dim[i] % 2 == 0) axis = i;
    for (int i = 0; i < rank && (axis < 0 || dim[axis] % 2); i++)
        if (axis < 0 || dim[i] > dim[axis]) axis = i;
    j->full = axis < 0 ? 1 : dim[axis];
    j->half = lib_ceil(j->full, 2);
    j->inner = axis < 0 ? 1 : lib_product(rank - axis - 1, dim + axis + 1);
}

static void run_threefry(const struct lib_call *k, struct rng_job *j, int rank, const int64_t *dim, const uint64_t *in,
    uint64_t *out) {
    choose_halves(j, rank, dim);
    int64_t blocks = j->bytes == 8 ? j->n : j->n ? j->n / (j->full * j->inner) * j->half * j->inner : 0;
    j->low = in[1];
    pool_for(k->pool, lib_ceil(blocks, GRAIN), j->bytes == 8 ? threefry64 : threefry32, j);
    out[0] = in[0], out[1] = in[1] + (uint64_t)blocks;
}

static void run_philox(const struct lib_call *k, struct rng_job *j, int words, const uint64_t *in, uint64_t *out) {
    int64_t blocks = lib_ceil(j->n, j->bytes == 8 ? 2 : 4);
    j->low = in[1], j->high = words == 3 ? in[2] : in[0];
    pool_for(k->pool, lib_ceil(blocks, GRAIN), philox, j);
    out[0] = in[0], out[1] = in[1] + (uint64_t)blocks;
    if (words == 3) out[2] = in[2] + (out[1] < in[1]);
}

tsr_status lib_rng_bits(const struct lib_call *k) {
    const struct lib_tensor *state = &k->t[0], *bits = &k->t[2];
    int batch_axes = state->rank - 1, words = (int)state->dim[batch_axes];
    int64_t batch = lib_product(batch_axes, state->dim);
    int rank = bits->rank - batch_axes;
    const int64_t *dim = bits->dim + batch_axes;
    struct rng_job j = {.dtype = bits->dtype, .bytes = tsr_dtype_of(bits->dtype)->bytes, .n = lib_product(rank, dim)};
    for (int64_t b = 0; b < batch; b++) {
        const uint64_t *in = (const uint64_t *)state->p + b * words;
        uint64_t *out = (uint64_t *)k->t[1].p + b * words;
        j.key = in[0];
        j.out = (uint8_t *)bits->p + b * j.n * j.bytes;
        if (k->ints[0] == LIB_THREEFRY) run_threefry(k, &j, rank, dim, in, out);
        else run_philox(k, &j, words, in, out);
    }
    return TSR_OK;
}
