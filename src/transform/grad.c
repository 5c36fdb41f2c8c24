/* grad.c: reverse mode: one sweep over nodes, newest first.
 *
 * A source is always older than its user, so descending id order visits every user before what it uses: by the time a
 * node is visited its cotangent is complete. Only nodes on a path from wrt to the outputs are visited: the walk back
 * stops at nodes older than the oldest wrt, and what does not depend on a wrt asks for no cotangent.
 *
 * The sweep knows no op but ITEM (it moves a cotangent into its tuple's slot) and STOP_GRADIENT (it ends a path): the
 * rules stand in the ops' records, those of ops with bodies in this room (higher.c). Everything is built with
 * builders, so the result is graph in whatever fn is open and can be differentiated again.
 *
 * Reverse accumulation is Linnainmaa's (1970); vjp conventions are JAX's. */
#include <stdlib.h>

#include "transform/transform.h"

struct entry {
    tsr_node *node;
    tsr_node **cot; /* (results) NULL: zero; the array is NULL until the first cotangent arrives */
    bool need;      /* depends on a wrt through differentiable values */
    bool wanted;    /* is a wrt */
};

struct sweep {
    tsr_ctx *c;
    struct arena mem;
    bool partial;     /* other wrt are held fixed: nothing goes back past a wrt */
    struct map index; /* node -> its place in e, as a number; never 0 */
    VEC(struct entry) e;
    VEC(struct entry *) order; /* by id */
};

static bool same_node(const void *item, const void *key, void *user) {
    const struct sweep *s = user;
    return s->e.v[(uintptr_t)item - 1].node == key;
}

static struct entry *find(const struct sweep *s, const tsr_node *n) {
    void *item = map_get(&s->index, n->id, n, same_node, (void *)s);
    return item ? &s->e.v[(uintptr_t)item - 1] : NULL;
}

/* Enter n unless it is there, or too old to depend on a wrt. */
static bool enter(struct sweep *s, tsr_node *n, uint64_t oldest) {
    if (n->id < oldest || find(s, n)) return true;
    return vec_push(s->c, &s->e, ((struct entry){.node = n})) &&
        map_put(s->c, &s->index, n->id, (void *)(uintptr_t)s->e.n);
}

static int by_id(const void *a, const void *b) {
    uint64_t x = (*(struct entry *const *)a)->node->id, y = (*(struct entry *const *)b)->node->id;
    return x < y ? -1 : x > y;
}

/* Everything that the outputs were computed from and that is not older than the oldest wrt, in order of id. */
static bool collect(struct sweep *s, int nout, tsr_node *const *out, int n, tsr_node *const *wrt) {
    uint64_t oldest = UINT64_MAX;
    for (int i = 0; i < n; i++)
        if (wrt[i] && wrt[i]->id < oldest) oldest = wrt[i]->id;
    for (int i = 0; i < n; i++)
        if (wrt[i] && !enter(s, wrt[i], oldest)) return false;
    for (size_t i = 0; i < s->e.n; i++) s->e.v[i].wanted = s->e.v[i].need = true;
    for (int i = 0; i < nout; i++)
        if (!enter(s, out[i], oldest)) return false;
    for (size_t i = 0; i < s->e.n; i++) { /* grows as it goes */
        if (s->e.v[i].wanted && s->partial) continue;
        tsr_node *at = s->e.v[i].node;
        for (int j = 0; j < at->nsrc; j++)
            if (!enter(s, at->src[j], oldest)) return false;
    }
    if (!vec_reserve(s->c, &s->order, s->e.n)) return false;
    for (size_t i = 0; i < s->e.n; i++) s->order.v[s->order.n++] = &s->e.v[i];
    if (s->order.n) qsort(s->order.v, s->order.n, sizeof *s->order.v, by_id);
    return true;
}

static void mark_needed(struct sweep *s) {
    for (size_t i = 0; i < s->order.n; i++) {
        struct entry *e = s->order.v[i];
        if (e->need || e->node->op == TSR_OP_STOP_GRADIENT || !node_differentiable(e->node)) continue;
        for (int j = 0; j < e->node->nsrc && !e->need; j++) {
            struct entry *src = find(s, e->node->src[j]);
            e->need = src && src->need;
        }
    }
}

static bool add_to(struct sweep *s, struct entry *e, int result, tsr_node *g) {
    if (!e->cot && !(e->cot = arena_array(&s->mem, (size_t)node_results(e->node), sizeof *e->cot))) return false;
    const tsr_type *want = type_result(e->node->type, result);
    if (tsr_is_poison(g)) return false;
    if (g->type->dtype != want->dtype || g->type->rank != want->rank)
        TSR_BUG("%s: a cotangent of type %s for a value of type %s", op_name(e->node->op), type_text(s->c, g->type),
                type_text(s->c, want));
    if (g->type != want) g = tsr_prim_reshape(s->c, g, want); /* symbolic extents, equal but written differently */
    e->cot[result] = add_cotangents(s->c, e->cot[result], g);
    return !tsr_is_poison(e->cot[result]);
}

/* Push the cotangents of one node to its sources. */
static bool pull_back(struct sweep *s, struct entry *e) {
    tsr_node *n = e->node;
    int results = node_results(n);
    if (n->op == TSR_OP_ITEM) return add_to(s, find(s, n->src[0]), (int)node_int(n, ATTR_INDEX), e->cot[0]);
    bool any = false, *want = arena_array(&s->mem, (size_t)n->nsrc + 1, sizeof *want);
    tsr_node **gsrc = arena_array(&s->mem, (size_t)n->nsrc + 1, sizeof *gsrc);
    if (!want || !gsrc) return false;
    for (int j = 0; j < n->nsrc; j++) {
        struct entry *src = find(s, n->src[j]);
        any |= want[j] = src && src->need;
    }
    if (!any) return true;
    for (int i = 0; i < results; i++)
        if (tsr_is_poison(e->cot[i] = or_zeros(s->c, e->cot[i], type_result(n->type, i)))) return false;
    op_vjp *rule = op_def(n->op)->vjp;
    if (!(rule == vjp_higher ? higher_vjp : rule)(s->c, n, e->cot, want, gsrc)) return false;
    for (int j = 0; j < n->nsrc; j++)
        if (want[j] && gsrc[j] && !add_to(s, find(s, n->src[j]), 0, gsrc[j])) return false;
    return true;
}

/* wrt[i] has no path to the outputs: was it cut by an evaluation? */
static bool history_cut(struct sweep *s, const tsr_node *wrt) {
    for (size_t i = 0; i < s->order.n; i++) {
        const struct entry *e = s->order.v[i];
        if (!e->node->computed || e->wanted || e->node->op == TSR_OP_VALUE || e->node->id < wrt->id) continue;
        err_set(s->c, TSR_EINVAL,
                "gradient: nothing leads from the loss back to a %s it is wanted for, and the loss was computed from a "
                "%s (result of %s) that had been evaluated before: evaluating drops what a value was computed from; "
                "build the "
                "loss and its gradients first and evaluate them together", type_text(s->c, wrt->type),
                    type_text(s->c, e->node->type),
                op_name(e->node->op));
        return true;
    }
    return false;
}

/* The sweep proper. wrt[i] NULL: outputs cannot depend on it. */
static bool run_sweep(struct sweep *s, int nout, tsr_node *const *out, tsr_node *const *cotangent, int n,
                      tsr_node *const *wrt, tsr_node **grad) {
    if (!collect(s, nout, out, n, wrt)) return false;
    mark_needed(s);
    for (int i = 0; i < nout; i++) {
        struct entry *e = find(s, out[i]);
        if (cotangent[i] && e && e->need && !add_to(s, e, 0, cotangent[i])) return false;
    }
    for (size_t i = s->order.n; i-- > 0;) {
        struct entry *e = s->order.v[i];
        if (e->need && e->cot && !(e->wanted && s->partial) && !pull_back(s, e)) return false;
    }
    for (int i = 0; i < n; i++) {
        struct entry *e = wrt[i] ? find(s, wrt[i]) : NULL;
        grad[i] = e && e->cot ? e->cot[0] : NULL;
        if (!grad[i] && wrt[i] && !s->partial && history_cut(s, wrt[i])) return false;
    }
    return true;
}

/* The node that stands for n in the graph of `owner`: itself, or the parameter that captured it; NULL when nothing
 * there uses it. */
static tsr_node *view_in(tsr_ctx *c, tsr_fn *owner, tsr_node *n) {
    if (n->owner == owner) return n;
    if (n->op == TSR_OP_CONST && owner && owner->open) return fn_capture(c, owner, n);
    int depth = 0;
    for (tsr_fn *f = owner; f && f != n->owner; f = f->outer) depth++;
    for (; depth > 0; depth--) { /* from the outermost fn that may have captured it inwards */
        tsr_fn *f = owner;
        for (int i = 1; i < depth; i++) f = f->outer;
        tsr_node *inside = NULL;
        for (size_t i = 0; i < f->param.n && !inside; i++)
            if (f->param.v[i].kind == PARAM_CAPTURE && f->param.v[i].outside == n) inside = f->param.v[i].node;
        if (!(n = inside)) return NULL;
    }
    return n;
}

static bool check_arguments(tsr_ctx *c, int nout, tsr_node *const *out, tsr_node *const *cotangent, int n,
                            tsr_node *const *wrt) {
    for (int i = 0; i < nout; i++) {
        if (tsr_is_poison(out[i]) || (cotangent[i] && tsr_is_poison(cotangent[i]))) return false;
        if (out[i]->type->kind != TSR_TENSOR || (cotangent[i] && cotangent[i]->type != out[i]->type))
            return err_set(c, TSR_EINVAL,
                           "vjp: output %d is a %s, its cotangent a %s: they must be the same tensor type", i,
                           type_text(c, out[i]->type), type_text(c, cotangent[i] ? cotangent[i]->type : out[i]->type)),
                               false;
    }
    for (int i = 0; i < n; i++) {
        if (tsr_is_poison(wrt[i])) return false;
        if (wrt[i]->type->kind != TSR_TENSOR || !node_differentiable(wrt[i]))
            return err_set(c, TSR_EINVAL,
                           "gradient: wrt[%d] is a %s; only floating point and complex tensors have gradients", i,
                           type_text(c, wrt[i]->type)), false;
    }
    return true;
}

static bool backward(tsr_ctx *c, bool partial, int nout, tsr_node *const *out, tsr_node *const *cotangent, int n,
                     tsr_node *const *wrt, tsr_node **grad) {
    struct sweep s = {.c = c, .partial = partial};
    bool ok = false;
    if (!check_arguments(c, nout, out, cotangent, n, wrt)) return false;
    arena_init(&s.mem, c);
    map_init(&s.index);
    tsr_node **view = arena_array(&s.mem, (size_t)n + 1, sizeof *view),
        **outs = arena_array(&s.mem, (size_t)nout + 1, sizeof *outs);
    if (!view || !outs) goto out;
    tsr_fn *owner = nout ? out[0]->owner : NULL;
    for (int i = 1; i < nout; i++)
        if (out[i]->owner != owner) owner = fn_open_now(c);
    for (int i = 0; i < nout; i++)
        if (tsr_is_poison(outs[i] = out[i]->owner == owner ? out[i] : fn_capture(c, owner, out[i]))) goto out;
    for (int i = 0; i < n; i++) view[i] = view_in(c, owner, wrt[i]);
    if (!run_sweep(&s, nout, outs, cotangent, n, view, grad)) goto out;
    ok = true;
    for (int i = 0; i < n; i++) ok &= !tsr_is_poison(grad[i] = or_zeros(c, grad[i], wrt[i]->type));
out:
    vec_release(c, &s.order);
    vec_release(c, &s.e);
    map_release(c, &s.index);
    arena_release(&s.mem);
    return ok;
}

tsr_status tsr_vjp_nodes(tsr_ctx *c, int nout, tsr_node *const *out, tsr_node *const *cotangent, int n,
                         tsr_node *const *wrt, tsr_node **grad) {
    if (backward(c, false, nout, out, cotangent, n, wrt, grad)) return TSR_OK;
    for (int i = 0; i < n; i++) grad[i] = tsr_poison(c);
    if (!err_any(c)) err_set(c, TSR_EINVAL, "gradient: an operand is poison or NULL");
    return tsr_error_status(c);
}

/* The rule of a node by way of other graph that computes the same results from the node's own sources. */
bool vjp_by_rewriting(tsr_ctx *c, tsr_node *n, tsr_node *const *result, tsr_node *const *gout, const bool *want,
                      tsr_node **gsrc) {
    struct arena mem;
    arena_init(&mem, c);
    int k = 0, nr = node_results(n), *at = arena_array(&mem, (size_t)n->nsrc + 1, sizeof *at);
    tsr_node **wrt = arena_array(&mem, (size_t)(2 * n->nsrc + nr + 1), sizeof *wrt);
    bool ok = at && wrt;
    tsr_node **grad = wrt + n->nsrc, **cot = grad + n->nsrc;
    for (int j = 0; ok && j < n->nsrc; j++) { /* a source that stands twice gets its cotangent once */
        bool listed = !want[j];
        for (int i = 0; i < k; i++) listed |= wrt[i] == n->src[j];
        if (!listed) wrt[k] = n->src[j], at[k++] = j;
    }
    for (int i = 0; ok && i < nr; i++) cot[i] = type_differentiable(type_result(n->type, i)) ? gout[i] : NULL;
    ok = ok && backward(c, true, nr, result, cot, k, wrt, grad);
    for (int i = 0; ok && i < k; i++) gsrc[at[i]] = grad[i];
    arena_release(&mem);
    return ok;
}

static bool is_one_float(tsr_ctx *c, const tsr_node *loss) {
    const tsr_type *t = loss->type;
    bool one = t->kind == TSR_TENSOR && dtype_is_float(t->dtype);
    for (int i = 0; i < t->rank && one; i++) one = extent_is(t->extent[i], 1);
    if (!one) err_set(c, TSR_EINVAL,
                      "gradient: the loss is a %s, not one floating point number; reduce it first (tsr_mean, tsr_sum), "
                      "or give "
                      "tsr_vjp_nodes a cotangent", type_text(c, t));
    return one;
}

tsr_status tsr_grad(tsr_ctx *c, tsr_node *loss, int n, tsr_node *const *wrt, tsr_node **grad) {
    for (int i = 0; i < n; i++) grad[i] = tsr_poison(c);
    if (tsr_is_poison(loss)) return tsr_vjp_nodes(c, 1, &loss, &loss, n, wrt, grad);
    if (!is_one_float(c, loss)) return tsr_error_status(c);
    tsr_node *one = rule_full_like(c, loss, 1);
    return tsr_vjp_nodes(c, 1, &loss, &one, n, wrt, grad);
}

/* ---- fns ---- */

/* (all params, cotangents of all results) -> cotangents of the wanted params. */
static tsr_fn *make_closed_vjp(tsr_ctx *c, tsr_fn *f, const bool *want) {
    int np = (int)f->param.n, nr = (int)f->result.n, n = 0;
    struct arena mem;
    arena_init(&mem, c);
    int most = np > nr ? np : nr;
    tsr_node **arg = arena_array(&mem, (size_t)(3 * np + nr + most + 1), sizeof *arg);
    tsr_fn *made = NULL;
    if (!arg || !closed_begin(c, f, "vjp", arg)) goto out;
    tsr_node **cot = arg + np, **out = cot + nr, **wrt = out + most, **grad = wrt + np;
    for (int i = 0; i < nr; i++) cot[i] = tsr_param(c, f->result.v[i]->type, NULL);
    if (f->vjp) { /* params and cotangents stand in one row: the arguments of the fn's own rule */
        tsr_fn_call(c, f->vjp, np + nr, arg, out);
        for (int i = 0; i < np; i++)
            if (want[i]) grad[n++] = out[i];
    } else {
        replay(c, f, arg, out);
        for (int i = 0; i < np; i++)
            if (want[i]) wrt[n++] = arg[i];
        for (int i = 0; i < nr; i++)
            if (!tsr_is_poison(out[i]) && !node_differentiable(out[i])) cot[i] = NULL;
        tsr_vjp_nodes(c, nr, out, cot, n, wrt, grad);
    }
    made = tsr_fn_end(c, n, grad);
out:
    arena_release(&mem);
    return made;
}

tsr_fn *closed_vjp(tsr_ctx *c, tsr_fn *f, const bool *want) {
    struct str key;
    str_init(&key, c);
    str_put(&key, "vjp:");
    key_flags(&key, (int)f->param.n, want);
    tsr_fn *made = key.failed ? NULL : derived_get(f, key.s);
    if (!made && !key.failed) {
        tsr_scope *s = tsr_scope_begin(c);
        made = s ? make_closed_vjp(c, f, want) : NULL;
        if (s) tsr_scope_end(c, s);
        if (made && !derived_put_take(c, f, key.s, made)) made = NULL;
    }
    str_release(&key);
    return made;
}

tsr_fn *tsr_vjp(tsr_ctx *c, tsr_fn *f) {
    if (fn_missing(c, f, "vjp")) return NULL;
    int np = f->nparam, nr = f->nresult, all = (int)f->param.n, nall = (int)f->result.n;
    struct arena mem;
    arena_init(&mem, c);
    tsr_node **arg = arena_array(&mem, (size_t)(2 * all + nall + 1), sizeof *arg), **grad = arg + all + nall;
    bool *want = arena_array(&mem, (size_t)all + 1, sizeof *want);
    tsr_fn *v = NULL, *made = NULL;
    for (int i = 0; want && i < np; i++) want[i] = node_differentiable(f->param.v[i].node);
    if (!arg || !want || !(v = closed_vjp(c, f, want)) || !begin_named(c, "vjp", f)) goto out;
    for (int i = 0; i < np; i++) arg[i] = tsr_param(c, f->param.v[i].node->type, param_name(f, i));
    for (int i = 0; i < nr; i++) arg[all + i] = tsr_param(c, f->result.v[i]->type, NULL);
    fn_implicit_args(c, f, arg + np);
    for (int i = nr; i < nall; i++) arg[all + i] = rule_zeros(c, f->result.v[i]->type);
    tsr_fn_inline(c, v, all + nall, arg, grad);
    for (int i = np, k = v->nresult; i-- > 0;) grad[i] = want[i] ? grad[--k] : rule_zeros(c, f->param.v[i].node->type);
    made = tsr_fn_end(c, np, grad);
out:
    arena_release(&mem);
    return made;
}

/* The parameters to differentiate by: the ones asked for, checked, or every differentiable one. */
static int choose_wrt(tsr_ctx *c, const tsr_fn *f, int n, const int *wrt, int *chosen) {
    int k = 0;
    for (int i = 0; !wrt && i < f->nparam; i++)
        if (node_differentiable(f->param.v[i].node)) chosen[k++] = i;
    for (int i = 0; wrt && i < n; i++) {
        if (wrt[i] < 0 || wrt[i] >= f->nparam)
            return err_set(c, TSR_EINVAL, "gradient of %s: wrt[%d] is parameter %d, it has %d", f->name, i, wrt[i],
                           f->nparam), -1;
        chosen[k++] = wrt[i];
    }
    return k;
}

/* f's results in the fn being built: its body, or a call of it when it has a gradient of its own. */
static void results_for_gradient(tsr_ctx *c, tsr_fn *f, tsr_node **arg, tsr_node **out) {
    if (f->vjp) tsr_fn_call(c, f, f->nparam, arg, out);
    else replay(c, f, arg, out);
}

tsr_fn *tsr_grad_fn(tsr_ctx *c, tsr_fn *f, int n, const int *wrt, bool with_value) {
    if (fn_missing(c, f, "gradient")) return NULL;
    int np = (int)f->param.n, nr = (int)f->result.n, k, most = n > np ? n : np;
    struct arena mem;
    arena_init(&mem, c);
    tsr_node **arg = arena_array(&mem, (size_t)(np + nr + 2 * most + 1), sizeof *arg), **out = arg + np,
        **grad = out + nr, **by = grad + most;
    int *chosen = arena_array(&mem, (size_t)most + 1, sizeof *chosen);
    tsr_fn *made = NULL;
    if (!arg || !chosen || (k = choose_wrt(c, f, n, wrt, chosen)) < 0) goto out;
    if (f->nresult < 1) {
        err_set(c, TSR_EINVAL, "gradient of %s: it has no result to differentiate", f->name);
        goto out;
    }
    if (!begin_named(c, "grad", f)) goto out;
    for (int i = 0; i < f->nparam; i++) arg[i] = tsr_param(c, f->param.v[i].node->type, param_name(f, i));
    fn_implicit_args(c, f, arg + f->nparam);
    results_for_gradient(c, f, arg, out);
    for (int i = 0; i < k; i++) by[i] = arg[chosen[i]];
    tsr_grad(c, out[0], k, by, grad);
    for (size_t i = 0; i < f->assign.n; i++) tsr_var_assign(c, f->assign.v[i], out[(size_t)f->nresult + i]);
    if (with_value) {
        memmove(out + f->nresult, grad, (size_t)k * sizeof *grad);
        made = tsr_fn_end(c, f->nresult + k, out);
    } else {
        made = tsr_fn_end(c, k, grad);
    }
out:
    arena_release(&mem);
    return made;
}
