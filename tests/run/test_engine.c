/* test_engine.c: engine files: what was saved, opened in another context and run gives the bits of tsr_run.
 *
 * Every op's sampler goes through a file, and fns with bodies, captures, variables and symbols. Files that are cut,
 * damaged, of a newer version, or damaged with their checksums made right again are refused with words, or run; they
 * never crash (fuzz_engine goes on from there). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"
#include "run/engine.h"
#include "tessera/ops.h"
#include "tessera/run.h"

enum { MOST = 64 };

static tsr_node *same_in(tsr_ctx *to, tsr_ctx *from, tsr_node *x) {
    int64_t dim[TSR_MAX_RANK];
    size_t bytes;
    const tsr_type *t = tsr_node_type(x);
    tsr_type_ints(t, dim);
    if (!type_bytes(t, &bytes)) return tsr_poison(to);
    void *p = mem_alloc(from, bytes);
    tsr_node *y = p && !tsr_read(from, x, p, bytes) ? tsr_tensor(to, t->dtype, t->rank, dim, p) : tsr_poison(to);
    mem_free(from, p, bytes);
    return y;
}

static bool same_bits(tsr_ctx *a, tsr_node *x, tsr_ctx *b, tsr_node *y) {
    size_t n, m;
    if (!CHECK(!tsr_is_poison(x) && !tsr_is_poison(y))) return false;
    if (!CHECK(type_bytes(tsr_node_type(x), &n) && type_bytes(tsr_node_type(y), &m) && n == m)) return false;
    void *p = mem_zalloc(a, n), *q = mem_zalloc(b, n);
    bool ok = p && q && !tsr_read(a, x, p, n) && !tsr_read(b, y, q, n) && CHECK_BYTES(q, p, n);
    mem_free(a, p, n), mem_free(b, q, n);
    return ok;
}

/* Saves f, opens it elsewhere, runs both on arg. */
static bool round_trip(tsr_ctx *c, tsr_fn *f, int n, tsr_node *const *arg) {
    const char *path = test_path("f.tsr");
    tsr_node *want[MOST], *got[MOST], *arg2[MOST];
    if (!CHECK_EQ(tsr_engine_save(c, path, f), TSR_OK) || !CHECK_EQ(tsr_run(c, f, n, arg, want), TSR_OK))
        return CHECK_OK(c);
    tsr_ctx *d = test_ctx();
    tsr_engine *e = tsr_engine_open(d, path);
    bool ok = CHECK_MSG(e != NULL, "%s", tsr_error_message(d));
    for (int i = 0; ok && i < n; i++) arg2[i] = same_in(d, c, arg[i]);
    ok = ok && CHECK_EQ(tsr_engine_run(e, n, arg2, got), TSR_OK) && CHECK_EQ(tsr_engine_verify(e), TSR_OK);
    for (int i = 0; ok && i < tsr_fn_results(f); i++) ok = same_bits(c, want[i], d, got[i]);
    CHECK_OK(d);
    tsr_engine_close(e);
    test_ctx_close(d);
    return ok;
}

/* ---- every op ---- */

static bool sample_trip(tsr_ctx *c, const struct op_def *d, tsr_dtype t, int size) {
    tsr_scope *scope = tsr_scope_begin(c);
    struct arena a;
    struct sample s;
    struct ref_tensor in[MOST];
    tsr_node *arg[MOST];
    arena_init(&a, c);
    sample_init(&s, t, test_rng(), size);
    tsr_fn *f = d->sample(c, &s);
    bool ok = f && CHECK(f->param.n <= MOST && f->result.n <= MOST) && CHECK_EQ(sample_fill(&s, f, &a, in), TSR_OK);
    for (size_t i = 0; ok && i < f->param.n; i++) arg[i] = tsr_tensor(c, in[i].dtype, in[i].rank, in[i].dim, in[i].p);
    ok = ok && round_trip(c, f, (int)f->param.n, arg);
    tsr_fn_free(c, f);
    arena_release(&a);
    tsr_scope_end(c, scope);
    return ok;
}

TEST(every_op) {
    tsr_ctx *c = test_ctx();
    static const tsr_dtype some[] = {TSR_F32, TSR_F16, TSR_I64, TSR_U8, TSR_BOOL, TSR_C64, TSR_U64};
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        if (!d || d->sample == sample_elsewhere || d->cls == OP_EXTERN) continue;
        test_case("%s", d->name);
        for (size_t t = 0; t < sizeof some / sizeof *some; t++)
            if (op_admits(d->domain, some[t]) && !sample_trip(c, d, some[t], 1)) break;
    }
}

/* ---- fns ---- */

static tsr_node *filled(tsr_ctx *c, int rank, int64_t a, int64_t b) {
    float p[4096];
    int64_t n = rank == 2 ? a * b : a;
    for (int64_t i = 0; i < n; i++) p[i] = (float)test_uniform(-1, 1);
    return tsr_tensor(c, TSR_F32, rank, (int64_t[]){a, b}, p);
}

/* softmax(x w + b) over a symbolic batch; w is a variable, b captured. */
static tsr_fn *classifier(tsr_ctx *c, tsr_var *w, tsr_node *b) {
    const tsr_extent *e[2] = {tsr_extent_symbol(c, "B", 1, 64), tsr_extent_int(c, 16)};
    if (tsr_fn_begin(c, "classifier")) return NULL;
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, e), "x");
    tsr_node *y = tsr_softmax(c, tsr_add(c, tsr_matmul(c, x, tsr_var_read(c, w)), b), 1);
    return tsr_fn_end(c, 2, (tsr_node *[]){y, x}); /* a parameter handed back, too */
}

TEST(sizes_captures_and_variables) {
    tsr_ctx *c = test_ctx();
    tsr_var *w = tsr_var_new(c, "w", filled(c, 2, 16, 10));
    tsr_node *b = filled(c, 1, 10, 0);
    tsr_fn *f = classifier(c, w, b);
    if (!CHECK_OK(c)) return;
    for (int64_t n = 1; n <= 64; n = n * 3 + 1) {
        test_case("batch %d", (int)n);
        round_trip(c, f, 1, (tsr_node *[]){filled(c, 2, n, 16)});
    }
    test_case("one engine, many sizes, and its facts");
    const char *path = test_path("f.tsr");
    tsr_engine *e = tsr_engine_open(c, path);
    CHECK_EQ(tsr_engine_params(e), 1), CHECK_EQ(tsr_engine_results(e), 2);
    CHECK_STR(tsr_engine_name(e), "classifier"), CHECK_STR(tsr_engine_param_name(e, 0), "x");
    CHECK_STR(type_text(c, tsr_engine_param_type(e, 0)), "f32[B,16]");
    CHECK_STR(type_text(c, tsr_engine_result_type(e, 0)), "f32[B,10]");
    CHECK(tsr_engine_constant_bytes(e) >= (16 * 10 + 10) * 4);
    char *text = tsr_engine_text(e), *want = tsr_plan_text(c, f);
    CHECK_CONTAINS(text, "plan classifier");
    CHECK(want && strstr(want, "plan classifier"));
    tsr_text_free(c, text), tsr_text_free(c, want);
    tsr_node *out[2];
    for (int64_t n = 1; n <= 64; n += 21) {
        tsr_node *x = filled(c, 2, n, 16), *y[2];
        CHECK_EQ(tsr_engine_run(e, 1, &x, out), TSR_OK);
        CHECK_EQ(tsr_run(c, f, 1, &x, y), TSR_OK);
        same_bits(c, y[0], c, out[0]);
        same_bits(c, x, c, out[1]);
    }
    test_case("what does not fit is refused");
    tsr_node *x = filled(c, 2, 65, 16);
    CHECK(tsr_engine_run(e, 1, &x, out) != TSR_OK);
    CHECK_ERROR(c, TSR_ECHECK, "B");
    x = filled(c, 2, 3, 15);
    CHECK(tsr_engine_run(e, 1, &x, out) != TSR_OK);
    CHECK_ERROR(c, TSR_EINVAL, "argument 0 is f32[3,15]");
    CHECK(tsr_engine_run(e, 0, &x, out) != TSR_OK);
    CHECK_ERROR(c, TSR_EINVAL, "takes 1 arguments, got 0");
    tsr_engine_close(e);
    tsr_fn_free(c, f), tsr_var_free(c, w);
}

/* A context that knows the symbol's name with other bounds keeps both apart. */
TEST(a_symbol_of_another_program) {
    tsr_ctx *c = test_ctx();
    tsr_var *w = tsr_var_new(c, "w", filled(c, 2, 16, 10));
    tsr_fn *f = classifier(c, w, filled(c, 1, 10, 0));
    const char *path = test_path("f.tsr");
    CHECK_EQ(tsr_engine_save(c, path, f), TSR_OK);
    tsr_ctx *d = test_ctx();
    tsr_extent_symbol(d, "B", 1, 2);
    tsr_engine *e = tsr_engine_open(d, path);
    tsr_node *x = filled(d, 2, 40, 16), *out[2];
    if (CHECK(e != NULL)) CHECK_EQ(tsr_engine_run(e, 1, &x, out), TSR_OK);
    CHECK_OK(d);
    tsr_engine_close(e);
    test_ctx_close(d);
    tsr_fn_free(c, f), tsr_var_free(c, w);
}

static tsr_fn *body_of_scan(tsr_ctx *c) {
    const tsr_type *row = tsr_type_dims(c, TSR_F32, 1, (int64_t[]){5});
    if (tsr_fn_begin(c, "turn")) return NULL;
    tsr_node *s = tsr_param(c, row, "s"), *x = tsr_param(c, row, "x");
    tsr_node *next = tsr_tanh(c, tsr_add(c, s, x));
    return tsr_fn_end(c, 2, (tsr_node *[]){next, tsr_mul(c, next, x)});
}

static tsr_fn *one_op(tsr_ctx *c, const char *name, tsr_node *(*op)(tsr_ctx *c, tsr_node *x)) {
    if (tsr_fn_begin(c, name)) return NULL;
    tsr_node *x = op(c, tsr_param(c, tsr_type_dims(c, TSR_F32, 1, (int64_t[]){5}), "p"));
    return tsr_fn_end(c, 1, &x);
}

/* A scan of T turns and a branch. */
static tsr_fn *caller(tsr_ctx *c, tsr_fn *body, tsr_fn *const *arm) {
    const tsr_extent *e[2] = {tsr_extent_symbol(c, "T", 0, 100), tsr_extent_int(c, 5)};
    if (tsr_fn_begin(c, "with_bodies")) return NULL;
    tsr_node *s = tsr_param(c, tsr_type_tensor(c, TSR_F32, 1, e + 1), "s");
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, e), "x");
    tsr_node *which = tsr_param(c, tsr_type_dims(c, TSR_I32, 0, NULL), "which");
    tsr_node *both = tsr_prim_scan(c, body, 1, &s, 1, &x, e[0], false);
    tsr_node *branch = tsr_prim_cond(c, which, 2, arm, 1, &s);
    if (tsr_node_type(branch)->kind == TSR_TUPLE) branch = tsr_item(c, branch, 0);
    return tsr_fn_end(c, 3, (tsr_node *[]){tsr_item(c, both, 0), tsr_item(c, both, 1), branch});
}

static tsr_fn *with_bodies(tsr_ctx *c) {
    tsr_fn *body = body_of_scan(c), *arm[2] = {NULL, NULL}, *f = NULL;
    if (body) arm[0] = one_op(c, "up", tsr_exp);
    if (arm[0]) arm[1] = one_op(c, "down", tsr_neg);
    if (arm[1]) f = caller(c, body, arm);
    tsr_fn_free(c, body), tsr_fn_free(c, arm[0]), tsr_fn_free(c, arm[1]);
    return f;
}

TEST(bodies) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = with_bodies(c);
    if (!CHECK_OK(c)) return;
    for (int t = 0; t < 4; t++) {
        test_case("%d turns", t * t);
        tsr_node *which = tsr_scalar_int(c, TSR_I32, t & 1);
        round_trip(c, f, 3, (tsr_node *[]){filled(c, 1, 5, 0), filled(c, 2, t * t, 5), which});
    }
    tsr_fn_free(c, f);
}

/* ---- what no file can hold ---- */

static int nothing(void *user, int nin, const void *const *in, int nout, void *const *out) {
    (void)user, (void)nin, (void)in, (void)nout, (void)out;
    return 0;
}

TEST(refusals_name_the_op) {
    tsr_ctx *c = test_ctx();
    const char *path = test_path("no.tsr");
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 1, (int64_t[]){3});
    test_case("host call");
    tsr_fn_begin(c, "asks");
    tsr_node *x = tsr_param(c, t, "x"), *y;
    y = tsr_prim_host_call(c, "oracle", nothing, NULL, 1, &x, 1, &t);
    if (tsr_node_type(y)->kind == TSR_TUPLE) y = tsr_item(c, y, 0);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    if (!CHECK_OK(c)) return;
    CHECK(tsr_engine_save(c, path, f) != TSR_OK);
    CHECK_ERROR(c, TSR_EUNSUPPORTED, "oracle calls a host function");
    CHECK(access(path, F_OK) != 0);
    tsr_fn_free(c, f);
    test_case("assigned variable");
    tsr_var *v = tsr_var_new(c, "count", tsr_full(c, t, 0));
    tsr_fn_begin(c, "counts");
    x = tsr_var_read(c, v);
    tsr_var_assign(c, v, tsr_add(c, x, x));
    f = tsr_fn_end(c, 1, &x);
    CHECK(tsr_engine_save(c, path, f) != TSR_OK);
    CHECK_ERROR(c, TSR_EUNSUPPORTED, "assigns variable count");
    tsr_fn_free(c, f), tsr_var_free(c, v);
}

/* ---- damage ---- */

struct bytes { uint8_t *p; size_t n; };

static struct bytes load(tsr_ctx *c, const char *path) {
    struct file_map m;
    struct bytes b = {0};
    if (file_map(c, path, &m)) return b;
    if ((b.p = mem_alloc(c, m.n))) memcpy(b.p, m.p, m.n), b.n = m.n;
    file_unmap(&m);
    return b;
}

static void make_right(struct bytes b) {
    struct engine_header h;
    memcpy(&h, b.p, sizeof h);
    h.body_hash = hash_bytes(1, b.p + sizeof h, h.body_bytes);
    h.header_hash = hash_bytes(ENGINE_VERSION, &h, offsetof(struct engine_header, header_hash));
    memcpy(b.p, &h, sizeof h);
}

static struct bytes saved(tsr_ctx *c, tsr_fn *f) {
    const char *path = test_path("d.tsr");
    CHECK_EQ(tsr_engine_save(c, path, f), TSR_OK);
    return load(c, path);
}

TEST(damaged_files_are_refused) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = with_bodies(c);
    struct bytes b = saved(c, f);
    if (!CHECK(b.p != NULL)) return;
    test_case("whole");
    tsr_engine *e = tsr_engine_parse(c, b.p, b.n, "whole");
    CHECK(e != NULL);
    tsr_engine_close(e);
    test_case("cut short");
    for (size_t n = 0; n < b.n; n += n < 80 ? 1 : 97) {
        if (!CHECK(!tsr_engine_parse(c, b.p, n, "cut"))) break;
        CHECK_ERROR(c, TSR_EFORMAT, n < 8 ? "no engine file" : "cut short");
    }
    test_case("a bit flipped");
    for (size_t i = 0; i < b.n; i += i < 80 ? 1 : 13) {
        b.p[i] ^= 4;
        if (i < 64 + (((struct engine_header *)b.p)->body_bytes & 0xffff) || i < 64) {
            e = tsr_engine_parse(c, b.p, b.n, "flipped");
            if (!CHECK_MSG(!e, "byte %zu", i)) tsr_engine_close(e);
            tsr_error_clear(c);
        }
        b.p[i] ^= 4;
    }
    test_case("a newer version");
    struct engine_header h;
    memcpy(&h, b.p, sizeof h);
    h.version = 2;
    h.header_hash = hash_bytes(ENGINE_VERSION, &h, offsetof(struct engine_header, header_hash));
    memcpy(b.p, &h, sizeof h);
    CHECK(!tsr_engine_parse(c, b.p, b.n, "new.tsr"));
    CHECK_ERROR(c, TSR_EUNSUPPORTED, "new.tsr is of version 2");
    mem_free(c, b.p, b.n);
    tsr_fn_free(c, f);
}

/* Bytes changed at random, checksums made right: opened without a crash, refused with words or valid. */
TEST(hostile_bodies) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = with_bodies(c);
    struct bytes b = saved(c, f), x = {mem_alloc(c, b.n), b.n};
    int refused = 0;
    if (!CHECK(b.p && x.p)) return;
    uint64_t body = ((struct engine_header *)b.p)->body_bytes;
    for (int n = 0; n < 3000; n++) {
        memcpy(x.p, b.p, b.n);
        for (int k = 0; k < 1 + n % 3; k++) x.p[64 + test_int(0, (int64_t)body - 1)] = (uint8_t)test_int(0, 255);
        make_right(x);
        tsr_ctx *d = tsr_open(NULL);
        tsr_engine *e = tsr_engine_parse(d, x.p, x.n, "hostile");
        if (!CHECK((e != NULL) == (tsr_error_status(d) == TSR_OK))) n = 3000;
        refused += !e;
        char *text = e ? tsr_engine_text(e) : NULL;
        tsr_text_free(d, text);
        tsr_engine_close(e);
        tsr_close(d);
    }
    CHECK(refused > 1000);
    mem_free(c, b.p, b.n), mem_free(c, x.p, x.n);
    tsr_fn_free(c, f);
}

TEST(damaged_constants_are_found_on_request) {
    tsr_ctx *c = test_ctx();
    tsr_var *w = tsr_var_new(c, "w", filled(c, 2, 16, 10));
    tsr_fn *f = classifier(c, w, filled(c, 1, 10, 0));
    struct bytes b = saved(c, f);
    if (!CHECK(b.p != NULL)) return;
    CHECK_EQ(b.n % 64, 0);
    struct engine_header h;
    memcpy(&h, b.p, sizeof h);
    b.p[h.constants_at + 5] ^= 1;
    tsr_engine *e = tsr_engine_parse(c, b.p, b.n, "rotten");
    if (CHECK(e != NULL)) CHECK(tsr_engine_verify(e) != TSR_OK);
    CHECK_ERROR(c, TSR_EFORMAT, "checksum of its constants");
    tsr_engine_close(e);
    mem_free(c, b.p, b.n);
    tsr_fn_free(c, f), tsr_var_free(c, w);
}

TEST(a_full_disk_leaves_no_half_file) {
    tsr_ctx *c = test_ctx();
    tsr_var *w = tsr_var_new(c, "w", filled(c, 2, 16, 10));
    tsr_fn *f = classifier(c, w, filled(c, 1, 10, 0));
    const char *path = test_path("full.tsr");
    struct rlimit before, small = {2048, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    tsr_status s = tsr_engine_save(c, path, f);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK_EQ(s, TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "full.tsr");
    CHECK(access(path, F_OK) != 0);
    tsr_fn_free(c, f), tsr_var_free(c, w);
}

/* ---- no memory ---- */

static bool save_and_run(tsr_ctx *c, void *path) {
    tsr_fn *f = with_bodies(c);
    bool ok = f && !tsr_engine_save(c, path, f);
    tsr_fn_free(c, f);
    tsr_engine *e = ok ? tsr_engine_open(c, path) : NULL;
    tsr_node *out[3], *arg[3];
    if (e) {
        arg[0] = tsr_full(c, tsr_type_dims(c, TSR_F32, 1, (int64_t[]){5}), 0.5);
        arg[1] = tsr_full(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){3, 5}), 0.25);
        arg[2] = tsr_scalar_int(c, TSR_I32, 1);
        ok = !tsr_engine_run(e, 3, arg, out);
    }
    tsr_engine_close(e);
    return ok && e && !tsr_error_status(c);
}

TEST(without_memory) {
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("torture.tsr"));
    CHECK(torture(save_and_run, path) > 100);
}
