/* lib_check.c: is a library step of a plan a call that the op of that name could have become?
 *
 * A library kernel believes its integers and dims. Plans that lowering made are right by construction; for one that
 * was read from a file each step is turned back into its op: parameters of the operands' types, attributes from the
 * integers (the layouts are those of lower_lib.c), built with the public builder, which knows every rule. What comes
 * out must have the types of the step's results. */
#include <string.h>

#include "compile/plan.h"
#include "tessera/prim.h"

/* The integers, taken one after the other; short: there were fewer. */
struct taker {
    const struct plan_step *s;
    int at;
    bool bad; /* too few, or a number that is no number of its kind */
};

static int64_t take(struct taker *k, int64_t lo, int64_t hi) {
    int64_t v = k->at < k->s->nints ? k->s->ints[k->at] : INT64_MIN;
    k->at++;
    if (v >= lo && v <= hi) return v;
    k->bad = true;
    return lo;
}

static const int64_t *take_list(struct taker *k, int64_t n) {
    int at = k->at;
    if (n > k->s->nints - at) return k->bad = true, k->s->ints;
    k->at += (int)n;
    return k->s->ints + at;
}

enum { AXES = TSR_MAX_RANK };

static tsr_node *sort(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    int axis = (int)take(k, 0, AXES), keys = (int)take(k, 1, INT16_MAX), descending = (int)take(k, 0, 1);
    bool total = take(k, 0, 1);
    (void)want;
    if (k->bad) return NULL;
    return (total ? tsr_prim_sort_total : tsr_prim_sort)(c, n, x, axis, keys, descending, true);
}

static tsr_node *top_k(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    int64_t count = take(k, 0, INT64_MAX);
    (void)n, (void)want;
    return k->bad ? NULL : tsr_prim_top_k(c, x[0], count);
}

static tsr_node *rng_bits(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    tsr_rng how = (tsr_rng)take(k, TSR_RNG_THREEFRY, TSR_RNG_PHILOX);
    (void)n;
    return k->bad ? NULL : tsr_prim_rng_bits(c, how, x[0], want[1]);
}

static tsr_node *fft(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    tsr_fft how = (tsr_fft)take(k, TSR_FFT, TSR_IRFFT);
    int axes = (int)take(k, 0, AXES);
    const int64_t *length = take_list(k, axes);
    (void)n, (void)want;
    return k->bad ? NULL : tsr_prim_fft(c, x[0], how, axes, length);
}

static tsr_node *cholesky(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    bool lower = take(k, 0, 1);
    (void)n, (void)want;
    return k->bad ? NULL : tsr_prim_cholesky(c, x[0], lower);
}

static tsr_node *solve(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    bool left = take(k, 0, 1), lower = take(k, 0, 1), unit = take(k, 0, 1);
    tsr_solve_op how = (tsr_solve_op)take(k, TSR_SOLVE_PLAIN, TSR_SOLVE_ADJOINT);
    (void)n, (void)want;
    return k->bad ? NULL : tsr_prim_triangular_solve(c, x[0], x[1], left, lower, unit, how);
}

static tsr_node *qr(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    (void)n, (void)want, (void)k;
    return tsr_prim_qr(c, x[0]);
}

static tsr_node *svd(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    (void)n, (void)want, (void)k;
    return tsr_prim_svd(c, x[0]);
}

static tsr_node *eigh(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    (void)n, (void)want, (void)k;
    return tsr_prim_eigh(c, x[0]);
}

static tsr_node *scatter(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want) {
    tsr_scatter how = (tsr_scatter)take(k, TSR_SCATTER_SET, TSR_SCATTER_MAX);
    tsr_gather_dims d = {.index_vector_axis = (int)take(k, 0, AXES)};
    d.n_offset = (int)take(k, 0, AXES), d.n_collapsed = (int)take(k, 0, AXES);
    d.n_operand_batching = (int)take(k, 0, AXES), d.n_index_batching = (int)take(k, 0, AXES);
    d.n_map = (int)take(k, 0, AXES);
    d.offset = take_list(k, d.n_offset), d.collapsed = take_list(k, d.n_collapsed);
    d.operand_batching = take_list(k, d.n_operand_batching), d.index_batching = take_list(k, d.n_index_batching);
    d.map = take_list(k, d.n_map);
    (void)n, (void)want;
    return k->bad ? NULL : tsr_prim_scatter(c, x[0], x[1], x[2], &d, how);
}

static tsr_node *select_and_scatter(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x,
    const tsr_type *const *want) {
    tsr_reduce pick = take(k, 0, 1) ? TSR_REDUCE_MIN : TSR_REDUCE_MAX;
    int rank = tsr_node_rank(x[0]);
    tsr_window w = {.extent = take_list(k, rank), .stride = take_list(k, rank)};
    w.pad_low = take_list(k, rank), w.pad_high = take_list(k, rank);
    (void)n, (void)want;
    return k->bad ? NULL : tsr_prim_select_and_scatter(c, x[0], x[1], pick, &w);
}

static const struct rule {
    const char *name;
    int nin, nout; /* sort: 0, as many of either */
    tsr_node *(*build)(tsr_ctx *c, struct taker *k, int n, tsr_node *const *x, const tsr_type *const *want);
} rules[] = {
    {"sort", 0, 0, sort}, {"top_k", 1, 2, top_k}, {"rng_bits", 1, 2, rng_bits}, {"fft", 1, 1, fft},
    {"cholesky", 1, 1, cholesky}, {"triangular_solve", 2, 1, solve}, {"qr", 1, 2, qr}, {"svd", 1, 3, svd},
    {"eigh", 1, 2, eigh}, {"scatter", 3, 1, scatter}, {"select_and_scatter", 2, 1, select_and_scatter},
};

const char *lib_step_name(const char *name) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i].name, name)) return rules[i].name;
    return NULL;
}

static bool refuse(tsr_plan *p, const struct plan_step *s, const char *what) {
    if (!err_any(p->c)) err_set(p->c, TSR_EFORMAT, "plan %s: %s: %s", p->name, s->label, what);
    return false;
}

static bool same_results(tsr_plan *p, const struct plan_step *s, int nin, const tsr_type *const *want, tsr_node *made) {
    if (tsr_is_poison(made)) return refuse(p, s, "its integers are no attributes of that op");
    const tsr_type *t = tsr_node_type(made);
    if (type_results(t) != s->narg - nin) return refuse(p, s, "another number of results");
    for (int i = 0; i < s->narg - nin; i++)
        if (type_result(t, i) != want[i]) return refuse(p, s, "a result is not of the type that op gives");
    return true;
}

/* Inside an open fn of its own, so that sizes which cannot be proved equal become checks of the plan. */
static bool rebuild(tsr_plan *p, const struct plan_step *s, const struct rule *r, struct arena *mem) {
    tsr_ctx *c = p->c;
    int nin = r->nin ? r->nin : s->narg / 2;
    if (s->narg < 1 || s->narg != nin + (r->nin ? r->nout : nin)) return refuse(p, s, "a wrong number of operands");
    const tsr_type **want = arena_array(mem, (size_t)(s->narg - nin) + 1, sizeof *want);
    tsr_node **x = arena_array(mem, (size_t)nin + 1, sizeof *x);
    if (!want || !x) return false;
    for (int i = 0; i < s->narg; i++) {
        const tsr_type *t = p->slot.v[s->arg[i].slot].type;
        if (s->arg[i].writes != (i >= nin)) return refuse(p, s, "operands stand before results");
        if (i >= nin) want[i - nin] = t;
        else x[i] = tsr_param(c, t, NULL);
    }
    struct taker k = {.s = s};
    tsr_node *made = r->build(c, &k, nin, x, want);
    if (!same_results(p, s, nin, want, made)) return false;
    if (k.at != s->nints || s->ndims) return refuse(p, s, "more integers than the op has attributes");
    const tsr_fn *f = fn_open_now(c);
    for (size_t i = 0; i < f->check.n; i++)
        if (!plan_add_check(p, f->check.v[i].a, f->check.v[i].b, f->check.v[i].why)) return false;
    return true;
}

bool lib_step_check(tsr_plan *p, const struct plan_step *s) {
    const struct rule *r = NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (s->lib && !strcmp(rules[i].name, s->lib)) r = &rules[i];
    if (!r) return refuse(p, s, "no library kernel of that name");
    for (int i = 0; i < s->narg; i++)
        if (s->arg[i].kind != PLAN_ARG_SLOT) return refuse(p, s, "a library kernel takes tensors");
    tsr_scope *scope = tsr_scope_begin(p->c);
    if (!scope || tsr_fn_begin(p->c, "check")) return false;
    struct arena mem;
    arena_init(&mem, p->c);
    bool ok = rebuild(p, s, r, &mem);
    tsr_fn_abort(p->c);
    arena_release(&mem);
    tsr_scope_end(p->c, scope);
    return ok;
}
