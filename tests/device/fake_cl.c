/* fake_cl.c: a look-alike of an OpenCL loader with two platforms and three devices, for what a real driver does not do
 * on request: being absent, short of memory, broken.
 *
 * Memory is real and copies copy; kernels compute nothing (real drivers are tested with the ops). Objects are counted,
 * and a handle that was released is poisoned, so that using it crashes. */
#include "fake_cl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/opencl/cl.h"

#define EXPORT __attribute__((visibility("default")))

static struct fake_cl g;
static bool broken;
EXPORT struct fake_cl *fake_cl(void);
EXPORT void fake_cl_reset(void);
struct fake_cl *fake_cl(void) { return &g; }
void fake_cl_reset(void) {
    g = (struct fake_cl){0};
    broken = false;
}

struct cl_any_platform { const char *name; int first, n; };
struct cl_any_device { const char *name; cl_ulong type; };
struct cl_any_context { int unused; };
struct cl_any_queue { int unused; };
struct cl_any_mem { size_t bytes; unsigned char *p; };
struct cl_any_program { char *text; bool built; };
struct cl_any_kernel { char name[64]; };
struct cl_any_event { cl_int status; };

static struct cl_any_platform platform[2] = {{"Zeta", 0, 2}, {"Alpha", 2, 1}};
static struct cl_any_device device[3] = {{"zeta cpu", CL_TYPE_CPU}, {"zeta gpu", CL_TYPE_GPU},
    {"alpha gpu", CL_TYPE_GPU}};

static size_t memory(void) { return g.memory ? g.memory : (size_t)64 << 20; }

static void *made(size_t bytes, int *count, cl_int *status) {
    void *p = calloc(1, bytes);
    if (!p) abort();
    ++*count;
    if (status) *status = CL_SUCCESS;
    return p;
}

static cl_int gone(void *p, size_t bytes, int *count) {
    memset(p, 0xdd, bytes);
    free(p);
    --*count;
    return CL_SUCCESS;
}

static cl_int tell(const void *value, size_t bytes, size_t most, void *out, size_t *n) {
    if (n) *n = bytes;
    if (out && most < bytes) return CL_INVALID_VALUE;
    if (out) memcpy(out, value, bytes);
    return CL_SUCCESS;
}

/* ---- platforms and devices --------------------------------------------------------------------------------------- */

EXPORT cl_int clGetPlatformIDs(cl_uint most, cl_platform *out, cl_uint *n) {
    if (g.platforms < 0) return CL_PLATFORM_NOT_FOUND;
    *n = 2;
    for (cl_uint i = 0; i < 2 && i < most; i++) out[i] = &platform[g.turned ? 1 - i : i];
    return CL_SUCCESS;
}

EXPORT cl_int clGetPlatformInfo(cl_platform p, cl_uint what, size_t most, void *out, size_t *n) {
    const char *text = what == CL_PLATFORM_NAME ? p->name : "OpenCL 1.2 fake";
    return tell(text, strlen(text) + 1, most, out, n);
}

EXPORT cl_int clGetDeviceIDs(cl_platform p, cl_ulong type, cl_uint most, cl_device *out, cl_uint *n) {
    (void)type;
    *n = (cl_uint)p->n;
    for (int i = 0; i < p->n && (cl_uint)i < most; i++) out[i] = &device[p->first + i];
    return CL_SUCCESS;
}

static cl_ulong number_of(cl_device d, cl_uint what) {
    switch (what) {
    case CL_DEVICE_TYPE: return d->type;
    case CL_DEVICE_UNITS: return 2;
    case CL_DEVICE_GROUP_SIZE: return 256;
    case CL_DEVICE_MOST_BLOCK: return memory() / 4;
    case CL_DEVICE_SINGLE_CONFIG: return CL_CORRECTLY_ROUNDED_DIVIDE_SQRT;
    case CL_DEVICE_MEMORY: return memory();
    case CL_DEVICE_LOCAL_BYTES: return 32768;
    case CL_DEVICE_LITTLE_ENDIAN: case CL_DEVICE_COMPILER: return 1;
    case CL_DEVICE_AVAILABLE: return !g.unavailable;
    case CL_DEVICE_DOUBLE_CONFIG: return g.no_f64 ? 0 : 63;
    default: return 0;
    }
}

EXPORT cl_int clGetDeviceInfo(cl_device d, cl_uint what, size_t most, void *out, size_t *n) {
    cl_ulong v = number_of(d, what);
    cl_uint narrow = (cl_uint)v;
    switch (what) {
    case CL_DEVICE_NAME: return tell(d->name, strlen(d->name) + 1, most, out, n);
    case CL_DRIVER_VERSION: return tell("7.1", 4, most, out, n);
    case CL_DEVICE_VERSION: return tell("OpenCL 1.2", 11, most, out, n);
    case CL_DEVICE_UNITS: case CL_DEVICE_LITTLE_ENDIAN: case CL_DEVICE_COMPILER:
    case CL_DEVICE_AVAILABLE: return tell(&narrow, sizeof narrow, most, out, n);
    default: return tell(&v, sizeof v, most, out, n);
    }
}

EXPORT cl_context clCreateContext(const intptr_t *properties, cl_uint n, const cl_device *d, cl_notify *notify,
    void *user, cl_int *status) {
    (void)properties, (void)n, (void)d, (void)notify, (void)user;
    return made(sizeof(struct cl_any_context), &g.contexts, status);
}
EXPORT cl_int clReleaseContext(cl_context c) { return gone(c, sizeof *c, &g.contexts); }

EXPORT cl_queue clCreateCommandQueue(cl_context c, cl_device d, cl_ulong properties, cl_int *status) {
    (void)c, (void)d, (void)properties;
    return made(sizeof(struct cl_any_queue), &g.queues, status);
}
EXPORT cl_int clReleaseCommandQueue(cl_queue q) { return gone(q, sizeof *q, &g.queues); }

/* ---- memory ------------------------------------------------------------------------------------------------------ */

EXPORT cl_mem clCreateBuffer(cl_context c, cl_ulong flags, size_t bytes, void *host, cl_int *status) {
    (void)c, (void)flags, (void)host;
    bool refused = g.fail_alloc && !--g.fail_alloc;
    if (refused || !bytes || bytes > memory() / 4 || g.bytes + bytes > memory())
        return *status = refused ? CL_MEM_OBJECT_ALLOCATION_FAILURE : CL_INVALID_BUFFER_SIZE, NULL;
    cl_mem m = made(sizeof *m, &g.blocks, status);
    m->bytes = bytes;
    if (!(m->p = malloc(bytes))) abort();
    memset(m->p, 0xa5, bytes);
    g.bytes += bytes;
    return m;
}

EXPORT cl_int clReleaseMemObject(cl_mem m) {
    g.bytes -= m->bytes;
    free(m->p);
    return gone(m, sizeof *m, &g.blocks);
}

EXPORT cl_int clEnqueueWriteBuffer(cl_queue q, cl_mem m, cl_uint wait, size_t at, size_t bytes, const void *host,
    cl_uint nafter, const cl_event *after, cl_event *event) {
    (void)q, (void)wait, (void)nafter, (void)after, (void)event;
    if (at > m->bytes || bytes > m->bytes - at) return CL_INVALID_VALUE;
    if (broken) return CL_OUT_OF_RESOURCES;
    memcpy(m->p + at, host, bytes);
    return CL_SUCCESS;
}

EXPORT cl_int clEnqueueReadBuffer(cl_queue q, cl_mem m, cl_uint wait, size_t at, size_t bytes, void *host,
    cl_uint nafter, const cl_event *after, cl_event *event) {
    (void)q, (void)wait, (void)nafter, (void)after, (void)event;
    if (at > m->bytes || bytes > m->bytes - at) return CL_INVALID_VALUE;
    if (broken) return CL_OUT_OF_RESOURCES;
    memcpy(host, m->p + at, bytes);
    return CL_SUCCESS;
}

static cl_event event_of(cl_int status) {
    cl_event e = made(sizeof *e, &g.events, NULL);
    e->status = status;
    return e;
}

EXPORT cl_int clEnqueueCopyBuffer(cl_queue q, cl_mem from, cl_mem to, size_t from_at, size_t to_at, size_t bytes,
    cl_uint nafter, const cl_event *after, cl_event *event) {
    (void)q, (void)nafter, (void)after;
    if (from == to && from_at < to_at + bytes && to_at < from_at + bytes) return CL_MEM_COPY_OVERLAP;
    memcpy(to->p + to_at, from->p + from_at, bytes);
    *event = event_of(CL_COMPLETE);
    return CL_SUCCESS;
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

EXPORT cl_program clCreateProgramWithSource(cl_context c, cl_uint n, const char **text, const size_t *length,
    cl_int *status) {
    (void)c, (void)n, (void)length;
    cl_program p = made(sizeof *p, &g.programs, status);
    p->text = strdup(text[0]);
    snprintf(g.text, sizeof g.text, "%s", text[0]);
    g.from_source++;
    return p;
}

EXPORT cl_program clCreateProgramWithBinary(cl_context c, cl_uint n, const cl_device *d, const size_t *length,
    const unsigned char **binary, cl_int *each, cl_int *status) {
    (void)c, (void)n, (void)d;
    if (g.binary_error) return *each = *status = CL_INVALID_BINARY, NULL;
    cl_program p = made(sizeof *p, &g.programs, status);
    p->text = strndup((const char *)binary[0], length[0]);
    *each = CL_SUCCESS;
    g.from_binary++;
    return p;
}

EXPORT cl_int clBuildProgram(cl_program p, cl_uint n, const cl_device *d, const char *options, cl_built *built,
    void *user) {
    (void)n, (void)d, (void)built, (void)user;
    snprintf(g.options, sizeof g.options, "%s", options);
    if (g.build_error) return CL_BUILD_PROGRAM_FAILURE;
    p->built = true;
    return CL_SUCCESS;
}

EXPORT cl_int clGetProgramBuildInfo(cl_program p, cl_device d, cl_uint what, size_t most, void *out, size_t *n) {
    static const char log[] = "\n<source>:1:1: error: no such thing\n1 error generated\n3\n4\n5\n6\nseventh line\n";
    (void)p, (void)d, (void)what;
    return tell(log, sizeof log, most, out, n);
}

EXPORT cl_int clGetProgramInfo(cl_program p, cl_uint what, size_t most, void *out, size_t *n) {
    size_t size = g.no_binaries ? 0 : strlen(p->text);
    if (what == CL_PROGRAM_BINARY_SIZES) return tell(&size, sizeof size, most, out, n);
    memcpy(*(unsigned char **)out, p->text, size);
    return CL_SUCCESS;
}

EXPORT cl_int clReleaseProgram(cl_program p) {
    free(p->text);
    return gone(p, sizeof *p, &g.programs);
}

EXPORT cl_kernel clCreateKernel(cl_program p, const char *name, cl_int *status) {
    if (!p->built || !strstr(p->text, name)) return *status = CL_INVALID_KERNEL_NAME, NULL;
    cl_kernel k = made(sizeof *k, &g.kernels, status);
    snprintf(k->name, sizeof k->name, "%s", name);
    return k;
}
EXPORT cl_int clReleaseKernel(cl_kernel k) { return gone(k, sizeof *k, &g.kernels); }

EXPORT cl_int clGetKernelWorkGroupInfo(cl_kernel k, cl_device d, cl_uint what, size_t most, void *out, size_t *n) {
    size_t size = g.group_size ? (size_t)g.group_size : 256;
    (void)k, (void)d, (void)what;
    return tell(&size, sizeof size, most, out, n);
}

EXPORT cl_int clSetKernelArg(cl_kernel k, cl_uint i, size_t bytes, const void *value) {
    (void)value;
    return *k->name && i < 64 && bytes && bytes <= 16 ? CL_SUCCESS : CL_INVALID_ARG_INDEX;
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

EXPORT cl_int clEnqueueNDRangeKernel(cl_queue q, cl_kernel k, cl_uint axes, const size_t *first, const size_t *threads,
    const size_t *group, cl_uint nafter, const cl_event *after, cl_event *event) {
    (void)q, (void)k, (void)axes, (void)first, (void)nafter, (void)after;
    g.launches++;
    g.groups = *threads / *group, g.threads = *group;
    if (g.fail_launch && !--g.fail_launch) return CL_OUT_OF_RESOURCES;
    if (g.break_launch && !--g.break_launch) broken = true;
    *event = event_of(broken ? CL_OUT_OF_RESOURCES : CL_COMPLETE);
    return CL_SUCCESS;
}

EXPORT cl_int clFlush(cl_queue q) { return (void)q, CL_SUCCESS; }

EXPORT cl_int clFinish(cl_queue q) {
    (void)q;
    g.finishes++;
    return broken ? CL_INVALID_COMMAND_QUEUE : CL_SUCCESS;
}

EXPORT cl_int clWaitForEvents(cl_uint n, const cl_event *event) {
    return n && event[0]->status < 0 ? CL_EXEC_STATUS_ERROR : CL_SUCCESS;
}

EXPORT cl_int clGetEventInfo(cl_event e, cl_uint what, size_t most, void *out, size_t *n) {
    (void)what;
    return tell(&e->status, sizeof e->status, most, out, n);
}

EXPORT cl_int clGetEventProfilingInfo(cl_event e, cl_uint what, size_t most, void *out, size_t *n) {
    cl_ulong v = what == CL_PROFILING_START ? 1000 : 2001000; /* two milliseconds */
    (void)e;
    return tell(&v, sizeof v, most, out, n);
}

EXPORT cl_int clReleaseEvent(cl_event e) { return gone(e, sizeof *e, &g.events); }
