/* module_linalg.c: transforms and factorizations as calls of lib_fft.inc, lib_linalg.inc and lib_eigen.inc, and the
 * room they take, which the same text works out: here where sizes are numbers, in the module where they are not. */
#include <string.h>

#include "emit/lib_text.h"
#include "emit/module_text.h"
#include "tessera/prim.h"

#include "emit/lib_fft.inc"
#include "emit/lib_linalg.inc"
#include "emit/lib_eigen.inc"

static void put_slot(struct str *s, const tsr_plan *p, const struct plan_step *st, int i) {
    module_slot(s, p, st->arg[i].slot);
}

static bool is_wide(tsr_dtype t) { return t == TSR_F64 || t == TSR_C128; }

/* ---- fft: mode, axes, lengths ---- */

static int64_t fft_room(const struct plan_step *st) { return tsr_fft_room((int)st->ints[1], st->ints + 2, 1); }
static bool several_irfft(const struct plan_step *st) { return st->ints[0] == TSR_IRFFT && st->ints[1] > 1; }

/* Room: where lines are worked on, then for irfft over several axes a copy of the operand. */
static void fft(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    const tsr_type *x = module_arg_type(p, st, 0);
    int axes = (int)st->ints[1];
    str_put(s, "        "), module_dims(m, s, "xd", x);
    str_put(s, "        "), module_dims(m, s, "yd", module_arg_type(p, st, 1));
    module_ints(s, "length", axes, st->ints + 2);
    str_printf(s, "        struct tsr_fft_call f = {.slots = 1, .how = %d, .axes = %d, .rank = %d, .wide = %d};\n",
        (int)st->ints[0], axes, x->rank, is_wide(x->dtype));
    str_put(s, "        f.length = length, f.xdim = xd, f.ydim = yd, f.room = more;\n        f.x = ");
    put_slot(s, p, st, 0), str_put(s, ", f.y = "), put_slot(s, p, st, 1);
    if (several_irfft(st)) str_printf(s, ", f.copy = more + %lld", (long long)fft_room(st));
    str_put(s, ";\n        tsr_fft_run(&f);\n");
}

static void fft_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st) {
    if (several_irfft(st)) module_sum_bytes(m, sum, module_arg_type(p, st, 0));
    sum->n += fft_room(st);
}

/* ---- matrices ---- */

static const struct kernel {
    const char *name;
    int64_t (*words)(const struct tsr_matrices *q);
} kernels[] = {
    {"cholesky", tsr_cholesky_words}, {"triangular_solve", tsr_triangular_solve_words}, {"qr", tsr_qr_words},
    {"svd", tsr_svd_words}, {"eigh", tsr_eigh_words},
};

static const struct kernel *find(const struct plan_step *st) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(st->lib, kernels[i].name)) return &kernels[i];
    return NULL;
}

static bool solves(const struct plan_step *st) { return !strcmp(st->lib, "triangular_solve"); }
static int parts_of(const tsr_type *t) { return tsr_dtype_of(t->dtype)->kind == TSR_KIND_COMPLEX ? 2 : 1; }
static const tsr_extent *extent_of(const tsr_type *t, int from_last) { return t->extent[t->rank - 1 - from_last]; }

/* How many right sides there are: ints[0] says on which side the matrix stands. */
static const tsr_extent *width_of(const tsr_plan *p, const struct plan_step *st) {
    return extent_of(module_arg_type(p, st, 1), st->ints[0] ? 0 : 1);
}

/* ".parts = 1, .m = 3, .n = 4": what room depends on. */
static void put_sizes(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    const tsr_type *a = module_arg_type(p, st, 0);
    str_printf(s, ".parts = %d, .m = ", parts_of(a)), module_extent(m, s, extent_of(a, 1));
    str_put(s, ", .n = "), module_extent(m, s, extent_of(a, 0));
    if (solves(st)) str_put(s, ", .width = "), module_extent(m, s, width_of(p, st));
}

static void put_matrices(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    static const char *const result[] = {"y", "z", "v"};
    const tsr_type *a = module_arg_type(p, st, 0);
    int nin = solves(st) ? 2 : 1;
    str_put(s, "        struct tsr_matrices q = {.slots = 1, .batch = (vm_i64)1");
    for (int i = 0; i + 2 < a->rank; i++) str_put(s, " * "), module_extent(m, s, a->extent[i]);
    str_put(s, ", "), put_sizes(m, s, p, st), str_printf(s, ", .wide = %d};\n        ", is_wide(a->dtype));
    if (solves(st)) {
        str_printf(s, "q.left = %d, q.lower = %d, q.unit = %d, q.op = %d, q.b = ", (int)st->ints[0],
            (int)st->ints[1], (int)st->ints[2], (int)st->ints[3]);
        put_slot(s, p, st, 1), str_put(s, ", ");
    } else if (st->nints) str_printf(s, "q.lower = %d, ", (int)st->ints[0]);
    str_put(s, "q.a = "), put_slot(s, p, st, 0);
    for (int i = nin; i < st->narg; i++) str_printf(s, ", q.%s = ", result[i - nin]), put_slot(s, p, st, i);
    str_printf(s, ", q.room = (vm_f64 *)(void *)more;\n        tsr_%s(&q);\n", st->lib);
}

static void matrices_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st) {
    const tsr_type *a = module_arg_type(p, st, 0);
    struct tsr_matrices q = {.parts = parts_of(a)};
    if (m->o->symbolic) {
        str_printf(&sum->s, " + tsr_round64(8 * tsr_%s_words(&(struct tsr_matrices){", st->lib);
        put_sizes(m, &sum->s, p, st), str_put(&sum->s, "}))");
    } else if (module_value(m, extent_of(a, 1), &q.m) && module_value(m, extent_of(a, 0), &q.n) &&
        (!solves(st) || module_value(m, width_of(p, st), &q.width)))
        sum->n += 8 * find(st)->words(&q);
}

/* ---- the step ---- */

bool module_linalg_has(const struct plan_step *st) { return !strcmp(st->lib, "fft") || find(st); }

void module_linalg(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    if (find(st)) put_matrices(m, s, p, st);
    else fft(m, s, p, st);
}

void module_linalg_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st) {
    if (find(st)) matrices_need(m, sum, p, st);
    else fft_need(m, sum, p, st);
}
