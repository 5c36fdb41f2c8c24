/* checkpoint.c: the file says which data set and model it belongs to; the data set says shapes and scaling. */
#include "cli/checkpoint.h"

#include <string.h>

#include "base/ctx.h"
#include "graph/node.h"
#include "run/engine.h"
#include "tessera/ops.h"
#include "tessera/train.h"
#include "tessera/transform.h"

/* Variables go by their paths, as in the file ("0.weight"): so are the inputs of what is compiled from them named. */
static tsr_status name_by_path(tsr_ctx *c, tsr_nn *m) {
    tsr_nn_param p;
    tsr_status s = TSR_OK;
    for (int i = 0; !s && tsr_nn_at(m, i, &p); i++) s = var_rename(c, p.var, p.name);
    return s;
}

bool checkpoint_open(struct checkpoint *k, tsr_ctx *c, const char *path) {
    *k = (struct checkpoint){.c = c};
    tsr_safetensors *f = tsr_safetensors_open(c, path);
    if (!f) return false;
    const char *name = tsr_safetensors_metadata(f, META_DATASET), *model = tsr_safetensors_metadata(f, META_MODEL);
    tsr_status s = TSR_OK;
    if (!name || !model || strcmp(model, MODEL_NAME) || !(k->task = task_find(name)))
        s = err_set(c, TSR_EFORMAT, "%s: no model that tessera train has written", path);
    if (!s) s = k->task->load(c, &k->train, &k->test);
    if (!s && !(k->model = task_model(c, k->test))) s = tsr_error_status(c);
    if (!s) s = tsr_nn_load(k->model, f, NULL);
    if (!s) s = name_by_path(c, k->model);
    tsr_safetensors_close(f);
    return s == TSR_OK;
}

void checkpoint_close(struct checkpoint *k) {
    tsr_nn_free(k->model);
    tsr_data_free(k->c, k->train), tsr_data_free(k->c, k->test);
    *k = (struct checkpoint){.c = k->c};
}

const tsr_type *checkpoint_input(const struct checkpoint *k, int64_t most) {
    const tsr_data *d = k->test;
    const tsr_extent *e[TSR_MAX_RANK] = {tsr_extent_symbol(k->c, "batch", 1, most)};
    for (int i = 0; i < d->rank; i++) e[i + 1] = tsr_extent_int(k->c, d->dim[i]);
    return tsr_type_tensor(k->c, d->dtype, d->rank + 1, e);
}

tsr_fn *checkpoint_predict(const struct checkpoint *k, int64_t most) {
    tsr_ctx *c = k->c;
    if (tsr_fn_begin(c, "predict")) return NULL;
    tsr_node *x = tsr_param(c, checkpoint_input(k, most), "x");
    tsr_node *p = tsr_softmax(c, tsr_nn_forward(k->model, tsr_data_input(c, k->test, x), NULL), 1);
    return tsr_fn_end(c, 1, &p);
}

int checkpoint_params(const struct checkpoint *k, tsr_var **var) {
    tsr_nn_param info;
    int n = tsr_nn_count(k->model);
    if (n > CHECKPOINT_PARAMS) return err_set(k->c, TSR_EUNSUPPORTED, "more than %d parameters", CHECKPOINT_PARAMS), -1;
    for (int i = 0; i < n && tsr_nn_at(k->model, i, &info); i++) {
        var[i] = info.var;
        if (info.buffer) return err_set(k->c, TSR_EUNSUPPORTED, "the model keeps statistics (%s), which a step of "
            "plain "
            "gradient descent does not update", info.name), -1;
    }
    return n;
}

/* Reads every parameter, in order, before anything else does: so they are the fn's inputs in that order. */
static int read_params(const struct checkpoint *k, tsr_node **p) {
    tsr_var *var[CHECKPOINT_PARAMS];
    int n = checkpoint_params(k, var);
    for (int i = 0; i < n; i++) p[i] = tsr_var_read(k->c, var[i]);
    return n;
}

static tsr_fn *open_variables(tsr_ctx *c, tsr_fn *f) {
    tsr_fn *open = f ? engine_freeze(c, f, true) : NULL;
    tsr_fn_free(c, f);
    return open;
}

tsr_fn *checkpoint_open_predict(const struct checkpoint *k, int64_t most) {
    tsr_ctx *c = k->c;
    tsr_node *p[CHECKPOINT_PARAMS];
    if (tsr_fn_begin(c, "predict")) return NULL;
    tsr_node *x = tsr_param(c, checkpoint_input(k, most), "x");
    read_params(k, p);
    tsr_node *y = tsr_softmax(c, tsr_nn_forward(k->model, tsr_data_input(c, k->test, x), NULL), 1);
    return open_variables(c, tsr_fn_end(c, 1, &y));
}

tsr_fn *checkpoint_step(const struct checkpoint *k, int64_t most) {
    tsr_ctx *c = k->c;
    tsr_node *p[CHECKPOINT_PARAMS], *out[CHECKPOINT_PARAMS + 1], **grad = out + 1;
    if (tsr_fn_begin(c, "step")) return NULL;
    const tsr_type *type = checkpoint_input(k, most);
    tsr_node *x = tsr_param(c, type, "x");
    tsr_node *y = tsr_param(c, tsr_type_tensor(c, TSR_I32, 1, type->extent), "y");
    tsr_node *lr = tsr_param(c, tsr_type_dims(c, TSR_F32, 0, NULL), "lr");
    int n = read_params(k, p);
    tsr_node *logits = tsr_nn_forward(k->model, tsr_data_input(c, k->test, x), NULL);
    out[0] = tsr_cross_entropy(c, logits, y, 0, INT64_MIN, TSR_LOSS_MEAN);
    if (n > 0) tsr_grad(c, out[0], n, p, grad);
    for (int i = 0; i < n; i++) grad[i] = tsr_sub(c, p[i], tsr_mul(c, lr, grad[i]));
    return open_variables(c, tsr_fn_end(c, n < 0 ? 0 : n + 1, out));
}
