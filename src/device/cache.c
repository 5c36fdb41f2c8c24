/* cache.c: the files of the cache: sealing, checking, removing what was used longest ago.
 *
 * The time of an entry's file is the time of its last use. The folder is looked through at the first entry that is put
 * and after each sixteenth part of the bound from then on, so its size may pass the bound by that much. Temporary files
 * and folders that a killed process left behind go then too, a day after. */
#include "device/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "base/sys.h"

#define FOLDER_MOST ((int64_t)256 << 20)
enum { KEY_DIGITS = 32, STALE_SECONDS = 24 * 3600 };
static const char mark[16] = "tessera-entry-1", temporary[] = "put-";

struct footer {
    char mark[16];
    uint64_t length, hash;
};

/* ---- the folder ---- */

static bool make_folder(const char *path) {
    char part[512];
    for (size_t i = 1; i < sizeof part && path[i - 1]; i++) {
        if (path[i] != '/' && path[i]) continue;
        snprintf(part, sizeof part, "%.*s", (int)i, path);
        if (mkdir(part, 0700) && errno != EEXIST) return false;
    }
    return access(path, W_OK) == 0;
}

void cache_open(struct cache *k) {
    const char *own = env_str("TSR_CACHE"), *base = env_str("XDG_CACHE_HOME"), *home = env_str("HOME");
    int n = 0;
    *k = (struct cache){.most = FOLDER_MOST, .grown = -1};
    if (*own) n = snprintf(k->folder, sizeof k->folder, "%s", own);
    else if (*base) n = snprintf(k->folder, sizeof k->folder, "%s/tessera", base);
    else if (*home) n = snprintf(k->folder, sizeof k->folder, "%s/.cache/tessera", home);
    if (n <= 0 || (size_t)n >= sizeof k->folder - 80 || !make_folder(k->folder)) k->folder[0] = 0;
}

static bool is_entry(const char *name) {
    return strspn(name, "0123456789abcdef") == KEY_DIGITS && name[KEY_DIGITS] == '.';
}

/* One pass over the folder: the bytes of all entries, and the one used longest ago. */
static int64_t look_through(const char *folder, char oldest[CACHE_PATH]) {
    int64_t total = 0, when = INT64_MAX, now = (int64_t)time(NULL);
    char path[CACHE_PATH + 256];
    DIR *d = opendir(folder);
    *oldest = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat s;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (stat(path, &s)) continue;
        bool stale = now - (int64_t)s.st_mtime > STALE_SECONDS;
        if (stale && strncmp(e->d_name, temporary, sizeof temporary - 1) == 0) unlink(path);
        if (!is_entry(e->d_name)) continue;
        total += s.st_size;
        if (s.st_mtime >= when || strlen(path) >= CACHE_PATH) continue;
        when = s.st_mtime;
        memcpy(oldest, path, strlen(path) + 1);
    }
    if (d) closedir(d);
    return total;
}

static void shrink(struct cache *k, int64_t put) {
    char oldest[CACHE_PATH];
    if (k->grown >= 0 && (k->grown += put) < k->most / 16) return;
    while (look_through(k->folder, oldest) > k->most && *oldest)
        if (unlink(oldest) && errno != ENOENT) break; /* ENOENT: another process removed it */
    k->grown = 0;
}

/* ---- keys and names ---- */

void cache_key_add(struct cache_key *key, const void *p, size_t n) {
    for (int i = 0; i < 2; i++)
        key->half[i] = hash_mix(hash_bytes(key->half[i] + (uint64_t)i + 1, p, n), n);
}

void cache_key_text(struct cache_key *key, const char *text) { cache_key_add(key, text, strlen(text) + 1); }
void cache_key_code(struct cache_key *key, const char *text) {
    for (const char *comment; (comment = strstr(text, "/*")); text = comment) {
        cache_key_add(key, text, (size_t)(comment - text));
        comment = strstr(comment + 2, "*/");
        if (!comment) return;
        comment += 2;
    }
    cache_key_text(key, text);
}

void cache_key_int(struct cache_key *key, int64_t v) { cache_key_add(key, &v, sizeof v); }

bool cache_path(const struct cache *k, const struct cache_key *key, const char *suffix, char path[CACHE_PATH]) {
    *path = 0;
    if (!*k->folder) return false;
    snprintf(path, CACHE_PATH, "%s/%016" PRIx64 "%016" PRIx64 "%s", k->folder, key->half[0], key->half[1], suffix);
    return true;
}

/* ---- entries ---- */

/* The file's bytes in memory; p NULL: cannot be read, or empty. */
static struct cache_blob map_file(const char *path) {
    struct cache_blob b = {NULL, 0, 0};
    struct stat s;
    int f = open(path, O_RDONLY | O_CLOEXEC);
    if (f < 0) return b;
    if (fstat(f, &s) == 0 && s.st_size > 0) {
        void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, f, 0);
        if (p != MAP_FAILED) b = (struct cache_blob){p, (size_t)s.st_size, (size_t)s.st_size};
    }
    close(f);
    return b;
}

void cache_blob_release(struct cache_blob *b) {
    if (b->p) munmap((void *)(uintptr_t)b->p, b->mapped);
    *b = (struct cache_blob){NULL, 0, 0};
}

static struct footer footer_of(const void *p, size_t n) {
    struct footer f = {.length = n, .hash = hash_bytes(0, p, n)};
    memcpy(f.mark, mark, sizeof mark);
    return f;
}

static bool is_whole(const struct cache_blob *b) {
    struct footer have, want;
    if (b->n <= sizeof have) return false;
    want = footer_of(b->p, b->n - sizeof have);
    memcpy(&have, b->p + b->n - sizeof have, sizeof have);
    return memcmp(&have, &want, sizeof have) == 0;
}

bool cache_get(const struct cache *k, const struct cache_key *key, const char *suffix, struct cache_blob *out) {
    char path[CACHE_PATH];
    *out = (struct cache_blob){NULL, 0, 0};
    if (!cache_path(k, key, suffix, path)) return false;
    *out = map_file(path);
    if (!is_whole(out)) {
        cache_blob_release(out);
        unlink(path);
        return false;
    }
    out->n -= sizeof(struct footer);
    utimensat(AT_FDCWD, path, NULL, 0);
    return true;
}

bool cache_has(const struct cache *k, const struct cache_key *key, const char *suffix) {
    struct cache_blob b;
    bool found = cache_get(k, key, suffix, &b);
    cache_blob_release(&b);
    return found;
}

void cache_drop(const struct cache *k, const struct cache_key *key, const char *suffix) {
    char path[CACHE_PATH];
    if (cache_path(k, key, suffix, path)) unlink(path);
}

bool cache_put(struct cache *k, const struct cache_key *key, const char *suffix, const void *p, size_t n) {
    char path[CACHE_PATH], beside[CACHE_PATH];
    if (!n || !cache_path(k, key, suffix, path)) return false;
    snprintf(beside, sizeof beside, "%s/%sXXXXXX", k->folder, temporary);
    int fd = mkstemp(beside);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!f) {
        if (fd >= 0) close(fd), unlink(beside);
        return false;
    }
    struct footer foot = footer_of(p, n);
    bool ok = fwrite(p, 1, n, f) == n && fwrite(&foot, sizeof foot, 1, f) == 1;
    ok = fclose(f) == 0 && ok && rename(beside, path) == 0;
    if (ok) shrink(k, (int64_t)n);
    else unlink(beside);
    return ok;
}

static bool seal(const char *path, size_t *bytes) {
    struct cache_blob b = map_file(path);
    struct footer foot = {.length = 0};
    FILE *f = b.p ? fopen(path, "ab") : NULL;
    if (b.p) foot = footer_of(b.p, b.n);
    *bytes = b.n;
    cache_blob_release(&b);
    bool ok = f && fwrite(&foot, sizeof foot, 1, f) == 1;
    return f && fclose(f) == 0 && ok;
}

bool cache_put_file(struct cache *k, const struct cache_key *key, const char *suffix, const char *file) {
    char path[CACHE_PATH];
    size_t bytes;
    if (!cache_path(k, key, suffix, path) || !seal(file, &bytes) || rename(file, path)) return false;
    shrink(k, (int64_t)bytes);
    return true;
}
