/* bytecode_attr.c: attributes and types of bytecode, decoded when they are asked for.
 *
 * An entry of the tables is in its dialect's own encoding, a code that says what it is and its parts
 * (bytecode_codes.def), or it is text. The result is the canonical form of ir.h at once: VHLO's names vanish here. Text
 * of the builtin dialect that names an element type (f8E4M3 ...) is that type; other text is kept as it stands.
 * Constants are not copied: their data points into the file. Locations are never decoded; an operation's position is
 * that of its bytes. */
#include <string.h>

#include "formats/stablehlo/bytecode.h"
#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/structs.h"

/* Enums: their number of the first of their words (structs.def). */
enum { ENUM_COMPARISON_DIRECTION, ENUM_COMPARISON_TYPE, ENUM_FFT_TYPE, ENUM_PRECISION, ENUM_RNG_ALGORITHM,
    ENUM_RNG_DISTRIBUTION, ENUM_TRANSPOSE, ENUM_RESULT_ACCURACY_MODE };
static const struct { const char *name; unsigned first; } enums[] = {
    [ENUM_COMPARISON_DIRECTION] = {"stablehlo.comparison_direction", 0},
    [ENUM_COMPARISON_TYPE] = {"stablehlo.comparison_type", 0},
    [ENUM_FFT_TYPE] = {"stablehlo.fft_type", 0},
    [ENUM_PRECISION] = {"stablehlo.precision", 0},
    [ENUM_RNG_ALGORITHM] = {"stablehlo.rng_algorithm", 0},
    [ENUM_RNG_DISTRIBUTION] = {"stablehlo.rng_distribution", 1},
    [ENUM_TRANSPOSE] = {"stablehlo.transpose", 0},
    [ENUM_RESULT_ACCURACY_MODE] = {"stablehlo.result_accuracy_mode", 0},
};
/* Structures: how their fields are encoded, in the order of structs.def: d a list of integers, i an integer, f an f64,
 * a an attribute, o an attribute or none, b a bool whether an attribute follows, s a string that names a symbol. */
enum { STRUCT_ALIAS, STRUCT_ACCURACY, STRUCT_SUB_AXIS, STRUCT_AXIS_REF, STRUCT_MESH_AXES, STRUCT_MESH_AXIS, STRUCT_MESH,
    STRUCT_BOUNDS };
static const struct { const char *name, *fields; } structures[] = {
    [STRUCT_ALIAS] = {"stablehlo.output_operand_alias", "did"},
    [STRUCT_ACCURACY] = {"stablehlo.result_accuracy", "ffia"},
    [STRUCT_SUB_AXIS] = {"stablehlo.sub_axis_info", "ii"},
    [STRUCT_AXIS_REF] = {"stablehlo.axis_ref", "ab"},
    [STRUCT_MESH_AXES] = {"stablehlo.replica_group_mesh_axes", "sa"},
    [STRUCT_MESH_AXIS] = {"stablehlo.mesh_axis", "ai"},
    [STRUCT_MESH] = {"stablehlo.mesh", "ao"},
    [STRUCT_BOUNDS] = {"stablehlo.bounds", "d"},
};
enum { OPAQUE_WITNESS };
static const char *const opaque_types[] = {[OPAQUE_WITNESS] = "!shape.witness"};

static struct hlo_attr *new_attr(struct bc_cursor *c, enum hlo_attr_kind kind) {
    struct hlo_attr *a = arena_alloc(&c->b->m->arena, sizeof *a);
    if (!a) return bc_stop(c->b), NULL;
    a->kind = kind;
    return a;
}

/* What hlo_attr_* and hlo_type_* give, with their failure noted. */
static const void *made(struct bc_cursor *c, const void *p) {
    if (!p && !c->b->failed) bc_stop(c->b);
    return p;
}

static void *room(struct bc_cursor *c, size_t n, size_t size) {
    void *p = arena_array(&c->b->m->arena, n, size);
    return p ? p : (bc_stop(c->b), NULL);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* The bits of a number of a known width: a byte up to 8 of them, a zigzag varint above. */
static uint64_t read_bits(struct bc_cursor *c, int bits) {
    return bits <= 8 ? bc_byte(c) : (uint64_t)bc_int(c);
}

static int64_t widen(uint64_t v, enum hlo_elem e) {
    int unused = 64 - hlo_elem_of(e)->bits;
    if (unused <= 0) return (int64_t)v;
    return hlo_elem_unsigned(e) ? (int64_t)(v << unused >> unused) : (int64_t)(v << unused) >> unused;
}

static double read_real(struct bc_cursor *c, enum hlo_elem e) {
    return hlo_bits_to_double(e, read_bits(c, e == HLO_TF32 ? 19 : hlo_elem_of(e)->bits));
}

static const struct hlo_type *scalar_type(struct bc_cursor *c, bool (*fits)(enum hlo_elem), const char *what) {
    const struct hlo_type *t = bc_type(c);
    if (!t || (t->kind == HLO_T_SCALAR && !t->quant && fits(t->elem))) return t;
    return bc_fail(c, "the type of %s is not one", what), NULL;
}

static const struct hlo_attr *read_integer(struct bc_cursor *c, int unused) {
    (void)unused;
    const struct hlo_type *t = scalar_type(c, hlo_elem_integer, "an integer");
    if (!t) return NULL;
    int64_t v = widen(read_bits(c, hlo_elem_of(t->elem)->bits), t->elem);
    if (t->elem == HLO_I1) return made(c, hlo_attr_bool(c->b->m, v != 0));
    return made(c, hlo_attr_int(c->b->m, t->elem, v));
}

static const struct hlo_attr *read_float(struct bc_cursor *c, int unused) {
    (void)unused;
    const struct hlo_type *t = scalar_type(c, hlo_elem_float, "a float");
    return t ? made(c, hlo_attr_float(c->b->m, t->elem, read_real(c, t->elem))) : NULL;
}

static const struct hlo_attr *read_bool(struct bc_cursor *c, int unused) {
    (void)unused;
    uint64_t v = bc_uint(c);
    if (v > 1) return bc_fail(c, "a bool of value %llu", (unsigned long long)v), NULL;
    return made(c, hlo_attr_bool(c->b->m, v));
}

static const struct hlo_attr *read_number(struct bc_cursor *c, int unused) {
    (void)unused;
    uint64_t v = bc_uint(c);
    if (v > INT32_MAX) return bc_fail(c, "an enum of value %llu", (unsigned long long)v), NULL;
    return made(c, hlo_attr_int(c->b->m, HLO_I32, (int64_t)v));
}

/* Word number i of words with a space between. */
static const char *word_at(struct bc_cursor *c, const char *words, uint64_t i) {
    for (; i && *words; i--) words += strcspn(words, " "), words += *words == ' ';
    return *words ? made(c, arena_printf(&c->b->m->arena, "%.*s", (int)strcspn(words, " "), words)) : NULL;
}

static const struct hlo_attr *read_enum(struct bc_cursor *c, int which) {
    const char *name = enums[which].name;
    uint64_t v = bc_uint(c), i = v - enums[which].first;
    const char *word = i < 64 ? word_at(c, hlo_struct_find(name, strlen(name))->fields, i) : NULL;
    if (word) return made(c, hlo_attr_enum(c->b->m, name, word));
    return bc_fail(c, "%s has no value %llu", name, (unsigned long long)v), NULL;
}

/* A list of zigzag varints, in the arena. */
static int64_t *read_ints(struct bc_cursor *c, size_t *n) {
    *n = bc_count(c, "integers");
    int64_t *v = c->b->failed ? NULL : room(c, *n, sizeof *v);
    for (size_t i = 0; v && i < *n; i++) v[i] = bc_int(c);
    return c->b->failed ? NULL : v;
}

static const struct hlo_attr *ints_attr(struct bc_cursor *c) {
    size_t n;
    int64_t *v = read_ints(c, &n);
    return v ? made(c, hlo_attr_ints(c->b->m, HLO_I64, (int)n, v)) : NULL;
}

/* ---- words, lists and structures -------------------------------------------------------------------------------- */

static const struct hlo_attr *read_string(struct bc_cursor *c, int typed) {
    struct bc_string s = bc_string(c);
    if (typed && !bc_type(c)) return NULL;
    return c->b->failed ? NULL : made(c, hlo_attr_string(c->b->m, s.s, s.n));
}

static const char *name_of(struct bc_cursor *c, const struct hlo_attr *a) {
    bool is_text = a && (a->kind == HLO_A_STRING || a->kind == HLO_A_SYMBOL);
    if (is_text && strlen(a->s) == a->ns) return a->s;
    bc_fail(c, is_text ? "a name with a NUL in it" : "a name that is no string");
    return NULL;
}

static const struct hlo_attr *read_symbol(struct bc_cursor *c, int nested) {
    struct bc *b = c->b;
    const char *name = name_of(c, bc_attr(c));
    size_t n = nested ? bc_count(c, "nested symbols") : 0;
    if (b->failed || !n) return b->failed ? NULL : made(c, hlo_attr_symbol(b->m, name));
    struct str path;
    str_init(&path, b->c);
    str_put(&path, name);
    for (size_t i = 0; i < n && !b->failed; i++) {
        const char *part = name_of(c, bc_attr(c));
        if (part) str_printf(&path, "::%s", part);
    }
    const struct hlo_attr *a = b->failed || path.failed ? NULL : hlo_attr_symbol(b->m, path.s);
    str_release(&path);
    return made(c, a);
}

static const struct hlo_attr *read_unit(struct bc_cursor *c, int unused) {
    (void)unused;
    return made(c, hlo_attr_unit(c->b->m));
}

static const struct hlo_attr *read_location(struct bc_cursor *c, int unused) {
    (void)unused;
    struct hlo_attr *a = new_attr(c, HLO_A_OPAQUE);
    c->p = c->end;
    if (a) a->s = "loc(unknown)", a->ns = strlen(a->s);
    return a;
}

static const struct hlo_attr *read_type(struct bc_cursor *c, int unused) {
    (void)unused;
    const struct hlo_type *t = bc_type(c);
    return t ? made(c, hlo_attr_type(c->b->m, t)) : NULL;
}

static const struct hlo_attr *read_list(struct bc_cursor *c, int unused) {
    (void)unused;
    size_t n = bc_count(c, "attributes");
    struct hlo_attr *a = new_attr(c, HLO_A_LIST);
    const struct hlo_attr **item = a && !c->b->failed ? room(c, n, sizeof *item) : NULL;
    for (size_t i = 0; item && i < n; i++) {
        if (!(item[i] = bc_attr(c))) return NULL;
    }
    if (!item) return NULL;
    a->n = (int)n, a->item = item;
    return a;
}

static const struct hlo_attr *read_dict(struct bc_cursor *c, int unused) {
    (void)unused;
    size_t n = bc_count(c, "attributes");
    struct hlo_named *field = c->b->failed ? NULL : room(c, n, sizeof *field);
    for (size_t i = 0; field && i < n; i++) {
        field[i].name = name_of(c, bc_attr(c));
        if (!field[i].name || !(field[i].value = bc_attr(c))) return NULL;
    }
    return field ? made(c, hlo_attr_dict(c->b->m, (int)n, field)) : NULL;
}

static const struct hlo_attr *i64_attr(struct bc_cursor *c) {
    int64_t v = bc_int(c);
    return c->b->failed ? NULL : made(c, hlo_attr_int(c->b->m, HLO_I64, v));
}

static const struct hlo_attr *f64_attr(struct bc_cursor *c) {
    double v = read_real(c, HLO_F64);
    return c->b->failed ? NULL : made(c, hlo_attr_float(c->b->m, HLO_F64, v));
}

static const struct hlo_attr *symbol_attr(struct bc_cursor *c) {
    const struct hlo_attr *a = bc_attr(c);
    const char *name = a && a->kind == HLO_A_STRING ? name_of(c, a) : NULL;
    return name ? made(c, hlo_attr_symbol(c->b->m, name)) : a;
}

static const struct hlo_attr *field_attr(struct bc_cursor *c, char how) {
    switch (how) {
    case 'd': return ints_attr(c);
    case 'i': return i64_attr(c);
    case 'f': return f64_attr(c);
    case 's': return symbol_attr(c);
    case 'o': return bc_attr_optional(c);
    case 'b': return bc_uint(c) ? bc_attr(c) : NULL;
    default: return bc_attr(c);
    }
}

static const struct hlo_attr *read_struct(struct bc_cursor *c, int which) {
    const struct hlo_attr *value[HLO_STRUCT_FIELDS];
    const char *name = structures[which].name, *fields = structures[which].fields;
    for (int i = 0; fields[i]; i++) value[i] = field_attr(c, fields[i]);
    if (c->b->failed) return NULL;
    return made(c, hlo_struct_make(c->b->m, hlo_struct_find(name, strlen(name)), value));
}

/* ---- constants -------------------------------------------------------------------------------------------------- */

/* Booleans lie in bits, the first lowest; a splat is one byte, FF for true; some old files have a byte for each. */
static bool bool_store(struct hlo_attr *a, struct bc_span s, uint64_t count) {
    static const uint8_t one = 1;
    if (s.n == 1 && s.p[0] == 0xff) return a->splat = count != 1, a->data = &one, a->ndata = 1, true;
    a->packed = s.n == (count + 7) / 8 && s.n != count;
    a->splat = !a->packed && s.n == 1 && count != 1;
    return a->packed || a->splat || s.n == count;
}

static const struct hlo_attr *elements(struct bc_cursor *c, const struct hlo_type *t, struct bc_span s) {
    int64_t count = t->kind == HLO_T_TENSOR ? hlo_type_count(t) : -1, bytes = 0, size = hlo_elem_width(t->elem);
    if (count < 0 || !i64_mul(count, size, &bytes) || t->elem == HLO_NONE) {
        return bc_fail(c, "a constant whose type is no tensor of a size that fits"), NULL;
    }
    struct hlo_attr *a = new_attr(c, HLO_A_ELEMENTS);
    if (!a) return NULL;
    a->type = t, a->store = HLO_STORE_BYTES, a->data = s.p, a->ndata = s.n;
    bool fits;
    if (t->elem == HLO_I1) {
        fits = bool_store(a, s, (uint64_t)count);
    } else {
        a->splat = count != 1 && s.n == (uint64_t)size && bytes != size;
        fits = a->splat || s.n == (uint64_t)bytes;
    }
    if (fits) return a;
    return bc_fail(c, "a constant of %lld elements of %lld bytes each has %zu bytes", (long long)count,
        (long long)size, s.n), NULL;
}

static const struct hlo_attr *read_elements(struct bc_cursor *c, int unused) {
    (void)unused;
    const struct hlo_type *t = bc_type(c);
    struct bc_span s = bc_blob(c);
    return c->b->failed ? NULL : elements(c, t, s);
}

static const struct hlo_attr *read_resource(struct bc_cursor *c, int unused) {
    (void)unused;
    const struct hlo_type *t = bc_type(c);
    size_t i = bc_index(c, c->b->resources.n, "resource");
    if (c->b->failed) return NULL;
    const struct bc_resource *r = &c->b->resources.v[i];
    if (!r->blob.p) return bc_fail(c, "resource '%.60s' has no bytes in this file", r->key.s), NULL;
    return elements(c, t, r->blob);
}

/* array<i64: 1, 2>: element type, count, bytes. */
static const struct hlo_attr *read_dense_array(struct bc_cursor *c, int unused) {
    (void)unused;
    const struct hlo_type *t = bc_type(c);
    uint64_t n = bc_uint(c);
    struct bc_span s = bc_blob(c);
    if (c->b->failed) return NULL;
    size_t size = t->kind == HLO_T_SCALAR ? (size_t)hlo_elem_of(t->elem)->bits / 8 : 0;
    bool real = t->elem == HLO_F32 || t->elem == HLO_F64;
    if (t->kind == HLO_T_SCALAR && t->elem == HLO_I1) size = 1;
    if (!size || !(real || hlo_elem_integer(t->elem)) || n != s.n / size || s.n % size) {
        return bc_fail(c, "an array whose bytes are not its elements"), NULL;
    }
    struct hlo_attr *a = new_attr(c, real ? HLO_A_FLOATS : HLO_A_INTS);
    int64_t *ints = room(c, s.n / size, sizeof *ints);
    double *floats = room(c, s.n / size, sizeof *floats);
    if (!a || !ints || !floats) return NULL;
    for (size_t i = 0; i < s.n / size; i++) {
        uint64_t v = 0;
        for (size_t k = 0; k < size; k++) v |= (uint64_t)s.p[i * size + k] << 8 * k;
        if (real) floats[i] = hlo_bits_to_double(t->elem, v);
        else ints[i] = t->elem == HLO_I1 ? v != 0 : widen(v, t->elem);
    }
    a->n = (int)(s.n / size), a->type = t, a->ints = real ? NULL : ints, a->floats = real ? floats : NULL;
    return a;
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

static const struct hlo_type *intern(struct bc_cursor *c, const struct hlo_type *proto) {
    return c->b->failed ? NULL : made(c, hlo_type_intern(c->b->m, proto));
}

static const struct hlo_type *type_scalar(struct bc_cursor *c, int elem) {
    return made(c, hlo_type_scalar(c->b->m, (enum hlo_elem)elem));
}

static const struct hlo_type *type_bare(struct bc_cursor *c, int kind) {
    return intern(c, &(struct hlo_type){.kind = (enum hlo_type_kind)kind});
}

static const struct hlo_type *opaque_type(struct bc_cursor *c, const char *text) {
    return intern(c, &(struct hlo_type){.kind = HLO_T_OPAQUE, .text = text});
}

static const struct hlo_type *type_opaque(struct bc_cursor *c, int which) {
    return opaque_type(c, opaque_types[which]);
}

static const struct hlo_type *type_integer(struct bc_cursor *c, int unused) {
    (void)unused;
    uint64_t v = bc_uint(c), width = v >> 2;
    bool is_signless = (v & 3) == 0, wants_unsigned = (v & 3) == 2;
    for (enum hlo_elem e = 0; e <= HLO_UI64 && (is_signless || wants_unsigned); e++) {
        if ((uint64_t)hlo_elem_of(e)->bits != width || hlo_elem_unsigned(e) != wants_unsigned) continue;
        return type_scalar(c, (int)e);
    }
    return bc_fail(c, "an integer type of %llu bits, which StableHLO does not have", (unsigned long long)width), NULL;
}

static const struct hlo_type *type_complex(struct bc_cursor *c, int unused) {
    (void)unused;
    const struct hlo_type *t = bc_type(c);
    if (!t) return NULL;
    if (t->kind == HLO_T_SCALAR && t->elem == HLO_F32) return type_scalar(c, HLO_C64);
    if (t->kind == HLO_T_SCALAR && t->elem == HLO_F64) return type_scalar(c, HLO_C128);
    return bc_fail(c, "a complex type of something other than f32 and f64"), NULL;
}

static const struct hlo_type **read_types(struct bc_cursor *c, size_t *n) {
    *n = bc_count(c, "types");
    const struct hlo_type **item = c->b->failed ? NULL : room(c, *n, sizeof *item);
    for (size_t i = 0; item && i < *n; i++) {
        if (!(item[i] = bc_type(c))) return NULL;
    }
    return item;
}

static const struct hlo_type *type_items(struct bc_cursor *c, int kind) {
    size_t n;
    const struct hlo_type **item = read_types(c, &n);
    return item ? intern(c, &(struct hlo_type){.kind = (enum hlo_type_kind)kind, .n = (int)n, .item = item}) : NULL;
}

static const struct hlo_type *type_function(struct bc_cursor *c, int unused) {
    (void)unused;
    size_t in = 0, out = 0;
    const struct hlo_type **arg = read_types(c, &in), **result = arg ? read_types(c, &out) : NULL;
    return result ? made(c, hlo_type_function(c->b->m, (int)in, arg, (int)out, result)) : NULL;
}

static const struct hlo_type *shaped(struct bc_cursor *c, int kind, const struct hlo_attr *encoding) {
    size_t rank;
    int64_t *dim = read_ints(c, &rank);
    const struct hlo_type *t = dim ? bc_type(c) : NULL;
    if (!t) return NULL;
    if (t->kind != HLO_T_SCALAR) return bc_fail(c, "a tensor whose elements are no numbers"), NULL;
    for (size_t i = 0; i < rank; i++) {
        if (dim[i] >= 0 || dim[i] == HLO_DYNAMIC) continue;
        return bc_fail(c, "a tensor with extent %lld", (long long)dim[i]), NULL;
    }
    return intern(c, &(struct hlo_type){.kind = (enum hlo_type_kind)kind, .elem = t->elem, .quant = t->quant,
        .rank = (int)rank, .dim = dim, .encoding = encoding});
}

static const struct hlo_type *type_shaped(struct bc_cursor *c, int kind) {
    return shaped(c, kind, NULL);
}

static const struct hlo_type *type_encoded(struct bc_cursor *c, int kind) {
    const struct hlo_attr *encoding = bc_attr(c);
    return encoding ? shaped(c, kind, encoding) : NULL;
}

static const struct hlo_type *type_unranked(struct bc_cursor *c, int unused) {
    (void)unused;
    const struct hlo_type *t = bc_type(c);
    if (!t) return NULL;
    if (t->kind != HLO_T_SCALAR) return bc_fail(c, "a tensor whose elements are no numbers"), NULL;
    return intern(c, &(struct hlo_type){.kind = HLO_T_UNRANKED, .elem = t->elem, .quant = t->quant});
}

/* flags (1: signed storage), storage, expressed, then of the whole tensor: scale, zero point, least, greatest; or by
 * axis: axis, least, greatest, scales, zero points. The storage type is written as signed either way. */
static const struct hlo_type *type_quant(struct bc_cursor *c, int by_axis) {
    struct bc *b = c->b;
    uint64_t flags = bc_uint(c);
    const struct hlo_type *storage = scalar_type(c, hlo_elem_integer, "quantised storage"), *expressed =
        storage ? scalar_type(c, hlo_elem_float, "a quantised value") : NULL;
    if (!expressed) return NULL;
    struct hlo_quant q = {.storage = storage->elem, .expressed = expressed->elem, .axis = -1, .n = 1};
    if (!(flags & 1) && q.storage >= HLO_I2 && q.storage <= HLO_I64) q.storage += HLO_UI2 - HLO_I2;
    uint64_t axis = by_axis ? bc_uint(c) : 0;
    double one = by_axis ? 0 : read_real(c, HLO_F64), *scale = &one;
    int64_t zero = by_axis ? 0 : bc_int(c), *zeros = &zero;
    q.storage_min = bc_int(c), q.storage_max = bc_int(c);
    if (by_axis) {
        size_t n = bc_count(c, "scales");
        if (b->failed || !(scale = room(c, n, sizeof *scale))) return NULL;
        for (size_t i = 0; i < n; i++) scale[i] = read_real(c, HLO_F64);
        size_t points;
        if (!(zeros = read_ints(c, &points))) return NULL;
        if (!n || points != n || axis > INT32_MAX) {
            return bc_fail(c, "%zu scales and %zu zero points of a quantised type", n, points), NULL;
        }
        q.axis = (int)axis, q.n = (int)n;
    }
    q.scale = scale, q.zero_point = zeros;
    return intern(c, &(struct hlo_type){.kind = HLO_T_SCALAR, .elem = q.storage, .quant = &q});
}

/* ---- the tables ------------------------------------------------------------------------------------------------- */

struct attr_code { const char *name; const struct hlo_attr *(*read)(struct bc_cursor *c, int argument); int argument; };
struct type_code { const char *name; const struct hlo_type *(*read)(struct bc_cursor *c, int argument); int argument; };
enum { CODES = 64 };
static const struct attr_code attr_codes[BC_DIALECT_COUNT][CODES] = {
#define BC_ATTR(dialect, code, name, reader, argument) [BC_##dialect][code] = {name, read_##reader, argument},
#define BC_TYPE(dialect, code, name, reader, argument)
#include "formats/stablehlo/bytecode_codes.def"
#undef BC_ATTR
#undef BC_TYPE
};
static const struct type_code type_codes[BC_DIALECT_COUNT][CODES] = {
#define BC_ATTR(dialect, code, name, reader, argument)
#define BC_TYPE(dialect, code, name, reader, argument) [BC_##dialect][code] = {name, type_##reader, argument},
#include "formats/stablehlo/bytecode_codes.def"
#undef BC_ATTR
#undef BC_TYPE
};

static const void *decode_text(struct bc_cursor *c, bool is_type) {
    const char *text = (const char *)c->p;
    size_t n = bc_left(c);
    if (!n || memchr(text, 0, n) != text + n - 1) {
        return bc_fail(c, "text of an attribute or type without its end"), NULL;
    }
    c->p = c->end;
    for (int e = 0; is_type && e < HLO_ELEM_COUNT; e++) {
        if (!strcmp(hlo_elem_of((enum hlo_elem)e)->text, text)) return type_scalar(c, e);
    }
    if (is_type) return opaque_type(c, text);
    struct hlo_attr *a = new_attr(c, HLO_A_OPAQUE);
    if (a) a->s = text, a->ns = n - 1;
    return a;
}

static const void *decode_custom(struct bc_cursor *c, const struct bc_dialect *dialect, bool is_type) {
    struct bc_cursor at = *c;
    if (dialect->kind == BC_SDY && !is_type) return bc_sdy_attr(c);
    uint64_t code = bc_uint(c);
    if (dialect->kind == BC_OTHER) {
        return bc_fail(&at, "an attribute or type in the own encoding of dialect '%.40s', which only that dialect can "
            "read; write the module as a portable artifact of StableHLO", dialect->name.s), NULL;
    }
    const struct attr_code *a = code < CODES ? &attr_codes[dialect->kind][code] : NULL;
    const struct type_code *t = code < CODES ? &type_codes[dialect->kind][code] : NULL;
    if (is_type && t && t->read) return t->read(c, t->argument);
    if (!is_type && a && a->read) return a->read(c, a->argument);
    return bc_fail(&at, "%s %llu of dialect '%.40s' is unknown", is_type ? "type" : "attribute",
        (unsigned long long)code, dialect->name.s), NULL;
}

/* Spread (how many entries an entry holds) is summed while it is decoded, in b->spread, and bounded: entries may be
 * shared by entries that are shared again, so that few bytes can stand for a text that nobody could print. */
static const void *decode(struct bc *b, struct bc_entry *e, bool is_type) {
    struct bc_cursor c = {b, e->data, e->data + e->n};
    if (e->busy || b->depth >= BC_DEPTH) {
        bc_fail(&c, e->busy ? "an attribute or type that holds itself" : "attributes or types nested more than %d deep",
            BC_DEPTH);
        return NULL;
    }
    uint64_t before = b->spread;
    e->busy = true, b->spread = 1, b->depth++;
    const void *value = e->custom ? decode_custom(&c, e->dialect, is_type) : decode_text(&c, is_type);
    if (value && bc_left(&c)) bc_fail(&c, "%zu bytes after an attribute or type", bc_left(&c));
    e->spread = b->spread;
    e->busy = false, b->spread = before, b->depth--;
    return b->failed ? NULL : value;
}

static const void *entry(struct bc_cursor *c, struct bc_entry *table, size_t n, uint64_t index, bool is_type) {
    struct bc *b = c->b;
    if (b->failed) return NULL;
    if (index >= n) {
        return bc_fail(c, "%s %llu asked for, but there are %zu", is_type ? "type" : "attribute",
            (unsigned long long)index, n), NULL;
    }
    struct bc_entry *e = &table[index];
    if (!e->value && !(e->value = decode(b, e, is_type))) return NULL;
    b->spread += e->spread;
    if (b->spread / BC_SPREAD > b->n) {
        return bc_fail(c, "attributes and types that hold one another so often that they spread to more than %d times "
            "the file's size", BC_SPREAD), NULL;
    }
    return e->value;
}

const struct hlo_attr *bc_attr_at(struct bc_cursor *c, uint64_t index) {
    return entry(c, c->b->attrs.v, c->b->attrs.n, index, false);
}

const struct hlo_type *bc_type_at(struct bc_cursor *c, uint64_t index) {
    return entry(c, c->b->types.v, c->b->types.n, index, true);
}

const struct hlo_attr *bc_attr(struct bc_cursor *c) {
    return bc_attr_at(c, bc_uint(c));
}

const struct hlo_type *bc_type(struct bc_cursor *c) {
    return bc_type_at(c, bc_uint(c));
}

const struct hlo_attr *bc_attr_optional(struct bc_cursor *c) {
    bool there;
    uint64_t index = bc_flagged(c, &there);
    return there ? bc_attr_at(c, index) : NULL;
}
