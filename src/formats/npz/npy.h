/* npy.h: one tensor in a file of NumPy's format (.npy), versions 1 to 3.
 *
 * Types: every one of NumPy's that is a dtype here, either byte order, C or Fortran order. NumPy has no bf16, f8 or
 * 4-bit integers: bf16 and f8 are written as void types of their size ("<V2", "|V1", as JAX's ml_dtypes do), or as
 * unsigned integers of the same bits when `raw`; 4-bit integers as 8-bit ones.
 * Source: numpy.lib.format, the specification of the format. */
#ifndef FORMATS_NPZ_NPY_H
#define FORMATS_NPZ_NPY_H

#include "base/mem.h"
#include "tessera/graph.h"

struct npy {
    tsr_dtype dtype; /* of what is stored; void types: U8 or U16 with `bits` set */
    bool bits;       /* a void type: only its bits are known */
    bool fortran, swap;
    int rank;
    int64_t dim[TSR_MAX_RANK], count;
    const uint8_t *data; /* count elements, in the given bytes */
};
/* The header of a file's bytes; name is for messages. False: EFORMAT with what is wrong. */
bool npy_parse(tsr_ctx *c, const char *name, const uint8_t *p, size_t n, struct npy *out);

/* A file as a value. want (may be NULL) is the dtype it must become: bits of the same size are taken as such when the
 * file has a void type, or unsigned integers and `raw`; 8-bit integers become 4-bit ones. Poison: error recorded. */
tsr_node *npy_load(tsr_ctx *c, const char *path, const tsr_dtype *want, bool raw);
/* An evaluated tensor to a file (complete or not at all). */
tsr_status npy_save(tsr_ctx *c, const char *path, tsr_node *value, bool raw);

#endif
