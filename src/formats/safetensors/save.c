/* save.c: writing safetensors files.
 *
 * Tensors are laid out by falling size of their elements, then by name, and the header is padded with spaces to a
 * multiple of 8, so that every tensor is aligned for its dtype in a mapped file (as the reference does). Equal contents
 * give equal bytes. The file appears under its name complete or not at all. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "formats/safetensors/header.h"

static int by_layout(const void *a, const void *b) {
    const tsr_safetensor *x = *(const tsr_safetensor *const *)a, *y = *(const tsr_safetensor *const *)b;
    int sx = tsr_dtype_of(x->dtype)->bytes, sy = tsr_dtype_of(y->dtype)->bytes;
    return sx != sy ? sy - sx : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const tsr_safetensor *const *)a)->name, (*(const tsr_safetensor *const *)b)->name);
}

static tsr_status check_tensor(tsr_ctx *c, const tsr_safetensor *t) {
    int64_t count = 1;
    size_t bytes;
    bool fits = t->rank >= 0 && t->rank <= TSR_MAX_RANK;
    for (int i = 0; fits && i < t->rank; i++) fits = t->dim[i] >= 0 && i64_mul(count, t->dim[i], &count);
    if (!strcmp(t->name, METADATA_NAME)) return err_set(c, TSR_EINVAL, "save: no tensor may be called " METADATA_NAME);
    if (!st_dtype_name(t->dtype))
        return err_set(c, TSR_EUNSUPPORTED, "save of tensor \"%s\": safetensors has no %s", t->name,
            tsr_dtype_name(t->dtype));
    if (fits && tsr_dtype_bytes(t->dtype, count, &bytes) && bytes == t->bytes) return TSR_OK;
    return err_set(c, TSR_EINVAL, "save of tensor \"%s\": its shape and its %zu bytes do not fit", t->name, t->bytes);
}

static tsr_status check_all(tsr_ctx *c, int64_t n, const tsr_safetensor **order, int64_t nmeta,
    const tsr_metadata *meta) {
    tsr_status s = TSR_OK;
    for (int64_t i = 0; !s && i < n; i++) s = check_tensor(c, order[i]);
    if (n) qsort(order, (size_t)n, sizeof *order, by_name);
    for (int64_t i = 1; !s && i < n; i++) {
        if (!strcmp(order[i - 1]->name, order[i]->name))
            s = err_set(c, TSR_EINVAL, "save: two tensors are called \"%s\"", order[i]->name);
    }
    for (int64_t i = 0; !s && i < nmeta; i++) {
        for (int64_t k = 0; !s && k < i; k++) {
            if (!strcmp(meta[k].key, meta[i].key))
                s = err_set(c, TSR_EINVAL, "save: metadata \"%s\" is given twice", meta[i].key);
        }
    }
    return s;
}

static void put_tensor(struct str *s, const tsr_safetensor *t, uint64_t at) {
    str_json(s, t->name);
    str_printf(s, ":{\"dtype\":\"%s\",\"shape\":[", st_dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) str_printf(s, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    str_printf(s, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)(at + t->bytes));
}

static void put_header(struct str *s, int64_t n, const tsr_safetensor **order, int64_t nmeta,
    const tsr_metadata *meta) {
    uint64_t at = 0;
    str_putc(s, '{');
    if (nmeta) str_put(s, "\"" METADATA_NAME "\":{");
    for (int64_t i = 0; i < nmeta; i++) {
        if (i) str_putc(s, ',');
        str_json(s, meta[i].key), str_putc(s, ':'), str_json(s, meta[i].value);
    }
    if (nmeta) str_putc(s, '}');
    for (int64_t i = 0; i < n; i++) {
        if (i || nmeta) str_putc(s, ',');
        put_tensor(s, order[i], at);
        at += order[i]->bytes;
    }
    str_putc(s, '}');
    while (s->n % 8 && !s->failed) str_putc(s, ' ');
}

static tsr_status write_file(tsr_ctx *c, const char *path, const struct str *head, int64_t n,
    const tsr_safetensor **order) {
    struct file_out o;
    uint8_t size[8];
    for (int i = 0; i < 8; i++) size[i] = (uint8_t)((uint64_t)head->n >> (8 * i));
    tsr_status s = file_out_open(c, path, &o);
    if (s) return s;
    s = file_out_write(&o, size, sizeof size);
    if (!s) s = file_out_write(&o, head->s, head->n);
    for (int64_t i = 0; !s && i < n; i++) s = file_out_write(&o, order[i]->data, order[i]->bytes);
    if (!s) return file_out_commit(&o);
    file_out_abort(&o);
    return s;
}

tsr_status tsr_safetensors_save(tsr_ctx *c, const char *path, int64_t n, const tsr_safetensor *tensor, int64_t nmeta,
    const tsr_metadata *meta) {
    const tsr_safetensor **order = mem_array(c, (size_t)n + 1, sizeof *order);
    struct str head;
    if (!order) return TSR_ENOMEM;
    str_init(&head, c);
    for (int64_t i = 0; i < n; i++) order[i] = &tensor[i];
    tsr_status s = check_all(c, n, order, nmeta, meta);
    if (!s) {
        if (n) qsort(order, (size_t)n, sizeof *order, by_layout);
        put_header(&head, n, order, nmeta, meta);
        s = head.failed ? tsr_error_status(c) : head.n > HEADER_MAX
            ? err_set(c, TSR_EUNSUPPORTED, "save: the header would have %zu bytes, at most %zu are allowed", head.n,
                HEADER_MAX)
            : write_file(c, path, &head, n, order);
    }
    str_release(&head);
    mem_array_free(c, order, (size_t)n + 1, sizeof *order);
    return s;
}
