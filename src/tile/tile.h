/* tile.h: the inside of a tile program.
 *
 * A program is one array of instructions in program order and one array of values (static single assignment: a value is
 * made by one instruction and never changes). Operands of all instructions lie in one array; an instruction names its
 * slice. Regions are marked in the same array:
 *
 *     FOR (iv, carry...)  ...  YIELD (next...)  END (result...)
 *     WHILE (carry...)    ...  YIELD (again, next...)  END (result...)
 *     IF  ...  YIELD (v...)  ELSE  ...  YIELD (w...)  END (result...)
 *
 * Every region ends with exactly one YIELD (the builders add an empty one where nothing is carried), every IF has an
 * ELSE. Region 0 is the body. A value may be used in the region of its instruction and in regions inside it, after it.
 * rule.c holds the dtype and shape rule of each op, in one table; build.c and check.c both obey it. */
#ifndef TILE_TILE_H
#define TILE_TILE_H

#include <stdatomic.h>

#include "base/map.h"
#include "base/sys.h"
#include "base/vec.h"
#include "tessera/tile.h"

#define TILE_MAX_INSTS (1 << 16)
#define TILE_MAX_DEPTH 32    /* regions within regions */
#define TILE_MAX_RESULTS 64  /* carries of one loop */
#define TILE_MAX_NAME 255

/* X(OP, "text", pure): pure instructions without result in memory; equal ones are one value. */
#define TILE_OP_LIST(X)                \
    X(BUF, "buf", false)               \
    X(ARG, "arg", false)               \
    X(PID, "pid", true)                \
    X(CONST, "const", true)            \
    X(IOTA, "iota", true)              \
    X(ELEM, "elem", true)              \
    X(CAST, "cast", true)              \
    X(BITCAST, "bitcast", true)        \
    X(BROADCAST, "broadcast", true)    \
    X(RESHAPE, "reshape", true)        \
    X(TRANSPOSE, "transpose", true)    \
    X(REDUCE, "reduce", true)          \
    X(ARGREDUCE, "argreduce", true)    \
    X(SCAN, "scan", true)              \
    X(DOT, "dot", true)                \
    X(LOAD, "load", false)             \
    X(STORE, "store", false)           \
    X(GATHER, "gather", false)         \
    X(SCATTER, "scatter", false)       \
    X(FOR, "for", false)               \
    X(WHILE, "while", false)           \
    X(IF, "if", false)                 \
    X(ELSE, "else", false)             \
    X(YIELD, "yield", false)           \
    X(END, "end", false)

enum tile_op {
#define X(op, text, pure) TILE_##op,
    TILE_OP_LIST(X)
#undef X
        TILE_OP_COUNT
};

/* What a value is. buf: a buffer argument (its dtype is the stored one, its rank 0). */
struct tile_type {
    tsr_dtype dtype;
    bool buf;
    int rank;
    int32_t extent[TSR_TILE_MAX_RANK];
};

struct tile_value {
    struct tile_type type;
    int32_t inst;   /* the instruction that makes it */
    int32_t region; /* where it may be used: this region and those inside it */
};

/* The operands of a LOAD: buf, other, base, stride[rank], lo[rank], hi[rank]; of a STORE: buf, value, then the same.
 * GATHER: buf, offset, mask, other. SCATTER: buf, offset, mask, value. TSR_TV_NONE stands for what is left out. */
enum { TILE_BLK_BUF, TILE_BLK_VALUE, TILE_BLK_BASE, TILE_BLK_AXES };
enum { TILE_GS_BUF, TILE_GS_OFFSET, TILE_GS_MASK, TILE_GS_VALUE, TILE_GS_COUNT };

/* Who asked for an instruction: a value of the graph that the program came from. For readers of rendered text: it
 * changes no hash, no equality and no text form. name is static; NULL: nobody in particular. */
struct tile_origin {
    const char *name;
    int32_t number;
};

struct tile_inst {
    enum tile_op op;
    int32_t sub;  /* ELEM: tsr_scalar. REDUCE, ARGREDUCE, SCAN: tsr_reduce. BUF: tsr_tile_access. PID: grid axis */
    int32_t axis; /* IOTA, REDUCE, ARGREDUCE, SCAN; BUF, ARG: place in the argument list */
    bool reverse; /* SCAN */
    tsr_dtype dtype; /* BUF, ARG, CONST, IOTA, CAST, BITCAST: dtype asked for */
    /* IOTA, BROADCAST, RESHAPE: shape asked for. LOAD, STORE: shape of the block. TRANSPOSE: extent is perm */
    int rank;
    int32_t extent[TSR_TILE_MAX_RANK];
    union {          /* CONST */
        int64_t i;   /* integers (u64 as its bits) and bool */
        double f;    /* floats, already rounded to dtype; complex: real part */
    } imm;
    int32_t operand, n_operand; /* slice of tsr_tile.operand */
    int32_t result, n_result;   /* values result .. result + n_result - 1 */
    int32_t region;             /* the region it stands in (IF, FOR, WHILE, ELSE, END: the region around) */
    int32_t match;              /* FOR, WHILE, ELSE: its END. IF: its ELSE. END: its FOR, WHILE or IF */
    struct tile_origin origin;
};

struct tile_region {
    int32_t parent, opener; /* -1 for the body */
    bool open, yielded;
};

/* Arguments and their names, in order of launch. */
struct tile_arg {
    tsr_tv value;
    char *name;
};

struct tsr_tile {
    tsr_ctx *c;
    char *name;
    atomic_int refs;
    bool finished;
    tsr_status failed; /* first failure of a builder; TSR_OK: none */
    VEC(struct tile_inst) inst;
    VEC(struct tile_value) value;
    VEC(tsr_tv) operand;
    VEC(struct tile_region) region;
    VEC(struct tile_arg) arg;
    struct map known; /* pure instructions, for builders (released by finish) */
    struct tile_origin origin; /* of the instructions built now */
    int32_t current;  /* region that is open innermost */
    int depth;
};

extern const char *const tile_op_name[TILE_OP_COUNT];
extern const bool tile_op_pure[TILE_OP_COUNT];
extern const char *const tile_reduce_name[TSR_REDUCE_COUNT];
extern const tsr_scalar tile_reduce_fn[TSR_REDUCE_COUNT]; /* the elementwise function that combines two elements */

/* Facts of one elementwise function, from scalar.h. */
enum tile_result { TILE_RESULT_SAME, TILE_RESULT_BOOL, TILE_RESULT_REAL, TILE_RESULT_CPLX };
struct tile_scalar_info {
    const char *name, *domain;
    int arity;
    enum tile_result result;
};
extern const struct tile_scalar_info tile_scalar[TSR_SCALAR_COUNT];
bool tile_scalar_admits(tsr_scalar fn, tsr_dtype t);        /* domain of fn has t; block and 4-bit types: never */
tsr_dtype tile_scalar_result(tsr_scalar fn, tsr_dtype t);   /* t: the operands' dtype (select: of x and y) */

/* rule.c. The type of every result of instruction `in` with these operands (not yet in the program); false: error
 * recorded. */
bool tile_rule(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *operand, struct tile_type *result);
/* EINVAL, prefixed with the program's name */
tsr_status tile_error(const tsr_tile *p, const char *fmt, ...) TSR_PRINTF(2, 3);
const char *tile_type_text(const struct tile_type *t, char buf[128]);            /* "f32[128, 64]" */
int64_t tile_count(const struct tile_type *t);                                   /* elements; 1 for a scalar */
bool tile_type_same(const struct tile_type *a, const struct tile_type *b);

/* check.c: the whole program; and the one rule about yields, for builders too: do the values of `yield` match what the
 * region's opener carries (FOR, WHILE) or what the first arm yielded (IF; first is NULL in the first arm itself)? */
tsr_status tile_check(const tsr_tile *p);
bool tile_check_yield(const tsr_tile *p, const struct tile_inst *opener, const struct tile_inst *first, int n,
    const tsr_tv *v);

void tile_put_inst(struct str *s, const tsr_tile *p, const struct tile_inst *in); /* print.c: its line of text */

/* stats.c. Equal programs (same instructions and arguments; names of program and arguments apart) have equal hashes. */
uint64_t tile_hash(const tsr_tile *p);
bool tile_equal(const tsr_tile *a, const tsr_tile *b);

/* What one instance does. A loop whose bounds are constants counts each turn, another counts as one turn (exact =
 * false). */
struct tile_stats {
    /* flops: 1 for each elementwise result, reduction and scan step, 2 for each fma */
    double bytes_loaded, bytes_stored, flops;
    bool exact;
};
struct tile_stats tile_stats(const tsr_tile *p);

/* range.c: need[i] (false when given): instruction i is control flow, changes memory, or serves one that is or does. */
void tile_find_need(const tsr_tile *p, bool *need);
/* No element of v is above zero; some may be NaNs. False: not known. */
bool tile_never_above_zero(const tsr_tile *p, tsr_tv v);

/* Shorthands. */
static inline const struct tile_type *tile_type_of(const tsr_tile *p, tsr_tv v) { return &p->value.v[v].type; }
static inline const tsr_tv *tile_operands(const tsr_tile *p,
    const struct tile_inst *in) { return p->operand.v + in->operand; }
/* Is v zero (no zero of negative sign), or left out? */
static inline bool tile_is_zero(const tsr_tile *p, tsr_tv v) {
    const struct tile_inst *in = v == TSR_TV_NONE ? NULL : &p->inst.v[p->value.v[v].inst];
    return !in || (in->op == TILE_CONST && in->imm.i == 0);
}
static inline bool tile_opens(enum tile_op op) { return op == TILE_FOR || op == TILE_WHILE || op == TILE_IF; }

#endif
