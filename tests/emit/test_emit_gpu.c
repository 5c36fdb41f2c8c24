/* Emitted OpenCL C, CUDA C and HIP against the naive interpreter on random tile programs: every byte of every buffer.
 * OpenCL C runs on the first OpenCL device there is (PoCL: pocl-opencl-icd); CUDA C and HIP are compiled as C++ behind
 * simt.inc, which runs a block's threads as fibers in an order drawn by lot. */
#include <dlfcn.h>
#include <unistd.h>

#include "emit/gpu.h"
#include "harness.h"

#include "tile/vm_naive.inc"

#include "tile/vm_random.inc"

#include "cl_run.inc"

#include "nvrtc_run.inc"

enum { PROGRAMS = 40, FEW = 8, GROUPS = 4, ARGS = BUFS + OUTS + 6 };

struct kernels {
    struct gen g[PROGRAMS];
    struct emit_gpu_info info[PROGRAMS];
    bool claimed[PROGRAMS];
    int n;
    struct str text;
};

static const int64_t grid[3] = {INSTANCES, 2, 1};

static struct emit_gpu_target target_of(enum emit_lang lang) {
    return (struct emit_gpu_target){.lang = lang, .arch = lang == EMIT_CUDA ? 80 : 0,
        .subgroup = lang == EMIT_OPENCL ? 0 : 32, .threads = 256, .local_bytes = 32 * 1024, .f64 = true};
}

static bool make_kernels(tsr_ctx *c, struct kernels *k, const struct emit_gpu_target *t) {
    struct str body;
    const char *why;
    str_init(&body, c), str_init(&k->text, c);
    k->n = getenv("PROGRAMS") ? atoi(getenv("PROGRAMS")) : FEW;
    k->n = k->n < PROGRAMS ? k->n : PROGRAMS;
    for (int i = 0; i < k->n; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        k->claimed[i] = random_program(c, &k->g[i]) && emit_gpu_kernel(&body, c, k->g[i].p, t, name, &k->info[i], &why);
        CHECK_MSG(k->claimed[i], "program %d is not claimed: %s", i, why ? why : "?");
    }
    emit_gpu_prelude(&k->text, t, body.s);
    str_put(&k->text, body.s);
    bool ok = CHECK_OK(c) && CHECK(!k->text.failed && !body.failed);
    str_release(&body);
    return ok;
}

static void free_kernels(struct kernels *k) {
    for (int i = 0; i < k->n; i++) tsr_tile_free(k->g[i].p);
    str_release(&k->text);
}

/* What a run left is compared with the interpreter's; inputs are the interpreter's. */
static void reference(struct gen *g, struct store *got, struct store *want, union vm_arg *a) {
    poison(want), poison(got);
    arguments(g, want, a);
    naive_run(g->p, grid, a);
    arguments(g, got, a);
    for (int i = 0; i < BUFS; i++) a[i].buf.p = want->in[i];
}

/* ---- CUDA C and HIP as C++ ---- */

typedef void simt_fn(void **argument);
typedef void simt_run_fn(simt_fn *kernel, void **argument, unsigned blocks, unsigned threads);

static void *compile_simt(const struct kernels *k) {
    char dir[] = "/tmp/tessera-simt-XXXXXX", path[64], command[512];
    if (!mkdtemp(dir)) return NULL;
    snprintf(path, sizeof path, "%s/k.cpp", dir);
    FILE *f = fopen(path, "w");
    if (!f) return NULL;
    fprintf(f, "#include \"tests/emit/simt.inc\"\n%s", k->text.s);
    for (int i = 0; i < k->n; i++)
        if (k->claimed[i]) fprintf(f, "SIMT_KERNEL(k%d)\n", i);
    fclose(f);
    snprintf(command, sizeof command, "c++ -std=gnu++17 -w -O1 -march=native -fPIC -shared -ffp-contract=off "
        "-fno-strict-aliasing -fno-math-errno -U_FORTIFY_SOURCE -I. -o %s/k.so %s/k.cpp", dir, dir);
    int rc = system(command);
    snprintf(path, sizeof path, "%s/k.so", dir);
    void *so = rc == 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (!getenv("KEEP") && system(command)) CHECK_MSG(false, "%s stays behind", dir);
    return so;
}

static void run_simt(void *so, const struct kernels *k, int i, struct store *got, struct store *want) {
    union vm_arg a[ARGS];
    void *argument[ARGS + 4], *scratch = NULL;
    int64_t extent[3];
    char name[24];
    snprintf(name, sizeof name, "simt_k%d", i);
    simt_run_fn *run = (simt_run_fn *)(uintptr_t)dlsym(so, "simt_run");
    simt_fn *kernel = (simt_fn *)(uintptr_t)dlsym(so, name);
    if (!CHECK(run && kernel)) return;
    reference((struct gen *)&k->g[i], got, want, a);
    memcpy(extent, grid, sizeof extent);
    if (k->info[i].scratch_bytes) scratch = aligned_alloc(256, k->info[i].scratch_bytes * GROUPS);
    if (scratch) memset(scratch, 0x7f, k->info[i].scratch_bytes * GROUPS);
    for (int j = 0; j < ARGS; j++) argument[j] = &a[j];
    for (int j = 0; j < 3; j++) argument[ARGS + j] = &extent[j];
    argument[ARGS + 3] = &scratch;
    run(kernel, argument, 1 + (unsigned)pick(GROUPS), (unsigned)k->info[i].threads);
    free(scratch);
    agree(k->g[i].p, got, want, "as C++");
}

static void check_simt(const struct emit_gpu_target *t, const char *name) {
    static struct kernels k;
    struct store got, want;
    if (system("c++ --version >/dev/null 2>&1")) SKIP("needs a C++ compiler named c++");
    tsr_ctx *c = test_ctx();
    open_store(&want), open_store(&got);
    void *so = make_kernels(c, &k, t) ? compile_simt(&k) : NULL;
    CHECK(so != NULL);
    for (int i = 0; so && i < k.n; i++) {
        test_case("%s: program %d", name, i);
        if (k.claimed[i]) run_simt(so, &k, i, &got, &want);
    }
    if (so) dlclose(so);
    free_kernels(&k);
    close_store(&got), close_store(&want);
    test_ctx_close(c);
}

TEST(random_programs_cuda) {
    struct emit_gpu_target t = target_of(EMIT_CUDA);
    check_simt(&t, "CUDA C");
}

TEST(random_programs_cuda_little_local_memory) {
    struct emit_gpu_target t = target_of(EMIT_CUDA);
    t.local_bytes = 2048, t.threads = 64;
    check_simt(&t, "CUDA C, 2 KB of local memory");
}

TEST(random_programs_cuda_powers_of_two) {
    struct emit_gpu_target t = target_of(EMIT_CUDA);
    powers = true;
    check_simt(&t, "CUDA C, powers of two");
    t.subgroup = 0;
    check_simt(&t, "CUDA C, powers of two, no shuffles");
    powers = false;
}

TEST(random_programs_hip) {
    struct emit_gpu_target t = target_of(EMIT_HIP);
    check_simt(&t, "HIP");
}

/* ---- NVRTC ---- */

TEST(nvrtc_compiles) {
    static const int arch[] = {70, 80, 90, 100};
    static struct kernels k;
    struct nvrtc_run r;
    if (!nvrtc_open(&r)) SKIP(NVRTC_HOW);
    for (size_t i = 0; i < sizeof arch / sizeof *arch; i++) {
        test_case("compute_%d", arch[i]);
        if (!nvrtc_knows(&r, arch[i])) {
            test_skip("this NVRTC does not know compute_%d", arch[i]);
            continue;
        }
        tsr_ctx *c = test_ctx();
        struct emit_gpu_target t = target_of(EMIT_CUDA);
        t.arch = arch[i];
        if (make_kernels(c, &k, &t)) CHECK(nvrtc_compile(&r, k.text.s, arch[i]) > 0);
        free_kernels(&k);
        test_ctx_close(c);
    }
}

/* ---- OpenCL C ---- */

enum { SHIFT = 64 }; /* buffers begin this many bytes into their memory object: offsets are on trial too */

static void run_opencl(struct cl_run *r, void *program, const struct kernels *k, int i, struct store *got,
    struct store *want) {
    union vm_arg a[ARGS];
    void *mem[ARGS] = {0}, *scratch = NULL;
    char name[24];
    int e, at = 0;
    int64_t shift = SHIFT;
    size_t local = (size_t)k->info[i].threads, global = local * (1 + (size_t)pick(GROUPS));
    snprintf(name, sizeof name, "k%d", i);
    void *kernel = r->f.CreateKernel(program, name, &e);
    if (!CHECK(kernel != NULL)) return;
    reference((struct gen *)&k->g[i], got, want, a);
    for (int j = 0; j < ARGS; j++) {
        if (j >= BUFS + OUTS) {
            r->f.SetKernelArg(kernel, (uint32_t)at++, 8, &a[j]);
            continue;
        }
        mem[j] = r->f.CreateBuffer(r->context, CL_READ_WRITE, a[j].buf.bytes + SHIFT, NULL, &e);
        r->f.EnqueueWriteBuffer(r->queue, mem[j], 1, SHIFT, a[j].buf.bytes, a[j].buf.p, 0, NULL, NULL);
        r->f.SetKernelArg(kernel, (uint32_t)at++, sizeof mem[j], &mem[j]);
        r->f.SetKernelArg(kernel, (uint32_t)at++, 8, &shift);
    }
    for (int j = 0; j < 3; j++) r->f.SetKernelArg(kernel, (uint32_t)at++, 8, &grid[j]);
    if (k->info[i].scratch_bytes)
        scratch = r->f.CreateBuffer(r->context, CL_READ_WRITE, k->info[i].scratch_bytes * GROUPS, NULL, &e);
    r->f.SetKernelArg(kernel, (uint32_t)at, sizeof scratch, scratch ? &scratch : NULL);
    CHECK_EQ(r->f.EnqueueNDRangeKernel(r->queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL), 0);
    CHECK_EQ(r->f.Finish(r->queue), 0);
    for (int j = 0; j < OUTS; j++)
        r->f.EnqueueReadBuffer(r->queue, mem[BUFS + j], 1, SHIFT, got->out_bytes[j], got->out[j], 0, NULL, NULL);
    for (int j = 0; j < BUFS + OUTS; j++) r->f.ReleaseMemObject(mem[j]);
    if (scratch) r->f.ReleaseMemObject(scratch);
    r->f.ReleaseKernel(kernel);
    agree(k->g[i].p, got, want, "OpenCL");
}

TEST(random_programs_opencl) {
    static struct kernels k;
    struct cl_run r;
    struct store got, want;
    struct emit_gpu_target t = target_of(EMIT_OPENCL);
    t.threads = 1; /* PoCL 3 takes minutes over barriers in nested loops */
    if (!cl_open(&r)) SKIP("needs libOpenCL.so.1 and a device: apt-get install pocl-opencl-icd");
    tsr_ctx *c = test_ctx();
    open_store(&want), open_store(&got);
    void *program = make_kernels(c, &k, &t) ? cl_build(&r, k.text.s) : NULL;
    CHECK(program != NULL);
    for (int i = 0; program && i < k.n; i++) {
        test_case("OpenCL C: program %d", i);
        if (k.claimed[i]) run_opencl(&r, program, &k, i, &got, &want);
    }
    if (program) r.f.ReleaseProgram(program);
    free_kernels(&k);
    cl_close(&r);
    close_store(&got), close_store(&want);
    test_ctx_close(c);
}
