/* vmap.c: batching: the fn replayed on values some of which have one more axis, in front.
 *
 * A node none of whose sources is batched is built as it was; otherwise the op's batching rule builds it with the
 * batch axis in front. Axes asked for elsewhere are moved to the front on entry and from it on exit. Ops with bodies
 * batch their bodies (higher.c), for which the fns made here are kept with the fn they batch. */
#include "transform/transform.h"

/* One node of the fn: its results, and whether they have the batch axis. */
struct lane { tsr_node **x; bool batched; };

static bool batch_node(tsr_ctx *c, struct arena *mem, tsr_node *n, const struct lane *at, const tsr_extent *size,
                       struct lane *out) {
    int nr = node_results(n);
    tsr_node **src = arena_array(mem, (size_t)(n->nsrc + nr + 1), sizeof *src), *made;
    bool *batched = arena_array(mem, (size_t)n->nsrc + 1, sizeof *batched);
    if (!src || !batched) return false;
    *out = (struct lane){src + n->nsrc, false};
    if (n->op == TSR_OP_ITEM) {
        const struct lane *tuple = &at[n->src[0]->pos];
        *out = (struct lane){tuple->x + node_int(n, ATTR_INDEX), tuple->batched};
        return true;
    }
    for (int j = 0; j < n->nsrc; j++) {
        src[j] = at[n->src[j]->pos].x[0];
        out->batched |= batched[j] = at[n->src[j]->pos].batched;
    }
    if (out->batched && op_def(n->op)->vmap == vmap_higher) return higher_vmap(c, n, src, batched, size, out->x);
    made = out->batched ? op_def(n->op)->vmap(c, n, src, batched, size) : node_rebuild(c, n, src);
    for (int i = 0; i < nr; i++)
        if (tsr_is_poison(out->x[i] = node_result(c, made, i))) return false;
    return true;
}

bool vmap_replay(tsr_ctx *c, const tsr_fn *f, tsr_node *const *arg, const bool *batched, const tsr_extent *size,
                 tsr_node **out, bool *flag) {
    struct arena mem;
    arena_init(&mem, c);
    struct lane *at = arena_array(&mem, f->node.n + 1, sizeof *at);
    bool ok = at != NULL;
    for (size_t i = 0; ok && i < f->node.n; i++) {
        tsr_node *n = f->node.v[i];
        int64_t k = n->op == TSR_OP_PARAM ? node_int(n, ATTR_INDEX) : 0;
        if (n->op == TSR_OP_PARAM) at[i] = (struct lane){(tsr_node **)&arg[k], batched[k]};
        else ok = batch_node(c, &mem, n, at, size, &at[i]);
    }
    for (size_t i = 0; i < f->result.n; i++) {
        const struct lane *r = ok ? &at[f->result.v[i]->pos] : NULL;
        out[i] = r ? r->x[0] : tsr_poison(c);
        flag[i] = r && r->batched;
    }
    arena_release(&mem);
    return ok;
}

bool batched_results(tsr_ctx *c, const tsr_fn *f, const bool *batched, bool *out) {
    bool *at = mem_array(c, f->node.n + 1, sizeof *at);
    if (!at) return false;
    for (size_t i = 0; i < f->node.n; i++) {
        const tsr_node *n = f->node.v[i];
        at[i] = n->op == TSR_OP_PARAM && batched[node_int(n, ATTR_INDEX)];
        for (int j = 0; j < n->nsrc; j++) at[i] |= at[n->src[j]->pos];
    }
    for (size_t i = 0; i < f->result.n; i++) out[i] = at[f->result.v[i]->pos];
    mem_array_free(c, at, f->node.n + 1, sizeof *at);
    return true;
}

/* ---- closed fns ---- */

static const tsr_type *batched_type(tsr_ctx *c, const tsr_type *t, bool batched, const tsr_extent *size) {
    return batched ? type_insert_axis(c, t, 0, size) : t;
}

/* The rule of a batched fn whose origin has a rule of its own: that rule batched; a parameter that all examples share
 * gets the sum over them. */
static tsr_fn *batched_rule(tsr_ctx *c, tsr_fn *f, const bool *batched, const tsr_extent *size) {
    int np = f->nparam, nr = f->nresult;
    struct arena mem;
    arena_init(&mem, c);
    tsr_node **arg = arena_array(&mem, (size_t)(2 * np + nr + 1), sizeof *arg), **grad = arg + np + nr;
    bool *flag = arena_array(&mem, (size_t)(np + nr + 1), sizeof *flag);
    tsr_fn *v = NULL, *made = NULL;
    for (int i = 0; flag && i < np + nr; i++) flag[i] = i >= np || batched[i];
    if (!arg || !flag || !(v = closed_vmap(c, f->vjp, flag, size)) || !begin_named(c, "vmap", f->vjp)) goto out;
    for (int i = 0; i < np + nr; i++) arg[i] = tsr_param(c, v->param.v[i].node->type, NULL);
    tsr_fn_inline(c, v, np + nr, arg, grad);
    for (int i = 0; i < np; i++) {
        const tsr_type *t = f->param.v[i].node->type;
        if (!batched[i]) grad[i] = type_differentiable(t) ? tsr_prim_reduce(c, grad[i], TSR_REDUCE_SUM, 1,
                (int64_t[]){0}) : rule_zeros(c, t);
    }
    made = tsr_fn_end(c, np, grad);
out:
    arena_release(&mem);
    return made;
}

static tsr_fn *make_closed_vmap(tsr_ctx *c, tsr_fn *f, const bool *batched, const tsr_extent *size) {
    size_t np = f->param.n, nr = f->result.n;
    tsr_node **arg = mem_array(c, np + nr + 1, sizeof *arg), **out = arg + np;
    bool *flag = mem_array(c, nr + 1, sizeof *flag);
    tsr_fn *made = NULL;
    if (!arg || !flag || !begin_named(c, "vmap", f)) goto out;
    for (size_t i = 0; i < np; i++)
        arg[i] = tsr_param(c, batched_type(c, f->param.v[i].node->type, batched[i], size), param_name(f, (int)i));
    vmap_replay(c, f, arg, batched, size, out, flag);
    for (size_t i = 0; i < nr; i++) out[i] = rule_batch(c, out[i], flag[i], size);
    made = tsr_fn_end(c, (int)nr, out);
    if (made && f->vjp && !(made->vjp = batched_rule(c, f, batched, size))) tsr_fn_free(c, made), made = NULL;
out:
    mem_array_free(c, arg, np + nr + 1, sizeof *arg);
    mem_array_free(c, flag, nr + 1, sizeof *flag);
    return made;
}

tsr_fn *closed_vmap(tsr_ctx *c, tsr_fn *f, const bool *batched, const tsr_extent *size) {
    struct str key;
    str_init(&key, c);
    str_put(&key, "vmap:");
    key_flags(&key, (int)f->param.n, batched);
    str_printf(&key, ":%p", (const void *)size); /* extents live as long as the context */
    tsr_fn *made = key.failed ? NULL : derived_get(f, key.s);
    if (!made && !key.failed) {
        tsr_scope *s = tsr_scope_begin(c);
        made = s ? make_closed_vmap(c, f, batched, size) : NULL;
        if (s) tsr_scope_end(c, s);
        if (made && !derived_put_take(c, f, key.s, made)) made = NULL;
    }
    str_release(&key);
    return made;
}

/* ---- the public form ---- */

static tsr_node *move_axis(tsr_ctx *c, tsr_node *x, int from, int to) {
    if (tsr_is_poison(x) || from == to) return x;
    int64_t perm[TSR_MAX_RANK];
    for (int i = 0, k = 0; i < x->type->rank; i++) {
        if (k == from) k++;
        perm[i] = i == to ? from : k++;
    }
    return tsr_prim_transpose(c, x, perm);
}

static bool check_axes(tsr_ctx *c, const tsr_fn *f, const char *what, int n, const int *axis) {
    for (int i = 0; axis && i < n; i++) {
        const tsr_type *t = what[0] == 'i' ? f->param.v[i].node->type : f->result.v[i]->type;
        if (axis[i] < -1 || axis[i] > t->rank)
            return err_set(c, TSR_EINVAL,
                           "vmap of %s: %s_axis[%d] is %d, but %s has the axes 0..%d to put it at (-1: not batched)",
                               f->name,
                           what, i, axis[i], type_text(c, t), t->rank), false;
    }
    return true;
}

/* A result where it was asked for. */
static tsr_node *place_result(tsr_ctx *c, const tsr_fn *f, int i, tsr_node *x, bool batched, int axis,
                              const tsr_extent *size) {
    if (axis >= 0) return move_axis(c, rule_batch(c, x, batched, size), 0, axis);
    if (!batched) return x;
    err_set(c, TSR_EINVAL, "vmap of %s: result %d depends on the example, so it needs an out_axis of 0 or more, not -1",
            f->name, i);
    return tsr_poison(c);
}

/* f over batched arguments (all of its parameters): by its body, or called whole when it has a gradient of its own. */
static bool vmap_results(tsr_ctx *c, tsr_fn *f, tsr_node **arg, const bool *batched, const tsr_extent *size,
                         tsr_node **out, bool *flag) {
    if (!f->vjp) return vmap_replay(c, f, arg, batched, size, out, flag);
    tsr_fn *v = closed_vmap(c, f, batched, size);
    for (size_t i = 0; i < f->result.n; i++) out[i] = tsr_poison(c), flag[i] = true;
    if (v) tsr_fn_call(c, v, (int)f->param.n, arg, out);
    return v != NULL;
}

static void assign_shared(tsr_ctx *c, const tsr_fn *f, tsr_node **value, const bool *batched) {
    for (size_t i = 0; i < f->assign.n; i++) {
        if (batched[i])
            err_set(c, TSR_EINVAL,
                    "vmap of %s: variable '%s' is assigned a value that differs between examples; return it as a "
                    "result",
                    f->name, tsr_var_name(f->assign.v[i]));
        else
            tsr_var_assign(c, f->assign.v[i], value[i]);
    }
}

tsr_fn *tsr_vmap(tsr_ctx *c, tsr_fn *f, const int *in_axis, const int *out_axis, const tsr_extent *size) {
    if (fn_missing(c, f, "vmap")) return NULL;
    size_t np = f->param.n, nr = f->result.n;
    tsr_node **arg = mem_array(c, np + nr + 1, sizeof *arg), **out = arg + np;
    bool *batched = mem_array(c, np + nr + 1, sizeof *batched), *flag = batched + np;
    tsr_fn *made = NULL;
    if (!arg || !batched || !size || !check_axes(c, f, "in", f->nparam, in_axis) ||
        !check_axes(c, f, "out", f->nresult, out_axis)) goto out;
    if (!begin_named(c, "vmap", f)) goto out;
    for (int i = 0; i < f->nparam; i++) {
        const tsr_type *t = f->param.v[i].node->type;
        int axis = in_axis ? in_axis[i] : 0;
        batched[i] = axis >= 0;
        arg[i] = tsr_param(c, batched[i] ? type_insert_axis(c, t, axis, size) : t, param_name(f, i));
    }
    for (int i = 0; i < f->nparam; i++)
        if (batched[i]) arg[i] = move_axis(c, arg[i], in_axis ? in_axis[i] : 0, 0);
    fn_implicit_args(c, f, arg + f->nparam);
    vmap_results(c, f, arg, batched, size, out, flag);
    for (int i = 0; i < f->nresult; i++) out[i] = place_result(c, f, i, out[i], flag[i], out_axis ? out_axis[i] : 0,
                                                               size);
    assign_shared(c, f, out + f->nresult, flag + f->nresult);
    made = tsr_fn_end(c, f->nresult, out);
out:
    mem_array_free(c, arg, np + nr + 1, sizeof *arg);
    mem_array_free(c, batched, np + nr + 1, sizeof *batched);
    return made;
}
