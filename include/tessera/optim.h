/* optim.h: optimisers and learning-rate schedules: graph over variables.
 *
 * An optimiser's state (step count, moments) is variables like the parameters, so a training step is one closed fn and
 * a checkpoint is a list of variables. Formulas are those of torch.optim (2.x), f32 throughout except the step's
 * scalars (rate, bias corrections), which are f64. */
#ifndef TESSERA_OPTIM_H
#define TESSERA_OPTIM_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Learning rate at step t = 0, 1, ... of `total`, with peak rate lr. During the first `warmup` steps of constant and
 * cosine it grows linearly: lr (t + 1) / warmup.
 *   constant   lr
 *   cosine     from lr to floor * lr over the steps after warm-up (Loshchilov and Hutter, 2017), floor * lr after
 *              the end
 *   one_cycle  torch's OneCycleLR, cosine form: lr/25 up to lr over 30 % of the steps, then down to lr/(25 * 10^4) */
typedef enum tsr_schedule_kind { TSR_SCHEDULE_CONSTANT, TSR_SCHEDULE_COSINE, TSR_SCHEDULE_ONE_CYCLE } tsr_schedule_kind;
typedef struct tsr_schedule {
    tsr_schedule_kind kind;
    int64_t warmup, total;
    double floor;
} tsr_schedule;
/* The rate as an f64 scalar, from the step as an integer scalar. */
tsr_node *tsr_schedule_rate(tsr_ctx *c, const tsr_schedule *s, double lr, tsr_node *step);

typedef enum tsr_optim_kind { TSR_SGD, TSR_ADAM, TSR_ADAMW } tsr_optim_kind;
/* Zero-initialise, then set what matters. */
typedef struct tsr_optim_opts {
    tsr_optim_kind kind;
    double lr;                 /* peak rate */
    double weight_decay;       /* SGD, Adam: added to the gradient (L2); AdamW: decoupled */
    double momentum;           /* SGD */
    bool nesterov;             /* SGD */
    double beta1, beta2, eps;  /* Adam, AdamW; 0: 0.9, 0.999, 1e-8 */
    double clip_norm;          /* > 0: gradients are scaled so that their global norm is at most this */
    tsr_schedule schedule;
} tsr_optim_opts;

typedef struct tsr_optim tsr_optim;
/* State for n f32 parameters, zero. The variables are kept. name[i] names parameter i in the state's names. */
tsr_optim *tsr_optim_new(tsr_ctx *c, const tsr_optim_opts *o, int n, tsr_var *const *var, const char *const *name);
void tsr_optim_free(tsr_optim *o); /* NULL is accepted */
/* One step down the gradient of loss: assigns parameters and state. Inside a fn or eagerly; the loss was built from
 * tsr_var_read of the parameters in the same place. `norm` (may be NULL) receives the gradients' global norm when they
 * are clipped, else NULL. */
tsr_status tsr_optim_step(tsr_optim *o, tsr_node *loss, tsr_node **norm);
/* The same with gradients that were computed elsewhere: (n), of the parameters' types. */
tsr_status tsr_optim_apply(tsr_optim *o, tsr_node *const *grad, tsr_node **norm);

/* State variables for checkpoints: their names are "step", "momentum.NAME", "exp_avg.NAME", "exp_avg_sq.NAME". */
int tsr_optim_count(const tsr_optim *o);
tsr_var *tsr_optim_state(const tsr_optim *o, int i);
tsr_var *tsr_optim_step_var(const tsr_optim *o); /* i64 scalar: steps taken */

#ifdef __cplusplus
}
#endif
#endif
