/* linalg_rule.c: the vocabulary of op_linalg.h: what gradient rules and samplers of matrix ops are written with. */
#include "graph/op_linalg.h"

tsr_node *la_mul(tsr_ctx *c, tsr_node *a, tsr_node *b) { return tsr_prim2(c, TSR_S_MUL, a, b); }
tsr_node *la_add(tsr_ctx *c, tsr_node *a, tsr_node *b) { return tsr_prim2(c, TSR_S_ADD, a, b); }
tsr_node *la_sub(tsr_ctx *c, tsr_node *a, tsr_node *b) { return tsr_prim2(c, TSR_S_SUB, a, b); }
tsr_node *la_neg(tsr_ctx *c, tsr_node *a) { return tsr_prim1(c, TSR_S_NEG, a); }
tsr_node *la_scale(tsr_ctx *c, tsr_node *a, double f) { return la_mul(c, a, rule_full_like(c, a, f)); }

tsr_node *la_conj(tsr_ctx *c, tsr_node *a) {
    if (tsr_is_poison(a) || !dtype_is_complex(a->type->dtype)) return a;
    return tsr_prim2(c, TSR_S_COMPLEX, tsr_prim1(c, TSR_S_REAL, a), la_neg(c, tsr_prim1(c, TSR_S_IMAG, a)));
}

tsr_node *la_t(tsr_ctx *c, tsr_node *a) {
    if (tsr_is_poison(a)) return tsr_poison(c);
    int64_t perm[TSR_MAX_RANK];
    int r = a->type->rank;
    for (int i = 0; i < r; i++) perm[i] = i;
    perm[r - 2] = r - 1, perm[r - 1] = r - 2;
    return tsr_prim_transpose(c, a, perm);
}

tsr_node *la_h(tsr_ctx *c, tsr_node *a) { return la_conj(c, la_t(c, a)); }

tsr_node *la_dot(tsr_ctx *c, tsr_node *a, tsr_node *b) {
    if (tsr_is_poison(a) || tsr_is_poison(b)) return tsr_poison(c);
    int64_t batch[TSR_MAX_RANK], left = a->type->rank - 1, right = b->type->rank - 2;
    for (int i = 0; i + 2 < a->type->rank; i++) batch[i] = i;
    tsr_dot_dims d = {a->type->rank - 2, 1, batch, batch, &left, &right};
    return tsr_prim_dot(c, a, b, &d, a->type->dtype);
}

/* Row or column numbers over a matrix type. */
static tsr_node *numbers(tsr_ctx *c, const tsr_type *t, int axis) {
    const tsr_type *i = type_with_dtype(c, t, TSR_I32);
    return i ? tsr_prim_iota(c, i, t->rank - 2 + axis) : tsr_poison(c);
}

tsr_node *la_tri(tsr_ctx *c, tsr_node *a, bool lower, int64_t from) {
    if (tsr_is_poison(a)) return tsr_poison(c);
    tsr_node *far = numbers(c, a->type, lower ? 0 : 1), *near = numbers(c, a->type, lower ? 1 : 0);
    tsr_node *in = tsr_prim2(c, TSR_S_GE, tsr_prim2(c, TSR_S_SUB, far, near), rule_full_like(c, far, (double)from));
    return tsr_prim3(c, TSR_S_SELECT, in, a, rule_zeros(c, a->type));
}

static tsr_node *on_diagonal(tsr_ctx *c, const tsr_type *t) {
    return tsr_prim2(c, TSR_S_EQ, numbers(c, t, 0), numbers(c, t, 1));
}

tsr_node *la_eye(tsr_ctx *c, const tsr_type *t) {
    return tsr_prim3(c, TSR_S_SELECT, on_diagonal(c, t), tsr_full(c, t, 1), tsr_full(c, t, 0));
}

/* v repeated along `axis` (of the last two) of t. */
static tsr_node *repeat(tsr_ctx *c, tsr_node *v, const tsr_type *t, int axis) {
    if (tsr_is_poison(v)) return tsr_poison(c);
    int64_t axes[TSR_MAX_RANK];
    int r = t->rank;
    for (int i = 0; i + 2 < r; i++) axes[i] = i;
    axes[r - 2] = axis ? r - 2 : r - 1;
    const tsr_type *to = type_with_dtype(c, t, v->type->dtype);
    return to ? tsr_prim_broadcast(c, v, to, axes) : tsr_poison(c);
}

tsr_node *la_rows(tsr_ctx *c, tsr_node *v, const tsr_type *t) { return repeat(c, v, t, 0); }
tsr_node *la_cols(tsr_ctx *c, tsr_node *v, const tsr_type *t) { return repeat(c, v, t, 1); }

tsr_node *la_safe_inverse(tsr_ctx *c, tsr_node *a) {
    if (tsr_is_poison(a)) return tsr_poison(c);
    tsr_node *zero = rule_zeros(c, a->type), *one = rule_full_like(c, a, 1), *none = tsr_prim2(c, TSR_S_EQ, a, zero);
    return tsr_prim3(c, TSR_S_SELECT, none, zero, tsr_prim2(c, TSR_S_DIV, one,
                                                            tsr_prim3(c, TSR_S_SELECT, none, one, a)));
}

tsr_node *la_complexify(tsr_ctx *c, tsr_node *a, tsr_dtype t) {
    if (tsr_is_poison(a) || a->type->dtype == t) return a;
    return tsr_prim_convert(c, a, t);
}

/* The Hermitian part counts twice off the diagonal, where one entry stands for two. */
tsr_node *la_one_triangle(tsr_ctx *c, tsr_node *g, bool lower) {
    tsr_node *sum = la_add(c, g, la_h(c, g)); /* twice the Hermitian part */
    if (tsr_is_poison(sum)) return sum;
    return la_add(c, la_tri(c, sum, lower, 1), la_scale(c, la_mul(c, sum, la_eye(c, sum->type)), 0.5));
}

bool la_matrix(tsr_ctx *c, const char *op, const tsr_type *t, bool complex_too, bool square) {
    if (!axes_is_tensor(c, op, t)) return false;
    bool real = t->dtype == TSR_F32 || t->dtype == TSR_F64;
    if (t->rank < 2)
        return err_set(c, TSR_EINVAL, "%s of %s: it needs matrices, so at least two axes", op, type_text(c, t)), false;
    if (!real && !(complex_too && dtype_is_complex(t->dtype)))
        return err_set(c, TSR_EINVAL, "%s of %s: its elements must be f32%s f64%s; convert first", op, type_text(c, t),
                       complex_too ? "," : " or", complex_too ? ", c64 or c128" : ""), false;
    return !square || extent_require_equal(c, t->extent[t->rank - 2], t->extent[t->rank - 1],
                                           "%s of %s: the matrix must be square", op, type_text(c, t));
}

tsr_node *la_make(tsr_ctx *c, enum tsr_op op, tsr_node *a) {
    return axes_poison(1, &a) ? tsr_poison(c) : node_make(c, &(struct draft){.op = op, .nsrc = 1, .src = &a});
}

/* ---- samplers ---------------------------------------------------------------------------------------------------- */

bool la_sampled(const struct sample *s, bool complex_too) {
    return s->dtype == TSR_F32 || s->dtype == TSR_F64 || (complex_too && dtype_is_complex(s->dtype));
}

void la_sample_dims(struct sample *s, int *rank, int64_t *dim, bool square) {
    static const int64_t small[] = {1, 2, 3, 4, 2, 3}, medium[] = {1, 2, 3, 5, 7, 11, 16, 23},
        large[] = {31, 37, 48, 5};
    *rank = (int)sample_int(s, 2, 3);
    for (int i = 0; i < *rank; i++)
        dim[i] = sample_int(s, 0, 29) == 0 ? 0 : s->size == 0 ? small[sample_int(s, 0, 5)] : s->size == 1
            ? medium[sample_int(s, 0, 7)] : large[sample_int(s, 0, 3)];
    if (*rank == 3) dim[0] = sample_int(s, s->size ? 0 : 1, s->size ? 3 : 2);
    if (square) dim[*rank - 2] = dim[*rank - 1];
    s->rtol *= 64, s->atol *= 256;
}

tsr_node *la_add_diagonal(tsr_ctx *c, tsr_node *x, double first, double step) {
    if (tsr_is_poison(x)) return x;
    const tsr_type *real = type_with_dtype(c, x->type, dtype_real(x->type->dtype));
    tsr_node *i = real ? tsr_prim_convert(c, numbers(c, x->type, 0), real->dtype) : tsr_poison(c);
    tsr_node *d = la_add(c, la_scale(c, i, step), rule_full_like(c, i, first));
    return la_add(c, x, la_mul(c, la_complexify(c, d, x->type->dtype), la_eye(c, x->type)));
}

tsr_node *la_sample_positive(tsr_ctx *c, tsr_node *x) { return la_add_diagonal(c, la_dot(c, x, la_h(c, x)), 2, 0); }
