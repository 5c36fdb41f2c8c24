/* compile.c: `tessera compile MODEL -o FILE`: a model compiled ahead of time.
 *
 * MODEL is what `tessera run` takes or what `tessera train` has written; the ending of FILE says what it becomes: an
 * engine (.tsr), a shared object (.so) or a C file (.c), the last two with a header beside them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/checkpoint.h"
#include "cli/program.h"
#include "cli/verbs.h"
#include "run/aot.h"
#include "run/engine.h"
#include "tessera/run.h"
#include "tessera/transform.h"

enum { MOST_BATCH = 65536, ENTRIES = 2, SIZES = 32 };

struct options {
    struct cli_list size;
    const char *output, *entry, *name, *blob;
    bool backward, json;
};
#define AT(member) offsetof(struct options, member)
static const struct cli_option table[] = {
    {"output", 'o', CLI_TEXT, AT(output), "FILE", 0, 0, "what to write: FILE.tsr, FILE.so or FILE.c"},
    {"entry", 'e', CLI_TEXT, AT(entry), "NAME", 0, 0, "the function of a StableHLO file (main)"},
    {"size", 's', CLI_LIST, AT(size), "NAME=N", 0, 0, "the value of an unknown size, for a C file (once for each)"},
    {"name", 'n', CLI_TEXT, AT(name), "NAME", 0, 0, "what C names begin with (FILE without its ending)"},
    {"blob", 'b', CLI_TEXT, AT(blob), "FILE", 0, 0, "constants of a C file in a file of their own"},
    {"with-backward", 0, CLI_FLAG, AT(backward), NULL, 0, 0, "the gradient step too, for a C file or shared object"},
    {"json", 0, CLI_FLAG, AT(json), NULL, 0, 0, "the summary as one JSON object"},
};

/* ---- the model -------------------------------------------------------------------------------------------------- */

struct model {
    tsr_ctx *c;
    const struct options *o;
    const char *path;
    struct program program;
    struct checkpoint checkpoint;
    bool trained;                  /* the checkpoint it is */
    int n;
    tsr_fn *fn[ENTRIES];           /* counted */
    struct aot_entry entry[ENTRIES];
    int ninitial;
    struct module_initial initial[CHECKPOINT_PARAMS];
    struct aot_size size[SIZES];
    char name[64], sizes[SIZES][64];
};

static bool ends(const char *s, const char *tail) {
    size_t n = strlen(s), m = strlen(tail);
    return n > m && !strcmp(s + n - m, tail);
}

static bool add_entry(struct model *m, const char *name, const char *about, tsr_fn *f) {
    if (!f) return false;
    m->fn[m->n] = f;
    m->entry[m->n++] = (struct aot_entry){name, about, f};
    return true;
}

/* Where the parameters begin, in host memory. */
static bool list_initial(struct model *m) {
    tsr_var *var[CHECKPOINT_PARAMS];
    if ((m->ninitial = checkpoint_params(&m->checkpoint, var)) < 0) return false;
    for (int i = 0; i < m->ninitial; i++) {
        tsr_node *value = tsr_var_read(m->c, var[i]);
        if (tsr_eval(m->c, 1, &value)) return false;
        m->initial[i] = (struct module_initial){tsr_var_type(var[i]), tsr_buf_data(tsr_node_buf(value))};
    }
    return true;
}

static bool open_checkpoint(struct model *m) {
    m->trained = true;
    if (!checkpoint_open(&m->checkpoint, m->c, m->path)) return false;
    if (!m->o->backward) {
        tsr_fn *f = checkpoint_predict(&m->checkpoint, MOST_BATCH), *closed = f ? engine_freeze(m->c, f, false) : NULL;
        tsr_fn_free(m->c, f);
        return add_entry(m, "run", "probabilities of the classes", closed);
    }
    return list_initial(m) &&
           add_entry(m, "run", "probabilities of the classes", checkpoint_open_predict(&m->checkpoint, MOST_BATCH)) &&
           add_entry(m, "step", "one step of gradient descent: mean cross entropy of the batch, then the new "
               "parameters",
               checkpoint_step(&m->checkpoint, MOST_BATCH));
}

static bool open_program(struct model *m) {
    tsr_ctx *c = m->c;
    if (!program_read(&m->program, c, m->path)) return false;
    if (m->program.engine)
        return err_set(c, TSR_EINVAL, "%s is compiled already: compile the model it was made from", m->path), false;
    if (!program_import(&m->program, m->path, m->o->entry)) return false;
    if (!add_entry(m, "run", tsr_fn_name(m->program.fn), engine_freeze(c, m->program.fn, false))) return false;
    return !m->o->backward || add_entry(m, "grad", "the first result, then its gradient by every float input",
        tsr_grad_fn(c, m->fn[0], 0, NULL, true));
}

static void model_close(struct model *m) {
    for (int i = 0; i < m->n; i++) tsr_fn_free(m->c, m->fn[i]);
    checkpoint_close(&m->checkpoint);
    program_close(&m->program);
}

/* ---- what is said about it -------------------------------------------------------------------------------------- */

static int64_t file_bytes(const char *path) {
    struct stat s;
    return path && !stat(path, &s) ? (int64_t)s.st_size : 0;
}

static void count_steps(const tsr_plan *p, int *kernels, int *library) {
    for (size_t i = 0; i < p->step.n; i++) {
        *kernels += p->step.v[i].kind == STEP_KERNEL, *library += p->step.v[i].kind == STEP_LIB;
        for (int j = 0; j < p->step.v[i].nsub; j++) count_steps(p->step.v[i].sub[j], kernels, library);
    }
}

static void say(const struct model *m, const char *kind, const char *word, const struct aot_info *i) {
    printf(m->o->json ? "{\"output\":\"%s\",\"kind\":\"%s\",\"bytes\":%lld,\"kernels\":%d,\"library_calls\":%d,"
                        "\"constant_bytes\":%zu,\"arena_bytes\":%zu,\"operations\":%.0f}\n"
                      : "%s: %s of %lld bytes: %d kernels, %d library calls, %zu bytes of constants",
        m->o->output, m->o->json ? kind : word, (long long)file_bytes(m->o->output), i->kernels, i->library_calls,
        i->constant_bytes, i->arena_bytes, i->flops);
    if (m->o->json) return;
    if (i->arena_bytes) printf(", an arena of %zu bytes, %.0f operations a run", i->arena_bytes, i->flops);
    printf("\n");
    for (int e = 0; e < m->n; e++) {
        printf("  %s: %s\n", m->entry[e].name, m->entry[e].about);
        for (int j = 0; j < tsr_fn_params(m->fn[e]); j++)
            printf("    input %d  %s\n", j, type_text(m->c, tsr_fn_param_type(m->fn[e], j)));
        for (int j = 0; j < tsr_fn_results(m->fn[e]); j++)
            printf("    result %d %s\n", j, type_text(m->c, tsr_fn_result_type(m->fn[e], j)));
    }
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static bool write_engine(struct model *m) {
    struct aot_info info = {.kernels = 0};
    if (tsr_engine_save(m->c, m->o->output, m->fn[0])) return false;
    tsr_engine *e = tsr_engine_open(m->c, m->o->output); /* it can be read */
    if (!e) return false;
    count_steps(engine_plan(e), &info.kernels, &info.library_calls);
    info.constant_bytes = (size_t)tsr_engine_constant_bytes(e);
    tsr_engine_close(e);
    say(m, "engine", "an engine", &info);
    return true;
}

/* The file's name without folder and ending, as an identifier. */
static void default_name(struct model *m) {
    const char *base = strrchr(m->o->output, '/');
    size_t n = 0;
    for (base = base ? base + 1 : m->o->output; *base && *base != '.' && n + 2 < sizeof m->name; base++) {
        if (!n && isdigit((unsigned char)*base)) m->name[n++] = '_';
        m->name[n++] = isalnum((unsigned char)*base) ? *base : '_';
    }
    if (!n) m->name[n++] = 'm';
    m->name[n] = 0;
}

static bool read_sizes(struct model *m) {
    for (int i = 0; i < m->o->size.n; i++) {
        const char *text = m->o->size.v[i], *eq = strchr(text, '=');
        char *end = NULL;
        long long v = eq ? strtoll(eq + 1, &end, 10) : 0;
        if (!eq || i >= SIZES || eq - text >= (long)sizeof m->sizes[i] || end == eq + 1 || *end)
            return err_set(m->c, TSR_EINVAL, "--size takes NAME=NUMBER, not \"%s\"", text), false;
        memcpy(m->sizes[i], text, (size_t)(eq - text));
        m->size[i] = (struct aot_size){m->sizes[i], v};
    }
    return true;
}

static bool write_c(struct model *m, bool shared) {
    const struct options *o = m->o;
    struct aot_info info;
    default_name(m);
    if (!read_sizes(m)) return false;
    if (shared && (o->size.n || o->blob))
        return err_set(m->c, TSR_EINVAL, "a shared object keeps its sizes open and its constants inside: leave out %s",
            o->size.n ? "--size" : "--blob"), false;
    struct aot_opts a = {.path = o->output, .name = o->name ? o->name : m->name, .source = m->path, .blob = o->blob,
        .nsize = o->size.n, .size = m->size, .ninitial = m->ninitial, .initial = m->initial};
    if ((shared ? aot_so : aot_c)(m->c, &a, m->n, m->entry, &info)) return false;
    say(m, shared ? "shared object" : "C file", shared ? "a shared object" : "a C file", &info);
    return true;
}

static bool write_model(struct model *m) {
    if (ends(m->o->output, ".c")) return write_c(m, false);
    if (ends(m->o->output, ".so")) return write_c(m, true);
    if (m->o->size.n || m->o->blob || m->o->name || m->o->backward)
        return err_set(m->c, TSR_EINVAL, "an engine keeps its sizes open and has one entry: leave out %s",
            m->o->size.n ? "--size" : m->o->blob ? "--blob" : m->o->name ? "--name" : "--with-backward"), false;
    return write_engine(m);
}

/* ---- the verb --------------------------------------------------------------------------------------------------- */

static bool is_identifier(const char *s) {
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    while (isalnum((unsigned char)*s) || *s == '_') s++;
    return !*s;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {.size.n = 0};
    static struct model m; /* large */
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    if (!o.output) return cli_usage(v, "say what to write: -o FILE.tsr, FILE.so or FILE.c");
    if (!ends(o.output, ".tsr") && !ends(o.output, ".so") && !ends(o.output, ".c"))
        return cli_usage(v, "\"%s\" ends with none of .tsr .so .c: that says what to write", o.output);
    if (o.name && (!is_identifier(o.name) || strlen(o.name) > 60))
        return cli_usage(v, "\"%s\" is no C identifier of at most 60 letters", o.name);
    if (!(m.c = m.checkpoint.c = m.program.c = cli_open(NULL))) return CLI_FAILED;
    m.o = &o, m.path = argv[0];
    bool ok = (ends(m.path, ".safetensors") ? open_checkpoint(&m) : open_program(&m)) && write_model(&m);
    model_close(&m);
    if (!ok) return cli_fail(m.c);
    tsr_close(m.c);
    return CLI_OK;
}

const struct cli_verb verb_compile = {
    .name = "compile", .args = "MODEL", .summary = "compile a model ahead of time: engine, shared object, C file",
    .min_args = 1, .max_args = 1, .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "MODEL is a StableHLO file (text or bytecode) or a file that tessera train has written.\n"
             "  FILE.tsr  an engine: tessera run FILE.tsr, or tsr_engine_open of tessera/engine.h; no compiler is "
                 "needed\n"
             "  FILE.so   a shared object that needs nothing of tessera, by the system's C compiler, and FILE.h\n"
             "  FILE.c    one C99 file for any compiler and machine, with a static arena, and FILE.h\n"
             "Engines and shared objects serve every size; a C file is for the sizes that --size gives. docs/aot.md "
                 "says\n"
             "more.\n",
    .examples = "  tessera compile digits.safetensors -o digits.tsr\n"
                "  tessera compile digits.safetensors -o digits.c --size batch=1 --with-backward\n"
                "  tessera compile f.mlir -o f.so\n"
                "  tessera compile f.mlir -o f.tsr && tessera run f.tsr --input x.npy\n",
};
