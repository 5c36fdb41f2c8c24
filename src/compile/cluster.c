/* cluster.c: what gets memory, and which cluster computes what.
 *
 * Nodes are visited from the results backwards. When all users of a node are in one cluster, the node joins it if it
 * can; then no path can leave the cluster and come back, so clusters never wait for one another. A node with users in
 * several clusters is
 *   - left to each of them (computed wherever it is used) when that costs no more than loading it: movement, literals,
 * a cheap
 *     function of data that has memory anyway;
 *   - else given memory: as one more root of a cluster that uses it (after a search that no path leads from its other
 * users back
 *     into that cluster), or by a cluster of its own.
 * A reduction makes its cluster one of rows, a contraction (a scatter of rows) one with that contraction (scatter);
 * domain_fits says whether everything in it can still be computed over its domain. Two contractions never share a
 * cluster. What feeds a
 * contraction is fused only when it is cheap and made of data with memory, since it is computed again for every tile
 * that reads it; arithmetic on the result of another contraction belongs behind that one.
 *
 * At the end, roots that are cheap functions of one other stored value are stored no longer: see compute_again. */
#include "compile/lower.h"

enum { NODES_MOST = 96, ROOTS_MOST = 12, DUPLICATE_COST = 3, PROLOGUE_COST = 4, HEAVY = 1000, COSTLY = 100 };

/* ---- kinds of ops ---- */

enum class { CLASS_LEAF, CLASS_MOVE, CLASS_ELEM, CLASS_GATHER, CLASS_REDUCE, CLASS_WINDOW, CLASS_CONTRACT,
             CLASS_SCATTER, CLASS_SCAN, CLASS_ALIAS, CLASS_STEP };

static const unsigned char class_of_op[TSR_OP_COUNT] = {
    [TSR_OP_PARAM] = CLASS_LEAF, [TSR_OP_CONST] = CLASS_LEAF, [TSR_OP_ITEM] = CLASS_LEAF,
    [TSR_OP_IOTA] = CLASS_MOVE, [TSR_OP_BROADCAST] = CLASS_MOVE, [TSR_OP_RESHAPE] = CLASS_MOVE,
    [TSR_OP_TRANSPOSE] = CLASS_MOVE, [TSR_OP_SLICE] = CLASS_MOVE, [TSR_OP_REVERSE] = CLASS_MOVE,
    [TSR_OP_CONVERT] = CLASS_ELEM, [TSR_OP_BITCAST] = CLASS_ELEM,
    [TSR_OP_PAD] = CLASS_GATHER, [TSR_OP_CONCAT] = CLASS_GATHER, [TSR_OP_DYNAMIC_SLICE] = CLASS_GATHER,
    [TSR_OP_DYNAMIC_UPDATE_SLICE] = CLASS_GATHER, [TSR_OP_GATHER] = CLASS_GATHER,
    [TSR_OP_REDUCE] = CLASS_REDUCE, [TSR_OP_ARGREDUCE] = CLASS_WINDOW, [TSR_OP_REDUCE_WINDOW] = CLASS_WINDOW,
    [TSR_OP_DOT] = CLASS_CONTRACT, [TSR_OP_CONV] = CLASS_CONTRACT, [TSR_OP_CUMULATE] = CLASS_SCAN,
    [TSR_OP_STOP_GRADIENT] = CLASS_ALIAS, [TSR_OP_BARRIER] = CLASS_ALIAS,
};

static enum class class_of(const struct lower *L, const tsr_node *n) {
    if (op_is_elem((enum tsr_op)n->op)) return CLASS_ELEM;
    if (n->op == TSR_OP_BITCAST && n->type->rank != n->src[0]->type->rank) return CLASS_ALIAS;
    if (class_of_op[n->op] || n->op == TSR_OP_PARAM || n->op == TSR_OP_CONST || n->op == TSR_OP_ITEM)
        return (enum class)class_of_op[n->op];
    if (n->op == TSR_OP_SCATTER && scatter_is_rows(L->c, n)) return CLASS_SCATTER;
    return CLASS_STEP;
}

static enum cluster_kind kind_of(const struct lower *L, const tsr_node *n) {
    if (n->op == TSR_OP_RESHAPE || n->op == TSR_OP_BITCAST) return CLUSTER_ALIAS;
    switch (class_of(L, n)) {
    case CLASS_REDUCE: return CLUSTER_ROW;
    case CLASS_CONTRACT: return CLUSTER_CONTRACT;
    case CLASS_SCATTER: return CLUSTER_SCATTER;
    case CLASS_SCAN: return CLUSTER_SCAN;
    case CLASS_ALIAS: return CLUSTER_ALIAS;
    case CLASS_STEP: return CLUSTER_STEP;
    default: return CLUSTER_LOOP;
    }
}

/* ---- clusters being made ---- */

struct maker {
    struct lower *L;
    int *first, *next;   /* users of node i: first[i] .. as a list through next; user[e] is who */
    int *user;
    int *cost;           /* of computing a node again from data with memory, in functions; HEAVY: never */
    unsigned char *before; /* BEFORE_*: a node computed in the operand of a contraction or of a window */
    int *stack, *clusters; /* (n) each: for searches */
    int *users;            /* (n) the clusters that use the node or the rows being looked at */
    unsigned *node_mark, *cluster_mark, turn, node_turn;
};

static int add_cluster(struct lower *L, const tsr_node *n, enum cluster_kind kind) {
    struct cluster cl = {.kind = kind, .hero = kind == CLUSTER_LOOP ? -1 : n->pos};
    if (!vec_push(L->c, &L->cluster, cl)) return -1;
    struct cluster *made = &L->cluster.v[L->cluster.n - 1];
    if (!vec_push(L->c, &made->root, n->pos) || !vec_push(L->c, &made->node, n->pos)) return -1;
    L->at[n->pos].cluster = (int)L->cluster.n - 1;
    L->at[n->pos].stored = true;
    return (int)L->cluster.n - 1;
}

/* One cluster a node: every op a kernel. */
static bool separate(struct lower *L) {
    for (int i = 0; i < L->n; i++) {
        const tsr_node *n = lower_node(L, i);
        if (class_of(L, n) != CLASS_LEAF && add_cluster(L, n, kind_of(L, n)) < 0) return false;
    }
    return true;
}

/* ---- what is cheap ---- */

static bool is_costly(enum tsr_op op) {
    static const bool cheap[TSR_SCALAR_COUNT] = {
        [TSR_S_NEG] = 1, [TSR_S_ABS] = 1, [TSR_S_SIGN] = 1, [TSR_S_CEIL] = 1, [TSR_S_FLOOR] = 1, [TSR_S_ROUND] = 1,
        [TSR_S_ROUND_EVEN] = 1, [TSR_S_NOT] = 1, [TSR_S_SQRT] = 1, [TSR_S_IS_FINITE] = 1, [TSR_S_REAL] = 1,
            [TSR_S_IMAG] = 1,
        [TSR_S_ADD] = 1, [TSR_S_SUB] = 1, [TSR_S_MUL] = 1, [TSR_S_DIV] = 1, [TSR_S_MAX] = 1, [TSR_S_MIN] = 1,
            [TSR_S_AND] = 1,
        [TSR_S_OR] = 1, [TSR_S_XOR] = 1, [TSR_S_SHL] = 1, [TSR_S_SHR] = 1, [TSR_S_SHR_LOGICAL] = 1, [TSR_S_COMPLEX] = 1,
        [TSR_S_EQ] = 1, [TSR_S_NE] = 1, [TSR_S_LT] = 1, [TSR_S_LE] = 1, [TSR_S_GT] = 1, [TSR_S_GE] = 1,
            [TSR_S_SELECT] = 1,
        [TSR_S_CLAMP] = 1, [TSR_S_FMA] = 1};
    return !op_is_elem(op) || !cheap[op];
}

static int cost_of(const struct maker *m, const tsr_node *n) {
    enum class k = class_of(m->L, n);
    int sum = k == CLASS_ELEM ? 1 : k == CLASS_GATHER ? 2 : 0;
    if (k == CLASS_LEAF) return 0;
    if (k > CLASS_GATHER) return HEAVY;
    if (k == CLASS_ELEM && n->op != TSR_OP_CONVERT && n->op != TSR_OP_BITCAST &&
        is_costly((enum tsr_op)n->op)) sum = COSTLY;
    for (int i = 0; i < n->nsrc; i++) sum += m->cost[n->src[i]->pos];
    return sum < HEAVY ? sum : HEAVY;
}

enum { BEFORE_CONTRACT = 1, BEFORE_WINDOW = 2 };

static unsigned before_by(const struct maker *m, const tsr_node *u) {
    enum class k = class_of(m->L, u);
    return m->before[u->pos] | (k == CLASS_CONTRACT ? BEFORE_CONTRACT : u->op == TSR_OP_REDUCE_WINDOW ? BEFORE_WINDOW
        : 0);
}

/* May user u compute n itself, inside its own tile program? */
static bool may_inline(const struct maker *m, const tsr_node *u, const tsr_node *n) {
    int cost = m->cost[n->pos];
    enum class k = class_of(m->L, n);
    bool moves = k == CLASS_MOVE || n->op == TSR_OP_CONVERT;
    unsigned before = before_by(m, u);
    int by = m->L->at[u->pos].cluster;
    if (by >= 0 && m->L->cluster.v[by].kind == CLUSTER_ALIAS) return false; /* a reshape that is a name for n's bytes */
    if (before & BEFORE_CONTRACT && !((moves || (k == CLASS_ELEM && cost <= PROLOGUE_COST)) &&
        n->op != TSR_OP_IOTA)) return false;
    if (before & BEFORE_WINDOW && !(k <= CLASS_ELEM && cost <= 1)) return false;
    switch (class_of(m->L, u)) {
    case CLASS_MOVE: case CLASS_ELEM: case CLASS_REDUCE: return true;
    case CLASS_GATHER: return k <= CLASS_GATHER || n->type->rank == 0;
    case CLASS_SCAN: return k <= CLASS_GATHER;
    case CLASS_WINDOW: return k <= CLASS_ELEM;
    case CLASS_CONTRACT: return true;
    case CLASS_SCATTER: return n == u->src[0] && n != u->src[1] && n != u->src[2] && k <= CLASS_ELEM;
    default: return false;
    }
}

/* Cheap enough to be computed wherever it is used. */
static bool may_duplicate(const struct maker *m, const tsr_node *n) {
    enum class k = class_of(m->L, n);
    if (k == CLASS_MOVE) return true;
    return k <= CLASS_GATHER && m->cost[n->pos] <= DUPLICATE_COST;
}

/* ---- users ---- */

/* The clusters that compute with node n, looking through nodes that each user computes for itself, added to out; those
 * that are marked with this turn are in it already. */
static int add_user_clusters(struct maker *m, int n, int *out, int count) {
    const struct lower *L = m->L;
    int top = 0;
    m->stack[top++] = n;
    while (top) {
        int i = m->stack[--top];
        for (int e = m->first[i]; e >= 0; e = m->next[e]) {
            int u = m->user[e], by = L->at[u].cluster;
            if (by < 0 && m->node_mark[u] != m->node_turn) m->node_mark[u] = m->node_turn, m->stack[top++] = u;
            if (by < 0 || m->cluster_mark[by] == m->turn) continue;
            m->cluster_mark[by] = m->turn;
            out[count++] = by;
        }
    }
    return count;
}

static int user_clusters(struct maker *m, int n, int *out) {
    m->turn++, m->node_turn++;
    return add_user_clusters(m, n, out, 0);
}

/* Whether cluster `to` waits for something that would wait for n in it: a path from n through another cluster into
 * `to`. */
static bool comes_back(struct maker *m, int n, int to) {
    const struct lower *L = m->L;
    int count = user_clusters(m, n, m->clusters);
    m->cluster_mark[to] = m->turn - 1;
    m->node_turn++; /* a node without cluster may be reached from n and from elsewhere */
    for (int i = 0; i < count; i++) {
        if (m->clusters[i] == to) continue;
        const struct cluster *cl = &L->cluster.v[m->clusters[i]];
        for (size_t j = 0; j < cl->node.n; j++) {
            int before = count;
            count = add_user_clusters(m, cl->node.v[j], m->clusters, count);
            for (int k = before; k < count; k++)
                if (m->clusters[k] == to) return true;
        }
    }
    return false;
}

/* May every user of n compute n itself? to: only the users in that cluster (and those in none) are asked; -1: all. */
static bool users_may_inline(const struct maker *m, const tsr_node *n, int to) {
    for (int e = m->first[n->pos]; e >= 0; e = m->next[e]) {
        int by = m->L->at[m->user[e]].cluster;
        if (to >= 0 && by >= 0 && by != to) continue;
        if (!may_inline(m, lower_node(m->L, m->user[e]), n)) return false;
    }
    return true;
}

static bool is_result(const struct lower *L, const tsr_node *n) {
    for (size_t i = 0; i < L->f->result.n; i++)
        if (L->f->result.v[i] == n) return true;
    return false;
}

/* ---- joining ---- */

static void undo(struct lower *L, struct cluster *cl, const tsr_node *n, enum cluster_kind kind, int hero,
    bool stored) {
    cl->kind = kind, cl->hero = hero;
    cl->node.n--;
    if (stored) cl->root.n--;
    L->at[n->pos].cluster = -1;
    L->at[n->pos].stored = false;
}

/* What a cluster becomes when n is in it. False: they do not go together. */
static bool kind_with(const struct lower *L, const struct cluster *cl, const tsr_node *n, enum cluster_kind *kind,
    int *hero) {
    enum class k = class_of(L, n);
    *kind = cl->kind, *hero = cl->hero;
    if (cl->kind == CLUSTER_STEP || cl->kind == CLUSTER_ALIAS || k == CLASS_SCAN || k >= CLASS_ALIAS) return false;
    if (k == CLASS_WINDOW) return cl->kind == CLUSTER_LOOP;
    if (cl->kind == CLUSTER_SCAN) return k <= CLASS_GATHER;
    if (k < CLASS_REDUCE) return true;
    enum cluster_kind wanted = kind_of(L, n);
    if (cl->kind == CLUSTER_LOOP) return *kind = wanted, *hero = n->pos, true;
    if (cl->kind != CLUSTER_ROW || k != CLASS_REDUCE) return false;
    const tsr_node *h = lower_node(L, cl->hero);
    int na, nb;
    const int64_t *a = node_ints(h, ATTR_AXES, &na), *b = node_ints(n, ATTR_AXES, &nb);
    if (na != nb || h->src[0]->type->rank != n->src[0]->type->rank) return false;
    for (int i = 0; i < na; i++)
        if (a[i] != b[i]) return false;
    for (int i = 0; i < n->src[0]->type->rank; i++)
        if (h->src[0]->type->extent[i] != n->src[0]->type->extent[i]) return false;
    return true;
}

static bool fits_kind(const struct lower *L, int cluster, const tsr_node *n) {
    enum cluster_kind kind;
    int hero;
    return kind_with(L, &L->cluster.v[cluster], n, &kind, &hero);
}

/* n into the cluster, with memory or without. False: it cannot, nothing has changed. */
static bool join(struct maker *m, const tsr_node *n, int to, bool stored) {
    struct lower *L = m->L;
    struct cluster *cl = &L->cluster.v[to];
    enum cluster_kind kind = cl->kind, was = cl->kind;
    int hero = cl->hero, old = cl->hero;
    if (cl->node.n >= NODES_MOST || (stored && cl->root.n >= ROOTS_MOST)) return false;
    if (!kind_with(L, cl, n, &kind, &hero)) return false;
    if (stored && kind == CLUSTER_SCAN) return false;
    if (!vec_push(L->c, &cl->node, n->pos) || (stored && !vec_push(L->c, &cl->root, n->pos))) return false;
    cl->kind = kind, cl->hero = hero;
    L->at[n->pos].cluster = to;
    L->at[n->pos].stored = stored;
    if (kind == CLUSTER_SCAN || domain_fits(L, to)) return true;
    undo(L, cl, n, was, old, stored);
    return false;
}

/* Which operand n is computed in: by all its users, or by those in one cluster. */
static void note_before(struct maker *m, const tsr_node *n, int to) {
    m->before[n->pos] = 0;
    for (int e = m->first[n->pos]; e >= 0; e = m->next[e]) {
        const tsr_node *u = lower_node(m->L, m->user[e]);
        int by = m->L->at[u->pos].cluster;
        if (to < 0 || by < 0 || by == to) m->before[n->pos] |= before_by(m, u);
    }
}

/* As one more root of a cluster: one that uses n, or (reductions) one over the same rows. */
static bool join_as_root(struct maker *m, const tsr_node *n, const int *cluster, int count) {
    for (int i = count - 1; i >= 0; i--) {
        int to = cluster[i];
        enum cluster_kind kind = m->L->cluster.v[to].kind;
        if (kind == CLUSTER_STEP || kind == CLUSTER_ALIAS || kind == CLUSTER_SCAN) continue;
        if (fits_kind(m->L, to, n) && users_may_inline(m, n, to) && !comes_back(m, n->pos, to) && join(m, n, to,
            true)) {
            note_before(m, n, to);
            return true;
        }
    }
    return false;
}

static bool join_same_rows(struct maker *m, const tsr_node *n) {
    if (class_of(m->L, n) != CLASS_REDUCE) return false;
    for (int i = (int)m->L->cluster.n - 1; i >= 0; i--)
        if (m->L->cluster.v[i].kind == CLUSTER_ROW && fits_kind(m->L, i, n) && !comes_back(m, n->pos, i) &&
            join(m, n, i, true)) return true;
    return false;
}

static bool place(struct maker *m, const tsr_node *n) {
    struct lower *L = m->L;
    enum class k = class_of(L, n);
    if (k == CLASS_LEAF) return true;
    note_before(m, n, -1);
    if (k >= CLASS_SCAN) return m->before[n->pos] = 0, add_cluster(L, n, kind_of(L, n)) >= 0;
    bool free = !is_result(L, n) && users_may_inline(m, n, -1);
    int count = user_clusters(m, n->pos, m->users), *cluster = m->users;
    if (free && count == 1 && join(m, n, cluster[0], false)) return true;
    if (free && count > 1 && may_duplicate(m, n)) return true;
    if (n->op != TSR_OP_RESHAPE && (join_as_root(m, n, cluster, count) || join_same_rows(m, n))) return true;
    m->before[n->pos] = 0; /* it is read from memory */
    return !err_any(L->c) && add_cluster(L, n, kind_of(L, n)) >= 0;
}

static bool prepare(struct maker *m) {
    struct lower *L = m->L;
    size_t n = (size_t)L->n + 1, edges = 1;
    for (int i = 0; i < L->n; i++) edges += (size_t)lower_node(L, i)->nsrc + 1;
    m->first = arena_array(&L->mem, n, sizeof *m->first), m->cost = arena_array(&L->mem, n, sizeof *m->cost);
    m->before = arena_array(&L->mem, n, sizeof *m->before);
    m->next = arena_array(&L->mem, edges, sizeof *m->next), m->user = arena_array(&L->mem, edges, sizeof *m->user);
    m->stack = arena_array(&L->mem, n, sizeof *m->stack), m->clusters = arena_array(&L->mem, n, sizeof *m->clusters);
    m->users = arena_array(&L->mem, n, sizeof *m->users);
    m->node_mark = arena_array(&L->mem, n, sizeof *m->node_mark);
    m->cluster_mark = arena_array(&L->mem, n, sizeof *m->cluster_mark);
    if (!m->first || !m->cost || !m->before || !m->next || !m->user || !m->stack || !m->clusters || !m->users ||
        !m->node_mark || !m->cluster_mark) return false;
    for (int i = 0; i < L->n; i++) m->first[i] = -1;
    int e = 0;
    for (int i = 0; i < L->n; i++) {
        const tsr_node *u = lower_node(L, i);
        m->cost[i] = cost_of(m, u);
        for (int j = L->at[i].after < 0; j <= u->nsrc; j++, e++) {
            int s = j ? u->src[j - 1]->pos : L->at[i].after; /* what communicates uses the communication before it */
            m->user[e] = i, m->next[e] = m->first[s], m->first[s] = e;
        }
    }
    return true;
}

/* ---- merging ---- */

/* Whether a path leads from cluster a through another one into cluster b. */
static bool detour(struct maker *m, int a, int b) {
    const struct lower *L = m->L;
    const struct cluster *ca = &L->cluster.v[a];
    int count = 0;
    m->turn++, m->node_turn++;
    m->cluster_mark[a] = m->turn;
    for (size_t i = 0; i < ca->node.n; i++) count = add_user_clusters(m, ca->node.v[i], m->clusters, count);
    m->cluster_mark[b] = m->turn - 1;
    m->node_turn++;
    for (int i = 0; i < count; i++) {
        const struct cluster *cl = &L->cluster.v[m->clusters[i]];
        int before = count;
        if (m->clusters[i] == b) continue;
        for (size_t j = 0; j < cl->node.n; j++) count = add_user_clusters(m, cl->node.v[j], m->clusters, count);
        for (int k = before; k < count; k++)
            if (m->clusters[k] == b) return true;
    }
    return false;
}

/* Whether every cluster that computes with node n (which has none) is `cluster`. */
static bool users_inside(struct maker *m, int n, int cluster) {
    int count = user_clusters(m, n, m->clusters);
    return count == 1 && m->clusters[0] == cluster;
}

static bool needs_memory(struct maker *m, const tsr_node *n, int cluster) {
    if (is_result(m->L, n)) return true;
    for (int e = m->first[n->pos]; e >= 0; e = m->next[e]) {
        int by = m->L->at[m->user[e]].cluster;
        if (by != cluster && (by >= 0 || !users_inside(m, m->user[e], cluster))) return true;
    }
    return false;
}

/* All of cluster b into a, the rows that b's elements are computed from. Undone when they have no common domain. */
static bool merge(struct maker *m, int a, int b) {
    struct lower *L = m->L;
    struct cluster *ca = &L->cluster.v[a], *cb = &L->cluster.v[b];
    size_t nodes = ca->node.n, roots = ca->root.n;
    if (nodes + cb->node.n > NODES_MOST || roots + cb->root.n > ROOTS_MOST) return false;
    if (!vec_reserve(L->c, &ca->node, nodes + cb->node.n) || !vec_reserve(L->c, &ca->root,
        roots + cb->root.n)) return false;
    for (size_t i = 0; i < cb->node.n; i++) ca->node.v[ca->node.n++] = cb->node.v[i], L->at[cb->node.v[i]].cluster = a;
    for (size_t i = 0; i < cb->root.n; i++) ca->root.v[ca->root.n++] = cb->root.v[i];
    if (!domain_fits(L, a)) {
        for (size_t i = 0; i < cb->node.n; i++) L->at[cb->node.v[i]].cluster = b;
        ca->node.n = nodes, ca->root.n = roots;
        return false;
    }
    cb->node.n = cb->root.n = 0;
    size_t kept = 0;
    for (size_t i = 0; i < ca->root.n; i++) {
        int n = ca->root.v[i];
        L->at[n].stored = needs_memory(m, lower_node(L, n), a);
        if (L->at[n].stored) ca->root.v[kept++] = n;
    }
    ca->root.n = kept;
    return true;
}

/* Rows take in the elementwise clusters that read what they store over the same domain: a node that two directions of a
 * graph use has kept them apart until now. */
static void merge_rows(struct maker *m) {
    struct lower *L = m->L;
    for (int a = 0; a < (int)L->cluster.n; a++) {
        if (L->cluster.v[a].kind != CLUSTER_ROW) continue;
        int *user = m->users, count = 0;
        m->turn++, m->node_turn++;
        m->cluster_mark[a] = m->turn;
        for (size_t i = 0; i < L->cluster.v[a].root.n; i++)
            count = add_user_clusters(m, L->cluster.v[a].root.v[i], user, count);
        for (int i = 0; i < count; i++)
            if (L->cluster.v[user[i]].kind == CLUSTER_LOOP && !detour(m, a, user[i])) merge(m, a, user[i]);
    }
}

/* ---- computing again ---- */

enum { AGAIN_OPS = 12, AGAIN_READS = 1 };

/* What computing a value again takes: functions, costly ones, and values of its own size that are read. */
struct again { int ops, costly, reads; const tsr_node *read; };

static void count_again(const struct lower *L, const tsr_node *n, const tsr_node *of, struct again *a) {
    for (int i = 0; i < n->nsrc && a->ops <= AGAIN_OPS; i++) {
        const tsr_node *s = n->src[i];
        enum class k = class_of(L, s);
        if (k == CLASS_LEAF || L->at[s->pos].stored) {
            bool small = s->type->rank < of->type->rank;
            if (small || s == a->read) continue;
            a->read = s, a->reads++;
            if (s->type->rank != of->type->rank ||
                tsr_dtype_of(s->type->dtype)->bits > tsr_dtype_of(of->type->dtype)->bits) a->ops = HEAVY;
        } else if (k == CLASS_ELEM || s->op == TSR_OP_BROADCAST) {
            if (k == CLASS_ELEM) a->ops++, a->costly += op_is_elem((enum tsr_op)s->op) && is_costly((enum tsr_op)s->op);
            count_again(L, s, of, a);
        } else {
            a->ops = HEAVY;
        }
    }
}

/* Whether other clusters should compute stored root n again: elementwise from one value that has memory anyway, so that
 * a store and nothing more is saved; by loops and rows only, which compute an element once. */
static bool better_again(struct maker *m, const tsr_node *n, int *cluster, int *count) {
    struct again a = {.ops = 1, .costly = op_is_elem((enum tsr_op)n->op) && is_costly((enum tsr_op)n->op)};
    if (class_of(m->L, n) != CLASS_ELEM || n->type->rank == 0 || is_result(m->L, n)) return false;
    count_again(m->L, n, n, &a);
    if (a.ops > AGAIN_OPS || a.costly > 1 || a.reads > AGAIN_READS) return false;
    *count = user_clusters(m, n->pos, cluster);
    for (int i = 0; i < *count; i++) {
        const struct cluster *cl = &m->L->cluster.v[cluster[i]];
        if (cluster[i] != m->L->at[n->pos].cluster && cl->kind != CLUSTER_LOOP && cl->kind != CLUSTER_ROW) return false;
    }
    return true;
}

/* Root n of its cluster is stored no longer. False: another cluster that uses it cannot compute it over its domain. */
static bool forget_root(struct lower *L, int n, int count, const int *user) {
    struct cluster *own = &L->cluster.v[L->at[n].cluster];
    size_t kept = 0;
    L->at[n].stored = false;
    for (int j = 0; j < count; j++)
        if (!domain_fits(L, user[j])) return L->at[n].stored = true, false;
    for (size_t j = 0; j < own->root.n; j++)
        if (own->root.v[j] != n) own->root.v[kept++] = own->root.v[j];
    own->root.n = kept;
    return true;
}

/* A backward pass uses many values of the forward pass that are functions of one: the one is stored, the others are
 * computed again where they are used. Latest first, so that each is left to what comes before it; again while something
 * changed, since a value that was stored between two others hides that both are functions of one. */
static void compute_again(struct maker *m) {
    struct lower *L = m->L;
    int *user = m->users, count;
    for (bool changed = true; changed && !err_any(L->c);) {
        changed = false;
        for (int i = L->n - 1; i >= 0; i--)
            if (L->at[i].stored && L->cluster.v[L->at[i].cluster].root.n > 1 &&
                better_again(m, lower_node(L, i), user, &count) && forget_root(L, i, count, user))
                changed = true;
    }
}

bool cluster_nodes(struct lower *L) {
    if (!L->o->fuse) return separate(L);
    struct maker m = {.L = L, .turn = 1};
    if (!prepare(&m)) return false;
    for (int i = L->n - 1; i >= 0; i--) {
        L->frontier = i;
        if (!place(&m, lower_node(L, i))) return false;
    }
    L->frontier = 0;
    merge_rows(&m);
    compute_again(&m);
    return !err_any(L->c);
}
