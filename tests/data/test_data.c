/* test_data.c: IDX and CSV readers against files made by hand, damaged files, the bundled digits, splits and orders. */
#include "harness.h"

#include <math.h>
#include <stdio.h>

#include "tessera/data.h"

/* ---- IDX -------------------------------------------------------------------------------------------------------- */

struct bytes { uint8_t p[4096]; size_t n; };

static void put(struct bytes *b, const void *p, size_t n) { memcpy(b->p + b->n, p, n), b->n += n; }
static void put_big(struct bytes *b, uint64_t v, int size) {
    for (int i = size - 1; i >= 0; i--) put(b, &(uint8_t){(uint8_t)(v >> (8 * i))}, 1);
}
static void idx_head(struct bytes *b, uint8_t code, int rank, const int64_t *dim) {
    *b = (struct bytes){.n = 0};
    put(b, (uint8_t[]){0, 0, code, (uint8_t)rank}, 4);
    for (int i = 0; i < rank; i++) put_big(b, (uint64_t)dim[i], 4);
}

TEST(idx_every_type) {
    static const struct { uint8_t code; tsr_dtype t; int size; } kinds[] = {
        {8, TSR_U8, 1}, {9, TSR_I8, 1}, {11, TSR_I16, 2}, {12, TSR_I32, 4}, {13, TSR_F32, 4}, {14, TSR_F64, 8}};
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 6; k++) {
        int rank = (int)test_int(0, 3);
        int64_t dim[3], count = 1;
        uint64_t want[256];
        for (int i = 0; i < rank; i++) count *= dim[i] = test_int(0, 5);
        test_case("%s rank %d count %d", tsr_dtype_name(kinds[k].t), rank, (int)count);
        struct bytes b;
        idx_head(&b, kinds[k].code, rank, dim);
        for (int64_t i = 0; i < count; i++) put_big(&b, want[i] = rng_u64(test_rng()), kinds[k].size);
        tsr_array a;
        CHECK_EQ(tsr_idx_parse(c, b.p, b.n, "t", &a), TSR_OK);
        CHECK_OK(c);
        CHECK_EQ(a.dtype, kinds[k].t), CHECK_EQ(a.rank, rank), CHECK_EQ(a.bytes, count * kinds[k].size);
        for (int i = 0; i < rank; i++) CHECK_EQ(a.dim[i], dim[i]);
        for (int64_t i = 0; i < count && a.data; i++)
            CHECK(!memcmp((uint8_t *)a.data + i * kinds[k].size, &want[i], (size_t)kinds[k].size)); /* little endian */
        tsr_array_release(c, &a);
    }
}

TEST(idx_damaged) {
    tsr_ctx *c = test_ctx();
    struct bytes b;
    static const struct {
        const char *what;
        uint8_t code;
        int rank;
        int64_t dim[3];
        size_t data;
        tsr_status s;
        const char *says;
    } bad[] = {
        {"type", 10, 1, {3}, 3, TSR_EFORMAT, "IDX type 0x0a"},
        {"short", 8, 2, {3, 5}, 14, TSR_EFORMAT, "promises 15 bytes"},
        {"long", 8, 2, {3, 5}, 16, TSR_EFORMAT, "promises 15 bytes"},
        {"overflow", 14, 3, {0xffffffff, 0xffffffff, 0xffffffff}, 8, TSR_EFORMAT, "promises more than"},
        {"rank", 8, 13, {0}, 0, TSR_EUNSUPPORTED, "13 axes"},
        {"header", 8, 3, {1, 1, 1}, 0, TSR_EFORMAT, "promises 1 bytes"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_case("%s", bad[i].what);
        idx_head(&b, bad[i].code, bad[i].rank > 3 ? 3 : bad[i].rank, bad[i].dim);
        b.p[3] = (uint8_t)bad[i].rank;
        b.n += bad[i].data;
        tsr_array a;
        CHECK_EQ(tsr_idx_parse(c, b.p, b.n, "bad.idx", &a), bad[i].s);
        CHECK(!a.data);
        CHECK_ERROR(c, bad[i].s, bad[i].says);
    }
    for (size_t n = 0; n < 12; n++) { /* every cut of a valid file */
        test_case("cut at %zu", n);
        idx_head(&b, 8, 1, (int64_t[]){4});
        b.n += 4;
        tsr_array a;
        CHECK_EQ(tsr_idx_parse(c, b.p, n, "cut", &a), TSR_EFORMAT);
        CHECK_ERROR(c, TSR_EFORMAT, "cut: ");
    }
}

/* The IDX file u8[3] = 7 8 9 in a stored block of gzip, by hand from RFC 1951 and 1952. */
TEST(idx_gzip) {
    static const uint8_t gz[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff, 1, 0x0b, 0, 0xf4, 0xff, 0, 0, 8, 1, 0, 0, 0, 3,
        7, 8,
        9, 0xad, 0x98, 0x0a, 0xba, 0x0b, 0, 0, 0};
    tsr_ctx *c = test_ctx();
    tsr_array a;
    uint8_t copy[sizeof gz];
    memcpy(copy, gz, sizeof gz);
    tsr_status s = tsr_idx_parse(c, gz, sizeof gz, "x.gz", &a);
    if (s == TSR_EUNSUPPORTED) {
        CHECK_ERROR(c, TSR_EUNSUPPORTED, "no zlib");
        SKIP("this build has no zlib");
    }
    if (CHECK_OK(c)) CHECK_BYTES(a.data, ((uint8_t[]){7, 8, 9}), 3);
    tsr_array_release(c, &a);
    for (size_t n = 2; n < sizeof gz; n++) { /* cut: never accepted */
        CHECK(tsr_idx_parse(c, gz, n, "x.gz", &a) != TSR_OK);
        CHECK_ERROR(c, TSR_EFORMAT, "gzip data are damaged");
    }
    copy[25] ^= 1; /* the checksum must notice */
    CHECK(tsr_idx_parse(c, copy, sizeof copy, "x.gz", &a) != TSR_OK);
    CHECK_ERROR(c, TSR_EFORMAT, "damaged");
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

TEST(csv_quoting) {
    tsr_ctx *c = test_ctx();
    const char *text = "\xef\xbb\xbf\"a \"\"b\"\"\",kind,\"c\nd\"\r\n1.5,\"x, y\",-2e1\r\n .25 ,\"x, y\",inf\n3,z,+4";
    tsr_data *d = tsr_data_csv_parse(c, text, strlen(text), "t.csv", &(tsr_csv_opts){.label = "kind"});
    if (!CHECK_OK(c)) return;
    CHECK_EQ(d->count, 3), CHECK_EQ(d->rank, 1), CHECK_EQ(d->dim[0], 2), CHECK_EQ(d->classes, 2);
    CHECK_STR(d->feature_name[0], "a \"b\""), CHECK_STR(d->feature_name[1], "c\nd");
    CHECK_STR(d->class_name[0], "x, y"), CHECK_STR(d->class_name[1], "z");
    CHECK_F32(d->x, ((float[]){1.5f, -20, .25f, INFINITY, 3, 4}), 6, 0, 0);
    CHECK_BYTES(d->y, ((int32_t[]){0, 0, 1}), 12);
    tsr_data_free(c, d);
}

TEST(csv_no_header_label_by_number) {
    tsr_ctx *c = test_ctx();
    const char *text = "1;2;3\n4;5;3\n";
    tsr_data *d = tsr_data_csv_parse(c, text, strlen(text), "t", &(tsr_csv_opts){.delimiter = ';', .no_header = true,
        .label = "3"});
    if (!CHECK_OK(c)) return;
    CHECK_EQ(d->count, 2), CHECK_EQ(d->classes, 1);
    CHECK_F32(d->x, ((float[]){1, 2, 4, 5}), 4, 0, 0);
    CHECK(!d->feature_name);
    tsr_data_free(c, d);
}

TEST(csv_errors_say_where) {
    static const struct { const char *text, *label, *says; } bad[] = {
        {"", NULL, "t.csv:1:1: the file is empty"},
        {"a,b\n1,2\n3,x4\n", NULL, "t.csv:3:3: column b: \"x4\" is not a number"},
        {"a,b\n1,\n", NULL, "t.csv:2:3: column b is empty"},
        {"a,b\n1\n", NULL, "t.csv:2:1: the row ends after 1 fields"},
        {"a,b\n1,2,3\n", NULL, "t.csv:2:5: a field too many"},
        {"a,b\n1,\"2", NULL, "t.csv:2:3: a quoted field is not closed"},
        {"a,b\n1,\"2\"3\n", NULL, "t.csv:2:3: text follows the closing quote"},
        {"a,b\n1,2\"\n", NULL, "t.csv:2:3: a quote inside a field"},
        {"a,\"b\nc\"\n1,2\n3,0x10\n", NULL, "t.csv:4:3"},
        {"a,b\n1,1e\n", NULL, "t.csv:2:3"},
        {"a,b\n1,.\n", NULL, "is not a number"},
        {"a,b\n1,1e5x\n", NULL, "is not a number"},
        {"a,b\n\n", NULL, "t.csv:2:1"},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_case("%zu", i);
        CHECK(!tsr_data_csv_parse(c, bad[i].text, strlen(bad[i].text), "t.csv", NULL));
        CHECK_ERROR(c, TSR_EFORMAT, bad[i].says);
    }
    test_case("label");
    CHECK(!tsr_data_csv_parse(c, "a,b\n1,2\n", 8, "t.csv", &(tsr_csv_opts){.label = "3"}));
    CHECK_ERROR(c, TSR_ENOTFOUND, "no column is called \"3\", and it is no number from 1 to 2");
    test_case("nul");
    CHECK(!tsr_data_csv_parse(c, "a,b\n1,\0\n", 9, "t.csv", NULL));
    CHECK_ERROR(c, TSR_EFORMAT, "t.csv:2:3: a NUL byte");
    test_case("file");
    CHECK(!tsr_data_csv(c, test_path("absent.csv"), NULL));
    CHECK_ERROR(c, TSR_ENOTFOUND, "absent.csv");
}

/* ---- sets ------------------------------------------------------------------------------------------------------- */

TEST(digits) {
    tsr_ctx *c = test_ctx();
    tsr_data *d = tsr_data_digits(c);
    if (!CHECK_OK(c)) return;
    static const int per_class[10] = {178, 182, 177, 183, 181, 182, 181, 179, 174, 180}; /* of the UCI test part */
    /* the first image of the set, as published */
    static const uint8_t first[64] = {
        0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0, 0, 8, 8, 0,
        0, 5, 8, 0, 0, 9, 8, 0, 0, 4, 11, 0, 1, 12, 7, 0, 0, 2, 14, 5, 10, 12, 0, 0, 0, 0, 6, 13, 10, 0, 0, 0};
    int count[10] = {0}, most = 0;
    CHECK_EQ(d->count, 1797), CHECK_EQ(d->dim[0], 8), CHECK_EQ(d->dim[1], 8), CHECK_EQ(d->classes, 10);
    for (int64_t i = 0; i < d->count; i++) count[d->y[i]]++;
    for (int64_t i = 0; i < d->count * 64; i++) most = ((const uint8_t *)d->x)[i] > most ? ((const uint8_t *)d->x)[i]
        : most;
    for (int k = 0; k < 10; k++) CHECK_EQ(count[k], per_class[k]);
    CHECK_EQ(most, 16), CHECK_EQ(d->y[0], 0);
    CHECK_BYTES(d->x, first, 64);
    tsr_data_free(c, d);
}

TEST(order_is_a_permutation) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < 20; k++) {
        int64_t n = test_int(0, 300), order[300], again[300], other[300];
        test_case("n=%d", (int)n);
        bool seen[300] = {0};
        uint8_t x[300] = {0};
        tsr_data *d = tsr_data_new(c, TSR_U8, n, 0, NULL, x, NULL, 0);
        tsr_data_order(d, 7, 3, order), tsr_data_order(d, 7, 3, again), tsr_data_order(d, 7, 4, other);
        for (int64_t i = 0; i < n; i++) CHECK(order[i] >= 0 && order[i] < n && !seen[order[i]]), seen[order[i]] = true;
        CHECK_BYTES(again, order, (size_t)n * 8);
        if (n > 20) CHECK(memcmp(other, order, (size_t)n * 8));
        tsr_data_free(c, d);
    }
}

TEST(split_keeps_every_example_once) {
    tsr_ctx *c = test_ctx();
    tsr_data *d = tsr_data_digits(c), *a = NULL, *b = NULL;
    CHECK_EQ(tsr_data_split(c, d, 0.2, 5, &a, &b), TSR_OK);
    if (!CHECK_OK(c)) return;
    CHECK_EQ(a->count, 1797 - 359), CHECK_EQ(b->count, 359);
    int64_t sum = 0, parts = 0;
    for (int64_t i = 0; i < d->count * 64; i++) sum += ((const uint8_t *)d->x)[i];
    for (int64_t i = 0; i < a->count * 64; i++) parts += ((const uint8_t *)a->x)[i];
    for (int64_t i = 0; i < b->count * 64; i++) parts += ((const uint8_t *)b->x)[i];
    CHECK_EQ(parts, sum);
    tsr_data_free(c, a), tsr_data_free(c, b);
    CHECK(tsr_data_split(c, d, 1.5, 5, &a, &b) == TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "outside [0, 1]");
    CHECK(!a && !b);
    tsr_data_free(c, d);
}

static bool all_readers(tsr_ctx *c, void *arg) {
    (void)arg;
    const char *text = "a,k,b\n1,x,2\n3,y,4\n5,x,\"6\"\n";
    tsr_data *d = tsr_data_csv_parse(c, text, strlen(text), "t", &(tsr_csv_opts){.label = "k"}), *a = NULL, *b = NULL;
    tsr_array z = {0};
    uint8_t idx[] = {0, 0, 12, 1, 0, 0, 0, 1, 1, 2, 3, 4};
    bool ok = d && !tsr_data_split(c, d, 0.5, 1, &a, &b) && !tsr_idx_parse(c, idx, sizeof idx, "t", &z);
    tsr_array_release(c, &z);
    tsr_data_free(c, a), tsr_data_free(c, b), tsr_data_free(c, d);
    return ok;
}

TEST(data_torture) { CHECK(torture(all_readers, NULL) > 10); }
