/* test_jit_ops.c: the ops of the list on the C tier: the VM's bits, which are within tolerance of the reference.
 *
 * The kernels of all instances are met once on the VM, compiled together, and met again as compiled code: the second
 * run of one seed has the same programs. The compiler takes its time, so a run draws a part of the table by its seed;
 * TSR_TEST_SHARDS=1 takes all of it. */
#include <stdio.h>
#include <stdlib.h>

#include "device/cpu/jit_cache.h"
#include "harness.h"
#include "run/runner.h"
#include "run/selftest.h"

static int instances;

static void skim(void *user, const struct selftest_case *k) {
    (void)user, (void)k;
}

static void judge(void *user, const struct selftest_case *k) {
    (void)user;
    test_case("%s %s", k->op, tsr_dtype_name(k->dtype));
    instances += k->instances;
    CHECK_MSG(k->outcome == SELFTEST_PASSED, "%s", k->reason);
    if (!CHECK_MSG(k->same_bits, "not the VM's bits: %s", k->differs) && getenv("TSR_TEST_SHOW")) puts(k->graph);
}

/* A context whose device has the C tier in that mode (the device reads it when it opens). */
static tsr_ctx *tier(const char *mode) {
    tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = 1});
    setenv("TSR_JIT", mode, 1);
    CHECK(runner_of(c) != NULL);
    return c;
}

/* The whole of one op, or where op is NULL a part of all. */
static void compare(const char *op) {
    struct jit_tool tool;
    const char *shards = getenv("TSR_TEST_SHARDS");
    if (!jit_tool_find(&tool)) SKIP("no C compiler here: install gcc or clang, or name one with TSR_CC");
    setenv("TSR_CACHE", test_path("cache"), 1);
    tsr_ctx *vm = tier("off"), *c = tier("asked");
    struct selftest_options o = {.seed = rng_u64(test_rng()), .op = op, .shards = shards ? atoi(shards) : 40};
    if (o.op) o.shards = 1;
    o.shard = (int)test_int(0, o.shards - 1);
    CHECK_EQ(selftest_run(c, &o, skim, NULL), TSR_OK);
    CHECK_EQ(runner_settle(c), TSR_OK);
    o.twin = vm;
    CHECK_EQ(selftest_run(c, &o, judge, NULL), TSR_OK);
    CHECK_OK(c);
    printf("%d instances of ops on compiled kernels, compared with the VM and the reference\n", instances);
}

TEST(the_bits_of_the_vm) { compare(getenv("TSR_TEST_OP")); }

/* All of them: gcc 12 has made products of short tiles of integers whose sums lay where its own stores must not. */
TEST(products) { compare("dot"); }
