/* op_random.c: random bits from a key and a counter: StableHLO's rng_bit_generator.
 *
 * The state is u64[2] for Threefry2x32 (key, counter) and u64[2] or u64[3] for Philox4x32 (key, counter; key, counter
 * low, counter high). The specification leaves open how counters map to elements; this is XLA's mapping, so states and
 * bits can be exchanged with it. Beyond the specification, the state may have batch axes in front, which the bits then
 * share: each state draws its own part, which is what a batched key under vmap means. Bits do not depend on the state
 * smoothly: gradient zero. */
#include <inttypes.h>

#include "base/rng.h"
#include "graph/axes.h"
#include "graph/ref.h"

static const tsr_type *refuse(tsr_ctx *c, const tsr_type *state, const tsr_type *bits, const char *why) {
    err_set(c, TSR_EINVAL, "rng_bits: state %s, bits %s: %s", type_text(c, state), bits ? type_text(c, bits)
            : "of no type", why);
    return NULL;
}

static const tsr_type *rng_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *state = d->src[0]->type, *bits = d->want;
    int64_t how = draft_int(d, ATTR_MODE), words = 0;
    if (bits && bits->kind == TSR_TUPLE) bits = bits->item[1]; /* a rebuilt node's own type */
    if (!axes_is_tensor(c, "rng_bits", state)) return NULL;
    if (how != TSR_RNG_THREEFRY && how != TSR_RNG_PHILOX)
        return refuse(c, state, bits, "there are two algorithms, Threefry and Philox");
    if (!bits || bits->kind != TSR_TENSOR || tsr_dtype_of(bits->dtype)->kind != TSR_KIND_UINT || bits->dtype == TSR_U4)
        return refuse(c, state, bits, "bits come as u8, u16, u32 or u64; bitcast them to what you need");
    if (state->dtype != TSR_U64 || state->rank < 1 || !tsr_extent_is_int(state->extent[state->rank - 1], &words) ||
        (words != 2 && words != 3))
        return refuse(c, state, bits,
                      "the state is u64[2] (key, counter), or u64[3] for Philox with a counter of two words");
    if (how == TSR_RNG_THREEFRY && words != 2) return refuse(c, state, bits, "the state of Threefry is u64[2]");
    if (state->rank - 1 > bits->rank)
        return refuse(c, state, bits, "the state's axes before its last are batch axes; the bits must begin with them");
    for (int i = 0; i + 1 < state->rank; i++)
        if (!extent_require_equal(c, state->extent[i], bits->extent[i],
                                  "rng_bits: state %s, bits %s: batch axis %d differs", type_text(c, state),
                                  type_text(c, bits), i))
            return NULL;
    return tsr_type_tuple(c, 2, (const tsr_type *[]){state, bits});
}

tsr_node *tsr_prim_rng_bits(tsr_ctx *c, tsr_rng how, tsr_node *state, const tsr_type *t) {
    struct attr a = attr_int(ATTR_MODE, how);
    if (axes_poison(1, &state) || !t) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_RNG_BITS, .nsrc = 1, .src = &state, .nattr = 1, .attr = &a,
        .want = t});
}

static tsr_node *rng_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    const tsr_type *t = type_insert_axis(c, n->type->item[1], 0, size);
    return t ? tsr_prim_rng_bits(c, (tsr_rng)node_int(n, ATTR_MODE), rule_batch(c, src[0], batched[0], size), t)
        : tsr_poison(c);
}

/* ---- reference: each element by itself --------------------------------------------------------------------------- */

static void words_of(uint64_t x, uint32_t w[2]) { w[0] = (uint32_t)x, w[1] = (uint32_t)(x >> 32); }

static uint64_t threefry_block(uint64_t key, uint64_t counter) {
    uint32_t k[2], x[2], out[2];
    words_of(key, k), words_of(counter, x);
    rng_threefry2x32(x, k, out);
    return (uint64_t)out[1] << 32 | out[0];
}

/* The axis that 32-bit Threefry halves: the first even one, else the longest; -1 for a scalar. */
static int halved_axis(int rank, const int64_t *dim) {
    int longest = -1;
    for (int i = 0; i < rank; i++) {
        if (dim[i] % 2 == 0) return i;
        if (longest < 0 || dim[i] > dim[longest]) longest = i;
    }
    return longest;
}

/* Bits of element `at` of a tensor, and in *blocks how many counters the whole tensor takes. */
static uint64_t threefry_at(const uint64_t *state, int bits, int rank, const int64_t *dim, const int64_t *at,
                            int64_t *blocks) {
    int64_t half[TSR_MAX_RANK], place[TSR_MAX_RANK];
    int axis = bits == 64 ? -1 : halved_axis(rank, dim);
    bool high = false;
    *blocks = 1;
    for (int i = 0; i < rank; i++) {
        half[i] = i == axis ? (dim[i] + 1) / 2 : dim[i];
        *blocks *= half[i];
        place[i] = at[i];
        if (i == axis && at[i] >= half[i]) high = true, place[i] -= half[i];
    }
    uint64_t block = threefry_block(state[0], state[1] + (uint64_t)ref_ravel(rank, half, place));
    return bits == 64 ? block : high ? block >> 32 : block & 0xffffffffu;
}

static uint64_t philox_at(const uint64_t *state, int64_t words, int bits, int64_t flat) {
    int64_t per = bits == 64 ? 2 : 4;
    uint64_t low = state[1] + (uint64_t)(flat / per), high = words == 3 ? state[2] : state[0];
    uint32_t key[2], counter[4], x[4];
    words_of(state[0], key), words_of(low, counter), words_of(high + (low < state[1]), counter + 2);
    rng_philox4x32(counter, key, x);
    return bits == 64 ? (uint64_t)x[flat % 2 * 2 + 1] << 32 | x[flat % 2 * 2] : x[flat % 4];
}

static tsr_status rng_ref(struct ref_call *r) {
    const struct ref_tensor *in = &r->in[0], *bits = &r->out[1];
    int batch_axes = in->rank - 1, rank = bits->rank - batch_axes, width = tsr_dtype_of(bits->dtype)->bits;
    bool threefry = node_int(r->node, ATTR_MODE) == TSR_RNG_THREEFRY;
    const int64_t *dim = bits->dim + batch_axes;
    int64_t words = in->dim[batch_axes], batch = in->count / words, n = 1, blocks = 0;
    for (int i = 0; i < rank; i++) n *= dim[i];
    for (int64_t b = 0; b < batch; b++) {
        uint64_t state[3] = {0};
        for (int64_t w = 0; w < words; w++) state[w] = ref_get(in, b * words + w).u;
        for (int64_t i = 0; i < n; i++) {
            int64_t at[TSR_MAX_RANK];
            ref_unravel(rank, dim, i, at);
            uint64_t v = threefry ? threefry_at(state, width, rank, dim, at, &blocks)
                : philox_at(state, words, width, i);
            ref_set(&r->out[1], b * n + i, (struct ref_val){.u = width < 64 ? v & (((uint64_t)1 << width) - 1) : v});
        }
        if (!threefry) blocks = (n + (width == 64 ? 1 : 3)) / (width == 64 ? 2 : 4);
        ref_set(&r->out[0], b * words, (struct ref_val){.u = state[0]});
        ref_set(&r->out[0], b * words + 1, (struct ref_val){.u = state[1] + (uint64_t)blocks});
        if (words == 3)
            ref_set(&r->out[0], b * words + 2, (struct ref_val){.u =
                state[2] + (state[1] + (uint64_t)blocks < state[1])});
    }
    return TSR_OK;
}

static tsr_fn *rng_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[4], state[3];
    int rank = (int)sample_int(s, 0, 4), batch = (int)sample_int(s, 0, rank < 2 ? rank : 2);
    tsr_rng how = sample_int(s, 0, 1) ? TSR_RNG_PHILOX : TSR_RNG_THREEFRY;
    s->lo[0] = 0, s->hi[0] = 1e15;
    if (tsr_fn_begin(c, "rng_bits") != TSR_OK) return NULL;
    sample_dims(s, rank, dim);
    for (int i = 0; i < batch; i++) state[i] = dim[i];
    state[batch] = how == TSR_RNG_PHILOX ? sample_int(s, 2, 3) : 2;
    const tsr_type *t = tsr_type_dims(c, s->dtype == TSR_U4 ? TSR_U8 : s->dtype, rank, dim);
    tsr_node *y = tsr_prim_rng_bits(c, how, sample_param(c, TSR_U64, batch + 1, state), t);
    return tsr_fn_end(c, 2, (tsr_node *[]){tsr_item(c, y, 0), tsr_item(c, y, 1)});
}

const struct op_def op_RNG_BITS = {
    .name = "rng_bits", .formula = "bits of a counter-based generator, and the state after them",
    .spec = "StableHLO rng_bit_generator",
    .cls = OP_LIBRARY, .arity = 1, .domain = "u", .infer = rng_infer, .vjp = vjp_zero, .vmap = rng_vmap, .ref = rng_ref,
    .sample = rng_sample,
};
