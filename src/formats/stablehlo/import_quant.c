/* import_quant.c: operations on quantised tensors: real = scale * (stored - zero point).
 *
 * A quantised value is a node of its stored integers. Three rules cover every operation, and no handler knows of them:
 *   - what only moves elements, or looks at their bits, works on the stored integers as they are, so long as its
 *     quantised operands and results have the same parameters;
 *   - operations with bodies do too: the body's operations are on quantised values in their turn;
 *   - every other one is built on a shadow of itself (real_shadow): an operation with the expressed types in place of
 *     the quantised ones, whose operands are dequantised before and whose results are quantised after. uniform_quantize
 *     and uniform_dequantize are the identity seen that way.
 * Quantising divides by the scale, adds the zero point, clamps to the storage range, rounds halves to even: all in the
 * expressed type. Parameters may be per tensor, per axis, or per block of several axes (sub-channel).
 * Source: StableHLO specification, "Quantization computations". */
#include "formats/stablehlo/import.h"
#include "graph/node.h"

/* ---- parameters as tensors -------------------------------------------------------------------------------------- */

static bool is_quantised(const struct hlo_type *t) { return t->kind == HLO_T_TENSOR && t->quant; }

/* Scales or zero points (n scalars of dtype t, one literal) as a tensor of like's shape. */
static tsr_node *per_axis(struct imp *p, const struct hlo_quant *q, tsr_node *v, const tsr_node *like) {
    const tsr_type *want = type_with_dtype(p->c, tsr_node_type(like), tsr_node_dtype(v));
    if (!want) return tsr_poison(p->c);
    if (q->axis < 0) {
        tsr_node *one = tsr_prim_reshape(p->c, v, tsr_type_dims(p->c, want->dtype, 0, NULL));
        return tsr_prim_broadcast(p->c, one, want, NULL);
    }
    if (q->axis >= want->rank)
        return err_set(p->c, TSR_EINVAL, "quantised along axis %d, but the tensor has rank %d", q->axis, want->rank),
            tsr_poison(p->c);
    return tsr_prim_broadcast(p->c, v, want, (int64_t[]){q->axis});
}

/* The blocks of axis i: their number in count[2i], their length in count[2i + 1]. False: they do not fit. */
static bool cut_in_blocks(const struct hlo_quant *q, const tsr_node *like, int64_t *count) {
    int64_t total = 1;
    for (int i = 0; i < tsr_node_rank(like); i++) count[2 * i] = 1, count[2 * i + 1] = tsr_node_dim(like, i);
    for (int k = 0; k < q->nblock; k++) {
        int64_t a = q->block_axis[k], b = q->block[k];
        if (a < 0 || a >= tsr_node_rank(like) || b < 1 || tsr_node_dim(like, (int)a) % b) return false;
        count[2 * a] = tsr_node_dim(like, (int)a) / b, count[2 * a + 1] = b;
    }
    for (int i = 0; i < tsr_node_rank(like); i++) total *= count[2 * i];
    return total == q->n;
}

static tsr_node *per_block(struct imp *p, const struct hlo_quant *q, tsr_node *v, const tsr_node *like) {
    int rank = tsr_node_rank(like);
    int64_t count[2 * TSR_MAX_RANK], blocks[TSR_MAX_RANK], axes[TSR_MAX_RANK];
    if (2 * rank > TSR_MAX_RANK || !tsr_type_ints(tsr_node_type(like), NULL) || !cut_in_blocks(q, like, count))
        return err_set(p->c, TSR_EINVAL, "%d scales in blocks do not fit %s", q->n, type_text(p->c,
            tsr_node_type(like))), tsr_poison(p->c);
    for (int i = 0; i < rank; i++) blocks[i] = count[2 * i], axes[i] = 2 * i;
    v = tsr_prim_reshape(p->c, v, tsr_type_dims(p->c, tsr_node_dtype(v), rank, blocks));
    v = tsr_prim_broadcast(p->c, v, tsr_type_dims(p->c, tsr_node_dtype(v), 2 * rank, count), axes);
    return tsr_prim_reshape(p->c, v, type_with_dtype(p->c, tsr_node_type(like), tsr_node_dtype(v)));
}

/* One number for each element of like: scale or zero point, rounded to dtype t. */
static tsr_node *parameter(struct imp *p, const struct hlo_quant *q, bool scale, tsr_dtype t, const tsr_node *like) {
    double *v = mem_array(p->c, (size_t)q->n, sizeof *v);
    if (!v) return tsr_poison(p->c);
    for (int i = 0; i < q->n; i++) v[i] = scale ? q->scale[i] : (double)q->zero_point[i];
    tsr_node *n = tsr_const(p->c, tsr_type_dims(p->c, TSR_F64, 1, (int64_t[]){q->n}), v);
    mem_array_free(p->c, v, (size_t)q->n, sizeof *v);
    n = tsr_prim_convert(p->c, n, t);
    if (tsr_is_poison(n)) return n;
    return q->nblock ? per_block(p, q, n, like) : per_axis(p, q, n, like);
}

static bool has_zero_points(const struct hlo_quant *q) {
    for (int i = 0; i < q->n; i++)
        if (q->zero_point[i]) return true;
    return false;
}

/* ---- there and back --------------------------------------------------------------------------------------------- */

static tsr_node *dequantised(struct imp *p, const struct hlo_quant *q, tsr_node *x) {
    tsr_ctx *c = p->c;
    tsr_dtype real = hlo_elem_of(q->expressed)->dtype;
    if (tsr_is_poison(x)) return x;
    x = tsr_prim_convert(c, x, hlo_elem_of(q->storage)->bits < 32 ? TSR_I32 : TSR_I64);
    if (has_zero_points(q)) x = tsr_prim2(c, TSR_S_SUB, x, parameter(p, q, false, tsr_node_dtype(x), x));
    x = tsr_prim_convert(c, x, real);
    if (tsr_is_poison(x)) return x;
    return imp_to_grid(p, q->expressed, tsr_prim2(c, TSR_S_MUL, x, parameter(p, q, true, real, x)));
}

static tsr_node *quantised(struct imp *p, const struct hlo_quant *q, tsr_node *x) {
    tsr_ctx *c = p->c;
    if (tsr_is_poison(x)) return x;
    tsr_dtype real = tsr_node_dtype(x);
    x = tsr_prim2(c, TSR_S_DIV, x, parameter(p, q, true, real, x));
    if (has_zero_points(q)) x = tsr_prim2(c, TSR_S_ADD, x, parameter(p, q, false, real, x));
    tsr_node *low = tsr_scalar_float(c, real, (double)q->storage_min);
    tsr_node *high = tsr_scalar_float(c, real, (double)q->storage_max);
    x = tsr_prim1(c, TSR_S_ROUND_EVEN, tsr_prim3(c, TSR_S_CLAMP, low, x, high));
    return tsr_is_poison(x) ? x : tsr_prim_convert(c, x, hlo_elem_of(q->storage)->dtype);
}

/* ---- shadows ---------------------------------------------------------------------------------------------------- */

/* t with its expressed type for elements. NULL: out of memory. */
static const struct hlo_type *expressed(struct imp *p, const struct hlo_type *t) {
    if (!is_quantised(t)) return t;
    struct hlo_type *own = arena_alloc(&p->arena, sizeof *own);
    if (!own) return NULL;
    *own = *t, own->elem = t->quant->expressed, own->quant = NULL;
    return own;
}

/* The operation on real numbers: its values are numbered in a frame of its own, operands first. */
struct shadow {
    struct hlo_op op;
    struct imp_frame frame;
};

static struct hlo_value *shadow_value(struct imp *p, struct shadow *s, const struct hlo_value *of, int id) {
    struct hlo_value *v = arena_alloc(&p->arena, sizeof *v);
    if (!v) return NULL;
    *v = *of, v->id = id, v->op = id < s->op.noperand ? of->op : &s->op;
    return (v->type = expressed(p, of->type)) ? v : NULL;
}

static bool real_shadow(struct imp *p, const struct hlo_op *op, struct shadow *s) {
    s->op = *op;
    s->frame = (struct imp_frame){.up = p->frame, .func = p->frame->func};
    s->frame.value = arena_array(&p->arena, (size_t)(op->noperand + op->nresult) + 1, sizeof *s->frame.value);
    s->op.operand = arena_array(&p->arena, (size_t)op->noperand + 1, sizeof *s->op.operand);
    s->op.result = arena_array(&p->arena, (size_t)op->nresult + 1, sizeof *s->op.result);
    if (!s->frame.value || !s->op.operand || !s->op.result) return false;
    for (int i = 0; i < op->noperand; i++) {
        struct imp_value v = *imp_value(p, op->operand[i]);
        const struct hlo_type *t = op->operand[i]->type;
        if (is_quantised(t)) v.node = dequantised(p, t->quant, imp_operand(p, op, i));
        if (!(s->op.operand[i] = shadow_value(p, s, op->operand[i], i))) return false;
        if (!(v.type = expressed(p, v.type ? v.type : t))) return false;
        if (v.node && tsr_is_poison(v.node)) return false;
        s->frame.value[i] = v;
    }
    for (int i = 0; i < op->nresult; i++) {
        struct hlo_value *v = shadow_value(p, s, &op->result[i], op->noperand + i);
        if (!v) return false;
        s->op.result[i] = *v;
    }
    return true;
}

static bool on_reals(struct imp *p, const struct hlo_op *op) {
    struct shadow s;
    if (!real_shadow(p, op, &s)) return false;
    p->frame = &s.frame;
    bool ok = imp_handler_of(op->code)(p, &s.op);
    p->frame = s.frame.up;
    for (int i = 0; ok && i < op->nresult; i++) {
        const struct imp_value *v = &s.frame.value[op->noperand + i];
        const struct hlo_type *t = op->result[i].type;
        ok = is_quantised(t) ? imp_result(p, op, i, quantised(p, t->quant, v->node)) : imp_forward(p, op, i, v);
    }
    return ok;
}

/* uniform_quantize, uniform_dequantize: on real numbers there is nothing to do. */
bool imp_uniform(struct imp *p, const struct hlo_op *op) { return imp_result(p, op, 0, imp_operand(p, op, 0)); }

/* ---- which rule ------------------------------------------------------------------------------------------------- */

enum rule { ON_REALS, ON_STORED, ON_STORED_IF_EQUAL };
static enum rule rule_of(const struct hlo_op *op) {
    if (op->nregion) return ON_STORED;
    switch (op->code) {
    case HLO_OP_BITCAST_CONVERT: case HLO_OP_CONSTANT: case HLO_OP_BROADCAST_IN_DIM: case HLO_OP_BROADCAST:
    case HLO_OP_DYNAMIC_BROADCAST_IN_DIM: case HLO_OP_RESHAPE: case HLO_OP_DYNAMIC_RESHAPE: case HLO_OP_TRANSPOSE:
    case HLO_OP_SLICE: case HLO_OP_DYNAMIC_SLICE: case HLO_OP_REAL_DYNAMIC_SLICE: case HLO_OP_REVERSE:
    case HLO_OP_GATHER: case HLO_OP_DYNAMIC_GATHER: case HLO_OP_TORCH_INDEX_SELECT: case HLO_OP_GET_DIMENSION_SIZE:
    case HLO_OP_SET_DIMENSION_SIZE: case HLO_OP_ALL_GATHER: case HLO_OP_ALL_TO_ALL: case HLO_OP_COLLECTIVE_PERMUTE:
    case HLO_OP_COLLECTIVE_BROADCAST: case HLO_OP_CUSTOM_CALL: case HLO_OP_CHECK_EQ: case HLO_OP_CHECK_EQ_CONST:
    case HLO_OP_PROBE: case HLO_OP_PRINT: case HLO_OP_SEND: case HLO_OP_RECV: case HLO_OP_INFEED: case HLO_OP_OUTFEED:
        return ON_STORED;
    case HLO_OP_CONCATENATE: case HLO_OP_PAD: case HLO_OP_DYNAMIC_PAD: case HLO_OP_DYNAMIC_UPDATE_SLICE:
    case HLO_OP_SELECT: return ON_STORED_IF_EQUAL;
    default: return ON_REALS;
    }
}

static bool same_parameters(const struct hlo_quant *a, const struct hlo_quant *b) {
    if (a == b) return true;
    if (a->storage != b->storage || a->expressed != b->expressed || a->n != b->n || a->axis != b->axis ||
        a->nblock || b->nblock || a->storage_min != b->storage_min || a->storage_max != b->storage_max) return false;
    for (int i = 0; i < a->n; i++)
        if (a->scale[i] != b->scale[i] || a->zero_point[i] != b->zero_point[i]) return false;
    return true;
}

/* Do all quantised values of the op mean the same by their integers? */
static bool means_the_same(const struct hlo_op *op) {
    const struct hlo_type *r = op->nresult ? op->result[0].type : NULL;
    if (!r || !is_quantised(r)) return false;
    for (int i = 0; i < op->noperand; i++) {
        const struct hlo_type *t = op->operand[i]->type;
        if (is_quantised(t) && !same_parameters(t->quant, r->quant)) return false;
    }
    return true;
}

bool imp_quantised(struct imp *p, const struct hlo_op *op) {
    enum rule how = rule_of(op);
    bool stored = how == ON_STORED || (how == ON_STORED_IF_EQUAL && means_the_same(op));
    return stored ? imp_handler_of(op->code)(p, op) : on_reals(p, op);
}
