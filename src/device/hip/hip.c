/* hip.c: HIP as a device: what AMD calls things.
 *
 * The runtime (libamdhip64) and its compiler (hiprtc) come with ROCm; both are found at run time. The work is
 * device/cuda/cuda.h's: HIP's calls are CUDA's under other names.
 *
 * UNTESTED ON HARDWARE: no AMD GPU has run this. What is tested is that it makes the right calls in the right order, on
 * a look-alike of the runtime that computes on the host (tests/device/fake_gpu.cpp). The numbers of attributes are
 * those of ROCm 5 and 6. Code is made for the present device: hiprtc asks the runtime which one that is. */
#include "device/cuda/cuda.h"
#include "device/devices.h"
#include "device/host_lib.h"

static const char *const runtime_library[] = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5",
    "libamdhip64.so", NULL};
static const char *const compiler_library[] = {"libhiprtc.so.7", "libhiprtc.so.6", "libhiprtc.so.5", "libhiprtc.so",
    NULL};
static const char *const compiler_folder[] = {"/opt/rocm*/lib/libhiprtc.so.[567]", NULL};
static const char *const option[] = {"-std=c++17", "-O3", "-ffp-contract=off", NULL};

const struct rtc_flavor rtc_hiprtc = {
    .title = "hiprtc", .prefix = "hiprtc", .variable = "TSR_HIPRTC", .library = compiler_library,
    .folder = compiler_folder, .option = option, .archs = false, .get = "install ROCm 5.3 or newer",
};

const struct cuda_flavor flavor_amd = {
    .name = "hip", .title = "HIP", .column = 1, .variable = "TSR_HIP", .library = runtime_library,
    .get = "install ROCm 5.3 or newer, or name its runtime's library with TSR_HIP", .oldest = 0,
    .attribute = {[CUDA_THREADS] = 56, [CUDA_LOCAL] = 74, [CUDA_WARP] = 87, [CUDA_UNITS] = 63,
                  [CUDA_MAJOR] = 23, [CUDA_MINOR] = 61, [CUDA_POOLS] = 88},
    .lang = EMIT_HIP, .rtc = &rtc_hiprtc,
};

static tsr_status hip_open(tsr_ctx *c, int index, struct device **out) {
    return cuda_open(c, &flavor_amd, &device_hip, index, out);
}

static int hip_count(tsr_ctx *c, char why[CUDA_WHY]) { return cuda_count(c, &flavor_amd, why); }

const struct device_ops device_hip = {
    .name = "hip", .open = hip_open, .close = cuda_close, .alloc = cuda_alloc, .free = cuda_free,
    .copy_in = cuda_copy_in, .copy_out = cuda_copy_out, .copy = cuda_copy, .compile = cuda_compile,
    .unload = cuda_unload, .launch = cuda_launch, .lib_has = host_lib_has, .lib_run = host_lib_run,
    .sync = cuda_sync, .count = hip_count,
    .record_begin = cuda_record_begin, .record_end = cuda_record_end, .replay = cuda_replay, .forget = cuda_forget,
};
