/* queue.c: work under way on the in-order queue: copies, waiting, and whose fault a failure was.
 *
 * Launches return at once. Each leaves an event with its name in a ring, so that a failure that shows itself later is
 * told with the kernel and the step that caused it, and so that never more than FLIGHT launches wait. A copy between
 * host and device waits for all earlier work, and looks at it. */
#include <string.h>

#include "device/opencl/opencl.h"

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

void flight_add(struct opencl *o, cl_event event, const char *kernel) {
    struct flight *f = &o->flight[(o->first + o->count++) % FLIGHT];
    const struct device_task *t = &o->d.task;
    f->event = event;
    if (t->label)
        snprintf(f->name, sizeof f->name, "%s (%s, step %d of %s, node %llu)", kernel, t->label, t->step, t->plan,
            (unsigned long long)t->node);
    else snprintf(f->name, sizeof f->name, "%s", kernel);
}

static double seconds_of(const struct opencl *o, cl_event e) {
    cl_ulong begin, end;
    if (!o->profiled || o->cl.clGetEventProfilingInfo(e, CL_PROFILING_START, sizeof begin, &begin, NULL) ||
        o->cl.clGetEventProfilingInfo(e, CL_PROFILING_END, sizeof end, &end, NULL) || end < begin) return 0;
    return (double)(end - begin) * 1e-9;
}

/* The oldest in flight, which is done or failed. */
static tsr_status settle_one(struct opencl *o) {
    struct flight *f = &o->flight[o->first];
    cl_int state = CL_COMPLETE, asked = o->cl.clGetEventInfo(f->event, CL_EVENT_STATUS, sizeof state, &state, NULL);
    o->d.busy += seconds_of(o, f->event);
    o->cl.clReleaseEvent(f->event);
    o->first = (o->first + 1) % FLIGHT, o->count--;
    if (!asked && state >= CL_COMPLETE) return TSR_OK;
    o->lost = true;
    state = asked ? asked : state;
    return err_set(o->d.c, TSR_EIO, "OpenCL %s: kernel %s failed: %s (%s, %d); the context cannot go on: close it and "
        "open another", o->found.name, f->name, cl_status_text(state), cl_status_name(state), state);
}

tsr_status flight_settle(struct opencl *o, bool finished) {
    tsr_status s = TSR_OK;
    if (!finished && o->count == FLIGHT) o->cl.clWaitForEvents(1, &o->flight[o->first].event);
    while (o->count && !s && (finished || o->count == FLIGHT)) s = settle_one(o);
    return s;
}

void flight_drop(struct opencl *o) {
    for (; o->count; o->count--, o->first = (o->first + 1) % FLIGHT)
        o->cl.clReleaseEvent(o->flight[o->first].event);
}

/* A call that waited gave `status`: first what failed before, then itself. */
static tsr_status waited(struct opencl *o, cl_int status, const char *what) {
    tsr_status s = flight_settle(o, true);
    return s ? s : opencl_status(o, status, what);
}

/* ---- copies and waiting ------------------------------------------------------------------------------------------ */

tsr_status opencl_in(struct device *d, void *mem, const void *host, size_t bytes) {
    struct opencl *o = (struct opencl *)d;
    size_t at;
    if (!bytes) return TSR_OK;
    cl_mem m = opencl_alive(o) ? NULL : opencl_find(o, mem, bytes, &at);
    if (!m) return tsr_error_status(d->c);
    return waited(o, o->cl.clEnqueueWriteBuffer(o->queue, m, CL_TRUE, at, bytes, host, 0, NULL, NULL),
        "clEnqueueWriteBuffer");
}

tsr_status opencl_out(struct device *d, void *host, const void *mem, size_t bytes) {
    struct opencl *o = (struct opencl *)d;
    size_t at;
    if (!bytes) return opencl_sync(d);
    cl_mem m = opencl_alive(o) ? NULL : opencl_find(o, mem, bytes, &at);
    if (!m) return tsr_error_status(d->c);
    return waited(o, o->cl.clEnqueueReadBuffer(o->queue, m, CL_TRUE, at, bytes, host, 0, NULL, NULL),
        "clEnqueueReadBuffer");
}

tsr_status opencl_copy(struct device *d, void *dst, const void *src, size_t bytes) {
    struct opencl *o = (struct opencl *)d;
    size_t to_at, from_at;
    cl_event e;
    if (!bytes || dst == src) return TSR_OK;
    cl_mem to = opencl_find(o, dst, bytes, &to_at), from = to ? opencl_find(o, src, bytes, &from_at) : NULL;
    if (!from) return tsr_error_status(d->c);
    tsr_status s = opencl_alive(o);
    if (!s) s = flight_settle(o, false);
    if (s) return s;
    cl_int status = o->cl.clEnqueueCopyBuffer(o->queue, from, to, from_at, to_at, bytes, 0, NULL, &e);
    if (!status) flight_add(o, e, "copy");
    return opencl_status(o, status, "clEnqueueCopyBuffer");
}

tsr_status opencl_sync(struct device *d) {
    struct opencl *o = (struct opencl *)d;
    tsr_status s = opencl_alive(o);
    return s ? s : waited(o, o->cl.clFinish(o->queue), "clFinish");
}
