/* lower_control.c: steps that are no kernels of ours: calls, branches, loops (their bodies are plans), user kernels,
 * host calls, communication; and values that are another name for bytes that are there already. */
#include "compile/lower.h"

/* A step over the node's sources in order, with room for its results at `out`. */
static struct plan_step *add(struct lower *L, enum step_kind kind, const tsr_node *n, const char *label, int out) {
    int results = type_results(n->type), total = n->nsrc + results;
    int *slot = arena_array(&L->mem, (size_t)total + 1, sizeof *slot);
    if (!slot) return NULL;
    for (int i = 0, j = 0; i < total; i++) {
        if (i == out) i += results;
        if (i < total && (slot[i] = lower_slot(L, n->src[j++], 0)) < 0) return NULL;
    }
    for (int i = 0; i < results; i++)
        if ((slot[out + i] = lower_new_slot(L, n, i)) < 0) return NULL;
    struct plan_step *s = plan_step_add(L->plan, kind, label, total);
    if (!s) return NULL;
    for (int i = 0; i < total; i++) {
        bool writes = i >= out && i < out + results;
        s->arg[i] = (struct plan_arg){.kind = PLAN_ARG_SLOT, .slot = slot[i], .writes = writes, .reads = !writes};
    }
    s->node = n->id;
    return s;
}

/* Compiles the bodies first: the step is added when nothing can fail any more, and owns them then. */
static struct plan_step *add_with_bodies(struct lower *L, enum step_kind kind, const tsr_node *n, int out) {
    struct tsr_plan **sub = arena_array(&L->plan->mem, (size_t)n->nfn + 1, sizeof *sub);
    struct plan_step *s = NULL;
    int made = 0;
    for (; sub && made < n->nfn; made++)
        if (!(sub[made] = compile_fn(L->c, n->fn[made], L->o))) break;
    if (sub && made == n->nfn) s = add(L, kind, n, op_name((enum tsr_op)n->op), out);
    if (s) {
        s->nsub = n->nfn;
        s->sub = sub;
        return s;
    }
    for (int i = 0; i < made; i++) plan_free(sub[i]);
    return NULL;
}

static bool call(struct lower *L, const tsr_node *n) { return add_with_bodies(L, STEP_CALL, n, n->nsrc) != NULL; }

static bool cond(struct lower *L, const tsr_node *n) {
    int explicit = n->fn[0]->nparam;
    struct plan_step *s = add_with_bodies(L, STEP_COND, n, 1 + explicit);
    if (s) s->ncarry = explicit;
    return s != NULL;
}

static bool while_loop(struct lower *L, const tsr_node *n) {
    int carries = type_results(n->type);
    struct plan_step *s = add_with_bodies(L, STEP_WHILE, n, carries);
    const struct attr *trips = node_attr(n, ATTR_TRIPS);
    if (!s) return false;
    s->ncarry = carries;
    s->trips = trips ? trips->exts[0] : NULL;
    return true;
}

static bool scan(struct lower *L, const tsr_node *n) {
    int carries = (int)node_int(n, ATTR_CARRY), explicit = n->fn[0]->nparam;
    struct plan_step *s = add_with_bodies(L, STEP_SCAN, n, explicit);
    if (!s) return false;
    s->ncarry = carries, s->nxs = explicit - carries;
    s->reverse = node_int_or(n, ATTR_REVERSE, 0) != 0;
    s->trips = node_exts(n, ATTR_TRIPS, NULL)[0];
    return true;
}

static bool host_call(struct lower *L, const tsr_node *n) {
    const struct attr *name = node_attr(n, ATTR_NAME);
    struct plan_step *s = add(L, STEP_HOST, n, name ? name->str : "host", n->nsrc);
    if (s) s->host = node_attr(n, ATTR_HOST)->host;
    return s != NULL;
}

static const int64_t *copy_ids(struct lower *L, int n, const int64_t *id) {
    int64_t *own = arena_array(&L->plan->mem, (size_t)n + 1, sizeof *own);
    for (int i = 0; own && i < n; i++) own[i] = id[i];
    return own;
}

static bool communicate(struct lower *L, const tsr_node *n) {
    struct comm_op o = comm_op_of(n);
    o.id = copy_ids(L, o.ids, o.id), o.pair = copy_ids(L, 2 * o.npairs, o.pair);
    struct plan_step *s = o.id && o.pair ? add(L, STEP_COMM, n, op_name(o.op), n->nsrc) : NULL;
    if (s) s->comm = o;
    return s != NULL;
}

/* The user's program: its buffers in order are the operands and the results, its scalars the extents passed. */
static bool user_kernel(struct lower *L, const tsr_node *n) {
    tsr_tile *p = node_attr(n, ATTR_TILE)->tile;
    const struct attr *sizes = node_attr(n, ATTR_SIZES);
    int total = (int)p->arg.n, buffers = n->nsrc + type_results(n->type);
    int *slot = arena_array(&L->mem, (size_t)buffers + 1, sizeof *slot);
    if (!slot) return false;
    for (int i = 0; i < buffers; i++) {
        slot[i] = i < n->nsrc ? lower_slot(L, n->src[i], 0) : lower_new_slot(L, n, i - n->nsrc);
        if (slot[i] < 0) return false;
    }
    struct plan_step *s = plan_step_add(L->plan, STEP_KERNEL, p->name[0] ? p->name : "kernel", total);
    if (!s) return false;
    for (int i = 0, b = 0, e = 0; i < total; i++) {
        if (!p->value.v[p->arg.v[i].value].type.buf) {
            s->arg[i] = (struct plan_arg){.kind = PLAN_ARG_EXTENT, .slot = -1, .extent = sizes->exts[e++]};
            continue;
        }
        s->arg[i] = (struct plan_arg){.kind = PLAN_ARG_SLOT, .slot = slot[b], .reads = b < n->nsrc,
            .writes = b >= n->nsrc};
        b++;
    }
    const tsr_extent *const *grid = node_exts(n, ATTR_GRID, NULL);
    for (int i = 0; i < 3; i++) s->grid[i] = grid[i];
    s->program = tsr_tile_keep(p);
    s->node = n->id;
    return true;
}

typedef bool step_rule(struct lower *L, const tsr_node *n);
static step_rule *const rules[TSR_OP_COUNT] = {
    [TSR_OP_CALL] = call, [TSR_OP_COND] = cond, [TSR_OP_WHILE] = while_loop, [TSR_OP_SCAN] = scan,
        [TSR_OP_HOST_CALL] = host_call,
    [TSR_OP_KERNEL] = user_kernel,
    [TSR_OP_PARTITION_ID] = communicate, [TSR_OP_REPLICA_ID] = communicate, [TSR_OP_ALL_REDUCE] = communicate,
    [TSR_OP_ALL_GATHER] = communicate, [TSR_OP_REDUCE_SCATTER] = communicate, [TSR_OP_ALL_TO_ALL] = communicate,
    [TSR_OP_COLLECTIVE_PERMUTE] = communicate, [TSR_OP_COLLECTIVE_BROADCAST] = communicate,
    [TSR_OP_COLLECTIVE_REDUCE] = communicate, [TSR_OP_SEND] = communicate, [TSR_OP_RECV] = communicate,
    [TSR_OP_INFEED] = communicate, [TSR_OP_OUTFEED] = communicate,
};

bool lower_step(struct lower *L, int cluster) {
    int hero = L->cluster.v[cluster].hero;
    const tsr_node *n = lower_node(L, hero);
    return rules[n->op] ? rules[n->op](L, n) : lower_lib(L, hero);
}

bool lower_alias(struct lower *L, int cluster) {
    const tsr_node *n = lower_node(L, L->cluster.v[cluster].hero);
    int results = type_results(n->type);
    for (int i = 0; i < results; i++) {
        int from = lower_slot(L, n->src[n->type->kind == TSR_TUPLE ? i : 0], 0), s = from < 0 ? -1 : lower_new_slot(L,
            n, i);
        if (s < 0) return false;
        L->plan->slot.v[s].kind = SLOT_ALIAS;
        L->plan->slot.v[s].root = from;
    }
    return true;
}
