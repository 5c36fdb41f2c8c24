/* plan.h: what the compiler hands to the runner: steps over slots, all sizes as extent expressions.
 *
 *     fn --compile_fn--> struct tsr_plan  (immutable; any number of threads may run it)
 *     plan + sizes --plan_bind--> struct plan_binding  (every extent a number, every temporary an arena offset)
 *
 * The compiler names no device: kernels are tile programs, library kernels are names; the device receives programs,
 * buffers and sizes. A plan is made once for a fn; new sizes make a new binding (microseconds) and no new kernel.
 *
 * Slots are values in memory, dense row-major. A temporary lives from the step that writes it to the last
 * that reads it; the memory plan puts all of them in one arena. An alias slot (reshape, item, a
 * contiguous part) has no memory of its own. */
#ifndef COMPILE_PLAN_H
#define COMPILE_PLAN_H

#include "graph/comm.h"
#include "tile/budget.h"

enum slot_kind {
    SLOT_PARAM,  /* parameter `index` of the fn (explicit, captures, variables) */
    SLOT_CONST,  /* literal data held by the plan */
    SLOT_TEMP,   /* arena */
    SLOT_ALIAS   /* part of slot `root` from element offset `offset` (in elements of this slot's dtype) */
};
struct plan_slot {
    enum slot_kind kind;
    const tsr_type *type;      /* a tensor */
    int index;                 /* PARAM: which; CONST: which of plan->constant */
    int root;                  /* ALIAS */
    const tsr_extent *offset;  /* ALIAS; NULL means 0 */
    int node;                  /* position in plan->fn of the node whose value this is, or -1: for the checking modes */
    /* set by plan_finish: */
    int first, last;           /* roots: first writing step, last reading step (the step count: read by a result) */
    /* -1, or the result of the fn a TEMP root is written as: then it lives in that result's buffer */
    int result;
};

enum arg_kind { PLAN_ARG_SLOT, PLAN_ARG_EXTENT };
struct plan_arg {
    enum arg_kind kind;
    int slot;
    bool writes;               /* SLOT: this step writes it (all of it, unless it also reads it) */
    bool reads;
    const tsr_extent *extent;  /* EXTENT: an i64 scalar argument */
};

enum step_kind {
    STEP_KERNEL, /* tile program over a grid */
    /* named library kernel of the device: args are slots in its documented order; its ints are ints, then dims */
    STEP_LIB,
    STEP_COPY,   /* arg[0] = arg[1], same bytes */
    STEP_HOST,   /* host callback */
    STEP_COMM,   /* speaks to other participants: operands, then results; such steps keep the order of their nodes */
    STEP_CALL,   /* sub[0] on args: its params in order, then its results */
    /* args: index, ncarry explicit params, the results, then the implicit params of each
     * branch in turn; sub = branches */
    STEP_COND,
    /* args: ncarry in (params of both), ncarry out, then implicit params of cond (sub[0]), then of body (sub[1]) */
    STEP_WHILE,
    /* args: ncarry in, nxs, ncarry out, nys (outer axis in front), then implicit params of the body; trips */
    STEP_SCAN
};
struct plan_step {
    enum step_kind kind;
    const char *label;          /* for people: "softmax: sub exp div", owned by the plan's arena */
    uint64_t node;              /* id of the (first) graph node it computes, for messages */
    int narg;
    struct plan_arg *arg;
    /* an output may take over the memory of an input that dies here, index map being the
     * identity: reuse[k] = {out arg, in arg} */
    int nreuse;
    int (*reuse)[2];
    /* KERNEL */
    tsr_tile *program;          /* counted */
    const tsr_extent *grid[3];
    /* LIB */
    const char *lib;
    int nints;
    int64_t *ints;
    const tsr_extent **dims;    /* extents the library kernel needs beside its ints, evaluated at bind */
    int ndims;
    /* HOST */
    struct host_call host;
    struct comm_op comm;        /* COMM; its arrays lie in the plan's arena */
    /* CALL, COND, WHILE (sub[0] cond, sub[1] body), SCAN */
    int nsub;
    struct tsr_plan **sub;      /* counted */
    int ncarry, nxs;            /* SCAN, WHILE, COND; SCAN */
    bool reverse;               /* SCAN */
    const tsr_extent *trips;    /* SCAN; WHILE: bound or NULL */
    /* estimate, for reports: bytes moved and operations, as extent expressions */
    const tsr_extent *bytes_moved, *flops;
};

struct plan_const { tsr_buf *buf; };

typedef struct tsr_plan {
    uint32_t refs; /* atomic */
    tsr_ctx *c;
    struct arena mem;           /* owns arrays and labels */
    char *name;
    uint64_t hash;
    VEC(struct plan_slot) slot;
    VEC(struct plan_step) step;
    VEC(struct plan_const) constant;
    VEC(const tsr_type *) param; /* all parameters of the fn */
    VEC(int) result;             /* slot of every result of the fn (explicit, then assigned) */
    VEC(struct fn_check) check;  /* why: in mem */
    /* set by plan_finish: */
    VEC(const tsr_extent *) symbol; /* every symbol of a parameter's type, then those that parameters give a value */
    /* the fn after the last pass, counted: what the checking modes compare with; may be NULL */
    tsr_fn *fn;
    struct plan_exec *exec;     /* the runner's: kernels resolved, bindings remembered */
    void (*exec_free)(struct plan_exec *e);
} tsr_plan;

/* A new empty plan with one reference, named and hashed after f; its params are filled
 * in, its slots and steps are not. */
tsr_plan *plan_new(tsr_ctx *c, const tsr_fn *f);
/* The same from its parts, for plans that are read from a file. False: no memory, recorded. */
tsr_plan *plan_blank(tsr_ctx *c, const char *name, uint64_t hash);
bool plan_add_param(tsr_plan *p, const tsr_type *t);
bool plan_add_symbol(tsr_plan *p, const tsr_extent *symbol);
bool plan_add_check(tsr_plan *p, const tsr_extent *a, const tsr_extent *b, const char *why);
/* After the last step: life times, result slots, symbols. lowered: the fn the steps
 * compute. ENOMEM recorded on failure. */
tsr_status plan_finish(tsr_plan *p, tsr_fn *lowered);
/* Every invariant of a plan that has its slots, steps and results, and is not finished yet (plan_check.c); what holds
 * only for some sizes is added to its checks. EFORMAT: the first that is broken. */
tsr_status plan_check(tsr_plan *p);
const char *lib_step_name(const char *name); /* the same name as a constant; NULL: no library kernel has it */
/* Every tile program of the plan and of the plans inside it, in order; the label is its step's. */
typedef void plan_visit(void *user, const tsr_tile *program, const char *label);
void plan_programs(const tsr_plan *p, plan_visit *visit, void *user);
int plan_root(const tsr_plan *p, int slot); /* the slot that owns the memory: follows ALIAS */

/* The compiler's options, from the environment and the caller. */
struct compile_opts {
    bool fuse;  /* false: one kernel an op */
    int check;  /* TSR_CHECK */
    const struct tile_budget *tiles; /* sizes the device wants; NULL: the host's */
};

/* fn -> plan, all passes. NULL with the error recorded. */
tsr_plan *compile_fn(tsr_ctx *c, const tsr_fn *f, const struct compile_opts *o);
void plan_keep(tsr_plan *p);
void plan_free(tsr_plan *p);
/* Text of a plan: one line a step: label, grid, arguments, bytes; then slots and arena. */
void plan_print(struct str *s, const tsr_plan *p);

/* Slots, steps: for the lowering passes. Negative: out of memory, recorded. */
int plan_slot_add(tsr_plan *p, enum slot_kind kind, const tsr_type *t);
/* args zeroed, in p->mem */
struct plan_step *plan_step_add(tsr_plan *p, enum step_kind kind, const char *label, int narg);

/* Sizes made numbers: all that a run needs beside addresses. */
struct step_binding {
    int64_t grid[3];
    int64_t trips;          /* SCAN, WHILE; -1: no bound */
    int64_t *scalar;        /* (narg) value of each EXTENT argument */
    int64_t *dims;          /* (ndims) */
    double bytes_moved, flops;
};
struct slot_binding {
    int64_t *dim;           /* (rank) */
    int64_t count;
    size_t bytes;
    size_t offset;          /* TEMP root, not a result: in the arena; ALIAS: bytes from the root's start */
    int takes;              /* TEMP root: the slot whose memory it took over in place, or -1 */
};
struct plan_binding {
    int n;
    tsr_binding *b;         /* (n) the symbols of the plan and of what it was bound with */
    struct slot_binding *slot; /* (slot.n) */
    struct step_binding *step; /* (step.n) */
    /* what the layout needs; the least any layout could (the greatest sum of live sizes) */
    size_t arena_bytes, arena_peak;
    struct arena mem;
};
/* Checks every fn_check; ECHECK with its reason when one fails. out is released by
 * plan_binding_release also after a failure. */
tsr_status plan_bind(tsr_ctx *c, const tsr_plan *p, int n, const tsr_binding *b, struct plan_binding *out);
void plan_binding_release(struct plan_binding *b);

#endif
