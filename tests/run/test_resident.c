/* test_resident.c: devices whose memory the host does not see, on the device of foreign.h.
 *
 * The oracle is the cpu: the same programs over the same data have its bits. Beside that: what crosses between host and
 * device is counted (weights and literals once, nothing for training steps), memory is handed on instead of allocated
 * anew, everything that reads a value's bytes asks the device for them, failures of launched work are told, and every
 * allocation may fail. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "device/memory.h"
#include "foreign.h"
#include "harness.h"
#include "run/runner.h"
#include "run/selftest.h"
#include "tessera/data.h"
#include "tessera/nn.h"
#include "tessera/ops.h"
#include "tessera/run.h"
#include "tessera/safetensors.h"
#include "tessera/train.h"
#include "tessera/transform.h"

static tsr_ctx *foreign_ctx(void) {
    tsr_ctx *c = test_ctx();
    if (!getenv("TSR_TEST_FOREIGN")) CHECK(foreign_open(c));
    return c;
}

static tsr_node *random_f32(tsr_ctx *c, int rank, const int64_t *dim) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    float *p = mem_array(c, (size_t)n, sizeof *p);
    if (!p) return tsr_poison(c);
    for (int64_t i = 0; i < n; i++) p[i] = (float)test_uniform(-1, 1);
    tsr_node *x = tsr_tensor(c, TSR_F32, rank, dim, p);
    mem_array_free(c, p, (size_t)n, sizeof *p);
    return x;
}

/* ---- every op ---------------------------------------------------------------------------------------------------- */

static void judge(void *user, const struct selftest_case *k) {
    (void)user;
    test_case("%s %s", k->op, tsr_dtype_name(k->dtype));
    CHECK_MSG(k->outcome == SELFTEST_PASSED, "%s", k->reason);
    CHECK_MSG(k->same_bits, "%s", k->differs);
}

TEST(every_op_has_the_bits_of_the_cpu) {
    tsr_ctx *c = foreign_ctx(), *cpu = test_ctx_with(&(tsr_config){.threads = 2, .device = "cpu"});
    struct selftest_options o = {.seed = rng_u64(test_rng()), .twin = cpu, .shard = (int)test_int(0, 3), .shards = 4,
        .samples = 2};
    CHECK_EQ(selftest_run(c, &o, judge, NULL), TSR_OK);
    CHECK_OK(c);
}

/* ---- what crosses ------------------------------------------------------------------------------------------------ */

/* A weight and a literal go over once, however many runs use them, whole or in part; results stay. */
TEST(weights_go_over_once) {
    tsr_ctx *c = foreign_ctx();
    float big[4096];
    for (int i = 0; i < 4096; i++) big[i] = (float)i / 4096;
    tsr_node *w = random_f32(c, 2, (int64_t[]){64, 64});
    tsr_node *lit = tsr_const(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){64, 64}), big);
    tsr_node *top = tsr_slice(c, w, 0, 0, 32, 1), *turned = tsr_transpose(c, top, NULL);
    CHECK_EQ(tsr_eval(c, 1, &top), TSR_OK);
    for (int i = 0; i < 5; i++) {
        size_t before = foreign_counts(c).bytes_in;
        tsr_node *x = random_f32(c, 2, (int64_t[]){8, 64});
        tsr_node *y = tsr_matmul(c, tsr_matmul(c, x, w), lit), *z = tsr_matmul(c, y, turned);
        CHECK_EQ(tsr_eval(c, 1, &z), TSR_OK);
        CHECK(tsr_buf_data(tsr_node_buf(z)) == NULL);
        size_t most = 8 * 64 * sizeof(float) + (i ? 0 : sizeof big);
        CHECK_MSG(foreign_counts(c).bytes_in - before <= most, "run %d: %zu bytes went over, the batch has %zu", i,
            foreign_counts(c).bytes_in - before, most);
        CHECK_EQ(foreign_counts(c).copies_out, 0);
    }
    CHECK_OK(c);
}

/* A copy on the device ends with the bytes it is of. */
TEST(a_copy_ends_with_its_value) {
    tsr_ctx *c = foreign_ctx();
    tsr_scope *s = tsr_scope_begin(c);
    tsr_node *x = random_f32(c, 1, (int64_t[]){1 << 20}), *y = tsr_sum(c, x, 0, NULL, false);
    CHECK(isfinite(tsr_read_scalar(c, y)));
    tsr_scope_end(c, s);
    device_memory_empty(device_of(c));
    struct foreign_counts n = foreign_counts(c);
    CHECK_MSG(n.allocs - n.frees < 8, "%lld blocks live on", (long long)(n.allocs - n.frees));
    CHECK_OK(c);
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

struct seen { float loss[64]; int n; int64_t allocs[64]; tsr_ctx *c; };
static void on_event(void *user, const tsr_train_event *e) {
    struct seen *s = user;
    if (e->kind != TSR_EVENT_STEP || s->n == 64) return;
    s->allocs[s->n] = foreign_counts(s->c).allocs;
    s->loss[s->n++] = (float)e->loss;
}

static bool train(tsr_ctx *c, struct seen *s, const char *file) {
    tsr_nn *layers[] = {tsr_nn_conv(c, &(tsr_nn_conv_opts){.in = 1, .out = 4, .kernel = 3, .padding = 1}),
        tsr_nn_batch_norm(c, 4, 1e-5, 0.1), tsr_nn_function(c, tsr_relu), tsr_nn_max_pool(c, 2, 2), tsr_nn_flatten(c),
        tsr_nn_linear(c, 64, 10, true)};
    tsr_nn *m = tsr_nn_sequential(c, 6, layers);
    tsr_data *all = tsr_data_digits(c), *some = NULL, *rest = NULL;
    *s = (struct seen){.c = c};
    tsr_trainer *t = NULL;
    bool ok = m && all && !tsr_nn_init(m, 3) && !tsr_data_split(c, all, 160.0 / 1797, 3, &rest, &some);
    tsr_trainer_opts o = {.model = m, .train = some, .epochs = 2, .batch = 20, .seed = 5, .callback = on_event,
        .user = s, .optim = {.kind = TSR_ADAMW, .lr = 0.01}};
    ok = ok && (t = tsr_trainer_new(c, &o)) && !tsr_trainer_run(t) && !tsr_nn_save(m, file, 0, NULL);
    tsr_trainer_free(t);
    tsr_nn_free(m);
    tsr_data_free(c, all), tsr_data_free(c, some), tsr_data_free(c, rest);
    return ok;
}

static void compare_files(const char *a, const char *b) {
    char command[2200];
    snprintf(command, sizeof command, "cmp '%s' '%s'", a, b);
    CHECK_EQ(system(command), 0);
}

TEST(training_has_the_bits_of_the_cpu_and_allocates_nothing_anew) {
    struct seen here, there;
    const char *a = test_path("a.safetensors"), *b = test_path("b.safetensors");
    tsr_ctx *c = foreign_ctx(), *cpu = test_ctx_with(&(tsr_config){.threads = 2, .device = "cpu"});
    CHECK(train(c, &here, a));
    CHECK(train(cpu, &there, b));
    CHECK_OK(c), CHECK_OK(cpu);
    CHECK(here.n > 8 && here.n == there.n);
    CHECK_BYTES(here.loss, there.loss, (size_t)here.n * sizeof(float));
    compare_files(a, b);
    CHECK_EQ(here.allocs[here.n - 1] - here.allocs[4], 0);
}

/* ---- who reads bytes --------------------------------------------------------------------------------------------- */

static int add_one(void *user, int nin, const void *const *in, int nout, void *const *out) {
    (void)user, (void)nin, (void)nout;
    for (int i = 0; i < 6; i++) ((float *)out[0])[i] = ((const float *)in[0])[i] + 1;
    return 0;
}

TEST(host_calls_and_the_interpreter_get_host_memory) {
    tsr_ctx *c = foreign_ctx();
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 1, (int64_t[]){6});
    tsr_node *x = tsr_from(c, t, (float[]){1, 2, 3, 4, 5, 6}), *d = tsr_mul(c, x, x), *out, *same;
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
    tsr_node *p = tsr_param(c, t, "p"), *y = tsr_neg(c, tsr_prim_host_call(c, "h", add_one, NULL, 1, &p, 1, &t));
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    CHECK_EQ(tsr_eval(c, 1, &d), TSR_OK);
    CHECK_EQ(tsr_run(c, f, 1, &d, &out), TSR_OK);
    CHECK_EQ(tsr_interpret(c, f, 1, &d, &same), TSR_OK);
    float got[6], want[6] = {-2, -5, -10, -17, -26, -37};
    CHECK_EQ(tsr_read(c, out, got, sizeof got), TSR_OK);
    CHECK_BYTES(got, want, sizeof want);
    CHECK_EQ(tsr_read(c, same, got, sizeof got), TSR_OK);
    CHECK_BYTES(got, want, sizeof want);
    tsr_fn_free(c, f);
    CHECK_OK(c);
}

/* Slices of 4-bit elements that begin inside a byte are moved by the host, both ways and in both directions. */
static void scan_nibbles(tsr_ctx *c, bool reverse, int64_t trips, int64_t count) {
    const tsr_type *slice = tsr_type_dims(c, TSR_I4, 1, &count);
    uint8_t data[64];
    for (int i = 0; i < 64; i++) data[i] = (uint8_t)test_int(0, 255);
    CHECK_EQ(tsr_fn_begin(c, "body"), TSR_OK);
    tsr_node *carry = tsr_param(c, slice, "carry"), *x = tsr_param(c, slice, "x");
    tsr_fn *body = tsr_fn_end(c, 2, (tsr_node *[]){x, carry});
    CHECK_EQ(tsr_fn_begin(c, "f"), TSR_OK);
    tsr_node *xs = tsr_param(c, tsr_type_dims(c, TSR_I4, 2, (int64_t[]){trips, count}), "xs");
    tsr_node *first = tsr_param(c, slice, "first"), *out[2], *want[2];
    tsr_node *y = tsr_prim_scan(c, body, 1, &first, 1, &xs, tsr_extent_int(c, trips), reverse);
    tsr_fn *f = tsr_fn_end(c, 2, (tsr_node *[]){tsr_item(c, y, 0), tsr_item(c, y, 1)});
    tsr_node *arg[] = {tsr_tensor(c, TSR_I4, 2, (int64_t[]){trips, count}, data),
        tsr_tensor(c, TSR_I4, 1, &count, data + 40)};
    CHECK_EQ(tsr_run(c, f, 2, arg, out), TSR_OK);
    CHECK_EQ(tsr_interpret(c, f, 2, arg, want), TSR_OK);
    size_t bytes[2] = {(size_t)(count + 1) / 2, (size_t)(trips * count + 1) / 2};
    for (int i = 0; i < 2; i++) {
        uint8_t a[64] = {0}, b[64] = {0};
        int64_t n = i ? trips * count : count;
        CHECK_EQ(tsr_read(c, out[i], a, bytes[i]), TSR_OK);
        CHECK_EQ(tsr_read(c, want[i], b, bytes[i]), TSR_OK);
        if (n % 2) a[bytes[i] - 1] &= 15, b[bytes[i] - 1] &= 15;
        CHECK_BYTES(a, b, bytes[i]);
    }
    tsr_fn_free(c, f), tsr_fn_free(c, body);
}

TEST(odd_slices_of_4_bit_elements) {
    tsr_ctx *c = foreign_ctx();
    for (int i = 0; i < 8; i++) scan_nibbles(c, i % 2, test_int(1, 6), 2 * test_int(0, 5) + 1);
    CHECK_OK(c);
}

/* ---- the checking modes ------------------------------------------------------------------------------------------ */

TEST(nan_mode_sees_device_memory) {
    tsr_ctx *c = foreign_ctx();
    runner_of(c)->nan = true;
    tsr_node *x = tsr_tensor(c, TSR_F32, 1, (int64_t[]){3}, (float[]){1, -1, 2}), *y = tsr_log(c, x);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK, "NaN");
}

TEST(check_mode_compares_device_memory) {
    tsr_ctx *c = foreign_ctx();
    runner_of(c)->check = 2;
    tsr_node *x = random_f32(c, 2, (int64_t[]){30, 17}), *e = tsr_exp(c, x);
    CHECK_EQ(tsr_eval(c, 1, &e), TSR_OK); /* parameters of the next plan lie on both sides */
    tsr_node *y = tsr_softmax(c, tsr_matmul(c, e, tsr_transpose(c, x, NULL)), -1);
    int64_t out = foreign_counts(c).copies_out;
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
    CHECK(foreign_counts(c).copies_out > out);
    CHECK_OK(c);
    foreign_fail_launch(c, 1); /* a kernel that writes nothing: the reference finds it out */
    tsr_node *z = tsr_exp(c, y);
    CHECK_EQ(tsr_eval(c, 1, &z), TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "launch failed");
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

TEST(a_launch_that_fails_later_is_told_when_values_are_read) {
    tsr_ctx *c = foreign_ctx();
    tsr_node *x = random_f32(c, 1, (int64_t[]){100}), *y = tsr_exp(c, x);
    float v[100];
    foreign_fail_launch(c, 1);
    CHECK_EQ(tsr_eval(c, 1, &y), TSR_OK);
    CHECK_EQ(tsr_read(c, y, v, sizeof v), TSR_EIO);
    CHECK_ERROR(c, TSR_EIO, "launch failed");
}

static bool sort_and_scan(tsr_ctx *c, void *arg) {
    (void)arg;
    if (!getenv("TSR_TEST_FOREIGN") && !foreign_open(c)) return false;
    float v[24], got[24];
    for (int i = 0; i < 24; i++) v[i] = (float)(i * 7 % 24);
    tsr_scope *s = tsr_scope_begin(c);
    tsr_node *x = tsr_tensor(c, TSR_F32, 1, (int64_t[]){24}, v), *y = tsr_add(c, x, x);
    tsr_node *z, *order;
    bool ok = s && !tsr_sort(c, tsr_exp(c, y), 0, false, &z, &order) &&
        tsr_read(c, z, got, sizeof got) == TSR_OK && got[1] > got[0];
    tsr_scope_end(c, s);
    return ok;
}

TEST(every_failing_allocation_is_clean) { CHECK(torture(sort_and_scan, NULL) > 50); }
