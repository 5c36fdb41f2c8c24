/* prim.h: the primitives: exact, explicit, no broadcasting and no promotion (ops.h has the friendly builders).
 *
 * Semantics, names and corner cases follow the StableHLO specification (openxla.org/stablehlo/spec); where a function
 * here has a different name, its comment says which op it is. All return poison with an error recorded when operands or
 * attributes are wrong. Axis arguments are 0-based and non-negative. Arrays are read during the call only. */
#ifndef TESSERA_PRIM_H
#define TESSERA_PRIM_H

#include "tessera/graph.h"
#include "tessera/scalar.h"
#include "tessera/tile.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Elementwise: any function of scalar.h, operands of one type (select: p is bool of the same shape or a
 * scalar; clamp: lo and hi may be scalars). */
tsr_node *tsr_prim_elem(tsr_ctx *c, tsr_scalar fn, int n, tsr_node *const *x);
tsr_node *tsr_prim1(tsr_ctx *c, tsr_scalar fn, tsr_node *x);
tsr_node *tsr_prim2(tsr_ctx *c, tsr_scalar fn, tsr_node *x, tsr_node *y);
tsr_node *tsr_prim3(tsr_ctx *c, tsr_scalar fn, tsr_node *x, tsr_node *y, tsr_node *z);

/* Form. */
tsr_node *tsr_prim_convert(tsr_ctx *c, tsr_node *x, tsr_dtype t);
/* bitcast_convert: rank changes by one when widths differ */
tsr_node *tsr_prim_bitcast(tsr_ctx *c, tsr_node *x, tsr_dtype t);
tsr_node *tsr_prim_iota(tsr_ctx *c, const tsr_type *t, int axis);
/* broadcast_in_dim: source axis i becomes axis axes[i] (strictly increasing or not) of
 * type t; a source extent is t's, or 1. */
tsr_node *tsr_prim_broadcast(tsr_ctx *c, tsr_node *x, const tsr_type *t, const int64_t *axes);
tsr_node *tsr_prim_reshape(tsr_ctx *c, tsr_node *x, const tsr_type *t); /* same dtype, same number of elements */
tsr_node *tsr_prim_transpose(tsr_ctx *c, tsr_node *x, const int64_t *perm);
tsr_node *tsr_prim_slice(tsr_ctx *c, tsr_node *x, const tsr_extent *const *start, const tsr_extent *const *limit,
    const int64_t *stride);
tsr_node *tsr_prim_slice_ints(tsr_ctx *c, tsr_node *x, const int64_t *start, const int64_t *limit,
    const int64_t *stride /* NULL: 1 */);
tsr_node *tsr_prim_pad(tsr_ctx *c, tsr_node *x, tsr_node *value, const tsr_extent *const *low,
    const tsr_extent *const *high, const int64_t *interior);
tsr_node *tsr_prim_pad_ints(tsr_ctx *c, tsr_node *x, tsr_node *value, const int64_t *low, const int64_t *high,
    const int64_t *interior /* NULL: 0 */);
tsr_node *tsr_prim_concat(tsr_ctx *c, int n, tsr_node *const *x, int axis);
tsr_node *tsr_prim_reverse(tsr_ctx *c, tsr_node *x, int n, const int64_t *axes);

/* Data-dependent movement. Start indices are integer scalars, one for each axis of x; they are clamped. */
tsr_node *tsr_prim_dynamic_slice(tsr_ctx *c, tsr_node *x, tsr_node *const *start, const tsr_extent *const *sizes);
tsr_node *tsr_prim_dynamic_update_slice(tsr_ctx *c, tsr_node *x, tsr_node *update, tsr_node *const *start);
/* gather / scatter with StableHLO's dimension numbers. */
typedef struct tsr_gather_dims {
    int n_offset, n_collapsed, n_operand_batching, n_index_batching, n_map;
    /* scatter: update_window, inserted_window, input_batching, scatter_indices_batching, scatter_dims_to_operand */
    const int64_t *offset, *collapsed, *operand_batching, *index_batching, *map;
    int index_vector_axis;
    bool sorted, unique;
} tsr_gather_dims;
tsr_node *tsr_prim_gather(tsr_ctx *c, tsr_node *x, tsr_node *index, const tsr_gather_dims *d,
    const tsr_extent *const *slice_sizes);
/* How an update meets what is there. Updates apply in row-major order of the update tensor;
 * out-of-range windows are skipped whole. */
typedef enum tsr_scatter {
    TSR_SCATTER_SET, TSR_SCATTER_ADD, TSR_SCATTER_MUL, TSR_SCATTER_MIN, TSR_SCATTER_MAX,
} tsr_scatter;
tsr_node *tsr_prim_scatter(tsr_ctx *c, tsr_node *x, tsr_node *index, tsr_node *update, const tsr_gather_dims *d,
    tsr_scatter how);

/* Reductions over axes (removed from the result). An empty axis gives the identity (max
 * of floats: -inf, of ints: least). */
tsr_node *tsr_prim_reduce(tsr_ctx *c, tsr_node *x, tsr_reduce op, int n, const int64_t *axes);
/* ties: least index; NaN wins */
tsr_node *tsr_prim_argreduce(tsr_ctx *c, tsr_node *x, tsr_reduce max_or_min, int axis, tsr_dtype index_type);
tsr_node *tsr_prim_cumulate(tsr_ctx *c, tsr_node *x, tsr_reduce op, int axis, bool reverse); /* inclusive */
/* Windows: arrays of x's rank, NULL for ones (padding: zeros). */
typedef struct tsr_window {
    const int64_t *extent, *stride, *base_dilation, *dilation, *pad_low, *pad_high;
} tsr_window;
/* padding is the identity */
tsr_node *tsr_prim_reduce_window(tsr_ctx *c, tsr_node *x, tsr_reduce op, const tsr_window *w);
/* Adds each element of src to the position of x that its window selects (pick max: first
 * greatest, or min). No dilations. */
tsr_node *tsr_prim_select_and_scatter(tsr_ctx *c, tsr_node *x, tsr_node *src, tsr_reduce pick, const tsr_window *w);

/* Contractions. Result axes: batch, left free, right free. accumulate: dtype of sums and
 * result (convert after as needed). */
typedef struct tsr_dot_dims {
    int n_batch, n_contract;
    const int64_t *lhs_batch, *rhs_batch, *lhs_contract, *rhs_contract;
} tsr_dot_dims;
/* a or b may be a block-quantised 2-D weight (f32 result) */
tsr_node *tsr_prim_dot(tsr_ctx *c, tsr_node *a, tsr_node *b, const tsr_dot_dims *d, tsr_dtype result);
typedef struct tsr_conv_dims {
    int spatial;                                  /* number of spatial axes, 0..3 (any up to rank - 2) */
    /* (2 + spatial): batch/output feature, feature/input feature, spatial... NULL: NC..., OI..., NC... */
    const int64_t *lhs_spec, *rhs_spec, *out_spec;
    /* (spatial); NULL: 1, 0, 0, 1, 1, 0 */
    const int64_t *stride, *pad_low, *pad_high, *lhs_dilation, *rhs_dilation, *reverse;
    int64_t feature_groups, batch_groups;          /* 0 means 1 */
} tsr_conv_dims;
tsr_node *tsr_prim_conv(tsr_ctx *c, tsr_node *x, tsr_node *w, const tsr_conv_dims *d, tsr_dtype result);

/* Library kernels. */
/* Sorts n operands of one shape along axis by the first `keys` of them, lexicographically. Floats: -0 = +0, every NaN
 * equal and above +inf; descending is the exact reverse. sort_total: IEEE's -NaN < -inf < ... < -0 < +0 < ... < inf <
 * NaN. Equal keys keep their order, whether `stable` asks for it or not. Tuple of n results. */
tsr_node *tsr_prim_sort(tsr_ctx *c, int n, tsr_node *const *x, int axis, int keys, bool descending, bool stable);
tsr_node *tsr_prim_sort_total(tsr_ctx *c, int n, tsr_node *const *x, int axis, int keys, bool descending, bool stable);
/* last axis; tuple (values, i32 indices); ties: least index */
tsr_node *tsr_prim_top_k(tsr_ctx *c, tsr_node *x, int64_t k);
typedef enum tsr_rng { TSR_RNG_THREEFRY, TSR_RNG_PHILOX } tsr_rng;
/* rng_bit_generator: state u64[2] (threefry: key, counter; philox: u64[2] or u64[3]);
 * tuple (new state, bits of type t, unsigned). */
tsr_node *tsr_prim_rng_bits(tsr_ctx *c, tsr_rng how, tsr_node *state, const tsr_type *t);
typedef enum tsr_fft { TSR_FFT, TSR_IFFT, TSR_RFFT, TSR_IRFFT } tsr_fft;
tsr_node *tsr_prim_fft(tsr_ctx *c, tsr_node *x, tsr_fft how, int n, const int64_t *lengths); /* last n axes */
tsr_node *tsr_prim_cholesky(tsr_ctx *c, tsr_node *a, bool lower);
typedef enum tsr_solve_op { TSR_SOLVE_PLAIN, TSR_SOLVE_TRANSPOSE, TSR_SOLVE_ADJOINT } tsr_solve_op;
tsr_node *tsr_prim_triangular_solve(tsr_ctx *c, tsr_node *a, tsr_node *b, bool left, bool lower, bool unit,
    tsr_solve_op op);
tsr_node *tsr_prim_qr(tsr_ctx *c, tsr_node *a);   /* (..., M, N): tuple (q (..., M, K), r (..., K, N)), K = min(M, N) */
tsr_node *tsr_prim_svd(tsr_ctx *c, tsr_node *a);  /* tuple (u (..., M, K), s (..., K) descending, vt (..., K, N)) */
/* tuple (w (..., N) ascending, v (..., N, N) columns) of the lower triangle */
tsr_node *tsr_prim_eigh(tsr_ctx *c, tsr_node *a);

/* Control flow; bodies are fns whose captures are passed along (they may not assign variables). while: cond: carry ->
 * bool; body: carry -> carry. trips: an upper bound of turns (0: none), needed for a gradient. Tuple. */
tsr_node *tsr_prim_while(tsr_ctx *c, tsr_fn *cond, tsr_fn *body, int n, tsr_node *const *init, int64_t trips);
/* case: branch[clamp(index)](args); an out-of-range index takes the last branch. pred: bool
 * picks branch 1 when true, 0 else. Tuple. */
tsr_node *tsr_prim_cond(tsr_ctx *c, tsr_node *index, int branches, tsr_fn *const *branch, int n, tsr_node *const *arg);
/* scan: body: (carry..., x slices...) -> (carry..., y slices...). xs have the scanned axis in front, extent = trips.
 * Tuple (final carry..., stacked ys...). */
tsr_node *tsr_prim_scan(tsr_ctx *c, tsr_fn *body, int ncarry, tsr_node *const *carry, int nxs, tsr_node *const *xs,
    const tsr_extent *trips, bool reverse);

tsr_node *tsr_stop_gradient(tsr_ctx *c, tsr_node *x);
tsr_node *tsr_prim_barrier(tsr_ctx *c, int n, tsr_node *const *x); /* optimization_barrier; tuple */
/* The user's tile program: its buffer arguments are, in order, the operands (IN) and the results (OUT, of the types
 * given); its scalar arguments are the extents passed. Tuple when nout > 1. */
tsr_node *tsr_prim_kernel(tsr_ctx *c, tsr_tile *p, const tsr_extent *const grid[3], int n, tsr_node *const *x,
    int nscalar, const tsr_extent *const *scalar, int nout, const tsr_type *const *out);
/* A function of the host; must be pure. Data as tsr_from takes it; non-zero return fails
 * the run. Tuple when nout > 1. */
typedef int tsr_host_callback(void *user, int nin, const void *const *in, int nout, void *const *out);
tsr_node *tsr_prim_host_call(tsr_ctx *c, const char *name, tsr_host_callback *fn, void *user, int n,
    tsr_node *const *x, int nout, const tsr_type *const *out);

/* ---- communication ----
 * Participants form a grid of replicas x partitions (mesh.h; a context without a mesh is a grid of one). A collective
 * is met by every member of a group: each asks for the same, at the same place in the order of its program. Values are
 * combined in the order of the group, so all members get the same bits. Within a fn, nodes that communicate run in the
 * order in which they were built; they are never merged, and one that leads to no result is not there: every
 * participant's fn must agree on that. */
/* What ids name, and who meets (StableHLO's process groups): replicas, for each partition apart; partitions, for each
 * replica apart; replicas, with all their partitions; or participants, replica * partitions + partition. */
typedef enum tsr_group_mode {
    TSR_CROSS_REPLICA, TSR_CROSS_PARTITION, TSR_CROSS_REPLICA_AND_PARTITION, TSR_FLATTENED_IDS
} tsr_group_mode;
typedef struct tsr_groups {
    tsr_group_mode mode;
    int64_t channel;   /* participants of one channel meet; 0 where one program order says enough */
    int n, size;       /* n groups of size ids; n 0: one group of everybody that the mode knows */
    const int64_t *id; /* (n, size); -1: the group is shorter */
    /* Participants in a group, which decides shapes: 0 where it follows from the ids (n > 0, no -1, and not
     * TSR_CROSS_REPLICA_AND_PARTITION). Checked when the fn runs. */
    int members;
} tsr_groups;
/* g NULL: all replicas, one group. u32 scalars: */
tsr_node *tsr_prim_partition_id(tsr_ctx *c);
tsr_node *tsr_prim_replica_id(tsr_ctx *c);
tsr_node *tsr_prim_all_reduce(tsr_ctx *c, tsr_node *x, tsr_reduce op, const tsr_groups *g);
tsr_node *tsr_prim_all_gather(tsr_ctx *c, tsr_node *x, int axis, const tsr_groups *g); /* needs the members */
tsr_node *tsr_prim_reduce_scatter(tsr_ctx *c, tsr_node *x, tsr_reduce op, int axis, const tsr_groups *g); /* too */
tsr_node *tsr_prim_all_to_all(tsr_ctx *c, tsr_node *x, int split_axis, int concat_axis, const tsr_groups *g); /* too */
/* From the group's first member, or from member `root` (an integer scalar; NULL: the first). Zeros outside every
 * group. collective_reduce: the reduction at the root, zeros elsewhere. */
tsr_node *tsr_prim_collective_broadcast(tsr_ctx *c, tsr_node *x, tsr_node *root, const tsr_groups *g);
tsr_node *tsr_prim_collective_reduce(tsr_ctx *c, tsr_node *x, tsr_node *root, tsr_reduce op, const tsr_groups *g);
/* pairs: (npairs, 2) source, target. Zeros where no pair sends. */
tsr_node *tsr_prim_collective_permute(tsr_ctx *c, tsr_node *x, tsr_group_mode mode, int npairs, const int64_t *pairs);

/* Effects. Each takes a token and gives one (a bool scalar whose value means nothing): what must happen before takes
 * part in what happens after, and an effect takes place when its token leads to a result. send never waits; recv waits
 * for the oldest value of the channel that is meant for it. Without pairs whoever receives from the channel gets it;
 * with pairs, who is no source sends nothing and who is no target receives zeros. infeed takes the host's next values,
 * outfeed hands some to it (mesh.h). No gradients, no batching. */
typedef struct tsr_channel {
    int64_t id;
    tsr_group_mode mode; /* of the ids in pairs */
    int npairs;
    const int64_t *pairs; /* (npairs, 2) source, target */
} tsr_channel;
tsr_node *tsr_prim_token(tsr_ctx *c);                                     /* create_token: the beginning */
tsr_node *tsr_prim_after_all(tsr_ctx *c, int n, tsr_node *const *token);  /* after all of them */
tsr_node *tsr_prim_send(tsr_ctx *c, int n, tsr_node *const *x, tsr_node *token, const tsr_channel *to); /* a token */
/* tuple (values of these types..., token) */
tsr_node *tsr_prim_recv(tsr_ctx *c, tsr_node *token, const tsr_channel *from, int n, const tsr_type *const *t);
tsr_node *tsr_prim_infeed(tsr_ctx *c, tsr_node *token, int n, const tsr_type *const *t);
tsr_node *tsr_prim_outfeed(tsr_ctx *c, int n, tsr_node *const *x, tsr_node *token); /* a token */

#ifdef __cplusplus
}
#endif
#endif
