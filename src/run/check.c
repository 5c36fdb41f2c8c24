/* check.c: the checking modes of the runner.
 *
 * TSR_NAN=1: after each step, the first NaN in a floating result stops the run and names
 * the step and the op it came from.
 *
 * TSR_CHECK=2: before a plan runs, the reference interpreter computes every node of the plan's fn on the same
 * operands; after each step, every slot it wrote whose node is known is compared. The tolerance is that of one op
 * chain in the slot's dtype, relative to the greatest value of the tensor: it finds wrong answers, not rounding.
 * Sub-plans (loop bodies) are compared by their results. A fn that communicates is not compared: its reference would
 * speak to the other participants too. */
#include <math.h>
#include <string.h>

#include "graph/interp.h"
#include "run/runner.h"

/* What lies at `at` for a slot, in memory that the host sees. */
static tsr_status slot_tensor(struct runner *r, const tsr_plan *p, const struct plan_binding *b, int slot, void *at,
    struct arena *mem, struct ref_tensor *x) {
    const tsr_type *t = p->slot.v[slot].type;
    *x = (struct ref_tensor){.dtype = t->dtype, .rank = t->rank, .count = b->slot[slot].count};
    if (t->rank) memcpy(x->dim, b->slot[slot].dim, (size_t)t->rank * sizeof *x->dim);
    return resident_host(r, at, b->slot[slot].bytes, mem, (void **)&x->p);
}

static bool has_nan(const struct ref_tensor *t, int64_t *at) {
    tsr_kind k = tsr_dtype_of(t->dtype)->kind;
    if (k != TSR_KIND_FLOAT && k != TSR_KIND_COMPLEX) return false;
    for (int64_t i = 0; i < t->count; i++) {
        struct ref_val v = ref_get(t, i);
        if (!isnan(v.re) && !(k == TSR_KIND_COMPLEX && isnan(v.im))) continue;
        *at = i;
        return true;
    }
    return false;
}

static tsr_status check_slot(struct runner *r, tsr_plan *p, const struct plan_binding *b, int step, int slot,
    struct arena *mem) {
    struct ref_tensor t;
    int64_t at;
    tsr_status s = slot_tensor(r, p, b, slot, exec_slots(r, p)[slot], mem, &t);
    if (s || !has_nan(&t, &at)) return s;
    int pos = p->slot.v[slot].node;
    return err_set(r->c, TSR_ECHECK,
        "NaN in %s, step %d (%s), result of op %s, element %lld of %s: check the operands of that op", p->name, step,
        p->step.v[step].label, pos >= 0 && p->fn ? op_name(p->fn->node.v[pos]->op) : "unknown", (long long)at,
        type_text(r->c, p->slot.v[slot].type));
}

tsr_status check_nan(struct runner *r, tsr_plan *p, const struct plan_binding *b, int step) {
    const struct plan_step *s = &p->step.v[step];
    struct arena mem;
    tsr_status st = TSR_OK;
    arena_init(&mem, r->c);
    for (int j = 0; j < s->narg && !st; j++)
        if (s->arg[j].kind == PLAN_ARG_SLOT && s->arg[j].writes) st = check_slot(r, p, b, step, s->arg[j].slot, &mem);
    arena_release(&mem);
    return st;
}

/* ---- comparison with the reference ---- */

struct watch {
    struct runner *r;
    tsr_plan *p;
    const struct plan_binding *b;
    struct arena mem;
    struct ref_tensor *value; /* (fn->node.n), p NULL where unknown */
};

static bool keep_value(struct watch *w, size_t pos, const struct ref_tensor *t) {
    size_t bytes;
    if (!tsr_dtype_bytes(t->dtype, t->count, &bytes)) return true;
    w->value[pos] = *t;
    if (!(w->value[pos].p = arena_alloc(&w->mem, bytes + 1))) return false;
    memcpy(w->value[pos].p, t->p, bytes);
    return true;
}

static tsr_status on_node(void *user, const tsr_fn *f, const tsr_node *n, int nin, const struct ref_tensor *in,
    int nout, const struct ref_tensor *out) {
    struct watch *w = user;
    (void)nin, (void)in;
    if (f != w->p->fn || nout != 1 || n->type->kind != TSR_TENSOR) return TSR_OK;
    return keep_value(w, (size_t)n->pos, &out[0]) ? TSR_OK : TSR_ENOMEM;
}

tsr_status watch_open(struct runner *r, tsr_plan *p, const struct plan_binding *b, void *const *param,
    struct watch **out) {
    const tsr_fn *f = p->fn;
    struct watch *w = mem_new(r->c, struct watch);
    if (!w) return TSR_ENOMEM;
    *out = w;
    *w = (struct watch){.r = r, .p = p, .b = b};
    arena_init(&w->mem, r->c);
    w->value = arena_array(&w->mem, f->node.n + 1, sizeof *w->value);
    struct ref_tensor *in = arena_array(&w->mem, f->param.n + 1, sizeof *in),
        *res = arena_array(&w->mem, f->result.n + 1, sizeof *res);
    if (!w->value || !in || !res) return TSR_ENOMEM;
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < p->slot.n && !st; i++) {
        const struct plan_slot *s = &p->slot.v[i];
        if (s->kind == SLOT_PARAM) st = slot_tensor(r, p, b, (int)i, param[s->index], &w->mem, &in[s->index]);
    }
    struct interp_opts o = {.node = on_node, .user = w, .poison = 0xA5};
    return st ? st : interp_run(r->c, f, (int)f->param.n, in, &w->mem, res, &o);
}

static double tolerance(tsr_dtype t) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    if (d->kind != TSR_KIND_FLOAT && d->kind != TSR_KIND_COMPLEX) return 0;
    if (t == TSR_F64 || t == TSR_C128) return 1e-9;
    if (t == TSR_F32 || t == TSR_C64) return 1e-3;
    return t == TSR_F16 ? 1e-2 : t == TSR_BF16 ? 5e-2 : 0.3;
}

static bool differs(double got, double want, double atol) {
    if (isnan(want) || isnan(got)) return isnan(want) != isnan(got);
    return !(fabs(got - want) <= atol) && got != want;
}

static tsr_status compare(struct watch *w, int step, const struct ref_tensor *got, const struct ref_tensor *want,
    const tsr_node *n) {
    tsr_kind k = tsr_dtype_of(got->dtype)->kind;
    double most = 1, tol = tolerance(got->dtype);
    bool exact = k != TSR_KIND_FLOAT && k != TSR_KIND_COMPLEX;
    for (int64_t i = 0; i < want->count && !exact; i++) {
        double m = fabs(ref_get(want, i).re);
        if (isfinite(m) && m > most) most = m;
    }
    for (int64_t i = 0; i < want->count; i++) {
        struct ref_val g = ref_get(got, i), x = ref_get(want, i);
        bool bad = exact ? g.i != x.i || g.u != x.u : differs(g.re, x.re, tol * most) ||
            (k == TSR_KIND_COMPLEX && differs(g.im, x.im, tol * most));
        if (bad)
            return err_set(w->r->c, TSR_ECHECK,
                "%s, step %d (%s): element %lld of node %%%d (%s, %s) is %.9g, the reference says %.9g", w->p->name,
                           step, w->p->step.v[step].label, (long long)i, (int)n->pos, op_name(n->op),
                           type_text(w->r->c, n->type),
                           exact ? (double)g.i : g.re, exact ? (double)x.i : x.re);
    }
    return TSR_OK;
}

tsr_status watch_step(struct watch *w, int step) {
    const struct plan_step *s = &w->p->step.v[step];
    struct arena mem;
    tsr_status st = TSR_OK;
    arena_init(&mem, w->r->c);
    for (int j = 0; j < s->narg && !st; j++) {
        if (s->arg[j].kind != PLAN_ARG_SLOT || !s->arg[j].writes) continue;
        int pos = w->p->slot.v[s->arg[j].slot].node;
        if (pos < 0 || !w->value[pos].p) continue;
        struct ref_tensor got;
        int slot = s->arg[j].slot;
        st = slot_tensor(w->r, w->p, w->b, slot, exec_slots(w->r, w->p)[slot], &mem, &got);
        if (!st) st = compare(w, step, &got, &w->value[pos], w->p->fn->node.v[pos]);
    }
    arena_release(&mem);
    return st;
}

void watch_close(struct watch *w) {
    if (!w) return;
    arena_release(&w->mem);
    mem_del(w->r->c, w);
}
