/* Emitted C against the naive interpreter on random tile programs: every byte of every buffer. The programs of a run
 * go into one translation unit, as the kernels of a plan do. */
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emit/emit.h"
#include "harness.h"

#include "tile/vm_naive.inc"

#include "tile/vm_random.inc"

typedef void kernel_fn(const void *arg, const int64_t *grid, int64_t begin, int64_t end, char *scratch);

enum { PROGRAMS = 12, DOOMED = 4 };

static bool has(const char *compiler) {
    char command[96];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", compiler);
    return system(command) == 0;
}

static void *compile(const char *text, const char *compiler, const char *flags) {
    char dir[] = "/tmp/tessera-emit-XXXXXX", path[64], command[512];
    if (!mkdtemp(dir)) return NULL;
    snprintf(path, sizeof path, "%s/k.c", dir);
    FILE *f = fopen(path, "w");
    if (!f) return NULL;
    fputs(text, f);
    fclose(f);
    snprintf(command, sizeof command, "%s -std=gnu11 -w -fPIC -shared -ffp-contract=off -fno-math-errno %s "
        "-o %s/k.so %s/k.c", compiler, flags, dir, dir);
    int rc = system(command);
    snprintf(path, sizeof path, "%s/k.so", dir);
    void *so = rc == 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!so) fprintf(stderr, "%s: %s\n", compiler, dlerror());
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (!getenv("KEEP") && system(command)) CHECK_MSG(false, "%s stays behind", dir);
    return so;
}

static void run_one(struct gen *g, kernel_fn *run, size_t scratch, struct store *got, struct store *want) {
    static const int64_t grid[3] = {INSTANCES, 2, 1};
    union vm_arg a[BUFS + OUTS + 6];
    poison(want), poison(got);
    arguments(g, want, a);
    naive_run(g->p, grid, a);
    arguments(g, got, a);
    for (int i = 0; i < BUFS; i++) a[i].buf.p = want->in[i];
    char *room = aligned_alloc(64, (scratch + 127) & ~(size_t)63);
    memset(room, 0x7f, scratch);
    run(a, grid, 0, INSTANCES * 2, room);
    free(room);
    agree(g->p, got, want, "emitted C");
}

static void check_flags(const char *compiler, const char *flags) {
    struct store got, want;
    struct gen g[PROGRAMS];
    size_t scratch[PROGRAMS];
    bool claimed[PROGRAMS];
    tsr_ctx *c = test_ctx();
    struct str text, unit;
    int n = getenv("PROGRAMS") ? atoi(getenv("PROGRAMS")) : PROGRAMS;
    if (n > PROGRAMS) n = PROGRAMS;
    open_store(&want), open_store(&got);
    str_init(&text, c), str_init(&unit, c);
    for (int i = 0; i < n; i++) {
        struct emit_plan k;
        char name[32];
        claimed[i] = false;
        if (!random_program(c, &g[i])) continue;
        if (!(claimed[i] = emit_plan_init(&k, c, g[i].p, EMIT_FOR_HOST))) continue;
        snprintf(name, sizeof name, "k%d", i);
        emit_c_kernel(&text, &k, name);
        scratch[i] = k.scratch;
        emit_plan_release(&k);
    }
    CHECK_OK(c);
    CHECK(!text.failed && emit_c_library(&unit, c, text.s));
    str_put(&unit, text.s);
    void *so = compile(unit.s, compiler, flags);
    CHECK(so != NULL);
    for (int i = 0; so && i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "k%d", i);
        test_case("%s %s: program %d", compiler, flags, i);
        kernel_fn *run = CHECK(claimed[i]) ? (kernel_fn *)(uintptr_t)dlsym(so, name) : NULL;
        if (CHECK(run != NULL)) run_one(&g[i], run, scratch[i], &got, &want);
    }
    for (int i = 0; i < n; i++) tsr_tile_free(g[i].p);
    if (so) dlclose(so);
    str_release(&text), str_release(&unit);
    close_store(&got), close_store(&want);
    test_ctx_close(c);
}

/* The text is C99 with hints for those who know them: what each compiler and level makes of it has the same bits. */
TEST(random_programs_cc) {
    static const char *const flags[] = {"-O0", "-O2", "-O3 -march=native -fno-strict-aliasing",
        "-O2 -DTSR_STREAM_FROM=1"}; /* the last: every row goes past the caches */
    if (!has("cc")) SKIP("no C compiler: cc is not on PATH");
    for (int i = 0; i < 4; i++) check_flags("cc", flags[i]);
}
TEST(random_programs_clang) {
    if (!has("clang")) SKIP("needs clang on PATH (package clang)");
    check_flags("clang", "-O3 -march=native -fno-strict-aliasing -DTSR_STREAM_FROM=1");
}
/* Products on vectors of either width, with every kind of operand. */
TEST(random_products) {
    static const char *const compiler[] = {"cc", "cc", "clang"};
    static const char *const flags[] = {"-O2 -march=native", "-O3 -march=x86-64-v3", "-O2 -march=native"};
    only_products = true;
    for (int i = 0; i < 3; i++)
        if (has(compiler[i])) check_flags(compiler[i], flags[i]);
    only_products = false;
}
TEST(random_programs_tcc) {
    if (!has("tcc")) SKIP("needs tcc on PATH (package tcc)");
    check_flags("tcc", "");
}
TEST(random_programs_c99) { /* without GNU extensions in the text */
    if (!has("cc")) SKIP("no C compiler: cc is not on PATH");
    check_flags("cc", "-O1 -std=c99 -D__TINYC__ -lm");
}

/* ---- no memory ---- */

struct doomed {
    const tsr_tile *p;
    enum emit_for what;
};

/* The kernel alone: test_library.c does this to the text in front of it. */
static bool render(tsr_ctx *c, void *arg) {
    const struct doomed *d = arg;
    struct emit_plan k;
    struct str text;
    str_init(&text, c);
    bool ok = emit_plan_init(&k, c, d->p, d->what);
    if (ok) emit_c_kernel(&text, &k, "k");
    ok = ok && !text.failed;
    emit_plan_release(&k);
    str_release(&text);
    return ok;
}

TEST(every_failing_allocation_is_clean) {
    for (int i = 0; i < DOOMED; i++) {
        static struct gen g;
        tsr_ctx *c = test_ctx();
        if (!CHECK(random_program(c, &g))) return;
        for (enum emit_for what = EMIT_FOR_CORE; what <= EMIT_FOR_HOST; what++) {
            test_case("program %d for a %s", i, what == EMIT_FOR_CORE ? "core" : "host");
            CHECK(torture(render, &(struct doomed){g.p, what}) > 20);
        }
        tsr_tile_free(g.p);
        test_ctx_close(c);
    }
}

/* What no store depends on is not in the text, and operands of a product are neither copied nor is its sum. */
TEST(text_has_what_is_needed) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = tsr_tile_new(c, "needed");
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"),
        y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "y");
    tsr_tv rows = tsr_tile_arg(p, TSR_I64, "rows"), f0 = tsr_tile_int(p, TSR_F32, 0);
    tsr_tv zero = tsr_tile_int(p, TSR_I64, 0), eight = tsr_tile_int(p, TSR_I64, 8), one = tsr_tile_int(p, TSR_I64, 1);
    tsr_tile_block b = {.rank = 2, .extent = {8, 8}, .base = zero, .stride = {eight, one},
        .lo = {TSR_TV_NONE, TSR_TV_NONE}, .hi = {rows, TSR_TV_NONE}};
    tsr_tile_elem1(p, TSR_S_EXP, tsr_tile_load(p, x, &b, TSR_TV_NONE));
    tsr_tv sum = tsr_tile_broadcast(p, f0, 2, (int64_t[]){8, 8}), next;
    tsr_tile_for(p, zero, eight, one, 1, &sum, &next);
    next = tsr_tile_dot(p, tsr_tile_load(p, x, &b, f0), tsr_tile_load(p, x, &b, TSR_TV_NONE), next);
    tsr_tile_yield(p, 1, &next);
    tsr_tile_end(p, 1, &next);
    tsr_tile_store(p, y, &b, next);
    struct emit_plan k;
    struct str text;
    str_init(&text, c);
    tsr_tile_finish(p);
    if (CHECK_OK(c) && CHECK(emit_plan_init(&k, c, p, EMIT_FOR_HOST))) {
        emit_c_kernel(&text, &k, "k");
        const char *in_loop = strstr(text.s, "struct tsr_matrix");
        CHECK_MSG(!strstr(text.s, "exp"), "%s", text.s);
        CHECK_MSG(strstr(text.s, "tsr_window") == NULL, "%s", text.s);
        if (CHECK_MSG(in_loop != NULL, "%s", text.s)) CHECK_MSG(!strstr(in_loop, "j++"), "%s", text.s);
        emit_plan_release(&k);
    }
    str_release(&text);
    tsr_tile_free(p);
    test_ctx_close(c);
}
