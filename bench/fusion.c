/* fusion.c: what clustering saves: kernels and bytes moved, one kernel an op against clusters.
 *
 * Four graphs of f32: softmax(x w + b), gelu(layer_norm(x)), a training step of a two-layer net (forward, gradients,
 * SGD), and a training step of a 12-layer GPT-2-shaped model (width 768, 12 heads; T = 64, vocabulary 1024 so that the
 * plan is the model's and not the vocabulary's). Counts are of the plan; bytes are what its kernels read and write by
 * its own estimate; nothing is run. docs/design.md quotes this table. */
#include <stdio.h>
#include <stdlib.h>

#include "tessera/models.h"
#include "tessera/ops.h"
#include "tessera/run.h"
#include "tessera/transform.h"

static const tsr_type *f32(tsr_ctx *c, int rank, int64_t a, int64_t b) {
    return tsr_type_dims(c, TSR_F32, rank, (int64_t[]){a, b});
}

static tsr_fn *softmax_linear(tsr_ctx *c) {
    tsr_fn_begin(c, "softmax(x*w+b)");
    tsr_node *x = tsr_param(c, f32(c, 2, 256, 512), "x"), *w = tsr_param(c, f32(c, 2, 512, 1000), "w");
    tsr_node *b = tsr_param(c, f32(c, 1, 1000, 0), "b"), *y = tsr_softmax(c, tsr_add(c, tsr_matmul(c, x, w), b), -1);
    return tsr_fn_end(c, 1, &y);
}

static tsr_fn *norm_gelu(tsr_ctx *c) {
    tsr_fn_begin(c, "gelu(layer_norm(x))");
    tsr_node *x = tsr_param(c, f32(c, 2, 4096, 1024), "x"), *w = tsr_param(c, f32(c, 1, 1024, 0), "w");
    tsr_node *b = tsr_param(c, f32(c, 1, 1024, 0), "b"), *y = tsr_gelu(c, tsr_layer_norm(c, x, 1, w, b, 1e-5), false);
    return tsr_fn_end(c, 1, &y);
}

/* Results: the loss and every parameter one SGD step further. */
static tsr_fn *end_step(tsr_ctx *c, tsr_node *loss, int n, tsr_node **p) {
    tsr_node **r = calloc((size_t)n + 1, sizeof *r), **g = calloc((size_t)n, sizeof *g);
    tsr_grad(c, loss, n, p, g);
    r[0] = loss;
    for (int i = 0; i < n; i++) r[i + 1] = tsr_sub(c, p[i], tsr_mul(c, g[i], tsr_num(c, g[i], 0.01)));
    tsr_fn *f = tsr_fn_end(c, n + 1, r);
    free(r), free(g);
    return f;
}

static tsr_fn *mlp_step(tsr_ctx *c) {
    tsr_fn_begin(c, "MLP training step");
    tsr_node *p[4] = {tsr_param(c, f32(c, 2, 784, 256), "w1"), tsr_param(c, f32(c, 1, 256, 0), "b1"),
                      tsr_param(c, f32(c, 2, 256, 10), "w2"), tsr_param(c, f32(c, 1, 10, 0), "b2")};
    tsr_node *x = tsr_param(c, f32(c, 2, 128, 784), "x");
    tsr_node *y = tsr_param(c, tsr_type_dims(c, TSR_I32, 1, (int64_t[]){128}), "y");
    tsr_node *h = tsr_relu(c, tsr_add(c, tsr_matmul(c, x, p[0]), p[1]));
    tsr_node *logits = tsr_add(c, tsr_matmul(c, h, p[2]), p[3]);
    return end_step(c, tsr_cross_entropy(c, logits, y, 0, INT64_MIN, TSR_LOSS_MEAN), 4, p);
}

static tsr_fn *gpt_step(tsr_ctx *c) {
    tsr_gpt m = {.vocab = 1024, .context = 64, .layers = 12, .heads = 12, .width = 768};
    int n = tsr_gpt_params(&m);
    tsr_node **p = calloc((size_t)n, sizeof *p);
    tsr_fn_begin(c, "GPT-2-shaped step");
    for (int i = 0; i < n; i++) {
        char name[64];
        int64_t dim[2];
        int rank = tsr_gpt_param(&m, i, name, dim);
        p[i] = tsr_param(c, tsr_type_dims(c, TSR_F32, rank, dim), name);
    }
    const tsr_type *tokens = tsr_type_dims(c, TSR_I32, 2, (int64_t[]){4, 64});
    tsr_node *token = tsr_param(c, tokens, "token"), *target = tsr_param(c, tokens, "target");
    tsr_fn *f = end_step(c, tsr_gpt_loss(c, &m, p, token, target), n, p);
    free(p);
    return f;
}

static tsr_plan_info measure(tsr_fn *build(tsr_ctx *), const char *fuse, char name[64], bool print) {
    tsr_plan_info info = {0};
    setenv("TSR_FUSE", fuse, 1);
    tsr_ctx *c = tsr_open(&(tsr_config){.device = "null"});
    tsr_fn *f = c ? build(c) : NULL;
    if (f) snprintf(name, 64, "%s", tsr_fn_name(f));
    if (!f || tsr_plan_measure(c, f, &info))
        fprintf(stderr, "%s: %s\n", name, c ? tsr_error_message(c) : "out of memory");
    char *text = f && print ? tsr_plan_text(c, f) : NULL;
    if (text) puts(text);
    tsr_text_free(c, text);
    tsr_fn_free(c, f);
    tsr_close(c);
    return info;
}

/* With an argument: also the plans themselves. */
int main(int argc, char **argv) {
    tsr_fn *(*const graph[])(tsr_ctx *) = {softmax_linear, norm_gelu, mlp_step, gpt_step};
    (void)argv;
    printf("%-22s %18s %26s %26s\n", "graph", "kernels", "MB moved", "arena MB (bound)");
    for (int i = 0; i < 4; i++) {
        char name[64] = "";
        tsr_plan_info a = measure(graph[i], "0", name, false), b = measure(graph[i], "1", name, argc > 1);
        printf("%-22s %6d -> %3d + %d lib %9.2f -> %8.2f (%4.1fx) %8.2f -> %6.2f (%6.2f)\n", name, a.kernels, b.kernels,
               b.library_calls, a.bytes_moved * 1e-6, b.bytes_moved * 1e-6, a.bytes_moved / b.bytes_moved,
               (double)a.arena_bytes * 1e-6, (double)b.arena_bytes * 1e-6, (double)b.arena_bound * 1e-6);
    }
    return 0;
}
