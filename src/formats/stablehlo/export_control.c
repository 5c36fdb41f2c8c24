/* export_control.c: calls, composites, loops, branches.
 *
 * Bodies become regions: what they captured is used in place, their own parameters are block arguments. A scan is a
 * while that counts: it carries the turn, the carries, and the stacked results, which are written a slice at a time. */
#include <string.h>

#include "formats/stablehlo/export.h"
#include "formats/stablehlo/export_call.h"

static int implicit(const tsr_fn *f) { return (int)f->param.n - f->nparam; }

/* Sources from..from+n as values, and their types. */
static bool values_of(struct exp *x, const tsr_node *n, int from, int count, struct hlo_value **v,
    const struct hlo_type **t) {
    for (int i = 0; i < count; i++) {
        if (!(v[i] = exp_in(x, n, from + i))) return false;
        if (t) t[i] = v[i]->type;
    }
    return true;
}

static struct hlo_value **new_values(struct exp *x, int n) {
    return arena_array(&x->m->arena, (size_t)n + 1, sizeof(struct hlo_value *));
}
static const struct hlo_type **new_types(struct exp *x, int n) {
    return arena_array(&x->m->arena, (size_t)n + 1, sizeof(struct hlo_type *));
}

/* f in place: its explicit parameters are given, the implicit ones are sources of n from `capture` on. */
static bool body_in_place(struct exp *x, const tsr_node *n, const tsr_fn *f, struct hlo_value *const *param,
    int capture, struct hlo_value **result) {
    struct hlo_value **all = new_values(x, (int)f->param.n);
    if (!all) return false;
    for (int i = 0; i < f->nparam; i++) all[i] = param[i];
    return values_of(x, n, capture, implicit(f), all + f->nparam, NULL) && exp_body(x, f, all, result);
}

/* Region r is f, with block arguments for its parameters (types t) or, where `param` is given, no arguments. */
static bool body_as_region(struct exp *x, const tsr_node *n, const tsr_fn *f, struct hlo_region *r,
    const struct hlo_type *const *t, struct hlo_value *const *param, int capture) {
    struct hlo_value **result = new_values(x, (int)f->result.n), **arg = new_values(x, f->nparam);
    struct exp_region saved;
    if (!result || !arg || !exp_region_begin(x, r, param ? 0 : f->nparam, t, &saved)) return false;
    for (int i = 0; i < f->nparam; i++) arg[i] = param ? param[i] : &x->block->arg[i];
    bool ok = body_in_place(x, n, f, arg, capture, result) && exp_return(x, f->nresult, result);
    exp_region_end(x, &saved);
    return ok;
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */
const struct hlo_attr *exp_attr_value(struct exp *x, const struct attr *a) {
    int64_t v[64];
    switch (attr_kind(a->key)) {
    case ATTR_KIND_INT: return hlo_attr_int(x->m, HLO_I64, a->i);
    case ATTR_KIND_INTS: return hlo_attr_ints(x->m, HLO_I64, (int)a->n, a->ints);
    case ATTR_KIND_FLOAT: return hlo_attr_float(x->m, HLO_F64, a->f);
    case ATTR_KIND_STR: return hlo_attr_string(x->m, a->str, strlen(a->str));
    case ATTR_KIND_DTYPE: return hlo_attr_type(x->m, hlo_type_scalar(x->m, exp_elem(a->dtype)));
    case ATTR_KIND_EXTS:
        if (a->n <= 64 && exp_exts_ints((int)a->n, a->exts, v)) return hlo_attr_ints(x->m, HLO_I64, (int)a->n, v);
        break;
    default: break;
    }
    err_set(x->c, TSR_EUNSUPPORTED, "StableHLO export: the attribute %s of a call has no form there",
        attr_name(a->key));
    return NULL;
}

static const struct hlo_attr *attr_dict(struct exp *x, int n, const struct attr *a) {
    struct hlo_named field[EXP_ATTRS_MAX];
    TSR_ASSERT(n <= EXP_ATTRS_MAX);
    for (int i = 0; i < n; i++)
        if (!(field[i] = exp_named(attr_name(a[i].key), exp_attr_value(x, &a[i]))).value) return NULL;
    return hlo_attr_dict(x->m, n, field);
}

bool exp_call(struct exp *x, const tsr_node *n) {
    const tsr_fn *f = n->fn[0];
    int results = type_results(n->type), nattr = 1;
    struct hlo_value **in = new_values(x, n->nsrc);
    const struct hlo_type **t = new_types(x, results);
    const char *name = exp_function(x, f, f->name);
    if (!in || !t || !name || !values_of(x, n, 0, n->nsrc, in, NULL)) return false;
    for (int i = 0; i < results; i++) t[i] = exp_type(x, type_result(n->type, i));
    struct hlo_named attr[3] = {exp_named(f->composite ? "decomposition" : "callee", hlo_attr_symbol(x->m, name))};
    if (f->composite) attr[nattr++] = exp_string(x, "name", f->composite->name);
    if (f->composite && f->nattr)
        attr[nattr++] = exp_named("composite_attributes", attr_dict(x, f->nattr, f->attr));
    return exp_done_op(x, n, exp_op(x, f->composite ? HLO_OP_COMPOSITE : HLO_OP_CALL, n->nsrc, in, nattr, attr, results,
        t, 0));
}

/* ---- while, cond ------------------------------------------------------------------------------------------------ */
bool exp_while(struct exp *x, const tsr_node *n) {
    const tsr_fn *cond = n->fn[0], *body = n->fn[1];
    int count = body->nparam;
    struct hlo_value **in = new_values(x, count);
    const struct hlo_type **t = new_types(x, count);
    if (!in || !t || !values_of(x, n, 0, count, in, t)) return false;
    struct hlo_op *op = exp_op(x, HLO_OP_WHILE, count, in, 0, NULL, count, t, 2);
    return op && body_as_region(x, n, cond, &op->region[0], t, NULL, count) &&
           body_as_region(x, n, body, &op->region[1], t, NULL, count + implicit(cond)) && exp_done_op(x, n, op);
}

/* The index as i32; what is out of range stays so. */
static struct hlo_value *branch_index(struct exp *x, const tsr_node *n) {
    tsr_dtype t = n->src[0]->type->dtype;
    const struct hlo_type *s = exp_scalar_type(x, t);
    struct hlo_value *i = exp_in(x, n, 0);
    if (t == TSR_I32) return i;
    if (tsr_dtype_of(t)->bits > 16) i = exp_make2(x, HLO_OP_MINIMUM, s, i, exp_integer(x, t, n->nfn));
    if (t == TSR_I64) i = exp_make2(x, HLO_OP_MAXIMUM, s, i, exp_integer(x, t, -1));
    return exp_convert(x, i, TSR_I32);
}

bool exp_cond(struct exp *x, const tsr_node *n) {
    bool truth = n->src[0]->type->dtype == TSR_BOOL;
    int count = n->fn[0]->nparam, results = type_results(n->type);
    struct hlo_value **arg = new_values(x, count), *index = truth ? exp_in(x, n, 0) : branch_index(x, n);
    const struct hlo_type **t = new_types(x, results);
    if (!arg || !t || !values_of(x, n, 1, count, arg, NULL)) return false;
    for (int i = 0; i < results; i++) t[i] = exp_type(x, type_result(n->type, i));
    struct hlo_op *op = exp_op(x, truth ? HLO_OP_IF : HLO_OP_CASE, 1, &index, 0, NULL, results, t, n->nfn);
    if (!op) return false;
    for (int b = 0, capture = 1 + count; b < n->nfn; capture += implicit(n->fn[b]), b++) /* if: true comes first */
        if (!body_as_region(x, n, n->fn[b], &op->region[truth ? 1 - b : b], NULL, arg, capture)) return false;
    return exp_done_op(x, n, op);
}

/* ---- scan ------------------------------------------------------------------------------------------------------- */
struct scan {
    const tsr_fn *body;
    int carry, xs, ys, nstate;  /* state: turn, carries, stacked results */
    bool reverse;
    struct hlo_value *trips, *zero, *one;
    struct hlo_value **stacked;           /* (xs) what is scanned */
    const tsr_type *const *stacked_type;  /* (xs) */
    struct hlo_value **sizes;             /* (xs) tensor of slice sizes, where they are symbolic */
    const struct hlo_type **state_type;   /* (nstate) */
};

static const struct hlo_type *index_type(struct exp *x) { return exp_scalar_type(x, TSR_I64); }

/* x[t] of a stacked value: the slice of its first axis, that axis dropped. */
static struct hlo_value *take(struct exp *x, const struct scan *s, int k, struct hlo_value *turn) {
    const tsr_type *t = s->stacked_type[k], *row = type_drop_axis(x->c, t, 0);
    const struct hlo_type *type = row ? exp_type(x, row) : NULL;
    struct hlo_value *in[1 + TSR_MAX_RANK] = {s->stacked[k], turn};
    int64_t size[TSR_MAX_RANK], zero = 0, axes[TSR_MAX_RANK];
    for (int a = 2; a <= t->rank; a++) in[a] = s->zero;
    for (int a = 1; a < t->rank; a++) axes[a - 1] = a - 1;
    size[0] = 1;
    if (!type) return NULL;
    if (exp_exts_ints(t->rank - 1, t->extent + 1, size + 1)) {
        struct hlo_named sizes = exp_ints(x, "slice_sizes", t->rank, size);
        const struct hlo_type *slice = exp_dims_type(x, t->dtype, t->rank, size);
        return exp_reshape(x, exp_make(x, HLO_OP_DYNAMIC_SLICE, slice, 1 + t->rank, in, 1, &sizes), type);
    }
    int64_t one = 1;
    struct exp_numbers d = {.n_offset = t->rank - 1, .offset = axes, .n_collapsed = 1, .collapsed = &zero, .n_map = 1,
        .map = &zero};
    struct hlo_named numbers = exp_named("dimension_numbers", exp_gather_dims(x, &d));
    struct hlo_value *gather[] = {s->stacked[k], exp_reshape(x, turn, exp_dims_type(x, TSR_I64, 1, &one)),
        s->sizes[k]};
    return exp_make(x, HLO_OP_DYNAMIC_GATHER, type, 3, gather, 1, &numbers);
}

/* stacked with y written at `turn`. */
static struct hlo_value *put(struct exp *x, const struct scan *s, struct hlo_value *stacked, const tsr_type *row,
    struct hlo_value *y, struct hlo_value *turn) {
    const tsr_type *one_row = type_insert_axis(x->c, row, 0, tsr_extent_int(x->c, 1));
    const struct hlo_type *type = one_row ? exp_type(x, one_row) : NULL;
    struct hlo_value *in[2 + TSR_MAX_RANK + 1] = {stacked, NULL, turn};
    int64_t axes[TSR_MAX_RANK];
    for (int a = 0; a < row->rank; a++) axes[a] = a + 1, in[3 + a] = s->zero;
    if (!type || !y) return NULL;
    if (hlo_type_static(type)) {
        in[1] = exp_reshape(x, y, type);
    } else {
        struct hlo_named dims = exp_ints(x, "broadcast_dimensions", row->rank, axes);
        struct hlo_value *grown[] = {y, exp_extents(x, one_row->rank, one_row->extent)};
        in[1] = exp_make(x, HLO_OP_DYNAMIC_BROADCAST_IN_DIM, type, 2, grown, 1, &dims);
    }
    return exp_make(x, HLO_OP_DYNAMIC_UPDATE_SLICE, stacked->type, 3 + row->rank, in, 0, NULL);
}

static bool scan_condition(struct exp *x, const struct scan *s, struct hlo_region *r) {
    struct exp_region saved;
    if (!exp_region_begin(x, r, s->nstate, s->state_type, &saved)) return false;
    struct hlo_value *more = exp_compare(x, "LT", TSR_I64, false, &x->block->arg[0], s->trips);
    bool ok = more && exp_return(x, 1, &more);
    exp_region_end(x, &saved);
    return ok;
}

/* The new state from the old, in the loop's body. */
static bool scan_turn(struct exp *x, const tsr_node *n, const struct scan *s, struct hlo_value **state) {
    struct hlo_value *turn = state[0], **arg = new_values(x, s->carry + s->xs);
    struct hlo_value **result = new_values(x, (int)s->body->result.n);
    const struct hlo_type *i64 = index_type(x);
    if (!arg || !result) return false;
    state[0] = exp_make2(x, HLO_OP_ADD, i64, turn, s->one);
    if (s->reverse) turn = exp_make2(x, HLO_OP_SUBTRACT, i64, s->trips, state[0]);
    for (int i = 0; i < s->carry; i++) arg[i] = state[1 + i];
    for (int k = 0; k < s->xs; k++)
        if (!(arg[s->carry + k] = take(x, s, k, turn))) return false;
    if (!body_in_place(x, n, s->body, arg, s->carry + s->xs, result)) return false;
    for (int i = 0; i < s->carry; i++) state[1 + i] = result[i];
    for (int j = 0; j < s->ys; j++) {
        struct hlo_value **stacked = &state[1 + s->carry + j];
        *stacked = put(x, s, *stacked, s->body->result.v[s->carry + j]->type, result[s->carry + j], turn);
        if (!*stacked) return false;
    }
    return state[0] != NULL;
}

static bool scan_body(struct exp *x, const tsr_node *n, const struct scan *s, struct hlo_region *r) {
    struct exp_region saved;
    struct hlo_value **state = new_values(x, s->nstate);
    if (!state || !exp_region_begin(x, r, s->nstate, s->state_type, &saved)) return false;
    for (int i = 0; i < s->nstate; i++) state[i] = &x->block->arg[i];
    bool ok = scan_turn(x, n, s, state) && exp_return(x, s->nstate, state);
    exp_region_end(x, &saved);
    return ok;
}

/* What the loop uses from outside, made before it: constants, sizes. */
static bool scan_prepare(struct exp *x, const tsr_node *n, struct scan *s) {
    const tsr_type **type = arena_array(&x->m->arena, (size_t)s->xs + 1, sizeof *type);
    s->stacked = new_values(x, s->xs), s->sizes = new_values(x, s->xs);
    s->trips = exp_extent(x, node_exts(n, ATTR_TRIPS, NULL)[0]);
    s->zero = exp_integer(x, TSR_I64, 0), s->one = exp_integer(x, TSR_I64, 1);
    if (!type || !s->stacked || !s->sizes || !s->trips || !s->zero || !s->one) return false;
    for (int k = 0; k < s->xs; k++) {
        const tsr_extent *size[TSR_MAX_RANK];
        const tsr_type *t = type[k] = n->src[s->carry + k]->type;
        s->stacked[k] = exp_in(x, n, s->carry + k);
        size[0] = tsr_extent_int(x->c, 1);
        for (int a = 1; a < t->rank; a++) size[a] = t->extent[a];
        if (!tsr_type_ints(t, NULL) && !(s->sizes[k] = exp_extents(x, t->rank, size))) return false;
    }
    s->stacked_type = type;
    return true;
}

/* No turn at all, known beforehand: there is no slice that the body could be written with. */
static bool no_turns(struct exp *x, const tsr_node *n, const struct scan *s) {
    struct hlo_value **out = new_values(x, s->nstate);
    if (!out) return false;
    for (int i = 0; i < s->carry + s->ys; i++)
        out[i] = i < s->carry ? exp_in(x, n, i) : exp_zeros(x, type_result(n->type, i));
    return exp_out(x, n, out);
}

bool exp_scan(struct exp *x, const tsr_node *n) {
    const tsr_fn *f = n->fn[0];
    struct scan s = {.body = f, .carry = (int)node_int(n, ATTR_CARRY), .reverse = node_int(n, ATTR_REVERSE) != 0};
    s.xs = f->nparam - s.carry, s.ys = f->nresult - s.carry, s.nstate = 1 + s.carry + s.ys;
    if (extent_is(node_exts(n, ATTR_TRIPS, NULL)[0], 0)) return no_turns(x, n, &s);
    struct hlo_value **in = new_values(x, s.nstate), **out = new_values(x, s.nstate);
    s.state_type = new_types(x, s.nstate);
    if (!in || !out || !s.state_type || !scan_prepare(x, n, &s)) return false;
    for (int i = 0; i < s.nstate; i++) {
        in[i] = i == 0 ? s.zero : i <= s.carry ? exp_in(x, n, i - 1) : exp_zeros(x, type_result(n->type, i - 1));
        if (!in[i]) return false;
        s.state_type[i] = in[i]->type;
    }
    struct hlo_op *op = exp_op(x, HLO_OP_WHILE, s.nstate, in, 0, NULL, s.nstate, s.state_type, 2);
    if (!op || !scan_condition(x, &s, &op->region[0]) || !scan_body(x, n, &s, &op->region[1])) return false;
    for (int i = 1; i < s.nstate; i++) out[i - 1] = &op->result[i];
    return exp_out(x, n, out);
}
