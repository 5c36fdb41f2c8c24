/* text.h: shared by the renderer's files: where the text goes, and how operands and functions are spelt. */
#ifndef EMIT_TEXT_H
#define EMIT_TEXT_H

#include "emit/emit.h"

struct emit_move { tsr_tv to, from; }; /* a tile to the place of another */

struct writer {
    struct str *out;
    const struct emit_plan *k;
    const tsr_tile *p;
    int indent;
    /* the loop nest being written */
    int32_t group;                      /* -1: none */
    bool nest;                          /* it is cut and has rows as the plan says; else every window is tested */
    /* how the dialect moves tiles, all read before any is written; at: the instruction that asks */
    void (*move_tiles)(struct writer *w, int n, const struct emit_move *m, int32_t at);
    bool streams;       /* C: some rows may go past the caches */
    /* C, members of a loop that computes several elements in a turn: what is to be written waits in o7_0, o7_1, ... */
    enum { WRITE_AT_ONCE, WRITE_LATER, WRITE_NOW } effects;
    int piece;          /* which element of the turn */
    const bool *dealt; /* by value, or NULL: each thread holds the tile's elements of its own, as r7[s] in turn s */
};

void put_origins(struct writer *w, int32_t group, int32_t at); /* c.c: a comment: whom the instructions serve */
void put_line(struct writer *w, const char *fmt, ...) TSR_PRINTF(2, 3); /* indented, with a newline */
void put_text(struct writer *w, struct str *text); /* the same with a line of any length, which is released */
const char *emit_type(tsr_dtype t);    /* "vm_f32" */
const char *emit_suffix(tsr_dtype t);  /* "f32": as vmath names functions */
/* Function fn on operands given as text. */
void put_call(struct str *s, tsr_scalar fn, tsr_dtype t, int n, const char *const *operand);
/* The value of v as an element of the loop of instruction `in` (or as a scalar outside of loops). */
void put_operand(struct writer *w, struct str *s, const struct tile_inst *in, tsr_tv v);
void write_scalar(struct writer *w, const struct tile_inst *in);       /* an instruction of one element */
void write_member(struct writer *w, const struct tile_inst *in);       /* one element, inside a loop nest */
void declare_waiting(struct writer *w, const struct tile_inst *in);    /* o7_0 .. o7_3 of what writes to memory */
bool write_control(struct writer *w, int32_t at);                      /* a loop's or branch's part; false: none */
void write_group(struct writer *w, int32_t group);
void put_window(struct writer *w, struct str *s, const struct tile_inst *in, tsr_tv v); /* of a value in memory */
void put_test(struct writer *w, struct str *s, const struct tile_inst *in, int n);    /* window: axes below n */
void put_address(struct writer *w, struct str *s, const struct tile_inst *in, int n); /* the same */
void put_other(struct writer *w, struct str *s, const struct tile_inst *in, tsr_tv other, tsr_dtype t);
void write_reduce_functions(struct writer *w);
void write_reduce(struct writer *w, const struct tile_inst *in, int32_t at);
void put_fold(struct str *s, struct writer *w, const struct tile_inst *in, int number); /* of t7_0 .. t7_3 */
void write_argreduce(struct writer *w, const struct tile_inst *in);
void write_scan(struct writer *w, const struct tile_inst *in);
void write_dot(struct writer *w, const struct tile_inst *in, int32_t at);
void put_const(struct str *s, const struct tile_inst *in);            /* the literal of a CONST */
tsr_tv emit_place(const struct emit_plan *k, tsr_tv v);                /* the value whose memory v has */
const char *array_name(struct writer *w, tsr_tv v, char room[24]);     /* "a7": the name of v's memory, in room */

#endif
