/* build.c: the builders of tile programs.
 *
 * A builder fills in an instruction, asks rule.c for the types of its results and appends it. Equal pure instructions
 * whose value is still visible are one value: a table from the hash of an instruction to its number is kept until
 * tsr_tile_finish. Arithmetic on integer constants is folded, and x + 0, x - 0, x * 1 are x, so index arithmetic
 * written without care stays small.
 *
 * The first failure is recorded in the context; from then on the program is dead: every builder returns TSR_TV_NONE. */
#include "tile/tile.h"

#include <string.h>

#define REFUSE(...) (tile_error(p, __VA_ARGS__), broken(p))
#define BAD(...) (REFUSE(__VA_ARGS__), TSR_TV_NONE)

static void broken(tsr_tile *p) {
    if (p->failed == TSR_OK) p->failed = tsr_error_status(p->c);
    if (p->failed == TSR_OK) p->failed = TSR_EINVAL;
}

static bool usable(tsr_tile *p) {
    if (!p || p->failed != TSR_OK) return false;
    if (p->finished) tile_error(p, "is finished and cannot be changed");
    return !p->finished;
}

/* Bytes of the UTF-8 character at s (no surrogates, shortest form), 0 when there is none. */
static int utf8_length(const unsigned char *s) {
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } form[] = {{0x80, 0x00, 1}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (int n = 1; n <= 4; n++) {
        if ((s[0] & form[n - 1].mask) != form[n - 1].lead) continue;
        uint32_t v = s[0] & (unsigned char)~form[n - 1].mask;
        for (int i = 1; i < n; i++) {
            if ((s[i] & 0xc0) != 0x80) return 0;
            v = v << 6 | (s[i] & 0x3f);
        }
        return v >= form[n - 1].least && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff) ? n : 0;
    }
    return 0;
}

/* A copy of a name that prints and reads back as it is: bytes that are no UTF-8 become '?', its end is cut off when it
 * is too long. */
static char *copy_name(tsr_ctx *c, const char *name) {
    char *copy = mem_strdup(c, name ? name : "");
    unsigned char *s = (unsigned char *)copy, *from = s;
    while (s && *s) {
        int n = utf8_length(s);
        if (n == 0) *s = '?', n = 1;
        if (s + n - from > TILE_MAX_NAME) break;
        s += n;
    }
    if (!copy || !*s) return copy;
    *s = 0;
    char *shorter = mem_strdup(c, copy); /* a string is freed by its length */
    *s = '?';
    mem_strfree(c, copy);
    return shorter;
}

tsr_tile *tsr_tile_new(tsr_ctx *c, const char *name) {
    tsr_tile *p = mem_new(c, tsr_tile);
    if (!p) return NULL;
    p->c = c;
    atomic_init(&p->refs, 1);
    map_init(&p->known);
    p->name = copy_name(c, name);
    struct tile_region body = {.parent = -1, .opener = -1, .open = true};
    if (p->name && vec_push(c, &p->region, body)) return p;
    tsr_tile_free(p);
    return NULL;
}

tsr_tile *tsr_tile_keep(tsr_tile *p) {
    if (p) atomic_fetch_add(&p->refs, 1);
    return p;
}

void tsr_tile_free(tsr_tile *p) {
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1) return;
    tsr_ctx *c = p->c;
    for (size_t i = 0; i < p->arg.n; i++) mem_strfree(c, p->arg.v[i].name);
    vec_release(c, &p->arg);
    vec_release(c, &p->inst);
    vec_release(c, &p->value);
    vec_release(c, &p->operand);
    vec_release(c, &p->region);
    map_release(c, &p->known);
    mem_strfree(c, p->name);
    mem_del(c, p);
}

tsr_status tsr_tile_finish(tsr_tile *p) {
    if (!p) return TSR_ENOMEM;
    if (p->finished || p->failed != TSR_OK) return p->failed;
    if (p->depth > 0) {
        tile_error(p, "%d region(s) are still open at finish; each for, while and if needs its tsr_tile_end", p->depth);
        broken(p);
        return p->failed;
    }
    tsr_status s = tile_check(p);
    if (s != TSR_OK) return p->failed = s;
    map_release(p->c, &p->known);
    map_init(&p->known);
    p->finished = true;
    return TSR_OK;
}

/* ---- appending an instruction ---- */

struct key {
    const tsr_tile *p;
    const struct tile_inst *in;
    const tsr_tv *operand;
};

static uint64_t inst_hash(const struct tile_inst *in, const tsr_tv *operand) {
    uint64_t h = hash_mix(hash_mix((uint64_t)in->op, (uint32_t)in->sub), (uint32_t)in->axis);
    h = hash_mix(hash_mix(h, in->reverse), (uint64_t)in->dtype);
    h = hash_mix(hash_bytes(h, in->extent, sizeof in->extent), (uint64_t)in->rank);
    if (in->op == TILE_CONST) h = hash_mix(h, (uint64_t)in->imm.i);
    return in->n_operand ? hash_bytes(h, operand, (size_t)in->n_operand * sizeof *operand) : h;
}

static bool inst_equal(const void *item, const void *key, void *user) {
    (void)user;
    const struct key *k = key;
    const struct tile_inst *a = &k->p->inst.v[(intptr_t)item - 1], *b = k->in;
    return a->op == b->op && a->sub == b->sub && a->axis == b->axis && a->reverse == b->reverse &&
        a->dtype == b->dtype &&
           a->rank == b->rank && memcmp(a->extent, b->extent, sizeof a->extent) == 0 && a->imm.i == b->imm.i &&
               a->n_operand == b->n_operand &&
           (a->n_operand == 0 || memcmp(tile_operands(k->p, a), k->operand,
               (size_t)a->n_operand * sizeof(tsr_tv)) == 0) &&
           k->p->region.v[a->region].open;
}

static bool visible(const tsr_tile *p, tsr_tv v) {
    return v >= 0 && (size_t)v < p->value.n && p->region.v[p->value.v[v].region].open;
}

/* Operands must be visible where the instruction stands; NONE is judged by the rule. */
static bool operands_visible(const tsr_tile *p, const struct tile_inst *in, const tsr_tv *operand) {
    for (int i = 0; i < in->n_operand; i++) {
        if (operand[i] == TSR_TV_NONE || visible(p, operand[i])) continue;
        tile_error(p,
            "%s: operand %d (value %d) belongs to a region that is closed, or to no value; carry it out with yield",
            tile_op_name[in->op], i,
                   (int)operand[i]);
        return false;
    }
    return true;
}

static bool push_values(tsr_tile *p, const struct tile_type *t, int n, int32_t inst, int32_t region) {
    for (int i = 0; i < n; i++) {
        struct tile_value v = {.type = t[i], .inst = inst, .region = region};
        if (!vec_push(p->c, &p->value, v)) return false;
    }
    return true;
}

/* Appends without asking for rules; the values get region `region`. Returns the number of the instruction, or -1. */
static int32_t append(tsr_tile *p, struct tile_inst *in, const tsr_tv *operand, const struct tile_type *t, int n,
    int32_t region) {
    if (p->inst.n >= TILE_MAX_INSTS) {
        tile_error(p, "has more than %d instructions", TILE_MAX_INSTS);
        return broken(p), -1;
    }
    in->operand = (int32_t)p->operand.n;
    in->result = (int32_t)p->value.n;
    in->n_result = n;
    in->region = p->current;
    in->origin = p->origin;
    for (int i = 0; i < in->n_operand; i++)
        if (!vec_push(p->c, &p->operand, operand[i])) return broken(p), -1;
    int32_t at = (int32_t)p->inst.n;
    if (!vec_push(p->c, &p->inst, *in) || !push_values(p, t, n, at, region)) return broken(p), -1;
    return at;
}

/* The usual builder: at most one result. Returns it; for instructions without result the value is meaningless. */
static tsr_tv emit(tsr_tile *p, struct tile_inst *in, int n, const tsr_tv *operand, int results) {
    struct tile_type t;
    in->n_operand = n;
    if (p->region.v[p->current].yielded)
        return BAD("%s: follows a yield; a yield is the last instruction of its region", tile_op_name[in->op]);
    if (!operands_visible(p, in, operand) || !tile_rule(p, in, operand, &t)) return broken(p), TSR_TV_NONE;
    uint64_t h = tile_op_pure[in->op] ? inst_hash(in, operand) : 0;
    if (tile_op_pure[in->op]) {
        void *item = map_get(&p->known, h, &(struct key){p, in, operand}, inst_equal, NULL);
        if (item) return p->inst.v[(intptr_t)item - 1].result;
    }
    int32_t at = append(p, in, operand, &t, results, p->current);
    if (at < 0) return TSR_TV_NONE;
    if (tile_op_pure[in->op] && !map_put(p->c, &p->known, h, (void *)(intptr_t)(at + 1))) return broken(p), TSR_TV_NONE;
    return p->inst.v[at].result;
}

static bool any_none(int n, const tsr_tv *v) {
    for (int i = 0; i < n; i++)
        if (v[i] == TSR_TV_NONE) return true;
    return false;
}

/* A missing operand where one is required means an earlier builder failed; say so if none did. */
static tsr_tv missing(tsr_tile *p,
    const char *op) { return BAD("%s: an operand is TSR_TV_NONE where a value is required", op); }

static bool copy_shape(tsr_tile *p, struct tile_inst *in, int rank, const int64_t *extent) {
    in->rank = rank;
    if (rank < 0 || rank > TSR_TILE_MAX_RANK)
        return REFUSE("%s: rank %d is outside 0..%d", tile_op_name[in->op], rank, TSR_TILE_MAX_RANK), false;
    for (int i = 0; i < rank; i++) {
        if (extent[i] < 1 || extent[i] > TSR_TILE_MAX_ELEMS)
            return REFUSE("%s: extent %lld of axis %d is outside 1..%d", tile_op_name[in->op], (long long)extent[i], i,
                TSR_TILE_MAX_ELEMS), false;
        in->extent[i] = (int32_t)extent[i];
    }
    return true;
}

/* ---- arguments and sources ---- */

static tsr_tv add_arg(tsr_tile *p, struct tile_inst in, const char *name) {
    if (!usable(p)) return TSR_TV_NONE;
    if (p->current != 0 || p->inst.n != p->arg.n) return BAD("arguments come before every other instruction");
    in.axis = (int32_t)p->arg.n;
    struct tile_arg a = {.name = copy_name(p->c, name)};
    if (!a.name) return broken(p), TSR_TV_NONE;
    a.value = emit(p, &in, 0, NULL, 1);
    if (a.value != TSR_TV_NONE && vec_push(p->c, &p->arg, a)) return a.value;
    mem_strfree(p->c, a.name);
    return broken(p), TSR_TV_NONE;
}

tsr_tv tsr_tile_arg_buf(tsr_tile *p, tsr_dtype t, tsr_tile_access access, const char *name) {
    return add_arg(p, (struct tile_inst){.op = TILE_BUF, .dtype = t, .sub = access}, name);
}

tsr_tv tsr_tile_arg(tsr_tile *p, tsr_dtype t, const char *name) { return add_arg(p, (struct tile_inst){.op = TILE_ARG,
    .dtype = t}, name); }

tsr_tv tsr_tile_pid(tsr_tile *p, int axis) {
    struct tile_inst in = {.op = TILE_PID, .sub = axis};
    return usable(p) ? emit(p, &in, 0, NULL, 1) : TSR_TV_NONE;
}

/* v as an element of integer or bool type t holds it (two's complement, sign extended; unsigned zero extended). */
static int64_t wrap_int(tsr_dtype t, int64_t v) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    if (t == TSR_BOOL) return v != 0;
    if (d->bits == 64) return v;
    uint64_t low = (uint64_t)v & (((uint64_t)1 << d->bits) - 1);
    if (d->kind == TSR_KIND_INT && (low >> (d->bits - 1)) != 0) low |= ~(uint64_t)0 << d->bits;
    return (int64_t)low;
}

/* v rounded to float type t (complex: to its real part's type), one rounding. Every NaN becomes the one quiet NaN. */
static double round_float(tsr_dtype t, double v) {
    if (v != v) return __builtin_nan("");
    switch (t) {
    case TSR_F32: case TSR_C64: return (double)(float)v;
    case TSR_F16: v = (double)tsr_f16_to_f32(tsr_f64_to_f16(v)); break;
    case TSR_BF16: v = (double)tsr_bf16_to_f32(tsr_f64_to_bf16(v)); break;
    case TSR_F8E4M3: v = (double)tsr_f8e4m3_to_f32(tsr_f64_to_f8e4m3(v)); break;
    case TSR_F8E5M2: v = (double)tsr_f8e5m2_to_f32(tsr_f64_to_f8e5m2(v)); break;
    default: break;
    }
    return v != v ? __builtin_nan("") : v;
}

tsr_tv tsr_tile_int(tsr_tile *p, tsr_dtype t, int64_t v) {
    if (!usable(p)) return TSR_TV_NONE;
    if ((unsigned)t >= TSR_DTYPE_COUNT) return BAD("const: %d is no dtype", (int)t);
    tsr_kind k = tsr_dtype_of(t)->kind;
    if (k == TSR_KIND_FLOAT || k == TSR_KIND_COMPLEX) return tsr_tile_float(p, t, (double)v);
    struct tile_inst in = {.op = TILE_CONST, .dtype = t, .imm.i = wrap_int(t, v)};
    return emit(p, &in, 0, NULL, 1);
}

tsr_tv tsr_tile_float(tsr_tile *p, tsr_dtype t, double v) {
    if (!usable(p)) return TSR_TV_NONE;
    if ((unsigned)t >= TSR_DTYPE_COUNT) return BAD("const: %d is no dtype", (int)t);
    tsr_kind k = tsr_dtype_of(t)->kind;
    if (k != TSR_KIND_FLOAT && k != TSR_KIND_COMPLEX) {
        if (!(v >= -0x1p63 && v < 0x1p63) || v != (double)(int64_t)v)
            return BAD("const: %g is no value of %s; use tsr_tile_int", v, tsr_dtype_name(t));
        return tsr_tile_int(p, t, (int64_t)v);
    }
    struct tile_inst in = {.op = TILE_CONST, .dtype = t};
    in.imm.f = round_float(t, v);
    return emit(p, &in, 0, NULL, 1);
}

tsr_tv tsr_tile_iota(tsr_tile *p, tsr_dtype t, int rank, const int64_t *extent, int axis) {
    struct tile_inst in = {.op = TILE_IOTA, .dtype = t, .axis = axis};
    return usable(p) && copy_shape(p, &in, rank, extent) ? emit(p, &in, 0, NULL, 1) : TSR_TV_NONE;
}

/* ---- elementwise ---- */

static const struct tile_inst *int_const(const tsr_tile *p, tsr_tv v) {
    if (!visible(p, v)) return NULL;
    const struct tile_inst *in = &p->inst.v[p->value.v[v].inst];
    return in->op == TILE_CONST && (in->dtype == TSR_I64 || in->dtype == TSR_I32) ? in : NULL;
}

/* fn(x, y) of i64 or i32 constants; false: not folded. Quotients that scalar.h defines specially are left to the
 * machine. */
static bool fold_int(tsr_scalar fn, int64_t x, int64_t y, int64_t *r) {
    uint64_t ux = (uint64_t)x, uy = (uint64_t)y;
    switch (fn) {
    case TSR_S_ADD: *r = (int64_t)(ux + uy); return true;
    case TSR_S_SUB: *r = (int64_t)(ux - uy); return true;
    case TSR_S_MUL: *r = (int64_t)(ux * uy); return true;
    case TSR_S_MAX: *r = x > y ? x : y; return true;
    case TSR_S_MIN: *r = x < y ? x : y; return true;
    case TSR_S_DIV: return y > 0 && (*r = x / y, true);
    case TSR_S_REM: return y > 0 && (*r = x % y, true);
    default: return false;
    }
}

/* A value that equals fn(a, b), or TSR_TV_NONE. Identities only where both are scalars, so that shapes cannot change.
 * */
static tsr_tv fold(tsr_tile *p, tsr_scalar fn, tsr_tv a, tsr_tv b) {
    const struct tile_inst *x = int_const(p, a), *y = int_const(p, b);
    int64_t r;
    if (!visible(p, a) || !visible(p, b)) return TSR_TV_NONE;
    if (x && y && x->dtype == y->dtype && fold_int(fn, x->imm.i, y->imm.i, &r)) return tsr_tile_int(p, x->dtype, r);
    const struct tile_type *ta = tile_type_of(p, a), *tb = tile_type_of(p, b);
    if (ta->rank || tb->rank || ta->buf || tb->buf || ta->dtype != tb->dtype) return TSR_TV_NONE;
    bool zero = y && y->imm.i == 0, one = y && y->imm.i == 1;
    if ((zero && (fn == TSR_S_ADD || fn == TSR_S_SUB)) || (one && (fn == TSR_S_MUL || fn == TSR_S_DIV))) return a;
    if ((x && x->imm.i == 0 && fn == TSR_S_ADD) || (x && x->imm.i == 1 && fn == TSR_S_MUL)) return b;
    if ((zero && fn == TSR_S_MUL) || (x && x->imm.i == 0 && fn == TSR_S_MUL)) return tsr_tile_int(p, ta->dtype, 0);
    return TSR_TV_NONE;
}

tsr_tv tsr_tile_elem(tsr_tile *p, tsr_scalar fn, int n, const tsr_tv *operand) {
    if (!usable(p)) return TSR_TV_NONE;
    if ((unsigned)fn >= TSR_SCALAR_COUNT) return BAD("elem: %d is no elementwise function", (int)fn);
    if (any_none(n, operand)) return missing(p, tile_scalar[fn].name);
    tsr_tv known = n == 2 ? fold(p, fn, operand[0], operand[1]) : TSR_TV_NONE;
    if (known != TSR_TV_NONE) return known;
    struct tile_inst in = {.op = TILE_ELEM, .sub = (int32_t)fn};
    return emit(p, &in, n, operand, 1);
}

tsr_tv tsr_tile_elem1(tsr_tile *p, tsr_scalar fn, tsr_tv a) { return tsr_tile_elem(p, fn, 1, (tsr_tv[]){a}); }
tsr_tv tsr_tile_elem2(tsr_tile *p, tsr_scalar fn, tsr_tv a, tsr_tv b) { return tsr_tile_elem(p, fn, 2,
    (tsr_tv[]){a, b}); }
tsr_tv tsr_tile_elem3(tsr_tile *p, tsr_scalar fn, tsr_tv a, tsr_tv b, tsr_tv c) { return tsr_tile_elem(p, fn, 3,
    (tsr_tv[]){a, b, c}); }

/* One tile operand and the fields of `in`. */
static tsr_tv unary(tsr_tile *p, struct tile_inst in, tsr_tv a) {
    if (!usable(p)) return TSR_TV_NONE;
    if (a == TSR_TV_NONE) return missing(p, tile_op_name[in.op]);
    return emit(p, &in, 1, &a, 1);
}

static bool has_type(const tsr_tile *p, tsr_tv a, tsr_dtype t) {
    return p && visible(p, a) && !tile_type_of(p, a)->buf && tile_type_of(p, a)->dtype == t;
}

tsr_tv tsr_tile_cast(tsr_tile *p, tsr_dtype t, tsr_tv a) {
    return usable(p) && has_type(p, a, t) ? a : unary(p, (struct tile_inst){.op = TILE_CAST, .dtype = t}, a);
}

tsr_tv tsr_tile_bitcast(tsr_tile *p, tsr_dtype t, tsr_tv a) {
    return usable(p) && has_type(p, a, t) ? a : unary(p, (struct tile_inst){.op = TILE_BITCAST, .dtype = t}, a);
}

/* ---- form ---- */

static bool same_shape(const tsr_tile *p, tsr_tv a, const struct tile_inst *in) {
    if (!visible(p, a) || tile_type_of(p, a)->buf || tile_type_of(p, a)->rank != in->rank) return false;
    return memcmp(tile_type_of(p, a)->extent, in->extent, sizeof *in->extent * (size_t)in->rank) == 0;
}

tsr_tv tsr_tile_broadcast(tsr_tile *p, tsr_tv a, int rank, const int64_t *extent) {
    struct tile_inst in = {.op = TILE_BROADCAST};
    if (!usable(p) || !copy_shape(p, &in, rank, extent)) return TSR_TV_NONE;
    return same_shape(p, a, &in) ? a : unary(p, in, a);
}

tsr_tv tsr_tile_reshape(tsr_tile *p, tsr_tv a, int rank, const int64_t *extent) {
    struct tile_inst in = {.op = TILE_RESHAPE};
    if (!usable(p) || !copy_shape(p, &in, rank, extent)) return TSR_TV_NONE;
    return same_shape(p, a, &in) ? a : unary(p, in, a);
}

tsr_tv tsr_tile_transpose(tsr_tile *p, tsr_tv a, const int *perm) {
    struct tile_inst in = {.op = TILE_TRANSPOSE};
    if (!usable(p)) return TSR_TV_NONE;
    if (!visible(p, a)) return missing(p, "transpose");
    in.rank = tile_type_of(p, a)->rank;
    bool moved = false;
    for (int i = 0; i < in.rank; i++) in.extent[i] = perm[i], moved |= perm[i] != i;
    return moved ? unary(p, in, a) : a;
}

/* ---- reductions, scans, products ---- */

tsr_tv tsr_tile_reduce(tsr_tile *p, tsr_reduce op, tsr_tv a, int axis) {
    return unary(p, (struct tile_inst){.op = TILE_REDUCE, .sub = (int32_t)op, .axis = axis}, a);
}

tsr_tv tsr_tile_scan(tsr_tile *p, tsr_reduce op, tsr_tv a, int axis, bool reverse) {
    return unary(p, (struct tile_inst){.op = TILE_SCAN, .sub = (int32_t)op, .axis = axis, .reverse = reverse}, a);
}

tsr_tv tsr_tile_argreduce(tsr_tile *p, tsr_reduce max_or_min, tsr_tv a, tsr_tv index, int axis) {
    struct tile_inst in = {.op = TILE_ARGREDUCE, .sub = (int32_t)max_or_min, .axis = axis};
    tsr_tv operand[2] = {a, index};
    if (!usable(p)) return TSR_TV_NONE;
    return any_none(2, operand) ? missing(p, "argreduce") : emit(p, &in, 2, operand, 1);
}

tsr_tv tsr_tile_dot(tsr_tile *p, tsr_tv a, tsr_tv b, tsr_tv acc) {
    struct tile_inst in = {.op = TILE_DOT};
    tsr_tv operand[3] = {a, b, acc};
    if (!usable(p)) return TSR_TV_NONE;
    return any_none(3, operand) ? missing(p, "dot") : emit(p, &in, 3, operand, 1);
}

/* ---- memory ---- */

static tsr_tv block_access(tsr_tile *p, enum tile_op op, tsr_tv buf, const tsr_tile_block *b, tsr_tv value) {
    struct tile_inst in = {.op = op};
    tsr_tv operand[TILE_BLK_AXES + 3 * TSR_TILE_MAX_RANK];
    if (!usable(p) || !copy_shape(p, &in, b->rank, b->extent)) return TSR_TV_NONE;
    operand[TILE_BLK_BUF] = buf;
    operand[TILE_BLK_VALUE] = value;
    operand[TILE_BLK_BASE] = b->base;
    size_t axes = (size_t)b->rank * sizeof(tsr_tv);
    memcpy(operand + TILE_BLK_AXES, b->stride, axes);
    memcpy(operand + TILE_BLK_AXES + b->rank, b->lo, axes);
    memcpy(operand + TILE_BLK_AXES + 2 * b->rank, b->hi, axes);
    if (buf == TSR_TV_NONE || b->base == TSR_TV_NONE || any_none(b->rank, b->stride))
        return missing(p, tile_op_name[op]);
    if (op == TILE_STORE && value == TSR_TV_NONE) return missing(p, "store");
    return emit(p, &in, TILE_BLK_AXES + 3 * b->rank, operand, op == TILE_LOAD);
}

tsr_tv tsr_tile_load(tsr_tile *p, tsr_tv buf, const tsr_tile_block *b, tsr_tv other) { return block_access(p, TILE_LOAD,
    buf, b, other); }
void tsr_tile_store(tsr_tile *p, tsr_tv buf, const tsr_tile_block *b, tsr_tv value) { block_access(p, TILE_STORE, buf,
    b, value); }

tsr_tv tsr_tile_gather(tsr_tile *p, tsr_tv buf, tsr_tv offset, tsr_tv mask, tsr_tv other) {
    struct tile_inst in = {.op = TILE_GATHER};
    tsr_tv operand[TILE_GS_COUNT] = {buf, offset, mask, other};
    if (!usable(p)) return TSR_TV_NONE;
    return any_none(2, operand) ? missing(p, "gather") : emit(p, &in, TILE_GS_COUNT, operand, 1);
}

void tsr_tile_scatter(tsr_tile *p, tsr_tv buf, tsr_tv offset, tsr_tv mask, tsr_tv value) {
    struct tile_inst in = {.op = TILE_SCATTER};
    tsr_tv operand[TILE_GS_COUNT] = {buf, offset, mask, value};
    if (!usable(p)) return;
    if (any_none(2, operand) || value == TSR_TV_NONE) missing(p, "scatter");
    else emit(p, &in, TILE_GS_COUNT, operand, 0);
}

/* ---- regions ---- */

static int32_t open_region(tsr_tile *p, int32_t opener) {
    struct tile_region r = {.parent = p->current, .opener = opener, .open = true};
    if (!vec_push(p->c, &p->region, r)) return broken(p), -1;
    return p->current = (int32_t)p->region.n - 1;
}

/* Opens a for, while or if; fills first[0 .. results) with its values inside. */
static bool begin(tsr_tile *p, struct tile_inst *in, int n, const tsr_tv *operand, int results, tsr_tv *first) {
    struct tile_type t[1 + TILE_MAX_RESULTS];
    in->n_operand = n;
    if (p->depth >= TILE_MAX_DEPTH)
        return REFUSE("%s: regions are nested deeper than %d", tile_op_name[in->op], TILE_MAX_DEPTH), false;
    if (p->region.v[p->current].yielded) return REFUSE("%s: follows a yield", tile_op_name[in->op]), false;
    if (!operands_visible(p, in, operand) || !tile_rule(p, in, operand, t)) return broken(p), false;
    int32_t at = append(p, in, operand, t, results, (int32_t)p->region.n);
    if (at < 0 || open_region(p, at) < 0) return false;
    p->depth++;
    for (int i = 0; i < results; i++) first[i] = p->inst.v[at].result + i;
    return true;
}

tsr_tv tsr_tile_for(tsr_tile *p, tsr_tv lo, tsr_tv hi, tsr_tv step, int n, const tsr_tv *init, tsr_tv *carry) {
    struct tile_inst in = {.op = TILE_FOR};
    tsr_tv operand[3 + TILE_MAX_RESULTS] = {lo, hi, step}, value[1 + TILE_MAX_RESULTS];
    for (int i = 0; i < n; i++) carry[i] = TSR_TV_NONE;
    if (!usable(p)) return TSR_TV_NONE;
    if (n < 0 || n > TILE_MAX_RESULTS) return BAD("for: carries %d values; at most %d", n, TILE_MAX_RESULTS);
    for (int i = 0; i < n; i++) operand[3 + i] = init[i];
    if (any_none(3 + n, operand)) return missing(p, "for");
    if (!begin(p, &in, 3 + n, operand, 1 + n, value)) return TSR_TV_NONE;
    for (int i = 0; i < n; i++) carry[i] = value[1 + i];
    return value[0];
}

void tsr_tile_while(tsr_tile *p, int n, const tsr_tv *init, tsr_tv *carry) {
    struct tile_inst in = {.op = TILE_WHILE};
    tsr_tv value[TILE_MAX_RESULTS];
    for (int i = 0; i < n; i++) carry[i] = TSR_TV_NONE;
    if (!usable(p)) return;
    if (n < 0 || n > TILE_MAX_RESULTS) REFUSE("while: carries %d values; at most %d", n, TILE_MAX_RESULTS);
    else if (any_none(n, init)) missing(p, "while");
    else if (begin(p, &in, n, init, n, value))
        for (int i = 0; i < n; i++) carry[i] = value[i];
}

void tsr_tile_if(tsr_tile *p, tsr_tv cond) {
    struct tile_inst in = {.op = TILE_IF};
    if (!usable(p)) return;
    if (cond == TSR_TV_NONE) missing(p, "if");
    else begin(p, &in, 1, &cond, 0, NULL);
}

/* The yield that ended the region before an ELSE. */
static const struct tile_inst *yield_before(const tsr_tile *p, int32_t at) { return &p->inst.v[at - 1]; }

/* What the innermost region was opened by: its IF, FOR or WHILE; *first: the yield of the then arm, when in the else
 * arm. */
static const struct tile_inst *innermost(const tsr_tile *p, const struct tile_inst **first) {
    const struct tile_inst *opener = &p->inst.v[p->region.v[p->current].opener];
    *first = NULL;
    if (opener->op != TILE_ELSE) return opener;
    int32_t at = p->region.v[p->current].opener;
    *first = yield_before(p, at);
    return &p->inst.v[p->inst.v[at].match];
}

void tsr_tile_yield(tsr_tile *p, int n, const tsr_tv *v) {
    struct tile_inst in = {.op = TILE_YIELD, .n_operand = n};
    const struct tile_inst *first;
    if (!usable(p)) return;
    if (p->depth == 0) return REFUSE("yield: stands outside every region");
    if (p->region.v[p->current].yielded) return REFUSE("yield: the region has yielded already");
    if (n < 0 || n > 1 + TILE_MAX_RESULTS) return REFUSE("yield: %d values; at most %d", n, TILE_MAX_RESULTS);
    if (any_none(n, v)) return (void)missing(p, "yield");
    const struct tile_inst *opener = innermost(p, &first);
    if (!operands_visible(p, &in, v) || !tile_rule(p, &in, v, NULL) || !tile_check_yield(p, opener, first, n, v))
        return broken(p);
    if (append(p, &in, v, NULL, 0, p->current) >= 0) p->region.v[p->current].yielded = true;
}

/* A region without yield yields nothing. Then it is closed. */
static bool close_region(tsr_tile *p) {
    if (!p->region.v[p->current].yielded) tsr_tile_yield(p, 0, NULL);
    if (p->failed != TSR_OK) return false;
    p->region.v[p->current].open = false;
    p->current = p->region.v[p->current].parent;
    return true;
}

void tsr_tile_else(tsr_tile *p) {
    if (!usable(p)) return;
    int32_t opener = p->region.v[p->current].opener;
    if (p->depth == 0 || p->inst.v[opener].op != TILE_IF)
        return REFUSE("else: stands outside an if, or the if has its else already");
    if (!close_region(p)) return;
    struct tile_inst in = {.op = TILE_ELSE, .match = opener}; /* points back at the IF until the END is there */
    int32_t at = append(p, &in, NULL, NULL, 0, p->current);
    if (at < 0) return;
    p->inst.v[opener].match = at;
    open_region(p, at);
}

/* Types of the results of a region that ends now: FOR, WHILE: of its carries; IF: of what the arm yielded. */
static int result_types(const tsr_tile *p, int32_t opener, struct tile_type *t) {
    const struct tile_inst *in = &p->inst.v[opener];
    int n = 0;
    if (in->op == TILE_IF) {
        const struct tile_inst *y = yield_before(p, (int32_t)p->inst.n);
        for (; n < y->n_operand; n++) t[n] = *tile_type_of(p, tile_operands(p, y)[n]);
        return n;
    }
    int skip = in->op == TILE_FOR;
    for (; n < in->n_result - skip; n++) t[n] = *tile_type_of(p, in->result + skip + n);
    return n;
}

void tsr_tile_end(tsr_tile *p, int n, tsr_tv *result) {
    struct tile_type t[1 + TILE_MAX_RESULTS];
    for (int i = 0; i < n; i++) result[i] = TSR_TV_NONE;
    if (!usable(p)) return;
    if (p->depth == 0) return REFUSE("end: no region is open");
    if (p->inst.v[p->region.v[p->current].opener].op == TILE_IF) tsr_tile_else(p);
    if (p->failed != TSR_OK) return;
    int32_t last = p->region.v[p->current].opener, opener = p->inst.v[last].op == TILE_ELSE ? p->inst.v[last].match
        : last;
    if (!close_region(p)) return;
    int have = result_types(p, opener, t);
    if (have != n)
        return REFUSE("end: the %s gives %d results, %d were asked for", tile_op_name[p->inst.v[opener].op], have,
            n);
    struct tile_inst in = {.op = TILE_END, .match = opener};
    int32_t at = append(p, &in, NULL, t, have, p->current);
    if (at < 0) return;
    p->inst.v[last].match = at;
    p->depth--;
    for (int i = 0; i < n; i++) result[i] = p->inst.v[at].result + i;
}

/* ---- what a value is ---- */

tsr_dtype tsr_tile_dtype(const tsr_tile *p, tsr_tv v) { return p && v >= 0 && (size_t)v < p->value.n
    ? tile_type_of(p, v)->dtype : TSR_F32; }

int tsr_tile_shape(const tsr_tile *p, tsr_tv v, int64_t *extent) {
    if (!p || v < 0 || (size_t)v >= p->value.n) return 0;
    const struct tile_type *t = tile_type_of(p, v);
    for (int i = 0; extent && i < t->rank; i++) extent[i] = t->extent[i];
    return t->rank;
}
