/* idx.c: the IDX format of the MNIST family, and a pair of such files as a data set.
 *
 * Layout (LeCun, Cortes, Burges, "The MNIST database of handwritten digits"): bytes 0 0 TYPE RANK, RANK big-endian
 * 32-bit sizes, then the elements, big-endian, row-major. Sizes are multiplied with overflow checks and compared with
 * the bytes that are there before anything is allocated. */
#include "data/data.h"

#include <string.h>

static const struct idx_type { uint8_t code; tsr_dtype dtype; } idx_types[] = {
    {0x08, TSR_U8}, {0x09, TSR_I8}, {0x0b, TSR_I16}, {0x0c, TSR_I32}, {0x0d, TSR_F32}, {0x0e, TSR_F64}};

static uint32_t big32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Elements of `size` bytes from big-endian to this machine's order. */
static void from_big(uint8_t *dst, const uint8_t *src, size_t bytes, size_t size) {
    const uint16_t one = 1;
    bool little = *(const uint8_t *)&one == 1;
    if (!bytes) return;
    if (size == 1 || !little) {
        memcpy(dst, src, bytes);
        return;
    }
    for (size_t i = 0; i < bytes; i += size) {
        for (size_t j = 0; j < size; j++) dst[i + j] = src[i + size - 1 - j];
    }
}

static tsr_status read_head(tsr_ctx *c, const struct data_bytes *b, const char *name, tsr_array *out) {
    const uint8_t *p = b->p;
    if (b->n < 4 || p[0] || p[1])
        return err_set(c, TSR_EFORMAT, "%s: not an IDX file: it does not begin with two zero bytes, a type and a rank",
            name);
    size_t k = 0, kinds = sizeof idx_types / sizeof *idx_types;
    while (k < kinds && idx_types[k].code != p[2]) k++;
    if (k == kinds)
        return err_set(c, TSR_EFORMAT, "%s: IDX type 0x%02x is none of 08 u8, 09 i8, 0b i16, 0c i32, 0d f32, 0e f64",
            name, p[2]);
    out->dtype = idx_types[k].dtype, out->rank = p[3];
    if (out->rank > TSR_MAX_RANK)
        return err_set(c, TSR_EUNSUPPORTED, "%s: %d axes, at most %d are supported", name, out->rank, TSR_MAX_RANK);
    size_t head = 4 + 4 * (size_t)out->rank, count = 1;
    if (b->n < head) return err_set(c, TSR_EFORMAT, "%s: ends inside its header of %zu bytes", name, head);
    bool fits = true;
    for (int i = 0; i < out->rank; i++) {
        out->dim[i] = big32(p + 4 + 4 * i);
        fits = fits && size_mul(count, (size_t)out->dim[i], &count);
    }
    fits = fits && size_mul(count, (size_t)tsr_dtype_of(out->dtype)->bytes, &out->bytes);
    if (!fits || b->n - head != out->bytes)
        return err_set(c, TSR_EFORMAT, "%s: its header promises %s%zu bytes of data, the file has %zu", name,
            fits ? "" : "more than ", fits ? out->bytes : SIZE_MAX, b->n - head);
    return TSR_OK;
}

static tsr_status parse(tsr_ctx *c, const struct data_bytes *b, const char *name, tsr_array *out) {
    *out = (tsr_array){0};
    tsr_status s = read_head(c, b, name, out);
    if (!s && !(out->data = mem_alloc(c, out->bytes))) s = TSR_ENOMEM;
    if (!s) from_big(out->data, b->p + 4 + 4 * out->rank, out->bytes, (size_t)tsr_dtype_of(out->dtype)->bytes);
    else *out = (tsr_array){0};
    return s;
}

tsr_status tsr_idx_parse(tsr_ctx *c, const void *p, size_t n, const char *name, tsr_array *out) {
    struct data_bytes b;
    *out = (tsr_array){0};
    tsr_status s = data_bytes_over(c, p, n, name, &b);
    if (!s) s = parse(c, &b, name, out), data_bytes_close(c, &b);
    return s;
}

tsr_status tsr_idx_read(tsr_ctx *c, const char *path, tsr_array *out) {
    struct data_bytes b;
    *out = (tsr_array){0};
    tsr_status s = data_bytes_open(c, path, &b);
    if (!s) s = parse(c, &b, path, out), data_bytes_close(c, &b);
    return s;
}

void tsr_array_release(tsr_ctx *c, tsr_array *a) {
    mem_free(c, a->data, a->bytes);
    *a = (tsr_array){0};
}

/* ---- a pair of files -------------------------------------------------------------------------------------------- */

static tsr_status check_pair(tsr_ctx *c, const tsr_array *x, const char *images, const tsr_array *y,
    const char *labels) {
    if (x->dtype != TSR_U8 || x->rank < 2)
        return err_set(c, TSR_EFORMAT, "%s: images are u8 with at least two axes, this is %s with %d", images,
            tsr_dtype_name(x->dtype), x->rank);
    if (y->dtype != TSR_U8 || y->rank != 1)
        return err_set(c, TSR_EFORMAT, "%s: labels are u8 with one axis, this is %s with %d", labels,
            tsr_dtype_name(y->dtype), y->rank);
    if (x->dim[0] != y->dim[0])
        return err_set(c, TSR_EFORMAT, "%s has %lld images, %s has %lld labels: these files are no pair", images,
            (long long)x->dim[0], labels, (long long)y->dim[0]);
    return TSR_OK;
}

static struct data_set *pair(tsr_ctx *c, const tsr_array *x, const tsr_array *y) {
    struct data_set *d = data_alloc(c, TSR_U8, x->dim[0], x->rank - 1, x->dim + 1, true);
    if (!d) return NULL;
    if (x->bytes) memcpy(d->x, x->data, x->bytes);
    const uint8_t *label = y->data;
    for (int64_t i = 0; i < d->view.count; i++) {
        d->y[i] = label[i];
        if (label[i] >= d->view.classes) d->view.classes = label[i] + 1;
    }
    d->view.scale = 1.0 / 255;
    return d;
}

tsr_data *tsr_data_idx(tsr_ctx *c, const char *images, const char *labels) {
    tsr_array x = {0}, y = {0};
    struct data_set *d = NULL;
    if (!tsr_idx_read(c, images, &x) && !tsr_idx_read(c, labels, &y) && !check_pair(c, &x, images, &y, labels))
        d = pair(c, &x, &y);
    tsr_array_release(c, &x), tsr_array_release(c, &y);
    return d ? &d->view : NULL;
}
