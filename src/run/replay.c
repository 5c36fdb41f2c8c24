/* replay.c: parts of plans that a device records once and then replays whole.
 *
 * A plan that runs again under the same binding on the same addresses asks the device for the very same work. Its steps
 * are cut into parts: runs of kernels and copies, which a device can record, and what stands between them (library
 * kernels, host functions, control flow). The first run of a key (binding, addresses of all slots and results) goes
 * step by step, in the second each part that can be is recorded and replayed, later ones replay it. Results of a
 * training step alternate between a few buffers, so a few keys are kept for each plan; the one used longest ago goes. A
 * recording is replayed only on an equal key, so it holds no memory: what it reads and writes is what the run was
 * given. */
#include <string.h>

#include "run/runner.h"

enum { LEAST_KERNELS = 3 }; /* of a part: a replay costs about as much as two launches */

static bool is_recordable(const tsr_plan *p, size_t step) {
    return p->step.v[step].kind == STEP_KERNEL || p->step.v[step].kind == STEP_COPY;
}

/* The part that begins at a step: up to the next step that is not of its kind. */
static struct replay_part part_at(const tsr_plan *p, size_t from) {
    struct replay_part part = {.from = from, .to = from, .able = is_recordable(p, from)};
    int kernels = 0;
    for (; part.to < p->step.n && is_recordable(p, part.to) == part.able; part.to++)
        kernels += p->step.v[part.to].kind == STEP_KERNEL;
    part.able &= kernels >= LEAST_KERNELS;
    return part;
}

bool replay_init(struct replay *k, struct runner *r, const tsr_plan *p) {
    *k = (struct replay){.r = r, .words = p->slot.n + p->result.n, .slots = p->slot.n, .steps = p->step.n};
    if (!r->d->ops->record_begin || r->timed || r->nan || r->check) return true;
    for (size_t i = 0; i < p->step.n;) {
        struct replay_part part = part_at(p, i);
        if (!vec_push(r->c, &k->part, part)) return false;
        k->able |= part.able;
        i = part.to;
    }
    return true;
}

static void clear(struct replay *k, struct replay_entry *e) {
    for (size_t i = 0; e->recording && i < k->part.n; i++)
        if (e->recording[i].handle) k->r->d->ops->forget(k->r->d, e->recording[i].handle);
    mem_array_free(k->r->c, e->recording, k->part.n + 1, sizeof *e->recording);
    mem_array_free(k->r->c, e->key, k->words + 1, sizeof *e->key);
    *e = (struct replay_entry){.binding = NULL};
}

void replay_drop(struct replay *k, const struct plan_binding *b) {
    for (int i = 0; i < REPLAYS; i++)
        if (k->entry[i].binding && (!b || k->entry[i].binding == b)) clear(k, &k->entry[i]);
}

void replay_release(struct replay *k) {
    replay_drop(k, NULL);
    if (k->r) vec_release(k->r->c, &k->part);
}

static bool has_key(const struct replay *k, const struct replay_entry *e, const struct plan_binding *b,
    void *const *at, void *const *result) {
    return e->binding == b && memcmp(e->key, at, k->slots * sizeof *at) == 0 &&
        (k->words == k->slots || !memcmp(e->key + k->slots, result, (k->words - k->slots) * sizeof *result));
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
    e->binding = b;
    e->key = mem_array(k->r->c, k->words + 1, sizeof *e->key);
    e->recording = mem_array(k->r->c, k->part.n + 1, sizeof *e->recording);
    if (!e->key || !e->recording) return clear(k, e), false;
    memcpy(e->key, at, k->slots * sizeof *at);
    if (k->words > k->slots) memcpy(e->key + k->slots, result, (k->words - k->slots) * sizeof *result);
    return true;
}

/* EUNSUPPORTED without an error recorded: the device cannot record these steps. */
static tsr_status record(struct replay *k, const struct replay_part *part, struct replay_recording *out,
    replay_steps *steps, void *arg) {
    struct runner *r = k->r;
    tsr_run_stats before = r->stats;
    tsr_status s = r->d->ops->record_begin(r->d);
    if (s) return s;
    s = steps(arg, part->from, part->to);
    tsr_status end = r->d->ops->record_end(r->d, &out->handle);
    out->launches = r->stats.launches - before.launches;
    out->bytes_moved = r->stats.bytes_moved - before.bytes_moved, out->flops = r->stats.flops - before.flops;
    r->stats = before;
    if (!s) s = end;
    if (s && out->handle) r->d->ops->forget(r->d, out->handle), out->handle = NULL;
    return s;
}

static tsr_status replay(struct replay *k, const struct replay_recording *recording) {
    tsr_run_stats *st = &k->r->stats;
    st->replays++;
    st->launches += recording->launches;
    st->bytes_moved += recording->bytes_moved, st->flops += recording->flops;
    return k->r->d->ops->replay(k->r->d, recording->handle);
}

static tsr_status run_part(struct replay *k, struct replay_part *part, struct replay_recording *recording,
    replay_steps *steps, void *arg) {
    if (!part->able) return steps(arg, part->from, part->to);
    tsr_status s = recording->handle ? TSR_OK : record(k, part, recording, steps, arg);
    if (!s) return replay(k, recording);
    if (tsr_error_status(k->r->c)) return s;
    part->able = false; /* it will not be able to next time */
    return steps(arg, part->from, part->to);
}

tsr_status replay_run(struct replay *k, const struct plan_binding *b, void *const *at, void *const *result,
    replay_steps *steps, void *arg) {
    if (!k->able) return steps(arg, 0, k->steps);
    struct replay_entry *e = find(k, b, at, result);
    bool known = has_key(k, e, b, at, result);
    if (!known && !remember(k, e, b, at, result)) return TSR_ENOMEM;
    e->used = ++k->clock;
    if (!known) return steps(arg, 0, k->steps);
    tsr_status s = TSR_OK;
    for (size_t i = 0; i < k->part.n && !s; i++) s = run_part(k, &k->part.v[i], &e->recording[i], steps, arg);
    return s;
}
