/* test_stablehlo_export.c: a fn, exported, printed, read and imported, computes the same bits on the reference
 * interpreter: sampled instances of every op in every dtype it admits, every composite, loops and branches, symbolic
 * extents, variables, a whole training step. The printed text is also what its module says (read again, it is equal).
 *
 * The oracle is the fn itself; bits are compared, a NaN against a NaN of any bits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/stablehlo/calls.h"
#include "formats/stablehlo/export.h"
#include "formats/stablehlo/read.h"
#include "graph/build.h"
#include "graph/interp.h"
#include "graph/ref.h"
#include "graph/sample.h"
#include "harness.h"
#include "tessera/models.h"
#include "tessera/optim.h"
#include "tessera/random.h"
#include "tessera/run.h"
#include "tessera/stablehlo.h"
#include "tessera/transform.h"

enum { MOST = 64, SAMPLES = 6 };

/* ---- there and back --------------------------------------------------------------------------------------------- */

/* The fn that f's text is; NULL with the error checked. The text says what the module said. */
static tsr_fn *there_and_back(tsr_ctx *c, const tsr_fn *f) {
    struct str why, text;
    str_init(&why, c), str_init(&text, c);
    tsr_fn *g = NULL;
    struct hlo_module *m = hlo_export(c, f), *again = NULL;
    if (CHECK_OK(c) && CHECK(m != NULL)) {
        hlo_print(&text, m);
        again = hlo_read_text(c, "exported", text.s, text.n);
        bool ok = CHECK_OK(c) && CHECK(again != NULL);
        bool same = ok && hlo_module_equal(m, again, &why);
        if (ok) CHECK_MSG(same, "the text says something else: %s", why.s);
        if (ok) g = tsr_stablehlo_parse(c, "exported", text.s, text.n, NULL);
        if (!CHECK_OK(c) || !CHECK(g != NULL)) CHECK_MSG(false, "the text was:\n%.3000s", text.s);
    }
    if (getenv("TSR_TEST_SHOW")) puts(text.s);
    hlo_module_free(m), hlo_module_free(again);
    str_release(&why), str_release(&text);
    return g;
}

static bool is_nan(const struct ref_tensor *t, int64_t i) {
    struct ref_val v = ref_get(t, i);
    return (dtype_is_float(t->dtype) && isnan(v.re)) || (dtype_is_complex(t->dtype) && (isnan(v.re) || isnan(v.im)));
}

static void check_same_bits(const struct ref_tensor *got, const struct ref_tensor *want, int which) {
    size_t each = (size_t)tsr_dtype_of(want->dtype)->bytes;
    int64_t wrong = 0, first = -1;
    if (!CHECK_EQ(got->dtype, want->dtype) || !CHECK_EQ(got->rank, want->rank) || !CHECK_EQ(got->count, want->count))
        return;
    if (tsr_dtype_of(want->dtype)->block != 1) {
        CHECK_BYTES(got->p, want->p, (size_t)(want->count + 1) / 2);
        return;
    }
    for (int64_t i = 0; i < want->count; i++)
        if (memcmp(got->p + (size_t)i * each, want->p + (size_t)i * each, each) != 0 &&
            !(is_nan(got, i) && is_nan(want, i)))
            first = wrong++ ? first : i;
    CHECK_MSG(wrong == 0, "result %d: %lld of %lld differ, first at %lld: got %.17g, want %.17g", which,
        (long long)wrong, (long long)want->count, (long long)first, first < 0 ? 0 : ref_get(got, first).re,
        first < 0 ? 0 : ref_get(want, first).re);
}

/* Both on the same data: parameters in order, results in order. */
static void check_fns(tsr_ctx *c, const tsr_fn *f, const tsr_fn *g, const struct ref_tensor *in) {
    struct ref_tensor want[MOST], got[MOST];
    struct arena a;
    struct interp_opts poison = {.poison = 0xA5};
    arena_init(&a, c);
    if (CHECK_EQ(g->param.n, f->param.n) && CHECK_EQ(g->result.n, f->result.n) && CHECK(f->result.n <= MOST)) {
        bool ok = interp_run(c, f, (int)f->param.n, in, &a, want, &poison) == TSR_OK;
        ok = ok && interp_run(c, g, (int)g->param.n, in, &a, got, &poison) == TSR_OK;
        if (CHECK_OK(c) && CHECK(ok))
            for (size_t i = 0; i < f->result.n; i++) check_same_bits(&got[i], &want[i], (int)i);
    }
    arena_release(&a);
}

/* Block types have no counterpart: that is said, and no more is to be checked. */
static bool has_blocks(const tsr_fn *f) {
    for (int i = 0; i < f->nparam; i++)
        if (tsr_dtype_of(tsr_fn_param_type(f, i)->dtype)->kind == TSR_KIND_BLOCK) return true;
    return false;
}

/* Groups that no operation of the specification can say are refused with that reason. */
static bool is_refused(tsr_ctx *c, const tsr_fn *f) {
    struct hlo_module *m = op_def((enum tsr_op)f->result.v[0]->op)->cls == OP_EXTERN ? hlo_export(c, f) : NULL;
    bool refused = !m && tsr_error_status(c) == TSR_EUNSUPPORTED && strstr(tsr_error_message(c), "does not say");
    if (refused) tsr_error_clear(c);
    hlo_module_free(m);
    return refused;
}

static void check_fn(tsr_ctx *c, const tsr_fn *f, struct sample *s) {
    struct ref_tensor in[MOST];
    struct arena a;
    if (is_refused(c, f)) return;
    if (has_blocks(f)) {
        CHECK(hlo_export(c, f) == NULL);
        CHECK_ERROR(c, TSR_EUNSUPPORTED, "dequantise");
        return;
    }
    arena_init(&a, c);
    tsr_fn *g = there_and_back(c, f);
    if (g && CHECK(f->param.n <= MOST) && CHECK_EQ(sample_fill(s, f, &a, in), TSR_OK)) check_fns(c, f, g, in);
    tsr_fn_free(c, g);
    arena_release(&a);
}

/* ---- every op --------------------------------------------------------------------------------------------------- */

static const char *no_way_back(enum tsr_op op) {
    if (op == TSR_OP_HOST_CALL) return "a host call is a pointer: it cannot be read back";
    if (op == TSR_OP_KERNEL) return "kernels have no reference: tested below";
    return NULL;
}

static void check_op(tsr_ctx *c, enum tsr_op op, tsr_dtype t) {
    const struct op_def *d = op_def(op);
    for (int k = 0; k < SAMPLES; k++) {
        tsr_scope *scope = tsr_scope_begin(c);
        struct sample s;
        sample_init(&s, t, test_rng(), k % 2);
        tsr_fn *f = d->sample(c, &s);
        if (f) check_fn(c, f, &s);
        else tsr_error_clear(c);
        tsr_fn_free(c, f);
        tsr_scope_end(c, scope);
    }
}

TEST(every_op_in_every_dtype) {
    tsr_ctx *c = test_ctx();
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        if (d->sample == sample_elsewhere || no_way_back((enum tsr_op)op)) continue;
        for (int t = 0; t < TSR_Q8_0; t++) {
            if (!op_admits(d->domain, (tsr_dtype)t) || tsr_dtype_of((tsr_dtype)t)->bits < 8) continue;
            test_case("%s %s", d->name, tsr_dtype_name((tsr_dtype)t));
            check_op(c, (enum tsr_op)op, (tsr_dtype)t);
        }
    }
}

/* Every op has a handler or is a leaf that fns do not hold: a new op must be thought of. */
TEST(every_op_is_thought_of) {
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        test_case("%s", op_name((enum tsr_op)op));
        CHECK(op == TSR_OP_PARAM || op == TSR_OP_VALUE || exp_handler_of((enum tsr_op)op) != NULL);
    }
}

/* ---- fns with data of these sizes ------------------------------------------------------------------------------- */

/* Random data for every parameter of f: floats in (-1, 1), integers in 0..2. */
static bool fill(tsr_ctx *c, const tsr_fn *f, int n, const tsr_binding *b, struct arena *a, struct ref_tensor *in) {
    for (size_t p = 0; p < f->param.n; p++) {
        const tsr_type *t = f->param.v[p].node->type;
        int64_t dim[TSR_MAX_RANK];
        for (int i = 0; i < t->rank; i++)
            if (tsr_extent_eval(c, t->extent[i], n, b, &dim[i])) return false;
        if (!ref_new(a, t->dtype, t->rank, dim, &in[p])) return false;
        for (int64_t i = 0; i < in[p].count; i++) {
            int64_t k = test_int(0, 2);
            ref_set(&in[p], i, (struct ref_val){.re = test_uniform(-1, 1), .im = test_uniform(-1, 1), .i = k,
                .u = (uint64_t)k & (t->dtype == TSR_BOOL ? 1 : 3)});
        }
    }
    return true;
}

/* f, the caller's, there and back, on random data where its symbols have these values; freed. */
static void check_sized_free(tsr_ctx *c, tsr_fn *f, int n, const tsr_binding *b) {
    struct ref_tensor in[MOST];
    struct arena a;
    arena_init(&a, c);
    tsr_fn *g = CHECK_OK(c) && CHECK(f != NULL) && CHECK(f->param.n <= MOST) ? there_and_back(c, f) : NULL;
    if (g && CHECK(fill(c, f, n, b, &a, in))) check_fns(c, f, g, in);
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    arena_release(&a);
}

/* ---- every composite -------------------------------------------------------------------------------------------- */

/* Letter for the dtype (f: f32, i: i32, k: u64), extents; what to build of them. */
struct operand { char kind; int rank; int64_t dim[4]; };
typedef tsr_node *build_fn(tsr_ctx *c, tsr_node **x);
#define BUILD(name, expression) \
    static tsr_node *c_##name(tsr_ctx *c, tsr_node **x) { return expression; }
BUILD(relu, tsr_relu(c, x[0]))
BUILD(gelu, tsr_gelu(c, x[0], true))
BUILD(silu, tsr_silu(c, x[0]))
BUILD(softplus, tsr_softplus(c, x[0]))
BUILD(leaky_relu, tsr_leaky_relu(c, x[0], 0.1))
BUILD(elu, tsr_elu(c, x[0], 1.5))
BUILD(softmax, tsr_softmax(c, x[0], 1))
BUILD(log_softmax, tsr_log_softmax(c, x[0], 0))
BUILD(logsumexp, tsr_logsumexp(c, x[0], 1, true))
BUILD(reduce_precision, tsr_reduce_precision(c, x[0], 5, 3))
BUILD(bessel_i0e, tsr_bessel_i0e(c, x[0]))
BUILD(bessel_i1e, tsr_bessel_i1e(c, x[0]))
BUILD(zeta, tsr_zeta(c, tsr_add(c, x[0], tsr_num(c, x[0], 4)), tsr_add(c, x[1], tsr_num(c, x[0], 3))))
BUILD(polygamma, tsr_polygamma(c, tsr_num(c, x[0], 2), tsr_add(c, x[0], tsr_num(c, x[0], 3))))
BUILD(layer_norm, tsr_layer_norm(c, x[0], 1, x[1], x[2], 1e-5))
BUILD(rms_norm, tsr_rms_norm(c, x[0], x[1], 1e-6))
BUILD(group_norm, tsr_group_norm(c, x[0], 2, x[1], x[2], 1e-5))
BUILD(batch_norm, tsr_batch_norm(c, x[0], x[1], tsr_mul(c, x[2], x[2]), x[3], x[4], 1e-5))
BUILD(batch_norm_train, tsr_batch_norm_train(c, x[0], x[1], x[2], 1e-5, NULL, NULL))
BUILD(dropout, tsr_dropout(c, x[0], x[1], 0.25))
BUILD(cross_entropy, tsr_cross_entropy(c, x[0], x[1], 0.1, INT64_MIN, TSR_LOSS_MEAN))
BUILD(mse, tsr_mse(c, x[0], x[1], TSR_LOSS_SUM))
BUILD(huber, tsr_huber(c, x[0], x[1], 0.5, TSR_LOSS_NONE))
BUILD(bce_logits, tsr_bce_logits(c, x[0], x[1], TSR_LOSS_MEAN))
BUILD(one_hot, tsr_one_hot(c, x[0], 3, TSR_F32))
BUILD(embedding, tsr_embedding(c, x[0], x[1]))
BUILD(linear, tsr_linear(c, x[0], x[1], x[2]))
BUILD(attention, tsr_attention(c, x[0], x[1], x[2], &(tsr_attention_opts){.causal = true, .softcap = 5}))
BUILD(rope, tsr_rope(c, x[0], x[1], 10000, false))
BUILD(adaptive_pool, tsr_adaptive_avg_pool(c, x[0], (int64_t[]){2, 3}))
BUILD(interpolate, tsr_interpolate(c, x[0], (int64_t[]){5, 7}, TSR_RESIZE_CUBIC, TSR_COORDS_HALF_PIXEL))
BUILD(lstm, tsr_lstm(c, x[0], x[1], x[2], x[3], x[4], NULL, NULL, NULL, NULL))
BUILD(gru, tsr_gru(c, x[0], x[1], x[2], x[3], NULL, NULL, NULL))

static const struct { const char *name; build_fn *build; struct operand in[6]; } composite_rows[] = {
#define ROW(name, ...) {"tsr." #name, c_##name, {__VA_ARGS__}}
#define A {'f', 2, {3, 4}}
#define V {'f', 1, {4}}
#define IMAGE {'f', 4, {2, 4, 3, 5}}
    ROW(relu, A), ROW(gelu, A), ROW(silu, A), ROW(softplus, A), ROW(leaky_relu, A), ROW(elu, A), ROW(softmax, A),
    ROW(log_softmax, A), ROW(logsumexp, A), ROW(reduce_precision, A), ROW(bessel_i0e, A), ROW(bessel_i1e, A),
    ROW(zeta, A, A), ROW(polygamma, A), ROW(layer_norm, A, V, V), ROW(rms_norm, A, V), ROW(group_norm, IMAGE, V, V),
    ROW(batch_norm, IMAGE, V, V, V, V), ROW(batch_norm_train, IMAGE, V, V), ROW(dropout, A, {'k', 1, {2}}),
    ROW(cross_entropy, A, {'i', 1, {3}}), ROW(mse, A, A), ROW(huber, A, A), ROW(bce_logits, A, A),
    ROW(one_hot, {'i', 1, {5}}), ROW(embedding, A, {'i', 2, {2, 5}}), ROW(linear, A, {'f', 2, {5, 4}}, {'f', 1, {5}}),
    ROW(attention, {'f', 4, {2, 4, 3, 6}}, {'f', 4, {2, 2, 5, 6}}, {'f', 4, {2, 2, 5, 3}}),
    ROW(rope, {'f', 4, {2, 2, 3, 4}}, {'i', 1, {3}}), ROW(adaptive_pool, IMAGE), ROW(interpolate, IMAGE),
    ROW(lstm, {'f', 3, {5, 2, 3}}, {'f', 2, {2, 4}}, {'f', 2, {2, 4}}, {'f', 2, {16, 3}}, {'f', 2, {16, 4}}),
    ROW(gru, {'f', 3, {5, 2, 3}}, {'f', 2, {2, 4}}, {'f', 2, {12, 3}}, {'f', 2, {12, 4}}),
};
_Static_assert(sizeof composite_rows / sizeof *composite_rows == COMP_COUNT, "a composite has no row here");

static tsr_fn *composite_row(tsr_ctx *c, size_t k, bool gradient) {
    tsr_node *x[6] = {0}, *y;
    if (tsr_fn_begin(c, composite_rows[k].name)) return NULL;
    for (int i = 0; i < 6 && composite_rows[k].in[i].kind; i++) {
        const struct operand *o = &composite_rows[k].in[i];
        x[i] = sample_param(c, o->kind == 'f' ? TSR_F32 : o->kind == 'i' ? TSR_I32 : TSR_U64, o->rank, o->dim);
    }
    y = composite_rows[k].build(c, x);
    if (gradient) {
        tsr_node *loss = tsr_sum(c, y, 0, NULL, false);
        tsr_grad(c, loss, 1, &x[0], &y);
    }
    return tsr_fn_end(c, 1, &y);
}

TEST(every_composite) {
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < COMP_COUNT; k++) {
        test_case("%s", composite_rows[k].name);
        tsr_fn *f = composite_row(c, k, false);
        char *text = f ? tsr_stablehlo_text(c, f) : NULL, *want = NULL;
        size_t n = strlen(composite_rows[k].name) + 32;
        if (CHECK_OK(c) && CHECK(text && (want = malloc(n)) != NULL)) {
            snprintf(want, n, "stablehlo.composite \"%s\"", composite_rows[k].name);
            CHECK_CONTAINS(text, want); /* whole, not its body in place */
        }
        free(want);
        tsr_text_free(c, text);
        check_sized_free(c, f, 0, NULL);
    }
}

TEST(gradients_of_composites) {
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < COMP_COUNT; k++) {
        const char *name = composite_rows[k].name;
        if (composite_rows[k].in[0].kind != 'f' || !strcmp(name, "tsr.zeta")) continue; /* no gradient in s */
        test_case("%s", name);
        check_sized_free(c, composite_row(c, k, true), 0, NULL);
    }
}

/* ---- symbolic extents ------------------------------------------------------------------------------------------- */

typedef tsr_node *symbolic_fn(tsr_ctx *c, tsr_node *x, tsr_node *y); /* x f32[B, 6], y f32[T, 6] */
#define SYMBOLIC(name, expression) \
    static tsr_node *s_##name(tsr_ctx *c, tsr_node *x, tsr_node *y) { (void)y; return expression; }
static const tsr_extent *rows(tsr_node *x) { return tsr_node_extent(x, 0); }
SYMBOLIC(add, tsr_add(c, x, tsr_num(c, x, 1)))
SYMBOLIC(softmax, tsr_softmax(c, x, 0))
SYMBOLIC(mean, tsr_mean(c, x, 1, (int[]){0}, false))
SYMBOLIC(concat, tsr_concat(c, 2, (tsr_node *[]){x, y}, 0))
SYMBOLIC(matmul, tsr_matmul(c, x, tsr_transpose(c, y, NULL)))
SYMBOLIC(flatten, tsr_flatten(c, x, 0, 1))
SYMBOLIC(iota, tsr_prim_iota(c, tsr_node_type(x), 0))
SYMBOLIC(exp2, tsr_prim1(c, TSR_S_EXP2, tsr_stop_gradient(c, x)))
SYMBOLIC(argmax, tsr_argmax(c, x, 0, false))
SYMBOLIC(linear, tsr_linear(c, x, tsr_full(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){4, 6}), 0.5), NULL))
static tsr_node *s_drop_first(tsr_ctx *c, tsr_node *x, tsr_node *y) {
    const tsr_extent *start[] = {tsr_extent_int(c, 1), tsr_extent_int(c, 0)};
    const tsr_extent *limit[] = {rows(x), tsr_extent_int(c, 6)};
    (void)y;
    return tsr_prim_slice(c, x, start, limit, (int64_t[]){2, 1});
}
static tsr_node *s_pad(tsr_ctx *c, tsr_node *x, tsr_node *y) { /* as many rows after as y has */
    const tsr_extent *low[] = {tsr_extent_int(c, 1), tsr_extent_int(c, 0)}, *high[] = {rows(y), tsr_extent_int(c, 2)};
    return tsr_prim_pad(c, x, tsr_scalar_float(c, TSR_F32, 7), low, high, (int64_t[]){0, 1});
}
static tsr_node *s_window_of(tsr_ctx *c, tsr_node *x, tsr_node *y) { /* as many rows of both as y has, from 1 on */
    const tsr_extent *size[] = {rows(y), tsr_extent_int(c, 6)};
    tsr_node *both = tsr_concat(c, 2, (tsr_node *[]){x, y}, 0);
    tsr_node *start[] = {tsr_scalar_int(c, TSR_I32, 1), tsr_scalar_int(c, TSR_I32, 0)};
    return tsr_prim_dynamic_slice(c, both, start, size);
}
static tsr_node *s_running(tsr_ctx *c, tsr_node *x, tsr_node *y) { /* a scan over the rows */
    tsr_node *out[2], *zero = tsr_full(c, tsr_type_dims(c, TSR_F32, 1, (int64_t[]){6}), 0);
    (void)y;
    if (tsr_fn_begin(c, "sum")) return tsr_poison(c);
    tsr_node *carry = tsr_param(c, tsr_node_type(zero), "sum"), *row = tsr_param(c, tsr_node_type(zero), "row");
    out[0] = out[1] = tsr_add(c, carry, row);
    tsr_fn *body = tsr_fn_end(c, 2, out);
    tsr_node *all = body ? tsr_prim_scan(c, body, 1, &zero, 1, &x, rows(x), true) : tsr_poison(c);
    tsr_fn_free(c, body);
    return tsr_item(c, all, 1);
}
static tsr_node *s_columns(tsr_ctx *c, tsr_node *x, tsr_node *y) { /* a scan over columns of symbolic length */
    tsr_node *t = tsr_transpose(c, x, NULL), *zero, *out[2];
    const tsr_extent *e = rows(x);
    (void)y;
    zero = tsr_full(c, tsr_type_tensor(c, TSR_F32, 1, &e), 0);
    if (tsr_fn_begin(c, "sum")) return tsr_poison(c);
    tsr_node *carry = tsr_param(c, tsr_node_type(zero), "sum"), *row = tsr_param(c, tsr_node_type(zero), "row");
    out[0] = out[1] = tsr_add(c, tsr_mul(c, carry, tsr_num(c, carry, 0.5)), row);
    tsr_fn *body = tsr_fn_end(c, 2, out);
    tsr_node *all = body ? tsr_prim_scan(c, body, 1, &zero, 1, &t, tsr_extent_int(c, 6), false) : tsr_poison(c);
    tsr_fn_free(c, body);
    return tsr_item(c, all, 1);
}

static const struct { const char *name; symbolic_fn *build; } symbolic_rows[] = {
    {"add", s_add}, {"softmax", s_softmax}, {"mean", s_mean}, {"concat", s_concat}, {"matmul", s_matmul},
    {"flatten", s_flatten}, {"iota", s_iota}, {"exp2", s_exp2}, {"argmax", s_argmax}, {"linear", s_linear},
    {"slice", s_drop_first}, {"pad", s_pad}, {"dynamic_slice", s_window_of}, {"scan of rows", s_running},
    {"scan of columns", s_columns}};

TEST(symbolic_extents) {
    tsr_ctx *c = test_ctx();
    for (size_t k = 0; k < sizeof symbolic_rows / sizeof *symbolic_rows; k++) {
        test_case("%s", symbolic_rows[k].name);
        tsr_scope *scope = tsr_scope_begin(c);
        const tsr_extent *b = tsr_extent_symbol(c, "B", 1, 64), *t = tsr_extent_symbol(c, "T", 1, INT64_MAX / 4);
        tsr_binding sizes[] = {{b, test_int(4, 9)}, {t, test_int(2, 4)}};
        tsr_node *y = NULL;
        if (!tsr_fn_begin(c, "symbolic")) {
            const tsr_extent *ex[] = {b, tsr_extent_int(c, 6)}, *ey[] = {t, tsr_extent_int(c, 6)};
            tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, ex), "x");
            y = symbolic_rows[k].build(c, x, tsr_param(c, tsr_type_tensor(c, TSR_F32, 2, ey), "y"));
        }
        check_sized_free(c, tsr_fn_end(c, 1, &y), 2, sizes);
        tsr_scope_end(c, scope);
    }
}

/* A size that is needed as a value, but that no parameter has, is said. */
TEST(a_size_from_nowhere) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *e = tsr_extent_symbol(c, "N", 1, 9);
    CHECK_EQ(tsr_fn_begin(c, "nowhere"), TSR_OK);
    tsr_node *y = tsr_full(c, tsr_type_tensor(c, TSR_F32, 1, &e), 1);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    if (CHECK(f != NULL)) CHECK(tsr_stablehlo_text(c, f) == NULL);
    CHECK_ERROR(c, TSR_EUNSUPPORTED, "the size N");
    tsr_fn_free(c, f);
}

/* ---- what a fn holds besides ------------------------------------------------------------------------------------- */

/* A whole training step of a small convnet and of an MLP with AdamW: parameters, moments and the step count are
 * variables, the batch is symbolic. */
static tsr_fn *training_step(tsr_ctx *c, tsr_nn *model, int rank, const int64_t *dim, tsr_optim **optim) {
    tsr_var *var[MOST];
    const char *name[MOST];
    int n = 0;
    tsr_nn_param p;
    for (int i = 0; i < tsr_nn_count(model) && n < MOST; i++)
        if (tsr_nn_at(model, i, &p) && !p.buffer) name[n] = tsr_var_name(p.var), var[n++] = p.var;
    *optim = tsr_optim_new(c, &(tsr_optim_opts){.kind = TSR_ADAMW, .lr = 0.01, .clip_norm = 1}, n, var, name);
    if (!*optim || tsr_fn_begin(c, "train_step")) return NULL;
    const tsr_extent *e[TSR_MAX_RANK] = {tsr_extent_symbol(c, "batch", 1, 1 << 20)};
    for (int i = 0; i < rank; i++) e[i + 1] = tsr_extent_int(c, dim[i]);
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, rank + 1, e), "x");
    tsr_node *label = tsr_param(c, tsr_type_tensor(c, TSR_I32, 1, e), "label");
    tsr_nn_mode mode = {.training = true, .key = tsr_key(c, 3)};
    tsr_node *loss = tsr_cross_entropy(c, tsr_nn_forward(model, x, &mode), label, 0, INT64_MIN, TSR_LOSS_MEAN);
    if (!tsr_optim_step(*optim, loss, NULL)) return tsr_fn_end(c, 1, &loss);
    tsr_fn_abort(c);
    return NULL;
}

static void check_training(tsr_ctx *c, tsr_nn *model, int rank, const int64_t *dim) {
    tsr_optim *optim = NULL;
    if (!CHECK_OK(c) || !CHECK(model != NULL)) return;
    CHECK_EQ(tsr_nn_init(model, 1), TSR_OK);
    tsr_fn *f = training_step(c, model, rank, dim, &optim);
    if (CHECK_OK(c) && CHECK(f != NULL)) {
        char *text = tsr_stablehlo_text(c, f);
        if (CHECK_OK(c) && CHECK(text != NULL)) CHECK_CONTAINS(text, "tessera.var = ");
        tsr_text_free(c, text);
        tsr_binding batch = {tsr_extent_symbol(c, "batch", 1, 1 << 20), 5};
        check_sized_free(c, f, 1, &batch);
    }
    tsr_optim_free(optim);
    tsr_nn_free(model);
}

TEST(training_step_of_an_mlp) {
    tsr_ctx *c = test_ctx();
    tsr_nn *layer[] = {tsr_nn_linear(c, 6, 8, true), tsr_nn_function(c, tsr_relu), tsr_nn_dropout(c, 0.25),
        tsr_nn_linear(c, 8, 3, true)};
    check_training(c, tsr_nn_sequential(c, 4, layer), 1, (int64_t[]){6});
}

TEST(training_step_of_a_convnet) {
    tsr_ctx *c = test_ctx();
    check_training(c, tsr_convnet(c, 12, 12, 3), 3, (int64_t[]){1, 12, 12});
}

/* A user's kernel goes as the text of its tile program and runs the same: y = x + n on one element. */
TEST(kernels_come_back) {
    tsr_ctx *c = test_ctx();
    tsr_tile *p = tsr_tile_new(c, "add_n");
    tsr_tv x = tsr_tile_arg_buf(p, TSR_F64, TSR_TILE_IN, "x"), n = tsr_tile_arg(p, TSR_I64, "n");
    tsr_tv y = tsr_tile_arg_buf(p, TSR_F64, TSR_TILE_OUT, "y");
    tsr_tile_block b = {.rank = 0, .base = tsr_tile_int(p, TSR_I64, 0)};
    tsr_tv sum = tsr_tile_elem2(p, TSR_S_ADD, tsr_tile_load(p, x, &b, TSR_TV_NONE), tsr_tile_cast(p, TSR_F64, n));
    tsr_tile_store(p, y, &b, sum);
    CHECK_EQ(tsr_tile_finish(p), TSR_OK);
    const tsr_type *t = tsr_type_dims(c, TSR_F64, 0, NULL);
    const tsr_extent *five = tsr_extent_int(c, 5);
    CHECK_EQ(tsr_fn_begin(c, "kernel"), TSR_OK);
    tsr_node *in = tsr_param(c, t, "x"), *out = tsr_prim_kernel(c, p, NULL, 1, &in, 1, &five, 1, &t);
    tsr_fn *f = tsr_fn_end(c, 1, &out), *g = CHECK_OK(c) && CHECK(f != NULL) ? there_and_back(c, f) : NULL;
    if (g) {
        tsr_node *arg = tsr_scalar_float(c, TSR_F64, 2.5), *result;
        CHECK_EQ(tsr_run(c, g, 1, &arg, &result), TSR_OK);
        CHECK_CLOSE(tsr_read_scalar(c, result), 7.5, 0, 0);
    }
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    tsr_tile_free(p);
}

/* The effects of a fn in their order, as text. */
static void effects_of(const tsr_fn *f, struct str *o) {
    for (size_t i = 0; i < f->node.n; i++) {
        const tsr_node *n = f->node.v[i];
        if (op_def((enum tsr_op)n->op)->cls != OP_EXTERN) continue;
        str_printf(o, "%s of ", op_name((enum tsr_op)n->op));
        for (int k = 0; k < n->nsrc; k++) str_printf(o, "%s ", op_name((enum tsr_op)n->src[k]->op));
        attrs_print(o, n->nattr, n->attr);
        str_putc(o, '\n');
    }
}

/* Effects keep their order through tokens: infeed, send, recv, outfeed, each after the one before. */
TEST(effects_come_back) {
    tsr_ctx *c = test_ctx();
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 1, (int64_t[]){3});
    tsr_channel to = {.id = 7};
    CHECK_EQ(tsr_fn_begin(c, "effects"), TSR_OK);
    tsr_node *x = tsr_param(c, t, "x"), *in = tsr_prim_infeed(c, tsr_prim_token(c), 1, &t);
    tsr_node *sum = tsr_add(c, x, tsr_item(c, in, 0)), *sent = tsr_prim_send(c, 1, &sum, tsr_item(c, in, 1), &to);
    tsr_node *got = tsr_prim_recv(c, sent, &to, 1, &t), *value = tsr_item(c, got, 0);
    tsr_node *both[] = {tsr_item(c, got, 1), tsr_prim_outfeed(c, 1, &value, sent)};
    tsr_node *out[] = {value, tsr_prim_after_all(c, 2, both)};
    tsr_fn *f = tsr_fn_end(c, 2, out), *g = CHECK_OK(c) && CHECK(f != NULL) ? there_and_back(c, f) : NULL;
    if (g) {
        struct str a, b;
        str_init(&a, c), str_init(&b, c);
        effects_of(f, &a), effects_of(g, &b);
        CHECK_STR(b.s, a.s);
        str_release(&a), str_release(&b);
    }
    tsr_fn_free(c, f), tsr_fn_free(c, g);
}

/* A host call is written, and refused when read. */
static int no_call(void *user, int nin, const void *const *in, int nout, void *const *out) {
    (void)user, (void)nin, (void)in, (void)nout, (void)out;
    return 0;
}

TEST(host_calls_do_not_come_back) {
    tsr_ctx *c = test_ctx();
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 0, NULL);
    CHECK_EQ(tsr_fn_begin(c, "host"), TSR_OK);
    tsr_node *x = tsr_param(c, t, "x"), *y = tsr_prim_host_call(c, "hook", no_call, NULL, 1, &x, 1, &t);
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    char *text = f ? tsr_stablehlo_text(c, f) : NULL;
    if (CHECK_OK(c) && CHECK(text != NULL)) {
        CHECK_CONTAINS(text, "stablehlo.custom_call @tessera.host_call(%arg0) {api_version = 4 : i32, backend_config = "
                             "{name = \"hook\"}}");
        CHECK(tsr_stablehlo_parse(c, "host.mlir", text, strlen(text), NULL) == NULL);
        CHECK_ERROR(c, TSR_EINVAL, "host call");
    }
    tsr_text_free(c, text);
    tsr_fn_free(c, f);
}

/* ---- files and errors ------------------------------------------------------------------------------------------- */

TEST(files) {
    tsr_ctx *c = test_ctx();
    static const char text[] = "func.func @twice(%x: tensor<3xf32>) -> tensor<3xf32> {\n"
                               "  %0 = stablehlo.add %x, %x : tensor<3xf32>\n  return %0 : tensor<3xf32>\n}\n";
    const char *path = test_path("twice.mlir");
    test_write_file(path, text, sizeof text - 1);
    tsr_fn *f = tsr_stablehlo_read(c, path, NULL), *g = tsr_stablehlo_read(c, path, "twice");
    CHECK_OK(c);
    CHECK(f && g && tsr_fn_params(f) == 1);
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    CHECK(tsr_stablehlo_read(c, path, "main") == NULL);
    CHECK_ERROR(c, TSR_ENOTFOUND, "@main");
    CHECK(tsr_stablehlo_read(c, test_path("absent.mlir"), NULL) == NULL);
    CHECK_ERROR(c, TSR_ENOTFOUND, "absent.mlir");
    CHECK(tsr_stablehlo_parse(c, "bad.mlir", "func.func @f(", 13, NULL) == NULL);
    CHECK_ERROR(c, TSR_EINVAL, "bad.mlir:1:");
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static bool whole_way(tsr_ctx *c, void *arg) {
    (void)arg;
    const tsr_extent *e[] = {tsr_extent_symbol(c, "B", 1, 64), tsr_extent_int(c, 4)};
    const tsr_type *t = e[0] && e[1] ? tsr_type_tensor(c, TSR_F32, 2, e) : NULL;
    if (!t || tsr_fn_begin(c, "torture")) return false;
    tsr_node *x = tsr_param(c, t, "x"), *y = tsr_softmax(c, tsr_prim1(c, TSR_S_EXP2, x), 1);
    y = tsr_concat(c, 2, (tsr_node *[]){y, y}, 0);
    tsr_fn *f = tsr_fn_end(c, 1, &y), *g = NULL;
    char *text = f ? tsr_stablehlo_text(c, f) : NULL;
    if (text) g = tsr_stablehlo_parse(c, "torture", text, strlen(text), NULL);
    bool ok = g != NULL;
    tsr_text_free(c, text);
    tsr_fn_free(c, f), tsr_fn_free(c, g);
    return ok;
}

TEST(every_allocation_may_fail) { torture(whole_way, NULL); }
