/* test_mem.c: checked sizes, allocation through the context, the default allocator's promises, arenas. */
#include "harness.h"

TEST(checked_sizes) {
    static const struct { size_t a, b; bool mul, add; } row[] = {
        {0, 0, true, true}, {0, SIZE_MAX, true, true}, {1, SIZE_MAX, true, false}, {2, SIZE_MAX / 2, true, true},
        {2, SIZE_MAX / 2 + 1, false, true}, {SIZE_MAX, SIZE_MAX, false, false}, {(size_t)1 << 32, (size_t)1 << 32,
            false, true},
        {((size_t)1 << 32) - 1, ((size_t)1 << 32) + 1, true, true},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        size_t out = 77;
        test_case("size %zu, %zu", row[i].a, row[i].b);
        CHECK(size_mul(row[i].a, row[i].b, &out) == row[i].mul);
        CHECK(out == (row[i].mul ? row[i].a * row[i].b : 77));
        out = 77;
        CHECK(size_add(row[i].a, row[i].b, &out) == row[i].add);
        CHECK(out == (row[i].add ? row[i].a + row[i].b : 77));
    }
}

TEST(checked_signed) {
    static const struct { int64_t a, b; bool mul, add; } row[] = {
        {0, INT64_MIN, true, true}, {-1, INT64_MIN, false, false}, {-1, INT64_MAX, true, true}, {1, INT64_MAX, true,
            false},
        {2, INT64_MAX, false, false}, {-2, INT64_MIN / 2, false, true}, {2, INT64_MIN / 2, true, true},
        {3037000500, 3037000500, false, true}, {3037000499, 3037000499, true, true},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int64_t out = 77;
        test_case("i64 row %zu", i);
        CHECK(i64_mul(row[i].a, row[i].b, &out) == row[i].mul);
        CHECK(row[i].mul || out == 77);
        if (row[i].mul) CHECK_EQ(out, row[i].a * row[i].b);
        out = 77;
        CHECK(i64_add(row[i].a, row[i].b, &out) == row[i].add);
        CHECK(row[i].add || out == 77);
    }
}

/* The contract of tsr_allocator: 64-byte alignment from 64 bytes on, contents kept over growth and shrinking. */
TEST(default_allocator) {
    tsr_ctx *c = tsr_open(NULL);
    for (int round = 0; round < 200; round++) {
        size_t n = (size_t)test_int(0, 5000), m = (size_t)test_int(0, 5000), kept = n < m ? n : m;
        unsigned char *p = mem_alloc(c, n);
        test_case("%zu to %zu bytes", n, m);
        if (!CHECK(p != NULL)) return;
        CHECK_EQ((uintptr_t)p % (n >= 64 ? 64 : 16), 0);
        for (size_t i = 0; i < n; i++) p[i] = (unsigned char)(i * 7 + 1);
        p = mem_resize(c, p, n, m);
        if (!CHECK(p != NULL)) return;
        CHECK_EQ((uintptr_t)p % (m >= 64 ? 64 : 16), 0);
        for (size_t i = 0; i < kept; i++) CHECK_EQ(p[i], (unsigned char)(i * 7 + 1));
        mem_free(c, p, m);
    }
    CHECK_OK(c);
    tsr_close(c);
}

TEST(zeroed_and_duplicated) {
    tsr_ctx *c = test_ctx();
    unsigned char *z = mem_zalloc(c, 1000);
    for (int i = 0; i < 1000; i++) CHECK_EQ(z[i], 0);
    mem_free(c, z, 1000);
    int64_t *a = mem_array(c, 100, sizeof *a);
    for (int i = 0; i < 100; i++) CHECK_EQ(a[i], 0);
    mem_array_free(c, a, 100, sizeof *a);
    char *s = mem_strdup(c, "tessera"), *e = mem_strdup(c, "");
    CHECK_STR(s, "tessera");
    CHECK_STR(e, "");
    mem_strfree(c, s);
    mem_strfree(c, e);
    mem_strfree(c, NULL);
    mem_free(c, NULL, 5);
    void *grown = mem_resize(c, NULL, 0, 10);
    CHECK(grown != NULL);
    mem_free(c, grown, 10);
}

TEST(impossible_sizes) {
    tsr_ctx *c = test_ctx();
    test_case("alloc SIZE_MAX");
    CHECK(!mem_alloc(c, SIZE_MAX));
    CHECK_ERROR(c, TSR_ENOMEM, "out of memory");
    test_case("array overflow");
    CHECK(!mem_array(c, SIZE_MAX / 8 + 2, 8));
    CHECK_ERROR(c, TSR_ENOMEM, "larger than the address space");
    test_case("arena SIZE_MAX");
    struct arena a;
    arena_init(&a, c);
    CHECK(!arena_alloc(&a, SIZE_MAX));
    CHECK_ERROR(c, TSR_ENOMEM, "out of memory");
    CHECK(!arena_alloc(&a, SIZE_MAX - 7));
    CHECK(!arena_array(&a, SIZE_MAX / 2, 3));
    CHECK_ERROR(c, TSR_ENOMEM, "out of memory");
    arena_release(&a);
    test_case("a failed resize keeps the block");
    char *p = mem_strdup(c, "kept");
    CHECK(!mem_resize(c, p, 5, SIZE_MAX));
    CHECK_ERROR(c, TSR_ENOMEM, "out of memory");
    CHECK_STR(p, "kept");
    mem_strfree(c, p);
}

/* Blocks are aligned, zeroed, disjoint, whatever the sizes: each is filled with its own number and looked at again at
 * the end. */
TEST(arena_blocks) {
    enum { N = 3000 };
    static unsigned char *block[N];
    static size_t size[N];
    tsr_ctx *c = test_ctx();
    struct arena a;
    arena_init(&a, c);
    for (int round = 0; round < 3; round++) {
        test_case("round %d", round);
        for (int i = 0; i < N; i++) {
            size[i] = (size_t)(test_int(0, 100) == 0 ? test_int(0, 100000) : test_int(0, 200));
            block[i] = arena_alloc(&a, size[i]);
            if (!CHECK(block[i] != NULL)) return arena_release(&a);
            CHECK_EQ((uintptr_t)block[i] % 16, 0);
            size_t nonzero = 0;
            for (size_t k = 0; k < size[i]; k++) nonzero += block[i][k] != 0;
            CHECK_EQ(nonzero, 0);
            memset(block[i], i % 255 + 1, size[i]);
        }
        size_t wrong = 0;
        for (int i = 0; i < N; i++) {
            for (size_t k = 0; k < size[i]; k++) wrong += block[i][k] != i % 255 + 1;
        }
        CHECK_EQ(wrong, 0);
        arena_release(&a); /* and is ready for use again */
    }
}

TEST(arena_text) {
    tsr_ctx *c = test_ctx();
    struct arena a;
    arena_init(&a, c);
    CHECK_STR(arena_strdup(&a, "f32[3]"), "f32[3]");
    CHECK_STR(arena_printf(&a, "%s x %d", "tile", 64), "tile x 64");
    char *wide = arena_printf(&a, "%9000d", 7);
    CHECK_EQ(strlen(wide), 9000);
    int *zeros = arena_array(&a, 10, sizeof(int));
    for (int i = 0; i < 10; i++) CHECK_EQ(zeros[i], 0);
    arena_release(&a);
}

static bool fill_arena(tsr_ctx *c, void *arg) {
    (void)arg;
    struct arena a;
    arena_init(&a, c);
    bool ok = true;
    for (int i = 0; ok && i < 200; i++) ok = arena_alloc(&a, (size_t)i * 50) && arena_printf(&a, "%d", i);
    arena_release(&a);
    return ok;
}

TEST(torture_arena) { CHECK(torture(fill_arena, NULL) > 5); }
