/* build_index.c: picking by index, sorting, and random numbers: the builders of ops.h that move data by data.
 *
 * Random: a key is two u64 words and the state of one Philox stream; bits become floats by the usual constructions:
 * uniform from as many high bits as the significand holds (so 1 is never reached), normal by the inverse error
 * function of an open uniform. */
#include "graph/build.h"

/* Integer indices, negative ones moved up by the extent. */
static tsr_node *wrapped(tsr_ctx *c, const char *what, tsr_node *index, const tsr_extent *e) {
    if (!dtype_is_int(index->type->dtype)) return build_fail(c, "%s: the index is %s; integers are needed", what,
                                                             type_text(c, index->type));
    if (tsr_dtype_of(index->type->dtype)->kind == TSR_KIND_UINT) return index;
    tsr_node *n = build_extent(c, e, index->type->dtype), *zero = rule_full_like(c, index, 0);
    return tsr_prim3(c, TSR_S_SELECT, tsr_prim2(c, TSR_S_LT, index, zero), tsr_add(c, index, n), index);
}

tsr_node *tsr_take(tsr_ctx *c, tsr_node *x, tsr_node *index, int axis) {
    tsr_node *in[2] = {x, index};
    if (build_bad(c, 2, in) || (axis = build_axis(c, "take", x, axis)) < 0) return tsr_poison(c);
    int rx = x->type->rank, ri = index->type->rank, n = 0;
    if (rx - 1 + ri > TSR_MAX_RANK) return build_fail(c, "take: %s by %s has too many axes", type_text(c, x->type),
                                                      type_text(c, index->type));
    int64_t offset[TSR_MAX_RANK], at = axis;
    const tsr_extent *sizes[TSR_MAX_RANK], *one = tsr_extent_int(c, 1);
    for (int i = 0; i < rx; i++) {
        sizes[i] = i == axis ? one : x->type->extent[i];
        if (i != axis) offset[n++] = i < axis ? i : i - 1 + ri;
    }
    tsr_gather_dims d = {.n_offset = n, .offset = offset, .n_collapsed = 1, .collapsed = &at, .n_map = 1, .map = &at,
        .index_vector_axis = ri};
    index = wrapped(c, "take", index, x->type->extent[axis]);
    return one ? tsr_prim_gather(c, x, index, &d, sizes) : tsr_poison(c);
}

/* Dimension numbers of one index for each element: every other axis is a batch axis of both. */
struct along { int64_t others[TSR_MAX_RANK], axis; tsr_gather_dims d; };

static void along_init(struct along *a, int rank, int axis) {
    int n = 0;
    for (int i = 0; i < rank; i++)
        if (i != axis) a->others[n++] = i;
    a->axis = axis;
    a->d = (tsr_gather_dims){.n_collapsed = 1, .collapsed = &a->axis, .n_map = 1, .map = &a->axis,
        .n_operand_batching = n, .n_index_batching = n,
                             .operand_batching = a->others, .index_batching = a->others, .index_vector_axis = rank};
}

/* x cut to the index's extents on every axis but one. */
static tsr_node *cut_to(tsr_ctx *c, const char *what, tsr_node *x, const tsr_node *index, int axis) {
    const tsr_extent *lo[TSR_MAX_RANK], *hi[TSR_MAX_RANK];
    int64_t step[TSR_MAX_RANK];
    bool same = true;
    if (x->type->rank != index->type->rank)
        return build_fail(c, "%s: %s by %s; both must have as many axes", what, type_text(c, x->type),
                          type_text(c, index->type));
    for (int i = 0; i < x->type->rank; i++) {
        lo[i] = tsr_extent_int(c, 0);
        hi[i] = i == axis ? x->type->extent[i] : index->type->extent[i];
        step[i] = 1;
        same &= hi[i] == x->type->extent[i];
    }
    return same ? x : tsr_prim_slice(c, x, lo, hi, step);
}

tsr_node *tsr_take_along(tsr_ctx *c, tsr_node *x, tsr_node *index, int axis) {
    tsr_node *in[2] = {x, index};
    const tsr_extent *sizes[TSR_MAX_RANK];
    struct along a;
    if (build_bad(c, 2, in) || (axis = build_axis(c, "take_along", x, axis)) < 0) return tsr_poison(c);
    x = cut_to(c, "take_along", x, index, axis);
    if (tsr_is_poison(x)) return x;
    along_init(&a, x->type->rank, axis);
    for (int i = 0; i < x->type->rank; i++)
        if (!(sizes[i] = tsr_extent_int(c, 1))) return tsr_poison(c);
    return tsr_prim_gather(c, x, wrapped(c, "take_along", index, x->type->extent[axis]), &a.d, sizes);
}

tsr_node *tsr_scatter_add(tsr_ctx *c, tsr_node *x, tsr_node *index, tsr_node *src, int axis) {
    tsr_node *in[3] = {x, index, src};
    struct along a;
    if (build_bad(c, 3, in) || (axis = build_axis(c, "scatter_add", x, axis)) < 0) return tsr_poison(c);
    for (int i = 0; i < index->type->rank && index->type->rank == x->type->rank; i++)
        if (i != axis && !extent_require_equal(c, index->type->extent[i], x->type->extent[i],
                                               "scatter_add: axis %d of the index", i)) return tsr_poison(c);
    src = cut_to(c, "scatter_add", src, index, -1);
    if (tsr_is_poison(src)) return src;
    along_init(&a, x->type->rank, axis);
    return tsr_prim_scatter(c, x, wrapped(c, "scatter_add", index, x->type->extent[axis]),
                            tsr_cast(c, src, x->type->dtype), &a.d, TSR_SCATTER_ADD);
}

/* ---- sorting ---- */

static tsr_status give(tsr_ctx *c, tsr_node *v, tsr_node *i, tsr_node **values, tsr_node **indices) {
    if (values) *values = v;
    if (indices) *indices = i;
    return tsr_is_poison(v) || tsr_is_poison(i) ? tsr_error_status(c) : TSR_OK;
}

tsr_status tsr_sort(tsr_ctx *c, tsr_node *x, int axis, bool descending, tsr_node **values, tsr_node **indices) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "sort", x, axis)) < 0) return give(c, tsr_poison(c), tsr_poison(c),
            values, indices);
    tsr_node *in[2] = {x, build_iota(c, TSR_I32, x->type->rank, x->type->extent, axis)};
    tsr_node *both = tsr_prim_sort(c, 2, in, axis, 1, descending, true);
    return give(c, tsr_item(c, both, 0), tsr_item(c, both, 1), values, indices);
}

tsr_status tsr_topk(tsr_ctx *c, tsr_node *x, int64_t k, int axis, tsr_node **values, tsr_node **indices) {
    if (build_bad(c, 1, &x) || (axis = build_axis(c, "topk", x, axis)) < 0) return give(c, tsr_poison(c), tsr_poison(c),
            values, indices);
    tsr_node *both = tsr_prim_top_k(c, tsr_move_axis(c, x, axis, -1), k);
    return give(c, tsr_move_axis(c, tsr_item(c, both, 0), -1, axis), tsr_move_axis(c, tsr_item(c, both, 1), -1, axis),
                values, indices);
}

/* ---- random ---- */

tsr_node *tsr_key(tsr_ctx *c, uint64_t seed) {
    const tsr_type *t = tsr_type_dims(c, TSR_U64, 1, (int64_t[]){2});
    return t ? tsr_const(c, t, (uint64_t[]){seed, 0}) : tsr_poison(c);
}

static bool check_key(tsr_ctx *c, const char *what, tsr_node *key) {
    if (build_bad(c, 1, &key)) return false;
    if (key->type == tsr_type_dims(c, TSR_U64, 1, (int64_t[]){2})) return true;
    build_fail(c, "%s: the key is %s; a key is u64[2], of tsr_key (u32[2] keys are for tsr_prng_*)", what,
               type_text(c, key->type));
    return false;
}

static tsr_node *bits(tsr_ctx *c, tsr_node *state, const tsr_type *t) {
    return t ? tsr_item(c, tsr_prim_rng_bits(c, TSR_RNG_PHILOX, state, t), 1) : tsr_poison(c);
}

/* Two draws under keys that plain use of this key never sees: the first binds its counter, the second the index. */
tsr_node *tsr_key_fold(tsr_ctx *c, tsr_node *key, tsr_node *index) {
    tsr_node *in[2] = {key, index};
    if (!check_key(c, "key_fold", key) || build_bad(c, 2, in)) return tsr_poison(c);
    if (!dtype_is_int(index->type->dtype) || index->type->rank)
        return build_fail(c, "key_fold: the index is %s; an integer scalar is needed", type_text(c, index->type));
    const tsr_type *one = tsr_type_dims(c, TSR_U64, 1, (int64_t[]){1});
    tsr_node *salt = one ? tsr_const(c, one, (uint64_t[]){0x9e3779b97f4a7c15u}) : tsr_poison(c);
    tsr_node *word = tsr_slice(c, key, 0, 0, 1, 1), *counter = tsr_slice(c, key, 0, 1, 2, 1),
        *first = tsr_prim2(c, TSR_S_XOR, word, salt);
    tsr_node *mixed = bits(c, tsr_concat(c, 2, (tsr_node *[]){first, counter}, 0), one);
    tsr_node *i = tsr_reshape(c, tsr_cast(c, index, TSR_U64), 1, (int64_t[]){1});
    tsr_node *state = tsr_concat(c, 2, (tsr_node *[]){tsr_prim2(c, TSR_S_XOR, first, mixed), i}, 0);
    return build_bad(c, 1, &state) ? tsr_poison(c) : bits(c, state, key->type);
}

/* The top `keep` bits of random words, as floats in [0, 2^keep), of the dtype that holds them exactly. */
static tsr_node *random_whole(tsr_ctx *c, tsr_node *key, const tsr_type *t, int keep) {
    tsr_dtype word = keep > 24 ? TSR_U64 : TSR_U32, real = keep > 24 ? TSR_F64 : TSR_F32;
    const tsr_type *wt = type_with_dtype(c, t, word);
    if (!wt) return tsr_poison(c);
    tsr_node *b = bits(c, key, wt);
    return tsr_cast(c, tsr_prim2(c, TSR_S_SHR_LOGICAL, b, tsr_full(c, wt, (keep > 24 ? 64 : 32) - keep)), real);
}

static int float_bits(tsr_dtype t) {
    return t == TSR_F64 ? 53 : t == TSR_F32 ? 24 : t == TSR_F16 ? 11 : t == TSR_BF16 ? 8 : t == TSR_F8E4M3 ? 4 : 3;
}

static bool check_random(tsr_ctx *c, const char *what, tsr_node *key, const tsr_type *t) {
    if (!t || !check_key(c, what, key)) return false;
    if (t->kind == TSR_TENSOR && dtype_is_float(t->dtype)) return true;
    return build_fail(c, "%s: of type %s; a floating point type is needed", what, type_text(c, t)), false;
}

tsr_node *tsr_random_uniform(tsr_ctx *c, tsr_node *key, const tsr_type *t, double lo, double hi) {
    if (!check_random(c, "random_uniform", key, t)) return tsr_poison(c);
    int keep = float_bits(t->dtype);
    tsr_node *u = build_num2(c, TSR_S_MUL, random_whole(c, key, t, keep), ldexp(1, -keep));
    if (hi - lo != 1) u = build_num2(c, TSR_S_MUL, u, hi - lo);
    if (lo != 0) u = build_num2(c, TSR_S_ADD, u, lo);
    return tsr_cast(c, u, t->dtype);
}

tsr_node *tsr_random_normal(tsr_ctx *c, tsr_node *key, const tsr_type *t) {
    if (!check_random(c, "random_normal", key, t)) return tsr_poison(c);
    int keep = t->dtype == TSR_F64 ? 52 : 23; /* one bit less: the half that opens the interval needs one */
    tsr_node *u = build_num2(c, TSR_S_ADD, random_whole(c, key, t, keep), 0.5);
    tsr_node *open = build_num2(c, TSR_S_SUB, build_num2(c, TSR_S_MUL, u, ldexp(1, 1 - keep)), 1);
    return tsr_cast(c, build_num2(c, TSR_S_MUL, tsr_prim1(c, TSR_S_ERF_INV, open), 1.4142135623730951), t->dtype);
}
