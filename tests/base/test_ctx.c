/* test_ctx.c: opening, closing, slots, the first error, accounting, and every status having a name. */
#include "base/pool.h"
#include "base/sys.h"
#include "harness.h"

TEST(opens_with_defaults) {
    tsr_ctx *c = tsr_open(NULL);
    if (!CHECK(c != NULL)) return;
    CHECK(tsr_threads(c) >= 1);
    CHECK_STR(ctx_device_name(c), env_str("TSR_DEVICE"));
    CHECK_EQ(tsr_error_status(c), TSR_OK);
    CHECK_STR(tsr_error_message(c), "");
    tsr_close(c);
    tsr_close(NULL);
}

TEST(config_is_obeyed) {
    tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = 3, .device = "null"});
    CHECK_EQ(tsr_threads(c), 3);
    CHECK_STR(ctx_device_name(c), "null");
    CHECK_EQ(pool_threads(ctx_pool(c)), 3);
    CHECK(ctx_pool(c) == ctx_pool(c));
}

TEST(version_is_the_headers) {
    char want[32];
    snprintf(want, sizeof want, "%d.%d.%d", TSR_VERSION_MAJOR, TSR_VERSION_MINOR, TSR_VERSION_PATCH);
    CHECK_STR(tsr_version(), want);
}

TEST(every_status_has_a_name) {
    for (int s = 0; s < TSR_STATUS_COUNT; s++) {
        test_case("status %d", s);
        CHECK(strlen(tsr_status_name((tsr_status)s)) > 1);
        for (int t = 0; t < s; t++) CHECK(strcmp(tsr_status_name((tsr_status)s), tsr_status_name((tsr_status)t)));
    }
    test_case("no status");
    CHECK_STR(tsr_status_name((tsr_status)TSR_STATUS_COUNT), "unknown status");
}

TEST(first_error_wins) {
    tsr_ctx *c = test_ctx();
    CHECK(!err_any(c));
    CHECK_EQ(err_set(c, TSR_EINVAL, "matmul: %d by %d", 3, 4), TSR_EINVAL);
    CHECK_EQ(err_set(c, TSR_EIO, "later"), TSR_EIO);
    CHECK(err_any(c));
    CHECK_STR(tsr_error_message(c), "matmul: 3 by 4");
    err_prefix(c, "model \"%s\"", "m");
    CHECK_ERROR(c, TSR_EINVAL, "model \"m\": matmul: 3 by 4");
    err_prefix(c, "nothing to prefix");
    CHECK_STR(tsr_error_message(c), "");
    err_set(c, TSR_EFORMAT, "second");
    CHECK_ERROR(c, TSR_EFORMAT, "second");
}

TEST(long_messages_are_cut) {
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    tsr_ctx *c = test_ctx();
    err_set(c, TSR_EINVAL, "%s", text);
    size_t n = strlen(tsr_error_message(c));
    CHECK(n >= 1000 && n < sizeof text);
    for (int i = 0; i < 20; i++) err_prefix(c, "%s", text);
    CHECK_EQ(strlen(tsr_error_message(c)), n);
    tsr_error_clear(c);
    err_set(c, TSR_EINVAL, "short");
    err_prefix(c, "%s", text);
    CHECK_ERROR(c, TSR_EINVAL, ": short");
}

static void record_error(void *arg, int64_t i, int worker) {
    (void)worker;
    err_set(arg, TSR_EIO, "worker %d says %d", (int)i, (int)i);
}

/* Two halves of one message must come from one worker. */
TEST(workers_may_fail_at_once) {
    tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = 7});
    for (int round = 0; round < 200; round++) {
        int a = -1, b = -2;
        pool_for(ctx_pool(c), 50, record_error, c);
        CHECK_EQ(sscanf(tsr_error_message(c), "worker %d says %d", &a, &b), 2);
        CHECK_EQ(a, b);
        tsr_error_clear(c);
    }
}

static int destroyed[SLOT_COUNT], destroyed_count;
static void destroy_slot(tsr_ctx *c, void *state) {
    (void)c;
    destroyed[destroyed_count++] = *(int *)state;
}

TEST(slots_go_in_reverse) {
    static int value[SLOT_COUNT];
    tsr_ctx *c = test_ctx();
    destroyed_count = 0;
    for (int s = 0; s < SLOT_COUNT; s++) {
        CHECK(!ctx_slot(c, (enum ctx_slot)s));
        value[s] = s;
        ctx_slot_set(c, (enum ctx_slot)s, &value[s], destroy_slot);
        CHECK(ctx_slot(c, (enum ctx_slot)s) == &value[s]);
    }
    test_ctx_close(c);
    CHECK_EQ(destroyed_count, SLOT_COUNT);
    for (int s = 0; s < SLOT_COUNT; s++) CHECK_EQ(destroyed[s], SLOT_COUNT - 1 - s);
}

TEST(accounting_is_exact) {
    tsr_ctx *c = test_ctx();
    tsr_mem_stats a = tsr_memory(c);
    void *p = mem_alloc(c, 1000), *q = mem_alloc(c, 0);
    CHECK_EQ(tsr_memory(c).now - a.now, 1001);
    p = mem_resize(c, p, 1000, 10);
    CHECK_EQ(tsr_memory(c).now - a.now, 11);
    CHECK_EQ(tsr_memory(c).peak - a.now, 1001);
    CHECK_EQ(tsr_memory(c).allocs - a.allocs, 3);
    mem_free(c, p, 10);
    mem_free(c, q, 0);
    CHECK_EQ(tsr_memory(c).now, a.now);
}

static bool open_pool(tsr_ctx *c, void *arg) {
    (void)arg;
    return ctx_pool(c) != NULL;
}

TEST(torture_open) {
    CHECK(torture(open_pool, NULL) >= 3); /* context, device name, pool */
}
