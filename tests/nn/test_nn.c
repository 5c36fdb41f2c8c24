/* test_nn.c: modules: the names and shapes of PyTorch's state_dict, initial values, files, state in training. */
#include "harness.h"

#include <math.h>

#include "base/vec.h"
#include "tessera/models.h"
#include "tessera/nn.h"
#include "tessera/ops.h"
#include "tessera/run.h"

/* ---- names and shapes ------------------------------------------------------------------------------------------- */

static tsr_nn *block(tsr_ctx *c) { return tsr_nn_block(c, 8, 2, 32, true, 0.1); }
static tsr_nn *conv_bn(tsr_ctx *c) {
    tsr_nn *m[] = {tsr_nn_conv(c, &(tsr_nn_conv_opts){.in = 4, .out = 6, .kernel = 3, .groups = 2, .axes = 1,
        .no_bias = true}),
        tsr_nn_batch_norm(c, 6, 1e-5, 0.1), tsr_nn_residual(c, tsr_nn_group_norm(c, 3, 6, 1e-5)), tsr_nn_rms_norm(c, 9,
            1e-6)};
    return tsr_nn_sequential(c, 4, m);
}
static tsr_nn *embedding(tsr_ctx *c) { return tsr_nn_embedding(c, 11, 3); }
static tsr_nn *convnet(tsr_ctx *c) { return tsr_convnet(c, 8, 8, 10); }

/* What torch prints for the same modules: name, shape. */
static const struct { const char *what; tsr_nn *(*make)(tsr_ctx *c); const char *params; } trees[] = {
    {"block", block, "norm1.weight[8] norm1.bias[8] attn.in_proj_weight[24,8] attn.in_proj_bias[24] "
        "attn.out_proj.weight[8,8] attn.out_proj.bias[8] norm2.weight[8] norm2.bias[8] mlp.0.weight[32,8] "
        "mlp.0.bias[32] mlp.2.weight[8,32] mlp.2.bias[8] "},
    {"conv_bn", conv_bn,
        "0.weight[6,2,3] 1.weight[6] 1.bias[6] 1.running_mean[6] 1.running_var[6] 2.weight[6] 2.bias[6] "
        "3.weight[9] "},
    {"embedding", embedding, "weight[11,3] "},
    {"convnet", convnet,
        "conv1.weight[16,1,3,3] conv1.bias[16] conv2.weight[32,16,3,3] conv2.bias[32] fc.weight[10,128] "
        "fc.bias[10] "},
};

TEST(names_and_shapes) {
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < sizeof trees / sizeof *trees; k++) {
        test_case("%s", trees[k].what);
        tsr_nn *m = trees[k].make(c);
        struct str s;
        tsr_nn_param p;
        str_init(&s, c);
        for (int i = 0; CHECK(m) && tsr_nn_at(m, i, &p); i++) {
            int64_t dim[TSR_MAX_RANK];
            CHECK(tsr_type_ints(tsr_var_type(p.var), dim));
            str_printf(&s, "%s[", p.name);
            for (int j = 0; j < tsr_var_type(p.var)->rank; j++) str_printf(&s, "%s%d", j ? "," : "", (int)dim[j]);
            str_put(&s, "] ");
            CHECK_EQ(p.buffer, strstr(p.name, "running") != NULL);
        }
        CHECK_STR(s.s, trees[k].params);
        str_release(&s);
        tsr_nn_free(m);
        CHECK_OK(c);
    }
}

/* ---- initial values --------------------------------------------------------------------------------------------- */

static void values(tsr_ctx *c, const tsr_nn *m, int i, float *out, size_t n) {
    tsr_nn_param p;
    if (CHECK(tsr_nn_at(m, i, &p))) CHECK_EQ(tsr_read(c, tsr_var_read(c, p.var), out, n * sizeof *out), TSR_OK);
}

TEST(initial_values) {
    enum { IN = 300, OUT = 200 };
    static float w[OUT * IN], again[OUT * IN], b[OUT];
    tsr_ctx *c = test_ctx();
    tsr_nn *m = tsr_nn_linear(c, IN, OUT, true);
    CHECK(!tsr_nn_init(m, 5));
    values(c, m, 0, w, OUT * IN), values(c, m, 1, b, OUT);
    double bound = 1 / sqrt(IN), most = 0, sum = 0, square = 0;
    for (int i = 0; i < OUT * IN; i++) most = fmax(most, fabs(w[i])), sum += w[i], square += (double)w[i] * w[i];
    CHECK(most <= bound && most > 0.999 * bound);
    CHECK_CLOSE(sum / (OUT * IN), 0, 0, 5 * bound / sqrt(3.0 * OUT * IN)); /* five standard errors */
    CHECK_CLOSE(square / (OUT * IN), bound * bound / 3, 0.02, 0);
    CHECK(!tsr_nn_init(m, 5));
    values(c, m, 0, again, OUT * IN);
    CHECK_BYTES(again, w, sizeof w);
    CHECK(!tsr_nn_init(m, 6));
    values(c, m, 0, again, OUT * IN);
    CHECK(memcmp(again, w, sizeof w));
    tsr_nn_free(m);
    m = tsr_nn_embedding(c, OUT, IN);
    CHECK(!tsr_nn_init(m, 5));
    values(c, m, 0, w, OUT * IN);
    for (int i = 0, n = (square = 0, OUT * IN); i < n; i++) square += (double)w[i] * w[i];
    CHECK_CLOSE(square / (OUT * IN), 1, 0.03, 0);
    tsr_nn_free(m);
    CHECK_OK(c);
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* Batch norm's statistics after a training pass: (1 - k) old + k batch, the variance unbiased. */
TEST(batch_norm_moves_its_statistics) {
    enum { B = 5, C = 3, T = 4 };
    float x[B][C][T], mean[C], var[C], want_mean[C], want_var[C];
    tsr_ctx *c = test_ctx();
    tsr_nn *m = tsr_nn_batch_norm(c, C, 1e-5, 0.25);
    CHECK(!tsr_nn_init(m, 1));
    for (int i = 0; i < B * C * T; i++) (&x[0][0][0])[i] = (float)test_normal() + 2;
    for (int k = 0; k < C; k++) {
        double sum = 0, square = 0;
        for (int i = 0; i < B * T; i++) sum += x[i / T][k][i % T];
        for (int i = 0; i < B * T; i++) square += pow(x[i / T][k][i % T] - sum / (B * T), 2);
        want_mean[k] = (float)(0.25 * sum / (B * T)), want_var[k] = (float)(0.75 + 0.25 * square / (B * T - 1));
    }
    tsr_node *in = tsr_tensor(c, TSR_F32, 3, (int64_t[]){B, C, T}, x);
    tsr_node *train = tsr_nn_forward(m, in, &(tsr_nn_mode){.training = true});
    CHECK(!tsr_eval(c, 1, &train));
    values(c, m, 2, mean, C), values(c, m, 3, var, C);
    CHECK_F32(mean, want_mean, C, 1e-5, 1e-6), CHECK_F32(var, want_var, C, 1e-5, 1e-6);
    float got[B][C][T], want[B][C][T];
    CHECK(!tsr_read(c, tsr_nn_forward(m, in, NULL), got, sizeof got)); /* inference uses them and leaves them */
    for (int i = 0; i < B * C * T; i++) {
        int k = i / T % C;
        (&want[0][0][0])[i] = (float)(((&x[0][0][0])[i] - want_mean[k]) / sqrt(want_var[k] + 1e-5));
    }
    CHECK_F32(&got[0][0][0], &want[0][0][0], B * C * T, 1e-4, 1e-5);
    tsr_nn_free(m);
    CHECK_OK(c);
}

TEST(dropout_only_in_training) {
    enum { N = 10000 };
    static float x[N], y[N], z[N];
    tsr_ctx *c = test_ctx();
    tsr_nn *two[] = {tsr_nn_dropout(c, 0.4), tsr_nn_dropout(c, 0.4)}, *m = tsr_nn_sequential(c, 2, two);
    for (int i = 0; i < N; i++) x[i] = 1;
    tsr_node *in = tsr_tensor(c, TSR_F32, 1, (int64_t[]){N}, x);
    CHECK(tsr_nn_forward(m, in, NULL) == in);
    tsr_nn_mode mode = {.training = true, .key = tsr_key(c, 3)};
    CHECK(!tsr_read(c, tsr_nn_forward(m, in, &mode), y, sizeof y));
    CHECK_EQ(mode.draws, 2);
    int kept = 0;
    for (int i = 0; i < N; i++) kept += y[i] != 0, CHECK(y[i] == 0 || fabs(y[i] - 1 / 0.36) < 1e-5);
    CHECK_CLOSE(kept, 0.36 * N, 0, 5 * sqrt(N * 0.36 * 0.64)); /* independent layers: 0.6^2 */
    mode.draws = 0;
    CHECK(!tsr_read(c, tsr_nn_forward(m, in, &mode), z, sizeof z));
    CHECK_BYTES(z, y, sizeof z);
    CHECK(tsr_is_poison(tsr_nn_forward(m, in, &(tsr_nn_mode){.training = true})));
    CHECK_ERROR(c, TSR_EINVAL, "needs a key");
    tsr_nn_free(m);
}

/* Causal attention: what a position sees does not depend on later ones. */
TEST(block_is_causal) {
    enum { T = 6, C = 8 };
    float x[T * C], y[T * C], z[T * C];
    tsr_ctx *c = test_ctx();
    tsr_nn *m = block(c);
    CHECK(!tsr_nn_init(m, 2));
    for (int i = 0; i < T * C; i++) x[i] = (float)test_normal();
    CHECK(!tsr_read(c, tsr_nn_forward(m, tsr_tensor(c, TSR_F32, 3, (int64_t[]){1, T, C}, x), NULL), y, sizeof y));
    for (int i = 4 * C; i < T * C; i++) x[i] += 1;
    CHECK(!tsr_read(c, tsr_nn_forward(m, tsr_tensor(c, TSR_F32, 3, (int64_t[]){1, T, C}, x), NULL), z, sizeof z));
    CHECK_F32(z, y, 4 * C, 1e-6, 1e-7);
    CHECK(memcmp(z + 4 * C, y + 4 * C, C * sizeof *y));
    tsr_nn_free(m);
    CHECK_OK(c);
}

/* ---- files and errors ------------------------------------------------------------------------------------------- */

TEST(save_and_load) {
    tsr_ctx *c = test_ctx();
    const char *path = test_path("m.safetensors");
    float w[24 * 8], v[24 * 8];
    tsr_nn *a = block(c), *b = block(c), *other = tsr_nn_block(c, 8, 2, 16, true, 0);
    CHECK(!tsr_nn_init(a, 1) && !tsr_nn_init(b, 2) && !tsr_nn_init(other, 3));
    CHECK(!tsr_nn_save(a, path, 0, NULL));
    tsr_safetensors *f = tsr_safetensors_open(c, path);
    CHECK(!tsr_nn_load(b, f, NULL));
    values(c, a, 2, w, 24 * 8), values(c, b, 2, v, 24 * 8);
    CHECK_BYTES(v, w, sizeof w);
    values(c, other, 2, v, 24 * 8);
    CHECK(tsr_nn_load(other, f, NULL) == TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "mlp.0.weight: the model's is f32[16, 8], the file has [32, 8] of f32");
    values(c, other, 2, w, 24 * 8);
    CHECK_BYTES(w, v, sizeof v); /* nothing was assigned */
    CHECK(tsr_nn_load(other, f, "model.") == TSR_ENOTFOUND);
    CHECK_ERROR(c, TSR_ENOTFOUND, "\"model.norm1.weight\"");
    tsr_safetensors_close(f);
    tsr_nn_free(a), tsr_nn_free(b), tsr_nn_free(other);
}

TEST(wrong_modules) {
    tsr_ctx *c = test_ctx();
    CHECK(!tsr_nn_conv(c, &(tsr_nn_conv_opts){.in = 3, .out = 4, .groups = 2}));
    CHECK_ERROR(c, TSR_EINVAL, "3 to 4 channels in 2 groups");
    CHECK(!tsr_nn_attention(c, 10, 3, true, 0));
    CHECK_ERROR(c, TSR_EINVAL, "width 10 is not divisible into 3 heads");
    tsr_nn *part[] = {tsr_nn_linear(c, 2, 2, true), tsr_nn_dropout(c, 1.5), tsr_nn_linear(c, 2, 2, true)};
    CHECK(!tsr_nn_sequential(c, 3, part)); /* and nothing leaks */
    CHECK_ERROR(c, TSR_EINVAL, "p is 1.5");
    CHECK(!tsr_convnet(c, 2, 8, 10));
    CHECK_ERROR(c, TSR_EINVAL, "2x8");
}

static bool make_and_run(tsr_ctx *c, void *path) {
    float x[16] = {1, 2, 3}, y[16];
    tsr_nn *m = block(c);
    bool ok = m && !tsr_nn_init(m, 1) && !tsr_nn_save(m, path, 0, NULL);
    tsr_safetensors *f = ok ? tsr_safetensors_open(c, path) : NULL;
    ok = f && !tsr_nn_load(m, f, NULL);
    if (ok) ok = !tsr_read(c, tsr_nn_forward(m, tsr_tensor(c, TSR_F32, 3, (int64_t[]){1, 2, 8}, x), NULL), y, sizeof y);
    tsr_safetensors_close(f);
    tsr_nn_free(m);
    return ok;
}

TEST(nn_torture) { CHECK(torture(make_and_run, (void *)test_path("t.safetensors")) > 100); }
