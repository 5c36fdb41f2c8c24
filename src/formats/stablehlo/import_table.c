/* import_table.c: which handler builds which operation: the one list.
 *
 * One macro a file import_*.c, X(OPCODE, handler, lifts). lifts says that the handler is elementwise: it serves a
 * region of scalars that is built in place on whole tensors (imp_region_inline). An operation without a line cannot be
 * imported: imp_op says so at its position. */
#include "formats/stablehlo/import.h"

#define LIST_ELEM(X)                                                                                                 \
    X(ABS, imp_elem, 1) X(ADD, imp_elem, 1) X(AND, imp_elem, 1) X(ATAN2, imp_elem, 1) X(CBRT, imp_elem, 1)            \
    X(CEIL, imp_elem, 1) X(COMPLEX, imp_elem, 1) X(COSINE, imp_elem, 1) X(COUNT_LEADING_ZEROS, imp_elem, 1)          \
    X(DIVIDE, imp_elem, 1) X(EXPONENTIAL, imp_elem, 1) X(EXPONENTIAL_MINUS_ONE, imp_elem, 1) X(FLOOR, imp_elem, 1)   \
    X(IMAG, imp_elem, 1) X(IS_FINITE, imp_elem, 1) X(LOG, imp_elem, 1) X(LOGISTIC, imp_elem, 1)                      \
    X(LOG_PLUS_ONE, imp_elem, 1) X(MAXIMUM, imp_elem, 1) X(MINIMUM, imp_elem, 1) X(MULTIPLY, imp_elem, 1)            \
    X(NEGATE, imp_elem, 1) X(NOT, imp_elem, 1) X(OR, imp_elem, 1) X(POPCNT, imp_elem, 1) X(POWER, imp_elem, 1)       \
    X(REAL, imp_elem, 1) X(REMAINDER, imp_elem, 1) X(ROUND_NEAREST_AFZ, imp_elem, 1)                                 \
    X(ROUND_NEAREST_EVEN, imp_elem, 1) X(RSQRT, imp_elem, 1) X(SHIFT_LEFT, imp_elem, 1)                              \
    X(SHIFT_RIGHT_ARITHMETIC, imp_elem, 1) X(SHIFT_RIGHT_LOGICAL, imp_elem, 1) X(SIGN, imp_elem, 1)                  \
    X(SINE, imp_elem, 1) X(SQRT, imp_elem, 1) X(SUBTRACT, imp_elem, 1) X(TAN, imp_elem, 1) X(TANH, imp_elem, 1)      \
    X(XOR, imp_elem, 1) X(SELECT, imp_elem, 1) X(CLAMP, imp_elem, 1) X(COMPARE, imp_compare, 1)                      \
    X(CONVERT, imp_convert, 1) X(REDUCE_PRECISION, imp_reduce_precision, 1)                                          \
    X(BITCAST_CONVERT, imp_bitcast_convert, 1)
#define LIST_FORM(X)                                                                                                 \
    X(CONSTANT, imp_constant, 1) X(IOTA, imp_iota, 0) X(RESHAPE, imp_reshape, 0)                                     \
    X(BROADCAST_IN_DIM, imp_broadcast_in_dim, 0) X(BROADCAST, imp_broadcast, 0) X(TRANSPOSE, imp_transpose, 0)       \
    X(SLICE, imp_slice, 0) X(PAD, imp_pad, 0) X(CONCATENATE, imp_concatenate, 0) X(REVERSE, imp_reverse, 0)          \
    X(DYNAMIC_SLICE, imp_dynamic_slice, 0) X(DYNAMIC_UPDATE_SLICE, imp_dynamic_update_slice, 0)                      \
    X(TUPLE, imp_tuple, 0) X(GET_TUPLE_ELEMENT, imp_get_tuple_element, 0)                                            \
    X(OPTIMIZATION_BARRIER, imp_optimization_barrier, 0)\
    X(GET_DIMENSION_SIZE, imp_get_dimension_size, 0)
#define LIST_CONTROL(X)                                                                                              \
    X(CALL, imp_func_call, 0) X(COMPOSITE, imp_composite, 0) X(WHILE, imp_while, 0) X(CASE, imp_case, 0)             \
    X(IF, imp_if, 0)
#define LIST_CHECK(X)                                                                                                \
    X(CHECK_EQ, imp_check, 0) X(CHECK_EQ_CONST, imp_check, 0) X(CHECK_ALMOST_EQ, imp_check, 0)                       \
    X(CHECK_ALMOST_EQ_CONST, imp_check, 0) X(CHECK_CLOSE, imp_check, 0)                                              \
    X(CHECK_SERIALIZED_EQ, imp_check_serialized, 0) X(PROBE, imp_probe_op, 0) X(PRINT, imp_print, 0)
#define LIST_REDUCE(X)                                                                                               \
    X(REDUCE, imp_reduce, 0) X(REDUCE_WINDOW, imp_reduce_window, 0) X(SELECT_AND_SCATTER, imp_select_and_scatter, 0)  \
    X(MAP, imp_map, 0)
#define LIST_SCATTER(X) X(SCATTER, imp_scatter, 0)
#define LIST_SORT(X) X(SORT, imp_sort, 0)
#define LIST_CONTRACT(X)                                                                                             \
    X(DOT_GENERAL, imp_dot_general, 0) X(DOT, imp_dot, 0) X(CONVOLUTION, imp_convolution, 0)                         \
    X(EINSUM, imp_einsum, 0) X(UNARY_EINSUM, imp_unary_einsum, 0) X(GATHER, imp_gather, 0)                           \
    X(TORCH_INDEX_SELECT, imp_torch_index_select, 0) X(CHOLESKY, imp_cholesky, 0)                                    \
    X(TRIANGULAR_SOLVE, imp_triangular_solve, 0) X(FFT, imp_fft, 0) X(RNG, imp_rng, 0)                               \
    X(RNG_BIT_GENERATOR, imp_rng_bit_generator, 0) X(BATCH_NORM_INFERENCE, imp_batch_norm_inference, 0)              \
    X(BATCH_NORM_TRAINING, imp_batch_norm_training, 0) X(BATCH_NORM_GRAD, imp_batch_norm_grad, 0)
#define LIST_CHLO(X)                                                                                                 \
    X(CHLO_ACOS, imp_chlo_elem, 1) X(CHLO_ACOSH, imp_chlo_elem, 1) X(CHLO_ASIN, imp_chlo_elem, 1)                    \
    X(CHLO_ASIN_ACOS_KERNEL, imp_chlo_elem, 1) X(CHLO_ASINH, imp_chlo_elem, 1) X(CHLO_ATAN, imp_chlo_elem, 1)        \
    X(CHLO_ATANH, imp_chlo_elem, 1) X(CHLO_BESSEL_I1E, imp_chlo_elem, 1) X(CHLO_CONJ, imp_chlo_elem, 1)              \
    X(CHLO_COSH, imp_chlo_elem, 1) X(CHLO_DIGAMMA, imp_chlo_elem, 1) X(CHLO_ERF, imp_chlo_elem, 1)                   \
    X(CHLO_ERF_INV, imp_chlo_elem, 1) X(CHLO_ERFC, imp_chlo_elem, 1) X(CHLO_IS_INF, imp_chlo_elem, 1)                \
    X(CHLO_IS_NEG_INF, imp_chlo_elem, 1) X(CHLO_IS_POS_INF, imp_chlo_elem, 1) X(CHLO_LGAMMA, imp_chlo_elem, 1)       \
    X(CHLO_MULHI, imp_chlo_elem, 1) X(CHLO_NEXT_AFTER, imp_chlo_elem, 1) X(CHLO_POLYGAMMA, imp_chlo_elem, 1)         \
    X(CHLO_SINH, imp_chlo_elem, 1) X(CHLO_SQUARE, imp_chlo_elem, 1) X(CHLO_TAN, imp_chlo_elem, 1)                    \
    X(CHLO_ZETA, imp_chlo_elem, 1) X(CHLO_BROADCAST_ADD, imp_chlo_broadcast, 0)                                      \
    X(CHLO_BROADCAST_AND, imp_chlo_broadcast, 0) X(CHLO_BROADCAST_ATAN2, imp_chlo_broadcast, 0)                      \
    X(CHLO_BROADCAST_COMPLEX, imp_chlo_broadcast, 0) X(CHLO_BROADCAST_DIVIDE, imp_chlo_broadcast, 0)                 \
    X(CHLO_BROADCAST_MAXIMUM, imp_chlo_broadcast, 0) X(CHLO_BROADCAST_MINIMUM, imp_chlo_broadcast, 0)                \
    X(CHLO_BROADCAST_MULTIPLY, imp_chlo_broadcast, 0) X(CHLO_BROADCAST_NEXT_AFTER, imp_chlo_broadcast, 0)            \
    X(CHLO_BROADCAST_OR, imp_chlo_broadcast, 0) X(CHLO_BROADCAST_POLYGAMMA, imp_chlo_broadcast, 0)                   \
    X(CHLO_BROADCAST_POWER, imp_chlo_broadcast, 0) X(CHLO_BROADCAST_REMAINDER, imp_chlo_broadcast, 0)                \
    X(CHLO_BROADCAST_SHIFT_LEFT, imp_chlo_broadcast, 0)                                                              \
    X(CHLO_BROADCAST_SHIFT_RIGHT_ARITHMETIC, imp_chlo_broadcast, 0)                                                  \
    X(CHLO_BROADCAST_SHIFT_RIGHT_LOGICAL, imp_chlo_broadcast, 0) X(CHLO_BROADCAST_SUBTRACT, imp_chlo_broadcast, 0)   \
    X(CHLO_BROADCAST_XOR, imp_chlo_broadcast, 0) X(CHLO_BROADCAST_ZETA, imp_chlo_broadcast, 0)                       \
    X(CHLO_BROADCAST_COMPARE, imp_chlo_broadcast_compare, 0)                                                         \
    X(CHLO_BROADCAST_SELECT, imp_chlo_broadcast_select, 0) X(CHLO_CONSTANT, imp_chlo_constant, 1)                    \
    X(CHLO_CONSTANT_LIKE, imp_chlo_constant_like, 1) X(CHLO_TOP_K, imp_chlo_top_k, 0)                                \
    X(CHLO_SCAN, imp_chlo_scan, 0) X(CHLO_RAGGED_DOT, imp_chlo_ragged_dot, 0) X(CUSTOM_CALL, imp_custom_call, 0)
#define LIST_SHAPE(X)                                                                                                \
    X(DYNAMIC_BROADCAST_IN_DIM, imp_dynamic_broadcast_in_dim, 0) X(DYNAMIC_RESHAPE, imp_dynamic_reshape, 0)          \
    X(CHLO_DYNAMIC_RESHAPE, imp_dynamic_reshape, 0) X(DYNAMIC_IOTA, imp_dynamic_iota, 0)                             \
    X(DYNAMIC_PAD, imp_dynamic_pad, 0) X(REAL_DYNAMIC_SLICE, imp_real_dynamic_slice, 0)                              \
    X(SET_DIMENSION_SIZE, imp_set_dimension_size, 0) X(DYNAMIC_GATHER, imp_dynamic_gather, 0)                        \
    X(DYNAMIC_CONV, imp_dynamic_conv, 0)
#define LIST_QUANT(X) X(UNIFORM_QUANTIZE, imp_uniform, 1) X(UNIFORM_DEQUANTIZE, imp_uniform, 1)
#define LIST_MESH(X)                                                                                                 \
    X(PARTITION_ID, imp_partition_id, 0) X(REPLICA_ID, imp_replica_id, 0) X(ALL_GATHER, imp_all_gather, 0)           \
    X(ALL_REDUCE, imp_all_reduce, 0) X(ALL_TO_ALL, imp_all_to_all, 0) X(REDUCE_SCATTER, imp_reduce_scatter, 0)       \
    X(COLLECTIVE_PERMUTE, imp_collective_permute, 0) X(COLLECTIVE_BROADCAST, imp_collective_broadcast, 0)            \
    X(COLLECTIVE_REDUCE, imp_collective_reduce, 0) X(CROSS_REPLICA_SUM, imp_cross_replica_sum, 0)                    \
    X(ASYNC_START, imp_async_start, 0) X(ASYNC_DONE, imp_async_done, 0) X(AFTER_ALL, imp_token, 0)                   \
    X(CREATE_TOKEN, imp_token, 0) X(SEND, imp_send, 0) X(RECV, imp_recv, 0) X(INFEED, imp_infeed, 0)                 \
    X(OUTFEED, imp_outfeed, 0) X(RUN_PARALLEL, imp_run_parallel, 0)
#define LIST_ALL(X)                                                                                                  \
    LIST_ELEM(X) LIST_FORM(X) LIST_CONTROL(X) LIST_CHECK(X) LIST_REDUCE(X) LIST_SCATTER(X) LIST_SORT(X)              \
    LIST_CONTRACT(X) LIST_CHLO(X) LIST_SHAPE(X) LIST_QUANT(X) LIST_MESH(X)

#define X(code, handler, lifts) imp_handler handler;
LIST_ALL(X)
#undef X

static const struct import_entry { imp_handler *build; bool lifts; } table[HLO_OPCODE_COUNT] = {
#define X(code, handler, lifts) [HLO_OP_##code] = {handler, lifts},
    LIST_ALL(X)
#undef X
};

imp_handler *imp_handler_of(enum hlo_opcode code) { return table[code].build; }
bool imp_lifts(enum hlo_opcode code) { return table[code].lifts; }
