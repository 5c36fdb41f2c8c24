/* plan.c: `tessera plan [GRAPH|FILE]`: what a graph becomes: its kernels, bytes and memory, with and without fusion.
 *
 * The graphs are small known ones; nothing is run and nothing is allocated for them (device null), so the 12-layer GPT
 * costs no more than its compilation. Without a name: the table of all. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "cli/program.h"
#include "cli/verbs.h"
#include "tessera/models.h"
#include "tessera/ops.h"
#include "tessera/optim.h"
#include "tessera/run.h"
#include "tessera/tile.h"
#include "tessera/transform.h"

enum { PARAMS_MAX = 256, BATCH = 32 };

static const tsr_type *f32(tsr_ctx *c, int rank, int64_t a, int64_t b) {
    return tsr_type_dims(c, TSR_F32, rank, (int64_t[]){a, b});
}

/* ---- graphs: each adds to the open fn and gives its results; net is the digits convnet -------------------------- */

static int softmax_linear(tsr_ctx *c, tsr_nn *net, tsr_node **out) {
    (void)net;
    tsr_node *x = tsr_param(c, f32(c, 2, 256, 512), "x"), *w = tsr_param(c, f32(c, 2, 512, 1000), "w");
    tsr_node *b = tsr_param(c, f32(c, 1, 1000, 0), "b");
    out[0] = tsr_softmax(c, tsr_add(c, tsr_matmul(c, x, w), b), -1);
    return 1;
}

static int norm_gelu(tsr_ctx *c, tsr_nn *net, tsr_node **out) {
    (void)net;
    tsr_node *x = tsr_param(c, f32(c, 2, 4096, 1024), "x"), *w = tsr_param(c, f32(c, 1, 1024, 0), "w");
    tsr_node *b = tsr_param(c, f32(c, 1, 1024, 0), "b");
    out[0] = tsr_gelu(c, tsr_layer_norm(c, x, 1, w, b, 1e-5), false);
    return 1;
}

/* The loss, and every parameter one step of gradient descent further. */
static int with_step(tsr_ctx *c, tsr_node *loss, int n, tsr_node **p, tsr_node **out) {
    tsr_node **g = out + 1;
    out[0] = loss;
    tsr_grad(c, loss, n, p, g);
    for (int i = 0; i < n; i++) g[i] = tsr_sub(c, p[i], tsr_mul(c, g[i], tsr_num(c, g[i], 0.01)));
    return n + 1;
}

static int mlp_step(tsr_ctx *c, tsr_nn *net, tsr_node **out) {
    (void)net;
    tsr_node *p[4] = {tsr_param(c, f32(c, 2, 784, 256), "w1"), tsr_param(c, f32(c, 1, 256, 0), "b1"),
        tsr_param(c, f32(c, 2, 256, 10), "w2"), tsr_param(c, f32(c, 1, 10, 0), "b2")};
    tsr_node *x = tsr_param(c, f32(c, 2, 128, 784), "x");
    tsr_node *y = tsr_param(c, tsr_type_dims(c, TSR_I32, 1, (int64_t[]){128}), "y");
    tsr_node *h = tsr_relu(c, tsr_add(c, tsr_matmul(c, x, p[0]), p[1]));
    tsr_node *logits = tsr_add(c, tsr_matmul(c, h, p[2]), p[3]);
    return with_step(c, tsr_cross_entropy(c, logits, y, 0, INT64_MIN, TSR_LOSS_MEAN), 4, p, out);
}

static int convnet_step(tsr_ctx *c, tsr_nn *net, tsr_node **out) {
    tsr_node *x = tsr_param(c, tsr_type_dims(c, TSR_F32, 4, (int64_t[]){BATCH, 1, 8, 8}), "x"), *p[PARAMS_MAX];
    tsr_node *y = tsr_param(c, tsr_type_dims(c, TSR_I32, 1, (int64_t[]){BATCH}), "y");
    tsr_nn_param info;
    int n = 0;
    tsr_node *loss = tsr_cross_entropy(c, tsr_nn_forward(net, x, NULL), y, 0, INT64_MIN, TSR_LOSS_MEAN);
    for (; n < PARAMS_MAX && tsr_nn_at(net, n, &info); n++) p[n] = tsr_var_read(c, info.var);
    return with_step(c, loss, n, p, out);
}

static int gpt_step(tsr_ctx *c, tsr_nn *net, tsr_node **out) {
    (void)net;
    const tsr_gpt m = {.vocab = 1024, .context = 64, .layers = 12, .heads = 12, .width = 768};
    int n = tsr_gpt_params(&m);
    tsr_node *p[PARAMS_MAX];
    for (int i = 0; i < n; i++) {
        char name[64];
        int64_t dim[2];
        int rank = tsr_gpt_param(&m, i, name, dim);
        p[i] = tsr_param(c, tsr_type_dims(c, TSR_F32, rank, dim), name);
    }
    const tsr_type *tokens = tsr_type_dims(c, TSR_I32, 2, (int64_t[]){4, 64});
    tsr_node *token = tsr_param(c, tokens, "token"), *target = tsr_param(c, tokens, "target");
    return with_step(c, tsr_gpt_loss(c, &m, p, token, target), n, p, out);
}

static const struct graph {
    const char *name, *about;
    int (*build)(tsr_ctx *c, tsr_nn *net, tsr_node **out);
} graphs[] = {
    {"softmax", "softmax(x w + b), 256x512 by 512x1000", softmax_linear},
    {"norm", "gelu(layer_norm(x)), 4096x1024", norm_gelu},
    {"mlp", "SGD step of a 784-256-10 net, batch 128", mlp_step},
    {"convnet", "SGD step of the digits convnet, batch 32", convnet_step},
    {"gpt", "SGD step of a 12-layer GPT of width 768", gpt_step},
};
enum { GRAPHS = sizeof graphs / sizeof *graphs };

static tsr_fn *build(tsr_ctx *c, const struct graph *g) {
    tsr_node *out[PARAMS_MAX + 1];
    tsr_nn *net = tsr_convnet(c, 8, 8, 10); /* variables are made outside fns */
    tsr_fn *f = net && !tsr_fn_begin(c, g->name) ? tsr_fn_end(c, g->build(c, net, out), out) : NULL;
    tsr_nn_free(net);
    return f;
}

/* ---- the verb --------------------------------------------------------------------------------------------------- */

struct options { bool json, text; };
static const struct cli_option table[] = {
    {"text", 't', CLI_FLAG, offsetof(struct options, text), NULL, 0, 0, "the graph itself before its plan"},
    {"json", 0, CLI_FLAG, offsetof(struct options, json), NULL, 0, 0, "one JSON object a line"},
};

static void print_info(const struct graph *g, const tsr_plan_info *i, bool json) {
    const char *text = json
        ? "{\"graph\":\"%s\",\"kernels\":%d,\"library_calls\":%d,\"bytes\":%.0f,\"flops\":%.0f,\"arena\":%.0f,"
          "\"bound\":%.0f}\n"
        : "%-9s %8d %8d %12.2f %12.2f %10.2f %10.2f\n";
    double arena = (double)i->arena_bytes, bound = (double)i->arena_bound, k = json ? 1 : 1e-6;
    printf(text, g->name, i->kernels, i->library_calls, i->bytes_moved * k, i->flops * k, arena * k, bound * k);
}

/* Measures one graph; with details its plan (and text) is printed. */
static int show(const struct graph *g, const struct options *o, bool details) {
    tsr_ctx *c = cli_open("null");
    tsr_plan_info info;
    if (!c) return CLI_FAILED;
    tsr_fn *f = build(c, g);
    tsr_status s = f ? tsr_plan_measure(c, f, &info) : tsr_error_status(c);
    char *fn = !s && o->text ? tsr_fn_print(c, f) : NULL, *plan = !s && details && !o->json ? tsr_plan_text(c, f)
        : NULL;
    if (fn) puts(fn);
    if (plan) puts(plan);
    if (!s && !plan) print_info(g, &info, o->json);
    tsr_text_free(c, fn), tsr_text_free(c, plan);
    tsr_fn_free(c, f);
    if (s || tsr_error_status(c)) return cli_fail(c);
    tsr_close(c);
    return CLI_OK;
}

/* The plan of an engine file, or of a StableHLO program. */
static int show_file(const char *path) {
    struct program p;
    tsr_ctx *c = cli_open(NULL);
    if (!c) return CLI_FAILED;
    bool ok = program_read(&p, c, path);
    if (ok && p.engine) ok = print_engine(c, p.engine);
    else if (ok) {
        char *text = program_import(&p, path, NULL) ? tsr_plan_text(c, p.fn) : NULL;
        if (text) puts(text);
        tsr_text_free(c, text);
        ok = text != NULL;
    }
    program_close(&p);
    if (!ok) return cli_fail(c);
    tsr_close(c);
    return CLI_OK;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {0};
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    if (!argc && !o.json)
        printf("%-9s %8s %8s %12s %12s %10s %10s\n", "graph", "kernels", "library", "MB moved", "Mflop", "arena MB",
            "bound MB");
    for (int i = 0; i < GRAPHS && !code; i++) {
        if (!argc) code = show(&graphs[i], &o, false);
        else if (!strcmp(argv[0], graphs[i].name)) return show(&graphs[i], &o, true);
    }
    if (argc && strchr(argv[0], '.')) return show_file(argv[0]);
    return argc ? cli_usage(v, "there is no graph \"%s\": softmax, norm, mlp, convnet, gpt, or a file", argv[0]) : code;
}

const struct cli_verb verb_plan = {
    .name = "plan", .args = "[GRAPH|FILE]", .summary = "the kernels, bytes and memory that graphs become", .max_args =
        1,
    .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "GRAPH is softmax, norm, mlp, convnet or gpt; without one, a line for each. FILE is a StableHLO program\n"
             "or an engine file. Nothing is run.\n"
             "TSR_FUSE=0 shows one kernel for each operation instead.\n",
    .examples = "  tessera plan\n  TSR_FUSE=0 tessera plan\n  tessera plan norm --text\n",
};
