/* conform.c: finds the cases of a suite, runs each on a tier, compares as its checks state (conform.h).
 *
 * A file is read section by section, so that one bad section fails alone. What upstream has switched off
 * (RUN-DISABLED) runs all the same: it counts when it passes and is skipped, with upstream's reason, when it does not.
 * Files that the suite gives to another program than the interpreter have no cases; their @main is imported. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "formats/stablehlo/conform.h"
#include "formats/stablehlo/read.h"
#include "formats/stablehlo/twin.h"
#include "graph/node.h"
#include "run/runner.h"

enum { BATCH = 256 }; /* files that share a context and its kernels, when they run twice */

struct conform {
    tsr_ctx *c; /* of the present file or batch */
    const struct conform_options *o;
    conform_report *report;
    void *user;
    const char *file;  /* name without folders */
    bool runs;         /* upstream gives it to the interpreter */
    bool disabled;     /* upstream does not run it, */
    struct str why_disabled; /* for this reason */
    struct str name, reason;
    bool rehearsal;    /* the first of two runs: reports nothing, */
    VEC(uint64_t) bits; /* but keeps a hash of each case's results, in order */
    size_t at;         /* the second run's place in it */
};

static bool report(struct conform *k, const char *op, enum conform_outcome outcome) {
    struct conform_case done = {k->name.s, op, outcome, k->reason.s};
    if (!k->rehearsal) k->report(k->user, &done);
    return true;
}

/* ---- which functions are cases ---------------------------------------------------------------------------------- */

static bool is_check(const struct hlo_op *op) {
    if (op->code == HLO_OP_CUSTOM_CALL) {
        const char *target = hlo_get_text(op, "call_target_name");
        return target && !strncmp(target, "check.", 6);
    }
    return !strncmp(op->name, "check.", 6);
}

static const struct hlo_op *first_check(const struct hlo_op *func) {
    if (func->nregion != 1 || func->region[0].nblock != 1) return NULL;
    for (const struct hlo_op *op = func->region[0].block[0].first; op; op = op->next)
        if (is_check(op)) return op;
    return NULL;
}

static const struct hlo_op *first_func(const struct hlo_module *m) {
    const struct hlo_op *op = m->op->region[0].nblock ? m->op->region[0].block[0].first : NULL;
    while (op && op->code != HLO_OP_FUNC) op = op->next;
    return op;
}

static const struct hlo_op *next_func(const struct hlo_op *op) {
    do op = op->next;
    while (op && op->code != HLO_OP_FUNC);
    return op;
}

static bool has_body(const struct hlo_op *func) { return func->nregion == 1 && func->region[0].nblock == 1; }

/* What the first check looks at; a call or a value from elsewhere says nothing, then the file's name up to the first
 * "_" does. */
static const char *op_under_test(struct conform *k, const struct hlo_op *func, struct str *room) {
    const struct hlo_op *check = first_check(func);
    const struct hlo_op *from = check && check->noperand ? check->operand[0]->op : NULL;
    str_clear(room);
    if (from && (!strncmp(from->name, "stablehlo.", 10) || !strncmp(from->name, "chlo.", 5))) {
        str_put(room, strchr(from->name, '.') + 1);
        return room->s;
    }
    size_t n = strcspn(k->file, "_.");
    str_putn(room, k->file, n);
    return room->s;
}

/* ---- one case --------------------------------------------------------------------------------------------------- */

static bool compare_one(struct conform *k, const struct hlo_check *check, tsr_node *actual, tsr_node *expected) {
    const tsr_type *t = tsr_node_type(actual);
    size_t bytes;
    int64_t dim[TSR_MAX_RANK], count = 1;
    str_printf(&k->reason, "%s:%u:%u: ", k->file, check->loc.line, check->loc.col);
    if (t != tsr_node_type(expected) || !type_bytes(t, &bytes) || !tsr_type_ints(t, dim)) {
        str_printf(&k->reason, "%s is compared with %s", type_text(k->c, t), type_text(k->c, tsr_node_type(expected)));
        return false;
    }
    for (int i = 0; i < t->rank; i++) count *= dim[i];
    void *a = mem_alloc(k->c, bytes), *b = mem_alloc(k->c, bytes);
    bool ok = a && b && !tsr_read(k->c, actual, a, bytes) && !tsr_read(k->c, expected, b, bytes);
    if (ok) ok = conform_compare(check, t->dtype, count, a, b, &k->reason);
    else str_put(&k->reason, tsr_error_message(k->c));
    mem_free(k->c, a, bytes), mem_free(k->c, b, bytes);
    if (ok) str_clear(&k->reason);
    return ok;
}

/* The nibble behind an odd number of 4-bit elements is nobody's. */
static void clear_padding(const tsr_type *t, uint8_t *p, size_t bytes) {
    int64_t dim[TSR_MAX_RANK], odd = 1;
    if (tsr_dtype_of(t->dtype)->bits != 4 || !tsr_type_ints(t, dim)) return;
    for (int i = 0; i < t->rank; i++) odd &= dim[i];
    if (odd & 1) p[bytes - 1] &= 15;
}

static bool hash_results(struct conform *k, int n, tsr_node *const *out, uint64_t *hash) {
    *hash = (uint64_t)n;
    for (int i = 0; i < n; i++) {
        size_t bytes;
        uint8_t *p = type_bytes(tsr_node_type(out[i]), &bytes) ? mem_alloc(k->c, bytes + 1) : NULL;
        bool ok = p && !tsr_read(k->c, out[i], p, bytes);
        if (ok) clear_padding(tsr_node_type(out[i]), p, bytes);
        if (ok) *hash = hash_bytes(*hash, p, bytes);
        mem_free(k->c, p, bytes + 1);
        if (!ok) return false;
    }
    return true;
}

/* The second of two runs has the bits of the first. hash 0: the case failed before. */
static bool same_bits(struct conform *k, uint64_t hash) {
    if (k->rehearsal) return vec_push(k->c, &k->bits, hash);
    if (k->at < k->bits.n && k->bits.v[k->at++] == hash) return true;
    str_put(&k->reason, "the compiled kernels give other bits than the first run, which compiled none");
    return false;
}

static bool run_case(struct conform *k, tsr_fn *f, const hlo_checks *checks) {
    int n = tsr_fn_results(f);
    tsr_node **out = mem_array(k->c, (size_t)n + 1, sizeof *out);
    if (!out) return false;
    bool ok = !(k->o->tier == CONFORM_PLAN ? tsr_run : tsr_interpret)(k->c, f, 0, NULL, out);
    if (!ok) str_put(&k->reason, tsr_error_message(k->c));
    uint64_t hash = 0;
    if (ok && k->o->settled && !(ok = hash_results(k, n, out, &hash))) str_put(&k->reason, tsr_error_message(k->c));
    if (k->o->settled) ok = same_bits(k, hash) && ok;
    for (size_t i = 0; ok && i < checks->n; i++) ok = compare_one(k, &checks->v[i], out[2 * i], out[2 * i + 1]);
    mem_array_free(k->c, out, (size_t)n + 1, sizeof *out);
    return ok;
}

/* What went wrong while importing or running is in the context; it is cleared for the next case. */
static bool import_and_run(struct conform *k, const struct hlo_module *m, const char *func, bool run) {
    hlo_checks checks = {0};
    struct hlo_import_options o = {.checks = run, .partition = -1, .replica = -1,
        .tier = k->o->tier == CONFORM_PLAN ? TSR_TIER_PLAN : TSR_TIER_REFERENCE};
    tsr_scope *scope = tsr_scope_begin(k->c);
    tsr_fn *f = scope ? hlo_import(m, func, &o, &checks) : NULL;
    if (!f) str_put(&k->reason, tsr_error_message(k->c));
    bool ok = f && (!run || run_case(k, f, &checks));
    tsr_fn_free(k->c, f);
    vec_release(k->c, &checks);
    if (scope) tsr_scope_end(k->c, scope);
    tsr_error_clear(k->c);
    return ok;
}

static void run_func(struct conform *k, const struct hlo_module *m, const struct hlo_op *func, bool run) {
    const char *name = hlo_get_text(func, "sym_name"), *module = hlo_get_text(m->op, "sym_name");
    struct str op;
    str_clear(&k->name), str_clear(&k->reason);
    str_put(&k->name, k->file);
    bool alone = !strcmp(name, "main");
    if (!alone && module) str_printf(&k->name, ":%s.%s", module, name);
    else if (!alone) str_printf(&k->name, ":%s", name);
    else if (module && strncmp(module, "jit_", 4)) str_printf(&k->name, ":%s", module);
    if (k->o->filter && !strstr(k->name.s, k->o->filter)) return;
    str_init(&op, k->c);
    bool ok = import_and_run(k, m, name, run);
    if (!ok && k->disabled) {
        struct str own = k->reason;
        str_init(&k->reason, k->c);
        str_printf(&k->reason, "disabled upstream (%s): %s", k->why_disabled.s, own.s);
        str_release(&own);
    }
    op_under_test(k, func, &op);
    report(k, op.s, !ok ? k->disabled ? CONFORM_SKIPPED : CONFORM_FAILED : run ? CONFORM_PASSED : CONFORM_IMPORTED);
    str_release(&op);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static void run_module(struct conform *k, const struct hlo_module *m) {
    bool checks = false;
    int cases = 0;
    for (const struct hlo_op *f = first_func(m); f; f = next_func(f)) checks = checks || first_check(f);
    for (const struct hlo_op *f = first_func(m); k->runs && f; f = next_func(f)) {
        if (!has_body(f) || f->region[0].block[0].narg || (checks && !first_check(f))) continue;
        run_func(k, m, f, true), cases++;
    }
    const struct hlo_op *main = hlo_find_func(m, "main");
    if (!cases && main && has_body(main)) run_func(k, m, main, false);
}

static bool find(const struct file_map *f, size_t within, const char *word, size_t *at) {
    size_t n = strlen(word), end = f->n < within ? f->n : within;
    for (size_t i = 0; i + n <= end; i++)
        if (!memcmp(f->p + i, word, n)) return *at = i, true;
    return false;
}

enum { HEAD = 2048 }; /* RUN lines stand in the first so many bytes */

/* false: the file is for another program than the interpreter. */
static bool read_head(struct conform *k, const struct file_map *f) {
    size_t at;
    str_clear(&k->why_disabled);
    k->disabled = find(f, HEAD, "RUN-DISABLED(", &at);
    for (at += 13; k->disabled && at < f->n && f->p[at] != ')' && f->p[at] != '\n'; at++)
        str_putc(&k->why_disabled, (char)f->p[at]);
    return k->disabled || !find(f, HEAD, "RUN:", &at) || find(f, HEAD, "--interpret", &at);
}

static void skip_file(struct conform *k, enum conform_outcome how, const char *why) {
    str_clear(&k->name), str_clear(&k->reason);
    str_put(&k->name, k->file), str_put(&k->reason, why);
    if (!k->o->filter || strstr(k->file, k->o->filter)) report(k, "file", how);
}

static void fail_section(struct conform *k, uint32_t line) {
    str_clear(&k->name), str_clear(&k->reason);
    str_printf(&k->name, "%s:%u", k->file, line);
    str_put(&k->reason, tsr_error_message(k->c));
    tsr_error_clear(k->c);
    if (!k->o->filter || strstr(k->name.s, k->o->filter))
        report(k, "reader", k->disabled ? CONFORM_SKIPPED : CONFORM_FAILED);
}

static void run_text(struct conform *k, const struct file_map *f) {
    const char *section;
    size_t at = 0, n, where;
    uint32_t line = 1;
    k->runs = read_head(k, f);
    if (find(f, HEAD, "--interpret --args", &where)) {
        skip_file(k, CONFORM_SKIPPED, "its arguments stand on the command line of its RUN line");
        return;
    }
    if (find(f, HEAD, "RUN: not ", &where) || (!k->runs && !find(f, f->n, "@main(", &where))) {
        skip_file(k, CONFORM_FOREIGN, "its RUN lines are for another program than the interpreter");
        return;
    }
    while (hlo_split((const char *)f->p, f->n, &at, &section, &n, &line)) {
        struct hlo_module *m = hlo_read_section(k->c, k->file, section, n, line);
        if (m) run_module(k, m);
        else fail_section(k, line);
        hlo_module_free(m);
    }
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), e = strlen(end);
    return n >= e && !strcmp(s + n - e, end);
}

/* Bytecode is a case of its own: it must be what the text beside it says ("a.mlir.bc" and "a.mlir"). */
static void compare_twins(struct conform *k, const char *path) {
    struct str text;
    str_clear(&k->name), str_clear(&k->reason);
    str_put(&k->name, k->file);
    if (k->o->filter && !strstr(k->file, k->o->filter)) return;
    str_init(&text, k->c);
    str_putn(&text, path, strlen(path) - strlen(".bc"));
    bool same = hlo_twin(k->c, path, text.s, &k->reason);
    if (!same && !k->reason.n) str_put(&k->reason, tsr_error_message(k->c));
    report(k, "bytecode", same ? CONFORM_PASSED : CONFORM_FAILED);
    str_release(&text);
}

static void run_file(struct conform *k, const char *path) {
    struct file_map map;
    const char *name = strrchr(path, '/');
    k->file = name ? name + 1 : path;
    if (ends_with(path, ".bc")) compare_twins(k, path);
    else if (file_map(k->c, path, &map)) skip_file(k, CONFORM_FAILED, tsr_error_message(k->c)), tsr_error_clear(k->c);
    else run_text(k, &map), file_unmap(&map);
}

/* n files in a context of their own. */
static tsr_status run_batch(tsr_ctx *list, const struct conform_options *o, size_t n, char *const *path,
    conform_report *report, void *user) {
    struct conform k = {.o = o, .report = report, .user = user, .c = tsr_open(&o->config)};
    if (!k.c) return err_set(list, TSR_ENOMEM, "no memory for a context");
    str_init(&k.name, k.c), str_init(&k.reason, k.c), str_init(&k.why_disabled, k.c);
    tsr_status s = TSR_OK;
    for (int turn = o->settled ? 0 : 1; turn < 2 && !s; turn++) {
        k.rehearsal = turn == 0;
        for (size_t i = 0; i < n && !(o->stop && *o->stop); i++) run_file(&k, path[i]);
        if (k.rehearsal && runner_settle(k.c)) s = err_set(list, TSR_EIO, "%s", tsr_error_message(k.c));
    }
    vec_release(k.c, &k.bits);
    str_release(&k.name), str_release(&k.reason), str_release(&k.why_disabled);
    tsr_close(k.c);
    return s;
}

/* ---- folders ---------------------------------------------------------------------------------------------------- */

typedef VEC(char *) path_list;

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool add_path(tsr_ctx *c, path_list *out, const char *path) {
    char *own = mem_strdup(c, path);
    if (own && vec_push(c, out, own)) return true;
    mem_strfree(c, own);
    return false;
}

enum { FOLDERS_DEEP = 16 };

static tsr_status list_files(tsr_ctx *c, const char *path, int deep, path_list *out) {
    struct stat info;
    if (stat(path, &info)) return err_set(c, TSR_ENOTFOUND, "%s: there is no such file or folder", path);
    if (!S_ISDIR(info.st_mode)) return add_path(c, out, path) ? TSR_OK : TSR_ENOMEM;
    DIR *d = deep < FOLDERS_DEEP ? opendir(path) : NULL;
    if (!d) return err_set(c, TSR_EIO, "%s: the folder cannot be read", path);
    struct str s;
    str_init(&s, c);
    tsr_status status = TSR_OK;
    for (struct dirent *e; !status && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        str_clear(&s);
        str_printf(&s, "%s/%s", path, e->d_name);
        if (stat(s.s, &info)) continue;
        if (S_ISDIR(info.st_mode) || ends_with(s.s, ".mlir") || ends_with(s.s, ".mlir.bc"))
            status = list_files(c, s.s, deep + 1, out);
    }
    str_release(&s);
    closedir(d);
    return status;
}

tsr_status conform_run(tsr_ctx *c, const char *path, const struct conform_options *o, conform_report *report,
    void *user) {
    path_list list = {0};
    tsr_status s = list_files(c, path, 0, &list);
    if (!s && !list.n) s = err_set(c, TSR_ENOTFOUND, "%s: no .mlir file is there", path);
    if (list.n) qsort(list.v, list.n, sizeof *list.v, by_name);
    size_t n = 0, most = o->settled ? BATCH : 1;
    for (size_t i = 0; i < list.n; i++) { /* those of the shard to the front */
        char *own = list.v[i];
        if (!o->shards || (int)(i % (size_t)o->shards) == o->shard) list.v[i] = list.v[n], list.v[n++] = own;
    }
    for (size_t i = 0; !s && i < n && !(o->stop && *o->stop); i += most)
        s = run_batch(c, o, n - i < most ? n - i : most, list.v + i, report, user);
    for (size_t i = 0; i < list.n; i++) mem_strfree(c, list.v[i]);
    vec_release(c, &list);
    return s;
}
