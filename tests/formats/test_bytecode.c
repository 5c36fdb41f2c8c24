/* test_bytecode.c: MLIR bytecode written by hand, as its description says, in every container version; every way such a
 * file can lie; constants that are not copied; and the suite's files against their texts. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/stablehlo/read.h"
#include "formats/stablehlo/twin.h"
#include "formats/stablehlo/vhlo.h"
#include "suite.h"

/* ---- a writer --------------------------------------------------------------------------------------------------- */

struct out {
    uint8_t *p;
    size_t n, cap;
};

static void byte(struct out *o, unsigned v) {
    if (o->n == o->cap) {
        o->cap = o->cap ? 2 * o->cap : 64;
        if (!(o->p = realloc(o->p, o->cap))) abort();
    }
    o->p[o->n++] = (uint8_t)v;
}

static void bytes(struct out *o, const void *p, size_t n) {
    for (size_t i = 0; i < n; i++) byte(o, ((const uint8_t *)p)[i]);
}

/* The number of bytes that follow is that of the zero bits at the low end of the first. */
static void num(struct out *o, uint64_t v) {
    unsigned more = 0;
    while (more < 8 && v >> (7 * (more + 1))) more++;
    if (more == 8) {
        byte(o, 0), bytes(o, &v, 8);
        return;
    }
    v = (v << 1 | 1) << more;
    bytes(o, &v, more + 1);
}

static void sint(struct out *o, int64_t v) {
    num(o, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static void drop(struct out *o) {
    free(o->p);
    *o = (struct out){0};
}

/* Section id with what o holds, which is emptied; align 0: none. */
static void section(struct out *to, unsigned id, uint64_t align, struct out *o) {
    byte(to, id | (align ? 128 : 0));
    num(to, o->n);
    if (align) num(to, align);
    while (align && to->n % align) byte(to, 0xcb);
    bytes(to, o->p, o->n);
    drop(o);
}

/* A file in the making: the strings are fixed; attributes and types are added one by one. */
enum { S_BUILTIN, S_VHLO, S_MODULE, S_FUNC, S_CONSTANT, S_RETURN, S_VALUE, S_SYM_NAME, S_MAIN, S_FUNCTION_TYPE, S_KEY,
    S_COUNT };
static const char *const words[S_COUNT] = {"builtin", "vhlo", "module", "func_v1", "constant_v1", "return_v1", "value",
    "sym_name", "main", "function_type", "key"};
enum { BUILTIN, VHLO };
struct maker {
    unsigned version;
    const char *producer;
    struct out attrs, types, attr_sizes, type_sizes, entry, resources, resource_offsets, ir;
    unsigned nattr, ntype;
};

static unsigned add(struct maker *k, bool type, unsigned dialect) {
    struct out *sizes = type ? &k->type_sizes : &k->attr_sizes;
    num(sizes, dialect), num(sizes, 1), num(sizes, k->entry.n << 1 | 1);
    bytes(type ? &k->types : &k->attrs, k->entry.p, k->entry.n);
    drop(&k->entry);
    return type ? k->ntype++ : k->nattr++;
}

static unsigned add_string(struct maker *k, unsigned dialect, unsigned s) {
    num(&k->entry, dialect == VHLO ? 14 : 2), num(&k->entry, s);
    return add(k, false, dialect);
}

static unsigned add_dict(struct maker *k, unsigned n, const unsigned (*pair)[2]) {
    num(&k->entry, 1), num(&k->entry, n);
    for (unsigned i = 0; i < n; i++) num(&k->entry, pair[i][0]), num(&k->entry, pair[i][1]);
    return add(k, false, BUILTIN);
}

static unsigned add_list(struct maker *k, unsigned n, unsigned item) {
    num(&k->entry, 1), num(&k->entry, n);
    for (unsigned i = 0; i < n; i++) num(&k->entry, item);
    return add(k, false, VHLO);
}

static unsigned add_tensor(struct maker *k, int rank, const int64_t *dim, unsigned elem) {
    num(&k->entry, 20), num(&k->entry, (unsigned)rank);
    for (int i = 0; i < rank; i++) sint(&k->entry, dim[i]);
    num(&k->entry, elem);
    return add(k, true, VHLO);
}

static unsigned add_constant(struct maker *k, unsigned type, const void *p, size_t n) {
    num(&k->entry, 15), num(&k->entry, type), num(&k->entry, n), bytes(&k->entry, p, n);
    return add(k, false, VHLO);
}

/* Operation `name` (index into the words from S_MODULE on) with its attributes, location 0 and what the mask adds. */
static void op(struct out *o, unsigned name, unsigned mask, unsigned attrs) {
    num(o, name - S_MODULE), byte(o, mask), num(o, 0);
    if (mask & 1) num(o, attrs);
}

/* The operations' one region, isolated: from version 2 on in a section of its own. */
static void region(struct maker *k, struct out *to, struct out *inside) {
    num(to, 1 << 1 | 1);
    if (k->version >= 2) {
        section(to, 4, 0, inside);
    } else {
        bytes(to, inside->p, inside->n);
        drop(inside);
    }
}

/* module { func @main() -> T { return constant } } around the constant and its type. */
static void add_main(struct maker *k, unsigned constant, unsigned type) {
    unsigned value = add_string(k, BUILTIN, S_VALUE);
    unsigned constant_attrs = add_dict(k, 1, (const unsigned[][2]){{value, constant}});
    num(&k->entry, 8), num(&k->entry, 0), num(&k->entry, 1), num(&k->entry, type);
    unsigned function = add(k, true, VHLO);
    num(&k->entry, 17), num(&k->entry, function);
    unsigned function_type = add(k, false, VHLO);
    unsigned name[2] = {add_string(k, BUILTIN, S_SYM_NAME), add_string(k, VHLO, S_MAIN)};
    unsigned of = add_string(k, BUILTIN, S_FUNCTION_TYPE);
    unsigned func_attrs = add_dict(k, 2, (const unsigned[][2]){{name[0], name[1]}, {of, function_type}});
    struct out body = {0}, funcs = {0};
    num(&body, 1), num(&body, 1), num(&body, 2 << 1); /* a block, a value, two operations without arguments */
    op(&body, S_CONSTANT, 1 | 2, constant_attrs), num(&body, 1), num(&body, type);
    op(&body, S_RETURN, 4, 0), num(&body, 1), num(&body, 0);
    num(&funcs, 1), num(&funcs, 0), num(&funcs, 1 << 1);
    op(&funcs, S_FUNC, 1 | 16, func_attrs), region(k, &funcs, &body);
    num(&k->ir, 1 << 1);
    op(&k->ir, S_MODULE, 16, 0), region(k, &k->ir, &funcs);
}

static struct maker maker(unsigned version) {
    struct maker k = {.version = version, .producer = "StableHLO_v1.20.0"};
    num(&k.entry, 15), add(&k, false, BUILTIN); /* attribute 0: the unknown location */
    num(&k.entry, 4), add(&k, true, VHLO);      /* type 0: f32 */
    return k;
}

static void put_strings(struct out *o) {
    num(o, S_COUNT);
    for (int i = S_COUNT; i-- > 0;) num(o, strlen(words[i]) + 1);
    for (int i = 0; i < S_COUNT; i++) bytes(o, words[i], strlen(words[i]) + 1);
}

static void put_dialects(const struct maker *k, struct out *o) {
    unsigned flag = k->version >= 5; /* names: registered */
    num(o, 2);
    for (unsigned i = 0; i < 2; i++) num(o, k->version >= 1 ? i << 1 : i);
    if (k->version >= 4) num(o, 4);
    num(o, BUILTIN), num(o, 1), num(o, flag ? S_MODULE << 1 | 1 : S_MODULE);
    num(o, VHLO), num(o, 3);
    for (unsigned i = S_FUNC; i <= S_RETURN; i++) num(o, flag ? i << 1 | 1 : i);
}

/* The file; the maker is emptied. */
static struct out finished(struct maker *k) {
    struct out file = {0}, o = {0};
    bytes(&file, "ML\xefR", 4), num(&file, k->version), bytes(&file, k->producer, strlen(k->producer) + 1);
    put_strings(&o), section(&file, 0, 0, &o);
    put_dialects(k, &o), section(&file, 1, 0, &o);
    bytes(&k->attrs, k->types.p, k->types.n), drop(&k->types);
    section(&file, 2, 8, &k->attrs);
    num(&o, k->nattr), num(&o, k->ntype);
    bytes(&o, k->attr_sizes.p, k->attr_sizes.n), bytes(&o, k->type_sizes.p, k->type_sizes.n);
    drop(&k->attr_sizes), drop(&k->type_sizes);
    section(&file, 3, 0, &o);
    if (k->resource_offsets.n) section(&file, 5, 64, &k->resources), section(&file, 6, 0, &k->resource_offsets);
    if (k->version >= 5) section(&file, 8, 0, &o);
    section(&file, 4, 0, &k->ir);
    return file;
}

/* @main gives f32 values of one axis. */
static struct out constant_file(unsigned version, const float *v, int64_t n) {
    struct maker k = maker(version);
    unsigned t = add_tensor(&k, 1, &n, 0);
    add_main(&k, add_constant(&k, t, v, (size_t)n * sizeof *v), t);
    return finished(&k);
}

static const struct hlo_attr *constant_of(const struct hlo_module *m) {
    const struct hlo_op *f = hlo_find_func(m, "main");
    return f ? hlo_get(f->region[0].block[0].first, "value") : NULL;
}

/* ---- what the description says ---------------------------------------------------------------------------------- */

static const float four[4] = {1, -2.5f, 0, 1e30f};

TEST(reads_every_version_of_the_container) {
    for (unsigned version = 0; version <= 6; version++) {
        tsr_ctx *c = test_ctx();
        test_case("version %u", version);
        struct out f = constant_file(version, four, 4);
        struct hlo_module *m = hlo_read_bytecode(c, "t", f.p, f.n);
        struct str text;
        str_init(&text, c);
        if (m) hlo_print(&text, m);
        CHECK_OK(c);
        CHECK_STR(text.s, "module {\n  func.func @main() -> tensor<4xf32> {\n    %cst = stablehlo.constant "
            "dense<[1.000000e+00, -2.500000e+00, 0.000000e+00, 1.000000e+30]> : tensor<4xf32>\n"
            "    return %cst : tensor<4xf32>\n  }\n}\n");
        str_release(&text);
        if (m) CHECK(m->version[0] == 1 && m->version[1] == 20 && m->version[2] == 0);
        hlo_module_free(m);
        drop(&f);
        test_ctx_close(c);
    }
}

TEST(numbers_of_every_length) {
    tsr_ctx *c = test_ctx();
    for (int bits = 0; bits < 62; bits++) {
        test_case("2^%d", bits);
        int64_t dim[2] = {(int64_t)1 << bits, 0}; /* a constant without elements has an extent of any size */
        struct maker k = maker(6);
        unsigned t = add_tensor(&k, 2, dim, 0);
        add_main(&k, add_constant(&k, t, NULL, 0), t);
        struct out f = finished(&k);
        struct hlo_module *m = hlo_read_bytecode(c, "t", f.p, f.n);
        if (CHECK_OK(c)) CHECK_EQ(constant_of(m)->type->dim[0], dim[0]);
        hlo_module_free(m);
        drop(&f);
    }
}

/* Bits, a byte each as some old files have, splats: FF and 00. */
TEST(booleans) {
    static const struct { const char *bytes; size_t n; int64_t count; const char *want; } cases[] = {
        {"\x05", 1, 3, "101"}, {"\x01\x00\x01", 3, 3, "101"}, {"\xff", 1, 3, "111"}, {"\x00", 1, 12, "000000000000"},
        {"\xff", 1, 12, "111111111111"}, {"\x01\x08", 2, 12, "100000000001"}, {"\x01", 1, 1, "1"}, {"\x00", 1, 1, "0"},
        {"", 0, 0, ""}, {"\xff", 1, 1, "1"},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case("%lld in %zu bytes", (long long)cases[i].count, cases[i].n);
        struct maker k = maker(6);
        num(&k.entry, 0);
        unsigned t = add_tensor(&k, 1, &cases[i].count, add(&k, true, VHLO));
        add_main(&k, add_constant(&k, t, cases[i].bytes, cases[i].n), t);
        struct out f = finished(&k);
        struct hlo_module *m = hlo_read_bytecode(c, "t", f.p, f.n);
        int64_t v[16];
        if (CHECK_OK(c) && CHECK(hlo_elements_ints(c, constant_of(m), v))) {
            for (int64_t j = 0; j < cases[i].count; j++) CHECK_EQ(v[j], cases[i].want[j] - '0');
        }
        hlo_module_free(m);
        drop(&f);
    }
}

/* ---- constants stay where they are ------------------------------------------------------------------------------ */

TEST(constants_are_not_copied) {
    uint64_t allocs[2];
    size_t peak[2];
    static float many[1 << 18];
    for (int i = 0; i < 1 << 18; i++) many[i] = (float)i;
    for (int large = 0; large < 2; large++) {
        tsr_ctx *c = test_ctx();
        struct out f = constant_file(6, many, large ? 1 << 18 : 16);
        tsr_mem_stats before = tsr_memory(c);
        struct hlo_module *m = hlo_read_bytecode(c, "t", f.p, f.n);
        tsr_mem_stats after = tsr_memory(c);
        allocs[large] = after.allocs - before.allocs, peak[large] = after.peak - before.now;
        if (CHECK_OK(c)) {
            const struct hlo_attr *a = constant_of(m);
            const uint8_t *p = a->data;
            CHECK(p > f.p && p + a->ndata < f.p + f.n && a->store == HLO_STORE_BYTES);
            CHECK_BYTES(p, many, a->ndata);
        }
        hlo_module_free(m);
        drop(&f);
        test_ctx_close(c);
    }
    CHECK_EQ(allocs[1], allocs[0]);
    CHECK_EQ(peak[1], peak[0]);
}

static struct out resource_file(bool without_bytes) {
    struct maker k = maker(6);
    unsigned t = add_tensor(&k, 1, (const int64_t[]){4}, 0);
    byte(&k.resources, 0x42); /* someone else's resource comes first, so alignment has something to skip */
    if (!without_bytes) {
        num(&k.resources, 64), num(&k.resources, sizeof four);
        while (k.resources.n % 64) byte(&k.resources, 0xcb);
        bytes(&k.resources, four, sizeof four);
    }
    struct out *o = &k.resource_offsets;
    num(o, 1), num(o, S_MAIN), num(o, 1), num(o, S_VALUE), num(o, 1), byte(o, 1);
    num(o, BUILTIN), num(o, 1), num(o, S_KEY), num(o, k.resources.n - 1), byte(o, 0);
    num(&k.entry, 16), num(&k.entry, t), num(&k.entry, 0);
    add_main(&k, add(&k, false, BUILTIN), t);
    return finished(&k);
}

TEST(resources_are_not_copied) {
    tsr_ctx *c = test_ctx();
    struct out f = resource_file(false);
    struct hlo_module *m = hlo_read_bytecode(c, "t", f.p, f.n);
    if (CHECK_OK(c)) {
        const struct hlo_attr *a = constant_of(m);
        const uint8_t *p = a->data;
        CHECK(p > f.p && p + a->ndata < f.p + f.n && (p - f.p) % 64 == 0);
        CHECK_BYTES(p, four, sizeof four);
    }
    hlo_module_free(m);
    drop(&f);
    f = resource_file(true);
    CHECK(!hlo_read_bytecode(c, "t", f.p, f.n));
    CHECK_ERROR(c, TSR_EINVAL, "resource 'key' has no bytes");
    drop(&f);
}

/* ---- files that lie --------------------------------------------------------------------------------------------- */

/* Reads the file, which must be refused with an error that names a byte and says `part`. */
static void refuse(struct out *f, const char *part) {
    tsr_ctx *c = test_ctx();
    struct hlo_module *m = hlo_read_bytecode(c, "t", f->p, f->n);
    CHECK(!m);
    CHECK_CONTAINS(tsr_error_message(c), "t: byte ");
    CHECK_ERROR(c, TSR_EINVAL, part);
    hlo_module_free(m);
    drop(f);
    test_ctx_close(c);
}

TEST(versions) {
    static const struct { const char *producer; bool ok; const char *part; } cases[] = {
        {"StableHLO_v0.9.0", true, ""}, {"StableHLO_v1.20.7", true, ""}, {"MLIR22.0.0", true, ""},
        {"StableHLO_v0.8.9", false, "StableHLO 0.8.9, but versions 0.9 to 1.20"},
        {"StableHLO_v1.21.0", false, "1.21.0"}, {"StableHLO_v2.0.0", false, "2.0.0"}, {"StableHLO_v", false, "x.y.z"},
        {"StableHLO_v1.x", false, "x.y.z"}, {"StableHLO_v99999999999999999999.1.1", false, "99999"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case("%s", cases[i].producer);
        struct maker k = maker(6);
        k.producer = cases[i].producer;
        unsigned t = add_tensor(&k, 1, (const int64_t[]){4}, 0);
        add_main(&k, add_constant(&k, t, four, sizeof four), t);
        struct out f = finished(&k);
        if (!cases[i].ok) {
            refuse(&f, cases[i].part);
            continue;
        }
        tsr_ctx *c = test_ctx();
        struct hlo_module *m = hlo_read_bytecode(c, "t", f.p, f.n);
        CHECK(m);
        CHECK_OK(c);
        hlo_module_free(m);
        drop(&f);
        test_ctx_close(c);
    }
    test_case("container");
    struct maker k = maker(7);
    struct out f = finished(&k);
    refuse(&f, "bytecode of version 7");
}

/* The module's attribute `value` is the last one added. */
static void refuse_attr(struct maker *k, unsigned attr, const char *part) {
    unsigned t = add_tensor(k, 1, (const int64_t[]){4}, 0);
    add_main(k, attr, t);
    struct out f = finished(k);
    refuse(&f, part);
}

TEST(hostile_attributes) {
    struct maker k = maker(6);
    unsigned a;
    test_case("deep");
    a = add_string(&k, VHLO, S_VALUE);
    for (int i = 0; i < 300; i++) a = add_list(&k, 1, a);
    refuse_attr(&k, a, "nested more than");
    test_case("holds itself");
    k = maker(6);
    refuse_attr(&k, add_list(&k, 1, k.nattr), "holds itself");
    test_case("spreads"); /* 2^60 entries in 60 * 5 bytes */
    k = maker(6);
    a = add_string(&k, VHLO, S_VALUE);
    for (int i = 0; i < 60; i++) a = add_list(&k, 2, a);
    refuse_attr(&k, a, "spread");
    test_case("a long list");
    k = maker(6);
    num(&k.entry, 1), num(&k.entry, UINT64_MAX);
    refuse_attr(&k, add(&k, false, VHLO), "promised");
    test_case("a code that does not exist");
    k = maker(6);
    num(&k.entry, 63);
    refuse_attr(&k, add(&k, false, VHLO), "attribute 63 of dialect 'vhlo' is unknown");
    test_case("bytes left over");
    k = maker(6);
    num(&k.entry, 14), num(&k.entry, 0), num(&k.entry, 0);
    refuse_attr(&k, add(&k, false, VHLO), "1 bytes after");
    test_case("no such string");
    k = maker(6);
    refuse_attr(&k, add_string(&k, VHLO, 1000), "string 1000 asked for");
    test_case("no such attribute");
    k = maker(6);
    refuse_attr(&k, 1000, "attribute 1000 asked for");
}

TEST(hostile_constants) {
    static const struct { int64_t dim[2]; size_t n; const char *part; } cases[] = {
        {{4, 1}, 15, "has 15 bytes"}, {{4, 1}, 0, "has 0 bytes"}, {{INT64_MAX, INT64_MAX}, 8, "size that fits"},
        {{INT64_MAX / 2, 1}, 8, "size that fits"}, {{INT64_MIN, 1}, 4, "size that fits"}, {{-1, 1}, 4, "extent -1"},
        {{0, 1}, 3, "has 3 bytes"}, {{1, 1}, 8, "has 8 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case("[%lld, %lld] in %zu bytes", (long long)cases[i].dim[0], (long long)cases[i].dim[1], cases[i].n);
        struct maker k = maker(6);
        unsigned t = add_tensor(&k, 2, cases[i].dim, 0);
        add_main(&k, add_constant(&k, t, four, cases[i].n), t);
        struct out f = finished(&k);
        refuse(&f, cases[i].part);
    }
}

/* A file whose operations are k->ir; its attributes are the location alone. */
static void refuse_ir(struct maker *k, const char *part) {
    struct out f = finished(k);
    refuse(&f, part);
}

TEST(hostile_operations) {
    struct maker k = maker(1); /* before version 2 regions lie where they are */
    test_case("nested without end");
    num(&k.ir, 1 << 1);
    for (int i = 0; i < 300; i++) {
        op(&k.ir, S_MODULE, 16, 0), num(&k.ir, 1 << 1 | 1);
        num(&k.ir, 1), num(&k.ir, 0), num(&k.ir, 1 << 1);
    }
    refuse_ir(&k, "regions nested more than");
    test_case("more values than bytes");
    k = maker(1);
    num(&k.ir, 1 << 1);
    op(&k.ir, S_MODULE, 16, 0), num(&k.ir, 1 << 1), num(&k.ir, 1), num(&k.ir, UINT64_MAX / 2);
    refuse_ir(&k, "values promised");
    test_case("more results than values");
    k = maker(1);
    num(&k.ir, 1 << 1);
    op(&k.ir, S_MODULE, 2, 0), num(&k.ir, 1), num(&k.ir, 0);
    refuse_ir(&k, "more than the 0 values");
    test_case("used before it is defined");
    k = maker(1);
    num(&k.ir, 1 << 1);
    op(&k.ir, S_MODULE, 16, 0), num(&k.ir, 1 << 1), num(&k.ir, 1), num(&k.ir, 1), num(&k.ir, 1 << 1);
    op(&k.ir, S_RETURN, 4, 0), num(&k.ir, 1), num(&k.ir, 0);
    refuse_ir(&k, "value 0 is used before it is defined");
    test_case("successors");
    k = maker(1);
    num(&k.ir, 1 << 1);
    op(&k.ir, S_RETURN, 8, 0), num(&k.ir, 1), num(&k.ir, 0);
    refuse_ir(&k, "branches to another block");
    test_case("no such operation");
    k = maker(1);
    num(&k.ir, 1 << 1), num(&k.ir, 99), byte(&k.ir, 0), num(&k.ir, 0);
    refuse_ir(&k, "operation name 99 asked for");
}

/* Any bytes: refused with a message, or a module that prints; never a crash, and memory linear in the size. */
static void survive(const uint8_t *p, size_t n) {
    tsr_ctx *c = test_ctx();
    uint8_t *copy = mem_alloc(c, n); /* of its exact size: reading past the end is seen */
    if (n) memcpy(copy, p, n);
    size_t before = tsr_memory(c).now;
    struct hlo_module *m = hlo_read_bytecode(c, "t", copy, n);
    CHECK_MSG(tsr_memory(c).peak - before < 600 * n + 400000, "%zu bytes took %zu of memory", n,
        tsr_memory(c).peak - before);
    CHECK((m != NULL) == (tsr_error_status(c) == TSR_OK));
    if (!m) CHECK_CONTAINS(tsr_error_message(c), "t: byte ");
    struct str text;
    str_init(&text, c);
    if (m) hlo_print(&text, m);
    CHECK(!text.failed);
    str_release(&text);
    hlo_module_free(m);
    mem_free(c, copy, n);
    test_ctx_close(c);
}

/* The last string's length takes in the byte that holds the next length, so that this one begins behind its own end. */
TEST(hostile_strings) {
    struct out file = {0}, o = {0};
    bytes(&file, "ML\xefR", 4), num(&file, 6), bytes(&file, "StableHLO_v1.20.0", 18);
    num(&o, 2);
    byte(&o, 0), bytes(&o, &(uint64_t){3}, 8); /* the last string has 3 bytes; the long form ends with a zero byte */
    num(&o, 1), byte(&o, 'a'), byte(&o, 0);
    section(&file, 0, 0, &o);
    for (unsigned id = 1; id <= 8; id++) byte(&o, 0), section(&file, id, 0, &o);
    refuse(&file, "string 0 has no end");
}

TEST(truncated_and_damaged) {
    for (unsigned version = 0; version <= 6; version += 2) {
        struct out f = constant_file(version, four, 4);
        test_case("version %u", version);
        for (size_t n = 0; n < f.n; n++) survive(f.p, n);
        for (size_t i = 0; i < f.n; i++) {
            uint8_t was = f.p[i];
            for (int k = 0; k < 4; k++) {
                f.p[i] = (uint8_t)(k == 0 ? 0 : k == 1 ? 255 : test_int(0, 255));
                survive(f.p, f.n);
            }
            f.p[i] = was;
        }
        drop(&f);
    }
}

static bool read_and_free(tsr_ctx *c, void *arg) {
    const struct out *f = arg;
    struct hlo_module *m = hlo_read_bytecode(c, "t", f->p, f->n);
    hlo_module_free(m);
    return m;
}

TEST(memory_runs_out) {
    struct out f = constant_file(6, four, 4);
    CHECK(torture(read_and_free, &f) > 10);
    drop(&f);
    f = resource_file(false);
    CHECK(torture(read_and_free, &f) > 10);
    drop(&f);
}

/* ---- the tables ------------------------------------------------------------------------------------------------- */

static const char *const op_names[] = {
#define VHLO_OP(name, hlo, since_major, since_minor, until_major, until_minor, attrs) name,
#define VHLO_GROUP(op, attr, structure)
#define VHLO_FIELD(structure, field, attr)
#define VHLO_RULE(op, attr, rule)
#include "formats/stablehlo/vhlo.def"
};

/* The encoding of properties is in the order of names, and an operation of VHLO is one of StableHLO. */
TEST(operations_are_listed_right) {
    for (size_t i = 0; i < sizeof op_names / sizeof *op_names; i++) {
        test_case("%s", op_names[i]);
        const struct vhlo_op *v = vhlo_op_find(op_names[i]);
        CHECK_STR(v->name, op_names[i]); /* the first of its name */
        CHECK(v->since[0] * 100 + v->since[1] <= v->until[0] * 100 + v->until[1]);
        CHECK(hlo_opcode_find(v->hlo, strlen(v->hlo)) != HLO_OP_UNKNOWN);
        char before[64] = "", word[64];
        for (const char *p = v->attrs; sscanf(p, "%63s", word) == 1; p = strstr(p, word) + strlen(word)) {
            CHECK_MSG(strcmp(before, word) < 0, "%s after %s", word, before);
            memcpy(before, word, sizeof before);
        }
    }
}

/* ---- the suite -------------------------------------------------------------------------------------------------- */

TEST(suite_twins) {
    const char *root = suite_find("stablehlo");
    if (!root) SKIP(SUITE_MISSING);
    struct suite_files f = suite_list(root, "tests/vhlo", ".mlir.bc");
    CHECK_EQ(f.n, 34);
    for (int i = 0; i < f.n; i++) {
        tsr_ctx *c = test_ctx();
        char text[1024];
        test_case("%s", f.name[i]);
        snprintf(text, sizeof text, "%.*s", (int)strlen(f.path[i]) - 3, f.path[i]);
        struct str why;
        str_init(&why, c);
        CHECK_MSG(hlo_twin(c, f.path[i], text, &why), "%s", why.s);
        str_release(&why);
        CHECK_OK(c);
        test_ctx_close(c);
    }
    suite_list_free(&f);
}

TEST(suite_truncated_and_damaged) {
    const char *root = suite_find("stablehlo");
    if (!root) SKIP(SUITE_MISSING);
    struct suite_files f = suite_list(root, "tests/vhlo", ".mlir.bc");
    for (int i = 0; i < f.n; i++) {
        size_t n = 0;
        uint8_t *p = (uint8_t *)suite_read(f.path[i], &n);
        test_case("%s", f.name[i]);
        if (!CHECK(p && n)) continue;
        survive(p, (size_t)test_int(0, (int64_t)n - 1));
        for (int k = 0; k < 4; k++) p[test_int(0, (int64_t)n - 1)] = (uint8_t)test_int(0, 255), survive(p, n);
        free(p);
    }
    suite_list_free(&f);
}
