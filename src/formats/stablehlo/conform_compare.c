/* conform_compare.c: what the checks of the suite mean by equal, almost equal and close.
 *
 *   eq         the same bits; zeros of either sign are equal
 *   almost_eq  equal, both NaN, or finite and |a - b| <= tolerance
 *   close      the distance in units in the last place, zero between any two NaNs, infinite between a finite and
 *              another non-finite value, lies in [min_ulp, max_ulp]
 * Complex numbers agree when both parts do. Source: the check dialect of openxla/stablehlo, with one difference: there
 * NaN is never equal to NaN, here it is to NaN of the same bits. */
#include <math.h>
#include <string.h>

#include "formats/stablehlo/conform.h"
#include "graph/op.h"

/* Order of floats as integers: the distance of two is the number of steps between them. */
static uint64_t magnitude(const uint8_t *p, int bytes, bool *negative) {
    uint64_t v = 0;
    memcpy(&v, p, (size_t)bytes); /* little endian */
    uint64_t sign = (uint64_t)1 << (bytes * 8 - 1);
    *negative = v & sign;
    return v & ~sign;
}

static uint64_t ulps(const uint8_t *a, const uint8_t *b, int bytes, double x, double y) {
    bool na, nb;
    uint64_t ma = magnitude(a, bytes, &na), mb = magnitude(b, bytes, &nb);
    if ((ma == mb && na == nb) || (isnan(x) && isnan(y))) return 0;
    if (!isfinite(x) || !isfinite(y)) return UINT64_MAX;
    if (na != nb) return ma + mb;
    return ma > mb ? ma - mb : mb - ma;
}

static bool near(double x, double y, double tolerance) {
    if (x == y || (isnan(x) && isnan(y))) return true;
    return isfinite(x) && isfinite(y) && fabs(x - y) <= tolerance;
}

/* One part: a float, or one half of a complex number. */
struct part { const uint8_t *a, *b; int bytes; double x, y; };

static bool part_agrees(const struct hlo_check *k, const struct part *q, uint64_t *distance) {
    *distance = ulps(q->a, q->b, q->bytes, q->x, q->y);
    switch (k->kind) {
    case HLO_CHECK_EQ: return !memcmp(q->a, q->b, (size_t)q->bytes) || (q->x == 0 && q->y == 0);
    case HLO_CHECK_ALMOST_EQ: return near(q->x, q->y, k->tolerance);
    case HLO_CHECK_CLOSE: return *distance <= (uint64_t)k->max_ulp;
    }
    return false;
}

static bool element_agrees(const struct hlo_check *k, const struct ref_tensor *a, const struct ref_tensor *b,
    int64_t i, uint64_t *distance) {
    struct ref_val x = ref_get(a, i), y = ref_get(b, i);
    tsr_kind kind = tsr_dtype_of(a->dtype)->kind;
    bool complex = kind == TSR_KIND_COMPLEX;
    uint64_t other = 0;
    *distance = 0;
    if (kind == TSR_KIND_INT) return x.i == y.i;
    if (kind == TSR_KIND_UINT || kind == TSR_KIND_BOOL) return x.u == y.u;
    int bytes = tsr_dtype_of(a->dtype)->bytes / (complex ? 2 : 1);
    size_t at = (size_t)i * (size_t)tsr_dtype_of(a->dtype)->bytes;
    struct part re = {a->p + at, b->p + at, bytes, x.re, y.re};
    struct part im = {a->p + at + bytes, b->p + at + bytes, bytes, x.im, y.im};
    bool ok = part_agrees(k, &re, distance);
    if (complex) ok = part_agrees(k, &im, &other) && ok;
    if (other > *distance) *distance = other;
    return ok && (k->kind != HLO_CHECK_CLOSE || *distance >= (uint64_t)k->min_ulp);
}

static void put_value(struct str *s, const struct ref_tensor *t, int64_t i) {
    struct ref_val v = ref_get(t, i);
    switch (tsr_dtype_of(t->dtype)->kind) {
    case TSR_KIND_INT: str_printf(s, "%lld", (long long)v.i); break;
    case TSR_KIND_UINT:
    case TSR_KIND_BOOL: str_printf(s, "%llu", (unsigned long long)v.u); break;
    case TSR_KIND_COMPLEX: str_printf(s, "(%.17g, %.17g)", v.re, v.im); break;
    default: str_printf(s, "%.17g", v.re);
    }
}

static void put_rule(struct str *s, const struct hlo_check *k, uint64_t distance) {
    if (k->kind == HLO_CHECK_ALMOST_EQ) str_printf(s, " (tolerance %g)", k->tolerance);
    if (k->kind == HLO_CHECK_CLOSE && distance == UINT64_MAX) str_printf(s, " (one of them is not finite)");
    else if (k->kind == HLO_CHECK_CLOSE)
        str_printf(s, " (%llu ulps apart, %lld allowed)", (unsigned long long)distance, (long long)k->max_ulp);
}

bool conform_compare(const struct hlo_check *k, tsr_dtype t, int64_t count, const void *actual, const void *expected,
    struct str *why) {
    struct ref_tensor a = {.dtype = t, .count = count, .p = (uint8_t *)actual};
    struct ref_tensor b = {.dtype = t, .count = count, .p = (uint8_t *)expected};
    int64_t wrong = 0, first = 0;
    uint64_t distance, of_first = 0;
    for (int64_t i = 0; i < count; i++) {
        if (element_agrees(k, &a, &b, i, &distance)) continue;
        if (!wrong++) first = i, of_first = distance;
    }
    if (!wrong) return true;
    str_printf(why, "%lld of %lld elements differ; element %lld is ", (long long)wrong, (long long)count,
        (long long)first);
    put_value(why, &a, first);
    str_put(why, ", expected ");
    put_value(why, &b, first);
    put_rule(why, k, of_first);
    return false;
}
