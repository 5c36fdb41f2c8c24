/* library.c: the library's text cut into items, and the items that a text needs.
 *
 * At file scope the text has comments, definitions of types, tables and functions, #define, conditional groups (from
 * #if to its #endif) and calls of its own macros, which write such definitions. A conditional group stays one item; so
 * does a line of another directive, which is always put. A macro's call is replaced by what it writes, so that each
 * function it makes is an item of its own; macros are never redefined. A comment belongs to what follows it on the next
 * line. What an item defines is found by its form: the name before the first parenthesis of a function, before the
 * bracket or the = of a table, the last name of a typedef, the tag of a struct or union. What it uses are all other
 * names in it. */
#include "emit/library.h"

#include <ctype.h>
#include <string.h>

#include "base/map.h"

struct piece { /* of a text */
    const char *s;
    size_t n;
};
struct item {
    struct piece text;
    bool needed, always, scanned;
};
struct name {
    struct piece text;
    int32_t item;
};
enum { PARAMS = 12 };
struct macro {
    struct piece name, body, param[PARAMS];
    int params; /* -1: takes no parentheses */
};
struct library {
    tsr_ctx *c;
    struct arena mem; /* what macros wrote */
    VEC(struct item) item;
    VEC(struct macro) macro;
    struct map names; /* of struct name */
    bool failed;
};

/* ---- letters ---- */

static bool starts_name(char ch) { return isalpha((unsigned char)ch) || ch == '_'; }
static bool in_name(char ch) { return isalnum((unsigned char)ch) || ch == '_'; }

static const char *skip_name(const char *s, const char *end) {
    while (s < end && in_name(*s)) s++;
    return s;
}

/* Past a comment or a literal that starts at s; s itself where none does. */
static const char *skip_opaque(const char *s, const char *end) {
    if (end - s > 1 && s[0] == '/' && s[1] == '*') {
        for (s += 2; end - s > 1 && !(s[0] == '*' && s[1] == '/');) s++;
        return end - s > 1 ? s + 2 : end;
    }
    if (end - s > 1 && s[0] == '/' && s[1] == '/') {
        while (s < end && *s != '\n') s++;
        return s;
    }
    if (s < end && (*s == '"' || *s == '\'')) {
        char quote = *s++;
        while (s < end && *s != quote) s += *s == '\\' && end - s > 1 ? 2 : 1;
        return s < end ? s + 1 : end;
    }
    return s;
}

/* Past a number, letters and all: 0x1fu, 1.5e-3f. */
static const char *skip_number(const char *s, const char *end) {
    while (s < end && (in_name(*s) || *s == '.' || ((*s == '-' || *s == '+') && (s[-1] == 'e' || s[-1] == 'E')))) s++;
    return s;
}

static const char *skip_blank(const char *s, const char *end) {
    for (const char *next; s < end; s = next) {
        next = isspace((unsigned char)*s) ? s + 1 : end - s > 1 && *s == '/' ? skip_opaque(s, end) : s;
        if (next == s) break;
    }
    return s;
}

/* The next name in [s, end), outside comments, literals and numbers; .n is 0 when there is none. */
static struct piece next_name(const char *s, const char *end) {
    while (s < end) {
        const char *past = skip_opaque(s, end);
        if (past != s) s = past;
        else if (starts_name(*s)) return (struct piece){s, (size_t)(skip_name(s, end) - s)};
        else if (isdigit((unsigned char)*s)) s = skip_number(s, end);
        else s++;
    }
    return (struct piece){end, 0};
}

static bool is_word(struct piece p, const char *word) { return strlen(word) == p.n && memcmp(p.s, word, p.n) == 0; }
static bool same_piece(struct piece a, struct piece b) { return a.n == b.n && memcmp(a.s, b.s, a.n) == 0; }

/* Past the bracket that closes the one at s. */
static const char *skip_brackets(const char *s, const char *end) {
    int depth = 0;
    while (s < end) {
        const char *past = skip_opaque(s, end);
        if (past != s) {
            s = past;
            continue;
        }
        depth += (*s == '(' || *s == '[' || *s == '{') - (*s == ')' || *s == ']' || *s == '}');
        s++;
        if (depth == 0) break;
    }
    return s;
}

/* ---- names ---- */

static bool name_equal(const void *item, const void *key, void *user) {
    (void)user;
    return same_piece(((const struct name *)item)->text, *(const struct piece *)key);
}

static int32_t item_of(const struct library *l, struct piece name) {
    const struct name *n = map_get(&l->names, hash_bytes(0, name.s, name.n), &name, name_equal, NULL);
    return n ? n->item : -1;
}

static void define(struct library *l, struct piece name, int32_t item) {
    if (name.n == 0 || item_of(l, name) >= 0) return;
    struct name *n = arena_alloc(&l->mem, sizeof *n);
    if (n) *n = (struct name){name, item};
    if (!n || !map_put(l->c, &l->names, hash_bytes(0, name.s, name.n), n)) l->failed = true;
}

static int32_t add_item(struct library *l, const char *s, const char *end) {
    struct item i = {.text = {s, (size_t)(end - s)}};
    if (!vec_push(l->c, &l->item, i)) l->failed = true;
    return (int32_t)l->item.n - 1;
}

static const struct macro *find_macro(const struct library *l, struct piece name) {
    for (size_t i = 0; i < l->macro.n; i++)
        if (same_piece(l->macro.v[i].name, name)) return &l->macro.v[i];
    return NULL;
}

/* ---- macros ---- */

/* Past the directive that starts at s, with its continued lines. */
static const char *skip_directive(const char *s, const char *end) {
    while (s < end && *s != '\n') s += *s == '\\' && end - s > 1 ? 2 : 1;
    return s < end ? s + 1 : end;
}

/* From # to the macro's parts; a directive of another kind gives an empty name. */
static struct macro read_macro(const char *s, const char *end) {
    struct macro m = {.params = -1};
    struct piece word = next_name(s, end);
    if (!is_word(word, "define")) return m;
    m.name = next_name(word.s + word.n, end);
    const char *at = m.name.s + m.name.n;
    if (at < end && *at == '(') {
        const char *close = skip_brackets(at, end);
        m.params = 0;
        for (struct piece p = next_name(at, close); p.n; p = next_name(p.s + p.n, close))
            if (m.params < PARAMS) m.param[m.params++] = p;
        at = close;
    }
    m.body = (struct piece){at, (size_t)(end - at)};
    return m;
}

/* The arguments of a call from its '(' at s; the end of the call. */
static const char *read_arguments(const char *s, const char *end, struct piece arg[PARAMS], int *n) {
    const char *close = skip_brackets(s, end), *from = s + 1;
    *n = 0;
    for (const char *at = from; at < close;) {
        const char *past = skip_opaque(at, close);
        if (past != at) at = past;
        else if (*at == '(') at = skip_brackets(at, close);
        else if (*at == ',' || at + 1 == close) {
            while (from < at && isspace((unsigned char)*from)) from++;
            const char *to = at;
            while (to > from && isspace((unsigned char)to[-1])) to--;
            if (*n < PARAMS) arg[(*n)++] = (struct piece){from, (size_t)(to - from)};
            from = ++at;
        } else at++;
    }
    return close;
}

/* What macro m writes for these arguments: names replaced, ## joined, continued lines as lines, one step less deep. */
static void expand(struct str *out, const struct macro *m, const struct piece *arg, int n) {
    const char *s = m->body.s, *end = s + m->body.n;
    while (s < end) {
        const char *past = skip_opaque(s, end);
        if (past != s) str_putn(out, s, (size_t)(past - s)), s = past;
        else if (*s == '\\' && end - s > 1 && s[1] == '\n') {
            while (out->n && out->s[out->n - 1] == ' ') str_cut(out, out->n - 1);
            str_putc(out, '\n');
            s += 2;
            for (int i = 0; i < 4 && s < end && *s == ' '; i++) s++;
        } else if (*s == '#' && end - s > 1 && s[1] == '#') {
            while (out->n && isspace((unsigned char)out->s[out->n - 1])) str_cut(out, out->n - 1);
            for (s += 2; s < end && isspace((unsigned char)*s);) s++;
        } else if (starts_name(*s)) {
            struct piece name = {s, (size_t)(skip_name(s, end) - s)};
            for (int i = 0; i < m->params && i < n; i++)
                if (same_piece(name, m->param[i])) {
                    str_putn(out, arg[i].s, arg[i].n);
                    name.n = 0;
                    break;
                }
            str_putn(out, name.s, name.n);
            s = skip_name(s, end);
        } else if (isdigit((unsigned char)*s)) {
            past = skip_number(s, end);
            str_putn(out, s, (size_t)(past - s)), s = past;
        } else str_putc(out, *s++);
    }
}

static void cut(struct library *l, const char *s, const char *end, int depth);

enum { EXPAND_DEPTH = 8 };

/* A macro's call at file scope becomes items. open: its '('. */
static const char *cut_call(struct library *l, const struct macro *m, const char *open, const char *end, int depth) {
    struct piece arg[PARAMS];
    struct str text;
    int n;
    const char *past = read_arguments(open, end, arg, &n);
    str_init(&text, l->c);
    expand(&text, m, arg, n);
    char *own = text.failed ? NULL : arena_strdup(&l->mem, text.s);
    if (!own || depth == EXPAND_DEPTH) l->failed = true;
    else cut(l, own, own + text.n, depth + 1);
    str_release(&text);
    while (past < end && *past == ';') past++;
    return past;
}

/* ---- definitions ---- */

/* The end of the definition at s, and the name it gives. */
static const char *read_definition(const char *s, const char *end, struct piece *name) {
    struct piece first = next_name(s, end), last = first;
    bool type = is_word(first, "typedef"), assigned = false;
    bool tagged = is_word(first, "struct") || is_word(first, "union") || is_word(first, "enum");
    *name = (struct piece){s, 0};
    while (s < end) {
        const char *past = skip_opaque(s, end);
        if (past != s) s = past;
        else if (starts_name(*s)) {
            struct piece word = {s, (size_t)(skip_name(s, end) - s)};
            s += word.n;
            if (is_word(word, "__attribute__")) s = skip_brackets(skip_blank(s, end), end);
            else last = word;
        } else if (isdigit((unsigned char)*s)) s = skip_number(s, end);
        else if (*s == ';') {
            if (type) *name = last;
            return s + 1;
        } else if (*s == '(' || *s == '[' || *s == '=') {
            if (name->n == 0 && !type) *name = last;
            assigned |= *s == '=';
            s = *s == '=' ? s + 1 : skip_brackets(s, end);
        } else if (*s == '{') {
            bool function = name->n && !assigned;
            if (tagged && name->n == 0) *name = last;
            s = skip_brackets(s, end);
            if (function) return s;
        } else s++;
    }
    return s;
}

/* Everything a conditional group may define: its macros, and each name before a parenthesis outside of braces. */
static void define_group(struct library *l, const char *s, const char *end, int32_t item) {
    int depth = 0;
    while (s < end) {
        const char *past = skip_opaque(s, end);
        if (past != s) s = past;
        else if (*s == '#') {
            past = skip_directive(s, end);
            define(l, read_macro(s, past).name, item);
            s = past;
        } else if (starts_name(*s)) {
            struct piece name = {s, (size_t)(skip_name(s, end) - s)};
            s = skip_blank(s + name.n, end);
            bool defines = s < end && (*s == '(' || *s == '[' || *s == '=' || *s == ';');
            if (depth == 0 && defines && !is_word(name, "__attribute__")) define(l, name, item);
        } else depth += (*s == '{') - (*s == '}'), s++;
    }
}

/* Past the #endif of the group whose #if stands at s. */
static const char *skip_group(const char *s, const char *end) {
    int depth = 0;
    bool line = true; /* at the start of one */
    while (s < end) {
        const char *past = skip_opaque(s, end);
        if (past != s) s = past;
        else if (line && *s == '#') {
            struct piece word = next_name(s, end);
            depth += is_word(word, "if") || is_word(word, "ifdef") || is_word(word, "ifndef");
            depth -= is_word(word, "endif");
            s = skip_directive(s, end);
            if (depth == 0) return s;
        } else {
            line = *s == '\n' || (line && (*s == ' ' || *s == '\t'));
            s++;
        }
    }
    return s;
}

/* from: where the item's text begins, with the comment above it. */
static const char *cut_directive(struct library *l, const char *from, const char *s, const char *end) {
    struct piece word = next_name(s, end);
    if (is_word(word, "if") || is_word(word, "ifdef") || is_word(word, "ifndef")) {
        const char *past = skip_group(s, end);
        define_group(l, s, past, add_item(l, from, past));
        return past;
    }
    const char *past = skip_directive(s, end);
    struct macro m = read_macro(s, past);
    int32_t item = add_item(l, from, past);
    if (l->failed) return past;
    if (m.name.n == 0) l->item.v[item].always = true;
    else define(l, m.name, item);
    if (m.params >= 0 && !vec_push(l->c, &l->macro, m)) l->failed = true;
    return past;
}

/* A definition, a directive or a macro's call at s; from: where its text begins, with the comment above it. */
static const char *cut_one(struct library *l, const char *from, const char *s, const char *end, int depth) {
    if (*s == '#') return cut_directive(l, from, s, end);
    struct piece first = next_name(s, end), name;
    const struct macro *m = first.s == s ? find_macro(l, first) : NULL;
    const char *open = skip_blank(first.s + first.n, end);
    if (m && open < end && *open == '(') return cut_call(l, m, open, end, depth);
    const char *past = read_definition(s, end, &name);
    define(l, name, add_item(l, from, past));
    return past;
}

/* The items of the text [s, end). */
static void cut(struct library *l, const char *s, const char *end, int depth) {
    const char *comment = NULL, *begin = s; /* comment: one that nothing but the end of its line follows so far */
    while (!l->failed) {
        int lines = s == begin;
        while (s < end && isspace((unsigned char)*s)) lines += *s++ == '\n';
        if (s >= end) return;
        const char *past = skip_opaque(s, end);
        if (past != s) {
            comment = lines ? s : NULL; /* else it speaks of what stands before it */
            s = past;
        } else {
            s = cut_one(l, comment && lines == 1 ? comment : s, s, end, depth);
            comment = NULL;
        }
    }
}

/* ---- what is needed ---- */

static void need_names(struct library *l, const char *s, const char *end, int32_t *queue, int *n) {
    for (struct piece name = next_name(s, end); name.n; name = next_name(name.s + name.n, end)) {
        int32_t i = item_of(l, name);
        if (i < 0 || l->item.v[i].needed) continue;
        l->item.v[i].needed = true;
        queue[(*n)++] = i;
    }
}

static bool need(struct library *l, const char *used) {
    int32_t *queue = mem_array(l->c, l->item.n + 1, sizeof *queue);
    int n = 0;
    if (!queue) return false;
    for (size_t i = 0; i < l->item.n; i++)
        if (l->item.v[i].always) l->item.v[i].needed = true, queue[n++] = (int32_t)i;
    need_names(l, used, used + strlen(used), queue, &n);
    for (int i = 0; i < n; i++) {
        struct piece t = l->item.v[queue[i]].text;
        need_names(l, t.s, t.s + t.n, queue, &n);
    }
    mem_array_free(l->c, queue, l->item.n + 1, sizeof *queue);
    return true;
}

bool emit_library_put(struct str *out, tsr_ctx *c, int n, const char *const *part, const char *used) {
    struct library l = {.c = c};
    arena_init(&l.mem, c);
    map_init(&l.names);
    for (int i = 0; i < n && !l.failed; i++) cut(&l, part[i], part[i] + strlen(part[i]), 0);
    bool ok = !l.failed && need(&l, used);
    for (size_t i = 0; ok && i < l.item.n; i++) {
        const struct item *k = &l.item.v[i];
        if (!k->needed) continue;
        str_putn(out, k->text.s, k->text.n);
        if (k->text.n && k->text.s[k->text.n - 1] != '\n') str_putc(out, '\n');
    }
    vec_release(c, &l.item), vec_release(c, &l.macro);
    map_release(c, &l.names);
    arena_release(&l.mem);
    return ok && !out->failed;
}
