/* map.h: open-addressing hash table of pointers, and the hash it uses.
 *
 * The table stores (hash, item) and asks the caller's equality function on equal hashes: good for interning (the item
 * is its own key) and for caches. Iteration order is insertion order as long as nothing was removed (deterministic).
 * */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/mem.h"

typedef bool map_equal(const void *item, const void *key, void *user);

struct map {
    struct map_entry { uint64_t hash; void *item; } *entry; /* dense, in order of insertion; item NULL = removed */
    uint32_t *index;                                        /* open addressing into entry; 0 = empty */
    size_t n, used, cap, slots;
};
void map_init(struct map *m);
void map_release(tsr_ctx *c, struct map *m); /* items are the caller's */
void *map_get(const struct map *m, uint64_t hash, const void *key, map_equal *eq, void *user);
bool map_put(tsr_ctx *c, struct map *m, uint64_t hash, void *item); /* caller has checked that it is absent */
void map_remove(struct map *m, uint64_t hash, const void *item);    /* by identity; absent is fine */

/* 64-bit, stable across runs and machines (little endian) */
uint64_t hash_bytes(uint64_t seed, const void *p, size_t n);
uint64_t hash_str(uint64_t seed, const char *s);
static inline uint64_t hash_mix(uint64_t h, uint64_t x) {
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h ^= h >> 32, h *= 0xd6e8feb86659fd93u, h ^= h >> 32;
    return h;
}

#endif
