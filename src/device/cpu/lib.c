/* lib.c: the table of library kernels, and what surrounds every call: operand counts and 4-bit tensors.
 *
 * i4 and u4 are two to a byte, which no kernel wants to know: operands are unpacked to i8/u8 (sign extended, so order
 * and sums are the same), the kernel runs on those, and 4-bit results are packed again, low nibble first. */
#include "device/cpu/lib.h"

#include <string.h>

static const struct lib_entry table[] = {
    {"sort", -1, -1, lib_sort},
    {"top_k", 1, 2, lib_top_k},
    {"rng_bits", 1, 2, lib_rng_bits},
    {"fft", 1, 1, lib_fft},
    {"cholesky", 1, 1, lib_cholesky},
    {"triangular_solve", 2, 1, lib_triangular_solve},
    {"qr", 1, 2, lib_qr},
    {"svd", 1, 3, lib_svd},
    {"eigh", 1, 2, lib_eigh},
    {"gather", 2, 1, lib_gather},
    {"scatter", 3, 1, lib_scatter},
    {"select_and_scatter", 2, 1, lib_select_and_scatter},
};

const struct lib_entry *lib_find(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name)) return &table[i];
    return NULL;
}

static bool is_packed(tsr_dtype t) { return t == TSR_I4 || t == TSR_U4; }

static void unpack(const struct lib_tensor *t, int8_t *out) {
    const uint8_t *p = t->p;
    int64_t n = lib_count(t);
    for (int64_t i = 0; i < n; i++) {
        int v = p[i / 2] >> (i % 2 * 4) & 15;
        out[i] = (int8_t)(t->dtype == TSR_I4 && v > 7 ? v - 16 : v);
    }
}

static void pack(const struct lib_tensor *t, const int8_t *in) {
    uint8_t *p = t->p;
    int64_t n = lib_count(t);
    for (int64_t i = 0; i < n; i += 2) p[i / 2] = (uint8_t)((in[i] & 15) | (i + 1 < n ? (in[i + 1] & 15) << 4 : 0));
}

/* Same call over unpacked tensors. */
static tsr_status run_unpacked(const struct lib_entry *e, const struct lib_call *k, int nin) {
    struct lib_tensor *t = mem_array(k->c, (size_t)k->n, sizeof *t);
    if (!t) return TSR_ENOMEM;
    memcpy(t, k->t, (size_t)k->n * sizeof *t);
    tsr_status s = TSR_OK;
    int made = 0;
    for (; made < k->n && s == TSR_OK; made++) {
        if (!is_packed(t[made].dtype)) continue;
        t[made].dtype = t[made].dtype == TSR_I4 ? TSR_I8 : TSR_U8;
        t[made].p = mem_alloc(k->c, (size_t)lib_count(&t[made]));
        if (!t[made].p) s = TSR_ENOMEM;
        else if (made < nin) unpack(&k->t[made], t[made].p);
    }
    struct lib_call inner = *k;
    inner.t = t;
    if (s == TSR_OK) s = e->run(&inner);
    for (int i = 0; i < made; i++) {
        if (!is_packed(k->t[i].dtype)) continue;
        if (s == TSR_OK && i >= nin) pack(&k->t[i], t[i].p);
        mem_free(k->c, t[i].p, (size_t)lib_count(&t[i]));
    }
    mem_array_free(k->c, t, (size_t)k->n, sizeof *t);
    return s;
}

tsr_status lib_run(const char *name, const struct lib_call *k) {
    const struct lib_entry *e = lib_find(name);
    if (!e) return err_set(k->c, TSR_ENOTFOUND, "the cpu has no library kernel named \"%s\"", name);
    int nin = e->nin < 0 ? k->n / 2 : e->nin;
    TSR_ASSERT(k->n == nin + (e->nout < 0 ? nin : e->nout));
    for (int i = 0; i < k->n; i++)
        if (is_packed(k->t[i].dtype)) return run_unpacked(e, k, nin);
    return e->run(k);
}

/* ---- for the kernels --------------------------------------------------------------------------------------------- */

uint64_t lib_load_bits(const void *p, int64_t i, int bytes) {
    switch (bytes) {
    case 1: return ((const uint8_t *)p)[i];
    case 2: return ((const uint16_t *)p)[i];
    case 4: return ((const uint32_t *)p)[i];
    default: return ((const uint64_t *)p)[i];
    }
}

void lib_copy_element(void *dst, int64_t to, const void *src, int64_t from, int bytes) {
    switch (bytes) {
    case 1: ((uint8_t *)dst)[to] = ((const uint8_t *)src)[from]; break;
    case 2: ((uint16_t *)dst)[to] = ((const uint16_t *)src)[from]; break;
    case 4: ((uint32_t *)dst)[to] = ((const uint32_t *)src)[from]; break;
    case 8: ((uint64_t *)dst)[to] = ((const uint64_t *)src)[from]; break;
    default: memcpy((char *)dst + to * bytes, (const char *)src + from * bytes, (size_t)bytes);
    }
}

void lib_load_f64(tsr_dtype t, const void *src, int64_t offset, int64_t count, double *dst) {
    int64_t n = t == TSR_C64 || t == TSR_C128 ? 2 * count : count, o = n == count ? offset : 2 * offset;
    if (t == TSR_F64 || t == TSR_C128) memcpy(dst, (const double *)src + o, (size_t)n * sizeof *dst);
    else
        for (int64_t i = 0; i < n; i++) dst[i] = ((const float *)src)[o + i];
}

void lib_store_f64(tsr_dtype t, void *dst, int64_t offset, int64_t count, const double *src) {
    int64_t n = t == TSR_C64 || t == TSR_C128 ? 2 * count : count, o = n == count ? offset : 2 * offset;
    if (t == TSR_F64 || t == TSR_C128) memcpy((double *)dst + o, src, (size_t)n * sizeof *src);
    else
        for (int64_t i = 0; i < n; i++) ((float *)dst)[o + i] = (float)src[i];
}

#define WIDE(T, fn)                                                          \
    for (int64_t i = 0; i < n; i++) dst[i] = fn(((const T *)src)[i]);        \
    break
void lib_widen(tsr_dtype t, const void *src, int64_t n, float *dst) {
    switch (t) {
    case TSR_F16: WIDE(uint16_t, tsr_f16_to_f32);
    case TSR_BF16: WIDE(uint16_t, tsr_bf16_to_f32);
    case TSR_F8E4M3: WIDE(uint8_t, tsr_f8e4m3_to_f32);
    case TSR_F8E5M2: WIDE(uint8_t, tsr_f8e5m2_to_f32);
    default: TSR_BUG("%s is no narrow float", tsr_dtype_name(t));
    }
}

#define NARROW(T, fn)                                                        \
    for (int64_t i = 0; i < n; i++) ((T *)dst)[i] = fn(src[i]);              \
    break
void lib_narrow(tsr_dtype t, const float *src, int64_t n, void *dst) {
    switch (t) {
    case TSR_F16: NARROW(uint16_t, tsr_f32_to_f16);
    case TSR_BF16: NARROW(uint16_t, tsr_f32_to_bf16);
    case TSR_F8E4M3: NARROW(uint8_t, tsr_f32_to_f8e4m3);
    case TSR_F8E5M2: NARROW(uint8_t, tsr_f32_to_f8e5m2);
    default: TSR_BUG("%s is no narrow float", tsr_dtype_name(t));
    }
}

int64_t lib_load_index(const struct lib_tensor *t, int64_t i) {
    switch (t->dtype) {
    case TSR_I8: return ((const int8_t *)t->p)[i];
    case TSR_I16: return ((const int16_t *)t->p)[i];
    case TSR_I32: return ((const int32_t *)t->p)[i];
    case TSR_I64: return ((const int64_t *)t->p)[i];
    case TSR_U64: {
        uint64_t u = ((const uint64_t *)t->p)[i];
        return u > INT64_MAX ? INT64_MAX : (int64_t)u;
    }
    default: return (int64_t)lib_load_bits(t->p, i, tsr_dtype_of(t->dtype)->bytes);
    }
}
