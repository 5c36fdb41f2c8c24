/* plan_check.c: every invariant of a plan that the runner believes.
 *
 * Lowering keeps them by construction; a plan that was read from a file is held to them here, before plan_finish: what
 * slots and steps point at exists, types agree across every call, nothing is read before it is written, parameters and
 * literals are never written. Sizes that are only known when the plan is bound (parts inside their roots, copies of
 * equal length) plan_bind checks for every plan. The addresses that a tile program computes are its own affair: they
 * are looked at while it runs, under TSR_CHECK. */
#include "compile/plan.h"
#include "tile/tile.h"

bool lib_step_check(tsr_plan *p, const struct plan_step *s); /* lib_check.c */

struct checker {
    tsr_plan *p;
    uint8_t *written; /* (slot.n) by a step so far */
};

static bool broken(const struct checker *k, const char *where, size_t at, const char *what) {
    if (!err_any(k->p->c)) err_set(k->p->c, TSR_EFORMAT, "plan %s: %s %zu: %s", k->p->name, where, at, what);
    return false;
}

/* ---- slots ---- */

static bool check_slot(const struct checker *k, size_t i) {
    const tsr_plan *p = k->p;
    const struct plan_slot *s = &p->slot.v[i];
    size_t bytes;
    if (!s->type || s->type->kind != TSR_TENSOR) return broken(k, "slot", i, "it is no tensor");
    switch (s->kind) {
    case SLOT_PARAM:
        return (s->index >= 0 && (size_t)s->index < p->param.n && p->param.v[s->index] == s->type) ||
               broken(k, "slot", i, "it is no parameter of its type");
    case SLOT_CONST:
        return (s->index >= 0 && (size_t)s->index < p->constant.n && type_bytes(s->type, &bytes) &&
                bytes <= tsr_buf_bytes(p->constant.v[s->index].buf)) ||
               broken(k, "slot", i, "its literal has other bytes than its type");
    case SLOT_TEMP: return true;
    case SLOT_ALIAS: return (s->root >= 0 && (size_t)s->root < i) || broken(k, "slot", i, "its root stands behind it");
    }
    return broken(k, "slot", i, "there is no such kind");
}

static const struct plan_slot *slot_of(const struct checker *k, const struct plan_arg *a) {
    return &k->p->slot.v[a->slot];
}

static bool check_args(struct checker *k, size_t i) {
    const struct plan_step *s = &k->p->step.v[i];
    for (int j = 0; j < s->narg; j++) {
        const struct plan_arg *a = &s->arg[j];
        if (a->kind == PLAN_ARG_EXTENT) {
            if (!a->extent || s->kind != STEP_KERNEL) return broken(k, "step", i, "it takes a size for a tensor");
            continue;
        }
        if (a->slot < 0 || (size_t)a->slot >= k->p->slot.n) return broken(k, "step", i, "it takes a slot that is not");
        int root = plan_root(k->p, a->slot);
        bool temp = k->p->slot.v[root].kind == SLOT_TEMP;
        if (a->writes == a->reads && !a->writes) return broken(k, "step", i, "an argument is neither read nor written");
        if (a->writes && !temp) return broken(k, "step", i, "it writes a parameter or a literal");
        if (a->reads && temp && !k->written[root]) return broken(k, "step", i, "it reads what no step has written");
    }
    for (int j = 0; j < s->narg; j++)
        if (s->arg[j].kind == PLAN_ARG_SLOT && s->arg[j].writes) k->written[plan_root(k->p, s->arg[j].slot)] = 1;
    for (int j = 0; j < s->nreuse; j++)
        for (int e = 0; e < 2; e++) {
            int at = s->reuse[j][e];
            if (at < 0 || at >= s->narg || s->arg[at].kind != PLAN_ARG_SLOT ||
                !(e ? s->arg[at].reads : s->arg[at].writes))
                return broken(k, "step", i, "it takes memory over from what it does not read");
        }
    return true;
}

/* ---- kernels and copies ---- */

static bool check_kernel(struct checker *k, size_t i) {
    const struct plan_step *s = &k->p->step.v[i];
    const tsr_tile *t = s->program;
    if (!t || !t->finished || (int)t->arg.n != s->narg) return broken(k, "step", i, "its program has other arguments");
    for (int j = 0; j < s->narg; j++) {
        tsr_tv v = t->arg.v[j].value;
        const struct tile_type *want = tile_type_of(t, v);
        int access = t->inst.v[t->value.v[v].inst].sub;
        const struct plan_arg *a = &s->arg[j];
        if (want->buf != (a->kind == PLAN_ARG_SLOT)) return broken(k, "step", i, "a size stands for a buffer");
        if (!want->buf) continue;
        if (slot_of(k, a)->type->dtype != want->dtype) return broken(k, "step", i, "a buffer has another dtype");
        if ((access & TSR_TILE_OUT) && !a->writes) return broken(k, "step", i, "it writes what is only read");
    }
    return true;
}

static bool check_copy(struct checker *k, size_t i) {
    const struct plan_step *s = &k->p->step.v[i];
    return (s->narg == 2 && s->arg[0].writes && s->arg[1].reads) || broken(k, "step", i, "a copy has two ends");
}

/* ---- steps with sub-plans ---- */

/* The same tensor on both sides of a call. Extents that are not one expression become a check of the plan. */
static bool match(struct checker *k, size_t i, const tsr_type *a, const tsr_type *b) {
    if (a == b) return true;
    if (a->dtype != b->dtype || a->rank != b->rank) return broken(k, "step", i, "a value changes its type in a call");
    for (int j = 0; j < a->rank; j++)
        if (a->extent[j] != b->extent[j] &&
            !plan_add_check(k->p, a->extent[j], b->extent[j], "a value has one size on both sides of a call"))
            return false;
    return true;
}

/* Argument at of the step is parameter (or result) `of` of a sub-plan; sliced: without its first axis. */
struct side { int at; bool result; int of; bool sliced; };

static bool check_side(struct checker *k, size_t i, const tsr_plan *sub, struct side e) {
    const struct plan_step *s = &k->p->step.v[i];
    size_t n = e.result ? sub->result.n : sub->param.n;
    if (e.at < 0 || e.at >= s->narg || e.of < 0 || (size_t)e.of >= n || s->arg[e.at].writes != e.result)
        return broken(k, "step", i, "its bodies take other values");
    const tsr_type *outer = slot_of(k, &s->arg[e.at])->type;
    const tsr_type *inner = e.result ? sub->slot.v[sub->result.v[e.of]].type : sub->param.v[e.of];
    if (!e.sliced) return match(k, i, outer, inner);
    if (outer->rank < 1) return broken(k, "step", i, "it scans a scalar");
    if (outer->extent[0] != s->trips &&
        !plan_add_check(k->p, outer->extent[0], s->trips, "a scanned tensor has a slice for each turn"))
        return false;
    const tsr_type *slice = type_drop_axis(k->p->c, outer, 0);
    return slice && match(k, i, slice, inner);
}

static bool check_sides(struct checker *k, size_t i, const tsr_plan *sub, int n, int at, bool result, int of,
    bool sliced) {
    for (int j = 0; j < n; j++)
        if (!check_side(k, i, sub, (struct side){at + j, result, of + j, sliced})) return false;
    return true;
}

static bool check_call(struct checker *k, size_t i) {
    const struct plan_step *s = &k->p->step.v[i];
    int np = s->nsub == 1 ? (int)s->sub[0]->param.n : -1, nr = np < 0 ? 0 : (int)s->sub[0]->result.n;
    if (s->narg != np + nr) return broken(k, "step", i, "it calls with another number of values");
    return check_sides(k, i, s->sub[0], np, 0, false, 0, false) && check_sides(k, i, s->sub[0], nr, np, true, 0, false);
}

static bool check_cond(struct checker *k, size_t i) {
    const struct plan_step *s = &k->p->step.v[i];
    int n = s->ncarry, nr = s->nsub > 0 ? (int)s->sub[0]->result.n : -1, implicit = 1 + n + nr;
    if (nr < 0 || n < 0 || n >= s->narg || s->arg[0].writes) return broken(k, "step", i, "a branch without arms");
    const tsr_type *index = slot_of(k, &s->arg[0])->type;
    bool whole = dtype_is_int(index->dtype) || index->dtype == TSR_BOOL;
    if (index->rank || !whole || tsr_dtype_of(index->dtype)->block != 1)
        return broken(k, "step", i, "a branch goes by an integer");
    for (int b = 0; b < s->nsub; b++) {
        const tsr_plan *sub = s->sub[b];
        int own = (int)sub->param.n - n;
        if (own < 0 || (int)sub->result.n != nr) return broken(k, "step", i, "an arm takes other values");
        if (!check_sides(k, i, sub, n, 1, false, 0, false) || !check_sides(k, i, sub, nr, 1 + n, true, 0, false) ||
            !check_sides(k, i, sub, own, implicit, false, n, false))
            return false;
        implicit += own;
    }
    return implicit == s->narg || broken(k, "step", i, "it takes values that no arm uses");
}

static bool check_while(struct checker *k, size_t i) {
    const struct plan_step *s = &k->p->step.v[i];
    int n = s->ncarry;
    if (s->nsub != 2 || n < 0) return broken(k, "step", i, "a loop has a condition and a body");
    const tsr_plan *cond = s->sub[0], *body = s->sub[1];
    int nc = (int)cond->param.n - n, nb = (int)body->param.n - n;
    if (nc < 0 || nb < 0 || cond->result.n != 1 || (int)body->result.n != n || s->narg != 2 * n + nc + nb)
        return broken(k, "step", i, "its bodies take other values");
    const tsr_type *flag = cond->slot.v[cond->result.v[0]].type;
    if (flag->dtype != TSR_BOOL || flag->rank) return broken(k, "step", i, "its condition is no truth value");
    return check_sides(k, i, cond, n, 0, false, 0, false) && check_sides(k, i, body, n, 0, false, 0, false) &&
           check_sides(k, i, body, n, n, true, 0, false) && check_sides(k, i, cond, nc, 2 * n, false, n, false) &&
           check_sides(k, i, body, nb, 2 * n + nc, false, n, false);
}

static bool check_scan(struct checker *k, size_t i) {
    const struct plan_step *s = &k->p->step.v[i];
    int n = s->ncarry, nx = s->nxs;
    if (s->nsub != 1 || n < 0 || nx < 0 || !s->trips) return broken(k, "step", i, "a scan has a body and a length");
    const tsr_plan *body = s->sub[0];
    int own = (int)body->param.n - n - nx, ny = (int)body->result.n - n, out = n + nx;
    if (own < 0 || ny < 0 || s->narg != out + n + ny + own) return broken(k, "step", i, "its body takes other values");
    return check_sides(k, i, body, n, 0, false, 0, false) && check_sides(k, i, body, nx, n, false, n, true) &&
           check_sides(k, i, body, n, out, true, 0, false) && check_sides(k, i, body, ny, out + n, true, n, true) &&
           check_sides(k, i, body, own, out + n + ny, false, n + nx, false);
}

/* ---- the whole ---- */

static bool check_lib(struct checker *k, size_t i) { return lib_step_check(k->p, &k->p->step.v[i]); }

static bool check_outside(struct checker *k, size_t i) { return (void)k, (void)i, true; } /* its pointers are ours */

static bool check_step(struct checker *k, size_t i) {
    static bool (*const rule[])(struct checker *k, size_t i) = {[STEP_KERNEL] = check_kernel, [STEP_LIB] = check_lib,
        [STEP_COPY] = check_copy, [STEP_HOST] = check_outside, [STEP_COMM] = check_outside, [STEP_CALL] = check_call,
        [STEP_COND] = check_cond, [STEP_WHILE] = check_while, [STEP_SCAN] = check_scan};
    size_t kind = (size_t)k->p->step.v[i].kind;
    if (kind >= sizeof rule / sizeof *rule) return broken(k, "step", i, "there is no such kind");
    return check_args(k, i) && rule[kind](k, i);
}

static bool check_results(struct checker *k) {
    for (size_t i = 0; i < k->p->result.n; i++) {
        int slot = k->p->result.v[i];
        if (slot < 0 || (size_t)slot >= k->p->slot.n) return broken(k, "result", i, "it is no slot");
        int root = plan_root(k->p, slot);
        if (k->p->slot.v[root].kind == SLOT_TEMP && !k->written[root])
            return broken(k, "result", i, "no step writes it");
    }
    return true;
}

tsr_status plan_check(tsr_plan *p) {
    struct checker k = {.p = p, .written = mem_zalloc(p->c, p->slot.n + 1)};
    bool ok = k.written != NULL;
    for (size_t i = 0; ok && i < p->slot.n; i++) ok = check_slot(&k, i);
    for (size_t i = 0; ok && i < p->step.n; i++) ok = check_step(&k, i);
    ok = ok && check_results(&k);
    mem_free(p->c, k.written, p->slot.n + 1);
    return ok ? TSR_OK : tsr_error_status(p->c);
}
