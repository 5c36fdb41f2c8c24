/* ir_attr.c: attributes made, compared and asked. Attributes are not interned: few are equal, and constants are
 * large. */
#include <stdlib.h>
#include <string.h>

#include "formats/stablehlo/ir.h"

static struct hlo_attr *new_attr(struct hlo_module *m, enum hlo_attr_kind kind) {
    struct hlo_attr *a = m ? arena_alloc(&m->arena, sizeof *a) : NULL;
    if (a) a->kind = kind;
    return a;
}

static void *copy(struct hlo_module *m, const void *from, size_t n, size_t size) {
    void *to = arena_array(&m->arena, n, size);
    if (to && n) memcpy(to, from, n * size);
    return to;
}

const struct hlo_attr *hlo_attr_unit(struct hlo_module *m) { return new_attr(m, HLO_A_UNIT); }

const struct hlo_attr *hlo_attr_bool(struct hlo_module *m, bool v) {
    struct hlo_attr *a = new_attr(m, HLO_A_BOOL);
    if (a) a->i = v;
    return a;
}

const struct hlo_attr *hlo_attr_int(struct hlo_module *m, enum hlo_elem type, int64_t v) {
    struct hlo_attr *a = new_attr(m, HLO_A_INT);
    if (!a || !(a->type = hlo_type_scalar(m, type))) return NULL;
    a->i = v;
    return a;
}

const struct hlo_attr *hlo_attr_float(struct hlo_module *m, enum hlo_elem type, double v) {
    struct hlo_attr *a = new_attr(m, HLO_A_FLOAT);
    if (!a || !(a->type = hlo_type_scalar(m, type))) return NULL;
    a->f = v;
    return a;
}

static const struct hlo_attr *text_attr(struct hlo_module *m, enum hlo_attr_kind kind, const char *s, size_t n) {
    struct hlo_attr *a = new_attr(m, kind);
    char *text = a ? arena_array(&m->arena, n + 1, 1) : NULL;
    if (!text) return NULL;
    if (n) memcpy(text, s, n);
    a->s = text, a->ns = n;
    return a;
}

const struct hlo_attr *hlo_attr_string(struct hlo_module *m, const char *s, size_t n) {
    return text_attr(m, HLO_A_STRING, s, n);
}

const struct hlo_attr *hlo_attr_symbol(struct hlo_module *m, const char *name) {
    return text_attr(m, HLO_A_SYMBOL, name, strlen(name));
}

const struct hlo_attr *hlo_attr_opaque(struct hlo_module *m, const char *s, size_t n) {
    return text_attr(m, HLO_A_OPAQUE, s, n);
}

const struct hlo_attr *hlo_attr_type(struct hlo_module *m, const struct hlo_type *t) {
    struct hlo_attr *a = new_attr(m, HLO_A_TYPE);
    if (a) a->type = t;
    return a;
}

const struct hlo_attr *hlo_attr_list(struct hlo_module *m, int n, const struct hlo_attr *const *item) {
    struct hlo_attr *a = new_attr(m, HLO_A_LIST);
    if (!a || !(a->item = copy(m, item, (size_t)n, sizeof *item))) return NULL;
    a->n = n;
    return a;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct hlo_named *)a)->name, ((const struct hlo_named *)b)->name);
}

void hlo_named_sort(struct hlo_named *v, int n) {
    if (n > 16) {
        qsort(v, (size_t)n, sizeof *v, by_name);
        return;
    }
    for (int i = 1; i < n; i++) {
        struct hlo_named x = v[i];
        int k = i;
        for (; k > 0 && strcmp(v[k - 1].name, x.name) > 0; k--) v[k] = v[k - 1];
        v[k] = x;
    }
}

/* Names are copied: a dictionary's come from anywhere. */
static struct hlo_attr *fields(struct hlo_module *m, enum hlo_attr_kind kind, int n, const struct hlo_named *field) {
    struct hlo_attr *a = new_attr(m, kind);
    struct hlo_named *to = a ? copy(m, field, (size_t)n, sizeof *field) : NULL;
    if (!to) return NULL;
    for (int i = 0; i < n; i++)
        if (!(to[i].name = arena_strdup(&m->arena, field[i].name))) return NULL;
    if (kind == HLO_A_DICT) hlo_named_sort(to, n);
    a->field = to, a->n = n;
    return a;
}

const struct hlo_attr *hlo_attr_dict(struct hlo_module *m, int n, const struct hlo_named *field) {
    return fields(m, HLO_A_DICT, n, field);
}

const struct hlo_attr *hlo_attr_struct(struct hlo_module *m, const char *name, int n, const struct hlo_named *field) {
    struct hlo_attr *a = fields(m, HLO_A_STRUCT, n, field);
    return a && (a->name = arena_strdup(&m->arena, name)) ? a : NULL;
}

const struct hlo_attr *hlo_attr_ints(struct hlo_module *m, enum hlo_elem type, int n, const int64_t *v) {
    struct hlo_attr *a = new_attr(m, HLO_A_INTS);
    if (!a || !(a->ints = copy(m, v, (size_t)n, sizeof *v)) || !(a->type = hlo_type_scalar(m, type))) return NULL;
    a->n = n;
    return a;
}

const struct hlo_attr *hlo_attr_floats(struct hlo_module *m, enum hlo_elem type, int n, const double *v) {
    struct hlo_attr *a = new_attr(m, HLO_A_FLOATS);
    if (!a || !(a->floats = copy(m, v, (size_t)n, sizeof *v)) || !(a->type = hlo_type_scalar(m, type))) return NULL;
    a->n = n;
    return a;
}

const struct hlo_attr *hlo_attr_enum(struct hlo_module *m, const char *name, const char *value) {
    struct hlo_attr *a = new_attr(m, HLO_A_ENUM);
    if (!a || !(a->name = arena_strdup(&m->arena, name)) || !(a->s = arena_strdup(&m->arena, value))) return NULL;
    a->ns = strlen(value);
    return a;
}

const struct hlo_attr *hlo_attr_elements(struct hlo_module *m, const struct hlo_type *t, bool splat, const void *data,
    size_t ndata) {
    struct hlo_attr *a = new_attr(m, HLO_A_ELEMENTS);
    if (!a) return NULL;
    a->type = t, a->splat = splat, a->data = data, a->ndata = ndata;
    return a;
}

const struct hlo_attr *hlo_attr_elements_stored(struct hlo_module *m, const struct hlo_type *t, enum hlo_store store,
    bool splat, bool packed, const void *data, size_t ndata) {
    struct hlo_attr *a = (struct hlo_attr *)hlo_attr_elements(m, t, splat, data, ndata);
    if (a) a->store = store, a->packed = packed;
    return a;
}

/* ---- equality --------------------------------------------------------------------------------------------------- */

static bool text_equal(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static bool fields_equal(const struct hlo_attr *a, const struct hlo_attr *b) {
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->field[i].name, b->field[i].name) != 0 || !hlo_attr_equal(a->field[i].value, b->field[i].value))
            return false;
    return true;
}

static bool items_equal(const struct hlo_attr *a, const struct hlo_attr *b) {
    for (int i = 0; i < a->n; i++)
        if (!hlo_attr_equal(a->item[i], b->item[i])) return false;
    return true;
}

bool hlo_attr_equal(const struct hlo_attr *a, const struct hlo_attr *b) {
    if (a == b) return true;
    if (!a || !b || a->kind != b->kind || a->n != b->n || !hlo_type_equal(a->type, b->type)) return false;
    switch (a->kind) {
    case HLO_A_UNIT:
    case HLO_A_TYPE: return true;
    case HLO_A_BOOL:
    case HLO_A_INT: return a->i == b->i;
    case HLO_A_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case HLO_A_STRING:
    case HLO_A_SYMBOL:
    case HLO_A_OPAQUE: return a->ns == b->ns && memcmp(a->s, b->s, a->ns) == 0;
    case HLO_A_LIST: return items_equal(a, b);
    case HLO_A_DICT: return fields_equal(a, b);
    case HLO_A_STRUCT: return text_equal(a->name, b->name) && fields_equal(a, b);
    case HLO_A_ENUM: return text_equal(a->name, b->name) && text_equal(a->s, b->s);
    case HLO_A_INTS: return a->n == 0 || memcmp(a->ints, b->ints, (size_t)a->n * sizeof *a->ints) == 0;
    case HLO_A_FLOATS: return a->n == 0 || memcmp(a->floats, b->floats, (size_t)a->n * sizeof *a->floats) == 0;
    case HLO_A_ELEMENTS: return hlo_elements_equal(a, b);
    }
    return false;
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

const struct hlo_attr *hlo_get(const struct hlo_op *op, const char *name) {
    for (int i = 0; i < op->nattr; i++)
        if (strcmp(op->attr[i].name, name) == 0) return op->attr[i].value;
    return NULL;
}

const struct hlo_attr *hlo_field(const struct hlo_attr *a, const char *name) {
    for (int i = 0; a && (a->kind == HLO_A_DICT || a->kind == HLO_A_STRUCT) && i < a->n; i++)
        if (strcmp(a->field[i].name, name) == 0) return a->field[i].value;
    return NULL;
}

int64_t hlo_get_int(const struct hlo_op *op, const char *name, int64_t fallback) {
    const struct hlo_attr *a = hlo_get(op, name);
    return a && (a->kind == HLO_A_INT || a->kind == HLO_A_BOOL) ? a->i : fallback;
}

const char *hlo_get_text(const struct hlo_op *op, const char *name) {
    const struct hlo_attr *a = hlo_get(op, name);
    return a && (a->kind == HLO_A_STRING || a->kind == HLO_A_SYMBOL || a->kind == HLO_A_ENUM) ? a->s : NULL;
}

const int64_t *hlo_attr_ints_of(const struct hlo_attr *a, int *n) {
    bool is = a && a->kind == HLO_A_INTS;
    *n = is ? a->n : 0;
    return is ? a->ints : NULL;
}

const int64_t *hlo_get_ints(const struct hlo_op *op, const char *name, int *n) {
    return hlo_attr_ints_of(hlo_get(op, name), n);
}
