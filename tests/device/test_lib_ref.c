/* test_lib_ref.c: every library kernel against the reference kernel of its op, on what the op's sampler makes: all
 * dtypes, attributes and sizes that it covers; and the same bits on 1, 2 and 7 threads. */
#include <math.h>

#include "device/cpu/lib.h"
#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"

extern const struct op_def op_SORT, op_TOP_K, op_RNG_BITS, op_FFT, op_CHOLESKY, op_TRIANGULAR_SOLVE, op_QR, op_SVD,
    op_EIGH, op_GATHER, op_SCATTER, op_SELECT_AND_SCATTER;

struct ints { int64_t v[96]; int n; };
static void put(struct ints *o, int64_t v) { o->v[o->n++] = v; }
static void put_list(struct ints *o, const tsr_node *n, enum attr_key key, bool length) {
    int count;
    const int64_t *v = node_ints(n, key, &count);
    if (length) put(o, count);
    for (int i = 0; !length && i < count; i++) put(o, v[i]);
}
static void gather_ints(const tsr_node *n, struct ints *o) {
    static const enum attr_key list[] = {ATTR_OFFSET_DIMS, ATTR_COLLAPSED_DIMS, ATTR_OPERAND_BATCHING,
        ATTR_INDEX_BATCHING,
                                         ATTR_INDEX_MAP};
    put(o, node_int(n, ATTR_INDEX_VECTOR_AXIS));
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < 5; i++) put_list(o, n, list[i], !pass);
}
static void sort_ints(const tsr_node *n, struct ints *o) {
    put(o, node_int(n, ATTR_AXIS)), put(o, node_int(n, ATTR_KEYS)), put(o, node_int(n, ATTR_DESCENDING));
    put(o, node_int(n, ATTR_MODE));
}
static void top_k_ints(const tsr_node *n, struct ints *o) { put(o, node_int(n, ATTR_K)); }
static void mode_ints(const tsr_node *n, struct ints *o) { put(o, node_int(n, ATTR_MODE)); }
static void fft_ints(const tsr_node *n, struct ints *o) {
    put(o, node_int(n, ATTR_MODE));
    put_list(o, n, ATTR_LENGTHS, true), put_list(o, n, ATTR_LENGTHS, false);
}
static void lower_ints(const tsr_node *n, struct ints *o) { put(o, node_int(n, ATTR_LOWER)); }
static void solve_ints(const tsr_node *n, struct ints *o) {
    put(o, node_int(n, ATTR_LEFT)), put(o, node_int(n, ATTR_LOWER)), put(o, node_int(n, ATTR_UNIT));
    put(o, node_int(n, ATTR_MODE));
}
static void no_ints(const tsr_node *n, struct ints *o) { (void)n, (void)o; }
static void scatter_ints(const tsr_node *n, struct ints *o) { put(o, node_int(n, ATTR_MODE)), gather_ints(n, o); }
static void select_ints(const tsr_node *n, struct ints *o) {
    static const enum attr_key list[] = {ATTR_WINDOW, ATTR_STRIDE, ATTR_PAD_LOW, ATTR_PAD_HIGH};
    put(o, node_int(n, ATTR_REDUCE) == TSR_REDUCE_MIN);
    for (int i = 0; i < 4; i++) put_list(o, n, list[i], false);
}

static const struct kernel {
    enum tsr_op op;
    const struct op_def *d;
    const char *name;
    void (*ints)(const tsr_node *n, struct ints *o);
} kernels[] = {
    {TSR_OP_SORT, &op_SORT, "sort", sort_ints},
    {TSR_OP_TOP_K, &op_TOP_K, "top_k", top_k_ints},
    {TSR_OP_RNG_BITS, &op_RNG_BITS, "rng_bits", mode_ints},
    {TSR_OP_FFT, &op_FFT, "fft", fft_ints},
    {TSR_OP_CHOLESKY, &op_CHOLESKY, "cholesky", lower_ints},
    {TSR_OP_TRIANGULAR_SOLVE, &op_TRIANGULAR_SOLVE, "triangular_solve", solve_ints},
    {TSR_OP_QR, &op_QR, "qr", no_ints},
    {TSR_OP_SVD, &op_SVD, "svd", no_ints},
    {TSR_OP_EIGH, &op_EIGH, "eigh", no_ints},
    {TSR_OP_GATHER, &op_GATHER, "gather", gather_ints},
    {TSR_OP_SCATTER, &op_SCATTER, "scatter", scatter_ints},
    {TSR_OP_SELECT_AND_SCATTER, &op_SELECT_AND_SCATTER, "select_and_scatter", select_ints},
};

enum { TENSORS = 16, POOLS = 3 };
struct check {
    tsr_ctx *c;
    const struct kernel *k;
    struct pool *pool[POOLS];
    const struct sample *s;
    int compared;
};

static bool same_value(const struct check *k, tsr_dtype t, struct ref_val a, struct ref_val b) {
    if (dtype_is_complex(t)) { /* a part may be the difference of products as great as the whole number */
        double size = hypot(b.re, b.im), atol = k->s->atol + (isfinite(size) ? k->s->rtol * size : 0);
        return test_close(a.re, b.re, k->s->rtol, atol) && test_close(a.im, b.im, k->s->rtol, atol);
    }
    return dtype_is_float(t) ? test_close(a.re, b.re, k->s->rtol, k->s->atol) : a.i == b.i && a.u == b.u;
}

static void compare(struct check *k, const struct ref_tensor *want, const uint8_t *got, int result) {
    struct ref_tensor t = *want;
    t.p = (uint8_t *)(uintptr_t)got;
    for (int64_t i = 0; i < t.count; i++) {
        struct ref_val a = ref_get(&t, i), b = ref_get(want, i);
        k->compared++;
        if (!CHECK_MSG(same_value(k, t.dtype, a, b), "result %d element %d: %g %g (%lld), reference %g %g (%lld)",
                       result,
                       (int)i, a.re, a.im, (long long)a.i, b.re, b.im, (long long)b.i))
            return;
    }
}

/* Runs the kernel with one pool; results go to memory of their own. */
static bool run_kernel(struct check *k, struct pool *pool, const tsr_node *n, int nin, const struct ref_tensor *in,
                       int nout, const struct ref_tensor *out, uint8_t **got) {
    struct lib_tensor t[TENSORS];
    struct ints ints = {.n = 0};
    for (int i = 0; i < nin; i++) t[i] = (struct lib_tensor){in[i].dtype, in[i].rank, in[i].dim, in[i].p};
    for (int i = 0; i < nout; i++) {
        got[i] = mem_alloc(k->c, ref_bytes(&out[i]) + 1);
        memset(got[i], 0x5a, ref_bytes(&out[i]));
        t[nin + i] = (struct lib_tensor){out[i].dtype, out[i].rank, out[i].dim, got[i]};
    }
    k->k->ints(n, &ints);
    return CHECK_EQ(lib_run(k->k->name, &(struct lib_call){k->c, pool, nin + nout, t, ints.n, ints.v}), TSR_OK);
}

static tsr_status on_node(void *user, const tsr_fn *f, const tsr_node *n, int nin, const struct ref_tensor *in,
                          int nout,
                          const struct ref_tensor *out) {
    struct check *k = user;
    uint8_t *got[POOLS][TENSORS] = {{NULL}};
    (void)f;
    if (n->op != k->k->op || !CHECK(nin + nout <= TENSORS)) return TSR_OK;
    for (int p = 0; p < POOLS; p++)
        if (!run_kernel(k, k->pool[p], n, nin, in, nout, out, got[p])) break;
    for (int i = 0; i < nout; i++) {
        if (got[POOLS - 1][i]) compare(k, &out[i], got[0][i], i);
        size_t bytes = ref_bytes(&out[i]);
        for (int p = 1; p < POOLS && got[p][i]; p++)
            CHECK_MSG(!memcmp(got[0][i], got[p][i], bytes), "result %d has other bits on more threads", i);
    }
    for (int p = 0; p < POOLS; p++)
        for (int i = 0; i < nout; i++) mem_free(k->c, got[p][i], got[p][i] ? ref_bytes(&out[i]) + 1 : 0);
    return TSR_OK;
}

static bool run_sample(struct check *k, tsr_dtype t, int size) {
    struct sample s;
    struct arena a;
    struct ref_tensor in[TENSORS], out[TENSORS];
    tsr_scope *scope = tsr_scope_begin(k->c);
    sample_init(&s, t, test_rng(), size);
    arena_init(&a, k->c);
    tsr_fn *f = k->k->d->sample(k->c, &s);
    k->s = &s;
    if (f && CHECK_EQ(sample_fill(&s, f, &a, in), TSR_OK))
        CHECK_EQ(interp_run(k->c, f, (int)f->param.n, in, &a, out, &(struct interp_opts){on_node, k, 0xa5}), TSR_OK);
    bool made = f != NULL;
    tsr_fn_free(k->c, f);
    arena_release(&a);
    tsr_scope_end(k->c, scope);
    return CHECK_OK(k->c) && made;
}

TEST(library_kernels_match_the_reference) {
    tsr_ctx *c = test_ctx();
    struct check k = {.c = c, .pool = {NULL, pool_open(c, 2), pool_open(c, 7)}};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        k.k = &kernels[i], k.compared = 0;
        for (int t = 0; t <= TSR_C128; t++) {
            if (!op_admits(k.k->d->domain, (tsr_dtype)t)) continue;
            test_case("%s %s", k.k->name, tsr_dtype_name((tsr_dtype)t));
            for (int round = 0; round < 14 && run_sample(&k, (tsr_dtype)t, round < 6 ? 0 : round < 13 ? 1 : 2); round++)
                continue;
        }
        CHECK_MSG(k.compared > 100, "only %d elements compared", k.compared);
    }
    pool_close(k.pool[1]), pool_close(k.pool[2]);
}
