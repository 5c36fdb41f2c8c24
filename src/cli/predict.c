/* predict.c: `tessera predict [MODEL]`: what a trained model says about images it has not seen.
 *
 * The file says which data set and model it belongs to. Shown are a few pictures of the held-out part with the three
 * most likely classes, then the accuracy over all of it. */
#include <string.h>

#include "base/ctx.h"
#include "base/vec.h"
#include "cli/checkpoint.h"
#include "cli/picture.h"
#include "cli/verbs.h"
#include "tessera/ops.h"
#include "tessera/run.h"
#include "tessera/train.h"

enum { BATCH = 256, BEST = 3, BAR_COLUMNS = 24 };

struct options {
    int64_t count, seed;
    const char *device;
    bool json;
};
#define AT(member) offsetof(struct options, member)
static const struct cli_option table[] = {
    {"count", 'n', CLI_INT, AT(count), "N", 0, 1e6, "pictures to show (6)"},
    {"seed", 's', CLI_INT, AT(seed), "N", 0, 9e15, "which ones (0)"},
    {"device", 'd', CLI_TEXT, AT(device), "NAME", 0, 0, "where to compute (TSR_DEVICE, else cpu)"},
    {"json", 0, CLI_FLAG, AT(json), NULL, 0, 0, "one JSON object a line for each picture, then the accuracy"},
};

struct predict {
    tsr_ctx *c;
    struct options o;
    struct checkpoint file;
    const struct task *task; /* of file */
    const tsr_data *test;
    tsr_fn *fn;        /* x (B, dim...) -> probabilities (B, classes) */
    float *p;          /* (test->count, classes) */
    int64_t *order;    /* (test->count) */
};

static void predict_close(struct predict *k) {
    tsr_ctx *c = k->c;
    if (k->p) mem_array_free(c, k->p, (size_t)(k->test->count * k->test->classes), sizeof *k->p);
    if (k->order) mem_array_free(c, k->order, (size_t)k->test->count, sizeof *k->order);
    tsr_fn_free(c, k->fn);
    checkpoint_close(&k->file);
}

/* ---- computing -------------------------------------------------------------------------------------------------- */

static tsr_status load(struct predict *k, const char *path) {
    if (checkpoint_open(&k->file, k->c, path)) {
        k->task = k->file.task, k->test = k->file.test;
        return (k->fn = checkpoint_predict(&k->file, BATCH)) ? TSR_OK : tsr_error_status(k->c);
    }
    if (tsr_error_status(k->c) == TSR_ENOTFOUND && !k->file.task)
        err_prefix(k->c, "no model yet (make one with: tessera train digits)");
    return tsr_error_status(k->c);
}

static tsr_status run_all(struct predict *k) {
    tsr_ctx *c = k->c;
    const tsr_data *d = k->test;
    k->p = mem_array(c, (size_t)(d->count * d->classes), sizeof *k->p);
    k->order = mem_array(c, (size_t)d->count, sizeof *k->order);
    tsr_status s = k->p && k->order ? TSR_OK : TSR_ENOMEM;
    if (!s) tsr_data_order(d, (uint64_t)k->o.seed, 0, k->order);
    for (int64_t at = 0; !s && at < d->count; at += BATCH) {
        int64_t n = d->count - at < BATCH ? d->count - at : BATCH;
        tsr_scope *scope = tsr_scope_begin(c);
        tsr_node *x, *p;
        s = tsr_data_batch(c, d, n, k->order + at, &x, NULL);
        if (!s) s = tsr_run(c, k->fn, 1, &x, &p);
        if (!s) s = tsr_read(c, p, k->p + at * d->classes, (size_t)(n * d->classes) * sizeof(float));
        tsr_scope_end(c, scope);
    }
    return s;
}

/* ---- showing ---------------------------------------------------------------------------------------------------- */

/* The classes from the likeliest on. */
static void rank_classes(const float *p, int64_t classes, int64_t best[BEST]) {
    for (int i = 0; i < BEST; i++) {
        best[i] = -1;
        for (int64_t k = 0; k < classes; k++) {
            bool taken = false;
            for (int j = 0; j < i; j++) taken = taken || best[j] == k;
            if (!taken && (best[i] < 0 || p[k] > p[best[i]])) best[i] = k;
        }
    }
}

static const char *class_text(const struct predict *k, int64_t label, char room[24]) {
    if (k->task->class_name) return k->task->class_name[label];
    snprintf(room, 24, "%lld", (long long)label);
    return room;
}

static void show_guess(const struct predict *k, enum picture_style s, const float *p, int64_t label, bool first,
    bool right) {
    char room[24];
    enum term_style color = !first ? STYLE_DIM : right ? STYLE_GREEN : STYLE_RED;
    printf("  %s%-8s ", term_style(stdout, color), class_text(k, label, room));
    picture_bar(stdout, s, p[label], BAR_COLUMNS);
    printf(" %5.1f %%%s", 100 * (double)p[label], term_style(stdout, STYLE_NONE));
}

static void show(const struct predict *k, enum picture_style s, int64_t at) {
    const tsr_data *d = k->test;
    const float *p = k->p + at * d->classes;
    int64_t example = k->order[at], best[BEST];
    struct picture pic = {(const uint8_t *)d->x + example * d->dim[0] * d->dim[1], (int)d->dim[0], (int)d->dim[1],
        (int)(1 / d->scale + 0.5)};
    char room[24];
    rank_classes(p, d->classes, best);
    bool right = best[0] == d->y[example];
    int lines = picture_lines(s, &pic), top = lines > BEST ? (lines - BEST) / 2 : 0;
    for (int i = 0; i < (lines > BEST ? lines : BEST + 1); i++) {
        printf("  ");
        if (i < lines) picture_line(stdout, s, &pic, i);
        else printf("%*s", picture_columns(s, &pic), "");
        int guess = i - top;
        if (guess >= 0 && guess < BEST && best[guess] >= 0) show_guess(k, s, p, best[guess], guess == 0, right);
        if (guess == 0) printf(right ? "  right" : "  wrong: it is %s", class_text(k, d->y[example], room));
        putchar('\n');
    }
    putchar('\n');
}

static void show_json(const struct predict *k, int64_t at) {
    const tsr_data *d = k->test;
    const float *p = k->p + at * d->classes;
    int64_t best[BEST];
    rank_classes(p, d->classes, best);
    printf("{\"index\":%lld,\"label\":%d,\"prediction\":%lld,\"confidence\":%.6f,\"probabilities\":[",
        (long long)k->order[at], d->y[k->order[at]], (long long)best[0], (double)p[best[0]]);
    for (int64_t i = 0; i < d->classes; i++) printf("%s%.6g", i ? "," : "", (double)p[i]);
    printf("]}\n");
}

static void show_all(const struct predict *k) {
    const tsr_data *d = k->test;
    enum picture_style s = picture_style(stdout);
    int64_t right = 0, shown = k->o.count < d->count ? k->o.count : d->count, best[BEST];
    for (int64_t i = 0; i < shown; i++) {
        if (k->o.json) show_json(k, i);
        else show(k, s, i);
    }
    for (int64_t i = 0; i < d->count; i++) {
        rank_classes(k->p + i * d->classes, d->classes, best);
        right += best[0] == d->y[k->order[i]];
    }
    double part = (double)right / (double)d->count;
    const char *text = k->o.json ? "{\"images\":%lld,\"right\":%lld,\"accuracy\":%.6f}\n"
                                 : "Of all %lld held-out images %lld are right: %.1f %%.\n";
    printf(text, (long long)d->count, (long long)right, k->o.json ? part : 100 * part);
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct predict k = {.o = {.count = 6}};
    int code;
    if (!cli_parse(v, &argc, argv, &k.o, &code)) return code;
    if (!(k.c = cli_open(k.o.device))) return CLI_FAILED;
    tsr_status s = load(&k, argc ? argv[0] : "digits.safetensors");
    if (!s) s = run_all(&k);
    if (!s) show_all(&k);
    predict_close(&k);
    if (s) return cli_fail(k.c);
    tsr_close(k.c);
    return CLI_OK;
}

const struct cli_verb verb_predict = {
    .name = "predict", .args = "[MODEL]", .summary = "show what a trained model sees in images it has not seen",
    .max_args = 1, .option = table,
    .noption = sizeof table / sizeof *table, .run = run,
    .about = "MODEL is a file that tessera train has written (digits.safetensors).\n",
    .examples = "  tessera predict\n"
                "  tessera predict model.safetensors --count 20\n"
                "  tessera predict --json | tail -1\n",
};
