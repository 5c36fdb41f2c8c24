/* test_nvrtc.c: the CUDA C of the ops' kernels and of known models compiles, for sm_80 and sm_90, with no GPU.
 *
 * Ops run on the null device, so their kernels collect in the runner's cache, each program once; models are compiled
 * (training steps of the digits convnet, of GPT-2's layers and of ResNet-50, and ResNet-50 itself) and their programs
 * join them. Many kernels share a unit. A run draws a part of the ops and of the models' kernels by its seed;
 * TSR_TEST_SHARDS=1 takes everything. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit/gpu.h"
#include "harness.h"
#include "models/graphs.h"
#include "nvrtc.h"
#include "run/runner.h"
#include "run/selftest.h"

enum { UNIT_TEXT = 96 << 10, OP_SHARDS = 150, MODEL_SHARDS = 8 };

static int shards(int otherwise) {
    const char *all = getenv("TSR_TEST_SHARDS");
    return all ? atoi(all) : otherwise;
}

/* ---- units of kernels ---- */

struct units {
    const struct rtc *nvrtc;
    tsr_ctx *c;
    int arch, kernels, unclaimed, unit;
    struct str text;
};

static void compile_unit(struct units *u) {
    const struct emit_gpu_target t = {.lang = EMIT_CUDA, .arch = u->arch, .subgroup = 32, .threads = 1024,
        .local_bytes = 48 << 10, .f64 = true, .tensor = true};
    struct str whole;
    if (!u->text.n) return;
    str_init(&whole, u->c);
    emit_gpu_prelude(&whole, &t, u->text.s);
    str_put(&whole, u->text.s);
    test_case("sm_%d, unit %d", u->arch, u->unit);
    CHECK(!whole.failed && !u->text.failed);
    nvrtc_check(u->nvrtc, u->c, whole.s, u->arch);
    str_release(&whole);
    str_clear(&u->text);
}

static void add_kernel(struct units *u, const tsr_tile *p) {
    const struct emit_gpu_target t = {.lang = EMIT_CUDA, .arch = u->arch, .subgroup = 32, .threads = 1024,
        .local_bytes = 48 << 10, .f64 = true, .tensor = true};
    struct emit_gpu_info info;
    const char *why = NULL;
    char symbol[32];
    size_t before = u->text.n;
    snprintf(symbol, sizeof symbol, "tsr_k%d", u->kernels);
    if (emit_gpu_kernel(&u->text, u->c, p, &t, symbol, &info, &why)) u->kernels++;
    else str_cut(&u->text, before), u->unclaimed++, CHECK_MSG(why != NULL, "no memory");
}

/* Of the programs of the context's runner, every so many. */
static void compile_all(const struct rtc *nvrtc, tsr_ctx *c, int arch, int every) {
    struct runner *r = runner_of(c);
    struct units u = {.nvrtc = nvrtc, .c = c, .arch = arch};
    str_init(&u.text, c);
    for (size_t i = (size_t)test_int(0, every - 1); i < r->kernels.used; i += (size_t)every) {
        add_kernel(&u, ((const struct kernel *)r->kernels.entry[i].item)->program);
        if (u.text.n > UNIT_TEXT) compile_unit(&u), u.unit++;
    }
    compile_unit(&u);
    printf("sm_%d: %d of %zu kernels compiled, %d not claimed by the renderer\n", arch, u.kernels, r->kernels.used,
        u.unclaimed);
    CHECK(u.kernels > 0);
    str_release(&u.text);
}

static void compile_archs(const struct rtc *nvrtc, tsr_ctx *c, int every) {
    for (int arch = 80; arch <= 90; arch += 10)
        if (nvrtc_knows(nvrtc, arch)) compile_all(nvrtc, c, arch, every);
}

/* ---- where kernels come from ---- */

static void ignore(void *user, const struct selftest_case *k) {
    (void)user, (void)k;
}

TEST(kernels_of_the_ops) {
    struct rtc nvrtc;
    char why[RTC_WHY];
    if (!nvrtc_open(&nvrtc, why)) SKIP("%s", why);
    tsr_ctx *c = test_ctx_with(&(tsr_config){.device = "null"});
    struct selftest_options o = {.seed = rng_u64(test_rng()), .shards = shards(OP_SHARDS)};
    o.shard = (int)test_int(0, o.shards - 1);
    CHECK_EQ(selftest_run(c, &o, ignore, NULL), TSR_OK);
    compile_archs(&nvrtc, c, 1);
    rtc_close(&nvrtc);
}

static void remember(void *user, const tsr_tile *program, const char *label) {
    (void)label;
    CHECK(runner_kernel(user, program) != NULL);
}

TEST(kernels_of_models) {
    struct rtc nvrtc;
    char why[RTC_WHY];
    if (!nvrtc_open(&nvrtc, why)) SKIP("%s", why);
    tsr_ctx *c = test_ctx_with(&(tsr_config){.device = "null"});
    struct compile_opts o = {.fuse = true, .tiles = &tile_budget_groups};
    const struct model_graph *g;
    for (int i = 0; (g = model_graph_at(i)); i++) {
        tsr_scope *s = tsr_scope_begin(c);
        tsr_fn *f = model_graph_build(c, g, NULL, NULL);
        tsr_plan *p = f ? compile_fn(c, f, &o) : NULL;
        if (CHECK_OK(c) && p) plan_programs(p, remember, runner_of(c));
        plan_free(p);
        tsr_fn_free(c, f);
        tsr_scope_end(c, s);
    }
    compile_archs(&nvrtc, c, shards(MODEL_SHARDS));
    rtc_close(&nvrtc);
}
