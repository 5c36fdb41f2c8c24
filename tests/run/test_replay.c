/* test_replay.c: plans that the device records: a replay gives the bits of the steps, on no other addresses and under
 * no other sizes than those it was recorded with; devices that cannot record; faults; what is forgotten.
 *
 * The device is the CPU with a recorder around it: it keeps what is launched and copied between begin and end, and
 * a replay does it again. */
#include <pthread.h>
#include <stdlib.h>

#include "device/device.h"
#include "graph/node.h"
#include "harness.h"
#include "tessera/ops.h"
#include "tessera/run.h"

/* ---- the recorder ---- */

enum { CALLS = 256, ARGS = 16 };
struct call {
    void *kernel; /* NULL: a copy of grid[0] bytes from arg[1] to arg[0] */
    int64_t grid[3];
    int n;
    struct launch_arg arg[ARGS];
};
struct recording {
    int n;
    struct call call[CALLS];
};
static struct {
    const struct device_ops *inner;
    struct device_ops ops;
    struct recording *open;
    int begins, made, forgotten, replays;
    /* the nth of these from now on gives that status; error: and records it */
    int fail_begin, fail_launch, fail_end;
    bool error;
} rec;

static tsr_status fail(struct device *d, int *countdown) {
    if (!*countdown || --*countdown) return TSR_OK;
    return rec.error ? err_set(d->c, TSR_EIO, "the recorder was told to fail") : TSR_EUNSUPPORTED;
}

static tsr_status rec_launch(struct device *d, void *kernel, const int64_t grid[3], int n,
    const struct launch_arg *arg) {
    if (!rec.open) return rec.inner->launch(d, kernel, grid, n, arg);
    tsr_status s = fail(d, &rec.fail_launch);
    if (s || !CHECK(n <= ARGS && rec.open->n < CALLS)) return s;
    struct call *k = &rec.open->call[rec.open->n++];
    *k = (struct call){.kernel = kernel, .n = n};
    memcpy(k->grid, grid, sizeof k->grid);
    memcpy(k->arg, arg, (size_t)n * sizeof *arg);
    return TSR_OK;
}

static tsr_status rec_copy(struct device *d, void *dst, const void *src, size_t bytes) {
    if (!rec.open) return rec.inner->copy(d, dst, src, bytes);
    struct call *k = &rec.open->call[rec.open->n++];
    *k = (struct call){.grid = {(int64_t)bytes}};
    k->arg[0].buf = dst, k->arg[1].buf = (void *)(uintptr_t)src;
    return TSR_OK;
}

static tsr_status rec_begin(struct device *d) {
    rec.begins++;
    tsr_status s = fail(d, &rec.fail_begin);
    CHECK(!rec.open);
    return s || (rec.open = calloc(1, sizeof *rec.open)) ? s : TSR_ENOMEM;
}

static tsr_status rec_end(struct device *d, void **out) {
    tsr_status s = fail(d, &rec.fail_end);
    CHECK(rec.open != NULL);
    *out = s ? NULL : rec.open;
    if (s) free(rec.open);
    else rec.made++;
    rec.open = NULL;
    return s;
}

static tsr_status rec_replay(struct device *d, void *recording) {
    const struct recording *r = recording;
    tsr_status s = TSR_OK;
    rec.replays++;
    for (int i = 0; i < r->n && !s; i++) {
        const struct call *k = &r->call[i];
        s = k->kernel ? rec.inner->launch(d, k->kernel, k->grid, k->n, k->arg)
            : rec.inner->copy(d, k->arg[0].buf, k->arg[1].buf, (size_t)k->grid[0]);
    }
    return s;
}

static void rec_forget(struct device *d, void *recording) {
    (void)d;
    rec.forgotten++;
    free(recording);
}

static bool wrap_device(tsr_ctx *c) {
    struct device *d = device_of(c);
    CHECK(rec.forgotten == rec.made && !rec.open); /* of the context before */
    memset(&rec, 0, sizeof rec);
    if (!d) return false;
    rec.inner = d->ops;
    rec.ops = *d->ops;
    rec.ops.launch = rec_launch, rec.ops.copy = rec_copy;
    rec.ops.record_begin = rec_begin, rec.ops.record_end = rec_end;
    rec.ops.replay = rec_replay, rec.ops.forget = rec_forget;
    d->ops = &rec.ops;
    return true;
}

/* A device hands the same memory out again and again; so does this allocator: what was freed last, first. */
static struct { void *p; size_t n; } freed[8192];
static int nfreed, lent;
static pthread_mutex_t recycling = PTHREAD_MUTEX_INITIALIZER; /* an allocator is called from any thread */

static void *recycle_one(void *p, size_t old, size_t n) {
    void *q = NULL;
    for (int i = nfreed; n && !q && i-- > 0;)
        if (freed[i].n == n) q = freed[i].p, freed[i] = freed[--nfreed];
    if (n && !q && !(q = aligned_alloc(64, (n + 63) & ~(size_t)63))) return NULL;
    if (n) lent++;
    if (p && n) memcpy(q, p, old < n ? old : n);
    if (p && nfreed < 8192) freed[nfreed].p = p, freed[nfreed++].n = old;
    else free(p);
    if (p) lent--;
    return q;
}

static void *recycle(void *user, void *p, size_t old, size_t n) {
    (void)user;
    pthread_mutex_lock(&recycling);
    void *q = recycle_one(p, old, n);
    pthread_mutex_unlock(&recycling);
    return q;
}

static tsr_ctx *recorded_ctx(void) {
    tsr_ctx *c = tsr_open(&(tsr_config){.alloc = recycle, .threads = 2});
    CHECK(c && wrap_device(c));
    return c;
}

/* ---- a fn of several kernels, one for each op ---- */

enum { ROWS = 250, COLUMNS = 300, COUNT = ROWS * COLUMNS };
__attribute__((constructor)) static void one_kernel_an_op(void) { setenv("TSR_FUSE", "0", 1); }

static bool with_sort; /* a library kernel in the middle: it is recorded by nobody */

static tsr_fn *make_fn(tsr_ctx *c, bool symbolic) {
    const tsr_extent *rows = symbolic ? tsr_extent_symbol(c, "B", 1, 4 * ROWS) : tsr_extent_int(c, ROWS);
    if (tsr_fn_begin(c, "chain")) return NULL;
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2,
        (const tsr_extent *[]){rows, tsr_extent_int(c, COLUMNS)}), "x");
    tsr_node *y = tsr_softmax(c, tsr_add(c, tsr_mul(c, x, x), x), -1);
    tsr_node *sorted = y;
    if (with_sort && !tsr_sort(c, y, 1, false, &sorted, NULL)) y = tsr_softmax(c, sorted, -1);
    tsr_node *sum = tsr_sum(c, y, 0, NULL, false);
    return tsr_fn_end(c, 2, (tsr_node *[]){y, sum});
}

static void fill(float *p, int rows, int which) {
    for (int i = 0; i < rows * COLUMNS; i++) p[i] = (float)((i * 37 + which * 1009) % 1000) / 500 - 1;
}

/* Runs f on data number `which` and compares with the same on a context of its own, where nothing is recorded. */
static bool run_one(tsr_ctx *c, tsr_fn *f, int rows, int which) {
    float *x = malloc(sizeof *x * 4 * COUNT), *y = malloc(sizeof *y * 4 * COUNT), *z = malloc(sizeof *z * 4 * COUNT);
    size_t bytes = sizeof *x * (size_t)(rows * COLUMNS);
    tsr_scope *s = tsr_scope_begin(c);
    tsr_node *out[2], *wanted[2];
    fill(x, rows, which);
    tsr_node *in = tsr_tensor(c, TSR_F32, 2, (int64_t[]){rows, COLUMNS}, x);
    bool ok = tsr_run(c, f, 1, &in, out) == TSR_OK && tsr_read(c, out[0], y, bytes) == TSR_OK;
    tsr_scope_end(c, s);
    if (ok) {
        tsr_ctx *plain = tsr_open(NULL);
        s = tsr_scope_begin(plain);
        tsr_fn *g = make_fn(plain, true);
        in = tsr_tensor(plain, TSR_F32, 2, (int64_t[]){rows, COLUMNS}, x);
        ok = CHECK(tsr_run(plain, g, 1, &in, wanted) == TSR_OK && tsr_read(plain, wanted[0], z, bytes) == TSR_OK);
        ok = ok && CHECK(memcmp(y, z, bytes) == 0);
        tsr_scope_end(plain, s);
        tsr_fn_free(plain, g);
        tsr_close(plain);
    }
    free(x), free(y), free(z);
    return ok;
}

static void close_ctx(tsr_ctx *c, tsr_fn *f) {
    tsr_fn_free(c, f);
    tsr_close(c);
    CHECK_EQ(rec.forgotten, rec.made);
    CHECK_EQ(lent, 0);
    while (nfreed) free(freed[--nfreed].p);
}

TEST(the_third_run_is_a_replay) {
    tsr_ctx *c = recorded_ctx();
    tsr_fn *f = make_fn(c, false);
    CHECK(run_one(c, f, ROWS, 0));
    uint64_t launches = tsr_stats(c).launches;
    double moved = tsr_stats(c).bytes_moved;
    CHECK(launches >= 3 && rec.begins == 0);
    for (int i = 1; i < 20; i++) {
        test_case("run %d", i);
        CHECK(run_one(c, f, ROWS, i)); /* other data at the same place */
        CHECK_EQ(tsr_stats(c).launches, launches * (uint64_t)(i + 1));
        CHECK_CLOSE(tsr_stats(c).bytes_moved, moved * (i + 1), 1e-12, 0);
    }
    /* memory of results comes back in turns, so a few places at most are met twice before they are replayed */
    CHECK_MSG(rec.replays >= 15 && rec.made <= 3, "%d replays, %d recordings", rec.replays, rec.made);
    CHECK_EQ(tsr_stats(c).replays, rec.replays);
    CHECK_OK(c);
    close_ctx(c, f);
}

TEST(parts_between_library_kernels) {
    with_sort = true;
    tsr_ctx *c = recorded_ctx();
    tsr_fn *f = make_fn(c, false);
    CHECK(run_one(c, f, ROWS, 0));
    uint64_t launches = tsr_stats(c).launches;
    CHECK_EQ(tsr_stats(c).library_calls, 1);
    for (int i = 1; i < 12; i++) {
        test_case("run %d", i);
        CHECK(run_one(c, f, ROWS, i));
        CHECK_EQ(tsr_stats(c).launches, launches * (uint64_t)(i + 1));
        CHECK_EQ(tsr_stats(c).library_calls, i + 1);
    }
    CHECK_MSG(rec.replays >= 14 && rec.replays % 2 == 0, "%d replays, %d recordings", rec.replays, rec.made);
    CHECK_OK(c);
    close_ctx(c, f);
    with_sort = false;
}

TEST(other_sizes_are_other_keys) {
    tsr_ctx *c = recorded_ctx();
    tsr_fn *f = make_fn(c, true);
    for (int i = 0; i < 24; i++) {
        test_case("run %d", i);
        CHECK(run_one(c, f, i % 3 == 0 ? ROWS : i % 3 == 1 ? 2 * ROWS : ROWS + i / 8, i));
    }
    CHECK(rec.replays > 0);
    close_ctx(c, f);
}

/* 70 sizes push every binding out: what was recorded under a binding goes with it. */
TEST(recordings_go_with_their_binding) {
    tsr_ctx *c = recorded_ctx();
    tsr_fn *f = make_fn(c, true);
    for (int i = 0; i < 6; i++) CHECK(run_one(c, f, 4 * ROWS, i));
    int made = rec.made;
    CHECK(made > 0 && rec.forgotten == 0);
    for (int i = 0; i < 70; i++) CHECK(run_one(c, f, ROWS + i, i));
    CHECK(rec.forgotten >= made);
    CHECK(run_one(c, f, 4 * ROWS, 9));
    close_ctx(c, f);
}

TEST(few_recordings_are_kept) {
    tsr_ctx *c = recorded_ctx();
    tsr_fn *f = make_fn(c, false);
    tsr_node *in[20], *out[2];
    float *x = malloc(sizeof *x * COUNT);
    for (int i = 0; i < 20; i++) {
        fill(x, ROWS, i);
        in[i] = tsr_keep(c, tsr_tensor(c, TSR_F32, 2, (int64_t[]){ROWS, COLUMNS}, x));
    }
    for (int turn = 0; turn < 3; turn++)
        for (int i = 0; i < 20; i++)
            for (int again = 0; again < 4; again++) {
                tsr_scope *s = tsr_scope_begin(c);
                CHECK_EQ(tsr_run(c, f, 1, &in[i], out), TSR_OK);
                tsr_scope_end(c, s);
            }
    CHECK_MSG(rec.made - rec.forgotten <= 8 && rec.forgotten > 0, "%d made, %d forgotten", rec.made, rec.forgotten);
    for (int i = 0; i < 20; i++) tsr_drop(c, in[i]);
    free(x);
    close_ctx(c, f);
}

TEST(a_device_that_cannot_record) {
    static const char *const where[] = {"begin", "launch", "end"};
    for (int w = 0; w < 3; w++) {
        test_case("%s", where[w]);
        tsr_ctx *c = recorded_ctx();
        tsr_fn *f = make_fn(c, false);
        rec.fail_begin = w == 0, rec.fail_launch = w == 1 ? 2 : 0, rec.fail_end = w == 2;
        for (int i = 0; i < 8; i++) CHECK(run_one(c, f, ROWS, i));
        CHECK(rec.begins == 1 && rec.replays == 0);
        CHECK_EQ(tsr_stats(c).replays, 0);
        CHECK_OK(c);
        close_ctx(c, f);
    }
}

TEST(an_error_while_recording_is_told) {
    static const char *const where[] = {"begin", "launch", "end"};
    for (int w = 0; w < 3; w++) {
        test_case("%s", where[w]);
        tsr_ctx *c = recorded_ctx();
        tsr_fn *f = make_fn(c, false);
        rec.error = true;
        rec.fail_begin = w == 0, rec.fail_launch = w == 1 ? 2 : 0, rec.fail_end = w == 2;
        bool failed = false;
        for (int i = 0; i < 8 && !failed; i++) failed = !run_one(c, f, ROWS, i);
        CHECK(failed);
        CHECK_ERROR(c, TSR_EIO, "told to fail");
        CHECK(run_one(c, f, ROWS, 3)); /* and then it goes on */
        close_ctx(c, f);
    }
}

TEST(modes_that_look_at_steps_replay_nothing) {
    static const char *const mode[] = {"TSR_NAN", "TSR_CHECK", "TSR_PROFILE"};
    for (int i = 0; i < 3; i++) {
        test_case("%s", mode[i]);
        setenv(mode[i], i == 2 ? test_path("trace.json") : "1", 1);
        tsr_ctx *c = recorded_ctx();
        tsr_fn *f = make_fn(c, false);
        for (int k = 0; k < 5; k++) CHECK(run_one(c, f, ROWS, k));
        unsetenv(mode[i]);
        CHECK_EQ(rec.begins, 0);
        close_ctx(c, f);
    }
}

/* A step that assigns a variable: its value moves between buffers, each step reads what the last one wrote. */
static void train(tsr_ctx *c, int steps, float *out) {
    float *x = malloc(sizeof *x * COUNT);
    fill(x, ROWS, 1);
    tsr_var *v = tsr_var_new(c, "w", tsr_tensor(c, TSR_F32, 2, (int64_t[]){ROWS, COLUMNS}, x));
    CHECK_EQ(tsr_fn_begin(c, "step"), TSR_OK);
    tsr_node *w = tsr_var_read(c, v), *half = tsr_scalar_float(c, TSR_F32, 0.5);
    tsr_node *g = tsr_sub(c, tsr_sin(c, tsr_mul(c, w, w)), tsr_mul(c, w, half));
    tsr_var_assign(c, v, tsr_sub(c, w, tsr_mul(c, g, half)));
    tsr_node *loss = tsr_mean(c, g, 0, NULL, false), *got;
    tsr_fn *f = tsr_fn_end(c, 1, &loss);
    for (int i = 0; i < steps; i++) {
        tsr_scope *s = tsr_scope_begin(c);
        CHECK_EQ(tsr_run(c, f, 0, NULL, &got), TSR_OK);
        tsr_scope_end(c, s);
    }
    CHECK_EQ(tsr_read(c, tsr_var_read(c, v), out, sizeof *out * COUNT), TSR_OK);
    tsr_fn_free(c, f);
    tsr_var_free(c, v);
    free(x);
}

TEST(variables_move_between_buffers) {
    float *a = malloc(sizeof *a * COUNT), *b = malloc(sizeof *b * COUNT);
    tsr_ctx *c = recorded_ctx();
    train(c, 30, a);
    CHECK_OK(c);
    CHECK_MSG(rec.replays >= 20, "%d replays", rec.replays);
    close_ctx(c, NULL);
    c = test_ctx();
    train(c, 30, b);
    CHECK_BYTES(a, b, sizeof *a * COUNT);
    free(a), free(b);
}

static bool run_some(tsr_ctx *c, void *arg) {
    tsr_node *out[2];
    (void)arg;
    if (!wrap_device(c)) return false;
    float *x = calloc(COUNT, sizeof *x);
    tsr_fn *f = make_fn(c, false);
    tsr_node *in = tsr_keep(c, tsr_tensor(c, TSR_F32, 2, (int64_t[]){ROWS, COLUMNS}, x));
    free(x);
    bool ok = f != NULL;
    for (int i = 0; i < 4 && ok; i++) {
        tsr_scope *s = tsr_scope_begin(c);
        ok = s && tsr_run(c, f, 1, &in, out) == TSR_OK;
        tsr_scope_end(c, s);
    }
    tsr_drop(c, in);
    tsr_fn_free(c, f);
    return ok;
}

TEST(no_allocation_is_needed_for_correctness) {
    setenv("TSR_THREADS", "1", 1);
    CHECK(torture(run_some, NULL) > 0);
    CHECK(rec.forgotten == rec.made && !rec.open);
}
