/* type.c: interned types, and short texts of types and extents for messages.
 *
 * A type is a dtype with extents, a tuple of types, or a token. Equal types are one pointer, so comparing types is
 * comparing pointers; they live as long as the context. Ranks are at most TSR_MAX_RANK and extents may not be provably
 * negative: a type that breaks this is refused here, so no later pass has to ask. */
#include <stdio.h>
#include <string.h>

#include "graph/room.h"

static bool type_equal(const void *item, const void *key, void *user) {
    const tsr_type *a = item, *b = key;
    (void)user;
    if (a->kind != b->kind || a->rank != b->rank || (a->kind == TSR_TENSOR && a->dtype != b->dtype)) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->kind == TSR_TENSOR ? a->extent[i] != b->extent[i] : a->item[i] != b->item[i]) return false;
    return true;
}

static const tsr_type *type_intern(tsr_ctx *c, tsr_type key) {
    struct graph_room *g = graph_room(c);
    if (!g) return NULL;
    uint64_t h = hash_mix((uint64_t)key.kind + 31, key.kind == TSR_TENSOR ? (uint64_t)key.dtype : 0);
    for (int i = 0; i < key.rank; i++) h = hash_mix(h, key.kind == TSR_TENSOR ? key.extent[i]->hash
        : key.item[i]->hash);
    key.hash = h;
    tsr_type *found = map_get(&g->types, h, &key, type_equal, NULL);
    if (found) return found;
    tsr_type *t = arena_alloc(&g->mem, sizeof *t);
    const void **part = key.rank ? arena_array(&g->mem, (size_t)key.rank, sizeof *part) : NULL;
    if (!t || (key.rank && !part)) return NULL;
    for (int i = 0; i < key.rank; i++) part[i] = key.kind == TSR_TENSOR ? (const void *)key.extent[i]
        : (const void *)key.item[i];
    *t = key;
    t->extent = key.kind == TSR_TENSOR ? (const tsr_extent *const *)part : NULL;
    t->item = key.kind == TSR_TUPLE ? (const tsr_type *const *)part : NULL;
    return map_put(c, &g->types, h, t) ? t : NULL;
}

const tsr_type *tsr_type_tensor(tsr_ctx *c, tsr_dtype t, int rank, const tsr_extent *const *extent) {
    if ((unsigned)t >= TSR_DTYPE_COUNT) return err_set(c, TSR_EINVAL, "type: %d is no dtype", (int)t), NULL;
    if (rank < 0 || rank > TSR_MAX_RANK)
        return err_set(c, TSR_EINVAL, "type: rank %d, at most %d axes: reshape to fewer", rank, TSR_MAX_RANK), NULL;
    for (int i = 0; i < rank; i++) {
        if (!extent[i]) return NULL;
        if (extent[i]->hi < 0)
            return err_set(c, TSR_EINVAL, "type: axis %d of a %s tensor has extent %s: sizes are not negative", i,
                tsr_dtype_name(t),
                           extent_text(c, extent[i])), NULL;
    }
    int64_t last, block = tsr_dtype_of(t)->block;
    if (tsr_dtype_of(t)->kind == TSR_KIND_BLOCK &&
        (rank == 0 || (tsr_extent_is_int(extent[rank - 1], &last) && last % block)))
        return err_set(c, TSR_EINVAL, "type: %s stores blocks of %lld elements: the last extent must be a multiple",
            tsr_dtype_name(t),
                       (long long)block), NULL;
    return type_intern(c, (tsr_type){.kind = TSR_TENSOR, .dtype = t, .rank = rank, .extent = extent});
}

const tsr_type *tsr_type_dims(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim) {
    const tsr_extent *e[TSR_MAX_RANK];
    if (rank < 0 || rank > TSR_MAX_RANK) return tsr_type_tensor(c, t, rank, NULL);
    for (int i = 0; i < rank; i++)
        if (!(e[i] = tsr_extent_int(c, dim[i]))) return NULL;
    return tsr_type_tensor(c, t, rank, e);
}

const tsr_type *tsr_type_tuple(tsr_ctx *c, int n, const tsr_type *const *item) {
    for (int i = 0; i < n; i++) {
        if (!item[i]) return NULL;
        if (item[i]->kind == TSR_TUPLE) return err_set(c, TSR_EINVAL, "type: tuples do not nest"), NULL;
    }
    return type_intern(c, (tsr_type){.kind = TSR_TUPLE, .rank = n, .item = item});
}

const tsr_type *tsr_type_token(tsr_ctx *c) { return type_intern(c, (tsr_type){.kind = TSR_TOKEN}); }

bool tsr_type_ints(const tsr_type *t, int64_t *dim) {
    for (int i = 0; i < t->rank; i++) {
        int64_t v;
        if (!tsr_extent_is_int(t->extent[i], &v)) return false;
        if (dim) dim[i] = v;
    }
    return true;
}

/* ---- relatives of a type ---- */

const tsr_extent *type_elements(tsr_ctx *c, const tsr_type *t) {
    const tsr_extent *n = tsr_extent_int(c, 1);
    for (int i = 0; i < t->rank && n; i++) n = tsr_extent_mul(c, n, t->extent[i]);
    return n;
}

bool type_bytes(const tsr_type *t, size_t *out) {
    int64_t n = 1, v;
    if (t->kind != TSR_TENSOR) return false;
    for (int i = 0; i < t->rank; i++)
        if (!tsr_extent_is_int(t->extent[i], &v) || !i64_mul(n, v, &n)) return false;
    return tsr_dtype_bytes(t->dtype, n, out);
}

const tsr_type *type_with_dtype(tsr_ctx *c, const tsr_type *t, tsr_dtype d) {
    return tsr_type_tensor(c, d, t->rank, t->extent);
}

static const tsr_type *type_edit(tsr_ctx *c, const tsr_type *t, int axis, int drop, const tsr_extent *put) {
    const tsr_extent *e[TSR_MAX_RANK + 1];
    int n = 0;
    for (int i = 0; i < axis; i++) e[n++] = t->extent[i];
    if (put) e[n++] = put;
    for (int i = axis + drop; i < t->rank; i++) e[n++] = t->extent[i];
    return tsr_type_tensor(c, t->dtype, n, e);
}

const tsr_type *type_with_extent(tsr_ctx *c, const tsr_type *t, int axis, const tsr_extent *e) {
    return e ? type_edit(c, t, axis, 1, e) : NULL;
}
const tsr_type *type_drop_axis(tsr_ctx *c, const tsr_type *t, int axis) { return type_edit(c, t, axis, 1, NULL); }
const tsr_type *type_insert_axis(tsr_ctx *c, const tsr_type *t, int axis, const tsr_extent *e) {
    return e ? type_edit(c, t, axis, 0, e) : NULL;
}

/* ---- kinds of dtypes ---- */

bool dtype_is_float(tsr_dtype t) { return tsr_dtype_of(t)->kind == TSR_KIND_FLOAT; }
bool dtype_is_int(tsr_dtype t) {
    return tsr_dtype_of(t)->kind == TSR_KIND_INT || tsr_dtype_of(t)->kind == TSR_KIND_UINT;
}
bool dtype_is_complex(tsr_dtype t) { return tsr_dtype_of(t)->kind == TSR_KIND_COMPLEX; }
tsr_dtype dtype_real(tsr_dtype t) { return t == TSR_C64 ? TSR_F32 : t == TSR_C128 ? TSR_F64 : t; }

tsr_dtype dtype_accumulator(tsr_dtype t) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    if (d->kind == TSR_KIND_FLOAT && d->bits < 32) return TSR_F32;
    if (d->kind == TSR_KIND_BLOCK) return TSR_F32;
    if (d->kind == TSR_KIND_INT && d->bits < 32) return TSR_I32;
    if (d->kind == TSR_KIND_UINT && d->bits < 32) return TSR_U32;
    return t;
}

/* ---- text ---- */

void type_print(struct str *s, const tsr_type *t) {
    if (!t) {
        str_put(s, "?");
    } else if (t->kind == TSR_TOKEN) {
        str_put(s, "token");
    } else if (t->kind == TSR_TUPLE) {
        str_putc(s, '(');
        for (int i = 0; i < t->rank; i++) {
            if (i) str_put(s, ", ");
            type_print(s, t->item[i]);
        }
        str_putc(s, ')');
    } else {
        str_put(s, tsr_dtype_name(t->dtype));
        str_putc(s, '[');
        for (int i = 0; i < t->rank; i++) {
            if (i) str_putc(s, ',');
            extent_print(s, t->extent[i]);
        }
        str_putc(s, ']');
    }
}

/* Print into the next buffer of the ring; long texts are cut. */
static const char *ring_text(tsr_ctx *c, struct str *s) {
    struct graph_room *g = graph_room(c);
    if (!g) return "?";
    char *at = g->text[g->text_next];
    g->text_next = (g->text_next + 1) % TEXT_RING;
    snprintf(at, TEXT_BYTES, "%s", s->s);
    str_release(s);
    return at;
}

const char *type_text(tsr_ctx *c, const tsr_type *t) {
    struct str s;
    str_init(&s, c);
    type_print(&s, t);
    return ring_text(c, &s);
}

const char *extent_text(tsr_ctx *c, const tsr_extent *e) {
    struct str s;
    str_init(&s, c);
    extent_print(&s, e);
    return ring_text(c, &s);
}
