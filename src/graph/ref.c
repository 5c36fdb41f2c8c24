/* ref.c: one element of any dtype in and out of memory, conversion, and the combining functions of reductions.
 *
 * This is the floor under every reference kernel: a kernel reads elements as struct ref_val, computes in f64 or
 * exact 64-bit integers, and stores once; the store is the only rounding. So a reference result is the correctly
 * rounded value of what the f64 computation gave, whatever the dtype.
 *
 * Conversions follow StableHLO's convert. What it leaves open is settled here as in tile.h: float to integer
 * truncates and saturates, NaN becomes 0; integers wrap; anything that is not zero (NaN too) is true; a complex
 * number gives its real part.
 *
 * 4-bit integers are stored two to a byte in row-major order, the low nibble first. Block types can be read, not
 * written. */
#include <math.h>
#include <string.h>

#include "graph/ref.h"

/* ---- elements in memory ----------------------------------------------------------------------------------------- */

typedef struct ref_val element_get(const struct ref_tensor *t, int64_t i);
typedef void element_set(struct ref_tensor *t, int64_t i, struct ref_val v);

/* NAME, type as stored, member of ref_val, stored -> member, member -> stored */
#define PLAIN_LIST(X)                                                        \
    X(F64, double, re, x, v)                                                 \
    X(F32, float, re, (double)x, (float)v)                                   \
    X(F16, uint16_t, re, (double)tsr_f16_to_f32(x), tsr_f64_to_f16(v))       \
    X(BF16, uint16_t, re, (double)tsr_bf16_to_f32(x), tsr_f64_to_bf16(v))    \
    X(F8E4M3, uint8_t, re, (double)tsr_f8e4m3_to_f32(x), tsr_f64_to_f8e4m3(v)) \
    X(F8E5M2, uint8_t, re, (double)tsr_f8e5m2_to_f32(x), tsr_f64_to_f8e5m2(v)) \
    X(I64, int64_t, i, x, v)                                                 \
    X(I32, int32_t, i, x, (int32_t)v)                                        \
    X(I16, int16_t, i, x, (int16_t)v)                                        \
    X(I8, int8_t, i, x, (int8_t)v)                                           \
    X(U64, uint64_t, u, x, v)                                                \
    X(U32, uint32_t, u, x, (uint32_t)v)                                      \
    X(U16, uint16_t, u, x, (uint16_t)v)                                      \
    X(U8, uint8_t, u, x, (uint8_t)v)                                         \
    X(BOOL, uint8_t, u, x != 0, v != 0)

#define X(NAME, T, member, load, store)                                             \
    static struct ref_val get_##NAME(const struct ref_tensor *t, int64_t i) {       \
        T x;                                                                        \
        memcpy(&x, t->p + (size_t)i * sizeof x, sizeof x);                          \
        return (struct ref_val){.member = load};                                    \
    }                                                                               \
    static void set_##NAME(struct ref_tensor *t, int64_t i, struct ref_val value) { \
        __typeof__(value.member) v = value.member;                                  \
        T x = store;                                                                \
        memcpy(t->p + (size_t)i * sizeof x, &x, sizeof x);                          \
    }
PLAIN_LIST(X)
#undef X

static struct ref_val get_C64(const struct ref_tensor *t, int64_t i) {
    float z[2];
    memcpy(z, t->p + (size_t)i * sizeof z, sizeof z);
    return (struct ref_val){.re = z[0], .im = z[1]};
}
static void set_C64(struct ref_tensor *t, int64_t i, struct ref_val v) {
    float z[2] = {(float)v.re, (float)v.im};
    memcpy(t->p + (size_t)i * sizeof z, z, sizeof z);
}
static struct ref_val get_C128(const struct ref_tensor *t, int64_t i) {
    double z[2];
    memcpy(z, t->p + (size_t)i * sizeof z, sizeof z);
    return (struct ref_val){.re = z[0], .im = z[1]};
}
static void set_C128(struct ref_tensor *t, int64_t i, struct ref_val v) {
    double z[2] = {v.re, v.im};
    memcpy(t->p + (size_t)i * sizeof z, z, sizeof z);
}

static unsigned nibble_get(const struct ref_tensor *t, int64_t i) { return t->p[i / 2] >> (i % 2 * 4) & 15u; }
static void nibble_set(struct ref_tensor *t, int64_t i, unsigned v) {
    int at = (int)(i % 2) * 4;
    t->p[i / 2] = (uint8_t)((t->p[i / 2] & ~(15u << at)) | (v & 15u) << at);
}
static struct ref_val get_I4(const struct ref_tensor *t, int64_t i) {
    int v = (int)nibble_get(t, i);
    return (struct ref_val){.i = v < 8 ? v : v - 16};
}
static void set_I4(struct ref_tensor *t, int64_t i, struct ref_val v) {
    nibble_set(t, i, (unsigned)((uint64_t)v.i & 15u));
}
static struct ref_val get_U4(const struct ref_tensor *t, int64_t i) { return (struct ref_val){.u = nibble_get(t, i)}; }
static void set_U4(struct ref_tensor *t, int64_t i, struct ref_val v) { nibble_set(t, i, (unsigned)(v.u & 15u)); }

static struct ref_val get_block(const struct ref_tensor *t, int64_t i) {
    enum { BLOCK_MAX = 256 };
    const tsr_dtype_info *d = tsr_dtype_of(t->dtype);
    float f[BLOCK_MAX];
    if (!d->dequant || d->block > BLOCK_MAX) TSR_BUG("%s cannot be dequantised", d->name);
    d->dequant(1, t->p + (size_t)(i / d->block) * (size_t)d->bytes, f);
    return (struct ref_val){.re = f[i % d->block]};
}

static const struct element { element_get *get; element_set *set; } element[TSR_DTYPE_COUNT] = {
#define X(NAME, ...) [TSR_##NAME] = {get_##NAME, set_##NAME},
    PLAIN_LIST(X)
#undef X
    [TSR_C64] = {get_C64, set_C64}, [TSR_C128] = {get_C128, set_C128}, [TSR_I4] = {get_I4, set_I4},
    [TSR_U4] = {get_U4, set_U4},
};

struct ref_val ref_get(const struct ref_tensor *t, int64_t index) {
    element_get *get = element[t->dtype].get;
    return get ? get(t, index) : get_block(t, index);
}

void ref_set(struct ref_tensor *t, int64_t index, struct ref_val v) {
    element_set *set = element[t->dtype].set;
    if (!set) TSR_BUG("an element of %s cannot be written", tsr_dtype_name(t->dtype));
    set(t, index, v);
}

void ref_move(struct ref_tensor *to, int64_t to_index, const struct ref_tensor *from, int64_t from_index) {
    const tsr_dtype_info *d = tsr_dtype_of(to->dtype);
    size_t n = (size_t)d->bytes;
    if (d->block == 1) memcpy(to->p + (size_t)to_index * n, from->p + (size_t)from_index * n, n);
    else ref_set(to, to_index, ref_get(from, from_index));
}

size_t ref_bytes(const struct ref_tensor *t) {
    size_t n = 0;
    if (!tsr_dtype_bytes(t->dtype, t->count, &n))
        TSR_BUG("the size of a tensor of %s was not checked", tsr_dtype_name(t->dtype));
    return n;
}

bool ref_shape(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim, struct ref_tensor *out, size_t *bytes) {
    *out = (struct ref_tensor){.dtype = t, .rank = rank, .count = 1};
    bool ok = rank <= TSR_MAX_RANK;
    for (int i = 0; ok && i < rank; i++) {
        out->dim[i] = dim[i];
        ok = dim[i] >= 0 && i64_mul(out->count, dim[i], &out->count);
    }
    if (ok && tsr_dtype_bytes(t, out->count, bytes)) return true;
    err_set(c, TSR_EINVAL, "a tensor of %s with %d axes is too large, or not whole blocks of its dtype",
        tsr_dtype_name(t), rank);
    return false;
}

bool ref_new(struct arena *a, tsr_dtype t, int rank, const int64_t *dim, struct ref_tensor *out) {
    size_t bytes;
    return ref_shape(a->c, t, rank, dim, out, &bytes) && (out->p = arena_alloc(a, bytes ? bytes : 1)) != NULL;
}

/* ---- conversion ------------------------------------------------------------------------------------------------- */

/* An integer as a double such that rounding it once more to any narrower format gives the correctly rounded
 * integer: what does not fit 53 bits is rounded to odd (Boldo and Melquiond, "When double rounding is odd", 2005). */
static double odd_double(uint64_t u) {
    if (u < (uint64_t)1 << 53) return (double)u;
    int shift = 11 - __builtin_clzll(u);
    uint64_t kept = u >> shift | ((u & (((uint64_t)1 << shift) - 1)) != 0);
    return ldexp((double)kept, shift);
}

static double double_from_int(int64_t i, tsr_dtype to) {
    if (to == TSR_F64 || to == TSR_C128) return (double)i;
    return i < 0 ? -odd_double(0 - (uint64_t)i) : odd_double((uint64_t)i);
}

static double double_from_uint(uint64_t u, tsr_dtype to) {
    return to == TSR_F64 || to == TSR_C128 ? (double)u : odd_double(u);
}

static int64_t int_from_double(double x, int bits) {
    double end = ldexp(1, bits - 1);
    if (isnan(x)) return 0;
    if (x >= end) return (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
    if (x <= -end) return (int64_t)(~(uint64_t)0 << (bits - 1));
    return (int64_t)x;
}

static uint64_t uint_from_double(double x, int bits) {
    if (!(x > 0)) return 0;
    return x >= ldexp(1, bits) ? ~(uint64_t)0 >> (64 - bits) : (uint64_t)x;
}

static bool is_zero(struct ref_val v, tsr_kind k) {
    switch (k) {
    case TSR_KIND_INT: return v.i == 0;
    case TSR_KIND_UINT: case TSR_KIND_BOOL: return v.u == 0;
    case TSR_KIND_COMPLEX: return v.re == 0 && v.im == 0;
    default: return v.re == 0;
    }
}

struct ref_val ref_convert(struct ref_val v, tsr_dtype from, tsr_dtype to) {
    tsr_kind kf = tsr_dtype_of(from)->kind, kt = tsr_dtype_of(to)->kind;
    int bits = tsr_dtype_of(to)->bits;
    bool from_int = kf == TSR_KIND_INT, from_uint = kf == TSR_KIND_UINT || kf == TSR_KIND_BOOL;
    struct ref_val r = {0};
    switch (kt) {
    case TSR_KIND_BOOL: r.u = !is_zero(v, kf); break;
    case TSR_KIND_INT: r.i = from_int ? v.i : from_uint ? (int64_t)v.u : int_from_double(v.re, bits); break;
    case TSR_KIND_UINT: r.u = from_int ? (uint64_t)v.i : from_uint ? v.u : uint_from_double(v.re, bits); break;
    default:
        r.re = from_int ? double_from_int(v.i, to) : from_uint ? double_from_uint(v.u, to) : v.re;
        r.im = kf == TSR_KIND_COMPLEX && kt == TSR_KIND_COMPLEX ? v.im : 0;
    }
    return r;
}

/* ---- reductions ------------------------------------------------------------------------------------------------- */

static const tsr_scalar reduce_scalar[TSR_REDUCE_COUNT] = {
    [TSR_REDUCE_SUM] = TSR_S_ADD, [TSR_REDUCE_PROD] = TSR_S_MUL, [TSR_REDUCE_MAX] = TSR_S_MAX,
    [TSR_REDUCE_MIN] = TSR_S_MIN,
    [TSR_REDUCE_AND] = TSR_S_AND, [TSR_REDUCE_OR] = TSR_S_OR,    [TSR_REDUCE_XOR] = TSR_S_XOR,
};

struct ref_val ref_reduce(tsr_reduce op, tsr_dtype t, struct ref_val a, struct ref_val b) {
    return ref_scalar(reduce_scalar[op], t, (struct ref_val[3]){a, b});
}

/* The greatest (or least) value of the dtype; e4m3fn has no infinity, so its largest finite number. */
static struct ref_val extreme(tsr_dtype t, bool greatest) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    double inf = t == TSR_F8E4M3 ? 448 : INFINITY;
    struct ref_val v = {.re = greatest ? inf : -inf, .im = greatest ? inf : -inf};
    if (d->kind == TSR_KIND_INT) v.i = int_from_double(v.re, d->bits);
    if (d->kind == TSR_KIND_UINT) v.u = uint_from_double(v.re, d->bits);
    if (d->kind == TSR_KIND_BOOL) v.u = greatest;
    return v;
}

struct ref_val ref_reduce_identity(tsr_reduce op, tsr_dtype t) {
    bool truth = t == TSR_BOOL;
    switch (op) {
    case TSR_REDUCE_PROD: return (struct ref_val){.re = 1, .i = 1, .u = 1};
    case TSR_REDUCE_MAX: return extreme(t, false);
    case TSR_REDUCE_MIN: return extreme(t, true);
    case TSR_REDUCE_AND: return (struct ref_val){.i = -1, .u = truth ? 1
    : ~(uint64_t)0 >> (64 - tsr_dtype_of(t)->bits)};
    default: return (struct ref_val){0};
    }
}

/* ---- indices ---------------------------------------------------------------------------------------------------- */

void ref_unravel(int rank, const int64_t *dim, int64_t flat, int64_t *index) {
    for (int i = rank - 1; i >= 0; i--) index[i] = flat % dim[i], flat /= dim[i];
}

int64_t ref_ravel(int rank, const int64_t *dim, const int64_t *index) {
    int64_t flat = 0;
    for (int i = 0; i < rank; i++) flat = flat * dim[i] + index[i];
    return flat;
}
