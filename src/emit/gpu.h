/* gpu.h: the text of a tile program for machines of many small threads: OpenCL C, CUDA C, HIP.
 *
 * One instance of the grid is the work of one group of threads (a work-group, a block). The elements of a tile are
 * dealt out to the group's threads in row-major order, one after the other, so that neighbouring threads touch
 * neighbouring memory; a value that only its own thread needs again stays in that thread's registers, what others need
 * goes through the group's local memory, and where that is too small through a piece of global scratch memory for each
 * group that may run at a time. Sums have the order of docs/tile.md, so the bits are the VM's wherever the language's
 * arithmetic is exact in the same way; only matrix units (emit_gpu_target.tensor) add in another order.
 *
 * A kernel's parameters are, in this order: the program's arguments (a buffer is a pointer to its elements; in OpenCL C
 * followed by one `long`, the byte offset from that pointer at which the buffer begins; a scalar is passed by value in
 * its type of scratch memory), then three `long`: the extents of the grid, then a pointer to scratch memory
 * (info.scratch_bytes for each group of the launch, 256-byte aligned; may be null when that is 0). Groups walk over the
 * instances in steps of the number of groups, so a launch may have any number of groups from 1 up. */
#ifndef EMIT_GPU_H
#define EMIT_GPU_H

#include "emit/emit.h"

enum emit_lang { EMIT_OPENCL, EMIT_CUDA, EMIT_HIP };

/* What the text may count on. */
struct emit_gpu_target {
    enum emit_lang lang;
    int arch;             /* CUDA: 70, 80, 90 ...: compute capability times ten; else 0 */
    int subgroup;         /* lanes whose shuffles may be used: 32, 64; 0: none */
    int threads;          /* most threads of a group; 1: the text has no barrier (OpenCL on a CPU) */
    size_t local_bytes;   /* most local memory of a group */
    bool f64;             /* false: the device has no f64: programs that need it are not claimed */
    bool tensor;          /* products of f16, bf16, int8 (f8 from arch 89) on matrix units, in their order of sums */
    bool tf32;            /* f32 products too, rounded to tf32 */
};

/* What a launch needs to know. */
struct emit_gpu_info {
    int threads;          /* of a group, exactly */
    size_t local_bytes;   /* declared in the text */
    size_t scratch_bytes; /* global scratch for each group of a launch; 0: none */
};

/* False: the program is not claimed (*why says it, for people; no error), or no memory (recorded; *why is NULL). */
bool emit_gpu_kernel(struct str *out, tsr_ctx *c, const tsr_tile *p, const struct emit_gpu_target *t,
    const char *symbol, struct emit_gpu_info *info, const char **why);
/* Types, vmath, helpers: what stands in front of the kernels of one translation unit. kernels: their text; only what it
 * uses is put there. */
void emit_gpu_prelude(struct str *out, const struct emit_gpu_target *t, const char *kernels);

#endif
