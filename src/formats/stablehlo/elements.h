/* elements.h: the elements of dense constants, one by one: literals to bits, bits to values. For the readers, which
 * check literals, and elements.c, which decodes constants. */
#ifndef FORMATS_STABLEHLO_ELEMENTS_H
#define FORMATS_STABLEHLO_ELEMENTS_H

#include "formats/stablehlo/ir.h"

bool hlo_elem_float(enum hlo_elem e);   /* f32, f8E4M3, ...; not complex */
bool hlo_elem_complex(enum hlo_elem e);
int hlo_hex_digit(char ch); /* -1: none */
bool hlo_elem_unsigned(enum hlo_elem e);
bool hlo_elem_integer(enum hlo_elem e); /* i1, index and the unsigned ones too */
/* The type of one number of e: of the parts for complex types, else e itself. */
enum hlo_elem hlo_elem_part(enum hlo_elem e);
int hlo_elem_width(enum hlo_elem e); /* bytes of one element as MLIR stores it; complex: of both parts */

/* One number's bits in type e (a part's type) from a value. */
uint64_t hlo_bits_from_double(enum hlo_elem e, double v);
double hlo_bits_to_double(enum hlo_elem e, uint64_t bits);
/* The literal at [p, end): its length, 0 if it is none that e (a part's type) can hold; *bits is set (bits may be
 * NULL).
 * Integers must fit e; floats are 1, 1.0, -1.5e3 or hexadecimal bits 0x7FC00000; i1 also true and false. */
size_t hlo_literal(enum hlo_elem e, const char *p, const char *end, uint64_t *bits);
/* Checks text [p, end), "[[1, 2], [3, 4]]", against type t (rank, extents, literals). NULL: fine; else what is wrong,
 * and *at is where. */
const char *hlo_list_check(const struct hlo_type *t, const char *p, const char *end, const char **at);
bool hlo_hex_check(const char *p, size_t n); /* only hexadecimal digits */

#endif
