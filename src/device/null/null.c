/* null.c: the device that computes nothing: plans, schedules and servers are tested with it.
 *
 * Memory is real host memory, zeroed, so results read as zeros; kernels and library calls are accepted and do nothing,
 * and a loop's predicate reads as false. Every launch is counted by the runner as on any device. */
#include <string.h>

#include "base/mem.h"
#include "device/devices.h"

static tsr_status null_open(tsr_ctx *c, int index, struct device **out) {
    (void)index;
    struct device *d = mem_new(c, struct device);
    if (!d) return TSR_ENOMEM;
    *d = (struct device){.ops = &device_null, .c = c, .host_memory = true};
    *out = d;
    return TSR_OK;
}

static void null_close(struct device *d) { mem_del(d->c, d); }
static void *null_alloc(struct device *d, size_t bytes) { return mem_zalloc(d->c, bytes); }
static void null_free(struct device *d, void *mem, size_t bytes) { mem_free(d->c, mem, bytes); }

static tsr_status null_copy(struct device *d, void *dst, const void *src, size_t bytes) {
    (void)d;
    if (bytes) memmove(dst, src, bytes);
    return TSR_OK;
}

static tsr_status null_compile(struct device *d, const tsr_tile *program, void **kernel) {
    (void)d;
    *kernel = (void *)(uintptr_t)program;
    return TSR_OK;
}

static void null_unload(struct device *d, void *kernel) { (void)d, (void)kernel; }

static tsr_status null_launch(struct device *d, void *kernel, const int64_t grid[3], int n,
    const struct launch_arg *arg) {
    (void)d, (void)kernel, (void)grid, (void)n, (void)arg;
    return TSR_OK;
}

static bool null_lib_has(struct device *d, const char *name) {
    (void)d, (void)name;
    return true;
}

static tsr_status null_lib_run(struct device *d, const char *name, const struct lib_call *call) {
    (void)d, (void)name, (void)call;
    return TSR_OK;
}

static tsr_status null_sync(struct device *d) {
    (void)d;
    return TSR_OK;
}

static int null_count(tsr_ctx *c, char why[256]) {
    (void)c, (void)why;
    return 1;
}

const struct device_ops device_null = {
    .name = "null", .open = null_open, .close = null_close, .alloc = null_alloc, .free = null_free,
    .copy_in = null_copy, .copy_out = null_copy, .copy = null_copy, .compile = null_compile, .unload = null_unload,
    .launch = null_launch, .lib_has = null_lib_has, .lib_run = null_lib_run, .sync = null_sync, .count = null_count,
};
