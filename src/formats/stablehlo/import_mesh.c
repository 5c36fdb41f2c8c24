/* import_mesh.c: collectives: who meets whom, and what is done with what they bring.
 *
 * Each operation says by its channel and use_global_device_ids how its replica_groups are meant (the specification's
 * cross_replica, cross_partition, cross_replica_and_partition and flattened_ids); a mesh with named axes is written out
 * as groups. Variadic operations are one collective for each operand.
 *
 * A reduction whose body is one of tsr_reduce's is that primitive. Any other body is applied here: all_reduce gathers
 * everybody's values on a new axis and folds it, reduce_scatter exchanges parts (all_to_all) and folds those. An
 * asynchronous operation happens at its start; async_done hands the values on.
 * Source: openxla.org/stablehlo/spec, "Collective ops" and "Parallel execution". */
#include <string.h>

#include "formats/stablehlo/import_body.h"
#include "formats/stablehlo/import_mesh.h"
#include "graph/axes.h"

/* ---- the grid ---------------------------------------------------------------------------------------------------- */

int imp_replicas(const struct imp *p) {
    return p->o->replicas ? p->o->replicas : (int)hlo_get_int(p->m->op, "mhlo.num_replicas", 0);
}

int imp_partitions(const struct imp *p) {
    return p->o->partitions ? p->o->partitions : (int)hlo_get_int(p->m->op, "mhlo.num_partitions", 0);
}

static bool own_id(struct imp *p, const struct hlo_op *op, int known, tsr_node *id) {
    return imp_result(p, op, 0, known >= 0 ? tsr_scalar_int(p->c, TSR_U32, known) : id);
}

bool imp_partition_id(struct imp *p, const struct hlo_op *op) {
    return own_id(p, op, p->o->partition, tsr_prim_partition_id(p->c));
}

bool imp_replica_id(struct imp *p, const struct hlo_op *op) {
    return own_id(p, op, p->o->replica, tsr_prim_replica_id(p->c));
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

bool imp_pairs(struct imp *p, const struct hlo_op *op, const char *name, int *rows, int *columns, const int64_t **out) {
    const struct hlo_attr *a = hlo_get(op, name);
    *rows = *columns = 0, *out = NULL;
    if (!a) return true;
    if (a->kind != HLO_A_ELEMENTS || a->type->rank != 2 || hlo_type_count(a->type) < 0 ||
        hlo_type_count(a->type) > (1 << 20))
        return imp_fail(p, op, "%s is no table of integers", name);
    int64_t *v = arena_array(&p->arena, (size_t)hlo_type_count(a->type) + 1, sizeof *v);
    if (!v || !hlo_elements_ints(p->c, a, v)) return false;
    *rows = (int)a->type->dim[0], *columns = (int)a->type->dim[1], *out = v;
    return true;
}

int64_t imp_channel_of(const struct hlo_op *op) {
    const struct hlo_attr *h = hlo_get(op, "channel_handle"), *id = h ? hlo_field(h, "handle") : NULL;
    return id && id->kind == HLO_A_INT ? id->i : 0;
}

/* How the ids of a reduction, an all_gather or a reduce_scatter are meant; and of the others. */
static bool mode_of(struct imp *p, const struct hlo_op *op, bool both, tsr_group_mode *mode) {
    bool channel = imp_channel_of(op) > 0, global = hlo_get(op, "use_global_device_ids") != NULL;
    if (global && both && !channel) return imp_fail(p, op, "use_global_device_ids needs a channel with a positive id");
    *mode = global ? TSR_FLATTENED_IDS : !channel ? TSR_CROSS_REPLICA : both ? TSR_CROSS_REPLICA_AND_PARTITION
        : TSR_CROSS_PARTITION;
    return true;
}

/* Participants in a group, where the program or the grid says so. */
static int members_of(const struct imp *p, const tsr_groups *g) {
    int R = imp_replicas(p), P = imp_partitions(p);
    int row = g->n ? g->size : g->mode == TSR_CROSS_PARTITION ? P : g->mode == TSR_FLATTENED_IDS ? R * P : R;
    for (int i = 0; i < g->n * g->size; i++)
        if (g->id[i] < 0) return 0;
    return g->mode == TSR_CROSS_REPLICA_AND_PARTITION ? row * P : row;
}

/* factor: participants in a group as the shapes of operand and result say; 0: they do not. */
static bool groups_of(struct imp *p, const struct hlo_op *op, bool both, int64_t factor, tsr_groups *g) {
    const struct hlo_attr *a = hlo_get(op, "replica_groups");
    *g = (tsr_groups){.channel = imp_channel_of(op)};
    if (!mode_of(p, op, both, &g->mode)) return false;
    if (a && a->kind == HLO_A_STRUCT) {
        if (!imp_mesh_axes(p, op, a, g)) return false;
    } else if (!imp_pairs(p, op, "replica_groups", &g->n, &g->size, &g->id)) {
        return false;
    }
    if (!g->n || !g->size) g->n = g->size = 0;
    g->members = members_of(p, g);
    if (!g->members && factor > 0 && factor <= INT32_MAX) g->members = (int)factor;
    return true;
}

static int64_t static_dim(const struct hlo_type *t, int64_t axis) {
    return t->kind == HLO_T_TENSOR && axis >= 0 && axis < t->rank && t->dim[axis] > 0 ? t->dim[axis] : 0;
}

/* How many times longer `more` is than `less` along an axis; 0: not known. */
static int64_t factor_along(const struct hlo_value *more, const struct hlo_value *less, int64_t axis) {
    int64_t a = static_dim(more->type, axis), b = static_dim(less->type, axis);
    return b ? a / b : 0;
}

/* ---- movement ---------------------------------------------------------------------------------------------------- */

/* Result i, kept alive for those who wait for it. */
static bool give(struct imp *p, const struct hlo_op *op, int i, tsr_node *n) {
    return !tsr_is_poison(n) && imp_spoken(p, n) && imp_result(p, op, i, n);
}

bool imp_all_gather(struct imp *p, const struct hlo_op *op) {
    tsr_groups g;
    int64_t axis = hlo_get_int(op, "all_gather_dim", -1);
    int64_t factor = op->noperand && op->nresult ? factor_along(&op->result[0], op->operand[0], axis) : 0;
    if (!groups_of(p, op, true, factor, &g)) return false;
    for (int i = 0; i < op->noperand; i++)
        if (!give(p, op, i, tsr_prim_all_gather(p->c, imp_operand(p, op, i), (int)axis, &g))) return false;
    return true;
}

bool imp_all_to_all(struct imp *p, const struct hlo_op *op) {
    tsr_groups g;
    int split = (int)hlo_get_int(op, "split_dimension", -1), concat = (int)hlo_get_int(op, "concat_dimension", -1);
    if (!groups_of(p, op, false, hlo_get_int(op, "split_count", 0), &g)) return false;
    if (g.members != hlo_get_int(op, "split_count", g.members))
        return imp_fail(p, op, "split_count is %lld, its groups have %d participants",
            (long long)hlo_get_int(op, "split_count", 0), g.members);
    for (int i = 0; i < op->noperand; i++)
        if (!give(p, op, i, tsr_prim_all_to_all(p->c, imp_operand(p, op, i), split, concat, &g))) return false;
    return true;
}

/* What stands where nobody sends: zero, which a quantised type stores as its zero point. shift: from stored integers to
 * those in which zero is 0, or back; the integers wrap, so nothing is lost on the way. */
static tsr_node *shifted(struct imp *p, const struct hlo_type *t, tsr_node *x, tsr_scalar shift) {
    if (!t->quant || !t->quant->zero_point[0] || tsr_is_poison(x)) return x;
    tsr_node *zero = tsr_scalar_int(p->c, tsr_node_dtype(x), t->quant->zero_point[0]);
    return tsr_prim2(p->c, shift, x, imp_spread(p->c, zero, x));
}

bool imp_collective_permute(struct imp *p, const struct hlo_op *op) {
    tsr_group_mode mode;
    int n, two;
    const int64_t *pairs;
    if (!mode_of(p, op, false, &mode) || !imp_pairs(p, op, "source_target_pairs", &n, &two, &pairs)) return false;
    if (n && two != 2) return imp_fail(p, op, "source_target_pairs has %d columns, not 2", two);
    const struct hlo_type *t = op->operand[0]->type;
    tsr_node *x = shifted(p, t, imp_operand(p, op, 0), TSR_S_SUB);
    tsr_node *y = tsr_prim_collective_permute(p->c, x, mode, n, pairs);
    return !tsr_is_poison(y) && imp_spoken(p, y) && imp_result(p, op, 0, shifted(p, t, y, TSR_S_ADD));
}

/* Element i of the last operand, when it says who the roots are; NULL: the first of each group is. */
static bool root_of(struct imp *p, const struct hlo_op *op, int i, tsr_node **root) {
    *root = NULL;
    if (!hlo_get(op, "has_dynamic_root")) return true;
    if (op->noperand < 2) return imp_fail(p, op, "has_dynamic_root: the last operand says who the roots are");
    tsr_node *all = imp_operand(p, op, op->noperand - 1);
    if (tsr_is_poison(all)) return false;
    const tsr_type *t = tsr_type_dims(p->c, tsr_node_dtype(all), 0, NULL);
    if (tsr_node_rank(all) != 1) return imp_fail(p, op, "the roots are no list");
    *root = tsr_prim_reshape(p->c, tsr_prim_slice_ints(p->c, all, (int64_t[]){i}, (int64_t[]){i + 1}, NULL), t);
    return !tsr_is_poison(*root);
}

static int data_operands(const struct hlo_op *op) { return op->noperand - (hlo_get(op, "has_dynamic_root") != NULL); }

bool imp_collective_broadcast(struct imp *p, const struct hlo_op *op) {
    tsr_groups g;
    if (!groups_of(p, op, false, 0, &g)) return false;
    for (int i = 0; i < data_operands(op); i++) {
        const struct hlo_type *t = op->operand[i]->type;
        tsr_node *root, *x = shifted(p, t, imp_operand(p, op, i), TSR_S_SUB);
        if (!root_of(p, op, i, &root)) return false;
        tsr_node *y = tsr_prim_collective_broadcast(p->c, x, root, &g);
        if (tsr_is_poison(y) || !imp_spoken(p, y) || !imp_result(p, op, i, shifted(p, t, y, TSR_S_ADD))) return false;
    }
    return true;
}

/* ---- reductions -------------------------------------------------------------------------------------------------- */

/* The body as a tsr_reduce of whole tensors: of a type that has a dtype, one operation. */
static bool is_monoid(const struct hlo_op *op, int i, tsr_reduce *how) {
    const struct hlo_type *t = op->operand[i]->type;
    return !t->quant && hlo_elem_of(t->elem)->exact && op->nregion == 1 && imp_region_monoid(&op->region[0], 0, how);
}

/* Operand i in the element type of the body. */
static tsr_node *promoted(struct imp *p, const struct hlo_op *op, int i) {
    const struct hlo_block *b = op->nregion == 1 && op->region[0].nblock == 1 ? &op->region[0].block[0] : NULL;
    if (!b || b->narg != 2) return imp_fail(p, op, "it needs a body of two values"), tsr_poison(p->c);
    const struct hlo_type *have = op->operand[i]->type, *want = b->arg[0].type;
    tsr_node *x = imp_operand(p, op, i);
    if (tsr_is_poison(x) || have->quant || have->elem == want->elem) return x;
    return imp_to_elem(p, want->elem, x);
}

/* Everybody's x, one after the other on a new first axis, folded by the body. */
static tsr_node *gathered_and_folded(struct imp *p, const struct hlo_op *op, tsr_node *x, const tsr_groups *g) {
    if (tsr_is_poison(x)) return x;
    if (!g->members)
        return imp_fail(p, op, "its body is no single reduction, so it must be known how many participants meet: their "
            "groups, or mhlo.num_replicas and mhlo.num_partitions of the module, do not say"), tsr_poison(p->c);
    const tsr_type *one = type_insert_axis(p->c, tsr_node_type(x), 0, tsr_extent_int(p->c, 1));
    tsr_node *all = one ? tsr_prim_all_gather(p->c, tsr_prim_reshape(p->c, x, one), 0, g) : tsr_poison(p->c);
    if (tsr_is_poison(all) || !imp_fold_first(p, op, &imp_combine_body, 1, &all)) return tsr_poison(p->c);
    return all;
}

bool imp_all_reduce(struct imp *p, const struct hlo_op *op) {
    tsr_groups g;
    tsr_reduce how;
    if (!groups_of(p, op, true, 0, &g)) return false;
    for (int i = 0; i < op->noperand; i++) {
        tsr_node *x = promoted(p, op, i);
        if (!give(p, op, i, is_monoid(op, i, &how) ? tsr_prim_all_reduce(p->c, x, how, &g)
            : gathered_and_folded(p, op, x, &g))) return false;
    }
    return true;
}

/* The old name of a sum over replicas. */
bool imp_cross_replica_sum(struct imp *p, const struct hlo_op *op) {
    tsr_groups g;
    return groups_of(p, op, true, 0, &g) &&
           give(p, op, 0, tsr_prim_all_reduce(p->c, imp_operand(p, op, 0), TSR_REDUCE_SUM, &g));
}

/* Each member's part of everybody's x, on a new first axis, folded by the body. */
static tsr_node *scattered_and_folded(struct imp *p, const struct hlo_op *op, tsr_node *x, int axis,
    const tsr_groups *g) {
    if (tsr_is_poison(x)) return x;
    if (!g->members || axis < 0 || axis >= tsr_node_rank(x) || tsr_node_dim(x, axis) % g->members)
        return imp_fail(p, op, "dimension %d does not split into a part for each of %d participants", axis, g->members),
            tsr_poison(p->c);
    const tsr_extent *n = tsr_extent_int(p->c, g->members), *part = tsr_extent_int(p->c, tsr_node_dim(x, axis) /
        g->members);
    if (!n || !part) return tsr_poison(p->c);
    x = axes_move(p->c, axes_split(p->c, x, axis, n, part), axis, 0);
    x = tsr_prim_all_to_all(p->c, x, 0, 0, g);
    return !tsr_is_poison(x) && imp_fold_first(p, op, &imp_combine_body, 1, &x) ? x : tsr_poison(p->c);
}

bool imp_reduce_scatter(struct imp *p, const struct hlo_op *op) {
    tsr_groups g;
    tsr_reduce how;
    int64_t axis = hlo_get_int(op, "scatter_dimension", -1);
    if (!groups_of(p, op, true, factor_along(op->operand[0], &op->result[0], axis), &g)) return false;
    tsr_node *x = promoted(p, op, 0);
    return give(p, op, 0, is_monoid(op, 0, &how) ? tsr_prim_reduce_scatter(p->c, x, how, (int)axis, &g)
        : scattered_and_folded(p, op, x, (int)axis, &g));
}

/* The fold where this participant is the root, zeros elsewhere: at roots, and nowhere else, a sum of ones is not 0. */
static tsr_node *folded_at_root(struct imp *p, const struct hlo_op *op, tsr_node *x, tsr_node *root,
    const tsr_groups *g) {
    tsr_node *ones = tsr_prim_collective_reduce(p->c, tsr_scalar_int(p->c, TSR_I32, 1), root, TSR_REDUCE_SUM, g);
    tsr_node *y = gathered_and_folded(p, op, x, g);
    if (tsr_is_poison(y) || tsr_is_poison(ones)) return tsr_poison(p->c);
    tsr_node *here = tsr_prim2(p->c, TSR_S_GT, ones, tsr_scalar_int(p->c, TSR_I32, 0));
    return tsr_prim3(p->c, TSR_S_SELECT, imp_spread(p->c, here, y), y, rule_zeros(p->c, tsr_node_type(y)));
}

bool imp_collective_reduce(struct imp *p, const struct hlo_op *op) {
    tsr_groups g;
    tsr_reduce how;
    if (!groups_of(p, op, false, 0, &g)) return false;
    for (int i = 0; i < data_operands(op); i++) {
        tsr_node *root, *x = promoted(p, op, i);
        if (!root_of(p, op, i, &root)) return false;
        if (!give(p, op, i, is_monoid(op, i, &how) ? tsr_prim_collective_reduce(p->c, x, root, how, &g)
            : folded_at_root(p, op, x, root, &g))) return false;
    }
    return true;
}

/* ---- asynchronous operations ------------------------------------------------------------------------------------- */

/* The future's items are the values that the body gives. */
bool imp_async_start(struct imp *p, const struct hlo_op *op) {
    const struct hlo_type *t = op->result[0].type;
    tsr_node **arg = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *arg);
    tsr_node **out = arena_array(&p->arena, (size_t)t->n + 1, sizeof *out);
    struct imp_value *item = arena_array(&p->arena, (size_t)t->n + 1, sizeof *item);
    if (!arg || !out || !item) return false;
    if (t->kind != HLO_T_FUTURE) return imp_fail(p, op, "its result is no future");
    for (int i = 0; i < op->noperand; i++) arg[i] = imp_operand(p, op, i);
    if (!imp_region_inline(p, &op->region[0], op->noperand, arg, t->n, out)) return false;
    for (int i = 0; i < t->n; i++) item[i] = (struct imp_value){.node = out[i], .type = t->item[i]};
    *imp_value(p, &op->result[0]) = (struct imp_value){.type = t, .item = item};
    return true;
}

bool imp_async_done(struct imp *p, const struct hlo_op *op) {
    const struct imp_value *v = imp_operand_value(p, op, 0);
    if (!v) return false;
    if (!v->item || v->type->kind != HLO_T_FUTURE || v->type->n != op->nresult)
        return imp_fail(p, op, "its operand is no future of %d values", op->nresult);
    for (int i = 0; i < op->nresult; i++)
        if (!imp_forward(p, op, i, &v->item[i])) return false;
    return true;
}
