/* schedule.c: learning rates as graph over the step, in f64.
 *
 * The step is a variable of the optimiser, so the rate needs no argument from outside and a resumed run continues at
 * the right place by itself. */
#include <math.h>

#include "tessera/ops.h"
#include "tessera/optim.h"

static tsr_node *num(tsr_ctx *c, double v) { return tsr_scalar_float(c, TSR_F64, v); }

/* from + (to - from) (1 - cos(pi part)) / 2, part clipped to [0, 1] */
static tsr_node *cosine_between(tsr_ctx *c, double from, double to, tsr_node *part) {
    tsr_node *turn = tsr_cos(c, tsr_mul(c, tsr_clip(c, part, 0, 1), num(c, acos(-1.0))));
    return tsr_add(c, num(c, from), tsr_mul(c, num(c, (to - from) / 2), tsr_sub(c, num(c, 1), turn)));
}

static tsr_node *constant(tsr_ctx *c, const tsr_schedule *s, double lr, tsr_node *t) {
    (void)s, (void)t;
    return num(c, lr);
}

static tsr_node *cosine(tsr_ctx *c, const tsr_schedule *s, double lr, tsr_node *t) {
    double span = s->total > s->warmup ? (double)(s->total - s->warmup) : 1;
    tsr_node *part = tsr_div(c, tsr_sub(c, t, num(c, (double)s->warmup)), num(c, span));
    return cosine_between(c, lr, s->floor * lr, part);
}

static tsr_node *one_cycle(tsr_ctx *c, const tsr_schedule *s, double lr, tsr_node *t) {
    const double rise = 0.3, div = 25, final_div = 1e4;
    double top = rise * (double)s->total - 1, last = (double)s->total - 1;
    if (top <= 0) top = 1;
    if (last <= top) last = top + 1;
    tsr_node *up = cosine_between(c, lr / div, lr, tsr_div(c, t, num(c, top)));
    tsr_node *past = tsr_div(c, tsr_sub(c, t, num(c, top)), num(c, last - top));
    return tsr_where(c, tsr_le(c, t, num(c, top)), up, cosine_between(c, lr, lr / div / final_div, past));
}

static tsr_node *(*const rules[])(tsr_ctx *c, const tsr_schedule *s, double lr, tsr_node *t) = {
    [TSR_SCHEDULE_CONSTANT] = constant, [TSR_SCHEDULE_COSINE] = cosine, [TSR_SCHEDULE_ONE_CYCLE] = one_cycle};

tsr_node *tsr_schedule_rate(tsr_ctx *c, const tsr_schedule *s, double lr, tsr_node *step) {
    tsr_node *t = tsr_cast(c, step, TSR_F64), *rate = rules[s->kind](c, s, lr, t);
    if (s->warmup <= 0 || s->kind == TSR_SCHEDULE_ONE_CYCLE) return rate;
    tsr_node *warm = tsr_mul(c, tsr_add(c, t, num(c, 1)), num(c, lr / (double)s->warmup));
    return tsr_where(c, tsr_lt(c, t, num(c, (double)s->warmup)), warm, rate);
}
