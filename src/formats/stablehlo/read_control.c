/* read_control.c: operations with a syntax of their own: constant, reduce, while, scan. pretty.h tells their forms. */
#include <string.h>

#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/reader.h"

bool read_constant(struct reader *r, struct read_op *o) {
    if (lex_peek(&r->x) == '(') return read_generic_tail(r, o);
    if (!read_opt_dict(r)) return false;
    struct hlo_loc at = lex_here(&r->x);
    const struct hlo_attr *a = read_attr(r);
    if (!a) return false;
    if (a->kind != HLO_A_ELEMENTS) return hlo_fail(r->m, at, "expected the constant, dense<...> : tensor<...>");
    return read_set(r, "value", a) && vec_push(r->c, &r->type, a->type);
}

/* ---- reduce ----------------------------------------------------------------------------------------------------- */

/* "(%x init: %a)" */
static bool reduce_pair(struct reader *r) {
    struct hlo_value *x, *init;
    return lex_expect(&r->x, '(', "before an input of reduce") && read_ssa_use(r, &x) && vec_push(r->c, &r->operand,
        x) &&
        lex_expect_text(&r->x, "init", "after the input") && lex_expect(&r->x, ':', "after 'init'") &&
        read_ssa_use(r, &init) && vec_push(r->c, &r->operand, init) && lex_expect(&r->x, ')',
            "after the initial value");
}

/* "(%x init: %a), (%y init: %b)": operands are the inputs, then the inits. */
static bool reduce_operands(struct reader *r, const struct read_op *o) {
    do {
        if (!reduce_pair(r)) return false;
    } while (lex_accept(&r->x, ','));
    size_t n = (r->operand.n - o->operand) / 2;
    for (size_t i = 0; i < n; i++)
        if (!vec_push(r->c, &r->operand, r->operand.v[o->operand + 2 * i + 1])) return false;
    struct hlo_value **v = r->operand.v + o->operand;
    for (size_t i = 0; i < n; i++) v[i] = v[2 * i];
    memmove(v + n, v + 2 * n, n * sizeof *v);
    r->operand.n -= n;
    return true;
}

static bool across(struct reader *r) {
    if (!lex_accept_word(&r->x, "across") || !lex_accept_word(&r->x, "dimensions"))
        return lex_expected(&r->x, "'across dimensions = [...]'");
    return lex_expect(&r->x, '=', "after 'dimensions'") && read_set(r, "dimensions", read_int_list(r, HLO_I64)) &&
        read_opt_dict(r);
}

static bool is_commutative(enum hlo_opcode code) {
    static const enum hlo_opcode list[] = {HLO_OP_ADD, HLO_OP_MULTIPLY, HLO_OP_AND, HLO_OP_OR, HLO_OP_XOR,
        HLO_OP_MINIMUM,
        HLO_OP_MAXIMUM};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i] == code) return true;
    return false;
}

/* The body "applies" stands for: (a, b) -> return op(a, b) of 0-rank tensors. */
static bool monoid_region(struct reader *r, const struct read_op *o, enum hlo_opcode code) {
    struct hlo_region g = {0};
    struct hlo_type proto = *r->operand.v[o->operand]->type;
    proto.kind = HLO_T_TENSOR, proto.rank = 0, proto.dim = NULL, proto.encoding = NULL;
    const struct hlo_type *t = hlo_type_intern(r->m, &proto), *pair[] = {t, t};
    if (!t || !hlo_region_blocks(r->m, &g, 1) || !hlo_block_args(r->m, &g.block[0], 2, pair)) return false;
    struct hlo_value *arg[] = {&g.block[0].arg[0], &g.block[0].arg[1]};
    struct hlo_op *op = hlo_op_new(r->m, hlo_op_of(code)->name, o->loc, 2, arg, 0, NULL, 1, &t, 0);
    if (!op) return false;
    struct hlo_value *value = &op->result[0];
    struct hlo_op *ret = hlo_op_new(r->m, "stablehlo.return", o->loc, 1, &value, 0, NULL, 0, NULL, 0);
    if (!ret) return false;
    hlo_block_append(&g.block[0], op);
    hlo_block_append(&g.block[0], ret);
    return vec_push(r->c, &r->region, g);
}

static bool reduce_applies(struct reader *r, struct read_op *o) {
    const char *s;
    size_t n;
    struct hlo_loc at = lex_here(&r->x);
    if (!lex_word(&r->x, &s, &n)) return lex_expected(&r->x, "an operation after 'applies'");
    enum hlo_opcode code = hlo_opcode_find(s, n);
    if (!is_commutative(code))
        return hlo_fail(r->m, at, "'applies %.*s': a reduction applies stablehlo.add, multiply, and, or, xor, minimum "
                                  "or maximum; other bodies are written out, after 'reducer'", (int)n, s);
    return across(r) && lex_expect(&r->x, ':', "before the types") && read_functional(r, o) && monoid_region(r, o,
        code);
}

/* "%name: T" pushed on r->pending and r->type. */
static bool typed_name(struct reader *r) {
    struct read_ssa s;
    if (!read_ssa_name(r, &s) || !vec_push(r->c, &r->pending, s)) return false;
    if (!lex_expect(&r->x, ':', "after the name")) return false;
    const struct hlo_type *t = read_type(r);
    return t && vec_push(r->c, &r->type, t) && read_location(r);
}

/* "(%a: T, %b: U) (%c: V, %d: W)": the pairs' first names are the first half of the arguments. */
static bool reducer_names(struct reader *r, size_t name, size_t type) {
    while (lex_accept(&r->x, '('))
        if (!typed_name(r) || !lex_expect(&r->x, ',', "between the arguments") || !typed_name(r) ||
            !lex_expect(&r->x, ')', "after the arguments"))
            return false;
    size_t n = (r->pending.n - name) / 2;
    for (size_t half = 0; half < 2; half++) /* unzipped behind what is there */
        for (size_t i = 0; i < n; i++)
            if (!vec_push(r->c, &r->pending, r->pending.v[name + 2 * i + half]) ||
                !vec_push(r->c, &r->type, r->type.v[type + 2 * i + half]))
                return false;
    return true;
}

static bool reduce_body(struct reader *r) {
    size_t name = r->pending.n, type = r->type.n;
    if (!lex_accept_word(&r->x, "reducer")) return lex_expected(&r->x, "'reducer' and the body of the reduction");
    if (!reducer_names(r, name, type)) return false;
    int n = (int)(r->pending.n - name) / 2;
    if (!n) return lex_expected(&r->x, "'(%a: T, %b: T)', the arguments of the body");
    bool ok = read_region(r, n, r->pending.v + name + n, r->type.v + type + n, SCOPE_NESTED);
    r->pending.n = name, r->type.n = type;
    return ok;
}

bool read_reduce(struct reader *r, struct read_op *o) {
    if (!reduce_operands(r, o)) return false;
    if (lex_accept_word(&r->x, "applies")) return reduce_applies(r, o);
    return across(r) && lex_expect(&r->x, ':', "before the types") && read_functional(r, o) && reduce_body(r);
}

/* ---- while ------------------------------------------------------------------------------------------------------ */

/* "(%arg = %init, ...)": names on r->pending, operands. */
static bool while_operands(struct reader *r) {
    if (!lex_expect(&r->x, '(', "before the operands of while")) return false;
    if (lex_accept(&r->x, ')')) return true;
    do {
        struct read_ssa s;
        struct hlo_value *v;
        if (!read_ssa_name(r, &s) || !vec_push(r->c, &r->pending, s)) return false;
        if (!lex_expect(&r->x, '=', "between argument and initial value") || !read_ssa_use(r, &v) ||
            !vec_push(r->c, &r->operand, v))
            return false;
    } while (lex_accept(&r->x, ','));
    return lex_expect(&r->x, ')', "after the operands of while");
}

bool read_while(struct reader *r, struct read_op *o) {
    size_t name = r->pending.n;
    if (!while_operands(r)) return false;
    int n = (int)(r->pending.n - name);
    if (n && (!lex_expect(&r->x, ':', "before the types") || !read_types(r) ||
                 !read_check_operands(r, o, o->type, r->type.n - o->type)))
        return false;
    if (!read_dict_with_word(r)) return false;
    if (!lex_accept_word(&r->x, "cond")) return lex_expected(&r->x, "'cond' and the region of the condition");
    if (!read_region(r, n, r->pending.v + name, r->type.v + o->type, SCOPE_NESTED)) return false;
    if (!lex_accept_word(&r->x, "do")) return lex_expected(&r->x, "'do' and the body of the loop");
    bool ok = read_region(r, n, r->pending.v + name, r->type.v + o->type, SCOPE_NESTED);
    r->pending.n = name;
    return ok;
}

/* ---- scan ------------------------------------------------------------------------------------------------------- */

static bool operand_group(struct reader *r, const char *where) {
    return lex_expect(&r->x, '(', where) && read_operands(r) && lex_expect(&r->x, ')', "after the operands");
}

static const struct hlo_attr *segments(struct reader *r, int64_t a, int64_t b) {
    return hlo_attr_ints(r->m, HLO_I32, 2, (int64_t[]){a, b});
}

bool read_scan(struct reader *r, struct read_op *o) {
    int64_t dimension;
    if (!operand_group(r, "before the inputs")) return false;
    int64_t inputs = (int64_t)(r->operand.n - o->operand);
    if (!lex_accept_word(&r->x, "inits")) return lex_expected(&r->x, "'inits' and the initial values");
    if (!operand_group(r, "before the initial values")) return false;
    int64_t inits = (int64_t)(r->operand.n - o->operand) - inputs;
    if (!lex_accept_word(&r->x, "dimension")) return lex_expected(&r->x, "'dimension='");
    if (!lex_expect(&r->x, '=', "after 'dimension'") || !lex_int(&r->x, &dimension, "a dimension")) return false;
    if (!read_set(r, "dimension", hlo_attr_int(r->m, HLO_I64, dimension)) || !read_dict_with_word(r)) return false;
    if (!read_region(r, -1, NULL, NULL, SCOPE_NESTED)) return false;
    if (!lex_expect(&r->x, ':', "before the types") || !read_functional(r, o)) return false;
    int64_t outputs = (int64_t)(r->type.n - o->type) - inits;
    if (outputs < 0) return hlo_fail(r->m, o->loc, "a scan has at least as many results as initial values");
    return read_set(r, "operandSegmentSizes", segments(r, inputs, inits)) &&
        read_set(r, "resultSegmentSizes", segments(r, outputs, inits));
}
