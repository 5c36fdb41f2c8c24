/* launch.c: a kernel on the queue: its arguments, how many groups, scratch memory.
 *
 * Groups walk over the instances of the grid (emit/gpu.h), so a launch has as many groups as keep the device busy and
 * no more, and scratch memory is bounded by groups, not by the grid. */
#include "device/host_tile.h"
#include "device/opencl/opencl.h"

enum { SCRATCH_MOST = 256 << 20 };

struct launch {
    struct opencl *o;
    struct opencl_kernel *k;
    cl_uint next; /* argument */
    cl_int status;
};

static void pass(struct launch *l, size_t bytes, const void *value) {
    if (!l->status) l->status = l->o->cl.clSetKernelArg(l->k->kernel, l->next++, bytes, value);
}

static bool pass_buffer(struct launch *l, const struct launch_arg *a) {
    size_t offset = 0;
    cl_mem m = a->bytes ? opencl_find(l->o, a->buf, a->bytes, &offset) : NULL;
    int64_t at = (int64_t)offset;
    if (a->bytes && !m) return false;
    pass(l, sizeof m, m ? &m : NULL);
    pass(l, sizeof at, &at);
    return true;
}

static tsr_status pass_all(struct launch *l, const int64_t grid[3], int groups, int n, const struct launch_arg *arg) {
    struct opencl *o = l->o;
    for (int i = 0; i < n; i++) {
        if (!arg[i].is_buf) pass(l, (size_t)tsr_dtype_of(tsr_tile_arg_at(l->k->tile, i).dtype)->bytes, arg[i].raw);
        else if (!pass_buffer(l, &arg[i])) return tsr_error_status(o->d.c);
    }
    for (int i = 0; i < 3; i++) pass(l, sizeof grid[i], &grid[i]);
    size_t scratch = l->k->info.scratch_bytes * (size_t)groups;
    cl_mem m = scratch ? opencl_scratch(o, scratch) : NULL;
    if (scratch && !m) return TSR_ENOMEM;
    pass(l, sizeof m, m ? &m : NULL);
    return opencl_status(o, l->status, "clSetKernelArg");
}

/* 0: the grid is empty. */
static int choose_groups(const struct opencl *o, const struct opencl_kernel *k, const int64_t grid[3]) {
    int64_t groups = 1;
    size_t each = k->info.scratch_bytes;
    for (int i = 0; i < 3; i++) groups = grid[i] && groups > o->groups ? groups : groups * grid[i];
    if (groups > o->groups) groups = o->groups;
    if (each && groups > SCRATCH_MOST / (int64_t)each) groups = SCRATCH_MOST / (int64_t)each;
    return groups || !grid[0] || !grid[1] || !grid[2] ? (int)groups : 1;
}

static tsr_status enqueue(struct opencl *o, struct opencl_kernel *k, int groups) {
    size_t group = (size_t)k->info.threads, threads = group * (size_t)groups;
    cl_event e;
    cl_int status = o->cl.clEnqueueNDRangeKernel(o->queue, k->kernel, 1, NULL, &threads, &group, 0, NULL, &e);
    if (!status) flight_add(o, e, k->name);
    else opencl_status(o, status, k->name);
    return status ? tsr_error_status(o->d.c) : opencl_status(o, o->cl.clFlush(o->queue), "clFlush");
}

tsr_status opencl_launch(struct device *d, void *kernel, const int64_t grid[3], int n, const struct launch_arg *arg) {
    struct opencl *o = (struct opencl *)d;
    struct launch l = {o, kernel, 0, CL_SUCCESS};
    if (!l.k->kernel) return host_tile_run(d, l.k->vm, l.k->tile, grid, n, arg);
    int groups = choose_groups(o, l.k, grid);
    if (!groups) return TSR_OK;
    tsr_status s = opencl_alive(o);
    if (!s) s = flight_settle(o, false);
    if (!s) s = pass_all(&l, grid, groups, n, arg);
    return s ? s : enqueue(o, l.k, groups);
}
