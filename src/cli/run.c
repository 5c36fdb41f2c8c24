/* run.c: `tessera run FILE`: a StableHLO program or an engine run on arrays.
 *
 * Inputs and outputs are NumPy files, one tensor each. What is printed says the type of each result and its first
 * elements. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/program.h"
#include "cli/verbs.h"
#include "formats/npz/npy.h"
#include "tessera/run.h"

struct options {
    struct cli_list input;
    const char *entry, *output, *tier, *device;
    int64_t seed;
    bool raw, verify;
};
#define AT(member) offsetof(struct options, member)
static const struct cli_option table[] = {
    {"input", 'i', CLI_LIST, AT(input), "FILE", 0, 0, "a .npy file for the next parameter (once for each)"},
    {"random", 'r', CLI_INT, AT(seed), "SEED", 0, 9e15, "random values for parameters without a file"},
    {"output-dir", 'o', CLI_TEXT, AT(output), "FOLDER", 0, 0, "write the results there: 0.npy, 1.npy, ..."},
    {"entry", 'e', CLI_TEXT, AT(entry), "NAME", 0, 0, "the function to run (main)"},
    {"tier", 't', CLI_TEXT, AT(tier), "TIER", 0, 0, "vm (compiled; the default) or reference (obvious loops)"},
    {"raw", 0, CLI_FLAG, AT(raw), NULL, 0, 0, "bf16 and f8 stand in files as unsigned integers"},
    {"verify", 0, CLI_FLAG, AT(verify), NULL, 0, 0, "look at the checksum of an engine's constants first"},
    {"device", 'd', CLI_TEXT, AT(device), "NAME", 0, 0, "where to compute (TSR_DEVICE, else cpu)"},
};

static tsr_status write_results(tsr_ctx *c, const struct options *o, int n, tsr_node **out) {
    char path[4096];
    if (mkdir(o->output, 0777) && errno != EEXIST)
        return err_set(c, TSR_EIO, "%s: the folder cannot be made: %s", o->output, strerror(errno));
    tsr_status s = TSR_OK;
    for (int i = 0; i < n && !s; i++) {
        snprintf(path, sizeof path, "%s/%d.npy", o->output, i);
        s = npy_save(c, path, out[i], o->raw);
    }
    return s;
}

static tsr_status run_program(const struct program *p, const struct options *o) {
    tsr_ctx *c = p->c;
    int n = program_results(p);
    tsr_node **out = mem_array(c, (size_t)n + 1, sizeof *out);
    if (!out) return TSR_ENOMEM;
    tsr_status s = TSR_OK;
    if (p->engine && *o->tier == 'r')
        s = err_set(c, TSR_EINVAL, "an engine has no graph for the reference: run the model it was compiled from");
    else if (p->engine) s = o->verify ? tsr_engine_verify(p->engine) : TSR_OK;
    if (!s && p->engine) s = tsr_engine_run(p->engine, p->n, p->arg, out);
    else if (!s) s = (*o->tier == 'v' ? tsr_run : tsr_interpret)(c, p->fn, p->n, p->arg, out);
    for (int i = 0; i < n && !s; i++) {
        char name[32];
        snprintf(name, sizeof name, "result %d", i);
        program_show(c, name, out[i]);
    }
    if (!s && o->output) s = write_results(c, o, n, out);
    mem_array_free(c, out, (size_t)n + 1, sizeof *out);
    return s;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {.tier = "vm", .seed = -1};
    struct program p;
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    if (strcmp(o.tier, "vm") && strcmp(o.tier, "reference"))
        return cli_usage(v, "there is no tier \"%s\": vm, reference", o.tier);
    tsr_ctx *c = cli_open(o.device);
    if (!c) return CLI_FAILED;
    struct program_options po = {o.entry, &o.input, o.seed, o.raw};
    bool ok = program_open(&p, c, argv[0], &po) && !run_program(&p, &o);
    program_close(&p);
    if (!ok) return cli_fail(c);
    tsr_close(c);
    return CLI_OK;
}

const struct cli_verb verb_run = {
    .name = "run", .args = "FILE", .summary = "run a StableHLO program or an engine on NumPy arrays",
    .min_args = 1, .max_args = 1,
    .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "FILE is MLIR text or bytecode, as jax.export and torch_xla write it, or an engine file of\n"
             "tessera compile.\n",
    .examples = "  tessera run f.mlir --input x.npy --input w.npy --output-dir out\n"
                "  tessera run f.mlir --random 0 --tier reference\n"
                "  tessera run model.tsr --input x.npy\n",
};
