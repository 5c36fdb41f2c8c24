/* selftest.c: instances of ops made, run twice (with clusters, without) and compared (selftest.h).
 *
 * The fn is built in the context under test and, by the same draws, in the twin; the reference runs once. Arguments and
 * results travel as values, so a device may keep them wherever it likes. */
#include "run/selftest.h"

#include <math.h>
#include <string.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "run/runner.h"

enum { SAMPLES = 4, MOST = 64 };

struct selftest {
    tsr_ctx *c;
    const struct selftest_options *o;
    struct selftest_case k;   /* the present one */
    struct str reason, differs, graph;
};

/* One instance in one context. */
struct instance {
    tsr_ctx *c;
    struct sample s;
    tsr_fn *fn;
    struct ref_tensor in[MOST];
};

/* ---- comparison ---- */

/* The error of one number in parts of its tolerance; infinity when no tolerance helps. */
static double error_of(double got, double want, double scale, const struct sample *s) {
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if (isnan(got) || isinf(want) || isinf(got)) return got == want ? 0 : INFINITY;
    double off = fabs(got - want), most = s->atol + s->rtol * fmax(fabs(want), scale);
    return off == 0 ? 0 : off / most;
}

static double element_error(const struct ref_tensor *a, const struct ref_tensor *b, int64_t i, const struct sample *s) {
    struct ref_val x = ref_get(a, i), y = ref_get(b, i);
    switch (tsr_dtype_of(a->dtype)->kind) {
    case TSR_KIND_FLOAT: return error_of(x.re, y.re, 0, s);
    case TSR_KIND_COMPLEX: {
        double scale = fmax(fabs(y.re), fabs(y.im));
        return fmax(error_of(x.re, y.re, scale, s), error_of(x.im, y.im, scale, s));
    }
    case TSR_KIND_INT: return x.i == y.i ? 0 : INFINITY;
    default: return x.u == y.u ? 0 : INFINITY;
    }
}

static double number(const struct ref_tensor *t, int64_t i) {
    struct ref_val v = ref_get(t, i);
    tsr_kind k = tsr_dtype_of(t->dtype)->kind;
    return k == TSR_KIND_FLOAT || k == TSR_KIND_COMPLEX ? v.re : k == TSR_KIND_INT ? (double)v.i : (double)v.u;
}

/* Keeps the worst error; false, with the first wrong element said, when one is beyond the tolerance. */
static bool compare(struct selftest *t, const struct sample *s, int result, const struct ref_tensor *got,
    const struct ref_tensor *want) {
    int64_t wrong = 0, first = 0;
    for (int64_t j = 0; j < want->count; j++) {
        double e = element_error(got, want, j, s);
        t->k.worst = fmax(t->k.worst, e);
        if (e > 1 && !wrong++) first = j;
    }
    if (wrong && !t->reason.n)
        str_printf(&t->reason, "result %d (%s, %lld elements): %lld differ, first at %lld: got %.9g, want %.9g", result,
            tsr_dtype_name(want->dtype), (long long)want->count, (long long)wrong, (long long)first,
            number(got, first), number(want, first));
    return !wrong;
}

/* The last byte of an odd number of 4-bit elements, without the half that is none. */
static uint8_t last_byte(const struct ref_tensor *t, size_t n) {
    return tsr_dtype_of(t->dtype)->bits == 4 && t->count % 2 ? t->p[n - 1] & 15 : t->p[n - 1];
}

static void compare_bits(struct selftest *t, int result, const struct ref_tensor *got, const struct ref_tensor *twin) {
    size_t n = ref_bytes(got), at = 0;
    if (!n || (memcmp(got->p, twin->p, n - 1) == 0 && last_byte(got, n) == last_byte(twin, n))) return;
    while (got->p[at] == twin->p[at]) at++;
    int64_t i = (int64_t)(at * 8 / (size_t)tsr_dtype_of(got->dtype)->bits);
    if (!t->differs.n)
        str_printf(&t->differs, "result %d (%s, %lld elements) at %lld: %.17g, the other device has %.17g", result,
            tsr_dtype_name(got->dtype), (long long)got->count, (long long)i, number(got, i), number(twin, i));
}

/* ---- running ---- */

/* Runs the fn by a plan of these options; out gets tensors in the arena, in the shapes of `like`. */
static tsr_status run_instance(const struct instance *k, bool fuse, bool check, struct arena *a,
    const struct ref_tensor *like, struct ref_tensor *out) {
    struct compile_opts o = {.fuse = fuse, .check = check};
    struct run run = {.c = k->c, .f = k->fn, .tier = TSR_TIER_REFERENCE}; /* no plan of the cache: ours */
    tsr_node *arg[MOST], *value[MOST];
    tsr_status s = TSR_OK;
    for (size_t i = 0; i < k->fn->param.n; i++) arg[i] = tsr_from(k->c, k->fn->param.v[i].node->type, k->in[i].p);
    s = run_open(&run, (int)k->fn->param.n, arg);
    if (!s && !(run.plan = compile_fn(k->c, k->fn, &o))) s = tsr_error_status(k->c);
    if (!s) s = run_compute(&run);
    if (!s) s = run_wrap(&run, value);
    for (size_t i = 0; i < k->fn->result.n && !s; i++) {
        out[i] = like[i];
        if (!(out[i].p = arena_alloc(a, ref_bytes(&like[i]) + 1))) s = TSR_ENOMEM;
        else s = tsr_read(k->c, value[i], out[i].p, ref_bytes(&like[i]));
    }
    run_close(&run);
    return s;
}

/* The error of a case becomes its reason. */
static void take_error(tsr_ctx *c, struct str *to) {
    if (!to->n) str_put(to, tsr_error_message(c));
    tsr_error_clear(c);
}

/* False: stop with this case. */
static bool run_way(struct selftest *t, const struct instance *k, const struct instance *twin,
    const struct ref_tensor *want, bool fuse, struct arena *a) {
    struct ref_tensor got[MOST], other[MOST];
    uint64_t unclaimed = device_of(t->c)->unclaimed;
    tsr_status s = run_instance(k, fuse, t->o->check, a, want, got);
    if (s) {
        t->k.outcome = s == TSR_EUNSUPPORTED ? SELFTEST_UNCLAIMED : SELFTEST_FAILED;
        return take_error(t->c, &t->reason), false;
    }
    bool right = true;
    for (size_t i = 0; i < k->fn->result.n; i++) right = compare(t, &k->s, (int)i, &got[i], &want[i]) && right;
    if (!right) t->k.outcome = SELFTEST_FAILED;
    else if (device_of(t->c)->unclaimed > unclaimed) t->k.outcome = SELFTEST_UNCLAIMED;
    if (!twin) return right;
    if (run_instance(twin, fuse, false, a, want, other)) return take_error(twin->c, &t->differs), right;
    for (size_t i = 0; i < k->fn->result.n; i++) compare_bits(t, (int)i, &got[i], &other[i]);
    return right;
}

/* The same draws give the same instance in every context. False: none; no error when the sampler has none in this
 * dtype. */
static bool make_instance(struct instance *k, tsr_ctx *c, const struct op_def *d, tsr_dtype t, int size, struct rng r,
    struct arena *a) {
    k->c = c;
    sample_init(&k->s, t, &r, size);
    k->fn = d->sample(c, &k->s);
    bool fits = k->fn && k->fn->param.n <= MOST && k->fn->result.n <= MOST;
    if (k->fn && !fits) err_set(c, TSR_EINVAL, "%s: its sampler made a fn of more than %d values", d->name, MOST);
    bool ok = fits && !sample_fill(&k->s, k->fn, a, k->in);
    k->s.rng = NULL;
    return ok;
}

/* Small twice, medium, and the last beyond a tile. */
static int size_of(const struct selftest *t, int number) {
    int last = (t->o->samples ? t->o->samples : SAMPLES) - 1;
    return number == last && last ? 2 : number > 1;
}

static bool run_made(struct selftest *t, const struct op_def *d, int number, struct instance *k, struct arena *a) {
    struct rng r = {t->o->seed, hash_mix(hash_str(t->k.dtype, d->name), (uint64_t)number), 0};
    struct ref_tensor want[MOST];
    struct instance twin = {0};
    int size = size_of(t, number);
    if (!make_instance(k, t->c, d, t->k.dtype, size, r, a) ||
        interp_run(t->c, k->fn, (int)k->fn->param.n, k->in, a, want, NULL)) {
        if (err_any(t->c)) t->k.outcome = SELFTEST_FAILED, take_error(t->c, &t->reason);
        return false;
    }
    bool both = t->o->twin && make_instance(&twin, t->o->twin, d, t->k.dtype, size, r, a), ok = true;
    if (t->o->twin && !both) take_error(t->o->twin, &t->differs);
    for (int fuse = t->o->fused_only; fuse < 2 && ok; fuse++) {
        ok = run_way(t, k, both ? &twin : NULL, want, fuse, a);
        t->k.instances += ok;
    }
    if (t->o->twin) tsr_fn_free(t->o->twin, twin.fn);
    return ok;
}

static bool run_sample(struct selftest *t, const struct op_def *d, int number) {
    tsr_scope *scope = tsr_scope_begin(t->c), *other = t->o->twin ? tsr_scope_begin(t->o->twin) : NULL;
    struct instance k = {0};
    struct arena a;
    arena_init(&a, t->c);
    bool ok = run_made(t, d, number, &k, &a);
    char *text = !ok && k.fn ? tsr_fn_print(t->c, k.fn) : NULL;
    if (text) str_put(&t->graph, text);
    tsr_text_free(t->c, text);
    tsr_fn_free(t->c, k.fn);
    arena_release(&a);
    tsr_scope_end(t->c, scope);
    if (other) tsr_scope_end(t->o->twin, other);
    return ok;
}

/* ---- the table ---- */

static bool in_table(const struct op_def *d, tsr_dtype t) {
    return d && d->sample != sample_elsewhere && op_admits(d->domain, t);
}

static void run_case(struct selftest *t, const struct op_def *d, selftest_report *report, void *user) {
    str_clear(&t->reason), str_clear(&t->differs), str_clear(&t->graph);
    int samples = t->o->samples ? t->o->samples : SAMPLES;
    t->k.op = d->name, t->k.outcome = SELFTEST_PASSED, t->k.instances = 0, t->k.worst = 0;
    for (int n = 0; n < samples && run_sample(t, d, n); n++) {}
    t->k.differs = t->differs.s, t->k.graph = t->graph.s;
    t->k.same_bits = t->o->twin && t->k.instances && !t->differs.n;
    if (t->k.outcome == SELFTEST_UNCLAIMED && !t->reason.n) str_put(&t->reason, "kernels of it ran on the CPU");
    t->k.reason = t->reason.s;
    bool none = t->k.outcome == SELFTEST_PASSED && !t->k.instances; /* nothing of the op exists in this dtype */
    if (!none) report(user, &t->k);
}

/* Calls run_case on each case of the options; with report NULL counts them. */
static int each_case(struct selftest *t, selftest_report *report, void *user) {
    const struct selftest_options *o = t->o;
    int n = 0, all = 0;
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        if (o->op && d && strcmp(o->op, d->name)) continue;
        for (int type = 0; type <= TSR_C128; type++) {
            if (!in_table(d, (tsr_dtype)type) || (o->shards && all++ % o->shards != o->shard)) continue;
            t->k.dtype = (tsr_dtype)type, t->k.number = n++;
            if (report && !(o->stop && *o->stop)) run_case(t, d, report, user);
        }
    }
    return n;
}

tsr_status selftest_run(tsr_ctx *c, const struct selftest_options *o, selftest_report *report, void *user) {
    struct selftest t = {.c = c, .o = o};
    if (!runner_of(c)) return tsr_error_status(c);
    if (o->twin && !runner_of(o->twin)) return err_set(c, TSR_ENOTFOUND, "%s", tsr_error_message(o->twin));
    if (!(t.k.of = each_case(&t, NULL, NULL)))
        return err_set(c, TSR_ENOTFOUND, "self-test: no op%s%s has a sampler in this part of the table",
            o->op ? " called " : "", o->op ? o->op : "");
    str_init(&t.reason, c), str_init(&t.differs, c), str_init(&t.graph, c);
    each_case(&t, report, user);
    bool failed = t.reason.failed || t.differs.failed || t.graph.failed;
    str_release(&t.reason), str_release(&t.differs), str_release(&t.graph);
    return failed ? TSR_ENOMEM : TSR_OK;
}
