/* print.c: a module as MLIR text: modules, functions, regions, and the generic form that every operation has.
 *
 * The custom forms of the other operations are print_pretty.c's. What is written here is what stablehlo-opt writes:
 * two spaces an indent, entry blocks without arguments have no label, attributes of an operation's definition (names
 * without a dialect) stand as properties <{...}> before the regions and the others after them, "func." is left out
 * directly inside a function. */
#include <string.h>

#include "formats/stablehlo/print.h"

static void print_op(struct printer *p, const struct hlo_op *op);

void print_newline(struct printer *p) {
    str_putc(p->o, '\n');
    for (int i = 0; i < p->indent; i++) str_putc(p->o, ' ');
}

void print_operands(struct printer *p, const struct hlo_op *op, int from, int to) {
    for (int i = from; i < to; i++) {
        if (i > from) str_put(p->o, ", ");
        print_value(p->o, p->names, op->operand[i]);
    }
}

void print_operand_types(struct printer *p, const struct hlo_op *op) {
    for (int i = 0; i < op->noperand; i++) {
        if (i) str_put(p->o, ", ");
        hlo_type_text(p->o, op->operand[i]->type);
    }
}

void print_result_types(struct printer *p, const struct hlo_op *op) {
    for (int i = 0; i < op->nresult; i++) {
        if (i) str_put(p->o, ", ");
        hlo_type_text(p->o, op->result[i].type);
    }
}

void print_functional(struct printer *p, const struct hlo_op *op) {
    bool bare = op->nresult == 1 && op->result[0].type->kind != HLO_T_FUNCTION;
    str_putc(p->o, '(');
    print_operand_types(p, op);
    str_put(p->o, bare ? ") -> " : ") -> (");
    print_result_types(p, op);
    if (!bare) str_putc(p->o, ')');
}

void print_attrs(struct printer *p, const struct hlo_op *op, const char *before, const char *after, print_skip *skip,
    const void *user) {
    int n = 0;
    for (int i = 0; i < op->nattr; i++) {
        if (skip(op->attr[i].name, user)) continue;
        str_put(p->o, n++ ? ", " : before);
        print_named(p->o, &op->attr[i]);
    }
    if (n) str_put(p->o, after);
}

/* ---- regions ---------------------------------------------------------------------------------------------------- */
static void print_block_label(struct printer *p, const struct hlo_block *b, int id) {
    p->indent -= 2;
    print_newline(p);
    p->indent += 2;
    str_printf(p->o, "^bb%d", id);
    for (int i = 0; i < b->narg; i++) {
        str_put(p->o, i ? ", " : "(");
        print_value(p->o, p->names, &b->arg[i]);
        str_put(p->o, ": ");
        hlo_type_text(p->o, b->arg[i].type);
    }
    str_put(p->o, b->narg ? "):" : ":");
}

void print_region(struct printer *p, const struct hlo_region *r, bool arguments) {
    const struct hlo_op *outer = p->parent;
    p->parent = r->parent;
    p->indent += 2;
    str_putc(p->o, '{');
    for (int i = 0; i < r->nblock; i++) {
        const struct hlo_block *b = &r->block[i];
        if (i > 0 || (arguments && b->narg)) print_block_label(p, b, i);
        for (const struct hlo_op *op = b->first; op; op = op->next) {
            print_newline(p);
            print_op(p, op);
        }
    }
    p->indent -= 2;
    print_newline(p);
    str_putc(p->o, '}');
    p->parent = outer;
}

/* ---- the generic form ------------------------------------------------------------------------------------------- */
static bool is_discardable(const char *name, const void *user) {
    (void)user;
    return strchr(name, '.') != NULL;
}
static bool is_property(const char *name, const void *user) { return !is_discardable(name, user); }

void print_generic(struct printer *p, const struct hlo_op *op) {
    str_putc(p->o, '(');
    print_operands(p, op, 0, op->noperand);
    str_putc(p->o, ')');
    print_attrs(p, op, " <{", "}>", is_discardable, NULL);
    for (int i = 0; i < op->nregion; i++) {
        str_put(p->o, i ? ", " : " (");
        print_region(p, &op->region[i], true);
    }
    if (op->nregion) str_putc(p->o, ')');
    print_attrs(p, op, " {", "}", is_property, NULL);
    str_put(p->o, " : ");
    print_functional(p, op);
}

/* ---- modules and functions -------------------------------------------------------------------------------------- */
static bool in_signature(const char *name, const void *user) {
    for (const char *const *written = user; *written; written++)
        if (strcmp(*written, name) == 0) return true;
    return false;
}

static bool print_module(struct printer *p, const struct hlo_op *op) {
    static const char *const written[] = {"sym_name", NULL};
    if (op->nregion != 1 || op->region[0].nblock != 1 || op->noperand || op->nresult) return false;
    const char *name = hlo_get_text(op, "sym_name");
    str_put(p->o, "module");
    if (name) {
        str_putc(p->o, ' ');
        print_symbol(p->o, name);
    }
    print_attrs(p, op, " attributes {", "}", in_signature, written);
    str_putc(p->o, ' ');
    print_region(p, &op->region[0], false);
    return true;
}

/* Attributes of argument or result i, " {...}", from a list of dictionaries; NULL: none have any. */
static void print_signature_attrs(struct printer *p, const struct hlo_attr *list, int i) {
    if (!list || i >= list->n || list->item[i]->n == 0) return;
    str_putc(p->o, ' ');
    hlo_attr_text(p->o, list->item[i]);
}

static void print_arguments(struct printer *p, const struct hlo_op *op, const struct hlo_type *t) {
    const struct hlo_attr *attrs = hlo_get(op, "arg_attrs");
    const struct hlo_block *body = op->region[0].nblock ? op->region[0].block : NULL;
    str_putc(p->o, '(');
    for (int i = 0; i < t->nin; i++) {
        if (i) str_put(p->o, ", ");
        if (body) {
            print_value(p->o, p->names, &body->arg[i]);
            str_put(p->o, ": ");
        }
        hlo_type_text(p->o, t->item[i]);
        print_signature_attrs(p, attrs, i);
    }
    str_putc(p->o, ')');
}

static void print_returns(struct printer *p, const struct hlo_op *op, const struct hlo_type *t) {
    const struct hlo_attr *attrs = hlo_get(op, "res_attrs");
    int n = t->n - t->nin;
    bool bare = n == 1 && !attrs && t->item[t->nin]->kind != HLO_T_FUNCTION;
    if (n == 0) return;
    str_put(p->o, bare ? " -> " : " -> (");
    for (int i = 0; i < n; i++) {
        if (i) str_put(p->o, ", ");
        hlo_type_text(p->o, t->item[t->nin + i]);
        print_signature_attrs(p, attrs, i);
    }
    if (!bare) str_putc(p->o, ')');
}

static bool print_func(struct printer *p, const struct hlo_op *op) {
    static const char *const written[] = {"arg_attrs", "function_type", "res_attrs", "sym_name", "sym_visibility",
        NULL};
    const struct hlo_attr *type = hlo_get(op, "function_type");
    const char *name = hlo_get_text(op, "sym_name"), *visibility = hlo_get_text(op, "sym_visibility");
    if (!name || !type || type->kind != HLO_A_TYPE || type->type->kind != HLO_T_FUNCTION || op->nregion != 1)
        return false;
    if (op->region[0].nblock && op->region[0].block->narg != type->type->nin) return false;
    str_put(p->o, "func.func ");
    if (visibility) str_printf(p->o, "%s ", visibility);
    print_symbol(p->o, name);
    print_arguments(p, op, type->type);
    print_returns(p, op, type->type);
    print_attrs(p, op, " attributes {", "}", in_signature, written);
    if (op->region[0].nblock == 0) return true;
    str_putc(p->o, ' ');
    print_region(p, &op->region[0], false);
    return true;
}

static bool print_custom(struct printer *p, const struct hlo_op *op) {
    if (op->code == HLO_OP_MODULE) return print_module(p, op);
    if (op->code == HLO_OP_FUNC) return print_func(p, op);
    bool in_func = p->parent && p->parent->code == HLO_OP_FUNC && strncmp(op->name, "func.", 5) == 0;
    str_put(p->o, op->name + (in_func ? 5 : 0));
    return print_pretty(p, op);
}

static void print_op(struct printer *p, const struct hlo_op *op) {
    print_results(p->o, p->names, op);
    size_t start = p->o->n;
    if (!p->generic && print_custom(p, op)) return;
    str_cut(p->o, start);
    print_string(p->o, op->name, strlen(op->name));
    print_generic(p, op);
}

static void print_all(struct str *out, const struct hlo_module *m, bool generic) {
    for (bool first = true; m; m = m->next, first = false) {
        struct print_names names;
        struct printer p = {.o = out, .names = &names, .generic = generic};
        if (!first) str_put(out, "\n// -----\n\n");
        if (print_names_init(&names, m)) {
            print_op(&p, m->op);
            str_putc(out, '\n');
        } else {
            out->failed = true;
        }
        print_names_release(&names);
    }
}

void hlo_print(struct str *out, const struct hlo_module *m) { print_all(out, m, false); }
void hlo_print_generic(struct str *out, const struct hlo_module *m) { print_all(out, m, true); }
