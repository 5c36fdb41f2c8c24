/* graphs.h: a fixed list of graphs of known models: what plans, emitted text and compile times are compared on. */
#ifndef MODELS_GRAPHS_H
#define MODELS_GRAPHS_H

#include "tessera/models.h"

enum { MODEL_GRAPH_RESULTS = 256 }; /* most results of one */

struct model_graph {
    const char *name, *about;
    /* batch: how many images or sequences, in the graphs of nets */
    int (*build)(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, tsr_node **out);
    int64_t batch; /* what it is ordinarily; 0: the graph has none */
    tsr_nn *(*net)(tsr_ctx *c); /* its variables, made before the fn; NULL: its parameters are the fn's */
};
const struct model_graph *model_graph_at(int i); /* NULL past the end */
/* The graph as a fn; nothing is computed. batch: NULL for constant extents, else what takes the place of g->batch. net:
 * g->net's, or NULL: made for the fn, which keeps its variables. NULL: error recorded. */
tsr_fn *model_graph_build(tsr_ctx *c, const struct model_graph *g, tsr_nn *net, const tsr_extent *batch);

#endif
