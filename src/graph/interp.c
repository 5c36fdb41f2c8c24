/* interp.c: the reference interpreter (interp.h).
 *
 * A run has a frame for each fn being run: the bindings of symbols, and a value for each node. Nodes run in id
 * order; a value is freed after its last user. PARAM, CONST and ITEM only point at data that something else owns.
 * The kernels of ops with bodies call back (ref_call.body); results of bodies live in an arena of the calling node
 * and go when that node is done.
 *
 * Binding: a parameter extent that is a symbol binds it; an expression with one unknown symbol is solved for it
 * where it is a sum or product; then every parameter extent must equal the real one, and every check of the fn must
 * hold. Integer parameters that give sizes (tsr_fn_size) bind first. */
#include <inttypes.h>
#include <string.h>

#include "graph/interp.h"
#include "graph/ref.h"

struct value {
    int n;                /* tensors: 1, or items of a tuple */
    bool owned;
    struct ref_tensor *t; /* (n) */
};

struct frame {
    tsr_ctx *c;
    const tsr_fn *f;
    const struct interp_opts *opts;
    const struct frame *outer;
    const struct ref_tensor *in; /* (param.n) */
    VEC(tsr_binding) bind;
    struct value *value; /* (node.n) */
    int32_t *last;       /* (node.n) position of the last user; node.n for results */
    struct arena mem;    /* the arrays above, and what bodies return to the node that runs now */
    tsr_status status;   /* of extents evaluated inside kernels */
};

static tsr_status run_fn(tsr_ctx *c, const tsr_fn *f, int nin, const struct ref_tensor *in, struct arena *arena,
    struct ref_tensor *out, const struct interp_opts *opts, const struct frame *outer);

/* ---- sizes ------------------------------------------------------------------------------------------------------ */

static tsr_status eval(const struct frame *r, const tsr_extent *e, int64_t *v) {
    return tsr_extent_eval(r->c, e, (int)r->bind.n, r->bind.v, v);
}

/* Does every symbol of e have a value? */
static bool bound(const struct frame *r, const tsr_extent *e) {
    bool all = true;
    for (size_t i = 0; e->op == EXT_SYMBOL && i < r->bind.n; i++)
        if (r->bind.v[i].symbol == e) return true;
    for (int i = 0; all && i < e->n; i++) all = bound(r, e->arg[i]);
    return all && e->op != EXT_SYMBOL;
}

/* Bind the one unknown symbol of e such that e == want, where that is a matter of subtracting and dividing. What
 * cannot be solved, or has a value out of bounds, is left to the check that follows. False: out of memory. */
static bool solve(struct frame *r, const tsr_extent *e, int64_t want) {
    const tsr_extent *unknown = NULL;
    int64_t known = e->op == EXT_MUL, v;
    if (bound(r, e)) return true;
    if (e->op == EXT_SYMBOL) return vec_push(r->c, &r->bind, ((tsr_binding){e, want}));
    if (e->op != EXT_ADD && e->op != EXT_MUL) return true;
    for (int i = 0; i < e->n; i++) {
        if (!bound(r, e->arg[i])) {
            if (unknown) return true;
            unknown = e->arg[i];
            continue;
        }
        if (eval(r, e->arg[i], &v)) return true;
        if (!(e->op == EXT_ADD ? i64_add(known, v, &known) : i64_mul(known, v, &known))) return true;
    }
    if (e->op == EXT_ADD) return __builtin_sub_overflow(want, known, &want) || solve(r, unknown, want);
    return known == 0 || want % known != 0 || solve(r, unknown, want / known);
}

static tsr_status bind_size(struct frame *r, const struct fn_size *k) {
    const struct ref_tensor *x = &r->in[k->param];
    int64_t v;
    if (!fn_size_value(x->dtype, x->p, x->count, k->element, &v))
        return err_set(r->c, TSR_ECHECK, "%s: parameter %d gives size %s no value", r->f->name, k->param,
            k->symbol->name);
    return solve(r, k->symbol, v) ? TSR_OK : TSR_ENOMEM;
}

static tsr_status check_size(const struct frame *r, const struct fn_size *k) {
    int64_t v, want;
    tsr_status s = eval(r, k->symbol, &v);
    if (s || !fn_size_value(r->in[k->param].dtype, r->in[k->param].p, r->in[k->param].count, k->element, &want))
        return s;
    return v == want ? TSR_OK : err_set(r->c, TSR_ECHECK, "%s: parameter %d says that %s is %" PRId64
        ", elsewhere it is %" PRId64, r->f->name, k->param, k->symbol->name, want, v);
}

static tsr_status bind_param(struct frame *r, size_t p) {
    const tsr_node *n = r->f->param.v[p].node;
    const tsr_type *t = n->type;
    const struct ref_tensor *x = &r->in[p];
    if (t->kind != TSR_TENSOR) return TSR_OK;
    if (x->dtype != t->dtype || x->rank != t->rank)
        return err_set(r->c, TSR_EINVAL, "%s: parameter %zu is %s, the data is %s of rank %d", r->f->name, p,
            type_text(r->c, t), tsr_dtype_name(x->dtype), x->rank);
    for (int i = 0; i < t->rank; i++)
        if (!solve(r, t->extent[i], x->dim[i])) return TSR_ENOMEM;
    return TSR_OK;
}

static tsr_status check_param(struct frame *r, size_t p) {
    const tsr_type *t = r->f->param.v[p].node->type;
    for (int i = 0; t->kind == TSR_TENSOR && i < t->rank; i++) {
        int64_t v;
        tsr_status s = eval(r, t->extent[i], &v);
        if (s) return s;
        if (v != r->in[p].dim[i])
            return err_set(r->c, TSR_ECHECK,
                "%s: parameter %zu is %s; axis %d is then %" PRId64 ", but the data has %" PRId64, r->f->name, p,
                type_text(r->c, t), i, v, r->in[p].dim[i]);
    }
    return TSR_OK;
}

static tsr_status bind_sizes(struct frame *r) {
    tsr_status s = TSR_OK;
    for (size_t i = 0; r->outer && i < r->outer->bind.n; i++)
        if (!vec_push(r->c, &r->bind, r->outer->bind.v[i])) return TSR_ENOMEM;
    for (size_t i = 0; i < r->f->size.n; i++)
        if ((s = bind_size(r, &r->f->size.v[i]))) return s;
    for (int turn = 0; turn < 2; turn++) /* a second turn solves what waited for a later parameter */
        for (size_t p = 0; p < r->f->param.n; p++)
            if ((s = bind_param(r, p))) return s;
    for (size_t p = 0; p < r->f->param.n; p++)
        if ((s = check_param(r, p))) return s;
    for (size_t i = 0; i < r->f->size.n; i++)
        if ((s = check_size(r, &r->f->size.v[i]))) return s;
    for (size_t i = 0; i < r->f->check.n; i++) {
        const struct fn_check *k = &r->f->check.v[i];
        int64_t a, b;
        if ((s = eval(r, k->a, &a)) || (s = eval(r, k->b, &b))) return s;
        if (a != b)
            return err_set(r->c, TSR_ECHECK, "%s: %s (with these sizes %s is %" PRId64 " and %s is %" PRId64 ")",
                r->f->name, k->why, extent_text(r->c, k->a), a, extent_text(r->c, k->b), b);
    }
    return TSR_OK;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static void value_free(struct frame *r, struct value *v) {
    for (int i = 0; v->owned && i < v->n; i++) mem_free(r->c, v->t[i].p, ref_bytes(&v->t[i]));
    v->owned = false;
}

static tsr_status tensor_new(struct frame *r, const tsr_type *t, struct ref_tensor *out) {
    int64_t dim[TSR_MAX_RANK];
    size_t bytes;
    int rank = t->kind == TSR_TENSOR ? t->rank : 0;
    for (int i = 0; i < rank; i++) {
        tsr_status s = eval(r, t->extent[i], &dim[i]);
        if (s) return s;
        if (dim[i] < 0)
            return err_set(r->c, TSR_ECHECK, "axis %d of %s is %" PRId64 " with these sizes", i, type_text(r->c, t),
                dim[i]);
    }
    if (!ref_shape(r->c, t->kind == TSR_TENSOR ? t->dtype : TSR_BOOL, rank, dim, out, &bytes))
        return tsr_error_status(r->c);
    if (!(out->p = mem_alloc(r->c, bytes))) return TSR_ENOMEM;
    memset(out->p, r->opts && r->opts->poison ? r->opts->poison : 0xa5, bytes);
    return TSR_OK;
}

static tsr_status value_new(struct frame *r, const tsr_node *n, struct value *v) {
    int results = type_results(n->type);
    if (!(v->t = arena_array(&r->mem, (size_t)results + 1, sizeof *v->t))) return TSR_ENOMEM;
    v->owned = true;
    for (v->n = 0; v->n < results; v->n++) {
        tsr_status s = tensor_new(r, type_result(n->type, v->n), &v->t[v->n]);
        if (s) return s;
    }
    return TSR_OK;
}

/* An item lives in its tuple, so the tuple lives as long as its items: users are visited before what they use. */
static void find_last_users(struct frame *r) {
    const tsr_fn *f = r->f;
    for (size_t i = 0; i < f->node.n; i++) r->last[i] = (int32_t)i;
    for (size_t i = 0; i < f->result.n; i++) r->last[f->result.v[i]->pos] = (int32_t)f->node.n;
    for (size_t i = f->node.n; i-- > 0;) {
        const tsr_node *n = f->node.v[i];
        int32_t until = n->op == TSR_OP_ITEM ? r->last[i] : (int32_t)i;
        for (int j = 0; j < n->nsrc; j++)
            if (r->last[n->src[j]->pos] < until) r->last[n->src[j]->pos] = until;
    }
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

struct node_run { struct frame *frame; struct arena results; };

static tsr_status call_body(struct ref_call *r, int fn, int nin, const struct ref_tensor *in, struct ref_tensor *out) {
    struct node_run *run = r->run;
    return run_fn(r->c, r->node->fn[fn], nin, in, &run->results, out, run->frame->opts, run->frame);
}

static int64_t call_extent(struct ref_call *r, const tsr_extent *e) {
    struct frame *frame = ((struct node_run *)r->run)->frame;
    int64_t v = 0;
    tsr_status s = eval(frame, e, &v);
    if (s && !frame->status) frame->status = s;
    return v;
}

static tsr_status run_call(struct ref_call *r) {
    const tsr_fn *f = r->node->fn[0];
    struct ref_tensor *out = mem_array(r->c, f->result.n + 1, sizeof *out);
    if (!out) return TSR_ENOMEM;
    tsr_status s = r->body(r, 0, r->nin, r->in, out);
    for (int i = 0; !s && i < r->nout; i++) memcpy(r->out[i].p, out[i].p, ref_bytes(&r->out[i]));
    mem_array_free(r->c, out, f->result.n + 1, sizeof *out);
    return s;
}

static tsr_status run_kernel(struct frame *r, const tsr_node *n, const struct ref_tensor *in, struct value *v) {
    struct node_run run = {.frame = r};
    struct ref_call call = {.c = r->c, .node = n, .nin = n->nsrc, .nout = v->n, .in = in, .out = v->t,
        .body = call_body, .run = &run, .extent = call_extent};
    arena_init(&run.results, r->c);
    r->status = TSR_OK;
    tsr_status s = n->op == TSR_OP_CALL ? run_call(&call) : op_def(n->op)->ref(&call);
    arena_release(&run.results);
    return s ? s : r->status;
}

static tsr_status run_node(struct frame *r, size_t i) {
    const tsr_node *n = r->f->node.v[i];
    struct value *v = &r->value[i];
    if (n->op == TSR_OP_PARAM) {
        *v = (struct value){.n = 1, .t = (struct ref_tensor *)&r->in[node_int(n, ATTR_INDEX)]};
        return TSR_OK;
    }
    if (n->op == TSR_OP_ITEM) {
        *v = (struct value){.n = 1, .t = &r->value[n->src[0]->pos].t[node_int(n, ATTR_INDEX)]};
        return TSR_OK;
    }
    struct ref_tensor *in = mem_array(r->c, (size_t)n->nsrc + 1, sizeof *in);
    tsr_status s = in ? value_new(r, n, v) : TSR_ENOMEM;
    for (int j = 0; !s && j < n->nsrc; j++) in[j] = r->value[n->src[j]->pos].t[0];
    if (!s) s = run_kernel(r, n, in, v);
    if (!s && r->opts && r->opts->node) s = r->opts->node(r->opts->user, r->f, n, n->nsrc, in, v->n, v->t);
    mem_array_free(r->c, in, (size_t)n->nsrc + 1, sizeof *in);
    return s;
}

/* Free n's value when node i was its last user; through an item, the tuple it lives in. */
static void release(struct frame *r, const tsr_node *n, int32_t i) {
    if (n->op == TSR_OP_ITEM) n = n->src[0];
    if (r->last[n->pos] == i) value_free(r, &r->value[n->pos]);
}

static tsr_status run_nodes(struct frame *r) {
    for (size_t i = 0; i < r->f->node.n; i++) {
        const tsr_node *n = r->f->node.v[i];
        tsr_status s = run_node(r, i);
        if (s) {
            if (s != TSR_ENOMEM && s != TSR_EINTERRUPTED) /* those are not this node's doing */
                err_prefix(r->c, "running %s, node %%%d (%s)", r->f->name, (int)n->pos, op_name(n->op));
            return s;
        }
        for (int j = 0; j < n->nsrc; j++) release(r, n->src[j], (int32_t)i);
    }
    return TSR_OK;
}

static tsr_status deliver(struct frame *r, struct arena *arena, struct ref_tensor *out) {
    for (size_t i = 0; i < r->f->result.n; i++) {
        const struct ref_tensor *v = r->value[r->f->result.v[i]->pos].t;
        if (!ref_new(arena, v->dtype, v->rank, v->dim, &out[i])) return TSR_ENOMEM;
        memcpy(out[i].p, v->p, ref_bytes(v));
    }
    return TSR_OK;
}

static tsr_status run_fn(tsr_ctx *c, const tsr_fn *f, int nin, const struct ref_tensor *in, struct arena *arena,
    struct ref_tensor *out, const struct interp_opts *opts, const struct frame *outer) {
    struct frame r = {.c = c, .f = f, .opts = opts, .outer = outer, .in = in};
    if ((size_t)nin != f->param.n)
        return err_set(c, TSR_EINVAL, "%s has %zu parameters (captures and variables included), %d inputs were given",
            f->name, f->param.n, nin);
    arena_init(&r.mem, c);
    r.value = arena_array(&r.mem, f->node.n + 1, sizeof *r.value);
    r.last = arena_array(&r.mem, f->node.n + 1, sizeof *r.last);
    tsr_status s = r.value && r.last ? bind_sizes(&r) : TSR_ENOMEM;
    if (!s) {
        find_last_users(&r);
        s = run_nodes(&r);
    }
    if (!s) s = deliver(&r, arena, out);
    for (size_t i = 0; r.value && i < f->node.n; i++) value_free(&r, &r.value[i]);
    vec_release(c, &r.bind);
    arena_release(&r.mem);
    return s;
}

tsr_status interp_run(tsr_ctx *c, const tsr_fn *f, int nin, const struct ref_tensor *in, struct arena *arena,
    struct ref_tensor *out, const struct interp_opts *opts) {
    return run_fn(c, f, nin, in, arena, out, opts, NULL);
}
