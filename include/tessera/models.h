/* models.h: the model zoo as functions of their parameters: no state, no file format.
 *
 * A model lists its parameters (names and shapes of the published checkpoints) and builds its graph from nodes for them:
 * variables that were read, parameters of a fn, or literals. */
#ifndef TESSERA_MODELS_H
#define TESSERA_MODELS_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019) ----------------------------
 * Pre-norm transformer decoder, learned positions, tanh-form gelu, output tied to the token embedding. Parameter names are
 * those of the published checkpoint ("wte.weight", "h.0.attn.c_attn.weight", ...); matrices are (inputs, outputs). */
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

#ifdef __cplusplus
}
#endif
#endif
