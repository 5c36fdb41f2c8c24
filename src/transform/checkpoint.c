/* checkpoint.c: rules of one's own on a fn: recomputation, custom gradients; and the Hessian, a composition of the
 * others.
 *
 * A checkpointed fn is a fn with a gradient of its own, which computes the fn again behind a barrier: the barrier
 * takes the arguments together with the cotangents, so no copy of the forward pass can be shared with the
 * recomputation, and the recomputation cannot start before the backward pass arrives. */
#include "transform/transform.h"
#include "tessera/ops.h"

/* ---- checkpoint ---- */

/* (all params, cotangents) -> cotangents of all params, from the params and cotangents behind a barrier. */
static tsr_fn *recomputing_vjp(tsr_ctx *c, tsr_fn *f) {
    int np = (int)f->param.n, nr = (int)f->result.n, k = 0;
    struct arena mem;
    arena_init(&mem, c);
    tsr_node **arg = arena_array(&mem, (size_t)(3 * np + nr + 1), sizeof *arg), **grad = arg + np + nr,
        **all = grad + np;
    bool *want = arena_array(&mem, (size_t)np + 1, sizeof *want);
    tsr_fn *v = NULL, *made = NULL;
    for (int i = 0; want && i < np; i++) want[i] = node_differentiable(f->param.v[i].node);
    if (!arg || !want || !(v = closed_vjp(c, f, want)) || !closed_begin(c, f, "recompute", arg)) goto out;
    for (int i = 0; i < nr; i++) arg[np + i] = tsr_param(c, f->result.v[i]->type, NULL);
    tsr_node *wall = tsr_prim_barrier(c, np + nr, arg);
    for (int i = 0; i < np + nr; i++) arg[i] = node_result(c, wall, i);
    tsr_fn_inline(c, v, np + nr, arg, grad);
    for (int i = 0; i < np; i++) all[i] = want[i] ? grad[k++] : rule_zeros(c, f->param.v[i].node->type);
    made = tsr_fn_end(c, np, all);
out:
    arena_release(&mem);
    return made;
}

static tsr_fn *make_checkpointed(tsr_ctx *c, tsr_fn *f) {
    size_t np = f->param.n, nr = f->result.n;
    tsr_node **arg = mem_array(c, np + nr + 1, sizeof *arg);
    tsr_fn *made = NULL;
    if (arg && closed_begin(c, f, "checkpoint", arg)) {
        fn_splice(c, f, arg, arg + np, NULL);
        made = tsr_fn_end(c, (int)nr, arg + np);
    }
    if (made && !(made->vjp = recomputing_vjp(c, f))) tsr_fn_free(c, made), made = NULL;
    mem_array_free(c, arg, np + nr + 1, sizeof *arg);
    return made;
}

static tsr_fn *checkpointed(tsr_ctx *c, tsr_fn *f) {
    tsr_fn *made = derived_get(f, "checkpoint");
    if (made) return made;
    tsr_scope *s = tsr_scope_begin(c);
    made = s ? make_checkpointed(c, f) : NULL;
    if (s) tsr_scope_end(c, s);
    return made && derived_put_take(c, f, "checkpoint", made) ? made : NULL;
}

void tsr_checkpoint(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out) {
    if (fn_missing(c, f, "checkpoint")) return;
    size_t np = f->param.n, nr = f->result.n;
    for (int i = 0; i < f->nresult; i++) out[i] = tsr_poison(c);
    if (n != f->nparam) {
        err_set(c, TSR_EINVAL, "checkpoint of %s: takes %d arguments, got %d", f->name, f->nparam, n);
        return;
    }
    tsr_fn *g = checkpointed(c, f);
    tsr_node **all = g ? mem_array(c, np + nr + 1, sizeof *all) : NULL;
    if (!all) return;
    memcpy(all, arg, (size_t)n * sizeof *all);
    fn_implicit_args(c, f, all + n);
    tsr_fn_call(c, g, (int)np, all, all + np);
    memcpy(out, all + np, (size_t)f->nresult * sizeof *out);
    for (size_t i = 0; i < f->assign.n; i++) tsr_var_assign(c, f->assign.v[i], all[np + (size_t)f->nresult + i]);
    mem_array_free(c, all, np + nr + 1, sizeof *all);
}

/* ---- custom gradients ---- */

static bool closed_enough(tsr_ctx *c, const tsr_fn *f, const char *which) {
    for (size_t i = (size_t)f->nparam; i < f->param.n; i++) {
        const struct fn_param *p = &f->param.v[i];
        if (p->kind != PARAM_VAR && !node_differentiable(p->node)) continue;
        return err_set(c, TSR_EINVAL,
                       "custom gradient: %s %s uses %s%s from outside; make it a parameter, so that it can have a "
                       "cotangent",
                       which, f->name, p->kind == PARAM_VAR ? "variable " : "a value of type ",
                       p->kind == PARAM_VAR ? tsr_var_name(p->var) : type_text(c, p->node->type)), false;
    }
    return true;
}

static bool signature_fits(tsr_ctx *c, const tsr_fn *f, const tsr_fn *v) {
    if (v->nparam != f->nparam + f->nresult || v->nresult != f->nparam)
        return err_set(c, TSR_EINVAL,
                       "custom gradient of %s: it must take %d values (parameters, then cotangents of results) and "
                       "give %d; %s "
                       "takes %d and gives %d", f->name, f->nparam + f->nresult, f->nparam, v->name, v->nparam,
                           v->nresult), false;
    for (int i = 0; i < v->nparam; i++) {
        const tsr_type *want = i < f->nparam ? f->param.v[i].node->type : f->result.v[i - f->nparam]->type;
        if (v->param.v[i].node->type != want)
            return err_set(c, TSR_EINVAL, "custom gradient of %s: parameter %d of %s is %s, expected %s", f->name, i,
                           v->name,
                           type_text(c, v->param.v[i].node->type), type_text(c, want)), false;
    }
    for (int i = 0; i < v->nresult; i++)
        if (v->result.v[i]->type != f->param.v[i].node->type)
            return err_set(c, TSR_EINVAL,
                           "custom gradient of %s: result %d of %s is %s, expected %s, the type of parameter %d",
                               f->name, i,
                           v->name, type_text(c, v->result.v[i]->type), type_text(c, f->param.v[i].node->type), i),
                               false;
    return true;
}

/* Does f, or a body inside it, call g? */
static bool mentions(const tsr_fn *f, const tsr_fn *g) {
    for (size_t i = 0; i < f->node.n; i++)
        for (int k = 0; k < f->node.v[i]->nfn; k++)
            if (f->node.v[i]->fn[k] == g || mentions(f->node.v[i]->fn[k], g)) return true;
    return false;
}

/* v with its own calls of f replaced by f's body: a fn that held v, which held the fn, would never be freed. */
static tsr_fn *without_calls(tsr_ctx *c, tsr_fn *v, tsr_fn *f) {
    tsr_node **at = mem_array(c, v->node.n + v->param.n + f->result.n + 1, sizeof *at), **arg = at + v->node.n,
        **out = arg + v->param.n;
    VEC(tsr_node *) src = {0};
    tsr_fn *made = NULL;
    if (!at || !begin_named(c, "custom", v)) goto out;
    for (int i = 0; i < v->nparam; i++) arg[i] = tsr_param(c, v->param.v[i].node->type, param_name(v, i));
    fn_implicit_args(c, v, arg + v->nparam);
    for (size_t i = 0; i < v->node.n; i++) {
        tsr_node *n = v->node.v[i];
        at[i] = n->op == TSR_OP_PARAM ? arg[node_int(n, ATTR_INDEX)] : tsr_poison(c);
        if (n->op == TSR_OP_PARAM || !vec_reserve(c, &src, (size_t)n->nsrc + 1)) continue;
        for (int j = 0; j < n->nsrc; j++) src.v[j] = at[n->src[j]->pos];
        bool call = n->op == TSR_OP_CALL && n->fn[0] == f;
        if (call) {
            fn_splice(c, f, src.v, out, NULL);
            at[i] = n->type->kind == TSR_TUPLE ? tsr_prim_barrier(c, (int)f->result.n, out) : out[0];
        } else {
            at[i] = node_rebuild(c, n, src.v);
        }
    }
    for (int i = 0; i < v->nresult; i++) arg[i] = at[v->result.v[i]->pos];
    made = tsr_fn_end(c, v->nresult, arg);
out:
    vec_release(c, &src);
    mem_array_free(c, at, v->node.n + v->param.n + f->result.n + 1, sizeof *at);
    return made;
}

tsr_status tsr_fn_set_vjp(tsr_ctx *c, tsr_fn *f, tsr_fn *vjp) {
    if (!f || !vjp) return err_set(c, TSR_EINVAL, "custom gradient: the %s is NULL", f ? "rule" : "fn");
    if (!closed_enough(c, f, "the fn") || !closed_enough(c, vjp, "its rule") ||
        !signature_fits(c, f, vjp)) return tsr_error_status(c);
    tsr_fn *own = mentions(vjp, f) ? without_calls(c, vjp, f) : tsr_fn_keep(vjp);
    if (own && mentions(own, f)) {
        tsr_fn_free(c, own);
        return err_set(c, TSR_EINVAL,
                       "custom gradient of %s: its rule calls %s inside a loop, a branch or another fn; call it at the "
                       "rule's "
                       "top, or inline it (tsr_fn_inline)", f->name, f->name);
    }
    if (!own) return tsr_error_status(c);
    tsr_fn_free(c, f->vjp);
    f->vjp = own;
    return TSR_OK;
}

/* ---- the Hessian ---- */

/* (params...) -> H of type (shape, shape): every tangent but the one asked for is zero, that one runs over the unit
 * vectors. */
static tsr_fn *hessian_around(tsr_ctx *c, tsr_fn *f, int param, int64_t n, tsr_fn *v) {
    int np = f->nparam;
    const tsr_type *t = f->param.v[param].node->type;
    const tsr_extent *both[2 * TSR_MAX_RANK], *rows[TSR_MAX_RANK + 1];
    tsr_node **arg = mem_array(c, (size_t)(2 * np + 2), sizeof *arg), *out[2], *h;
    tsr_fn *made = NULL;
    for (int i = 0; i < t->rank; i++) both[i] = both[t->rank + i] = rows[i + 1] = t->extent[i];
    rows[0] = tsr_extent_int(c, n);
    if (!arg || !begin_named(c, "hessian", f)) goto out;
    for (int i = 0; i < np; i++) arg[i] = tsr_param(c, f->param.v[i].node->type, param_name(f, i));
    for (int i = 0; i < np; i++) arg[np + i] = rule_zeros(c, f->param.v[i].node->type);
    arg[np + param] = tsr_prim_reshape(c, tsr_eye(c, t->dtype, n, n), tsr_type_tensor(c, t->dtype, t->rank + 1, rows));
    tsr_fn_inline(c, v, 2 * np, arg, out);
    h = tsr_prim_reshape(c, out[1], tsr_type_tensor(c, t->dtype, 2 * t->rank, both));
    made = tsr_fn_end(c, 1, &h);
out:
    mem_array_free(c, arg, (size_t)(2 * np + 2), sizeof *arg);
    return made;
}

tsr_fn *tsr_hessian(tsr_ctx *c, tsr_fn *f, int param) {
    if (fn_missing(c, f, "hessian")) return NULL;
    int64_t dim[TSR_MAX_RANK], n = 1;
    if (param < 0 || param >= f->nparam) return err_set(c, TSR_EINVAL, "hessian of %s: parameter %d of %d", f->name,
                                                        param, f->nparam), NULL;
    const tsr_type *t = f->param.v[param].node->type;
    if (!dtype_is_float(t->dtype) || 2 * t->rank > TSR_MAX_RANK || !tsr_type_ints(t, dim))
        return err_set(c, TSR_EINVAL,
                       "hessian of %s: parameter %d is %s; it must be floating point, of constant extents and at most "
                       "%d axes",
                       f->name, param, type_text(c, t), TSR_MAX_RANK / 2), NULL;
    for (int i = 0; i < t->rank; i++)
        if (!i64_mul(n, dim[i], &n)) return err_set(c, TSR_EINVAL, "hessian of %s: parameter %d is too large", f->name,
                                                    param), NULL;
    int np = f->nparam, *in = mem_array(c, (size_t)(2 * np), sizeof *in);
    tsr_fn *g = in ? tsr_grad_fn(c, f, 1, &param, false) : NULL, *j = g ? tsr_jvp(c, g) : NULL, *v = NULL, *made = NULL;
    for (int i = 0; in && i < 2 * np; i++) in[i] = i == np + param ? 0 : -1;
    if (j) v = tsr_vmap(c, j, in, (int[]){0, 0}, tsr_extent_int(c, n));
    if (v) made = hessian_around(c, f, param, n, v);
    mem_array_free(c, in, (size_t)(2 * np), sizeof *in);
    tsr_fn_free(c, g), tsr_fn_free(c, j), tsr_fn_free(c, v);
    return made;
}
