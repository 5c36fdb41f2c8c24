/* train.h: the inside of a trainer. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "base/vec.h"
#include "tessera/train.h"

/* Where a run is: all of it is in a checkpoint. */
struct position {
    int64_t epoch, step; /* epochs done; steps of the present one done */
    double loss_sum;     /* over the examples of the present epoch: loss of a batch times its size */
    int64_t seen, correct;
};

struct tsr_trainer {
    tsr_ctx *c;
    tsr_trainer_opts o;
    tsr_optim *optim;
    tsr_var *key;            /* u64[2] */
    tsr_fn *step, *test;     /* (x, y) -> (loss, correct); test is built when first wanted */
    int64_t *order;          /* (train->count) of the present epoch */
    int64_t steps;           /* of an epoch */
    struct position at;
    double begun;            /* when run was called */
    int64_t steps_here;      /* done since then */
};

#endif
