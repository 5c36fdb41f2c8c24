/* pass.c: from a fn to a plan: the list of passes, and how a pass rewrites a fn.
 *
 * Every pass takes a closed fn and gives a new one with the same parameters (all explicit now) and the same results;
 * the last one gives the plan. With checking on, every fn between is verified. A rewriting pass is one rule: it sees a
 * node and its new sources and says what stands for it. */
#include "compile/lower.h"

/* ---- rewriting ---- */

/* What stands for a node: one value, or (a call that was inlined) one for each of its results. */
struct stand { tsr_node *value, **part; };

static bool splice(tsr_ctx *c, struct arena *mem, const tsr_fn *f, tsr_node *const *arg, tsr_node **out,
    rewrite_rule *rule, int depth);

enum { INLINE_DEPTH = 64 };

static bool inline_call(tsr_ctx *c, struct arena *mem, const tsr_node *n, tsr_node *const *src, rewrite_rule *rule,
    int depth, struct stand *s) {
    const tsr_fn *body = n->fn[0];
    tsr_node **out = arena_array(mem, body->result.n + 1, sizeof *out);
    if (!out || !splice(c, mem, body, src, out, rule, depth + 1)) return false;
    if (n->type->kind == TSR_TUPLE) s->part = out;
    else s->value = out[0];
    return true;
}

static bool stand_for(tsr_ctx *c, struct arena *mem, const tsr_node *n, struct stand *at, tsr_node *const *arg,
    rewrite_rule *rule, int depth,
                      struct stand *s) {
    if (n->op == TSR_OP_PARAM) return s->value = arg[node_int(n, ATTR_INDEX)], true;
    if (n->op == TSR_OP_ITEM && at[n->src[0]->pos].part) return s->value = at[n->src[0]->pos].part[node_int(n,
        ATTR_INDEX)], true;
    tsr_node **src = arena_array(mem, (size_t)n->nsrc + 1, sizeof *src);
    if (!src) return false;
    for (int j = 0; j < n->nsrc; j++) src[j] = at[n->src[j]->pos].value;
    if (n->op == TSR_OP_CALL && rule && depth < INLINE_DEPTH) return inline_call(c, mem, n, src, rule, depth, s);
    s->value = rule ? rule(c, n, src) : NULL;
    if (!s->value && !err_any(c)) s->value = node_rebuild(c, n, src);
    return s->value && !tsr_is_poison(s->value);
}

static bool splice(tsr_ctx *c, struct arena *mem, const tsr_fn *f, tsr_node *const *arg, tsr_node **out,
    rewrite_rule *rule, int depth) {
    struct stand *at = arena_array(mem, f->node.n + 1, sizeof *at);
    if (!at) return false;
    for (size_t i = 0; i < f->node.n; i++)
        if (!stand_for(c, mem, f->node.v[i], at, arg, rule, depth, &at[i])) return false;
    for (size_t i = 0; i < f->result.n; i++) out[i] = at[f->result.v[i]->pos].value;
    return true;
}

tsr_fn *pass_rewrite(tsr_ctx *c, const tsr_fn *f, rewrite_rule *rule) {
    struct arena mem;
    arena_init(&mem, c);
    tsr_fn *g = NULL;
    tsr_node **arg = arena_array(&mem, f->param.n + 1, sizeof *arg), **out = arena_array(&mem, f->result.n + 1,
        sizeof *out);
    if (arg && out && tsr_fn_begin(c, f->name) == TSR_OK) {
        bool ok = true;
        for (size_t i = 0; i < f->param.n; i++) {
            const struct attr *name = node_attr(f->param.v[i].node, ATTR_NAME);
            arg[i] = tsr_param(c, f->param.v[i].node->type, name ? name->str : NULL);
            ok = ok && !tsr_is_poison(arg[i]);
        }
        for (size_t i = 0; ok && i < f->size.n; i++)
            ok = tsr_fn_size(c, arg[f->size.v[i].param], f->size.v[i].element, f->size.v[i].symbol) == TSR_OK;
        if (ok && splice(c, &mem, f, arg, out, rule, 0)) g = tsr_fn_end(c, (int)f->result.n, out);
        else tsr_fn_abort(c);
    }
    arena_release(&mem);
    return g;
}

/* ---- the list ---- */

typedef tsr_fn *fn_pass(tsr_ctx *c, const tsr_fn *f);
static const struct pass { const char *name; fn_pass *run; bool pools; } passes[] = {
    {"decompose", pass_decompose, false}, /* calls are inlined, rare ops are said by common ones */
    {"pool", pass_pool, true}, /* gradients of pooling, where the device wants kernels for them */
    /* exact identities, movement of movement, literals folded; equal nodes are one by interning */
    {"simplify", pass_simplify, false},
};

/* Checks of the fn that were there from the beginning: rewriting may have proved them away or left them out. */
static bool keep_checks(tsr_ctx *c, const tsr_fn *f, tsr_plan *p) {
    for (size_t i = 0; i < f->check.n; i++) {
        bool known = false;
        for (size_t j = 0; j < p->check.n && !known; j++) known = p->check.v[j].a == f->check.v[i].a &&
            p->check.v[j].b == f->check.v[i].b;
        struct fn_check k = {f->check.v[i].a, f->check.v[i].b, known ? NULL : arena_strdup(&p->mem, f->check.v[i].why)};
        if (!known && (!k.why || !vec_push(c, &p->check, k))) return false;
    }
    return true;
}

tsr_plan *compile_fn(tsr_ctx *c, const tsr_fn *f, const struct compile_opts *o) {
    tsr_scope *scope = tsr_scope_begin(c);
    if (!scope) return NULL;
    tsr_fn *g = tsr_fn_keep((tsr_fn *)f);
    for (size_t i = 0; g && i < sizeof passes / sizeof *passes; i++) {
        if (passes[i].pools && !(o->tiles && o->tiles->pools)) continue;
        tsr_fn *next = passes[i].run(c, g);
        tsr_fn_free(c, g);
        g = next;
        if (!g || !o->check || tsr_verify(c, g) == TSR_OK) continue;
        err_prefix(c, "after the pass '%s'", passes[i].name);
        tsr_fn_free(c, g);
        g = NULL;
    }
    tsr_plan *p = g ? lower_fn(c, g, o) : NULL;
    if (p) p->hash = f->hash;
    if (p && !keep_checks(c, f, p)) plan_free(p), p = NULL;
    tsr_fn_free(c, g);
    tsr_scope_end(c, scope);
    return p;
}
