/* env.c: `tessera env`: the environment variables that are read, with what they are set to now. */
#include <string.h>

#include "base/sys.h"
#include "base/vec.h"
#include "cli/verbs.h"

struct options { bool json; };
static const struct cli_option table[] = {
    {"json", 0, CLI_FLAG, offsetof(struct options, json), NULL, 0, 0,
        "one JSON object a line: name, default, value, help"},
};

static void print_text(const tsr_env_info *e) {
    const char *value = env_str(e->name), *fallback = *e->fallback ? e->fallback : "(empty)";
    bool set = strcmp(value, e->fallback) != 0;
    printf("%s%-12s%s default %-8s", term_style(stdout, STYLE_BOLD), e->name, term_style(stdout, STYLE_NONE), fallback);
    if (set) printf(" %snow %s%s", term_style(stdout, STYLE_CYAN), value, term_style(stdout, STYLE_NONE));
    printf("\n    %s\n", e->help);
}

static void print_json(struct str *s, const tsr_env_info *e) {
    const struct { const char *key, *value; } member[] = {
        {"name", e->name}, {"default", e->fallback}, {"value", env_str(e->name)}, {"help", e->help}};
    str_clear(s);
    for (int i = 0; i < 4; i++) {
        str_putc(s, i ? ',' : '{');
        str_json(s, member[i].key), str_putc(s, ':'), str_json(s, member[i].value);
    }
    puts(s->failed ? "" : (str_putc(s, '}'), s->s));
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {0};
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    tsr_ctx *c = o.json ? cli_open(NULL) : NULL;
    struct str s;
    if (o.json && !c) return CLI_FAILED;
    str_init(&s, c);
    for (int i = 0; tsr_env_at(i); i++) {
        if (o.json) print_json(&s, tsr_env_at(i));
        else print_text(tsr_env_at(i));
    }
    str_release(&s);
    tsr_close(c);
    return CLI_OK;
}

const struct cli_verb verb_env = {
    .name = "env", .args = "", .summary = "the environment variables it reads", .option = table,
    .noption = sizeof table / sizeof *table, .run = run,
    .examples = "  tessera env\n  TSR_THREADS=1 tessera env --json\n",
};
