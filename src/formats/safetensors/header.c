/* header.c: the header of a safetensors file: an object of tensors, checked whole.
 *
 * What a file may not do: name a tensor, a field or a metadata key twice; leave a field out or add one; have more than
 * TSR_MAX_RANK axes; have sizes that do not multiply to end - begin; leave a byte of the data to no tensor or to two.
 * Everything is linear or n log n in the header, so a header full of names stays cheap. */
#include "formats/safetensors/header.h"

#include <stdlib.h>
#include <string.h>

#include "formats/safetensors/json.h"

static const struct { const char *name; tsr_dtype dtype; } st_dtypes[] = {
#define X(text, dtype) {text, TSR_##dtype},
    ST_DTYPE_LIST(X)
#undef X
};
enum { DTYPES = sizeof st_dtypes / sizeof *st_dtypes };

const char *st_dtype_name(tsr_dtype t) {
    for (int i = 0; i < DTYPES; i++) {
        if (st_dtypes[i].dtype == t) return st_dtypes[i].name;
    }
    return NULL;
}

/* ---- one tensor ------------------------------------------------------------------------------------------------- */

static tsr_status parse_dtype(struct json *j, tsr_dtype *out) {
    tsr_status s = json_string(j);
    for (int i = 0; !s && i < DTYPES; i++) {
        if (strcmp(st_dtypes[i].name, j->text.s)) continue;
        *out = st_dtypes[i].dtype;
        return TSR_OK;
    }
    if (s) return s;
    return err_set(j->c, TSR_EUNSUPPORTED, "%s: dtype \"%.32s\" is not supported; BOOL, U8 to U64, I8 to I64, F8_E4M3, "
        "F8_E5M2, F16, BF16, F32, F64 and C64 are", j->name, j->text.s);
}

static tsr_status parse_shape(struct json *j, tsr_safetensor *t) {
    tsr_status s = json_expect(j, '[');
    t->rank = 0;
    if (s || json_peek(j, ']')) return s;
    do {
        uint64_t v = 0;
        if ((s = json_uint(j, &v))) return s;
        if (v > INT64_MAX) return json_error(j, "an extent above 2^63");
        if (t->rank == TSR_MAX_RANK) return json_error(j, "more than %d axes", TSR_MAX_RANK);
        t->dim[t->rank++] = (int64_t)v;
    } while (json_peek(j, ','));
    return json_expect(j, ']');
}

static tsr_status parse_offsets(struct json *j, struct st_entry *e) {
    tsr_status s = json_expect(j, '[');
    if (!s) s = json_uint(j, &e->begin);
    if (!s) s = json_expect(j, ',');
    if (!s) s = json_uint(j, &e->end);
    return s ? s : json_expect(j, ']');
}

enum { FIELD_DTYPE = 1, FIELD_SHAPE = 2, FIELD_OFFSETS = 4, FIELD_ALL = 7 };

static tsr_status parse_field(struct json *j, struct st_entry *e, int *seen) {
    static const struct { const char *name; int bit; } fields[] = {
        {"dtype", FIELD_DTYPE}, {"shape", FIELD_SHAPE}, {"data_offsets", FIELD_OFFSETS}};
    tsr_status s = json_string(j);
    int bit = 0;
    for (int i = 0; !s && i < 3; i++) {
        if (!strcmp(fields[i].name, j->text.s)) bit = fields[i].bit;
    }
    if (!s && !bit) return json_error(j, "unknown field \"%.32s\": dtype, shape and data_offsets are expected",
        j->text.s);
    if (!s && (*seen & bit)) return json_error(j, "field \"%s\" comes twice", j->text.s);
    *seen |= bit;
    if (!s) s = json_expect(j, ':');
    if (s) return s;
    return bit == FIELD_DTYPE ? parse_dtype(j, &e->t.dtype) : bit == FIELD_SHAPE ? parse_shape(j, &e->t)
        : parse_offsets(j, e);
}

static tsr_status check_size(struct json *j, struct st_entry *e) {
    int64_t count = 1;
    bool fits = true;
    for (int i = 0; i < e->t.rank; i++) fits = fits && i64_mul(count, e->t.dim[i], &count);
    fits = fits && tsr_dtype_bytes(e->t.dtype, count, &e->t.bytes);
    if (fits && e->begin <= e->end && e->end - e->begin == e->t.bytes) return TSR_OK;
    return json_error(j, "tensor \"%.64s\": its data_offsets [%llu, %llu] do not fit its dtype %s and shape", e->t.name,
        (unsigned long long)e->begin, (unsigned long long)e->end, tsr_dtype_name(e->t.dtype));
}

static tsr_status parse_tensor(struct json *j, struct st_entry *e) {
    int seen = 0;
    tsr_status s = json_expect(j, '{');
    if (s) return s;
    if (!json_peek(j, '}')) {
        do {
            if ((s = parse_field(j, e, &seen))) return s;
        } while (json_peek(j, ','));
        if ((s = json_expect(j, '}'))) return s;
    }
    if (seen != FIELD_ALL) return json_error(j, "tensor \"%.64s\" lacks dtype, shape or data_offsets", e->t.name);
    return check_size(j, e);
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static tsr_status parse_metadata(struct json *j, struct st_header *h) {
    tsr_status s = json_expect(j, '{');
    if (s || json_peek(j, '}')) return s;
    do {
        tsr_metadata m = {0};
        if ((s = json_string(j))) return s;
        m.key = arena_strdup(&h->text, j->text.s);
        if ((s = json_expect(j, ':')) || (s = json_string(j))) return s;
        m.value = arena_strdup(&h->text, j->text.s);
        if (!m.key || !m.value || !vec_push(j->c, &h->meta, m)) return TSR_ENOMEM;
    } while (json_peek(j, ','));
    return json_expect(j, '}');
}

static tsr_status parse_member(struct json *j, struct st_header *h, bool *metadata) {
    tsr_status s = json_string(j);
    if (s) return s;
    bool meta = !strcmp(j->text.s, METADATA_NAME);
    struct st_entry e = {.t.name = meta ? METADATA_NAME : arena_strdup(&h->text, j->text.s)};
    if (!e.t.name) return TSR_ENOMEM;
    if ((s = json_expect(j, ':'))) return s;
    if (meta && *metadata) return json_error(j, METADATA_NAME " comes twice");
    if (meta) *metadata = true;
    if (meta) return parse_metadata(j, h);
    if ((s = parse_tensor(j, &e))) return s;
    return vec_push(j->c, &h->tensor, e) ? TSR_OK : TSR_ENOMEM;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct st_entry *)a)->t.name, ((const struct st_entry *)b)->t.name);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const tsr_metadata *)a)->key, ((const tsr_metadata *)b)->key);
}

static int by_place(const void *a, const void *b) {
    const struct st_entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Sorted by place, each tensor begins where the one before ends. */
static tsr_status check_cover(struct json *j, struct st_header *h, uint64_t data) {
    uint64_t at = 0;
    if (h->tensor.n) qsort(h->tensor.v, h->tensor.n, sizeof *h->tensor.v, by_place);
    for (size_t i = 0; i < h->tensor.n; i++) {
        const struct st_entry *e = &h->tensor.v[i];
        if (e->begin != at)
            return json_error(j, "tensor \"%.64s\" begins at byte %llu of the data, %s byte %llu", e->t.name,
                (unsigned long long)e->begin, e->begin < at ? "inside another that ends at" : "after a hole from",
                (unsigned long long)at);
        at = e->end;
    }
    if (at == data) return TSR_OK;
    return json_error(j, "the tensors cover %llu bytes and the file has %llu bytes of data%s", (unsigned long long)at,
        (unsigned long long)data, at > data ? "; it is cut short" : "");
}

static tsr_status check_unique(struct json *j, struct st_header *h) {
    if (h->tensor.n) qsort(h->tensor.v, h->tensor.n, sizeof *h->tensor.v, by_name);
    if (h->meta.n) qsort(h->meta.v, h->meta.n, sizeof *h->meta.v, by_key);
    for (size_t i = 1; i < h->tensor.n; i++) {
        if (!by_name(&h->tensor.v[i - 1], &h->tensor.v[i]))
            return json_error(j, "tensor \"%.64s\" comes twice", h->tensor.v[i].t.name);
    }
    for (size_t i = 1; i < h->meta.n; i++) {
        if (!by_key(&h->meta.v[i - 1], &h->meta.v[i]))
            return json_error(j, "metadata \"%.64s\" comes twice", h->meta.v[i].key);
    }
    return TSR_OK;
}

static tsr_status parse_members(struct json *j, struct st_header *h) {
    bool metadata = false;
    if (j->p == j->end || *j->p != '{') return json_error(j, "it does not begin with '{'");
    j->p++;
    if (json_peek(j, '}')) return json_end(j);
    do {
        tsr_status s = parse_member(j, h, &metadata);
        if (s) return s;
    } while (json_peek(j, ','));
    tsr_status s = json_expect(j, '}');
    return s ? s : json_end(j);
}

tsr_status st_header_parse(tsr_ctx *c, struct st_header *h, const char *name, const uint8_t *json, size_t n,
    uint64_t data) {
    struct json j;
    *h = (struct st_header){0};
    arena_init(&h->text, c);
    json_init(&j, c, name, json, n);
    tsr_status s = parse_members(&j, h);
    if (!s) s = check_cover(&j, h, data);
    if (!s) s = check_unique(&j, h);
    json_release(&j);
    return s;
}

void st_header_release(tsr_ctx *c, struct st_header *h) {
    vec_release(c, &h->tensor), vec_release(c, &h->meta);
    arena_release(&h->text);
}
