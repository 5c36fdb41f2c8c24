/* ir_equal.c: whether two modules say the same program.
 *
 * The two trees are walked side by side twice: first names, types, attributes and the shape of regions, pairing each
 * value of one module with its counterpart; then operands, which must be counterparts. Labels, ids and positions are
 * no part of a program. The walk stops at the first difference and says where it is in either text. */
#include <string.h>

#include "formats/stablehlo/ir.h"

struct pair {
    const struct hlo_value *a, *b;
};
struct compare {
    const struct hlo_module *ma, *mb;
    struct arena arena;
    struct map pairs; /* struct pair by a */
    struct str *why;
    bool operands; /* the second walk */
};

static uint64_t hash_value(const struct hlo_value *v) { return hash_mix(0, (uintptr_t)v); }

static bool is_pair_of(const void *item, const void *key, void *user) {
    (void)user;
    return ((const struct pair *)item)->a == key;
}

/* Says where; the caller goes on with what. Gives where to write, NULL: nobody wants to know. */
static struct str *differ(const struct compare *k, const struct hlo_op *a, const struct hlo_op *b) {
    if (!k->why) return NULL;
    str_printf(k->why, "%s:%u:%u and %s:%u:%u: %s: ", k->ma->file, a->loc.line, a->loc.col, k->mb->file, b->loc.line,
        b->loc.col, a->name);
    return k->why;
}

static bool differ_in(const struct compare *k, const struct hlo_op *a, const struct hlo_op *b, const char *what,
    int na, int nb) {
    struct str *o = differ(k, a, b);
    if (o) str_printf(o, "%d and %d %s", na, nb, what);
    return false;
}

static bool add_pair(struct compare *k, const struct hlo_value *a, const struct hlo_value *b) {
    struct pair *p = arena_alloc(&k->arena, sizeof *p);
    if (!p) return false;
    *p = (struct pair){a, b};
    return map_put(k->arena.c, &k->pairs, hash_value(a), p);
}

static bool types_equal(const struct compare *k, const struct hlo_op *at_a, const struct hlo_op *at_b, const char *what,
    int i, const struct hlo_type *a, const struct hlo_type *b) {
    if (hlo_type_equal(a, b)) return true;
    struct str *o = differ(k, at_a, at_b);
    if (!o) return false;
    str_printf(o, "%s %d has type ", what, i);
    hlo_type_text(o, a);
    str_put(o, " and ");
    hlo_type_text(o, b);
    return false;
}

static bool attrs_equal(const struct compare *k, const struct hlo_op *a, const struct hlo_op *b) {
    for (int i = 0; i < a->nattr || i < b->nattr; i++) {
        const struct hlo_named *fa = i < a->nattr ? &a->attr[i] : NULL, *fb = i < b->nattr ? &b->attr[i] : NULL;
        int order = !fa ? 1 : !fb ? -1 : strcmp(fa->name, fb->name);
        if (order == 0 && hlo_attr_equal(fa->value, fb->value)) continue;
        struct str *o = differ(k, a, b);
        if (!o) return false;
        if (order) {
            const char *name = (order < 0 ? fa : fb)->name;
            str_printf(o, "only the %s has an attribute %s", order < 0 ? "first" : "second", name);
        } else {
            str_printf(o, "attribute %s is ", fa->name);
            hlo_attr_text(o, fa->value);
            str_put(o, " and ");
            hlo_attr_text(o, fb->value);
        }
        return false;
    }
    return true;
}

static bool operands_equal(const struct compare *k, const struct hlo_op *a, const struct hlo_op *b) {
    for (int i = 0; i < a->noperand; i++) {
        const struct hlo_value *v = a->operand[i];
        const struct pair *p = map_get(&k->pairs, hash_value(v), v, is_pair_of, NULL);
        if (p && p->b == b->operand[i]) continue;
        struct str *o = differ(k, a, b);
        if (o) str_printf(o, "operand %d is another value", i);
        return false;
    }
    return true;
}

static bool head_equal(struct compare *k, const struct hlo_op *a, const struct hlo_op *b) {
    if (strcmp(a->name, b->name) != 0) {
        struct str *o = differ(k, a, b);
        if (o) str_printf(o, "the other is %s", b->name);
        return false;
    }
    if (a->noperand != b->noperand) return differ_in(k, a, b, "operands", a->noperand, b->noperand);
    if (a->nresult != b->nresult) return differ_in(k, a, b, "results", a->nresult, b->nresult);
    if (a->nregion != b->nregion) return differ_in(k, a, b, "regions", a->nregion, b->nregion);
    for (int i = 0; i < a->nresult; i++)
        if (!types_equal(k, a, b, "result", i, a->result[i].type, b->result[i].type) ||
            !add_pair(k, &a->result[i], &b->result[i]))
            return false;
    return attrs_equal(k, a, b);
}

static bool regions_equal(struct compare *k, const struct hlo_region *a, const struct hlo_region *b);

static bool ops_equal(struct compare *k, const struct hlo_op *a, const struct hlo_op *b) {
    if (k->operands ? !operands_equal(k, a, b) : !head_equal(k, a, b)) return false;
    for (int i = 0; i < a->nregion; i++)
        if (!regions_equal(k, &a->region[i], &b->region[i])) return false;
    return true;
}

static bool blocks_equal(struct compare *k, const struct hlo_block *a, const struct hlo_block *b) {
    const struct hlo_op *pa = a->parent->parent, *pb = b->parent->parent;
    if (a->narg != b->narg) return differ_in(k, pa, pb, "arguments of a block", a->narg, b->narg);
    for (int i = 0; i < a->narg && !k->operands; i++)
        if (!types_equal(k, pa, pb, "argument", i, a->arg[i].type, b->arg[i].type) ||
            !add_pair(k, &a->arg[i], &b->arg[i]))
            return false;
    const struct hlo_op *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next)
        if (!ops_equal(k, x, y)) return false;
    if (!x && !y) return true;
    struct str *o = differ(k, x ? x : pa, y ? y : pb);
    if (o) str_printf(o, "only the %s block goes on here", x ? "first" : "second");
    return false;
}

static bool regions_equal(struct compare *k, const struct hlo_region *a, const struct hlo_region *b) {
    if (a->nblock != b->nblock) return differ_in(k, a->parent, b->parent, "blocks", a->nblock, b->nblock);
    for (int i = 0; i < a->nblock; i++)
        if (!blocks_equal(k, &a->block[i], &b->block[i])) return false;
    return true;
}

bool hlo_module_equal(const struct hlo_module *a, const struct hlo_module *b, struct str *why) {
    for (; a && b; a = a->next, b = b->next) {
        struct compare k = {.ma = a, .mb = b, .why = why};
        arena_init(&k.arena, a->c);
        map_init(&k.pairs);
        bool same = ops_equal(&k, a->op, b->op);
        k.operands = true;
        same = same && ops_equal(&k, a->op, b->op);
        map_release(a->c, &k.pairs);
        arena_release(&k.arena);
        if (!same) return false;
    }
    if ((a || b) && why) str_printf(why, "only the %s file has another module", a ? "first" : "second");
    return !a && !b;
}
