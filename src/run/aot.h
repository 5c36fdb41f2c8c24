/* aot.h: fns as C files and shared objects: plans made, text written (emit/module.h), the system's compiler run. */
#ifndef RUN_AOT_H
#define RUN_AOT_H

#include "emit/module.h"

struct aot_entry {
    const char *name, *about;
    tsr_fn *fn;      /* closed: explicit parameters alone (engine_freeze) */
};
struct aot_size { const char *name; int64_t value; }; /* of a symbol */
struct aot_opts {
    const char *path;        /* x.c or x.so; x.h is written beside it */
    const char *name;        /* C identifier: prefix of what the file defines */
    const char *source;      /* what it was made from */
    const char *blob;        /* x.c: constants go to this file; NULL: into the text */
    int nsize;
    const struct aot_size *size;
    int ninitial;
    const struct module_initial *initial;
};
struct aot_info {
    int kernels, library_calls;
    size_t text_bytes, constant_bytes, arena_bytes; /* arena: C files */
    double flops, bytes_moved;
};
/* Files are written complete or not at all. ENOTFOUND, aot_so: there is no C compiler. */
tsr_status aot_c(tsr_ctx *c, const struct aot_opts *o, int n, const struct aot_entry *entry, struct aot_info *info);
tsr_status aot_so(tsr_ctx *c, const struct aot_opts *o, int n, const struct aot_entry *entry, struct aot_info *info);

#endif
