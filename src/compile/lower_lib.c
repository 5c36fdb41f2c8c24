/* lower_lib.c: ops that are no tile programs, as calls of named library kernels of the device.
 *
 * One table: the op, the kernel's name, and how its attributes become the integers that the kernel documents. Operands
 * are the op's sources, then its results. */
#include "compile/lower.h"

#include <string.h>

struct ints { int64_t v[8 * TSR_MAX_RANK]; int n; };

static void put(struct ints *o, int64_t v) { o->v[o->n++] = v; }

static void put_list(struct ints *o, const tsr_node *n, enum attr_key key) {
    int count;
    const int64_t *v = node_ints(n, key, &count);
    for (int i = 0; i < count; i++) put(o, v[i]);
}

static int list_length(const tsr_node *n, enum attr_key key) {
    int count;
    node_ints(n, key, &count);
    return count;
}

typedef void ints_rule(const tsr_node *n, struct ints *o);

static void no_ints(const tsr_node *n, struct ints *o) { (void)n, (void)o; }

static void sort_ints(const tsr_node *n, struct ints *o) {
    put(o, node_int(n, ATTR_AXIS)), put(o, node_int(n, ATTR_KEYS)), put(o, node_int(n, ATTR_DESCENDING));
    put(o, node_int_or(n, ATTR_MODE, 0));
}

static void top_k_ints(const tsr_node *n, struct ints *o) { put(o, node_int(n, ATTR_K)); }
static void mode_ints(const tsr_node *n, struct ints *o) { put(o, node_int(n, ATTR_MODE)); }
static void lower_ints(const tsr_node *n, struct ints *o) { put(o, node_int(n, ATTR_LOWER)); }

static void fft_ints(const tsr_node *n, struct ints *o) {
    put(o, node_int(n, ATTR_MODE)), put(o, list_length(n, ATTR_LENGTHS));
    put_list(o, n, ATTR_LENGTHS);
}

static void solve_ints(const tsr_node *n, struct ints *o) {
    put(o, node_int(n, ATTR_LEFT)), put(o, node_int(n, ATTR_LOWER)), put(o, node_int(n, ATTR_UNIT)),
        put(o, node_int(n, ATTR_MODE));
}

static void scatter_ints(const tsr_node *n, struct ints *o) {
    static const enum attr_key list[] = {ATTR_OFFSET_DIMS, ATTR_COLLAPSED_DIMS, ATTR_OPERAND_BATCHING,
        ATTR_INDEX_BATCHING, ATTR_INDEX_MAP};
    put(o, node_int(n, ATTR_MODE)), put(o, node_int(n, ATTR_INDEX_VECTOR_AXIS));
    for (int i = 0; i < 5; i++) put(o, list_length(n, list[i]));
    for (int i = 0; i < 5; i++) put_list(o, n, list[i]);
}

static void select_ints(const tsr_node *n, struct ints *o) {
    put(o, node_int(n, ATTR_REDUCE) == TSR_REDUCE_MIN);
    put_list(o, n, ATTR_WINDOW), put_list(o, n, ATTR_STRIDE), put_list(o, n, ATTR_PAD_LOW), put_list(o, n,
        ATTR_PAD_HIGH);
}

static const struct lib_op { enum tsr_op op; const char *name; ints_rule *ints; } table[] = {
    {TSR_OP_SORT, "sort", sort_ints},
    {TSR_OP_TOP_K, "top_k", top_k_ints},
    {TSR_OP_RNG_BITS, "rng_bits", mode_ints},
    {TSR_OP_FFT, "fft", fft_ints},
    {TSR_OP_CHOLESKY, "cholesky", lower_ints},
    {TSR_OP_TRIANGULAR_SOLVE, "triangular_solve", solve_ints},
    {TSR_OP_QR, "qr", no_ints},
    {TSR_OP_SVD, "svd", no_ints},
    {TSR_OP_EIGH, "eigh", no_ints},
    {TSR_OP_SCATTER, "scatter", scatter_ints},
    {TSR_OP_SELECT_AND_SCATTER, "select_and_scatter", select_ints},
};

bool lower_lib(struct lower *L, int node) {
    const tsr_node *n = lower_node(L, node);
    const struct lib_op *op = NULL;
    struct ints ints = {.n = 0};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].op == n->op) op = &table[i];
    if (!op) {
        err_set(L->c, TSR_EUNSUPPORTED, "%s has no kernel: it cannot be compiled", op_name((enum tsr_op)n->op));
        return false;
    }
    op->ints(n, &ints);
    int results = type_results(n->type), from[TSR_MAX_RANK * 4];
    if (n->nsrc > TSR_MAX_RANK * 4)
        return err_set(L->c, TSR_EUNSUPPORTED, "%s with %d operands; at most %d can be compiled", op->name, n->nsrc,
            TSR_MAX_RANK * 4), false;
    for (int i = 0; i < n->nsrc; i++)
        if ((from[i] = lower_slot(L, n->src[i], 0)) < 0) return false;
    struct plan_step *s = plan_step_add(L->plan, STEP_LIB, op->name, n->nsrc + results);
    if (!s) return false;
    for (int i = 0; i < n->nsrc; i++) s->arg[i] = (struct plan_arg){.slot = from[i], .reads = true};
    for (int i = 0; i < results; i++) s->arg[n->nsrc + i] = (struct plan_arg){.slot = lower_new_slot(L, n, i),
        .writes = true};
    for (int i = 0; i < results; i++)
        if (s->arg[n->nsrc + i].slot < 0) return false;
    s->node = n->id;
    s->lib = op->name;
    s->nints = ints.n;
    if (!(s->ints = arena_array(&L->plan->mem, (size_t)ints.n + 1, sizeof *s->ints))) return false;
    memcpy(s->ints, ints.v, (size_t)ints.n * sizeof *s->ints);
    return true;
}
