/* ops.h: the builders people use: NumPy's broadcasting and negative axes, type
 * promotion, PyTorch's names and conventions.
 *
 * All of them are written with the primitives of prim.h. Each returns the context's poison node
 * with an error recorded when an operand does not fit. Arguments that are arrays are read during
 * the call only. An axis < 0 counts from the end.
 *
 * Broadcasting: shapes are aligned at the right; an extent of 1 is repeated; a missing axis counts as 1.
 *
 * Promotion (two operands of different dtype, the kinds ordered bool < integer < float < complex):
 *
 *     operands                              result
 *     bool with any                         the other
 *     integer with float                    the float, whatever the widths
 *     float with complex                    complex of the wider precision (c64 with f64: c128)
 *     f16 with bf16                         f32
 *     f8 with another float (other f8 too)  the other (f8e4m3fn with f8e5m2: f16)
 *     otherwise floats, complexes           the wider
 *     signed with signed, uns. with uns.    the wider
 *     signed with unsigned                  the signed one when wider, else the next wider signed one (with u64: i64)
 *
 * A rank-0 operand does not widen an operand with axes of the same or a higher kind (x_f16 * scalar_f32 is f16), as in
 * PyTorch. Functions that need a float (exp, sqrt, mean, true division ...) take integers and booleans as f32. */
#ifndef TESSERA_OPS_H
#define TESSERA_OPS_H

#include "tessera/graph.h"
#include "tessera/prim.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The dtype two operands of these dtypes compute in (both with axes). */
tsr_dtype tsr_promote(tsr_dtype a, tsr_dtype b);

/* ---- elementwise --------------------------------------------------------------------------------------------------
 * X(name, FUNCTION of scalar.h): tsr_node *tsr_name(c, x). FLOAT ones take integers as f32. */
#define TSR_UNARY_LIST(X) \
    X(neg, NEG) X(abs, ABS) X(sign, SIGN) X(logical_not, NOT) X(real, REAL) X(imag, IMAG)
#define TSR_UNARY_FLOAT_LIST(X)                                                                                   \
    X(ceil, CEIL) X(floor, FLOOR) X(round, ROUND_EVEN) X(exp, EXP) X(exp2, EXP2) X(expm1, EXPM1) X(log, LOG)       \
    X(log2, LOG2) X(log1p, LOG1P) X(sqrt, SQRT) X(rsqrt, RSQRT) X(cbrt, CBRT) X(sin, SIN) X(cos, COS) X(tan, TAN) \
    X(asin, ASIN) X(acos, ACOS) X(atan, ATAN) X(sinh, SINH) X(cosh, COSH) X(tanh, TANH) X(asinh, ASINH)           \
    X(acosh, ACOSH) X(atanh, ATANH) X(sigmoid, LOGISTIC) X(erf, ERF) X(erfc, ERFC) X(erf_inv, ERF_INV)            \
    X(lgamma, LGAMMA) X(digamma, DIGAMMA) X(is_finite, IS_FINITE)
/* tsr_name(c, x, y), broadcasting and promoting. round is half to even, as NumPy's; rem
 * has the sign of x, mod that of y. */
#define TSR_BINARY_LIST(X)                                                                                        \
    X(add, ADD) X(sub, SUB) X(mul, MUL) X(rem, REM) X(pow, POW) X(maximum, MAX) X(minimum, MIN) X(eq, EQ)          \
    X(ne, NE) X(lt, LT) X(le, LE) X(gt, GT) X(ge, GE) X(logical_and, AND) X(logical_or, OR) X(logical_xor, XOR)    \
    X(shift_left, SHL) X(shift_right, SHR)
#define TSR_BINARY_FLOAT_LIST(X) X(div, DIV) X(atan2, ATAN2)
#define X(name, fn) tsr_node *tsr_##name(tsr_ctx *c, tsr_node *x);
TSR_UNARY_LIST(X)
TSR_UNARY_FLOAT_LIST(X)
#undef X
#define X(name, fn) tsr_node *tsr_##name(tsr_ctx *c, tsr_node *x, tsr_node *y);
TSR_BINARY_LIST(X)
TSR_BINARY_FLOAT_LIST(X)
#undef X
tsr_node *tsr_floordiv(tsr_ctx *c, tsr_node *x, tsr_node *y); /* rounds down; integers stay integers */
tsr_node *tsr_mod(tsr_ctx *c, tsr_node *x, tsr_node *y);      /* x - floordiv(x, y) * y */
tsr_node *tsr_square(tsr_ctx *c, tsr_node *x);
/* StableHLO's reduce_precision: x of any float dtype, rounded (to even) to what fits a float of that many bits
 * (exponent >= 1, mantissa >= 0; more than x has change nothing) and given in x's dtype. The narrow float has no
 * subnormal numbers. */
tsr_node *tsr_reduce_precision(tsr_ctx *c, tsr_node *x, int exponent_bits, int mantissa_bits);
/* CHLO's special functions on floats (integers as f32), computed in f64 and rounded once. */
tsr_node *tsr_bessel_i0e(tsr_ctx *c, tsr_node *x);                   /* e^-|x| I0(x) */
tsr_node *tsr_bessel_i1e(tsr_ctx *c, tsr_node *x);                   /* e^-|x| I1(x) */
tsr_node *tsr_zeta(tsr_ctx *c, tsr_node *s, tsr_node *q);            /* Hurwitz: sum (q + k)^-s; no gradient in s */
/* order-th derivative of digamma; order: whole numbers */
tsr_node *tsr_polygamma(tsr_ctx *c, tsr_node *order, tsr_node *x);
tsr_node *tsr_reciprocal(tsr_ctx *c, tsr_node *x);
tsr_node *tsr_where(tsr_ctx *c, tsr_node *cond, tsr_node *x, tsr_node *y); /* all three broadcast */
tsr_node *tsr_clip(tsr_ctx *c, tsr_node *x, double lo, double hi);         /* NaN stays */
tsr_node *tsr_cast(tsr_ctx *c, tsr_node *x, tsr_dtype t);                  /* x itself when it has that dtype */
tsr_node *tsr_num(tsr_ctx *c, const tsr_node *like, double v);             /* rank-0 literal of like's dtype */
tsr_node *tsr_zeros(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim);
tsr_node *tsr_ones(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim);
tsr_node *tsr_zeros_like(tsr_ctx *c, const tsr_node *x);
tsr_node *tsr_ones_like(tsr_ctx *c, const tsr_node *x);

/* ---- reductions ---------------------------------------------------------------------------------------------------
 * Over n axes; axes == NULL: over all. keepdims leaves extents of 1. sum and prod of bool count in i32; mean
 * and variance of f16 and bf16 are computed in f32 and rounded once. variance: divides by (count -
 * correction). arg: ties give the least index; i32. */
tsr_node *tsr_sum(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims);
tsr_node *tsr_prod(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims);
tsr_node *tsr_max(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims);
tsr_node *tsr_min(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims);
tsr_node *tsr_all(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims);
tsr_node *tsr_any(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims);
tsr_node *tsr_mean(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims);
tsr_node *tsr_variance(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims, double correction);
tsr_node *tsr_std(tsr_ctx *c, tsr_node *x, int n, const int *axes, bool keepdims, double correction);
tsr_node *tsr_argmax(tsr_ctx *c, tsr_node *x, int axis, bool keepdims);
tsr_node *tsr_argmin(tsr_ctx *c, tsr_node *x, int axis, bool keepdims);
tsr_node *tsr_cumsum(tsr_ctx *c, tsr_node *x, int axis);
tsr_node *tsr_cumprod(tsr_ctx *c, tsr_node *x, int axis);

/* ---- form -------------------------------------------------------------------------------------------------------- */
tsr_node *tsr_reshape(tsr_ctx *c, tsr_node *x, int rank, const int64_t *dim); /* at most one -1: what is left */
tsr_node *tsr_reshape_extents(tsr_ctx *c, tsr_node *x, int rank, const tsr_extent *const *extent);
tsr_node *tsr_flatten(tsr_ctx *c, tsr_node *x, int first, int last); /* axes first..last become one */
tsr_node *tsr_transpose(tsr_ctx *c, tsr_node *x, const int *perm);   /* result axis i is x's perm[i]; NULL: reversed */
tsr_node *tsr_swap_axes(tsr_ctx *c, tsr_node *x, int a, int b);
tsr_node *tsr_move_axis(tsr_ctx *c, tsr_node *x, int from, int to);
tsr_node *tsr_squeeze(tsr_ctx *c, tsr_node *x, int axis);   /* the extent must be 1 */
tsr_node *tsr_unsqueeze(tsr_ctx *c, tsr_node *x, int axis); /* the new axis's place in the result */
tsr_node *tsr_broadcast_to(tsr_ctx *c, tsr_node *x, int rank, const tsr_extent *const *extent);
tsr_node *tsr_broadcast_like(tsr_ctx *c, tsr_node *x, const tsr_node *like); /* to like's extents */
tsr_node *tsr_concat(tsr_ctx *c, int n, tsr_node *const *x, int axis);       /* promotes */
tsr_node *tsr_stack(tsr_ctx *c, int n, tsr_node *const *x, int axis);        /* along a new axis */
tsr_status tsr_split(tsr_ctx *c, tsr_node *x, int parts, int axis, tsr_node **out); /* equal parts */
/* Python's x[start:stop:step]; stop INT64_MAX: to the end; step > 0 */
tsr_node *tsr_slice(tsr_ctx *c, tsr_node *x, int axis, int64_t start, int64_t stop, int64_t step);
tsr_node *tsr_select(tsr_ctx *c, tsr_node *x, int axis, int64_t index);  /* x[index] on that axis, which goes */
tsr_node *tsr_pad(tsr_ctx *c, tsr_node *x, const int64_t *low, const int64_t *high, double value);
tsr_node *tsr_flip(tsr_ctx *c, tsr_node *x, int n, const int *axes);
tsr_node *tsr_roll(tsr_ctx *c, tsr_node *x, int64_t shift, int axis);
/* each element `times` in a row (repeat_interleave) */
tsr_node *tsr_repeat(tsr_ctx *c, tsr_node *x, int axis, int64_t times);
tsr_node *tsr_arange(tsr_ctx *c, tsr_dtype t, double start, double stop, double step);
tsr_node *tsr_eye(tsr_ctx *c, tsr_dtype t, int64_t rows, int64_t cols);
tsr_node *tsr_tril(tsr_ctx *c, tsr_node *x, int64_t diagonal); /* zero above the diagonal of the last two axes */
tsr_node *tsr_triu(tsr_ctx *c, tsr_node *x, int64_t diagonal);
/* index of any shape takes that axis's place; < 0 counts from the end; clamped */
tsr_node *tsr_take(tsr_ctx *c, tsr_node *x, tsr_node *index, int axis);
/* torch.gather: one index for each result element */
tsr_node *tsr_take_along(tsr_ctx *c, tsr_node *x, tsr_node *index, int axis);
tsr_node *tsr_scatter_add(tsr_ctx *c, tsr_node *x, tsr_node *index, tsr_node *src, int axis); /* torch.scatter_add */
/* stable; either may be NULL */
tsr_status tsr_sort(tsr_ctx *c, tsr_node *x, int axis, bool descending, tsr_node **values, tsr_node **indices);
tsr_status tsr_topk(tsr_ctx *c, tsr_node *x, int64_t k, int axis, tsr_node **values, tsr_node **indices);

/* ---- contractions -------------------------------------------------------------------------------------------------
 * numpy.matmul: (..., M, K) x (..., K, N) -> (..., M, N), leading axes broadcast, rank-1 operands are rows / columns.
 * f16, bf16 and f8 accumulate in f32 and round once. A block-quantised weight may be the right operand (K, N). */
tsr_node *tsr_matmul(tsr_ctx *c, tsr_node *a, tsr_node *b);
/* numpy.einsum: "bthd,bshd->bhts"; spaces are ignored, "..." is not taken, without "->"
 * the letters used once, sorted. */
tsr_node *tsr_einsum(tsr_ctx *c, const char *spec, int n, tsr_node *const *x);
/* x (..., I), w (O, I), bias (O) or NULL -> (..., O) */
tsr_node *tsr_linear(tsr_ctx *c, tsr_node *x, tsr_node *w, tsr_node *bias);

/* ---- random -------------------------------------------------------------------------------------------------------
 * Philox4x32-10 through the primitive rng_bits: what dropout and the trainer use. A key is u64[2] (tsr_key); the same
 * key gives the same numbers on every device. Never use a key twice: fold in a counter instead. Where the bits must be
 * those of jax.random, or keys are to be split, use random.h: its keys are u32[2] (tsr_prng_key), of another type, so
 * that neither family takes the other's. */
tsr_node *tsr_key(tsr_ctx *c, uint64_t seed);
tsr_node *tsr_key_fold(tsr_ctx *c, tsr_node *key, tsr_node *index); /* a new key for each value of an integer scalar */
tsr_node *tsr_random_uniform(tsr_ctx *c, tsr_node *key, const tsr_type *t, double lo, double hi); /* [lo, hi), float */
tsr_node *tsr_random_normal(tsr_ctx *c, tsr_node *key, const tsr_type *t);

/* ---- activations: composites ------------------------------------------------------------------------------------- */
tsr_node *tsr_relu(tsr_ctx *c, tsr_node *x);
tsr_node *tsr_gelu(tsr_ctx *c, tsr_node *x, bool tanh_form); /* x Phi(x); or its tanh approximation */
tsr_node *tsr_silu(tsr_ctx *c, tsr_node *x);
tsr_node *tsr_softplus(tsr_ctx *c, tsr_node *x);
tsr_node *tsr_leaky_relu(tsr_ctx *c, tsr_node *x, double slope);
tsr_node *tsr_elu(tsr_ctx *c, tsr_node *x, double alpha);
tsr_node *tsr_softmax(tsr_ctx *c, tsr_node *x, int axis);     /* a row of -inf gives NaN, as PyTorch's */
tsr_node *tsr_log_softmax(tsr_ctx *c, tsr_node *x, int axis);
tsr_node *tsr_logsumexp(tsr_ctx *c, tsr_node *x, int axis, bool keepdims); /* a row of -inf gives -inf */

/* ---- normalisation: composites. weight and bias may be NULL; statistics of f16 and bf16 are in f32 --------------- */
tsr_node *tsr_layer_norm(tsr_ctx *c, tsr_node *x, int naxes /* the last ones */, tsr_node *weight, tsr_node *bias,
    double eps);
tsr_node *tsr_rms_norm(tsr_ctx *c, tsr_node *x, tsr_node *weight, double eps);                       /* last axis */
/* (N, C, ...) */
tsr_node *tsr_group_norm(tsr_ctx *c, tsr_node *x, int64_t groups, tsr_node *weight, tsr_node *bias, double eps);
/* (N, C, ...) */
tsr_node *tsr_batch_norm(tsr_ctx *c, tsr_node *x, tsr_node *mean, tsr_node *var, tsr_node *weight, tsr_node *bias,
    double eps);
/* Normalises by the batch's own statistics; mean and var (biased), (C), come out for the running averages. */
tsr_node *tsr_batch_norm_train(tsr_ctx *c, tsr_node *x, tsr_node *weight, tsr_node *bias, double eps, tsr_node **mean,
    tsr_node **var);
/* zeroed with probability p, else scaled by 1 / (1 - p) */
tsr_node *tsr_dropout(tsr_ctx *c, tsr_node *x, tsr_node *key, double p);

/* ---- losses: composites ------------------------------------------------------------------------------------------ */
typedef enum tsr_loss { TSR_LOSS_MEAN, TSR_LOSS_SUM, TSR_LOSS_NONE } tsr_loss;
/* torch.nn.functional.cross_entropy: logits (N, C) or (N, C, d...), integer labels (N, d...).
 * Labels equal to ignore_index take no part (MEAN divides by the number of the others); pass
 * INT64_MIN for none. smoothing in [0, 1]. */
tsr_node *tsr_cross_entropy(tsr_ctx *c, tsr_node *logits, tsr_node *labels, double smoothing, int64_t ignore_index,
    tsr_loss how);
tsr_node *tsr_mse(tsr_ctx *c, tsr_node *x, tsr_node *target, tsr_loss how);
tsr_node *tsr_huber(tsr_ctx *c, tsr_node *x, tsr_node *target, double delta, tsr_loss how);
/* binary cross entropy with logits */
tsr_node *tsr_bce_logits(tsr_ctx *c, tsr_node *logits, tsr_node *target, tsr_loss how);

/* ---- attention and embeddings: composites ------------------------------------------------------------------------ */
/* out-of-range index: a row of zeros */
tsr_node *tsr_one_hot(tsr_ctx *c, tsr_node *index, int64_t classes, tsr_dtype t);
tsr_node *tsr_embedding(tsr_ctx *c, tsr_node *table, tsr_node *index);            /* (V, C), (...) -> (..., C) */
/* q (B, H, T, D), k (B, G, S, D), v (B, G, S, E), H a multiple of G (grouped heads) -> (B, H, T, E). Scores in f32. */
typedef struct tsr_attention_opts {
    double scale;   /* 0: 1 / sqrt(D) */
    double softcap; /* 0: none; else scores become softcap * tanh(scores / softcap) */
    bool causal;    /* query t sees keys s <= t + S - T (aligned at the end) */
    tsr_node *mask; /* NULL; bool (true: may look) or float (added); broadcast to (B, H, T, S) */
} tsr_attention_opts;
tsr_node *tsr_attention(tsr_ctx *c, tsr_node *q, tsr_node *k, tsr_node *v,
    const tsr_attention_opts *o /* may be NULL */);
/* Rotary positions (Su et al. 2021) on x (B, H, T, D): pairs (i, i + D/2), or (2i, 2i + 1) when interleaved, turned by
 * position * base^(-2i/D). position: integers (T) or (B, T). */
tsr_node *tsr_rope(tsr_ctx *c, tsr_node *x, tsr_node *position, double base, bool interleaved);

/* ---- convolution, pooling, resizing: composites; x (N, C, spatial...) ---------------------------------------------
 * Arrays have one entry a spatial axis; NULL: stride 1, padding 0, dilation 1. groups 0 is 1. */
tsr_node *tsr_conv(tsr_ctx *c, tsr_node *x, tsr_node *w /* (O, C/groups, k...) */, tsr_node *bias /* (O) or NULL */,
                   const int64_t *stride, const int64_t *padding, const int64_t *dilation, int64_t groups);
tsr_node *tsr_conv_transpose(tsr_ctx *c, tsr_node *x, tsr_node *w /* (C, O/groups, k...) */, tsr_node *bias,
                             const int64_t *stride, const int64_t *padding, const int64_t *output_padding,
                             const int64_t *dilation, int64_t groups);
/* stride NULL: the kernel. Padding counts as -inf for max. */
tsr_node *tsr_max_pool(tsr_ctx *c, tsr_node *x, const int64_t *kernel, const int64_t *stride, const int64_t *padding,
    bool ceil_mode);
tsr_node *tsr_avg_pool(tsr_ctx *c, tsr_node *x, const int64_t *kernel, const int64_t *stride, const int64_t *padding,
    bool ceil_mode, bool count_include_pad);
/* cell i averages [floor(i n/out), ceil((i+1) n/out)) */
tsr_node *tsr_adaptive_avg_pool(tsr_ctx *c, tsr_node *x, const int64_t *out);
tsr_node *tsr_adaptive_max_pool(tsr_ctx *c, tsr_node *x, const int64_t *out);
/* cubic: Keys, a = -0.75 */
typedef enum tsr_resize { TSR_RESIZE_NEAREST, TSR_RESIZE_LINEAR, TSR_RESIZE_CUBIC } tsr_resize;
typedef enum tsr_coords { TSR_COORDS_HALF_PIXEL, TSR_COORDS_ALIGN_CORNERS, TSR_COORDS_ASYMMETRIC } tsr_coords;
/* torch: nearest is ASYMMETRIC */
tsr_node *tsr_interpolate(tsr_ctx *c, tsr_node *x, const int64_t *size, tsr_resize how, tsr_coords coords);

/* ---- recurrent: composites over a scan ----------------------------------------------------------------------------
 * PyTorch's layout: x (T, B, I), h0 and c0 (B, H); w_ih (4H, I), w_hh (4H, H), biases (4H) or NULL, gates i f g o (gru:
 * 3H, gates r z n). y (T, B, H); last states (B, H). Output pointers may be NULL. */
tsr_node *tsr_lstm(tsr_ctx *c, tsr_node *x, tsr_node *h0, tsr_node *c0, tsr_node *w_ih, tsr_node *w_hh, tsr_node *b_ih,
    tsr_node *b_hh, tsr_node **h, tsr_node **cell);
tsr_node *tsr_gru(tsr_ctx *c, tsr_node *x, tsr_node *h0, tsr_node *w_ih, tsr_node *w_hh, tsr_node *b_ih,
    tsr_node *b_hh, tsr_node **h);

#ifdef __cplusplus
}
#endif
#endif
