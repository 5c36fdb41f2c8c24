/* tour.c: the idea of Tessera in one program. The tests compile and run it; read it from top to bottom.
 *
 * One graph: builders make immutable nodes, transformations take fns to fns. One kind of kernel: clusters of the graph
 * become tile programs. Many machines: a plan runs them over buffers; a new size makes no new kernel. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tessera/tessera.h"

#define MUST(x)                                                                        \
    do {                                                                               \
        if (!(x)) {                                                                    \
            printf("line %d: %s (%s)\n", __LINE__, #x, tsr_error_message(c));          \
            return 1;                                                                  \
        }                                                                              \
    } while (0)

int main(void) {
    /* 1. A context owns everything; there are no globals. */
    tsr_ctx *c = tsr_open(NULL);
    if (!c) return 1;

    /* 2. Building is lazy and cannot fail loudly: expressions nest, and one check at the end suffices. Equal nodes are
     * one pointer. */
    tsr_node *x = tsr_tensor(c, TSR_F32, 2, (int64_t[]){2, 3}, (float[]){1, 2, 3, 4, 5, 6});
    tsr_node *y = tsr_softmax(c, tsr_mul(c, x, x), -1);
    MUST(tsr_mul(c, x, x) == tsr_mul(c, x, x));
    MUST(tsr_eval(c, 1, &y) == TSR_OK);
    float p[6];
    MUST(tsr_read(c, y, p, sizeof p) == TSR_OK);
    MUST(fabsf(p[0] + p[1] + p[2] - 1) < 1e-6f);

    /* 3. A mistake is a message that says what to do, kept until somebody asks. */
    tsr_node *wrong = tsr_matmul(c, x, x);
    MUST(tsr_is_poison(tsr_add(c, wrong, x)) && tsr_error_status(c) == TSR_EINVAL);
    printf("an error: %s\n", tsr_error_message(c));
    tsr_error_clear(c);

    /* 4. A fn is a graph with parameters; sizes may be symbols. Here: one step of linear regression, w and b being
     * variables, the only mutable things. Reading them makes parameters, assigning them results: the fn is closed. */
    tsr_var *w = tsr_var_new(c, "w", tsr_zeros(c, TSR_F32, 1, (int64_t[]){2}));
    tsr_var *b = tsr_var_new(c, "b", tsr_scalar_float(c, TSR_F32, 0));
    MUST(w && b && tsr_fn_begin(c, "step") == TSR_OK);
    const tsr_extent *B = tsr_extent_symbol(c, "B", 1, 1 << 20), *xe[2] = {B, tsr_extent_int(c, 2)};
    tsr_node *in = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, xe), "in");
    tsr_node *out = tsr_param(c, tsr_type_tensor(c, TSR_F32, 1, xe), "out");
    tsr_node *v[2] = {tsr_var_read(c, w), tsr_var_read(c, b)}, *g[2];
    tsr_node *loss = tsr_mse(c, tsr_add(c, tsr_matmul(c, in, v[0]), v[1]), out, TSR_LOSS_MEAN);

    /* 5. Gradients are ordinary graph, made by transforming graph. */
    MUST(tsr_grad(c, loss, 2, v, g) == TSR_OK);
    tsr_node *rate = tsr_scalar_float(c, TSR_F32, 0.3);
    tsr_var_assign(c, w, tsr_sub(c, v[0], tsr_mul(c, g[0], rate)));
    tsr_var_assign(c, b, tsr_sub(c, v[1], tsr_mul(c, g[1], rate)));
    tsr_fn *step = tsr_fn_end(c, 1, &loss);
    MUST(step);

    /* 6. Running compiles once; the next batch sizes bind the same plan and build no kernel. What is found is
     * y = 2 a - b + 1/2. */
    uint64_t kernels = 0;
    for (int turn = 0; turn < 200; turn++) {
        int64_t rows = 8 + turn % 5;
        float a[12][2], t[12];
        for (int i = 0; i < rows; i++) {
            a[i][0] = (float)((i * 7 + turn) % 11) / 11, a[i][1] = (float)((i * 5 + turn * 3) % 13) / 13;
            t[i] = 2 * a[i][0] - a[i][1] + 0.5f;
        }
        tsr_scope *s = tsr_scope_begin(c); /* what this turn makes goes with it; the variables keep what they hold */
        tsr_node *l, *arg[2] = {tsr_tensor(c, TSR_F32, 2, (int64_t[]){rows, 2}, a),
                                tsr_tensor(c, TSR_F32, 1, &rows, t)};
        MUST(tsr_run(c, step, 2, arg, &l) == TSR_OK);
        if (turn % 50 == 0) printf("turn %3d, loss %.6f\n", turn, tsr_read_scalar(c, l));
        tsr_scope_end(c, s);
        if (turn == 0) kernels = tsr_stats(c).kernels_built;
    }
    MUST(tsr_stats(c).kernels_built == kernels);
    float found[2];
    MUST(tsr_read(c, tsr_var_read(c, w), found, sizeof found) == TSR_OK);
    printf("w = %.3f %.3f, b = %.3f\n", found[0], found[1], tsr_read_scalar(c, tsr_var_read(c, b)));
    MUST(fabsf(found[0] - 2) < 0.05f && fabsf(found[1] + 1) < 0.05f);

    /* 7. The fn and its plan are text for people. */
    char *text = tsr_fn_print(c, step);
    MUST(text && strstr(text, "fn step("));
    tsr_text_free(c, text);
    text = tsr_plan_text(c, step);
    MUST(text);
    fputs(text, stdout);
    tsr_text_free(c, text);

    /* 8. A tile program of one's own is an op like any other: here y = 2 x, 64 elements an instance. */
    tsr_tile *k = tsr_tile_new(c, "twice");
    tsr_tv src = tsr_tile_arg_buf(k, TSR_F32, TSR_TILE_IN, "x"), dst = tsr_tile_arg_buf(k, TSR_F32, TSR_TILE_OUT, "y");
    tsr_tv n = tsr_tile_arg(k, TSR_I64, "n");
    tsr_tv base = tsr_tile_elem2(k, TSR_S_MUL, tsr_tile_pid(k, 0), tsr_tile_int(k, TSR_I64, 64));
    tsr_tile_block at = {.rank = 1, .extent = {64}, .base = base, .stride = {tsr_tile_int(k, TSR_I64, 1)},
                         .lo = {TSR_TV_NONE}, .hi = {tsr_tile_elem2(k, TSR_S_SUB, n, base)}};
    tsr_tv tile = tsr_tile_load(k, src, &at, TSR_TV_NONE);
    tsr_tile_store(k, dst, &at, tsr_tile_elem2(k, TSR_S_ADD, tile, tile));
    MUST(tsr_tile_finish(k) == TSR_OK);
    const tsr_extent *six = tsr_extent_int(c, 6), *one = tsr_extent_int(c, 1), *grid[3] = {one, one, one};
    const tsr_type *type = tsr_node_type(x);
    tsr_node *twice = tsr_prim_kernel(c, k, grid, 1, &x, 1, &six, 1, &type);
    MUST(tsr_read(c, twice, p, sizeof p) == TSR_OK && p[5] == 12);
    tsr_tile_free(k);

    tsr_fn_free(c, step);
    tsr_var_free(c, w), tsr_var_free(c, b);
    tsr_close(c);
    puts("the tour is over");
    return 0;
}
