/* test_memory.c: what is kept of a device's memory: handed on by size, bounded, and never given back under the lock.
 *
 * The device here counts; its free looks at the list itself, as a driver's callback may: where the lock is still held
 * then, the program stands still, and the alarm ends it. */
#include <pthread.h>
#include <unistd.h>

#include "device/memory.h"
#include "harness.h"

enum { MEMORY = 1 << 20, THREADS = 4, TURNS = 5000, CALM = 20 };

struct counting {
    struct device d;
    int allocs, frees;
    bool look; /* at the list, in free */
    size_t live;
};

static void *counting_alloc(struct device *d, size_t bytes) {
    struct counting *k = (struct counting *)d;
    __atomic_add_fetch(&k->allocs, 1, __ATOMIC_RELAXED), __atomic_add_fetch(&k->live, bytes, __ATOMIC_RELAXED);
    return mem_alloc(d->c, bytes);
}

static void counting_free(struct device *d, void *p, size_t bytes) {
    struct counting *k = (struct counting *)d;
    __atomic_add_fetch(&k->frees, 1, __ATOMIC_RELAXED), __atomic_sub_fetch(&k->live, bytes, __ATOMIC_RELAXED);
    mem_free(d->c, p, bytes);
    if (!k->look) return;
    k->look = false;
    device_free(d, device_alloc(d, 1), 1);
}

static const struct device_ops counting_ops = {.name = "counting", .alloc = counting_alloc, .free = counting_free};

static struct counting counting(tsr_ctx *c) {
    return (struct counting){.d = {.ops = &counting_ops, .c = c, .facts.memory = MEMORY}};
}

TEST(memory_is_handed_on_by_its_rounded_size) {
    tsr_ctx *c = test_ctx();
    struct counting k = counting(c);
    void *p = device_alloc(&k.d, 1000);
    device_free(&k.d, p, 1000);
    CHECK(device_alloc(&k.d, 900) == p);
    CHECK_EQ(k.allocs, 1);
    device_free(&k.d, p, 900);
    device_memory_close(&k.d);
    CHECK_EQ(k.frees, 1);
    CHECK_EQ(k.live, 0);
}

TEST(a_quarter_of_the_device_is_kept_and_the_oldest_goes) {
    tsr_ctx *c = test_ctx();
    struct counting k = counting(c);
    enum { EACH = MEMORY / 16 };
    void *p[6], *whole = device_alloc(&k.d, MEMORY / 2);
    for (int i = 0; i < 6; i++) p[i] = device_alloc(&k.d, EACH);
    for (int i = 0; i < 6; i++) device_free(&k.d, p[i], EACH);
    CHECK_EQ(k.frees, 2);
    device_free(&k.d, whole, MEMORY / 2); /* more than is kept */
    CHECK_EQ(k.frees, 3);
    CHECK_EQ(k.live, MEMORY / 4);
    device_memory_close(&k.d);
    CHECK_EQ(k.live, 0);
}

TEST(the_device_frees_without_the_lock) {
    tsr_ctx *c = test_ctx();
    struct counting k = counting(c);
    enum { EACH = MEMORY / 4 };
    void *p = device_alloc(&k.d, EACH), *q = device_alloc(&k.d, EACH), *r = device_alloc(&k.d, MEMORY);
    alarm(CALM);
    device_free(&k.d, p, EACH);
    k.look = true, test_case("the oldest goes"), device_free(&k.d, q, EACH);
    CHECK(!k.look);
    k.look = true, test_case("too large to keep"), device_free(&k.d, r, MEMORY);
    CHECK(!k.look);
    k.look = true, test_case("all of it"), device_memory_empty(&k.d);
    CHECK(!k.look);
    device_memory_close(&k.d);
    alarm(0);
    CHECK_EQ(k.live, 0);
}

static void *churn(void *arg) {
    struct counting *k = arg;
    for (size_t i = 0; i < TURNS; i++) {
        size_t bytes = MEMORY / 64 * (1 + i % 7);
        uint8_t *p = device_alloc(&k->d, bytes);
        p[0] = p[bytes - 1] = 1; /* nobody else's */
        device_free(&k->d, p, bytes);
    }
    return NULL;
}

TEST(threads_share_what_is_kept) {
    tsr_ctx *c = test_ctx();
    struct counting k = counting(c);
    pthread_t t[THREADS];
    device_free(&k.d, device_alloc(&k.d, 1), 1); /* the first call makes the list */
    for (int i = 0; i < THREADS; i++) pthread_create(&t[i], NULL, churn, &k);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    CHECK(k.live <= MEMORY / 4);
    device_memory_close(&k.d);
    CHECK_EQ(k.live, 0);
    CHECK_EQ(k.allocs, k.frees);
}
