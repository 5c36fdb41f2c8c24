/* Emitted OpenCL C, CUDA C and HIP against the naive interpreter on random tile programs: every byte of every buffer.
 * OpenCL C runs on the first OpenCL device there is (PoCL: pocl-opencl-icd); CUDA C and HIP are compiled as C++ behind
 * simt.inc, which runs a block's threads as fibers in an order drawn by lot. */
#include <dlfcn.h>
#include <unistd.h>

#include "emit/gpu.h"
#include "harness.h"
#include "nvrtc.h"

#include "tile/vm_naive.inc"

#include "tile/vm_random.inc"

#include "cl_run.inc"

enum { PROGRAMS = 40, FEW = 8, DOOMED = 3, GROUPS = 4, ARGS = BUFS + OUTS + 6 };

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

static void *compile_simt(const char *text, int n, const bool *claimed) {
    char dir[] = "/tmp/tessera-simt-XXXXXX", path[64], command[512];
    if (!mkdtemp(dir)) return NULL;
    snprintf(path, sizeof path, "%s/k.cpp", dir);
    FILE *f = fopen(path, "w");
    if (!f) return NULL;
    fprintf(f, "#include \"tests/emit/simt.inc\"\n%s", text);
    for (int i = 0; i < n; i++)
        if (claimed[i]) fprintf(f, "SIMT_KERNEL(k%d)\n", i);
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
    void *so = make_kernels(c, &k, t) ? compile_simt(k.text.s, k.n, k.claimed) : NULL;
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

/* ---- products ---- */

/* c = max(a x b + bias, 0), or of 2 a x b, in tiles as the compiler lowers it: a (m, k), b (k, n), bias (n). Either
 * matrix may lie turned in memory. */
struct product {
    tsr_dtype in, acc;
    int64_t tile[3], size[3]; /* m, n, k; tile[2]: the chunk of k */
    bool turned[2], by_transpose, scaled;
};
enum { PRODUCTS = 24 };

static tsr_tv mul64(tsr_tile *p, tsr_tv a, tsr_tv b) { return tsr_tile_elem2(p, TSR_S_MUL, a, b); }

/* Rows x columns of a buffer at (row0, column0), width elements to a row; turned: the buffer has columns for rows. */
static tsr_tv window_of(tsr_tile *p, const struct product *x, int side, tsr_tv buf, const tsr_tv start[2],
    const tsr_tv left[2], const int64_t extent[2], tsr_tv width) {
    bool turned = x->turned[side], after = turned && x->by_transpose;
    tsr_tv one = tsr_tile_int(p, TSR_I64, 1);
    tsr_tile_block b = {.rank = 2};
    b.base = tsr_tile_elem2(p, TSR_S_ADD, mul64(p, start[turned], width), start[!turned]);
    for (int i = 0; i < 2; i++) {
        int at = after ? !i : i;
        b.extent[at] = extent[i], b.stride[at] = (i == 0) != turned ? width : one;
        b.lo[at] = TSR_TV_NONE, b.hi[at] = left[i];
    }
    tsr_tv v = tsr_tile_load(p, buf, &b, TSR_TV_NONE);
    return after ? tsr_tile_transpose(p, v, (int[]){1, 0}) : v;
}

static tsr_tile *product_program(tsr_ctx *c, const struct product *x) {
    tsr_tile *p = tsr_tile_new(c, "product");
    tsr_tv a = tsr_tile_arg_buf(p, x->in, TSR_TILE_IN, "a"), b = tsr_tile_arg_buf(p, x->in, TSR_TILE_IN, "b");
    tsr_tv bias = tsr_tile_arg_buf(p, x->acc, TSR_TILE_IN, "bias");
    tsr_tv out = tsr_tile_arg_buf(p, x->acc, TSR_TILE_OUT, "c");
    tsr_tv size[3], start[3], left[3], next;
    for (int i = 0; i < 3; i++) size[i] = tsr_tile_arg(p, TSR_I64, "size");
    tsr_tv zero = tsr_tile_int(p, TSR_I64, 0), one = tsr_tile_int(p, TSR_I64, 1);
    for (int i = 0; i < 2; i++) {
        start[i] = mul64(p, tsr_tile_pid(p, i), tsr_tile_int(p, TSR_I64, x->tile[i]));
        left[i] = tsr_tile_elem2(p, TSR_S_SUB, size[i], start[i]);
    }
    tsr_tv acc = tsr_tile_broadcast(p, tsr_tile_int(p, x->acc, 0), 2, x->tile);
    start[2] = tsr_tile_for(p, zero, size[2], tsr_tile_int(p, TSR_I64, x->tile[2]), 1, &acc, &next);
    left[2] = tsr_tile_elem2(p, TSR_S_SUB, size[2], start[2]);
    tsr_tv va = window_of(p, x, 0, a, (tsr_tv[]){start[0], start[2]}, (tsr_tv[]){left[0], left[2]},
        (int64_t[]){x->tile[0], x->tile[2]}, x->turned[0] ? size[0] : size[2]);
    tsr_tv vb = window_of(p, x, 1, b, (tsr_tv[]){start[2], start[1]}, (tsr_tv[]){left[2], left[1]},
        (int64_t[]){x->tile[2], x->tile[1]}, x->turned[1] ? size[2] : size[1]);
    if (x->scaled) va = tsr_tile_elem2(p, TSR_S_ADD, va, va);
    next = tsr_tile_dot(p, va, vb, next);
    tsr_tile_yield(p, 1, &next);
    tsr_tile_end(p, 1, &acc);
    tsr_tile_block row = {.rank = 2, .extent = {1, x->tile[1]}, .base = start[1], .stride = {zero, one},
        .lo = {TSR_TV_NONE, TSR_TV_NONE}, .hi = {TSR_TV_NONE, left[1]}};
    acc = tsr_tile_elem2(p, TSR_S_ADD, acc, tsr_tile_load(p, bias, &row, TSR_TV_NONE));
    acc = tsr_tile_elem2(p, TSR_S_MAX, acc, tsr_tile_int(p, x->acc, 0));
    tsr_tile_block block = {.rank = 2, .extent = {x->tile[0], x->tile[1]}, .stride = {size[1], one},
        .lo = {TSR_TV_NONE, TSR_TV_NONE}, .hi = {left[0], left[1]}};
    block.base = tsr_tile_elem2(p, TSR_S_ADD, mul64(p, start[0], size[1]), start[1]);
    tsr_tile_store(p, out, &block, acc);
    return tsr_tile_finish(p) == TSR_OK ? p : (tsr_tile_free(p), NULL);
}

static struct product random_product(const tsr_dtype kinds[][2], int n) {
    int kind = (int)pick(n);
    struct product x = {.in = kinds[kind][0], .acc = kinds[kind][1], .turned = {pick(2), pick(2)},
        .by_transpose = pick(2)};
    x.scaled = pick(3) == 0 && kind_of(x.in) != TSR_KIND_COMPLEX;
    for (int i = 0; i < 2; i++) x.tile[i] = pick(4) ? (int64_t)8 << pick(5) : test_int(1, 70);
    x.tile[2] = pick(3) ? (int64_t)16 << pick(4) : test_int(1, 70);
    for (int i = 0; i < 3; i++) x.size[i] = test_int(1, 2 * x.tile[i] + 3);
    return x;
}

struct product_data {
    unsigned char *a, *b, *bias, *got, *want;
    size_t bytes[5];
    int64_t grid[3];
};

static unsigned char *filled(tsr_dtype t, int64_t n, size_t *bytes) {
    *bytes = (size_t)(n + 2) * emit_size(t);
    unsigned char *p = calloc(1, *bytes);
    for (int64_t i = 0; i < n; i++) {
        struct el e = {test_normal(), test_normal(), test_int(-100, 100)};
        e.f = is_float(t) ? round_to(t, e.f) : 0, e.g = is_float(t) ? round_to(t, e.g) : 0;
        set(t, p, i, e);
    }
    return p;
}

static void open_product(struct product_data *d, const struct product *x) {
    const int64_t *s = x->size;
    d->a = filled(x->in, s[0] * s[2], &d->bytes[0]), d->b = filled(x->in, s[2] * s[1], &d->bytes[1]);
    d->bias = filled(x->acc, s[1], &d->bytes[2]);
    d->got = filled(x->acc, s[0] * s[1], &d->bytes[3]), d->want = filled(x->acc, s[0] * s[1], &d->bytes[4]);
    memset(d->got, 0x41, d->bytes[3]), memset(d->want, 0x41, d->bytes[4]);
    for (int i = 0; i < 2; i++) d->grid[i] = (s[i] + x->tile[i] - 1) / x->tile[i];
    d->grid[2] = 1;
}

static void close_product(struct product_data *d) {
    free(d->a), free(d->b), free(d->bias), free(d->got), free(d->want);
}

static void run_product(void *so, int i, const struct product *x, tsr_tile *p, const struct emit_gpu_info *info,
    double tolerance) {
    struct product_data d;
    union vm_arg a[7] = {0};
    void *argument[11], *scratch = NULL;
    char name[24];
    snprintf(name, sizeof name, "simt_k%d", i);
    simt_run_fn *run = (simt_run_fn *)(uintptr_t)dlsym(so, "simt_run");
    simt_fn *kernel = (simt_fn *)(uintptr_t)dlsym(so, name);
    if (!CHECK(run && kernel)) return;
    open_product(&d, x);
    unsigned char *const buf[4] = {d.a, d.b, d.bias, d.want};
    for (int j = 0; j < 4; j++) a[j].buf.p = buf[j], a[j].buf.bytes = d.bytes[j];
    for (int j = 0; j < 3; j++) a[4 + j].i64 = x->size[j], argument[7 + j] = &d.grid[j];
    naive_run(p, d.grid, a);
    a[3].buf.p = d.got;
    for (int j = 0; j < 7; j++) argument[j] = &a[j];
    if (info->scratch_bytes) scratch = aligned_alloc(256, info->scratch_bytes * GROUPS);
    argument[10] = &scratch;
    run(kernel, argument, 1 + (unsigned)pick(GROUPS), (unsigned)info->threads);
    free(scratch);
    int wrong = 0;
    for (int64_t n = 0; n < x->size[0] * x->size[1]; n++) {
        struct el g = get(x->acc, d.got, n, true), w = get(x->acc, d.want, n, true);
        wrong += tolerance > 0 && is_float(x->acc) ? !(fabs(g.f - w.f) <= tolerance * (double)x->size[2])
            : g.i != w.i || g.f != w.f || g.g != w.g;
    }
    CHECK_MSG(wrong == 0, "%d of %lld elements differ", wrong, (long long)(x->size[0] * x->size[1]));
    CHECK_MSG(memcmp(d.got + d.bytes[3] - emit_size(x->acc), d.want + d.bytes[4] - emit_size(x->acc),
        emit_size(x->acc)) == 0, "the end of the buffer was written over");
    close_product(&d);
}

static void check_products(const struct emit_gpu_target *t, const tsr_dtype kinds[][2], int kinds_n, double tolerance) {
    struct product x[PRODUCTS];
    tsr_tile *p[PRODUCTS];
    struct emit_gpu_info info[PRODUCTS];
    bool claimed[PRODUCTS];
    struct str body, text;
    const char *why;
    if (system("c++ --version >/dev/null 2>&1")) SKIP("needs a C++ compiler named c++");
    tsr_ctx *c = test_ctx();
    str_init(&body, c), str_init(&text, c);
    for (int i = 0; i < PRODUCTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        x[i] = random_product(kinds, kinds_n);
        p[i] = product_program(c, &x[i]);
        claimed[i] = p[i] && CHECK(emit_gpu_kernel(&body, c, p[i], t, name, &info[i], &why));
    }
    emit_gpu_prelude(&text, t, body.s);
    str_put(&text, body.s);
    CHECK((strstr(text.s, "tsr_mma_") != NULL) == t->tensor);
    void *so = CHECK_OK(c) && CHECK(!text.failed) ? compile_simt(text.s, PRODUCTS, claimed) : NULL;
    CHECK(so != NULL);
    for (int i = 0; so && i < PRODUCTS; i++) {
        test_case("%s x %s, tile %d x %d x %d of %d x %d x %d", tsr_dtype_name(x[i].in), tsr_dtype_name(x[i].acc),
            (int)x[i].tile[0], (int)x[i].tile[1], (int)x[i].tile[2], (int)x[i].size[0], (int)x[i].size[1],
            (int)x[i].size[2]);
        if (claimed[i]) run_product(so, i, &x[i], p[i], &info[i], tolerance);
    }
    if (so) dlclose(so);
    struct rtc r;
    char no[RTC_WHY];
    if (t->lang == EMIT_CUDA && nvrtc_open(&r, no)) {
        test_case("sm_%d", t->arch);
        if (nvrtc_knows(&r, t->arch)) nvrtc_check(&r, c, text.s, t->arch);
        rtc_close(&r);
    }
    for (int i = 0; i < PRODUCTS; i++) tsr_tile_free(p[i]);
    str_release(&body), str_release(&text);
    test_ctx_close(c);
}

TEST(products) {
    static const tsr_dtype kinds[][2] = {{TSR_F32, TSR_F32}, {TSR_F16, TSR_F32}, {TSR_BF16, TSR_F32},
        {TSR_F64, TSR_F64}, {TSR_I8, TSR_I32}, {TSR_U8, TSR_I32}, {TSR_I64, TSR_I64}, {TSR_F32, TSR_F64}};
    struct emit_gpu_target t = target_of(EMIT_CUDA);
    check_products(&t, kinds, (int)(sizeof kinds / sizeof *kinds), 0);
}

/* Matrix units add in an order of their own: integers have all bits, floats are within k times the tolerance. Operands
 * are of order 1, or 2 where they are doubled; tf32 has 10 bits of them. */
TEST(products_on_matrix_units) {
    static const tsr_dtype kinds[][2] = {{TSR_F16, TSR_F32}, {TSR_BF16, TSR_F32}, {TSR_I8, TSR_I32},
        {TSR_U8, TSR_I32}, {TSR_F8E4M3, TSR_F32}, {TSR_F8E5M2, TSR_F32}};
    static const tsr_dtype tf32[][2] = {{TSR_F32, TSR_F32}};
    struct emit_gpu_target t = target_of(EMIT_CUDA);
    t.tensor = true, t.arch = 90;
    check_products(&t, kinds, (int)(sizeof kinds / sizeof *kinds), 1e-5);
    t.tf32 = true, t.arch = 80;
    check_products(&t, tf32, 1, 2e-2);
}

/* ---- no memory ---- */

struct doomed {
    const char *program; /* NULL: a product */
    tsr_tile *made;      /* a program that is there already, instead */
    struct emit_gpu_target target;
};
static const char chain[] =
    "tile \"chain\" {\n"
    "    %0 = buf in f32 \"x\"\n    %1 = buf out f16 \"y\"\n    %2 = arg i64 \"n\"\n    %3 = pid 0\n"
    "    %4 = const i64 1024\n    %5 = mul %3, %4\n    %6 = sub %2, %5\n    %7 = const i64 1\n"
    "    %8 = load %0 [1024] at %5 stride (%7) lo (_) hi (%6) other _\n"
    "    %9 = tanh %8\n    %10 = exp %9\n    %11 = mul %10, %8\n    %12 = cast f16 %11\n"
    "    store %1 [1024] at %5 stride (%7) lo (_) hi (%6) value %12\n}\n";
static const char row[] =
    "tile \"row\" {\n"
    "    %0 = buf in f32 \"x\"\n    %1 = buf out f32 \"y\"\n    %2 = arg i64 \"n\"\n    %3 = pid 0\n"
    "    %4 = const i64 4\n    %5 = mul %3, %4\n    %6 = mul %5, %2\n    %7 = const i64 1\n    %8 = const f32 -inf\n"
    "    %9 = load %0 [4, 300] at %6 stride (%2, %7) lo (_, _) hi (_, %2) other %8\n"
    "    %10 = reduce max axis 1 %9\n    %11 = sub %9, %10\n    %12 = exp %11\n    %13 = reduce sum axis 1 %12\n"
    "    %14 = div %12, %13\n    %15 = scan sum axis 1 %14\n"
    "    store %1 [4, 300] at %6 stride (%2, %7) lo (_, _) hi (_, %2) value %15\n}\n";

static bool render(tsr_ctx *c, void *arg) {
    const struct doomed *d = arg;
    const struct product x = {.in = TSR_F16, .acc = TSR_F32, .tile = {32, 32, 16}, .size = {64, 64, 64}};
    struct emit_gpu_info info;
    struct str body, text;
    const char *why = "";
    tsr_tile *p = d->made ? tsr_tile_keep(d->made)
        : d->program ? tsr_tile_read(c, d->program, "of the test") : product_program(c, &x);
    str_init(&body, c), str_init(&text, c);
    bool ok = p && emit_gpu_kernel(&body, c, p, &d->target, "k", &info, &why);
    CHECK_MSG(ok || !p || !why, "not claimed: %s", why ? why : ""); /* no memory is no reason */
    if (ok && !d->made) emit_gpu_prelude(&text, &d->target, body.s), str_put(&text, body.s);
    ok = ok && !body.failed && !text.failed;
    str_release(&body), str_release(&text);
    tsr_tile_free(p);
    return ok;
}

static const char *const lang_name[] = {[EMIT_OPENCL] = "OpenCL C", [EMIT_CUDA] = "CUDA C", [EMIT_HIP] = "HIP"};

TEST(every_failing_allocation_of_the_renderer_is_clean) {
    static const struct { const char *name, *program; } kernel[] = {{"chain", chain}, {"row", row}, {"product", NULL}};
    for (size_t i = 0; i < sizeof kernel / sizeof *kernel; i++)
        for (enum emit_lang lang = EMIT_OPENCL; lang <= EMIT_HIP; lang++) {
            struct doomed d = {.program = kernel[i].program, .target = target_of(lang)};
            d.target.tensor = lang == EMIT_CUDA;
            test_case("%s in %s", kernel[i].name, lang_name[lang]);
            CHECK(torture(render, &d) > 20);
        }
}

/* What those three do not reach: loops, branches, gathers, quantised blocks, windows of every kind. Kernels alone. */
TEST(every_failing_allocation_of_random_programs_is_clean) {
    for (int i = 0; i < DOOMED; i++) {
        static struct gen g;
        tsr_ctx *c = test_ctx();
        if (!CHECK(random_program(c, &g))) return;
        for (enum emit_lang lang = EMIT_OPENCL; lang <= EMIT_HIP; lang++) {
            struct doomed d = {.made = g.p, .target = target_of(lang)};
            test_case("program %d in %s", i, lang_name[lang]);
            CHECK(torture(render, &d) > 20);
        }
        tsr_tile_free(g.p);
        test_ctx_close(c);
    }
}

/* ---- NVRTC ---- */

TEST(nvrtc_compiles) {
    static const int arch[] = {70, 80, 90, 100};
    static struct kernels k;
    struct rtc r;
    char why[RTC_WHY];
    if (!nvrtc_open(&r, why)) SKIP("%s", why);
    for (size_t i = 0; i < sizeof arch / sizeof *arch; i++) {
        test_case("sm_%d", arch[i]);
        if (!nvrtc_knows(&r, arch[i])) {
            test_skip("this NVRTC does not know sm_%d", arch[i]);
            continue;
        }
        tsr_ctx *c = test_ctx();
        struct emit_gpu_target t = target_of(EMIT_CUDA);
        t.arch = arch[i];
        if (make_kernels(c, &k, &t)) nvrtc_check(&r, c, k.text.s, arch[i]);
        free_kernels(&k);
        test_ctx_close(c);
    }
    rtc_close(&r);
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
