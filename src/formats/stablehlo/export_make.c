/* export_make.c: what the families of the exporter are written with: types, attributes, operations, constants, and
 * the values of extents. */
#include <string.h>

#include "formats/stablehlo/export.h"

static const struct hlo_loc nowhere = {0, 0};

/* ---- types ------------------------------------------------------------------------------------------------------ */
enum hlo_elem exp_elem(tsr_dtype t) {
    for (int e = 0; e < HLO_INDEX; e++)
        if (hlo_elem_of((enum hlo_elem)e)->exact && hlo_elem_of((enum hlo_elem)e)->dtype == t) return (enum hlo_elem)e;
    return HLO_NONE;
}

/* #stablehlo.bounds<?, 8>: greatest extents of the axes written '?', where there are any. */
static const struct hlo_attr *bounds_of(struct exp *x, const tsr_type *t, bool *ok) {
    int64_t bound[TSR_MAX_RANK], lo, hi;
    bool any = false;
    for (int a = 0; a < t->rank; a++) {
        bound[a] = HLO_DYNAMIC;
        if (tsr_extent_is_int(t->extent[a], NULL)) continue;
        tsr_extent_bounds(t->extent[a], &lo, &hi);
        if (hi < INT32_MAX) bound[a] = hi, any = true;
    }
    if (!any) return NULL;
    struct hlo_named field = {"", hlo_attr_ints(x->m, HLO_I64, t->rank, bound)};
    const struct hlo_attr *a = field.value ? hlo_attr_struct(x->m, "stablehlo.bounds", 1, &field) : NULL;
    *ok = a != NULL;
    return a;
}

const struct hlo_type *exp_type(struct exp *x, const tsr_type *t) {
    int64_t dim[TSR_MAX_RANK];
    bool ok = true;
    if (t->kind != TSR_TENSOR || exp_elem(t->dtype) == HLO_NONE) {
        err_set(x->c, TSR_EUNSUPPORTED, "StableHLO export: %s has no type there; dequantise block types first",
            type_text(x->c, t));
        return NULL;
    }
    for (int a = 0; a < t->rank; a++)
        if (!tsr_extent_is_int(t->extent[a], &dim[a])) dim[a] = HLO_DYNAMIC;
    struct hlo_type proto = {.kind = HLO_T_TENSOR, .elem = exp_elem(t->dtype), .rank = t->rank, .dim = dim};
    proto.encoding = bounds_of(x, t, &ok);
    return ok ? hlo_type_intern(x->m, &proto) : NULL;
}

const struct hlo_type *exp_dims_type(struct exp *x, tsr_dtype t, int rank, const int64_t *dim) {
    return hlo_type_tensor(x->m, exp_elem(t), rank, dim);
}
const struct hlo_type *exp_scalar_type(struct exp *x, tsr_dtype t) { return exp_dims_type(x, t, 0, NULL); }

/* ---- attributes ------------------------------------------------------------------------------------------------- */
struct hlo_named exp_named(const char *name, const struct hlo_attr *value) { return (struct hlo_named){name, value}; }
struct hlo_named exp_int(struct exp *x, const char *name, int64_t v) {
    return exp_named(name, hlo_attr_int(x->m, HLO_I64, v));
}
struct hlo_named exp_bool(struct exp *x, const char *name, bool v) { return exp_named(name, hlo_attr_bool(x->m, v)); }
struct hlo_named exp_ints(struct exp *x, const char *name, int n, const int64_t *v) {
    return exp_named(name, hlo_attr_ints(x->m, HLO_I64, n, v));
}
struct hlo_named exp_enum(struct exp *x, const char *name, const char *kind, const char *value) {
    const char *full = arena_printf(&x->m->arena, "stablehlo.%s", kind);
    return exp_named(name, full ? hlo_attr_enum(x->m, full, value) : NULL);
}
struct hlo_named exp_string(struct exp *x, const char *name, const char *s) {
    return exp_named(name, hlo_attr_string(x->m, s, strlen(s)));
}

bool exp_exts_ints(int n, const tsr_extent *const *e, int64_t *out) {
    for (int i = 0; i < n; i++)
        if (!tsr_extent_is_int(e[i], &out[i])) return false;
    return true;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */
struct hlo_op *exp_op(struct exp *x, enum hlo_opcode code, int noperand, struct hlo_value *const *operand, int nattr,
    const struct hlo_named *attr, int nresult, const struct hlo_type *const *type, int nregion) {
    for (int i = 0; i < noperand; i++)
        if (!operand[i]) return NULL;
    for (int i = 0; i < nattr; i++)
        if (!attr[i].value) return NULL;
    for (int i = 0; i < nresult; i++)
        if (!type[i]) return NULL;
    struct hlo_op *op = hlo_op_new(x->m, hlo_op_of(code)->name, nowhere, noperand, operand, nattr, attr, nresult, type,
        nregion);
    if (op) hlo_block_append(x->block, op);
    return op;
}

struct hlo_value *exp_make(struct exp *x, enum hlo_opcode code, const struct hlo_type *t, int noperand,
    struct hlo_value *const *operand, int nattr, const struct hlo_named *attr) {
    struct hlo_op *op = exp_op(x, code, noperand, operand, nattr, attr, 1, &t, 0);
    return op ? &op->result[0] : NULL;
}

struct hlo_value *exp_make1(struct exp *x, enum hlo_opcode code, const struct hlo_type *t, struct hlo_value *a) {
    return exp_make(x, code, t, 1, &a, 0, NULL);
}
struct hlo_value *exp_make2(struct exp *x, enum hlo_opcode code, const struct hlo_type *t, struct hlo_value *a,
    struct hlo_value *b) {
    return exp_make(x, code, t, 2, (struct hlo_value *[]){a, b}, 0, NULL);
}

/* A type's shape with another element type. */
static const struct hlo_type *retyped(struct exp *x, const struct hlo_type *t, tsr_dtype d) {
    struct hlo_type proto = *t;
    proto.elem = exp_elem(d);
    return hlo_type_intern(x->m, &proto);
}

struct hlo_value *exp_compare(struct exp *x, const char *direction, tsr_dtype t, bool total, struct hlo_value *a,
    struct hlo_value *b) {
    tsr_kind kind = tsr_dtype_of(t)->kind;
    bool is_float = kind == TSR_KIND_FLOAT || kind == TSR_KIND_COMPLEX;
    const char *type = is_float ? total ? "TOTALORDER" : "FLOAT" : kind == TSR_KIND_INT ? "SIGNED" : "UNSIGNED";
    if (!a || !b) return NULL;
    struct hlo_named attr[] = {exp_enum(x, "comparison_direction", "comparison_direction", direction),
        exp_enum(x, "compare_type", "comparison_type", type)};
    return exp_make(x, HLO_OP_COMPARE, retyped(x, a->type, TSR_BOOL), 2, (struct hlo_value *[]){a, b}, 2, attr);
}

struct hlo_value *exp_select(struct exp *x, struct hlo_value *p, struct hlo_value *a, struct hlo_value *b) {
    return a ? exp_make(x, HLO_OP_SELECT, a->type, 3, (struct hlo_value *[]){p, a, b}, 0, NULL) : NULL;
}

struct hlo_value *exp_convert(struct exp *x, struct hlo_value *a, tsr_dtype t) {
    if (!a || a->type->elem == exp_elem(t)) return a;
    return exp_make1(x, HLO_OP_CONVERT, retyped(x, a->type, t), a);
}

struct hlo_value *exp_reshape(struct exp *x, struct hlo_value *a, const struct hlo_type *t) {
    return a && a->type == t ? a : exp_make1(x, HLO_OP_RESHAPE, t, a);
}

struct hlo_value *exp_broadcast(struct exp *x, struct hlo_value *a, const struct hlo_type *t, int n,
    const int64_t *axes) {
    struct hlo_named dims = exp_ints(x, "broadcast_dimensions", n, axes);
    return exp_make(x, HLO_OP_BROADCAST_IN_DIM, t, 1, &a, 1, &dims);
}

bool exp_return(struct exp *x, int n, struct hlo_value *const *v) {
    return exp_op(x, HLO_OP_RETURN, n, v, 0, NULL, 0, NULL, 0) != NULL;
}

/* ---- constants -------------------------------------------------------------------------------------------------- */
static struct hlo_value *constant(struct exp *x, const struct hlo_type *t, const void *data, size_t n) {
    struct hlo_named value = {"value", t ? hlo_attr_elements(x->m, t, false, data, n) : NULL};
    return exp_make(x, HLO_OP_CONSTANT, t, 0, NULL, 1, &value);
}

/* MLIR keeps 4-bit elements a byte each, sign extended; all else as the graph does. */
struct hlo_value *exp_literal(struct exp *x, const tsr_node *n) {
    const struct hlo_type *t = tsr_is_poison(n) ? NULL : exp_type(x, n->type);
    const struct attr *v = t ? node_attr(n, ATTR_VALUE) : NULL;
    if (!v) return NULL;
    bool nibbles = n->type->dtype == TSR_I4 || n->type->dtype == TSR_U4;
    size_t bytes = nibbles ? (size_t)hlo_type_count(t) : v->n;
    uint8_t *data = arena_alloc(&x->m->arena, bytes + 1);
    if (!data) return NULL;
    if (!nibbles && bytes) memcpy(data, v->bytes, bytes);
    for (size_t i = 0; nibbles && i < bytes; i++) {
        uint8_t low = ((const uint8_t *)v->bytes)[i / 2] >> (i % 2 ? 4 : 0) & 15;
        data[i] = n->type->dtype == TSR_I4 && low & 8 ? low | 0xf0 : low;
    }
    return constant(x, t, data, bytes);
}

struct hlo_value *exp_scalar(struct exp *x, tsr_dtype t, double v) {
    return exp_literal(x, tsr_scalar_float(x->c, t, v));
}
struct hlo_value *exp_integer(struct exp *x, tsr_dtype t, int64_t v) {
    return exp_literal(x, tsr_scalar_int(x->c, t, v));
}

struct hlo_value *exp_index_list(struct exp *x, int n, const int64_t *v) {
    int64_t count = n, *data = arena_array(&x->m->arena, (size_t)n + 1, sizeof *data);
    if (!data) return NULL;
    if (n) memcpy(data, v, (size_t)n * sizeof *v);
    return constant(x, exp_dims_type(x, TSR_I64, 1, &count), data, (size_t)n * sizeof *data);
}

struct hlo_value *exp_zeros(struct exp *x, const tsr_type *t) {
    const struct hlo_type *type = exp_type(x, t);
    struct hlo_value *zero = exp_scalar(x, t->dtype, 0);
    if (!type || t->rank == 0) return zero;
    if (hlo_type_static(type)) return exp_broadcast(x, zero, type, 0, NULL);
    struct hlo_named dims = exp_ints(x, "broadcast_dimensions", 0, NULL);
    struct hlo_value *in[] = {zero, exp_extents(x, t->rank, t->extent)};
    return exp_make(x, HLO_OP_DYNAMIC_BROADCAST_IN_DIM, type, 2, in, 1, &dims);
}

/* ---- extents as values ------------------------------------------------------------------------------------------ */
static struct hlo_value *index2(struct exp *x, enum hlo_opcode code, struct hlo_value *a, struct hlo_value *b) {
    return exp_make2(x, code, exp_scalar_type(x, TSR_I64), a, b);
}

/* The element of an integer parameter that the fn says is the symbol's value. */
static struct hlo_value *size_argument(struct exp *x, const struct exp_frame *f, const struct fn_size *s) {
    struct hlo_value *v = f->param[s->param];
    int64_t start = s->element, limit = start + 1, one = 1;
    if (v && v->type->rank) {
        struct hlo_named attr[] = {exp_ints(x, "start_indices", 1, &start), exp_ints(x, "limit_indices", 1, &limit),
            exp_ints(x, "strides", 1, &one)};
        struct hlo_type proto = *v->type;
        proto.dim = &one;
        v = exp_make(x, HLO_OP_SLICE, hlo_type_intern(x->m, &proto), 1, &v, 3, attr);
        v = exp_reshape(x, v, hlo_type_tensor(x->m, proto.elem, 0, NULL));
    }
    return exp_convert(x, v, TSR_I64);
}

static struct hlo_value *dimension(struct exp *x, struct hlo_value *v, int axis) {
    struct hlo_named dim = exp_int(x, "dimension", axis);
    return exp_convert(x, exp_make(x, HLO_OP_GET_DIMENSION_SIZE, exp_scalar_type(x, TSR_I32), 1, &v, 1, &dim), TSR_I64);
}

/* A parameter of this frame, or of one whose values may be used here, that has the extent, or is its value. */
static struct hlo_value *find_extent(struct exp *x, const tsr_extent *e) {
    for (const struct exp_frame *f = x->frame; f; f = f->up) {
        for (size_t i = 0; i < f->fn->param.n; i++) {
            const tsr_type *t = f->fn->param.v[i].node->type;
            for (int a = 0; t->kind == TSR_TENSOR && a < t->rank; a++)
                if (t->extent[a] == e && f->param[i]) return dimension(x, f->param[i], a);
        }
        for (size_t i = 0; i < f->fn->size.n; i++)
            if (f->fn->size.v[i].symbol == e) return size_argument(x, f, &f->fn->size.v[i]);
    }
    return NULL;
}

/* ((a rem b) + b) rem b: the remainder that is not negative, for b > 0. */
static struct hlo_value *modulo(struct exp *x, struct hlo_value *a, struct hlo_value *b) {
    struct hlo_value *r = index2(x, HLO_OP_REMAINDER, a, b);
    return index2(x, HLO_OP_REMAINDER, index2(x, HLO_OP_ADD, r, b), b);
}

/* Rounds down also for negative a; a division that rounds to zero is enough where a cannot be negative. */
static struct hlo_value *floordiv(struct exp *x, const tsr_extent *of, struct hlo_value *a, struct hlo_value *b) {
    int64_t lo, hi;
    tsr_extent_bounds(of, &lo, &hi);
    return index2(x, HLO_OP_DIVIDE, lo >= 0 ? a : index2(x, HLO_OP_SUBTRACT, a, modulo(x, a, b)), b);
}

static struct hlo_value *combine(struct exp *x, const tsr_extent *e, const tsr_extent *left, struct hlo_value *a,
    struct hlo_value *b) {
    switch (e->op) {
    case EXT_ADD: return index2(x, HLO_OP_ADD, a, b);
    case EXT_MUL: return index2(x, HLO_OP_MULTIPLY, a, b);
    case EXT_MIN: return index2(x, HLO_OP_MINIMUM, a, b);
    case EXT_MAX: return index2(x, HLO_OP_MAXIMUM, a, b);
    case EXT_MOD: return modulo(x, a, b);
    case EXT_FLOORDIV: return floordiv(x, left, a, b);
    case EXT_CEILDIV:
        a = index2(x, HLO_OP_ADD, a, index2(x, HLO_OP_SUBTRACT, b, exp_integer(x, TSR_I64, 1)));
        return floordiv(x, left, a, b);
    default: return NULL;
    }
}

static struct hlo_value *make_extent(struct exp *x, const tsr_extent *e) {
    int64_t value;
    if (tsr_extent_is_int(e, &value)) return exp_integer(x, TSR_I64, value);
    struct hlo_value *v = find_extent(x, e);
    if (v || err_any(x->c)) return v;
    if (e->op == EXT_SYMBOL) {
        err_set(x->c, TSR_EUNSUPPORTED,
            "StableHLO export: the size %s is needed as a value, but no parameter of \"%s\" has it as an extent; pass "
            "a tensor of that extent, or tie it to an argument with tsr_fn_size", e->name, x->frame->fn->name);
        return NULL;
    }
    v = exp_extent(x, e->arg[0]);
    for (int i = 1; i < e->n; i++) v = combine(x, e, e->arg[0], v, exp_extent(x, e->arg[i]));
    return v;
}

struct hlo_value *exp_extent(struct exp *x, const tsr_extent *e) {
    for (const struct exp_frame *f = x->frame; f; f = f->up)
        for (size_t i = 0; i < f->size.n; i++)
            if (f->size.v[i].extent == e) return f->size.v[i].value;
    struct hlo_value *v = make_extent(x, e);
    return v && vec_push(x->c, &x->frame->size, ((struct exp_size){e, v})) ? v : NULL;
}

struct hlo_value *exp_extents(struct exp *x, int n, const tsr_extent *const *e) {
    int64_t v[TSR_MAX_RANK], one = 1, count = n;
    struct hlo_value *part[TSR_MAX_RANK];
    if (exp_exts_ints(n, e, v)) return exp_index_list(x, n, v);
    for (int i = 0; i < n; i++)
        part[i] = exp_reshape(x, exp_extent(x, e[i]), exp_dims_type(x, TSR_I64, 1, &one));
    struct hlo_named dim = exp_int(x, "dimension", 0);
    return exp_make(x, HLO_OP_CONCATENATE, exp_dims_type(x, TSR_I64, 1, &count), n, part, 1, &dim);
}
