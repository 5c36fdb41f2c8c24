/* lex.h: the cursor over a text: bytes to words, punctuation, numbers and strings, with positions.
 *
 * There are no token objects: each call looks at the bytes where the cursor stands, and leaves it at the next byte that
 * is neither space nor comment, so that a caller decides by one byte what comes. Positions count lines as the cursor
 * passes them; columns are bytes, from 1. Nothing is read at or past `end`. */
#ifndef FORMATS_STABLEHLO_LEX_H
#define FORMATS_STABLEHLO_LEX_H

#include "formats/stablehlo/ir.h"

struct lex {
    const struct hlo_module *m; /* for errors */
    const char *p, *end, *line_start;
    uint32_t line;
};

static inline int lex_peek(const struct lex *x) { return x->p < x->end ? (unsigned char)*x->p : 0; }
static inline struct hlo_loc lex_here(const struct lex *x) {
    return (struct hlo_loc){x->line, (uint32_t)(x->p - x->line_start) + 1};
}
void lex_skip_slow(struct lex *x);
static inline void lex_skip(struct lex *x) { /* space and comments */
    if (x->p < x->end && *x->p == ' ') x->p++;
    if (x->p < x->end && (*x->p <= ' ' || *x->p == '/')) lex_skip_slow(x);
}
static inline bool lex_is_word(int ch) { /* may stand inside a bare word */
    return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || ch == '_' || ch == '$' ||
        ch == '.';
}
static inline bool lex_is_digit(int ch) { return ch >= '0' && ch <= '9'; }

/* False with "expected WHAT, found ..." recorded where the cursor stands. */
bool lex_expected(const struct lex *x, const char *what);

static inline bool lex_accept(struct lex *x, char ch) {
    if (x->p == x->end || *x->p != ch) return false;
    x->p++;
    lex_skip(x);
    return true;
}
bool lex_accept_text(struct lex *x, const char *text);       /* "->": no word ends here */
bool lex_accept_word(struct lex *x, const char *word);       /* a whole word */
bool lex_at_word(const struct lex *x, const char *word);
bool lex_expect(struct lex *x, char ch, const char *where);  /* where: "after the operands" */
bool lex_expect_text(struct lex *x, const char *text, const char *where);
/* A bare word as it stands in the text; false (no error) if none begins here. */
bool lex_word(struct lex *x, const char **s, size_t *n);
/* A decimal integer, '-' allowed, of at most 64 bits. */
bool lex_int(struct lex *x, int64_t *out, const char *what);
/* The string that begins here, its escapes resolved; memory of the module's arena (NUL after it). */
bool lex_string(struct lex *x, struct arena *a, const char **s, size_t *n);
/* Past the bracket that closes the one that begins here, strings and nested brackets inside skipped; *to (may be NULL)
 * is right behind it, before space and comments. */
bool lex_balanced(struct lex *x, struct hlo_loc at, const char **to);
/* The cursor jumps to p, which is on this line or a later one. */
void lex_jump(struct lex *x, const char *p);

#endif
