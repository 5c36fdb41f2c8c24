/* read_struct.c: attributes of dialects: the enums and structures of structs.def in canonical form, aliases, and
 * what no
 * one here knows, kept as text. */
#include <string.h>

#include "formats/stablehlo/reader.h"
#include "formats/stablehlo/structs.h"

static bool is(const char *s, size_t n, const char *word) { return strlen(word) == n && memcmp(s, word, n) == 0; }

/* ---- enums ------------------------------------------------------------------------------------------------------ */

const struct hlo_attr *read_enum_value(struct reader *r, const char *name) {
    const struct hlo_struct_info *info = hlo_struct_find(name, strlen(name));
    const char *s;
    size_t n;
    struct hlo_loc at = lex_here(&r->x);
    if (!lex_word(&r->x, &s, &n)) return lex_expected(&r->x, info->fields), NULL;
    if (!hlo_enum_has(info, s, n))
        return hlo_fail(r->m, at, "'%.*s' is no value of %s: it has %s", (int)n, s, name, info->fields), NULL;
    const struct read_name *value = read_name(r, s, n);
    return value ? hlo_attr_enum(r->m, name, value->text) : NULL;
}

/* ---- [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f] -------------------------------------------------------------------- */

enum { SPATIAL_MAX = 64 };

/* One bracket: two letters and the spatial axes 0 .. n-1 in any order. Letters' places, then the list of the places. */
static bool conv_part(struct reader *r, char a, char b, const struct hlo_attr *out[3]) {
    int64_t place[SPATIAL_MAX], letter[2] = {-1, -1};
    int n = 0, spatial = 0;
    struct hlo_loc at = lex_here(&r->x);
    for (int i = 0; i < SPATIAL_MAX; i++) place[i] = -1;
    if (!lex_expect(&r->x, '[', "before the dimensions of a convolution")) return false;
    do {
        int64_t axis;
        const char *s;
        size_t len;
        struct hlo_loc here = lex_here(&r->x);
        if (lex_is_digit(lex_peek(&r->x))) {
            if (!lex_int(&r->x, &axis, "a spatial axis")) return false;
            if (axis >= SPATIAL_MAX || place[axis] >= 0)
                return hlo_fail(r->m, here, "the spatial axis is there twice, or too large");
            place[axis] = n++, spatial++;
        } else if (lex_word(&r->x, &s, &len) && len == 1 && (*s == a || *s == b) && letter[*s == b] < 0) {
            letter[*s == b] = n++;
        } else {
            return hlo_fail(r->m, here, "expected a spatial axis, '%c' or '%c', each once", a, b);
        }
    } while (lex_accept(&r->x, ','));
    for (int i = 0; i < spatial; i++)
        if (place[i] < 0) return hlo_fail(r->m, at, "spatial axis %d is not there", i);
    if (letter[0] < 0 || letter[1] < 0) return hlo_fail(r->m, at, "'%c' is not there", letter[0] < 0 ? a : b);
    out[0] = hlo_attr_int(r->m, HLO_I64, letter[0]), out[1] = hlo_attr_int(r->m, HLO_I64, letter[1]);
    out[2] = hlo_attr_ints(r->m, HLO_I64, spatial, place);
    return out[0] && out[1] && out[2] && lex_expect(&r->x, ']', "after the dimensions");
}

const struct hlo_attr *read_conv_dims(struct reader *r) {
    const struct hlo_attr *value[HLO_STRUCT_FIELDS];
    if (!conv_part(r, 'b', 'f', value) || !lex_expect_text(&r->x, "x", "between input and kernel") ||
        !conv_part(r, 'i', 'o', value + 3) || !lex_expect_text(&r->x, "->", "before the output's dimensions") ||
        !conv_part(r, 'b', 'f', value + 6))
        return NULL;
    return hlo_struct_make(r->m, hlo_struct_find("stablehlo.conv", 14), value);
}

/* ---- structures ------------------------------------------------------------------------------------------------- */

/* (pre_size)size */
static const struct hlo_attr *read_sub_axis(struct reader *r) {
    int64_t pre, size;
    if (!lex_expect(&r->x, '(', "before the pre-size") || !lex_int(&r->x, &pre, "a pre-size") ||
        !lex_expect(&r->x, ')', "after the pre-size") || !lex_int(&r->x, &size, "a size"))
        return NULL;
    const struct hlo_attr *value[] = {hlo_attr_int(r->m, HLO_I64, pre), hlo_attr_int(r->m, HLO_I64, size)};
    if (!value[0] || !value[1]) return NULL;
    return hlo_struct_make(r->m, hlo_struct_find("stablehlo.sub_axis_info", 23), value);
}

static const struct hlo_attr *read_axes(struct reader *r) {
    size_t mark = r->attr.n;
    if (!lex_expect(&r->x, '[', "before the axes")) return NULL;
    if (lex_peek(&r->x) != ']')
        do {
            const struct hlo_attr *a =
                lex_peek(&r->x) == '<' ? read_struct_body(r, "stablehlo.mesh_axis") : read_attr(r);
            if (!a || !vec_push(r->c, &r->attr, a)) return NULL;
        } while (lex_accept(&r->x, ','));
    const struct hlo_attr *list = hlo_attr_list(r->m, (int)(r->attr.n - mark), r->attr.v + mark);
    r->attr.n = mark;
    return lex_expect(&r->x, ']', "after the axes") ? list : NULL;
}

static const struct hlo_attr *read_field(struct reader *r, const struct hlo_struct_field *f) {
    struct hlo_loc at = lex_here(&r->x);
    int64_t v;
    if (is(f->kind, f->nkind, "dims")) return read_int_list(r, HLO_I64);
    if (is(f->kind, f->nkind, "int")) return lex_int(&r->x, &v, "an integer") ? hlo_attr_int(r->m, HLO_I64, v) : NULL;
    if (is(f->kind, f->nkind, "sub") && lex_peek(&r->x) == '(') return read_sub_axis(r);
    if (is(f->kind, f->nkind, "axes")) return read_axes(r);
    const struct hlo_attr *a = read_attr(r);
    bool fits = a && (!is(f->kind, f->nkind, "bool") || a->kind == HLO_A_BOOL) &&
        (!is(f->kind, f->nkind, "type") || a->kind == HLO_A_TYPE) &&
        (!is(f->kind, f->nkind, "float") || a->kind == HLO_A_FLOAT) &&
        (!is(f->kind, f->nkind, "string") || a->kind == HLO_A_STRING);
    if (a && !fits) hlo_fail(r->m, at, "'%.*s' is a %.*s", (int)f->nname, f->name, (int)f->nkind, f->kind);
    return fits ? a : NULL;
}

static bool struct_field(struct reader *r, const struct hlo_struct_info *info, const struct hlo_attr **value) {
    const char *s;
    size_t n;
    struct hlo_struct_field f;
    struct hlo_loc at = lex_here(&r->x);
    if (!lex_word(&r->x, &s, &n)) return lex_expected(&r->x, "the name of a field");
    for (int i = 0; hlo_struct_field(info, i, &f); i++) {
        if (f.nname != n || memcmp(f.name, s, n) != 0) continue;
        if (value[i]) return hlo_fail(r->m, at, "the field '%.*s' is there twice", (int)n, s);
        return lex_expect(&r->x, '=', "after the name of the field") && (value[i] = read_field(r, &f));
    }
    return hlo_fail(r->m, at, "#%s has no field '%.*s': it has %s", info->name, (int)n, s, info->fields);
}

/* After '<' of a structure with named fields. */
static const struct hlo_attr *struct_fields(struct reader *r, const struct hlo_struct_info *info) {
    const struct hlo_attr *value[HLO_STRUCT_FIELDS] = {NULL};
    while (lex_peek(&r->x) != '>')
        if (!struct_field(r, info, value) || (!lex_accept(&r->x, ',') && lex_peek(&r->x) != '>')) {
            lex_expected(&r->x, "',' or '>' after the field");
            return NULL;
        }
    return lex_expect(&r->x, '>', "after the fields") ? hlo_struct_make(r->m, info, value) : NULL;
}

/* After '<': "4, ?". */
static const struct hlo_attr *bounds(struct reader *r) {
    size_t mark = r->integer.n;
    if (lex_peek(&r->x) != '>')
        do {
            int64_t v = HLO_DYNAMIC;
            if (!lex_accept(&r->x, '?') && !lex_int(&r->x, &v, "a bound or '?'")) return NULL;
            if (!vec_push(r->c, &r->integer, v)) return NULL;
        } while (lex_accept(&r->x, ','));
    const struct hlo_attr *list = hlo_attr_ints(r->m, HLO_I64, (int)(r->integer.n - mark), r->integer.v + mark);
    r->integer.n = mark;
    if (!list || !lex_expect(&r->x, '>', "after the bounds")) return NULL;
    return hlo_struct_make(r->m, hlo_struct_find("stablehlo.bounds", 16), &list);
}

/* The same, spelled <bounds = [4, ?]>. */
static const struct hlo_attr *type_extensions(struct reader *r) {
    if (!lex_accept_word(&r->x, "bounds")) return lex_expected(&r->x, "'bounds = [...]'"), NULL;
    if (!lex_expect(&r->x, '=', "after 'bounds'")) return NULL;
    const struct hlo_attr *list = read_int_list(r, HLO_I64);
    if (!list || !lex_expect(&r->x, '>', "after the bounds")) return NULL;
    return hlo_struct_make(r->m, hlo_struct_find("stablehlo.bounds", 16), &list);
}

const struct hlo_attr *read_struct_body(struct reader *r, const char *name) {
    const struct hlo_struct_info *info = hlo_struct_find(name, strlen(name));
    if (!lex_expect(&r->x, '<', "after the name of the attribute")) return NULL;
    if (strcmp(name, "stablehlo.bounds") == 0) return bounds(r);
    if (strcmp(name, "stablehlo.conv") == 0 && lex_peek(&r->x) == '[') {
        const struct hlo_attr *a = read_conv_dims(r);
        return a && lex_expect(&r->x, '>', "after the dimensions") ? a : NULL;
    }
    if (strcmp(name, "stablehlo.conv") == 0 && !lex_accept_word(&r->x, "raw"))
        return lex_expected(&r->x, "'[' or 'raw' in #stablehlo.conv"), NULL;
    return struct_fields(r, info);
}

/* ---- #dialect... ------------------------------------------------------------------------------------------------ */

/* Past "#dialect.mnemonic", the cursor at '<', or inside "#dialect<mnemonic" with `inside`. */
static const struct hlo_attr *known(struct reader *r, const struct hlo_struct_info *info, bool inside) {
    if (!info->is_enum) {
        const struct hlo_attr *a = read_struct_body(r, info->name);
        return a && (!inside || lex_expect(&r->x, '>', "after the attribute")) ? a : NULL;
    }
    bool open = lex_accept(&r->x, '<');
    const struct hlo_attr *a = read_enum_value(r, info->name);
    if (!a || (open && !lex_expect(&r->x, '>', "after the value"))) return NULL;
    return !inside || lex_expect(&r->x, '>', "after the value") ? a : NULL;
}

static const struct hlo_attr *opaque(struct reader *r, const char *from, const char *name_end) {
    struct hlo_loc at = lex_here(&r->x);
    const char *to = name_end;
    r->x.p = name_end;
    if (name_end < r->x.end && *name_end == '<') {
        if (!lex_balanced(&r->x, at, &to)) return NULL;
    } else {
        lex_skip(&r->x);
    }
    return hlo_attr_opaque(r->m, from, (size_t)(to - from));
}

/* "#stablehlo<precision HIGH>" has its name in two places. */
static const struct hlo_struct_info *name_inside(struct reader *r, const char *dialect, size_t n) {
    char name[64];
    const char *s;
    size_t ns;
    struct lex before = r->x;
    lex_accept(&r->x, '<');
    if (lex_word(&r->x, &s, &ns) && n + ns + 1 < sizeof name) {
        memcpy(name, dialect, n), name[n] = '.', memcpy(name + n + 1, s, ns);
        const struct hlo_struct_info *info = hlo_struct_find(name, n + 1 + ns);
        if (info) return info;
    }
    r->x = before;
    return NULL;
}

const struct hlo_attr *read_dialect_attr(struct reader *r) {
    const char *from = r->x.p, *p = from + 1;
    while (p < r->x.end && lex_is_word((unsigned char)*p)) p++;
    size_t n = (size_t)(p - from) - 1;
    if (!n) return lex_expected(&r->x, "a name after '#'"), NULL;
    bool angle = p < r->x.end && *p == '<', dotted = memchr(from, '.', n + 1) != NULL;
    if (!dotted && !angle) {
        const struct read_alias *a = read_alias(r);
        return a ? a->attr : NULL;
    }
    const struct hlo_struct_info *info = angle && dotted ? hlo_struct_find(from + 1, n) : NULL;
    bool extensions = angle && is(from + 1, n, "stablehlo.type_extensions");
    if (info || extensions) {
        r->x.p = p;
        if (!extensions) return known(r, info, false);
        return lex_accept(&r->x, '<') ? type_extensions(r) : NULL;
    }
    if (angle && !dotted) {
        r->x.p = p;
        if ((info = name_inside(r, from + 1, n))) return known(r, info, true);
        r->x.p = from;
    }
    return opaque(r, from, p);
}
