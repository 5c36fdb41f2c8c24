/* cli.h: the program `tessera`: verbs, their options, exit codes, the terminal.
 *
 * A verb is a record: name, one line, its table of options, examples, and run(). Parsing and --help come from the
 * tables, so a new option is one line and a new verb one file and one line in main.c. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "tessera/base.h"

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

/* An option's value goes into the verb's own struct at `at`: bool, int64_t, double, const char *, or a struct cli_list
 * (given more than once, values add up in order). */
enum cli_kind { CLI_FLAG, CLI_INT, CLI_FLOAT, CLI_TEXT, CLI_LIST };
enum { CLI_LIST_MAX = 256 };
struct cli_list { int n; const char *v[CLI_LIST_MAX]; };
struct cli_option {
    const char *name;  /* long form, without the dashes */
    char key;          /* short form, 0: none */
    enum cli_kind kind;
    size_t at;
    const char *value; /* what --help calls the value; NULL for a flag */
    double lo, hi;     /* bounds of a number, both included */
    const char *help;
};

struct cli_verb {
    const char *name, *args, *summary;
    const char *about; /* more lines for --help; may be NULL */
    const struct cli_option *option;
    int noption;
    int min_args, max_args;
    const char *examples;
    int (*run)(const struct cli_verb *v, int argc, char **argv); /* arguments after the verb; gives the exit code */
};
extern const struct cli_verb *const cli_verbs[]; /* ends with NULL */

/* Fills `out` from the options and moves the other arguments to the front of argv (*argc of them). False: stop with
 * *code (--help was printed, or the use was wrong and why was printed). */
bool cli_parse(const struct cli_verb *v, int *argc, char **argv, void *out, int *code);
int cli_usage(const struct cli_verb *v, const char *fmt, ...) TSR_PRINTF(2, 3); /* says why; gives CLI_USAGE */
void cli_print_help(FILE *to, const struct cli_verb *v);                          /* v NULL: the program's */
const struct cli_verb *cli_find(const char *name);                                /* NULL: no such verb */
int cli_unknown_verb(const char *name);                                           /* says so; gives CLI_USAGE */

/* A context on a device, or the error printed and NULL. */
tsr_ctx *cli_open(const char *device);
/* Prints the context's error, closes it, gives the exit code that belongs to it. */
int cli_fail(tsr_ctx *c);

/* ---- the terminal ----------------------------------------------------------------------------------------------- */
bool term_is_live(FILE *f);    /* a terminal that can redraw a line */
bool term_has_color(FILE *f);  /* live, and NO_COLOR is not set */
bool term_is_utf8(void);
int term_columns(FILE *f);     /* 80 when unknown */
enum term_style { STYLE_NONE, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };
const char *term_style(FILE *f, enum term_style s); /* the escape, or "" without colours */

/* Ctrl-C: from now on the first SIGINT or SIGTERM sets the flag, the second one ends the program at once. */
const volatile int *cli_catch_interrupt(void);

#endif
