/* extent.c: integer expressions over sizes, in a normal form.
 *
 * An extent is a polynomial: a sum of terms, a term a coefficient times a sorted product of atoms. Atoms are symbols
 * and whatever is not polynomial (floordiv, ceildiv, mod, min, max) over normal forms. Addition, subtraction and
 * multiplication work on polynomials, so (B + 1) * 2 - B and B + 2 are one pointer; divisions first take out of the
 * numerator every term that divides exactly. Every expression carries proven bounds by interval arithmetic
 * (saturating), with which min, max, mod and small quotients often vanish.
 *
 * Nothing here knows tensors. Expressions are interned in the context for its life; operands are ordered
 * by the serial number of their creation, so the form does not depend on addresses. Depth and size are
 * bounded (POLY_TERMS, POLY_DEGREE, EXTENT_DEPTH): an expression past them is an error, which keeps
 * hostile files from growing one without end. */
#include <stdio.h>
#include <string.h>

#include "graph/room.h"

enum { POLY_TERMS = 64, POLY_DEGREE = 8, EXTENT_DEPTH = 64 };

struct term {
    int64_t k;
    int n;
    const tsr_extent *atom[POLY_DEGREE];
};
struct poly {
    int n;
    struct term t[POLY_TERMS];
};

/* ---- saturating interval arithmetic ---- */

static int64_t sat_add(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_add_overflow(a, b, &r)) return r;
    return a > 0 ? INT64_MAX : INT64_MIN;
}

static int64_t sat_mul(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_mul_overflow(a, b, &r)) return r;
    return (a > 0) == (b > 0) ? INT64_MAX : INT64_MIN;
}

static int64_t floor_div(int64_t a, int64_t b) {
    if (b == -1) return a == INT64_MIN ? INT64_MAX : -a;
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t ceil_div(int64_t a, int64_t b) {
    if (b == -1) return a == INT64_MIN ? INT64_MAX : -a;
    return a / b + (a % b != 0 && (a < 0) == (b < 0));
}

static int64_t floor_mod(int64_t a, int64_t b) { return b == -1 ? 0 : a - floor_div(a, b) * b; }

static void interval_mul(const int64_t a[2], const int64_t b[2], int64_t out[2]) {
    int64_t p[4] = {sat_mul(a[0], b[0]), sat_mul(a[0], b[1]), sat_mul(a[1], b[0]), sat_mul(a[1], b[1])};
    out[0] = out[1] = p[0];
    for (int i = 1; i < 4; i++) {
        if (p[i] < out[0]) out[0] = p[i];
        if (p[i] > out[1]) out[1] = p[i];
    }
}

/* Bounds of op over its (already bounded) operands. A divisor's interval that is not positive gives no information. */
static void extent_bound(tsr_extent *e) {
    int64_t a[2] = {e->arg[0]->lo, e->arg[0]->hi}, b[2] = {e->arg[e->n - 1]->lo, e->arg[e->n - 1]->hi};
    e->lo = INT64_MIN, e->hi = INT64_MAX;
    switch (e->op) {
    case EXT_ADD:
        e->lo = e->hi = 0;
        for (int i = 0; i < e->n; i++) e->lo = sat_add(e->lo, e->arg[i]->lo), e->hi = sat_add(e->hi, e->arg[i]->hi);
        break;
    case EXT_MUL: {
        int64_t r[2] = {1, 1};
        for (int i = 0; i < e->n; i++) interval_mul(r, (int64_t[2]){e->arg[i]->lo, e->arg[i]->hi}, r);
        e->lo = r[0], e->hi = r[1];
        break;
    }
    case EXT_FLOORDIV:
        if (b[0] > 0) e->lo = floor_div(a[0], a[0] < 0 ? b[0] : b[1]), e->hi = floor_div(a[1], a[1] < 0 ? b[1] : b[0]);
        break;
    case EXT_CEILDIV:
        if (b[0] > 0) e->lo = ceil_div(a[0], a[0] < 0 ? b[0] : b[1]), e->hi = ceil_div(a[1], a[1] < 0 ? b[1] : b[0]);
        break;
    case EXT_MOD:
        if (b[0] > 0) e->lo = 0, e->hi = a[0] >= 0 && a[1] < b[1] - 1 ? a[1] : b[1] - 1;
        break;
    case EXT_MIN: e->lo = a[0] < b[0] ? a[0] : b[0], e->hi = a[1] < b[1] ? a[1] : b[1]; break;
    case EXT_MAX: e->lo = a[0] > b[0] ? a[0] : b[0], e->hi = a[1] > b[1] ? a[1] : b[1]; break;
    case EXT_INT:
    case EXT_SYMBOL: break;
    }
}

/* ---- interning ---- */

static bool extent_equal(const void *item, const void *key, void *user) {
    const tsr_extent *a = item, *b = key;
    (void)user;
    if (a->op != b->op || a->n != b->n || a->value != b->value) return false;
    if (a->op == EXT_SYMBOL) return strcmp(a->name, b->name) == 0;
    for (int i = 0; i < a->n; i++)
        if (a->arg[i] != b->arg[i]) return false;
    return true;
}

static int extent_depth(const tsr_extent *e) {
    int deepest = 0;
    for (int i = 0; i < e->n; i++)
        if ((int)e->arg[i]->depth > deepest) deepest = (int)e->arg[i]->depth;
    return deepest + 1;
}

static const tsr_extent *extent_intern(tsr_ctx *c, tsr_extent key) {
    struct graph_room *g = graph_room(c);
    if (!g) return NULL;
    uint64_t h = hash_mix(hash_mix(17, (uint64_t)key.op), (uint64_t)key.value);
    if (key.name) h = hash_str(h, key.name);
    for (int i = 0; i < key.n; i++) h = hash_mix(h, key.arg[i]->hash);
    key.hash = h;
    tsr_extent *found = map_get(&g->extents, h, &key, extent_equal, NULL);
    if (found) return found;
    key.depth = (uint32_t)extent_depth(&key);
    if (key.depth > EXTENT_DEPTH)
        return err_set(c, TSR_EUNSUPPORTED,
            "extent expression is nested deeper than %d: bind some symbols to constants first",
                       EXTENT_DEPTH), NULL;
    tsr_extent *e = arena_alloc(&g->mem, sizeof *e);
    const tsr_extent **arg = key.n ? arena_array(&g->mem, (size_t)key.n, sizeof *arg) : NULL;
    if (!e || (key.n && !arg)) return NULL;
    for (int i = 0; i < key.n; i++) arg[i] = key.arg[i];
    *e = key;
    e->arg = arg;
    e->serial = ++g->extent_serial;
    if (key.name && !(e->name = arena_strdup(&g->mem, key.name))) return NULL;
    if (key.n) extent_bound(e);
    return map_put(c, &g->extents, h, e) ? e : NULL;
}

const tsr_extent *tsr_extent_int(tsr_ctx *c, int64_t v) {
    return extent_intern(c, (tsr_extent){.op = EXT_INT, .value = v, .lo = v, .hi = v});
}

const tsr_extent *tsr_extent_symbol(tsr_ctx *c, const char *name, int64_t lo, int64_t hi) {
    if (!name || !*name || lo > hi)
        return err_set(c, TSR_EINVAL, "extent symbol '%s' with bounds %lld..%lld: give it a name and lo <= hi",
            name ? name : "",
                       (long long)lo, (long long)hi), NULL;
    return extent_intern(c, (tsr_extent){.op = EXT_SYMBOL, .name = name, .lo = lo, .hi = hi});
}

/* ---- polynomials ---- */

static void term_of(const tsr_extent *e, struct term *t) {
    t->k = 1, t->n = 0;
    if (e->op == EXT_INT) {
        t->k = e->value;
    } else if (e->op == EXT_MUL) {
        for (int i = 0; i < e->n; i++) {
            if (e->arg[i]->op == EXT_INT) t->k = e->arg[i]->value;
            else t->atom[t->n++] = e->arg[i];
        }
    } else {
        t->atom[t->n++] = e;
    }
}

static void poly_of(const tsr_extent *e, struct poly *p) {
    p->n = 0;
    if (e->op == EXT_ADD)
        for (int i = 0; i < e->n; i++) term_of(e->arg[i], &p->t[p->n++]);
    else
        term_of(e, &p->t[p->n++]);
}

static int term_order(const struct term *a, const struct term *b) {
    if (a->n != b->n) return a->n < b->n ? 1 : -1; /* higher degree first, the constant last */
    for (int i = 0; i < a->n; i++)
        if (a->atom[i] != b->atom[i]) return a->atom[i]->serial < b->atom[i]->serial ? -1 : 1;
    return 0;
}

static bool too_big(tsr_ctx *c) {
    err_set(c, TSR_EUNSUPPORTED,
            "extent expression grew past %d terms, degree %d or 64 bits: bind some symbols to constants first",
            POLY_TERMS, POLY_DEGREE);
    return false;
}

/* p += t, keeping terms sorted and without zeros. */
static bool poly_add_term(tsr_ctx *c, struct poly *p, const struct term *t) {
    if (t->k == 0) return true;
    int i = 0;
    while (i < p->n && term_order(&p->t[i], t) < 0) i++;
    if (i < p->n && term_order(&p->t[i], t) == 0) {
        if (!i64_add(p->t[i].k, t->k, &p->t[i].k)) return too_big(c);
        if (p->t[i].k == 0) memmove(&p->t[i], &p->t[i + 1], sizeof *t * (size_t)(--p->n - i));
        return true;
    }
    if (p->n == POLY_TERMS) return too_big(c);
    memmove(&p->t[i + 1], &p->t[i], sizeof *t * (size_t)(p->n++ - i));
    p->t[i] = *t;
    return true;
}

static bool term_mul(tsr_ctx *c, const struct term *a, const struct term *b, struct term *out) {
    if (a->n + b->n > POLY_DEGREE || !i64_mul(a->k, b->k, &out->k)) return too_big(c);
    int i = 0, j = 0;
    out->n = 0;
    while (i < a->n || j < b->n) {
        bool left = j == b->n || (i < a->n && a->atom[i]->serial <= b->atom[j]->serial);
        out->atom[out->n++] = left ? a->atom[i++] : b->atom[j++];
    }
    return true;
}

static const tsr_extent *term_extent(tsr_ctx *c, const struct term *t) {
    if (t->n == 0) return tsr_extent_int(c, t->k);
    if (t->n == 1 && t->k == 1) return t->atom[0];
    const tsr_extent *arg[POLY_DEGREE + 1];
    int n = 0;
    if (t->k != 1 && !(arg[n++] = tsr_extent_int(c, t->k))) return NULL;
    for (int i = 0; i < t->n; i++) arg[n++] = t->atom[i];
    return extent_intern(c, (tsr_extent){.op = EXT_MUL, .n = n, .arg = arg});
}

static const tsr_extent *poly_extent(tsr_ctx *c, const struct poly *p) {
    if (p->n == 0) return tsr_extent_int(c, 0);
    const tsr_extent *arg[POLY_TERMS];
    for (int i = 0; i < p->n; i++)
        if (!(arg[i] = term_extent(c, &p->t[i]))) return NULL;
    return p->n == 1 ? arg[0] : extent_intern(c, (tsr_extent){.op = EXT_ADD, .n = p->n, .arg = arg});
}

static const tsr_extent *poly_sum(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b, int64_t sign) {
    if (!a || !b) return NULL;
    if (a->op == EXT_INT && b->op == EXT_INT) {
        int64_t k, r;
        if (i64_mul(b->value, sign, &k) && i64_add(a->value, k, &r)) return tsr_extent_int(c, r);
    }
    struct poly p, q;
    poly_of(a, &p), poly_of(b, &q);
    if (p.n == 1 && p.t[0].k == 0) p.n = 0;
    for (int i = 0; i < q.n; i++) {
        if (!i64_mul(q.t[i].k, sign, &q.t[i].k)) return too_big(c), NULL;
        if (!poly_add_term(c, &p, &q.t[i])) return NULL;
    }
    return poly_extent(c, &p);
}

const tsr_extent *tsr_extent_add(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) { return poly_sum(c, a, b, 1); }
const tsr_extent *tsr_extent_sub(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) { return poly_sum(c, a, b, -1); }

const tsr_extent *tsr_extent_mul(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) {
    if (!a || !b) return NULL;
    if (extent_is(a, 1)) return b;
    if (extent_is(b, 1)) return a;
    struct poly p, q, r = {0};
    poly_of(a, &p), poly_of(b, &q);
    for (int i = 0; i < p.n; i++)
        for (int j = 0; j < q.n; j++) {
            struct term t;
            if (!term_mul(c, &p.t[i], &q.t[j], &t) || !poly_add_term(c, &r, &t)) return NULL;
        }
    return poly_extent(c, &r);
}

/* ---- division ---- */

/* t / d when it is exact for every value of the atoms. */
static bool term_div(const struct term *t, const struct term *d, struct term *out) {
    if (d->k == 0 || d->k == -1 || t->k % d->k != 0) return false;
    out->k = t->k / d->k, out->n = 0;
    int j = 0;
    for (int i = 0; i < t->n; i++) {
        if (j < d->n && t->atom[i] == d->atom[j]) j++;
        else out->atom[out->n++] = t->atom[i];
    }
    return j == d->n;
}

/* a = b * quotient + rest, where every term of quotient is exact; b is one term (else everything is rest). */
static bool split_exact(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b, const tsr_extent **quotient,
    const tsr_extent **rest) {
    struct poly p, d, q = {0}, r = {0};
    poly_of(a, &p), poly_of(b, &d);
    for (int i = 0; i < p.n; i++) {
        struct term t;
        bool exact = d.n == 1 && term_div(&p.t[i], &d.t[0], &t);
        if (!poly_add_term(c, exact ? &q : &r, exact ? &t : &p.t[i])) return false;
    }
    return (*quotient = poly_extent(c, &q)) && (*rest = poly_extent(c, &r));
}

static const tsr_extent *divide(tsr_ctx *c, enum extent_op op, const tsr_extent *a, const tsr_extent *b) {
    if (!a || !b) return NULL;
    if (extent_is(b, 0)) return err_set(c, TSR_EINVAL, "extent expression divides by zero"), NULL;
    if (extent_is(b, 1)) return op == EXT_MOD ? tsr_extent_int(c, 0) : a;
    if (a == b && a->lo > 0) return tsr_extent_int(c, op == EXT_MOD ? 0 : 1);
    if (a->op == EXT_INT && b->op == EXT_INT) {
        int64_t x = a->value, y = b->value;
        return tsr_extent_int(c, op == EXT_MOD ? floor_mod(x, y) : op == EXT_FLOORDIV ? floor_div(x, y) : ceil_div(x,
            y));
    }
    const tsr_extent *q, *r;
    if (b->lo <= 0) q = tsr_extent_int(c, 0), r = a;
    else if (!split_exact(c, a, b, &q, &r)) return NULL;
    const tsr_extent *part = NULL;
    if (r->op == EXT_INT && b->op == EXT_INT) part = divide(c, op, r, b);
    else if (r->lo >= 0 && r->hi < b->lo && op != EXT_CEILDIV) part = op == EXT_MOD ? r : tsr_extent_int(c, 0);
    else if (extent_is(r, 0)) part = r;
    else part = extent_intern(c, (tsr_extent){.op = op, .n = 2, .arg = (const tsr_extent *[]){r, b}});
    return op == EXT_MOD ? part : tsr_extent_add(c, q, part);
}

const tsr_extent *tsr_extent_floordiv(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) {
    return divide(c, EXT_FLOORDIV, a, b);
}
const tsr_extent *tsr_extent_ceildiv(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) {
    return divide(c, EXT_CEILDIV, a, b);
}
const tsr_extent *tsr_extent_mod(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) {
    return divide(c, EXT_MOD, a, b);
}

static const tsr_extent *pick(tsr_ctx *c, enum extent_op op, const tsr_extent *a, const tsr_extent *b) {
    if (!a || !b) return NULL;
    const tsr_extent *d = tsr_extent_sub(c, a, b);
    if (!d) return NULL;
    if (d->hi <= 0) return op == EXT_MIN ? a : b;
    if (d->lo >= 0) return op == EXT_MIN ? b : a;
    if (a->serial > b->serial) return pick(c, op, b, a);
    return extent_intern(c, (tsr_extent){.op = op, .n = 2, .arg = (const tsr_extent *[]){a, b}});
}

const tsr_extent *tsr_extent_min(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) {
    return pick(c, EXT_MIN, a, b);
}
const tsr_extent *tsr_extent_max(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b) {
    return pick(c, EXT_MAX, a, b);
}

/* ---- reading ---- */

bool tsr_extent_is_int(const tsr_extent *e, int64_t *v) {
    if (!e || e->op != EXT_INT) return false;
    if (v) *v = e->value;
    return true;
}

bool extent_is(const tsr_extent *e, int64_t v) { return e && e->op == EXT_INT && e->value == v; }

void tsr_extent_bounds(const tsr_extent *e, int64_t *lo, int64_t *hi) { *lo = e->lo, *hi = e->hi; }

static tsr_status eval_symbol(tsr_ctx *c, const tsr_extent *e, int n, const tsr_binding *b, int64_t *out) {
    for (int i = 0; i < n; i++) {
        if (b[i].symbol != e) continue;
        if (b[i].value < e->lo || b[i].value > e->hi)
            return err_set(c, TSR_ECHECK, "size %s = %lld is outside its bounds %lld..%lld", e->name,
                (long long)b[i].value,
                           (long long)e->lo, (long long)e->hi);
        *out = b[i].value;
        return TSR_OK;
    }
    return err_set(c, TSR_ECHECK, "size %s has no value: no parameter's extents determine it; bind it explicitly",
        e->name);
}

/* Depth is bounded by EXTENT_DEPTH, so this may recurse. */
tsr_status tsr_extent_eval(tsr_ctx *c, const tsr_extent *e, int n, const tsr_binding *b, int64_t *out) {
    if (e->op == EXT_INT) return *out = e->value, TSR_OK;
    if (e->op == EXT_SYMBOL) return eval_symbol(c, e, n, b, out);
    int64_t acc = 0;
    for (int i = 0; i < e->n; i++) {
        int64_t v;
        tsr_status s = tsr_extent_eval(c, e->arg[i], n, b, &v);
        if (s) return s;
        if (i == 0) {
            acc = v;
            continue;
        }
        bool fits = true;
        if (e->op == EXT_ADD) fits = i64_add(acc, v, &acc);
        else if (e->op == EXT_MUL) fits = i64_mul(acc, v, &acc);
        else if (e->op == EXT_MIN) acc = v < acc ? v : acc;
        else if (e->op == EXT_MAX) acc = v > acc ? v : acc;
        else if (v == 0) return err_set(c, TSR_ECHECK, "size expression %s divides by zero", extent_text(c, e));
        else acc = e->op == EXT_MOD ? floor_mod(acc, v) : e->op == EXT_FLOORDIV ? floor_div(acc, v) : ceil_div(acc, v);
        if (!fits) return err_set(c, TSR_ECHECK, "size expression %s exceeds 64 bits", extent_text(c, e));
    }
    *out = acc;
    return TSR_OK;
}

/* ---- text ---- */

static void print_args(struct str *s, const tsr_extent *e, const char *sep, bool parens) {
    for (int i = 0; i < e->n; i++) {
        const tsr_extent *a = e->arg[i];
        bool wrap = parens && (a->op == EXT_ADD);
        if (i && e->op == EXT_ADD && a->op == EXT_INT && a->value < 0) {
            str_printf(s, " - %llu", (unsigned long long)-(uint64_t)a->value);
            continue;
        }
        if (i) str_put(s, sep);
        if (wrap) str_putc(s, '(');
        extent_print(s, a);
        if (wrap) str_putc(s, ')');
    }
}

void extent_print(struct str *s, const tsr_extent *e) {
    static const char *const call[] = {[EXT_FLOORDIV] = "floordiv", [EXT_CEILDIV] = "ceildiv", [EXT_MOD] = "mod",
                                       [EXT_MIN] = "min", [EXT_MAX] = "max"};
    if (!e) str_put(s, "?");
    else if (e->op == EXT_INT) str_printf(s, "%lld", (long long)e->value);
    else if (e->op == EXT_SYMBOL) str_put(s, e->name);
    else if (e->op == EXT_ADD) print_args(s, e, " + ", false);
    else if (e->op == EXT_MUL) print_args(s, e, "*", true);
    else {
        str_printf(s, "%s(", call[e->op]);
        print_args(s, e, ", ", false);
        str_putc(s, ')');
    }
}

bool extent_require(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b, const char *fmt, ...) {
    if (a == b) return true;
    if (!a || !b) return false;
    const tsr_extent *d = tsr_extent_sub(c, a, b);
    tsr_fn *f = fn_open_now(c);
    va_list ap;
    va_start(ap, fmt);
    bool ok = d && d->lo <= 0 && d->hi >= 0;
    if (d && !ok) err_setv(c, TSR_EINVAL, fmt, ap);
    va_end(ap);
    if (!ok) return false;
    if (!f) return err_set(c, TSR_EINVAL, "sizes %s and %s may differ: symbolic sizes belong inside a fn",
        extent_text(c, a), extent_text(c, b)), false;
    for (size_t i = 0; i < f->check.n; i++)
        if (f->check.v[i].a == a && f->check.v[i].b == b) return true;
    char why[TEXT_BYTES];
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    struct fn_check k = {a, b, mem_strdup(c, why)};
    if (!k.why) return false;
    if (vec_push(c, &f->check, k)) return true;
    mem_strfree(c, k.why);
    return false;
}
