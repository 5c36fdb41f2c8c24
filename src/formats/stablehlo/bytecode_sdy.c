/* bytecode_sdy.c: attributes of the Shardy dialect (sdy) as text.
 *
 * What JAX exports says with them how values lie on devices, and how custom calls may be split; nothing here computes
 * with them, but a module keeps them, as the text reader does: text as it stands. Each attribute is written as Shardy
 * prints it, "#sdy.sharding<@mesh, [{"x"}, {}]>"; inside of another one only what follows the name, which is kept in
 * hlo_attr.name.
 * Source: Shardy's bytecode.td (codes and fields), attrs.td and printers.cc (text). */
#include <string.h>

#include "formats/stablehlo/bytecode.h"

static void quoted(struct str *o, const char *s, size_t n) {
    str_putc(o, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (ch < 32 || ch > 126 || ch == '"' || ch == '\\') str_printf(o, "\\%02X", ch);
        else str_putc(o, s[i]);
    }
    str_putc(o, '"');
}

static void put_attr(struct bc_cursor *c, struct str *o, const struct hlo_attr *a) {
    if (!a) return;
    if (a->kind == HLO_A_OPAQUE && a->name) str_put(o, a->name);
    else if (a->kind == HLO_A_SYMBOL) str_printf(o, "@%s", a->s);
    else if (a->kind == HLO_A_STRING) quoted(o, a->s, a->ns);
    else bc_fail(c, "an attribute of Shardy that holds one of another dialect");
}

/* ---- fields ----------------------------------------------------------------------------------------------------- */

/* Attributes with ", " between; gives how many. */
static size_t put_list(struct bc_cursor *c, struct str *o) {
    size_t n = bc_count(c, "attributes");
    for (size_t i = 0; i < n && !c->b->failed; i++) {
        if (i) str_put(o, ", ");
        put_attr(c, o, bc_attr(c));
    }
    return n;
}

/* ", name={...}" unless the list is empty. */
static void put_named_list(struct bc_cursor *c, struct str *o, const char *name) {
    struct str list;
    str_init(&list, c->b->c);
    if (put_list(c, &list)) str_printf(o, ", %s={%s}", name, list.s);
    if (list.failed) bc_stop(c->b);
    str_release(&list);
}

static void put_ints(struct bc_cursor *c, struct str *o, const char *before, const char *after) {
    size_t n = bc_count(c, "integers");
    for (size_t i = 0; i < n && !c->b->failed; i++) str_printf(o, "%s%lld", i ? ", " : before, (long long)bc_int(c));
    if (n) str_put(o, after);
}

static void put_string(struct bc_cursor *c, struct str *o) {
    struct bc_string s = bc_string(c);
    quoted(o, s.s, s.n);
}

/* Factors of a sharding rule are i, j, ... z, z_1, z_2, ... */
static void put_factor(struct str *o, int64_t i) {
    if (i >= 0 && i <= 'z' - 'i') str_putc(o, (char)('i' + i));
    else str_printf(o, "z_%lld", (long long)(i - ('z' - 'i')));
}

static size_t put_factors(struct bc_cursor *c, struct str *o, const char *between) {
    size_t n = bc_count(c, "factors");
    for (size_t i = 0; i < n && !c->b->failed; i++) {
        if (i) str_put(o, between);
        put_factor(o, bc_int(c));
    }
    return n;
}

static void put_named_factors(struct bc_cursor *c, struct str *o, const char *name) {
    struct str list;
    str_init(&list, c->b->c);
    if (put_factors(c, &list, ", ")) str_printf(o, " %s={%s}", name, list.s);
    if (list.failed) bc_stop(c->b);
    str_release(&list);
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static void braces(struct bc_cursor *c, struct str *o) {
    str_putc(o, '{'), put_list(c, o), str_putc(o, '}');
}

static void brackets(struct bc_cursor *c, struct str *o) {
    str_putc(o, '['), put_list(c, o), str_putc(o, ']');
}

static void per_value(struct bc_cursor *c, struct str *o) {
    str_putc(o, '<'), brackets(c, o), str_putc(o, '>');
}

static void mesh_axis(struct bc_cursor *c, struct str *o) {
    put_string(c, o);
    str_printf(o, "=%lld", (long long)bc_int(c));
}

static void mesh(struct bc_cursor *c, struct str *o) {
    str_putc(o, '<'), brackets(c, o);
    put_ints(c, o, ", device_ids=[", "]"), str_putc(o, '>');
}

static void sub_axis(struct bc_cursor *c, struct str *o) {
    str_printf(o, "(%lld)", (long long)bc_int(c));
    str_printf(o, "%lld", (long long)bc_int(c));
}

static void axis_ref(struct bc_cursor *c, struct str *o) {
    put_string(c, o);
    const struct hlo_attr *sub = bc_attr_optional(c);
    if (sub) str_putc(o, ':'), put_attr(c, o, sub);
}

static void dimension(struct bc_cursor *c, struct str *o) {
    str_putc(o, '{');
    size_t n = put_list(c, o);
    if (!bc_byte(c)) str_put(o, n ? ", ?" : "?");
    str_putc(o, '}');
    bool there;
    uint64_t priority = bc_flagged(c, &there);
    if (there) str_printf(o, "p%llu", (unsigned long long)priority);
}

static void sharding_start(struct bc_cursor *c, struct str *o) {
    const struct hlo_attr *a = bc_attr(c);
    str_put(o, a && a->kind == HLO_A_OPAQUE ? "<mesh" : "<"), put_attr(c, o, a);
    str_put(o, ", "), brackets(c, o);
    put_named_list(c, o, "replicated");
}

static void sharding(struct bc_cursor *c, struct str *o) {
    sharding_start(c, o), str_putc(o, '>');
}

static void sharding_unreduced(struct bc_cursor *c, struct str *o) {
    sharding_start(c, o), put_named_list(c, o, "unreduced"), str_putc(o, '>');
}

static void dim_mapping(struct bc_cursor *c, struct str *o) {
    put_factors(c, o, "");
}

static void parentheses(struct bc_cursor *c, struct str *o) {
    str_putc(o, '('), put_list(c, o), str_putc(o, ')');
}

/* Sizes come first in the encoding and after the mappings in the text. */
static void rule(struct bc_cursor *c, struct str *o) {
    struct str sizes;
    str_init(&sizes, c->b->c);
    size_t n = bc_count(c, "factors");
    for (size_t i = 0; i < n && !c->b->failed; i++) {
        str_put(&sizes, i ? ", " : " {"), put_factor(&sizes, (int64_t)i);
        str_printf(&sizes, "=%lld", (long long)bc_int(c));
    }
    if (n) str_putc(&sizes, '}');
    str_putc(o, '<'), parentheses(c, o), str_put(o, "->"), parentheses(c, o);
    str_put(o, sizes.s);
    static const char *const kinds[] = {"reduction", "need_replication", "permutation", "blocked_propagation"};
    for (int i = 0; i < 4; i++) put_named_factors(c, o, kinds[i]);
    str_put(o, bc_byte(c) ? ", custom>" : ">");
    if (sizes.failed) bc_stop(c->b);
    str_release(&sizes);
}

static void all_to_all(struct bc_cursor *c, struct str *o) {
    braces(c, o);
    str_printf(o, ": %lld", (long long)bc_int(c));
    str_printf(o, "->%lld", (long long)bc_int(c));
}

static const struct { const char *name; void (*put)(struct bc_cursor *c, struct str *o); } codes[] = {
    {"manual_axes", braces}, {"mesh_axis", mesh_axis}, {"mesh", mesh}, {"sub_axis_info", sub_axis},
    {"axis_ref", axis_ref}, {"dimension_sharding", dimension}, {"sharding", sharding},
    {"sharding_per_value", per_value}, {"dim_mapping", dim_mapping}, {"tensor_mapping", brackets},
    {"op_sharding_rule", rule}, {"axis_ref_list", braces}, {"list_of_axis_ref_lists", brackets},
    {"all_to_all_param", all_to_all}, {"all_to_all_param_list", brackets}, {"sharding", sharding_unreduced},
    {"sharding_per_value", per_value},
};

const struct hlo_attr *bc_sdy_attr(struct bc_cursor *c) {
    struct bc *b = c->b;
    struct bc_cursor at = *c;
    uint64_t code = bc_uint(c);
    if (code >= sizeof codes / sizeof *codes) {
        return bc_fail(&at, "attribute %llu of dialect 'sdy' is unknown", (unsigned long long)code), NULL;
    }
    struct str text;
    str_init(&text, b->c);
    codes[code].put(c, &text);
    struct hlo_attr *a = NULL;
    if (text.failed) bc_stop(b);
    if (!b->failed && (a = arena_alloc(&b->m->arena, sizeof *a))) {
        bool angle = *text.s == '<'; /* #sdy.mesh<...>, but #sdy<manual_axes{...}> */
        const char *full = arena_printf(&b->m->arena, angle ? "#sdy.%s%s" : "#sdy<%s%s>", codes[code].name, text.s);
        const char *own = full && !angle ? arena_strdup(&b->m->arena, text.s) : full ? strchr(full, '<') : NULL;
        *a = (struct hlo_attr){.kind = HLO_A_OPAQUE, .s = full, .ns = full ? strlen(full) : 0, .name = own};
        if (!own) a = NULL;
    }
    if (!a) bc_stop(b);
    str_release(&text);
    return a;
}
