/* jit_cache.c: spawns the compiler; keeps shared objects in the cache of compiled code (cache.h) under the hash of what
 * made them. */
#include "device/cpu/jit_cache.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"

extern char **environ;
static const char suffix[] = ".so";

/* Flags of the tier: what vmath's contract asks for, and the level that the VM's own kernels use here. Not
 * -fno-trapping-math: gcc 12 then takes (float)(int)x for trunc(x), which is -0 where it should be 0. */
static const char *const level_flag[CPU_ISA_COUNT] = {"-march=x86-64-v2", "-march=x86-64-v3", "-march=x86-64-v4"};
static const char *const flags[] = {"-std=gnu11", "-O3", "-w", "-fPIC", "-shared", "-ffp-contract=off",
    "-fno-strict-aliasing", "-fno-math-errno", "-fno-semantic-interposition", "-fno-asynchronous-unwind-tables"};
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
    cache_open(&t->cache);
    return true;
}

bool jit_tool_make(struct jit_tool *t, const char *from, const char *to, const char *log) {
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

static bool write_text(const char *path, const char *prelude, const char *text) {
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    bool ok = fputs(prelude, f) >= 0 && fputs(text, f) >= 0;
    return fclose(f) == 0 && ok;
}

static void say_why(const char *log) {
    char words[2000];
    FILE *f = log_on(1) ? fopen(log, "rb") : NULL;
    if (!f) return;
    size_t n = fread(words, 1, sizeof words, f);
    fclose(f);
    log_line(1, "the C compiler failed; the VM goes on: %.*s", (int)n, words);
}

static void *open_object(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }

static void *compile(struct jit_tool *t, const char *prelude, const char *text, const struct cache_key *key) {
    char dir[600], from[640], to[640], log[640], entry[CACHE_PATH];
    snprintf(dir, sizeof dir, "%s/build-XXXXXX", *t->cache.folder ? t->cache.folder : "/tmp");
    if (!mkdtemp(dir)) return NULL;
    snprintf(from, sizeof from, "%s/k.c", dir);
    snprintf(to, sizeof to, "%s/k.so", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    double start = clock_seconds();
    bool built = write_text(from, prelude, text) && jit_tool_make(t, from, to, log);
    void *so = NULL;
    if (built) log_line(1, "C tier: %zu bytes of text compiled in %.2f s", strlen(text), clock_seconds() - start);
    if (built && cache_put_file(&t->cache, key, suffix, to) && cache_path(&t->cache, key, suffix, entry))
        so = open_object(entry);
    else if (built) so = open_object(to);
    else if (!atomic_load(&t->stopped)) say_why(log);
    unlink(from), unlink(to), unlink(log), rmdir(dir);
    return so;
}

void *jit_tool_build(struct jit_tool *t, const char *prelude, const char *text) {
    struct cache_key key = {{0, 0}};
    char entry[CACHE_PATH];
    if (atomic_load(&t->stopped)) return NULL;
    cache_key_code(&key, prelude), cache_key_code(&key, text);
    cache_key_text(&key, t->identity), cache_key_text(&key, t->compiler);
    cache_key_int(&key, cpu_isa());
    for (int i = 0; i < FLAGS; i++) cache_key_text(&key, flags[i]);
    if (cache_has(&t->cache, &key, suffix) && cache_path(&t->cache, &key, suffix, entry)) {
        void *so = open_object(entry);
        if (so) return so;
        cache_drop(&t->cache, &key, suffix);
    }
    return compile(t, prelude, text, &key);
}
