/* unused.c: scalars that no one reads leave the text of a kernel.
 *
 * A program's scalars become one declaration each, `const TYPE vN = EXPRESSION;` on a line of its own, before it is
 * known which of them loops and windows will mention; expressions have no effects. Declarations stand before their
 * uses, so one pass from the last line to the first finds those that are read only by others that leave. A compiler
 * would drop them too, but says so (-Wunused-variable), and a reader would look for their purpose. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "emit/module_text.h"

enum { VALUES_MOST = 1 << 20 }; /* a word of somebody's may look like a greater one */

struct uses {
    tsr_ctx *c;
    VEC(int) count; /* by N: how often vN is said */
};

static bool in_word(char ch) { return isalnum((unsigned char)ch) || ch == '_'; }

/* The next vN in [p, end): its N, and *p behind it; -1: none. */
static int next_value(const char **p, const char *end, const char *begin) {
    for (const char *q = *p; q + 1 < end; q++) {
        if (*q != 'v' || !isdigit((unsigned char)q[1]) || (q > begin && in_word(q[-1]))) continue;
        char *after;
        long n = strtol(q + 1, &after, 10);
        *p = after;
        if (!in_word(*after) && n < VALUES_MOST) return (int)n;
        q = after - 1;
    }
    return -1;
}

static bool add(struct uses *u, const char *line, const char *end, int by) {
    int n;
    for (const char *p = line; (n = next_value(&p, end, line)) >= 0;) {
        while ((size_t)n >= u->count.n)
            if (!vec_push(u->c, &u->count, 0)) return false;
        u->count.v[n] += by;
    }
    return true;
}

/* The N of a line that declares vN and does nothing else; -1: another line. */
static int declares(const char *line, const char *end) {
    const char *p = line + strspn(line, " "), *type;
    if (end - p < 12 || strncmp(p, "const ", 6)) return -1;
    for (p = type = p + 6; in_word(*p);) p++;
    if (p == type || p[0] != ' ' || p[1] != 'v' || memchr(line, ';', (size_t)(end - line)) != end - 1) return -1;
    char *after;
    long n = strtol(p + 2, &after, 10);
    return after > p + 2 && !strncmp(after, " = ", 3) && n < VALUES_MOST ? (int)n : -1;
}

static const char *line_before(const char *begin, const char *line) {
    for (line--; line > begin && line[-1] != '\n';) line--;
    return line;
}

void module_drop_unused(struct str *s, size_t from) {
    enum { GONE = 1 }; /* stands for the first byte of a line that leaves */
    struct uses u = {.c = s->c};
    char *begin = s->s + from, *end = s->s + s->n, *to = begin;
    s->failed |= s->n > from && !add(&u, begin, end, 1);
    if (s->failed || s->n == from) goto out;
    for (const char *line = end, *after = end; line > begin; after = line) {
        line = line_before(begin, line);
        int n = declares(line, after - 1);
        if (n < 0 || u.count.v[n] != 1) continue;
        add(&u, line, after, -1);
        *(char *)(uintptr_t)line = GONE;
    }
    for (char *line = begin, *after; line < end; line = after) {
        after = (char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        if (*line == GONE) continue;
        memmove(to, line, (size_t)(after - line));
        to += after - line;
    }
    str_cut(s, (size_t)(to - s->s));
out:
    vec_release(u.c, &u.count);
}
