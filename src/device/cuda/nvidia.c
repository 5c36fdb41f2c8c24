/* nvidia.c: CUDA as a device: what NVIDIA calls things.
 *
 * The driver comes with the machine (libcuda.so.1), NVRTC with the CUDA toolkit or NVIDIA's packages for Python; both
 * are found at run time. Devices from sm_70 on. The work is cuda.h's. */
#include "device/cuda/cuda.h"
#include "device/devices.h"
#include "device/host_lib.h"

static const char *const driver_library[] = {"libcuda.so.1", "libcuda.so", NULL};
static const char *const compiler_library[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so",
    NULL};
static const char *const compiler_folder[] = {"/usr/local/cuda*/lib64/libnvrtc.so.1?*",
    "%s/lib/python3*/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.1?",
    "%s/lib/python3*/site-packages/nvidia/cu1?/lib/libnvrtc.so.1?",
    "%s/.local/lib/python3*/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.1?",
    "%s/.local/lib/python3*/site-packages/nvidia/cu1?/lib/libnvrtc.so.1?", NULL};
/* A sum stays a sum: what is to be fused says fma(). */
static const char *const option[] = {"--std=c++17", "--fmad=false", "-default-device", NULL};

const struct rtc_flavor rtc_nvrtc = {
    .title = "NVRTC", .prefix = "nvrtc", .variable = "TSR_NVRTC", .library = compiler_library,
    .folder = compiler_folder, .option = option, .archs = true,
    .get = "install the CUDA toolkit, or pip install nvidia-cuda-nvrtc-cu12",
};

const struct cuda_flavor flavor_nvidia = {
    .name = "cuda", .title = "CUDA", .column = 0, .variable = "TSR_CUDA", .library = driver_library,
    .get = "install NVIDIA's driver (525 or newer), or name its library with TSR_CUDA", .oldest = 11000,
    .attribute = {[CUDA_THREADS] = 1, [CUDA_LOCAL] = 8, [CUDA_WARP] = 10, [CUDA_UNITS] = 16,
                  [CUDA_MAJOR] = 75, [CUDA_MINOR] = 76, [CUDA_POOLS] = 115},
    .lang = EMIT_CUDA, .rtc = &rtc_nvrtc,
};

static tsr_status open_nvidia(tsr_ctx *c, int index, struct device **out) {
    return cuda_open(c, &flavor_nvidia, &device_cuda, index, out);
}

static int count_nvidia(tsr_ctx *c, char why[CUDA_WHY]) { return cuda_count(c, &flavor_nvidia, why); }

const struct device_ops device_cuda = {
    .name = "cuda", .open = open_nvidia, .close = cuda_close, .alloc = cuda_alloc, .free = cuda_free,
    .copy_in = cuda_copy_in, .copy_out = cuda_copy_out, .copy = cuda_copy, .compile = cuda_compile,
    .unload = cuda_unload, .launch = cuda_launch, .lib_has = host_lib_has, .lib_run = host_lib_run,
    .sync = cuda_sync, .count = count_nvidia,
    .record_begin = cuda_record_begin, .record_end = cuda_record_end, .replay = cuda_replay, .forget = cuda_forget,
};
