/* index.c: affine forms over the scalars and tile axes of a program, and views.
 *
 * A form is c0 + sum coef * var (+ tile). Coefficients are interned extent expressions, so equal forms compare by
 * pointers and strides fold while compiling. Everything stays affine until it meets a split of one axis into several (a
 * reshape that the view could not delay) or an index computed from data; then it becomes a scalar of the program or an
 * i64 tile. */
#include "compile/lower.h"

#include <string.h>

/* ---- extents ---- */

const tsr_extent *ext_add(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) { return a && b ? tsr_extent_add(c, a,
    b) : NULL; }
const tsr_extent *ext_sub(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) { return a && b ? tsr_extent_sub(c, a,
    b) : NULL; }
const tsr_extent *ext_mul(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) { return a && b ? tsr_extent_mul(c, a,
    b) : NULL; }
const tsr_extent *ext_int(tsr_ctx *c, int64_t v) { return tsr_extent_int(c, v); }

const tsr_extent *ext_ceildiv(tsr_ctx *c, const tsr_extent *a, int64_t b) {
    const tsr_extent *d = tsr_extent_int(c, b);
    return a && d ? (b == 1 ? a : tsr_extent_ceildiv(c, a, d)) : NULL;
}

const tsr_extent *ext_product(tsr_ctx *c, int n, const tsr_extent *const *e) {
    const tsr_extent *p = tsr_extent_int(c, 1);
    for (int i = 0; i < n; i++) p = ext_mul(c, p, e[i]);
    return p;
}

int64_t ext_hint(const tsr_extent *e, int64_t otherwise) {
    int64_t v, lo, hi;
    if (!e) return otherwise;
    if (tsr_extent_is_int(e, &v)) return v;
    tsr_extent_bounds(e, &lo, &hi);
    return hi < otherwise ? hi : otherwise;
}

static bool is(const tsr_extent *e, int64_t v) {
    int64_t x;
    return e && tsr_extent_is_int(e, &x) && x == v;
}

/* ---- forms ---- */

struct ix ix_ext(const tsr_extent *e) { return (struct ix){.c0 = e, .tile = TSR_TV_NONE}; }
struct ix ix_const(tsr_ctx *c, int64_t v) { return ix_ext(tsr_extent_int(c, v)); }

struct ix ix_var(tsr_ctx *c, tsr_tv var) {
    struct ix r = ix_const(c, 0);
    r.t[r.n++] = (struct term){var, tsr_extent_int(c, 1)};
    return r;
}

static void put_term(struct kern *k, struct ix *r, tsr_tv var, const tsr_extent *coef) {
    if (is(coef, 0)) return;
    if (r->n == LOW_TERMS) {
        err_set(k->c, TSR_EUNSUPPORTED, "an index of a fused kernel has more than %d terms; split the expression",
            LOW_TERMS);
        return;
    }
    r->t[r->n++] = (struct term){var, coef};
}

struct ix ix_add(struct kern *k, const struct ix *a, const struct ix *b) {
    struct ix r = ix_ext(ext_add(k->c, a->c0, b->c0));
    for (int i = 0, j = 0; i < a->n || j < b->n;) {
        if (j == b->n || (i < a->n && a->t[i].var < b->t[j].var)) put_term(k, &r, a->t[i].var, a->t[i].coef), i++;
        else if (i == a->n || b->t[j].var < a->t[i].var) put_term(k, &r, b->t[j].var, b->t[j].coef), j++;
        else put_term(k, &r, a->t[i].var, ext_add(k->c, a->t[i].coef, b->t[j].coef)), i++, j++;
    }
    r.tile = a->tile == TSR_TV_NONE ? b->tile : b->tile == TSR_TV_NONE ? a->tile : tsr_tile_elem2(k->p, TSR_S_ADD,
        a->tile, b->tile);
    return r;
}

struct ix ix_add_ext(struct kern *k, const struct ix *a, const tsr_extent *e) {
    struct ix r = *a;
    r.c0 = ext_add(k->c, a->c0, e);
    return r;
}

struct ix ix_scale(struct kern *k, const struct ix *a, const tsr_extent *e) {
    if (is(e, 1)) return *a;
    struct ix r = ix_ext(ext_mul(k->c, a->c0, e));
    for (int i = 0; i < a->n; i++) put_term(k, &r, a->t[i].var, ext_mul(k->c, a->t[i].coef, e));
    if (a->tile != TSR_TV_NONE) r.tile = is(e, 0) ? TSR_TV_NONE : tsr_tile_elem2(k->p, TSR_S_MUL, a->tile, kern_ext(k,
        e));
    return r;
}

bool ix_equal(const struct ix *a, const struct ix *b) {
    if (a->c0 != b->c0 || a->n != b->n || a->tile != b->tile) return false;
    for (int i = 0; i < a->n; i++)
        if (a->t[i].var != b->t[i].var || a->t[i].coef != b->t[i].coef) return false;
    return true;
}

bool index_equal(const struct index *a, const struct index *b) {
    if (a == b) return true;
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i] || !ix_equal(&a->at[i], &b->at[i])) return false;
    return true;
}

unsigned ix_axes(const struct kern *k, const struct ix *a) {
    unsigned m = 0;
    for (int i = 0; i < a->n; i++)
        if (low_is_axis(a->t[i].var)) m |= 1u << low_axis(a->t[i].var);
    if (a->tile == TSR_TV_NONE) return m;
    int64_t e[TSR_TILE_MAX_RANK];
    int rank = tsr_tile_shape(k->p, a->tile, e);
    for (int j = 0; j < rank; j++)
        if (e[j] != 1) m |= 1u << j;
    return m;
}

unsigned index_axes(const struct kern *k, const struct index *x) {
    unsigned m = 0;
    for (int i = 0; i < x->rank; i++) m |= ix_axes(k, &x->at[i]);
    return m;
}

/* ---- views ---- */

struct ix index_linear(struct kern *k, const struct index *x) {
    struct ix r = ix_const(k->c, 0);
    const tsr_extent *stride = tsr_extent_int(k->c, 1);
    for (int i = x->rank - 1; i >= 0; i--) {
        struct ix t = ix_scale(k, &x->at[i], stride);
        r = ix_add(k, &r, &t);
        /* no element is ever read then: keep the form */
        if (!is(x->dim[i], 0)) stride = ext_mul(k->c, stride, x->dim[i]);
    }
    return r;
}

struct index *index_new(struct kern *k, const tsr_type *t) {
    static struct index none;
    struct index *x = arena_alloc(&k->mem, sizeof *x);
    if (!x) return &none;
    x->rank = t->rank;
    for (int i = 0; i < t->rank; i++) x->dim[i] = t->extent[i], x->at[i] = ix_const(k->c, 0);
    return x;
}

/* The shortest pair of prefixes, from (i, j), whose products are provably equal; everything left when there is none. */
static void shortest(tsr_ctx *c, int na, const tsr_extent *const *a, int nb, const tsr_extent *const *b, int *la,
    int *lb) {
    for (int total = 2; total < na + nb; total++)
        for (int x = total - 1 < na ? total - 1 : na; x >= 1; x--) {
            int y = total - x;
            if (y < 1 || y > nb) continue;
            if (ext_product(c, x, a) != ext_product(c, y, b)) continue;
            *la = x, *lb = y;
            return;
        }
    *la = na, *lb = nb;
}

void regroup(tsr_ctx *c, int na, const tsr_extent *const *a, int nb, const tsr_extent *const *b, struct regroup *out) {
    const tsr_extent *ea[TSR_MAX_RANK], *eb[TSR_MAX_RANK];
    int wa[TSR_MAX_RANK], wb[TSR_MAX_RANK], ma = 0, mb = 0;
    for (int i = 0; i < na; i++)
        if (!is(a[i], 1)) wa[ma] = i, ea[ma++] = a[i];
    for (int i = 0; i < nb; i++)
        if (!is(b[i], 1)) wb[mb] = i, eb[mb++] = b[i];
    out->n = 0;
    for (int i = 0, j = 0; i < ma || j < mb;) {
        int la = ma - i, lb = mb - j;
        if (la > 0 && lb > 0) shortest(c, la, ea + i, lb, eb + j, &la, &lb);
        int g = out->n++;
        out->g[g].na = la, out->g[g].nb = lb;
        for (int t = 0; t < la; t++) out->g[g].a[t] = wa[i + t];
        for (int t = 0; t < lb; t++) out->g[g].b[t] = wb[j + t];
        i += la, j += lb;
    }
}

/* Splits a flat index into the coordinates of n axes: division where the axis is not the first. */
static void unravel(struct kern *k, const struct ix *flat, int n, const tsr_extent *const *dim, struct ix *out) {
    tsr_tv rest = kern_ix(k, flat);
    for (int i = n - 1; i >= 0; i--) {
        tsr_tv d = i ? kern_ext(k, dim[i]) : TSR_TV_NONE;
        out[i] = kern_scalar_ix(k, i ? tsr_tile_elem2(k->p, TSR_S_REM, rest, d) : rest);
        if (i) rest = tsr_tile_elem2(k->p, TSR_S_DIV, rest, d);
    }
}

static void convert_group(struct kern *k, const struct index *x, struct index *r, int na, const int *a, int nb,
    const int *b) {
    if (na == 1 && nb == 1) {
        r->at[b[0]] = x->at[a[0]];
        return;
    }
    struct index part = {.rank = na};
    for (int i = 0; i < na; i++) part.dim[i] = x->dim[a[i]], part.at[i] = x->at[a[i]];
    struct ix flat = index_linear(k, &part), at[TSR_MAX_RANK];
    const tsr_extent *dim[TSR_MAX_RANK];
    if (nb == 0) return;
    if (nb == 1) {
        r->at[b[0]] = flat;
        return;
    }
    for (int i = 0; i < nb; i++) dim[i] = r->dim[b[i]];
    unravel(k, &flat, nb, dim, at);
    for (int i = 0; i < nb; i++) r->at[b[i]] = at[i];
}

struct index *index_view(struct kern *k, const struct index *x, int rank, const tsr_extent *const *dim) {
    struct index *r = arena_alloc(&k->mem, sizeof *r);
    if (!r) return (struct index *)x;
    r->rank = rank;
    bool same = rank == x->rank;
    for (int i = 0; i < rank; i++) {
        r->dim[i] = dim[i], r->at[i] = ix_const(k->c, 0);
        same = same && dim[i] == x->dim[i];
    }
    if (same) return (struct index *)x;
    struct regroup g;
    regroup(k->c, x->rank, x->dim, rank, dim, &g);
    for (int i = 0; i < g.n; i++) convert_group(k, x, r, g.g[i].na, g.g[i].a, g.g[i].nb, g.g[i].b);
    return r;
}
