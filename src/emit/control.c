/* control.c: loops and branches of a tile program, in what C, OpenCL C, CUDA C and HIP have in common.
 *
 * A carried scalar is a variable that each turn assigns. A carried tile has one place for the whole loop; a dialect
 * says how tiles go from place to place (writer.move_tiles), all of one yield together: none of the places may be
 * overwritten before it was read. */
#include "emit/text.h"

static bool is_scalar(const struct writer *w, tsr_tv v) { return w->k->value.v[v].home == EMIT_SCALAR; }

/* The tiles among values from[0 .. n - 1] that are not yet where to + i is. */
static void write_tile_moves(struct writer *w, const tsr_tv *from, int n, tsr_tv to, int32_t at) {
    struct emit_move m[TILE_MAX_RESULTS];
    int moves = 0;
    for (int i = 0; i < n; i++)
        if (!is_scalar(w, to + i) && emit_place(w->k, to + i) != emit_place(w->k, from[i]))
            m[moves++] = (struct emit_move){to + i, from[i]};
    if (moves) w->move_tiles(w, moves, m, at);
}

/* Values go to their places together. */
static void write_moves(struct writer *w, const tsr_tv *from, int n, tsr_tv to, int32_t at) {
    for (int i = 0; i < n; i++)
        if (is_scalar(w, to + i))
            put_line(w, "const %s n%d = v%d;", emit_type(tile_type_of(w->p, to + i)->dtype), to + i,
                emit_root(w->k, from[i]));
    write_tile_moves(w, from, n, to, at);
    for (int i = 0; i < n; i++)
        if (is_scalar(w, to + i)) put_line(w, "v%d = n%d;", to + i, to + i);
}

/* Initial values of a loop's carried values. first: the loop's first carried result. */
static void write_initial(struct writer *w, const tsr_tv *init, int n, tsr_tv first, int32_t at) {
    for (int i = 0; i < n; i++)
        if (is_scalar(w, first + i))
            put_line(w, "%s v%d = v%d;", emit_type(tile_type_of(w->p, first + i)->dtype), first + i,
                emit_root(w->k, init[i]));
    write_tile_moves(w, init, n, first, at);
}

static void write_for(struct writer *w, const struct tile_inst *in, int32_t at) {
    const tsr_tv *v = tile_operands(w->p, in);
    write_initial(w, v + 3, in->n_operand - 3, in->result + 1, at);
    put_line(w, "for (vm_i64 v%d = v%d; v%d < v%d; v%d = v%d > 9223372036854775807 - v%d ? v%d : v%d + v%d) {",
        in->result, v[0], in->result, v[1], in->result, in->result, v[2], v[1], in->result, v[2]);
    w->indent++;
}

static void write_while(struct writer *w, const struct tile_inst *in, int32_t at) {
    write_initial(w, tile_operands(w->p, in), in->n_operand, in->result, at);
    put_line(w, "for (;;) {");
    w->indent++;
}

static void write_if(struct writer *w, const struct tile_inst *in) {
    const struct tile_inst *other = &w->p->inst.v[in->match], *end = &w->p->inst.v[other->match];
    for (int i = 0; i < end->n_result; i++)
        if (is_scalar(w, end->result + i))
            put_line(w, "%s v%d;", emit_type(tile_type_of(w->p, end->result + i)->dtype), end->result + i);
    put_line(w, "if (v%d) {", emit_root(w->k, tile_operands(w->p, in)[0]));
    w->indent++;
}

static void write_yield(struct writer *w, const struct tile_inst *in, int32_t at) {
    const tsr_tv *v = tile_operands(w->p, in);
    const struct tile_inst *open = &w->p->inst.v[w->p->region.v[in->region].opener];
    if (open->op == TILE_FOR) write_moves(w, v, in->n_operand, open->result + 1, at);
    else if (open->op == TILE_WHILE) {
        put_line(w, "const vm_bool again%d = v%d;", at, emit_root(w->k, v[0])); /* it may be a carried value itself */
        write_moves(w, v + 1, in->n_operand - 1, open->result, at);
        put_line(w, "if (!again%d) break;", at);
    } else {
        const struct tile_inst *end = open;
        while (end->op != TILE_END) end = &w->p->inst.v[end->match];
        write_moves(w, v, in->n_operand, end->result, at);
    }
}

static void write_end(struct writer *w, const struct tile_inst *in) {
    const struct tile_inst *open = &w->p->inst.v[in->match];
    w->indent--;
    put_line(w, "}");
    if (open->op != TILE_FOR && open->op != TILE_WHILE) return;
    for (int i = 0; i < in->n_result; i++)
        if (is_scalar(w, in->result + i))
            put_line(w, "const %s v%d = v%d;", emit_type(tile_type_of(w->p, in->result + i)->dtype), in->result + i,
                open->result + (open->op == TILE_FOR) + i);
}

bool write_control(struct writer *w, int32_t at) {
    const struct tile_inst *in = &w->p->inst.v[at];
    switch (in->op) {
    case TILE_FOR: write_for(w, in, at); return true;
    case TILE_WHILE: write_while(w, in, at); return true;
    case TILE_IF: write_if(w, in); return true;
    case TILE_ELSE:
        w->indent--;
        put_line(w, "} else {");
        w->indent++;
        return true;
    case TILE_YIELD: write_yield(w, in, at); return true;
    case TILE_END: write_end(w, in); return true;
    default: return false;
    }
}
