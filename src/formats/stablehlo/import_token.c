/* import_token.c: tokens and the effects they order: send, recv, infeed, outfeed.
 *
 * A token is a value without a node until an effect has happened; from then on it is the node that the effect gave
 * (tsr_prim_send and its kin), and flows like any other. The interpreter of the specification executes every
 * operation, a graph only what leads to results, so effects are remembered: at the end of the function their tokens
 * become results beside its own, at the end of a region they are joined to a token that the region gives.
 * Source: openxla.org/stablehlo/spec, "Point-to-point communication", "Streaming communication". */
#include "formats/stablehlo/import_mesh.h"
#include "graph/node.h"

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

tsr_node *imp_token_node(struct imp *p, const struct imp_value *v) {
    return v && v->node ? v->node : tsr_prim_token(p->c);
}

bool imp_set_token(struct imp *p, const struct hlo_op *op, int i, tsr_node *token) {
    if (i >= op->nresult || op->result[i].type->kind != HLO_T_TOKEN)
        return imp_fail(p, op, "result %d is no token", i);
    if (token && tsr_is_poison(token)) return false;
    *imp_value(p, &op->result[i]) = (struct imp_value){.node = token, .type = op->result[i].type};
    return true;
}

/* after_all, create_token: after every operand. */
bool imp_token(struct imp *p, const struct hlo_op *op) {
    tsr_node **token = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *token);
    int n = 0;
    if (!token) return false;
    for (int i = 0; i < op->noperand; i++)
        if ((token[n] = imp_value(p, op->operand[i])->node)) n++;
    return imp_set_token(p, op, 0, n ? tsr_prim_after_all(p->c, n, token) : NULL);
}

bool imp_spoken(struct imp *p, tsr_node *n) {
    return !p->o->program || fn_open_now(p->c)->outer || vec_push(p->c, &p->spoken, n);
}

bool imp_keep_effects(struct imp *p, const struct hlo_op *op, size_t mark, tsr_node **out, int token) {
    if (p->effects.n == mark) return true;
    if (token < 0)
        return imp_fail(p, op, "an effect inside this region must be followed by its token: give it as a result");
    for (size_t i = mark; i < p->effects.n; i++)
        out[token] = tsr_prim_after_all(p->c, 2, (tsr_node *[]){out[token], p->effects.v[i]});
    p->effects.n = mark;
    return !tsr_is_poison(out[token]);
}

static bool effect(struct imp *p, const struct hlo_op *op, tsr_node *token) {
    return !tsr_is_poison(token) && imp_set_token(p, op, op->nresult - 1, token) && vec_push(p->c, &p->effects, token);
}

/* ---- channels ---------------------------------------------------------------------------------------------------- */

/* Pairs name partitions where the grid has several. What is said to come from the host may come from anybody. */
static bool channel_of(struct imp *p, const struct hlo_op *op, tsr_channel *k) {
    int two;
    *k = (tsr_channel){.id = imp_channel_of(op),
        .mode = imp_partitions(p) > 1 ? TSR_CROSS_PARTITION : TSR_CROSS_REPLICA};
    if (hlo_get_int(op, "is_host_transfer", 0)) return true;
    if (!imp_pairs(p, op, "source_target_pairs", &k->npairs, &two, &k->pairs)) return false;
    return !k->npairs || two == 2 || imp_fail(p, op, "source_target_pairs has %d columns, not 2", two);
}

/* The operands before the token, and the token. */
static bool outward(struct imp *p, const struct hlo_op *op, tsr_node ***x, tsr_node **token) {
    int n = op->noperand - 1;
    if (n < 0 || op->operand[n]->type->kind != HLO_T_TOKEN) return imp_fail(p, op, "its last operand is no token");
    if (!(*x = arena_array(&p->arena, (size_t)n + 1, sizeof **x))) return false;
    for (int i = 0; i < n; i++)
        if (tsr_is_poison((*x)[i] = imp_operand(p, op, i))) return false;
    *token = imp_token_node(p, imp_value(p, op->operand[n]));
    return true;
}

bool imp_send(struct imp *p, const struct hlo_op *op) {
    tsr_node **x, *token;
    tsr_channel k;
    return outward(p, op, &x, &token) && channel_of(p, op, &k) &&
           effect(p, op, tsr_prim_send(p->c, op->noperand - 1, x, token, &k));
}

bool imp_outfeed(struct imp *p, const struct hlo_op *op) {
    tsr_node **x, *token;
    return outward(p, op, &x, &token) && effect(p, op, tsr_prim_outfeed(p->c, op->noperand - 1, x, token));
}

/* The types of the values before the token. */
static const tsr_type **inward(struct imp *p, const struct hlo_op *op, tsr_node **token) {
    const tsr_type **t = arena_array(&p->arena, (size_t)op->nresult + 1, sizeof *t);
    if (op->noperand != 1 || op->operand[0]->type->kind != HLO_T_TOKEN || !op->nresult)
        return imp_fail(p, op, "it takes a token, and gives one last"), NULL;
    for (int i = 0; t && i + 1 < op->nresult; i++)
        if (!(t[i] = imp_type(p, op->result[i].type))) return NULL;
    *token = imp_token_node(p, imp_value(p, op->operand[0]));
    return t;
}

static bool give(struct imp *p, const struct hlo_op *op, tsr_node *all) {
    if (tsr_is_poison(all)) return false;
    for (int i = 0; i + 1 < op->nresult; i++)
        if (!imp_result(p, op, i, tsr_item(p->c, all, i))) return false;
    return effect(p, op, tsr_item(p->c, all, op->nresult - 1));
}

bool imp_recv(struct imp *p, const struct hlo_op *op) {
    tsr_node *token;
    tsr_channel k;
    const tsr_type **t = inward(p, op, &token);
    return t && channel_of(p, op, &k) && give(p, op, tsr_prim_recv(p->c, token, &k, op->nresult - 1, t));
}

bool imp_infeed(struct imp *p, const struct hlo_op *op) {
    tsr_node *token;
    const tsr_type **t = inward(p, op, &token);
    return t && give(p, op, tsr_prim_infeed(p->c, token, op->nresult - 1, t));
}
