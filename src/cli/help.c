/* help.c: `tessera help [VERB]`. */
#include "cli/verbs.h"

static int run(const struct cli_verb *v, int argc, char **argv) {
    int code;
    if (!cli_parse(v, &argc, argv, NULL, &code)) return code;
    const struct cli_verb *about = argc ? cli_find(argv[0]) : NULL;
    if (argc && !about) return cli_unknown_verb(argv[0]);
    cli_print_help(stdout, about);
    return CLI_OK;
}

const struct cli_verb verb_help = {
    .name = "help", .args = "[VERB]", .summary = "what the program does, or one of its verbs", .max_args = 1,
    .run = run,
    .examples = "  tessera help train\n",
};
