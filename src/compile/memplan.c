/* memplan.c: binding a plan to sizes, and the memory plan: every temporary in one arena.
 *
 * plan_bind evaluates each extent expression of the plan under the given symbols, checks what could not be proved
 * when the fn was built, and lays out the arena: temporaries are placed in order of their first step, each into the
 * smallest free gap that holds it (gaps open again after a slot's last step), so the cost is about steps *
 * log(gaps): microseconds for hundreds of steps. Where a step allows it (plan_step.reuse) a result takes over the
 * memory of an operand that dies in that step.
 *
 * Results of the fn live in their own buffers and parameters in the caller's, so neither is in the arena. */
#include <string.h>

#include "compile/plan.h"

enum { ALIGN = 64 };
static size_t aligned(size_t n) { return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

/* ---- sizes ---- */

struct binder {
    tsr_ctx *c;
    const tsr_plan *p;
    struct plan_binding *b;
};

static tsr_status value_of(struct binder *k, const tsr_extent *e, int64_t *out) {
    return tsr_extent_eval(k->c, e, k->b->n, k->b->b, out);
}

static tsr_status bind_slot(struct binder *k, size_t i) {
    const struct plan_slot *l = &k->p->slot.v[i];
    struct slot_binding *o = &k->b->slot[i];
    tsr_status s = TSR_OK;
    o->takes = -1;
    o->count = 1;
    if (!(o->dim = arena_array(&k->b->mem, (size_t)l->type->rank + 1, sizeof *o->dim))) return TSR_ENOMEM;
    for (int j = 0; j < l->type->rank && !s; j++) {
        if ((s = value_of(k, l->type->extent[j], &o->dim[j]))) break;
        if (o->dim[j] < 0)
            s = err_set(k->c, TSR_ECHECK, "plan %s: extent %s of a %s is %lld: sizes are not negative", k->p->name,
                        extent_text(k->c, l->type->extent[j]), type_text(k->c, l->type), (long long)o->dim[j]);
        else if (!i64_mul(o->count, o->dim[j], &o->count))
            s = err_set(k->c, TSR_ECHECK, "plan %s: a %s has more than 2^63 elements", k->p->name,
                type_text(k->c, l->type));
    }
    if (!s && !tsr_dtype_bytes(l->type->dtype, o->count, &o->bytes))
        s = err_set(k->c, TSR_ECHECK, "plan %s: %lld elements of %s do not fit memory or its blocks", k->p->name,
            (long long)o->count,
                    tsr_dtype_name(l->type->dtype));
    if (s || l->kind != SLOT_ALIAS || !l->offset) return s;
    int64_t elements;
    if ((s = value_of(k, l->offset, &elements))) return s;
    return tsr_dtype_bytes(l->type->dtype, elements, &o->offset)
               ? TSR_OK
               : err_set(k->c, TSR_ECHECK, "plan %s: a part starts at element %lld of %s", k->p->name,
               (long long)elements, tsr_dtype_name(l->type->dtype));
}

/* An alias's offset counts from its root's start. Roots of aliases stand before them. */
static tsr_status chain_aliases(struct binder *k) {
    for (size_t i = 0; i < k->p->slot.n; i++) {
        const struct plan_slot *l = &k->p->slot.v[i];
        struct slot_binding *o = &k->b->slot[i];
        if (l->kind != SLOT_ALIAS) continue;
        size_t room = k->b->slot[l->root].bytes;
        if (o->offset > room || o->bytes > room - o->offset)
            return err_set(k->c, TSR_ECHECK, "plan %s: a %s is no part of the %s it is taken from", k->p->name,
                type_text(k->c, l->type), type_text(k->c, k->p->slot.v[l->root].type));
        if (k->p->slot.v[l->root].kind == SLOT_ALIAS) o->offset += k->b->slot[l->root].offset;
    }
    return TSR_OK;
}

static tsr_status bind_estimate(struct binder *k, const tsr_extent *e, double *out) {
    int64_t v = 0;
    tsr_status s = e ? value_of(k, e, &v) : TSR_OK;
    *out = (double)v;
    return s;
}

static tsr_status bind_step(struct binder *k, size_t i) {
    const struct plan_step *st = &k->p->step.v[i];
    struct step_binding *o = &k->b->step[i];
    tsr_status s = TSR_OK;
    o->scalar = arena_array(&k->b->mem, (size_t)st->narg + 1, sizeof *o->scalar);
    o->dims = arena_array(&k->b->mem, (size_t)st->ndims + 1, sizeof *o->dims);
    if (!o->scalar || !o->dims) return TSR_ENOMEM;
    o->trips = -1;
    for (int j = 0; j < 3 && !s; j++) {
        o->grid[j] = 1;
        if (st->kind == STEP_KERNEL && st->grid[j]) s = value_of(k, st->grid[j], &o->grid[j]);
    }
    if (!s && st->trips) s = value_of(k, st->trips, &o->trips);
    for (int j = 0; j < st->narg && !s; j++)
        if (st->arg[j].kind == PLAN_ARG_EXTENT) s = value_of(k, st->arg[j].extent, &o->scalar[j]);
    for (int j = 0; j < st->ndims && !s; j++) s = value_of(k, st->dims[j], &o->dims[j]);
    if (!s && st->kind == STEP_COPY && k->b->slot[st->arg[0].slot].bytes != k->b->slot[st->arg[1].slot].bytes)
        s = err_set(k->c, TSR_ECHECK, "plan %s: %s copies between different lengths", k->p->name, st->label);
    if (!s) s = bind_estimate(k, st->bytes_moved, &o->bytes_moved);
    return s ? s : bind_estimate(k, st->flops, &o->flops);
}

static tsr_status bind_checks(struct binder *k) {
    for (size_t i = 0; i < k->p->check.n; i++) {
        const struct fn_check *q = &k->p->check.v[i];
        int64_t a, b;
        tsr_status s = value_of(k, q->a, &a);
        if (!s) s = value_of(k, q->b, &b);
        if (s) return s;
        if (a != b)
            return err_set(k->c, TSR_ECHECK, "%s: %s (%s is %lld, %s is %lld)", k->p->name, q->why,
                extent_text(k->c, q->a), (long long)a,
                           extent_text(k->c, q->b), (long long)b);
    }
    return TSR_OK;
}

/* ---- the arena ---- */

struct gap { size_t at, size; };
struct layout {
    struct binder *k;
    VEC(struct gap) gap; /* in order of address, never adjacent */
    size_t top, live;
};

static bool in_arena(const struct plan_slot *l) { return l->kind == SLOT_TEMP && l->result < 0; }

static bool gap_insert(struct layout *y, size_t i, struct gap g) {
    if (!vec_push(y->k->c, &y->gap, g)) return false;
    memmove(&y->gap.v[i + 1], &y->gap.v[i], (y->gap.n - 1 - i) * sizeof g);
    y->gap.v[i] = g;
    return true;
}

static void gap_remove(struct layout *y, size_t i) {
    memmove(&y->gap.v[i], &y->gap.v[i + 1], (y->gap.n - 1 - i) * sizeof y->gap.v[0]);
    y->gap.n--;
}

static size_t place(struct layout *y, size_t size) {
    size_t best = y->gap.n;
    for (size_t i = 0; i < y->gap.n; i++)
        if (y->gap.v[i].size >= size && (best == y->gap.n || y->gap.v[i].size < y->gap.v[best].size)) best = i;
    if (best < y->gap.n) {
        size_t at = y->gap.v[best].at;
        y->gap.v[best].at += size;
        if (!(y->gap.v[best].size -= size)) gap_remove(y, best);
        return at;
    }
    size_t at = y->top;
    if (y->gap.n && y->gap.v[y->gap.n - 1].at + y->gap.v[y->gap.n - 1].size == y->top) { /* grow the last gap */
        at = y->gap.v[y->gap.n - 1].at;
        gap_remove(y, y->gap.n - 1);
    }
    y->top = at + size;
    return at;
}

static bool give_back(struct layout *y, size_t at, size_t size) {
    size_t i = 0;
    while (i < y->gap.n && y->gap.v[i].at < at) i++;
    bool left = i > 0 && y->gap.v[i - 1].at + y->gap.v[i - 1].size == at;
    bool right = i < y->gap.n && at + size == y->gap.v[i].at;
    if (left && right) {
        y->gap.v[i - 1].size += size + y->gap.v[i].size;
        gap_remove(y, i);
    } else if (left) {
        y->gap.v[i - 1].size += size;
    } else if (right) {
        y->gap.v[i].at = at, y->gap.v[i].size += size;
    } else {
        return gap_insert(y, i, (struct gap){at, size});
    }
    return true;
}

/* The dying operand whose memory result `slot` of step i may take over, or -1. */
static int taken_over(struct layout *y, const struct plan_step *st, int i, int slot) {
    const tsr_plan *p = y->k->p;
    const struct slot_binding *b = y->k->b->slot;
    for (int r = 0; r < st->nreuse; r++) {
        if (plan_root(p, st->arg[st->reuse[r][0]].slot) != slot) continue;
        int from = plan_root(p, st->arg[st->reuse[r][1]].slot);
        const struct plan_slot *l = &p->slot.v[from];
        if (!in_arena(l) || l->last != i || l->first == i || b[from].bytes != b[slot].bytes) continue;
        bool free = true;
        for (size_t j = 0; j < p->slot.n && free; j++) free = b[j].takes != from;
        if (free) return from;
    }
    return -1;
}

static bool place_results(struct layout *y, const struct plan_step *st, int i) {
    const tsr_plan *p = y->k->p;
    for (int j = 0; j < st->narg; j++) {
        if (st->arg[j].kind != PLAN_ARG_SLOT || !st->arg[j].writes) continue;
        int slot = plan_root(p, st->arg[j].slot);
        struct slot_binding *b = &y->k->b->slot[slot];
        if (!in_arena(&p->slot.v[slot]) || p->slot.v[slot].first != i || b->offset != SIZE_MAX) continue;
        b->takes = taken_over(y, st, i, slot);
        if (b->takes >= 0) {
            b->offset = y->k->b->slot[b->takes].offset;
        } else {
            b->offset = place(y, aligned(b->bytes ? b->bytes : 1));
            y->live += aligned(b->bytes ? b->bytes : 1);
        }
    }
    if (y->live > y->k->b->arena_peak) y->k->b->arena_peak = y->live;
    return true;
}

static bool free_operands(struct layout *y, const struct plan_step *st, int i, uint8_t *freed) {
    const tsr_plan *p = y->k->p;
    for (int j = 0; j < st->narg; j++) {
        if (st->arg[j].kind != PLAN_ARG_SLOT) continue;
        int slot = plan_root(p, st->arg[j].slot);
        if (!in_arena(&p->slot.v[slot]) || p->slot.v[slot].last != i || freed[slot]) continue;
        freed[slot] = 1;
        bool handed_on = false;
        for (int r = 0; r < st->narg && !handed_on; r++)
            handed_on = st->arg[r].kind == PLAN_ARG_SLOT && y->k->b->slot[plan_root(p, st->arg[r].slot)].takes == slot;
        if (handed_on) continue;
        size_t size = aligned(y->k->b->slot[slot].bytes ? y->k->b->slot[slot].bytes : 1);
        y->live -= size;
        if (!give_back(y, y->k->b->slot[slot].offset, size)) return false;
    }
    return true;
}

static tsr_status lay_out(struct binder *k) {
    const tsr_plan *p = k->p;
    struct layout y = {.k = k};
    uint8_t *freed = arena_alloc(&k->b->mem, p->slot.n + 1);
    bool ok = freed != NULL;
    for (size_t i = 0; i < p->slot.n; i++)
        if (in_arena(&p->slot.v[i])) k->b->slot[i].offset = SIZE_MAX; /* not placed yet */
    for (size_t i = 0; ok && i < p->step.n; i++)
        ok = place_results(&y, &p->step.v[i], (int)i) && free_operands(&y, &p->step.v[i], (int)i, freed);
    k->b->arena_bytes = y.top;
    vec_release(k->c, &y.gap);
    return ok ? TSR_OK : TSR_ENOMEM;
}

tsr_status plan_bind(tsr_ctx *c, const tsr_plan *p, int n, const tsr_binding *b, struct plan_binding *out) {
    *out = (struct plan_binding){.n = n};
    arena_init(&out->mem, c);
    struct binder k = {c, p, out};
    out->b = arena_array(&out->mem, (size_t)n + 1, sizeof *out->b);
    out->slot = arena_array(&out->mem, p->slot.n + 1, sizeof *out->slot);
    out->step = arena_array(&out->mem, p->step.n + 1, sizeof *out->step);
    if (!out->b || !out->slot || !out->step) return TSR_ENOMEM;
    if (n) memcpy(out->b, b, (size_t)n * sizeof *b);
    tsr_status s = bind_checks(&k);
    for (size_t i = 0; i < p->slot.n && !s; i++) s = bind_slot(&k, i);
    if (!s) s = chain_aliases(&k);
    for (size_t i = 0; i < p->step.n && !s; i++) s = bind_step(&k, i);
    return s ? s : lay_out(&k);
}

void plan_binding_release(struct plan_binding *b) {
    if (b->mem.c) arena_release(&b->mem);
    *b = (struct plan_binding){0};
}
