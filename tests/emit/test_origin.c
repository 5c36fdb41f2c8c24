/* test_origin.c: emitted text names the nodes it was written for, and that is all that origins change. */
#include <stdio.h>
#include <string.h>

#include "emit/emit.h"
#include "harness.h"
#include "run/runner.h"
#include "tessera/ops.h"

/* The text of all kernels of p. */
static void put_kernels(struct str *out, tsr_ctx *c, const tsr_plan *p) {
    for (size_t i = 0; i < p->step.n; i++) {
        struct emit_plan k;
        if (!p->step.v[i].program || !emit_plan_init(&k, c, p->step.v[i].program, EMIT_FOR_HOST)) continue;
        emit_c_kernel(out, &k, "kernel");
        emit_plan_release(&k);
    }
}

static tsr_fn *sample(tsr_ctx *c) {
    tsr_fn_begin(c, "f");
    tsr_node *x = tsr_param(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){40, 300}), "x");
    tsr_node *w = tsr_param(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){300, 64}), "w");
    tsr_node *y = tsr_tanh(c, tsr_matmul(c, tsr_softmax(c, x, 1), w));
    return tsr_fn_end(c, 2, (tsr_node *[]){y, tsr_cumsum(c, x, 1)});
}

/* Each of these ops, wherever it stands in the lowered fn, heads the text that computes it. */
TEST(text_names_its_nodes) {
    static const char *const ops[] = {"exp", "div", "tanh", "dot", "cumulate", "reduce"};
    tsr_ctx *c = test_ctx();
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_fn *f = sample(c);
    struct compile_opts o = {.fuse = true};
    tsr_plan *p = f ? compile_fn(c, f, &o) : NULL;
    struct str s;
    str_init(&s, c);
    if (CHECK(p && p->fn)) put_kernels(&s, c, p);
    for (size_t i = 0; p && i < sizeof ops / sizeof *ops; i++) {
        int found = 0;
        test_case("%s", ops[i]);
        for (size_t j = 0; j < p->fn->node.n; j++) {
            const tsr_node *n = p->fn->node.v[j];
            char want[64];
            if (strcmp(op_name((enum tsr_op)n->op), ops[i])) continue;
            snprintf(want, sizeof want, "%%%d %s", (int)n->pos, ops[i]);
            CHECK_CONTAINS(s.s, want);
            found++;
        }
        CHECK(found > 0);
    }
    str_release(&s);
    plan_free(p);
    tsr_fn_free(c, f);
    tsr_scope_end(c, scope);
    CHECK_OK(c);
}

static tsr_tile *doubled(tsr_ctx *c, struct tile_origin origin) {
    tsr_tile *p = tsr_tile_new(c, "double */ int x; /* it");
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F32, TSR_TILE_INOUT, "x"), zero = tsr_tile_int(p, TSR_I64, 0);
    tsr_tile_block b = {.rank = 1, .extent = {8}, .base = zero, .stride = {tsr_tile_int(p, TSR_I64, 1)},
        .lo = {TSR_TV_NONE}, .hi = {TSR_TV_NONE}};
    p->origin = origin;
    tsr_tv v = tsr_tile_load(p, x, &b, TSR_TV_NONE);
    tsr_tile_store(p, x, &b, tsr_tile_elem2(p, TSR_S_ADD, v, v));
    CHECK(tsr_tile_finish(p) == TSR_OK);
    return p;
}

TEST(origins_change_nothing_else) {
    tsr_ctx *c = test_ctx();
    tsr_tile *a = doubled(c, (struct tile_origin){"add", 7}), *b = doubled(c, (struct tile_origin){NULL, 0});
    CHECK(tile_equal(a, b) && tile_hash(a) == tile_hash(b));
    char *ta = tsr_tile_print(a), *tb = tsr_tile_print(b);
    CHECK_STR(ta, tb);
    tsr_text_free(c, ta), tsr_text_free(c, tb);
    struct emit_plan k;
    struct str s;
    str_init(&s, c);
    if (CHECK(emit_plan_init(&k, c, a, EMIT_FOR_HOST))) emit_c_kernel(&s, &k, "kernel"), emit_plan_release(&k);
    CHECK_CONTAINS(s.s, "/* double * int x; * it */\n"); /* a name cannot end its comment */
    str_release(&s);
    tsr_tile_free(a), tsr_tile_free(b);
}
