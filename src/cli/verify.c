/* verify.c: `tessera verify FILE`: op by op, the compiled form against the reference; the first divergence is named.
 *
 * The reference interpreter runs the program; after each node (those of loop bodies too) the VM computes the same node
 * from the reference's operands, so that errors do not pile up. Differences up to rounding are allowed: relative to
 * the greatest value of the tensor, for floats; integers must be equal. Nodes with extents that are still symbols are
 * counted as not checked. The position printed is that of the StableHLO operation the node was made for. */
#include <math.h>
#include <string.h>

#include "cli/program.h"
#include "cli/verbs.h"
#include "graph/interp.h"
#include "graph/ref.h"
#include "run/runner.h"

struct options {
    struct cli_list input;
    const char *entry;
    int64_t seed;
    bool raw;
};
#define AT(member) offsetof(struct options, member)
static const struct cli_option table[] = {
    {"input", 'i', CLI_LIST, AT(input), "FILE", 0, 0, "a .npy file for the next parameter (once for each)"},
    {"random", 'r', CLI_INT, AT(seed), "SEED", 0, 9e15, "random values for parameters without a file"},
    {"entry", 'e', CLI_TEXT, AT(entry), "NAME", 0, 0, "the function to run (main)"},
    {"raw", 0, CLI_FLAG, AT(raw), NULL, 0, 0, "bf16 and f8 stand in files as unsigned integers"},
};

struct verify {
    const struct program *p;
    int64_t checked, unchecked;
};

/* ---- one node on the VM ----------------------------------------------------------------------------------------- */

static bool is_static(const tsr_node *n) {
    int64_t dim[TSR_MAX_RANK];
    for (int i = 0; i < type_results(n->type); i++)
        if (type_result(n->type, i)->kind != TSR_TENSOR || !tsr_type_ints(type_result(n->type, i), dim)) return false;
    for (int i = 0; i < n->nsrc; i++)
        for (int j = 0; j < type_results(n->src[i]->type); j++)
            if (!tsr_type_ints(type_result(n->src[i]->type, j), dim)) return false;
    for (int i = 0; i < n->nattr; i++) {
        const struct attr *a = &n->attr[i];
        if (attr_kind(a->key) != ATTR_KIND_EXTS) continue;
        for (size_t j = 0; j < a->n; j++)
            if (!tsr_extent_is_int(a->exts[j], NULL)) return false;
    }
    return true;
}

/* A fn of this node alone. */
static tsr_fn *fn_of_node(tsr_ctx *c, const tsr_node *n) {
    tsr_node *src[64], *out[64], *made;
    int results = type_results(n->type);
    if (tsr_fn_begin(c, op_name(n->op))) return NULL;
    for (int i = 0; i < n->nsrc; i++) src[i] = tsr_param(c, n->src[i]->type, NULL);
    made = node_rebuild(c, n, src);
    for (int i = 0; i < results; i++) out[i] = n->type->kind == TSR_TUPLE ? tsr_item(c, made, i) : made;
    return tsr_fn_end(c, results, out);
}

static double tolerance(tsr_dtype t) {
    tsr_kind k = tsr_dtype_of(t)->kind;
    if (k != TSR_KIND_FLOAT && k != TSR_KIND_COMPLEX) return 0;
    if (t == TSR_F64 || t == TSR_C128) return 1e-12;
    if (t == TSR_F32 || t == TSR_C64) return 1e-5;
    return t == TSR_F16 ? 1e-2 : t == TSR_BF16 ? 5e-2 : 0.3;
}

static bool apart(double got, double want, double most) {
    if (isnan(got) || isnan(want)) return isnan(got) != isnan(want);
    return got != want && !(fabs(got - want) <= most);
}

/* The first element that differs; -1: none. */
static int64_t first_apart(const struct ref_tensor *got, const struct ref_tensor *want) {
    tsr_kind k = tsr_dtype_of(got->dtype)->kind;
    double most = 0;
    for (int64_t i = 0; i < want->count; i++) {
        struct ref_val v = ref_get(want, i);
        double m = k == TSR_KIND_COMPLEX ? hypot(v.re, v.im) : fabs(v.re);
        if (isfinite(m) && m > most) most = m;
    }
    most *= tolerance(got->dtype);
    for (int64_t i = 0; i < want->count; i++) {
        struct ref_val g = ref_get(got, i), w = ref_get(want, i);
        if (g.i != w.i || g.u != w.u || apart(g.re, w.re, most) || apart(g.im, w.im, most)) return i;
    }
    return -1;
}

/* ---- the walk --------------------------------------------------------------------------------------------------- */

static const struct hlo_op *origin_of(const struct program *p, const tsr_node *n) {
    size_t lo = 0, hi = p->origins.n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (p->origins.v[mid].first <= n->id) lo = mid + 1;
        else hi = mid;
    }
    return lo ? p->origins.v[lo - 1].op : NULL;
}

static tsr_status diverged(struct verify *v, const tsr_node *n, int result, int64_t at, const struct ref_tensor *got,
    const struct ref_tensor *want) {
    const struct hlo_op *op = origin_of(v->p, n);
    struct ref_val g = ref_get(got, at), w = ref_get(want, at);
    char where[512] = "";
    if (op) snprintf(where, sizeof where, "%s:%u:%u: %s: ", v->p->m->file, op->loc.line, op->loc.col, op->name);
    return err_set(v->p->c, TSR_ECHECK, "%s%s, result %d, element %lld of %s: compiled %.9g, reference %.9g", where,
        op_name(n->op), result, (long long)at, type_text(v->p->c, type_result(n->type, result)),
        g.re + (double)g.i + (double)g.u, w.re + (double)w.i + (double)w.u);
}

static tsr_status compare(struct verify *v, const tsr_node *n, tsr_node **got, int nout,
    const struct ref_tensor *want) {
    tsr_ctx *c = v->p->c;
    tsr_status s = TSR_OK;
    for (int i = 0; i < nout && !s; i++) {
        size_t bytes;
        if (!tsr_dtype_bytes(want[i].dtype, want[i].count, &bytes)) continue;
        struct ref_tensor t = want[i];
        if (!(t.p = mem_alloc(c, bytes))) return TSR_ENOMEM;
        s = tsr_read(c, got[i], t.p, bytes);
        int64_t at = s ? -1 : first_apart(&t, &want[i]);
        if (at >= 0) s = diverged(v, n, i, at, &t, &want[i]);
        mem_free(c, t.p, bytes);
    }
    return s;
}

static tsr_status check_node(struct verify *v, const tsr_node *n, int nin, const struct ref_tensor *in, int nout,
    const struct ref_tensor *out) {
    tsr_ctx *c = v->p->c;
    tsr_node *arg[64], *got[64];
    tsr_fn *f = fn_of_node(c, n);
    if (!f) return tsr_error_status(c);
    for (int i = 0; i < nin; i++) arg[i] = tsr_tensor(c, in[i].dtype, in[i].rank, in[i].dim, in[i].p);
    tsr_status s = tsr_run(c, f, nin, arg, got);
    if (!s) s = compare(v, n, got, nout, out);
    tsr_fn_free(c, f);
    v->checked++;
    return s;
}

static tsr_status on_node(void *user, const tsr_fn *f, const tsr_node *n, int nin, const struct ref_tensor *in,
    int nout, const struct ref_tensor *out) {
    struct verify *v = user;
    if (op_def(n->op)->cls == OP_LEAF || f->composite) return TSR_OK;
    if (nin != n->nsrc || nin > 64 || nout > 64 || !is_static(n)) {
        v->unchecked++;
        return TSR_OK;
    }
    tsr_scope *scope = tsr_scope_begin(v->p->c);
    if (!scope) return TSR_ENOMEM;
    tsr_status s = check_node(v, n, nin, in, nout, out);
    tsr_scope_end(v->p->c, scope);
    return s;
}

static tsr_status walk(struct verify *v) {
    const struct program *p = v->p;
    struct arena a;
    arena_init(&a, p->c);
    struct ref_tensor *in = arena_array(&a, (size_t)p->n + 1, sizeof *in);
    struct ref_tensor *out = arena_array(&a, p->fn->result.n + 1, sizeof *out);
    tsr_status s = in && out ? tsr_eval(p->c, p->n, p->arg) : TSR_ENOMEM;
    for (int i = 0; i < p->n && !s; i++) {
        const tsr_type *t = tsr_node_type(p->arg[i]);
        in[i] = (struct ref_tensor){.dtype = t->dtype, .rank = t->rank, .count = 1};
        tsr_type_ints(t, in[i].dim);
        for (int d = 0; d < t->rank; d++) in[i].count *= in[i].dim[d];
        s = resident_host_buf(p->arg[i]->buf[0], ref_bytes(&in[i]), &a, (void **)&in[i].p);
    }
    struct interp_opts o = {.node = on_node, .user = v, .poison = 0xA5};
    if (!s) s = interp_run(p->c, p->fn, p->n, in, &a, out, &o);
    arena_release(&a);
    return s;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {.seed = -1};
    struct program p;
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    tsr_ctx *c = cli_open("cpu");
    if (!c) return CLI_FAILED;
    struct program_options po = {o.entry, &o.input, o.seed, o.raw};
    struct verify k = {.p = &p};
    bool ok = program_open(&p, c, argv[0], &po);
    if (ok && p.engine)
        ok = !err_set(c, TSR_EINVAL, "%s is an engine, without a graph to walk: verify the model it was compiled from",
            argv[0]);
    ok = ok && !walk(&k);
    program_close(&p);
    if (!ok) return cli_fail(c);
    printf("%lld operations agree, %lld were not checked (symbolic extents)\n", (long long)k.checked,
        (long long)k.unchecked);
    tsr_close(c);
    return CLI_OK;
}

const struct cli_verb verb_verify = {
    .name = "verify", .args = "FILE", .summary = "compare a program op by op with the reference", .min_args = 1,
    .max_args = 1, .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "FILE is a StableHLO program. Each operation is compiled alone and run on the reference's operands; the\n"
             "first one that differs by more than rounding is named with its position, and the exit code is 1.\n",
    .examples = "  tessera verify f.mlir --input x.npy\n  tessera verify f.mlir --random 0\n",
};
