/* graph.h: extents, types, nodes, scopes, fns, variables, buffers: the nouns of the one graph.
 *
 * Every door (C API, file formats, languages) builds this graph with the same builders; transformations take fns to
 * fns; the compiler takes a fn to a plan. Nodes are immutable and interned: equal nodes are one pointer. Building never
 * fails loudly: a bad call returns the context's poison node, poison in gives poison out, and the first error stays
 * recorded, so expressions nest and one check at tsr_eval / tsr_fn_end suffices. */
#ifndef TESSERA_GRAPH_H
#define TESSERA_GRAPH_H

#include "tessera/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TSR_MAX_RANK 12 /* axes of one tensor */

typedef struct tsr_extent tsr_extent; /* an integer expression: interned, lives as long as the context */
typedef struct tsr_node tsr_node;     /* an immutable value in the graph */
typedef struct tsr_scope tsr_scope;   /* holds references to the nodes made while it is open */
typedef struct tsr_fn tsr_fn;         /* a graph with parameters and results */
typedef struct tsr_var tsr_var;       /* named mutable state */
typedef struct tsr_buf tsr_buf;       /* bytes on a device, reference counted */

/* ---- extents ------------------------------------------------------------------------------------------------------
 * Constants, named symbols with bounds, and + - * floordiv ceildiv mod min max of them, kept in a normal
 * form (sums of products), so that equal expressions are usually one pointer. Extents are never
 * negative; attribute expressions may be. */
const tsr_extent *tsr_extent_int(tsr_ctx *c, int64_t v);
/* same name: same symbol, its first bounds */
const tsr_extent *tsr_extent_symbol(tsr_ctx *c, const char *name, int64_t lo, int64_t hi);
const tsr_extent *tsr_extent_add(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *tsr_extent_sub(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *tsr_extent_mul(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *tsr_extent_floordiv(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *tsr_extent_ceildiv(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *tsr_extent_mod(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b); /* 0 <= r < b for b > 0 */
const tsr_extent *tsr_extent_min(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *tsr_extent_max(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
bool tsr_extent_is_int(const tsr_extent *e, int64_t *v /* may be NULL */);
void tsr_extent_bounds(const tsr_extent *e, int64_t *lo, int64_t *hi);

/* The value of a symbol, when sizes become real. */
typedef struct tsr_binding {
    const tsr_extent *symbol;
    int64_t value;
} tsr_binding;
/* ECHECK when a symbol is unbound or out of its bounds, or a divisor is 0. */
tsr_status tsr_extent_eval(tsr_ctx *c, const tsr_extent *e, int n, const tsr_binding *b, int64_t *out);

/* ---- types --------------------------------------------------------------------------------------------------------
 * Interned: equal types are one pointer. Read the fields, never write them. */
typedef enum tsr_type_kind { TSR_TENSOR, TSR_TUPLE, TSR_TOKEN } tsr_type_kind;
typedef struct tsr_type {
    tsr_type_kind kind;
    tsr_dtype dtype;                         /* TENSOR */
    int rank;                                /* TENSOR: axes; TUPLE: items */
    const tsr_extent *const *extent;         /* TENSOR: (rank) */
    const struct tsr_type *const *item;      /* TUPLE: (rank) */
    uint64_t hash;
} tsr_type;
const tsr_type *tsr_type_tensor(tsr_ctx *c, tsr_dtype t, int rank, const tsr_extent *const *extent);
const tsr_type *tsr_type_dims(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim);
const tsr_type *tsr_type_tuple(tsr_ctx *c, int n, const tsr_type *const *item);
const tsr_type *tsr_type_token(tsr_ctx *c);
bool tsr_type_ints(const tsr_type *t, int64_t *dim /* (rank), may be NULL */); /* true iff every extent is a constant */

/* ---- scopes and lifetimes -----------------------------------------------------------------------------------------
 * Every node made while a scope is open is held by the innermost one; ending it drops those references. What something
 * else holds (a variable, another node, a fn, tsr_keep) lives on. A context opens with one scope that ends with it. */
tsr_scope *tsr_scope_begin(tsr_ctx *c);
void tsr_scope_end(tsr_ctx *c, tsr_scope *s); /* and any scope opened inside it and not ended */
tsr_node *tsr_keep(tsr_ctx *c, tsr_node *n);  /* one more reference, dropped by tsr_drop; n may be NULL */
void tsr_drop(tsr_ctx *c, tsr_node *n);

/* ---- nodes --------------------------------------------------------------------------------------------------------*/
const tsr_type *tsr_node_type(const tsr_node *n);
int tsr_node_rank(const tsr_node *n);
tsr_dtype tsr_node_dtype(const tsr_node *n);
const tsr_extent *tsr_node_extent(const tsr_node *n, int axis); /* axis < 0 counts from the end */
int64_t tsr_node_dim(const tsr_node *n, int axis);              /* -1 when symbolic */
bool tsr_is_poison(const tsr_node *n);                          /* true for the poison node and for NULL */
tsr_node *tsr_poison(tsr_ctx *c);

/* Leaves. Data is copied in; `count` elements of dtype t in row-major order (4-bit and block types: as stored). */
tsr_node *tsr_from(tsr_ctx *c, const tsr_type *t, const void *data);                  /* a value from the host */
tsr_node *tsr_tensor(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim, const void *data);
tsr_node *tsr_wrap(tsr_ctx *c, const tsr_type *t, tsr_buf *buf);                      /* shares the buffer */
/* a literal: part of the graph, interned by content */
tsr_node *tsr_const(tsr_ctx *c, const tsr_type *t, const void *data);
/* rank-0 literal of any dtype, rounded to t */
tsr_node *tsr_scalar_float(tsr_ctx *c, tsr_dtype t, double v);
tsr_node *tsr_scalar_int(tsr_ctx *c, tsr_dtype t, int64_t v);
tsr_node *tsr_full(tsr_ctx *c, const tsr_type *t, double v);                          /* scalar literal, broadcast */
/* one result of a many-result op */
tsr_node *tsr_item(tsr_ctx *c, tsr_node *tuple, int index);

/* ---- fns ----------------------------------------------------------------------------------------------------------
 * Between begin and end, builders add to the fn. A value from outside that is used inside becomes a captured parameter
 * (literals are copied in); a variable that is read becomes a parameter bound to it, one that is assigned becomes a
 * result bound to it. So an ended fn is closed. Fns nest (loop bodies). Where a fn is asked for and NULL is given (what
 * tsr_fn_end returns after an error), EINVAL is recorded unless an error is, and no result is touched. */
tsr_status tsr_fn_begin(tsr_ctx *c, const char *name);
tsr_node *tsr_param(tsr_ctx *c, const tsr_type *t, const char *name);      /* next explicit parameter of the open fn */
/* Element `element` of an explicit integer parameter of a fn that is open gives `symbol` its value when the fn runs
 * (at most 64 elements): for programs whose sizes are arguments. Saying it twice is saying it once. */
tsr_status tsr_fn_size(tsr_ctx *c, tsr_node *param, int64_t element, const tsr_extent *symbol);
/* NULL: error recorded, the open fn is dropped */
tsr_fn *tsr_fn_end(tsr_ctx *c, int n, tsr_node *const *result);
void tsr_fn_abort(tsr_ctx *c);                                             /* drop the innermost open fn */
tsr_fn *tsr_fn_keep(tsr_fn *f);
void tsr_fn_free(tsr_ctx *c, tsr_fn *f);                                   /* drops one reference; NULL is accepted */
const char *tsr_fn_name(const tsr_fn *f);
int tsr_fn_params(const tsr_fn *f);                                        /* explicit ones */
int tsr_fn_results(const tsr_fn *f);
const tsr_type *tsr_fn_param_type(const tsr_fn *f, int i);
const tsr_type *tsr_fn_result_type(const tsr_fn *f, int i);
/* Call f in the graph being built: out gets tsr_fn_results(f) nodes (poison on error). Captures are passed along, bound
 * variables read and assigned. tsr_fn_inline builds the body in place instead of a call node. */
void tsr_fn_call(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out);
void tsr_fn_inline(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out);
/* Text of a fn, one line a node; parseable by people. Freed with tsr_text_free (tile.h). */
char *tsr_fn_print(tsr_ctx *c, const tsr_fn *f);
/* Every invariant of a fn: types re-inferred and equal, sources before users, closed, attributes complete. */
tsr_status tsr_verify(tsr_ctx *c, const tsr_fn *f);

/* ---- variables ----------------------------------------------------------------------------------------------------*/
tsr_var *tsr_var_new(tsr_ctx *c, const char *name, tsr_node *initial); /* NULL on error */
tsr_var *tsr_var_keep(tsr_var *v);
void tsr_var_free(tsr_ctx *c, tsr_var *v);
const char *tsr_var_name(const tsr_var *v);
const tsr_type *tsr_var_type(const tsr_var *v);
tsr_node *tsr_var_read(tsr_ctx *c, tsr_var *v);                    /* inside an open fn: the fn's view of it */
tsr_status tsr_var_assign(tsr_ctx *c, tsr_var *v, tsr_node *value); /* same type; lazy like every value */

/* ---- buffers ------------------------------------------------------------------------------------------------------*/
tsr_buf *tsr_buf_new(tsr_ctx *c, size_t bytes);      /* host memory, 64-byte aligned, uninitialised; NULL: ENOMEM */
/* Memory of somebody else's (a mapped file), read only: give_back(user) is called when the last reference is
 * dropped. */
tsr_buf *tsr_buf_borrow(tsr_ctx *c, const void *p, size_t bytes, void (*give_back)(void *user), void *user);
tsr_buf *tsr_buf_keep(tsr_buf *b);
void tsr_buf_free(tsr_buf *b);                       /* drops one reference; NULL is accepted */
size_t tsr_buf_bytes(const tsr_buf *b);              /* at least what was asked for */
void *tsr_buf_data(tsr_buf *b);                      /* host address, or NULL for memory the host cannot see */

#ifdef __cplusplus
}
#endif
#endif
