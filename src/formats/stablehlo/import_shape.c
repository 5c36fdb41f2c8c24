/* import_shape.c: shape values: what small integer tensors are as extents.
 *
 * Programs with dynamic shapes compute them: get_dimension_size and integer arguments, through arithmetic, concatenate
 * and select, into the shape operand of a dynamic_* operation. Beside the node that computes such a tensor, an
 * imp_value of at most 64 integers or truth values keeps each element as an extent expression where that can be said
 * (imp_value.shape_value; single elements may be unknown). imp_shape_values works them out after every operation
 * (import_shape_rules.c says how); nothing depends on them until imp_extents asks for the extents of an operand.
 *
 * An integer argument is a symbol of its own (arg0, arg1[2]), which takes its value from the argument when the fn runs,
 * but only if an extent is made of it (tsr_fn_size). Scalars of which extents are made are not negative (JAX's
 * dimension arguments); elements of vectors, which may be starts of slices, can be. Other integers become symbols that
 * no extent may keep (runtime0, ...): they must cancel. Constants wrap as their types do. */
#include <stdio.h>
#include <string.h>

#include "formats/stablehlo/import_shape_rules.h"
#include "graph/interp.h"
#include "graph/node.h"

enum { SHAPE_MAX = 64, PARAM_MAX = 8, RUNTIME_MAX = 2048, FOLD_NODES = 256, FOLD_ELEMENTS = 4096 };

/* ---- known values ------------------------------------------------------------------------------------------------ */

static ext number(struct imp *p, int64_t v) { return tsr_extent_int(p->c, v); }

/* A constant as its type holds it; anything else is itself. */
static ext wrapped(struct imp *p, const struct hlo_type *t, ext e) {
    int bits = hlo_elem_of(t->elem)->bits;
    int64_t v;
    if (!tsr_extent_is_int(e, &v) || bits >= 64) return e;
    uint64_t low = (uint64_t)v & (((uint64_t)1 << bits) - 1);
    bool sign = tsr_dtype_of(hlo_elem_of(t->elem)->dtype)->kind == TSR_KIND_INT && low >> (bits - 1);
    int64_t w = (int64_t)(sign ? low | ~(uint64_t)0 << bits : low);
    return shape_is_truth(t) ? number(p, v != 0) : w == v ? e : number(p, w);
}

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

bool shape_known_of(struct imp *p, const struct hlo_op *op, int i, struct shape_known *k) {
    if (i >= op->noperand) return false;
    struct imp_value *v = imp_value(p, op->operand[i]);
    if (!v->shape_value) name_elements(p, v);
    *k = (struct shape_known){v->type, v->type && v->shape_value ? hlo_type_count(v->type) : 0, v->shape_value};
    return k->v != NULL;
}

/* ---- keeping them ------------------------------------------------------------------------------------------------ */

/* Result 0 as it was built, when it is a small tensor of integers: its type with the extents found out. */
static struct imp_value *small_result(struct imp *p, const struct hlo_op *op, int64_t *n) {
    if (op->nresult != 1 || p->lift) return NULL;
    struct imp_value *v = imp_value(p, &op->result[0]);
    if (!v->node || !v->type || v->shape_value || !shape_is_int(v->type) || v->type->rank > TSR_MAX_RANK) return NULL;
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
    bool any = false;
    shape_element *rule = shape_rule_of(op->code);
    if (!rule && op->code != HLO_OP_CONSTANT) return true;
    struct imp_value *v = small_result(p, op, &n);
    if (!v) return true;
    ext *e = arena_array(&p->arena, (size_t)n + 1, sizeof *e);
    if (!e) return false;
    if (op->code == HLO_OP_CONSTANT) return keep_constant(p, op, v, n, e);
    for (int64_t i = 0; i < n; i++) {
        e[i] = rule(p, op, v->type, i);
        if (e[i]) e[i] = wrapped(p, v->type, e[i]);
        any = any || e[i];
    }
    if (any || !n) v->shape_value = e;
    return !err_any(p->c);
}

bool imp_shape_param(struct imp *p, int arg, struct imp_value *v) {
    int64_t n = v->type->kind == HLO_T_TENSOR && hlo_type_static(v->type) ? hlo_type_count(v->type) : -1;
    char name[64];
    if (!shape_is_int(v->type) || shape_is_truth(v->type) || v->type->rank > 1 || n < 0 || n > PARAM_MAX) return true;
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
    struct shape_known k;
    struct imp_value *v = imp_operand_value(p, op, i);
    if (!v) return false;
    if (!v->type || v->type->kind != HLO_T_TENSOR || hlo_type_count(v->type) != n || n > SHAPE_MAX)
        return imp_fail(p, op, "operand %d gives sizes: %d integers are needed", i, n);
    bool have = shape_known_of(p, op, i, &k);
    for (int j = 0; have && j < n; j++) have = k.v[j] && !is_runtime(p, k.v[j]);
    if (!have && !imp_const_ints(p, op, i, folded, n)) return not_sizes(p, op, i);
    for (int j = 0; j < n; j++) {
        out[j] = have ? k.v[j] : number(p, folded[j]);
        if (!out[j] || !need_sizes(p, out[j])) return false;
    }
    return true;
}

bool imp_slice_sizes(struct imp *p, const struct hlo_op *op, int start, int limit, int n, const tsr_extent **out) {
    struct shape_known a, b;
    bool have = shape_known_of(p, op, start, &a) && shape_known_of(p, op, limit, &b) && a.n == n && b.n == n;
    for (int i = 0; i < n; i++) {
        out[i] = have && a.v[i] && b.v[i] ? shape_difference(p, b.v[i], a.v[i]) : NULL;
        if (!out[i] || is_runtime(p, out[i])) return not_sizes(p, op, limit);
        if (!need_sizes(p, out[i])) return false;
    }
    return true;
}

bool imp_is_runtime(struct imp *p, const struct hlo_op *op, int i) {
    struct shape_known k;
    if (!shape_known_of(p, op, i, &k)) return false;
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
    struct shape_known k;
    if (i >= op->noperand || op->operand[i]->type->kind != HLO_T_TENSOR) return false;
    const struct imp_value *v = imp_value(p, op->operand[i]);
    if (!v->type || hlo_type_count(v->type) != n) return false;
    bool have = shape_known_of(p, op, i, &k);
    for (int j = 0; have && j < n; j++) have = k.v[j] && tsr_extent_is_int(k.v[j], &out[j]);
    const struct hlo_op *from = op->operand[i]->op;
    bool literal = from && from->code == HLO_OP_CONSTANT && shape_is_int(v->type);
    const struct hlo_attr *a = literal ? hlo_get(from, "value") : NULL;
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
