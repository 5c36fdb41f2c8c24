/* export_mesh.c: communication: collectives, and effects with their tokens.
 *
 * The mode of a group is said by the operation's channel and flag: for reductions and gathers none (across replicas), a
 * channel (replicas with their partitions), a channel and use_global_device_ids (flattened ids); for the others none or
 * a channel (across partitions). A mode that the operation cannot say is an error.
 *
 * A token is a bool scalar in the graph and !stablehlo.token here: the token of an effect, after_all of several, a
 * literal where there was none before. A token that a loop or a call hands on is not followed.
 * Source: StableHLO specification, process groups. */
#include <string.h>

#include "formats/stablehlo/export.h"

enum says { SAYS_FLAG, SAYS_CHANNEL }; /* what an operation has to say its mode with */

static struct hlo_named pairs_of(struct exp *x, const char *name, int64_t rows, int64_t columns, const int64_t *v) {
    int64_t dim[] = {rows, columns}, count = rows * columns;
    int64_t *own = arena_array(&x->m->arena, (size_t)count + 1, sizeof *own);
    const struct hlo_type *t = exp_dims_type(x, TSR_I64, 2, dim);
    if (own && count) memcpy(own, v, (size_t)count * sizeof *own);
    return exp_named(name, own && t ? hlo_attr_elements(x->m, t, false, own, (size_t)count * sizeof *own) : NULL);
}

/* One group of everybody is written out where it is known how many that is: shapes alone do not always tell. */
static struct hlo_named groups_of(struct exp *x, const tsr_node *n) {
    int count;
    const int64_t *v = node_ints(n, ATTR_GROUPS, &count);
    int64_t size = node_int(n, ATTR_GROUP_SIZE), members = node_int(n, ATTR_MEMBERS), *all;
    if (count == 0 && members && (members == 1 || node_int(n, ATTR_MODE) != TSR_CROSS_REPLICA_AND_PARTITION)) {
        if (!(all = arena_array(&x->m->arena, (size_t)members, sizeof *all))) return exp_named("replica_groups", NULL);
        for (int64_t i = 0; i < members; i++) all[i] = i;
        return pairs_of(x, "replica_groups", 1, members, all);
    }
    return pairs_of(x, "replica_groups", size ? count / size : 0, size, v);
}

static struct hlo_named channel(struct exp *x, int64_t id, int64_t type) {
    struct hlo_named field[] = {exp_int(x, "handle", id), exp_int(x, "type", type)};
    bool ok = field[0].value && field[1].value;
    return exp_named("channel_handle", ok ? hlo_attr_struct(x->m, "stablehlo.channel_handle", 2, field) : NULL);
}

/* The attributes that say the mode, after attr[at]: how many there are then. -1: the operation cannot say it. */
static int say_mode(struct exp *x, const tsr_node *n, enum says says, int at, struct hlo_named *attr) {
    int64_t mode = node_int(n, ATTR_MODE), id = node_int_or(n, ATTR_CHANNEL, 0);
    bool with_channel = mode != TSR_CROSS_REPLICA;
    bool known = !with_channel || (says == SAYS_CHANNEL ? mode == TSR_CROSS_PARTITION : mode != TSR_CROSS_PARTITION);
    if (mode == TSR_CROSS_REPLICA_AND_PARTITION && node_attr(n, ATTR_AXIS)) /* members are read off the extents */
        known = known && !extent_is(n->src[0]->type->extent[node_int(n, ATTR_AXIS)], 0);
    if (!known || (id && !with_channel)) {
        exp_fail(x, n, "its groups and channel are a combination that StableHLO does not say for this operation");
        return -1;
    }
    if (with_channel) attr[at++] = channel(x, id ? id : 1, 1);
    if (mode == TSR_FLATTENED_IDS) attr[at++] = exp_named("use_global_device_ids", hlo_attr_unit(x->m));
    return at;
}

bool exp_participant(struct exp *x, const tsr_node *n) {
    enum hlo_opcode code = n->op == TSR_OP_PARTITION_ID ? HLO_OP_PARTITION_ID : HLO_OP_REPLICA_ID;
    return exp_done(x, n, exp_make(x, code, exp_type(x, n->type), 0, NULL, 0, NULL));
}

/* ---- collectives ------------------------------------------------------------------------------------------------ */
static bool reduction_body(struct exp *x, const tsr_node *n, struct hlo_region *r) {
    const struct hlo_type *s = exp_scalar_type(x, n->type->dtype);
    struct exp_region saved;
    if (!s || !exp_region_begin(x, r, 2, (const struct hlo_type *[]){s, s}, &saved)) return false;
    enum hlo_opcode code = exp_reduce_code((tsr_reduce)node_int(n, ATTR_REDUCE));
    struct hlo_value *y = exp_make2(x, code, s, &x->block->arg[0], &x->block->arg[1]);
    bool ok = y && exp_return(x, 1, &y);
    exp_region_end(x, &saved);
    return ok;
}

/* One operation of one operand (and a root) with attr[nattr], its mode, and the reduction as its body. */
static bool collective(struct exp *x, const tsr_node *n, enum hlo_opcode code, enum says says, int nattr,
    struct hlo_named *attr) {
    int64_t one = 1;
    struct hlo_value *in[2] = {exp_in(x, n, 0)};
    const struct hlo_type *t = exp_type(x, n->type);
    bool body = node_attr(n, ATTR_REDUCE) != NULL;
    if ((nattr = say_mode(x, n, says, nattr, attr)) < 0) return false;
    if (n->nsrc == 2) {
        attr[nattr++] = exp_named("has_dynamic_root", hlo_attr_unit(x->m));
        in[1] = exp_reshape(x, exp_convert(x, exp_in(x, n, 1), TSR_I32), exp_dims_type(x, TSR_I32, 1, &one));
    }
    struct hlo_op *op = exp_op(x, code, n->nsrc, in, nattr, attr, 1, &t, body);
    return op && (!body || reduction_body(x, n, &op->region[0])) && exp_done_op(x, n, op);
}

bool exp_all_reduce(struct exp *x, const tsr_node *n) {
    struct hlo_named attr[EXP_ATTRS_MAX] = {groups_of(x, n)};
    return collective(x, n, HLO_OP_ALL_REDUCE, SAYS_FLAG, 1, attr);
}
bool exp_all_gather(struct exp *x, const tsr_node *n) {
    struct hlo_named attr[EXP_ATTRS_MAX] = {groups_of(x, n), exp_int(x, "all_gather_dim", node_int(n, ATTR_AXIS))};
    return collective(x, n, HLO_OP_ALL_GATHER, SAYS_FLAG, 2, attr);
}
bool exp_reduce_scatter(struct exp *x, const tsr_node *n) {
    struct hlo_named attr[EXP_ATTRS_MAX] = {groups_of(x, n), exp_int(x, "scatter_dimension", node_int(n, ATTR_AXIS))};
    return collective(x, n, HLO_OP_REDUCE_SCATTER, SAYS_FLAG, 2, attr);
}
bool exp_collective_reduce(struct exp *x, const tsr_node *n) {
    struct hlo_named attr[EXP_ATTRS_MAX] = {groups_of(x, n)};
    return collective(x, n, HLO_OP_COLLECTIVE_REDUCE, SAYS_FLAG, 1, attr);
}
bool exp_all_to_all(struct exp *x, const tsr_node *n) {
    const int64_t *axes = node_ints(n, ATTR_AXES, NULL);
    struct hlo_named attr[EXP_ATTRS_MAX] = {groups_of(x, n), exp_int(x, "split_dimension", axes[0]),
        exp_int(x, "concat_dimension", axes[1]), exp_int(x, "split_count", node_int(n, ATTR_MEMBERS))};
    return collective(x, n, HLO_OP_ALL_TO_ALL, SAYS_CHANNEL, 4, attr);
}
bool exp_collective_broadcast(struct exp *x, const tsr_node *n) {
    struct hlo_named attr[EXP_ATTRS_MAX] = {groups_of(x, n)};
    return collective(x, n, HLO_OP_COLLECTIVE_BROADCAST, SAYS_CHANNEL, 1, attr);
}

static struct hlo_named permutation(struct exp *x, const tsr_node *n) {
    int count;
    const int64_t *v = node_ints(n, ATTR_PAIRS, &count);
    return pairs_of(x, "source_target_pairs", count / 2, 2, v);
}

bool exp_collective_permute(struct exp *x, const tsr_node *n) {
    struct hlo_named attr[EXP_ATTRS_MAX] = {permutation(x, n)};
    return collective(x, n, HLO_OP_COLLECTIVE_PERMUTE, SAYS_CHANNEL, 1, attr);
}

/* ---- effects ---------------------------------------------------------------------------------------------------- */
bool exp_gives_token(const tsr_node *n) {
    const tsr_node *from = n->op == TSR_OP_ITEM ? n->src[0] : n;
    if (n->op == TSR_OP_SEND || n->op == TSR_OP_OUTFEED) return true;
    return n->op == TSR_OP_ITEM && (from->op == TSR_OP_RECV || from->op == TSR_OP_INFEED) &&
           node_int(n, ATTR_INDEX) == from->type->rank - 1;
}

const struct hlo_type *exp_token_type(struct exp *x) {
    return hlo_type_intern(x->m, &(struct hlo_type){.kind = HLO_T_TOKEN});
}

bool exp_is_token(const struct hlo_value *v) { return v && v->type->kind == HLO_T_TOKEN; }

/* Source i as a token. */
static struct hlo_value *token_in(struct exp *x, const tsr_node *n, int i) {
    struct hlo_value *v = exp_in(x, n, i);
    if (!v || exp_is_token(v)) return v;
    if (n->src[i]->op == TSR_OP_CONST) return exp_make(x, HLO_OP_CREATE_TOKEN, exp_token_type(x), 0, NULL, 0, NULL);
    exp_fail(x, n, "its token comes through a loop, a call or a parameter, which is not followed");
    return NULL;
}

bool exp_after_all(struct exp *x, const tsr_node *n) {
    struct hlo_value *in[] = {token_in(x, n, 0), token_in(x, n, 1)};
    return exp_done(x, n, exp_make(x, HLO_OP_AFTER_ALL, exp_token_type(x), 2, in, 0, NULL));
}

/* Values and a token in; the results, the last of them a token, out. */
static bool effect(struct exp *x, const tsr_node *n, enum hlo_opcode code, int nattr, const struct hlo_named *attr) {
    int results = type_results(n->type), values = n->nsrc - 1;
    struct hlo_value **in = arena_array(&x->m->arena, (size_t)n->nsrc + 1, sizeof *in);
    const struct hlo_type **t = arena_array(&x->m->arena, (size_t)results + 1, sizeof *t);
    if (!in || !t) return false;
    for (int i = 0; i < values; i++) in[i] = exp_in(x, n, i);
    if (!(in[values] = token_in(x, n, values))) return false;
    for (int i = 0; i < results; i++)
        t[i] = i + 1 == results ? exp_token_type(x) : exp_type(x, type_result(n->type, i));
    return exp_done_op(x, n, exp_op(x, code, n->nsrc, in, nattr, attr, results, t, 0));
}

static bool transfer(struct exp *x, const tsr_node *n, enum hlo_opcode code) {
    int count;
    node_ints(n, ATTR_PAIRS, &count);
    struct hlo_named attr[] = {channel(x, node_int(n, ATTR_CHANNEL), 1), permutation(x, n)};
    return effect(x, n, code, count ? 2 : 1, attr);
}

bool exp_send(struct exp *x, const tsr_node *n) { return transfer(x, n, HLO_OP_SEND); }
bool exp_recv(struct exp *x, const tsr_node *n) { return transfer(x, n, HLO_OP_RECV); }
bool exp_infeed(struct exp *x, const tsr_node *n) { return effect(x, n, HLO_OP_INFEED, 0, NULL); }
bool exp_outfeed(struct exp *x, const tsr_node *n) { return effect(x, n, HLO_OP_OUTFEED, 0, NULL); }
