/* decompose_reduce.c: a long reduction is two: over chunks of constant size, then over the chunks.
 *
 * A cluster of rows gives each row to one instance, so a sum over millions of elements that leaves few rows would keep
 * one thread busy. Here such a reduction becomes a reduction of chunks of about CHUNK elements, whose rows are many,
 * and a short one of their results:
 *
 *     reduce[0](x (N))        ->  reduce[0](concat(reduce[1](the full chunks as (N / C, C)), reduce[1](the rest)))
 *     reduce[0, 1](x (N, M))  ->  the same with C rows of M a chunk; axes before the one that is cut are chunks too
 *
 * Whether and where to cut depends on the reduced extents alone (of a symbol on its upper bound, so that all sizes run
 * the same program), never on the number of rows or threads: the order of a sum is a property of the reduction. What
 * feeds it stays fused with its first half, since slices and reshapes only move. The rest is reduced apart, so that no
 * load of the full chunks needs a mask. Short floats go between the halves in what they accumulate in. */
#include "compile/lower.h"

enum { CHUNK = 1 << 15, LEAST = 8 * CHUNK };

static int64_t times(int64_t a, int64_t b) {
    int64_t r;
    return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
}

/* Where to cut: axes[0 .. at) are chunks, axes[at] falls into chunks of `length`, the others are inside. */
struct cut { int at; int64_t length; bool whole; };

static bool choose_cut(const tsr_type *t, int n, const int64_t *axes, struct cut *cut) {
    int64_t inside = 1;
    for (int i = n - 1; i >= 0; i--) {
        int64_t extent = ext_hint(t->extent[axes[i]], INT64_MAX);
        if (extent <= 0) return false;
        if (inside < CHUNK) {
            *cut = (struct cut){.at = i, .length = 1};
            while (times(cut->length * 2, inside) <= CHUNK) cut->length *= 2;
            cut->whole = extent <= cut->length; /* nothing to cut in it */
        }
        inside = times(inside, extent);
    }
    return inside >= LEAST;
}

/* Elements from .. to of one axis. */
static tsr_node *part(tsr_ctx *c, tsr_node *x, int64_t axis, const tsr_extent *from, const tsr_extent *to) {
    const tsr_extent *start[TSR_MAX_RANK], *limit[TSR_MAX_RANK];
    int64_t one[TSR_MAX_RANK];
    for (int i = 0; i < x->type->rank; i++) start[i] = ext_int(c, 0), limit[i] = x->type->extent[i], one[i] = 1;
    start[axis] = from, limit[axis] = to;
    return from && to ? tsr_prim_slice(c, x, start, limit, one) : NULL;
}

/* (.., N, ..) -> (.., N / length, length, ..) at `axis`. */
static tsr_node *rows_of(tsr_ctx *c, tsr_node *x, int64_t axis, const tsr_extent *chunks, const tsr_extent *length) {
    const tsr_extent *extent[TSR_MAX_RANK];
    for (int i = 0; i < x->type->rank; i++) extent[i + (i > axis)] = x->type->extent[i];
    extent[axis] = chunks, extent[axis + 1] = length;
    return tsr_prim_reshape(c, x, tsr_type_tensor(c, x->type->dtype, x->type->rank + 1, extent));
}

/* One value for each chunk, along axes[0 .. cut.at]: of the full chunks and, where elements are left over, of the rest.
 * The chunk axes come before all axes that are gone, so they keep their places. */
static tsr_node *of_chunks(tsr_ctx *c, tsr_node *x, tsr_reduce op, int n, const int64_t *axes, const struct cut *cut) {
    int64_t axis = axes[cut->at], inside[TSR_MAX_RANK], count = n - cut->at;
    const tsr_extent *extent = x->type->extent[axis], *length = ext_int(c, cut->length);
    const tsr_extent *chunks = length ? tsr_extent_floordiv(c, extent, length) : NULL;
    const tsr_extent *full = ext_mul(c, chunks, length);
    for (int i = 0; i < count; i++) inside[i] = axes[cut->at + i] + 1;
    tsr_node *main = full == extent ? x : part(c, x, axis, ext_int(c, 0), full), *rest, *both[2];
    if (!main) return NULL;
    both[0] = tsr_prim_reduce(c, rows_of(c, main, axis, chunks, length), op, (int)count, inside);
    if (full == extent) return both[0];
    rest = part(c, x, axis, full, extent);
    rest = rest ? rows_of(c, rest, axis, ext_int(c, 1), ext_sub(c, extent, full)) : NULL;
    both[1] = rest ? tsr_prim_reduce(c, rest, op, (int)count, inside) : NULL;
    return both[1] ? tsr_prim_concat(c, 2, both, (int)axis) : NULL;
}

tsr_node *decompose_reduce(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    int count;
    struct cut cut;
    tsr_node *x = src[0];
    tsr_reduce op = (tsr_reduce)node_int(n, ATTR_REDUCE);
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    bool packed = tsr_dtype_of(x->type->dtype)->bits < 8 && x->type->dtype != TSR_BOOL;
    if (packed || x->type->rank == TSR_MAX_RANK || !choose_cut(x->type, count, axes, &cut)) return NULL;
    if (dtype_is_float(n->type->dtype)) x = tsr_prim_convert(c, x, dtype_accumulator(n->type->dtype));
    x = cut.whole ? tsr_prim_reduce(c, x, op, count - cut.at, axes + cut.at) : of_chunks(c, x, op, count, axes, &cut);
    if (!x) return NULL;
    x = tsr_prim_reduce(c, x, op, cut.at + !cut.whole, axes);
    return tsr_prim_convert(c, x, n->type->dtype);
}
