/* read_text.c: files and sections of text: split at the lines "// -----", each section a module. */
#include <string.h>

#include "formats/stablehlo/reader.h"

static const char bytecode_magic[4] = {'M', 'L', (char)0xEF, 'R'};

struct hlo_module *hlo_read(tsr_ctx *c, const char *file, const void *bytes, size_t n) {
    bool bytecode = n >= sizeof bytecode_magic && memcmp(bytes, bytecode_magic, sizeof bytecode_magic) == 0;
    return bytecode ? hlo_read_bytecode(c, file, bytes, n) : hlo_read_text(c, file, bytes, n);
}

/* ---- one section ------------------------------------------------------------------------------------------------ */

static void release(struct reader *r) {
    mem_array_free(r->c, r->names.slot, r->names.slots, sizeof *r->names.slot);
    mem_array_free(r->c, r->ssa.slot, r->ssa.slots, sizeof *r->ssa.slot);
    vec_release(r->c, &r->ssa);
    vec_release(r->c, &r->aliases);
    vec_release(r->c, &r->pending);
    vec_release(r->c, &r->operand);
    vec_release(r->c, &r->named);
    vec_release(r->c, &r->type);
    vec_release(r->c, &r->attr);
    vec_release(r->c, &r->region);
    vec_release(r->c, &r->integer);
    vec_release(r->c, &r->real);
}

/* Stacks have a place from the start, so that a mark in an empty one is a pointer too. */
static bool reserve(struct reader *r) {
    tsr_ctx *c = r->c;
    return vec_reserve(c, &r->pending, 16) && vec_reserve(c, &r->operand, 16) && vec_reserve(c, &r->named, 16) &&
        vec_reserve(c, &r->type, 16) && vec_reserve(c, &r->attr, 16) && vec_reserve(c, &r->region, 16) &&
        vec_reserve(c, &r->integer, 16) && vec_reserve(c, &r->real, 16);
}

static bool at_resources(const struct reader *r) {
    return r->x.end - r->x.p > 2 && r->x.p[0] == '{' && r->x.p[1] == '-' && r->x.p[2] == '#';
}

/* Operations, aliases and resources in any order until the end. */
static bool read_top(struct reader *r, struct hlo_block *b) {
    lex_skip(&r->x);
    while (r->x.p < r->x.end) {
        struct hlo_loc at = lex_here(&r->x);
        int ch = lex_peek(&r->x);
        if (ch == '#' || ch == '!' ? !read_alias_definition(r)
            : at_resources(r)      ? !lex_balanced(&r->x, at, NULL)
                                   : !read_op(r, b))
            return false;
    }
    return true;
}

/* A text that is one module is that module; else what stands in it is a module's body. */
static bool adopt(struct hlo_module *m) {
    struct hlo_block *top = &m->op->region[0].block[0];
    if (top->first && top->first == top->last && top->first->code == HLO_OP_MODULE && top->first->nregion == 1 &&
        top->first->region[0].nblock == 1) {
        m->op = top->first;
        m->op->parent = NULL;
        top = &m->op->region[0].block[0];
    }
    for (struct hlo_op *op = top->first; op; op = op->next)
        if (op->code == HLO_OP_FUNC && !hlo_module_add_func(m, op)) return false;
    return true;
}

struct hlo_module *hlo_read_section(tsr_ctx *c, const char *file, const char *text, size_t n, uint32_t line) {
    struct reader *r = mem_new(c, struct reader);
    struct hlo_module *m = r ? hlo_module_new(c, file) : NULL;
    bool ok = false;
    if (m) {
        r->x = (struct lex){.m = m, .p = text, .end = text + n, .line_start = text, .line = line};
        r->c = c, r->m = m, r->begin = text, r->first_line = line, r->in_module = true;
        ok = reserve(r) && read_top(r, &m->op->region[0].block[0]) && adopt(m);
        release(r);
    }
    if (r) mem_del(c, r);
    if (ok) return m;
    hlo_module_free(m);
    return NULL;
}

/* ---- several sections ------------------------------------------------------------------------------------------- */

static const char split_mark[] = "// -----";

/* The line that splits, from p on, which begins a line; `end` if there is none. Lines passed are counted. */
static const char *find_split(const char *p, const char *end, uint32_t *lines) {
    while (p < end) {
        if ((size_t)(end - p) >= sizeof split_mark - 1 && memcmp(p, split_mark, sizeof split_mark - 1) == 0) return p;
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        if (!eol) return end;
        p = eol + 1, *lines += 1;
    }
    return end;
}

bool hlo_split(const char *text, size_t n, size_t *at, const char **section, size_t *length, uint32_t *line) {
    const char *end = text + n, *from = text + *at;
    if (*at > n || (*at == n && n)) return false;
    if (*at == 0) *line = 1;
    else
        for (const char *q = *section; q < from; q++) *line += *q == '\n';
    uint32_t lines = 0;
    const char *stop = find_split(from, end, &lines);
    *section = from, *length = (size_t)(stop - from);
    const char *eol = stop < end ? memchr(stop, '\n', (size_t)(end - stop)) : NULL;
    *at = eol ? (size_t)(eol + 1 - text) : n + (n == 0);
    return true;
}

struct hlo_module *hlo_read_text(tsr_ctx *c, const char *file, const char *text, size_t n) {
    struct hlo_module *first = NULL, **last = &first;
    size_t at = 0, length;
    const char *section;
    uint32_t line;
    while (hlo_split(text, n, &at, &section, &length, &line)) {
        *last = hlo_read_section(c, file, section, length, line);
        if (!*last) {
            hlo_module_free(first);
            return NULL;
        }
        last = &(*last)->next;
    }
    return first;
}
