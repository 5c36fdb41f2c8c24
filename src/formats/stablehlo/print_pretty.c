/* print_pretty.c: operations in their custom forms.
 *
 * Most forms are formats of pretty.def, followed item by item (pretty.h tells the language); an item that the
 * operation does not fit (an attribute missing or of another type, operands left over, types that the form cannot say)
 * makes the whole form fail, and the caller writes the generic one. Constants, reductions, loops and scans have a
 * syntax of their own. */
#include <string.h>

#include "formats/stablehlo/pretty.h"
#include "formats/stablehlo/print.h"

static bool written_by_form(const char *name, const void *user) {
    return hlo_form_writes(hlo_op_of(((const struct hlo_op *)user)->code)->form, name);
}

static bool same_types(const struct hlo_op *op, const struct hlo_type *t) {
    for (int i = 0; i < op->noperand; i++)
        if (op->operand[i]->type != t) return false;
    for (int i = 0; i < op->nresult; i++)
        if (op->result[i].type != t) return false;
    return true;
}

static bool is_ints(const struct hlo_attr *a, enum hlo_elem e) {
    return a && a->kind == HLO_A_INTS && a->type->elem == e;
}

/* ---- directives that write attributes --------------------------------------------------------------------------- */
static bool put_number(struct printer *p, const struct hlo_attr *a, enum hlo_attr_kind kind, enum hlo_elem e) {
    if (!a || a->kind != kind || (a->type && a->type->elem != e)) return false;
    print_scalar(p->o, a);
    return true;
}

static bool put_ints(struct printer *p, const struct hlo_attr *a) {
    if (!is_ints(a, HLO_I64)) return false;
    print_ints(p->o, a);
    return true;
}

static bool put_enum(struct printer *p, const struct hlo_attr *a) {
    if (!a || a->kind != HLO_A_ENUM) return false;
    str_put(p->o, a->s);
    return true;
}

static bool put_text(struct printer *p, const struct hlo_attr *a, enum hlo_attr_kind kind) {
    if (!a || a->kind != kind) return false;
    hlo_attr_text(p->o, a);
    return true;
}

static bool put_target(struct printer *p, const struct hlo_attr *a) {
    if (!a || a->kind != HLO_A_STRING || strlen(a->s) != a->ns) return false;
    print_symbol(p->o, a->s);
    return true;
}

/* The constant's type is that of the first operand, or else of the result. */
static bool put_elements(struct printer *p, const struct hlo_op *op, const struct hlo_attr *a) {
    const struct hlo_type *t = op->noperand ? op->operand[0]->type : op->nresult ? op->result[0].type : NULL;
    return a && a->type == t && put_text(p, a, HLO_A_ELEMENTS);
}

static bool put_slice(struct printer *p, const struct hlo_op *op) {
    static const char *const name[3] = {"start_indices", "limit_indices", "strides"};
    const int64_t *v[3];
    int n[3];
    for (int i = 0; i < 3; i++) {
        if (!is_ints(hlo_get(op, name[i]), HLO_I64)) return false;
        v[i] = hlo_get_ints(op, name[i], &n[i]);
    }
    if (n[0] != n[1] || n[0] != n[2]) return false;
    str_putc(p->o, '[');
    for (int i = 0; i < n[0]; i++) {
        str_printf(p->o, "%s%lld:%lld", i ? ", " : "", (long long)v[0][i], (long long)v[1][i]);
        if (v[2][i] != 1) str_printf(p->o, ":%lld", (long long)v[2][i]);
    }
    str_putc(p->o, ']');
    return true;
}

/* "[0] x [1]" of two fields that may be left out where empty. */
static void put_pair(struct printer *p, const struct hlo_attr *a, const struct hlo_attr *b) {
    if (a) print_ints(p->o, a);
    str_put(p->o, a ? " x " : "[] x ");
    if (b) {
        print_ints(p->o, b);
    } else {
        str_put(p->o, "[]");
    }
}

static bool put_dot(struct printer *p, const struct hlo_attr *a) {
    if (!a || a->kind != HLO_A_STRUCT || strcmp(a->name, "stablehlo.dot") != 0) return false;
    const struct hlo_attr *lb = hlo_field(a, "lhs_batching_dimensions"), *rb = hlo_field(a, "rhs_batching_dimensions");
    if (lb || rb) {
        str_put(p->o, "batching_dims = ");
        put_pair(p, lb, rb);
        str_put(p->o, ", ");
    }
    str_put(p->o, "contracting_dims = ");
    put_pair(p, hlo_field(a, "lhs_contracting_dimensions"), hlo_field(a, "rhs_contracting_dimensions"));
    return true;
}

static bool put_precision(struct printer *p, const struct hlo_op *op) {
    const struct hlo_attr *list = hlo_get(op, "precision_config"), *algorithm = hlo_get(op, "algorithm");
    if (list && list->kind != HLO_A_LIST) return false;
    if (list) str_put(p->o, ", precision = [");
    for (int i = 0; list && i < list->n; i++) {
        if (list->item[i]->kind != HLO_A_ENUM) return false;
        str_printf(p->o, "%s%s", i ? ", " : "", list->item[i]->s);
    }
    if (list) str_putc(p->o, ']');
    if (!algorithm) return true;
    if (algorithm->kind != HLO_A_STRUCT) return false;
    str_put(p->o, ", algorithm = ");
    print_fields(p->o, algorithm);
    return true;
}

static bool put_conv(struct printer *p, const struct hlo_attr *a) {
    if (!a || a->kind != HLO_A_STRUCT || strcmp(a->name, "stablehlo.conv") != 0) return false;
    print_conv(p->o, a);
    return true;
}

/* Pairs of low and high padding, [[0, 1], [2, 3]]. */
static bool put_padding(struct printer *p, const struct hlo_attr *a) {
    if (a->kind != HLO_A_ELEMENTS || a->type->rank != 2 || a->type->dim[1] != 2 || a->type->elem != HLO_I64)
        return false;
    int64_t n = hlo_type_count(a->type), *v = mem_array(p->o->c, (size_t)n, sizeof *v);
    bool ok = v && hlo_elements_ints(p->o->c, a, v);
    str_putc(p->o, '[');
    for (int64_t i = 0; ok && i < n; i += 2)
        str_printf(p->o, "%s[%lld, %lld]", i ? ", " : "", (long long)v[i], (long long)v[i + 1]);
    str_putc(p->o, ']');
    mem_array_free(p->o->c, v, (size_t)n, sizeof *v);
    if (!ok) p->o->failed = true;
    return true;
}

static bool put_window(struct printer *p, const struct hlo_op *op) {
    static const struct {
        const char *name, *word;
    } part[] = {{"window_strides", "stride"}, {"padding", "pad"}, {"lhs_dilation", "lhs_dilate"},
        {"rhs_dilation", "rhs_dilate"}, {"window_reversal", "reverse"}};
    int written = 0;
    for (int i = 0; i < 5; i++) {
        const struct hlo_attr *a = hlo_get(op, part[i].name);
        if (!a) continue;
        str_printf(p->o, "%s%s = ", written++ ? ", " : "", part[i].word);
        if (i == 1 ? !put_padding(p, a) : !is_ints(a, i == 4 ? HLO_I1 : HLO_I64)) return false;
        if (i != 1) print_ints(p->o, a);
    }
    return true;
}

static bool put_format(struct printer *p, const struct hlo_op *op) {
    const struct hlo_attr *e = hlo_get(op, "exponent_bits"), *m = hlo_get(op, "mantissa_bits");
    str_putc(p->o, 'e');
    if (!put_number(p, e, HLO_A_INT, HLO_I32)) return false;
    str_putc(p->o, 'm');
    return put_number(p, m, HLO_A_INT, HLO_I32);
}

/* ---- directives that write types -------------------------------------------------------------------------------- */
static bool put_type_or_functional(struct printer *p, const struct hlo_op *op, bool short_form) {
    if (op->nresult != 1) return false;
    if (short_form) {
        hlo_type_text(p->o, op->result[0].type);
    } else {
        print_functional(p, op);
    }
    return true;
}

static bool put_select(struct printer *p, const struct hlo_op *op) {
    if (op->noperand != 3 || op->nresult != 1) return false;
    const struct hlo_type *t = op->result[0].type;
    if (op->operand[1]->type != t || op->operand[2]->type != t) return print_functional(p, op), true;
    hlo_type_text(p->o, op->operand[0]->type);
    str_put(p->o, ", ");
    hlo_type_text(p->o, t);
    return true;
}

/* Whether both operands have the type of the complex result's parts. */
static bool are_parts(const struct hlo_op *op) {
    if (op->nresult != 1 || op->noperand != 2) return false;
    const struct hlo_type *t = op->result[0].type, *part = op->operand[0]->type;
    enum hlo_elem e = t->elem == HLO_C64 ? HLO_F32 : HLO_F64;
    return part == op->operand[1]->type && part->kind == HLO_T_TENSOR && t->kind == HLO_T_TENSOR &&
           (t->elem == HLO_C64 || t->elem == HLO_C128) && part->elem == e && !part->quant && part->rank == t->rank &&
           (t->rank == 0 || memcmp(part->dim, t->dim, (size_t)t->rank * sizeof *t->dim) == 0) &&
           part->encoding == NULL && t->encoding == NULL;
}

static bool put_tuple(struct printer *p, const struct hlo_op *op) {
    const struct hlo_type *t = op->nresult == 1 ? op->result[0].type : NULL;
    if (!t || t->kind != HLO_T_TUPLE || t->n != op->noperand) return false;
    for (int i = 0; i < t->n; i++)
        if (t->item[i] != op->operand[i]->type) return false;
    hlo_type_text(p->o, t);
    return true;
}

static bool put_pairwise(struct printer *p, const struct hlo_op *op) {
    if (op->noperand != op->nresult) return false;
    for (int i = 0; i < op->nresult; i++)
        if (op->result[i].type != op->operand[i]->type) return false;
    if (op->nresult == 0) return str_put(p->o, "()"), true;
    str_putc(p->o, ' ');
    print_operands(p, op, 0, op->noperand);
    str_put(p->o, " : ");
    print_operand_types(p, op);
    return true;
}

static bool put_one_type(struct printer *p, const struct hlo_op *op) {
    const struct hlo_type *t = op->noperand ? op->operand[0]->type : NULL;
    if (!t || !same_types(op, t)) return false;
    hlo_type_text(p->o, t);
    return true;
}

static bool put_types(struct printer *p, const struct hlo_op *op, bool results) {
    if (results) {
        print_result_types(p, op);
        return op->nresult > 0;
    }
    print_operand_types(p, op);
    return true;
}

/* ---- following a format ----------------------------------------------------------------------------------------- */
static bool put_item(struct printer *p, const struct hlo_op *op, struct hlo_item it, const struct hlo_attr *a) {
    switch (it.kind) {
    case HLO_F_TEXT: return str_putn(p->o, it.text, it.n), true;
    case HLO_F_I32: return put_number(p, a, HLO_A_INT, HLO_I32);
    case HLO_F_I64: return put_number(p, a, HLO_A_INT, HLO_I64);
    case HLO_F_UI32: return put_number(p, a, HLO_A_INT, HLO_UI32);
    case HLO_F_UI64: return put_number(p, a, HLO_A_INT, HLO_UI64);
    case HLO_F_F64: return put_number(p, a, HLO_A_FLOAT, HLO_F64);
    case HLO_F_BOOL: return put_number(p, a, HLO_A_BOOL, HLO_I1);
    case HLO_F_INTS: return put_ints(p, a);
    case HLO_F_ENUM: return put_enum(p, a);
    case HLO_F_STRING: return put_text(p, a, HLO_A_STRING);
    case HLO_F_SYMBOL: return put_text(p, a, HLO_A_SYMBOL);
    case HLO_F_TARGET: return put_target(p, a);
    case HLO_F_ELEMENTS: return put_elements(p, op, a);
    case HLO_F_ATTRS: return print_attrs(p, op, " {", "}", written_by_form, op), true;
    case HLO_F_SAME:
        return put_type_or_functional(p, op, op->noperand == 0 || same_types(op, op->operand[0]->type));
    case HLO_F_FUNCTIONAL: return print_functional(p, op), true;
    case HLO_F_OPERANDS: return put_types(p, op, false);
    case HLO_F_RESULTS: return put_types(p, op, true);
    case HLO_F_TYPE: return put_one_type(p, op);
    case HLO_F_SELECT: return put_select(p, op);
    case HLO_F_COMPLEX: return put_type_or_functional(p, op, are_parts(op));
    case HLO_F_TUPLE: return put_tuple(p, op);
    case HLO_F_PAIRWISE: return put_pairwise(p, op);
    case HLO_F_SLICE: return put_slice(p, op);
    case HLO_F_DOT: return put_dot(p, hlo_get(op, "dot_dimension_numbers"));
    case HLO_F_PRECISION: return put_precision(p, op);
    case HLO_F_CONV: return put_conv(p, hlo_get(op, "dimension_numbers"));
    case HLO_F_WINDOW: return put_window(p, op);
    case HLO_F_FORMAT: return put_format(p, op);
    default: TSR_BUG("print: item %d of a format", it.kind);
    }
}

static const struct hlo_attr *attr_of(const struct hlo_op *op, struct hlo_item it) {
    for (int i = 0; it.kind != HLO_F_TEXT && it.text && i < op->nattr; i++)
        if (strlen(op->attr[i].name) == it.n && memcmp(op->attr[i].name, it.text, it.n) == 0) return op->attr[i].value;
    return NULL;
}

/* Past "$(": whether the group is to be written. If not, *at moves past its end. */
static bool enter_group(const struct hlo_op *op, const char **at) {
    const char *scan = *at;
    bool want = op->noperand > 0, decided = false;
    struct hlo_item it;
    while ((it = hlo_format_next(&scan)).kind != HLO_F_CLOSE) {
        if (decided || it.kind == HLO_F_TEXT || !it.text) continue;
        want = attr_of(op, it) != NULL;
        decided = true;
    }
    if (!want) *at = scan;
    return want;
}

static bool follow(struct printer *p, const struct hlo_op *op, const char *at) {
    int named = 0;                                                          /* operands before are written */
    bool pairwise = false, one = strstr(at, "$operands -> $results") != NULL; /* chlo: one result */
    if (op->nregion || (one && op->nresult != 1)) return false;
    for (struct hlo_item it = hlo_format_next(&at); it.kind != HLO_F_END; it = hlo_format_next(&at)) {
        switch (it.kind) {
        case HLO_F_OPEN: enter_group(op, &at); break;
        case HLO_F_CLOSE: break;
        case HLO_F_OPERAND:
            if (it.operand != named || named >= op->noperand) return false;
            print_operands(p, op, named, named + 1);
            named++;
            break;
        case HLO_F_REST:
        case HLO_F_REST_COMMA:
            print_operands(p, op, named, op->noperand);
            if (it.kind == HLO_F_REST_COMMA && named < op->noperand) str_put(p->o, ", ");
            named = op->noperand;
            break;
        default:
            if (!put_item(p, op, it, attr_of(op, it))) return false;
            pairwise |= it.kind == HLO_F_PAIRWISE;
        }
    }
    return pairwise || named == op->noperand;
}

/* ---- forms with a syntax of their own ---------------------------------------------------------------------------- */
static bool is_named(const char *name, const void *user) { return strcmp(name, user) == 0; }

static bool put_constant(struct printer *p, const struct hlo_op *op) {
    const struct hlo_attr *value = hlo_get(op, "value");
    if (!value || op->nresult != 1 || op->noperand || op->nregion) return false;
    if (value->kind != HLO_A_ELEMENTS || value->type != op->result[0].type) return print_generic(p, op), true;
    print_attrs(p, op, " {", "}", is_named, "value");
    str_putc(p->o, ' ');
    hlo_attr_text(p->o, value);
    return true;
}

/* The body of a reduction that "applies" says: one commutative operation on the two arguments in order, returned. */
static const struct hlo_op *applied(const struct hlo_op *op) {
    static const enum hlo_opcode commutative[] = {HLO_OP_ADD, HLO_OP_AND, HLO_OP_MAXIMUM, HLO_OP_MINIMUM,
        HLO_OP_MULTIPLY, HLO_OP_OR, HLO_OP_XOR};
    const struct hlo_block *b = op->region[0].block;
    const struct hlo_op *inner = b->first, *last = inner ? inner->next : NULL;
    if (!last || last->next || last->code != HLO_OP_RETURN || b->narg != 2 || inner->noperand != 2) return NULL;
    bool known = false;
    for (size_t i = 0; i < sizeof commutative / sizeof *commutative; i++) known |= inner->code == commutative[i];
    const struct hlo_type *t = b->arg[0].type, *in = op->operand[0]->type;
    bool fits = known && inner->nattr == 0 && inner->nresult == 1 && last->nattr == 0 && last->noperand == 1 &&
                inner->operand[0] == &b->arg[0] && inner->operand[1] == &b->arg[1] && same_types(inner, t) &&
                b->arg[1].type == t && last->operand[0] == &inner->result[0] && t->kind == HLO_T_TENSOR &&
                t->rank == 0 && t->elem == in->elem && t->quant == in->quant && !t->encoding;
    return fits ? inner : NULL;
}

static void put_reducer(struct printer *p, const struct hlo_op *op) {
    const struct hlo_block *b = op->region[0].block;
    print_newline(p);
    str_put(p->o, " reducer");
    for (int i = 0; i < b->narg / 2; i++) {
        for (int k = 0; k < 2; k++) {
            const struct hlo_value *arg = &b->arg[i + k * (b->narg / 2)];
            str_put(p->o, k ? ", " : "(");
            print_value(p->o, p->names, arg);
            str_put(p->o, ": ");
            hlo_type_text(p->o, arg->type);
        }
        str_put(p->o, ") ");
    }
    str_putc(p->o, ' ');
    print_region(p, &op->region[0], false);
}

static bool put_reduce(struct printer *p, const struct hlo_op *op) {
    const struct hlo_attr *dims = hlo_get(op, "dimensions");
    int n = op->noperand / 2;
    if (n == 0 || op->noperand % 2 || op->nregion != 1 || op->region[0].nblock != 1 || !is_ints(dims, HLO_I64) ||
        op->region[0].block->narg != 2 * n)
        return false;
    for (int i = 0; i < n; i++) {
        str_put(p->o, i ? ", (" : "(");
        print_value(p->o, p->names, op->operand[i]);
        str_put(p->o, " init: ");
        print_value(p->o, p->names, op->operand[n + i]);
        str_putc(p->o, ')');
    }
    const struct hlo_op *inner = applied(op);
    if (inner) str_printf(p->o, " applies %s", inner->name);
    str_put(p->o, " across dimensions = ");
    print_ints(p->o, dims);
    print_attrs(p, op, " {", "}", is_named, "dimensions");
    str_put(p->o, " : ");
    print_functional(p, op);
    if (!inner) put_reducer(p, op);
    return true;
}

static bool loop_block_fits(const struct hlo_op *op, const struct hlo_region *r) {
    if (r->nblock != 1 || r->block->narg != op->noperand) return false;
    for (int i = 0; i < op->noperand; i++)
        if (r->block->arg[i].type != op->operand[i]->type) return false;
    return true;
}

static bool is_no_name(const char *name, const void *user) {
    (void)name, (void)user;
    return false;
}

static bool put_while(struct printer *p, const struct hlo_op *op) {
    if (op->nregion != 2 || op->noperand != op->nresult) return false;
    if (!loop_block_fits(op, &op->region[0]) || !loop_block_fits(op, &op->region[1])) return false;
    for (int i = 0; i < op->nresult; i++)
        if (op->result[i].type != op->operand[i]->type) return false;
    str_putc(p->o, '(');
    for (int i = 0; i < op->noperand; i++) {
        if (i) str_put(p->o, ", ");
        print_value(p->o, p->names, &op->region[1].block->arg[i]);
        str_put(p->o, " = ");
        print_value(p->o, p->names, op->operand[i]);
    }
    str_put(p->o, op->noperand ? ") : " : ")");
    print_operand_types(p, op);
    print_attrs(p, op, " attributes {", "}", is_no_name, NULL);
    print_newline(p);
    str_put(p->o, "cond ");
    print_region(p, &op->region[0], false);
    str_put(p->o, " do ");
    print_region(p, &op->region[1], false);
    return true;
}

static bool in_scan(const char *name, const void *user) {
    (void)user;
    return strcmp(name, "dimension") == 0 || strcmp(name, "operandSegmentSizes") == 0 ||
           strcmp(name, "resultSegmentSizes") == 0;
}

static bool put_scan(struct printer *p, const struct hlo_op *op) {
    const struct hlo_attr *in = hlo_get(op, "operandSegmentSizes"), *out = hlo_get(op, "resultSegmentSizes");
    const struct hlo_attr *dim = hlo_get(op, "dimension");
    if (!is_ints(in, HLO_I32) || !is_ints(out, HLO_I32) || in->n != 2 || out->n != 2 || op->nregion != 1) return false;
    if (in->ints[0] < 0 || in->ints[1] < 0 || in->ints[0] + in->ints[1] != op->noperand ||
        out->ints[1] != in->ints[1] || out->ints[0] + out->ints[1] != op->nresult)
        return false;
    str_putc(p->o, '(');
    print_operands(p, op, 0, (int)in->ints[0]);
    str_put(p->o, ") inits (");
    print_operands(p, op, (int)in->ints[0], op->noperand);
    str_put(p->o, ") dimension=");
    if (!put_number(p, dim, HLO_A_INT, HLO_I64)) return false;
    print_attrs(p, op, " attributes {", "}", in_scan, NULL);
    str_putc(p->o, ' ');
    print_region(p, &op->region[0], true);
    str_put(p->o, " : ");
    print_functional(p, op);
    return true;
}

bool print_pretty(struct printer *p, const struct hlo_op *op) {
    enum hlo_form form = hlo_op_of(op->code)->form;
    if (form == HLO_FORM_CONSTANT) return put_constant(p, op);
    if (form == HLO_FORM_REDUCE) return put_reduce(p, op);
    if (form == HLO_FORM_WHILE) return put_while(p, op);
    if (form == HLO_FORM_SCAN) return put_scan(p, op);
    return *hlo_form_format(form) && follow(p, op, hlo_form_format(form));
}
