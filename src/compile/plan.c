/* plan.c: the life of a plan, its slots and steps, and its text.
 *
 * Lowering passes add slots and steps; plan_finish then works out, from who writes and reads what, how long each slot's
 * memory is needed and which slots are results. Everything a plan points to lies in its own arena, or is counted
 * (programs, sub-plans, buffers, the lowered fn). */
#include <string.h>

#include "compile/plan.h"

static bool add_symbols(tsr_plan *p, const tsr_extent *e) {
    if (e->op == EXT_SYMBOL) {
        for (size_t i = 0; i < p->symbol.n; i++)
            if (p->symbol.v[i] == e) return true;
        return vec_push(p->c, &p->symbol, e);
    }
    for (int i = 0; i < e->n; i++)
        if (!add_symbols(p, e->arg[i])) return false;
    return true;
}

tsr_plan *plan_blank(tsr_ctx *c, const char *name, uint64_t hash) {
    tsr_plan *p = mem_new(c, tsr_plan);
    if (!p) return NULL;
    p->refs = 1;
    p->c = c;
    p->hash = hash;
    arena_init(&p->mem, c);
    if ((p->name = arena_strdup(&p->mem, name))) return p;
    plan_free(p);
    return NULL;
}

bool plan_add_param(tsr_plan *p, const tsr_type *t) {
    bool ok = vec_push(p->c, &p->param, t);
    for (int j = 0; ok && j < t->rank; j++) ok = add_symbols(p, t->extent[j]);
    return ok;
}

bool plan_add_symbol(tsr_plan *p, const tsr_extent *symbol) { return add_symbols(p, symbol); }

bool plan_add_check(tsr_plan *p, const tsr_extent *a, const tsr_extent *b, const char *why) {
    struct fn_check k = {a, b, arena_strdup(&p->mem, why)};
    return k.why && vec_push(p->c, &p->check, k);
}

tsr_plan *plan_new(tsr_ctx *c, const tsr_fn *f) {
    tsr_plan *p = plan_blank(c, f->name, f->hash);
    bool ok = p != NULL;
    for (size_t i = 0; ok && i < f->param.n; i++) ok = plan_add_param(p, f->param.v[i].node->type);
    for (size_t i = 0; ok && i < f->size.n; i++) ok = plan_add_symbol(p, f->size.v[i].symbol);
    for (size_t i = 0; ok && i < f->check.n; i++)
        ok = plan_add_check(p, f->check.v[i].a, f->check.v[i].b, f->check.v[i].why);
    if (ok) return p;
    plan_free(p);
    return NULL;
}

void plan_keep(tsr_plan *p) { __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED); }

void plan_free(tsr_plan *p) {
    if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL)) return;
    tsr_ctx *c = p->c;
    if (p->exec) p->exec_free(p->exec);
    for (size_t i = 0; i < p->step.n; i++) {
        tsr_tile_free(p->step.v[i].program);
        for (int j = 0; j < p->step.v[i].nsub; j++) plan_free(p->step.v[i].sub[j]);
    }
    for (size_t i = 0; i < p->constant.n; i++) tsr_buf_free(p->constant.v[i].buf);
    tsr_fn_free(c, p->fn);
    vec_release(c, &p->slot), vec_release(c, &p->step), vec_release(c, &p->constant), vec_release(c, &p->param);
    vec_release(c, &p->result), vec_release(c, &p->check), vec_release(c, &p->symbol);
    arena_release(&p->mem);
    mem_del(c, p);
}

int plan_slot_add(tsr_plan *p, enum slot_kind kind, const tsr_type *t) {
    struct plan_slot s = {.kind = kind, .type = t, .root = -1, .node = -1, .result = -1, .first = -1, .last = -1};
    return vec_push(p->c, &p->slot, s) ? (int)p->slot.n - 1 : -1;
}

struct plan_step *plan_step_add(tsr_plan *p, enum step_kind kind, const char *label, int narg) {
    struct plan_step s = {.kind = kind, .narg = narg, .label = arena_strdup(&p->mem, label)};
    s.arg = arena_array(&p->mem, (size_t)narg + 1, sizeof *s.arg);
    if (!s.label || !s.arg || !vec_push(p->c, &p->step, s)) return NULL;
    return &p->step.v[p->step.n - 1];
}

void plan_programs(const tsr_plan *p, plan_visit *visit, void *user) {
    for (size_t i = 0; i < p->step.n; i++) {
        const struct plan_step *s = &p->step.v[i];
        if (s->program) visit(user, s->program, s->label);
        for (int j = 0; j < s->nsub; j++) plan_programs(s->sub[j], visit, user);
    }
}

int plan_root(const tsr_plan *p, int slot) {
    while (p->slot.v[slot].kind == SLOT_ALIAS) slot = p->slot.v[slot].root;
    return slot;
}

/* Is the slot all of its root's memory? */
static bool is_whole(tsr_plan *p, int slot) {
    const struct plan_slot *root = &p->slot.v[plan_root(p, slot)], *s = &p->slot.v[slot];
    if (s == root) return true;
    for (int i = slot; p->slot.v[i].kind == SLOT_ALIAS; i = p->slot.v[i].root)
        if (p->slot.v[i].offset && !extent_is(p->slot.v[i].offset, 0)) return false;
    return tsr_dtype_of(s->type->dtype)->bytes == tsr_dtype_of(root->type->dtype)->bytes &&
           type_elements(p->c, s->type) == type_elements(p->c, root->type);
}

tsr_status plan_finish(tsr_plan *p, tsr_fn *lowered) {
    int steps = (int)p->step.n;
    for (int i = 0; i < steps; i++) {
        const struct plan_step *s = &p->step.v[i];
        for (int j = 0; j < s->narg; j++) {
            if (s->arg[j].kind != PLAN_ARG_SLOT) continue;
            struct plan_slot *r = &p->slot.v[plan_root(p, s->arg[j].slot)];
            if (s->arg[j].writes && r->first < 0) r->first = i;
            if (s->arg[j].reads && r->kind == SLOT_TEMP && r->first < 0)
                TSR_BUG("plan %s: step %d (%s) reads a slot before any step writes it", p->name, i, s->label);
            r->last = i;
        }
    }
    for (size_t i = 0; i < p->result.n; i++) {
        struct plan_slot *r = &p->slot.v[plan_root(p, p->result.v[i])];
        r->last = steps;
        if (r->kind == SLOT_TEMP && r->result < 0 && is_whole(p, p->result.v[i])) r->result = (int)i;
    }
    p->fn = tsr_fn_keep(lowered);
    return TSR_OK;
}

/* ---- text ---- */

static void print_slot_name(struct str *s, const tsr_plan *p, int slot) {
    static const char letter[] = {[SLOT_PARAM] = 'p', [SLOT_CONST] = 'k', [SLOT_TEMP] = 't', [SLOT_ALIAS] = 'a'};
    str_printf(s, "%c%d", letter[p->slot.v[slot].kind], slot);
}

static void print_step(struct str *s, const tsr_plan *p, const struct plan_step *st, int i) {
    static const char *const kind[] = {[STEP_KERNEL] = "kernel", [STEP_LIB] = "library", [STEP_COPY] = "copy",
        [STEP_HOST] = "host", [STEP_COMM] = "comm",
                                       [STEP_CALL] = "call", [STEP_COND] = "cond", [STEP_WHILE] = "while",
                                       [STEP_SCAN] = "scan"};
    str_printf(s, "%4d  %-7s %-32s", i, kind[st->kind], st->label);
    if (st->kind == STEP_KERNEL) {
        str_put(s, " grid (");
        for (int k = 0; k < 3; k++) {
            if (k) str_put(s, ", ");
            extent_print(s, st->grid[k]);
        }
        str_putc(s, ')');
    }
    for (int pass = 0; pass < 2; pass++) {
        str_put(s, pass ? " -> " : "  ");
        int n = 0;
        for (int j = 0; j < st->narg; j++) {
            if (st->arg[j].kind != PLAN_ARG_SLOT || st->arg[j].writes != (pass == 1)) continue;
            if (n++) str_put(s, ", ");
            print_slot_name(s, p, st->arg[j].slot);
        }
    }
    if (st->bytes_moved) str_put(s, "  bytes "), extent_print(s, st->bytes_moved);
    str_putc(s, '\n');
}

void plan_print(struct str *s, const tsr_plan *p) {
    str_printf(s, "plan %s: %zu steps, %zu slots\n", p->name, p->step.n, p->slot.n);
    for (size_t i = 0; i < p->step.n; i++) {
        print_step(s, p, &p->step.v[i], (int)i);
        for (int j = 0; j < p->step.v[i].nsub; j++) plan_print(s, p->step.v[i].sub[j]);
    }
    for (size_t i = 0; i < p->slot.n; i++) {
        const struct plan_slot *l = &p->slot.v[i];
        str_put(s, "      ");
        print_slot_name(s, p, (int)i);
        str_put(s, ": ");
        type_print(s, l->type);
        if (l->kind == SLOT_ALIAS) str_put(s, " in "), print_slot_name(s, p, l->root);
        if (l->kind == SLOT_TEMP && l->result >= 0) str_printf(s, " result %d", l->result);
        else if (l->kind == SLOT_TEMP) str_printf(s, " steps %d-%d", l->first, l->last);
        str_putc(s, '\n');
    }
}
