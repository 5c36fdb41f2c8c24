/* op_channel.c: effects: send and recv between participants, infeed and outfeed between them and the host.
 *
 * An effect is ordered by its tokens: each takes one as its last operand and gives one as its (last) result. A token is
 * a bool scalar, so it passes through loops, branches and calls like any value; what it holds means nothing. An effect
 * whose token leads to no result does not take place. Effects have no gradient and no batching rule: neither is
 * defined where the other end is a program of its own. What they do is the transport's (comm.h). */
#include <string.h>

#include "graph/axes.h"
#include "graph/comm.h"

enum { VALUES_MOST = 64 }; /* of one message */

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

static const tsr_type *token_type(tsr_ctx *c) { return tsr_type_dims(c, TSR_BOOL, 0, NULL); }

tsr_node *tsr_prim_token(tsr_ctx *c) { return tsr_scalar_int(c, TSR_BOOL, 0); }

static bool is_token(tsr_ctx *c, const char *op, const tsr_node *n) {
    if (n->type == token_type(c)) return true;
    return err_set(c, TSR_EINVAL, "%s: the token is %s; a token comes from tsr_prim_token or another effect", op,
        type_text(c, n->type)), false;
}

tsr_node *tsr_prim_after_all(tsr_ctx *c, int n, tsr_node *const *token) {
    tsr_node *all = tsr_prim_token(c);
    for (int i = 0; i < n; i++) {
        if (axes_poison(1, &token[i]) || !is_token(c, "after_all", token[i])) return tsr_poison(c);
        all = i ? tsr_prim2(c, TSR_S_OR, all, token[i]) : token[i];
    }
    return all;
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

static bool operands_valid(tsr_ctx *c, const struct draft *d) {
    const char *op = op_name(d->op);
    if (d->nsrc < 1) return err_set(c, TSR_EINVAL, "%s: takes a token, got no operand", op), false;
    for (int i = 0; i + 1 < d->nsrc; i++)
        if (!axes_is_plain(c, op, d->src[i]->type)) return false;
    return is_token(c, op, d->src[d->nsrc - 1]);
}

static bool channel_valid(tsr_ctx *c, const struct draft *d) {
    const struct attr *p = draft_attr(d, ATTR_PAIRS);
    return pairs_valid(c, op_name(d->op), p->n, p->ints);
}

static const tsr_type *send_infer(tsr_ctx *c, const struct draft *d) {
    return operands_valid(c, d) && channel_valid(c, d) ? token_type(c) : NULL;
}
static const tsr_type *recv_infer(tsr_ctx *c, const struct draft *d) {
    return operands_valid(c, d) && channel_valid(c, d) ? d->want : NULL;
}
static const tsr_type *infeed_infer(tsr_ctx *c, const struct draft *d) {
    return operands_valid(c, d) ? d->want : NULL;
}
static const tsr_type *outfeed_infer(tsr_ctx *c, const struct draft *d) {
    return operands_valid(c, d) ? token_type(c) : NULL;
}

/* ---- builders ---------------------------------------------------------------------------------------------------- */

static int channel_attrs(const tsr_channel *k, struct attr *a) {
    a[0] = attr_int(ATTR_MODE, k->mode);
    a[1] = attr_int(ATTR_CHANNEL, k->id);
    a[2] = attr_ints(ATTR_PAIRS, k->npairs > 0 ? 2 * (size_t)k->npairs : 0, k->pairs);
    return 3;
}

/* n values, then the token, as the operands of one node. */
static tsr_node *outward(tsr_ctx *c, enum tsr_op op, int n, tsr_node *const *x, tsr_node *token, int nattr,
    const struct attr *attr) {
    tsr_node *src[VALUES_MOST + 1];
    if (n < 0 || n > VALUES_MOST)
        return err_set(c, TSR_EINVAL, "%s: %d values; at most %d go together", op_name(op), n, VALUES_MOST),
            tsr_poison(c);
    for (int i = 0; i < n; i++) src[i] = x[i];
    src[n] = token;
    if (axes_poison(n + 1, src)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = op, .nsrc = n + 1, .src = src, .nattr = nattr, .attr = attr});
}

/* A tuple of n values and a token. */
static tsr_node *inward(tsr_ctx *c, enum tsr_op op, tsr_node *token, int n, const tsr_type *const *t, int nattr,
    const struct attr *attr) {
    const tsr_type *item[VALUES_MOST + 1];
    if (n < 0 || n > VALUES_MOST)
        return err_set(c, TSR_EINVAL, "%s: %d values; at most %d come together", op_name(op), n, VALUES_MOST),
            tsr_poison(c);
    for (int i = 0; i < n; i++)
        if (!(item[i] = t[i]) || !axes_is_plain(c, op_name(op), t[i])) return tsr_poison(c);
    item[n] = token_type(c);
    const tsr_type *want = tsr_type_tuple(c, n + 1, item);
    if (!want || axes_poison(1, &token)) return tsr_poison(c);
    return node_make(c, &(struct draft){.op = op, .nsrc = 1, .src = &token, .nattr = nattr, .attr = attr,
        .want = want});
}

tsr_node *tsr_prim_send(tsr_ctx *c, int n, tsr_node *const *x, tsr_node *token, const tsr_channel *to) {
    struct attr a[3];
    return outward(c, TSR_OP_SEND, n, x, token, channel_attrs(to, a), a);
}
tsr_node *tsr_prim_recv(tsr_ctx *c, tsr_node *token, const tsr_channel *from, int n, const tsr_type *const *t) {
    struct attr a[3];
    return inward(c, TSR_OP_RECV, token, n, t, channel_attrs(from, a), a);
}
tsr_node *tsr_prim_infeed(tsr_ctx *c, tsr_node *token, int n, const tsr_type *const *t) {
    return inward(c, TSR_OP_INFEED, token, n, t, 0, NULL);
}
tsr_node *tsr_prim_outfeed(tsr_ctx *c, int n, tsr_node *const *x, tsr_node *token) {
    return outward(c, TSR_OP_OUTFEED, n, x, token, 0, NULL);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

#define EFFECT(NAME, text, what, i) \
    const struct op_def op_##NAME = { \
        .name = text, .formula = what, .spec = "StableHLO " text, .cls = OP_EXTERN, .arity = -1, .domain = "fiubc", \
        .infer = i, .vjp = vjp_none, .vmap = vmap_none, .ref = comm_ref, .sample = sample_elsewhere, \
    };
EFFECT(SEND, "send", "values into a channel", send_infer)
EFFECT(RECV, "recv", "values out of a channel, when they are there", recv_infer)
EFFECT(INFEED, "infeed", "the host's next values", infeed_infer)
EFFECT(OUTFEED, "outfeed", "values to the host", outfeed_infer)
