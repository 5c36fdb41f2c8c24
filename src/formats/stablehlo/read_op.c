/* read_op.c: operations in the generic form, regions, blocks, and what all forms share: gathering an operation's parts
 * on the reader's stacks and making it of them.
 *
 *   %r:2, %s = "dialect.op"(%a, %b) <{properties}> ({regions}) {attributes} : (T, U) -> (V, W, X) loc(...) */
#include <string.h>

#include "formats/stablehlo/reader.h"

bool read_deeper(struct reader *r) {
    if (r->depth++ < READ_DEPTH) return true;
    return hlo_fail(r->m, lex_here(&r->x), "regions, types and attributes nest deeper than %d levels", READ_DEPTH);
}

/* ---- names of operations and attributes ------------------------------------------------------------------------- */

static bool grow_names(struct reader *r) {
    size_t slots = r->names.slots ? r->names.slots * 2 : 64;
    struct read_name **slot = mem_array(r->c, slots, sizeof *slot);
    if (!slot) return false;
    for (size_t i = 0; i < r->names.slots; i++) {
        struct read_name *name = r->names.slot[i];
        if (!name) continue;
        size_t k = name->hash & (slots - 1);
        while (slot[k]) k = (k + 1) & (slots - 1);
        slot[k] = name;
    }
    mem_array_free(r->c, r->names.slot, r->names.slots, sizeof *slot);
    r->names.slot = slot, r->names.slots = slots;
    return true;
}

bool read_is_name(struct reader *r, const char *s, size_t n) {
    return !memchr(s, 0, n) || hlo_fail(r->m, lex_here(&r->x), "the name before this has a byte \\00 in it");
}

const struct read_name *read_name(struct reader *r, const char *s, size_t n) {
    uint32_t hash = (uint32_t)hash_bytes(0, s, n);
    if (r->names.n * 2 >= r->names.slots && !grow_names(r)) return NULL;
    size_t i = hash & (r->names.slots - 1);
    for (; r->names.slot[i]; i = (i + 1) & (r->names.slots - 1)) {
        const struct read_name *name = r->names.slot[i];
        if (name->hash == hash && name->n == n && memcmp(name->text, s, n) == 0) return name;
    }
    if (!read_is_name(r, s, n)) return NULL;
    struct read_name *name = arena_alloc(&r->m->arena, sizeof *name);
    char *text = arena_alloc(&r->m->arena, n + 1);
    if (!name || !text) return NULL;
    memcpy(text, s, n);
    *name = (struct read_name){hash, (uint32_t)n, hlo_opcode_find(s, n), text};
    r->names.n++;
    return r->names.slot[i] = name;
}

/* ---- what is gathered ------------------------------------------------------------------------------------------- */

static void begin(const struct reader *r, struct read_op *o) {
    o->operand = r->operand.n, o->named = r->named.n, o->type = r->type.n, o->region = r->region.n;
}

static void pop(struct reader *r, const struct read_op *o) {
    r->pending.n = o->pending, r->operand.n = o->operand, r->named.n = o->named, r->type.n = o->type;
    r->region.n = o->region;
}

static bool type_fail(struct reader *r, struct hlo_loc at, const char *fmt, int i, const struct hlo_type *said,
    const struct hlo_type *is) {
    struct str a, b;
    str_init(&a, r->c), str_init(&b, r->c);
    hlo_type_text(&a, said), hlo_type_text(&b, is);
    if (!a.failed && !b.failed) hlo_fail(r->m, at, fmt, i, a.s, b.s);
    str_release(&a), str_release(&b);
    return false;
}

bool read_check_operands(struct reader *r, const struct read_op *o, size_t mark, size_t n) {
    size_t operands = r->operand.n - o->operand;
    if (operands != n)
        return hlo_fail(r->m, o->loc, "'%s' has %zu operands, but %zu types for them", o->name->text, operands, n);
    for (size_t i = 0; i < n; i++) {
        const struct hlo_type *said = r->type.v[mark + i], *is = r->operand.v[o->operand + i]->type;
        if (said != is)
            return type_fail(r, o->loc, "operand %d is said to be a %s, but it is defined as a %s", (int)i, said, is);
    }
    return true;
}

bool read_functional(struct reader *r, struct read_op *o) {
    size_t mark = r->type.n;
    if (!read_type_group(r) || !read_check_operands(r, o, mark, r->type.n - mark)) return false;
    r->type.n = mark;
    if (!lex_expect_text(&r->x, "->", "before the types of the results")) return false;
    if (lex_peek(&r->x) == '(') return read_type_group(r);
    const struct hlo_type *t = read_type(r);
    return t && vec_push(r->c, &r->type, t);
}

bool read_opt_dict(struct reader *r) { return lex_peek(&r->x) != '{' || read_attr_dict(r); }

bool read_dict_with_word(struct reader *r) { return !lex_accept_word(&r->x, "attributes") || read_attr_dict(r); }

/* ---- made of it ------------------------------------------------------------------------------------------------- */

static bool attrs_unique(struct reader *r, const struct hlo_op *op) {
    for (int i = 1; i < op->nattr; i++)
        if (op->attr[i].name == op->attr[i - 1].name)
            return hlo_fail(r->m, op->loc, "'%s' has the attribute '%s' twice", op->name, op->attr[i].name);
    return true;
}

static void take_regions(struct hlo_op *op, const struct hlo_region *from) {
    for (int i = 0; i < op->nregion; i++) {
        op->region[i] = from[i];
        op->region[i].parent = op;
        for (int b = 0; b < op->region[i].nblock; b++) op->region[i].block[b].parent = &op->region[i];
    }
}

/* The operation of everything above the marks. */
static struct hlo_op *make(struct reader *r, const struct read_op *o) {
    int noperand = (int)(r->operand.n - o->operand), nattr = (int)(r->named.n - o->named);
    int nresult = (int)(r->type.n - o->type), nregion = (int)(r->region.n - o->region);
    struct hlo_op *op = hlo_op_alloc(r->m, noperand, nattr, nresult, nregion);
    if (!op) return NULL;
    op->name = o->name->code == HLO_OP_UNKNOWN ? o->name->text : hlo_op_of(o->name->code)->name;
    op->code = o->name->code, op->loc = o->loc;
    if (noperand) memcpy(op->operand, r->operand.v + o->operand, (size_t)noperand * sizeof *op->operand);
    if (nattr) memcpy((void *)op->attr, r->named.v + o->named, (size_t)nattr * sizeof *op->attr);
    hlo_named_sort((struct hlo_named *)op->attr, nattr);
    for (int i = 0; i < nresult; i++) op->result[i].type = r->type.v[o->type + (size_t)i];
    if (nregion) take_regions(op, r->region.v + o->region);
    return attrs_unique(r, op) && hlo_normalise(r->m, op) ? op : NULL;
}

static const char *label(struct reader *r, const struct read_ssa *s, int which) {
    if (which) return arena_printf(&r->m->arena, "%.*s#%d", (int)s->n, s->name, which);
    char *text = arena_alloc(&r->m->arena, s->n + 1);
    if (text) memcpy(text, s->name, s->n);
    return text;
}

static bool define_results(struct reader *r, const struct read_op *o, struct hlo_op *op) {
    int at = 0;
    for (size_t i = o->pending; i < r->pending.n; at += r->pending.v[i++].count) {
        struct read_ssa *s = &r->pending.v[i];
        if (s->count > op->nresult - at) break;
        s->value = op->result + at;
        if (!read_ssa_define(r, s)) return false;
        for (int k = 0; k < s->count; k++)
            if (!(s->value[k].label = label(r, s, k))) return false;
    }
    if (at == op->nresult || r->pending.n == o->pending) return true;
    int named = 0;
    for (size_t i = o->pending; i < r->pending.n; i++) named += r->pending.v[i].count;
    return hlo_fail(r->m, o->loc, "'%s' has %d results, but %d are named", op->name, op->nresult, named);
}

/* ---- regions ---------------------------------------------------------------------------------------------------- */

static bool is_terminated(const struct hlo_block *b) {
    return b->last && (b->last->code == HLO_OP_RETURN || b->last->code == HLO_OP_FUNC_RETURN ||
                          b->last->code == HLO_OP_UNKNOWN);
}

/* Names of a block's arguments defined; labels kept. */
static bool define_args(struct reader *r, struct hlo_block *b, const struct read_ssa *arg) {
    for (int i = 0; i < b->narg; i++) {
        struct read_ssa s = arg[i];
        s.value = &b->arg[i], s.count = 1;
        if (!(b->arg[i].label = label(r, &s, 0)) || !read_ssa_define(r, &s)) return false;
    }
    return true;
}

/* "^name(%a: T, %b: U):" */
static bool read_label(struct reader *r, struct hlo_block *b) {
    size_t pending = r->pending.n, type = r->type.n;
    const char *s;
    size_t n;
    r->x.p++;
    if (!lex_is_digit(lex_peek(&r->x)) && !lex_word(&r->x, &s, &n))
        return lex_expected(&r->x, "a block's name after '^'");
    while (lex_is_word(lex_peek(&r->x))) r->x.p++;
    lex_skip(&r->x);
    if (lex_accept(&r->x, '(') && !lex_accept(&r->x, ')')) {
        do {
            struct read_ssa arg;
            if (!read_ssa_name(r, &arg) || !vec_push(r->c, &r->pending, arg)) return false;
            if (!lex_expect(&r->x, ':', "after the name of a block's argument")) return false;
            const struct hlo_type *t = read_type(r);
            if (!t || !vec_push(r->c, &r->type, t) || !read_location(r)) return false;
        } while (lex_accept(&r->x, ','));
        if (!lex_expect(&r->x, ')', "after the block's arguments")) return false;
    }
    if (!lex_expect(&r->x, ':', "after the block's label")) return false;
    bool ok = hlo_block_args(r->m, b, (int)(r->type.n - type), r->type.v + type) &&
        define_args(r, b, r->pending.v + pending);
    r->pending.n = pending, r->type.n = type;
    return ok;
}

/* One block more; what is there moves, and what points to it follows. */
static struct hlo_block *add_block(struct reader *r, struct hlo_region *g) {
    int n = g->nblock;
    if (n & (n - 1) || n == 0) { /* room is the next power of two */
        if (n) return g->nblock++, &g->block[n];
    }
    struct hlo_block *to = arena_array(&r->m->arena, n ? (size_t)n * 2 : 1, sizeof *to);
    if (!to) return NULL;
    for (int b = 0; b < n; b++) {
        to[b] = g->block[b];
        for (int i = 0; i < to[b].narg; i++) to[b].arg[i].block = &to[b];
        for (struct hlo_op *op = to[b].first; op; op = op->next) op->parent = &to[b];
    }
    g->block = to, g->nblock = n + 1;
    return &to[n];
}

static bool read_block(struct reader *r, struct hlo_block *b) {
    struct hlo_loc at = lex_here(&r->x);
    while (lex_peek(&r->x) != '}' && lex_peek(&r->x) != '^') {
        if (r->x.p == r->x.end) return lex_expected(&r->x, "'}' at the end of a region");
        if (!read_op(r, b)) return false;
    }
    if (is_terminated(b) || r->in_module) return true;
    return hlo_fail(r->m, b->last ? b->last->loc : at,
        "the block does not end in a terminator: the last operation of a region is func.return in a function, "
        "stablehlo.return elsewhere");
}

static bool read_blocks(struct reader *r, struct hlo_region *g, int narg, const struct read_ssa *arg,
    const struct hlo_type *const *type) {
    bool labelled = narg < 0 && lex_peek(&r->x) == '^';
    if (narg < 0 && lex_peek(&r->x) == '}' && !r->in_module) return true; /* a region without blocks */
    do {
        struct hlo_block *b = add_block(r, g);
        if (!b || (labelled && !read_label(r, b))) return false;
        if (!labelled && narg > 0 && (!hlo_block_args(r->m, b, narg, type) || !define_args(r, b, arg))) return false;
        if (!read_block(r, b)) return false;
        labelled = true;
    } while (lex_peek(&r->x) == '^');
    return true;
}

bool read_region(struct reader *r, int narg, const struct read_ssa *arg, const struct hlo_type *const *type,
    enum read_scope scope) {
    struct hlo_region g = {0};
    bool in_module = r->in_module;
    if (!read_deeper(r) || !lex_expect(&r->x, '{', "before a region")) return false;
    struct ssa_scope s = read_scope_open(r, scope != SCOPE_NESTED);
    r->in_module = scope == SCOPE_MODULE;
    if (!read_blocks(r, &g, narg, arg, type) || !lex_expect(&r->x, '}', "at the end of a region")) return false;
    r->in_module = in_module;
    read_scope_close(r, s);
    r->depth--;
    return vec_push(r->c, &r->region, g);
}

/* ---- the generic form ------------------------------------------------------------------------------------------- */

static enum read_scope scope_of(enum hlo_opcode code) {
    return code == HLO_OP_FUNC ? SCOPE_FUNC : code == HLO_OP_MODULE ? SCOPE_MODULE : SCOPE_NESTED;
}

static bool generic_regions(struct reader *r, struct read_op *o) {
    do {
        if (!read_region(r, -1, NULL, NULL, scope_of(o->name->code))) return false;
    } while (lex_accept(&r->x, ','));
    return lex_expect(&r->x, ')', "after the regions");
}

bool read_generic_tail(struct reader *r, struct read_op *o) {
    if (!lex_expect(&r->x, '(', "before the operands") || !read_operands(r) ||
        !lex_expect(&r->x, ')', "after the operands"))
        return false;
    if (lex_peek(&r->x) == '[') return lex_expected(&r->x, "no successors: StableHLO programs have no branches; types");
    if (lex_accept(&r->x, '<') && (!read_attr_dict(r) || !lex_expect(&r->x, '>', "after the properties"))) return false;
    if (lex_accept(&r->x, '(') && !generic_regions(r, o)) return false;
    if (!read_opt_dict(r)) return false;
    return lex_expect(&r->x, ':', "before the operation's types") && read_functional(r, o);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

/* "%a:2, %b =" */
static bool read_result_names(struct reader *r) {
    do {
        struct read_ssa s;
        int64_t count = 1;
        if (!read_ssa_name(r, &s)) return false;
        if (lex_accept(&r->x, ':') && !lex_int(&r->x, &count, "the number of results")) return false;
        if (count < 1 || count > 1 << 20) return hlo_fail(r->m, s.at, "a group of %lld results", (long long)count);
        s.count = (int)count;
        if (!vec_push(r->c, &r->pending, s)) return false;
    } while (lex_accept(&r->x, ','));
    return lex_expect(&r->x, '=', "after the names of the results");
}

/* Names without a dialect: the func dialect's, and module. */
static const struct read_name *custom_name(struct reader *r) {
    static const char *const short_name[][2] = {{"return", "func.return"}, {"call", "func.call"}, {"func", "func.func"},
        {"module", "builtin.module"}};
    const char *s;
    size_t n;
    if (!lex_word(&r->x, &s, &n)) return lex_expected(&r->x, "an operation"), NULL;
    for (size_t i = 0; n < 7 && i < sizeof short_name / sizeof *short_name; i++)
        if (strlen(short_name[i][0]) == n && memcmp(s, short_name[i][0], n) == 0)
            return read_name(r, short_name[i][1], strlen(short_name[i][1]));
    return read_name(r, s, n);
}

static bool read_body(struct reader *r, struct read_op *o) {
    const char *s;
    size_t n;
    o->loc = lex_here(&r->x);
    if (lex_peek(&r->x) != '"') return (o->name = custom_name(r)) && read_pretty(r, o);
    if (!lex_string(&r->x, &r->m->arena, &s, &n)) return false;
    return (o->name = read_name(r, s, n)) && read_generic_tail(r, o);
}

bool read_op(struct reader *r, struct hlo_block *block) {
    struct read_op o = {.pending = r->pending.n};
    if (!read_deeper(r)) return false;
    if (lex_peek(&r->x) == '%' && !read_result_names(r)) return false;
    begin(r, &o);
    if (!read_body(r, &o) || !read_location(r)) return false;
    struct hlo_op *op = make(r, &o);
    if (!op || !define_results(r, &o, op)) return false;
    pop(r, &o);
    hlo_block_append(block, op);
    r->depth--;
    if (op->code == HLO_OP_FUNC) hlo_number(op);
    return true;
}
