/* cuda.c: opening a device, its memory, waiting for it, and what its errors mean. */
#include "device/cuda/cuda.h"

#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "device/memory.h"

/* ---- errors ---- */

tsr_status cuda_error(struct cuda *g, int error, const char *doing, ...) {
    char what[160], text[CUDA_WHY];
    va_list ap;
    va_start(ap, doing);
    vsnprintf(what, sizeof what, doing, ap);
    va_end(ap);
    if (cuda_is_fatal(error)) {
        cuda_die(g, error, what);
        return err_set(g->d.c, g->fault.status, "%s", g->fault.why);
    }
    tsr_status s = error == CUDA_NO_MEMORY ? TSR_ENOMEM : TSR_EIO;
    return err_set(g->d.c, s, "device %s:%d: %s: %s", g->d.ops->name, g->device, what,
        cuda_error_text(&g->drv, error, text));
}

tsr_status cuda_enter(struct cuda *g) {
    if (g->fault.dead) return err_set(g->d.c, g->fault.status, "%s", g->fault.why);
    int e = g->drv.context_use(g->context);
    return e ? cuda_error(g, e, "use of its context") : TSR_OK;
}

tsr_status cuda_sync(struct device *d) {
    struct cuda *g = (struct cuda *)d;
    tsr_status s = cuda_enter(g);
    int e = s ? 0 : g->drv.stream_sync(g->stream);
    return e ? cuda_error(g, e, "waiting for what was launched") : s;
}

/* ---- memory ---- */

static int alloc_once(struct cuda *g, void **p, size_t bytes) {
    pthread_mutex_lock(&g->lock);
    int e = g->pool ? g->drv.alloc_async(p, bytes, g->stream) : g->drv.alloc(p, bytes);
    pthread_mutex_unlock(&g->lock);
    return e;
}

/* What was given back and is kept here and there goes back to the driver. */
static void gather_memory(struct cuda *g) {
    device_memory_empty(&g->d);
    g->drv.stream_sync(g->stream);
    if (g->pool && g->drv.pool_trim) g->drv.pool_trim(g->pool, 0);
}

void *cuda_alloc(struct device *d, size_t bytes) {
    struct cuda *g = (struct cuda *)d;
    void *p = NULL;
    if (cuda_enter(g)) return NULL;
    if (g->recording && pthread_equal(g->recorder, pthread_self())) TSR_BUG("memory is asked for in a recording");
    if (!bytes) bytes = 1;
    int e = alloc_once(g, &p, bytes);
    if (e == CUDA_NO_MEMORY) {
        gather_memory(g);
        e = alloc_once(g, &p, bytes);
    }
    if (!e) return p;
    cuda_error(g, e, "%zu bytes of its memory (it has %zu MiB in all)", bytes, d->facts.memory >> 20);
    return NULL;
}

void cuda_free(struct device *d, void *mem, size_t bytes) {
    struct cuda *g = (struct cuda *)d;
    (void)bytes;
    if (!mem || g->fault.dead) return;
    pthread_mutex_lock(&g->lock); /* while a recording is made, other threads wait: it would record the free */
    g->drv.context_use(g->context);
    if (g->pool) g->drv.free_async(mem, g->stream);
    else g->drv.free(mem);
    pthread_mutex_unlock(&g->lock);
}

void cuda_scratch_put(struct cuda *g, struct cuda_scratch *s) {
    if (!s || --s->refs) return;
    cuda_free(&g->d, s->p, s->bytes);
    mem_del(g->d.c, s);
}

struct cuda_scratch *cuda_scratch_get(struct cuda *g, size_t bytes) {
    struct cuda_scratch *s = g->scratch;
    if (s && s->bytes >= bytes) return s->refs++, s;
    if (g->recording) return NULL;
    if (!(s = mem_new(g->d.c, struct cuda_scratch))) return NULL;
    *s = (struct cuda_scratch){cuda_alloc(&g->d, bytes), bytes, 2};
    if (!s->p) return mem_del(g->d.c, s), NULL;
    cuda_scratch_put(g, g->scratch);
    return g->scratch = s;
}

/* Stream-ordered allocation where the device has it; its pool keeps what is given back to it. */
static void open_pool(struct cuda *g) {
    const struct cuda_driver *v = &g->drv;
    uint64_t keep = UINT64_MAX;
    int has = 0, number = v->flavor->attribute[CUDA_POOLS];
    if (!v->alloc_async || !v->free_async || !v->default_pool || !v->pool_set || number < 0) return;
    if (v->device_attribute(&has, number, g->device) || !has) return;
    if (v->default_pool(&g->pool, g->device)) g->pool = NULL;
    if (g->pool && v->pool_set(g->pool, CUDA_POOL_THRESHOLD, &keep)) g->pool = NULL;
}

/* ---- what it is ---- */

static int attribute(const struct cuda *g, enum cuda_attribute a) {
    int v = 0, number = g->drv.flavor->attribute[a];
    return number < 0 || g->drv.device_attribute(&v, number, g->device) ? 0 : v;
}

static void read_facts(struct cuda *g) {
    struct device_facts *f = &g->d.facts;
    const struct cuda_flavor *v = g->drv.flavor;
    if (g->drv.device_name(f->name, sizeof f->name, g->device)) *f->name = 0;
    if (g->drv.device_memory(&f->memory, g->device)) f->memory = 0;
    if (v->lang == EMIT_CUDA)
        snprintf(f->driver, sizeof f->driver, "%s %d.%d", v->title, g->drv.version / 1000, g->drv.version % 1000 / 10);
    else snprintf(f->driver, sizeof f->driver, "%s driver %d", v->title, g->drv.version);
    g->arch = v->lang == EMIT_CUDA ? attribute(g, CUDA_MAJOR) * 10 + attribute(g, CUDA_MINOR) : 0;
    if (g->arch) snprintf(f->arch, sizeof f->arch, "sm_%d", g->arch);
    else snprintf(f->arch, sizeof f->arch, "%d.%d", attribute(g, CUDA_MAJOR), attribute(g, CUDA_MINOR));
    f->units = attribute(g, CUDA_UNITS);
    g->d.tiles = &tile_budget_groups;
    f->local_bytes = (size_t)attribute(g, CUDA_LOCAL);
    g->target = (struct emit_gpu_target){.lang = v->lang, .arch = g->arch, .subgroup = attribute(g, CUDA_WARP),
        .threads = attribute(g, CUDA_THREADS), .local_bytes = f->local_bytes, .f64 = true,
        .tensor = v->lang == EMIT_CUDA, .tf32 = v->lang == EMIT_CUDA && env_int("TSR_TF32") != 0};
}

static tsr_status check_facts(struct cuda *g) {
    const struct device_facts *f = &g->d.facts;
    enum { OLDEST = 70 };
    if (g->arch && g->arch < OLDEST)
        return err_set(g->d.c, TSR_EUNSUPPORTED, "device %s:%d: %s is %s; sm_%d or newer is needed", g->d.ops->name,
            g->device, f->name, f->arch, OLDEST);
    if (f->units > 0 && g->target.threads > 0 && f->local_bytes > 0) return TSR_OK;
    return err_set(g->d.c, TSR_EIO, "device %s:%d: the driver does not say what it is (units %d, threads %d)",
        g->d.ops->name, g->device, f->units, g->target.threads);
}

/* ---- opening ---- */

int cuda_count(tsr_ctx *c, const struct cuda_flavor *f, char why[CUDA_WHY]) {
    struct cuda_driver v;
    (void)c;
    return cuda_driver_open(&v, f, why) ? v.devices : 0;
}

static tsr_status start(struct cuda *g, int index) {
    int e = g->drv.device_get(&g->device, index);
    if (e) return cuda_error(g, e, "opening it");
    read_facts(g);
    tsr_status s = check_facts(g);
    if (s) return s;
    if ((e = g->drv.context_retain(&g->context, g->device))) return cuda_error(g, e, "its context");
    if ((e = g->drv.context_use(g->context))) return cuda_error(g, e, "use of its context");
    if ((e = g->drv.stream_create(&g->stream, CUDA_STREAM_OWN))) return cuda_error(g, e, "a stream");
    open_pool(g);
    return cuda_fault_open(g);
}

tsr_status cuda_open(tsr_ctx *c, const struct cuda_flavor *f, const struct device_ops *ops, int index,
    struct device **out) {
    char why[CUDA_WHY];
    struct cuda *g = mem_new(c, struct cuda);
    if (!g) return TSR_ENOMEM;
    g->d = (struct device){.ops = ops, .c = c};
    pthread_mutex_init(&g->lock, NULL);
    tsr_status s = TSR_OK;
    if (!cuda_driver_open(&g->drv, f, why) || !g->drv.devices)
        s = err_set(c, TSR_ENOTFOUND, "device %s: %s", ops->name, why);
    else if (index < 0 || index >= g->drv.devices)
        s = err_set(c, TSR_ENOTFOUND, "device %s:%d: there are %d, from %s:0", ops->name, index, g->drv.devices,
            ops->name);
    if (!s) s = start(g, index);
    if (s) return cuda_close(&g->d), s;
    cache_open(&g->cache);
    log_line(1, "device %s:%d: %s, %s, %s, %d units, %zu MiB%s%s", ops->name, index, g->d.facts.name, g->d.facts.arch,
        g->d.facts.driver, g->d.facts.units, g->d.facts.memory >> 20, g->pool ? ", memory pools" : "",
        g->fault.marks ? "" : ", launches are not marked");
    *out = &g->d;
    return TSR_OK;
}

void cuda_close(struct device *d) {
    struct cuda *g = (struct cuda *)d;
    if (g->context) {
        g->drv.context_use(g->context);
        if (g->stream && !g->fault.dead) g->drv.stream_sync(g->stream);
        cuda_scratch_put(g, g->scratch);
        cuda_stage_close(g, &g->in), cuda_stage_close(g, &g->out);
        cuda_fault_close(g);
        if (g->stream) g->drv.stream_destroy(g->stream);
        g->drv.context_release(g->device);
    }
    rtc_close(&g->rtc);
    mem_array_free(d->c, g->parameter, g->parameters, sizeof *g->parameter);
    pthread_mutex_destroy(&g->lock);
    mem_del(d->c, g);
}
