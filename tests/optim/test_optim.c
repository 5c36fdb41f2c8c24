/* test_optim.c: optimisers and schedules against the published update rules written out in double loops. */
#include "harness.h"

#include <math.h>

#include "tessera/ops.h"
#include "tessera/optim.h"
#include "tessera/run.h"

enum { N = 7, STEPS = 6 };

/* ---- schedules -------------------------------------------------------------------------------------------------- */

static double torch_one_cycle(double lr, int total, int t) {
    double low = lr / 25, last = low / 1e4, up = 0.3 * total - 1, end = total - 1;
    double from = t <= up ? low : lr, to = t <= up ? lr : last, part = t <= up ? t / up : (t - up) / (end - up);
    return to + (from - to) / 2 * (1 + cos(M_PI * part));
}

static double want_rate(const tsr_schedule *s, double lr, int t) {
    if (s->kind == TSR_SCHEDULE_ONE_CYCLE) return torch_one_cycle(lr, (int)s->total, t);
    if (t < s->warmup) return lr * (t + 1) / (double)s->warmup;
    if (s->kind == TSR_SCHEDULE_CONSTANT) return lr;
    double part = (double)(t - s->warmup) / (double)(s->total - s->warmup), low = s->floor * lr;
    return low + (lr - low) * (1 + cos(M_PI * fmin(part, 1))) / 2;
}

TEST(schedules) {
    static const tsr_schedule all[] = {{TSR_SCHEDULE_CONSTANT, 0, 0, 0}, {TSR_SCHEDULE_CONSTANT, 4, 0, 0},
        {TSR_SCHEDULE_COSINE, 0, 20, 0}, {TSR_SCHEDULE_COSINE, 5, 20, 0.1}, {TSR_SCHEDULE_ONE_CYCLE, 0, 30, 0},
        {TSR_SCHEDULE_ONE_CYCLE, 0, 100, 0}};
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        test_case("%zu", k);
        double lr = test_uniform(1e-4, 1), got;
        for (int t = 0; t < 30; t++) {
            tsr_scope *scope = tsr_scope_begin(c);
            got = tsr_read_scalar(c, tsr_schedule_rate(c, &all[k], lr, tsr_scalar_int(c, TSR_I64, t)));
            CHECK_CLOSE(got, want_rate(&all[k], lr, t), 1e-12, 1e-15);
            tsr_scope_end(c, scope);
        }
        CHECK_OK(c);
    }
}

/* ---- update rules ----------------------------------------------------------------------------------------------- */

struct rule { const char *name; tsr_optim_opts o; };
static const struct rule rules[] = {
    {"sgd", {.kind = TSR_SGD, .lr = 0.1}},
    {"sgd decay", {.kind = TSR_SGD, .lr = 0.1, .weight_decay = 0.2}},
    {"momentum", {.kind = TSR_SGD, .lr = 0.1, .momentum = 0.9, .weight_decay = 0.1}},
    {"nesterov", {.kind = TSR_SGD, .lr = 0.1, .momentum = 0.8, .nesterov = true}},
    {"adam", {.kind = TSR_ADAM, .lr = 0.05}},
    {"adam decay", {.kind = TSR_ADAM, .lr = 0.05, .weight_decay = 0.3, .beta1 = 0.7, .beta2 = 0.9, .eps = 1e-3}},
    {"adamw", {.kind = TSR_ADAMW, .lr = 0.05, .weight_decay = 0.3}},
    {"adamw clipped, warm", {.kind = TSR_ADAMW, .lr = 0.05, .weight_decay = 0.01, .clip_norm = 0.5, .schedule =
        {.warmup = 4}}},
};

struct oracle { double p[N], m[N], v[N]; };

/* torch.optim's documentation, line by line */
static void oracle_step(const tsr_optim_opts *o, struct oracle *s, const double *grad, int t) {
    double b1 = o->beta1 ? o->beta1 : 0.9, b2 = o->beta2 ? o->beta2 : 0.999, eps = o->eps ? o->eps : 1e-8, norm = 0;
    double lr = want_rate(&o->schedule, o->lr, t), clip = 1;
    for (int i = 0; i < N; i++) norm += grad[i] * grad[i];
    if (o->clip_norm > 0) clip = fmin(1, o->clip_norm / (sqrt(norm) + 1e-6));
    for (int i = 0; i < N; i++) {
        double g = grad[i] * clip;
        if (o->kind == TSR_ADAMW) s->p[i] *= 1 - lr * o->weight_decay;
        else g += o->weight_decay * s->p[i];
        if (o->kind == TSR_SGD) {
            s->m[i] = o->momentum * s->m[i] + g;
            s->p[i] -= lr * (o->nesterov ? g + o->momentum * s->m[i] : s->m[i]);
        } else {
            s->m[i] = b1 * s->m[i] + (1 - b1) * g, s->v[i] = b2 * s->v[i] + (1 - b2) * g * g;
            double m = s->m[i] / (1 - pow(b1, t + 1)), v = s->v[i] / (1 - pow(b2, t + 1));
            s->p[i] -= lr * m / (sqrt(v) + eps);
        }
    }
}

/* loss = sum(a p^2 / 2 + b p): gradient a p + b */
static tsr_node *quadratic(tsr_ctx *c, tsr_node *p, const float *a, const float *b) {
    tsr_node *x = tsr_tensor(c, TSR_F32, 1, (int64_t[]){N}, a), *y = tsr_tensor(c, TSR_F32, 1, (int64_t[]){N}, b);
    tsr_node *half = tsr_mul(c, tsr_mul(c, p, p), tsr_num(c, p, 0.5));
    return tsr_sum(c, tsr_add(c, tsr_mul(c, half, x), tsr_mul(c, p, y)), 0, NULL, false);
}

static void check_rule(tsr_ctx *c, const struct rule *r) {
    float a[N], b[N], p[N];
    struct oracle want = {{0}, {0}, {0}};
    for (int i = 0; i < N; i++) a[i] = (float)test_uniform(0.5, 2), b[i] = (float)test_normal(), want.p[i] = p[i] =
        (float)test_normal();
    tsr_var *v = tsr_var_new(c, "w", tsr_tensor(c, TSR_F32, 1, (int64_t[]){N}, p));
    const char *name = "w";
    tsr_optim *o = tsr_optim_new(c, &r->o, 1, &v, &name);
    for (int t = 0; t < STEPS && CHECK_OK(c); t++) {
        double g[N];
        for (int i = 0; i < N; i++) g[i] = a[i] * want.p[i] + b[i];
        oracle_step(&r->o, &want, g, t);
        tsr_scope *scope = tsr_scope_begin(c);
        tsr_var *all[4] = {v};
        int n = tsr_optim_count(o);
        for (int i = 0; i < n; i++) all[1 + i] = tsr_optim_state(o, i);
        CHECK_EQ(tsr_optim_step(o, quadratic(c, tsr_var_read(c, v), a, b), NULL), TSR_OK);
        CHECK_EQ(tsr_eval_vars(c, 1 + n, all, 0, NULL), TSR_OK);
        tsr_read(c, tsr_var_read(c, v), p, sizeof p);
        for (int i = 0; i < N; i++) CHECK_CLOSE(p[i], want.p[i], 2e-5, 2e-6);
        CHECK_EQ(tsr_read_scalar(c, tsr_var_read(c, tsr_optim_step_var(o))), t + 1);
        tsr_scope_end(c, scope);
    }
    tsr_optim_free(o);
    tsr_var_free(c, v);
}

TEST(update_rules) {
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        test_case("%s", rules[i].name);
        check_rule(c, &rules[i]);
        CHECK_OK(c);
    }
}

TEST(options_are_checked) {
    static const struct { tsr_optim_opts o; const char *says; } bad[] = {
        {{.kind = TSR_SGD, .lr = -1}, "lr"}, {{.kind = TSR_SGD, .lr = NAN}, "lr"}, {{.kind = TSR_ADAM, .beta1 = 1},
            "betas"},
        {{.kind = TSR_SGD, .nesterov = true}, "nesterov"}, {{.kind = (tsr_optim_kind)9}, "no such optimiser"},
        {{.schedule.kind = (tsr_schedule_kind)7}, "no such schedule"}};
    tsr_ctx *c = test_ctx();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!tsr_optim_new(c, &bad[i].o, 0, NULL, NULL));
        CHECK_ERROR(c, TSR_EINVAL, bad[i].says);
    }
}
