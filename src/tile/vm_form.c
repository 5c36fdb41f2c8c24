/* vm_form.c: the VM's steps on whole tiles: elementwise, cast, iota, broadcast, transpose.
 *
 * A step is made once for the constant shapes of its program: axes that all operands traverse alike are merged, so most
 * elementwise steps are one call of a leaf kernel over all elements. A repeated operand (scalar, extent 1) is passed as
 * a scalar where its run is long; where the merged run is short it is written out in scratch first. */
#include "tile/vm_code.h"

#include <string.h>

#define SHORT_RUN 16 /* below it a kernel call costs more than writing a repeated operand out */

void vm_strides(const struct tile_type *a, int rank, const int32_t *extent, int64_t stride[TSR_TILE_MAX_RANK]) {
    int64_t n = 1;
    for (int i = rank - 1; i >= 0; i--) {
        bool repeated = a->rank == 0 || (a->extent[i] == 1 && extent[i] != 1);
        stride[i] = repeated ? 0 : n;
        n *= repeated ? 1 : extent[i];
    }
}

void vm_walk_init(struct vm_walk *w, int rank, const int32_t *extent, int operands,
                  const int64_t stride[VM_WALK_OPERANDS][TSR_TILE_MAX_RANK]) {
    struct {
        int64_t n, stride[VM_WALK_OPERANDS];
    } axis[TSR_TILE_MAX_RANK + 1];
    int axes = 0; /* merged, innermost first */
    for (int i = rank - 1; i >= 0; i--) {
        if (extent[i] == 1) continue;
        bool merge = axes > 0;
        for (int k = 0; k < operands && merge; k++) merge = stride[k][i] == axis[axes - 1].stride[k] * axis[axes - 1].n;
        if (merge) {
            axis[axes - 1].n *= extent[i];
            continue;
        }
        axis[axes].n = extent[i];
        for (int k = 0; k < operands; k++) axis[axes].stride[k] = stride[k][i];
        axes++;
    }
    *w = (struct vm_walk){.n = 1, .turns = 1, .outer = axes ? axes - 1 : 0};
    for (int k = 0; k < operands; k++) w->inner[k] = axes ? axis[0].stride[k] : 1;
    if (axes) w->n = axis[0].n;
    for (int x = 1; x < axes; x++) {
        int at = axes - 1 - x;
        w->extent[at] = axis[x].n;
        w->turns *= axis[x].n;
        for (int k = 0; k < operands; k++) w->stride[k][at] = axis[x].stride[k];
    }
}

/* ---- elementwise ---- */

struct elem {
    vm_elem_kernel *kernel;
    size_t n;
    unsigned scalar;
    int arity;
    size_t size[VM_WALK_OPERANDS]; /* of the result's and operands' elements */
    struct vm_walk walk;
    struct repeat *write_out[3]; /* operands to be repeated in scratch first */
    size_t write_at[3];
};

struct repeat { /* a broadcast: result from one operand */
    struct vm_walk walk;
    size_t size;
};

static void repeat_run(const struct repeat *r, char *dst, const char *src) {
    int64_t at[TSR_TILE_MAX_RANK] = {0}, off[VM_WALK_OPERANDS] = {0};
    size_t n = (size_t)r->walk.n, size = r->size;
    for (int64_t i = 0; i < r->walk.turns; i++) {
        if (r->walk.inner[1] == 0) vm_fill(dst + (size_t)i * n * size, n, size, src + off[1] * (int64_t)size);
        else memcpy(dst + (size_t)i * n * size, src + off[1] * (int64_t)size, n * size);
        vm_walk_next(&r->walk, at, off, 2);
    }
}

static void repeat_init(struct repeat *r, const struct tile_type *a, int rank, const int32_t *extent) {
    int64_t stride[VM_WALK_OPERANDS][TSR_TILE_MAX_RANK];
    struct tile_type whole = {.dtype = a->dtype, .rank = rank};
    for (int i = 0; i < rank; i++) whole.extent[i] = extent[i];
    vm_strides(&whole, rank, extent, stride[0]);
    vm_strides(a, rank, extent, stride[1]);
    vm_walk_init(&r->walk, rank, extent, 2, (const int64_t(*)[TSR_TILE_MAX_RANK])stride);
    r->size = vm_size(a->dtype);
    if (a->rank == 0) r->walk.inner[1] = 0;
}

static int run_elem_one(struct vm_frame *f, const struct vm_step *s) { /* one run, nothing to write out */
    const struct elem *e = s->data;
    e->kernel(e->n, vm_at(f, s->dst), vm_at(f, s->a), vm_at(f, s->b), vm_at(f, s->c), e->scalar);
    return 1;
}

static int run_elem_runs(struct vm_frame *f, const struct vm_step *s) {
    const struct elem *e = s->data;
    char *dst = vm_at(f, s->dst), *o[3] = {vm_at(f, s->a), vm_at(f, s->b), vm_at(f, s->c)};
    int64_t at[TSR_TILE_MAX_RANK] = {0}, off[VM_WALK_OPERANDS] = {0};
    for (int64_t i = 0; i < e->walk.turns; i++) {
        char *x[3] = {NULL, NULL, NULL};
        for (int k = 0; k < e->arity; k++) x[k] = o[k] + off[k + 1] * (int64_t)e->size[k + 1];
        e->kernel(e->n, dst + (size_t)i * e->n * e->size[0], x[0], x[1], x[2], e->scalar);
        vm_walk_next(&e->walk, at, off, e->arity + 1);
    }
    return 1;
}

static int run_elem_written(struct vm_frame *f, const struct vm_step *s) {
    const struct elem *e = s->data;
    char *o[3] = {vm_at(f, s->a), vm_at(f, s->b), vm_at(f, s->c)};
    for (int k = 0; k < e->arity; k++) {
        if (!e->write_out[k]) continue;
        repeat_run(e->write_out[k], f->scratch + e->write_at[k], o[k]);
        o[k] = f->scratch + e->write_at[k];
    }
    e->kernel(e->n, vm_at(f, s->dst), o[0], o[1], o[2], e->scalar);
    return 1;
}

/* Index arithmetic: the scalars that every program is full of. */
#define SCALAR_I64(name, expr)                                                   \
    static int name(struct vm_frame *f, const struct vm_step *s) {               \
        uint64_t a = (uint64_t)f->slot[~s->a].i, b = (uint64_t)f->slot[~s->b].i; \
        f->slot[~s->dst].i = (int64_t)(expr);                                    \
        return 1;                                                                \
    }
SCALAR_I64(index_add, a + b)
SCALAR_I64(index_sub, a - b)
SCALAR_I64(index_mul, a *b)
SCALAR_I64(index_min, (int64_t)a < (int64_t)b ? a : b)
SCALAR_I64(index_max, (int64_t)a > (int64_t)b ? a : b)

static vm_step_fn *index_step(int32_t fn) {
    static const struct {
        tsr_scalar fn;
        vm_step_fn *run;
    } fast[] = {{TSR_S_ADD, index_add}, {TSR_S_SUB, index_sub}, {TSR_S_MUL, index_mul}, {TSR_S_MIN, index_min},
        {TSR_S_MAX, index_max}};
    for (size_t i = 0; i < sizeof fast / sizeof *fast; i++)
        if ((int32_t)fast[i].fn == fn) return fast[i].run;
    return NULL;
}

/* Operands whose run is short are written out whole; then there is one run. */
static bool write_out(struct vm_code *k, struct elem *e, const tsr_tile *p, const struct tile_inst *in,
    const struct tile_type *r) {
    size_t need = 0;
    e->n = (size_t)tile_count(r);
    e->scalar = 0;
    for (int i = 0; i < e->arity; i++) {
        const struct tile_type *a = tile_type_of(p, tile_operands(p, in)[i]);
        if (a->rank == 0) e->scalar |= 1u << i;
        if (a->rank == 0 || tile_count(a) == tile_count(r)) continue;
        e->write_out[i] = arena_alloc(&k->memory, sizeof(struct repeat));
        if (!e->write_out[i]) return false;
        repeat_init(e->write_out[i], a, r->rank, r->extent);
        e->write_at[i] = need;
        need += (e->n * e->size[i + 1] + 63) & ~(size_t)63;
    }
    vm_need_scratch(k, need);
    return true;
}

bool vm_make_elem(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    const tsr_tv *o = tile_operands(p, in);
    const struct tile_type *r = tile_type_of(p, in->result);
    tsr_dtype t = tile_type_of(p, o[in->n_operand - 1])->dtype;
    if (r->rank == 0 && t == TSR_I64 && (s->run = index_step(in->sub)) != NULL) return true;
    struct elem *e = arena_alloc(&k->memory, sizeof *e);
    if (!e) return false;
    int64_t stride[VM_WALK_OPERANDS][TSR_TILE_MAX_RANK];
    e->arity = in->n_operand;
    e->kernel = vm_elem_find(k->isa, (tsr_scalar)in->sub, t == TSR_I4 ? TSR_I8 : t == TSR_U4 ? TSR_U8 : t);
    if (!e->kernel) TSR_BUG("no kernel for %s of %s", tile_scalar[in->sub].name, tsr_dtype_name(t));
    vm_strides(r, r->rank, r->extent, stride[0]);
    e->size[0] = vm_size(r->dtype);
    for (int i = 0; i < e->arity; i++) {
        const struct tile_type *a = tile_type_of(p, o[i]);
        vm_strides(a, r->rank, r->extent, stride[i + 1]);
        e->size[i + 1] = vm_size(a->dtype);
    }
    vm_walk_init(&e->walk, r->rank, r->extent, e->arity + 1, (const int64_t(*)[TSR_TILE_MAX_RANK])stride);
    e->n = (size_t)e->walk.n;
    for (int i = 0; i < e->arity; i++)
        if (e->walk.inner[i + 1] == 0 || tile_type_of(p, o[i])->rank == 0) e->scalar |= 1u << i;
    s->data = e;
    s->run = e->walk.turns == 1 ? run_elem_one : run_elem_runs;
    if (e->walk.turns < 4 || e->walk.n >= SHORT_RUN) return true;
    s->run = run_elem_written;
    return write_out(k, e, p, in, r);
}

/* ---- cast ---- */

struct cast {
    vm_cast_kernel *kernel;
    size_t n;
};

static int run_cast(struct vm_frame *f, const struct vm_step *s) {
    const struct cast *x = s->data;
    x->kernel(x->n, vm_at(f, s->dst), vm_at(f, s->a));
    return 1;
}

bool vm_make_cast(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct cast *x = arena_alloc(&k->memory, sizeof *x);
    if (!x) return false;
    const struct tile_type *a = tile_type_of(p, tile_operands(p, in)[0]);
    x->n = (size_t)tile_count(a);
    x->kernel = vm_cast_find(k->isa, a->dtype, in->dtype);
    if (!x->kernel) TSR_BUG("no cast from %s to %s", tsr_dtype_name(a->dtype), tsr_dtype_name(in->dtype));
    s->data = x;
    s->run = run_cast;
    return true;
}

/* ---- iota ---- */

struct iota {
    vm_cast_kernel *convert; /* from i64 */
    int64_t outer, n, inner;
    size_t size;
};

static int run_iota(struct vm_frame *f, const struct vm_step *s) {
    const struct iota *x = s->data;
    char *dst = vm_at(f, s->dst);
    for (int64_t j = 0; j < x->n; j++) {
        union vm_slot v;
        x->convert(1, &v, &j);
        for (int64_t o = 0; o < x->outer; o++)
            vm_fill(dst + (size_t)((o * x->n + j) * x->inner) * x->size, (size_t)x->inner, x->size, &v);
    }
    return 1;
}

bool vm_make_iota(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct iota *x = arena_alloc(&k->memory, sizeof *x);
    if (!x) return false;
    (void)p;
    *x = (struct iota){.convert = vm_cast_find(k->isa, TSR_I64, in->dtype), .outer = 1, .inner = 1};
    x->n = in->extent[in->axis];
    for (int i = 0; i < in->axis; i++) x->outer *= in->extent[i];
    for (int i = in->axis + 1; i < in->rank; i++) x->inner *= in->extent[i];
    x->size = vm_size(in->dtype);
    s->data = x;
    s->run = run_iota;
    return true;
}

/* ---- broadcast, copy ---- */

static int run_broadcast(struct vm_frame *f, const struct vm_step *s) {
    repeat_run(s->data, vm_at(f, s->dst), vm_at(f, s->a));
    return 1;
}

bool vm_make_broadcast(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct repeat *r = arena_alloc(&k->memory, sizeof *r);
    if (!r) return false;
    repeat_init(r, tile_type_of(p, tile_operands(p, in)[0]), in->rank, in->extent);
    s->data = r;
    s->run = run_broadcast;
    return true;
}

static int run_copy(struct vm_frame *f, const struct vm_step *s) {
    void *dst = vm_at(f, s->dst), *src = vm_at(f, s->a);
    if (dst != src) memmove(dst, src, *(const size_t *)s->data);
    return 1;
}

bool vm_make_copy(struct vm_code *k, struct vm_step *s, size_t bytes) {
    size_t *n = arena_alloc(&k->memory, sizeof *n);
    if (!n) return false;
    *n = bytes;
    s->data = n;
    s->run = run_copy;
    return true;
}

void vm_fill(void *dst, size_t n, size_t size, const void *element) {
    char *d = dst;
    if (n == 0) return;
    if (size == 1) {
        memset(d, *(const unsigned char *)element, n);
        return;
    }
    /* Doubling keeps every copy but the first few long. */
    memcpy(d, element, size);
    size_t done = 1, most = 4096 / size;
    while (done < n) {
        size_t more = done < n - done ? done : n - done;
        if (more > most) more = most;
        memcpy(d + done * size, d, more * size);
        done += more;
    }
}

/* ---- transpose ---- */

#define MOVE(T)                                                                      \
    for (size_t i = 0; i < rows; i++)                                                \
        for (size_t j = 0; j < cols; j++) {                                          \
            T t;                                                                     \
            memcpy(&t, src + (int64_t)i * src_row + (int64_t)j * src_col, sizeof t); \
            memcpy(dst + (int64_t)i * dst_row + (int64_t)j * dst_col, &t, sizeof t); \
        }

static void move_block(char *dst, int64_t dst_row, int64_t dst_col, const char *src, int64_t src_row, int64_t src_col,
    size_t rows, size_t cols,
                       size_t size) {
    struct pair { uint64_t x, y; };
    if (size == 4) MOVE(uint32_t)
    else if (size == 8) MOVE(uint64_t)
    else if (size == 2) MOVE(uint16_t)
    else if (size == 1) MOVE(uint8_t)
    else MOVE(struct pair)
}

void vm_move2(char *dst, int64_t dst_row, int64_t dst_col, const char *src, int64_t src_row, int64_t src_col,
    size_t rows, size_t cols,
              size_t size) {
    enum { B = 16 };
    if (dst_col == (int64_t)size && src_col == (int64_t)size) {
        for (size_t i = 0; i < rows; i++) memcpy(dst + (int64_t)i * dst_row, src + (int64_t)i * src_row, cols * size);
        return;
    }
    for (size_t i = 0; i < rows; i += B)
        for (size_t j = 0; j < cols; j += B)
            move_block(dst + (int64_t)i * dst_row + (int64_t)j * dst_col, dst_row, dst_col,
                src + (int64_t)i * src_row + (int64_t)j * src_col, src_row,
                       src_col, rows - i < B ? rows - i : B, cols - j < B ? cols - j : B, size);
}

struct transpose {
    struct vm_walk walk; /* over the result; operand 1 is the source */
    size_t size;
};

/* The two innermost merged axes are moved in blocks, so that one of source and result is always read along lines. */
static int run_transpose(struct vm_frame *f, const struct vm_step *s) {
    const struct transpose *x = s->data;
    const struct vm_walk *w = &x->walk;
    int64_t at[TSR_TILE_MAX_RANK] = {0}, off[VM_WALK_OPERANDS] = {0}, size = (int64_t)x->size;
    char *dst = vm_at(f, s->dst), *src = vm_at(f, s->a);
    int last = w->outer - 1;
    int64_t rows = last >= 0 ? w->extent[last] : 1, row0 = last >= 0 ? w->stride[0][last] : 0, row1 = last >= 0
        ? w->stride[1][last] : 0;
    struct vm_walk rest = *w;
    if (last >= 0) rest.outer--;
    for (int64_t i = 0; i < w->turns / rows; i++) {
        vm_move2(dst + off[0] * size, row0 * size, w->inner[0] * size, src + off[1] * size, row1 * size,
            w->inner[1] * size, (size_t)rows,
                 (size_t)w->n, x->size);
        vm_walk_next(&rest, at, off, 2);
    }
    return 1;
}

/* Moves the axis along which the source is dense next to the innermost one of the result, so that blocks cover both. */
static void dense_second(int rank, int32_t *extent, int64_t stride[VM_WALK_OPERANDS][TSR_TILE_MAX_RANK]) {
    for (int i = 0; i < rank - 2; i++) {
        if (stride[1][i] != 1 || extent[i] == 1) continue;
        int32_t e = extent[i];
        int64_t s0 = stride[0][i], s1 = stride[1][i];
        for (int j = i; j < rank - 2; j++)
            extent[j] = extent[j + 1], stride[0][j] = stride[0][j + 1], stride[1][j] = stride[1][j + 1];
        extent[rank - 2] = e, stride[0][rank - 2] = s0, stride[1][rank - 2] = s1;
        return;
    }
}

bool vm_make_transpose(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in) {
    struct transpose *x = arena_alloc(&k->memory, sizeof *x);
    if (!x) return false;
    const struct tile_type *a = tile_type_of(p, tile_operands(p, in)[0]), *r = tile_type_of(p, in->result);
    int64_t stride[VM_WALK_OPERANDS][TSR_TILE_MAX_RANK], source[TSR_TILE_MAX_RANK];
    int32_t extent[TSR_TILE_MAX_RANK];
    vm_strides(r, r->rank, r->extent, stride[0]);
    vm_strides(a, a->rank, a->extent, source);
    for (int i = 0; i < r->rank; i++) stride[1][i] = source[in->extent[i]], extent[i] = r->extent[i];
    dense_second(r->rank, extent, stride);
    vm_walk_init(&x->walk, r->rank, extent, 2, (const int64_t(*)[TSR_TILE_MAX_RANK])stride);
    x->size = vm_size(a->dtype);
    s->data = x;
    s->run = run_transpose;
    return true;
}
