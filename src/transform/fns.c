/* fns.c: what the transformations of fns share: closed fns made from fns and kept with them, replaying a body, results
 * and zeros.
 *
 * A derived fn (the vjp of a loop's body with respect to its first carry, say) is asked for again by every step of an
 * eager training loop, so it is kept in a list on its origin under a key that spells how it was made, and dies with
 * the origin. */
#include "transform/transform.h"

tsr_node *node_result(tsr_ctx *c, tsr_node *n, int i) {
    if (tsr_is_poison(n)) return tsr_poison(c);
    return n->type->kind == TSR_TUPLE ? tsr_item(c, n, i) : n;
}

bool type_differentiable(const tsr_type *t) {
    if (t->kind == TSR_TENSOR) return dtype_is_float(t->dtype) || dtype_is_complex(t->dtype);
    for (int i = 0; t->kind == TSR_TUPLE && i < t->rank; i++)
        if (type_differentiable(t->item[i])) return true;
    return false;
}

tsr_node *add_cotangents(tsr_ctx *c, tsr_node *a, tsr_node *b) {
    if (!a || !b) return a ? a : b;
    return tsr_prim2(c, TSR_S_ADD, a, b);
}

tsr_node *or_zeros(tsr_ctx *c, tsr_node *n, const tsr_type *t) { return n ? n : rule_zeros(c, t); }

int implicit_at(const tsr_node *n, int k) {
    int at = (n->op == TSR_OP_COND) + n->fn[n->nfn - 1]->nparam;
    for (int i = 0; i < k; i++) at += (int)n->fn[i]->param.n - n->fn[i]->nparam;
    return at;
}

/* ---- derived fns ---- */

tsr_fn *derived_get(const tsr_fn *f, const char *key) {
    for (size_t i = 0; i < f->derived.n; i++)
        if (!strcmp(f->derived.v[i].key, key)) return f->derived.v[i].fn;
    return NULL;
}

bool derived_put_take(tsr_ctx *c, tsr_fn *f, const char *key, tsr_fn *made) {
    char *own = mem_strdup(c, key);
    if (own && vec_push(c, &f->derived, ((struct fn_derived){own, made}))) return true;
    mem_strfree(c, own);
    tsr_fn_free(c, made);
    return false;
}

void key_flags(struct str *s, int n, const bool *flag) {
    for (int i = 0; i < n; i++) str_putc(s, flag[i] ? '1' : '0');
}

/* ---- building from fns ---- */

bool begin_named(tsr_ctx *c, const char *what, const tsr_fn *f) {
    struct str name;
    str_init(&name, c);
    str_printf(&name, "%s.%s", what, f->name);
    bool ok = !name.failed && tsr_fn_begin(c, name.s) == TSR_OK;
    str_release(&name);
    return ok;
}

const char *param_name(const tsr_fn *f, int i) {
    const struct attr *a = node_attr(f->param.v[i].node, ATTR_NAME);
    return a ? a->str : NULL;
}

bool closed_begin(tsr_ctx *c, const tsr_fn *f, const char *what, tsr_node **param) {
    if (!begin_named(c, what, f)) return false;
    for (size_t i = 0; i < f->param.n; i++) param[i] = tsr_param(c, f->param.v[i].node->type, param_name(f, (int)i));
    return true;
}

static tsr_node *replay_node(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    if (n->op == TSR_OP_SCAN) return scan_saving(c, n, src);
    if (n->op == TSR_OP_WHILE && node_attr(n, ATTR_TRIPS)) return while_as_scan(c, n, src);
    return node_rebuild(c, n, src);
}

void replay(tsr_ctx *c, const tsr_fn *f, tsr_node *const *arg, tsr_node **out) {
    tsr_node **at = mem_array(c, f->node.n + 1, sizeof *at), *poison = tsr_poison(c);
    VEC(tsr_node *) src = {0};
    for (size_t i = 0; at && i < f->node.n; i++) {
        const tsr_node *n = f->node.v[i];
        at[i] = n->op == TSR_OP_PARAM ? arg[node_int(n, ATTR_INDEX)] : poison;
        if (n->op == TSR_OP_PARAM || !vec_reserve(c, &src, (size_t)n->nsrc + 1)) continue;
        for (int j = 0; j < n->nsrc; j++) src.v[j] = at[n->src[j]->pos];
        at[i] = replay_node(c, n, src.v);
    }
    for (size_t i = 0; i < f->result.n; i++) out[i] = at ? at[f->result.v[i]->pos] : poison;
    vec_release(c, &src);
    mem_array_free(c, at, f->node.n + 1, sizeof *at);
}
