/* resnet.c: residual networks of bottleneck blocks.
 *
 * He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015, table 1 and figure 5 (right). With W = 64:
 *
 *     (B, 3, H, W)  conv1 7x7, stride 2, W channels, bn, relu, max pool 3x3 stride 2      (B, W, H/4, W/4)
 *                   layer1 .. layer4: stages of W, 2W, 4W, 8W; each but the first begins with stride 2
 *                   each block: 1x1 -> w, 3x3 -> w, 1x1 -> 4w, all with bn; plus its input; relu
 *                   average over the image, fc -> classes
 *
 * Where a block changes the shape its input is projected by a 1x1 convolution (the paper's option B). The stride stands
 * at the 3x3 convolution, as in the published weights, whose names these are; the paper has it at the first 1x1. */
#include <stdio.h>

#include "base/ctx.h"
#include "tessera/models.h"
#include "tessera/ops.h"

enum { EXPANSION = 4, STAGES = 4 };
#define BN_EPS 1e-5
#define BN_MOMENTUM 0.1

/* ---- a block ---- */

enum { CONV1, BN1, CONV2, BN2, CONV3, BN3, PROJECTION };

static tsr_node *conv_bn(tsr_nn *m, int conv, tsr_node *x, tsr_nn_mode *mode) {
    return tsr_nn_forward(tsr_nn_child(m, conv + 1), tsr_nn_forward(tsr_nn_child(m, conv), x, mode), mode);
}

static tsr_node *block_forward(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    tsr_nn *projection = tsr_nn_child(m, PROJECTION);
    tsr_node *y = tsr_relu(c, conv_bn(m, CONV1, x, mode));
    y = tsr_relu(c, conv_bn(m, CONV2, y, mode));
    y = conv_bn(m, CONV3, y, mode);
    return tsr_relu(c, tsr_add(c, y, projection ? tsr_nn_forward(projection, x, mode) : x));
}

static tsr_nn *conv(tsr_ctx *c, int64_t in, int64_t out, int64_t kernel, int64_t stride) {
    return tsr_nn_conv(c, &(tsr_nn_conv_opts){
        .in = in, .out = out, .kernel = kernel, .stride = stride, .padding = kernel / 2, .no_bias = true});
}

static tsr_nn *norm(tsr_ctx *c, int64_t channels) { return tsr_nn_batch_norm(c, channels, BN_EPS, BN_MOMENTUM); }

static tsr_nn *finish(tsr_nn *m, bool ok) {
    if (ok) return m;
    tsr_nn_free(m);
    return NULL;
}

static tsr_nn *block(tsr_ctx *c, int64_t in, int64_t width, int64_t stride) {
    int64_t out = EXPANSION * width;
    tsr_nn *m = tsr_nn_new(c, block_forward, NULL);
    bool ok = tsr_nn_add_child_take(m, "conv1", conv(c, in, width, 1, 1));
    ok = ok && tsr_nn_add_child_take(m, "bn1", norm(c, width));
    ok = ok && tsr_nn_add_child_take(m, "conv2", conv(c, width, width, 3, stride));
    ok = ok && tsr_nn_add_child_take(m, "bn2", norm(c, width));
    ok = ok && tsr_nn_add_child_take(m, "conv3", conv(c, width, out, 1, 1));
    ok = ok && tsr_nn_add_child_take(m, "bn3", norm(c, out));
    if (!ok || (in == out && stride == 1)) return finish(m, ok);
    tsr_nn *projection[] = {conv(c, in, out, 1, stride), norm(c, out)};
    return finish(m, tsr_nn_add_child_take(m, "downsample", tsr_nn_sequential(c, 2, projection)));
}

/* ---- the network ---- */

enum { STEM_CONV, STEM_BN, LAYER1, FC = LAYER1 + STAGES };

static tsr_node *forward(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    const int64_t kernel[2] = {3, 3}, stride[2] = {2, 2}, padding[2] = {1, 1};
    const int image[2] = {2, 3};
    x = tsr_max_pool(c, tsr_relu(c, conv_bn(m, STEM_CONV, x, mode)), kernel, stride, padding, false);
    for (int i = 0; i < STAGES; i++) x = tsr_nn_forward(tsr_nn_child(m, LAYER1 + i), x, mode);
    return tsr_nn_forward(tsr_nn_child(m, FC), tsr_mean(c, x, 2, image, false), mode);
}

static tsr_nn *stage(tsr_ctx *c, int64_t blocks, int64_t in, int64_t width, int64_t stride) {
    tsr_nn *m = tsr_nn_sequential(c, 0, NULL);
    bool ok = m != NULL;
    for (int64_t i = 0; i < blocks && ok; i++) {
        char name[24];
        snprintf(name, sizeof name, "%d", (int)i);
        ok = tsr_nn_add_child_take(m, name, block(c, i ? EXPANSION * width : in, width, i ? 1 : stride));
    }
    return finish(m, ok);
}

tsr_nn *tsr_resnet(tsr_ctx *c, const int64_t blocks[4], int64_t width, int64_t classes) {
    for (int i = 0; i < STAGES; i++) {
        if (blocks[i] >= 1 && width >= 1 && classes >= 1) continue;
        err_set(c, TSR_EINVAL, "resnet: stage %d has %lld blocks, width %lld, %lld classes; each must be at least 1", i,
            (long long)blocks[i], (long long)width, (long long)classes);
        return NULL;
    }
    tsr_nn *m = tsr_nn_new(c, forward, NULL);
    bool ok = tsr_nn_add_child_take(m, "conv1", conv(c, 3, width, 7, 2));
    ok = ok && tsr_nn_add_child_take(m, "bn1", norm(c, width));
    int64_t in = width, now = width;
    for (int i = 0; i < STAGES && ok; i++, in = EXPANSION * now, now *= 2) {
        char name[24];
        snprintf(name, sizeof name, "layer%d", i + 1);
        ok = tsr_nn_add_child_take(m, name, stage(c, blocks[i], in, now, i ? 2 : 1));
    }
    return finish(m, ok && tsr_nn_add_child_take(m, "fc", tsr_nn_linear(c, in, classes, true)));
}
