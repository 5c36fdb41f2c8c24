/* vm_dot.c: the VM's dot step: finds its operands (registers, or matrices read where they lie in a buffer) and its
 * kernel. */
#include "tile/vm_dot.h"

struct dot {
    struct vm_gemm g; /* what is constant */
    vm_dot_fn *run;
    int matrix[2];
};

static struct vm_matrix operand_at(const struct vm_frame *f, int matrix, int32_t slot, int64_t rows, int64_t cols) {
    if (matrix >= 0) return f->matrix[matrix];
    return (struct vm_matrix){.p = f->slot[slot].p, .stride = {cols, 1}, .hi = {(int32_t)rows, (int32_t)cols}};
}

static int run_dot(struct vm_frame *f, const struct vm_step *s) {
    const struct dot *d = s->data;
    struct vm_gemm g = d->g;
    g.a = operand_at(f, d->matrix[0], s->a, g.m, g.k);
    g.b = operand_at(f, d->matrix[1], s->b, g.k, g.n);
    g.acc = f->slot[s->c].p;
    g.out = f->slot[s->dst].p;
    g.scratch = f->scratch;
    d->run(&g);
    return 1;
}

bool vm_make_dot(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in,
    const int matrix[2]) {
    struct dot *d = arena_alloc(&k->memory, sizeof *d);
    if (!d) return false;
    const tsr_tv *o = tile_operands(p, in);
    const struct tile_type *a = tile_type_of(p, o[0]), *b = tile_type_of(p, o[1]), *r = tile_type_of(p, in->result);
    d->g = (struct vm_gemm){.m = r->extent[0], .n = r->extent[1], .k = a->extent[1], .a_size = vm_size(a->dtype),
        .b_size = vm_size(b->dtype)};
    if (a->dtype != r->dtype) d->g.a_cast = vm_cast_find(k->isa, a->dtype, r->dtype);
    if (b->dtype != r->dtype) d->g.b_cast = vm_cast_find(k->isa, b->dtype, r->dtype);
    d->run = vm_dot_find(k->isa, r->dtype);
    d->matrix[0] = matrix[0], d->matrix[1] = matrix[1];
    vm_need_scratch(k, vm_dot_scratch(r->dtype, d->g.m));
    s->data = d;
    s->run = run_dot;
    return true;
}

/* ---- the levels ---- */

#define DECLARE(level)                             \
    vm_dot_fn *vm_dot_find_##level(tsr_dtype acc); \
    double vm_peak_##level(int64_t turns, float *out);
DECLARE(generic)
DECLARE(avx2)
DECLARE(avx512)

vm_dot_fn *vm_dot_find(enum cpu_isa isa, tsr_dtype acc) {
    static vm_dot_fn *(*const find[])(tsr_dtype) = {
        vm_dot_find_generic,
#if TSR_ISA_LEVELS > 1
        vm_dot_find_avx2,
        vm_dot_find_avx512,
#endif
    };
    return find[isa < TSR_ISA_LEVELS ? isa : TSR_ISA_LEVELS - 1](acc);
}

double vm_peak_run(enum cpu_isa isa, int64_t turns, float *out) {
    static double (*const run[])(int64_t, float *) = {
        vm_peak_generic,
#if TSR_ISA_LEVELS > 1
        vm_peak_avx2,
        vm_peak_avx512,
#endif
    };
    return run[isa < TSR_ISA_LEVELS ? isa : TSR_ISA_LEVELS - 1](turns, out);
}

/* Packed rows of a; packed columns of b and the room to turn them; one micro tile each of acc and out. */
size_t vm_dot_scratch(tsr_dtype acc, int64_t m) {
    size_t rows = (size_t)(m < VM_DOT_ROWS ? m : VM_DOT_ROWS) + 16;
    return ((rows + VM_DOT_COLS + 16) * VM_DOT_PITCH + 2 * 16 * (size_t)VM_DOT_COLS) * vm_size(acc) + 16 * VM_DOT_PITCH;
}
