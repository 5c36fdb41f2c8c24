/* stats.c: structural hash and equality of tile programs, and what one instance of a program does.
 *
 * Hash and equality look at instructions, operands, constants and argument types in order; names are left out, so
 * kernels that differ in names alone are one in a cache. The hash is stable across runs and machines. */
#include "tile/tile.h"

#include <string.h>

static uint64_t hash_inst(const tsr_tile *p, const struct tile_inst *in, uint64_t h) {
    uint64_t word[4] = {(uint64_t)in->op | (uint64_t)in->dtype << 16 | (uint64_t)in->rank << 32 |
                            (uint64_t)in->reverse << 48,
                        (uint32_t)in->sub | (uint64_t)(uint32_t)in->axis << 32,
                        (uint32_t)in->n_operand | (uint64_t)(uint32_t)in->n_result << 32, (uint64_t)in->imm.i};
    h = hash_bytes(h, word, sizeof word);
    h = hash_bytes(h, in->extent, sizeof in->extent);
    return in->n_operand ? hash_bytes(h, tile_operands(p, in), (size_t)in->n_operand * sizeof(tsr_tv)) : h;
}

uint64_t tile_hash(const tsr_tile *p) {
    uint64_t h = p->inst.n;
    for (size_t i = 0; i < p->inst.n; i++) h = hash_inst(p, &p->inst.v[i], h);
    return h;
}

static bool same_inst(const tsr_tile *pa, const struct tile_inst *a, const tsr_tile *pb, const struct tile_inst *b) {
    return a->op == b->op && a->sub == b->sub && a->axis == b->axis && a->reverse == b->reverse &&
        a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->extent, b->extent, sizeof a->extent) == 0 && a->imm.i == b->imm.i && a->n_result == b->n_result &&
               a->n_operand == b->n_operand &&
           (a->n_operand == 0 || memcmp(tile_operands(pa, a), tile_operands(pb, b),
               (size_t)a->n_operand * sizeof(tsr_tv)) == 0);
}

bool tile_equal(const tsr_tile *a, const tsr_tile *b) {
    if (a == b) return true;
    if (a->inst.n != b->inst.n || a->arg.n != b->arg.n) return false;
    for (size_t i = 0; i < a->inst.n; i++)
        if (!same_inst(a, &a->inst.v[i], b, &b->inst.v[i])) return false;
    return true;
}

/* ---- statistics ---- */

static double bytes_of(tsr_dtype t, double n) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    return n * d->bytes / d->block;
}

/* Turns of a for whose bounds are constants; -1: not known here. */
static double turns(const tsr_tile *p, const struct tile_inst *in) {
    int64_t b[3];
    for (int i = 0; i < 3; i++) {
        const struct tile_inst *k = &p->inst.v[p->value.v[tile_operands(p, in)[i]].inst];
        if (k->op != TILE_CONST) return -1;
        b[i] = k->imm.i;
    }
    return b[1] <= b[0] ? 0 : ((double)b[1] - (double)b[0] + (double)b[2] - 1) / (double)b[2];
}

static double results(const tsr_tile *p, const struct tile_inst *in) { return (double)tile_count(tile_type_of(p,
    in->result)); }

static double block_elems(const struct tile_inst *in) {
    double n = 1;
    for (int i = 0; i < in->rank; i++) n *= in->extent[i];
    return n;
}

static double flops_of(const tsr_tile *p, const struct tile_inst *in) {
    const tsr_tv *o = tile_operands(p, in);
    switch (in->op) {
    case TILE_ELEM: return tile_type_of(p, in->result)->rank ? results(p, in) : 0;
    case TILE_REDUCE: case TILE_ARGREDUCE: case TILE_SCAN: return (double)tile_count(tile_type_of(p, o[0]));
    case TILE_DOT: return 2 * results(p, in) * tile_type_of(p, o[0])->extent[1];
    default: return 0;
    }
}

struct tile_stats tile_stats(const tsr_tile *p) {
    struct tile_stats s = {.exact = true};
    double times[TILE_MAX_DEPTH + 1] = {1};
    int depth = 0;
    for (size_t i = 0; i < p->inst.n; i++) {
        const struct tile_inst *in = &p->inst.v[i];
        const tsr_tv *o = tile_operands(p, in);
        double k = times[depth];
        s.flops += k * flops_of(p, in);
        if (in->op == TILE_LOAD) s.bytes_loaded += k * bytes_of(tile_type_of(p, o[0])->dtype, block_elems(in));
        if (in->op == TILE_GATHER) s.bytes_loaded += k * bytes_of(tile_type_of(p, o[0])->dtype, results(p, in));
        if (in->op == TILE_STORE) s.bytes_stored += k * bytes_of(tile_type_of(p, o[0])->dtype, block_elems(in));
        if (in->op == TILE_SCATTER)
            s.bytes_stored += k * bytes_of(tile_type_of(p, o[0])->dtype, (double)tile_count(tile_type_of(p, o[1])));
        if (in->op == TILE_END) depth--;
        if (!tile_opens(in->op)) continue;
        double n = in->op == TILE_FOR ? turns(p, in) : -1;
        s.exact &= n >= 0;
        times[++depth] = k * (n < 0 ? 1 : n);
    }
    return s;
}
