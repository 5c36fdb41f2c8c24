/* program.h: a file as something with arguments that runs: a StableHLO program, or an engine file that tessera compile
 * has written. What run, verify and compile share. */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include "base/sys.h"
#include "cli/cli.h"
#include "formats/stablehlo/import.h"
#include "tessera/engine.h"

struct program {
    tsr_ctx *c;
    struct file_map map;
    struct hlo_module *modules;       /* of the file */
    const struct hlo_module *m;       /* the one with the entry */
    tsr_fn *fn;                       /* NULL: the file is an engine */
    tsr_engine *engine;               /* or NULL */
    hlo_origins origins;
    int n;
    tsr_node **arg;                   /* (n) */
};
struct program_options {
    const char *entry;             /* NULL: main, or the only function */
    const struct cli_list *input;  /* .npy files, one for each parameter in order */
    int64_t seed;                  /* -1: none; else parameters without a file are random */
    bool raw;                      /* bf16 and f8 stand in the files as unsigned integers */
};

/* Reads the modules of a file, or opens the engine. False: an error is recorded. program_close releases what was
 * opened, in every case. */
bool program_read(struct program *p, tsr_ctx *c, const char *path);
/* The file's entry as a fn, p->fn: after program_read of modules. */
bool program_import(struct program *p, const char *path, const char *entry);
bool program_open(struct program *p, tsr_ctx *c, const char *path, const struct program_options *o);
void program_close(struct program *p);
const char *program_name(const struct program *p);
int program_params(const struct program *p);
int program_results(const struct program *p);
const tsr_type *program_param_type(const struct program *p, int i);

bool print_engine(tsr_ctx *c, const tsr_engine *e); /* print.c: its plan; false: error recorded */
/* One line: name, type and the first elements of an evaluated tensor. */
void program_show(tsr_ctx *c, const char *name, tsr_node *value);

#endif
