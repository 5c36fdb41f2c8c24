/* op_collective.c: communication between participants, in StableHLO's replica groups form.
 *
 * A context has one participant so far (a mesh of one), so groups can only name participant 0 and every collective is
 * the identity, but for a permutation that sends it nothing: that gives zeros. Shape rules are written for groups of
 * any size. No groups at all means one group of everybody. Gradients are the transposed communication: all_gather and
 * reduce_scatter of sums are each other's, all_to_all and permutations go back the way they came. */
#include <inttypes.h>
#include <string.h>

#include "graph/axes.h"
#include "graph/ref.h"

enum { PARTICIPANTS = 1 };

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static bool ids_valid(tsr_ctx *c, const char *op, size_t n, const int64_t *id, bool once) {
    for (size_t i = 0; i < n; i++) {
        if (id[i] < 0 || id[i] >= PARTICIPANTS)
            return err_set(c, TSR_EINVAL, "%s: participant %" PRId64 ", but this context has %d (numbered from 0)", op,
                           id[i], PARTICIPANTS), false;
        if (once && axes_has(i, id, id[i]))
            return err_set(c, TSR_EINVAL, "%s: participant %" PRId64 " is in more than one group", op, id[i]), false;
    }
    return true;
}

static int64_t group_size(const struct draft *d) {
    int64_t size = draft_int(d, ATTR_GROUP_SIZE);
    return size ? size : PARTICIPANTS;
}

/* Operand and groups; the op's name is its record's. */
static const tsr_type *checked(tsr_ctx *c, const struct draft *d) {
    const char *op = op_name(d->op);
    const struct attr *g = draft_attr(d, ATTR_GROUPS);
    if (!axes_is_tensor(c, op, d->src[0]->type) || !ids_valid(c, op, g->n, g->ints, true)) return NULL;
    if (g->n % (size_t)group_size(d))
        return err_set(c, TSR_EINVAL, "%s: %zu participants do not make groups of %" PRId64, op, g->n, group_size(d)),
            NULL;
    return d->src[0]->type;
}

static bool axis_valid(tsr_ctx *c, const struct draft *d, int64_t axis) {
    return axes_check(c, op_name(d->op), "axis", 1, &axis, d->src[0]->type->rank);
}

/* The extent of an axis times or divided by the size of a group. */
static const tsr_type *rescaled(tsr_ctx *c, const struct draft *d, const tsr_type *t, int axis, bool grow) {
    const tsr_extent *size = tsr_extent_int(c, group_size(d)), *e = t ? t->extent[axis] : NULL,
        *zero = tsr_extent_int(c, 0);
    if (!e || !size) return NULL;
    if (grow) return type_with_extent(c, t, axis, tsr_extent_mul(c, e, size));
    if (!extent_require_equal(c, tsr_extent_mod(c, e, size), zero,
                              "%s of %s: axis %d does not split into %" PRId64 " equal parts", op_name(d->op),
                              type_text(c, t), axis, group_size(d)))
        return NULL;
    return type_with_extent(c, t, axis, tsr_extent_floordiv(c, e, size));
}

static tsr_node *make(tsr_ctx *c, enum tsr_op op, tsr_node *x, int nattr, const struct attr *attr) {
    if (axes_poison(1, &x)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = op, .nsrc = 1, .src = &x, .nattr = nattr, .attr = attr});
}

/* A collective over groups, with one more attribute (or none: key ATTR_COUNT) and axes. */
static tsr_node *grouped(tsr_ctx *c, enum tsr_op op, tsr_node *x, int ngroups, int size, const int64_t *groups,
                         int nmore, const struct attr *more) {
    struct attr a[4];
    if (ngroups < 0 || size < 0 || (ngroups > 0 && (!size || !groups)))
        return err_set(c, TSR_EINVAL, "%s: %d groups of %d participants", op_name(op), ngroups, size), tsr_poison(c);
    for (int i = 0; i < nmore; i++) a[i] = more[i];
    a[nmore] = attr_ints(ATTR_GROUPS, (size_t)ngroups * (size_t)size, groups);
    a[nmore + 1] = attr_int(ATTR_GROUP_SIZE, ngroups ? size : 0);
    return make(c, op, x, nmore + 2, a);
}

/* The same op over x with its groups, with these further attributes. */
static tsr_node *like(tsr_ctx *c, enum tsr_op op, tsr_node *n, tsr_node *x, int nmore, const struct attr *more) {
    int count, size = (int)node_int(n, ATTR_GROUP_SIZE);
    const int64_t *groups = node_ints(n, ATTR_GROUPS, &count);
    return grouped(c, op, x, size ? count / size : 0, size, groups, nmore, more);
}

static tsr_status identity_ref(struct ref_call *r) {
    memcpy(r->out[0].p, r->in[0].p, ref_bytes(&r->out[0]));
    return TSR_OK;
}

/* ---- partition_id, replica_id ------------------------------------------------------------------------------------ */

static const tsr_type *id_infer(tsr_ctx *c, const struct draft *d) {
    (void)d;
    return tsr_type_dims(c, TSR_U32, 0, NULL);
}

static tsr_node *id_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    (void)src, (void)batched;
    return rule_batch(c, n, false, size);
}

static tsr_status id_ref(struct ref_call *r) {
    ref_set(&r->out[0], 0, (struct ref_val){.u = 0});
    return TSR_OK;
}

tsr_node *tsr_prim_partition_id(tsr_ctx *c) { return node_make(c, &(struct draft){.op = TSR_OP_PARTITION_ID}); }
tsr_node *tsr_prim_replica_id(tsr_ctx *c) { return node_make(c, &(struct draft){.op = TSR_OP_REPLICA_ID}); }

/* ---- all_reduce -------------------------------------------------------------------------------------------------- */

static const tsr_type *all_reduce_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *t = checked(c, d);
    return t && reduce_admits(c, "all_reduce", draft_int(d, ATTR_REDUCE), t->dtype) ? t : NULL;
}

tsr_node *tsr_prim_all_reduce(tsr_ctx *c, tsr_node *x, tsr_reduce op, int ngroups, int size, const int64_t *groups) {
    struct attr a = attr_int(ATTR_REDUCE, op);
    return grouped(c, TSR_OP_ALL_REDUCE, x, ngroups, size, groups, 1, &a);
}

/* A sum's cotangent is the sum of everybody's. Of the others a group of one is the identity. */
static bool all_reduce_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    struct attr a = attr_int(ATTR_REDUCE, TSR_REDUCE_SUM);
    if (want[0])
        gsrc[0] = node_int(n, ATTR_REDUCE) == TSR_REDUCE_SUM ? like(c, TSR_OP_ALL_REDUCE, n, gout[0], 1, &a) : gout[0];
    return true;
}

static tsr_node *all_reduce_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                                 const tsr_extent *size) {
    struct attr a = attr_int(ATTR_REDUCE, node_int(n, ATTR_REDUCE));
    return like(c, TSR_OP_ALL_REDUCE, n, rule_batch(c, src[0], batched[0], size), 1, &a);
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

tsr_node *tsr_prim_all_gather(tsr_ctx *c, tsr_node *x, int axis, int ngroups, int size, const int64_t *groups) {
    struct attr a = attr_int(ATTR_AXIS, axis);
    return grouped(c, TSR_OP_ALL_GATHER, x, ngroups, size, groups, 1, &a);
}

tsr_node *tsr_prim_reduce_scatter(tsr_ctx *c, tsr_node *x, tsr_reduce op, int axis, int ngroups, int size,
                                  const int64_t *groups) {
    struct attr a[] = {attr_int(ATTR_AXIS, axis), attr_int(ATTR_REDUCE, op)};
    return grouped(c, TSR_OP_REDUCE_SCATTER, x, ngroups, size, groups, 2, a);
}

static bool all_gather_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    struct attr a[] = {attr_int(ATTR_AXIS, node_int(n, ATTR_AXIS)), attr_int(ATTR_REDUCE, TSR_REDUCE_SUM)};
    if (want[0]) gsrc[0] = like(c, TSR_OP_REDUCE_SCATTER, n, gout[0], 2, a);
    return true;
}

static bool reduce_scatter_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    struct attr a = attr_int(ATTR_AXIS, node_int(n, ATTR_AXIS));
    if (want[0])
        gsrc[0] = node_int(n, ATTR_REDUCE) == TSR_REDUCE_SUM ? like(c, TSR_OP_ALL_GATHER, n, gout[0], 1, &a) : gout[0];
    return true;
}

static tsr_node *axis_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size) {
    struct attr a[] = {attr_int(ATTR_AXIS, node_int(n, ATTR_AXIS) + 1),
        attr_int(ATTR_REDUCE, node_int_or(n, ATTR_REDUCE, 0))};
    return like(c, (enum tsr_op)n->op, n, rule_batch(c, src[0], batched[0], size), n->op == TSR_OP_REDUCE_SCATTER ? 2
                : 1, a);
}

/* ---- all_to_all -------------------------------------------------------------------------------------------------- */

static const tsr_type *all_to_all_infer(tsr_ctx *c, const struct draft *d) {
    const tsr_type *t = checked(c, d);
    const int64_t *axes = draft_ints(d, ATTR_AXES); /* split, concat */
    if (!t || !axis_valid(c, d, axes[0]) || !axis_valid(c, d, axes[1])) return NULL;
    return rescaled(c, d, rescaled(c, d, t, (int)axes[0], false), (int)axes[1], true);
}

static tsr_node *all_to_all(tsr_ctx *c, tsr_node *n, tsr_node *x, int64_t split, int64_t concat) {
    struct attr a = attr_ints(ATTR_AXES, 2, (int64_t[]){split, concat});
    return like(c, TSR_OP_ALL_TO_ALL, n, x, 1, &a);
}

tsr_node *tsr_prim_all_to_all(tsr_ctx *c, tsr_node *x, int split_axis, int concat_axis, int ngroups, int size,
                              const int64_t *groups) {
    struct attr a = attr_ints(ATTR_AXES, 2, (int64_t[]){split_axis, concat_axis});
    return grouped(c, TSR_OP_ALL_TO_ALL, x, ngroups, size, groups, 1, &a);
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

static const tsr_type *permute_infer(tsr_ctx *c, const struct draft *d) {
    const struct attr *p = draft_attr(d, ATTR_PAIRS);
    if (!axes_is_tensor(c, "collective_permute", d->src[0]->type) ||
        !ids_valid(c, "collective_permute", p->n, p->ints, false)) return NULL;
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = i % 2; j < i; j += 2)
            if (p->ints[i] == p->ints[j])
                return err_set(c, TSR_EINVAL, "collective_permute: participant %" PRId64 " %s twice", p->ints[i], i % 2
                               ? "receives" : "sends"), NULL;
    return d->src[0]->type;
}

tsr_node *tsr_prim_collective_permute(tsr_ctx *c, tsr_node *x, int npairs, const int64_t *pairs) {
    struct attr a = attr_ints(ATTR_PAIRS, npairs > 0 ? 2 * (size_t)npairs : 0, pairs);
    return make(c, TSR_OP_COLLECTIVE_PERMUTE, x, 1, &a);
}

static bool permute_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    int count;
    const int64_t *pairs = node_ints(n, ATTR_PAIRS, &count);
    int64_t back[2 * PARTICIPANTS];
    for (int i = 0; i < count; i++) back[i] = pairs[i ^ 1];
    if (want[0]) gsrc[0] = tsr_prim_collective_permute(c, gout[0], count / 2, back);
    return true;
}

static tsr_node *permute_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                              const tsr_extent *size) {
    int count;
    const int64_t *pairs = node_ints(n, ATTR_PAIRS, &count);
    return tsr_prim_collective_permute(c, rule_batch(c, src[0], batched[0], size), count / 2, pairs);
}

static tsr_status permute_ref(struct ref_call *r) {
    int count;
    node_ints(r->node, ATTR_PAIRS, &count);
    if (count) return identity_ref(r);
    memset(r->out[0].p, 0, ref_bytes(&r->out[0]));
    return TSR_OK;
}

/* ---- collective_broadcast: from the first of each group ---------------------------------------------------------- */

tsr_node *tsr_prim_collective_broadcast(tsr_ctx *c, tsr_node *x, int ngroups, int size, const int64_t *groups) {
    return grouped(c, TSR_OP_COLLECTIVE_BROADCAST, x, ngroups, size, groups, 0, NULL);
}

static bool broadcast_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc) {
    (void)c, (void)n;
    if (want[0]) gsrc[0] = gout[0]; /* a group of one */
    return true;
}

static tsr_node *broadcast_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                                const tsr_extent *size) {
    return like(c, TSR_OP_COLLECTIVE_BROADCAST, n, rule_batch(c, src[0], batched[0], size), 0, NULL);
}

/* ---- samplers ---------------------------------------------------------------------------------------------------- */

static tsr_fn *sample_one(tsr_ctx *c, struct sample *s, enum tsr_op op) {
    static const int64_t zeros[2] = {0, 0};
    int64_t dim[4];
    int rank = (int)sample_int(s, 1, 4), axis = (int)sample_int(s, 0, rank - 1), groups = (int)sample_int(s, 0, 1);
    if (tsr_fn_begin(c, op_name(op)) != TSR_OK) return NULL;
    sample_dims(s, rank, dim);
    tsr_reduce how = s->dtype == TSR_BOOL ? TSR_REDUCE_OR : TSR_REDUCE_SUM;
    tsr_node *x = sample_param(c, s->dtype, rank, dim), *y;
    switch (op) {
    case TSR_OP_ALL_REDUCE: y = tsr_prim_all_reduce(c, x, how, groups, 1, zeros); break;
    case TSR_OP_ALL_GATHER: y = tsr_prim_all_gather(c, x, axis, groups, 1, zeros); break;
    case TSR_OP_REDUCE_SCATTER: y = tsr_prim_reduce_scatter(c, x, how, axis, groups, 1, zeros); break;
    case TSR_OP_ALL_TO_ALL: y = tsr_prim_all_to_all(c, x, axis, (int)sample_int(s, 0, rank - 1), groups, 1, zeros);
        break;
    case TSR_OP_COLLECTIVE_PERMUTE: y = tsr_prim_collective_permute(c, x, groups, zeros); break;
    default: y = tsr_prim_collective_broadcast(c, x, groups, 1, zeros);
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

#define ID(NAME, text, fn) \
    const struct op_def op_##NAME = { \
        .name = text, .formula = "this participant's number", .spec = "StableHLO " text, .cls = OP_LEAF, .arity = 0, \
        .domain = "u", .infer = id_infer, .vjp = vjp_zero, .vmap = id_vmap, .ref = id_ref, .sample = fn, \
    };
ID(PARTITION_ID, "partition_id", sample_partition_id)
ID(REPLICA_ID, "replica_id", sample_replica_id)
#define COLLECTIVE(NAME, text, what, i, g, v, r) \
    const struct op_def op_##NAME = { \
        .name = text, .formula = what, .spec = "StableHLO " text, .cls = OP_EXTERN, .arity = 1, .domain = "fiubc", \
        .infer = i, .vjp = g, .vmap = v, .ref = r, .sample = sample_##NAME, \
    };
COLLECTIVE(ALL_REDUCE, "all_reduce", "op over the group's x", all_reduce_infer, all_reduce_vjp, all_reduce_vmap,
           identity_ref)
COLLECTIVE(ALL_GATHER, "all_gather", "the group's x, one after the other along axis", all_gather_infer, all_gather_vjp,
           axis_vmap, identity_ref)
COLLECTIVE(REDUCE_SCATTER, "reduce_scatter", "this participant's part along axis of the group's all_reduce",
           reduce_scatter_infer, reduce_scatter_vjp, axis_vmap, identity_ref)
COLLECTIVE(ALL_TO_ALL, "all_to_all",
           "part i along the split axis goes to participant i, parts are joined along the concat axis",
               all_to_all_infer, all_to_all_vjp, all_to_all_vmap, identity_ref)
COLLECTIVE(COLLECTIVE_PERMUTE, "collective_permute", "x of the participant that sends here, zeros if none does",
           permute_infer, permute_vjp, permute_vmap, permute_ref)
COLLECTIVE(COLLECTIVE_BROADCAST, "collective_broadcast", "x of the group's first participant", checked, broadcast_vjp,
           broadcast_vmap, identity_ref)
