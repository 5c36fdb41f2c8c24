/* gpu_row.c: reductions that never leave registers for longer than one exchange.
 *
 * Let a line of the tile take F elements (its extent times those inside of it), the group have T threads and both be
 * powers of two. An element and its partner in a halving step lie D elements apart, D falling from F / 2 to the inner
 * extent. While D >= T both belong to one thread. Below that the threads D apart exchange what they have: in subgroups
 * by shuffles, above by way of local memory, where a thread reads all it needs of several steps at once. Partners
 * combine the same two numbers, so in the end every thread holds its line's result, which is the one that the order of
 * docs/tile.md gives (operands change sides, which no operation here can tell, NaN payloads apart). */
#include "emit/gpu_text.h"

enum { MOST_SLOTS = 64, RADIX = 16 };

static bool is_power(long long n) { return n > 0 && (n & (n - 1)) == 0; }

/* Threads whose numbers shuffles exchange; 1: none. */
static int subgroup(const struct gpu *g) { return g->t->subgroup && g->threads >= g->t->subgroup ? g->t->subgroup : 1; }

bool gpu_reduces_in_registers(const struct gpu *g, const struct tile_inst *in) {
    const struct tile_type *t = tile_type_of(g->w.p, tile_operands(g->w.p, in)[0]);
    struct gpu_around a = gpu_around(t, in->axis);
    long long n = a.outer * a.n * a.inner;
    if (n == (long long)g->tile.m * g->tile.n) return false; /* dealt out otherwise */
    if (a.n == 1 || tsr_dtype_of(t->dtype)->kind == TSR_KIND_COMPLEX) return false;
    return is_power(g->threads) && is_power(a.n) && is_power(a.inner) && n % g->threads == 0 &&
           gpu_slots(g, n) <= MOST_SLOTS;
}

struct row {
    struct gpu_around a;
    const struct tile_inst *in;
    int32_t at;
    tsr_dtype t;
    long long line;   /* F */
    int slots, lanes; /* elements of a thread; threads of a line */
    int lines;        /* values a thread is left with when only other threads have partners */
};

static struct row row_of(const struct gpu *g, const struct tile_inst *in, int32_t at) {
    const struct tile_type *t = tile_type_of(g->w.p, tile_operands(g->w.p, in)[0]);
    struct row r = {.a = gpu_around(t, in->axis), .in = in, .at = at, .t = t->dtype};
    r.line = r.a.n * r.a.inner;
    r.slots = gpu_slots(g, r.a.outer * r.line);
    r.lanes = r.line < g->threads ? (int)r.line : g->threads;
    r.lines = r.line < g->threads ? r.slots : (int)r.a.outer;
    return r;
}

/* The number of lanes down to which one exchange through local memory goes; equal to `from` when none is needed. */
static int next_lanes(const struct gpu *g, const struct row *r, int from) {
    int last = r->a.inner < from ? (int)r->a.inner : from, to = subgroup(g);
    if (to == 1) to = from > RADIX ? from / RADIX : 1;
    if (to < last) to = last;
    return to < from ? to : from;
}

size_t gpu_row_bytes(const struct gpu *g, const struct tile_inst *in) {
    struct row r = row_of(g, in, 0);
    if (next_lanes(g, &r, r.lanes) == r.lanes) return 0;
    return (size_t)r.lines * (size_t)g->threads * emit_size(r.t);
}

static void put_combine(struct gpu *g, const struct row *r, const char *to, const char *a, const char *b) {
    const char *x[2] = {a, b};
    for (int i = 0; i < g->w.indent; i++) str_put(g->w.out, "    ");
    str_printf(g->w.out, "%s = ", to);
    put_call(g->w.out, tile_reduce_fn[r->in->sub], r->t, 2, x);
    str_put(g->w.out, ";\n");
}

static void open_unrolled(struct gpu *g, const char *name, int n) {
    put_line(&g->w, "%s", g->d->unroll);
    put_line(&g->w, "for (vm_i32 %s = 0; %s < %d; %s++) {", name, name, n, name);
    g->w.indent++;
}

/* q[s] becomes this thread's elements of the operand. */
static void take(struct gpu *g, const struct row *r) {
    tsr_tv v = tile_operands(g->w.p, r->in)[0];
    struct gpu_access a = gpu_reads(g, v, r->a.outer * r->line);
    gpu_touch(g, 1, &a);
    put_line(&g->w, "%s q%d[%d];", emit_type(r->t), r->at, r->slots);
    open_unrolled(g, "s", r->slots);
    if (gpu_is_dealt(g, v)) put_line(&g->w, "q%d[s] = r%d[s];", r->at, emit_place(g->w.k, v));
    else put_line(&g->w, "q%d[s] = a%d[s * %d + lid];", r->at, emit_place(g->w.k, v), g->threads);
    gpu_close(g);
}

/* Steps whose partners lie in one thread: slot s of a line of `each` slots with slot s + d. Results go to q[line]. */
static void halve_slots(struct gpu *g, const struct row *r) {
    int each = (int)(r->line / g->threads), last = r->a.inner > g->threads ? (int)(r->a.inner / g->threads) : 1;
    char to[60], far[80];
    if (r->line <= g->threads) return;
    for (int d = each / 2; d >= last; d /= 2) {
        open_unrolled(g, "o", r->lines);
        open_unrolled(g, "s", d);
        snprintf(to, sizeof to, "q%d[o * %d + s]", r->at, each);
        snprintf(far, sizeof far, "q%d[o * %d + s + %d]", r->at, each, d);
        put_combine(g, r, to, to, far);
        gpu_close(g);
        gpu_close(g);
    }
}

/* Where line o's number is: only the first slot of a line is left. */
static void put_own(struct gpu *g, const struct row *r, char room[60]) {
    int each = r->line > g->threads ? (int)(r->line / g->threads) : 1;
    if (each == 1) snprintf(room, 60, "q%d[o]", r->at);
    else snprintf(room, 60, "q%d[o * %d]", r->at, each);
}

/* Each thread leaves its numbers in local memory and takes those of its line a multiple of `to` threads off. */
static void exchange(struct gpu *g, const struct row *r, int from, int to) {
    int parts = from / to;
    char own[60];
    struct gpu_access write = gpu_temp(g, r->at, true), read = gpu_temp(g, r->at, false);
    put_own(g, r, own);
    gpu_touch(g, 1, &write);
    open_unrolled(g, "o", r->lines);
    put_line(&g->w, "m%d[o * %d + lid] = %s;", r->at, g->threads, own);
    gpu_close(g);
    gpu_touch(g, 1, &read);
    open_unrolled(g, "o", r->lines);
    put_line(&g->w, "%s p[%d];", emit_type(r->t), parts);
    open_unrolled(g, "s", parts);
    put_line(&g->w, "p[s] = m%d[o * %d + lid / %d * %d + lid %% %d + s * %d];", r->at, g->threads, from, from, to, to);
    gpu_close(g);
    for (int d = parts / 2; d >= 1; d /= 2) {
        char far[24];
        open_unrolled(g, "s", d);
        snprintf(far, sizeof far, "p[s + %d]", d);
        put_combine(g, r, "p[s]", "p[s]", far);
        gpu_close(g);
    }
    put_line(&g->w, "%s = p[0];", own);
    gpu_close(g);
}

static void shuffle(struct gpu *g, const struct row *r, int lanes) {
    char own[60], far[100];
    put_own(g, r, own);
    for (int d = lanes / 2; d >= r->a.inner; d /= 2) {
        open_unrolled(g, "o", r->lines);
        snprintf(far, sizeof far, "tsr_swap_%s(%s, %d)", emit_type(r->t), own, d);
        put_combine(g, r, own, own, far);
        gpu_close(g);
    }
}

/* The first threads of each line write its results down. */
static void write_result(struct gpu *g, const struct row *r) {
    long long n = r->a.outer * r->a.inner;
    char own[60], to[24];
    put_own(g, r, own);
    if (g->w.k->value.v[r->in->result].home == EMIT_SCALAR) {
        put_line(&g->w, "const %s v%d = q%d[0];", emit_type(r->t), r->in->result, r->at);
        return;
    }
    struct gpu_access a = gpu_writes(g, r->in->result, r->a.inner >= g->threads ? n : 0);
    gpu_touch(g, 1, &a);
    array_name(&g->w, r->in->result, to);
    open_unrolled(g, "o", r->lines);
    if (r->a.inner > g->threads) {
        int own_slots = (int)(r->a.inner / g->threads);
        open_unrolled(g, "s", own_slots);
        put_line(&g->w, "%s[o * %lld + s * %d + lid] = q%d[o * %lld + s];", to, r->a.inner, g->threads, r->at,
            r->line / g->threads);
        gpu_close(g);
    } else if (r->line >= g->threads)
        put_line(&g->w, "if (lid < %lld) %s[o * %lld + lid] = %s;", r->a.inner, to, r->a.inner, own);
    else
        put_line(&g->w, "if (lid %% %lld < %lld) %s[(o * %d + lid) / %lld * %lld + lid %% %lld] = %s;", r->line,
            r->a.inner, to, g->threads, r->line, r->a.inner, r->line, own);
    gpu_close(g);
}

void gpu_reduce_in_registers(struct gpu *g, const struct tile_inst *in, int32_t at) {
    struct row r = row_of(g, in, at);
    int lanes = r.lanes;
    take(g, &r);
    halve_slots(g, &r);
    while (lanes > r.a.inner) {
        int to = next_lanes(g, &r, lanes);
        if (to == lanes) break; /* shuffles reach the rest */
        exchange(g, &r, lanes, to);
        lanes = to;
    }
    if (lanes > r.a.inner) shuffle(g, &r, lanes);
    write_result(g, &r);
}
