/* op_dot.c: dot_general: products summed over contracted axes, for each member of the batch axes.
 *
 * Semantics and axis order follow StableHLO dot_general: result axes are the batch axes in the order listed, the
 * left operand's free axes, the right operand's. The result dtype is the dtype of the sums: integer operands convert
 * to it first and wrap, float operands are summed here in f64 and rounded once. One operand may be a block-quantised
 * weight of rank 2; it is read by dequantising, the other operand is a float and the result f32.
 *
 * The gradient to either operand is again a dot of the cotangent with the other operand over that one's free axes,
 * then a transpose into place; a quantised weight has none. Products are computed in the cotangent's dtype, so the
 * narrower operand is converted (the compiler folds that into the contraction's prologue). */
#include <inttypes.h>
#include <string.h>

#include "graph/axes.h"
#include "graph/ref.h"

/* ---- dimension numbers ------------------------------------------------------------------------------------------ */

/* The lists of a node or draft, and what follows from them: free axes of each side. */
struct dot_dims {
    tsr_dot_dims d;
    int left, right;
    int64_t lhs_free[TSR_MAX_RANK], rhs_free[TSR_MAX_RANK];
};

static void dot_dims(int nattr, const struct attr *attr, int lhs_rank, int rhs_rank, struct dot_dims *out) {
    *out = (struct dot_dims){0};
    for (const struct attr *a = attr; a < attr + nattr; a++) {
        if (a->key == ATTR_LHS_BATCH) out->d.n_batch = (int)a->n, out->d.lhs_batch = a->ints;
        else if (a->key == ATTR_RHS_BATCH) out->d.rhs_batch = a->ints;
        else if (a->key == ATTR_LHS_CONTRACT) out->d.n_contract = (int)a->n, out->d.lhs_contract = a->ints;
        else if (a->key == ATTR_RHS_CONTRACT) out->d.rhs_contract = a->ints;
    }
    size_t nb = (size_t)out->d.n_batch, nc = (size_t)out->d.n_contract;
    out->left = axes_rest(lhs_rank, nb, out->d.lhs_batch, nc, out->d.lhs_contract, out->lhs_free);
    out->right = axes_rest(rhs_rank, nb, out->d.rhs_batch, nc, out->d.rhs_contract, out->rhs_free);
}

tsr_node *tsr_prim_dot(tsr_ctx *c, tsr_node *a, tsr_node *b, const tsr_dot_dims *d, tsr_dtype result) {
    if (d->n_batch < 0 || d->n_contract < 0) {
        err_set(c, TSR_EINVAL, "dot: %d batch and %d contracted axes; an empty list has length 0", d->n_batch,
                d->n_contract);
        return tsr_poison(c);
    }
    size_t nb = (size_t)d->n_batch, nc = (size_t)d->n_contract;
    struct attr attr[5] = {attr_ints(ATTR_LHS_BATCH, nb, d->lhs_batch), attr_ints(ATTR_RHS_BATCH, nb, d->rhs_batch),
                           attr_ints(ATTR_LHS_CONTRACT, nc, d->lhs_contract),
                           attr_ints(ATTR_RHS_CONTRACT, nc, d->rhs_contract),
                           attr_dtype(ATTR_DTYPE, result)};
    return node_make(c, &(struct draft){.op = TSR_OP_DOT, .nsrc = 2, .src = (tsr_node *[]){a, b}, .nattr = 5,
                                        .attr = attr});
}

/* ---- type ------------------------------------------------------------------------------------------------------- */

static bool is_block(const tsr_type *t) { return tsr_dtype_of(t->dtype)->kind == TSR_KIND_BLOCK; }
static bool is_integral(tsr_dtype t) { return dtype_is_int(t) || t == TSR_BOOL; }

static bool dot_dtypes(tsr_ctx *c, const tsr_type *a, const tsr_type *b, tsr_dtype result) {
    if ((unsigned)result >= TSR_DTYPE_COUNT)
        return err_set(c, TSR_EINVAL, "dot: result dtype %d is no dtype", (int)result), false;
    if (is_block(a) || is_block(b)) {
        const tsr_type *weight = is_block(a) ? a : b, *other = is_block(a) ? b : a;
        if (!is_block(other) && dtype_is_float(other->dtype) && result == TSR_F32 && weight->rank == 2) return true;
        err_set(c, TSR_EINVAL, "dot: a quantised weight must be %s of rank 2 against a float operand with an f32 "
                "result, but the weight is %s, the other operand %s and the result %s", tsr_dtype_name(weight->dtype),
                type_text(c, weight), type_text(c, other), tsr_dtype_name(result));
        return false;
    }
    if (a->dtype != b->dtype) {
        err_set(c, TSR_EINVAL, "dot: operands %s and %s have different dtypes; convert one of them", type_text(c, a),
                type_text(c, b));
        return false;
    }
    bool same_kind = dtype_is_float(a->dtype) ? dtype_is_float(result) : dtype_is_complex(a->dtype)
        ? dtype_is_complex(result) : is_integral(result);
    if (!same_kind)
        err_set(c, TSR_EINVAL, "dot: sums of %s products cannot be kept as %s; ask for a result of the same kind and "
                "convert it after", tsr_dtype_name(a->dtype), tsr_dtype_name(result));
    return same_kind;
}

static bool dot_axes(tsr_ctx *c, const tsr_type *a, const tsr_type *b, const struct draft *d) {
    static const struct { enum attr_key lhs, rhs; const char *what; } pair[] = {
        {ATTR_LHS_BATCH, ATTR_RHS_BATCH, "batch"}, {ATTR_LHS_CONTRACT, ATTR_RHS_CONTRACT, "contracted"}};
    for (int p = 0; p < 2; p++) {
        const struct attr *l = draft_attr(d, pair[p].lhs), *r = draft_attr(d, pair[p].rhs);
        if (l->n != r->n)
            return err_set(c, TSR_EINVAL, "dot: %zu %s axes on the left, %zu on the right; they go in pairs", l->n,
                           pair[p].what, r->n), false;
        if (!axes_check(c, "dot", attr_name(pair[p].lhs), l->n, l->ints, a->rank) ||
            !axes_check(c, "dot", attr_name(pair[p].rhs), r->n, r->ints, b->rank))
            return false;
        for (size_t i = 0; i < l->n; i++)
            if (!extent_require_equal(c, a->extent[l->ints[i]], b->extent[r->ints[i]],
                                      "dot: %s axis %" PRId64 " of %s and axis %" PRId64 " of %s differ (%s and %s); "
                                      "transpose or reshape an operand so that they agree", pair[p].what, l->ints[i],
                                      type_text(c, a), r->ints[i], type_text(c, b),
                                      extent_text(c, a->extent[l->ints[i]]),
                                      extent_text(c, b->extent[r->ints[i]])))
                return false;
    }
    for (int side = 0; side < 2; side++) {
        const struct attr *batch = draft_attr(d, side ? ATTR_RHS_BATCH : ATTR_LHS_BATCH),
            *k = draft_attr(d, side ? ATTR_RHS_CONTRACT : ATTR_LHS_CONTRACT);
        for (size_t i = 0; i < batch->n; i++)
            if (axes_has(k->n, k->ints, batch->ints[i]))
                return err_set(c, TSR_EINVAL, "dot: axis %" PRId64 " of the %s operand is both a batch and a "
                               "contracted axis", batch->ints[i], side ? "right" : "left"), false;
    }
    return true;
}

static const tsr_type *dot_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *a = d->src[0]->type, *b = d->src[1]->type;
    tsr_dtype result = draft_attr(d, ATTR_DTYPE)->dtype;
    struct dot_dims m;
    if (!axes_is_tensor(c, "dot", a) || !axes_is_tensor(c, "dot", b) || !dot_dtypes(c, a, b, result) ||
        !dot_axes(c, a, b, d))
        return NULL;
    dot_dims(d->nattr, d->attr, a->rank, b->rank, &m);
    const tsr_extent *extent[2 * TSR_MAX_RANK];
    int n = 0;
    for (int i = 0; i < m.d.n_batch; i++) extent[n++] = a->extent[m.d.lhs_batch[i]];
    for (int i = 0; i < m.left; i++) extent[n++] = a->extent[m.lhs_free[i]];
    for (int i = 0; i < m.right; i++) extent[n++] = b->extent[m.rhs_free[i]];
    return tsr_type_tensor(c, result, n, extent);
}

/* ---- gradient --------------------------------------------------------------------------------------------------- */

/* The cotangent of one operand. Seen from it: `batch`, `contract` and `own` (free) are its axes, `other_*` those of
 * the other operand; g's axes are batch, left free, right free. dot(g, other) over the other's free axes has axes
 * batch, own free, other's contracted; dot(other, g) has the last two the other way round. The one that needs no
 * transposition is taken where there is one. */
struct side {
    tsr_node *operand, *other;
    const int64_t *batch, *contract, *own, *other_batch, *other_contract, *other_free;
    int n_own, n_other, own_at, other_at; /* counts; where they start among g's axes */
};

static tsr_node *side_cotangent(tsr_ctx *c, const struct dot_dims *m, const struct side *s, tsr_node *g) {
    int nb = m->d.n_batch, nc = m->d.n_contract, rank = s->operand->type->rank, other_rank = s->other->type->rank;
    int64_t batch[TSR_MAX_RANK], free_of_g[TSR_MAX_RANK], left[TSR_MAX_RANK], perm[TSR_MAX_RANK];
    for (int i = 0; i < nb; i++) batch[i] = i;
    for (int i = 0; i < s->n_other; i++) free_of_g[i] = s->other_at + i;
    tsr_dot_dims d = {.n_batch = nb, .lhs_batch = batch, .rhs_batch = s->other_batch,
                      .n_contract = s->n_other, .lhs_contract = free_of_g, .rhs_contract = s->other_free};
    tsr_dot_dims swapped = {.n_batch = nb, .lhs_batch = s->other_batch, .rhs_batch = batch,
                            .n_contract = s->n_other, .lhs_contract = s->other_free, .rhs_contract = free_of_g};
    tsr_node *other = is_block(s->other->type) ? s->other : axes_convert(c, s->other, g->type->dtype);
    bool swap = !is_block(s->other->type) && nc && s->n_own && s->contract[0] < s->own[0];
    tsr_node *y = swap ? tsr_prim_dot(c, other, g, &swapped, g->type->dtype)
                       : tsr_prim_dot(c, g, other, &d, g->type->dtype);
    int own_at = swap ? nb + nc : nb, contract_at = swap ? nb : nb + s->n_own;
    /* the contracted axes come out in the order they have in `other` */
    axes_rest(other_rank, (size_t)nb, s->other_batch, (size_t)s->n_other, s->other_free, left);
    for (int i = 0; i < nb; i++) perm[s->batch[i]] = i;
    for (int i = 0; i < s->n_own; i++) perm[s->own[i]] = own_at + i;
    for (int i = 0; i < nc; i++)
        for (int j = 0; j < nc; j++)
            if (left[j] == s->other_contract[i]) perm[s->contract[i]] = contract_at + j;
    bool moved = false;
    for (int i = 0; i < rank; i++) moved = moved || perm[i] != i;
    if (moved) y = tsr_prim_transpose(c, y, perm);
    return axes_as(c, axes_convert(c, y, s->operand->type->dtype), s->operand->type);
}

static bool dot_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    struct dot_dims m;
    tsr_node *a = n->src[0], *b = n->src[1];
    if (tsr_is_poison(gout[0])) return false;
    dot_dims(n->nattr, n->attr, a->type->rank, b->type->rank, &m);
    int nb = m.d.n_batch;
    struct side lhs = {a, b, m.d.lhs_batch, m.d.lhs_contract, m.lhs_free, m.d.rhs_batch, m.d.rhs_contract, m.rhs_free,
                       m.left, m.right, nb, nb + m.left};
    struct side rhs = {b, a, m.d.rhs_batch, m.d.rhs_contract, m.rhs_free, m.d.lhs_batch, m.d.lhs_contract, m.lhs_free,
                       m.right, m.left, nb + m.left, nb};
    if (want[0] && !is_block(a->type)) gsrc[0] = side_cotangent(c, &m, &lhs, gout[0]);
    if (want[1] && !is_block(b->type)) gsrc[1] = side_cotangent(c, &m, &rhs, gout[0]);
    return true;
}

/* ---- batching: one more batch axis, or one more free axis moved to the front ------------------------------------ */

static tsr_node *dot_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    struct dot_dims m;
    int64_t list[4][TSR_MAX_RANK + 1];
    bool both = batched[0] && batched[1];
    (void)size;
    dot_dims(n->nattr, n->attr, n->src[0]->type->rank, n->src[1]->type->rank, &m);
    const int64_t *old[4] = {m.d.lhs_batch, m.d.rhs_batch, m.d.lhs_contract, m.d.rhs_contract};
    int nb = m.d.n_batch, count[4] = {nb, nb, m.d.n_contract, m.d.n_contract};
    for (int i = 0; i < 4; i++) {
        int k = 0;
        if (both && i < 2) list[i][k++] = 0;
        for (int j = 0; j < count[i]; j++) list[i][k++] = old[i][j] + batched[i % 2];
    }
    tsr_dot_dims d = {.n_batch = nb + both, .n_contract = m.d.n_contract, .lhs_batch = list[0], .rhs_batch = list[1],
                      .lhs_contract = list[2], .rhs_contract = list[3]};
    tsr_node *a = src[0], *b = src[1];
    if (axes_poison(2, src)) return tsr_poison(c);
    if ((batched[0] && is_block(a->type)) || (batched[1] && is_block(b->type))) /* no longer a weight of rank 2 */
        a = axes_convert(c, a, TSR_F32), b = axes_convert(c, b, TSR_F32);
    tsr_node *y = tsr_prim_dot(c, a, b, &d, n->type->dtype);
    return both ? y : axes_move(c, y, batched[0] ? nb : nb + m.left, 0);
}

/* ---- reference -------------------------------------------------------------------------------------------------- */

/* Offsets, in elements, of all index combinations of the given axes of t, in row-major order. */
static int64_t *axis_offsets(tsr_ctx *c, const struct ref_tensor *t, int n, const int64_t *axis, int64_t *count) {
    int64_t dim[TSR_MAX_RANK], at[TSR_MAX_RANK], stride[TSR_MAX_RANK + 1];
    stride[t->rank] = 1;
    for (int a = t->rank - 1; a >= 0; a--) stride[a] = stride[a + 1] * t->dim[a];
    *count = 1;
    for (int i = 0; i < n; i++) *count *= dim[i] = t->dim[axis[i]];
    int64_t *offset = mem_array(c, (size_t)*count, sizeof *offset);
    for (int64_t k = 0; offset && k < *count; k++) {
        ref_unravel(n, dim, k, at);
        for (int i = 0; i < n; i++) offset[k] += at[i] * stride[axis[i] + 1];
    }
    return offset;
}

/* An operand's element as the sums see it: integers in the result's dtype, the rest as it is (f64). */
static struct ref_val dot_operand(const struct ref_tensor *t, int64_t at, tsr_dtype result) {
    struct ref_val v = ref_get(t, at);
    return is_integral(result) ? ref_convert(v, t->dtype, result) : v;
}

static tsr_status dot_ref(struct ref_call *r) {
    const struct ref_tensor *a = &r->in[0], *b = &r->in[1];
    struct ref_tensor *y = &r->out[0];
    struct dot_dims m;
    enum { BATCH_A, BATCH_B, FREE_A, FREE_B, SUM_A, SUM_B, LISTS };
    dot_dims(r->node->nattr, r->node->attr, a->rank, b->rank, &m);
    const struct { const struct ref_tensor *t; int n; const int64_t *axis; } list[LISTS] = {
        {a, m.d.n_batch, m.d.lhs_batch}, {b, m.d.n_batch, m.d.rhs_batch}, {a, m.left, m.lhs_free},
        {b, m.right, m.rhs_free}, {a, m.d.n_contract, m.d.lhs_contract}, {b, m.d.n_contract, m.d.rhs_contract}};
    int64_t *at[LISTS] = {0}, n[LISTS] = {0};
    tsr_status status = TSR_ENOMEM;
    for (int i = 0; i < LISTS; i++)
        if (!(at[i] = axis_offsets(r->c, list[i].t, list[i].n, list[i].axis, &n[i]))) goto out;
    for (int64_t i = 0; i < y->count; i++) {
        int64_t batch = i / (n[FREE_A] * n[FREE_B]), row = i / n[FREE_B] % n[FREE_A], column = i % n[FREE_B];
        int64_t pa = at[BATCH_A][batch] + at[FREE_A][row], pb = at[BATCH_B][batch] + at[FREE_B][column];
        struct ref_val acc = {0};
        for (int64_t k = 0; k < n[SUM_A]; k++) {
            struct ref_val x = dot_operand(a, pa + at[SUM_A][k], y->dtype),
                w = dot_operand(b, pb + at[SUM_B][k], y->dtype);
            acc = ref_reduce(TSR_REDUCE_SUM, y->dtype, acc, ref_reduce(TSR_REDUCE_PROD, y->dtype, x, w));
        }
        ref_set(y, i, acc);
    }
    status = TSR_OK;
out:
    for (int i = 0; i < LISTS; i++) mem_array_free(r->c, at[i], (size_t)n[i], sizeof **at);
    return status;
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

static void shuffle(struct sample *s, int n, int64_t *v) {
    for (int i = n - 1; i > 0; i--) {
        int64_t j = sample_int(s, 0, i), t = v[i];
        v[i] = v[j], v[j] = t;
    }
}

static tsr_dtype sample_result(struct sample *s) {
    if (dtype_is_int(s->dtype) && sample_int(s, 0, 1)) return TSR_I32;
    if (dtype_is_float(s->dtype) && tsr_dtype_of(s->dtype)->bits <= 16 && sample_int(s, 0, 1)) return TSR_F32;
    return s->dtype;
}

/* A weight of q8_0 or q4_0, its blocks along the contracted axis, on either side. */
static tsr_node *sample_quantised(tsr_ctx *c, struct sample *s) {
    int64_t k = 32 * sample_int(s, 1, s->size ? 5 : 1), n = sample_int(s, 1, s->size ? 37 : 2),
        rows = sample_int(s, 1, s->size ? 9 : 1), one = 1;
    tsr_dot_dims d = {.n_contract = 1, .lhs_contract = &one, .rhs_contract = &one};
    bool left = sample_int(s, 0, 1) != 0;
    sample_sum_of(s, k, 8);
    tsr_node *x = sample_param(c, s->dtype, 2, (int64_t[]){rows, k});
    tsr_node *w = sample_param(c, sample_int(s, 0, 1) ? TSR_Q8_0 : TSR_Q4_0, 2, (int64_t[]){n, k});
    return left ? tsr_prim_dot(c, w, x, &d, TSR_F32) : tsr_prim_dot(c, x, w, &d, TSR_F32);
}

/* Extents by role, then each operand's axes in a random order. */
static tsr_node *sample_dot(tsr_ctx *c, struct sample *s) {
    int nb = (int)sample_int(s, 0, 2), nc = (int)sample_int(s, 0, 2), nl = (int)sample_int(s, 0, 2),
        nr = (int)sample_int(s, 0, 2), total = nb + nc + nl + nr;
    int64_t dim[8], lists[4][4], adim[8], bdim[8], perm[8], terms = 1;
    sample_dims(s, total, dim); /* batch, contracted, left, right */
    for (int i = 0; i < nc; i++) terms *= dim[nb + i];
    sample_sum_of(s, terms, 8);
    for (int side = 0; side < 2; side++) {
        int rank = nb + nc + (side ? nr : nl);
        for (int i = 0; i < rank; i++) perm[i] = i;
        shuffle(s, rank, perm);
        for (int i = 0; i < rank; i++) {
            int64_t role = perm[i];
            (side ? bdim : adim)[i] = dim[role < nb + nc ? role : side ? role + nl : role];
            if (role < nb) lists[side][role] = i;
            else if (role < nb + nc) lists[2 + side][role - nb] = i;
        }
    }
    tsr_dot_dims d = {nb, nc, lists[0], lists[1], lists[2], lists[3]};
    tsr_node *a = sample_param(c, s->dtype, nb + nc + nl, adim), *b = sample_param(c, s->dtype, nb + nc + nr, bdim);
    return tsr_prim_dot(c, a, b, &d, sample_result(s));
}

static tsr_fn *dot_sample(tsr_ctx *c, struct sample *s) {
    if (tsr_fn_begin(c, "dot")) return NULL;
    tsr_node *y = s->dtype == TSR_F32 && sample_int(s, 0, 5) == 0 ? sample_quantised(c, s) : sample_dot(c, s);
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_DOT = {
    .name = "dot",
    .formula = "y[batch, m, n] = sum over k of a[batch, m, k] b[batch, k, n]",
    .spec = "StableHLO dot_general",
    .cls = OP_CONTRACT,
    .arity = 2,
    .domain = "fiubc",
    .infer = dot_infer,
    .vjp = dot_vjp,
    .vmap = dot_vmap,
    .ref = dot_ref,
    .sample = dot_sample,
};
