/* read.c: the text form of a tile program, back to a program. The grammar is in docs/tile.md.
 *
 * A line is `%r, %s = op ...`; the reader calls the same builders as anybody, so a program that reads is a program that
 * checks. Names after % are digits or identifiers; they need not be in order. The text may be hostile: nothing
 * recurses, names and numbers have limits, and every error says source:line:column and what was expected there. */
#include "tile/tile.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIST (1 + TILE_MAX_RESULTS)
#define MAX_TOKEN 1100

struct name {
    tsr_tv value;
    char text[];
};

struct reader {
    tsr_ctx *c;
    const char *source, *s; /* s: where we are */
    int line;
    const char *line_start;
    char token[MAX_TOKEN]; /* the token last taken */
    tsr_tile *p;
    struct map names;
    struct arena memory;
    int depth;
};

static bool fail(struct reader *r, const char *expected) {
    char found[24];
    snprintf(found, sizeof found, "%.*s", (int)strcspn(r->s, " \t\r\n"), r->s);
    err_set(r->c, TSR_EFORMAT, "%s:%d:%d: expected %s, found '%s'", r->source, r->line, (int)(r->s - r->line_start) + 1,
        expected, found);
    return false;
}

/* ---- tokens ---- */

static void skip_space(struct reader *r) {
    for (;; r->s++) {
        if (*r->s == '#')
            while (*r->s && *r->s != '\n') r->s++;
        if (*r->s == '\n') r->line++, r->line_start = r->s + 1;
        else if (*r->s != ' ' && *r->s != '\t' && *r->s != '\r') return;
    }
}

static bool is_word(char ch) { return isalnum((unsigned char)ch) || ch == '_'; }

static bool accept(struct reader *r, const char *text) {
    skip_space(r);
    size_t n = strlen(text);
    if (strncmp(r->s, text, n) != 0 || (is_word(text[n - 1]) && is_word(r->s[n]))) return false;
    r->s += n;
    return true;
}

static bool expect(struct reader *r, const char *text) { return accept(r, text) || fail(r, text); }

/* A word into r->token. */
static bool word(struct reader *r, const char *what) {
    skip_space(r);
    size_t n = 0;
    while (is_word(r->s[n])) n++;
    if (n == 0 || n >= 64) return fail(r, what);
    memcpy(r->token, r->s, n);
    r->token[n] = 0;
    r->s += n;
    return true;
}

static int hex_digit(char ch) { return isdigit((unsigned char)ch) ? ch - '0' : isxdigit((unsigned char)ch)
    ? tolower((unsigned char)ch) - 'a' + 10 : -1; }

/* \uXXXX below 0x80 is all that the printer writes (control characters). */
static bool escape(struct reader *r, char *out) {
    static const char from[] = "nrtbf\"\\/", to[] = "\n\r\t\b\f\"\\/";
    const char *at = *r->s ? strchr(from, *r->s) : NULL;
    if (at) return *out = to[at - from], r->s++, true;
    if (*r->s != 'u') return fail(r, "an escape of a JSON string");
    int v = 0;
    for (int i = 1; i <= 4; i++) {
        int d = hex_digit(r->s[i]);
        if (d < 0) return fail(r, "four hexadecimal digits");
        v = v * 16 + d;
    }
    if (v == 0 || v >= 0x80) return fail(r, "a character as itself (UTF-8), not as an escape");
    r->s += 5;
    *out = (char)v;
    return true;
}

/* A quoted string into r->token. */
static bool string(struct reader *r) {
    size_t n = 0;
    if (!expect(r, "\"")) return false;
    while (*r->s != '"') {
        if ((unsigned char)*r->s < 0x20) return fail(r, "the closing \"");
        if (n >= TILE_MAX_NAME) return fail(r, "a name of at most 255 bytes");
        char ch = *r->s++;
        if (ch == '\\' && !escape(r, &ch)) return false;
        r->token[n++] = ch;
    }
    r->s++;
    r->token[n] = 0;
    return true;
}

static bool integer(struct reader *r, int64_t lo, int64_t hi, int64_t *out) {
    char *end;
    skip_space(r);
    if (!isdigit((unsigned char)*r->s) && !(*r->s == '-' && isdigit((unsigned char)r->s[1])))
        return fail(r, "an integer");
    errno = 0;
    long long v = strtoll(r->s, &end, 10);
    if (errno || v < lo || v > hi || is_word(*end)) return fail(r, "an integer in range");
    r->s = end;
    *out = v;
    return true;
}

static bool dtype(struct reader *r, tsr_dtype *out) {
    const char *at = (skip_space(r), r->s);
    if (!word(r, "a dtype")) return false;
    if (tsr_dtype_parse(r->token, out)) return true;
    r->s = at;
    return fail(r, "a dtype");
}

static bool small_int(struct reader *r, int *out) {
    int64_t v;
    return integer(r, 0, 1 << 20, &v) && (*out = (int)v, true);
}

static bool axis(struct reader *r, int *out) { return expect(r, "axis") && small_int(r, out); }

static bool extents(struct reader *r, int *rank, int64_t *extent) {
    *rank = 0;
    if (!expect(r, "[")) return false;
    if (accept(r, "]")) return true;
    do {
        if (*rank == TSR_TILE_MAX_RANK) return fail(r, "] (at most 6 axes)");
        if (!integer(r, 0, TSR_TILE_MAX_ELEMS, &extent[(*rank)++])) return false;
    } while (accept(r, ","));
    return expect(r, "]");
}

/* ---- names of values ---- */

static bool same_name(const void *item, const void *key, void *user) {
    (void)user;
    return strcmp(((const struct name *)item)->text, key) == 0;
}

static bool name_token(struct reader *r) {
    skip_space(r);
    if (*r->s != '%' || !is_word(r->s[1])) return fail(r, "a value (%name)");
    r->s++;
    return word(r, "a name of at most 63 characters");
}

static bool value(struct reader *r, tsr_tv *out) {
    const char *at = (skip_space(r), r->s);
    if (!name_token(r)) return false;
    const struct name *n = map_get(&r->names, hash_str(0, r->token), r->token, same_name, NULL);
    if (n) return *out = n->value, true;
    r->s = at;
    return fail(r, "a value that is defined above");
}

/* %name, or _ for what is left out. */
static bool optional(struct reader *r, tsr_tv *out) { return accept(r, "_") ? (*out = TSR_TV_NONE, true)
    : value(r, out); }

static bool values(struct reader *r, int max, int *n, tsr_tv *v) {
    do {
        if (*n == max) return fail(r, "fewer values");
        if (!value(r, &v[(*n)++])) return false;
    } while (accept(r, ","));
    return true;
}

static bool value_list(struct reader *r, const char *before, int max, int *n, tsr_tv *v) {
    *n = 0;
    return expect(r, before) && expect(r, "(") && (accept(r, ")") || (values(r, max, n, v) && expect(r, ")")));
}

/* Exactly n values or _, in parentheses. */
static bool axis_values(struct reader *r, const char *before, int n, tsr_tv *v) {
    if (!expect(r, before) || !expect(r, "(")) return false;
    for (int i = 0; i < n; i++)
        if ((i && !expect(r, ",")) || !optional(r, &v[i])) return false;
    return expect(r, ")");
}

struct result_names {
    int n;
    struct name *name[MAX_LIST];
};

static bool new_name(struct reader *r, struct result_names *d) {
    const char *at = (skip_space(r), r->s);
    if (d->n == MAX_LIST) return fail(r, "fewer results");
    if (!name_token(r)) return false;
    bool taken = map_get(&r->names, hash_str(0, r->token), r->token, same_name, NULL) != NULL;
    for (int i = 0; i < d->n; i++) taken |= strcmp(d->name[i]->text, r->token) == 0;
    if (taken) return r->s = at, fail(r, "a new name (each value is defined once)");
    struct name *n = arena_alloc(&r->memory, sizeof *n + strlen(r->token) + 1);
    if (!n) return false;
    memcpy(n->text, r->token, strlen(r->token) + 1);
    d->name[d->n++] = n;
    return true;
}

static bool new_names(struct reader *r, struct result_names *d) {
    do
        if (!new_name(r, d)) return false;
    while (accept(r, ","));
    return true;
}

static bool define(struct reader *r, const struct result_names *d, const tsr_tv *v) {
    for (int i = 0; i < d->n; i++) {
        d->name[i]->value = v[i];
        if (!map_put(r->c, &r->names, hash_str(0, d->name[i]->text), d->name[i])) return false;
    }
    return true;
}

/* ---- one reader an op: fills v with the results ---- */

typedef bool op_reader(struct reader *r, int n, tsr_tv *v);

static bool read_buf(struct reader *r, int n, tsr_tv *v) {
    tsr_dtype t;
    (void)n;
    tsr_tile_access a = accept(r, "inout") ? TSR_TILE_INOUT : accept(r, "in") ? TSR_TILE_IN : TSR_TILE_OUT;
    if (a == TSR_TILE_OUT && !expect(r, "out")) return false;
    if (!dtype(r, &t) || !string(r)) return false;
    v[0] = tsr_tile_arg_buf(r->p, t, a, r->token);
    return true;
}

static bool read_arg(struct reader *r, int n, tsr_tv *v) {
    tsr_dtype t;
    (void)n;
    if (!dtype(r, &t) || !string(r)) return false;
    v[0] = tsr_tile_arg(r->p, t, r->token);
    return true;
}

static bool read_pid(struct reader *r, int n, tsr_tv *v) {
    int a;
    (void)n;
    if (!small_int(r, &a)) return false;
    v[0] = tsr_tile_pid(r->p, a);
    return true;
}

static bool read_const(struct reader *r, int n, tsr_tv *v) {
    tsr_dtype t;
    char *end;
    (void)n;
    if (!dtype(r, &t)) return false;
    tsr_kind k = tsr_dtype_of(t)->kind;
    skip_space(r);
    errno = 0;
    if (k == TSR_KIND_FLOAT || k == TSR_KIND_COMPLEX) {
        double x = locale_strtod(r->s, &end);
        if (end == r->s || is_word(*end)) return fail(r, "a number");
        r->s = end;
        v[0] = tsr_tile_float(r->p, t, x);
        return true;
    }
    if (!isdigit((unsigned char)*r->s) && *r->s != '-') return fail(r, "an integer");
    int64_t x = t == TSR_U64 ? (int64_t)strtoull(r->s, &end, 10) : (int64_t)strtoll(r->s, &end, 10);
    if (end == r->s || errno || is_word(*end) || *end == '.') return fail(r, "an integer of 64 bits");
    r->s = end;
    v[0] = tsr_tile_int(r->p, t, x);
    return true;
}

static bool read_iota(struct reader *r, int n, tsr_tv *v) {
    tsr_dtype t;
    int rank, a;
    int64_t extent[TSR_TILE_MAX_RANK];
    (void)n;
    if (!dtype(r, &t) || !extents(r, &rank, extent) || !axis(r, &a)) return false;
    v[0] = tsr_tile_iota(r->p, t, rank, extent, a);
    return true;
}

static bool read_cast(struct reader *r, int n, tsr_tv *v) {
    tsr_dtype t;
    tsr_tv a;
    (void)n;
    if (!dtype(r, &t) || !value(r, &a)) return false;
    v[0] = tsr_tile_cast(r->p, t, a);
    return true;
}

static bool read_bitcast(struct reader *r, int n, tsr_tv *v) {
    tsr_dtype t;
    tsr_tv a;
    (void)n;
    if (!dtype(r, &t) || !value(r, &a)) return false;
    v[0] = tsr_tile_bitcast(r->p, t, a);
    return true;
}

static bool read_broadcast(struct reader *r, int n, tsr_tv *v) {
    int rank;
    int64_t extent[TSR_TILE_MAX_RANK];
    tsr_tv a;
    (void)n;
    if (!extents(r, &rank, extent) || !value(r, &a)) return false;
    v[0] = tsr_tile_broadcast(r->p, a, rank, extent);
    return true;
}

static bool read_reshape(struct reader *r, int n, tsr_tv *v) {
    int rank;
    int64_t extent[TSR_TILE_MAX_RANK];
    tsr_tv a;
    (void)n;
    if (!extents(r, &rank, extent) || !value(r, &a)) return false;
    v[0] = tsr_tile_reshape(r->p, a, rank, extent);
    return true;
}

static bool read_transpose(struct reader *r, int n, tsr_tv *v) {
    int rank, perm[TSR_TILE_MAX_RANK];
    int64_t extent[TSR_TILE_MAX_RANK];
    tsr_tv a;
    (void)n;
    if (!extents(r, &rank, extent) || !value(r, &a)) return false;
    for (int i = 0; i < rank; i++) perm[i] = (int)extent[i];
    if (rank != tsr_tile_shape(r->p, a, NULL)) return fail(r, "a permutation of all axes of the operand");
    v[0] = tsr_tile_transpose(r->p, a, perm);
    return true;
}

static bool reduction(struct reader *r, int *op, int *a) {
    const char *at = (skip_space(r), r->s);
    if (!word(r, "sum, prod, max, min, and, or, xor")) return false;
    for (*op = 0; *op < TSR_REDUCE_COUNT; ++*op)
        if (strcmp(tile_reduce_name[*op], r->token) == 0) return axis(r, a);
    r->s = at;
    return fail(r, "sum, prod, max, min, and, or, xor");
}

static bool read_reduce(struct reader *r, int n, tsr_tv *v) {
    int op, ax;
    tsr_tv a;
    (void)n;
    if (!reduction(r, &op, &ax) || !value(r, &a)) return false;
    v[0] = tsr_tile_reduce(r->p, (tsr_reduce)op, a, ax);
    return true;
}

static bool read_argreduce(struct reader *r, int n, tsr_tv *v) {
    int op, ax;
    tsr_tv a, index;
    (void)n;
    if (!reduction(r, &op, &ax) || !value(r, &a) || !expect(r, ",") || !value(r, &index)) return false;
    v[0] = tsr_tile_argreduce(r->p, (tsr_reduce)op, a, index, ax);
    return true;
}

static bool read_scan(struct reader *r, int n, tsr_tv *v) {
    int op, ax;
    tsr_tv a;
    (void)n;
    if (!reduction(r, &op, &ax)) return false;
    bool reverse = accept(r, "reverse");
    if (!value(r, &a)) return false;
    v[0] = tsr_tile_scan(r->p, (tsr_reduce)op, a, ax, reverse);
    return true;
}

static bool read_dot(struct reader *r, int n, tsr_tv *v) {
    tsr_tv a, b, acc;
    (void)n;
    if (!value(r, &a) || !expect(r, ",") || !value(r, &b) || !expect(r, ",") || !value(r, &acc)) return false;
    v[0] = tsr_tile_dot(r->p, a, b, acc);
    return true;
}

static bool block(struct reader *r, tsr_tv *buf, tsr_tile_block *b) {
    return value(r, buf) && extents(r, &b->rank, b->extent) && expect(r, "at") && value(r, &b->base) &&
        axis_values(r, "stride", b->rank, b->stride) &&
           axis_values(r, "lo", b->rank, b->lo) && axis_values(r, "hi", b->rank, b->hi);
}

static bool read_load(struct reader *r, int n, tsr_tv *v) {
    tsr_tile_block b;
    tsr_tv buf, other;
    (void)n;
    if (!block(r, &buf, &b) || !expect(r, "other") || !optional(r, &other)) return false;
    v[0] = tsr_tile_load(r->p, buf, &b, other);
    return true;
}

static bool read_store(struct reader *r, int n, tsr_tv *v) {
    tsr_tile_block b;
    tsr_tv buf, x;
    (void)n, (void)v;
    if (!block(r, &buf, &b) || !expect(r, "value") || !value(r, &x)) return false;
    tsr_tile_store(r->p, buf, &b, x);
    return true;
}

static bool read_gather(struct reader *r, int n, tsr_tv *v) {
    tsr_tv buf, offset, mask, other;
    (void)n;
    if (!value(r, &buf) || !expect(r, ",") || !value(r, &offset) || !expect(r, "mask") || !optional(r, &mask) ||
        !expect(r, "other") ||
        !optional(r, &other))
        return false;
    v[0] = tsr_tile_gather(r->p, buf, offset, mask, other);
    return true;
}

static bool read_scatter(struct reader *r, int n, tsr_tv *v) {
    tsr_tv buf, offset, mask, x;
    (void)n, (void)v;
    if (!value(r, &buf) || !expect(r, ",") || !value(r, &offset) || !expect(r, "mask") || !optional(r, &mask) ||
        !expect(r, "value") || !value(r, &x))
        return false;
    tsr_tile_scatter(r->p, buf, offset, mask, x);
    return true;
}

static bool read_for(struct reader *r, int n, tsr_tv *v) {
    tsr_tv lo, hi, step, init[TILE_MAX_RESULTS];
    int carries;
    if (!value(r, &lo) || !expect(r, ",") || !value(r, &hi) || !expect(r, ",") || !value(r, &step) ||
        !value_list(r, "carry", TILE_MAX_RESULTS, &carries, init) || !expect(r, "{"))
        return false;
    if (n != 1 + carries) return fail(r, "as many results before = as carries, and the index first");
    r->depth++;
    v[0] = tsr_tile_for(r->p, lo, hi, step, carries, init, v + 1);
    return true;
}

static bool read_while(struct reader *r, int n, tsr_tv *v) {
    tsr_tv init[TILE_MAX_RESULTS];
    int carries;
    if (!value_list(r, "carry", TILE_MAX_RESULTS, &carries, init) || !expect(r, "{")) return false;
    if (n != carries) return fail(r, "as many results before = as carries");
    r->depth++;
    tsr_tile_while(r->p, carries, init, v);
    return true;
}

static bool read_if(struct reader *r, int n, tsr_tv *v) {
    tsr_tv cond;
    (void)n, (void)v;
    if (!value(r, &cond) || !expect(r, "{")) return false;
    r->depth++;
    tsr_tile_if(r->p, cond);
    return true;
}

static bool read_yield(struct reader *r, int n, tsr_tv *v) {
    tsr_tv x[MAX_LIST];
    int count = 0;
    (void)n, (void)v;
    skip_space(r);
    if (*r->s == '%' && !values(r, MAX_LIST, &count, x)) return false;
    tsr_tile_yield(r->p, count, x);
    return true;
}

static const struct {
    op_reader *read;
    int results; /* -1: the reader compares */
} op_table[TILE_OP_COUNT] = {
    [TILE_BUF] = {read_buf, 1},       [TILE_ARG] = {read_arg, 1},         [TILE_PID] = {read_pid, 1},
    [TILE_CONST] = {read_const, 1},   [TILE_IOTA] = {read_iota, 1},       [TILE_CAST] = {read_cast, 1},
    [TILE_BITCAST] = {read_bitcast, 1}, [TILE_BROADCAST] = {read_broadcast, 1}, [TILE_RESHAPE] = {read_reshape, 1},
    [TILE_TRANSPOSE] = {read_transpose, 1}, [TILE_REDUCE] = {read_reduce, 1}, [TILE_ARGREDUCE] = {read_argreduce, 1},
    [TILE_SCAN] = {read_scan, 1},     [TILE_DOT] = {read_dot, 1},         [TILE_LOAD] = {read_load, 1},
    [TILE_STORE] = {read_store, 0},   [TILE_GATHER] = {read_gather, 1},   [TILE_SCATTER] = {read_scatter, 0},
    [TILE_FOR] = {read_for, -1},      [TILE_WHILE] = {read_while, -1},    [TILE_IF] = {read_if, 0},
    [TILE_YIELD] = {read_yield, 0},
};

static bool read_elem(struct reader *r, int fn, tsr_tv *v) {
    tsr_tv o[3];
    int n = 0;
    if (!values(r, tile_scalar[fn].arity, &n, o)) return false;
    v[0] = tsr_tile_elem(r->p, (tsr_scalar)fn, n, o);
    return true;
}

static int find_op(const char *word_, int *fn) {
    for (int op = 0; op < TILE_OP_COUNT; op++)
        if (op_table[op].read && strcmp(tile_op_name[op], word_) == 0) return op;
    for (*fn = 0; *fn < TSR_SCALAR_COUNT; ++*fn)
        if (strcmp(tile_scalar[*fn].name, word_) == 0) return TILE_ELEM;
    return -1;
}

/* A builder that refused has recorded the error: say where in the text. */
static bool built(struct reader *r) {
    if (r->p->failed == TSR_OK) return true;
    err_prefix(r->c, "%s:%d", r->source, r->line);
    return false;
}

/* `} else {`, or `}` with the names of the results of its region. */
static bool read_close(struct reader *r) {
    struct result_names d = {0};
    tsr_tv v[MAX_LIST];
    if (accept(r, "else")) {
        if (!expect(r, "{")) return false;
        tsr_tile_else(r->p);
        return built(r);
    }
    if (accept(r, "->") && !new_names(r, &d)) return false;
    tsr_tile_end(r->p, d.n, v);
    r->depth--;
    return built(r) && define(r, &d, v);
}

static bool read_line(struct reader *r) {
    struct result_names d = {0};
    tsr_tv v[MAX_LIST];
    int fn = 0;
    skip_space(r);
    if (*r->s == '%' && (!new_names(r, &d) || !expect(r, "="))) return false;
    const char *at = (skip_space(r), r->s);
    if (!word(r, "an op")) return false;
    int op = find_op(r->token, &fn);
    if (op < 0) return r->s = at, fail(r, "an op");
    int results = op == TILE_ELEM ? 1 : op_table[op].results;
    if (results >= 0 && results != d.n) return fail(r, results ? "one result before =" : "no result before this op");
    if (!(op == TILE_ELEM ? read_elem(r, fn, v) : op_table[op].read(r, d.n, v))) return false;
    return built(r) && define(r, &d, v);
}

static bool read_program(struct reader *r) {
    if (!expect(r, "tile") || !string(r) || !expect(r, "{")) return false;
    r->p = tsr_tile_new(r->c, r->token);
    if (!r->p) return false;
    for (;;) {
        if (!accept(r, "}")) {
            if (!read_line(r)) return false;
        } else if (r->depth == 0) break;
        else if (!read_close(r)) return false;
    }
    skip_space(r);
    if (*r->s) return fail(r, "the end of the text");
    return tsr_tile_finish(r->p) == TSR_OK;
}

tsr_tile *tsr_tile_read(tsr_ctx *c, const char *text, const char *source_name) {
    struct reader r = {.c = c, .source = source_name ? source_name : "text", .s = text, .line = 1, .line_start = text};
    map_init(&r.names);
    arena_init(&r.memory, c);
    bool ok = read_program(&r);
    map_release(c, &r.names);
    arena_release(&r.memory);
    if (ok) return r.p;
    tsr_tile_free(r.p);
    return NULL;
}
