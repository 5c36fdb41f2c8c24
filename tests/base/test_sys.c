/* test_sys.c: mapped files and their errors, files written whole or not at all (missing folder, full disk, refused
 * memory), the environment table, the log, the processor.
 *
 * The full disk is real: RLIMIT_FSIZE makes the kernel refuse the write that passes the limit, as a full file system
 * does, on any machine and without privileges. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/vec.h"
#include "harness.h"

TEST(map_contents) {
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 100000};
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        static unsigned char bytes[100000];
        struct file_map m;
        test_case("%zu bytes", sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++) bytes[k] = (unsigned char)test_int(0, 255);
        const char *path = test_path("map.bin");
        test_write_file(path, bytes, sizes[i]);
        CHECK_EQ(file_map(c, path, &m), TSR_OK);
        CHECK_EQ(m.n, sizes[i]);
        CHECK_BYTES(m.p, bytes, sizes[i]);
        file_unmap(&m);
        CHECK(!m.p && !m.n);
        file_unmap(&m);
    }
}

TEST(map_errors) {
    tsr_ctx *c = test_ctx();
    struct file_map m = {(const uint8_t *)"x", 1};
    test_case("missing");
    CHECK_EQ(file_map(c, test_path("none.bin"), &m), TSR_ENOTFOUND);
    CHECK(!m.p && !m.n);
    CHECK_ERROR(c, TSR_ENOTFOUND, "none.bin");
    test_case("through a file");
    test_write_file(test_path("plain"), "x", 1);
    CHECK_EQ(file_map(c, test_path("plain/inside"), &m), TSR_ENOTFOUND);
    CHECK_ERROR(c, TSR_ENOTFOUND, "plain/inside");
    test_case("a folder");
    CHECK_EQ(file_map(c, test_path("."), &m), TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "directory");
    test_case("a pipe without a writer does not hang");
    const char *fifo = test_path("fifo");
    CHECK_EQ(mkfifo(fifo, 0600), 0);
    CHECK_EQ(file_map(c, fifo, &m), TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "regular file");
    test_case("a device");
    CHECK_EQ(file_map(c, "/dev/null", &m), TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "/dev/null");
    test_case("no permission");
    const char *secret = test_path("secret");
    test_write_file(secret, "x", 1);
    CHECK(!chmod(secret, 0) && !chmod(test_path("."), 0755));
    bool root = geteuid() == 0;
    if (root) CHECK_EQ(seteuid(65534), 0); /* the superuser may read everything: be nobody for a moment */
    CHECK_EQ(file_map(c, secret, &m), TSR_EIO);
    if (root) CHECK_EQ(seteuid(0), 0);
    CHECK_ERROR(c, TSR_EIO, "permissions");
}

/* ---- writing
 * -------------------------------------------------------------------------------------------------------- */

/* Names in the folder of `path` that begin with its own name: the file and temporary files left behind. */
static int files_like(const char *path) {
    char folder[1024];
    const char *name = strrchr(path, '/') + 1;
    snprintf(folder, sizeof folder, "%.*s", (int)(name - path), path);
    DIR *d = opendir(folder);
    int count = 0;
    for (struct dirent *e; d && (e = readdir(d));) count += !strncmp(e->d_name, name, strlen(name));
    if (d) closedir(d);
    return count;
}

static bool content_is(tsr_ctx *c, const char *path, const char *want) {
    struct file_map m;
    if (!CHECK_EQ(file_map(c, path, &m), TSR_OK)) return false;
    bool same = m.n == strlen(want) && (!m.n || !memcmp(m.p, want, m.n));
    file_unmap(&m);
    return CHECK(same);
}

static tsr_status write_text(tsr_ctx *c, const char *path, const char *text) {
    struct file_out o;
    tsr_status s = file_out_open(c, path, &o);
    if (s == TSR_OK) s = file_out_write(&o, text, strlen(text));
    if (s == TSR_OK) return file_out_commit(&o);
    file_out_abort(&o);
    return s;
}

TEST(write_and_replace) {
    tsr_ctx *c = test_ctx();
    const char *path = test_path("out.txt");
    test_case("new");
    CHECK_EQ(write_text(c, path, "first"), TSR_OK);
    content_is(c, path, "first");
    test_case("replaced");
    CHECK_EQ(write_text(c, path, "second, longer"), TSR_OK);
    content_is(c, path, "second, longer");
    test_case("empty");
    CHECK_EQ(write_text(c, path, ""), TSR_OK);
    content_is(c, path, "");
    CHECK_EQ(files_like(path), 1);
    test_case("relative name");
    int here = open(".", O_RDONLY);
    CHECK_EQ(chdir(test_path(".")), 0);
    CHECK_EQ(write_text(c, "relative.txt", "text"), TSR_OK);
    CHECK_EQ(fchdir(here), 0);
    close(here);
    content_is(c, test_path("relative.txt"), "text");
    CHECK_OK(c);
}

TEST(abort_leaves_the_old) {
    tsr_ctx *c = test_ctx();
    const char *path = test_path("kept.txt");
    struct file_out o;
    CHECK_EQ(write_text(c, path, "old"), TSR_OK);
    CHECK_EQ(file_out_open(c, path, &o), TSR_OK);
    CHECK_EQ(file_out_write(&o, "new", 3), TSR_OK);
    content_is(c, path, "old"); /* until the commit nothing is seen under the final name */
    CHECK_EQ(files_like(path), 2);
    file_out_abort(&o);
    file_out_abort(&o); /* a released one is accepted */
    content_is(c, path, "old");
    CHECK_EQ(files_like(path), 1);
}

TEST(two_writers_at_once) {
    tsr_ctx *c = test_ctx();
    const char *path = test_path("race.txt");
    struct file_out a, b;
    CHECK_EQ(file_out_open(c, path, &a), TSR_OK);
    CHECK_EQ(file_out_open(c, path, &b), TSR_OK);
    CHECK_EQ(file_out_write(&a, "aaaa", 4), TSR_OK);
    CHECK_EQ(file_out_write(&b, "bb", 2), TSR_OK);
    CHECK_EQ(file_out_commit(&a), TSR_OK);
    content_is(c, path, "aaaa");
    CHECK_EQ(file_out_commit(&b), TSR_OK);
    content_is(c, path, "bb");
    CHECK_EQ(files_like(path), 1);
}

TEST(write_errors) {
    tsr_ctx *c = test_ctx();
    struct file_out o;
    test_case("missing folder");
    CHECK_EQ(file_out_open(c, test_path("no/such/folder.txt"), &o), TSR_ENOTFOUND);
    CHECK_ERROR(c, TSR_ENOTFOUND, "no/such/folder.txt");
    file_out_abort(&o);
    test_case("folder removed before the commit");
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", test_path("gone"));
    CHECK_EQ(mkdir(folder, 0700), 0);
    CHECK_EQ(file_out_open(c, test_path("gone/out.txt"), &o), TSR_OK);
    CHECK_EQ(file_out_write(&o, "x", 1), TSR_OK);
    CHECK_EQ(unlink(o.tmp), 0);
    CHECK_EQ(rmdir(folder), 0);
    CHECK_EQ(file_out_commit(&o), TSR_ENOTFOUND);
    CHECK_ERROR(c, TSR_ENOTFOUND, "gone/out.txt");
    test_case("the name of a folder");
    CHECK_EQ(mkdir(test_path("taken"), 0700), 0);
    CHECK_EQ(write_text(c, test_path("taken"), "x"), TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "taken");
    CHECK_EQ(files_like(test_path("taken")), 1);
}

/* `bytes` are written in pieces with files limited to `limit` bytes; the old content must stay when that fails. */
static void write_on_full_disk(tsr_ctx *c, size_t bytes, size_t piece, size_t limit) {
    static char data[70000];
    struct rlimit before, low;
    const char *path = test_path("full.bin");
    CHECK_EQ(write_text(c, path, "old"), TSR_OK);
    getrlimit(RLIMIT_FSIZE, &before);
    low = (struct rlimit){limit, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
    struct file_out o;
    tsr_status s = file_out_open(c, path, &o);
    for (size_t at = 0; s == TSR_OK && at < bytes; at += piece) s = file_out_write(&o, data, piece);
    if (s == TSR_OK) s = file_out_commit(&o);
    else file_out_abort(&o);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK_EQ(files_like(path), 1);
    if (bytes <= limit) {
        CHECK_EQ(s, TSR_OK);
        return;
    }
    CHECK_EQ(s, TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "free some space");
    content_is(c, path, "old");
}

TEST(full_disk) {
    static const struct { size_t bytes, piece, limit; } row[] = {
        {100, 100, 50},         /* noticed by the flush at commit */
        {70000, 7, 4096},       /* noticed by a write in between */
        {70000, 70000, 65536},  /* a single large write */
        {70000, 35000, 0},      /* not a byte */
        {5000, 100, 5000},      /* fits exactly */
    };
    tsr_ctx *c = test_ctx();
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN); /* else the limit is a signal, and only then an error */
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        test_case("%zu bytes in pieces of %zu, room for %zu", row[i].bytes, row[i].piece, row[i].limit);
        write_on_full_disk(c, row[i].bytes, row[i].piece, row[i].limit);
    }
    signal(SIGXFSZ, old);
}

static bool write_once(tsr_ctx *c, void *arg) { return write_text(c, arg, "torture") == TSR_OK; }

TEST(torture_file_out) {
    char path[1024];
    snprintf(path, sizeof path, "%s", test_path("torture.txt"));
    CHECK(torture(write_once, path) >= 4);
    CHECK_EQ(files_like(path), 1);
}

/* ---- environment, log, processor
 * ------------------------------------------------------------------------------------- */

TEST(environment_table) {
    int n = 0;
    for (const tsr_env_info *e; (e = tsr_env_at(n)); n++) {
        test_case("%s", e->name);
        CHECK(!strncmp(e->name, "TSR_", 4) || strstr("NO_COLOR TERM PATH HOME VIRTUAL_ENV XDG_CACHE_HOME", e->name));
        CHECK(strlen(e->help) > 10);
        for (int i = 0; i < n; i++) CHECK(strcmp(tsr_env_at(i)->name, e->name));
        char saved[4096];
        const char *now = getenv(e->name);
        snprintf(saved, sizeof saved, "%s", now ? now : "");
        setenv(e->name, "", 1);
        CHECK_STR(env_str(e->name), e->fallback);
        unsetenv(e->name);
        CHECK_STR(env_str(e->name), e->fallback);
        setenv(e->name, "17", 1);
        CHECK_STR(env_str(e->name), "17");
        CHECK_EQ(env_int(e->name), 17);
        if (now) setenv(e->name, saved, 1);
        else unsetenv(e->name);
    }
    test_case("past the ends");
    CHECK(n > 0 && !tsr_env_at(n) && !tsr_env_at(-1));
}

TEST(threads_from_environment) {
    setenv("TSR_THREADS", "5", 1);
    tsr_ctx *c = test_ctx_with(NULL);
    CHECK_EQ(tsr_threads(c), 5);
    tsr_ctx *d = test_ctx_with(&(tsr_config){.threads = 2});
    CHECK_EQ(tsr_threads(d), 2);
    unsetenv("TSR_THREADS");
    tsr_ctx *e = test_ctx_with(NULL);
    CHECK_EQ(tsr_threads(e), cpu_count());
}

/* What log_line writes at each level, read back through a file in the place of standard error. */
TEST(log_levels) {
    tsr_ctx *c = test_ctx();
    int keep = dup(2);
    for (int level = 0; level < 4; level++) {
        char text[2] = {(char)('0' + level), 0}, want[100] = "";
        const char *path = test_path("log.txt");
        test_case("TSR_DEBUG=%d", level);
        setenv("TSR_DEBUG", text, 1);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 2);
        for (int i = 1; i < 4; i++) log_line(i, "line %d", i);
        dup2(keep, 2);
        close(fd);
        for (int i = 1; i <= level; i++) snprintf(want + strlen(want), 50, "tessera: line %d\n", i);
        content_is(c, path, want);
        CHECK(log_on(level) && !log_on(level + 1));
    }
    close(keep);
    unsetenv("TSR_DEBUG");
}

TEST(instruction_sets) {
    unsetenv("TSR_ISA");
    enum cpu_isa best = cpu_isa();
    CHECK((int)best >= 0 && best < CPU_ISA_COUNT);
    for (int i = 0; i < CPU_ISA_COUNT; i++) {
        test_case("TSR_ISA=%s", cpu_isa_name((enum cpu_isa)i));
        setenv("TSR_ISA", cpu_isa_name((enum cpu_isa)i), 1);
        CHECK_EQ(cpu_isa(), i < (int)best ? i : (int)best); /* lowers, never raises */
    }
    unsetenv("TSR_ISA");
    test_case("what the compiler's own detection says");
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    CHECK_EQ(best, avx512 ? CPU_AVX512 : avx2 ? CPU_AVX2 : CPU_GENERIC);
#else
    CHECK_EQ(best, CPU_GENERIC);
#endif
}

TEST(clock_goes_forward) {
    double last = clock_seconds();
    for (int i = 0; i < 1000; i++) {
        double now = clock_seconds();
        CHECK(now >= last);
        last = now;
    }
    CHECK(cpu_count() >= 1);
}

/* Stores go past the caches when a result is greater than half the last one, so its size must be that of one cache. */
TEST(last_cache_is_what_the_kernel_says) {
    unsigned long kib = 0;
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r");
    if (f && fscanf(f, "%luK", &kib) == 1) CHECK_EQ(cpu_cache_bytes(), kib << 10);
    if (f) fclose(f);
    CHECK(cpu_cache_bytes() >= 1 << 12);
}

/* A decimal comma would make files that other machines read wrong. */
TEST(numbers_have_a_point_in_every_locale) {
    static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "pt_BR.UTF-8", "es_ES.UTF-8"};
    const char *found = NULL;
    for (int i = 0; i < 5 && !found; i++) found = setlocale(LC_NUMERIC, comma[i]);
    tsr_ctx *c = test_ctx();
    struct str s;
    str_init(&s, c);
    str_printf(&s, "%g %a", 0.5, 1.5);
    CHECK_STR(s.s, "0.5 0x1.8p+0");
    str_release(&s);
    char *end;
    CHECK(locale_strtod("0.25;", &end) == 0.25 && *end == ';');
    setlocale(LC_NUMERIC, "C");
    if (!found) printf("numbers_have_a_point_in_every_locale: no locale with a comma is installed, tried in C\n");
}
