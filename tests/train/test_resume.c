/* test_resume.c: the trainer: learning, stopping anywhere, and continuing bit for bit.
 *
 * A small network with dropout and batch norm on the digits: parameters, running statistics, moments, the random key
 * and the position in the data all matter, and each being lost changes some later loss. */
#include "harness.h"

#include "tessera/ops.h"
#include "tessera/train.h"

enum { EXAMPLES = 70, BATCH = 16, EPOCHS = 3, STEPS = (EXAMPLES + BATCH - 1) / BATCH, LOSSES = EPOCHS * STEPS };

struct world {
    tsr_ctx *c;
    tsr_data *train, *test;
    tsr_nn *model;
    tsr_trainer *trainer;
    volatile int stop;
    int stop_after; /* steps; 0: never */
    float loss[LOSSES];
    double epoch_loss[EPOCHS], test_loss[EPOCHS];
    int steps, saved;
};

static void watch(void *user, const tsr_train_event *e) {
    struct world *w = user;
    int64_t at = (e->epoch - 1) * STEPS + e->step - 1;
    if (e->kind == TSR_EVENT_STEP) {
        if (CHECK(at >= 0 && at < LOSSES)) w->loss[at] = (float)e->loss;
        if (++w->steps == w->stop_after) w->stop = 1;
    } else if (e->kind == TSR_EVENT_EPOCH) {
        w->epoch_loss[e->epoch - 1] = e->loss, w->test_loss[e->epoch - 1] = e->test_loss;
    } else {
        w->saved++;
    }
}

static tsr_nn *make_model(tsr_ctx *c) {
    tsr_nn *layers[] = {
        tsr_nn_conv(c, &(tsr_nn_conv_opts){.in = 1, .out = 3, .kernel = 3, .padding = 1}), tsr_nn_batch_norm(c, 3, 1e-5,
            0.1),
        tsr_nn_function(c, tsr_relu), tsr_nn_max_pool(c, 2, 2), tsr_nn_flatten(c), tsr_nn_dropout(c, 0.25),
        tsr_nn_linear(c, 48, 10, true)};
    return tsr_nn_sequential(c, 7, layers);
}

static bool world_open(struct world *w, tsr_ctx *c, uint64_t seed, const char *file, int64_t every) {
    *w = (struct world){.c = c};
    tsr_data *all = tsr_data_digits(c), *some = NULL, *rest = NULL;
    bool ok = all && !tsr_data_split(c, all, 100.0 / 1797, 3, &rest, &some);
    ok = ok && !tsr_data_split(c, some, 0.3, 4, &w->train, &w->test);
    tsr_data_free(c, all), tsr_data_free(c, some), tsr_data_free(c, rest);
    if (!ok || w->train->count != EXAMPLES || !(w->model = make_model(c)) || tsr_nn_init(w->model, seed)) return false;
    tsr_trainer_opts o = {.model = w->model, .train = w->train, .test = w->test, .epochs = EPOCHS, .batch = BATCH,
        .seed = seed,
        .optim = {.kind = TSR_ADAMW, .lr = 0.01, .weight_decay = 0.01, .clip_norm = 1, .schedule.kind =
            TSR_SCHEDULE_ONE_CYCLE},
        .smoothing = 0.1, .checkpoint = file, .checkpoint_every = every, .callback = watch, .user = w, .stop =
            &w->stop};
    return (w->trainer = tsr_trainer_new(c, &o)) != NULL;
}

static void world_close(struct world *w) {
    tsr_trainer_free(w->trainer);
    tsr_nn_free(w->model);
    tsr_data_free(w->c, w->train), tsr_data_free(w->c, w->test);
}

static bool resume(struct world *w, const char *file) {
    tsr_safetensors *f = tsr_safetensors_open(w->c, file);
    bool ok = f && !tsr_trainer_resume(w->trainer, f);
    tsr_safetensors_close(f);
    return ok;
}

static void check_same(const struct world *got, const struct world *want, int from) {
    CHECK_BYTES(got->loss + from, want->loss + from, (LOSSES - (size_t)from) * sizeof *got->loss);
    CHECK_BYTES(got->epoch_loss + from / STEPS, want->epoch_loss + from / STEPS,
        (EPOCHS - (size_t)(from / STEPS)) * sizeof(double));
    CHECK_BYTES(got->test_loss + from / STEPS, want->test_loss + from / STEPS,
        (EPOCHS - (size_t)(from / STEPS)) * sizeof(double));
}

/* The whole run without interruption, and that it learns. */
static void reference(tsr_ctx *c, struct world *w) {
    if (!CHECK(world_open(w, c, 7, NULL, 0)) || !CHECK_EQ(tsr_trainer_run(w->trainer), TSR_OK)) CHECK_OK(c);
    world_close(w);
    CHECK(w->epoch_loss[EPOCHS - 1] < w->epoch_loss[0]);
    CHECK(w->saved == 0 && w->steps == LOSSES);
}

TEST(interrupted_anywhere_continues_bit_for_bit) {
    static struct world want, w;
    tsr_ctx *c = test_ctx();
    reference(c, &want);
    for (int after = 1; after <= LOSSES; after += after < 7 ? 1 : 3) {
        test_case("stopped after %d of %d steps", after, LOSSES);
        const char *file = test_path("stop%d.safetensors", after);
        CHECK(world_open(&w, c, 7, file, 0));
        w.stop_after = after;
        CHECK_EQ(tsr_trainer_run(w.trainer), TSR_EINTERRUPTED);
        CHECK_ERROR(c, TSR_EINTERRUPTED, "stopped after step");
        CHECK_EQ(w.steps, after);
        world_close(&w);
        tsr_ctx *later = test_ctx(); /* nothing of the first process is left */
        CHECK(world_open(&w, later, 7, file, 0) && resume(&w, file));
        CHECK_EQ(tsr_trainer_run(w.trainer), TSR_OK);
        CHECK_OK(later);
        CHECK_EQ(w.steps, LOSSES - after);
        check_same(&w, &want, after);
        world_close(&w);
        test_ctx_close(later);
    }
}

/* As after kill -9: the file holds some earlier step, the run continues from there. */
TEST(periodic_checkpoints_continue_bit_for_bit) {
    static struct world want, w;
    tsr_ctx *c = test_ctx();
    reference(c, &want);
    for (int every = 1; every <= 4; every++) {
        test_case("every %d", every);
        const char *file = test_path("every%d.safetensors", every);
        CHECK(world_open(&w, c, 7, file, every));
        w.stop_after = 8;
        CHECK_EQ(tsr_trainer_run(w.trainer), TSR_EINTERRUPTED);
        tsr_error_clear(c);
        int due = 0; /* every N steps, once at the end of an epoch, and when stopped */
        for (int k = 1; k <= 8; k++) due += k % every == 0 || k % STEPS == 0 || k == 8;
        CHECK(w.saved == due || w.saved == due + (8 % every == 0));
        world_close(&w);
        CHECK(world_open(&w, c, 7, file, every) && resume(&w, file));
        CHECK_EQ(tsr_trainer_run(w.trainer), TSR_OK);
        CHECK_OK(c);
        check_same(&w, &want, 8);
        world_close(&w);
    }
}

TEST(threads_do_not_matter) {
    static struct world want, w;
    reference(test_ctx(), &want);
    for (int threads = 1; threads <= 7; threads += 3) {
        test_case("%d threads", threads);
        tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = threads});
        reference(c, &w);
        check_same(&w, &want, 0);
    }
}

TEST(resume_refuses_what_does_not_fit) {
    static struct world w;
    tsr_ctx *c = test_ctx();
    const char *file = test_path("a.safetensors"), *model = test_path("m.safetensors");
    CHECK(world_open(&w, c, 7, NULL, 0));
    CHECK(!tsr_trainer_save(w.trainer, file) && !tsr_nn_save(w.model, model, 0, NULL));
    CHECK(!resume(&w, model));
    CHECK_ERROR(c, TSR_EFORMAT, "no checkpoint of a training run");
    world_close(&w);
    CHECK(world_open(&w, c, 8, NULL, 0));
    CHECK(!resume(&w, file));
    CHECK_ERROR(c, TSR_EINVAL, "made with seed 7, this run has 8");
    world_close(&w);
}

static bool train_a_little(tsr_ctx *c, void *file) {
    tsr_data *d = NULL;
    tsr_nn *m = NULL;
    tsr_trainer *t = NULL;
    uint8_t x[24] = {1, 2, 3};
    int32_t y[6] = {0, 1, 0, 1, 0, 1};
    bool ok = (d = tsr_data_new(c, TSR_U8, 6, 1, (int64_t[]){4}, x, y, 2)) && (m = tsr_nn_linear(c, 4, 2, true));
    tsr_trainer_opts o = {.model = m, .train = d, .epochs = 1, .batch = 4, .checkpoint = file,
        .optim = {.kind = TSR_SGD, .lr = 0.1, .momentum = 0.9, .nesterov = true}};
    ok = ok && !tsr_nn_init(m, 1) && (t = tsr_trainer_new(c, &o)) && !tsr_trainer_run(t);
    tsr_trainer_free(t);
    tsr_nn_free(m);
    tsr_data_free(c, d);
    return ok;
}

TEST(train_torture) { CHECK(torture(train_a_little, (void *)test_path("t.safetensors")) > 100); }
