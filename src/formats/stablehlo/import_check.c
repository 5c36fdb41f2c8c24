/* import_check.c: the operations of tests: checks become pairs of results, probes are remembered.
 *
 * A check op computes nothing: its operands are the results of the fn that the test's runner compares. What each check
 * allows is fixed by the interpreter of the specification: expect_almost_eq an absolute difference (1e-4 unless stated,
 * 1e-3 as a custom call), expect_close a distance in units in the last place (1 unless stated, 3 as a custom call),
 * check.eq the first for floats and equality for the rest.
 * An interpreter.probe writes its operand to a file which check.expect_serialized_eq reads; here the value itself is
 * compared; a loop with a probe in it is built turn by turn.
 * Source: the check dialect and the interpreter of openxla/stablehlo. */
#include <string.h>

#include "formats/stablehlo/import.h"
#include "formats/stablehlo/import_check.h"
#include "graph/node.h"

/* ---- checks ----------------------------------------------------------------------------------------------------- */

static double float_of(const struct hlo_op *op, const char *name, double fallback) {
    const struct hlo_attr *a = hlo_get(op, name);
    return a && a->kind == HLO_A_FLOAT ? a->f : fallback;
}

static bool add_check(struct imp *p, const struct hlo_op *op, struct hlo_check k, const struct hlo_type *t) {
    if (!p->checks) return true;
    if (tsr_is_poison(k.actual) || tsr_is_poison(k.expected)) return false;
    if (tsr_node_dtype(k.actual) != tsr_node_dtype(k.expected) || tsr_node_rank(k.actual) != tsr_node_rank(k.expected))
        return imp_fail(p, op, "it compares %s with %s", type_text(p->c, tsr_node_type(k.actual)),
            type_text(p->c, tsr_node_type(k.expected)));
    if (fn_open_now(p->c)->outer) return imp_fail(p, op, "checks inside loops and branches are not supported");
    k.loc = op->loc, k.elem = t->elem;
    return vec_push(p->c, p->checks, k);
}

bool imp_check(struct imp *p, const struct hlo_op *op) {
    const struct hlo_attr *value = hlo_get(op, "value");
    struct hlo_check k = {.actual = imp_operand(p, op, 0), .tolerance = float_of(op, "tolerance", 1e-4),
        .min_ulp = hlo_get_int(op, "min_ulp_difference", 0), .max_ulp = hlo_get_int(op, "max_ulp_difference", 1)};
    k.kind = op->code == HLO_OP_CHECK_CLOSE ? HLO_CHECK_CLOSE
        : op->code == HLO_OP_CHECK_ALMOST_EQ || op->code == HLO_OP_CHECK_ALMOST_EQ_CONST ? HLO_CHECK_ALMOST_EQ
        : HLO_CHECK_EQ;
    bool constant = op->code == HLO_OP_CHECK_EQ_CONST || op->code == HLO_OP_CHECK_ALMOST_EQ_CONST;
    if (constant && (!value || value->kind != HLO_A_ELEMENTS))
        return imp_fail(p, op, "it has no value to compare with");
    k.expected = constant ? imp_elements(p, value) : imp_operand(p, op, 1);
    return add_check(p, op, k, op->operand[0]->type);
}

static bool is_integer(enum hlo_elem e) {
    tsr_kind k = tsr_dtype_of(hlo_elem_of(e)->dtype)->kind;
    return k == TSR_KIND_INT || k == TSR_KIND_UINT || k == TSR_KIND_BOOL;
}

bool imp_check_custom_call(struct imp *p, const struct hlo_op *op, const char *target) {
    struct hlo_check k = {.tolerance = 1e-3, .max_ulp = 3};
    if (op->noperand != 2) return imp_fail(p, op, "%s compares two values, %d are given", target, op->noperand);
    const struct hlo_type *t = op->operand[0]->type;
    if (!strcmp(target, "check.expect_eq")) k.kind = HLO_CHECK_EQ;
    else if (!strcmp(target, "check.expect_close")) k.kind = HLO_CHECK_CLOSE;
    else if (!strcmp(target, "check.expect_almost_eq")) k.kind = HLO_CHECK_ALMOST_EQ;
    else if (!strcmp(target, "check.eq")) k.kind = is_integer(t->elem) ? HLO_CHECK_EQ : HLO_CHECK_ALMOST_EQ;
    else return imp_fail(p, op, "there is no check of the name %s", target);
    if (!strcmp(target, "check.eq")) k.tolerance = 1e-4;
    k.actual = imp_operand(p, op, 0), k.expected = imp_operand(p, op, 1);
    if (!add_check(p, op, k, t)) return false;
    for (int i = 0; i < op->nresult; i++) { /* the verdict of check.eq: what it is when the test goes on */
        const tsr_type *r = imp_result_type(p, op, i);
        if (!r || !imp_result(p, op, i, tsr_full(p->c, r, 1))) return false;
    }
    return true;
}

/* ---- probes ----------------------------------------------------------------------------------------------------- */

bool imp_probe_op(struct imp *p, const struct hlo_op *op) {
    const char *id = hlo_get_text(op, "probe_id");
    tsr_node *x = imp_operand(p, op, 0);
    if (tsr_is_poison(x) || !imp_forward(p, op, 0, imp_operand_value(p, op, 0))) return false;
    return !id || fn_open_now(p->c)->outer || vec_push(p->c, &p->probes, ((struct imp_probe){id, x}));
}

bool imp_is_probed(const struct hlo_op *loop) {
    if (loop->nregion != 2 || loop->region[1].nblock != 1) return false;
    for (const struct hlo_op *op = loop->region[1].block[0].first; op; op = op->next)
        if (op->code == HLO_OP_PROBE) return true;
    return false;
}

enum { PROBED_TURNS = 4096 };

/* Is the condition, just built, true? It must be known while importing. */
static bool goes_on(struct imp *p, const struct hlo_op *op, int64_t *yes) {
    if (imp_const_ints(p, op->region[0].block[0].last, 0, yes, 1)) return true;
    return imp_fail(p, op, "it has a probe in its body, and its turns depend on arguments; probe its results instead");
}

bool imp_while_probed(struct imp *p, const struct hlo_op *op) {
    int n = op->noperand;
    tsr_node **carry = arena_array(&p->arena, (size_t)n + 1, sizeof *carry), *flag;
    int64_t yes = 1;
    if (!carry) return false;
    for (int i = 0; i < n; i++) carry[i] = imp_operand(p, op, i);
    for (int turn = 0; yes; turn++) {
        if (turn == PROBED_TURNS) return imp_fail(p, op, "a loop with a probe turns more than %d times", PROBED_TURNS);
        if (!imp_region_inline(p, &op->region[0], n, carry, 1, &flag) || !goes_on(p, op, &yes)) return false;
        if (yes && !imp_region_inline(p, &op->region[1], n, carry, n, carry)) return false;
    }
    for (int i = 0; i < n; i++)
        if (!imp_result(p, op, i, carry[i])) return false;
    return true;
}

bool imp_check_serialized(struct imp *p, const struct hlo_op *op) {
    const char *id = hlo_get_text(op, "probe_id");
    int64_t turn = hlo_get_int(op, "iteration", 0);
    struct hlo_check k = {.kind = HLO_CHECK_EQ, .expected = imp_operand(p, op, 0)};
    for (size_t i = 0; id && i < p->probes.n; i++) {
        if (strcmp(p->probes.v[i].id, id) || turn--) continue;
        k.actual = p->probes.v[i].node;
        return add_check(p, op, k, op->operand[0]->type);
    }
    return imp_fail(p, op, "no interpreter.probe \"%s\" has seen a value so often", id ? id : "");
}

/* What it prints is for people; the values go on. */
bool imp_print(struct imp *p, const struct hlo_op *op) {
    for (int i = 0; i < op->nresult; i++)
        if (!imp_forward(p, op, i, imp_operand_value(p, op, i))) return false;
    return true;
}
