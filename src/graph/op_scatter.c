/* op_scatter.c: scatter: windows of an update tensor meet an operand at places that an index tensor names.
 *
 * Dimension numbers are those of StableHLO scatter (gather.h). Updates apply in row-major order of the update
 * tensor, so with SET the last writer of a place wins, whatever the number of threads. A window that does not lie
 * wholly inside the operand is skipped whole (XLA's reading; nothing is clamped). `unique` promises that no two
 * updates meet.
 *
 * Gradients: ADD passes the cotangent to the operand and gathers it for the updates. SET blanks overwritten places;
 * without `unique` the winners are found by scattering every update's position and reading it back. MUL multiplies
 * by the others' product, with zeros counted apart so that nothing divides by zero (its second derivative at an
 * exact zero is not defined that way). MIN and MAX share the cotangent equally among all that tie. Updates that were
 * skipped get zero. */
#include <inttypes.h>

#include "graph/gather.h"
#include "graph/ref.h"

static const char *const scatter_name[] = {
    [TSR_SCATTER_SET] = "set", [TSR_SCATTER_ADD] = "add", [TSR_SCATTER_MUL] = "mul", [TSR_SCATTER_MIN] = "min",
    [TSR_SCATTER_MAX] = "max",
};
enum { SCATTER_KINDS = sizeof scatter_name / sizeof *scatter_name };

tsr_node *tsr_prim_scatter(tsr_ctx *c, tsr_node *x, tsr_node *index, tsr_node *update, const tsr_gather_dims *d,
                           tsr_scatter how) {
    tsr_node *src[3] = {x, index, update};
    struct attr a[GATHER_ATTRS + 2];
    if (axes_poison(3, src) || !gather_counts_valid(c, "scatter", d)) return tsr_poison(c);
    gather_attrs(d, a);
    a[GATHER_ATTRS] = attr_int(ATTR_UNIQUE, d->unique);
    a[GATHER_ATTRS + 1] = attr_int(ATTR_MODE, (int64_t)how);
    return node_make(c, &(struct draft){.op = TSR_OP_SCATTER, .nsrc = 3, .src = src, .nattr = GATHER_ATTRS + 2,
                                        .attr = a});
}

/* ---- type ------------------------------------------------------------------------------------------------------- */

static bool update_fits(tsr_ctx *c, const tsr_gather_dims *d, const tsr_type *x, const tsr_type *index,
                        const tsr_type *u) {
    struct gather_layout l;
    gather_layout(d, x->rank, index->rank, &l);
    if (u->rank != l.rank) {
        err_set(c, TSR_EINVAL, "scatter: an update %s of rank %d, but %d window axes and the index tensor %s ask for "
                "rank %d", type_text(c, u), u->rank, d->n_offset, type_text(c, index), l.rank);
        return false;
    }
    for (int a = 0; a < l.rank; a++) {
        int w = l.operand_axis[a], b = l.index_axis[a];
        if (w >= 0) {
            if (!extent_require_le(c, u->extent[a], x->extent[w], "scatter: window axis %d of the update %s is longer "
                                   "than axis %d of the operand %s", a, type_text(c, u), w, type_text(c, x)))
                return false;
        } else if (!extent_require_equal(c, u->extent[a], index->extent[b], "scatter: axis %d of the update %s must "
                                         "have the extent of axis %d of the index tensor %s", a, type_text(c, u), b,
                                         type_text(c, index))) {
            return false;
        }
    }
    return true;
}

static const tsr_type *scatter_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *x = d->src[0]->type, *index = d->src[1]->type, *u = d->src[2]->type;
    int64_t how = draft_int(d, ATTR_MODE);
    tsr_gather_dims dims;
    gather_dims(d->nattr, d->attr, &dims);
    if (how < 0 || how >= SCATTER_KINDS)
        return err_set(c, TSR_EINVAL, "scatter: mode %" PRId64 " is not one of tsr_scatter", how), NULL;
    if (u->kind != TSR_TENSOR || x->kind != TSR_TENSOR || u->dtype != x->dtype) {
        err_set(c, TSR_EINVAL, "scatter: an update %s for an operand %s; both need one dtype (convert the update)",
                type_text(c, u), type_text(c, x));
        return NULL;
    }
    return gather_check(c, "scatter", &dims, x, index) && update_fits(c, &dims, x, index, u) ? x : NULL;
}

/* ---- gradient --------------------------------------------------------------------------------------------------- */

/* What the rules below are written with: the node's parts and the window extents over operand axes. */
struct parts {
    tsr_ctx *c;
    tsr_gather_dims d;
    tsr_node *n, *x, *index, *update;
    const tsr_extent *size[TSR_MAX_RANK];
};

static bool parts_of(tsr_ctx *c, tsr_node *n, struct parts *p) {
    struct gather_layout l;
    *p = (struct parts){.c = c, .n = n, .x = n->src[0], .index = n->src[1], .update = n->src[2]};
    gather_dims(n->nattr, n->attr, &p->d);
    gather_layout(&p->d, p->x->type->rank, p->index->type->rank, &l);
    for (int a = 0; a < p->x->type->rank; a++)
        if (!(p->size[a] = tsr_extent_int(c, 1))) return false;
    for (int a = 0; a < l.rank; a++)
        if (l.operand_axis[a] >= 0) p->size[l.operand_axis[a]] = p->update->type->extent[a];
    return true;
}

/* What stands in `from` (shaped like the operand) where each update went; skipped updates read some clamped place. */
static tsr_node *read_back(const struct parts *p, tsr_node *from) {
    return tsr_prim_gather(p->c, from, p->index, &p->d, p->size);
}
static tsr_node *write(const struct parts *p, tsr_node *to, tsr_node *what, tsr_scatter how) {
    return tsr_prim_scatter(p->c, to, p->index, what, &p->d, how);
}
static tsr_node *inside(const struct parts *p) {
    return gather_inside(p->c, &p->d, p->x->type, p->size, p->index, p->update->type);
}
static tsr_node *keep_where(tsr_ctx *c, tsr_node *mask, tsr_node *x) {
    return tsr_prim3(c, TSR_S_SELECT, mask, x, rule_full_like(c, x, 0));
}
static tsr_node *both(tsr_ctx *c, tsr_node *a, tsr_node *b) { return tsr_prim2(c, TSR_S_AND, a, b); }

/* True for the updates that are seen in the result of SET. Their positions, written the same way, survive where they
 * do. */
static tsr_node *winners(const struct parts *p) {
    tsr_ctx *c = p->c;
    if (p->d.unique) return inside(p);
    const tsr_extent *n = type_elements(c, p->update->type);
    const tsr_type *line = n ? tsr_type_tensor(c, TSR_I64, 1, &n) : NULL,
        *t = type_with_dtype(c, p->update->type, TSR_I64);
    const tsr_type *tx = type_with_dtype(c, p->x->type, TSR_I64);
    if (!line || !t || !tx) return tsr_poison(c);
    tsr_node *mine = tsr_prim_reshape(c, tsr_prim_iota(c, line, 0), t);
    return tsr_prim2(c, TSR_S_EQ, read_back(p, write(p, tsr_full(c, tx, -1), mine, TSR_SCATTER_SET)), mine);
}

static void set_vjp(const struct parts *p, tsr_node *g, const bool *want, tsr_node **gsrc) {
    if (want[0]) gsrc[0] = write(p, g, axes_zeros(p->c, p->update->type), TSR_SCATTER_SET);
    if (want[2]) gsrc[2] = keep_where(p->c, winners(p), read_back(p, g));
}

static void add_vjp(const struct parts *p, tsr_node *g, const bool *want, tsr_node **gsrc) {
    if (want[0]) gsrc[0] = g;
    if (want[2]) gsrc[2] = keep_where(p->c, inside(p), read_back(p, g));
}

/* y = x * product of the updates u that meet there; du = g * (y without u). */
static void mul_vjp(const struct parts *p, tsr_node *g, const bool *want, tsr_node **gsrc) {
    tsr_ctx *c = p->c;
    tsr_node *u = p->update;
    if (want[0]) gsrc[0] = write(p, g, u, TSR_SCATTER_MUL);
    if (!want[2]) return;
    if (p->d.unique) {
        gsrc[2] = keep_where(c, inside(p), read_back(p, tsr_prim2(c, TSR_S_MUL, g, p->x)));
        return;
    }
    tsr_node *is_zero = tsr_prim2(c, TSR_S_EQ, u, rule_full_like(c, u, 0)), *zero = axes_convert(c, is_zero, TSR_I32);
    tsr_node *divisor = tsr_prim3(c, TSR_S_SELECT, is_zero, rule_full_like(c, u, 1), u);
    tsr_node *rest = write(p, p->x, divisor, TSR_SCATTER_MUL); /* the product of x and all updates that are not zero */
    const tsr_type *count = type_with_dtype(c, p->x->type, TSR_I32);
    tsr_node *zeros = count ? write(p, axes_zeros(c, count), zero, TSR_SCATTER_ADD) : tsr_poison(c);
    tsr_node *others_fine = tsr_prim2(c, TSR_S_EQ, read_back(p, zeros), zero);
    tsr_node *du = tsr_prim2(c, TSR_S_DIV, read_back(p, tsr_prim2(c, TSR_S_MUL, g, rest)), divisor);
    gsrc[2] = keep_where(c, both(c, inside(p), others_fine), du);
}

static void pick_vjp(const struct parts *p, tsr_node *g, const bool *want, tsr_node **gsrc) {
    tsr_ctx *c = p->c;
    tsr_node *mine = tsr_prim2(c, TSR_S_EQ, p->x, p->n);
    tsr_node *theirs = both(c, inside(p), tsr_prim2(c, TSR_S_EQ, p->update, read_back(p, p->n)));
    tsr_dtype t = tsr_node_dtype(p->x);
    tsr_node *ties = write(p, axes_convert(c, mine, t), axes_convert(c, theirs, t), TSR_SCATTER_ADD);
    tsr_node *share = tsr_prim2(c, TSR_S_DIV, g, ties);
    if (want[0]) gsrc[0] = keep_where(c, mine, share);
    if (want[2]) gsrc[2] = keep_where(c, theirs, read_back(p, share));
}

/* A window larger than its operand never lies inside: no update is ever applied. */
static bool nothing_fits(const struct parts *p) {
    for (int i = 0; i < p->d.n_map; i++) {
        int64_t size, extent, a = p->d.map[i];
        if (tsr_extent_is_int(p->size[a], &size) && tsr_extent_is_int(p->x->type->extent[a], &extent) && size > extent)
            return true;
    }
    return false;
}

static bool scatter_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    static void (*const rule[SCATTER_KINDS])(const struct parts *, tsr_node *, const bool *, tsr_node **) = {
        [TSR_SCATTER_SET] = set_vjp, [TSR_SCATTER_ADD] = add_vjp, [TSR_SCATTER_MUL] = mul_vjp,
        [TSR_SCATTER_MIN] = pick_vjp, [TSR_SCATTER_MAX] = pick_vjp,
    };
    struct parts p;
    if (!parts_of(c, n, &p)) return false;
    if (!nothing_fits(&p)) rule[node_int(n, ATTR_MODE)](&p, gout[0], want, gsrc);
    else if (want[0]) gsrc[0] = gout[0];
    return true;
}

/* ---- batching, reference, samples ------------------------------------------------------------------------------- */

/* With one index tensor for the whole batch, the batch axis is one more window axis of operand and update; else all
 * three get it, as a batching pair. */
static tsr_node *scatter_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                              const tsr_extent *size) {
    struct gather_room room;
    tsr_gather_dims d, under;
    gather_dims(n->nattr, n->attr, &d);
    gather_batch(&d, true, batched[1], &room, &under);
    return tsr_prim_scatter(c, rule_batch(c, src[0], batched[0], size), src[1], rule_batch(c, src[2], batched[2], size),
                            &under,
                            (tsr_scatter)node_int(n, ATTR_MODE));
}

static struct ref_val combine(tsr_scatter how, tsr_dtype t, struct ref_val old, struct ref_val u) {
    static const tsr_reduce as[SCATTER_KINDS] = {
        [TSR_SCATTER_ADD] = TSR_REDUCE_SUM, [TSR_SCATTER_MUL] = TSR_REDUCE_PROD, [TSR_SCATTER_MIN] = TSR_REDUCE_MIN,
        [TSR_SCATTER_MAX] = TSR_REDUCE_MAX,
    };
    return how == TSR_SCATTER_SET ? u : ref_reduce(as[how], t, old, u);
}

static bool window_inside(const tsr_gather_dims *d, const struct ref_tensor *x, const int64_t *size,
                          const int64_t *start) {
    for (int i = 0; i < d->n_map; i++) {
        int64_t a = d->map[i];
        if (start[a] < 0 || start[a] > x->dim[a] - size[a]) return false;
    }
    return true;
}

static tsr_status scatter_ref(struct ref_call *r) {
    const struct ref_tensor *x = &r->in[0], *index = &r->in[1], *u = &r->in[2];
    tsr_gather_dims d;
    struct gather_layout l;
    int64_t at[TSR_MAX_RANK], to[TSR_MAX_RANK], size[TSR_MAX_RANK];
    struct ref_val *acc = mem_array(r->c, (size_t)x->count, sizeof *acc);
    if (!acc) return TSR_ENOMEM;
    gather_dims(r->node->nattr, r->node->attr, &d);
    gather_layout(&d, x->rank, index->rank, &l);
    for (int a = 0; a < x->rank; a++) size[a] = 1;
    for (int a = 0; a < l.rank; a++)
        if (l.operand_axis[a] >= 0) size[l.operand_axis[a]] = u->dim[a];
    for (int64_t k = 0; k < x->count; k++) acc[k] = ref_get(x, k);
    for (int64_t k = 0; k < u->count; k++) {
        ref_unravel(u->rank, u->dim, k, at);
        gather_start(&d, &l, index, at, x->rank, to);
        if (!window_inside(&d, x, size, to)) continue;
        for (int a = 0; a < l.rank; a++)
            if (l.operand_axis[a] >= 0) to[l.operand_axis[a]] += at[a];
        int64_t place = ref_ravel(x->rank, x->dim, to);
        acc[place] = combine((tsr_scatter)node_int(r->node, ATTR_MODE), x->dtype, acc[place], ref_get(u, k));
    }
    for (int64_t k = 0; k < x->count; k++) ref_set(&r->out[0], k, acc[k]);
    mem_array_free(r->c, acc, (size_t)x->count, sizeof *acc);
    return TSR_OK;
}

/* Distinct rows of a matrix: what `unique` may be said of. The row numbers are a literal, so random data cannot
 * break the promise. */
static tsr_node *sample_unique(tsr_ctx *c, struct sample *s, tsr_scatter how) {
    int64_t dim[2], rows[64], window = 1, zero = 0;
    sample_dims(s, 2, dim);
    int64_t total = dim[0] < 64 ? dim[0] : 64, n = total ? sample_int(s, 1, total) : 0;
    for (int64_t i = 0; i < total; i++) rows[i] = i;
    for (int64_t i = total - 1; i > 0; i--) {
        int64_t j = sample_int(s, 0, i), t = rows[i];
        rows[i] = rows[j], rows[j] = t;
    }
    if (n && sample_int(s, 0, 1)) rows[0] = -1; /* skipped */
    tsr_gather_dims d = {.n_offset = 1, .offset = &window, .n_collapsed = 1, .collapsed = &zero, .n_map = 1,
                         .map = &zero, .index_vector_axis = 1, .unique = true};
    tsr_node *x = sample_param(c, s->dtype, 2, dim), *u = sample_param(c, s->dtype, 2, (int64_t[]){n, dim[1]});
    const tsr_type *t = tsr_type_dims(c, TSR_I64, 1, &n);
    return t ? tsr_prim_scatter(c, x, tsr_const(c, t, rows), u, &d, how) : tsr_poison(c);
}

static tsr_node *sample_any(tsr_ctx *c, struct sample *s, tsr_scatter how) {
    struct gather_case g;
    gather_case(s, &g);
    gather_case_range(s, &g, 1);
    tsr_node *x = sample_param(c, s->dtype, g.rank, g.dim),
        *index = sample_param(c, g.index_type, g.index_rank, g.index_dim);
    tsr_node *u = sample_param(c, s->dtype, g.result_rank, g.result_dim);
    return tsr_prim_scatter(c, x, index, u, &g.d, how);
}

static tsr_fn *scatter_sample(tsr_ctx *c, struct sample *s) {
    tsr_scatter how = (tsr_scatter)sample_int(s, 0, SCATTER_KINDS - 1);
    bool unique = sample_int(s, 0, 3) == 0, pick = how == TSR_SCATTER_MIN || how == TSR_SCATTER_MAX;
    if (pick) s->distinct = true, s->smooth = false;
    if (how == TSR_SCATTER_MUL)
        s->lo[0] = s->lo[2] = dtype_is_float(s->dtype) ? 0.5 : 1, s->hi[0] = s->hi[2] = dtype_is_float(s->dtype) ? 1.5
            : 3;
    if (how == TSR_SCATTER_MUL && unique) s->lo[1] = s->lo[0], s->hi[1] = s->hi[0];
    if (tsr_fn_begin(c, scatter_name[how])) return NULL;
    tsr_node *y = unique ? sample_unique(c, s, how) : sample_any(c, s, how);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_SCATTER = {
    .name = "scatter",
    .formula = "x with x[index[batch] + offset] = x[...] op update[batch, offset]; windows that stick out are skipped",
    .spec = "StableHLO scatter",
    .cls = OP_MOVE,
    .arity = 3,
    .domain = "fiubc",
    .infer = scatter_infer,
    .vjp = scatter_vjp,
    .vmap = scatter_vmap,
    .ref = scatter_ref,
    .sample = scatter_sample,
};
