/* lib_sort.c: sort and top_k.
 *
 * An element of any real dtype maps to an unsigned 64-bit key whose order is the order asked for: the bits of a
 * float with its sign turned into the usual order (negative numbers complemented), an integer with its sign bit
 * flipped, all complemented when the greatest comes first. Two orders of floats: total (IEEE 754 totalOrder: -NaN <
 * -inf < ... < -0 < +0 < ... < +NaN), and the default, where -0 = +0 and every NaN is one value above +inf, so that
 * the sign of a NaN, which differs between machines, is never seen. What is sorted are pairs (key, position);
 * positions break ties, so the order is total, stable, and the same whatever the algorithm: insertion runs and
 * merges for short rows, byte-wise radix for long ones, and one long row in fixed chunks on all threads, merged
 * pairwise. Then every operand moves by the permutation. */
#include <stdatomic.h>
#include <string.h>

#include "device/cpu/lib.h"

enum { RUN = 12, RADIX_FROM = 512, CHUNK = 1 << 16, TASK = 1 << 14 };

struct pair { uint64_t key; int64_t at; };

/* What orders a row: its first key in the pairs, further keys in planes of n. */
struct order {
    int keys;
    int64_t n;
    const uint64_t *more; /* (keys - 1, n) */
};

static bool before(const struct order *o, const struct pair *a, const struct pair *b) {
    if (a->key != b->key) return a->key < b->key;
    for (int k = 0; k + 1 < o->keys; k++) {
        uint64_t x = o->more[k * o->n + a->at], y = o->more[k * o->n + b->at];
        if (x != y) return x < y;
    }
    return a->at < b->at;
}

/* How bits become a key. */
struct key_rule {
    int bytes;
    bool is_float, is_signed, total, descending;
    uint64_t inf; /* bits of infinity, or of the greatest finite number where there is none */
};

static struct key_rule key_rule(tsr_dtype t, bool descending, bool total) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    struct key_rule r = {d->bytes, d->kind == TSR_KIND_FLOAT, d->kind == TSR_KIND_INT, total, descending, 0};
    switch (t) {
    case TSR_F64: r.inf = 0x7ff0000000000000u; break;
    case TSR_F32: r.inf = 0x7f800000u; break;
    case TSR_F16: r.inf = 0x7c00u; break;
    case TSR_BF16: r.inf = 0x7f80u; break;
    case TSR_F8E5M2: r.inf = 0x7cu; break;
    default: r.inf = 0x7eu; break;
    }
    return r;
}

static uint64_t key_of(const struct key_rule *r, uint64_t bits) {
    uint64_t sign = (uint64_t)1 << (r->bytes * 8 - 1), mask = sign | (sign - 1);
    if (r->is_float) {
        uint64_t magnitude = bits & (sign - 1);
        if (!r->total && magnitude > r->inf) bits = sign - 1;
        if (!r->total && magnitude == 0) bits = 0;
        bits = bits & sign ? ~bits & mask : bits | sign;
    } else if (r->is_signed) {
        bits ^= sign;
    }
    return r->descending ? ~bits & mask : bits;
}

/* ---- one row ----------------------------------------------------------------------------------------------------- */

static void insertion(const struct order *o, struct pair *a, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        struct pair x = a[i];
        int64_t j = i;
        for (; j > 0 && before(o, &x, &a[j - 1]); j--) a[j] = a[j - 1];
        a[j] = x;
    }
}

static void merge(const struct order *o, const struct pair *a, int64_t na, const struct pair *b, int64_t nb,
    struct pair *out) {
    while (na && nb) {
        if (before(o, b, a)) *out++ = *b++, nb--;
        else *out++ = *a++, na--;
    }
    memcpy(out, na ? a : b, (size_t)(na + nb) * sizeof *out);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Bottom-up merge sort of a (n), scratch t (n). */
static void merge_sort(const struct order *o, struct pair *a, int64_t n, struct pair *t) {
    for (int64_t i = 0; i < n; i += RUN) insertion(o, a + i, least(RUN, n - i));
    struct pair *from = a, *to = t;
    for (int64_t w = RUN; w < n; w *= 2) {
        for (int64_t i = 0; i < n; i += 2 * w) {
            int64_t na = least(w, n - i), nb = least(w, n - i - na);
            merge(o, from + i, na, from + i + na, nb, to + i);
        }
        struct pair *swap = from;
        from = to, to = swap;
    }
    if (from != a) memcpy(a, from, (size_t)n * sizeof *a);
}

/* Least significant byte first; a byte that is the same everywhere is no pass. Stable,
 * and a starts in order of position. */
static void radix_sort(int bytes, struct pair *a, int64_t n, struct pair *t) {
    struct pair *from = a, *to = t;
    for (int d = 0; d < bytes; d++) {
        int64_t start[256] = {0}, sum = 0;
        for (int64_t i = 0; i < n; i++) start[from[i].key >> (8 * d) & 255]++;
        if (start[from[0].key >> (8 * d) & 255] == n) continue;
        for (int b = 0; b < 256; b++) {
            int64_t count = start[b];
            start[b] = sum, sum += count;
        }
        for (int64_t i = 0; i < n; i++) to[start[from[i].key >> (8 * d) & 255]++] = from[i];
        struct pair *swap = from;
        from = to, to = swap;
    }
    if (from != a) memcpy(a, from, (size_t)n * sizeof *a);
}

static void sort_run(const struct order *o, int bytes, struct pair *a, int64_t n, struct pair *t) {
    if (o->keys == 1 && n >= RADIX_FROM) radix_sort(bytes, a, n, t);
    else merge_sort(o, a, n, t);
}

/* ---- all rows ---------------------------------------------------------------------------------------------------- */

struct sort_job {
    const struct lib_call *k;
    int operands, keys;
    bool descending, total;
    int64_t n, inner, rows, per_task;
    atomic_bool failed;
};

static void fill_row(const struct sort_job *j, int64_t row, struct pair *a, uint64_t *more) {
    int64_t base = row / j->inner * j->n * j->inner + row % j->inner;
    for (int q = 0; q < j->keys; q++) {
        const struct lib_tensor *x = &j->k->t[q];
        struct key_rule r = key_rule(x->dtype, j->descending, j->total);
        for (int64_t i = 0; i < j->n; i++) {
            uint64_t key = key_of(&r, lib_load_bits(x->p, base + i * j->inner, r.bytes));
            if (q) more[(q - 1) * j->n + i] = key;
            else a[i] = (struct pair){key, i};
        }
    }
}

static void move_row(const struct sort_job *j, int64_t row, const struct pair *a) {
    int64_t base = row / j->inner * j->n * j->inner + row % j->inner;
    for (int q = 0; q < j->operands; q++) {
        const struct lib_tensor *x = &j->k->t[q], *y = &j->k->t[j->operands + q];
        int bytes = tsr_dtype_of(x->dtype)->bytes;
        for (int64_t i = 0; i < j->n; i++) lib_copy_element(y->p, base + i * j->inner, x->p, base + a[i].at * j->inner,
            bytes);
    }
}

/* Scratch of one row: pairs (n), their copy (n), further keys (keys - 1, n). */
static size_t row_bytes(const struct sort_job *j) {
    return (size_t)j->n * (2 * sizeof(struct pair) + (size_t)(j->keys - 1) * sizeof(uint64_t));
}

static void sort_task(void *arg, int64_t task, int worker) {
    (void)worker;
    struct sort_job *j = arg;
    struct pair *a = mem_alloc(j->k->c, row_bytes(j));
    if (!a) {
        atomic_store(&j->failed, true);
        return;
    }
    uint64_t *more = (uint64_t *)(a + 2 * j->n);
    struct order o = {j->keys, j->n, more};
    int bytes = tsr_dtype_of(j->k->t[0].dtype)->bytes;
    for (int64_t row = task * j->per_task; row < least(j->rows, (task + 1) * j->per_task); row++) {
        fill_row(j, row, a, more);
        sort_run(&o, bytes, a, j->n, a + j->n);
        move_row(j, row, a);
    }
    mem_free(j->k->c, a, row_bytes(j));
}

/* One long row: chunks sorted, then merged pairwise, each on all threads. */
struct chunk_job {
    struct order o;
    int bytes;
    int64_t n, width;
    struct pair *from, *to;
};

static void chunk_sort(void *arg, int64_t i, int worker) {
    (void)worker;
    struct chunk_job *j = arg;
    sort_run(&j->o, j->bytes, j->from + i * CHUNK, least(CHUNK, j->n - i * CHUNK), j->to + i * CHUNK);
}

static void chunk_merge(void *arg, int64_t i, int worker) {
    (void)worker;
    struct chunk_job *j = arg;
    int64_t at = i * 2 * j->width, na = least(j->width, j->n - at), nb = least(j->width, j->n - at - na);
    merge(&j->o, j->from + at, na, j->from + at + na, nb, j->to + at);
}

static tsr_status sort_long_row(struct sort_job *job) {
    struct pair *a = mem_alloc(job->k->c, row_bytes(job));
    if (!a) return TSR_ENOMEM;
    uint64_t *more = (uint64_t *)(a + 2 * job->n);
    fill_row(job, 0, a, more);
    struct chunk_job j = {{job->keys, job->n, more}, tsr_dtype_of(job->k->t[0].dtype)->bytes, job->n, CHUNK, a,
        a + job->n};
    pool_for(job->k->pool, lib_ceil(j.n, CHUNK), chunk_sort, &j);
    for (; j.width < j.n; j.width *= 2) {
        pool_for(job->k->pool, lib_ceil(j.n, 2 * j.width), chunk_merge, &j);
        struct pair *swap = j.from;
        j.from = j.to, j.to = swap;
    }
    move_row(job, 0, j.from);
    mem_free(job->k->c, a, row_bytes(job));
    return TSR_OK;
}

tsr_status lib_sort(const struct lib_call *k) {
    const struct lib_tensor *x = &k->t[0];
    int axis = (int)k->ints[0];
    struct sort_job j = {.k = k, .operands = k->n / 2, .keys = (int)k->ints[1], .descending = k->ints[2],
        .total = k->ints[3]};
    j.n = x->rank ? x->dim[axis] : 1;
    j.inner = x->rank ? lib_product(x->rank - axis - 1, x->dim + axis + 1) : 1;
    if (!lib_count(x)) return TSR_OK;
    j.rows = lib_count(x) / j.n;
    if (j.rows == 1 && j.n > CHUNK) return sort_long_row(&j);
    j.per_task = j.n < TASK ? TASK / j.n : 1;
    pool_for(k->pool, lib_ceil(j.rows, j.per_task), sort_task, &j);
    return atomic_load(&j.failed) ? TSR_ENOMEM : TSR_OK;
}

/* ---- top_k ------------------------------------------------------------------------------------------------------- */

/* A heap of the k first pairs so far, the last of them at its root. */
static void sift_down(const struct order *o, struct pair *h, int64_t k, int64_t i) {
    for (int64_t child; (child = 2 * i + 1) < k; i = child) {
        if (child + 1 < k && before(o, &h[child], &h[child + 1])) child++;
        if (before(o, &h[child], &h[i])) return;
        struct pair swap = h[i];
        h[i] = h[child], h[child] = swap;
    }
}

struct top_job {
    const struct lib_call *k;
    struct key_rule rule;
    int64_t n, top, rows, per_task;
    atomic_bool failed;
};

static void top_row(const struct top_job *j, int64_t row, struct pair *h) {
    const struct lib_tensor *x = &j->k->t[0];
    struct order o = {1, j->n, NULL};
    for (int64_t i = 0; i < j->n; i++) {
        struct pair p = {key_of(&j->rule, lib_load_bits(x->p, row * j->n + i, j->rule.bytes)), i};
        if (i < j->top) {
            h[i] = p;
            if (i + 1 == j->top)
                for (int64_t q = j->top / 2; q-- > 0;) sift_down(&o, h, j->top, q);
        } else if (before(&o, &p, &h[0])) {
            h[0] = p;
            sift_down(&o, h, j->top, 0);
        }
    }
    merge_sort(&o, h, j->top, h + j->top);
    for (int64_t i = 0; i < j->top; i++) {
        lib_copy_element(j->k->t[1].p, row * j->top + i, x->p, row * j->n + h[i].at, j->rule.bytes);
        ((int32_t *)j->k->t[2].p)[row * j->top + i] = (int32_t)h[i].at;
    }
}

static void top_task(void *arg, int64_t task, int worker) {
    (void)worker;
    struct top_job *j = arg;
    size_t bytes = (size_t)j->top * 2 * sizeof(struct pair);
    struct pair *h = mem_alloc(j->k->c, bytes);
    if (!h) atomic_store(&j->failed, true);
    else
        for (int64_t row = task * j->per_task; row < least(j->rows, (task + 1) * j->per_task); row++) top_row(j, row,
        h);
    mem_free(j->k->c, h, bytes);
}

tsr_status lib_top_k(const struct lib_call *k) {
    const struct lib_tensor *x = &k->t[0];
    struct top_job j = {.k = k, .rule = key_rule(x->dtype, true, false), .n = x->dim[x->rank - 1], .top = k->ints[0]};
    if (!lib_count(&k->t[1])) return TSR_OK;
    j.rows = lib_count(x) / j.n;
    j.per_task = j.n < TASK ? TASK / j.n : 1;
    pool_for(k->pool, lib_ceil(j.rows, j.per_task), top_task, &j);
    return atomic_load(&j.failed) ? TSR_ENOMEM : TSR_OK;
}
