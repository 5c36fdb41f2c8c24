/* print_attr.c: attributes as text.
 *
 * An attribute is written with everything that reading it again needs: numbers with their type (1 : i32), enums and
 * structures with their dialect (#stablehlo<precision HIGH>, #stablehlo.dot<...>). Inside a structure fields are bare,
 * because the structure's definition says what they are. Dense constants are one element where all are equal, lists up
 * to PRINT_HEX_ABOVE elements, and the hex digits of their bytes above.
 * Source: MLIR language reference, builtin dialect; StableHLO's attribute definitions. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/print.h"
#include "formats/stablehlo/structs.h"

/* ---- strings and names ------------------------------------------------------------------------------------------ */
void print_string(struct str *o, const char *s, size_t n) {
    str_putc(o, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (ch == '\\') {
            str_put(o, "\\\\");
        } else if (ch >= 0x20 && ch < 0x7f && ch != '"') {
            str_putc(o, (char)ch);
        } else {
            str_printf(o, "\\%02X", ch);
        }
    }
    str_putc(o, '"');
}

/* A word that needs no quotes: letter or '_' first, then also digits, '$' and '.'. */
static bool is_bare(const char *s, size_t n) {
    if (n == 0 || isdigit((unsigned char)s[0])) return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_' && (i == 0 || !strchr("$.", s[i]))) return false;
    return true;
}

static void print_word(struct str *o, const char *s, size_t n) {
    if (is_bare(s, n)) {
        str_putn(o, s, n);
    } else {
        print_string(o, s, n);
    }
}

void print_key(struct str *o, const char *name) { print_word(o, name, strlen(name)); }

void print_symbol(struct str *o, const char *name) {
    str_putc(o, '@');
    print_word(o, name, strlen(name));
}

/* A reference: the names of nested symbols are joined with "::". */
static void print_reference(struct str *o, const char *s) {
    for (const char *next; (next = strstr(s, "::")) != NULL; s = next + 2) {
        str_putc(o, '@');
        print_word(o, s, (size_t)(next - s));
        str_put(o, "::");
    }
    print_symbol(o, s);
}

/* ---- dense constants -------------------------------------------------------------------------------------------- */
static void print_nested(struct str *o, enum hlo_elem e, int rank, const int64_t *dim, const uint8_t **p) {
    if (rank == 0) {
        print_element(o, e, *p);
        *p += hlo_elem_width(e);
        return;
    }
    str_putc(o, '[');
    for (int64_t i = 0; i < dim[0]; i++) {
        if (i) str_put(o, ", ");
        print_nested(o, e, rank - 1, dim + 1, p);
    }
    str_putc(o, ']');
}

static void print_hex(struct str *o, const uint8_t *p, size_t n) {
    static const char digit[] = "0123456789ABCDEF";
    char line[256];
    str_put(o, "\"0x");
    for (size_t i = 0; i < n;) {
        size_t k = 0;
        for (; k < sizeof line && i < n; i++) line[k++] = digit[p[i] >> 4], line[k++] = digit[p[i] & 15];
        str_putn(o, line, k);
    }
    str_putc(o, '"');
}

static bool all_equal(const uint8_t *p, int64_t count, size_t width) {
    return count > 0 && memcmp(p, p + width, (size_t)(count - 1) * width) == 0;
}

static void print_elements(struct str *o, const struct hlo_attr *a) {
    int64_t count = a->splat ? 1 : hlo_type_count(a->type);
    size_t width = (size_t)hlo_elem_width(a->type->elem), n = (size_t)count * width;
    uint8_t *bytes = mem_alloc(o->c, n);
    const uint8_t *at = bytes;
    str_put(o, "dense<");
    if (bytes) hlo_elements_bytes(a, bytes);
    if (!bytes) {
        o->failed = true;
    } else if (all_equal(bytes, count, width)) {
        print_element(o, a->type->elem, bytes);
    } else if (count > PRINT_HEX_ABOVE) {
        print_hex(o, bytes, n);
    } else if (count > 0) {
        print_nested(o, a->type->elem, a->type->rank, a->type->dim, &at);
    }
    mem_free(o->c, bytes, n);
    str_put(o, "> : ");
    hlo_type_text(o, a->type);
}

/* ---- lists, structures ------------------------------------------------------------------------------------------ */
static void print_int_list(struct str *o, const struct hlo_attr *a) {
    for (int i = 0; i < a->n; i++) {
        if (i) str_put(o, ", ");
        print_integer(o, a->type->elem, (uint64_t)a->ints[i]);
    }
}

void print_ints(struct str *o, const struct hlo_attr *a) {
    str_putc(o, '[');
    print_int_list(o, a);
    str_putc(o, ']');
}

static void print_double(struct str *o, enum hlo_elem e, double v) { print_float(o, e, hlo_bits_from_double(e, v)); }

void print_scalar(struct str *o, const struct hlo_attr *a) {
    if (a->kind == HLO_A_FLOAT) {
        print_double(o, a->type->elem, a->f);
    } else {
        print_integer(o, a->kind == HLO_A_BOOL ? HLO_I1 : a->type->elem, (uint64_t)a->i);
    }
}

static void print_array(struct str *o, const struct hlo_attr *a) {
    str_printf(o, "array<%s", hlo_elem_of(a->type->elem)->text);
    if (a->n) str_put(o, ": ");
    if (a->kind == HLO_A_INTS) print_int_list(o, a);
    for (int i = 0; a->kind == HLO_A_FLOATS && i < a->n; i++) {
        if (i) str_put(o, ", ");
        print_double(o, a->type->elem, a->floats[i]);
    }
    str_putc(o, '>');
}

static void print_list(struct str *o, const struct hlo_attr *a) {
    str_putc(o, '[');
    for (int i = 0; i < a->n; i++) {
        if (i) str_put(o, ", ");
        hlo_attr_text(o, a->item[i]);
    }
    str_putc(o, ']');
}

void print_named(struct str *o, const struct hlo_named *f) {
    print_key(o, f->name);
    if (f->value->kind == HLO_A_UNIT) return;
    str_put(o, " = ");
    hlo_attr_text(o, f->value);
}

static void print_dict(struct str *o, const struct hlo_attr *a) {
    str_putc(o, '{');
    for (int i = 0; i < a->n; i++) {
        if (i) str_put(o, ", ");
        print_named(o, &a->field[i]);
    }
    str_putc(o, '}');
}

/* One group of a convolution's dimension numbers: letters for batch and feature (or input and output feature), numbers
 * for the spatial ones, each at its place. */
static void print_conv_group(struct str *o, const struct hlo_attr *a, const char *first, const char *second,
    const char *spatial, const char *letters) {
    const struct hlo_attr *b = hlo_field(a, first), *f = hlo_field(a, second);
    int n;
    const int64_t *s = hlo_attr_ints_of(hlo_field(a, spatial), &n);
    str_putc(o, '[');
    for (int64_t k = 0; k < n + 2; k++) {
        if (k) str_put(o, ", ");
        if (k == (b ? b->i : 0)) str_putc(o, letters[0]);
        if (k == (f ? f->i : 0)) str_putc(o, letters[1]);
        for (int i = 0; i < n; i++)
            if (s[i] == k) str_printf(o, "%d", i);
    }
    str_putc(o, ']');
}

void print_conv(struct str *o, const struct hlo_attr *a) {
    print_conv_group(o, a, "input_batch_dimension", "input_feature_dimension", "input_spatial_dimensions", "bf");
    str_putc(o, 'x');
    print_conv_group(o, a, "kernel_input_feature_dimension", "kernel_output_feature_dimension",
        "kernel_spatial_dimensions", "io");
    str_put(o, "->");
    print_conv_group(o, a, "output_batch_dimension", "output_feature_dimension", "output_spatial_dimensions", "bf");
}

static bool is_kind(const struct hlo_struct_field *f, const char *kind) {
    return strlen(kind) == f->nkind && memcmp(f->kind, kind, f->nkind) == 0;
}

/* [<name = "x", size = 2>, ...]: structures that the definition knows the name of. */
static void print_axes(struct str *o, const struct hlo_attr *list) {
    str_putc(o, '[');
    for (int i = 0; i < list->n; i++) {
        if (i) str_put(o, ", ");
        print_fields(o, list->item[i]);
    }
    str_putc(o, ']');
}

/* 4, ?: the extents of #stablehlo.bounds. */
static void print_bounds(struct str *o, const struct hlo_attr *a) {
    for (int i = 0; i < a->n; i++) {
        if (i) str_put(o, ", ");
        if (a->ints[i] == HLO_DYNAMIC) {
            str_putc(o, '?');
        } else {
            print_integer(o, a->type->elem, (uint64_t)a->ints[i]);
        }
    }
}

static void print_field(struct str *o, const struct hlo_struct_field *f, const struct hlo_attr *a) {
    if (!a) {
        str_put(o, "[]");
    } else if (is_kind(f, "axes") && a->kind == HLO_A_LIST) {
        print_axes(o, a);
    } else if (is_kind(f, "sub") && a->kind == HLO_A_STRUCT && a->n == 2) {
        str_printf(o, "(%lld)%lld", (long long)a->field[0].value->i, (long long)a->field[1].value->i);
    } else if (a->kind == HLO_A_INTS && f->nname) {
        print_ints(o, a);
    } else if (a->kind == HLO_A_INTS) {
        print_bounds(o, a);
    } else if (a->kind == HLO_A_BOOL || a->kind == HLO_A_INT || a->kind == HLO_A_FLOAT) {
        print_scalar(o, a);
    } else {
        hlo_attr_text(o, a);
    }
}

/* Structures whose fields are all written; of the others those that are 0 or empty are left out. */
static bool writes_all(const char *name) {
    static const char *const list[] = {"stablehlo.channel_handle", "stablehlo.dot_algorithm", "stablehlo.mesh_axis",
        "stablehlo.output_operand_alias"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(list[i], name) == 0) return true;
    return false;
}

static bool is_zero(const struct hlo_attr *a) {
    return (a->kind == HLO_A_INT && a->i == 0) || (a->kind == HLO_A_FLOAT && a->f == 0 && !signbit(a->f));
}

static void print_struct_fields(struct str *o, const struct hlo_attr *a, const struct hlo_struct_info *info) {
    bool all = writes_all(a->name);
    struct hlo_struct_field f;
    for (int i = 0, written = 0; hlo_struct_field(info, i, &f); i++) {
        const struct hlo_attr *v = NULL;
        for (int k = 0; k < a->n; k++)
            if (strlen(a->field[k].name) == f.nname && memcmp(a->field[k].name, f.name, f.nname) == 0)
                v = a->field[k].value;
        if (v ? !all && is_zero(v) : !all || !is_kind(&f, "dims")) continue;
        if (written++) str_put(o, ", ");
        if (f.nname) str_printf(o, "%.*s = ", (int)f.nname, f.name);
        print_field(o, &f, v);
    }
}

void print_fields(struct str *o, const struct hlo_attr *a) {
    const struct hlo_struct_info *info = hlo_struct_find(a->name, strlen(a->name));
    str_putc(o, '<');
    if (strcmp(a->name, "stablehlo.conv") == 0) {
        print_conv(o, a);
    } else if (info) {
        print_struct_fields(o, a, info);
    }
    str_putc(o, '>');
}

/* #dialect<mnemonic VALUE>; those whose definition has a format of their own are #dialect.mnemonic<VALUE>. */
static void print_enum(struct str *o, const struct hlo_attr *a) {
    const char *dot = strchr(a->name, '.');
    if (strcmp(a->name, "stablehlo.result_accuracy_mode") == 0) {
        str_printf(o, "#%s<%s>", a->name, a->s);
    } else {
        str_printf(o, "#%.*s<%s %s>", (int)(dot - a->name), a->name, dot + 1, a->s);
    }
}

void hlo_attr_text(struct str *o, const struct hlo_attr *a) {
    switch (a->kind) {
    case HLO_A_UNIT: str_put(o, "unit"); break;
    case HLO_A_BOOL: print_scalar(o, a); break;
    case HLO_A_INT:
    case HLO_A_FLOAT:
        print_scalar(o, a);
        str_put(o, " : ");
        hlo_type_text(o, a->type);
        break;
    case HLO_A_STRING: print_string(o, a->s, a->ns); break;
    case HLO_A_TYPE: hlo_type_text(o, a->type); break;
    case HLO_A_SYMBOL: print_reference(o, a->s); break;
    case HLO_A_LIST: print_list(o, a); break;
    case HLO_A_DICT: print_dict(o, a); break;
    case HLO_A_INTS:
    case HLO_A_FLOATS: print_array(o, a); break;
    case HLO_A_ELEMENTS: print_elements(o, a); break;
    case HLO_A_ENUM: print_enum(o, a); break;
    case HLO_A_STRUCT:
        str_printf(o, "#%s", a->name);
        print_fields(o, a);
        break;
    case HLO_A_OPAQUE: str_putn(o, a->s, a->ns); break;
    }
}
