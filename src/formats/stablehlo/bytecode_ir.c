/* bytecode_ir.c: the operations of bytecode.
 *
 * The section of operations is one block, in which a module stands alone. Values have numbers: each region says how
 * many values its blocks define and takes the next so many numbers, which end with the region; a region isolated from
 * above begins at zero again. Numbers are given in the order of definition, so a value is used by those after it, and
 * nothing here refers forward. Blocks with successors are refused: StableHLO has structured control flow only.
 * An operation is: name, mask of what follows, location, attributes, properties, results, operands, successors, orders
 * of uses, regions. */
#include <string.h>

#include "formats/stablehlo/bytecode.h"

enum { HAS_ATTRS = 1, HAS_RESULTS = 2, HAS_OPERANDS = 4, HAS_SUCCESSORS = 8, HAS_REGIONS = 16, HAS_USE_ORDERS = 32,
    HAS_PROPERTIES = 64 };

/* Properties of operations that are not of VHLO, in the order of their encoding; '?': may be absent. */
static const struct { const char *op, *attrs; } properties[] = {
    {"builtin.module", "sym_name? sym_visibility?"},
    {"func.func", "arg_attrs? function_type res_attrs? sym_name sym_visibility?"},
    {"func.call", "callee"},
    {"func.return", ""},
    {"builtin.unrealized_conversion_cast", ""},
    {"sdy.mesh", "mesh sym_name"},
    {"sdy.manual_computation", "in_shardings manual_axes out_shardings"},
    {"sdy.named_computation", "in_shardings name out_shardings"},
    {"sdy.sharding_constraint", "sharding"},
    {"sdy.reshard", "sharding"},
    {"sdy.sharding_group", "group_id"},
    {"sdy.return", ""},
};

/* The region being read: its values have the numbers base to end - 1; next is the one to define. */
struct frame {
    size_t base, next, end;
};

static bool read_region(struct bc_cursor *c, struct hlo_region *region);
static bool read_op(struct bc_cursor *c, struct hlo_block *block, struct frame *f);

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Every value takes a byte of the file at least (its type), so there cannot be more of them than bytes. */
static bool push_values(struct bc_cursor *c, struct frame *f) {
    struct bc *b = c->b;
    size_t n = bc_count(c, "values");
    size_t have = b->values.n;
    if (b->failed) return false;
    if (n > b->n - have) return bc_fail(c, "%zu values within %zu others, more than the file has bytes", n, have);
    if (!vec_reserve(b->c, &b->values, have + n)) return bc_stop(b);
    for (size_t i = 0; i < n; i++) b->values.v[have + i] = NULL;
    b->values.n = have + n;
    *f = (struct frame){have, have, have + n};
    return true;
}

static bool define(struct bc_cursor *c, struct frame *f, struct hlo_value *value) {
    if (f->next == f->end) {
        return bc_fail(c, "a region defines more than the %zu values it promised", f->end - f->base);
    }
    c->b->values.v[f->next++] = value;
    return true;
}

static struct hlo_value *use(struct bc_cursor *c) {
    struct bc *b = c->b;
    size_t i = bc_index(c, b->values.n - b->scope, "value");
    struct hlo_value *v = b->failed ? NULL : b->values.v[b->scope + i];
    if (!v) bc_fail(c, "value %zu is used before it is defined", i);
    return v;
}

/* [how many, if there are several values:] each [index, if there are several,] length << 1 | pairs, indices. */
static void skip_use_orders(struct bc_cursor *c, int values) {
    size_t n = values > 1 ? bc_count(c, "orders of uses") : 1;
    for (size_t i = 0; i < n && !c->b->failed; i++) {
        if (values > 1) bc_uint(c);
        bool pairs;
        uint64_t length = bc_flagged(c, &pairs);
        while (length-- && !c->b->failed) bc_uint(c);
    }
}

/* ---- an operation's parts --------------------------------------------------------------------------------------- */

static const char *table_of_properties(const struct bc_op_name *name) {
    if (name->vhlo) return name->vhlo->attrs;
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
        if (!strcmp(properties[i].op, name->full)) return properties[i].attrs;
    }
    return NULL;
}

/* What names a symbol is a string of C's later on. */
static bool push_attr(struct bc_cursor *c, const char *name, const struct hlo_attr *value) {
    struct bc *b = c->b;
    if (!value) return !b->failed;
    if (value->kind == HLO_A_STRING && !strcmp(name, "sym_name") && strlen(value->s) != value->ns) {
        return bc_fail(c, "a name with a NUL in it");
    }
    return vec_push(b->c, &b->named, ((struct hlo_named){name, value})) || bc_stop(b);
}

static void push_dict(struct bc_cursor *c) {
    const struct hlo_attr *a = bc_attr(c);
    if (!a) return;
    if (a->kind != HLO_A_DICT) bc_fail(c, "an operation's attributes are no dictionary");
    for (int i = 0; i < a->n && !c->b->failed; i++) push_attr(c, a->field[i].name, a->field[i].value);
}

/* The values of the names in `table` one after another. */
static void push_table(struct bc_cursor *c, const char *table) {
    struct bc *b = c->b;
    while (*table && !b->failed) {
        size_t n = strcspn(table, " ?");
        char *name = arena_printf(&b->m->arena, "%.*s", (int)n, table);
        const struct hlo_attr *value = table[n] == '?' ? bc_attr_optional(c) : bc_attr(c);
        if (!name || !push_attr(c, name, value)) bc_stop(b);
        table += n;
        table += strspn(table, " ?");
    }
    if (bc_left(c)) bc_fail(c, "%zu bytes after an operation's properties", bc_left(c));
}

static void push_properties(struct bc_cursor *c, const struct bc_op_name *name) {
    struct bc *b = c->b;
    if (!name->registered) {
        push_dict(c);
        return;
    }
    struct bc_cursor at = *c;
    size_t i = bc_index(c, b->properties.n, "properties");
    if (b->failed) return;
    const char *table = table_of_properties(name);
    if (!table) {
        bc_fail(&at, "properties of %.60s, whose order only its dialect knows; write the module as a portable artifact "
            "of StableHLO", name->full);
        return;
    }
    struct bc_cursor inside = bc_cursor(b, b->properties.v[i]);
    push_table(&inside, table);
}

static void read_results(struct bc_cursor *c) {
    struct bc *b = c->b;
    size_t n = bc_count(c, "results");
    for (size_t i = 0; i < n && !b->failed; i++) {
        const struct hlo_type *t = bc_type(c);
        if (t && !vec_push(b->c, &b->result, t)) bc_stop(b);
    }
}

static void read_operands(struct bc_cursor *c) {
    struct bc *b = c->b;
    size_t n = bc_count(c, "operands");
    for (size_t i = 0; i < n && !b->failed; i++) {
        struct hlo_value *v = use(c);
        if (v && !vec_push(b->c, &b->operand, v)) bc_stop(b);
    }
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static const struct bc_op_name *op_name(struct bc_cursor *c) {
    struct bc *b = c->b;
    struct bc_cursor at = *c;
    size_t i = bc_index(c, b->op_names.n, "operation name");
    struct bc_op_name *name = b->failed ? NULL : &b->op_names.v[i];
    if (!name || name->full) return name;
    const char *dialect = name->dialect->name.s;
    if (name->dialect->kind == BC_VHLO) {
        name->vhlo = vhlo_op_find(name->name.s);
        if (name->vhlo) return name->full = name->vhlo->hlo, name;
        return bc_fail(&at, "vhlo.%.60s is no operation of VHLO %d.%d to %d.%d (the file's writer is '%.40s'); write "
            "the module for one of these versions", name->name.s, VHLO_MIN_MAJOR, VHLO_MIN_MINOR, VHLO_MAX_MAJOR,
            VHLO_MAX_MINOR, b->producer.s), NULL;
    }
    name->full = name->name.n ? arena_printf(&b->m->arena, "%s.%s", dialect, name->name.s) : dialect;
    return name->full ? name : (bc_stop(b), NULL);
}

/* VHLO has one return; StableHLO has that of functions and that of regions. */
static const char *canonical_name(const struct bc_op_name *name, const struct hlo_block *block) {
    const struct hlo_op *around = block->parent->parent;
    bool in_function = around && around->code == HLO_OP_FUNC;
    return name->vhlo && in_function && !strcmp(name->full, "stablehlo.return") ? "func.return" : name->full;
}

/* ---- operations, regions, blocks -------------------------------------------------------------------------------- */

static struct hlo_op *make_op(struct bc_cursor *c, struct hlo_loc at, const struct bc_op_name *name,
    const struct hlo_block *block, size_t nregion) {
    struct bc *b = c->b;
    const char *full = canonical_name(name, block);
    if (name->vhlo && !vhlo_canonical(b->m, at, full, &b->named)) return bc_stop(b), NULL;
    struct hlo_op *op = hlo_op_new(b->m, full, at, (int)b->operand.n, b->operand.v, (int)b->named.n, b->named.v,
        (int)b->result.n, b->result.v, (int)nregion);
    return op ? op : (bc_stop(b), NULL);
}

/* Everything but the regions, whose number and isolation are given. */
static struct hlo_op *read_op_head(struct bc_cursor *c, const struct hlo_block *block, size_t *nregion,
    bool *isolated) {
    struct bc *b = c->b;
    struct hlo_loc at = bc_here(c);
    b->named.n = b->result.n = b->operand.n = 0;
    const struct bc_op_name *name = op_name(c);
    uint8_t mask = bc_byte(c);
    bc_index(c, b->attrs.n, "location");
    if (b->failed) return NULL;
    if (mask & HAS_ATTRS) push_dict(c);
    if (mask & HAS_PROPERTIES) push_properties(c, name);
    if (mask & HAS_RESULTS) read_results(c);
    if (mask & HAS_OPERANDS) read_operands(c);
    if (mask & HAS_SUCCESSORS) bc_fail(c, "%s branches to another block; StableHLO has structured control flow only",
        name->full);
    if (mask & HAS_USE_ORDERS && b->version >= 3) skip_use_orders(c, (int)b->result.n);
    uint64_t regions = mask & HAS_REGIONS ? bc_flagged(c, isolated) : 0;
    if (regions > bc_left(c)) bc_fail(c, "%llu regions promised, but only %zu bytes are left",
        (unsigned long long)regions, bc_left(c));
    *nregion = (size_t)regions;
    return b->failed ? NULL : make_op(c, at, name, block, *nregion);
}

static bool read_regions(struct bc_cursor *c, struct hlo_op *op, bool isolated) {
    struct bc *b = c->b;
    struct bc_cursor inside = *c;
    size_t scope = b->scope;
    bool section = isolated && b->version >= 2 && op->nregion;
    if (section) {
        unsigned id;
        struct bc_span s = bc_section(c, &id);
        if (id != BC_IR) bc_fail(c, "a section of kind %u where the operations of %s are expected", id, op->name);
        inside = bc_cursor(b, s);
    }
    if (isolated) b->scope = b->values.n;
    for (int i = 0; i < op->nregion && !b->failed; i++) read_region(&inside, &op->region[i]);
    b->scope = scope;
    if (!section) c->p = inside.p;
    else if (bc_left(&inside)) bc_fail(&inside, "%zu bytes after the operations of %s", bc_left(&inside), op->name);
    return !b->failed;
}

/* A cast between VHLO's types and those of another dialect, which are one type here: its results are its operands. */
static bool is_identity(const struct hlo_op *op) {
    if (strcmp(op->name, "builtin.unrealized_conversion_cast") || op->noperand != op->nresult) return false;
    for (int i = 0; i < op->nresult; i++) {
        if (op->operand[i]->type != op->result[i].type) return false;
    }
    return true;
}

static bool is_dicts(const struct hlo_attr *a, int n) {
    if (!a) return true;
    bool fits = a->kind == HLO_A_LIST && a->n == n;
    for (int i = 0; fits && i < n; i++) fits = a->item[i]->kind == HLO_A_DICT;
    return fits;
}

/* A function's type, its block's arguments and the attributes of arguments and results tell of the same values. */
static bool fits_its_type(const struct hlo_op *func) {
    const struct hlo_attr *a = hlo_get(func, "function_type");
    const struct hlo_type *t = a && a->kind == HLO_A_TYPE ? a->type : NULL;
    if (!t || t->kind != HLO_T_FUNCTION || func->nregion != 1) return false;
    const struct hlo_region *r = &func->region[0];
    bool fits = r->nblock == 0 || r->block[0].narg == t->nin;
    for (int i = 0; fits && r->nblock && i < t->nin; i++) fits = r->block[0].arg[i].type == t->item[i];
    return fits && is_dicts(hlo_get(func, "arg_attrs"), t->nin) && is_dicts(hlo_get(func, "res_attrs"), t->n - t->nin);
}

static bool read_op(struct bc_cursor *c, struct hlo_block *block, struct frame *f) {
    struct bc *b = c->b;
    size_t nregion;
    bool isolated = false;
    struct hlo_op *op = read_op_head(c, block, &nregion, &isolated);
    if (!op) return false;
    bool identity = is_identity(op);
    for (int i = 0; i < op->nresult; i++) {
        if (!define(c, f, identity ? op->operand[i] : &op->result[i])) return false;
    }
    if (identity && !nregion) return true;
    hlo_block_append(block, op);
    if (b->depth++ >= BC_DEPTH) bc_fail(c, "regions nested more than %d deep", BC_DEPTH);
    if (!read_regions(c, op, isolated)) return false;
    b->depth--;
    if (!hlo_normalise(b->m, op)) return bc_stop(b);
    if (op->code != HLO_OP_FUNC) return true;
    if (!fits_its_type(op)) return bc_fail(c, "a function whose arguments are not those of its type");
    hlo_number(op);
    return hlo_module_add_func(b->m, op) || bc_stop(b);
}

/* Arguments: type << 1 | location follows; before version 4 type and location. */
static bool read_block_args(struct bc_cursor *c, struct hlo_block *block, struct frame *f) {
    struct bc *b = c->b;
    size_t n = bc_count(c, "block arguments");
    b->result.n = 0;
    for (size_t i = 0; i < n && !b->failed; i++) {
        bool located = true;
        uint64_t index = b->version >= 4 ? bc_flagged(c, &located) : bc_uint(c);
        const struct hlo_type *t = bc_type_at(c, index);
        if (located) bc_index(c, b->attrs.n, "location");
        if (t && !vec_push(b->c, &b->result, t)) bc_stop(b);
    }
    if (b->failed) return false;
    if (!hlo_block_args(b->m, block, (int)n, b->result.v)) return bc_stop(b);
    for (int i = 0; i < block->narg; i++) {
        if (!define(c, f, &block->arg[i])) return false;
    }
    return true;
}

/* ops << 1 | has arguments; arguments; from version 3 on whether there are orders of their uses; operations. */
static bool read_block(struct bc_cursor *c, struct hlo_block *block, struct frame *f) {
    struct bc *b = c->b;
    bool has_args;
    uint64_t ops = bc_flagged(c, &has_args);
    if (ops > bc_left(c)) {
        return bc_fail(c, "%llu operations promised, but only %zu bytes are left", (unsigned long long)ops, bc_left(c));
    }
    if (has_args && !read_block_args(c, block, f)) return false;
    if (has_args && b->version >= 3 && bc_byte(c)) skip_use_orders(c, block->narg);
    while (ops-- && !b->failed) {
        if (!read_op(c, block, f)) return false;
    }
    return !b->failed;
}

static bool read_region(struct bc_cursor *c, struct hlo_region *region) {
    struct bc *b = c->b;
    size_t nblock = bc_count(c, "blocks");
    struct frame f;
    if (b->failed || !nblock) return !b->failed;
    if (!push_values(c, &f)) return false;
    if (!hlo_region_blocks(b->m, region, (int)nblock)) return bc_stop(b);
    for (size_t i = 0; i < nblock; i++) {
        if (!read_block(c, &region->block[i], &f)) return false;
    }
    b->values.n = f.base;
    return true;
}

/* A module alone at the top is the module; anything else stands in one. */
bool bc_read_ir(struct bc *b) {
    struct bc_cursor c = bc_cursor(b, b->section[BC_IR]);
    struct hlo_region *top = &b->m->op->region[0];
    struct frame none = {0, 0, 0};
    b->m->op->loc = bc_here(&c);
    if (!read_block(&c, &top->block[0], &none)) return false;
    if (bc_left(&c)) return bc_fail(&c, "%zu bytes after the last operation", bc_left(&c));
    struct hlo_op *only = top->block[0].first;
    if (!only || only->next || only->code != HLO_OP_MODULE || only->nregion != 1) return true;
    if (only->region[0].nblock > 1) return bc_fail(&c, "a module of %d blocks", only->region[0].nblock);
    if (!only->region[0].nblock && !hlo_region_blocks(b->m, &only->region[0], 1)) return bc_stop(b);
    only->parent = NULL;
    b->m->op = only;
    return true;
}
