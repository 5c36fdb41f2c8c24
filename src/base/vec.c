/* vec.c: growth of arrays, and strings.
 *
 * Capacity doubles from 8 elements (64 bytes for strings), so n pushes cost O(n) copies. A failed growth leaves the
 * old contents alone. str_printf formats twice when the text does not fit: once to learn its length, once into the
 * room made for it. */
#include "base/vec.h"

#include "base/sys.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool too_large(tsr_ctx *c, const char *what, size_t limit) {
    err_set(c, TSR_ENOMEM, "out of memory: %s would grow past its limit of %zu bytes", what, limit);
    return false;
}

/* vp is the address of the array's pointer, whatever its type: it is read and written as bytes, so no aliasing rule is
 * broken. */
bool vec_grow_(tsr_ctx *c, void *vp, size_t *cap, size_t want, size_t elem) {
    if (want <= *cap) return true;
    if (want > VEC_MAX_BYTES / elem) return too_large(c, "an array", VEC_MAX_BYTES);
    size_t to = *cap < 4 ? 8 : *cap * 2;
    if (to < want) to = want;
    if (to > VEC_MAX_BYTES / elem) to = VEC_MAX_BYTES / elem;
    void *v;
    memcpy(&v, vp, sizeof v);
    v = mem_resize(c, v, *cap * elem, to * elem);
    if (!v) return false;
    memcpy(vp, &v, sizeof v);
    *cap = to;
    return true;
}

/* ---- strings
 * -------------------------------------------------------------------------------------------------------- */

static char no_text[1] = ""; /* what an empty string points at; never written, because every write reserves first */

void str_init(struct str *s, tsr_ctx *c) { *s = (struct str){.c = c, .s = no_text}; }

void str_release(struct str *s) {
    if (s->cap) mem_free(s->c, s->s, s->cap);
    str_init(s, s->c);
}

void str_clear(struct str *s) {
    if (s->cap) s->s[0] = 0;
    s->n = 0, s->failed = false;
}

void str_cut(struct str *s, size_t n) {
    if (s->cap && n < s->n) s->s[s->n = n] = 0;
}

/* Room for `more` bytes and the NUL; false once anything has failed. */
static bool reserve(struct str *s, size_t more) {
    if (s->failed) return false;
    if (more < s->cap - s->n) return true;
    s->failed = true;
    if (more >= STR_MAX - s->n) return too_large(s->c, "a string", STR_MAX);
    size_t cap = s->cap ? s->cap * 2 : 64;
    if (cap < s->n + more + 1) cap = s->n + more + 1;
    char *p = mem_resize(s->c, s->cap ? s->s : NULL, s->cap, cap);
    if (!p) return false;
    s->s = p, s->cap = cap, s->failed = false;
    return true;
}

void str_putn(struct str *s, const char *text, size_t n) {
    if (!n || !reserve(s, n)) return;
    memcpy(s->s + s->n, text, n);
    s->n += n;
    s->s[s->n] = 0;
}

void str_put(struct str *s, const char *text) { str_putn(s, text, strlen(text)); }
void str_putc(struct str *s, char ch) { str_putn(s, &ch, 1); }

void str_printf(struct str *s, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    size_t room = s->cap - s->n;
    locale_t before = locale_enter_c();
    int n = s->failed ? 0 : vsnprintf(room ? s->s + s->n : NULL, room, fmt, ap);
    if (n < 0) { /* longer than an int can say */
        s->failed = true;
        if (room) s->s[s->n] = 0;
        too_large(s->c, "a string", INT_MAX);
    } else if ((size_t)n < room) {
        s->n += (size_t)n;
    } else if (n > 0) {
        if (reserve(s, (size_t)n)) s->n += (size_t)vsnprintf(s->s + s->n, (size_t)n + 1, fmt, again);
        else if (room) s->s[s->n] = 0;
    }
    locale_leave_c(before);
    va_end(again);
    va_end(ap);
}

/* Length of the UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF), 0 when it is not
 * one. */
static size_t utf8_length(const unsigned char *p) {
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool outside = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return overlong || outside ? 0 : n;
}

void str_json(struct str *s, const char *text) {
    static const char short_form[][2] = {
        {'"', '"'}, {'\\', '\\'}, {'\n', 'n'}, {'\t', 't'}, {'\r', 'r'}, {'\b', 'b'}, {'\f', 'f'}};
    str_putc(s, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t n = utf8_length(p), i = 0, forms = sizeof short_form / sizeof *short_form;
        while (i < forms && (unsigned char)short_form[i][0] != *p) i++;
        if (i < forms) str_printf(s, "\\%c", short_form[i][1]);
        else if (*p < 0x20 || *p == 0x7f) str_printf(s, "\\u%04x", *p);
        else if (n) str_putn(s, (const char *)p, n);
        else str_put(s, "\\ufffd"); /* not UTF-8: JSON has no way to say it */
        p += n ? n : 1;
    }
    str_putc(s, '"');
}
