/* test_library.c: the library's text cut to what a kernel uses: forms written by hand, then vmath itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit/emit.h"
#include "emit/library.h"
#include "harness.h"
#include "tile/vmath_text.h"

extern const char tsr_text_prelude_c[];

static const char forms[] =
    "/* An essay.\n * Of two lines. */\n"
    "\n"
    "typedef float real;\n"
    "/* A pair. */\n"
    "typedef struct pair { real a, b; } pair;\n"
    "union bits { real f; unsigned u; };\n"
    "#define ONE 1.0f\n"
    "#define TWO (ONE + ONE)\n"
    "#define TWICE(T, x)  \\\n"
    "    static T twice_##T(T x) { return x * (T)TWO; } /* not here */ \\\n"
    "    static T four_##T(T v) { \\\n"
    "        return twice_##T(twice_##T(v)); \\\n"
    "    }\n"
    "static const real table[3] = {1.5e-3f, 0x1p3f, 2};\n"
    "#ifdef FAST\n"
    "#define MUL(a, b) fast(a, b)\n"
    "static real fast(real a, real b) { return a * b; }\n"
    "#else\n"
    "#define MUL(a, b) ((a) * (b))\n"
    "#endif\n"
    "#pragma keep this\n"
    "TWICE(real, x)\n"
    "TWICE(int, x); /* trailing */\n"
    "static __attribute__((noinline, unused)) pair make(real a, real b) {\n"
    "    pair p = {a, b}; /* four_int is only named here */\n"
    "    return p;\n"
    "}\n"
    "static struct pair *same(struct pair *p) { return \"four_int\"[0] ? p : 0; }\n"
    "static real third(void) { return MUL(table[2], ONE); }\n";

static char *put(tsr_ctx *c, const char *used) {
    const char *part[1] = {forms};
    struct str s;
    str_init(&s, c);
    CHECK(emit_library_put(&s, c, 1, part, used));
    char *copy = strdup(s.s);
    str_release(&s);
    return copy;
}

static void check_put(tsr_ctx *c, const char *used, const char *want) {
    char *got = put(c, used);
    CHECK_MSG(strcmp(got, want) == 0, "for '%s' got:\n%s\nwant:\n%s", used, got, want);
    free(got);
}

TEST(library_forms) {
    tsr_ctx *c = test_ctx();
    check_put(c, "nothing + 1", "#pragma keep this\n");
    check_put(c, "real", "typedef float real;\n#pragma keep this\n");
    check_put(c, "pair x;", "typedef float real;\n/* A pair. */\ntypedef struct pair { real a, b; } pair;\n"
        "#pragma keep this\n");
    check_put(c, "union bits b;", "typedef float real;\nunion bits { real f; unsigned u; };\n#pragma keep this\n");
    check_put(c, "twice_int(3)", "#define ONE 1.0f\n#define TWO (ONE + ONE)\n#pragma keep this\n"
        "static int twice_int(int x) { return x * (int)TWO; }\n");
    check_put(c, "four_int(3)", "#define ONE 1.0f\n#define TWO (ONE + ONE)\n#pragma keep this\n"
        "static int twice_int(int x) { return x * (int)TWO; }\n"
        "static int four_int(int v) {\n    return twice_int(twice_int(v));\n}\n");
    check_put(c, "make(1, 2)", "typedef float real;\n/* A pair. */\ntypedef struct pair { real a, b; } pair;\n"
        "#pragma keep this\n"
        "static __attribute__((noinline, unused)) pair make(real a, real b) {\n"
        "    pair p = {a, b}; /* four_int is only named here */\n    return p;\n}\n");
    check_put(c, "same(p)", "typedef float real;\n/* A pair. */\ntypedef struct pair { real a, b; } pair;\n"
        "#pragma keep this\n"
        "static struct pair *same(struct pair *p) { return \"four_int\"[0] ? p : 0; }\n");
    check_put(c, "third()", "typedef float real;\n#define ONE 1.0f\n"
        "static const real table[3] = {1.5e-3f, 0x1p3f, 2};\n"
        "#ifdef FAST\n#define MUL(a, b) fast(a, b)\nstatic real fast(real a, real b) { return a * b; }\n#else\n"
        "#define MUL(a, b) ((a) * (b))\n#endif\n#pragma keep this\n"
        "static real third(void) { return MUL(table[2], ONE); }\n");
    check_put(c, "fast(1, 2) /* table */", "typedef float real;\n"
        "#ifdef FAST\n#define MUL(a, b) fast(a, b)\nstatic real fast(real a, real b) { return a * b; }\n#else\n"
        "#define MUL(a, b) ((a) * (b))\n#endif\n#pragma keep this\n");
}

/* ---- vmath ---- */

static const char *const suffix[] = {"f64", "f32", "f16", "bf16", "f8e4m3", "f8e5m2", "i64", "i32", "i16", "i8", "i4",
    "u64", "u32", "u16", "u8", "u4", "bool", "c64", "c128"};
enum { SUFFIXES = sizeof suffix / sizeof *suffix };

static bool cuts(tsr_ctx *c, const char *used, size_t *bytes) {
#define X(part) tsr_text_vmath_##part,
    const char *part[] = {tsr_text_prelude_c, VMATH_PARTS(X)};
#undef X
    struct str s;
    str_init(&s, c);
    bool ok = emit_library_put(&s, c, (int)(sizeof part / sizeof *part), part, used);
    char path[] = "/tmp/tessera-library-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) return str_release(&s), false;
    fprintf(f, "%s\n%s\n", s.s, used);
    fclose(f);
    char command[256];
    snprintf(command, sizeof command, "cc -x c -std=gnu11 -w -Werror=implicit-function-declaration -fsyntax-only %s",
        path);
    ok = ok && system(command) == 0;
    remove(path);
    *bytes = s.n;
    str_release(&s);
    return ok;
}

static const tsr_dtype dtypes[] = {TSR_F64, TSR_F32, TSR_F16, TSR_BF16, TSR_F8E4M3, TSR_F8E5M2, TSR_I64, TSR_I32,
    TSR_I16, TSR_I8, TSR_I4, TSR_U64, TSR_U32, TSR_U16, TSR_U8, TSR_U4, TSR_BOOL, TSR_C64, TSR_C128};

/* A function that takes the address of everything there is for dtype t (small floats have casts alone). */
static void use_all(struct str *s, int t) {
    str_printf(s, "void f_%s(void) {\n", suffix[t]);
    for (int i = 0; i < TSR_SCALAR_COUNT && !(t >= 2 && t <= 5); i++)
        if (i != TSR_S_SELECT && tile_scalar_admits((tsr_scalar)i, dtypes[t]))
            str_printf(s, "    (void)&vm_%s_%s;\n", tile_scalar[i].name, suffix[t]);
    for (int u = 0; u < SUFFIXES; u++) str_printf(s, "    (void)&vm_cast_%s_%s;\n", suffix[t], suffix[u]);
    str_put(s, "}\n");
}

/* Every function and cast compiles with what was cut for it and nothing else. */
TEST(library_vmath) {
    tsr_ctx *c = test_ctx();
    if (system("cc --version >/dev/null 2>&1")) SKIP("no C compiler: cc is not on PATH");
    struct str all;
    size_t bytes, most = 0;
    str_init(&all, c);
    for (int t = 0; t < SUFFIXES; t++) {
        struct str one;
        str_init(&one, c);
        use_all(&one, t);
        CHECK_MSG(cuts(c, one.s, &bytes), "what was cut for %s does not compile", suffix[t]);
        most = bytes > most ? bytes : most;
        str_put(&all, one.s);
        str_release(&one);
    }
    CHECK_MSG(cuts(c, all.s, &bytes), "what was cut for everything does not compile");
    CHECK(bytes > most);
    CHECK(cuts(c, "float g(float x, float y) { return vm_add_f32(x, y); }", &bytes));
    CHECK_MSG(bytes < 4000, "%zu bytes for one addition", bytes);
    str_release(&all);
}

static bool put_once(tsr_ctx *c, void *arg) {
    const char *part[1] = {forms};
    struct str s;
    (void)arg;
    str_init(&s, c);
    bool ok = emit_library_put(&s, c, 1, part, "make four_real third");
    str_release(&s);
    return ok;
}

TEST(library_torture) { CHECK(torture(put_once, NULL) > 5); }
