/* program.c: tile programs as OpenCL C, built by the driver.
 *
 * Each kernel is a program of its own, so that a new kernel builds nothing again; only what it uses of the library
 * stands in front of it. Built programs are kept on disk under the hash of text, options, device and driver: a driver's
 * compiler takes a tenth of a second and more. The arithmetic is as written: no fast math, division and square root
 * correctly rounded where the device can.
 *
 * A program that the renderer does not claim, or whose group of threads the driver cannot run, is run by the tile VM on
 * copies (host_tile.h). One that needs f64 on a device without it is refused: the user meant another dtype. */
#include <ctype.h>
#include <string.h>

#include "base/sys.h"
#include "device/opencl/opencl.h"

enum { LOG_LINES = 6, LOG_BYTES = 480 };

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

static bool has_f64(const tsr_tile *p) {
    for (size_t v = 0; v < p->value.n; v++)
        if (p->value.v[v].type.dtype == TSR_F64 || p->value.v[v].type.dtype == TSR_C128) return true;
    return false;
}

static void symbol_of(const tsr_tile *p, char out[64]) {
    size_t n = 0;
    if (!isalpha((unsigned char)p->name[0])) out[n++] = 'k', out[n++] = '_';
    for (const char *s = p->name; *s && n < 56; s++) out[n++] = isalnum((unsigned char)*s) ? *s : '_';
    memcpy(out + n, "_cl", 4); /* no name of the language ends so */
}

/* ---- building ---------------------------------------------------------------------------------------------------- */

/* The first lines of the driver's log. */
static void first_lines(const struct opencl *o, cl_program program, char out[LOG_BYTES]) {
    char log[8192] = "";
    size_t n = 0;
    if (o->cl.clGetProgramBuildInfo(program, o->found.device, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, &n))
        snprintf(log, sizeof log, "(no log)");
    int lines = 0;
    size_t i = 0;
    for (const char *s = log + strspn(log, "\n"); *s && i + 1 < LOG_BYTES && lines < LOG_LINES; s++)
        lines += *s == '\n', out[i++] = *s;
    while (i && out[i - 1] == '\n') i--;
    out[i] = 0;
}

static tsr_status build(struct opencl *o, struct opencl_kernel *k) {
    cl_int status = o->cl.clBuildProgram(k->program, 1, &o->found.device, o->options, NULL, NULL);
    if (!status) return TSR_OK;
    char log[LOG_BYTES];
    first_lines(o, k->program, log);
    return err_set(o->d.c, TSR_EIO, "OpenCL %s: kernel %s does not build: %s (%d); TSR_DEBUG=4 prints its text. The "
        "driver says: %s", o->found.name, k->name, cl_status_name(status), status, log);
}

static void keep_binary(struct opencl *o, const struct opencl_kernel *k, const struct cache_key *key) {
    size_t n = 0;
    if (o->cl.clGetProgramInfo(k->program, CL_PROGRAM_BINARY_SIZES, sizeof n, &n, NULL) || !n) return;
    unsigned char *binary = mem_alloc(o->d.c, n);
    if (!binary) return;
    if (!o->cl.clGetProgramInfo(k->program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL))
        cache_put(&o->cache, key, ".clbin", binary, n);
    mem_free(o->d.c, binary, n);
}

/* False: there is none, or the driver does not take it any more. */
static bool from_cache(struct opencl *o, struct opencl_kernel *k, const struct cache_key *key) {
    struct cache_blob b = {0};
    cl_int each = 0, status;
    if (!cache_get(&o->cache, key, ".clbin", &b)) return false;
    const unsigned char *bytes = b.p;
    k->program = o->cl.clCreateProgramWithBinary(o->context, 1, &o->found.device, &b.n, &bytes, &each, &status);
    bool ok = !status && !each && k->program &&
        !o->cl.clBuildProgram(k->program, 1, &o->found.device, o->options, NULL, NULL);
    cache_blob_release(&b);
    if (ok) return true;
    cache_drop(&o->cache, key, ".clbin");
    if (!status && k->program) o->cl.clReleaseProgram(k->program);
    k->program = NULL;
    return false;
}

static tsr_status from_text(struct opencl *o, struct opencl_kernel *k, const char *text, const struct cache_key *key) {
    cl_int status;
    k->program = o->cl.clCreateProgramWithSource(o->context, 1, &text, NULL, &status);
    if (status) return k->program = NULL, opencl_status(o, status, "clCreateProgramWithSource");
    tsr_status s = build(o, k);
    if (!s) keep_binary(o, k, key);
    return s ? s : tsr_error_status(o->d.c);
}

static void key_of(const struct opencl *o, const char *text, struct cache_key *key) {
    *key = (struct cache_key){0};
    cache_key_text(key, "opencl"), cache_key_code(key, text), cache_key_text(key, o->options);
    cache_key_text(key, o->found.platform_name), cache_key_text(key, o->found.platform_version);
    cache_key_text(key, o->found.name), cache_key_text(key, o->d.facts.driver);
}

static tsr_status make_kernel(struct opencl *o, struct opencl_kernel *k, const char *text) {
    struct cache_key key;
    cl_int status;
    size_t most = 0;
    key_of(o, text, &key);
    tsr_status s = from_cache(o, k, &key) ? TSR_OK : from_text(o, k, text, &key);
    if (s) return s;
    k->kernel = o->cl.clCreateKernel(k->program, k->name, &status);
    if (status) return k->kernel = NULL, opencl_status(o, status, "clCreateKernel");
    status = o->cl.clGetKernelWorkGroupInfo(k->kernel, o->found.device, CL_KERNEL_GROUP_SIZE, sizeof most, &most, NULL);
    if (status || most >= (size_t)k->info.threads) return TSR_OK;
    log_line(1, "OpenCL: kernel %s wants groups of %d threads, the driver runs at most %zu: it runs on the CPU",
        k->name, k->info.threads, most);
    o->cl.clReleaseKernel(k->kernel), k->kernel = NULL;
    return TSR_OK;
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

/* The text of the program in `text`; false: it is not claimed, and why says why (NULL: no memory). */
static bool write_text(struct opencl *o, struct opencl_kernel *k, struct str *text, const char **why) {
    struct str body;
    str_init(&body, o->d.c);
    bool ok = emit_gpu_kernel(&body, o->d.c, k->tile, &o->target, k->name, &k->info, why);
    if (ok) emit_gpu_prelude(text, &o->target, body.s), str_put(text, body.s);
    if (body.failed || text->failed) ok = false, *why = NULL;
    str_release(&body);
    return ok;
}

static tsr_status fill(struct opencl *o, struct opencl_kernel *k) {
    const char *why = NULL;
    struct str text;
    str_init(&text, o->d.c);
    bool claimed = write_text(o, k, &text, &why);
    tsr_status s = tsr_error_status(o->d.c);
    if (claimed) log_line(4, "%s", text.s);
    else if (why) log_line(1, "OpenCL: kernel %s runs on the CPU: %s", k->name, why);
    if (claimed && !s) s = make_kernel(o, k, text.s);
    if (!s && !k->kernel && !(k->vm = vm_compile(o->d.c, k->tile))) s = tsr_error_status(o->d.c);
    str_release(&text);
    return s;
}

tsr_status opencl_compile(struct device *d, const tsr_tile *program, void **kernel) {
    struct opencl *o = (struct opencl *)d;
    if (!o->target.f64 && has_f64(program))
        return err_set(d->c, TSR_EUNSUPPORTED, "kernel %s needs f64, which OpenCL device %s has not: use f32, or "
            "TSR_DEVICE=cpu", program->name, o->found.name);
    struct opencl_kernel *k = mem_new(d->c, struct opencl_kernel);
    if (!k) return TSR_ENOMEM;
    k->tile = tsr_tile_keep((tsr_tile *)(uintptr_t)program);
    symbol_of(program, k->name);
    tsr_status s = fill(o, k);
    if (s) opencl_unload(d, k);
    else *kernel = k;
    return s;
}

void opencl_unload(struct device *d, void *kernel) {
    struct opencl *o = (struct opencl *)d;
    struct opencl_kernel *k = kernel;
    if (k->kernel) o->cl.clReleaseKernel(k->kernel);
    if (k->program) o->cl.clReleaseProgram(k->program);
    vm_free(k->vm);
    tsr_tile_free(k->tile);
    mem_del(d->c, k);
}
