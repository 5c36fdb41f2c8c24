/* csv.c: tables of comma-separated values (RFC 4180) as data sets.
 *
 * The first pass walks fields: quoted ones with doubled quotes, CR LF or LF at the end of a row, a UTF-8 byte order
 * mark in front. The number of columns is that of the first row and every other row must have it. A row of nothing at
 * the very end (the file's last newline) is no row. Errors say where: line and column, both counted from 1, the column
 * in bytes.
 *
 * Numbers: [+-] digits with an optional point, an optional exponent; or inf, nan. strtod, in the C
 * locale, converts what was checked. */
#include "data/data.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/map.h"

enum { COLUMNS_MAX = 1 << 20, NUMBER_MAX = 64, SHOWN = 32 };

enum field_end { END_FIELD, END_ROW };

struct csv {
    tsr_ctx *c;
    const char *name;
    const uint8_t *p, *end, *line_start;
    int64_t line;
    char delimiter;
    struct str field;              /* the present field's text */
    int64_t at_line, at_column;    /* where it began */
    enum field_end how;
};

static tsr_status wrong(struct csv *s, const char *fmt, ...) TSR_PRINTF(2, 3);
static tsr_status wrong(struct csv *s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_setv(s->c, TSR_EFORMAT, fmt, ap);
    va_end(ap);
    err_prefix(s->c, "%s:%lld:%lld", s->name, (long long)s->at_line, (long long)s->at_column);
    return TSR_EFORMAT;
}

/* ---- fields ----------------------------------------------------------------------------------------------------- */

static void new_line(struct csv *s) { s->line++, s->line_start = s->p; }

/* After a field: a delimiter, the end of the row, or the end of the file. */
static tsr_status end_field(struct csv *s) {
    if (s->p == s->end) {
        s->how = END_ROW;
        return TSR_OK;
    }
    uint8_t ch = *s->p++;
    s->how = ch == (uint8_t)s->delimiter ? END_FIELD : END_ROW;
    if (s->how == END_FIELD) return TSR_OK;
    if (ch == '\r' && s->p < s->end && *s->p == '\n') ch = *s->p++;
    if (ch != '\n') return wrong(s,
        "text follows the closing quote of a field; double a quote that belongs to the text");
    new_line(s);
    return TSR_OK;
}

static tsr_status quoted_field(struct csv *s) {
    s->p++;
    for (;;) {
        const uint8_t *q = s->p;
        while (q < s->end && *q != '"' && *q != '\n') q++;
        if (q == s->end) return wrong(s, "a quoted field is not closed before the file ends");
        str_putn(&s->field, (const char *)s->p, (size_t)(q - s->p) + (*q == '\n'));
        s->p = q + 1;
        if (*q == '\n') new_line(s);
        else if (s->p < s->end && *s->p == '"') str_putc(&s->field, '"'), s->p++;
        else return end_field(s);
    }
}

static tsr_status plain_field(struct csv *s) {
    const uint8_t *q = s->p;
    while (q < s->end && *q != (uint8_t)s->delimiter && *q != '\n' && *q != '"') q++;
    if (q < s->end && *q == '"') return wrong(s,
        "a quote inside a field that does not begin with one; quote the whole field");
    size_t n = (size_t)(q - s->p);
    bool crlf = n && q[-1] == '\r' && (q == s->end || *q == '\n');
    str_putn(&s->field, (const char *)s->p, n - crlf);
    s->p = q;
    return end_field(s);
}

static tsr_status next_field(struct csv *s) {
    str_clear(&s->field);
    s->at_line = s->line, s->at_column = s->p - s->line_start + 1;
    tsr_status r = s->p < s->end && *s->p == '"' ? quoted_field(s) : plain_field(s);
    if (r) return r;
    if (s->field.failed) return tsr_error_status(s->c);
    return memchr(s->field.s, 0, s->field.n) ? wrong(s, "a NUL byte: this is no text file") : TSR_OK;
}

static bool at_end(const struct csv *s) { return s->p == s->end; }

/* ---- values ----------------------------------------------------------------------------------------------------- */

static const char *digits(const char *p, int *n) {
    while (isdigit((unsigned char)*p)) p++, (*n)++;
    return p;
}

static bool is_number(const char *p) {
    int whole = 0, exponent = 0;
    if (*p == '+' || *p == '-') p++;
    if (!strcasecmp(p, "inf") || !strcasecmp(p, "nan")) return true;
    p = digits(p, &whole);
    if (*p == '.') p = digits(p + 1, &whole);
    if (!whole) return false;
    if (*p != 'e' && *p != 'E') return !*p;
    p++;
    if (*p == '+' || *p == '-') p++;
    p = digits(p, &exponent);
    return exponent && !*p;
}

static tsr_status number(struct csv *s, const char *column, float *out) {
    char text[NUMBER_MAX];
    const char *p = s->field.s;
    size_t n = s->field.n;
    while (n && isspace((unsigned char)*p)) p++, n--;
    while (n && isspace((unsigned char)p[n - 1])) n--;
    if (!n) return wrong(s, "column %s is empty here; every value but the label is a number", column);
    bool ok = n < NUMBER_MAX;
    if (ok) memcpy(text, p, n), text[n] = 0;
    if (!ok || !is_number(text))
        return wrong(s, "column %s: \"%.*s\" is not a number", column, (int)(n < SHOWN ? n : SHOWN), p);
    *out = (float)locale_strtod(text, NULL);
    return TSR_OK;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

struct table {
    struct csv s;
    const tsr_csv_opts *o;
    struct arena text;        /* becomes the set's */
    VEC(const char *) column; /* every column, the label's too */
    int64_t label;            /* its index, -1: none */
    VEC(float) x;
    VEC(int32_t) y;
    VEC(const char *) class_name;
    struct map classes;       /* item: index + 1 into class_name */
    int64_t rows;
};

static bool same_class(const void *item, const void *key, void *user) {
    const struct table *t = user;
    return !strcmp(t->class_name.v[(uintptr_t)item - 1], key);
}

static tsr_status add_label(struct table *t) {
    tsr_ctx *c = t->s.c;
    uint64_t h = hash_bytes(0, t->s.field.s, t->s.field.n);
    uintptr_t at = (uintptr_t)map_get(&t->classes, h, t->s.field.s, same_class, t);
    if (!at) {
        char *name = arena_strdup(&t->text, t->s.field.s);
        if (t->class_name.n == INT32_MAX) return wrong(&t->s, "more than %d classes", INT32_MAX);
        if (!name || !vec_push(c, &t->class_name, name)) return TSR_ENOMEM;
        at = t->class_name.n;
        if (!map_put(c, &t->classes, h, (void *)at)) return TSR_ENOMEM;
    }
    return vec_push(c, &t->y, (int32_t)at - 1) ? TSR_OK : TSR_ENOMEM;
}

static tsr_status add_value(struct table *t, size_t column) {
    float v = 0;
    if ((int64_t)column == t->label) return add_label(t);
    tsr_status r = number(&t->s, t->column.v[column], &v);
    return r ? r : vec_push(t->s.c, &t->x, v) ? TSR_OK : TSR_ENOMEM;
}

static tsr_status find_label(struct table *t) {
    const char *want = t->o->label;
    t->label = -1;
    if (!want) return TSR_OK;
    for (size_t i = 0; i < t->column.n && !t->o->no_header; i++) {
        if (!strcmp(t->column.v[i], want)) t->label = (int64_t)i;
    }
    char *end;
    long number = strtol(want, &end, 10);
    if (t->label < 0 && end != want && !*end && number >= 1 && (uint64_t)number <= t->column.n) t->label = number - 1;
    if (t->label >= 0) return TSR_OK;
    return err_set(t->s.c, TSR_ENOTFOUND, "%s: no column is called \"%s\", and it is no number from 1 to %zu",
        t->s.name,
        want, t->column.n);
}

/* The first row gives the number of columns and, with a header, their names. */
static tsr_status read_columns(struct table *t) {
    struct csv start = t->s;
    tsr_status r;
    do {
        if ((r = next_field(&t->s))) return r;
        if (t->column.n == COLUMNS_MAX) return wrong(&t->s, "more than %d columns", COLUMNS_MAX);
        const char *name = t->o->no_header ? arena_printf(&t->text, "%zu", t->column.n + 1)
                                           : arena_strdup(&t->text, t->s.field.s);
        if (!name || !vec_push(t->s.c, &t->column, name)) return TSR_ENOMEM;
    } while (t->s.how != END_ROW);
    if (t->o->no_header) { /* these fields are data as well: read them again */
        start.field = t->s.field;
        t->s = start;
    }
    return find_label(t);
}

static tsr_status read_row(struct table *t) {
    for (size_t i = 0;; i++) {
        tsr_status r = next_field(&t->s);
        if (r) return r;
        if (i == t->column.n) return wrong(&t->s, "a field too many: the first row has %zu", t->column.n);
        if ((r = add_value(t, i))) return r;
        if (t->s.how == END_FIELD) continue;
        if (i + 1 < t->column.n) return wrong(&t->s, "the row ends after %zu fields, the first has %zu", i + 1,
            t->column.n);
        t->rows++;
        return TSR_OK;
    }
}

static struct data_set *to_set(struct table *t) {
    tsr_ctx *c = t->s.c;
    int64_t features = (int64_t)t->column.n - (t->label >= 0);
    struct data_set *d = data_alloc(c, TSR_F32, t->rows, 1, &features, t->label >= 0);
    if (!d) return NULL;
    d->text = t->text, t->text = (struct arena){.c = c};
    if (d->x_bytes) memcpy(d->x, t->x.v, d->x_bytes);
    if (d->y && t->rows) memcpy(d->y, t->y.v, (size_t)t->rows * sizeof *d->y);
    const char **names = arena_array(&d->text, (size_t)features + 1, sizeof *names);
    const char **classes = arena_array(&d->text, t->class_name.n + 1, sizeof *classes);
    if (!names || !classes) return tsr_data_free(c, &d->view), NULL;
    for (size_t i = 0, j = 0; i < t->column.n; i++) {
        if ((int64_t)i != t->label) names[j++] = t->column.v[i];
    }
    for (size_t i = 0; i < t->class_name.n; i++) classes[i] = t->class_name.v[i];
    d->view.classes = (int64_t)t->class_name.n;
    d->view.class_name = t->label >= 0 ? classes : NULL;
    d->view.feature_name = t->o->no_header ? NULL : names;
    return d;
}

static tsr_data *parse(tsr_ctx *c, const uint8_t *p, size_t n, const char *name, const tsr_csv_opts *o) {
    static const tsr_csv_opts plain = {0};
    struct table t = {.o = o ? o : &plain};
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    if (n >= sizeof mark && !memcmp(p, mark, sizeof mark)) p += sizeof mark, n -= sizeof mark;
    t.s = (struct csv){.c = c, .name = name, .p = p, .end = p + n, .line_start = p, .line = 1, .at_line = 1,
        .at_column = 1};
    t.s.delimiter = t.o->delimiter ? t.o->delimiter : ',';
    str_init(&t.s.field, c);
    arena_init(&t.text, c);
    map_init(&t.classes);
    struct data_set *d = NULL;
    tsr_status r = n ? read_columns(&t) : wrong(&t.s, "the file is empty");
    while (!r && !at_end(&t.s)) r = read_row(&t);
    if (!r) d = to_set(&t);
    vec_release(c, &t.column), vec_release(c, &t.x), vec_release(c, &t.y), vec_release(c, &t.class_name);
    map_release(c, &t.classes);
    arena_release(&t.text);
    str_release(&t.s.field);
    return d ? &d->view : NULL;
}

tsr_data *tsr_data_csv_parse(tsr_ctx *c, const void *p, size_t n, const char *name, const tsr_csv_opts *o) {
    struct data_bytes b;
    if (data_bytes_over(c, p, n, name, &b)) return NULL;
    tsr_data *d = parse(c, b.p, b.n, name, o);
    data_bytes_close(c, &b);
    return d;
}

tsr_data *tsr_data_csv(tsr_ctx *c, const char *path, const tsr_csv_opts *o) {
    struct data_bytes b;
    if (data_bytes_open(c, path, &b)) return NULL;
    tsr_data *d = parse(c, b.p, b.n, path, o);
    data_bytes_close(c, &b);
    return d;
}
