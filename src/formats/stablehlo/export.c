/* export.c: modules, functions, and the walk over a fn.
 *
 * Nodes are exported in the order of their fn, so every source is there before its users; nothing recurses but calls
 * and bodies. A function is made once for each fn: calls of the same fn are calls of one function. */
#include <string.h>

#include "formats/stablehlo/export.h"

struct exp_func {
    const tsr_fn *fn;
    const char *name;
};

static const struct hlo_loc nowhere = {0, 0};

bool exp_fail(struct exp *x, const tsr_node *n, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_setv(x->c, TSR_EUNSUPPORTED, fmt, ap);
    va_end(ap);
    err_prefix(x->c, "StableHLO export of \"%s\": %s", x->frame->fn->name, op_name(n->op));
    return false;
}

/* ---- values of nodes -------------------------------------------------------------------------------------------- */
static struct hlo_value **results_of(struct exp *x, const tsr_node *n) {
    if (n->op == TSR_OP_PARAM) return &x->frame->param[node_int(n, ATTR_INDEX)];
    return x->frame->out[n->pos];
}

struct hlo_value *exp_item(struct exp *x, const tsr_node *n, int item) { return results_of(x, n)[item]; }
struct hlo_value *exp_in(struct exp *x, const tsr_node *n, int i) { return exp_item(x, n->src[i], 0); }

bool exp_out(struct exp *x, const tsr_node *n, struct hlo_value *const *v) {
    int count = type_results(n->type);
    struct hlo_value **out = arena_array(&x->m->arena, (size_t)count + 1, sizeof *out);
    if (!out) return false;
    for (int i = 0; i < count; i++)
        if (!(out[i] = v[i])) return false;
    x->frame->out[n->pos] = out;
    return true;
}

bool exp_done(struct exp *x, const tsr_node *n, struct hlo_value *v) { return v && exp_out(x, n, &v); }

bool exp_done_op(struct exp *x, const tsr_node *n, struct hlo_op *op) {
    int count = type_results(n->type);
    struct hlo_value **v = op ? arena_array(&x->m->arena, (size_t)count + 1, sizeof *v) : NULL;
    if (!v) return false;
    for (int i = 0; i < count; i++) v[i] = &op->result[i];
    return exp_out(x, n, v);
}

/* ---- bodies ----------------------------------------------------------------------------------------------------- */
static bool walk(struct exp *x, const tsr_fn *f) {
    for (size_t i = 0; i < f->node.n; i++) {
        const tsr_node *n = f->node.v[i];
        if (n->op == TSR_OP_PARAM) continue;
        exp_handler *handler = exp_handler_of((enum tsr_op)n->op);
        if (!handler) return exp_fail(x, n, "it has no counterpart in StableHLO");
        if (!handler(x, n)) {
            if (!err_any(x->c)) exp_fail(x, n, "it could not be built");
            return false;
        }
    }
    return true;
}

/* The frame of f: `up` is what it may use of the frame around it. */
static bool run_frame(struct exp *x, const tsr_fn *f, struct exp_frame *up, struct hlo_value *const *param,
    struct hlo_value **result) {
    struct exp_frame *before = x->frame, own = {.up = up, .fn = f};
    if (x->depth >= EXP_DEPTH_MAX) {
        err_set(x->c, TSR_EUNSUPPORTED, "StableHLO export: calls and bodies nest more than %d deep", EXP_DEPTH_MAX);
        return false;
    }
    own.param = arena_array(&x->m->arena, f->param.n + 1, sizeof *own.param);
    own.out = arena_array(&x->m->arena, f->node.n + 1, sizeof *own.out);
    if (!own.param || !own.out) return false;
    for (size_t i = 0; i < f->param.n; i++) own.param[i] = param[i];
    x->frame = &own;
    x->depth++;
    bool ok = walk(x, f);
    for (size_t i = 0; ok && i < f->result.n; i++) result[i] = exp_item(x, f->result.v[i], 0);
    x->depth--;
    x->frame = before;
    vec_release(x->c, &own.size);
    return ok;
}

bool exp_body(struct exp *x, const tsr_fn *f, struct hlo_value *const *param, struct hlo_value **result) {
    return run_frame(x, f, x->frame, param, result);
}

bool exp_region_begin(struct exp *x, struct hlo_region *r, int n, const struct hlo_type *const *type,
    struct exp_region *saved) {
    *saved = (struct exp_region){x->block, x->frame->size.n};
    if (!hlo_region_blocks(x->m, r, 1) || !hlo_block_args(x->m, &r->block[0], n, type)) return false;
    x->block = &r->block[0];
    return true;
}

void exp_region_end(struct exp *x, const struct exp_region *saved) {
    x->block = saved->before;
    x->frame->size.n = saved->sizes;
}

/* ---- functions -------------------------------------------------------------------------------------------------- */
static bool same_fn(const void *item, const void *key, void *user) {
    (void)user;
    return ((const struct exp_func *)item)->fn == key;
}

static uint64_t hash_fn(const tsr_fn *f) { return hash_mix(0, (uintptr_t)f); }

/* A name that no function has: name, name_0, name_1, ... */
static const char *free_name(struct exp *x, const char *name) {
    const char *have = arena_strdup(&x->m->arena, name);
    for (int i = 0; have && hlo_find_func(x->m, have); i++) have = arena_printf(&x->m->arena, "%s_%d", name, i);
    return have;
}

/* Which nodes of f are tokens, by pos: what an effect gives, and an OR of one. */
static bool *tokens_of(struct exp *x, const tsr_fn *f) {
    bool *token = arena_array(&x->m->arena, f->node.n + 1, sizeof *token);
    for (size_t i = 0; token && i < f->node.n; i++) {
        const tsr_node *n = f->node.v[i];
        token[i] = exp_gives_token(n) || (n->op == TSR_OP_OR && (token[n->src[0]->pos] || token[n->src[1]->pos]));
    }
    return token;
}

/* Types of f's parameters and results, one after another. */
static const struct hlo_type **signature(struct exp *x, const tsr_fn *f) {
    size_t np = f->param.n, nr = f->result.n;
    const struct hlo_type **t = arena_array(&x->m->arena, np + nr + 1, sizeof *t);
    const bool *token = tokens_of(x, f);
    if (!t || !token) return NULL;
    for (size_t i = 0; i < np; i++)
        if (!(t[i] = exp_type(x, f->param.v[i].node->type))) return NULL;
    for (size_t i = 0; i < nr; i++) {
        const tsr_node *n = f->result.v[i];
        if (!(t[np + i] = token[n->pos] ? exp_token_type(x) : exp_type(x, n->type))) return NULL;
    }
    return t;
}

static bool put_return(struct exp *x, int n, struct hlo_value *const *v) {
    return exp_op(x, HLO_OP_FUNC_RETURN, n, v, 0, NULL, 0, NULL, 0) != NULL;
}

/* The canonical form of ir.h, operations inside first. */
static bool normalise(struct exp *x, struct hlo_op *op) {
    for (int r = 0; r < op->nregion; r++)
        for (int b = 0; b < op->region[r].nblock; b++)
            for (struct hlo_op *inner = op->region[r].block[b].first; inner; inner = inner->next)
                if (!normalise(x, inner)) return false;
    return hlo_normalise(x->m, op);
}

static bool fill_function(struct exp *x, const tsr_fn *f, struct hlo_op *func) {
    struct hlo_block *before = x->block, *b = &func->region[0].block[0];
    struct hlo_value **param = arena_array(&x->m->arena, f->param.n + 1, sizeof *param);
    struct hlo_value **result = arena_array(&x->m->arena, f->result.n + 1, sizeof *result);
    if (!param || !result) return false;
    for (size_t i = 0; i < f->param.n; i++) param[i] = &b->arg[i];
    x->block = b;
    bool ok = run_frame(x, f, NULL, param, result) && put_return(x, (int)f->result.n, result);
    x->block = before;
    if (ok) hlo_number(func);
    return ok;
}

static struct hlo_op *new_function(struct exp *x, const char *name, int np, int nr, const struct hlo_type *const *t,
    int nattr, const struct hlo_named *attr) {
    const struct hlo_type *type = hlo_type_function(x->m, np, t, nr, t + np);
    return type ? hlo_func_new(x->m, name, nowhere, type, nattr, attr) : NULL;
}

const char *exp_function(struct exp *x, const tsr_fn *f, const char *name) {
    struct exp_func *have = map_get(&x->funcs, hash_fn(f), f, same_fn, NULL);
    if (have) return have->name;
    const struct hlo_type **t = signature(x, f);
    const char *own = t ? free_name(x, name) : NULL;
    struct hlo_named visibility = exp_string(x, "sym_visibility", "private");
    struct hlo_op *func = own && visibility.value ? new_function(x, own, (int)f->param.n, (int)f->result.n, t, 1,
        &visibility) : NULL;
    struct exp_func *entry = func ? arena_alloc(&x->m->arena, sizeof *entry) : NULL;
    if (!entry) return NULL;
    *entry = (struct exp_func){f, own};
    return map_put(x->c, &x->funcs, hash_fn(f), entry) && fill_function(x, f, func) ? own : NULL;
}

const char *exp_decomposed(struct exp *x, const char *name, int n, const struct hlo_type *const *param,
    const struct hlo_type *result, exp_decomposition *build) {
    const struct hlo_type *t[9];
    struct hlo_value *arg[8], *v = NULL;
    struct hlo_block *before = x->block;
    TSR_ASSERT(n <= 8);
    for (int i = 0; i < n; i++) t[i] = param[i];
    t[n] = result;
    const char *own = free_name(x, name);
    struct hlo_named visibility = exp_string(x, "sym_visibility", "private");
    struct hlo_op *func = own && visibility.value && result ? new_function(x, own, n, 1, t, 1, &visibility) : NULL;
    if (!func) return NULL;
    for (int i = 0; i < n; i++) arg[i] = &func->region[0].block[0].arg[i];
    x->block = &func->region[0].block[0];
    bool ok = (v = build(x, arg)) && put_return(x, 1, &v);
    x->block = before;
    if (ok) hlo_number(func);
    return ok ? own : NULL;
}

/* ---- the main function ------------------------------------------------------------------------------------------ */
/* {tessera.name = "x"}: what is to be told of a parameter or a result; empty where nothing is. */
static const struct hlo_attr *told(struct exp *x, const char *key, const char *text) {
    struct hlo_named f = {key, NULL};
    if (key) f.value = text ? hlo_attr_string(x->m, text, strlen(text)) : hlo_attr_unit(x->m);
    return key && !f.value ? NULL : hlo_attr_dict(x->m, key ? 1 : 0, &f);
}

static const struct hlo_attr *told_of_param(struct exp *x, const struct fn_param *p) {
    const struct attr *name = node_attr(p->node, ATTR_NAME);
    if (p->kind == PARAM_VAR) return told(x, "tessera.var", p->var->name);
    if (p->kind == PARAM_CAPTURE) return told(x, "tessera.capture", NULL);
    return name ? told(x, "tessera.name", name->str) : told(x, NULL, NULL);
}

/* The attributes arg_attrs and res_attrs, where one says anything: how many. -1: no memory. */
static int main_attrs(struct exp *x, const tsr_fn *f, struct hlo_named out[2]) {
    size_t np = f->param.n, nr = f->result.n;
    const struct hlo_attr **list = arena_array(&x->m->arena, np + nr + 1, sizeof *list);
    bool any[2] = {false, false};
    int n = 0;
    for (size_t i = 0; list && i < np + nr; i++) {
        bool result = i >= np, var = result && i - np >= (size_t)f->nresult;
        list[i] = !result ? told_of_param(x, &f->param.v[i])
                  : var   ? told(x, "tessera.var", f->assign.v[i - np - (size_t)f->nresult]->name)
                          : told(x, NULL, NULL);
        if (!list[i]) return -1;
        any[result] |= list[i]->n > 0;
    }
    if (!list) return -1;
    if (any[0]) out[n++] = exp_named("arg_attrs", hlo_attr_list(x->m, (int)np, list));
    if (any[1]) out[n++] = exp_named("res_attrs", hlo_attr_list(x->m, (int)nr, list + np));
    return n && (!out[0].value || !out[n - 1].value) ? -1 : n;
}

static bool export_main(struct exp *x, const tsr_fn *f) {
    struct hlo_named attr[2];
    const struct hlo_type **t = signature(x, f);
    int n = t ? main_attrs(x, f, attr) : -1;
    struct hlo_op *func = n < 0 ? NULL : new_function(x, "main", (int)f->param.n, (int)f->result.n, t, n, attr);
    return func && fill_function(x, f, func) && normalise(x, x->m->op);
}

struct hlo_module *hlo_export(tsr_ctx *c, const tsr_fn *f) {
    if (!f) return err_set(c, TSR_EINVAL, "StableHLO export: the fn is NULL"), NULL;
    if (f->open) {
        err_set(c, TSR_EINVAL, "StableHLO export: fn \"%s\" is still open; end it with tsr_fn_end first", f->name);
        return NULL;
    }
    struct exp x = {.c = c, .m = hlo_module_new(c, f->name)};
    tsr_scope *scope = x.m ? tsr_scope_begin(c) : NULL; /* of literals made on the way */
    map_init(&x.funcs);
    bool ok = scope && export_main(&x, f);
    if (scope) tsr_scope_end(c, scope);
    map_release(c, &x.funcs);
    if (ok) return x.m;
    hlo_module_free(x.m);
    return NULL;
}
