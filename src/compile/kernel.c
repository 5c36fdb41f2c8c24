/* kernel.c: writing one tile program: arguments, grids, loads and stores with guards.
 *
 * Arguments come before every other instruction, but which extents and buffers a program needs is known only after it
 * has been written. So the body runs twice: a dry run in which unknown extents are stand-ins and loads give zeros,
 * which finds the arguments, and then the real one. The body must do the same both times; it never looks at what a
 * value is, only at shapes.
 *
 * A load whose index is affine in the tile axes is a block load: base and strides are scalars, guards become lo / hi
 * bounds. Otherwise it is a gather by an i64 tile of offsets, guards become its mask. A guard that shares no variable
 * with the index of a load is left out: it then excludes whole elements of the result, never changes where the load
 * reads. */
#include "compile/lower.h"

#include <stdio.h>
#include <string.h>

/* ---- arguments ---- */

/* In the dry run: a scalar of its own for each argument, since equal scalars would merge terms that the real run keeps
 * apart. */
static tsr_tv stand_in(struct kern *k, size_t arg) {
    return tsr_tile_elem2(k->p, TSR_S_MUL, tsr_tile_pid(k->p, 0), tsr_tile_int(k->p, TSR_I64, 1000003 + (int64_t)arg));
}

tsr_tv kern_int(struct kern *k, int64_t v) { return tsr_tile_int(k->p, TSR_I64, v); }

tsr_tv kern_ext(struct kern *k, const tsr_extent *e) {
    int64_t v;
    if (!e) return TSR_TV_NONE;
    if (tsr_extent_is_int(e, &v) && (v == 0 || v == 1)) return kern_int(k, v);
    for (size_t i = 0; i < k->arg.n; i++)
        if (!k->arg.v[i].buf && k->arg.v[i].extent == e) return k->dry ? stand_in(k, i) : k->arg.v[i].v;
    if (!k->dry && err_any(k->c)) return TSR_TV_NONE;
    if (!k->dry) TSR_BUG("the second writing of a program asks for an extent that the first did not");
    struct kern_arg a = {.extent = e, .slot = -1};
    return vec_push(k->c, &k->arg, a) ? stand_in(k, k->arg.n - 1) : TSR_TV_NONE;
}

static struct kern_arg *buffer(struct kern *k, int slot) {
    for (size_t i = 0; i < k->arg.n; i++)
        if (k->arg.v[i].buf && k->arg.v[i].slot == slot) return &k->arg.v[i];
    if (!k->dry && err_any(k->c)) return NULL;
    if (!k->dry) TSR_BUG("the second writing of a program asks for a buffer that the first did not");
    struct kern_arg a = {.buf = true, .slot = slot, .identity = true};
    return vec_push(k->c, &k->arg, a) ? &k->arg.v[k->arg.n - 1] : NULL;
}

static bool declare_arguments(struct kern *k) {
    int nin = 0, nout = 0, next = 0;
    char name[24];
    for (size_t i = 0; i < k->arg.n; i++) {
        struct kern_arg *a = &k->arg.v[i];
        if (!a->buf) {
            snprintf(name, sizeof name, "n%d", next++);
            a->v = tsr_tile_arg(k->p, TSR_I64, name);
            continue;
        }
        int access = (a->reads ? TSR_TILE_IN : 0) | (a->writes ? TSR_TILE_OUT : 0);
        snprintf(name, sizeof name, a->writes ? "y%d" : "x%d", a->writes ? nout++ : nin++);
        a->v = tsr_tile_arg_buf(k->p, k->L->plan->slot.v[a->slot].type->dtype, (tsr_tile_access)access, name);
    }
    return !err_any(k->c);
}

struct tile_origin kern_origin(struct kern *k, const tsr_node *n) {
    struct tile_origin before = k->p->origin;
    k->p->origin = (struct tile_origin){op_name(n->op), (int32_t)n->pos};
    return before;
}

/* ---- scalars and tiles of indices ---- */

static tsr_tv add(struct kern *k, tsr_tv a, tsr_tv b) { return tsr_tile_elem2(k->p, TSR_S_ADD, a, b); }
static tsr_tv sub(struct kern *k, tsr_tv a, tsr_tv b) { return tsr_tile_elem2(k->p, TSR_S_SUB, a, b); }
static tsr_tv mul(struct kern *k, tsr_tv a, tsr_tv b) { return tsr_tile_elem2(k->p, TSR_S_MUL, a, b); }

tsr_tv kern_scalar_part(struct kern *k, const struct ix *a) {
    tsr_tv r = kern_ext(k, a->c0);
    for (int i = 0; i < a->n; i++)
        if (!low_is_axis(a->t[i].var)) r = add(k, mul(k, a->t[i].var, kern_ext(k, a->t[i].coef)), r);
    return r;
}

static tsr_tv axis_iota(struct kern *k, int j) {
    int64_t e[TSR_TILE_MAX_RANK];
    for (int i = 0; i < k->frame.rank; i++) e[i] = i == j ? k->frame.extent[i] : 1;
    return tsr_tile_iota(k->p, TSR_I64, k->frame.rank, e, j);
}

tsr_tv kern_ix(struct kern *k, const struct ix *a) {
    tsr_tv r = kern_scalar_part(k, a);
    for (int i = 0; i < a->n; i++)
        if (low_is_axis(a->t[i].var)) r = add(k, mul(k, axis_iota(k, low_axis(a->t[i].var)), kern_ext(k, a->t[i].coef)),
            r);
    return a->tile == TSR_TV_NONE ? r : add(k, a->tile, r);
}

struct ix kern_scalar_ix(struct kern *k, tsr_tv v) {
    if (tsr_tile_shape(k->p, v, NULL) == 0) {
        (void)vec_push(k->c, &k->derived, v);
        return ix_var(k->c, v);
    }
    struct ix r = ix_const(k->c, 0);
    r.tile = v;
    return r;
}

void kern_frame(struct kern *k, int rank, const int64_t *extent) {
    k->frame = (struct frame){.rank = rank, .id = ++k->frames};
    for (int i = 0; i < rank; i++) k->frame.extent[i] = extent[i];
}

tsr_tv kern_full(struct kern *k, tsr_tv v, unsigned axes) {
    int64_t e[TSR_TILE_MAX_RANK], have[TSR_TILE_MAX_RANK];
    bool same = tsr_tile_shape(k->p, v, have) == k->frame.rank;
    for (int i = 0; i < k->frame.rank; i++) {
        e[i] = axes >> i & 1 ? k->frame.extent[i] : 1;
        same = same && have[i] == e[i];
    }
    return same ? v : tsr_tile_broadcast(k->p, v, k->frame.rank, e);
}

static unsigned axes_of(struct kern *k, tsr_tv v) {
    int64_t e[TSR_TILE_MAX_RANK];
    int rank = tsr_tile_shape(k->p, v, e);
    unsigned m = 0;
    for (int j = 0; j < rank; j++)
        if (e[j] != 1) m |= 1u << j;
    return m;
}

/* ---- guards ---- */

const struct guard *kern_guard(struct kern *k, const struct guard *outer, const struct ix *at, const tsr_extent *n,
    bool nonneg) {
    for (const struct guard *g = outer; g; g = g->outer)
        if (g->n == n && (g->nonneg == nonneg || nonneg) && ix_equal(&g->at, at)) return outer;
    struct guard *g = arena_alloc(&k->mem, sizeof *g);
    if (!g) return outer;
    *g = (struct guard){.outer = outer, .at = *at, .n = n, .nonneg = nonneg};
    return g;
}

tsr_tv kern_holds(struct kern *k, const struct guard *g) {
    tsr_tv v = kern_ix(k, &g->at), below = tsr_tile_elem2(k->p, TSR_S_LT, v, kern_ext(k, g->n));
    if (g->nonneg) return below;
    return tsr_tile_elem2(k->p, TSR_S_AND, tsr_tile_elem2(k->p, TSR_S_GE, v, kern_int(k, 0)), below);
}

static bool is_derived(const struct kern *k, const struct ix *a) {
    if (a->tile != TSR_TV_NONE) return true;
    for (int i = 0; i < a->n; i++)
        for (size_t j = 0; j < k->derived.n; j++)
            if (a->t[i].var == k->derived.v[j]) return true;
    return false;
}

/* Does guard b say something about where index a reads? A constant place is the same whatever data says. */
static bool share_var(const struct kern *k, const struct ix *a, const struct ix *b) {
    if (a->n == 0 && a->tile == TSR_TV_NONE) return b->n == 0 && b->tile == TSR_TV_NONE;
    if (b->n == 0 || is_derived(k, a) || is_derived(k, b)) return true;
    for (int i = 0; i < a->n; i++)
        for (int j = 0; j < b->n; j++)
            if (a->t[i].var == b->t[j].var) return true;
    return false;
}

/* What guards mean for one access: bounds of tile axes, a scalar condition, a mask for what is neither. */
struct bounds {
    tsr_tv lo[TSR_TILE_MAX_RANK], hi[TSR_TILE_MAX_RANK], cond, mask;
};

static tsr_tv both(struct kern *k, tsr_scalar fn, tsr_tv a, tsr_tv b) { return a == TSR_TV_NONE ? b
    : tsr_tile_elem2(k->p, fn, a, b); }

/* 0 <= rest + coef * t < n with a constant coef becomes bounds of t, one of the axes along which the access varies.
 * False: not of that form. */
static bool rectangular(struct kern *k, const struct guard *g, unsigned axes, struct bounds *b) {
    int64_t coef = 0;
    int axis = -1;
    if (g->at.tile != TSR_TV_NONE) return false;
    for (int i = 0; i < g->at.n; i++) {
        if (!low_is_axis(g->at.t[i].var)) continue;
        if (axis >= 0 || !tsr_extent_is_int(g->at.t[i].coef, &coef) || coef < 1) return false;
        axis = low_axis(g->at.t[i].var);
    }
    if (axis < 0 || !(axes >> axis & 1)) return false;
    tsr_tv rest = kern_scalar_part(k, &g->at), hi = sub(k, kern_ext(k, g->n), rest), lo = sub(k, kern_int(k, 0), rest);
    if (coef > 1) {
        tsr_tv up = kern_int(k, coef - 1), c = kern_int(k, coef);
        hi = tsr_tile_elem2(k->p, TSR_S_DIV, add(k, hi, up), c);
        lo = tsr_tile_elem2(k->p, TSR_S_DIV, add(k, lo, up), c);
    }
    b->hi[axis] = both(k, TSR_S_MIN, b->hi[axis], hi);
    if (!g->nonneg) b->lo[axis] = both(k, TSR_S_MAX, b->lo[axis], lo);
    return true;
}

static struct bounds bounds_of(struct kern *k, const struct ix *at, unsigned axes, const struct guard *g) {
    struct bounds b = {.cond = TSR_TV_NONE, .mask = TSR_TV_NONE};
    for (int i = 0; i < TSR_TILE_MAX_RANK; i++) b.lo[i] = b.hi[i] = TSR_TV_NONE;
    for (; g; g = g->outer) {
        if (!share_var(k, at, &g->at) || rectangular(k, g, axes, &b)) continue;
        tsr_tv *to = ix_axes(k, &g->at) ? &b.mask : &b.cond;
        *to = both(k, TSR_S_AND, *to, kern_holds(k, g));
    }
    return b;
}

/* ---- loads and stores ---- */

/* Bounds as one bool tile, for accesses that are no blocks. */
static tsr_tv whole_mask(struct kern *k, const struct bounds *b) {
    tsr_tv m = b->mask;
    for (int j = 0; j < k->frame.rank; j++) {
        if (b->lo[j] != TSR_TV_NONE) m = both(k, TSR_S_AND, m, tsr_tile_elem2(k->p, TSR_S_GE, axis_iota(k, j),
            b->lo[j]));
        if (b->hi[j] != TSR_TV_NONE) m = both(k, TSR_S_AND, m, tsr_tile_elem2(k->p, TSR_S_LT, axis_iota(k, j),
            b->hi[j]));
    }
    return b->cond == TSR_TV_NONE ? m : both(k, TSR_S_AND, m, b->cond);
}

static void make_block(struct kern *k, const struct ix *at, const struct bounds *b, unsigned axes,
    tsr_tile_block *out) {
    *out = (tsr_tile_block){.rank = k->frame.rank, .base = kern_scalar_part(k, at)};
    for (int j = 0; j < k->frame.rank; j++) {
        out->extent[j] = axes >> j & 1 ? k->frame.extent[j] : 1;
        out->stride[j] = kern_int(k, axes >> j & 1 ? 0 : 1);
        out->lo[j] = b->lo[j], out->hi[j] = b->hi[j];
    }
    for (int i = 0; i < at->n; i++)
        if (low_is_axis(at->t[i].var)) out->stride[low_axis(at->t[i].var)] = kern_ext(k, at->t[i].coef);
    if (b->cond == TSR_TV_NONE) return;
    tsr_tv all = out->hi[0] == TSR_TV_NONE ? kern_int(k, out->extent[0]) : out->hi[0];
    out->hi[0] = tsr_tile_elem3(k->p, TSR_S_SELECT, b->cond, all, kern_int(k, 0));
}

static tsr_dtype loaded(tsr_dtype t) { return tsr_dtype_of(t)->kind == TSR_KIND_BLOCK ? TSR_F32 : t; }

/* Offsets and mask of one shape. */
static void gather_form(struct kern *k, const struct ix *at, const struct bounds *b, tsr_tv *offset, tsr_tv *mask) {
    *offset = kern_ix(k, at), *mask = whole_mask(k, b);
    unsigned axes = axes_of(k, *offset);
    if (*mask != TSR_TV_NONE) axes |= axes_of(k, *mask), *mask = kern_full(k, *mask, axes);
    *offset = kern_full(k, *offset, axes);
}

/* In the dry run: a tile of the shape that the load will have. No two loads give one value, since indices may come from
 * them. */
static tsr_tv nothing(struct kern *k, tsr_dtype t, unsigned axes, bool scalar) {
    tsr_tv v = tsr_tile_elem2(k->p, TSR_S_ADD, tsr_tile_pid(k->p, 0), kern_int(k, 2 + k->loads++));
    v = tsr_tile_cast(k->p, t, v);
    return scalar ? v : kern_full(k, v, axes);
}

tsr_tv kern_load(struct kern *k, int slot, const struct index *x, const struct guard *g, tsr_tv other) {
    struct ix at = index_linear(k, x);
    unsigned axes = ix_axes(k, &at);
    struct bounds b = bounds_of(k, &at, axes, g);
    struct kern_arg *a = buffer(k, slot);
    if (!a) return TSR_TV_NONE;
    tsr_tv buf = a->v;
    a->reads = true;
    a->identity = a->identity && k->identity && ix_equal(k->identity, &at);
    bool masked = b.mask != TSR_TV_NONE, bounded = b.cond != TSR_TV_NONE;
    for (int j = 0; j < k->frame.rank; j++) bounded = bounded || b.lo[j] != TSR_TV_NONE || b.hi[j] != TSR_TV_NONE;
    tsr_dtype t = loaded(k->L->plan->slot.v[slot].type->dtype);
    if (at.tile != TSR_TV_NONE || masked) {
        tsr_tv offset, mask;
        gather_form(k, &at, &b, &offset, &mask);
        return k->dry ? nothing(k, t, axes_of(k, offset), false) : tsr_tile_gather(k->p, buf, offset, mask, other);
    }
    tsr_tile_block block;
    make_block(k, &at, &b, axes, &block);
    if (!axes && !bounded) block.rank = 0;
    return k->dry ? nothing(k, t, axes, block.rank == 0) : tsr_tile_load(k->p, buf, &block, other);
}

static void store(struct kern *k, int slot, const struct index *x, const struct guard *g, tsr_tv v) {
    struct ix at = index_linear(k, x);
    struct bounds b = bounds_of(k, &at, ~0u, g);
    struct kern_arg *a = buffer(k, slot);
    if (!a) return;
    a->writes = true;
    unsigned axes = ix_axes(k, &at);
    if (at.tile != TSR_TV_NONE || b.mask != TSR_TV_NONE) {
        tsr_tv offset, mask;
        gather_form(k, &at, &b, &offset, &mask);
        if (!k->dry) tsr_tile_scatter(k->p, a->v, offset, mask, kern_full(k, v, axes_of(k, offset)));
        return;
    }
    tsr_tile_block block;
    make_block(k, &at, &b, axes, &block);
    if (!k->dry) tsr_tile_store(k->p, a->v, &block, v);
}

void kern_store(struct kern *k, int slot, const struct index *x, const struct guard *g, tsr_tv v) {
    int node = k->L->plan->slot.v[slot].node;
    struct tile_origin before = node < 0 ? k->p->origin : kern_origin(k, lower_node(k->L, node));
    store(k, slot, x, g, v);
    k->p->origin = before;
}

/* ---- regions and grids ---- */

size_t kern_mark(struct kern *k) { return k->memo.n; }
void kern_release(struct kern *k, size_t mark) { k->memo.n = mark; }

void kern_grid(struct kern *k, int n, const tsr_extent *const *blocks, tsr_tv *v) {
    for (int i = 0; i < 3; i++) k->grid[i] = ext_int(k->c, 1);
    for (int i = n - 1, g = 0; i >= 0 && g < 2; i--, g++) k->grid[g] = blocks[i], v[i] = tsr_tile_pid(k->p, g);
    if (n <= 2) return;
    k->grid[2] = ext_product(k->c, n - 2, blocks);
    tsr_tv rest = tsr_tile_pid(k->p, 2);
    for (int i = n - 3; i >= 0; i--) {
        tsr_tv d = i ? kern_ext(k, blocks[i]) : TSR_TV_NONE;
        v[i] = i ? tsr_tile_elem2(k->p, TSR_S_REM, rest, d) : rest;
        if (i) rest = tsr_tile_elem2(k->p, TSR_S_DIV, rest, d);
    }
}

/* ---- the two writings ---- */

static bool write_once(struct kern *k, kern_body *body, const void *arg, const char *name) {
    k->p = tsr_tile_new(k->c, name);
    k->memo.n = k->derived.n = 0;
    k->frames = 0;
    arena_init(&k->mem, k->c);
    bool ok = k->p && (k->dry || declare_arguments(k));
    int hero = k->L->cluster.v[k->cluster].hero;
    if (ok && hero >= 0) kern_origin(k, lower_node(k->L, hero));
    ok = ok && body(k, arg) && !err_any(k->c);
    if (ok && !k->dry) ok = tsr_tile_finish(k->p) == TSR_OK;
    arena_release(&k->mem);
    return ok;
}

/* Which outputs may lie where an input was: same elements at the same time, same bytes, seen once in the step. */
static int find_reuse(const struct kern *k, int (*pair)[2]) {
    int n = 0;
    for (size_t o = 0; o < k->arg.n; o++)
        for (size_t i = 0; i < k->arg.n && k->arg.v[o].writes; i++) {
            const struct kern_arg *in = &k->arg.v[i];
            if (!in->buf || in->writes || !in->identity) continue;
            tsr_dtype ti = k->L->plan->slot.v[in->slot].type->dtype,
                to = k->L->plan->slot.v[k->arg.v[o].slot].type->dtype;
            if (tsr_dtype_of(ti)->bits != tsr_dtype_of(to)->bits || tsr_dtype_of(ti)->block != 1) continue;
            if (pair) pair[n][0] = (int)o, pair[n][1] = (int)i;
            n++;
        }
    return n;
}

/* The reports' estimate: every buffer once. */
static const tsr_extent *bytes_of(struct kern *k) {
    const tsr_extent *sum = ext_int(k->c, 0);
    for (size_t i = 0; i < k->arg.n; i++) {
        if (!k->arg.v[i].buf) continue;
        const tsr_type *t = k->L->plan->slot.v[k->arg.v[i].slot].type;
        const tsr_dtype_info *d = tsr_dtype_of(t->dtype);
        const tsr_extent *bytes = ext_mul(k->c, type_elements(k->c, t), ext_int(k->c, d->bytes));
        if (d->block > 1) bytes = ext_ceildiv(k->c, bytes, d->block);
        sum = ext_add(k->c, sum, bytes);
    }
    return sum;
}

static const tsr_extent *flops_of(struct kern *k) {
    struct tile_stats s = tile_stats(k->p);
    const tsr_extent *n = ext_int(k->c, (int64_t)s.flops);
    for (int i = 0; i < 3; i++) n = ext_mul(k->c, n, k->grid[i]);
    return n;
}

/* Buffers first, then extents, each in order of first use. */
static bool order_arguments(struct kern *k) {
    struct kern_arg *copy = arena_array(&k->L->mem, k->arg.n + 1, sizeof *copy);
    if (!copy) return false;
    size_t n = 0;
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < k->arg.n; i++)
            if (k->arg.v[i].buf == (turn == 0)) copy[n++] = k->arg.v[i];
    memcpy(k->arg.v, copy, n * sizeof *copy);
    return true;
}

static bool add_step(struct kern *k, const char *label) {
    tsr_plan *plan = k->L->plan;
    struct plan_step *s = plan_step_add(plan, STEP_KERNEL, label, (int)k->arg.n);
    if (!s) return false;
    for (size_t i = 0; i < k->arg.n; i++) {
        const struct kern_arg *a = &k->arg.v[i];
        s->arg[i] = (struct plan_arg){.kind = a->buf ? PLAN_ARG_SLOT : PLAN_ARG_EXTENT, .slot = a->slot,
            .writes = a->writes,
                                      .reads = a->reads, .extent = a->extent};
    }
    s->nreuse = find_reuse(k, NULL);
    if (s->nreuse && !(s->reuse = arena_array(&plan->mem, (size_t)s->nreuse, sizeof *s->reuse))) return false;
    find_reuse(k, s->reuse);
    s->program = tsr_tile_keep(k->p);
    for (int i = 0; i < 3; i++) s->grid[i] = k->grid[i];
    const struct cluster *cl = &k->L->cluster.v[k->cluster];
    s->node = lower_node(k->L, cl->hero >= 0 ? cl->hero : cl->root.v[0])->id;
    s->bytes_moved = bytes_of(k);
    s->flops = flops_of(k);
    return !err_any(k->c);
}

bool kern_write(struct lower *L, int cluster, kern_body *body, const void *arg) {
    struct kern k = {.L = L, .c = L->c, .cluster = cluster, .dry = true};
    struct twin *form = twin_form(L, cluster);
    if (!form) return false;
    const struct twin *of = twin_find(L, form);
    if (of) return twin_step(L, cluster, form, of);
    const char *label = lower_label(L, &L->cluster.v[cluster]);
    bool ok = label && !err_any(L->c) && write_once(&k, body, arg, label);
    tsr_tile_free(k.p);
    k.p = NULL;
    k.dry = false;
    ok = ok && order_arguments(&k) && write_once(&k, body, arg, label) && add_step(&k, label) && twin_keep(L, form);
    tsr_tile_free(k.p);
    vec_release(k.c, &k.arg);
    vec_release(k.c, &k.memo);
    vec_release(k.c, &k.derived);
    return ok;
}
