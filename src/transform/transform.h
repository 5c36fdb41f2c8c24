/* transform.h: what the files of this room share: results of nodes, closed fns derived from fns, the sweeps.
 *
 * A closed derived fn takes ALL parameters of the fn it comes from (explicit, captures, variables) as explicit ones
 * and gives all its results (explicit, then assigned variables), so it captures nothing and is kept with its origin
 * for the next caller. It contains the origin's body, never a call of the origin: so references make no cycle. */
#ifndef TRANSFORM_TRANSFORM_H
#define TRANSFORM_TRANSFORM_H

#include <string.h>

#include "graph/op.h"
#include "tessera/transform.h"

/* ---- nodes and their results ---- */
static inline int node_results(const tsr_node *n) { return type_results(n->type); }
tsr_node *node_result(tsr_ctx *c, tsr_node *n, int i);     /* the node itself, or an ITEM of it */
bool type_differentiable(const tsr_type *t);               /* float or complex; a tuple: any item */
static inline bool node_differentiable(const tsr_node *n) { return type_differentiable(n->type); }
tsr_node *add_cotangents(tsr_ctx *c, tsr_node *a, tsr_node *b); /* either may be NULL, which is zero */
tsr_node *or_zeros(tsr_ctx *c, tsr_node *n, const tsr_type *t); /* n, or zeros of type t for NULL */

/* ---- fns ---- */
/* begin_named; param gets one explicit parameter for each of f's (explicit, captures, variables). */
bool begin_named(tsr_ctx *c, const char *what, const tsr_fn *f); /* begin a fn named "what.f" */
const char *param_name(const tsr_fn *f, int i);
bool closed_begin(tsr_ctx *c, const tsr_fn *f, const char *what, tsr_node **param);
/* As fn_splice, but each scan also saves what its gradient will ask for. */
void replay(tsr_ctx *c, const tsr_fn *f, tsr_node *const *arg, tsr_node **out);
/* Bodies of control ops: the parameters of n->fn[k] past the explicit ones are n->src from here on. */
int implicit_at(const tsr_node *n, int k);

/* A fn kept with the fn it was made from, under a key that says how. */
tsr_fn *derived_get(const tsr_fn *f, const char *key);
bool derived_put_take(tsr_ctx *c, tsr_fn *f, const char *key, tsr_fn *made); /* false: no memory, `made` is freed */
void key_flags(struct str *s, int n, const bool *flag);                      /* appends 0s and 1s */

/* (all params, a cotangent for each result) -> (cotangents of the params with want[i]). Borrowed: f keeps it. NULL:
 * error. */
tsr_fn *closed_vjp(tsr_ctx *c, tsr_fn *f, const bool *want);
/* (all params, tangents of the params with with[i]) -> (all results, a tangent for each). */
tsr_fn *closed_jvp(tsr_ctx *c, tsr_fn *f, const bool *with);
/* f with parameters batched[i] in front; every result batched in front. */
tsr_fn *closed_vmap(tsr_ctx *c, tsr_fn *f, const bool *batched, const tsr_extent *size);
/* Which results of f depend on the example, given which parameters do. out: (f->result.n). */
bool batched_results(tsr_ctx *c, const tsr_fn *f, const bool *batched, bool *out);

/* The body of f batched; flag[i] of out[i]: depends on the example, axis in front. */
bool vmap_replay(tsr_ctx *c, const tsr_fn *f, tsr_node *const *arg, const bool *batched, const tsr_extent *size,
                 tsr_node **out, bool *flag);
/* vjp rule of n by way of other nodes `result` that compute the same from the same sources. */
bool vjp_by_rewriting(tsr_ctx *c, tsr_node *n, tsr_node *const *result, tsr_node *const *gout, const bool *want,
                      tsr_node **gsrc);

/* ---- ops with bodies (higher.c, and one file each) ---- */
bool higher_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc);
/* n: the op over the new sources (t[j]: tangent of source j, NULL zero); out: its results; tout: their tangents, NULL
 * zero. */
bool higher_jvp(tsr_ctx *c, tsr_node *n, tsr_node *const *src, tsr_node *const *t, tsr_node **out, tsr_node **tout);
bool higher_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size,
                 tsr_node **out);

typedef bool higher_jvp_rule(tsr_ctx *c, tsr_node *n, tsr_node *const *src, tsr_node *const *t, tsr_node **out,
                             tsr_node **tout);
typedef bool higher_vmap_rule(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched,
                              const tsr_extent *size, tsr_node **out);
op_vjp call_vjp, cond_vjp, scan_vjp, while_vjp;
higher_jvp_rule call_jvp, cond_jvp, scan_jvp, while_jvp;
higher_vmap_rule call_vmap, cond_vmap, scan_vmap, while_vmap;
/* The scan over these sources that also gives its carries at the start of each turn, after its own results. */
tsr_node *scan_saving(tsr_ctx *c, const tsr_node *n, tsr_node *const *src);
/* A while with a bound on its turns, as a scan of that many. */
tsr_node *while_as_scan(tsr_ctx *c, const tsr_node *n, tsr_node *const *src);

/* Tangents of the results of n by transposing its vjp: the rule applied to placeholders, then reverse mode in those. */
bool jvp_by_transposing(tsr_ctx *c, tsr_node *n, tsr_node *const *t, op_vjp *rule, tsr_node **tout);

#endif
