/* op_linalg.h: matrices in rules: products, adjoints, triangles over the last two axes, leading axes being batch; and
 * the reference kernels of ref_linalg.c.
 *
 * Gradient rules here are written for gradients in the sense dL = Re tr(G^H dA) (matrix calculus, PyTorch); the
 * records' pairing is Re(g dy) (op.h), its conjugate. la_conj on the way in and out translates; for real matrices it
 * is the identity. */
#ifndef GRAPH_OP_LINALG_H
#define GRAPH_OP_LINALG_H

#include "graph/axes.h"
#include "graph/ref.h"

tsr_node *la_mul(tsr_ctx *c, tsr_node *a, tsr_node *b);        /* elementwise */
tsr_node *la_add(tsr_ctx *c, tsr_node *a, tsr_node *b);
tsr_node *la_sub(tsr_ctx *c, tsr_node *a, tsr_node *b);
tsr_node *la_neg(tsr_ctx *c, tsr_node *a);
tsr_node *la_scale(tsr_ctx *c, tsr_node *a, double f);
tsr_node *la_conj(tsr_ctx *c, tsr_node *a);
tsr_node *la_t(tsr_ctx *c, tsr_node *a);                       /* last two axes changed places */
tsr_node *la_h(tsr_ctx *c, tsr_node *a);                       /* and conjugated */
tsr_node *la_dot(tsr_ctx *c, tsr_node *a, tsr_node *b);        /* (..., M, K) (..., K, N) */
/* a where col - row (or row - col when lower) lies in from..; else zero: tri(lower, 0) a triangle with, tri(lower, 1)
 * without its diagonal. */
tsr_node *la_tri(tsr_ctx *c, tsr_node *a, bool lower, int64_t from);
tsr_node *la_eye(tsr_ctx *c, const tsr_type *t);               /* ones on the diagonal of a zero matrix of type t */
tsr_node *la_rows(tsr_ctx *c, tsr_node *v, const tsr_type *t); /* t[..., i, j] = v[..., j], of v's dtype */
tsr_node *la_cols(tsr_ctx *c, tsr_node *v, const tsr_type *t); /* t[..., i, j] = v[..., i] */
tsr_node *la_safe_inverse(tsr_ctx *c, tsr_node *a);            /* 1 / a, 0 where a is 0 */
tsr_node *la_complexify(tsr_ctx *c, tsr_node *a, tsr_dtype t); /* to t, which is a's dtype or its complex one */
/* The gradient for a function that reads one triangle of a Hermitian matrix, from the gradient for the whole matrix. */
tsr_node *la_one_triangle(tsr_ctx *c, tsr_node *g, bool lower);

/* f32, f64, c64 or c128 matrices, or a teaching error. */
bool la_matrix(tsr_ctx *c, const char *op, const tsr_type *t, bool complex_too, bool square);
tsr_node *la_make(tsr_ctx *c, enum tsr_op op, tsr_node *a);    /* an op of one operand and no attributes */

/* ---- samplers ---- */
bool la_sampled(const struct sample *s, bool complex_too);     /* does the asked dtype have these ops? */
void la_sample_dims(struct sample *s, int *rank, int64_t *dim, bool square); /* (batch)?, M, N */
/* x x^H + N 1 and the like: well conditioned matrices from random ones. */
tsr_node *la_sample_positive(tsr_ctx *c, tsr_node *x);
tsr_node *la_add_diagonal(tsr_ctx *c, tsr_node *x, double first, double step); /* + first + step i on the diagonal */

op_ref ref_cholesky, ref_triangular_solve, ref_qr, ref_svd, ref_eigh;

#endif
