/* import_check.h: what other handlers need of import_check.c. */
#ifndef FORMATS_STABLEHLO_IMPORT_CHECK_H
#define FORMATS_STABLEHLO_IMPORT_CHECK_H

#include "formats/stablehlo/import.h"

/* custom_call @check.expect_eq, @check.expect_close, @check.expect_almost_eq, @check.eq: the handler of custom_call
 * hands targets that begin with "check." here. */
bool imp_check_custom_call(struct imp *p, const struct hlo_op *op, const char *target);

/* Does a body have a probe? Then imp_while_probed builds the loop turn by turn, so that each leaves its value. */
bool imp_is_probed(const struct hlo_op *loop);
bool imp_while_probed(struct imp *p, const struct hlo_op *op);

#endif
