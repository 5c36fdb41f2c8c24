/* build_elem.c: promotion, broadcasting, and the elementwise builders of ops.h.
 *
 * The primitives are strict; this file is where a person's x + 1 becomes operands of one type. The promotion table is
 * in ops.h. */
#include "graph/build.h"

/* ---- promotion ---- */

static int order_of(tsr_dtype t) { /* bool < integer < float < complex */
    switch (tsr_dtype_of(t)->kind) {
    case TSR_KIND_BOOL: return 0;
    case TSR_KIND_INT:
    case TSR_KIND_UINT: return 1;
    case TSR_KIND_FLOAT: return 2;
    case TSR_KIND_COMPLEX: return 3;
    case TSR_KIND_BLOCK: break;
    }
    return 4;
}

static tsr_dtype promote_ints(tsr_dtype a, tsr_dtype b) {
    const tsr_dtype_info *p = tsr_dtype_of(a), *q = tsr_dtype_of(b);
    if (p->kind == q->kind) return p->bits >= q->bits ? a : b;
    if (p->kind == TSR_KIND_UINT) return promote_ints(b, a);
    if (p->bits > q->bits) return a; /* a signed one holds every value of a narrower unsigned one */
    return q->bits < 8 ? TSR_I8 : q->bits < 16 ? TSR_I16 : q->bits < 32 ? TSR_I32 : TSR_I64;
}

static tsr_dtype promote_floats(tsr_dtype a, tsr_dtype b) {
    int x = tsr_dtype_of(a)->bits, y = tsr_dtype_of(b)->bits;
    if (x != y) return x > y ? a : b;
    return a == b ? a : x == 8 ? TSR_F16 : TSR_F32;
}

tsr_dtype tsr_promote(tsr_dtype a, tsr_dtype b) {
    int p = order_of(a), q = order_of(b);
    if (a == b) return a;
    if (p > q) return tsr_promote(b, a);
    if (q == 1 && p == 1) return promote_ints(a, b);
    if (q == 2 && p == 2) return promote_floats(a, b);
    if (q == 3 && p >= 2) return a == TSR_F64 || a == TSR_C128 || b == TSR_C128 ? TSR_C128 : TSR_C64;
    return b;
}

/* Rank-0 operands do not widen one with axes of the same or a higher kind. */
static tsr_dtype promote_nodes(int n, tsr_node *const *x) {
    tsr_dtype with = TSR_BOOL, without = TSR_BOOL;
    bool axes = false;
    for (int i = 0; i < n; i++) {
        tsr_dtype *at = x[i]->type->rank ? &with : &without;
        *at = tsr_promote(*at, x[i]->type->dtype);
        axes |= x[i]->type->rank > 0;
    }
    return axes && order_of(with) >= order_of(without) ? with : tsr_promote(with, without);
}

tsr_dtype build_float(tsr_dtype t) { return order_of(t) < 2 ? TSR_F32 : t; }
tsr_dtype build_wide(tsr_dtype t) { return order_of(t) == 2 && tsr_dtype_of(t)->bits < 32 ? TSR_F32 : t; }

/* ---- errors and axes ---- */

tsr_node *build_fail(tsr_ctx *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_setv(c, TSR_EINVAL, fmt, ap);
    va_end(ap);
    return tsr_poison(c);
}

bool build_bad(tsr_ctx *c, int n, tsr_node *const *x) {
    for (int i = 0; i < n; i++) {
        if (!x[i]) err_set(c, TSR_EINVAL, "operand %d is NULL", i);
        if (tsr_is_poison(x[i])) return true;
        if (x[i]->type->kind != TSR_TENSOR) return build_fail(c,
                                                              "operand %d is not a tensor; take an item of the tuple "
                                                            "(tsr_item)", i), true;
    }
    return false;
}

int build_axis_in(tsr_ctx *c, const char *what, int rank, int axis) {
    if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
    err_set(c, TSR_EINVAL, "%s: axis %d, but there are %d axes (%d..%d)", what, axis, rank, -rank, rank - 1);
    return -1;
}

int build_axis(tsr_ctx *c, const char *what, const tsr_node *x, int axis) {
    if (axis >= -x->type->rank && axis < x->type->rank) return axis < 0 ? axis + x->type->rank : axis;
    err_set(c, TSR_EINVAL, "%s: axis %d of a %s, which has the axes %d..%d", what, axis, type_text(c, x->type),
            -x->type->rank, x->type->rank - 1);
    return -1;
}

/* ---- broadcasting ---- */

/* Can two extents meet? The one they meet in. */
static const tsr_extent *meet(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) {
    if (a == b || extent_is(b, 1)) return a;
    if (extent_is(a, 1)) return b;
    int64_t v;
    bool fixed = tsr_extent_is_int(a, NULL) && tsr_extent_is_int(b, &v);
    if (fixed || !extent_require_equal(c, a, b, "broadcasting %s with %s", extent_text(c, a), extent_text(c, b))) return
        NULL;
    return tsr_extent_is_int(b, NULL) ? b : a;
}

bool build_shape(tsr_ctx *c, const char *what, int n, tsr_node *const *x, int *rank, const tsr_extent **extent) {
    const tsr_extent *one = tsr_extent_int(c, 1);
    *rank = 0;
    if (!one) return false;
    for (int i = 0; i < n; i++)
        if (x[i]->type->rank > *rank) *rank = x[i]->type->rank;
    for (int k = 0; k < *rank; k++) extent[k] = one;
    for (int i = 0; i < n; i++) {
        int front = *rank - x[i]->type->rank;
        for (int k = front; k < *rank; k++) {
            const tsr_extent *e = meet(c, extent[k], x[i]->type->extent[k - front]);
            if (!e) return build_fail(c,
                                      "%s: %s does not broadcast with the operands before it: axis %d from the end has "
                                      "%s there and %s here; "
                                      "extents must be equal or 1", what, type_text(c, x[i]->type), *rank - k,
                                          extent_text(c, extent[k]),
                                      extent_text(c, x[i]->type->extent[k - front])), false;
            extent[k] = e;
        }
    }
    return true;
}

tsr_node *build_broadcast(tsr_ctx *c, tsr_node *x, int rank, const tsr_extent *const *extent) {
    if (tsr_is_poison(x)) return tsr_poison(c);
    const tsr_type *t = tsr_type_tensor(c, x->type->dtype, rank, extent);
    int64_t axes[TSR_MAX_RANK];
    if (!t || t == x->type) return t ? x : tsr_poison(c);
    for (int i = 0; i < x->type->rank; i++) axes[i] = rank - x->type->rank + i;
    return tsr_prim_broadcast(c, x, t, axes);
}

bool build_meet(tsr_ctx *c, const char *what, int n, tsr_node **x) {
    int rank;
    const tsr_extent *extent[TSR_MAX_RANK];
    if (build_bad(c, n, x) || !build_shape(c, what, n, x, &rank, extent)) return false;
    tsr_dtype t = promote_nodes(n, x);
    for (int i = 0; i < n; i++) {
        x[i] = build_broadcast(c, tsr_cast(c, x[i], t), rank, extent);
        if (tsr_is_poison(x[i])) return false;
    }
    return true;
}

tsr_node *tsr_broadcast_to(tsr_ctx *c, tsr_node *x, int rank, const tsr_extent *const *extent) {
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    if (rank < x->type->rank || rank > TSR_MAX_RANK)
        return build_fail(c, "broadcast_to: %s to %d axes", type_text(c, x->type), rank);
    return build_broadcast(c, x, rank, extent);
}

tsr_node *tsr_broadcast_like(tsr_ctx *c, tsr_node *x, const tsr_node *like) {
    if (tsr_is_poison(like)) return tsr_poison(c);
    return tsr_broadcast_to(c, x, like->type->rank, like->type->extent);
}

/* ---- elementwise ---- */

tsr_node *tsr_cast(tsr_ctx *c, tsr_node *x, tsr_dtype t) {
    if (tsr_is_poison(x) || x->type->dtype == t) return tsr_is_poison(x) ? tsr_poison(c) : x;
    return tsr_prim_convert(c, x, t);
}

static tsr_node *unary(tsr_ctx *c, tsr_scalar fn, tsr_node *x, bool needs_float) {
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    return tsr_prim1(c, fn, needs_float ? tsr_cast(c, x, build_float(x->type->dtype)) : x);
}

static tsr_node *binary(tsr_ctx *c, tsr_scalar fn, const char *what, tsr_node *x, tsr_node *y, bool needs_float) {
    tsr_node *in[2] = {x, y};
    if (!build_meet(c, what, 2, in)) return tsr_poison(c);
    tsr_dtype t = needs_float ? build_float(in[0]->type->dtype) : in[0]->type->dtype;
    return tsr_prim2(c, fn, tsr_cast(c, in[0], t), tsr_cast(c, in[1], t));
}

#define X(name, fn) tsr_node *tsr_##name(tsr_ctx *c, tsr_node *x) { return unary(c, TSR_S_##fn, x, false); }
TSR_UNARY_LIST(X)
#undef X
#define X(name, fn) tsr_node *tsr_##name(tsr_ctx *c, tsr_node *x) { return unary(c, TSR_S_##fn, x, true); }
TSR_UNARY_FLOAT_LIST(X)
#undef X
#define X(name, fn) \
    tsr_node *tsr_##name(tsr_ctx *c, tsr_node *x, tsr_node *y) { return binary(c, TSR_S_##fn, #name, x, y, false); }
TSR_BINARY_LIST(X)
#undef X
#define X(name, fn) \
    tsr_node *tsr_##name(tsr_ctx *c, tsr_node *x, tsr_node *y) { return binary(c, TSR_S_##fn, #name, x, y, true); }
TSR_BINARY_FLOAT_LIST(X)
#undef X

tsr_node *tsr_num(tsr_ctx *c, const tsr_node *like, double v) {
    return tsr_is_poison(like) ? tsr_poison(c) : tsr_scalar_float(c, like->type->dtype, v);
}

tsr_node *build_num2(tsr_ctx *c, tsr_scalar fn, tsr_node *x, double v) {
    return tsr_is_poison(x) ? tsr_poison(c) : tsr_prim2(c, fn, x, tsr_full(c, x->type, v));
}

tsr_node *tsr_mod(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    tsr_node *in[2] = {x, y};
    if (!build_meet(c, "mod", 2, in)) return tsr_poison(c);
    tsr_node *r = tsr_prim2(c, TSR_S_REM, in[0], in[1]), *zero = rule_full_like(c, r, 0);
    tsr_node *opposite = tsr_prim2(c, TSR_S_NE, tsr_prim2(c, TSR_S_LT, r, zero), tsr_prim2(c, TSR_S_LT, in[1], zero));
    tsr_node *shift = tsr_prim2(c, TSR_S_AND, opposite, tsr_prim2(c, TSR_S_NE, r, zero));
    return tsr_prim3(c, TSR_S_SELECT, shift, tsr_prim2(c, TSR_S_ADD, r, in[1]), r);
}

tsr_node *tsr_floordiv(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    tsr_node *in[2] = {x, y};
    if (!build_meet(c, "floordiv", 2, in)) return tsr_poison(c);
    if (dtype_is_float(in[0]->type->dtype)) return tsr_floor(c, tsr_prim2(c, TSR_S_DIV, in[0], in[1]));
    return tsr_prim2(c, TSR_S_DIV, tsr_prim2(c, TSR_S_SUB, in[0], tsr_mod(c, in[0], in[1])), in[1]);
}

tsr_node *tsr_square(tsr_ctx *c, tsr_node *x) { return tsr_mul(c, x, x); }

tsr_node *tsr_reciprocal(tsr_ctx *c, tsr_node *x) {
    if (build_bad(c, 1, &x)) return tsr_poison(c);
    x = tsr_cast(c, x, build_float(x->type->dtype));
    return tsr_prim2(c, TSR_S_DIV, rule_full_like(c, x, 1), x);
}

tsr_node *tsr_where(tsr_ctx *c, tsr_node *cond, tsr_node *x, tsr_node *y) {
    tsr_node *in[3] = {cond, x, y};
    int rank;
    const tsr_extent *extent[TSR_MAX_RANK];
    if (build_bad(c, 3, in)) return tsr_poison(c);
    if (cond->type->dtype != TSR_BOOL) return build_fail(c,
                                                         "where: the condition is %s, not bool; compare it (tsr_ne "
                                                         "with 0)", type_text(c, cond->type));
    if (!build_shape(c, "where", 3, in, &rank, extent)) return tsr_poison(c);
    tsr_dtype t = promote_nodes(2, in + 1);
    for (int i = 0; i < 3; i++) in[i] = build_broadcast(c, i ? tsr_cast(c, in[i], t) : in[i], rank, extent);
    return tsr_prim_elem(c, TSR_S_SELECT, 3, in);
}

tsr_node *tsr_clip(tsr_ctx *c, tsr_node *x, double lo, double hi) {
    return tsr_prim3(c, TSR_S_CLAMP, tsr_num(c, x, lo), x, tsr_num(c, x, hi));
}

tsr_node *tsr_zeros(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim) {
    const tsr_type *type = tsr_type_dims(c, t, rank, dim);
    return type ? tsr_full(c, type, 0) : tsr_poison(c);
}

tsr_node *tsr_ones(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim) {
    const tsr_type *type = tsr_type_dims(c, t, rank, dim);
    return type ? tsr_full(c, type, 1) : tsr_poison(c);
}

tsr_node *tsr_zeros_like(tsr_ctx *c, const tsr_node *x) { return rule_full_like(c, x, 0); }
tsr_node *tsr_ones_like(tsr_ctx *c, const tsr_node *x) { return rule_full_like(c, x, 1); }
