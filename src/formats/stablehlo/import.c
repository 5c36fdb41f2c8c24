/* import.c: the frame of the importer: functions, values, operations, errors.
 *
 * hlo_import opens a fn, gives the function's arguments parameters, builds its operations in order and ends the fn. A
 * frame holds the values of one function by their dense ids, those of its regions included; a call pushes a frame and
 * builds the callee in place. imp_op looks the handler up (import_table.c), and the first error gets the position of
 * the operation that was being built: a handler says what is wrong in its own words with imp_fail, or lets the message
 * of a graph builder stand.
 *
 * Hostile modules: calls and regions nest at most IMP_DEPTH_MAX deep (a recursive function ends there), and one import
 * builds at most IMP_BUDGET operations. */
#include <stdio.h>
#include <string.h>

#include "formats/stablehlo/import_shape.h"
#include "graph/room.h"

/* ---- errors ----------------------------------------------------------------------------------------------------- */

bool imp_fail(struct imp *p, const struct hlo_op *op, const char *fmt, ...) {
    char text[512];
    va_list ap;
    if (err_any(p->c)) return false;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    hlo_fail(p->m, op->loc, "%s: %s", op->name, text);
    p->placed = true;
    return false;
}

/* What a graph builder has recorded gets the position of the op it was called for. */
static bool place_error(struct imp *p, const struct hlo_op *op) {
    if (!err_any(p->c)) return imp_fail(p, op, "it could not be imported");
    if (!p->placed) {
        if (op->loc.line) err_prefix(p->c, "%s:%u:%u: %s", p->m->file, op->loc.line, op->loc.col, op->name);
        else err_prefix(p->c, "%s: byte %u: %s", p->m->file, op->loc.col, op->name);
    }
    p->placed = true;
    return false;
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

tsr_dtype imp_dtype(const struct hlo_type *t) {
    return hlo_elem_of(t->quant ? t->quant->storage : t->elem)->dtype;
}

const tsr_type *imp_type(struct imp *p, const struct hlo_type *t) {
    if (t->kind == HLO_T_TENSOR && hlo_type_static(t)) return tsr_type_dims(p->c, imp_dtype(t), t->rank, t->dim);
    struct str s;
    str_init(&s, p->c);
    hlo_type_text(&s, t);
    err_set(p->c, TSR_EUNSUPPORTED, "the type %s has no fixed extents; only static tensors can stand here", s.s);
    str_release(&s);
    return NULL;
}

/* The declared type with the extents that its node has. NULL: out of memory. */
static const struct hlo_type *refined(struct imp *p, const struct hlo_type *t, const tsr_node *n) {
    if (t->kind != HLO_T_TENSOR || hlo_type_static(t)) return t;
    struct hlo_type *own = arena_alloc(&p->arena, sizeof *own);
    int64_t *dim = arena_array(&p->arena, (size_t)t->rank + 1, sizeof *dim);
    if (!own || !dim) return NULL;
    *own = *t, own->dim = dim;
    for (int a = 0; a < t->rank; a++) {
        int64_t known = tsr_node_dim(n, a);
        dim[a] = t->dim[a] == HLO_DYNAMIC && known >= 0 ? known : t->dim[a];
    }
    return own;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

struct imp_value *imp_value(struct imp *p, const struct hlo_value *v) { return &p->frame->value[v->id]; }

struct imp_value *imp_operand_value(struct imp *p, const struct hlo_op *op, int i) {
    if (i < op->noperand) return imp_value(p, op->operand[i]);
    return imp_fail(p, op, "it has %d operands, at least %d are needed", op->noperand, i + 1), NULL;
}

tsr_node *imp_lifted(struct imp *p, tsr_node *n) {
    if (!p->lift || !p->lift->rank || tsr_is_poison(n) || tsr_node_rank(n)) return n;
    return tsr_prim_broadcast(p->c, n, type_with_dtype(p->c, p->lift, tsr_node_dtype(n)), NULL);
}

tsr_node *imp_operand(struct imp *p, const struct hlo_op *op, int i) {
    struct imp_value *v = imp_operand_value(p, op, i);
    if (v && v->node) return imp_lifted(p, v->node);
    if (v) imp_fail(p, op, "operand %d is no tensor (a token, a tuple, or not yet defined)", i);
    return tsr_poison(p->c);
}

static bool wrong_type(struct imp *p, const struct hlo_op *op, int i, const tsr_node *n) {
    struct str s;
    str_init(&s, p->c);
    hlo_type_text(&s, op->result[i].type);
    imp_fail(p, op, "result %d is declared %s, but comes out as %s", i, s.s, type_text(p->c, tsr_node_type(n)));
    str_release(&s);
    return false;
}

/* Does node n have the declared type t? A '?' agrees with anything; a symbolic extent that may be the declared one
 * becomes a check of the fn. */
static bool agrees(struct imp *p, const struct hlo_op *op, int i, const tsr_node *n) {
    const struct hlo_type *t = op->result[i].type;
    if (t->kind != HLO_T_TENSOR || tsr_node_dtype(n) != imp_dtype(t)) return wrong_type(p, op, i, n);
    if (p->lift) return true;
    if (tsr_node_rank(n) != t->rank) return wrong_type(p, op, i, n);
    for (int a = 0; a < t->rank; a++) {
        int64_t known = tsr_node_dim(n, a);
        if (t->dim[a] == HLO_DYNAMIC || known == t->dim[a]) continue;
        if (known >= 0) return wrong_type(p, op, i, n);
        if (!extent_require_equal(p->c, tsr_node_extent(n, a), tsr_extent_int(p->c, t->dim[a]),
            "%s: axis %d of result %d is declared %lld", op->name, a, i, (long long)t->dim[a])) return false;
    }
    return true;
}

bool imp_result(struct imp *p, const struct hlo_op *op, int i, tsr_node *n) {
    if (i >= op->nresult) return imp_fail(p, op, "it has %d results, %d are needed", op->nresult, i + 1);
    if (tsr_is_poison(n) || !agrees(p, op, i, n)) return false;
    const struct hlo_type *t = op->result[i].type;
    if (tsr_is_poison(n = imp_on_grid(p, t, n))) return false;
    struct imp_value v = {.node = n, .type = p->lift ? t : refined(p, t, n)};
    if (!v.type) return false;
    *imp_value(p, &op->result[i]) = v;
    return true;
}

bool imp_results(struct imp *p, const struct hlo_op *op, tsr_node *tuple) {
    if (tsr_is_poison(tuple)) return false;
    if (tsr_node_type(tuple)->kind != TSR_TUPLE) return op->nresult == 1 && imp_result(p, op, 0, tuple);
    if (tsr_node_type(tuple)->rank != op->nresult)
        return imp_fail(p, op, "%d results are declared, it has %d", op->nresult, tsr_node_type(tuple)->rank);
    for (int i = 0; i < op->nresult; i++)
        if (!imp_result(p, op, i, tsr_item(p->c, tuple, i))) return false;
    return true;
}

bool imp_forward(struct imp *p, const struct hlo_op *op, int i, const struct imp_value *v) {
    if (i >= op->nresult) return imp_fail(p, op, "it has %d results, %d are needed", op->nresult, i + 1);
    if (v->node && v->type->kind != HLO_T_TOKEN) {
        if (!imp_result(p, op, i, v->node)) return false;
        struct imp_value *out = imp_value(p, &op->result[i]);
        if (out->node == v->node) out->shape_value = v->shape_value;
        return true;
    }
    enum hlo_type_kind want = op->result[i].type->kind;
    if (want == HLO_T_TENSOR || want != (v->item ? HLO_T_TUPLE : want))
        return imp_fail(p, op, "result %d is of another kind than the value it gets", i);
    *imp_value(p, &op->result[i]) = *v;
    return true;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static bool is_quantised(const struct hlo_op *op) {
    for (int i = 0; i < op->noperand; i++)
        if (op->operand[i]->type->quant) return true;
    for (int i = 0; i < op->nresult; i++)
        if (op->result[i].type->quant) return true;
    return false;
}

/* Ops that only hand values on, or have bodies of their own, need no knowledge of what the integers stand for. */
static bool hands_on(enum hlo_opcode code) {
    return code == HLO_OP_CALL || code == HLO_OP_COMPOSITE || code == HLO_OP_IF || code == HLO_OP_CASE ||
        code == HLO_OP_WHILE || code == HLO_OP_TUPLE || code == HLO_OP_GET_TUPLE_ELEMENT ||
        code == HLO_OP_OPTIMIZATION_BARRIER || code == HLO_OP_RUN_PARALLEL || code == HLO_OP_ASYNC_START ||
        code == HLO_OP_ASYNC_DONE;
}

/* From here on nodes are op's. */
static bool note_origin(struct imp *p, const struct hlo_op *op) {
    p->now = op;
    if (!p->o->origins) return true;
    return vec_push(p->c, p->o->origins, ((struct hlo_origin){graph_room(p->c)->next_id + 1, op}));
}

bool imp_op(struct imp *p, const struct hlo_op *op) {
    imp_handler *build = imp_handler_of(op->code);
    if (p->budget-- <= 0)
        return imp_fail(p, op, "more than %d operations after calls are built in place; split the program", IMP_BUDGET);
    if (!build && op->code == HLO_OP_UNKNOWN)
        return imp_fail(p, op, "an operation of a dialect that is not known; lower it to stablehlo first");
    if (!build) return imp_fail(p, op, "this operation cannot be imported here");
    if (is_quantised(op) && !hands_on(op->code)) build = imp_quantised;
    const struct hlo_op *around = p->now;
    if (note_origin(p, op) && build(p, op) && imp_shape_values(p, op) && note_origin(p, around)) return true;
    return place_error(p, op);
}

/* ---- functions -------------------------------------------------------------------------------------------------- */

static bool is_return(const struct hlo_op *op) { return op->code == HLO_OP_RETURN || op->code == HLO_OP_FUNC_RETURN; }

/* The body of a function that is bound to the present frame; out[] gets the returned values, still in the frame. */
static bool run_body(struct imp *p, const struct hlo_op *func, int nout, struct imp_value *out) {
    const struct hlo_block *b = &func->region[0].block[0];
    const struct hlo_op *op = b->first;
    for (; op && !is_return(op); op = op->next)
        if (!imp_op(p, op)) return false;
    int n = op ? op->noperand : 0;
    if (n != nout) return imp_fail(p, op ? op : func, "%d values are returned, %d are expected", n, nout);
    for (int i = 0; i < nout; i++) out[i] = *imp_value(p, op->operand[i]);
    return true;
}

static bool frame_push(struct imp *p, const struct hlo_op *func) {
    struct imp_frame *f = mem_new(p->c, struct imp_frame);
    if (!f) return false;
    *f = (struct imp_frame){.up = p->frame, .func = func};
    f->value = mem_array(p->c, (size_t)func->nvalue + 1, sizeof *f->value);
    if (f->value) return p->frame = f, true;
    mem_del(p->c, f);
    return false;
}

static void frame_pop(struct imp *p) {
    struct imp_frame *f = p->frame;
    p->frame = f->up;
    mem_array_free(p->c, f->value, (size_t)f->func->nvalue + 1, sizeof *f->value);
    mem_del(p->c, f);
}

bool imp_call(struct imp *p, const struct hlo_op *op, const struct hlo_op *func, int narg,
    const struct imp_value *arg, int nout, struct imp_value *out) {
    const char *name = hlo_get_text(func, "sym_name");
    if (func->nregion != 1 || func->region[0].nblock != 1)
        return imp_fail(p, op, "the function %s has no body to call", name);
    const struct hlo_block *b = &func->region[0].block[0];
    if (b->narg != narg)
        return imp_fail(p, op, "the function %s takes %d arguments, %d are given", name, b->narg, narg);
    if (p->depth >= IMP_DEPTH_MAX)
        return imp_fail(p, op, "calls and regions nest more than %d deep (does %s call itself?)", IMP_DEPTH_MAX, name);
    if (!frame_push(p, func)) return false;
    p->depth++;
    for (int i = 0; i < narg; i++) *imp_value(p, &b->arg[i]) = arg[i];
    bool ok = run_body(p, func, nout, out);
    p->depth--;
    frame_pop(p);
    return ok;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

/* Bound of axis a in #stablehlo.bounds<4, ?>: INT32_MAX where none is stated. */
static int64_t axis_bound(const struct hlo_type *t, int a) {
    int n;
    const struct hlo_attr *e = t->encoding;
    if (!e || e->kind != HLO_A_STRUCT || !e->n) return INT32_MAX;
    const int64_t *bound = hlo_attr_ints_of(e->field[0].value, &n);
    return bound && n == t->rank && bound[a] > 0 ? bound[a] : INT32_MAX;
}

/* A parameter of the fn; each '?' is a symbol named after the argument and the axis. */
static tsr_node *param_of(struct imp *p, const struct hlo_op *func, int arg, const struct hlo_type *t) {
    const tsr_extent *e[TSR_MAX_RANK];
    char name[64];
    if (t->rank > TSR_MAX_RANK)
        return imp_fail(p, func, "argument %d has rank %d, at most %d is possible", arg, t->rank, TSR_MAX_RANK),
            tsr_poison(p->c);
    for (int a = 0; a < t->rank; a++) {
        int64_t most = axis_bound(t, a); /* part of the name: a symbol's first bounds stay */
        if (most == INT32_MAX) snprintf(name, sizeof name, "arg%d_%d", arg, a);
        else snprintf(name, sizeof name, "arg%d_%d_to_%lld", arg, a, (long long)most);
        e[a] = t->dim[a] == HLO_DYNAMIC ? tsr_extent_symbol(p->c, name, 0, most) : tsr_extent_int(p->c, t->dim[a]);
        if (!e[a]) return tsr_poison(p->c);
    }
    snprintf(name, sizeof name, "arg%d", arg);
    return tsr_param(p->c, tsr_type_tensor(p->c, imp_dtype(t), t->rank, e), name);
}

static bool bind_param(struct imp *p, const struct hlo_op *func, int arg, const struct hlo_type *t,
    struct imp_value *v) {
    *v = (struct imp_value){.type = t};
    if (t->kind == HLO_T_TOKEN) return true;
    if (t->kind == HLO_T_TUPLE) {
        struct imp_value *item = arena_array(&p->arena, (size_t)t->n + 1, sizeof *item);
        v->item = item;
        for (int i = 0; item && i < t->n; i++)
            if (!bind_param(p, func, arg, t->item[i], &item[i])) return false;
        return item != NULL;
    }
    if (t->kind != HLO_T_TENSOR && t->kind != HLO_T_BUFFER)
        return imp_fail(p, func, "argument %d is no tensor, tuple or token of known rank", arg);
    v->node = param_of(p, func, arg, t);
    return !tsr_is_poison(v->node) && imp_shape_param(p, arg, v);
}

typedef VEC(tsr_node *) node_list;

static bool flatten(struct imp *p, const struct hlo_op *func, const struct imp_value *v, node_list *out) {
    if (v->type && v->type->kind == HLO_T_TOKEN) return true;
    if (v->node) return vec_push(p->c, out, v->node);
    if (!v->item) return imp_fail(p, func, "a result has no value");
    for (int i = 0; i < v->type->n; i++)
        if (!flatten(p, func, &v->item[i], out)) return false;
    return true;
}

static bool check_nodes(struct imp *p, node_list *out) {
    for (size_t i = 0; i < p->checks->n; i++) {
        const struct hlo_check *k = &p->checks->v[i];
        if (!vec_push(p->c, out, k->actual) || !vec_push(p->c, out, k->expected)) return false;
    }
    return true;
}

/* What others wait for, though the function does not give it. */
static bool keep_alive(struct imp *p, node_list *out) {
    if (!p->o->program && p->effects.n)
        return vec_push(p->c, out, tsr_prim_after_all(p->c, (int)p->effects.n, p->effects.v));
    for (size_t i = 0; p->o->program && i < p->effects.n; i++)
        if (!vec_push(p->c, out, p->effects.v[i])) return false;
    for (size_t i = 0; i < p->spoken.n; i++)
        if (!vec_push(p->c, out, p->spoken.v[i])) return false;
    return true;
}

static bool build_function(struct imp *p, const struct hlo_op *func, node_list *out) {
    const struct hlo_block *b = &func->region[0].block[0];
    int nout = b->last && is_return(b->last) ? b->last->noperand : 0;
    struct imp_value *result = arena_array(&p->arena, (size_t)nout + 1, sizeof *result);
    if (!result) return false;
    for (int i = 0; i < b->narg; i++)
        if (!bind_param(p, func, i, b->arg[i].type, imp_value(p, &b->arg[i]))) return place_error(p, func);
    if (!run_body(p, func, nout, result)) return false;
    if (p->o->checks && p->checks) return check_nodes(p, out);
    for (int i = 0; i < nout; i++)
        if (!flatten(p, func, &result[i], out)) return false;
    return true;
}

static tsr_fn *import_fn(struct imp *p, const struct hlo_op *func, const char *name) {
    node_list out = {0};
    tsr_fn *fn = NULL;
    if (tsr_fn_begin(p->c, name)) return NULL;
    bool ok = frame_push(p, func);
    if (ok) {
        ok = build_function(p, func, &out) && keep_alive(p, &out);
        frame_pop(p);
    }
    if (ok) fn = tsr_fn_end(p->c, (int)out.n, out.v);
    else tsr_fn_abort(p->c);
    vec_release(p->c, &out);
    return fn;
}

tsr_fn *hlo_import(const struct hlo_module *m, const char *name, const struct hlo_import_options *o,
    hlo_checks *checks) {
    const struct hlo_op *func = hlo_find_func(m, name);
    struct imp p = {.c = m->c, .m = m, .o = o, .checks = checks, .budget = IMP_BUDGET};
    if (!func)
        return err_set(m->c, TSR_ENOTFOUND, "%s: the module has no function @%s", m->file, name), NULL;
    if (func->nregion != 1 || func->region[0].nblock != 1)
        return hlo_fail(m, func->loc, "the function @%s has no body", name), NULL;
    tsr_scope *scope = tsr_scope_begin(m->c);
    if (!scope) return NULL;
    arena_init(&p.arena, m->c);
    tsr_fn *fn = import_fn(&p, func, name);
    arena_release(&p.arena);
    vec_release(m->c, &p.probes), vec_release(m->c, &p.sizes);
    vec_release(m->c, &p.effects), vec_release(m->c, &p.spoken);
    tsr_scope_end(m->c, scope);
    return fn;
}
