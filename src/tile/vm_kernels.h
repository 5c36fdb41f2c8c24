/* vm_kernels.h: the leaf loops of the tile VM: tables of elementwise kernels, casts and reductions, per ISA level.
 *
 * A kernel runs over n contiguous elements. Operand i is a single value (read once, repeated) when bit i of
 * `scalar` is set, else n elements. dst never overlaps an operand except exactly (in place). Tables are filled
 * from scalar.h and dtype.h by vm_elem.isa.c (reductions: vm_reduce.isa.c), compiled once for each level of enum
 * cpu_isa; all levels give the same bits wherever the machine has FMA. */
#ifndef TILE_VM_KERNELS_H
#define TILE_VM_KERNELS_H

#include "base/sys.h"
#include "tessera/dtype.h"
#include "tessera/scalar.h"
#include "tessera/tile.h"

typedef void vm_elem_kernel(size_t n, void *dst, const void *a, const void *b, const void *c, unsigned scalar);
typedef void vm_cast_kernel(size_t n, void *dst, const void *src);
/* n contiguous elements, n a power of two >= VM_FOLD_FROM, in the order of docs/tile.md; tmp: n / 8 elements. False:
 * this row needs the loop by levels; what dst holds then means nothing. */
typedef bool vm_fold_kernel(size_t n, void *dst, const void *src, void *tmp);
enum { VM_FOLD_FROM = 64 };

/* t is the dtype of the operands (of x and y for select). NULL iff scalar.h's domain does not admit t (or t is a block
 * or 4-bit type: the VM holds i4/u4 tiles as i8/u8 and loads and stores pack them; or fn is complex and t a small
 * float, which has no complex dtype). */
vm_elem_kernel *vm_elem_find(enum cpu_isa isa, tsr_scalar fn, tsr_dtype t);
/* StableHLO convert; i4/u4 count as i8/u8 wrapped to 4 bits */
vm_cast_kernel *vm_cast_find(enum cpu_isa isa, tsr_dtype from, tsr_dtype to);

/* Links of chains (vm_chain.c): each acts on a block of f32 in registers and goes on to the next; `place` is the index
 * of its pointer among those that run is given. The last one of a chain is `end`. */
typedef void vm_link_fn(void); /* the true type depends on the level's vectors */
struct vm_link {
    vm_link_fn *run;
    int32_t place;
    size_t moves; /* all bits: the place moves on from block to block; 0: it stays */
};
struct vm_links {
    size_t block, align; /* elements of a block; bytes that stream's place is a multiple of */
    /* blocks times: fetches what lies ahead, acts */
    void (*run)(const struct vm_link *first, size_t blocks, char *const *place, int aheads, char *const *ahead);
    vm_link_fn *load[2], *store, *stream, *end;  /* [1]: one value, repeated */
    vm_link_fn *exp_below;                       /* exp of what is never above zero */
    vm_link_fn *fn[TSR_SCALAR_COUNT][2][2];      /* [f(a, place) or f(place, a)][a block or one value]; unary: [0][0] */
};
const struct vm_links *vm_links_of(enum cpu_isa isa);

/* NULL where there is none: the loop by levels serves. */
vm_fold_kernel *vm_fold_find(enum cpu_isa isa, tsr_reduce op, tsr_dtype t);

#endif
