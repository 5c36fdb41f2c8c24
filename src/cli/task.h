/* task.h: the data sets that `train` and `predict` know by name, and the model both build for them. */
#ifndef CLI_TASK_H
#define CLI_TASK_H

#include "tessera/data.h"
#include "tessera/models.h"

struct task {
    const char *name, *about;
    int64_t epochs, batch; /* defaults */
    double lr;
    const char *const *class_name; /* NULL: the number is the name */
    tsr_status (*load)(tsr_ctx *c, tsr_data **train, tsr_data **test);
};
extern const struct task tasks[]; /* ends with a nameless one */
const struct task *task_find(const char *name);
/* The classifier for a set of images. NULL: error recorded. */
tsr_nn *task_model(tsr_ctx *c, const tsr_data *d);

/* Metadata of a model file. */
#define META_DATASET "tessera.dataset"
#define META_MODEL "tessera.model"
#define META_LR "tessera.lr"
#define MODEL_NAME "convnet"

#endif
