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
            if (op >= TSR_OP_PARTITION_ID && !imp_handler_of(HLO_OP_ALL_REDUCE)) {
                test_skip("communication is exported, but not imported yet");
                continue;
            }
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
