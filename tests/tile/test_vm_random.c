/* The VM against a naive interpreter on random tile programs: random dtypes, shapes, windows (clipped, strided
 * backwards, transposed, repeated), nested loops, branches and whiles. Every byte of every buffer must agree, with each
 * instruction set level, with 1, 2 and 7 threads, with and without address checks; and each program survives print and
 * read. */
#include "harness.h"

#include "vm_naive.inc"

enum { BUFS = 12, ELEMS = 4096, OUT_SHARE = 6000, INSTANCES = 3, MAX_VALUES = 400 };

/* Inputs of these dtypes come first, then an output for each of the first OUTS. */
static const tsr_dtype in_dtype[BUFS] = {TSR_F32, TSR_F64, TSR_I32, TSR_F16, TSR_U8, TSR_BOOL, TSR_I64, TSR_BF16,
    TSR_C64, TSR_I4, TSR_F8E4M3, TSR_Q8_0};
enum { OUTS = 11 };

struct gen {
    tsr_tile *p;
    tsr_tv in[BUFS], out[OUTS], num[6]; /* num: i64 arguments */
    int64_t number[6], used[OUTS];      /* their values; elements of an instance's share of an output that are taken */
    tsr_tv value[MAX_VALUES];
    int n, depth, budget;
    int64_t shape[3];
};

static int64_t pick(int64_t n) { return test_int(0, n - 1); }
static tsr_tv k64(struct gen *g, int64_t v) { return tsr_tile_int(g->p, TSR_I64, v); }
static tsr_dtype dt(struct gen *g, tsr_tv v) { return tsr_tile_dtype(g->p, v); }
static int rank(struct gen *g, tsr_tv v) { return tsr_tile_shape(g->p, v, NULL); }
static void keep(struct gen *g, tsr_tv v) {
    if (v != TSR_TV_NONE && g->n < MAX_VALUES) g->value[g->n++] = v;
}

/* An i64 scalar of value v: a constant, or an argument plus a constant, so that not all is folded. */
static tsr_tv number(struct gen *g, int64_t v) {
    int a = (int)pick(12);
    return a < 6 ? tsr_tile_elem2(g->p, TSR_S_ADD, g->num[a], k64(g, v - g->number[a])) : k64(g, v);
}

static bool same_shape(struct gen *g, tsr_tv a, tsr_tv b) {
    int64_t x[6], y[6];
    int r = tsr_tile_shape(g->p, a, x);
    return r == tsr_tile_shape(g->p, b, y) && memcmp(x, y, sizeof *x * (size_t)r) == 0;
}

/* A random value; want: its dtype or -1; like: its shape or NONE. */
static tsr_tv find(struct gen *g, int want, tsr_tv like) {
    for (int tries = 0; tries < 40 && g->n; tries++) {
        tsr_tv v = g->value[pick(g->n)];
        if ((want < 0 || (int)dt(g, v) == want) && (like == TSR_TV_NONE || same_shape(g, v, like))) return v;
    }
    return TSR_TV_NONE;
}

static int64_t elems(int r, const int64_t *e) {
    int64_t n = 1;
    for (int i = 0; i < r; i++) n *= e[i];
    return n;
}

static int random_shape(struct gen *g, int64_t *e) {
    int r = (int)test_int(1, 4);
    for (int i = 0; i < r; i++) e[i] = pick(5) ? g->shape[pick(3)] : 1;
    if (r == 4) e[0] = 2;
    while (elems(r, e) > OUT_SHARE / 2) r--;
    return r;
}

/* A random window of a buffer of `all` elements that stays inside. */
static tsr_tile_block window(struct gen *g, int64_t all, int r, const int64_t *e, bool quantised) {
    tsr_tile_block b = {.rank = r};
    int64_t lo = 0, hi = 0, dense = 1;
    for (int i = r - 1; i >= 0; i--) {
        int64_t s = pick(3) ? dense : test_int(-9, 9);
        if (quantised) s = i == r - 1 ? 1 : 32 * test_int(0, 2);
        if ((e[i] - 1) * (s < 0 ? -s : s) > all / 8) s = 0;
        b.extent[i] = e[i];
        b.stride[i] = quantised && i == r - 1 ? k64(g, 1) : number(g, s);
        *(s < 0 ? &lo : &hi) += (e[i] - 1) * s;
        dense *= e[i];
        b.lo[i] = pick(4) ? TSR_TV_NONE : number(g, test_int(-2, e[i]));
        b.hi[i] = pick(3) ? TSR_TV_NONE : number(g, test_int(-1, e[i] + 2));
    }
    int64_t room = all - 64 - (hi - lo), base = -lo + pick(room > 1 ? room : 1);
    tsr_tv pid = tsr_tile_elem2(g->p, TSR_S_MUL, tsr_tile_pid(g->p, (int)pick(2)), k64(g, quantised ? 32 : 3));
    b.base = tsr_tile_elem2(g->p, TSR_S_ADD, pid, number(g, quantised ? base / 32 * 32 : base));
    return b;
}

static void make_load(struct gen *g) {
    int which = (int)pick(BUFS);
    int64_t e[6];
    int r = random_shape(g, e);
    tsr_tile_block b = window(g, ELEMS, r, e, in_dtype[which] == TSR_Q8_0);
    tsr_tv other = pick(2) ? tsr_tile_int(g->p, in_dtype[which] == TSR_Q8_0 ? TSR_F32 : in_dtype[which], 1)
        : TSR_TV_NONE;
    keep(g, tsr_tile_load(g->p, g->in[which], &b, other));
}

static int out_of(tsr_dtype t) {
    for (int i = 0; i < OUTS; i++)
        if (in_dtype[i] == t) return i;
    return -1;
}

/* The next free part of this instance's share of an output. */
static tsr_tile_block out_window(struct gen *g, int which, int r, const int64_t *e) {
    tsr_tile_block b = {.rank = r};
    int64_t n = 1, order[6];
    for (int i = 0; i < r; i++) order[i] = i;
    for (int i = r - 1; i > 0; i--) {
        int64_t j = pick(i + 1), t = order[i];
        order[i] = order[j], order[j] = t;
    }
    if (pick(2)) for (int i = 0; i < r; i++) order[i] = i;
    for (int i = r - 1; i >= 0; i--) {
        int x = (int)order[i];
        b.extent[x] = e[x], b.stride[x] = number(g, n), n *= e[x];
        b.lo[x] = pick(4) ? TSR_TV_NONE : number(g, test_int(-2, e[x]));
        b.hi[x] = pick(4) ? TSR_TV_NONE : number(g, test_int(-1, e[x] + 2));
    }
    if (g->used[which] + n > OUT_SHARE) g->used[which] = 0;
    tsr_tv pid = tsr_tile_elem2(g->p, TSR_S_ADD, tsr_tile_pid(g->p, 0), tsr_tile_elem2(g->p, TSR_S_MUL,
        tsr_tile_pid(g->p, 1), k64(g, INSTANCES)));
    tsr_tv share = tsr_tile_elem2(g->p, TSR_S_MUL, pid, k64(g, OUT_SHARE));
    b.base = tsr_tile_elem2(g->p, TSR_S_ADD, share, number(g, g->used[which]));
    g->used[which] += n + (n & 1); /* 4-bit neighbours may share a byte within an instance, not between two */
    return b;
}

static void store_value(struct gen *g, tsr_tv v) {
    int64_t e[6];
    int r = tsr_tile_shape(g->p, v, e), which = out_of(dt(g, v));
    if (which < 0) return;
    for (int i = 0; i < r; i++) e[i] = e[i] == 1 && pick(3) == 0 ? 3 : e[i]; /* repeated */
    if (elems(r, e) > OUT_SHARE) return;
    tsr_tile_block b = out_window(g, which, r, e);
    tsr_tile_store(g->p, g->out[which], &b, v);
    if (pick(3) == 0) keep(g, tsr_tile_load(g->p, g->out[which], &b, TSR_TV_NONE));
}

static void make_elem(struct gen *g) {
    tsr_tv a = find(g, -1, TSR_TV_NONE), o[3];
    tsr_scalar fn = (tsr_scalar)pick(TSR_SCALAR_COUNT);
    if (a == TSR_TV_NONE || !naive_admits(fn, dt(g, a))) return;
    for (int i = 0; i < tile_scalar[fn].arity; i++) {
        o[i] = find(g, fn == TSR_S_SELECT && i == 0 ? (int)TSR_BOOL : (int)dt(g, a), pick(2) ? a : TSR_TV_NONE);
        if (o[i] == TSR_TV_NONE) return;
        int64_t x[6], y[6];
        int ra = tsr_tile_shape(g->p, a, x), rb = tsr_tile_shape(g->p, o[i], y);
        if (rb && ra != rb) return;
        for (int k = 0; k < rb; k++)
            if (y[k] != x[k] && y[k] != 1) return;
    }
    keep(g, tsr_tile_elem(g->p, fn, tile_scalar[fn].arity, o));
}

static void make_form(struct gen *g) {
    tsr_tv a = find(g, -1, TSR_TV_NONE);
    if (a == TSR_TV_NONE) return;
    int64_t e[6], count = 1;
    int r = tsr_tile_shape(g->p, a, e), perm[6];
    for (int i = 0; i < r; i++) count *= e[i], perm[i] = i;
    switch (pick(4)) {
    case 0:
        for (int i = 0; i < r; i++)
            if (e[i] == 1) e[i] = g->shape[pick(3)];
        if (r == 0) r = random_shape(g, e);
        if (elems(r, e) <= OUT_SHARE) keep(g, tsr_tile_broadcast(g->p, a, r, e));
        break;
    case 1:
        if (r == 0) keep(g, tsr_tile_reshape(g->p, a, 2, (int64_t[]){1, 1}));
        else if (count == 1) keep(g, tsr_tile_reshape(g->p, a, 0, NULL));
        else if (pick(2)) keep(g, tsr_tile_reshape(g->p, a, 1, &count));
        else keep(g, tsr_tile_reshape(g->p, a, 2, (int64_t[]){e[0], count / e[0]}));
        break;
    case 2:
        for (int i = r - 1; i > 0; i--) {
            int j = (int)pick(i + 1), t = perm[i];
            perm[i] = perm[j], perm[j] = t;
        }
        keep(g, tsr_tile_transpose(g->p, a, perm));
        break;
    default: {
        static const tsr_dtype same[][2] = {{TSR_F32, TSR_I32}, {TSR_I32, TSR_F32}, {TSR_F16, TSR_BF16},
            {TSR_I64, TSR_F64}, {TSR_U8, TSR_F8E4M3}, {TSR_I4, TSR_U4}};
        for (size_t i = 0; i < sizeof same / sizeof *same; i++)
            if (dt(g, a) == same[i][0] && pick(2)) keep(g, tsr_tile_bitcast(g->p, same[i][1], a));
    }
    }
}

static void make_cast(struct gen *g) {
    tsr_tv a = find(g, -1, TSR_TV_NONE);
    if (a != TSR_TV_NONE) keep(g, tsr_tile_cast(g->p, in_dtype[pick(OUTS)], a));
}

static void make_along(struct gen *g) {
    tsr_tv a = find(g, -1, TSR_TV_NONE);
    if (a == TSR_TV_NONE || rank(g, a) == 0) return;
    int axis = (int)pick(rank(g, a));
    int64_t e[6];
    tsr_tile_shape(g->p, a, e);
    tsr_reduce op = (tsr_reduce)pick(TSR_REDUCE_COUNT);
    if (pick(3) == 0 && tile_scalar_admits(TSR_S_LT, dt(g, a))) {
        tsr_tv index = pick(2) ? find(g, TSR_I32, a) : tsr_tile_iota(g->p, pick(2) ? TSR_I64 : TSR_I32, rank(g, a), e,
            axis);
        if (index != TSR_TV_NONE)
            keep(g, tsr_tile_argreduce(g->p, pick(2) ? TSR_REDUCE_MAX : TSR_REDUCE_MIN, a, index, axis));
        return;
    }
    if (!naive_admits(tile_reduce_fn[op], dt(g, a))) return;
    keep(g, pick(3) ? tsr_tile_reduce(g->p, op, a, axis) : tsr_tile_scan(g->p, op, a, axis, pick(2)));
}

static void make_dot(struct gen *g) {
    static const tsr_dtype kinds[][2] = {{TSR_F32, TSR_F32}, {TSR_F16, TSR_F32}, {TSR_BF16, TSR_F32},
        {TSR_F64, TSR_F64}, {TSR_U8, TSR_I32},
                                         {TSR_I32, TSR_I32}, {TSR_I64, TSR_I64}, {TSR_C64, TSR_C64}, {TSR_I4, TSR_I32},
                                             {TSR_F32, TSR_F64}};
    int which = (int)pick(sizeof kinds / sizeof *kinds), src = out_of(kinds[which][0]);
    int64_t m = test_int(1, 19), n = pick(3) ? test_int(1, 20) : test_int(30, 70), k = pick(8) ? test_int(1, 24)
        : test_int(250, 530);
    if (m * k > 5000 || k * n > 5000) k = 7;
    bool flip[2] = {pick(2), pick(2)};
    tsr_tv x[2];
    for (int i = 0; i < 2; i++) {
        int64_t e[2] = {i ? k : m, i ? n : k}, f[2] = {e[1], e[0]};
        tsr_tile_block b = window(g, ELEMS, 2, flip[i] ? f : e, false);
        if (pick(2)) { /* a plain matrix, perhaps turned by its strides */
            b = (tsr_tile_block){.rank = 2, .extent = {e[0], e[1]}, .base = number(g, pick(100)), .lo = {TSR_TV_NONE,
                TSR_TV_NONE},
                                 .hi = {number(g, e[0] - pick(2)), number(g, e[1] - pick(2))}};
            if (e[0] * e[1] > ELEMS - 200) return;
            b.stride[flip[i]] = number(g, flip[i] ? e[0] : e[1]), b.stride[!flip[i]] = number(g, 1);
            flip[i] = false;
        }
        x[i] = tsr_tile_load(g->p, g->in[src], &b, TSR_TV_NONE);
        if (flip[i]) x[i] = tsr_tile_transpose(g->p, x[i], (int[]){1, 0});
    }
    tsr_tv acc = tsr_tile_broadcast(g->p, tsr_tile_int(g->p, kinds[which][1], 3), 2, (int64_t[]){m, n});
    keep(g, tsr_tile_dot(g->p, x[0], x[1], acc));
}

static void make_gather(struct gen *g) {
    int64_t e[6];
    int r = random_shape(g, e), which = (int)pick(BUFS), out = (int)pick(OUTS);
    tsr_tv at = tsr_tile_iota(g->p, TSR_I64, r, e, (int)pick(r));
    for (int i = 0; i < r; i++)
        at = tsr_tile_elem2(g->p, TSR_S_ADD, tsr_tile_elem2(g->p, TSR_S_MUL, at, number(g, test_int(1, 5))),
            tsr_tile_iota(g->p, TSR_I64, r, e, i));
    at = tsr_tile_elem2(g->p, TSR_S_MIN, at, k64(g, ELEMS - 1));
    tsr_tv mask = pick(2) ? find(g, TSR_BOOL, at) : TSR_TV_NONE;
    tsr_dtype t = in_dtype[which] == TSR_Q8_0 ? TSR_F32 : in_dtype[which];
    tsr_tv v = tsr_tile_gather(g->p, g->in[which], at, mask, pick(2) ? tsr_tile_int(g->p, t, 1) : TSR_TV_NONE);
    keep(g, v);
    if (pick(2)) { /* scatter to the places of a dense window */
        int64_t n = 1;
        for (int i = 0; i < r; i++) n *= e[i];
        tsr_tv line = tsr_tile_reshape(g->p, tsr_tile_iota(g->p, TSR_I64, 1, &n, 0), r, e), x = find(g, in_dtype[out],
            at);
        if (x == TSR_TV_NONE) return;
        tsr_tile_block b = out_window(g, out, r, e);
        tsr_tile_scatter(g->p, g->out[out], tsr_tile_elem2(g->p, TSR_S_ADD, line, b.base), mask, x);
    }
}

static void body(struct gen *g, int ops);

/* Values made inside a region are forgotten at its end. */
static void make_for(struct gen *g) {
    int n = (int)pick(4), mark = g->n;
    tsr_tv init[4], carry[4], next[4];
    for (int i = 0; i < n; i++)
        if ((init[i] = find(g, -1, TSR_TV_NONE)) == TSR_TV_NONE) return;
    g->depth++;
    tsr_tv iv = tsr_tile_for(g->p, number(g, pick(3)), number(g, test_int(0, 7)), number(g, test_int(1, 3)), n, init,
        carry);
    keep(g, iv);
    for (int i = 0; i < n; i++) keep(g, carry[i]);
    body(g, (int)pick(8));
    for (int i = 0; i < n; i++) {
        next[i] = find(g, (int)dt(g, init[i]), init[i]);
        if (next[i] == TSR_TV_NONE)
            next[i] = carry[pick(n)], next[i] = same_shape(g, next[i], carry[i]) && dt(g, next[i]) == dt(g, carry[i])
                ? next[i] : carry[i];
    }
    tsr_tile_yield(g->p, n, next);
    tsr_tile_end(g->p, n, next);
    g->depth--;
    g->n = mark;
    for (int i = 0; i < n; i++) keep(g, next[i]);
}

static void make_while(struct gen *g) {
    tsr_tv init[3], carry[3], next[4];
    int n = 1 + (int)pick(3), mark = g->n;
    init[0] = number(g, 1 + pick(4));
    for (int i = 1; i < n; i++)
        if ((init[i] = find(g, -1, TSR_TV_NONE)) == TSR_TV_NONE) return;
    g->depth++;
    tsr_tile_while(g->p, n, init, carry);
    for (int i = 0; i < n; i++) keep(g, carry[i]);
    body(g, (int)pick(6));
    next[1] = tsr_tile_elem2(g->p, TSR_S_SUB, carry[0], k64(g, 1));
    next[0] = tsr_tile_elem2(g->p, TSR_S_GT, next[1], k64(g, 0));
    for (int i = 1; i < n; i++)
        if ((next[i + 1] = find(g, (int)dt(g, init[i]), init[i])) == TSR_TV_NONE) next[i + 1] = carry[i];
    tsr_tile_yield(g->p, n + 1, next);
    tsr_tile_end(g->p, n, next);
    g->depth--;
    g->n = mark;
    for (int i = 0; i < n; i++) keep(g, next[i]);
}

static void make_if(struct gen *g) {
    tsr_tv cond = tsr_tile_elem2(g->p, TSR_S_LT, tsr_tile_pid(g->p, 0), number(g, pick(3))), like[3], v[3];
    int n = (int)pick(4), mark = g->n;
    for (int i = 0; i < n; i++)
        if ((like[i] = find(g, -1, TSR_TV_NONE)) == TSR_TV_NONE) return;
    g->depth++;
    tsr_tile_if(g->p, cond);
    for (int arm = 0; arm < 2; arm++) {
        body(g, (int)pick(6));
        for (int i = 0; i < n; i++) {
            v[i] = find(g, (int)dt(g, like[i]), like[i]);
            if (v[i] == TSR_TV_NONE) v[i] = like[i];
        }
        tsr_tile_yield(g->p, n, v);
        g->n = mark;
        if (arm == 0) tsr_tile_else(g->p);
    }
    tsr_tile_end(g->p, n, v);
    g->depth--;
    for (int i = 0; i < n; i++) keep(g, v[i]);
}

static void make_store(struct gen *g) {
    tsr_tv v = find(g, -1, TSR_TV_NONE);
    if (v != TSR_TV_NONE) store_value(g, v);
}

static void body(struct gen *g, int ops) {
    static void (*const make[])(struct gen *) = {make_load, make_load, make_elem, make_elem, make_elem, make_elem,
        make_form, make_form, make_cast,
                                                 make_along, make_along, make_dot, make_gather, make_store, make_for,
                                                     make_while, make_if};
    for (int i = 0; i < ops && g->budget-- > 0; i++) {
        int m = (int)pick(sizeof make / sizeof *make);
        if (make[m] == make_elem) for (int k = 0; k < 8; k++) make_elem(g);
        else if (g->depth < 3 || (make[m] != make_for && make[m] != make_while && make[m] != make_if)) make[m](g);
    }
}

static tsr_tile *random_program(tsr_ctx *c, struct gen *g) {
    char name[16];
    *g = (struct gen){.p = tsr_tile_new(c, "random"), .budget = 60};
    for (int i = 0; i < 3; i++) g->shape[i] = test_int(1, i == 0 ? 40 : 9);
    for (int i = 0; i < BUFS; i++)
        snprintf(name, sizeof name, "in%d", i), g->in[i] = tsr_tile_arg_buf(g->p, in_dtype[i], TSR_TILE_IN, name);
    for (int i = 0; i < OUTS; i++)
        snprintf(name, sizeof name, "out%d", i), g->out[i] = tsr_tile_arg_buf(g->p, in_dtype[i], TSR_TILE_INOUT, name);
    for (int i = 0; i < 6; i++) g->number[i] = test_int(-5, 40), g->num[i] = tsr_tile_arg(g->p, TSR_I64, "");
    for (int i = 0; i < 3; i++) make_load(g);
    body(g, 30);
    for (int i = 0; i < 8; i++) make_store(g);
    return tsr_tile_finish(g->p) == TSR_OK ? g->p : (tsr_tile_free(g->p), NULL);
}

/* ---- buffers ---- */

struct store {
    unsigned char *in[BUFS], *out[OUTS];
    size_t in_bytes[BUFS], out_bytes[OUTS];
};

static void fill(tsr_dtype t, unsigned char *buf, int64_t n) {
    if (kind_of(t) == TSR_KIND_BLOCK) {
        float x[32];
        for (int64_t b = 0; b < n / 32; b++) {
            for (int i = 0; i < 32; i++) x[i] = (float)test_normal();
            tsr_dtype_of(t)->quant(1, x, buf + b * tsr_dtype_of(t)->bytes);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        struct el e = {test_normal() * 4, test_normal(), test_int(-100, 100)};
        if (pick(50) == 0) e.f = pick(2) ? (double)INFINITY : -0.0;
        if (pick(60) == 0) e.f = (double)NAN;
        if (t == TSR_BOOL) e.i = e.i > 0;
        e.f = is_float(t) ? round_to(t, e.f) : 0;
        set(t, buf, i, e);
    }
}

static void open_store(struct store *s) {
    for (int i = 0; i < BUFS; i++) {
        if (!tsr_dtype_bytes(in_dtype[i], ELEMS, &s->in_bytes[i])) return;
        s->in[i] = calloc(1, s->in_bytes[i]);
        fill(in_dtype[i], s->in[i], ELEMS);
    }
    for (int i = 0; i < OUTS; i++) {
        tsr_dtype_bytes(in_dtype[i], OUT_SHARE * INSTANCES * 2, &s->out_bytes[i]);
        s->out[i] = malloc(s->out_bytes[i]);
    }
}

static void poison(struct store *s) {
    for (int i = 0; i < OUTS; i++) memset(s->out[i], in_dtype[i] == TSR_BOOL ? 1 : 0x41, s->out_bytes[i]);
}

static void close_store(struct store *s) {
    for (int i = 0; i < BUFS; i++) free(s->in[i]);
    for (int i = 0; i < OUTS; i++) free(s->out[i]);
}

static void arguments(const struct gen *g, const struct store *s, union vm_arg *a) {
    for (int i = 0; i < BUFS; i++) a[i].buf.p = s->in[i], a[i].buf.bytes = s->in_bytes[i];
    for (int i = 0; i < OUTS; i++) a[BUFS + i].buf.p = s->out[i], a[BUFS + i].buf.bytes = s->out_bytes[i];
    for (int i = 0; i < 6; i++) a[BUFS + OUTS + i].i64 = g->number[i];
}

/* Equal bytes, or both NaN of the same dtype. */
static bool agree(const tsr_tile *p, const struct store *got, const struct store *want, const char *how) {
    for (int i = 0; i < OUTS; i++) {
        if (memcmp(got->out[i], want->out[i], got->out_bytes[i]) == 0) continue;
        tsr_dtype t = in_dtype[i];
        for (int64_t k = 0; k < OUT_SHARE * INSTANCES * 2; k++) {
            struct el a = get(t, got->out[i], k, true), b = get(t, want->out[i], k, true);
            bool same = a.i == b.i && (a.f == b.f ? signbit(a.f) == signbit(b.f) : a.f != a.f && b.f != b.f) &&
                        (a.g == b.g ? signbit(a.g) == signbit(b.g) : a.g != a.g && b.g != b.g);
            if (same) continue;
            CHECK_MSG(false, "%s: out%d (%s) element %lld is %.9g/%lld, naive %.9g/%lld", how, i, tsr_dtype_name(t),
                (long long)k, a.f, (long long)a.i, b.f, (long long)b.i);
            if (getenv("SHOW")) {
                char *text = tsr_tile_print(p);
                fputs(text, stderr);
                tsr_text_free(p->c, text);
            }
            return false;
        }
    }
    return true;
}

static void check_program(tsr_ctx *c, struct gen *g, struct store *got, struct store *want) {
    static const int64_t grid[3] = {INSTANCES, 2, 1};
    union vm_arg a[BUFS + OUTS + 6], b[BUFS + OUTS + 6];
    struct pool *pool[3] = {NULL, ctx_pool(c), pool_open(c, 7)};
    poison(want);
    arguments(g, want, b);
    naive_run(g->p, grid, b);
    for (int isa = 0; isa <= (int)cpu_isa(); isa++)
        for (int check = 0; check < 2; check++) {
            struct vm_code *k = vm_compile_for(c, g->p, (enum cpu_isa)isa, check);
            if (!CHECK_OK(c)) break;
            for (int t = 0; t < 3; t++) {
                char how[64];
                poison(got);
                memcpy(a, b, sizeof a);
                arguments(g, got, a);
                for (int i = 0; i < BUFS; i++) a[i].buf.p = want->in[i];
                CHECK_EQ(vm_run(c, k, grid, a, pool[t]), TSR_OK);
                CHECK_OK(c);
                snprintf(how, sizeof how, "%s, check %d, %d threads", cpu_isa_name((enum cpu_isa)isa), check, t
                    ? pool_threads(pool[t]) : 1);
                if (!agree(g->p, got, want, how)) check = 9, isa = 9, t = 9;
            }
            vm_free(k);
        }
    pool_close(pool[2]);
}

static void check_text(tsr_ctx *c, const tsr_tile *p) {
    char *text = tsr_tile_print(p), *again = NULL;
    tsr_tile *q = tsr_tile_read(c, text, "random");
    if (CHECK_OK(c)) {
        again = tsr_tile_print(q);
        CHECK_STR(again, text);
        CHECK(tile_equal(p, q) && tile_hash(p) == tile_hash(q));
        tsr_text_free(c, again);
    }
    tsr_tile_free(q);
    tsr_text_free(c, text);
}

TEST(random_programs) {
    struct store got, want;
    open_store(&want), open_store(&got);
    int count = getenv("PROGRAMS") ? atoi(getenv("PROGRAMS")) : 150;
    for (int i = 0; i < count; i++) {
        tsr_ctx *c = test_ctx();
        struct gen g;
        test_case("program %d", i);
        tsr_tile *p = random_program(c, &g);
        CHECK_OK(c);
        if (p) check_text(c, p), check_program(c, &g, &got, &want);
        tsr_tile_free(p);
        test_ctx_close(c);
    }
    close_store(&got), close_store(&want);
}
