/* vm.h: the tile VM: runs tile programs without a compiler on the machine.
 *
 * vm_compile turns a finished program into steps: a function for each instruction, tile registers laid out by life time
 * in one scratch block for each worker. vm_run runs every instance of a grid, spread over the threads of a pool. Code
 * is immutable: any number of threads may run one code at once. Results do not depend on threads, nor on the
 * instruction set level among those with fused multiply-adds; vmath rounds twice where there are none (generic). */
#ifndef TILE_VM_H
#define TILE_VM_H

#include "base/pool.h"
#include "base/sys.h"
#include "tile/tile.h"

struct vm_code;

/* One argument of a launch, in the program's order. A buffer: where it is and, for checking, how large (0: not known).
 * A scalar: its bytes as stored (i4/u4: one byte; bool: one byte, 0 or 1). */
union vm_arg {
    struct {
        void *p;
        size_t bytes;
    } buf;
    int64_t i64;
    int32_t i32;
    double f64;
    float f32;
    uint16_t u16;
    uint8_t u8;
    unsigned char raw[16];
};

/* p must be finished; the code keeps it. All memory that vm_run needs for tsr_threads(c) threads is reserved here.
 * With TSR_CHECK >= 1 every address is compared with the buffer's size before it is touched. NULL: recorded error. */
struct vm_code *vm_compile(tsr_ctx *c, const tsr_tile *p);
struct vm_code *vm_compile_for(tsr_ctx *c, const tsr_tile *p, enum cpu_isa isa, bool check);
void vm_free(struct vm_code *code); /* NULL is accepted */

/* Runs instances (0..grid[0]) x (0..grid[1]) x (0..grid[2]), axis 0 fastest; an empty grid does nothing. pool NULL:
 * this thread alone. Buffers of different arguments are the same or do not overlap. ECHECK: an address was outside its
 * buffer (checked code), ENOMEM: more threads than were reserved for and no memory for them. */
tsr_status vm_run(tsr_ctx *c, const struct vm_code *code, const int64_t grid[3], const union vm_arg *args,
    struct pool *pool);

#endif
