/* vhlo.c: VHLO's operations in the form of StableHLO, by the three tables of vhlo.def. */
#include "formats/stablehlo/vhlo.h"

#include <string.h>

#include "formats/stablehlo/structs.h"

#define VHLO_OP(name, hlo, since_major, since_minor, until_major, until_minor, attrs)
#define VHLO_GROUP(op, attr, structure)
#define VHLO_FIELD(structure, field, attr)
#define VHLO_RULE(op, attr, rule)

static const struct vhlo_op ops[] = {
#undef VHLO_OP
#define VHLO_OP(name, hlo, since_major, since_minor, until_major, until_minor, attrs)                                 \
    {name, hlo, attrs, {since_major, since_minor}, {until_major, until_minor}},
#include "formats/stablehlo/vhlo.def"
#undef VHLO_OP
#define VHLO_OP(name, hlo, since_major, since_minor, until_major, until_minor, attrs)
};

static const struct group { const char *op, *attr, *structure; } groups[] = {
#undef VHLO_GROUP
#define VHLO_GROUP(op, attr, structure) {op, attr, structure},
#include "formats/stablehlo/vhlo.def"
#undef VHLO_GROUP
#define VHLO_GROUP(op, attr, structure)
};

static const struct { const char *structure, *field, *attr; } fields[] = {
#undef VHLO_FIELD
#define VHLO_FIELD(structure, field, attr) {structure, field, attr},
#include "formats/stablehlo/vhlo.def"
#undef VHLO_FIELD
#define VHLO_FIELD(structure, field, attr)
};

enum rule { SYMBOL, NOT_EMPTY, GONE };
static const struct { const char *op, *attr; enum rule rule; } rules[] = {
#undef VHLO_RULE
#define VHLO_RULE(op, attr, rule) {op, attr, rule},
#include "formats/stablehlo/vhlo.def"
};

const struct vhlo_op *vhlo_op_find(const char *name) {
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (!strcmp(ops[i].name, name)) return &ops[i];
    }
    return NULL;
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

static const struct hlo_attr *take(vhlo_attrs *attrs, const char *name, size_t n) {
    for (size_t i = 0; i < attrs->n; i++) {
        if (strncmp(attrs->v[i].name, name, n) || attrs->v[i].name[n]) continue;
        const struct hlo_attr *value = attrs->v[i].value;
        attrs->v[i] = attrs->v[--attrs->n];
        return value;
    }
    return NULL;
}

/* A list of extents is a constant in VHLO and an array in a structure. */
static const struct hlo_attr *field_value(struct hlo_module *m, struct hlo_loc at, const struct hlo_attr *a) {
    if (a->kind != HLO_A_ELEMENTS) return a;
    int64_t n = a->type->rank == 1 && a->type->elem == HLO_I64 ? hlo_type_count(a->type) : -1;
    if (n < 0 || n > INT32_MAX || (a->splat && n > 64)) {
        hlo_fail(m, at, "a list of dimensions that is no tensor of i64 with one axis");
        return NULL;
    }
    int64_t *v = arena_array(&m->arena, (size_t)n, sizeof *v);
    return v && hlo_elements_ints(m->c, a, v) ? hlo_attr_ints(m, HLO_I64, (int)n, v) : NULL;
}

static bool stands_for_nothing(const struct hlo_attr *first) {
    return !first || (first->kind == HLO_A_TYPE && first->type->elem == HLO_NONE);
}

/* What VHLO calls a field; n is the length of either name. */
static const char *vhlo_name(const char *structure, const char *field, size_t *n) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(fields[i].structure, structure) || strlen(fields[i].field) != *n) continue;
        if (!strncmp(fields[i].field, field, *n)) return *n = strlen(fields[i].attr), fields[i].attr;
    }
    return field;
}

static bool push(struct hlo_module *m, vhlo_attrs *attrs, const char *name, const struct hlo_attr *value) {
    return value && vec_push(m->c, attrs, ((struct hlo_named){name, value}));
}

static bool group(struct hlo_module *m, struct hlo_loc at, const struct group *g, vhlo_attrs *attrs) {
    const struct hlo_struct_info *info = hlo_struct_find(g->structure, strlen(g->structure));
    const struct hlo_attr *value[HLO_STRUCT_FIELDS] = {NULL};
    struct hlo_struct_field f;
    for (int i = 0; hlo_struct_field(info, i, &f); i++) {
        size_t n = f.nname;
        const char *name = vhlo_name(g->structure, f.name, &n);
        const struct hlo_attr *a = take(attrs, name, n);
        if (a && !(value[i] = field_value(m, at, a))) return false;
    }
    if (stands_for_nothing(value[0])) return true;
    return push(m, attrs, g->attr, hlo_struct_make(m, info, value));
}

/* ---- rules ------------------------------------------------------------------------------------------------------ */

static const struct hlo_attr *one_symbol(struct hlo_module *m, struct hlo_loc at, const struct hlo_attr *a) {
    if (a->kind == HLO_A_STRING && strlen(a->s) == a->ns) return hlo_attr_symbol(m, a->s);
    hlo_fail(m, at, "a symbol that is no string, or has a NUL in it");
    return NULL;
}

static const struct hlo_attr *symbol(struct hlo_module *m, struct hlo_loc at, const struct hlo_attr *a) {
    if (a->kind != HLO_A_LIST) return one_symbol(m, at, a);
    const struct hlo_attr **item = arena_array(&m->arena, (size_t)a->n, sizeof *item);
    for (int i = 0; item && i < a->n; i++) {
        if (!(item[i] = one_symbol(m, at, a->item[i]))) return NULL;
    }
    return item ? hlo_attr_list(m, a->n, item) : NULL;
}

static bool is_nothing(enum rule rule, const struct hlo_attr *a) {
    bool empty = (a->kind == HLO_A_DICT && !a->n) || (a->kind == HLO_A_STRING && !a->ns) ||
        (a->kind == HLO_A_ELEMENTS && !a->ndata);
    return rule == GONE || (rule == NOT_EMPTY && empty);
}

bool vhlo_canonical(struct hlo_module *m, struct hlo_loc at, const char *hlo, vhlo_attrs *attrs) {
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (!strcmp(groups[i].op, hlo) && !group(m, at, &groups[i], attrs)) return false;
    }
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(rules[i].op, hlo)) continue;
        const struct hlo_attr *a = take(attrs, rules[i].attr, strlen(rules[i].attr));
        if (!a || is_nothing(rules[i].rule, a)) continue;
        if (rules[i].rule == SYMBOL) a = symbol(m, at, a);
        if (!push(m, attrs, rules[i].attr, a)) return false;
    }
    return true;
}
