/* lower.h: a fn on its way to a plan: clusters, index algebra, and the writing of tile programs.
 *
 * The compiler rewrites the fn by passes (pass.c), gathers its nodes into clusters (cluster.c) and writes each cluster
 * as one step of the plan. Tile programs are written by PULLING: pull_value(k, node, index, guard) gives the tile of
 * `node` at `index`. Movement ops rewrite the index and cost nothing, elementwise ops pull their operands and apply
 * their function, a node that has memory becomes a load. So a cluster is nothing but the set of nodes between its roots
 * and the nodes that have memory.
 *
 * An index says, for each axis of a VIEW of the node (its extents, regrouped in row-major order), which element is
 * meant: an affine form c0 + sum coef * var, where a var is a scalar of the program (a program id, a loop counter, a
 * clamped start) or an axis of the present tile, and coefficients are extent expressions; plus, when it is not affine,
 * an i64 tile. All arithmetic on coefficients happens on extents while compiling, so that a program sees strides and
 * bounds as arguments and never a concrete size.
 *
 * A guard is a list of conditions 0 <= at < n under which the element exists: bounds of the domain, insides of a pad.
 * Loads turn guards into block bounds where they are rectangular, into masks where they are not. */
#ifndef COMPILE_LOWER_H
#define COMPILE_LOWER_H

#include "compile/plan.h"
#include "tile/tile.h"

/* ---- the fn ---- */

enum cluster_kind {
    CLUSTER_LOOP,     /* elementwise and movement over one domain: the extents of its roots */
    CLUSTER_ROW,      /* reductions of one domain along the same axes, with everything around them */
    CLUSTER_CONTRACT, /* one dot or conv, cheap movement before it, elementwise ops after it */
    CLUSTER_SCATTER,  /* one scatter of whole rows, elementwise ops before and after it */
    CLUSTER_SCAN,     /* one cumulate with what it reads */
    CLUSTER_STEP,     /* no program of ours: library, control flow, user kernels, the host */
    CLUSTER_ALIAS     /* no work: another name for bytes that are there */
};
struct cluster {
    enum cluster_kind kind;
    int hero;        /* node that gives the cluster its kind; ROW: one of its reductions; LOOP: -1 */
    VEC(int) node;   /* what it computes, latest first */
    VEC(int) root;   /* those of them that get memory */
};

struct low_node {
    const tsr_node *node;
    int *slot;    /* (results) -1: no memory yet */
    int uses;     /* of its value by other nodes and by results */
    int after;    /* a node that communicates: the one that must run before it; else -1 */
    int cluster;  /* that computes it; -1: none (a leaf, or computed wherever it is used) */
    bool stored;  /* it gets memory */
};

/* Clusters whose programs are written, by their forms (twin.c). */
struct twins {
    struct map map;
    int *number, *found; /* of a node in the form being made; its nodes */
    unsigned *mark, turn;
};

struct lower {
    tsr_ctx *c;
    const tsr_fn *f;
    const struct compile_opts *o;
    tsr_plan *plan;
    struct arena mem;
    int n;
    struct low_node *at; /* (n) in id order */
    VEC(struct cluster) cluster;
    struct twins twins;
    int frontier;        /* while clusters are made: nodes before it are not decided yet */
};
int lower_find(const struct lower *L, const tsr_node *n);                    /* place in `at`; TSR_BUG when absent */
/* slot of a value that has memory; makes slots of literals; < 0: error */
int lower_slot(struct lower *L, const tsr_node *n, int result);
int lower_new_slot(struct lower *L, const tsr_node *n, int result);          /* fresh TEMP for a result */
const char *lower_label(struct lower *L, const struct cluster *k);
static inline const tsr_node *lower_node(const struct lower *L, int i) { return L->at[i].node; }

/* ---- extents, NULL-safe shorthands (NULL: out of memory, recorded) ---- */
const tsr_extent *ext_add(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *ext_sub(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *ext_mul(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);
const tsr_extent *ext_ceildiv(tsr_ctx *c, const tsr_extent *a, int64_t b);
const tsr_extent *ext_int(tsr_ctx *c, int64_t v);
const tsr_extent *ext_product(tsr_ctx *c, int n, const tsr_extent *const *e);
/* its value when constant, else its upper bound when small, else `otherwise` */
int64_t ext_hint(const tsr_extent *e, int64_t otherwise);

/* ---- index algebra (index.c) ---- */
#define LOW_TERMS 24 /* an axis of a tensor of the greatest rank, cut and merged, needs as many */
#define LOW_AXIS(j) ((tsr_tv)(-2 - (j))) /* the var that is axis j of the present tile */
static inline bool low_is_axis(tsr_tv v) { return v <= -2; }
static inline int low_axis(tsr_tv v) { return -2 - v; }

struct term { tsr_tv var; const tsr_extent *coef; };
struct ix {
    const tsr_extent *c0;
    int n;
    struct term t[LOW_TERMS]; /* ordered by var, coefs never the constant 0 */
    tsr_tv tile;              /* TSR_TV_NONE, or an i64 tile to add */
};
struct index {
    int rank;
    const tsr_extent *dim[TSR_MAX_RANK];
    struct ix at[TSR_MAX_RANK];
};
/* 0 <= at < n (nonneg: the lower bound is known to hold). */
struct guard {
    const struct guard *outer;
    struct ix at;
    const tsr_extent *n;
    bool nonneg;
};

struct kern;
struct ix ix_const(tsr_ctx *c, int64_t v);
struct ix ix_ext(const tsr_extent *e);
struct ix ix_var(tsr_ctx *c, tsr_tv var);
struct ix ix_add(struct kern *k, const struct ix *a, const struct ix *b);
struct ix ix_add_ext(struct kern *k, const struct ix *a, const tsr_extent *e);
struct ix ix_scale(struct kern *k, const struct ix *a, const tsr_extent *e);
bool ix_equal(const struct ix *a, const struct ix *b);
bool index_equal(const struct index *a, const struct index *b);
unsigned ix_axes(const struct kern *k, const struct ix *a); /* bit j: depends on tile axis j */
unsigned index_axes(const struct kern *k, const struct index *x);
struct ix index_linear(struct kern *k, const struct index *x);
/* The same elements, as an index over other extents with the same product. */
struct index *index_view(struct kern *k, const struct index *x, int rank, const tsr_extent *const *dim);
struct index *index_new(struct kern *k, const tsr_type *t); /* over t's extents, all zero */
/* How two row-major lists of extents correspond: groups with equal products. Extents 1 belong to no group. */
struct regroup { int n; struct { int na, nb, a[TSR_MAX_RANK], b[TSR_MAX_RANK]; } g[TSR_MAX_RANK]; };
void regroup(tsr_ctx *c, int na, const tsr_extent *const *a, int nb, const tsr_extent *const *b, struct regroup *out);

/* ---- a program being written (kernel.c) ---- */
struct kern_arg {
    /* identity: read at the elements that the same instance writes, and nowhere else */
    bool buf, reads, writes, identity;
    int slot;
    const tsr_extent *extent;
    tsr_tv v;
};
struct memo { int node; bool whole; const struct index *x; const struct guard *g; int frame; tsr_tv v; };
struct frame { int rank, id; int64_t extent[TSR_TILE_MAX_RANK]; };

struct kern {
    struct lower *L;
    tsr_ctx *c;
    int cluster;
    tsr_tile *p;
    bool dry;             /* first writing: finds the arguments, everything else is thrown away */
    struct frame frame;   /* axes of the present tile */
    int frames, loads;
    VEC(struct kern_arg) arg;
    VEC(struct memo) memo;
    VEC(tsr_tv) derived;  /* scalars computed from other index scalars: guards on those concern them too */
    const struct ix *identity; /* linear index of the elements that this instance writes, or NULL */
    const tsr_extent *grid[3];
    struct arena mem;     /* of one writing */
};
typedef bool kern_body(struct kern *k, const void *arg);
/* Writes the program with `body` (which sets k->grid and ends with its stores) and adds the step. */
bool kern_write(struct lower *L, int cluster, kern_body *body, const void *arg);
/* What is built from now on serves n; gives who was served before, to be put back into k->p->origin. */
struct tile_origin kern_origin(struct kern *k, const tsr_node *n);
tsr_tv kern_ext(struct kern *k, const tsr_extent *e);            /* an extent as an i64 scalar */
tsr_tv kern_int(struct kern *k, int64_t v);                      /* an i64 constant */
/* scalar, or tile with extent 1 where it does not vary */
tsr_tv kern_ix(struct kern *k, const struct ix *a);
tsr_tv kern_scalar_part(struct kern *k, const struct ix *a);     /* without tile axes */
struct ix kern_scalar_ix(struct kern *k, tsr_tv v);              /* i64 scalar or tile as an index */
void kern_frame(struct kern *k, int rank, const int64_t *extent); /* begin a new tile space */
/* broadcast to the frame's extents on these axes, 1 elsewhere */
tsr_tv kern_full(struct kern *k, tsr_tv v, unsigned axes);
const struct guard *kern_guard(struct kern *k, const struct guard *outer, const struct ix *at, const tsr_extent *n,
    bool nonneg);
tsr_tv kern_holds(struct kern *k, const struct guard *g);        /* the condition of g alone, as bool */
tsr_tv kern_load(struct kern *k, int slot, const struct index *x, const struct guard *g, tsr_tv other);
void kern_store(struct kern *k, int slot, const struct index *x, const struct guard *g, tsr_tv v);
size_t kern_mark(struct kern *k);             /* memo before a region */
void kern_release(struct kern *k, size_t mark); /* what was made since is not visible any more */
/* Program ids for a grid over blocks: v[i] = which block of axis i, innermost axis on grid axis 0. */
void kern_grid(struct kern *k, int n, const tsr_extent *const *blocks, tsr_tv *v);

/* ---- clusters that are alike (twin.c) ---- */
struct twin;
bool twins_open(struct lower *L); /* before the first cluster; false: no memory, recorded */
void twins_close(struct lower *L);
struct twin *twin_form(struct lower *L, int cluster); /* NULL: no memory (recorded) */
const struct twin *twin_find(const struct lower *L, const struct twin *form); /* NULL: this is the first of its form */
bool twin_keep(struct lower *L, struct twin *form);   /* the plan's last step was written for it */
/* Adds the step of a cluster that is like an earlier one. */
bool twin_step(struct lower *L, int cluster, const struct twin *form, const struct twin *of);

/* ---- pulling (pull.c, pull_move.c, pull_reduce.c) ---- */
tsr_tv pull_value(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g);
/* whole: computed once for all its uses, whatever guards they have. */
void pull_remember_whole(struct kern *k, const tsr_node *n, const struct index *x, tsr_tv v);
void pull_remember(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g, tsr_tv v);
tsr_tv pull_masked(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g,
    const struct guard *edge, tsr_tv other);
/* Conditions. within: adds 0 <= at < n to the guard and to the condition (NONE: true). between: the place between
 * interior padding, where only multiples of `step` hold an element; elements between are read in bounds and their
 * values not used. where: n where cond holds, else other; guarded: the guard says no more and no less than cond. */
void pull_within(struct kern *k, const struct guard **g, tsr_tv *cond, const struct ix *at, const tsr_extent *n);
struct ix pull_between(struct kern *k, const struct ix *at, int64_t step, tsr_tv *cond);
tsr_tv pull_where(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g, tsr_tv cond,
    bool guarded, tsr_tv other);
typedef tsr_tv pull_rule(struct kern *k, const tsr_node *n, const struct index *x, const struct guard *g);
pull_rule *pull_rule_of(enum tsr_op op);
tsr_tv pull_literal(struct kern *k, const tsr_node *n); /* splat CONST as a scalar of the program, or NONE */
bool literal_is_splat(const tsr_node *n);
pull_rule pull_broadcast, pull_reshape, pull_transpose, pull_slice, pull_pad, pull_concat, pull_reverse,
    pull_dynamic_slice,
    pull_dynamic_update_slice, pull_gather, pull_iota, pull_reduce, pull_argreduce, pull_reduce_window;
tsr_dtype dtype_wide(tsr_dtype t); /* i4 -> i8, u4 -> u8, others themselves */
tsr_tv pull_cast(struct kern *k, tsr_dtype t, tsr_tv v);
tsr_tv reduce_identity(struct kern *k, tsr_reduce op, tsr_dtype t);
tsr_dtype reduce_dtype(tsr_dtype t); /* what elements of t accumulate in */
tsr_tv reduce_start(struct kern *k, tsr_reduce op, tsr_dtype t, unsigned axes); /* an accumulator with nothing in it */
tsr_tv reduce_combine(struct kern *k, tsr_reduce op, tsr_tv a, tsr_tv b);

/* ---- domains (domain.c) ---- */
struct domain {
    int rank;
    const tsr_extent *dim[TSR_MAX_RANK * 2];
    bool cut[TSR_MAX_RANK * 2]; /* axis i may not be merged with axis i + 1 */
};
/* Finds which neighbouring axes of the domain no access tells apart. axis[i]: domain axis of axis i of node n, or -1.
 * */
void domain_scan(struct lower *L, struct domain *d, int cluster, const tsr_node *n, const int *axis);

/* Whether every root can be computed over the cluster's domain: each reduction, contraction or window loop in it is met
 * at the one index at which it is computed, and no index needs division. */
bool domain_fits(struct lower *L, int cluster);
/* Which domain axis each axis of a root is, for a cluster of rows: the root has the domain's extents or those that are
 * kept. False: it has neither. */
bool domain_row_axes(const struct lower *L, int cluster, const tsr_node *root, int *axis);

/* The domain's axes merged where no cut stands between them. */
struct groups {
    int n, of[TSR_MAX_RANK * 2]; /* group of each axis; -1: extent 1 */
    const tsr_extent *dim[TSR_MAX_RANK * 2];
};
void domain_groups(tsr_ctx *c, const struct domain *d, struct groups *g);
/* Index of a tensor of type t whose axis i is domain axis axis[i] (-1: none), given an index for each group. */
struct index *domain_index(struct kern *k, const tsr_type *t, const int *axis, const struct groups *g,
    const struct ix *at);

/* ---- tile sizes (tune.c) ---- */
/* Tile extents for n axes, outermost first; 1: no tile axis. At most 4 tile axes. live: tiles alive at a time, of
 * `bytes` an element. */
const struct tile_budget *tune_budget(const struct lower *L); /* the device's, or the host's */
void tune_loop(const struct tile_budget *b, int n, const tsr_extent *const *dim, int bytes, int live, int64_t *tile);
int64_t tune_round(const tsr_extent *e, int64_t most); /* least power of two >= the extent, or `most` */
/* At most `most` of an extent: an even part of a small one (28: all 28, two of 14, four of 7), rounded up to eighths of
 * a power of two so that neighbouring shapes share a program; a power of two of others. */
int64_t tune_divide(const tsr_extent *e, int64_t most);

/* ---- lowering of each kind of cluster ---- */
bool lower_loop(struct lower *L, int cluster);
bool lower_row(struct lower *L, int cluster);
bool lower_contract(struct lower *L, int cluster);
bool lower_scatter(struct lower *L, int cluster);
bool scatter_is_rows(tsr_ctx *c, const tsr_node *n); /* n is a scatter that lower_scatter takes */
bool lower_scan(struct lower *L, int cluster);
bool lower_step(struct lower *L, int cluster);   /* library kernels, control flow, user kernels, host calls */
bool lower_alias(struct lower *L, int cluster);  /* another name for the same bytes */
bool lower_control(struct lower *L, int node);
bool lower_lib(struct lower *L, int node);

/* ---- passes: fn -> fn, NULL with an error recorded ---- */
/* the last pass: f -> plan; NULL: error recorded */
tsr_plan *lower_fn(tsr_ctx *c, tsr_fn *f, const struct compile_opts *o);
tsr_fn *pass_simplify(tsr_ctx *c, const tsr_fn *f);
tsr_fn *pass_decompose(tsr_ctx *c, const tsr_fn *f);
tsr_fn *pass_pool(tsr_ctx *c, const tsr_fn *f);
/* Rebuilds f, all its parameters explicit and all its results in order, with each node made by `rule` over its new
 * sources (NULL: the node as it is). */
typedef tsr_node *rewrite_rule(tsr_ctx *c, const tsr_node *n, tsr_node *const *src);
tsr_fn *pass_rewrite(tsr_ctx *c, const tsr_fn *f, rewrite_rule *rule);
rewrite_rule decompose_reduce;
bool cluster_nodes(struct lower *L); /* decides what gets memory, and which cluster computes what */

#endif
