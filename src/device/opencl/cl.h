/* cl.h: as much of OpenCL 1.2 as we call: types, numbers, and the table of functions found at run time.
 *
 * No vendor header is needed to build. The numbers and signatures are those of the Khronos OpenCL 1.2 specification;
 * clCreateCommandQueue is deprecated since 2.0 and in every loader. */
#ifndef DEVICE_OPENCL_CL_H
#define DEVICE_OPENCL_CL_H

#include "base/ctx.h"

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_ulong;
typedef struct cl_any_platform *cl_platform;
typedef struct cl_any_device *cl_device;
typedef struct cl_any_context *cl_context;
typedef struct cl_any_queue *cl_queue;
typedef struct cl_any_mem *cl_mem;
typedef struct cl_any_program *cl_program;
typedef struct cl_any_kernel *cl_kernel;
typedef struct cl_any_event *cl_event;

/* X(status, number, what it means to a user) */
#define CL_STATUS_LIST(X)                                                                            \
    X(CL_DEVICE_NOT_FOUND, -1, "no device")                                                          \
    X(CL_DEVICE_NOT_AVAILABLE, -2, "the device is gone or taken")                                    \
    X(CL_COMPILER_NOT_AVAILABLE, -3, "the driver has no compiler")                                   \
    X(CL_MEM_OBJECT_ALLOCATION_FAILURE, -4, "the device has too little memory")                      \
    X(CL_OUT_OF_RESOURCES, -5, "the device has too little of something, or a kernel broke it")       \
    X(CL_OUT_OF_HOST_MEMORY, -6, "the driver has too little host memory")                            \
    X(CL_PROFILING_INFO_NOT_AVAILABLE, -7, "no times")                                               \
    X(CL_MEM_COPY_OVERLAP, -8, "a copy onto itself")                                                 \
    X(CL_BUILD_PROGRAM_FAILURE, -11, "the driver's compiler refused the text")                       \
    X(CL_EXEC_STATUS_ERROR, -14, "earlier work failed")                                              \
    X(CL_INVALID_VALUE, -30, "a value is refused")                                                   \
    X(CL_INVALID_DEVICE, -33, "no such device")                                                      \
    X(CL_INVALID_CONTEXT, -34, "the context is gone")                                                \
    X(CL_INVALID_COMMAND_QUEUE, -36, "the queue is gone, mostly after a kernel broke the device")    \
    X(CL_INVALID_MEM_OBJECT, -38, "memory that is none")                                             \
    X(CL_INVALID_BINARY, -42, "a binary of another driver")                                          \
    X(CL_INVALID_BUILD_OPTIONS, -43, "build options are refused")                                    \
    X(CL_INVALID_PROGRAM_EXECUTABLE, -45, "the program is not built")                                \
    X(CL_INVALID_KERNEL_NAME, -46, "the program has no kernel of that name")                         \
    X(CL_INVALID_ARG_INDEX, -49, "the kernel has fewer arguments")                                   \
    X(CL_INVALID_ARG_SIZE, -51, "an argument of another size")                                       \
    X(CL_INVALID_KERNEL_ARGS, -52, "an argument is missing")                                         \
    X(CL_INVALID_WORK_GROUP_SIZE, -54, "a group of that many threads is refused")                    \
    X(CL_INVALID_BUFFER_SIZE, -61, "a block of that size is refused")                                \
    X(CL_PLATFORM_NOT_FOUND, -1001, "no driver is installed")
enum cl_status {
    CL_SUCCESS = 0,
#define X(name, number, text) name = number,
    CL_STATUS_LIST(X)
#undef X
};

enum { CL_FALSE, CL_TRUE };
enum { CL_TYPE_CPU = 2, CL_TYPE_GPU = 4, CL_TYPE_ACCELERATOR = 8 };
#define CL_TYPE_ALL 0xffffffffu
enum { CL_PLATFORM_VERSION = 0x901, CL_PLATFORM_NAME = 0x902 };
enum {
    CL_DEVICE_TYPE = 0x1000, CL_DEVICE_UNITS = 0x1002, CL_DEVICE_GROUP_SIZE = 0x1004, CL_DEVICE_MOST_BLOCK = 0x1010,
    CL_DEVICE_SINGLE_CONFIG = 0x101b, CL_DEVICE_MEMORY = 0x101f, CL_DEVICE_LOCAL_BYTES = 0x1023,
    CL_DEVICE_LITTLE_ENDIAN = 0x1026, CL_DEVICE_AVAILABLE = 0x1027, CL_DEVICE_COMPILER = 0x1028,
    CL_DEVICE_NAME = 0x102b, CL_DRIVER_VERSION = 0x102d, CL_DEVICE_VERSION = 0x102f, CL_DEVICE_DOUBLE_CONFIG = 0x1032
};
enum { CL_CORRECTLY_ROUNDED_DIVIDE_SQRT = 1 << 7 };      /* of CL_DEVICE_SINGLE_CONFIG */
enum { CL_QUEUE_PROFILING = 2 };
enum { CL_MEM_READ_WRITE = 1 };
enum { CL_PROGRAM_BINARY_SIZES = 0x1165, CL_PROGRAM_BINARIES = 0x1166, CL_PROGRAM_BUILD_LOG = 0x1183 };
enum { CL_KERNEL_GROUP_SIZE = 0x11b0 };
enum { CL_EVENT_STATUS = 0x11d3, CL_COMPLETE = 0 };
enum { CL_PROFILING_START = 0x1282, CL_PROFILING_END = 0x1283 };

typedef void cl_notify(const char *info, const void *more, size_t n, void *user);
typedef void cl_built(cl_program program, void *user);
/* X(result, function, parameters) */
#define CL_FUNCTION_LIST(X)                                                                                           \
    X(cl_int, clGetPlatformIDs, (cl_uint most, cl_platform *out, cl_uint *n))                                         \
    X(cl_int, clGetPlatformInfo, (cl_platform p, cl_uint what, size_t most, void *out, size_t *n))                    \
    X(cl_int, clGetDeviceIDs, (cl_platform p, cl_ulong type, cl_uint most, cl_device *out, cl_uint *n))               \
    X(cl_int, clGetDeviceInfo, (cl_device d, cl_uint what, size_t most, void *out, size_t *n))                        \
    X(cl_context, clCreateContext,                                                                                    \
        (const intptr_t *properties, cl_uint n, const cl_device *d, cl_notify *notify, void *user, cl_int *status))   \
    X(cl_int, clReleaseContext, (cl_context c))                                                                       \
    X(cl_queue, clCreateCommandQueue, (cl_context c, cl_device d, cl_ulong properties, cl_int *status))               \
    X(cl_int, clReleaseCommandQueue, (cl_queue q))                                                                    \
    X(cl_mem, clCreateBuffer, (cl_context c, cl_ulong flags, size_t bytes, void *host, cl_int *status))               \
    X(cl_int, clReleaseMemObject, (cl_mem m))                                                                         \
    X(cl_int, clEnqueueWriteBuffer, (cl_queue q, cl_mem m, cl_uint wait, size_t at, size_t bytes, const void *host,   \
        cl_uint nafter, const cl_event *after, cl_event *event))                                                      \
    X(cl_int, clEnqueueReadBuffer, (cl_queue q, cl_mem m, cl_uint wait, size_t at, size_t bytes, void *host,          \
        cl_uint nafter, const cl_event *after, cl_event *event))                                                      \
    X(cl_int, clEnqueueCopyBuffer, (cl_queue q, cl_mem from, cl_mem to, size_t from_at, size_t to_at, size_t bytes,   \
        cl_uint nafter, const cl_event *after, cl_event *event))                                                      \
    X(cl_program, clCreateProgramWithSource,                                                                          \
        (cl_context c, cl_uint n, const char **text, const size_t *length, cl_int *status))                           \
    X(cl_program, clCreateProgramWithBinary, (cl_context c, cl_uint n, const cl_device *d, const size_t *length,      \
        const unsigned char **binary, cl_int *each, cl_int *status))                                                  \
    X(cl_int, clBuildProgram,                                                                                         \
        (cl_program p, cl_uint n, const cl_device *d, const char *options, cl_built *built, void *user))              \
    X(cl_int, clGetProgramBuildInfo,                                                                                  \
        (cl_program p, cl_device d, cl_uint what, size_t most, void *out, size_t *n))                                 \
    X(cl_int, clGetProgramInfo, (cl_program p, cl_uint what, size_t most, void *out, size_t *n))                      \
    X(cl_int, clReleaseProgram, (cl_program p))                                                                       \
    X(cl_kernel, clCreateKernel, (cl_program p, const char *name, cl_int *status))                                    \
    X(cl_int, clReleaseKernel, (cl_kernel k))                                                                         \
    X(cl_int, clGetKernelWorkGroupInfo,                                                                               \
        (cl_kernel k, cl_device d, cl_uint what, size_t most, void *out, size_t *n))                                  \
    X(cl_int, clSetKernelArg, (cl_kernel k, cl_uint i, size_t bytes, const void *value))                              \
    X(cl_int, clEnqueueNDRangeKernel, (cl_queue q, cl_kernel k, cl_uint axes, const size_t *first,                    \
        const size_t *threads, const size_t *group, cl_uint nafter, const cl_event *after, cl_event *event))          \
    X(cl_int, clFlush, (cl_queue q))                                                                                  \
    X(cl_int, clFinish, (cl_queue q))                                                                                 \
    X(cl_int, clWaitForEvents, (cl_uint n, const cl_event *event))                                                    \
    X(cl_int, clGetEventInfo, (cl_event e, cl_uint what, size_t most, void *out, size_t *n))                          \
    X(cl_int, clGetEventProfilingInfo, (cl_event e, cl_uint what, size_t most, void *out, size_t *n))                 \
    X(cl_int, clReleaseEvent, (cl_event e))

struct cl {
#define X(result, name, parameters) result(*name) parameters;
    CL_FUNCTION_LIST(X)
#undef X
};

/* load.c */
enum { CL_DEVICES_MOST = 64, CL_NAME = 96 };
struct cl_found {
    cl_platform platform;
    cl_device device;
    cl_ulong type;
    int nth; /* of its platform */
    char platform_name[CL_NAME], platform_version[CL_NAME], name[CL_NAME];
};
/* False: why says what is missing and how to get it. */
bool cl_load(struct cl *cl, char why[256]);
/* Every device of every platform, in an order that does not depend on the loader's: GPUs, accelerators, CPUs; among
 * them by the platform's name, then in the platform's order. 0: why says what is missing. */
int cl_devices(const struct cl *cl, struct cl_found out[CL_DEVICES_MOST], char why[256]);
const char *cl_status_name(cl_int status); /* "CL_OUT_OF_RESOURCES"; "an unknown status" */
const char *cl_status_text(cl_int status); /* what it means */
/* A number or a text that a device tells of itself; 0 or "" when it does not. */
cl_ulong cl_device_number(const struct cl *cl, cl_device d, cl_uint what, size_t bytes);
void cl_device_text(const struct cl *cl, cl_device d, cl_uint what, char *out, size_t n);

#endif
