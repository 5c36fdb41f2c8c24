/* json.c: strings, unsigned integers and punctuation of JSON (RFC 8259), strictly.
 *
 * Strings must be UTF-8 (RFC 3629) after their escapes are resolved; \u surrogates come in pairs; control characters
 * must be escaped. A NUL inside a string is refused, because names are C strings to their users. */
#include "formats/safetensors/json.h"

#include <string.h>

void json_init(struct json *j, tsr_ctx *c, const char *name, const uint8_t *p, size_t n) {
    *j = (struct json){.c = c, .name = name, .start = p, .p = p, .end = p + n};
    str_init(&j->text, c);
}

void json_release(struct json *j) { str_release(&j->text); }

tsr_status json_error(struct json *j, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_setv(j->c, TSR_EFORMAT, fmt, ap);
    va_end(ap);
    err_prefix(j->c, "%s: header byte %zu", j->name, (size_t)(j->p - j->start));
    return tsr_error_status(j->c);
}

static void skip_space(struct json *j) {
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t')) j->p++;
}

bool json_peek(struct json *j, char ch) {
    skip_space(j);
    if (j->p == j->end || *j->p != (uint8_t)ch) return false;
    j->p++;
    return true;
}

tsr_status json_expect(struct json *j, char ch) {
    return json_peek(j, ch) ? TSR_OK : json_error(j, "'%c' is missing", ch);
}

tsr_status json_end(struct json *j) {
    skip_space(j);
    return j->p == j->end ? TSR_OK : json_error(j, "text follows the closing brace");
}

/* ---- strings ---------------------------------------------------------------------------------------------------- */

static tsr_status hex4(struct json *j, uint32_t *out) {
    *out = 0;
    if (j->end - j->p < 4) return json_error(j, "\\u needs four hexadecimal digits");
    for (int i = 0; i < 4; i++) {
        uint8_t ch = *j->p++;
        uint32_t v = ch >= '0' && ch <= '9' ? ch - (uint32_t)'0' : (ch | 32) >= 'a' && (ch | 32) <= 'f'
            ? (ch | 32) - 'a' + 10u : 16;
        if (v == 16) return json_error(j, "\\u needs four hexadecimal digits");
        *out = *out << 4 | v;
    }
    return TSR_OK;
}

static void put_utf8(struct str *s, uint32_t u) {
    int more = u < 0x80 ? 0 : u < 0x800 ? 1 : u < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    str_putc(s, (char)(lead[more] | u >> (6 * more)));
    while (more--) str_putc(s, (char)(0x80 | (u >> (6 * more) & 0x3f)));
}

static tsr_status unicode_escape(struct json *j) {
    uint32_t u, low;
    tsr_status s = hex4(j, &u);
    if (s) return s;
    if (u >= 0xd800 && u < 0xdc00) {
        if (j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u') return json_error(j, "half of a surrogate pair");
        j->p += 2;
        if ((s = hex4(j, &low))) return s;
        if (low < 0xdc00 || low > 0xdfff) return json_error(j, "half of a surrogate pair");
        u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    } else if (u >= 0xdc00 && u < 0xe000) {
        return json_error(j, "half of a surrogate pair");
    }
    if (!u) return json_error(j, "a NUL inside a string");
    put_utf8(&j->text, u);
    return TSR_OK;
}

static tsr_status escape(struct json *j) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint8_t ch = j->p < j->end ? *j->p++ : 0;
    const char *at = ch ? strchr(from, ch) : NULL;
    if (ch == 'u') return unicode_escape(j);
    if (!at) return json_error(j, "an unknown escape in a string");
    str_putc(&j->text, to[at - from]);
    return TSR_OK;
}

/* Bytes of the UTF-8 sequence at p, 0 when it is none. */
static size_t utf8_at(const uint8_t *p, const uint8_t *end) {
    size_t n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    if (n > (size_t)(end - p)) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    if (n < 3) return n;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool outside = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return overlong || outside ? 0 : n;
}

tsr_status json_string(struct json *j) {
    tsr_status s = json_expect(j, '"');
    str_clear(&j->text);
    while (!s && j->p < j->end && *j->p != '"') {
        size_t n = utf8_at(j->p, j->end);
        if (*j->p == '\\') j->p++, s = escape(j);
        else if (!n) s = json_error(j, "a string is not UTF-8");
        else if (*j->p < 0x20) s = json_error(j, "a control character inside a string; it must be escaped");
        else str_putn(&j->text, (const char *)j->p, n), j->p += n;
    }
    if (!s && j->p == j->end) s = json_error(j, "a string is not closed");
    if (!s) j->p++;
    return !s && j->text.failed ? tsr_error_status(j->c) : s;
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

tsr_status json_uint(struct json *j, uint64_t *out) {
    skip_space(j);
    const uint8_t *first = j->p;
    for (*out = 0; j->p < j->end && *j->p >= '0' && *j->p <= '9'; j->p++) {
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t)(*j->p - '0'), out))
            return json_error(j, "a number does not fit in 64 bits");
    }
    if (j->p == first) return json_error(j, "an unsigned integer is missing");
    if (*first == '0' && j->p - first > 1) return json_error(j, "a number with a leading zero");
    if (j->p < j->end && strchr(".eE", *j->p) && *j->p) return json_error(j, "a number that is no integer");
    return TSR_OK;
}
