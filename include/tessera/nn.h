/* nn.h: modules: layers with named parameters, composed in a tree.
 *
 * A module owns variables and child modules; the name of a parameter is the path to it ("0.weight",
 * "blocks.1.attn.in_proj_weight"). Names, shapes, conventions and initialisers are those of PyTorch's modules of the
 * same name, so a state_dict can be exchanged as a safetensors file without a table of renamings.
 *
 * Constructors return NULL with an error recorded; a composite takes ownership of the children given to it, also when
 * it fails or when one of them is NULL, so calls nest. Parameters are zero until tsr_nn_init or tsr_nn_load. Forward
 * builds graph, inside a fn or eagerly. */
#ifndef TESSERA_NN_H
#define TESSERA_NN_H

#include "tessera/graph.h"
#include "tessera/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tsr_nn tsr_nn; /* a module */

/* How a forward pass is meant. */
typedef struct tsr_nn_mode {
    bool training;  /* dropout drops, batch norm uses and updates statistics */
    tsr_node *key;  /* random key of this pass (u64[2]); NULL when not training or nothing draws */
    int64_t draws;  /* how many layers have drawn from it: starts at 0 */
} tsr_nn_mode;
/* mode NULL: inference. */
tsr_node *tsr_nn_forward(tsr_nn *m, tsr_node *x, tsr_nn_mode *mode);
void tsr_nn_free(tsr_nn *m); /* and its children; NULL is accepted */

/* ---- layers ----------------------------------------------------------------------------------------------------- */
/* (..., in) -> (..., out). weight (out, in), bias (out). */
tsr_nn *tsr_nn_linear(tsr_ctx *c, int64_t in, int64_t out, bool bias);
/* (N, in, spatial...) -> (N, out, spatial...). weight (out, in/groups, kernel...), bias (out). Zero kernel is 1, stride
 * 1, dilation 1, groups 1, axes 2; the same on every spatial axis. */
typedef struct tsr_nn_conv_opts {
    int64_t in, out, kernel, stride, padding, dilation, groups;
    int axes;
    bool no_bias;
} tsr_nn_conv_opts;
tsr_nn *tsr_nn_conv(tsr_ctx *c, const tsr_nn_conv_opts *o);
/* integers (...) -> (..., width). weight (count, width). */
tsr_nn *tsr_nn_embedding(tsr_ctx *c, int64_t count, int64_t width);
/* weight and bias (width), over the last axis; rms_norm has no bias. */
tsr_nn *tsr_nn_layer_norm(tsr_ctx *c, int64_t width, double eps);
tsr_nn *tsr_nn_rms_norm(tsr_ctx *c, int64_t width, double eps);
/* (N, channels, ...) */
tsr_nn *tsr_nn_group_norm(tsr_ctx *c, int64_t groups, int64_t channels, double eps);
/* weight, bias and the statistics running_mean, running_var (channels), which training moves by `momentum`. */
tsr_nn *tsr_nn_batch_norm(tsr_ctx *c, int64_t channels, double eps, double momentum);
tsr_nn *tsr_nn_dropout(tsr_ctx *c, double p);
/* Any function of one value: tsr_nn_function(c, tsr_relu). */
tsr_nn *tsr_nn_function(tsr_ctx *c, tsr_node *(*fn)(tsr_ctx *c, tsr_node *x));
tsr_nn *tsr_nn_gelu(tsr_ctx *c, bool tanh_form);
tsr_nn *tsr_nn_max_pool(tsr_ctx *c, int axes, int64_t kernel);
tsr_nn *tsr_nn_flatten(tsr_ctx *c); /* (N, ...) -> (N, product) */

/* torch.nn.MultiheadAttention on itself, batch first: (B, T, width) -> (B, T, width). in_proj_weight (3 width, width),
 * in_proj_bias, out_proj.weight, out_proj.bias. */
tsr_nn *tsr_nn_attention(tsr_ctx *c, int64_t width, int64_t heads, bool causal, double dropout);

/* ---- composites ------------------------------------------------------------------------------------------------- */
/* One after the other; children are called "0", "1", ... */
tsr_nn *tsr_nn_sequential(tsr_ctx *c, int n, tsr_nn *const *child);
/* x + child(x); the child's parameters keep their names. */
tsr_nn *tsr_nn_residual(tsr_ctx *c, tsr_nn *child);
/* 0: linear, 1: gelu, 2: linear. */
tsr_nn *tsr_nn_mlp(tsr_ctx *c, int64_t width, int64_t hidden);
/* Pre-norm transformer block: x + attn(norm1(x)), then x + mlp(norm2(x)). Children norm1, attn, norm2, mlp. */
tsr_nn *tsr_nn_block(tsr_ctx *c, int64_t width, int64_t heads, int64_t hidden, bool causal, double dropout);

/* ---- modules of one's own --------------------------------------------------------------------------------------- */
/* How a parameter begins. uniform: in [-value, value); normal: standard deviation value; constant: value. */
typedef struct tsr_init {
    enum { TSR_INIT_CONSTANT, TSR_INIT_UNIFORM, TSR_INIT_NORMAL } kind;
    double value;
} tsr_init;
/* He et al., 2015, with gain g: uniform of bound g sqrt(3 / fan_in); PyTorch's layers use g = 1/sqrt(3). */
tsr_init tsr_init_kaiming(int64_t fan_in, double gain);
/* Glorot and Bengio, 2010: uniform of bound sqrt(6 / (fan_in + fan_out)). */
tsr_init tsr_init_xavier(int64_t fan_in, int64_t fan_out);

typedef tsr_node *tsr_nn_forward_fn(tsr_ctx *c, tsr_nn *m, tsr_node *x, tsr_nn_mode *mode);
tsr_nn *tsr_nn_new(tsr_ctx *c, tsr_nn_forward_fn *forward, void *user);
void *tsr_nn_user(const tsr_nn *m);
/* false: error recorded; the child is then freed. A buffer is state that no optimiser touches. */
bool tsr_nn_add_child_take(tsr_nn *m, const char *name, tsr_nn *child);
bool tsr_nn_add_param(tsr_nn *m, const char *name, int rank, const int64_t *dim, tsr_init init);
bool tsr_nn_add_buffer(tsr_nn *m, const char *name, int rank, const int64_t *dim, tsr_init init);
tsr_nn *tsr_nn_child(const tsr_nn *m, int i);                  /* in the order they were added; NULL past the end */
tsr_node *tsr_nn_read(tsr_nn *m, int i);                       /* the module's own i-th parameter or buffer */

/* ---- parameters of the whole tree ------------------------------------------------------------------------------- */
enum { TSR_NN_NAME_MAX = 200 };
typedef struct tsr_nn_param {
    char name[TSR_NN_NAME_MAX]; /* the path */
    tsr_var *var;               /* borrowed */
    bool buffer;
} tsr_nn_param;
int tsr_nn_count(const tsr_nn *m);                              /* parameters and buffers, depth first */
bool tsr_nn_at(const tsr_nn *m, int i, tsr_nn_param *out);      /* false past the end */

/* Fresh values: parameter i draws from stream i of a Philox generator, so equal seeds give equal bits everywhere. */
tsr_status tsr_nn_init(tsr_nn *m, uint64_t seed);
/* Every parameter and buffer from the tensor of its name, with `prefix` (may be NULL) before it; shapes must be equal,
 * floats of another width are converted. All or nothing. */
tsr_status tsr_nn_load(tsr_nn *m, tsr_safetensors *f, const char *prefix);
tsr_status tsr_nn_save(tsr_nn *m, const char *path, int64_t nmeta, const tsr_metadata *meta);

#ifdef __cplusplus
}
#endif
#endif
