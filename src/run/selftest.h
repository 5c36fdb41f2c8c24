/* selftest.h: every op of the list on a context's device, against the reference interpreter.
 *
 * Each op's sampler builds random instances in every dtype that the op admits: small ones, prime extents, one beyond a
 * tile. Each is compiled with clusters and without, runs on fresh random data, and is compared element by element:
 * integers and booleans exactly, floats within the sampler's tolerance, NaN only against NaN. An instance is told by
 * seed, op, dtype and number alone, so a second run over one context meets the kernels of the first.
 *
 * Ops whose sampler stands elsewhere (control flow, channels, host calls) have tests of their own and are left out. */
#ifndef RUN_SELFTEST_H
#define RUN_SELFTEST_H

#include "graph/op.h"

enum selftest_outcome {
    SELFTEST_PASSED,
    SELFTEST_FAILED,
    SELFTEST_UNCLAIMED, /* right, but some kernel ran on the CPU: or the device says that it cannot (EUNSUPPORTED) */
    SELFTEST_OUTCOMES,
};

/* Zero-initialise it; every zero means "the default". */
struct selftest_options {
    uint64_t seed;
    int samples;           /* instances of an op in a dtype; 0: 4 (two small, one medium, one beyond a tile) */
    const char *op;        /* only this op */
    int shard, shards;     /* only cases whose number % shards == shard */
    tsr_ctx *twin;         /* of another device: is every result the same, bit for bit? */
    bool fused_only;       /* without the compilation of one kernel an op */
    bool check;            /* the graph is verified between passes */
    const volatile int *stop; /* ends the run when set */
};
/* An op in a dtype. */
struct selftest_case {
    const char *op;
    tsr_dtype dtype;
    enum selftest_outcome outcome;
    int instances;       /* that ran and were compared */
    double worst;        /* greatest error, in parts of the tolerance */
    bool same_bits;      /* as the twin's, in all instances; false without a twin */
    const char *reason;  /* "" when it passed: the first thing that was wrong */
    const char *differs; /* "" while same_bits: the first difference */
    const char *graph;   /* text of the first failed instance's fn, or "" */
    int number, of;      /* this is case number (from 0) of so many */
};
typedef void selftest_report(void *user, const struct selftest_case *k);

/* Reports each case when it is done. An error is recorded only when the test itself cannot go on (no memory, no device,
 * an op name that does not exist); what a case does wrong is in its report. */
tsr_status selftest_run(tsr_ctx *c, const struct selftest_options *o, selftest_report *report, void *user);

#endif
