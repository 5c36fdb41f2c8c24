/* test_composites.c: composites and user-facing builders against naive loops in double precision written here from
 * their formulas (PyTorch's and NumPy's conventions), their gradients against differences; narrow dtypes against the
 * wide result; promotion; corner cases; symbolic extents; what is refused; every allocation failing. */
#include <stdio.h>

#include "graph/build.h"
#include "transform/support.h"

/* One case: inputs (a letter for the dtype, then extents), the graph, the loops. Integer inputs are drawn from [lo,
 * hi]. */
struct input { char kind; int rank; int64_t dim[5]; };
typedef int builder(tsr_ctx *c, tsr_node **x, tsr_node **y); /* number of results */
typedef void naive(const double *const *x, double **y);
struct row { const char *name; struct input in[8]; builder *build; naive *loops; int lo, hi; };

#define I(...) ((int64_t[]){__VA_ARGS__})
#define BUILD(name, ...) static int name(tsr_ctx *c, tsr_node **x, tsr_node **y) { __VA_ARGS__; return 1; }
#define LOOPS(name) static void name(const double *const *x, double **y)

static double sigmoid(double v) { return 1 / (1 + exp(-v)); }

/* ---- activations: (3, 4) ---- */

#define ACTIVATION(name, graph, formula)                   \
    BUILD(g_##name, y[0] = graph)                          \
    LOOPS(n_##name) { for (int i = 0; i < 12; i++) { double v = x[0][i]; y[0][i] = formula; } }
ACTIVATION(relu, tsr_relu(c, x[0]), v > 0 ? v : 0)
ACTIVATION(gelu, tsr_gelu(c, x[0], false), v * 0.5 * erfc(-v / sqrt(2)))
ACTIVATION(gelu_tanh, tsr_gelu(c, x[0], true), 0.5 * v * (1 + tanh(sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v))))
ACTIVATION(silu, tsr_silu(c, x[0]), v * sigmoid(v))
ACTIVATION(sigmoid, tsr_sigmoid(c, x[0]), sigmoid(v))
ACTIVATION(tanh, tsr_tanh(c, x[0]), tanh(v))
ACTIVATION(softplus, tsr_softplus(c, x[0]), log(1 + exp(v)))
ACTIVATION(leaky, tsr_leaky_relu(c, x[0], 0.1), v > 0 ? v : 0.1 * v)
ACTIVATION(elu, tsr_elu(c, x[0], 1.5), v > 0 ? v : 1.5 * (exp(v) - 1))

/* (2, 5, 3) along axis 1 */
static double sum_exp(const double *x, int b, int k) {
    double s = 0;
    for (int i = 0; i < 5; i++) s += exp(x[(b * 5 + i) * 3 + k]);
    return s;
}
BUILD(g_softmax, y[0] = tsr_softmax(c, x[0], 1))
LOOPS(n_softmax) { for (int i = 0; i < 30; i++) y[0][i] = exp(x[0][i]) / sum_exp(x[0], i / 15, i % 3); }
BUILD(g_log_softmax, y[0] = tsr_log_softmax(c, x[0], -2))
LOOPS(n_log_softmax) { for (int i = 0; i < 30; i++) y[0][i] = x[0][i] - log(sum_exp(x[0], i / 15, i % 3)); }
BUILD(g_logsumexp, y[0] = tsr_logsumexp(c, x[0], 1, false))
LOOPS(n_logsumexp) { for (int i = 0; i < 6; i++) y[0][i] = log(sum_exp(x[0], i / 3, i % 3)); }

/* ---- norms ---- */

static void standardise(const double *x, double *y, int n, double eps) {
    double m = 0, v = 0;
    for (int i = 0; i < n; i++) m += x[i] / n;
    for (int i = 0; i < n; i++) v += (x[i] - m) * (x[i] - m) / n;
    for (int i = 0; i < n; i++) y[i] = (x[i] - m) / sqrt(v + eps);
}
BUILD(g_layer_norm, y[0] = tsr_layer_norm(c, x[0], 2, x[1], x[2], 1e-3)) /* (3, 2, 4) over the last two */
LOOPS(n_layer_norm) {
    for (int r = 0; r < 3; r++) standardise(x[0] + r * 8, y[0] + r * 8, 8, 1e-3);
    for (int i = 0; i < 24; i++) y[0][i] = y[0][i] * x[1][i % 8] + x[2][i % 8];
}
BUILD(g_layer_norm_bare, y[0] = tsr_layer_norm(c, x[0], 1, NULL, NULL, 1e-5)) /* (3, 2, 4) */
LOOPS(n_layer_norm_bare) { for (int r = 0; r < 6; r++) standardise(x[0] + r * 4, y[0] + r * 4, 4, 1e-5); }
BUILD(g_rms_norm, y[0] = tsr_rms_norm(c, x[0], x[1], 1e-6)) /* (3, 4) */
LOOPS(n_rms_norm) {
    for (int r = 0; r < 3; r++) {
        double s = 0;
        for (int i = 0; i < 4; i++) s += x[0][r * 4 + i] * x[0][r * 4 + i] / 4;
        for (int i = 0; i < 4; i++) y[0][r * 4 + i] = x[0][r * 4 + i] / sqrt(s + 1e-6) * x[1][i];
    }
}
BUILD(g_group_norm, y[0] = tsr_group_norm(c, x[0], 2, x[1], x[2], 1e-5)) /* (2, 4, 3) in 2 groups */
LOOPS(n_group_norm) {
    for (int r = 0; r < 4; r++) standardise(x[0] + r * 6, y[0] + r * 6, 6, 1e-5);
    for (int i = 0; i < 24; i++) y[0][i] = y[0][i] * x[1][i / 3 % 4] + x[2][i / 3 % 4];
}
BUILD(g_batch_norm, y[0] = tsr_batch_norm(c, x[0], x[1], x[2], x[3], x[4], 1e-5)) /* (2, 3, 4); var > 0 */
LOOPS(n_batch_norm) {
    for (int i = 0; i < 24; i++) {
        int k = i / 4 % 3;
        y[0][i] = (x[0][i] - x[1][k]) / sqrt(x[2][k] + 1e-5) * x[3][k] + x[4][k];
    }
}
static int g_batch_norm_train(tsr_ctx *c, tsr_node **x, tsr_node **y) {
    y[0] = tsr_batch_norm_train(c, x[0], x[1], x[2], 1e-5, &y[1], &y[2]);
    return 3;
}
LOOPS(n_batch_norm_train) { /* (2, 3, 4) */
    for (int k = 0; k < 3; k++) {
        double v[8], o[8];
        y[1][k] = y[2][k] = 0;
        for (int i = 0; i < 8; i++) v[i] = x[0][i / 4 * 12 + k * 4 + i % 4], y[1][k] += v[i] / 8;
        for (int i = 0; i < 8; i++) y[2][k] += (v[i] - y[1][k]) * (v[i] - y[1][k]) / 8;
        standardise(v, o, 8, 1e-5);
        for (int i = 0; i < 8; i++) y[0][i / 4 * 12 + k * 4 + i % 4] = o[i] * x[1][k] + x[2][k];
    }
}

/* ---- losses: logits (4, 3), labels (4) in 0..2, 1 ignored where it says so ---- */

static double nll(const double *z, int label, double smooth) {
    double s = 0, mean = 0;
    for (int i = 0; i < 3; i++) s += exp(z[i]), mean += z[i] / 3;
    return log(s) - (1 - smooth) * z[label] - smooth * mean;
}
BUILD(g_ce, y[0] = tsr_cross_entropy(c, x[0], x[1], 0, INT64_MIN, TSR_LOSS_MEAN))
LOOPS(n_ce) { for (int i = y[0][0] = 0; i < 4; i++) y[0][0] += nll(x[0] + 3 * i, (int)x[1][i], 0) / 4; }
BUILD(g_ce_smooth, y[0] = tsr_cross_entropy(c, x[0], x[1], 0.2, INT64_MIN, TSR_LOSS_NONE))
LOOPS(n_ce_smooth) { for (int i = 0; i < 4; i++) y[0][i] = nll(x[0] + 3 * i, (int)x[1][i], 0.2); }
BUILD(g_ce_ignore, y[0] = tsr_cross_entropy(c, x[0], x[1], 0.1, 1, TSR_LOSS_MEAN))
LOOPS(n_ce_ignore) {
    double s = 0, n = 0;
    for (int i = 0; i < 4; i++)
        if (x[1][i] != 1) s += nll(x[0] + 3 * i, (int)x[1][i], 0.1), n++;
    y[0][0] = s / n;
}
BUILD(g_ce_axes, y[0] = tsr_cross_entropy(c, x[0], x[1], 0, INT64_MIN, TSR_LOSS_SUM)) /* (2, 3, 2), labels (2, 2) */
LOOPS(n_ce_axes) {
    y[0][0] = 0;
    for (int i = 0; i < 4; i++) {
        double z[3];
        for (int k = 0; k < 3; k++) z[k] = x[0][i / 2 * 6 + k * 2 + i % 2];
        y[0][0] += nll(z, (int)x[1][i], 0);
    }
}
#define LOSS(name, graph, formula)                                       \
    BUILD(g_##name, y[0] = graph)                                        \
    LOOPS(n_##name) {                                                    \
        y[0][0] = 0;                                                     \
        for (int i = 0; i < 12; i++) {                                   \
            double a = x[0][i], b = x[1][i], d = a - b;                  \
            (void)d;                                                     \
            y[0][0] += (formula) / 12;                                   \
        }                                                                \
    }
LOSS(mse, tsr_mse(c, x[0], x[1], TSR_LOSS_MEAN), d * d)
LOSS(huber, tsr_huber(c, x[0], x[1], 0.7, TSR_LOSS_MEAN), fabs(d) <= 0.7 ? d * d / 2 : 0.7 * (fabs(d) - 0.35))
LOSS(bce, tsr_bce_logits(c, x[0], x[1], TSR_LOSS_MEAN), -(b * log(sigmoid(a)) + (1 - b) * log(1 - sigmoid(a))))

/* ---- attention, rope, embeddings ---- */

enum { AB = 2, AH = 4, AG = 2, AT = 3, AS = 5, AD = 2, AE = 3 };
static void attend(const double *const *x, double *y, double cap, bool causal, const double *add) {
    for (int r = 0; r < AB * AH * AT; r++) {
        int b = r / (AH * AT), h = r / AT % AH, t = r % AT, g = h / (AH / AG);
        double w[AS], sum = 0;
        for (int s = 0; s < AS; s++) {
            double d = 0;
            for (int i = 0; i < AD; i++) d += x[0][r * AD + i] * x[1][((b * AG + g) * AS + s) * AD + i];
            d /= sqrt(AD);
            if (cap > 0) d = cap * tanh(d / cap);
            if (add) d += add[(b * AT + t) * AS + s];
            w[s] = causal && s > t + AS - AT ? 0 : exp(d);
            sum += w[s];
        }
        for (int e = 0; e < AE; e++) {
            y[r * AE + e] = 0;
            for (int s = 0; s < AS; s++) y[r * AE + e] += w[s] / sum * x[2][((b * AG + g) * AS + s) * AE + e];
        }
    }
}
BUILD(g_attention, y[0] = tsr_attention(c, x[0], x[1], x[2], NULL))
LOOPS(n_attention) { attend(x, y[0], 0, false, NULL); }
BUILD(g_attention_causal, y[0] = tsr_attention(c, x[0], x[1], x[2],
                                               &(tsr_attention_opts){.causal = true, .softcap = 1.5}))
LOOPS(n_attention_causal) { attend(x, y[0], 1.5, true, NULL); }
BUILD(g_attention_mask, y[0] = tsr_attention(c, x[0], x[1], x[2], &(tsr_attention_opts){.mask = x[3]}))
LOOPS(n_attention_mask) { attend(x, y[0], 0, false, x[3]); }

static void turn(const double *const *x, double *y, bool pairs) { /* (2, 2, 3, 4), positions (3) */
    for (int r = 0; r < 12; r++)
        for (int i = 0; i < 2; i++) {
            double a = x[1][r % 3] * pow(100, -2.0 * i / 4);
            int p = pairs ? 2 * i : i, q = pairs ? p + 1 : i + 2;
            y[r * 4 + p] = x[0][r * 4 + p] * cos(a) - x[0][r * 4 + q] * sin(a);
            y[r * 4 + q] = x[0][r * 4 + q] * cos(a) + x[0][r * 4 + p] * sin(a);
        }
}
BUILD(g_rope, y[0] = tsr_rope(c, x[0], x[1], 100, false))
LOOPS(n_rope) { turn(x, y[0], false); }
BUILD(g_rope_pairs, y[0] = tsr_rope(c, x[0], x[1], 100, true))
LOOPS(n_rope_pairs) { turn(x, y[0], true); }
BUILD(g_embedding, y[0] = tsr_embedding(c, x[0], x[1])) /* (5, 3) by (2, 4) */
LOOPS(n_embedding) { for (int i = 0; i < 24; i++) y[0][i] = x[0][(int)x[1][i / 3] * 3 + i % 3]; }
BUILD(g_one_hot, y[0] = tsr_one_hot(c, x[0], 4, TSR_F64)) /* (2, 3), -1 and 4 are nowhere */
LOOPS(n_one_hot) { for (int i = 0; i < 24; i++) y[0][i] = x[0][i / 4] == i % 4; }
BUILD(g_linear, y[0] = tsr_linear(c, x[0], x[1], x[2])) /* (2, 3, 4), (5, 4), (5) */
LOOPS(n_linear) {
    for (int i = 0; i < 30; i++) {
        y[0][i] = x[2][i % 5];
        for (int k = 0; k < 4; k++) y[0][i] += x[0][i / 5 * 4 + k] * x[1][i % 5 * 4 + k];
    }
}

/* ---- convolution and pooling ---- */

/* (N, C, H, W) by (O, C/g, KH, KW) */
struct conv { int n, c, h, w, o, kh, kw, sh, sw, ph, pw, dh, dw, g; };
static void convolve(const double *x, const double *w, const double *b, double *y, struct conv p) {
    int oh = (p.h + 2 * p.ph - p.dh * (p.kh - 1) - 1) / p.sh + 1, ow = (p.w + 2 * p.pw - p.dw * (p.kw - 1) - 1) / p.sw +
        1;
    for (int i = 0; i < p.n * p.o * oh * ow; i++) {
        int n = i / (p.o * oh * ow), o = i / (oh * ow) % p.o, r = i / ow % oh, q = i % ow, per = p.c / p.g;
        y[i] = b ? b[o] : 0;
        for (int k = 0; k < per * p.kh * p.kw; k++) {
            int ch = k / (p.kh * p.kw), a = k / p.kw % p.kh, d = k % p.kw;
            int u = r * p.sh - p.ph + a * p.dh, v = q * p.sw - p.pw + d * p.dw, from = o / (p.o / p.g) * per + ch;
            if (u < 0 || v < 0 || u >= p.h || v >= p.w) continue;
            y[i] += x[((n * p.c + from) * p.h + u) * p.w + v] * w[(o * per + ch) * p.kh * p.kw + a * p.kw + d];
        }
    }
}
BUILD(g_conv, y[0] = tsr_conv(c, x[0], x[1], x[2], I(2, 1), I(1, 0), I(1, 2), 2)) /* (2, 4, 5, 6), (6, 2, 3, 2) */
LOOPS(n_conv) { convolve(x[0], x[1], x[2], y[0], (struct conv){2, 4, 5, 6, 6, 3, 2, 2, 1, 1, 0, 1, 2, 2}); }
BUILD(g_conv1, y[0] = tsr_conv(c, x[0], x[1], NULL, NULL, NULL, NULL, 0)) /* (1, 2, 7), (3, 2, 3) */
LOOPS(n_conv1) { convolve(x[0], x[1], NULL, y[0], (struct conv){1, 2, 1, 7, 3, 1, 3, 1, 1, 0, 0, 1, 1, 1}); }

/* Scatters every input over the output: the definition. (2, 4, 3) by (4, 3, 3), stride 2, padding 1, output padding 1,
 * dilation 2, groups 2 */
BUILD(g_conv_t, y[0] = tsr_conv_transpose(c, x[0], x[1], x[2], I(2), I(1), I(1), I(2), 2))
LOOPS(n_conv_t) {
    enum { L = (3 - 1) * 2 - 2 + 2 * (3 - 1) + 1 + 1 };
    for (int i = 0; i < 2 * 6 * L; i++) y[0][i] = x[2][i / L % 6];
    for (int n = 0; n < 2; n++)
        for (int ch = 0; ch < 4; ch++)
            for (int t = 0; t < 3; t++)
                for (int o = 0; o < 3; o++)
                    for (int k = 0; k < 3; k++) {
                        int at = t * 2 - 1 + k * 2;
                        if (at >= 0 && at < L) y[0][(n * 6 + ch / 2 * 3 + o) * L + at] += x[0][(n * 4 + ch) * 3 + t]
                            * x[1][(ch * 3 + o) * 3 + k];
                    }
}

/* Windows on (1, 2, 7): kernel 3, stride 2, padding 1 */
static void pool(const double *x, double *y, int kind, bool include, int out) {
    for (int i = 0; i < 2 * out; i++) {
        double best = -INFINITY, sum = 0, n = 0;
        for (int k = 0; k < 3; k++) {
            int at = i % out * 2 - 1 + k;
            if (at >= 0 && at < 7) best = fmax(best, x[i / out * 7 + at]), sum += x[i / out * 7 + at], n += !include;
            if (include && at < 8) n++;
        }
        y[i] = kind ? sum / n : best;
    }
}
BUILD(g_max_pool, y[0] = tsr_max_pool(c, x[0], I(3), I(2), I(1), false))
LOOPS(n_max_pool) { pool(x[0], y[0], 0, false, 4); }
BUILD(g_avg_pool, y[0] = tsr_avg_pool(c, x[0], I(3), I(2), I(1), false, true))
LOOPS(n_avg_pool) { pool(x[0], y[0], 1, true, 4); }
BUILD(g_avg_pool_exclude, y[0] = tsr_avg_pool(c, x[0], I(3), I(2), I(1), false, false))
LOOPS(n_avg_pool_exclude) { pool(x[0], y[0], 1, false, 4); }
/* ceil mode: (1, 1, 6), kernel 3, stride 2: windows at 0, 2, 4; the last holds two */
BUILD(g_avg_ceil, y[0] = tsr_avg_pool(c, x[0], I(3), I(2), NULL, true, true))
LOOPS(n_avg_ceil) {
    for (int i = 0; i < 2; i++) y[0][i] = (x[0][2 * i] + x[0][2 * i + 1] + x[0][2 * i + 2]) / 3;
    y[0][2] = (x[0][4] + x[0][5]) / 2;
}
static void adaptive(const double *x, double *y, bool max) { /* (1, 2, 5, 7) to (3, 4) */
    for (int i = 0; i < 24; i++) {
        int r = i / 4 % 3, q = i % 4, n = 0;
        double best = -INFINITY, sum = 0;
        for (int a = r * 5 / 3; a < ((r + 1) * 5 + 2) / 3; a++)
            for (int b = q * 7 / 4; b < ((q + 1) * 7 + 3) / 4; b++, n++) {
                double v = x[i / 12 * 35 + a * 7 + b];
                best = fmax(best, v), sum += v;
            }
        y[i] = max ? best : sum / n;
    }
}
BUILD(g_adaptive_avg, y[0] = tsr_adaptive_avg_pool(c, x[0], I(3, 4)))
LOOPS(n_adaptive_avg) { adaptive(x[0], y[0], false); }
BUILD(g_adaptive_max, y[0] = tsr_adaptive_max_pool(c, x[0], I(3, 4)))
LOOPS(n_adaptive_max) { adaptive(x[0], y[0], true); }

/* Interpolation of (1, 2, 5) to 8; linear and cubic in half-pixel coordinates, cubic with corners aligned, to 3 too. */
static double keys(double d) {
    d = fabs(d);
    return d <= 1 ? 1.25 * d * d * d - 2.25 * d * d + 1 : d < 2 ? -0.75 * d * d * d + 3.75 * d * d - 6 * d + 3 : 0;
}
static void resize(const double *x, double *y, int out, int how, bool corners) {
    for (int i = 0; i < 2 * out; i++) {
        double at = corners ? i % out * 4.0 / (out - 1) : (i % out + 0.5) * 5 / out - 0.5, v = 0;
        if (how == 1 && at < 0) at = 0;
        for (int j = -2; j < 8; j++) {
            int from = j < 0 ? 0 : j > 4 ? 4 : j;
            v += x[i / out * 5 + from] * (how == 2 ? keys(at - j) : fabs(at - j) < 1 ? 1 - fabs(at - j) : 0);
        }
        y[i] = how ? v : x[i / out * 5 + (int)floor(i % out * 5.0 / out)];
    }
}
BUILD(g_nearest, y[0] = tsr_interpolate(c, x[0], I(8), TSR_RESIZE_NEAREST, TSR_COORDS_ASYMMETRIC))
LOOPS(n_nearest) { resize(x[0], y[0], 8, 0, false); }
BUILD(g_bilinear, y[0] = tsr_interpolate(c, x[0], I(8), TSR_RESIZE_LINEAR, TSR_COORDS_HALF_PIXEL))
LOOPS(n_bilinear) { resize(x[0], y[0], 8, 1, false); }
BUILD(g_linear_down, y[0] = tsr_interpolate(c, x[0], I(3), TSR_RESIZE_LINEAR, TSR_COORDS_ALIGN_CORNERS))
LOOPS(n_linear_down) { resize(x[0], y[0], 3, 1, true); }
BUILD(g_cubic, y[0] = tsr_interpolate(c, x[0], I(8), TSR_RESIZE_CUBIC, TSR_COORDS_HALF_PIXEL))
LOOPS(n_cubic) { resize(x[0], y[0], 8, 2, false); }
BUILD(g_cubic_corners, y[0] = tsr_interpolate(c, x[0], I(8), TSR_RESIZE_CUBIC, TSR_COORDS_ALIGN_CORNERS))
LOOPS(n_cubic_corners) { resize(x[0], y[0], 8, 2, true); }

/* ---- recurrent: x (3, 2, 2), h (2, 2), w (4 or 3 times 2, 2) ---- */

static double gate(const double *const *x, const double *in, const double *h, int w, int row, bool hidden, bool input) {
    double s = (input ? x[w + 2][row] : 0) + (hidden ? x[w + 3][row] : 0);
    for (int k = 0; k < 2; k++) s += (input ? x[w][row * 2 + k] * in[k] : 0) + (hidden ? x[w + 1][row * 2 + k] * h[k] :
            0);
    return s;
}
static int g_lstm(tsr_ctx *c, tsr_node **x, tsr_node **y) {
    y[0] = tsr_lstm(c, x[0], x[1], x[2], x[3], x[4], x[5], x[6], &y[1], &y[2]);
    return 3;
}
LOOPS(n_lstm) {
    for (int b = 0; b < 2; b++) {
        double h[2] = {x[1][b * 2], x[1][b * 2 + 1]}, cell[2] = {x[2][b * 2], x[2][b * 2 + 1]};
        for (int t = 0; t < 3; t++) {
            double next[2];
            for (int j = 0; j < 2; j++) {
                double g[4];
                for (int k = 0; k < 4; k++) g[k] = gate(x, x[0] + (t * 2 + b) * 2, h, 3, k * 2 + j, true, true);
                cell[j] = sigmoid(g[1]) * cell[j] + sigmoid(g[0]) * tanh(g[2]);
                next[j] = sigmoid(g[3]) * tanh(cell[j]);
            }
            for (int j = 0; j < 2; j++) h[j] = y[0][(t * 2 + b) * 2 + j] = y[1][b * 2 + j] = next[j],
                y[2][b * 2 + j] = cell[j];
        }
    }
}
static int g_gru(tsr_ctx *c, tsr_node **x, tsr_node **y) {
    y[0] = tsr_gru(c, x[0], x[1], x[2], x[3], x[4], x[5], &y[1]);
    return 2;
}
LOOPS(n_gru) {
    for (int b = 0; b < 2; b++) {
        double h[2] = {x[1][b * 2], x[1][b * 2 + 1]};
        for (int t = 0; t < 3; t++) {
            double next[2];
            const double *in = x[0] + (t * 2 + b) * 2;
            for (int j = 0; j < 2; j++) {
                double r = sigmoid(gate(x, in, h, 2, j, true, true)), z = sigmoid(gate(x, in, h, 2, 2 + j, true, true));
                double n = tanh(gate(x, in, h, 2, 4 + j, false, true) + r * gate(x, in, h, 2, 4 + j, true, false));
                next[j] = (1 - z) * n + z * h[j];
            }
            for (int j = 0; j < 2; j++) h[j] = y[0][(t * 2 + b) * 2 + j] = y[1][b * 2 + j] = next[j];
        }
    }
}

/* ---- builders ---- */

BUILD(g_matmul, y[0] = tsr_matmul(c, x[0], x[1])) /* (2, 1, 2, 3) x (4, 3, 2) -> (2, 4, 2, 2) */
LOOPS(n_matmul) {
    for (int i = 0; i < 32; i++) {
        int b = i / 16, k = i / 4 % 4, r = i / 2 % 2, q = i % 2;
        y[0][i] = 0;
        for (int j = 0; j < 3; j++) y[0][i] += x[0][(b * 2 + r) * 3 + j] * x[1][(k * 3 + j) * 2 + q];
    }
}
BUILD(g_matvec, y[0] = tsr_matmul(c, x[0], x[1])) /* (3) x (2, 3, 2) -> (2, 2) */
LOOPS(n_matvec) {
    for (int i = 0; i < 4; i++) {
        y[0][i] = 0;
        for (int j = 0; j < 3; j++) y[0][i] += x[0][j] * x[1][(i / 2 * 3 + j) * 2 + i % 2];
    }
}
BUILD(g_einsum, y[0] = tsr_einsum(c, "bij, bjk, l -> kbi", 3, x)) /* (2, 3, 2), (2, 2, 3), (4) */
LOOPS(n_einsum) {
    double l = x[2][0] + x[2][1] + x[2][2] + x[2][3];
    for (int i = 0; i < 18; i++) {
        int k = i / 6, b = i / 3 % 2, r = i % 3;
        y[0][i] = 0;
        for (int j = 0; j < 2; j++) y[0][i] += x[0][(b * 3 + r) * 2 + j] * x[1][(b * 2 + j) * 3 + k] * l;
    }
}
BUILD(g_variance, y[0] = tsr_variance(c, x[0], 1, (int[]){-1}, true, 1)) /* (3, 4) */
LOOPS(n_variance) {
    for (int r = 0; r < 3; r++) {
        double m = 0;
        for (int i = 0; i < 4; i++) m += x[0][r * 4 + i] / 4;
        for (int i = y[0][r] = 0; i < 4; i++) y[0][r] += (x[0][r * 4 + i] - m) * (x[0][r * 4 + i] - m) / 3;
    }
}
/* (3, 1), (4), () */
BUILD(g_broadcast, y[0] = tsr_div(c, tsr_add(c, x[0], x[1]),
                                  tsr_add(c, tsr_square(c, x[2]), tsr_scalar_float(c, TSR_F32, 1))))
LOOPS(n_broadcast) { for (int i = 0; i < 12; i++) y[0][i] = (x[0][i / 4] + x[1][i % 4]) / (x[2][0] * x[2][0] + 1); }
BUILD(g_roll, y[0] = tsr_roll(c, tsr_flip(c, x[0], 1, (int[]){0}), -1, 1)) /* (3, 4) */
LOOPS(n_roll) { for (int i = 0; i < 12; i++) y[0][i] = x[0][(2 - i / 4) * 4 + (i + 1) % 4]; }
BUILD(g_tril, y[0] = tsr_add(c, tsr_tril(c, x[0], -1), tsr_triu(c, x[0], 1))) /* (3, 4) without the diagonal */
LOOPS(n_tril) { for (int i = 0; i < 12; i++) y[0][i] = i / 4 == i % 4 ? 0 : x[0][i]; }
BUILD(g_take_along, y[0] = tsr_take_along(c, x[0], x[1], 1)) /* (3, 4) by (2, 5), -4..3 */
LOOPS(n_take_along) { for (int i = 0; i < 10; i++) y[0][i] = x[0][i / 5 * 4 + ((int)x[1][i] + 4) % 4]; }
BUILD(g_scatter_add, y[0] = tsr_scatter_add(c, x[0], x[1], x[2], 1)) /* (2, 4), index and source (2, 5) */
LOOPS(n_scatter_add) {
    memcpy(y[0], x[0], 8 * sizeof(double));
    for (int i = 0; i < 10; i++) y[0][i / 5 * 4 + (int)x[1][i]] += x[2][i];
}
BUILD(g_stack, tsr_node *p[3]; tsr_split(c, x[0], 2, 1, p); p[2] = tsr_slice(c, x[0], 1, -1, -4, 1);
      p[2] = tsr_concat(c, 3, (tsr_node *[]){p[1], p[0], p[2]}, -1);
      y[0] = tsr_stack(c, 2, (tsr_node *[]){p[2], x[0]}, 0)) /* (3, 4) */
LOOPS(n_stack) { for (int i = 0; i < 24; i++) y[0][i] = i < 12 ? x[0][i / 4 * 4 + (i + 2) % 4] : x[0][i - 12]; }
BUILD(g_repeat, y[0] = tsr_flatten(c, tsr_repeat(c, tsr_select(c, x[0], 0, -1), 0, 3), 0, -1)) /* (3, 4) */
LOOPS(n_repeat) { for (int i = 0; i < 12; i++) y[0][i] = x[0][8 + i / 3]; }
/* integers -9..9, divisor odd */
BUILD(g_floordiv, y[0] = tsr_add(c, tsr_mul(c, tsr_floordiv(c, x[0], x[1]), x[1]), tsr_mod(c, x[0], x[1])))
LOOPS(n_floordiv) { for (int i = 0; i < 12; i++) y[0][i] = x[0][i]; }
BUILD(g_mod, tsr_node *d = tsr_add(c, tsr_mul(c, x[1], tsr_scalar_int(c, TSR_I32, 2)), tsr_scalar_int(c, TSR_I32, 1));
      y[0] = tsr_mod(c, x[0], d))
LOOPS(n_mod) { for (int i = 0; i < 12; i++) { double d = 2 * x[1][i] + 1; y[0][i] = x[0][i] - floor(x[0][i] / d) * d; }
    }
BUILD(g_clip, y[0] = tsr_clip(c, tsr_where(c, tsr_gt(c, x[0], x[1]), x[0], x[1]), -0.5, 1)) /* (3, 4) */
LOOPS(n_clip) { for (int i = 0; i < 12; i++) y[0][i] = fmin(fmax(fmax(x[0][i], x[1][i]), -0.5), 1); }

#define X34 {'f', 2, {3, 4}}
#define ACT(name) {#name, {X34}, g_##name, n_##name, 0, 0}
static const struct row rows[] = {
    ACT(relu), ACT(gelu), ACT(gelu_tanh), ACT(silu), ACT(sigmoid), ACT(tanh), ACT(softplus), ACT(leaky), ACT(elu),
    {"softmax", {{'f', 3, {2, 5, 3}}}, g_softmax, n_softmax, 0, 0},
    {"log_softmax", {{'f', 3, {2, 5, 3}}}, g_log_softmax, n_log_softmax, 0, 0},
    {"logsumexp", {{'f', 3, {2, 5, 3}}}, g_logsumexp, n_logsumexp, 0, 0},
    {"layer_norm", {{'f', 3, {3, 2, 4}}, {'f', 2, {2, 4}}, {'f', 2, {2, 4}}}, g_layer_norm, n_layer_norm, 0, 0},
    {"layer_norm bare", {{'f', 3, {3, 2, 4}}}, g_layer_norm_bare, n_layer_norm_bare, 0, 0},
    {"rms_norm", {X34, {'f', 1, {4}}}, g_rms_norm, n_rms_norm, 0, 0},
    {"group_norm", {{'f', 3, {2, 4, 3}}, {'f', 1, {4}}, {'f', 1, {4}}}, g_group_norm, n_group_norm, 0, 0},
    {"batch_norm", {{'f', 3, {2, 3, 4}}, {'f', 1, {3}}, {'p', 1, {3}}, {'f', 1, {3}}, {'f', 1, {3}}}, g_batch_norm,
        n_batch_norm, 0, 0},
    {"batch_norm_train", {{'f', 3, {2, 3, 4}}, {'f', 1, {3}}, {'f', 1, {3}}}, g_batch_norm_train, n_batch_norm_train, 0,
        0},
    {"cross_entropy", {{'f', 2, {4, 3}}, {'i', 1, {4}}}, g_ce, n_ce, 0, 2},
    {"cross_entropy smoothed", {{'f', 2, {4, 3}}, {'i', 1, {4}}}, g_ce_smooth, n_ce_smooth, 0, 2},
    {"cross_entropy ignoring", {{'f', 2, {4, 3}}, {'i', 1, {4}}}, g_ce_ignore, n_ce_ignore, 0, 2},
    {"cross_entropy axes", {{'f', 3, {2, 3, 2}}, {'i', 2, {2, 2}}}, g_ce_axes, n_ce_axes, 0, 2},
    {"mse", {X34, X34}, g_mse, n_mse, 0, 0}, {"huber", {X34, X34}, g_huber, n_huber, 0, 0},
        {"bce_logits", {X34, X34}, g_bce, n_bce, 0, 0},
    {"attention", {{'f', 4, {AB, AH, AT, AD}}, {'f', 4, {AB, AG, AS, AD}}, {'f', 4, {AB, AG, AS, AE}}}, g_attention,
        n_attention, 0, 0},
    {"attention causal", {{'f', 4, {AB, AH, AT, AD}}, {'f', 4, {AB, AG, AS, AD}}, {'f', 4, {AB, AG, AS, AE}}},
        g_attention_causal, n_attention_causal, 0, 0},
    {"attention masked", {{'f', 4, {AB, AH, AT, AD}}, {'f', 4, {AB, AG, AS, AD}}, {'f', 4, {AB, AG, AS, AE}},
        {'f', 4, {AB, 1, AT, AS}}}, g_attention_mask, n_attention_mask, 0, 0},
    {"rope", {{'f', 4, {2, 2, 3, 4}}, {'i', 1, {3}}}, g_rope, n_rope, 0, 50},
    {"rope pairs", {{'f', 4, {2, 2, 3, 4}}, {'i', 1, {3}}}, g_rope_pairs, n_rope_pairs, 0, 50},
    {"embedding", {{'f', 2, {5, 3}}, {'i', 2, {2, 4}}}, g_embedding, n_embedding, 0, 4},
    {"one_hot", {{'i', 2, {2, 3}}}, g_one_hot, n_one_hot, -1, 4},
    {"linear", {{'f', 3, {2, 3, 4}}, {'f', 2, {5, 4}}, {'f', 1, {5}}}, g_linear, n_linear, 0, 0},
    {"conv", {{'f', 4, {2, 4, 5, 6}}, {'f', 4, {6, 2, 3, 2}}, {'f', 1, {6}}}, g_conv, n_conv, 0, 0},
    {"conv 1d", {{'f', 3, {1, 2, 7}}, {'f', 3, {3, 2, 3}}}, g_conv1, n_conv1, 0, 0},
    {"conv_transpose", {{'f', 3, {2, 4, 3}}, {'f', 3, {4, 3, 3}}, {'f', 1, {6}}}, g_conv_t, n_conv_t, 0, 0},
    {"max_pool", {{'f', 3, {1, 2, 7}}}, g_max_pool, n_max_pool, 0, 0},
    {"avg_pool", {{'f', 3, {1, 2, 7}}}, g_avg_pool, n_avg_pool, 0, 0},
    {"avg_pool without padding", {{'f', 3, {1, 2, 7}}}, g_avg_pool_exclude, n_avg_pool_exclude, 0, 0},
    {"avg_pool ceil", {{'f', 3, {1, 1, 6}}}, g_avg_ceil, n_avg_ceil, 0, 0},
    {"adaptive_avg_pool", {{'f', 4, {1, 2, 5, 7}}}, g_adaptive_avg, n_adaptive_avg, 0, 0},
    {"adaptive_max_pool", {{'f', 4, {1, 2, 5, 7}}}, g_adaptive_max, n_adaptive_max, 0, 0},
    {"interpolate nearest", {{'f', 3, {1, 2, 5}}}, g_nearest, n_nearest, 0, 0},
    {"interpolate linear", {{'f', 3, {1, 2, 5}}}, g_bilinear, n_bilinear, 0, 0},
    {"interpolate linear down", {{'f', 3, {1, 2, 5}}}, g_linear_down, n_linear_down, 0, 0},
    {"interpolate cubic", {{'f', 3, {1, 2, 5}}}, g_cubic, n_cubic, 0, 0},
    {"interpolate cubic corners", {{'f', 3, {1, 2, 5}}}, g_cubic_corners, n_cubic_corners, 0, 0},
    {"lstm", {{'f', 3, {3, 2, 2}}, {'f', 2, {2, 2}}, {'f', 2, {2, 2}}, {'f', 2, {8, 2}}, {'f', 2, {8, 2}},
        {'f', 1, {8}}, {'f', 1, {8}}}, g_lstm, n_lstm, 0, 0},
    {"gru", {{'f', 3, {3, 2, 2}}, {'f', 2, {2, 2}}, {'f', 2, {6, 2}}, {'f', 2, {6, 2}}, {'f', 1, {6}}, {'f', 1, {6}}},
        g_gru, n_gru, 0, 0},
    {"matmul", {{'f', 4, {2, 1, 2, 3}}, {'f', 3, {4, 3, 2}}}, g_matmul, n_matmul, 0, 0},
    {"matmul of a row", {{'f', 1, {3}}, {'f', 3, {2, 3, 2}}}, g_matvec, n_matvec, 0, 0},
    {"einsum", {{'f', 3, {2, 3, 2}}, {'f', 3, {2, 2, 3}}, {'f', 1, {4}}}, g_einsum, n_einsum, 0, 0},
    {"variance", {X34}, g_variance, n_variance, 0, 0},
    {"broadcasting", {{'f', 2, {3, 1}}, {'f', 1, {4}}, {'f', 0, {0}}}, g_broadcast, n_broadcast, 0, 0},
    {"roll and flip", {X34}, g_roll, n_roll, 0, 0}, {"tril and triu", {X34}, g_tril, n_tril, 0, 0},
    {"take_along", {X34, {'i', 2, {2, 5}}}, g_take_along, n_take_along, -4, 3},
    {"scatter_add", {{'f', 2, {2, 4}}, {'i', 2, {2, 5}}, {'f', 2, {2, 5}}}, g_scatter_add, n_scatter_add, 0, 3},
    {"split, concat, stack", {X34}, g_stack, n_stack, 0, 0}, {"repeat", {X34}, g_repeat, n_repeat, 0, 0},
    {"floordiv and mod", {{'i', 2, {3, 4}}, {'i', 2, {3, 4}}}, g_floordiv, n_floordiv, 1, 9},
    {"mod of negatives", {{'i', 2, {3, 4}}, {'i', 2, {3, 4}}}, g_mod, n_mod, -9, 9},
    {"clip and where", {X34, X34}, g_clip, n_clip, 0, 0},
};
enum { ROWS = sizeof rows / sizeof *rows, ROUNDS = 3, IN_MAX = 8, OUT_MAX = 3, ELEMS = 512 };

static int inputs_of(const struct row *r) {
    int n = 0;
    while (n < IN_MAX && r->in[n].kind) n++;
    return n;
}

/* The row as a fn, with floats of dtype t. */
static tsr_fn *fn_of(tsr_ctx *c, const struct row *r, tsr_dtype t) {
    tsr_node *x[IN_MAX], *y[OUT_MAX];
    if (tsr_fn_begin(c, r->name) != TSR_OK) return NULL;
    for (int i = 0; i < inputs_of(r); i++)
        x[i] = tsr_param(c, tsr_type_dims(c, r->in[i].kind == 'i' ? TSR_I32 : t, r->in[i].rank, r->in[i].dim), NULL);
    int n = r->build(c, x, y);
    return tsr_fn_end(c, n, y);
}

/* Random inputs, rounded to t, and the same as doubles. The first integer is the least: labels that are all ignored
 * would make the mean 0 / 0, which has a test of its own below. */
static void draw(const struct row *r, tsr_dtype t, struct arena *a, struct ref_tensor *in, double v[IN_MAX][ELEMS]) {
    for (int i = 0; i < inputs_of(r); i++) {
        const struct input *p = &r->in[i];
        if (!CHECK(ref_new(a, p->kind == 'i' ? TSR_I32 : t, p->rank, p->dim, &in[i]))) return;
        for (int64_t k = 0; k < in[i].count; k++) {
            struct ref_val e = {.re = p->kind == 'p' ? test_uniform(0.2, 2) : test_uniform(-2, 2),
                .i = k ? test_int(r->lo, r->hi) : r->lo};
            ref_set(&in[i], k, e);
            e = ref_get(&in[i], k);
            v[i][k] = p->kind == 'i' ? (double)e.i : e.re;
        }
    }
}

/* Results against the loops, within tol. */
static bool compare(tsr_ctx *c, const struct row *r, tsr_fn *f, const struct ref_tensor *in, double v[IN_MAX][ELEMS],
                    double tol, struct arena *a) {
    static double want[OUT_MAX][ELEMS];
    const double *x[IN_MAX];
    double *y[OUT_MAX];
    struct ref_tensor out[MOST];
    for (int i = 0; i < IN_MAX; i++) x[i] = v[i];
    for (int i = 0; i < OUT_MAX; i++) y[i] = want[i];
    if (!run_fn(c, f, in, a, out)) return false;
    r->loops(x, y);
    for (int i = 0; i < f->nresult; i++)
        for (int64_t k = 0; k < out[i].count; k++) {
            struct ref_val e = ref_get(&out[i], k);
            double got = dtype_is_int(out[i].dtype) ? (double)e.i : e.re;
            if (!CHECK_MSG(test_close(got, want[i][k], tol, tol), "%s: result %d[%lld] is %.17g, the loops give %.17g",
                           r->name, i, (long long)k, got, want[i][k]))
                return false;
        }
    return true;
}

TEST(against_loops) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < ROWS; k++) {
        test_case("%s", rows[k].name);
        tsr_fn *f = fn_of(c, &rows[k], TSR_F64);
        if (!CHECK_MSG(f != NULL, "%s", tsr_error_message(c))) { tsr_error_clear(c); continue; }
        CHECK_EQ(tsr_verify(c, f), TSR_OK);
        for (int n = 0; n < ROUNDS; n++) {
            static double v[IN_MAX][ELEMS];
            struct ref_tensor in[MOST];
            struct arena a;
            arena_init(&a, c);
            draw(&rows[k], TSR_F64, &a, in, v);
            bool ok = compare(c, &rows[k], f, in, v, 1e-11, &a);
            arena_release(&a);
            if (!ok) break;
        }
        tsr_fn_free(c, f);
    }
    CHECK_OK(c);
}

TEST(gradients) {
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < ROWS; k++)
        for (int order = 1; order <= 2; order++) {
            bool smooth = !strstr("relu leaky elu huber max_pool adaptive_max_pool clip and where", rows[k].name);
            if (rows[k].in[0].kind == 'i' || (order == 2 && !smooth)) continue;
            test_case("%s, order %d", rows[k].name, order);
            static double v[IN_MAX][ELEMS];
            struct ref_tensor in[MOST];
            struct arena a;
            arena_init(&a, c);
            tsr_fn *f = fn_of(c, &rows[k], TSR_F64), *g = f ? tsr_vjp(c, f) : NULL, *j = NULL, *gg = NULL;
            if (CHECK_MSG(f && g, "%s", tsr_error_message(c))) draw(&rows[k], TSR_F64, &a, in, v);
            if (g && order == 1 && CHECK_MSG((j = tsr_jvp(c, f)) != NULL, "%s", tsr_error_message(c))) judge(c, f, g, j,
                    in, 1e-6, &a);
            if (g && order == 2 && CHECK_MSG((gg = tsr_vjp(c, g)) != NULL, "%s", tsr_error_message(c))) {
                for (int i = f->nparam; i < g->nparam; i++) {
                    const tsr_type *t = g->param.v[i].node->type;
                    int64_t dim[TSR_MAX_RANK];
                    if (CHECK(tsr_type_ints(t, dim) && ref_new(&a, t->dtype, t->rank, dim, &in[i]))) random_like(&a,
                            &in[i], &in[i]);
                }
                judge(c, g, gg, NULL, in, 1e-5, &a);
            }
            tsr_fn_free(c, f), tsr_fn_free(c, g), tsr_fn_free(c, j), tsr_fn_free(c, gg);
            arena_release(&a);
            CHECK_OK(c);
        }
    printf("derivatives compared: %d (%d on a kink)\n", judged, kinks);
}

/* Narrow floats: computed wide, so within a few roundings of the loops on the rounded inputs. */
TEST(narrow_floats) {
    static const struct { tsr_dtype t; double tol; } narrow[] = {{TSR_F32, 1e-4}, {TSR_F16, 2e-2}, {TSR_BF16, 1.5e-1}};
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < ROWS; k++)
        for (int n = 0; n < 3; n++) {
            if (rows[k].in[0].kind == 'i' || (n && strstr("lstm gru einsum broadcasting", rows[k].name))) continue;
            test_case("%s %s", rows[k].name, tsr_dtype_name(narrow[n].t));
            static double v[IN_MAX][ELEMS];
            struct ref_tensor in[MOST];
            struct arena a;
            arena_init(&a, c);
            tsr_fn *f = fn_of(c, &rows[k], narrow[n].t);
            if (CHECK_MSG(f != NULL, "%s", tsr_error_message(c))) {
                CHECK_EQ(f->result.v[0]->type->dtype, narrow[n].t);
                draw(&rows[k], narrow[n].t, &a, in, v);
                compare(c, &rows[k], f, in, v, narrow[n].tol, &a);
            }
            tsr_fn_free(c, f);
            arena_release(&a);
        }
    CHECK_OK(c);
}

/* ---- points ---- */

/* The value of an expression of literals (rank 0 or 1). */
static double evaluate(tsr_ctx *c, tsr_fn *f, int at) {
    struct arena a;
    struct ref_tensor out[MOST];
    double v = NAN;
    arena_init(&a, c);
    if (CHECK_MSG(f != NULL, "%s", tsr_error_message(c)) && run_fn(c, f, NULL, &a, out) && CHECK(at < out[0].count)) {
        struct ref_val e = ref_get(&out[0], at);
        v = inexact(out[0].dtype) ? e.re : (double)(e.i + (int64_t)e.u);
    }
    tsr_fn_free(c, f);
    arena_release(&a);
    return v;
}
#define VALUE(at, expr) (tsr_fn_begin(c, "value"), node = (expr), evaluate(c, tsr_fn_end(c, 1, &node), at))

static tsr_node *row_of(tsr_ctx *c, tsr_dtype t, int n, const double *v) {
    const tsr_type *type = tsr_type_dims(c, TSR_F64, 1, (int64_t[]){n});
    return tsr_cast(c, tsr_const(c, type, v), t);
}
#define ROW(t, ...) row_of(c, t, (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__})

TEST(corners) {
    tsr_ctx *c = test_ctx();
    tsr_node *node;
    double inf = INFINITY;
    CHECK_CLOSE(VALUE(0, tsr_logsumexp(c, ROW(TSR_F64, -inf, -inf), 0, false)), -inf, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_logsumexp(c, ROW(TSR_F64, inf, 1), 0, false)), inf, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_logsumexp(c, ROW(TSR_F64, 1000, 1000), 0, false)), 1000 + log(2), 1e-15, 0);
    CHECK_CLOSE(VALUE(1, tsr_softmax(c, ROW(TSR_F32, 1000, 1000, -inf), 0)), 0.5, 0, 0);
    CHECK_CLOSE(VALUE(2, tsr_softmax(c, ROW(TSR_F32, 1000, 1000, -inf), 0)), 0, 0, 0);
    CHECK_CLOSE(VALUE(1, tsr_log_softmax(c, ROW(TSR_F64, 0, -2000), 0)), -2000, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_softplus(c, ROW(TSR_F64, 800))), 800, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_softplus(c, ROW(TSR_F64, -800))), 0, 0, 1e-300);
    CHECK_CLOSE(VALUE(0, tsr_relu(c, ROW(TSR_F64, NAN))), NAN, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_div(c, tsr_scalar_int(c, TSR_I32, 7), tsr_scalar_int(c, TSR_I32, 2))), 3.5, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_floordiv(c, tsr_scalar_int(c, TSR_I32, -7), tsr_scalar_int(c, TSR_I32, 2))), -4, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_mean(c, tsr_arange(c, TSR_I32, 0, 4, 1), 0, NULL, false)), 1.5, 0, 0);
    CHECK_CLOSE(VALUE(2, tsr_arange(c, TSR_F64, 1, 2, 0.25)), 1.5, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_argmax(c, ROW(TSR_F64, 1, 5, 5), 0, false)), 1, 0, 0);
    CHECK_CLOSE(VALUE(0, tsr_take(c, ROW(TSR_F64, 1, 5, 9), tsr_scalar_int(c, TSR_I32, -1), 0)), 9, 0, 0);
    /* all masked: zeros; a wholly ignored batch: 0 / 0 */
    const tsr_type *t = tsr_type_dims(c, TSR_F64, 4, I(1, 1, 1, 2)), *m = tsr_type_dims(c, TSR_BOOL, 4, I(1, 1, 1, 1));
    tsr_node *q = tsr_full(c, t, 1), *mask = tsr_full(c, m, 0);
    CHECK_CLOSE(VALUE(0, tsr_flatten(c, tsr_attention(c, q, q, q, &(tsr_attention_opts){.mask = mask}), 0, -1)), 0, 0,
                0);
    tsr_node *z = tsr_zeros(c, TSR_F64, 2, I(1, 3)), *label = tsr_const(c, tsr_type_dims(c, TSR_I64, 1, I(1)), I(2));
    CHECK_CLOSE(VALUE(0, tsr_cross_entropy(c, z, label, 0, 2, TSR_LOSS_MEAN)), NAN, 0, 0);
    CHECK_OK(c);
}

TEST(promotion) {
    static const struct { tsr_dtype a, b, want; } rows_of[] = {
        {TSR_BOOL, TSR_I8, TSR_I8}, {TSR_I64, TSR_F16, TSR_F16}, {TSR_F16, TSR_BF16, TSR_F32},
            {TSR_F32, TSR_F64, TSR_F64}, {TSR_F64, TSR_C64, TSR_C128},
        {TSR_F32, TSR_C64, TSR_C64}, {TSR_U8, TSR_I8, TSR_I16}, {TSR_U8, TSR_I32, TSR_I32}, {TSR_U64, TSR_I8, TSR_I64},
            {TSR_U8, TSR_U32, TSR_U32},
        {TSR_F8E4M3, TSR_BF16, TSR_BF16}, {TSR_F8E4M3, TSR_F8E5M2, TSR_F16}, {TSR_I8, TSR_C64, TSR_C64},
            {TSR_U32, TSR_I32, TSR_I64},
    };
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
        test_case("%s with %s", tsr_dtype_name(rows_of[i].a), tsr_dtype_name(rows_of[i].b));
        CHECK_STR(tsr_dtype_name(tsr_promote(rows_of[i].a, rows_of[i].b)), tsr_dtype_name(rows_of[i].want));
        CHECK_EQ(tsr_promote(rows_of[i].b, rows_of[i].a), rows_of[i].want);
    }
    tsr_node *x = tsr_zeros(c, TSR_F16, 1, I(3)), *s = tsr_scalar_float(c, TSR_F32, 2),
        *i = tsr_zeros(c, TSR_I32, 1, I(3));
    CHECK_EQ(tsr_node_dtype(tsr_mul(c, x, s)), TSR_F16); /* a rank-0 operand does not widen one with axes */
    CHECK_EQ(tsr_node_dtype(tsr_mul(c, i, s)), TSR_F32); /* unless its kind is higher */
    CHECK_OK(c);
}

TEST(random_numbers) {
    enum { N = 20000 };
    tsr_ctx *c = test_ctx();
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 1, I(N));
    double moments[5];
    for (int k = 0; k < 5; k++) {
        tsr_fn_begin(c, "moment");
        tsr_node *key = tsr_key_fold(c, tsr_key(c, 7), tsr_scalar_int(c, TSR_I64, 3)),
            *u = tsr_random_uniform(c, key, t, -1, 3), *z = tsr_random_normal(c, key, t);
        tsr_node *kept = tsr_cast(c, tsr_ne(c, tsr_dropout(c, tsr_full(c, t, 2), key, 0.3),
                                            tsr_scalar_float(c, TSR_F32, 0)), TSR_F32);
        tsr_node *what[5] = {tsr_mean(c, u, 0, NULL, false), tsr_mean(c, z, 0, NULL, false),
            tsr_variance(c, z, 0, NULL, false, 0),
                             tsr_mean(c, kept, 0, NULL, false), tsr_max(c, u, 0, NULL, false)};
        moments[k] = evaluate(c, tsr_fn_end(c, 1, &what[k]), 0);
    }
    CHECK_CLOSE(moments[0], 1, 0, 0.05);
    CHECK_CLOSE(moments[1], 0, 0, 0.05);
    CHECK_CLOSE(moments[2], 1, 0, 0.05);
    CHECK_CLOSE(moments[3], 0.7, 0, 0.02);
    CHECK(moments[4] < 3 && moments[4] > 2.9);
    CHECK_OK(c);
}

/* One fn with a symbolic batch and length, run at several sizes. */
TEST(symbolic_extents) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *b = tsr_extent_symbol(c, "B", 1, 64), *t = tsr_extent_symbol(c, "T", 1, 64),
        *h = tsr_extent_int(c, 2), *d = tsr_extent_int(c, 4);
    tsr_fn_begin(c, "symbolic");
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F64, 4, (const tsr_extent *[]){b, h, t, d}), "x");
    tsr_node *y = tsr_attention(c, x, x, x, &(tsr_attention_opts){.causal = true}),
        *w = tsr_full(c, tsr_type_dims(c, TSR_F64, 1, I(4)), 1);
    y = tsr_layer_norm(c, tsr_add(c, x, y), 1, w, NULL, 1e-5);
    y = tsr_reshape(c, tsr_roll(c, y, 1, 2), 3, I(-1, 2, 4));
    tsr_node *loss = tsr_mean(c, tsr_gelu(c, y, false), 0, NULL, false);
    tsr_fn *f = tsr_fn_end(c, 1, &loss), *g = f ? tsr_grad_fn(c, f, 0, NULL, true) : NULL;
    for (int n = 1; n <= 3 && CHECK_MSG(g != NULL, "%s", tsr_error_message(c)); n++) {
        test_case("B = %d, T = %d", n, 2 * n - 1);
        struct arena a;
        struct ref_tensor in, out[MOST], dir, u = {0};
        double scale = 1, one = 1;
        arena_init(&a, c);
        if (CHECK(ref_new(&a, TSR_F64, 4, I(n, 2, 2 * n - 1, 4), &in))) random_like(&a, &in, &in);
        random_like(&a, &in, &dir);
        if (CHECK(ref_new(&a, TSR_F64, 0, NULL, &u))) memcpy(u.p, &one, sizeof one);
        double want = difference_along(c, f, &in, &dir, &u, 1e-6, &a, &scale);
        if (run_fn(c, g, &in, &a, out)) CHECK_CLOSE(pair(1, &out[1], &dir, &scale), want, 1e-5, 1e-7);
        arena_release(&a);
    }
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    CHECK_OK(c);
}

TEST(what_is_refused) {
    tsr_ctx *c = test_ctx();
    tsr_node *x = tsr_zeros(c, TSR_F32, 2, I(3, 4)), *y = tsr_zeros(c, TSR_F32, 2, I(5, 2)),
        *i = tsr_zeros(c, TSR_I32, 1, I(3));
#define REFUSED(expr, says) (CHECK(tsr_is_poison(expr)), CHECK_ERROR(c, TSR_EINVAL, says))
    REFUSED(tsr_add(c, x, y), "does not broadcast");
    REFUSED(tsr_matmul(c, x, y), "last axis of the left");
    REFUSED(tsr_sum(c, x, 1, (int[]){2}, false), "axis 2");
    REFUSED(tsr_reshape(c, x, 2, I(5, -1)), "-1");
    REFUSED(tsr_softmax(c, x, 3), "softmax");
    REFUSED(tsr_cross_entropy(c, x, x, 0, 0, TSR_LOSS_MEAN), "cross_entropy");
    REFUSED(tsr_layer_norm(c, x, 1, i, NULL, 1e-5), "layer_norm");
    REFUSED(tsr_linear(c, x, y, NULL), "linear");
    REFUSED(tsr_attention(c, x, x, x, NULL), "attention");
    REFUSED(tsr_einsum(c, "ij,jk->i!", 2, (tsr_node *[]){x, y}), "einsum");
    REFUSED(tsr_where(c, x, x, x), "not bool");
    REFUSED(tsr_conv(c, x, x, NULL, NULL, NULL, NULL, 1), "spatial");
    REFUSED(tsr_dropout(c, x, tsr_key(c, 1), 2), "probability");
    REFUSED(tsr_add(c, x, NULL), "NULL");
}

/* ---- memory ---- */

static bool build_row(tsr_ctx *c, void *arg) {
    tsr_fn *f = fn_of(c, arg, TSR_F32), *g = f ? tsr_vjp(c, f) : NULL;
    bool ok = g != NULL;
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    while (fn_open_now(c)) tsr_fn_abort(c);
    return ok;
}

TEST(every_allocation_may_fail) {
    int64_t total = 0;
    for (int k = 0; k < ROWS; k++) {
        test_case("%s", rows[k].name);
        total += torture(build_row, (void *)&rows[k]);
    }
    printf("allocations refused: %lld\n", (long long)total);
}
