/* lex.c: words, punctuation, numbers and strings of MLIR's text (language reference, "lexical"). */
#include "formats/stablehlo/lex.h"

#include <stdio.h>
#include <string.h>

#include "formats/stablehlo/elements.h"

void lex_skip_slow(struct lex *x) {
    for (; x->p < x->end; x->p++) {
        if (*x->p == '\n') x->line++, x->line_start = x->p + 1;
        else if (*x->p == '/' && x->end - x->p > 1 && x->p[1] == '/') {
            const char *stop = memchr(x->p, '\n', (size_t)(x->end - x->p));
            x->p = (stop ? stop : x->end) - 1;
        } else if (*x->p != ' ' && *x->p != '\t' && *x->p != '\r') return;
    }
}

void lex_jump(struct lex *x, const char *p) {
    for (const char *q = x->p; (q = memchr(q, '\n', (size_t)(p - q))); q++) x->line++, x->line_start = q + 1;
    x->p = p;
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

/* What stands at the cursor, as a reader of the message would call it. */
static void describe(const struct lex *x, char *out, size_t size) {
    size_t n = 0, left = (size_t)(x->end - x->p);
    if (!left) {
        snprintf(out, size, "the end of the text");
        return;
    }
    if (strchr("%@#!^", *x->p)) n = 1;
    while (n < left && n < 40 && lex_is_word((unsigned char)x->p[n])) n++;
    if (!n) n = 1;
    unsigned char first = (unsigned char)*x->p;
    if (first < ' ' || first >= 127) snprintf(out, size, "the byte 0x%02x", first);
    else snprintf(out, size, "'%.*s'", (int)n, x->p);
}

bool lex_expected(const struct lex *x, const char *what) {
    char found[80];
    describe(x, found, sizeof found);
    return hlo_fail(x->m, lex_here(x), "expected %s, found %s", what, found);
}

/* ---- punctuation and words -------------------------------------------------------------------------------------- */

bool lex_accept_text(struct lex *x, const char *text) {
    size_t n = strlen(text);
    if ((size_t)(x->end - x->p) < n || memcmp(x->p, text, n) != 0) return false;
    x->p += n;
    lex_skip(x);
    return true;
}

bool lex_at_word(const struct lex *x, const char *word) {
    size_t n = strlen(word), left = (size_t)(x->end - x->p);
    return left >= n && memcmp(x->p, word, n) == 0 && (left == n || !lex_is_word((unsigned char)x->p[n]));
}

bool lex_accept_word(struct lex *x, const char *word) {
    if (!lex_at_word(x, word)) return false;
    x->p += strlen(word);
    lex_skip(x);
    return true;
}

bool lex_expect_text(struct lex *x, const char *text, const char *where) {
    char what[160];
    if (lex_accept_text(x, text)) return true;
    snprintf(what, sizeof what, "'%s' %s", text, where);
    return lex_expected(x, what);
}

bool lex_expect(struct lex *x, char ch, const char *where) {
    return lex_accept(x, ch) || lex_expect_text(x, (char[]){ch, '\0'}, where);
}

bool lex_word(struct lex *x, const char **s, size_t *n) {
    const char *p = x->p;
    int first = lex_peek(x);
    if (!lex_is_word(first) || lex_is_digit(first) || first == '.' || first == '$') return false;
    while (p < x->end && lex_is_word((unsigned char)*p)) p++;
    *s = x->p, *n = (size_t)(p - x->p);
    x->p = p;
    lex_skip(x);
    return true;
}

bool lex_int(struct lex *x, int64_t *out, const char *what) {
    const char *p = x->p;
    bool neg = p < x->end && *p == '-';
    uint64_t v = 0, limit = (uint64_t)INT64_MAX + neg;
    p += neg;
    if (p == x->end || !lex_is_digit((unsigned char)*p)) return lex_expected(x, what);
    for (; p < x->end && lex_is_digit((unsigned char)*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (v > (limit - digit) / 10) return hlo_fail(x->m, lex_here(x), "%s does not fit in 64 bits", what);
        v = v * 10 + digit;
    }
    *out = neg ? (int64_t)-v : (int64_t)v;
    x->p = p;
    lex_skip(x);
    return true;
}

/* ---- strings ---------------------------------------------------------------------------------------------------- */

/* The quote that ends the string whose first byte is p; NULL: none on this line. */
static const char *string_end(const char *p, const char *end) {
    for (; p < end && *p != '"' && *p != '\n'; p++)
        if (*p == '\\' && ++p == end) return NULL;
    return p < end && *p == '"' ? p : NULL;
}

/* One escape, *p past its backslash: \n \t \\ \" or two hexadecimal digits. */
static bool escape(const char **p, const char *end, char *out) {
    static const char from[] = "nt\\\"", to[] = "\n\t\\\"";
    const char *known = strchr(from, **p);
    if (known && **p) {
        *out = to[known - from], *p += 1;
        return true;
    }
    if (end - *p < 2 || hlo_hex_digit((*p)[0]) < 0 || hlo_hex_digit((*p)[1]) < 0) return false;
    *out = (char)(hlo_hex_digit((*p)[0]) << 4 | hlo_hex_digit((*p)[1])), *p += 2;
    return true;
}

bool lex_string(struct lex *x, struct arena *a, const char **s, size_t *n) {
    if (lex_peek(x) != '"') return lex_expected(x, "a string, \"...\"");
    const char *p = x->p + 1, *stop = string_end(p, x->end);
    if (!stop) return hlo_fail(x->m, lex_here(x), "the string that begins here has no closing quote on its line");
    char *text = arena_alloc(a, (size_t)(stop - p) + 1);
    if (!text) return false;
    size_t length = 0;
    while (p < stop) {
        if (*p != '\\') {
            text[length++] = *p++;
            continue;
        }
        p++;
        if (!escape(&p, stop, &text[length++])) {
            x->p = p - 1;
            return hlo_fail(x->m, lex_here(x),
                "unknown escape: \\n, \\t, \\\\, \\\" and two hexadecimal digits are known");
        }
    }
    *s = text, *n = length;
    x->p = stop + 1;
    lex_skip(x);
    return true;
}

/* ---- what is not looked into ------------------------------------------------------------------------------------ */

enum { NEST_MAX = 256 };

bool lex_balanced(struct lex *x, struct hlo_loc at, const char **to) {
    char open[NEST_MAX];
    int depth = 0;
    if (!lex_peek(x) || !strchr("<([{", lex_peek(x))) return lex_expected(x, "an opening bracket");
    do {
        lex_skip(x);
        int ch = lex_peek(x);
        if (!ch && x->p == x->end)
            return hlo_fail(x->m, at, "the '%c' that begins here is never closed", open[0]);
        const char *close = strchr("<>()[]{}", ch);
        if (ch == '"') {
            const char *stop = string_end(x->p + 1, x->end);
            if (!stop)
                return hlo_fail(x->m, lex_here(x), "the string that begins here has no closing quote on its line");
            x->p = stop;
        } else if (ch == '-' && x->end - x->p > 1 && x->p[1] == '>') {
            x->p++;
        } else if (close && ch && strchr("<([{", ch)) {
            if (depth == NEST_MAX) return hlo_fail(x->m, lex_here(x), "brackets nest deeper than %d levels", NEST_MAX);
            open[depth++] = (char)ch;
        } else if (close && ch) {
            if (open[depth - 1] != close[-1])
                return hlo_fail(x->m, lex_here(x), "'%c' does not close the '%c' before it", ch, open[depth - 1]);
            depth--;
        }
        x->p++;
    } while (depth > 0);
    if (to) *to = x->p;
    lex_skip(x);
    return true;
}
