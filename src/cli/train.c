/* train.c: `tessera train DATASET`: trains, evaluates, saves, continues.
 *
 * One file is both the model and the checkpoint. What the continuation of a run depends on (data set, epochs, batch,
 * rate, seed) is in the file and cannot be given again with --resume, so the losses go on as if nothing
 * had happened. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "cli/progress.h"
#include "cli/task.h"
#include "cli/verbs.h"

enum { NOT_GIVEN = -1 };

struct options {
    int64_t epochs, batch, seed, every;
    double lr;
    const char *out, *resume, *device;
    bool json;
};
#define AT(member) offsetof(struct options, member)
static const struct cli_option table[] = {
    {"epochs", 'e', CLI_INT, AT(epochs), "N", 1, 1e6, "passes over the data (digits 12, fashion-mnist 5)"},
    {"batch", 'b', CLI_INT, AT(batch), "N", 1, 1 << 20, "examples a step (digits 32, fashion-mnist 128)"},
    {"lr", 0, CLI_FLOAT, AT(lr), "X", 0, 1e3, "peak learning rate of the one-cycle schedule (0.01, 0.005)"},
    {"seed", 's', CLI_INT, AT(seed), "N", 0, 9e15, "initial values, order of the data (0)"},
    {"out", 'o', CLI_TEXT, AT(out), "FILE", 0, 0, "model and checkpoint (DATASET.safetensors)"},
    {"resume", 'r', CLI_TEXT, AT(resume), "FILE", 0, 0, "continue the run of this file, bit for bit"},
    {"checkpoint-every", 'c', CLI_INT, AT(every), "N", 1, 1e9,
        "write a checkpoint every N steps, not only every epoch"},
    {"device", 'd', CLI_TEXT, AT(device), "NAME", 0, 0, "where to compute (TSR_DEVICE, else cpu)"},
    {"json", 0, CLI_FLAG, AT(json), NULL, 0, 0, "one JSON object a line for every step and epoch"},
};

/* One run: everything it holds is released by run_close. */
struct run {
    tsr_ctx *c;
    struct options o;
    const struct task *task;
    tsr_safetensors *file; /* resumed from */
    tsr_data *train, *test;
    tsr_nn *model;
    tsr_trainer *trainer;
    char out[4096], lr[32];
    tsr_metadata meta[4];
    struct progress progress;
};

static void run_close(struct run *r) {
    tsr_trainer_free(r->trainer);
    tsr_nn_free(r->model);
    tsr_data_free(r->c, r->train), tsr_data_free(r->c, r->test);
    tsr_safetensors_close(r->file);
}

/* ---- settings --------------------------------------------------------------------------------------------------- */

static int64_t meta_int(const tsr_safetensors *f, const char *key, int64_t otherwise) {
    const char *text = tsr_safetensors_metadata(f, key);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

static tsr_status settings_from_file(struct run *r, const char *dataset) {
    struct options *o = &r->o;
    if (!(r->file = tsr_safetensors_open(r->c, o->resume))) return tsr_error_status(r->c);
    const char *name = tsr_safetensors_metadata(r->file, META_DATASET);
    const char *lr = tsr_safetensors_metadata(r->file, META_LR);
    if (!name || !lr || !(r->task = task_find(name)))
        return err_set(r->c, TSR_EFORMAT, "%s: not written by tessera train, so there is nothing to resume", o->resume);
    if (dataset && strcmp(dataset, name))
        return err_set(r->c, TSR_EINVAL, "%s: is a run on %s, not on %s", o->resume, name, dataset);
    o->epochs = meta_int(r->file, "tessera.epochs", r->task->epochs);
    o->batch = meta_int(r->file, "tessera.batch", r->task->batch);
    o->seed = meta_int(r->file, "tessera.seed", 0);
    o->lr = strtod(lr, NULL);
    if (!o->out) o->out = o->resume;
    return TSR_OK;
}

static void settings_from_options(struct run *r) {
    struct options *o = &r->o;
    if (o->epochs == NOT_GIVEN) o->epochs = r->task->epochs;
    if (o->batch == NOT_GIVEN) o->batch = r->task->batch;
    if (o->lr == NOT_GIVEN) o->lr = r->task->lr;
    if (o->seed == NOT_GIVEN) o->seed = 0;
    snprintf(r->out, sizeof r->out, "%s.safetensors", r->task->name);
    if (!o->out) o->out = r->out;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static tsr_trainer *make_trainer(struct run *r) {
    snprintf(r->lr, sizeof r->lr, "%.17g", r->o.lr);
    const tsr_metadata meta[4] = {{META_DATASET, r->task->name}, {META_LR, r->lr}, {META_MODEL, MODEL_NAME},
        {"format", "pt"}};
    memcpy(r->meta, meta, sizeof meta);
    return tsr_trainer_new(r->c, &(tsr_trainer_opts){
        .model = r->model, .train = r->train, .test = r->test, .epochs = r->o.epochs, .batch = r->o.batch,
        .seed = (uint64_t)r->o.seed, .checkpoint = r->o.out, .checkpoint_every = r->o.every, .nmeta = 4,
        .meta = r->meta,
        .optim = {.kind = TSR_ADAMW, .lr = r->o.lr, .weight_decay = 0.01, .schedule.kind = TSR_SCHEDULE_ONE_CYCLE},
        .callback = progress_event, .user = &r->progress, .stop = cli_catch_interrupt()});
}

static void print_start(const struct run *r) {
    if (r->o.json) {
        printf("{\"event\":\"start\",\"dataset\":\"%s\",\"train\":%lld,\"test\":%lld,", r->task->name,
            (long long)r->train->count, (long long)r->test->count);
        printf("\"epochs\":%lld,\"batch\":%lld,\"seed\":%lld}\n", (long long)r->o.epochs, (long long)r->o.batch,
            (long long)r->o.seed);
    } else {
        printf("%s: %lld images to learn from, %lld held out; %lld epochs%s\n", r->task->name,
            (long long)r->train->count, (long long)r->test->count, (long long)r->o.epochs, r->file ? ", resumed" : "");
    }
    fflush(stdout);
}

/* Can the file be written? Better known now than after the first epoch. */
static tsr_status try_out(struct run *r) {
    struct file_out f;
    tsr_status s = file_out_open(r->c, r->o.out, &f);
    if (!s) file_out_abort(&f);
    return s;
}

static tsr_status prepare(struct run *r) {
    tsr_status s = try_out(r);
    if (!s) s = r->task->load(r->c, &r->train, &r->test);
    if (!s && !(r->model = task_model(r->c, r->train))) s = tsr_error_status(r->c);
    if (!s) s = tsr_nn_init(r->model, (uint64_t)r->o.seed);
    if (!s && !(r->trainer = make_trainer(r))) s = tsr_error_status(r->c);
    if (!s && r->file) s = tsr_trainer_resume(r->trainer, r->file);
    return s;
}

static void print_end(struct run *r, tsr_status s) {
    progress_erase(&r->progress);
    const struct options *o = &r->o;
    if (s == TSR_EINTERRUPTED) {
        fprintf(stderr, "Interrupted: %s.\nContinue with: tessera train --resume %s\n", tsr_error_message(r->c),
            o->out);
    } else if (!s && o->json) {
        printf("{\"event\":\"done\",\"test_accuracy\":%.6f,\"seconds\":%.3f}\n", r->progress.accuracy,
            r->progress.seconds);
    } else if (!s) {
        printf("Saved as %s. See what it does: tessera predict %s\n", o->out, o->out);
    }
}

static int train(struct run *r, const char *dataset) {
    tsr_status s = r->o.resume ? settings_from_file(r, dataset) : TSR_OK;
    if (!r->o.resume) settings_from_options(r);
    progress_init(&r->progress, r->o.json, r->o.out);
    if (!s) s = prepare(r);
    if (!s) {
        print_start(r);
        s = tsr_trainer_run(r->trainer);
        print_end(r, s);
    }
    run_close(r);
    if (s) return cli_fail(r->c);
    tsr_close(r->c);
    return CLI_OK;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct run r = {.o = {.epochs = NOT_GIVEN, .batch = NOT_GIVEN, .seed = NOT_GIVEN, .lr = NOT_GIVEN}};
    struct options *o = &r.o;
    int code;
    if (!cli_parse(v, &argc, argv, o, &code)) return code;
    if (!argc && !o->resume) return cli_usage(v, "it needs a data set (digits, fashion-mnist) or --resume FILE");
    if (argc && !(r.task = task_find(argv[0])))
        return cli_usage(v, "there is no data set \"%s\": digits, fashion-mnist", argv[0]);
    if (o->resume && (o->epochs != NOT_GIVEN || o->batch != NOT_GIVEN || o->seed != NOT_GIVEN || o->lr != NOT_GIVEN))
        return cli_usage(v, "--epochs, --batch, --seed and --lr are in the file that --resume continues");
    if (!(r.c = cli_open(o->device))) return CLI_FAILED;
    return train(&r, argc ? argv[0] : NULL);
}

const struct cli_verb verb_train = {
    .name = "train", .args = "[DATASET]", .summary = "train a network, evaluate it, save it", .max_args = 1, .run = run,
    .about = "DATASET is digits (built in) or fashion-mnist (Debian's dataset-fashion-mnist). The network is a small\n"
             "convolutional classifier. Ctrl-C finishes the step, saves, and ends with 130; --resume continues.\n",
    .option = table, .noption = sizeof table / sizeof *table,
    .examples = "  tessera train digits\n"
                "  tessera train digits --epochs 20 --seed 3 --out model.safetensors\n"
                "  tessera train --resume model.safetensors\n"
                "  tessera train fashion-mnist --json > log.jsonl\n",
};
