/* print_number.c: numbers of every element type as text.
 *
 * Floats follow MLIR: six significant digits in scientific notation where these read back to the same bits
 * (1.000000e-01), else as many digits as any value of the type may need, plain where the exponent is small
 * (0.333333343) and scientific where not (1.40129846E-45), and the bits in hex where a decimal cannot say it (NaN,
 * infinity) or would look like an integer. Elements of constants are bytes as MLIR keeps them (ir.h).
 * Source: MLIR's printer of attributes and LLVM's of floats, their observable behaviour. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/print.h"

/* Decimal digits that tell all values of e apart; types of a narrow significand need no more than six. */
static int digits_of(enum hlo_elem e) { return e == HLO_F64 ? 17 : e == HLO_F32 ? 9 : 6; }

/* Digits of |v| as LLVM cuts them to n: v is S / 10^k with S an integer; S is first divided by a power of ten, without
 * rounding, that leaves at least the bits that n digits need, then rounded to n digits, halves up. Trailing zeros are
 * dropped; *exponent is that of the first digit. The digits are exact before they are cut: a double has at most 767. */
static int decimal(double v, int n, char digits[32], int *exponent) {
    char text[800];
    int binary, k;
    double m = frexp(fabs(v), &binary);
    for (k = 0; m != floor(m); k++) m *= 2; /* |v| = m 2^(binary - k), m odd */
    int scale = k - binary > 0 ? k - binary : 0;
    double bits = floor(log2(m) + (scale ? scale * log2(5) : binary - k)) + 1, need = (n * 196 + 58) / 59;
    locale_t before = locale_enter_c();
    snprintf(text, sizeof text, "%.*e", 770, fabs(v));
    locale_leave_c(before);
    *exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    memmove(text + 1, text + 2, 770); /* the point goes */
    int have = *exponent + 1 + scale, cut = bits > need ? (int)((bits - need) * 59 / 196) : 0;
    bool up = have - cut > n && text[n] >= '5';
    if (have - cut < n) n = have - cut;
    memcpy(digits, text, (size_t)n);
    for (int i = n; up && i-- > 0;) up = digits[i] == '9', digits[i] = up ? '0' : (char)(digits[i] + 1);
    if (up) digits[0] = '1', ++*exponent; /* all were nines */
    while (n > 1 && digits[n - 1] == '0') n--;
    return n;
}

/* Six digits, if they read back to v. */
static bool short_form(struct str *o, enum hlo_elem e, double v) {
    char digits[32], text[32];
    int exponent, n = decimal(v, 6, digits, &exponent);
    memset(digits + n, '0', (size_t)(7 - n));
    snprintf(text, sizeof text, "%s%c.%.6se%c%02d", signbit(v) ? "-" : "", digits[0], digits + 1,
        exponent < 0 ? '-' : '+', abs(exponent));
    if (hlo_bits_from_double(e, locale_strtod(text, NULL)) != hlo_bits_from_double(e, v)) return false;
    str_put(o, text);
    return true;
}

/* All digits a value of the type may need; false where the text would have no point in it. */
static bool long_form(struct str *o, enum hlo_elem e, double v) {
    char digits[32];
    int exponent, most = digits_of(e), n = decimal(v, most, digits, &exponent), zeros = exponent - (n - 1);
    bool scientific = exponent < -3 || zeros > 3 || (zeros >= 0 && exponent >= most);
    if (!scientific && zeros >= 0) return false;
    if (signbit(v)) str_putc(o, '-');
    if (scientific) {
        str_printf(o, "%c.%.*sE%+d", digits[0], n > 1 ? n - 1 : 1, n > 1 ? digits + 1 : "0", exponent);
    } else if (exponent < 0) {
        str_printf(o, "0.%.*s%.*s", -exponent - 1, "000", n, digits);
    } else {
        str_printf(o, "%.*s.%.*s", exponent + 1, digits, n - exponent - 1, digits + exponent + 1);
    }
    return true;
}

void print_float(struct str *o, enum hlo_elem e, uint64_t bits) {
    double v = hlo_bits_to_double(e, bits);
    if (v == 0) {
        str_put(o, signbit(v) ? "-0.000000e+00" : "0.000000e+00");
    } else if (isnan(v) || isinf(v) || (!short_form(o, e, v) && !long_form(o, e, v))) {
        str_printf(o, "0x%llX", (unsigned long long)bits);
    }
}

/* ---- elements of constants -------------------------------------------------------------------------------------- */
static uint64_t load(const uint8_t *p, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

void print_integer(struct str *o, enum hlo_elem e, uint64_t v) {
    int bits = hlo_elem_of(e)->bits;
    if (bits < 64) v &= ((uint64_t)1 << bits) - 1;
    if (e == HLO_I1) {
        str_put(o, v ? "true" : "false");
    } else if (hlo_elem_unsigned(e)) {
        str_printf(o, "%llu", (unsigned long long)v);
    } else {
        if (bits < 64 && v >> (bits - 1)) v |= ~(uint64_t)0 << bits;
        str_printf(o, "%lld", (long long)v);
    }
}

void print_element(struct str *o, enum hlo_elem e, const uint8_t *p) {
    size_t n = (size_t)hlo_elem_width(e);
    if (hlo_elem_complex(e)) {
        str_putc(o, '(');
        print_element(o, hlo_elem_part(e), p);
        str_putc(o, ',');
        print_element(o, hlo_elem_part(e), p + n / 2);
        str_putc(o, ')');
    } else if (hlo_elem_integer(e)) {
        print_integer(o, e, load(p, n));
    } else {
        print_float(o, e, load(p, n));
    }
}
