/* import_shape.c: shape values: what small integer tensors are as extents.
 *
 * Programs with dynamic shapes compute them: get_dimension_size and integer arguments, through arithmetic, concatenate
 * and select, into the shape operand of a dynamic_* operation. Beside the node that computes such a tensor, an
 * imp_value of at most 64 integers or truth values keeps each element as an extent expression where that can be said
 * (imp_value.shape_value; single elements may be unknown). imp_shape_values works them out after every operation;
 * nothing depends on them until imp_extents asks for the extents of an operand.
 *
 * Truth is 0 or 1, so compare, and, or, not and select are arithmetic too: a < b is max(min(b - a, 1), 0). With bounds
 * of the symbols most of it folds. An integer argument is a symbol of its own (arg0, arg1[2]), which takes its value
 * from the argument when the fn runs, but only if an extent is made of it (tsr_fn_size). Scalars of which extents are
 * made are not negative (JAX's dimension arguments); elements of vectors, which may be starts of slices, can be. As
 * sizes, integers are taken not to overflow; constants wrap as their types do. */
#include <stdio.h>
#include <string.h>

#include "formats/stablehlo/import_shape.h"
#include "graph/interp.h"
#include "graph/node.h"

enum { SHAPE_MAX = 64, PARAM_MAX = 8, RUNTIME_MAX = 2048, FOLD_NODES = 256, FOLD_ELEMENTS = 4096 };
typedef const tsr_extent *ext;

/* ---- extents without errors: what cannot be said is NULL --------------------------------------------------------- */

static ext quiet(struct imp *p, ext e) {
    if (!e && err_any(p->c) && tsr_error_status(p->c) != TSR_ENOMEM) tsr_error_clear(p->c);
    return e;
}
static ext number(struct imp *p, int64_t v) { return tsr_extent_int(p->c, v); }
static ext add(struct imp *p, ext a, ext b) { return quiet(p, tsr_extent_add(p->c, a, b)); }
static ext sub(struct imp *p, ext a, ext b) { return quiet(p, tsr_extent_sub(p->c, a, b)); }
static ext mul(struct imp *p, ext a, ext b) { return quiet(p, tsr_extent_mul(p->c, a, b)); }
static ext min(struct imp *p, ext a, ext b) { return quiet(p, tsr_extent_min(p->c, a, b)); }
static ext max(struct imp *p, ext a, ext b) { return quiet(p, tsr_extent_max(p->c, a, b)); }
static ext negative(struct imp *p, ext a) { return sub(p, number(p, 0), a); }
static ext not(struct imp *p, ext a) { return sub(p, number(p, 1), a); }
static ext clamp(struct imp *p, ext low, ext x, ext high) { return min(p, max(p, x, low), high); }
static ext truth(struct imp *p, ext a) { return clamp(p, number(p, 0), a, number(p, 1)); } /* of a >= 0, or a > 0 */
static ext magnitude(struct imp *p, ext a) { return max(p, a, negative(p, a)); }

/* a / b and a rem b, both towards zero, for b >= 0; b that may be 0 is taken for 1 then. */
static ext divisor(struct imp *p, ext b) { return b && b->lo >= 0 && b->hi > 0 ? max(p, b, number(p, 1)) : NULL; }
static ext quotient(struct imp *p, ext a, ext b) {
    ext zero = number(p, 0);
    if (!a || !(b = divisor(p, b))) return NULL;
    ext up = quiet(p, tsr_extent_floordiv(p->c, max(p, a, zero), b));
    return sub(p, up, quiet(p, tsr_extent_floordiv(p->c, max(p, negative(p, a), zero), b)));
}
static ext remainder_of(struct imp *p, ext a, ext b) {
    if (!a || !(b = divisor(p, b))) return NULL;
    if (a->lo >= 0) return quiet(p, tsr_extent_mod(p->c, a, b));
    if (a->hi <= 0) return negative(p, quiet(p, tsr_extent_mod(p->c, negative(p, a), b)));
    return sub(p, a, mul(p, quotient(p, a, b), b));
}
/* Downwards. */
static ext floor_of(struct imp *p, ext a, ext b) {
    if (a->hi <= 0) return negative(p, quiet(p, tsr_extent_ceildiv(p->c, negative(p, a), b)));
    return quiet(p, tsr_extent_floordiv(p->c, a, b));
}

static ext signum(struct imp *p, ext a) { return clamp(p, number(p, -1), a, number(p, 1)); }

static ext compared(struct imp *p, const char *how, ext a, ext b) {
    if (!how || !a || !b) return NULL;
    if (!strcmp(how, "LT")) return truth(p, sub(p, b, a));
    if (!strcmp(how, "GT")) return truth(p, sub(p, a, b));
    if (!strcmp(how, "LE")) return not(p, truth(p, sub(p, a, b)));
    if (!strcmp(how, "GE")) return not(p, truth(p, sub(p, b, a)));
    ext differ = truth(p, magnitude(p, sub(p, a, b)));
    return !strcmp(how, "EQ") ? not(p, differ) : !strcmp(how, "NE") ? differ : NULL;
}

/* Is e the truth of x != 0 (min(x, 1)), of an x >= 0? Gives x. */
static ext of_nonzero(ext e) {
    if (!e || e->op != EXT_MIN || e->n != 2 || !(extent_is(e->arg[0], 1) || extent_is(e->arg[1], 1))) return NULL;
    ext x = e->arg[extent_is(e->arg[0], 1)];
    return x->lo >= 0 ? x : NULL;
}

/* Both are true; x == 0 and x mod y != 0 are not. */
static ext both(struct imp *p, ext a, ext b) {
    ext x = of_nonzero(not(p, a)), m = of_nonzero(b);
    if (x && m && m->op == EXT_MOD && m->arg[0] == x) return number(p, 0);
    return mul(p, a, b);
}

/* which ? a : b. Where that is 1 for b = 0, it is max(b, 1); where it is -floor(x / y) less one for a rest,
 * -ceil(x / y). */
static ext chosen(struct imp *p, ext which, ext a, ext b) {
    int64_t v;
    if (a && a == b) return a;
    if (tsr_extent_is_int(which, &v)) return v ? a : b;
    if (extent_is(a, 1) && b && of_nonzero(not(p, which)) == b) return max(p, b, a);
    ext rest = of_nonzero(which), less = sub(p, a, b);
    if (rest && rest->op == EXT_MOD && extent_is(less, -1) &&
        add(p, b, quiet(p, tsr_extent_floordiv(p->c, rest->arg[0], rest->arg[1]))) == number(p, 0))
        return negative(p, quiet(p, tsr_extent_ceildiv(p->c, rest->arg[0], rest->arg[1])));
    return add(p, b, mul(p, which, less));
}

/* Two integers, or two truth values, combined by an operation. */
static ext combined(struct imp *p, enum hlo_opcode code, bool truths, ext a, ext b) {
    if (!a || !b) return NULL;
    switch (code) {
    case HLO_OP_ADD: return truths ? max(p, a, b) : add(p, a, b);
    case HLO_OP_SUBTRACT: return sub(p, a, b);
    case HLO_OP_MULTIPLY: return mul(p, a, b);
    case HLO_OP_DIVIDE: return quotient(p, a, b);
    case HLO_OP_REMAINDER: return remainder_of(p, a, b);
    case HLO_OP_MAXIMUM: return max(p, a, b);
    case HLO_OP_MINIMUM: return min(p, a, b);
    case HLO_OP_AND: return !truths ? NULL : of_nonzero(not(p, a)) ? both(p, a, b) : both(p, b, a);
    case HLO_OP_OR: return truths ? max(p, a, b) : NULL;
    case HLO_OP_XOR: return truths ? magnitude(p, sub(p, a, b)) : NULL;
    default: return NULL;
    }
}

/* ---- known values ------------------------------------------------------------------------------------------------ */

static bool is_truth(const struct hlo_type *t) { return t->elem == HLO_I1; }
static bool is_int(const struct hlo_type *t) {
    tsr_kind k = tsr_dtype_of(hlo_elem_of(t->elem)->dtype)->kind;
    return t->kind == HLO_T_TENSOR && !t->quant && t->elem != HLO_NONE &&
        (k == TSR_KIND_INT || k == TSR_KIND_UINT || k == TSR_KIND_BOOL);
}

/* A constant as its type holds it; anything else is itself. */
static ext wrapped(struct imp *p, const struct hlo_type *t, ext e) {
    int bits = hlo_elem_of(t->elem)->bits;
    int64_t v;
    if (!tsr_extent_is_int(e, &v) || bits >= 64) return e;
    uint64_t low = (uint64_t)v & (((uint64_t)1 << bits) - 1);
    bool sign = tsr_dtype_of(hlo_elem_of(t->elem)->dtype)->kind == TSR_KIND_INT && low >> (bits - 1);
    int64_t w = (int64_t)(sign ? low | ~(uint64_t)0 << bits : low);
    return is_truth(t) ? number(p, v != 0) : w == v ? e : number(p, w);
}

/* A tensor of known elements in row-major order: of an operand, or of the result that is being worked out. */
struct known {
    const struct hlo_type *type;
    int64_t n;
    const ext *v;
};

/* A few integers that only a run knows become symbols, so that what is made of them can cancel: a slice from i to
 * i + n has the size n. */
static void name_elements(struct imp *p, struct imp_value *v) {
    int64_t n = v->node && v->type && v->type->kind == HLO_T_TENSOR ? hlo_type_count(v->type) : 0;
    char name[32];
    if (n < 1 || n > PARAM_MAX || v->type->rank > 1 || p->lift || p->sizes.n >= RUNTIME_MAX ||
        (v->type->elem != HLO_I32 && v->type->elem != HLO_I64)) return;
    ext *e = arena_array(&p->arena, (size_t)n, sizeof *e);
    for (int64_t i = 0; e && i < n; i++) {
        for (size_t j = 0; !e[i] && j < p->sizes.n; j++)
            if (p->sizes.v[j].node == v->node && p->sizes.v[j].element == i) e[i] = p->sizes.v[j].symbol;
        if (e[i]) continue;
        snprintf(name, sizeof name, "runtime%zu", p->sizes.n);
        e[i] = tsr_extent_symbol(p->c, name, INT64_MIN, INT64_MAX);
        if (!e[i] || !vec_push(p->c, &p->sizes, ((struct imp_size){v->node, i, e[i], true}))) return;
    }
    v->shape_value = e;
}

static bool known_of(struct imp *p, const struct hlo_op *op, int i, struct known *k) {
    if (i >= op->noperand) return false;
    struct imp_value *v = imp_value(p, op->operand[i]);
    if (!v->shape_value) name_elements(p, v);
    *k = (struct known){v->type, v->type && v->shape_value ? hlo_type_count(v->type) : 0, v->shape_value};
    return k->v != NULL;
}
static ext at(const struct known *k, int64_t i) {
    return k->n == 1 ? k->v[0] : i >= 0 && i < k->n ? k->v[i] : NULL;
}

static bool constant_at(const struct known *k, int64_t i, int64_t *v) {
    ext e = at(k, i);
    return e && tsr_extent_is_int(e, v);
}

/* Index of element `flat` of t along each axis, and back. */
static void unravel(const struct hlo_type *t, int64_t flat, int64_t *index) {
    for (int a = t->rank - 1; a >= 0; a--) index[a] = flat % t->dim[a], flat /= t->dim[a];
}
static int64_t ravel(const struct hlo_type *t, const int64_t *index) {
    int64_t flat = 0;
    for (int a = 0; a < t->rank; a++) flat = flat * t->dim[a] + index[a];
    return flat;
}

/* ---- one element of a result: what each operation does ----------------------------------------------------------- */

typedef ext element_fn(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i);

static ext element_copy(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known x;
    (void)t;
    return known_of(p, op, 0, &x) ? at(&x, i) : NULL;
}

static ext element_convert(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known x;
    if (!known_of(p, op, 0, &x)) return NULL;
    return is_truth(t) && !is_truth(x.type) ? truth(p, magnitude(p, at(&x, i))) : at(&x, i);
}

static ext element_one(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known x;
    ext e = known_of(p, op, 0, &x) ? at(&x, i) : NULL;
    if (!e) return NULL;
    if (op->code == HLO_OP_NOT) return is_truth(t) ? not(p, e) : sub(p, number(p, -1), e);
    return op->code == HLO_OP_NEGATE ? negative(p, e) : op->code == HLO_OP_SIGN ? signum(p, e) : magnitude(p, e);
}

static ext element_two(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known x, y;
    if (!known_of(p, op, 0, &x) || !known_of(p, op, 1, &y)) return NULL;
    return combined(p, op->code, is_truth(t), at(&x, i), at(&y, i));
}

static ext element_compare(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known x, y;
    (void)t;
    if (!known_of(p, op, 0, &x) || !known_of(p, op, 1, &y)) return NULL;
    return compared(p, hlo_get_text(op, "comparison_direction"), at(&x, i), at(&y, i));
}

static ext element_clamp(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known low, x, high;
    (void)t;
    if (!known_of(p, op, 0, &low) || !known_of(p, op, 1, &x) || !known_of(p, op, 2, &high)) return NULL;
    return clamp(p, at(&low, i), at(&x, i), at(&high, i));
}

/* The defining operation of an operand, when it is one of this code. */
static const struct hlo_op *made_by(const struct hlo_op *op, int i, enum hlo_opcode code) {
    const struct hlo_op *d = op && i < op->noperand ? op->operand[i]->op : NULL;
    return d && d->code == code ? d : NULL;
}

/* floor(x / y) as it is spelled where division rounds towards zero:
 * select(sign x != sign y and x rem y != 0, x / y - 1, x / y). The division; NULL: something else. */
static const struct hlo_op *floor_division(const struct hlo_op *select) {
    const struct hlo_op *both = made_by(select, 0, HLO_OP_AND), *less = made_by(select, 1, HLO_OP_SUBTRACT);
    const struct hlo_op *div = made_by(select, 2, HLO_OP_DIVIDE), *sign = NULL, *rem = NULL;
    if (!both || !less || !div || less->operand[0] != select->operand[2]) return NULL;
    for (int i = 0; i < 2; i++) {
        const struct hlo_op *differ = made_by(both, i, HLO_OP_COMPARE);
        if (!differ || strcmp(hlo_get_text(differ, "comparison_direction"), "NE")) return NULL;
        if (!sign) sign = made_by(differ, 0, HLO_OP_SIGN);
        if (!rem) rem = made_by(differ, 0, HLO_OP_REMAINDER);
    }
    bool same = sign && rem && sign->operand[0] == div->operand[0] && rem->operand[0] == div->operand[0] &&
        rem->operand[1] == div->operand[1];
    return same ? div : NULL;
}

static ext element_select(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    const struct hlo_op *div = floor_division(op);
    struct known which, x, y;
    (void)t;
    if (div && known_of(p, div, 0, &x) && known_of(p, div, 1, &y) && at(&x, i) && at(&y, i) && at(&y, i)->lo > 0)
        return floor_of(p, at(&x, i), at(&y, i));
    if (!known_of(p, op, 0, &which)) return NULL;
    ext a = known_of(p, op, 1, &x) ? at(&x, i) : NULL, b = known_of(p, op, 2, &y) ? at(&y, i) : NULL;
    return at(&which, i) ? chosen(p, at(&which, i), a, b) : NULL;
}

static ext element_iota(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t index[TSR_MAX_RANK], axis = hlo_get_int(op, "iota_dimension", -1);
    unravel(t, i, index);
    return axis >= 0 && axis < t->rank ? number(p, index[axis]) : NULL;
}

static ext element_broadcast(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t index[TSR_MAX_RANK], from[TSR_MAX_RANK];
    int n;
    struct known x;
    const int64_t *axes = hlo_get_ints(op, "broadcast_dimensions", &n);
    if (!known_of(p, op, 0, &x) || n != x.type->rank) return NULL;
    unravel(t, i, index);
    for (int a = 0; a < n; a++) from[a] = x.type->dim[a] == 1 ? 0 : index[axes[a]];
    return at(&x, ravel(x.type, from));
}

static ext element_transpose(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t index[TSR_MAX_RANK], from[TSR_MAX_RANK];
    int n;
    struct known x;
    const int64_t *perm = hlo_get_ints(op, "permutation", &n);
    if (!known_of(p, op, 0, &x) || n != t->rank) return NULL;
    unravel(t, i, index);
    for (int a = 0; a < n; a++) from[perm[a]] = index[a];
    return at(&x, ravel(x.type, from));
}

static ext element_slice(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t index[TSR_MAX_RANK];
    int n, m;
    struct known x;
    const int64_t *start = hlo_get_ints(op, "start_indices", &n), *stride = hlo_get_ints(op, "strides", &m);
    if (!known_of(p, op, 0, &x) || n != t->rank || m != t->rank) return NULL;
    unravel(t, i, index);
    for (int a = 0; a < n; a++) index[a] = start[a] + index[a] * stride[a];
    return at(&x, ravel(x.type, index));
}

/* Of a vector, at a known place. */
static ext element_dynamic_slice(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known x, start;
    int64_t from;
    if (t->rank != 1 || !known_of(p, op, 0, &x) || !known_of(p, op, 1, &start) || !constant_at(&start, 0, &from))
        return NULL;
    from = from > x.n - t->dim[0] ? x.n - t->dim[0] : from;
    return at(&x, (from < 0 ? 0 : from) + i);
}

static ext element_concatenate(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t index[TSR_MAX_RANK], axis = hlo_get_int(op, "dimension", -1);
    if (axis < 0 || axis >= t->rank) return NULL;
    unravel(t, i, index);
    for (int k = 0; k < op->noperand; k++) {
        const struct hlo_type *part = imp_value(p, op->operand[k])->type;
        struct known x;
        if (index[axis] < part->dim[axis]) return known_of(p, op, k, &x) ? at(&x, ravel(part, index)) : NULL;
        index[axis] -= part->dim[axis];
    }
    return NULL;
}

/* Single elements of a vector, taken at known places. */
static ext element_gather(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known x, index;
    int n;
    int64_t from;
    const int64_t *size = hlo_get_ints(op, "slice_sizes", &n);
    if (!known_of(p, op, 0, &x) || !known_of(p, op, 1, &index) || x.type->rank != 1 || n != 1 || size[0] != 1 ||
        index.n != hlo_type_count(t) || !constant_at(&index, i, &from)) return NULL;
    return at(&x, from < 0 ? 0 : from >= x.n ? x.n - 1 : from);
}

static ext element_reduce(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    static const enum hlo_opcode step[TSR_REDUCE_COUNT] = {
        [TSR_REDUCE_SUM] = HLO_OP_ADD, [TSR_REDUCE_PROD] = HLO_OP_MULTIPLY, [TSR_REDUCE_MAX] = HLO_OP_MAXIMUM,
        [TSR_REDUCE_MIN] = HLO_OP_MINIMUM, [TSR_REDUCE_AND] = HLO_OP_AND, [TSR_REDUCE_OR] = HLO_OP_OR,
        [TSR_REDUCE_XOR] = HLO_OP_XOR,
    };
    struct known x, init;
    tsr_reduce how;
    int n;
    const int64_t *axes = hlo_get_ints(op, "dimensions", &n);
    if (op->noperand != 2 || !known_of(p, op, 0, &x) || !known_of(p, op, 1, &init) || op->nregion != 1 ||
        !imp_region_monoid(&op->region[0], 0, &how)) return NULL;
    ext sum = at(&init, 0);
    for (int64_t j = 0; j < x.n && sum; j++) {
        int64_t index[TSR_MAX_RANK], kept[TSR_MAX_RANK];
        int rank = 0;
        unravel(x.type, j, index);
        for (int a = 0; a < x.type->rank; a++) {
            bool gone = false;
            for (int k = 0; k < n; k++) gone = gone || axes[k] == a;
            if (!gone) kept[rank++] = index[a];
        }
        if (ravel(t, kept) == i) sum = combined(p, step[how], is_truth(t), sum, at(&x, j));
    }
    return sum;
}

/* The product of two vectors. */
static ext element_dot(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct known x, y;
    ext sum = number(p, 0);
    (void)i;
    if (t->rank || !known_of(p, op, 0, &x) || !known_of(p, op, 1, &y) || x.type->rank != 1 || y.n != x.n) return NULL;
    for (int64_t j = 0; j < x.n && sum; j++) sum = add(p, sum, mul(p, at(&x, j), at(&y, j)));
    return sum;
}

static ext element_dimension(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t axis = hlo_get_int(op, "dimension", -1);
    const tsr_node *x = imp_value(p, op->operand[0])->node;
    (void)t, (void)i;
    return x && axis >= 0 && axis < tsr_node_rank(x) ? tsr_node_extent(x, (int)axis) : NULL;
}

static const struct { enum hlo_opcode code; element_fn *element; } rules[] = {
    {HLO_OP_CONVERT, element_convert}, {HLO_OP_RESHAPE, element_copy}, {HLO_OP_DYNAMIC_RESHAPE, element_copy},
    {HLO_OP_NEGATE, element_one}, {HLO_OP_ABS, element_one}, {HLO_OP_SIGN, element_one}, {HLO_OP_NOT, element_one},
    {HLO_OP_ADD, element_two}, {HLO_OP_SUBTRACT, element_two}, {HLO_OP_MULTIPLY, element_two},
    {HLO_OP_DIVIDE, element_two}, {HLO_OP_REMAINDER, element_two}, {HLO_OP_MAXIMUM, element_two},
    {HLO_OP_MINIMUM, element_two}, {HLO_OP_AND, element_two}, {HLO_OP_OR, element_two}, {HLO_OP_XOR, element_two},
    {HLO_OP_COMPARE, element_compare}, {HLO_OP_CLAMP, element_clamp}, {HLO_OP_SELECT, element_select},
    {HLO_OP_IOTA, element_iota}, {HLO_OP_DYNAMIC_IOTA, element_iota}, {HLO_OP_BROADCAST_IN_DIM, element_broadcast},
    {HLO_OP_DYNAMIC_BROADCAST_IN_DIM, element_broadcast}, {HLO_OP_TRANSPOSE, element_transpose},
    {HLO_OP_SLICE, element_slice}, {HLO_OP_DYNAMIC_SLICE, element_dynamic_slice},
    {HLO_OP_CONCATENATE, element_concatenate}, {HLO_OP_GATHER, element_gather}, {HLO_OP_REDUCE, element_reduce},
    {HLO_OP_DOT, element_dot}, {HLO_OP_DOT_GENERAL, element_dot}, {HLO_OP_GET_DIMENSION_SIZE, element_dimension},
};

/* ---- keeping them ------------------------------------------------------------------------------------------------ */

/* Result 0 as it was built, when it is a small tensor of integers: its type with the extents found out. */
static struct imp_value *small_result(struct imp *p, const struct hlo_op *op, int64_t *n) {
    if (op->nresult != 1 || p->lift) return NULL;
    struct imp_value *v = imp_value(p, &op->result[0]);
    if (!v->node || !v->type || v->shape_value || !is_int(v->type) || v->type->rank > TSR_MAX_RANK) return NULL;
    *n = hlo_type_count(v->type);
    return *n >= 0 && *n <= SHAPE_MAX ? v : NULL;
}

static bool keep_constant(struct imp *p, const struct hlo_op *op, struct imp_value *v, int64_t n, ext *e) {
    const struct hlo_attr *a = hlo_get(op, "value");
    int64_t value[SHAPE_MAX];
    if (!a || a->kind != HLO_A_ELEMENTS) return true;
    if (!hlo_elements_ints(p->c, a, value)) return false;
    for (int64_t i = 0; i < n; i++)
        if (!(e[i] = number(p, value[i]))) return false;
    v->shape_value = e;
    return true;
}

bool imp_shape_values(struct imp *p, const struct hlo_op *op) {
    int64_t n;
    size_t r = 0, nrules = sizeof rules / sizeof *rules;
    bool any = false;
    while (r < nrules && rules[r].code != op->code) r++;
    if (r == nrules && op->code != HLO_OP_CONSTANT) return true;
    struct imp_value *v = small_result(p, op, &n);
    if (!v) return true;
    ext *e = arena_array(&p->arena, (size_t)n + 1, sizeof *e);
    if (!e) return false;
    if (op->code == HLO_OP_CONSTANT) return keep_constant(p, op, v, n, e);
    for (int64_t i = 0; i < n; i++) {
        e[i] = rules[r].element(p, op, v->type, i);
        if (e[i]) e[i] = wrapped(p, v->type, e[i]);
        any = any || e[i];
    }
    if (any || !n) v->shape_value = e;
    return !err_any(p->c);
}

bool imp_shape_param(struct imp *p, int arg, struct imp_value *v) {
    int64_t n = v->type->kind == HLO_T_TENSOR && hlo_type_static(v->type) ? hlo_type_count(v->type) : -1;
    char name[64];
    if (!is_int(v->type) || is_truth(v->type) || v->type->rank > 1 || n < 0 || n > PARAM_MAX) return true;
    ext *e = arena_array(&p->arena, (size_t)n + 1, sizeof *e);
    if (!e) return false;
    for (int64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, v->type->rank ? "arg%d[%lld]" : "arg%d", arg, (long long)i);
        e[i] = tsr_extent_symbol(p->c, name, v->type->rank ? INT32_MIN : 0, INT32_MAX);
        if (!e[i] || !vec_push(p->c, &p->sizes, ((struct imp_size){v->node, i, e[i], false}))) return false;
    }
    v->shape_value = e;
    return true;
}

/* ---- asking for them --------------------------------------------------------------------------------------------- */

/* Is e made of what only a run knows? */
static bool is_runtime(const struct imp *p, ext e) {
    for (size_t i = 0; e->op == EXT_SYMBOL && i < p->sizes.n; i++)
        if (p->sizes.v[i].symbol == e) return p->sizes.v[i].runtime;
    for (int i = 0; i < e->n; i++)
        if (is_runtime(p, e->arg[i])) return true;
    return false;
}

/* The arguments that e is made of now give sizes. */
static bool need_sizes(struct imp *p, ext e) {
    for (size_t i = 0; e->op == EXT_SYMBOL && i < p->sizes.n; i++)
        if (p->sizes.v[i].symbol == e) return !tsr_fn_size(p->c, p->sizes.v[i].node, p->sizes.v[i].element, e);
    for (int i = 0; i < e->n; i++)
        if (!need_sizes(p, e->arg[i])) return false;
    return true;
}

static bool not_sizes(struct imp *p, const struct hlo_op *op, int i) {
    return !err_any(p->c) && imp_fail(p, op, "operand %d gives sizes, but depends on values known only when the "
        "program runs; sizes may be made of constants, sizes of arguments and integer arguments", i);
}

bool imp_extents(struct imp *p, const struct hlo_op *op, int i, int n, const tsr_extent **out) {
    int64_t folded[SHAPE_MAX];
    struct known k;
    struct imp_value *v = imp_operand_value(p, op, i);
    if (!v) return false;
    if (!v->type || v->type->kind != HLO_T_TENSOR || hlo_type_count(v->type) != n || n > SHAPE_MAX)
        return imp_fail(p, op, "operand %d gives sizes: %d integers are needed", i, n);
    bool have = known_of(p, op, i, &k);
    for (int j = 0; have && j < n; j++) have = k.v[j] && !is_runtime(p, k.v[j]);
    if (!have && !imp_const_ints(p, op, i, folded, n)) return not_sizes(p, op, i);
    for (int j = 0; j < n; j++) {
        out[j] = have ? k.v[j] : number(p, folded[j]);
        if (!out[j] || !need_sizes(p, out[j])) return false;
    }
    return true;
}

bool imp_slice_sizes(struct imp *p, const struct hlo_op *op, int start, int limit, int n, const tsr_extent **out) {
    struct known a, b;
    bool have = known_of(p, op, start, &a) && known_of(p, op, limit, &b) && a.n == n && b.n == n;
    for (int i = 0; i < n; i++) {
        out[i] = have && a.v[i] && b.v[i] ? sub(p, b.v[i], a.v[i]) : NULL;
        if (!out[i] || is_runtime(p, out[i])) return not_sizes(p, op, limit);
        if (!need_sizes(p, out[i])) return false;
    }
    return true;
}

bool imp_is_runtime(struct imp *p, const struct hlo_op *op, int i) {
    struct known k;
    if (!known_of(p, op, i, &k)) return false;
    for (int64_t j = 0; j < k.n; j++)
        if (k.v[j] && is_runtime(p, k.v[j])) return true;
    return false;
}

bool imp_shape_holds(struct imp *p, const struct hlo_op *op, int i, const char *what) {
    const tsr_extent *e;
    int64_t v;
    if (!imp_extents(p, op, i, 1, &e)) return false;
    if (tsr_extent_is_int(e, &v)) return v || imp_fail(p, op, "%s", what);
    return extent_require_equal(p->c, e, number(p, 1), "%s", what);
}

/* ---- constants by the reference ---------------------------------------------------------------------------------- */

struct fold {
    tsr_ctx *c;
    int n;
    tsr_node *node[FOLD_NODES], *copy[FOLD_NODES];
};

static int listed(const struct fold *f, const tsr_node *x) {
    for (int i = 0; i < f->n; i++)
        if (f->node[i] == x) return i;
    return -1;
}

/* x and all it is made of, sources first; false: not of small literals alone (the world outside, collectives), or too
 * much of it. */
static bool list(struct fold *f, tsr_node *x, int depth) {
    size_t bytes;
    if (listed(f, x) >= 0) return true;
    if (x->op == TSR_OP_PARAM || x->op >= TSR_OP_HOST_CALL || x->nfn || x->type->kind != TSR_TENSOR ||
        depth > FOLD_NODES || !type_bytes(x->type, &bytes) || bytes > FOLD_ELEMENTS * sizeof(int64_t)) return false;
    for (int i = 0; i < x->nsrc; i++)
        if (!list(f, x->src[i], depth + 1)) return false;
    if (f->n == FOLD_NODES) return false;
    return f->node[f->n++] = x, true;
}

/* The listed nodes as a fn of no parameters with the last one, as i64, for a result. NULL: error recorded. */
static tsr_fn *as_fn(struct fold *f) {
    if (tsr_fn_begin(f->c, "constant")) return NULL;
    for (int i = 0; i < f->n; i++) {
        tsr_node *src[8];
        for (int j = 0; j < f->node[i]->nsrc && j < 8; j++) src[j] = f->copy[listed(f, f->node[i]->src[j])];
        f->copy[i] = f->node[i]->nsrc > 8 ? tsr_poison(f->c) : node_rebuild(f->c, f->node[i], src);
    }
    tsr_node *last = f->copy[f->n - 1];
    if (!tsr_is_poison(last) && tsr_node_dtype(last) != TSR_I64) last = tsr_prim_convert(f->c, last, TSR_I64);
    return tsr_fn_end(f->c, 1, &last);
}

static bool folded(struct imp *p, tsr_node *x, int64_t *out, int n) {
    struct fold *f = arena_alloc(&p->arena, sizeof *f);
    struct ref_tensor r;
    if (!f) return false;
    f->c = p->c, f->n = 0;
    if (!list(f, x, 0)) return false;
    tsr_fn *fn = as_fn(f);
    bool ok = fn && interp_run(p->c, fn, 0, NULL, &p->arena, &r, NULL) == TSR_OK && r.count == n;
    if (ok) memcpy(out, r.p, (size_t)n * sizeof *out);
    tsr_fn_free(p->c, fn);
    if (!ok && err_any(p->c) && tsr_error_status(p->c) != TSR_ENOMEM) tsr_error_clear(p->c);
    return ok;
}

bool imp_const_ints(struct imp *p, const struct hlo_op *op, int i, int64_t *out, int n) {
    struct known k;
    if (i >= op->noperand || op->operand[i]->type->kind != HLO_T_TENSOR) return false;
    const struct imp_value *v = imp_value(p, op->operand[i]);
    if (!v->type || hlo_type_count(v->type) != n) return false;
    bool have = known_of(p, op, i, &k);
    for (int j = 0; have && j < n; j++) have = k.v[j] && tsr_extent_is_int(k.v[j], &out[j]);
    const struct hlo_op *from = op->operand[i]->op;
    const struct hlo_attr *a = from && from->code == HLO_OP_CONSTANT && is_int(v->type) ? hlo_get(from, "value") : NULL;
    if (have) return true;
    if (a && a->kind == HLO_A_ELEMENTS) return hlo_elements_ints(p->c, a, out);
    return v->node && !p->lift && folded(p, v->node, out, n);
}

/* ---- types of results -------------------------------------------------------------------------------------------- */

/* The one '?' of a reshape: what is left of the elements. */
static ext left_over(struct imp *p, const struct hlo_type *t, const tsr_node *x) {
    ext known = number(p, 1), all = type_elements(p->c, tsr_node_type(x));
    for (int a = 0; a < t->rank; a++)
        if (t->dim[a] != HLO_DYNAMIC) known = tsr_extent_mul(p->c, known, number(p, t->dim[a]));
    return tsr_extent_floordiv(p->c, all, known);
}

/* The extent of axis a of a result with '?' there, by the operand it follows. NULL: it cannot be told. */
static ext followed(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int a) {
    int n, unknown = 0;
    const tsr_node *x = op->noperand ? imp_value(p, op->operand[0])->node : NULL;
    if (!x) return NULL;
    for (int k = 0; k < t->rank; k++) unknown += t->dim[k] == HLO_DYNAMIC;
    if (op->code == HLO_OP_RESHAPE) return unknown == 1 ? left_over(p, t, x) : NULL;
    if (op->code == HLO_OP_BROADCAST_IN_DIM) {
        const int64_t *axes = hlo_get_ints(op, "broadcast_dimensions", &n);
        for (int k = 0; k < n && k < tsr_node_rank(x); k++)
            if (axes[k] == a) return tsr_node_extent(x, k);
        return NULL;
    }
    return tsr_node_rank(x) == t->rank ? tsr_node_extent(x, a) : NULL;
}

const tsr_type *imp_result_type(struct imp *p, const struct hlo_op *op, int i) {
    const tsr_extent *e[TSR_MAX_RANK];
    if (i >= op->nresult) return imp_fail(p, op, "it has %d results, %d are needed", op->nresult, i + 1), NULL;
    const struct hlo_type *t = op->result[i].type;
    if (t->kind != HLO_T_TENSOR || hlo_type_static(t)) return imp_type(p, t);
    if (t->rank > TSR_MAX_RANK) return imp_fail(p, op, "its result has rank %d, at most %d is possible", t->rank,
        TSR_MAX_RANK), NULL;
    for (int a = 0; a < t->rank; a++) {
        e[a] = t->dim[a] == HLO_DYNAMIC ? followed(p, op, t, a) : number(p, t->dim[a]);
        if (!e[a]) return imp_fail(p, op, "the size of axis %d of its result does not follow from its operands; use "
            "the dynamic form of the operation", a), NULL;
    }
    return tsr_type_tensor(p->c, imp_dtype(t), t->rank, e);
}
