/* The VM against a naive interpreter on random tile programs: random dtypes, shapes, windows (clipped, strided
 * backwards, transposed, repeated), nested loops, branches and whiles. Every byte of every buffer must agree, with each
 * instruction set level, with 1, 2 and 7 threads, with and without address checks; and each program survives print and
 * read. */
#include "harness.h"

#include "vm_naive.inc"

#include "vm_random.inc"

static void check_program(tsr_ctx *c, struct gen *g, struct store *got, struct store *want) {
    static const int64_t grid[3] = {INSTANCES, 2, 1};
    union vm_arg a[BUFS + OUTS + 6], b[BUFS + OUTS + 6];
    struct pool *pool[3] = {NULL, ctx_pool(c), pool_open(c, 7)};
    poison(want);
    arguments(g, want, b);
    naive_run(g->p, grid, b);
    for (int isa = 0; isa <= (int)cpu_isa(); isa++)
        for (int check = 0; check < 2; check++) {
            struct vm_code *k = vm_compile_for(c, g->p, (enum cpu_isa)isa, check);
            if (!CHECK_OK(c)) break;
            for (int t = 0; t < 3; t++) {
                char how[64];
                poison(got);
                memcpy(a, b, sizeof a);
                arguments(g, got, a);
                for (int i = 0; i < BUFS; i++) a[i].buf.p = want->in[i];
                CHECK_EQ(vm_run(c, k, grid, a, pool[t]), TSR_OK);
                CHECK_OK(c);
                snprintf(how, sizeof how, "%s, check %d, %d threads", cpu_isa_name((enum cpu_isa)isa), check, t
                    ? pool_threads(pool[t]) : 1);
                if (!agree(g->p, got, want, how)) check = 9, isa = 9, t = 9;
            }
            vm_free(k);
        }
    pool_close(pool[2]);
}

static void check_text(tsr_ctx *c, const tsr_tile *p) {
    char *text = tsr_tile_print(p), *again = NULL;
    tsr_tile *q = tsr_tile_read(c, text, "random");
    if (CHECK_OK(c)) {
        again = tsr_tile_print(q);
        CHECK_STR(again, text);
        CHECK(tile_equal(p, q) && tile_hash(p) == tile_hash(q));
        tsr_text_free(c, again);
    }
    tsr_tile_free(q);
    tsr_text_free(c, text);
}

TEST(random_programs) {
    struct store got, want;
    open_store(&want), open_store(&got);
    int count = getenv("PROGRAMS") ? atoi(getenv("PROGRAMS")) : 150;
    for (int i = 0; i < count; i++) {
        tsr_ctx *c = test_ctx();
        struct gen g;
        test_case("program %d", i);
        tsr_tile *p = random_program(c, &g);
        CHECK_OK(c);
        if (p) check_text(c, p), check_program(c, &g, &got, &want);
        tsr_tile_free(p);
        test_ctx_close(c);
    }
    close_store(&got), close_store(&want);
}
