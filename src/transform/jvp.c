/* jvp.c: forward mode: the fn replayed on pairs (value, tangent).
 *
 * No op needs a rule of its own: the vjp of an op is linear in the cotangent, u -> J^T u, so transposing it gives t ->
 * J t (Radul et al., "You only linearize once", 2022, read backwards). For each node with a tangent the vjp rule is
 * applied to placeholder cotangents u, and the reverse sweep, started from what the rule gave with the tangents as
 * cotangents, ends at the u's. What the u's were never enters the result. Ops with bodies carry their tangents through
 * the bodies (higher.c). */
#include "transform/transform.h"

static tsr_node *placeholder(tsr_ctx *c, const tsr_type *t) {
    struct attr a = attr_int(ATTR_INDEX, 0);
    return node_make(c, &(struct draft){.op = TSR_OP_PARAM, .nattr = 1, .attr = &a, .want = t});
}

bool jvp_by_transposing(tsr_ctx *c, tsr_node *n, tsr_node *const *t, op_vjp *rule, tsr_node **tout) {
    int nr = node_results(n), nu = 0, no = 0;
    struct arena mem;
    arena_init(&mem, c);
    size_t ns = (size_t)n->nsrc;
    tsr_node **gout = arena_array(&mem, 3 * (size_t)nr + 3 * ns + 1, sizeof *gout);
    bool *want = arena_array(&mem, ns + 1, sizeof *want), ok = gout && want;
    if (!ok) goto out;
    tsr_node **u = gout + nr, **tu = u + nr, **gsrc = tu + nr, **from = gsrc + ns, **cot = from + ns;
    for (int i = 0; i < nr; i++) {
        const tsr_type *ty = type_result(n->type, i);
        bool moves = type_differentiable(ty);
        gout[i] = moves ? placeholder(c, ty) : rule_zeros(c, ty);
        if (tsr_is_poison(gout[i])) ok = false;
        if (moves) u[nu++] = gout[i];
    }
    for (size_t j = 0; j < ns; j++) want[j] = t[j] != NULL;
    if (!ok || !(ok = rule(c, n, gout, want, gsrc))) goto out;
    for (size_t j = 0; j < ns; j++)
        if (gsrc[j] && t[j]) from[no] = gsrc[j], cot[no++] = t[j];
    ok = tsr_vjp_nodes(c, no, from, cot, nu, u, tu) == TSR_OK;
    for (int i = 0, k = 0; ok && i < nr; i++) tout[i] = type_differentiable(type_result(n->type, i)) ? tu[k++] : NULL;
out:
    arena_release(&mem);
    return ok;
}

/* The pair of one node of the fn: results and their tangents (NULL: zero). */
struct pair { tsr_node **x, **t; };

static bool push_forward(tsr_ctx *c, struct arena *mem, tsr_node *n, const struct pair *at, struct pair *out) {
    int nr = node_results(n), moving = 0;
    size_t ns = (size_t)n->nsrc;
    tsr_node **src = arena_array(mem, 2 * ns + 2 * (size_t)nr + 1, sizeof *src), **t = src + ns;
    if (!src) return false;
    *out = (struct pair){t + ns, t + ns + nr};
    if (n->op == TSR_OP_ITEM) {
        const struct pair *tuple = &at[n->src[0]->pos];
        int i = (int)node_int(n, ATTR_INDEX);
        out->x[0] = tuple->x[i], out->t[0] = tuple->t[i];
        return true;
    }
    for (size_t j = 0; j < ns; j++) {
        const struct pair *s = &at[n->src[j]->pos];
        src[j] = s->x[0], t[j] = s->t[0];
        moving += t[j] != NULL;
    }
    bool cut = !moving || n->op == TSR_OP_STOP_GRADIENT || !node_differentiable(n);
    if (!cut && op_def(n->op)->vjp == vjp_higher) return higher_jvp(c, n, src, t, out->x, out->t);
    tsr_node *made = node_rebuild(c, n, src);
    for (int i = 0; i < nr; i++)
        if (tsr_is_poison(out->x[i] = node_result(c, made, i))) return false;
    return cut || jvp_by_transposing(c, made, t, op_def(n->op)->vjp, out->t);
}

/* The body of f on arguments and tangents (NULL: zero). */
static bool jvp_replay(tsr_ctx *c, struct arena *mem, const tsr_fn *f, tsr_node **arg, tsr_node **tan, tsr_node **out,
                       tsr_node **tout) {
    struct pair *at = arena_array(mem, f->node.n + 1, sizeof *at);
    if (!at) return false;
    for (size_t i = 0; i < f->node.n; i++) {
        tsr_node *n = f->node.v[i];
        if (n->op == TSR_OP_PARAM) at[i] = (struct pair){&arg[node_int(n, ATTR_INDEX)], &tan[node_int(n, ATTR_INDEX)]};
        else if (!push_forward(c, mem, n, at, &at[i])) return false;
    }
    for (size_t i = 0; i < f->result.n; i++) {
        const struct pair *r = &at[f->result.v[i]->pos];
        out[i] = r->x[0], tout[i] = r->t[0];
    }
    return true;
}

/* A fn with a gradient of its own: its body for the values, its rule transposed for the tangents. */
static bool jvp_of_own_rule(tsr_ctx *c, struct arena *mem, tsr_fn *f, tsr_node **arg, tsr_node **tan, tsr_node **out,
                            tsr_node **tout) {
    int np = (int)f->param.n, nr = (int)f->result.n, no = 0, nu = 0;
    tsr_node **in = arena_array(mem, (size_t)(4 * np + 3 * nr + 1), sizeof *in);
    if (!in) return false;
    tsr_node **grad = in + np + nr, **from = grad + np, **cot = from + np, **u = cot + np, **tu = u + nr;
    fn_splice(c, f, arg, out, NULL);
    memcpy(in, arg, (size_t)np * sizeof *in);
    for (int i = 0; i < nr; i++) {
        const tsr_type *t = f->result.v[i]->type;
        in[np + i] = type_differentiable(t) ? u[nu++] = placeholder(c, t) : rule_zeros(c, t);
    }
    tsr_fn_inline(c, f->vjp, np + nr, in, grad);
    for (int i = 0; i < np; i++)
        if (tan[i]) from[no] = grad[i], cot[no++] = tan[i];
    if (tsr_vjp_nodes(c, no, from, cot, nu, u, tu) != TSR_OK) return false;
    for (int i = 0, k = 0; i < nr; i++) tout[i] = node_differentiable(f->result.v[i]) ? tu[k++] : NULL;
    return true;
}

static bool jvp_body(tsr_ctx *c, struct arena *mem, tsr_fn *f, tsr_node **arg, tsr_node **tan, tsr_node **out,
                     tsr_node **tout) {
    if (!(f->vjp ? jvp_of_own_rule(c, mem, f, arg, tan, out, tout) : jvp_replay(c, mem, f, arg, tan, out, tout))) return
        false;
    for (size_t i = 0; i < f->result.n; i++)
        if (tsr_is_poison(tout[i] = or_zeros(c, tout[i], f->result.v[i]->type))) return false;
    return true;
}

static tsr_fn *make_closed_jvp(tsr_ctx *c, tsr_fn *f, const bool *with) {
    size_t np = f->param.n, nr = f->result.n;
    struct arena mem;
    arena_init(&mem, c);
    tsr_node **arg = arena_array(&mem, 2 * np + 2 * nr + 1, sizeof *arg), **tan = arg + np, **out = tan + np;
    tsr_fn *made = NULL;
    if (!arg || !closed_begin(c, f, "jvp", arg)) goto out;
    for (size_t i = 0; i < np; i++) tan[i] = with[i] ? tsr_param(c, f->param.v[i].node->type, NULL) : NULL;
    if (jvp_body(c, &mem, f, arg, tan, out, out + nr)) made = tsr_fn_end(c, (int)(2 * nr), out);
    else tsr_fn_abort(c);
out:
    arena_release(&mem);
    return made;
}

tsr_fn *closed_jvp(tsr_ctx *c, tsr_fn *f, const bool *with) {
    struct str key;
    str_init(&key, c);
    str_put(&key, "jvp:");
    key_flags(&key, (int)f->param.n, with);
    tsr_fn *made = key.failed ? NULL : derived_get(f, key.s);
    if (!made && !key.failed) {
        tsr_scope *s = tsr_scope_begin(c);
        made = s ? make_closed_jvp(c, f, with) : NULL;
        if (s) tsr_scope_end(c, s);
        if (made && !derived_put_take(c, f, key.s, made)) made = NULL;
    }
    str_release(&key);
    return made;
}

tsr_fn *tsr_jvp(tsr_ctx *c, tsr_fn *f) {
    if (fn_missing(c, f, "jvp")) return NULL;
    int np = f->nparam, nr = f->nresult, all = (int)f->param.n, nall = (int)f->result.n, nt = 0;
    struct arena mem;
    arena_init(&mem, c);
    tsr_node **arg = arena_array(&mem, (size_t)(2 * all + 2 * nall + np + 1), sizeof *arg), **out = arg + 2 * all,
        **tan = out + 2 * nall;
    bool *with = arena_array(&mem, (size_t)all + 1, sizeof *with);
    tsr_fn *j = NULL, *made = NULL;
    for (int i = 0; with && i < np; i++) with[i] = node_differentiable(f->param.v[i].node);
    if (!arg || !with || !(j = closed_jvp(c, f, with)) || !begin_named(c, "jvp", f)) goto out;
    for (int i = 0; i < np; i++) arg[i] = tsr_param(c, f->param.v[i].node->type, param_name(f, i));
    for (int i = 0; i < np; i++) tan[i] = tsr_param(c, f->param.v[i].node->type, NULL);
    fn_implicit_args(c, f, arg + np);
    for (int i = 0; i < np; i++)
        if (with[i]) arg[all + nt++] = tan[i];
    tsr_fn_inline(c, j, all + nt, arg, out);
    for (int i = 0; i < (int)f->assign.n; i++) tsr_var_assign(c, f->assign.v[i], out[nr + i]);
    memmove(out + nr, out + nall, (size_t)nr * sizeof *out);
    made = tsr_fn_end(c, 2 * nr, out);
out:
    arena_release(&mem);
    return made;
}
