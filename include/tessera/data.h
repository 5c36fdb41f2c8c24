/* data.h: data sets in memory, the files they come from, and the order in which training sees them.
 *
 * A data set is `count` examples of one shape with, usually, one integer label each. Readers check every size of a
 * foreign file before they believe it and name the place of an error. Nothing here touches the graph except
 * tsr_data_batch, which copies chosen examples into two value nodes. */
#ifndef TESSERA_DATA_H
#define TESSERA_DATA_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- arrays -------------------------------------------------------------------------------------------------------
 * What a file of numbers holds: row-major, in the byte order of this machine. */
typedef struct tsr_array {
    tsr_dtype dtype;
    int rank;
    int64_t dim[TSR_MAX_RANK];
    void *data;
    size_t bytes;
} tsr_array;
void tsr_array_release(tsr_ctx *c, tsr_array *a);

/* An IDX file (LeCun, Cortes, Burges, "The MNIST database": two zero bytes, a type, the number of axes, big-endian
 * sizes, big-endian data). Types u8 i8 i16 i32 f32 f64. A file that begins like gzip (RFC 1952) is unpacked first; a
 * build without zlib says so. Data after the last element are an error. */
tsr_status tsr_idx_read(tsr_ctx *c, const char *path, tsr_array *out);
/* The same from memory; `name` is what messages call it. */
tsr_status tsr_idx_parse(tsr_ctx *c, const void *p, size_t n, const char *name, tsr_array *out);

/* ---- data sets ----------------------------------------------------------------------------------------------------
 * Read the fields, never write them. */
typedef struct tsr_data {
    int64_t count;             /* examples */
    tsr_dtype dtype;           /* of x */
    int rank;                  /* axes of one example */
    int64_t dim[TSR_MAX_RANK]; /* its extents: (rank) */
    const void *x;             /* (count, dim...) */
    const int32_t *y;          /* (count) in [0, classes), or NULL */
    int64_t classes;
    const char *const *class_name;   /* (classes), or NULL: the number is the name */
    const char *const *feature_name; /* (dim[0]) for tables that had a header, else NULL */
    double scale, shift;             /* what a model is fed: x * scale + shift */
} tsr_data;

/* Both are copied. y may be NULL; labels must lie in [0, classes). scale 1, shift 0. */
tsr_data *tsr_data_new(tsr_ctx *c, tsr_dtype t, int64_t count, int rank, const int64_t *dim, const void *x,
    const int32_t *y, int64_t classes);
void tsr_data_free(tsr_ctx *c, tsr_data *d); /* NULL is accepted */

/* Images and labels from a pair of IDX files, as MNIST and its relatives are kept: u8 images (count, height, width)
 * scaled to [0, 1], labels (count). */
tsr_data *tsr_data_idx(tsr_ctx *c, const char *images, const char *labels);

/* A table of numbers, RFC 4180: quoted fields, doubled quotes, CRLF or LF, a byte order mark. Every column but the
 * label is numeric (f32). Labels are classes, numbered in order of first appearance; their texts become class_name.
 * Errors say line:column. */
typedef struct tsr_csv_opts {
    char delimiter;    /* 0: ',' */
    bool no_header;    /* the first row is data */
    const char *label; /* name of the label column, or its number from 1; NULL: there is none */
} tsr_csv_opts;
tsr_data *tsr_data_csv(tsr_ctx *c, const char *path, const tsr_csv_opts *o /* may be NULL */);
tsr_data *tsr_data_csv_parse(tsr_ctx *c, const void *p, size_t n, const char *name, const tsr_csv_opts *o);

/* The UCI digits that are part of the library (data/README.md): 1797 images 8x8 of 0..16, scaled to [0, 1]. */
tsr_data *tsr_data_digits(tsr_ctx *c);

/* Two new sets: `part` of the examples (rounded down) in *b, the rest in *a, chosen by seed. */
tsr_status tsr_data_split(tsr_ctx *c, const tsr_data *d, double part, uint64_t seed, tsr_data **a, tsr_data **b);

/* ---- order and batches --------------------------------------------------------------------------------------------
 * The order of epoch `epoch` under `seed`: a permutation of [0, count) that depends on these three numbers alone, so a
 * position (epoch, batch) is all there is to save. */
void tsr_data_order(const tsr_data *d, uint64_t seed, uint64_t epoch, int64_t *order /* (count) */);
/* Examples index[0..n) as values: x (n, dim...) of the set's dtype, y (n) i32 (NULL allowed when not wanted). */
tsr_status tsr_data_batch(tsr_ctx *c, const tsr_data *d, int64_t n, const int64_t *index, tsr_node **x, tsr_node **y);

#ifdef __cplusplus
}
#endif
#endif
