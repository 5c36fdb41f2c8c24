/* import_call.c: custom_call and composite of the names in calls.def: what our own exporter wrote comes back as the op
 * it was. Attributes are checked like those of any file. A host call is a pointer of the program that exported it and
 * cannot come back. */
#include <string.h>

#include "formats/stablehlo/calls.h"
#include "formats/stablehlo/import_body.h"
#include "formats/stablehlo/import_shape.h"

static enum tsr_op op_of(const struct hlo_op *op);

/* All results of a node, a tuple's items one by one. */
static bool give(struct imp *p, const struct hlo_op *op, tsr_node *y) {
    if (tsr_is_poison(y)) return false;
    int n = type_results(tsr_node_type(y));
    if (op->nresult != n) return imp_fail(p, op, "%d results are declared, it has %d", op->nresult, n);
    return tsr_node_type(y)->kind == TSR_TUPLE ? imp_results(p, op, y) : imp_result(p, op, 0, y);
}

/* exp2, log2, fma: functions of scalar.h. */
static bool scalar_function(struct imp *p, const struct hlo_op *op) {
    tsr_node *x[3];
    enum tsr_op fn = op_of(op);
    int n = fn == TSR_OP_FMA ? 3 : 1;
    return imp_operands(p, op, n, x) && give(p, op, tsr_prim_elem(p->c, (tsr_scalar)fn, n, x));
}

static bool one_operand(struct imp *p, const struct hlo_op *op) {
    static const struct { enum tsr_op op; tsr_node *(*build)(tsr_ctx *c, tsr_node *x); } list[] = {
        {TSR_OP_STOP_GRADIENT, tsr_stop_gradient}, {TSR_OP_QR, tsr_prim_qr}, {TSR_OP_SVD, tsr_prim_svd},
        {TSR_OP_EIGH, tsr_prim_eigh}};
    tsr_node *x;
    size_t i = 0;
    while (list[i].op != op_of(op)) i++;
    return imp_operands(p, op, 1, &x) && give(p, op, list[i].build(p->c, x));
}

static const struct hlo_attr *config(const struct hlo_op *op, const char *name, enum hlo_attr_kind kind) {
    const struct hlo_attr *all = hlo_get(op, "backend_config");
    const struct hlo_attr *v = all && all->kind == HLO_A_DICT ? hlo_field(all, name) : NULL;
    return v && v->kind == kind ? v : NULL;
}

/* The type of the bits: as declared, with the extents of operand 1 where it is there. */
static const tsr_type *bits_type(struct imp *p, const struct hlo_op *op) {
    const tsr_extent *e[TSR_MAX_RANK];
    if (op->noperand < 2) return imp_result_type(p, op, 1);
    if (op->nresult < 2 || op->result[1].type->kind != HLO_T_TENSOR || op->result[1].type->rank > TSR_MAX_RANK)
        return imp_fail(p, op, "its second result is no tensor"), NULL;
    const struct hlo_type *t = op->result[1].type;
    return imp_extents(p, op, 1, t->rank, e) ? tsr_type_tensor(p->c, imp_dtype(t), t->rank, e) : NULL;
}

/* (state) or (state, extents of the bits) */
static bool rng_bits(struct imp *p, const struct hlo_op *op) {
    const struct hlo_attr *mode = config(op, "mode", HLO_A_INT);
    tsr_node *x[2];
    if (!mode || (mode->i != TSR_RNG_THREEFRY && mode->i != TSR_RNG_PHILOX))
        return imp_fail(p, op, "its backend_config names no algorithm: mode = 0 (Threefry) or 1 (Philox)");
    if (!imp_operands(p, op, op->noperand == 2 ? 2 : 1, x)) return false;
    const tsr_type *t = bits_type(p, op);
    return t && give(p, op, tsr_prim_rng_bits(p->c, (tsr_rng)mode->i, x[0], t));
}

/* The list `name` of the configuration as extents; NULL: no memory, or it is not there. */
static const tsr_extent **extents(struct imp *p, const struct hlo_op *op, const char *name, int *n) {
    const struct hlo_attr *a = config(op, name, HLO_A_INTS);
    const tsr_extent **e = a ? arena_array(&p->arena, (size_t)a->n + 1, sizeof *e) : NULL;
    *n = a ? a->n : 0;
    for (int i = 0; e && i < *n; i++)
        if (!(e[i] = tsr_extent_int(p->c, a->ints[i]))) return NULL;
    return e;
}

static bool kernel(struct imp *p, const struct hlo_op *op) {
    const struct hlo_attr *tile = config(op, "tile", HLO_A_STRING);
    int ngrid, nscalar;
    const tsr_extent **grid = extents(p, op, "grid", &ngrid), **scalar = extents(p, op, "sizes", &nscalar);
    const tsr_type **t = arena_array(&p->arena, (size_t)op->nresult + 1, sizeof *t);
    tsr_node **x = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *x);
    if (!t || !x || err_any(p->c)) return false;
    if (!tile || !grid || ngrid != 3 || !scalar)
        return imp_fail(p, op, "its backend_config needs tile (text), grid (3 extents) and sizes (the scalars)");
    for (int i = 0; i < op->nresult; i++)
        if (!(t[i] = imp_result_type(p, op, i))) return false;
    if (!imp_operands(p, op, op->noperand, x)) return false;
    tsr_tile *program = tsr_tile_read(p->c, tile->s, "tessera.kernel");
    if (!program) return false;
    tsr_node *y = tsr_prim_kernel(p->c, program, grid, op->noperand, x, nscalar, scalar, op->nresult, t);
    tsr_tile_free(program);
    return give(p, op, y);
}

static bool host_call(struct imp *p, const struct hlo_op *op) {
    return imp_fail(p, op, "a host call is a function of the program that wrote it; call it around the imported fn");
}

/* ---- the list --------------------------------------------------------------------------------------------------- */
static const struct call {
    enum tsr_op op;
    const char *name;
    imp_handler *read;
} calls[] = {
#define HLO_CALL(op, name, how, read) {TSR_OP_##op, name, read},
#include "formats/stablehlo/calls.def"
#undef HLO_CALL
};

const char *hlo_call_name(enum tsr_op op) {
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].op == op) return calls[i].name;
    return NULL;
}

static const struct call *find(const char *name) {
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0) return &calls[i];
    return NULL;
}

static enum tsr_op op_of(const struct hlo_op *op) {
    return find(hlo_get_text(op, op->code == HLO_OP_COMPOSITE ? "name" : "call_target_name"))->op;
}

imp_handler *imp_call_of(const char *name) {
    const struct call *c = find(name);
    return c ? c->read : NULL;
}
