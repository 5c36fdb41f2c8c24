/* dtype_block.h: reading and writing of the block-quantised types; the table of dtype.c is filled from this list.
 *
 * X(NAME, dequant, quant): functions as in tsr_dtype_info; a NULL quant is a type that is only read. */
#ifndef GRAPH_DTYPE_BLOCK_H
#define GRAPH_DTYPE_BLOCK_H

#include <stddef.h>

#define BLOCK_CODEC_LIST(X)                          \
    X(Q8_0, block_q8_0_dequant, block_q8_0_quant)    \
    X(Q4_0, block_q4_0_dequant, block_q4_0_quant)    \
    X(Q4_1, block_q4_1_dequant, NULL)                \
    X(Q5_0, block_q5_0_dequant, NULL)                \
    X(Q5_1, block_q5_1_dequant, NULL)                \
    X(Q2_K, block_q2_k_dequant, NULL)                \
    X(Q3_K, block_q3_k_dequant, NULL)                \
    X(Q4_K, block_q4_k_dequant, NULL)                \
    X(Q5_K, block_q5_k_dequant, NULL)                \
    X(Q6_K, block_q6_k_dequant, NULL)                \
    X(MXFP4, block_mxfp4_dequant, NULL)              \
    X(NVFP4, block_nvfp4_dequant, NULL)

#define X(name, dequant, quant) void dequant(size_t blocks, const void *src, float *dst);
BLOCK_CODEC_LIST(X)
#undef X
void block_q8_0_quant(size_t blocks, const float *src, void *dst);
void block_q4_0_quant(size_t blocks, const float *src, void *dst);

#endif
