/* decompose.c: ops that are said by other ops before anything is lowered.
 *
 * Calls are inlined by the rewriter itself. A convolution whose image is dilated becomes one over an image padded
 * between its elements, so that lowering knows one kind of convolution. A long reduction becomes two
 * (decompose_reduce.c). */
#include "compile/lower.h"

static tsr_node *identity(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    (void)c, (void)n;
    return src[0];
}

static tsr_node *conv(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    int spatial, rank = n->type->rank;
    bool dilated = false;
    const int64_t *base = node_ints(n, ATTR_BASE_DILATION, &spatial), *spec = node_ints(n, ATTR_LHS_SPEC, NULL);
    int64_t zero[TSR_MAX_RANK] = {0}, between[TSR_MAX_RANK] = {0}, ones[TSR_MAX_RANK];
    for (int i = 0; i < spatial; i++) {
        between[spec[2 + i]] = base[i] - 1, ones[i] = 1;
        dilated = dilated || base[i] > 1;
    }
    if (!dilated) return NULL;
    (void)rank;
    tsr_node *x = tsr_prim_pad_ints(c, src[0], tsr_scalar_float(c, src[0]->type->dtype, 0), zero, zero, between);
    struct attr attr[24];
    if (n->nattr > 24) TSR_BUG("a convolution with %d attributes", n->nattr);
    for (int i = 0; i < n->nattr; i++) {
        attr[i] = n->attr[i];
        if (attr[i].key == ATTR_BASE_DILATION) attr[i].ints = ones;
    }
    return node_make(c, &(struct draft){.op = TSR_OP_CONV, .nsrc = 2, .src = (tsr_node *[]){x, src[1]},
        .nattr = n->nattr, .attr = attr, .want = n->type});
}

static rewrite_rule *const rules[TSR_OP_COUNT] = {
    [TSR_OP_STOP_GRADIENT] = identity, [TSR_OP_CONV] = conv, [TSR_OP_REDUCE] = decompose_reduce,
};

static tsr_node *decompose(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) { return rules[n->op] ? rules[n->op](c,
    n, src) : NULL; }

tsr_fn *pass_decompose(tsr_ctx *c, const tsr_fn *f) { return pass_rewrite(c, f, decompose); }
