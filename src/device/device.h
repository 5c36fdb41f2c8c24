/* device.h: what a device is: about ten calls. It receives kernels, buffers and sizes; it never sees a node or an op.
 *
 * A device is a folder under src/device with one const struct device_ops; device.c lists them. Handles of memory and
 * kernels are opaque to the runner. Calls of one context come from one thread at a time. */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include "base/ctx.h"
#include "tessera/tile.h"
#include "tile/budget.h"

struct device;
struct device_memory;

/* One argument of a launch. SCALAR: bits of an i64/double/... in the low bytes, of dtype. */
struct launch_arg {
    bool is_buf;
    void *buf;           /* device memory handle + offset already applied (host pointer on cpu) */
    size_t bytes;        /* readable and writable from buf: for checking modes */
    union { int64_t i; double d; float f; uint8_t raw[16]; };
};

/* A library kernel's call: operands (inputs then outputs, in the kernel's documented order), their dtypes and dims. */
struct lib_tensor { tsr_dtype dtype; int rank; const int64_t *dim; void *p; };
struct lib_call {
    tsr_ctx *c;
    struct pool *pool;
    int n;
    const struct lib_tensor *t;
    int nints;
    const int64_t *ints; /* the op's attributes as the kernel documents them */
};

struct device_ops {
    const char *name; /* "cpu", "null" */
    tsr_status (*open)(tsr_ctx *c, int index, struct device **out);
    void (*close)(struct device *d);
    void *(*alloc)(struct device *d, size_t bytes); /* NULL: ENOMEM recorded */
    void (*free)(struct device *d, void *mem, size_t bytes); /* any thread may call it */
    tsr_status (*copy_in)(struct device *d, void *mem, const void *host, size_t bytes);
    tsr_status (*copy_out)(struct device *d, void *host, const void *mem, size_t bytes);
    tsr_status (*copy)(struct device *d, void *dst, const void *src, size_t bytes);
    tsr_status (*compile)(struct device *d, const tsr_tile *program, void **kernel);
    void (*unload)(struct device *d, void *kernel);
    tsr_status (*launch)(struct device *d, void *kernel, const int64_t grid[3], int n, const struct launch_arg *arg);
    bool (*lib_has)(struct device *d, const char *name);
    tsr_status (*lib_run)(struct device *d, const char *name, const struct lib_call *call);
    /* Waits for all work; reports a failure of work that was launched before and had not failed yet. */
    tsr_status (*sync)(struct device *d);

    /* May be NULL: nothing is compiled in the background. Waits until every kernel that was compiled so far is as fast
     * as it will be; EIO when some could not be made so (they still run). */
    tsr_status (*settle)(struct device *d);
    /* May be NULL. A plan has run to its end: what would take the processors from it may begin now. */
    void (*rest)(struct device *d);

    /* How many there are, found without opening one; with 0, why says what is missing and how to get it. */
    int (*count)(tsr_ctx *c, char why[256]);

    /* May be NULL, all four: the device records nothing. What is launched and copied (copy) between begin and end is
     * recorded instead of run; replay runs it on the same addresses as often as wanted. A device that cannot record
     * something gives EUNSUPPORTED, at any of these calls or at a launch between them, and records no error; end comes
     * after every begin that succeeded, and *recording is NULL where there is none. */
    tsr_status (*record_begin)(struct device *d);
    tsr_status (*record_end)(struct device *d, void **recording);
    tsr_status (*replay)(struct device *d, void *recording);
    void (*forget)(struct device *d, void *recording);
};

/* What a device is, for people and for reports. Rates that are not known are 0. */
struct device_facts {
    char name[128];     /* "AMD EPYC 7763, 2 threads, avx2" */
    char driver[128];   /* "OpenCL 3.0 PoCL 3.1", "CUDA 12.8, driver 570.12" */
    char arch[32];      /* "sm_90", "x86-64-v3" */
    int units;          /* cores, multiprocessors, compute units */
    size_t memory;      /* bytes of its own memory; 0: the host's */
    size_t local_bytes; /* of a group of threads */
};
/* The step of a plan that calls belong to, for messages: borrowed while the calls last. */
struct device_task { const char *plan, *label; int step; uint64_t node; };

struct device {
    const struct device_ops *ops;
    tsr_ctx *c;
    /* Handles are host addresses. Otherwise they are numbers in an address space of the device's own: adding bytes to
     * one inside its allocation is a handle too, and no handle is ever read or written by the host. */
    bool host_memory;
    struct device_facts facts;
    const struct tile_budget *tiles; /* sizes of tiles it wants; NULL: the host's */
    struct device_task task;
    uint64_t unclaimed; /* launches of tile programs that ran on the CPU because its text does not claim them */
    double busy; /* seconds of finished work by the device's own clock, where it has one: the runner sets it back */
    struct device_memory *kept; /* memory.c */
};
/* The context's device, opened at first use by its name (tsr_config.device, TSR_DEVICE).
 * NULL: error names what exists. */
struct device *device_of(tsr_ctx *c);
const struct device_ops *device_kind(int i); /* the kinds there are, in order; NULL past the end */

#endif
