/* op_control.c: calls, loops and branches: ops whose bodies are fns.
 *
 *   call    results = fn(sources)                                sources: all parameters of the fn
 *   while   carry = init; while (cond(carry)) carry = body(carry)   sources: carries, then cond's and body's implicit
 *   parameters
 *   cond    branch[index](args)                                  sources: index, args, then each branch's implicit
 *   parameters
 *   scan    (carry, y[t]) = body(carry, x[t]) for every t        sources: carries, xs, then the body's implicit
 *   parameters
 * Implicit parameters are captures and variables that are read (fn_implicit_args); bodies assign none. Results are a
 * tuple, of a call with one result that result itself. StableHLO has while, case and if; scan is JAX's.
 *
 * Gradients and batching of these belong to transform/. The reference here runs bodies one after the other; the
 * interpreter runs calls itself. */
#include <string.h>

#include "graph/axes.h"
#include "graph/ref.h"

/* ---- signatures -------------------------------------------------------------------------------------------------- */

/* Types of what a fn is given (or gives) and what it takes must be the same: `what` names the place, `i` which one. */
static bool same_type(tsr_ctx *c, const char *op, const char *what, int i, const tsr_type *got, const tsr_type *want) {
    bool ok = got == want || (got->kind == TSR_TENSOR && want->kind == TSR_TENSOR && got->dtype == want->dtype &&
                              got->rank == want->rank);
    for (int a = 0; ok && got != want && a < got->rank; a++)
        ok = extent_require_equal(c, got->extent[a], want->extent[a], "%s: %s %d is %s, expected %s: axis %d differs",
                                  op, what, i, type_text(c, got), type_text(c, want), a);
    if (!ok && !err_any(c))
        err_set(c, TSR_EINVAL, "%s: %s %d is %s, expected %s%s", op, what, i, type_text(c, got), type_text(c, want),
                got->kind == TSR_TENSOR && want->kind == TSR_TENSOR && got->dtype != want->dtype ? "; convert it" : "");
    return ok;
}

/* A body: closed, assigning no variable, with so many parameters (and results, unless negative). */
static bool body_fits(tsr_ctx *c, const char *op, const char *role, const tsr_fn *f, int params, int results) {
    if (!f) return err_set(c, TSR_EINVAL, "%s: its %s is NULL", op, role), false;
    if (f->open)
        return err_set(c, TSR_EINVAL, "%s: its %s \"%s\" is still open; end it with tsr_fn_end first", op, role,
                       f->name), false;
    if (f->assign.n)
        return err_set(c, TSR_EINVAL,
                       "%s: its %s \"%s\" assigns the variable \"%s\"; carry its value and assign it after", op, role,
                           f->name, f->assign.v[0]->name), false;
    if (f->nparam != params)
        return err_set(c, TSR_EINVAL, "%s: its %s \"%s\" takes %d values, %d are given", op, role, f->name, f->nparam,
                       params), false;
    if (results >= 0 && f->nresult != results)
        return err_set(c, TSR_EINVAL, "%s: its %s \"%s\" gives %d results, expected %d", op, role, f->name, f->nresult,
                       results), false;
    return true;
}

static const tsr_type *param_type(const tsr_fn *f, int i) { return f->param.v[i].node->type; }
static const tsr_type *result_type(const tsr_fn *f, int i) { return f->result.v[i]->type; }
static int implicit(const tsr_fn *f) { return (int)f->param.n - f->nparam; }

/* The sources from src on are f's parameters from `first` on. */
static bool args_fit(tsr_ctx *c, const char *op, const tsr_fn *f, int first, tsr_node *const *src) {
    for (int i = first; i < (int)f->param.n; i++)
        if (!same_type(c, op, i < f->nparam ? "argument" : "captured value", i < f->nparam ? i : i - f->nparam,
                       src[i - first]->type, param_type(f, i))) return false;
    return true;
}

static const tsr_type *tuple_of_results(tsr_ctx *c, const tsr_fn *f, int n) {
    struct arena a;
    arena_init(&a, c);
    const tsr_type **item = arena_array(&a, (size_t)n + 1, sizeof *item), *t = NULL;
    for (int i = 0; item && i < n; i++) item[i] = result_type(f, i);
    if (item) t = tsr_type_tuple(c, n, item);
    arena_release(&a);
    return t;
}

/* ---- node making ------------------------------------------------------------------------------------------------- */

/* A node of `op` over the explicit sources and then the implicit parameters of its bodies. */
static tsr_node *make(tsr_ctx *c, enum tsr_op op, int n, tsr_node *const *src, int nfn, tsr_fn *const *fn, int nattr,
                      const struct attr *attr) {
    struct arena a;
    int total = n;
    tsr_node *made = tsr_poison(c);
    for (int i = 0; i < nfn; i++) total += implicit(fn[i]);
    arena_init(&a, c);
    tsr_node **all = arena_array(&a, (size_t)total + 1, sizeof *all);
    if (all && !axes_poison(n, src)) {
        if (n) memcpy(all, src, (size_t)n * sizeof *all);
        for (int i = 0, at = n; i < nfn; at += implicit(fn[i]), i++) fn_implicit_args(c, fn[i], all + at);
        made = node_make(c, &(struct draft){.op = op, .nsrc = total, .src = all, .nattr = nattr, .attr = attr,
            .nfn = nfn, .fn = fn});
    }
    arena_release(&a);
    return made;
}

/* ---- call -------------------------------------------------------------------------------------------------------- */

static const tsr_type *call_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_fn *f = d->fn[0];
    if (d->nsrc != (int)f->param.n)
        return err_set(c, TSR_EINVAL,
                       "call of \"%s\": %d arguments for %d parameters (captures and variables included)", f->name,
                           d->nsrc, (int)f->param.n), NULL;
    if (!args_fit(c, "call", f, 0, d->src)) return NULL;
    return f->result.n == 1 ? result_type(f, 0) : tuple_of_results(c, f, (int)f->result.n);
}

/* ---- while ------------------------------------------------------------------------------------------------------- */

static const tsr_type *while_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_fn *cond = d->fn[0], *body = d->fn[1];
    int n = body->nparam;
    if (!body_fits(c, "while", "condition", cond, n, 1) || !body_fits(c, "while", "body", body, n, n)) return NULL;
    const tsr_type *p = result_type(cond, 0);
    if (p->kind != TSR_TENSOR || p->dtype != TSR_BOOL || p->rank != 0)
        return err_set(c, TSR_EINVAL, "while: its condition \"%s\" gives %s; it must give one bool", cond->name,
                       type_text(c, p)), NULL;
    if (d->nsrc != n + implicit(cond) + implicit(body))
        return err_set(c, TSR_EINVAL, "while: %d sources for %d carries and the captures of its bodies", d->nsrc, n),
            NULL;
    for (int i = 0; i < n; i++) {
        if (!same_type(c, "while", "what the condition takes as carry", i, param_type(cond, i), d->src[i]->type))
            return NULL;
        if (!same_type(c, "while", "what the body takes as carry", i, param_type(body, i), d->src[i]->type))
            return NULL;
        if (!same_type(c, "while", "what the body gives as carry", i, result_type(body, i), d->src[i]->type))
            return NULL;
    }
    if (!args_fit(c, "while", cond, n, d->src + n) || !args_fit(c, "while", body, n, d->src + n + implicit(cond)))
        return NULL;
    struct arena a;
    arena_init(&a, c);
    const tsr_type **item = arena_array(&a, (size_t)n + 1, sizeof *item), *t = NULL;
    for (int i = 0; item && i < n; i++) item[i] = d->src[i]->type;
    if (item) t = tsr_type_tuple(c, n, item);
    arena_release(&a);
    return t;
}

tsr_node *tsr_prim_while(tsr_ctx *c, tsr_fn *cond, tsr_fn *body, int n, tsr_node *const *init, int64_t trips) {
    if (!body_fits(c, "while", "condition", cond, n, 1) || !body_fits(c, "while", "body", body, n, n))
        return tsr_poison(c);
    if (trips < 0)
        return err_set(c, TSR_EINVAL, "while: at most %lld turns; give a bound above 0, or 0 for none",
                       (long long)trips), tsr_poison(c);
    const tsr_extent *most = tsr_extent_int(c, trips);
    struct attr a = attr_exts(ATTR_TRIPS, 1, &most);
    return most ? make(c, TSR_OP_WHILE, n, init, 2, (tsr_fn *[]){cond, body}, trips > 0, &a) : tsr_poison(c);
}

/* ---- cond -------------------------------------------------------------------------------------------------------- */

static const tsr_type *cond_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_fn *first = d->fn[0];
    const tsr_type *index = d->src[0]->type;
    int n = first->nparam, results = first->nresult, total = 1 + n;
    if (index->kind != TSR_TENSOR || index->rank != 0 || !(index->dtype == TSR_BOOL || dtype_is_int(index->dtype)))
        return err_set(c, TSR_EINVAL, "cond: the index is %s; it must be one bool or integer", type_text(c, index)),
            NULL;
    if (index->dtype == TSR_BOOL && d->nfn != 2)
        return err_set(c, TSR_EINVAL, "cond: a bool picks one of 2 branches (false, true), %d are given", d->nfn), NULL;
    for (int b = 0; b < d->nfn; b++) total += implicit(d->fn[b]);
    if (d->nsrc != total) return err_set(c, TSR_EINVAL, "cond: %d sources, %d expected", d->nsrc, total), NULL;
    tsr_node *const *capture = d->src + 1 + n;
    for (int b = 0; b < d->nfn; capture += implicit(d->fn[b]), b++) {
        const tsr_fn *f = d->fn[b];
        if (!body_fits(c, "cond", "branch", f, n, results) || !args_fit(c, "cond", f, n, capture)) return NULL;
        for (int i = 0; i < n; i++)
            if (!same_type(c, "cond", "argument", i, d->src[1 + i]->type, param_type(f, i)))
                return err_prefix(c, "branch %d \"%s\"", b, f->name), NULL;
        for (int i = 0; i < results; i++)
            if (!same_type(c, "cond", "result", i, result_type(f, i), result_type(first, i)))
                return err_prefix(c, "branch %d \"%s\" differs from branch 0 \"%s\"", b, f->name, first->name), NULL;
    }
    return tuple_of_results(c, first, results);
}

tsr_node *tsr_prim_cond(tsr_ctx *c, tsr_node *index, int branches, tsr_fn *const *branch, int n, tsr_node *const *arg) {
    if (branches < 1) return err_set(c, TSR_EINVAL, "cond: %d branches; give at least one", branches), tsr_poison(c);
    for (int b = 0; b < branches; b++)
        if (!body_fits(c, "cond", "branch", branch[b], n, branch[0] ? branch[0]->nresult : -1)) return tsr_poison(c);
    struct arena a;
    arena_init(&a, c);
    tsr_node **src = arena_array(&a, (size_t)n + 1, sizeof *src), *made = tsr_poison(c);
    if (src) {
        src[0] = index;
        if (n) memcpy(src + 1, arg, (size_t)n * sizeof *src);
        made = make(c, TSR_OP_COND, n + 1, src, branches, branch, 0, NULL);
    }
    arena_release(&a);
    return made;
}

/* ---- scan -------------------------------------------------------------------------------------------------------- */

/* x[t] of a source, without its first axis. */
static bool slice_fits(tsr_ctx *c, int i, const tsr_type *x, const tsr_type *slice, const tsr_extent *trips) {
    if (x->kind != TSR_TENSOR || x->rank < 1)
        return err_set(c, TSR_EINVAL, "scan: x %d is %s; it needs a first axis to scan", i, type_text(c, x)), false;
    if (!extent_require_equal(c, x->extent[0], trips, "scan: x %d is %s, but the scan makes %s turns", i,
                              type_text(c, x), extent_text(c, trips))) return false;
    const tsr_type *t = type_drop_axis(c, x, 0);
    return t && same_type(c, "scan", "what the body takes as slice of x", i, slice, t);
}

static const tsr_type *scan_type(tsr_ctx *c, const tsr_fn *f, int ncarry, tsr_node *const *carry,
                                 const tsr_extent *trips) {
    struct arena a;
    arena_init(&a, c);
    const tsr_type **item = arena_array(&a, (size_t)f->nresult + 1, sizeof *item), *t = NULL;
    bool ok = item != NULL;
    for (int i = 0; ok && i < f->nresult; i++) {
        const tsr_type *y = result_type(f, i);
        item[i] = i < ncarry ? carry[i]->type : type_insert_axis(c, y, 0, trips);
        ok = item[i] != NULL;
    }
    if (ok) t = tsr_type_tuple(c, f->nresult, item);
    arena_release(&a);
    return t;
}

static const tsr_type *scan_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_fn *f = d->fn[0];
    int n = (int)draft_int(d, ATTR_CARRY), xs = f->nparam - n;
    const tsr_extent *trips = draft_attr(d, ATTR_TRIPS)->exts[0];
    if (!body_fits(c, "scan", "body", f, n + xs, -1)) return NULL;
    if (n < 0 || xs < 0 || f->nresult < n || d->nsrc != (int)f->param.n)
        return err_set(c, TSR_EINVAL, "scan: %d carries, but its body \"%s\" takes %d values and gives %d", n, f->name,
                       f->nparam, f->nresult), NULL;
    for (int i = 0; i < n; i++) {
        if (!same_type(c, "scan", "what the body takes as carry", i, param_type(f, i), d->src[i]->type)) return NULL;
        if (!same_type(c, "scan", "what the body gives as carry", i, result_type(f, i), d->src[i]->type)) return NULL;
    }
    for (int i = 0; i < xs; i++)
        if (!slice_fits(c, i, d->src[n + i]->type, param_type(f, n + i), trips)) return NULL;
    for (int i = n; i < f->nresult; i++)
        if (!axes_is_tensor(c, "scan", result_type(f, i))) return NULL;
    return args_fit(c, "scan", f, f->nparam, d->src + f->nparam) ? scan_type(c, f, n, d->src, trips) : NULL;
}

tsr_node *tsr_prim_scan(tsr_ctx *c, tsr_fn *body, int ncarry, tsr_node *const *carry, int nxs, tsr_node *const *xs,
                        const tsr_extent *trips, bool reverse) {
    if (!trips || !body_fits(c, "scan", "body", body, ncarry + nxs, -1)) return tsr_poison(c);
    struct attr attr[] = {attr_int(ATTR_REVERSE, reverse), attr_int(ATTR_CARRY, ncarry),
        attr_exts(ATTR_TRIPS, 1, &trips)};
    struct arena a;
    arena_init(&a, c);
    tsr_node **src = arena_array(&a, (size_t)(ncarry + nxs) + 1, sizeof *src), *made = tsr_poison(c);
    if (src) {
        if (ncarry) memcpy(src, carry, (size_t)ncarry * sizeof *src);
        if (nxs) memcpy(src + ncarry, xs, (size_t)nxs * sizeof *src);
        made = make(c, TSR_OP_SCAN, ncarry + nxs, src, 1, &body, 3, attr);
    }
    arena_release(&a);
    return made;
}

/* ---- reference --------------------------------------------------------------------------------------------------- */

/* Inputs of one run of body `fn`: its explicit parameters, then the implicit ones, which begin at source `at`. */
static struct ref_tensor *body_inputs(struct ref_call *r, struct arena *a, int fn, int at) {
    const tsr_fn *f = r->node->fn[fn];
    struct ref_tensor *in = arena_array(a, f->param.n + 1, sizeof *in);
    if (in && implicit(f)) memcpy(in + f->nparam, r->in + at, (size_t)implicit(f) * sizeof *in);
    return in;
}

static void deliver(struct ref_tensor *to, const struct ref_tensor *from) { memcpy(to->p, from->p, ref_bytes(to)); }

static tsr_status while_ref(struct ref_call *r) {
    int n = r->nout;
    struct arena a;
    arena_init(&a, r->c);
    struct ref_tensor *test = body_inputs(r, &a, 0, n), *turn = body_inputs(r, &a, 1, n + implicit(r->node->fn[0]));
    struct ref_tensor *out = arena_array(&a, (size_t)n + 1, sizeof *out), again;
    tsr_status s = test && turn && out ? TSR_OK : TSR_ENOMEM;
    if (!s && n) memcpy(turn, r->in, (size_t)n * sizeof *turn);
    const struct attr *most = node_attr(r->node, ATTR_TRIPS);
    int64_t left = most ? r->extent(r, most->exts[0]) : INT64_MAX;
    for (; !s; left--) {
        if (n) memcpy(test, turn, (size_t)n * sizeof *turn);
        s = r->body(r, 0, (int)r->node->fn[0]->param.n, test, &again);
        if (s || !ref_get(&again, 0).u) break;
        if (left == 0)
            s = err_set(r->c, TSR_ECHECK, "while: its condition still held after %lld turns, the bound given for it",
                        (long long)r->extent(r, most->exts[0]));
        else s = r->body(r, 1, (int)r->node->fn[1]->param.n, turn, out);
        if (!s && n) memcpy(turn, out, (size_t)n * sizeof *turn);
    }
    for (int i = 0; !s && i < n; i++) deliver(&r->out[i], &turn[i]);
    arena_release(&a);
    return s;
}

static tsr_status cond_ref(struct ref_call *r) {
    const tsr_node *n = r->node;
    struct ref_val v = ref_get(&r->in[0], 0);
    tsr_dtype t = r->in[0].dtype;
    bool is_signed = tsr_dtype_of(t)->kind == TSR_KIND_INT;
    int last = n->nfn - 1, pick = is_signed ? (v.i < 0 || v.i > last ? last : (int)v.i) : v.u > (uint64_t)last ? last
        : (int)v.u;
    int explicit = n->fn[0]->nparam, at = 1 + explicit;
    for (int b = 0; b < pick; b++) at += implicit(n->fn[b]);
    struct arena a;
    arena_init(&a, r->c);
    struct ref_tensor *in = body_inputs(r, &a, pick, at), *out = arena_array(&a, (size_t)r->nout + 1, sizeof *out);
    tsr_status s = in && out ? TSR_OK : TSR_ENOMEM;
    if (!s && explicit) memcpy(in, r->in + 1, (size_t)explicit * sizeof *in);
    if (!s) s = r->body(r, pick, (int)n->fn[pick]->param.n, in, out);
    for (int i = 0; !s && i < r->nout; i++) deliver(&r->out[i], &out[i]);
    arena_release(&a);
    return s;
}

/* Part t of a tensor whose first axis is scanned; 4-bit parts that begin inside a byte are moved element by element. */
static bool part(struct ref_call *r, struct arena *a, const struct ref_tensor *x, int64_t t, struct ref_tensor *out) {
    if (!ref_new(a, x->dtype, x->rank - 1, x->dim + 1, out)) return false;
    for (int64_t i = 0; i < out->count; i++) ref_move(out, i, x, t * out->count + i);
    (void)r;
    return true;
}

static tsr_status scan_turn(struct ref_call *r, struct arena *a, int64_t t, int ncarry, struct ref_tensor *in,
                            struct ref_tensor *out) {
    const tsr_fn *f = r->node->fn[0];
    for (int i = ncarry; i < f->nparam; i++)
        if (!part(r, a, &r->in[i], t, &in[i])) return TSR_ENOMEM;
    tsr_status s = r->body(r, 0, (int)f->param.n, in, out);
    if (s) return s;
    if (ncarry) memcpy(in, out, (size_t)ncarry * sizeof *in);
    for (int i = ncarry; i < r->nout; i++)
        for (int64_t e = 0; e < out[i].count; e++) ref_move(&r->out[i], t * out[i].count + e, &out[i], e);
    return TSR_OK;
}

static tsr_status scan_ref(struct ref_call *r) {
    const tsr_fn *f = r->node->fn[0];
    int ncarry = (int)node_int(r->node, ATTR_CARRY);
    int64_t trips = r->extent(r, node_exts(r->node, ATTR_TRIPS, NULL)[0]);
    bool reverse = node_int(r->node, ATTR_REVERSE);
    struct arena a;
    arena_init(&a, r->c);
    struct ref_tensor *in = body_inputs(r, &a, 0, f->nparam), *out = arena_array(&a, (size_t)r->nout + 1, sizeof *out);
    tsr_status s = in && out ? TSR_OK : TSR_ENOMEM;
    if (!s && ncarry) memcpy(in, r->in, (size_t)ncarry * sizeof *in);
    for (int64_t t = 0; !s && t < trips; t++) s = scan_turn(r, &a, reverse ? trips - 1 - t : t, ncarry, in, out);
    for (int i = 0; !s && i < ncarry; i++) deliver(&r->out[i], &in[i]);
    arena_release(&a);
    return s;
}

/* ---- samplers ---------------------------------------------------------------------------------------------------- */

static tsr_node *scaled(tsr_ctx *c, tsr_node *x, double f) {
    return tsr_is_poison(x) || !(dtype_is_float(x->type->dtype) || dtype_is_complex(x->type->dtype)) ? x
        : tsr_prim2(c, TSR_S_MUL, x, rule_full_like(c, x, f));
}

/* A smooth fn of two tensors of one type that also reads one from outside. */
static tsr_fn *sample_body(tsr_ctx *c, const char *name, const tsr_type *t, tsr_node *outside, int nresult, double f) {
    if (tsr_fn_begin(c, name) != TSR_OK) return NULL;
    tsr_node *x = tsr_param(c, t, "x"), *y = tsr_param(c, t, "y");
    tsr_node *sum = tsr_prim2(c, TSR_S_ADD, scaled(c, x, f), outside);
    tsr_node *out[2] = {tsr_prim2(c, TSR_S_ADD, sum, scaled(c, tsr_prim2(c, TSR_S_MUL, x, y), 0.1)),
        tsr_prim2(c, TSR_S_MUL, sum, y)};
    return tsr_fn_end(c, nresult, out);
}

/* A fn whose one op is `make_op` over two parameters x, y and a captured z. */
static tsr_fn *sample_with(tsr_ctx *c, struct sample *s, const char *name, bool scanned,
                           tsr_node *(*make_op)(tsr_ctx *, struct sample *, tsr_node *, tsr_node *, tsr_node *)) {
    int64_t dim[4];
    int rank = (int)sample_int(s, 0, 2);
    tsr_node *out[4];
    if (tsr_fn_begin(c, name) != TSR_OK) return NULL;
    sample_dims(s, rank, dim + 1);
    dim[0] = sample_int(s, 0, 4);
    tsr_node *x = sample_param(c, s->dtype, rank, dim + 1);
    tsr_node *y = sample_param(c, s->dtype, rank + scanned, dim + !scanned);
    tsr_node *z = sample_param(c, s->dtype, rank, dim + 1);
    tsr_node *t = make_op(c, s, x, y, z);
    int n = tsr_is_poison(t) ? 1 : type_results(t->type);
    for (int i = 0; i < n; i++) out[i] = tsr_is_poison(t) ? t : t->type->kind == TSR_TUPLE ? tsr_item(c, t, i) : t;
    return tsr_fn_end(c, n, out);
}

static tsr_node *sampled_scan(tsr_ctx *c, struct sample *s, tsr_node *x, tsr_node *y, tsr_node *z) {
    tsr_fn *body = tsr_is_poison(x) ? NULL : sample_body(c, "turn", x->type, z, 2, 0.7);
    tsr_node *t = body ? tsr_prim_scan(c, body, 1, &x, 1, &y, tsr_node_extent(y, 0), sample_int(s, 0, 1))
        : tsr_poison(c);
    tsr_fn_free(c, body);
    return t;
}
static tsr_fn *scan_sample(tsr_ctx *c, struct sample *s) { return sample_with(c, s, "scan", true, sampled_scan); }

static tsr_node *sampled_cond(tsr_ctx *c, struct sample *s, tsr_node *x, tsr_node *y, tsr_node *z) {
    int n = (int)sample_int(s, 1, 3);
    tsr_fn *branch[3] = {NULL};
    tsr_node *t = tsr_poison(c), *arg[2] = {x, y};
    bool ok = !tsr_is_poison(x);
    for (int b = 0; ok && b < n; b++) ok = (branch[b] = sample_body(c, "branch", x->type, z, 2, 0.5 + b)) != NULL;
    tsr_node *index = n == 2 && sample_int(s, 0, 1) ? tsr_scalar_int(c, TSR_BOOL, sample_int(s, 0, 1))
        : tsr_scalar_int(c, TSR_I32, sample_int(s, -1, n));
    if (ok) t = tsr_prim_cond(c, index, n, branch, 2, arg);
    for (int b = 0; b < n; b++) tsr_fn_free(c, branch[b]);
    return t;
}
static tsr_fn *cond_sample(tsr_ctx *c, struct sample *s) { return sample_with(c, s, "cond", false, sampled_cond); }

/* i < turns */
static tsr_fn *sample_test(tsr_ctx *c, const tsr_type *t, int64_t turns) {
    if (tsr_fn_begin(c, "test") != TSR_OK) return NULL;
    tsr_node *i = tsr_param(c, tsr_type_dims(c, TSR_I32, 0, NULL), "i");
    tsr_param(c, t, "x");
    tsr_node *p = tsr_prim2(c, TSR_S_LT, i, tsr_scalar_int(c, TSR_I32, turns));
    return tsr_fn_end(c, 1, &p);
}

static tsr_fn *sample_step(tsr_ctx *c, const tsr_type *t, tsr_node *y, tsr_node *z) {
    if (tsr_fn_begin(c, "step") != TSR_OK) return NULL;
    tsr_node *i = tsr_param(c, tsr_type_dims(c, TSR_I32, 0, NULL), "i"), *x = tsr_param(c, t, "x");
    x = tsr_prim2(c, TSR_S_ADD, scaled(c, tsr_prim2(c, TSR_S_MUL, x, y), 0.3), z);
    return tsr_fn_end(c, 2, (tsr_node *[]){tsr_prim2(c, TSR_S_ADD, i, tsr_scalar_int(c, TSR_I32, 1)), x});
}

static tsr_node *sampled_while(tsr_ctx *c, struct sample *s, tsr_node *x, tsr_node *y, tsr_node *z) {
    int64_t turns = sample_int(s, 0, 4);
    tsr_node *t = tsr_poison(c), *init[2] = {tsr_scalar_int(c, TSR_I32, 0), x};
    tsr_fn *test = tsr_is_poison(x) ? NULL : sample_test(c, x->type, turns), *body = test
        ? sample_step(c, x->type, y, z) : NULL;
    if (body) t = tsr_prim_while(c, test, body, 2, init, turns + sample_int(s, 1, 2));
    tsr_fn_free(c, test);
    tsr_fn_free(c, body);
    return t;
}
static tsr_fn *while_sample(tsr_ctx *c, struct sample *s) { return sample_with(c, s, "while", false, sampled_while); }

static tsr_node *sampled_call(tsr_ctx *c, struct sample *s, tsr_node *x, tsr_node *y, tsr_node *z) {
    int n = (int)sample_int(s, 1, 2);
    tsr_fn *f = tsr_is_poison(x) ? NULL : sample_body(c, "callee", x->type, z, n, 0.5);
    tsr_node *t = f ? make(c, TSR_OP_CALL, 2, (tsr_node *[]){x, y}, 1, &f, 0, NULL) : tsr_poison(c);
    tsr_fn_free(c, f);
    return t;
}
static tsr_fn *call_sample(tsr_ctx *c, struct sample *s) { return sample_with(c, s, "call", false, sampled_call); }

#define CONTROL .cls = OP_CONTROL, .arity = -1, .domain = "fiuc", .vjp = vjp_higher, .vmap = vmap_higher
const struct op_def op_CALL = {
    .name = "call", .formula = "the results of a fn", .spec = "StableHLO func.call, composite", CONTROL,
    .infer = call_infer,
    .ref = ref_by_interpreter, .sample = call_sample,
};
const struct op_def op_WHILE = {
    .name = "while", .formula = "carry = body(carry) as long as cond(carry)", .spec = "StableHLO while", CONTROL,
    .infer = while_infer,
    .ref = while_ref, .sample = while_sample,
};
const struct op_def op_COND = {
    .name = "cond", .formula = "branch[index](args); an index out of range takes the last branch",
    .spec = "StableHLO case, if", CONTROL,
    .infer = cond_infer, .ref = cond_ref, .sample = cond_sample,
};
const struct op_def op_SCAN = {
    .name = "scan", .formula = "(carry, y[t]) = body(carry, x[t])", .spec = "JAX lax.scan", CONTROL,
    .infer = scan_infer, .ref = scan_ref,
    .sample = scan_sample,
};
