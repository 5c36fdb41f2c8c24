/* structs.c: the table of structs.def, and structures made with their fields in order, empty lists left out. */
#include "formats/stablehlo/structs.h"

#include <string.h>

static const struct hlo_struct_info table[] = {
#define HLO_ENUM(name, values) {name, values, true},
#define HLO_STRUCT(name, fields) {name, fields, false},
#include "formats/stablehlo/structs.def"
#undef HLO_ENUM
#undef HLO_STRUCT
};

const struct hlo_struct_info *hlo_struct_find(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0) return &table[i];
    return NULL;
}

/* Word i of a text of words with single spaces between. */
static bool word_at(const char *text, int i, const char **word, size_t *n) {
    for (; i > 0 && *text; i--) {
        text += strcspn(text, " ");
        text += *text == ' ';
    }
    *word = text, *n = strcspn(text, " ");
    return *n > 0;
}

bool hlo_struct_field(const struct hlo_struct_info *info, int i, struct hlo_struct_field *out) {
    const char *word;
    size_t n;
    if (!word_at(info->fields, i, &word, &n)) return false;
    const char *colon = memchr(word, ':', n);
    size_t nname = (size_t)(colon - word);
    *out = (struct hlo_struct_field){word, colon + 1, nname, n - nname - 1};
    return true;
}

bool hlo_enum_has(const struct hlo_struct_info *info, const char *value, size_t n) {
    const char *word;
    size_t length;
    for (int i = 0; word_at(info->fields, i, &word, &length); i++)
        if (length == n && memcmp(word, value, n) == 0) return true;
    return false;
}

static bool is_kind(const struct hlo_struct_field *f, const char *kind) {
    return strlen(kind) == f->nkind && memcmp(kind, f->kind, f->nkind) == 0;
}

/* The value to keep: NULL where the field is left out; *ok false: no memory. */
static const struct hlo_attr *kept(struct hlo_module *m, const struct hlo_struct_field *f, const struct hlo_attr *v,
    bool *ok) {
    if (v) return is_kind(f, "dims") && v->n == 0 ? NULL : v;
    bool is_int = is_kind(f, "int"), is_float = is_kind(f, "float");
    if (!is_int && !is_float) return NULL;
    v = is_int ? hlo_attr_int(m, HLO_I64, 0) : hlo_attr_float(m, HLO_F64, 0);
    *ok = *ok && v;
    return v;
}

const struct hlo_attr *hlo_struct_make(struct hlo_module *m, const struct hlo_struct_info *info,
    const struct hlo_attr *const *value) {
    struct hlo_named field[HLO_STRUCT_FIELDS];
    struct hlo_struct_field f;
    bool ok = true;
    int n = 0;
    for (int i = 0; hlo_struct_field(info, i, &f); i++) {
        const struct hlo_attr *v = kept(m, &f, value[i], &ok);
        if (!ok) return NULL;
        if (!v) continue;
        char *name = arena_alloc(&m->arena, f.nname + 1);
        if (!name) return NULL;
        memcpy(name, f.name, f.nname);
        field[n++] = (struct hlo_named){name, v};
    }
    return hlo_attr_struct(m, info->name, n, field);
}
