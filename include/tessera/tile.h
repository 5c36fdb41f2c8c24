/* tile.h: tile programs: kernels in the manner of the Triton language, as data.
 *
 * A tile program runs once for each point of a grid of up to three axes. It computes with scalars and tiles (dense
 * arrays whose extents are constants of the program) and reads and writes buffers. Extents and strides of tensors are
 * run-time scalar arguments, so one program serves every shape. docs/tile.md has the whole form and its text syntax.
 *
 *     tsr_tile *p = tsr_tile_new(c, "scale");
 *     tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "y");
 *     tsr_tv n = tsr_tile_arg(p, TSR_I64, "n"), a = tsr_tile_arg(p, TSR_F32, "a");
 *     tsr_tv base = tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), tsr_tile_int(p, TSR_I64, 1024));
 *     tsr_tv left = tsr_tile_elem2(p, TSR_S_SUB, n, base), one = tsr_tile_int(p, TSR_I64, 1);
 *     tsr_tile_block b = {.rank = 1, .extent = {1024}, .base = base, .stride = {one}, .lo = {TSR_TV_NONE},
 *                         .hi = {left}};
 *     tsr_tile_store(p, y, &b, tsr_tile_elem2(p, TSR_S_MUL, a, tsr_tile_load(p, x, &b, TSR_TV_NONE)));
 *     if (tsr_tile_finish(p) != TSR_OK) ...   // checks the whole program
 *
 * Values are small integers; a builder that fails (wrong dtype, shape, memory) records the error and returns
 * TSR_TV_NONE; a TSR_TV_NONE operand where one is required gives TSR_TV_NONE, so one check at tsr_tile_finish suffices.
 *
 * Shapes: rank 0 is a scalar. In elementwise functions, select and stores an operand may be a scalar, or have extent 1
 * where the other operands of the same rank have more (it is repeated). */
#ifndef TESSERA_TILE_H
#define TESSERA_TILE_H

#include "tessera/dtype.h"
#include "tessera/scalar.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TSR_TILE_MAX_RANK 6
#define TSR_TILE_MAX_ELEMS (1 << 18) /* elements of one tile */

typedef struct tsr_tile tsr_tile;
typedef int32_t tsr_tv;
#define TSR_TV_NONE ((tsr_tv)-1)

typedef enum tsr_tile_access { TSR_TILE_IN = 1, TSR_TILE_OUT = 2, TSR_TILE_INOUT = 3 } tsr_tile_access;

/* How a reduction or a scan combines two elements. */
typedef enum tsr_reduce {
    TSR_REDUCE_SUM, TSR_REDUCE_PROD, TSR_REDUCE_MAX, TSR_REDUCE_MIN, TSR_REDUCE_AND, TSR_REDUCE_OR, TSR_REDUCE_XOR,
    TSR_REDUCE_COUNT,
} tsr_reduce;

/* A rectangular affine window of a buffer: tile element (t0, t1, ...) is buffer element base + sum_j t_j * stride_j.
 * It takes part iff lo_j <= t_j < hi_j on every axis (TSR_TV_NONE: no bound). All are i64 scalars, in elements.
 * On a block-quantised buffer the innermost stride must be the constant 1 and base a multiple of the block length. */
typedef struct tsr_tile_block {
    int rank;
    int64_t extent[TSR_TILE_MAX_RANK];
    tsr_tv base, stride[TSR_TILE_MAX_RANK], lo[TSR_TILE_MAX_RANK], hi[TSR_TILE_MAX_RANK];
} tsr_tile_block;

tsr_tile *tsr_tile_new(tsr_ctx *c, const char *name); /* NULL: out of memory */
tsr_status tsr_tile_finish(tsr_tile *p);              /* check; after TSR_OK the program is immutable */
tsr_tile *tsr_tile_keep(tsr_tile *p);                 /* one more reference */
void tsr_tile_free(tsr_tile *p);                      /* drops a reference; NULL is accepted */

/* Arguments, in the order in which a launch passes them (buffers and scalars in one sequence). */
tsr_tv tsr_tile_arg_buf(tsr_tile *p, tsr_dtype t, tsr_tile_access access, const char *name);
tsr_tv tsr_tile_arg(tsr_tile *p, tsr_dtype t, const char *name); /* a scalar of any non-block dtype */

/* Sources of values. */
tsr_tv tsr_tile_pid(tsr_tile *p, int axis);                      /* i64: this instance's index on grid axis 0..2 */
tsr_tv tsr_tile_int(tsr_tile *p, tsr_dtype t, int64_t v);        /* scalar constants; equal constants are one value */
tsr_tv tsr_tile_float(tsr_tile *p, tsr_dtype t, double v);       /* rounded to t; for complex: real part */
tsr_tv tsr_tile_iota(tsr_tile *p, tsr_dtype t, int rank, const int64_t *extent, int axis); /* index along axis */

/* Elementwise: any function of scalar.h. select: (bool, x, y). */
tsr_tv tsr_tile_elem(tsr_tile *p, tsr_scalar fn, int n, const tsr_tv *operand);
tsr_tv tsr_tile_elem1(tsr_tile *p, tsr_scalar fn, tsr_tv a);
tsr_tv tsr_tile_elem2(tsr_tile *p, tsr_scalar fn, tsr_tv a, tsr_tv b);
tsr_tv tsr_tile_elem3(tsr_tile *p, tsr_scalar fn, tsr_tv a, tsr_tv b, tsr_tv c);
/* StableHLO convert: floats to ints truncate and saturate (NaN -> 0) */
tsr_tv tsr_tile_cast(tsr_tile *p, tsr_dtype t, tsr_tv a);
tsr_tv tsr_tile_bitcast(tsr_tile *p, tsr_dtype t, tsr_tv a); /* same width */

/* Form. */
/* scalar, or same rank with extents 1 */
tsr_tv tsr_tile_broadcast(tsr_tile *p, tsr_tv a, int rank, const int64_t *extent);
tsr_tv tsr_tile_reshape(tsr_tile *p, tsr_tv a, int rank, const int64_t *extent);   /* row-major order kept */
tsr_tv tsr_tile_transpose(tsr_tile *p, tsr_tv a, const int *perm);                 /* out axis i is in axis perm[i] */

/* Reductions keep the axis with extent 1. Order: with n the axis extent and h the powers of two below it, descending
 * from the greatest: r[j] = op(r[j], r[j + h]) for every j < h with j + h < live, live = min(live, h) after it. */
tsr_tv tsr_tile_reduce(tsr_tile *p, tsr_reduce op, tsr_tv a, int axis);
/* Index (from `index`, an i32/i64 tile shaped like a) of the greatest/least element; ties: least index; NaN wins. */
tsr_tv tsr_tile_argreduce(tsr_tile *p, tsr_reduce max_or_min, tsr_tv a, tsr_tv index, int axis);
/* Inclusive prefix op along axis, in sequential order from index 0 (or from the end when reverse). */
tsr_tv tsr_tile_scan(tsr_tile *p, tsr_reduce op, tsr_tv a, int axis, bool reverse);

/* a (M, K), b (K, N), acc (M, N): acc + chunk, where chunk adds a[m,k] * b[k,n] in order of k from 0, each step one fma
 * (f64, f32; f16, bf16 and f8 operands convert to f32 first; integers wrap in acc's dtype; complex: products by the
 * textbook formula). acc's dtype is the accumulator's. */
tsr_tv tsr_tile_dot(tsr_tile *p, tsr_tv a, tsr_tv b, tsr_tv acc);

/* Memory. load: elements that take no part get `other` (scalar of the buffer's dtype; TSR_TV_NONE: zero). A
 * block-quantised buffer loads as f32. gather/scatter address by an i64 tile of element offsets; mask is a bool tile or
 * TSR_TV_NONE. Stores of one instance happen in program order; two instances must not write one element. */
tsr_tv tsr_tile_load(tsr_tile *p, tsr_tv buf, const tsr_tile_block *b, tsr_tv other);
void tsr_tile_store(tsr_tile *p, tsr_tv buf, const tsr_tile_block *b, tsr_tv value);
tsr_tv tsr_tile_gather(tsr_tile *p, tsr_tv buf, tsr_tv offset, tsr_tv mask, tsr_tv other);
void tsr_tile_scatter(tsr_tile *p, tsr_tv buf, tsr_tv offset, tsr_tv mask, tsr_tv value);

/* Structured control flow. A region is open from its begin call to tsr_tile_end. for: iv runs lo, lo + step,
 * ... < hi (i64 scalars, step > 0); carry[i] starts as init[i], inside the region it is the value of this turn
 * (same dtype and shape throughout); tsr_tile_yield gives the next turn's; after the end, result[i] holds the
 * last. if: both arms yield. while: the region computes its values, yields a bool scalar first, then the
 * carries; it repeats while that is true. */
/* -> iv */
tsr_tv tsr_tile_for(tsr_tile *p, tsr_tv lo, tsr_tv hi, tsr_tv step, int n, const tsr_tv *init, tsr_tv *carry);
void tsr_tile_while(tsr_tile *p, int n, const tsr_tv *init, tsr_tv *carry);
void tsr_tile_if(tsr_tile *p, tsr_tv cond);
void tsr_tile_else(tsr_tile *p);
void tsr_tile_yield(tsr_tile *p, int n, const tsr_tv *v);
void tsr_tile_end(tsr_tile *p, int n, tsr_tv *result); /* closes the innermost region; writes its n results */

/* What a value is, for those who build programs. */
tsr_dtype tsr_tile_dtype(const tsr_tile *p, tsr_tv v);
int tsr_tile_shape(const tsr_tile *p, tsr_tv v, int64_t *extent /* may be NULL */); /* -> rank */

/* The arguments of a program, in order: for those who call it. access: of a buffer; IN for a scalar. */
struct tsr_tile_arg_info {
    bool is_buf;
    tsr_dtype dtype;
    tsr_tile_access access;
    const char *name; /* lives as long as the program */
};
bool tsr_tile_is_finished(const tsr_tile *p);
int tsr_tile_args(const tsr_tile *p);
struct tsr_tile_arg_info tsr_tile_arg_at(const tsr_tile *p, int index); /* 0 <= index < tsr_tile_args(p) */

/* Text form (docs/tile.md): printing and reading are inverses. Returned text is freed with tsr_text_free. */
char *tsr_tile_print(const tsr_tile *p);
/* finished; NULL: error with file:line:col */
tsr_tile *tsr_tile_read(tsr_ctx *c, const char *text, const char *source_name);
void tsr_text_free(tsr_ctx *c, char *text);

#ifdef __cplusplus
}
#endif
#endif
