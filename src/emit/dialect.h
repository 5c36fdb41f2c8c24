/* dialect.h: how OpenCL C, CUDA C and HIP spell what they have in common: one row of words for each language.
 *
 * What the library's text needs beyond these words (bit casts, roots, fused multiply-adds, atomics, shuffles) is
 * written in a prelude for each language (prelude_opencl.inc, prelude_cuda.inc, prelude_hip.inc) under names that all
 * three share, so kernels call it alike. */
#ifndef EMIT_DIALECT_H
#define EMIT_DIALECT_H

#include "emit/gpu.h"

struct emit_dialect {
    const char *name;
    const char *kernel;       /* before a kernel's name; %d: threads of a group */
    const char *global;       /* address space of a pointer to memory that all groups see */
    const char *local;        /* ... that a group's threads share */
    const char *local_array;  /* before an array that a group's threads share */
    const char *thread, *group, *groups; /* number of this thread in its group, of this group, of groups */
    const char *barrier_local; /* waits for the group; what was written to local memory is seen */
    const char *barrier;       /* ... to local and global memory */
    const char *unroll;        /* before a loop whose turns are known and that must leave no loop behind */
    bool offsets;              /* a buffer argument is followed by an offset in bytes */
    size_t local_limit;        /* most local memory that may be declared in the text */
};
const struct emit_dialect *emit_dialect_of(enum emit_lang lang);

#endif
