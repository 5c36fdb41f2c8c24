/* print.c: a fn as text, one line a node.
 *
 *     fn step(%0: f32[B,4] x, %1: f32[4,3] capture) {
 *       %2 = f32[B,3] dot(%0, %1) {lhs_contract=[1], rhs_contract=[0]}
 *       return %2
 *     }
 *
 * Numbers are positions in the fn, so equal fns print equally. Bodies are printed, indented, under the node that has
 * them; composites by name only: print them by themselves. Literals of up to 8 elements are shown. */
#include "graph/attr.h"
#include "graph/op.h"

enum { SHOWN = 8 };

static void print_literal(struct str *s, const tsr_node *n) {
    const struct attr *v = node_attr(n, ATTR_VALUE);
    size_t each = (size_t)tsr_dtype_of(n->type->dtype)->bytes;
    int64_t count = 1, d;
    for (int i = 0; i < n->type->rank; i++) count *= tsr_extent_is_int(n->type->extent[i], &d) ? d : SHOWN + 1;
    if (count > SHOWN || tsr_dtype_of(n->type->dtype)->block != 1 || each * (size_t)count != v->n) {
        str_printf(s, " <%zu bytes>", v->n);
        return;
    }
    struct ref_tensor t = {.dtype = n->type->dtype, .count = count, .p = (uint8_t *)(uintptr_t)v->bytes};
    tsr_kind kind = tsr_dtype_of(t.dtype)->kind;
    str_put(s, " [");
    for (int64_t i = 0; i < count; i++) {
        struct ref_val x = ref_get(&t, i);
        if (i) str_put(s, ", ");
        if (kind == TSR_KIND_FLOAT) str_printf(s, "%.9g", x.re);
        else if (kind == TSR_KIND_COMPLEX) str_printf(s, "(%.9g, %.9g)", x.re, x.im);
        else if (kind == TSR_KIND_INT) str_printf(s, "%lld", (long long)x.i);
        else str_printf(s, "%llu", (unsigned long long)x.u);
    }
    str_putc(s, ']');
}

static void print_fn(struct str *s, const tsr_fn *f, int indent);

static void print_node(struct str *s, const tsr_node *n, int indent) {
    str_printf(s, "%*s%%%d = ", indent, "", (int)n->pos);
    type_print(s, n->type);
    str_printf(s, " %s(", op_name(n->op));
    for (int i = 0; i < n->nsrc; i++) str_printf(s, "%s%%%d", i ? ", " : "", (int)n->src[i]->pos);
    str_putc(s, ')');
    if (n->op == TSR_OP_CONST) print_literal(s, n);
    else if (n->nattr) str_put(s, " {"), attrs_print(s, n->nattr, n->attr), str_putc(s, '}');
    for (int i = 0; i < n->nfn; i++) {
        if (n->fn[i]->composite) {
            str_printf(s, " @%s", n->fn[i]->name);
            if (n->fn[i]->nattr) str_put(s, " {"), attrs_print(s, n->fn[i]->nattr, n->fn[i]->attr), str_putc(s, '}');
        } else {
            str_putc(s, '\n');
            print_fn(s, n->fn[i], indent + 4);
            continue;
        }
    }
    if (s->n && s->s[s->n - 1] != '\n') str_putc(s, '\n');
}

static void print_fn(struct str *s, const tsr_fn *f, int indent) {
    static const char *const kind[] = {[PARAM_EXPLICIT] = "", [PARAM_CAPTURE] = " capture", [PARAM_VAR] = " var"};
    str_printf(s, "%*sfn %s(", indent, "", f->name);
    for (size_t i = 0; i < f->param.n; i++) {
        const tsr_node *p = f->param.v[i].node;
        const struct attr *name = node_attr(p, ATTR_NAME);
        str_printf(s, "%s%%%d: ", i ? ", " : "", (int)p->pos);
        type_print(s, p->type);
        if (name) str_printf(s, " %s", name->str);
        str_put(s, kind[f->param.v[i].kind]);
    }
    str_put(s, ") {\n");
    for (size_t i = 0; i < f->node.n; i++)
        if (f->node.v[i]->op != TSR_OP_PARAM) print_node(s, f->node.v[i], indent + 2);
    for (size_t i = 0; i < f->check.n; i++) {
        str_printf(s, "%*scheck ", indent + 2, "");
        extent_print(s, f->check.v[i].a);
        str_put(s, " == ");
        extent_print(s, f->check.v[i].b);
        str_putc(s, '\n');
    }
    for (size_t i = 0; i < f->size.n; i++)
        str_printf(s, "%*ssize %s = parameter %d[%lld]\n", indent + 2, "", f->size.v[i].symbol->name,
            f->size.v[i].param, (long long)f->size.v[i].element);
    str_printf(s, "%*sreturn", indent + 2, "");
    for (size_t i = 0; i < f->result.n; i++) {
        str_printf(s, "%s %%%d", i ? "," : "", (int)f->result.v[i]->pos);
        if (i >= (size_t)f->nresult) str_printf(s, " -> %s", f->assign.v[i - (size_t)f->nresult]->name);
    }
    str_printf(s, "\n%*s}\n", indent, "");
}

char *tsr_fn_print(tsr_ctx *c, const tsr_fn *f) {
    struct str s;
    if (fn_missing(c, f, "print")) return NULL;
    str_init(&s, c);
    print_fn(&s, f, 0);
    char *text = s.failed ? NULL : mem_strdup(c, s.s);
    str_release(&s);
    return text;
}
