/* suite_check.h: the published suite on one tier, against the list of what is known to fail (docs/conformance.md).
 *
 * A line of that page "| `case` | tier | reason |" (tier: reference, vm or both) says that a case does not pass there.
 * The test fails when a case fails or is skipped that no line names, and when a case passes that a line does name: the
 * page is true on every run. */
#ifndef TESTS_FORMATS_SUITE_CHECK_H
#define TESTS_FORMATS_SUITE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "formats/stablehlo/conform.h"
#include "harness.h"
#include "suite.h"

struct known { char *text; const char *tier; int passed; };

/* Does a line of the page name this case for this tier? */
static inline bool known_to_fail(const struct known *k, const char *name) {
    char start[512];
    snprintf(start, sizeof start, "\n| `%s` | ", name);
    for (const char *at = strstr(k->text, start); at; at = strstr(at + 1, start)) {
        const char *tier = at + strlen(start);
        if (!strncmp(tier, "both |", 6) || (!strncmp(tier, k->tier, strlen(k->tier)))) return true;
    }
    return false;
}

static inline void judge(void *user, const struct conform_case *done) {
    struct known *k = user;
    bool good = done->outcome != CONFORM_FAILED && done->outcome != CONFORM_SKIPPED;
    bool known = known_to_fail(k, done->name);
    k->passed += done->outcome == CONFORM_PASSED;
    if (good != known) return;
    test_case("%s", done->name);
    CHECK_MSG(good, "%s", done->reason);
    CHECK_MSG(!known, "passes on the %s tier: take its line off docs/conformance.md", k->tier);
}

/* At least `least` cases must pass: an empty suite is no success. */
static inline void run_suite(const char *tier, const struct conform_options *o, int least) {
    const char *root = suite_find("stablehlo");
    if (!root) SKIP(SUITE_MISSING);
    size_t n;
    struct known k = {suite_read("docs/conformance.md", &n), tier, 0};
    if (!CHECK(k.text != NULL)) return;
    tsr_ctx *c = test_ctx();
    CHECK(!conform_run(c, root, o, judge, &k));
    CHECK_OK(c);
    test_case("enough cases pass");
    CHECK_MSG(k.passed >= least, "%d cases pass, at least %d should", k.passed, least);
    free(k.text);
}

#endif
