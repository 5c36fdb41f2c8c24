/* test_suite_c.c: OpenXLA's suite on the C tier. Failing: compiled code means something else than the VM, or has other
 * bits. A run draws a part of the files by its seed; TSR_TEST_SHARDS=1 takes all of them. */
#include "suite_check.h"

#include "device/cpu/jit_cache.h"

TEST(stablehlo_on_c) {
    struct jit_tool tool;
    if (!jit_tool_find(&tool)) SKIP("no C compiler here: install gcc or clang, or name one with TSR_CC");
    const char *shards = getenv("TSR_TEST_SHARDS");
    struct conform_options o = {.tier = CONFORM_PLAN, .config = {.threads = 1}, .settled = true,
        .shards = shards ? atoi(shards) : 12};
    o.shard = (int)test_int(0, o.shards - 1);
    setenv("TSR_JIT", "asked", 1);
    setenv("TSR_CACHE", test_path("cache"), 1);
    run_suite("vm", &o, 2500 / o.shards * 2 / 3);
}
