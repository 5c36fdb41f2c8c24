/* options.c: parsing of options by table, and the help made from the same tables.
 *
 * --name value, --name=value, -k value, -kvalue; "--" ends options; everything else is an argument. Numbers must be
 * whole words inside their bounds. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

int cli_usage(const struct cli_verb *v, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "tessera %s: ", v->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\nSee: tessera %s --help\n", v->name);
    va_end(ap);
    return CLI_USAGE;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static bool to_double(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && !isnan(*out);
}

static bool to_int(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && !errno;
}

static int append(const struct cli_verb *v, const struct cli_option *o, const char *text, struct cli_list *out) {
    if (out->n == CLI_LIST_MAX) return cli_usage(v, "--%s may be given %d times at most", o->name, CLI_LIST_MAX);
    out->v[out->n++] = text;
    return CLI_OK;
}

static int store(const struct cli_verb *v, const struct cli_option *o, const char *text, char *out) {
    double d = 0;
    int64_t i = 0;
    switch (o->kind) {
    case CLI_FLAG: *(bool *)(out + o->at) = true; return CLI_OK;
    case CLI_TEXT: *(const char **)(out + o->at) = text; return CLI_OK;
    case CLI_LIST: return append(v, o, text, (struct cli_list *)(void *)(out + o->at));
    case CLI_INT:
        if (!to_int(text, &i) || i < o->lo || i > o->hi) break;
        *(int64_t *)(out + o->at) = i;
        return CLI_OK;
    case CLI_FLOAT:
        if (!to_double(text, &d) || d < o->lo || d > o->hi) break;
        *(double *)(out + o->at) = d;
        return CLI_OK;
    }
    return cli_usage(v, "--%s takes %s from %.10g to %.10g, not \"%s\"", o->name,
        o->kind == CLI_INT ? "a whole number" : "a number", o->lo, o->hi, text);
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

static const struct cli_option *find_long(const struct cli_verb *v, const char *name, size_t n) {
    for (int i = 0; i < v->noption; i++) {
        if (strlen(v->option[i].name) == n && !strncmp(v->option[i].name, name, n)) return &v->option[i];
    }
    return NULL;
}

static const struct cli_option *find_short(const struct cli_verb *v, char key) {
    for (int i = 0; i < v->noption; i++) {
        if (v->option[i].key == key) return &v->option[i];
    }
    return NULL;
}

/* One option at argv[*i]; its value may be the next word. */
static int parse_option(const struct cli_verb *v, int argc, char **argv, int *i, char *out) {
    const char *word = argv[*i], *value = NULL;
    bool is_long = word[1] == '-';
    const struct cli_option *o;
    if (is_long) {
        size_t n = strcspn(word + 2, "=");
        o = find_long(v, word + 2, n);
        if (word[2 + n] == '=') value = word + 3 + n;
    } else {
        o = find_short(v, word[1]);
        if (word[2]) value = word + 2;
    }
    if (!o) return cli_usage(v, "there is no option %s", word);
    if (o->kind == CLI_FLAG && value) return cli_usage(v, "--%s takes no value", o->name);
    if (o->kind != CLI_FLAG && !value) {
        if (*i + 1 >= argc) return cli_usage(v, "--%s needs a value (%s)", o->name, o->value);
        value = argv[++*i];
    }
    return store(v, o, value, out);
}

bool cli_parse(const struct cli_verb *v, int *argc, char **argv, void *out, int *code) {
    int rest = 0;
    bool options = true;
    *code = CLI_OK;
    for (int i = 0; i < *argc; i++) {
        char *word = argv[i];
        if (!options || word[0] != '-' || !word[1]) argv[rest++] = word;
        else if (!strcmp(word, "--")) options = false;
        else if (!strcmp(word, "--help") || !strcmp(word, "-h")) return cli_print_help(stdout, v), false;
        else if ((*code = parse_option(v, *argc, argv, &i, out))) return false;
    }
    *argc = rest;
    if (rest < v->min_args) *code = cli_usage(v, "it needs %s", v->args);
    if (rest > v->max_args) *code = cli_usage(v, "\"%s\" is one argument too many", argv[v->max_args]);
    return *code == CLI_OK;
}

/* ---- help ------------------------------------------------------------------------------------------------------- */

static void print_option(FILE *to, const struct cli_option *o) {
    char left[48], key[8] = "    ";
    if (o->key) snprintf(key, sizeof key, "-%c, ", o->key);
    snprintf(left, sizeof left, "%s--%s%s%s", key, o->name, o->value ? " " : "", o->value ? o->value : "");
    fprintf(to, "  %-26s %s\n", left, o->help);
}

static void print_verb_help(FILE *to, const struct cli_verb *v) {
    fprintf(to, "tessera %s: %s\n\nUsage: tessera %s%s%s%s\n", v->name, v->summary, v->name,
        v->noption ? " [OPTIONS]" : "", *v->args ? " " : "", v->args);
    if (v->about) fprintf(to, "\n%s", v->about);
    fprintf(to, "\nOptions:\n");
    for (int i = 0; i < v->noption; i++) print_option(to, &v->option[i]);
    fprintf(to, "  %-26s %s\n", "-h, --help", "this text");
    if (v->examples) fprintf(to, "\nExamples:\n%s", v->examples);
}

void cli_print_help(FILE *to, const struct cli_verb *v) {
    if (v) {
        print_verb_help(to, v);
        return;
    }
    const char *bold = term_style(to, STYLE_BOLD), *none = term_style(to, STYLE_NONE);
    fprintf(to, "%sTessera%s %s: train, compile and use neural networks in one small native program.\n\n", bold, none,
        tsr_version());
    fprintf(to, "Usage: tessera VERB [OPTIONS] [ARGUMENTS]\n\n");
    for (int i = 0; cli_verbs[i]; i++) fprintf(to, "  %s%-12s%s %s\n", bold, cli_verbs[i]->name, none,
        cli_verbs[i]->summary);
    fprintf(to, "\nStart here:\n"
        "  tessera train digits            train a network on the built-in digits (seconds)\n"
        "  tessera predict                 show what it sees in digits it has not seen before\n"
        "  tessera VERB --help             the options and examples of a verb\n\n"
        "Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted (a checkpoint was written).\n");
}
