/* control.c: steps that run sub-plans: call, cond, while, scan.
 *
 * A sub-plan gets addresses: of its parameters, and of where its results go. Loops carry values through
 * two memories: turn t reads one and writes the other, starting from the operands and ending in the
 * step's results (with one copy when the turns come out odd). A scan hands each turn the slices of its
 * operands and results in place: nothing is copied.
 *
 * Sizes: a sub-plan is bound to the symbols of the plan around it. */
#include <string.h>

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
    void *p = k->r->d->ops->alloc(k->r->d, bytes ? bytes : 1);
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
 * of its own, on devices whose memory the host sees. */
static bool straddles(const struct control *k, int arg, int64_t trips) {
    int slot = k->s->arg[arg].slot;
    return tsr_dtype_of(k->p->slot.v[slot].type->dtype)->block == 2 && k->b->slot[slot].count / trips % 2;
}

static void copy_nibbles(uint8_t *dst, int64_t dst_at, const uint8_t *src, int64_t src_at, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t d = dst_at + i, s = src_at + i;
        unsigned v = (src[s / 2] >> (s % 2 * 4)) & 15, shift = (unsigned)(d % 2) * 4;
        dst[d / 2] = (uint8_t)((dst[d / 2] & ~(15u << shift)) | v << shift);
    }
}

static tsr_status scan_slices(struct control *k, int64_t trips, int from, int n, void **own) {
    for (int i = 0; i < n; i++) {
        if (trips <= 0 || !straddles(k, from + i, trips)) continue;
        if (!k->r->d->host_memory)
            return err_set(k->r->c, TSR_EUNSUPPORTED,
                "%s: odd slices of 4-bit elements on device %s: convert to 8 bits",
                           k->s->label, k->r->d->ops->name);
        if (!(own[i] = scratch(k, arg_bytes(k, from + i)))) return TSR_ENOMEM;
    }
    return TSR_OK;
}

/* Where turn t finds slice t of argument arg. */
static void *slice_at(struct control *k, int arg, int64_t t, int64_t trips, void *own, bool read) {
    uint8_t *whole = arg_at(k, arg);
    int64_t count = k->b->slot[k->s->arg[arg].slot].count / trips;
    if (!own) return whole + (size_t)t * (arg_bytes(k, arg) / (size_t)trips);
    if (read) copy_nibbles(own, 0, whole, t * count, count);
    return own;
}

static tsr_status run_scan(struct control *k) {
    int nc = k->s->ncarry, nx = k->s->nxs, np = (int)k->s->sub[0]->param.n, nr = (int)k->s->sub[0]->result.n,
        ny = nr - nc;
    int out = nc + nx, implicit = out + nc + ny;
    int64_t trips = k->b->step[k->step].trips;
    struct carry y;
    void **param = addresses(k, (size_t)np), **result = addresses(k, (size_t)nr);
    void **own_x = addresses(k, (size_t)nx), **own_y = addresses(k, (size_t)ny);
    tsr_status s = param && result && own_x && own_y ? carry_open(k, 0, out, nc, &y) : TSR_ENOMEM;
    if (!s && !(s = scan_slices(k, trips, nc, nx, own_x))) s = scan_slices(k, trips, out + nc, ny, own_y);
    for (int64_t turn = 0; turn < trips && !s; turn++) {
        int64_t t = k->s->reverse ? trips - 1 - turn : turn;
        for (int i = 0; i < np; i++) {
            if (i < nc) param[i] = y.now[i];
            else if (i < nc + nx) param[i] = slice_at(k, i, t, trips, own_x[i - nc], true);
            else param[i] = arg_at(k, implicit + i - nc - nx);
        }
        for (int i = 0; i < nr; i++)
            result[i] = i < nc ? y.next[i] : slice_at(k, out + i, t, trips, own_y[i - nc], false);
        if ((s = run_sub(k, 0, param, result))) break;
        for (int i = nc; i < nr; i++) {
            int64_t count = k->b->slot[k->s->arg[out + i].slot].count / trips;
            if (own_y[i - nc]) copy_nibbles(arg_at(k, out + i), t * count, own_y[i - nc], 0, count);
        }
        carry_turn(&y, nc);
    }
    return s ? s : carry_home(k, &y, out, nc);
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
    for (int i = 0; i < k.nbuffer; i++) r->d->ops->free(r->d, k.buffer[i], k.bytes[i]);
    arena_release(&k.mem);
    return s;
}
