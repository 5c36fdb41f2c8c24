/* room.h: the graph room's state in a context: intern tables, scopes, the open fn, the poison node.
 *
 * Extents and types live in an arena until the context closes. Eager nodes are interned
 * here; a fn's nodes in the fn. */
#ifndef GRAPH_ROOM_H
#define GRAPH_ROOM_H

#include <stdatomic.h>

#include "graph/node.h"

#define TEXT_RING 16
#define TEXT_BYTES 256

struct tsr_scope {
    struct tsr_scope *outer;
    uint64_t serial; /* nodes remember the last scope that took hold of them */
    VEC(tsr_node *) held;
};

/* Host buffers kept for the next of their size (buf.c). */
enum { BUFFERS_KEPT = 256 };
struct kept_block { void *p; size_t bytes; };
struct buf_cache {
    atomic_flag busy;
    int n;
    size_t total;
    struct kept_block block[BUFFERS_KEPT];
};
void buf_cache_empty(tsr_ctx *c, struct buf_cache *k);

struct graph_room {
    struct arena mem; /* extents, types, symbol names */
    struct map extents, types, nodes;
    uint32_t extent_serial;
    uint64_t next_id, next_scope;
    struct tsr_scope *scope;
    tsr_fn *open;
    tsr_node *poison;
    char text[TEXT_RING][TEXT_BYTES];
    int text_next;
    struct buf_cache buffers;
};

struct graph_room *graph_room(tsr_ctx *c); /* made at first use; NULL: out of memory, recorded */
bool scope_hold(tsr_ctx *c, tsr_node *n);  /* the innermost scope takes a reference; false: out of memory */
extern tsr_fn fn_dead;                     /* owner of nodes whose fn has ended without them, or is gone */

#endif
