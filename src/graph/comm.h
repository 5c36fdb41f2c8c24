/* comm.h: how a participant speaks to the others: the seam between the graph's collectives and what carries them.
 *
 * A context computes for one participant at a time. Who it is, and how to reach the others, says its struct comm, which
 * hangs on the context (comm_of): without one the context is alone, a grid of 1 x 1. The reference kernels and the plan
 * runner both hand a collective to comm_run, which works out the process group and calls the transport. The transport
 * of this build is the mesh of threads (run/mesh.c); one over MPI or NCCL fills in the same two functions.
 *
 * A comm_op is what a node asks for, free of the node, so that a plan can keep it. Participants are numbered
 * replica * partitions + partition. Groups are those of StableHLO (openxla.org/stablehlo/spec, "Collective ops"). */
#ifndef GRAPH_COMM_H
#define GRAPH_COMM_H

#include "graph/op.h"

struct comm_op {
    enum tsr_op op;
    tsr_group_mode mode;
    int64_t reduce, axis, concat_axis, channel, members;
    int ids, group_size; /* ids: all of them; group_size: of them in one group; 0: one group of everybody */
    int npairs;
    const int64_t *id, *pair; /* (ids), (2 npairs): source, target */
};
/* What a node asks for. The arrays are the node's. */
struct comm_op comm_op_of(const tsr_node *n);
bool comm_op_equal(const struct comm_op *a, const struct comm_op *b);
bool op_communicates(enum tsr_op op); /* is it one of these? Such nodes are never merged and keep their order */

/* Sources and targets of a permutation or a channel: no source twice, no target twice; else a teaching error. */
bool pairs_valid(tsr_ctx *c, const char *op, size_t n, const int64_t *pair);

/* Operands and results of one participant: dense, in host memory. */
struct comm_side {
    int nin, nout;
    const struct ref_tensor *in;
    struct ref_tensor *out;
};
/* The participants that meet, in the order in which their values are combined; me: this one's place; -1: not among
 * them. */
struct comm_group {
    int n, me;
    int *member;
    int64_t *name; /* of a permutation: the members as its pairs name them */
};

struct comm {
    int replicas, partitions, replica, partition;
    /* Meet the other members of g (there are some), who ask for the same, and fill in s->out. */
    tsr_status (*meet)(struct comm *m, tsr_ctx *c, const struct comm_op *op, const struct comm_group *g,
                       struct comm_side *s);
    /* send, recv, infeed, outfeed. target: of a send with pairs; -1: whoever receives from the channel. */
    tsr_status (*channel)(struct comm *m, tsr_ctx *c, const struct comm_op *op, int target, struct comm_side *s);
};
const struct comm *comm_of(const tsr_ctx *c); /* never NULL */
void comm_set(tsr_ctx *c, struct comm *m);    /* borrowed; NULL: alone again */
static inline int comm_rank(const struct comm *m) { return m->replica * m->partitions + m->partition; }

/* Do what op asks for as the context's participant. */
tsr_status comm_run(tsr_ctx *c, const struct comm_op *op, struct comm_side *s);
/* For transports whose participants share memory: the results of all members, given their sides in the group's order.
 * The same whoever calls it. */
tsr_status comm_combine(tsr_ctx *c, const struct comm_op *op, const struct comm_group *g,
                        struct comm_side *const *side);
tsr_status comm_ref(struct ref_call *r); /* the reference kernel of all of them */

#endif
