/* cache.h: compiled code kept on disk: shared objects, PTX, a driver's binaries.
 *
 * An entry is a file of bytes under the hash of all that made them (text, compiler, flags, machine). Behind the bytes
 * stands a footer of 32 bytes: a mark, their length and their hash; a loader of shared objects ignores what follows the
 * object. So a damaged, cut off or half-written entry is found out before anything in it is used; it is removed, and
 * whoever asked builds it again. Entries are written beside their final name and renamed: processes that share the
 * folder see whole entries or none. When the folder passes its bound the entries that were used longest ago go. Nothing
 * here is ever an error: without a folder, or on a full disk, nothing is kept.
 *
 * Nothing here touches a context, so it may be used from any thread, by one at a time for each struct cache. */
#ifndef DEVICE_CACHE_H
#define DEVICE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache {
    char folder[512];      /* "": keeps nothing */
    int64_t most;          /* bytes of all entries */
    int64_t grown;         /* bytes put since the folder was last looked through; -1: not yet */
};
/* TSR_CACHE, else tessera in XDG_CACHE_HOME, else .cache/tessera in HOME; made where it is missing. */
void cache_open(struct cache *k);

/* What an entry is made from: start with zeros, add each part. suffix names the kind: ".so". */
struct cache_key { uint64_t half[2]; };
void cache_key_add(struct cache_key *key, const void *p, size_t n);
void cache_key_text(struct cache_key *key, const char *text); /* with its end, so that neighbours stay apart */
/* The same for source text, without its comments, which say where the text came from: the same code from two graphs is
 * one entry. */
void cache_key_code(struct cache_key *key, const char *text);
void cache_key_int(struct cache_key *key, int64_t v);

enum { CACHE_PATH = 600 };
/* False: an entry cannot be kept, path is "". */
bool cache_path(const struct cache *k, const struct cache_key *key, const char *suffix, char path[CACHE_PATH]);

/* The bytes of an entry, mapped from its file. */
struct cache_blob { const uint8_t *p; size_t n, mapped; };
/* False: there is none, or none that is whole. An entry that is found counts as used now. */
bool cache_get(const struct cache *k, const struct cache_key *key, const char *suffix, struct cache_blob *out);
void cache_blob_release(struct cache_blob *b); /* accepts what cache_get has not filled */
bool cache_has(const struct cache *k, const struct cache_key *key, const char *suffix); /* as cache_get, bytes unread */
void cache_drop(const struct cache *k, const struct cache_key *key, const char *suffix);

/* False: not kept. */
bool cache_put(struct cache *k, const struct cache_key *key, const char *suffix, const void *p, size_t n);
/* The file at `path`, which lies in the cache's folder, becomes the entry. False: not kept, the file may remain. */
bool cache_put_file(struct cache *k, const struct cache_key *key, const char *suffix, const char *path);

#endif
