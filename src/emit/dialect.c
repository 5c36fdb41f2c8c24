/* dialect.c: the rows of dialect.h. */
#include "emit/dialect.h"

static const struct emit_dialect dialect[] = {
    [EMIT_OPENCL] = {
        .name = "OpenCL C",
        .kernel = "__kernel __attribute__((reqd_work_group_size(%d, 1, 1))) void",
        .global = "__global ", .local = "__local ", .local_array = "__local ",
        .thread = "(vm_i32)get_local_id(0)", .group = "get_group_id(0)", .groups = "get_num_groups(0)",
        .barrier_local = "barrier(CLK_LOCAL_MEM_FENCE);",
        .barrier = "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);",
        .unroll = "__attribute__((opencl_unroll_hint))",
        .offsets = true,
        .local_limit = SIZE_MAX,
    },
    [EMIT_CUDA] = {
        .name = "CUDA C",
        .kernel = "extern \"C\" __global__ void __launch_bounds__(%d)",
        .global = "", .local = "", .local_array = "__shared__ ",
        .thread = "(vm_i32)threadIdx.x", .group = "blockIdx.x", .groups = "gridDim.x",
        .barrier_local = "__syncthreads();", .barrier = "__syncthreads();",
        .unroll = "#pragma unroll",
        .local_limit = 48 * 1024,
    },
    [EMIT_HIP] = {
        .name = "HIP",
        .kernel = "extern \"C\" __global__ void __launch_bounds__(%d)",
        .global = "", .local = "", .local_array = "__shared__ ",
        .thread = "(vm_i32)threadIdx.x", .group = "blockIdx.x", .groups = "gridDim.x",
        .barrier_local = "__syncthreads();", .barrier = "__syncthreads();",
        .unroll = "#pragma unroll",
        .local_limit = 64 * 1024,
    },
};

const struct emit_dialect *emit_dialect_of(enum emit_lang lang) { return &dialect[lang]; }
