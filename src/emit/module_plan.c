/* module_plan.c: a plan as a function: its slots as addresses, its steps as blocks. */
#include <ctype.h>
#include <string.h>

#include "emit/module_text.h"
#include "tile/tile.h"

struct module_plan *module_find(struct module *m, const tsr_plan *p) {
    for (size_t i = 0; i < m->plan.n; i++)
        if (m->plan.v[i].p == p) return &m->plan.v[i];
    TSR_BUG("a plan is called before it is written");
}

const char *module_tail(const struct module *m) {
    bool blob = m->o->constants == MODULE_BLOB;
    if (m->o->symbolic) return blob ? ", k, s" : ", s";
    return blob ? ", k" : "";
}

void module_slot(struct str *s, const tsr_plan *p, int slot) {
    static const char letter[] = {[SLOT_PARAM] = 'p', [SLOT_CONST] = 'k', [SLOT_TEMP] = 't', [SLOT_ALIAS] = 'a'};
    str_printf(s, "%c%d", letter[p->slot.v[slot].kind], slot);
}

/* ---- names ---- */

/* Words of a label as a part of an identifier, a few of them. */
static void name_of(char room[40], const char *label) {
    size_t n = 0;
    bool gap = false;
    for (; *label && n < 36; label++) {
        if (isalnum((unsigned char)*label)) {
            if (gap && n) room[n++] = '_';
            gap = false;
            room[n++] = *label;
        } else gap = true;
        if (n > 24 && gap) break;
    }
    room[n] = 0;
}

/* ---- kernels ---- */

static const struct module_kernel *kernel_of(struct module *m, const struct plan_step *st) {
    for (size_t i = 0; i < m->kernel.n; i++)
        if (m->kernel.v[i].program == st->program ||
            (tile_hash(m->kernel.v[i].program) == tile_hash(st->program) &&
             tile_equal(m->kernel.v[i].program, st->program)))
            return &m->kernel.v[i];
    struct emit_plan plan;
    struct module_kernel k = {.program = st->program};
    char words[40];
    name_of(words, st->label);
    if (!emit_plan_init(&plan, m->c, st->program, EMIT_FOR_CORE)) return m->failed = true, NULL;
    k.scratch = plan.scratch;
    k.name = arena_printf(&m->mem, "%s_k%zu_%s", m->o->name, m->kernel.n, words);
    bool ok = k.name && vec_push(m->c, &m->kernel, k);
    if (ok) {
        size_t from = m->kernels.n;
        str_printf(&m->kernels, "static void %s(const union tsr_arg *arg, const vm_i64 *grid, vm_i64 begin, vm_i64 "
            "end,\n"
            "    char *scratch);\n", k.name);
        emit_c_kernel(&m->kernels, &plan, k.name);
        str_putc(&m->kernels, '\n');
        module_drop_unused(&m->kernels, from);
    }
    emit_plan_release(&plan);
    m->failed |= !ok;
    return ok ? &m->kernel.v[m->kernel.n - 1] : NULL;
}

static void put_kernel(struct module *m, struct str *s, const struct module_plan *q, const struct plan_step *st) {
    const struct module_kernel *k = kernel_of(m, st);
    if (!k) return;
    str_put(s, "        const vm_i64 grid[3] = {");
    for (int i = 0; i < 3; i++) {
        if (i) str_put(s, ", ");
        if (st->grid[i]) module_extent(m, s, st->grid[i]);
        else str_putc(s, '1');
    }
    str_printf(s, "};\n        union tsr_arg a[%d];\n", st->narg ? st->narg : 1);
    for (int i = 0; i < st->narg; i++) {
        if (st->arg[i].kind == PLAN_ARG_SLOT) {
            str_printf(s, "        a[%d].buf.p = ", i), module_slot(s, q->p, st->arg[i].slot), str_put(s, ";\n");
            continue;
        }
        str_printf(s, "        tsr_size(&a[%d], ", i), module_extent(m, s, st->arg[i].extent), str_put(s, ");\n");
    }
    str_printf(s, "        %s(a, grid, 0, grid[0] * grid[1] * grid[2], more);\n", k->name);
}

void module_step_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st) {
    if (st->kind == STEP_KERNEL) {
        for (size_t i = 0; i < m->kernel.n; i++)
            if (tile_equal(m->kernel.v[i].program, st->program))
                sum->n += (int64_t)((m->kernel.v[i].scratch + 63) & ~(size_t)63);
    } else if (st->kind == STEP_LIB) module_lib_need(m, sum, p, st);
    else if (st->kind != STEP_COPY) module_control_need(m, sum, p, st);
}

/* ---- slots ---- */

static void mark_used(const tsr_plan *p, bool *used) {
    for (size_t i = 0; i < p->step.n; i++)
        for (int j = 0; j < p->step.v[i].narg; j++)
            if (p->step.v[i].arg[j].kind == PLAN_ARG_SLOT) used[p->step.v[i].arg[j].slot] = true;
    for (size_t i = 0; i < p->result.n; i++)
        if (p->slot.v[plan_root(p, p->result.v[i])].result != (int)i) used[p->result.v[i]] = true;
    for (size_t i = p->slot.n; i-- > 0;)
        if (used[i] && p->slot.v[i].kind == SLOT_ALIAS) used[p->slot.v[i].root] = true;
}

static void put_constant_place(struct module *m, struct str *s, const struct module_plan *q, int index) {
    int at = m->constant_of.v[q->first_constant + index];
    if (m->o->constants == MODULE_INLINE) str_printf(s, "(char *)%s_c%d", m->o->name, at);
    else str_printf(s, m->o->constants == MODULE_BLOB ? "(char *)k + %zu" : "(char *)tsr_constants + %zu",
        m->constant.v[at].at);
}

static void put_slot_place(struct module *m, struct str *s, const struct module_plan *q, int i) {
    const struct plan_slot *l = &q->p->slot.v[i];
    str_put(s, "    char *const "), module_slot(s, q->p, i), str_put(s, " = ");
    if (l->kind == SLOT_PARAM) str_printf(s, "(char *)in[%d]", l->index);
    else if (l->kind == SLOT_CONST) put_constant_place(m, s, q, l->index);
    else if (l->kind == SLOT_ALIAS) {
        module_slot(s, q->p, l->root);
        if (l->offset && !extent_is(l->offset, 0)) {
            const tsr_dtype_info *d = tsr_dtype_of(l->type->dtype);
            str_put(s, " + "), module_extent(m, s, l->offset);
            if (d->bytes != 1) str_printf(s, " * %d", d->bytes);
            if (d->block != 1) str_printf(s, " / %d", d->block);
        }
    } else if (l->result >= 0) str_printf(s, "(char *)out[%d]", l->result);
    else if (m->o->symbolic) str_printf(s, "mem + at[%d]", q->pool[i]);
    else str_printf(s, "mem + %zu", q->b.slot[i].offset);
    str_put(s, "; /* "), type_print(s, l->type), str_put(s, " */\n");
}

static bool put_slots(struct module *m, struct str *s, const struct module_plan *q) {
    bool *used = mem_array(m->c, q->p->slot.n + 1, sizeof *used);
    if (!used) return false;
    mark_used(q->p, used);
    if (m->o->symbolic) str_printf(s, "    vm_i64 at[%d];\n    char *const more = mem + %s_frame(s, at);\n",
        q->npool ? q->npool : 1, q->name);
    else str_printf(s, "    char *const more = mem + %zu;\n", (q->b.arena_bytes + 63) & ~(size_t)63);
    for (size_t i = 0; i < q->p->slot.n; i++)
        if (used[i]) put_slot_place(m, s, q, (int)i);
    mem_array_free(m->c, used, q->p->slot.n + 1, sizeof *used);
    return true;
}

/* ---- steps ---- */

static bool put_step(struct module *m, struct str *s, const struct module_plan *q, int i) {
    const struct plan_step *st = &q->p->step.v[i];
    bool ok = true;
    str_printf(s, "    { /* %d: %s */\n", i, st->label);
    switch (st->kind) {
    case STEP_KERNEL: put_kernel(m, s, q, st); break;
    case STEP_LIB:
        m->text->library_calls++;
        ok = module_lib(m, s, q, st);
        break;
    case STEP_COPY:
        str_put(s, "        tsr_copy("), module_slot(s, q->p, st->arg[0].slot), str_put(s, ", ");
        module_slot(s, q->p, st->arg[1].slot), str_put(s, ", ");
        module_bytes(m, s, module_arg_type(q->p, st, 0)), str_put(s, ");\n");
        break;
    case STEP_HOST: case STEP_COMM:
        err_set(m->c, TSR_EUNSUPPORTED, "%s: %s %s; a C file cannot: take it out of the function", m->o->name,
            st->label,
            st->kind == STEP_HOST ? "calls a host function" : "speaks to other participants");
        return m->failed = true, false;
    default: module_control(m, s, q, st);
    }
    str_put(s, "    }\n");
    return ok && !m->failed;
}

static void put_results(struct module *m, struct str *s, const struct module_plan *q) {
    for (size_t i = 0; i < q->p->result.n; i++) {
        int slot = q->p->result.v[i];
        if (q->p->slot.v[plan_root(q->p, slot)].result == (int)i) continue;
        str_printf(s, "    tsr_copy(out[%zu], ", i), module_slot(s, q->p, slot), str_put(s, ", ");
        module_bytes(m, s, q->p->slot.v[slot].type), str_put(s, ");\n");
    }
}

static bool put_function(struct module *m, struct module_plan *q) {
    struct str body;
    str_init(&body, m->c);
    str_printf(&body, "static void %s(const void *const *in, void *const *out, char *mem%s%s) {\n", q->name,
        m->o->constants == MODULE_BLOB ? ", const void *k" : "", m->o->symbolic ? ", const vm_i64 *s" : "");
    bool ok = put_slots(m, &body, q);
    str_printf(&body, "    (void)in, (void)out, (void)mem, (void)more%s%s;\n",
        m->o->constants == MODULE_BLOB ? ", (void)k" : "", m->o->symbolic ? ", (void)s, (void)at" : "");
    for (int i = 0; ok && i < (int)q->p->step.n; i++) ok = put_step(m, &body, q, i);
    put_results(m, &body, q);
    str_put(&body, "}\n\n");
    ok = ok && !body.failed && !m->failed;
    if (ok && m->o->symbolic) module_frame(m, &m->bodies, q);
    str_put(&m->bodies, body.s);
    str_release(&body);
    return ok && !m->bodies.failed;
}

/* ---- the whole ---- */

static bool add_constants(struct module *m, const tsr_plan *p) {
    for (size_t i = 0; i < p->constant.n; i++) {
        struct module_constant k = {.p = tsr_buf_data(p->constant.v[i].buf)};
        for (size_t j = 0; j < p->slot.n; j++)
            if (p->slot.v[j].kind == SLOT_CONST && p->slot.v[j].index == (int)i)
                k.dtype = p->slot.v[j].type->dtype, type_bytes(p->slot.v[j].type, &k.bytes);
        size_t at = 0;
        while (at < m->constant.n && (m->constant.v[at].bytes != k.bytes || m->constant.v[at].dtype != k.dtype ||
            memcmp(m->constant.v[at].p, k.p, k.bytes))) at++;
        const struct module_constant *last = at && at == m->constant.n ? &m->constant.v[at - 1] : NULL;
        k.at = last ? (last->at + last->bytes + 63) & ~(size_t)63 : 0;
        if (at == m->constant.n && !vec_push(m->c, &m->constant, k)) return false;
        if (!vec_push(m->c, &m->constant_of, (int)at)) return false;
    }
    return true;
}

/* Kernels are rendered before the layout, which asks for their scratch. */
static bool prepare(struct module *m, struct module_plan *q) {
    for (size_t i = 0; i < q->p->step.n; i++) {
        if (q->p->step.v[i].kind == STEP_KERNEL && !kernel_of(m, &q->p->step.v[i])) return false;
        if (q->p->step.v[i].kind == STEP_LIB && !lib_step_name(q->p->step.v[i].lib)) return false;
    }
    return module_layout(m, q);
}

bool module_plan_write(struct module *m, const tsr_plan *p) {
    for (size_t i = 0; i < m->plan.n; i++)
        if (m->plan.v[i].p == p) return true;
    for (size_t i = 0; i < p->step.n; i++)
        for (int j = 0; j < p->step.v[i].nsub; j++)
            if (!module_plan_write(m, p->step.v[i].sub[j])) return false;
    char words[40];
    name_of(words, p->name);
    struct module_plan q = {.p = p, .name = arena_printf(&m->mem, "%s_p%zu_%s", m->o->name, m->plan.n, words)};
    q.first_constant = (int)m->constant_of.n;
    if (!q.name || !add_constants(m, p) || !vec_push(m->c, &m->plan, q)) return m->failed = true, false;
    struct module_plan *at = &m->plan.v[m->plan.n - 1];
    return (prepare(m, at) && put_function(m, at)) || (m->failed = true, false);
}
