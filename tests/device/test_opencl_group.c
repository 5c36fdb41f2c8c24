/* test_opencl_group.c: text with barriers and local memory on a real OpenCL driver, where there is no GPU.
 *
 * PoCL gets groups of one thread by default, so nothing there waits for another. Here groups are of 64 (and of 40, no
 * power of two): rows, scans and products deal their elements out to threads that exchange them. The bits are the tile
 * VM's. The list is short because PoCL takes seconds over a kernel with barriers, and minutes where they stand in
 * nested loops. */
#include <stdio.h>
#include <stdlib.h>

#include "device/devices.h"
#include "device/opencl/opencl.h"
#include "harness.h"
#include "run/runner.h"
#include "tessera/ops.h"
#include "tessera/run.h"

typedef tsr_node *formula(tsr_ctx *c, tsr_node *x, tsr_node *y); /* of x (7, 300) and y (300, 20) */

static tsr_node *sum_of_rows(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    (void)y;
    return tsr_sum(c, x, 1, (int[]){1}, false);
}
static tsr_node *softmax_of_rows(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    (void)y;
    return tsr_softmax(c, x, 1);
}
static tsr_node *greatest_of_rows(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    (void)y;
    return tsr_argmax(c, x, 1, false);
}
static tsr_node *running_sums(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    (void)y;
    return tsr_cumsum(c, x, 1);
}
static tsr_node *product(tsr_ctx *c, tsr_node *x, tsr_node *y) { return tsr_matmul(c, x, y); }

static const struct { const char *name; formula *f; } sample[] = {{"sum of rows", sum_of_rows},
    {"softmax of rows", softmax_of_rows}, {"argmax of rows", greatest_of_rows}, {"running sums", running_sums},
    {"product", product}};

static tsr_node *operand(tsr_ctx *c, int64_t rows, int64_t columns, uint64_t seed) {
    struct rng r = {.seed = seed};
    float v[6000];
    for (int64_t i = 0; i < rows * columns; i++) v[i] = (float)rng_normal(&r);
    return tsr_tensor(c, TSR_F32, 2, (int64_t[]){rows, columns}, v);
}

static size_t compute(tsr_ctx *c, formula *f, uint64_t seed, uint8_t *out, size_t most) {
    size_t bytes = 0;
    tsr_node *z = f(c, operand(c, 7, 300, seed), operand(c, 300, 20, seed + 1));
    if (!CHECK_OK(c) || !CHECK(type_bytes(tsr_node_type(z), &bytes) && bytes <= most)) return 0;
    CHECK_EQ(tsr_read(c, z, out, bytes), TSR_OK);
    return bytes;
}

static void check_groups(int threads, int n) {
    char text[16], why[256] = "";
    static uint8_t got[16384], want[16384];
    snprintf(text, sizeof text, "%d", threads);
    setenv("TSR_OPENCL_GROUP", text, 1);
    tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = 2, .device = "opencl"});
    tsr_ctx *cpu = test_ctx_with(&(tsr_config){.threads = 1, .device = "cpu"});
    if (!device_opencl.count(c, why)) SKIP("%s", why);
    struct device *d = device_of(c);
    if (!CHECK_OK(c)) return;
    CHECK(((struct opencl *)d)->target.threads > 1);
    for (int i = 0; i < n; i++) {
        test_case("groups of %d: %s", threads, sample[i].name);
        uint64_t seed = rng_u64(test_rng());
        size_t bytes = compute(c, sample[i].f, seed, got, sizeof got);
        if (CHECK_EQ(compute(cpu, sample[i].f, seed, want, sizeof want), bytes)) CHECK_BYTES(got, want, bytes);
    }
    CHECK_EQ(d->unclaimed, 0); /* nothing ran on the CPU instead */
    unsetenv("TSR_OPENCL_GROUP");
}

TEST(groups_of_64) { check_groups(64, (int)(sizeof sample / sizeof *sample)); }
TEST(groups_of_no_power_of_two) { check_groups(40, 2); }
