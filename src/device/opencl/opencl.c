/* opencl.c: OpenCL as a device: any driver that the system's loader finds; nothing is linked.
 *
 * "opencl" is the first device, "opencl:1" the next (load.c has the order). Memory is cl_mem behind made-up addresses
 * (memory.c), work goes through one in-order queue and is waited for only when values are read (queue.c), kernels are
 * OpenCL C from tile programs (program.c, launch.c), library kernels run on the CPU (host_lib.h). */
#include <string.h>

#include "base/sys.h"
#include "device/devices.h"
#include "device/host_lib.h"
#include "device/opencl/opencl.h"
#include "tile/budget.h"

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static bool is_fatal(cl_int status) {
    return status == CL_DEVICE_NOT_AVAILABLE || status == CL_OUT_OF_RESOURCES || status == CL_INVALID_COMMAND_QUEUE ||
        status == CL_INVALID_CONTEXT || status == CL_EXEC_STATUS_ERROR;
}

tsr_status opencl_status(struct opencl *o, cl_int status, const char *what) {
    if (!status) return TSR_OK;
    o->lost = o->lost || is_fatal(status);
    const struct device_task *t = &o->d.task;
    bool memory = status == CL_MEM_OBJECT_ALLOCATION_FAILURE || status == CL_OUT_OF_HOST_MEMORY;
    return err_set(o->d.c, memory ? TSR_ENOMEM : TSR_EIO, "OpenCL %s: %s%s%s%s: %s (%s, %d)%s", o->found.name, what,
        t->label ? " (" : "", t->label ? t->label : "", t->label ? ")" : "", cl_status_text(status),
        cl_status_name(status), status, memory ? ": use a smaller batch or model" : o->lost ?
            ": the context cannot go on: close it and open another" : "");
}

tsr_status opencl_alive(struct opencl *o) {
    if (!o->lost) return TSR_OK;
    return err_set(o->d.c, TSR_EIO, "OpenCL %s: the device was lost by an earlier failure: close the context and open "
        "another", o->found.name);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static tsr_status no_such(tsr_ctx *c, int index, int n, const struct cl_found *found) {
    struct str s;
    str_init(&s, c);
    for (int i = 0; i < n; i++)
        str_printf(&s, "%sopencl:%d is %s (%s)", i ? ", " : "", i, found[i].name, found[i].platform_name);
    err_set(c, TSR_ENOTFOUND, "device opencl:%d does not exist: %s", index, s.s);
    str_release(&s);
    return tsr_error_status(c);
}

static tsr_status find_device(struct opencl *o, tsr_ctx *c, int index) {
    struct cl_found *found = mem_array(c, CL_DEVICES_MOST, sizeof *found);
    char why[256] = "";
    if (!found) return TSR_ENOMEM;
    int n = cl_load(&o->cl, why) ? cl_devices(&o->cl, found, why) : 0;
    tsr_status s = TSR_OK;
    if (!n) s = err_set(c, TSR_ENOTFOUND, "device opencl: %s", why);
    else if (index < 0 || index >= n) s = no_such(c, index, n, found);
    else o->found = found[index];
    mem_array_free(c, found, CL_DEVICES_MOST, sizeof *found);
    return s;
}

static void learn_facts(struct opencl *o) {
    const struct cl *cl = &o->cl;
    cl_device id = o->found.device;
    struct device_facts *f = &o->d.facts;
    char version[48], driver[48];
    cl_device_text(cl, id, CL_DEVICE_VERSION, version, sizeof version);
    cl_device_text(cl, id, CL_DRIVER_VERSION, driver, sizeof driver);
    snprintf(f->name, sizeof f->name, "%s", o->found.name);
    snprintf(f->driver, sizeof f->driver, "%s, driver %s", version, driver);
    snprintf(f->arch, sizeof f->arch, "%.31s", o->found.platform_name);
    f->units = (int)cl_device_number(cl, id, CL_DEVICE_UNITS, 4);
    f->memory = (size_t)cl_device_number(cl, id, CL_DEVICE_MEMORY, 8);
    f->local_bytes = (size_t)cl_device_number(cl, id, CL_DEVICE_LOCAL_BYTES, 8);
    o->most_block = (size_t)cl_device_number(cl, id, CL_DEVICE_MOST_BLOCK, 8);
}

/* What text the device gets, and how many groups keep it busy. A CPU runs a group's threads one after the other, so a
 * group is one thread there: no barriers, and the driver's compiler finds plain loops. TSR_OPENCL_GROUP asks for more:
 * text with barriers then runs on a real driver where there is no GPU. */
static void choose_target(struct opencl *o) {
    enum { THREADS = 256, GPU_GROUPS = 16, CPU_GROUPS = 4 };
    int64_t asked = env_int("TSR_OPENCL_GROUP");
    bool cpu = (o->found.type & CL_TYPE_CPU) && asked <= 1;
    const struct cl *cl = &o->cl;
    size_t threads = (size_t)cl_device_number(cl, o->found.device, CL_DEVICE_GROUP_SIZE, sizeof threads);
    size_t most = (o->found.type & CL_TYPE_CPU) && asked < THREADS ? (size_t)asked : THREADS;
    if (most > threads) most = threads;
    bool rounded = cl_device_number(cl, o->found.device, CL_DEVICE_SINGLE_CONFIG, 8) & CL_CORRECTLY_ROUNDED_DIVIDE_SQRT;
    o->target = (struct emit_gpu_target){.lang = EMIT_OPENCL, .local_bytes = o->d.facts.local_bytes,
        .threads = cpu ? 1 : (int)most,
        .f64 = cl_device_number(cl, o->found.device, CL_DEVICE_DOUBLE_CONFIG, 8) != 0};
    if (!cpu) o->d.tiles = &tile_budget_groups;
    o->groups = (o->d.facts.units ? o->d.facts.units : 1) * (cpu ? CPU_GROUPS : GPU_GROUPS);
    snprintf(o->options, sizeof o->options, "-cl-std=CL1.2%s",
        rounded ? " -cl-fp32-correctly-rounded-divide-sqrt" : "");
}

static tsr_status open_queue(struct opencl *o) {
    cl_int status;
    o->profiled = env_int("TSR_DEBUG") >= 2 || *env_str("TSR_PROFILE");
    o->context = o->cl.clCreateContext(NULL, 1, &o->found.device, NULL, NULL, &status);
    if (status) return o->context = NULL, opencl_status(o, status, "clCreateContext");
    o->queue = o->cl.clCreateCommandQueue(o->context, o->found.device, o->profiled ? CL_QUEUE_PROFILING : 0, &status);
    if (status) return o->queue = NULL, opencl_status(o, status, "clCreateCommandQueue");
    return TSR_OK;
}

static void opencl_close(struct device *d) {
    struct opencl *o = (struct opencl *)d;
    if (o->queue) o->cl.clFinish(o->queue);
    flight_drop(o);
    opencl_memory_release(o);
    if (o->queue) o->cl.clReleaseCommandQueue(o->queue);
    if (o->context) o->cl.clReleaseContext(o->context);
    mem_del(d->c, o);
}

static tsr_status opencl_open(tsr_ctx *c, int index, struct device **out) {
    struct opencl *o = mem_new(c, struct opencl);
    if (!o) return TSR_ENOMEM;
    o->d = (struct device){.ops = &device_opencl, .c = c};
    address_init(&o->space, c);
    tsr_status s = find_device(o, c, index);
    if (!s) {
        learn_facts(o), choose_target(o), cache_open(&o->cache);
        s = open_queue(o);
    }
    if (s) return opencl_close(&o->d), s;
    log_line(1, "opencl:%d is %s: %s; %d units, %zu MiB", index, o->d.facts.name, o->d.facts.driver, o->d.facts.units,
        o->d.facts.memory >> 20);
    *out = &o->d;
    return TSR_OK;
}

static int opencl_count(tsr_ctx *c, char why[256]) {
    struct cl cl;
    struct cl_found *found = mem_array(c, CL_DEVICES_MOST, sizeof *found);
    if (!found) return snprintf(why, 256, "out of memory"), 0;
    int n = cl_load(&cl, why) ? cl_devices(&cl, found, why) : 0;
    mem_array_free(c, found, CL_DEVICES_MOST, sizeof *found);
    return n;
}

const struct device_ops device_opencl = {
    .name = "opencl", .open = opencl_open, .close = opencl_close, .alloc = opencl_alloc, .free = opencl_free,
    .copy_in = opencl_in, .copy_out = opencl_out, .copy = opencl_copy, .compile = opencl_compile,
    .unload = opencl_unload, .launch = opencl_launch, .lib_has = host_lib_has, .lib_run = host_lib_run,
    .sync = opencl_sync, .count = opencl_count,
};
