/* compile.c: `tessera compile MODEL -o FILE`: a model compiled ahead of time.
 *
 * MODEL is what `tessera run` takes or what `tessera train` has written; the ending of FILE says what it becomes. */
#include <string.h>
#include <sys/stat.h>

#include "cli/checkpoint.h"
#include "cli/program.h"
#include "cli/verbs.h"
#include "run/engine.h"

enum { MOST_BATCH = 65536 };

struct options {
    const char *output, *entry;
    bool json;
};
#define AT(member) offsetof(struct options, member)
static const struct cli_option table[] = {
    {"output", 'o', CLI_TEXT, AT(output), "FILE", 0, 0, "what to write: FILE.tsr"},
    {"entry", 'e', CLI_TEXT, AT(entry), "NAME", 0, 0, "the function of a StableHLO file (main)"},
    {"json", 0, CLI_FLAG, AT(json), NULL, 0, 0, "the summary as one JSON object"},
};

/* ---- the model -------------------------------------------------------------------------------------------------- */

struct model {
    tsr_ctx *c;
    struct program program;
    struct checkpoint checkpoint;
    tsr_fn *fn; /* counted */
};

static bool ends(const char *s, const char *tail) {
    size_t n = strlen(s), m = strlen(tail);
    return n > m && !strcmp(s + n - m, tail);
}

static bool model_open(struct model *m, const char *path, const struct options *o) {
    if (ends(path, ".safetensors"))
        return checkpoint_open(&m->checkpoint, m->c, path) &&
               (m->fn = checkpoint_predict(&m->checkpoint, MOST_BATCH)) != NULL;
    if (!program_read(&m->program, m->c, path)) return false;
    if (m->program.engine)
        return err_set(m->c, TSR_EINVAL, "%s is compiled already: compile the model it was made from", path), false;
    if (!program_import(&m->program, path, o->entry)) return false;
    m->fn = tsr_fn_keep(m->program.fn);
    return true;
}

static void model_close(struct model *m) {
    tsr_fn_free(m->c, m->fn);
    checkpoint_close(&m->checkpoint);
    program_close(&m->program);
}

/* ---- an engine -------------------------------------------------------------------------------------------------- */

static void count_steps(const tsr_plan *p, int64_t *kernels, int64_t *library) {
    for (size_t i = 0; i < p->step.n; i++) {
        *kernels += p->step.v[i].kind == STEP_KERNEL, *library += p->step.v[i].kind == STEP_LIB;
        for (int j = 0; j < p->step.v[i].nsub; j++) count_steps(p->step.v[i].sub[j], kernels, library);
    }
}

static bool write_engine(struct model *m, const struct options *o) {
    if (tsr_engine_save(m->c, o->output, m->fn)) return false;
    tsr_engine *e = tsr_engine_open(m->c, o->output);
    struct stat st;
    int64_t kernels = 0, library = 0;
    if (!e || stat(o->output, &st)) return false;
    count_steps(engine_plan(e), &kernels, &library);
    printf(o->json ? "{\"output\":\"%s\",\"kind\":\"engine\",\"kernels\":%lld,\"library_calls\":%lld,\"bytes\":%lld,"
                     "\"constant_bytes\":%lld}\n"
                   : "%s: an engine of %lld kernels and %lld library calls, %lld bytes, %lld of them constants\n",
        o->output, (long long)kernels, (long long)library, (long long)st.st_size,
        (long long)tsr_engine_constant_bytes(e));
    if (!o->json)
        for (int i = 0; i < tsr_engine_params(e) + tsr_engine_results(e); i++) {
            int r = i - tsr_engine_params(e);
            if (r < 0) printf("  input %d  %s %s\n", i, type_text(m->c, tsr_engine_param_type(e, i)),
                tsr_engine_param_name(e, i));
            else printf("  result %d %s\n", r, type_text(m->c, tsr_engine_result_type(e, r)));
        }
    tsr_engine_close(e);
    return true;
}

/* ---- the verb --------------------------------------------------------------------------------------------------- */

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {0};
    struct model m = {0};
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    if (!o.output) return cli_usage(v, "say what to write: -o FILE.tsr");
    if (!ends(o.output, ".tsr")) return cli_usage(v, "\"%s\" ends with no .tsr: that says what to write", o.output);
    if (!(m.c = m.checkpoint.c = m.program.c = cli_open(NULL))) return CLI_FAILED;
    bool ok = model_open(&m, argv[0], &o) && write_engine(&m, &o);
    model_close(&m);
    if (!ok) return cli_fail(m.c);
    tsr_close(m.c);
    return CLI_OK;
}

const struct cli_verb verb_compile = {
    .name = "compile", .args = "MODEL", .summary = "compile a model ahead of time: an engine file", .min_args = 1,
    .max_args = 1, .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "MODEL is a StableHLO file (text or bytecode) or a file that tessera train has written.\n"
             "FILE.tsr is an engine: tessera run FILE.tsr, or tsr_engine_open of tessera/engine.h.\n",
    .examples = "  tessera compile digits.safetensors -o digits.tsr\n"
                "  tessera compile f.mlir -o f.tsr && tessera run f.tsr --input x.npy\n",
};
