/* test_vec.c: growable arrays and strings against plain arrays and snprintf, their limits, and JSON quoting. */
#include <stdio.h>

#include "base/vec.h"
#include "harness.h"

TEST(push_and_pop) {
    enum { N = 5000 };
    static int64_t want[N];
    tsr_ctx *c = test_ctx();
    VEC(int64_t) v = {0};
    size_t n = 0;
    for (int step = 0; step < 20000; step++) {
        bool push = n == 0 || (n < N && test_int(0, 2) > 0);
        if (push) {
            want[n++] = test_int(INT64_MIN / 4, INT64_MAX / 4);
            if (!CHECK(vec_push(c, &v, want[n - 1]))) break;
        } else {
            CHECK_EQ(vec_pop(&v), want[--n]);
        }
    }
    CHECK_EQ(v.n, n);
    CHECK(v.cap >= v.n && v.cap <= 2 * N + 8);
    CHECK_BYTES(v.v, want, n * sizeof *want);
    vec_release(c, &v);
    CHECK(!v.v && !v.n && !v.cap);
    vec_release(c, &v); /* releasing what is empty is fine */
}

TEST(element_sizes) {
    tsr_ctx *c = test_ctx();
    VEC(char) small = {0};
    VEC(struct { char b[300]; }) large = {0};
    test_case("reserve is exact or more, and idempotent");
    CHECK(vec_reserve(c, &small, 1000));
    CHECK(small.cap >= 1000 && small.n == 0);
    char *before = small.v;
    CHECK(vec_reserve(c, &small, 10) && small.v == before);
    test_case("large elements");
    for (int i = 0; i < 50; i++) {
        if (!CHECK(vec_reserve(c, &large, large.n + 1))) break;
        memset(large.v[large.n++].b, i, 300);
    }
    for (int i = 0; i < 50; i++) CHECK_EQ(large.v[i].b[299], i);
    vec_release(c, &small);
    vec_release(c, &large);
}

TEST(vec_maximum) {
    tsr_ctx *c = test_ctx();
    VEC(int32_t) v = {0};
    CHECK(vec_push(c, &v, 42));
    CHECK(!vec_reserve(c, &v, VEC_MAX_BYTES / 4 + 1));
    CHECK_ERROR(c, TSR_ENOMEM, "limit");
    CHECK(!vec_reserve(c, &v, SIZE_MAX));
    CHECK_ERROR(c, TSR_ENOMEM, "limit");
    CHECK(v.n == 1 && v.v[0] == 42);
    vec_release(c, &v);
}

TEST(str_against_snprintf) {
    tsr_ctx *c = test_ctx();
    struct str s;
    str_init(&s, c);
    CHECK_STR(s.s, "");
    char want[20000] = "";
    for (int round = 0; round < 20; round++) {
        test_case("round %d", round);
        str_clear(&s);
        size_t n = 0;
        while (n < 15000) {
            char piece[200];
            int width = (int)test_int(0, 150), value = (int)test_int(-1000, 1000);
            switch (test_int(0, 3)) {
            case 0: str_put(&s, "tile"), snprintf(piece, sizeof piece, "tile"); break;
            case 1: str_putc(&s, 'x'), snprintf(piece, sizeof piece, "x"); break;
            case 2: str_putn(&s, "truncated", 5), snprintf(piece, sizeof piece, "trunc"); break;
            default: str_printf(&s, "%*d", width, value), snprintf(piece, sizeof piece, "%*d", width, value);
            }
            memcpy(want + n, piece, strlen(piece) + 1);
            n += strlen(piece);
        }
        CHECK(!s.failed);
        CHECK_EQ(s.n, n);
        CHECK(!strcmp(s.s, want));
    }
    str_release(&s);
    CHECK_STR(s.s, "");
    str_release(&s);
}

/* Appending exactly as much as fits, one less and one more: the places where the NUL is lost. */
TEST(str_edges) {
    tsr_ctx *c = test_ctx();
    char text[300];
    for (int n = 0; n < 260; n++) {
        struct str s;
        str_init(&s, c);
        test_case("%d bytes", n);
        str_put(&s, "ab");
        memset(text, 'x', (size_t)n);
        text[n] = 0;
        str_printf(&s, "%s", text);
        CHECK_EQ(s.n, n + 2);
        CHECK_EQ(strlen(s.s), n + 2);
        str_putn(&s, text, (size_t)n);
        CHECK_EQ(strlen(s.s), 2 * n + 2);
        str_release(&s);
    }
}

TEST(str_failure_sticks) {
    tsr_ctx *c = test_ctx();
    struct str s;
    str_init(&s, c);
    str_put(&s, "kept");
    str_putn(&s, "x", STR_MAX); /* refused before anything is read */
    CHECK(s.failed);
    CHECK_ERROR(c, TSR_ENOMEM, "limit");
    str_put(&s, "more");
    str_printf(&s, "%d", 1);
    CHECK_STR(s.s, "kept");
    CHECK_OK(c);
    str_clear(&s);
    str_put(&s, "again");
    CHECK_STR(s.s, "again");
    str_cut(&s, 2), CHECK_STR(s.s, "ag");
    str_cut(&s, 9), CHECK_STR(s.s, "ag"); /* never longer */
    str_put(&s, "e"), CHECK_STR(s.s, "age");
    str_release(&s);
    str_cut(&s, 0), CHECK_STR(s.s, "");
}

/* printf itself fails when the text is longer than an int can say: that is an error of the text, not of ours. */
TEST(too_long_for_printf) {
    const char *volatile format = "%99999999999d"; /* volatile: the compiler would see it coming */
    tsr_ctx *c = test_ctx();
    struct str s;
    struct arena a;
    str_init(&s, c);
    arena_init(&a, c);
    str_put(&s, "kept");
    str_printf(&s, format, 1);
    CHECK(s.failed);
    CHECK_STR(s.s, "kept");
    CHECK_ERROR(c, TSR_ENOMEM, "limit");
    CHECK(!arena_printf(&a, format, 1));
    CHECK_ERROR(c, TSR_ENOMEM, "out of memory");
    arena_release(&a);
    str_release(&s);
}

TEST(json_quoting) { /* RFC 8259, section 7; RFC 3629 for what is UTF-8 */
    static const struct { const char *text, *json; } row[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\t\r\b\f", "\"\\n\\t\\r\\b\\f\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\""},
        {"/", "\"/\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", "\"\\ufffd\""},
        {"a\x80z", "\"a\\ufffdz\""},
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},             /* overlong */
        {"\xe0\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\""},  /* overlong */
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},  /* a surrogate */
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* above U+10FFFF */
        {"\xe2\x82", "\"\\ufffd\\ufffd\""},             /* cut short */
        {"\xf0\x9f\x98", "\"\\ufffd\\ufffd\\ufffd\""},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct str s;
        test_case("row %zu", i);
        str_init(&s, c);
        str_json(&s, row[i].text);
        CHECK_STR(s.s, row[i].json);
        str_release(&s);
    }
}

static bool grow_both(tsr_ctx *c, void *arg) {
    (void)arg;
    VEC(int) v = {0};
    struct str s;
    bool ok = true;
    str_init(&s, c);
    for (int i = 0; ok && i < 2000; i++) ok = vec_push(c, &v, i);
    for (size_t i = 0; ok && i < v.n; i++) CHECK_EQ(v.v[i], i);
    for (int i = 0; i < 500; i++) str_printf(&s, "%d, ", i);
    str_json(&s, "a \"quoted\" word");
    ok = ok && !s.failed;
    CHECK_EQ(strlen(s.s), s.n);
    str_release(&s);
    vec_release(c, &v);
    return ok;
}

TEST(torture_vec_and_str) { CHECK(torture(grow_both, NULL) > 10); }
