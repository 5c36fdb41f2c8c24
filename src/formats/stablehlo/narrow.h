/* narrow.h: the numbers of the element types that have no dtype of their own: 2-bit integers, MX floats, FNUZ floats.
 *
 * One table gives exponent and significand widths, bias and what the type does past its greatest value; rounding,
 * encoding and decoding of single values follow from it, and import_narrow.c builds the same rounding as a graph.
 * The carrier (HLO_ELEM_LIST) holds every value of a type exactly. */
#ifndef FORMATS_STABLEHLO_NARROW_H
#define FORMATS_STABLEHLO_NARROW_H

#include "formats/stablehlo/ir.h"

/* What a float type does with values past its greatest one, and with NaN. */
enum narrow_kind {
    NARROW_NONE,   /* not a type of this table */
    NARROW_INT,    /* two's complement or unsigned: wraps */
    NARROW_IEEE,   /* infinities and NaNs in the greatest exponent */
    NARROW_FINITE, /* neither: too great a value becomes the greatest; NaN, which it cannot say, becomes -0 */
    NARROW_FNUZ,   /* no infinities, no -0, one NaN (the pattern of -0): too great a value is NaN */
    NARROW_SCALE,  /* powers of two from 2^-127 to 2^127 and NaN: no sign, no zero */
};
struct narrow_format {
    enum narrow_kind kind;
    int exponent, mantissa, bias; /* bits; INT: exponent is the width, mantissa 1 where signed */
    double greatest;              /* finite value; 0 for INT */
};
const struct narrow_format *narrow_format_of(enum hlo_elem e); /* kind NONE where e has a dtype of its own */

/* v on the grid of e: to nearest, ties to even (of the pattern). */
double narrow_round(enum hlo_elem e, double v);
/* The pattern of v, rounded: the low 1 + exponent + mantissa bits (SCALE: 8; INT: width). And back. */
uint32_t narrow_encode(enum hlo_elem e, double v);
double narrow_decode(enum hlo_elem e, uint32_t bits);

#endif
