/* hlo_run.h: StableHLO text as a fn, run on both tiers: what tests of the importer share. */
#ifndef TESTS_FORMATS_HLO_RUN_H
#define TESTS_FORMATS_HLO_RUN_H

#include <stdio.h>

#include "formats/stablehlo/import.h"
#include "formats/stablehlo/read.h"
#include "harness.h"
#include "tessera/run.h"

/* The function @main of a text; NULL with the error in the context. */
static inline tsr_fn *hlo_fn(tsr_ctx *c, const char *text) {
    struct hlo_import_options o = {.partition = -1, .replica = -1};
    struct hlo_module *m = hlo_read_text(c, "test.mlir", text, strlen(text));
    tsr_fn *f = m ? hlo_import(m, "main", &o, NULL) : NULL;
    hlo_module_free(m);
    return f;
}

enum hlo_tier { HLO_COMPILED, HLO_REFERENCE, HLO_TIERS };
static inline tsr_status hlo_run(tsr_ctx *c, enum hlo_tier tier, tsr_fn *f, int n, tsr_node *const *arg,
    tsr_node **out) {
    return tier == HLO_COMPILED ? tsr_run(c, f, n, arg, out) : tsr_interpret(c, f, n, arg, out);
}

#endif
