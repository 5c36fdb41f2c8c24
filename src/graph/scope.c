/* scope.c: the graph room of a context, and the scopes that hold nodes.
 *
 * A scope is an autorelease pool: it takes one reference to every node made (or found again) while it is the innermost
 * one. The room opens with one scope that ends with the context. */
#include <string.h>

#include "graph/room.h"

static void scope_end_one(tsr_ctx *c, struct graph_room *g) {
    struct tsr_scope *s = g->scope;
    g->scope = s->outer;
    for (size_t i = s->held.n; i-- > 0;) node_unref(c, s->held.v[i]);
    vec_release(c, &s->held);
    mem_del(c, s);
}

static void room_close(tsr_ctx *c, void *state) {
    struct graph_room *g = state;
    ctx_slot_set(c, SLOT_GRAPH, g, NULL); /* nodes still find their room while they go */
    while (g->open) tsr_fn_abort(c);
    while (g->scope) scope_end_one(c, g);
    if (g->poison) mem_del(c, g->poison);
    map_release(c, &g->extents);
    map_release(c, &g->types);
    map_release(c, &g->nodes);
    buf_cache_empty(c, &g->buffers);
    arena_release(&g->mem);
    ctx_slot_set(c, SLOT_GRAPH, NULL, NULL);
    mem_del(c, g);
}

static tsr_node *poison_new(tsr_ctx *c) {
    const tsr_type *t = tsr_type_tensor(c, TSR_F32, 0, NULL);
    tsr_node *n = t ? mem_new(c, tsr_node) : NULL;
    if (!n) return NULL;
    n->op = TSR_OP_VALUE;
    n->type = t;
    n->refs = 1u << 30; /* never freed by counting */
    n->poison = true;
    return n;
}

struct graph_room *graph_room(tsr_ctx *c) {
    struct graph_room *g = ctx_slot(c, SLOT_GRAPH);
    if (g) return g;
    if (!(g = mem_new(c, struct graph_room))) return NULL;
    arena_init(&g->mem, c);
    map_init(&g->extents), map_init(&g->types), map_init(&g->nodes);
    ctx_slot_set(c, SLOT_GRAPH, g, room_close);
    if ((g->poison = poison_new(c)) && tsr_scope_begin(c)) return g;
    ctx_slot_set(c, SLOT_GRAPH, NULL, NULL); /* destroys what there is */
    return NULL;
}

tsr_scope *tsr_scope_begin(tsr_ctx *c) {
    struct graph_room *g = graph_room(c);
    struct tsr_scope *s = g ? mem_new(c, struct tsr_scope) : NULL;
    if (!s) return NULL;
    s->outer = g->scope;
    s->serial = ++g->next_scope;
    return g->scope = s;
}

/* A NULL scope (begin failed) is accepted. */
void tsr_scope_end(tsr_ctx *c, tsr_scope *s) {
    struct graph_room *g = graph_room(c);
    if (!g || !s) return;
    bool known = false;
    for (struct tsr_scope *i = g->scope; i; i = i->outer) known |= i == s;
    if (!known) {
        err_set(c, TSR_EINVAL, "scope end: this scope is not open (ended twice, or after one that encloses it)");
        return;
    }
    while (g->scope != s) scope_end_one(c, g);
    scope_end_one(c, g);
}

bool scope_hold(tsr_ctx *c, tsr_node *n) {
    struct graph_room *g = graph_room(c);
    if (n->scope == g->scope->serial) return true;
    if (!vec_push(c, &g->scope->held, n)) return false;
    node_ref(n);
    n->scope = g->scope->serial;
    return true;
}
