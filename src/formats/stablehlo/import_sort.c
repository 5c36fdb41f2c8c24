/* import_sort.c: sort by a comparator.
 *
 * Most comparators say "lexicographically less (or greater)": compare key(a) with key(b), or, where those are equal,
 * the next key. They are read as such when each right side is the left side's expression of the other element, whatever
 * the expression is: the keys are computed on whole tensors and sorted by, with the operands as passengers
 * (tsr_prim_sort, or tsr_prim_sort_total where floats are compared by TOTALORDER). A key that only maps -0 to +0 and
 * every NaN to one NaN before it is compared by TOTALORDER is the primitive's own order and needs no copy.
 *
 * Any other comparator sorts by Batcher's bitonic network with the flip form, so that all exchanges go one way: about
 * log2(n)^2 / 2 stages, each the comparator applied to whole tensors, both ways round. Elements that the comparator
 * finds equal are ordered by where they were, which makes the network stable and its result unique.
 * Source: K. E. Batcher, "Sorting networks and their applications", 1968; StableHLO specification, sort. */
#include <math.h>
#include <string.h>

#include "formats/stablehlo/import_body.h"
#include "tessera/ops.h"

enum { KEYS_MAX = 32, MIRROR_BUDGET = 1 << 14 };

struct sort {
    int n, axis;
    tsr_node *x[IMP_BODY_MAX];
};

/* ---- reading a comparator --------------------------------------------------------------------------------------- */

struct keys {
    int n, budget;
    const struct hlo_value *value[KEYS_MAX]; /* of the element on the left */
    bool descending, total, floats;          /* of all of them; total: of those that are floats */
};

static bool is_code(const struct hlo_value *v, enum hlo_opcode code) { return v->op && v->op->code == code; }

static bool same_attrs(const struct hlo_op *a, const struct hlo_op *b) {
    if (a->nattr != b->nattr) return false;
    for (int i = 0; i < a->nattr; i++)
        if (strcmp(a->attr[i].name, b->attr[i].name) || !hlo_attr_equal(a->attr[i].value, b->attr[i].value))
            return false;
    return true;
}

/* Is b the expression a with each argument 2k replaced by argument 2k + 1 of the block? `side` is 0 for a on the left
 * element, 1 when the roles are the other way round. */
static bool mirrors(const struct hlo_block *block, const struct hlo_value *a, const struct hlo_value *b, int side,
    int *budget) {
    if (--*budget < 0) return false;
    if (a->block == block || b->block == block)
        return a->block == b->block && a->index % 2 == side && b->index == (a->index ^ 1);
    if (!a->op || !b->op || a->op->parent != block || b->op->parent != block) return a == b;
    const struct hlo_op *f = a->op, *g = b->op;
    if (f->code != g->code || a->index != b->index || f->noperand != g->noperand || f->nregion || g->nregion ||
        a->type != b->type || !same_attrs(f, g))
        return false;
    for (int i = 0; i < f->noperand; i++)
        if (!mirrors(block, f->operand[i], g->operand[i], side, budget)) return false;
    return true;
}

/* Both sides of a comparison as one key; false: they are not the same expression of the two elements. */
static const struct hlo_value *key_of(const struct hlo_block *b, const struct hlo_op *compare, int *side, int *budget) {
    for (*side = 0; *side < 2; ++*side)
        if (mirrors(b, compare->operand[0], compare->operand[1], *side, budget)) return compare->operand[*side];
    return NULL;
}

/* One comparison LT or GT (LE and GE order the same) becomes the next key. */
static bool add_key(const struct hlo_block *b, const struct hlo_value *v, struct keys *k) {
    int side;
    if (!is_code(v, HLO_OP_COMPARE) || k->n == KEYS_MAX) return false;
    const char *way = hlo_get_text(v->op, "comparison_direction"), *how = hlo_get_text(v->op, "compare_type");
    const struct hlo_value *key = key_of(b, v->op, &side, &k->budget);
    if (!key || !way || (way[0] != 'L' && way[0] != 'G')) return false;
    bool descending = (way[0] == 'G') != side, total = how && !strcmp(how, "TOTALORDER");
    bool real = tsr_dtype_of(imp_dtype(key->type))->kind == TSR_KIND_FLOAT;
    if ((k->n && descending != k->descending) || (real && k->floats && total != k->total)) return false;
    k->descending = descending;
    if (real) k->floats = true, k->total = total;
    k->value[k->n++] = key;
    return true;
}

/* Does v say that the present last key is equal on both sides? */
static bool says_equal(const struct hlo_block *b, const struct hlo_value *v, struct keys *k) {
    int side;
    if (!is_code(v, HLO_OP_COMPARE)) return false;
    const char *way = hlo_get_text(v->op, "comparison_direction");
    const struct hlo_value *key = way && !strcmp(way, "EQ") ? key_of(b, v->op, &side, &k->budget) : NULL;
    return key && key == k->value[k->n - 1];
}

/* v is: a comparison; or(comparison, and(equal, rest)); select(equal, rest, comparison). */
static bool read_order(const struct hlo_block *b, const struct hlo_value *v, struct keys *k) {
    if (add_key(b, v, k)) return true;
    if (is_code(v, HLO_OP_SELECT)) {
        struct hlo_value *const *s = v->op->operand;
        return add_key(b, s[2], k) && says_equal(b, s[0], k) && read_order(b, s[1], k);
    }
    if (!is_code(v, HLO_OP_OR)) return false;
    for (int i = 0; i < 2; i++) {
        const struct hlo_value *rest = v->op->operand[1 - i];
        struct keys saved = *k;
        if (is_code(rest, HLO_OP_AND) && add_key(b, v->op->operand[i], k))
            for (int j = 0; j < 2; j++)
                if (says_equal(b, rest->op->operand[j], k)) return read_order(b, rest->op->operand[1 - j], k);
        *k = saved;
    }
    return false;
}

/* ---- the primitive's order, spelled out -------------------------------------------------------------------------- */

static bool compares(const struct hlo_value *v, const char *way) {
    const char *have = is_code(v, HLO_OP_COMPARE) ? hlo_get_text(v->op, "comparison_direction") : NULL;
    return have && !strcmp(have, way);
}

/* A floating point literal as a number; false: v is none. */
static bool literal(struct imp *p, const struct hlo_value *v, double *out) {
    const struct imp_value *n = is_code(v, HLO_OP_CONSTANT) ? imp_value(p, v) : NULL;
    if (!n || !n->node) return false;
    tsr_dtype t = tsr_node_dtype(n->node);
    static const double candidates[] = {0.0, NAN};
    (void)t;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (n->node == tsr_scalar_float(p->c, t, candidates[i])) return *out = candidates[i], true;
    return false;
}

/* select(s != s, NaN, s) with s = select(x == 0, 0, x): x, and *plain is set; otherwise v itself. */
static const struct hlo_value *without_canonical(struct imp *p, const struct hlo_value *v, bool *plain) {
    double nan = 0, zero = 1;
    *plain = false;
    if (!is_code(v, HLO_OP_SELECT) || !compares(v->op->operand[0], "NE")) return v;
    const struct hlo_value *s = v->op->operand[2];
    const struct hlo_op *ne = v->op->operand[0]->op;
    if (ne->operand[0] != s || ne->operand[1] != s || !literal(p, v->op->operand[1], &nan) || !isnan(nan)) return v;
    if (!is_code(s, HLO_OP_SELECT) || !compares(s->op->operand[0], "EQ")) return v;
    const struct hlo_value *x = s->op->operand[2];
    const struct hlo_op *eq = s->op->operand[0]->op;
    if (eq->operand[0] != x || !literal(p, eq->operand[1], &zero) || zero != 0 ||
        !literal(p, s->op->operand[1], &zero) || zero != 0)
        return v;
    return *plain = true, x;
}

/* ---- sorting by keys -------------------------------------------------------------------------------------------- */

/* The keys as tensors: the comparator is built with both elements the same, and its inner values are looked up. When
 * every float key is compared in the primitive's own order, the values behind are the keys and *total is false. */
static bool key_nodes(struct imp *p, const struct hlo_op *op, const struct sort *s, const struct keys *k,
    tsr_node **key, bool *total) {
    tsr_node *arg[2 * IMP_BODY_MAX], *order;
    bool plain = k->total, own;
    for (int i = 0; i < 2 * s->n; i++) arg[i] = s->x[i / 2];
    if (!imp_region_inline(p, &op->region[0], 2 * s->n, arg, 1, &order)) return false;
    for (int i = 0; i < k->n; i++) {
        bool real = tsr_dtype_of(imp_dtype(k->value[i]->type))->kind == TSR_KIND_FLOAT;
        without_canonical(p, k->value[i], &own);
        plain = plain && (!real || own);
    }
    for (int i = 0; i < k->n; i++) {
        const struct hlo_value *v = plain ? without_canonical(p, k->value[i], &own) : k->value[i];
        if (tsr_is_poison(key[i] = imp_spread(p->c, imp_value(p, v)->node, s->x[0]))) return false;
    }
    *total = k->total && !plain;
    return true;
}

static bool sort_by_keys(struct imp *p, const struct hlo_op *op, const struct sort *s, const struct keys *k) {
    tsr_node *x[KEYS_MAX + IMP_BODY_MAX];
    int place[IMP_BODY_MAX], n = k->n;
    bool total;
    if (!key_nodes(p, op, s, k, x, &total)) return false;
    for (int i = 0; i < s->n; i++) {
        place[i] = -1;
        for (int j = 0; j < k->n && place[i] < 0; j++)
            if (x[j] == s->x[i]) place[i] = j;
        if (place[i] < 0) place[i] = n, x[n++] = s->x[i];
    }
    bool stable = hlo_get_int(op, "is_stable", 0) != 0;
    tsr_node *y = (total ? tsr_prim_sort_total : tsr_prim_sort)(p->c, n, x, s->axis, k->n, k->descending, stable);
    for (int i = 0; i < s->n; i++)
        if (!imp_result(p, op, i, tsr_item(p->c, y, place[i]))) return false;
    return true;
}

/* ---- sorting by a network ---------------------------------------------------------------------------------------- */

/* Elements are s->n values and, last, their place; places from `real` on are padding and go last. */
struct network {
    struct imp *p;
    const struct hlo_op *op;
    int n;
    int64_t real, padded;
    tsr_node *x[IMP_BODY_MAX + 1]; /* (padded, rest...) */
};

/* May the elements b come before the elements a? */
static tsr_node *goes_before(struct network *w, tsr_node *const *b, tsr_node *const *a) {
    tsr_ctx *c = w->p->c;
    tsr_node *arg[2 * IMP_BODY_MAX], *ba, *ab;
    for (int i = 0; i < w->n; i++) arg[2 * i] = b[i], arg[2 * i + 1] = a[i];
    if (!imp_body_apply(w->p, w->op, 0, 2 * w->n, arg, 1, &ba)) return tsr_poison(c);
    for (int i = 0; i < w->n; i++) arg[2 * i] = a[i], arg[2 * i + 1] = b[i];
    if (!imp_body_apply(w->p, w->op, 0, 2 * w->n, arg, 1, &ab)) return tsr_poison(c);
    tsr_node *pa = a[w->n], *pb = b[w->n], *end = imp_spread(c, tsr_scalar_int(c, TSR_I32, w->real), pa);
    tsr_node *earlier = tsr_prim2(c, TSR_S_LT, pb, pa), *tie = tsr_prim2(c, TSR_S_EQ, ba, ab);
    tsr_node *less = tsr_prim3(c, TSR_S_SELECT, tie, earlier, ba);
    tsr_node *padding = tsr_prim2(c, TSR_S_GE, tsr_prim2(c, TSR_S_MAX, pa, pb), end);
    return tsr_prim3(c, TSR_S_SELECT, padding, earlier, less); /* padding has the latest places */
}

/* Blocks of 2 j elements: element i meets i + j, or with flip its mirror image 2 j - 1 - i. */
static bool exchange(struct network *w, int64_t j, bool flip) {
    tsr_ctx *c = w->p->c;
    tsr_node *a[IMP_BODY_MAX + 1], *b[IMP_BODY_MAX + 1];
    const tsr_type *t = tsr_node_type(w->x[0]);
    const tsr_extent *extent[TSR_MAX_RANK + 2], *one = tsr_extent_int(c, 1), *two = tsr_extent_int(c, 2);
    int64_t inner = 2;
    if (t->rank + 2 > TSR_MAX_RANK)
        return imp_fail(w->p, w->op, "its comparator is not one of the known orders; then rank %d is the greatest",
            TSR_MAX_RANK - 2);
    extent[0] = tsr_extent_int(c, w->padded / (2 * j)), extent[1] = two, extent[2] = tsr_extent_int(c, j);
    for (int i = 1; i < t->rank; i++) extent[i + 2] = t->extent[i];
    for (int i = 0; i <= w->n; i++) {
        tsr_node *v = tsr_reshape_extents(c, w->x[i], t->rank + 2, extent);
        a[i] = imp_cut(c, v, 1, tsr_extent_int(c, 0), one, 1), b[i] = imp_cut(c, v, 1, one, two, 1);
        if (flip) b[i] = tsr_prim_reverse(c, b[i], 1, &inner);
    }
    tsr_node *swap = goes_before(w, b, a);
    for (int i = 0; i <= w->n; i++) {
        tsr_node *pair[2] = {tsr_prim3(c, TSR_S_SELECT, swap, b[i], a[i]),
                             tsr_prim3(c, TSR_S_SELECT, swap, a[i], b[i])};
        if (flip) pair[1] = tsr_prim_reverse(c, pair[1], 1, &inner);
        w->x[i] = tsr_reshape_extents(c, tsr_prim_concat(c, 2, pair, 1), t->rank, t->extent);
        if (tsr_is_poison(w->x[i])) return false;
    }
    return true;
}

static bool network_open(struct network *w, const struct sort *s) {
    tsr_ctx *c = w->p->c;
    int64_t low[TSR_MAX_RANK] = {0}, high[TSR_MAX_RANK] = {0};
    high[0] = w->padded - w->real;
    for (int i = 0; i < w->n; i++) {
        w->x[i] = tsr_move_axis(c, s->x[i], s->axis, 0);
        if (tsr_is_poison(w->x[i])) return false;
        if (high[0]) w->x[i] = tsr_prim_pad_ints(c, w->x[i], tsr_scalar_float(c, tsr_node_dtype(w->x[i]), 0), low, high,
            NULL);
    }
    if (tsr_is_poison(w->x[0])) return false;
    const tsr_type *t = tsr_node_type(w->x[0]), *place = tsr_type_tensor(c, TSR_I32, t->rank, t->extent);
    w->x[w->n] = place ? tsr_prim_iota(c, place, 0) : tsr_poison(c);
    return !tsr_is_poison(w->x[w->n]);
}

static bool sort_by_network(struct imp *p, const struct hlo_op *op, const struct sort *s) {
    tsr_ctx *c = p->c;
    struct network w = {.p = p, .op = op, .n = s->n, .real = tsr_node_dim(s->x[0], s->axis), .padded = 1};
    if (w.real < 0 || w.real > INT32_MAX / 2)
        return imp_fail(p, op, "its comparator is not one of the known orders, and the sorted axis has no fixed "
            "extent; compare keys with LT or GT, or give the axis an extent");
    while (w.padded < w.real) w.padded *= 2;
    if (!network_open(&w, s)) return false;
    for (int64_t k = 1; k < w.padded; k *= 2) {
        if (!exchange(&w, k, true)) return false;
        for (int64_t j = k / 2; j >= 1; j /= 2)
            if (!exchange(&w, j, false)) return false;
    }
    const tsr_extent *zero = tsr_extent_int(c, 0), *end = tsr_extent_int(c, w.real);
    for (int i = 0; i < s->n; i++) {
        tsr_node *y = w.real == w.padded ? w.x[i] : imp_cut(c, w.x[i], 0, zero, end, 1);
        if (!imp_result(p, op, i, tsr_move_axis(c, y, 0, s->axis))) return false;
    }
    return true;
}

/* ---- the op ----------------------------------------------------------------------------------------------------- */

bool imp_sort(struct imp *p, const struct hlo_op *op) {
    struct sort s = {.n = op->noperand};
    struct keys k = {.budget = MIRROR_BUDGET};
    if (s.n < 1 || s.n > IMP_BODY_MAX || op->nresult != s.n)
        return imp_fail(p, op, "%d operands and %d results; it sorts 1 to %d operands together", s.n, op->nresult,
            IMP_BODY_MAX);
    if (op->nregion != 1 || op->region[0].nblock != 1 || op->region[0].block[0].narg != 2 * s.n)
        return imp_fail(p, op, "its comparator must be one block of %d arguments", 2 * s.n);
    if (!imp_operands(p, op, s.n, s.x)) return false;
    int64_t rank = tsr_node_rank(s.x[0]), axis = hlo_get_int(op, "dimension", -1);
    if (axis < -rank || axis >= rank)
        return imp_fail(p, op, "dimension %lld is no axis of a tensor of rank %lld", (long long)axis, (long long)rank);
    s.axis = (int)(axis < 0 ? axis + rank : axis);
    const struct hlo_block *b = &op->region[0].block[0];
    if (!b->last || b->last->noperand != 1) return imp_fail(p, op, "its comparator must return one i1");
    bool keys = imp_region_lifts(&op->region[0]) && read_order(b, b->last->operand[0], &k);
    return keys ? sort_by_keys(p, op, &s, &k) : sort_by_network(p, op, &s);
}
