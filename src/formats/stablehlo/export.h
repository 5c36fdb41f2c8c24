/* export.h: a fn becomes a StableHLO module: the mirror of the importer.
 *
 * Every node becomes an operation of stablehlo or chlo, or a few of them; the files export_*.c have a family each,
 * export_table.c joins them to ops. What has no counterpart is a custom_call or a composite whose name begins with
 * "tessera." (calls.def); the importer knows these names, and a composite carries a decomposition for those that do
 * not. Composites and called fns become private functions. Bodies of loops and branches become regions; what they
 * captured they use in place.
 *
 * Symbolic extents are '?'; where an operation needs the value of one, it is computed as an i64 scalar from
 * get_dimension_size of the parameter that has it (exp_extent).
 *
 * The module lives until hlo_module_free. Builders here return NULL (an error is recorded) and take NULL operands
 * without complaint, so that calls nest; one check at the end of a handler is enough. */
#ifndef FORMATS_STABLEHLO_EXPORT_H
#define FORMATS_STABLEHLO_EXPORT_H

#include "formats/stablehlo/ir.h"
#include "graph/op.h"

/* f as the function @main of a new module, whatever f's own name. Parameters: the explicit ones, then captures
 * (argument attribute tessera.capture) and variables (tessera.var = "name"); results: the explicit ones, then the new
 * values of variables (tessera.var). NULL: error recorded. */
struct hlo_module *hlo_export(tsr_ctx *c, const tsr_fn *f);

/* ---- inside the exporter ---------------------------------------------------------------------------------------- */
struct exp_size { /* an extent's value, computed once for each frame */
    const tsr_extent *extent;
    struct hlo_value *value;
};
struct exp_frame { /* a fn being exported: as a function, or as a region of the frame above */
    struct exp_frame *up;      /* whose values may be used here; NULL: a function */
    const tsr_fn *fn;
    struct hlo_value **param;  /* (fn->param.n) */
    struct hlo_value ***out;   /* by pos: the results of each node */
    VEC(struct exp_size) size;
};
struct exp {
    tsr_ctx *c;
    struct hlo_module *m;
    struct exp_frame *frame;
    struct hlo_block *block; /* operations go to its end */
    struct map funcs;        /* struct exp_func by fn: functions that are there already */
    int depth;               /* of calls and regions, at most EXP_DEPTH_MAX */
};
enum { EXP_DEPTH_MAX = 200, EXP_ATTRS_MAX = 12 };

typedef bool exp_handler(struct exp *x, const tsr_node *n);
exp_handler *exp_handler_of(enum tsr_op op); /* NULL: the op has no counterpart */
bool exp_fail(struct exp *x, const tsr_node *n, const char *fmt, ...) TSR_PRINTF(3, 4); /* false */

/* Types. */
const struct hlo_type *exp_type(struct exp *x, const tsr_type *t);              /* of a tensor */
const struct hlo_type *exp_scalar_type(struct exp *x, tsr_dtype t);             /* of rank 0 */
const struct hlo_type *exp_dims_type(struct exp *x, tsr_dtype t, int rank, const int64_t *dim);
enum hlo_elem exp_elem(tsr_dtype t); /* HLO_NONE: block types */

/* Operations. attr may have any order; operand and type must not hold NULL, else nothing is built. exp_op gives the
 * operation, exp_make its only result. */
struct hlo_op *exp_op(struct exp *x, enum hlo_opcode code, int noperand, struct hlo_value *const *operand, int nattr,
    const struct hlo_named *attr, int nresult, const struct hlo_type *const *type, int nregion);
struct hlo_value *exp_make(struct exp *x, enum hlo_opcode code, const struct hlo_type *t, int noperand,
    struct hlo_value *const *operand, int nattr, const struct hlo_named *attr);
struct hlo_value *exp_make1(struct exp *x, enum hlo_opcode code, const struct hlo_type *t, struct hlo_value *a);
struct hlo_value *exp_make2(struct exp *x, enum hlo_opcode code, const struct hlo_type *t, struct hlo_value *a,
    struct hlo_value *b);
struct hlo_value *exp_compare(struct exp *x, const char *direction, tsr_dtype t, bool total, struct hlo_value *a,
    struct hlo_value *b);
struct hlo_value *exp_select(struct exp *x, struct hlo_value *p, struct hlo_value *a, struct hlo_value *b);
struct hlo_value *exp_convert(struct exp *x, struct hlo_value *a, tsr_dtype t);
struct hlo_value *exp_reshape(struct exp *x, struct hlo_value *a, const struct hlo_type *t);
/* a's axis i becomes axis axes[i] of t, which must be static. */
struct hlo_value *exp_broadcast(struct exp *x, struct hlo_value *a, const struct hlo_type *t, int n,
    const int64_t *axes);
bool exp_return(struct exp *x, int n, struct hlo_value *const *v); /* stablehlo.return */

/* Attributes. */
struct hlo_named exp_named(const char *name, const struct hlo_attr *value);
struct hlo_named exp_int(struct exp *x, const char *name, int64_t v);                          /* i64 */
struct hlo_named exp_bool(struct exp *x, const char *name, bool v);
struct hlo_named exp_ints(struct exp *x, const char *name, int n, const int64_t *v);           /* array of i64 */
struct hlo_named exp_enum(struct exp *x, const char *name, const char *kind, const char *value); /* stablehlo.kind */
struct hlo_named exp_string(struct exp *x, const char *name, const char *s);
/* The extents as integers; false: one is symbolic. */
bool exp_exts_ints(int n, const tsr_extent *const *e, int64_t *out);

/* Constants. */
struct hlo_value *exp_scalar(struct exp *x, tsr_dtype t, double v);      /* as tsr_scalar_float rounds it */
struct hlo_value *exp_integer(struct exp *x, tsr_dtype t, int64_t v);    /* as tsr_scalar_int wraps it */
struct hlo_value *exp_literal(struct exp *x, const tsr_node *constant);  /* a CONST node */
struct hlo_value *exp_index_list(struct exp *x, int n, const int64_t *v); /* tensor<nxi64> */
struct hlo_value *exp_zeros(struct exp *x, const tsr_type *t);           /* any extents */

/* Nodes. exp_in: source i; exp_out sets the results of n; exp_done: the one result, false when NULL. */
struct hlo_value *exp_in(struct exp *x, const tsr_node *n, int i);
struct hlo_value *exp_item(struct exp *x, const tsr_node *n, int item);
bool exp_out(struct exp *x, const tsr_node *n, struct hlo_value *const *v);
bool exp_done(struct exp *x, const tsr_node *n, struct hlo_value *v);
bool exp_done_op(struct exp *x, const tsr_node *n, struct hlo_op *op); /* all results of op are n's */

/* Extents as values. */
struct hlo_value *exp_extent(struct exp *x, const tsr_extent *e);                               /* i64 scalar */
struct hlo_value *exp_extents(struct exp *x, int n, const tsr_extent *const *e);                /* tensor<nxi64> */

/* Regions and functions. exp_region_begin gives region r one block with arguments of these types and makes it the
 * place where operations go; exp_region_end goes back. */
struct exp_region {
    struct hlo_block *before;
    size_t sizes; /* values of extents that were known outside */
};
bool exp_region_begin(struct exp *x, struct hlo_region *r, int n, const struct hlo_type *const *type,
    struct exp_region *saved);
void exp_region_end(struct exp *x, const struct exp_region *saved);
/* The body of f in place: param (all of f's parameters) and result (all results) are values here. */
bool exp_body(struct exp *x, const tsr_fn *f, struct hlo_value *const *param, struct hlo_value **result);
/* The name of the private function that f is; made when it is not there. NULL: error recorded. */
const char *exp_function(struct exp *x, const tsr_fn *f, const char *name);
/* A private function of one primitive's decomposition: types of parameters and result, and what builds its body. */
typedef struct hlo_value *exp_decomposition(struct exp *x, struct hlo_value *const *param);
const char *exp_decomposed(struct exp *x, const char *name, int n, const struct hlo_type *const *param,
    const struct hlo_type *result, exp_decomposition *build);

/* Tokens, which are bools in the graph: whether the op of a node makes one; whether a value is one; the after_all that
 * an OR of tokens is. */
bool exp_gives_token(const tsr_node *n);
bool exp_is_token(const struct hlo_value *v);
const struct hlo_type *exp_token_type(struct exp *x);
bool exp_after_all(struct exp *x, const tsr_node *n);

/* Reductions: the operation of two values that `how` is. */
enum hlo_opcode exp_reduce_code(tsr_reduce how);

#endif
