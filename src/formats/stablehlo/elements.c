/* elements.c: what dense constants hold, whatever way it was written.
 *
 * A constant is a row of numbers (two for each complex element). Each goes the same way: from where it stands (bytes,
 * packed bits, hexadecimal digits, or a literal of a list) to its bits in the element type, and from there to its place
 * in the destination, which has the dtype of the element type or of its carrier. Lists are checked once, when they are
 * read, and decoded only when somebody wants the values. */
#include "formats/stablehlo/elements.h"

#include <string.h>

/* ---- checking a list -------------------------------------------------------------------------------------------- */

struct list_check {
    const struct hlo_type *t;
    enum hlo_elem part;
    bool complex;
    const char *p, *end, *error;
};

static void skip_space(struct list_check *k) {
    while (k->p < k->end && (*k->p == ' ' || *k->p == '\n' || *k->p == '\t' || *k->p == '\r')) k->p++;
}

static bool wrong(struct list_check *k, const char *why) {
    k->error = why;
    return false;
}

static bool next_is(struct list_check *k, char ch) {
    skip_space(k);
    return k->p < k->end && *k->p == ch;
}

static bool take(struct list_check *k, char ch, const char *why) {
    if (!next_is(k, ch)) return wrong(k, why);
    k->p++;
    return true;
}

static bool check_number(struct list_check *k) {
    skip_space(k);
    size_t n = hlo_literal(k->part, k->p, k->end, NULL);
    if (!n) return wrong(k, "expected a number that the element type can hold");
    k->p += n;
    return true;
}

static bool check_element(struct list_check *k) {
    if (!k->complex) return check_number(k);
    return take(k, '(', "expected (re, im), an element of a complex type") && check_number(k) &&
        take(k, ',', "expected ',' between real and imaginary part") && check_number(k) &&
        take(k, ')', "expected ')' after the imaginary part");
}

static bool check_level(struct list_check *k, int axis) {
    if (axis == k->t->rank) return check_element(k);
    int64_t extent = k->t->dim[axis], n = 0;
    if (!take(k, '[', "expected '[': the list has fewer levels than the type has axes")) return false;
    if (!next_is(k, ']'))
        do {
            if (n == extent) return wrong(k, "more elements than the type's extent");
            if (!check_level(k, axis + 1)) return false;
            n++;
        } while (next_is(k, ',') && k->p++);
    if (n != extent && next_is(k, ']')) return wrong(k, "fewer elements than the type's extent");
    return take(k, ']', "expected ',' or ']' after an element of the list");
}

const char *hlo_list_check(const struct hlo_type *t, const char *p, const char *end, const char **at) {
    struct list_check k = {.t = t, .part = hlo_elem_part(t->elem), .complex = hlo_elem_complex(t->elem), .p = p,
        .end = end};
    if (check_level(&k, 0)) {
        skip_space(&k);
        if (k.p != end) k.error = "expected '>' after the list";
    }
    *at = k.p;
    return k.error;
}

/* ---- numbers of a constant, one after another ------------------------------------------------------------------- */

struct source {
    const struct hlo_attr *a;
    enum hlo_elem part;
    int width; /* bytes of a number */
    const char *p, *end;
};

static struct source open_source(const struct hlo_attr *a) {
    enum hlo_elem e = a->type->elem;
    struct source s = {.a = a, .part = hlo_elem_part(e), .width = hlo_elem_width(hlo_elem_part(e)), .p = a->data};
    s.end = s.p + a->ndata;
    return s;
}

static uint64_t byte_number(const struct source *s, int64_t i) {
    uint64_t bits = 0;
    const uint8_t *p = (const uint8_t *)s->p + (size_t)i * (size_t)s->width;
    for (int k = s->width - 1; k >= 0; k--) bits = bits << 8 | p[k];
    return bits;
}

static uint8_t hex_byte(const struct source *s, size_t at) {
    return (uint8_t)(hlo_hex_digit(s->p[2 * at]) << 4 | hlo_hex_digit(s->p[2 * at + 1]));
}

static uint64_t hex_number(const struct source *s, int64_t i) {
    uint64_t bits = 0;
    size_t at = (size_t)i * (size_t)s->width;
    for (int k = s->width - 1; k >= 0; k--) bits = bits << 8 | hex_byte(s, at + (size_t)k);
    return bits;
}

static uint64_t packed_bit(const struct source *s, int64_t i) {
    size_t at = (size_t)i / 8;
    uint8_t byte = s->a->store == HLO_STORE_HEX ? hex_byte(s, at) : (uint8_t)s->p[at];
    return byte >> (i % 8) & 1;
}

static uint64_t list_number(struct source *s) {
    uint64_t bits = 0;
    size_t n = 0;
    while (s->p < s->end && !(n = hlo_literal(s->part, s->p, s->end, &bits))) s->p++;
    s->p += n;
    return bits;
}

/* The bits of number i; lists must be asked in order. */
static uint64_t number(struct source *s, int64_t i) {
    if (s->a->splat) i %= hlo_elem_complex(s->a->type->elem) ? 2 : 1;
    if (s->a->packed) return packed_bit(s, i);
    switch (s->a->store) {
    case HLO_STORE_BYTES: return byte_number(s, i);
    case HLO_STORE_HEX: return hex_number(s, i);
    case HLO_STORE_LIST: return list_number(s);
    }
    return 0;
}

static int64_t number_count(const struct hlo_attr *a) {
    return hlo_type_count(a->type) * (hlo_elem_complex(a->type->elem) ? 2 : 1);
}

static int64_t sign_extend(uint64_t bits, int width) {
    return width == 64 ? (int64_t)bits : (int64_t)(bits << (64 - width)) >> (64 - width);
}

static int64_t integer(enum hlo_elem e, uint64_t bits) {
    if (e == HLO_I1) return bits != 0;
    int width = hlo_elem_of(e)->bits;
    if (hlo_elem_unsigned(e)) return (int64_t)(width == 64 ? bits : bits & ((UINT64_C(1) << width) - 1));
    return sign_extend(bits, width);
}

/* ---- destinations ----------------------------------------------------------------------------------------------- */

static void put_nibble(uint8_t *dst, int64_t i, uint64_t bits) {
    uint8_t *p = dst + i / 2;
    if (i % 2) *p = (uint8_t)(*p | bits << 4);
    else *p = bits & 15;
}

static void put(enum hlo_elem part, void *dst, int64_t i, uint64_t bits, size_t width) {
    const struct hlo_elem_info *info = hlo_elem_of(part);
    if (info->dtype == TSR_I4 || info->dtype == TSR_U4) {
        put_nibble(dst, i, bits);
        return;
    }
    if (!info->exact && hlo_elem_float(part)) {
        ((float *)dst)[i] = (float)hlo_bits_to_double(part, bits);
        return;
    }
    if (hlo_elem_integer(part)) bits = (uint64_t)integer(part, bits);
    memcpy((char *)dst + (size_t)i * width, &bits, width); /* little endian */
}

/* Bytes that stand as the dtype wants them. */
static bool as_it_stands(const struct hlo_attr *a) {
    const struct hlo_elem_info *info = hlo_elem_of(a->type->elem);
    return a->store == HLO_STORE_BYTES && !a->splat && info->exact && info->bits >= 8;
}

/* Number 0 (or element 0) is at the front of dst: the rest is like it. */
static void spread(void *dst, size_t unit, size_t bytes) {
    for (size_t have = unit; have < bytes; have *= 2)
        memcpy((char *)dst + have, dst, have < bytes - have ? have : bytes - have);
}

static bool read_splat(struct source *s, void *dst, size_t bytes) {
    int parts = hlo_elem_complex(s->a->type->elem) ? 2 : 1;
    const tsr_dtype_info *d = tsr_dtype_of(hlo_elem_of(s->part)->dtype);
    for (int i = 0; i < parts; i++) put(s->part, dst, i, number(s, i), (size_t)d->bytes);
    if (d->block == 2) *(uint8_t *)dst = (uint8_t)(*(uint8_t *)dst * 17); /* both nibbles */
    spread(dst, (size_t)(d->bytes * parts), bytes);
    if (d->block == 2 && hlo_type_count(s->a->type) % 2) ((uint8_t *)dst)[bytes - 1] &= 15;
    return true;
}

bool hlo_elements_read(tsr_ctx *c, const struct hlo_attr *a, void *dst, size_t bytes) {
    size_t need;
    int64_t count = a && a->kind == HLO_A_ELEMENTS ? hlo_type_count(a->type) : -1;
    if (count < 0 || !tsr_dtype_bytes(hlo_elem_of(a->type->elem)->dtype, count, &need) || need != bytes) {
        err_set(c, TSR_EINVAL, "a constant of %lld elements does not fill the %zu bytes it is wanted in",
            (long long)count, bytes);
        return false;
    }
    if (!bytes) return true;
    struct source s = open_source(a);
    if (a->splat) return read_splat(&s, dst, bytes);
    if (as_it_stands(a)) {
        memcpy(dst, a->data, bytes);
        return true;
    }
    size_t width = (size_t)tsr_dtype_of(hlo_elem_of(s.part)->dtype)->bytes;
    for (int64_t i = 0, n = number_count(a); i < n; i++) put(s.part, dst, i, number(&s, i), width);
    return true;
}

void hlo_elements_bytes(const struct hlo_attr *a, void *dst) {
    struct source s = open_source(a);
    int64_t n = a->splat ? 1 + hlo_elem_complex(a->type->elem) : number_count(a);
    if (a->store == HLO_STORE_BYTES && !a->packed) {
        if (n > 0) memcpy(dst, a->data, (size_t)n * (size_t)s.width);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = number(&s, i);
        memcpy((char *)dst + (size_t)i * (size_t)s.width, &bits, (size_t)s.width); /* little endian */
    }
}

bool hlo_elements_ints(tsr_ctx *c, const struct hlo_attr *a, int64_t *dst) {
    int64_t count = a && a->kind == HLO_A_ELEMENTS && hlo_elem_integer(a->type->elem) ? hlo_type_count(a->type) : -1;
    if (count < 0) {
        err_set(c, TSR_EINVAL, "integers are wanted of a constant that has none");
        return false;
    }
    if (!count) return true;
    struct source s = open_source(a);
    for (int64_t i = 0, n = a->splat ? 1 : count; i < n; i++) dst[i] = integer(s.part, number(&s, i));
    for (int64_t i = 1; a->splat && i < count; i++) dst[i] = dst[0];
    return true;
}

/* Types are equal (hlo_attr_equal has looked). NaNs with the same bits are equal, zeros of different sign are not. */
bool hlo_elements_equal(const struct hlo_attr *a, const struct hlo_attr *b) {
    int64_t n = number_count(a);
    if (n < 0) return false;
    if (a->splat && b->splat && n) n = hlo_elem_complex(a->type->elem) ? 2 : 1;
    if (as_it_stands(a) && as_it_stands(b)) return a->ndata == b->ndata && memcmp(a->data, b->data, a->ndata) == 0;
    struct source sa = open_source(a), sb = open_source(b);
    for (int64_t i = 0; i < n; i++) {
        uint64_t x = number(&sa, i), y = number(&sb, i);
        if (hlo_elem_integer(sa.part) ? integer(sa.part, x) != integer(sa.part, y) : x != y) return false;
    }
    return true;
}
