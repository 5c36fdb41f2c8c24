/* blocks.c: modules made of modules: sequential, residual, attention, MLP, transformer block.
 *
 * Attention is torch.nn.MultiheadAttention on itself with batch_first: one projection to q, k, v stacked, heads of
 * width / heads, one projection out (Vaswani et al., "Attention is all you need", 2017). The block is the pre-norm form
 * (Xiong et al., 2020): norms inside the residual branches. */
#include "nn/nn.h"

#include <stdio.h>

#include "tessera/ops.h"

/* ---- sequential and residual ------------------------------------------------------------------------------------ */

static tsr_node *sequential(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    (void)c;
    for (size_t i = 0; i < m->child.n; i++) x = tsr_nn_forward(m->child.v[i].m, x, mode);
    return x;
}

tsr_nn *tsr_nn_sequential(tsr_ctx *c, int n, tsr_nn *const *child) {
    tsr_nn *m = tsr_nn_new(c, sequential, NULL);
    bool ok = true;
    for (int i = 0; i < n; i++) { /* every child is taken, also after a failure */
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        ok = tsr_nn_add_child_take(m, name, child[i]) && ok;
    }
    return nn_with(m, ok);
}

static tsr_node *residual(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    return tsr_add(c, x, tsr_nn_forward(m->child.v[0].m, x, mode));
}

tsr_nn *tsr_nn_residual(tsr_ctx *c, tsr_nn *child) {
    tsr_nn *m = tsr_nn_new(c, residual, NULL);
    return nn_with(m, tsr_nn_add_child_take(m, "", child));
}

tsr_nn *tsr_nn_mlp(tsr_ctx *c, int64_t width, int64_t hidden) {
    tsr_nn *child[] = {
        tsr_nn_linear(c, width, hidden, true), tsr_nn_gelu(c, false), tsr_nn_linear(c, hidden, width, true)};
    return tsr_nn_sequential(c, 3, child);
}

/* ---- attention -------------------------------------------------------------------------------------------------- */

enum { ATTN_HEADS, ATTN_WIDTH, ATTN_CAUSAL };
enum { OUT_PROJ, DROP };

/* (B, T, C) -> (B, H, T, C/H) */
static tsr_node *split_heads(tsr_ctx *c, const tsr_nn *m, tsr_node *x) {
    if (tsr_is_poison(x)) return x;
    const tsr_extent *e[4] = {tsr_node_extent(x, 0), tsr_node_extent(x, 1), tsr_extent_int(c, m->size[ATTN_HEADS]),
        tsr_extent_int(c, m->size[ATTN_WIDTH] / m->size[ATTN_HEADS])};
    return tsr_transpose(c, tsr_reshape_extents(c, x, 4, e), (int[]){0, 2, 1, 3});
}

static tsr_node *attention(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    tsr_node *qkv[3]; /* (B, T, C) each */
    tsr_node *stacked = tsr_linear(c, x, tsr_nn_read(m, 0), tsr_nn_read(m, 1));
    if (tsr_is_poison(stacked) || tsr_split(c, stacked, 3, -1, qkv)) return tsr_poison(c);
    for (int i = 0; i < 3; i++) qkv[i] = split_heads(c, m, qkv[i]);
    tsr_attention_opts o = {.causal = m->size[ATTN_CAUSAL]};
    tsr_node *y = tsr_transpose(c, tsr_attention(c, qkv[0], qkv[1], qkv[2], &o), (int[]){0, 2, 1, 3});
    y = tsr_nn_forward(m->child.v[OUT_PROJ].m, tsr_is_poison(y) ? y : tsr_flatten(c, y, 2, 3), mode);
    return tsr_nn_forward(m->child.v[DROP].m, y, mode);
}

tsr_nn *tsr_nn_attention(tsr_ctx *c, int64_t width, int64_t heads, bool causal, double dropout) {
    if (heads < 1 || width < 1 || width % heads) {
        err_set(c, TSR_EINVAL, "attention module: width %lld is not divisible into %lld heads", (long long)width,
            (long long)heads);
        return NULL;
    }
    tsr_nn *m = tsr_nn_new(c, attention, NULL), *out = tsr_nn_linear(c, width, width, true);
    if (out) out->own.v[1].init = (tsr_init){TSR_INIT_CONSTANT, 0};
    tsr_init in = tsr_init_xavier(width, 3 * width);
    bool ok = tsr_nn_add_param(m, "in_proj_weight", 2, (int64_t[]){3 * width, width}, in);
    ok = ok && tsr_nn_add_param(m, "in_proj_bias", 1, (int64_t[]){3 * width}, (tsr_init){TSR_INIT_CONSTANT, 0});
    ok = tsr_nn_add_child_take(m, "out_proj", out) && ok;
    ok = ok && tsr_nn_add_child_take(m, "drop", tsr_nn_dropout(c, dropout));
    if (ok) m->size[ATTN_HEADS] = heads, m->size[ATTN_WIDTH] = width, m->size[ATTN_CAUSAL] = causal;
    return nn_with(m, ok);
}

/* ---- transformer block ------------------------------------------------------------------------------------------ */

enum { NORM1, ATTN, NORM2, MLP, BLOCK_DROP };

static tsr_node *block(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    const struct nn_child *k = m->child.v;
    x = tsr_add(c, x, tsr_nn_forward(k[ATTN].m, tsr_nn_forward(k[NORM1].m, x, mode), mode));
    tsr_node *y = tsr_nn_forward(k[MLP].m, tsr_nn_forward(k[NORM2].m, x, mode), mode);
    return tsr_add(c, x, tsr_nn_forward(k[BLOCK_DROP].m, y, mode));
}

tsr_nn *tsr_nn_block(tsr_ctx *c, int64_t width, int64_t heads, int64_t hidden, bool causal, double dropout) {
    const double eps = 1e-5;
    tsr_nn *m = tsr_nn_new(c, block, NULL);
    bool ok = tsr_nn_add_child_take(m, "norm1", tsr_nn_layer_norm(c, width, eps));
    ok = ok && tsr_nn_add_child_take(m, "attn", tsr_nn_attention(c, width, heads, causal, dropout));
    ok = ok && tsr_nn_add_child_take(m, "norm2", tsr_nn_layer_norm(c, width, eps));
    ok = ok && tsr_nn_add_child_take(m, "mlp", tsr_nn_mlp(c, width, hidden));
    ok = ok && tsr_nn_add_child_take(m, "drop", tsr_nn_dropout(c, dropout));
    return nn_with(m, ok);
}
