/* main.c: the program: the table of verbs, and what is common to all.
 *
 * Nothing is opened before a verb asks for it, so --version and --help take no longer than the start of a process.
 * Results go to standard output, progress and errors to standard error. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/verbs.h"

const struct cli_verb *const cli_verbs[] = {&verb_train, &verb_predict, &verb_run, &verb_print, &verb_verify,
    &verb_plan, &verb_compile, &verb_conformance, &verb_devices, &verb_bench, &verb_env,
    &verb_version, &verb_help, NULL};

const struct cli_verb *cli_find(const char *name) {
    for (int i = 0; cli_verbs[i]; i++) {
        if (!strcmp(cli_verbs[i]->name, name)) return cli_verbs[i];
    }
    return NULL;
}

/* Levenshtein distance of two short words. */
static size_t distance(const char *a, const char *b) {
    size_t n = strlen(b), row[32];
    if (strlen(a) > 30 || n > 30) return 99;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (; *a; a++) {
        size_t corner = row[0]++;
        for (size_t j = 1; j <= n; j++) {
            size_t best = corner + (*a != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            corner = row[j], row[j] = best;
        }
    }
    return row[n];
}

int cli_unknown_verb(const char *name) {
    const struct cli_verb *near = NULL;
    size_t least = 3;
    for (int i = 0; cli_verbs[i]; i++) {
        size_t d = distance(name, cli_verbs[i]->name);
        if (d < least) least = d, near = cli_verbs[i];
    }
    fprintf(stderr, "tessera: there is no verb \"%s\"", name);
    if (near) fprintf(stderr, "; did you mean \"%s\"?", near->name);
    fprintf(stderr, "\nSee: tessera --help\n");
    return CLI_USAGE;
}

static int run(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "--help";
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) return cli_print_help(stdout, NULL), CLI_OK;
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) word = "version";
    const struct cli_verb *v = cli_find(word);
    return v ? v->run(v, argc - 2, argv + 2) : cli_unknown_verb(word);
}

int main(int argc, char **argv) {
    int code = run(argc, argv);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "tessera: the output could not be written\n");
        if (code == CLI_OK) code = CLI_FAILED;
    }
    return code;
}
