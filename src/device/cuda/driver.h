/* driver.h: the calls that the device makes of a GPU's driver, found at run time.
 *
 * CUDA's driver API and AMD's HIP are near twins: the same calls under other names, with the same arguments and mostly
 * the same numbers. So the device (cuda.h) is written once over a table of function pointers, and a flavour says what a
 * maker calls things. Prototypes and constants here are our own, written from the makers' public documentation. Memory
 * of the device is a void * in all of them: CUDA's CUdeviceptr is an integer of that size, passed in the same way. All
 * calls return 0 or an error number. */
#ifndef DEVICE_CUDA_DRIVER_H
#define DEVICE_CUDA_DRIVER_H

#include "emit/gpu.h"

/* X(field, parameters, CUDA's name, HIP's name, needed): needed false: the field may be NULL. */
#define CUDA_CALLS(X)                                                                                                  \
    X(init, (unsigned flags), "cuInit", "hipInit", true)                                                              \
    X(driver_version, (int *version), "cuDriverGetVersion", "hipDriverGetVersion", true)                              \
    X(device_count, (int *n), "cuDeviceGetCount", "hipGetDeviceCount", true)                                          \
    X(device_get, (int *device, int index), "cuDeviceGet", "hipDeviceGet", true)                                      \
    X(device_name, (char *name, int room, int device), "cuDeviceGetName", "hipDeviceGetName", true)                   \
    X(device_attribute, (int *value, int attribute, int device), "cuDeviceGetAttribute", "hipDeviceGetAttribute",     \
        true)                                                                                                         \
    X(device_memory, (size_t *bytes, int device), "cuDeviceTotalMem_v2", "hipDeviceTotalMem", true)                   \
    X(context_retain, (void **context, int device), "cuDevicePrimaryCtxRetain", "hipDevicePrimaryCtxRetain", true)    \
    X(context_release, (int device), "cuDevicePrimaryCtxRelease_v2", "hipDevicePrimaryCtxRelease", true)              \
    X(context_use, (void *context), "cuCtxSetCurrent", "hipCtxSetCurrent", true)                                      \
    X(error_name, (int error, const char **name), "cuGetErrorName", "hipDrvGetErrorName", true)                       \
    X(error_text, (int error, const char **text), "cuGetErrorString", "hipDrvGetErrorString", true)                   \
    X(stream_create, (void **stream, unsigned flags), "cuStreamCreate", "hipStreamCreateWithFlags", true)             \
    X(stream_destroy, (void *stream), "cuStreamDestroy_v2", "hipStreamDestroy", true)                                 \
    X(stream_sync, (void *stream), "cuStreamSynchronize", "hipStreamSynchronize", true)                               \
    X(stream_write, (void *stream, void *at, uint32_t value, unsigned flags), "cuStreamWriteValue32_v2",              \
        "hipStreamWriteValue32", false)                                                                               \
    X(event_create, (void **event, unsigned flags), "cuEventCreate", "hipEventCreateWithFlags", true)                 \
    X(event_destroy, (void *event), "cuEventDestroy_v2", "hipEventDestroy", true)                                     \
    X(event_record, (void *event, void *stream), "cuEventRecord", "hipEventRecord", true)                             \
    X(event_sync, (void *event), "cuEventSynchronize", "hipEventSynchronize", true)                                   \
    X(alloc, (void **p, size_t bytes), "cuMemAlloc_v2", "hipMalloc", true)                                            \
    X(free, (void *p), "cuMemFree_v2", "hipFree", true)                                                               \
    X(alloc_async, (void **p, size_t bytes, void *stream), "cuMemAllocAsync", "hipMallocAsync", false)                \
    X(free_async, (void *p, void *stream), "cuMemFreeAsync", "hipFreeAsync", false)                                   \
    X(default_pool, (void **pool, int device), "cuDeviceGetDefaultMemPool", "hipDeviceGetDefaultMemPool", false)      \
    X(pool_set, (void *pool, int attribute, void *value), "cuMemPoolSetAttribute", "hipMemPoolSetAttribute", false)   \
    X(pool_trim, (void *pool, size_t keep), "cuMemPoolTrimTo", "hipMemPoolTrimTo", false)                             \
    X(host_alloc, (void **p, size_t bytes, unsigned flags), "cuMemHostAlloc", "hipHostMalloc", true)                  \
    X(host_free, (void *p), "cuMemFreeHost", "hipHostFree", true)                                                     \
    X(host_on_device, (void **p, void *host, unsigned flags), "cuMemHostGetDevicePointer_v2",                         \
        "hipHostGetDevicePointer", true)                                                                              \
    X(copy_in, (void *to, const void *host, size_t bytes, void *stream), "cuMemcpyHtoDAsync_v2",                      \
        "hipMemcpyHtoDAsync", true)                                                                                   \
    X(copy_out, (void *host, void *from, size_t bytes, void *stream), "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync",   \
        true)                                                                                                         \
    X(copy, (void *to, void *from, size_t bytes, void *stream), "cuMemcpyDtoDAsync_v2", "hipMemcpyDtoDAsync", true)   \
    X(module_load, (void **module, const void *image, unsigned n, int *option, void **value), "cuModuleLoadDataEx",   \
        "hipModuleLoadDataEx", true)                                                                                  \
    X(module_unload, (void *module), "cuModuleUnload", "hipModuleUnload", true)                                       \
    X(module_function, (void **function, void *module, const char *name), "cuModuleGetFunction",                      \
        "hipModuleGetFunction", true)                                                                                 \
    X(occupancy, (int *groups, void *function, int threads, size_t dynamic),                                          \
        "cuOccupancyMaxActiveBlocksPerMultiprocessor", "hipModuleOccupancyMaxActiveBlocksPerMultiprocessor", true)    \
    X(launch, (void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,          \
        unsigned dynamic, void *stream, void **parameter, void **extra), "cuLaunchKernel", "hipModuleLaunchKernel",   \
        true)                                                                                                         \
    X(capture_begin, (void *stream, int mode), "cuStreamBeginCapture_v2", "hipStreamBeginCapture", false)             \
    X(capture_end, (void *stream, void **graph), "cuStreamEndCapture", "hipStreamEndCapture", false)                  \
    X(graph_make, (void **executable, void *graph, unsigned long long flags), "cuGraphInstantiateWithFlags",          \
        "hipGraphInstantiateWithFlags", false)                                                                        \
    X(graph_launch, (void *executable, void *stream), "cuGraphLaunch", "hipGraphLaunch", false)                       \
    X(graph_unmake, (void *executable), "cuGraphExecDestroy", "hipGraphExecDestroy", false)                           \
    X(graph_destroy, (void *graph), "cuGraphDestroy", "hipGraphDestroy", false)

/* What is asked about a device; a flavour has the numbers. */
enum cuda_attribute {
    CUDA_THREADS,      /* most threads of a group */
    CUDA_LOCAL,        /* most local memory of a group */
    CUDA_WARP,         /* threads that run together */
    CUDA_UNITS,        /* multiprocessors */
    CUDA_MAJOR, CUDA_MINOR, /* compute capability */
    CUDA_POOLS,        /* memory pools are supported */
    CUDA_ATTRIBUTES
};

/* Numbers that both makers share. */
enum {
    CUDA_NO_MEMORY = 2, CUDA_NO_DEVICE = 100, CUDA_UNKNOWN_DEVICE = 101, CUDA_NO_BINARY = 209, CUDA_BAD_PTX = 218,
    CUDA_NEW_PTX = 222, CUDA_BAD_IMAGE = 200, CUDA_NOT_SUPPORTED = 801,
    CUDA_STREAM_OWN = 1,           /* flags of stream_create: does not wait for the default stream */
    CUDA_EVENT_UNTIMED = 2,        /* of event_create */
    CUDA_HOST_MAPPED = 2,          /* of host_alloc: the device sees it too */
    CUDA_CAPTURE_RELAXED = 2,      /* mode of capture_begin: other threads may call the driver meanwhile */
    CUDA_POOL_THRESHOLD = 4,       /* attribute of a pool: bytes that it keeps when they are not used */
    CUDA_JIT_LOG = 5, CUDA_JIT_LOG_BYTES = 6 /* options of module_load: where errors are explained */
};

struct cuda_flavor {
    const char *name, *title;      /* "cuda", "CUDA" */
    int column;                    /* of CUDA_CALLS: 0, 1 */
    const char *variable;          /* of the environment: names another driver library */
    const char *const *library;    /* names to try, in turn; ends with NULL */
    const char *get;               /* how to get the driver */
    int oldest;                    /* version of the driver */
    int attribute[CUDA_ATTRIBUTES]; /* the maker's numbers; -1: none */
    enum emit_lang lang;
    const struct rtc_flavor *rtc;  /* its compiler */
};
extern const struct cuda_flavor flavor_nvidia, flavor_amd;

struct cuda_driver {
    const struct cuda_flavor *flavor;
    void *so;
    int version;   /* CUDA: 12080 is 12.8 */
    int devices;
#define X(field, parameters, cuda, hip, needed) int (*field) parameters;
    CUDA_CALLS(X)
#undef X
};

/* Loads and starts the driver, which then stays loaded as long as the process. With 0 devices, or on failure, why says
 * what is missing and how to get it. */
enum { CUDA_WHY = 256 };
bool cuda_driver_open(struct cuda_driver *v, const struct cuda_flavor *f, char why[CUDA_WHY]);
/* "an illegal memory access was encountered (CUDA_ERROR_ILLEGAL_ADDRESS, 700)" */
const char *cuda_error_text(const struct cuda_driver *v, int error, char out[CUDA_WHY]);

#endif
