/* lower.c: from clusters to the steps of a plan, in an order that respects who needs what. */
#include "compile/lower.h"

#include <stdio.h>
#include <string.h>

int lower_find(const struct lower *L, const tsr_node *n) {
    if (n->pos < 0 || n->pos >= L->n ||
        L->at[n->pos].node != n) TSR_BUG("node %llu is not part of the fn being lowered", (unsigned long long)n->id);
    return n->pos;
}

/* ---- slots ---- */

static int add_slot(struct lower *L, enum slot_kind kind, const tsr_node *n, int result) {
    int s = plan_slot_add(L->plan, kind, type_result(n->type, result));
    if (s < 0) return s;
    L->at[n->pos].slot[result] = s;
    if (n->type->kind == TSR_TENSOR) L->plan->slot.v[s].node = n->pos;
    return s;
}

int lower_new_slot(struct lower *L, const tsr_node *n, int result) { return add_slot(L, SLOT_TEMP, n, result); }

static int literal_slot(struct lower *L, const tsr_node *n) {
    const struct attr *a = node_attr(n, ATTR_VALUE);
    tsr_buf *b = tsr_buf_new(L->c, a->n);
    if (!b) return -1;
    memcpy(tsr_buf_data(b), a->bytes, a->n);
    struct plan_const k = {b};
    int s = vec_push(L->c, &L->plan->constant, k) ? add_slot(L, SLOT_CONST, n, 0) : -1;
    if (s < 0 && L->plan->constant.n && L->plan->constant.v[L->plan->constant.n - 1].buf == b) L->plan->constant.n--;
    if (s < 0) tsr_buf_free(b);
    else L->plan->slot.v[s].index = (int)L->plan->constant.n - 1;
    return s;
}

int lower_slot(struct lower *L, const tsr_node *n, int result) {
    if (n->op == TSR_OP_ITEM) {
        int s = lower_slot(L, n->src[0], (int)node_int(n, ATTR_INDEX));
        if (s >= 0) L->plan->slot.v[s].node = n->pos;
        return s;
    }
    int s = L->at[lower_find(L, n)].slot[result];
    if (s >= 0) return s;
    if (n->op == TSR_OP_CONST) return literal_slot(L, n);
    TSR_BUG("%s is read before it has memory", op_name((enum tsr_op)n->op));
}

/* ---- labels ---- */

enum { LABEL_OPS = 8 };

const char *lower_label(struct lower *L, const struct cluster *cl) {
    char text[200];
    size_t n = 0;
    int shown = 0, id = (int)(cl - L->cluster.v);
    for (int i = 0; i < L->n; i++) {
        if (L->at[i].cluster != id) continue;
        const char *name = op_name((enum tsr_op)lower_node(L, i)->op);
        if (shown == LABEL_OPS) {
            n += (size_t)snprintf(text + n, sizeof text - n, " ...");
            break;
        }
        if (n + strlen(name) + 8 < sizeof text) n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", shown++ ? " "
            : "", name);
    }
    return arena_strdup(&L->mem, text);
}

/* ---- order ---- */

/* Clusters in topological order: one is ready when every cluster that makes one of its inputs is placed. A cluster's
 * inputs are found by walking from its nodes to the first nodes with memory. What communicates also waits for the
 * communication before it. */
struct order {
    struct lower *L;
    bool *placed;
    uint32_t *mark, turn;
};

static bool ready(struct order *o, int cluster, int *stack) {
    struct lower *L = o->L;
    int top = 0;
    o->turn++;
    const struct cluster *cl = &L->cluster.v[cluster];
    for (size_t i = 0; i < cl->node.n; i++) stack[top++] = cl->node.v[i], o->mark[cl->node.v[i]] = o->turn;
    while (top) {
        const tsr_node *n = lower_node(L, stack[--top]);
        int after = L->at[n->pos].after;
        for (int j = after < 0; j <= n->nsrc; j++) {
            int s = j ? n->src[j - 1]->pos : after, by = L->at[s].cluster;
            if (o->mark[s] == o->turn) continue;
            o->mark[s] = o->turn;
            if (by >= 0 && by != cluster) {
                if (!o->placed[by]) return false;
            } else {
                stack[top++] = s;
            }
        }
    }
    return true;
}

typedef bool lower_kind(struct lower *L, int cluster);
static lower_kind *const kinds[] = {[CLUSTER_LOOP] = lower_loop, [CLUSTER_ROW] = lower_row,
    [CLUSTER_CONTRACT] = lower_contract, [CLUSTER_SCATTER] = lower_scatter,
                                    [CLUSTER_SCAN] = lower_scan, [CLUSTER_STEP] = lower_step,
                                        [CLUSTER_ALIAS] = lower_alias};

static bool place_all(struct lower *L) {
    int n = (int)L->cluster.n, left = n;
    struct order o = {.L = L, .placed = arena_array(&L->mem, (size_t)n + 1, sizeof *o.placed),
                      .mark = arena_array(&L->mem, (size_t)L->n + 1, sizeof *o.mark)};
    int *stack = arena_array(&L->mem, (size_t)L->n + 1, sizeof *stack);
    if (!o.placed || !o.mark || !stack) return false;
    while (left) {
        int before = left;
        for (int j = 0; j < n; j++) {
            int i = L->o->fuse ? n - 1 - j : j; /* clusters are made from the results backwards */
            if (o.placed[i] || !ready(&o, i, stack)) continue;
            if (L->cluster.v[i].root.n && !kinds[L->cluster.v[i].kind](L, i)) return false;
            o.placed[i] = true, left--;
        }
        if (left == before) TSR_BUG("the clusters of %s need one another in a circle", L->f->name);
    }
    return true;
}

/* ---- the whole ---- */

static bool prepare(struct lower *L) {
    int spoke = -1;
    L->n = (int)L->f->node.n;
    L->at = arena_array(&L->mem, (size_t)L->n + 1, sizeof *L->at);
    for (int i = 0; L->at && i < L->n; i++) {
        const tsr_node *n = L->f->node.v[i];
        int results = type_results(n->type);
        L->at[i] = (struct low_node){.node = n, .cluster = -1, .after = -1,
            .slot = arena_array(&L->mem, (size_t)results + 1, sizeof(int))};
        if (!L->at[i].slot) return false;
        if (node_communicates((enum tsr_op)n->op, n->nfn, n->fn)) L->at[i].after = spoke, spoke = i;
        for (int j = 0; j < results; j++) L->at[i].slot[j] = -1;
        for (int j = 0; j < n->nsrc; j++) L->at[n->src[j]->pos].uses++;
    }
    if (!L->at) return false;
    for (size_t i = 0; i < L->f->result.n; i++) L->at[L->f->result.v[i]->pos].uses++;
    for (size_t i = 0; i < L->f->param.n; i++) {
        const tsr_node *p = L->f->param.v[i].node;
        int s = plan_slot_add(L->plan, SLOT_PARAM, p->type);
        if (s < 0) return false;
        L->plan->slot.v[s].index = (int)i;
        if (p->pos < 0 || p->pos >= L->n || lower_node(L, p->pos) != p) continue; /* a parameter that nothing uses */
        L->at[p->pos].slot[0] = s;
        L->plan->slot.v[s].node = p->pos;
    }
    return true;
}

static bool finish(struct lower *L, tsr_fn *f) {
    for (size_t i = 0; i < f->result.n; i++) {
        int s = lower_slot(L, f->result.v[i], 0);
        if (s < 0 || !vec_push(L->c, &L->plan->result, s)) return false;
    }
    if (L->o->check && plan_check(L->plan)) return false;
    return plan_finish(L->plan, f) == TSR_OK;
}

tsr_plan *lower_fn(tsr_ctx *c, tsr_fn *f, const struct compile_opts *o) {
    struct lower L = {.c = c, .f = f, .o = o, .plan = plan_new(c, f)};
    arena_init(&L.mem, c);
    bool ok = L.plan && prepare(&L) && twins_open(&L) && cluster_nodes(&L) && place_all(&L) && finish(&L, f);
    for (size_t i = 0; i < L.cluster.n; i++)
        vec_release(c, &L.cluster.v[i].root), vec_release(c, &L.cluster.v[i].node);
    vec_release(c, &L.cluster);
    twins_close(&L);
    arena_release(&L.mem);
    if (ok && !err_any(c)) return L.plan;
    if (L.plan) plan_free(L.plan);
    return NULL;
}
