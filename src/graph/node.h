/* node.h: the inside of nodes, attributes, fns, variables and buffers.
 *
 * Invariants
 *   - Nodes are immutable after node_make, with one exception: evaluation gives an eager node its buffers and drops its
 *     sources (node_set_value); it then leaves the intern table.
 *   - id grows with creation, a source is always older than its user: id order is a
 *     topological order, passes are loops.
 *   - owner is the fn that was open when the node was made (NULL: eager). A source always has the same owner as its
 *     user: node_make turns a foreign source into a captured parameter (literals, iotas and the like are copied in
 *     instead). Nodes are interned per owner, so evaluating an eager node never changes a fn.
 *   - PARAM and VALUE nodes are never interned, nor host calls and what communicates. */
#ifndef GRAPH_NODE_H
#define GRAPH_NODE_H

#include "base/map.h"
#include "base/vec.h"
#include "tessera/graph.h"
#include "tessera/scalar.h"
#include "tessera/tile.h"

/* The op enum: the elementwise functions of scalar.h first (op < TSR_SCALAR_COUNT is its tsr_scalar), then ops.def. */
enum tsr_op {
#define X(name, text, arity, result, domain, formula) TSR_OP_##name,
    TSR_SCALAR_LIST(X)
#undef X
#define OP(name, family) TSR_OP_##name,
#include "graph/ops.def"
#undef OP
    TSR_OP_COUNT
};

enum attr_kind { ATTR_KIND_INT, ATTR_KIND_INTS, ATTR_KIND_EXTS, ATTR_KIND_FLOAT, ATTR_KIND_STR, ATTR_KIND_DTYPE,
    ATTR_KIND_BYTES, ATTR_KIND_TILE, ATTR_KIND_HOST };
enum attr_key {
#define ATTR(key, kind, name, help) ATTR_##key,
#include "graph/attrs.def"
#undef ATTR
    ATTR_COUNT
};
const char *attr_name(enum attr_key k);
enum attr_kind attr_kind(enum attr_key k);

/* A callback that computes on the host: in[i]/out[i] are dense row-major data; returns
 * 0, or non-zero to fail the run. */
typedef int tsr_host_fn(void *user, int nin, const void *const *in, int nout, void *const *out);
struct host_call { tsr_host_fn *fn; void *user; };

struct attr {
    enum attr_key key;
    size_t n; /* INTS, EXTS: count; BYTES: bytes */
    union {
        int64_t i;
        double f;
        const int64_t *ints;
        const tsr_extent *const *exts;
        const char *str;
        tsr_dtype dtype;
        const void *bytes;
        tsr_tile *tile;
        struct host_call host;
    };
};
static inline struct attr attr_int(enum attr_key k, int64_t v) { return (struct attr){.key = k, .i = v}; }
static inline struct attr attr_ints(enum attr_key k, size_t n, const int64_t *v) {
    return (struct attr){.key = k, .n = n, .ints = v};
}
static inline struct attr attr_exts(enum attr_key k, size_t n, const tsr_extent *const *v) {
    return (struct attr){.key = k, .n = n, .exts = v};
}
static inline struct attr attr_float(enum attr_key k, double v) { return (struct attr){.key = k, .f = v}; }
static inline struct attr attr_str(enum attr_key k, const char *s) { return (struct attr){.key = k, .str = s}; }
static inline struct attr attr_dtype(enum attr_key k, tsr_dtype t) { return (struct attr){.key = k, .dtype = t}; }
static inline struct attr attr_bytes(enum attr_key k, size_t n, const void *p) {
    return (struct attr){.key = k, .n = n, .bytes = p};
}

enum { POS_NONE = -1, POS_LISTED = -2 };
struct tsr_node {
    uint64_t id, hash, scope; /* scope: serial of the last scope that took hold of it */
    uint32_t refs;
    /* index in owner->node once the owner has ended; before, and for eager nodes, POS_NONE or a pass's scratch */
    int32_t pos;
    uint16_t op; /* enum tsr_op */
    bool interned, computed, poison; /* computed: was evaluated, its sources are gone */
    const tsr_type *type;
    tsr_fn *owner;      /* not counted: the fn holds its nodes */
    int nsrc, nattr, nfn;
    tsr_node **src;     /* (nsrc) counted */
    struct attr *attr;  /* (nattr) sorted by key; owned deep copies */
    tsr_fn **fn;        /* (nfn) bodies, counted */
    tsr_buf **buf;      /* NULL, or the value: one buffer, or one for each item of a tuple */
    tsr_node *dying;    /* link in the list of nodes being freed */
    size_t bytes;       /* of this allocation (node, arrays and attribute data are one block) */
};

/* Attributes of a node. The node must carry the key with that kind (else TSR_BUG), except node_attr (NULL when absent)
 * and node_int_or. */
const struct attr *node_attr(const tsr_node *n, enum attr_key k);
int64_t node_int(const tsr_node *n, enum attr_key k);
int64_t node_int_or(const tsr_node *n, enum attr_key k, int64_t otherwise);
const int64_t *node_ints(const tsr_node *n, enum attr_key k, int *count /* may be NULL */);
const tsr_extent *const *node_exts(const tsr_node *n, enum attr_key k, int *count);

/* What a node is to be made of. want: the result type for ops whose type does not follow from the rest (BROADCAST,
 * RESHAPE, IOTA, BITCAST, PARAM, VALUE, CONST, RNG_BITS, HOST_CALL, KERNEL, ...); other rules ignore it. */
struct draft {
    enum tsr_op op;
    int nsrc, nattr, nfn;
    tsr_node *const *src;
    const struct attr *attr; /* any order */
    tsr_fn *const *fn;
    const tsr_type *want;
};
/* Infer the type, intern, hold in the innermost scope. Poison when a source is poison or the rule refuses. */
tsr_node *node_make(tsr_ctx *c, const struct draft *d);
/* The same op and attributes over other sources (want = n's own type). */
tsr_node *node_rebuild(tsr_ctx *c, const tsr_node *n, tsr_node *const *src);
/* Does a node of this op with these bodies speak to other participants? Such nodes keep their order (comm.h). */
bool node_communicates(enum tsr_op op, int nfn, tsr_fn *const *fn);
void node_ref(tsr_node *n);
void node_unref(tsr_ctx *c, tsr_node *n); /* never recursive: deep graphs are freed by a loop */
/* Give an eager node its value and drop its sources; buf is (1) or (items), references are taken over. */
void node_set_value_take(tsr_ctx *c, tsr_node *n, tsr_buf **buf);
static inline int type_results(const tsr_type *t) { return t->kind == TSR_TUPLE ? t->rank : 1; }
static inline const tsr_type *type_result(const tsr_type *t, int i) { return t->kind == TSR_TUPLE ? t->item[i] : t; }
bool op_is_elem(enum tsr_op op); /* op < TSR_SCALAR_COUNT */
const char *op_name(enum tsr_op op);

/* ---- fns ---- */
enum param_kind { PARAM_EXPLICIT, PARAM_CAPTURE, PARAM_VAR };
struct fn_param {
    enum param_kind kind;
    tsr_node *node;    /* the PARAM node, owner = this fn */
    tsr_node *outside; /* CAPTURE: the value outside (counted; owner = the enclosing fn or eager) */
    tsr_var *var;      /* VAR: counted */
};
struct fn_check { const tsr_extent *a, *b; char *why; }; /* a == b must hold when sizes are bound */
struct fn_size { int param; int64_t element; const tsr_extent *symbol; }; /* the argument's value is the symbol's */
struct fn_derived { char *key; tsr_fn *fn; }; /* key says how it was made; both owned */
struct tsr_fn {
    uint32_t refs;
    tsr_ctx *c;
    char *name;
    bool open;
    bool communicates;           /* a node of it, or of a body inside, speaks to other participants (set at end) */
    tsr_fn *outer;               /* while open: the enclosing open fn */
    uint64_t hash;               /* structural: equal for equal graphs whatever the ids and names (set at end) */
    VEC(struct fn_param) param;  /* explicit first, then captures and variables in order of first use */
    VEC(tsr_node *) result;      /* explicit first (nresult), then one for each entry of assign; counted */
    int nparam, nresult;         /* explicit ones */
    VEC(tsr_var *) assign;       /* variables assigned, in order of first assignment; counted */
    VEC(tsr_node *) node;        /* after end: every node reachable from the results, in id order; counted */
    VEC(struct fn_check) check;
    VEC(struct fn_size) size;
    const struct composite *composite; /* NULL, or which composite this is the body of */
    struct attr *attr; int nattr; size_t attr_bytes; /* a composite's attributes, owned, sorted by key */
    tsr_fn *vjp;                 /* NULL, or a custom gradient: (params..., d results...) -> (d params...) ; counted */
    VEC(struct fn_derived) derived; /* what transformations made from it, kept for the next caller */
    struct map intern;           /* while open */
};
enum { FN_SIZE_ELEMENTS = 64 }; /* of a parameter that gives sizes */
/* Element i of n integers of dtype t; false: there is no such element. */
bool fn_size_value(tsr_dtype t, const void *p, int64_t n, int64_t i, int64_t *out);
tsr_fn *fn_open_now(tsr_ctx *c); /* innermost open fn, NULL when eager */
/* The open fn f's own node for a value of an enclosing graph (f == NULL: the value must be eager). Poison on error. */
tsr_node *fn_capture(tsr_ctx *c, tsr_fn *f, tsr_node *n);
/* Build the body of f in place with the given values for ALL its parameters (explicit, captures, variables); writes all
 * result.n results (explicit, then assigned). map (may be NULL) receives the new node of f->node.v[i] at [i]. */
void fn_splice(tsr_ctx *c, const tsr_fn *f, tsr_node *const *arg, tsr_node **out, tsr_node **map);
/* How a variable looks from inside the open fn f. */
tsr_node *fn_var_read(tsr_ctx *c, tsr_fn *f, tsr_var *v);
tsr_status var_rename(tsr_ctx *c, tsr_var *v, const char *name);
tsr_status fn_var_assign(tsr_ctx *c, tsr_fn *f, tsr_var *v, tsr_node *value);
uint64_t node_hash_at(const tsr_node *n); /* structural: sources by their pos */
/* f is NULL: EINVAL is recorded, with what was asked of it, unless the error that made it so is. */
bool fn_missing(tsr_ctx *c, const tsr_fn *f, const char *what);
/* Values, in the graph being built now, for the parameters past the explicit ones: captures and variable reads. */
void fn_implicit_args(tsr_ctx *c, const tsr_fn *f, tsr_node **arg /* (param.n - nparam) */);

/* ---- variables and buffers ---- */
struct tsr_var {
    uint32_t refs;
    tsr_ctx *c;
    char *name;
    const tsr_type *type;
    tsr_node *value; /* eager node, counted */
};
struct tsr_buf {
    uint32_t refs; /* atomic */
    tsr_ctx *c;
    void *p;       /* host address, or a device's handle */
    size_t bytes;
    void *device;  /* NULL: host memory of the context's allocator */
    void *mirror;  /* host memory, no view: NULL, or the handle of the device's copy of these bytes */
    void (*drop_mirror)(tsr_buf *b); /* gives the copy back */
    void (*release)(tsr_buf *b); /* gives the memory back */
    tsr_buf *root; /* a view: counted */
    void (*give_back)(void *user); /* borrowed bytes: tells their owner */
    void *user;
};
tsr_buf *buf_view(tsr_ctx *c, tsr_buf *root, size_t offset, size_t bytes);

/* ---- extents and types ---- */
enum extent_op { EXT_INT, EXT_SYMBOL, EXT_ADD, EXT_MUL, EXT_FLOORDIV, EXT_CEILDIV, EXT_MOD, EXT_MIN, EXT_MAX };
struct tsr_extent {
    enum extent_op op;
    int n;                         /* operands */
    int64_t value;                 /* INT */
    int64_t lo, hi;                /* proven bounds */
    const char *name;              /* SYMBOL */
    const tsr_extent *const *arg;  /* (n) */
    uint64_t hash;
    uint32_t serial, depth;        /* creation order: the canonical order of operands; nesting */
};
/* Must a equal b? True when proved or recorded as a check of the open fn; false (error recorded from the format that
 * follows) when they cannot. The text's arguments are evaluated only where there is something to say. */
#define extent_require_equal(c, a, b, ...) ((a) == (b) || extent_require(c, a, b, __VA_ARGS__))
bool extent_require(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b, const char *fmt, ...) TSR_PRINTF(4, 5);
bool extent_is(const tsr_extent *e, int64_t v);
void extent_print(struct str *s, const tsr_extent *e);
void type_print(struct str *s, const tsr_type *t); /* f32[B, 3, 2*T + 1] */
/* For messages: text in a ring of 16 buffers inside the context, valid until 16 later calls. */
const char *type_text(tsr_ctx *c, const tsr_type *t);
const char *extent_text(tsr_ctx *c, const tsr_extent *e);
const tsr_extent *type_elements(tsr_ctx *c, const tsr_type *t); /* product of extents */
/* constant extents only; false otherwise or on overflow */
bool type_bytes(const tsr_type *t, size_t *out);
const tsr_type *type_with_dtype(tsr_ctx *c, const tsr_type *t, tsr_dtype d);
const tsr_type *type_with_extent(tsr_ctx *c, const tsr_type *t, int axis, const tsr_extent *e);
const tsr_type *type_drop_axis(tsr_ctx *c, const tsr_type *t, int axis);
const tsr_type *type_insert_axis(tsr_ctx *c, const tsr_type *t, int axis, const tsr_extent *e);
bool dtype_is_float(tsr_dtype t); /* and _int (signed or unsigned, 4 to 64 bits), _complex: by kind */
bool dtype_is_int(tsr_dtype t);
bool dtype_is_complex(tsr_dtype t);
tsr_dtype dtype_real(tsr_dtype t); /* c64 -> f32, c128 -> f64, others themselves */
tsr_dtype dtype_accumulator(tsr_dtype t); /* f16, bf16, f8 -> f32; i4, i8, i16 -> i32 ...; others themselves */

#endif
