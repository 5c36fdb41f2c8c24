/* fn.c: fns: opening, capturing, ending, splicing, calling.
 *
 * A fn is closed: while it is open, node_make hands every source from an enclosing graph to fn_capture,
 * which makes it a parameter of kind CAPTURE (once for each value) or, for a small literal, copies it in.
 * Reading a variable inside the outermost open fn makes a parameter of kind VAR; assigning one adds a
 * result. Inner fns capture what the outer one read.
 *
 * After fn_end every node reachable from the results stands in f->node in id order and knows its position there; nodes
 * that were built but lead nowhere are disowned (owner = fn_dead), so a later use of them is a clean error. */
#include <stdlib.h>
#include <string.h>

#include "graph/attr.h"
#include "graph/op.h"
#include "graph/room.h"

tsr_fn *fn_open_now(tsr_ctx *c) {
    struct graph_room *g = graph_room(c);
    return g ? g->open : NULL;
}

/* ---- life ---- */

tsr_status tsr_fn_begin(tsr_ctx *c, const char *name) {
    struct graph_room *g = graph_room(c);
    tsr_fn *f = g ? mem_new(c, tsr_fn) : NULL;
    if (!f) return TSR_ENOMEM;
    f->refs = 1;
    f->c = c;
    f->open = true;
    map_init(&f->intern);
    if (!(f->name = mem_strdup(c, name ? name : "fn"))) {
        mem_del(c, f);
        return TSR_ENOMEM;
    }
    f->outer = g->open;
    g->open = f;
    return TSR_OK;
}

static void fn_destroy(tsr_ctx *c, tsr_fn *f) {
    for (size_t i = 0; i < f->intern.used; i++)
        if (f->intern.entry[i].item) ((tsr_node *)f->intern.entry[i].item)->owner = &fn_dead;
    map_release(c, &f->intern);
    for (size_t i = 0; i < f->node.n; i++) f->node.v[i]->owner = &fn_dead;
    for (size_t i = 0; i < f->param.n; i++) {
        f->param.v[i].node->owner = &fn_dead;
        node_unref(c, f->param.v[i].node);
        node_unref(c, f->param.v[i].outside);
        tsr_var_free(c, f->param.v[i].var);
    }
    for (size_t i = 0; i < f->result.n; i++) node_unref(c, f->result.v[i]);
    for (size_t i = 0; i < f->assign.n; i++) tsr_var_free(c, f->assign.v[i]);
    for (size_t i = 0; i < f->node.n; i++) node_unref(c, f->node.v[i]);
    for (size_t i = 0; i < f->check.n; i++) mem_strfree(c, f->check.v[i].why);
    attrs_drop(f->nattr, f->attr);
    mem_free(c, f->attr, f->attr_bytes);
    tsr_fn_free(c, f->vjp);
    for (size_t i = 0; i < f->derived.n; i++) {
        mem_strfree(c, f->derived.v[i].key);
        tsr_fn_free(c, f->derived.v[i].fn);
    }
    vec_release(c, &f->derived);
    vec_release(c, &f->param), vec_release(c, &f->result), vec_release(c, &f->assign), vec_release(c, &f->node);
    vec_release(c, &f->check), vec_release(c, &f->size);
    mem_strfree(c, f->name);
    mem_del(c, f);
}

tsr_fn *tsr_fn_keep(tsr_fn *f) {
    if (f) f->refs++;
    return f;
}

void tsr_fn_free(tsr_ctx *c, tsr_fn *f) {
    if (f && --f->refs == 0) fn_destroy(c, f);
}

void tsr_fn_abort(tsr_ctx *c) {
    struct graph_room *g = graph_room(c);
    if (!g || !g->open) return;
    tsr_fn *f = g->open;
    g->open = f->outer;
    f->open = false;
    tsr_fn_free(c, f);
}

/* ---- parameters and captures ---- */

static tsr_node *param_add(tsr_ctx *c, tsr_fn *f, enum param_kind kind, const tsr_type *t, const char *name,
    tsr_node *outside, tsr_var *var) {
    struct graph_room *g = graph_room(c);
    struct attr a[] = {attr_int(ATTR_INDEX, (int64_t)f->param.n), attr_str(ATTR_NAME, name)};
    struct draft d = {.op = TSR_OP_PARAM, .nattr = name ? 2 : 1, .attr = a, .want = t};
    if (!vec_reserve(c, &f->param, f->param.n + 1)) return g->poison;
    tsr_fn *here = g->open;
    g->open = f;
    tsr_node *p = node_make(c, &d);
    g->open = here;
    if (tsr_is_poison(p)) return p;
    node_ref(p);
    if (outside) node_ref(outside);
    struct fn_param fp = {kind, p, outside, tsr_var_keep(var)};
    return vec_push(c, &f->param, fp) ? p : g->poison;
}

tsr_node *tsr_param(tsr_ctx *c, const tsr_type *t, const char *name) {
    tsr_fn *f = fn_open_now(c);
    if (!t) return tsr_poison(c);
    if (!f) return err_set(c, TSR_EINVAL, "param '%s': no fn is open; call tsr_fn_begin first", name ? name : ""),
        tsr_poison(c);
    if (t->kind == TSR_TUPLE) return err_set(c, TSR_EINVAL, "param '%s': a parameter is a tensor, not a tuple",
        name ? name : ""), tsr_poison(c);
    if ((size_t)f->nparam != f->param.n)
        return err_set(c, TSR_EINVAL, "param '%s' of %s: declare every parameter before using outside values",
            name ? name : "", f->name), tsr_poison(c);
    tsr_node *p = param_add(c, f, PARAM_EXPLICIT, t, name, NULL, NULL);
    if (!tsr_is_poison(p)) f->nparam++;
    return p;
}

/* ---- sizes that are arguments ---- */

bool fn_size_value(tsr_dtype t, const void *p, int64_t n, int64_t i, int64_t *out) {
    if (i < 0 || i >= n) return false;
    switch (t) {
    case TSR_I64: case TSR_U64: *out = ((const int64_t *)p)[i]; return t == TSR_I64 || *out >= 0;
    case TSR_I32: *out = ((const int32_t *)p)[i]; return true;
    case TSR_U32: *out = ((const uint32_t *)p)[i]; return true;
    case TSR_I16: *out = ((const int16_t *)p)[i]; return true;
    case TSR_U16: *out = ((const uint16_t *)p)[i]; return true;
    case TSR_I8: *out = ((const int8_t *)p)[i]; return true;
    case TSR_U8: *out = ((const uint8_t *)p)[i]; return true;
    default: return false;
    }
}

static bool may_give_sizes(const tsr_node *n, int64_t element) {
    int64_t zero = 0, v, count;
    size_t bytes;
    if (n->op != TSR_OP_PARAM || !n->owner || !n->owner->open || n->type->kind != TSR_TENSOR) return false;
    if (node_int(n, ATTR_INDEX) >= n->owner->nparam || !type_bytes(n->type, &bytes)) return false;
    count = (int64_t)(bytes / (size_t)tsr_dtype_of(n->type->dtype)->bytes);
    return count <= FN_SIZE_ELEMENTS && fn_size_value(n->type->dtype, (int64_t[FN_SIZE_ELEMENTS]){zero}, count, element,
        &v);
}

tsr_status tsr_fn_size(tsr_ctx *c, tsr_node *param, int64_t element, const tsr_extent *symbol) {
    if (tsr_is_poison(param) || !symbol) return tsr_error_status(c);
    if (symbol->op != EXT_SYMBOL || !may_give_sizes(param, element))
        return err_set(c, TSR_EINVAL, "fn size %s: element %lld of %s gives it no value; it takes a symbol, and an "
            "explicit parameter of an open fn with at most %d integers", extent_text(c, symbol), (long long)element,
            type_text(c, param->type), FN_SIZE_ELEMENTS);
    tsr_fn *f = param->owner;
    struct fn_size k = {(int)node_int(param, ATTR_INDEX), element, symbol};
    for (size_t i = 0; i < f->size.n; i++)
        if (f->size.v[i].param == k.param && f->size.v[i].element == element && f->size.v[i].symbol == symbol)
            return TSR_OK;
    return vec_push(c, &f->size, k) ? TSR_OK : TSR_ENOMEM;
}

/* Where f is built into an open fn, the sizes its arguments give are sizes that fn's parameters give. */
static bool sizes_fit(tsr_ctx *c, const tsr_fn *f, tsr_node *const *arg) {
    for (size_t i = 0; i < f->size.n; i++) {
        const struct fn_size *k = &f->size.v[i];
        if (arg[k->param]->op == TSR_OP_PARAM && arg[k->param]->owner) {
            if (tsr_fn_size(c, arg[k->param], k->element, k->symbol)) return false;
            continue;
        }
        err_set(c, TSR_EUNSUPPORTED, "call of %s: its argument %d gives size %s a value; inside another fn only a "
            "parameter of that fn can, found %s", f->name, k->param, k->symbol->name, op_name(arg[k->param]->op));
        return false;
    }
    return true;
}

enum { LITERAL_COPIED = 4096 }; /* bytes: literals up to this are copied into a fn, greater ones are captured */

static bool is_literal(const tsr_node *n) {
    if (n->buf) return false;
    if (n->op == TSR_OP_CONST) return node_attr(n, ATTR_VALUE)->n <= LITERAL_COPIED;
    if (n->op == TSR_OP_BROADCAST) return is_literal(n->src[0]);
    return n->op == TSR_OP_IOTA;
}

static tsr_node *copy_literal(tsr_ctx *c, tsr_fn *f, tsr_node *n) {
    struct graph_room *g = graph_room(c);
    tsr_fn *here = g->open;
    g->open = f;
    tsr_node *src = n->nsrc ? copy_literal(c, f, n->src[0]) : NULL;
    tsr_node *copy = n->nsrc && tsr_is_poison(src) ? g->poison : node_rebuild(c, n, &src);
    g->open = here;
    return copy;
}

static bool encloses(const tsr_fn *owner, const tsr_fn *f) {
    for (const tsr_fn *o = f ? f->outer : NULL;; o = o->outer) {
        if (o == owner) return true;
        if (!o) return false;
    }
}

tsr_node *fn_capture(tsr_ctx *c, tsr_fn *f, tsr_node *n) {
    if (tsr_is_poison(n)) return tsr_poison(c);
    if (n->owner == f) return n;
    if (n->owner == &fn_dead || !f || !encloses(n->owner, f))
        return err_set(c, TSR_EINVAL,
            "a value made inside a fn that has ended is used outside it: return it as a result and call the fn"),
        tsr_poison(c);
    if (is_literal(n)) return copy_literal(c, f, n);
    if (f->outer && tsr_is_poison(n = fn_capture(c, f->outer, n))) return n;
    for (size_t i = 0; i < f->param.n; i++)
        if (f->param.v[i].kind == PARAM_CAPTURE && f->param.v[i].outside == n) return f->param.v[i].node;
    if (n->type->kind == TSR_TUPLE) return err_set(c, TSR_EINVAL,
        "a tuple of %d values is used inside a fn: take its items first", n->type->rank), tsr_poison(c);
    return param_add(c, f, PARAM_CAPTURE, n->type, NULL, n, NULL);
}

/* ---- variables inside fns ---- */

tsr_node *fn_var_read(tsr_ctx *c, tsr_fn *f, tsr_var *v) {
    if (f->outer) return fn_capture(c, f, fn_var_read(c, f->outer, v));
    for (size_t i = 0; i < f->assign.n; i++)
        if (f->assign.v[i] == v) return f->result.v[i];
    for (size_t i = 0; i < f->param.n; i++)
        if (f->param.v[i].var == v) return f->param.v[i].node;
    return param_add(c, f, PARAM_VAR, v->type, v->name, NULL, v);
}

/* While f is open, f->result holds the assigned values, parallel to f->assign; fn_end
 * puts the explicit results in front. */
tsr_status fn_var_assign(tsr_ctx *c, tsr_fn *f, tsr_var *v, tsr_node *value) {
    if (f->outer)
        return err_set(c, TSR_EINVAL,
            "assign to variable '%s' inside %s: bodies of loops and branches are pure; return the value instead",
            v->name, f->name);
    for (size_t i = 0; i < f->assign.n; i++) {
        if (f->assign.v[i] != v) continue;
        node_ref(value);
        node_unref(c, f->result.v[i]);
        f->result.v[i] = value;
        return TSR_OK;
    }
    if (!vec_reserve(c, &f->assign, f->assign.n + 1) || !vec_push(c, &f->result, value)) return TSR_ENOMEM;
    node_ref(value);
    tsr_var_keep(v);
    return vec_push(c, &f->assign, v) ? TSR_OK : TSR_ENOMEM;
}

/* ---- ending ---- */

static int by_id(const void *a, const void *b) {
    const tsr_node *x = *(tsr_node *const *)a, *y = *(tsr_node *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Every node reachable from the results, in id order, each referenced. pos marks what is in already (-1: not). */
static bool collect(tsr_ctx *c, tsr_fn *f) {
    for (size_t i = 0; i < f->result.n; i++) {
        tsr_node *r = f->result.v[i];
        if (r->pos == POS_LISTED) continue;
        if (!vec_push(c, &f->node, r)) return false;
        node_ref(r), r->pos = POS_LISTED;
    }
    for (size_t done = 0; done < f->node.n; done++) {
        tsr_node *n = f->node.v[done];
        for (int i = 0; i < n->nsrc; i++) {
            if (n->src[i]->pos == POS_LISTED) continue;
            if (!vec_push(c, &f->node, n->src[i])) return false;
            node_ref(n->src[i]), n->src[i]->pos = POS_LISTED;
        }
    }
    if (f->node.n) qsort(f->node.v, f->node.n, sizeof *f->node.v, by_id);
    for (size_t i = 0; i < f->node.n; i++) {
        f->node.v[i]->pos = (int32_t)i;
        f->communicates = f->communicates || node_communicates(f->node.v[i]->op, f->node.v[i]->nfn, f->node.v[i]->fn);
    }
    return true;
}

uint64_t node_hash_at(const tsr_node *n) {
    uint64_t h = hash_mix((uint64_t)n->op + 7, n->type->hash);
    for (int i = 0; i < n->nsrc; i++) h = hash_mix(h, (uint64_t)n->src[i]->pos + 1);
    for (int i = 0; i < n->nfn; i++) h = hash_mix(h, n->fn[i]->hash);
    for (int i = 0; i < n->nattr; i++)
        if (n->attr[i].key != ATTR_NAME || n->op != TSR_OP_PARAM) h = attrs_hash(h, 1, &n->attr[i]);
    return h;
}

static void fn_hash(tsr_fn *f) {
    uint64_t h = hash_mix(f->param.n, f->result.n);
    for (size_t i = 0; i < f->param.n; i++) h = hash_mix(h, f->param.v[i].node->type->hash);
    for (size_t i = 0; i < f->node.n; i++) h = hash_mix(h, node_hash_at(f->node.v[i]));
    for (size_t i = 0; i < f->result.n; i++) h = hash_mix(h, (uint64_t)f->result.v[i]->pos + 1);
    for (size_t i = 0; i < f->check.n; i++) h = hash_mix(hash_mix(h, f->check.v[i].a->hash), f->check.v[i].b->hash);
    for (size_t i = 0; i < f->size.n; i++) {
        const struct fn_size *k = &f->size.v[i];
        h = hash_mix(hash_mix(hash_mix(h, (uint64_t)k->param), (uint64_t)k->element), k->symbol->hash);
    }
    f->hash = h;
}

/* Put the explicit results before the assigned ones. */
static bool place_results(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *result) {
    if (!vec_reserve(c, &f->result, f->result.n + (size_t)n)) return false;
    if (n) memmove(f->result.v + n, f->result.v, f->result.n * sizeof *f->result.v);
    for (int i = 0; i < n; i++) node_ref(f->result.v[i] = result[i]);
    f->result.n += (size_t)n;
    f->nresult = n;
    return true;
}

/* Nodes that lead to no result lose their owner, and the intern table is done with. */
static void disown(tsr_ctx *c, tsr_fn *f) {
    for (size_t i = 0; i < f->intern.used; i++) {
        tsr_node *n = f->intern.entry[i].item;
        if (!n) continue;
        n->interned = false;
        if (n->pos == POS_NONE) n->owner = &fn_dead;
    }
    map_release(c, &f->intern);
}

tsr_fn *tsr_fn_end(tsr_ctx *c, int n, tsr_node *const *result) {
    tsr_fn *f = fn_open_now(c);
    if (!f) return err_set(c, TSR_EINVAL, "fn end: no fn is open"), NULL;
    tsr_node **own = mem_array(c, (size_t)n + 1, sizeof *own);
    bool ok = own && !err_any(c);
    for (int i = 0; ok && i < n; i++) {
        own[i] = fn_capture(c, f, result[i]);
        ok = !tsr_is_poison(own[i]);
        if (ok && own[i]->type->kind == TSR_TUPLE)
            ok = (err_set(c, TSR_EINVAL, "result %d of %s is a tuple: return its items", i, f->name), false);
    }
    ok = ok && place_results(c, f, n, own) && collect(c, f);
    mem_array_free(c, own, (size_t)n + 1, sizeof *own);
    if (!ok) {
        if (!err_any(c)) err_set(c, TSR_EINVAL, "fn %s: a result is poison", f->name);
        tsr_fn_abort(c);
        return NULL;
    }
    graph_room(c)->open = f->outer;
    f->open = false;
    f->outer = NULL;
    fn_hash(f);
    disown(c, f);
    return f;
}

/* ---- reading ---- */

const char *tsr_fn_name(const tsr_fn *f) { return f ? f->name : ""; }
int tsr_fn_params(const tsr_fn *f) { return f ? f->nparam : 0; }
int tsr_fn_results(const tsr_fn *f) { return f ? f->nresult : 0; }
const tsr_type *tsr_fn_param_type(const tsr_fn *f, int i) { return f ? f->param.v[i].node->type : NULL; }
const tsr_type *tsr_fn_result_type(const tsr_fn *f, int i) { return f ? f->result.v[i]->type : NULL; }

bool fn_missing(tsr_ctx *c, const tsr_fn *f, const char *what) {
    if (!f) err_set(c, TSR_EINVAL, "%s: the fn is NULL; was what returned it checked?", what);
    return !f;
}

/* ---- building with a fn ---- */

static bool args_fit(tsr_ctx *c, const tsr_fn *f, int n, tsr_node *const *arg) {
    if (n != f->nparam) return err_set(c, TSR_EINVAL, "call of %s: takes %d arguments, got %d", f->name, f->nparam, n),
        false;
    for (int i = 0; i < n; i++) {
        if (tsr_is_poison(arg[i])) return false;
        if (arg[i]->type != f->param.v[i].node->type)
            return err_set(c, TSR_EINVAL, "call of %s: argument %d is %s, the parameter is %s", f->name, i,
                type_text(c, arg[i]->type),
                           type_text(c, f->param.v[i].node->type)), false;
    }
    return true;
}

void fn_implicit_args(tsr_ctx *c, const tsr_fn *f, tsr_node **arg) {
    for (size_t i = (size_t)f->nparam; i < f->param.n; i++)
        *arg++ = f->param.v[i].kind == PARAM_VAR ? tsr_var_read(c, f->param.v[i].var) : f->param.v[i].outside;
}

void fn_splice(tsr_ctx *c, const tsr_fn *f, tsr_node *const *arg, tsr_node **out, tsr_node **map) {
    tsr_node **at = map ? map : mem_array(c, f->node.n + 1, sizeof *at), *poison = tsr_poison(c);
    VEC(tsr_node *) src = {0};
    for (size_t i = 0; at && i < f->node.n; i++) {
        const tsr_node *n = f->node.v[i];
        if (n->op == TSR_OP_PARAM) {
            at[i] = arg[node_int(n, ATTR_INDEX)];
            continue;
        }
        at[i] = poison;
        if (!vec_reserve(c, &src, (size_t)n->nsrc + 1)) continue;
        for (int j = 0; j < n->nsrc; j++) src.v[j] = at[n->src[j]->pos];
        at[i] = node_rebuild(c, n, src.v);
    }
    for (size_t i = 0; i < f->result.n; i++) out[i] = at ? at[f->result.v[i]->pos] : poison;
    vec_release(c, &src);
    if (at != map) mem_array_free(c, at, f->node.n + 1, sizeof *at);
}

/* Results beyond the explicit ones are the assigned variables' new values. */
static void deliver(tsr_ctx *c, const tsr_fn *f, tsr_node **all, tsr_node **out) {
    for (int i = 0; i < f->nresult; i++) out[i] = all[i];
    for (size_t i = 0; i < f->assign.n; i++) tsr_var_assign(c, f->assign.v[i], all[(size_t)f->nresult + i]);
}

static tsr_node *item(tsr_ctx *c, tsr_node *tuple, int64_t index) {
    struct attr a = attr_int(ATTR_INDEX, index);
    return node_make(c, &(struct draft){.op = TSR_OP_ITEM, .nsrc = 1, .src = &tuple, .nattr = 1, .attr = &a});
}

static void call_or_inline(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out, bool whole) {
    if (fn_missing(c, f, whole ? "call" : "inline")) return;
    size_t np = f->param.n, nr = f->result.n;
    tsr_node **args = mem_array(c, np + 1, sizeof *args), **all = mem_array(c, nr + 1, sizeof *all);
    for (int i = 0; i < f->nresult; i++) out[i] = tsr_poison(c);
    if (args && all && args_fit(c, f, n, arg) && sizes_fit(c, f, arg)) {
        for (int i = 0; i < n; i++) args[i] = arg[i];
        fn_implicit_args(c, f, args + n);
        if (whole) {
            tsr_node *call = node_make(c, &(struct draft){.op = TSR_OP_CALL, .nsrc = (int)np, .src = args, .nfn = 1,
                .fn = &f});
            for (size_t i = 0; i < nr; i++)
                all[i] = call->type->kind == TSR_TUPLE ? item(c, call, (int64_t)i) : call;
        } else {
            fn_splice(c, f, args, all, NULL);
        }
        deliver(c, f, all, out);
    }
    mem_array_free(c, args, np + 1, sizeof *args);
    mem_array_free(c, all, nr + 1, sizeof *all);
}

void tsr_fn_call(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out) {
    call_or_inline(c, f, n, arg, out, true);
}
void tsr_fn_inline(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out) {
    call_or_inline(c, f, n, arg, out, false);
}
