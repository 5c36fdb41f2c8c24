/* interp.h: the reference interpreter: runs a fn node by node with the reference kernels of the op records.
 *
 * The oracle of the project: obvious, in f64 or exact integers, no fusion, no threads. */
#ifndef GRAPH_INTERP_H
#define GRAPH_INTERP_H

#include "graph/op.h"

/* Called after each node has run (bodies of loops and calls too), with its operands and results. A failure ends the
 * run. */
typedef tsr_status interp_node(void *user, const tsr_fn *f, const tsr_node *n, int nin, const struct ref_tensor *in,
    int nout, const struct ref_tensor *out);
struct interp_opts {
    interp_node *node; /* may be NULL */
    void *user;
    uint8_t poison;    /* what results are filled with before their kernel runs */
};

/* Run f. in: every parameter in f->param order (explicit, captures, variables), nin of them; out: every result in
 * f->result order (explicit, then assigned), data in the arena. Symbols get their values from the extents of the
 * inputs; every check of the fn, and every bound, is verified: ECHECK with the sizes in the message. opts may be
 * NULL. */
tsr_status interp_run(tsr_ctx *c, const tsr_fn *f, int nin, const struct ref_tensor *in, struct arena *arena,
                      struct ref_tensor *out, const struct interp_opts *opts);

#endif
