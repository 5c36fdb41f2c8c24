/* op_form.c: ops that rename elements and compute nothing: convert, bitcast, iota, broadcast, reshape, transpose.
 * (Those that leave elements out or add some, slice, pad, concat and reverse, are in op_form_cut.c.)
 *
 * Extents may be symbolic everywhere: result extents are expressions, and what must hold of them and cannot be
 * proved becomes a check of the open fn. Builders keep the graph in a normal form: what is the identity returns its
 * source, reshapes of reshapes, transposes of transposes and broadcasts of broadcasts are one, literals are
 * converted, repeated literals stay so.
 *
 * Shape rules and formulas are StableHLO's; broadcast is its broadcast_in_dim, bitcast its bitcast_convert. */
#include <string.h>

#include "graph/op_form.h"

/* x is a scalar literal; the same, repeated. */
static bool is_scalar_literal(const tsr_node *x) { return x->op == TSR_OP_CONST && x->type->rank == 0; }
static bool is_full(const tsr_node *x) { return x->op == TSR_OP_BROADCAST && x->nsrc && is_scalar_literal(x->src[0]); }

/* ---- convert ---------------------------------------------------------------------------------------------------- */

static const tsr_type *convert_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    tsr_dtype to = draft_attr(d, ATTR_DTYPE)->dtype;
    NEED_TENSOR("convert", x);
    bool from_block = tsr_dtype_of(x->dtype)->kind == TSR_KIND_BLOCK,
        to_block = tsr_dtype_of(to)->kind == TSR_KIND_BLOCK;
    if (to_block || (from_block && (to != TSR_F32 || !tsr_dtype_of(x->dtype)->dequant))) {
        err_set(c, TSR_EINVAL, "convert: %s to %s: block types are read as f32 where they can be dequantised and "
            "are not a target; convert to f32 first", type_text(c, x), tsr_dtype_name(to));
        return NULL;
    }
    return type_with_dtype(c, x, to);
}

static bool convert_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_dtype from = n->src[0]->type->dtype, to = n->type->dtype;
    bool flows = (dtype_is_float(from) || dtype_is_complex(from)) && (dtype_is_float(to) || dtype_is_complex(to));
    tsr_node *g = gout[0];
    if (!want[0] || !flows) return true;
    if (dtype_is_complex(to) && !dtype_is_complex(from)) g = tsr_prim1(c, TSR_S_REAL, g);
    /* real to complex: the imaginary part is 0, as the pairing Re(g t) has it */
    gsrc[0] = tsr_prim_convert(c, g, from);
    return true;
}

static tsr_node *convert_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    return tsr_prim_convert(c, rule_batch(c, src[0], batched[0], size), n->type->dtype);
}

static tsr_status convert_ref(struct ref_call *r) {
    tsr_dtype from = r->in->dtype, to = r->out->dtype;
    for (int64_t i = 0; i < r->out->count; i++) ref_set(r->out, i, ref_convert(ref_get(r->in, i), from, to));
    return TSR_OK;
}

static tsr_node *convert_literal(tsr_ctx *c, tsr_node *x, tsr_dtype to) {
    const struct attr *v = node_attr(x, ATTR_VALUE);
    uint8_t out[16] = {0};
    struct ref_tensor from = {.dtype = x->type->dtype, .count = 1, .p = (uint8_t *)(uintptr_t)v->bytes};
    struct ref_tensor result = {.dtype = to, .count = 1, .p = out};
    const tsr_type *t = type_with_dtype(c, x->type, to);
    ref_set(&result, 0, ref_convert(ref_get(&from, 0), from.dtype, to));
    return t ? tsr_const(c, t, out) : tsr_poison(c);
}

tsr_node *tsr_prim_convert(tsr_ctx *c, tsr_node *x, tsr_dtype t) {
    if ((unsigned)t >= TSR_DTYPE_COUNT)
        return err_set(c, TSR_EINVAL, "convert: there is no dtype number %d", (int)t), tsr_poison(c);
    if (is_tensor(x) && x->type->dtype == t) return x;
    bool plain = tsr_dtype_of(t)->kind != TSR_KIND_BLOCK;
    if (is_tensor(x) && plain && is_scalar_literal(x)) return convert_literal(c, x, t);
    if (is_tensor(x) && plain && is_full(x)) {
        const tsr_type *type = type_with_dtype(c, x->type, t);
        return type ? tsr_prim_broadcast(c, convert_literal(c, x->src[0], t), type, NULL) : tsr_poison(c);
    }
    struct attr a = attr_dtype(ATTR_DTYPE, t);
    return form(c, TSR_OP_CONVERT, 1, &x, 1, &a, NULL);
}

const struct op_def op_CONVERT = {
    .name = "convert", .formula = "y[i] = x[i] in another dtype", .spec = "StableHLO convert", .cls = OP_MOVE,
    .arity = 1,
    .domain = "fiubc", .infer = convert_infer, .vjp = convert_vjp, .vmap = convert_vmap, .ref = convert_ref,
    .sample = sample_convert,
};

/* ---- bitcast ---------------------------------------------------------------------------------------------------- */

static const tsr_type *bitcast_refuse(tsr_ctx *c, const tsr_type *x, tsr_dtype to, const char *why) {
    err_set(c, TSR_EINVAL, "bitcast: %s to %s: %s", type_text(c, x), tsr_dtype_name(to), why);
    return NULL;
}

static const tsr_type *bitcast_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    tsr_dtype to = draft_attr(d, ATTR_DTYPE)->dtype;
    NEED_TENSOR("bitcast", x);
    const tsr_dtype_info *f = tsr_dtype_of(x->dtype), *t = tsr_dtype_of(to);
    if (f->kind == TSR_KIND_BLOCK || t->kind == TSR_KIND_BLOCK)
        return bitcast_refuse(c, x, to, "block types have no bits of one element");
    if ((f->kind == TSR_KIND_COMPLEX) != (t->kind == TSR_KIND_COMPLEX))
        return bitcast_refuse(c, x, to, "complex numbers cast to complex numbers alone; use real and imag");
    if ((f->kind == TSR_KIND_BOOL) != (t->kind == TSR_KIND_BOOL))
        return bitcast_refuse(c, x, to, "bool has one bit; use convert");
    if (f->bits == t->bits) return type_with_dtype(c, x, to);
    if (f->bits > t->bits)
        return type_insert_axis(c, type_with_dtype(c, x, to), x->rank, tsr_extent_int(c, f->bits / t->bits));
    if (x->rank == 0 || !extent_is(x->extent[x->rank - 1], t->bits / f->bits))
        return bitcast_refuse(c, x, to,
            "the last axis must have as many elements as make one of the result; reshape first");
    return type_drop_axis(c, type_with_dtype(c, x, to), x->rank - 1);
}

static tsr_node *bitcast_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    return tsr_prim_bitcast(c, rule_batch(c, src[0], batched[0], size), n->type->dtype);
}

/* Storage is little endian and row-major (4-bit elements: low nibble first), so the bytes stay as they are. */
static tsr_status bitcast_ref(struct ref_call *r) {
    memcpy(r->out->p, r->in->p, ref_bytes(r->out));
    return TSR_OK;
}

tsr_node *tsr_prim_bitcast(tsr_ctx *c, tsr_node *x, tsr_dtype t) {
    if ((unsigned)t >= TSR_DTYPE_COUNT)
        return err_set(c, TSR_EINVAL, "bitcast: there is no dtype number %d", (int)t), tsr_poison(c);
    if (is_tensor(x) && x->type->dtype == t) return x;
    struct attr a = attr_dtype(ATTR_DTYPE, t);
    return form(c, TSR_OP_BITCAST, 1, &x, 1, &a, NULL);
}

const struct op_def op_BITCAST = {
    .name = "bitcast", .formula = "y has the bits of x", .spec = "StableHLO bitcast_convert", .cls = OP_MOVE,
    .arity = 1,
    .domain = "fiubc", .infer = bitcast_infer, .vjp = vjp_zero, .vmap = bitcast_vmap, .ref = bitcast_ref,
    .sample = sample_bitcast,
};

/* ---- iota ------------------------------------------------------------------------------------------------------- */

static const tsr_type *iota_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *t = d->want;
    int64_t axis = draft_int(d, ATTR_AXIS);
    if (!t || t->kind != TSR_TENSOR || !op_admits("fiuc", t->dtype)) {
        err_set(c, TSR_EINVAL, "iota: %s: it counts in floats, integers or complex numbers", t ? type_text(c, t)
            : "no type");
        return NULL;
    }
    return axes_check(c, "iota", "axis", 1, &axis, t->rank) ? t : NULL;
}

static tsr_node *iota_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)src, (void)batched;
    return rule_batch(c, n, false, size);
}

static tsr_status iota_ref(struct ref_call *r) {
    int64_t axis = node_int(r->node, ATTR_AXIS), s = step(r->out->dim, r->out->rank, (int)axis);
    for (int64_t i = 0; i < r->out->count; i++)
        ref_set(r->out, i, ref_convert((struct ref_val){.i = i / s % r->out->dim[axis]}, TSR_I64, r->out->dtype));
    return TSR_OK;
}

tsr_node *tsr_prim_iota(tsr_ctx *c, const tsr_type *t, int axis) {
    struct attr a = attr_int(ATTR_AXIS, axis);
    return t ? form(c, TSR_OP_IOTA, 0, NULL, 1, &a, t) : tsr_poison(c);
}

const struct op_def op_IOTA = {
    .name = "iota", .formula = "y[i] = i[axis]", .spec = "StableHLO iota", .cls = OP_MOVE, .arity = 0,
    .domain = "fiuc", .infer = iota_infer, .vjp = vjp_zero, .vmap = iota_vmap, .ref = iota_ref, .sample = sample_iota,
};

/* ---- broadcast -------------------------------------------------------------------------------------------------- */

static const tsr_type *broadcast_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *t = d->want;
    const struct attr *axes = draft_attr(d, ATTR_AXES);
    NEED_TENSOR("broadcast", x);
    NEED_TENSOR("broadcast", t);
    if (x->dtype != t->dtype || tsr_dtype_of(x->dtype)->kind == TSR_KIND_BLOCK) {
        err_set(c, TSR_EINVAL, "broadcast: %s to %s: the dtype stays the same, and block types are not broadcast; "
            "convert first", type_text(c, x), type_text(c, t));
        return NULL;
    }
    if (!axes_check(c, "broadcast", "axes", axes->n, axes->ints, t->rank)) return NULL;
    FOR_AXES(i, x) {
        const tsr_extent *to = t->extent[axes->ints[i]];
        if (!extent_is(x->extent[i], 1) &&
            !extent_require_equal(c, x->extent[i], to,
                "broadcast: %s to %s: axis %d has extent %s and goes to one of extent %s; it must be equal, or 1",
                type_text(c, x), type_text(c, t), i, extent_text(c, x->extent[i]), extent_text(c, to)))
            return NULL;
    }
    return t;
}

/* Sum over the axes that x does not have, or has once; then bring what is left into x's order and shape. */
static bool broadcast_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    const tsr_type *x = n->src[0]->type, *t = n->type;
    const int64_t *axes = node_ints(n, ATTR_AXES, NULL);
    int64_t sum[TSR_MAX_RANK], perm[TSR_MAX_RANK], at[TSR_MAX_RANK];
    int nsum = 0, kept = 0, np = 0;
    if (!want[0]) return true;
    FOR_AXES(a, t) {
        int from = -1;
        FOR_AXES(i, x) if (axes[i] == a) from = i;
        bool repeated = from < 0 || (extent_is(x->extent[from], 1) && !extent_is(t->extent[a], 1));
        if (repeated) sum[nsum++] = a;
        else at[from] = kept++;
        if (from >= 0 && repeated) at[from] = -1;
    }
    FOR_AXES(i, x) if (at[i] >= 0) perm[np++] = at[i];
    tsr_node *g = nsum ? tsr_prim_reduce(c, gout[0], TSR_REDUCE_SUM, nsum, sum) : gout[0];
    gsrc[0] = tsr_prim_reshape(c, tsr_prim_transpose(c, g, perm), x);
    return true;
}

static tsr_node *broadcast_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    int64_t axes[TSR_MAX_RANK + 1];
    const tsr_type *t = type_insert_axis(c, n->type, 0, size);
    axes_shift(0, (size_t)n->src[0]->type->rank, node_ints(n, ATTR_AXES, NULL), axes);
    return t ? tsr_prim_broadcast(c, rule_batch(c, src[0], batched[0], size), t, axes) : tsr_poison(c);
}

static tsr_status broadcast_ref(struct ref_call *r) {
    const int64_t *axes = node_ints(r->node, ATTR_AXES, NULL);
    int64_t at[TSR_MAX_RANK], from[TSR_MAX_RANK];
    for (int64_t i = 0; i < r->out->count; i++) {
        ref_unravel(r->out->rank, r->out->dim, i, at);
        for (int j = 0; j < r->in->rank; j++) from[j] = r->in->dim[j] == 1 ? 0 : at[axes[j]];
        ref_move(r->out, i, r->in, ref_ravel(r->in->rank, r->in->dim, from));
    }
    return TSR_OK;
}

tsr_node *tsr_prim_broadcast(tsr_ctx *c, tsr_node *x, const tsr_type *t, const int64_t *axes) {
    int64_t through[TSR_MAX_RANK];
    struct attr none = attr_ints(ATTR_AXES, 0, NULL);
    if (!t || tsr_is_poison(x)) return tsr_poison(c);
    if (!is_tensor(x)) return form(c, TSR_OP_BROADCAST, 1, &x, 1, &none, t);
    bool same = x->type == t;
    for (int i = 0; same && i < t->rank; i++) same = axes[i] == i;
    if (same) return x;
    int rank = x->type->rank;
    if (x->op == TSR_OP_BROADCAST && x->nsrc && axes_check(c, "broadcast", "axes", (size_t)rank, axes,
            t->kind == TSR_TENSOR ? t->rank : 0)) {
        /* a repeated literal stays one; so does a twice repeated tensor */
        const int64_t *inner = node_ints(x, ATTR_AXES, &rank);
        bool sound = true;
        FOR_AXES(i, x->type)
            sound = sound && (x->type->extent[i] == t->extent[axes[i]] || extent_is(x->type->extent[i], 1));
        if (sound) {
            for (int i = 0; i < rank; i++) through[i] = axes[inner[i]];
            return tsr_prim_broadcast(c, x->src[0], t, through);
        }
        rank = x->type->rank;
    }
    struct attr a = attr_ints(ATTR_AXES, (size_t)rank, axes);
    return form(c, TSR_OP_BROADCAST, 1, &x, 1, &a, t);
}

const struct op_def op_BROADCAST = {
    .name = "broadcast", .formula = "y[i] = x[i[axes]], extents of 1 repeated", .spec = "StableHLO broadcast_in_dim",
    .cls = OP_MOVE, .arity = 1,
    .domain = "fiubc", .infer = broadcast_infer, .vjp = broadcast_vjp, .vmap = broadcast_vmap, .ref = broadcast_ref,
    .sample = sample_broadcast,
};

/* ---- reshape ---------------------------------------------------------------------------------------------------- */

static const tsr_type *reshape_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *t = d->want;
    NEED_TENSOR("reshape", x);
    NEED_TENSOR("reshape", t);
    if (x->dtype != t->dtype) {
        err_set(c, TSR_EINVAL, "reshape: %s to %s: the dtype stays the same; convert with tsr_prim_convert",
            type_text(c, x), type_text(c, t));
        return NULL;
    }
    const tsr_extent *have = type_elements(c, x), *asked = type_elements(c, t);
    if (!have || !asked) return NULL;
    if (!extent_require_equal(c, have, asked,
        "reshape: %s to %s: %s elements do not fit %s; the number of elements must stay the same", type_text(c, x),
        type_text(c, t), extent_text(c, have), extent_text(c, asked)))
        return NULL;
    return t;
}

static bool reshape_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (want[0]) gsrc[0] = tsr_prim_reshape(c, gout[0], n->src[0]->type);
    return true;
}

static tsr_node *reshape_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    return tsr_prim_reshape(c, rule_batch(c, src[0], batched[0], size), type_insert_axis(c, n->type, 0, size));
}

static tsr_status reshape_ref(struct ref_call *r) {
    memcpy(r->out->p, r->in->p, ref_bytes(r->out));
    return TSR_OK;
}

tsr_node *tsr_prim_reshape(tsr_ctx *c, tsr_node *x, const tsr_type *t) {
    if (tsr_is_poison(x) || !t) return tsr_poison(c);
    if (x->type == t) return x;
    if (x->op == TSR_OP_RESHAPE && x->nsrc) return tsr_prim_reshape(c, x->src[0], t);
    if (is_full(x) && t->kind == TSR_TENSOR && type_elements(c, x->type) == type_elements(c, t))
        return tsr_prim_broadcast(c, x->src[0], t, NULL);
    return form(c, TSR_OP_RESHAPE, 1, &x, 0, NULL, t);
}

const struct op_def op_RESHAPE = {
    .name = "reshape", .formula = "y has the elements of x in row-major order", .spec = "StableHLO reshape",
    .cls = OP_MOVE, .arity = 1,
    .domain = "fiubc", .infer = reshape_infer, .vjp = reshape_vjp, .vmap = reshape_vmap, .ref = reshape_ref,
    .sample = sample_reshape,
};

/* ---- transpose -------------------------------------------------------------------------------------------------- */

static const tsr_type *transpose_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type;
    const int64_t *perm = draft_ints(d, ATTR_PERM);
    const tsr_extent *e[TSR_MAX_RANK];
    NEED_TENSOR("transpose", x);
    if (!axes_check(c, "transpose", "perm", (size_t)x->rank, perm, x->rank)) return NULL;
    if (tsr_dtype_of(x->dtype)->kind == TSR_KIND_BLOCK) {
        err_set(c, TSR_EINVAL, "transpose: %s: blocks lie along the last axis; convert to f32 first", type_text(c, x));
        return NULL;
    }
    FOR_AXES(i, x) e[i] = x->extent[perm[i]];
    return tsr_type_tensor(c, x->dtype, x->rank, e);
}

static bool transpose_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    const int64_t *perm = node_ints(n, ATTR_PERM, NULL);
    int64_t back[TSR_MAX_RANK];
    FOR_AXES(i, n->type) back[perm[i]] = i;
    if (want[0]) gsrc[0] = tsr_prim_transpose(c, gout[0], back);
    return true;
}

static tsr_node *transpose_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    int64_t perm[TSR_MAX_RANK + 1];
    axes_shift(0, (size_t)n->type->rank, node_ints(n, ATTR_PERM, NULL), perm);
    return tsr_prim_transpose(c, rule_batch(c, src[0], batched[0], size), perm);
}

static tsr_status transpose_ref(struct ref_call *r) {
    const int64_t *perm = node_ints(r->node, ATTR_PERM, NULL);
    int64_t at[TSR_MAX_RANK], from[TSR_MAX_RANK];
    for (int64_t i = 0; i < r->out->count; i++) {
        ref_unravel(r->out->rank, r->out->dim, i, at);
        for (int j = 0; j < r->out->rank; j++) from[perm[j]] = at[j];
        ref_move(r->out, i, r->in, ref_ravel(r->in->rank, r->in->dim, from));
    }
    return TSR_OK;
}

tsr_node *tsr_prim_transpose(tsr_ctx *c, tsr_node *x, const int64_t *perm) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    int rank = x->type->kind == TSR_TENSOR ? x->type->rank : 0;
    if (!axes_check(c, "transpose", "perm", (size_t)rank, perm, rank)) return tsr_poison(c);
    bool identity = is_tensor(x);
    for (int i = 0; i < rank; i++) identity = identity && perm[i] == i;
    if (identity) return x;
    int64_t both[TSR_MAX_RANK];
    bool twice = x->op == TSR_OP_TRANSPOSE && x->nsrc;
    for (int i = 0; twice && i < rank; i++) both[i] = node_ints(x, ATTR_PERM, NULL)[perm[i]];
    if (twice) return tsr_prim_transpose(c, x->src[0], both);
    struct attr a = attr_ints(ATTR_PERM, (size_t)rank, perm);
    return form(c, TSR_OP_TRANSPOSE, 1, &x, 1, &a, NULL);
}

const struct op_def op_TRANSPOSE = {
    .name = "transpose", .formula = "y[i] = x[j], j[perm[k]] = i[k]", .spec = "StableHLO transpose", .cls = OP_MOVE,
    .arity = 1,
    .domain = "fiubc", .infer = transpose_infer, .vjp = transpose_vjp, .vmap = transpose_vmap, .ref = transpose_ref,
    .sample = sample_transpose,
};
