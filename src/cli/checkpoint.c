/* checkpoint.c: the file says which data set and model it belongs to; the data set says shapes and scaling. */
#include "cli/checkpoint.h"

#include <string.h>

#include "base/ctx.h"
#include "tessera/ops.h"
#include "tessera/train.h"

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
