/* twin.c: clusters that are alike share one program, which is written once.
 *
 * The layers of a network are the same clusters over other values, and writing a tile program is most of what lowering
 * a cluster costs. What a program computes is the cluster's FORM: the nodes from its roots down to the values that have
 * memory, in a fixed order; of each that is computed its op, type, attributes, sources (by their numbers in this list)
 * and whether it is a root; of a value that has memory its type. A program that was written for one cluster is right
 * for every cluster of its form, so the later one takes the program, grid and reports of the earlier step, and its
 * slots stand where those of the same number stood. (No two nodes have one slot: items of tuples are interned.)
 *
 * Literals are part of a form with their bytes, since a splat becomes a constant of the program. Comments in emitted
 * text name the nodes of the first cluster. */
#include <string.h>

#include "compile/lower.h"
#include "graph/attr.h"

/* Marks of nodes: above all numbers of sources, so that the words of a form can be read in one way only. */
#define READ (UINT64_C(1) << 32)
#define COMPUTED (UINT64_C(1) << 33)
#define ROOT (UINT64_C(1) << 34)

struct twin {
    int step, n;             /* step: written for it */
    const tsr_node **node;   /* (n) */
    bool *read;              /* (n) a value in memory and no literal: only its type counts */
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

static void meet(struct lower *L, int pos, int *n) {
    struct twins *t = &L->twins;
    if (t->mark[pos] == t->turn) return;
    t->mark[pos] = t->turn;
    t->number[pos] = *n;
    t->found[(*n)++] = pos;
}

/* All nodes of the form: the cluster's own as they joined it, then what they lead to in the order in which they do. (A
 * node that all layers share was made in the first of them: its place among all nodes would tell them apart.) */
static int find_nodes(struct lower *L, int cluster) {
    struct twins *t = &L->twins;
    const struct cluster *cl = &L->cluster.v[cluster];
    int n = 0;
    t->turn++;
    for (size_t i = 0; i < cl->node.n; i++) meet(L, cl->node.v[i], &n);
    for (int i = 0; i < n; i++) {
        const tsr_node *u = lower_node(L, t->found[i]);
        for (int j = 0; j < u->nsrc && !has_memory(L, u, cluster); j++) meet(L, u->src[j]->pos, &n);
    }
    return n;
}

static void put(struct twin *w, uint64_t x) { w->word[w->words++] = x; }

/* The ops in their order spread forms well enough; the rest is compared. */
static void put_node(struct lower *L, struct twin *w, int i) {
    const tsr_node *n = w->node[i];
    put(w, w->read[i] ? READ : COMPUTED | n->op | (L->at[n->pos].stored ? ROOT : 0));
    w->hash = hash_mix(w->hash, w->word[w->words - 1]);
    put(w, (uintptr_t)n->type);
    for (int j = 0; j < n->nsrc && !w->read[i]; j++) put(w, (uint64_t)L->twins.number[n->src[j]->pos]);
}

struct twin *twin_form(struct lower *L, int cluster) {
    struct twin *w = arena_alloc(&L->mem, sizeof *w);
    size_t room = 0;
    if (!w) return NULL;
    w->n = find_nodes(L, cluster);
    for (int i = 0; i < w->n; i++) room += 2 + (size_t)lower_node(L, L->twins.found[i])->nsrc;
    w->node = arena_array(&L->mem, (size_t)w->n, sizeof *w->node);
    w->read = arena_array(&L->mem, (size_t)w->n, sizeof *w->read);
    w->word = arena_array(&L->mem, room, sizeof *w->word);
    if (!w->node || !w->read || !w->word) return NULL;
    for (int i = 0; i < w->n; i++) {
        w->node[i] = lower_node(L, L->twins.found[i]);
        w->read[i] = has_memory(L, w->node[i], cluster) && w->node[i]->op != TSR_OP_CONST;
        put_node(L, w, i);
    }
    return w;
}

/* ---- what is known ---- */

static bool same_form(const void *item, const void *key, void *user) {
    const struct twin *a = item, *b = key;
    (void)user;
    if (a->words != b->words || memcmp(a->word, b->word, a->words * sizeof *a->word)) return false;
    for (int i = 0; i < a->n; i++) {
        const tsr_node *x = a->node[i], *y = b->node[i];
        if (!a->read[i] && (x->nattr != y->nattr || !attrs_equal(x->nattr, x->attr, y->attr))) return false;
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
        if (form->arg[i] < 0 && s->arg[i].kind == PLAN_ARG_SLOT) TSR_BUG("a slot of none of the kernel's nodes");
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
    t->found = arena_array(&L->mem, (size_t)L->n + 1, sizeof *t->found);
    return t->mark && t->number && t->found;
}

void twins_close(struct lower *L) { map_release(L->c, &L->twins.map); }
