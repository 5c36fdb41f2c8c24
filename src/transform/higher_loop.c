/* higher_loop.c: scan and while under gradients, tangents and batches.
 *
 * Sources of a scan: carries, scanned values, then the body's captures. Its gradient is a scan the other way: the
 * forward scan also gives its carries at the start of each turn, and turn t of the backward scan computes turn t of
 * the body again from them (so what is kept is the carries alone), pulls the cotangents back through it, and adds up
 * those of the captures. When the fn around is transformed, its scans are replayed in the saving form to begin with,
 * so the forward scan runs once.
 *
 * Sources of a while: carries, the condition's captures, the body's captures. With a bound on its turns it has a
 * gradient: that of a scan of so many turns, each of which takes the body or, once the condition has failed, nothing
 * (a cond, not a select: a body evaluated past its end might divide by zero, and 0 * inf poisons a gradient). Forward
 * mode needs no bound.
 *
 * Batching: a carry is batched when its start or what a turn makes of it is: the least fixed point. A while whose
 * condition differs between examples runs until all are done; those that are keep their carries. */
#include "transform/transform.h"

/* A scan taken apart. Shapes of the arrays: carry (nc), xs (nx), capture (ncap), ys (ny). */
struct scan {
    tsr_fn *body;
    int nc, nx, ncap, ny;
    const tsr_extent *trips;
    bool reverse;
};

static struct scan scan_of(const tsr_node *n) {
    tsr_fn *f = n->fn[0];
    int nc = (int)node_int(n, ATTR_CARRY);
    return (struct scan){f, nc, f->nparam - nc, (int)f->param.n - f->nparam, f->nresult - nc,
        node_exts(n, ATTR_TRIPS, NULL)[0],
                         node_int_or(n, ATTR_REVERSE, 0) != 0};
}

static const tsr_type *body_param(const tsr_fn *f, int i) { return f->param.v[i].node->type; }

static bool add_params(tsr_ctx *c, const tsr_fn *f, int first, int n, tsr_node **out) {
    for (int i = 0; i < n; i++)
        if (tsr_is_poison(out[i] = tsr_param(c, body_param(f, first + i), param_name(f, first + i)))) return false;
    return true;
}

/* The scan with this body, which is the callee's to free; NULL body: an error is recorded. */
static tsr_node *scan_take(tsr_ctx *c, tsr_fn *body, int nc, tsr_node *const *carry, int nx, tsr_node *const *xs,
                           const tsr_extent *trips, bool reverse) {
    tsr_node *n = body ? tsr_prim_scan(c, body, nc, carry, nx, xs, trips, reverse) : tsr_poison(c);
    tsr_fn_free(c, body);
    return n;
}

/* ---- saving carries ---- */

/* Which y of the scan is carry i at the start of the turn; -1: none. */
static int saved_as(const struct scan *s, int i) {
    for (int k = 0; k < s->ny; k++)
        if (s->body->result.v[s->nc + k] == s->body->param.v[i].node) return k;
    return -1;
}

tsr_node *scan_saving(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    struct scan s = scan_of(n);
    int np = s.nc + s.nx, missing = 0;
    bool any = false;
    for (int i = 0; i < n->nsrc; i++) any |= !tsr_is_poison(src[i]) && node_differentiable(src[i]);
    for (int i = 0; i < s.nc; i++) missing += saved_as(&s, i) < 0;
    if (!any || !missing) return node_rebuild(c, n, src);
    struct arena mem;
    arena_init(&mem, c);
    tsr_node **arg = arena_array(&mem, (size_t)(np + s.ncap + s.body->nresult + s.nc + 1), sizeof *arg),
        *made = tsr_poison(c);
    if (!arg || !begin_named(c, "saving", s.body)) goto out;
    tsr_node **out = arg + np + s.ncap;
    add_params(c, s.body, 0, np, arg);
    memcpy(arg + np, src + np, (size_t)s.ncap * sizeof *arg);
    fn_splice(c, s.body, arg, out, NULL);
    int nr = s.body->nresult;
    for (int i = 0; i < s.nc; i++)
        if (saved_as(&s, i) < 0) out[nr++] = arg[i];
    made = scan_take(c, tsr_fn_end(c, nr, out), s.nc, src, s.nx, src + s.nc, s.trips, s.reverse);
out:
    arena_release(&mem);
    return made;
}

/* The carries at the start of each turn, stacked: from n itself when it gives them, else from a scan that does. */
static bool saved_carries(tsr_ctx *c, tsr_node *n, tsr_node **saved) {
    tsr_node *all = scan_saving(c, n, n->src);
    if (tsr_is_poison(all)) return false;
    struct scan s = scan_of(all);
    for (int i = 0; i < s.nc; i++)
        if (tsr_is_poison(saved[i] = node_result(c, all, s.nc + saved_as(&s, i)))) return false;
    return true;
}

/* ---- scan: reverse mode ---- */

/* The backward scan of one scan. carry: cotangents of float carries, sums for wanted captures; xs: saved carries, xs,
 * cotangents of float ys. Results: the final carries, cotangents of wanted xs. */
struct backward {
    struct scan s;
    tsr_node *n, *const *gout;
    const bool *want; /* of n's sources */
    bool *by;         /* of the body's parameters: differentiate by it */
    tsr_fn *vjp;
};

/* The body of the backward scan; p: its parameters in order. */
static tsr_fn *backward_body(tsr_ctx *c, struct arena *mem, struct backward *b) {
    const struct scan *s = &b->s;
    int np = s->nc + s->nx, nparam = np + s->ncap, nr = s->body->nresult, k = 0, nout = 0;
    tsr_node **arg = arena_array(mem, (size_t)(nparam + nr + 1), sizeof *arg),
        **grad = arena_array(mem, (size_t)nparam + 1, sizeof *grad);
    tsr_node **sum = arena_array(mem, (size_t)s->ncap + 1, sizeof *sum),
        **out = arena_array(mem, (size_t)nparam + 1, sizeof *out);
    if (!arg || !grad || !sum || !out || !begin_named(c, "backward", s->body)) return NULL;
    tsr_node **cot = arg + nparam;
    for (int i = 0; i < s->nc; i++)
        if (b->by[i]) cot[i] = tsr_param(c, body_param(s->body, i), NULL);
    for (int i = 0; i < s->ncap; i++)
        if (b->by[np + i]) sum[i] = tsr_param(c, body_param(s->body, np + i), NULL);
    add_params(c, s->body, 0, np, arg);
    for (int i = s->nc; i < nr; i++)
        if (node_differentiable(s->body->result.v[i])) cot[i] = tsr_param(c, s->body->result.v[i]->type, NULL);
    for (int i = 0; i < nr; i++) cot[i] = or_zeros(c, cot[i], s->body->result.v[i]->type);
    memcpy(arg + np, b->n->src + np, (size_t)s->ncap * sizeof *arg);
    tsr_fn_inline(c, b->vjp, nparam + nr, arg, grad);
    tsr_node **dx = grad;
    for (int i = 0; i < s->nc; i++)
        if (b->by[i]) out[nout++] = dx[k++];
    int kx = k; /* the vjp gives xs before captures, the scan the other way round */
    for (int i = 0; i < s->nx; i++) k += b->by[s->nc + i];
    for (int i = 0; i < s->ncap; i++)
        if (b->by[np + i]) out[nout++] = add_cotangents(c, sum[i], dx[k++]);
    for (int i = 0; i < s->nx; i++)
        if (b->by[s->nc + i]) out[nout++] = dx[kx++];
    return tsr_fn_end(c, nout, out);
}

static bool run_backward(tsr_ctx *c, struct arena *mem, struct backward *b, tsr_node **gsrc) {
    const struct scan *s = &b->s;
    int np = s->nc + s->nx, ninit = 0, nxs = 0, k = 0;
    tsr_node **init = arena_array(mem, (size_t)(s->nc + s->ncap) + 1, sizeof *init);
    tsr_node **xs = arena_array(mem, (size_t)(np + s->ny) + 1, sizeof *xs);
    if (!init || !xs || !saved_carries(c, b->n, xs)) return false;
    for (int i = 0; i < s->nc; i++)
        if (b->by[i]) init[ninit++] = b->gout[i];
    for (int i = 0; i < s->ncap; i++)
        if (b->by[np + i]) init[ninit++] = rule_zeros(c, b->n->src[np + i]->type);
    memcpy(xs + s->nc, b->n->src + s->nc, (size_t)s->nx * sizeof *xs);
    nxs = np;
    for (int i = s->nc; i < s->body->nresult; i++)
        if (node_differentiable(s->body->result.v[i])) xs[nxs++] = b->gout[i];
    tsr_node *back = scan_take(c, backward_body(c, mem, b), ninit, init, nxs, xs, s->trips, !s->reverse);
    if (tsr_is_poison(back)) return false;
    for (int i = 0; i < s->nc; i++) {
        if (!b->by[i]) continue;
        if (b->want[i]) gsrc[i] = node_result(c, back, k);
        k++;
    }
    for (int i = 0; i < s->ncap; i++)
        if (b->by[np + i]) gsrc[np + i] = node_result(c, back, k++);
    for (int i = 0; i < s->nx; i++)
        if (b->by[s->nc + i]) gsrc[s->nc + i] = node_result(c, back, k++);
    return true;
}

bool scan_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    struct backward b = {.s = scan_of(n), .n = n, .gout = gout, .want = want};
    struct arena mem;
    arena_init(&mem, c);
    b.by = arena_array(&mem, (size_t)n->nsrc + 1, sizeof *b.by);
    for (int i = 0; b.by && i < n->nsrc; i++) b.by[i] = i < b.s.nc ? type_differentiable(body_param(b.s.body, i)) :
        want[i];
    bool ok = b.by && (b.vjp = closed_vjp(c, b.s.body, b.by)) && run_backward(c, &mem, &b, gsrc);
    arena_release(&mem);
    return ok;
}

/* ---- scan: forward mode ---- */

/* The body on pairs: carries and their tangents, xs and theirs; with: of the body's parameters. */
static tsr_fn *tangent_body(tsr_ctx *c, struct arena *mem, const struct scan *s, tsr_node *const *src,
                            tsr_node *const *t, const bool *with) {
    int np = s->nc + s->nx, nparam = np + s->ncap, nr = s->body->nresult, nout = 0, nt = 0;
    tsr_node **arg = arena_array(mem, (size_t)(2 * nparam + 1), sizeof *arg),
        **tan = arena_array(mem, (size_t)nparam + 1, sizeof *tan);
    tsr_node **res = arena_array(mem, (size_t)(4 * nr + 1), sizeof *res), **out = res + 2 * nr;
    tsr_fn *j = closed_jvp(c, s->body, with);
    if (!arg || !tan || !res || !j || !begin_named(c, "tangent", s->body)) return NULL;
    add_params(c, s->body, 0, s->nc, arg);
    for (int i = 0; i < s->nc; i++)
        if (with[i]) tan[i] = tsr_param(c, body_param(s->body, i), NULL);
    add_params(c, s->body, s->nc, s->nx, arg + s->nc);
    for (int i = s->nc; i < np; i++)
        if (with[i]) tan[i] = tsr_param(c, body_param(s->body, i), NULL);
    for (int i = np; i < nparam; i++) arg[i] = src[i], tan[i] = t[i];
    for (int i = 0; i < nparam; i++)
        if (with[i]) arg[nparam + nt++] = tan[i];
    tsr_fn_inline(c, j, nparam + nt, arg, res);
    for (int from = 0, to = s->nc; from < nr; from = to, to = nr) { /* carries and their tangents, then ys and theirs */
        for (int i = from; i < to; i++) out[nout++] = res[i];
        for (int i = from; i < to; i++)
            if (node_differentiable(s->body->result.v[i])) out[nout++] = res[nr + i];
        if (to == nr) break;
    }
    return tsr_fn_end(c, nout, out);
}

bool scan_jvp(tsr_ctx *c, tsr_node *n, tsr_node *const *src, tsr_node *const *t, tsr_node **out, tsr_node **tout) {
    struct scan s = scan_of(n);
    struct arena mem;
    arena_init(&mem, c);
    int np = s.nc + s.nx, ninit = 0, nxs = 0, k = 0;
    bool *with = arena_array(&mem, (size_t)n->nsrc + 1, sizeof *with), ok = false;
    tsr_node **init = arena_array(&mem, (size_t)(4 * n->nsrc + 1), sizeof *init), **xs = init + 2 * n->nsrc;
    if (!with || !init) goto out;
    for (int i = 0; i < n->nsrc; i++) with[i] = i < s.nc ? node_differentiable(src[i]) : t[i] != NULL;
    for (int i = 0; i < s.nc; i++) init[ninit++] = src[i];
    for (int i = 0; i < s.nc; i++)
        if (with[i]) init[ninit++] = or_zeros(c, t[i], src[i]->type);
    for (int i = s.nc; i < np; i++) xs[nxs++] = src[i];
    for (int i = s.nc; i < np; i++)
        if (with[i]) xs[nxs++] = t[i];
    tsr_node *scan = scan_take(c, tangent_body(c, &mem, &s, src, t, with), ninit, init, nxs, xs, s.trips, s.reverse);
    if (!(ok = !tsr_is_poison(scan))) goto out;
    for (int from = 0, to = s.nc;; from = to, to = s.body->nresult) {
        for (int i = from; i < to; i++) out[i] = node_result(c, scan, k++);
        for (int i = from; i < to; i++)
            if (node_differentiable(s.body->result.v[i])) tout[i] = node_result(c, scan, k++);
        if (to == s.body->nresult) break;
    }
out:
    arena_release(&mem);
    return ok;
}

/* ---- scan: batching ---- */

/* The least set of batched carries: flag[0..n) starts as the batched initial values, flag past n are the other
 * parameters'. */
static bool batched_carries(tsr_ctx *c, struct arena *mem, const tsr_fn *body, int n, bool *flag) {
    bool *out = arena_array(mem, body->result.n + 1, sizeof *out), grew = out != NULL;
    while (grew) {
        if (!batched_results(c, body, flag, out)) return false;
        grew = false;
        for (int i = 0; i < n; i++)
            if (out[i] && !flag[i]) flag[i] = grew = true;
    }
    return out != NULL;
}

static tsr_node *lane_param(tsr_ctx *c, const tsr_fn *f, int i, bool batched, const tsr_extent *size) {
    const tsr_type *t = body_param(f, i);
    return tsr_param(c, batched ? type_insert_axis(c, t, 0, size) : t, param_name(f, i));
}

static tsr_node *swap_front(tsr_ctx *c, tsr_node *x) { /* (B, T, ...) <-> (T, B, ...) */
    if (tsr_is_poison(x)) return x;
    int64_t perm[TSR_MAX_RANK] = {1, 0};
    for (int i = 2; i < x->type->rank; i++) perm[i] = i;
    return tsr_prim_transpose(c, x, perm);
}

static tsr_fn *batched_body(tsr_ctx *c, struct arena *mem, const struct scan *s, tsr_node *const *src, const bool *flag,
                            const tsr_extent *size) {
    int np = s->nc + s->nx, nr = s->body->nresult;
    tsr_node **arg = arena_array(mem, (size_t)(np + s->ncap + nr + 1), sizeof *arg), **out = arg + np + s->ncap;
    bool *got = arena_array(mem, (size_t)nr + 1, sizeof *got);
    if (!arg || !got || !begin_named(c, "vmap", s->body)) return NULL;
    for (int i = 0; i < np; i++) arg[i] = lane_param(c, s->body, i, flag[i], size);
    memcpy(arg + np, src + np, (size_t)s->ncap * sizeof *arg);
    vmap_replay(c, s->body, arg, flag, size, out, got);
    for (int i = 0; i < nr; i++)
        if (i >= s->nc || flag[i]) out[i] = rule_batch(c, out[i], got[i], size);
    return tsr_fn_end(c, nr, out);
}

bool scan_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size,
               tsr_node **out) {
    struct scan s = scan_of(n);
    struct arena mem;
    arena_init(&mem, c);
    bool *flag = arena_array(&mem, (size_t)n->nsrc + 1, sizeof *flag), ok = false;
    tsr_node **in = arena_array(&mem, (size_t)n->nsrc + 1, sizeof *in);
    if (!flag || !in) goto out;
    memcpy(flag, batched, (size_t)n->nsrc * sizeof *flag);
    if (!batched_carries(c, &mem, s.body, s.nc, flag)) goto out;
    for (int i = 0; i < s.nc; i++) in[i] = flag[i] ? rule_batch(c, src[i], batched[i], size) : src[i];
    for (int i = s.nc; i < s.nc + s.nx; i++) in[i] = flag[i] ? swap_front(c, src[i]) : src[i];
    tsr_node *scan = scan_take(c, batched_body(c, &mem, &s, src, flag, size), s.nc, in, s.nx, in + s.nc, s.trips,
                               s.reverse);
    if (!(ok = !tsr_is_poison(scan))) goto out;
    for (int i = 0; i < s.body->nresult; i++) {
        tsr_node *r = node_result(c, scan, i);
        out[i] = i >= s.nc ? swap_front(c, r) : rule_batch(c, r, flag[i], size);
        ok &= !tsr_is_poison(out[i]);
    }
out:
    arena_release(&mem);
    return ok;
}

/* ---- while ---- */

/* Sources of a while: carries, captures of cond, captures of body. */
struct loop {
    tsr_fn *cond, *body;
    int nc, ncc, nbc; /* carries, captures of cond, of body */
    int64_t trips;
};

static struct loop loop_of(const tsr_node *n) {
    tsr_fn *cond = n->fn[0], *body = n->fn[1];
    int64_t trips = 0;
    if (node_attr(n, ATTR_TRIPS)) tsr_extent_is_int(node_exts(n, ATTR_TRIPS, NULL)[0], &trips);
    return (struct loop){cond, body, body->nparam, (int)cond->param.n - cond->nparam, (int)body->param.n - body->nparam,
        trips};
}

/* Splice one of the while's fns on carries and its own captures. */
static bool on_carry(tsr_ctx *c, const tsr_fn *f, int nc, tsr_node *const *carry, tsr_node *const *capture,
                     tsr_node **out) {
    tsr_node **arg = mem_array(c, f->param.n + 1, sizeof *arg);
    if (!arg) return false;
    memcpy(arg, carry, (size_t)nc * sizeof *arg);
    memcpy(arg + nc, capture, (f->param.n - (size_t)nc) * sizeof *arg);
    fn_splice(c, f, arg, out, NULL);
    mem_array_free(c, arg, f->param.n + 1, sizeof *arg);
    return true;
}

/* One turn: cond(carry) ? body(carry) : carry. */
static tsr_fn *guarded_turn(tsr_ctx *c, struct arena *mem, const struct loop *l, tsr_node *const *src) {
    tsr_node **p = arena_array(mem, (size_t)(2 * l->nc) + 1, sizeof *p), **out = p + l->nc, *pred = tsr_poison(c);
    tsr_fn *branch[2] = {NULL, NULL}, *made = NULL;
    if (!p || !begin_named(c, "turn", l->body)) return NULL;
    add_params(c, l->body, 0, l->nc, p);
    on_carry(c, l->cond, l->nc, p, src + l->nc, &pred);
    if (begin_named(c, "done", l->body)) branch[0] = tsr_fn_end(c, l->nc, p);
    if (begin_named(c, "turn", l->body)) {
        for (int i = 0; i < l->nc; i++) out[i] = tsr_poison(c);
        on_carry(c, l->body, l->nc, p, src + l->nc + l->ncc, out);
        branch[1] = tsr_fn_end(c, l->nc, out);
    }
    tsr_node *next = branch[0] && branch[1] ? tsr_prim_cond(c, pred, 2, branch, 0, NULL) : tsr_poison(c);
    for (int i = 0; i < l->nc; i++) out[i] = node_result(c, next, i);
    made = tsr_fn_end(c, l->nc, out);
    tsr_fn_free(c, branch[0]), tsr_fn_free(c, branch[1]);
    return made;
}

tsr_node *while_as_scan(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    struct loop l = loop_of(n);
    struct arena mem;
    arena_init(&mem, c);
    tsr_node *plain = scan_take(c, guarded_turn(c, &mem, &l, src), l.nc, src, 0, NULL,
                                node_exts(n, ATTR_TRIPS, NULL)[0], false);
    arena_release(&mem);
    return tsr_is_poison(plain) ? plain : scan_saving(c, plain, plain->src);
}

bool while_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (!node_attr(n, ATTR_TRIPS))
        return err_set(c, TSR_EUNSUPPORTED,
                       "gradient of a while loop of unknown length: what it computed on the way is not kept; give it "
                       "an "
                       "upper bound of turns (tsr_prim_while's trips), or use tsr_prim_scan, or forward mode "
                       "(tsr_jvp)"), false;
    int nr = node_results(n);
    tsr_node **res = mem_array(c, (size_t)nr + 1, sizeof *res), *scan = res ? while_as_scan(c, n, n->src) : NULL;
    bool ok = !tsr_is_poison(scan);
    for (int i = 0; ok && i < nr; i++) ok = !tsr_is_poison(res[i] = node_result(c, scan, i));
    ok = ok && vjp_by_rewriting(c, n, res, gout, want, gsrc);
    mem_array_free(c, res, (size_t)nr + 1, sizeof *res);
    return ok;
}

/* Carries and the tangents of the float ones; the condition looks at the carries alone. */
bool while_jvp(tsr_ctx *c, tsr_node *n, tsr_node *const *src, tsr_node *const *t, tsr_node **out, tsr_node **tout) {
    struct loop l = loop_of(n);
    struct arena mem;
    arena_init(&mem, c);
    int nb = l.nc + l.nbc, at = l.nc + l.ncc, nt = 0, k = l.nc;
    bool *with = arena_array(&mem, (size_t)nb + 1, sizeof *with), ok = false;
    tsr_node **init = arena_array(&mem, (size_t)(6 * nb + 1), sizeof *init), **p = init + 2 * nb, **res = p + 2 * nb;
    tsr_fn *cond = NULL, *body = NULL, *j = NULL;
    if (!with || !init) goto out;
    for (int i = 0; i < nb; i++) with[i] = i < l.nc ? node_differentiable(src[i]) : t[at + i - l.nc] != NULL;
    memcpy(init, src, (size_t)l.nc * sizeof *init);
    for (int i = 0; i < l.nc; i++)
        if (with[i]) init[k++] = or_zeros(c, t[i], src[i]->type);
    if (!(j = closed_jvp(c, l.body, with)) || !begin_named(c, "tangent", l.cond)) goto out;
    for (int i = 0; i < k; i++) p[i] = tsr_param(c, init[i]->type, NULL);
    tsr_node *pred = tsr_poison(c);
    on_carry(c, l.cond, l.nc, p, src + l.nc, &pred);
    if (!(cond = tsr_fn_end(c, 1, &pred)) || !begin_named(c, "tangent", l.body)) goto out;
    for (int i = 0; i < l.nc; i++) p[i] = tsr_param(c, init[i]->type, NULL);
    for (int i = l.nc; i < k; i++) p[nb + nt++] = tsr_param(c, init[i]->type, NULL);
    for (int i = 0; i < l.nbc; i++) {
        p[l.nc + i] = src[at + i];
        if (with[l.nc + i]) p[nb + nt++] = t[at + i];
    }
    tsr_fn_inline(c, j, nb + nt, p, res);
    for (int i = 0, m = l.nc; i < l.nc; i++) /* results, then the tangents of the float ones */
        if (with[i]) res[m++] = res[l.nc + i];
    if (!(body = tsr_fn_end(c, k, res))) goto out;
    tsr_node *loop = tsr_prim_while(c, cond, body, k, init, l.trips);
    ok = !tsr_is_poison(loop);
    for (int i = 0, m = l.nc; ok && i < l.nc; i++) {
        out[i] = node_result(c, loop, i);
        if (with[i]) tout[i] = node_result(c, loop, m++);
    }
out:
    tsr_fn_free(c, cond), tsr_fn_free(c, body);
    arena_release(&mem);
    return ok;
}

/* A batched while in the making. flag: carries, then captures of cond, then of body. */
struct batched_loop {
    struct loop l;
    tsr_node *const *src;
    bool *flag, each; /* each: the condition differs between examples */
    const tsr_extent *size;
};

static tsr_node *batched_pred(tsr_ctx *c, struct arena *mem, const struct batched_loop *b, tsr_node *const *carry) {
    const struct loop *l = &b->l;
    tsr_node **arg = arena_array(mem, (size_t)(l->nc + l->ncc) + 1, sizeof *arg), *pred = tsr_poison(c);
    bool got = false;
    if (!arg) return pred;
    memcpy(arg, carry, (size_t)l->nc * sizeof *arg);
    memcpy(arg + l->nc, b->src + l->nc, (size_t)l->ncc * sizeof *arg);
    vmap_replay(c, l->cond, arg, b->flag, b->size, &pred, &got);
    return b->each ? rule_batch(c, pred, got, b->size) : pred;
}

static tsr_fn *batched_cond(tsr_ctx *c, struct arena *mem, const struct batched_loop *b) {
    tsr_node **p = arena_array(mem, (size_t)b->l.nc + 1, sizeof *p);
    if (!p || !begin_named(c, "vmap", b->l.cond)) return NULL;
    for (int i = 0; i < b->l.nc; i++) p[i] = lane_param(c, b->l.body, i, b->flag[i], b->size);
    tsr_node *pred = batched_pred(c, mem, b, p);
    if (b->each && !tsr_is_poison(pred)) pred = tsr_prim_reduce(c, pred, TSR_REDUCE_OR, 1, (int64_t[]){0});
    return tsr_fn_end(c, 1, &pred);
}

static tsr_fn *batched_turn(tsr_ctx *c, struct arena *mem, const struct batched_loop *b) {
    const struct loop *l = &b->l;
    tsr_node **arg = arena_array(mem, (size_t)(2 * l->nc + l->nbc) + 1, sizeof *arg), **out = arg + l->nc + l->nbc;
    bool *flag = arena_array(mem, (size_t)(2 * l->nc + l->nbc) + 1, sizeof *flag), *got = flag + l->nc + l->nbc;
    if (!arg || !flag || !begin_named(c, "vmap", l->body)) return NULL;
    for (int i = 0; i < l->nc; i++) arg[i] = lane_param(c, l->body, i, flag[i] = b->flag[i], b->size);
    memcpy(arg + l->nc, b->src + l->nc + l->ncc, (size_t)l->nbc * sizeof *arg);
    memcpy(flag + l->nc, b->flag + l->nc + l->ncc, (size_t)l->nbc * sizeof *flag);
    vmap_replay(c, l->body, arg, flag, b->size, out, got);
    tsr_node *pred = b->each ? batched_pred(c, mem, b, arg) : NULL;
    for (int i = 0; i < l->nc; i++) {
        if (b->flag[i]) out[i] = rule_batch(c, out[i], got[i], b->size);
        if (!pred || tsr_is_poison(pred) || tsr_is_poison(out[i])) continue;
        tsr_node *mask = tsr_prim_broadcast(c, pred, type_with_dtype(c, out[i]->type, TSR_BOOL), (int64_t[]){0});
        out[i] = tsr_prim3(c, TSR_S_SELECT, mask, out[i], arg[i]);
    }
    return tsr_fn_end(c, l->nc, out);
}

/* Which carries are batched, and whether the condition is. */
static bool flag_loop(tsr_ctx *c, struct arena *mem, struct batched_loop *b) {
    const struct loop *l = &b->l;
    bool *flag = arena_array(mem, (size_t)(l->nc + l->nbc) + 1, sizeof *flag);
    if (!flag) return false;
    memcpy(flag, b->flag, (size_t)l->nc * sizeof *flag);
    memcpy(flag + l->nc, b->flag + l->nc + l->ncc, (size_t)l->nbc * sizeof *flag);
    if (!batched_carries(c, mem, l->body, l->nc, flag)) return false;
    memcpy(b->flag, flag, (size_t)l->nc * sizeof *flag);
    if (!batched_results(c, l->cond, b->flag, &b->each)) return false;
    for (int i = 0; i < l->nc; i++) b->flag[i] |= b->each;
    return true;
}

bool while_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size,
                tsr_node **out) {
    struct batched_loop b = {.l = loop_of(n), .src = src, .size = size};
    struct arena mem;
    arena_init(&mem, c);
    int nc = b.l.nc;
    tsr_node **init = arena_array(&mem, (size_t)nc + 1, sizeof *init);
    tsr_fn *cond = NULL, *body = NULL;
    bool ok = false;
    if (!init || !(b.flag = arena_array(&mem, (size_t)n->nsrc + 1, sizeof *b.flag))) goto out;
    memcpy(b.flag, batched, (size_t)n->nsrc * sizeof *b.flag);
    if (!flag_loop(c, &mem, &b)) goto out;
    for (int i = 0; i < nc; i++) init[i] = b.flag[i] ? rule_batch(c, src[i], batched[i], size) : src[i];
    if (!(cond = batched_cond(c, &mem, &b)) || !(body = batched_turn(c, &mem, &b))) goto out;
    tsr_node *loop = tsr_prim_while(c, cond, body, nc, init, b.l.trips);
    ok = !tsr_is_poison(loop);
    for (int i = 0; ok && i < nc; i++) ok = !tsr_is_poison(out[i] = rule_batch(c, node_result(c, loop, i), b.flag[i],
            size));
out:
    tsr_fn_free(c, cond), tsr_fn_free(c, body);
    arena_release(&mem);
    return ok;
}
