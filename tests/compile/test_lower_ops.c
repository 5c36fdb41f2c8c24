/* test_lower_ops.c: every op of the list, in every dtype it admits, compiled and run on the cpu against the
 * interpreter, with clusters and without (selftest.h). Results are poisoned before (the test allocator does), the graph
 * is verified between passes. TSR_TEST_OP names one op, TSR_TEST_SHOW prints the graphs that fail. */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "run/selftest.h"

static int instances;

static void judge(void *user, const struct selftest_case *k) {
    (void)user;
    test_case("%s %s", k->op, tsr_dtype_name(k->dtype));
    instances += k->instances;
    CHECK_MSG(k->outcome == SELFTEST_PASSED, "%s", k->reason);
    if (*k->graph && getenv("TSR_TEST_SHOW")) puts(k->graph);
}

TEST(every_op_in_every_dtype) {
    struct selftest_options o = {.seed = rng_u64(test_rng()), .op = getenv("TSR_TEST_OP"), .check = true};
    tsr_ctx *c = test_ctx();
    CHECK_EQ(selftest_run(c, &o, judge, NULL), TSR_OK);
    CHECK_OK(c);
    printf("%d instances of ops compared with the reference\n", instances);
}

/* A device that computes nothing must not be trusted with anything that computes. */
static void distrust(void *user, const struct selftest_case *k) {
    int *wrong = user;
    wrong[k->outcome]++;
    if (k->outcome == SELFTEST_FAILED) CHECK_MSG(*k->reason && *k->graph, "%s says nothing", k->op);
}

TEST(a_device_that_computes_nothing_fails) {
    int n[SELFTEST_OUTCOMES] = {0};
    struct selftest_options o = {.seed = rng_u64(test_rng()), .op = "exp"};
    tsr_ctx *c = test_ctx_with(&(tsr_config){.device = "null"});
    CHECK_EQ(selftest_run(c, &o, distrust, n), TSR_OK);
    CHECK(n[SELFTEST_FAILED] > 0 && n[SELFTEST_PASSED] == 0 && n[SELFTEST_UNCLAIMED] == 0);
    CHECK_OK(c);
}

/* The same device twice has the same bits; an op that does not exist is an error that names it. */
static void equal_bits(void *user, const struct selftest_case *k) {
    (void)user;
    test_case("%s %s", k->op, tsr_dtype_name(k->dtype));
    CHECK_MSG(k->same_bits, "%s", k->differs);
}

TEST(a_twin_has_the_same_bits) {
    tsr_ctx *c = test_ctx(), *twin = test_ctx_with(&(tsr_config){.threads = 1});
    struct selftest_options o = {.seed = rng_u64(test_rng()), .shard = (int)test_int(0, 49), .shards = 50,
        .twin = twin};
    CHECK_EQ(selftest_run(c, &o, equal_bits, NULL), TSR_OK);
    o.op = "no such op";
    CHECK_EQ(selftest_run(c, &o, equal_bits, NULL), TSR_ENOTFOUND);
    CHECK_ERROR(c, TSR_ENOTFOUND, "no such op");
}
