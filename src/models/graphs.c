/* graphs.c: the list of graphs.h: small fusions, training steps of small and large nets. A step is the loss and every
 * parameter one step of gradient descent further. */
#include "models/graphs.h"

#include "tessera/ops.h"
#include "tessera/transform.h"

static const tsr_type *f32(tsr_ctx *c, int rank, int64_t a, int64_t b) {
    return tsr_type_dims(c, TSR_F32, rank, (int64_t[]){a, b});
}

/* batch x dim. */
static const tsr_type *rows(tsr_ctx *c, tsr_dtype t, const tsr_extent *batch, int rank, const int64_t *dim) {
    const tsr_extent *e[4] = {batch};
    for (int i = 0; i < rank; i++) e[i + 1] = tsr_extent_int(c, dim[i]);
    return tsr_type_tensor(c, t, rank + 1, e);
}

/* ---- each adds to the open fn and gives its results ---- */

static int softmax_linear(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, tsr_node **out) {
    (void)net, (void)batch;
    tsr_node *x = tsr_param(c, f32(c, 2, 256, 512), "x"), *w = tsr_param(c, f32(c, 2, 512, 1000), "w");
    tsr_node *b = tsr_param(c, f32(c, 1, 1000, 0), "b");
    out[0] = tsr_softmax(c, tsr_add(c, tsr_matmul(c, x, w), b), -1);
    return 1;
}

static int norm_gelu(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, tsr_node **out) {
    (void)net, (void)batch;
    tsr_node *x = tsr_param(c, f32(c, 2, 4096, 1024), "x"), *w = tsr_param(c, f32(c, 1, 1024, 0), "w");
    tsr_node *b = tsr_param(c, f32(c, 1, 1024, 0), "b");
    out[0] = tsr_gelu(c, tsr_layer_norm(c, x, 1, w, b, 1e-5), false);
    return 1;
}

/* The loss, and every parameter one step of gradient descent further. */
static int with_step(tsr_ctx *c, tsr_node *loss, int n, tsr_node **p, tsr_node **out) {
    tsr_node **g = out + 1;
    out[0] = loss;
    tsr_grad(c, loss, n, p, g);
    for (int i = 0; i < n; i++) g[i] = tsr_sub(c, p[i], tsr_mul(c, g[i], tsr_num(c, g[i], 0.01)));
    return n + 1;
}

static int mlp_step(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, tsr_node **out) {
    (void)net;
    tsr_node *p[4] = {tsr_param(c, f32(c, 2, 784, 256), "w1"), tsr_param(c, f32(c, 1, 256, 0), "b1"),
        tsr_param(c, f32(c, 2, 256, 10), "w2"), tsr_param(c, f32(c, 1, 10, 0), "b2")};
    tsr_node *x = tsr_param(c, rows(c, TSR_F32, batch, 1, (int64_t[]){784}), "x");
    tsr_node *y = tsr_param(c, rows(c, TSR_I32, batch, 0, NULL), "y");
    tsr_node *h = tsr_relu(c, tsr_add(c, tsr_matmul(c, x, p[0]), p[1]));
    tsr_node *logits = tsr_add(c, tsr_matmul(c, h, p[2]), p[3]);
    return with_step(c, tsr_cross_entropy(c, logits, y, 0, INT64_MIN, TSR_LOSS_MEAN), 4, p, out);
}

/* Images and labels through a classifier in training, and its parameters one step further. */
static int classifier_step(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, int64_t channels, int64_t side,
    tsr_node **out) {
    tsr_node *x = tsr_param(c, rows(c, TSR_F32, batch, 3, (int64_t[]){channels, side, side}), "x");
    tsr_node *y = tsr_param(c, rows(c, TSR_I32, batch, 0, NULL), "y"), *p[MODEL_GRAPH_RESULTS];
    tsr_nn_mode mode = {.training = true};
    tsr_nn_param info;
    int n = 0;
    tsr_node *loss = tsr_cross_entropy(c, tsr_nn_forward(net, x, &mode), y, 0, INT64_MIN, TSR_LOSS_MEAN);
    for (int i = 0; n < MODEL_GRAPH_RESULTS - 1 && tsr_nn_at(net, i, &info); i++)
        if (!info.buffer) p[n++] = tsr_var_read(c, info.var);
    return with_step(c, loss, n, p, out);
}

static int convnet_step(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, tsr_node **out) {
    return classifier_step(c, net, batch, 1, 8, out);
}
static int resnet_step(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, tsr_node **out) {
    return classifier_step(c, net, batch, 3, 224, out);
}

static int resnet(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, tsr_node **out) {
    tsr_node *x = tsr_param(c, rows(c, TSR_F32, batch, 3, (int64_t[]){3, 224, 224}), "x");
    out[0] = tsr_nn_forward(net, x, NULL);
    return 1;
}

/* GPT-2's width and depth with a small vocabulary. */
static tsr_node *gpt_loss(tsr_ctx *c, const tsr_extent *batch, int *n, tsr_node **p) {
    const tsr_gpt m = {.vocab = 1024, .context = 64, .layers = 12, .heads = 12, .width = 768};
    *n = tsr_gpt_params(&m);
    for (int i = 0; i < *n; i++) {
        char name[64];
        int64_t dim[2];
        int rank = tsr_gpt_param(&m, i, name, dim);
        p[i] = tsr_param(c, tsr_type_dims(c, TSR_F32, rank, dim), name);
    }
    const tsr_type *tokens = rows(c, TSR_I32, batch, 1, (int64_t[]){64});
    tsr_node *token = tsr_param(c, tokens, "token"), *target = tsr_param(c, tokens, "target");
    return tsr_gpt_loss(c, &m, p, token, target);
}

static int gpt_step(tsr_ctx *c, tsr_nn *net, const tsr_extent *batch, tsr_node **out) {
    (void)net;
    tsr_node *p[MODEL_GRAPH_RESULTS];
    int n;
    tsr_node *loss = gpt_loss(c, batch, &n, p);
    return with_step(c, loss, n, p, out);
}

static tsr_nn *digits_net(tsr_ctx *c) { return tsr_convnet(c, 8, 8, 10); }
static tsr_nn *resnet_50(tsr_ctx *c) { return tsr_resnet(c, (int64_t[]){3, 4, 6, 3}, 64, 1000); }

static const struct model_graph graphs[] = {
    {"softmax", "softmax(x w + b), 256x512 by 512x1000", softmax_linear, 0, NULL},
    {"norm", "gelu(layer_norm(x)), 4096x1024", norm_gelu, 0, NULL},
    {"mlp", "SGD step of a 784-256-10 net, batch 128", mlp_step, 128, NULL},
    {"convnet", "SGD step of the digits convnet, batch 32", convnet_step, 32, digits_net},
    {"resnet", "ResNet-50 on one image of 224x224", resnet, 1, resnet_50},
    {"resnet-step", "SGD step of ResNet-50, batch 2", resnet_step, 2, resnet_50},
    {"gpt", "SGD step of a 12-layer GPT of width 768", gpt_step, 4, NULL},
};
enum { GRAPHS = sizeof graphs / sizeof *graphs };

const struct model_graph *model_graph_at(int i) { return i >= 0 && i < GRAPHS ? &graphs[i] : NULL; }

tsr_fn *model_graph_build(tsr_ctx *c, const struct model_graph *g, tsr_nn *net, const tsr_extent *batch) {
    tsr_node *out[MODEL_GRAPH_RESULTS];
    tsr_nn *own = g->net && !net ? g->net(c) : NULL;
    if (own) net = own;
    tsr_fn *f = NULL;
    if (!batch) batch = tsr_extent_int(c, g->batch);
    if ((net || !g->net) && !tsr_fn_begin(c, g->name)) f = tsr_fn_end(c, g->build(c, net, batch, out), out);
    tsr_nn_free(own);
    return f;
}
