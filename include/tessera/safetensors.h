/* safetensors.h: the safetensors format: named tensors and text metadata in one file that cannot run code.
 *
 * Layout (the format's README and its Rust reference): u64 little-endian N, N bytes of JSON, then the data. The JSON
 * names each tensor with dtype, shape and its [begin, end) in the data; "__metadata__" holds strings. Reading is
 * strict: the header's size, its JSON (no duplicates), dtypes, shapes, sizes, and that the tensors cover the data
 * without overlap or hole are all checked before anything is believed. Files are mapped: opening reads the header
 * alone. */
#ifndef TESSERA_SAFETENSORS_H
#define TESSERA_SAFETENSORS_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tsr_safetensors tsr_safetensors; /* an open file */

typedef struct tsr_safetensor {
    const char *name;
    tsr_dtype dtype;
    int rank;
    int64_t dim[TSR_MAX_RANK]; /* (rank) */
    const void *data;          /* row-major, little endian; no alignment is promised */
    size_t bytes;
} tsr_safetensor;
typedef struct tsr_metadata { const char *key, *value; } tsr_metadata;

tsr_safetensors *tsr_safetensors_open(tsr_ctx *c, const char *path); /* NULL: error recorded */
/* From memory that stays valid until it is closed; `name` is what messages call it. Nodes copy their data. */
tsr_safetensors *tsr_safetensors_parse(tsr_ctx *c, const void *p, size_t n, const char *name);
void tsr_safetensors_close(tsr_safetensors *f); /* nodes made from it live on; NULL is accepted */

int64_t tsr_safetensors_count(const tsr_safetensors *f);
const tsr_safetensor *tsr_safetensors_at(const tsr_safetensors *f, int64_t i); /* sorted by name; NULL past the end */
const tsr_safetensor *tsr_safetensors_find(const tsr_safetensors *f, const char *name);  /* NULL: absent */
const char *tsr_safetensors_metadata(const tsr_safetensors *f, const char *key);         /* NULL: absent */
const tsr_metadata *tsr_safetensors_metadata_at(const tsr_safetensors *f, int64_t i); /* by key; NULL past the end */

/* A tensor as a value. It shares the mapped file where the data are aligned for their dtype, and keeps the mapping
 * alive; else they are copied. ENOTFOUND when there is no such name. */
tsr_node *tsr_safetensors_node(tsr_ctx *c, tsr_safetensors *f, const char *name);

/* Writes a file, complete or not at all: tensors by falling alignment, then by name, the data 8-byte aligned. Names are
 * unique, UTF-8, and not "__metadata__"; keys are unique. dtypes: bool u8 i8 u16 i16 u32 i32 u64 i64 f8 f16 bf16 f32
 * f64 c64. */
tsr_status tsr_safetensors_save(tsr_ctx *c, const char *path, int64_t n, const tsr_safetensor *tensor, int64_t nmeta,
    const tsr_metadata *meta);

#ifdef __cplusplus
}
#endif
#endif
