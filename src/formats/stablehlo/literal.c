/* literal.c: one number of a dense constant: its literal, its bits in its element type, its value.
 *
 * Decimal literals go through double, as MLIR's do, then to the type in one rounding, ties to even (floats of few bits:
 * narrow.h). */
#include "formats/stablehlo/elements.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "formats/stablehlo/narrow.h"

/* ---- element types ---------------------------------------------------------------------------------------------- */

bool hlo_elem_complex(enum hlo_elem e) { return e == HLO_C64 || e == HLO_C128; }
bool hlo_elem_unsigned(enum hlo_elem e) { return e >= HLO_UI2 && e <= HLO_UI64; }
bool hlo_elem_integer(enum hlo_elem e) { return e <= HLO_UI64 || e == HLO_INDEX; }
bool hlo_elem_float(enum hlo_elem e) { return e >= HLO_F4E2M1FN && e <= HLO_F64; }
enum hlo_elem hlo_elem_part(enum hlo_elem e) { return e == HLO_C64 ? HLO_F32 : e == HLO_C128 ? HLO_F64 : e; }

int hlo_elem_width(enum hlo_elem e) {
    int bits = hlo_elem_of(e)->bits;
    return bits < 8 ? 1 : bits / 8;
}

uint64_t hlo_bits_from_double(enum hlo_elem e, double v) {
    uint64_t bits = 0;
    if (e == HLO_F64) return memcpy(&bits, &v, 8), bits;
    if (e == HLO_F32) {
        float f = (float)v;
        uint32_t w;
        return memcpy(&w, &f, 4), w;
    }
    return narrow_encode(e, v);
}

double hlo_bits_to_double(enum hlo_elem e, uint64_t bits) {
    if (e == HLO_F64) {
        double v;
        return memcpy(&v, &bits, 8), v;
    }
    if (e == HLO_F32) {
        float f;
        uint32_t w = (uint32_t)bits;
        return memcpy(&f, &w, 4), f;
    }
    return narrow_decode(e, (uint32_t)bits);
}

/* ---- literals --------------------------------------------------------------------------------------------------- */

/* Value of a hexadecimal digit plus one; 0 for any other character. */
static const uint8_t hex_plus_one[256] = {['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7,
    ['7'] = 8, ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

int hlo_hex_digit(char ch) { return hex_plus_one[(unsigned char)ch] - 1; }

static bool is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

/* "0x" and digits: the bits themselves. */
static size_t hex_literal(const char *p, const char *end, uint64_t *bits) {
    const char *q = p + 2;
    uint64_t v = 0;
    for (; q < end && hlo_hex_digit(*q) >= 0; q++) {
        if (v >> 60) return 0;
        v = v << 4 | (uint64_t)hlo_hex_digit(*q);
    }
    *bits = v;
    return q > p + 2 ? (size_t)(q - p) : 0;
}

/* The iN are signless: 255 and -1 are the same i8. */
static bool integer_fits(enum hlo_elem e, bool neg, uint64_t v) {
    int bits = hlo_elem_of(e)->bits;
    uint64_t half = UINT64_C(1) << (bits - 1);
    if (neg) return !hlo_elem_unsigned(e) && v <= half;
    return e == HLO_INDEX ? v < half : bits == 64 || v < half * 2;
}

static size_t integer_literal(enum hlo_elem e, const char *p, const char *end, uint64_t *bits) {
    const char *q = p;
    bool neg = q < end && *q == '-';
    uint64_t v = 0;
    q += neg;
    if (!is_digit(q, end)) return 0;
    size_t hex = end - q > 2 && q[0] == '0' && q[1] == 'x' ? hex_literal(q, end, &v) : 0;
    for (q += hex; !hex && is_digit(q, end); q++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*q - '0'), &v)) return 0;
    if (q < end && (*q == '.' || *q == 'e' || *q == 'E')) return 0;
    if (!integer_fits(e, neg, v)) return 0;
    *bits = e == HLO_I1 ? v & 1 : neg ? -v : v;
    return (size_t)(q - p);
}

/* Length of a decimal float's text; *man and *exp10 are set where it has at most 19 digits (else *exact is false). */
static size_t decimal_scan(const char *p, const char *end, uint64_t *man, int *exp10, bool *exact) {
    const char *q = p;
    uint64_t m = 0;
    int digits = 0, shift = 0, e = 0;
    if (!is_digit(q, end)) return 0;
    for (; is_digit(q, end); q++) m = m * 10 + (uint64_t)(*q - '0'), digits += m != 0;
    if (q < end && *q == '.')
        for (q++; is_digit(q, end); q++) m = m * 10 + (uint64_t)(*q - '0'), digits += m != 0, shift--;
    if (q < end && (*q == 'e' || *q == 'E')) {
        const char *x = q + 1;
        bool neg = x < end && *x == '-';
        if (x < end && (*x == '-' || *x == '+')) x++;
        if (!is_digit(x, end)) return 0;
        for (; is_digit(x, end); x++) e = e < 100000 ? e * 10 + (*x - '0') : e;
        if (neg) e = -e;
        q = x;
    }
    *man = m, *exp10 = e + shift, *exact = digits <= 19;
    return (size_t)(q - p);
}

static const double power10[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

enum { LONGEST = 1024 }; /* characters of a float literal */

/* The C library's conversion, for what the short way cannot do exactly. */
static double slow_double(const char *p, size_t n) {
    char text[LONGEST + 1], *stop;
    memcpy(text, p, n), text[n] = '\0';
    return locale_strtod(text, &stop);
}

/* A product or quotient of two exact doubles is rounded once (Clinger, "How to read floating point numbers
 * accurately", 1990); the rest goes to the library. */
static double decimal_value(const char *p, size_t n, uint64_t man, int exp10, bool exact) {
    if (!exact || man > UINT64_C(1) << 53 || exp10 < -22 || exp10 > 22) return slow_double(p, n);
    return exp10 < 0 ? (double)man / power10[-exp10] : (double)man * power10[exp10];
}

static size_t decimal_literal(enum hlo_elem e, const char *p, const char *end, uint64_t *bits) {
    uint64_t man;
    int exp10;
    bool exact, neg = p < end && *p == '-';
    size_t n = decimal_scan(p + neg, end, &man, &exp10, &exact);
    if (!n || n > LONGEST) return 0;
    if (bits) {
        double v = decimal_value(p + neg, n, man, exp10, exact);
        *bits = hlo_bits_from_double(e, neg ? -v : v);
    }
    return n + neg;
}

static size_t word_literal(const char *p, const char *end, const char *word) {
    size_t n = strlen(word);
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? n : 0;
}

static size_t bits_literal(enum hlo_elem e, const char *p, const char *end, uint64_t *bits) {
    uint64_t v;
    size_t n = hex_literal(p, end, &v);
    if (hlo_elem_of(e)->bits < 64 && n && v >> hlo_elem_of(e)->bits) return 0;
    if (bits) *bits = v;
    return n;
}

size_t hlo_literal(enum hlo_elem e, const char *p, const char *end, uint64_t *bits) {
    uint64_t unused;
    if (p == end) return 0;
    if (hlo_elem_integer(e)) {
        bits = bits ? bits : &unused;
        if (e != HLO_I1 || (*p != 't' && *p != 'f')) return integer_literal(e, p, end, bits);
        *bits = *p == 't';
        return word_literal(p, end, *p == 't' ? "true" : "false");
    }
    if (end - p > 2 && p[0] == '0' && p[1] == 'x') return bits_literal(e, p, end, bits);
    return decimal_literal(e, p, end, bits);
}

bool hlo_hex_check(const char *p, size_t n) {
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) bad |= !hex_plus_one[(unsigned char)p[i]];
    return !bad;
}
