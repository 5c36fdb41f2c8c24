/* term.c: what the terminal can do, contexts and their errors, Ctrl-C.
 *
 * Colours and redrawn lines are for terminals alone; NO_COLOR (no-color.org) turns colours off. A pipe gets plain
 * lines. */
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/sys.h"
#include "cli/cli.h"

bool term_is_live(FILE *f) { return isatty(fileno(f)) && strcmp(env_str("TERM"), "dumb"); }
bool term_has_color(FILE *f) { return term_is_live(f) && !*env_str("NO_COLOR"); }

bool term_is_utf8(void) {
    setlocale(LC_CTYPE, "");
    return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

int term_columns(FILE *f) {
    struct winsize w;
    return !ioctl(fileno(f), TIOCGWINSZ, &w) && w.ws_col > 0 ? w.ws_col : 80;
}

const char *term_style(FILE *f, enum term_style s) {
    static const char *const escape[] = {"\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m",
        "\033[36m"};
    return term_has_color(f) ? escape[s] : "";
}

/* ---- contexts --------------------------------------------------------------------------------------------------- */

tsr_ctx *cli_open(const char *device) {
    tsr_ctx *c = tsr_open(&(tsr_config){.device = device});
    if (!c) fprintf(stderr, "tessera: out of memory\n");
    return c;
}

int cli_fail(tsr_ctx *c) {
    bool interrupted = tsr_error_status(c) == TSR_EINTERRUPTED;
    const char *message = tsr_error_message(c);
    if (!interrupted) {
        fprintf(stderr, "%serror:%s %s\n", term_style(stderr, STYLE_RED), term_style(stderr, STYLE_NONE),
            *message ? message : "failed");
    }
    tsr_close(c);
    return interrupted ? CLI_INTERRUPTED : CLI_FAILED;
}

/* ---- Ctrl-C ----------------------------------------------------------------------------------------------------- */

static volatile int interrupted;

static void on_signal(int sig) {
    interrupted = 1;
    signal(sig, SIG_DFL); /* the second one ends the program */
}

const volatile int *cli_catch_interrupt(void) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    return &interrupted;
}
