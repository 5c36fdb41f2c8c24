/* plan.c: `tessera plan [GRAPH|FILE]`: what a graph becomes: its kernels, bytes and memory, with and without fusion.
 *
 * The graphs are small known ones; nothing is run and nothing is allocated for them (device null), so the 12-layer GPT
 * costs no more than its compilation; --dump writes what `make replay` compares. Without a name: the table of all. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "cli/dump.h"
#include "cli/program.h"
#include "cli/verbs.h"
#include "models/graphs.h"
#include "tessera/run.h"

/* ---- the verb --------------------------------------------------------------------------------------------------- */

struct options { bool json, text; const char *dump; };
static const struct cli_option table[] = {
    {"text", 't', CLI_FLAG, offsetof(struct options, text), NULL, 0, 0, "the graph itself before its plan"},
    {"dump", 0, CLI_TEXT, offsetof(struct options, dump), "DIR", 0, 0,
        "write plans and the text of their kernels (C, OpenCL C, CUDA C) to files there"},
    {"json", 0, CLI_FLAG, offsetof(struct options, json), NULL, 0, 0, "one JSON object a line"},
};

static void print_info(const struct model_graph *g, const tsr_plan_info *i, bool json) {
    const char *text = json
        ? "{\"graph\":\"%s\",\"kernels\":%d,\"library_calls\":%d,\"bytes\":%.0f,\"flops\":%.0f,\"arena\":%.0f,"
          "\"bound\":%.0f}\n"
        : "%-12s %8d %8d %12.2f %12.2f %10.2f %10.2f\n";
    double arena = (double)i->arena_bytes, bound = (double)i->arena_bound, k = json ? 1 : 1e-6;
    printf(text, g->name, i->kernels, i->library_calls, i->bytes_moved * k, i->flops * k, arena * k, bound * k);
}

/* Measures one graph; with details its plan (and text) is printed. */
static int show(const struct model_graph *g, const struct options *o, bool details) {
    tsr_ctx *c = cli_open("null");
    tsr_plan_info info;
    if (!c) return CLI_FAILED;
    tsr_fn *f = model_graph_build(c, g, NULL, NULL);
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
    if (!argc && !o.json && !o.dump)
        printf("%-12s %8s %8s %12s %12s %10s %10s\n", "graph", "kernels", "library", "MB moved", "Mflop", "arena MB",
            "bound MB");
    const struct model_graph *g;
    for (int i = 0; (g = model_graph_at(i)) && !code; i++) {
        if (argc && strcmp(argv[0], g->name)) continue;
        code = o.dump ? dump_graph(g, o.dump) : show(g, &o, argc > 0);
        if (argc) return code;
    }
    if (argc && strchr(argv[0], '.')) return show_file(argv[0]);
    if (!argc) return code;
    return cli_usage(v, "there is no graph \"%s\": softmax, norm, mlp, convnet, resnet, resnet-step, gpt, or a file",
        argv[0]);
}

const struct cli_verb verb_plan = {
    .name = "plan", .args = "[GRAPH|FILE]", .summary = "the kernels, bytes and memory that graphs become", .max_args =
        1,
    .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "GRAPH is softmax, norm, mlp, convnet, resnet, resnet-step or gpt; without one, a line for each. FILE is\n"
             "a StableHLO program or an engine file. Nothing is run.\n"
             "TSR_FUSE=0 shows one kernel for each operation instead.\n",
    .examples = "  tessera plan\n  TSR_FUSE=0 tessera plan\n  tessera plan norm --text\n",
};
