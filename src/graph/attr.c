/* attr.c: attributes of nodes: names, order, equality, hashing, deep copies.
 *
 * attrs.def lists every attribute once. A node keeps its attributes sorted by key and owns copies of their arrays in
 * its own allocation. Arrays of extents hold interned pointers; tile programs are counted references. */
#include <string.h>

#include "graph/attr.h"

static const struct { const char *name; enum attr_kind kind; } table[ATTR_COUNT] = {
#define ATTR(key, kind, name, help) {name, ATTR_KIND_##kind},
#include "graph/attrs.def"
#undef ATTR
};

const char *attr_name(enum attr_key k) { return table[k].name; }
enum attr_kind attr_kind(enum attr_key k) { return table[k].kind; }

/* Bytes an attribute keeps beside its struct. */
static size_t payload(const struct attr *a) {
    switch (attr_kind(a->key)) {
    case ATTR_KIND_INTS: return a->n * sizeof *a->ints;
    case ATTR_KIND_EXTS: return a->n * sizeof *a->exts;
    case ATTR_KIND_STR: return strlen(a->str) + 1;
    case ATTR_KIND_BYTES: return a->n;
    default: return 0;
    }
}

static size_t align16(size_t n) { return (n + 15) & ~(size_t)15; }

size_t attrs_bytes(int n, const struct attr *a) {
    size_t total = align16((size_t)n * sizeof *a);
    for (int i = 0; i < n; i++) total += align16(payload(&a[i]));
    return total;
}

struct attr *attrs_copy(void *at, int n, const struct attr *a) {
    struct attr *out = at;
    uint8_t *p = (uint8_t *)at + align16((size_t)n * sizeof *a);
    for (int i = 0; i < n; i++) { /* insertion sort by key: n is small */
        int j = i;
        for (; j > 0 && out[j - 1].key > a[i].key; j--) out[j] = out[j - 1];
        out[j] = a[i];
    }
    for (int i = 0; i < n; i++) {
        size_t bytes = payload(&out[i]);
        if (attr_kind(out[i].key) == ATTR_KIND_TILE) tsr_tile_keep(out[i].tile);
        if (!bytes && attr_kind(out[i].key) != ATTR_KIND_STR) continue;
        memcpy(p, out[i].bytes, bytes);
        out[i].bytes = p;
        p += align16(bytes);
    }
    return out;
}

void attrs_drop(int n, struct attr *a) {
    for (int i = 0; i < n; i++)
        if (attr_kind(a[i].key) == ATTR_KIND_TILE) tsr_tile_free(a[i].tile);
}

uint64_t attrs_hash(uint64_t h, int n, const struct attr *a) {
    for (int i = 0; i < n; i++) {
        h = hash_mix(hash_mix(h, (uint64_t)a[i].key), a[i].n);
        switch (attr_kind(a[i].key)) {
        case ATTR_KIND_INT: h = hash_mix(h, (uint64_t)a[i].i); break;
        case ATTR_KIND_DTYPE: h = hash_mix(h, (uint64_t)a[i].dtype); break;
        case ATTR_KIND_FLOAT: h = hash_bytes(h, &a[i].f, sizeof a[i].f); break;
        case ATTR_KIND_TILE: h = hash_mix(h, (uint64_t)(uintptr_t)a[i].tile); break;
        case ATTR_KIND_HOST: h = hash_mix(hash_mix(h, (uint64_t)(uintptr_t)a[i].host.fn),
            (uint64_t)(uintptr_t)a[i].host.user); break;
        case ATTR_KIND_EXTS:
            for (size_t j = 0; j < a[i].n; j++) h = hash_mix(h, a[i].exts[j]->hash);
            break;
        case ATTR_KIND_INTS:
        case ATTR_KIND_STR:
        case ATTR_KIND_BYTES: h = hash_bytes(h, a[i].bytes, payload(&a[i])); break;
        }
    }
    return h;
}

static bool attr_equal(const struct attr *a, const struct attr *b) {
    if (a->key != b->key || a->n != b->n) return false;
    switch (attr_kind(a->key)) {
    case ATTR_KIND_INT: return a->i == b->i;
    case ATTR_KIND_DTYPE: return a->dtype == b->dtype;
    case ATTR_KIND_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case ATTR_KIND_TILE: return a->tile == b->tile;
    case ATTR_KIND_HOST: return a->host.fn == b->host.fn && a->host.user == b->host.user;
    case ATTR_KIND_STR: return strcmp(a->str, b->str) == 0;
    case ATTR_KIND_INTS:
    case ATTR_KIND_EXTS:
    case ATTR_KIND_BYTES: return payload(a) == 0 || memcmp(a->bytes, b->bytes, payload(a)) == 0;
    }
    return false;
}

bool attrs_equal(int n, const struct attr *a, const struct attr *b) {
    for (int i = 0; i < n; i++)
        if (!attr_equal(&a[i], &b[i])) return false;
    return true;
}

static void print_value(struct str *s, const struct attr *a) {
    switch (attr_kind(a->key)) {
    case ATTR_KIND_INT: str_printf(s, "%lld", (long long)a->i); break;
    case ATTR_KIND_DTYPE: str_put(s, tsr_dtype_name(a->dtype)); break;
    case ATTR_KIND_FLOAT: str_printf(s, "%.17g", a->f); break;
    case ATTR_KIND_TILE: str_put(s, "<tile program>"); break;
    case ATTR_KIND_HOST: str_put(s, "<host function>"); break;
    case ATTR_KIND_STR: str_json(s, a->str); break;
    case ATTR_KIND_BYTES: str_printf(s, "<%zu bytes>", a->n); break;
    case ATTR_KIND_INTS:
    case ATTR_KIND_EXTS:
        str_putc(s, '[');
        for (size_t j = 0; j < a->n; j++) {
            if (j) str_putc(s, ',');
            if (attr_kind(a->key) == ATTR_KIND_INTS) str_printf(s, "%lld", (long long)a->ints[j]);
            else extent_print(s, a->exts[j]);
        }
        str_putc(s, ']');
        break;
    }
}

void attrs_print(struct str *s, int n, const struct attr *a) {
    for (int i = 0; i < n; i++) {
        str_printf(s, "%s%s=", i ? ", " : "", attr_name(a[i].key));
        print_value(s, &a[i]);
    }
}

const struct attr *attrs_find(int n, const struct attr *a, enum attr_key k) {
    for (int i = 0; i < n; i++)
        if (a[i].key == k) return &a[i];
    return NULL;
}

/* ---- attributes of a node ---- */

const struct attr *node_attr(const tsr_node *n, enum attr_key k) { return attrs_find(n->nattr, n->attr, k); }

static const struct attr *need(const tsr_node *n, enum attr_key k, enum attr_kind kind) {
    const struct attr *a = node_attr(n, k);
    if (!a || attr_kind(k) != kind) TSR_BUG("node %llu has no attribute %s", (unsigned long long)n->id, attr_name(k));
    return a;
}

int64_t node_int(const tsr_node *n, enum attr_key k) { return need(n, k, ATTR_KIND_INT)->i; }

int64_t node_int_or(const tsr_node *n, enum attr_key k, int64_t otherwise) {
    const struct attr *a = node_attr(n, k);
    return a ? a->i : otherwise;
}

const int64_t *node_ints(const tsr_node *n, enum attr_key k, int *count) {
    const struct attr *a = need(n, k, ATTR_KIND_INTS);
    if (count) *count = (int)a->n;
    return a->ints;
}

const tsr_extent *const *node_exts(const tsr_node *n, enum attr_key k, int *count) {
    const struct attr *a = need(n, k, ATTR_KIND_EXTS);
    if (count) *count = (int)a->n;
    return a->exts;
}
