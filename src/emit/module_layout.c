/* module_layout.c: where the temporaries of a plan's function lie.
 *
 * Under constant sizes the memory plan's own offsets stand in the text. Under symbols no offset is known, so slots that
 * never live at the same time share a pool, which is as large as the largest of them: first those of equal size, then
 * any that is free. The function NAME_frameN computes the places of the pools for given sizes, NAME_needN the bytes a
 * plan needs with its bodies and the scratch of its kernels, which lie behind its pools. */
#include <string.h>

#include "emit/module_text.h"

static bool is_temp(const struct plan_slot *l) { return l->kind == SLOT_TEMP && l->result < 0; }

struct pools {
    struct module *m;
    struct module_plan *q;
    int *until; /* (slot.n) of each pool: last step at which its present slot lives */
};

/* A free pool at step `first`, preferably one that holds this type already. */
static int free_pool(const struct pools *k, const tsr_type *t, int first) {
    int any = -1;
    for (int i = 0; i < k->q->npool; i++) {
        if (k->until[i] >= first) continue;
        any = i;
        for (size_t j = 0; j < k->q->pool_of.n; j++)
            if (k->q->pool_of.v[j] == i && k->q->pool_size.v[j] == t) return i;
    }
    return any;
}

static bool choose_pools(struct pools *k) {
    const tsr_plan *p = k->q->p;
    for (int step = 0; step < (int)p->step.n; step++)
        for (size_t i = 0; i < p->slot.n; i++) {
            const struct plan_slot *l = &p->slot.v[i];
            if (!is_temp(l) || l->first != step) continue;
            int at = free_pool(k, l->type, step);
            if (at < 0) at = k->q->npool++;
            k->until[at] = l->last;
            k->q->pool[i] = at;
            if (!vec_push(k->m->c, &k->q->pool_size, l->type) || !vec_push(k->m->c, &k->q->pool_of, at)) return false;
        }
    return true;
}

static bool layout_symbolic(struct module *m, struct module_plan *q) {
    struct pools k = {m, q, arena_array(&m->mem, q->p->slot.n + 1, sizeof(int))};
    q->pool = arena_array(&m->mem, q->p->slot.n + 1, sizeof *q->pool);
    if (!k.until || !q->pool) return false;
    for (size_t i = 0; i < q->p->slot.n; i++) q->pool[i] = -1;
    return choose_pools(&k);
}

static bool layout_constant(struct module *m, struct module_plan *q) {
    if (plan_bind(m->c, q->p, m->o->n, m->o->b, &q->b)) {
        err_prefix(m->c, "%s", m->o->name);
        return false;
    }
    int64_t most = 0;
    for (size_t i = 0; i < q->p->step.n; i++) {
        struct module_sum sum = {.n = 0};
        str_init(&sum.s, m->c);
        module_step_need(m, &sum, q->p, &q->p->step.v[i]);
        str_release(&sum.s);
        if (sum.n > most) most = sum.n;
    }
    q->need = (((int64_t)q->b.arena_bytes + 63) & ~(int64_t)63) + most;
    return !m->failed;
}

bool module_layout(struct module *m, struct module_plan *q) {
    return m->o->symbolic ? layout_symbolic(m, q) : layout_constant(m, q);
}

void module_frame(struct module *m, struct str *s, struct module_plan *q) {
    str_printf(s, "static vm_i64 %s_frame(const vm_i64 *s, vm_i64 *at) {\n    vm_i64 end = 0, size;\n    (void)s, "
        "(void)at;\n",
        q->name);
    for (int i = 0; i < q->npool; i++) {
        bool first = true;
        for (size_t j = 0; j < q->pool_of.n; j++) {
            bool seen = q->pool_of.v[j] != i;
            for (size_t k = 0; k < j && !seen; k++) seen = q->pool_of.v[k] == i &&
                q->pool_size.v[k] == q->pool_size.v[j];
            if (seen) continue;
            str_put(s, first ? "    size = " : "    size = tsr_max(size, ");
            module_bytes(m, s, q->pool_size.v[j]);
            str_put(s, first ? ";\n" : ");\n");
            first = false;
        }
        str_printf(s, "    at[%d] = end, end += tsr_round64(size);\n", i);
    }
    str_printf(s, "    (void)size;\n    return end;\n}\n");
    str_printf(s, "static vm_i64 %s_need(const vm_i64 *s) {\n    vm_i64 at[%d], most = 0;\n", q->name,
        q->npool ? q->npool : 1);
    for (size_t i = 0; i < q->p->step.n; i++) {
        struct module_sum sum = {.n = 0};
        str_init(&sum.s, m->c);
        module_step_need(m, &sum, q->p, &q->p->step.v[i]);
        if (sum.s.n || sum.n) str_printf(s, "    most = tsr_max(most, %lld", (long long)sum.n), str_put(s, sum.s.s),
            str_put(s, ");\n");
        m->failed |= sum.s.failed;
        str_release(&sum.s);
    }
    str_printf(s, "    return %s_frame(s, at) + most;\n}\n", q->name);
}
