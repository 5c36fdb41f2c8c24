/* hlo_run.h: StableHLO text as a fn, run on both tiers: what tests of the importer share. */
#ifndef TESTS_FORMATS_HLO_RUN_H
#define TESTS_FORMATS_HLO_RUN_H

#include <stdio.h>

#include "formats/stablehlo/conform.h"
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

/* Do the results of a fn with checks agree as its checks want it? */
static inline bool hlo_hold(tsr_ctx *c, const hlo_checks *k, tsr_node **out) {
    bool same = true;
    for (size_t i = 0; i < k->n && same; i++) {
        uint8_t a[4096], b[4096];
        struct str why;
        size_t bytes;
        int64_t count = 1;
        for (int d = 0; d < tsr_node_rank(out[2 * i]); d++) count *= tsr_node_dim(out[2 * i], d);
        if (!CHECK(tsr_dtype_bytes(tsr_node_dtype(out[2 * i]), count, &bytes) && bytes <= sizeof a)) return false;
        if (tsr_read(c, out[2 * i], a, bytes) || tsr_read(c, out[2 * i + 1], b, bytes)) return false;
        str_init(&why, c);
        same = conform_compare(&k->v[i], tsr_node_dtype(out[2 * i]), count, a, b, &why);
        CHECK_MSG(same, "check %zu: %s", i, why.s);
        str_release(&why);
    }
    return same;
}

#endif
