/* comp_attention.c: attention, rotary positions, embeddings, the linear layer.
 *
 * Attention's body is the plain formula with scores in f32: it is what the fused template is checked against. A row
 * that may look nowhere gives zeros (its maximum, -inf, is subtracted as 0, and its sum, 0, divides as 1). */
#include "graph/build.h"

static bool one(tsr_node *y, tsr_node **out, int *nout) {
    out[0] = y, *nout = 1;
    return !tsr_is_poison(y);
}

/* ---- one hot, embedding, linear ---- */

tsr_node *tsr_one_hot(tsr_ctx *c, tsr_node *index, int64_t classes, tsr_dtype t) {
    if (build_bad(c, 1, &index)) return tsr_poison(c);
    if (!dtype_is_int(index->type->dtype) || classes < 0)
        return build_fail(c, "one_hot: %s into %lld classes; an integer index is needed", type_text(c, index->type),
                          (long long)classes);
    return composite_one(c, COMP_one_hot, 1, &index, 2,
                         (struct attr[]){attr_int(ATTR_K, classes), attr_dtype(ATTR_DTYPE, t)});
}

bool comp_one_hot(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                  int *nout) {
    const tsr_type *t = type_insert_axis(c, in[0]->type, in[0]->type->rank,
                                         tsr_extent_int(c, comp_int(attr, nattr, ATTR_K)));
    (void)n;
    if (!t) return false;
    tsr_node *hit = tsr_eq(c, tsr_unsqueeze(c, in[0], -1), tsr_prim_iota(c, t, t->rank - 1));
    return one(tsr_cast(c, hit, attrs_find(nattr, attr, ATTR_DTYPE)->dtype), out, nout);
}

tsr_node *tsr_embedding(tsr_ctx *c, tsr_node *table, tsr_node *index) {
    tsr_node *in[2] = {table, index};
    if (build_bad(c, 2, in)) return tsr_poison(c);
    if (table->type->rank != 2 || !dtype_is_int(index->type->dtype))
        return build_fail(c, "embedding: table %s by %s; expected (V, C) and integers", type_text(c, table->type),
                          type_text(c, index->type));
    return composite_one(c, COMP_embedding, 2, in, 0, NULL);
}

bool comp_embedding(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                    int *nout) {
    (void)n, (void)attr, (void)nattr;
    return one(tsr_take(c, in[0], in[1], 0), out, nout);
}

tsr_node *tsr_linear(tsr_ctx *c, tsr_node *x, tsr_node *w, tsr_node *bias) {
    tsr_node *in[3] = {x, w, bias};
    int n = bias ? 3 : 2;
    if (build_bad(c, n, in)) return tsr_poison(c);
    bool ranks = x->type->rank >= 1 && w->type->rank == 2 && (!bias || bias->type->rank == 1);
    if (!ranks || !extent_require_equal(c, x->type->extent[x->type->rank - 1], w->type->extent[1], "linear: x %s, w %s",
                                        type_text(c, x->type), type_text(c, w->type)))
        return build_fail(c, "linear: x %s with w %s%s%s; expected (..., I), (O, I) and (O)", type_text(c, x->type),
                          type_text(c, w->type),
                          bias ? ", bias " : "", bias ? type_text(c, bias->type) : "");
    return composite_one(c, COMP_linear, n, in, 0, NULL);
}

bool comp_linear(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                 int *nout) {
    (void)attr, (void)nattr;
    bool block = tsr_dtype_of(in[1]->type->dtype)->kind == TSR_KIND_BLOCK;
    tsr_dtype t = block ? build_float(in[0]->type->dtype) : tsr_promote(in[0]->type->dtype, in[1]->type->dtype),
        wide = build_wide(t);
    int64_t last = in[0]->type->rank - 1, inner = 1;
    tsr_dot_dims d = {.n_contract = 1, .lhs_contract = &last, .rhs_contract = &inner};
    tsr_node *y = block ? tsr_prim_dot(c, tsr_cast(c, in[0], TSR_F32), in[1], &d, TSR_F32) :
        tsr_prim_dot(c, tsr_cast(c, in[0], t), tsr_cast(c, in[1], t), &d, wide);
    if (n > 2) y = tsr_add(c, y, tsr_cast(c, in[2], block ? TSR_F32 : wide));
    return one(tsr_cast(c, y, t), out, nout);
}

/* ---- attention ---- */

static bool check_attention(tsr_ctx *c, const tsr_node *q, const tsr_node *k, const tsr_node *v) {
    const tsr_type *a = q->type, *b = k->type, *d = v->type;
    int64_t h, g;
    bool ok = a->rank == 4 && b->rank == 4 && d->rank == 4 && a->extent[0] == b->extent[0] &&
        a->extent[0] == d->extent[0] && a->extent[3] == b->extent[3] &&
              b->extent[1] == d->extent[1] && b->extent[2] == d->extent[2] && a->dtype == b->dtype &&
                  a->dtype == d->dtype && dtype_is_float(a->dtype);
    ok = ok && tsr_extent_is_int(a->extent[1], &h) && tsr_extent_is_int(b->extent[1], &g) && g > 0 && h % g == 0;
    if (!ok) err_set(c, TSR_EINVAL,
                     "attention: q %s, k %s, v %s; expected (B, H, T, D), (B, G, S, D), (B, G, S, E) of one float "
                     "dtype, H a multiple of G",
                     type_text(c, a), type_text(c, b), type_text(c, d));
    return ok;
}

tsr_node *tsr_attention(tsr_ctx *c, tsr_node *q, tsr_node *k, tsr_node *v, const tsr_attention_opts *o) {
    tsr_attention_opts none = {0};
    if (!o) o = &none;
    tsr_node *in[4] = {q, k, v, o->mask};
    int64_t depth;
    if (build_bad(c, o->mask ? 4 : 3, in) || !check_attention(c, q, k, v)) return tsr_poison(c);
    if (!o->scale && !tsr_extent_is_int(q->type->extent[3], &depth)) return build_fail(c,
            "attention: a symbolic head size needs a scale");
    double scale = o->scale ? o->scale : 1 / sqrt((double)depth);
    struct attr a[] = {attr_float(ATTR_SCALE, scale), attr_float(ATTR_SOFTCAP, o->softcap),
        attr_int(ATTR_CAUSAL, o->causal)};
    return composite_one(c, COMP_attention, o->mask ? 4 : 3, in, 3, a);
}

/* Shapes: q (B, H, T, D) and friends seen by group: H = G R. */
struct heads { const tsr_extent *b, *g, *r, *t, *s, *d, *e; };

/* scale q k^T, capped: (B, G, R, T, S). */
static tsr_node *raw_scores(tsr_ctx *c, const struct heads *h, tsr_node *q, tsr_node *k, double scale, double cap) {
    int64_t batch[] = {0, 1}, lc = 4, rc = 3;
    tsr_dot_dims d = {.n_batch = 2, .n_contract = 1, .lhs_batch = batch, .rhs_batch = batch, .lhs_contract = &lc,
        .rhs_contract = &rc};
    q = tsr_reshape_extents(c, q, 5, (const tsr_extent *[]){h->b, h->g, h->r, h->t, h->d});
    tsr_node *s = build_num2(c, TSR_S_MUL, tsr_prim_dot(c, q, k, &d, build_wide(k->type->dtype)), scale);
    return cap > 0 ? build_num2(c, TSR_S_MUL, tsr_tanh(c, build_num2(c, TSR_S_DIV, s, cap)), cap) : s;
}

/* Query t sees keys s <= t + S - T; (T, S). */
static tsr_node *causal_mask(tsr_ctx *c, const struct heads *h) {
    const tsr_extent *shape[2] = {h->t, h->s};
    tsr_node *t = build_iota(c, TSR_I64, 2, shape, 0), *s = build_iota(c, TSR_I64, 2, shape, 1);
    if (h->t != h->s) t = tsr_add(c, t, tsr_sub(c, build_extent(c, h->s, TSR_I64), build_extent(c, h->t, TSR_I64)));
    return tsr_prim2(c, TSR_S_LE, s, t);
}

/* The user's mask, broadcast to (B, H, T, S) and grouped. */
static tsr_node *grouped_mask(tsr_ctx *c, const struct heads *h, tsr_node *mask) {
    const tsr_extent *all = tsr_extent_mul(c, h->g, h->r);
    mask = tsr_broadcast_to(c, mask, 4, (const tsr_extent *[]){h->b, all, h->t, h->s});
    return tsr_reshape_extents(c, mask, 5, (const tsr_extent *[]){h->b, h->g, h->r, h->t, h->s});
}

static tsr_node *masked(tsr_ctx *c, tsr_node *score, tsr_node *mask) {
    if (tsr_is_poison(mask) || tsr_is_poison(score)) return tsr_poison(c);
    if (mask->type->dtype != TSR_BOOL) return tsr_add(c, score, tsr_cast(c, mask, score->type->dtype));
    return tsr_where(c, mask, score, tsr_num(c, score, -INFINITY));
}

/* Softmax of the last axis; a row of -inf gives zeros. */
static tsr_node *weights(tsr_ctx *c, tsr_node *s) {
    int last = -1;
    tsr_node *m = tsr_stop_gradient(c, tsr_max(c, s, 1, &last, true));
    m = tsr_where(c, tsr_eq(c, m, tsr_num(c, m, -INFINITY)), tsr_num(c, m, 0), m);
    tsr_node *e = tsr_exp(c, tsr_sub(c, s, m)), *sum = tsr_sum(c, e, 1, &last, true);
    return tsr_div(c, e, tsr_where(c, tsr_eq(c, sum, tsr_num(c, sum, 0)), tsr_num(c, sum, 1), sum));
}

bool comp_attention(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out,
                    int *nout) {
    const tsr_extent *const *q = in[0]->type->extent, *const *v = in[2]->type->extent;
    struct heads h = {q[0], v[1], tsr_extent_floordiv(c, q[1], v[1]), q[2], v[2], q[3], v[3]};
    tsr_dtype as = in[0]->type->dtype, wide = build_wide(as);
    int64_t batch[] = {0, 1}, lc = 4, rc = 2;
    tsr_dot_dims d = {.n_batch = 2, .n_contract = 1, .lhs_batch = batch, .rhs_batch = batch, .lhs_contract = &lc,
        .rhs_contract = &rc};
    if (!h.r) return false;
    tsr_node *s = raw_scores(c, &h, in[0], in[1], comp_float(attr, nattr, ATTR_SCALE),
                             comp_float(attr, nattr, ATTR_SOFTCAP));
    if (comp_int(attr, nattr, ATTR_CAUSAL)) s = masked(c, s, causal_mask(c, &h));
    if (n > 3) s = masked(c, s, grouped_mask(c, &h, in[3]));
    tsr_node *y = tsr_prim_dot(c, weights(c, s), tsr_cast(c, in[2], wide), &d, wide);
    return one(tsr_cast(c, tsr_reshape_extents(c, y, 4, (const tsr_extent *[]){q[0], q[1], q[2], v[3]}), as), out,
               nout);
}

/* ---- rotary positions ---- */

tsr_node *tsr_rope(tsr_ctx *c, tsr_node *x, tsr_node *position, double base, bool interleaved) {
    tsr_node *in[2] = {x, position};
    int64_t depth;
    if (build_bad(c, 2, in)) return tsr_poison(c);
    bool ok = x->type->rank == 4 && tsr_extent_is_int(x->type->extent[3], &depth) && depth % 2 == 0 &&
        dtype_is_float(x->type->dtype) &&
              dtype_is_int(position->type->dtype) && (position->type->rank == 1 || position->type->rank == 2);
    if (!ok) return build_fail(c,
                               "rope: x %s at positions %s; expected floats (B, H, T, D), D even, and integers (T) or "
                               "(B, T)", type_text(c, x->type),
                               type_text(c, position->type));
    return composite_one(c, COMP_rope, 2, in, 2, (struct attr[]){attr_float(ATTR_ALPHA, base),
        attr_int(ATTR_MODE, interleaved)});
}

/* base^(-2i/D), i < D/2, computed in f64 and rounded once. */
static tsr_node *frequencies(tsr_ctx *c, int64_t half, double base, tsr_dtype t) {
    const tsr_type *type = tsr_type_dims(c, TSR_F64, 1, &half);
    double *f = mem_array(c, (size_t)half + 1, sizeof *f);
    tsr_node *r = tsr_poison(c);
    for (int64_t i = 0; f && i < half; i++) f[i] = pow(base, -(double)i / (double)half);
    if (f && type) r = tsr_cast(c, tsr_const(c, type, f), t);
    mem_array_free(c, f, (size_t)half + 1, sizeof *f);
    return r;
}

bool comp_rope(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    const tsr_type *xt = in[0]->type;
    tsr_dtype as = xt->dtype, t = build_wide(as);
    int64_t half = tsr_node_dim(in[0], 3) / 2;
    bool pairs = comp_int(attr, nattr, ATTR_MODE) != 0;
    (void)n;
    tsr_node *angle = tsr_mul(c, tsr_unsqueeze(c, tsr_cast(c, in[1], t), -1),
                              frequencies(c, half, comp_float(attr, nattr, ATTR_ALPHA), t));
    if (in[1]->type->rank == 2) angle = tsr_unsqueeze(c, angle, 1); /* (B, 1, T, D/2) */
    tsr_node *cs = tsr_cos(c, angle), *sn = tsr_sin(c, angle), *x = tsr_cast(c, in[0], t), *a, *b;
    const tsr_extent *two = tsr_extent_int(c, 2), *h = tsr_extent_int(c, half);
    if (!two || !h) return false;
    x = tsr_reshape_extents(c, x, 5, (const tsr_extent *[]){xt->extent[0], xt->extent[1], xt->extent[2],
        pairs ? h : two, pairs ? two : h});
    a = tsr_select(c, x, pairs ? 4 : 3, 0), b = tsr_select(c, x, pairs ? 4 : 3, 1);
    tsr_node *turned[2] = {tsr_sub(c, tsr_mul(c, a, cs), tsr_mul(c, b, sn)),
        tsr_add(c, tsr_mul(c, b, cs), tsr_mul(c, a, sn))};
    tsr_node *y = tsr_reshape_extents(c, tsr_stack(c, 2, turned, pairs ? 4 : 3), 4, xt->extent);
    return one(tsr_cast(c, y, as), out, nout);
}
