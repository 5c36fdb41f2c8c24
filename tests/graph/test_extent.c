/* test_extent.c: extent expressions against plain 64-bit arithmetic, and types.
 *
 * Random expressions are built twice: as extents and as a little tree evaluated directly. If normalisation, the exact
 * division or the bounds were wrong, some binding would give another number or fall outside the proven bounds. */
#include "graph/node.h"
#include "harness.h"

enum { SYMBOLS = 3, OPS = 8 };

typedef const tsr_extent *(*builder)(tsr_ctx *, const tsr_extent *, const tsr_extent *);
static const builder build[OPS] = {tsr_extent_add, tsr_extent_sub, tsr_extent_mul, tsr_extent_floordiv,
                                   tsr_extent_ceildiv, tsr_extent_mod, tsr_extent_min, tsr_extent_max};

static int64_t floor_by(int64_t a, int64_t b) { return (a - ((a % b) + b) % b) / b; }

static int64_t apply(int op, int64_t a, int64_t b) {
    switch (op) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return floor_by(a, b);
    case 4: return -floor_by(-a, b);
    case 5: return ((a % b) + b) % b;
    case 6: return a < b ? a : b;
    default: return a > b ? a : b;
    }
}

struct pair { const tsr_extent *e; int64_t v[4]; }; /* the value under each of four bindings */

static struct pair random_pair(tsr_ctx *c, const struct pair *sym, int depth) {
    struct pair r;
    if (depth == 0 || test_int(0, 4) == 0) {
        if (test_int(0, 2)) return sym[test_int(0, SYMBOLS - 1)];
        int64_t k = test_int(-6, 12);
        r = (struct pair){tsr_extent_int(c, k), {k, k, k, k}};
        return r;
    }
    int op = (int)test_int(0, OPS - 1);
    struct pair a = random_pair(c, sym, depth - 1), b = random_pair(c, sym, depth - 1);
    if (op >= 3 && op <= 5) { /* divisors: a positive constant or a symbol of at least 1 */
        int64_t k = test_int(1, 9);
        b = test_int(0, 1) ? sym[test_int(0, SYMBOLS - 1)] : (struct pair){tsr_extent_int(c, k), {k, k, k, k}};
    }
    r.e = build[op](c, a.e, b.e);
    for (int i = 0; i < 4; i++) r.v[i] = apply(op, a.v[i], b.v[i]);
    return r;
}

TEST(expressions_match_plain_arithmetic) {
    tsr_ctx *c = test_ctx();
    struct pair sym[SYMBOLS];
    static const char *const name[SYMBOLS] = {"B", "T", "C"};
    for (int s = 0; s < SYMBOLS; s++) {
        sym[s].e = tsr_extent_symbol(c, name[s], 1, 40);
        for (int i = 0; i < 4; i++) sym[s].v[i] = i == 0 ? 1 : i == 1 ? 40 : test_int(1, 40);
    }
    for (int n = 0; n < 4000; n++) {
        test_case("expression %d", n);
        struct pair p = random_pair(c, sym, 4);
        if (!p.e) { /* grew past its limits: a clean refusal */
            CHECK_ERROR(c, TSR_EUNSUPPORTED, "extent expression");
            continue;
        }
        int64_t lo, hi;
        tsr_extent_bounds(p.e, &lo, &hi);
        for (int i = 0; i < 4; i++) {
            tsr_binding b[SYMBOLS];
            for (int s = 0; s < SYMBOLS; s++) b[s] = (tsr_binding){sym[s].e, sym[s].v[i]};
            int64_t got = 0;
            CHECK_EQ(tsr_extent_eval(c, p.e, SYMBOLS, b, &got), TSR_OK);
            CHECK_EQ(got, p.v[i]);
            CHECK(lo <= got && got <= hi);
        }
        CHECK_OK(c);
    }
}

TEST(equal_expressions_are_one_pointer) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *B = tsr_extent_symbol(c, "B", 0, 100), *T = tsr_extent_symbol(c, "T", 1, 100);
    const tsr_extent *one = tsr_extent_int(c, 1), *two = tsr_extent_int(c, 2), *four = tsr_extent_int(c, 4);
    const tsr_extent *a = tsr_extent_sub(c, tsr_extent_mul(c, tsr_extent_add(c, B, one), two), B);
    CHECK(a == tsr_extent_add(c, two, B));
    CHECK(tsr_extent_mul(c, B, T) == tsr_extent_mul(c, T, B));
    CHECK(extent_is(tsr_extent_sub(c, B, B), 0));
    CHECK(tsr_extent_floordiv(c, tsr_extent_mul(c, B, four), two) == tsr_extent_mul(c, two, B));
    CHECK(tsr_extent_floordiv(c, tsr_extent_mul(c, B, T), T) == B);
    CHECK(extent_is(tsr_extent_mod(c, tsr_extent_add(c, tsr_extent_mul(c, B, four), two), four), 2));
    CHECK(tsr_extent_ceildiv(c, tsr_extent_add(c, tsr_extent_mul(c, B, four), one), four) == tsr_extent_add(c, B, one));
    CHECK(tsr_extent_min(c, B, tsr_extent_add(c, B, T)) == B);
    CHECK_STR(extent_text(c, tsr_extent_sub(c, tsr_extent_mul(c, two, T), one)), "2*T - 1");
    CHECK_OK(c);
}

TEST(bindings_are_checked) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *B = tsr_extent_symbol(c, "B", 1, 8);
    int64_t v;
    CHECK_EQ(tsr_extent_eval(c, B, 0, NULL, &v), TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK, "size B has no value");
    CHECK_EQ(tsr_extent_eval(c, B, 1, &(tsr_binding){B, 9}, &v), TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK, "outside its bounds 1..8");
    const tsr_extent *e = tsr_extent_floordiv(c, tsr_extent_int(c, 7), tsr_extent_sub(c, B, tsr_extent_int(c, 3)));
    CHECK_EQ(tsr_extent_eval(c, e, 1, &(tsr_binding){B, 3}, &v), TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK, "divides by zero");
}

TEST(types_are_interned_and_refused) {
    tsr_ctx *c = test_ctx();
    CHECK(tsr_type_dims(c, TSR_F32, 2, (int64_t[]){3, 4}) == tsr_type_dims(c, TSR_F32, 2, (int64_t[]){3, 4}));
    CHECK(tsr_type_dims(c, TSR_F32, 2, (int64_t[]){3, 4}) != tsr_type_dims(c, TSR_F64, 2, (int64_t[]){3, 4}));
    const tsr_type *t = tsr_type_dims(c, TSR_BF16, 1, (int64_t[]){7}), *pair[] = {t, tsr_type_token(c)};
    CHECK_STR(type_text(c, tsr_type_tuple(c, 2, pair)), "(bf16[7], token)");
    CHECK(!tsr_type_dims(c, TSR_F32, 1, (int64_t[]){-1}));
    CHECK_ERROR(c, TSR_EINVAL, "sizes are not negative");
    CHECK(!tsr_type_dims(c, TSR_Q8_0, 1, (int64_t[]){33}));
    CHECK_ERROR(c, TSR_EINVAL, "multiple");
    CHECK(!tsr_type_dims(c, TSR_F32, TSR_MAX_RANK + 1, NULL));
    CHECK_ERROR(c, TSR_EINVAL, "rank");
}

static bool build_types(tsr_ctx *c, void *arg) {
    (void)arg;
    const tsr_extent *B = tsr_extent_symbol(c, "B", 1, 8);
    const tsr_extent *e[2] = {B, tsr_extent_add(c, B, tsr_extent_int(c, 1))};
    return e[0] && e[1] && tsr_type_tensor(c, TSR_F32, 2, e);
}

TEST(every_failing_allocation_is_clean) { torture(build_types, NULL); }
