/* dtype.h: element types, their sizes, and exact conversions.
 *
 * One list, TSR_DTYPE_LIST(X): X(NAME, "text", KIND, bits, block, bytes, full name)
 *   bits   of one element as stored (a block type states the average, rounded up);
 *   block  elements that are stored together (1 for ordinary types; 2 for i4/u4, two to a byte, low nibble first);
 *   bytes  of one such block.
 * bool is one byte, 0 or 1. Complex numbers are (re, im) pairs. f8e4m3fn and f8e5m2 follow the OCP 8-bit floating point
 * specification (e4m3fn: no infinities, S.1111.111 is NaN; conversions of too-large values give NaN as in StableHLO).
 * Block types hold quantised weights: the GGUF families, MXFP4 and NVFP4. They may be constants, parameters and
 * variables, are read by dequantising (to f32), and take no part in arithmetic. */
#ifndef TESSERA_DTYPE_H
#define TESSERA_DTYPE_H

#include "tessera/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define TSR_DTYPE_LIST(X)                                                \
    X(F64,    "f64",      FLOAT,   64,   1,   8, "IEEE 754 binary64")    \
    X(F32,    "f32",      FLOAT,   32,   1,   4, "IEEE 754 binary32")    \
    X(F16,    "f16",      FLOAT,   16,   1,   2, "IEEE 754 binary16")    \
    X(BF16,   "bf16",     FLOAT,   16,   1,   2, "bfloat16")             \
    X(F8E4M3, "f8e4m3fn", FLOAT,    8,   1,   1, "OCP E4M3, finite")     \
    X(F8E5M2, "f8e5m2",   FLOAT,    8,   1,   1, "OCP E5M2")             \
    X(I64,    "i64",      INT,     64,   1,   8, "signed 64-bit")        \
    X(I32,    "i32",      INT,     32,   1,   4, "signed 32-bit")        \
    X(I16,    "i16",      INT,     16,   1,   2, "signed 16-bit")        \
    X(I8,     "i8",       INT,      8,   1,   1, "signed 8-bit")         \
    X(I4,     "i4",       INT,      4,   2,   1, "signed 4-bit")         \
    X(U64,    "u64",      UINT,    64,   1,   8, "unsigned 64-bit")      \
    X(U32,    "u32",      UINT,    32,   1,   4, "unsigned 32-bit")      \
    X(U16,    "u16",      UINT,    16,   1,   2, "unsigned 16-bit")      \
    X(U8,     "u8",       UINT,     8,   1,   1, "unsigned 8-bit")       \
    X(U4,     "u4",       UINT,     4,   2,   1, "unsigned 4-bit")       \
    X(BOOL,   "bool",     BOOL,     8,   1,   1, "truth value")          \
    X(C64,    "c64",      COMPLEX, 64,   1,   8, "pair of f32")          \
    X(C128,   "c128",     COMPLEX, 128,  1,  16, "pair of f64")          \
    X(Q8_0,   "q8_0",     BLOCK,    9,  32,  34, "GGUF Q8_0: f16 scale, 32 x i8")                       \
    X(Q4_0,   "q4_0",     BLOCK,    5,  32,  18, "GGUF Q4_0: f16 scale, 32 x 4 bits, offset 8")         \
    X(Q4_1,   "q4_1",     BLOCK,    5,  32,  20, "GGUF Q4_1: f16 scale and minimum, 32 x 4 bits")       \
    X(Q5_0,   "q5_0",     BLOCK,    6,  32,  22, "GGUF Q5_0: f16 scale, 32 x 5 bits, offset 16")        \
    X(Q5_1,   "q5_1",     BLOCK,    6,  32,  24, "GGUF Q5_1: f16 scale and minimum, 32 x 5 bits")       \
    X(Q2_K,   "q2_k",     BLOCK,    3, 256,  84, "GGUF Q2_K super-block")                               \
    X(Q3_K,   "q3_k",     BLOCK,    4, 256, 110, "GGUF Q3_K super-block")                               \
    X(Q4_K,   "q4_k",     BLOCK,    5, 256, 144, "GGUF Q4_K super-block")                               \
    X(Q5_K,   "q5_k",     BLOCK,    6, 256, 176, "GGUF Q5_K super-block")                               \
    X(Q6_K,   "q6_k",     BLOCK,    7, 256, 210, "GGUF Q6_K super-block")                               \
    X(MXFP4,  "mxfp4",    BLOCK,    5,  32,  17, "OCP MX: E8M0 scale, 32 x E2M1")                       \
    X(NVFP4,  "nvfp4",    BLOCK,    5,  16,   9, "E4M3 scale, 16 x E2M1")
/* clang-format on */

typedef enum tsr_dtype {
#define X(name, text, kind, bits, block, bytes, full) TSR_##name,
    TSR_DTYPE_LIST(X)
#undef X
        TSR_DTYPE_COUNT
} tsr_dtype;

typedef enum tsr_kind {
    TSR_KIND_FLOAT, TSR_KIND_INT, TSR_KIND_UINT, TSR_KIND_BOOL, TSR_KIND_COMPLEX, TSR_KIND_BLOCK,
} tsr_kind;

/* Facts of one dtype. dequant is set for block types that can be read: it turns `blocks` stored blocks into
 * blocks * block f32 values; quant (may be NULL) is its inverse, round to nearest. */
typedef struct tsr_dtype_info {
    const char *name, *full;
    tsr_kind kind;
    int bits, block, bytes;
    void (*dequant)(size_t blocks, const void *src, float *dst);
    void (*quant)(size_t blocks, const float *src, void *dst);
} tsr_dtype_info;
const tsr_dtype_info *tsr_dtype_of(tsr_dtype t);
const char *tsr_dtype_name(tsr_dtype t);                       /* "f32" */
bool tsr_dtype_parse(const char *name, tsr_dtype *out);        /* false: no such dtype */
/* Bytes of count elements; false: overflow, negative, or count is not a multiple of a block type's block length (i4 and
 * u4 round up). */
bool tsr_dtype_bytes(tsr_dtype t, int64_t count, size_t *out);

/* Scalar conversions, round to nearest even; NaN stays NaN with its sign (narrowing makes it quiet).
 * Overflow gives infinity, or NaN for e4m3fn. */
float tsr_f16_to_f32(uint16_t h);
uint16_t tsr_f32_to_f16(float f);
float tsr_bf16_to_f32(uint16_t h);
uint16_t tsr_f32_to_bf16(float f);
float tsr_f8e4m3_to_f32(uint8_t b);
uint8_t tsr_f32_to_f8e4m3(float f);
float tsr_f8e5m2_to_f32(uint8_t b);
uint8_t tsr_f32_to_f8e5m2(float f);
/* From f64 in one rounding (not through f32). */
uint16_t tsr_f64_to_f16(double d);
uint16_t tsr_f64_to_bf16(double d);
uint8_t tsr_f64_to_f8e4m3(double d);
uint8_t tsr_f64_to_f8e5m2(double d);

#ifdef __cplusplus
}
#endif
#endif
