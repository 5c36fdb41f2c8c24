/* runner.c: the run room of a context: the device, the caches, the counts. */
#include "run/runner.h"

#include "tile/tile.h"

static void drop_plans(struct runner *r) {
    for (size_t i = 0; i < r->plans.used; i++) plan_free(r->plans.entry[i].item);
    map_release(r->c, &r->plans);
    map_init(&r->plans);
}

static void kernel_free(struct runner *r, struct kernel *k) {
    r->d->ops->unload(r->d, k->handle);
    tsr_tile_free(k->program);
    mem_del(r->c, k);
}

static void runner_close(tsr_ctx *c, void *state) {
    struct runner *r = state;
    trace_write(r);
    drop_plans(r);
    for (size_t i = 0; i < r->kernels.used; i++)
        if (r->kernels.entry[i].item) kernel_free(r, r->kernels.entry[i].item);
    map_release(c, &r->kernels);
    map_release(c, &r->plans);
    vec_release(c, &r->trace);
    mem_del(c, r);
}

struct runner *runner_of(tsr_ctx *c) {
    struct runner *r = ctx_slot(c, SLOT_RUN);
    if (r) return r;
    struct device *d = device_of(c);
    if (!d || !(r = mem_new(c, struct runner))) return NULL;
    r->c = c;
    r->d = d;
    map_init(&r->kernels), map_init(&r->plans);
    r->timed = env_int("TSR_DEBUG") >= 2 || *env_str("TSR_PROFILE");
    r->nan = env_int("TSR_NAN") != 0;
    r->check = (int)env_int("TSR_CHECK");
    ctx_slot_set(c, SLOT_RUN, r, runner_close);
    return r;
}

static bool same_program(const void *item, const void *key, void *user) {
    (void)user;
    return tile_equal(((const struct kernel *)item)->program, key);
}

void *runner_kernel(struct runner *r, const tsr_tile *program) {
    uint64_t h = tile_hash(program);
    struct kernel *k = map_get(&r->kernels, h, program, same_program, NULL);
    if (k) {
        r->stats.kernel_hits++;
        return k->handle;
    }
    if (log_on(4)) {
        char *text = tsr_tile_print(program);
        log_line(4, "%s", text ? text : "(out of memory)");
        tsr_text_free(r->c, text);
    }
    if (!(k = mem_new(r->c, struct kernel))) return NULL;
    if (r->d->ops->compile(r->d, program, &k->handle)) {
        mem_del(r->c, k);
        return NULL;
    }
    k->program = tsr_tile_keep((tsr_tile *)(uintptr_t)program);
    r->stats.kernels_built++;
    if (map_put(r->c, &r->kernels, h, k)) return k->handle;
    kernel_free(r, k);
    return NULL;
}

static bool same_hash(const void *item, const void *key, void *user) {
    (void)item, (void)key, (void)user;
    return true;
}

tsr_plan *runner_find_plan(struct runner *r, uint64_t hash) {
    tsr_plan *p = map_get(&r->plans, hash, NULL, same_hash, NULL);
    if (p) r->stats.plan_hits++;
    return p;
}

bool runner_put_plan(struct runner *r, uint64_t hash, tsr_plan *p) {
    if (!map_put(r->c, &r->plans, hash, p)) return false;
    plan_keep(p);
    return true;
}

static void log_plan(struct runner *r, const tsr_plan *p, double seconds) {
    struct str s;
    if (!log_on(3)) return;
    str_init(&s, r->c);
    plan_print(&s, p);
    log_line(3, "compiled in %.0f us\n%s", seconds * 1e6, s.s);
    str_release(&s);
}

tsr_plan *runner_plan(struct runner *r, const tsr_fn *f) {
    tsr_plan *p = runner_find_plan(r, f->hash);
    if (p) return p;
    if (r->plans.n >= PLAN_CACHE_MAX) drop_plans(r);
    struct compile_opts o = {.fuse = env_int("TSR_FUSE") != 0, .check = r->check, .tiles = r->d->tiles};
    double start = clock_seconds();
    if (!(p = compile_fn(r->c, f, &o))) return NULL;
    r->stats.plans_built++;
    log_plan(r, p, clock_seconds() - start);
    bool kept = runner_put_plan(r, f->hash, p);
    plan_free(p); /* the cache's reference remains */
    return kept ? p : NULL;
}

tsr_status runner_settle(tsr_ctx *c) {
    struct device *d = device_of(c);
    if (!d) return tsr_error_status(c);
    return d->ops->settle ? d->ops->settle(d) : TSR_OK;
}

tsr_run_stats tsr_stats(tsr_ctx *c) {
    struct runner *r = ctx_slot(c, SLOT_RUN);
    return r ? r->stats : (tsr_run_stats){0};
}
