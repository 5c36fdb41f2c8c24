/* vm_reduce.c: the VM's reductions and scans.
 *
 * A tile is seen as (outer, n, inner) around the axis. The order of a reduction is a halving tree (docs/tile.md): it
 * acts on every column alike, so each step of the tree is one leaf kernel call over half the rows, whatever their
 * length. Where the axis is the innermost one (inner = 1) and short, the tile is turned first so that the kernels still
 * see long rows; the tree is the same, so are the bits. Long rows of f32 and f64 have a kernel that takes three levels
 * in a pass (vm_reduce.isa.c). Scans combine row by row in the stated sequential order in the same way. */
#include "tile/vm_code.h"

#include <string.h>

struct around {
    int64_t outer, n, inner;
    size_t size;
    vm_elem_kernel *combine;
    vm_fold_kernel *fold; /* of rows along the innermost axis; NULL: none */
    bool turned, reverse;
};

#define TURN_BELOW 4096 /* turn when the axis is the innermost and at most so long */

static void around_axis(struct around *x, const struct tile_type *a, int axis) {
    x->outer = x->inner = 1;
    x->n = a->extent[axis];
    x->size = vm_size(a->dtype);
    for (int i = 0; i < axis; i++) x->outer *= a->extent[i];
    for (int i = axis + 1; i < a->rank; i++) x->inner *= a->extent[i];
}

static int64_t half_of(int64_t n) { /* greatest power of two below n; n > 1 */
    int64_t h = 1;
    while (h * 2 < n) h *= 2;
    return h;
}

/* The tree over n rows of `row` elements: src to dst (one row), with room for half_of(n) rows in tmp. */
static void tree(const struct around *x, char *dst, const char *src, char *tmp, int64_t n, int64_t row) {
    size_t bytes = (size_t)row * x->size;
    if (n == 1) {
        memmove(dst, src, bytes);
        return;
    }
    int64_t h = half_of(n), live = n;
    const char *from = src;
    for (; h >= 1; live = h, h /= 2) {
        char *to = h == 1 ? dst : tmp;
        int64_t pairs = live - h < h ? live - h : h;
        x->combine((size_t)(pairs * row), to, from, from + (size_t)h * bytes, NULL, 0);
        if (from == src && pairs < h)
            memcpy(to + (size_t)pairs * bytes, src + (size_t)pairs * bytes, (size_t)(h - pairs) * bytes);
        from = to;
    }
}

static int run_reduce(struct vm_frame *f, const struct vm_step *s) {
    const struct around *x = s->data;
    char *dst = vm_at(f, s->dst), *src = vm_at(f, s->a);
    int64_t size = (int64_t)x->size;
    if (x->turned) { /* (outer, n) -> (n, outer) in scratch, then one tree over rows of `outer` */
        char *t = f->scratch;
        vm_move2(t, x->outer * size, size, src, size, x->n * size, (size_t)x->n, (size_t)x->outer, x->size);
        tree(x, dst, t, t + (size_t)(x->n * x->outer * size), x->n, x->outer);
        return 1;
    }
    for (int64_t o = 0; o < x->outer; o++)
        if (!x->fold || !x->fold((size_t)x->n, dst + o * size, src + o * x->n * size, f->scratch))
            tree(x, dst + o * x->inner * size, src + o * x->n * x->inner * size, f->scratch, x->n, x->inner);
    return 1;
}

static struct around *new_around(struct vm_code *k, const tsr_tile *p, const struct tile_inst *in) {
    struct around *x = arena_alloc(&k->memory, sizeof *x);
    if (!x) return NULL;
    const struct tile_type *a = tile_type_of(p, tile_operands(p, in)[0]);
    around_axis(x, a, in->axis);
    x->combine = vm_elem_find(k->isa, tile_reduce_fn[in->sub], a->dtype);
    if (!x->combine) TSR_BUG("no kernel for %s of %s", tile_reduce_name[in->sub], tsr_dtype_name(a->dtype));
    if (in->op == TILE_REDUCE && x->inner == 1 && x->n >= VM_FOLD_FROM && (x->n & (x->n - 1)) == 0)
        x->fold = vm_fold_find(k->isa, (tsr_reduce)in->sub, a->dtype);
    x->turned = !x->fold && x->inner == 1 && x->outer >= 4 && x->n > 1 && x->n <= TURN_BELOW;
    x->reverse = in->reverse;
    return x;
}

bool vm_make_reduce(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct around *x = new_around(k, p, in);
    if (!x) return false;
    size_t rows = (size_t)(x->turned ? x->outer : x->inner) * x->size;
    if (x->n > 1) vm_need_scratch(k, rows * (size_t)(half_of(x->n) + (x->turned ? x->n : 0)));
    s->data = x;
    s->run = run_reduce;
    return true;
}

/* ---- scan ---- */

/* n rows of `row` elements, each combined with the one before. src and dst may be one place. */
static void scan_rows(const struct around *x, char *dst, const char *src, int64_t n, int64_t row) {
    int64_t bytes = row * (int64_t)x->size, first = x->reverse ? n - 1 : 0, step = x->reverse ? -1 : 1;
    if (dst != src) memcpy(dst + first * bytes, src + first * bytes, (size_t)bytes);
    for (int64_t i = 1, at = first + step; i < n; i++, at += step)
        x->combine((size_t)row, dst + at * bytes, dst + (at - step) * bytes, src + at * bytes, NULL, 0);
}

static int run_scan(struct vm_frame *f, const struct vm_step *s) {
    const struct around *x = s->data;
    char *dst = vm_at(f, s->dst), *src = vm_at(f, s->a), *t = f->scratch;
    int64_t size = (int64_t)x->size;
    if (!x->turned) {
        int64_t bytes = x->n * x->inner * size;
        for (int64_t o = 0; o < x->outer; o++) scan_rows(x, dst + o * bytes, src + o * bytes, x->n, x->inner);
        return 1;
    }
    vm_move2(t, x->outer * size, size, src, size, x->n * size, (size_t)x->n, (size_t)x->outer, x->size);
    scan_rows(x, t, t, x->n, x->outer);
    vm_move2(dst, x->n * size, size, t, size, x->outer * size, (size_t)x->outer, (size_t)x->n, x->size);
    return 1;
}

bool vm_make_scan(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct around *x = new_around(k, p, in);
    if (!x) return false;
    if (x->turned) vm_need_scratch(k, (size_t)(x->n * x->outer) * x->size);
    s->data = x;
    s->run = run_scan;
    return true;
}

/* ---- argreduce ---- */

/* Whether candidate (v, i) beats the best so far (b, j): a NaN beats every number, among equals the least index wins.
 * */
#define BEATS(v, i, b, j, OP) \
    ((v) != (v) ? (b) == (b) || (i) < (j) : (b) == (b) && ((v)OP(b) || ((v) == (b) && (i) < (j))))

#define AS_IS(x) (x)

/* X(name, dtype, stored type, type compared in, conversion) */
#define ARG_LIST(X)                              \
    X(F64, double, double, AS_IS)                \
    X(F32, float, float, AS_IS)                  \
    X(F16, uint16_t, float, tsr_f16_to_f32)      \
    X(BF16, uint16_t, float, tsr_bf16_to_f32)    \
    X(F8E4M3, uint8_t, float, tsr_f8e4m3_to_f32) \
    X(F8E5M2, uint8_t, float, tsr_f8e5m2_to_f32) \
    X(I64, int64_t, int64_t, AS_IS)              \
    X(I32, int32_t, int32_t, AS_IS)              \
    X(I16, int16_t, int16_t, AS_IS)              \
    X(I8, int8_t, int8_t, AS_IS)                 \
    X(U64, uint64_t, uint64_t, AS_IS)            \
    X(U32, uint32_t, uint32_t, AS_IS)            \
    X(U16, uint16_t, uint16_t, AS_IS)            \
    X(U8, uint8_t, uint8_t, AS_IS)               \
    X(BOOL, uint8_t, uint8_t, AS_IS)

typedef void arg_fn(int64_t n, int64_t stride, const void *src, const void *index, bool wide, void *dst);

static int64_t index_at(const void *index, bool wide, int64_t i) { return wide ? ((const int64_t *)index)[i]
    : ((const int32_t *)index)[i]; }

/* One output: n elements `stride` apart. dst, src and index point at the first. */
#define ARG_FN(NAME, S, C, TO, WORD, OP)                                                                      \
    static void arg_##WORD##_##NAME(int64_t n, int64_t stride, const void *src, const void *index, bool wide, \
                                    void *dst) {                                                              \
        const S *v = src;                                                                                     \
        C best = TO(v[0]);                                                                                    \
        int64_t at = index_at(index, wide, 0);                                                                \
        for (int64_t k = 1; k < n; k++) {                                                                     \
            C x = TO(v[k * stride]);                                                                          \
            int64_t i = index_at(index, wide, k * stride);                                                    \
            if (BEATS(x, i, best, at, OP)) best = x, at = i;                                                  \
        }                                                                                                     \
        if (wide) *(int64_t *)dst = at;                                                                       \
        else *(int32_t *)dst = (int32_t)at;                                                                   \
    }
#define ARG_BOTH(NAME, S, C, TO) ARG_FN(NAME, S, C, TO, max, >) ARG_FN(NAME, S, C, TO, min, <)
ARG_LIST(ARG_BOTH)

static arg_fn *const arg_table[TSR_DTYPE_COUNT][2] = {
#define X(NAME, S, C, TO) [TSR_##NAME] = {arg_max_##NAME, arg_min_##NAME},
    ARG_LIST(X)
#undef X
};

struct argreduce {
    struct around x;
    arg_fn *find;
    bool wide;
};

static int run_argreduce(struct vm_frame *f, const struct vm_step *s) {
    const struct argreduce *r = s->data;
    char *dst = vm_at(f, s->dst), *src = vm_at(f, s->a), *index = vm_at(f, s->b);
    int64_t width = r->wide ? 8 : 4, size = (int64_t)r->x.size;
    for (int64_t o = 0; o < r->x.outer; o++)
        for (int64_t i = 0; i < r->x.inner; i++) {
            int64_t at = o * r->x.n * r->x.inner + i;
            r->find(r->x.n, r->x.inner, src + at * size, index + at * width, r->wide,
                dst + (o * r->x.inner + i) * width);
        }
    return 1;
}

bool vm_make_argreduce(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct argreduce *r = arena_alloc(&k->memory, sizeof *r);
    if (!r) return false;
    const struct tile_type *a = tile_type_of(p, tile_operands(p, in)[0]);
    around_axis(&r->x, a, in->axis);
    r->find = arg_table[a->dtype][in->sub == TSR_REDUCE_MIN];
    r->wide = tile_type_of(p, in->result)->dtype == TSR_I64;
    s->data = r;
    s->run = run_argreduce;
    return true;
}
