/* fake_gpu.c: a look-alike of libcuda, libamdhip64, NVRTC and hiprtc in one shared object, that really computes: the
 * compiler is the C++ compiler behind tests/emit/simt.inc, a kernel runs on the host.
 *
 * It is made to find what a real driver would punish later, or never show: work is only queued and runs when something
 * waits for it, so pinned memory that is used again too early shows; memory of the device can be read and written only
 * while a kernel or a copy runs; fresh memory is filled with 0xA5; asynchronous copies must be from and to pinned
 * memory; what a call may not do while a stream captures is refused. An error that is asked for by the knobs of
 * fake_gpu.h comes when the real one would: a bad address at the next call that waits, and then at every call. */
#include "fake_gpu.h"

#include <dlfcn.h>
#include <elf.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define ALIAS(f, name) extern __typeof__(f) name __attribute__((alias(#f), visibility("default")));
#define NAMES(f, cuda, hip) ALIAS(f, cuda) ALIAS(f, hip)

enum { OK = 0, BAD_VALUE = 1, NO_MEMORY = 2, NO_DEVICE = 100, NOT_FOUND = 500, BAD_ADDRESS = 700, REFUSED = 701,
    NOT_SUPPORTED = 801, NOT_WHILE_CAPTURING = 900 };

/* The stacks of fibers come and go with modules: from memory that malloc keeps, not from the system each time. */
__attribute__((constructor)) static void keep_memory(void) {
    mallopt(M_MMAP_THRESHOLD, 64 << 20), mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

static struct fake_gpu g;
static bool dead; /* a bad address was met */
EXPORT struct fake_gpu *fake_gpu(void);
struct fake_gpu *fake_gpu(void) { return &g; }
EXPORT void fake_gpu_reset(void);
void fake_gpu_reset(void) { dead = false, memset(&g, 0, sizeof g); }

/* Counts down to the nth; negative: always. */
static bool due(int *n) {
    if (*n < 0) return true;
    return *n > 0 && --*n == 0;
}

/* ---- memory of the device: one range, closed but while work runs ---- */

#define RANGE ((size_t)1 << 30)
enum { BLOCKS = 1 << 14, GRAIN = 512 };
static uint8_t *range;
static struct block { size_t at, bytes; } block[BLOCKS]; /* in order of addresses */
static int blocks;

static void open_range(bool open) {
    if (!range) range = mmap(NULL, RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED || mprotect(range, RANGE, open ? PROT_READ | PROT_WRITE : PROT_NONE)) abort();
}

static bool on_device(const void *p, size_t n) {
    const uint8_t *q = p;
    for (int i = 0; i < blocks; i++)
        if (q >= range + block[i].at && q + n <= range + block[i].at + block[i].bytes) return true;
    return false;
}

static int take(void **p, size_t bytes) {
    size_t most = g.memory ? g.memory : (size_t)256 << 20, at = 0;
    int i = 0;
    bytes = (bytes + GRAIN - 1) & ~(size_t)(GRAIN - 1);
    if (due(&g.fail_alloc) || g.bytes + bytes > most || blocks == BLOCKS) return NO_MEMORY;
    for (; i < blocks && block[i].at - at < bytes; i++) at = block[i].at + block[i].bytes;
    if (at + bytes > RANGE) return NO_MEMORY;
    memmove(&block[i + 1], &block[i], (size_t)(blocks++ - i) * sizeof *block);
    block[i] = (struct block){at, bytes};
    g.allocs++, g.bytes += bytes;
    if (g.bytes > g.bytes_most) g.bytes_most = g.bytes;
    if (!range) open_range(false);
    *p = range + at;
    return OK;
}

static int give(void *p) {
    for (int i = 0; i < blocks; i++) {
        if (range + block[i].at != p) continue;
        g.allocs--, g.bytes -= block[i].bytes;
        memmove(&block[i], &block[i + 1], (size_t)(--blocks - i) * sizeof *block);
        return OK;
    }
    return BAD_VALUE;
}

/* ---- pinned memory ---- */

enum { PINNED = 256 };
static struct { uint8_t *p; size_t n; } pinned[PINNED];

static bool is_pinned(const void *p, size_t n) {
    for (int i = 0; i < PINNED; i++)
        if (pinned[i].p && (const uint8_t *)p >= pinned[i].p && (const uint8_t *)p + n <= pinned[i].p + pinned[i].n)
            return true;
    return false;
}

/* ---- work ---- */

typedef void simt_fn(void **argument);
typedef void simt_run_fn(simt_fn *kernel, void **argument, unsigned blocks, unsigned threads);
enum { ARGUMENTS = 64 };
struct module { void *so; simt_run_fn *run; };
struct function { simt_fn *kernel; simt_run_fn *run; size_t n; const size_t *size; struct function *next; };

enum op_kind { FILL, KERNEL, COPY, WRITE, EVENT, FREE, GRAPH };
struct op {
    enum op_kind kind;
    uint8_t *to;
    const uint8_t *from;
    size_t n;
    uint32_t value;
    void *object;  /* function, event, executable */
    unsigned groups, threads;
    struct { unsigned char b[16]; } argument[ARGUMENTS];
};
struct list { struct op *v; size_t n, cap; };
struct stream { struct list queue; bool capturing, spoilt; struct list *captured; };
struct event { bool recorded, done; };

static struct op *push(struct list *l) {
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 16;
        l->v = realloc(l->v, l->cap * sizeof *l->v);
    }
    memset(&l->v[l->n], 0, sizeof *l->v);
    return &l->v[l->n++];
}

static void run_kernel(const struct op *o) {
    const struct function *f = o->object;
    void *argument[ARGUMENTS];
    g.kernels_run++;
    if (due(&g.fault_launch)) {
        dead = true;
        return;
    }
    for (int i = 0; i < ARGUMENTS; i++) argument[i] = (void *)(uintptr_t)o->argument[i].b;
    f->run(f->kernel, argument, o->groups, o->threads);
}

static void run_op(const struct op *o) {
    switch (o->kind) {
    case FILL: memset(o->to, 0xA5, o->n); break;
    case KERNEL: run_kernel(o); break;
    case COPY: memmove(o->to, o->from, o->n); break;
    case WRITE: memcpy(o->to, &o->value, 4); break;
    case EVENT: ((struct event *)o->object)->done = true; break;
    case FREE: give(o->to); break;
    case GRAPH:
        for (size_t i = 0; i < ((struct list *)o->object)->n && !dead; i++) run_op(&((struct list *)o->object)->v[i]);
        break;
    }
}

/* Runs what is queued, until event (NULL: all). */
static int run(struct stream *s, const struct event *until) {
    size_t i = 0;
    g.syncs++;
    if (dead) return BAD_ADDRESS;
    open_range(true);
    for (; i < s->queue.n && !dead && !(until && until->done); i++) run_op(&s->queue.v[i]);
    open_range(false);
    if (dead) i = s->queue.n;
    if (i) memmove(s->queue.v, s->queue.v + i, (s->queue.n - i) * sizeof *s->queue.v);
    s->queue.n -= i;
    return dead ? BAD_ADDRESS : OK;
}

/* Where the next piece of work goes. */
static struct op *queue(struct stream *s) {
    enum { DEEP = 4096 };
    if (s->capturing) return push(s->captured);
    if (s->queue.n > DEEP) run(s, NULL);
    return push(&s->queue);
}

/* ---- the driver: what there is ---- */

static int fake_init(unsigned flags) { return flags ? BAD_VALUE : g.init_error; }
NAMES(fake_init, cuInit, hipInit)
static int fake_version(int *v) { return *v = g.version ? g.version : 12080, OK; }
NAMES(fake_version, cuDriverGetVersion, hipDriverGetVersion)
static int fake_count(int *n) { return *n = g.devices < 0 ? 0 : g.devices ? g.devices : 1, OK; }
NAMES(fake_count, cuDeviceGetCount, hipGetDeviceCount)
static int fake_get(int *device, int i) { return *device = i, OK; }
NAMES(fake_get, cuDeviceGet, hipDeviceGet)
static int fake_name(char *out, int room, int device) {
    return snprintf(out, (size_t)room, "look-alike %d", device) < 0 ? BAD_VALUE : OK;
}
NAMES(fake_name, cuDeviceGetName, hipDeviceGetName)
static int fake_memory(size_t *n, int device) { return (void)device, *n = g.memory ? g.memory : 256u << 20, OK; }
NAMES(fake_memory, cuDeviceTotalMem_v2, hipDeviceTotalMem)

enum { THREADS, LOCAL, WARP, UNITS, MAJOR, MINOR, POOLS, ATTRIBUTES };
static const int cuda_attribute[ATTRIBUTES] = {1, 8, 10, 16, 75, 76, 115}, hip_attribute[ATTRIBUTES] = {56, 74, 87, 63,
    23, 61, 88};
static int attribute(const int *table, int *v, int which) {
    int arch = g.arch ? g.arch : 70, value[ATTRIBUTES] = {1024, 48 << 10, 32, 2, arch / 10, arch % 10, !g.no_pools};
    for (int i = 0; i < ATTRIBUTES; i++)
        if (table[i] == which) return *v = value[i], OK;
    return BAD_VALUE;
}
EXPORT int cuDeviceGetAttribute(int *v, int which, int device);
int cuDeviceGetAttribute(int *v, int which, int device) { return (void)device, attribute(cuda_attribute, v, which); }
EXPORT int hipDeviceGetAttribute(int *v, int which, int device);
int hipDeviceGetAttribute(int *v, int which, int device) { return (void)device, attribute(hip_attribute, v, which); }

static int fake_error_name(int e, const char **name) {
    *name = e == BAD_ADDRESS ? "ERROR_ILLEGAL_ADDRESS" : e == NO_MEMORY ? "ERROR_OUT_OF_MEMORY" : "ERROR_OTHER";
    return OK;
}
NAMES(fake_error_name, cuGetErrorName, hipDrvGetErrorName)
static int fake_error_text(int e, const char **text) {
    *text = e == BAD_ADDRESS ? "an illegal memory access was encountered" : e == NO_MEMORY ? "out of memory" : "failed";
    return OK;
}
NAMES(fake_error_text, cuGetErrorString, hipDrvGetErrorString)

static int fake_retain(void **context, int device) { return (void)device, g.contexts++, *context = &g, OK; }
NAMES(fake_retain, cuDevicePrimaryCtxRetain, hipDevicePrimaryCtxRetain)
static __thread void *current;
static int fake_release(int device) { return (void)device, g.contexts--, current = NULL, OK; }
NAMES(fake_release, cuDevicePrimaryCtxRelease_v2, hipDevicePrimaryCtxRelease)
static int fake_use(void *context) { return current = context, OK; }
NAMES(fake_use, cuCtxSetCurrent, hipCtxSetCurrent)

/* ---- streams and events ---- */

static int fake_stream_create(void **s, unsigned flags) {
    if (!current || flags != 1 || !(*s = calloc(1, sizeof(struct stream)))) return BAD_VALUE;
    return g.streams++, OK;
}
NAMES(fake_stream_create, cuStreamCreate, hipStreamCreateWithFlags)
static int fake_stream_destroy(void *stream) {
    struct stream *s = stream;
    if (!dead) run(s, NULL);
    free(s->queue.v), free(s);
    return g.streams--, OK;
}
NAMES(fake_stream_destroy, cuStreamDestroy_v2, hipStreamDestroy)
static int refuse_captured(struct stream *s) {
    s->spoilt = true;
    return NOT_WHILE_CAPTURING;
}
static int fake_stream_sync(void *s) {
    if (!current) return BAD_VALUE;
    return ((struct stream *)s)->capturing ? refuse_captured(s) : run(s, NULL);
}
NAMES(fake_stream_sync, cuStreamSynchronize, hipStreamSynchronize)
static int fake_stream_write(void *stream, void *at, uint32_t value, unsigned flags) {
    struct stream *s = stream;
    if (dead) return BAD_ADDRESS;
    if (g.no_marks || flags) return NOT_SUPPORTED;
    if (s->capturing && g.no_recorded_marks) return refuse_captured(s);
    if (!is_pinned(at, 4)) return BAD_VALUE;
    struct op *o = queue(s);
    o->kind = WRITE, o->to = at, o->value = value;
    return OK;
}
NAMES(fake_stream_write, cuStreamWriteValue32_v2, hipStreamWriteValue32)
static int fake_event_create(void **e, unsigned flags) {
    return (void)flags, (*e = calloc(1, sizeof(struct event))) ? g.events++, OK : NO_MEMORY;
}
NAMES(fake_event_create, cuEventCreate, hipEventCreateWithFlags)
static int fake_event_destroy(void *e) { return free(e), g.events--, OK; }
NAMES(fake_event_destroy, cuEventDestroy_v2, hipEventDestroy)
static struct stream *recorded_in; /* one stream at a time is enough here */
static int fake_event_record(void *event, void *stream) {
    struct event *e = event;
    if (dead) return BAD_ADDRESS;
    recorded_in = stream;
    e->recorded = true, e->done = false;
    struct op *o = queue(stream);
    o->kind = EVENT, o->object = e;
    return OK;
}
NAMES(fake_event_record, cuEventRecord, hipEventRecord)
static int fake_event_sync(void *event) {
    struct event *e = event;
    if (dead) return BAD_ADDRESS;
    if (!e->recorded || e->done) return OK;
    return recorded_in->capturing ? refuse_captured(recorded_in) : run(recorded_in, e);
}
NAMES(fake_event_sync, cuEventSynchronize, hipEventSynchronize)

/* ---- memory ---- */

static int fake_alloc(void **p, size_t n) { return dead ? BAD_ADDRESS : !current ? BAD_VALUE : take(p, n); }
NAMES(fake_alloc, cuMemAlloc_v2, hipMalloc)
static int fake_free(void *p) { return dead ? BAD_ADDRESS : !current ? BAD_VALUE : give(p); }
NAMES(fake_free, cuMemFree_v2, hipFree)
static int fake_alloc_async(void **p, size_t n, void *stream) {
    if (((struct stream *)stream)->capturing) return refuse_captured(stream);
    int e = g.no_pools ? NOT_SUPPORTED : fake_alloc(p, n);
    if (e) return e;
    struct op *o = queue(stream);
    o->kind = FILL, o->to = *p, o->n = n;
    return OK;
}
NAMES(fake_alloc_async, cuMemAllocAsync, hipMallocAsync)
static int fake_free_async(void *p, void *stream) {
    if (dead || !current) return dead ? BAD_ADDRESS : BAD_VALUE;
    if (((struct stream *)stream)->capturing) return refuse_captured(stream);
    if (!on_device(p, 1)) return BAD_VALUE;
    struct op *o = queue(stream);
    o->kind = FREE, o->to = p;
    return OK;
}
NAMES(fake_free_async, cuMemFreeAsync, hipFreeAsync)
static int fake_pool(void **pool, int device) { return (void)device, *pool = &block, OK; }
NAMES(fake_pool, cuDeviceGetDefaultMemPool, hipDeviceGetDefaultMemPool)
static int fake_pool_set(void *pool, int what, void *value) {
    return pool == &block && what == 4 && *(uint64_t *)value == UINT64_MAX ? OK : BAD_VALUE;
}
NAMES(fake_pool_set, cuMemPoolSetAttribute, hipMemPoolSetAttribute)
static int fake_pool_trim(void *pool, size_t keep) { return pool == &block && !keep ? OK : BAD_VALUE; }
NAMES(fake_pool_trim, cuMemPoolTrimTo, hipMemPoolTrimTo)

static int fake_host_alloc(void **p, size_t n, unsigned flags) {
    (void)flags;
    for (int i = 0; i < PINNED; i++) {
        if (pinned[i].p || !current) continue;
        if (due(&g.fail_alloc) || !(*p = malloc(n))) return NO_MEMORY;
        pinned[i].p = memset(*p, 0xA5, n), pinned[i].n = n;
        return g.hosts++, OK;
    }
    return NO_MEMORY;
}
NAMES(fake_host_alloc, cuMemHostAlloc, hipHostMalloc)
static int fake_host_free(void *p) {
    for (int i = 0; i < PINNED; i++)
        if (pinned[i].p == p) return pinned[i].p = NULL, free(p), g.hosts--, OK;
    return BAD_VALUE;
}
NAMES(fake_host_free, cuMemFreeHost, hipHostFree)
static int fake_host_on_device(void **p, void *host, unsigned flags) {
    return flags || !is_pinned(host, 1) ? BAD_VALUE : (*p = host, OK);
}
NAMES(fake_host_on_device, cuMemHostGetDevicePointer_v2, hipHostGetDevicePointer)

static int copy(void *to, const void *from, size_t n, struct stream *s, bool allowed) {
    if (dead || !current) return dead ? BAD_ADDRESS : BAD_VALUE;
    if (!allowed) return BAD_VALUE;
    struct op *o = queue(s);
    o->kind = COPY, o->to = to, o->from = from, o->n = n;
    return OK;
}
static int fake_copy_in(void *to, const void *from, size_t n, void *s) {
    return copy(to, from, n, s, on_device(to, n) && is_pinned(from, n));
}
NAMES(fake_copy_in, cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync)
static int fake_copy_out(void *to, void *from, size_t n, void *s) {
    return copy(to, from, n, s, is_pinned(to, n) && on_device(from, n));
}
NAMES(fake_copy_out, cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync)
static int fake_copy(void *to, void *from, size_t n, void *s) {
    return copy(to, from, n, s, on_device(to, n) && on_device(from, n));
}
NAMES(fake_copy, cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync)

/* ---- modules and launches ---- */

/* The image is a shared object: its length is where its section headers end. */
static size_t image_bytes(const unsigned char *p) {
    Elf64_Ehdr h;
    memcpy(&h, p, sizeof h);
    return memcmp(h.e_ident, ELFMAG, SELFMAG) ? 0 : h.e_shoff + (size_t)h.e_shnum * h.e_shentsize;
}
static int fake_module_load(void **out, const void *image, unsigned n, int *option, void **value) {
    char path[] = "/tmp/fake-gpu-XXXXXX";
    size_t bytes = image_bytes(image);
    if (dead) return BAD_ADDRESS;
    if (g.load_error) {
        for (unsigned i = 0; i + 1 < n; i++)
            if (option[i] == 5 && option[i + 1] == 6) snprintf(value[i], (uintptr_t)value[i + 1], "told to fail");
        return g.load_error;
    }
    int f = bytes ? mkstemp(path) : -1;
    struct module *m = f < 0 ? NULL : calloc(1, sizeof *m);
    if (m && write(f, image, bytes) == (ssize_t)bytes) m->so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (f >= 0) close(f), unlink(path);
    if (!m || !m->so) return free(m), 200;
    m->run = (simt_run_fn *)(uintptr_t)dlsym(m->so, "simt_run");
    *out = m;
    return g.modules++, g.loaded++, OK;
}
NAMES(fake_module_load, cuModuleLoadDataEx, hipModuleLoadDataEx)
static struct function *functions;
static int fake_module_unload(void *module) {
    struct module *m = module;
    dlclose(m->so), free(m);
    return g.modules--, OK;
}
NAMES(fake_module_unload, cuModuleUnload, hipModuleUnload)
static int fake_module_function(void **out, void *module, const char *name) {
    struct module *m = module;
    char symbol[128];
    struct function *f = calloc(1, sizeof *f);
    snprintf(symbol, sizeof symbol, "simt_%s", name);
    f->kernel = (simt_fn *)(uintptr_t)dlsym(m->so, symbol);
    snprintf(symbol, sizeof symbol, "sizes_%s", name);
    size_t (*sizes)(const size_t **) = (size_t (*)(const size_t **))(uintptr_t)dlsym(m->so, symbol);
    f->run = m->run, f->next = functions, functions = f;
    if (!f->kernel || !sizes) return NOT_FOUND;
    f->n = sizes(&f->size);
    *out = f;
    return OK;
}
NAMES(fake_module_function, cuModuleGetFunction, hipModuleGetFunction)
__attribute__((destructor)) static void free_functions(void) {
    for (struct function *f = functions, *next; f; f = next) next = f->next, free(f);
    if (range) munmap(range, RANGE);
}
static int fake_occupancy(int *groups, void *function, int threads, size_t dynamic) {
    return (void)function, (void)threads, (void)dynamic, *groups = 2, OK;
}
NAMES(fake_occupancy, cuOccupancyMaxActiveBlocksPerMultiprocessor, hipModuleOccupancyMaxActiveBlocksPerMultiprocessor)
static int fake_launch(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
    unsigned dynamic, void *stream, void **parameter, void **extra) {
    struct function *f = function;
    if (dead || !current) return dead ? BAD_ADDRESS : BAD_VALUE;
    if (due(&g.fail_launch)) return REFUSED;
    if (!gx || gy != 1 || gz != 1 || !bx || bx > 1024 || by != 1 || bz != 1 || dynamic || extra || f->n > ARGUMENTS)
        return BAD_VALUE;
    struct op *o = queue(stream);
    o->kind = KERNEL, o->object = f, o->groups = gx, o->threads = bx;
    for (size_t i = 0; i < f->n; i++) memcpy(o->argument[i].b, parameter[i], f->size[i]);
    return g.launches++, OK;
}
NAMES(fake_launch, cuLaunchKernel, hipModuleLaunchKernel)

/* ---- recordings ---- */

static int fake_capture_begin(void *stream, int mode) {
    struct stream *s = stream;
    if (g.no_recording || mode != 2 || s->capturing) return NOT_SUPPORTED;
    if (dead) return BAD_ADDRESS;
    s->capturing = true, s->spoilt = false;
    s->captured = calloc(1, sizeof *s->captured);
    return g.captures++, OK;
}
NAMES(fake_capture_begin, cuStreamBeginCapture_v2, hipStreamBeginCapture)
static int fake_graph_destroy(void *graph) {
    free(((struct list *)graph)->v), free(graph);
    return g.graphs--, OK;
}
NAMES(fake_graph_destroy, cuGraphDestroy, hipGraphDestroy)
static int fake_capture_end(void *stream, void **graph) {
    struct stream *s = stream;
    if (!s->capturing) return NOT_WHILE_CAPTURING + 1;
    s->capturing = false;
    g.graphs++;
    if (s->spoilt) return fake_graph_destroy(s->captured), *graph = NULL, NOT_WHILE_CAPTURING + 1;
    *graph = s->captured;
    return OK;
}
NAMES(fake_capture_end, cuStreamEndCapture, hipStreamEndCapture)
static int fake_graph_make(void **executable, void *graph, unsigned long long flags) {
    struct list *from = graph, *l = calloc(1, sizeof *l);
    if (flags || g.no_graphs) return free(l), NOT_SUPPORTED;
    l->v = malloc((from->n + 1) * sizeof *l->v), l->n = from->n, l->cap = from->n + 1;
    memcpy(l->v, from->v, from->n * sizeof *l->v);
    *executable = l;
    return g.executables++, OK;
}
NAMES(fake_graph_make, cuGraphInstantiateWithFlags, hipGraphInstantiateWithFlags)
static int fake_graph_launch(void *executable, void *stream) {
    if (dead || !current) return dead ? BAD_ADDRESS : BAD_VALUE;
    struct op *o = queue(stream);
    o->kind = GRAPH, o->object = executable;
    return g.graph_launches++, OK;
}
NAMES(fake_graph_launch, cuGraphLaunch, hipGraphLaunch)
static int fake_graph_unmake(void *executable) {
    free(((struct list *)executable)->v), free(executable);
    return g.executables--, OK;
}
NAMES(fake_graph_unmake, cuGraphExecDestroy, hipGraphExecDestroy)

/* ---- the compiler ---- */

struct program { char *text, *log, *code; size_t bytes; };

static int fake_rtc_version(int *major, int *minor) {
    return *major = g.compiler_major ? g.compiler_major : 12, *minor = 8, OK;
}
NAMES(fake_rtc_version, nvrtcVersion, hiprtcVersion)
static const int *known(void) {
    static const int usual[8] = {70, 80, 90};
    return g.known[0] ? g.known : usual;
}
EXPORT int nvrtcGetNumSupportedArchs(int *n);
int nvrtcGetNumSupportedArchs(int *n) {
    for (*n = 0; *n < 8 && known()[*n]; ++*n) {}
    return OK;
}
EXPORT int nvrtcGetSupportedArchs(int *arch);
int nvrtcGetSupportedArchs(int *arch) {
    for (int i = 0; i < 8 && known()[i]; i++) arch[i] = known()[i];
    return OK;
}
static int fake_create(void **p, const char *text, const char *name, int n, const char *const *header,
    const char *const *header_name) {
    struct program *k = calloc(1, sizeof *k);
    if (!k || n || header || header_name || !name) return free(k), 3;
    k->text = strdup(text), k->log = strdup("");
    *p = k;
    return OK;
}
NAMES(fake_create, nvrtcCreateProgram, hiprtcCreateProgram)
static int fake_destroy(void **p) {
    struct program *k = *p;
    free(k->text), free(k->log), free(k->code), free(k);
    return *p = NULL, OK;
}
NAMES(fake_destroy, nvrtcDestroyProgram, hiprtcDestroyProgram)

/* Names of kernels: what stands before the first '(' that follows __launch_bounds__(..). */
static void write_kernels(FILE *f, const char *text) {
    for (const char *s = text; (s = strstr(s, "__global__ void"));) {
        s += strlen("__global__ void");
        const char *name = strstr(s, "__launch_bounds__");
        name = name && name < s + 2 ? strchr(name, ')') + 1 : s;
        name += strspn(name, " \n");
        int n = (int)strcspn(name, "(");
        fprintf(f, "SIMT_KERNEL(%.*s)\n"
            "extern \"C\" size_t sizes_%.*s(const size_t **s) { return sizes_of(%.*s, s); }\n",
            n, name, n, name, n, name);
    }
}

static char *read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    char *p = NULL;
    *n = 0;
    if (f && !fseek(f, 0, SEEK_END) && (p = malloc((size_t)ftell(f) + 1))) {
        *n = (size_t)ftell(f);
        rewind(f);
        *n = fread(p, 1, *n, f), p[*n] = 0;
    }
    if (f) fclose(f);
    return p;
}

static int build(struct program *k) {
    char dir[] = "/tmp/fake-rtc-XXXXXX", path[64], command[512];
    size_t n;
    if (!mkdtemp(dir)) return 11;
    snprintf(path, sizeof path, "%s/k.cpp", dir);
    FILE *f = fopen(path, "w");
    if (!f) return 11;
    fprintf(f, "#include \"tests/emit/simt.inc\"\n%s\ntemplate <class... A> static size_t sizes_of(void (*)(A...), "
        "const size_t **s) { static const size_t n[] = {sizeof(A)..., 0}; *s = n; return sizeof...(A); }\n",
        k->text);
    write_kernels(f, k->text);
    fclose(f);
    snprintf(command, sizeof command, "c++ -std=gnu++17 -w -O0 -march=native -fPIC -shared -ffp-contract=off "
        "-fno-strict-aliasing -fno-math-errno -U_FORTIFY_SOURCE -I. -o %s/k.so %s/k.cpp 2>%s/log", dir, dir, dir);
    int rc = system(command);
    free(k->log);
    snprintf(path, sizeof path, "%s/log", dir), k->log = read_file(path, &n);
    snprintf(path, sizeof path, "%s/k.so", dir), k->code = rc ? NULL : read_file(path, &k->bytes);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) || !k->code ? 6 : OK;
}

static int fake_compile(void *p, int n, const char *const *option) {
    struct program *k = p;
    int arch = 0;
    char all[256] = "";
    for (int i = 0; i < n; i++) {
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s ", option[i]);
        if (!strncmp(option[i], "--gpu-architecture=", 19)) arch = atoi(strchr(option[i], '_') + 1);
    }
    memcpy(g.options, all, sizeof all);
    for (int i = 0; arch && i < 8 && known()[i]; i++)
        if (known()[i] == arch) arch = 0;
    __atomic_add_fetch(&g.compiled, 1, __ATOMIC_RELAXED);
    if (!arch && !g.compile_error) return build(k);
    free(k->log);
    k->log = strdup(arch ? "unknown architecture" : "k.cu(1): error: told to fail");
    return arch ? 5 : 6;
}
NAMES(fake_compile, nvrtcCompileProgram, hiprtcCompileProgram)
static int fake_log_size(void *p, size_t *n) { return *n = strlen(((struct program *)p)->log) + 1, OK; }
NAMES(fake_log_size, nvrtcGetProgramLogSize, hiprtcGetProgramLogSize)
static int fake_log(void *p, char *out) {
    const struct program *k = p;
    return memcpy(out, k->log, strlen(k->log) + 1), OK;
}
NAMES(fake_log, nvrtcGetProgramLog, hiprtcGetProgramLog)
static int fake_code_size(void *p, size_t *n) { return *n = ((struct program *)p)->bytes, *n ? OK : 11; }
NAMES(fake_code_size, nvrtcGetCUBINSize, hiprtcGetCodeSize)
static int fake_code(void *p, char *out) {
    const struct program *k = p;
    return memcpy(out, k->code, k->bytes), OK;
}
NAMES(fake_code, nvrtcGetCUBIN, hiprtcGetCode)
ALIAS(fake_code_size, nvrtcGetPTXSize)
EXPORT int nvrtcGetPTX(void *p, char *out);
int nvrtcGetPTX(void *p, char *out) { return g.ptx_taken++, fake_code(p, out); }
static const char *fake_rtc_error(int e) { return e == 6 ? "compilation error" : "error"; }
NAMES(fake_rtc_error, nvrtcGetErrorString, hiprtcGetErrorString)
