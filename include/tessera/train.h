/* train.h: the Trainer: epochs, evaluation, progress, checkpoints that continue bit for bit.
 *
 * A step is one fn: forward, loss (cross entropy), gradients, the optimiser's update; built once, with a symbolic
 * batch, so the last, smaller batch of an epoch needs no second kernel. All that decides the next step is in a
 * checkpoint: parameters and buffers, the optimiser's state, the random key, and the position (epoch, step, the epoch's
 * sums). A run that was stopped anywhere and resumed has the losses of one that was not, to the last bit. */
#ifndef TESSERA_TRAIN_H
#define TESSERA_TRAIN_H

#include "tessera/data.h"
#include "tessera/nn.h"
#include "tessera/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tsr_trainer tsr_trainer;

typedef enum tsr_event_kind {
    TSR_EVENT_STEP,       /* after each step: loss of the batch, accuracy of the epoch so far */
    TSR_EVENT_EPOCH,      /* after each epoch: means over the epoch, and over the test set where there is one */
    TSR_EVENT_CHECKPOINT, /* a checkpoint was written */
} tsr_event_kind;
typedef struct tsr_train_event {
    tsr_event_kind kind;
    int64_t epoch, epochs; /* this one, from 1; how many */
    int64_t step, steps;   /* batches of this epoch that are done; how many it has */
    double loss, accuracy;
    bool tested;
    double test_loss, test_accuracy;
    double rate;           /* training examples a second since run began */
    double seconds;        /* since run began */
    double left;           /* estimated seconds to the end */
} tsr_train_event;
typedef void tsr_train_callback(void *user, const tsr_train_event *e);

/* Zero-initialise, then set what matters. Everything pointed at is borrowed until the trainer is freed. */
typedef struct tsr_trainer_opts {
    tsr_nn *model;                /* -> (B, classes); examples of rank 2 (h, w) are given to it as (B, 1, h, w) */
    const tsr_data *train, *test; /* labelled; test may be NULL */
    tsr_optim_opts optim;         /* schedule.total 0: all steps of the run */
    int64_t epochs, batch;
    uint64_t seed;                /* order of the data and random key; not the model's initial values */
    double smoothing;             /* of the labels */
    const char *checkpoint;       /* file; NULL: none is written */
    int64_t checkpoint_every;     /* steps; 0: at the end of each epoch alone. Either way also when stopped */
    int64_t nmeta;                /* metadata for the file, beside the trainer's own "tessera.*" */
    const tsr_metadata *meta;
    tsr_train_callback *callback;
    void *user;
    const volatile int *stop;     /* looked at after each step: not 0 means finish this step, save, return */
} tsr_trainer_opts;

tsr_trainer *tsr_trainer_new(tsr_ctx *c, const tsr_trainer_opts *o); /* NULL: error recorded */
void tsr_trainer_free(tsr_trainer *t);                               /* NULL is accepted */
/* Continue from a checkpoint: of the same model, data, seed, batch and number of epochs, else EINVAL. */
tsr_status tsr_trainer_resume(tsr_trainer *t, tsr_safetensors *f);
/* To the end of the last epoch; EINTERRUPTED when stopped (the checkpoint is then written). */
tsr_status tsr_trainer_run(tsr_trainer *t);
/* Mean loss and accuracy over a labelled set, in inference mode. */
tsr_status tsr_trainer_eval(tsr_trainer *t, const tsr_data *d, double *loss, double *accuracy);
tsr_status tsr_trainer_save(tsr_trainer *t, const char *path);

/* What a model is fed for raw examples (B, dim...) of a data set: f32, scaled and shifted, images with their
 * channel. */
tsr_node *tsr_data_input(tsr_ctx *c, const tsr_data *d, tsr_node *x);

#ifdef __cplusplus
}
#endif
#endif
