/* data.h: the inside of the data room: storage of data sets, whole files with gzip taken off. */
#ifndef DATA_DATA_H
#define DATA_DATA_H

#include "base/sys.h"
#include "base/vec.h"
#include "tessera/data.h"

/* The public view first, so a tsr_data * is a struct data_set *. */
struct data_set {
    tsr_data view;
    void *x;         /* x_bytes */
    size_t x_bytes;
    int32_t *y;      /* (count) or NULL */
    struct arena text; /* names and their arrays */
};
/* An empty set with room for count examples and, when labelled, labels. x is uninitialised. */
struct data_set *data_alloc(tsr_ctx *c, tsr_dtype t, int64_t count, int rank, const int64_t *dim, bool labelled);

/* A file's bytes: mapped, or unpacked from gzip. */
struct data_bytes {
    const uint8_t *p;
    size_t n;
    struct file_map map;
    uint8_t *unpacked; /* n bytes when not NULL */
};
tsr_status data_bytes_open(tsr_ctx *c, const char *path, struct data_bytes *b);
/* The same over memory of the caller's. */
tsr_status data_bytes_over(tsr_ctx *c, const void *p, size_t n, const char *name, struct data_bytes *b);
void data_bytes_close(tsr_ctx *c, struct data_bytes *b);

#endif
