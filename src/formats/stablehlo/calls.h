/* calls.h: ops that StableHLO has no operation for, written under names of our own: the list is calls.def. */
#ifndef FORMATS_STABLEHLO_CALLS_H
#define FORMATS_STABLEHLO_CALLS_H

#include "formats/stablehlo/import.h"
#include "graph/node.h"

/* The name under which an op of calls.def is written; NULL: it is none. */
const char *hlo_call_name(enum tsr_op op);

/* What builds the operation whose target or composite name is `name`; NULL: it is none of the list. */
imp_handler *imp_call_of(const char *name);

#endif
