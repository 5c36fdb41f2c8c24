/* import_check.h: what other handlers need of import_check.c. */
#ifndef FORMATS_STABLEHLO_IMPORT_CHECK_H
#define FORMATS_STABLEHLO_IMPORT_CHECK_H

#include "formats/stablehlo/import.h"

/* custom_call @check.expect_eq, @check.expect_close, @check.expect_almost_eq, @check.eq: the handler of custom_call
 * hands targets that begin with "check." here. */
bool imp_check_custom_call(struct imp *p, const struct hlo_op *op, const char *target);

#endif
