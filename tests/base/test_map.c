/* test_map.c: the hash table against a naive list under random operations, and the hash's stability and spread. */
#include <math.h>
#include <stdlib.h>

#include "base/map.h"
#include "harness.h"

struct item { uint64_t key, hash; bool inside; };

static bool same_key(const void *item, const void *key, void *user) {
    ++*(int *)user;
    return ((const struct item *)item)->key == *(const uint64_t *)key;
}

/* `spread` bits of hash: 0 puts all in one chain, so colliding hashes and tombstones in a chain are met all the time.
 * */
static void random_operations(tsr_ctx *c, int spread, int keys, int steps) {
    static struct item items[4096];
    struct map m;
    size_t live = 0;
    int calls = 0;
    map_init(&m);
    for (int i = 0; i < keys; i++) {
        uint64_t k = (uint64_t)i;
        items[i] = (struct item){k, spread ? hash_bytes(1, &k, sizeof k) >> (64 - spread) : 0, false};
    }
    for (int s = 0; s < steps; s++) {
        struct item *it = &items[test_int(0, keys - 1)];
        if (!CHECK(map_get(&m, it->hash, &it->key, same_key, &calls) == (it->inside ? it : NULL))) break;
        if (it->inside ? test_int(0, 1) : test_int(0, 3)) {
            if (it->inside) map_remove(&m, it->hash, it), live--;
            else if (CHECK(map_put(c, &m, it->hash, it))) live++;
            it->inside = !it->inside;
        } else if (!it->inside) {
            map_remove(&m, it->hash, it); /* absent is fine */
        }
        CHECK_EQ(m.n, live);
    }
    for (int i = 0; i < keys; i++) {
        CHECK(map_get(&m, items[i].hash, &items[i].key, same_key, &calls) == (items[i].inside ? &items[i] : NULL));
    }
    CHECK(calls > 0);
    map_release(c, &m);
}

TEST(against_a_list) {
    static const struct { int spread, keys, steps; } row[] = {
        {0, 5, 500}, {0, 60, 3000}, {1, 50, 3000}, {4, 100, 5000}, {20, 1, 100}, {63, 7, 2000}, {63, 1000, 20000}, {63,
            4096, 60000},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        test_case("%d hash bits, %d keys", row[i].spread, row[i].keys);
        random_operations(c, row[i].spread, row[i].keys, row[i].steps);
    }
}

TEST(empty_map) {
    struct map m;
    int calls = 0;
    uint64_t key = 3;
    map_init(&m);
    CHECK(!map_get(&m, 1, &key, same_key, &calls));
    map_remove(&m, 1, &key);
    tsr_ctx *c = test_ctx();
    map_release(c, &m);
}

/* Insertion order, through growth; and with removals the rest keep their order. */
TEST(iteration_order) {
    static struct item items[1000];
    tsr_ctx *c = test_ctx();
    struct map m;
    map_init(&m);
    for (uint64_t i = 0; i < 1000; i++) {
        items[i] = (struct item){i, hash_bytes(0, &i, sizeof i), true};
        CHECK(map_put(c, &m, items[i].hash, &items[i]));
    }
    test_case("insertion");
    CHECK_EQ(m.used, 1000);
    for (size_t i = 0; i < m.used; i++) CHECK(m.entry[i].item == &items[i]);
    test_case("after removals and growth");
    for (int i = 0; i < 1000; i += 3) map_remove(&m, items[i].hash, &items[i]), items[i].inside = false;
    static struct item more[3000];
    for (uint64_t i = 0; i < 3000; i++) {
        more[i] = (struct item){5000 + i, hash_bytes(0, &i, sizeof i), true};
        CHECK(map_put(c, &m, more[i].hash, &more[i]));
    }
    uint64_t last = 0, seen = 0;
    for (size_t i = 0; i < m.used; i++) {
        const struct item *it = m.entry[i].item;
        if (!it) continue;
        CHECK(it->inside && (seen == 0 || it->key > last));
        last = it->key, seen++;
    }
    CHECK_EQ(seen, m.n);
    map_release(c, &m);
}

/* Removing and adding for ever must not grow the table for ever. */
TEST(tombstones_are_reused) {
    static struct item items[64];
    tsr_ctx *c = test_ctx();
    struct map m;
    map_init(&m);
    for (int step = 0; step < 100000; step++) {
        struct item *it = &items[step % 64];
        if (it->inside) map_remove(&m, it->hash, it);
        *it = (struct item){(uint64_t)step, hash_mix(7, (uint64_t)step), true};
        if (!CHECK(map_put(c, &m, it->hash, it))) break;
    }
    CHECK_EQ(m.n, 64);
    CHECK(m.cap <= 256 && m.slots <= 512);
    map_release(c, &m);
}

static bool fill_map(tsr_ctx *c, void *arg) {
    static struct item items[500];
    (void)arg;
    struct map m;
    int calls = 0;
    bool ok = true;
    size_t held = 0;
    map_init(&m);
    for (uint64_t i = 0; ok && i < 500; i++) {
        items[i] = (struct item){i, hash_bytes(0, &i, sizeof i), true};
        ok = map_put(c, &m, items[i].hash, &items[i]);
        held += ok;
    }
    for (size_t i = 0; i < held; i++) { /* a refused growth lost nothing */
        CHECK(map_get(&m, items[i].hash, &items[i].key, same_key, &calls) == &items[i]);
    }
    map_release(c, &m);
    return ok;
}

TEST(torture_map) { CHECK(torture(fill_map, NULL) > 10); }

/* ---- hash
 * ----------------------------------------------------------------------------------------------------------- */


static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* All strings of length up to 2 and long runs of zeros of different length: every hash different. */
TEST(short_inputs_do_not_collide) {
    enum { N = 1 + 256 + 65536 + 300 };
    static uint64_t h[N];
    static const unsigned char zeros[300];
    size_t n = 0;
    h[n++] = hash_bytes(0, "", 0);
    for (int a = 0; a < 256; a++) {
        unsigned char s[2] = {(unsigned char)a, 0};
        h[n++] = hash_bytes(0, s, 1);
        for (int b = 0; b < 256; b++) s[1] = (unsigned char)b, h[n++] = hash_bytes(0, s, 2);
    }
    for (size_t len = 3; len <= 300; len++) h[n++] = hash_bytes(0, zeros, len);
    qsort(h, n, sizeof *h, compare);
    for (size_t i = 1; i < n; i++) CHECK(h[i] != h[i - 1]);
}

/* Flipping any input bit flips each output bit half of the time: 8 sigma of a fair coin over 400 inputs. */
TEST(avalanche) {
    enum { TRIALS = 400 };
    for (size_t n = 1; n <= 40; n += 13) {
        int flips[64] = {0}, count = 0;
        test_case("%zu bytes", n);
        for (int t = 0; t < TRIALS; t++) {
            unsigned char s[40];
            for (size_t i = 0; i < n; i++) s[i] = (unsigned char)test_int(0, 255);
            uint64_t h = hash_bytes(5, s, n);
            size_t bit = (size_t)test_int(0, (int64_t)(8 * n) - 1);
            s[bit / 8] ^= (unsigned char)(1u << bit % 8);
            uint64_t d = h ^ hash_bytes(5, s, n);
            for (int b = 0; b < 64; b++) flips[b] += (int)(d >> b & 1);
            count++;
        }
        for (int b = 0; b < 64; b++) CHECK_CLOSE(flips[b], count * 0.5, 0, 8 * sqrt(count * 0.25));
    }
}

/* The values of the formula in map.c, worked out by a program in another language: caches on disk rely on them. */
TEST(hash_is_stable) {
    CHECK(hash_str(0, "") == 0x0u);
    CHECK(hash_str(1, "tessera") == 0x4fac195a300f3178u);
    CHECK(hash_str((uint64_t)1 << 63, "sixteen bytes ok and three") == 0xf35beddbf815660fu);
}

TEST(hash_properties) {
    test_case("the seed matters");
    CHECK(hash_str(1, "tessera") != hash_str(2, "tessera"));
    test_case("a string is its bytes");
    CHECK(hash_str(9, "tile") == hash_bytes(9, "tile", 4));
    test_case("alignment does not matter");
    char shifted[64];
    for (int offset = 0; offset < 9; offset++) {
        memcpy(shifted + offset, "a value longer than two words", 29);
        CHECK(hash_bytes(3, shifted + offset, 29) == hash_bytes(3, "a value longer than two words", 29));
    }
    test_case("mix depends on order");
    CHECK(hash_mix(hash_mix(0, 1), 2) != hash_mix(hash_mix(0, 2), 1));
}
