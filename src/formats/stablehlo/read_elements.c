/* read_elements.c: dense constants in the text: their extent found and their syntax checked, their values left where
 * they stand. A splat is decoded at once. Long hexadecimal strings and nested lists are passed over once. */
#include <string.h>

#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/reader.h"

/* ": tensor<...>" after the constant. */
static const struct hlo_type *constant_type(struct reader *r) {
    if (!lex_expect(&r->x, ':', "and a tensor type after a constant")) return NULL;
    struct hlo_loc at = lex_here(&r->x);
    const struct hlo_type *t = read_type(r);
    if (!t) return NULL;
    if (!hlo_type_static(t) || t->elem == HLO_NONE)
        return hlo_fail(r->m, at, "the type of a constant is a tensor type with known extents"), NULL;
    return t;
}

/* Bytes of a constant of this type; packed: of its bits (i1). */
static size_t constant_bytes(const struct hlo_type *t, bool packed) {
    size_t count = (size_t)hlo_type_count(t);
    return packed ? (count + 7) / 8 : count * (size_t)hlo_elem_width(t->elem);
}

/* `n` digits at p are the bytes of a constant, or of one element. */
static const struct hlo_attr *hex_constant(struct reader *r, const struct hlo_type *t, const char *p, size_t n,
    struct hlo_loc at) {
    size_t bytes = n / 2, one = (size_t)hlo_elem_width(t->elem), all = constant_bytes(t, false);
    bool packed = t->elem == HLO_I1 && bytes == constant_bytes(t, true) && bytes != all;
    bool splat = !packed && bytes == one && bytes != all && all > 0;
    if (n % 2 || (!packed && !splat && bytes != all))
        return hlo_fail(r->m, at, "the constant has %zu bytes (%zu hexadecimal digits), its type wants %zu, or %zu for "
                                  "a splat", bytes, n, all, one), NULL;
    if (!hlo_hex_check(p, n)) return hlo_fail(r->m, at, "the constant's string is not hexadecimal throughout"), NULL;
    return hlo_attr_elements_stored(r->m, t, HLO_STORE_HEX, splat, packed, p, n);
}

/* At the quote of dense<"0x...">. */
static const struct hlo_attr *read_hex(struct reader *r) {
    struct hlo_loc at = lex_here(&r->x);
    const char *p = r->x.p + 1, *stop = memchr(p, '"', (size_t)(r->x.end - p));
    if (!stop) return hlo_fail(r->m, at, "the string that begins here has no closing quote"), NULL;
    if (stop - p < 2 || p[0] != '0' || p[1] != 'x')
        return hlo_fail(r->m, at, "the string of a constant begins with 0x; constants of strings are not known"), NULL;
    r->x.p = stop + 1;
    lex_skip(&r->x);
    if (!lex_expect(&r->x, '>', "after the constant")) return NULL;
    const struct hlo_type *t = constant_type(r);
    return t ? hex_constant(r, t, p + 2, (size_t)(stop - p) - 2, at) : NULL;
}

/* dense<[...]>: the text up to '>' is the list. */
static const struct hlo_attr *read_nested(struct reader *r) {
    struct lex from = r->x;
    const char *p = r->x.p, *stop = memchr(p, '>', (size_t)(r->x.end - p)), *at;
    if (!stop) return hlo_fail(r->m, lex_here(&r->x), "the constant that begins here has no closing '>'"), NULL;
    lex_jump(&r->x, stop);
    lex_expect(&r->x, '>', "after the constant");
    const struct hlo_type *t = constant_type(r);
    if (!t) return NULL;
    const char *wrong = hlo_list_check(t, p, stop, &at);
    if (wrong) {
        struct str text;
        str_init(&text, r->c);
        hlo_type_text(&text, t);
        lex_jump(&from, at);
        hlo_fail(r->m, lex_here(&from), "%s (the constant is a %s)", wrong, text.s);
        str_release(&text);
        return NULL;
    }
    return hlo_attr_elements_stored(r->m, t, HLO_STORE_LIST, false, false, p, (size_t)(stop - p));
}

static bool put_number(struct reader *r, enum hlo_elem part, const char **p, const char *end, uint8_t *out, int width) {
    uint64_t bits;
    struct lex x = r->x;
    x.p = *p, x.end = end;
    lex_skip(&x);
    size_t n = hlo_literal(part, x.p, end, &bits);
    if (!n)
        return hlo_fail(r->m, lex_here(&x), "expected a value that the element type %s can hold",
            hlo_elem_of(part)->text);
    for (int i = 0; i < width; i++) out[i] = (uint8_t)(bits >> 8 * i);
    x.p += n;
    lex_skip(&x);
    *p = x.p;
    return true;
}

/* dense<1.0> or dense<(1.0, 0.0)>. */
static const struct hlo_attr *read_splat(struct reader *r) {
    struct lex x = r->x;
    const char *p = r->x.p, *stop = memchr(p, '>', (size_t)(r->x.end - p));
    if (!stop) return hlo_fail(r->m, lex_here(&r->x), "the constant that begins here has no closing '>'"), NULL;
    lex_jump(&r->x, stop);
    lex_expect(&r->x, '>', "after the constant");
    const struct hlo_type *t = constant_type(r);
    if (!t) return NULL;
    struct lex after = r->x;
    enum hlo_elem part = hlo_elem_part(t->elem);
    int width = hlo_elem_width(part), size = hlo_elem_width(t->elem);
    uint8_t *out = arena_alloc(&r->m->arena, 16);
    r->x = x;
    if (!out) return NULL;
    bool pair = hlo_elem_complex(t->elem);
    if (pair && *p == '(') p++;
    else if (pair) return lex_expected(&x, "(re, im), an element of a complex type"), NULL;
    if (!put_number(r, part, &p, stop, out, width)) return NULL;
    if (pair && (p == stop || *p++ != ',' || !put_number(r, part, &p, stop, out + width, width) || p == stop ||
        *p++ != ')'))
        return hlo_fail(r->m, lex_here(&x), "expected (re, im), an element of a complex type"), NULL;
    x.p = p, x.end = stop;
    lex_skip(&x);
    if (x.p != stop) return lex_expected(&x, "'>' after the constant"), NULL;
    r->x = after;
    bool empty = hlo_type_count(t) == 0;
    return hlo_attr_elements(r->m, t, !empty, out, empty ? 0 : (size_t)size);
}

const struct hlo_attr *read_elements(struct reader *r) {
    if (!lex_expect(&r->x, '<', "after 'dense'")) return NULL;
    int ch = lex_peek(&r->x);
    if (ch == '"') return read_hex(r);
    if (ch == '[') return read_nested(r);
    if (ch != '>') return read_splat(r);
    struct hlo_loc at = lex_here(&r->x);
    lex_accept(&r->x, '>');
    const struct hlo_type *t = constant_type(r);
    if (t && hlo_type_count(t) != 0) return hlo_fail(r->m, at, "dense<> has no elements, its type has some"), NULL;
    return t ? hlo_attr_elements(r->m, t, false, "", 0) : NULL;
}

/* ---- dense_resource<name> --------------------------------------------------------------------------------------- */

/* A word or the inside of a string at the cursor, which moves past it (or past one sign: n is 0). */
static void next_key(struct lex *x, const char **s, size_t *n) {
    const char *stop;
    *n = 0;
    if (lex_peek(x) == '"' && (stop = memchr(x->p + 1, '"', (size_t)(x->end - x->p) - 1))) {
        *s = x->p + 1, *n = (size_t)(stop - *s);
        x->p = stop + 1;
    } else if (lex_word(x, s, n)) {
        return;
    } else {
        x->p++;
    }
    lex_skip(x);
}

/* The string of `name: "0x..."` in the {-# dialect_resources #-} at the end of the section; NULL: none. */
static const char *find_resource(const struct reader *r, const char *name, size_t n, const char **stop) {
    struct lex x = r->x;
    size_t k;
    for (x.p = r->begin; x.p && (size_t)(x.end - x.p) >= 3 && memcmp(x.p, "{-#", 3) != 0;)
        x.p = memchr(x.p + 1, '{', (size_t)(x.end - x.p) - 1);
    while (x.p && x.p < x.end) {
        const char *s;
        next_key(&x, &s, &k);
        if (k != n || !n || memcmp(s, name, n) != 0 || !lex_accept(&x, ':') || lex_peek(&x) != '"') continue;
        *stop = memchr(x.p + 1, '"', (size_t)(x.end - x.p) - 1);
        return *stop ? x.p + 1 : NULL;
    }
    return NULL;
}

const struct hlo_attr *read_resource(struct reader *r) {
    const char *name, *stop = NULL;
    size_t n;
    struct hlo_loc at = lex_here(&r->x);
    if (!lex_expect(&r->x, '<', "after 'dense_resource'")) return NULL;
    bool quoted = lex_peek(&r->x) == '"';
    if (quoted ? !lex_string(&r->x, &r->m->arena, &name, &n) : !lex_word(&r->x, &name, &n))
        return lex_expected(&r->x, "the name of a resource"), NULL;
    if (!lex_expect(&r->x, '>', "after the name of the resource")) return NULL;
    const struct hlo_type *t = constant_type(r);
    if (!t) return NULL;
    const char *p = find_resource(r, name, n, &stop);
    if (!p)
        return hlo_fail(r->m, at, "the resource '%.*s' is not in the text's {-# dialect_resources #-}", (int)n, name),
            NULL;
    if (stop - p < 10 || p[0] != '0' || p[1] != 'x')
        return hlo_fail(r->m, at, "the resource '%.*s' is no string 0x...", (int)n, name), NULL;
    return hex_constant(r, t, p + 10, (size_t)(stop - p) - 10, at); /* 0x and four bytes of alignment */
}
