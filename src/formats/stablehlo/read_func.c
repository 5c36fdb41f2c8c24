/* read_func.c: modules and functions.
 *
 *   module @name attributes {...} { ... }
 *   func.func private @name(%a: T {attrs}, %b: U) -> (V {attrs}, W) attributes {...} { ... }      without body:
 * declared */
#include <string.h>

#include "formats/stablehlo/reader.h"

static const struct hlo_attr *symbol_string(struct reader *r) {
    const char *s;
    size_t n;
    return read_symbol_text(r, &s, &n) ? hlo_attr_string(r->m, s, n) : NULL;
}

bool read_module(struct reader *r, struct read_op *o) {
    if (lex_peek(&r->x) == '@' && !read_set(r, "sym_name", symbol_string(r))) return false;
    (void)o;
    return read_dict_with_word(r) && read_region(r, -1, NULL, NULL, SCOPE_MODULE);
}

/* ---- functions -------------------------------------------------------------------------------------------------- */

/* The attributes of an argument or result, maybe none, as a dictionary on r->attr. */
static bool push_dict(struct reader *r) {
    size_t mark = r->named.n;
    if (!read_opt_dict(r)) return false;
    const struct hlo_attr *a = hlo_attr_dict(r->m, (int)(r->named.n - mark), r->named.v + mark);
    r->named.n = mark;
    return a && vec_push(r->c, &r->attr, a) && read_location(r);
}

/* The dictionaries above mark as attribute `name`, if one is not empty. */
static bool put_dicts(struct reader *r, const char *name, size_t mark) {
    bool any = false;
    for (size_t i = mark; i < r->attr.n; i++) any |= r->attr.v[i]->n > 0;
    bool ok = !any || read_set(r, name, hlo_attr_list(r->m, (int)(r->attr.n - mark), r->attr.v + mark));
    r->attr.n = mark;
    return ok;
}

/* "%a: T {attrs}", or in a declaration "T {attrs}". */
static bool func_arg(struct reader *r, size_t first_name, size_t first_type) {
    if (lex_peek(&r->x) == '%') {
        struct read_ssa s;
        if (!read_ssa_name(r, &s) || !vec_push(r->c, &r->pending, s)) return false;
        if (!lex_expect(&r->x, ':', "after the name of an argument")) return false;
    }
    const struct hlo_type *t = read_type(r);
    if (!t || !vec_push(r->c, &r->type, t) || !push_dict(r)) return false;
    size_t names = r->pending.n - first_name, types = r->type.n - first_type;
    return !names || names == types || lex_expected(&r->x, "a name for each argument, or for none;");
}

static bool func_args(struct reader *r) {
    size_t name = r->pending.n, type = r->type.n, attr = r->attr.n;
    if (!lex_expect(&r->x, '(', "before the arguments")) return false;
    if (lex_peek(&r->x) != ')')
        do {
            if (!func_arg(r, name, type)) return false;
        } while (lex_accept(&r->x, ','));
    return lex_expect(&r->x, ')', "after the arguments") && put_dicts(r, "arg_attrs", attr);
}

static bool func_result(struct reader *r) {
    const struct hlo_type *t = read_type(r);
    return t && vec_push(r->c, &r->type, t) && push_dict(r);
}

/* "-> T" or "-> (T {attrs}, U)" */
static bool func_results(struct reader *r) {
    size_t attr = r->attr.n;
    if (!lex_accept_text(&r->x, "->")) return true;
    if (!lex_accept(&r->x, '(')) {
        const struct hlo_type *t = read_type(r);
        return t && vec_push(r->c, &r->type, t);
    }
    if (lex_accept(&r->x, ')')) return true;
    do {
        if (!func_result(r)) return false;
    } while (lex_accept(&r->x, ','));
    return lex_expect(&r->x, ')', "after the results") && put_dicts(r, "res_attrs", attr);
}

static bool visibility(struct reader *r) {
    static const char *const word[] = {"private", "public", "nested"};
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (lex_accept_word(&r->x, word[i]))
            return read_set(r, "sym_visibility", hlo_attr_string(r->m, word[i], strlen(word[i])));
    return true;
}

/* The body, or a region without blocks for a declaration. */
static bool func_body(struct reader *r, size_t name, size_t type, int narg) {
    if (lex_peek(&r->x) != '{') return vec_push(r->c, &r->region, (struct hlo_region){0});
    if (r->pending.n - name != (size_t)narg)
        return lex_expected(&r->x, "names for the arguments of a function with a body;");
    return read_region(r, narg, r->pending.v + name, r->type.v + type, SCOPE_FUNC);
}

bool read_func(struct reader *r, struct read_op *o) {
    size_t name = r->pending.n, type = r->type.n;
    if (!visibility(r) || !read_set(r, "sym_name", symbol_string(r)) || !func_args(r)) return false;
    int narg = (int)(r->type.n - type);
    if (!func_results(r)) return false;
    int nresult = (int)(r->type.n - type) - narg;
    const struct hlo_type *t = hlo_type_function(r->m, narg, r->type.v + type, nresult, r->type.v + type + narg);
    if (!t || !read_set(r, "function_type", hlo_attr_type(r->m, t)) || !read_dict_with_word(r)) return false;
    bool ok = func_body(r, name, type, narg);
    (void)o;
    r->pending.n = name, r->type.n = type;
    return ok;
}
