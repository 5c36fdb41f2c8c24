/* vm_memory.c: the VM's loads, stores, gathers and scatters.
 *
 * A block is clipped once: the part of the tile that takes part is a box. Axes of the box that run on in the buffer are
 * merged, then rows are copied, repeated (stride 0) or moved in blocks (strided, transposed). A load whose whole block
 * is one run of the buffer may point its slot at the buffer and copy nothing; a load that only dots read leaves the
 * matrix where it is. A store to a buffer of more than half the last cache goes past the caches. In checked code the
 * least and greatest address of the box are compared with the buffer first. */
#include "tile/vm_code.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { STREAM_RUN = 512 }; /* bytes that are worth streaming */

struct block {
    int rank;
    int64_t extent[TSR_TILE_MAX_RANK];
    int32_t base, stride[TSR_TILE_MAX_RANK], lo[TSR_TILE_MAX_RANK], hi[TSR_TILE_MAX_RANK]; /* operands */
    int32_t other;
    int arg; /* of the buffer: place among the arguments */
    tsr_dtype dtype;
    size_t size;  /* of a register's element */
    int64_t count;
    bool alias, store, narrow; /* narrow: 4-bit */
    int32_t matrix, ahead;
    size_t offset; /* of the result's register */
    struct vm_walk walk; /* STORE: how the value is repeated */
    int64_t value_stride[TSR_TILE_MAX_RANK];
};

/* The part of a block that takes part in one execution. */
struct box {
    int64_t lo[TSR_TILE_MAX_RANK], n[TSR_TILE_MAX_RANK], stride[TSR_TILE_MAX_RANK]; /* in elements of the buffer */
    int64_t first; /* buffer element of its first corner */
    bool empty, whole;
};

static void clip(const struct vm_frame *f, const struct block *b, struct box *x) {
    x->first = vm_int(f, b->base);
    x->empty = false;
    x->whole = true;
    for (int i = 0; i < b->rank; i++) {
        int64_t lo = b->lo[i] == VM_NONE ? 0 : vm_int(f, b->lo[i]), hi = b->hi[i] == VM_NONE ? b->extent[i]
            : vm_int(f, b->hi[i]);
        if (lo < 0) lo = 0;
        if (hi > b->extent[i]) hi = b->extent[i];
        x->stride[i] = vm_int(f, b->stride[i]);
        x->empty |= lo >= hi;
        x->whole &= lo == 0 && hi == b->extent[i];
        x->lo[i] = lo, x->n[i] = hi - lo;
        if (lo < hi) x->first += lo * x->stride[i];
    }
}

/* Whether the whole block takes part and is one run of the buffer, which then begins at *first. The quick answer to the
 * commonest case; a no says nothing. */
static bool one_run(const struct vm_frame *f, const struct block *b, int64_t *first) {
    int64_t n = 1;
    for (int i = b->rank - 1; i >= 0; i--) {
        if (b->lo[i] != VM_NONE && vm_int(f, b->lo[i]) > 0) return false;
        if (b->hi[i] != VM_NONE && vm_int(f, b->hi[i]) < b->extent[i]) return false;
        if (b->extent[i] != 1 && vm_int(f, b->stride[i]) != n) return false;
        n *= b->extent[i];
    }
    *first = vm_int(f, b->base);
    return true;
}

/* Stored elements [least, most] of the buffer lie inside it. */
static bool inside(struct vm_frame *f, const struct block *b, __int128 least, __int128 most, const char *op) {
    const union vm_arg *a = &f->job->args[b->arg];
    const tsr_dtype_info *d = tsr_dtype_of(b->dtype);
    if (least >= 0 && a->buf.p && (a->buf.bytes == 0 || (most / d->block + 1) * d->bytes <= (__int128)a->buf.bytes))
        return true;
    const tsr_tile *p = f->job->code->program;
    err_set(f->job->c, TSR_ECHECK,
        "tile program '%s': %s reaches elements %lld .. %lld of buffer '%s' (%s), which has %zu bytes%s", p->name, op,
            (long long)least, (long long)most, p->arg.v[b->arg].name, d->name, a->buf.bytes, a->buf.p ? ""
                : " and no address");
    return false;
}

static bool check_box(struct vm_frame *f, const struct block *b, const struct box *x) {
    __int128 least = x->first, most = x->first;
    for (int i = 0; i < b->rank; i++) {
        __int128 span = (__int128)(x->n[i] - 1) * x->stride[i];
        *(span < 0 ? &least : &most) += span;
    }
    return inside(f, b, least, most, b->store ? "store" : "load");
}

/* Merged axes of a box: outermost first; the last is the inner run. */
struct runs {
    int axes;
    /* extents, strides in elements */
    int64_t n[TSR_TILE_MAX_RANK + 1], tile[TSR_TILE_MAX_RANK + 1], buf[TSR_TILE_MAX_RANK + 1];
};

/* tile: strides of the register (store: of the value, 0 where it is repeated). */
static void merge(const struct block *b, const struct box *x, const int64_t *tile, struct runs *r) {
    int64_t n[TSR_TILE_MAX_RANK + 1], st[TSR_TILE_MAX_RANK + 1], sb[TSR_TILE_MAX_RANK + 1];
    int axes = 0;
    for (int i = b->rank - 1; i >= 0; i--) {
        if (x->n[i] == 1) continue;
        if (axes && tile[i] == st[axes - 1] * n[axes - 1] && x->stride[i] == sb[axes - 1] * n[axes - 1])
            n[axes - 1] *= x->n[i];
        else n[axes] = x->n[i], st[axes] = tile[i], sb[axes++] = x->stride[i];
    }
    if (axes == 0) n[0] = 1, st[0] = 1, sb[0] = 1, axes = 1;
    r->axes = axes;
    for (int i = 0; i < axes; i++)
        r->n[i] = n[axes - 1 - i], r->tile[i] = st[axes - 1 - i], r->buf[i] = sb[axes - 1 - i];
}

static void tile_strides(const struct block *b, int64_t *stride) {
    int64_t n = 1;
    for (int i = b->rank - 1; i >= 0; i--) stride[i] = n, n *= b->extent[i];
}

typedef void row_fn(const struct block *b, char *tile, int64_t tile_row, int64_t tile_col, char *buf, int64_t at,
    int64_t buf_row, int64_t buf_col,
                    int64_t rows, int64_t cols);

/* Ordinary elements; strides in elements, `at` the buffer's element. */
static void rows_in(const struct block *b, char *tile, int64_t tile_row, int64_t tile_col, char *buf, int64_t at,
    int64_t buf_row,
                    int64_t buf_col, int64_t rows, int64_t cols) {
    int64_t z = (int64_t)b->size;
    if (buf_col != 0) {
        vm_move2(tile, tile_row * z, tile_col * z, buf + at * z, buf_row * z, buf_col * z, (size_t)rows, (size_t)cols,
            b->size);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        const char *from = buf + (at + i * buf_row) * z;
        if (tile_col == 1) vm_fill(tile + i * tile_row * z, (size_t)cols, b->size, from);
        else
            for (int64_t j = 0; j < cols; j++) memcpy(tile + (i * tile_row + j * tile_col) * z, from, b->size);
    }
}

/* Contiguous bytes past the caches: a result that is greater than the last of them would only push others out, and the
 * lines that are about to be overwritten need not be read. What was streamed is seen after vm_stream_end. */
void vm_stream(char *to, const char *from, size_t n) {
#ifdef __SSE2__
    size_t head = -(uintptr_t)to & 15;
    if (n < 64) head = n;
    memcpy(to, from, head);
    for (to += head, from += head, n -= head; n >= 64; to += 64, from += 64, n -= 64)
        for (int i = 0; i < 64; i += 16)
            _mm_stream_si128((__m128i *)(void *)(to + i), _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
#endif
    memcpy(to, from, n);
}

void vm_stream_end(void) {
#ifdef __SSE2__
    _mm_sfence();
#endif
}

static void rows_stream(const struct block *b, char *tile, int64_t tile_row, int64_t tile_col, char *buf, int64_t at,
    int64_t buf_row, int64_t buf_col, int64_t rows, int64_t cols) {
    (void)tile_col, (void)buf_col;
    int64_t z = (int64_t)b->size;
    for (int64_t i = 0; i < rows; i++)
        vm_stream(buf + (at + i * buf_row) * z, tile + i * tile_row * z, (size_t)(cols * z));
}

static void rows_out(const struct block *b, char *tile, int64_t tile_row, int64_t tile_col, char *buf, int64_t at,
    int64_t buf_row,
                     int64_t buf_col, int64_t rows, int64_t cols) {
    int64_t z = (int64_t)b->size;
    char *to = buf + at * z;
    if (tile_col == 0 && buf_col == 1) {
        for (int64_t i = 0; i < rows; i++)
            vm_fill(to + i * buf_row * z, (size_t)cols, b->size, tile + i * tile_row * z);
        return;
    }
    vm_move2(to, buf_row * z, buf_col * z, tile, tile_row * z, tile_col * z, (size_t)rows, (size_t)cols, b->size);
}

/* 4-bit integers: two to a byte, low nibble first; a register holds each in a byte. Two instances may own the two
 * halves of one byte, so a half is written atomically. */
static void nibbles_in(const struct block *b, char *tile, int64_t tile_row, int64_t tile_col, char *buf, int64_t at,
    int64_t buf_row,
                       int64_t buf_col, int64_t rows, int64_t cols) {
    bool sign = b->dtype == TSR_I4;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            int64_t e = at + i * buf_row + j * buf_col;
            unsigned v = ((unsigned char)buf[e >> 1] >> ((e & 1) * 4)) & 15;
            tile[i * tile_row + j * tile_col] = (char)(sign && v > 7 ? (int)v - 16 : (int)v);
        }
}

static void nibbles_out(const struct block *b, char *tile, int64_t tile_row, int64_t tile_col, char *buf, int64_t at,
    int64_t buf_row,
                        int64_t buf_col, int64_t rows, int64_t cols) {
    (void)b;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            int64_t e = at + i * buf_row + j * buf_col;
            unsigned char *to = (unsigned char *)buf + (e >> 1);
            unsigned v = (unsigned)tile[i * tile_row + j * tile_col] & 15, shift = (e & 1) * 4;
            __atomic_fetch_and(to, (unsigned char)~(15u << shift), __ATOMIC_RELAXED);
            __atomic_fetch_or(to, (unsigned char)(v << shift), __ATOMIC_RELAXED);
        }
}

#define BLOCK_MOST 256

/* One stored block's element range [from, from + n) of f32 into dst. */
static void dequant_part(const tsr_dtype_info *d, const char *buf, int64_t block, int64_t from, int64_t n, float *dst) {
    float whole[BLOCK_MOST];
    d->dequant(1, buf + block * d->bytes, whole);
    memcpy(dst, whole + from, (size_t)n * sizeof *dst);
}

/* Block-quantised buffers; buf_col is 1 or the row has one element. Whole stored blocks go straight to the register. */
static void blocks_in(const struct block *b, char *tile, int64_t tile_row, int64_t tile_col, char *buf, int64_t at,
    int64_t buf_row,
                      int64_t buf_col, int64_t rows, int64_t cols) {
    const tsr_dtype_info *d = tsr_dtype_of(b->dtype);
    float *t = (float *)tile;
    for (int64_t i = 0; i < rows; i++) {
        int64_t e = at + i * buf_row, j = 0;
        while (j < cols) {
            int64_t block = (e + j * buf_col) / d->block, from = (e + j * buf_col) % d->block, n = d->block - from;
            if (n > cols - j) n = cols - j;
            if (buf_col != 1 || tile_col != 1) n = 1;
            int64_t whole = from == 0 && n == d->block ? (cols - j) / d->block : 0;
            if (whole) d->dequant((size_t)whole, buf + block * d->bytes, t + i * tile_row + j), j += whole * d->block;
            else dequant_part(d, buf, block, from, n, t + i * tile_row + j * tile_col), j += n;
        }
    }
}

/* Walks the merged axes; `move` takes the two innermost. */
static void transfer(const struct block *b, const struct runs *r, char *tile, char *buf, int64_t first, row_fn *move) {
    int64_t at[TSR_TILE_MAX_RANK + 1] = {0}, t = 0, e = first;
    int in = r->axes - 1, row = in - 1, outer = row > 0 ? row : 0;
    int64_t rows = row >= 0 ? r->n[row] : 1, tile_row = row >= 0 ? r->tile[row] : 0, buf_row = row >= 0 ? r->buf[row]
        : 0, turns = 1;
    for (int i = 0; i < outer; i++) turns *= r->n[i];
    for (int64_t k = 0; k < turns; k++) {
        move(b, tile + t * (int64_t)b->size, tile_row, r->tile[in], buf, e, buf_row, r->buf[in], rows, r->n[in]);
        for (int i = outer - 1; i >= 0; i--) {
            t += r->tile[i], e += r->buf[i];
            if (++at[i] < r->n[i]) break;
            t -= r->tile[i] * r->n[i], e -= r->buf[i] * r->n[i];
            at[i] = 0;
        }
    }
}

/* ---- load ---- */

static bool zero_bytes(const void *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((const char *)p)[i]) return false;
    return true;
}

static void fill_other(const struct vm_frame *f, const struct block *b, char *reg) {
    if (b->other == VM_NONE || zero_bytes(vm_at(f, b->other), b->size)) memset(reg, 0, (size_t)b->count * b->size);
    else vm_fill(reg, (size_t)b->count, b->size, vm_at(f, b->other));
}

static void read_in_place(struct vm_frame *f, const struct block *b, const struct box *x, const char *buf) {
    struct vm_matrix *m = &f->matrix[b->matrix];
    int64_t origin = x->first;
    for (int i = 0; i < 2; i++) {
        m->stride[i] = x->stride[i];
        m->lo[i] = (int32_t)(x->empty ? 0 : x->lo[i]);
        m->hi[i] = (int32_t)(x->empty ? 0 : x->lo[i] + x->n[i]);
        if (x->lo[i] < x->lo[i] + x->n[i]) origin -= x->lo[i] * x->stride[i];
    }
    m->p = (const char *)((uintptr_t)buf + (uintptr_t)(origin * (int64_t)b->size));
}

/* The result's slot points into the buffer. */
static int point(struct vm_frame *f, const struct vm_step *s, char *now) {
    const struct block *b = s->data;
    f->slot[s->dst].p = now;
    if (b->ahead < 0) return 1;
    struct vm_ahead *a = &f->ahead[b->ahead];
    a->delta = (int64_t)((uintptr_t)now - (uintptr_t)a->now);
    a->now = now;
    return 1;
}

static int run_load(struct vm_frame *f, const struct vm_step *s) {
    const struct block *b = s->data;
    struct box x;
    struct runs r;
    int64_t tile[TSR_TILE_MAX_RANK];
    char *buf = vm_at(f, s->a);
    bool scalar = s->dst < 0, check = f->job->code->check;
    if (b->alias && b->matrix < 0 && !check && one_run(f, b, &x.first))
        return point(f, s, buf + x.first * (int64_t)b->size);
    char *reg = scalar ? vm_at(f, s->dst) : f->memory + b->offset;
    clip(f, b, &x);
    if (check && !x.empty && !check_box(f, b, &x)) return VM_STOP;
    if (b->matrix >= 0) return read_in_place(f, b, &x, buf), 1;
    if (!scalar) f->slot[s->dst].p = reg;
    if (!x.whole) fill_other(f, b, reg);
    if (x.empty) return 1;
    tile_strides(b, tile);
    merge(b, &x, tile, &r);
    if (b->alias && x.whole && r.axes == 1 && (r.buf[0] == 1 || r.n[0] == 1))
        return point(f, s, buf + x.first * (int64_t)b->size);
    int64_t corner = 0;
    for (int i = 0; i < b->rank; i++) corner += x.lo[i] * tile[i];
    row_fn *move = tsr_dtype_of(b->dtype)->kind == TSR_KIND_BLOCK ? blocks_in : b->narrow ? nibbles_in : rows_in;
    transfer(b, &r, reg + corner * (int64_t)b->size, buf, x.first, move);
    return 1;
}

static int32_t operand(const tsr_tile *p, tsr_tv v) {
    return v == TSR_TV_NONE ? VM_NONE : tile_type_of(p, v)->rank || tile_type_of(p, v)->buf ? v : ~v;
}

static struct block *new_block(struct vm_code *k, const tsr_tile *p, const struct tile_inst *in) {
    struct block *b = arena_alloc(&k->memory, sizeof *b);
    if (!b) return NULL;
    const tsr_tv *o = tile_operands(p, in), *axes = o + TILE_BLK_AXES;
    const struct tile_inst *buf = &p->inst.v[p->value.v[o[TILE_BLK_BUF]].inst];
    *b = (struct block){.rank = in->rank, .base = operand(p, o[TILE_BLK_BASE]), .other = VM_NONE};
    b->arg = buf->axis, b->dtype = buf->dtype;
    b->size = vm_size(buf->dtype);
    b->narrow = tsr_dtype_of(buf->dtype)->bits == 4;
    b->store = in->op == TILE_STORE;
    b->matrix = b->ahead = -1;
    b->count = 1;
    for (int i = 0; i < in->rank; i++) {
        b->extent[i] = in->extent[i];
        b->count *= in->extent[i];
        b->stride[i] = operand(p, axes[i]);
        b->lo[i] = operand(p, axes[i + in->rank]);
        b->hi[i] = operand(p, axes[i + 2 * in->rank]);
    }
    return b;
}

bool vm_make_load(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in,
    struct vm_load_plan plan) {
    struct block *b = new_block(k, p, in);
    if (!b) return false;
    b->other = operand(p, tile_operands(p, in)[TILE_BLK_VALUE]);
    b->alias = plan.alias && !b->narrow && tsr_dtype_of(b->dtype)->kind != TSR_KIND_BLOCK && s->dst >= 0;
    b->matrix = plan.matrix;
    b->ahead = plan.ahead;
    b->offset = plan.offset;
    s->data = b;
    s->run = run_load;
    return true;
}

/* ---- store ---- */

static int run_store(struct vm_frame *f, const struct vm_step *s) {
    const struct block *b = s->data;
    struct box x;
    struct runs r;
    clip(f, b, &x);
    if (x.empty) return 1;
    if (f->job->code->check && !check_box(f, b, &x)) return VM_STOP;
    merge(b, &x, b->value_stride, &r);
    int64_t corner = 0;
    for (int i = 0; i < b->rank; i++) corner += x.lo[i] * b->value_stride[i];
    row_fn *move = b->narrow ? nibbles_out : rows_out;
    int inner = r.axes - 1;
    if (f->job->stream_from <= f->job->args[b->arg].buf.bytes && r.tile[inner] == 1 && r.buf[inner] == 1 &&
        r.n[inner] * (int64_t)b->size >= STREAM_RUN) move = rows_stream, f->streamed = true;
    transfer(b, &r, (char *)vm_at(f, s->b) + corner * (int64_t)b->size, vm_at(f, s->a), x.first, move);
    return 1;
}

bool vm_store_target(struct vm_frame *f, const struct vm_step *s, int64_t rows, int64_t n, struct vm_target *t) {
    const struct block *b = s->data;
    int64_t size = (int64_t)b->size;
    struct box x;
    struct runs r;
    *t = (struct vm_target){.stream = f->job->stream_from <= f->job->args[b->arg].buf.bytes && n * size >= STREAM_RUN};
    if (!f->job->code->check && one_run(f, b, &x.first)) {
        t->to = (char *)vm_at(f, s->a) + x.first * size, t->row = n * size, t->dense = true;
        return true;
    }
    clip(f, b, &x);
    if (x.empty || !x.whole) return true;
    if (f->job->code->check && !check_box(f, b, &x)) return false;
    merge(b, &x, b->value_stride, &r);
    int inner = r.axes - 1;
    bool one = r.axes == 1 && r.n[0] == rows * n, many = r.axes == 2 && r.n[1] == n;
    t->to = (char *)vm_at(f, s->a) + x.first * size;
    t->row = (one ? n : r.buf[0]) * size;
    t->dense = (one || many) && r.buf[inner] == 1;
    return true;
}

bool vm_make_store(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct block *b = new_block(k, p, in);
    if (!b) return false;
    vm_strides(tile_type_of(p, tile_operands(p, in)[TILE_BLK_VALUE]), in->rank, in->extent, b->value_stride);
    s->data = b;
    s->run = run_store;
    return true;
}

/* ---- gather, scatter ---- */

struct indexed {
    struct block b; /* buffer, dtype, size; for the check */
    int64_t count;
    struct vm_walk walk; /* operands: result or value, offset, mask, value */
    bool one_value;
};

#define COPY_LOOP(T)                                                                           \
    for (int64_t i = 0; i < n; i++) {                                                          \
        if (mask && !mask[i * mask_step]) continue;                                            \
        memcpy(dst + i * (int64_t)sizeof(T), buf + offset[i] * (int64_t)sizeof(T), sizeof(T)); \
    }

static bool check_offsets(struct vm_frame *f, const struct indexed *x, const int64_t *offset, const uint8_t *mask,
    int64_t mask_step, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if ((!mask || mask[i * mask_step]) && !inside(f, &x->b, offset[i], offset[i], x->b.store ? "scatter"
            : "gather")) return false;
    return true;
}

/* n elements whose size is a power of two up to 16. */
static void gather_run(size_t size, int64_t n, char *dst, const char *buf, const int64_t *offset, const uint8_t *mask,
    int64_t mask_step) {
    struct pair { uint64_t x, y; };
    if (size == 4) COPY_LOOP(uint32_t)
    else if (size == 8) COPY_LOOP(uint64_t)
    else if (size == 2) COPY_LOOP(uint16_t)
    else if (size == 1) COPY_LOOP(uint8_t)
    else COPY_LOOP(struct pair)
}

/* Elements of 4-bit and block-quantised buffers, one at a time. */
static void gather_packed(const struct block *b, int64_t n, char *dst, char *buf, const int64_t *offset,
    const uint8_t *mask, int64_t mask_step) {
    row_fn *move = b->narrow ? nibbles_in : blocks_in;
    for (int64_t i = 0; i < n; i++)
        if (!mask || mask[i * mask_step]) move(b, dst + i * (int64_t)b->size, 0, 1, buf, offset[i], 0, 1, 1, 1);
}

static void scatter_run(const struct block *b, int64_t n, char *buf, const int64_t *offset, const uint8_t *mask,
    int64_t mask_step, char *value,
                        int64_t value_step) {
    for (int64_t i = 0; i < n; i++) {
        if (mask && !mask[i * mask_step]) continue;
        char *v = value + i * value_step * (int64_t)b->size;
        if (b->narrow) nibbles_out(b, v, 0, 1, buf, offset[i], 0, 1, 1, 1);
        else memcpy(buf + offset[i] * (int64_t)b->size, v, b->size);
    }
}

static int run_indexed(struct vm_frame *f, const struct vm_step *s) {
    const struct indexed *x = s->data;
    const struct block *b = &x->b;
    const int64_t *offset = vm_at(f, s->b);
    const uint8_t *mask = vm_at(f, s->c);
    char *buf = vm_at(f, s->a), *reg = b->store ? vm_at(f, b->other) : vm_at(f, s->dst);
    int64_t at[TSR_TILE_MAX_RANK] = {0}, off[VM_WALK_OPERANDS] = {0}, n = x->walk.n;
    bool plain = !b->narrow && tsr_dtype_of(b->dtype)->kind != TSR_KIND_BLOCK;
    if (!b->store && mask) fill_other(f, b, reg);
    for (int64_t i = 0; i < x->walk.turns; i++) {
        const uint8_t *m = mask ? mask + off[1] : NULL;
        char *v = reg + off[2] * (int64_t)b->size;
        if (f->job->code->check && !check_offsets(f, x, offset + off[0], m, x->walk.inner[1], n)) return VM_STOP;
        if (b->store) scatter_run(b, n, buf, offset + off[0], m, x->walk.inner[1], v, x->walk.inner[2]);
        else if (plain) gather_run(b->size, n, v, buf, offset + off[0], m, x->walk.inner[1]);
        else gather_packed(b, n, v, buf, offset + off[0], m, x->walk.inner[1]);
        vm_walk_next(&x->walk, at, off, 3);
    }
    return 1;
}

bool vm_make_gather(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct indexed *x = arena_alloc(&k->memory, sizeof *x);
    if (!x) return false;
    const tsr_tv *o = tile_operands(p, in);
    const struct tile_type *t = tile_type_of(p, o[TILE_GS_OFFSET]);
    const struct tile_inst *buf = &p->inst.v[p->value.v[o[TILE_GS_BUF]].inst];
    bool store = in->op == TILE_SCATTER;
    int64_t stride[VM_WALK_OPERANDS][TSR_TILE_MAX_RANK];
    x->b = (struct block){.arg = buf->axis, .dtype = buf->dtype, .size = vm_size(buf->dtype), .store = store,
        .count = tile_count(t),
                          .narrow = tsr_dtype_of(buf->dtype)->bits == 4, .matrix = -1, .ahead = -1, .other = operand(p,
                              o[TILE_GS_VALUE])};
    vm_strides(t, t->rank, t->extent, stride[0]);
    vm_strides(o[TILE_GS_MASK] == TSR_TV_NONE ? t : tile_type_of(p, o[TILE_GS_MASK]), t->rank, t->extent, stride[1]);
    vm_strides(store ? tile_type_of(p, o[TILE_GS_VALUE]) : t, t->rank, t->extent, stride[2]);
    vm_walk_init(&x->walk, t->rank, t->extent, 3, (const int64_t(*)[TSR_TILE_MAX_RANK])stride);
    s->c = operand(p, o[TILE_GS_MASK]);
    s->data = x;
    s->run = run_indexed;
    return true;
}
