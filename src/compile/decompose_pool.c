/* decompose_pool.c: the gradient of max pooling whose windows lie side by side, as elementwise ops.
 *
 * Where the stride is the window and nothing is padded, each element belongs to one window at most, so nothing is
 * scattered: an element's gradient is its window's when it is the one that the window picks, else zero. Over the
 * domain of windows the pick is found by looking at the W elements in turn (each a strided slice of x); over the
 * windows split off as axes of their own, (.., N, ..) as (.., N / W, W, ..), it is compared with the element's own
 * place:
 *
 *     pick = the first k whose x[k] is greatest (a NaN is greater than all)
 *     y    = select(pick == own place, 0 + source, 0), and zeros for what is left over at the far end
 *
 * Adding 0 makes +0 of -0, as the sum from zero does that select_and_scatter is. Other windows (overlapping, padded, or
 * of many elements) stay with the library; so do all where the library runs beside the kernels, on the host: it looks
 * at each window once, the one kernel that this becomes W times. */
#include "compile/lower.h"

enum { WINDOW_MOST = 16, SPLIT_RANK = 6 /* axes of a tile */ };

struct pool {
    int rank, split_rank;
    int64_t window[TSR_MAX_RANK], elements;
    int64_t count[TSR_MAX_RANK], left[TSR_MAX_RANK]; /* where the window is more than 1: windows, elements left over */
};

static bool side_by_side(const tsr_node *n, struct pool *p) {
    const int64_t *window = node_ints(n, ATTR_WINDOW, &p->rank), *stride = node_ints(n, ATTR_STRIDE, NULL);
    const int64_t *low = node_ints(n, ATTR_PAD_LOW, NULL), *high = node_ints(n, ATTR_PAD_HIGH, NULL);
    p->elements = 1, p->split_rank = p->rank;
    for (int a = 0; a < p->rank; a++) {
        int64_t x, windows;
        p->window[a] = window[a], p->left[a] = 0;
        if (stride[a] != window[a] || low[a] || high[a] || window[a] > WINDOW_MOST) return false;
        if (window[a] == 1) continue;
        if (!tsr_extent_is_int(n->type->extent[a], &x) || !x) return false;
        if (!tsr_extent_is_int(n->src[1]->type->extent[a], &windows) || !windows) return false;
        p->count[a] = windows, p->left[a] = x - windows * window[a];
        p->elements *= window[a], p->split_rank++;
        if (p->elements > WINDOW_MOST) return false;
    }
    return p->elements > 1 && p->split_rank <= SPLIT_RANK;
}

/* Element k (row-major in the window) of every window: of the source's shape. */
static tsr_node *element(tsr_ctx *c, tsr_node *x, const struct pool *p, int64_t k) {
    const tsr_extent *start[TSR_MAX_RANK], *limit[TSR_MAX_RANK];
    for (int a = p->rank - 1; a >= 0; a--) {
        int64_t w = p->window[a], at = k % w;
        k /= w;
        start[a] = ext_int(c, at);
        limit[a] = w == 1 ? x->type->extent[a] : ext_int(c, at + (p->count[a] - 1) * w + 1);
    }
    return tsr_prim_slice(c, x, start, limit, p->window);
}

/* Better than the best so far: greater (or less), or the first NaN. */
static tsr_node *better(tsr_ctx *c, tsr_node *x, tsr_node *best, bool max) {
    if (!dtype_is_float(x->type->dtype)) return tsr_prim2(c, max ? TSR_S_GT : TSR_S_LT, x, best);
    tsr_node *worse = tsr_prim2(c, max ? TSR_S_LE : TSR_S_GE, x, best), *number = tsr_prim2(c, TSR_S_EQ, best, best);
    return tsr_prim2(c, TSR_S_AND, tsr_prim1(c, TSR_S_NOT, worse), number);
}

/* Which element each window picks: i32 of the source's shape. */
static tsr_node *picks(tsr_ctx *c, tsr_node *x, const struct pool *p, const tsr_type *type, bool max) {
    tsr_node *best = element(c, x, p, 0), *at = tsr_full(c, type, 0);
    for (int64_t k = 1; k < p->elements; k++) {
        tsr_node *one = element(c, x, p, k), *take = better(c, one, best, max);
        best = tsr_prim3(c, TSR_S_SELECT, take, one, best);
        at = tsr_prim3(c, TSR_S_SELECT, take, tsr_full(c, type, (double)k), at);
    }
    return at;
}

/* The source's type with the windows' own axes behind those they split, and where the source's axes are there. */
static const tsr_type *split_type(tsr_ctx *c, const tsr_type *src, const struct pool *p, int64_t *axes) {
    const tsr_extent *extent[TSR_MAX_RANK];
    int n = 0;
    for (int a = 0; a < p->rank; a++) {
        axes[a] = n, extent[n++] = src->extent[a];
        if (p->window[a] > 1) extent[n++] = ext_int(c, p->window[a]);
    }
    return tsr_type_tensor(c, src->dtype, n, extent);
}

/* An element's place in its window. */
static tsr_node *places(tsr_ctx *c, const tsr_type *type, const struct pool *p, const int64_t *axes) {
    tsr_node *sum = NULL;
    int64_t step = 1;
    for (int a = p->rank - 1; a >= 0; a--) {
        if (p->window[a] == 1) continue;
        tsr_node *place = tsr_prim2(c, TSR_S_MUL, tsr_prim_iota(c, type, (int)axes[a] + 1),
            tsr_full(c, type, (double)step));
        sum = sum ? tsr_prim2(c, TSR_S_ADD, sum, place) : place;
        step *= p->window[a];
    }
    return sum;
}

/* (.., N / W, W, ..) as (.., N, ..), and zeros for what is left over. */
static tsr_node *joined(tsr_ctx *c, tsr_node *y, const tsr_type *want, const struct pool *p) {
    const tsr_extent *extent[TSR_MAX_RANK];
    int64_t none[TSR_MAX_RANK] = {0};
    bool left = false;
    for (int a = 0; a < p->rank; a++) {
        extent[a] = p->window[a] == 1 ? want->extent[a] : ext_int(c, p->count[a] * p->window[a]);
        left = left || p->left[a];
    }
    y = tsr_prim_reshape(c, y, tsr_type_tensor(c, want->dtype, p->rank, extent));
    return left ? tsr_prim_pad_ints(c, y, tsr_scalar_int(c, want->dtype, 0), none, p->left, none) : y;
}

static tsr_node *decompose_pool(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    struct pool p;
    int64_t axes[TSR_MAX_RANK];
    if (n->op != TSR_OP_SELECT_AND_SCATTER || !side_by_side(n, &p)) return NULL;
    const tsr_type *t = src[1]->type;
    if (tsr_dtype_of(t->dtype)->bits < 8) return NULL;
    const tsr_type *index = tsr_type_tensor(c, TSR_I32, t->rank, t->extent), *split = split_type(c, t, &p, axes);
    const tsr_type *split_index = split_type(c, index, &p, axes);
    if (!index || !split || !split_index) return NULL;
    tsr_node *at = picks(c, src[0], &p, index, node_int(n, ATTR_REDUCE) == TSR_REDUCE_MAX);
    tsr_node *own = places(c, split_index, &p, axes), *value = tsr_prim2(c, TSR_S_ADD, src[1], tsr_full(c, t, 0));
    tsr_node *hit = tsr_prim2(c, TSR_S_EQ, tsr_prim_broadcast(c, at, split_index, axes), own);
    tsr_node *y = tsr_prim3(c, TSR_S_SELECT, hit, tsr_prim_broadcast(c, value, split, axes), tsr_full(c, split, 0));
    return joined(c, y, n->type, &p);
}

tsr_fn *pass_pool(tsr_ctx *c, const tsr_fn *f) { return pass_rewrite(c, f, decompose_pool); }
