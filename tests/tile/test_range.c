/* test_range.c: what range.c knows of signs, and what is done with it: exp of what is never above zero, by a shorter
 * way with the same bits. */
#include "harness.h"
#include "tile/tile.h"
#include "tile/vmath.h"

enum { ROW = 40 };

static tsr_tv load(tsr_tile *p, tsr_tv buf) {
    tsr_tile_block b = {.rank = 2, .extent = {1, ROW}, .base = tsr_tile_int(p, TSR_I64, 0), .lo = {TSR_TV_NONE,
        TSR_TV_NONE}, .hi = {TSR_TV_NONE, TSR_TV_NONE}};
    b.stride[0] = b.stride[1] = tsr_tile_int(p, TSR_I64, 1);
    return tsr_tile_load(p, buf, &b, TSR_TV_NONE);
}

TEST(below_its_own_maximum) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = tsr_tile_new(c, "signs");
    tsr_tv a = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "a"), b = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "b");
    tsr_tv x = load(p, a), y = load(p, b);
    tsr_tv top = tsr_tile_reduce(p, TSR_REDUCE_MAX, x, 1), least = tsr_tile_reduce(p, TSR_REDUCE_MIN, x, 1);
    tsr_tv wide = tsr_tile_broadcast(p, top, 2, (int64_t[]){1, ROW});
    tsr_tv more = tsr_tile_elem2(p, TSR_S_MAX, y, wide), other = tsr_tile_reduce(p, TSR_REDUCE_MAX, y, 1);
    const struct { const char *name; tsr_tv v; bool below; } cases[] = {
        {"x - max x", tsr_tile_elem2(p, TSR_S_SUB, x, top), true},
        {"repeated", tsr_tile_elem2(p, TSR_S_SUB, x, wide), true},
        {"x - max(y, max x)", tsr_tile_elem2(p, TSR_S_SUB, x, more), true},
        {"x - max(x, y)", tsr_tile_elem2(p, TSR_S_SUB, x, tsr_tile_elem2(p, TSR_S_MAX, x, y)), true},
        {"max x - x", tsr_tile_elem2(p, TSR_S_SUB, top, x), false},
        {"x - min x", tsr_tile_elem2(p, TSR_S_SUB, x, least), false},
        {"x - max y", tsr_tile_elem2(p, TSR_S_SUB, x, other), false},
        {"x - min(y, max x)", tsr_tile_elem2(p, TSR_S_SUB, x, tsr_tile_elem2(p, TSR_S_MIN, y, wide)), false},
        {"x + max x", tsr_tile_elem2(p, TSR_S_ADD, x, top), false},
        {"x", x, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case("%s", cases[i].name);
        CHECK_EQ(tile_never_above_zero(p, cases[i].v), cases[i].below);
    }
    CHECK_OK(c);
    tsr_tile_free(p);
}

static bool same_exp(uint32_t bits) {
    float x, one, other;
    memcpy(&x, &bits, 4);
    one = vm_exp_f32(x), other = vm_exp_below_f32(x);
    return memcmp(&one, &other, 4) == 0;
}

TEST(exp_below_has_the_bits_of_exp) {
    const uint32_t stride = 997, nans[] = {0x7f800001u, 0x7fc00000u, 0x7fc00001u, 0x7fffffffu, 0x7f8001ffu};
    for (uint64_t u = 0x80000000u + (uint64_t)test_int(0, stride - 1); u <= UINT32_MAX; u += stride)
        if (!CHECK_MSG(same_exp((uint32_t)u), "bits %08x", (unsigned)u)) break;
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) CHECK_MSG(same_exp(nans[i]), "bits %08x", nans[i]);
    CHECK(same_exp(0)), CHECK(same_exp(0x80000000u)), CHECK(same_exp(0xff800000u));
    for (uint32_t u = 0xc2ae0000u; u < 0xc2d10000u; u++) /* -87 to -104.5: results below the normal range */
        if (!CHECK_MSG(same_exp(u), "bits %08x", u)) break;
}
