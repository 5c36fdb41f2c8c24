/* op.h: the record of one op, and what its rules are written with. One op, one place: src/graph/op_<family>.c.
 *
 * A rule that does not exist is an explicit sentinel (no_vjp, no_vmap, ...), never NULL by accident. Rules build graph
 * with the builders of prim.h, so they work eagerly, inside fns, and under each other. */
#ifndef GRAPH_OP_H
#define GRAPH_OP_H

#include "base/rng.h"
#include "graph/node.h"
#include "tessera/prim.h"

/* How the compiler treats an op. */
enum op_class {
    OP_LEAF,     /* no computation: PARAM, CONST, VALUE, ITEM, STOP_GRADIENT, BARRIER, PARTITION_ID, ... */
    OP_ELEM,     /* one scalar function on every element */
    OP_MOVE,     /* index arithmetic: reads source elements at computed places, computes nothing */
    OP_REDUCING, /* REDUCE, ARGREDUCE, CUMULATE, REDUCE_WINDOW, SELECT_AND_SCATTER */
    OP_CONTRACT, /* DOT, CONV */
    OP_LIBRARY,  /* a named library kernel of the device */
    OP_CONTROL,  /* has fns as bodies */
    OP_EXTERN    /* user tile programs, host calls, collectives */
};

/* Gradient rule (reverse mode). gout[i] is the cotangent of result i (never NULL: zeros are built for it); write
 * to gsrc[j] the cotangent of source j, same type as the source, or leave it NULL for zero. want[j] is false when
 * nobody needs gsrc[j] (skip its work). Returns false with an error recorded when the op is not differentiable.
 * For complex: the cotangent convention of JAX (gradients are conjugated only where the formula says so; vjp of f
 * at x applied to g is the transpose, g^T J). */
typedef bool op_vjp(tsr_ctx *c, tsr_node *n, tsr_node *const *gout, const bool *want, tsr_node **gsrc);
/* Batching rule. src[j] has the batch axis in front (extent `size`) iff batched[j]; the result must have it in front.
 * For many-result ops the result is a tuple node, every item batched. */
typedef tsr_node *op_vmap(tsr_ctx *c, tsr_node *n, tsr_node *const *src, const bool *batched, const tsr_extent *size);

/* Reference kernel: obvious loops, double (or exact integer) accumulation, results rounded once to their dtype. */
struct ref_tensor {
    tsr_dtype dtype;
    int rank;
    int64_t dim[TSR_MAX_RANK], count;
    uint8_t *p; /* dense row-major, as stored */
};
struct ref_call {
    tsr_ctx *c;
    const tsr_node *node;
    int nin, nout;
    const struct ref_tensor *in;
    struct ref_tensor *out; /* allocated, poisoned */
    /* Bodies: run fn i of the node on inputs (control ops, reduce with a body). Results are allocated by the callee in
     * the arena of the run. */
    tsr_status (*body)(struct ref_call *r, int fn, int nin, const struct ref_tensor *in, struct ref_tensor *out);
    void *run;
    int64_t (*extent)(struct ref_call *r, const tsr_extent *e); /* value of an extent expression in this run */
};
typedef tsr_status op_ref(struct ref_call *r);

/* One element, whatever the dtype: floats in re; complex in re, im; signed in i; unsigned and bool in u. */
struct ref_val { double re, im; int64_t i; uint64_t u; };
struct ref_val ref_get(const struct ref_tensor *t, int64_t index);
void ref_set(struct ref_tensor *t, int64_t index, struct ref_val v); /* rounds (RNE) or wraps to the dtype */
/* StableHLO convert, before ref_set's rounding */
struct ref_val ref_convert(struct ref_val v, tsr_dtype from, tsr_dtype to);
/* t: dtype of the operands (of x for select) */
struct ref_val ref_scalar(tsr_scalar fn, tsr_dtype t, const struct ref_val *operand);
struct ref_val ref_reduce(tsr_reduce op, tsr_dtype t, struct ref_val a, struct ref_val b);
struct ref_val ref_reduce_identity(tsr_reduce op, tsr_dtype t);
/* Row-major index helpers. */
void ref_unravel(int rank, const int64_t *dim, int64_t flat, int64_t *index);
int64_t ref_ravel(int rank, const int64_t *dim, const int64_t *index);

/* Test sampler: build one random instance of the op as a fn of parameters. Called again and again with fresh random
 * state; it should over time cover every attribute combination, extents 0, 1, primes and (rarely) beyond a tile. */
struct sample {
    tsr_dtype dtype;      /* asked for; the sampler is only called for dtypes its record admits */
    struct rng *rng;
    int size;             /* 0 small (gradients by finite differences: <= 32 elements), 1 medium, 2 beyond a tile */
    double lo[8], hi[8];  /* out: range of each parameter's random data (preset to -2, 2; integers too) */
    bool distinct;        /* out: data must be pairwise distinct and apart (max, sort: no kink near a difference) */
    bool smooth;          /* out: twice differentiable in that range (preset true for floats) */
    double rtol, atol;    /* out: tolerance of a fast device against the reference, preset from the dtype */
};
typedef tsr_fn *op_sample(tsr_ctx *c, struct sample *s);
int64_t sample_int(struct sample *s, int64_t lo, int64_t hi);             /* inclusive */
void sample_dims(struct sample *s, int rank, int64_t *dim);               /* extents fit for s->size */
tsr_node *sample_param(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim);

struct op_def {
    const char *name, *formula, *spec; /* "reduce", "y[i] = op over axes of x", "StableHLO reduce" */
    enum op_class cls;
    int arity;            /* sources; -1: any number */
    const char *domain;   /* dtypes sampled: letters f i u b c as in scalar.h */
    const tsr_type *(*infer)(tsr_ctx *c, const struct draft *d); /* NULL with a teaching error recorded */
    op_vjp *vjp;
    op_vmap *vmap;
    op_ref *ref;
    op_sample *sample;
};
extern const struct op_def op_elem[TSR_SCALAR_COUNT];
const struct op_def *op_def(enum tsr_op op);
bool op_admits(const char *domain, tsr_dtype t); /* does a domain (letters of the kinds) name the kind of t? */

/* Sentinels. vjp_zero: piecewise constant, no gradient flows. *_none: an error, there is no such rule. *_higher: the
 * op has bodies, transform/ handles it. */
op_vjp vjp_zero, vjp_none, vjp_higher;
op_vmap vmap_none, vmap_higher;
tsr_status ref_by_interpreter(struct ref_call *r); /* leaves, calls and control: the interpreter itself runs them */
tsr_fn *sample_elsewhere(tsr_ctx *c, struct sample *s); /* tested by a test of its own, returns NULL */

/* For rules. */
tsr_node *rule_zeros(tsr_ctx *c, const tsr_type *t);
tsr_node *rule_full_like(tsr_ctx *c, const tsr_node *n, double v);
/* broadcast to a front batch axis unless batched */
tsr_node *rule_batch(tsr_ctx *c, tsr_node *x, bool batched, const tsr_extent *size);
/* Sum x back to the type it was broadcast from (user-level broadcasting). */
tsr_node *rule_unbroadcast(tsr_ctx *c, tsr_node *x, const tsr_type *to);

/* Composites: named fns with a body of primitives; one table, src/graph/composites.def. */
struct composite {
    const char *name, *formula;
    bool (*body)(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout);
    op_vjp *vjp; /* NULL: through the body */
};
/* The (cached) fn of a composite for these operand types and attributes, called on them. out: (results). */
void composite_call(tsr_ctx *c, const struct composite *d, int n, tsr_node *const *in, int nattr,
    const struct attr *attr, tsr_node **out, int nout);

#endif
