/* op_eigen.c: singular values and eigenvalues of Hermitian matrices over the last two axes; axes before them are batch.
 *
 *   svd    a = u diag(s) vt: u (M, K), s (K) descending, vt (K, N), K = min(M, N); real matrices
 *   eigh   a v = v diag(w): w (N) ascending and real, v (N, N) with orthonormal columns; only the lower triangle of a
 *   is read
 * Vectors are unique up to a sign (a phase when complex). It is fixed: of each column of u, or of v for eigh, the
 * first entry that is nearly (to one part in a million) of the greatest magnitude is real and positive.
 *
 * Gradients (Giles 2008; Townsend 2016, "Differentiating the singular value decomposition"): differences of (squared)
 * values stand in denominators; where two are equal their term is left out, which is exact for functions that do not
 * tell equal vectors apart. The sign is locally constant. A complex phase is not: gradients of eigh are right for
 * functions that do not depend on it. */
#include "graph/op_linalg.h"

/* ---- svd --------------------------------------------------------------------------------------------------------- */

static const tsr_type *svd_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *a = d->src[0]->type;
    if (!la_matrix(c, "svd", a, false, false)) return NULL;
    const tsr_extent *k = tsr_extent_min(c, a->extent[a->rank - 2], a->extent[a->rank - 1]);
    const tsr_type *u = k ? type_with_extent(c, a, a->rank - 1, k) : NULL;
    const tsr_type *vt = u ? type_with_extent(c, a, a->rank - 2, k) : NULL;
    const tsr_type *s = vt ? type_drop_axis(c, u, a->rank - 2) : NULL;
    return s ? tsr_type_tuple(c, 3, (const tsr_type *[]){u, s, vt}) : NULL;
}

tsr_node *tsr_prim_svd(tsr_ctx *c, tsr_node *a) { return la_make(c, TSR_OP_SVD, a); }

static tsr_node *skew(tsr_ctx *c, tsr_node *x) { return la_sub(c, x, la_t(c, x)); }

/* f[i, j] = 1 / (w_j - w_i), 0 where they are equal; t: the type of a (K, K) matrix. */
static tsr_node *inverse_gaps(tsr_ctx *c, tsr_node *w, const tsr_type *t) {
    return la_safe_inverse(c, la_sub(c, la_rows(c, w, t), la_cols(c, w, t)));
}

/* u [ (f o skew(u^T gu)) s + s (f o skew(v^T gv)) + gs ] v^T + (1 - u u^T) gu s^-1 v^T + u s^-1 gv^T (1 - v v^T) */
static bool svd_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (!want[0]) return true;
    tsr_node *u = tsr_item(c, n, 0), *s = tsr_item(c, n, 1), *vt = tsr_item(c, n, 2), *gu = gout[0], *gvt = gout[2];
    tsr_node *ugu = la_dot(c, la_t(c, u), gu), *vgv = la_dot(c, vt, la_t(c, gvt));
    if (tsr_is_poison(ugu) || tsr_is_poison(vgv)) return false;
    const tsr_type *kk = ugu->type;
    tsr_node *f = inverse_gaps(c, la_mul(c, s, s), kk), *rows = la_rows(c, s, kk), *cols = la_cols(c, s, kk);
    tsr_node *inner = la_add(c, la_mul(c, la_mul(c, f, skew(c, ugu)), rows),
                             la_mul(c, cols, la_mul(c, f, skew(c, vgv))));
    inner = la_add(c, inner, la_mul(c, la_rows(c, gout[1], kk), la_eye(c, kk)));
    tsr_node *inv = la_safe_inverse(c, s);
    tsr_node *left = la_mul(c, la_sub(c, gu, la_dot(c, u, ugu)), la_rows(c, inv, u->type));
    tsr_node *right = la_mul(c, la_cols(c, inv, vt->type), la_sub(c, gvt, la_dot(c, la_t(c, vgv), vt)));
    gsrc[0] = la_dot(c, la_add(c, la_dot(c, u, inner), left), vt);
    gsrc[0] = la_add(c, gsrc[0], la_dot(c, u, right));
    return !tsr_is_poison(gsrc[0]);
}

static tsr_node *svd_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)n;
    return tsr_prim_svd(c, rule_batch(c, src[0], batched[0], size));
}

/* Well separated values, so that vectors are well defined; squares of vectors, so that their sign does not matter. */
static tsr_fn *svd_sample(tsr_ctx *c, struct sample *s) {
    int rank;
    int64_t dim[3];
    if (!la_sampled(s, false)) return NULL;
    la_sample_dims(s, &rank, dim, false);
    if (tsr_fn_begin(c, "svd") != TSR_OK) return NULL;
    tsr_node *a = la_add_diagonal(c, la_scale(c, sample_param(c, s->dtype, rank, dim), 0.3), 3, 2);
    tsr_node *y = tsr_prim_svd(c, a);
    tsr_node *u = tsr_item(c, y, 0), *vt = tsr_item(c, y, 2);
    return tsr_fn_end(c, 3, (tsr_node *[]){la_mul(c, u, u), tsr_item(c, y, 1), la_mul(c, vt, vt)});
}

const struct op_def op_SVD = {
    .name = "svd", .formula = "a = u diag(s) vt", .spec = "LAPACK gesvd", .cls = OP_LIBRARY, .arity = 1, .domain = "f",
    .infer = svd_infer,
    .vjp = svd_vjp, .vmap = svd_vmap, .ref = ref_svd, .sample = svd_sample,
};

/* ---- eigh -------------------------------------------------------------------------------------------------------- */

static const tsr_type *eigh_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *a = d->src[0]->type;
    if (!la_matrix(c, "eigh", a, true, true)) return NULL;
    const tsr_type *w = type_drop_axis(c, type_with_dtype(c, a, dtype_real(a->dtype)), a->rank - 2);
    return w ? tsr_type_tuple(c, 2, (const tsr_type *[]){w, a}) : NULL;
}

tsr_node *tsr_prim_eigh(tsr_ctx *c, tsr_node *a) { return la_make(c, TSR_OP_EIGH, a); }

/* v (f o (v^H gv) + gw) v^H, Hermitian part, read from the lower triangle */
static bool eigh_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (!want[0]) return true;
    tsr_node *w = tsr_item(c, n, 0), *v = tsr_item(c, n, 1), *vgv = la_dot(c, la_h(c, v), la_conj(c, gout[1]));
    if (tsr_is_poison(vgv)) return false;
    const tsr_type *t = vgv->type;
    tsr_node *f = la_complexify(c, inverse_gaps(c, w, t), t->dtype);
    tsr_node *gw = la_complexify(c, la_rows(c, gout[0], t), t->dtype);
    tsr_node *inner = la_add(c, la_mul(c, f, vgv), la_mul(c, gw, la_eye(c, t)));
    tsr_node *g = la_dot(c, la_dot(c, v, inner), la_h(c, v));
    gsrc[0] = la_conj(c, la_one_triangle(c, g, true));
    return !tsr_is_poison(gsrc[0]);
}

static tsr_node *eigh_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)n;
    return tsr_prim_eigh(c, rule_batch(c, src[0], batched[0], size));
}

/* |v|^2, which does not depend on the phase. */
static tsr_fn *eigh_sample(tsr_ctx *c, struct sample *s) {
    int rank;
    int64_t dim[3];
    if (!la_sampled(s, true)) return NULL;
    la_sample_dims(s, &rank, dim, true);
    if (tsr_fn_begin(c, "eigh") != TSR_OK) return NULL;
    tsr_node *a = la_add_diagonal(c, la_scale(c, sample_param(c, s->dtype, rank, dim), 0.3), -3, 2);
    tsr_node *y = tsr_prim_eigh(c, a);
    tsr_node *v = tsr_item(c, y, 1), *size = la_mul(c, v, la_conj(c, v));
    if (dtype_is_complex(s->dtype)) size = tsr_prim1(c, TSR_S_REAL, size);
    return tsr_fn_end(c, 2, (tsr_node *[]){tsr_item(c, y, 0), size});
}

const struct op_def op_EIGH = {
    .name = "eigh", .formula = "a v = v diag(w), v^H v = 1", .spec = "LAPACK syevd, heevd", .cls = OP_LIBRARY,
    .arity = 1, .domain = "fc",
    .infer = eigh_infer, .vjp = eigh_vjp, .vmap = eigh_vmap, .ref = ref_eigh, .sample = eigh_sample,
};
