/* narrow.h: the numbers of the narrow element types: 2-bit integers, floats of at most 19 bits.
 *
 * One table gives exponent and mantissa widths, bias, and what the type does past its greatest value; encoding,
 * decoding and rounding of single values follow from it (constants of programs: elements.h), and import_narrow.c builds
 * the same rounding as a graph for the types that have no dtype of their own. */
#ifndef FORMATS_STABLEHLO_NARROW_H
#define FORMATS_STABLEHLO_NARROW_H

#include "formats/stablehlo/ir.h"

/* What a type does with values past its greatest one, and with NaN. */
enum narrow_kind {
    NARROW_NONE,   /* no narrow type */
    NARROW_INT,    /* two's complement or unsigned: wraps */
    NARROW_IEEE,   /* infinities and NaNs in the greatest exponent */
    NARROW_FN,     /* no infinities, the pattern of all ones is NaN: too great a value is NaN */
    NARROW_FINITE, /* neither: too great a value becomes the greatest; NaN, which it cannot say, becomes -0 */
    NARROW_FNUZ,   /* no infinities, no -0, one NaN (the pattern of -0): too great a value is NaN */
    NARROW_SCALE,  /* powers of two from 2^-127 to 2^127 and NaN: no sign, no zero */
};
struct narrow_format {
    enum narrow_kind kind;
    int exponent, mantissa, bias; /* bits; INT: exponent is the width, mantissa 1 where signed */
    double greatest;              /* finite value; 0 for INT */
};
const struct narrow_format *narrow_format_of(enum hlo_elem e); /* kind NONE where e is not narrow */

/* The pattern of v in e, to nearest, ties to the even pattern: the low 1 + exponent + mantissa bits (SCALE: 8; INT: its
 * width). And back. narrow_round: v on the grid of e. e must be narrow. */
uint32_t narrow_encode(enum hlo_elem e, double v);
double narrow_decode(enum hlo_elem e, uint32_t bits);
double narrow_round(enum hlo_elem e, double v);

#endif
