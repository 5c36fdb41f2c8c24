/* rule.c: the dtype and shape rule of every tile op, once.
 *
 * A rule looks at an instruction and the types of its operands and says the types of its results, or records an error
 * that names the program, the op, what was found and what to do. Builders ask it before they add an instruction; the
 * checker asks it again about each instruction of a finished program and compares. Rules of control flow look at the
 * values only; which region an instruction stands in is check.c's matter.
 *
 * Shapes in elementwise functions: operands of rank 0 are repeated; all others have one rank, and on each axis extents
 * agree or are 1. There is no alignment of different ranks: a missing axis is made with reshape. */
#include "tile/tile.h"

#include <stdio.h>
#include <string.h>

const char *const tile_op_name[TILE_OP_COUNT] = {
#define X(op, text, pure) text,
    TILE_OP_LIST(X)
#undef X
};

const bool tile_op_pure[TILE_OP_COUNT] = {
#define X(op, text, pure) pure,
    TILE_OP_LIST(X)
#undef X
};

const char *const tile_reduce_name[TSR_REDUCE_COUNT] = {"sum", "prod", "max", "min", "and", "or", "xor"};
const tsr_scalar tile_reduce_fn[TSR_REDUCE_COUNT] = {TSR_S_ADD, TSR_S_MUL, TSR_S_MAX, TSR_S_MIN, TSR_S_AND, TSR_S_OR,
    TSR_S_XOR};

const struct tile_scalar_info tile_scalar[TSR_SCALAR_COUNT] = {
#define X(NAME, text, arity, result, domain, formula) {text, domain, arity, TILE_RESULT_##result},
    TSR_SCALAR_LIST(X)
#undef X
};

static bool four_bit(tsr_dtype t) { return tsr_dtype_of(t)->bits == 4; }
static tsr_kind kind_of(tsr_dtype t) { return tsr_dtype_of(t)->kind; }
static bool valid_dtype(tsr_dtype t) { return (unsigned)t < TSR_DTYPE_COUNT; }

bool tile_scalar_admits(tsr_scalar fn, tsr_dtype t) {
    static const char letter[] = {[TSR_KIND_FLOAT] = 'f', [TSR_KIND_INT] = 'i', [TSR_KIND_UINT] = 'u',
                                  [TSR_KIND_BOOL] = 'b', [TSR_KIND_COMPLEX] = 'c'};
    if (kind_of(t) == TSR_KIND_BLOCK || four_bit(t)) return false;
    if (fn == TSR_S_COMPLEX) return t == TSR_F32 || t == TSR_F64; /* the only ones with a complex dtype */
    return strchr(tile_scalar[fn].domain, letter[kind_of(t)]) != NULL;
}

tsr_dtype tile_scalar_result(tsr_scalar fn, tsr_dtype t) {
    switch (tile_scalar[fn].result) {
    case TILE_RESULT_BOOL: return TSR_BOOL;
    case TILE_RESULT_REAL: return t == TSR_C64 ? TSR_F32 : t == TSR_C128 ? TSR_F64 : t;
    case TILE_RESULT_CPLX: return t == TSR_F32 ? TSR_C64 : TSR_C128;
    case TILE_RESULT_SAME: break;
    }
    return t;
}

tsr_status tile_error(const tsr_tile *p, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(p->c, TSR_EINVAL, "tile program '%s': %s", p->name, text);
}

const char *tile_type_text(const struct tile_type *t, char buf[128]) {
    int n = snprintf(buf, 128, "%s%s", t->buf ? "buffer of " : "", tsr_dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        n += snprintf(buf + n, 128 - (size_t)n, "%s%d", i ? ", " : "[", (int)t->extent[i]);
    if (t->rank) snprintf(buf + n, 128 - (size_t)n, "]");
    return buf;
}

int64_t tile_count(const struct tile_type *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->extent[i];
    return n;
}

bool tile_type_same(const struct tile_type *a, const struct tile_type *b) {
    return a->dtype == b->dtype && a->buf == b->buf && a->rank == b->rank &&
           memcmp(a->extent, b->extent, (size_t)a->rank * sizeof *a->extent) == 0;
}

/* ---- pieces of rules ---- */

typedef bool rule_fn(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r);

static const char *inst_name(const struct tile_inst *in) {
    return in->op == TILE_ELEM && (unsigned)in->sub < TSR_SCALAR_COUNT ? tile_scalar[in->sub].name
        : tile_op_name[in->op];
}

#define FAIL(...) (tile_error(p, __VA_ARGS__), false)

/* Operand v exists and is a scalar or tile (or a buffer when buf). */
static bool is_value(const tsr_tile *p, const struct tile_inst *in, tsr_tv v, bool buf, const char *what) {
    if (v < 0 || (size_t)v >= p->value.n)
        return FAIL("%s: %s is no value of this program (%d)", inst_name(in), what, (int)v);
    if (tile_type_of(p, v)->buf == buf) return true;
    if (buf) return FAIL("%s: %s must be a buffer argument (tsr_tile_arg_buf)", inst_name(in), what);
    return FAIL("%s: %s is a buffer; load from it first", inst_name(in), what);
}

static bool is_scalar(const tsr_tile *p, const struct tile_inst *in, tsr_tv v, tsr_dtype t, const char *what) {
    char text[128];
    if (!is_value(p, in, v, false, what)) return false;
    const struct tile_type *a = tile_type_of(p, v);
    if (a->rank == 0 && a->dtype == t) return true;
    return FAIL("%s: %s must be a scalar of %s, found %s", inst_name(in), what, tsr_dtype_name(t),
        tile_type_text(a, text));
}

static bool good_shape(const tsr_tile *p, const struct tile_inst *in, int rank, const int32_t *extent) {
    if (rank < 0 || rank > TSR_TILE_MAX_RANK)
        return FAIL("%s: rank %d is outside 0..%d", inst_name(in), rank, TSR_TILE_MAX_RANK);
    int64_t n = 1;
    for (int i = 0; i < rank; i++) {
        if (extent[i] < 1)
            return FAIL("%s: extent %d of axis %d; tile extents are constants of at least 1", inst_name(in),
                (int)extent[i], i);
        n *= extent[i];
        if (n > TSR_TILE_MAX_ELEMS)
            return FAIL("%s: a tile has at most %d elements; make the block smaller and the grid larger", inst_name(in),
                TSR_TILE_MAX_ELEMS);
    }
    return true;
}

static void set_type(struct tile_type *r, tsr_dtype t, int rank, const int32_t *extent) {
    *r = (struct tile_type){.dtype = t, .rank = rank};
    for (int i = 0; i < rank; i++) r->extent[i] = extent[i];
}

static bool good_axis(const tsr_tile *p, const struct tile_inst *in, const struct tile_type *a) {
    char text[128];
    if (in->axis >= 0 && in->axis < a->rank) return true;
    return FAIL("%s: axis %d does not exist in %s", inst_name(in), (int)in->axis, tile_type_text(a, text));
}

/* Whether a may be repeated to the shape (rank, extent): scalar, or the same rank with equal extents or 1. */
static bool repeats(const struct tile_type *a, int rank, const int32_t *extent) {
    if (a->rank == 0) return true;
    if (a->rank != rank) return false;
    for (int i = 0; i < rank; i++)
        if (a->extent[i] != extent[i] && a->extent[i] != 1) return false;
    return true;
}

static bool storable(tsr_dtype t) { return kind_of(t) != TSR_KIND_BLOCK; }

/* ---- one rule an op ---- */

static bool rule_buf(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    (void)o;
    if (!valid_dtype(in->dtype)) return FAIL("buf: %d is no dtype", (int)in->dtype);
    if (in->sub < TSR_TILE_IN || in->sub > TSR_TILE_INOUT)
        return FAIL("buf: access must be in, out or inout, found %d", (int)in->sub);
    if (!storable(in->dtype) && in->sub != TSR_TILE_IN)
        return FAIL("buf: block-quantised buffers (%s) can only be read; use TSR_TILE_IN", tsr_dtype_name(in->dtype));
    *r = (struct tile_type){.dtype = in->dtype, .buf = true};
    return true;
}

static bool rule_arg(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    (void)o;
    if (!valid_dtype(in->dtype)) return FAIL("%s: %d is no dtype", inst_name(in), (int)in->dtype);
    if (!storable(in->dtype))
        return FAIL("%s: a scalar cannot be of the block type %s", inst_name(in), tsr_dtype_name(in->dtype));
    set_type(r, in->dtype, 0, NULL);
    return true;
}

static bool rule_pid(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    (void)o;
    if (in->sub < 0 || in->sub > 2) return FAIL("pid: grid axis %d; the grid has axes 0, 1 and 2", (int)in->sub);
    set_type(r, TSR_I64, 0, NULL);
    return true;
}

static bool rule_iota(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    (void)o;
    if (!valid_dtype(in->dtype) || !good_shape(p, in, in->rank, in->extent))
        return valid_dtype(in->dtype) ? false : FAIL("iota: no dtype");
    if (!tile_scalar_admits(TSR_S_ADD, in->dtype) || in->dtype == TSR_BOOL || kind_of(in->dtype) == TSR_KIND_COMPLEX)
        return FAIL("iota: counts in integers and real floats, not in %s; cast it", tsr_dtype_name(in->dtype));
    set_type(r, in->dtype, in->rank, in->extent);
    return good_axis(p, in, r);
}

/* Operand types of fn in general; select's first and clamp's are the exceptions that the dtype test knows. */
static bool rule_elem(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    char ta[128], tb[128];
    if ((unsigned)in->sub >= TSR_SCALAR_COUNT) return FAIL("elem: %d is no elementwise function", (int)in->sub);
    const struct tile_scalar_info *f = &tile_scalar[in->sub];
    if (in->n_operand != f->arity)
        return FAIL("%s: takes %d operands, found %d", f->name, f->arity, (int)in->n_operand);
    for (int i = 0; i < f->arity; i++)
        if (!is_value(p, in, o[i], false, "operand")) return false;
    bool select = in->sub == TSR_S_SELECT;
    const struct tile_type *last = tile_type_of(p, o[f->arity - 1]), *shape = last;
    for (int i = 0; i < f->arity; i++) {
        const struct tile_type *a = tile_type_of(p, o[i]);
        tsr_dtype want = select && i == 0 ? TSR_BOOL : last->dtype;
        if (a->dtype != want)
            return FAIL("%s: operand %d is %s where %s was expected (the last operand is %s); cast one of them",
                f->name, i,
                        tile_type_text(a, ta), tsr_dtype_name(want), tile_type_text(last, tb));
        if (a->rank > shape->rank) shape = a;
    }
    if (!tile_scalar_admits((tsr_scalar)in->sub, last->dtype) && !(select && four_bit(last->dtype)))
        return FAIL("%s: is not defined for %s (admits kinds \"%s\"); cast the operands", f->name,
            tsr_dtype_name(last->dtype), f->domain);
    set_type(r, tile_scalar_result((tsr_scalar)in->sub, last->dtype), shape->rank, shape->extent);
    for (int i = 0; i < f->arity; i++) {
        const struct tile_type *a = tile_type_of(p, o[i]);
        for (int k = 0; k < a->rank && a->rank == r->rank; k++)
            if (r->extent[k] == 1) r->extent[k] = a->extent[k];
    }
    for (int i = 0; i < f->arity; i++) {
        const struct tile_type *a = tile_type_of(p, o[i]);
        if (!repeats(a, r->rank, r->extent))
            return FAIL("%s: operand %d is %s, which does not fit %s; extents must agree or be 1, ranks agree or be 0",
                f->name, i,
                        tile_type_text(a, ta), tile_type_text(r, tb));
    }
    return good_shape(p, in, r->rank, r->extent);
}

static bool rule_cast(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    if (!is_value(p, in, o[0], false, "operand")) return false;
    const struct tile_type *a = tile_type_of(p, o[0]);
    if (!valid_dtype(in->dtype) || !storable(in->dtype))
        return FAIL("cast: the target must be a dtype that is not a block type");
    set_type(r, in->dtype, a->rank, a->extent);
    return true;
}

static bool rule_bitcast(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    if (!rule_cast(p, in, o, r)) return false;
    tsr_dtype from = tile_type_of(p, o[0])->dtype;
    if (tsr_dtype_of(from)->bits == tsr_dtype_of(in->dtype)->bits && (from == TSR_BOOL) == (in->dtype == TSR_BOOL))
        return true;
    return FAIL("bitcast: %s has %d bits and %s has %d; the widths must be equal, and bool has no bit form (cast it)",
        tsr_dtype_name(from),
                tsr_dtype_of(from)->bits, tsr_dtype_name(in->dtype), tsr_dtype_of(in->dtype)->bits);
}

static bool rule_broadcast(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    char ta[128], tr[128];
    if (!is_value(p, in, o[0], false, "operand") || !good_shape(p, in, in->rank, in->extent)) return false;
    const struct tile_type *a = tile_type_of(p, o[0]);
    set_type(r, a->dtype, in->rank, in->extent);
    if (repeats(a, in->rank, in->extent)) return true;
    return FAIL("broadcast: %s cannot be repeated to %s; it must be a scalar, or have its rank and extents equal or 1",
                tile_type_text(a, ta), tile_type_text(r, tr));
}

static bool rule_reshape(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    char ta[128], tr[128];
    if (!is_value(p, in, o[0], false, "operand") || !good_shape(p, in, in->rank, in->extent)) return false;
    const struct tile_type *a = tile_type_of(p, o[0]);
    set_type(r, a->dtype, in->rank, in->extent);
    if (tile_count(a) == tile_count(r)) return true;
    return FAIL("reshape: %s has %lld elements, %s has %lld", tile_type_text(a, ta), (long long)tile_count(a),
        tile_type_text(r, tr),
                (long long)tile_count(r));
}

static bool rule_transpose(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    char text[128];
    if (!is_value(p, in, o[0], false, "operand")) return false;
    const struct tile_type *a = tile_type_of(p, o[0]);
    unsigned seen = 0;
    set_type(r, a->dtype, a->rank, a->extent);
    if (in->rank != a->rank) return FAIL("transpose: %d axes are given for %s", in->rank, tile_type_text(a, text));
    for (int i = 0; i < a->rank; i++) {
        int32_t from = in->extent[i];
        if (from < 0 || from >= a->rank || (seen >> from & 1))
            return FAIL("transpose: axis %d of the permutation is %d; each of 0..%d must occur once", i, (int)from,
                a->rank - 1);
        seen |= 1u << from;
        r->extent[i] = a->extent[from];
    }
    return true;
}

static bool rule_reduce(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    if ((unsigned)in->sub >= TSR_REDUCE_COUNT) return FAIL("%s: %d is no reduction", inst_name(in), (int)in->sub);
    if (!is_value(p, in, o[0], false, "operand")) return false;
    const struct tile_type *a = tile_type_of(p, o[0]);
    if (!good_axis(p, in, a)) return false;
    if (!tile_scalar_admits(tile_reduce_fn[in->sub], a->dtype))
        return FAIL("%s %s: is not defined for %s", inst_name(in), tile_reduce_name[in->sub], tsr_dtype_name(a->dtype));
    set_type(r, a->dtype, a->rank, a->extent);
    if (in->op == TILE_REDUCE) r->extent[in->axis] = 1;
    return true;
}

static bool rule_argreduce(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    char ta[128], ti[128];
    if (in->sub != TSR_REDUCE_MAX && in->sub != TSR_REDUCE_MIN) return FAIL("argreduce: takes max or min");
    if (!is_value(p, in, o[0], false, "operand") || !is_value(p, in, o[1], false, "index")) return false;
    const struct tile_type *a = tile_type_of(p, o[0]), *x = tile_type_of(p, o[1]);
    if (!good_axis(p, in, a)) return false;
    if (!tile_scalar_admits(TSR_S_LT, a->dtype)) return FAIL("argreduce: %s has no order", tsr_dtype_name(a->dtype));
    if ((x->dtype != TSR_I32 && x->dtype != TSR_I64) || x->rank != a->rank || memcmp(x->extent, a->extent,
        sizeof *x->extent * (size_t)x->rank) != 0)
        return FAIL("argreduce: index must be an i32 or i64 tile shaped like %s, found %s", tile_type_text(a, ta),
            tile_type_text(x, ti));
    set_type(r, x->dtype, a->rank, a->extent);
    r->extent[in->axis] = 1;
    return true;
}

/* Whether operands of dtype t may be multiplied and added in acc. */
static bool dot_admits(tsr_dtype t, tsr_dtype acc) {
    tsr_kind k = kind_of(t), ka = kind_of(acc);
    bool integer = k == TSR_KIND_INT || k == TSR_KIND_UINT, wide = tsr_dtype_of(t)->bits <= tsr_dtype_of(acc)->bits;
    if (ka == TSR_KIND_FLOAT) return k == TSR_KIND_FLOAT && wide && (acc == TSR_F32 || acc == TSR_F64);
    if (ka == TSR_KIND_COMPLEX) return t == acc;
    return (ka == TSR_KIND_INT || ka == TSR_KIND_UINT) && !four_bit(acc) && integer && wide;
}

static bool rule_dot(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    char ta[128], tb[128], tc[128];
    for (int i = 0; i < 3; i++)
        if (!is_value(p, in, o[i], false, "operand")) return false;
    const struct tile_type *a = tile_type_of(p, o[0]), *b = tile_type_of(p, o[1]), *c = tile_type_of(p, o[2]);
    if (a->rank != 2 || b->rank != 2 || c->rank != 2 || a->extent[1] != b->extent[0] || c->extent[0] != a->extent[0] ||
        c->extent[1] != b->extent[1])
        return FAIL("dot: takes (M, K), (K, N) and an accumulator (M, N), found %s, %s and %s", tile_type_text(a, ta),
            tile_type_text(b, tb),
                    tile_type_text(c, tc));
    if (!dot_admits(a->dtype, c->dtype) || !dot_admits(b->dtype, c->dtype))
        return FAIL("dot: %s x %s cannot be accumulated in %s; floats accumulate in f32 or f64, "
                    "integers in an integer at least as wide, "
                    "complex in the same dtype", tsr_dtype_name(a->dtype), tsr_dtype_name(b->dtype),
                        tsr_dtype_name(c->dtype));
    *r = *c;
    return true;
}

/* Buffer, base, strides and bounds of a block. */
static bool good_block(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, int access) {
    if (!is_value(p, in, o[TILE_BLK_BUF], true, "the first operand") || !good_shape(p, in, in->rank, in->extent))
        return false;
    const struct tile_inst *buf = &p->inst.v[p->value.v[o[TILE_BLK_BUF]].inst];
    if (!(buf->sub & access))
        return FAIL("%s: buffer '%s' is declared %s; declare it inout or %s", inst_name(in), p->arg.v[buf->axis].name,
                    buf->sub == TSR_TILE_IN ? "in" : "out", access == TSR_TILE_IN ? "in" : "out");
    if (!is_scalar(p, in, o[TILE_BLK_BASE], TSR_I64, "base")) return false;
    const tsr_tv *stride = o + TILE_BLK_AXES, *lo = stride + in->rank, *hi = lo + in->rank;
    for (int i = 0; i < in->rank; i++) {
        if (!is_scalar(p, in, stride[i], TSR_I64, "stride")) return false;
        if (lo[i] != TSR_TV_NONE && !is_scalar(p, in, lo[i], TSR_I64, "lo")) return false;
        if (hi[i] != TSR_TV_NONE && !is_scalar(p, in, hi[i], TSR_I64, "hi")) return false;
    }
    if (storable(buf->dtype)) return true;
    const struct tile_inst *one = in->rank ? &p->inst.v[p->value.v[stride[in->rank - 1]].inst] : NULL;
    if (one && one->op == TILE_CONST && one->imm.i == 1) return true;
    return FAIL("%s: the innermost stride of a block of the block-quantised buffer '%s' (%s) must be the constant 1",
        inst_name(in),
                p->arg.v[buf->axis].name, tsr_dtype_name(buf->dtype));
}

static tsr_dtype loaded_dtype(tsr_dtype stored) { return storable(stored) ? stored : TSR_F32; }

static bool rule_load(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    if (!good_block(p, in, o, TSR_TILE_IN)) return false;
    set_type(r, loaded_dtype(tile_type_of(p, o[TILE_BLK_BUF])->dtype), in->rank, in->extent);
    return o[TILE_BLK_VALUE] == TSR_TV_NONE || is_scalar(p, in, o[TILE_BLK_VALUE], r->dtype, "other");
}

static bool rule_store(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    char text[128];
    (void)r;
    if (!good_block(p, in, o, TSR_TILE_OUT) || !is_value(p, in, o[TILE_BLK_VALUE], false, "value")) return false;
    const struct tile_type *v = tile_type_of(p, o[TILE_BLK_VALUE]);
    struct tile_type want;
    set_type(&want, tile_type_of(p, o[TILE_BLK_BUF])->dtype, in->rank, in->extent);
    if (v->dtype != want.dtype)
        return FAIL("store: the value is %s and the buffer holds %s; cast the value", tile_type_text(v, text),
            tsr_dtype_name(want.dtype));
    if (repeats(v, in->rank, in->extent)) return true;
    char tw[128];
    return FAIL("store: the value is %s and the block is %s; extents must agree or be 1", tile_type_text(v, text),
        tile_type_text(&want, tw));
}

static bool rule_gather(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    char text[128], tv[128];
    bool gather = in->op == TILE_GATHER;
    int access = gather ? TSR_TILE_IN : TSR_TILE_OUT;
    if (!is_value(p, in, o[TILE_GS_BUF], true, "the first operand") || !is_value(p, in, o[TILE_GS_OFFSET], false,
        "offset")) return false;
    const struct tile_inst *buf = &p->inst.v[p->value.v[o[TILE_GS_BUF]].inst];
    const struct tile_type *x = tile_type_of(p, o[TILE_GS_OFFSET]);
    if (!(buf->sub & access))
        return FAIL("%s: buffer '%s' must be declared inout or %s", inst_name(in), p->arg.v[buf->axis].name, gather
            ? "in" : "out");
    if (x->dtype != TSR_I64)
        return FAIL("%s: offset must be of i64, found %s; cast it", inst_name(in), tile_type_text(x, text));
    struct tile_type all;
    set_type(&all, loaded_dtype(buf->dtype), x->rank, x->extent);
    if (gather) *r = all;
    if (o[TILE_GS_MASK] != TSR_TV_NONE) {
        if (!is_value(p, in, o[TILE_GS_MASK], false, "mask")) return false;
        const struct tile_type *m = tile_type_of(p, o[TILE_GS_MASK]);
        if (m->dtype != TSR_BOOL || !repeats(m, x->rank, x->extent))
            return FAIL("%s: mask must be bool and fit offset %s, found %s", inst_name(in), tile_type_text(x, text),
                tile_type_text(m, tv));
    }
    if (gather) return o[TILE_GS_VALUE] == TSR_TV_NONE || is_scalar(p, in, o[TILE_GS_VALUE], all.dtype, "other");
    if (!is_value(p, in, o[TILE_GS_VALUE], false, "value")) return false;
    const struct tile_type *v = tile_type_of(p, o[TILE_GS_VALUE]);
    if (v->dtype == all.dtype && repeats(v, x->rank, x->extent)) return true;
    return FAIL("scatter: the value is %s where %s was expected", tile_type_text(v, text), tile_type_text(&all, tv));
}

static bool rule_loop(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    static const char *const bound[3] = {"lo", "hi", "step"};
    int first = in->op == TILE_FOR ? 3 : 0, iv = in->op == TILE_FOR;
    if (in->n_operand - first > TILE_MAX_RESULTS)
        return FAIL("%s: carries %d values; at most %d", inst_name(in), in->n_operand - first, TILE_MAX_RESULTS);
    for (int i = 0; i < first; i++)
        if (!is_scalar(p, in, o[i], TSR_I64, bound[i])) return false;
    if (iv) {
        const struct tile_inst *step = &p->inst.v[p->value.v[o[2]].inst];
        if (step->op == TILE_CONST && step->imm.i <= 0)
            return FAIL("for: step is %lld; it must be positive", (long long)step->imm.i);
        set_type(r, TSR_I64, 0, NULL);
    }
    for (int i = first; i < in->n_operand; i++) {
        if (!is_value(p, in, o[i], false, "a carried value")) return false;
        r[iv + i - first] = *tile_type_of(p, o[i]);
    }
    return true;
}

static bool rule_if(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    (void)r;
    return is_scalar(p, in, o[0], TSR_BOOL, "the condition");
}

static bool rule_yield(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    (void)r;
    for (int i = 0; i < in->n_operand; i++)
        if (!is_value(p, in, o[i], false, "a yielded value")) return false;
    return true;
}

/* ELSE and END have no operands; END's result types come from the opener and the yield, which check.c compares. */
static bool rule_mark(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *o, struct tile_type *r) {
    (void)p, (void)in, (void)o, (void)r;
    return true;
}

static const struct {
    rule_fn *rule;
    int operands; /* -1: the rule counts them */
} rules[TILE_OP_COUNT] = {
    [TILE_BUF] = {rule_buf, 0},
    [TILE_ARG] = {rule_arg, 0},
    [TILE_PID] = {rule_pid, 0},
    [TILE_CONST] = {rule_arg, 0},
    [TILE_IOTA] = {rule_iota, 0},
    [TILE_ELEM] = {rule_elem, -1},
    [TILE_CAST] = {rule_cast, 1},
    [TILE_BITCAST] = {rule_bitcast, 1},
    [TILE_BROADCAST] = {rule_broadcast, 1},
    [TILE_RESHAPE] = {rule_reshape, 1},
    [TILE_TRANSPOSE] = {rule_transpose, 1},
    [TILE_REDUCE] = {rule_reduce, 1},
    [TILE_ARGREDUCE] = {rule_argreduce, 2},
    [TILE_SCAN] = {rule_reduce, 1},
    [TILE_DOT] = {rule_dot, 3},
    [TILE_LOAD] = {rule_load, -1},
    [TILE_STORE] = {rule_store, -1},
    [TILE_GATHER] = {rule_gather, TILE_GS_COUNT},
    [TILE_SCATTER] = {rule_gather, TILE_GS_COUNT},
    [TILE_FOR] = {rule_loop, -1},
    [TILE_WHILE] = {rule_loop, -1},
    [TILE_IF] = {rule_if, 1},
    [TILE_ELSE] = {rule_mark, 0},
    [TILE_YIELD] = {rule_yield, -1},
    [TILE_END] = {rule_mark, 0},
};

bool tile_rule(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *operand, struct tile_type *result) {
    if (rules[in->op].operands >= 0 && rules[in->op].operands != in->n_operand)
        return FAIL("%s: takes %d operands, found %d", inst_name(in), rules[in->op].operands, (int)in->n_operand);
    return rules[in->op].rule(p, in, operand, result);
}
