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

#endif
