/* opencl.h: the inside of the OpenCL device: its queue, its memory, its kernels. */
#ifndef DEVICE_OPENCL_OPENCL_H
#define DEVICE_OPENCL_OPENCL_H

#include "device/address.h"
#include "device/cache.h"
#include "device/device.h"
#include "device/opencl/cl.h"
#include "emit/gpu.h"
#include "tile/vm.h"

enum { FLIGHT = 256, FLIGHT_NAME = 160 };

/* Work that was launched and not looked at since: its event, and what to call it. */
struct flight { cl_event event; char name[FLIGHT_NAME]; };

struct opencl {
    struct device d;
    struct cl cl;
    struct cl_found found;
    cl_context context;
    cl_queue queue;
    struct address_space space;    /* handles to cl_mem */
    size_t most_block;             /* bytes of the greatest block */
    bool profiled;                 /* events tell times */
    bool lost;                     /* after a failure that the device does not survive */
    struct flight flight[FLIGHT];  /* a ring: count from first */
    int first, count;
    struct emit_gpu_target target;
    int groups;                    /* of a launch, at most */
    cl_mem scratch;                /* of all launches: work is done in order */
    size_t scratch_bytes;
    struct cache cache;
    char options[128];             /* of every build */
};

/* opencl.c. Records what a call that gave `status` means; TSR_OK for CL_SUCCESS. what: "clFinish". */
tsr_status opencl_status(struct opencl *o, cl_int status, const char *what);
tsr_status opencl_alive(struct opencl *o); /* EIO once the device is lost */

/* queue.c: work under way. */
/* Name for messages of what is launched now: the kernel's, and the step it belongs to. */
void flight_add(struct opencl *o, cl_event event, const char *kernel);
/* Looks at what is done: everything (finished), or what must go to make room. */
tsr_status flight_settle(struct opencl *o, bool finished);
void flight_drop(struct opencl *o);
tsr_status opencl_in(struct device *d, void *mem, const void *host, size_t bytes);
tsr_status opencl_out(struct device *d, void *host, const void *mem, size_t bytes);
tsr_status opencl_copy(struct device *d, void *dst, const void *src, size_t bytes);
tsr_status opencl_sync(struct device *d);

/* memory.c */
void *opencl_alloc(struct device *d, size_t bytes);
void opencl_free(struct device *d, void *mem, size_t bytes);
/* The memory that a handle names. NULL, EINVAL recorded: none has these bytes. */
cl_mem opencl_find(struct opencl *o, const void *at, size_t bytes, size_t *offset);
cl_mem opencl_scratch(struct opencl *o, size_t bytes); /* grown on demand; NULL: ENOMEM recorded */
void opencl_memory_release(struct opencl *o);

/* program.c: a program's text, built. */
struct opencl_kernel {
    cl_program program;        /* NULL: the tile VM runs it (vm) */
    cl_kernel kernel;
    struct emit_gpu_info info;
    struct vm_code *vm;
    tsr_tile *tile;            /* counted */
    char name[64];
};
tsr_status opencl_compile(struct device *d, const tsr_tile *program, void **kernel);
void opencl_unload(struct device *d, void *kernel);

/* launch.c */
tsr_status opencl_launch(struct device *d, void *kernel, const int64_t grid[3], int n, const struct launch_arg *arg);

#endif
