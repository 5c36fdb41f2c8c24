/* lower_contract.c: dot and conv, with what is fused around them.
 *
 * Both are one thing: an accumulator tile (M, N) that grows by products of an (M, K) tile and a (K, N) tile. For dot, M
 * are the left operand's free axes, N the right one's, K the contracted ones. For conv, one side is the image (its
 * axes: batch and output positions), the other the kernel (output features); K are the input features of a group and
 * the taps of the kernel. Which side is M follows from where features stand in the result, so that the innermost axis
 * of the accumulator is the innermost in memory.
 *
 * A load is a box as long as each spatial position of the image moves with one tile axis: an output position or a tap.
 * Ordinarily taps are few and positions many, so tiles take the positions and the features, and each tap is a turn of
 * the loop: an affine shift of the image. In the gradient of a kernel it is the other way round: tiles take the taps,
 * which are then most of K. Where the features that remain for the other role are fewer than FEW, products of boxes
 * would be thin, and that role takes its spatial axes too: the image is then gathered.
 *
 * K runs in chunks of the constant CHUNK, so an element of the result is the same sum in the same order whatever the
 * other extents and tile sizes are. Operands are pulled at their index like anything else (a cheap producer is part of
 * the load), and the roots are pulled around the accumulator, which is remembered as the value of the hero. */
#include <string.h>

#include "compile/lower.h"

enum { CHUNK = 256, UNKNOWN = 256, FEW = 8 };

enum role { ROLE_GRID, ROLE_M, ROLE_N, ROLE_K }; /* of an axis of the iteration space */

/* The iteration space: axes in order grid, m, n, k, each an extent with its role, merged into groups where nothing
 * tells them apart. An operand's or the result's axis i is axis ax[i] of the space (dot), or a form of several (conv).
 * */
struct contraction {
    const tsr_node *hero;
    bool conv, swap;         /* swap (conv): the kernel is the left operand, features are M */
    bool by_tap;             /* conv: more taps than output positions, so tiles go along the taps */
    tsr_dtype acc;
    struct domain d;
    enum role role[TSR_MAX_RANK * 2];
    struct groups g;
    int64_t tile[TSR_MAX_RANK * 2]; /* of each group; 1: grid or loop only */
    enum role group_role[TSR_MAX_RANK * 2];
    bool single[TSR_MAX_RANK * 2];  /* a group that tiles do not take: grid or loop only */
    int ax[3][TSR_MAX_RANK]; /* left, right, result */
    /* conv, axes of the space */
    int group_axis, batch_axis, feature_axis, channel_axis, out_axis[TSR_MAX_RANK], tap_axis[TSR_MAX_RANK];
};

/* ---- the iteration space ---- */

static int add_axis(struct contraction *o, const tsr_extent *e, enum role role) {
    if (extent_is(e, 1)) return -1;
    int i = o->d.rank++;
    o->d.dim[i] = e;
    o->role[i] = role;
    return i;
}

static bool among(int64_t v, int n, const int64_t *list) {
    for (int i = 0; i < n; i++)
        if (list[i] == v) return true;
    return false;
}

static void dot_space(struct contraction *o) {
    const tsr_node *n = o->hero;
    int nb, nk;
    const int64_t *lb = node_ints(n, ATTR_LHS_BATCH, &nb), *rb = node_ints(n, ATTR_RHS_BATCH, NULL);
    const int64_t *lk = node_ints(n, ATTR_LHS_CONTRACT, &nk), *rk = node_ints(n, ATTR_RHS_CONTRACT, NULL);
    const tsr_type *l = n->src[0]->type, *r = n->src[1]->type;
    int out = 0;
    for (int i = 0; i < nb; i++) o->ax[0][lb[i]] = o->ax[1][rb[i]] = o->ax[2][out++] = add_axis(o, l->extent[lb[i]],
        ROLE_GRID);
    for (int i = 0; i < l->rank; i++)
        if (!among(i, nb, lb) && !among(i, nk, lk)) o->ax[0][i] = o->ax[2][out++] = add_axis(o, l->extent[i], ROLE_M);
    for (int i = 0; i < r->rank; i++)
        if (!among(i, nb, rb) && !among(i, nk, rk)) o->ax[1][i] = o->ax[2][out++] = add_axis(o, r->extent[i], ROLE_N);
    for (int i = 0; i < nk; i++) o->ax[0][lk[i]] = o->ax[1][rk[i]] = add_axis(o, l->extent[lk[i]], ROLE_K);
}

static void add_taps(struct contraction *o, const tsr_extent *const *window) {
    for (int i = 0; i < o->hero->type->rank - 2; i++) o->tap_axis[i] = add_axis(o, window[i], ROLE_K);
}

static void conv_space(tsr_ctx *c, struct contraction *o) {
    const tsr_node *n = o->hero;
    int spatial = n->type->rank - 2;
    const int64_t *rs = node_ints(n, ATTR_RHS_SPEC, NULL), *os = node_ints(n, ATTR_OUT_SPEC, NULL);
    int64_t groups = node_int(n, ATTR_FEATURE_GROUPS) * node_int(n, ATTR_BATCH_GROUPS), taps = 1, positions = 1;
    const tsr_type *r = n->src[1]->type, *t = n->type;
    const tsr_extent *window[TSR_MAX_RANK];
    for (int i = 0; i < spatial; i++) {
        window[i] = r->extent[rs[2 + i]];
        if (taps < 1 << 20) taps *= ext_hint(window[i], UNKNOWN);
        if (positions < 1 << 20) positions *= ext_hint(t->extent[os[2 + i]], UNKNOWN);
    }
    o->conv = true;
    o->by_tap = taps > positions;
    o->swap = os[1] != n->type->rank - 1; /* features are not innermost */
    enum role image = o->swap ? ROLE_N : ROLE_M, feature = o->swap ? ROLE_M : ROLE_N;
    const tsr_extent *features = tsr_extent_floordiv(c, r->extent[rs[0]], ext_int(c, groups));
    o->group_axis = add_axis(o, ext_int(c, groups), ROLE_GRID);
    if (o->swap) o->feature_axis = add_axis(o, features, feature);
    o->batch_axis = add_axis(o, t->extent[os[0]], image);
    for (int i = 0; i < spatial; i++) o->out_axis[i] = add_axis(o, t->extent[os[2 + i]], image);
    if (!o->swap) o->feature_axis = add_axis(o, features, feature);
    if (!o->by_tap) add_taps(o, window);
    o->channel_axis = add_axis(o, r->extent[rs[1]], ROLE_K);
    if (o->by_tap) add_taps(o, window);
    for (int i = 0; i < o->d.rank; i++) o->d.cut[i] = true;
}

/* Cuts between roles, and wherever an access tells axes apart. */
static void scan_space(struct lower *L, int cluster, struct contraction *o) {
    const struct cluster *cl = &L->cluster.v[cluster];
    for (int i = 0; i + 1 < o->d.rank; i++) o->d.cut[i] = o->d.cut[i] || o->role[i] != o->role[i + 1];
    if (!o->conv) {
        domain_scan(L, &o->d, cluster, o->hero->src[0], o->ax[0]);
        domain_scan(L, &o->d, cluster, o->hero->src[1], o->ax[1]);
        for (size_t i = 0; i < cl->root.n; i++) domain_scan(L, &o->d, cluster, lower_node(L, cl->root.v[i]), o->ax[2]);
    }
    domain_groups(L->c, &o->d, &o->g);
    for (int i = 0; i < o->d.rank; i++) o->group_role[o->g.of[i]] = o->role[i];
}

/* Tile axes from the innermost group of a role outwards, until `most` elements. */
static void tile_role(struct contraction *o, enum role role, int64_t most, int axes) {
    for (int i = o->g.n - 1; i >= 0; i--) {
        if (o->group_role[i] != role || o->single[i] || axes == 0 || most <= 1) continue;
        o->tile[i] = o->conv ? tune_divide(o->g.dim[i], most) : tune_round(o->g.dim[i], most);
        most /= o->tile[i];
        axes -= o->tile[i] > 1;
    }
}

static int64_t axis_hint(const struct contraction *o, int axis) {
    return axis < 0 ? 1 : ext_hint(o->g.dim[o->g.of[axis]], UNKNOWN);
}

/* Of a convolution: which groups no tile takes. */
static void choose_single(struct contraction *o) {
    bool few = axis_hint(o, o->by_tap ? o->batch_axis : o->channel_axis) < FEW;
    const int *spatial = o->by_tap ? o->out_axis : o->tap_axis;
    for (int i = 0; i < o->hero->type->rank - 2; i++)
        if (spatial[i] >= 0) o->single[o->g.of[spatial[i]]] = !few;
    if (o->by_tap && o->channel_axis >= 0) o->single[o->g.of[o->channel_axis]] = true;
}

/* How many blocks of `most` elements the axes of a role make; extents that are not known count as UNKNOWN. */
static int64_t blocks_of(const struct contraction *o, enum role role, int64_t most) {
    int64_t n = 1;
    for (int i = 0; i < o->g.n; i++)
        if (o->group_role[i] == role && n < 1 << 20) n *= ext_hint(o->g.dim[i], UNKNOWN);
    return (n + most - 1) / most;
}

/* Whether n is another cluster's result in memory. */
static bool from_outside(const struct lower *L, int cluster, const tsr_node *n) {
    return L->at[n->pos].stored && L->at[n->pos].cluster != cluster;
}

/* Whether reading along K first is the contiguous way: K holds the last axis of the operand, or of what it is a
 * transpose or a conversion of. */
static bool k_is_inner(const struct lower *L, int cluster, const struct contraction *o, int side) {
    const tsr_node *n = o->hero->src[side];
    int last = n->type->rank - 1, at[TSR_MAX_RANK], axis[TSR_MAX_RANK];
    if (o->conv) {
        const int64_t *spec = node_ints(o->hero, side ? ATTR_RHS_SPEC : ATTR_LHS_SPEC, NULL);
        return spec[o->by_tap ? last : 1] == last;
    }
    for (int i = 0; i <= last; i++) at[i] = o->ax[side][i];
    for (; (n->op == TSR_OP_TRANSPOSE || n->op == TSR_OP_CONVERT) && !from_outside(L, cluster, n); n = n->src[0]) {
        const int64_t *perm = n->op == TSR_OP_TRANSPOSE ? node_ints(n, ATTR_PERM, NULL) : NULL;
        for (int i = 0; i <= last; i++) axis[perm ? perm[i] : i] = at[i];
        memcpy(at, axis, (size_t)(last + 1) * sizeof *at);
    }
    for (int i = last; i >= 0; i--)
        if (at[i] >= 0) return o->role[at[i]] == ROLE_K;
    return false;
}

/* Whether the operand is read as it lies in memory, moved at most: the device then packs it from there in any order. */
static bool is_plain(const struct lower *L, int cluster, const tsr_node *n) {
    static const bool moves[TSR_OP_COUNT] = {
        [TSR_OP_TRANSPOSE] = 1, [TSR_OP_RESHAPE] = 1, [TSR_OP_BROADCAST] = 1, [TSR_OP_SLICE] = 1};
    while (moves[n->op] && !from_outside(L, cluster, n)) n = n->src[0];
    bool memory = n->op == TSR_OP_PARAM || n->op == TSR_OP_CONST || n->op == TSR_OP_ITEM || L->at[n->pos].stored;
    return memory && L->at[n->pos].cluster != cluster && tsr_dtype_of(n->type->dtype)->kind != TSR_KIND_BLOCK;
}

/* Columns of a tile at most. Few rows leave it to memory how fast a product is: of matrices that are read where they
 * lie, more is read in one go. */
static int64_t most_columns(const struct lower *L, int cluster, const struct contraction *o) {
    const struct tile_budget *b = tune_budget(L);
    bool few = !o->conv && blocks_of(o, ROLE_M, 1) <= FEW;
    return few && is_plain(L, cluster, o->hero->src[1]) ? b->thin_n : b->dot_n;
}

/* Large tiles share what they load; small problems are cut until there are enough of them for the threads. */
static void choose_tiles(struct contraction *o, const struct tile_budget *b, int64_t n) {
    int64_t m = b->dot_m, grid = blocks_of(o, ROLE_GRID, 1);
    while (m * n > b->dot_least && grid * blocks_of(o, ROLE_M, m) * blocks_of(o, ROLE_N, n) < b->dot_blocks)
        *(m * 2 > n ? &m : &n) /= 2;
    for (int i = 0; i < o->g.n; i++) o->tile[i] = 1;
    if (o->conv) choose_single(o);
    tile_role(o, ROLE_K, CHUNK, o->conv ? 3 : 1);
    tile_role(o, ROLE_N, n, o->conv && o->swap ? 3 : 1);
    tile_role(o, ROLE_M, m, o->conv && !o->swap ? 3 : 1);
}

/* ---- indices ---- */

/* An index for every group, given where the tile axes of the present frame are. */
struct place {
    tsr_tv start[TSR_MAX_RANK * 2]; /* scalar start of each group; NONE: not open yet */
    int axis[TSR_MAX_RANK * 2];     /* tile axis in the frame, or -1 */
};

static void group_index(struct kern *k, const struct contraction *o, const struct place *p, struct ix *at) {
    for (int i = 0; i < o->g.n; i++) {
        at[i] = p->start[i] == TSR_TV_NONE ? ix_const(k->c, 0) : ix_var(k->c, p->start[i]);
        if (p->axis[i] < 0) continue;
        struct ix t = ix_var(k->c, LOW_AXIS(p->axis[i]));
        at[i] = ix_add(k, &at[i], &t);
    }
}

static struct ix of_axis(struct kern *k, const struct contraction *o, const struct ix *at, int axis) {
    return axis < 0 ? ix_const(k->c, 0) : at[o->g.of[axis]];
}

/* group * extent + inner */
static struct ix grouped(struct kern *k, const struct ix *group, const tsr_extent *extent, const struct ix *inner) {
    struct ix r = ix_scale(k, group, extent);
    return ix_add(k, &r, inner);
}

struct conv_index { struct index *x[3]; const struct guard *guard; };

/* Indices of image, kernel and result at a point of the space. Positions outside the image fail the guard, which makes
 * them zero. */
static struct conv_index conv_place(struct kern *k, const struct contraction *o, const struct ix *at,
    const struct guard *g) {
    const tsr_node *n = o->hero;
    const tsr_node *img = n->src[0], *ker = n->src[1];
    const int64_t *ls = node_ints(n, ATTR_LHS_SPEC, NULL), *rs = node_ints(n, ATTR_RHS_SPEC, NULL), *os = node_ints(n,
        ATTR_OUT_SPEC, NULL);
    const int64_t *stride = node_ints(n, ATTR_STRIDE, NULL), *low = node_ints(n, ATTR_PAD_LOW, NULL),
        *high = node_ints(n, ATTR_PAD_HIGH, NULL);
    const int64_t *dilate = node_ints(n, ATTR_WINDOW_DILATION, NULL), *mirror = node_ints(n, ATTR_WINDOW_REVERSE, NULL);
    bool by_feature = node_int(n, ATTR_FEATURE_GROUPS) > 1;
    struct conv_index r = {{index_new(k, img->type), index_new(k, ker->type), index_new(k, n->type)}, g};
    struct ix group = of_axis(k, o, at, o->group_axis), batch = of_axis(k, o, at, o->batch_axis);
    struct ix feature = of_axis(k, o, at, o->feature_axis), channel = of_axis(k, o, at, o->channel_axis);
    int64_t groups = node_int(n, ATTR_FEATURE_GROUPS) * node_int(n, ATTR_BATCH_GROUPS);
    struct ix f = grouped(k, &group, tsr_extent_floordiv(k->c, ker->type->extent[rs[0]], ext_int(k->c, groups)),
        &feature);
    r.x[0]->at[ls[0]] = by_feature || groups == 1 ? batch : grouped(k, &group, n->type->extent[os[0]], &batch);
    r.x[0]->at[ls[1]] = by_feature ? grouped(k, &group, ker->type->extent[rs[1]], &channel) : channel;
    r.x[1]->at[rs[0]] = f, r.x[1]->at[rs[1]] = channel;
    r.x[2]->at[os[0]] = batch, r.x[2]->at[os[1]] = f;
    for (int i = 0; i < n->type->rank - 2; i++) {
        struct ix out = of_axis(k, o, at, o->out_axis[i]), tap = of_axis(k, o, at, o->tap_axis[i]);
        struct ix p = ix_scale(k, &out, ext_int(k->c, stride[i])), q = ix_scale(k, &tap, ext_int(k->c, dilate[i]));
        p = ix_add(k, &p, &q);
        p = ix_add_ext(k, &p, ext_int(k->c, -low[i]));
        r.x[0]->at[ls[2 + i]] = p;
        r.x[2]->at[os[2 + i]] = out;
        if (mirror[i]) {
            tap = ix_scale(k, &tap, ext_int(k->c, -1));
            tap = ix_add_ext(k, &tap, ext_sub(k->c, ker->type->extent[rs[2 + i]], ext_int(k->c, 1)));
        }
        r.x[1]->at[rs[2 + i]] = tap;
        if (low[i] || high[i]) r.guard = kern_guard(k, r.guard, &p, img->type->extent[ls[2 + i]], false);
    }
    return r;
}

/* ---- operands ---- */

/* Opens a frame whose axes are the tile axes of two roles, in that order (or `last` role innermost first when flipped).
 * */
static const struct guard *open_frame(struct kern *k, const struct contraction *o, struct place *p, enum role a,
    enum role b, int64_t *ea, int64_t *eb) {
    int64_t extent[TSR_TILE_MAX_RANK];
    int rank = 0;
    *ea = *eb = 1;
    for (int turn = 0; turn < 2; turn++) {
        enum role role = turn ? b : a;
        int before = rank;
        for (int i = 0; i < o->g.n; i++) {
            if (o->group_role[i] != role || o->tile[i] == 1) continue;
            p->axis[i] = rank;
            extent[rank++] = o->tile[i];
            *(turn ? eb : ea) *= o->tile[i];
        }
        if (rank == before) extent[rank++] = 1; /* an axis of extent 1 stands for a role without tile axes */
    }
    for (int i = 0; i < o->g.n; i++)
        if (o->group_role[i] != a && o->group_role[i] != b) p->axis[i] = -1;
    kern_frame(k, rank, extent);
    struct ix at[TSR_MAX_RANK * 2];
    group_index(k, o, p, at);
    const struct guard *g = NULL;
    for (int i = 0; i < o->g.n; i++)
        if (p->axis[i] >= 0) g = kern_guard(k, g, &at[i], o->g.dim[i], true);
    return g;
}

static const struct guard *guard_of_role(struct kern *k, const struct contraction *o, const struct ix *at,
    const struct guard *g, enum role role) {
    for (int i = 0; i < o->g.n; i++) {
        if (o->group_role[i] != role || o->tile[i] == 1) continue;
        for (const struct guard *h = g; h; h = h->outer)
            if (ix_equal(&h->at, &at[i])) return h;
    }
    (void)k;
    return NULL;
}

static unsigned all_axes(const struct kern *k) { return (1u << k->frame.rank) - 1; }

/* The (rows, columns) tile of operand `side` at the present place; zero where K is past its end. One of the roles is K.
 * */
static tsr_tv operand(struct kern *k, const struct contraction *o, struct place p, int side, enum role row,
    enum role col) {
    const tsr_node *s = o->hero->src[side];
    struct ix at[TSR_MAX_RANK * 2];
    int64_t e[2];
    bool k_inner = k_is_inner(k->L, k->cluster, o, side);
    bool flip = !is_plain(k->L, k->cluster, s) && (k_inner ? row : col) == ROLE_K;
    enum role outer = flip ? col : row, inner = flip ? row : col;
    const struct guard *g = open_frame(k, o, &p, outer, inner, &e[0], &e[1]);
    group_index(k, o, &p, at);
    struct index *x;
    const struct guard *edge = guard_of_role(k, o, at, g, ROLE_K);
    tsr_tv v;
    if (o->conv) {
        struct conv_index c = conv_place(k, o, at, g);
        tsr_tv cond = edge ? kern_holds(k, edge) : TSR_TV_NONE;
        for (const struct guard *h = side == 0 ? c.guard : g; h != g; h = h->outer)
            cond = cond == TSR_TV_NONE ? kern_holds(k, h) : tsr_tile_elem2(k->p, TSR_S_AND, cond, kern_holds(k, h));
        v = pull_where(k, s, c.x[side], side == 0 ? c.guard : g, cond, true, tsr_tile_int(k->p, s->type->dtype, 0));
    } else {
        x = domain_index(k, s->type, o->ax[side], &o->g, at);
        v = edge ? pull_masked(k, s, x, g, edge, TSR_TV_NONE) : pull_value(k, s, x, g);
    }
    if (v == TSR_TV_NONE) return v;
    tsr_dtype t = tsr_tile_dtype(k->p, v);
    const tsr_dtype_info *from = tsr_dtype_of(t), *to = tsr_dtype_of(o->acc);
    if (t == TSR_BOOL || from->bits > to->bits || from->bits == 4 || (dtype_is_complex(o->acc) &&
        t != o->acc)) v = tsr_tile_cast(k->p, o->acc, v);
    v = kern_full(k, v, all_axes(k));
    if (k->frame.rank != 2) v = tsr_tile_reshape(k->p, v, 2, e);
    return flip ? tsr_tile_transpose(k->p, v, (int[]){1, 0}) : v;
}

/* ---- the program ---- */

/* Starts of the groups of K in turn `at` of the loop, the innermost varying fastest. */
static void start_turn(struct kern *k, const struct contraction *o, struct place *p, tsr_tv at) {
    int left = 0;
    for (int i = 0; i < o->g.n; i++) left += o->group_role[i] == ROLE_K;
    for (int i = o->g.n - 1; i >= 0; i--) {
        if (o->group_role[i] != ROLE_K) continue;
        tsr_tv blocks = kern_ext(k, ext_ceildiv(k->c, o->g.dim[i], o->tile[i]));
        tsr_tv block = --left ? tsr_tile_elem2(k->p, TSR_S_REM, at, blocks) : at;
        p->start[i] = tsr_tile_elem2(k->p, TSR_S_MUL, block, kern_int(k, o->tile[i]));
        if (left) at = tsr_tile_elem2(k->p, TSR_S_DIV, at, blocks);
    }
}

/* One loop over all chunks of K: loops in loops would copy the accumulator between them. */
static tsr_tv accumulate(struct kern *k, const struct contraction *o, struct place *p, int64_t m, int64_t n) {
    tsr_tv acc = tsr_tile_broadcast(k->p, tsr_tile_int(k->p, o->acc, 0), 2, (int64_t[]){m, n});
    const tsr_extent *turns[TSR_MAX_RANK * 2];
    int loops = 0;
    size_t mark = kern_mark(k);
    for (int i = 0; i < o->g.n; i++)
        if (o->group_role[i] == ROLE_K) turns[loops++] = ext_ceildiv(k->c, o->g.dim[i], o->tile[i]);
    if (loops) {
        tsr_tv next;
        tsr_tv at = tsr_tile_for(k->p, kern_int(k, 0), kern_ext(k, ext_product(k->c, loops, turns)), kern_int(k, 1), 1,
            &acc, &next);
        start_turn(k, o, p, at);
        acc = next;
    }
    bool kernel_first = o->conv && o->swap;
    tsr_tv a = operand(k, o, *p, kernel_first ? 1 : 0, ROLE_M, ROLE_K), b = operand(k, o, *p, kernel_first ? 0 : 1,
        ROLE_K, ROLE_N);
    acc = tsr_tile_dot(k->p, a, b, acc);
    if (loops) {
        tsr_tile_yield(k->p, 1, &acc);
        tsr_tile_end(k->p, 1, &acc);
    }
    kern_release(k, mark);
    return acc;
}

static void start_blocks(struct kern *k, const struct contraction *o, struct place *p) {
    const tsr_extent *blocks[TSR_MAX_RANK * 2] = {0};
    tsr_tv v[TSR_MAX_RANK * 2];
    int n = 0, of[TSR_MAX_RANK * 2];
    for (int i = 0; i < o->g.n; i++) {
        p->start[i] = TSR_TV_NONE;
        p->axis[i] = -1;
        if (o->group_role[i] == ROLE_K) continue;
        of[n] = i;
        blocks[n++] = ext_ceildiv(k->c, o->g.dim[i], o->tile[i]);
    }
    kern_grid(k, n, blocks, v);
    for (int i = 0; i < n; i++) p->start[of[i]] = tsr_tile_elem2(k->p, TSR_S_MUL, v[i], kern_int(k, o->tile[of[i]]));
}

static tsr_tv cast(struct kern *k, tsr_dtype t, tsr_tv v) {
    if (tsr_tile_dtype(k->p, v) == t) return v;
    return t == TSR_BOOL ? tsr_tile_elem2(k->p, TSR_S_NE, v, tsr_tile_int(k->p, tsr_tile_dtype(k->p, v), 0))
        : tsr_tile_cast(k->p, t, v);
}

static bool body(struct kern *k, const void *arg) {
    const struct contraction *o = arg;
    const struct cluster *cl = &k->L->cluster.v[k->cluster];
    struct place p;
    struct ix at[TSR_MAX_RANK * 2];
    int64_t m = 1, n = 1;
    start_blocks(k, o, &p);
    for (int i = 0; i < o->g.n; i++) {
        if (o->group_role[i] == ROLE_M) m *= o->tile[i];
        if (o->group_role[i] == ROLE_N) n *= o->tile[i];
    }
    tsr_tv acc = accumulate(k, o, &p, m, n);
    if (acc == TSR_TV_NONE) return false;
    int64_t e[2];
    const struct guard *g = open_frame(k, o, &p, ROLE_M, ROLE_N, &e[0], &e[1]);
    group_index(k, o, &p, at);
    for (int i = 0; i < o->g.n; i++)
        if (o->group_role[i] == ROLE_K) at[i] = ix_const(k->c, 0);
    struct index *x = o->conv ? conv_place(k, o, at, g).x[2] : domain_index(k, o->hero->type, o->ax[2], &o->g, at);
    if (k->frame.rank != 2) acc = tsr_tile_reshape(k->p, acc, k->frame.rank, k->frame.extent);
    pull_remember_whole(k, o->hero, x, cast(k, o->hero->type->dtype, acc));
    tsr_tv *value = arena_array(&k->mem, cl->root.n, sizeof *value);
    if (!value) return false;
    for (size_t i = 0; i < cl->root.n; i++) value[i] = pull_value(k, lower_node(k->L, cl->root.v[i]), x, g);
    for (size_t i = 0; i < cl->root.n; i++) kern_store(k, k->L->at[cl->root.v[i]].slot[0], x, g, value[i]);
    return true;
}

bool lower_contract(struct lower *L, int cluster) {
    const struct cluster *cl = &L->cluster.v[cluster];
    struct contraction o = {.hero = lower_node(L, cl->hero)};
    tsr_dtype t = node_attr(o.hero, ATTR_DTYPE) ? node_attr(o.hero, ATTR_DTYPE)->dtype : o.hero->type->dtype;
    o.acc = t == TSR_BOOL ? TSR_I32 : dtype_is_float(t) ? dtype_accumulator(t) : dtype_wide(t);
    if (o.hero->op == TSR_OP_CONV) conv_space(L->c, &o);
    else dot_space(&o);
    for (size_t i = 0; i < cl->root.n; i++)
        if (lower_new_slot(L, lower_node(L, cl->root.v[i]), 0) < 0) return false;
    scan_space(L, cluster, &o);
    choose_tiles(&o, tune_budget(L), most_columns(L, cluster, &o));
    return kern_write(L, cluster, body, &o);
}
