/* read_attr.c: attributes of MLIR's builtin dialect: numbers, strings, symbols, lists, dictionaries, arrays, types;
 * aliases; locations, which are dropped. Those of the stablehlo dialect are in read_struct.c, dense constants in
 * read_elements.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/reader.h"

/* ---- symbols ---------------------------------------------------------------------------------------------------- */

/* The text after one '@'. */
static bool symbol_part(struct reader *r, const char **s, size_t *n) {
    if (lex_peek(&r->x) != '@') return lex_expected(&r->x, "a symbol, @name");
    r->x.p++;
    if (lex_peek(&r->x) == '"') return lex_string(&r->x, &r->m->arena, s, n) && read_is_name(r, *s, *n);
    const char *p = r->x.p;
    while (p < r->x.end && (lex_is_word((unsigned char)*p) || *p == '-')) p++;
    *n = (size_t)(p - r->x.p);
    if (!*n) return lex_expected(&r->x, "a name after '@'");
    char *text = arena_alloc(&r->m->arena, *n + 1);
    if (!text) return false;
    memcpy(text, r->x.p, *n);
    *s = text;
    r->x.p = p;
    lex_skip(&r->x);
    return true;
}

bool read_symbol_text(struct reader *r, const char **s, size_t *n) {
    if (!symbol_part(r, s, n)) return false;
    while (lex_peek(&r->x) == ':' && r->x.end - r->x.p > 2 && r->x.p[1] == ':' && r->x.p[2] == '@') {
        const char *part;
        r->x.p += 2;
        if (!symbol_part(r, &part, n)) return false;
        if (!(*s = arena_printf(&r->m->arena, "%s::%s", *s, part))) return false;
        *n = strlen(*s);
    }
    return true;
}

const struct hlo_attr *read_symbol(struct reader *r) {
    const char *s;
    size_t n;
    return read_symbol_text(r, &s, &n) ? hlo_attr_symbol(r->m, s) : NULL;
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* The type after a number: ": i64"; without one the default. */
static bool number_type(struct reader *r, enum hlo_elem fallback, enum hlo_elem *out, struct hlo_loc at) {
    *out = fallback;
    if (!lex_accept(&r->x, ':')) return true;
    const struct hlo_type *t = read_type(r);
    if (!t) return false;
    if (t->kind != HLO_T_SCALAR || t->quant || t->elem == HLO_NONE || hlo_elem_complex(t->elem))
        return hlo_fail(r->m, at, "the type of a number is an integer or float type such as i64 or f32");
    *out = t->elem;
    return true;
}

/* What the number at the cursor looks like: its length, and whether it has a point or exponent. */
static size_t number_length(const struct reader *r, bool *is_float, bool *is_hex) {
    const char *p = r->x.p, *end = r->x.end;
    p += p < end && *p == '-';
    *is_hex = end - p > 2 && p[0] == '0' && p[1] == 'x' && hlo_hex_digit(p[2]) >= 0;
    *is_float = false;
    if (p == end || !lex_is_digit((unsigned char)*p)) return 0;
    if (*is_hex)
        for (p += 2; p < end && hlo_hex_digit(*p) >= 0;) p++;
    for (; p < end && !*is_hex; p++) {
        if (*p == '.' || ((*p == 'e' || *p == 'E') && *is_float)) *is_float = true;
        else if (!lex_is_digit((unsigned char)*p) && !((*p == '-' || *p == '+') && (p[-1] == 'e' ||
            p[-1] == 'E'))) break;
    }
    return (size_t)(p - r->x.p);
}

static const struct hlo_attr *read_number(struct reader *r) {
    bool is_float, is_hex;
    enum hlo_elem e;
    uint64_t bits;
    struct hlo_loc at = lex_here(&r->x);
    const char *from = r->x.p;
    size_t n = number_length(r, &is_float, &is_hex);
    if (!n) return lex_expected(&r->x, "a number"), NULL;
    r->x.p += n;
    lex_skip(&r->x);
    if (!number_type(r, is_float ? HLO_F64 : HLO_I64, &e, at)) return NULL;
    if (hlo_literal(e, from, from + n, &bits) != n)
        return hlo_fail(r->m, at, "'%.*s' is no value of type %s", (int)(n < 40 ? n : 40), from, hlo_elem_of(e)->text),
               NULL;
    if (hlo_elem_float(e)) return hlo_attr_float(r->m, e, hlo_bits_to_double(e, bits));
    int width = hlo_elem_of(e)->bits;
    if (!hlo_elem_unsigned(e) && e != HLO_I1 && width < 64)
        bits = (uint64_t)((int64_t)(bits << (64 - width)) >> (64 - width));
    return e == HLO_I1 ? hlo_attr_bool(r->m, bits) : hlo_attr_int(r->m, e, (int64_t)bits);
}

/* ---- arrays ----------------------------------------------------------------------------------------------------- */

static const struct hlo_attr *finish_ints(struct reader *r, enum hlo_elem e, size_t mark) {
    const struct hlo_attr *a = hlo_attr_ints(r->m, e, (int)(r->integer.n - mark), r->integer.v + mark);
    r->integer.n = mark;
    return a;
}

const struct hlo_attr *read_int_list(struct reader *r, enum hlo_elem e) {
    size_t mark = r->integer.n;
    if (!lex_expect(&r->x, '[', "before a list of integers")) return NULL;
    if (lex_accept(&r->x, ']')) return finish_ints(r, e, mark);
    do {
        int64_t v = HLO_DYNAMIC;
        if (e == HLO_I1 && (lex_at_word(&r->x, "true") || lex_at_word(&r->x, "false"))) {
            v = lex_accept_word(&r->x, "true");
            if (!v) lex_accept_word(&r->x, "false");
        } else if (!lex_accept(&r->x, '?') && !lex_int(&r->x, &v, "an integer"))
            return NULL;
        if (e == HLO_I1) v = v != 0;
        if (!vec_push(r->c, &r->integer, v)) return NULL;
    } while (lex_accept(&r->x, ','));
    return lex_expect(&r->x, ']', "after the list") ? finish_ints(r, e, mark) : NULL;
}

/* One element of array<...>, pushed on the stack of its kind. */
static bool array_element(struct reader *r, enum hlo_elem e) {
    uint64_t bits;
    size_t n = hlo_literal(e, r->x.p, r->x.end, &bits);
    if (!n) return hlo_fail(r->m, lex_here(&r->x), "expected a value of type %s", hlo_elem_of(e)->text);
    r->x.p += n;
    lex_skip(&r->x);
    if (hlo_elem_float(e)) return vec_push(r->c, &r->real, hlo_bits_to_double(e, bits));
    int width = hlo_elem_of(e)->bits;
    int64_t v = e == HLO_I1 || width == 64 ? (int64_t)bits : (int64_t)(bits << (64 - width)) >> (64 - width);
    return vec_push(r->c, &r->integer, v);
}

/* After "array": <i64: 1, 2>. */
static const struct hlo_attr *read_array(struct reader *r) {
    size_t integer = r->integer.n, real = r->real.n;
    if (!lex_expect(&r->x, '<', "after 'array'")) return NULL;
    struct hlo_loc at = lex_here(&r->x);
    const struct hlo_type *t = read_type(r);
    if (!t) return NULL;
    enum hlo_elem e = t->elem;
    bool ok = t->kind == HLO_T_SCALAR && !t->quant &&
        (e == HLO_I1 || e == HLO_I8 || e == HLO_I16 || e == HLO_I32 || e == HLO_I64 || e == HLO_F32 || e == HLO_F64);
    if (!ok) return hlo_fail(r->m, at, "elements of array<...> are i1, i8, i16, i32, i64, f32 or f64"), NULL;
    if (lex_accept(&r->x, ':'))
        do {
            if (!array_element(r, e)) return NULL;
        } while (lex_accept(&r->x, ','));
    if (!lex_expect(&r->x, '>', "after the array")) return NULL;
    if (!hlo_elem_float(e)) return finish_ints(r, e, integer);
    const struct hlo_attr *a = hlo_attr_floats(r->m, e, (int)(r->real.n - real), r->real.v + real);
    r->real.n = real;
    return a;
}

static const struct hlo_attr *read_list(struct reader *r) {
    size_t mark = r->attr.n;
    lex_accept(&r->x, '[');
    if (lex_peek(&r->x) != ']')
        do {
            const struct hlo_attr *a = read_attr(r);
            if (!a || !vec_push(r->c, &r->attr, a)) return NULL;
        } while (lex_accept(&r->x, ','));
    if (!lex_expect(&r->x, ']', "after the list of attributes")) return NULL;
    const struct hlo_attr *a = hlo_attr_list(r->m, (int)(r->attr.n - mark), r->attr.v + mark);
    r->attr.n = mark;
    return a;
}

/* ---- dictionaries ----------------------------------------------------------------------------------------------- */

const char *read_attr_name(struct reader *r) {
    const char *s;
    size_t n;
    if (lex_peek(&r->x) == '"') {
        if (!lex_string(&r->x, &r->m->arena, &s, &n)) return NULL;
    } else if (!lex_word(&r->x, &s, &n)) {
        return lex_expected(&r->x, "the name of an attribute"), NULL;
    }
    const struct read_name *name = read_name(r, s, n);
    return name ? name->text : NULL;
}

bool read_put(struct reader *r, const char *name, const struct hlo_attr *value) {
    return value && vec_push(r->c, &r->named, ((struct hlo_named){name, value}));
}

bool read_set(struct reader *r, const char *name, const struct hlo_attr *value) {
    const struct read_name *own = read_name(r, name, strlen(name));
    return own && read_put(r, own->text, value);
}

static bool dict_entry(struct reader *r, size_t mark) {
    struct hlo_loc at = lex_here(&r->x);
    const char *name = read_attr_name(r);
    if (!name) return false;
    for (size_t i = mark; i < r->named.n; i++)
        if (r->named.v[i].name == name) return hlo_fail(r->m, at, "the attribute '%s' is there twice", name);
    return read_put(r, name, lex_accept(&r->x, '=') ? read_attr(r) : hlo_attr_unit(r->m));
}

bool read_attr_dict(struct reader *r) {
    size_t mark = r->named.n;
    if (!lex_expect(&r->x, '{', "before the attributes")) return false;
    if (lex_accept(&r->x, '}')) return true;
    do {
        if (!dict_entry(r, mark)) return false;
    } while (lex_accept(&r->x, ','));
    return lex_expect(&r->x, '}', "after the attributes");
}

static const struct hlo_attr *read_dict(struct reader *r) {
    size_t mark = r->named.n;
    if (!read_attr_dict(r)) return NULL;
    const struct hlo_attr *a = hlo_attr_dict(r->m, (int)(r->named.n - mark), r->named.v + mark);
    r->named.n = mark;
    return a;
}

/* ---- aliases ---------------------------------------------------------------------------------------------------- */

/* "#name = attribute" or "!name = type" at the cursor. */
bool read_alias_definition(struct reader *r) {
    const char *p = r->x.p + 1;
    while (p < r->x.end && (lex_is_word((unsigned char)*p) || *p == '-')) p++;
    struct read_alias a = {.name = r->x.p, .n = (size_t)(p - r->x.p)};
    if (a.n < 2) return lex_expected(&r->x, "the name of an alias");
    r->x.p = p;
    lex_skip(&r->x);
    if (!lex_expect(&r->x, '=', "after the name of an alias")) return false;
    size_t before = r->size;
    for (size_t i = 0; i < r->aliases.n; i++) /* read ahead of its line when it was used before */
        if (r->aliases.v[i].n == a.n && memcmp(r->aliases.v[i].name, a.name, a.n) == 0)
            return a.name[0] == '#' ? read_attr(r) != NULL : read_type(r) != NULL;
    if (a.name[0] == '#') a.attr = read_attr(r);
    else a.type = read_type(r);
    a.size = r->size - before;
    return (a.attr || a.type) && vec_push(r->c, &r->aliases, a);
}

/* The place of "name =" at the beginning of a line, spaces aside; NULL: none. */
static const char *find_definition(const struct reader *r, const char *name, size_t n, struct lex *x) {
    *x = r->x;
    x->p = x->line_start = r->begin, x->line = r->first_line;
    while (x->p < x->end) {
        while (x->p < x->end && (*x->p == ' ' || *x->p == '\t')) x->p++;
        const char *q = x->p + n;
        if ((size_t)(x->end - x->p) > n && memcmp(x->p, name, n) == 0) {
            while (q < x->end && (*q == ' ' || *q == '\t')) q++;
            if (q < x->end && *q == '=') return x->p;
        }
        const char *eol = memchr(x->p, '\n', (size_t)(x->end - x->p));
        if (!eol) return NULL;
        x->p = x->line_start = eol + 1, x->line++;
    }
    return NULL;
}

/* Aliases of aliases double with every line: what they stand for is bounded. */
static bool count_alias(struct reader *r, const struct read_alias *a, struct hlo_loc at) {
    r->size += a->size;
    if (r->size <= READ_SIZE + (size_t)(r->x.end - r->begin)) return true;
    return hlo_fail(r->m, at, "aliases stand for more than %d attributes and types", READ_SIZE);
}

const struct read_alias *read_alias(struct reader *r) {
    const char *p = r->x.p + 1, *from = r->x.p;
    struct hlo_loc at = lex_here(&r->x);
    while (p < r->x.end && (lex_is_word((unsigned char)*p) || *p == '-')) p++;
    size_t n = (size_t)(p - from);
    for (int tries = 0; tries < 2; tries++) {
        for (size_t i = 0; i < r->aliases.n; i++)
            if (r->aliases.v[i].n == n && memcmp(r->aliases.v[i].name, from, n) == 0) {
                if (!tries) r->x.p = p, lex_skip(&r->x);
                return count_alias(r, &r->aliases.v[i], at) ? &r->aliases.v[i] : NULL;
            }
        struct lex there, here;
        r->x.p = p;
        lex_skip(&r->x);
        here = r->x;
        if (!find_definition(r, from, n, &there)) break;
        r->x = there;
        bool ok = read_deeper(r) && read_alias_definition(r);
        r->depth--, r->x = here;
        if (!ok) return NULL;
    }
    return hlo_fail(r->m, at, "'%.*s' is an alias that no line of the text defines (%.*s = ...)", (int)n, from, (int)n,
               from), NULL;
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

/* "word" or "word<...>", kept as it stands. */
static const struct hlo_attr *keep_text(struct reader *r) {
    const char *from = r->x.p, *s;
    size_t n;
    struct hlo_loc at = lex_here(&r->x);
    lex_word(&r->x, &s, &n);
    const char *to = s + n;
    if (lex_peek(&r->x) == '<' || lex_peek(&r->x) == '(') {
        if (!lex_balanced(&r->x, at, &to)) return NULL;
    }
    return hlo_attr_opaque(r->m, from, (size_t)(to - from));
}

bool read_location(struct reader *r) {
    struct hlo_loc at = lex_here(&r->x);
    return !lex_accept_word(&r->x, "loc") || lex_balanced(&r->x, at, NULL);
}

static const struct hlo_attr *read_word_attr(struct reader *r) {
    static const char *const kept[] = {"affine_map", "affine_set", "sparse", "strided", "distinct", "loc", "opaque"};
    if (lex_accept_word(&r->x, "dense")) return read_elements(r);
    if (lex_accept_word(&r->x, "true")) return hlo_attr_bool(r->m, true);
    if (lex_accept_word(&r->x, "false")) return hlo_attr_bool(r->m, false);
    if (lex_accept_word(&r->x, "unit")) return hlo_attr_unit(r->m);
    if (lex_accept_word(&r->x, "array")) return read_array(r);
    if (lex_accept_word(&r->x, "dense_resource")) return read_resource(r);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (lex_at_word(&r->x, kept[i])) return keep_text(r);
    const struct hlo_type *t = read_type(r);
    return t ? hlo_attr_type(r->m, t) : NULL;
}

static const struct hlo_attr *read_string_attr(struct reader *r) {
    const char *s;
    size_t n;
    if (!lex_string(&r->x, &r->m->arena, &s, &n)) return NULL;
    const struct hlo_attr *a = hlo_attr_string(r->m, s, n);
    if (lex_accept(&r->x, ':') && !read_type(r)) return NULL;
    return a;
}

static const struct hlo_attr *read_any(struct reader *r) {
    int ch = lex_peek(&r->x);
    if (ch == '"') return read_string_attr(r);
    if (ch == '#') return read_dialect_attr(r);
    if (ch == '@') return read_symbol(r);
    if (ch == '[') return read_list(r);
    if (ch == '{') return read_dict(r);
    if (ch == '-' || lex_is_digit(ch)) return read_number(r);
    if (ch == '!' || ch == '(' || (lex_is_word(ch) && ch != '.' && ch != '$')) return read_word_attr(r);
    return lex_expected(&r->x, "an attribute"), NULL;
}

const struct hlo_attr *read_attr(struct reader *r) {
    if (!read_deeper(r)) return NULL;
    r->size++;
    const struct hlo_attr *a = read_any(r);
    r->depth--;
    return a;
}
