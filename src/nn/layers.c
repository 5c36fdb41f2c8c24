/* layers.c: the layers with parameters of their own, and those without.
 *
 * Each is a constructor over a forward function; what it was made with lies in size[] and number[], named by the enum
 * beside it. Shapes, names and initial values are those of torch.nn (2.x): linear, conv: bound 1/sqrt(fan_in) for
 * weight and bias; embedding: standard normal; norms: ones and zeros. */
#include "nn/nn.h"

#include <math.h>

#include "tessera/ops.h"

static const tsr_init zeros = {TSR_INIT_CONSTANT, 0}, ones = {TSR_INIT_CONSTANT, 1};

static tsr_init torch_default(int64_t fan_in) { return tsr_init_kaiming(fan_in, sqrt(1.0 / 3)); }
static tsr_node *read_or_null(tsr_nn *m, int i) { return (size_t)i < m->own.n ? tsr_nn_read(m, i) : NULL; }

/* ---- linear and convolution ------------------------------------------------------------------------------------- */

static tsr_node *linear(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)mode;
    return tsr_linear(c, x, tsr_nn_read(m, 0), read_or_null(m, 1));
}

tsr_nn *tsr_nn_linear(tsr_ctx *c, int64_t in, int64_t out, bool bias) {
    tsr_nn *m = tsr_nn_new(c, linear, NULL);
    bool ok = tsr_nn_add_param(m, "weight", 2, (int64_t[]){out, in}, torch_default(in));
    return nn_with(m, ok && (!bias || tsr_nn_add_param(m, "bias", 1, &out, torch_default(in))));
}

enum { CONV_AXES, CONV_STRIDE, CONV_PADDING, CONV_DILATION, CONV_GROUPS, CONV_AXES_MAX = 3 };

static tsr_node *conv(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)mode;
    int64_t stride[CONV_AXES_MAX], padding[CONV_AXES_MAX], dilation[CONV_AXES_MAX];
    for (int i = 0; i < m->size[CONV_AXES]; i++)
        stride[i] = m->size[CONV_STRIDE], padding[i] = m->size[CONV_PADDING], dilation[i] = m->size[CONV_DILATION];
    return tsr_conv(c, x, tsr_nn_read(m, 0), read_or_null(m, 1), stride, padding, dilation, m->size[CONV_GROUPS]);
}

tsr_nn *tsr_nn_conv(tsr_ctx *c, const tsr_nn_conv_opts *o) {
    int axes = o->axes ? o->axes : 2;
    int64_t groups = o->groups ? o->groups : 1, kernel = o->kernel ? o->kernel : 1, fan_in = o->in / groups;
    int64_t dim[2 + CONV_AXES_MAX] = {o->out, o->in / groups};
    if (axes < 1 || axes > CONV_AXES_MAX || groups < 1 || o->in % groups || o->out % groups || kernel < 1) {
        err_set(c, TSR_EINVAL,
            "conv module: %lld to %lld channels in %lld groups, %d axes, kernel %lld: channels must be divisible by "
            "groups, axes 1 to %d", (long long)o->in, (long long)o->out, (long long)groups, axes, (long long)kernel,
            CONV_AXES_MAX);
        return NULL;
    }
    for (int i = 0; i < axes; i++) dim[2 + i] = kernel, fan_in *= kernel;
    tsr_nn *m = tsr_nn_new(c, conv, NULL);
    bool ok = tsr_nn_add_param(m, "weight", 2 + axes, dim, torch_default(fan_in));
    ok = ok && (o->no_bias || tsr_nn_add_param(m, "bias", 1, &o->out, torch_default(fan_in)));
    if (!ok) return nn_with(m, false);
    m->size[CONV_AXES] = axes, m->size[CONV_STRIDE] = o->stride ? o->stride : 1, m->size[CONV_PADDING] = o->padding;
    m->size[CONV_DILATION] = o->dilation ? o->dilation : 1, m->size[CONV_GROUPS] = groups;
    return m;
}

static tsr_node *embedding(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)mode;
    return tsr_embedding(c, tsr_nn_read(m, 0), x);
}

tsr_nn *tsr_nn_embedding(tsr_ctx *c, int64_t count, int64_t width) {
    tsr_nn *m = tsr_nn_new(c, embedding, NULL);
    return nn_with(m, tsr_nn_add_param(m, "weight", 2, (int64_t[]){count, width}, (tsr_init){TSR_INIT_NORMAL, 1}));
}

/* ---- norms ------------------------------------------------------------------------------------------------------ */

enum { NORM_GROUPS };
enum { NORM_EPS, NORM_MOMENTUM };

static tsr_node *layer_norm(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)mode;
    return tsr_layer_norm(c, x, 1, tsr_nn_read(m, 0), tsr_nn_read(m, 1), m->number[NORM_EPS]);
}

static tsr_node *rms_norm(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)mode;
    return tsr_rms_norm(c, x, tsr_nn_read(m, 0), m->number[NORM_EPS]);
}

static tsr_node *group_norm(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)mode;
    return tsr_group_norm(c, x, m->size[NORM_GROUPS], tsr_nn_read(m, 0), tsr_nn_read(m, 1), m->number[NORM_EPS]);
}

enum { BN_WEIGHT, BN_BIAS, BN_MEAN, BN_VAR };

/* running = (1 - momentum) running + momentum batch */
static void move_statistic(tsr_ctx *c, tsr_nn *m, int which, tsr_node *batch) {
    tsr_node *old = tsr_nn_read(m, which), *k = tsr_num(c, batch, m->number[NORM_MOMENTUM]);
    tsr_node *now = tsr_add(c, old, tsr_mul(c, tsr_sub(c, batch, old), k));
    if (!tsr_is_poison(now)) tsr_var_assign(c, m->own.v[which].var, tsr_stop_gradient(c, now));
}

/* n / (n - 1) for the n values behind each channel's statistics, whatever the batch */
static tsr_node *unbiased(tsr_ctx *c, tsr_node *x) {
    tsr_node *n = tsr_sum(c, tsr_ones_like(c, tsr_select(c, x, 1, 0)), 0, NULL, false);
    return tsr_div(c, n, tsr_maximum(c, tsr_sub(c, n, tsr_num(c, n, 1)), tsr_num(c, n, 1)));
}

static tsr_node *batch_norm(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    tsr_node *w = tsr_nn_read(m, BN_WEIGHT), *b = tsr_nn_read(m, BN_BIAS), *mean, *var;
    double eps = m->number[NORM_EPS];
    if (!mode->training) return tsr_batch_norm(c, x, tsr_nn_read(m, BN_MEAN), tsr_nn_read(m, BN_VAR), w, b, eps);
    tsr_node *y = tsr_batch_norm_train(c, x, w, b, eps, &mean, &var);
    if (tsr_is_poison(y)) return y;
    move_statistic(c, m, BN_MEAN, mean);
    move_statistic(c, m, BN_VAR, tsr_mul(c, var, unbiased(c, x)));
    return y;
}

static tsr_nn *norm_new(tsr_ctx *c, tsr_nn_forward_fn *forward, int64_t width, double eps, bool bias) {
    tsr_nn *m = tsr_nn_new(c, forward, NULL);
    if (m) m->number[NORM_EPS] = eps;
    bool ok = tsr_nn_add_param(m, "weight", 1, &width, ones);
    return nn_with(m, ok && (!bias || tsr_nn_add_param(m, "bias", 1, &width, zeros)));
}

tsr_nn *tsr_nn_layer_norm(tsr_ctx *c, int64_t width, double eps) { return norm_new(c, layer_norm, width, eps, true); }
tsr_nn *tsr_nn_rms_norm(tsr_ctx *c, int64_t width, double eps) { return norm_new(c, rms_norm, width, eps, false); }

tsr_nn *tsr_nn_group_norm(tsr_ctx *c, int64_t groups, int64_t channels, double eps) {
    tsr_nn *m = norm_new(c, group_norm, channels, eps, true);
    if (m) m->size[NORM_GROUPS] = groups;
    return m;
}

tsr_nn *tsr_nn_batch_norm(tsr_ctx *c, int64_t channels, double eps, double momentum) {
    tsr_nn *m = norm_new(c, batch_norm, channels, eps, true);
    if (m) m->number[NORM_MOMENTUM] = momentum;
    bool ok = tsr_nn_add_buffer(m, "running_mean", 1, &channels, zeros);
    return nn_with(m, ok && tsr_nn_add_buffer(m, "running_var", 1, &channels, ones));
}

/* ---- without parameters ----------------------------------------------------------------------------------------- */

/* Every layer that draws takes a key of its own from the pass's key. */
static tsr_node *dropout(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    if (!mode->training || m->number[0] <= 0) return x;
    if (!mode->key) return err_set(c, TSR_EINVAL, "dropout in training needs a key in tsr_nn_mode"), tsr_poison(c);
    tsr_node *key = tsr_key_fold(c, mode->key, tsr_scalar_int(c, TSR_I64, mode->draws++));
    return tsr_dropout(c, x, key, m->number[0]);
}

tsr_nn *tsr_nn_dropout(tsr_ctx *c, double p) {
    if (!(p >= 0 && p < 1)) return err_set(c, TSR_EINVAL, "dropout: p is %g, outside [0, 1)", p), NULL;
    tsr_nn *m = tsr_nn_new(c, dropout, NULL);
    if (m) m->number[0] = p;
    return m;
}

static tsr_node *function(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)mode;
    return m->function(c, x);
}

tsr_nn *tsr_nn_function(tsr_ctx *c, tsr_node *(*fn)(tsr_ctx *c, tsr_node *x)) {
    tsr_nn *m = tsr_nn_new(c, function, NULL);
    if (m) m->function = fn;
    return m;
}

static tsr_node *gelu_erf(tsr_ctx *c, tsr_node *x) { return tsr_gelu(c, x, false); }
static tsr_node *gelu_tanh(tsr_ctx *c, tsr_node *x) { return tsr_gelu(c, x, true); }
static tsr_node *flatten(tsr_ctx *c, tsr_node *x) { return tsr_flatten(c, x, 1, -1); }

tsr_nn *tsr_nn_gelu(tsr_ctx *c, bool tanh_form) { return tsr_nn_function(c, tanh_form ? gelu_tanh : gelu_erf); }
tsr_nn *tsr_nn_flatten(tsr_ctx *c) { return tsr_nn_function(c, flatten); }

enum { POOL_AXES, POOL_KERNEL };

static tsr_node *max_pool(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)mode;
    int64_t kernel[TSR_MAX_RANK];
    for (int i = 0; i < m->size[POOL_AXES]; i++) kernel[i] = m->size[POOL_KERNEL];
    return tsr_max_pool(c, x, kernel, NULL, NULL, false);
}

tsr_nn *tsr_nn_max_pool(tsr_ctx *c, int axes, int64_t kernel) {
    if (axes < 1 || axes > CONV_AXES_MAX || kernel < 1)
        return err_set(c, TSR_EINVAL, "max_pool module: %d axes, kernel %lld", axes, (long long)kernel), NULL;
    tsr_nn *m = tsr_nn_new(c, max_pool, NULL);
    if (m) m->size[POOL_AXES] = axes, m->size[POOL_KERNEL] = kernel;
    return m;
}
