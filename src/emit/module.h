/* module.h: whole plans as one C file.
 *
 * A module has entries, each a plan with its bodies: every kernel becomes a function (emit_c_kernel), every plan a
 * function that places its temporaries in one memory and runs its steps, constants become arrays (or one blob), control
 * flow becomes C's. In front stands the part of the library's text that is used. Two uses share the renderer:
 *
 *   embedded C99   sizes are constants, memory is a static arena: int NAME_ENTRY(in, out)
 *   shared object  sizes stay symbols, memory is the caller's: NAME_ENTRY(in, out, workspace, sizes)
 *
 * The bits are those of the plan: kernels are the C tier's text, library kernels the functions of parts_c.inc. */
#ifndef EMIT_MODULE_H
#define EMIT_MODULE_H

#include "compile/plan.h"
#include "emit/emit.h"

struct module_entry {
    const char *name;                 /* "run", "step": a part of a C identifier */
    const char *about;                /* one line for the header comment */
    const tsr_plan *plan;
    int nparam, nresult;
    const char *const *param_name;    /* (nparam), "" or NULL where there is none */
    const char *const *result_name;   /* (nresult), or NULL */
    const tsr_type *const *result;    /* (nresult) */
    int nsize;
    const struct fn_size *size;       /* sizes that integer arguments give: the argument must agree */
};
enum module_constants {
    MODULE_INLINE,  /* arrays in the text */
    MODULE_BLOB,    /* one blob, a pointer to it is the first argument of each entry */
    MODULE_LINKED   /* one blob, linked in by the text itself (.incbin of the assembler) */
};
struct module_opts {
    const char *name;                 /* of the module: prefix of all it defines */
    const char *source;               /* what it was made from, for the header comment */
    bool gnu;                         /* for the system's compiler (GNU C); else plain C99 */
    bool symbolic;                    /* sizes are arguments; else every symbol has a value in b */
    int n;
    const tsr_binding *b;
    enum module_constants constants;
    const char *blob_path;            /* BLOB, LINKED: what messages and the text call it */
    /* Arrays that are handed out by the module, NAME_initial[]: where parameters begin. (ninitial) */
    int ninitial;
    const struct module_initial { const tsr_type *type; const void *data; } *initial;
};
struct module_text {
    struct str c, h;                  /* the file, its header */
    struct str blob;                  /* BLOB, LINKED: constants, each at a multiple of 64 */
    int kernels, library_calls;
    size_t arena_bytes, constant_bytes;
    double flops, bytes_moved;        /* of a run of the first entry; symbolic: 0 */
};
/* EUNSUPPORTED: recorded, naming the op or the symbol that has no value. out is released in every case. */
tsr_status module_write(tsr_ctx *c, int n, const struct module_entry *entry, const struct module_opts *o,
    struct module_text *out);
void module_text_init(struct module_text *t, tsr_ctx *c);
void module_text_release(struct module_text *t);

#endif
