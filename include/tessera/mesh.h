/* mesh.h: several participants in one process: programs that communicate, run side by side.
 *
 * A mesh is a grid of replicas x partitions. tsr_mesh_run gives each participant a fn and arguments and runs them all,
 * each on a thread of its own, in turns: one computes until it waits for others in a collective, then the next does.
 * So a context needs no locks, and neither results nor errors depend on scheduling: collectives combine values in the
 * order of their groups, and messages arrive in the order in which the turns (replica by replica) send them.
 *
 * Source of the semantics: openxla.org/stablehlo/spec, "Parallel execution". */
#ifndef TESSERA_MESH_H
#define TESSERA_MESH_H

#include "tessera/prim.h"
#include "tessera/run.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tsr_mesh tsr_mesh; /* a grid of participants, its infeed and its outfeed */

#define TSR_MESH_MAX 1024 /* participants of one mesh */

tsr_mesh *tsr_mesh_new(tsr_ctx *c, int replicas, int partitions); /* NULL: error recorded */
void tsr_mesh_free(tsr_mesh *m);                                  /* NULL is accepted */
int tsr_mesh_replicas(const tsr_mesh *m);
int tsr_mesh_partitions(const tsr_mesh *m);

/* What one participant runs: out (results of fn) receives evaluated nodes, as tsr_run does, poison after an error. */
typedef struct tsr_mesh_program {
    tsr_fn *fn;
    int n;
    tsr_node *const *arg; /* (n) */
    tsr_node **out;       /* (tsr_fn_results(fn)) */
} tsr_mesh_program;

/* Run one program for each participant; program[replica * partitions + partition]. Every one of them succeeds, or none
 * delivers anything: the first failure ends all, and is the error recorded, with the participant's place. Participants
 * that wait for one another in a circle, or for one that has ended, are an error (ECHECK) that says who waits for whom
 * and where. Variables: all participants read the value before the run; of several that assign one, the last
 * participant's value stays. Messages that nobody has received are dropped at the end. */
tsr_status tsr_mesh_run(tsr_ctx *c, tsr_mesh *m, const tsr_mesh_program *program, tsr_tier tier);

/* The infeed: each infeed op of any participant takes the oldest entry (n values). An op that finds it empty fails. */
tsr_status tsr_mesh_infeed(tsr_ctx *c, tsr_mesh *m, int n, tsr_node *const *value);
/* The outfeed's oldest entry: its number of values, of which at most `most` are written to out; -1: it is empty, or an
 * error is recorded. participant (may be NULL): who wrote it. */
int tsr_mesh_outfeed(tsr_ctx *c, tsr_mesh *m, int *participant, int most, tsr_node **out);

#ifdef __cplusplus
}
#endif
#endif
