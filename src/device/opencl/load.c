/* load.c: the OpenCL loader at run time, and the devices behind it.
 *
 * The system's loader (libOpenCL.so.1, or the library that TSR_OPENCL names) finds the installed drivers by itself. It
 * is never unloaded: drivers start threads and register exit handlers that do not survive it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "device/opencl/cl.h"

/* ---- the library ------------------------------------------------------------------------------------------------- */

bool cl_load(struct cl *cl, char why[256]) {
    static const char *const names[] = {"libOpenCL.so.1", "libOpenCL.so"};
    const char *asked = env_str("TSR_OPENCL");
    void *so = *asked ? dlopen(asked, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!so && *asked) return snprintf(why, 256, "TSR_OPENCL=%s: %s", asked, dlerror()), false;
    for (size_t i = 0; !so && i < sizeof names / sizeof *names; i++) so = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return snprintf(why, 256, "no OpenCL loader: libOpenCL.so.1 is not installed. A graphics driver brings one; "
            "for the CPU: apt-get install pocl-opencl-icd. TSR_OPENCL names one elsewhere"), false;
    void *f;
#define X(result, name, parameters)                                                                                   \
    if (!(f = dlsym(so, #name)))                                                                                      \
        return snprintf(why, 256, "the OpenCL loader has no %s: it is older than 1.2, or no loader", #name), false;    \
    memcpy(&cl->name, &f, sizeof f);
    CL_FUNCTION_LIST(X)
#undef X
    return true;
}

/* ---- what a status says ------------------------------------------------------------------------------------------ */

static const struct { cl_int status; const char *name, *text; } statuses[] = {
#define X(name, number, text) {number, #name, text},
    CL_STATUS_LIST(X)
#undef X
};
enum { STATUSES = sizeof statuses / sizeof *statuses };

const char *cl_status_name(cl_int status) {
    for (int i = 0; i < STATUSES; i++)
        if (statuses[i].status == status) return statuses[i].name;
    return "an unknown status";
}

const char *cl_status_text(cl_int status) {
    for (int i = 0; i < STATUSES; i++)
        if (statuses[i].status == status) return statuses[i].text;
    return "see the OpenCL specification";
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

cl_ulong cl_device_number(const struct cl *cl, cl_device d, cl_uint what, size_t bytes) {
    cl_ulong v = 0;
    cl_uint narrow = 0;
    if (bytes == sizeof narrow) return cl->clGetDeviceInfo(d, what, bytes, &narrow, NULL) ? 0 : narrow;
    return cl->clGetDeviceInfo(d, what, bytes, &v, NULL) ? 0 : v;
}

void cl_device_text(const struct cl *cl, cl_device d, cl_uint what, char *out, size_t n) {
    char text[1024] = "";
    if (cl->clGetDeviceInfo(d, what, sizeof text - 1, text, NULL)) *text = 0;
    snprintf(out, n, "%s", text + strspn(text, " "));
}

static void platform_text(const struct cl *cl, cl_platform p, cl_uint what, char out[CL_NAME]) {
    char text[1024] = "";
    if (cl->clGetPlatformInfo(p, what, sizeof text - 1, text, NULL)) *text = 0;
    snprintf(out, CL_NAME, "%.*s", CL_NAME - 1, text);
}

/* May the device be used at all? */
static bool usable(const struct cl *cl, cl_device d) {
    return cl_device_number(cl, d, CL_DEVICE_AVAILABLE, 4) && cl_device_number(cl, d, CL_DEVICE_COMPILER, 4) &&
        cl_device_number(cl, d, CL_DEVICE_LITTLE_ENDIAN, 4);
}

static int add_devices(const struct cl *cl, cl_platform p, struct cl_found *out, int n) {
    cl_device device[CL_DEVICES_MOST];
    cl_uint found = 0;
    if (cl->clGetDeviceIDs(p, CL_TYPE_ALL, CL_DEVICES_MOST, device, &found)) return n;
    for (cl_uint i = 0; i < found && i < CL_DEVICES_MOST && n < CL_DEVICES_MOST; i++) {
        if (!usable(cl, device[i])) continue;
        struct cl_found *f = &out[n++];
        *f = (struct cl_found){.platform = p, .device = device[i], .nth = (int)i};
        f->type = cl_device_number(cl, device[i], CL_DEVICE_TYPE, 8);
        platform_text(cl, p, CL_PLATFORM_NAME, f->platform_name);
        platform_text(cl, p, CL_PLATFORM_VERSION, f->platform_version);
        cl_device_text(cl, device[i], CL_DEVICE_NAME, f->name, sizeof f->name);
    }
    return n;
}

static int rank_of(const struct cl_found *f) {
    return f->type & CL_TYPE_GPU ? 0 : f->type & CL_TYPE_ACCELERATOR ? 1 : 2;
}

static int by_rank(const void *a, const void *b) {
    const struct cl_found *x = a, *y = b;
    int names = strcmp(x->platform_name, y->platform_name);
    return rank_of(x) != rank_of(y) ? rank_of(x) - rank_of(y) : names ? names : x->nth - y->nth;
}

int cl_devices(const struct cl *cl, struct cl_found out[CL_DEVICES_MOST], char why[256]) {
    cl_platform platform[CL_DEVICES_MOST];
    cl_uint platforms = 0;
    cl_int status = cl->clGetPlatformIDs(CL_DEVICES_MOST, platform, &platforms);
    int n = 0;
    if (platforms > CL_DEVICES_MOST) platforms = CL_DEVICES_MOST;
    if (status || !platforms)
        return snprintf(why, 256, "the OpenCL loader finds no driver (no file in /etc/OpenCL/vendors?). A graphics "
            "driver brings one; for the CPU: apt-get install pocl-opencl-icd"), 0;
    for (cl_uint i = 0; i < platforms; i++) n = add_devices(cl, platform[i], out, n);
    if (n) qsort(out, (size_t)n, sizeof *out, by_rank);
    else snprintf(why, 256, "none of the %u OpenCL drivers has a device that is available and has a compiler",
        platforms);
    return n;
}
