/* test_npy.c: NumPy's file format: headers NumPy writes, either order of bytes and axes, files that lie, round
 * trips. */
#include "harness.h"

#include "formats/npz/npy.h"
#include "tessera/run.h"

/* A file of version 1 with this header text and these bytes. */
static size_t make(uint8_t *out, const char *header, const void *data, size_t n) {
    size_t h = strlen(header);
    memcpy(out, "\x93NUMPY\x01", 8);
    out[8] = (uint8_t)h, out[9] = (uint8_t)(h >> 8);
    memcpy(out + 10, header, h);
    memcpy(out + 10 + h, data, n);
    return 10 + h + n;
}

static tsr_node *load(tsr_ctx *c, const char *header, const void *data, size_t n, const tsr_dtype *want, bool raw) {
    uint8_t file[512];
    const char *path = test_path("a.npy");
    test_write_file(path, file, make(file, header, data, n));
    return npy_load(c, path, want, raw);
}

TEST(orders) {
    tsr_ctx *c = test_ctx();
    static const uint8_t little[] = {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0}, big[] = {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6};
    static const struct { const char *name, *header; const uint8_t *data; int16_t want[6]; } t[] = {
        {"C order", "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n", little, {1, 2, 3, 4, 5, 6}},
        {"Fortran order", "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n", little, {1, 3, 5, 2, 4, 6}},
        {"big endian", "{'descr': '>i2', 'fortran_order': False, 'shape': (6,), }", big, {1, 2, 3, 4, 5, 6}},
        {"other spacing", "{\"shape\":(1,6),\"fortran_order\":False,\"descr\":\"<i2\"}", little, {1, 2, 3, 4, 5, 6}},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        int16_t got[6];
        test_case("%s", t[i].name);
        tsr_node *n = load(c, t[i].header, t[i].data, 12, NULL, false);
        if (!CHECK_OK(c)) continue;
        CHECK(tsr_node_dtype(n) == TSR_I16 && !tsr_read(c, n, got, sizeof got));
        CHECK_BYTES(got, t[i].want, sizeof got);
    }
}

TEST(big_endian_complex) {
    tsr_ctx *c = test_ctx();
    static const uint8_t data[] = {0x3f, 0x80, 0, 0, 0x40, 0, 0, 0};
    float got[2];
    tsr_node *n = load(c, "{'descr': '>c8', 'fortran_order': False, 'shape': (), }", data, 8, NULL, false);
    CHECK(tsr_node_rank(n) == 0 && !tsr_read(c, n, got, sizeof got));
    CHECK(got[0] == 1 && got[1] == 2);
    CHECK_OK(c);
}

TEST(bits_of_types_numpy_lacks) {
    tsr_ctx *c = test_ctx();
    static const uint16_t bits[] = {0x3f80, 0x4000};
    static const char v2[] = "{'descr': '<V2', 'fortran_order': False, 'shape': (2,), }";
    static const char u2[] = "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }";
    tsr_dtype bf16 = TSR_BF16;
    struct { const char *header; const tsr_dtype *want; bool raw; tsr_dtype is; } t[] = {{v2, &bf16, false, TSR_BF16},
        {v2, NULL, false, TSR_BF16}, {u2, &bf16, true, TSR_BF16}, {u2, &bf16, false, TSR_U16}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        uint16_t got[2];
        test_case("%zu", i);
        tsr_node *n = load(c, t[i].header, bits, 4, t[i].want, t[i].raw);
        if (CHECK_OK(c)) CHECK(tsr_node_dtype(n) == t[i].is && !tsr_read(c, n, got, 4) && !memcmp(got, bits, 4));
    }
}

TEST(round_trips) {
    static const tsr_dtype all[] = {TSR_F64, TSR_F32, TSR_F16, TSR_BF16, TSR_F8E4M3, TSR_F8E5M2, TSR_I64, TSR_I32,
        TSR_I16, TSR_I8, TSR_U64, TSR_U32, TSR_U16, TSR_U8, TSR_BOOL, TSR_C64, TSR_C128};
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int raw = 0; raw < 2; raw++) {
            uint8_t data[16 * 30], back[16 * 30];
            int64_t dim[2] = {test_int(0, 5), test_int(1, 6)};
            size_t bytes;
            test_case("%s%s, %lld x %lld", tsr_dtype_name(all[i]), raw ? ", raw" : "", (long long)dim[0],
                (long long)dim[1]);
            CHECK(tsr_dtype_bytes(all[i], dim[0] * dim[1], &bytes));
            for (size_t b = 0; b < bytes; b++) data[b] = (uint8_t)test_int(0, all[i] == TSR_BOOL ? 1 : 255);
            tsr_node *n = tsr_tensor(c, all[i], 2, dim, data);
            CHECK(!npy_save(c, test_path("b.npy"), n, raw));
            n = npy_load(c, test_path("b.npy"), &all[i], raw);
            if (!CHECK_OK(c)) continue;
            CHECK(tsr_node_dtype(n) == all[i] && tsr_node_dim(n, 0) == dim[0] && tsr_node_dim(n, 1) == dim[1]);
            CHECK(!tsr_read(c, n, back, bytes) && !memcmp(data, back, bytes));
        }
}

TEST(files_that_lie) {
    static const struct { const char *name, *header, *says; size_t data; } t[] = {
        {"shape beyond the file", "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "shorter", 8},
        {"huge extents", "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "elements",
            8},
        {"an extent past 64 bits", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
            "too large", 8},
        {"a negative extent", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "no number", 8},
        {"objects", "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "no dtype", 8},
        {"no shape", "{'descr': '<f4', 'fortran_order': False}", "lacks", 8},
        {"a key twice", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", "other keys", 8},
        {"a word without an end", "{'descr': '<f4", "does not end", 0},
        {"no dictionary", "[1, 2]", "no dictionary", 8},
    };
    tsr_ctx *c = test_ctx();
    static const uint8_t zero[16];
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        test_case("%s", t[i].name);
        CHECK(tsr_is_poison(load(c, t[i].header, zero, t[i].data, NULL, false)));
        CHECK_CONTAINS(tsr_error_message(c), t[i].says);
        tsr_error_clear(c);
    }
    uint8_t file[128];
    struct npy f;
    size_t n = make(file, "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }", zero, 4);
    for (size_t cut = 0; cut < n; cut++) {
        test_case("cut after %zu bytes", cut);
        CHECK(!npy_parse(c, "cut", file, cut, &f));
        CHECK(tsr_error_status(c) == TSR_EFORMAT);
        tsr_error_clear(c);
    }
}
