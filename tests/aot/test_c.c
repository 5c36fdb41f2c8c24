/* test_c.c: C files: the text builds without a warning that counts, needs nothing, and computes the VM's bits.
 *
 * The graphs of graphs.inc become one C file each. Each compiler that is there builds them all with one driver, and
 * what
 * the program writes is compared with tsr_run on the same inputs, bit for bit: gcc, clang and tcc for this machine,
 * with
 * and without an instruction for a * b + c; Debian's cross compilers for aarch64 and riscv64, whose programs run under
 * qemu. -DTSR_FAST_FMA=1 gives up bits and is held to 1e-5. A machine whose VM has no such instruction itself has other
 * bits and skips. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "graph/ref.h"
#include "harness.h"
#include "run/aot.h"
#include "run/engine.h"
#include "tessera/tessera.h"
#include "tile/tile.h"
#include "graphs.inc"

enum { BATCH = 5, ARGS = 128 };

struct case_of {
    tsr_fn *fn;
    int nin, nout;
    size_t in_bytes[ARGS], out_bytes[RESULTS];
    tsr_node *out[RESULTS];
};
static struct case_of cases[GRAPHS];
static char folder[64];

static void write_blob(FILE *f, tsr_ctx *c, tsr_node *n, size_t bytes) {
    void *p = mem_zalloc(c, bytes + 1);
    if (p && !tsr_read(c, n, p, bytes)) CHECK(fwrite(p, 1, bytes, f) == bytes);
    mem_free(c, p, bytes + 1);
}

/* One graph: its file, its inputs behind the others', its results from the VM. */
static bool prepare(tsr_ctx *c, int g, FILE *in) {
    struct case_of *k = &cases[g];
    char path[128], name[40];
    struct aot_info info;
    tsr_node *arg[ARGS];
    k->fn = graph_fn(c, &graphs[g]);
    if (!k->fn) return CHECK_OK(c);
    snprintf(path, sizeof path, "%s/%s.c", folder, graphs[g].name);
    snprintf(name, sizeof name, "%s", graphs[g].name);
    struct aot_size size = {"B", BATCH};
    struct aot_opts o = {.path = path, .name = name, .source = "a graph of the tests", .nsize = 1, .size = &size};
    struct aot_entry entry = {"run", "the graph", k->fn};
    if (!CHECK_EQ(aot_c(c, &o, 1, &entry, &info), TSR_OK)) return CHECK_OK(c);
    k->nin = tsr_fn_params(k->fn), k->nout = tsr_fn_results(k->fn);
    for (int i = 0; i < k->nin; i++) {
        arg[i] = graph_arg(c, tsr_fn_param_type(k->fn, i), BATCH);
        type_bytes(tsr_node_type(arg[i]), &k->in_bytes[i]);
        write_blob(in, c, arg[i], k->in_bytes[i]);
    }
    if (!CHECK_EQ(tsr_run(c, k->fn, k->nin, arg, k->out), TSR_OK)) return CHECK_OK(c);
    for (int i = 0; i < k->nout; i++) type_bytes(tsr_node_type(k->out[i]), &k->out_bytes[i]);
    return CHECK_OK(c);
}

/* some: without the functions of all dtypes but f32; for compilers that differ from another one by a flag. */
static const struct compiler {
    const char *what, *command, *flags, *runner, *package;
    bool exact, some;
} compilers[] = {
    {"gcc", "gcc", "-O2", "", "gcc", true, false},
    {"gcc, fma", "gcc", "-O2 -mfma", "", "gcc", true, true},
    {"gcc, by integers", "gcc", "-O2 -DTSR_HARD_F64=0", "", "gcc", true, true},
    {"gcc, fast fma", "gcc", "-O2 -DTSR_FAST_FMA=1", "", "gcc", false, true},
    {"gcc -O3 -flto", "gcc", "-O3 -flto -mavx2 -mfma", "", "gcc", true, true},
    {"clang, fma", "clang", "-O2 -mfma", "", "clang", true, true},
    {"tcc", "tcc", "", "", "tcc", true, false},
    {"aarch64", "aarch64-linux-gnu-gcc", "-O2 -static", "qemu-aarch64",
        "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user", true, true},
    {"riscv64", "riscv64-linux-gnu-gcc", "-O2 -static", "qemu-riscv64",
        "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user", true, true},
};

static bool takes_part(const struct compiler *k, int g) {
    return !k->some || g == 0 || strstr(graphs[g].name, "functions") == NULL;
}

/* main(): every graph on its inputs from in.bin, results to out.bin. */
static void write_driver(const struct compiler *c) {
    char path[128];
    snprintf(path, sizeof path, "%s/main.c", folder);
    FILE *f = fopen(path, "w");
    fprintf(f, "#include <stdio.h>\n#include <stdlib.h>\n");
    for (int g = 0; g < GRAPHS; g++)
        if (takes_part(c, g)) fprintf(f, "#include \"%s.h\"\n", graphs[g].name);
    fprintf(f, "static FILE *from, *to;\n"
               "static void *get(size_t n) { void *p = calloc(1, n + 64); if (fread(p, 1, n, from) != n) exit(3); "
                   "return p; }\n"
               "static void put(const void *p, size_t n) { if (fwrite(p, 1, n, to) != n) exit(4); }\n"
               "int main(int argc, char **argv) {\n    if (argc != 3 || !(from = fopen(argv[1], \"rb\")) || "
               "!(to = fopen(argv[2], \"wb\"))) return 2;\n");
    for (int g = 0; g < GRAPHS; g++) {
        const struct case_of *k = &cases[g];
        fprintf(f, "    {\n        const void *in[%d];\n        void *out[%d];\n", k->nin + 1, k->nout + 1);
        for (int i = 0; i < k->nin; i++) fprintf(f, "        in[%d] = get(%zu);\n", i, k->in_bytes[i]);
        for (int i = 0; i < k->nout; i++) fprintf(f, "        out[%d] = calloc(1, %zu);\n", i, k->out_bytes[i] + 64);
        if (takes_part(c, g)) fprintf(f, "        if (%s_run(in, out)) return 1;\n", graphs[g].name);
        else fprintf(f, "        (void)in;\n");
        for (int i = 0; i < k->nout; i++) fprintf(f, "        put(out[%d], %zu);\n", i, k->out_bytes[i]);
        fprintf(f, "    }\n");
    }
    fprintf(f, "    return fclose(to) != 0;\n}\n");
    fclose(f);
}

static void check_result(tsr_ctx *c, int g, int i, const void *got, bool exact) {
    const struct case_of *k = &cases[g];
    const tsr_type *t = tsr_node_type(k->out[i]);
    size_t bytes = k->out_bytes[i];
    void *want = mem_zalloc(c, bytes + 1);
    int64_t count = 1;
    for (int j = 0; j < t->rank; j++) count *= t->extent[j]->value;
    CHECK_EQ(tsr_read(c, k->out[i], want, bytes), TSR_OK);
    if (exact) {
        int64_t n = differing(t->dtype, count, got, want);
        CHECK_MSG(n == 0, "%s: result %d (%s): %lld of %lld elements differ", graphs[g].name, i, type_text(c, t),
            (long long)n, (long long)count);
    } else if (t->dtype == TSR_F32 && strstr(graphs[g].name, "functions") == NULL)
        CHECK_F32(got, want, (size_t)count, 1e-5, 1e-6);
    mem_free(c, want, bytes + 1);
}

static void check_all(tsr_ctx *c, const struct compiler *k) {
    char path[128];
    snprintf(path, sizeof path, "%s/out.bin", folder);
    FILE *f = fopen(path, "rb");
    if (!CHECK(f != NULL)) return;
    for (int g = 0; g < GRAPHS; g++)
        for (int i = 0; i < cases[g].nout; i++) {
            size_t n = cases[g].out_bytes[i];
            void *got = mem_zalloc(c, n + 1);
            if (CHECK(fread(got, 1, n, f) == n) && takes_part(k, g)) check_result(c, g, i, got, k->exact);
            mem_free(c, got, n + 1);
        }
    fclose(f);
}

static bool there(const char *program) {
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

/* A compiler without the headers of its machine's library is not there either. */
static bool compiles(const char *compiler) {
    char command[320];
    snprintf(command, sizeof command, "cd %s && echo '#include <stdlib.h>' >t.c && %s -c -o t.o t.c 2>/dev/null && "
        "rm t.c t.o", folder, compiler);
    return there(compiler) && system(command) == 0;
}

static void build_and_run(tsr_ctx *c, const struct compiler *k) {
    char command[4096], files[1024] = "main.c";
    const char *strict = strcmp(k->command, "tcc") ? "-std=c99 -pedantic-errors -Werror -Wall -Wextra "
        "-ffp-contract=off -fno-math-errno -fno-strict-aliasing" : "";
    write_driver(k);
    for (int g = 0; g < GRAPHS; g++)
        if (takes_part(k, g)) snprintf(files + strlen(files), sizeof files - strlen(files), " %s.c", graphs[g].name);
    snprintf(command, sizeof command, "cd %s && echo %s | xargs -n 1 -P 4 %s %s %s -c >log 2>&1 && %s %s *.o -o "
        "program "
        "2>>log || { head -20 log; exit 1; }", folder, files, k->command, strict, k->flags, k->command, k->flags);
    if (!CHECK_MSG(system(command) == 0, "%s does not build", k->what)) return;
    snprintf(command, sizeof command, "cd %s && rm -f out.bin && %s ./program in.bin out.bin && rm -f *.o program",
        folder,
        k->runner);
    if (CHECK_MSG(system(command) == 0, "%s does not run", k->what)) check_all(c, k);
}

TEST(every_compiler_gives_the_bits) {
    tsr_ctx *c = test_ctx();
    char path[128];
    snprintf(folder, sizeof folder, "/tmp/tessera-aot-XXXXXX");
    if (cpu_isa() < CPU_AVX2) SKIP("the VM of a machine without fused multiply-add has other bits");
    if (!CHECK(mkdtemp(folder) != NULL)) return;
    snprintf(path, sizeof path, "%s/in.bin", folder);
    FILE *in = fopen(path, "wb");
    bool ok = in != NULL;
    for (int g = 0; g < GRAPHS && ok; g++) {
        test_case("text of %s", graphs[g].name);
        ok = prepare(c, g, in);
    }
    if (in) fclose(in);
    for (size_t i = 0; ok && i < sizeof compilers / sizeof *compilers; i++) {
        const struct compiler *k = &compilers[i];
        test_case("%s", k->what);
        if (!compiles(k->command) || (*k->runner && !there(k->runner))) test_skip("not here: apt-get install %s",
            k->package);
        else build_and_run(c, k);
    }
    for (int g = 0; g < GRAPHS; g++) tsr_fn_free(c, cases[g].fn);
    snprintf(path, sizeof path, "rm -rf %s", folder);
    if (!getenv("TSR_TEST_KEEP")) CHECK_EQ(system(path), 0);
}
