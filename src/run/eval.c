/* eval.c: tsr_eval: values for eager nodes.
 *
 * The unevaluated graph behind the nodes is listed in id order (a loop, no recursion) and hashed by
 * structure. When the hash is known its plan runs at once; else the list is rebuilt as a fn, with the
 * evaluated nodes as parameters, and compiled. */
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"
#include "graph/room.h"
#include "run/runner.h"

struct gather {
    tsr_ctx *c;
    VEC(tsr_node *) node;   /* all, in id order; pos is the index here */
    VEC(tsr_node *) leaf;   /* evaluated ones, in id order */
    VEC(tsr_node *) target; /* unevaluated, each once */
};

static int by_id(const void *a, const void *b) {
    const tsr_node *x = *(tsr_node *const *)a, *y = *(tsr_node *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool list_node(struct gather *g, tsr_node *n) {
    if (n->pos == POS_LISTED) return true;
    n->pos = POS_LISTED;
    return vec_push(g->c, &g->node, n);
}

static tsr_status gather_targets(struct gather *g, int n, tsr_node *const *node) {
    for (int i = 0; i < n; i++) {
        if (tsr_is_poison(node[i]))
            return err_any(g->c) ? tsr_error_status(g->c) : err_set(g->c, TSR_EINVAL, "eval: node %d is missing", i);
        if (node[i]->owner) return err_set(g->c, TSR_EINVAL,
            "eval: node %d belongs to a fn: call the fn, evaluate its results", i);
        if (node[i]->type->kind != TSR_TENSOR) return err_set(g->c, TSR_EINVAL,
            "eval: node %d is a tuple: evaluate its items, together", i);
        if (node[i]->buf || node[i]->pos == POS_LISTED) continue;
        if (!list_node(g, node[i]) || !vec_push(g->c, &g->target, node[i])) return TSR_ENOMEM;
    }
    return TSR_OK;
}

static bool gather_sources(struct gather *g) {
    for (size_t done = 0; done < g->node.n; done++) {
        tsr_node *n = g->node.v[done];
        for (int i = 0; i < (n->buf ? 0 : n->nsrc); i++)
            if (!list_node(g, n->src[i])) return false;
    }
    if (g->node.n) qsort(g->node.v, g->node.n, sizeof *g->node.v, by_id);
    for (size_t i = 0; i < g->node.n; i++) {
        g->node.v[i]->pos = (int32_t)i;
        if (g->node.v[i]->buf && !vec_push(g->c, &g->leaf, g->node.v[i])) return false;
    }
    return true;
}

static void gather_release(struct gather *g) {
    for (size_t i = 0; i < g->node.n; i++) g->node.v[i]->pos = POS_NONE;
    vec_release(g->c, &g->node), vec_release(g->c, &g->leaf), vec_release(g->c, &g->target);
}

static uint64_t gather_hash(const struct gather *g) {
    uint64_t h = hash_mix(0xe7a1, g->target.n);
    for (size_t i = 0; i < g->node.n; i++) {
        const tsr_node *n = g->node.v[i];
        h = n->buf ? hash_mix(hash_mix(h, 3), n->type->hash) : hash_mix(h, node_hash_at(n));
    }
    for (size_t i = 0; i < g->target.n; i++) h = hash_mix(h, (uint64_t)g->target.v[i]->pos);
    return h;
}

/* The same graph as a fn: leaves become parameters. */
static tsr_fn *gather_fn(struct gather *g) {
    tsr_ctx *c = g->c;
    tsr_node **at = mem_array(c, g->node.n + 1, sizeof *at), **result = mem_array(c, g->target.n + 1, sizeof *result);
    VEC(tsr_node *) src = {0};
    tsr_fn *f = NULL;
    if (!at || !result || tsr_fn_begin(c, "eval")) goto out;
    for (size_t i = 0; i < g->node.n; i++)
        if (g->node.v[i]->buf) at[i] = tsr_param(c, g->node.v[i]->type, NULL);
    for (size_t i = 0; i < g->node.n; i++) {
        const tsr_node *n = g->node.v[i];
        if (n->buf) continue;
        at[i] = tsr_poison(c);
        if (!vec_reserve(c, &src, (size_t)n->nsrc + 1)) continue;
        for (int j = 0; j < n->nsrc; j++) src.v[j] = at[n->src[j]->pos];
        at[i] = node_rebuild(c, n, src.v);
    }
    for (size_t i = 0; i < g->target.n; i++) result[i] = at[g->target.v[i]->pos];
    f = tsr_fn_end(c, (int)g->target.n, result);
out:
    vec_release(c, &src);
    mem_array_free(c, at, g->node.n + 1, sizeof *at);
    mem_array_free(c, result, g->target.n + 1, sizeof *result);
    return f;
}

static tsr_plan *gather_plan(struct gather *g, struct runner *r) {
    uint64_t h = gather_hash(g);
    tsr_plan *p = runner_find_plan(r, h);
    if (p) return p;
    tsr_scope *s = tsr_scope_begin(g->c);
    tsr_fn *f = s ? gather_fn(g) : NULL;
    if (f && (p = runner_plan(r, f)) && !runner_put_plan(r, h, p)) p = NULL;
    tsr_fn_free(g->c, f);
    tsr_scope_end(g->c, s);
    return p;
}

static tsr_status set_values(struct gather *g, tsr_buf **buf) {
    tsr_status s = TSR_OK;
    for (size_t i = 0; i < g->target.n; i++) {
        tsr_buf **one = s ? NULL : mem_alloc(g->c, sizeof *one);
        if (!one) {
            tsr_buf_free(buf[i]);
            s = TSR_ENOMEM;
            continue;
        }
        *one = buf[i];
        node_set_value_take(g->c, g->target.v[i], one);
    }
    return s;
}

static tsr_status eval_gathered(struct gather *g) {
    tsr_ctx *c = g->c;
    struct runner *r = runner_of(c);
    tsr_plan *p = r ? gather_plan(g, r) : NULL;
    if (!p) return tsr_error_status(c);
    tsr_buf **param = mem_array(c, g->leaf.n + 1, sizeof *param), **out = mem_array(c, g->target.n + 1, sizeof *out);
    tsr_status s = param && out ? TSR_OK : TSR_ENOMEM;
    for (size_t i = 0; i < g->leaf.n && !s; i++) param[i] = g->leaf.v[i]->buf[0];
    if (!s && !(s = run_plan(r, p, 0, NULL, param, out))) {
        /* values let nodes go: forget the list first */
        for (size_t i = 0; i < g->node.n; i++) g->node.v[i]->pos = POS_NONE;
        g->node.n = 0;
        s = set_values(g, out);
    }
    mem_array_free(c, param, g->leaf.n + 1, sizeof *param);
    mem_array_free(c, out, g->target.n + 1, sizeof *out);
    return s;
}

tsr_status tsr_eval(tsr_ctx *c, int n, tsr_node *const *node) {
    struct gather g = {.c = c};
    if (err_any(c)) return tsr_error_status(c);
    if (fn_open_now(c)) return err_set(c, TSR_EINVAL, "eval inside the open fn %s: end it first", fn_open_now(c)->name);
    tsr_status s = gather_targets(&g, n, node);
    for (size_t i = 0; i < g.target.n; i++) node_ref(g.target.v[i]);
    if (!s && g.target.n) s = gather_sources(&g) ? eval_gathered(&g) : TSR_ENOMEM;
    for (size_t i = 0; i < g.node.n; i++) g.node.v[i]->pos = POS_NONE;
    g.node.n = 0;
    for (size_t i = 0; i < g.target.n; i++) node_unref(c, g.target.v[i]);
    gather_release(&g);
    return s;
}

tsr_status tsr_eval_vars(tsr_ctx *c, int nvars, tsr_var *const *var, int n, tsr_node *const *node) {
    tsr_node **all = mem_array(c, (size_t)(nvars + n) + 1, sizeof *all);
    if (!all) return TSR_ENOMEM;
    for (int i = 0; i < nvars; i++) all[i] = var[i] ? var[i]->value : NULL;
    for (int i = 0; i < n; i++) all[nvars + i] = node[i];
    tsr_status s = tsr_eval(c, nvars + n, all);
    mem_array_free(c, all, (size_t)(nvars + n) + 1, sizeof *all);
    return s;
}

tsr_buf *tsr_node_buf(tsr_node *n) { return n && n->buf && n->type->kind == TSR_TENSOR ? n->buf[0] : NULL; }

tsr_status tsr_read(tsr_ctx *c, tsr_node *n, void *dst, size_t bytes) {
    tsr_status s = tsr_eval(c, 1, &n);
    size_t have;
    if (s) return s;
    if (!type_bytes(n->type, &have) || have != bytes)
        return err_set(c, TSR_EINVAL, "read of a %s: it has %zu bytes, the destination %zu", type_text(c, n->type),
            have, bytes);
    if (n->buf[0]->device) return device_of(c)->ops->copy_out(device_of(c), dst, n->buf[0]->p, bytes);
    if (bytes) memcpy(dst, n->buf[0]->p, bytes);
    return TSR_OK;
}

double tsr_read_scalar(tsr_ctx *c, tsr_node *n) {
    uint8_t raw[16] = {0};
    size_t bytes = 0;
    if (tsr_is_poison(n) || !type_bytes(n->type, &bytes) || bytes > sizeof raw ||
        bytes != (size_t)tsr_dtype_of(n->type->dtype)->bytes) {
        if (!err_any(c)) err_set(c, TSR_EINVAL, "read of a scalar: the tensor is %s", n &&
            !n->poison ? type_text(c, n->type) : "missing");
        return __builtin_nan("");
    }
    if (tsr_read(c, n, raw, bytes)) return __builtin_nan("");
    struct ref_tensor t = {.dtype = n->type->dtype, .count = 1, .p = raw};
    struct ref_val v = ref_get(&t, 0);
    tsr_kind k = tsr_dtype_of(t.dtype)->kind;
    return k == TSR_KIND_INT ? (double)v.i : k == TSR_KIND_UINT || k == TSR_KIND_BOOL ? (double)v.u : v.re;
}
