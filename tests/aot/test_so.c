/* test_so.c: shared objects: loaded, they give the VM's bits for sizes they were not compiled for, in many threads at
 * once, need nothing of this library, and refuse sizes out of bounds. */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/ref.h"
#include "harness.h"
#include "run/aot.h"
#include "run/engine.h"
#include "tessera/tessera.h"
#include "tile/tile.h"
#include "graphs.inc"

enum { ARGS = 128 };

typedef int run_fn(const void *const *in, void *const *out, void *workspace, const long long *sizes);
typedef size_t workspace_fn(const long long *sizes);
typedef const char *info_fn(void);

struct object {
    void *so;
    run_fn *run;
    workspace_fn *workspace;
    info_fn *info;
};

static void *find(void *so, const char *name, const char *what) {
    char symbol[80];
    snprintf(symbol, sizeof symbol, "%s_%s", name, what);
    void *p = dlsym(so, symbol);
    CHECK_MSG(p != NULL, "no %s", symbol);
    return p;
}

static bool load(tsr_ctx *c, const struct graph *g, tsr_fn *f, struct object *o) {
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("%s.so", g->name));
    struct aot_opts opts = {.path = path, .name = g->name, .source = "a graph of the tests"};
    struct aot_entry entry = {"run", "the graph", f};
    struct aot_info info;
    if (!CHECK_EQ(aot_so(c, &opts, 1, &entry, &info), TSR_OK)) return CHECK_OK(c);
    o->so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!CHECK_MSG(o->so != NULL, "%s", dlerror())) return false;
    void *p[3] = {find(o->so, g->name, "run"), find(o->so, g->name, "workspace"), find(o->so, g->name, "info")};
    memcpy(&o->run, &p[0], sizeof p[0]), memcpy(&o->workspace, &p[1], sizeof p[1]), memcpy(&o->info, &p[2],
        sizeof p[2]);
    return p[0] && p[1] && p[2];
}

/* One size, compared with tsr_run. */
static void run_at(tsr_ctx *c, const struct object *o, tsr_fn *f, long long b) {
    tsr_scope *scope = tsr_scope_begin(c);
    int nin = tsr_fn_params(f), nout = tsr_fn_results(f);
    tsr_node *arg[ARGS], *want[RESULTS];
    const void *in[ARGS];
    void *out[RESULTS];
    size_t bytes[RESULTS], need = o->workspace(&b);
    void *work = mem_alloc(c, need + 1);
    for (int i = 0; i < nin; i++) {
        arg[i] = graph_arg(c, tsr_fn_param_type(f, i), b);
        in[i] = tsr_buf_data(tsr_node_buf(arg[i]));
    }
    if (CHECK(need > 0 && work) && CHECK_EQ(tsr_run(c, f, nin, arg, want), TSR_OK)) {
        for (int i = 0; i < nout; i++) type_bytes(tsr_node_type(want[i]), &bytes[i]), out[i] = mem_alloc(c,
            bytes[i] + 1);
        CHECK_EQ(o->run(in, out, work, &b), 0);
        for (int i = 0; i < nout; i++) {
            const tsr_type *t = tsr_node_type(want[i]);
            int64_t count = 1;
            for (int j = 0; j < t->rank; j++) count *= t->extent[j]->value;
            int64_t n = differing(t->dtype, count, out[i], tsr_buf_data(tsr_node_buf(want[i])));
            CHECK_MSG(n == 0, "result %d (%s): %lld elements differ", i, type_text(c, t), (long long)n);
            mem_free(c, out[i], bytes[i] + 1);
        }
    }
    mem_free(c, work, need + 1);
    tsr_scope_end(c, scope);
}

static bool has_compiler(void) { return system("command -v cc >/dev/null 2>&1") == 0; }

TEST(sizes_of_one_object) {
    tsr_ctx *c = test_ctx();
    static const char *const some[] = {"f32_functions", "norms", "contractions", "digits", "control", "libraries",
        "packed", "transforms", "factors", "factors_of_size", "shared"};
    if (!has_compiler()) SKIP("no C compiler: apt-get install gcc");
    for (int g = 0; g < GRAPHS; g++) {
        bool asked = false;
        for (size_t i = 0; i < sizeof some / sizeof *some; i++) asked |= !strcmp(some[i], graphs[g].name);
        if (!asked) continue;
        test_case("%s", graphs[g].name);
        struct object o = {NULL, NULL, NULL, NULL};
        tsr_fn *f = graph_fn(c, &graphs[g]);
        if (f && load(c, &graphs[g], f, &o)) {
            static const long long sizes[] = {1, 2, 5, 64, 17};
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) run_at(c, &o, f, sizes[i]);
            CHECK_EQ(o.workspace(&(long long){0}), 0);
            CHECK_EQ(o.workspace(&(long long){65}), 0);
            CHECK(o.run(NULL, NULL, NULL, &(long long){65}) != 0);
            CHECK_CONTAINS(o.info(), "\"sizes\":[{\"name\":\"B\",\"least\":1,\"most\":64}]");
        }
        CHECK_OK(c);
        if (o.so) dlclose(o.so);
        tsr_fn_free(c, f);
    }
}

/* ---- threads ---- */

struct worker {
    const struct object *o;
    const void *const *in;
    const float *want;
    long long b;
    bool same;
};

static void *work(void *arg) {
    struct worker *w = arg;
    size_t need = w->o->workspace(&w->b), n = (size_t)w->b * 70 * sizeof(float);
    w->same = true;
    for (int turn = 0; turn < 50; turn++) {
        void *space = malloc(need), *out[5];
        for (int i = 0; i < 5; i++) out[i] = malloc(n);
        w->same &= !w->o->run(w->in, out, space, &w->b) && !memcmp(out[0], w->want, n);
        for (int i = 0; i < 5; i++) free(out[i]);
        free(space);
    }
    return NULL;
}

TEST(threads) {
    tsr_ctx *c = test_ctx();
    struct object o = {NULL, NULL, NULL, NULL};
    const struct graph *g = NULL;
    if (!has_compiler()) SKIP("no C compiler: apt-get install gcc");
    for (int i = 0; i < GRAPHS; i++)
        if (!strcmp(graphs[i].name, "norms")) g = &graphs[i];
    tsr_fn *f = graph_fn(c, g);
    if (!CHECK(f && load(c, g, f, &o))) return;
    struct worker w[4];
    pthread_t thread[4];
    const void *in[4][3];
    for (int i = 0; i < 4; i++) {
        tsr_node *arg[3], *want[5];
        long long b = 7 + 9 * i;
        for (int j = 0; j < 3; j++) {
            arg[j] = tsr_full(c, j ? tsr_fn_param_type(f, j) : tsr_type_dims(c, TSR_F32, 2, (int64_t[]){b, 70}),
                0.25 * j);
            CHECK_EQ(tsr_eval(c, 1, &arg[j]), TSR_OK);
            in[i][j] = tsr_buf_data(tsr_node_buf(arg[j]));
        }
        CHECK_EQ(tsr_run(c, f, 3, arg, want), TSR_OK);
        w[i] = (struct worker){&o, in[i], tsr_buf_data(tsr_node_buf(want[0])), b, false};
    }
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&thread[i], NULL, work, &w[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL), CHECK(w[i].same);
    if (o.so) dlclose(o.so);
    tsr_fn_free(c, f);
}

TEST(no_compiler) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = graph_fn(c, &graphs[GRAPHS - 1]);
    setenv("TSR_CC", "/nowhere/cc", 1);
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("x.so"));
    struct aot_opts opts = {.path = path, .name = "x", .source = "a graph of the tests"};
    struct aot_entry entry = {"run", "the graph", f};
    struct aot_info info;
    CHECK(aot_so(c, &opts, 1, &entry, &info) != TSR_OK);
    CHECK_ERROR(c, TSR_ENOTFOUND, "install gcc or clang");
    CHECK(access(path, F_OK) != 0);
    unsetenv("TSR_CC");
    tsr_fn_free(c, f);
}
