/* header.h: the parsed header of a safetensors file. */
#ifndef FORMATS_SAFETENSORS_HEADER_H
#define FORMATS_SAFETENSORS_HEADER_H

#include "base/vec.h"
#include "tessera/safetensors.h"

/* The reference refuses headers above this. */
#define HEADER_MAX ((size_t)100000000)
#define METADATA_NAME "__metadata__"

struct st_entry {
    tsr_safetensor t;  /* t.data is set by the caller: data + begin */
    uint64_t begin, end;
};
struct st_header {
    struct arena text;           /* names and metadata */
    VEC(struct st_entry) tensor; /* sorted by name */
    VEC(tsr_metadata) meta;      /* sorted by key */
};
/* Parses and checks `n` bytes of JSON that describe `data` bytes. On failure h is still to be released. */
tsr_status st_header_parse(tsr_ctx *c, struct st_header *h, const char *name, const uint8_t *json, size_t n,
    uint64_t data);
void st_header_release(tsr_ctx *c, struct st_header *h);

/* The dtypes of the format: X(format's name, dtype). */
#define ST_DTYPE_LIST(X)                                                                                             \
    X("BOOL", BOOL) X("U8", U8) X("I8", I8) X("F8_E4M3", F8E4M3) X("F8_E5M2", F8E5M2) X("U16", U16) X("I16", I16)     \
    X("F16", F16) X("BF16", BF16) X("U32", U32) X("I32", I32) X("F32", F32) X("U64", U64) X("I64", I64) X("F64", F64) \
    X("C64", C64)
const char *st_dtype_name(tsr_dtype t); /* NULL: the format has no such dtype */

#endif
