/* ir_op.c: modules, operations, blocks and regions made; values numbered; errors told with their position.
 *
 * An operation and its arrays are one block of the arena: header, results, operands, attributes, regions. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/stablehlo/ir.h"

/* ---- modules ---------------------------------------------------------------------------------------------------- */

struct hlo_module *hlo_module_new(tsr_ctx *c, const char *file) {
    struct hlo_module *m = mem_new(c, struct hlo_module);
    if (!m) return NULL;
    m->c = c;
    arena_init(&m->arena, c);
    map_init(&m->types);
    map_init(&m->symbols);
    m->file = arena_strdup(&m->arena, file ? file : "");
    m->op = m->file ? hlo_op_new(m, "builtin.module", (struct hlo_loc){1, 1}, 0, NULL, 0, NULL, 0, NULL, 1) : NULL;
    if (m->op && hlo_region_blocks(m, &m->op->region[0], 1)) return m;
    hlo_module_free(m);
    return NULL;
}

void hlo_module_free(struct hlo_module *m) {
    for (struct hlo_module *next; m; m = next) {
        next = m->next;
        map_release(m->c, &m->types);
        map_release(m->c, &m->symbols);
        arena_release(&m->arena);
        mem_del(m->c, m);
    }
}

static bool has_name(const void *item, const void *key, void *user) {
    (void)user;
    const char *name = hlo_get_text(item, "sym_name");
    return name && strcmp(name, key) == 0;
}

struct hlo_op *hlo_find_func(const struct hlo_module *m, const char *name) {
    return map_get(&m->symbols, hash_str(0, name), name, has_name, NULL);
}

bool hlo_module_add_func(struct hlo_module *m, struct hlo_op *func) {
    const char *name = hlo_get_text(func, "sym_name");
    if (!name) return hlo_fail(m, func->loc, "func.func has no name: it needs sym_name, a string");
    const struct hlo_op *other = hlo_find_func(m, name);
    if (other)
        return hlo_fail(m, func->loc, "a function named @%s is there already, at line %u: names are unique",
            name, other->loc.line);
    return map_put(m->c, &m->symbols, hash_str(0, name), func);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static size_t round16(size_t n) { return (n + 15) & ~(size_t)15; }

static bool own_attrs(struct hlo_module *m, struct hlo_op *op, int n, const struct hlo_named *attr) {
    struct hlo_named *to = (struct hlo_named *)op->attr;
    if (n) memcpy(to, attr, (size_t)n * sizeof *to);
    for (int i = 0; i < n; i++)
        if (!(to[i].name = arena_strdup(&m->arena, attr[i].name))) return false;
    hlo_named_sort(to, n);
    op->nattr = n;
    return true;
}

struct hlo_op *hlo_op_alloc(struct hlo_module *m, int noperand, int nattr, int nresult, int nregion) {
    struct hlo_op *op = NULL;
    size_t at_result = round16(sizeof *op), at_operand = at_result + (size_t)nresult * sizeof *op->result;
    size_t at_attr = at_operand + (size_t)noperand * sizeof *op->operand;
    size_t at_region = at_attr + (size_t)nattr * sizeof *op->attr;
    char *p = arena_alloc(&m->arena, at_region + (size_t)nregion * sizeof *op->region);
    if (!p) return NULL;
    op = (struct hlo_op *)p;
    op->result = (struct hlo_value *)(p + at_result);
    op->operand = (struct hlo_value **)(p + at_operand);
    op->attr = (struct hlo_named *)(p + at_attr);
    op->region = (struct hlo_region *)(p + at_region);
    op->nresult = nresult, op->noperand = noperand, op->nattr = nattr, op->nregion = nregion;
    for (int i = 0; i < nresult; i++) op->result[i].op = op, op->result[i].index = i, op->result[i].id = -1;
    for (int i = 0; i < nregion; i++) op->region[i].parent = op;
    return op;
}

struct hlo_op *hlo_op_new(struct hlo_module *m, const char *name, struct hlo_loc loc, int noperand,
    struct hlo_value *const *operand, int nattr, const struct hlo_named *attr, int nresult,
    const struct hlo_type *const *result, int nregion) {
    enum hlo_opcode code = hlo_opcode_find(name, strlen(name));
    struct hlo_op *op = hlo_op_alloc(m, noperand, nattr, nresult, nregion);
    if (!op || !own_attrs(m, op, nattr, attr)) return NULL;
    op->code = code, op->loc = loc;
    op->name = code == HLO_OP_UNKNOWN ? arena_strdup(&m->arena, name) : hlo_op_of(code)->name;
    if (noperand) memcpy(op->operand, operand, (size_t)noperand * sizeof *operand);
    for (int i = 0; i < nresult; i++) op->result[i].type = result[i];
    return op->name ? op : NULL;
}

bool hlo_op_set_attrs(struct hlo_module *m, struct hlo_op *op, int n, const struct hlo_named *attr) {
    struct hlo_named *to = arena_array(&m->arena, (size_t)n, sizeof *to);
    if (!to) return false;
    op->attr = to;
    return own_attrs(m, op, n, attr);
}

void hlo_block_append(struct hlo_block *b, struct hlo_op *op) {
    op->parent = b;
    op->next = NULL;
    if (b->last) b->last->next = op;
    else b->first = op;
    b->last = op;
}

bool hlo_block_args(struct hlo_module *m, struct hlo_block *b, int n, const struct hlo_type *const *type) {
    struct hlo_value *arg = arena_array(&m->arena, (size_t)n, sizeof *arg);
    if (!arg) return false;
    for (int i = 0; i < n; i++) arg[i] = (struct hlo_value){.type = type[i], .block = b, .index = i, .id = -1};
    b->arg = arg, b->narg = n;
    return true;
}

bool hlo_region_blocks(struct hlo_module *m, struct hlo_region *r, int n) {
    struct hlo_block *block = arena_array(&m->arena, (size_t)n, sizeof *block);
    if (!block) return false;
    for (int i = 0; i < n; i++) block[i].parent = r;
    r->block = block, r->nblock = n;
    return true;
}

struct hlo_op *hlo_func_new(struct hlo_module *m, const char *name, struct hlo_loc loc, const struct hlo_type *type,
    int nattr, const struct hlo_named *attr) {
    struct hlo_named all[2 + 8] = {{"function_type", hlo_attr_type(m, type)},
        {"sym_name", hlo_attr_string(m, name, strlen(name))}};
    if (!all[0].value || !all[1].value) return NULL;
    TSR_ASSERT(nattr <= 8);
    for (int i = 0; i < nattr; i++) all[2 + i] = attr[i];
    struct hlo_op *f = hlo_op_new(m, "func.func", loc, 0, NULL, 2 + nattr, all, 0, NULL, 1);
    if (!f || !hlo_region_blocks(m, &f->region[0], 1)) return NULL;
    if (!hlo_block_args(m, &f->region[0].block[0], type->nin, type->item)) return NULL;
    if (!hlo_module_add_func(m, f)) return NULL;
    hlo_block_append(&m->op->region[0].block[0], f);
    return f;
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static int number_op(struct hlo_op *op, int id);

static int number_regions(struct hlo_op *op, int id) {
    for (int r = 0; r < op->nregion; r++)
        for (int b = 0; b < op->region[r].nblock; b++) {
            struct hlo_block *block = &op->region[r].block[b];
            for (int i = 0; i < block->narg; i++) block->arg[i].id = id++;
            for (struct hlo_op *k = block->first; k; k = k->next) id = number_op(k, id);
        }
    return id;
}

static int number_op(struct hlo_op *op, int id) {
    for (int i = 0; i < op->nresult; i++) op->result[i].id = id++;
    return number_regions(op, id);
}

void hlo_number(struct hlo_op *func) { func->nvalue = number_regions(func, 0); }

/* ---- errors ----------------------------------------------------------------------------------------------------- */

bool hlo_fail(const struct hlo_module *m, struct hlo_loc at, const char *fmt, ...) {
    char text[1600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (at.line) err_set(m->c, TSR_EINVAL, "%s:%u:%u: %s", m->file, at.line, at.col, text);
    else err_set(m->c, TSR_EINVAL, "%s: byte %u: %s", m->file, at.col, text);
    return false;
}
