/* comm.c: process groups, and what each collective makes of its members' values (comm.h).
 *
 * Groups follow StableHLO: a row of ids names replicas (of this partition), partitions (of this replica), replicas of
 * every partition (partition by partition), or participants by number. A context without a transport is participant 0
 * of a grid of one.
 *
 * Values are combined in the order of the group, each element in f64 or exact integers and rounded once, so that the
 * results of every member agree bit for bit and do not depend on who arrived last. Everything is movement of rows: a
 * box of elements in one tensor goes to a box in another, shifted along one axis of each. */
#include <inttypes.h>
#include <string.h>

#include "graph/comm.h"
#include "graph/ref.h"

/* ---- what a node asks for --------------------------------------------------------------------------------------- */

static const int64_t *ids_of(const tsr_node *n, enum attr_key k, int *count) {
    *count = 0;
    return node_attr(n, k) ? node_ints(n, k, count) : NULL;
}

struct comm_op comm_op_of(const tsr_node *n) {
    struct comm_op o = {.op = (enum tsr_op)n->op, .mode = (tsr_group_mode)node_int_or(n, ATTR_MODE, 0),
        .reduce = node_int_or(n, ATTR_REDUCE, 0), .axis = node_int_or(n, ATTR_AXIS, 0),
        .channel = node_int_or(n, ATTR_CHANNEL, 0), .members = node_int_or(n, ATTR_MEMBERS, 0),
        .group_size = (int)node_int_or(n, ATTR_GROUP_SIZE, 0)};
    int naxes, npairs;
    const int64_t *axes = ids_of(n, ATTR_AXES, &naxes); /* all_to_all: split, concat */
    if (naxes == 2) o.axis = axes[0], o.concat_axis = axes[1];
    o.id = ids_of(n, ATTR_GROUPS, &o.ids);
    o.pair = ids_of(n, ATTR_PAIRS, &npairs);
    o.npairs = npairs / 2;
    return o;
}

static bool same_ints(int n, const int64_t *a, const int64_t *b) {
    for (int i = 0; i < n; i++)
        if (a[i] != b[i]) return false;
    return true;
}

bool comm_op_equal(const struct comm_op *a, const struct comm_op *b) {
    return a->op == b->op && a->mode == b->mode && a->reduce == b->reduce && a->axis == b->axis &&
           a->concat_axis == b->concat_axis && a->channel == b->channel && a->members == b->members &&
           a->group_size == b->group_size && a->ids == b->ids && a->npairs == b->npairs &&
           same_ints(a->ids, a->id, b->id) && same_ints(2 * a->npairs, a->pair, b->pair);
}

bool op_communicates(enum tsr_op op) {
    static const bool speaks[TSR_OP_COUNT] = {
        [TSR_OP_ALL_REDUCE] = true, [TSR_OP_ALL_GATHER] = true, [TSR_OP_REDUCE_SCATTER] = true,
        [TSR_OP_ALL_TO_ALL] = true, [TSR_OP_COLLECTIVE_PERMUTE] = true, [TSR_OP_COLLECTIVE_BROADCAST] = true,
        [TSR_OP_COLLECTIVE_REDUCE] = true, [TSR_OP_SEND] = true, [TSR_OP_RECV] = true, [TSR_OP_INFEED] = true,
        [TSR_OP_OUTFEED] = true};
    return speaks[op];
}

/* ---- the context's participant ---------------------------------------------------------------------------------- */

static tsr_status no_meet(struct comm *m, tsr_ctx *c, const struct comm_op *op, const struct comm_group *g,
    struct comm_side *s) {
    (void)m, (void)s;
    return err_set(c, TSR_EINVAL, "%s: a group of %d participants, but this context is alone: run the fn on a mesh "
        "(tsr_mesh_run)", op_name(op->op), g->n);
}

static tsr_status no_channel(struct comm *m, tsr_ctx *c, const struct comm_op *op, int target, struct comm_side *s) {
    (void)m, (void)target, (void)s;
    return err_set(c, TSR_EINVAL, "%s: this context is alone, there is nobody at the other end: run the fn on a mesh "
        "(tsr_mesh_run)", op_name(op->op));
}

const struct comm *comm_of(const tsr_ctx *c) {
    static const struct comm alone = {.replicas = 1, .partitions = 1, .meet = no_meet, .channel = no_channel};
    const struct comm *m = ctx_slot(c, SLOT_COMM);
    return m ? m : &alone;
}

void comm_set(tsr_ctx *c, struct comm *m) { ctx_slot_set(c, SLOT_COMM, m, NULL); }

/* ---- groups ----------------------------------------------------------------------------------------------------- */

/* How many ids a mode knows, this participant's own, and the participant that an id stands for. */
static int64_t ids_known(const struct comm *m, tsr_group_mode mode) {
    return mode == TSR_FLATTENED_IDS ? (int64_t)m->replicas * m->partitions
        : mode == TSR_CROSS_PARTITION ? m->partitions : m->replicas;
}

static int own_id(const struct comm *m, tsr_group_mode mode) {
    return mode == TSR_FLATTENED_IDS ? comm_rank(m) : mode == TSR_CROSS_PARTITION ? m->partition : m->replica;
}

static int member_of(const struct comm *m, tsr_group_mode mode, int64_t id, int partition) {
    return mode == TSR_FLATTENED_IDS ? (int)id
        : mode == TSR_CROSS_PARTITION ? m->replica * m->partitions + (int)id : (int)id * m->partitions + partition;
}

static tsr_status check_ids(tsr_ctx *c, const struct comm *m, const struct comm_op *op, int n, const int64_t *id) {
    static const char *const what[] = {"replica", "partition", "replica", "participant"};
    for (int i = 0; i < n; i++)
        if (id[i] >= ids_known(m, op->mode))
            return err_set(c, TSR_EINVAL, "%s: names %s %" PRId64 ", but the mesh has %d x %d participants (replicas x "
                "partitions)", op_name(op->op), what[op->mode], id[i], m->replicas, m->partitions);
    return TSR_OK;
}

static void add_member(const struct comm *m, struct comm_group *g, int who) {
    if (who == comm_rank(m)) g->me = g->n;
    g->member[g->n++] = who;
}

/* The ids of the row that names this participant; NULL: none does. No rows at all: *n = 0 and not NULL. */
static const int64_t *own_row(const struct comm *m, const struct comm_op *op, int *n) {
    static const int64_t everybody;
    int me = own_id(m, op->mode);
    *n = op->group_size;
    if (!op->ids) return *n = 0, &everybody;
    for (int i = 0; i < op->ids; i++)
        if (op->id[i] == me) return op->id + i / op->group_size * op->group_size;
    return NULL;
}

static void group_by_ids(const struct comm *m, const struct comm_op *op, struct comm_group *g) {
    int n, blocks = op->mode == TSR_CROSS_REPLICA_AND_PARTITION ? m->partitions : 1;
    const int64_t *row = own_row(m, op, &n);
    if (!row) return;
    int count = n ? n : (int)ids_known(m, op->mode);
    for (int b = 0; b < blocks; b++)
        for (int i = 0; i < count; i++) {
            int64_t id = n ? row[i] : i;
            if (id >= 0) add_member(m, g, member_of(m, op->mode, id, blocks > 1 ? b : m->partition));
        }
}

/* A permutation: those it names, each once, in the order in which the pairs do. */
static tsr_status group_by_pairs(const struct comm *m, const struct comm_op *op, struct arena *mem,
    struct comm_group *g) {
    size_t ids = (size_t)ids_known(m, op->mode);
    bool *known = arena_array(mem, ids + 1, sizeof *known);
    g->name = arena_array(mem, ids + 1, sizeof *g->name);
    if (!known || !g->name) return TSR_ENOMEM;
    for (int i = 0; i < 2 * op->npairs; i++) {
        int64_t id = op->pair[i];
        if (known[id]) continue;
        known[id] = true;
        g->name[g->n] = id;
        add_member(m, g, member_of(m, op->mode, id, m->partition));
    }
    return TSR_OK;
}

static tsr_status group_of(tsr_ctx *c, const struct comm *m, const struct comm_op *op, struct arena *mem,
    struct comm_group *g) {
    bool paired = op->op == TSR_OP_COLLECTIVE_PERMUTE;
    size_t most = (size_t)m->replicas * (size_t)m->partitions;
    tsr_status s = paired ? check_ids(c, m, op, 2 * op->npairs, op->pair) : check_ids(c, m, op, op->ids, op->id);
    if (s) return s;
    *g = (struct comm_group){.me = -1, .member = arena_array(mem, most + 1, sizeof *g->member)};
    if (!g->member) return TSR_ENOMEM;
    if (paired) return group_by_pairs(m, op, mem, g);
    group_by_ids(m, op, g);
    return TSR_OK;
}

/* ---- rows of boxes ---------------------------------------------------------------------------------------------- */

/* Part of a tensor: a box that begins at `start` on one axis and at 0 on the others. */
struct part {
    const struct ref_tensor *t;
    int axis;
    int64_t start;
};

static int64_t row_at(const struct part *p, const int64_t *box_at) {
    int64_t at[TSR_MAX_RANK];
    for (int i = 0; i < p->t->rank; i++) at[i] = box_at[i] + (i == p->axis ? p->start : 0);
    return ref_ravel(p->t->rank, p->t->dim, at);
}

/* The next row of a box of these extents; false after the last. at: of its first element, zeros for the first row. */
static bool next_row(int rank, const int64_t *box, int64_t *at) {
    for (int i = rank - 2; i >= 0; i--) {
        if (++at[i] < box[i]) return true;
        at[i] = 0;
    }
    return false;
}

static bool is_empty(int rank, const int64_t *box) {
    for (int i = 0; i < rank; i++)
        if (!box[i]) return true;
    return false;
}

static void move_row(const struct ref_tensor *to, int64_t to_at, const struct ref_tensor *from, int64_t from_at,
    int64_t n) {
    const tsr_dtype_info *d = tsr_dtype_of(to->dtype);
    struct ref_tensor dst = *to;
    if (d->block == 1) {
        size_t size = (size_t)d->bytes;
        memcpy(to->p + (size_t)to_at * size, from->p + (size_t)from_at * size, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++) ref_move(&dst, to_at + i, from, from_at + i);
}

static void move_box(const struct part *to, const struct part *from, const int64_t *box) {
    int rank = to->t->rank;
    int64_t at[TSR_MAX_RANK] = {0}, row = rank ? box[rank - 1] : 1;
    if (is_empty(rank, box)) return;
    do move_row(to->t, row_at(to, at), from->t, row_at(from, at), row);
    while (next_row(rank, box, at));
}

/* Sums of f32, the common case, as the general loop makes them: in f64, in order, rounded once. */
static void sum_f32(float *to, int n, const struct ref_tensor *const *in, int64_t at, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++) sum += ((const float *)(const void *)in[j]->p)[at + i];
        to[i] = (float)sum;
    }
}

static void reduce_row(const struct comm_op *op, const struct ref_tensor *to, int64_t to_at, int n,
    const struct ref_tensor *const *in, int64_t at, int64_t count) {
    tsr_reduce how = (tsr_reduce)op->reduce;
    struct ref_tensor dst = *to;
    if (how == TSR_REDUCE_SUM && to->dtype == TSR_F32) {
        sum_f32((float *)(void *)to->p + to_at, n, in, at, count);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        struct ref_val acc = ref_reduce_identity(how, to->dtype);
        for (int j = 0; j < n; j++) acc = ref_reduce(how, to->dtype, acc, ref_get(in[j], at + i));
        ref_set(&dst, to_at + i, acc);
    }
}

/* ---- combining: the result of member `at`, ---------------------------------------------------------------------- */

struct meeting {
    tsr_ctx *c;
    const struct comm_op *op;
    const struct comm_group *g;
    struct comm_side *const *side; /* (g->n) */
    int at;
    struct ref_tensor *out;        /* of member `at` */
};

static const struct ref_tensor *operand(const struct meeting *k, int member) { return &k->side[member]->in[0]; }

static tsr_status zeros(const struct meeting *k) {
    memset(k->out->p, 0, ref_bytes(k->out));
    return TSR_OK;
}

static tsr_status copy(const struct meeting *k, int member) {
    memcpy(k->out->p, operand(k, member)->p, ref_bytes(k->out));
    return TSR_OK;
}

/* The elements of out, from start on along axis in every member's operand. */
static tsr_status reduce(const struct meeting *k, int axis, int64_t start) {
    const struct ref_tensor **in = mem_array(k->c, (size_t)k->g->n, sizeof *in);
    int rank = k->out->rank;
    int64_t at[TSR_MAX_RANK] = {0}, row = rank ? k->out->dim[rank - 1] : 1;
    struct part from = {operand(k, 0), axis, start}, to = {k->out, 0, 0};
    if (!in) return TSR_ENOMEM;
    for (int j = 0; j < k->g->n; j++) in[j] = operand(k, j);
    if (!is_empty(rank, k->out->dim))
        do reduce_row(k->op, k->out, row_at(&to, at), k->g->n, in, row_at(&from, at), row);
        while (next_row(rank, k->out->dim, at));
    mem_array_free(k->c, in, (size_t)k->g->n, sizeof *in);
    return TSR_OK;
}

static tsr_status all_reduce(const struct meeting *k) { return reduce(k, 0, 0); }

static tsr_status reduce_scatter(const struct meeting *k) {
    return reduce(k, (int)k->op->axis, k->out->rank ? k->at * k->out->dim[k->op->axis] : 0);
}

static tsr_status all_gather(const struct meeting *k) {
    int axis = (int)k->op->axis;
    for (int j = 0; j < k->g->n; j++) {
        struct part from = {operand(k, j), 0, 0}, to = {k->out, axis, j * from.t->dim[axis]};
        move_box(&to, &from, from.t->dim);
    }
    return TSR_OK;
}

static tsr_status all_to_all(const struct meeting *k) {
    int split = (int)k->op->axis, concat = (int)k->op->concat_axis;
    int64_t box[TSR_MAX_RANK];
    for (int i = 0; i < k->out->rank; i++) box[i] = operand(k, 0)->dim[i];
    box[split] /= k->g->n;
    for (int j = 0; j < k->g->n; j++) {
        struct part from = {operand(k, j), split, k->at * box[split]}, to = {k->out, concat, j * box[concat]};
        move_box(&to, &from, box);
    }
    return TSR_OK;
}

static tsr_status permute(const struct meeting *k) {
    const int64_t *pair = k->op->pair;
    for (int i = 0; i < k->op->npairs; i++)
        for (int from = 0; pair[2 * i + 1] == k->g->name[k->at] && from < k->g->n; from++)
            if (k->g->name[from] == pair[2 * i]) return copy(k, from);
    return zeros(k);
}

/* Which member of the group the root is: the first, unless an operand says. */
static tsr_status root_of(const struct meeting *k, int64_t *root) {
    const struct comm_side *s = k->side[k->at];
    *root = 0;
    if (s->nin < 2) return TSR_OK;
    struct ref_val v = ref_get(&s->in[1], 0);
    *root = tsr_dtype_of(s->in[1].dtype)->kind == TSR_KIND_INT ? v.i : (int64_t)v.u;
    if (*root >= 0 && *root < k->g->n) return TSR_OK;
    return err_set(k->c, TSR_ECHECK, "%s: the root is member %" PRId64 " of a group of %d (counted from 0)",
        op_name(k->op->op), *root, k->g->n);
}

static tsr_status broadcast(const struct meeting *k) {
    int64_t root;
    tsr_status s = root_of(k, &root);
    return s ? s : copy(k, (int)root);
}

static tsr_status reduce_to_root(const struct meeting *k) {
    int64_t root;
    tsr_status s = root_of(k, &root);
    return s ? s : k->at == root ? reduce(k, 0, 0) : zeros(k);
}

static tsr_status same_operands(const struct meeting *k) {
    const struct ref_tensor *a = operand(k, 0);
    for (int j = 1; j < k->g->n; j++) {
        const struct ref_tensor *b = operand(k, j);
        if (a->dtype == b->dtype && a->rank == b->rank && same_ints(a->rank, a->dim, b->dim)) continue;
        return err_set(k->c, TSR_EINVAL, "%s: participant %d brings %s of rank %d with %" PRId64 " elements, "
            "participant %d %s of rank %d with %" PRId64 ": their shapes must agree", op_name(k->op->op),
            k->g->member[0], tsr_dtype_name(a->dtype), a->rank, a->count, k->g->member[j], tsr_dtype_name(b->dtype),
            b->rank, b->count);
    }
    return TSR_OK;
}

typedef tsr_status combine_rule(const struct meeting *k);
static combine_rule *const rules[TSR_OP_COUNT] = {
    [TSR_OP_ALL_REDUCE] = all_reduce, [TSR_OP_ALL_GATHER] = all_gather, [TSR_OP_REDUCE_SCATTER] = reduce_scatter,
    [TSR_OP_ALL_TO_ALL] = all_to_all, [TSR_OP_COLLECTIVE_PERMUTE] = permute,
    [TSR_OP_COLLECTIVE_BROADCAST] = broadcast, [TSR_OP_COLLECTIVE_REDUCE] = reduce_to_root,
};

tsr_status comm_combine(tsr_ctx *c, const struct comm_op *op, const struct comm_group *g,
    struct comm_side *const *side) {
    struct meeting k = {.c = c, .op = op, .g = g, .side = side};
    if (op->members && op->members != g->n)
        return err_set(c, TSR_ECHECK, "%s was built for groups of %" PRId64 " participants, in this mesh %d meet",
            op_name(op->op), op->members, g->n);
    tsr_status s = same_operands(&k);
    for (k.at = 0; k.at < g->n && !s; k.at++) {
        k.out = &side[k.at]->out[0];
        if (op->op == TSR_OP_ALL_REDUCE && k.at) memcpy(k.out->p, side[0]->out[0].p, ref_bytes(k.out)); /* all alike */
        else s = rules[op->op](&k);
    }
    return s;
}

/* ---- one participant's call ------------------------------------------------------------------------------------- */

/* Outside every group: nobody sends anything here, which broadcasts and permutations answer with zeros. */
static tsr_status left_out(tsr_ctx *c, const struct comm *m, const struct comm_op *op, struct comm_side *s) {
    if (op->op != TSR_OP_COLLECTIVE_PERMUTE && op->op != TSR_OP_COLLECTIVE_BROADCAST &&
        op->op != TSR_OP_COLLECTIVE_REDUCE)
        return err_set(c, TSR_EINVAL, "%s: no group has replica %d, partition %d: groups must cover the mesh",
            op_name(op->op), m->replica, m->partition);
    memset(s->out[0].p, 0, ref_bytes(&s->out[0]));
    return TSR_OK;
}

static tsr_status collective(tsr_ctx *c, struct comm *m, const struct comm_op *op, struct comm_side *s) {
    struct arena mem;
    struct comm_group g;
    arena_init(&mem, c);
    tsr_status st = group_of(c, m, op, &mem, &g);
    if (!st && g.me < 0) st = left_out(c, m, op, s);
    else if (!st && g.n == 1) st = comm_combine(c, op, &g, &s);
    else if (!st) st = m->meet(m, c, op, &g, s);
    arena_release(&mem);
    return st;
}

static void clear_results(struct comm_side *s) {
    for (int i = 0; i < s->nout; i++) memset(s->out[i].p, 0, ref_bytes(&s->out[i]));
}

/* With pairs, who is no source sends nothing, and who is no target receives zeros. */
static tsr_status channel(tsr_ctx *c, struct comm *m, const struct comm_op *op, struct comm_side *s) {
    int me = own_id(m, op->mode), target = -1;
    tsr_status st = check_ids(c, m, op, 2 * op->npairs, op->pair);
    if (st) return st;
    clear_results(s);
    bool takes_part = !op->npairs;
    for (int i = 0; i < op->npairs; i++) {
        if (op->pair[2 * i + (op->op == TSR_OP_RECV)] != me) continue;
        takes_part = true;
        target = member_of(m, op->mode, op->pair[2 * i + 1], m->partition);
    }
    return takes_part ? m->channel(m, c, op, target, s) : TSR_OK;
}

tsr_status comm_run(tsr_ctx *c, const struct comm_op *op, struct comm_side *s) {
    struct comm *m = (struct comm *)(uintptr_t)comm_of(c);
    if (op->op == TSR_OP_PARTITION_ID || op->op == TSR_OP_REPLICA_ID) {
        uint64_t id = (uint64_t)(op->op == TSR_OP_REPLICA_ID ? m->replica : m->partition);
        ref_set(&s->out[0], 0, (struct ref_val){.u = id});
        return TSR_OK;
    }
    return (rules[op->op] ? collective : channel)(c, m, op, s);
}

tsr_status comm_ref(struct ref_call *r) {
    struct comm_op op = comm_op_of(r->node);
    return comm_run(r->c, &op, &(struct comm_side){r->nin, r->nout, r->in, r->out});
}
