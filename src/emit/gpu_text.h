/* gpu_text.h: shared by the files that write kernels for groups of threads. */
#ifndef EMIT_GPU_TEXT_H
#define EMIT_GPU_TEXT_H

#include "emit/dialect.h"
#include "emit/text.h"

/* Where memory lies. */
enum gpu_space {
    GPU_NOWHERE,
    GPU_LOCAL,   /* a group's local memory */
    GPU_SCRATCH, /* a group's piece of global scratch */
    GPU_BUFFERS  /* what the arguments point at, all of it: two arguments may be one buffer */
};
struct gpu_home {
    enum gpu_space space;
    size_t offset, bytes;
};
/* Bytes that a phase of the kernel reads or writes. own: when not 0, the bytes are an array of that many elements and
 * each thread touches those dealt out to it and no other. */
struct gpu_access {
    enum gpu_space space;
    size_t offset, bytes;
    int64_t own;
    bool write;
};
/* How a tile of m x n elements is dealt out where the program has a product of that shape: thread (ty, tx) has rows
 * i * rows + ty of columns j * columns + tx, in turn i * across + j. m 0: there is none. */
struct gpu_tile {
    int m, n, rows, columns, down, across;
    bool mma; /* of warps instead (gpu_mma.c): rows x columns warps, a thread has down x across outputs */
};
/* An operand of a product. Its matrix lies row by row, k along rows (k_last) or down the columns. */
struct gpu_side {
    int32_t group;   /* computed while it is staged by this group, or -1: an array, or a scalar */
    tsr_tv value;
    int lines, k;
    bool k_last, k_fastest; /* k_fastest: neighbouring threads should read neighbouring k */
};
struct gpu {
    struct writer w; /* first: what the shared renderer hands back */
    const struct emit_dialect *d;
    const struct emit_gpu_target *t;
    int threads;
    VEC(struct gpu_home) home; /* by value: where an EMIT_ARRAY with memory of its own is */
    VEC(struct gpu_home) temp; /* by instruction: memory for itself */
    VEC(bool) dealt;           /* by value: in registers of the threads that own its elements */
    struct gpu_tile tile;
    VEC(int32_t) staged;       /* by group: the product that computes it while it fills slabs, or -1 */
    VEC(int32_t) late;         /* by value: a product that reads it for a staged group, or -1 */
    size_t local_bytes, scratch_bytes;
    VEC(struct gpu_access) pending; /* accesses that no barrier has followed yet */
    VEC(struct gpu_access) held;    /* of open loops and branches: what was pending at points to come back to */
    size_t frame[TILE_MAX_DEPTH + 1];
    int depth;
};
struct gpu_around { /* a tile seen along one axis */
    long long outer, n, inner;
};
struct gpu_around gpu_around(const struct tile_type *t, int axis);
long long gpu_half(long long n); /* greatest power of two below n; n > 1 */

/* gpu_deal.c: tiles in registers. */
bool gpu_deal(struct gpu *g);
bool gpu_is_dealt(const struct gpu *g, tsr_tv v);
int gpu_slots(const struct gpu *g, long long n);      /* elements of a tile of n that one thread has at most */
void gpu_own_element(struct gpu *g, long long n);
void gpu_each_own(struct gpu *g, long long n);        /* opens the unrolled loop over this thread's elements */
bool gpu_one_thread(const struct gpu *g, int32_t group); /* gpu_group.c: thread 0 runs the whole loop, in order */

/* gpu_stage.c: products with a tile, operands that are computed while they are staged. */
void gpu_choose_tile(struct gpu *g);
bool gpu_stage(struct gpu *g, struct emit_plan *k);
bool gpu_is_tiled(const struct gpu *g, const struct tile_inst *in);
struct gpu_side gpu_side_of(const struct gpu *g, const struct tile_inst *in, int side);
void gpu_touch_staged(struct gpu *g, int32_t group);
/* A product under way: its operands come in slabs of `depth` along k, two in local memory at a time. */
struct gpu_product {
    const struct tile_inst *in;
    int32_t at;
    tsr_dtype t;
    struct gpu_side side[2];
    int depth;     /* k of a slab */
    int pitch[2];  /* elements from one k (of matrix units: from one line) to the next */
    int each[2];   /* elements of a slab that one thread brings */
};
/* What reads a slab into registers, writes it to local memory, and multiplies the slabs there. */
struct gpu_slabs {
    void (*read)(struct gpu *g, const struct gpu_product *p, int side, const char *k0);
    void (*write)(struct gpu *g, const struct gpu_product *p, int side, const char *half);
    void (*products)(struct gpu *g, const struct gpu_product *p);
};
void gpu_open_unrolled(struct gpu *g, const char *name, int n);
/* line, k (in the slab) of the element of a slab of operand i that this thread brings in turn s. */
void gpu_slab_place(struct gpu *g, const struct gpu_product *p, int i);
void gpu_touch_operands(struct gpu *g, const struct gpu_product *p);
void gpu_write_slabs(struct gpu *g, const struct gpu_product *p, const struct gpu_slabs *of); /* the loop over k */

/* gpu_mma.c: matrix units. */
void gpu_choose_mma(struct gpu *g);
void gpu_mma_element(struct gpu *g);
size_t gpu_mma_bytes(const struct gpu *g);
void gpu_mma(struct gpu *g, const struct tile_inst *in, int32_t at);

/* gpu_row.c: reductions in registers. */
bool gpu_reduces_in_registers(const struct gpu *g, const struct tile_inst *in);
size_t gpu_row_bytes(const struct gpu *g, const struct tile_inst *in); /* of memory for itself */
void gpu_reduce_in_registers(struct gpu *g, const struct tile_inst *in, int32_t at);

/* gpu_place.c */
bool gpu_place(struct gpu *g);
const char *gpu_space_name(const struct gpu *g, enum gpu_space s); /* as a pointer's qualifier */

/* gpu_sync.c: barriers stand where a phase touches what others touched before it. */
void gpu_touch(struct gpu *g, int n, const struct gpu_access *a);
void gpu_barrier(struct gpu *g);
struct gpu_access gpu_reads(const struct gpu *g, tsr_tv v, int64_t own);  /* of an array; .space 0 of anything else */
struct gpu_access gpu_writes(const struct gpu *g, tsr_tv v, int64_t own);
struct gpu_access gpu_temp(const struct gpu *g, int32_t at, bool write);
void gpu_sync_open(struct gpu *g, int32_t at);  /* of a loop or branch: before its text */
void gpu_sync_else(struct gpu *g);
void gpu_sync_end(struct gpu *g);
void gpu_sync_yield(struct gpu *g, int32_t at); /* at the end of a turn */
void gpu_sync_instance(struct gpu *g);          /* at the end of an instance: its memory is the next one's */

/* gpu_group.c: mapped instructions, a thread an element. */
void gpu_group(struct gpu *g, int32_t group);
void gpu_members(struct gpu *g, int32_t group); /* indices of element e and every member's statement */
const char *gpu_element(const struct gpu *g, tsr_tv v, char room[32]); /* this thread's: "r7[s]", "a7[e]" */
void gpu_one(struct gpu *g, const struct tile_inst *in); /* an instruction of one element: every thread, stores one */
void gpu_move(struct writer *w, int n, const struct emit_move *m, int32_t at);
void gpu_comment(struct gpu *g, const struct tile_inst *in); /* the line of the program's text */
void gpu_each(struct gpu *g, long long n); /* opens a loop over the elements e of a tile that this thread has */
void gpu_close(struct gpu *g);

/* gpu_whole.c: reductions and scans. gpu_dot.c: products. */
void gpu_reduce(struct gpu *g, const struct tile_inst *in, int32_t at);
void gpu_argreduce(struct gpu *g, const struct tile_inst *in);
void gpu_scan(struct gpu *g, const struct tile_inst *in);
void gpu_dot(struct gpu *g, const struct tile_inst *in, int32_t at);
size_t gpu_dot_bytes(const struct gpu *g, const struct tile_inst *in); /* of memory for itself */

#endif
