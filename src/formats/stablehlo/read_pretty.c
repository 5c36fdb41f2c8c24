/* read_pretty.c: the custom assembly of operations: the formats of pretty.def followed item by item.
 *
 * Types come last in nearly all forms, when the operands are known from their definitions already; a directive of types
 * checks what it reads against them and pushes the types of the results. */
#include <stdio.h>
#include <string.h>

#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/reader.h"
#include "formats/stablehlo/structs.h"

/* ---- text ------------------------------------------------------------------------------------------------------- */

/* One piece of a format's text, k bytes at p, at the cursor: a word must be whole. */
static bool piece_here(struct reader *r, const char *p, size_t k, bool word) {
    struct lex *x = &r->x;
    size_t left = (size_t)(x->end - x->p);
    if (left < k || memcmp(x->p, p, k) != 0 || (word && left > k && lex_is_word((unsigned char)x->p[k]))) {
        char what[64];
        snprintf(what, sizeof what, "'%.*s'", (int)k, p);
        return lex_expected(x, what);
    }
    x->p += k;
    lex_skip(x);
    return true;
}

/* Verbatim text of a format: words and signs, each with any space around it in the input. */
static bool text_here(struct reader *r, const char *p, size_t n) {
    const char *end = p + n;
    for (;;) {
        while (p < end && *p == ' ') p++;
        if (p == end) return true;
        size_t k = 1;
        bool word = lex_is_word((unsigned char)*p);
        while (word && p + k < end && lex_is_word((unsigned char)p[k])) k++;
        if (*p == '-' && p + 1 < end && p[1] == '>') k = 2;
        if (!piece_here(r, p, k, word)) return false;
        p += k;
    }
}

/* Whether the text's first piece stands here. */
static bool text_next(const struct reader *r, struct hlo_item it) {
    const char *p = it.text, *end = it.text + it.n;
    while (p < end && *p == ' ') p++;
    return p < end && lex_peek(&r->x) == *p;
}

/* ---- operands --------------------------------------------------------------------------------------------------- */

static bool one_operand(struct reader *r) {
    struct hlo_value *v;
    return read_ssa_use(r, &v) && vec_push(r->c, &r->operand, v);
}

static bool operands_with_commas(struct reader *r) {
    while (lex_peek(&r->x) == '%')
        if (!one_operand(r) || !lex_expect(&r->x, ',', "after the operand")) return false;
    return true;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static const struct hlo_attr *integer_attr(struct reader *r, enum hlo_elem e) {
    uint64_t bits;
    size_t n = hlo_literal(e, r->x.p, r->x.end, &bits);
    if (!n) return hlo_fail(r->m, lex_here(&r->x), "expected an integer that %s can hold", hlo_elem_of(e)->text), NULL;
    r->x.p += n;
    lex_skip(&r->x);
    int width = hlo_elem_of(e)->bits;
    bool extend = !hlo_elem_unsigned(e) && width < 64;
    return hlo_attr_int(r->m, e, extend ? (int64_t)(bits << (64 - width)) >> (64 - width) : (int64_t)bits);
}

static const struct hlo_attr *float_attr(struct reader *r) {
    uint64_t bits;
    size_t n = hlo_literal(HLO_F64, r->x.p, r->x.end, &bits);
    if (!n) return lex_expected(&r->x, "a float"), NULL;
    r->x.p += n;
    lex_skip(&r->x);
    return hlo_attr_float(r->m, HLO_F64, hlo_bits_to_double(HLO_F64, bits));
}

static const struct hlo_attr *bool_attr(struct reader *r) {
    if (lex_accept_word(&r->x, "true")) return hlo_attr_bool(r->m, true);
    if (lex_accept_word(&r->x, "false")) return hlo_attr_bool(r->m, false);
    return lex_expected(&r->x, "true or false"), NULL;
}

static const struct hlo_attr *string_attr(struct reader *r, bool as_symbol) {
    const char *s;
    size_t n;
    bool ok = as_symbol ? read_symbol_text(r, &s, &n) : lex_string(&r->x, &r->m->arena, &s, &n);
    return ok ? hlo_attr_string(r->m, s, n) : NULL;
}

/* The dialect's name of the enum that attribute `name` is: attribute and enum have the same name, but for one. */
static const struct hlo_attr *enum_attr(struct reader *r, const char *name) {
    char full[64];
    snprintf(full, sizeof full, "stablehlo.%s", strcmp(name, "compare_type") == 0 ? "comparison_type" : name);
    return read_enum_value(r, full);
}

static const struct hlo_attr *format_attr(struct reader *r, enum hlo_directive kind, const char *name) {
    switch (kind) {
    case HLO_F_I32: return integer_attr(r, HLO_I32);
    case HLO_F_I64: return integer_attr(r, HLO_I64);
    case HLO_F_UI32: return integer_attr(r, HLO_UI32);
    case HLO_F_UI64: return integer_attr(r, HLO_UI64);
    case HLO_F_F64: return float_attr(r);
    case HLO_F_BOOL: return bool_attr(r);
    case HLO_F_INTS: return read_int_list(r, HLO_I64);
    case HLO_F_ENUM: return enum_attr(r, name);
    case HLO_F_STRING: return string_attr(r, false);
    case HLO_F_TARGET: return string_attr(r, true);
    case HLO_F_SYMBOL: return read_symbol(r);
    default: return read_attr(r);
    }
}

static bool named_attr(struct reader *r, struct hlo_item it) {
    const struct read_name *name = read_name(r, it.text, it.n);
    return name && read_put(r, name->text, format_attr(r, it.kind, name->text));
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

static size_t operand_count(const struct reader *r, const struct read_op *o) { return r->operand.n - o->operand; }

/* Operand i is of type t, or an error says what it is. */
static bool operand_is(struct reader *r, const struct read_op *o, size_t i, const struct hlo_type *t) {
    struct read_op one = *o;
    size_t mark = r->type.n, operands = r->operand.n;
    one.operand = o->operand + i;
    r->operand.n = one.operand + 1;
    bool ok = vec_push(r->c, &r->type, t) && read_check_operands(r, &one, mark, 1);
    r->type.n = mark, r->operand.n = operands;
    return ok;
}

static bool push_type(struct reader *r, const struct hlo_type *t) { return t && vec_push(r->c, &r->type, t); }

static bool same_type(struct reader *r, const struct read_op *o) {
    if (lex_peek(&r->x) == '(') return read_functional(r, (struct read_op *)o);
    const struct hlo_type *t = read_type(r);
    if (!t) return false;
    for (size_t i = 0; i < operand_count(r, o); i++)
        if (!operand_is(r, o, i, t)) return false;
    return push_type(r, t);
}

/* $operands: types checked and gone; $results: types that stay. */
static bool operand_types(struct reader *r, const struct read_op *o) {
    size_t mark = r->type.n;
    if (!read_types(r) || !read_check_operands(r, o, mark, r->type.n - mark)) return false;
    r->type.n = mark;
    return true;
}

/* $type: the checks have no result, interpreter.probe has one. */
static bool one_type(struct reader *r, const struct read_op *o) {
    const struct hlo_type *t = read_type(r);
    for (size_t i = 0; t && i < operand_count(r, o); i++)
        if (!operand_is(r, o, i, t)) return false;
    return t && (o->name->code != HLO_OP_PROBE || push_type(r, t));
}

static bool select_types(struct reader *r, struct read_op *o) {
    if (lex_peek(&r->x) == '(') return read_functional(r, o);
    const struct hlo_type *pred = read_type(r), *t = NULL;
    if (!pred || !lex_expect(&r->x, ',', "between the types of predicate and result") || !(t = read_type(r)))
        return false;
    return operand_is(r, o, 0, pred) && operand_is(r, o, 1, t) && operand_is(r, o, 2, t) && push_type(r, t);
}

static bool complex_types(struct reader *r, struct read_op *o) {
    if (lex_peek(&r->x) == '(') return read_functional(r, o);
    struct hlo_loc at = lex_here(&r->x);
    const struct hlo_type *t = read_type(r), *part;
    if (!t) return false;
    if (t->kind != HLO_T_TENSOR || !hlo_elem_complex(t->elem))
        return hlo_fail(r->m, at, "expected a tensor of complex<...>");
    struct hlo_type proto = *t;
    proto.elem = hlo_elem_part(t->elem);
    part = hlo_type_intern(r->m, &proto);
    return part && operand_is(r, o, 0, part) && operand_is(r, o, 1, part) && push_type(r, t);
}

static bool tuple_types(struct reader *r, const struct read_op *o) {
    struct hlo_loc at = lex_here(&r->x);
    const struct hlo_type *t = read_type(r);
    if (!t) return false;
    if (t->kind != HLO_T_TUPLE || (size_t)t->n != operand_count(r, o))
        return hlo_fail(r->m, at, "expected a tuple type with an item for each of %zu operands", operand_count(r, o));
    for (int i = 0; i < t->n; i++)
        if (!operand_is(r, o, (size_t)i, t->item[i])) return false;
    return push_type(r, t);
}

static bool pairwise(struct reader *r, const struct read_op *o) {
    if (lex_accept(&r->x, '(')) return lex_expect(&r->x, ')', "in place of operands");
    if (!read_operands(r) || !lex_expect(&r->x, ':', "before the types")) return false;
    size_t mark = r->type.n;
    return read_types(r) && read_check_operands(r, o, mark, r->type.n - mark);
}

/* ---- directives with a syntax of their own ---------------------------------------------------------------------- */

static bool push3(struct reader *r, int64_t a, int64_t b, int64_t c) {
    return vec_push(r->c, &r->integer, a) && vec_push(r->c, &r->integer, b) && vec_push(r->c, &r->integer, c);
}

/* Every third of the integers above mark, from `from` on. */
static const struct hlo_attr *every_third(struct reader *r, size_t mark, size_t from) {
    size_t n = (r->integer.n - mark) / 3, base = r->integer.n;
    for (size_t i = 0; i < n; i++)
        if (!vec_push(r->c, &r->integer, r->integer.v[mark + 3 * i + from])) return NULL;
    const struct hlo_attr *a = hlo_attr_ints(r->m, HLO_I64, (int)n, r->integer.v + base);
    r->integer.n = base;
    return a;
}

/* [start:limit, start:limit:stride] */
static bool slice(struct reader *r) {
    size_t mark = r->integer.n;
    if (!lex_expect(&r->x, '[', "before the ranges of a slice")) return false;
    if (lex_peek(&r->x) != ']')
        do {
            int64_t start, limit, stride = 1;
            if (!lex_int(&r->x, &start, "a start index") || !lex_expect(&r->x, ':', "between start and limit") ||
                !lex_int(&r->x, &limit, "a limit index") ||
                (lex_accept(&r->x, ':') && !lex_int(&r->x, &stride, "a stride")) || !push3(r, start, limit, stride))
                return false;
        } while (lex_accept(&r->x, ','));
    bool ok = read_set(r, "start_indices", every_third(r, mark, 0)) &&
        read_set(r, "limit_indices", every_third(r, mark, 1)) && read_set(r, "strides", every_third(r, mark, 2));
    r->integer.n = mark;
    return ok && lex_expect(&r->x, ']', "after the ranges of a slice");
}

/* "[0] x [1]" */
static bool dims_pair(struct reader *r, const struct hlo_attr **value) {
    return lex_expect(&r->x, '=', "before the dimensions") && (value[0] = read_int_list(r, HLO_I64)) &&
        lex_expect_text(&r->x, "x", "between the dimensions of lhs and rhs") && (value[1] = read_int_list(r, HLO_I64));
}

static bool dot(struct reader *r) {
    const struct hlo_attr *value[HLO_STRUCT_FIELDS] = {NULL};
    if (lex_accept_word(&r->x, "batching_dims") &&
        (!dims_pair(r, value) || !lex_expect(&r->x, ',', "after the batching dimensions")))
        return false;
    if (!lex_accept_word(&r->x, "contracting_dims")) return lex_expected(&r->x, "'contracting_dims ='");
    return dims_pair(r, value + 2) &&
        read_set(r, "dot_dimension_numbers", hlo_struct_make(r->m, hlo_struct_find("stablehlo.dot", 13), value));
}

static const struct hlo_attr *precisions(struct reader *r) {
    size_t mark = r->attr.n;
    if (!lex_expect(&r->x, '=', "after 'precision'") || !lex_expect(&r->x, '[', "before the precisions")) return NULL;
    if (lex_peek(&r->x) != ']')
        do {
            const struct hlo_attr *a = read_enum_value(r, "stablehlo.precision");
            if (!a || !vec_push(r->c, &r->attr, a)) return NULL;
        } while (lex_accept(&r->x, ','));
    const struct hlo_attr *list = hlo_attr_list(r->m, (int)(r->attr.n - mark), r->attr.v + mark);
    r->attr.n = mark;
    return lex_expect(&r->x, ']', "after the precisions") ? list : NULL;
}

/* ", precision = [...], algorithm = <...>", each only if it is there. */
static bool precision(struct reader *r) {
    while (lex_accept(&r->x, ',')) {
        if (lex_accept_word(&r->x, "precision")) {
            if (!read_set(r, "precision_config", precisions(r))) return false;
        } else if (lex_accept_word(&r->x, "algorithm")) {
            if (!lex_expect(&r->x, '=', "after 'algorithm'") ||
                !read_set(r, "algorithm", read_struct_body(r, "stablehlo.dot_algorithm")))
                return false;
        } else {
            return lex_expected(&r->x, "'precision =' or 'algorithm ='");
        }
    }
    return true;
}

/* [[0, 0], [1, 1]] as dense<...> : tensor<Nx2xi64>. */
static const struct hlo_attr *padding(struct reader *r) {
    size_t mark = r->integer.n;
    if (!lex_expect(&r->x, '[', "before the padding")) return NULL;
    if (lex_peek(&r->x) != ']')
        do {
            struct hlo_loc at = lex_here(&r->x);
            const struct hlo_attr *pair = read_int_list(r, HLO_I64);
            if (!pair) return NULL;
            if (pair->n != 2) return hlo_fail(r->m, at, "the padding of a dimension is a pair, [low, high]"), NULL;
            if (!vec_push(r->c, &r->integer, pair->ints[0]) || !vec_push(r->c, &r->integer, pair->ints[1])) return NULL;
        } while (lex_accept(&r->x, ','));
    size_t n = r->integer.n - mark;
    int64_t *data = arena_array(&r->m->arena, n, sizeof *data), dim[] = {(int64_t)n / 2, 2};
    const struct hlo_type *t = hlo_type_tensor(r->m, HLO_I64, 2, dim);
    r->integer.n = mark;
    if (!data || !t || !lex_expect(&r->x, ']', "after the padding")) return NULL;
    memcpy(data, r->integer.v + mark, n * sizeof *data);
    return hlo_attr_elements(r->m, t, false, data, n * sizeof *data);
}

static bool window(struct reader *r) {
    static const char *const word[][2] = {{"stride", "window_strides"}, {"lhs_dilate", "lhs_dilation"},
        {"rhs_dilate", "rhs_dilation"}, {"reverse", "window_reversal"}, {"pad", "padding"}};
    if (lex_peek(&r->x) == '}') return true;
    do {
        size_t i = 0;
        while (i < 5 && !lex_accept_word(&r->x, word[i][0])) i++;
        if (i == 5) return lex_expected(&r->x, "stride, pad, lhs_dilate, rhs_dilate or reverse");
        if (!lex_expect(&r->x, '=', "after the name")) return false;
        if (!read_set(r, word[i][1], i == 4 ? padding(r) : read_int_list(r, i == 3 ? HLO_I1 : HLO_I64))) return false;
    } while (lex_accept(&r->x, ','));
    return true;
}

/* e5m2 */
static bool exponent_mantissa(struct reader *r) {
    const char *s;
    size_t n, i = 1;
    int64_t v[2] = {0, 0};
    struct hlo_loc at = lex_here(&r->x);
    bool ok = lex_word(&r->x, &s, &n) && *s == 'e' && n < 12;
    for (int k = 0; ok && k < 2; k++) {
        size_t from = i;
        for (; i < n && lex_is_digit(s[i]); i++) v[k] = v[k] * 10 + (s[i] - '0');
        ok = i > from && (k ? i == n : i < n && s[i++] == 'm');
    }
    if (!ok) return hlo_fail(r->m, at, "expected a format such as e5m2: bits of exponent and mantissa");
    return read_set(r, "exponent_bits", hlo_attr_int(r->m, HLO_I32, v[0])) &&
        read_set(r, "mantissa_bits", hlo_attr_int(r->m, HLO_I32, v[1]));
}

/* ---- the formats ------------------------------------------------------------------------------------------------ */

/* The result of a constant, and the operand it is compared with, has the type of the elements. */
static bool elements(struct reader *r, struct hlo_item it, const struct read_op *o) {
    if (!named_attr(r, it)) return false;
    const struct hlo_attr *a = r->named.v[r->named.n - 1].value;
    if (a->kind != HLO_A_ELEMENTS)
        return hlo_fail(r->m, o->loc, "the value of '%s' is a constant, dense<...> : tensor<...>", o->name->text);
    if (operand_count(r, o)) return operand_is(r, o, 0, a->type);
    return push_type(r, a->type);
}

static bool follow(struct reader *r, struct hlo_item it, struct read_op *o) {
    switch (it.kind) {
    case HLO_F_TEXT: return text_here(r, it.text, it.n);
    case HLO_F_OPERAND: return one_operand(r);
    case HLO_F_REST: return read_operands(r);
    case HLO_F_REST_COMMA: return operands_with_commas(r);
    case HLO_F_ELEMENTS: return elements(r, it, o);
    case HLO_F_ATTRS: return read_opt_dict(r);
    case HLO_F_SAME: return same_type(r, o);
    case HLO_F_FUNCTIONAL: return read_functional(r, o);
    case HLO_F_OPERANDS: return operand_types(r, o);
    case HLO_F_RESULTS: return lex_peek(&r->x) == ')' || read_types(r);
    case HLO_F_TYPE: return one_type(r, o);
    case HLO_F_SELECT: return select_types(r, o);
    case HLO_F_COMPLEX: return complex_types(r, o);
    case HLO_F_TUPLE: return tuple_types(r, o);
    case HLO_F_PAIRWISE: return pairwise(r, o);
    case HLO_F_SLICE: return slice(r);
    case HLO_F_DOT: return dot(r);
    case HLO_F_PRECISION: return precision(r);
    case HLO_F_CONV: return read_set(r, "dimension_numbers", read_conv_dims(r));
    case HLO_F_WINDOW: return window(r);
    case HLO_F_FORMAT: return exponent_mantissa(r);
    default: return named_attr(r, it);
    }
}

/* A group is there if its first item is: a text that stands here, or an operand. */
static bool group_here(const struct reader *r, struct hlo_item first) {
    return first.kind == HLO_F_TEXT ? text_next(r, first) : lex_peek(&r->x) == '%';
}

/* The items of a form's format, cut when it is first met. */
static const struct hlo_item *items_of(struct reader *r, enum hlo_form form) {
    const char *at = hlo_form_format(form);
    size_t n = 1;
    if (r->format[form]) return r->format[form];
    while (hlo_format_next(&at).kind != HLO_F_END) n++;
    struct hlo_item *items = arena_array(&r->m->arena, n, sizeof *items);
    at = hlo_form_format(form);
    for (size_t i = 0; items && i < n; i++) items[i] = hlo_format_next(&at);
    return r->format[form] = items;
}

/* After $(: the first item to read, or past $) where the group is not there. */
static const struct hlo_item *enter_group(const struct reader *r, const struct hlo_item *it) {
    if (it->kind == HLO_F_TEXT && it->n == strspn(it->text, " ")) it++;
    if (group_here(r, *it)) return it;
    while (it->kind != HLO_F_CLOSE) it++;
    return it + 1;
}

static bool read_format(struct reader *r, struct read_op *o, const struct hlo_item *it) {
    if (!it) return false;
    while (it->kind != HLO_F_END) {
        if (it->kind == HLO_F_OPEN) {
            it = enter_group(r, it + 1);
            continue;
        }
        if (it->kind != HLO_F_CLOSE && !follow(r, *it, o)) return false;
        it++;
    }
    return true;
}

static const struct {
    enum hlo_form form;
    bool (*read)(struct reader *r, struct read_op *o);
} own_syntax[] = {{HLO_FORM_CONSTANT, read_constant}, {HLO_FORM_REDUCE, read_reduce}, {HLO_FORM_WHILE, read_while},
    {HLO_FORM_SCAN, read_scan}, {HLO_FORM_FUNC, read_func}, {HLO_FORM_MODULE, read_module}};

bool read_pretty(struct reader *r, struct read_op *o) {
    enum hlo_form form = hlo_op_of(o->name->code)->form;
    for (size_t i = 0; form >= HLO_FORM_CONSTANT && i < sizeof own_syntax / sizeof *own_syntax; i++)
        if (own_syntax[i].form == form) return own_syntax[i].read(r, o);
    if (form != HLO_FORM_GENERIC) return read_format(r, o, items_of(r, form));
    return hlo_fail(r->m, o->loc, o->name->code == HLO_OP_UNKNOWN
            ? "'%s' is no operation known here; others are read in the generic form: \"%s\"(...) : (...) -> ..."
            : "'%s' has no form of its own; write \"%s\"(...) : (...) -> ...", o->name->text, o->name->text);
}
