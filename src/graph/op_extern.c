/* op_extern.c: ops whose computation is the caller's: a function of the host, and a tile program.
 *
 * Neither has a gradient rule (the fn around it may be given one, tsr_fn_set_vjp). Under vmap both run once for each
 * example: the batching rule is a scan whose body is the op on one example. A host call is never merged with an equal
 * one, since the library cannot know that two functions with one address and one user pointer are one. */
#include "graph/axes.h"
#include "graph/ref.h"

enum { RESULTS_MAX = 64 };

/* The type of n results: itself when there is one, else a tuple. NULL with an error when one is no plain tensor. */
static const tsr_type *results_type(tsr_ctx *c, const char *op, int n, const tsr_type *const *t) {
    if (n < 1 || n > RESULTS_MAX)
        return err_set(c, TSR_EINVAL, "%s: %d results; it gives 1 to %d", op, n, RESULTS_MAX), NULL;
    for (int i = 0; i < n; i++)
        if (!t[i] || !axes_is_tensor(c, op, t[i])) return NULL;
    return n == 1 ? t[0] : tsr_type_tuple(c, n, t);
}

/* One example after the other: a scan without carries over the batched sources. */
static tsr_node *vmap_by_scan(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                              const tsr_extent *size) {
    tsr_node *xs[RESULTS_MAX], *one[RESULTS_MAX], *out[RESULTS_MAX], *y;
    int nx = 0, results = type_results(n->type);
    if (n->nsrc > RESULTS_MAX) return vmap_none(c, n, src, batched, size);
    if (tsr_fn_begin(c, op_name((enum tsr_op)n->op)) != TSR_OK) return tsr_poison(c);
    for (int i = 0; i < n->nsrc; i++) {
        if (batched[i]) xs[nx++] = src[i];
        one[i] = batched[i] ? tsr_param(c, n->src[i]->type, "x") : src[i];
    }
    y = node_rebuild(c, n, one);
    for (int i = 0; i < results; i++)
        out[i] = tsr_is_poison(y) || y->type->kind != TSR_TUPLE ? y : tsr_item(c, y, i);
    tsr_fn *body = tsr_fn_end(c, results, out);
    tsr_node *all = body ? tsr_prim_scan(c, body, 0, NULL, nx, xs, size, false) : tsr_poison(c);
    tsr_fn_free(c, body);
    return n->type->kind == TSR_TUPLE || tsr_is_poison(all) ? all : tsr_item(c, all, 0);
}

/* ---- host_call --------------------------------------------------------------------------------------------------- */

static const tsr_type *host_infer(tsr_ctx *c, const struct draft *d) {
    if (!draft_attr(d, ATTR_HOST)->host.fn)
        return err_set(c, TSR_EINVAL, "host call \"%s\": the function is NULL", draft_attr(d, ATTR_NAME)->str), NULL;
    for (int i = 0; i < d->nsrc; i++)
        if (!axes_is_tensor(c, "host call", d->src[i]->type)) return NULL;
    return d->want;
}

tsr_node *tsr_prim_host_call(tsr_ctx *c, const char *name, tsr_host_callback *fn, void *user, int n, tsr_node *const *x,
                             int nout, const tsr_type *const *out) {
    struct attr a[] = {attr_str(ATTR_NAME, name ? name : "host"), {.key = ATTR_HOST, .host = {fn, user}}};
    const tsr_type *want = results_type(c, "host call", nout, out);
    if (!want || axes_poison(n, x)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_HOST_CALL, .nsrc = n, .src = x, .nattr = 2, .attr = a,
        .want = want});
}

static tsr_status host_ref(struct ref_call *r) {
    const struct host_call *h = &node_attr(r->node, ATTR_HOST)->host;
    const void **in = mem_array(r->c, (size_t)r->nin + 1, sizeof *in);
    void **out = mem_array(r->c, (size_t)r->nout + 1, sizeof *out);
    tsr_status s = in && out ? TSR_OK : TSR_ENOMEM;
    for (int i = 0; !s && i < r->nin; i++) in[i] = r->in[i].p;
    for (int i = 0; !s && i < r->nout; i++) out[i] = r->out[i].p;
    int code = s ? 0 : h->fn(h->user, r->nin, in, r->nout, out);
    if (code)
        s = err_set(r->c, TSR_ECHECK, "host call \"%s\" failed with code %d", node_attr(r->node, ATTR_NAME)->str, code);
    mem_array_free(r->c, in, (size_t)r->nin + 1, sizeof *in);
    mem_array_free(r->c, out, (size_t)r->nout + 1, sizeof *out);
    return s;
}

/* y = 2 x + 1 over four f32. */
static int twice_and_one(void *user, int nin, const void *const *in, int nout, void *const *out) {
    (void)user, (void)nin, (void)nout;
    for (int i = 0; i < 4; i++) ((float *)out[0])[i] = 2 * ((const float *)in[0])[i] + 1;
    return 0;
}

static tsr_fn *host_sample(tsr_ctx *c, struct sample *s) {
    if (s->dtype != TSR_F32) return NULL;
    s->smooth = false; /* no gradient */
    if (tsr_fn_begin(c, "host_call") != TSR_OK) return NULL;
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 1, (int64_t[]){4});
    tsr_node *x = tsr_param(c, t, "x"), *y = tsr_prim_host_call(c, "twice_and_one", twice_and_one, NULL, 1, &x, 1, &t);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_HOST_CALL = {
    .name = "host_call", .formula = "a pure function of the host", .spec = "StableHLO custom_call", .cls = OP_EXTERN,
    .arity = -1, .domain = "fiubc", .infer = host_infer, .vjp = vjp_none, .vmap = vmap_by_scan, .ref = host_ref,
    .sample = host_sample,
};

/* ---- kernel: a user's tile program ------------------------------------------------------------------------------- */

/* Buffer `at` of the program against the tensor it stands for. */
static bool buffer_fits(tsr_ctx *c, const struct tsr_tile_arg_info *a, int at, bool result, const tsr_type *t) {
    if (!axes_is_tensor(c, "kernel", t)) return false;
    if (a->dtype != t->dtype)
        err_set(c, TSR_EINVAL, "kernel: buffer %d, \"%s\", of the tile program is of %s, the %s for it is %s", at,
                a->name,
                tsr_dtype_name(a->dtype), result ? "result" : "operand", type_text(c, t));
    else if (a->access != (result ? TSR_TILE_OUT : TSR_TILE_IN))
        err_set(c, TSR_EINVAL,
                "kernel: buffer %d, \"%s\", stands for %s, so it must be %s: values are never changed in place", at,
                a->name, result ? "a result" : "an operand", result ? "OUT" : "IN");
    else return true;
    return false;
}

static bool kernel_args_fit(tsr_ctx *c, const struct draft *d, const tsr_tile *p, int scalars) {
    int nout = d->want ? type_results(d->want) : 0, buffers = d->nsrc + nout, b = 0, e = 0, n = tsr_tile_args(p);
    for (int i = 0; i < n; i++) {
        struct tsr_tile_arg_info a = tsr_tile_arg_at(p, i);
        if (!a.is_buf && a.dtype != TSR_I64)
            return err_set(c, TSR_EINVAL, "kernel: scalar \"%s\" of the tile program is %s; extents are passed as i64",
                           a.name,
                           tsr_dtype_name(a.dtype)), false;
        if (!a.is_buf) e++;
        else if (b < buffers && !buffer_fits(c, &a, b, b >= d->nsrc, b < d->nsrc ? d->src[b]->type
                                             : type_result(d->want, b - d->nsrc)))
            return false;
        else b++;
    }
    if (b != buffers || e != scalars)
        return err_set(c, TSR_EINVAL,
                       "kernel: the tile program takes %d buffers and %d scalars; %d operands, %d results and %d "
                       "extents are given",
                       b, e, d->nsrc, nout, scalars), false;
    return true;
}

static const tsr_type *kernel_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_extent *const *grid = draft_attr(d, ATTR_GRID)->exts;
    for (int i = 0; i < 3; i++) {
        int64_t lo, hi;
        tsr_extent_bounds(grid[i], &lo, &hi);
        if (hi < 0)
            return err_set(c, TSR_EINVAL, "kernel: grid axis %d is %s; it cannot be negative", i,
                           extent_text(c, grid[i])), NULL;
    }
    return kernel_args_fit(c, d, draft_attr(d, ATTR_TILE)->tile, (int)draft_attr(d, ATTR_SIZES)->n) ? d->want : NULL;
}

tsr_node *tsr_prim_kernel(tsr_ctx *c, tsr_tile *p, const tsr_extent *const grid[3], int n, tsr_node *const *x,
                          int nscalar,
                          const tsr_extent *const *scalar, int nout, const tsr_type *const *out) {
    if (!p) return err_set(c, TSR_EINVAL, "kernel: the tile program is NULL"), tsr_poison(c);
    if (!tsr_tile_is_finished(p))
        return err_set(c, TSR_EINVAL, "kernel: the tile program is not finished; call tsr_tile_finish first"),
            tsr_poison(c);
    const tsr_type *want = results_type(c, "kernel", nout, out);
    const tsr_extent *launch[3];
    for (int i = 0; i < 3; i++)
        if (!(launch[i] = grid && grid[i] ? grid[i] : tsr_extent_int(c, 1))) return tsr_poison(c);
    for (int i = 0; i < nscalar; i++)
        if (!scalar[i]) return tsr_poison(c);
    struct attr a[] = {attr_exts(ATTR_SIZES, nscalar > 0 ? (size_t)nscalar : 0, scalar),
        attr_exts(ATTR_GRID, 3, launch), {.key = ATTR_TILE, .tile = p}};
    if (!want || axes_poison(n, x)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_KERNEL, .nsrc = n, .src = x, .nattr = 3, .attr = a, .want = want});
}

static tsr_status kernel_ref(struct ref_call *r) {
    return err_set(r->c, TSR_EUNSUPPORTED,
                   "kernel: a tile program is run by the tile VM or a device; the reference interpreter has no second "
                   "meaning for it");
}

const struct op_def op_KERNEL = {
    .name = "kernel", .formula = "a tile program over its grid", .spec = "docs/tile.md", .cls = OP_EXTERN, .arity = -1,
    .domain = "fiubc",
    .infer = kernel_infer, .vjp = vjp_none, .vmap = vmap_by_scan, .ref = kernel_ref, .sample = sample_elsewhere,
};
