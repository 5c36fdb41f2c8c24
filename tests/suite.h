/* suite.h: finding the suites that others wrote, and their files.
 *
 *     const char *root = suite_find("stablehlo");
 *     if (!root) SKIP(SUITE_MISSING);
 *     struct suite_files f = suite_list(root, "tests/interpret", ".mlir");   // all below that folder, sorted by path
 *     for (int i = 0; i < f.n; i++) ... f.path[i] ... f.name[i] ...
 *     suite_list_free(&f);
 *
 * A suite is looked for in the folder TSR_SUITES names, else in ../shared/suites: a folder of its name, or NAME.tar.xz,
 * which is unpacked once for all test programs of this user into the folder for temporary files. Nothing of a suite is
 * ever part of the project. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <stdbool.h>
#include <stddef.h>

#define SUITE_MISSING "no such suite in the folder TSR_SUITES names (default: ../shared/suites)"

const char *suite_find(const char *name); /* NULL: it is not there; valid until the next call */

struct suite_files {
    int n;
    char **path;       /* to open */
    const char **name; /* the same, from the suite's root on */
};
struct suite_files suite_list(const char *root, const char *folder, const char *suffix); /* n 0: none */
void suite_list_free(struct suite_files *f);

/* Each file of a folder of a suite whose name is wanted is a case: visit gets its text. The test is skipped where the
 * suite is missing. */
typedef void suite_visit(void *user, const char *name, char *text, size_t n);
void suite_each(const char *suite, const char *folder, const char *suffix, bool (*wanted)(const char *name),
    suite_visit *visit, void *user);

/* The bytes of a file, with a NUL after them; NULL: it cannot be read. Freed with free(). */
char *suite_read(const char *path, size_t *n);

#endif
