/* vm_code.h: the inside of the tile VM, shared by its files.
 *
 * A frame is the state of one worker: a slot for each value and a block of memory for tile registers. The slot of a
 * scalar holds its bytes; the slot of a tile holds a pointer, usually to its register, but a load may point it at the
 * buffer itself, and a loop swaps the pointers of a carried value and its successor instead of copying.
 *
 * A step is a function with up to four operands and private data. It returns how many steps to go on (1: the next one;
 * VM_STOP ends the instance). Operands: >= 0 a slot that points to a tile, < 0 (~slot) a scalar in the slot itself,
 * VM_NONE nothing. */
#ifndef TILE_VM_CODE_H
#define TILE_VM_CODE_H

#include <pthread.h>

#include "tile/vm.h"
#include "tile/vm_kernels.h"

#define VM_NONE INT32_MIN
#define VM_STOP INT32_MAX

union vm_slot {
    void *p;
    int64_t i;
    bool b;
    unsigned char raw[16];
} __attribute__((aligned(16)));

/* A matrix that a dot reads where it lies: element (i, j) is p[i * stride[0] + j * stride[1]] (in elements) for
 * lo[0] <= i < hi[0], lo[1] <= j < hi[1], and zero elsewhere. */
struct vm_matrix {
    const char *p;
    int64_t stride[2];
    int32_t lo[2], hi[2];
};

/* Where a load has last pointed, and how far that was from the time before. */
struct vm_ahead {
    char *now;
    int64_t delta;
};

struct vm_job;
struct vm_frame {
    union vm_slot *slot;
    char *memory;             /* tile registers, then scratch: a room of the context's while a launch lasts */
    char *scratch;
    size_t room_bytes;
    struct vm_matrix *matrix; /* one for each load that a dot reads in place */
    struct vm_ahead *ahead;   /* one for each load whose next block a chain fetches */
    const struct vm_job *job;
    struct vm_frame *next;    /* in the list of idle frames */
    bool started;             /* the prologue has run in this launch */
    bool streamed;            /* stores have gone past the caches since the last vm_stream_end */
};

struct vm_step;
typedef int vm_step_fn(struct vm_frame *f, const struct vm_step *s);
struct vm_step {
    vm_step_fn *run;
    const void *data;
    int32_t dst, a, b, c;
};

/* Fresh contents of a slot: a register's place, or a constant. */
struct vm_start {
    int32_t slot;
    bool is_register;
    union vm_slot value; /* register: offset in i */
};

struct vm_code {
    tsr_ctx *c;
    tsr_tile *program;
    enum cpu_isa isa;
    bool check;
    struct arena memory;                  /* steps' data */
    VEC(struct vm_step) step;             /* prologue, NULL step, body, NULL step */
    int32_t body;                         /* index of the body's first step */
    size_t registers, scratch, frame_bytes; /* bytes */
    int32_t slots, matrices, aheads;
    VEC(struct vm_start) start;           /* what a fresh frame's slots hold */
    pthread_mutex_t lock;                 /* guards idle */
    struct vm_frame *idle;
};

/* One launch. */
struct vm_job {
    tsr_ctx *c;
    const struct vm_code *code;
    const union vm_arg *args;
    int64_t grid[3], total, chunk;
    size_t stream_from;      /* stores to buffers of so many bytes go past the caches */
    struct vm_frame **frame; /* by worker */
    atomic_bool failed;
};

static inline void *vm_at(const struct vm_frame *f, int32_t o) {
    return o >= 0 ? f->slot[o].p : o == VM_NONE ? NULL : (void *)&f->slot[~o];
}
static inline int64_t vm_int(const struct vm_frame *f, int32_t o) { return f->slot[~o].i; }

/* Bytes of an element in a register: 4-bit integers take a byte. */
static inline size_t vm_size(tsr_dtype t) { return tsr_dtype_of(t)->kind == TSR_KIND_BLOCK ? 4
    : (size_t)tsr_dtype_of(t)->bytes; }

/* vm_run.c */
struct vm_frame *vm_frame_new(tsr_ctx *c, const struct vm_code *k);
void vm_frame_give(struct vm_code *k, struct vm_frame *f); /* to the idle ones */

/* vm_room.c. reserve: n rooms of so many bytes, lent ones counted; false: no memory, recorded. */
bool vm_rooms_reserve(tsr_ctx *c, size_t bytes, int n);
bool vm_room_take(tsr_ctx *c, struct vm_frame *f); /* sets f->memory; something was reserved before */
void vm_room_give(tsr_ctx *c, struct vm_frame *f);

/* ---- vm_form.c: steps on tiles. Each maker allocates the data of a step and fills in run; false: no memory. ---- */
bool vm_make_elem(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
bool vm_make_cast(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
bool vm_make_iota(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
bool vm_make_broadcast(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
bool vm_make_transpose(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
bool vm_make_copy(struct vm_code *k, struct vm_step *s, size_t bytes); /* dst from a; they may be one place */

/* vm_reduce.c */
bool vm_make_reduce(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
bool vm_make_argreduce(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
bool vm_make_scan(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);

/* vm_memory.c */
struct vm_load_plan {
    bool alias;    /* the result's slot may point into the buffer */
    int32_t matrix; /* >= 0: a dot reads the block in place */
    int32_t ahead; /* >= 0: the frame keeps where it pointed */
    size_t offset; /* of its register */
};
bool vm_make_load(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in,
    struct vm_load_plan plan);
bool vm_make_store(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
/* Where a store step puts a value of rows x n elements: dense when all of it takes part and each row is a run. False:
 * an address was refused. */
struct vm_target {
    char *to;
    int64_t row; /* bytes from row to row */
    bool dense, stream; /* stream: past the caches */
};
bool vm_store_target(struct vm_frame *f, const struct vm_step *s, int64_t rows, int64_t n, struct vm_target *t);
void vm_stream(char *to, const char *from, size_t n); /* memcpy past the caches */
void vm_stream_end(void); /* makes streamed stores visible to other threads, in order with what follows */
bool vm_make_gather(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);

/* vm_dot.c. matrix[i] >= 0: operand i is read in place. */
bool vm_make_dot(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in,
    const int matrix[2]);

/* vm_chain.c. Finds chains in order[from .. end) and moves their members together. chain_end: by place, the last place
 * of the chain that stands there; -1 elsewhere (as it was given). mark: by value, -1 when given; for its own use. */
void vm_chain_gather(const tsr_tile *p, enum cpu_isa isa, int32_t *order, int32_t from, int32_t end,
    int32_t *chain_end, int32_t *mark);
struct vm_chain_plan {
    const int32_t *member;       /* instructions, in order */
    int members;
    const bool *inner;           /* by value: used by members alone; it has no register */
    const bool *only_stored;     /* by value: used by members and stores among them alone */
    const struct vm_step *store; /* by member: the step of a store */
    const int32_t *ahead;        /* numbers of loads whose next block is fetched */
    int aheads;
    const tsr_tv *fresh;         /* loads that nothing reads before the chain */
    int freshes;
};
enum { VM_CHAIN_MEMBERS = 32, VM_CHAIN_AHEAD = 4 }; /* at most */
bool vm_make_chain(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct vm_chain_plan *plan);

/* Helpers on memory, element size in bytes. */
void vm_fill(void *dst, size_t n, size_t size, const void *element);
void vm_move2(char *dst, int64_t dst_row, int64_t dst_col, const char *src, int64_t src_row, int64_t src_col,
    size_t rows, size_t cols,
              size_t size); /* dst(i, j) = src(i, j), strides in bytes; blocked so that neither side thrashes */

/* Views of a shape whose axes are merged where all operands run on: n elements in the inner run, then outer axes.
 * A stride of 0 repeats. Operand 0 is the result. Strides in elements. */
#define VM_WALK_OPERANDS 4
struct vm_walk {
    int64_t n, inner[VM_WALK_OPERANDS];
    int outer; /* axes, outermost first */
    int64_t extent[TSR_TILE_MAX_RANK], stride[VM_WALK_OPERANDS][TSR_TILE_MAX_RANK], turns;
};
void vm_walk_init(struct vm_walk *w, int rank, const int32_t *extent, int operands,
                  const int64_t stride[VM_WALK_OPERANDS][TSR_TILE_MAX_RANK]);
/* Row-major strides of a repeated to the shape of the result: 0 where it is repeated. */
void vm_strides(const struct tile_type *a, int rank, const int32_t *extent, int64_t stride[TSR_TILE_MAX_RANK]);
/* Steps the offsets of a walk to the next run; at: counters, zeroed before the first run. */
static inline void vm_walk_next(const struct vm_walk *w, int64_t at[TSR_TILE_MAX_RANK], int64_t off[VM_WALK_OPERANDS],
    int operands) {
    for (int x = w->outer - 1; x >= 0; x--) {
        for (int k = 0; k < operands; k++) off[k] += w->stride[k][x];
        if (++at[x] < w->extent[x]) return;
        for (int k = 0; k < operands; k++) off[k] -= w->stride[k][x] * w->extent[x];
        at[x] = 0;
    }
}
static inline void vm_need_scratch(struct vm_code *k, size_t bytes) {
    if (bytes > k->scratch) k->scratch = bytes;
}

#endif
