/* test_stablehlo_text.c: the text reader: every program of the suite, every way to write a constant, every error at its
 * place. */
#include <stdlib.h>

#include "formats/stablehlo/read.h"
#include "harness.h"
#include "suite.h"

/* ---- the suite -------------------------------------------------------------------------------------------------- */

/* Files whose point is that they are refused, or that mix in dialects with a syntax of their own. */
static bool is_ours(const char *name) {
    return !strstr(name, "invalid") && !strstr(name, "downgrade") && !strstr(name, "mixed");
}

/* A section that says it is wrong: a line "// expected-error". */
static bool says_wrong(const char *p, size_t n) {
    static const char mark[] = "expected-error";
    for (size_t i = 0; i + sizeof mark - 1 <= n; i++)
        if (memcmp(p + i, mark, sizeof mark - 1) == 0) return true;
    return false;
}

static void read_sections(tsr_ctx *c, const char *name, const char *text, size_t n) {
    size_t at = 0, length;
    const char *section;
    uint32_t line;
    while (hlo_split(text, n, &at, &section, &length, &line)) {
        if (says_wrong(section, length)) continue;
        struct hlo_module *m = hlo_read_section(c, name, section, length, line);
        CHECK_OK(c);
        CHECK(m != NULL);
        hlo_module_free(m);
    }
}

static void read_folder(const char *folder) {
    const char *root = suite_find("stablehlo");
    if (!root) SKIP(SUITE_MISSING);
    struct suite_files f = suite_list(root, folder, ".mlir");
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < f.n; i++) {
        if (!is_ours(f.name[i])) continue;
        test_case("%s", f.name[i]);
        size_t n = 0;
        char *text = suite_read(f.path[i], &n);
        if (CHECK(text != NULL)) read_sections(c, f.name[i], text, n);
        free(text);
    }
    suite_list_free(&f);
}

TEST(suite_testdata) { read_folder("testdata"); }
TEST(suite_interpret) { read_folder("tests/interpret"); }
TEST(suite_vhlo) { read_folder("tests/vhlo"); }
