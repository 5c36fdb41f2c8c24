/* run.h: from graph to numbers: evaluate, run, read, interpret, and what it cost.
 *
 * There is one path: a fn becomes a plan (kernels over slots), the plan is bound to the sizes of its arguments, the
 * device runs it. tsr_eval wraps the unevaluated graph behind its nodes in a fn first; tsr_run skips that. Plans are
 * cached by the structure of the fn, kernels by their program: a new shape may need a new plan, never a new kernel. */
#ifndef TESSERA_RUN_H
#define TESSERA_RUN_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Compute the values of n eager nodes (tensors), together: what they share is computed once. Afterwards
 * each holds its value and has let go of what it was computed from, so build gradients before
 * evaluating. Nodes that have values are skipped. */
tsr_status tsr_eval(tsr_ctx *c, int n, tsr_node *const *node);
/* Evaluate the present values of variables (after lazy assignments), together with n nodes. */
tsr_status tsr_eval_vars(tsr_ctx *c, int nvars, tsr_var *const *var, int n, tsr_node *const *node);

/* Run f at once on eager arguments (evaluated first when they are not): out[i] are evaluated nodes of concrete type,
 * variables are read and assigned. Symbolic extents take their values from the arguments. This is jit: the plan is
 * found by f's structure, the graph is not rebuilt. */
tsr_status tsr_run(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out);
/* The same on the reference interpreter: one op at a time, obvious loops, float sums in f64: slow and trusted. */
tsr_status tsr_interpret(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out);

/* What computes: plans on the device, or the reference interpreter. */
typedef enum tsr_tier { TSR_TIER_PLAN, TSR_TIER_REFERENCE } tsr_tier;

/* Values. tsr_read evaluates if need be and copies all elements, row-major, as stored; bytes must be the exact size. */
tsr_status tsr_read(tsr_ctx *c, tsr_node *n, void *dst, size_t bytes);
/* One element of a one-element tensor (complex: the real part); NaN with an error recorded on failure. */
double tsr_read_scalar(tsr_ctx *c, tsr_node *n);
tsr_buf *tsr_node_buf(tsr_node *n); /* the value's buffer (borrowed), NULL when not evaluated */

/* The plan of f as text: steps, then slots; with the sizes of arena, kernels and bytes moved where f's extents are
 * constants. Freed with tsr_text_free. NULL: error recorded. */
char *tsr_plan_text(tsr_ctx *c, tsr_fn *f);

/* Counts since the context opened. replays: of parts of plans that the device had recorded; their kernels count as
 * launches. */
typedef struct tsr_run_stats {
    uint64_t plans_built, plan_hits, bindings, kernels_built, kernel_hits, launches, library_calls, replays;
    double bytes_moved, flops; /* estimates of the plans that ran */
} tsr_run_stats;
tsr_run_stats tsr_stats(tsr_ctx *c);

/* What a fn's plan amounts to, under constant extents: kernels (launches a run), library calls, bytes moved,
 * operations, arena bytes, and the least arena any layout could have. */
typedef struct tsr_plan_info {
    int kernels, library_calls, other_steps;
    double bytes_moved, flops;
    size_t arena_bytes, arena_bound;
} tsr_plan_info;
tsr_status tsr_plan_measure(tsr_ctx *c, tsr_fn *f, tsr_plan_info *out);

#ifdef __cplusplus
}
#endif
#endif
