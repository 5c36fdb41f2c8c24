/* op_elem.c: the elementwise ops: one record for each function of scalar.h, all made from its list.
 *
 * Operands have one dtype and one shape; nothing is broadcast or promoted here (ops.h does that). Two exceptions,
 * as in StableHLO: the predicate of select and the bounds of clamp may be scalars. The type rule, batching rule and
 * reference kernel below serve every function; gradients are in op_elem_grad.c, samplers in op_elem_sample.c. */
#include <string.h>

#include "graph/op_elem.h"

const struct elem_info elem_info[TSR_SCALAR_COUNT] = {
#define X(NAME, text, arity, result, domain, formula) [TSR_S_##NAME] = {text, arity, ELEM_##result, domain},
    TSR_SCALAR_LIST(X)
#undef X
};

/* ---- type ------------------------------------------------------------------------------------------------------- */

/* Which operand gives the shape and the dtype, and which may be scalars instead. */
static int lead_operand(tsr_scalar fn) { return fn == TSR_S_SELECT || fn == TSR_S_CLAMP; }
static bool may_be_scalar(tsr_scalar fn, int i) {
    return (fn == TSR_S_SELECT && i == 0) || (fn == TSR_S_CLAMP && i != 1);
}

static const char *kinds_text(const char *domain) {
    static const char letters[] = "fiubc";
    static const char *const texts[32] = {
        [1] = "floats", [2] = "signed integers", [6] = "integers", [7] = "floats and integers",
        [14] = "integers and bool", [15] = "floats, integers and bool", [17] = "floats and complex numbers",
        [19] = "floats, signed integers and complex numbers", [23] = "floats, integers and complex numbers",
        [31] = "every dtype of numbers and truth values",
    };
    int bits = 0;
    for (int i = 0; i < 5; i++) bits |= (strchr(domain, letters[i]) != NULL) << i;
    return texts[bits] ? texts[bits] : domain;
}

bool op_admits(const char *domain, tsr_dtype t) {
    static const char letter[] = {[TSR_KIND_FLOAT] = 'f', [TSR_KIND_INT] = 'i', [TSR_KIND_UINT] = 'u',
        [TSR_KIND_BOOL] = 'b', [TSR_KIND_COMPLEX] = 'c'};
    tsr_kind k = tsr_dtype_of(t)->kind;
    return k != TSR_KIND_BLOCK && strchr(domain, letter[k]) != NULL;
}

static bool check_dtypes(tsr_ctx *c, tsr_scalar fn, const struct draft *d) {
    const struct elem_info *f = &elem_info[fn];
    const tsr_type *x = d->src[lead_operand(fn)]->type;
    for (int i = 0; i < d->nsrc; i++) {
        const tsr_type *t = d->src[i]->type;
        if (t->kind != TSR_TENSOR)
            return err_set(c, TSR_EINVAL, "%s: operand %d is %s; take one item of it with tsr_item", f->name, i,
                type_text(c, t)), false;
        if (fn == TSR_S_SELECT && i == 0) {
            if (t->dtype == TSR_BOOL) continue;
            return err_set(c, TSR_EINVAL, "select: the predicate is %s, it must be bool; compare first (tsr_ne with "
                "0)", type_text(c, t)), false;
        }
        if (t->dtype == x->dtype) continue;
        return err_set(c, TSR_EINVAL, "%s: operands have different dtypes: %s and %s; primitives do not promote: "
            "convert one with tsr_prim_convert, or use the builders of ops.h, which promote", f->name,
            type_text(c, x), type_text(c, t)), false;
    }
    if (op_admits(f->domain, x->dtype)) return true;
    return err_set(c, TSR_EINVAL, "%s is not defined for %s: it takes %s; convert first with tsr_prim_convert",
        f->name, type_text(c, x), kinds_text(f->domain)), false;
}

static bool check_shapes(tsr_ctx *c, tsr_scalar fn, const struct draft *d) {
    const char *name = elem_info[fn].name;
    const tsr_type *x = d->src[lead_operand(fn)]->type;
    for (int i = 0; i < d->nsrc; i++) {
        const tsr_type *t = d->src[i]->type;
        if (t->rank == 0 && may_be_scalar(fn, i)) continue;
        const char *hint = "primitives do not broadcast: use tsr_prim_broadcast, or the builders of ops.h, which do";
        if (t->rank != x->rank)
            return err_set(c, TSR_EINVAL, "%s: operands have different shapes: %s and %s; %s", name, type_text(c, x),
                type_text(c, t), hint), false;
        for (int axis = 0; axis < x->rank; axis++) {
            if (x->extent[axis] == t->extent[axis]) continue;
            if (!extent_require_equal(c, x->extent[axis], t->extent[axis],
                "%s: operands have different shapes: %s and %s (axis %d); %s", name, type_text(c, x), type_text(c, t),
                axis, hint))
                return false;
        }
    }
    return true;
}

static bool result_dtype(tsr_ctx *c, tsr_scalar fn, tsr_dtype t, tsr_dtype *out) {
    switch (elem_info[fn].result) {
    case ELEM_BOOL: *out = TSR_BOOL; return true;
    case ELEM_REAL: *out = dtype_real(t); return true;
    case ELEM_CPLX:
        *out = t == TSR_F64 ? TSR_C128 : TSR_C64;
        if (t == TSR_F64 || t == TSR_F32) return true;
        return err_set(c, TSR_EINVAL, "%s: there is no complex dtype of two %s parts; convert them to f32 or f64 "
            "first", elem_info[fn].name, tsr_dtype_name(t)), false;
    default: *out = t; return true;
    }
}

static const tsr_type *elem_infer(tsr_ctx *c, const struct draft *d) {
    tsr_scalar fn = (tsr_scalar)d->op;
    const struct elem_info *f = &elem_info[fn];
    tsr_dtype t;
    if (d->nsrc != f->arity) {
        err_set(c, TSR_EINVAL, "%s takes %d operand%s, %d given", f->name, f->arity, f->arity == 1 ? "" : "s", d->nsrc);
        return NULL;
    }
    const tsr_type *x = d->src[lead_operand(fn)]->type;
    if (!check_dtypes(c, fn, d) || !check_shapes(c, fn, d) || !result_dtype(c, fn, x->dtype, &t)) return NULL;
    return t == x->dtype ? x : type_with_dtype(c, x, t);
}

/* ---- batching --------------------------------------------------------------------------------------------------- */

/* An unbatched scalar predicate or bound stays a scalar; a batched one meets a shape, so it is spread over it. */
static tsr_node *batch_operand(tsr_ctx *c, tsr_node *n, int i, tsr_node *x, bool batched, const tsr_extent *size) {
    int lead = lead_operand((tsr_scalar)n->op);
    const tsr_type *whole = n->src[lead]->type, *own = n->src[i]->type;
    bool scalar = own->rank == 0 && may_be_scalar((tsr_scalar)n->op, i);
    if (scalar && !batched) return x;
    if (!scalar || whole->rank == 0) return rule_batch(c, x, batched, size);
    const tsr_type *t = type_insert_axis(c, type_with_dtype(c, whole, own->dtype), 0, size);
    return t ? tsr_prim_broadcast(c, x, t, (int64_t[]){0}) : tsr_poison(c);
}

static tsr_node *elem_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    tsr_node *x[3];
    for (int i = 0; i < n->nsrc; i++) x[i] = batch_operand(c, n, i, src[i], batched[i], size);
    return tsr_prim_elem(c, (tsr_scalar)n->op, n->nsrc, x);
}

/* ---- reference -------------------------------------------------------------------------------------------------- */

static tsr_status elem_ref(struct ref_call *r) {
    tsr_scalar fn = (tsr_scalar)r->node->op;
    tsr_dtype t = r->in[lead_operand(fn)].dtype;
    struct ref_val v[3];
    for (int64_t i = 0; i < r->out->count; i++) {
        for (int j = 0; j < r->nin; j++) v[j] = ref_get(&r->in[j], r->in[j].rank == 0 ? 0 : i);
        ref_set(r->out, i, ref_scalar(fn, t, v));
    }
    return TSR_OK;
}

/* ---- builders and records --------------------------------------------------------------------------------------- */

tsr_node *tsr_prim_elem(tsr_ctx *c, tsr_scalar fn, int n, tsr_node *const *x) {
    if ((unsigned)fn >= TSR_SCALAR_COUNT) {
        err_set(c, TSR_EINVAL, "there is no elementwise function number %d", (int)fn);
        return tsr_poison(c);
    }
    if (fn == TSR_S_REAL && n == 1 && !tsr_is_poison(x[0]) && x[0]->type->kind == TSR_TENSOR &&
        dtype_is_float(x[0]->type->dtype))
        return x[0];
    return node_make(c, &(struct draft){.op = (enum tsr_op)fn, .nsrc = n, .src = x});
}
tsr_node *tsr_prim1(tsr_ctx *c, tsr_scalar fn, tsr_node *x) { return tsr_prim_elem(c, fn, 1, &x); }
tsr_node *tsr_prim2(tsr_ctx *c, tsr_scalar fn, tsr_node *x, tsr_node *y) {
    return tsr_prim_elem(c, fn, 2, (tsr_node *[]){x, y});
}
tsr_node *tsr_prim3(tsr_ctx *c, tsr_scalar fn, tsr_node *x, tsr_node *y, tsr_node *z) {
    return tsr_prim_elem(c, fn, 3, (tsr_node *[]){x, y, z});
}

const struct op_def op_elem[TSR_SCALAR_COUNT] = {
#define X(NAME, text, n, result, kinds, equation)                                                            \
    [TSR_S_##NAME] = {.name = text, .formula = equation, .spec = "StableHLO, CHLO: " text, .cls = OP_ELEM,   \
        .arity = n, .domain = kinds, .infer = elem_infer, .vjp = elem_vjp_##NAME, .vmap = elem_vmap,         \
        .ref = elem_ref, .sample = sample_##NAME},
    TSR_SCALAR_LIST(X)
#undef X
};
