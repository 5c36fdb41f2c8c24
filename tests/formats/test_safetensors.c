/* test_safetensors.c: files written by hand as the format's README says, every way a header can lie, round trips. */
#include "harness.h"

#include <stdio.h>

#include "tessera/safetensors.h"

struct file { uint8_t p[4096]; size_t n; };

static struct file make(const char *json, size_t data) {
    struct file f = {.n = 8 + strlen(json) + data};
    for (int i = 0; i < 8; i++) f.p[i] = (uint8_t)((uint64_t)strlen(json) >> (8 * i));
    memcpy(f.p + 8, json, strlen(json));
    for (size_t i = 0; i < data; i++) f.p[8 + strlen(json) + i] = (uint8_t)(i + 1);
    return f;
}

TEST(reads_what_the_format_says) {
    tsr_ctx *c = test_ctx();
    struct file f = make("{ \"b\\u00e9\\ud83d\\ude00\":{\"shape\":[2,1],\"dtype\":\"I16\",\"data_offsets\":[0,4]},\n"
        "\"__metadata__\":{\"k\":\"v\\\"\\n\",\"a\":\"\"}, "
        "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[4,5]},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[5,5]}}   ", 5);
    tsr_safetensors *s = tsr_safetensors_parse(c, f.p, f.n, "t");
    if (!CHECK_OK(c)) return;
    CHECK_EQ(tsr_safetensors_count(s), 3);
    const tsr_safetensor *t = tsr_safetensors_find(s, "b\xc3\xa9\xf0\x9f\x98\x80");
    if (CHECK(t)) CHECK(t->dtype == TSR_I16 && t->rank == 2 && t->dim[0] == 2 && t->bytes == 4), CHECK_BYTES(t->data,
        "\1\2\3\4", 4);
    CHECK(!tsr_safetensors_find(s, "c"));
    CHECK_STR(tsr_safetensors_at(s, 0)->name, "a");
    CHECK_STR(tsr_safetensors_metadata(s, "k"), "v\"\n");
    CHECK_STR(tsr_safetensors_metadata(s, "a"), "");
    CHECK(!tsr_safetensors_metadata(s, "b") && !tsr_safetensors_at(s, 3) && !tsr_safetensors_metadata_at(s, 2));
    tsr_safetensors_close(s);
}

TEST(refuses_what_lies) {
#define T(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
    static const struct { const char *json; size_t data; tsr_status s; const char *says; } bad[] = {
        {"", 0, TSR_EFORMAT, "does not begin with '{'"},
        {" {}", 0, TSR_EFORMAT, "does not begin with '{'"},
        {"{}x", 0, TSR_EFORMAT, "text follows"},
        {"{}", 1, TSR_EFORMAT, "cover 0 bytes and the file has 1"},
        {"{" T("a", "F32", "[2]", "[0,8]") "}", 7, TSR_EFORMAT, "cut short"},
        {"{" T("a", "F32", "[2]", "[0,8]") "}", 9, TSR_EFORMAT, "cover 8 bytes"},
        {"{" T("a", "F32", "[2]", "[0,7]") "}", 7, TSR_EFORMAT, "do not fit"},
        {"{" T("a", "F32", "[2]", "[8,0]") "}", 8, TSR_EFORMAT, "do not fit"},
        {"{" T("a", "U8", "[4]", "[0,4]") "," T("b", "U8", "[4]", "[2,6]") "}", 6, TSR_EFORMAT, "inside another"},
        {"{" T("a", "U8", "[4]", "[0,4]") "," T("b", "U8", "[4]", "[5,9]") "}", 9, TSR_EFORMAT, "after a hole"},
        {"{" T("a", "U8", "[4]", "[1,5]") "}", 5, TSR_EFORMAT, "after a hole"},
        {"{" T("a", "U8", "[0]", "[0,0]") "," T("a", "U8", "[0]", "[0,0]") "}", 0, TSR_EFORMAT, "\"a\" comes twice"},
        {"{" T("a", "F128", "[2]", "[0,8]") "}", 8, TSR_EUNSUPPORTED, "dtype \"F128\""},
        {"{" T("a", "F32", "[4611686018427387904,4]", "[0,0]") "}", 0, TSR_EFORMAT, "do not fit"},
        {"{" T("a", "F32", "[18446744073709551616]", "[0,0]") "}", 0, TSR_EFORMAT, "64 bits"},
        {"{" T("a", "F32", "[9223372036854775808]", "[0,0]") "}", 0, TSR_EFORMAT, "above 2^63"},
        {"{" T("a", "F32", "[-1]", "[0,0]") "}", 0, TSR_EFORMAT, "unsigned integer is missing"},
        {"{" T("a", "F32", "[1.0]", "[0,4]") "}", 4, TSR_EFORMAT, "no integer"},
        {"{" T("a", "F32", "[01]", "[0,4]") "}", 4, TSR_EFORMAT, "leading zero"},
        {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, TSR_EFORMAT, "more than 12 axes"},
        {"{" T("a", "U8", "[[1]]", "[0,1]") "}", 1, TSR_EFORMAT, "unsigned integer"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, TSR_EFORMAT, "lacks"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", 1, TSR_EFORMAT,
            "comes twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"form\":[1],\"data_offsets\":[0,1]}}", 1, TSR_EFORMAT, "unknown field"},
        {"{\"a\":{}}", 0, TSR_EFORMAT, "lacks"},
        {"{\"a\":[]}", 0, TSR_EFORMAT, "'{' is missing"},
        {"{\"a\"", 0, TSR_EFORMAT, "':' is missing"},
        {"{\"a", 0, TSR_EFORMAT, "not closed"},
        {"{\"a\\q\":{}}", 0, TSR_EFORMAT, "unknown escape"},
        {"{\"a\\ud800\":{}}", 0, TSR_EFORMAT, "surrogate"},
        {"{\"a\\u0000\":{}}", 0, TSR_EFORMAT, "NUL"},
        {"{\"a\\u00g0\":{}}", 0, TSR_EFORMAT, "hexadecimal"},
        {"{\"\xff\":{}}", 0, TSR_EFORMAT, "UTF-8"},
        {"{\"\xc0\x80\":{}}", 0, TSR_EFORMAT, "UTF-8"},
        {"{\"\x01\":{}}", 0, TSR_EFORMAT, "control"},
        {"{\"__metadata__\":{\"a\":1}}", 0, TSR_EFORMAT, "'\"' is missing"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, TSR_EFORMAT, "metadata \"a\" comes twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, TSR_EFORMAT, "comes twice"},
        {"{" T("a", "U8", "[1]", "[0,1]") ",}", 1, TSR_EFORMAT, "'\"' is missing"},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_case("%zu %s", i, bad[i].says);
        struct file f = make(bad[i].json, bad[i].data);
        CHECK(!tsr_safetensors_parse(c, f.p, f.n, "t"));
        CHECK_ERROR(c, bad[i].s, bad[i].says);
    }
    static const uint8_t huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    for (size_t n = 0; n < 16; n++) {
        test_case("%zu bytes", n);
        CHECK(!tsr_safetensors_parse(c, huge, n, "t"));
        CHECK_ERROR(c, TSR_EFORMAT, "no safetensors file");
    }
}

/* ---- round trips ------------------------------------------------------------------------------------------------ */

enum { MANY = 12 };

static int random_set(tsr_safetensor *t, char name[][24], uint8_t data[][512]) {
    static const tsr_dtype kinds[] = {TSR_F32, TSR_BF16, TSR_F16, TSR_U8, TSR_F64, TSR_I64, TSR_BOOL, TSR_F8E4M3,
        TSR_F8E5M2,
        TSR_C64, TSR_I16, TSR_U32};
    int n = (int)test_int(0, MANY);
    for (int i = 0; i < n; i++) {
        t[i] = (tsr_safetensor){.name = name[i], .dtype = kinds[i], .rank = (int)test_int(0, 3), .data = data[i]};
        snprintf(name[i], 24, "%c/%d \"\xc3\xa9", (char)('a' + test_int(0, 25)), i);
        int64_t count = 1;
        for (int k = 0; k < t[i].rank; k++) count *= t[i].dim[k] = test_int(0, 3);
        CHECK(tsr_dtype_bytes(t[i].dtype, count, &t[i].bytes));
        for (size_t k = 0; k < t[i].bytes; k++) data[i][k] = (uint8_t)(rng_u64(test_rng()) & (kinds[i] == TSR_BOOL ? 1
            : 0xff));
    }
    return n;
}

static void check_tensor(tsr_ctx *c, tsr_safetensors *s, const tsr_safetensor *want) {
    const tsr_safetensor *t = tsr_safetensors_find(s, want->name);
    if (!CHECK(t)) return;
    CHECK_EQ(t->dtype, want->dtype), CHECK_EQ(t->rank, want->rank), CHECK_EQ(t->bytes, want->bytes);
    CHECK_BYTES(t->data, want->data, want->bytes);
    CHECK_EQ((uintptr_t)t->data % (uintptr_t)tsr_dtype_of(t->dtype)->bytes, 0);
    tsr_node *n = tsr_safetensors_node(c, s, want->name);
    if (CHECK_OK(c) && CHECK_EQ(tsr_node_rank(n), want->rank)) CHECK(tsr_node_type(n)->dtype == want->dtype);
}

TEST(round_trip) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 30; k++) {
        tsr_safetensor t[MANY];
        char name[MANY][24];
        static uint8_t data[MANY][512];
        int n = random_set(t, name, data);
        test_case("%d tensors", n);
        const char *path = test_path("r.safetensors");
        tsr_metadata meta[] = {{"format", "pt"}, {"z\n", "\"\\\x7f"}};
        CHECK_EQ(tsr_safetensors_save(c, path, n, t, k % 3, meta), TSR_OK);
        tsr_safetensors *s = tsr_safetensors_open(c, path);
        if (!CHECK_OK(c)) continue;
        CHECK_EQ(tsr_safetensors_count(s), n);
        for (int i = 0; i < n; i++) check_tensor(c, s, &t[i]);
        if (k % 3 == 2) CHECK_STR(tsr_safetensors_metadata(s, "z\n"), "\"\\\x7f");
        tsr_safetensors_close(s); /* the nodes keep the mapping */
    }
}

TEST(save_refuses) {
    tsr_ctx *c = test_ctx();
    uint8_t x[8] = {0};
    const char *path = test_path("no.safetensors");
    tsr_safetensor t[2] = {{.name = "a", .dtype = TSR_U8, .rank = 1, .dim = {8}, .data = x, .bytes = 8}, {0}};
    static const tsr_metadata twice[] = {{"k", "1"}, {"k", "2"}};
    t[1] = t[0];
    CHECK(tsr_safetensors_save(c, path, 2, t, 0, NULL) == TSR_EINVAL), CHECK_ERROR(c, TSR_EINVAL,
        "two tensors are called \"a\"");
    CHECK(tsr_safetensors_save(c, path, 1, t, 2, twice) == TSR_EINVAL), CHECK_ERROR(c, TSR_EINVAL, "given twice");
    t[0].name = "__metadata__";
    CHECK(tsr_safetensors_save(c, path, 1, t, 0, NULL) == TSR_EINVAL), CHECK_ERROR(c, TSR_EINVAL, "__metadata__");
    t[0].name = "a", t[0].bytes = 7;
    CHECK(tsr_safetensors_save(c, path, 1, t, 0, NULL) == TSR_EINVAL), CHECK_ERROR(c, TSR_EINVAL, "do not fit");
    t[0].bytes = 4, t[0].dtype = TSR_U4;
    CHECK(tsr_safetensors_save(c, path, 1, t, 0, NULL) == TSR_EUNSUPPORTED), CHECK_ERROR(c, TSR_EUNSUPPORTED, "no u4");
    CHECK(!tsr_safetensors_open(c, path)), CHECK_ERROR(c, TSR_ENOTFOUND, "no.safetensors"); /* nothing was written */
}

static bool save_and_load(tsr_ctx *c, void *arg) {
    float x[6] = {1, 2, 3, 4, 5, 6};
    tsr_safetensor t[] = {{.name = "w", .dtype = TSR_F32, .rank = 2, .dim = {2, 3}, .data = x, .bytes = sizeof x},
        {.name = "n", .dtype = TSR_U8, .rank = 1, .dim = {3}, .data = x, .bytes = 3}};
    tsr_metadata meta[] = {{"a", "b"}};
    if (tsr_safetensors_save(c, arg, 2, t, 1, meta)) return false;
    tsr_safetensors *s = tsr_safetensors_open(c, arg);
    tsr_node *w = s ? tsr_safetensors_node(c, s, "w") : NULL;
    tsr_safetensors_close(s);
    return !tsr_is_poison(w);
}

TEST(safetensors_torture) { CHECK(torture(save_and_load, (void *)test_path("t.safetensors")) > 10); }
