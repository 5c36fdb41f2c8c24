/* transform.h: gradients, forward mode, batching, recomputation: fns to fns, nodes to nodes.
 *
 * Every transformation gives ordinary graph, so they apply to each other in any order and to any depth:
 * the gradient of a gradient, a vmap of a gradient, the gradient of a scan of a vmap. They work on eager
 * nodes, inside an open fn, and on ended fns.
 *
 * What has a derivative: floating point and complex values. Integers and booleans have none: their cotangents and
 * tangents are ignored where one is asked for and are zeros of their own type where one is given. For complex values
 * the conventions are JAX's: a vjp is the plain transpose g^T J, conjugated nowhere but in the op's own formula.
 *
 * Captured values and variables of a fn are arguments like the others: gradients flow out to them
 * (tsr_grad with respect to a value that a scan's body captured is right), and the transformed fn
 * captures and assigns what the given one did (tsr_vjp, which gives no values, assigns nothing). */
#ifndef TESSERA_TRANSFORM_H
#define TESSERA_TRANSFORM_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reverse mode over nodes --------------------------------------------------------------------------------------
 * grad[i] = d loss / d wrt[i], of wrt[i]'s type; zeros where the loss does not depend on it. loss: one element (rank 0,
 * or every extent 1), floating point. wrt: any nodes that the loss was computed from: leaves, parameters of the open
 * fn, values captured from outside it, intermediate results. On failure every grad[i] is poison.
 *
 * A value that was evaluated has dropped what it was computed from: build loss and gradients first, evaluate them
 * together. An error says so when that leaves a wrt[i] without any path to the loss. */
tsr_status tsr_grad(tsr_ctx *c, tsr_node *loss, int n, tsr_node *const *wrt, tsr_node **grad);
/* The same for any results: grad[i] = sum_j cotangent[j]^T d out[j] / d wrt[i];
 * cotangent[j] has out[j]'s type, NULL is zero. */
tsr_status tsr_vjp_nodes(tsr_ctx *c, int nout, tsr_node *const *out, tsr_node *const *cotangent, int n,
    tsr_node *const *wrt, tsr_node **grad);

/* ---- reverse mode over fns ----------------------------------------------------------------------------------------
 * Returned fns are the caller's (tsr_fn_free); NULL means that an error is recorded. */
/* The fn (params) -> (d loss / d param[wrt[0]], ...), with the results of f in front when with_value. The loss is f's
 * first result, one element. wrt == NULL: every floating point parameter, in order. */
tsr_fn *tsr_grad_fn(tsr_ctx *c, tsr_fn *f, int n, const int *wrt, bool with_value);
/* (params..., cotangents...) -> (cotangents of params...): one cotangent for each
 * result, one result for each parameter. */
tsr_fn *tsr_vjp(tsr_ctx *c, tsr_fn *f);
/* The Hessian of f's first result (one element) in parameter `param` (real): (params...) -> H,
 * its shape the parameter's twice. Forward mode over reverse mode, batched over the directions;
 * the parameter's extents must be constants. */
tsr_fn *tsr_hessian(tsr_ctx *c, tsr_fn *f, int param);

/* ---- forward mode -------------------------------------------------------------------------------------------------
 * (params..., tangents...) -> (results..., tangents of results...): one tangent for each parameter and result. Needs no
 * bound on a while's turns, and no memory beyond the run of f. */
tsr_fn *tsr_jvp(tsr_ctx *c, tsr_fn *f);

/* ---- batching -----------------------------------------------------------------------------------------------------
 * f for `size` examples at once. in_axis[i] says where parameter i gets its batch axis (0..rank), -1 that all examples
 * share it; NULL: 0 for all. out_axis likewise for results (-1: the result must not depend on the example). size may be
 * symbolic. Captures and variables are shared; a variable may not be assigned a value that differs between examples.
 * Random bits drawn from a shared state are shared: pass a batched key for different ones. */
tsr_fn *tsr_vmap(tsr_ctx *c, tsr_fn *f, const int *in_axis, const int *out_axis, const tsr_extent *size);

/* ---- rules of one's own -------------------------------------------------------------------------------------------
 * Calls f in the graph being built, as tsr_fn_call does, but nothing inside is kept for the gradient: the
 * backward pass computes f again from its arguments, when their cotangents are there (Chen et al., "Training
 * deep nets with sublinear memory cost", 2016). Around each block of a deep net, memory goes from all
 * activations to one block's and the boundaries. */
void tsr_checkpoint(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out);
/* From now on calls of f (tsr_fn_call) differentiate by `vjp`: (params..., cotangents of results...) ->
 * (cotangents of params...), the signature of tsr_vjp. Neither may capture floating point values or use
 * variables. vjp may call f; those calls inside vjp are inlined and differentiate by f's body. f keeps its own
 * reference. tsr_fn_inline does not see the rule. */
tsr_status tsr_fn_set_vjp(tsr_ctx *c, tsr_fn *f, tsr_fn *vjp);
/* tsr_stop_gradient (prim.h) is the identity that no gradient or tangent passes. */

#ifdef __cplusplus
}
#endif
#endif
