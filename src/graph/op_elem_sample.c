/* op_elem_sample.c: random instances of the elementwise ops: shapes, and ranges where each function is defined.
 *
 * Small samples are for finite differences: their ranges keep away from kinks, poles and branch cuts. Larger ones
 * are for comparing devices and reach across kinks where the function is defined there. Integers draw from a few
 * small numbers or from the whole range of the dtype; divisors include 0 and -1, shifts include negative amounts
 * and amounts past the width. */
#include <math.h>

#include "graph/op_elem.h"

enum { WIDE = 1, DISTINCT = 2 }; /* larger samples draw from -4..4; data apart from each other */

struct range { double lo, hi; };
struct domain { struct range operand[3]; int flags; };

#define SAME(lo, hi) {{{lo, hi}, {lo, hi}, {lo, hi}}, 0}
static const struct domain float_domain[TSR_SCALAR_COUNT] = {
    [TSR_S_ABS] = {{{0.2, 2}}, WIDE},
    [TSR_S_SIGN] = {{{0.2, 2}}, WIDE},
    [TSR_S_CEIL] = {{{0.1, 0.9}}, WIDE},
    [TSR_S_FLOOR] = {{{0.1, 0.9}}, WIDE},
    [TSR_S_ROUND] = {{{-0.4, 0.4}}, WIDE},
    [TSR_S_ROUND_EVEN] = {{{-0.4, 0.4}}, WIDE},
    [TSR_S_LOG] = SAME(0.1, 3),
    [TSR_S_LOG2] = SAME(0.1, 3),
    [TSR_S_LOG1P] = SAME(-0.8, 3),
    [TSR_S_SQRT] = SAME(0.1, 4),
    [TSR_S_RSQRT] = SAME(0.1, 4),
    [TSR_S_CBRT] = {{{0.1, 4}}, WIDE},
    [TSR_S_TAN] = SAME(-1.2, 1.2),
    [TSR_S_ASIN] = SAME(-0.9, 0.9),
    [TSR_S_ACOS] = SAME(-0.9, 0.9),
    [TSR_S_ACOSH] = SAME(1.1, 3),
    [TSR_S_ATANH] = SAME(-0.9, 0.9),
    [TSR_S_ERF_INV] = SAME(-0.9, 0.9),
    [TSR_S_LGAMMA] = SAME(0.2, 6),
    [TSR_S_DIGAMMA] = SAME(0.2, 6),
    [TSR_S_DIV] = {{{-2, 2}, {0.5, 3}}, 0},
    [TSR_S_REM] = {{{1.1, 1.9}, {2, 3}}, 0},
    [TSR_S_POW] = {{{0.3, 2}, {-2, 2}}, 0},
    [TSR_S_ATAN2] = {{{0.2, 2}, {0.2, 2}}, WIDE},
    [TSR_S_MAX] = {{{-2, 2}, {-2, 2}}, DISTINCT},
    [TSR_S_MIN] = {{{-2, 2}, {-2, 2}}, DISTINCT},
    [TSR_S_CLAMP] = {{{-2, 1}, {-2, 2}, {-1, 2}}, DISTINCT},
};

/* Complex parts: off the axes (cuts of log, sqrt, pow, the inverse functions) and off 0. */
static const struct domain complex_domain[TSR_SCALAR_COUNT] = {
    [TSR_S_ABS] = SAME(0.2, 2),   [TSR_S_SIGN] = SAME(0.2, 2),  [TSR_S_LOG] = SAME(0.2, 2),
    [TSR_S_LOG1P] = SAME(-0.4, 2),
    [TSR_S_SQRT] = SAME(0.2, 2),  [TSR_S_RSQRT] = SAME(0.2, 2), [TSR_S_POW] = {{{0.3, 2}, {-1, 1}}, 0},
    [TSR_S_DIV] = {{{-2, 2}, {0.5, 2}}, 0}, [TSR_S_TAN] = SAME(-1, 1), [TSR_S_TANH] = SAME(-1, 1),
    [TSR_S_ASIN] = SAME(0.2, 2),  [TSR_S_ACOS] = SAME(0.2, 2),  [TSR_S_ATAN] = SAME(0.2, 2),
    [TSR_S_ASINH] = SAME(0.2, 2), [TSR_S_ACOSH] = SAME(0.2, 2), [TSR_S_ATANH] = SAME(0.2, 2),
    [TSR_S_LOGISTIC] = SAME(-1, 1),
    [TSR_S_MAX] = {{{-2, 2}, {-2, 2}}, DISTINCT}, [TSR_S_MIN] = {{{-2, 2}, {-2, 2}}, DISTINCT},
};

static void int_ranges(struct sample *s, tsr_scalar fn, struct range *r) {
    const tsr_dtype_info *d = tsr_dtype_of(s->dtype);
    bool sign = d->kind == TSR_KIND_INT;
    double end = ldexp(1, d->bits - sign), small = fmin(end - 1, 5);
    bool wide = sample_int(s, 0, 1);
    for (int i = 0; i < 3; i++)
        r[i] = wide ? (struct range){sign ? -end : 0, end - 1} : (struct range){sign ? -small : 0, small};
    if (fn == TSR_S_DIV || fn == TSR_S_REM) r[1] = (struct range){sign ? -3 : 0, 3};
    if (fn == TSR_S_POW) r[0] = (struct range){sign ? -4 : 0, 4}, r[1] = (struct range){sign ? -2 : 0, 6};
    if (fn == TSR_S_SHL || fn == TSR_S_SHR || fn == TSR_S_SHR_LOGICAL)
        r[1] = (struct range){sign ? -1 : 0, fmin(d->bits + 2, end - 1)};
}

static void set_ranges(struct sample *s, tsr_scalar fn) {
    struct domain d = {{{-2, 2}, {-2, 2}, {-2, 2}}, 0};
    bool is_complex = dtype_is_complex(s->dtype);
    if (dtype_is_int(s->dtype)) int_ranges(s, fn, d.operand);
    else if (is_complex || dtype_is_float(s->dtype)) {
        const struct domain *own = &(is_complex ? complex_domain : float_domain)[fn];
        if (own->operand[0].hi != 0 || own->operand[0].lo != 0) d = *own;
        for (int i = 0; s->size && d.flags & WIDE && i < 3; i++) d.operand[i] = (struct range){-4, 4};
    }
    for (int i = 0; i < 3; i++) s->lo[i] = d.operand[i].lo, s->hi[i] = d.operand[i].hi;
    s->distinct = d.flags & DISTINCT;
    s->smooth = s->smooth && (s->size == 0 || !(d.flags & WIDE));
    if (fn == TSR_S_LGAMMA || fn == TSR_S_DIGAMMA || fn == TSR_S_ERF_INV) s->rtol *= 4, s->atol *= 4;
}

static tsr_fn *sample_elem(tsr_ctx *c, struct sample *s, tsr_scalar fn) {
    const struct elem_info *f = &elem_info[fn];
    int64_t dim[TSR_MAX_RANK];
    int rank = (int)sample_int(s, 0, 4);
    if (f->result == ELEM_CPLX && s->dtype != TSR_F32 && s->dtype != TSR_F64) return NULL; /* no such complex dtype */
    set_ranges(s, fn);
    sample_dims(s, rank, dim);
    if (tsr_fn_begin(c, f->name) != TSR_OK) return NULL;
    tsr_node *x[3];
    for (int i = 0; i < f->arity; i++) {
        bool bound = (fn == TSR_S_SELECT && i == 0) || (fn == TSR_S_CLAMP && i != 1);
        bool scalar = bound && sample_int(s, 0, 2) == 0;
        x[i] = sample_param(c, fn == TSR_S_SELECT && i == 0 ? TSR_BOOL : s->dtype, scalar ? 0 : rank, dim);
    }
    tsr_node *y = tsr_prim_elem(c, fn, f->arity, x);
    return tsr_fn_end(c, 1, &y);
}

#define X(NAME, text, arity, result, domain, formula) \
    tsr_fn *sample_##NAME(tsr_ctx *c, struct sample *s) { return sample_elem(c, s, TSR_S_##NAME); }
TSR_SCALAR_LIST(X)
#undef X
