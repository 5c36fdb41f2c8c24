/* loop.c: a group of mapped instructions as one loop nest.
 *
 * Windows of loads and stores may leave out elements of the tile. Where every store of the group has the same bounds
 * and nothing else leaves the loop, the loop itself runs over what is inside, and loads with the same bounds need no
 * test. Otherwise the nest is written twice: for instances whose windows are whole, without tests, and for the rest,
 * with one test an element and window. */
#include <string.h>

#include "emit/text.h"

static const struct tile_inst *member(struct writer *w, int32_t at) { return &w->p->inst.v[at]; }

static bool is_block(enum tile_op op) { return op == TILE_LOAD || op == TILE_STORE; }

/* Loop axis of an instruction's axis, or -1 where its extent is 1. */
static int loop_axis(const struct tile_inst *in, int axis) {
    int at = 0;
    if (in->extent[axis] == 1) return -1;
    for (int i = 0; i < axis; i++) at += in->extent[i] != 1;
    return at;
}

static void bounds(struct writer *w, const struct tile_inst *in, int axis, tsr_tv *lo, tsr_tv *hi) {
    const tsr_tv *v = tile_operands(w->p, in) + TILE_BLK_AXES;
    *lo = v[in->rank + axis];
    *hi = v[2 * in->rank + axis];
}

/* Cuts loop axes to the bounds that all stores share, when stores are all that leaves the loop. */
static void cut_axes(struct writer *w, const struct emit_group *g) {
    bool first = true, ok = !g->ordered;
    memset(w->cut, 0, sizeof w->cut);
    for (int i = 0; i < g->rank; i++) w->lo[i] = w->hi[i] = TSR_TV_NONE;
    for (int32_t at = g->first; ok && at <= g->last; at++) {
        const struct tile_inst *in = member(w, at);
        if (w->k->member.v[at] != w->group) continue;
        if (in->op == TILE_SCATTER) ok = false;
        if (in->n_result && w->k->value.v[in->result].home == EMIT_ARRAY) ok = false;
        if (in->op != TILE_STORE) continue;
        for (int i = 0; i < in->rank; i++) {
            tsr_tv lo, hi;
            int x = loop_axis(in, i);
            bounds(w, in, i, &lo, &hi);
            if (x < 0) continue;
            if (first) w->lo[x] = lo, w->hi[x] = hi;
            else if (w->lo[x] != lo || w->hi[x] != hi) w->lo[x] = w->hi[x] = -2; /* differs: tested */
        }
        first = false;
    }
    if (!ok || first) return;
    for (int i = 0; i < g->rank; i++) w->cut[i] = w->lo[i] != -2;
}

static bool tested(struct writer *w, const struct tile_inst *in, int axis, tsr_tv *lo, tsr_tv *hi) {
    int x = loop_axis(in, axis);
    bounds(w, in, axis, lo, hi);
    if (x >= 0 && w->cut[x] && w->lo[x] == *lo && w->hi[x] == *hi) return false;
    return *lo != TSR_TV_NONE || *hi != TSR_TV_NONE;
}

static void put_axis(struct str *s, const struct tile_inst *in, int axis) {
    int x = loop_axis(in, axis);
    if (x < 0) str_putc(s, '0');
    else str_printf(s, "i%d", x);
}

/* "i0 >= v3 && i0 < v4 && ..." or "" when the whole window takes part. */
static void put_test(struct writer *w, struct str *s, const struct tile_inst *in) {
    const char *and = "";
    for (int i = 0; i < in->rank; i++) {
        tsr_tv lo, hi;
        if (!tested(w, in, i, &lo, &hi)) continue;
        if (lo != TSR_TV_NONE) {
            str_put(s, and), put_axis(s, in, i), str_printf(s, " >= v%d", lo);
            and = " & ";
        }
        if (hi != TSR_TV_NONE) {
            str_put(s, and), put_axis(s, in, i), str_printf(s, " < v%d", hi);
            and = " & ";
        }
    }
}

/* "v5 + i0 * v6 + i1" */
static void put_address(struct writer *w, struct str *s, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(w->p, in);
    str_printf(s, "v%d", v[TILE_BLK_BASE]);
    for (int i = 0; i < in->rank; i++) {
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
    if (nibbles(t)) str_printf(s, "tsr_load_%s(v%d, %s)", emit_suffix(t), buf, address);
    else str_printf(s, "v%d[%s]", buf, address);
}

static void put_other(struct writer *w, struct str *s, const struct tile_inst *in, tsr_tv other, tsr_dtype t) {
    if (other != TSR_TV_NONE) put_operand(w, s, in, other);
    else if (tsr_dtype_of(t)->kind == TSR_KIND_COMPLEX)
        str_put(s, t == TSR_C64 ? "vm_complex_f32(0.0f, 0.0f)" : "vm_complex_f64(0.0, 0.0)");
    else str_put(s, "0");
}

static void put_load(struct writer *w, struct str *s, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(w->p, in);
    tsr_dtype t = tile_type_of(w->p, v[TILE_BLK_BUF])->dtype;
    struct str test, address;
    str_init(&test, w->k->c), str_init(&address, w->k->c);
    if (in->op == TILE_LOAD) {
        put_address(w, &address, in);
        if (w->masked) put_test(w, &test, in);
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

static void put_store(struct writer *w, struct str *s, const struct tile_inst *in) {
    const tsr_tv *v = tile_operands(w->p, in);
    tsr_dtype t = tile_type_of(w->p, v[TILE_BLK_BUF])->dtype;
    struct str test, address, value;
    str_init(&test, w->k->c), str_init(&address, w->k->c), str_init(&value, w->k->c);
    if (in->op == TILE_STORE) {
        put_address(w, &address, in);
        if (w->masked) put_test(w, &test, in);
        put_operand(w, &value, in, v[TILE_BLK_VALUE]);
    } else {
        put_operand(w, &address, in, v[TILE_GS_OFFSET]);
        if (v[TILE_GS_MASK] != TSR_TV_NONE) put_operand(w, &test, in, v[TILE_GS_MASK]);
        put_operand(w, &value, in, v[TILE_GS_VALUE]);
    }
    if (test.n) str_printf(s, "if (%s) ", test.s);
    if (nibbles(t)) str_printf(s, "tsr_store_4(v%d, %s, %s);", v[TILE_BLK_BUF], address.s, value.s);
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
    put_call(s, (tsr_scalar)in->sub, tile_type_of(w->p, v[in->n_operand - 1])->dtype, in->n_operand, text);
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

void write_member(struct writer *w, const struct tile_inst *in) {
    struct str s;
    str_init(&s, w->k->c);
    for (int i = 0; i < w->indent; i++) str_put(w->out, "    ");
    if (in->n_result == 0) put_store(w, &s, in);
    else {
        const struct tile_type *t = tile_type_of(w->p, in->result);
        const struct emit_value *e = &w->k->value.v[in->result];
        str_printf(&s, "const %s v%d = ", emit_type(t->dtype), in->result);
        put_value(w, &s, in);
        str_putc(&s, ';');
        tsr_tv place = emit_place(w->k, in->result);
        if (e->home == EMIT_ARRAY && w->dealt && w->dealt[place]) str_printf(&s, " r%d[s] = v%d;", place, in->result);
        else if (e->home == EMIT_ARRAY) {
            str_printf(&s, " a%d[", place);
            const struct emit_group *g = &w->k->group.v[w->group];
            int64_t n = 1;
            for (int i = g->rank - 1; i >= 0; i--) {
                str_printf(&s, i == g->rank - 1 ? "i%d" : " + i%d * %lld", i, (long long)n);
                n *= g->extent[i];
            }
            str_printf(&s, "] = v%d;", in->result);
        }
    }
    str_put(w->out, s.s);
    str_putc(w->out, '\n');
    w->out->failed |= s.failed;
    str_release(&s);
}

static void write_nest(struct writer *w, const struct emit_group *g) {
    int indent = w->indent;
    for (int i = 0; i < g->rank; i++) {
        char from[32] = "0", to[48];
        snprintf(to, sizeof to, "%lld", (long long)g->extent[i]);
        if (w->cut[i] && w->lo[i] != TSR_TV_NONE) snprintf(from, sizeof from, "tsr_least(v%d)", w->lo[i]);
        if (w->cut[i] && w->hi[i] != TSR_TV_NONE)
            snprintf(to, sizeof to, "tsr_most(v%d, %lld)", w->hi[i], (long long)g->extent[i]);
        if (i == g->rank - 1 && !g->ordered) put_line(w, "TSR_FREE");
        put_line(w, "for (vm_i64 i%d = %s, e%d = %s; i%d < e%d; i%d++) {", i, from, i, to, i, i, i);
        w->indent++;
    }
    for (int32_t at = g->first; at <= g->last; at++)
        if (w->k->member.v[at] == w->group) write_member(w, member(w, at));
    while (w->indent > indent) w->indent--, put_line(w, "}");
}

/* "v3 <= 0 & v4 >= 64 & ...": the windows that would be tested are whole. */
static void put_whole(struct writer *w, struct str *s, const struct emit_group *g) {
    const char *and = "";
    for (int32_t at = g->first; at <= g->last; at++) {
        const struct tile_inst *in = member(w, at);
        if (w->k->member.v[at] != w->group || !is_block(in->op)) continue;
        for (int i = 0; i < in->rank; i++) {
            tsr_tv lo, hi;
            if (!tested(w, in, i, &lo, &hi)) continue;
            if (lo != TSR_TV_NONE) str_printf(s, "%sv%d <= 0", and, lo), and = " & ";
            if (hi != TSR_TV_NONE) str_printf(s, "%sv%d >= %d", and, hi, in->extent[i]), and = " & ";
        }
    }
}

void write_group(struct writer *w, int32_t group) {
    const struct emit_group *g = &w->k->group.v[group];
    struct str whole;
    w->group = group;
    cut_axes(w, g);
    str_init(&whole, w->k->c);
    put_whole(w, &whole, g);
    w->masked = false;
    if (whole.n == 0) write_nest(w, g);
    else {
        for (int i = 0; i < w->indent; i++) str_put(w->out, "    ");
        str_printf(w->out, "if (%s) {\n", whole.s);
        w->indent++, write_nest(w, g), w->indent--;
        put_line(w, "} else {");
        w->masked = true;
        w->indent++, write_nest(w, g), w->indent--;
        put_line(w, "}");
    }
    w->out->failed |= whole.failed;
    str_release(&whole);
    w->group = -1;
    memset(w->cut, 0, sizeof w->cut);
}

/* One element: an instruction on scalars, or on tiles of one element. */
void write_scalar(struct writer *w, const struct tile_inst *in) {
    w->masked = true;
    memset(w->cut, 0, sizeof w->cut);
    write_member(w, in);
}
