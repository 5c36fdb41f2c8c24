/* loop.c: one element of a mapped instruction, as statements inside a loop nest or outside of any. Windows of loads and
 * stores are tested element by element, but for axes that the loop is cut to and rows (nest.c). */
#include <string.h>

#include "emit/text.h"

static bool tested(struct writer *w, const struct tile_inst *in, int axis, tsr_tv *lo, tsr_tv *hi) {
    if (w->nest) return emit_tested(w->k, (int32_t)(in - w->p->inst.v), axis, lo, hi);
    emit_bounds(w->k, in, axis, lo, hi);
    return *lo != TSR_TV_NONE || *hi != TSR_TV_NONE;
}

static void put_axis(struct str *s, const struct tile_inst *in, int axis) {
    int x = emit_loop_axis(in, axis);
    if (x < 0) str_putc(s, '0');
    else str_printf(s, "i%d", x);
}

/* "(i0 >= v3) & (i0 < v4) & ..." over the axes below n; "" when nothing is left out. */
void put_test(struct writer *w, struct str *s, const struct tile_inst *in, int n) {
    const char *and = "";
    for (int i = 0; i < n; i++) {
        tsr_tv lo, hi;
        if (!tested(w, in, i, &lo, &hi)) continue;
        if (lo != TSR_TV_NONE) {
            str_put(s, and), str_putc(s, '('), put_axis(s, in, i), str_printf(s, " >= v%d)", lo);
            and = " & ";
        }
        if (hi != TSR_TV_NONE) {
            str_put(s, and), str_putc(s, '('), put_axis(s, in, i), str_printf(s, " < v%d)", hi);
            and = " & ";
        }
    }
}

/* "v5 + i0 * v6 + i1" over the axes below n */
void put_address(struct writer *w, struct str *s, const struct tile_inst *in, int n) {
    const tsr_tv *v = tile_operands(w->p, in);
    str_printf(s, "v%d", v[TILE_BLK_BASE]);
    for (int i = 0; i < n; i++) {
        if (in->extent[i] == 1) continue;
        tsr_tv stride = v[TILE_BLK_AXES + i];
        const struct tile_inst *c = &w->p->inst.v[w->p->value.v[stride].inst];
        str_put(s, " + ");
        put_axis(s, in, i);
        if (c->op != TILE_CONST || c->imm.i != 1) str_printf(s, " * v%d", stride);
    }
}

static bool nibbles(tsr_dtype t) { return t == TSR_I4 || t == TSR_U4; }

static void put_place(struct str *s, tsr_dtype t, tsr_tv buf, const char *address) {
    if (tsr_dtype_of(t)->kind == TSR_KIND_BLOCK) str_printf(s, "tsr_at_%s(v%d, %s)", tsr_dtype_name(t), buf, address);
    else if (nibbles(t)) str_printf(s, "tsr_load_%s(v%d, %s)", emit_suffix(t), buf, address);
    else str_printf(s, "v%d[%s]", buf, address);
}

/* Element of a tile of the loop's shape that stands dense at `name`. */
static void put_dense(struct writer *w, struct str *s, char name, int number) {
    const struct emit_group *g = &w->k->group.v[w->group];
    int64_t n = 1;
    str_printf(s, "%c%d[", name, number);
    for (int i = g->rank - 1; i >= 0; i--) {
        str_printf(s, i == g->rank - 1 ? "i%d" : " + i%d * %lld", i, (long long)n);
        n *= g->extent[i];
    }
    str_putc(s, ']');
}

/* Whether this window goes by rows of scratch memory: f7 of the instruction, or the loaded tile's own place. */
static bool by_rows(const struct writer *w, const struct tile_inst *in) {
    return w->nest && w->k->rows.v[in - w->p->inst.v];
}

void put_other(struct writer *w, struct str *s, const struct tile_inst *in, tsr_tv other, tsr_dtype t) {
    if (other != TSR_TV_NONE) put_operand(w, s, in, other);
    else if (tsr_dtype_of(t)->kind == TSR_KIND_COMPLEX)
        str_put(s, t == TSR_C64 ? "vm_complex_f32(0.0f, 0.0f)" : "vm_complex_f64(0.0, 0.0)");
    else str_put(s, "0");
}

static void put_load(struct writer *w, struct str *s, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(w->p, in);
    tsr_dtype t = tile_type_of(w->p, v[TILE_BLK_BUF])->dtype;
    struct str test, address;
    if (in->op == TILE_LOAD && w->k->value.v[in->result].memory) {
        put_window(w, s, in, in->result);
        return;
    }
    if (by_rows(w, in)) {
        bool own = w->k->value.v[in->result].home == EMIT_ARRAY;
        put_dense(w, s, own ? 'a' : 'f', own ? emit_place(w->k, in->result) : (int)(in - w->p->inst.v));
        return;
    }
    str_init(&test, w->k->c), str_init(&address, w->k->c);
    if (in->op == TILE_LOAD) {
        put_address(w, &address, in, in->rank);
        put_test(w, &test, in, in->rank);
    } else {
        put_operand(w, &address, in, v[TILE_GS_OFFSET]);
        if (v[TILE_GS_MASK] != TSR_TV_NONE) put_operand(w, &test, in, v[TILE_GS_MASK]);
    }
    if (test.n) str_printf(s, "(%s) ? ", test.s);
    put_place(s, t, v[TILE_BLK_BUF], address.s);
    if (test.n) str_put(s, " : "), put_other(w, s, in, v[in->op == TILE_LOAD ? TILE_BLK_VALUE : TILE_GS_VALUE], t);
    s->failed |= test.failed || address.failed;
    str_release(&test), str_release(&address);
}

/* The name of what instruction `in` is to write in this piece of the turn. */
static void put_waiting(struct writer *w, struct str *s, const struct tile_inst *in) {
    str_printf(s, "o%d_%d", (int)(in - w->p->inst.v), w->piece);
}

static void put_store(struct writer *w, struct str *s, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(w->p, in);
    tsr_dtype t = tile_type_of(w->p, v[TILE_BLK_BUF])->dtype;
    struct str test, address, value;
    str_init(&test, w->k->c), str_init(&address, w->k->c), str_init(&value, w->k->c);
    if (in->op == TILE_STORE) {
        put_address(w, &address, in, in->rank);
        put_test(w, &test, in, in->rank);
    } else {
        put_operand(w, &address, in, v[TILE_GS_OFFSET]);
        if (v[TILE_GS_MASK] != TSR_TV_NONE) put_operand(w, &test, in, v[TILE_GS_MASK]);
    }
    if (w->effects == WRITE_NOW) put_waiting(w, &value, in);
    else put_operand(w, &value, in, v[in->op == TILE_STORE ? TILE_BLK_VALUE : TILE_GS_VALUE]);
    if (test.n && !by_rows(w, in)) str_printf(s, "if (%s) ", test.s);
    if (by_rows(w, in)) put_dense(w, s, 'f', (int)(in - w->p->inst.v)), str_printf(s, " = %s;", value.s);
    else if (w->nest && w->k->strip.v[in - w->p->inst.v])
        str_printf(s, "q%d[i%d] = %s;", (int)(in - w->p->inst.v), w->k->group.v[w->group].rank - 1, value.s);
    else if (nibbles(t)) str_printf(s, "tsr_store_4(v%d, %s, %s);", v[TILE_BLK_BUF], address.s, value.s);
    else str_printf(s, "v%d[%s] = %s;", v[TILE_BLK_BUF], address.s, value.s);
    s->failed |= test.failed || address.failed || value.failed;
    str_release(&test), str_release(&address), str_release(&value);
}

static void put_bitcast(struct writer *w, struct str *s, const struct tile_inst *in) {
    tsr_tv x = tile_operands(w->p, in)[0];
    tsr_dtype from = tile_type_of(w->p, x)->dtype;
    if (nibbles(from)) str_printf(s, "vm_cast_%s_%s(", emit_suffix(from), emit_suffix(in->dtype)); /* they wrap */
    else str_printf(s, "tsr_bits_%s_%s(", emit_type(from), emit_type(in->dtype));
    put_operand(w, s, in, x);
    str_putc(s, ')');
}

static void put_elem(struct writer *w, struct str *s, const struct tile_inst *in) {
    struct str x[3];
    const char *text[3];
    const tsr_tv *v = tile_operands(w->p, in);
    for (int i = 0; i < in->n_operand; i++) {
        str_init(&x[i], w->k->c);
        put_operand(w, &x[i], in, v[i]);
        text[i] = x[i].s;
        s->failed |= x[i].failed;
    }
    tsr_dtype t = tile_type_of(w->p, v[in->n_operand - 1])->dtype;
    if (in->sub == TSR_S_EXP && t == TSR_F32 && tile_never_above_zero(w->p, v[0]))
        str_printf(s, "vm_exp_below_f32(%s)", text[0]);
    else put_call(s, (tsr_scalar)in->sub, t, in->n_operand, text);
    for (int i = 0; i < in->n_operand; i++) str_release(&x[i]);
}

/* The expression of one element of a mapped instruction's result. */
static void put_value(struct writer *w, struct str *s, const struct tile_inst *in) {
    switch (in->op) {
    case TILE_ELEM: put_elem(w, s, in); break;
    case TILE_CONST: put_const(s, in); break;
    case TILE_BITCAST: put_bitcast(w, s, in); break;
    case TILE_LOAD: case TILE_GATHER: put_load(w, s, in); break;
    case TILE_CAST:
        str_printf(s, "vm_cast_%s_%s(", emit_suffix(tile_type_of(w->p, tile_operands(w->p, in)[0])->dtype),
            emit_suffix(in->dtype));
        put_operand(w, s, in, tile_operands(w->p, in)[0]);
        str_putc(s, ')');
        break;
    case TILE_IOTA:
        str_printf(s, "vm_cast_i64_%s(", emit_suffix(in->dtype));
        put_axis(s, in, in->axis);
        str_putc(s, ')');
        break;
    default: put_operand(w, s, in, tile_operands(w->p, in)[0]); /* broadcast, transpose, reshape: movement alone */
    }
}

static bool is_float_to_int(const tsr_tile *p, const struct tile_inst *in) {
    tsr_kind to = tsr_dtype_of(in->dtype)->kind;
    return in->op == TILE_CAST && (to == TSR_KIND_INT || to == TSR_KIND_UINT) &&
           tsr_dtype_of(tile_type_of(p, tile_operands(p, in)[0])->dtype)->kind == TSR_KIND_FLOAT;
}

/* A member's result that lies in scratch. */
static bool fills_array(const struct writer *w, const struct tile_inst *in) {
    if (in->n_result == 0) return false;
    const struct emit_value *e = &w->k->value.v[in->result];
    return e->home == EMIT_ARRAY && !by_rows(w, in) && !e->memory;
}

/* "a7[i0] = " of a result, or the place where each thread has it. */
static void put_array_place(struct writer *w, struct str *s, const struct tile_inst *in) {
    tsr_tv place = emit_place(w->k, in->result);
    if (w->dealt && w->dealt[place]) str_printf(s, "r%d[s]", place);
    else put_dense(w, s, 'a', place);
    str_put(s, " = ");
}

static void put_result(struct writer *w, struct str *s, const struct tile_inst *in) {
    const struct emit_value *e = &w->k->value.v[in->result];
    bool hidden = e->home == EMIT_SCALAR && is_float_to_int(w->p, in); /* plan.c, is_round_trip: through memory */
    const char *type = emit_type(tile_type_of(w->p, in->result)->dtype);
    str_printf(s, "const %s%s v%d = ", hidden ? "volatile " : "", type, in->result);
    put_value(w, s, in);
    str_putc(s, ';');
    if (!fills_array(w, in)) return;
    str_putc(s, ' ');
    if (w->effects == WRITE_LATER) put_waiting(w, s, in), str_put(s, " = ");
    else put_array_place(w, s, in);
    str_printf(s, "v%d;", in->result);
}

static void put_line_of(struct writer *w, struct str *s, const struct tile_inst *in) {
    if (w->effects == WRITE_NOW && in->n_result) {
        if (fills_array(w, in)) put_array_place(w, s, in), put_waiting(w, s, in), str_putc(s, ';');
    } else if (in->n_result) put_result(w, s, in);
    else if (w->effects == WRITE_LATER) {
        put_waiting(w, s, in), str_put(s, " = ");
        put_operand(w, s, in, tile_operands(w->p, in)[TILE_BLK_VALUE]), str_putc(s, ';');
    } else put_store(w, s, in);
}

void write_member(struct writer *w, const struct tile_inst *in) {
    struct str s;
    str_init(&s, w->k->c);
    put_line_of(w, &s, in);
    if (s.n || s.failed) put_text(w, &s);
    else str_release(&s);
}

void declare_waiting(struct writer *w, const struct tile_inst *in) {
    int at = (int)(in - w->p->inst.v);
    if (in->n_result && !fills_array(w, in)) return;
    tsr_tv v = in->n_result ? in->result : tile_operands(w->p, in)[TILE_BLK_BUF];
    put_line(w, "%s o%d_0, o%d_1, o%d_2, o%d_3;", emit_type(tile_type_of(w->p, v)->dtype), at, at, at, at);
}

/* One element: an instruction on scalars, or on tiles of one element. */
void write_scalar(struct writer *w, const struct tile_inst *in) {
    w->nest = false;
    write_member(w, in);
}
