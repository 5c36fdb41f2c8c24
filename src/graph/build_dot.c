/* build_dot.c: matmul and einsum in terms of dot_general.
 *
 * Narrow floats accumulate in f32 and are rounded once; integers keep their promoted dtype. Einsum takes its operands
 * two at a time from the left: letters that only one of the two has and nobody later needs are summed first, shared
 * letters that are needed later are batch axes, the other shared ones are contracted. */
#include "graph/build.h"

static tsr_dtype accumulator(tsr_dtype t) { return build_wide(t); }

/* The dot with sums in the accumulator, rounded to t. */
static tsr_node *dot(tsr_ctx *c, tsr_node *a, tsr_node *b, const tsr_dot_dims *d, tsr_dtype t) {
    return tsr_cast(c, tsr_prim_dot(c, a, b, d, accumulator(t)), t);
}

/* a (..., M, K) with a block-quantised b (K, N): sums in f32. */
static tsr_node *matmul_block(tsr_ctx *c, tsr_node *a, tsr_node *b, int contract) {
    int64_t last = a->type->rank - 1, of_b = contract;
    tsr_dot_dims d = {.n_contract = 1, .lhs_contract = &last, .rhs_contract = &of_b};
    tsr_node *y = tsr_prim_dot(c, tsr_cast(c, a, TSR_F32), b, &d, TSR_F32);
    return dtype_is_float(a->type->dtype) ? tsr_cast(c, y, a->type->dtype) : y;
}

/* Ranks are 2 or more; leading axes broadcast. */
static tsr_node *matmul_batched(tsr_ctx *c, tsr_node *a, tsr_node *b) {
    int ra = a->type->rank, rb = b->type->rank, rank;
    const tsr_extent *ea[TSR_MAX_RANK], *eb[TSR_MAX_RANK];
    int64_t batch[TSR_MAX_RANK], ka = ra - 1, kb = rb - 2;
    if (rb == 2) { /* one matrix for all: a's leading axes are free axes */
        tsr_dot_dims d = {.n_contract = 1, .lhs_contract = &ka, .rhs_contract = &kb};
        return dot(c, a, b, &d, a->type->dtype);
    }
    const tsr_type *ta = a->type, *tb = b->type;
    for (int i = 0; i < 2; i++) ta = type_drop_axis(c, ta, ta->rank - 1), tb = type_drop_axis(c, tb, tb->rank - 1);
    tsr_node *lead[2] = {tsr_full(c, ta, 0), tsr_full(c, tb, 0)};
    if (!build_shape(c, "matmul", 2, lead, &rank, ea)) return tsr_poison(c);
    memcpy(eb, ea, sizeof eb);
    for (int i = 0; i < rank; i++) batch[i] = i;
    for (int i = 0; i < 2; i++) ea[rank + i] = a->type->extent[ra - 2 + i], eb[rank + i] = b->type->extent[rb - 2 + i];
    a = build_broadcast(c, a, rank + 2, ea), b = build_broadcast(c, b, rank + 2, eb);
    ka = rank + 1, kb = rank;
    tsr_dot_dims d = {.n_batch = rank, .n_contract = 1, .lhs_batch = batch, .rhs_batch = batch, .lhs_contract = &ka,
        .rhs_contract = &kb};
    return tsr_is_poison(a) || tsr_is_poison(b) ? tsr_poison(c) : dot(c, a, b, &d, a->type->dtype);
}

tsr_node *tsr_matmul(tsr_ctx *c, tsr_node *a, tsr_node *b) {
    tsr_node *in[2] = {a, b};
    if (build_bad(c, 2, in)) return tsr_poison(c);
    int ra = a->type->rank, rb = b->type->rank;
    if (!ra || !rb) return build_fail(c, "matmul: of %s and %s; a scalar multiplies with tsr_mul",
                                      type_text(c, a->type), type_text(c, b->type));
    const tsr_extent *k = a->type->extent[ra - 1], *l = b->type->extent[rb > 1 ? rb - 2 : 0];
    if (!extent_require_equal(c, k, l,
                              "matmul: %s with %s: the last axis of the left (%s) must equal the %s of the right (%s)",
                              type_text(c, a->type), type_text(c, b->type), extent_text(c, k), rb > 1 ? "last but one" :
                                  "axis", extent_text(c, l)))
        return tsr_poison(c);
    if (tsr_dtype_of(b->type->dtype)->kind == TSR_KIND_BLOCK) return matmul_block(c, a, b, 0);
    tsr_dtype t = tsr_promote(a->type->dtype, b->type->dtype);
    a = tsr_cast(c, ra > 1 ? a : tsr_unsqueeze(c, a, 0), t), b = tsr_cast(c, rb > 1 ? b : tsr_unsqueeze(c, b, 1), t);
    if (tsr_is_poison(a) || tsr_is_poison(b)) return tsr_poison(c);
    tsr_node *y = matmul_batched(c, a, b);
    if (rb == 1) y = tsr_squeeze(c, y, -1);
    return ra == 1 ? tsr_squeeze(c, y, rb == 1 ? -1 : -2) : y;
}

/* ---- einsum ---- */

enum { LETTERS = 128 };

/* One operand: its letters, an axis each. */
struct term { tsr_node *x; char axis[TSR_MAX_RANK + 1]; };

static int axis_of(const char *letters, char l) {
    const char *at = strchr(letters, l);
    return at ? (int)(at - letters) : -1;
}

/* Read "ab,bc->ac": letters of each operand and of the result. */
static bool parse(tsr_ctx *c, const char *spec, int n, tsr_node *const *x, struct term *term, char *result) {
    int at = 0, len = 0, seen[LETTERS] = {0};
    bool arrow = false;
    memset(term, 0, (size_t)n * sizeof *term);
    for (const char *p = spec; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (*p == ' ') continue;
        if (*p == ',' && !arrow && at + 1 < n) at++, len = 0;
        else if (*p == '-' && p[1] == '>' && !arrow) arrow = true, p++, len = 0;
        else if (letter && len < TSR_MAX_RANK && !strchr(arrow ? result : term[at].axis, *p)) {
            (arrow ? result : term[at].axis)[len++] = *p;
            if (!arrow) seen[(int)*p]++;
        } else {
            return build_fail(c,
                              "einsum \"%s\": '%c' at %d; expected letters for %d operands, each letter once in an "
                              "operand, as in \"bij,bjk->bik\"",
                              spec, *p, (int)(p - spec), n), false;
        }
    }
    if (at + 1 != n) return build_fail(c, "einsum \"%s\": %d operands named, %d given", spec, at + 1, n), false;
    for (int l = 0; l < LETTERS && !arrow; l++)
        if (seen[l] == 1 && len < TSR_MAX_RANK) result[at = (int)strlen(result)] = (char)l;
    for (int i = 0; i < n; i++) {
        term[i].x = x[i];
        if ((int)strlen(term[i].axis) != x[i]->type->rank)
            return build_fail(c, "einsum \"%s\": operand %d is %s, named with %d letters", spec, i,
                              type_text(c, x[i]->type), (int)strlen(term[i].axis)), false;
    }
    for (const char *l = result; *l; l++)
        if (!seen[(int)*l]) return build_fail(c, "einsum \"%s\": the result's '%c' is in no operand", spec, *l), false;
    return true;
}

/* Sum the axes of t that `needed` does not name. */
static void sum_out(tsr_ctx *c, struct term *t, const char *needed) {
    int64_t axes[TSR_MAX_RANK];
    char left[TSR_MAX_RANK + 1] = "";
    int n = 0, k = 0;
    for (int i = 0; t->axis[i]; i++) {
        if (strchr(needed, t->axis[i])) left[k++] = t->axis[i];
        else axes[n++] = i;
    }
    if (n) t->x = tsr_prim_reduce(c, t->x, TSR_REDUCE_SUM, n, axes);
    memcpy(t->axis, left, sizeof left);
}

/* a and b become one: shared letters that `needed` names are batch axes, other shared ones contracted. */
static struct term contract(tsr_ctx *c, const struct term *a, const struct term *b, const char *needed) {
    int64_t lb[TSR_MAX_RANK], rb[TSR_MAX_RANK], lc[TSR_MAX_RANK], rc[TSR_MAX_RANK];
    tsr_dot_dims d = {.lhs_batch = lb, .rhs_batch = rb, .lhs_contract = lc, .rhs_contract = rc};
    struct term out = {.axis = ""};
    int k = 0;
    for (int i = 0; a->axis[i]; i++) {
        int j = axis_of(b->axis, a->axis[i]);
        if (j < 0) continue;
        if (!strchr(needed, a->axis[i])) lc[d.n_contract] = i, rc[d.n_contract++] = j;
        else lb[d.n_batch] = i, rb[d.n_batch++] = j, out.axis[k++] = a->axis[i];
    }
    for (int side = 0; side < 2; side++) {
        const char *own = side ? b->axis : a->axis, *other = side ? a->axis : b->axis;
        for (int i = 0; own[i]; i++) {
            if (strchr(other, own[i])) continue;
            if (k == TSR_MAX_RANK) return out.x = build_fail(c, "einsum: an intermediate result has more than %d axes",
                                                             TSR_MAX_RANK), out;
            out.axis[k++] = own[i];
        }
    }
    tsr_dtype t = tsr_promote(a->x->type->dtype, b->x->type->dtype);
    out.x = dot(c, tsr_cast(c, a->x, t), tsr_cast(c, b->x, t), &d, t);
    return out;
}

/* Letters that the result or operands from `first` on need. */
static void needed_letters(const struct term *term, int first, int n, const char *result, char *out) {
    int k = (int)strlen(result);
    memcpy(out, result, (size_t)k + 1);
    for (int i = first; i < n; i++)
        for (const char *l = term[i].axis; *l; l++)
            if (!strchr(out, *l)) out[k++] = *l, out[k] = 0;
}

tsr_node *tsr_einsum(tsr_ctx *c, const char *spec, int n, tsr_node *const *x) {
    char result[TSR_MAX_RANK + 1] = "", needed[LETTERS];
    struct term term[8], acc;
    int perm[TSR_MAX_RANK];
    if (n < 1 || n > 8) return build_fail(c, "einsum: of %d operands; 1 to 8 are possible", n);
    if (build_bad(c, n, x) || !parse(c, spec, n, x, term, result)) return tsr_poison(c);
    acc = term[0];
    for (int i = 1; i < n; i++) {
        needed_letters(term, i, n, result, needed);
        sum_out(c, &acc, needed);
        needed_letters(term, i + 1, n, result, needed);
        char with_acc[LETTERS];
        needed_letters(&acc, 0, 1, needed, with_acc);
        sum_out(c, &term[i], with_acc);
        if (tsr_is_poison(acc.x) || tsr_is_poison(term[i].x)) return tsr_poison(c);
        acc = contract(c, &acc, &term[i], needed);
        if (tsr_is_poison(acc.x)) return acc.x;
    }
    sum_out(c, &acc, result);
    for (int i = 0; result[i]; i++) perm[i] = axis_of(acc.axis, result[i]);
    return tsr_is_poison(acc.x) ? acc.x : tsr_transpose(c, acc.x, perm);
}
