/* digits.c: the bundled UCI digits, unpacked from the bytes of data/digits.bin that are part of the library.
 *
 * Layout (data/README.md): 8 bytes "tsrdigit", u16 count (little endian), u8 height, u8 width, u8 bits of a pixel,
 * three zero bytes; then count labels of 4 bits and count * height * width pixels of `bits` bits, one stream of bits,
 * the most significant first. */
#include "data/data.h"

#include <string.h>

extern const char data_digits_bin[];
extern const size_t data_digits_bin_size;

enum { HEAD = 16, LABEL_BITS = 4, CLASSES = 10, PIXEL_MAX = 16 };

struct bits { const uint8_t *p; size_t at; };

static unsigned take(struct bits *b, unsigned n) {
    unsigned v = 0;
    for (unsigned i = 0; i < n; i++, b->at++) v = v << 1 | (b->p[b->at / 8] >> (7 - b->at % 8) & 1);
    return v;
}

tsr_data *tsr_data_digits(tsr_ctx *c) {
    const uint8_t *p = (const uint8_t *)data_digits_bin;
    int64_t count = p[8] | p[9] << 8, dim[2] = {p[10], p[11]}, pixels = dim[0] * dim[1];
    size_t total = (size_t)count * (LABEL_BITS + (size_t)pixels * p[12]);
    TSR_ASSERT(!memcmp(p, "tsrdigit", 8) && data_digits_bin_size == HEAD + (total + 7) / 8);
    struct data_set *d = data_alloc(c, TSR_U8, count, 2, dim, true);
    if (!d) return NULL;
    struct bits b = {p + HEAD, 0};
    for (int64_t i = 0; i < count; i++) d->y[i] = (int32_t)take(&b, LABEL_BITS);
    for (int64_t i = 0; i < count * pixels; i++) ((uint8_t *)d->x)[i] = (uint8_t)take(&b, p[12]);
    d->view.classes = CLASSES;
    d->view.scale = 1.0 / PIXEL_MAX;
    return &d->view;
}
