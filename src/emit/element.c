/* element.c: one element: types, constants, functions, operands, addresses. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "emit/text.h"

/* X(dtype, type of an element, suffix of vmath) */
#define TYPES(X)                                                                                          \
    X(F64, "vm_f64", "f64") X(F32, "vm_f32", "f32") X(F16, "vm_u16", "f16") X(BF16, "vm_u16", "bf16")      \
    X(F8E4M3, "vm_u8", "f8e4m3") X(F8E5M2, "vm_u8", "f8e5m2") X(I64, "vm_i64", "i64")                      \
    X(I32, "vm_i32", "i32") X(I16, "vm_i16", "i16") X(I8, "vm_i8", "i8") X(I4, "vm_i8", "i4")              \
    X(U64, "vm_u64", "u64") X(U32, "vm_u32", "u32") X(U16, "vm_u16", "u16") X(U8, "vm_u8", "u8")           \
    X(U4, "vm_u8", "u4") X(BOOL, "vm_bool", "bool") X(C64, "vm_c64", "c64") X(C128, "vm_c128", "c128")

const char *emit_type(tsr_dtype t) {
#define X(name, type, suffix) [TSR_##name] = type,
    static const char *const type[TSR_DTYPE_COUNT] = {TYPES(X)};
#undef X
    return type[t];
}

const char *emit_suffix(tsr_dtype t) {
#define X(name, type, suffix) [TSR_##name] = suffix,
    static const char *const suffix[TSR_DTYPE_COUNT] = {TYPES(X)};
#undef X
    return suffix[t];
}

void put_line(struct writer *w, const char *fmt, ...) {
    char room[160];
    va_list ap;
    for (int i = 0; i < w->indent; i++) str_put(w->out, "    ");
    va_start(ap, fmt);
    int n = vsnprintf(room, sizeof room, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof room) TSR_BUG("a line of emitted text is longer than its room");
    str_put(w->out, room);
    str_putc(w->out, '\n');
}

void put_text(struct writer *w, struct str *text) {
    for (int i = 0; i < w->indent; i++) str_put(w->out, "    ");
    if (text->n) str_put(w->out, text->s);
    str_putc(w->out, '\n');
    w->out->failed |= text->failed;
    str_release(text);
}

static bool small_float(tsr_dtype t) {
    return tsr_dtype_of(t)->kind == TSR_KIND_FLOAT && t != TSR_F32 && t != TSR_F64;
}

/* Small floats widen to f32 and narrow once; moving one does not. */
void put_call(struct str *s, tsr_scalar fn, tsr_dtype t, int n, const char *const *x) {
    const struct tile_scalar_info *f = &tile_scalar[fn];
    if (fn == TSR_S_SELECT) {
        str_printf(s, "(%s ? %s : %s)", x[0], x[1], x[2]);
        return;
    }
    bool small = small_float(t) && fn != TSR_S_NEXTAFTER;
    bool narrow = small && f->result != TILE_RESULT_BOOL;
    if (narrow) str_printf(s, "vm_f32_to_%s(", emit_suffix(t));
    str_printf(s, "vm_%s_%s(", f->name, small ? "f32" : emit_suffix(t));
    for (int i = 0; i < n; i++) {
        if (i) str_put(s, ", ");
        if (small) str_printf(s, "vm_%s_to_f32(%s)", emit_suffix(t), x[i]);
        else str_put(s, x[i]);
    }
    str_put(s, narrow ? "))" : ")");
}

/* ---- constants ---- */

static void put_f64(struct str *s, double v, bool single) {
    char room[40];
    if (isnan(v) || isinf(v)) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        if (single) str_printf(s, "TSR_U2F(0x%08xu)", isnan(v) ? 0x7fc00000u : v > 0 ? 0x7f800000u : 0xff800000u);
        else str_printf(s, "TSR_U2D(0x%016" PRIx64 "u)", bits);
        return;
    }
    snprintf(room, sizeof room, single ? "%.9g" : "%.17g", v);
    str_printf(s, "%s%s%s", room, strpbrk(room, ".e") ? "" : ".0", single ? "f" : "");
}

void put_const(struct str *s, const struct tile_inst *in) {
    tsr_dtype t = in->dtype;
    switch (tsr_dtype_of(t)->kind) {
    case TSR_KIND_FLOAT:
        if (t == TSR_F64 || t == TSR_F32) put_f64(s, in->imm.f, t == TSR_F32);
        else {
            str_printf(s, "vm_f32_to_%s(", emit_suffix(t));
            put_f64(s, in->imm.f, true);
            str_putc(s, ')');
        }
        break;
    case TSR_KIND_COMPLEX:
        str_printf(s, "vm_complex_%s(", t == TSR_C64 ? "f32" : "f64");
        put_f64(s, in->imm.f, t == TSR_C64);
        str_put(s, t == TSR_C64 ? ", 0.0f)" : ", 0.0)");
        break;
    case TSR_KIND_UINT: str_printf(s, "%" PRIu64 "u", (uint64_t)in->imm.i); break;
    default:
        if (in->imm.i == INT64_MIN) str_put(s, "(-9223372036854775807 - 1)");
        else str_printf(s, "%" PRId64, in->imm.i);
    }
}

/* ---- operands ---- */

/* The loop's index on axis i of a shape; "0" where the extent is 1. */
static void put_index(struct str *s, int rank, const int32_t *extent, int axis) {
    int at = 0;
    (void)rank;
    if (extent[axis] == 1) {
        str_putc(s, '0');
        return;
    }
    for (int i = 0; i < axis; i++) at += extent[i] != 1;
    str_printf(s, "i%d", at);
}

/* The shape whose axes the loop of `in` runs over. */
static struct tile_type loop_type(const tsr_tile *p, const struct tile_inst *in) {
    struct tile_type t = {.rank = in->rank};
    if (in->op == TILE_STORE) memcpy(t.extent, in->extent, sizeof t.extent);
    else if (in->op == TILE_SCATTER) t = *tile_type_of(p, tile_operands(p, in)[TILE_GS_OFFSET]);
    else t = *tile_type_of(p, in->result);
    return t;
}

tsr_tv emit_place(const struct emit_plan *k, tsr_tv v) {
    v = emit_dense(k, v);
    return k->value.v[v].same != TSR_TV_NONE ? k->value.v[v].same : v;
}

const char *array_name(struct writer *w, tsr_tv v, char room[24]) {
    snprintf(room, 24, "a%d", emit_place(w->k, v));
    return room;
}

/* Element of tile v that belongs to the loop's indices, in the window that v was loaded from: "w7[i0 * v2 + i1]". Axes
 * longer than 1 correspond in order. */
void put_window(struct writer *w, struct str *s, const struct tile_inst *in, tsr_tv v) {
    const struct tile_type *t = tile_type_of(w->p, v);
    struct tile_type loop = loop_type(w->p, in);
    tsr_tv r = emit_place(w->k, v);
    const struct tile_inst *load = &w->p->inst.v[w->p->value.v[r].inst];
    const tsr_tv *stride = tile_operands(w->p, load) + TILE_BLK_AXES;
    bool any = false;
    int last = emit_last_axis(load->rank, load->extent), axis = 0;
    str_printf(s, "w%d[", r);
    for (int i = 0; i < t->rank; i++) {
        if (t->extent[i] == 1) continue;
        while (load->extent[axis] == 1) axis++;
        if (any) str_put(s, " + ");
        put_index(s, loop.rank, loop.extent, i);
        if (axis != last) str_printf(s, " * v%d", stride[axis]);
        any = true, axis++;
    }
    str_put(s, any ? "]" : "0]");
}

/* Dense element of tile v that belongs to the loop's indices. */
static void put_element(struct writer *w, struct str *s, const struct tile_inst *in, tsr_tv v) {
    const struct tile_type *t = tile_type_of(w->p, v);
    struct tile_type loop = loop_type(w->p, in);
    int64_t stride[TSR_TILE_MAX_RANK], n = 1;
    bool any = false;
    for (int i = t->rank - 1; i >= 0; i--) stride[i] = n, n *= t->extent[i];
    str_printf(s, "a%d[", emit_place(w->k, v));
    for (int i = 0; i < loop.rank; i++) {
        int own = in->op == TILE_TRANSPOSE ? in->extent[i] : i;
        if (loop.extent[i] == 1 || t->extent[own] == 1) continue;
        if (any) str_put(s, " + ");
        put_index(s, loop.rank, loop.extent, i);
        if (stride[own] != 1) str_printf(s, " * %lld", (long long)stride[own]);
        any = true;
    }
    if (!any) str_putc(s, '0');
    str_putc(s, ']');
}

void put_operand(struct writer *w, struct str *s, const struct tile_inst *in, tsr_tv v) {
    const struct emit_plan *k = w->k;
    tsr_tv r = emit_dense(k, v);
    const struct emit_value *e = &k->value.v[r];
    if (e->home == EMIT_SPLAT) str_printf(s, "v%d", emit_root(k, r));
    else if (e->home == EMIT_SCALAR || (e->group >= 0 && e->group == w->group)) str_printf(s, "v%d", r);
    else if (e->home == EMIT_INDEX) {
        const struct tile_inst *iota = &w->p->inst.v[w->p->value.v[r].inst];
        str_printf(s, "vm_cast_i64_%s(", emit_suffix(tile_type_of(w->p, r)->dtype));
        put_index(s, iota->rank, iota->extent, iota->axis);
        str_putc(s, ')');
    } else if (e->memory) put_window(w, s, in, v);
    else if (w->dealt && w->dealt[emit_place(k, v)]) str_printf(s, "r%d[s]", emit_place(k, v));
    else put_element(w, s, in, v);
}
