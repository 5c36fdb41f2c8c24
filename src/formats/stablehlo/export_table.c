/* export_table.c: which handler exports which op: the one list, beside the elementwise ops, which are all
 * exp_elementwise's. An op without a line has no counterpart: the walk says so. */
#include "formats/stablehlo/export.h"
#include "formats/stablehlo/export_call.h"

#define LIST(X)                                                                                                      \
    X(CONST, exp_const) X(ITEM, exp_tuple_item) X(CALL, exp_call) X(STOP_GRADIENT, exp_own_composite)                \
    X(BARRIER, exp_barrier) X(CONVERT, exp_converted) X(BITCAST, exp_bitcast) X(IOTA, exp_iota)                      \
    X(BROADCAST, exp_broadcasted) X(RESHAPE, exp_reshaped) X(TRANSPOSE, exp_transpose) X(SLICE, exp_slice)           \
    X(PAD, exp_pad) X(CONCAT, exp_concat) X(REVERSE, exp_reverse) X(DYNAMIC_SLICE, exp_dynamic_slice)                \
    X(DYNAMIC_UPDATE_SLICE, exp_dynamic_update_slice) X(GATHER, exp_gather) X(SCATTER, exp_scatter)                  \
    X(REDUCE, exp_reduce) X(ARGREDUCE, exp_argreduce) X(CUMULATE, exp_cumulate)                                      \
    X(REDUCE_WINDOW, exp_reduce_window) X(SELECT_AND_SCATTER, exp_select_and_scatter) X(DOT, exp_dot)                \
    X(CONV, exp_conv) X(SORT, exp_sort) X(TOP_K, exp_top_k) X(RNG_BITS, exp_rng_bits) X(FFT, exp_fft)                \
    X(CHOLESKY, exp_cholesky) X(TRIANGULAR_SOLVE, exp_triangular_solve) X(QR, exp_own_call) X(SVD, exp_own_call)     \
    X(EIGH, exp_own_call) X(WHILE, exp_while) X(COND, exp_cond) X(SCAN, exp_scan) X(HOST_CALL, exp_own_call)         \
    X(KERNEL, exp_own_call) X(PARTITION_ID, exp_participant) X(REPLICA_ID, exp_participant)                          \
    X(ALL_REDUCE, exp_all_reduce) X(ALL_GATHER, exp_all_gather) X(REDUCE_SCATTER, exp_reduce_scatter)                \
    X(ALL_TO_ALL, exp_all_to_all) X(COLLECTIVE_PERMUTE, exp_collective_permute)                                      \
    X(COLLECTIVE_BROADCAST, exp_collective_broadcast) X(COLLECTIVE_REDUCE, exp_collective_reduce) X(SEND, exp_send)  \
    X(RECV, exp_recv) X(INFEED, exp_infeed) X(OUTFEED, exp_outfeed)

#define X(op, handler) exp_handler handler;
LIST(X)
#undef X
exp_handler exp_elementwise;

static exp_handler *const table[TSR_OP_COUNT] = {
#define X(op, handler) [TSR_OP_##op] = handler,
    LIST(X)
#undef X
};

exp_handler *exp_handler_of(enum tsr_op op) { return op_is_elem(op) ? exp_elementwise : table[op]; }
