/* twin.c: clusters that are alike share one program, which is written once.
 *
 * The layers of a network are the same clusters over other values, and writing a tile program is most of what lowering
 * a cluster costs. What the writing looks at is the cluster's FORM: the nodes from its roots down to the values that
 * have memory, in a fixed order, each with its op, type, attributes and sources (by their numbers in this list); of a
 * value that has memory its type, and which of the others lie in the same slot. Two clusters of one form get programs
 * that are equal instruction for instruction, so the later one takes the program, grid and reports of the earlier
 * step, and its slots stand where those of the same number stood.
 *
 * Literals are part of a form with their bytes, since a splat becomes a constant of the program. Clusters with bodies
 * or with very many nodes have no form. Comments in emitted text name the nodes of the first cluster. */
#include <stdlib.h>
#include <string.h>

#include "compile/lower.h"
#include "graph/attr.h"

enum { NODES_MOST = 512, KNOWN = 1 << 16, MEMORY = 1 << 17, STORED = 1 << 18 };

struct twin {
    int step, n;             /* step: written for it */
    const tsr_node **node;   /* (n) */
    int *arg;                /* (args of the step) number of the node whose slot it is; -1: an extent */
    size_t words;
    uint64_t *word, hash;
};

static bool has_memory(const struct lower *L, const tsr_node *n, int cluster) {
    const struct low_node *at = &L->at[n->pos];
    return n->op == TSR_OP_PARAM || n->op == TSR_OP_CONST || n->op == TSR_OP_ITEM ||
           (at->stored && at->cluster != cluster);
}

/* The slot of a value that has memory or is a root; -1: a literal that nothing has read yet. */
static int slot_of(const struct lower *L, const tsr_node *n) {
    if (n->op != TSR_OP_ITEM) return L->at[n->pos].slot[0];
    return L->at[n->src[0]->pos].slot[node_int(n, ATTR_INDEX)];
}

/* ---- forms ---- */

static int by_place(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static bool meet(struct lower *L, int pos, int *n) {
    struct twins *t = &L->twins;
    if (t->mark[pos] == t->turn) return true;
    if (lower_node(L, pos)->nfn || *n == NODES_MOST) return false;
    t->mark[pos] = t->turn;
    t->number[pos] = *n;
    t->found[(*n)++] = pos;
    return true;
}

/* All nodes of the form: the cluster's own by their places, then what they lead to in the order in which they do. A
 * node that all layers share was made in the first of them, so its own place would tell them apart. 0: no form. */
static int find_nodes(struct lower *L, int cluster) {
    struct twins *t = &L->twins;
    const struct cluster *cl = &L->cluster.v[cluster];
    int n = 0, own = (int)cl->node.n;
    t->turn++;
    if (own > NODES_MOST) return 0;
    int *sorted = arena_array(&L->mem, (size_t)own + 1, sizeof *sorted);
    if (!sorted) return 0;
    memcpy(sorted, cl->node.v, (size_t)own * sizeof *sorted);
    qsort(sorted, (size_t)own, sizeof *sorted, by_place);
    for (int i = 0; i < own; i++)
        if (!meet(L, sorted[i], &n)) return 0;
    for (int i = 0; i < n; i++) {
        const tsr_node *u = lower_node(L, t->found[i]);
        for (int j = 0; j < u->nsrc && !has_memory(L, u, cluster); j++)
            if (!meet(L, u->src[j]->pos, &n)) return 0;
    }
    return n;
}

static void put(struct twin *w, uint64_t x) {
    w->word[w->words++] = x;
    w->hash = hash_mix(w->hash, x);
}

static void put_node(struct lower *L, struct twin *w, int i, int cluster) {
    const tsr_node *n = w->node[i];
    bool memory = has_memory(L, n, cluster), known = !memory || n->op == TSR_OP_CONST;
    int slot = memory ? slot_of(L, n) : -1, first = i;
    for (int j = 0; j < i && slot >= 0; j++)
        if (first == i && has_memory(L, w->node[j], cluster) && slot_of(L, w->node[j]) == slot) first = j;
    put(w, (known ? n->op | (uint64_t)KNOWN : 0) |
        (memory ? MEMORY : L->at[n->pos].stored ? STORED : 0));
    put(w, (uintptr_t)n->type);
    put(w, (uint64_t)first);
    put(w, known ? attrs_hash(1, n->nattr, n->attr) : 0);
    for (int j = 0; j < n->nsrc && !memory; j++) put(w, (uint64_t)L->twins.number[n->src[j]->pos]);
}

struct twin *twin_form(struct lower *L, int cluster) {
    const struct cluster *cl = &L->cluster.v[cluster];
    struct twin *w = arena_alloc(&L->mem, sizeof *w);
    if (!w || !(w->n = find_nodes(L, cluster))) return NULL;
    size_t room = 2 + cl->root.n;
    for (int i = 0; i < w->n; i++) room += 4 + (size_t)lower_node(L, L->twins.found[i])->nsrc;
    w->node = arena_array(&L->mem, (size_t)w->n, sizeof *w->node);
    w->word = arena_array(&L->mem, room, sizeof *w->word);
    if (!w->node || !w->word) return NULL;
    for (int i = 0; i < w->n; i++) w->node[i] = lower_node(L, L->twins.found[i]);
    put(w, (uint64_t)cl->kind);
    put(w, cl->hero < 0 ? UINT64_MAX : (uint64_t)L->twins.number[cl->hero]);
    for (size_t i = 0; i < cl->root.n; i++) put(w, (uint64_t)L->twins.number[cl->root.v[i]]);
    for (int i = 0; i < w->n; i++) put_node(L, w, i, cluster);
    return w;
}

/* ---- what is known ---- */

static bool same_form(const void *item, const void *key, void *user) {
    const struct twin *a = item, *b = key;
    (void)user;
    if (a->n != b->n || a->words != b->words || memcmp(a->word, b->word, a->words * sizeof *a->word)) return false;
    for (int i = 0; i < a->n; i++) {
        const tsr_node *x = a->node[i], *y = b->node[i];
        if (x->op != y->op) continue; /* both are values in memory */
        if (x->op == TSR_OP_PARAM || x->op == TSR_OP_ITEM) continue;
        if (x->nattr != y->nattr || !attrs_equal(x->nattr, x->attr, y->attr)) return false;
    }
    return true;
}

const struct twin *twin_find(const struct lower *L, const struct twin *form) {
    return map_get(&L->twins.map, form->hash, form, same_form, NULL);
}

bool twin_keep(struct lower *L, struct twin *form) {
    form->step = (int)L->plan->step.n - 1;
    const struct plan_step *s = &L->plan->step.v[form->step];
    if (!(form->arg = arena_array(&L->mem, (size_t)s->narg + 1, sizeof *form->arg))) return false;
    for (int i = 0; i < s->narg; i++) {
        form->arg[i] = -1;
        for (int j = 0; j < form->n && s->arg[i].kind == PLAN_ARG_SLOT && form->arg[i] < 0; j++)
            if (slot_of(L, form->node[j]) == s->arg[i].slot) form->arg[i] = j;
        if (form->arg[i] < 0 && s->arg[i].kind == PLAN_ARG_SLOT) return true; /* a slot of nobody's: not for others */
    }
    return map_put(L->c, &L->twins.map, form->hash, form);
}

bool twin_step(struct lower *L, int cluster, const struct twin *form, const struct twin *of) {
    const struct cluster *cl = &L->cluster.v[cluster];
    struct plan_step s = L->plan->step.v[of->step];
    const struct plan_arg *args = s.arg;
    if (!(s.arg = arena_array(&L->plan->mem, (size_t)s.narg + 1, sizeof *s.arg))) return false;
    for (int i = 0; i < s.narg; i++) {
        s.arg[i] = args[i];
        if (of->arg[i] < 0) continue;
        s.arg[i].slot = lower_slot(L, form->node[of->arg[i]], 0);
        if (s.arg[i].slot < 0) return false;
    }
    s.node = lower_node(L, cl->hero >= 0 ? cl->hero : cl->root.v[0])->id;
    if (!vec_push(L->c, &L->plan->step, s)) return false;
    tsr_tile_keep(s.program);
    return true;
}

/* ---- the table ---- */

bool twins_open(struct lower *L) {
    struct twins *t = &L->twins;
    map_init(&t->map);
    t->mark = arena_array(&L->mem, (size_t)L->n + 1, sizeof *t->mark);
    t->number = arena_array(&L->mem, (size_t)L->n + 1, sizeof *t->number);
    t->found = arena_array(&L->mem, NODES_MOST, sizeof *t->found);
    return t->mark && t->number && t->found;
}

void twins_close(struct lower *L) { map_release(L->c, &L->twins.map); }
