/* replay.c: plans that a device records once and then replays whole.
 *
 * A plan of kernels and copies alone, run again under the same binding on the same addresses, asks the device for the
 * very same work. The first run of such a key (binding, addresses of all slots and results) goes step by step, the
 * second is recorded and replayed, later ones are replayed. Results of a training step alternate between a few buffers,
 * so a few keys are kept for each plan; the one used longest ago goes. A recording is replayed only on an equal key, so
 * it holds no memory: what it reads and writes is what the run was given. */
#include <string.h>

#include "run/runner.h"

enum { LEAST_KERNELS = 3 }; /* a replay costs about as much as two launches */

void replay_init(struct replay *k, struct runner *r, const tsr_plan *p) {
    int kernels = 0;
    *k = (struct replay){.r = r, .words = p->slot.n + p->result.n, .slots = p->slot.n};
    k->able = r->d->ops->record_begin && !r->timed && !r->nan && !r->check;
    for (size_t i = 0; i < p->step.n; i++) {
        kernels += p->step.v[i].kind == STEP_KERNEL;
        k->able &= p->step.v[i].kind == STEP_KERNEL || p->step.v[i].kind == STEP_COPY;
    }
    k->able &= kernels >= LEAST_KERNELS;
}

static void clear(struct replay *k, struct replay_entry *e) {
    if (e->recording) k->r->d->ops->forget(k->r->d, e->recording);
    mem_array_free(k->r->c, e->key, k->words + 1, sizeof *e->key);
    *e = (struct replay_entry){.binding = NULL};
}

void replay_drop(struct replay *k, const struct plan_binding *b) {
    for (int i = 0; i < REPLAYS; i++)
        if (k->entry[i].key && (!b || k->entry[i].binding == b)) clear(k, &k->entry[i]);
}

static bool has_key(const struct replay *k, const struct replay_entry *e, const struct plan_binding *b,
    void *const *at, void *const *result) {
    return e->key && e->binding == b && memcmp(e->key, at, k->slots * sizeof *at) == 0 &&
        memcmp(e->key + k->slots, result, (k->words - k->slots) * sizeof *result) == 0;
}

/* The entry of a key, or the one to use for it: empty, or used longest ago. */
static struct replay_entry *find(struct replay *k, const struct plan_binding *b, void *const *at,
    void *const *result) {
    struct replay_entry *oldest = &k->entry[0];
    for (int i = 0; i < REPLAYS; i++) {
        if (has_key(k, &k->entry[i], b, at, result)) return &k->entry[i];
        if (k->entry[i].used < oldest->used) oldest = &k->entry[i];
    }
    return oldest;
}

static bool remember(struct replay *k, struct replay_entry *e, const struct plan_binding *b, void *const *at,
    void *const *result) {
    clear(k, e);
    if (!(e->key = mem_array(k->r->c, k->words + 1, sizeof *e->key))) return false;
    memcpy(e->key, at, k->slots * sizeof *at);
    memcpy(e->key + k->slots, result, (k->words - k->slots) * sizeof *result);
    e->binding = b;
    return true;
}

/* EUNSUPPORTED without an error recorded: the device cannot record these steps. */
static tsr_status record(struct replay *k, struct replay_entry *e, replay_steps *steps, void *arg) {
    struct runner *r = k->r;
    tsr_run_stats before = r->stats;
    tsr_status s = r->d->ops->record_begin(r->d);
    if (s) return s;
    s = steps(arg);
    tsr_status end = r->d->ops->record_end(r->d, &e->recording);
    e->launches = r->stats.launches - before.launches;
    e->bytes_moved = r->stats.bytes_moved - before.bytes_moved, e->flops = r->stats.flops - before.flops;
    r->stats = before;
    if (!s) s = end;
    if (s && e->recording) r->d->ops->forget(r->d, e->recording), e->recording = NULL;
    return s;
}

static tsr_status replay(struct replay *k, const struct replay_entry *e) {
    tsr_run_stats *st = &k->r->stats;
    st->replays++;
    st->launches += e->launches, st->bytes_moved += e->bytes_moved, st->flops += e->flops;
    return k->r->d->ops->replay(k->r->d, e->recording);
}

tsr_status replay_run(struct replay *k, const struct plan_binding *b, void *const *at, void *const *result,
    replay_steps *steps, void *arg) {
    if (!k->able) return steps(arg);
    struct replay_entry *e = find(k, b, at, result);
    bool known = has_key(k, e, b, at, result);
    if (!known && !remember(k, e, b, at, result)) return TSR_ENOMEM;
    e->used = ++k->clock;
    if (!known) return steps(arg);
    tsr_status s = e->recording ? TSR_OK : record(k, e, steps, arg);
    if (!s) return replay(k, e);
    if (tsr_error_status(k->r->c)) return s;
    k->able = false; /* it will not be able to next time */
    return steps(arg);
}
