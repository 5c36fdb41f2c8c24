/* read_type.c: types in MLIR's text.
 *
 * A tensor type without nested brackets, the usual case, is looked up by its text in a small cache first: its type is
 * then known without being taken apart again. */
#include <string.h>

#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/reader.h"

enum { RANK_MAX = 64, QUANT_MAX = 1 << 20 };

/* ---- element types ---------------------------------------------------------------------------------------------- */

static bool elem_find(const char *s, size_t n, enum hlo_elem *out) {
    for (int e = 0; e < HLO_ELEM_COUNT; e++) {
        const char *text = hlo_elem_of((enum hlo_elem)e)->text;
        if (strlen(text) == n && memcmp(text, s, n) == 0) return *out = (enum hlo_elem)e, true;
    }
    return false;
}

static bool complex_elem(struct reader *r, enum hlo_elem *out) {
    const char *s;
    size_t n;
    struct hlo_loc at = lex_here(&r->x);
    if (!lex_expect(&r->x, '<', "after 'complex'")) return false;
    if (!lex_word(&r->x, &s, &n)) return lex_expected(&r->x, "f32 or f64, the type of the parts");
    bool is32 = n == 3 && memcmp(s, "f32", 3) == 0, is64 = n == 3 && memcmp(s, "f64", 3) == 0;
    *out = is32 ? HLO_C64 : HLO_C128;
    if (!is32 && !is64)
        return hlo_fail(r->m, at, "complex<%.*s>: complex numbers have parts of f32 or f64", (int)n, s);
    return lex_expect(&r->x, '>', "after the type of the parts");
}

/* ---- quantised types -------------------------------------------------------------------------------------------- */

static bool quant_elem(struct reader *r, enum hlo_elem *out, const char *what) {
    const char *s;
    size_t n;
    char name[16];
    struct hlo_loc at = lex_here(&r->x);
    if (!lex_word(&r->x, &s, &n)) return lex_expected(&r->x, what);
    if (n < sizeof name - 1 && s[0] == 'u' && n > 1 && lex_is_digit(s[1])) { /* u8 is ui8 here */
        name[0] = 'u', name[1] = 'i';
        memcpy(name + 2, s + 1, n - 1);
        s = name, n++;
    }
    if (elem_find(s, n, out)) return true;
    return hlo_fail(r->m, at, "'%.*s' is not %s", (int)n, s, what);
}

static void quant_range(struct hlo_quant *q) {
    int bits = hlo_elem_of(q->storage)->bits;
    bool u = hlo_elem_unsigned(q->storage);
    q->storage_min = u ? 0 : -((int64_t)1 << (bits - 1));
    q->storage_max = ((int64_t)1 << (u ? bits : bits - 1)) - 1;
}

static bool quant_storage(struct reader *r, struct hlo_quant *q) {
    struct hlo_loc at = lex_here(&r->x);
    if (!quant_elem(r, &q->storage, "a storage type like i8 or u8")) return false;
    if (!hlo_elem_integer(q->storage) || q->storage == HLO_I1 || hlo_elem_of(q->storage)->bits > 32)
        return hlo_fail(r->m, at, "the storage type of a quantised type is an integer of 2 to 32 bits");
    quant_range(q);
    if (!lex_accept(&r->x, '<')) return true;
    int64_t lo = q->storage_min, hi = q->storage_max;
    at = lex_here(&r->x);
    if (!lex_int(&r->x, &q->storage_min, "the least stored value") || !lex_expect(&r->x, ':', "between the bounds") ||
        !lex_int(&r->x, &q->storage_max, "the largest stored value") || !lex_expect(&r->x, '>', "after the bounds"))
        return false;
    if (q->storage_min < lo || q->storage_max > hi || q->storage_min >= q->storage_max)
        return hlo_fail(r->m, at, "the bounds %lld:%lld do not lie in the storage type's range %lld:%lld",
            (long long)q->storage_min, (long long)q->storage_max, (long long)lo, (long long)hi);
    return true;
}

/* "scale" or "scale:zero_point". */
static bool quant_point(struct reader *r) {
    uint64_t bits;
    int64_t zero = 0;
    size_t n = hlo_literal(HLO_F64, r->x.p, r->x.end, &bits);
    double scale = n ? hlo_bits_to_double(HLO_F64, bits) : 0;
    if (!n || !(scale > 0)) return lex_expected(&r->x, "a scale, a positive float");
    r->x.p += n;
    lex_skip(&r->x);
    if (lex_accept(&r->x, ':') && !lex_int(&r->x, &zero, "a zero point")) return false;
    return vec_push(r->c, &r->real, scale) && vec_push(r->c, &r->integer, zero);
}

/* "{0.1:-30, 0.5:-20}", or nested for sub-channel types: row-major order is the order of the text. */
static bool quant_points(struct reader *r) {
    if (!read_deeper(r)) return false;
    if (!lex_expect(&r->x, '{', "before the scales")) return false;
    do {
        if (r->real.n > QUANT_MAX) return hlo_fail(r->m, lex_here(&r->x), "more than %d scales", QUANT_MAX);
        if (lex_peek(&r->x) == '{' ? !quant_points(r) : !quant_point(r)) return false;
    } while (lex_accept(&r->x, ','));
    r->depth--;
    return lex_expect(&r->x, '}', "after the scales");
}

/* ":0" (an axis) or ":{0:1, 1:2}" (axes and their block sizes), the latter pushed on r->integer by pairs. */
static bool quant_axes(struct reader *r, struct hlo_quant *q) {
    int64_t axis, block;
    struct hlo_loc at = lex_here(&r->x);
    if (!lex_accept(&r->x, '{')) {
        if (!lex_int(&r->x, &axis, "the quantised axis")) return false;
        if (axis < 0 || axis >= RANK_MAX) return hlo_fail(r->m, at, "the quantised axis is %lld", (long long)axis);
        q->axis = (int)axis;
        return true;
    }
    do {
        if (q->nblock == RANK_MAX) return hlo_fail(r->m, at, "more than %d axes", RANK_MAX);
        if (!lex_int(&r->x, &axis, "an axis") || !lex_expect(&r->x, ':', "between axis and block size") ||
            !lex_int(&r->x, &block, "a block size"))
            return false;
        if (!vec_push(r->c, &r->integer, axis) || !vec_push(r->c, &r->integer, block)) return false;
        q->nblock++;
    } while (lex_accept(&r->x, ','));
    return lex_expect(&r->x, '}', "after the block sizes");
}

/* Copies what the stacks gathered into the module's memory. */
static const struct hlo_quant *quant_finish(struct reader *r, struct hlo_quant *q, size_t integer, size_t real) {
    size_t n = r->real.n - real;
    struct hlo_quant *to = arena_alloc(&r->m->arena, sizeof *to);
    int64_t *axis = arena_array(&r->m->arena, (size_t)q->nblock, sizeof *axis);
    int64_t *block = arena_array(&r->m->arena, (size_t)q->nblock, sizeof *block);
    int64_t *zero = arena_array(&r->m->arena, n, sizeof *zero);
    double *scale = arena_array(&r->m->arena, n, sizeof *scale);
    if (!to || !axis || !block || !zero || !scale) return NULL;
    const int64_t *from = r->integer.v + integer;
    for (int i = 0; i < q->nblock; i++) axis[i] = from[2 * i], block[i] = from[2 * i + 1];
    memcpy(zero, from + 2 * q->nblock, n * sizeof *zero);
    memcpy(scale, r->real.v + real, n * sizeof *scale);
    *to = *q;
    to->n = (int)n, to->block_axis = axis, to->block = block, to->zero_point = zero, to->scale = scale;
    return to;
}

/* After "!quant.uniform". */
static const struct hlo_quant *read_quant(struct reader *r) {
    struct hlo_quant q = {.axis = -1};
    size_t integer = r->integer.n, real = r->real.n;
    struct hlo_loc at = lex_here(&r->x);
    if (!lex_expect(&r->x, '<', "after '!quant.uniform'") || !quant_storage(r, &q) ||
        !lex_expect(&r->x, ':', "after the storage type") || !quant_elem(r, &q.expressed, "an expressed type like f32"))
        return NULL;
    if (!hlo_elem_float(q.expressed))
        return hlo_fail(r->m, at, "the expressed type of a quantised type is a float"), NULL;
    if (lex_accept(&r->x, ':') && !quant_axes(r, &q)) return NULL;
    if (!lex_expect(&r->x, ',', "before the scales")) return NULL;
    if (lex_peek(&r->x) == '{' ? !quant_points(r) : !quant_point(r)) return NULL;
    if (q.axis < 0 && !q.nblock && r->real.n - real != 1)
        return hlo_fail(r->m, at, "a type quantised per tensor has one scale; say the axis for more: i8:f32:0"), NULL;
    if (!lex_expect(&r->x, '>', "after the scales")) return NULL;
    const struct hlo_quant *done = quant_finish(r, &q, integer, real);
    r->integer.n = integer, r->real.n = real;
    return done;
}

/* ---- shaped types ----------------------------------------------------------------------------------------------- */

static const struct hlo_type *opaque(struct reader *r, const char *from, const char *to) {
    if (!read_is_name(r, from, (size_t)(to - from))) return NULL;
    char *text = arena_alloc(&r->m->arena, (size_t)(to - from) + 1);
    if (!text) return NULL;
    memcpy(text, from, (size_t)(to - from));
    return hlo_type_intern(r->m, &(struct hlo_type){.kind = HLO_T_OPAQUE, .text = text});
}

/* One extent and its 'x'; *more false: here begins the element type. */
static bool read_extent(struct reader *r, int64_t *out, bool *more) {
    struct lex *x = &r->x;
    *more = true;
    if (lex_peek(x) == '?') x->p++, *out = HLO_DYNAMIC;
    else if (lex_is_digit(lex_peek(x))) {
        int64_t v = 0;
        for (; lex_is_digit(lex_peek(x)); x->p++)
            if (!i64_mul(v, 10, &v) || !i64_add(v, *x->p - '0', &v))
                return hlo_fail(r->m, lex_here(x), "the extent does not fit in 63 bits");
        *out = v;
    } else {
        *more = false;
        return true;
    }
    lex_skip(x);
    if (lex_peek(x) != 'x') return lex_expected(x, "'x' after the extent");
    x->p++;
    lex_skip(x);
    return true;
}

/* The element type. *known false: it is of a kind that is only kept as text. */
static bool read_elem(struct reader *r, struct hlo_type *t, bool *known) {
    const char *s;
    size_t n;
    struct hlo_loc at = lex_here(&r->x);
    *known = true;
    if (lex_accept_word(&r->x, "complex")) return complex_elem(r, &t->elem);
    if (lex_at_word(&r->x, "!quant.uniform")) {
        lex_accept_word(&r->x, "!quant.uniform");
        t->quant = read_quant(r);
        if (t->quant) t->elem = t->quant->storage;
        return t->quant;
    }
    if (lex_peek(&r->x) == '!' || lex_at_word(&r->x, "vector") || lex_at_word(&r->x, "tensor")) {
        *known = false;
        return read_type(r);
    }
    if (!lex_word(&r->x, &s, &n)) return lex_expected(&r->x, "an extent or an element type");
    if (elem_find(s, n, &t->elem)) return true;
    return hlo_fail(r->m, at, "'%.*s' is no element type; known are i1, i2 .. i64, ui2 .. ui64, f16, bf16, f32, f64, "
                              "f4E2M1FN, f6*, f8*, tf32, index, complex<f32>, complex<f64>, !quant.uniform<...>",
        (int)n, s);
}

static bool check_count(struct reader *r, const struct hlo_type *t, struct hlo_loc at) {
    size_t bytes;
    if (!hlo_type_static(t)) return true;
    int64_t count = hlo_type_count(t);
    if (count >= 0 && size_mul((size_t)count, 16, &bytes)) return true;
    return hlo_fail(r->m, at, "the type has more elements than 60 bits can count");
}

/* After the word, at '<'. */
static const struct hlo_type *read_shaped(struct reader *r, enum hlo_type_kind kind, const char *from) {
    int64_t dim[RANK_MAX];
    struct hlo_type t = {.kind = kind, .dim = dim};
    struct hlo_loc at = lex_here(&r->x);
    bool more = true, known;
    if (!lex_expect(&r->x, '<', "after the kind of type")) return NULL;
    if (lex_accept(&r->x, '*')) {
        t.kind = HLO_T_UNRANKED, more = false;
        if (!lex_expect(&r->x, 'x', "after '*'")) return NULL;
    }
    while (more) {
        if (t.rank == RANK_MAX) return hlo_fail(r->m, at, "more than %d axes", RANK_MAX), NULL;
        if (!read_extent(r, &dim[t.rank], &more)) return NULL;
        t.rank += more;
    }
    if (!read_elem(r, &t, &known)) return NULL;
    if (lex_accept(&r->x, ',') && !(t.encoding = read_attr(r))) return NULL;
    const char *to = r->x.p + 1;
    if (!lex_expect(&r->x, '>', "after the element type")) return NULL;
    if (!known) return opaque(r, from, to);
    return check_count(r, &t, at) ? hlo_type_intern(r->m, &t) : NULL;
}

/* ---- the cache -------------------------------------------------------------------------------------------------- */

/* The length of a simple tensor type that begins at p, "tensor<4x8xf32>"; 0: it is not simple. */
static size_t simple_length(const char *p, const char *end, uint32_t *hash) {
    const char *q = p + 7;
    uint64_t h = 0;
    if (end - p < 8 || memcmp(p, "tensor<", 7) != 0) return 0;
    for (; q < end && (lex_is_word((unsigned char)*q) || *q == '?'); q++) h = (h ^ (unsigned char)*q) * 0x100000001b3u;
    *hash = (uint32_t)(h ^ h >> 29);
    return q < end && *q == '>' && q - p < 1 << 20 ? (size_t)(q - p) + 1 : 0;
}

static const struct hlo_type *read_word_type(struct reader *r, const char *from);

static const struct hlo_type *read_cached(struct reader *r) {
    uint32_t hash = 0;
    const char *from = r->x.p;
    size_t n = simple_length(from, r->x.end, &hash);
    if (!n) return read_word_type(r, from);
    const struct hlo_type **type = &r->type_cache[hash % TYPE_CACHE].type;
    if (*type && r->type_cache[hash % TYPE_CACHE].n == n &&
        memcmp(r->type_cache[hash % TYPE_CACHE].text, from, n) == 0) {
        r->x.p += n;
        lex_skip(&r->x);
        return *type;
    }
    const struct hlo_type *t = read_word_type(r, from);
    if (!t) return NULL;
    r->type_cache[hash % TYPE_CACHE].text = from, r->type_cache[hash % TYPE_CACHE].n = (uint32_t)n;
    return *type = t;
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

bool read_types(struct reader *r) {
    do {
        const struct hlo_type *t = read_type(r);
        if (!t || !vec_push(r->c, &r->type, t)) return false;
    } while (lex_accept(&r->x, ','));
    return true;
}

bool read_type_group(struct reader *r) {
    if (!lex_expect(&r->x, '(', "before the types")) return false;
    if (lex_accept(&r->x, ')')) return true;
    return read_types(r) && lex_expect(&r->x, ')', "after the types");
}

/* "<T, U>" of a tuple or a future, maybe empty. */
static const struct hlo_type *read_items(struct reader *r, enum hlo_type_kind kind) {
    size_t mark = r->type.n;
    if (!lex_expect(&r->x, '<', "before the types")) return NULL;
    if (lex_peek(&r->x) != '>' && !read_types(r)) return NULL;
    if (!lex_expect(&r->x, '>', "after the types")) return NULL;
    struct hlo_type t = {.kind = kind, .n = (int)(r->type.n - mark), .item = r->type.v + mark};
    r->type.n = mark;
    return hlo_type_intern(r->m, &t);
}

static const struct hlo_type *read_function_type(struct reader *r) {
    size_t mark = r->type.n;
    if (!read_type_group(r)) return NULL;
    int nin = (int)(r->type.n - mark);
    if (!lex_expect_text(&r->x, "->", "after the types of a function's arguments")) return NULL;
    if (lex_peek(&r->x) == '(') {
        if (!read_type_group(r)) return NULL;
    } else {
        const struct hlo_type *t = read_type(r);
        if (!t || !vec_push(r->c, &r->type, t)) return NULL;
    }
    int n = (int)(r->type.n - mark);
    r->type.n = mark;
    return hlo_type_function(r->m, nin, r->type.v + mark, n - nin, r->type.v + mark + nin);
}

static const struct hlo_type *read_dialect_type(struct reader *r) {
    const char *from = r->x.p;
    if (lex_accept_word(&r->x, "!stablehlo.token"))
        return hlo_type_intern(r->m, &(struct hlo_type){.kind = HLO_T_TOKEN});
    if (lex_accept_word(&r->x, "!stablehlo.future")) return read_items(r, HLO_T_FUTURE);
    if (lex_accept_word(&r->x, "!quant.uniform")) {
        const struct hlo_quant *q = read_quant(r);
        return q ? hlo_type_intern(r->m, &(struct hlo_type){.kind = HLO_T_SCALAR, .elem = q->storage,
            .quant = q}) : NULL;
    }
    const char *p = from + 1;
    while (p < r->x.end && lex_is_word((unsigned char)*p)) p++;
    if (p == from + 1) return lex_expected(&r->x, "a type after '!'"), NULL;
    if (!memchr(from, '.', (size_t)(p - from)) && (p == r->x.end || *p != '<')) {
        const struct read_alias *a = read_alias(r);
        return a ? a->type : NULL;
    }
    struct hlo_loc at = lex_here(&r->x);
    r->x.p = p;
    if (p < r->x.end && *p == '<') return lex_balanced(&r->x, at, &p) ? opaque(r, from, p) : NULL;
    lex_skip(&r->x);
    return opaque(r, from, p);
}

static const struct hlo_type *read_word_type(struct reader *r, const char *from) {
    const char *s, *to;
    size_t n;
    enum hlo_elem e;
    struct hlo_loc at = lex_here(&r->x);
    if (lex_accept_word(&r->x, "tensor")) return read_shaped(r, HLO_T_TENSOR, from);
    if (lex_accept_word(&r->x, "memref")) return read_shaped(r, HLO_T_BUFFER, from);
    if (lex_accept_word(&r->x, "tuple")) return read_items(r, HLO_T_TUPLE);
    if (lex_accept_word(&r->x, "complex")) return complex_elem(r, &e) ? hlo_type_scalar(r->m, e) : NULL;
    if (lex_at_word(&r->x, "vector")) {
        lex_accept_word(&r->x, "vector");
        return lex_balanced(&r->x, at, &to) ? opaque(r, from, to) : NULL;
    }
    if (!lex_word(&r->x, &s, &n)) return lex_expected(&r->x, "a type"), NULL;
    if (elem_find(s, n, &e)) return hlo_type_scalar(r->m, e);
    return hlo_fail(r->m, at, "'%.*s' is no type", (int)n, s), NULL;
}

const struct hlo_type *read_type(struct reader *r) {
    if (!read_deeper(r)) return NULL;
    r->size++;
    int ch = lex_peek(&r->x);
    const struct hlo_type *t = ch == '(' ? read_function_type(r) : ch == '!' ? read_dialect_type(r) : read_cached(r);
    r->depth--;
    return t;
}
