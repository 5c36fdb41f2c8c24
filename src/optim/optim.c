/* optim.c: SGD, Adam and AdamW as graph: new values of parameters and moments from their gradients.
 *
 * Formulas of torch.optim: SGD with momentum and Nesterov (Sutskever et al., 2013; the first step's momentum buffer is
 * the gradient itself, which zero-initialised buffers give because no dampening is offered), Adam (Kingma and Ba,
 * 2015), AdamW (Loshchilov and Hutter, 2019). An optimiser is a row of the table `kinds`: how many moments it keeps,
 * what they are called, and its update. */
#include "tessera/optim.h"

#include <math.h>
#include <string.h>

#include "base/vec.h"
#include "tessera/ops.h"
#include "tessera/transform.h"

enum { MOMENTS_MAX = 2 };

struct param { tsr_var *var, *moment[MOMENTS_MAX]; };

struct tsr_optim {
    tsr_ctx *c;
    tsr_optim_opts o;
    const struct kind *kind;
    tsr_var *step;
    struct param *param; /* (n) */
    int n;
};

/* What every parameter's update shares in one step: scalars, f32. */
struct shared {
    tsr_node *rate;    /* lr_t */
    tsr_node *size;    /* Adam: lr_t / (1 - beta1^t) */
    tsr_node *root;    /* Adam: sqrt(1 - beta2^t) */
    tsr_node *shrink;  /* AdamW: 1 - lr_t * weight_decay */
};

/* The new value of p from its gradient; new moments are written over m. */
typedef tsr_node *update_fn(tsr_optim *o, const struct shared *s, tsr_node *p, tsr_node *g, tsr_node **m);

static tsr_node *scaled(tsr_ctx *c, tsr_node *x, double k) { return tsr_mul(c, x, tsr_num(c, x, k)); }

static tsr_node *with_decay(tsr_optim *o, tsr_node *p, tsr_node *g) {
    return o->o.weight_decay != 0 ? tsr_add(o->c, g, scaled(o->c, p, o->o.weight_decay)) : g;
}

/* m <- mu m + g;  p <- p - lr (nesterov ? g + mu m : m) */
static tsr_node *sgd(tsr_optim *o, const struct shared *s, tsr_node *p, tsr_node *g, tsr_node **m) {
    tsr_ctx *c = o->c;
    g = with_decay(o, p, g);
    m[0] = tsr_add(c, scaled(c, m[0], o->o.momentum), g);
    tsr_node *d = o->o.nesterov ? tsr_add(c, g, scaled(c, m[0], o->o.momentum)) : m[0];
    return tsr_sub(c, p, tsr_mul(c, d, s->rate));
}

static tsr_node *sgd_plain(tsr_optim *o, const struct shared *s, tsr_node *p, tsr_node *g, tsr_node **m) {
    (void)m;
    return tsr_sub(o->c, p, tsr_mul(o->c, with_decay(o, p, g), s->rate));
}

/* m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr/(1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps) */
static tsr_node *adam_move(tsr_optim *o, const struct shared *s, tsr_node *p, tsr_node *g, tsr_node **m) {
    tsr_ctx *c = o->c;
    m[0] = tsr_add(c, m[0], scaled(c, tsr_sub(c, g, m[0]), 1 - o->o.beta1));
    m[1] = tsr_add(c, scaled(c, m[1], o->o.beta2), scaled(c, tsr_mul(c, g, g), 1 - o->o.beta2));
    tsr_node *below = tsr_add(c, tsr_div(c, tsr_sqrt(c, m[1]), s->root), tsr_num(c, g, o->o.eps));
    return tsr_sub(c, p, tsr_mul(c, s->size, tsr_div(c, m[0], below)));
}

static tsr_node *adam(tsr_optim *o, const struct shared *s, tsr_node *p, tsr_node *g, tsr_node **m) {
    return adam_move(o, s, p, with_decay(o, p, g), m);
}

static tsr_node *adamw(tsr_optim *o, const struct shared *s, tsr_node *p, tsr_node *g, tsr_node **m) {
    return adam_move(o, s, o->o.weight_decay != 0 ? tsr_mul(o->c, p, s->shrink) : p, g, m);
}

static const struct kind {
    int moments;
    const char *name[MOMENTS_MAX];
    update_fn *update;
    bool corrected; /* for the bias of moments that begin at zero */
} kinds[] = {
    [TSR_SGD] = {1, {"momentum"}, sgd, false},
    [TSR_ADAM] = {2, {"exp_avg", "exp_avg_sq"}, adam, true},
    [TSR_ADAMW] = {2, {"exp_avg", "exp_avg_sq"}, adamw, true},
}, kind_sgd_plain = {0, {NULL}, sgd_plain, false};

/* ---- state ------------------------------------------------------------------------------------------------------ */

static tsr_var *state_var(tsr_ctx *c, const char *kind, const char *name, const tsr_type *t) {
    struct str s;
    str_init(&s, c);
    str_printf(&s, "%s%s%s", kind, name ? "." : "", name ? name : "");
    tsr_var *v = s.failed ? NULL : tsr_var_new(c, s.s, t ? tsr_full(c, t, 0) : tsr_scalar_int(c, TSR_I64, 0));
    str_release(&s);
    return v;
}

static bool make_state(tsr_optim *o, tsr_var *const *var, const char *const *name) {
    if (!(o->step = state_var(o->c, "step", NULL, NULL))) return false;
    for (int i = 0; i < o->n; i++) {
        struct param *p = &o->param[i];
        const tsr_type *t = tsr_var_type(var[i]);
        p->var = tsr_var_keep(var[i]);
        if (t->dtype != TSR_F32)
            return err_set(o->c, TSR_EUNSUPPORTED, "optimiser: parameter %s is %s; f32 is supported", name[i],
                tsr_dtype_name(t->dtype)), false;
        for (int k = 0; k < o->kind->moments; k++) {
            if (!(p->moment[k] = state_var(o->c, o->kind->name[k], name[i], t))) return false;
        }
    }
    return true;
}

static bool options_fit(tsr_ctx *c, const tsr_optim_opts *o) {
    const char *why = (unsigned)o->kind > TSR_ADAMW ? "no such optimiser"
                    : !(o->lr >= 0 && isfinite(o->lr)) ? "lr must be finite and not negative"
                    : !(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1) ? "betas lie in [0, 1)"
                    : !(o->momentum >= 0) ? "momentum must not be negative"
                    : o->nesterov && o->momentum == 0 ? "nesterov needs momentum"
                    : (unsigned)o->schedule.kind > TSR_SCHEDULE_ONE_CYCLE ? "no such schedule" : NULL;
    if (why) err_set(c, TSR_EINVAL, "optimiser: %s", why);
    return !why;
}

tsr_optim *tsr_optim_new(tsr_ctx *c, const tsr_optim_opts *opts, int n, tsr_var *const *var, const char *const *name) {
    if (!options_fit(c, opts)) return NULL;
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_optim *o = scope ? mem_new(c, tsr_optim) : NULL;
    if (o) {
        *o = (tsr_optim){.c = c, .o = *opts, .kind = &kinds[opts->kind]};
        if (opts->kind == TSR_SGD && opts->momentum == 0) o->kind = &kind_sgd_plain;
        if (o->o.beta1 == 0 && o->o.beta2 == 0) o->o.beta1 = 0.9, o->o.beta2 = 0.999;
        if (o->o.eps == 0) o->o.eps = 1e-8;
        o->param = mem_array(c, (size_t)n + 1, sizeof *o->param);
        o->n = o->param ? n : 0;
        if (!o->param || !make_state(o, var, name)) tsr_optim_free(o), o = NULL;
    }
    if (scope) tsr_scope_end(c, scope);
    return o;
}

void tsr_optim_free(tsr_optim *o) {
    if (!o) return;
    for (int i = 0; i < o->n; i++) {
        tsr_var_free(o->c, o->param[i].var);
        for (int k = 0; k < MOMENTS_MAX; k++) tsr_var_free(o->c, o->param[i].moment[k]);
    }
    if (o->param) mem_array_free(o->c, o->param, (size_t)o->n + 1, sizeof *o->param);
    tsr_var_free(o->c, o->step);
    mem_del(o->c, o);
}

int tsr_optim_count(const tsr_optim *o) { return 1 + o->n * o->kind->moments; }
tsr_var *tsr_optim_step_var(const tsr_optim *o) { return o->step; }

tsr_var *tsr_optim_state(const tsr_optim *o, int i) {
    if (i < 0 || i >= tsr_optim_count(o)) return NULL;
    return i ? o->param[(i - 1) / o->kind->moments].moment[(i - 1) % o->kind->moments] : o->step;
}

/* ---- a step ----------------------------------------------------------------------------------------------------- */

/* 1 - beta^t without cancellation: -expm1(t log beta); 1 for beta 0 */
static tsr_node *correction(tsr_ctx *c, double beta, tsr_node *t) {
    return beta > 0 ? tsr_neg(c, tsr_expm1(c, scaled(c, t, log(beta)))) : tsr_num(c, t, 1);
}

/* t: steps taken before this one, i64 */
static struct shared share(tsr_optim *o, tsr_node *t) {
    tsr_ctx *c = o->c;
    struct shared s = {0};
    tsr_node *rate = tsr_schedule_rate(c, &o->o.schedule, o->o.lr, t);
    s.rate = tsr_cast(c, rate, TSR_F32);
    s.shrink = tsr_cast(c, tsr_sub(c, tsr_num(c, rate, 1), scaled(c, rate, o->o.weight_decay)), TSR_F32);
    if (!o->kind->corrected) return s;
    tsr_node *now = tsr_add(c, tsr_cast(c, t, TSR_F64), tsr_num(c, rate, 1));
    s.size = tsr_cast(c, tsr_div(c, rate, correction(c, o->o.beta1, now)), TSR_F32);
    s.root = tsr_cast(c, tsr_sqrt(c, correction(c, o->o.beta2, now)), TSR_F32);
    return s;
}

/* torch.nn.utils.clip_grad_norm_: every gradient times min(1, most / (norm + 1e-6)) */
static tsr_node *clip(tsr_optim *o, tsr_node **g) {
    tsr_ctx *c = o->c;
    tsr_node *sum = tsr_scalar_float(c, TSR_F32, 0);
    for (int i = 0; i < o->n; i++) sum = tsr_add(c, sum, tsr_sum(c, tsr_mul(c, g[i], g[i]), 0, NULL, false));
    tsr_node *norm = tsr_sqrt(c, sum), *most = tsr_num(c, norm, o->o.clip_norm);
    tsr_node *k = tsr_minimum(c, tsr_div(c, most, tsr_add(c, norm, tsr_num(c, norm, 1e-6))), tsr_num(c, norm, 1));
    for (int i = 0; i < o->n; i++) g[i] = tsr_mul(c, g[i], k);
    return norm;
}

static tsr_status update(tsr_optim *o, const struct shared *s, struct param *p, tsr_node *g) {
    tsr_ctx *c = o->c;
    tsr_node *m[MOMENTS_MAX] = {0};
    for (int k = 0; k < o->kind->moments; k++) m[k] = tsr_var_read(c, p->moment[k]);
    tsr_node *value = o->kind->update(o, s, tsr_var_read(c, p->var), g, m);
    tsr_status r = tsr_var_assign(c, p->var, value);
    for (int k = 0; !r && k < o->kind->moments; k++) r = tsr_var_assign(c, p->moment[k], m[k]);
    return r;
}

tsr_status tsr_optim_apply(tsr_optim *o, tsr_node *const *grad, tsr_node **norm) {
    tsr_ctx *c = o->c;
    tsr_node **g = mem_array(c, (size_t)o->n + 1, sizeof *g), *t = tsr_var_read(c, o->step), *clipped = NULL;
    if (!g) return TSR_ENOMEM;
    if (o->n) memcpy(g, grad, (size_t)o->n * sizeof *g);
    if (o->o.clip_norm > 0) clipped = clip(o, g);
    struct shared s = share(o, t);
    tsr_status r = TSR_OK;
    for (int i = 0; !r && i < o->n; i++) r = update(o, &s, &o->param[i], g[i]);
    if (!r) r = tsr_var_assign(c, o->step, tsr_add(c, t, tsr_scalar_int(c, TSR_I64, 1)));
    if (norm) *norm = clipped;
    mem_array_free(c, g, (size_t)o->n + 1, sizeof *g);
    return r;
}

tsr_status tsr_optim_step(tsr_optim *o, tsr_node *loss, tsr_node **norm) {
    tsr_ctx *c = o->c;
    tsr_node **p = mem_array(c, (size_t)o->n + 1, sizeof *p), **g = mem_array(c, (size_t)o->n + 1, sizeof *g);
    tsr_status r = p && g ? TSR_OK : TSR_ENOMEM;
    for (int i = 0; !r && i < o->n; i++) p[i] = tsr_var_read(c, o->param[i].var);
    if (!r) r = tsr_grad(c, loss, o->n, p, g);
    if (!r) r = tsr_optim_apply(o, g, norm);
    mem_array_free(c, p, (size_t)o->n + 1, sizeof *p);
    mem_array_free(c, g, (size_t)o->n + 1, sizeof *g);
    return r;
}
