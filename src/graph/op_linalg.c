/* op_linalg.c: factorizations and triangular systems over the last two axes; axes before them are batch. (svd and
 * eigh: op_eigen.c.)
 *
 *   cholesky           a = l l^H (lower) or u^H u. Reads one triangle of a; the other triangle of the result is zero.
 *                      A matrix that is not positive definite gives NaN (the specification leaves it open).
 *   triangular_solve   op(a) x = b (left) or x op(a) = b. Reads one triangle of a, with unit not even its diagonal.
 *   qr                 a = q r: q (M, K) with orthonormal columns, r (K, N) upper triangular, K = min(M, N). The sign
 *   is
 *                      LAPACK's: a reflection takes each column to -sign(its first entry) times its length, so r's
 *                      diagonal is real, and negative where that entry was positive.
 *
 * Gradients: cholesky, Murray 2016 (arXiv:1602.07527); triangular_solve, Giles 2008 (2.3); qr, Walter and Lehmann 2013
 * with the wide case as in Roberts and Roberts 2020 (arXiv:2009.10071). A function of one triangle has its gradient in
 * that triangle. */
#include "graph/op_linalg.h"

/* ---- cholesky ---------------------------------------------------------------------------------------------------- */

static const tsr_type *cholesky_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *a = d->src[0]->type;
    return la_matrix(c, "cholesky", a, true, true) ? a : NULL;
}

tsr_node *tsr_prim_cholesky(tsr_ctx *c, tsr_node *a, bool lower) {
    struct attr at = attr_int(ATTR_LOWER, lower);
    if (axes_poison(1, &a)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_CHOLESKY, .nsrc = 1, .src = &a, .nattr = 1, .attr = &at});
}

/* S = l^-H P(l^H g) l^-1, P: lower triangle with half the diagonal; then what one triangle of Hermitian a gets. */
static bool cholesky_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    bool lower = node_int(n, ATTR_LOWER);
    if (!want[0]) return true;
    tsr_node *g = la_conj(c, gout[0]), *l = lower ? n : la_h(c, n);
    if (!lower) g = la_h(c, g);
    tsr_node *p = la_dot(c, la_h(c, l), la_tri(c, g, true, 0));
    if (tsr_is_poison(p)) return false;
    p = la_sub(c, la_tri(c, p, true, 0), la_scale(c, la_mul(c, p, la_eye(c, p->type)), 0.5));
    tsr_node *s = tsr_prim_triangular_solve(c, l, p, true, true, false, TSR_SOLVE_ADJOINT);
    s = tsr_prim_triangular_solve(c, l, s, false, true, false, TSR_SOLVE_PLAIN);
    gsrc[0] = la_conj(c, la_one_triangle(c, s, lower));
    return !tsr_is_poison(gsrc[0]);
}

static tsr_node *cholesky_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                               const tsr_extent *size) {
    return tsr_prim_cholesky(c, rule_batch(c, src[0], batched[0], size), node_int(n, ATTR_LOWER));
}

static tsr_fn *cholesky_sample(tsr_ctx *c, struct sample *s) {
    int rank;
    int64_t dim[3];
    if (!la_sampled(s, true)) return NULL;
    la_sample_dims(s, &rank, dim, true);
    if (tsr_fn_begin(c, "cholesky") != TSR_OK) return NULL;
    tsr_node *y = tsr_prim_cholesky(c, la_sample_positive(c, sample_param(c, s->dtype, rank, dim)),
                                    sample_int(s, 0, 1));
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_CHOLESKY = {
    .name = "cholesky", .formula = "a = l l^H, l lower triangular (or u^H u)", .spec = "StableHLO cholesky",
    .cls = OP_LIBRARY, .arity = 1,
    .domain = "fc", .infer = cholesky_infer, .vjp = cholesky_vjp, .vmap = cholesky_vmap, .ref = ref_cholesky,
    .sample = cholesky_sample,
};

/* ---- triangular_solve -------------------------------------------------------------------------------------------- */

static const tsr_type *solve_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *a = d->src[0]->type, *b = d->src[1]->type;
    int64_t op = draft_int(d, ATTR_MODE);
    bool left = draft_int(d, ATTR_LEFT);
    if (!la_matrix(c, "triangular_solve", a, true, true) || !la_matrix(c, "triangular_solve", b, true, false))
        return NULL;
    if (op < TSR_SOLVE_PLAIN || op > TSR_SOLVE_ADJOINT)
        return err_set(c, TSR_EINVAL, "triangular_solve: there is no operation %d on a; see tsr_solve_op", (int)op),
            NULL;
    bool ok = a->dtype == b->dtype && a->rank == b->rank;
    for (int i = 0; ok && i + 2 < a->rank; i++)
        ok = extent_require_equal(c, a->extent[i], b->extent[i],
                                  "triangular_solve of a %s, b %s: batch axis %d differs", type_text(c, a),
                                      type_text(c, b), i);
    if (ok)
        ok = extent_require_equal(c, a->extent[a->rank - 1], b->extent[b->rank - (left ? 2 : 1)],
                                  "triangular_solve of a %s, b %s: b must have as many %s as a", type_text(c, a),
                                      type_text(c, b), left ? "rows" : "columns");
    if (!ok && !err_any(c))
        err_set(c, TSR_EINVAL, "triangular_solve of a %s, b %s: both must have one dtype and one rank",
                type_text(c, a), type_text(c, b));
    return ok ? b : NULL;
}

tsr_node *tsr_prim_triangular_solve(tsr_ctx *c, tsr_node *a, tsr_node *b, bool left, bool lower, bool unit,
                                    tsr_solve_op op) {
    struct attr at[] = {attr_int(ATTR_MODE, op), attr_int(ATTR_LOWER, lower), attr_int(ATTR_LEFT, left),
        attr_int(ATTR_UNIT, unit)};
    tsr_node *src[2] = {a, b};
    if (axes_poison(2, src)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = TSR_OP_TRIANGULAR_SOLVE, .nsrc = 2, .src = src, .nattr = 4, .attr = at});
}

/* With m = op(a): gb = m^-T g and gm = -gb x^T (left), g m^-T and -x^T gb (right); plain transposes, as the pairing is
 * Re(g dy). */
static bool solve_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    bool left = node_int(n, ATTR_LEFT), lower = node_int(n, ATTR_LOWER), unit = node_int(n, ATTR_UNIT);
    tsr_solve_op op = (tsr_solve_op)node_int(n, ATTR_MODE);
    tsr_node *a = op == TSR_SOLVE_ADJOINT ? la_conj(c, n->src[0]) : n->src[0];
    tsr_node *gb = tsr_prim_triangular_solve(c, a, gout[0], left, lower, unit, op == TSR_SOLVE_PLAIN
                                             ? TSR_SOLVE_TRANSPOSE : TSR_SOLVE_PLAIN);
    if (want[1]) gsrc[1] = gb;
    if (want[0]) {
        tsr_node *gm = la_neg(c, left ? la_dot(c, gb, la_t(c, n)) : la_dot(c, la_t(c, n), gb));
        if (op == TSR_SOLVE_TRANSPOSE) gm = la_t(c, gm);
        if (op == TSR_SOLVE_ADJOINT) gm = la_h(c, gm);
        gsrc[0] = la_tri(c, gm, lower, unit);
    }
    return !tsr_is_poison(gb);
}

static tsr_node *solve_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                            const tsr_extent *size) {
    return tsr_prim_triangular_solve(c, rule_batch(c, src[0], batched[0], size),
                                     rule_batch(c, src[1], batched[1], size), node_int(n, ATTR_LEFT),
                                     node_int(n, ATTR_LOWER), node_int(n, ATTR_UNIT),
                                         (tsr_solve_op)node_int(n, ATTR_MODE));
}

/* a: random entries made small beside the diagonal, so that the system is well conditioned. */
static tsr_fn *solve_sample(tsr_ctx *c, struct sample *s) {
    int rank;
    int64_t dim[3], side[3];
    bool left = sample_int(s, 0, 1), lower = sample_int(s, 0, 1), unit = sample_int(s, 0, 1);
    if (!la_sampled(s, true)) return NULL;
    la_sample_dims(s, &rank, dim, true);
    for (int i = 0; i < rank; i++) side[i] = dim[i];
    side[rank - (left ? 1 : 2)] = sample_int(s, s->size ? 0 : 1, s->size ? 17 : 3);
    if (tsr_fn_begin(c, "triangular_solve") != TSR_OK) return NULL;
    tsr_node *a = sample_param(c, s->dtype, rank, dim), *b = sample_param(c, s->dtype, rank, side);
    a = la_add_diagonal(c, la_scale(c, a, 0.3 / (double)(dim[rank - 1] > 4 ? dim[rank - 1] / 4 : 1)), 2, 0);
    tsr_node *y = tsr_prim_triangular_solve(c, a, b, left, lower, unit, (tsr_solve_op)sample_int(s, 0, 2));
    return tsr_fn_end(c, 1, &y);
}

const struct op_def op_TRIANGULAR_SOLVE = {
    .name = "triangular_solve", .formula = "x with op(a) x = b, or x op(a) = b; a triangular",
    .spec = "StableHLO triangular_solve",
    .cls = OP_LIBRARY, .arity = 2, .domain = "fc", .infer = solve_infer, .vjp = solve_vjp, .vmap = solve_vmap,
    .ref = ref_triangular_solve,
    .sample = solve_sample,
};

/* ---- qr ---------------------------------------------------------------------------------------------------------- */

static const tsr_type *qr_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *a = d->src[0]->type;
    if (!la_matrix(c, "qr", a, true, false)) return NULL;
    const tsr_extent *k = tsr_extent_min(c, a->extent[a->rank - 2], a->extent[a->rank - 1]);
    const tsr_type *q = k ? type_with_extent(c, a, a->rank - 1, k) : NULL;
    const tsr_type *r = q ? type_with_extent(c, a, a->rank - 2, k) : NULL;
    return r ? tsr_type_tuple(c, 2, (const tsr_type *[]){q, r}) : NULL;
}

tsr_node *tsr_prim_qr(tsr_ctx *c, tsr_node *a) { return la_make(c, TSR_OP_QR, a); }

/* M >= N: (gq + q copy(triu(gr r^H - q^H gq))) r^-H, where copy(X) = X + X^H with the real diagonal halved. */
static tsr_node *qr_tall(tsr_ctx *c, tsr_node *q, tsr_node *r, tsr_node *gq, tsr_node *gr) {
    tsr_node *x = la_sub(c, la_dot(c, gr, la_h(c, r)), la_dot(c, la_h(c, q), gq));
    x = la_tri(c, x, false, 0);
    x = la_add(c, x, la_h(c, x));
    if (tsr_is_poison(x)) return x;
    x = la_sub(c, x, la_scale(c, la_mul(c, x, la_eye(c, x->type)), 0.5));
    return tsr_prim_triangular_solve(c, r, la_add(c, gq, la_dot(c, q, x)), false, false, false, TSR_SOLVE_ADJOINT);
}

/* Columns [from, to) of the last axis. */
static tsr_node *columns(tsr_ctx *c, tsr_node *a, const tsr_extent *from, const tsr_extent *to) {
    if (tsr_is_poison(a)) return tsr_poison(c);
    const tsr_extent *start[TSR_MAX_RANK], *limit[TSR_MAX_RANK];
    int64_t stride[TSR_MAX_RANK];
    int r = a->type->rank;
    for (int i = 0; i < r; i++) start[i] = tsr_extent_int(c, 0), limit[i] = a->type->extent[i], stride[i] = 1;
    start[r - 1] = from, limit[r - 1] = to;
    return tsr_prim_slice(c, a, start, limit, stride);
}

/* a = (x y), x = q u square, r = (u v), v = q^H y. */
static tsr_node *qr_wide(tsr_ctx *c, tsr_node *a, tsr_node *q, tsr_node *r, tsr_node *gq, tsr_node *gr) {
    const tsr_extent *zero = tsr_extent_int(c, 0), *m = tsr_node_extent(a, -2), *n = tsr_node_extent(a, -1);
    tsr_node *y = columns(c, a, m, n), *gv = columns(c, gr, m, n);
    gq = la_add(c, gq, la_dot(c, y, la_h(c, gv)));
    tsr_node *part[2] = {qr_tall(c, q, columns(c, r, zero, m), gq, columns(c, gr, zero, m)), la_dot(c, q, gv)};
    return tsr_is_poison(part[0]) || tsr_is_poison(part[1]) ? tsr_poison(c)
        : tsr_prim_concat(c, 2, part, a->type->rank - 1);
}

static bool qr_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    tsr_node *a = n->src[0], *q = tsr_item(c, n, 0), *r = tsr_item(c, n, 1);
    const tsr_extent *rows = tsr_node_extent(a, -2), *cols = tsr_node_extent(a, -1), *k = tsr_node_extent(q, -1);
    if (!want[0]) return true;
    if (k != cols && k != rows) {
        err_set(c, TSR_EUNSUPPORTED,
                "qr of %s: its gradient needs to know which is greater, rows or columns; give the symbols bounds",
                    type_text(c, a->type));
        return false;
    }
    tsr_node *gq = la_conj(c, gout[0]), *gr = la_tri(c, la_conj(c, gout[1]), false, 0);
    gsrc[0] = la_conj(c, k == cols ? qr_tall(c, q, r, gq, gr) : qr_wide(c, a, q, r, gq, gr));
    return !tsr_is_poison(gsrc[0]);
}

static tsr_node *qr_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)n;
    return tsr_prim_qr(c, rule_batch(c, src[0], batched[0], size));
}

static tsr_fn *qr_sample(tsr_ctx *c, struct sample *s) {
    int rank;
    int64_t dim[3];
    if (!la_sampled(s, true)) return NULL;
    la_sample_dims(s, &rank, dim, false);
    if (tsr_fn_begin(c, "qr") != TSR_OK) return NULL;
    tsr_node *a = la_add_diagonal(c, sample_param(c, s->dtype, rank, dim), 4 + (double)(dim[rank - 1] / 2), 0);
    tsr_node *y = tsr_prim_qr(c, a);
    return tsr_fn_end(c, 2, (tsr_node *[]){tsr_item(c, y, 0), tsr_item(c, y, 1)});
}

const struct op_def op_QR = {
    .name = "qr", .formula = "a = q r, q^H q = 1, r upper triangular", .spec = "LAPACK geqrf, orgqr", .cls = OP_LIBRARY,
    .arity = 1, .domain = "fc",
    .infer = qr_infer, .vjp = qr_vjp, .vmap = qr_vmap, .ref = ref_qr, .sample = qr_sample,
};
