/* jit_cache.c: spawns the compiler; keeps shared objects under the hash of what made them.
 *
 * An entry is a shared object with a footer of 32 bytes behind it (a mark, the length and the hash of what is in front
 * of it): a loader ignores what follows the object, and a damaged or half-written entry is found out before anything in
 * it runs. Entries are written beside their final name and renamed, so processes that share the folder see whole
 * entries or none. When the folder passes its bound the entries that were used longest ago go. */
#include "device/cpu/jit_cache.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/map.h"
#include "base/sys.h"

extern char **environ;

#define FOLDER_MOST ((int64_t)256 << 20)
static const char mark[16] = "tessera-kernels";

struct footer {
    char mark[16];
    uint64_t length, hash;
};

/* Flags of the tier (no loop vectorisation: docs/design.md says why): what vmath's contract asks for, and the
 * level that the VM's own kernels use here. */
static const char *const level_flag[CPU_ISA_COUNT] = {"-march=x86-64-v2", "-march=x86-64-v3", "-march=x86-64-v4"};
static const char *const flags[] = {"-std=gnu11", "-O3", "-w", "-fPIC", "-shared", "-ffp-contract=off",
    "-fno-tree-loop-vectorize", "-fno-strict-aliasing", "-fno-math-errno", "-fno-trapping-math",
    "-fno-semantic-interposition", "-fno-asynchronous-unwind-tables"};
enum { FLAGS = sizeof flags / sizeof *flags };

/* ---- the compiler ---- */

static bool find_on_path(const char *name, char *out, size_t room) {
    const char *path = env_str("PATH");
    if (strchr(name, '/')) return snprintf(out, room, "%s", name) < (int)room && access(out, X_OK) == 0;
    while (*path) {
        size_t n = strcspn(path, ":");
        if (n && snprintf(out, room, "%.*s/%s", (int)n, path, name) < (int)room && access(out, X_OK) == 0) return true;
        path += n + (path[n] == ':');
    }
    return false;
}

static bool make_folder(const char *path) {
    char part[512];
    for (size_t i = 1; i < sizeof part && path[i - 1]; i++) {
        if (path[i] != '/' && path[i]) continue;
        snprintf(part, sizeof part, "%.*s", (int)i, path);
        if (mkdir(part, 0700) && errno != EEXIST) return false;
    }
    return access(path, W_OK) == 0;
}

static void find_folder(struct jit_tool *t) {
    const char *own = env_str("TSR_CACHE"), *base = env_str("XDG_CACHE_HOME"), *home = env_str("HOME");
    int n = 0;
    if (*own) n = snprintf(t->folder, sizeof t->folder, "%s", own);
    else if (*base) n = snprintf(t->folder, sizeof t->folder, "%s/tessera", base);
    else if (*home) n = snprintf(t->folder, sizeof t->folder, "%s/.cache/tessera", home);
    if (n <= 0 || (size_t)n >= sizeof t->folder - 80 || !make_folder(t->folder)) t->folder[0] = 0;
}

bool jit_tool_find(struct jit_tool *t) {
    static const char *const known[] = {"cc", "gcc", "clang"};
    struct stat s;
    memset(t, 0, sizeof *t);
    bool found = *env_str("TSR_CC") && find_on_path(env_str("TSR_CC"), t->compiler, sizeof t->compiler);
    for (size_t i = 0; !*env_str("TSR_CC") && !found && i < sizeof known / sizeof *known; i++)
        found = find_on_path(known[i], t->compiler, sizeof t->compiler);
    if (!found || stat(t->compiler, &s)) return false;
    snprintf(t->identity, sizeof t->identity, "%lld %lld %llu", (long long)s.st_size, (long long)s.st_mtime,
        (unsigned long long)s.st_ino);
    find_folder(t);
    return true;
}

/* Runs the compiler on `from`; its words go to `log`. */
static bool run_compiler(struct jit_tool *t, const char *from, const char *to, const char *log) {
    const char *argv[FLAGS + 8] = {t->compiler};
    int n = 1, status = 0;
    pid_t pid;
    posix_spawn_file_actions_t io;
#if defined(__x86_64__)
    argv[n++] = level_flag[cpu_isa()];
    if (cpu_isa() == CPU_AVX512) argv[n++] = "-mprefer-vector-width=512";
#endif
    for (int i = 0; i < FLAGS; i++) argv[n++] = flags[i];
    argv[n++] = "-o", argv[n++] = to, argv[n++] = from;
    if (posix_spawn_file_actions_init(&io)) return false;
    posix_spawn_file_actions_addopen(&io, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&io, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&io, 1, 2);
    int rc = posix_spawn(&pid, t->compiler, &io, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&io);
    if (rc) return false;
    if (t->background) setpriority(PRIO_PROCESS, (id_t)pid, 19); /* the VM is computing meanwhile */
    atomic_store(&t->child, pid);
    if (atomic_load(&t->stopped)) kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    atomic_store(&t->child, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void jit_tool_stop(struct jit_tool *t) {
    atomic_store(&t->stopped, true);
    int pid = atomic_load(&t->child);
    if (pid > 0) kill(pid, SIGTERM);
}

/* ---- files ---- */

struct bytes {
    char *p; /* NULL: cannot be read, or empty */
    size_t n;
};

static struct bytes map_bytes(const char *path) {
    struct bytes b = {NULL, 0};
    struct stat s;
    int f = open(path, O_RDONLY);
    if (f < 0) return b;
    if (fstat(f, &s) == 0 && s.st_size > 0) {
        void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, f, 0);
        if (p != MAP_FAILED) b.p = p, b.n = (size_t)s.st_size;
    }
    close(f);
    return b;
}

static void unmap_bytes(struct bytes b) {
    if (b.p) munmap(b.p, b.n);
}

static bool is_whole(const char *path) {
    struct bytes b = map_bytes(path);
    struct footer f;
    bool ok = b.n > sizeof f;
    if (ok) {
        size_t n = b.n - sizeof f;
        memcpy(&f, b.p + n, sizeof f);
        ok = memcmp(f.mark, mark, sizeof mark) == 0 && f.length == n && f.hash == hash_bytes(0, b.p, n);
    }
    unmap_bytes(b);
    return ok;
}

static bool seal(const char *path) {
    struct bytes b = map_bytes(path);
    struct footer foot = {.length = b.n, .hash = b.p ? hash_bytes(0, b.p, b.n) : 0};
    FILE *f = b.p ? fopen(path, "ab") : NULL;
    unmap_bytes(b);
    memcpy(foot.mark, mark, sizeof mark);
    bool ok = f && fwrite(&foot, sizeof foot, 1, f) == 1;
    return f && fclose(f) == 0 && ok;
}

static bool write_text(const char *path, const char *prelude, const char *text) {
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    bool ok = fputs(prelude, f) >= 0 && fputs(text, f) >= 0;
    return fclose(f) == 0 && ok;
}

/* Removes the entry that was used longest ago, until the folder fits. */
static void shrink(const char *folder) {
    for (;;) {
        char oldest[768] = "", path[768];
        int64_t total = 0, when = INT64_MAX;
        DIR *d = opendir(folder);
        for (struct dirent *e; d && (e = readdir(d));) {
            struct stat s;
            size_t n = strlen(e->d_name);
            if (n < 3 || strcmp(e->d_name + n - 3, ".so") != 0) continue;
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            if (stat(path, &s)) continue;
            total += s.st_size;
            if (s.st_mtime < when) when = s.st_mtime, memcpy(oldest, path, sizeof path);
        }
        if (d) closedir(d);
        if (total <= FOLDER_MOST || !*oldest || unlink(oldest)) return;
    }
}

static void say_why(const char *log) {
    if (!log_on(1)) return;
    struct bytes b = map_bytes(log);
    log_line(1, "the C compiler failed; the VM goes on: %.*s", b.n < 2000 ? (int)b.n : 2000, b.p ? b.p : "");
    unmap_bytes(b);
}

static void *compile(struct jit_tool *t, const char *prelude, const char *text, const char *entry) {
    char dir[600], from[640], to[640], log[640];
    snprintf(dir, sizeof dir, "%s/build-XXXXXX", *t->folder ? t->folder : "/tmp");
    if (!mkdtemp(dir)) return NULL;
    snprintf(from, sizeof from, "%s/k.c", dir);
    snprintf(to, sizeof to, "%s/k.so", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    double start = clock_seconds();
    bool built = write_text(from, prelude, text) && run_compiler(t, from, to, log);
    void *so = NULL;
    if (built) log_line(1, "C tier: %zu bytes of text compiled in %.2f s", strlen(text), clock_seconds() - start);
    if (built && *entry && seal(to) && rename(to, entry) == 0) {
        so = dlopen(entry, RTLD_NOW | RTLD_LOCAL);
        shrink(t->folder);
    }
    else if (built) so = dlopen(to, RTLD_NOW | RTLD_LOCAL);
    else if (!atomic_load(&t->stopped)) say_why(log);
    unlink(from), unlink(to), unlink(log), rmdir(dir);
    return so;
}

void *jit_tool_build(struct jit_tool *t, const char *prelude, const char *text) {
    char entry[600] = "";
    if (atomic_load(&t->stopped)) return NULL;
    if (*t->folder) {
        uint64_t key[2];
        for (int i = 0; i < 2; i++) {
            key[i] = hash_str(hash_str(hash_str((uint64_t)i + 1, prelude), text), t->identity);
            key[i] = hash_mix(hash_str(key[i], t->compiler), (uint64_t)cpu_isa());
            for (int f = 0; f < FLAGS; f++) key[i] = hash_str(key[i], flags[f]);
        }
        snprintf(entry, sizeof entry, "%s/%016" PRIx64 "%016" PRIx64 ".so", t->folder, key[0], key[1]);
        if (is_whole(entry)) {
            void *so = dlopen(entry, RTLD_NOW | RTLD_LOCAL);
            if (so) return utimensat(AT_FDCWD, entry, NULL, 0), so;
        }
        unlink(entry);
    }
    return compile(t, prelude, text, entry);
}
