/* map.c: the hash table of map.h, and the hash.
 *
 * `entry` is dense and in order of insertion; `index` holds positions in it plus one and is probed linearly, at most
 * half full. A removed entry keeps its place in both as a tombstone (item NULL) until the next rebuild squeezes them
 * out, in order. A rebuild that cannot get memory leaves the table as it was.
 *
 * hash_bytes is a multiply-xorshift chain over little-endian 64-bit words with the length in its start value; its
 * constants are those of hash_mix and of the splitmix64 finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom
 * number generators", 2014). Not for adversaries: a table of foreign names can be made slow by who chooses them, never
 * wrong. */
#include "base/map.h"

#include <string.h>

void map_init(struct map *m) { *m = (struct map){0}; }

void map_release(tsr_ctx *c, struct map *m) {
    mem_array_free(c, m->entry, m->cap, sizeof *m->entry);
    mem_array_free(c, m->index, m->slots, sizeof *m->index);
    map_init(m);
}

static void index_insert(uint32_t *index, size_t slots, uint64_t hash, size_t at) {
    size_t i = hash & (slots - 1);
    while (index[i]) i = (i + 1) & (slots - 1);
    index[i] = (uint32_t)(at + 1);
}

void *map_get(const struct map *m, uint64_t hash, const void *key, map_equal *eq, void *user) {
    for (size_t i = hash; m->slots; i++) {
        uint32_t at = m->index[i & (m->slots - 1)];
        if (!at) break;
        const struct map_entry *e = &m->entry[at - 1];
        if (e->item && e->hash == hash && eq(e->item, key, user)) return e->item;
    }
    return NULL;
}

/* Room for twice the live entries, without the tombstones. */
static bool rebuild(tsr_ctx *c, struct map *m) {
    size_t cap = 8;
    while (cap < m->n * 2) cap *= 2;
    if (cap > UINT32_MAX / 2) {
        err_set(c, TSR_ENOMEM, "out of memory: a table would grow past %u entries", UINT32_MAX / 2);
        return false;
    }
    struct map to = {.cap = cap, .slots = cap * 2};
    to.entry = mem_array(c, to.cap, sizeof *to.entry);
    to.index = mem_array(c, to.slots, sizeof *to.index);
    if (!to.entry || !to.index) return map_release(c, &to), false;
    for (size_t i = 0; i < m->used; i++) {
        if (!m->entry[i].item) continue;
        to.entry[to.used] = m->entry[i];
        index_insert(to.index, to.slots, m->entry[i].hash, to.used++);
    }
    to.n = to.used;
    map_release(c, m);
    *m = to;
    return true;
}

bool map_put(tsr_ctx *c, struct map *m, uint64_t hash, void *item) {
    TSR_ASSERT(item);
    if (m->used == m->cap && !rebuild(c, m)) return false;
    m->entry[m->used] = (struct map_entry){hash, item};
    index_insert(m->index, m->slots, hash, m->used++);
    m->n++;
    return true;
}

void map_remove(struct map *m, uint64_t hash, const void *item) {
    for (size_t i = hash; m->slots; i++) {
        uint32_t at = m->index[i & (m->slots - 1)];
        if (!at) return;
        struct map_entry *e = &m->entry[at - 1];
        if (e->item != item || !item) continue;
        e->item = NULL;
        m->n--;
        return;
    }
}

/* ---- hash
 * ----------------------------------------------------------------------------------------------------------- */

static uint64_t load_word(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(x) : x;
}

static uint64_t load_tail(const uint8_t *p, size_t n) {
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++) x |= (uint64_t)p[i] << (8 * i);
    return x;
}

static uint64_t finalise(uint64_t h) {
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return h ^ h >> 31;
}

uint64_t hash_bytes(uint64_t seed, const void *p, size_t n) {
    const uint8_t *b = p;
    uint64_t h = seed ^ (uint64_t)n * 0x9e3779b97f4a7c15u;
    for (; n >= 8; b += 8, n -= 8) {
        h = (h ^ load_word(b)) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
    }
    h = (h ^ load_tail(b, n)) * 0xd6e8feb86659fd93u;
    return finalise(h);
}

uint64_t hash_str(uint64_t seed, const char *s) { return hash_bytes(seed, s, strlen(s)); }
