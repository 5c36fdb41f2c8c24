/* nn.h: the inside of a module. */
#ifndef NN_NN_H
#define NN_NN_H

#include "base/vec.h"
#include "tessera/nn.h"

/* A parameter or buffer of a module itself: its name inside the module, and how it begins. */
struct nn_own { char *name; tsr_var *var; tsr_init init; bool buffer; };
struct nn_child { char *name; tsr_nn *m; };

struct tsr_nn {
    tsr_ctx *c;
    tsr_nn_forward_fn *forward;
    void *user;
    VEC(struct nn_own) own;
    VEC(struct nn_child) child;
    /* what the layers of layers.c are made with; each names its members there */
    int64_t size[8];
    double number[2];
    tsr_node *(*function)(tsr_ctx *c, tsr_node *x);
};

/* A module, and in one go its weight and bias; NULL on failure (m is then freed). */
tsr_nn *nn_with(tsr_nn *m, bool ok);

#endif
