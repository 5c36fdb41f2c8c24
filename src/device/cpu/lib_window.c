/* lib_window.c: select_and_scatter, the gradient of max pooling.
 *
 * Each element of src belongs to a window of x; it is added to the position of the first greatest (or least) element in
 * that window, in row-major order of src. Padding is never chosen, a NaN always is (the first one), a window of padding
 * alone adds nowhere. Leading axes with windows of one element are independent slabs and run in parallel; a slab is
 * sequential, so the order of every sum is fixed. Narrow floats are widened to f32 around a slab and rounded once.
 *
 * The offsets of a window's elements from its first are the same for every window, so they are a table made once; only
 * a window that reaches into the padding asks of each element whether it is there. */
#include <stdatomic.h>
#include <string.h>

#include "device/cpu/lib.h"

struct pool_job {
    const struct lib_call *k;
    bool least;
    int rank, skip;                                    /* axes; leading ones that are slabs */
    const int64_t *xdim, *sdim, *window, *stride, *low; /* past the slab axes: (rank - skip) */
    int64_t xs[LIB_MAX_RANK];
    int64_t xcount, scount;                            /* of a slab */
    int64_t *offset, count;                            /* of a window's elements from its first: (count) */
    void (*slab)(const struct pool_job *j, const void *x, const void *src, void *y);
    atomic_bool failed;
};

/* The next index in row-major order; false after the last. */
static bool next_index(int n, const int64_t *dim, int64_t *at) {
    for (int i = n; i-- > 0; at[i] = 0)
        if (++at[i] < dim[i]) return true;
    return false;
}

/* Offset in x of window element `in` of the window at `at`; -1 in the padding. */
static int64_t window_offset(const struct pool_job *j, int n, const int64_t *at, const int64_t *in) {
    int64_t offset = 0;
    for (int i = 0; i < n; i++) {
        int64_t c = at[i] * j->stride[i] - j->low[i] + in[i];
        if (c < 0 || c >= j->xdim[i]) return -1;
        offset += c * j->xs[i];
    }
    return offset;
}

/* Offset in x of the first element of the window at `at` when all of it lies inside x; else -1. */
static int64_t window_inside(const struct pool_job *j, int n, const int64_t *at) {
    int64_t offset = 0;
    for (int i = 0; i < n; i++) {
        int64_t c = at[i] * j->stride[i] - j->low[i];
        if (c < 0 || c + j->window[i] > j->xdim[i]) return -1;
        offset += c * j->xs[i];
    }
    return offset;
}

/* A challenger wins over the best so far when it is beyond it, or the first NaN. */
#define WINS(least, a, best) ((int)((best) == (best)) & !((least) ? (a) >= (best) : (a) <= (best)))

#define SLAB(T, A)                                                                             \
    /* The first best of a window inside x; o: its first element. */                           \
    static int64_t best_##T(const struct pool_job *j, const T *x, int64_t o) {                 \
        T best = x[o];                                                                         \
        int64_t place = 0;                                                                     \
        for (int64_t i = 1; i < j->count; i++) {                                               \
            T v = x[o + j->offset[i]];                                                         \
            bool wins = WINS(j->least, v, best);                                               \
            best = wins ? v : best;                                                            \
            place = wins ? i : place;                                                          \
        }                                                                                      \
        return o + j->offset[place];                                                           \
    }                                                                                          \
    static int64_t best_padded_##T(const struct pool_job *j, const T *x, const int64_t *at) {  \
        int64_t in[LIB_MAX_RANK] = {0}, best = -1;                                             \
        int n = j->rank - j->skip;                                                             \
        do {                                                                                   \
            int64_t o = window_offset(j, n, at, in);                                           \
            if (o >= 0 && (best < 0 || WINS(j->least, x[o], x[best]))) best = o;               \
        } while (next_index(n, j->window, in));                                                \
        return best;                                                                           \
    }                                                                                          \
    static void slab_##T(const struct pool_job *j, const void *xp, const void *sp, void *yp) { \
        const T *x = xp, *src = sp;                                                            \
        T *y = yp;                                                                             \
        int n = j->rank - j->skip;                                                             \
        int64_t at[LIB_MAX_RANK] = {0}, s = 0;                                                 \
        memset(y, 0, (size_t)j->xcount * sizeof *y);                                           \
        do {                                                                                   \
            int64_t o = window_inside(j, n, at);                                               \
            int64_t best = o >= 0 ? best_##T(j, x, o) : best_padded_##T(j, x, at);             \
            if (best >= 0) y[best] = (T)((A)y[best] + (A)src[s]);                              \
            s++;                                                                               \
        } while (next_index(n, j->sdim, at));                                                  \
    }
SLAB(double, double)
SLAB(float, float)
SLAB(int64_t, uint64_t)
SLAB(int32_t, uint32_t)
SLAB(int16_t, uint32_t)
SLAB(int8_t, uint32_t)
SLAB(uint64_t, uint64_t)
SLAB(uint32_t, uint32_t)
SLAB(uint16_t, uint32_t)
SLAB(uint8_t, uint32_t)
SLAB(bool, int) /* adding is or */

static void (*const slab_of[TSR_DTYPE_COUNT])(const struct pool_job *, const void *, const void *, void *) = {
    [TSR_F64] = slab_double, [TSR_F32] = slab_float, [TSR_F16] = slab_float, [TSR_BF16] = slab_float,
        [TSR_F8E4M3] = slab_float,
    [TSR_F8E5M2] = slab_float, [TSR_I64] = slab_int64_t, [TSR_I32] = slab_int32_t, [TSR_I16] = slab_int16_t,
    [TSR_I8] = slab_int8_t,
    [TSR_U64] = slab_uint64_t, [TSR_U32] = slab_uint32_t, [TSR_U16] = slab_uint16_t, [TSR_U8] = slab_uint8_t,
    [TSR_BOOL] = slab_bool,
};

static void slab_narrow(struct pool_job *j, const void *x, const void *src, void *y) {
    tsr_dtype t = j->k->t[0].dtype;
    size_t count = (size_t)(2 * j->xcount + j->scount);
    float *wide = mem_array(j->k->c, count, sizeof *wide);
    if (!wide) {
        atomic_store(&j->failed, true);
        return;
    }
    float *ws = wide + j->xcount, *wy = ws + j->scount;
    lib_widen(t, x, j->xcount, wide);
    lib_widen(t, src, j->scount, ws);
    j->slab(j, wide, ws, wy);
    lib_narrow(t, wy, j->xcount, y);
    mem_array_free(j->k->c, wide, count, sizeof *wide);
}

static void slab_task(void *arg, int64_t i, int worker) {
    (void)worker;
    struct pool_job *j = arg;
    int bytes = tsr_dtype_of(j->k->t[0].dtype)->bytes;
    const char *x = (const char *)j->k->t[0].p + i * j->xcount * bytes,
        *src = (const char *)j->k->t[1].p + i * j->scount * bytes;
    char *y = (char *)j->k->t[2].p + i * j->xcount * bytes;
    if (lib_is_narrow(j->k->t[0].dtype)) slab_narrow(j, x, src, y);
    else j->slab(j, x, src, y);
}

/* The table of offsets; false: no memory. */
static bool list_offsets(struct pool_job *j) {
    int n = j->rank - j->skip;
    int64_t in[LIB_MAX_RANK] = {0};
    int64_t *o = j->offset = mem_array(j->k->c, (size_t)j->count, sizeof *o);
    if (!o) return false;
    do {
        *o = 0;
        for (int i = 0; i < n; i++) *o += in[i] * j->xs[i];
        o++;
    } while (next_index(n, j->window, in));
    return true;
}

tsr_status lib_select_and_scatter(const struct lib_call *k) {
    const struct lib_tensor *x = &k->t[0], *src = &k->t[1], *y = &k->t[2];
    int r = x->rank, skip = 0;
    const int64_t *window = k->ints + 1, *stride = window + r, *low = stride + r, *high = low + r;
    if (!lib_count(src)) {
        memset(y->p, 0, (size_t)lib_count(y) * (size_t)tsr_dtype_of(y->dtype)->bytes);
        return TSR_OK;
    }
    while (skip < r && window[skip] == 1 && stride[skip] == 1 && !low[skip] && !high[skip]) skip++;
    struct pool_job j = {.k = k, .least = k->ints[0], .rank = r, .skip = skip, .slab = slab_of[x->dtype]};
    j.xdim = x->dim + skip, j.sdim = src->dim + skip, j.window = window + skip, j.stride = stride + skip,
        j.low = low + skip;
    j.xcount = lib_product(r - skip, j.xdim), j.scount = lib_product(r - skip, j.sdim);
    int64_t step = 1;
    for (int i = r - skip; i-- > 0; step *= j.xdim[i]) j.xs[i] = step;
    j.count = lib_product(r - skip, j.window);
    TSR_ASSERT(j.slab);
    if (!list_offsets(&j)) return TSR_ENOMEM;
    pool_for(k->pool, lib_product(skip, x->dim), slab_task, &j);
    mem_array_free(k->c, j.offset, (size_t)j.count, sizeof *j.offset);
    return atomic_load(&j.failed) ? TSR_ENOMEM : TSR_OK;
}
