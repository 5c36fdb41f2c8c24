/* import_custom.c: custom_call of the names that are known.
 *
 *   check.*                       the test suite's comparisons (import_check.c)
 *   Sharding, SPMD*, ...          notes to a partitioner or a memory planner: the value itself
 *   shape_assertion               a claim about sizes: decided here, or a check when the fn runs
 *   cu_threefry2x32*              Threefry2x32 of a key and a counter, elementwise
 *   lapack_*_ffi                  JAX's names of LAPACK drivers on CPUs (import_lapack.c)
 *   lapack_*_ffi                  JAX's names of LAPACK drivers on CPUs: potrf, gesdd, syevd and heevd
 *   tessera.*                     what our own exporter wrote (import_call.c)
 *   stablehlo.dynamic_*           operations that have no dynamic form of their own (import_dynamic.c)
 *   mhlo.NAME                     client ops as older exporters wrote them: topk, and the elementwise ones
 * Source: JAX's exporter for names and operands; Salmon et al., SC'11, for Threefry. */
#include <string.h>

#include "formats/stablehlo/calls.h"
#include "formats/stablehlo/import_body.h"
#include "formats/stablehlo/import_check.h"
#include "formats/stablehlo/import_chlo.h"
#include "formats/stablehlo/import_shape.h"
#include "tessera/ops.h"

/* ---- values that pass through ----------------------------------------------------------------------------------- */

static bool identity(struct imp *p, const struct hlo_op *op) {
    if (op->noperand != op->nresult)
        return imp_fail(p, op, "%d operands but %d results; it hands its operands on", op->noperand, op->nresult);
    for (int i = 0; i < op->nresult; i++)
        if (!imp_forward(p, op, i, imp_operand_value(p, op, i))) return false;
    return true;
}

/* ---- random ----------------------------------------------------------------------------------------------------- */

static tsr_node *u32(tsr_ctx *c, uint32_t v, const tsr_node *like) {
    return imp_spread(c, tsr_scalar_int(c, TSR_U32, (int64_t)v), like);
}

static tsr_node *rotated(tsr_ctx *c, tsr_node *x, uint32_t by) {
    return tsr_prim2(c, TSR_S_OR, tsr_prim2(c, TSR_S_SHL, x, u32(c, by, x)),
        tsr_prim2(c, TSR_S_SHR_LOGICAL, x, u32(c, 32 - by, x)));
}

/* Operands key 0, key 1, counter 0, counter 1; results the two words of the block. */
static bool threefry(struct imp *p, const struct hlo_op *op) {
    static const uint32_t turn[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    tsr_ctx *c = p->c;
    tsr_node *x[4], *key[3];
    if (!imp_operands(p, op, 4, x)) return false;
    for (int i = 0; i < 4; i++) {
        if (tsr_node_dtype(x[i]) != TSR_U32) return imp_fail(p, op, "it takes ui32 words");
        if (tsr_node_rank(x[i]) != tsr_node_rank(x[0])) return imp_fail(p, op, "keys and counters need one shape");
    }
    key[0] = x[0], key[1] = x[1];
    key[2] = tsr_prim2(c, TSR_S_XOR, tsr_prim2(c, TSR_S_XOR, x[0], x[1]), u32(c, 0x1BD11BDA, x[0]));
    tsr_node *a = tsr_prim2(c, TSR_S_ADD, x[2], key[0]), *b = tsr_prim2(c, TSR_S_ADD, x[3], key[1]);
    for (uint32_t round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++) {
            a = tsr_prim2(c, TSR_S_ADD, a, b);
            b = tsr_prim2(c, TSR_S_XOR, a, rotated(c, b, turn[round % 2][i]));
        }
        a = tsr_prim2(c, TSR_S_ADD, a, key[(round + 1) % 3]);
        b = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_ADD, b, key[(round + 2) % 3]), u32(c, round + 1, b));
    }
    return imp_result(p, op, 0, a) && imp_result(p, op, 1, b);
}

bool imp_give(struct imp *p, const struct hlo_op *op, int n, tsr_node *const *y) {
    if (op->nresult != n) return imp_fail(p, op, "%d results are declared, it has %d", op->nresult, n);
    for (int i = 0; i < n; i++)
        if (!imp_result(p, op, i, y[i])) return false;
    return true;
}

/* ---- mhlo ------------------------------------------------------------------------------------------------------- */

static bool topk(struct imp *p, const struct hlo_op *op) {
    const struct hlo_attr *a = hlo_get(op, "mhlo.attributes");
    const struct hlo_attr *k = a ? hlo_field(a, "k") : NULL, *largest = a ? hlo_field(a, "largest") : NULL;
    tsr_node *x, *y[2];
    if (!imp_operands(p, op, 1, &x)) return false;
    if (!k || k->kind != HLO_A_INT) return imp_fail(p, op, "its mhlo.attributes have no k");
    if (largest && !largest->i)
        return imp_fail(p, op, "it finds the greatest elements; negate the operand for the least");
    tsr_node *t = tsr_prim_top_k(p->c, x, k->i);
    if (tsr_is_poison(t)) return false;
    y[0] = tsr_item(p->c, t, 0), y[1] = tsr_item(p->c, t, 1);
    return imp_give(p, op, 2, y);
}

static bool mhlo_elem(struct imp *p, const struct hlo_op *op, const char *name) {
    tsr_node *x[2];
    imp_chlo_fn *fn = imp_chlo_find(name, op->noperand);
    if (!fn) return imp_fail(p, op, "mhlo.%s of %d operands is not known here", name, op->noperand);
    return imp_operands(p, op, op->noperand, x) && imp_result(p, op, 0, fn(p->c, x));
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const struct { const char *name; bool (*build)(struct imp *p, const struct hlo_op *op); } targets[] = {
    {"Sharding", identity}, {"SPMDFullToShardShape", identity}, {"SPMDShardToFullShape", identity},
    {"annotate_device_placement", identity}, {"LayoutConstraint", identity}, {"MoveToDevice", identity},
    {"MoveToHost", identity}, {"shape_assertion", imp_shape_assertion}, {"cu_threefry2x32", threefry},
    {"cu_threefry2x32_ffi", threefry}, {"mhlo.topk", topk},
    {"stablehlo.dynamic_reduce_window", imp_dynamic_reduce_window}, {"stablehlo.dynamic_top_k", imp_dynamic_top_k},
    {"stablehlo.dynamic_rng_bit_generator", imp_dynamic_rng_bit_generator},
};

bool imp_custom_call(struct imp *p, const struct hlo_op *op) {
    const char *name = hlo_get_text(op, "call_target_name");
    if (!name) return imp_fail(p, op, "it has no call_target_name");
    if (!strncmp(name, "check.", 6)) return imp_check_custom_call(p, op, name);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        if (!strcmp(name, targets[i].name)) return targets[i].build(p, op);
    if (!strncmp(name, "lapack_", 7)) return imp_lapack(p, op, name + 7);
    imp_handler *own = imp_call_of(name);
    if (own) return own(p, op);
    if (!strncmp(name, "mhlo.", 5)) return mhlo_elem(p, op, name + 5);
    return imp_fail(p, op, "the target @%s is not known here; decompose it into stablehlo before exporting", name);
}
