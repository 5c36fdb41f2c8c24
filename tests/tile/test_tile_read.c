/* The reader of tile programs: the programs of docs/tile.md read and run, wrong text is refused with line and column,
 * and no mutation of a good text does worse than an error. */
#include "harness.h"

#include <math.h>
#include <stdlib.h>

#include "base/sys.h"
#include "tile/vm.h"

/* The text of docs/tile.md, found from the root of the sources (where the tests run). */
static char *manual(tsr_ctx *c) {
    struct file_map f;
    if (file_map(c, "docs/tile.md", &f) != TSR_OK) return NULL;
    char *all = malloc(f.n + 1);
    memcpy(all, f.p, f.n);
    all[f.n] = 0;
    file_unmap(&f);
    return all;
}

/* The example of docs/tile.md that starts with `tile "name"`: its indented lines. */
static char *example(tsr_ctx *c, const char *name) {
    char start[64], *all = manual(c), *text = NULL;
    snprintf(start, sizeof start, "    tile \"%s\" {\n", name);
    char *from = all ? strstr(all, start) : NULL, *to = from ? strstr(from, "\n    }\n") : NULL;
    if (to) {
        to[6] = 0;
        text = malloc(strlen(from) + 1);
        memcpy(text, from, strlen(from) + 1);
    }
    free(all);
    return text;
}

static tsr_tile *read_example(tsr_ctx *c, const char *name) {
    char *text = example(c, name);
    if (!CHECK_MSG(text != NULL, "docs/tile.md has no example \"%s\"", name)) return NULL;
    tsr_tile *p = tsr_tile_read(c, text, name);
    CHECK_OK(c);
    free(text);
    return p;
}

TEST(documented_softmax_runs) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = read_example(c, "softmax");
    if (!p) return;
    struct vm_code *k = vm_compile(c, p);
    enum { ROWS = 5, N = 777 };
    static float x[ROWS * N], y[ROWS * N], want[ROWS * N];
    for (int i = 0; i < ROWS * N; i++) x[i] = (float)test_normal(), y[i] = NAN;
    for (int r = 0; r < ROWS; r++) {
        double sum = 0, most = -INFINITY;
        for (int i = 0; i < N; i++) most = fmax(most, (double)x[r * N + i]);
        for (int i = 0; i < N; i++) sum += exp((double)x[r * N + i] - most);
        for (int i = 0; i < N; i++) want[r * N + i] = (float)(exp((double)x[r * N + i] - most) / sum);
    }
    union vm_arg a[3] = {{.buf = {x, sizeof x}}, {.buf = {y, sizeof y}}, {.i64 = N}};
    CHECK_EQ(vm_run(c, k, (int64_t[]){ROWS, 1, 1}, a, ctx_pool(c)), TSR_OK);
    CHECK_OK(c);
    CHECK_F32(y, want, ROWS * N, 1e-5, 0);
    vm_free(k);
    tsr_tile_free(p);
}

TEST(documented_matmul_runs) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = read_example(c, "matmul");
    if (!p) return;
    struct vm_code *k = vm_compile(c, p);
    enum { M = 70, N = 131, K = 600 };
    static float a[M * K], b[K * N], o[M * N], want[M * N];
    for (int i = 0; i < M * K; i++) a[i] = (float)test_normal();
    for (int i = 0; i < K * N; i++) b[i] = (float)test_normal();
    for (int i = 0; i < M * N; i++) o[i] = NAN;
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            float sum = 0;
            for (int k0 = 0; k0 < K; k0 += 256) {
                float chunk = 0;
                for (int q = k0; q < K && q < k0 + 256; q++) chunk = fmaf(a[m * K + q], b[q * N + n], chunk);
                for (int q = K; q < k0 + 256; q++) chunk = fmaf(0, 0, chunk); /* what lies outside counts as zeros */
                sum = sum + chunk;
            }
            want[m * N + n] = sum;
        }
    union vm_arg arg[6] = {{.buf = {a, sizeof a}}, {.buf = {b, sizeof b}}, {.buf = {o, sizeof o}}, {.i64 = M},
        {.i64 = N}, {.i64 = K}};
    CHECK_EQ(vm_run(c, k, (int64_t[]){(M + 63) / 64, (N + 63) / 64, 1}, arg, ctx_pool(c)), TSR_OK);
    CHECK_BYTES(o, want, sizeof o);
    vm_free(k);
    tsr_tile_free(p);
}

TEST(errors_say_where) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "t:1:1: expected tile"},
        {"tile x {", "t:1:6: expected \""},
        {"tile \"x\" {\n", "t:2:1: expected an op, found ''"},
        {"tile \"x\" {\n  %0 = frob 1\n}", "t:2:8: expected an op, found 'frob'"},
        {"tile \"x\" {\n  %0 = pid 0\n  %0 = pid 1\n}", "t:3:3: expected a new name"},
        {"tile \"x\" {\n %1 = neg %0 }", "t:2:11: expected a value that is defined above, found '%0'"},
        {"tile \"x\" {\n %1 = const f99 0 }", "t:2:13: expected a dtype, found 'f99'"},
        {"tile \"x\" {\n %1 = const i32 1.5 }", "expected an integer of 64 bits"},
        {"tile \"x\" {\n %1 = const i64 99999999999999999999 }", "expected an integer of 64 bits"},
        {"tile \"x\" {\n %1 = iota f32 [1, 2, 3, 4, 5, 6, 7] axis 0 }", "at most 6 axes"},
        {"tile \"x\" {\n %1 = pid 7 }", "t:2: tile program 'x': pid: grid axis 7"},
        {"tile \"x\" {\n pid 0 }", "one result before ="},
        {"tile \"x\" {\n %0 = pid 0\n %1 = reduce mean axis 0 %0 }", "t:3:14: expected sum, prod"},
        {"tile \"x\" { } x", "the end of the text"},
        {"tile \"x\" {\n %0 = const bool 1\n if %0 {\n }", "expected an op"},
        {"tile \"x\" {\n } else {", "the end of the text"},
        {"tile \"x", "the closing \""},
        {"tile \"\\u00e9\" {}", "as itself"},
        {"tile \"\\q\" {}", "an escape"},
        {"tile \"x\" { %0 = buf in f32 \"x\" %1 = load %0 [3] at %0 stride (_) lo (_) hi (_) other _ }", "TSR_TV_NONE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case("%s", cases[i].text);
        tsr_ctx *c = test_ctx();
        CHECK(tsr_tile_read(c, cases[i].text, "t") == NULL);
        CHECK(tsr_error_status(c) == TSR_EFORMAT || tsr_error_status(c) == TSR_EINVAL);
        CHECK_CONTAINS(tsr_error_message(c), cases[i].says);
        tsr_error_clear(c);
        test_ctx_close(c);
    }
}

/* What reads, prints and reads again as the same program. */
static void survive(tsr_ctx *c, const char *text) {
    tsr_tile *p = tsr_tile_read(c, text, "mutant");
    if (!p) {
        CHECK(tsr_error_status(c) != TSR_OK);
        tsr_error_clear(c);
        return;
    }
    char *again = tsr_tile_print(p);
    tsr_tile *q = tsr_tile_read(c, again, "again");
    CHECK(q && tile_equal(p, q));
    tsr_text_free(c, again);
    tsr_tile_free(p), tsr_tile_free(q);
}

TEST(mutations_do_no_harm) {
    static const char bytes[] = "%_[](){},=->0123456789 \n\"abcdefiklmnoprstuxyz#\\";
    tsr_ctx *c = test_ctx();
    char *text = example(c, "matmul");
    if (!CHECK(text != NULL)) return;
    size_t n = strlen(text);
    char *copy = malloc(n + 1);
    for (int i = 0; i < 3000; i++) {
        memcpy(copy, text, n + 1);
        for (int64_t k = test_int(1, 3); k > 0; k--)
            copy[test_int(0, (int64_t)n - 1)] = bytes[test_int(0, (int64_t)sizeof bytes - 2)];
        if (test_int(0, 9) == 0) copy[test_int(0, (int64_t)n - 1)] = 0;
        survive(c, copy);
    }
    free(copy), free(text);
}

/* Names that are no UTF-8, or too long, are mended when a program is built, so that its
 * text reads back as the same program. */
TEST(names_survive) {
    tsr_ctx *c = test_ctx();
    char name[400];
    for (int i = 0; i < 200; i++) {
        test_case("name %d", i);
        size_t n = (size_t)test_int(0, 399);
        for (size_t k = 0; k < n; k++) name[k] = (char)(test_int(0, 2) ? test_int(1, 255) : test_int(0xc0, 0xf7));
        name[n] = 0;
        tsr_tile *p = tsr_tile_new(c, name);
        tsr_tile_arg(p, TSR_I64, name);
        CHECK_EQ(tsr_tile_finish(p), TSR_OK);
        char *text = tsr_tile_print(p), *again = NULL;
        tsr_tile *q = tsr_tile_read(c, text, "names");
        if (CHECK_OK(c)) again = tsr_tile_print(q), CHECK_STR(again, text), tsr_text_free(c, again);
        tsr_text_free(c, text), tsr_tile_free(p), tsr_tile_free(q);
    }
}
