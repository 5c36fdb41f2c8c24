/* normalise.c: operations put into canonical form by the table of attrs.def: lists that were written as constants
 * become lists, integers get the type they have, what equals its default is left out, what must be there is looked for;
 * and their numbers of operands, results, regions and arguments held against arity.def, so that nobody after the
 * readers meets an addition of one operand. */
#include <stdlib.h>
#include <string.h>

#include "formats/stablehlo/elements.h"

enum kind { K_I32, K_I64, K_UI32, K_UI64, K_F32, K_F64, K_BOOL, K_UNIT, K_STRING, K_SYMBOL, K_TYPE, K_LIST, K_DICT,
    K_ENUM, K_STRUCT, K_ANY, K_INTS, K_BOOLS, K_I32S, K_ELEMENTS, K_GROUPS };

static const struct line {
    enum hlo_opcode code;
    const char *name;
    enum kind kind;
    const char *fallback;
} table[] = {
#define HLO_ATTR(code, name, kind, fallback) {HLO_OP_##code, name, K_##kind, fallback},
#include "formats/stablehlo/attrs.def"
#undef HLO_ATTR
};

/* ---- to the kind the table wants -------------------------------------------------------------------------------- */

static const char *const kind_text[] = {[K_I32] = "an integer", [K_I64] = "an integer", [K_UI32] = "an integer",
    [K_UI64] = "an integer", [K_F32] = "a float", [K_F64] = "a float", [K_BOOL] = "true or false",
    [K_UNIT] = "a unit (its name alone)", [K_STRING] = "a string", [K_SYMBOL] = "a symbol, @name", [K_TYPE] = "a type",
    [K_LIST] = "a list, [...]", [K_DICT] = "a dictionary, {...}", [K_ENUM] = "an enum, #stablehlo<name VALUE>",
    [K_STRUCT] = "a structure, #stablehlo.name<...>", [K_ANY] = "an attribute", [K_INTS] = "array<i64: ...>",
    [K_BOOLS] = "array<i1: ...>", [K_I32S] = "array<i32: ...>", [K_ELEMENTS] = "dense<...> of integers",
    [K_GROUPS] = "dense<...> of integers"};

static const struct hlo_attr *to_int(struct hlo_module *m, const struct hlo_attr *a, enum hlo_elem e) {
    int64_t v = a->i;
    if (a->kind == HLO_A_ELEMENTS && hlo_elem_integer(a->type->elem) && hlo_type_count(a->type) == 1) {
        if (!hlo_elements_ints(m->c, a, &v)) return NULL;
    } else if (a->kind != HLO_A_INT) {
        return NULL;
    }
    return a->kind == HLO_A_INT && a->type->elem == e ? a : hlo_attr_int(m, e, v);
}

static const struct hlo_attr *to_float(struct hlo_module *m, const struct hlo_attr *a, enum hlo_elem e) {
    if (a->kind != HLO_A_FLOAT) return NULL;
    return a->type->elem == e ? a : hlo_attr_float(m, e, a->f);
}

enum { LIST_MAX = 1 << 20 }; /* elements of a constant that becomes a list */

static const struct hlo_attr *constant_to_ints(struct hlo_module *m, const struct hlo_attr *a, enum hlo_elem e) {
    int64_t n = hlo_type_count(a->type);
    if (n < 0 || n > LIST_MAX || a->type->rank > 1 || !hlo_elem_integer(a->type->elem)) return NULL;
    int64_t *v = mem_array(m->c, (size_t)n, sizeof *v);
    const struct hlo_attr *list = v && hlo_elements_ints(m->c, a, v) ? hlo_attr_ints(m, e, (int)n, v) : NULL;
    mem_array_free(m->c, v, (size_t)n, sizeof *v);
    return list;
}

static const struct hlo_attr *to_ints(struct hlo_module *m, const struct hlo_attr *a, enum hlo_elem e) {
    if (a->kind == HLO_A_ELEMENTS) return constant_to_ints(m, a, e);
    if (a->kind != HLO_A_INTS) return NULL;
    return a->type->elem == e ? a : hlo_attr_ints(m, e, a->n, a->ints);
}

static const struct hlo_attr *if_kind(const struct hlo_attr *a, enum hlo_attr_kind kind) {
    return a->kind == kind ? a : NULL;
}

static const struct hlo_attr *to_constant(const struct hlo_attr *a, const char *name) {
    if (a->kind != HLO_A_ELEMENTS) return NULL;
    return strcmp(name, "value") == 0 || hlo_elem_integer(a->type->elem) ? a : NULL;
}

/* NULL: it is something else (or there was no memory). */
static const struct hlo_attr *convert(struct hlo_module *m, const struct line *l, const struct hlo_attr *a) {
    switch (l->kind) {
    case K_I32: return to_int(m, a, HLO_I32);
    case K_I64: return to_int(m, a, HLO_I64);
    case K_UI32: return to_int(m, a, HLO_UI32);
    case K_UI64: return to_int(m, a, HLO_UI64);
    case K_F32: return to_float(m, a, HLO_F32);
    case K_F64: return to_float(m, a, HLO_F64);
    case K_BOOL: return if_kind(a, HLO_A_BOOL);
    case K_UNIT: return a->kind == HLO_A_BOOL && a->i ? hlo_attr_unit(m) : if_kind(a, HLO_A_UNIT);
    case K_STRING: return if_kind(a, HLO_A_STRING);
    case K_SYMBOL: return if_kind(a, HLO_A_SYMBOL);
    case K_TYPE: return if_kind(a, HLO_A_TYPE);
    case K_LIST: return if_kind(a, HLO_A_LIST);
    case K_DICT: return if_kind(a, HLO_A_DICT);
    case K_ENUM: return if_kind(a, HLO_A_ENUM);
    case K_STRUCT: return if_kind(a, HLO_A_STRUCT);
    case K_ANY: return a;
    case K_INTS: return to_ints(m, a, HLO_I64);
    case K_BOOLS: return to_ints(m, a, HLO_I1);
    case K_I32S: return to_ints(m, a, HLO_I32);
    case K_ELEMENTS: return to_constant(a, l->name);
    case K_GROUPS: return a->kind == HLO_A_STRUCT ? a : to_constant(a, l->name);
    }
    return NULL;
}

/* ---- defaults --------------------------------------------------------------------------------------------------- */

static bool zero_struct(const struct hlo_attr *a) {
    for (int i = 0; i < a->n; i++) {
        const struct hlo_attr *v = a->field[i].value;
        bool zero = (v->kind == HLO_A_INT && v->i == 0) || (v->kind == HLO_A_FLOAT && v->f == 0) ||
            (v->kind == HLO_A_ENUM && strcmp(v->s, "DEFAULT") == 0);
        if (!zero) return false;
    }
    return true;
}

static bool all_ints(const struct hlo_attr *a, int64_t want) {
    for (int i = 0; i < a->n; i++)
        if (a->ints[i] != want) return false;
    return true;
}

/* *ok false: no memory. */
static bool all_elements(struct hlo_module *m, const struct hlo_attr *a, int64_t want, bool *ok) {
    int64_t n = hlo_type_count(a->type);
    if (n > LIST_MAX) return false;
    int64_t *v = mem_array(m->c, (size_t)n, sizeof *v);
    bool all = *ok = v && hlo_elements_ints(m->c, a, v);
    for (int64_t i = 0; all && i < n; i++) all = v[i] == want;
    mem_array_free(m->c, v, (size_t)n, sizeof *v);
    return all;
}

/* The dictionaries of a function's arguments, none of which says anything, are the empty list too. */
static bool empty_list(const struct hlo_attr *a) {
    bool empty = true;
    for (int i = 0; a->kind == HLO_A_LIST && i < a->n; i++)
        empty &= a->item[i]->kind == HLO_A_DICT && a->item[i]->n == 0;
    return a->kind == HLO_A_LIST ? empty : a->n == 0;
}

static bool all_enums(const struct hlo_attr *a, const char *word) {
    for (int i = 0; i < a->n; i++)
        if (a->item[i]->kind != HLO_A_ENUM || strcmp(a->item[i]->s, word) != 0) return false;
    return true;
}

static bool is_default(struct hlo_module *m, const struct hlo_attr *a, const char *text, bool *ok) {
    if (!*text || *text == '!') return false;
    if (strcmp(text, "[]") == 0) return empty_list(a);
    switch (a->kind) {
    case HLO_A_BOOL: return a->i == (*text == 't');
    case HLO_A_INT: return a->i == strtoll(text, NULL, 10);
    case HLO_A_STRING: return a->ns == 0 && *text == '\'';
    case HLO_A_ENUM: return strcmp(a->s, text) == 0;
    case HLO_A_LIST: return all_enums(a, text);
    case HLO_A_STRUCT: return zero_struct(a);
    case HLO_A_INTS: return all_ints(a, strtoll(text, NULL, 10));
    case HLO_A_ELEMENTS: return all_elements(m, a, strtoll(text, NULL, 10), ok);
    default: return false;
    }
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static struct hlo_named *find(struct hlo_op *op, const char *name) {
    for (int i = 0; i < op->nattr; i++)
        if (strcmp(op->attr[i].name, name) == 0) return (struct hlo_named *)&op->attr[i];
    return NULL;
}

static void drop(struct hlo_op *op, struct hlo_named *a) {
    size_t after = (size_t)(op->attr + op->nattr - a) - 1;
    memmove(a, a + 1, after * sizeof *a);
    op->nattr--;
}

static bool normalise_line(struct hlo_module *m, struct hlo_op *op, const struct line *l) {
    struct hlo_named *a = find(op, l->name);
    bool ok = true;
    if (!a && *l->fallback == '!')
        return hlo_fail(m, op->loc, "'%s' needs the attribute '%s', %s", op->name, l->name, kind_text[l->kind]);
    if (!a) return true;
    bool off = l->kind == K_UNIT && a->value->kind == HLO_A_BOOL && !a->value->i;
    const struct hlo_attr *v = off ? a->value : convert(m, l, a->value);
    if (!v && err_any(m->c)) return false;
    if (!v) return hlo_fail(m, op->loc, "'%s': the attribute '%s' is %s", op->name, l->name, kind_text[l->kind]);
    a->value = v;
    if (off || is_default(m, v, l->fallback, &ok)) drop(op, a);
    return ok;
}

/* ---- how many -------------------------------------------------------------------------------------------------- */

enum { SAME = -1, HALF = -2, THIRD = -3, DOUBLE = -4, RESULTS2 = -5, ANY = -100 };
#define ATLEAST(n) (ANY - (n))

static const struct arity {
    short operands, results, regions, args;
} arity[] = {
#define HLO_ARITY(code, operands, results, regions, args) [HLO_OP_##code] = {operands, results, regions, args},
#include "formats/stablehlo/arity.def"
#undef HLO_ARITY
};

/* What a count of arity.def comes to for this operation: a number, or ATLEAST. */
static int resolve(const struct hlo_op *op, int count) {
    switch (count) {
    case SAME: return op->noperand;
    case HALF: return op->noperand / 2;
    case THIRD: return (op->noperand - 1) / 2;
    case DOUBLE: return 2 * op->noperand;
    case RESULTS2: return 2 * op->nresult;
    default: return count;
    }
}

static bool check_count(struct hlo_module *m, const struct hlo_op *op, int have, int count, const char *what) {
    int want = resolve(op, count);
    bool even = (count != HALF && count != THIRD) || op->noperand % 2 == (count == THIRD);
    if (even && (want <= ANY ? have >= ANY - want : have == want)) return true;
    if (!even) return hlo_fail(m, op->loc, "'%s' with %d operands: they come in pairs", op->name, op->noperand);
    if (want <= ANY) return hlo_fail(m, op->loc, "'%s' has at least %d %s, not %d", op->name, ANY - want, what, have);
    return hlo_fail(m, op->loc, "'%s' has %d %s, not %d", op->name, want, what, have);
}

static bool check_regions(struct hlo_module *m, const struct hlo_op *op, int args) {
    for (int i = 0; i < op->nregion; i++) {
        const struct hlo_region *g = &op->region[i];
        if (g->nblock == 0 && op->code == HLO_OP_FUNC) continue; /* declared only */
        if (g->nblock != 1)
            return hlo_fail(m, op->loc, "'%s': region %d has %d blocks, not one", op->name, i, g->nblock);
        if (!check_count(m, op, g->block[0].narg, args, "arguments in each of its regions")) return false;
    }
    return true;
}

static bool check_arity(struct hlo_module *m, const struct hlo_op *op) {
    if (op->code == HLO_OP_UNKNOWN) return true;
    const struct arity *a = &arity[op->code];
    return check_count(m, op, op->noperand, a->operands, "operands") &&
        check_count(m, op, op->nresult, a->results, "results") &&
        check_count(m, op, op->nregion, a->regions, "regions") && check_regions(m, op, a->args);
}

/* The type of a function is that of its block's arguments. */
static bool check_func(struct hlo_module *m, const struct hlo_op *op) {
    const struct hlo_type *t = hlo_get(op, "function_type")->type;
    if (t->kind != HLO_T_FUNCTION) return hlo_fail(m, op->loc, "function_type is no function type, (T) -> U");
    if (!op->region[0].nblock) return true;
    const struct hlo_block *b = &op->region[0].block[0];
    bool same = b->narg == t->nin;
    for (int i = 0; same && i < b->narg; i++) same = b->arg[i].type == t->item[i];
    return same || hlo_fail(m, op->loc, "the arguments of the function's body are not those of its function_type");
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

/* An operation's first line, or where it would stand: lines are in the order of the operations. */
static const struct line *lines_of(enum hlo_opcode code) {
    size_t lo = 0, hi = sizeof table / sizeof *table;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (table[mid].code < code) lo = mid + 1;
        else hi = mid;
    }
    return &table[lo];
}

bool hlo_normalise(struct hlo_module *m, struct hlo_op *op) {
    const struct line *end = table + sizeof table / sizeof *table;
    for (const struct line *l = lines_of(op->code); l < end && l->code == op->code; l++)
        if (!normalise_line(m, op, l)) return false;
    return check_arity(m, op) && (op->code != HLO_OP_FUNC || check_func(m, op));
}
