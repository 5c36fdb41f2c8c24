/* devices.c: `tessera devices`: what computes here, how fast, and what of it is trusted.
 *
 * Every kind of device is asked how many there are; a kind without any says what is missing and how to get it.
 * --measure runs small tile programs on each (rates.h), --self-test every op against the reference (selftest.h), with
 * the cpu's tile VM beside it to say which ops have its bits. Progress is for people: on standard error, on a terminal,
 * after a second. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "cli/verbs.h"
#include "device/device.h"
#include "run/rates.h"
#include "run/runner.h"
#include "run/selftest.h"

struct options {
    const char *device, *op;
    bool measure, self_test, json;
    int64_t seed;
};
#define AT(member) offsetof(struct options, member)
static const struct cli_option table[] = {
    {"device", 'd', CLI_TEXT, AT(device), "DEVICE", 0, 0, "only this one: cpu, opencl, cuda:1"},
    {"measure", 'm', CLI_FLAG, AT(measure), NULL, 0, 0, "copy bandwidth and multiply-adds a second, measured"},
    {"self-test", 's', CLI_FLAG, AT(self_test), NULL, 0, 0, "every op against the reference: what is trusted"},
    {"op", 0, CLI_TEXT, AT(op), "OP", 0, 0, "self-test of this op alone"},
    {"seed", 0, CLI_INT, AT(seed), "N", 0, 9e15, "of the self-test's random instances"},
    {"json", 0, CLI_FLAG, AT(json), NULL, 0, 0, "one JSON object a line"},
};

/* ---- what a device is ------------------------------------------------------------------------------------------- */

static void print_facts(const char *name, const struct device *d) {
    const struct device_facts *f = &d->facts;
    printf("%s%-10s%s %s\n", term_style(stdout, STYLE_BOLD), name, term_style(stdout, STYLE_NONE),
        *f->name ? f->name : "computes nothing: for plans and tests");
    if (*f->driver) printf("           %s\n", f->driver);
    printf("          ");
    if (*f->arch) printf(" %s,", f->arch);
    if (f->units) printf(" %d units,", f->units);
    if (f->memory) printf(" %.1f GB of its own memory", (double)f->memory * 1e-9);
    else printf(" the host's memory");
    if (f->local_bytes) printf(", %zu KB local", f->local_bytes >> 10);
    printf("\n");
}

static void json_member(struct str *s, const char *name, const char *value) {
    if (!*value) return;
    str_printf(s, ",\"%s\":", name), str_json(s, value);
}

static void print_json(tsr_ctx *c, const char *name, const struct device_facts *f, const struct rates *r,
    const char *why) {
    struct str s;
    str_init(&s, c);
    str_put(&s, "{\"device\":"), str_json(&s, name);
    str_printf(&s, ",\"found\":%s", f ? "true" : "false");
    json_member(&s, "why", why);
    if (f) {
        json_member(&s, "name", f->name), json_member(&s, "driver", f->driver), json_member(&s, "arch", f->arch);
        str_printf(&s, ",\"units\":%d,\"memory\":%zu,\"local_bytes\":%zu", f->units, f->memory, f->local_bytes);
    }
    if (r)
        str_printf(&s, ",\"copy_bytes_per_s\":%.4g,\"fma_flops\":%.4g,\"dot_flops\":%.4g", r->copy, r->chain, r->dot);
    str_putc(&s, '}');
    puts(s.failed ? "" : s.s);
    str_release(&s);
}

static void print_missing(tsr_ctx *c, const struct options *o, const char *name, const char *why) {
    if (o->json) print_json(c, name, NULL, NULL, why);
    else printf("%s%-10s%s none: %s\n", term_style(stdout, STYLE_DIM), name, term_style(stdout, STYLE_NONE), why);
}

/* ---- the self-test ---------------------------------------------------------------------------------------------- */

/* A row of the table: an op over its dtypes. */
struct row {
    const char *op;
    int count[SELFTEST_OUTCOMES], dtypes, same_bits, instances;
    double worst;
};
struct tally {
    const struct options *o;
    struct row row; /* of the present op */
    int ops[SELFTEST_OUTCOMES], same_bits, cases;
    double started, drawn;
    bool live;
};

static enum selftest_outcome worst_outcome(const struct row *r) {
    return r->count[SELFTEST_FAILED] ? SELFTEST_FAILED : r->count[SELFTEST_UNCLAIMED] ? SELFTEST_UNCLAIMED
        : SELFTEST_PASSED;
}

static void end_row(struct tally *t) {
    static const char *const word[] = {"passed", "FAILED", "not claimed"};
    static const enum term_style color[] = {STYLE_GREEN, STYLE_RED, STYLE_YELLOW};
    const struct row *r = &t->row;
    if (!r->op) return;
    enum selftest_outcome how = worst_outcome(r);
    bool same = r->same_bits == r->dtypes;
    t->ops[how]++, t->same_bits += same;
    if (t->o->json)
        printf("{\"op\":\"%s\",\"outcome\":\"%s\",\"dtypes\":%d,\"failed\":%d,\"not_claimed\":%d,\"worst\":%.3g,"
            "\"instances\":%d,\"same_bits\":%s}\n", r->op, how == SELFTEST_FAILED ? "failed" : word[how], r->dtypes,
            r->count[SELFTEST_FAILED], r->count[SELFTEST_UNCLAIMED], r->worst, r->instances, same ? "true" : "false");
    else printf("%-26s %s%-11s%s %6d %9d %10.2g   %s\n", r->op, term_style(stdout, color[how]), word[how],
        term_style(stdout, STYLE_NONE), r->dtypes, r->instances, r->worst, same ? "same" : "differ");
}

static void draw(struct tally *t, const struct selftest_case *k) {
    double now = clock_seconds();
    if (!t->live || now - t->started < 1 || now - t->drawn < 0.1) return;
    t->drawn = now;
    fprintf(stderr, "\r\033[K%3d %%  %s %s", 100 * k->number / k->of, k->op, tsr_dtype_name(k->dtype));
    fflush(stderr);
}

static void note(void *user, const struct selftest_case *k) {
    struct tally *t = user;
    if (t->drawn > 0) fprintf(stderr, "\r\033[K");
    if (!t->row.op || strcmp(t->row.op, k->op)) end_row(t), t->row = (struct row){.op = k->op};
    struct row *r = &t->row;
    r->count[k->outcome]++, r->dtypes++, r->same_bits += k->same_bits, r->instances += k->instances, t->cases++;
    if (k->worst > r->worst) r->worst = k->worst;
    if (k->outcome == SELFTEST_FAILED && !t->o->json)
        printf("  %s %s: %s\n", k->op, tsr_dtype_name(k->dtype), k->reason);
    draw(t, k);
}

/* The tile VM, whatever TSR_JIT says, as the device whose bits are asked for; the device reads it when it opens. */
static tsr_ctx *open_twin(void) {
    char before[32];
    tsr_ctx *c = cli_open("cpu");
    snprintf(before, sizeof before, "%s", env_str("TSR_JIT"));
    setenv("TSR_JIT", "off", 1);
    if (c) runner_of(c);
    setenv("TSR_JIT", before, 1);
    return c;
}

static int self_test(tsr_ctx *c, const char *name, const struct options *o) {
    struct tally t = {.o = o, .started = clock_seconds(), .live = !o->json && term_is_live(stderr)};
    tsr_ctx *twin = open_twin();
    struct selftest_options so = {.seed = (uint64_t)o->seed, .op = o->op, .twin = twin, .stop = cli_catch_interrupt()};
    if (!o->json) printf("\nself-test of %s against the reference (worst error in parts of the tolerance; bits beside "
        "the tile VM's)\n%-26s %-11s %6s %9s %10s   %s\n", name, "op", "", "dtypes", "instances", "worst", "bits");
    tsr_status s = selftest_run(c, &so, note, &t);
    end_row(&t);
    if (!s && !o->json)
        printf("%d ops passed, %d failed, %d not claimed (they run on the CPU); %d have the tile VM's bits; %d cases "
            "in %.1f s\n", t.ops[SELFTEST_PASSED], t.ops[SELFTEST_FAILED], t.ops[SELFTEST_UNCLAIMED], t.same_bits,
            t.cases, clock_seconds() - t.started);
    tsr_close(twin);
    if (s) return CLI_FAILED;
    return *so.stop ? CLI_INTERRUPTED : t.ops[SELFTEST_FAILED] ? CLI_FAILED : CLI_OK;
}

/* ---- the verb --------------------------------------------------------------------------------------------------- */

static int fail(tsr_ctx *c, const struct options *o, const char *name) {
    if (o->device) return cli_fail(c);
    print_missing(c, o, name, tsr_error_message(c));
    tsr_close(c);
    return CLI_OK; /* one of many that does not open is a fact, no failure */
}

static int show(const char *name, const struct options *o) {
    tsr_ctx *c = cli_open(name);
    struct rates r;
    if (!c) return CLI_FAILED;
    struct device *d = device_of(c);
    if (!d) return fail(c, o, name);
    bool computes = strcmp(d->ops->name, "null") != 0;
    if (!o->json) print_facts(name, d);
    if (o->measure && computes && rates_measure(c, &r)) return cli_fail(c);
    if (o->json) print_json(c, name, &d->facts, o->measure && computes ? &r : NULL, "");
    else if (o->measure && computes)
        printf("           copies %.1f GB/s, f32: fma over tiles %.1f GFLOP/s, products of tiles %.1f GFLOP/s\n",
            r.copy * 1e-9, r.chain * 1e-9, r.dot * 1e-9);
    int code = o->self_test && (computes || o->device) ? self_test(c, name, o) : CLI_OK;
    if (tsr_error_status(c)) return cli_fail(c);
    tsr_close(c);
    return code;
}

static int show_kind(tsr_ctx *c, const struct device_ops *kind, const struct options *o) {
    char why[256] = "", name[32];
    int code = CLI_OK, n = kind->count(c, why);
    if (!n) print_missing(c, o, kind->name, why);
    for (int i = 0; i < n && code != CLI_INTERRUPTED; i++) {
        snprintf(name, sizeof name, n > 1 ? "%s:%d" : "%s", kind->name, i);
        int one = show(name, o);
        if (one) code = one;
    }
    tsr_error_clear(c);
    return code;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {.seed = 1};
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    if (o.op && !o.self_test) return cli_usage(v, "--op belongs to --self-test");
    if (o.device) return show(o.device, &o);
    tsr_ctx *c = cli_open(NULL);
    if (!c) return CLI_FAILED;
    for (int i = 0; device_kind(i) && code != CLI_INTERRUPTED; i++) {
        int one = show_kind(c, device_kind(i), &o);
        if (one) code = one;
    }
    tsr_close(c);
    return code;
}

const struct cli_verb verb_devices = {
    .name = "devices", .args = "", .summary = "what computes here, how fast, and whether it is right", .option = table,
    .noption = sizeof table / sizeof *table, .run = run,
    .about = "A device is chosen with TSR_DEVICE or --device. With --self-test the exit code is 1 when an op is\n"
             "wrong.\n",
    .examples = "  tessera devices\n  tessera devices --measure\n  tessera devices --self-test --device opencl\n"
                "  TSR_JIT=now tessera devices --self-test --op exp --json\n",
};
