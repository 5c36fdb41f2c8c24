/* version.c: `tessera version`, also --version: opens nothing. */
#include "cli/verbs.h"

struct options { bool json; };
static const struct cli_option table[] = {
    {"json", 0, CLI_FLAG, offsetof(struct options, json), NULL, 0, 0, "one JSON object instead of text"},
};

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {0};
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    printf(o.json ? "{\"name\":\"tessera\",\"version\":\"%s\"}\n" : "tessera %s\n", tsr_version());
    return CLI_OK;
}

const struct cli_verb verb_version = {
    .name = "version", .args = "", .summary = "the program's version", .option = table,
    .noption = sizeof table / sizeof *table, .run = run, .examples = "  tessera --version\n  tessera version --json\n",
};
