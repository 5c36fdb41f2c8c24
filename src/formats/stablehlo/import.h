/* import.h: a StableHLO module becomes fns of the one graph.
 *
 * Import is an abstract execution: operations of a function are built in order with the builders of prim.h, calls are
 * built in place, regions become fns (loops, branches) or are built in place on whole tensors (bodies of reductions).
 * Each file import_*.c has the handlers of a family; import_table.c joins them to opcodes. A handler returns false with
 * an error at the op's position recorded (imp_fail). Handlers never look at the text: ir.h's canonical form is all.
 *
 * A value of the module is a struct imp_value: a node, and what is known of it besides. Types without a dtype of their
 * own (f8E3M4, i2, ...) and quantised types live in their carrier (HLO_ELEM_LIST): a node of the carrier's dtype whose
 * values always lie on the type's grid; for quantised types the node holds the stored integers. imp_result puts values
 * back on the grid after each op. */
#ifndef FORMATS_STABLEHLO_IMPORT_H
#define FORMATS_STABLEHLO_IMPORT_H

#include "formats/stablehlo/ir.h"
#include "tessera/prim.h"
#include "tessera/run.h"

/* What a check op of a test asks, recorded while importing. */
enum hlo_check_kind { HLO_CHECK_EQ, HLO_CHECK_ALMOST_EQ, HLO_CHECK_CLOSE };
struct hlo_check {
    enum hlo_check_kind kind;
    struct hlo_loc loc;
    enum hlo_elem elem;
    tsr_node *actual, *expected; /* results of the fn: actual is result 2i, expected 2i + 1 */
    double tolerance;            /* ALMOST_EQ: 1e-3 unless stated */
    int64_t min_ulp, max_ulp;    /* CLOSE: 0 and 3 unless stated */
};

/* Which operation made a node: the last origin whose first id is at most the node's. */
struct hlo_origin {
    uint64_t first; /* node id */
    const struct hlo_op *op;
};
typedef VEC(struct hlo_origin) hlo_origins;

struct hlo_import_options {
    hlo_origins *origins; /* NULL, or receives the origins in order; released by the caller */
    bool checks;     /* check.* ops are wanted: the fn's results are their operands instead of the function's */
    int partition;   /* of the participant this import is for; -1: the op PARTITION_ID stays in the graph */
    int replica;
    int replicas, partitions; /* the grid it is for; 0: what the module's mhlo.num_replicas, num_partitions say */
    tsr_tier tier;   /* of what is run while importing: interpreter.run_parallel */
    bool program;    /* for run_parallel: see hlo_import */
    int nested;      /* how many run_parallel are around it */
};
/* The function `name` of m as a fn. Its parameters: those of the function (tokens and tuples are flattened away: tuple
 * items one after another, tokens dropped), '?' as symbols. checks (may be NULL) receives the check ops in order. Its
 * results: those of the function, flattened likewise; after them, when it sends, receives, feeds or is fed, one token
 * that keeps this alive; for a program of run_parallel, every such token and every value of a collective, since others
 * wait for them. NULL: error recorded. */
typedef VEC(struct hlo_check) hlo_checks;
tsr_fn *hlo_import(const struct hlo_module *m, const char *name, const struct hlo_import_options *o,
    hlo_checks *checks);

/* ---- inside the importer ---------------------------------------------------------------------------------------- */
struct imp_value {
    tsr_node *node;                /* NULL: not yet defined, or a token before any effect (import_token.c) */
    const struct hlo_type *type;   /* with the extents that import found out ('?' refined where known) */
    const tsr_extent *const *shape_value; /* small integer tensors (rank <= 1, <= 64 elements): each element as an
                                    * extent expression, where known; else NULL. import_shape.c keeps it. */
    const struct imp_value *item;  /* tuples: (type->n) values */
};
/* What an interpreter.probe has seen, for check.expect_serialized_eq; one entry each time the op is built. */
struct imp_probe {
    const char *id; /* probe_id, in the module's arena */
    tsr_node *node;
};
/* An integer as a symbol (import_shape.c): of an argument of the fn, of which sizes may be made, or of a value that is
 * known only when the program runs, of which none may. */
struct imp_size {
    tsr_node *node;
    int64_t element;
    const tsr_extent *symbol;
    bool runtime;
};
struct imp {
    tsr_ctx *c;
    const struct hlo_module *m;
    const struct hlo_import_options *o;
    struct arena arena;      /* of the import */
    hlo_checks *checks;
    const struct hlo_op *now; /* being built */
    struct imp_frame *frame; /* the function being imported; calls nest */
    int depth;               /* of calls and regions, at most IMP_DEPTH_MAX */
    int64_t budget;          /* operations that may still be built: calls built in place can double at every level */
    bool placed;             /* the recorded error begins with its position */
    const tsr_type *lift;    /* a region of scalars is being built on tensors of this shape; else NULL */
    VEC(struct imp_probe) probes;
    VEC(struct imp_size) sizes;
    VEC(tsr_node *) effects; /* tokens of effects that no region has taken up */
    VEC(tsr_node *) spoken;  /* values of collectives that must stay (options.program) */
};
enum { IMP_DEPTH_MAX = 200, IMP_BUDGET = 1 << 22 };
struct imp_frame {
    struct imp_frame *up;
    const struct hlo_op *func;
    struct imp_value *value; /* (func->nvalue), by hlo_value.id */
};
typedef bool imp_handler(struct imp *p, const struct hlo_op *op);
imp_handler *imp_handler_of(enum hlo_opcode code); /* NULL: the op cannot be imported */
bool imp_lifts(enum hlo_opcode code); /* elementwise: its handler serves scalars and tensors alike */
/* Builds one operation: its handler (imp_quantised when it has quantised operands or results), then what is known of
 * its small integer results (imp_shape_values). False: an error with the position is recorded. */
bool imp_op(struct imp *p, const struct hlo_op *op);

struct imp_value *imp_value(struct imp *p, const struct hlo_value *v);
struct imp_value *imp_operand_value(struct imp *p, const struct hlo_op *op, int i); /* NULL: there is none; recorded */
tsr_node *imp_operand(struct imp *p, const struct hlo_op *op, int i);       /* its node; poison when there is none */
tsr_dtype imp_dtype(const struct hlo_type *t);                              /* own, carrier, or storage if quantised */
const tsr_type *imp_type(struct imp *p, const struct hlo_type *t);          /* graph type of a static tensor type */
/* The graph type of result i where its extents are static, or where import_shape.c knows them from elsewhere. */
const tsr_type *imp_result_type(struct imp *p, const struct hlo_op *op, int i);
/* Sets result i; puts it on the grid of its element type; checks node's type against the declared one (a '?' agrees
 * with anything, and its place in the value's type is refined). False: error recorded. */
bool imp_result(struct imp *p, const struct hlo_op *op, int i, tsr_node *n);
bool imp_results(struct imp *p, const struct hlo_op *op, tsr_node *tuple);  /* the items of a tuple as all results */
/* A value handed on as result i: any kind, tokens and tuples too; what is known of it stays known. */
bool imp_forward(struct imp *p, const struct hlo_op *op, int i, const struct imp_value *v);
bool imp_fail(struct imp *p, const struct hlo_op *op, const char *fmt, ...) TSR_PRINTF(3, 4); /* false */

/* Types without a dtype of their own (import_narrow.c). imp_to_grid rounds carrier values to the grid of e; imp_on_grid
 * is that for a type, n itself where its dtype is the type. imp_to_elem: x of any dtype to the carrier of e, on its
 * grid, rounded once. imp_bits_as: values to values of the same bits, ranks as in tsr_prim_bitcast. */
tsr_node *imp_to_grid(struct imp *p, enum hlo_elem e, tsr_node *x);
tsr_node *imp_on_grid(struct imp *p, const struct hlo_type *t, tsr_node *n);
tsr_node *imp_to_elem(struct imp *p, enum hlo_elem e, tsr_node *x);
tsr_node *imp_bits_as(struct imp *p, enum hlo_elem from, enum hlo_elem to, tsr_node *x);
/* fn where it looks at bits that a carrier of t has too many of (2-bit integers); NULL: the carrier's own will do. */
tsr_node *imp_bitwise(struct imp *p, const struct hlo_type *t, tsr_scalar fn, int n, tsr_node *const *x);
bool imp_quantised(struct imp *p, const struct hlo_op *op);   /* import_quant.c: an op with quantised types */
bool imp_shape_values(struct imp *p, const struct hlo_op *op); /* import_shape.c: after the op was built */

tsr_node *imp_elements(struct imp *p, const struct hlo_attr *a); /* dense<...> as a literal */
/* Result 0 of op: x compared with y (one shape) by its comparison_direction and compare_type. */
bool imp_compare_nodes(struct imp *p, const struct hlo_op *op, tsr_node *x, tsr_node *y);

/* The body of a function built in place on arg[]; out[] gets what it returns. Counts must agree (recorded if not). */
bool imp_call(struct imp *p, const struct hlo_op *op, const struct hlo_op *func, int narg,
    const struct imp_value *arg, int nout, struct imp_value *out);

/* Regions. imp_region_fn: the region as a fn of scalars or tensors of its block arguments' types; captures follow the
 * rules of tsr_fn_begin. imp_region_inline: builds the region's ops in place with arg[] bound to its arguments and
 * gives the operands of its terminator in out[] (n of them); `lifted` shapes: arguments may be tensors of one shape
 * where the block says scalars, if every op inside is elementwise (imp_region_lifts); constants and captured scalars
 * are broadcast to it. */
tsr_fn *imp_region_fn(struct imp *p, const struct hlo_region *r, const char *name);
/* The same with the types of the arguments given (whole values: '?' refined). Tokens are values like the others. */
tsr_fn *imp_region_fn_of(struct imp *p, const struct hlo_region *r, const char *name, int narg,
    const struct imp_value *like);
bool imp_region_lifts(const struct hlo_region *r);
/* In a lifted region a scalar from outside or a constant meets tensors: n spread over their shape, else n itself. */
tsr_node *imp_lifted(struct imp *p, tsr_node *n);
bool imp_region_inline(struct imp *p, const struct hlo_region *r, int narg, tsr_node *const *arg, int nout,
    tsr_node **out);
/* The body (a, b) -> op(a, b) of one value, either order of operands: which reduction it is. False: something else. */
bool imp_region_monoid(const struct hlo_region *r, int which, tsr_reduce *how);
/* A compile-time constant operand as int64 values (folds subgraphs of constants by the reference); false: not one. */
bool imp_const_ints(struct imp *p, const struct hlo_op *op, int i, int64_t *out, int n);

#endif
