/* gpu_sync.c: where barriers stand.
 *
 * A kernel is a row of phases: a loop nest, a step of a reduction. Each says what memory it is about to touch. When
 * another thread may have touched some of that since the last barrier, and one of the two writes, a barrier is written
 * first. Elements that are dealt out alike (gpu_access.own) never leave their thread and need none.
 *
 * A turn of a loop ends with a barrier if anything but reads of buffers is pending, so what the next turn's first phase
 * must know of the turn before it is at most that buffers were read. Both arms of a branch start from what was pending
 * before it; what is pending after either is pending after it. Conditions are the same in all threads of a group. */
#include "emit/gpu_text.h"

static bool meet(const struct gpu_access *a, const struct gpu_access *b) {
    if (a->space != b->space || !(a->write || b->write)) return false;
    if (a->offset >= b->offset + b->bytes || b->offset >= a->offset + a->bytes) return false;
    bool alike = a->own && a->own == b->own && a->offset == b->offset && a->bytes == b->bytes;
    return !alike;
}

void gpu_barrier(struct gpu *g) {
    bool global = false;
    for (size_t i = 0; i < g->pending.n; i++) global |= g->pending.v[i].space != GPU_LOCAL;
    if (g->threads > 1) put_line(&g->w, "%s", global ? g->d->barrier : g->d->barrier_local);
    g->pending.n = 0;
}

static bool same(const struct gpu_access *a, const struct gpu_access *b) {
    return a->space == b->space && a->offset == b->offset && a->bytes == b->bytes && a->own == b->own &&
           a->write == b->write;
}

static void add(struct gpu *g, const struct gpu_access *a) {
    for (size_t i = 0; i < g->pending.n; i++)
        if (same(&g->pending.v[i], a)) return;
    if (!vec_push(g->w.k->c, &g->pending, *a)) g->w.out->failed = true;
}

void gpu_touch(struct gpu *g, int n, const struct gpu_access *a) {
    bool wait = false;
    for (int i = 0; i < n; i++)
        for (size_t j = 0; a[i].space && j < g->pending.n; j++) wait |= meet(&g->pending.v[j], &a[i]);
    if (wait) gpu_barrier(g);
    for (int i = 0; i < n; i++)
        if (a[i].space) add(g, &a[i]);
}

static struct gpu_access array_access(const struct gpu *g, tsr_tv v, int64_t own, bool write) {
    tsr_tv place = emit_place(g->w.k, v);
    const struct gpu_home *h = &g->home.v[place];
    if (g->w.k->value.v[place].home != EMIT_ARRAY || !h->space) return (struct gpu_access){0};
    return (struct gpu_access){h->space, h->offset, h->bytes, own, write};
}

struct gpu_access gpu_reads(const struct gpu *g, tsr_tv v, int64_t own) { return array_access(g, v, own, false); }
struct gpu_access gpu_writes(const struct gpu *g, tsr_tv v, int64_t own) { return array_access(g, v, own, true); }
struct gpu_access gpu_temp(const struct gpu *g, int32_t at, bool write) {
    const struct gpu_home *h = &g->temp.v[at];
    return (struct gpu_access){h->space, h->offset, h->bytes, 0, write};
}

/* ---- loops and branches ---- */

static bool is_quiet(const struct gpu_access *a) { return a->space == GPU_BUFFERS && !a->write; }

static bool loads(const struct gpu *g, int32_t from, int32_t to) {
    for (int32_t at = from; at < to; at++)
        if (g->w.p->inst.v[at].op == TILE_LOAD || g->w.p->inst.v[at].op == TILE_GATHER) return true;
    return false;
}

static void hold(struct gpu *g) {
    for (size_t i = 0; i < g->pending.n; i++)
        if (!vec_push(g->w.k->c, &g->held, g->pending.v[i])) g->w.out->failed = true;
}

void gpu_sync_open(struct gpu *g, int32_t at) {
    const struct tile_inst *in = &g->w.p->inst.v[at];
    struct gpu_access read = {GPU_BUFFERS, 0, 1, 0, false};
    g->frame[g->depth++] = g->held.n;
    hold(g);
    if (in->op != TILE_IF && loads(g, at, in->match)) add(g, &read);
}

/* What was pending before the branch is pending again; what the first arm left comes back at the end. */
void gpu_sync_else(struct gpu *g) {
    size_t before = g->frame[g->depth - 1], n = g->held.n - before;
    hold(g);
    g->pending.n = 0;
    for (size_t i = 0; i < n && !g->w.out->failed; i++) add(g, &g->held.v[before + i]);
}

/* A loop may have had no turn. */
void gpu_sync_end(struct gpu *g) {
    size_t before = g->frame[--g->depth];
    for (size_t i = before; i < g->held.n && !g->w.out->failed; i++) add(g, &g->held.v[i]);
    g->held.n = before;
}

void gpu_sync_yield(struct gpu *g, int32_t at) {
    const struct tile_inst *in = &g->w.p->inst.v[at];
    const struct tile_inst *open = &g->w.p->inst.v[g->w.p->region.v[in->region].opener];
    bool wait = false;
    if (open->op == TILE_IF) return;
    if (open->op == TILE_WHILE) hold(g); /* its last turn leaves before this barrier */
    for (size_t i = 0; i < g->pending.n; i++) wait |= !is_quiet(&g->pending.v[i]);
    if (wait) gpu_barrier(g);
}

/* Two instances never meet in the buffers. */
void gpu_sync_instance(struct gpu *g) {
    bool wait = false;
    for (size_t i = 0; i < g->pending.n; i++) wait |= g->pending.v[i].space != GPU_BUFFERS;
    if (wait) gpu_barrier(g);
}
