/* import_lapack.c: LAPACK drivers by the names that JAX exports for CPUs.
 *
 *   potrf            (a) -> (factor, info)                    the primitive cholesky
 *   gesdd            (a) -> (scratch, s, u, vt, info)         svd; full factors: completed by reflections
 *   syevd, heevd     (a) -> (vectors, values, info)           eigh
 *   trsm             (a, b) -> x                              triangular_solve
 *   geqrf            (a) -> (packed, tau)                     Householder reflections, LAPACK's storage
 *   orgqr, ungqr     (packed, tau) -> q                       their product
 *   getrf            (a) -> (lu, pivots from 1, info)         LU with partial pivoting; info: the first zero pivot
 * The letter before each name is the element type, which the operands tell. info of the primitives is 0, or 1 where a
 * factor has a NaN, which is how they say that a matrix could not be factored.
 *
 * geqrf: column k gets v = x / (alpha - beta) below the diagonal, beta = -sign(Re alpha) |x| on it, and all columns
 * after it lose conj(tau) v (v^H A), tau = (beta - alpha) / beta; one step of a scan, on whole matrices with masks.
 * Source: LAPACK Users' Guide (larfg, geqrf, orgqr); JAX's exporter for operands and results. */
#include <string.h>

#include "formats/stablehlo/import_body.h"
#include "formats/stablehlo/import_chlo.h"
#include "tessera/ops.h"

/* ---- configuration and failure ----------------------------------------------------------------------------------- */

/* A letter of the driver's configuration (uplo, mode), `fallback` where none is given. */
static int letter(const struct hlo_op *op, const char *name, int fallback) {
    static const char *const where[] = {"mhlo.backend_config", "backend_config"};
    for (int i = 0; i < 2; i++) {
        const struct hlo_attr *config = hlo_get(op, where[i]);
        const struct hlo_attr *v = config && config->kind == HLO_A_DICT ? hlo_field(config, name) : NULL;
        if (v && v->kind == HLO_A_INT) return (int)v->i;
    }
    return fallback;
}

/* i32, one for each matrix: 1 where x (..., R, C) has a NaN. */
static tsr_node *info_of(tsr_ctx *c, tsr_node *x, int matrix_axes) {
    tsr_node *bad = tsr_prim2(c, TSR_S_NE, x, x);
    int64_t axes[2];
    if (tsr_is_poison(bad)) return bad;
    for (int i = 0; i < matrix_axes; i++) axes[i] = tsr_node_rank(x) - matrix_axes + i;
    return imp_as(c, tsr_prim_reduce(c, bad, TSR_REDUCE_OR, matrix_axes, axes), TSR_I32);
}

/* ---- drivers that are primitives --------------------------------------------------------------------------------- */

/* (a) -> (factor, info). */
static bool potrf(struct imp *p, const struct hlo_op *op) {
    tsr_node *a, *y[2];
    if (!imp_operands(p, op, 1, &a)) return false;
    y[0] = tsr_prim_cholesky(p->c, a, letter(op, "uplo", 'L') == 'L');
    y[1] = info_of(p->c, y[0], 2);
    return imp_give(p, op, 2, y);
}

static tsr_node *adjoint(tsr_ctx *c, tsr_node *a) {
    tsr_node *t = tsr_swap_axes(c, a, -1, -2);
    return tsr_is_poison(t) ? t : imp_chlo_find("conj", 1)(c, &t);
}

/* (a) -> (vectors, values, info). */
static bool syevd(struct imp *p, const struct hlo_op *op) {
    tsr_node *a, *y[3];
    if (!imp_operands(p, op, 1, &a)) return false;
    if (letter(op, "uplo", 'L') != 'L') a = adjoint(p->c, a);
    tsr_node *t = tsr_prim_eigh(p->c, a);
    if (tsr_is_poison(t)) return false;
    y[0] = tsr_item(p->c, t, 1), y[1] = tsr_item(p->c, t, 0), y[2] = info_of(p->c, y[1], 1);
    return imp_give(p, op, 3, y);
}

/* (a, b) -> x. */
static bool trsm(struct imp *p, const struct hlo_op *op) {
    int trans = letter(op, "trans_x", 'N');
    tsr_node *x[2];
    if (!imp_operands(p, op, 2, x)) return false;
    tsr_solve_op how = trans == 'N' ? TSR_SOLVE_PLAIN : trans == 'T' ? TSR_SOLVE_TRANSPOSE : TSR_SOLVE_ADJOINT;
    return imp_result(p, op, 0, tsr_prim_triangular_solve(p->c, x[0], x[1], letter(op, "side", 'L') == 'L',
        letter(op, "uplo", 'L') == 'L', letter(op, "diag", 'N') == 'U', how));
}

/* ---- Householder reflections ------------------------------------------------------------------------------------- */

/* Matrices (..., M, N) and what reflections along their rows need; all graph is of a's dtype. */
struct house {
    tsr_ctx *c;
    const tsr_type *t;       /* of the matrix */
    tsr_node *row, *col;     /* i64 positions, in its shape */
    tsr_node *k;             /* the reflection, an i64 scalar */
    int64_t last[2];         /* its last two axes */
};

static tsr_node *op2(const struct house *h, tsr_scalar fn, tsr_node *x, tsr_node *y) {
    return tsr_prim2(h->c, fn, x, imp_spread(h->c, y, x));
}
static tsr_node *where(const struct house *h, tsr_scalar fn, tsr_node *at, tsr_node *x, tsr_node *y) {
    return tsr_prim3(h->c, TSR_S_SELECT, op2(h, fn, at, h->k), x, y);
}
static tsr_node *zeros(const struct house *h) { return tsr_full(h->c, h->t, 0); }
static tsr_node *conjugate(const struct house *h, tsr_node *x) { return imp_chlo_find("conj", 1)(h->c, &x); }

/* Sum over one of the last two axes, repeated along it. */
static tsr_node *sum_along(const struct house *h, tsr_node *x, int which) {
    int64_t axes[TSR_MAX_RANK];
    if (tsr_is_poison(x)) return x;
    for (int a = 0, n = 0; a < h->t->rank; a++)
        if (a != h->last[which]) axes[n++] = a;
    const tsr_type *t = tsr_type_tensor(h->c, tsr_node_dtype(x), h->t->rank, h->t->extent);
    return t ? tsr_prim_broadcast(h->c, tsr_prim_reduce(h->c, x, TSR_REDUCE_SUM, 1, &h->last[which]), t, axes)
             : tsr_poison(h->c);
}

static bool house_of(tsr_ctx *c, tsr_node *a, struct house *h) {
    int rank = tsr_node_rank(a);
    *h = (struct house){.c = c, .t = tsr_node_type(a), .last = {rank - 2, rank - 1}};
    const tsr_type *it = tsr_type_tensor(c, TSR_I64, rank, h->t->extent);
    if (!it) return false;
    h->row = tsr_prim_iota(c, it, rank - 2), h->col = tsr_prim_iota(c, it, rank - 1);
    return !tsr_is_poison(h->row) && !tsr_is_poison(h->col);
}

/* a - factor v (v^H a), v and factor repeated along the columns. */
static tsr_node *reflected(const struct house *h, tsr_node *a, tsr_node *v, tsr_node *factor) {
    tsr_node *inner = sum_along(h, op2(h, TSR_S_MUL, conjugate(h, v), a), 0);
    return op2(h, TSR_S_SUB, a, op2(h, TSR_S_MUL, factor, op2(h, TSR_S_MUL, v, inner)));
}

/* One column: the matrix after it, and tau repeated over the matrix. */
static tsr_node *geqrf_step(const struct house *h, tsr_node *a, tsr_node **tau) {
    tsr_ctx *c = h->c;
    tsr_node *none = zeros(h), *one = tsr_full(c, h->t, 1);
    tsr_node *x = sum_along(h, where(h, TSR_S_EQ, h->col, a, none), 1); /* column k everywhere */
    tsr_node *below = where(h, TSR_S_GT, h->row, x, none), *size = tsr_prim1(c, TSR_S_ABS, below);
    tsr_node *alpha = sum_along(h, where(h, TSR_S_EQ, h->row, x, none), 0), *re = alpha;
    tsr_node *head = tsr_prim1(c, TSR_S_ABS, alpha), *rest = sum_along(h, op2(h, TSR_S_MUL, size, size), 0);
    tsr_node *beta = tsr_prim1(c, TSR_S_SQRT, op2(h, TSR_S_ADD, rest, op2(h, TSR_S_MUL, head, head)));
    bool complex = tsr_dtype_of(h->t->dtype)->kind == TSR_KIND_COMPLEX;
    if (complex) re = tsr_prim1(c, TSR_S_REAL, alpha);
    tsr_node *zero = op2(h, TSR_S_SUB, re, re), *flip = tsr_prim2(c, TSR_S_GE, re, zero);
    beta = tsr_prim3(c, TSR_S_SELECT, flip, tsr_prim1(c, TSR_S_NEG, beta), beta);
    tsr_node *still = tsr_prim2(c, TSR_S_EQ, rest, zero);
    if (complex) {
        tsr_node *im = tsr_prim1(c, TSR_S_IMAG, alpha);
        still = tsr_prim2(c, TSR_S_AND, still, tsr_prim2(c, TSR_S_EQ, im, zero));
        beta = tsr_prim2(c, TSR_S_COMPLEX, beta, zero);
    }
    beta = tsr_prim3(c, TSR_S_SELECT, still, one, beta); /* nothing to reflect: tau = 0 */
    *tau = tsr_prim3(c, TSR_S_SELECT, still, none, tsr_prim2(c, TSR_S_DIV, op2(h, TSR_S_SUB, beta, alpha), beta));
    tsr_node *gap = tsr_prim3(c, TSR_S_SELECT, still, one, op2(h, TSR_S_SUB, alpha, beta));
    tsr_node *v = where(h, TSR_S_EQ, h->row, one, tsr_prim2(c, TSR_S_DIV, below, gap));
    tsr_node *after = where(h, TSR_S_GT, h->col, reflected(h, a, v, conjugate(h, *tau)), a);
    tsr_node *diagonal = tsr_prim3(c, TSR_S_SELECT, still, alpha, beta);
    tsr_node *own = where(h, TSR_S_EQ, h->row, diagonal, where(h, TSR_S_GT, h->row, v, a));
    return where(h, TSR_S_EQ, h->col, own, after);
}

/* tau of the step, once for each matrix. */
static tsr_node *first_element(const struct house *h, tsr_node *x) {
    const tsr_extent *zero = tsr_extent_int(h->c, 0), *one = tsr_extent_int(h->c, 1);
    for (int i = 1; i >= 0; i--)
        x = tsr_squeeze(h->c, imp_cut(h->c, x, (int)h->last[i], zero, one, 1), (int)h->last[i]);
    return x;
}

/* 0 .. n - 1, the reflections. */
static tsr_node *count_to(tsr_ctx *c, const tsr_extent *n) {
    const tsr_type *t = n ? tsr_type_tensor(c, TSR_I64, 1, &n) : NULL;
    return t ? tsr_prim_iota(c, t, 0) : tsr_poison(c);
}

/* Reflections that make a upper triangular: the packed matrix, and tau (..., K). */
static bool factored(struct imp *p, tsr_node *a, tsr_node **packed, tsr_node **tau) {
    tsr_ctx *c = p->c;
    struct house h;
    tsr_node *step[2];
    int rank = tsr_node_rank(a);
    const tsr_extent *n = tsr_extent_min(c, tsr_node_extent(a, -1), tsr_node_extent(a, -2));
    tsr_node *each = count_to(c, n);
    if (tsr_is_poison(each) || tsr_fn_begin(c, "geqrf")) return false;
    tsr_node *own = tsr_param(c, tsr_node_type(a), "a"), *k = tsr_param(c, tsr_type_dims(c, TSR_I64, 0, NULL), "k");
    if (!house_of(c, own, &h)) return tsr_fn_abort(c), false;
    h.k = k;
    step[0] = geqrf_step(&h, own, &step[1]);
    step[1] = first_element(&h, step[1]);
    tsr_fn *body = tsr_fn_end(c, 2, step);
    if (!body) return false;
    tsr_node *t = tsr_prim_scan(c, body, 1, &a, 1, &each, n, false);
    tsr_fn_free(c, body);
    if (tsr_is_poison(t)) return false;
    *packed = tsr_item(c, t, 0), *tau = tsr_move_axis(c, tsr_item(c, t, 1), 0, rank - 2);
    return !tsr_is_poison(*tau);
}

/* One more reflection applied to q: v is the column of the packed matrix below its diagonal. */
static tsr_node *product_step(const struct house *h, tsr_node *q, tsr_node *packed, tsr_node *tau) {
    int64_t axes[TSR_MAX_RANK];
    for (int a = 0; a < h->t->rank - 2; a++) axes[a] = a;
    tsr_node *v = sum_along(h, where(h, TSR_S_EQ, h->col, packed, zeros(h)), 1);
    v = where(h, TSR_S_EQ, h->row, tsr_full(h->c, h->t, 1), where(h, TSR_S_GT, h->row, v, zeros(h)));
    return reflected(h, q, v, tsr_prim_broadcast(h->c, tau, h->t, axes));
}

/* H_0 H_1 ... applied to the first columns of the identity, the last reflection first. */
static tsr_node *product(struct imp *p, tsr_node *packed, tsr_node *tau) {
    tsr_ctx *c = p->c;
    struct house h;
    int rank = tsr_node_rank(packed);
    const tsr_extent *n = tsr_node_extent(tau, -1);
    tsr_node *xs[2] = {count_to(c, n), tsr_move_axis(c, tau, rank - 2, 0)};
    if (tsr_is_poison(xs[0]) || tsr_is_poison(xs[1]) || !house_of(c, packed, &h)) return tsr_poison(c);
    const tsr_type *tau_type = tsr_type_tensor(c, h.t->dtype, rank - 2, h.t->extent);
    tsr_node *q = tsr_prim3(c, TSR_S_SELECT, tsr_prim2(c, TSR_S_EQ, h.row, h.col), tsr_full(c, h.t, 1), zeros(&h));
    if (!tau_type || tsr_is_poison(q) || tsr_fn_begin(c, "orgqr")) return tsr_poison(c);
    tsr_node *own = tsr_param(c, h.t, "q");
    h.k = tsr_param(c, tsr_type_dims(c, TSR_I64, 0, NULL), "k");
    tsr_node *next = product_step(&h, own, packed, tsr_param(c, tau_type, "tau"));
    tsr_fn *body = tsr_fn_end(c, 1, &next);
    if (!body) return tsr_poison(c);
    tsr_node *y = tsr_prim_scan(c, body, 1, &q, 2, xs, n, true);
    tsr_fn_free(c, body);
    return tsr_is_poison(y) ? y : tsr_item(c, y, 0);
}

static bool is_matrix(struct imp *p, const struct hlo_op *op, const tsr_node *a) {
    return tsr_node_rank(a) >= 2 || imp_fail(p, op, "it takes matrices, not rank %d", tsr_node_rank(a));
}

static bool geqrf(struct imp *p, const struct hlo_op *op) {
    tsr_node *a, *y[2];
    return imp_operands(p, op, 1, &a) && is_matrix(p, op, a) && factored(p, a, &y[0], &y[1]) && imp_give(p, op, 2, y);
}

static bool orgqr(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[2];
    if (!imp_operands(p, op, 2, x) || !is_matrix(p, op, x[0])) return false;
    if (tsr_node_rank(x[1]) != tsr_node_rank(x[0]) - 1) return imp_fail(p, op, "its tau has the wrong rank");
    return imp_result(p, op, 0, product(p, x[0], x[1]));
}

/* ---- svd --------------------------------------------------------------------------------------------------------- */

/* u (..., M, K) with orthonormal columns, completed to (..., M, M). */
static tsr_node *completed(struct imp *p, const struct hlo_op *op, tsr_node *u) {
    tsr_ctx *c = p->c;
    tsr_node *packed, *tau;
    int rank = tsr_node_rank(u);
    int64_t m = tsr_node_dim(u, -2), k = tsr_node_dim(u, -1), none[TSR_MAX_RANK] = {0}, more[TSR_MAX_RANK] = {0};
    if (m == k) return u;
    if (m < 0 || k < 0) return imp_fail(p, op, "full factors of a matrix of unknown extents"), tsr_poison(c);
    if (!factored(p, u, &packed, &tau)) return tsr_poison(c);
    more[rank - 1] = m - k;
    packed = tsr_prim_pad_ints(c, packed, tsr_scalar_float(c, tsr_node_dtype(u), 0), none, more, NULL);
    tsr_node *rest = product(p, packed, tau);
    rest = imp_cut(c, rest, rank - 1, tsr_extent_int(c, k), tsr_extent_int(c, m), 1);
    return tsr_prim_concat(c, 2, (tsr_node *[]){u, rest}, rank - 1);
}

/* (a) -> (scratch, s, u, vt, info); mode S thin, A full, N values alone. */
static bool gesdd(struct imp *p, const struct hlo_op *op) {
    tsr_ctx *c = p->c;
    tsr_node *a, *y[5];
    int mode = letter(op, "mode", 'S');
    if (!imp_operands(p, op, 1, &a) || !is_matrix(p, op, a)) return false;
    tsr_node *t = tsr_prim_svd(c, a);
    if (tsr_is_poison(t)) return false;
    y[0] = a, y[1] = tsr_item(c, t, 1), y[2] = tsr_item(c, t, 0), y[3] = tsr_item(c, t, 2);
    if (mode == 'A') {
        y[2] = completed(p, op, y[2]);
        y[3] = tsr_swap_axes(c, completed(p, op, tsr_swap_axes(c, y[3], -1, -2)), -1, -2);
    }
    for (int i = 2; i < 4 && mode == 'N'; i++) {
        const tsr_type *declared = op->nresult > i ? imp_result_type(p, op, i) : NULL;
        if (!declared) return false;
        y[i] = tsr_full(c, declared, 0);
    }
    y[4] = info_of(c, y[1], 1);
    return imp_give(p, op, 5, y);
}

/* ---- LU ---------------------------------------------------------------------------------------------------------- */

/* Step k: the row with the greatest element below the diagonal comes up, then is taken off those below it. */
static tsr_node *getrf_step(const struct house *h, tsr_node *a, tsr_node **info, tsr_node **pivot) {
    tsr_ctx *c = h->c;
    int64_t axes[TSR_MAX_RANK];
    for (int i = 0, n = 0; i < h->t->rank; i++)
        if (i != h->last[0]) axes[n++] = i;
    tsr_node *none = zeros(h), *size = tsr_prim1(c, TSR_S_ABS, sum_along(h, where(h, TSR_S_EQ, h->col, a, none), 1));
    if (tsr_is_poison(size)) return size;
    size = where(h, TSR_S_GE, h->row, size, tsr_full(c, tsr_node_type(size), -1));
    tsr_node *best = tsr_prim_argreduce(c, size, TSR_REDUCE_MAX, (int)h->last[0], TSR_I64);
    if (tsr_is_poison(best)) return best;
    best = tsr_prim_broadcast(c, best, tsr_node_type(h->row), axes);
    tsr_node *is_best = tsr_prim2(c, TSR_S_EQ, h->row, best);
    tsr_node *up = sum_along(h, tsr_prim3(c, TSR_S_SELECT, is_best, a, none), 0);
    tsr_node *down = sum_along(h, where(h, TSR_S_EQ, h->row, a, none), 0);
    a = where(h, TSR_S_EQ, h->row, up, tsr_prim3(c, TSR_S_SELECT, is_best, down, a));
    tsr_node *lead = sum_along(h, where(h, TSR_S_EQ, h->col, up, none), 1), *one = tsr_full(c, h->t, 1);
    tsr_node *zero = tsr_prim2(c, TSR_S_EQ, lead, none);
    tsr_node *x = sum_along(h, where(h, TSR_S_EQ, h->col, a, none), 1);
    tsr_node *l = tsr_prim2(c, TSR_S_DIV, x, tsr_prim3(c, TSR_S_SELECT, zero, one, lead));
    tsr_node *after = where(h, TSR_S_GT, h->col, tsr_prim2(c, TSR_S_SUB, a, tsr_prim2(c, TSR_S_MUL, l, up)), a);
    *pivot = imp_as(c, op2(h, TSR_S_ADD, first_element(h, best), tsr_scalar_int(c, TSR_I64, 1)), TSR_I32);
    tsr_node *number = imp_spread(c, op2(h, TSR_S_ADD, imp_as(c, h->k, TSR_I32), tsr_scalar_int(c, TSR_I32, 1)), *info);
    tsr_node *first = tsr_prim2(c, TSR_S_AND, first_element(h, zero), op2(h, TSR_S_EQ, *info,
        tsr_scalar_int(c, TSR_I32, 0)));
    *info = tsr_prim3(c, TSR_S_SELECT, first, number, *info);
    return where(h, TSR_S_GT, h->row, where(h, TSR_S_EQ, h->col, l, after), a);
}

static bool getrf(struct imp *p, const struct hlo_op *op) {
    tsr_ctx *c = p->c;
    struct house h;
    tsr_node *a, *carry[2], *own[2], *step[3], *y[3];
    if (!imp_operands(p, op, 1, &a) || !is_matrix(p, op, a)) return false;
    int rank = tsr_node_rank(a);
    const tsr_extent *n = tsr_extent_min(c, tsr_node_extent(a, -1), tsr_node_extent(a, -2));
    const tsr_type *each = tsr_type_tensor(c, TSR_I32, rank - 2, tsr_node_type(a)->extent);
    tsr_node *count = count_to(c, n);
    carry[0] = a, carry[1] = each ? tsr_full(c, each, 0) : tsr_poison(c);
    if (tsr_is_poison(count) || tsr_is_poison(carry[1]) || tsr_fn_begin(c, "getrf")) return false;
    own[0] = tsr_param(c, tsr_node_type(a), "a"), own[1] = tsr_param(c, each, "info");
    tsr_node *k = tsr_param(c, tsr_type_dims(c, TSR_I64, 0, NULL), "k");
    if (!house_of(c, own[0], &h)) return tsr_fn_abort(c), false;
    h.k = k, step[1] = own[1], step[2] = tsr_poison(c);
    step[0] = getrf_step(&h, own[0], &step[1], &step[2]);
    tsr_fn *body = tsr_fn_end(c, 3, step);
    if (!body) return false;
    tsr_node *t = tsr_prim_scan(c, body, 2, carry, 1, &count, n, false);
    tsr_fn_free(c, body);
    if (tsr_is_poison(t)) return false;
    y[0] = tsr_item(c, t, 0), y[1] = tsr_move_axis(c, tsr_item(c, t, 2), 0, rank - 2), y[2] = tsr_item(c, t, 1);
    return imp_give(p, op, 3, y);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

bool imp_lapack(struct imp *p, const struct hlo_op *op, const char *name) {
    static const struct { const char *name; bool (*build)(struct imp *p, const struct hlo_op *op); } drivers[] = {
        {"potrf_ffi", potrf}, {"gesdd_ffi", gesdd}, {"syevd_ffi", syevd}, {"heevd_ffi", syevd},
        {"geqrf_ffi", geqrf}, {"orgqr_ffi", orgqr}, {"ungqr_ffi", orgqr}, {"getrf_ffi", getrf}, {"trsm_ffi", trsm},
    };
    for (size_t i = 0; *name && i < sizeof drivers / sizeof *drivers; i++)
        if (!strcmp(name + 1, drivers[i].name)) return drivers[i].build(p, op);
    return imp_fail(p, op, "the LAPACK driver %s is not known here", name);
}
