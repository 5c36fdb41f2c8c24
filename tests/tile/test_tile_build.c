/* Builders and checker of tile programs: what they accept, what they refuse and how they say it, common values,
 * folding, the torture of allocation failures, structural hash and equality, statistics. */
#include "harness.h"

#include "tile/tile.h"

static tsr_tv k64(tsr_tile *p, int64_t v) { return tsr_tile_int(p, TSR_I64, v); }

/* The example of tile.h. */
static tsr_tile *scale(tsr_ctx *c, const char *name) {
    tsr_tile *p = tsr_tile_new(c, name);
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_OUT, "y");
    tsr_tv n = tsr_tile_arg(p, TSR_I64, "n"), a = tsr_tile_arg(p, TSR_F32, "a");
    tsr_tv base = tsr_tile_elem2(p, TSR_S_MUL, tsr_tile_pid(p, 0), k64(p, 1024));
    tsr_tv left = tsr_tile_elem2(p, TSR_S_SUB, n, base);
    tsr_tile_block b = {.rank = 1, .extent = {1024}, .base = base, .stride = {k64(p, 1)}, .lo = {TSR_TV_NONE},
        .hi = {left}};
    tsr_tile_store(p, y, &b, tsr_tile_elem2(p, TSR_S_MUL, a, tsr_tile_load(p, x, &b, TSR_TV_NONE)));
    return p;
}

/* A program with each kind of region: sum_i of x over n blocks, doubled until it is large, negated when odd. */
static tsr_tile *regions(tsr_ctx *c) {
    tsr_tile *p = tsr_tile_new(c, "regions");
    tsr_tv x = tsr_tile_arg_buf(p, TSR_I32, TSR_TILE_IN, "x"), y = tsr_tile_arg_buf(p, TSR_I32, TSR_TILE_OUT, "y");
    tsr_tv n = tsr_tile_arg(p, TSR_I64, "n"), one = k64(p, 1);
    int64_t shape[2] = {4, 8};
    tsr_tv zero = tsr_tile_broadcast(p, tsr_tile_int(p, TSR_I32, 0), 2, shape), sum, res;
    tsr_tv iv = tsr_tile_for(p, k64(p, 0), n, one, 1, &zero, &sum);
    tsr_tile_block b = {.rank = 2, .extent = {4, 8}, .base = tsr_tile_elem2(p, TSR_S_MUL, iv, k64(p, 32)),
                        .stride = {k64(p, 8), one}, .lo = {TSR_TV_NONE, TSR_TV_NONE}, .hi = {TSR_TV_NONE, TSR_TV_NONE}};
    tsr_tv next = tsr_tile_elem2(p, TSR_S_ADD, sum, tsr_tile_load(p, x, &b, TSR_TV_NONE));
    tsr_tile_yield(p, 1, &next);
    tsr_tile_end(p, 1, &res);
    tsr_tv row = tsr_tile_reduce(p, TSR_REDUCE_SUM, tsr_tile_reduce(p, TSR_REDUCE_SUM, res, 1), 0), total, out[2];
    tsr_tv s = tsr_tile_reshape(p, row, 0, NULL), turns[2] = {s, n}, in[2];
    tsr_tile_while(p, 2, turns, in);
    tsr_tv twice = tsr_tile_elem2(p, TSR_S_ADD, in[0], in[0]), count = tsr_tile_elem2(p, TSR_S_SUB, in[1], one);
    tsr_tv yield[3] = {tsr_tile_elem2(p, TSR_S_GT, count, k64(p, 0)), twice, count};
    tsr_tile_yield(p, 3, yield);
    tsr_tile_end(p, 2, out);
    tsr_tile_if(p, tsr_tile_elem2(p, TSR_S_LT, out[0], tsr_tile_int(p, TSR_I32, 0)));
    tsr_tv neg = tsr_tile_elem1(p, TSR_S_NEG, out[0]);
    tsr_tile_yield(p, 1, &neg);
    tsr_tile_else(p);
    tsr_tile_yield(p, 1, &out[0]);
    tsr_tile_end(p, 1, &total);
    tsr_tile_block point = {.rank = 0, .base = k64(p, 0)};
    tsr_tile_store(p, y, &point, total);
    return p;
}

TEST(example_finishes) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = scale(c, "scale");
    CHECK_EQ(tsr_tile_finish(p), TSR_OK);
    CHECK_OK(c);
    struct tile_stats s = tile_stats(p);
    CHECK(s.exact && s.bytes_loaded == 4096 && s.bytes_stored == 4096 && s.flops == 1024);
    tsr_tile_free(p);
    p = regions(c);
    CHECK_EQ(tsr_tile_finish(p), TSR_OK);
    CHECK_OK(c);
    CHECK(!tile_stats(p).exact);
    tsr_tile_free(p);
}

TEST(text_round_trip) {
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < 2; i++) {
        test_case("program %d", i);
        tsr_tile *p = i ? regions(c) : scale(c, "a \"name\"\n\\");
        tsr_tile_finish(p);
        char *text = tsr_tile_print(p);
        tsr_tile *q = tsr_tile_read(c, text, "text");
        if (!CHECK_OK(c)) return tsr_text_free(c, text), tsr_tile_free(p);
        char *again = tsr_tile_print(q);
        CHECK_STR(again, text);
        CHECK(tile_equal(p, q) && tile_hash(p) == tile_hash(q));
        tsr_text_free(c, text), tsr_text_free(c, again), tsr_tile_free(p), tsr_tile_free(q);
    }
}

TEST(equal_values_are_one) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = tsr_tile_new(c, "cse");
    tsr_tv n = tsr_tile_arg(p, TSR_I64, "n"), b = tsr_tile_arg(p, TSR_BOOL, "b");
    CHECK(k64(p, 3) == k64(p, 3) && k64(p, 3) != k64(p, 4));
    CHECK(tsr_tile_float(p, TSR_F32, 0.0) != tsr_tile_float(p, TSR_F32, -0.0));
    CHECK(tsr_tile_elem2(p, TSR_S_ADD, n, k64(p, 3)) == tsr_tile_elem2(p, TSR_S_ADD, n, k64(p, 3)));
    CHECK(tsr_tile_elem2(p, TSR_S_ADD, n, k64(p, 0)) == n);
    CHECK(tsr_tile_elem2(p, TSR_S_MUL, k64(p, 1), n) == n);
    CHECK(tsr_tile_elem2(p, TSR_S_MUL, k64(p, 6), k64(p, 7)) == k64(p, 42));
    CHECK(tsr_tile_elem2(p, TSR_S_MUL, n, k64(p, 0)) == k64(p, 0));
    tsr_tv outer = tsr_tile_elem2(p, TSR_S_MUL, n, k64(p, 5));
    tsr_tile_if(p, b);
    CHECK(tsr_tile_elem2(p, TSR_S_MUL, n, k64(p, 5)) == outer);
    tsr_tv inner = tsr_tile_elem2(p, TSR_S_MUL, n, k64(p, 9));
    tsr_tile_end(p, 0, NULL);
    CHECK(tsr_tile_elem2(p, TSR_S_MUL, n, k64(p, 9)) != inner); /* a value of a closed region is not found again */
    CHECK_EQ(tsr_tile_finish(p), TSR_OK);
    CHECK_OK(c);
    tsr_tile_free(p);
}

/* ---- refusals ---- */

struct t {
    tsr_tile *p;
    tsr_tv in, out, q, n, f, b, tile, tall; /* tile f32[4, 8], tall f32[8, 4] */
};

static void no_else_twice(struct t *t) { tsr_tile_if(t->p, t->b), tsr_tile_else(t->p), tsr_tile_else(t->p); }
static void open_end(struct t *t) { tsr_tile_if(t->p, t->b); }
static void stray_end(struct t *t) { tsr_tile_end(t->p, 0, NULL); }
static void stray_yield(struct t *t) { tsr_tile_yield(t->p, 0, NULL); }
static void mixed(struct t *t) { tsr_tile_elem2(t->p, TSR_S_ADD, t->n, t->f); }
static void misfit(struct t *t) { tsr_tile_elem2(t->p, TSR_S_ADD, t->tile, t->tall); }
static void ranks(struct t *t) { tsr_tile_elem2(t->p, TSR_S_ADD, t->tile, tsr_tile_iota(t->p, TSR_F32, 1,
    (int64_t[]){8}, 0)); }
static void arity(struct t *t) { tsr_tile_elem1(t->p, TSR_S_ADD, t->f); }
static void domain(struct t *t) { tsr_tile_elem1(t->p, TSR_S_EXP, t->n); }
static void none(struct t *t) { tsr_tile_elem1(t->p, TSR_S_NEG, TSR_TV_NONE); }
static void wild(struct t *t) { tsr_tile_elem1(t->p, TSR_S_NEG, 12345); }
static void buffer_value(struct t *t) { tsr_tile_elem1(t->p, TSR_S_NEG, t->in); }
static void too_large(struct t *t) { tsr_tile_iota(t->p, TSR_F32, 2, (int64_t[]){1024, 1024}, 0); }
static void zero_extent(struct t *t) { tsr_tile_iota(t->p, TSR_F32, 1, (int64_t[]){0}, 0); }
static void bad_axis(struct t *t) { tsr_tile_reduce(t->p, TSR_REDUCE_SUM, t->tile, 2); }
static void bad_pid(struct t *t) { tsr_tile_pid(t->p, 3); }
static void bad_perm(struct t *t) { tsr_tile_transpose(t->p, t->tile, (int[]){0, 0}); }
static void bad_reshape(struct t *t) { tsr_tile_reshape(t->p, t->tile, 1, (int64_t[]){31}); }
static void bad_broadcast(struct t *t) { tsr_tile_broadcast(t->p, t->tile, 2, (int64_t[]){4, 16}); }
static void bad_bitcast(struct t *t) { tsr_tile_bitcast(t->p, TSR_F64, t->f); }
static void bad_dot(struct t *t) { tsr_tile_dot(t->p, t->tile, t->tile, t->tile); }
static void narrow_dot(struct t *t) {
    tsr_tv acc = tsr_tile_iota(t->p, TSR_F16, 2, (int64_t[]){4, 4}, 0);
    tsr_tile_dot(t->p, t->tile, t->tall, acc);
}
static void bad_index(struct t *t) { tsr_tile_argreduce(t->p, TSR_REDUCE_MAX, t->tile, t->tile, 0); }
static tsr_tile_block point(struct t *t) { return (tsr_tile_block){.rank = 0, .base = k64(t->p, 0)}; }
static void write_in(struct t *t) { tsr_tile_block b = point(t); tsr_tile_store(t->p, t->in, &b, t->f); }
static void read_out(struct t *t) { tsr_tile_block b = point(t); tsr_tile_load(t->p, t->out, &b, TSR_TV_NONE); }
static void store_int(struct t *t) { tsr_tile_block b = point(t); tsr_tile_store(t->p, t->out, &b, t->n); }
static void store_large(struct t *t) { tsr_tile_block b = point(t); tsr_tile_store(t->p, t->out, &b, t->tile); }
static void float_base(struct t *t) { tsr_tile_block b = {.rank = 0, .base = t->f};
    tsr_tile_load(t->p, t->in, &b, TSR_TV_NONE); }
static void bad_other(struct t *t) { tsr_tile_block b = point(t); tsr_tile_load(t->p, t->in, &b, t->n); }
static void quant_stride(struct t *t) {
    tsr_tile_block b = {.rank = 1, .extent = {32}, .base = k64(t->p, 0), .stride = {t->n}, .lo = {TSR_TV_NONE},
        .hi = {TSR_TV_NONE}};
    tsr_tile_load(t->p, t->q, &b, TSR_TV_NONE);
}
static void gather_i32(struct t *t) { tsr_tile_gather(t->p, t->in, tsr_tile_iota(t->p, TSR_I32, 1, (int64_t[]){4}, 0),
    TSR_TV_NONE, TSR_TV_NONE); }
static void step_zero(struct t *t) { tsr_tile_for(t->p, t->n, t->n, k64(t->p, 0), 0, NULL, NULL); }
static void yield_count(struct t *t) { tsr_tv v; tsr_tile_for(t->p, t->n, t->n, k64(t->p, 1), 1, &t->f, &v),
    tsr_tile_yield(t->p, 0, NULL); }
static void yield_type(struct t *t) { tsr_tv v; tsr_tile_for(t->p, t->n, t->n, k64(t->p, 1), 1, &t->f, &v),
    tsr_tile_yield(t->p, 1, &t->n); }
static void while_cond(struct t *t) { tsr_tile_while(t->p, 0, NULL, NULL), tsr_tile_yield(t->p, 1, &t->n); }
static void arms(struct t *t) {
    tsr_tile_if(t->p, t->b), tsr_tile_yield(t->p, 1, &t->f), tsr_tile_else(t->p), tsr_tile_yield(t->p, 1, &t->n);
}
static void no_else(struct t *t) { tsr_tv v; tsr_tile_if(t->p, t->b), tsr_tile_yield(t->p, 1, &t->f), tsr_tile_end(t->p,
    1, &v); }
static void end_count(struct t *t) { tsr_tv v; tsr_tile_if(t->p, t->b), tsr_tile_end(t->p, 1, &v); }
static void after_yield(struct t *t) { tsr_tile_if(t->p, t->b), tsr_tile_yield(t->p, 0, NULL), tsr_tile_pid(t->p, 1); }
static void leaked(struct t *t) {
    tsr_tile_if(t->p, t->b);
    tsr_tv v = tsr_tile_elem1(t->p, TSR_S_NEG, t->f);
    tsr_tile_end(t->p, 0, NULL), tsr_tile_elem1(t->p, TSR_S_ABS, v);
}
static void late_arg(struct t *t) { tsr_tile_arg(t->p, TSR_F32, "late"); }
static void int_of_half(struct t *t) { tsr_tile_float(t->p, TSR_I32, 0.5); }
static void too_deep(struct t *t) { for (int i = 0; i <= TILE_MAX_DEPTH; i++) tsr_tile_if(t->p, t->b); }
static void cond_tile(struct t *t) { tsr_tile_if(t->p, tsr_tile_elem2(t->p, TSR_S_EQ, t->tile, t->tile)); }

TEST(refusals_teach) {
    static const struct {
        void (*build)(struct t *);
        const char *says;
    } cases[] = {
        {no_else_twice, "has its else already"}, {open_end, "still open at finish"}, {stray_end, "no region is open"},
        {stray_yield, "outside every region"}, {mixed, "operand 0 is i64 where f32 was expected"},
            {misfit, "does not fit"},
        {ranks, "ranks agree or be 0"}, {arity, "add: takes 2 operands, found 1"},
            {domain, "exp: is not defined for i64"},
        {none, "TSR_TV_NONE where a value is required"}, {wild, "to no value"},
            {buffer_value, "is a buffer; load from it"},
        {too_large, "at most 262144 elements"}, {zero_extent, "outside 1.."},
            {bad_axis, "axis 2 does not exist in f32[4, 8]"},
        {bad_pid, "the grid has axes 0, 1 and 2"}, {bad_perm, "must occur once"}, {bad_reshape, "has 32 elements"},
        {bad_broadcast, "cannot be repeated to f32[4, 16]"}, {bad_bitcast, "widths must be equal"},
        {bad_dot, "found f32[4, 8], f32[4, 8] and f32[4, 8]"}, {narrow_dot, "cannot be accumulated in f16"},
        {bad_index, "index must be an i32 or i64 tile"}, {write_in, "buffer 'in' is declared in"},
        {read_out, "buffer 'out' is declared out"}, {store_int, "cast the value"}, {store_large, "the block is f32"},
        {float_base, "base must be a scalar of i64, found f32"}, {bad_other, "other must be a scalar of f32"},
        {quant_stride, "must be the constant 1"}, {gather_i32, "offset must be of i64"},
            {step_zero, "it must be positive"},
        {yield_count, "0 values for a for that carries 1"}, {yield_type, "keeps its dtype and shape"},
        {while_cond, "must be a bool scalar"}, {arms, "where the first arm has f32"}, {no_else, "first arm"},
        {end_count, "gives 0 results, 1 were asked for"}, {after_yield, "follows a yield"},
            {leaked, "region that is closed"},
        {late_arg, "come before every other"}, {int_of_half, "is no value of i32"}, {too_deep, "nested deeper"},
        {cond_tile, "condition must be a scalar of bool, found bool[4, 8]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case("%s", cases[i].says);
        tsr_ctx *c = test_ctx();
        struct t t = {.p = tsr_tile_new(c, "wrong")};
        t.in = tsr_tile_arg_buf(t.p, TSR_F32, TSR_TILE_IN, "in"), t.out = tsr_tile_arg_buf(t.p, TSR_F32, TSR_TILE_OUT,
            "out");
        t.q = tsr_tile_arg_buf(t.p, TSR_Q8_0, TSR_TILE_IN, "q");
        t.n = tsr_tile_arg(t.p, TSR_I64, "n"), t.f = tsr_tile_arg(t.p, TSR_F32, "f"), t.b = tsr_tile_arg(t.p, TSR_BOOL,
            "b");
        t.tile = tsr_tile_iota(t.p, TSR_F32, 2, (int64_t[]){4, 8}, 0), t.tall = tsr_tile_iota(t.p, TSR_F32, 2,
            (int64_t[]){8, 4}, 0);
        cases[i].build(&t);
        CHECK_EQ(tsr_tile_finish(t.p), TSR_EINVAL);
        CHECK(tsr_tile_pid(t.p, 0) == TSR_TV_NONE); /* a broken program stays broken */
        CHECK_CONTAINS(tsr_error_message(c), "tile program 'wrong': ");
        CHECK_ERROR(c, TSR_EINVAL, cases[i].says);
        tsr_tile_free(t.p);
        test_ctx_close(c);
    }
}

TEST(block_buffers_are_read_only) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = tsr_tile_new(c, "q");
    CHECK(tsr_tile_arg_buf(p, TSR_Q8_0, TSR_TILE_OUT, "q") == TSR_TV_NONE);
    CHECK_ERROR(c, TSR_EINVAL, "can only be read");
    tsr_tile_free(p);
}

/* The checker believes nothing: each corruption of a good program is found. */
TEST(checker_finds_corruption) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = regions(c);
    tsr_tile_finish(p);
    for (size_t i = 0; i < p->inst.n; i++) {
        struct tile_inst *in = &p->inst.v[i], keep = *in;
        for (int what = 0; what < 5; what++) {
            if (what == 1 && !in->n_operand) continue;
            if (what == 2 && !in->n_result) continue;
            if (what == 4 && !tile_opens(in->op) && in->op != TILE_ELSE && in->op != TILE_END) continue;
            test_case("instruction %d corruption %d", (int)i, what);
            tsr_tv old = in->n_operand ? p->operand.v[in->operand] : 0;
            if (what == 0) in->op = in->op == TILE_END ? TILE_YIELD : TILE_END;
            if (what == 1)
                p->operand.v[in->operand] = (tsr_tv)p->value.n - 1 == old ? (tsr_tv)p->value.n : (tsr_tv)p->value.n - 1;
            if (what == 2) in->result++;
            if (what == 3) in->operand = (int32_t)p->operand.n - in->n_operand + 1;
            if (what == 4) in->match++;
            /* the last value may be a rightful operand of the last instructions */
            if (what == 1 && in->op == TILE_STORE) p->operand.v[in->operand] = -7;
            CHECK(tile_check(p) != TSR_OK);
            tsr_error_clear(c);
            if (keep.n_operand) p->operand.v[keep.operand] = old;
            *in = keep;
        }
    }
    CHECK_EQ(tile_check(p), TSR_OK);
    tsr_tile_free(p);
}

static bool build_print_read(tsr_ctx *c, void *arg) {
    (void)arg;
    tsr_tile *p = regions(c), *q = NULL;
    char *text = tsr_tile_finish(p) == TSR_OK ? tsr_tile_print(p) : NULL;
    if (text) q = tsr_tile_read(c, text, "torture");
    if (text) tsr_text_free(c, text);
    tsr_tile_free(p);
    tsr_tile_free(q);
    return q != NULL;
}

TEST(every_allocation_may_fail) { CHECK(torture(build_print_read, NULL) > 10); }
