/* parity.c: our half of the comparison with PyTorch (bench/parity/parity.py is the other, and says what is compared).
 *
 *     parity MODEL IN.safetensors OUT.safetensors
 *
 * IN holds initial parameters "p.NAME", batches x and y with the steps in front, and the model's sizes as metadata. OUT
 * gets the logits and loss of the first batch, every gradient "g.NAME" there, and the loss of each AdamW step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tessera/models.h"
#include "tessera/ops.h"
#include "tessera/optim.h"
#include "tessera/run.h"
#include "tessera/transform.h"

enum { PARAMS_MAX = 512, STEPS_MAX = 1000, NAME_MAX_ = 256 };

struct parity {
    tsr_ctx *c;
    tsr_safetensors *in;
    tsr_nn *net;           /* convnet */
    tsr_gpt gpt;           /* gpt */
    int n;                 /* parameters */
    tsr_var *var[PARAMS_MAX];
    char name[PARAMS_MAX][NAME_MAX_];
    const char *names[PARAMS_MAX];
    tsr_safetensor out[PARAMS_MAX + 3];
    int nout;
};

static void die(tsr_ctx *c, const char *what) {
    fprintf(stderr, "parity: %s: %s\n", what, tsr_error_message(c));
    exit(1);
}

static int64_t size_of(struct parity *k, const char *key) {
    const char *text = tsr_safetensors_metadata(k->in, key);
    return text ? atoll(text) : 0;
}

/* ---- models: parameters, and logits from them ------------------------------------------------------------------- */

static void convnet_open(struct parity *k) {
    tsr_nn_param p;
    k->net = tsr_convnet(k->c, size_of(k, "height"), size_of(k, "width"), size_of(k, "classes"));
    if (!k->net) die(k->c, "convnet");
    if (tsr_nn_load(k->net, k->in, "p.")) die(k->c, "load");
    for (; tsr_nn_at(k->net, k->n, &p); k->n++) {
        k->var[k->n] = tsr_var_keep(p.var);
        snprintf(k->name[k->n], NAME_MAX_, "%s", p.name);
    }
}

static void gpt_open(struct parity *k) {
    k->gpt = (tsr_gpt){size_of(k, "vocab"), size_of(k, "context"), size_of(k, "layers"), size_of(k, "heads"), size_of(k,
        "width")};
    for (; k->n < tsr_gpt_params(&k->gpt); k->n++) {
        int64_t dim[2];
        char file_name[NAME_MAX_];
        tsr_gpt_param(&k->gpt, k->n, k->name[k->n], dim);
        snprintf(file_name, sizeof file_name, "p.%s", k->name[k->n]);
        k->var[k->n] = tsr_var_new(k->c, k->name[k->n], tsr_safetensors_node(k->c, k->in, file_name));
        if (!k->var[k->n]) die(k->c, file_name);
    }
}

static tsr_node *convnet_logits(struct parity *k, tsr_node *const *p, tsr_node *x) {
    (void)p;
    return tsr_nn_forward(k->net, x, NULL);
}

static tsr_node *gpt_logits(struct parity *k, tsr_node *const *p, tsr_node *x) {
    tsr_node *y = tsr_gpt_logits(k->c, &k->gpt, p, x); /* (B, T, V): every position is an example */
    return tsr_is_poison(y) ? y : tsr_flatten(k->c, y, 0, 1);
}

static const struct model {
    const char *name;
    void (*open)(struct parity *k);
    tsr_node *(*logits)(struct parity *k, tsr_node *const *p, tsr_node *x);
} models[] = {{"convnet", convnet_open, convnet_logits}, {"gpt", gpt_open, gpt_logits}};

/* ---- fns -------------------------------------------------------------------------------------------------------- */

/* Batch `step` of the tensor: (steps, rest...) -> (rest...). */
static tsr_node *batch(struct parity *k, const char *name, int64_t step) {
    const tsr_safetensor *t = tsr_safetensors_find(k->in, name);
    if (!t || t->rank < 1 || step >= t->dim[0]) die(k->c, name);
    size_t bytes = t->bytes / (size_t)t->dim[0];
    return tsr_tensor(k->c, t->dtype, t->rank - 1, t->dim + 1, (const char *)t->data + bytes * (size_t)step);
}

static tsr_node *loss_of(struct parity *k, const struct model *m, tsr_node **logits) {
    tsr_ctx *c = k->c;
    tsr_node *p[PARAMS_MAX];
    tsr_node *x = tsr_param(c, tsr_node_type(batch(k, "x", 0)), "x");
    tsr_node *y = tsr_param(c, tsr_node_type(batch(k, "y", 0)), "y");
    for (int i = 0; i < k->n; i++) p[i] = tsr_var_read(c, k->var[i]);
    *logits = m->logits(k, p, x);
    return tsr_cross_entropy(c, *logits, tsr_flatten(c, y, 0, -1), 0, INT64_MIN, TSR_LOSS_MEAN);
}

static tsr_fn *gradient_fn(struct parity *k, const struct model *m) {
    tsr_ctx *c = k->c;
    tsr_node *r[PARAMS_MAX + 2], *p[PARAMS_MAX];
    if (tsr_fn_begin(c, "gradients")) die(c, "begin");
    r[1] = loss_of(k, m, &r[0]);
    for (int i = 0; i < k->n; i++) p[i] = tsr_var_read(c, k->var[i]);
    if (tsr_grad(c, r[1], k->n, p, r + 2)) die(c, "grad");
    tsr_fn *f = tsr_fn_end(c, k->n + 2, r);
    if (!f) die(c, "gradients");
    return f;
}

static tsr_fn *step_fn(struct parity *k, const struct model *m, tsr_optim *o) {
    tsr_ctx *c = k->c;
    tsr_node *logits;
    if (tsr_fn_begin(c, "step")) die(c, "begin");
    tsr_node *loss = loss_of(k, m, &logits);
    if (tsr_optim_step(o, loss, NULL)) die(c, "step");
    tsr_fn *f = tsr_fn_end(c, 1, &loss);
    if (!f) die(c, "step");
    return f;
}

static void put(struct parity *k, const char *name, tsr_node *n) {
    tsr_safetensor *t = &k->out[k->nout++];
    *t = (tsr_safetensor){.name = strdup(name), .dtype = tsr_node_dtype(n), .rank = tsr_node_rank(n)};
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= t->dim[i] = tsr_node_dim(n, i);
    tsr_dtype_bytes(t->dtype, count, &t->bytes);
    void *data = malloc(t->bytes);
    if (tsr_read(k->c, n, data, t->bytes)) die(k->c, name);
    t->data = data;
}

int main(int argc, char **argv) {
    static struct parity k;
    const struct model *m = argc == 4 && !strcmp(argv[1], "gpt") ? &models[1] : &models[0];
    if (argc != 4 || strcmp(argv[1], m->name)) return fprintf(stderr, "usage: parity convnet|gpt IN OUT\n"), 2;
    tsr_ctx *c = k.c = tsr_open(NULL);
    if (!(k.in = tsr_safetensors_open(c, argv[2]))) die(c, argv[2]);
    m->open(&k);
    for (int i = 0; i < k.n; i++) k.names[i] = k.name[i];
    tsr_node *arg[2] = {batch(&k, "x", 0), batch(&k, "y", 0)}, *r[PARAMS_MAX + 2];
    tsr_fn *f = gradient_fn(&k, m);
    if (tsr_run(c, f, 2, arg, r)) die(c, "run");
    put(&k, "logits", r[0]), put(&k, "loss", r[1]);
    for (int i = 0; i < k.n; i++) {
        char name[NAME_MAX_ + 2];
        snprintf(name, sizeof name, "g.%s", k.name[i]);
        put(&k, name, r[2 + i]);
    }
    tsr_optim_opts o = {.kind = TSR_ADAMW, .lr = 1e-3, .weight_decay = 0.01};
    tsr_optim *optim = tsr_optim_new(c, &o, k.n, k.var, k.names);
    if (!optim) die(c, "optimiser");
    tsr_fn *step = step_fn(&k, m, optim);
    static float loss[STEPS_MAX];
    int64_t steps = tsr_safetensors_find(k.in, "x")->dim[0];
    for (int64_t i = 0; i < steps && i < STEPS_MAX; i++) {
        tsr_scope *scope = tsr_scope_begin(c);
        arg[0] = batch(&k, "x", i), arg[1] = batch(&k, "y", i);
        if (tsr_run(c, step, 2, arg, r)) die(c, "step");
        loss[i] = (float)tsr_read_scalar(c, r[0]);
        tsr_scope_end(c, scope);
    }
    k.out[k.nout++] = (tsr_safetensor){.name = "losses", .dtype = TSR_F32, .rank = 1, .dim = {steps}, .data = loss,
        .bytes = (size_t)steps * sizeof *loss};
    if (tsr_safetensors_save(c, argv[3], k.nout, k.out, 0, NULL)) die(c, argv[3]);
    return 0;
}
