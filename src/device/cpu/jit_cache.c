/* jit_cache.c: spawns the compiler; keeps shared objects in the cache of compiled code (cache.h) under the hash of what
 * made them. */
#define _GNU_SOURCE /* addclosefrom_np */
#include "device/cpu/jit_cache.h"

#include <dirent.h>
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
#include <time.h>
#include <unistd.h>

#include "base/sys.h"

extern char **environ;
static const char suffix[] = ".so";

/* Flags of the tier: what vmath's contract asks for, and the level that the VM's own kernels use here. Without
 * -fno-trapping-math gcc vectorises no function that chooses between computed values; with it gcc 12 takes
 * (float)(int)x for trunc(x), which is -0 where it should be 0: emit/plan.c keeps the two conversions apart. Loops
 * unrolled whole before they could be vectorised stay scalar (eight times as slow in a gradient of softmax) and
 * take a quarter of the compiler's time, so only short ones are. What -O3 does beyond -O2 and vectors with a cost model
 * takes a fifth of that time and makes nothing faster but products, which ask for it themselves (helpers_c.inc); with
 * -O2's own cost model loops of unknown length stay scalar. */
static const char *const level_flag[CPU_ISA_COUNT] = {"-march=x86-64-v2", "-march=x86-64-v3", "-march=x86-64-v4"};
static const char *const flags[] = {"-std=gnu11", "-O2", "-ftree-vectorize", "-fvect-cost-model", "-w", "-fPIC",
    "-shared", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-math-errno", "-fno-trapping-math",
    "-fno-semantic-interposition", "-fno-asynchronous-unwind-tables", "--param=max-completely-peeled-insns=32",
    "-fschedule-insns"};
enum { FLAGS = sizeof flags / sizeof *flags, PATH_ROOM = 900, NICE = 7, ENV_MOST = 512 };

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

/* A folder of files. */
static void remove_folder(const char *dir) {
    char path[PATH_ROOM];
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name) < (int)sizeof path) unlink(path);
    if (d) closedir(d);
    rmdir(dir);
}

bool jit_tool_find(struct jit_tool *t) {
    static const char *const known[] = {"cc", "gcc", "clang", "tcc"};
    struct stat s;
    memset(t, 0, sizeof *t);
    bool found = *env_str("TSR_CC") && find_on_path(env_str("TSR_CC"), t->compiler, sizeof t->compiler);
    for (size_t i = 0; !*env_str("TSR_CC") && !found && i < sizeof known / sizeof *known; i++)
        found = find_on_path(known[i], t->compiler, sizeof t->compiler);
    if (!found || stat(t->compiler, &s)) return false;
    snprintf(t->identity, sizeof t->identity, "%lld %lld %llu", (long long)s.st_size, (long long)s.st_mtime,
        (unsigned long long)s.st_ino);
    return true;
}

/* Folders that a process which was killed left behind; the compiler of one that lives has no need of an hour. */
static void sweep(const char *folder) {
    char path[PATH_ROOM];
    struct stat s;
    DIR *d = *folder ? opendir(folder) : NULL;
    time_t now = time(NULL);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "build-", 6) == 0 && snprintf(path, sizeof path, "%s/%s", folder, e->d_name) > 0 &&
            lstat(path, &s) == 0 && S_ISDIR(s.st_mode) && now - s.st_mtime > 3600) remove_folder(path);
    if (d) closedir(d);
}

void jit_tool_start(struct jit_tool *t) {
    cache_open(&t->cache);
    sweep(t->cache.folder);
}

/* The program's environment, but temporary files of the compiler go to `dir`, which is removed whole. */
static char **own_environ(const char *dir, char room[PATH_ROOM + 16], char *e[ENV_MOST]) {
    int to = 0;
    for (int i = 0; environ[i]; i++) {
        if (to == ENV_MOST - 2) return environ;
        if (strncmp(environ[i], "TMPDIR=", 7) != 0) e[to++] = environ[i];
    }
    snprintf(room, PATH_ROOM + 16, "TMPDIR=%s", dir);
    e[to++] = room, e[to] = NULL;
    return e;
}

/* A process group of its own, so that all of the compiler's processes can be ended at once; no signal blocked or
 * ignored that the program blocks or ignores; none of its files open. */
static bool spawn(struct jit_tool *t, const char *const *argv, const char *dir, const char *log, pid_t *pid) {
    posix_spawn_file_actions_t io;
    posix_spawnattr_t how;
    sigset_t none, all;
    char room[PATH_ROOM + 16], *env[ENV_MOST];
    if (posix_spawn_file_actions_init(&io)) return false;
    posix_spawnattr_init(&how);
    sigemptyset(&none), sigfillset(&all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawn_file_actions_addopen(&io, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&io, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&io, 1, 2);
#if defined(__GLIBC_PREREQ) && __GLIBC_PREREQ(2, 34)
    posix_spawn_file_actions_addclosefrom_np(&io, 3);
#endif
    int rc = posix_spawn(pid, t->compiler, &io, &how, (char *const *)(uintptr_t)argv,
        own_environ(dir, room, env));
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&io);
    return rc == 0;
}

bool jit_tool_make(struct jit_tool *t, const char *from, const char *to, const char *log) {
    const char *argv[FLAGS + 10] = {t->compiler}, *slash = strrchr(log, '/');
    char stream[64]; /* as the VM: rows of larger buffers go past the caches */
    int n = 1, status = 0, rc;
    pid_t pid;
#if defined(__x86_64__)
    argv[n++] = level_flag[cpu_isa()];
    if (cpu_isa() == CPU_AVX512) argv[n++] = "-mprefer-vector-width=512";
    argv[n++] = cpu_isa() == CPU_GENERIC ? "-DTSR_HAS_FMA=0" : "-DTSR_HAS_FMA=1";
#endif
    snprintf(stream, sizeof stream, "-DTSR_STREAM_FROM=%zu", cpu_cache_bytes() / 2);
    argv[n++] = stream;
    for (int i = 0; i < FLAGS; i++) argv[n++] = flags[i];
    argv[n++] = "-o", argv[n++] = to, argv[n++] = from;
    char dir[PATH_ROOM]; /* where the compiler works: beside the log */
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - log) : 1, slash ? log : ".");
    if (!spawn(t, argv, dir, log, &pid)) return false;
    if (t->background) setpriority(PRIO_PROCESS, (id_t)pid, NICE); /* takes a sixth of what the VM computes on */
    atomic_store(&t->child, pid);
    if (atomic_load(&t->stopped)) kill(-pid, SIGKILL);
    while ((rc = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {}
    atomic_store(&t->child, 0);
    if (rc < 0) return !atomic_load(&t->stopped); /* a program that ignores SIGCHLD: what is there will show */
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void jit_tool_stop(struct jit_tool *t) {
    atomic_store(&t->stopped, true);
    int pid = atomic_load(&t->child);
    if (pid > 0) kill(-pid, SIGKILL);
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
    remove_folder(dir);
    return so;
}

void *jit_tool_build(struct jit_tool *t, const char *prelude, const char *text) {
    struct cache_key key = {{0, 0}};
    char entry[CACHE_PATH];
    if (atomic_load(&t->stopped)) return NULL;
    cache_key_code(&key, prelude), cache_key_code(&key, text);
    cache_key_text(&key, t->identity), cache_key_text(&key, t->compiler);
    cache_key_int(&key, cpu_isa()), cache_key_int(&key, (int64_t)cpu_cache_bytes());
    for (int i = 0; i < FLAGS; i++) cache_key_text(&key, flags[i]);
    if (cache_has(&t->cache, &key, suffix) && cache_path(&t->cache, &key, suffix, entry)) {
        void *so = open_object(entry);
        if (so) return so;
        cache_drop(&t->cache, &key, suffix);
    }
    return compile(t, prelude, text, &key);
}
