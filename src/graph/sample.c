/* sample.c: random instances of ops for the table-driven tests: extents, parameters, data.
 *
 * A record's sampler draws shapes and attributes with sample_int and sample_dims and says in struct sample where
 * its function is defined; sample_fill then makes data for whatever fn came out. All randomness is s->rng's, so a
 * seed repeats a case. */
#include <math.h>

#include "graph/ref.h"
#include "graph/sample.h"

/* ---- shapes ----------------------------------------------------------------------------------------------------- */

void sample_init(struct sample *s, tsr_dtype t, struct rng *rng, int size) {
    static const double eps[TSR_DTYPE_COUNT] = {
        [TSR_F64] = 0x1p-52, [TSR_F32] = 0x1p-23, [TSR_F16] = 0x1p-10, [TSR_BF16] = 0x1p-7,
        [TSR_F8E4M3] = 0x1p-3, [TSR_F8E5M2] = 0x1p-2, [TSR_C64] = 0x1p-23, [TSR_C128] = 0x1p-52,
    };
    *s = (struct sample){.dtype = t, .rng = rng, .size = size, .rtol = 16 * eps[t], .atol = 16 * eps[t]};
    if (tsr_dtype_of(t)->bits <= 16) s->rtol = s->atol = 2 * eps[t];
    for (int i = 0; i < 8; i++) s->lo[i] = -2, s->hi[i] = 2;
    s->smooth = dtype_is_float(t) || dtype_is_complex(t);
}

int64_t sample_int(struct sample *s, int64_t lo, int64_t hi) {
    return lo + (int64_t)rng_below(s->rng, (uint64_t)(hi - lo) + 1);
}

/* Extents are drawn from a list, and one is shrunk again and again until the whole is small enough. */
void sample_dims(struct sample *s, int rank, int64_t *dim) {
    static const int64_t small[] = {1, 2, 3, 4, 5}, medium[] = {1, 2, 3, 5, 7, 8, 13, 16, 31, 64, 67, 128};
    static const int64_t most[] = {32, 4096, 20000};
    int64_t total = 1;
    for (int i = 0; i < rank; i++) {
        dim[i] = s->size == 0 ? small[sample_int(s, 0, 4)] : medium[sample_int(s, 0, 11)];
        if (sample_int(s, 0, 39) == 0) dim[i] = 0;
    }
    if (s->size == 2 && rank) dim[sample_int(s, 0, rank - 1)] = sample_int(s, 1025, 2500);
    for (int i = 0; i < rank; i++) total *= dim[i] ? dim[i] : 1;
    for (int i = 0; rank && total > most[s->size]; i = (i + 1) % rank) {
        if (dim[i] < 2 || (s->size == 2 && dim[i] > 1024)) continue;
        total = total / dim[i] * (dim[i] / 2), dim[i] /= 2;
    }
}

tsr_node *sample_param(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim) {
    const tsr_type *type = tsr_type_dims(c, t, rank, dim);
    return type ? tsr_param(c, type, "x") : tsr_poison(c);
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

/* The i-th of n numbers spread evenly over [lo, hi], in an order that visits each once: i -> a i + b mod n, a prime
 * to n. */
struct spread { uint64_t n, a, b, next; };

static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

static struct spread spread_new(struct sample *s, uint64_t n) {
    struct spread d = {.n = n ? n : 1, .a = 1};
    d.b = rng_below(s->rng, d.n);
    for (int turn = 0; turn < 20 && d.n > 2; turn++) {
        uint64_t a = 1 + rng_below(s->rng, d.n - 1);
        if (gcd(a, d.n) == 1) d.a = a;
    }
    return d;
}

static double draw(struct sample *s, struct spread *d, double lo, double hi) {
    double at = s->distinct ? ((double)((d->a * d->next++ + d->b) % d->n) + 0.5) / (double)d->n : rng_uniform(s->rng);
    return lo + (hi - lo) * at;
}

static int64_t draw_int(struct sample *s, double lo, double hi) {
    if (hi - lo >= 0x1p53) return (int64_t)rng_u64(s->rng);
    return (int64_t)ceil(lo) + (int64_t)rng_below(s->rng, (uint64_t)(floor(hi) - ceil(lo)) + 1);
}

static struct ref_val draw_value(struct sample *s, struct spread *d, tsr_kind kind, double lo, double hi) {
    struct ref_val v = {0};
    switch (kind) {
    case TSR_KIND_INT: v.i = s->distinct ? (int64_t)floor(draw(s, d, lo, hi)) : draw_int(s, lo, hi); break;
    case TSR_KIND_UINT: v.u = (uint64_t)draw_int(s, lo < 0 ? 0 : lo, lo < 0 ? hi - lo : hi); break;
    case TSR_KIND_BOOL: v.u = rng_below(s->rng, 2); break;
    case TSR_KIND_COMPLEX: v.re = draw(s, d, lo, hi), v.im = draw(s, d, lo, hi); break;
    default: v.re = draw(s, d, lo, hi);
    }
    return v;
}

/* Quantised weights: each block from random numbers, where the type can be written at all; else zero bytes. */
static void fill_blocks(struct sample *s, struct spread *d, struct ref_tensor *t) {
    const tsr_dtype_info *info = tsr_dtype_of(t->dtype);
    float f[256];
    for (int64_t b = 0; info->quant && b < t->count / info->block; b++) {
        for (int i = 0; i < info->block; i++) f[i] = (float)draw(s, d, -2, 2);
        info->quant(1, f, t->p + (size_t)b * (size_t)info->bytes);
    }
}

tsr_status sample_fill(struct sample *s, const tsr_fn *f, struct arena *arena, struct ref_tensor *in) {
    uint64_t total = 0;
    for (size_t p = 0; p < f->param.n; p++) {
        const tsr_type *t = f->param.v[p].node->type;
        int64_t dim[TSR_MAX_RANK];
        if (!tsr_type_ints(t, dim))
            return err_set(f->c, TSR_EINVAL, "sample_fill: parameter %zu is %s; only constant extents can be filled",
                p, type_text(f->c, t));
        if (!ref_new(arena, t->dtype, t->rank, dim, &in[p])) return tsr_error_status(f->c);
        total += (uint64_t)in[p].count * (dtype_is_complex(t->dtype) ? 2 : 1);
    }
    struct spread d = spread_new(s, total);
    for (size_t p = 0; p < f->param.n; p++) {
        tsr_kind kind = tsr_dtype_of(in[p].dtype)->kind;
        double lo = p < 8 ? s->lo[p] : -2, hi = p < 8 ? s->hi[p] : 2;
        if (kind == TSR_KIND_BLOCK) fill_blocks(s, &d, &in[p]);
        for (int64_t i = 0; kind != TSR_KIND_BLOCK && i < in[p].count; i++)
            ref_set(&in[p], i, draw_value(s, &d, kind, lo, hi));
    }
    return TSR_OK;
}
