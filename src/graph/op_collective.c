/* op_collective.c: communication between participants, in StableHLO's replica groups form.
 *
 * What the groups are is known when the fn runs (comm.c); the shape rules need only how many participants meet, which
 * the ids say or the caller does (tsr_groups.members). Reference kernels and plans both go through comm_run.
 *
 * Gradients are the transposed communication, for the sum of everybody's losses: all_gather and reduce_scatter of sums
 * are each other's, broadcast and reduce to a root too, all_to_all and permutations go back the way they came. A
 * reduction that is no sum is its exchange followed by a local reduction, whose rule it takes. */
#include <inttypes.h>
#include <string.h>

#include "graph/axes.h"
#include "graph/comm.h"
#include "graph/ref.h"

/* ---- groups ------------------------------------------------------------------------------------------------------ */

/* Every id is known to be in range when the mesh is. */
static bool ids_valid(tsr_ctx *c, const char *op, size_t n, const int64_t *id) {
    for (size_t i = 0; i < n; i++) {
        if (id[i] < -1)
            return err_set(c, TSR_EINVAL, "%s: participant %" PRId64 "; they are numbered from 0", op, id[i]), false;
        if (id[i] >= 0 && axes_has(i, id, id[i]))
            return err_set(c, TSR_EINVAL, "%s: participant %" PRId64 " is in more than one group", op, id[i]), false;
    }
    return true;
}

static bool ids_padded(size_t n, const int64_t *id) { return axes_has(n, id, -1); }

/* Participants that meet, as far as the ids say. */
static int64_t members_of(const tsr_groups *g) {
    size_t n = (size_t)g->n * (size_t)g->size;
    if (g->members) return g->members;
    return n && g->mode != TSR_CROSS_REPLICA_AND_PARTITION && !ids_padded(n, g->id) ? g->size : 0;
}

/* Operand and groups; the op's name is its record's. */
static const tsr_type *checked(tsr_ctx *c, const struct draft *d) {
    const char *op = op_name(d->op);
    const struct attr *g = draft_attr(d, ATTR_GROUPS);
    if (!axes_is_plain(c, op, d->src[0]->type) || !ids_valid(c, op, g->n, g->ints)) return NULL;
    return d->src[0]->type;
}

static bool axis_valid(tsr_ctx *c, const struct draft *d, int64_t axis) {
    return axes_check(c, op_name(d->op), "axis", 1, &axis, d->src[0]->type->rank);
}

/* The extent of an axis times or divided by the size of a group. */
static const tsr_type *rescaled(tsr_ctx *c, const struct draft *d, const tsr_type *t, int axis, bool grow) {
    int64_t members = draft_int(d, ATTR_MEMBERS);
    if (!members)
        return err_set(c, TSR_EINVAL, "%s: the groups do not say how many participants meet, and the shape of the "
            "result depends on it: set tsr_groups.members", op_name(d->op)), NULL;
    const tsr_extent *size = tsr_extent_int(c, members), *e = t ? t->extent[axis] : NULL, *zero = tsr_extent_int(c, 0);
    if (!e || !size) return NULL;
    if (grow) return type_with_extent(c, t, axis, tsr_extent_mul(c, e, size));
    if (!extent_require_equal(c, tsr_extent_mod(c, e, size), zero,
                              "%s of %s: axis %d does not split into %" PRId64 " equal parts", op_name(d->op),
                              type_text(c, t), axis, members))
        return NULL;
    return type_with_extent(c, t, axis, tsr_extent_floordiv(c, e, size));
}

static tsr_node *make(tsr_ctx *c, enum tsr_op op, int n, tsr_node *const *x, int nattr, const struct attr *attr) {
    if (axes_poison(n, x)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = op, .nsrc = n, .src = x, .nattr = nattr, .attr = attr});
}

/* A collective over groups, with further attributes. root NULL: one source. */
static tsr_node *grouped(tsr_ctx *c, enum tsr_op op, tsr_node *x, tsr_node *root, const tsr_groups *g, int nmore,
                         const struct attr *more) {
    static const tsr_groups all;
    struct attr a[8];
    if (!g) g = &all;
    if (g->n < 0 || g->size < 0 || g->members < 0 || (g->n > 0 && (!g->size || !g->id)))
        return err_set(c, TSR_EINVAL, "%s: %d groups of %d ids, %d members", op_name(op), g->n, g->size, g->members),
            tsr_poison(c);
    for (int i = 0; i < nmore; i++) a[i] = more[i];
    a[nmore++] = attr_ints(ATTR_GROUPS, (size_t)g->n * (size_t)g->size, g->id);
    a[nmore++] = attr_int(ATTR_GROUP_SIZE, g->n ? g->size : 0);
    a[nmore++] = attr_int(ATTR_MODE, g->mode);
    a[nmore++] = attr_int(ATTR_CHANNEL, g->channel);
    a[nmore++] = attr_int(ATTR_MEMBERS, members_of(g));
    return make(c, op, root ? 2 : 1, (tsr_node *[]){x, root}, nmore, a);
}

/* The same op over x (and a root, if n has one: root stands for it) with n's groups, with these further attributes. */
static tsr_node *like(tsr_ctx *c, enum tsr_op op, tsr_node *n, tsr_node *const *x, int nmore, const struct attr *more) {
    struct comm_op o = comm_op_of(n);
    tsr_groups g = {o.mode, o.channel, o.ids ? o.ids / o.group_size : 0, o.group_size, o.id, (int)o.members};
    return grouped(c, op, x[0], n->nsrc > 1 ? x[1] : NULL, &g, nmore, more);
}

static tsr_node *like_sum(tsr_ctx *c, enum tsr_op op, tsr_node *n, tsr_node *x) {
    struct attr a = attr_int(ATTR_REDUCE, TSR_REDUCE_SUM);
    return like(c, op, n, (tsr_node *[]){x, n->nsrc > 1 ? n->src[1] : NULL}, 1, &a);
}

static tsr_node *like_along(tsr_ctx *c, enum tsr_op op, tsr_node *n, tsr_node *x, int axis) {
    struct attr a[] = {attr_int(ATTR_AXIS, axis), attr_int(ATTR_REDUCE, TSR_REDUCE_SUM)};
    return like(c, op, n, &x, op == TSR_OP_REDUCE_SCATTER ? 2 : 1, a);
}

static tsr_node *all_to_all(tsr_ctx *c, tsr_node *n, tsr_node *x, int64_t split, int64_t concat) {
    struct attr a = attr_ints(ATTR_AXES, 2, (int64_t[]){split, concat});
    return like(c, TSR_OP_ALL_TO_ALL, n, &x, 1, &a);
}

static bool is_sum(const tsr_node *n) { return node_int(n, ATTR_REDUCE) == TSR_REDUCE_SUM; }

/* ---- partition_id, replica_id ------------------------------------------------------------------------------------ */

static const tsr_type *id_infer(tsr_ctx *c, const struct draft *d) {
    (void)d;
    return tsr_type_dims(c, TSR_U32, 0, NULL);
}

static tsr_node *id_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)src, (void)batched;
    return rule_batch(c, n, false, size);
}

tsr_node *tsr_prim_partition_id(tsr_ctx *c) { return node_make(c, &(struct draft){.op = TSR_OP_PARTITION_ID}); }
tsr_node *tsr_prim_replica_id(tsr_ctx *c) { return node_make(c, &(struct draft){.op = TSR_OP_REPLICA_ID}); }

/* ---- all_reduce -------------------------------------------------------------------------------------------------- */

static const tsr_type *all_reduce_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *t = checked(c, d);
    return t && reduce_admits(c, op_name(d->op), draft_int(d, ATTR_REDUCE), t->dtype) ? t : NULL;
}

tsr_node *tsr_prim_all_reduce(tsr_ctx *c, tsr_node *x, tsr_reduce op, const tsr_groups *g) {
    struct attr a = attr_int(ATTR_REDUCE, op);
    return grouped(c, TSR_OP_ALL_REDUCE, x, NULL, g, 1, &a);
}

/* The cotangent of each member's x, exchanged along axis (of members), given the cotangent of their reduction. */
static tsr_node *reduction_cotangent(tsr_ctx *c, tsr_node *n, tsr_node *all, int axis, tsr_node *g) {
    const int64_t along = axis;
    const bool want = true;
    tsr_node *y = tsr_prim_reduce(c, all, (tsr_reduce)node_int(n, ATTR_REDUCE), 1, &along), *back = NULL;
    if (tsr_is_poison(y) || !op_def(TSR_OP_REDUCE)->vjp(c, y, &g, &want, &back)) return tsr_poison(c);
    return back ? back : rule_zeros(c, all->type);
}

static bool members_known(tsr_ctx *c, const tsr_node *n) {
    if (node_int(n, ATTR_MEMBERS)) return true;
    return err_set(c, TSR_EINVAL, "gradient of %s: a reduction by %s needs to know how many participants meet: set "
        "tsr_groups.members", op_name((enum tsr_op)n->op), reduce_name(node_int(n, ATTR_REDUCE))), false;
}

/* A sum's cotangent is the sum of everybody's. Any other reduction: gather everybody's x on a new axis, reduce that. */
static bool all_reduce_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (!want[0]) return true;
    if (is_sum(n)) return gsrc[0] = like_sum(c, TSR_OP_ALL_REDUCE, n, gout[0]), true;
    if (!members_known(c, n)) return false;
    const tsr_type *one = type_insert_axis(c, n->type, 0, tsr_extent_int(c, 1));
    if (!one) return false;
    tsr_node *all = like_along(c, TSR_OP_ALL_GATHER, n, tsr_prim_reshape(c, n->src[0], one), 0);
    tsr_node *back = reduction_cotangent(c, n, all, 0, gout[0]);
    gsrc[0] = tsr_prim_reshape(c, like_along(c, TSR_OP_REDUCE_SCATTER, n, back, 0), n->type);
    return true;
}

static tsr_node *reduce_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                             const tsr_extent *size) {
    struct attr a = attr_int(ATTR_REDUCE, node_int(n, ATTR_REDUCE));
    if (n->nsrc > 1 && batched[1]) return vmap_none(c, n, src, batched, size);
    return like(c, (enum tsr_op)n->op, n, (tsr_node *[]){rule_batch(c, src[0], batched[0], size),
        n->nsrc > 1 ? src[1] : NULL}, 1, &a);
}

/* ---- all_gather, reduce_scatter: each other's transpose ---------------------------------------------------------- */

static const tsr_type *all_gather_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *t = checked(c, d);
    int axis = (int)draft_int(d, ATTR_AXIS);
    return t && axis_valid(c, d, axis) ? rescaled(c, d, t, axis, true) : NULL;
}

static const tsr_type *reduce_scatter_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *t = checked(c, d);
    int axis = (int)draft_int(d, ATTR_AXIS);
    if (!t || !axis_valid(c, d, axis) || !reduce_admits(c, "reduce_scatter", draft_int(d, ATTR_REDUCE), t->dtype))
        return NULL;
    return rescaled(c, d, t, axis, false);
}

tsr_node *tsr_prim_all_gather(tsr_ctx *c, tsr_node *x, int axis, const tsr_groups *g) {
    struct attr a = attr_int(ATTR_AXIS, axis);
    return grouped(c, TSR_OP_ALL_GATHER, x, NULL, g, 1, &a);
}

tsr_node *tsr_prim_reduce_scatter(tsr_ctx *c, tsr_node *x, tsr_reduce op, int axis, const tsr_groups *g) {
    struct attr a[] = {attr_int(ATTR_AXIS, axis), attr_int(ATTR_REDUCE, op)};
    return grouped(c, TSR_OP_REDUCE_SCATTER, x, NULL, g, 2, a);
}

static bool all_gather_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (want[0]) gsrc[0] = like_along(c, TSR_OP_REDUCE_SCATTER, n, gout[0], (int)node_int(n, ATTR_AXIS));
    return true;
}

/* No sum: each member's part of everybody's x comes by all_to_all, on an axis of members, and is reduced here. */
static bool reduce_scatter_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    int axis = (int)node_int(n, ATTR_AXIS);
    if (!want[0]) return true;
    if (is_sum(n)) return gsrc[0] = like_along(c, TSR_OP_ALL_GATHER, n, gout[0], axis), true;
    const tsr_extent *members = tsr_extent_int(c, node_int(n, ATTR_MEMBERS));
    tsr_node *x = axes_split(c, n->src[0], axis, members, n->type->extent[axis]);
    tsr_node *all = all_to_all(c, n, x, axis, axis);
    tsr_node *back = reduction_cotangent(c, n, all, axis, gout[0]);
    gsrc[0] = axes_as(c, axes_merge(c, all_to_all(c, n, back, axis, axis), axis), n->src[0]->type);
    return true;
}

static tsr_node *axis_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    struct attr a[] = {attr_int(ATTR_AXIS, node_int(n, ATTR_AXIS) + 1),
        attr_int(ATTR_REDUCE, node_int_or(n, ATTR_REDUCE, 0))};
    tsr_node *x = rule_batch(c, src[0], batched[0], size);
    return like(c, (enum tsr_op)n->op, n, &x, n->op == TSR_OP_REDUCE_SCATTER ? 2 : 1, a);
}

/* ---- all_to_all -------------------------------------------------------------------------------------------------- */

static const tsr_type *all_to_all_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *t = checked(c, d);
    const int64_t *axes = draft_ints(d, ATTR_AXES); /* split, concat */
    if (!t || !axis_valid(c, d, axes[0]) || !axis_valid(c, d, axes[1])) return NULL;
    t = rescaled(c, d, t, (int)axes[0], false);
    return t ? rescaled(c, d, t, (int)axes[1], true) : NULL;
}

tsr_node *tsr_prim_all_to_all(tsr_ctx *c, tsr_node *x, int split_axis, int concat_axis, const tsr_groups *g) {
    struct attr a = attr_ints(ATTR_AXES, 2, (int64_t[]){split_axis, concat_axis});
    return grouped(c, TSR_OP_ALL_TO_ALL, x, NULL, g, 1, &a);
}

static bool all_to_all_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    const int64_t *axes = node_ints(n, ATTR_AXES, NULL);
    if (want[0]) gsrc[0] = all_to_all(c, n, gout[0], axes[1], axes[0]);
    return true;
}

static tsr_node *all_to_all_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                                 const tsr_extent *size) {
    const int64_t *axes = node_ints(n, ATTR_AXES, NULL);
    return all_to_all(c, n, rule_batch(c, src[0], batched[0], size), axes[0] + 1, axes[1] + 1);
}

/* ---- collective_permute: what no pair sends to is zero ----------------------------------------------------------- */

bool pairs_valid(tsr_ctx *c, const char *op, size_t n, const int64_t *pair) {
    for (size_t i = 0; i < n; i++) {
        if (pair[i] < 0)
            return err_set(c, TSR_EINVAL, "%s: participant %" PRId64 "; they are numbered from 0", op, pair[i]), false;
        for (size_t j = i % 2; j < i; j += 2)
            if (pair[i] == pair[j])
                return err_set(c, TSR_EINVAL, "%s: participant %" PRId64 " %s twice", op, pair[i],
                    i % 2 ? "receives" : "sends"), false;
    }
    return true;
}

static const tsr_type *permute_infer(tsr_ctx *c, const struct draft *d) {
    const struct attr *p = draft_attr(d, ATTR_PAIRS);
    return axes_is_plain(c, "collective_permute", d->src[0]->type) &&
           pairs_valid(c, "collective_permute", p->n, p->ints) ? d->src[0]->type : NULL;
}

tsr_node *tsr_prim_collective_permute(tsr_ctx *c, tsr_node *x, tsr_group_mode mode, int npairs, const int64_t *pairs) {
    struct attr a[] = {attr_ints(ATTR_PAIRS, npairs > 0 ? 2 * (size_t)npairs : 0, pairs), attr_int(ATTR_MODE, mode)};
    return make(c, TSR_OP_COLLECTIVE_PERMUTE, 1, &x, 2, a);
}

static bool permute_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    struct comm_op o = comm_op_of(n);
    if (!want[0]) return true;
    int64_t *back = mem_array(c, 2 * (size_t)o.npairs + 1, sizeof *back);
    if (!back) return false;
    for (int i = 0; i < 2 * o.npairs; i++) back[i] = o.pair[i ^ 1];
    gsrc[0] = tsr_prim_collective_permute(c, gout[0], o.mode, o.npairs, back);
    mem_array_free(c, back, 2 * (size_t)o.npairs + 1, sizeof *back);
    return true;
}

static tsr_node *permute_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                              const tsr_extent *size) {
    struct comm_op o = comm_op_of(n);
    return tsr_prim_collective_permute(c, rule_batch(c, src[0], batched[0], size), o.mode, o.npairs, o.pair);
}

/* ---- collective_broadcast, collective_reduce: from and to one member of each group ------------------------------- */

static bool root_valid(tsr_ctx *c, const struct draft *d) {
    const char *op = op_name(d->op);
    if (d->nsrc == 1) return true;
    if (d->nsrc != 2)
        return err_set(c, TSR_EINVAL, "%s: takes a value and perhaps a root, got %d operands", op, d->nsrc), false;
    const tsr_type *t = d->src[1]->type;
    if (t->kind == TSR_TENSOR && t->rank == 0 && dtype_is_int(t->dtype)) return true;
    return err_set(c, TSR_EINVAL, "%s: the root is %s; it must be an integer scalar", op, type_text(c, t)), false;
}

static const tsr_type *broadcast_infer(tsr_ctx *c, const struct draft *d) {
    return root_valid(c, d) ? checked(c, d) : NULL;
}

static const tsr_type *reduce_infer(tsr_ctx *c, const struct draft *d) {
    return root_valid(c, d) ? all_reduce_infer(c, d) : NULL;
}

tsr_node *tsr_prim_collective_broadcast(tsr_ctx *c, tsr_node *x, tsr_node *root, const tsr_groups *g) {
    return grouped(c, TSR_OP_COLLECTIVE_BROADCAST, x, root, g, 0, NULL);
}

tsr_node *tsr_prim_collective_reduce(tsr_ctx *c, tsr_node *x, tsr_node *root, tsr_reduce op, const tsr_groups *g) {
    struct attr a = attr_int(ATTR_REDUCE, op);
    return grouped(c, TSR_OP_COLLECTIVE_REDUCE, x, root, g, 1, &a);
}

static bool broadcast_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (want[0]) gsrc[0] = like_sum(c, TSR_OP_COLLECTIVE_REDUCE, n, gout[0]);
    return true;
}

static bool reduce_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    if (!is_sum(n)) return vjp_none(c, n, gout, want, gsrc);
    if (want[0])
        gsrc[0] = like(c, TSR_OP_COLLECTIVE_BROADCAST, n, (tsr_node *[]){gout[0], n->nsrc > 1 ? n->src[1] : NULL}, 0,
            NULL);
    return true;
}

static tsr_node *broadcast_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                                const tsr_extent *size) {
    if (n->nsrc > 1 && batched[1]) return vmap_none(c, n, src, batched, size);
    return like(c, TSR_OP_COLLECTIVE_BROADCAST, n, (tsr_node *[]){rule_batch(c, src[0], batched[0], size),
        n->nsrc > 1 ? src[1] : NULL}, 0, NULL);
}

/* ---- samplers: a context alone; meshes have a test of their own -------------------------------------------------- */

static tsr_fn *sample_one(tsr_ctx *c, struct sample *s, enum tsr_op op) {
    static const int64_t zeros[2] = {0, 0};
    int64_t dim[4];
    int rank = (int)sample_int(s, 1, 4), axis = (int)sample_int(s, 0, rank - 1), n = (int)sample_int(s, 0, 1);
    tsr_groups g = {.mode = (tsr_group_mode)sample_int(s, 0, 3), .n = n, .size = n, .id = zeros, .members = 1};
    if (tsr_fn_begin(c, op_name(op)) != TSR_OK) return NULL;
    sample_dims(s, rank, dim);
    tsr_reduce how = s->dtype == TSR_BOOL ? TSR_REDUCE_OR : TSR_REDUCE_SUM;
    tsr_node *x = sample_param(c, s->dtype, rank, dim), *y, *root = n ? tsr_scalar_int(c, TSR_I32, 0) : NULL;
    switch (op) {
    case TSR_OP_ALL_REDUCE: y = tsr_prim_all_reduce(c, x, how, &g); break;
    case TSR_OP_ALL_GATHER: y = tsr_prim_all_gather(c, x, axis, &g); break;
    case TSR_OP_REDUCE_SCATTER: y = tsr_prim_reduce_scatter(c, x, how, axis, &g); break;
    case TSR_OP_ALL_TO_ALL: y = tsr_prim_all_to_all(c, x, axis, (int)sample_int(s, 0, rank - 1), &g); break;
    case TSR_OP_COLLECTIVE_PERMUTE: y = tsr_prim_collective_permute(c, x, g.mode, n, zeros); break;
    case TSR_OP_COLLECTIVE_REDUCE: y = tsr_prim_collective_reduce(c, x, root, how, &g); break;
    default: y = tsr_prim_collective_broadcast(c, x, root, &g);
    }
    return tsr_fn_end(c, 1, &y);
}

static tsr_fn *sample_id(tsr_ctx *c, struct sample *s, tsr_node *(*id)(tsr_ctx *)) {
    if (s->dtype != TSR_U32 || tsr_fn_begin(c, "id") != TSR_OK) return NULL;
    tsr_node *y = id(c);
    return tsr_fn_end(c, 1, &y);
}

static tsr_fn *sample_partition_id(tsr_ctx *c, struct sample *s) { return sample_id(c, s, tsr_prim_partition_id); }
static tsr_fn *sample_replica_id(tsr_ctx *c, struct sample *s) { return sample_id(c, s, tsr_prim_replica_id); }
#define SAMPLER(NAME) \
    static tsr_fn *sample_##NAME(tsr_ctx *c, struct sample *s) { return sample_one(c, s, TSR_OP_##NAME); }
SAMPLER(ALL_REDUCE)
SAMPLER(ALL_GATHER)
SAMPLER(REDUCE_SCATTER)
SAMPLER(ALL_TO_ALL)
SAMPLER(COLLECTIVE_PERMUTE)
SAMPLER(COLLECTIVE_BROADCAST)
SAMPLER(COLLECTIVE_REDUCE)

/* ---- records ----------------------------------------------------------------------------------------------------- */

#define ID(NAME, text, fn) \
    const struct op_def op_##NAME = { \
        .name = text, .formula = "this participant's number", .spec = "StableHLO " text, .cls = OP_EXTERN, .arity = 0, \
        .domain = "u", .infer = id_infer, .vjp = vjp_zero, .vmap = id_vmap, .ref = comm_ref, .sample = fn, \
    };
ID(PARTITION_ID, "partition_id", sample_partition_id)
ID(REPLICA_ID, "replica_id", sample_replica_id)
#define COLLECTIVE(NAME, text, sources, what, i, g, v) \
    const struct op_def op_##NAME = { \
        .name = text, .formula = what, .spec = "StableHLO " text, .cls = OP_EXTERN, .arity = sources, \
        .domain = "fiubc", .infer = i, .vjp = g, .vmap = v, .ref = comm_ref, .sample = sample_##NAME, \
    };
COLLECTIVE(ALL_REDUCE, "all_reduce", 1, "op over the group's x", all_reduce_infer, all_reduce_vjp, reduce_vmap)
COLLECTIVE(ALL_GATHER, "all_gather", 1, "the group's x, one after the other along axis", all_gather_infer,
           all_gather_vjp, axis_vmap)
COLLECTIVE(REDUCE_SCATTER, "reduce_scatter", 1, "this participant's part along axis of the group's all_reduce",
           reduce_scatter_infer, reduce_scatter_vjp, axis_vmap)
COLLECTIVE(ALL_TO_ALL, "all_to_all", 1,
           "part i along the split axis goes to participant i, parts are joined along the concat axis",
           all_to_all_infer, all_to_all_vjp, all_to_all_vmap)
COLLECTIVE(COLLECTIVE_PERMUTE, "collective_permute", 1, "x of the participant that sends here, zeros if none does",
           permute_infer, permute_vjp, permute_vmap)
COLLECTIVE(COLLECTIVE_BROADCAST, "collective_broadcast", -1, "x of the group's root", broadcast_infer, broadcast_vjp,
           broadcast_vmap)
COLLECTIVE(COLLECTIVE_REDUCE, "collective_reduce", -1, "op over the group's x at its root, zeros elsewhere",
           reduce_infer, reduce_vjp, reduce_vmap)
