/* print.c: `tessera print FILE`: a StableHLO program, text or bytecode, as canonical text; an engine as its plan. */
#include <string.h>

#include "cli/program.h"
#include "cli/verbs.h"
#include "formats/stablehlo/read.h"

struct options { bool generic; };
static const struct cli_option table[] = {
    {"generic", 'g', CLI_FLAG, offsetof(struct options, generic), NULL, 0, 0, "every operation in the generic form"},
};

static bool print_modules(tsr_ctx *c, const struct hlo_module *m, bool generic) {
    struct str s;
    str_init(&s, c);
    for (; m; m = m->next) {
        (generic ? hlo_print_generic : hlo_print)(&s, m);
        if (m->next) str_put(&s, "\n// -----\n\n");
    }
    bool ok = !s.failed;
    if (ok) fwrite(s.s, 1, s.n, stdout);
    str_release(&s);
    return ok;
}

bool print_engine(tsr_ctx *c, const tsr_engine *e) {
    char *text = tsr_engine_text(e);
    if (text) printf("%s", text);
    tsr_text_free(c, text);
    return text != NULL;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {0};
    struct program p;
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    tsr_ctx *c = cli_open(NULL);
    if (!c) return CLI_FAILED;
    bool ok = program_read(&p, c, argv[0]);
    if (ok) ok = p.engine ? print_engine(c, p.engine) : print_modules(c, p.modules, o.generic);
    program_close(&p);
    if (!ok) return cli_fail(c);
    tsr_close(c);
    return CLI_OK;
}

const struct cli_verb verb_print = {
    .name = "print", .args = "FILE", .summary = "a StableHLO program as canonical text", .min_args = 1, .max_args = 1,
    .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "FILE is MLIR text or bytecode (any version of StableHLO's portable form). An engine file\n"
             "(tessera compile) is shown as its plan: steps, then slots.\n",
    .examples = "  tessera print f.mlir\n  tessera print f.mlir.bc --generic\n",
};
