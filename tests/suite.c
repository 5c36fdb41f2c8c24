/* suite.c: suites found, unpacked and listed. An archive is unpacked beside its final place and renamed, so that
 * programs that run at once do not see halves of it. */
#include "suite.h"

#include "harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 1024 };
static char found[PATH_SIZE];

static int is_folder(const char *path) {
    struct stat s;
    return lstat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* The folder that holds unpacked archives: ours alone, 0 if it cannot be. */
static int cache_folder(char *out) {
    const char *tmp = getenv("TMPDIR");
    snprintf(out, PATH_SIZE, "%s/tessera-suites-%ld", tmp && *tmp ? tmp : "/tmp", (long)getuid());
    mkdir(out, 0700);
    struct stat s;
    return lstat(out, &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == getuid();
}

/* Unpacks NAME.tar.xz, which holds a folder NAME, to a place told by its size and time; 0 if it is not there. */
static int unpack(const char *folder, const char *name) {
    char archive[PATH_SIZE], cache[PATH_SIZE / 2], place[PATH_SIZE], fresh[PATH_SIZE], command[4 * PATH_SIZE];
    struct stat s;
    snprintf(archive, sizeof archive, "%s/%s.tar.xz", folder, name);
    if (stat(archive, &s) != 0) return 0;
    char root[PATH_SIZE];
    if (!cache_folder(root) || strlen(root) >= sizeof cache) return 0;
    memcpy(cache, root, strlen(root) + 1);
    snprintf(place, sizeof place, "%s/%s-%lld-%lld", cache, name, (long long)s.st_size, (long long)s.st_mtime);
    snprintf(found, sizeof found, "%.*s/%s", PATH_SIZE - 64, place, name);
    if (is_folder(found)) return 1;
    snprintf(fresh, sizeof fresh, "%s/fresh-%s-%ld", cache, name, (long)getpid());
    snprintf(command, sizeof command, "mkdir -p '%s' && tar -xJf '%s' -C '%s'", fresh, archive, fresh);
    if (system(command) != 0) return 0;
    if (rename(fresh, place) != 0) { /* another program was faster */
        snprintf(command, sizeof command, "rm -rf '%s'", fresh);
        if (system(command) != 0) return 0;
    }
    return is_folder(found);
}

const char *suite_find(const char *name) {
    const char *folder = getenv("TSR_SUITES");
    if (!folder || !*folder) folder = "../shared/suites";
    snprintf(found, sizeof found, "%s/%s", folder, name);
    if (is_folder(found) || unpack(folder, name)) return found;
    return NULL;
}

static void push(struct suite_files *f, const char *path) {
    char **grown = realloc(f->path, sizeof *grown * (size_t)(f->n + 1));
    char *copy = strdup(path);
    if (!grown || !copy) abort();
    f->path = grown;
    f->path[f->n++] = copy;
}

static void walk(struct suite_files *f, const char *folder, const char *suffix) {
    DIR *d = opendir(folder);
    if (!d) return;
    size_t ns = strlen(suffix);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[2 * PATH_SIZE];
        size_t n = strlen(e->d_name);
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (is_folder(path)) walk(f, path, suffix);
        else if (n >= ns && strcmp(e->d_name + n - ns, suffix) == 0) push(f, path);
    }
    closedir(d);
}

static int by_path(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

struct suite_files suite_list(const char *root, const char *folder, const char *suffix) {
    struct suite_files f = {0};
    char path[2 * PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", root, folder);
    walk(&f, path, suffix);
    if (!f.n) return f;
    qsort(f.path, (size_t)f.n, sizeof *f.path, by_path);
    f.name = malloc(sizeof *f.name * (size_t)f.n);
    if (!f.name) abort();
    for (int i = 0; i < f.n; i++) f.name[i] = f.path[i] + strlen(root) + 1;
    return f;
}

void suite_list_free(struct suite_files *f) {
    for (int i = 0; i < f->n; i++) free(f->path[i]);
    free(f->path);
    free(f->name);
    *f = (struct suite_files){0};
}

char *suite_read(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *p = NULL;
    long size = -1;
    if (fseek(f, 0, SEEK_END) == 0) size = ftell(f);
    rewind(f);
    if (size >= 0 && (p = malloc((size_t)size + 1))) {
        *n = fread(p, 1, (size_t)size, f);
        p[*n] = '\0';
    }
    fclose(f);
    return p;
}

void suite_each(const char *suite, const char *folder, const char *suffix, bool (*wanted)(const char *name),
    suite_visit *visit, void *user) {
    const char *root = suite_find(suite);
    if (!root) SKIP(SUITE_MISSING);
    struct suite_files f = suite_list(root, folder, suffix);
    for (int i = 0; i < f.n; i++) {
        if (!wanted(f.name[i])) continue;
        test_case("%s", f.name[i]);
        size_t n = 0;
        char *text = suite_read(f.path[i], &n);
        if (CHECK(text != NULL)) visit(user, f.name[i], text, n);
        free(text);
    }
    suite_list_free(&f);
}
