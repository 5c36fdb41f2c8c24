/* trainer.c: the Trainer: the step fn, the loops over epochs and batches, evaluation.
 *
 * The order of an epoch is a function of (seed, epoch); the random key of a step is the run's key folded with the
 * optimiser's step count; both are saved, so nothing else has to be. */
#include "train/train.h"

#include <string.h>

#include "base/sys.h"
#include "tessera/ops.h"
#include "tessera/run.h"

enum { BATCH_MAX = 1 << 20, TEST_BATCH = 256 };

/* ---- the fns ---------------------------------------------------------------------------------------------------- */

tsr_node *tsr_data_input(tsr_ctx *c, const tsr_data *d, tsr_node *x) {
    x = tsr_cast(c, x, TSR_F32);
    if (d->scale != 1) x = tsr_mul(c, x, tsr_num(c, x, d->scale));
    if (d->shift != 0) x = tsr_add(c, x, tsr_num(c, x, d->shift));
    return d->rank == 2 ? tsr_unsqueeze(c, x, 1) : x;
}

/* Parameters x (B, dim...) as stored and y (B) of the open fn. */
static void batch_params(tsr_ctx *c, const tsr_data *d, tsr_node **x, tsr_node **y) {
    const tsr_extent *e[TSR_MAX_RANK] = {tsr_extent_symbol(c, "batch", 1, BATCH_MAX)};
    for (int i = 0; i < d->rank; i++) e[i + 1] = tsr_extent_int(c, d->dim[i]);
    *x = tsr_param(c, tsr_type_tensor(c, d->dtype, d->rank + 1, e), "x");
    *y = tsr_param(c, tsr_type_tensor(c, TSR_I32, 1, e), "y");
}

/* Loss and number of right answers. */
static void score(tsr_trainer *t, const tsr_data *d, tsr_node *x, tsr_node *y, tsr_nn_mode *mode, tsr_node *out[2]) {
    tsr_ctx *c = t->c;
    tsr_node *logits = tsr_nn_forward(t->o.model, tsr_data_input(c, d, x), mode);
    out[0] = tsr_cross_entropy(c, logits, y, mode->training ? t->o.smoothing : 0, INT64_MIN, TSR_LOSS_MEAN);
    out[1] = tsr_sum(c, tsr_eq(c, tsr_argmax(c, logits, 1, false), y), 0, NULL, false);
}

/* The fn between begin and end, in a scope of its own: what it needs it keeps. */
static tsr_fn *build(tsr_trainer *t, const tsr_data *d, bool training) {
    tsr_ctx *c = t->c;
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_fn *f = NULL;
    if (scope && !tsr_fn_begin(c, training ? "train_step" : "test_step")) {
        tsr_node *x, *y, *out[2];
        tsr_nn_mode mode = {.training = training};
        batch_params(c, d, &x, &y);
        tsr_var *now = tsr_optim_step_var(t->optim);
        if (training) mode.key = tsr_key_fold(c, tsr_var_read(c, t->key), tsr_var_read(c, now));
        score(t, d, x, y, &mode, out);
        if (!training || !tsr_optim_step(t->optim, out[0], NULL)) f = tsr_fn_end(c, 2, out);
        else tsr_fn_abort(c);
    }
    if (scope) tsr_scope_end(c, scope);
    return f;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static tsr_status check_opts(tsr_ctx *c, const tsr_trainer_opts *o) {
    const tsr_data *d = o->train, *e = o->test;
    if (!o->model || !d || !d->y || d->count < 1)
        return err_set(c, TSR_EINVAL, "trainer: a model and labelled examples are needed");
    if (o->batch < 1 || o->batch > BATCH_MAX || o->epochs < 0)
        return err_set(c, TSR_EINVAL, "trainer: batch %lld must lie in [1, %d], epochs %lld must not be negative",
            (long long)o->batch, BATCH_MAX, (long long)o->epochs);
    bool alike = !e || (e->y && e->dtype == d->dtype && e->rank == d->rank && !memcmp(e->dim, d->dim, sizeof d->dim));
    return alike ? TSR_OK : err_set(c, TSR_EINVAL, "trainer: training and test examples differ in shape or dtype");
}

/* The optimiser over the model's parameters (its buffers are not trained). */
static tsr_optim *make_optim(tsr_trainer *t) {
    tsr_ctx *c = t->c;
    int n = tsr_nn_count(t->o.model), k = 0;
    tsr_nn_param *p = mem_array(c, (size_t)n + 1, sizeof *p);
    tsr_var **var = mem_array(c, (size_t)n + 1, sizeof *var);
    const char **name = mem_array(c, (size_t)n + 1, sizeof *name);
    tsr_optim *o = NULL;
    for (int i = 0; p && var && name && i < n; i++) {
        if (tsr_nn_at(t->o.model, i, &p[k]) && !p[k].buffer) var[k] = p[k].var, name[k] = p[k].name, k++;
    }
    if (p && var && name) o = tsr_optim_new(c, &t->o.optim, k, var, name);
    mem_array_free(c, p, (size_t)n + 1, sizeof *p);
    mem_array_free(c, var, (size_t)n + 1, sizeof *var);
    mem_array_free(c, name, (size_t)n + 1, sizeof *name);
    return o;
}

static tsr_var *make_key(tsr_ctx *c, uint64_t seed) {
    tsr_scope *scope = tsr_scope_begin(c);
    const uint64_t words[2] = {seed, 0};
    tsr_var *v = scope ? tsr_var_new(c, "key", tsr_tensor(c, TSR_U64, 1, (int64_t[]){2}, words)) : NULL;
    if (scope) tsr_scope_end(c, scope);
    return v;
}

tsr_trainer *tsr_trainer_new(tsr_ctx *c, const tsr_trainer_opts *o) {
    if (check_opts(c, o)) return NULL;
    tsr_trainer *t = mem_new(c, tsr_trainer);
    if (!t) return NULL;
    *t = (tsr_trainer){.c = c, .o = *o, .steps = (o->train->count + o->batch - 1) / o->batch};
    if (!t->o.optim.schedule.total) t->o.optim.schedule.total = t->steps * o->epochs;
    t->order = mem_array(c, (size_t)o->train->count, sizeof *t->order);
    bool ok = t->order && (t->key = make_key(c, o->seed)) && (t->optim = make_optim(t));
    if (ok && (t->step = build(t, o->train, true))) return t;
    tsr_trainer_free(t);
    return NULL;
}

void tsr_trainer_free(tsr_trainer *t) {
    if (!t) return;
    tsr_ctx *c = t->c;
    tsr_fn_free(c, t->step), tsr_fn_free(c, t->test);
    tsr_optim_free(t->optim);
    tsr_var_free(c, t->key);
    if (t->order) mem_array_free(c, t->order, (size_t)t->o.train->count, sizeof *t->order);
    mem_del(c, t);
}

/* ---- one batch -------------------------------------------------------------------------------------------------- */

struct result { double loss; int64_t correct; };

static tsr_status run_batch(tsr_trainer *t, tsr_fn *f, const tsr_data *d, int64_t n, const int64_t *index,
    struct result *r) {
    tsr_ctx *c = t->c;
    tsr_node *arg[2], *out[2];
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_status s = scope ? tsr_data_batch(c, d, n, index, &arg[0], &arg[1]) : TSR_ENOMEM;
    if (!s) s = tsr_run(c, f, 2, arg, out);
    if (!s) r->loss = tsr_read_scalar(c, out[0]), r->correct = (int64_t)tsr_read_scalar(c, out[1]);
    if (!s) s = tsr_error_status(c);
    if (scope) tsr_scope_end(c, scope);
    return s;
}

tsr_status tsr_trainer_eval(tsr_trainer *t, const tsr_data *d, double *loss, double *accuracy) {
    int64_t index[TEST_BATCH], correct = 0;
    tsr_status s = TSR_OK;
    struct result r;
    *loss = *accuracy = 0;
    if (!d->y || d->count < 1) return err_set(t->c, TSR_EINVAL, "eval: labelled examples are needed");
    if (!t->test && !(t->test = build(t, d, false))) return tsr_error_status(t->c);
    for (int64_t at = 0; !s && at < d->count; at += TEST_BATCH) {
        int64_t n = d->count - at < TEST_BATCH ? d->count - at : TEST_BATCH;
        for (int64_t i = 0; i < n; i++) index[i] = at + i;
        s = run_batch(t, t->test, d, n, index, &r);
        if (!s) *loss += r.loss * (double)n, correct += r.correct;
    }
    *loss /= (double)d->count;
    *accuracy = (double)correct / (double)d->count;
    return s;
}

/* ---- the loops -------------------------------------------------------------------------------------------------- */

static void tell(tsr_trainer *t, tsr_train_event e) {
    const struct position *p = &t->at;
    if (!t->o.callback) return;
    e.epoch = p->epoch + 1, e.epochs = t->o.epochs, e.step = p->step, e.steps = t->steps;
    e.accuracy = p->seen ? (double)p->correct / (double)p->seen : 0;
    e.seconds = clock_seconds() - t->begun;
    double per_step = t->steps_here ? e.seconds / (double)t->steps_here : 0;
    e.rate = per_step > 0 ? (double)t->o.train->count / (double)t->steps / per_step : 0;
    e.left = per_step * (double)((t->o.epochs - p->epoch) * t->steps - p->step);
    t->o.callback(t->o.user, &e);
}

static tsr_status checkpoint(tsr_trainer *t) {
    tsr_status s = t->o.checkpoint ? tsr_trainer_save(t, t->o.checkpoint) : TSR_OK;
    if (!s && t->o.checkpoint) tell(t, (tsr_train_event){.kind = TSR_EVENT_CHECKPOINT});
    return s;
}

static tsr_status one_step(tsr_trainer *t) {
    const tsr_data *d = t->o.train;
    struct position *p = &t->at;
    struct result r;
    int64_t first = p->step * t->o.batch, n = d->count - first < t->o.batch ? d->count - first : t->o.batch;
    tsr_status s = run_batch(t, t->step, d, n, t->order + first, &r);
    if (s) return s;
    p->step++, p->seen += n, p->correct += r.correct, p->loss_sum += r.loss * (double)n;
    t->steps_here++;
    tell(t, (tsr_train_event){.kind = TSR_EVENT_STEP, .loss = r.loss});
    return TSR_OK;
}

static bool stopped(const tsr_trainer *t) { return t->o.stop && *t->o.stop; }

static tsr_status interrupted(tsr_trainer *t) {
    tsr_status s = checkpoint(t);
    if (s) return s;
    return err_set(t->c, TSR_EINTERRUPTED, "stopped after step %lld of %lld in epoch %lld", (long long)t->at.step,
        (long long)t->steps, (long long)t->at.epoch + 1);
}

static tsr_status one_epoch(tsr_trainer *t) {
    struct position *p = &t->at;
    tsr_train_event e = {.kind = TSR_EVENT_EPOCH, .tested = t->o.test != NULL};
    tsr_status s = TSR_OK;
    tsr_data_order(t->o.train, t->o.seed, (uint64_t)p->epoch, t->order);
    while (!s && p->step < t->steps) {
        s = one_step(t);
        if (!s && stopped(t)) return interrupted(t);
        bool due = t->o.checkpoint_every && (p->epoch * t->steps + p->step) % t->o.checkpoint_every == 0;
        if (!s && due && p->step < t->steps) s = checkpoint(t);
    }
    if (!s && e.tested) s = tsr_trainer_eval(t, t->o.test, &e.test_loss, &e.test_accuracy);
    if (s) return s;
    e.loss = p->loss_sum / (double)p->seen;
    tell(t, e);
    *p = (struct position){.epoch = p->epoch + 1};
    return checkpoint(t);
}

tsr_status tsr_trainer_run(tsr_trainer *t) {
    tsr_status s = TSR_OK;
    t->begun = clock_seconds(), t->steps_here = 0;
    while (!s && t->at.epoch < t->o.epochs) s = one_epoch(t);
    return s;
}
