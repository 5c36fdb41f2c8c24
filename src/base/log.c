/* log.c: debug lines on standard error, for those who set TSR_DEBUG. Asked once for a plan or a kernel, never for an
 * element: each question reads the environment. A line is one write, so lines of several threads do not mix. */
#include "base/sys.h"

bool log_on(int level) { return env_int("TSR_DEBUG") >= level; }

void log_line(int level, const char *fmt, ...) {
    if (!log_on(level)) return;
    va_list ap;
    va_start(ap, fmt);
    flockfile(stderr);
    fprintf(stderr, "tessera: ");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(ap);
}
