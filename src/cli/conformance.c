/* conformance.c: `tessera conformance stablehlo PATH`: a published suite run case by case.
 *
 * Results go to standard output as a table by operation, then what failed and why files were skipped, then the line
 * `N passed, N failed, N skipped`. One JSON object instead with --json. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "cli/verbs.h"
#include "device/cpu/jit_cache.h"
#include "device/device.h"
#include "formats/stablehlo/conform.h"

struct options {
    const char *tier, *device, *shard, *filter;
    bool json, list;
};
#define AT(member) offsetof(struct options, member)
static const struct cli_option table[] = {
    {"tier", 't', CLI_TEXT, AT(tier), "TIER", 0, 0, "reference (obvious loops), vm (the default) or c (machine code)"},
    {"device", 'd', CLI_TEXT, AT(device), "DEVICE", 0, 0, "run on it (tessera devices lists them); the default is cpu"},
    {"filter", 'f', CLI_TEXT, AT(filter), "TEXT", 0, 0, "only cases whose name has TEXT in it"},
    {"shard", 0, CLI_TEXT, AT(shard), "I/N", 0, 0, "only every Nth file, counted from I (0 to N-1)"},
    {"list-failures", 'l', CLI_FLAG, AT(list), NULL, 0, 0, "each failed and skipped case with its reason"},
    {"json", 0, CLI_FLAG, AT(json), NULL, 0, 0, "one JSON object"},
};

struct row { char *op; int count[CONFORM_OUTCOMES]; };
struct tally {
    tsr_ctx *c;
    VEC(struct row) row;
    int count[CONFORM_OUTCOMES];
    struct str lines; /* of failed and skipped cases, as text or JSON */
    bool json, failed; /* failed: out of memory */
};

static struct row *row_of(struct tally *t, const char *op) {
    for (size_t i = 0; i < t->row.n; i++)
        if (!strcmp(t->row.v[i].op, op)) return &t->row.v[i];
    char *own = mem_strdup(t->c, op);
    if (own && vec_push(t->c, &t->row, (struct row){.op = own})) return &t->row.v[t->row.n - 1];
    mem_strfree(t->c, own);
    return NULL;
}

static const char *const outcomes[] = {"passed", "failed", "skipped", "imported", "foreign"};

static void count(void *user, const struct conform_case *k) {
    struct tally *t = user;
    struct row *r = k->outcome == CONFORM_FOREIGN ? NULL : row_of(t, k->op);
    if (k->outcome != CONFORM_FOREIGN) t->failed = t->failed || !r;
    t->count[k->outcome]++;
    if (r) r->count[k->outcome]++;
    if (k->outcome != CONFORM_FAILED && k->outcome != CONFORM_SKIPPED) return;
    if (!t->json) {
        str_printf(&t->lines, "%s %s: %s\n", outcomes[k->outcome], k->name, k->reason);
        return;
    }
    str_put(&t->lines, t->lines.n ? ",{\"case\":" : "{\"case\":"), str_json(&t->lines, k->name);
    str_put(&t->lines, ",\"op\":"), str_json(&t->lines, k->op);
    str_printf(&t->lines, ",\"outcome\":\"%s\",\"reason\":", outcomes[k->outcome]);
    str_json(&t->lines, k->reason), str_putc(&t->lines, '}');
}

static int by_op(const void *a, const void *b) {
    return strcmp(((const struct row *)a)->op, ((const struct row *)b)->op);
}

static void print_json(const struct tally *t, const struct options *o) {
    printf("{\"suite\":\"stablehlo\",\"tier\":\"%s\",\"device\":\"%s\"", o->tier, o->device);
    for (int i = 0; i < CONFORM_OUTCOMES; i++) printf(",\"%s\":%d", outcomes[i], t->count[i]);
    printf(",\"ops\":{");
    for (size_t i = 0; i < t->row.n; i++) {
        const struct row *r = &t->row.v[i];
        printf("%s\"%s\":{\"passed\":%d,\"failed\":%d,\"skipped\":%d}", i ? "," : "", r->op, r->count[CONFORM_PASSED],
            r->count[CONFORM_FAILED], r->count[CONFORM_SKIPPED]);
    }
    printf("},\"cases\":[%s]}\n", t->lines.s);
}

static void print_text(const struct tally *t, bool list) {
    printf("%-28s %7s %7s %7s\n", "op", "passed", "failed", "skipped");
    for (size_t i = 0; i < t->row.n; i++) {
        const struct row *r = &t->row.v[i];
        printf("%-28s %7d %7d %7d\n", r->op, r->count[CONFORM_PASSED], r->count[CONFORM_FAILED],
            r->count[CONFORM_SKIPPED]);
    }
    if (list && t->lines.n) printf("\n%s", t->lines.s);
    else if (t->count[CONFORM_FAILED] + t->count[CONFORM_SKIPPED])
        printf("\n--list-failures says why cases failed or were skipped.\n");
    if (t->count[CONFORM_IMPORTED])
        printf("%d programs take arguments: imported, not run\n", t->count[CONFORM_IMPORTED]);
    if (t->count[CONFORM_FOREIGN])
        printf("%d files have no cases: upstream gives them to another program\n", t->count[CONFORM_FOREIGN]);
    printf("%d passed, %d failed, %d skipped\n", t->count[CONFORM_PASSED], t->count[CONFORM_FAILED],
        t->count[CONFORM_SKIPPED]);
}

static int run_suite(const char *path, const struct options *o, struct conform_options *co) {
    tsr_ctx *c = cli_open(o->device);
    if (!c) return CLI_FAILED;
    if (!device_of(c)) return cli_fail(c);
    struct tally t = {.c = c, .json = o->json};
    str_init(&t.lines, c);
    co->stop = cli_catch_interrupt();
    tsr_status s = conform_run(c, path, co, count, &t);
    if (t.row.n) qsort(t.row.v, t.row.n, sizeof *t.row.v, by_op);
    if (!s && o->json) print_json(&t, o);
    else if (!s) print_text(&t, o->list);
    bool clean = !s && !t.failed && !t.count[CONFORM_FAILED];
    for (size_t i = 0; i < t.row.n; i++) mem_strfree(c, t.row.v[i].op);
    vec_release(c, &t.row);
    str_release(&t.lines);
    if (s) return cli_fail(c);
    tsr_close(c);
    return *co->stop ? CLI_INTERRUPTED : clean ? CLI_OK : CLI_FAILED;
}

static bool parse_shard(const char *text, struct conform_options *co) {
    char *end;
    if (!text) return true;
    long i = strtol(text, &end, 10), n = *end == '/' ? strtol(end + 1, &end, 10) : 0;
    if (*end || n < 1 || n > 1000000 || i < 0 || i >= n) return false;
    co->shard = (int)i, co->shards = (int)n;
    return true;
}

/* The C tier: every case once on the VM, then all kernels compiled together, then every case again, for the same bits
 * (TSR_JIT). */
static const struct tier { const char *name; enum conform_tier tier; const char *jit; bool settled; } tiers[] = {
    {"reference", CONFORM_REFERENCE, "off", false}, {"vm", CONFORM_PLAN, "off", false},
    {"c", CONFORM_PLAN, "asked", true},
};

static const struct tier *find_tier(const char *name) {
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++)
        if (!strcmp(tiers[i].name, name)) return &tiers[i];
    return NULL;
}

/* Tiers are the cpu's: another device has one way to run. False: *code says how it ended. */
static bool choose(const struct cli_verb *v, struct options *o, struct conform_options *co, int *code) {
    bool other = o->device && strncmp(o->device, "cpu", 3);
    const struct tier *t = find_tier(o->tier ? o->tier : "vm");
    struct jit_tool tool;
    *code = CLI_OK;
    if (!t) *code = cli_usage(v, "there is no tier \"%s\": reference, vm, c", o->tier);
    else if (other && o->tier) *code = cli_usage(v, "--tier is for the cpu: leave it out with --device %s", o->device);
    else if (t->settled && !jit_tool_find(&tool))
        *code = cli_usage(v, "--tier c needs a C compiler: install gcc or clang, or name one with TSR_CC");
    if (*code) return false;
    o->tier = other ? "device" : t->name, o->device = o->device ? o->device : "cpu";
    co->tier = t->tier, co->settled = t->settled, co->config.device = o->device;
    setenv("TSR_JIT", t->jit, 1);
    return true;
}

static int run(const struct cli_verb *v, int argc, char **argv) {
    struct options o = {0};
    struct conform_options co = {0};
    int code;
    if (!cli_parse(v, &argc, argv, &o, &code)) return code;
    if (strcmp(argv[0], "stablehlo")) return cli_usage(v, "there is no suite \"%s\": stablehlo", argv[0]);
    if (!choose(v, &o, &co, &code)) return code;
    co.filter = o.filter;
    if (!parse_shard(o.shard, &co)) return cli_usage(v, "--shard takes I/N with 0 <= I < N, not \"%s\"", o.shard);
    return run_suite(argv[1], &o, &co);
}

const struct cli_verb verb_conformance = {
    .name = "conformance", .args = "stablehlo PATH", .summary = "run a published conformance suite",
    .min_args = 2, .max_args = 2, .option = table, .noption = sizeof table / sizeof *table, .run = run,
    .about = "PATH is a file or folder of OpenXLA's StableHLO tests (testdata, tests/interpret): every function\n"
             "without parameters that checks something is a case, compared as its checks state.\n",
    .examples = "  tessera conformance stablehlo suites/stablehlo\n"
                "  tessera conformance stablehlo suites/stablehlo/testdata --tier reference --filter scatter -l\n"
                "  tessera conformance stablehlo suites/stablehlo --tier c\n"
                "  tessera conformance stablehlo suites/stablehlo --device opencl --list-failures\n"
                "  tessera conformance stablehlo suites/stablehlo --shard 0/4 --json\n",
};
