/* parity.c: Tessera's half of the comparison with PyTorch; bench/parity/parity.py is the other half and starts this.
 *
 *     parity IN.safetensors OUT.safetensors
 *
 * IN holds the parameters by name, S batches "x" (S, B, ...) and "y" (S, B, ...) i32, and in its metadata the model and
 * the optimiser. Results are computed by the public interface alone, the way the Trainer does: one fn with a symbolic
 * batch. OUT gets what the first batch gives at the initial parameters, "logits", "loss" and "grad.NAME" of every
 * parameter, and "losses" (S), the loss of each batch during S training steps.
 *
 * After that every line of standard input is a number n: n more training steps, answered by a line with the seconds
 * they took, by the clock and of all threads' work. So the other half decides when each side runs, and both are
 * measured in turn under the same load. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tessera/models.h"
#include "tessera/ops.h"
#include "tessera/optim.h"
#include "tessera/run.h"
#include "tessera/transform.h"

#define MUST(x) do { if (!(x)) fail(__LINE__, #x); } while (0)

static tsr_ctx *c;

static void fail(int line, const char *what) {
    fprintf(stderr, "parity.c:%d: %s: %s\n", line, what, tsr_error_message(c));
    exit(1);
}

static void *array(int n, size_t size) {
    void *p = calloc((size_t)n + 1, size);
    MUST(p);
    return p;
}

/* ---- what the file asks for --------------------------------------------------------------------------------------*/

static tsr_safetensors *file;

static const char *text(const char *key) {
    const char *s = tsr_safetensors_metadata(file, key);
    return s ? s : "";
}
static double number(const char *key) { return strtod(text(key), NULL); }

static int chosen(const char *key, int n, const char *const *name) {
    for (int i = 0; i < n; i++) {
        if (!strcmp(text(key), name[i])) return i;
    }
    fprintf(stderr, "parity.c: metadata %s: \"%s\" is not known\n", key, text(key));
    exit(1);
}

static tsr_optim_opts optim_opts(void) {
    static const char *const kinds[] = {[TSR_SGD] = "sgd", [TSR_ADAM] = "adam", [TSR_ADAMW] = "adamw"};
    static const char *const schedules[] = {[TSR_SCHEDULE_CONSTANT] = "constant", [TSR_SCHEDULE_COSINE] = "cosine",
        [TSR_SCHEDULE_ONE_CYCLE] = "one_cycle"};
    return (tsr_optim_opts){.kind = (tsr_optim_kind)chosen("optim", 3, kinds), .lr = number("lr"),
        .weight_decay = number("weight_decay"), .momentum = number("momentum"), .nesterov = number("nesterov") != 0,
        .clip_norm = number("clip_norm"),
        .schedule = {(tsr_schedule_kind)chosen("schedule", 3, schedules), (int64_t)number("warmup"),
            (int64_t)number("total"), number("floor")}};
}

/* ---- the models --------------------------------------------------------------------------------------------------*/

struct model {
    int n; /* parameters */
    tsr_var **var;
    const char **name;
    tsr_nn *net;
    tsr_gpt gpt;
};

static char *copied(const char *s) {
    size_t n = strlen(s);
    return memcpy(array((int)n, 1), s, n);
}

static void open_convnet(struct model *m) {
    m->net = tsr_convnet(c, (int64_t)number("height"), (int64_t)number("width"), (int64_t)number("classes"));
    MUST(m->net && !tsr_nn_load(m->net, file, NULL));
    m->n = tsr_nn_count(m->net);
    m->var = array(m->n, sizeof *m->var), m->name = array(m->n, sizeof *m->name);
    for (int i = 0; i < m->n; i++) {
        tsr_nn_param p;
        MUST(tsr_nn_at(m->net, i, &p));
        m->var[i] = tsr_var_keep(p.var), m->name[i] = copied(p.name);
    }
}

static void convnet(struct model *m, tsr_node *x, tsr_node *y, tsr_node **logits, tsr_node **loss) {
    *logits = tsr_nn_forward(m->net, x, &(tsr_nn_mode){.training = true});
    *loss = tsr_cross_entropy(c, *logits, y, 0, INT64_MIN, TSR_LOSS_MEAN);
}

static void open_gpt(struct model *m) {
    m->gpt = (tsr_gpt){.vocab = (int64_t)number("vocab"), .context = (int64_t)number("context"),
        .layers = (int64_t)number("layers"), .heads = (int64_t)number("heads"), .width = (int64_t)number("width")};
    m->n = tsr_gpt_params(&m->gpt);
    m->var = array(m->n, sizeof *m->var), m->name = array(m->n, sizeof *m->name);
    for (int i = 0; i < m->n; i++) {
        char name[64];
        int64_t dim[2];
        tsr_gpt_param(&m->gpt, i, name, dim);
        MUST(m->var[i] = tsr_var_new(c, name, tsr_safetensors_node(c, file, name)));
        m->name[i] = copied(name);
    }
}

static void gpt(struct model *m, tsr_node *x, tsr_node *y, tsr_node **logits, tsr_node **loss) {
    tsr_node **p = array(m->n, sizeof *p);
    for (int i = 0; i < m->n; i++) p[i] = tsr_var_read(c, m->var[i]);
    *logits = tsr_gpt_logits(c, &m->gpt, p, x);
    *loss = tsr_gpt_loss(c, &m->gpt, p, x, y);
    free(p);
}

static const struct kind {
    void (*open)(struct model *m);
    void (*build)(struct model *m, tsr_node *x, tsr_node *y, tsr_node **logits, tsr_node **loss);
} kinds[] = {{open_convnet, convnet}, {open_gpt, gpt}};
static const char *const kind_names[] = {"convnet", "gpt"};

/* ---- batches and fns ---------------------------------------------------------------------------------------------*/

struct batches { const tsr_safetensor *x, *y; int64_t count, next; };

static tsr_node *batch_param(const tsr_safetensor *t, const tsr_extent *B) {
    const tsr_extent *e[TSR_MAX_RANK] = {B};
    for (int i = 2; i < t->rank; i++) e[i - 1] = tsr_extent_int(c, t->dim[i]);
    return tsr_param(c, tsr_type_tensor(c, t->dtype, t->rank - 1, e), t->name);
}

static tsr_node *batch_value(const tsr_safetensor *t, int64_t i) {
    size_t bytes = t->bytes / (size_t)t->dim[0];
    return tsr_tensor(c, t->dtype, t->rank - 1, t->dim + 1, (const char *)t->data + (size_t)i * bytes);
}

/* (x, y) -> logits, loss, gradients; with an optimiser instead: -> loss, and the parameters move. */
static tsr_fn *make_fn(const struct kind *k, struct model *m, const struct batches *b, tsr_optim *o) {
    tsr_scope *scope = tsr_scope_begin(c);
    MUST(scope && !tsr_fn_begin(c, o ? "step" : "probe"));
    const tsr_extent *B = tsr_extent_symbol(c, "batch", 1, 1 << 20);
    tsr_node *x = batch_param(b->x, B), *y = batch_param(b->y, B);
    tsr_node **out = array(m->n + 2, sizeof *out), **p = array(m->n, sizeof *p);
    k->build(m, x, y, &out[0], &out[1]);
    for (int i = 0; i < m->n; i++) p[i] = tsr_var_read(c, m->var[i]);
    MUST(!(o ? tsr_optim_step(o, out[1], NULL) : tsr_grad(c, out[1], m->n, p, out + 2)));
    tsr_fn *f = o ? tsr_fn_end(c, 1, out + 1) : tsr_fn_end(c, m->n + 2, out);
    MUST(f);
    free(out), free(p);
    tsr_scope_end(c, scope);
    return f;
}

static float step(tsr_fn *f, struct batches *b) {
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_node *arg[2] = {batch_value(b->x, b->next), batch_value(b->y, b->next)}, *loss;
    b->next = (b->next + 1) % b->count;
    MUST(!tsr_run(c, f, 2, arg, &loss));
    float v = (float)tsr_read_scalar(c, loss);
    tsr_scope_end(c, scope);
    return v;
}

/* ---- results -----------------------------------------------------------------------------------------------------*/

static tsr_safetensor result(tsr_node *n, const char *prefix, const char *name) {
    size_t length = strlen(prefix) + strlen(name) + 1;
    char *full = array((int)length, 1);
    snprintf(full, length, "%s%s", prefix, name);
    tsr_safetensor t = {.name = full, .dtype = tsr_node_dtype(n), .rank = tsr_node_rank(n)};
    MUST(tsr_type_ints(tsr_node_type(n), t.dim));
    int64_t count = 1;
    for (int i = 0; i < t.rank; i++) count *= t.dim[i];
    MUST(tsr_dtype_bytes(t.dtype, count, &t.bytes));
    void *data = array((int)t.bytes, 1);
    MUST(!tsr_read(c, n, data, t.bytes));
    t.data = data;
    return t;
}

static void probe(tsr_fn *f, const struct model *m, const struct batches *b, tsr_safetensor *out /* (n + 2) */) {
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_node *arg[2] = {batch_value(b->x, 0), batch_value(b->y, 0)}, **r = array(m->n + 2, sizeof *r);
    MUST(!tsr_run(c, f, 2, arg, r));
    out[0] = result(r[0], "", "logits"), out[1] = result(r[1], "", "loss");
    for (int i = 0; i < m->n; i++) out[i + 2] = result(r[i + 2], "grad.", m->name[i]);
    free(r);
    tsr_scope_end(c, scope);
}

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void answer_timings(tsr_fn *f, struct batches *b) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        double begin = now(CLOCK_MONOTONIC), work = now(CLOCK_PROCESS_CPUTIME_ID);
        for (long n = strtol(line, NULL, 10); n > 0; n--) step(f, b);
        printf("%.9f %.9f\n", now(CLOCK_MONOTONIC) - begin, now(CLOCK_PROCESS_CPUTIME_ID) - work);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fputs("usage: parity IN.safetensors OUT.safetensors (bench/parity/parity.py does it)\n", stderr);
        return 2;
    }
    MUST(c = tsr_open(NULL));
    MUST(file = tsr_safetensors_open(c, argv[1]));
    const struct kind *k = &kinds[chosen("model", 2, kind_names)];
    struct model m = {0};
    k->open(&m);
    struct batches b = {tsr_safetensors_find(file, "x"), tsr_safetensors_find(file, "y"), 0, 0};
    MUST(b.x && b.y && b.x->rank > 1 && b.y->rank > 1 && b.x->dim[0] == b.y->dim[0]);
    b.count = b.x->dim[0];

    tsr_safetensor *out = array(m.n + 3, sizeof *out);
    tsr_fn *gradients = make_fn(k, &m, &b, NULL);
    probe(gradients, &m, &b, out);
    tsr_optim_opts opts = optim_opts();
    tsr_optim *o = tsr_optim_new(c, &opts, m.n, m.var, m.name);
    MUST(o);
    tsr_fn *train = make_fn(k, &m, &b, o);
    float *loss = array((int)b.count, sizeof *loss);
    for (int64_t i = 0; i < b.count; i++) loss[i] = step(train, &b);
    out[m.n + 2] = (tsr_safetensor){"losses", TSR_F32, 1, {b.count}, loss, (size_t)b.count * sizeof *loss};
    MUST(!tsr_safetensors_save(c, argv[2], m.n + 3, out, 0, NULL));
    printf("ready %" PRId64 " steps, %d threads\n", b.count, tsr_threads(c));
    fflush(stdout);
    answer_timings(train, &b);

    for (int i = 0; i < m.n + 2; i++) free((void *)out[i].name), free((void *)out[i].data);
    for (int i = 0; i < m.n; i++) tsr_var_free(c, m.var[i]), free((void *)m.name[i]);
    free(out), free(loss), free(m.var), free(m.name);
    tsr_fn_free(c, gradients), tsr_fn_free(c, train);
    tsr_optim_free(o);
    tsr_nn_free(m.net);
    tsr_safetensors_close(file);
    tsr_close(c);
    return 0;
}
