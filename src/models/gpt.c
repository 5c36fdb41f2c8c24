/* gpt.c: GPT-2 as a function of its parameters.
 *
 * Radford, Wu, Child, Luan, Amodei, Sutskever, "Language models are unsupervised multitask learners", 2019. B
 * sequences of T tokens, C channels in H heads:
 *
 *     x = wte[token] + wpe[0..T)
 *     each block: x += proj(attention(ln_1(x)));  x += c_proj(gelu(c_fc(ln_2(x))))
 *     logits = ln_f(x) wte^T
 *
 * Parameters come in the order of the checkpoint: wte, wpe, then PER_LAYER for each block, then ln_f. */
#include <stdint.h>
#include <stdio.h>

#include "tessera/models.h"
#include "tessera/ops.h"

/* The parameters of one block: shape in units of C; 0 marks a vector. */
static const struct { const char *name; int rows, cols; } layer[] = {
    {"ln_1.weight", 1, 0}, {"ln_1.bias", 1, 0}, {"attn.c_attn.weight", 1, 3}, {"attn.c_attn.bias", 3, 0},
    {"attn.c_proj.weight", 1, 1}, {"attn.c_proj.bias", 1, 0}, {"ln_2.weight", 1, 0}, {"ln_2.bias", 1, 0},
    {"mlp.c_fc.weight", 1, 4}, {"mlp.c_fc.bias", 4, 0}, {"mlp.c_proj.weight", 4, 1}, {"mlp.c_proj.bias", 1, 0},
};
enum { PER_LAYER = sizeof layer / sizeof *layer, HEAD = 2 };
enum { LN1_W, LN1_B, ATTN_W, ATTN_B, PROJ_W, PROJ_B, LN2_W, LN2_B, FC_W, FC_B, OUT_W, OUT_B };

int tsr_gpt_params(const tsr_gpt *m) { return HEAD + PER_LAYER * (int)m->layers + 2; }

int tsr_gpt_param(const tsr_gpt *m, int i, char name[64], int64_t dim[2]) {
    int last = tsr_gpt_params(m) - 2;
    if (i < HEAD) {
        snprintf(name, 64, "%s", i ? "wpe.weight" : "wte.weight");
        dim[0] = i ? m->context : m->vocab, dim[1] = m->width;
        return 2;
    }
    if (i >= last) {
        snprintf(name, 64, "%s", i == last ? "ln_f.weight" : "ln_f.bias");
        dim[0] = m->width;
        return 1;
    }
    int which = (i - HEAD) % PER_LAYER;
    snprintf(name, 64, "h.%d.%s", (i - HEAD) / PER_LAYER, layer[which].name);
    dim[0] = layer[which].rows * m->width, dim[1] = layer[which].cols * m->width;
    return layer[which].cols ? 2 : 1;
}

/* x (B, T, I) w (I, O) + b (O) */
static tsr_node *affine(tsr_ctx *c, tsr_node *x, tsr_node *w, tsr_node *b) {
    return tsr_add(c, tsr_matmul(c, x, w), b);
}

static tsr_node *norm(tsr_ctx *c, tsr_node *x, tsr_node *w, tsr_node *b) { return tsr_layer_norm(c, x, 1, w, b, 1e-5); }

/* (B, T, C) -> (B, H, T, C/H) */
static tsr_node *heads(tsr_ctx *c, const tsr_gpt *m, tsr_node *x) {
    const tsr_extent *e[4] = {tsr_node_extent(x, 0), tsr_node_extent(x, 1), tsr_extent_int(c, m->heads),
                              tsr_extent_int(c, m->width / m->heads)};
    return tsr_transpose(c, tsr_reshape_extents(c, x, 4, e), (int[]){0, 2, 1, 3});
}

static tsr_node *attend(tsr_ctx *c, const tsr_gpt *m, tsr_node *const *p, tsr_node *x) {
    tsr_node *qkv[3]; /* (B, T, C) each */
    if (tsr_split(c, affine(c, x, p[ATTN_W], p[ATTN_B]), 3, 2, qkv)) return tsr_poison(c);
    tsr_attention_opts o = {.causal = true};
    tsr_node *y = tsr_attention(c, heads(c, m, qkv[0]), heads(c, m, qkv[1]), heads(c, m, qkv[2]), &o);
    if (tsr_is_poison(y)) return y;
    const tsr_extent *e[3] = {tsr_node_extent(x, 0), tsr_node_extent(x, 1), tsr_node_extent(x, 2)};
    y = tsr_reshape_extents(c, tsr_transpose(c, y, (int[]){0, 2, 1, 3}), 3, e);
    return affine(c, y, p[PROJ_W], p[PROJ_B]);
}

static tsr_node *mlp(tsr_ctx *c, tsr_node *const *p, tsr_node *x) {
    return affine(c, tsr_gelu(c, affine(c, x, p[FC_W], p[FC_B]), true), p[OUT_W], p[OUT_B]);
}

static tsr_node *block(tsr_ctx *c, const tsr_gpt *m, tsr_node *const *p, tsr_node *x) {
    x = tsr_add(c, x, attend(c, m, p, norm(c, x, p[LN1_W], p[LN1_B])));
    return tsr_add(c, x, mlp(c, p, norm(c, x, p[LN2_W], p[LN2_B])));
}

/* The first T rows of wpe, T perhaps symbolic. */
static tsr_node *positions(tsr_ctx *c, tsr_node *wpe, const tsr_extent *T) {
    const tsr_extent *zero = tsr_extent_int(c, 0), *start[2] = {zero, zero}, *limit[2] = {T, tsr_node_extent(wpe, 1)};
    return tsr_prim_slice(c, wpe, start, limit, (int64_t[]){1, 1});
}

tsr_node *tsr_gpt_logits(tsr_ctx *c, const tsr_gpt *m, tsr_node *const *param, tsr_node *token) {
    int last = tsr_gpt_params(m) - 2;
    if (tsr_is_poison(token) || tsr_is_poison(param[0]) || tsr_is_poison(param[1])) return tsr_poison(c);
    tsr_node *x = tsr_add(c, tsr_embedding(c, param[0], token), positions(c, param[1], tsr_node_extent(token, 1)));
    for (int i = 0; i < m->layers && !tsr_is_poison(x); i++) x = block(c, m, param + HEAD + PER_LAYER * i, x);
    x = norm(c, x, param[last], param[last + 1]);
    return tsr_matmul(c, x, tsr_transpose(c, param[0], NULL));
}

tsr_node *tsr_gpt_loss(tsr_ctx *c, const tsr_gpt *m, tsr_node *const *param, tsr_node *token, tsr_node *target) {
    tsr_node *logits = tsr_gpt_logits(c, m, param, token);
    return tsr_cross_entropy(c, tsr_flatten(c, logits, 0, 1), tsr_flatten(c, target, 0, 1), 0, INT64_MIN,
        TSR_LOSS_MEAN);
}
