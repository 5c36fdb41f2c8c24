/* test_resnet.c: the residual network: the published weights' names and count, and a training step of a narrow one
 * beside the reference. */
#include "harness.h"

#include <stdlib.h>

#include "tessera/tessera.h"

/* As torchvision's resnet50 has them; 25557032 parameters. */
TEST(names_and_sizes_of_resnet_50) {
    static const struct { const char *name; int64_t dim[4]; } some[] = {
        {"conv1.weight", {64, 3, 7, 7}}, {"bn1.running_var", {64}}, {"layer1.0.conv1.weight", {64, 64, 1, 1}},
        {"layer1.0.downsample.0.weight", {256, 64, 1, 1}}, {"layer1.0.downsample.1.bias", {256}},
        {"layer2.0.conv2.weight", {128, 128, 3, 3}}, {"layer3.5.conv3.weight", {1024, 256, 1, 1}},
        {"layer4.2.bn3.running_mean", {2048}}, {"fc.weight", {1000, 2048}},
    };
    tsr_ctx *c = test_ctx();
    tsr_nn *m = tsr_resnet(c, (int64_t[]){3, 4, 6, 3}, 64, 1000);
    tsr_nn_param p;
    int64_t total = 0;
    size_t found = 0;
    for (int i = 0; CHECK(m) && tsr_nn_at(m, i, &p); i++) {
        int64_t dim[TSR_MAX_RANK], n = 1;
        int rank = tsr_var_type(p.var)->rank;
        CHECK(tsr_type_ints(tsr_var_type(p.var), dim));
        for (int j = 0; j < rank; j++) n *= dim[j];
        total += p.buffer ? 0 : n;
        for (size_t k = 0; k < sizeof some / sizeof *some; k++) {
            if (strcmp(some[k].name, p.name)) continue;
            found++;
            for (int j = 0; j < rank; j++) CHECK_EQ(dim[j], some[k].dim[j]);
        }
    }
    CHECK_EQ(total, 25557032);
    CHECK_EQ(found, sizeof some / sizeof *some);
    tsr_nn_free(m);
    CHECK(!tsr_resnet(c, (int64_t[]){3, 0, 6, 3}, 64, 1000));
    CHECK_ERROR(c, TSR_EINVAL, "stage 1 has 0 blocks");
}

enum { CLASSES = 5, PARAMS = 200 };

/* Loss and gradients of a step as a fn of images and labels. */
static tsr_fn *step(tsr_ctx *c, tsr_nn *m, const tsr_type *image, const tsr_type *label, bool training, int *n) {
    tsr_node *out[PARAMS + 1], *p[PARAMS];
    tsr_nn_mode mode = {.training = training};
    tsr_nn_param info;
    if (tsr_fn_begin(c, "step")) return NULL;
    tsr_node *x = tsr_param(c, image, "x"), *y = tsr_param(c, label, "y");
    tsr_node *logits = tsr_nn_forward(m, x, &mode);
    out[0] = tsr_cross_entropy(c, logits, y, 0, INT64_MIN, TSR_LOSS_MEAN);
    *n = 0;
    for (int i = 0; *n < PARAMS && tsr_nn_at(m, i, &info); i++)
        if (!info.buffer) p[(*n)++] = tsr_var_read(c, info.var);
    if (training) tsr_grad(c, out[0], *n, p, out + 1);
    *n = training ? *n + 1 : 1;
    return tsr_fn_end(c, *n, out);
}

static void compare(tsr_ctx *c, tsr_node *got, tsr_node *want) {
    int64_t dim[TSR_MAX_RANK], n = 1;
    CHECK(tsr_type_ints(tsr_node_type(want), dim));
    for (int i = 0; i < tsr_node_type(want)->rank; i++) n *= dim[i];
    size_t bytes = (size_t)n * sizeof(float);
    float *a = malloc(bytes), *b = malloc(bytes), most = 0;
    CHECK(!tsr_read(c, got, a, bytes) && !tsr_read(c, want, b, bytes));
    for (int64_t i = 0; i < n; i++) most = b[i] > most ? b[i] : -b[i] > most ? -b[i] : most;
    CHECK_F32(a, b, (size_t)n, 1e-2, 1e-2 * most + 1e-6); /* relu may turn over where its operand is nearly 0 */
    free(a), free(b);
}

TEST(a_step_beside_the_reference) {
    tsr_ctx *c = test_ctx();
    tsr_nn *m = tsr_resnet(c, (int64_t[]){1, 2, 1, 1}, 4, CLASSES);
    CHECK(m && !tsr_nn_init(m, 7));
    const tsr_type *image = tsr_type_dims(c, TSR_F32, 4, (int64_t[]){4, 3, 64, 64});
    const tsr_type *label = tsr_type_dims(c, TSR_I32, 1, (int64_t[]){4});
    tsr_node *x = tsr_random_uniform(c, tsr_key(c, 3), image, -1, 1);
    tsr_node *y = tsr_tensor(c, TSR_I32, 1, (int64_t[]){4}, (int32_t[]){0, 4, 2, 1});
    for (int training = 0; training < 2; training++) {
        test_case("%s", training ? "training" : "inference");
        int n;
        tsr_node *got[PARAMS + 1], *want[PARAMS + 1];
        tsr_fn *f = step(c, m, image, label, training, &n);
        if (!CHECK_OK(c) || !f) return;
        CHECK_EQ(tsr_interpret(c, f, 2, (tsr_node *[]){x, y}, want), TSR_OK); /* moves the statistics, not the result */
        CHECK_EQ(tsr_run(c, f, 2, (tsr_node *[]){x, y}, got), TSR_OK);
        for (int i = 0; CHECK_OK(c) && i < n; i++) compare(c, got[i], want[i]);
        tsr_fn_free(c, f);
    }
    tsr_nn_free(m);
}
