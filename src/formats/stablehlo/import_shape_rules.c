/* import_shape_rules.c: what each operation does to integers that are known as extents, element by element.
 *
 * Truth is 0 or 1, so compare, and, or, not and select are arithmetic too: a < b is max(min(b - a, 1), 0). With bounds
 * of the symbols most of it folds; the idioms by which exporters spell floor division and remainders are recognised,
 * so that their sizes come out as written. As sizes, integers are taken not to overflow, and divisors not to be 0. An
 * extent that grows past its limits is given up (NULL), never an error. */
#include <string.h>

#include "formats/stablehlo/import_shape_rules.h"
#include "graph/node.h"

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

ext shape_difference(struct imp *p, ext a, ext b) { return sub(p, a, b); }

/* ---- known values ------------------------------------------------------------------------------------------------ */

bool shape_is_truth(const struct hlo_type *t) { return t->elem == HLO_I1; }
bool shape_is_int(const struct hlo_type *t) {
    tsr_kind k = tsr_dtype_of(hlo_elem_of(t->elem)->dtype)->kind;
    return t->kind == HLO_T_TENSOR && !t->quant && t->elem != HLO_NONE &&
        (k == TSR_KIND_INT || k == TSR_KIND_UINT || k == TSR_KIND_BOOL);
}

static ext at(const struct shape_known *k, int64_t i) {
    return k->n == 1 ? k->v[0] : i >= 0 && i < k->n ? k->v[i] : NULL;
}

static bool constant_at(const struct shape_known *k, int64_t i, int64_t *v) {
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

static ext element_copy(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known x;
    (void)t;
    return shape_known_of(p, op, 0, &x) ? at(&x, i) : NULL;
}

static ext element_convert(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known x;
    if (!shape_known_of(p, op, 0, &x)) return NULL;
    return shape_is_truth(t) && !shape_is_truth(x.type) ? truth(p, magnitude(p, at(&x, i))) : at(&x, i);
}

static ext element_one(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known x;
    ext e = shape_known_of(p, op, 0, &x) ? at(&x, i) : NULL;
    if (!e) return NULL;
    if (op->code == HLO_OP_NOT) return shape_is_truth(t) ? not(p, e) : sub(p, number(p, -1), e);
    return op->code == HLO_OP_NEGATE ? negative(p, e) : op->code == HLO_OP_SIGN ? signum(p, e) : magnitude(p, e);
}

static ext element_two(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known x, y;
    if (!shape_known_of(p, op, 0, &x) || !shape_known_of(p, op, 1, &y)) return NULL;
    return combined(p, op->code, shape_is_truth(t), at(&x, i), at(&y, i));
}

static ext element_compare(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known x, y;
    (void)t;
    if (!shape_known_of(p, op, 0, &x) || !shape_known_of(p, op, 1, &y)) return NULL;
    return compared(p, hlo_get_text(op, "comparison_direction"), at(&x, i), at(&y, i));
}

static ext element_clamp(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known low, x, high;
    (void)t;
    if (!shape_known_of(p, op, 0, &low) || !shape_known_of(p, op, 1, &x)) return NULL;
    if (!shape_known_of(p, op, 2, &high)) return NULL;
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
    struct shape_known which, x, y;
    (void)t;
    bool known = div && shape_known_of(p, div, 0, &x) && shape_known_of(p, div, 1, &y) && at(&x, i) && at(&y, i);
    if (known && at(&y, i)->lo > 0)
        return floor_of(p, at(&x, i), at(&y, i));
    if (!shape_known_of(p, op, 0, &which)) return NULL;
    ext a = shape_known_of(p, op, 1, &x) ? at(&x, i) : NULL, b = shape_known_of(p, op, 2, &y) ? at(&y, i) : NULL;
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
    struct shape_known x;
    const int64_t *axes = hlo_get_ints(op, "broadcast_dimensions", &n);
    if (!shape_known_of(p, op, 0, &x) || n != x.type->rank) return NULL;
    unravel(t, i, index);
    for (int a = 0; a < n; a++) from[a] = x.type->dim[a] == 1 ? 0 : index[axes[a]];
    return at(&x, ravel(x.type, from));
}

static ext element_transpose(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t index[TSR_MAX_RANK], from[TSR_MAX_RANK];
    int n;
    struct shape_known x;
    const int64_t *perm = hlo_get_ints(op, "permutation", &n);
    if (!shape_known_of(p, op, 0, &x) || n != t->rank) return NULL;
    unravel(t, i, index);
    for (int a = 0; a < n; a++) from[perm[a]] = index[a];
    return at(&x, ravel(x.type, from));
}

static ext element_slice(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t index[TSR_MAX_RANK];
    int n, m;
    struct shape_known x;
    const int64_t *start = hlo_get_ints(op, "start_indices", &n), *stride = hlo_get_ints(op, "strides", &m);
    if (!shape_known_of(p, op, 0, &x) || n != t->rank || m != t->rank) return NULL;
    unravel(t, i, index);
    for (int a = 0; a < n; a++) index[a] = start[a] + index[a] * stride[a];
    return at(&x, ravel(x.type, index));
}

/* Of a vector, at a known place. */
static ext element_dynamic_slice(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known x, start;
    int64_t from;
    if (t->rank != 1 || !shape_known_of(p, op, 0, &x) || !shape_known_of(p, op, 1, &start)) return NULL;
    if (!constant_at(&start, 0, &from)) return NULL;
    from = from > x.n - t->dim[0] ? x.n - t->dim[0] : from;
    return at(&x, (from < 0 ? 0 : from) + i);
}

static ext element_concatenate(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t index[TSR_MAX_RANK], axis = hlo_get_int(op, "dimension", -1);
    if (axis < 0 || axis >= t->rank) return NULL;
    unravel(t, i, index);
    for (int k = 0; k < op->noperand; k++) {
        const struct hlo_type *part = imp_value(p, op->operand[k])->type;
        struct shape_known x;
        if (index[axis] < part->dim[axis]) return shape_known_of(p, op, k, &x) ? at(&x, ravel(part, index)) : NULL;
        index[axis] -= part->dim[axis];
    }
    return NULL;
}

/* Single elements of a vector, taken at known places. */
static ext element_gather(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known x, index;
    int n;
    int64_t from;
    const int64_t *size = hlo_get_ints(op, "slice_sizes", &n);
    if (!shape_known_of(p, op, 0, &x) || !shape_known_of(p, op, 1, &index) || x.type->rank != 1) return NULL;
    if (n != 1 || size[0] != 1 || index.n != hlo_type_count(t) || !constant_at(&index, i, &from)) return NULL;
    return at(&x, from < 0 ? 0 : from >= x.n ? x.n - 1 : from);
}

static ext element_reduce(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    static const enum hlo_opcode step[TSR_REDUCE_COUNT] = {
        [TSR_REDUCE_SUM] = HLO_OP_ADD, [TSR_REDUCE_PROD] = HLO_OP_MULTIPLY, [TSR_REDUCE_MAX] = HLO_OP_MAXIMUM,
        [TSR_REDUCE_MIN] = HLO_OP_MINIMUM, [TSR_REDUCE_AND] = HLO_OP_AND, [TSR_REDUCE_OR] = HLO_OP_OR,
        [TSR_REDUCE_XOR] = HLO_OP_XOR,
    };
    struct shape_known x, init;
    tsr_reduce how;
    int n;
    const int64_t *axes = hlo_get_ints(op, "dimensions", &n);
    if (op->noperand != 2 || !shape_known_of(p, op, 0, &x) || !shape_known_of(p, op, 1, &init) || op->nregion != 1 ||
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
        if (ravel(t, kept) == i) sum = combined(p, step[how], shape_is_truth(t), sum, at(&x, j));
    }
    return sum;
}

/* The product of two vectors. */
static ext element_dot(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    struct shape_known x, y;
    ext sum = number(p, 0);
    (void)i;
    if (t->rank || !shape_known_of(p, op, 0, &x) || !shape_known_of(p, op, 1, &y) || x.type->rank != 1 ||
        y.n != x.n) return NULL;
    for (int64_t j = 0; j < x.n && sum; j++) sum = add(p, sum, mul(p, at(&x, j), at(&y, j)));
    return sum;
}

static ext element_dimension(struct imp *p, const struct hlo_op *op, const struct hlo_type *t, int64_t i) {
    int64_t axis = hlo_get_int(op, "dimension", -1);
    const tsr_node *x = imp_value(p, op->operand[0])->node;
    (void)t, (void)i;
    return x && axis >= 0 && axis < tsr_node_rank(x) ? tsr_node_extent(x, (int)axis) : NULL;
}

static const struct { enum hlo_opcode code; shape_element *element; } rules[] = {
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

shape_element *shape_rule_of(enum hlo_opcode code) {
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        if (rules[r].code == code) return rules[r].element;
    return NULL;
}
