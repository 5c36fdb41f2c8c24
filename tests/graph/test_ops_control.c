/* test_ops_control.c: call, while, cond, scan, host calls, kernels and collectives: what they compute (against loops
 * written out here), captures, gradients and batching by the transformations, and what their shape rules refuse. */
#include <math.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"
#include "tessera/transform.h"

extern const struct op_def op_CALL, op_WHILE, op_COND, op_SCAN, op_HOST_CALL, op_PARTITION_ID, op_REPLICA_ID,
    op_ALL_REDUCE, op_ALL_GATHER, op_REDUCE_SCATTER, op_ALL_TO_ALL, op_COLLECTIVE_PERMUTE, op_COLLECTIVE_BROADCAST,
    op_COLLECTIVE_REDUCE;
static const struct op_def *const records[] = {
    &op_CALL, &op_WHILE, &op_COND, &op_SCAN, &op_HOST_CALL, &op_PARTITION_ID, &op_REPLICA_ID, &op_ALL_REDUCE,
    &op_ALL_GATHER, &op_REDUCE_SCATTER, &op_ALL_TO_ALL, &op_COLLECTIVE_PERMUTE, &op_COLLECTIVE_BROADCAST,
    &op_COLLECTIVE_REDUCE,
};
enum { RECORDS = sizeof records / sizeof *records, MOST = 16 };

static bool run_fn(tsr_ctx *c, const tsr_fn *f, const struct ref_tensor *in, struct arena *a, struct ref_tensor *out) {
    return CHECK_EQ(interp_run(c, f, (int)f->param.n, in, a, out, &(struct interp_opts){.poison = 0xa5}), TSR_OK);
}

TEST(samples_verify_and_run) {
    tsr_ctx *c = test_ctx();
    for (int r = 0; r < RECORDS; r++)
        for (int t = 0; t <= TSR_C128; t++) {
            if (!op_admits(records[r]->domain, (tsr_dtype)t)) continue;
            test_case("%s %s", records[r]->name, tsr_dtype_name((tsr_dtype)t));
            for (int round = 0; round < 8; round++) {
                tsr_scope *scope = tsr_scope_begin(c);
                struct arena a;
                struct ref_tensor in[MOST], out[MOST];
                struct sample s;
                arena_init(&a, c);
                sample_init(&s, (tsr_dtype)t, test_rng(), round % 2);
                tsr_fn *f = records[r]->sample(c, &s);
                if (f) {
                    CHECK_EQ(tsr_verify(c, f), TSR_OK);
                    if (CHECK_EQ(sample_fill(&s, f, &a, in), TSR_OK)) run_fn(c, f, in, &a, out);
                }
                arena_release(&a);
                tsr_fn_free(c, f);
                tsr_scope_end(c, scope);
                if (!CHECK_OK(c) || !f) break;
            }
        }
}

/* ---- what they compute ------------------------------------------------------------------------------------------- */

static const tsr_type *f64s(tsr_ctx *c, int rank, int64_t n) { return tsr_type_dims(c, TSR_F64, rank, &n); }
static tsr_node *f64(tsr_ctx *c, double v) { return tsr_scalar_float(c, TSR_F64, v); }
static struct ref_tensor data(double *v, int rank, int64_t n) {
    return (struct ref_tensor){.dtype = TSR_F64, .rank = rank, .dim = {n}, .count = rank ? n : 1, .p = (uint8_t *)v};
}

/* carry = carry * x + z, y = carry, z captured */
static tsr_fn *horner(tsr_ctx *c, tsr_node *z) {
    if (tsr_fn_begin(c, "horner") != TSR_OK) return NULL;
    tsr_node *a = tsr_param(c, f64s(c, 0, 0), "a"), *x = tsr_param(c, f64s(c, 0, 0), "x");
    tsr_node *next = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_MUL, a, x), z);
    return tsr_fn_end(c, 2, (tsr_node *[]){next, next});
}

TEST(scan_is_a_loop) {
    tsr_ctx *c = test_ctx();
    for (int reverse = 0; reverse < 2; reverse++)
        for (int64_t n = 0; n < 6; n++) {
            test_case("n %d reverse %d", (int)n, reverse);
            struct arena mem;
            arena_init(&mem, c);
            CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
            tsr_node *a = tsr_param(c, f64s(c, 0, 0), "a"), *xs = tsr_param(c, f64s(c, 1, n), "xs");
            tsr_node *z = tsr_param(c, f64s(c, 0, 0), "z");
            tsr_fn *body = horner(c, z);
            tsr_node *y = tsr_prim_scan(c, body, 1, &a, 1, &xs, tsr_node_extent(xs, 0), reverse);
            tsr_fn *f = tsr_fn_end(c, 2, (tsr_node *[]){tsr_item(c, y, 0), tsr_item(c, y, 1)});
            tsr_fn_free(c, body);
            double av = test_normal(), zv = test_normal(), x[6], want[6], carry = av;
            for (int i = 0; i < 6; i++) x[i] = test_normal();
            for (int64_t i = 0; i < n; i++)
                want[reverse ? n - 1 - i : i] = carry = carry * x[reverse ? n - 1 - i : i] + zv;
            struct ref_tensor in[3] = {data(&av, 0, 0), data(x, 1, n), data(&zv, 0, 0)}, out[2];
            if (CHECK(f) && run_fn(c, f, in, &mem, out)) {
                CHECK_F64((double *)out[0].p, &carry, 1, 0, 0);
                CHECK_F64((double *)out[1].p, want, (size_t)n, 0, 0);
            }
            arena_release(&mem);
            tsr_fn_free(c, f);
            CHECK_OK(c);
        }
}

/* Collatz steps: while n != 1 */
TEST(while_is_a_loop) {
    tsr_ctx *c = test_ctx();
    const tsr_type *i64 = tsr_type_dims(c, TSR_I64, 0, NULL);
    for (int64_t start = 1; start < 12; start++) {
        test_case("from %d", (int)start);
        struct arena mem;
        arena_init(&mem, c);
        CHECK_EQ(tsr_fn_begin(c, "cond"), TSR_OK);
        tsr_node *n = tsr_param(c, i64, "n");
        tsr_param(c, i64, "steps");
        tsr_node *p = tsr_prim2(c, TSR_S_NE, n, tsr_scalar_int(c, TSR_I64, 1));
        tsr_fn *cond = tsr_fn_end(c, 1, &p);
        CHECK_EQ(tsr_fn_begin(c, "body"), TSR_OK);
        n = tsr_param(c, i64, "n");
        tsr_node *steps = tsr_param(c, i64, "steps"), *two = tsr_scalar_int(c, TSR_I64, 2);
        tsr_node *one = tsr_scalar_int(c, TSR_I64, 1);
        tsr_node *odd = tsr_prim2(c, TSR_S_EQ, tsr_prim2(c, TSR_S_REM, n, two), one);
        tsr_node *up = tsr_prim2(c, TSR_S_ADD, tsr_prim2(c, TSR_S_MUL, n, tsr_scalar_int(c, TSR_I64, 3)), one);
        tsr_node *next[2] = {tsr_prim3(c, TSR_S_SELECT, odd, up, tsr_prim2(c, TSR_S_DIV, n, two)),
            tsr_prim2(c, TSR_S_ADD, steps, one)};
        tsr_fn *body = tsr_fn_end(c, 2, next);
        for (int bounded = 0; bounded < 3; bounded++) {
            int64_t v = start, count = 0, zero = 0;
            for (; v != 1; count++) v = v % 2 ? 3 * v + 1 : v / 2;
            if (bounded == 2 && count < 2) continue;
            CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
            tsr_node *init[2] = {tsr_param(c, i64, "n"), tsr_param(c, i64, "steps")};
            tsr_node *w = tsr_prim_while(c, cond, body, 2, init, bounded == 2 ? count - 1 : bounded
                                         ? (count ? count : 1) : 0), *r = tsr_item(c, w, 1);
            tsr_fn *f = tsr_fn_end(c, 1, &r);
            struct ref_tensor in[2] = {data((double *)&start, 0, 0), data((double *)&zero, 0, 0)}, out;
            in[0].dtype = in[1].dtype = TSR_I64;
            tsr_status s = f ? interp_run(c, f, 2, in, &mem, &out, NULL) : TSR_EINVAL;
            if (bounded == 2) {
                CHECK_EQ(s, TSR_ECHECK);
                CHECK_ERROR(c, TSR_ECHECK, "still held");
            } else if (CHECK_EQ(s, TSR_OK)) {
                CHECK_EQ(*(int64_t *)out.p, count);
            }
            tsr_fn_free(c, f);
        }
        tsr_fn_free(c, cond);
        tsr_fn_free(c, body);
        arena_release(&mem);
        CHECK_OK(c);
    }
}

TEST(cond_takes_the_branch) {
    tsr_ctx *c = test_ctx();
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
    tsr_node *i = tsr_param(c, tsr_type_dims(c, TSR_I32, 0, NULL), "i"), *x = tsr_param(c, f64s(c, 0, 0), "x");
    tsr_fn *branch[3];
    for (int b = 0; b < 3; b++) {
        CHECK_EQ(tsr_fn_begin(c, "branch"), TSR_OK);
        tsr_node *p = tsr_param(c, f64s(c, 0, 0), "p");
        tsr_node *y = tsr_prim2(c, TSR_S_MUL, p, tsr_prim2(c, TSR_S_ADD, x, f64(c, b)));
        branch[b] = tsr_fn_end(c, 1, &y);
    }
    tsr_node *y = tsr_item(c, tsr_prim_cond(c, i, 3, branch, 1, &x), 0);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    for (int32_t v = -2; v < 6; v++) {
        test_case("index %d", v);
        struct arena mem;
        arena_init(&mem, c);
        double xv = 1.5, want = xv * (xv + (v < 0 || v > 2 ? 2 : v)); /* out of range: the last one */
        struct ref_tensor in[2] = {data((double *)&v, 0, 0), data(&xv, 0, 0)}, out;
        in[0].dtype = TSR_I32;
        if (run_fn(c, f, in, &mem, &out)) CHECK_F64((double *)out.p, &want, 1, 0, 0);
        arena_release(&mem);
    }
    for (int b = 0; b < 3; b++) tsr_fn_free(c, branch[b]);
    tsr_fn_free(c, f);
    CHECK_OK(c);
}

static int failing(void *user, int nin, const void *const *in, int nout, void *const *out) {
    (void)nin, (void)in, (void)nout, (void)out;
    ++*(int *)user;
    return 7;
}

TEST(a_failing_host_call_stops_the_run) {
    tsr_ctx *c = test_ctx();
    int calls = 0;
    const tsr_type *t = f64s(c, 0, 0);
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
    tsr_node *x = tsr_param(c, t, "x"), *y = tsr_prim_host_call(c, "oracle", failing, &calls, 1, &x, 1, &t);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    double v = 1;
    struct ref_tensor in = data(&v, 0, 0), out;
    struct arena mem;
    arena_init(&mem, c);
    CHECK_EQ(interp_run(c, f, 1, &in, &mem, &out, NULL), TSR_ECHECK);
    CHECK_EQ(calls, 1);
    CHECK_ERROR(c, TSR_ECHECK, "\"oracle\" failed with code 7");
    arena_release(&mem);
    tsr_fn_free(c, f);
}

TEST(host_calls_batch_one_example_at_a_time) {
    tsr_ctx *c = test_ctx();
    struct sample s;
    struct arena mem;
    struct ref_tensor in[MOST], out[MOST];
    sample_init(&s, TSR_F32, test_rng(), 0);
    arena_init(&mem, c);
    tsr_fn *f = op_HOST_CALL.sample(c, &s), *g = tsr_vmap(c, f, NULL, NULL, tsr_extent_int(c, 3));
    if (CHECK(g) && CHECK_EQ(sample_fill(&s, g, &mem, in), TSR_OK) && run_fn(c, g, in, &mem, out))
        for (int i = 0; i < 12; i++) CHECK(((float *)out[0].p)[i] == 2 * ((float *)in[0].p)[i] + 1);
    arena_release(&mem);
    tsr_fn_free(c, f);
    tsr_fn_free(c, g);
    CHECK_OK(c);
}

/* ---- what they refuse -------------------------------------------------------------------------------------------- */

static tsr_fn *identity(tsr_ctx *c, const tsr_type *t, int n) {
    tsr_node *x[4];
    if (tsr_fn_begin(c, "identity") != TSR_OK) return NULL;
    for (int i = 0; i < n; i++) x[i] = tsr_param(c, t, "x");
    return tsr_fn_end(c, n, x);
}

TEST(signatures_are_checked) {
    tsr_ctx *c = test_ctx();
    const tsr_type *v3 = f64s(c, 1, 3), *v4 = f64s(c, 1, 4);
    tsr_node *a = tsr_full(c, v3, 1), *b = tsr_full(c, v4, 1), *two[2] = {a, a};
    tsr_fn *id = identity(c, v3, 1), *id2 = identity(c, v3, 2), *id4 = identity(c, v4, 1);
    const tsr_extent *one = tsr_extent_int(c, 1);
    test_case("while: the condition gives no bool");
    CHECK(tsr_is_poison(tsr_prim_while(c, id, id, 1, &a, 0)));
    CHECK_ERROR(c, TSR_EINVAL, "gives f64[3]; it must give one bool");
    test_case("while: carries");
    CHECK(tsr_is_poison(tsr_prim_while(c, id, id2, 1, &a, 0)));
    CHECK_ERROR(c, TSR_EINVAL, "takes 2 values, 1 are given");
    test_case("scan: carry type");
    CHECK(tsr_is_poison(tsr_prim_scan(c, id, 1, &b, 0, NULL, one, false)));
    CHECK_ERROR(c, TSR_EINVAL, "carry 0 is f64[3], expected f64[4]");
    test_case("scan: x without an axis to scan");
    CHECK(tsr_is_poison(tsr_prim_scan(c, id, 0, NULL, 1, (tsr_node *[]){f64(c, 1)}, one, false)));
    CHECK_ERROR(c, TSR_EINVAL, "needs a first axis");
    test_case("scan: turns");
    CHECK(tsr_is_poison(tsr_prim_scan(c, id, 0, NULL, 1, (tsr_node *[]){tsr_full(c,
        tsr_type_dims(c, TSR_F64, 2, (int64_t[]){2, 3}), 0)}, one, false)));
    CHECK_ERROR(c, TSR_EINVAL, "the scan makes 1 turns");
    test_case("cond: a float index");
    CHECK(tsr_is_poison(tsr_prim_cond(c, f64(c, 1), 1, &id, 1, &a)));
    CHECK_ERROR(c, TSR_EINVAL, "must be one bool or integer");
    test_case("cond: branches that differ");
    CHECK(tsr_is_poison(tsr_prim_cond(c, tsr_scalar_int(c, TSR_I32, 0), 2, (tsr_fn *[]){id, id4}, 1, &a)));
    CHECK_ERROR(c, TSR_EINVAL, "branch 1");
    test_case("cond: a bool picks one of two");
    CHECK(tsr_is_poison(tsr_prim_cond(c, tsr_scalar_int(c, TSR_BOOL, 0), 1, &id, 1, &a)));
    CHECK_ERROR(c, TSR_EINVAL, "one of 2 branches");
    test_case("cond: number of arguments");
    CHECK(tsr_is_poison(tsr_prim_cond(c, tsr_scalar_int(c, TSR_I32, 0), 1, &id, 2, two)));
    CHECK_ERROR(c, TSR_EINVAL, "takes 1 values, 2 are given");
    test_case("NULL body");
    CHECK(tsr_is_poison(tsr_prim_scan(c, NULL, 0, NULL, 0, NULL, one, false)));
    CHECK_ERROR(c, TSR_EINVAL, "NULL");
    test_case("collective participants");
    CHECK(tsr_is_poison(tsr_prim_all_reduce(c, a, TSR_REDUCE_SUM, &(tsr_groups){.n = 1, .size = 1,
        .id = (int64_t[]){-2}})));
    CHECK_ERROR(c, TSR_EINVAL, "numbered from 0");
    test_case("collective: twice in a group");
    CHECK(tsr_is_poison(tsr_prim_all_gather(c, a, 0, &(tsr_groups){.n = 1, .size = 2, .id = (int64_t[]){0, 0}})));
    CHECK_ERROR(c, TSR_EINVAL, "more than one group");
    test_case("collective: how many meet");
    CHECK(tsr_is_poison(tsr_prim_all_gather(c, a, 0, NULL)));
    CHECK_ERROR(c, TSR_EINVAL, "tsr_groups.members");
    test_case("collective axis");
    CHECK(tsr_is_poison(tsr_prim_all_gather(c, a, 1, &(tsr_groups){.members = 1})));
    CHECK_ERROR(c, TSR_EINVAL, "all_gather");
    test_case("permute: receives twice");
    CHECK(tsr_is_poison(tsr_prim_collective_permute(c, a, TSR_CROSS_REPLICA, 2, (int64_t[]){0, 0, 0, 0})));
    CHECK_ERROR(c, TSR_EINVAL, "twice");
    test_case("a root that is no scalar");
    CHECK(tsr_is_poison(tsr_prim_collective_broadcast(c, a, a, NULL)));
    CHECK_ERROR(c, TSR_EINVAL, "integer scalar");
    test_case("a token that is none");
    CHECK(tsr_is_poison(tsr_prim_outfeed(c, 0, NULL, a)));
    CHECK_ERROR(c, TSR_EINVAL, "token");
    test_case("host call without a function");
    CHECK(tsr_is_poison(tsr_prim_host_call(c, "f", NULL, NULL, 1, &a, 1, &v3)));
    CHECK_ERROR(c, TSR_EINVAL, "NULL");
    test_case("host call without results");
    CHECK(tsr_is_poison(tsr_prim_host_call(c, "f", failing, NULL, 1, &a, 0, &v3)));
    CHECK_ERROR(c, TSR_EINVAL, "0 results");
    tsr_fn_free(c, id), tsr_fn_free(c, id2), tsr_fn_free(c, id4);
}

/* y = x + n on one element */
static tsr_tile *small_kernel(tsr_ctx *c, tsr_tile_access out) {
    tsr_tile *p = tsr_tile_new(c, "small");
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F64, TSR_TILE_IN, "x"), n = tsr_tile_arg(p, TSR_I64, "n"),
        y = tsr_tile_arg_buf(p, TSR_F64, out, "y");
    tsr_tile_block b = {.rank = 0, .base = tsr_tile_int(p, TSR_I64, 0)};
    tsr_tile_store(p, y, &b, tsr_tile_elem2(p, TSR_S_ADD, tsr_tile_load(p, x, &b, TSR_TV_NONE),
                                            tsr_tile_cast(p, TSR_F64, n)));
    CHECK_EQ(tsr_tile_finish(p), TSR_OK);
    return p;
}

TEST(kernel_arguments_are_checked) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = small_kernel(c, TSR_TILE_OUT), *inout = small_kernel(c, TSR_TILE_INOUT);
    const tsr_type *t = f64s(c, 0, 0), *f32 = tsr_type_dims(c, TSR_F32, 0, NULL);
    const tsr_extent *n = tsr_extent_int(c, 5), *two[2] = {n, n};
    tsr_node *x = f64(c, 1), *xs[2] = {x, x};
    test_case("fits");
    tsr_node *y = tsr_prim_kernel(c, p, NULL, 1, &x, 1, &n, 1, &t);
    CHECK(!tsr_is_poison(y) && y->type == t && y == tsr_prim_kernel(c, p, NULL, 1, &x, 1, &n, 1, &t));
    CHECK_OK(c);
    test_case("two extents");
    CHECK(tsr_is_poison(tsr_prim_kernel(c, p, NULL, 1, &x, 2, two, 1, &t)));
    CHECK_ERROR(c, TSR_EINVAL, "takes 2 buffers and 1 scalars");
    test_case("two operands");
    CHECK(tsr_is_poison(tsr_prim_kernel(c, p, NULL, 2, xs, 1, &n, 1, &t)));
    CHECK_ERROR(c, TSR_EINVAL, "\"y\"");
    test_case("dtype of the result");
    CHECK(tsr_is_poison(tsr_prim_kernel(c, p, NULL, 1, &x, 1, &n, 1, &f32)));
    CHECK_ERROR(c, TSR_EINVAL, "is of f64, the result for it is f32");
    test_case("a buffer changed in place");
    CHECK(tsr_is_poison(tsr_prim_kernel(c, inout, NULL, 1, &x, 1, &n, 1, &t)));
    CHECK_ERROR(c, TSR_EINVAL, "must be OUT");
    tsr_tile *raw = tsr_tile_new(c, "raw");
    test_case("not finished");
    CHECK(tsr_is_poison(tsr_prim_kernel(c, raw, NULL, 1, &x, 1, &n, 1, &t)));
    CHECK_ERROR(c, TSR_EINVAL, "not finished");
    tsr_tile_free(raw), tsr_tile_free(p), tsr_tile_free(inout);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static bool build_loop(tsr_ctx *c, void *arg) {
    (void)arg;
    struct sample s;
    struct rng rng = {1, 2, 3};
    bool ok = true;
    const struct op_def *four[] = {&op_CALL, &op_WHILE, &op_COND, &op_SCAN};
    for (int i = 0; ok && i < 4; i++) {
        sample_init(&s, TSR_F64, &rng, 0);
        tsr_fn *f = four[i]->sample(c, &s);
        ok = f != NULL;
        tsr_fn_free(c, f);
    }
    return ok;
}

TEST(control_under_torture) { CHECK(torture(build_loop, NULL) > 50); }
