/* import_chlo.h: the client ops' arithmetic that more than one file of the importer uses. */
#ifndef FORMATS_STABLEHLO_IMPORT_CHLO_H
#define FORMATS_STABLEHLO_IMPORT_CHLO_H

#include "formats/stablehlo/import.h"

/* Elementwise CHLO function of n (1 or 2) operands of one shape and dtype, by its name without "chlo."; NULL: there is
 * none of that name and number. Real and complex operands. */
typedef tsr_node *imp_chlo_fn(tsr_ctx *c, tsr_node *const *x);
imp_chlo_fn *imp_chlo_find(const char *name, int n);

/* What asin and acos of c64 and c128 have in common (import_chlo_complex.c). */
tsr_node *imp_complex_asin_acos_kernel(tsr_ctx *c, tsr_node *z);

#endif
