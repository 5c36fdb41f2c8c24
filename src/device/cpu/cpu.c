/* cpu.c: the CPU as a device: host memory, tile programs on the tile VM or compiled from C, library kernels of lib.h.
 *
 * Handles of memory are host addresses. A kernel is VM code, and compiled code when the C tier has it (jit.h): then the
 * faster one runs (trial.h), unless TSR_JIT asks for compiled code. A launch spreads the grid over the context's
 * threads. Launches are synchronous, so sync has nothing to do. */
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/sys.h"
#include "device/cpu/jit.h"
#include "device/cpu/jit_cache.h"
#include "device/cpu/lib.h"
#include "device/cpu/trial.h"
#include "device/devices.h"
#include "tile/vm.h"

struct cpu {
    struct device d;
    VEC(union vm_arg) arg; /* of the launch under way */
    struct jit *jit;       /* NULL: the VM alone */
};
struct cpu_kernel {
    struct vm_code *vm;
    struct jit_kernel *c; /* NULL: the VM alone */
    struct trial trial;   /* of the two */
};

static void set_facts(struct cpu *p) {
    struct device_facts *f = &p->d.facts;
    struct jit_tool tool;
    cpu_name(f->name);
    if (!*f->name) snprintf(f->name, sizeof f->name, "processor");
    snprintf(f->arch, sizeof f->arch, "%s", cpu_isa_name(cpu_isa()));
    f->units = tsr_threads(p->d.c);
    if (!jit_tool_find(&tool))
        snprintf(f->driver, sizeof f->driver, "tile VM; no C compiler (install gcc or clang)");
    else if (p->jit) snprintf(f->driver, sizeof f->driver, "tile VM, C tier by %.80s", tool.compiler);
    else snprintf(f->driver, sizeof f->driver, "tile VM; C tier is off (%.64s)", tool.compiler);
}

static tsr_status cpu_open(tsr_ctx *c, int index, struct device **out) {
    if (index) return err_set(c, TSR_ENOTFOUND, "device cpu:%d: there is only cpu:0", index);
    struct cpu *p = mem_new(c, struct cpu);
    if (!p) return TSR_ENOMEM;
    p->d = (struct device){.ops = &device_cpu, .c = c, .host_memory = true};
    bool failed;
    p->jit = jit_open(c, &failed);
    if (failed) return mem_del(c, p), TSR_ENOMEM;
    set_facts(p);
    *out = &p->d;
    return TSR_OK;
}

static void cpu_close(struct device *d) {
    struct cpu *p = (struct cpu *)d;
    jit_close(p->jit);
    vec_release(d->c, &p->arg);
    mem_del(d->c, p);
}

static void *cpu_alloc(struct device *d, size_t bytes) { return mem_alloc(d->c, bytes); }
static void cpu_free(struct device *d, void *mem, size_t bytes) { mem_free(d->c, mem, bytes); }

static tsr_status cpu_copy(struct device *d, void *dst, const void *src, size_t bytes) {
    (void)d;
    if (bytes) memmove(dst, src, bytes);
    return TSR_OK;
}

static void cpu_unload(struct device *d, void *kernel) {
    struct cpu_kernel *k = kernel;
    vm_free(k->vm); /* compiled code stays with its unit */
    mem_del(d->c, k);
}

static tsr_status cpu_compile(struct device *d, const tsr_tile *program, void **kernel) {
    struct cpu *p = (struct cpu *)d;
    struct cpu_kernel *k = mem_new(d->c, struct cpu_kernel);
    if (!k) return TSR_ENOMEM;
    k->vm = vm_compile(d->c, program);
    if (k->vm && p->jit) k->c = jit_add(p->jit, program);
    if (tsr_error_status(d->c)) return cpu_unload(d, k), tsr_error_status(d->c);
    *kernel = k;
    return TSR_OK;
}

/* Of a launch's sizes: two that are alike take the same time. */
static uint64_t sizes_of(const int64_t grid[3], int n, const struct launch_arg *arg) {
    uint64_t h = hash_bytes(0, grid, 3 * sizeof *grid);
    for (int i = 0; i < n; i++) h = arg[i].is_buf ? hash_mix(h, arg[i].bytes) : hash_bytes(h, arg[i].raw, 16);
    return h;
}

/* On the faster tier, or on the one whose turn it is while that is found out. */
static tsr_status launch_either(struct cpu *p, struct cpu_kernel *k, const int64_t grid[3], int n,
    const struct launch_arg *arg, struct pool *pool) {
    bool timed;
    uint64_t sizes = trial_is_over(&k->trial) ? 0 : sizes_of(grid, n, arg);
    enum trial_tier tier = trial_next(&k->trial, sizes, &timed);
    double start = timed ? clock_seconds() : 0;
    tsr_status s = tier == TRIAL_C ? jit_run(p->jit, k->c, grid, p->arg.v, pool)
        : vm_run(p->d.c, k->vm, grid, p->arg.v, pool);
    if (timed) trial_note(&k->trial, sizes, tier, clock_seconds() - start);
    return s;
}

static tsr_status cpu_launch(struct device *d, void *kernel, const int64_t grid[3], int n,
    const struct launch_arg *arg) {
    struct cpu *p = (struct cpu *)d;
    struct cpu_kernel *k = kernel;
    if (!vec_reserve(d->c, &p->arg, (size_t)n + 1)) return TSR_ENOMEM;
    for (int i = 0; i < n; i++) {
        if (arg[i].is_buf) p->arg.v[i].buf.p = arg[i].buf, p->arg.v[i].buf.bytes = arg[i].bytes;
        else memcpy(p->arg.v[i].raw, arg[i].raw, sizeof arg[i].raw);
    }
    struct pool *pool = ctx_pool(d->c);
    if (!pool) return TSR_ENOMEM;
    if (!k->c) return vm_run(d->c, k->vm, grid, p->arg.v, pool);
    jit_heat(p->jit, k->c, 0);
    if (atomic_load_explicit(&k->c->run, memory_order_acquire))
        return jit_is_lazy(p->jit) ? launch_either(p, k, grid, n, arg, pool)
            : jit_run(p->jit, k->c, grid, p->arg.v, pool);
    double start = clock_seconds();
    tsr_status s = vm_run(d->c, k->vm, grid, p->arg.v, pool);
    jit_heat(p->jit, k->c, clock_seconds() - start);
    return s;
}

static bool cpu_lib_has(struct device *d, const char *name) {
    (void)d;
    return lib_find(name) != NULL;
}

static tsr_status cpu_lib_run(struct device *d, const char *name, const struct lib_call *call) {
    (void)d;
    return lib_run(name, call);
}

static tsr_status cpu_sync(struct device *d) {
    (void)d;
    return TSR_OK;
}

static tsr_status cpu_settle(struct device *d) {
    struct cpu *p = (struct cpu *)d;
    int failed = p->jit ? jit_settle(p->jit) : 0;
    if (!failed) return TSR_OK;
    return err_set(d->c, TSR_EIO, "the C compiler failed on %d units of kernels, which stay on the VM: TSR_DEBUG=1 "
        "says why, TSR_CC names another compiler", failed);
}

static void cpu_rest(struct device *d) {
    struct cpu *p = (struct cpu *)d;
    if (p->jit) jit_rest(p->jit);
}

static int cpu_devices(tsr_ctx *c, char why[256]) {
    (void)c, (void)why;
    return 1;
}

const struct device_ops device_cpu = {
    .name = "cpu", .open = cpu_open, .close = cpu_close, .alloc = cpu_alloc, .free = cpu_free,
    .copy_in = cpu_copy, .copy_out = cpu_copy, .copy = cpu_copy, .compile = cpu_compile, .unload = cpu_unload,
    .launch = cpu_launch, .lib_has = cpu_lib_has, .lib_run = cpu_lib_run, .sync = cpu_sync, .settle = cpu_settle,
    .rest = cpu_rest,
    .count = cpu_devices,
};
