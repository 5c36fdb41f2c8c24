/* checkpoint.h: a file of `tessera train` as a model: what predict and compile share. */
#ifndef CLI_CHECKPOINT_H
#define CLI_CHECKPOINT_H

#include "cli/task.h"

struct checkpoint {
    tsr_ctx *c;
    const struct task *task;
    tsr_data *train, *test;
    tsr_nn *model;         /* with the file's weights */
};
/* False: an error is recorded. checkpoint_close releases what was opened, in every case. */
bool checkpoint_open(struct checkpoint *k, tsr_ctx *c, const char *path);
void checkpoint_close(struct checkpoint *k);
/* Type of a batch of raw examples: (batch, dim...) of the data set's dtype; batch runs from 1 to most. */
const tsr_type *checkpoint_input(const struct checkpoint *k, int64_t most);
/* Inference: x (batch, dim...) -> probabilities (batch, classes). The caller's; NULL: error recorded. */
tsr_fn *checkpoint_predict(const struct checkpoint *k, int64_t most);
/* The same with every parameter of the model as an input, behind x. */
tsr_fn *checkpoint_open_predict(const struct checkpoint *k, int64_t most);
/* A step of gradient descent: x, y i32 (batch), lr f32 (), parameters -> mean cross entropy, parameters. */
tsr_fn *checkpoint_step(const struct checkpoint *k, int64_t most);
enum { CHECKPOINT_PARAMS = 256 };
/* The model's parameters in order of those inputs. Negative: error recorded. */
int checkpoint_params(const struct checkpoint *k, tsr_var **var /* (CHECKPOINT_PARAMS) */);

#endif
