/* convnet.c: a small convolutional classifier for small grey images, in the line of LeCun et al., 1998.
 *
 *     (B, 1, H, W)  conv1 3x3 -> 16, relu, max pool 2   (B, 16, H/2, W/2)
 *                   conv2 3x3 -> 32, relu, max pool 2   (B, 32, H/4, W/4)
 *                   fc -> classes */
#include "base/ctx.h"
#include "tessera/models.h"
#include "tessera/ops.h"

enum { CONV1, CONV2, FC };
enum { WIDTH1 = 16, WIDTH2 = 32, KERNEL = 3, POOLED = 4 };

static tsr_node *stage(tsr_ctx *c, tsr_nn *conv, tsr_node *x, tsr_nn_mode *mode) {
    return tsr_max_pool(c, tsr_relu(c, tsr_nn_forward(conv, x, mode)), (int64_t[]){2, 2}, NULL, NULL, false);
}

static tsr_node *forward(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    x = stage(c, tsr_nn_child(m, CONV1), x, mode);
    x = stage(c, tsr_nn_child(m, CONV2), x, mode);
    return tsr_nn_forward(tsr_nn_child(m, FC), tsr_flatten(c, x, 1, -1), mode);
}

static tsr_nn *conv(tsr_ctx *c, int64_t in, int64_t out) {
    return tsr_nn_conv(c, &(tsr_nn_conv_opts){.in = in, .out = out, .kernel = KERNEL, .padding = KERNEL / 2});
}

tsr_nn *tsr_convnet(tsr_ctx *c, int64_t height, int64_t width, int64_t classes) {
    if (height < POOLED || width < POOLED || classes < 1) {
        err_set(c, TSR_EINVAL, "convnet: images of %lldx%lld in %lld classes; at least %dx%d and one class are needed",
            (long long)height, (long long)width, (long long)classes, POOLED, POOLED);
        return NULL;
    }
    tsr_nn *m = tsr_nn_new(c, forward, NULL);
    bool ok = tsr_nn_add_child_take(m, "conv1", conv(c, 1, WIDTH1));
    ok = ok && tsr_nn_add_child_take(m, "conv2", conv(c, WIDTH1, WIDTH2));
    ok = ok && tsr_nn_add_child_take(m, "fc", tsr_nn_linear(c, (height / 4) * (width / 4) * WIDTH2, classes, true));
    if (ok) return m;
    tsr_nn_free(m);
    return NULL;
}
