/* test_fast_fma.c: what -DTSR_FAST_FMA=1 costs: every elementwise function of floats, with and without.
 *
 * One C file has them all, on thousands of values each: bit patterns of every magnitude, and numbers of order 1. Built
 * for a machine without a fused multiply-add it has the VM's bits; with the switch f64 rounds products and sums, f32
 * computes both in f64, and the worst distance of each function, in units in the last place, is printed: docs/aot.md
 * has those of 200,000 values. Functions of f32 stay within 1. The f64 function fma has no bound: its product may
 * cancel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "harness.h"
#include "run/aot.h"
#include "tessera/prim.h"
#include "tessera/run.h"
#include "tile/tile.h"

enum { N = 40000, FNS = 200 };
#define MOST_F32 1.0
#define MOST_F64 4.0
#define MOST_F64_NEAR_ZEROS 64.0 /* lgamma, digamma */

struct all {
    tsr_dtype dtype;
    int n;
    tsr_scalar fn[FNS];
    tsr_node *out[FNS];
    tsr_fn *f;
    const char *folder;
};

/* Those that give the dtype itself, in whose units a distance is. */
static bool build(tsr_ctx *c, struct all *a) {
    const tsr_type *t = tsr_type_dims(c, a->dtype, 1, (int64_t[]){N});
    if (tsr_fn_begin(c, "functions")) return false;
    tsr_node *x[3];
    for (int i = 0; i < 3; i++) x[i] = tsr_param(c, t, NULL);
    for (int fn = 0; fn < TSR_SCALAR_COUNT; fn++) {
        if (fn == TSR_S_SELECT || !tile_scalar_admits((tsr_scalar)fn, a->dtype)) continue;
        if (fn == TSR_S_FMA && a->dtype == TSR_F64) continue;
        tsr_node *y = tsr_prim_elem(c, (tsr_scalar)fn, tile_scalar[fn].arity, x);
        if (!tsr_is_poison(y) && tsr_node_type(y) == t) a->fn[a->n] = (tsr_scalar)fn, a->out[a->n++] = y;
    }
    a->f = tsr_fn_end(c, a->n, a->out);
    return CHECK_OK(c) && a->f;
}

static size_t width(const struct all *a) { return a->dtype == TSR_F32 ? 4 : 8; }

static double any_number(void) {
    switch (test_int(0, 3)) {
        case 0: return test_normal();
        case 1: return test_uniform(-40, 40);
        case 2: return 1 + test_normal() * 1e-3;
        default: return 0;
    }
}

static void fill(const struct all *a, void *p) {
    for (int i = 0; i < N; i++) {
        double v = any_number();
        uint64_t bits = rng_u64(test_rng());
        float narrow = (float)v;
        if (a->dtype == TSR_F32) memcpy((float *)p + i, v ? (void *)&narrow : (void *)&bits, 4);
        else memcpy((double *)p + i, v ? (void *)&v : (void *)&bits, 8);
    }
}

static bool write_driver(const struct all *a) {
    char path[1100];
    snprintf(path, sizeof path, "%s/main.c", a->folder);
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fprintf(f, "#include <stdio.h>\n#include \"all.h\"\nstatic double in[3][%d], out[%d][%d];\n"
        "int main(void) {\n    const void *x[3];\n    void *y[%d];\n"
        "    for (int i = 0; i < 3; i++) if (fread(in[i], %zu, %d, stdin) != %d) return 2; else x[i] = in[i];\n"
        "    for (int i = 0; i < %d; i++) y[i] = out[i];\n    if (all_run(x, y)) return 3;\n"
        "    for (int i = 0; i < %d; i++) fwrite(out[i], %zu, %d, stdout);\n    return 0;\n}\n",
        N, a->n, N, a->n, width(a), N, N, a->n, a->n, width(a), N);
    return fclose(f) == 0;
}

static bool write_all(tsr_ctx *c, struct all *a) {
    char path[1100];
    struct aot_info info;
    snprintf(path, sizeof path, "%s/all.c", a->folder);
    struct aot_opts o = {.path = path, .name = "all", .source = "functions of the tests"};
    struct aot_entry entry = {"run", "all functions", a->f};
    return CHECK_EQ(aot_c(c, &o, 1, &entry, &info), TSR_OK) && CHECK(write_driver(a));
}

/* The VM's results stand in a->out from here on. */
static bool run_vm(tsr_ctx *c, struct all *a) {
    static double p[N];
    char path[1100];
    tsr_node *x[3];
    snprintf(path, sizeof path, "%s/in.bin", a->folder);
    FILE *f = fopen(path, "wb");
    if (!CHECK(f != NULL)) return false;
    for (int i = 0; i < 3; i++) {
        fill(a, p);
        fwrite(p, width(a), N, f);
        x[i] = tsr_tensor(c, a->dtype, 1, (int64_t[]){N}, p);
    }
    return CHECK(fclose(f) == 0) && CHECK_EQ(tsr_run(c, a->f, 3, x, a->out), TSR_OK);
}

/* They cross zero where their terms cancel: below 1 they are measured in units of 1. (f32 rounds those of f64.) */
static bool has_zeros(const struct all *a, tsr_scalar fn) {
    return a->dtype == TSR_F64 && (fn == TSR_S_LGAMMA || fn == TSR_S_DIGAMMA);
}
static double most_of(const struct all *a, tsr_scalar fn) {
    return a->dtype == TSR_F32 ? MOST_F32 : has_zeros(a, fn) ? MOST_F64_NEAR_ZEROS : MOST_F64;
}

static double apart(const struct all *a, tsr_scalar fn, double got, double want) {
    if (has_zeros(a, fn) && fabs(want) < 1) return fabs(got - want) / 0x1p-52;
    return a->dtype == TSR_F32 ? test_ulps32((float)got, (float)want) : test_ulps64(got, want);
}

static double worst_of(const struct all *a, tsr_scalar fn, const void *got, const void *want) {
    double worst = 0;
    for (int i = 0; i < N; i++) {
        double d = a->dtype == TSR_F32 ? apart(a, fn, ((const float *)got)[i], ((const float *)want)[i])
            : apart(a, fn, ((const double *)got)[i], ((const double *)want)[i]);
        worst = d > worst ? d : worst;
    }
    return worst;
}

static void compare(tsr_ctx *c, const struct all *a, bool fast) {
    static double got[N], want[N];
    char path[1100];
    double most = 0;
    snprintf(path, sizeof path, "%s/out.bin", a->folder);
    FILE *f = fopen(path, "rb");
    if (!CHECK(f != NULL)) return;
    for (int i = 0; i < a->n; i++) {
        const char *name = tile_scalar[a->fn[i]].name;
        if (!CHECK(fread(got, width(a), N, f) == N) || tsr_read(c, a->out[i], want, N * width(a))) break;
        double worst = worst_of(a, a->fn[i], got, want);
        CHECK_MSG(worst <= (fast ? most_of(a, a->fn[i]) : 0), "%s: %g ulps", name, worst);
        if (worst > 0) printf("    %s %s: %g ulps\n", tsr_dtype_name(a->dtype), name, worst);
        most = worst > most ? worst : most;
    }
    printf("%s, %d functions, %s: %g ulps at most\n", tsr_dtype_name(a->dtype), a->n, fast ? "TSR_FAST_FMA" : "exact",
        most);
    fclose(f);
}

static void build_and_compare(tsr_ctx *c, const struct all *a, bool fast) {
    char command[1400];
    test_case("%s %s", tsr_dtype_name(a->dtype), fast ? "fast" : "exact");
    snprintf(command, sizeof command, "cd %s && gcc -std=c99 -O2 -w -ffp-contract=off -fno-math-errno "
        "-fno-strict-aliasing %s all.c main.c -o program && ./program <in.bin >out.bin", a->folder,
        fast ? "-DTSR_FAST_FMA=1" : "");
    if (CHECK_EQ(system(command), 0)) compare(c, a, fast);
}

static void check(tsr_dtype t) {
    struct all a = {.dtype = t, .folder = test_path("%s", tsr_dtype_name(t))};
    tsr_ctx *c = test_ctx();
    if (cpu_isa() < CPU_AVX2) SKIP("the VM of a machine without fused multiply-add has other bits");
    if (system("command -v gcc >/dev/null 2>&1")) SKIP("needs gcc");
    if (!CHECK_EQ(mkdir(a.folder, 0700), 0)) return;
    bool ok = build(c, &a) && write_all(c, &a) && run_vm(c, &a);
    for (int fast = 0; ok && fast < 2; fast++) build_and_compare(c, &a, fast);
    tsr_fn_free(c, a.f);
}

TEST(f32) { check(TSR_F32); }
TEST(f64) { check(TSR_F64); }
