/* test_cache.c: the cache on disk gives back the bytes it was given or nothing: damage of every byte, a bound, a full
 * disk, processes that write and read the same entries. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "device/cache.h"
#include "harness.h"

static void open_at(struct cache *k, const char *name) {
    setenv("TSR_CACHE", test_path("%s", name), 1);
    cache_open(k);
    CHECK(*k->folder);
}

static struct cache_key key_of(int i) {
    struct cache_key key = {{0, 0}};
    cache_key_text(&key, "entry");
    cache_key_int(&key, i);
    return key;
}

static int files(const char *folder) {
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static bool holds(const struct cache *k, int i, const void *want, size_t n) {
    struct cache_blob b;
    struct cache_key key = key_of(i);
    bool ok = cache_get(k, &key, ".x", &b) && b.n == n && memcmp(b.p, want, n) == 0;
    cache_blob_release(&b);
    return ok;
}

TEST(entries_come_back) {
    struct cache k;
    char bytes[5000];
    open_at(&k, "deep/er/folder");
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)test_int(0, 255);
    for (int n = 1; n <= 5000; n += 833) {
        test_case("%d bytes", n);
        struct cache_key key = key_of(n);
        CHECK(!cache_has(&k, &key, ".x"));
        CHECK(cache_put(&k, &key, ".x", bytes, (size_t)n));
        CHECK(holds(&k, n, bytes, (size_t)n));
        CHECK(!cache_has(&k, &key, ".y"));
    }
    test_case("put again, drop");
    struct cache_key key = key_of(1);
    CHECK(cache_put(&k, &key, ".x", "other", 5) && holds(&k, 1, "other", 5));
    cache_drop(&k, &key, ".x");
    CHECK(!cache_has(&k, &key, ".x"));
    CHECK(!cache_put(&k, &key, ".x", "", 0));
    test_case("keys differ where parts do");
    struct cache_key a = {{0, 0}}, b = {{0, 0}}, c = {{0, 0}};
    cache_key_text(&a, "ab"), cache_key_text(&a, "c");
    cache_key_text(&b, "a"), cache_key_text(&b, "bc");
    cache_key_text(&c, "abc");
    struct cache_key p = {{0, 0}}, q = {{0, 0}}, r = {{0, 0}}, s = {{0, 0}};
    cache_key_code(&p, "x = 1; /* %12 exp */ y = 2;"), cache_key_code(&q, "x = 1; /* %3 mul */ y = 2;");
    cache_key_code(&r, "x = 1; /* %12 exp */ y = 3;"), cache_key_code(&s, "x = 1; /* %12 exp");
    CHECK(memcmp(&p, &q, sizeof p) == 0); /* comments do not count */
    CHECK(memcmp(&p, &r, sizeof p) != 0 && memcmp(&p, &s, sizeof p) != 0);
    CHECK(memcmp(&a, &b, sizeof a) && memcmp(&a, &c, sizeof a) && memcmp(&b, &c, sizeof b));
}

TEST(damage_is_found) {
    struct cache k;
    char path[CACHE_PATH], bytes[64];
    open_at(&k, "damage");
    struct cache_key key = key_of(7);
    memset(bytes, 'b', sizeof bytes);
    for (int at = 0; at < 64 + 32; at++) {
        test_case("byte %d changed", at);
        CHECK(cache_put(&k, &key, ".x", bytes, sizeof bytes) && cache_path(&k, &key, ".x", path));
        int f = open(path, O_RDWR);
        char old = 0;
        CHECK(f >= 0 && pread(f, &old, 1, at) == 1);
        old ^= 0x40;
        CHECK(pwrite(f, &old, 1, at) == 1);
        close(f);
        CHECK(!cache_has(&k, &key, ".x"));
        CHECK(access(path, F_OK) != 0); /* gone: the next one to ask builds it again */
    }
    for (int length = 0; length < 64 + 32; length++) {
        test_case("cut to %d bytes", length);
        CHECK(cache_put(&k, &key, ".x", bytes, sizeof bytes));
        CHECK_EQ(truncate(path, length), 0);
        CHECK(!cache_has(&k, &key, ".x"));
    }
    test_case("bytes behind it");
    CHECK(cache_put(&k, &key, ".x", bytes, sizeof bytes));
    CHECK_EQ(truncate(path, 64 + 33), 0);
    CHECK(!cache_has(&k, &key, ".x"));
}

static void age(const struct cache *k, const char *name, int i, int seconds) {
    char path[CACHE_PATH + 16];
    struct cache_key key = key_of(i);
    struct timespec t[2];
    if (name) snprintf(path, sizeof path, "%s/%s", k->folder, name);
    else cache_path(k, &key, ".x", path);
    clock_gettime(CLOCK_REALTIME, &t[0]);
    t[0].tv_sec -= seconds, t[1] = t[0];
    CHECK_EQ(utimensat(AT_FDCWD, path, t, 0), 0);
}

TEST(the_longest_unused_go) {
    struct cache k;
    char bytes[1000] = "entry";
    open_at(&k, "bound");
    k.most = 10 * 1032;
    for (int i = 0; i < 10; i++) {
        struct cache_key key = key_of(i);
        CHECK(cache_put(&k, &key, ".x", bytes, sizeof bytes));
        age(&k, NULL, i, 1000 - i);
    }
    CHECK_EQ(files(k.folder), 10);
    CHECK(holds(&k, 0, bytes, sizeof bytes)); /* used now: entry 1 is the oldest */
    test_write_file(test_path("bound/put-left1"), "x", 1);
    test_write_file(test_path("bound/put-young"), "x", 1);
    test_write_file(test_path("bound/notes.txt"), "not ours", 8);
    age(&k, "put-left1", 0, 3 * 24 * 3600), age(&k, "notes.txt", 0, 3 * 24 * 3600);
    for (int i = 10; i < 12; i++) {
        struct cache_key key = key_of(i);
        CHECK(cache_put(&k, &key, ".x", bytes, sizeof bytes));
    }
    for (int i = 0; i < 12; i++) {
        struct cache_key key = key_of(i);
        CHECK_MSG(cache_has(&k, &key, ".x") == (i != 1 && i != 2), "entry %d", i);
    }
    CHECK_EQ(files(k.folder), 10 + 2);
    CHECK(access(test_path("bound/put-left1"), F_OK) != 0);
    CHECK(access(test_path("bound/notes.txt"), F_OK) == 0);
}

TEST(nothing_is_harmed) {
    struct cache k;
    struct cache_key key = key_of(1);
    struct cache_blob b;
    char path[CACHE_PATH], bytes[4096] = "much";
    test_case("no folder");
    setenv("TSR_CACHE", "/proc/none/of/this", 1);
    cache_open(&k);
    CHECK(!*k.folder && !cache_put(&k, &key, ".x", "x", 1) && !cache_get(&k, &key, ".x", &b));
    CHECK(!cache_path(&k, &key, ".x", path) && !*path);
    cache_blob_release(&b);
    test_case("a full disk");
    open_at(&k, "full");
    struct rlimit old, small = {1000, 1000};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    bool put = cache_put(&k, &key, ".x", bytes, sizeof bytes);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(!put);
    CHECK_EQ(files(k.folder), 0);
    CHECK(cache_put(&k, &key, ".x", bytes, sizeof bytes));
    test_case("the folder goes away");
    CHECK(cache_path(&k, &key, ".x", path) && unlink(path) == 0 && rmdir(k.folder) == 0);
    CHECK(!cache_put(&k, &key, ".x", "x", 1) && !cache_has(&k, &key, ".x"));
}

TEST(a_file_becomes_an_entry) {
    struct cache k;
    struct cache_key key = key_of(3);
    char made[CACHE_PATH + 16];
    open_at(&k, "made");
    snprintf(made, sizeof made, "%s/made", k.folder);
    test_write_file(made, "object", 6);
    CHECK(cache_put_file(&k, &key, ".x", made) && holds(&k, 3, "object", 6));
    CHECK(access(made, F_OK) != 0);
    CHECK(!cache_put_file(&k, &key, ".x", made)); /* there is no such file any more */
    CHECK(holds(&k, 3, "object", 6));
}

/* Each process puts and gets the same twenty entries over and over; what is found must be whole. */
static bool share(const char *folder, int process) {
    struct cache k;
    char bytes[3000];
    setenv("TSR_CACHE", folder, 1);
    cache_open(&k);
    k.most = 15 * 3032; /* some are removed under the others' hands */
    for (int turn = 0; turn < 300; turn++) {
        int i = (turn * 7 + process * 3) % 20;
        struct cache_key key = key_of(i);
        struct cache_blob b;
        memset(bytes, 'a' + i, sizeof bytes);
        if (cache_get(&k, &key, ".x", &b) && (b.n != sizeof bytes || memcmp(b.p, bytes, b.n))) return false;
        cache_blob_release(&b);
        if (turn % 3 == 0 && !cache_put(&k, &key, ".x", bytes, sizeof bytes)) return false;
    }
    return true;
}

TEST(processes_share_the_folder) {
    pid_t child[4];
    const char *folder = test_path("shared");
    for (int i = 0; i < 4; i++)
        if ((child[i] = fork()) == 0) _exit(share(folder, i) ? 0 : 1);
    for (int i = 0; i < 4; i++) {
        int status = 0;
        CHECK_EQ(waitpid(child[i], &status, 0), child[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK(files(folder) >= 10 && files(folder) <= 20);
}
