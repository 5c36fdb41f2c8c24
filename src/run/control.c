/* control.c: steps that run sub-plans: call, cond, while, scan.
 *
 * A sub-plan gets addresses: of its parameters, and of where its results go. Loops carry values through
 * two memories: turn t reads one and writes the other, starting from the operands and ending in the
 * step's results (with one copy when the turns come out odd). A scan hands each turn the slices of its
 * operands and results in place: nothing is copied.
 *
 * Sizes: a sub-plan is bound to the symbols of the plan around it. */
#include <string.h>

#include "device/memory.h"
#include "run/runner.h"

struct control {
    struct runner *r;
    tsr_plan *p;
    struct plan_binding *b;
    const struct plan_step *s;
    int step;
    void *const *at; /* the plan's slots */
    struct arena mem;
    void **buffer;   /* device memory to give back */
    size_t *bytes;
    int nbuffer;
};

static void *arg_at(const struct control *k, int i) { return k->at[k->s->arg[i].slot]; }
static size_t arg_bytes(const struct control *k, int i) { return k->b->slot[k->s->arg[i].slot].bytes; }

static void **addresses(struct control *k, size_t n) { return arena_array(&k->mem, n + 1, sizeof(void *)); }

static void *scratch(struct control *k, size_t bytes) {
    void *p = device_alloc(k->r->d, bytes ? bytes : 1);
    if (p) k->bytes[k->nbuffer] = bytes ? bytes : 1, k->buffer[k->nbuffer++] = p;
    return p;
}

static tsr_status run_sub(struct control *k, int sub, void *const *param, void *const *result) {
    tsr_plan *q = k->s->sub[sub];
    struct plan_binding *b = exec_bind(k->r, q, k->b->n, k->b->b);
    return b ? exec_run(k->r, q, b, param, result, NULL) : tsr_error_status(k->r->c);
}

static tsr_status read_int(struct control *k, void *at, tsr_dtype t, int64_t *out) {
    uint8_t raw[8] = {0};
    int bytes = tsr_dtype_of(t)->bytes;
    tsr_status s = k->r->d->ops->copy_out(k->r->d, raw, at, (size_t)bytes);
    struct ref_tensor one = {.dtype = t, .count = 1, .p = raw};
    struct ref_val v = ref_get(&one, 0);
    *out = tsr_dtype_of(t)->kind == TSR_KIND_INT ? v.i : (int64_t)v.u;
    return s;
}

static tsr_status run_call(struct control *k) {
    size_t np = k->s->sub[0]->param.n, nr = k->s->sub[0]->result.n;
    void **param = addresses(k, np), **result = addresses(k, nr);
    if (!param || !result) return TSR_ENOMEM;
    for (size_t i = 0; i < np; i++) param[i] = arg_at(k, (int)i);
    for (size_t i = 0; i < nr; i++) result[i] = arg_at(k, (int)(np + i));
    return run_sub(k, 0, param, result);
}

static tsr_status run_cond(struct control *k) {
    int64_t index;
    int n = k->s->ncarry;
    size_t nr = k->s->sub[0]->result.n;
    tsr_status s = read_int(k, arg_at(k, 0), k->p->slot.v[k->s->arg[0].slot].type->dtype, &index);
    if (s) return s;
    if (index < 0 || index >= k->s->nsub) index = k->s->nsub - 1;
    int implicit = 1 + n + (int)nr;
    for (int i = 0; i < index; i++) implicit += (int)k->s->sub[i]->param.n - n;
    size_t np = k->s->sub[index]->param.n;
    void **param = addresses(k, np), **result = addresses(k, nr);
    if (!param || !result) return TSR_ENOMEM;
    for (size_t i = 0; i < np; i++) param[i] = arg_at(k, i < (size_t)n ? 1 + (int)i : implicit + (int)i - n);
    for (size_t i = 0; i < nr; i++) result[i] = arg_at(k, 1 + n + (int)i);
    return run_sub(k, (int)index, param, result);
}

/* Carried values: now[i] is read this turn, next[i] written; home[i] is the step's
 * result, spare[i] the other memory. */
struct carry { void **now, **next, **home, **spare; };

static tsr_status carry_open(struct control *k, int in, int out, int n, struct carry *y) {
    y->now = addresses(k, (size_t)n), y->next = addresses(k, (size_t)n);
    y->home = addresses(k, (size_t)n), y->spare = addresses(k, (size_t)n);
    if (!y->now || !y->next || !y->home || !y->spare) return TSR_ENOMEM;
    for (int i = 0; i < n; i++) {
        y->now[i] = arg_at(k, in + i);
        y->next[i] = y->home[i] = arg_at(k, out + i);
        if (!(y->spare[i] = scratch(k, arg_bytes(k, out + i)))) return TSR_ENOMEM;
    }
    return TSR_OK;
}

static void carry_turn(struct carry *y, int n) {
    for (int i = 0; i < n; i++) {
        y->now[i] = y->next[i];
        y->next[i] = y->now[i] == y->home[i] ? y->spare[i] : y->home[i];
    }
}

static tsr_status carry_home(struct control *k, struct carry *y, int out, int n) {
    tsr_status s = TSR_OK;
    for (int i = 0; i < n && !s; i++)
        if (y->now[i] != y->home[i]) s = k->r->d->ops->copy(k->r->d, y->home[i], y->now[i], arg_bytes(k, out + i));
    return s;
}

static tsr_status run_while(struct control *k) {
    int n = k->s->ncarry, base = 2 * n, ncond = (int)k->s->sub[0]->param.n, nbody = (int)k->s->sub[1]->param.n;
    int64_t bound = k->b->step[k->step].trips, go = 0;
    struct carry y;
    void **cond = addresses(k, (size_t)ncond), **body = addresses(k, (size_t)nbody), *flag = scratch(k, 1);
    tsr_status s = cond && body && flag ? carry_open(k, 0, n, n, &y) : TSR_ENOMEM;
    for (int64_t turn = 0; !s && (bound <= 0 || turn < bound); turn++) {
        for (int i = 0; i < ncond; i++) cond[i] = i < n ? y.now[i] : arg_at(k, base + i - n);
        if ((s = run_sub(k, 0, cond, &flag)) || (s = read_int(k, flag, TSR_BOOL, &go)) || !go) break;
        for (int i = 0; i < nbody; i++) body[i] = i < n ? y.now[i] : arg_at(k, base + (ncond - n) + i - n);
        if ((s = run_sub(k, 1, body, y.next))) break;
        carry_turn(&y, n);
    }
    return s ? s : carry_home(k, &y, n, n);
}

/* A scanned operand or result whose slices begin inside a byte (4-bit elements, odd slices) is handed over in a memory
 * of its own; the host moves the elements. */
static bool straddles(const struct control *k, int arg, int64_t trips) {
    int slot = k->s->arg[arg].slot;
    return tsr_dtype_of(k->p->slot.v[slot].type->dtype)->block == 2 && k->b->slot[slot].count / trips % 2;
}

static void move_nibbles(uint8_t *dst, int64_t dst_at, const uint8_t *src, int64_t src_at, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t d = dst_at + i, s = src_at + i;
        unsigned v = (src[s / 2] >> (s % 2 * 4)) & 15, shift = (unsigned)(d % 2) * 4;
        dst[d / 2] = (uint8_t)((dst[d / 2] & ~(15u << shift)) | v << shift);
    }
}

/* The same for memory of the device: the bytes around them come to the host and go back. */
static tsr_status copy_nibbles(struct control *k, void *dst, int64_t dst_at, void *src, int64_t src_at, int64_t n) {
    struct device *d = k->r->d;
    uint8_t *to = (uint8_t *)dst + dst_at / 2, *from = (uint8_t *)src + src_at / 2;
    size_t to_bytes = (size_t)(dst_at % 2 + n + 1) / 2, from_bytes = (size_t)(src_at % 2 + n + 1) / 2;
    struct arena mem;
    void *t, *f;
    if (!n) return TSR_OK;
    arena_init(&mem, k->r->c);
    tsr_status s = resident_host(k->r, to, to_bytes, &mem, &t);
    if (!s) s = resident_host(k->r, from, from_bytes, &mem, &f);
    if (!s) move_nibbles(t, dst_at % 2, f, src_at % 2, n);
    if (!s && !d->host_memory) s = d->ops->copy_in(d, to, t, to_bytes);
    arena_release(&mem);
    return s;
}

static tsr_status scan_slices(struct control *k, int64_t trips, int from, int n, void **own) {
    for (int i = 0; i < n; i++) {
        if (trips <= 0 || !straddles(k, from + i, trips)) continue;
        if (!(own[i] = scratch(k, arg_bytes(k, from + i)))) return TSR_ENOMEM;
    }
    return TSR_OK;
}

/* Slice t of argument arg: where it lies, or the memory of its own, which is filled (read) or put back. */
struct slice { int arg; int64_t t, count, trips; void *own; };

static struct slice slice_of(const struct control *k, int arg, int64_t t, int64_t trips, void *own) {
    return (struct slice){arg, t, k->b->slot[k->s->arg[arg].slot].count / trips, trips, own};
}

static void *slice_at(const struct control *k, const struct slice *l) {
    return l->own ? l->own : (uint8_t *)arg_at(k, l->arg) + (size_t)l->t * (arg_bytes(k, l->arg) / (size_t)l->trips);
}

static tsr_status slice_read(struct control *k, const struct slice *l) {
    return l->own ? copy_nibbles(k, l->own, 0, arg_at(k, l->arg), l->t * l->count, l->count) : TSR_OK;
}

static tsr_status slice_write(struct control *k, const struct slice *l) {
    return l->own ? copy_nibbles(k, arg_at(k, l->arg), l->t * l->count, l->own, 0, l->count) : TSR_OK;
}

/* A scan under way. The step's arguments: carried in, xs, carried out, ys (from `ys`), then what all turns share. */
struct scan {
    int nc, nx, np, nr, ys, shared;
    int64_t trips;
    struct carry y;
    void **param, **result;
    void **own_x, **own_y; /* memory of their own, or NULL */
};

static tsr_status scan_open(struct control *k, struct scan *n) {
    const tsr_plan *body = k->s->sub[0];
    n->nc = k->s->ncarry, n->nx = k->s->nxs, n->np = (int)body->param.n, n->nr = (int)body->result.n;
    n->ys = n->nc + n->nx + n->nc;
    n->shared = n->ys + n->nr - n->nc;
    n->trips = k->b->step[k->step].trips;
    n->param = addresses(k, (size_t)n->np), n->result = addresses(k, (size_t)n->nr);
    n->own_x = addresses(k, (size_t)n->nx), n->own_y = addresses(k, (size_t)(n->nr - n->nc));
    if (!n->param || !n->result || !n->own_x || !n->own_y) return TSR_ENOMEM;
    tsr_status s = carry_open(k, 0, n->nc + n->nx, n->nc, &n->y);
    if (!s) s = scan_slices(k, n->trips, n->nc, n->nx, n->own_x);
    return s ? s : scan_slices(k, n->trips, n->ys, n->nr - n->nc, n->own_y);
}

static tsr_status scan_turn(struct control *k, struct scan *n, int64_t t) {
    tsr_status s = TSR_OK;
    for (int i = 0; i < n->nc; i++) n->param[i] = n->y.now[i], n->result[i] = n->y.next[i];
    for (int i = 0; i < n->nx && !s; i++) {
        struct slice l = slice_of(k, n->nc + i, t, n->trips, n->own_x[i]);
        n->param[n->nc + i] = slice_at(k, &l);
        s = slice_read(k, &l);
    }
    for (int i = n->nc + n->nx; i < n->np; i++) n->param[i] = arg_at(k, n->shared + i - n->nc - n->nx);
    for (int i = n->nc; i < n->nr; i++) {
        struct slice l = slice_of(k, n->ys + i - n->nc, t, n->trips, n->own_y[i - n->nc]);
        n->result[i] = slice_at(k, &l);
    }
    if (!s) s = run_sub(k, 0, n->param, n->result);
    for (int i = n->nc; i < n->nr && !s; i++) {
        struct slice l = slice_of(k, n->ys + i - n->nc, t, n->trips, n->own_y[i - n->nc]);
        s = slice_write(k, &l);
    }
    carry_turn(&n->y, n->nc);
    return s;
}

static tsr_status run_scan(struct control *k) {
    struct scan n;
    tsr_status s = scan_open(k, &n);
    for (int64_t turn = 0; !s && turn < n.trips; turn++)
        s = scan_turn(k, &n, k->s->reverse ? n.trips - 1 - turn : turn);
    return s ? s : carry_home(k, &n.y, n.nc + n.nx, n.nc);
}

tsr_status exec_control(struct runner *r, tsr_plan *p, struct plan_binding *b, int step) {
    struct control k = {.r = r, .p = p, .b = b, .s = &p->step.v[step], .step = step, .at = exec_slots(r, p)};
    arena_init(&k.mem, r->c);
    size_t most = (size_t)k.s->narg + 2; /* a memory for each carried value and odd slice, and a flag */
    k.buffer = arena_array(&k.mem, most, sizeof *k.buffer);
    k.bytes = arena_array(&k.mem, most, sizeof *k.bytes);
    tsr_status s = TSR_ENOMEM;
    if (k.buffer && k.bytes) {
        switch (k.s->kind) {
        case STEP_CALL: s = run_call(&k); break;
        case STEP_COND: s = run_cond(&k); break;
        case STEP_WHILE: s = run_while(&k); break;
        default: s = run_scan(&k); break;
        }
    }
    for (int i = 0; i < k.nbuffer; i++) device_free(r->d, k.buffer[i], k.bytes[i]);
    arena_release(&k.mem);
    return s;
}
