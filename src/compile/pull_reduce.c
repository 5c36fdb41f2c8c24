/* pull_reduce.c: reductions as loops at the place where they are used.
 *
 * The reduced axes become loop counters and the accumulator is a tile over the axes that are kept: sequential in the
 * reduced axes, vectorised over the kept ones. That is right everywhere and fast when the kept axes are the inner ones;
 * lower_row.c has the form for reductions along inner axes. f16, bf16 and f8 accumulate in f32. */
#include "compile/lower.h"

tsr_dtype reduce_dtype(tsr_dtype t) { return dtype_is_float(t) ? dtype_accumulator(t) : dtype_wide(t); }

static int64_t least(tsr_dtype t) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    return d->kind == TSR_KIND_INT ? INT64_MIN >> (64 - d->bits) : 0;
}

static int64_t greatest(tsr_dtype t) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    if (d->kind == TSR_KIND_BOOL) return 1;
    return d->kind == TSR_KIND_INT ? INT64_MAX >> (64 - d->bits) : (int64_t)(UINT64_MAX >> (64 - d->bits));
}

tsr_tv reduce_identity(struct kern *k, tsr_reduce op, tsr_dtype t) {
    bool real = dtype_is_float(t), max = op == TSR_REDUCE_MAX;
    switch (op) {
    case TSR_REDUCE_SUM: case TSR_REDUCE_OR: case TSR_REDUCE_XOR: return tsr_tile_int(k->p, t, 0);
    case TSR_REDUCE_PROD: return tsr_tile_int(k->p, t, 1);
    case TSR_REDUCE_AND: return tsr_tile_int(k->p, t, t == TSR_BOOL ? 1 : -1);
    case TSR_REDUCE_MAX: case TSR_REDUCE_MIN: break;
    case TSR_REDUCE_COUNT: TSR_BUG("no such reduction");
    }
    double top = t == TSR_F8E4M3 ? 448 : __builtin_inf(); /* e4m3fn has no infinity */
    double inf = max ? -top : top;
    if (!dtype_is_complex(t)) return real ? tsr_tile_float(k->p, t, inf) : tsr_tile_int(k->p, t, max ? least(t)
        : greatest(t));
    tsr_tv part = tsr_tile_float(k->p, dtype_real(t), inf);
    return tsr_tile_elem2(k->p, TSR_S_COMPLEX, part, part);
}

tsr_tv reduce_combine(struct kern *k, tsr_reduce op, tsr_tv a, tsr_tv b) { return tsr_tile_elem2(k->p,
    tile_reduce_fn[op], a, b); }

tsr_tv reduce_start(struct kern *k, tsr_reduce op, tsr_dtype t, unsigned axes) {
    tsr_dtype wide = reduce_dtype(t);
    return kern_full(k, pull_cast(k, wide, reduce_identity(k, op, dtype_is_float(t) ? wide : t)), axes);
}

/* Tile axes on which a value at x under g may vary. */
static unsigned varying(struct kern *k, const struct index *x, const struct guard *g) {
    unsigned axes = index_axes(k, x);
    for (; g; g = g->outer) axes |= ix_axes(k, &g->at);
    return axes;
}

/* A nest of loops with counters iv[0..n) and carries. */
struct nest {
    int n, carries;
    tsr_tv iv[TSR_MAX_RANK], carry[2];
    size_t mark;
};

static void nest_open(struct kern *k, struct nest *s, int n, const tsr_tv *hi, int carries, const tsr_tv *init) {
    s->n = n, s->carries = carries, s->mark = kern_mark(k);
    for (int i = 0; i < carries; i++) s->carry[i] = init[i];
    for (int i = 0; i < n; i++) {
        tsr_tv inner[2];
        s->iv[i] = tsr_tile_for(k->p, kern_int(k, 0), hi[i], kern_int(k, 1), carries, s->carry, inner);
        for (int j = 0; j < carries; j++) s->carry[j] = inner[j];
    }
}

/* next: the carries for the next turn; afterwards the last ones. */
static void nest_close(struct kern *k, struct nest *s, tsr_tv *next) {
    for (int i = 0; i < s->n; i++) {
        tsr_tile_yield(k->p, s->carries, next);
        tsr_tile_end(k->p, s->carries, next);
    }
    kern_release(k, s->mark);
}

tsr_tv pull_reduce(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = index_view(k, x, n->type->rank, n->type->extent);
    const tsr_node *s = n->src[0];
    tsr_reduce op = (tsr_reduce)node_int(n, ATTR_REDUCE);
    tsr_dtype t = reduce_dtype(n->type->dtype);
    int count;
    const int64_t *axes = node_ints(n, ATTR_AXES, &count);
    struct index *y = index_new(k, s->type);
    tsr_tv hi[TSR_MAX_RANK];
    unsigned reduced = 0, tile = varying(k, v, g);
    for (int i = 0; i < count; i++) reduced |= 1u << axes[i], hi[i] = kern_ext(k, s->type->extent[axes[i]]);
    for (int i = 0, o = 0; i < s->type->rank; i++)
        if (!(reduced >> i & 1)) y->at[i] = v->at[o++];
    struct nest loop;
    tsr_tv acc = reduce_start(k, op, n->type->dtype, tile);
    nest_open(k, &loop, count, hi, 1, &acc);
    for (int i = 0; i < count; i++) y->at[axes[i]] = ix_var(k->c, loop.iv[i]);
    acc = kern_full(k, reduce_combine(k, op, loop.carry[0], pull_cast(k, t, pull_value(k, s, y, g))), tile);
    nest_close(k, &loop, &acc);
    return pull_cast(k, n->type->dtype, acc);
}

/* Whether v replaces best: greater (less), or the first NaN. */
static tsr_tv better(struct kern *k, tsr_reduce op, tsr_tv v, tsr_tv best) {
    tsr_tv r = tsr_tile_elem2(k->p, op == TSR_REDUCE_MAX ? TSR_S_GT : TSR_S_LT, v, best);
    if (!dtype_is_float(tsr_tile_dtype(k->p, v))) return r;
    tsr_tv nan = tsr_tile_elem2(k->p, TSR_S_NE, v, v), had = tsr_tile_elem2(k->p, TSR_S_EQ, best, best);
    return tsr_tile_elem2(k->p, TSR_S_OR, r, tsr_tile_elem2(k->p, TSR_S_AND, nan, had));
}

tsr_tv pull_argreduce(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = index_view(k, x, n->type->rank, n->type->extent);
    const tsr_node *s = n->src[0];
    tsr_reduce op = (tsr_reduce)node_int(n, ATTR_REDUCE);
    tsr_dtype t = dtype_wide(s->type->dtype);
    int axis = (int)node_int(n, ATTR_AXIS);
    unsigned tile = varying(k, v, g);
    struct index *y = index_new(k, s->type);
    for (int i = 0, o = 0; i < s->type->rank; i++)
        if (i != axis) y->at[i] = v->at[o++];
    tsr_tv hi = kern_ext(k, s->type->extent[axis]);
    tsr_tv init[2] = {kern_full(k, pull_cast(k, t, reduce_identity(k, op, s->type->dtype)), tile), kern_full(k,
        kern_int(k, 0), tile)}, next[2];
    struct nest loop;
    nest_open(k, &loop, 1, &hi, 2, init);
    y->at[axis] = ix_var(k->c, loop.iv[0]);
    tsr_tv value = pull_cast(k, t, pull_value(k, s, y, g)), take = better(k, op, value, loop.carry[0]);
    next[0] = kern_full(k, tsr_tile_elem3(k->p, TSR_S_SELECT, take, value, loop.carry[0]), tile);
    next[1] = kern_full(k, tsr_tile_elem3(k->p, TSR_S_SELECT, take, loop.iv[0], loop.carry[1]), tile);
    nest_close(k, &loop, next);
    return tsr_tile_cast(k->p, n->type->dtype, next[1]);
}

tsr_tv pull_reduce_window(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g) {
    const struct index *v = index_view(k, x, n->type->rank, n->type->extent);
    const tsr_node *s = n->src[0];
    tsr_reduce op = (tsr_reduce)node_int(n, ATTR_REDUCE);
    tsr_dtype t = reduce_dtype(n->type->dtype);
    const int64_t *window = node_ints(n, ATTR_WINDOW, NULL), *stride = node_ints(n, ATTR_STRIDE, NULL);
    const int64_t *space = node_ints(n, ATTR_WINDOW_DILATION, NULL), *base = node_ints(n, ATTR_BASE_DILATION, NULL);
    const int64_t *low = node_ints(n, ATTR_PAD_LOW, NULL), *high = node_ints(n, ATTR_PAD_HIGH, NULL);
    unsigned tile = varying(k, v, g);
    int loops = 0, axis_of[TSR_MAX_RANK];
    tsr_tv hi[TSR_MAX_RANK];
    for (int i = 0; i < v->rank; i++)
        if (window[i] != 1) axis_of[loops] = i, hi[loops++] = kern_int(k, window[i]);
    struct nest loop;
    tsr_tv acc = reduce_start(k, op, n->type->dtype, tile), cond = TSR_TV_NONE;
    nest_open(k, &loop, loops, hi, 1, &acc);
    struct index *y = index_new(k, s->type);
    const struct guard *inner = g;
    bool spaced = false;
    for (int i = 0; i < v->rank; i++) {
        struct ix at = ix_scale(k, &v->at[i], ext_int(k->c, stride[i])), tap = ix_const(k->c, 0);
        for (int j = 0; j < loops; j++)
            if (axis_of[j] == i) tap = ix_var(k->c, loop.iv[j]);
        tap = ix_scale(k, &tap, ext_int(k->c, space[i]));
        at = ix_add(k, &at, &tap);
        y->at[i] = at = ix_add_ext(k, &at, ext_int(k->c, -low[i]));
        if (base[i] > 1) {
            pull_within(k, &inner, &cond, &at, ext_mul(k->c, s->type->extent[i], ext_int(k->c, base[i])));
            y->at[i] = pull_between(k, &at, base[i], &cond), spaced = true;
        } else if (low[i] || high[i]) {
            pull_within(k, &inner, &cond, &at, s->type->extent[i]);
        }
    }
    tsr_tv value = pull_where(k, s, y, inner, cond, !spaced, reduce_identity(k, op, s->type->dtype));
    acc = kern_full(k, reduce_combine(k, op, loop.carry[0], pull_cast(k, t, value)), tile);
    nest_close(k, &loop, &acc);
    return pull_cast(k, n->type->dtype, acc);
}
