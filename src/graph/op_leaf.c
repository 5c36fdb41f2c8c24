/* op_leaf.c: nodes that compute nothing: parameters, literals, values from the host, items of tuples, stop_gradient
 * and barrier.
 *
 * A literal (CONST) is part of the graph: its bytes are an attribute, equal literals are one node, and it may be
 * folded into kernels. A value (VALUE) is data: it owns a buffer, is never interned, and always belongs to the
 * eager graph, even when it is made while a fn is open (the fn then captures it). */
#include <string.h>

#include "graph/ref.h"
#include "graph/room.h"

/* ---- records ---------------------------------------------------------------------------------------------------- */

static const tsr_type *want_infer(tsr_ctx *c, const struct draft *d) {
    if (!d->want) err_set(c, TSR_EINVAL, "%s: no type was given", op_name(d->op));
    return d->want;
}

static tsr_node *leaf_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)src, (void)batched;
    return rule_batch(c, n, false, size);
}

static const tsr_type *item_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *t = d->src[0]->type;
    int64_t index = -1;
    for (int i = 0; i < d->nattr; i++)
        if (d->attr[i].key == ATTR_INDEX) index = d->attr[i].i;
    if (t->kind == TSR_TUPLE && index >= 0 && index < t->rank) return t->item[index];
    err_set(c, TSR_EINVAL, "item %lld of %s: it must be a tuple that has such an item; items count from 0",
        (long long)index, type_text(c, t));
    return NULL;
}

static tsr_node *item_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)batched, (void)size;
    return tsr_item(c, src[0], (int)node_int(n, ATTR_INDEX));
}

static const tsr_type *same_infer(tsr_ctx *c, const struct draft *d) {
    (void)c;
    return d->src[0]->type;
}

static tsr_node *stop_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)n;
    return tsr_stop_gradient(c, rule_batch(c, src[0], batched[0], size));
}

static tsr_status copy_ref(struct ref_call *r) {
    for (int i = 0; i < r->nout; i++) memcpy(r->out[i].p, r->in[i].p, ref_bytes(&r->out[i]));
    return TSR_OK;
}

static tsr_status const_ref(struct ref_call *r) {
    memcpy(r->out->p, node_attr(r->node, ATTR_VALUE)->bytes, ref_bytes(r->out));
    return TSR_OK;
}

static const tsr_type *barrier_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type **item = mem_array(c, (size_t)d->nsrc, sizeof *item), *t = NULL;
    for (int i = 0; item && i < d->nsrc; i++) item[i] = d->src[i]->type;
    if (item) t = tsr_type_tuple(c, d->nsrc, item);
    mem_array_free(c, item, (size_t)d->nsrc, sizeof *item);
    return t;
}

static bool barrier_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    (void)c;
    for (int i = 0; i < n->nsrc; i++) gsrc[i] = want[i] ? gout[i] : NULL;
    return true;
}

static tsr_node *barrier_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
    const tsr_extent *size) {
    tsr_node **x = mem_array(c, (size_t)n->nsrc, sizeof *x), *y = tsr_poison(c);
    for (int i = 0; x && i < n->nsrc; i++) x[i] = rule_batch(c, src[i], batched[i], size);
    if (x) y = tsr_prim_barrier(c, n->nsrc, x);
    mem_array_free(c, x, (size_t)n->nsrc, sizeof *x);
    return y;
}

static tsr_fn *stop_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK];
    int rank = (int)sample_int(s, 0, 3);
    sample_dims(s, rank, dim);
    s->smooth = false; /* no gradient flows, though the function has one */
    if (tsr_fn_begin(c, "stop_gradient") != TSR_OK) return NULL;
    tsr_node *y = tsr_stop_gradient(c, sample_param(c, s->dtype, rank, dim));
    return tsr_fn_end(c, 1, &y);
}

static tsr_fn *barrier_sample(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK];
    tsr_node *x[3], *y[3];
    int n = (int)sample_int(s, 1, 3);
    if (tsr_fn_begin(c, "barrier") != TSR_OK) return NULL;
    for (int i = 0; i < n; i++) {
        int rank = (int)sample_int(s, 0, 3);
        sample_dims(s, rank, dim);
        x[i] = sample_param(c, s->dtype, rank, dim);
    }
    tsr_node *tuple = tsr_prim_barrier(c, n, x);
    for (int i = 0; i < n; i++) y[i] = tsr_item(c, tuple, i);
    return tsr_fn_end(c, n, y);
}

const struct op_def op_PARAM = {
    .name = "param", .formula = "a parameter of the fn", .spec = "StableHLO function input", .cls = OP_LEAF,
    .arity = 0, .domain = "",
    .infer = want_infer, .vjp = vjp_zero, .vmap = leaf_vmap, .ref = ref_by_interpreter, .sample = sample_elsewhere,
};
const struct op_def op_CONST = {
    .name = "const", .formula = "a literal", .spec = "StableHLO constant", .cls = OP_LEAF, .arity = 0, .domain = "",
    .infer = want_infer, .vjp = vjp_zero, .vmap = leaf_vmap, .ref = const_ref, .sample = sample_elsewhere,
};
const struct op_def op_VALUE = {
    .name = "value", .formula = "data from the host, or an evaluated node", .spec = "no op of StableHLO",
    .cls = OP_LEAF, .arity = 0,
    .domain = "", .infer = want_infer, .vjp = vjp_zero, .vmap = leaf_vmap, .ref = ref_by_interpreter,
    .sample = sample_elsewhere,
};
const struct op_def op_ITEM = {
    .name = "item", .formula = "item index of a tuple", .spec = "StableHLO get_tuple_element", .cls = OP_LEAF,
    .arity = 1, .domain = "",
    .infer = item_infer, .vjp = vjp_higher, .vmap = item_vmap, .ref = ref_by_interpreter, .sample = sample_elsewhere,
};
const struct op_def op_STOP_GRADIENT = {
    .name = "stop_gradient", .formula = "y = x, dy/dx taken as 0", .spec = "no op of StableHLO", .cls = OP_LEAF,
    .arity = 1,
    .domain = "fiubc", .infer = same_infer, .vjp = vjp_zero, .vmap = stop_vmap, .ref = copy_ref, .sample = stop_sample,
};
const struct op_def op_BARRIER = {
    .name = "barrier", .formula = "y = x, nothing moves across", .spec = "StableHLO optimization_barrier",
    .cls = OP_LEAF, .arity = -1,
    .domain = "fiubc", .infer = barrier_infer, .vjp = barrier_vjp, .vmap = barrier_vmap, .ref = copy_ref,
    .sample = barrier_sample,
};

/* ---- values and literals ---------------------------------------------------------------------------------------- */

/* Bytes of a value of constant extents; false with a message. */
static bool value_bytes(tsr_ctx *c, const char *what, const tsr_type *t, size_t *bytes) {
    if (!t) return false;
    if (t->kind == TSR_TENSOR && type_bytes(t, bytes)) return true;
    return err_set(c, TSR_EINVAL, "%s of type %s: data needs a tensor with constant extents whose size fits memory",
        what, type_text(c, t)), false;
}

/* A VALUE of the eager graph, whatever fn is open. Takes over buf. */
static tsr_node *value_take(tsr_ctx *c, const tsr_type *t, tsr_buf *buf) {
    struct graph_room *g = graph_room(c);
    tsr_buf **own = mem_array(c, 1, sizeof *own);
    tsr_fn *here = g ? g->open : NULL;
    tsr_node *n = tsr_poison(c);
    if (own && g) {
        g->open = NULL;
        n = node_make(c, &(struct draft){.op = TSR_OP_VALUE, .want = t});
        g->open = here;
    }
    if (tsr_is_poison(n)) {
        mem_array_free(c, own, 1, sizeof *own);
        tsr_buf_free(buf);
        return n;
    }
    *own = buf;
    node_set_value_take(c, n, own);
    return n;
}

tsr_node *tsr_from(tsr_ctx *c, const tsr_type *t, const void *data) {
    size_t bytes;
    if (!value_bytes(c, "a value", t, &bytes)) return tsr_poison(c);
    tsr_buf *buf = tsr_buf_new(c, bytes);
    if (!buf) return tsr_poison(c);
    if (bytes) memcpy(tsr_buf_data(buf), data, bytes);
    return value_take(c, t, buf);
}

tsr_node *tsr_tensor(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim, const void *data) {
    return tsr_from(c, tsr_type_dims(c, t, rank, dim), data);
}

tsr_node *tsr_wrap(tsr_ctx *c, const tsr_type *t, tsr_buf *buf) {
    size_t bytes;
    if (!buf || !value_bytes(c, "a value", t, &bytes)) return tsr_poison(c);
    if (tsr_buf_bytes(buf) < bytes) {
        err_set(c, TSR_EINVAL, "wrap: a buffer of %zu bytes is too small for %s, which takes %zu", tsr_buf_bytes(buf),
            type_text(c, t), bytes);
        return tsr_poison(c);
    }
    return value_take(c, t, tsr_buf_keep(buf));
}

tsr_node *tsr_const(tsr_ctx *c, const tsr_type *t, const void *data) {
    size_t bytes;
    if (!value_bytes(c, "a literal", t, &bytes)) return tsr_poison(c);
    struct attr a = attr_bytes(ATTR_VALUE, bytes, data);
    return node_make(c, &(struct draft){.op = TSR_OP_CONST, .nattr = 1, .attr = &a, .want = t});
}

static tsr_node *scalar_literal(tsr_ctx *c, tsr_dtype t, tsr_dtype from, struct ref_val v) {
    uint8_t bytes[16] = {0};
    struct ref_tensor one = {.dtype = t, .count = 1, .p = bytes};
    if ((unsigned)t >= TSR_DTYPE_COUNT || tsr_dtype_of(t)->kind == TSR_KIND_BLOCK) {
        err_set(c, TSR_EINVAL, "a scalar of %s: block types hold whole blocks alone; make it f32",
            (unsigned)t < TSR_DTYPE_COUNT ? tsr_dtype_name(t) : "no dtype");
        return tsr_poison(c);
    }
    ref_set(&one, 0, ref_convert(v, from, t));
    return tsr_const(c, tsr_type_tensor(c, t, 0, NULL), bytes);
}

tsr_node *tsr_scalar_float(tsr_ctx *c, tsr_dtype t, double v) {
    return scalar_literal(c, t, TSR_F64, (struct ref_val){.re = v});
}
tsr_node *tsr_scalar_int(tsr_ctx *c, tsr_dtype t, int64_t v) {
    return scalar_literal(c, t, TSR_I64, (struct ref_val){.i = v});
}

tsr_node *tsr_full(tsr_ctx *c, const tsr_type *t, double v) {
    if (!t) return tsr_poison(c);
    if (t->kind != TSR_TENSOR) return err_set(c, TSR_EINVAL, "full: %s is no tensor", type_text(c, t)), tsr_poison(c);
    return tsr_prim_broadcast(c, tsr_scalar_float(c, t->dtype, v), t, NULL);
}

/* ---- structure -------------------------------------------------------------------------------------------------- */

tsr_node *tsr_item(tsr_ctx *c, tsr_node *tuple, int index) {
    struct attr a = attr_int(ATTR_INDEX, index);
    return node_make(c, &(struct draft){.op = TSR_OP_ITEM, .nsrc = 1, .src = &tuple, .nattr = 1, .attr = &a});
}

tsr_node *tsr_stop_gradient(tsr_ctx *c, tsr_node *x) {
    if (!tsr_is_poison(x) && x->op == TSR_OP_STOP_GRADIENT) return x;
    return node_make(c, &(struct draft){.op = TSR_OP_STOP_GRADIENT, .nsrc = 1, .src = &x});
}

tsr_node *tsr_prim_barrier(tsr_ctx *c, int n, tsr_node *const *x) {
    if (n < 1) return err_set(c, TSR_EINVAL, "barrier of %d values: give at least one", n), tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_BARRIER, .nsrc = n, .src = x});
}
