/* memory.c: memory of an OpenCL device: cl_mem behind made-up addresses.
 *
 * A model or batch that does not fit is the common failure, so the message says what was asked, what there is and what
 * to do. Drivers differ in when they notice: sizes are compared here before they are asked. */
#include "device/memory.h"

#include "device/opencl/opencl.h"

static double mib(size_t n) { return (double)n / (1 << 20); }

static void *too_large(struct opencl *o, size_t bytes) {
    err_set(o->d.c, TSR_ENOMEM, "out of memory on OpenCL device %s: asked for a block of %.1f MiB; it has %.1f MiB, "
        "%.1f MiB of them in use, and gives at most %.1f MiB in a block: use a smaller batch or model or a narrower "
        "dtype, or TSR_DEVICE=cpu, which has the host's memory", o->found.name, mib(bytes), mib(o->d.facts.memory),
        mib(o->space.total), mib(o->most_block));
    return NULL;
}

static cl_mem create(struct opencl *o, size_t bytes) {
    cl_int status;
    if (o->space.total + bytes > o->d.facts.memory) return NULL;
    cl_mem m = o->cl.clCreateBuffer(o->context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    return status ? NULL : m;
}

/* What is kept for later makes room first. */
static cl_mem create_or_make_room(struct opencl *o, size_t bytes) {
    cl_mem m = create(o, bytes);
    if (m) return m;
    device_memory_empty(&o->d);
    return create(o, bytes);
}

void *opencl_alloc(struct device *d, size_t bytes) {
    struct opencl *o = (struct opencl *)d;
    cl_mem m = bytes <= o->most_block ? create_or_make_room(o, bytes) : NULL;
    if (!m) return too_large(o, bytes);
    void *at = address_add(&o->space, m, bytes);
    if (!at) o->cl.clReleaseMemObject(m);
    return at;
}

/* The driver keeps the memory until work that uses it is done. */
void opencl_free(struct device *d, void *mem, size_t bytes) {
    struct opencl *o = (struct opencl *)d;
    (void)bytes;
    cl_mem m = address_remove(&o->space, mem);
    if (m) o->cl.clReleaseMemObject(m);
}

cl_mem opencl_find(struct opencl *o, const void *at, size_t bytes, size_t *offset) {
    cl_mem m = address_find(&o->space, at, bytes, offset);
    if (!m) err_set(o->d.c, TSR_EINVAL, "OpenCL: %p is no memory of %s with %zu bytes", at, o->found.name, bytes);
    return m;
}

cl_mem opencl_scratch(struct opencl *o, size_t bytes) {
    if (bytes <= o->scratch_bytes) return o->scratch;
    if (o->scratch) o->cl.clReleaseMemObject(o->scratch);
    o->scratch_bytes = 0;
    o->scratch = bytes <= o->most_block ? create_or_make_room(o, bytes) : NULL;
    if (!o->scratch) return too_large(o, bytes);
    o->scratch_bytes = bytes;
    return o->scratch;
}

void opencl_memory_release(struct opencl *o) {
    if (o->scratch) o->cl.clReleaseMemObject(o->scratch);
    address_release(&o->space);
}
