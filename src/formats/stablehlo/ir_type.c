/* ir_type.c: element types and types of StableHLO programs, interned within a module, and their text.
 *
 * A type is compared by structure once, when it is interned; after that equal types are one pointer, so the items of
 * tuples and functions are compared as pointers. (Types of two modules compare by structure all the way.) What a
 * type holds lives in the module's arena. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "formats/stablehlo/ir.h"

/* ---- element types ---------------------------------------------------------------------------------------------- */

enum { /* bits of the dtypes, to tell carriers from types that are a dtype themselves */
#define X(name, text, kind, bits, block, bytes, full) DTYPE_BITS_##name = bits,
    TSR_DTYPE_LIST(X)
#undef X
};

static const struct hlo_elem_info elem_info[HLO_ELEM_COUNT] = {
#define X(name, text, bits, dtype)                                                                                    \
    {text, bits, TSR_##dtype, HLO_##name == HLO_I1 || (bits == DTYPE_BITS_##dtype && HLO_##name != HLO_TF32)},
    HLO_ELEM_LIST(X)
#undef X
};

const struct hlo_elem_info *hlo_elem_of(enum hlo_elem e) { return &elem_info[e]; }

/* ---- interning -------------------------------------------------------------------------------------------------- */

static uint64_t quant_hash(uint64_t h, const struct hlo_quant *q) {
    if (!q) return hash_mix(h, 0);
    h = hash_mix(hash_mix(h, 1 + (uint64_t)q->storage * 64 + (uint64_t)q->expressed), (uint64_t)q->storage_min);
    h = hash_mix(hash_mix(h, (uint64_t)q->storage_max), (uint64_t)(int64_t)q->axis);
    h = hash_bytes(h, q->scale, (size_t)q->n * sizeof *q->scale);
    return hash_bytes(h, q->zero_point, (size_t)q->n * sizeof *q->zero_point);
}

static uint64_t type_hash(const struct hlo_type *t) {
    uint64_t h = hash_mix(hash_mix((uint64_t)t->kind, (uint64_t)t->elem), (uint64_t)(t->rank * 64 + t->n));
    for (int i = 0; i < t->rank; i++) h = hash_mix(h, (uint64_t)t->dim[i]);
    for (int i = 0; i < t->n; i++) h = hash_mix(h, t->item[i]->hash);
    if (t->quant) h = quant_hash(h, t->quant);
    if (t->encoding) h = hash_mix(h, (uint64_t)t->encoding->kind);
    if (t->text) h = hash_str(h, t->text);
    return hash_mix(h, (uint64_t)t->nin);
}

static bool same_words(const void *a, const void *b, int n) { return n == 0 || memcmp(a, b, (size_t)n * 8) == 0; }

static bool quant_equal(const struct hlo_quant *a, const struct hlo_quant *b) {
    if (!a || !b) return a == b;
    return a->storage == b->storage && a->expressed == b->expressed && a->storage_min == b->storage_min &&
        a->storage_max == b->storage_max && a->axis == b->axis && a->n == b->n && a->nblock == b->nblock &&
        same_words(a->block_axis, b->block_axis, a->nblock) && same_words(a->block, b->block, a->nblock) &&
        same_words(a->scale, b->scale, a->n) && same_words(a->zero_point, b->zero_point, a->n);
}

static bool text_equal(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static bool items_equal(const struct hlo_type *a, const struct hlo_type *b) {
    for (int i = 0; i < a->n; i++)
        if (!hlo_type_equal(a->item[i], b->item[i])) return false;
    return true;
}

bool hlo_type_equal(const struct hlo_type *a, const struct hlo_type *b) {
    if (a == b || !a || !b) return a == b;
    return a->kind == b->kind && a->elem == b->elem && a->rank == b->rank && a->n == b->n && a->nin == b->nin &&
        same_words(a->dim, b->dim, a->rank) && items_equal(a, b) && text_equal(a->text, b->text) &&
        quant_equal(a->quant, b->quant) &&
        (a->encoding && b->encoding ? hlo_attr_equal(a->encoding, b->encoding) : a->encoding == b->encoding);
}

static bool same_type(const void *item, const void *key, void *user) {
    (void)user;
    return hlo_type_equal(item, key);
}

static void *copy(struct hlo_module *m, const void *from, int n, size_t size, bool *ok) {
    void *to = arena_array(&m->arena, (size_t)n, size); /* a pointer for an empty one too */
    if (to && n) memcpy(to, from, (size_t)n * size);
    *ok = *ok && to;
    return to;
}

static const struct hlo_quant *quant_copy(struct hlo_module *m, const struct hlo_quant *q, bool *ok) {
    struct hlo_quant *to = copy(m, q, 1, sizeof *q, ok);
    if (!to) return NULL;
    to->block_axis = copy(m, q->block_axis, q->nblock, sizeof *q->block_axis, ok);
    to->block = copy(m, q->block, q->nblock, sizeof *q->block, ok);
    to->scale = copy(m, q->scale, q->n, sizeof *q->scale, ok);
    to->zero_point = copy(m, q->zero_point, q->n, sizeof *q->zero_point, ok);
    return to;
}

const struct hlo_type *hlo_type_intern(struct hlo_module *m, const struct hlo_type *proto) {
    uint64_t hash = type_hash(proto);
    struct hlo_type *t = map_get(&m->types, hash, proto, same_type, NULL);
    if (t) return t;
    bool ok = true;
    t = copy(m, proto, 1, sizeof *proto, &ok);
    if (!t) return NULL;
    t->hash = hash;
    t->dim = copy(m, proto->dim, proto->rank, sizeof *proto->dim, &ok);
    t->item = copy(m, proto->item, proto->n, sizeof *proto->item, &ok);
    if (proto->quant) t->quant = quant_copy(m, proto->quant, &ok);
    if (proto->text) t->text = copy(m, proto->text, (int)strlen(proto->text) + 1, 1, &ok);
    return ok && map_put(m->c, &m->types, hash, t) ? t : NULL;
}

const struct hlo_type *hlo_type_scalar(struct hlo_module *m, enum hlo_elem e) {
    return hlo_type_intern(m, &(struct hlo_type){.kind = HLO_T_SCALAR, .elem = e});
}

const struct hlo_type *hlo_type_tensor(struct hlo_module *m, enum hlo_elem e, int rank, const int64_t *dim) {
    return hlo_type_intern(m, &(struct hlo_type){.kind = HLO_T_TENSOR, .elem = e, .rank = rank, .dim = dim});
}

const struct hlo_type *hlo_type_function(struct hlo_module *m, int nin, const struct hlo_type *const *in, int nout,
    const struct hlo_type *const *out) {
    const struct hlo_type **item = mem_array(m->c, (size_t)(nin + nout), sizeof *item);
    if (!item) return NULL;
    if (nin) memcpy(item, in, (size_t)nin * sizeof *item);
    if (nout) memcpy(item + nin, out, (size_t)nout * sizeof *item);
    const struct hlo_type *t =
        hlo_type_intern(m, &(struct hlo_type){.kind = HLO_T_FUNCTION, .n = nin + nout, .nin = nin, .item = item});
    mem_array_free(m->c, item, (size_t)(nin + nout), sizeof *item);
    return t;
}

bool hlo_type_static(const struct hlo_type *t) {
    if (t->kind != HLO_T_TENSOR && t->kind != HLO_T_BUFFER) return false;
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 0) return false;
    return true;
}

int64_t hlo_type_count(const struct hlo_type *t) {
    int64_t count = 1;
    bool empty = false, fits = true;
    if (!hlo_type_static(t)) return -1;
    for (int i = 0; i < t->rank; i++) {
        empty |= t->dim[i] == 0;
        fits = fits && i64_mul(count, t->dim[i], &count);
    }
    return empty ? 0 : fits ? count : -1;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

/* The shortest of MLIR's spelling (six digits) and the exact one that reads back as v. */
static void put_scale(struct str *out, double v) {
    char text[40];
    locale_t before = locale_enter_c();
    snprintf(text, sizeof text, "%e", v);
    if (strtod(text, NULL) != v) snprintf(text, sizeof text, "%.16e", v);
    locale_leave_c(before);
    str_put(out, text);
}

static void put_point(struct str *out, const struct hlo_quant *q, int i) {
    put_scale(out, q->scale[i]);
    if (q->zero_point[i]) str_printf(out, ":%lld", (long long)q->zero_point[i]);
}

/* Scales of a sub-channel type nest as deep as the tensor has axes; each axis' number of blocks is not kept, only the
 * product, so they are written as the reader takes them: one brace, row-major order. */
static void put_points(struct str *out, const struct hlo_quant *q) {
    str_put(out, ", {");
    for (int i = 0; i < q->n; i++) {
        if (i) str_putc(out, ',');
        put_point(out, q, i);
    }
    str_putc(out, '}');
}

static void put_quant(struct str *out, const struct hlo_quant *q) {
    const char *text = elem_info[q->storage].text;
    int bits = elem_info[q->storage].bits;
    bool is_unsigned = text[0] == 'u';
    int64_t lo = is_unsigned ? 0 : -((int64_t)1 << (bits - 1));
    int64_t hi = is_unsigned ? (int64_t)((UINT64_C(1) << bits) - 1) : ((int64_t)1 << (bits - 1)) - 1;
    if (is_unsigned) str_printf(out, "!quant.uniform<u%d", bits);
    else str_printf(out, "!quant.uniform<%s", text);
    if (q->storage_min != lo || q->storage_max != hi)
        str_printf(out, "<%lld:%lld>", (long long)q->storage_min, (long long)q->storage_max);
    str_printf(out, ":%s", elem_info[q->expressed].text);
    if (q->nblock) {
        str_put(out, ":{");
        for (int i = 0; i < q->nblock; i++)
            str_printf(out, "%s%lld:%lld", i ? ", " : "", (long long)q->block_axis[i], (long long)q->block[i]);
        str_put(out, "}");
        put_points(out, q);
    } else if (q->axis >= 0) {
        str_printf(out, ":%d", q->axis);
        put_points(out, q);
    } else {
        str_put(out, ", ");
        put_point(out, q, 0);
    }
    str_putc(out, '>');
}

static void put_elem(struct str *out, const struct hlo_type *t) {
    if (t->quant) put_quant(out, t->quant);
    else str_put(out, elem_info[t->elem].text);
}

/* bounds<4, ?> or whatever stands in the place of an encoding, as #stablehlo.bounds<4, ?>. */
static void put_encoding(struct str *out, const struct hlo_attr *a) {
    const struct hlo_attr *v = a->kind == HLO_A_STRUCT && a->n == 1 ? a->field[0].value : NULL;
    if (a->kind != HLO_A_STRUCT || (v && v->kind != HLO_A_INTS)) {
        if (a->s) str_put(out, a->s);
        return;
    }
    str_printf(out, "#%s<", a->name);
    for (int i = 0; v && i < v->n; i++) {
        if (i) str_put(out, ", ");
        if (v->ints[i] == HLO_DYNAMIC) str_putc(out, '?');
        else str_printf(out, "%lld", (long long)v->ints[i]);
    }
    str_putc(out, '>');
}

static void put_shaped(struct str *out, const char *word, const struct hlo_type *t) {
    str_put(out, word);
    str_putc(out, '<');
    if (t->kind == HLO_T_UNRANKED) str_put(out, "*x");
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] == HLO_DYNAMIC) str_put(out, "?x");
        else str_printf(out, "%lldx", (long long)t->dim[i]);
    }
    put_elem(out, t);
    if (t->encoding) str_put(out, ", "), put_encoding(out, t->encoding);
    str_putc(out, '>');
}

static void put_items(struct str *out, int n, const struct hlo_type *const *item) {
    for (int i = 0; i < n; i++) {
        if (i) str_put(out, ", ");
        hlo_type_text(out, item[i]);
    }
}

static void put_function(struct str *out, const struct hlo_type *t) {
    int nout = t->n - t->nin;
    bool bare = nout == 1 && t->item[t->nin]->kind != HLO_T_FUNCTION;
    str_putc(out, '(');
    put_items(out, t->nin, t->item);
    str_put(out, bare ? ") -> " : ") -> (");
    put_items(out, nout, t->item + t->nin);
    if (!bare) str_putc(out, ')');
}

void hlo_type_text(struct str *out, const struct hlo_type *t) {
    switch (t->kind) {
    case HLO_T_TENSOR:
    case HLO_T_UNRANKED: put_shaped(out, "tensor", t); break;
    case HLO_T_BUFFER: put_shaped(out, "memref", t); break;
    case HLO_T_SCALAR: put_elem(out, t); break;
    case HLO_T_TUPLE: str_put(out, "tuple<"), put_items(out, t->n, t->item), str_putc(out, '>'); break;
    case HLO_T_FUTURE: str_put(out, "!stablehlo.future<"), put_items(out, t->n, t->item), str_putc(out, '>'); break;
    case HLO_T_TOKEN: str_put(out, "!stablehlo.token"); break;
    case HLO_T_FUNCTION: put_function(out, t); break;
    case HLO_T_OPAQUE: str_put(out, t->text); break;
    }
}
