/* conform.h: running the cases of a conformance suite: what OpenXLA's own tests say about our semantics.
 *
 * A case is a function without parameters that has check operations (in a section that has none: every function
 * without parameters, which must import and run). Cases are found file by file, each file (or batch of them) in a
 * context of its own; nothing a file does stops the run. The @main of a section without a case is imported only: its
 * unknown extents become symbols. A bytecode file is a case: it says what the text beside it says (twin.h). */
#ifndef FORMATS_STABLEHLO_CONFORM_H
#define FORMATS_STABLEHLO_CONFORM_H

#include "formats/stablehlo/import.h"

/* The obvious loops, or plans on the device of the context. */
enum conform_tier { CONFORM_REFERENCE, CONFORM_PLAN };
enum conform_outcome {
    CONFORM_PASSED, CONFORM_FAILED, CONFORM_SKIPPED, CONFORM_IMPORTED,
    CONFORM_FOREIGN, /* a file that has no cases: upstream gives it to another program */
    CONFORM_OUTCOMES,
};

struct conform_options {
    enum conform_tier tier;
    const char *filter;  /* NULL, or: cases whose name has this in it */
    int shard, shards;   /* of the files in order, those with number % shards == shard; shards 0: all */
    tsr_config config;   /* of the contexts */
    /* The files run in batches, each twice: as soon as it is compiled, and again when the device has settled (all the
     * kernels of the batch compiled to machine code, together). The second run counts, and must have the first one's
     * bits. For TSR_JIT=asked. */
    bool settled;
    const volatile int *stop; /* NULL, or: ends the run when set */
};
struct conform_case {
    const char *name; /* "abs_float32.mlir", "add.mlir:add_op_test_si8", "all_reduce.mlir:cross_replica.main" */
    const char *op;   /* under test: what the first check looks at, or what the file's name begins with */
    enum conform_outcome outcome;
    const char *reason; /* "" when it passed */
};
typedef void conform_report(void *user, const struct conform_case *k);

/* Runs the cases of a file, or of all files below a folder in order of their paths. c holds the list of files and gets
 * the error when there are none. */
tsr_status conform_run(tsr_ctx *c, const char *path, const struct conform_options *o, conform_report *report,
    void *user);

/* Does actual agree with expected as check k wants it? Both: count elements of dtype t. False: why says how not. */
bool conform_compare(const struct hlo_check *k, tsr_dtype t, int64_t count, const void *actual, const void *expected,
    struct str *why);

#endif
