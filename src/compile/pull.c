/* pull.c: the value of a node at an index, as a tile: the heart of fusion.
 *
 * A node that has memory and is not computed by the present cluster is loaded; everything else is computed here by the
 * rule of its op. Values are remembered by (node, index, guard) within the region of the program in which they are
 * visible, so a diamond in the graph is computed once. */
#include "compile/lower.h"

#include <string.h>

/* ---- literals ---- */

bool literal_is_splat(const tsr_node *n) {
    const struct attr *a = node_attr(n, ATTR_VALUE);
    const tsr_dtype_info *d = tsr_dtype_of(n->type->dtype);
    if (d->block != 1 || a->n < (size_t)d->bytes) return false;
    const char *p = a->bytes;
    for (size_t i = (size_t)d->bytes; i < a->n; i++)
        if (p[i] != p[i - (size_t)d->bytes]) return false;
    return true;
}

static tsr_tv complex_literal(struct kern *k, tsr_dtype t, const void *p) {
    double re, im;
    if (t == TSR_C64) {
        float v[2];
        memcpy(v, p, sizeof v);
        re = (double)v[0], im = (double)v[1];
    } else {
        double v[2];
        memcpy(v, p, sizeof v);
        re = v[0], im = v[1];
    }
    tsr_dtype real = dtype_real(t);
    return tsr_tile_elem2(k->p, TSR_S_COMPLEX, tsr_tile_float(k->p, real, re), tsr_tile_float(k->p, real, im));
}

tsr_tv pull_literal(struct kern *k, const tsr_node *n) {
    if (!literal_is_splat(n)) return TSR_TV_NONE;
    tsr_dtype t = n->type->dtype;
    const void *p = node_attr(n, ATTR_VALUE)->bytes;
    struct ref_tensor one = {.dtype = t, .count = 1, .p = (uint8_t *)p};
    if (dtype_is_complex(t)) return complex_literal(k, t, p);
    struct ref_val v = ref_get(&one, 0);
    if (dtype_is_float(t)) return tsr_tile_float(k->p, t, v.re);
    tsr_kind kind = tsr_dtype_of(t)->kind;
    return tsr_tile_int(k->p, t, kind == TSR_KIND_INT ? v.i : (int64_t)v.u);
}

/* ---- remembering ---- */

void pull_remember(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g, tsr_tv v) {
    struct memo m = {.node = n->pos, .x = x, .g = g, .frame = k->frame.id, .v = v};
    if (!vec_push(k->c, &k->memo, m)) return;
}

void pull_remember_whole(struct kern *k, const tsr_node *n, const struct index *x, tsr_tv v) {
    pull_remember(k, n, x, NULL, v);
    if (k->memo.n) k->memo.v[k->memo.n - 1].whole = true;
}

/* The same elements? A value computed whole may be asked for through another view of its axes: merged or split, and
 * splitting an index is not undone by merging it, so both ways are tried. */
static bool is_there(struct kern *k, const struct memo *m, const struct index *x) {
    if (!m->whole) return index_equal(m->x, x);
    return index_equal(m->x, index_view(k, x, m->x->rank, m->x->dim)) ||
        index_equal(index_view(k, m->x, x->rank, x->dim), x);
}

static tsr_tv recall(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    for (size_t i = k->memo.n; i-- > 0;) {
        const struct memo *m = &k->memo.v[i];
        if (m->node == n->pos && m->frame == k->frame.id && (m->g == g || m->whole) && is_there(k, m, x)) return m->v;
    }
    return TSR_TV_NONE;
}

/* ---- elementwise ---- */

/* Operands have the shape of the result, so its index serves them; a scalar operand has the empty index. */
static tsr_tv operand(struct kern *k, const tsr_node *n, int i, const struct index *x, const struct guard *g) {
    static const struct index empty;
    return pull_value(k, n->src[i], n->src[i]->type->rank == 0 ? &empty : x, g);
}

tsr_dtype dtype_wide(tsr_dtype t) { return t == TSR_I4 ? TSR_I8 : t == TSR_U4 ? TSR_U8 : t; }
tsr_tv pull_cast(struct kern *k, tsr_dtype t, tsr_tv v) { return tsr_tile_dtype(k->p, v) == t ? v : tsr_tile_cast(k->p,
    t, v); }

/* 4-bit integers compute in 8 bits and wrap. What looks at the upper bits of its first operand must not see copies of
 * the sign. */
static tsr_tv narrow_elem(struct kern *k, const tsr_node *n, tsr_tv *v) {
    tsr_dtype wide = dtype_wide(n->src[n->nsrc - 1]->type->dtype);
    for (int i = 0; i < n->nsrc; i++) v[i] = tsr_tile_cast(k->p, wide, v[i]);
    bool bits = n->op == TSR_OP_POPCNT || n->op == TSR_OP_CLZ || n->op == TSR_OP_SHR_LOGICAL;
    if (bits) v[0] = tsr_tile_elem2(k->p, TSR_S_AND, v[0], tsr_tile_int(k->p, wide, 15));
    tsr_tv r = tsr_tile_elem(k->p, (tsr_scalar)n->op, n->nsrc, v);
    if (n->op == TSR_OP_CLZ) r = tsr_tile_elem2(k->p, TSR_S_SUB, r, tsr_tile_int(k->p, wide, 4));
    return pull_cast(k, n->type->dtype, r);
}

static tsr_tv pull_elem(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    tsr_tv v[3];
    for (int i = 0; i < n->nsrc; i++) v[i] = operand(k, n, i, x, g);
    tsr_dtype t = n->src[n->nsrc - 1]->type->dtype;
    if (dtype_wide(t) != t && n->op != TSR_OP_SELECT) return narrow_elem(k, n, v);
    return tsr_tile_elem(k->p, (tsr_scalar)n->op, n->nsrc, v);
}

static tsr_tv pull_convert(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    return tsr_tile_cast(k->p, n->type->dtype, operand(k, n, 0, x, g));
}

static tsr_tv pull_bitcast(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    return tsr_tile_bitcast(k->p, n->type->dtype, operand(k, n, 0, x, g));
}

static tsr_tv pull_same(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    return operand(k, n, 0, x, g);
}

/* ---- the rules ---- */

static pull_rule *const rules[TSR_OP_COUNT] = {
    [TSR_OP_CONVERT] = pull_convert, [TSR_OP_BITCAST] = pull_bitcast, [TSR_OP_STOP_GRADIENT] = pull_same,
    [TSR_OP_IOTA] = pull_iota, [TSR_OP_BROADCAST] = pull_broadcast, [TSR_OP_RESHAPE] = pull_reshape,
    [TSR_OP_TRANSPOSE] = pull_transpose, [TSR_OP_SLICE] = pull_slice, [TSR_OP_PAD] = pull_pad,
        [TSR_OP_CONCAT] = pull_concat,
    [TSR_OP_REVERSE] = pull_reverse, [TSR_OP_DYNAMIC_SLICE] = pull_dynamic_slice,
    [TSR_OP_DYNAMIC_UPDATE_SLICE] = pull_dynamic_update_slice, [TSR_OP_GATHER] = pull_gather,
        [TSR_OP_REDUCE] = pull_reduce,
    [TSR_OP_ARGREDUCE] = pull_argreduce, [TSR_OP_REDUCE_WINDOW] = pull_reduce_window,
};

pull_rule *pull_rule_of(enum tsr_op op) { return op_is_elem(op) ? pull_elem : rules[op]; }

static bool from_memory(const struct kern *k, const tsr_node *n) {
    const struct low_node *at = &k->L->at[n->pos];
    return n->op == TSR_OP_PARAM || n->op == TSR_OP_CONST || n->op == TSR_OP_ITEM || (at->stored &&
        at->cluster != k->cluster);
}

static tsr_tv from_slot(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g, tsr_tv other) {
    int slot = lower_slot(k->L, n, 0);
    return slot < 0 ? TSR_TV_NONE : kern_load(k, slot, x, g, other);
}

tsr_tv pull_value(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    if (err_any(k->c)) return TSR_TV_NONE;
    tsr_tv v = recall(k, n, x, g);
    if (v != TSR_TV_NONE) return v;
    if (n->op == TSR_OP_CONST && literal_is_splat(n)) return pull_literal(k, n);
    struct tile_origin before = kern_origin(k, n);
    if (from_memory(k, n)) {
        v = from_slot(k, n, x, g, TSR_TV_NONE);
    } else {
        pull_rule *rule = pull_rule_of((enum tsr_op)n->op);
        if (!rule) TSR_BUG("a cluster pulls %s, which has no rule", op_name((enum tsr_op)n->op));
        v = rule(k, n, x, g);
    }
    k->p->origin = before;
    pull_remember(k, n, x, g, v);
    return v;
}

/* Whether elements that take no part are known to be zero: loads, and what keeps zeros. */
static bool zero_outside(const struct kern *k, tsr_tv v) {
    for (;;) {
        if (v == TSR_TV_NONE) return true;
        const struct tile_inst *in = &k->p->inst.v[k->p->value.v[v].inst];
        switch (in->op) {
        case TILE_CAST: case TILE_BROADCAST: v = tile_operands(k->p, in)[0]; break;
        case TILE_LOAD: return tile_operands(k->p, in)[TILE_BLK_VALUE] == TSR_TV_NONE;
        case TILE_GATHER: return tile_operands(k->p, in)[TILE_GS_VALUE] == TSR_TV_NONE;
        default: return false; /* in the dry run always: it may ask for more arguments, never for fewer */
        }
    }
}

/* n at x, with `other` (NONE: zero) where the guard `edge` alone does not hold. edge is part of g. */
tsr_tv pull_masked(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g,
    const struct guard *edge,
                   tsr_tv other) {
    unsigned axes = ix_axes(k, &edge->at);
    if (from_memory(k, n) && !(n->op == TSR_OP_CONST && literal_is_splat(n)) && (index_axes(k, x) & axes) == axes &&
        tsr_dtype_of(n->type->dtype)->kind != TSR_KIND_BLOCK && (other == TSR_TV_NONE || tsr_tile_shape(k->p, other,
            NULL) == 0))
        return from_slot(k, n, x, g, other);
    tsr_tv v = pull_value(k, n, x, g);
    if (v == TSR_TV_NONE) return v;
    int64_t e[TSR_TILE_MAX_RANK];
    int rank = tsr_tile_shape(k->p, v, e);
    bool varies = rank == k->frame.rank;
    for (int j = 0; j < k->frame.rank && varies; j++) varies = !(axes >> j & 1) || e[j] == k->frame.extent[j];
    tsr_dtype t = tsr_tile_dtype(k->p, v);
    if (other == TSR_TV_NONE && varies && zero_outside(k, v)) return v;
    if (other == TSR_TV_NONE) other = tsr_tile_int(k->p, t, 0);
    return tsr_tile_elem3(k->p, TSR_S_SELECT, kern_holds(k, edge), v, other);
}

/* ---- conditions ---- */

static tsr_tv both(struct kern *k, tsr_tv a, tsr_tv b) { return a == TSR_TV_NONE ? b : tsr_tile_elem2(k->p, TSR_S_AND,
    a, b); }

void pull_within(struct kern *k, const struct guard **g, tsr_tv *cond, const struct ix *at, const tsr_extent *n) {
    const struct guard *more = kern_guard(k, *g, at, n, false);
    if (more == *g) return;
    *g = more;
    *cond = both(k, *cond, kern_holds(k, more));
}

struct ix pull_between(struct kern *k, const struct ix *at, int64_t step, tsr_tv *cond) {
    tsr_tv v = kern_ix(k, at), s = kern_int(k, step);
    *cond = both(k, *cond, tsr_tile_elem2(k->p, TSR_S_EQ, tsr_tile_elem2(k->p, TSR_S_REM, v, s), kern_int(k, 0)));
    return kern_scalar_ix(k, tsr_tile_elem2(k->p, TSR_S_DIV, v, s));
}

tsr_tv pull_where(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g, tsr_tv cond,
    bool guarded,
                  tsr_tv other) {
    if (cond == TSR_TV_NONE) return pull_value(k, n, x, g);
    bool splat = n->op == TSR_OP_CONST && literal_is_splat(n),
        block = tsr_dtype_of(n->type->dtype)->kind == TSR_KIND_BLOCK;
    if (guarded && from_memory(k, n) && !splat && !block && tsr_tile_shape(k->p, other, NULL) == 0) return from_slot(k,
        n, x, g, other);
    return tsr_tile_elem3(k->p, TSR_S_SELECT, cond, pull_value(k, n, x, g), other);
}
