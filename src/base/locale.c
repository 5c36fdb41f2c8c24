/* locale.c: the text of numbers, the same in every locale.
 *
 * A host program may have chosen a locale with a decimal comma. What the library writes as text (tile programs, JSON,
 * checkpoints) and reads back must not follow it, so printing and strtod run with the calling thread set to the C
 * locale (uselocale of POSIX 2008), and other threads are not touched. */
#include <locale.h>
#include <stdlib.h>

#include "base/sys.h"

locale_t locale_enter_c(void) { return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0)); }

void locale_leave_c(locale_t before) {
    locale_t c = uselocale(before);
    if (c != before) freelocale(c);
}

double locale_strtod(const char *s, char **end) {
    locale_t before = locale_enter_c();
    double v = strtod(s, end);
    locale_leave_c(before);
    return v;
}
