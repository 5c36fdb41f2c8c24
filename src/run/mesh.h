/* mesh.h: the inside of a mesh: messages and the queues they wait in. */
#ifndef RUN_MESH_H
#define RUN_MESH_H

#include "base/vec.h"
#include "graph/comm.h"
#include "tessera/mesh.h"

/* Values on their way, copied. */
struct message {
    int64_t channel;
    int from, target; /* participants; -1: the host; anybody */
    int n;
    struct ref_tensor *t; /* (n), their data owned */
};
struct queue { VEC(struct message *) v; };

/* False: out of memory, recorded; nothing is queued then. */
bool queue_push(tsr_ctx *c, struct queue *q, int64_t channel, int from, int target, int n, const struct ref_tensor *t);
/* The oldest message of the channel that `who` may have, taken out of the queue; NULL: none. */
struct message *queue_take(struct queue *q, int64_t channel, int who);
void queue_release(tsr_ctx *c, struct queue *q);
/* The message's values as the first n of `out`; ends the message. EINVAL when they are of other types. */
tsr_status message_deliver_take(tsr_ctx *c, const char *op, struct message *m, int n, struct ref_tensor *out);
void message_free(tsr_ctx *c, struct message *m); /* NULL is accepted */

struct tsr_mesh {
    tsr_ctx *c;
    int replicas, partitions;
    struct queue infeed, outfeed;
};

#endif
