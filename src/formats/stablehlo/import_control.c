/* import_control.c: calls, composites, loops, branches, and the regions of every operation that has a body.
 *
 * A call is built in place (imp_call); a composite is its decomposition. The regions of while, case and if become fns:
 * their arguments are the parameters, values of the function around them are captured. Tokens are parameters and
 * results like the others: an effect may come inside (import_token.c).
 *
 * The bodies of reductions, maps, scatters and comparators are scalar functions. Where every operation in one is
 * elementwise, imp_region_inline builds it on whole tensors at once (p->lift is their shape): scalars from outside and
 * constants are spread over it when they are used. */
#include "formats/stablehlo/calls.h"
#include "formats/stablehlo/import_check.h"
#include "formats/stablehlo/import_mesh.h"
#include "graph/node.h"

/* ---- regions ---------------------------------------------------------------------------------------------------- */

static const struct hlo_block *block_of(struct imp *p, const struct hlo_region *r) {
    if (r->nblock == 1 && r->block[0].last) return &r->block[0];
    return imp_fail(p, r->parent, "a region of it has %d blocks; it needs one, with a terminator", r->nblock), NULL;
}

/* The operations before the terminator. */
static bool build_block(struct imp *p, const struct hlo_block *b) {
    if (p->depth >= IMP_DEPTH_MAX)
        return imp_fail(p, b->parent->parent, "calls and regions nest more than %d deep", IMP_DEPTH_MAX);
    p->depth++;
    bool ok = true;
    for (const struct hlo_op *op = b->first; ok && op != b->last; op = op->next) ok = imp_op(p, op);
    p->depth--;
    return ok;
}

static bool is_token(const struct hlo_type *t) { return t->kind == HLO_T_TOKEN; }

static bool bind_args(struct imp *p, const struct hlo_block *b, const struct imp_value *like) {
    for (int i = 0; i < b->narg; i++) {
        struct imp_value *v = imp_value(p, &b->arg[i]);
        *v = like[i];
        if (v->item) return imp_fail(p, b->parent->parent, "tuples as arguments of a region are not supported");
        if (v->node && tsr_is_poison(v->node = tsr_param(p->c, tsr_node_type(v->node), NULL))) return false;
    }
    return true;
}

/* x as type `want`, where symbolic sizes are equal but written differently; that they are is a check of the fn. */
static tsr_node *as_written(struct imp *p, const struct hlo_op *last, tsr_node *x, const tsr_type *want) {
    const tsr_type *have = tsr_node_type(x);
    if (have == want || have->dtype != want->dtype || have->rank != want->rank) return x;
    for (int a = 0; a < want->rank; a++)
        if (!extent_require_equal(p->c, have->extent[a], want->extent[a], "%s: axis %d of a result is %s, not %s",
            last->parent->parent->parent->name, a, extent_text(p->c, have->extent[a]),
            extent_text(p->c, want->extent[a]))) return tsr_poison(p->c);
    return tsr_prim_reshape(p->c, x, want);
}

/* The open fn gets the block as its body; its results are of the types want (NULL: of their own). NULL: it was
 * dropped. */
static tsr_fn *end_region(struct imp *p, const struct hlo_block *b, const struct imp_value *like, int nwant,
    const tsr_type *const *want) {
    const struct hlo_op *last = b->last;
    tsr_node **out = arena_array(&p->arena, (size_t)last->noperand + 1, sizeof *out);
    const tsr_type *lift = p->lift;
    size_t effects = p->effects.n;
    int n = 0, token = -1;
    p->lift = NULL;
    bool ok = out && bind_args(p, b, like) && build_block(p, b);
    for (int i = 0; ok && i < last->noperand; i++) {
        const struct imp_value *v = imp_value(p, last->operand[i]);
        if (v->item) ok = imp_fail(p, last, "tuples as results of a region are not supported");
        if (is_token(last->operand[i]->type)) token = n;
        tsr_node *x = v->node || token != n ? v->node : tsr_prim_token(p->c);
        if (x) out[n] = want && n < nwant ? as_written(p, last, x, want[n]) : x, n++;
    }
    ok = ok && imp_keep_effects(p, last, effects, out, token);
    p->lift = lift;
    if (ok) return tsr_fn_end(p->c, n, out);
    tsr_fn_abort(p->c);
    return NULL;
}

static tsr_fn *region_fn(struct imp *p, const struct hlo_region *r, const char *name, int narg,
    const struct imp_value *like, int nwant, const tsr_type *const *want) {
    const struct hlo_block *b = block_of(p, r);
    if (!b) return NULL;
    if (b->narg != narg)
        return imp_fail(p, r->parent, "its %s takes %d values, %d are given", name, b->narg, narg), NULL;
    return tsr_fn_begin(p->c, name) ? NULL : end_region(p, b, like, nwant, want);
}

tsr_fn *imp_region_fn_of(struct imp *p, const struct hlo_region *r, const char *name, int narg,
    const struct imp_value *like) {
    return region_fn(p, r, name, narg, like, 0, NULL);
}

/* Parameters of the declared types: bound through values that only carry a type of a node. */
tsr_fn *imp_region_fn(struct imp *p, const struct hlo_region *r, const char *name) {
    const struct hlo_block *b = block_of(p, r);
    struct imp_value *like = b ? arena_array(&p->arena, (size_t)b->narg + 1, sizeof *like) : NULL;
    for (int i = 0; like && i < b->narg; i++) {
        const tsr_type *t = imp_type(p, b->arg[i].type);
        if (!t) return NULL;
        like[i] = (struct imp_value){.node = tsr_full(p->c, t, 0), .type = b->arg[i].type};
        if (tsr_is_poison(like[i].node)) return NULL;
    }
    return like ? imp_region_fn_of(p, r, name, b->narg, like) : NULL;
}

static bool is_scalar(const struct hlo_type *t) { return t->kind == HLO_T_TENSOR && t->rank == 0; }

bool imp_region_lifts(const struct hlo_region *r) {
    if (r->nblock != 1 || !r->block[0].last) return false;
    const struct hlo_block *b = &r->block[0];
    for (int i = 0; i < b->narg; i++)
        if (!is_scalar(b->arg[i].type)) return false;
    for (const struct hlo_op *op = b->first; op != b->last; op = op->next) {
        if (!imp_lifts(op->code) || op->nregion) return false;
        for (int i = 0; i < op->noperand; i++)
            if (!is_scalar(op->operand[i]->type)) return false;
        for (int i = 0; i < op->nresult; i++)
            if (!is_scalar(op->result[i].type)) return false;
    }
    return true;
}

bool imp_region_inline(struct imp *p, const struct hlo_region *r, int narg, tsr_node *const *arg, int nout,
    tsr_node **out) {
    const struct hlo_block *b = block_of(p, r);
    const tsr_type *before = p->lift;
    if (!b) return false;
    if (b->narg != narg || b->last->noperand != nout)
        return imp_fail(p, r->parent, "its body takes %d values and gives %d; %d and %d are needed", b->narg,
            b->last->noperand, narg, nout);
    p->lift = NULL;
    for (int i = 0; i < narg; i++) {
        if (tsr_is_poison(arg[i])) return p->lift = before, false;
        if (!p->lift && tsr_node_rank(arg[i]) && is_scalar(b->arg[i].type)) p->lift = tsr_node_type(arg[i]);
        *imp_value(p, &b->arg[i]) = (struct imp_value){.node = arg[i], .type = b->arg[i].type};
    }
    bool ok = build_block(p, b);
    for (int i = 0; ok && i < nout; i++) {
        out[i] = imp_lifted(p, imp_value(p, b->last->operand[i])->node);
        ok = !tsr_is_poison(out[i]);
    }
    p->lift = before;
    return ok;
}

bool imp_region_monoid(const struct hlo_region *r, int which, tsr_reduce *how) {
    static const struct { enum hlo_opcode code; tsr_reduce how; } monoids[] = {{HLO_OP_ADD, TSR_REDUCE_SUM},
        {HLO_OP_MULTIPLY, TSR_REDUCE_PROD}, {HLO_OP_MAXIMUM, TSR_REDUCE_MAX}, {HLO_OP_MINIMUM, TSR_REDUCE_MIN},
        {HLO_OP_AND, TSR_REDUCE_AND}, {HLO_OP_OR, TSR_REDUCE_OR}, {HLO_OP_XOR, TSR_REDUCE_XOR}};
    if (r->nblock != 1 || !r->block[0].last || which >= r->block[0].last->noperand) return false;
    const struct hlo_block *b = &r->block[0];
    const struct hlo_value *v = b->last->operand[which];
    if (!v->op || v->op->noperand != 2 || b->narg % 2) return false;
    const struct hlo_value *x = v->op->operand[0], *y = v->op->operand[1];
    const struct hlo_value *a = &b->arg[which], *o = &b->arg[which + b->narg / 2];
    if (which + b->narg / 2 >= b->narg || !((x == a && y == o) || (x == o && y == a))) return false;
    if (a->type->kind == HLO_T_TENSOR && a->type->quant) return false; /* sums of stored integers are no sums */
    bool truth = a->type->elem == HLO_I1 && a->type->kind == HLO_T_TENSOR;
    for (size_t i = 0; i < sizeof monoids / sizeof *monoids; i++) {
        if (v->op->code != monoids[i].code) continue;
        bool add = monoids[i].how == TSR_REDUCE_SUM, mul = monoids[i].how == TSR_REDUCE_PROD;
        *how = truth && add ? TSR_REDUCE_OR : truth && mul ? TSR_REDUCE_AND : monoids[i].how;
        return true;
    }
    return false;
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

static bool call(struct imp *p, const struct hlo_op *op, const char *name) {
    const struct hlo_op *func = name ? hlo_find_func(p->m, name) : NULL;
    if (!func) return imp_fail(p, op, "there is no function @%s in the module", name ? name : "");
    struct imp_value *arg = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *arg);
    struct imp_value *out = arena_array(&p->arena, (size_t)op->nresult + 1, sizeof *out);
    if (!arg || !out) return false;
    for (int i = 0; i < op->noperand; i++) arg[i] = *imp_value(p, op->operand[i]);
    if (!imp_call(p, op, func, op->noperand, arg, op->nresult, out)) return false;
    for (int i = 0; i < op->nresult; i++)
        if (!imp_forward(p, op, i, &out[i])) return false;
    return true;
}

bool imp_func_call(struct imp *p, const struct hlo_op *op) { return call(p, op, hlo_get_text(op, "callee")); }
/* Our own ones are ops; of all others the decomposition is what they mean. */
bool imp_composite(struct imp *p, const struct hlo_op *op) {
    const char *name = hlo_get_text(op, "name");
    imp_handler *own = name ? imp_call_of(name) : NULL;
    return own ? own(p, op) : call(p, op, hlo_get_text(op, "decomposition"));
}

/* ---- loops and branches ----------------------------------------------------------------------------------------- */

/* The items of the tuple in order. */
static bool set_results(struct imp *p, const struct hlo_op *op, tsr_node *tuple) {
    int at = 0;
    if (tsr_is_poison(tuple)) return false;
    bool whole = tsr_node_type(tuple)->kind != TSR_TUPLE;
    for (int i = 0; i < op->nresult; i++) {
        const struct hlo_type *t = op->result[i].type;
        if (at >= (whole ? 1 : tsr_node_type(tuple)->rank))
            return imp_fail(p, op, "its regions give %d values, %d results are declared", at, op->nresult);
        tsr_node *n = whole ? tuple : tsr_item(p->c, tuple, at);
        if (is_token(t) ? !imp_set_token(p, op, i, n) : !imp_result(p, op, i, n)) return false;
        at++;
    }
    return true;
}

/* Does the body hand its argument i on as it came? What is known of its sizes then holds in every turn. */
static bool is_invariant(const struct hlo_region *body, int i) {
    if (body->nblock != 1 || !body->block[0].last || i >= body->block[0].narg) return false;
    const struct hlo_op *last = body->block[0].last;
    return i < last->noperand && last->operand[i] == &body->block[0].arg[i];
}

bool imp_while(struct imp *p, const struct hlo_op *op) {
    if (imp_is_probed(op)) return imp_while_probed(p, op);
    struct imp_value *init = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *init);
    tsr_node **carry = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *carry), *tuple = NULL;
    const tsr_type **type = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *type);
    int n = 0;
    if (!init || !carry || !type) return false;
    if (op->nregion != 2) return imp_fail(p, op, "it needs a condition and a body, it has %d regions", op->nregion);
    for (int i = 0; i < op->noperand; i++) {
        init[i] = *imp_value(p, op->operand[i]);
        if (is_token(op->operand[i]->type)) init[i].node = imp_token_node(p, &init[i]);
        if (init[i].node) type[n] = tsr_node_type(init[i].node), carry[n++] = init[i].node;
        if (!is_invariant(&op->region[1], i)) init[i].shape_value = NULL;
    }
    tsr_fn *cond = imp_region_fn_of(p, &op->region[0], "condition", op->noperand, init);
    tsr_fn *body = cond ? region_fn(p, &op->region[1], "body", op->noperand, init, n, type) : NULL;
    if (body) tuple = tsr_prim_while(p->c, cond, body, n, carry, 0);
    tsr_fn_free(p->c, cond), tsr_fn_free(p->c, body);
    if (!body || !set_results(p, op, tuple)) return false;
    for (int i = 0; i < op->nresult && i < op->noperand; i++)
        imp_value(p, &op->result[i])->shape_value = init[i].shape_value;
    return true;
}

/* The regions, in the order that cond counts its branches. */
static bool branches(struct imp *p, const struct hlo_op *op, tsr_node *index, bool falling) {
    int n = op->nregion, made = 0;
    tsr_fn **fn = arena_array(&p->arena, (size_t)n + 1, sizeof *fn);
    tsr_node *tuple = NULL;
    if (!fn || tsr_is_poison(index)) return false;
    const tsr_type **type = arena_array(&p->arena, (size_t)op->nresult + 1, sizeof *type);
    int ntype = 0;
    for (; type && made < n; made++) { /* the first branch says how results are typed */
        fn[made] = region_fn(p, &op->region[falling ? n - 1 - made : made], "branch", 0, NULL, ntype, type);
        if (!fn[made]) break;
        for (; !made && ntype < op->nresult && ntype < tsr_fn_results(fn[0]); ntype++)
            type[ntype] = tsr_fn_result_type(fn[0], ntype);
    }
    if (made == n) tuple = tsr_prim_cond(p->c, index, n, fn, 0, NULL);
    for (int i = 0; i < made; i++) tsr_fn_free(p->c, fn[i]);
    return tuple && set_results(p, op, tuple);
}

bool imp_case(struct imp *p, const struct hlo_op *op) {
    if (op->nregion < 1) return imp_fail(p, op, "it has no branches");
    return branches(p, op, imp_operand(p, op, 0), false);
}

/* A true predicate takes region 0; cond counts false as 0. */
bool imp_if(struct imp *p, const struct hlo_op *op) {
    if (op->nregion != 2) return imp_fail(p, op, "it needs two branches, it has %d", op->nregion);
    return branches(p, op, imp_operand(p, op, 0), true);
}
