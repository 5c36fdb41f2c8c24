/* kernel.c: from tile program to launch.
 *
 * compile writes a kernel's text; the first launch that comes has the code of all texts made that wait (those of a
 * plan), on the context's threads at once, from the cache on disk or by the maker's compiler. Each kernel is a module
 * of its own: its cache entry does not depend on its neighbours. The grid is walked by as many groups as the device
 * holds at a time, so global scratch memory is bounded too. A program that the renderer does not claim runs on the CPU
 * (host_tile.h). */
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/sys.h"
#include "device/cuda/cuda.h"
#include "device/host_tile.h"

struct cuda_kernel {
    char name[64], symbol[64];
    struct str text;           /* released when the code is there */
    struct emit_gpu_info info;
    void *module, *function;   /* NULL: no code yet */
    int64_t groups;            /* that the device holds at a time */
    struct vm_code *vm;        /* not claimed: runs on the CPU */
    tsr_tile *program;         /* of vm, counted */
    struct cuda_kernel *next;   /* in cuda.pending */
};

/* ---- the compiler ---- */

/* Found at the first kernel. What it knows decides what text may use. */
static tsr_status open_compiler(struct cuda *g) {
    const struct cuda_flavor *f = g->drv.flavor;
    if (!g->rtc_tried) {
        int most = f->rtc->archs ? g->drv.version / 1000 : 0;
        g->rtc_tried = true;
        if (rtc_open(&g->rtc, f->rtc, most, g->rtc_why)) {
            bool exact = true;
            if (f->rtc->archs) g->target.arch = rtc_arch(&g->rtc, g->arch, &exact);
            snprintf(g->machine, sizeof g->machine, "%s %d.%d for %d%s on %s, %d", g->rtc.flavor->title, g->rtc.major,
                g->rtc.minor, g->target.arch, exact ? "" : " (PTX)", f->rtc->archs ? "any" : g->d.facts.name,
                f->rtc->archs ? 0 : g->drv.version);
            log_line(1, "device %s:%d: kernels by %s", g->d.ops->name, g->device, g->machine);
        }
    }
    if (!g->rtc.so) return err_set(g->d.c, TSR_ENOTFOUND, "device %s:%d cannot compile kernels: %s", g->d.ops->name,
        g->device, g->rtc_why);
    if (f->rtc->archs && !g->target.arch)
        return err_set(g->d.c, TSR_EUNSUPPORTED, "device %s:%d: %s %d.%d knows nothing as old as %s: %s",
            g->d.ops->name, g->device, g->rtc.flavor->title, g->rtc.major, g->rtc.minor, g->d.facts.arch,
            g->rtc.flavor->get);
    return TSR_OK;
}

/* ---- text ---- */

/* "softmax: sub exp div" as an identifier: what a profiler shows. */
static void make_symbol(const char *name, char out[64]) {
    size_t n = 0;
    for (const char *s = "k_"; *s; s++) out[n++] = *s;
    for (const char *s = name; *s && n < 56; s++) {
        bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (plain || out[n - 1] != '_') out[n++] = plain ? *s : '_';
    }
    out[n] = 0;
}

static tsr_status run_on_host(struct cuda *g, struct cuda_kernel *k, const tsr_tile *program, const char *why) {
    log_line(1, "device %s:%d: kernel %s runs on the CPU: %s", g->d.ops->name, g->device, k->name, why);
    if (!(k->vm = vm_compile(g->d.c, program))) return tsr_error_status(g->d.c);
    k->program = tsr_tile_keep((tsr_tile *)(uintptr_t)program);
    return TSR_OK;
}

static tsr_status write_text(struct cuda *g, struct cuda_kernel *k, const tsr_tile *program) {
    struct str kernel;
    const char *why = NULL;
    str_init(&kernel, g->d.c);
    bool claimed = emit_gpu_kernel(&kernel, g->d.c, program, &g->target, k->symbol, &k->info, &why);
    if (claimed) {
        emit_gpu_prelude(&k->text, &g->target, kernel.s);
        str_put(&k->text, kernel.s);
    }
    tsr_status s = kernel.failed || k->text.failed || (!claimed && !why) ? TSR_ENOMEM : TSR_OK;
    if (!s && claimed) k->next = g->pending, g->pending = k;
    if (!s && claimed && log_on(4)) log_line(4, "%s", kernel.s);
    if (!s && !claimed) s = run_on_host(g, k, program, why);
    str_release(&kernel);
    return s;
}

tsr_status cuda_compile(struct device *d, const tsr_tile *program, void **kernel) {
    struct cuda *g = (struct cuda *)d;
    tsr_status s = g->fault.dead ? cuda_enter(g) : open_compiler(g);
    if (s) return s;
    struct cuda_kernel *k = mem_new(d->c, struct cuda_kernel);
    if (!k) return TSR_ENOMEM;
    str_init(&k->text, d->c);
    snprintf(k->name, sizeof k->name, "%s", program->name);
    make_symbol(k->name, k->symbol);
    if ((s = write_text(g, k, program))) cuda_unload(d, k);
    else *kernel = k;
    return s;
}

void cuda_unload(struct device *d, void *kernel) {
    struct cuda *g = (struct cuda *)d;
    struct cuda_kernel *k = kernel;
    for (struct cuda_kernel **p = &g->pending; *p; p = &(*p)->next)
        if (*p == k) {
            *p = k->next;
            break;
        }
    if (k->module && !g->drv.context_use(g->context)) {
        if (!g->fault.dead) g->drv.stream_sync(g->stream);
        g->drv.module_unload(k->module);
    }
    str_release(&k->text);
    vm_free(k->vm);
    tsr_tile_free(k->program);
    mem_del(d->c, k);
}

/* ---- code ---- */

struct build {
    struct cuda *g;
    struct build_item {
        struct cuda_kernel *k;
        struct cache_key key;
        struct cache_blob found;
        struct rtc_code made;
        tsr_status status;
    } *item;
};
static const char suffix[] = ".gpu";

static void make_code(void *arg, int64_t i, int worker) {
    struct build *b = arg;
    struct build_item *it = &b->item[i];
    (void)worker;
    cache_key_code(&it->key, it->k->text.s);
    cache_key_text(&it->key, b->g->machine);
    for (int o = 0; b->g->rtc.flavor->option[o]; o++) cache_key_text(&it->key, b->g->rtc.flavor->option[o]);
    if (cache_get(&b->g->cache, &it->key, suffix, &it->found)) return;
    it->status = rtc_build(&b->g->rtc, b->g->d.c, it->k->text.s, it->k->symbol, b->g->arch, &it->made);
}

/* PTX is text, and the driver wants its end. */
static int load_module(struct cuda *g, struct cuda_kernel *k, const void *code, size_t n, char log[1024]) {
    int option[2] = {CUDA_JIT_LOG, CUDA_JIT_LOG_BYTES};
    void *value[2] = {log, (void *)(uintptr_t)1024};
    char *copy = mem_alloc(g->d.c, n + 1);
    *log = 0;
    if (!copy) return CUDA_NO_MEMORY;
    memcpy(copy, code, n);
    copy[n] = 0;
    int e = g->drv.module_load(&k->module, copy, 2, option, value);
    mem_free(g->d.c, copy, n + 1);
    log[1023] = 0;
    if (!e) e = g->drv.module_function(&k->function, k->module, k->symbol);
    return e;
}

static int fit(struct cuda *g, struct cuda_kernel *k) {
    int groups = 0, e = g->drv.occupancy(&groups, k->function, k->info.threads, 0);
    k->groups = (int64_t)(groups > 0 ? groups : 1) * g->d.facts.units;
    return e;
}

static tsr_status load_error(struct cuda *g, const struct cuda_kernel *k, int e, const char *log) {
    const struct rtc *r = &g->rtc;
    if (e != CUDA_NEW_PTX && e != CUDA_BAD_IMAGE && e != CUDA_NO_BINARY && e != CUDA_BAD_PTX)
        return cuda_error(g, e, "loading kernel %s", k->name);
    return err_set(g->d.c, TSR_EUNSUPPORTED, "device %s:%d: the driver (%s) refuses what %s %d.%d made of kernel %s "
        "(error %d)%s%.300s: use a newer driver or an older %s", g->d.ops->name, g->device, g->d.facts.driver,
        r->flavor->title, r->major, r->minor, k->name, e, *log ? ": " : "", log, r->flavor->title);
}

static tsr_status load(struct cuda *g, struct build_item *it) {
    char log[1024];
    struct cuda_kernel *k = it->k;
    const void *code = it->found.p ? (const void *)it->found.p : it->made.p;
    size_t n = it->found.p ? it->found.n : it->made.n;
    if (it->status) return it->status;
    if (it->made.p) cache_put(&g->cache, &it->key, suffix, it->made.p, it->made.n);
    int e = load_module(g, k, code, n, log);
    if (!e) e = fit(g, k);
    if (!e) return str_release(&k->text), TSR_OK;
    if (k->module && !cuda_is_fatal(e)) g->drv.module_unload(k->module);
    k->module = k->function = NULL;
    cache_drop(&g->cache, &it->key, suffix);
    return load_error(g, k, e, log);
}

/* Code for all kernels that wait for it. */
static tsr_status build_pending(struct cuda *g) {
    size_t n = 0, i = 0, made = 0;
    struct pool *pool = ctx_pool(g->d.c);
    double start = clock_seconds();
    for (struct cuda_kernel *k = g->pending; k; k = k->next) n++;
    struct build b = {g, mem_array(g->d.c, n, sizeof *b.item)};
    tsr_status s = b.item && pool ? TSR_OK : TSR_ENOMEM;
    for (struct cuda_kernel *k = g->pending; k && b.item; k = k->next) b.item[i++].k = k;
    if (!s) pool_for(pool, (int64_t)n, make_code, &b);
    if (!s) g->pending = NULL;
    for (i = 0; i < n && b.item && pool; i++) {
        tsr_status one = load(g, &b.item[i]);
        made += b.item[i].made.p != NULL;
        if (one) b.item[i].k->next = g->pending, g->pending = b.item[i].k, s = s ? s : one;
        cache_blob_release(&b.item[i].found);
        rtc_code_free(g->d.c, &b.item[i].made);
    }
    mem_array_free(g->d.c, b.item, n, sizeof *b.item);
    log_line(1, "device %s:%d: %zu kernels, %zu of them compiled, in %.2f s", g->d.ops->name, g->device, n, made,
        clock_seconds() - start);
    return s;
}

/* ---- launches ---- */

static bool reserve_parameters(struct cuda *g, size_t n) {
    if (n <= g->parameters) return true;
    void **p = mem_array(g->d.c, n, sizeof *p);
    if (!p) return false;
    mem_array_free(g->d.c, g->parameter, g->parameters, sizeof *p);
    g->parameter = p, g->parameters = n;
    return true;
}

static tsr_status start(struct cuda *g, struct cuda_kernel *k, int64_t groups, const int64_t grid[3], int n,
    const struct launch_arg *arg) {
    struct cuda_scratch *scratch = NULL;
    int64_t extent[3] = {grid[0], grid[1], grid[2]};
    void *scratch_at = NULL;
    if (k->info.scratch_bytes) {
        scratch = cuda_scratch_get(g, (size_t)groups * k->info.scratch_bytes);
        if (!scratch) return g->recording ? TSR_EUNSUPPORTED : tsr_error_status(g->d.c);
        scratch_at = scratch->p;
    }
    void **p = g->parameter;
    for (int i = 0; i < n; i++)
        *p++ = (void *)(uintptr_t)(arg[i].is_buf ? (const void *)&arg[i].buf : (const void *)arg[i].raw);
    for (int i = 0; i < 3; i++) *p++ = &extent[i];
    *p = &scratch_at;
    int e = g->drv.launch(k->function, (unsigned)groups, 1, 1, (unsigned)k->info.threads, 1, 1, 0, g->stream,
        g->parameter, NULL);
    if (scratch && g->recording && !g->recording->scratch) g->recording->scratch = scratch;
    else cuda_scratch_put(g, scratch);
    return e ? cuda_error(g, e, "launch of kernel %s (%s), %lld groups of %d threads", k->name,
        g->d.task.label ? g->d.task.label : "no plan", (long long)groups, k->info.threads) : TSR_OK;
}

tsr_status cuda_launch(struct device *d, void *kernel, const int64_t grid[3], int n, const struct launch_arg *arg) {
    struct cuda *g = (struct cuda *)d;
    struct cuda_kernel *k = kernel;
    struct cuda_note note;
    int64_t total = grid[0] * grid[1] * grid[2];
    tsr_status s = cuda_enter(g);
    if (s || total <= 0) return s;
    if (g->recording && (k->vm || !k->function)) return TSR_EUNSUPPORTED;
    if (k->vm) return host_tile_run(d, k->vm, k->program, grid, n, arg);
    if (!k->function && (s = build_pending(g))) return s;
    if (!reserve_parameters(g, (size_t)n + 4)) return TSR_ENOMEM;
    if ((s = start(g, k, total < k->groups ? total : k->groups, grid, n, arg))) return s;
    cuda_note_launch(g, k->name, grid, n, arg, &note);
    return cuda_launched(g, &note);
}
