/* higher.c: calls and branches under gradients, tangents and batches; loops are in higher_loop.c.
 *
 * An op with bodies has no rule in its record (vjp_higher, vmap_higher): its rule transforms its bodies, which are
 * fns. The pattern is one: take the body's closed derived fn (fns.c), and build new bodies around it that simply use
 * the values they need from outside: fn_capture makes those into captured parameters, so the new op carries them as
 * sources, and the next transformation finds them there. */
#include "transform/transform.h"

static const struct {
    enum tsr_op op;
    op_vjp *vjp;
    higher_jvp_rule *jvp;
    higher_vmap_rule *vmap;
} rules[] = {
    {TSR_OP_CALL, call_vjp, call_jvp, call_vmap},
    {TSR_OP_COND, cond_vjp, cond_jvp, cond_vmap},
    {TSR_OP_SCAN, scan_vjp, scan_jvp, scan_vmap},
    {TSR_OP_WHILE, while_vjp, while_jvp, while_vmap},
};

static int rule_of(const tsr_node *n) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == n->op) return (int)i;
    TSR_BUG("%s has bodies and no rules here", op_name(n->op));
}

bool higher_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    return rules[rule_of(n)].vjp(c, n, gout, want, gsrc);
}

bool higher_jvp(tsr_ctx *c, tsr_node *n, tsr_node *const *src, tsr_node *const *t, tsr_node **out, tsr_node **tout) {
    return rules[rule_of(n)].jvp(c, n, src, t, out, tout);
}

bool higher_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size,
                 tsr_node **out) {
    return rules[rule_of(n)].vmap(c, n, src, batched, size, out);
}

/* ---- call: the sources are all the callee's parameters ---- */

bool call_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_fn *f = n->fn[0];
    if (f->composite && f->composite->vjp) return f->composite->vjp(c, n, gout, want, gsrc);
    int np = n->nsrc, nr = node_results(n), k = 0;
    tsr_fn *v = closed_vjp(c, f, want);
    tsr_node **arg = mem_array(c, (size_t)(2 * np + nr + 1), sizeof *arg), **grad = arg + np + nr;
    bool ok = v && arg;
    if (ok) {
        memcpy(arg, n->src, (size_t)np * sizeof *arg);
        memcpy(arg + np, gout, (size_t)nr * sizeof *arg);
        tsr_fn_call(c, v, np + nr, arg, grad);
        for (int j = 0; j < np; j++)
            if (want[j] && tsr_is_poison(gsrc[j] = grad[k++])) ok = false;
    }
    mem_array_free(c, arg, (size_t)(2 * np + nr + 1), sizeof *arg);
    return ok;
}

bool call_jvp(tsr_ctx *c, tsr_node *n, tsr_node *const *src, tsr_node *const *t, tsr_node **out, tsr_node **tout) {
    int np = n->nsrc, nr = node_results(n), nt = 0;
    struct arena mem;
    arena_init(&mem, c);
    tsr_node **arg = arena_array(&mem, (size_t)(2 * np + 2 * nr + 1), sizeof *arg), **all = arg + 2 * np;
    bool *with = arena_array(&mem, (size_t)np + 1, sizeof *with), ok = arg && with;
    for (int j = 0; ok && j < np; j++) {
        arg[j] = src[j];
        if ((with[j] = t[j] != NULL)) arg[np + nt++] = t[j];
    }
    tsr_fn *f = ok ? closed_jvp(c, n->fn[0], with) : NULL;
    if ((ok = f != NULL)) tsr_fn_call(c, f, np + nt, arg, all);
    for (int i = 0; ok && i < nr; i++) {
        out[i] = all[i], tout[i] = type_differentiable(type_result(n->type, i)) ? all[nr + i] : NULL;
        ok = !tsr_is_poison(out[i]);
    }
    arena_release(&mem);
    return ok;
}

bool call_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size,
               tsr_node **out) {
    tsr_fn *f = closed_vmap(c, n->fn[0], batched, size);
    if (f) tsr_fn_call(c, f, n->nsrc, src, out);
    return f && !tsr_is_poison(out[0]);
}

/* ---- cond: sources are the index, the explicit arguments, then each branch's captures in turn ---- */

/* Of a cond's sources, the one that is parameter i of branch k. */
static int cond_source(const tsr_node *n, int k, int i) {
    int np = n->fn[k]->nparam;
    return i < np ? 1 + i : implicit_at(n, k) + i - np;
}

/* A body of a new cond, on branch k of the old one. args: room for what it calls. */
struct branch {
    tsr_ctx *c;
    tsr_node *n;
    int k;
    tsr_node *const *src, *const *extra; /* sources of the old cond; cotangents of results, or tangents of sources */
    const bool *flag;                    /* of sources: wanted, or batched */
    const tsr_extent *size;
};
typedef int branch_maker(struct branch *b, struct arena *mem, tsr_node ***out); /* results built, -1: error */

/* Take the branch's parameters, and their flags, from the cond's sources. */
static bool branch_args(struct branch *b, struct arena *mem, size_t room, tsr_node ***arg, bool **flag) {
    const tsr_fn *f = b->n->fn[b->k];
    *arg = arena_array(mem, f->param.n + room + 1, sizeof **arg);
    *flag = arena_array(mem, f->param.n + 1, sizeof **flag);
    if (!*arg || !*flag) return false;
    for (size_t i = 0; i < f->param.n; i++) {
        int j = cond_source(b->n, b->k, (int)i);
        (*arg)[i] = b->src[j], (*flag)[i] = b->flag[j];
    }
    return true;
}

static bool cond_around(struct branch *b, branch_maker *make, int nout, tsr_node **out) {
    tsr_ctx *c = b->c;
    struct arena mem;
    arena_init(&mem, c);
    tsr_fn **made = arena_array(&mem, (size_t)b->n->nfn, sizeof *made);
    bool ok = made != NULL;
    for (b->k = 0; ok && b->k < b->n->nfn; b->k++) {
        tsr_node **res = NULL;
        if (!(ok = begin_named(c, "branch", b->n->fn[b->k]))) break;
        int n = make(b, &mem, &res);
        if (n < 0) tsr_fn_abort(c);
        ok = n >= 0 && (made[b->k] = tsr_fn_end(c, n, res));
    }
    tsr_node *cond = ok ? tsr_prim_cond(c, b->src[0], b->n->nfn, made, 0, NULL) : NULL;
    for (int i = 0; i < nout && ok; i++) ok = !tsr_is_poison(out[i] = node_result(c, cond, i));
    for (int k = 0; made && k < b->n->nfn; k++) tsr_fn_free(c, made[k]);
    arena_release(&mem);
    return ok;
}

/* Cotangents of every wanted source: the branch's own, zeros for what only other branches capture. */
static int make_vjp_branch(struct branch *b, struct arena *mem, tsr_node ***out) {
    tsr_fn *f = b->n->fn[b->k];
    size_t np = f->param.n, nr = f->result.n;
    tsr_node **arg, **grad = arena_array(mem, np + 1, sizeof *grad);
    bool *want, any = false;
    *out = arena_array(mem, (size_t)b->n->nsrc + 1, sizeof **out);
    if (!grad || !*out || !branch_args(b, mem, nr, &arg, &want)) return -1;
    for (size_t i = 0; i < np; i++) any |= want[i];
    for (size_t i = 0; i < nr; i++) arg[np + i] = b->extra[i];
    tsr_fn *v = any ? closed_vjp(b->c, f, want) : NULL;
    if (any && !v) return -1;
    if (any) tsr_fn_inline(b->c, v, (int)(np + nr), arg, grad);
    int n = 0;
    for (int j = 1; j < b->n->nsrc; j++) {
        if (!b->flag[j]) continue;
        tsr_node *g = NULL;
        for (size_t i = 0, at = 0; i < np; i++)
            if (want[i] && ++at && cond_source(b->n, b->k, (int)i) == j) g = grad[at - 1];
        (*out)[n++] = or_zeros(b->c, g, b->src[j]->type);
    }
    return n;
}

bool cond_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_node **grad = mem_array(c, (size_t)n->nsrc + 1, sizeof *grad);
    struct branch b = {.c = c, .n = n, .src = n->src, .extra = gout, .flag = want};
    int wanted = 0, k = 0;
    for (int j = 1; j < n->nsrc; j++) wanted += want[j];
    bool ok = grad && cond_around(&b, make_vjp_branch, wanted, grad);
    for (int j = 1; ok && j < n->nsrc; j++)
        if (want[j]) gsrc[j] = grad[k++];
    mem_array_free(c, grad, (size_t)n->nsrc + 1, sizeof *grad);
    return ok;
}

static int make_jvp_branch(struct branch *b, struct arena *mem, tsr_node ***out) {
    tsr_fn *f = b->n->fn[b->k];
    size_t np = f->param.n, nr = f->result.n, nt = 0;
    tsr_node **arg;
    bool *with;
    *out = arena_array(mem, 2 * nr + 1, sizeof **out);
    if (!*out || !branch_args(b, mem, np, &arg, &with)) return -1;
    for (size_t i = 0; i < np; i++)
        if (with[i]) arg[np + nt++] = b->extra[cond_source(b->n, b->k, (int)i)];
    tsr_fn *j = closed_jvp(b->c, f, with);
    if (!j) return -1;
    tsr_fn_inline(b->c, j, (int)(np + nt), arg, *out);
    return (int)(2 * nr);
}

bool cond_jvp(tsr_ctx *c, tsr_node *n, tsr_node *const *src, tsr_node *const *t, tsr_node **out, tsr_node **tout) {
    int nr = node_results(n);
    bool *with = mem_array(c, (size_t)n->nsrc, sizeof *with);
    tsr_node **all = mem_array(c, (size_t)(2 * nr + 1), sizeof *all);
    struct branch b = {.c = c, .n = n, .src = src, .extra = t, .flag = with};
    for (int j = 0; with && j < n->nsrc; j++) with[j] = t[j] != NULL;
    bool ok = with && all && cond_around(&b, make_jvp_branch, 2 * nr, all);
    for (int i = 0; ok && i < nr; i++) out[i] = all[i], tout[i] = type_differentiable(type_result(n->type, i)) ?
        all[nr + i] : NULL;
    mem_array_free(c, with, (size_t)n->nsrc, sizeof *with);
    mem_array_free(c, all, (size_t)(2 * nr + 1), sizeof *all);
    return ok;
}

static int make_vmap_branch(struct branch *b, struct arena *mem, tsr_node ***out) {
    tsr_fn *f = b->n->fn[b->k];
    tsr_node **arg;
    bool *batched;
    *out = arena_array(mem, f->result.n + 1, sizeof **out);
    if (!*out || !branch_args(b, mem, 0, &arg, &batched)) return -1;
    tsr_fn *v = closed_vmap(b->c, f, batched, b->size);
    if (!v) return -1;
    tsr_fn_inline(b->c, v, (int)f->param.n, arg, *out);
    return (int)f->result.n;
}

/* The index differs between examples: every branch is computed, and each example selects. */
static bool cond_select(struct branch *b, tsr_node **out) {
    tsr_ctx *c = b->c;
    int last = b->n->nfn - 1, nr = node_results(b->n);
    tsr_node *index = b->src[0];
    bool pred = index->type->dtype == TSR_BOOL, ok = true;
    struct arena mem;
    arena_init(&mem, c);
    for (int k = last; ok && k >= 0; k--) { /* an index out of range takes the last branch */
        tsr_node **res = NULL;
        b->k = k;
        if (!(ok = make_vmap_branch(b, &mem, &res) >= 0)) break;
        tsr_node *is = pred ? tsr_prim1(c, TSR_S_NOT, index) :
            tsr_prim2(c, TSR_S_EQ, index, tsr_full(c, index->type, k));
        for (int i = 0; i < nr; i++) {
            if (k < last) {
                tsr_node *mask = tsr_is_poison(res[i]) ? res[i] :
                    tsr_prim_broadcast(c, is, type_with_dtype(c, res[i]->type, TSR_BOOL), (int64_t[]){0});
                out[i] = tsr_prim3(c, TSR_S_SELECT, mask, res[i], out[i]);
            } else {
                out[i] = res[i];
            }
            ok &= !tsr_is_poison(out[i]);
        }
    }
    arena_release(&mem);
    return ok;
}

bool cond_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size,
               tsr_node **out) {
    struct branch b = {.c = c, .n = n, .src = src, .flag = batched, .size = size};
    return batched[0] ? cond_select(&b, out) : cond_around(&b, make_vmap_branch, node_results(n), out);
}
