/* cluster.c: what gets memory, and which cluster computes what. */
#include "compile/lower.h"

static const unsigned char is_alias[TSR_OP_COUNT] = {[TSR_OP_RESHAPE] = 1, [TSR_OP_BITCAST] = 1,
    [TSR_OP_STOP_GRADIENT] = 1, [TSR_OP_BARRIER] = 1};
static const unsigned char is_leaf[TSR_OP_COUNT] = {[TSR_OP_PARAM] = 1, [TSR_OP_CONST] = 1, [TSR_OP_ITEM] = 1};

static enum cluster_kind kind_of(const tsr_node *n) {
    if (is_alias[n->op]) return CLUSTER_ALIAS;
    if (n->op == TSR_OP_DOT || n->op == TSR_OP_CONV) return CLUSTER_CONTRACT;
    if (n->op == TSR_OP_CUMULATE) return CLUSTER_SCAN;
    return pull_can(n) ? CLUSTER_LOOP : CLUSTER_STEP;
}

/* One cluster a node: every op a kernel. */
static bool separate(struct lower *L) {
    for (int i = 0; i < L->n; i++) {
        const tsr_node *n = lower_node(L, i);
        if (is_leaf[n->op]) continue;
        struct cluster cl = {.kind = kind_of(n), .hero = i};
        if (cl.kind == CLUSTER_LOOP) cl.hero = -1;
        L->at[i].cluster = (int)L->cluster.n;
        L->at[i].stored = true;
        if (!vec_push(L->c, &L->cluster, cl) || !vec_push(L->c, &L->cluster.v[L->cluster.n - 1].root, i)) return false;
    }
    return true;
}

bool cluster_nodes(struct lower *L) { return separate(L); }
