/* simplify.c: exact identities. Nothing here changes a bit of any result.
 *
 * Movement of movement becomes one movement, movement of a splat literal is the literal, conversions that lose nothing
 * on the way are left out, neutral operands fall away where IEEE 754 says so (x * 1, x / 1, x - 0, but not x + 0, which
 * turns -0 into 0, for floats), and arithmetic on splat literals whose result is rounded once is done here. Equal nodes
 * become one by interning, and what nothing uses is left behind, since a rewritten fn holds what its results reach. */
#include "compile/lower.h"

#include <string.h>

/* ---- splats: literals of one value, perhaps broadcast ---- */

/* The literal behind a splat, or NULL. */
static const tsr_node *splat(const tsr_node *n) {
    if (n->op == TSR_OP_BROADCAST) n = n->src[0];
    return n->op == TSR_OP_CONST && literal_is_splat(n) ? n : NULL;
}

static struct ref_val splat_value(const tsr_node *literal) {
    struct ref_tensor t = {.dtype = literal->type->dtype, .count = 1,
                           .p = (uint8_t *)node_attr(literal, ATTR_VALUE)->bytes};
    return ref_get(&t, 0);
}

static tsr_node *make_splat(tsr_ctx *c, const tsr_type *t, const void *element) {
    tsr_node *one = tsr_const(c, tsr_type_tensor(c, t->dtype, 0, NULL), element);
    return t->rank ? tsr_prim_broadcast(c, one, t, NULL) : one;
}

/* x is a splat of this number (in every component that its dtype has). */
static bool is_number(const tsr_node *x, int64_t v) {
    const tsr_node *s = splat(x);
    if (!s) return false;
    struct ref_val r = splat_value(s);
    switch (tsr_dtype_of(s->type->dtype)->kind) {
    case TSR_KIND_FLOAT: return r.re == (double)v && !(v == 0 && __builtin_signbit(r.re));
    case TSR_KIND_COMPLEX: return false; /* multiplication by 1 + 0i may still change signs of zeros */
    case TSR_KIND_INT: return r.i == v;
    default: return r.u == (uint64_t)v;
    }
}

/* ---- elementwise ---- */

static bool same_shape(const tsr_node *x, const tsr_node *n) { return x->type == n->type; }
static bool is_integer(const tsr_node *n) { return dtype_is_int(n->type->dtype); }

/* The value on which fn is neutral, on the right and (both) on the left; ints: for integers only. */
static const struct neutral { tsr_scalar fn; int64_t value; bool left, ints; } neutral[] = {
    {TSR_S_MUL, 1, true, false}, {TSR_S_DIV, 1, false, false}, {TSR_S_SUB, 0, false, false}, {TSR_S_ADD, 0, true, true},
    {TSR_S_OR, 0, true, true},   {TSR_S_XOR, 0, true, true},   {TSR_S_SHL, 0, false, true},  {TSR_S_SHR, 0, false,
        true},
    {TSR_S_SHR_LOGICAL, 0, false, true},
};

static tsr_node *drop_neutral(const tsr_node *n, tsr_node *const *src) {
    for (size_t i = 0; i < sizeof neutral / sizeof *neutral; i++) {
        const struct neutral *r = &neutral[i];
        if (r->fn != (tsr_scalar)n->op || (r->ints && !is_integer(n))) continue;
        if (is_number(src[1], r->value) && same_shape(src[0], n)) return src[0];
        if (r->left && is_number(src[0], r->value) && same_shape(src[1], n)) return src[1];
    }
    return NULL;
}

/* One rounding in f64 and one to the dtype is one rounding to the dtype for these: 53 bits are more than 2 * 24 + 1. */
static bool folds(const tsr_node *n) {
    static const bool exact[TSR_SCALAR_COUNT] = {
        [TSR_S_NEG] = 1, [TSR_S_ABS] = 1, [TSR_S_ADD] = 1, [TSR_S_SUB] = 1, [TSR_S_MUL] = 1, [TSR_S_DIV] = 1,
            [TSR_S_NOT] = 1,
        [TSR_S_AND] = 1, [TSR_S_OR] = 1, [TSR_S_XOR] = 1, [TSR_S_EQ] = 1, [TSR_S_NE] = 1, [TSR_S_LT] = 1,
            [TSR_S_LE] = 1,
        [TSR_S_GT] = 1, [TSR_S_GE] = 1, [TSR_S_MAX] = 1, [TSR_S_MIN] = 1};
    tsr_dtype t = n->src[n->nsrc - 1]->type->dtype;
    return exact[n->op] && !dtype_is_complex(t) && !dtype_is_complex(n->type->dtype) && tsr_dtype_of(t)->block == 1;
}

static tsr_node *fold(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    struct ref_val v[3];
    for (int i = 0; i < n->nsrc; i++) {
        const tsr_node *s = splat(src[i]);
        if (!s) return NULL;
        v[i] = splat_value(s);
    }
    uint8_t bytes[16] = {0};
    struct ref_tensor out = {.dtype = n->type->dtype, .count = 1, .p = bytes};
    ref_set(&out, 0, ref_scalar((tsr_scalar)n->op, src[n->nsrc - 1]->type->dtype, v));
    return make_splat(c, n->type, bytes);
}

static tsr_node *elementwise(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    if (folds(n)) {
        tsr_node *r = fold(c, n, src);
        if (r) return r;
    }
    if ((n->op == TSR_OP_NEG || n->op == TSR_OP_NOT) && src[0]->op == n->op) return src[0]->src[0];
    if (n->op == TSR_OP_SELECT && src[1] == src[2]) return src[1];
    if (n->op == TSR_OP_SELECT && splat(src[0])) return splat_value(splat(src[0])).u ? src[1] : src[2];
    return n->nsrc == 2 ? drop_neutral(n, src) : NULL;
}

/* ---- conversions ---- */

/* Every value of `from` is a value of `to`. */
static bool widens(tsr_dtype from, tsr_dtype to) {
    const tsr_dtype_info *a = tsr_dtype_of(from), *b = tsr_dtype_of(to);
    if (a->kind == TSR_KIND_FLOAT && b->kind == TSR_KIND_FLOAT)
        return from == to || to == TSR_F64 || (to == TSR_F32 && a->bits < 32);
    if (a->kind == b->kind && (a->kind == TSR_KIND_INT || a->kind == TSR_KIND_UINT)) return b->bits >= a->bits;
    return false;
}

static tsr_node *convert(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    if (src[0]->type == n->type) return src[0];
    if (src[0]->op != TSR_OP_CONVERT) return NULL;
    tsr_node *x = src[0]->src[0];
    if (tsr_dtype_of(x->type->dtype)->kind == TSR_KIND_BLOCK || !widens(x->type->dtype,
        src[0]->type->dtype)) return NULL;
    return x->type == n->type ? x : tsr_prim_convert(c, x, n->type->dtype);
}

/* ---- movement ---- */

static tsr_node *literal_moved(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    const tsr_node *s = splat(src[0]);
    return s ? make_splat(c, n->type, node_attr(s, ATTR_VALUE)->bytes) : NULL;
}

static int uses(const tsr_node *n) {
    const tsr_fn *f = n->owner;
    int count = 0;
    for (size_t i = 0; i < f->result.n; i++) count += f->result.v[i] == n;
    for (size_t i = (size_t)n->pos + 1; i < f->node.n; i++)
        for (int j = 0; j < f->node.v[i]->nsrc; j++) count += f->node.v[i]->src[j] == n;
    return count;
}

/* (a b)^T = b^T a^T: the same products in the same order, written where they belong. */
static tsr_node *transpose_of_dot(tsr_ctx *c, const tsr_node *n, const tsr_node *dot) {
    int nb, nk, left, right;
    const int64_t *lb = node_ints(dot, ATTR_LHS_BATCH, &nb), *rb = node_ints(dot, ATTR_RHS_BATCH, NULL);
    const int64_t *lk = node_ints(dot, ATTR_LHS_CONTRACT, &nk), *rk = node_ints(dot, ATTR_RHS_CONTRACT, NULL);
    const int64_t *perm = node_ints(n, ATTR_PERM, NULL);
    left = dot->src[0]->type->rank - nb - nk, right = dot->src[1]->type->rank - nb - nk;
    for (int i = 0; i < n->type->rank; i++) {
        int from = i < nb ? i : i < nb + right ? i + left : i - right;
        if (perm[i] != from) return NULL;
    }
    if (uses(n->src[0]) != 1) return NULL;
    tsr_dot_dims d = {nb, nk, rb, lb, rk, lk};
    return tsr_prim_dot(c, dot->src[1], dot->src[0], &d, dot->type->dtype);
}

static tsr_node *transpose(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    const int64_t *perm = node_ints(n, ATTR_PERM, NULL);
    bool same = true;
    for (int i = 0; i < n->type->rank; i++) same = same && perm[i] == i;
    if (same) return src[0];
    if (src[0]->op == TSR_OP_DOT) return transpose_of_dot(c, n, src[0]);
    if (src[0]->op != TSR_OP_TRANSPOSE) return literal_moved(c, n, src);
    const int64_t *inner = node_ints(src[0], ATTR_PERM, NULL);
    int64_t both[TSR_MAX_RANK];
    same = true;
    for (int i = 0; i < n->type->rank; i++) both[i] = inner[perm[i]], same = same && both[i] == i;
    return same ? src[0]->src[0] : tsr_prim_transpose(c, src[0]->src[0], both);
}

static tsr_node *reshape(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    tsr_node *x = src[0]->op == TSR_OP_RESHAPE ? src[0]->src[0] : src[0];
    if (x->type == n->type) return x;
    return x != src[0] ? tsr_prim_reshape(c, x, n->type) : literal_moved(c, n, src);
}

static tsr_node *broadcast(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    const int64_t *axes = node_ints(n, ATTR_AXES, NULL);
    bool same = src[0]->type == n->type;
    for (int i = 0; i < src[0]->type->rank; i++) same = same && axes[i] == i;
    if (same) return src[0];
    if (src[0]->op != TSR_OP_BROADCAST) return NULL;
    const int64_t *inner = node_ints(src[0], ATTR_AXES, NULL);
    tsr_node *x = src[0]->src[0];
    int64_t both[TSR_MAX_RANK];
    for (int i = 0; i < x->type->rank; i++) both[i] = axes[inner[i]];
    return tsr_prim_broadcast(c, x, n->type, both);
}

static tsr_node *slice(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    return src[0]->type == n->type ? src[0] : literal_moved(c, n, src); /* nothing is cut off: every start is 0 */
}

static tsr_node *reverse(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    int count, inner;
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    if (src[0]->op != TSR_OP_REVERSE) return literal_moved(c, n, src);
    const int64_t *before = node_ints(src[0], ATTR_AXES, &inner);
    if (count != inner || memcmp(axes, before, (size_t)count * sizeof *axes)) return NULL;
    return src[0]->src[0];
}

static tsr_node *concat(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    (void)c;
    return n->nsrc == 1 ? src[0] : NULL;
}

static rewrite_rule *const rules[TSR_OP_COUNT] = {
    [TSR_OP_CONVERT] = convert, [TSR_OP_TRANSPOSE] = transpose, [TSR_OP_RESHAPE] = reshape,
    [TSR_OP_BROADCAST] = broadcast, [TSR_OP_SLICE] = slice, [TSR_OP_REVERSE] = reverse, [TSR_OP_CONCAT] = concat,
};

static tsr_node *simplify(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    if (op_is_elem((enum tsr_op)n->op)) return elementwise(c, n, src);
    return rules[n->op] ? rules[n->op](c, n, src) : NULL;
}

tsr_fn *pass_simplify(tsr_ctx *c, const tsr_fn *f) { return pass_rewrite(c, f, simplify); }
