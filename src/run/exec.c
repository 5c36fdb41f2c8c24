/* exec.c: runs a bound plan, step by step, in order.
 *
 * Each plan keeps, beside the immutable plan, what a run needs: its kernels' handles, the latest
 * bindings, the addresses of its slots and its arena (kept between runs, grown when a binding needs
 * more). A plan runs once at a time for one participant of a context; each participant of a mesh that runs it has an
 * exec of its own, so that one may wait in the middle of a plan while another runs it. */
#include <string.h>

#include "device/memory.h"
#include "run/runner.h"

enum { BINDINGS = 64 }; /* bindings remembered for each plan; the oldest goes first */

struct plan_exec {
    struct runner *r;
    tsr_plan *p;
    int rank;               /* of the participant whose runs these are */
    struct plan_exec *other; /* of another participant */
    void **kernel;     /* (step.n) */
    void **at;         /* (slot.n) */
    uint8_t *arena;
    size_t arena_bytes;
    VEC(struct launch_arg) arg;
    VEC(struct lib_tensor) tensor;
    VEC(int64_t) ints;
    struct plan_binding *binding[BINDINGS];
    int nbinding, next;
    struct replay replay;
};

static void binding_free(struct runner *r, struct plan_binding *b) {
    if (!b) return;
    plan_binding_release(b);
    mem_del(r->c, b);
}

static void exec_free_one(struct plan_exec *e) {
    tsr_ctx *c = e->r->c;
    replay_release(&e->replay);
    for (int i = 0; i < e->nbinding; i++) binding_free(e->r, e->binding[i]);
    device_free(e->r->d, e->arena, e->arena_bytes);
    mem_array_free(c, e->kernel, e->p->step.n + 1, sizeof *e->kernel);
    mem_array_free(c, e->at, e->p->slot.n + 1, sizeof *e->at);
    vec_release(c, &e->arg), vec_release(c, &e->tensor), vec_release(c, &e->ints);
    mem_del(c, e);
}

static void exec_free(struct plan_exec *e) {
    while (e) {
        struct plan_exec *other = e->other;
        exec_free_one(e);
        e = other;
    }
}

/* What does not change from run to run: addresses of literals, handles of kernels. */
static tsr_status prepare(struct plan_exec *e) {
    tsr_plan *p = e->p;
    tsr_status s = TSR_OK;
    for (size_t i = 0; i < p->slot.n && !s; i++)
        if (p->slot.v[i].kind == SLOT_CONST) s = resident_at(e->r, p->constant.v[p->slot.v[i].index].buf, &e->at[i]);
    if (s) return s;
    for (size_t i = 0; i < p->step.n; i++) {
        const struct plan_step *s = &p->step.v[i];
        if (s->kind == STEP_KERNEL &&
            !(e->kernel[i] = runner_kernel(e->r, s->program))) return tsr_error_status(e->r->c);
        if (s->kind == STEP_LIB && !e->r->d->ops->lib_has(e->r->d, s->lib))
            return err_set(e->r->c, TSR_EUNSUPPORTED, "%s: device %s has no library kernel '%s'", s->label,
                e->r->d->ops->name, s->lib);
    }
    return TSR_OK;
}

static struct plan_exec *exec_of(struct runner *r, tsr_plan *p) {
    int rank = comm_rank(comm_of(r->c));
    for (struct plan_exec *have = p->exec; have; have = have->other)
        if (have->rank == rank) return have;
    struct plan_exec *e = mem_new(r->c, struct plan_exec);
    if (!e) return NULL;
    e->r = r;
    e->p = p;
    e->rank = rank;
    e->kernel = mem_array(r->c, p->step.n + 1, sizeof *e->kernel);
    e->at = mem_array(r->c, p->slot.n + 1, sizeof *e->at);
    if (!replay_init(&e->replay, r, p) || !e->kernel || !e->at || prepare(e)) {
        exec_free_one(e);
        return NULL;
    }
    e->other = p->exec;
    p->exec = e;
    p->exec_free = exec_free;
    return e;
}

static bool same_binding(const struct plan_binding *k, int n, const tsr_binding *b) {
    if (k->n != n) return false;
    for (int i = 0; i < n; i++)
        if (k->b[i].symbol != b[i].symbol || k->b[i].value != b[i].value) return false;
    return true;
}

struct plan_binding *exec_bind(struct runner *r, tsr_plan *p, int n, const tsr_binding *b) {
    struct plan_exec *e = exec_of(r, p);
    if (!e) return NULL;
    for (int i = 0; i < e->nbinding; i++)
        if (same_binding(e->binding[i], n, b)) return e->binding[i];
    struct plan_binding *fresh = mem_new(r->c, struct plan_binding);
    if (!fresh || plan_bind(r->c, p, n, b, fresh)) {
        binding_free(r, fresh);
        return NULL;
    }
    r->stats.bindings++;
    int at = e->nbinding < BINDINGS ? e->nbinding++ : e->next++ % BINDINGS;
    if (e->binding[at]) replay_drop(&e->replay, e->binding[at]);
    binding_free(r, e->binding[at]);
    return e->binding[at] = fresh;
}

void *const *exec_slots(struct runner *r, tsr_plan *p) { return exec_of(r, p)->at; }

bool exec_result_is_fresh(const tsr_plan *p, int i) {
    const struct plan_slot *root = &p->slot.v[plan_root(p, p->result.v[i])];
    return root->kind == SLOT_TEMP && (root->result == i || root->result < 0);
}

/* ---- addresses ---- */

static tsr_status grow_arena(struct plan_exec *e, size_t bytes) {
    if (bytes <= e->arena_bytes) return TSR_OK;
    replay_drop(&e->replay, NULL);
    device_free(e->r->d, e->arena, e->arena_bytes);
    e->arena_bytes = 0;
    if (!(e->arena = device_alloc(e->r->d, bytes))) return TSR_ENOMEM;
    e->arena_bytes = bytes;
    return TSR_OK;
}

static void place_slots(struct plan_exec *e, const struct plan_binding *b, void *const *param, void *const *result) {
    tsr_plan *p = e->p;
    for (size_t i = 0; i < p->slot.n; i++) {
        const struct plan_slot *s = &p->slot.v[i];
        if (s->kind == SLOT_PARAM) e->at[i] = param[s->index];
        else if (s->kind == SLOT_TEMP && s->result >= 0) e->at[i] = result[s->result];
        else if (s->kind == SLOT_TEMP) e->at[i] = b->slot[i].offset == SIZE_MAX ? NULL : e->arena + b->slot[i].offset;
        else if (s->kind == SLOT_ALIAS) e->at[i] = (uint8_t *)e->at[plan_root(p, (int)i)] + b->slot[i].offset;
    }
}

/* ---- steps ---- */

static tsr_status run_kernel(struct plan_exec *e, const struct plan_binding *b, int i) {
    const struct plan_step *s = &e->p->step.v[i];
    const struct step_binding *sb = &b->step[i];
    struct runner *r = e->r;
    if (!vec_reserve(r->c, &e->arg, (size_t)s->narg + 1)) return TSR_ENOMEM;
    for (int j = 0; j < s->narg; j++) {
        struct launch_arg *a = &e->arg.v[j];
        memset(a, 0, sizeof *a);
        if (s->arg[j].kind == PLAN_ARG_SLOT)
            a->is_buf = true, a->buf = e->at[s->arg[j].slot], a->bytes = b->slot[s->arg[j].slot].bytes;
        else a->i = sb->scalar[j];
    }
    r->stats.launches++;
    return r->d->ops->launch(r->d, e->kernel[i], sb->grid, s->narg, e->arg.v);
}

static tsr_status run_library(struct plan_exec *e, const struct plan_binding *b, int i) {
    const struct plan_step *s = &e->p->step.v[i];
    struct runner *r = e->r;
    struct pool *pool = ctx_pool(r->c);
    if (!pool || !vec_reserve(r->c, &e->tensor, (size_t)s->narg + 1)) return TSR_ENOMEM;
    if (!vec_reserve(r->c, &e->ints, (size_t)(s->nints + s->ndims) + 1)) return TSR_ENOMEM;
    for (int j = 0; j < s->narg; j++) {
        const tsr_type *t = e->p->slot.v[s->arg[j].slot].type;
        e->tensor.v[j] = (struct lib_tensor){t->dtype, t->rank, b->slot[s->arg[j].slot].dim, e->at[s->arg[j].slot]};
    }
    for (int j = 0; j < s->nints; j++) e->ints.v[j] = s->ints[j];
    for (int j = 0; j < s->ndims; j++) e->ints.v[s->nints + j] = b->step[i].dims[j];
    struct lib_call call = {r->c, pool, s->narg, e->tensor.v, s->nints + s->ndims, e->ints.v};
    r->stats.library_calls++;
    return r->d->ops->lib_run(r->d, s->lib, &call);
}

/* A host function sees host memory: operands are copied out and results copied in where the device has its own. */
static tsr_status run_host(struct plan_exec *e, const struct plan_binding *b, int i) {
    const struct plan_step *s = &e->p->step.v[i];
    struct runner *r = e->r;
    struct arena mem;
    arena_init(&mem, r->c);
    const void **in = arena_array(&mem, (size_t)s->narg + 1, sizeof *in);
    void **out = arena_array(&mem, (size_t)s->narg + 1, sizeof *out);
    int nin = 0, nout = 0;
    tsr_status st = in && out ? TSR_OK : TSR_ENOMEM;
    for (int j = 0; j < s->narg && !st; j++) {
        int slot = s->arg[j].slot;
        void *p = e->at[slot];
        if (!s->arg[j].writes) st = resident_host(r, p, b->slot[slot].bytes, &mem, &p), in[nin++] = p;
        else if (r->d->host_memory || (p = arena_alloc(&mem, b->slot[slot].bytes + 1))) out[nout++] = p;
        else st = TSR_ENOMEM;
    }
    if (!st && s->host.fn(s->host.user, nin, in, nout, out))
        st = err_set(r->c, TSR_ECHECK, "host function of %s reported a failure", s->label);
    for (int j = 0, k = 0; j < s->narg && !st && !r->d->host_memory; j++)
        if (s->arg[j].writes) st = r->d->ops->copy_in(r->d, e->at[s->arg[j].slot], out[k++],
            b->slot[s->arg[j].slot].bytes);
    arena_release(&mem);
    return st;
}

/* One operand or result in host memory: where it lies, or a copy. */
static tsr_status comm_tensor(struct plan_exec *e, const struct plan_binding *b, const struct plan_arg *a,
    struct arena *mem, struct ref_tensor *t) {
    const struct slot_binding *s = &b->slot[a->slot];
    const tsr_type *type = e->p->slot.v[a->slot].type;
    *t = (struct ref_tensor){.dtype = type->dtype, .rank = type->rank, .count = s->count, .p = e->at[a->slot]};
    if (t->rank) memcpy(t->dim, s->dim, (size_t)t->rank * sizeof *t->dim);
    if (!a->writes) return resident_host(e->r, t->p, s->bytes, mem, (void **)&t->p);
    return e->r->d->host_memory || (t->p = arena_alloc(mem, s->bytes + 1)) ? TSR_OK : TSR_ENOMEM;
}

static tsr_status run_comm(struct plan_exec *e, const struct plan_binding *b, int i) {
    const struct plan_step *s = &e->p->step.v[i];
    struct runner *r = e->r;
    struct arena mem;
    arena_init(&mem, r->c);
    struct ref_tensor *t = arena_array(&mem, (size_t)s->narg + 1, sizeof *t);
    struct comm_side side = {.in = t};
    tsr_status st = t ? TSR_OK : TSR_ENOMEM;
    for (int j = 0; j < s->narg && !st; j++) {
        st = comm_tensor(e, b, &s->arg[j], &mem, &t[j]);
        *(s->arg[j].writes ? &side.nout : &side.nin) += 1;
    }
    side.out = t + side.nin; /* operands come first */
    if (!st && !(st = r->d->ops->sync(r->d))) st = comm_run(r->c, &s->comm, &side);
    for (int j = side.nin; j < s->narg && !st && !r->d->host_memory; j++)
        st = r->d->ops->copy_in(r->d, e->at[s->arg[j].slot], t[j].p, b->slot[s->arg[j].slot].bytes);
    arena_release(&mem);
    return st;
}

static tsr_status run_step(struct plan_exec *e, struct plan_binding *b, int i) {
    const struct plan_step *s = &e->p->step.v[i];
    switch (s->kind) {
    case STEP_KERNEL: return run_kernel(e, b, i);
    case STEP_LIB: return run_library(e, b, i);
    case STEP_COPY: return e->r->d->ops->copy(e->r->d, e->at[s->arg[0].slot], e->at[s->arg[1].slot],
        b->slot[s->arg[0].slot].bytes);
    case STEP_HOST: return run_host(e, b, i);
    case STEP_COMM: return run_comm(e, b, i);
    case STEP_CALL:
    case STEP_COND:
    case STEP_WHILE:
    case STEP_SCAN: return exec_control(e->r, e->p, b, i);
    }
    return TSR_OK;
}

static tsr_status run_observed(struct plan_exec *e, struct plan_binding *b, int i, struct watch *watch) {
    struct runner *r = e->r;
    double start = r->timed ? clock_seconds() : 0;
    r->d->busy = 0;
    const struct plan_step *step = &e->p->step.v[i];
    struct device_task around = r->d->task;
    r->d->task = (struct device_task){e->p->name, step->label, i, step->node};
    tsr_status s = run_step(e, b, i);
    r->d->task = around;
    if (!s && r->timed && !(s = r->d->ops->sync(r->d))) {
        bool own = step->kind == STEP_KERNEL && r->d->busy > 0; /* the device knows better than our clock */
        trace_step(r, e->p, i, &b->step[i], start, own ? r->d->busy : clock_seconds() - start);
    }
    r->stats.bytes_moved += b->step[i].bytes_moved;
    r->stats.flops += b->step[i].flops;
    if (!s && r->nan) s = check_nan(r, e->p, b, i);
    return s || !watch ? s : watch_step(watch, i);
}

/* Results that were not written in place: parts of temporaries, and what a sub-plan's caller wants copied. */
static tsr_status copy_results(struct plan_exec *e, const struct plan_binding *b, void *const *result) {
    tsr_status s = TSR_OK;
    for (size_t i = 0; i < e->p->result.n && !s; i++)
        if (result[i] && e->p->slot.v[plan_root(e->p, e->p->result.v[i])].result != (int)i)
            s = e->r->d->ops->copy(e->r->d, result[i], e->at[e->p->result.v[i]], b->slot[e->p->result.v[i]].bytes);
    return s;
}

struct steps {
    struct plan_exec *e;
    struct plan_binding *b;
    void *const *result;
    struct watch *watch;
};

/* The copies of results belong to the last step. */
static tsr_status run_steps(void *arg, size_t from, size_t to) {
    const struct steps *k = arg;
    tsr_status s = TSR_OK;
    for (size_t i = from; i < to && !s; i++) s = run_observed(k->e, k->b, (int)i, k->watch);
    return s || to < k->e->p->step.n ? s : copy_results(k->e, k->b, k->result);
}

tsr_status exec_run(struct runner *r, tsr_plan *p, struct plan_binding *b, void *const *param, void *const *result,
    struct watch *watch) {
    struct plan_exec *e = exec_of(r, p);
    if (!e) return tsr_error_status(r->c);
    tsr_status s = grow_arena(e, b->arena_bytes);
    if (s) return s;
    place_slots(e, b, param, result);
    struct steps steps = {e, b, result, watch};
    return replay_run(&e->replay, b, e->at, result, run_steps, &steps);
}
