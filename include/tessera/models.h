/* models.h: the model zoo as functions of their parameters: no state, no file format.
 *
 * A model lists its parameters (names and shapes of the published checkpoints) and builds its graph from nodes for
 * them: variables that were read, parameters of a fn, or literals. */
#ifndef TESSERA_MODELS_H
#define TESSERA_MODELS_H

#include "tessera/graph.h"
#include "tessera/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019) ----------------------------
 * Pre-norm transformer decoder, learned positions, tanh-form gelu, output tied to the token embedding. Parameter names
 * are those of the published checkpoint ("wte.weight", "h.0.attn.c_attn.weight", ...); matrices are (inputs, outputs).
 * */
typedef struct tsr_gpt {
    int64_t vocab, context, layers, heads, width; /* gpt2: 50257, 1024, 12, 12, 768 */
} tsr_gpt;
int tsr_gpt_params(const tsr_gpt *m);
/* Name and shape of parameter i, 0 <= i < tsr_gpt_params(m). Returns the rank (1 or 2). */
int tsr_gpt_param(const tsr_gpt *m, int i, char name[64], int64_t dim[2]);
/* param: all of them in that order, one floating dtype. token: i32 (B, T), T <= context. -> logits (B, T, vocab) */
tsr_node *tsr_gpt_logits(tsr_ctx *c, const tsr_gpt *m, tsr_node *const *param, tsr_node *token);
/* Mean cross entropy of predicting target (B, T) i32 from token. -> scalar */
tsr_node *tsr_gpt_loss(tsr_ctx *c, const tsr_gpt *m, tsr_node *const *param, tsr_node *token, tsr_node *target);

/* ---- a small convolutional classifier ------------------------------------------------------------------------------
 * (B, 1, height, width) -> logits (B, classes): two 3x3 convolutions of 16 and 32 channels, relu and 2x2 max pooling
 * after each, and a linear layer. Modules conv1, conv2, fc. */
tsr_nn *tsr_convnet(tsr_ctx *c, int64_t height, int64_t width, int64_t classes);

/* ---- residual networks of bottleneck blocks (He et al., "Deep residual learning for image recognition", 2015) -------
 * (B, 3, H, W) -> logits (B, classes). ResNet-50: blocks {3, 4, 6, 3}, width 64, classes 1000; ResNet-101: {3, 4, 23,
 * 3}. Modules and parameters have the names of the published weights ("layer1.0.conv1.weight"). In training, batch norm
 * uses and updates statistics. */
tsr_nn *tsr_resnet(tsr_ctx *c, const int64_t blocks[4], int64_t width, int64_t classes);

#ifdef __cplusplus
}
#endif
#endif
