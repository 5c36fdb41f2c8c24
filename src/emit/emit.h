/* emit.h: the text of a tile program.
 *
 * One renderer walks the program; a dialect (struct emit_dialect) says how its language spells a kernel, a loop, a
 * place in memory. The text computes what docs/tile.md fixes, with the functions of vmath pasted in front, so it has
 * the bits of the VM. It is made to be read: values keep their numbers from the program's own text, and every loop is
 * headed by the instructions it runs.
 *
 * Elementwise instructions that follow one another over one shape become one loop nest in which values are registers
 * (plan.c finds these groups and gives a place in scratch memory to what must outlive its loop); reductions, scans and
 * products of tiles are loops of their own over that memory. */
#ifndef EMIT_EMIT_H
#define EMIT_EMIT_H

#include "base/vec.h"
#include "tile/tile.h"

/* Where a value lives in the text. */
enum emit_home {
    EMIT_NOWHERE,  /* a buffer, or never used */
    EMIT_SCALAR,   /* a variable: rank 0, or one element */
    EMIT_REGISTER, /* a variable inside the one loop nest that uses it */
    EMIT_SPLAT,    /* a scalar repeated: the scalar's variable, everywhere */
    EMIT_INDEX,    /* an iota: computed from the loop's index wherever it is used */
    EMIT_SAME,     /* another value's elements in the same order (reshape): look there */
    EMIT_ARRAY     /* scratch memory, dense and row-major */
};
struct emit_value {
    enum emit_home home;
    int32_t group;    /* that computes it (REGISTER, ARRAY), or -1 */
    tsr_tv same;      /* SAME, SPLAT: the other value */
    int32_t first, last; /* instructions between which an ARRAY is alive */
    size_t offset;    /* ARRAY: in scratch */
    bool matrix;      /* ARRAY: a window that products alone use and read where it is, as d7 (host.c) */
    bool memory;      /* ARRAY, host: a window of a buffer that its users read where it is, as w7[] (host.c) */
};
/* Instructions that share a loop nest: members in program order, not necessarily neighbours (scalars stand between). */
struct emit_group {
    int rank;                              /* axes longer than 1 */
    int64_t extent[TSR_TILE_MAX_RANK];
    int32_t first, last;                   /* instructions: the loop stands where `last` does */
    bool ordered;                          /* stores of the loop may meet: elements in row-major order */
    /* Axes along which the loop need only run over the bounds that all its stores share (NONE: no bound). */
    bool cut[TSR_TILE_MAX_RANK];
    tsr_tv lo[TSR_TILE_MAX_RANK], hi[TSR_TILE_MAX_RANK];
    bool folds;                            /* host: takes the first two steps of reductions (emit_plan.fold) */
    bool weaves;                           /* host: computes EMIT_WEAVE pieces of the row side by side */
};
/* What a plan is for: groups of threads (gpu.h), or emit_c_kernel: a core with little memory, or one of this machine,
 * whose text asks for rows ahead of time and may send them past the caches. */
enum emit_for { EMIT_FOR_GROUPS, EMIT_FOR_CORE, EMIT_FOR_HOST };
struct emit_plan {
    tsr_ctx *c;
    const tsr_tile *p;
    enum emit_for what;
    VEC(struct emit_value) value;  /* by tsr_tv */
    VEC(struct emit_group) group;
    VEC(bool) need;                /* by instruction: some store depends on it; else there is no text for it */
    VEC(int32_t) member;           /* by instruction: its group, or -1 */
    VEC(size_t) temp;              /* by instruction: offset of its own scratch (REDUCE, DOT, rows), if it has any */
    VEC(bool) rows;                /* by instruction: a window that its loop reads or writes through rows in scratch */
    /* For the host alone (host.c), by instruction: the group whose loop takes the first steps of a REDUCE, or -1; a
     * STORE whose rows are made in a strip of scratch when they go past the caches. */
    VEC(int32_t) fold;
    VEC(bool) strip;
    size_t scratch;                /* bytes an instance needs */
};
/* False: no memory (recorded). */
bool emit_plan_init(struct emit_plan *k, tsr_ctx *c, const tsr_tile *p, enum emit_for what);
void emit_plan_release(struct emit_plan *k);
tsr_tv emit_root(const struct emit_plan *k, tsr_tv v); /* past SAME and SPLAT */
tsr_tv emit_dense(const struct emit_plan *k, tsr_tv v); /* past SAME alone; NONE stays */
size_t emit_size(tsr_dtype t);                         /* bytes of an element in scratch: 4-bit integers take one */
int emit_last_axis(int rank, const int32_t *extent);   /* the last one longer than 1; -1: there is none */
int emit_loop_axis(const struct tile_inst *in, int axis); /* loop axis of a window's axis; -1 where its extent is 1 */
void emit_bounds(const struct emit_plan *k, const struct tile_inst *in, int axis, tsr_tv *lo, tsr_tv *hi);
/* Bounds of an axis of window `at`; false: they need no test, there are none or the loop is cut to them. */
bool emit_tested(const struct emit_plan *k, int32_t at, int axis, tsr_tv *lo, tsr_tv *hi);

int32_t emit_runs_at(const struct emit_plan *k, int32_t at); /* where an instruction runs: grouped ones at their loop */
/* Does a member of a nest read or write memory under a condition? */
bool emit_conditional(const struct emit_plan *k, int32_t at);

/* ---- host.c ---- */
enum { EMIT_FOLD = 4 /* elements of a row that one turn of a folding loop combines */ };
enum { EMIT_WEAVE = 4, EMIT_PIECE = 16 }; /* pieces of a turn of a weaving loop; elements of a piece */
enum { EMIT_DEPTH = 512, EMIT_PANEL = 128 }; /* of a product: depth and bytes of a panel's rows (helpers_c.inc) */
void emit_host_choose(struct emit_plan *k);
size_t emit_strip_bytes(const struct emit_plan *k, int32_t at); /* of a STORE that has a strip */
/* The window of load `at` moves with the index of the instance; put: by how many elements, as text (s may be NULL). */
bool emit_advances(const struct emit_plan *k, int32_t at, struct str *s);

/* A program's name inside a comment: without what could end it. */
void emit_name(struct str *out, const char *name);

/* "%4 exp, %7 mul": whom the instructions of a group, or instruction `at` alone (group -1), serve: numbers and ops of
 * the fn's nodes; nothing where nobody is known. */
void emit_origins(struct str *out, const struct emit_plan *k, int32_t group, int32_t at);

/* The C text of one program as a function
 *
 *     void SYMBOL(const union tsr_arg *arg, const vm_i64 *grid, vm_i64 begin, vm_i64 end, char *scratch);
 *
 * that runs instances begin .. end - 1 of the grid (axis 0 fastest); scratch is 64-byte aligned and holds
 * emit_plan.scratch bytes. Any C99 compiler takes the text; those with GNU extensions find hints in it. */
void emit_c_kernel(struct str *out, const struct emit_plan *k, const char *symbol);
/* What stands in front of the kernels of one translation unit: types, and of vmath and the helpers what `used`, the
 * kernels' text, needs. False: no memory (recorded). */
bool emit_c_library(struct str *out, tsr_ctx *c, const char *used);

#endif
