/* module_control.c: steps that run bodies, as C control flow. What run/control.c does with plans, as text.
 *
 * Carried values go back and forth between the step's results and spare memory behind the plan's temporaries; bodies
 * find theirs behind that. */
#include <string.h>

#include "emit/module_text.h"

static void put_places(struct str *s, const char *type, const char *name, int n) {
    str_printf(s, "        %s%s[%d];\n", type, name, n > 0 ? n : 1);
}

static void put_assign(struct str *s, const char *name, int at, const tsr_plan *p, const struct plan_step *st,
    int arg) {
    str_printf(s, "        %s[%d] = ", name, at);
    module_slot(s, p, st->arg[arg].slot);
    str_put(s, ";\n");
}

static void put_sub(struct module *m, struct str *s, const struct plan_step *st, int sub, const char *in,
    const char *out, const char *mem) {
    str_printf(s, "%s(%s, %s, %s%s);\n", module_find(m, st->sub[sub])->name, in, out, mem, module_tail(m));
}

static void call(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    int np = (int)st->sub[0]->param.n, nr = (int)st->sub[0]->result.n;
    put_places(s, "const void *", "a", np), put_places(s, "void *", "r", nr);
    for (int i = 0; i < np; i++) put_assign(s, "a", i, p, st, i);
    for (int i = 0; i < nr; i++) put_assign(s, "r", i, p, st, np + i);
    str_put(s, "        "), put_sub(m, s, st, 0, "a", "r", "more");
}

static void cond(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    int n = st->ncarry, nr = (int)st->sub[0]->result.n, most = n, implicit = 1 + n + nr;
    const tsr_type *t = module_arg_type(p, st, 0);
    for (int b = 0; b < st->nsub; b++)
        if ((int)st->sub[b]->param.n > most) most = (int)st->sub[b]->param.n;
    put_places(s, "const void *", "a", most), put_places(s, "void *", "r", nr);
    for (int i = 0; i < n; i++) put_assign(s, "a", i, p, st, 1 + i);
    for (int i = 0; i < nr; i++) put_assign(s, "r", i, p, st, 1 + n + i);
    str_put(s, "        switch (tsr_int_at("), module_slot(s, p, st->arg[0].slot);
    str_printf(s, ", 0, %d, %d)) {\n", tsr_dtype_of(t->dtype)->bytes, tsr_dtype_of(t->dtype)->kind == TSR_KIND_INT);
    for (int b = 0; b < st->nsub; b++) {
        int own = (int)st->sub[b]->param.n - n;
        if (b + 1 < st->nsub) str_printf(s, "        case %d:\n", b);
        else str_put(s, "        default:\n");
        for (int i = 0; i < own; i++) str_put(s, "    "), put_assign(s, "a", n + i, p, st, implicit + i);
        str_put(s, "            "), put_sub(m, s, st, b, "a", "r", "more");
        str_put(s, "            break;\n");
        implicit += own;
    }
    str_put(s, "        }\n");
}

/* now[], next[], home[], spare[] of n carried values; what is behind their spares is `rest`. */
static void put_carry(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st, int n, int out) {
    put_places(s, "void *", "now", n), put_places(s, "void *", "next", n);
    put_places(s, "void *", "home", n), put_places(s, "void *", "spare", n);
    str_put(s, "        char *rest = more;\n");
    for (int i = 0; i < n; i++) {
        put_assign(s, "now", i, p, st, i);
        put_assign(s, "home", i, p, st, out + i);
        str_printf(s, "        next[%d] = home[%d], spare[%d] = rest, rest += tsr_round64(", i, i, i);
        module_bytes(m, s, module_arg_type(p, st, out + i));
        str_put(s, ");\n");
    }
}

static void put_carry_home(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st, int n,
    int out) {
    for (int i = 0; i < n; i++) {
        str_printf(s, "        if (now[%d] != home[%d]) tsr_copy(home[%d], now[%d], ", i, i, i, i);
        module_bytes(m, s, module_arg_type(p, st, out + i));
        str_put(s, ");\n");
    }
}

static void while_loop(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    int n = st->ncarry, nc = (int)st->sub[0]->param.n, nb = (int)st->sub[1]->param.n;
    put_carry(m, s, p, st, n, n);
    put_places(s, "const void *", "a", nc), put_places(s, "const void *", "b", nb);
    str_put(s, "        vm_bool go = 0;\n        void *flag[1];\n        flag[0] = &go;\n");
    for (int i = n; i < nc; i++) put_assign(s, "a", i, p, st, n + i);
    for (int i = n; i < nb; i++) put_assign(s, "b", i, p, st, n + nc + i - n);
    if (st->trips) {
        str_put(s, "        const vm_i64 bound = "), module_extent(m, s, st->trips);
        str_put(s, ";\n        for (vm_i64 turn = 0; bound <= 0 || turn < bound; turn++) {\n");
    } else {
        str_put(s, "        for (;;) {\n");
    }
    str_printf(s, "            for (int i = 0; i < %d; i++) a[i] = b[i] = now[i];\n            ", n);
    put_sub(m, s, st, 0, "a", "flag", "rest");
    str_put(s, "            if (!go) break;\n            ");
    put_sub(m, s, st, 1, "b", "next", "rest");
    str_printf(s, "            tsr_turn(%d, now, next, home, spare);\n        }\n", n);
    put_carry_home(m, s, p, st, n, n);
}

/* "(char *)NAME + t * bytes of a slice" */
static void put_slice(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st, int arg) {
    module_slot(s, p, st->arg[arg].slot);
    str_put(s, " + t * (");
    module_bytes(m, s, module_arg_type(p, st, arg));
    str_put(s, ") / trips;\n");
}

/* Slices of 4-bit elements may begin inside a byte: they are handed over in a memory of their own, nameN for parameter
 * (result) N of the body. NULL: the slice is another one. */
static const tsr_type *own_slice(const struct plan_step *st, bool result, int i) {
    const tsr_plan *b = st->sub[0];
    const tsr_type *t = result ? b->slot.v[b->result.v[i]].type : b->param.v[i];
    return tsr_dtype_of(t->dtype)->block == 2 ? t : NULL;
}

static void put_own_memory(struct module *m, struct str *s, const struct plan_step *st, bool result, int i) {
    const tsr_type *t = own_slice(st, result, i);
    if (!t) return;
    str_printf(s, "        char *const %s%d = rest;\n        rest += tsr_round64(", result ? "y" : "x", i);
    module_bytes(m, s, t), str_put(s, ");\n");
}

/* Slice t of argument arg for the body's parameter or result i: its address, and what is done before and behind. */
static void put_slice_in(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st, int arg,
    int i) {
    const tsr_type *own = own_slice(st, false, i);
    if (own) {
        str_printf(s, "            a[%d] = x%d, tsr_move_4(x%d, 0, ", i, i, i);
        module_slot(s, p, st->arg[arg].slot), str_put(s, ", t * "), module_count(m, s, own);
        str_put(s, ", "), module_count(m, s, own), str_put(s, ");\n");
    } else str_printf(s, "            a[%d] = ", i), put_slice(m, s, p, st, arg);
}
static void put_slice_out(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st, int arg,
    int i) {
    if (own_slice(st, true, i)) str_printf(s, "            r[%d] = y%d;\n", i, i);
    else str_printf(s, "            r[%d] = ", i), put_slice(m, s, p, st, arg);
}
static void put_slice_back(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st, int arg,
    int i) {
    const tsr_type *own = own_slice(st, true, i);
    if (!own) return;
    str_put(s, "            tsr_move_4("), module_slot(s, p, st->arg[arg].slot), str_put(s, ", t * ");
    module_count(m, s, own), str_printf(s, ", y%d, 0, ", i), module_count(m, s, own), str_put(s, ");\n");
}

static void scan(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    int n = st->ncarry, nx = st->nxs, np = (int)st->sub[0]->param.n, nr = (int)st->sub[0]->result.n;
    int out = n + nx, implicit = out + nr;
    put_carry(m, s, p, st, n, out);
    for (int i = n; i < n + nx; i++) put_own_memory(m, s, st, false, i);
    for (int i = n; i < nr; i++) put_own_memory(m, s, st, true, i);
    put_places(s, "const void *", "a", np), put_places(s, "void *", "r", nr);
    for (int i = n + nx; i < np; i++) put_assign(s, "a", i, p, st, implicit + i - n - nx);
    str_put(s, "        const vm_i64 trips = "), module_extent(m, s, st->trips);
    str_put(s, ";\n        for (vm_i64 turn = 0; turn < trips; turn++) {\n");
    str_put(s, st->reverse ? "            const vm_i64 t = trips - 1 - turn;\n"
        : "            const vm_i64 t = turn;\n");
    str_printf(s, "            for (int i = 0; i < %d; i++) a[i] = now[i], r[i] = next[i];\n", n);
    for (int i = n; i < n + nx; i++) put_slice_in(m, s, p, st, i, i);
    for (int i = n; i < nr; i++) put_slice_out(m, s, p, st, out + i, i);
    str_put(s, "            (void)t;\n            "), put_sub(m, s, st, 0, "a", "r", "rest");
    for (int i = n; i < nr; i++) put_slice_back(m, s, p, st, out + i, i);
    str_printf(s, "            tsr_turn(%d, now, next, home, spare);\n        }\n", n);
    put_carry_home(m, s, p, st, n, out);
}

void module_control(struct module *m, struct str *s, const struct module_plan *q, const struct plan_step *st) {
    switch (st->kind) {
    case STEP_CALL: call(m, s, q->p, st); break;
    case STEP_COND: cond(m, s, q->p, st); break;
    case STEP_WHILE: while_loop(m, s, q->p, st); break;
    default: scan(m, s, q->p, st);
    }
}

void module_control_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st) {
    int out = st->kind == STEP_WHILE ? st->ncarry : st->ncarry + st->nxs;
    bool carries = st->kind == STEP_WHILE || st->kind == STEP_SCAN;
    int64_t most = 0;
    for (int i = 0; carries && i < st->ncarry; i++) module_sum_bytes(m, sum, module_arg_type(p, st, out + i));
    for (int i = st->ncarry; st->kind == STEP_SCAN && i < st->ncarry + st->nxs; i++)
        if (own_slice(st, false, i)) module_sum_bytes(m, sum, own_slice(st, false, i));
    for (int i = st->ncarry; st->kind == STEP_SCAN && i < (int)st->sub[0]->result.n; i++)
        if (own_slice(st, true, i)) module_sum_bytes(m, sum, own_slice(st, true, i));
    if (m->o->symbolic) str_put(&sum->s, " + ");
    for (int i = 0; i < st->nsub; i++) {
        const struct module_plan *sub = module_find(m, st->sub[i]);
        if (sub->need > most) most = sub->need;
        if (!m->o->symbolic) continue;
        if (i + 1 < st->nsub) str_printf(&sum->s, "tsr_max(%s_need(s), ", sub->name);
        else str_printf(&sum->s, "%s_need(s)", sub->name);
    }
    for (int i = 1; m->o->symbolic && i < st->nsub; i++) str_putc(&sum->s, ')');
    if (!m->o->symbolic) sum->n += most;
}
