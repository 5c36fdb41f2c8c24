/* jit.c: tsr_run: a fn run at once on values, and the one way a plan runs at top level (run_plan).
 *
 * Results that are no fresh memory (a parameter handed back, a literal, a part of another result) share its buffer. */
#include <string.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/room.h"
#include "run/bind.h"
#include "run/runner.h"

/* ---- buffers ---- */

/* The buffer that result i shares: a parameter's, a literal's, or another result's. */
static tsr_buf *shared_buf(struct runner *r, const tsr_plan *p, const struct plan_binding *b, int i,
    tsr_buf *const *param, tsr_buf **out) {
    int slot = p->result.v[i], root = plan_root(p, slot);
    const struct plan_slot *l = &p->slot.v[root];
    tsr_buf *from = l->kind == SLOT_PARAM ? param[l->index] : l->kind == SLOT_CONST ? p->constant.v[l->index].buf
        : out[l->result];
    if (slot == root || (b->slot[slot].offset == 0 &&
        b->slot[slot].bytes == b->slot[root].bytes)) return tsr_buf_keep(from);
    return buf_view(r->c, from, b->slot[slot].offset, b->slot[slot].bytes);
}

static tsr_status run_watched(struct runner *r, tsr_plan *p, struct plan_binding *b, void *const *param,
    void *const *result) {
    struct watch *w = NULL;
    bool watched = r->check >= 2 && p->fn && !p->fn->communicates;
    tsr_status s = watched ? watch_open(r, p, b, param, &w) : TSR_OK;
    if (!s) s = exec_run(r, p, b, param, result, w);
    watch_close(w);
    if (r->d->ops->rest) r->d->ops->rest(r->d);
    return s;
}

tsr_status run_plan(struct runner *r, tsr_plan *p, int n, const tsr_binding *bind, tsr_buf *const *param,
    tsr_buf **out) {
    struct plan_binding *b = exec_bind(r, p, n, bind);
    size_t np = p->param.n, nr = p->result.n;
    void **pa = mem_array(r->c, np + 1, sizeof *pa), **ra = mem_array(r->c, nr + 1, sizeof *ra);
    tsr_status s = b && pa && ra ? TSR_OK : tsr_error_status(r->c);
    memset(out, 0, nr * sizeof *out);
    for (size_t i = 0; i < np && !s; i++) s = resident_at(r, param[i], &pa[i]);
    for (size_t i = 0; i < nr && !s; i++) {
        if (!exec_result_is_fresh(p, (int)i)) continue;
        if (!(out[i] = resident_new(r, b->slot[p->result.v[i]].bytes))) s = TSR_ENOMEM;
        else ra[i] = out[i]->p;
    }
    if (!s) s = run_watched(r, p, b, pa, ra);
    for (size_t i = 0; i < nr && !s; i++)
        if (!out[i] && !(out[i] = shared_buf(r, p, b, (int)i, param, out))) s = TSR_ENOMEM;
    for (size_t i = 0; i < nr && s; i++) tsr_buf_free(out[i]), out[i] = NULL;
    mem_array_free(r->c, pa, np + 1, sizeof *pa);
    mem_array_free(r->c, ra, nr + 1, sizeof *ra);
    return s;
}

/* ---- fns on values ---- */

static bool make_plan(struct run *k) {
    struct runner *r = runner_of(k->c);
    tsr_plan *p = r ? runner_plan(r, k->f) : NULL;
    if (p) plan_keep(k->plan = p);
    return p != NULL;
}

static struct run_signature signature_of(const struct run *k) {
    return (struct run_signature){k->f->name, (int)k->f->param.n, (int)k->f->size.n, k->type, k->f->size.v};
}

tsr_status run_open(struct run *k, int n, tsr_node *const *arg) {
    tsr_fn *f = k->f;
    size_t np = f->param.n, nr = f->result.n;
    if (err_any(k->c)) return tsr_error_status(k->c);
    if (fn_open_now(k->c)) return err_set(k->c, TSR_EINVAL, "run of %s inside the open fn %s: use tsr_fn_call there",
        f->name, fn_open_now(k->c)->name);
    if (n != f->nparam) return err_set(k->c, TSR_EINVAL, "run of %s: takes %d arguments, got %d", f->name, f->nparam,
        n);
    k->type = mem_array(k->c, np + 1, sizeof *k->type);
    k->arg = mem_array(k->c, np + 1, sizeof *k->arg);
    k->param = mem_array(k->c, np + 1, sizeof *k->param);
    k->out = mem_array(k->c, nr + 1, sizeof *k->out);
    if (!k->type || !k->arg || !k->param || !k->out) return TSR_ENOMEM;
    for (size_t i = 0; i < np; i++) k->type[i] = f->param.v[i].node->type;
    struct run_signature sig = signature_of(k);
    if (!(k->b = mem_array(k->c, (size_t)run_most_symbols(&sig), sizeof *k->b))) return TSR_ENOMEM;
    for (int i = 0; i < n; i++) k->arg[i] = arg[i];
    fn_implicit_args(k->c, f, k->arg + n);
    tsr_status s = tsr_eval(k->c, (int)np, k->arg);
    for (size_t i = 0; i < np && !s; i++) k->param[i] = k->arg[i]->buf[0];
    if (!s) s = run_bind(k->c, &sig, k->arg, k->b, &k->nb);
    if (!s && k->tier == TSR_TIER_PLAN && !make_plan(k)) s = tsr_error_status(k->c);
    return s;
}

void run_close(struct run *k) {
    size_t np = k->f->param.n, nr = k->f->result.n;
    plan_free(k->plan);
    mem_array_free(k->c, k->value, k->f->assign.n + 1, sizeof *k->value);
    for (size_t i = 0; k->out && i < nr; i++) tsr_buf_free(k->out[i]);
    mem_array_free(k->c, k->arg, np + 1, sizeof *k->arg);
    mem_array_free(k->c, k->param, np + 1, sizeof *k->param);
    mem_array_free(k->c, k->out, nr + 1, sizeof *k->out);
    struct run_signature sig = signature_of(k);
    if (k->b) mem_array_free(k->c, k->b, (size_t)run_most_symbols(&sig), sizeof *k->b);
    mem_array_free(k->c, k->type, np + 1, sizeof *k->type);
}

static tsr_node *wrap_result(struct run *k, size_t i) {
    const tsr_type *t = k->f->result.v[i]->type;
    int64_t dim[TSR_MAX_RANK];
    for (int j = 0; j < t->rank; j++)
        if (tsr_extent_eval(k->c, t->extent[j], k->nb, k->b, &dim[j])) return tsr_poison(k->c);
    return tsr_wrap(k->c, tsr_type_dims(k->c, t->dtype, t->rank, dim), k->out[i]);
}

tsr_status run_wrap(struct run *k, tsr_node **out) {
    const tsr_fn *f = k->f;
    bool ok = (k->value = mem_array(k->c, f->assign.n + 1, sizeof *k->value)) != NULL;
    for (int i = 0; i < f->nresult && ok; i++) ok = !tsr_is_poison(out[i] = wrap_result(k, (size_t)i));
    for (size_t i = 0; i < f->assign.n && ok; i++)
        ok = !tsr_is_poison(k->value[i] = wrap_result(k, (size_t)f->nresult + i));
    return ok ? TSR_OK : tsr_error_status(k->c);
}

tsr_status run_assign(struct run *k) {
    bool ok = true;
    for (size_t i = 0; i < k->f->assign.n && ok; i++) ok = !tsr_var_assign(k->c, k->f->assign.v[i], k->value[i]);
    return ok ? TSR_OK : tsr_error_status(k->c);
}

/* ---- the same on the reference interpreter ---- */

static tsr_status compute_reference(struct run *k) {
    const tsr_fn *f = k->f;
    struct arena mem;
    arena_init(&mem, k->c);
    struct ref_tensor *in = arena_array(&mem, f->param.n + 1, sizeof *in), *res = arena_array(&mem, f->result.n + 1,
        sizeof *res);
    tsr_status s = in && res ? TSR_OK : TSR_ENOMEM;
    for (size_t i = 0; i < f->param.n && !s; i++) {
        struct ref_tensor *t = &in[i];
        const tsr_type *type = k->arg[i]->type;
        *t = (struct ref_tensor){.dtype = type->dtype, .rank = type->rank, .count = 1};
        tsr_type_ints(k->arg[i]->type, t->dim);
        for (int j = 0; j < t->rank; j++) t->count *= t->dim[j];
        s = resident_host_buf(k->param[i], ref_bytes(t), &mem, (void **)&t->p);
    }
    if (!s) s = interp_run(k->c, f, (int)f->param.n, in, &mem, res, NULL);
    for (size_t i = 0; i < f->result.n && !s; i++) {
        size_t bytes;
        if (!tsr_dtype_bytes(res[i].dtype, res[i].count, &bytes) ||
            !(k->out[i] = tsr_buf_new(k->c, bytes))) s = TSR_ENOMEM;
        else memcpy(k->out[i]->p, res[i].p, bytes);
    }
    arena_release(&mem);
    return s;
}

/* ---- both ---- */

tsr_status run_compute(struct run *k) {
    if (!k->plan) return compute_reference(k);
    return run_plan(runner_of(k->c), k->plan, k->nb, k->b, k->param, k->out);
}

static tsr_status run_fn(tsr_ctx *c, tsr_fn *f, tsr_tier tier, int n, tsr_node *const *arg, tsr_node **out) {
    struct run k = {.c = c, .f = f, .tier = tier};
    if (fn_missing(c, f, tier == TSR_TIER_PLAN ? "run" : "interpret")) return tsr_error_status(c);
    for (int i = 0; i < f->nresult; i++) out[i] = tsr_poison(c);
    tsr_status s = run_open(&k, n, arg);
    if (!s) s = run_compute(&k);
    if (!s && !(s = run_wrap(&k, out))) s = run_assign(&k);
    run_close(&k);
    return s;
}

tsr_status tsr_run(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out) {
    return run_fn(c, f, TSR_TIER_PLAN, n, arg, out);
}

tsr_status tsr_interpret(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg, tsr_node **out) {
    return run_fn(c, f, TSR_TIER_REFERENCE, n, arg, out);
}
