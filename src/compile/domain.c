/* domain.c: which neighbouring axes of a domain may be merged into one.
 *
 * A chain of elementwise ops over f32[B, T, C] is a loop over B*T*C elements unless some access tells the axes apart: a
 * broadcast along T, a transposition, a slice of C. This file walks a cluster once with an abstract index (which domain
 * axes each axis of a node runs over) and cuts the domain between two axes when any access does not see them as
 * neighbours of one contiguous run. It mirrors the rules of pull*.c; where it does not understand an index it cuts
 * around all axes concerned, which is always right. */
#include "compile/lower.h"

/* Domain axes first .. first + n - 1, merged; n == 0: none. moved: not element for element (shifted, strided,
 * mirrored). */
struct seg { int first, n; bool moved; };
struct view { int rank; const tsr_extent *dim[TSR_MAX_RANK]; struct seg seg[TSR_MAX_RANK]; };
struct seen { int node; struct view v; };
struct scan {
    struct lower *L;
    struct domain *d;
    int cluster;
    bool strict, fits;  /* strict: heroes must be met at their own index; fits: they were, and nothing was split */
    VEC(struct seen) seen;
    VEC(struct seen) todo;
};

static void cut_after(struct domain *d, int i) {
    if (i >= 0 && i < d->rank) d->cut[i] = true;
}

static void cut_around(struct domain *d, struct seg s) {
    if (s.n == 0) return;
    cut_after(d, s.first - 1), cut_after(d, s.first + s.n - 1);
}

static void cut_all(struct domain *d, struct seg s) {
    for (int i = -1; i < s.n; i++) cut_after(d, s.first + i);
}

/* A dense row-major access over v. */
static void leaf(struct scan *s, const struct view *v) {
    struct domain *d = s->d;
    int place[TSR_MAX_RANK * 2], next = 1;
    for (int i = 0; i < d->rank; i++) place[i] = 0;
    for (int i = 0; i < v->rank; i++) {
        if (extent_is(v->dim[i], 1)) continue;
        if (v->seg[i].n == 0) next++; /* an axis at a fixed place breaks the run */
        for (int j = 0; j < v->seg[i].n; j++) {
            int a = v->seg[i].first + j;
            if (place[a]) cut_after(d, a - 1), cut_after(d, a);
            place[a] = next++;
        }
    }
    for (int i = 0; i + 1 < d->rank; i++) {
        if (!place[i] && !place[i + 1]) continue;
        if (!place[i] || place[i + 1] != place[i] + 1) d->cut[i] = true;
    }
}

static void visit(struct scan *s, const tsr_node *n, const struct view *v) {
    struct seen x = {n->pos, *v};
    if (!vec_push(s->L->c, &s->todo, x)) return;
}

/* ---- views ---- */

static void fixed(struct view *v, const tsr_type *t) {
    v->rank = t->rank;
    for (int i = 0; i < t->rank; i++) v->dim[i] = t->extent[i], v->seg[i] = (struct seg){0};
}

/* Several axes as one: a merged segment when they are neighbours in the domain. */
static struct seg join(struct domain *d, const struct view *v, int n, const int *axis) {
    struct seg r = {0};
    for (int i = 0; i < n; i++) {
        struct seg s = v->seg[axis[i]];
        if (i && (s.n == 0 || r.n == 0 || s.first != r.first + r.n)) {
            for (int j = 0; j < n; j++) cut_all(d, v->seg[axis[j]]);
            return (struct seg){0};
        }
        r.first = i ? r.first : s.first, r.n += s.n, r.moved = r.moved || s.moved;
    }
    return r;
}

/* One merged axis as several, along the domain's own axes where they fit. */
static void split(struct scan *s, struct seg from, struct view *out, int n, const int *axis) {
    const tsr_extent *want[TSR_MAX_RANK];
    for (int i = 0; i < n; i++) want[i] = out->dim[axis[i]];
    struct regroup g;
    if (from.n > TSR_MAX_RANK) from.n = TSR_MAX_RANK;
    regroup(s->L->c, from.n, s->d->dim + from.first, n, want, &g);
    for (int i = 0; i < g.n; i++) {
        struct seg part = {from.first + (g.g[i].na ? g.g[i].a[0] : 0), g.g[i].na, from.moved};
        if (g.g[i].nb == 1 && g.g[i].na) out->seg[axis[g.g[i].b[0]]] = part;
        else cut_all(s->d, part), s->fits = false;
    }
}

static void own_view(struct scan *s, const struct view *v, const tsr_type *t, struct view *out) {
    struct regroup g;
    fixed(out, t);
    regroup(s->L->c, v->rank, v->dim, t->rank, t->extent, &g);
    for (int i = 0; i < g.n; i++) {
        if (g.g[i].na == 0 || g.g[i].nb == 0) continue;
        struct seg joined = join(s->d, v, g.g[i].na, g.g[i].a);
        if (g.g[i].nb > 1 && (joined.n == 0 || joined.moved)) {
            cut_all(s->d, joined), s->fits = false; /* needs division */
            continue;
        }
        if (g.g[i].nb == 1) out->seg[g.g[i].b[0]] = joined;
        else split(s, joined, out, g.g[i].nb, g.g[i].b);
    }
}

/* ---- how each kind of op passes the view on ---- */

typedef void scan_rule(struct scan *s, const tsr_node *n, const struct view *v);

static void scan_elem(struct scan *s, const tsr_node *n, const struct view *v) {
    for (int i = 0; i < n->nsrc; i++)
        if (n->src[i]->type->rank) visit(s, n->src[i], v);
}

static void scan_nothing(struct scan *s, const tsr_node *n, const struct view *v) {
    struct view own;
    own_view(s, v, n->type, &own);
    for (int i = 0; i < own.rank; i++) cut_around(s->d, own.seg[i]);
}

static void scan_broadcast(struct scan *s, const tsr_node *n, const struct view *v) {
    struct view own, to;
    const int64_t *axes = node_ints(n, ATTR_AXES, NULL);
    if (n->src[0]->type->rank == 0) return;
    own_view(s, v, n->type, &own);
    fixed(&to, n->src[0]->type);
    for (int i = 0; i < to.rank; i++)
        if (!extent_is(to.dim[i], 1)) to.seg[i] = own.seg[axes[i]];
    visit(s, n->src[0], &to);
}

static void scan_transpose(struct scan *s, const tsr_node *n, const struct view *v) {
    struct view own, to;
    const int64_t *perm = node_ints(n, ATTR_PERM, NULL);
    own_view(s, v, n->type, &own);
    fixed(&to, n->src[0]->type);
    for (int i = 0; i < to.rank; i++) to.seg[perm[i]] = own.seg[i];
    visit(s, n->src[0], &to);
}

/* Axis by axis, some of them not one to one: those are cut from their neighbours. */
static void scan_shift(struct scan *s, const tsr_node *n, const struct view *v) {
    struct view own;
    const struct attr *low = n->op == TSR_OP_PAD ? node_attr(n, ATTR_LOW) : NULL;
    own_view(s, v, n->type, &own);
    for (int j = 0; j < n->nsrc; j++) {
        const tsr_type *t = n->src[j]->type;
        struct view to = own;
        if (t->rank != own.rank || t->rank == 0) continue;
        for (int i = 0; i < own.rank; i++) {
            to.dim[i] = t->extent[i];
            if (t->extent[i] == n->type->extent[i] && !(low && !extent_is(low->exts[i], 0))) continue;
            cut_around(s->d, own.seg[i]);
            to.seg[i].moved = true;
        }
        visit(s, n->src[j], &to);
    }
}

static void scan_reverse(struct scan *s, const tsr_node *n, const struct view *v) {
    struct view own;
    own_view(s, v, n->type, &own);
    for (int i = 0; i < own.rank; i++) cut_around(s->d, own.seg[i]), own.seg[i].moved = true;
    visit(s, n->src[0], &own);
}

/* Sources are read in ways of their own: no axis of the result is merged with another, the sources are read at
 * scattered places. */
static void scan_opaque(struct scan *s, const tsr_node *n, const struct view *v) {
    scan_nothing(s, n, v);
    struct view own;
    own_view(s, v, n->type, &own);
    for (int i = 0; i < own.rank; i++) cut_all(s->d, own.seg[i]);
}

static void scan_reduce(struct scan *s, const tsr_node *n, const struct view *v) {
    struct view own, to;
    int count;
    unsigned reduced = 0;
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    own_view(s, v, n->type, &own);
    fixed(&to, n->src[0]->type);
    for (int i = 0; i < count; i++) reduced |= 1u << axes[i];
    for (int i = 0, o = 0; i < to.rank; i++)
        if (!(reduced >> i & 1)) to.seg[i] = own.seg[o++];
    visit(s, n->src[0], &to);
}

static void scan_reshape(struct scan *s, const tsr_node *n, const struct view *v) {
    if (n->src[0]->type->rank) visit(s, n->src[0], v);
}

static scan_rule *const rules[TSR_OP_COUNT] = {
    [TSR_OP_CONVERT] = scan_elem, [TSR_OP_BITCAST] = scan_elem, [TSR_OP_STOP_GRADIENT] = scan_elem,
        [TSR_OP_IOTA] = scan_nothing,
    [TSR_OP_BROADCAST] = scan_broadcast, [TSR_OP_RESHAPE] = scan_reshape, [TSR_OP_TRANSPOSE] = scan_transpose,
    [TSR_OP_SLICE] = scan_shift, [TSR_OP_PAD] = scan_shift, [TSR_OP_CONCAT] = scan_shift,
        [TSR_OP_DYNAMIC_SLICE] = scan_shift,
    [TSR_OP_DYNAMIC_UPDATE_SLICE] = scan_shift, [TSR_OP_REVERSE] = scan_reverse, [TSR_OP_REDUCE] = scan_reduce,
};

static const unsigned char whole_ops[TSR_OP_COUNT] = {[TSR_OP_DOT] = 1, [TSR_OP_CONV] = 1, [TSR_OP_REDUCE] = 1,
                                                       [TSR_OP_SCATTER] = 1,
                                                       [TSR_OP_ARGREDUCE] = 2, [TSR_OP_REDUCE_WINDOW] = 2};

/* Computed once for all uses: the contraction, the scatter, or each reduction of a cluster of rows. */
static bool is_whole(const struct scan *s, const tsr_node *n) {
    const struct cluster *cl = &s->L->cluster.v[s->cluster];
    if (s->L->at[n->pos].cluster != s->cluster || whole_ops[n->op] != 1) return false;
    return n->op != TSR_OP_REDUCE || cl->kind == CLUSTER_ROW;
}

static bool is_leaf(const struct scan *s, const tsr_node *n) {
    const struct low_node *at = &s->L->at[n->pos];
    bool leaf = n->pos < s->L->frontier || n->op == TSR_OP_PARAM || n->op == TSR_OP_CONST || n->op == TSR_OP_ITEM;
    return leaf || (at->stored && at->cluster != s->cluster);
}

/* The index at which the cluster computes n: the domain's axes in order; for a reduction those that are kept. */
static bool at_home(struct scan *s, const tsr_node *n, const struct view *v) {
    struct view own;
    int axis[TSR_MAX_RANK];
    own_view(s, v, n->type, &own);
    for (int i = 0; i < own.rank; i++) axis[i] = i;
    bool row = s->L->cluster.v[s->cluster].kind == CLUSTER_ROW;
    if (row && !domain_row_axes(s->L, s->cluster, n, axis)) return false;
    if (!row && own.rank != s->d->rank) return false;
    for (int i = 0; i < own.rank; i++) {
        if (extent_is(own.dim[i], 1)) continue;
        if (own.dim[i] != s->d->dim[axis[i]] || own.seg[i].n != 1 || own.seg[i].moved) return false;
        if (own.seg[i].first != axis[i]) return false;
    }
    return true;
}

static bool seen_before(struct scan *s, const struct seen *x) {
    for (size_t i = s->seen.n; i-- > 0;) {
        const struct seen *y = &s->seen.v[i];
        if (y->node != x->node || y->v.rank != x->v.rank) continue;
        bool same = true;
        for (int j = 0; j < x->v.rank && same; j++)
            same = x->v.dim[j] == y->v.dim[j] && x->v.seg[j].first == y->v.seg[j].first &&
                x->v.seg[j].n == y->v.seg[j].n && x->v.seg[j].moved == y->v.seg[j].moved;
        if (same) return true;
    }
    return false;
}

static void run(struct scan *s) {
    while (s->todo.n && !err_any(s->L->c)) {
        struct seen x = vec_pop(&s->todo);
        const tsr_node *m = lower_node(s->L, x.node);
        if (seen_before(s, &x) || !vec_push(s->L->c, &s->seen, x)) continue;
        bool whole = is_whole(s, m);
        bool mine = s->L->at[m->pos].cluster == s->cluster;
        if (s->strict && mine && whole_ops[m->op] && !at_home(s, m, &x.v)) s->fits = false;
        if (s->L->at[m->pos].stored || is_leaf(s, m) || (whole && m->op != TSR_OP_REDUCE)) leaf(s, &x.v);
        if (is_leaf(s, m) || whole) continue;
        scan_rule *rule = op_is_elem((enum tsr_op)m->op) ? scan_elem : rules[m->op];
        (rule ? rule : scan_opaque)(s, m, &x.v);
    }
}

static void start(struct scan *s, const tsr_node *n, const int *axis) {
    struct view v;
    fixed(&v, n->type);
    for (int i = 0; i < v.rank; i++)
        if (axis[i] >= 0 && !extent_is(v.dim[i], 1)) v.seg[i] = (struct seg){axis[i], 1, false};
    visit(s, n, &v);
    run(s);
}

static void stop(struct scan *s) {
    vec_release(s->L->c, &s->seen);
    vec_release(s->L->c, &s->todo);
}

void domain_scan(struct lower *L, struct domain *d, int cluster, const tsr_node *n, const int *axis) {
    struct scan s = {.L = L, .d = d, .cluster = cluster, .fits = true};
    start(&s, n, axis);
    stop(&s);
}

bool domain_row_axes(const struct lower *L, int cluster, const tsr_node *root, int *axis) {
    const tsr_node *hero = lower_node(L, L->cluster.v[cluster].hero);
    const tsr_type *d = hero->src[0]->type, *t = root->type;
    int count;
    unsigned reduced = 0;
    const int64_t *axes = node_ints(hero, ATTR_AXES, &count);
    for (int i = 0; i < count; i++) reduced |= 1u << axes[i];
    bool full = t->rank == d->rank, kept = t->rank == d->rank - count;
    for (int i = 0; i < t->rank && full; i++) {
        axis[i] = i;
        full = t->extent[i] == d->extent[i] || (reduced >> i & 1 && extent_is(t->extent[i], 1));
        if (t->extent[i] != d->extent[i]) axis[i] = -1;
    }
    if (full) return true;
    for (int i = 0, o = 0; i < d->rank && kept; i++) {
        if (reduced >> i & 1) continue;
        axis[o] = i;
        kept = t->extent[o++] == d->extent[i];
    }
    return kept;
}

bool domain_fits(struct lower *L, int cluster) {
    const struct cluster *cl = &L->cluster.v[cluster];
    bool row = cl->kind == CLUSTER_ROW;
    const tsr_node *first = lower_node(L, cl->kind == CLUSTER_LOOP ? cl->root.v[0] : cl->hero);
    const tsr_type *t = row ? first->src[0]->type : first->type;
    struct domain d = {.rank = t->rank};
    int axis[TSR_MAX_RANK];
    for (int i = 0; i < t->rank; i++) d.dim[i] = t->extent[i];
    struct scan s = {.L = L, .d = &d, .cluster = cluster, .strict = true, .fits = true};
    for (size_t i = 0; i < cl->root.n && s.fits; i++) {
        const tsr_node *r = lower_node(L, cl->root.v[i]);
        for (int j = 0; j < r->type->rank; j++) axis[j] = j;
        if (row) s.fits = domain_row_axes(L, cluster, r, axis);
        else if (r->type->rank != t->rank) s.fits = false;
        for (int j = 0; j < r->type->rank && s.fits && !row; j++) s.fits = r->type->extent[j] == t->extent[j];
        if (s.fits) start(&s, r, axis);
    }
    for (int i = 0; i < t->rank; i++) axis[i] = i;
    for (size_t i = 0; i < cl->node.n && row && s.fits; i++) { /* what the reductions read */
        const tsr_node *n = lower_node(L, cl->node.v[i]);
        if (n->op == TSR_OP_REDUCE) start(&s, n->src[0], axis);
    }
    stop(&s);
    return s.fits && !err_any(L->c);
}

/* ---- groups ---- */

void domain_groups(tsr_ctx *c, const struct domain *d, struct groups *g) {
    g->n = 0;
    bool joined = false;
    for (int i = 0; i < d->rank; i++) {
        g->of[i] = -1;
        if (!extent_is(d->dim[i], 1)) {
            if (joined) g->dim[g->n - 1] = ext_mul(c, g->dim[g->n - 1], d->dim[i]);
            else g->dim[g->n++] = d->dim[i];
            g->of[i] = g->n - 1;
            joined = true;
        }
        joined = joined && !d->cut[i];
    }
}

struct index *domain_index(struct kern *k, const tsr_type *t, const int *axis, const struct groups *g,
    const struct ix *at) {
    struct index *x = index_new(k, t);
    int last = -1;
    x->rank = 0;
    for (int i = 0; i < t->rank; i++) {
        int group = axis[i] >= 0 ? g->of[axis[i]] : -1;
        if (group < 0 && extent_is(t->extent[i], 1)) continue;
        if (group >= 0 && group == last) continue;
        x->dim[x->rank] = group < 0 ? t->extent[i] : g->dim[group];
        x->at[x->rank++] = group < 0 ? ix_const(k->c, 0) : at[group];
        last = group;
    }
    return x;
}
