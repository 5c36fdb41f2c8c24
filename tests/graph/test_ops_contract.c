/* test_ops_contract.c: dot_general and convolution against their definitions, their gradients (convolutions and dots
 * again), batching, quantised weights, refusals and symbolic extents. The oracle of dot walks over the full index
 * space of all labels; that of convolution pushes every input element through every kernel element to the result it
 * reaches. */
#include "op_check.h"

extern const struct op_def op_DOT, op_CONV; /* links them in while the table of ops.c is weak */
__attribute__((used)) static const struct op_def *const records[] = {&op_DOT, &op_CONV};

/* ---- oracles ---------------------------------------------------------------------------------------------------- */

static val as_result(const struct ref_tensor *x, int64_t at, tsr_dtype t) {
    val v = ref_get(x, at);
    if (!dtype_is_int(t)) return v;
    int64_t i = tsr_dtype_of(x->dtype)->kind == TSR_KIND_INT ? v.i : (int64_t)v.u;
    return (val){.i = i, .u = (uint64_t)i};
}

/* Every pair of an element of a and one of b whose batch and contracted coordinates agree meets in one result. */
static void oracle_dot(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *a = &in[0], *b = &in[1];
    int nb, nc;
    const int64_t *lb = node_ints(n, ATTR_LHS_BATCH, &nb), *rb = node_ints(n, ATTR_RHS_BATCH, NULL);
    const int64_t *lc = node_ints(n, ATTR_LHS_CONTRACT, &nc), *rc = node_ints(n, ATTR_RHS_CONTRACT, NULL);
    for (int64_t i = 0; i < y->count; i++) out[i] = (val){0};
    for (int64_t i = 0, ai[TSR_MAX_RANK]; i < a->count; i++) {
        ref_unravel(a->rank, a->dim, i, ai);
        for (int64_t j = 0, bi[TSR_MAX_RANK], to[TSR_MAX_RANK]; j < b->count; j++) {
            bool meet = true, used_a[TSR_MAX_RANK] = {0}, used_b[TSR_MAX_RANK] = {0};
            int m = 0;
            ref_unravel(b->rank, b->dim, j, bi);
            for (int k = 0; k < nb; k++)
                meet = meet && ai[lb[k]] == bi[rb[k]], used_a[lb[k]] = used_b[rb[k]] = true, to[m++] = ai[lb[k]];
            for (int k = 0; k < nc; k++) meet = meet && ai[lc[k]] == bi[rc[k]], used_a[lc[k]] = used_b[rc[k]] = true;
            if (!meet) continue;
            for (int k = 0; k < a->rank; k++)
                if (!used_a[k]) to[m++] = ai[k];
            for (int k = 0; k < b->rank; k++)
                if (!used_b[k]) to[m++] = bi[k];
            int64_t at = ref_ravel(y->rank, y->dim, to);
            out[at] = val_add(y->dtype, out[at],
                              val_mul(y->dtype, as_result(a, i, y->dtype), as_result(b, j, y->dtype)));
        }
    }
}

/* The result position along spatial axis s that input index i reaches through kernel index k, or -1. */
static int64_t reached(const tsr_node *n, int s, int64_t i, int64_t k, int64_t kernel, int64_t results) {
    if (node_ints(n, ATTR_WINDOW_REVERSE, NULL)[s]) k = kernel - 1 - k;
    int64_t base = node_ints(n, ATTR_BASE_DILATION, NULL)[s], dilation = node_ints(n, ATTR_WINDOW_DILATION, NULL)[s];
    int64_t at = i * base + node_ints(n, ATTR_PAD_LOW, NULL)[s] - k * dilation;
    int64_t stride = node_ints(n, ATTR_STRIDE, NULL)[s];
    return at < 0 || at % stride || at / stride >= results ? -1 : at / stride;
}

static void oracle_conv(const tsr_node *n, const struct ref_tensor *in, const struct ref_tensor *y, val *out) {
    const struct ref_tensor *x = &in[0], *w = &in[1];
    const int64_t *ls = node_ints(n, ATTR_LHS_SPEC, NULL), *rs = node_ints(n, ATTR_RHS_SPEC, NULL),
        *os = node_ints(n, ATTR_OUT_SPEC, NULL);
    int64_t fg = node_int(n, ATTR_FEATURE_GROUPS), bg = node_int(n, ATTR_BATCH_GROUPS);
    int64_t inputs = w->dim[rs[1]], outputs = w->dim[rs[0]], batch = x->dim[ls[0]] / bg;
    for (int64_t i = 0; i < y->count; i++) out[i] = (val){0};
    for (int64_t i = 0, xi[TSR_MAX_RANK]; i < x->count; i++) {
        ref_unravel(x->rank, x->dim, i, xi);
        for (int64_t j = 0, wi[TSR_MAX_RANK], to[TSR_MAX_RANK]; j < w->count; j++) {
            ref_unravel(w->rank, w->dim, j, wi);
            /* the feature group of this output */
            bool meet = xi[ls[1]] == wi[rs[0]] / (outputs / fg) * inputs + wi[rs[1]];
            meet = meet && xi[ls[0]] / batch == wi[rs[0]] / (outputs / bg);           /* its batch group */
            to[os[0]] = xi[ls[0]] % batch, to[os[1]] = wi[rs[0]];
            for (int s = 0; s < x->rank - 2; s++) {
                to[os[2 + s]] = reached(n, s, xi[ls[2 + s]], wi[rs[2 + s]], w->dim[rs[2 + s]], y->dim[os[2 + s]]);
                meet = meet && to[os[2 + s]] >= 0;
            }
            if (!meet) continue;
            int64_t at = ref_ravel(y->rank, y->dim, to);
            out[at] = val_add(y->dtype, out[at],
                              val_mul(y->dtype, as_result(x, i, y->dtype), as_result(w, j, y->dtype)));
        }
    }
}

TEST(dot_oracle) { check_against_oracle(TSR_OP_DOT, 30, oracle_dot); }
TEST(conv_oracle) { check_against_oracle(TSR_OP_CONV, 40, oracle_conv); }

TEST(dot_gradient) { check_gradient(TSR_OP_DOT, 200); }
TEST(conv_gradient) { check_gradient(TSR_OP_CONV, 400); }

TEST(dot_batching) { check_batching(TSR_OP_DOT, 150); }
TEST(conv_batching) { check_batching(TSR_OP_CONV, 250); }
