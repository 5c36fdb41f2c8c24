/* import_linalg.c: cholesky, triangular_solve, fft.
 *
 * They are primitives. Narrow floats are computed in f32. What the specification leaves open is the primitive's: the
 * triangle that cholesky does not compute is zero; a matrix that is not positive definite gives NaN.
 * Source: StableHLO specification, cholesky, triangular_solve, fft. */
#include <string.h>

#include "formats/stablehlo/import_body.h"

/* f16 and bf16 have no factorizations of their own. */
static tsr_node *wide(tsr_ctx *c, tsr_node *x) {
    if (tsr_is_poison(x)) return x;
    const struct tsr_dtype_info *d = tsr_dtype_of(tsr_node_dtype(x));
    return d->kind == TSR_KIND_FLOAT && d->bits < 32 ? tsr_prim_convert(c, x, TSR_F32) : x;
}

static bool narrowed_result(struct imp *p, const struct hlo_op *op, tsr_node *y) {
    return !tsr_is_poison(y) && imp_result(p, op, 0, imp_as(p->c, y, imp_dtype(op->result[0].type)));
}

bool imp_cholesky(struct imp *p, const struct hlo_op *op) {
    tsr_node *a;
    return imp_operands(p, op, 1, &a) &&
        narrowed_result(p, op, tsr_prim_cholesky(p->c, wide(p->c, a), hlo_get_int(op, "lower", 0) != 0));
}

bool imp_triangular_solve(struct imp *p, const struct hlo_op *op) {
    static const char *const names[] = {"NO_TRANSPOSE", "TRANSPOSE", "ADJOINT"};
    static const tsr_solve_op ops[] = {TSR_SOLVE_PLAIN, TSR_SOLVE_TRANSPOSE, TSR_SOLVE_ADJOINT};
    const char *how = hlo_get_text(op, "transpose_a");
    tsr_node *x[2];
    int k = 0;
    while (how && k < 3 && strcmp(how, names[k])) k++;
    if (k == 3) return imp_fail(p, op, "transpose_a is %s, not NO_TRANSPOSE, TRANSPOSE or ADJOINT", how);
    return imp_operands(p, op, 2, x) &&
        narrowed_result(p, op, tsr_prim_triangular_solve(p->c, wide(p->c, x[0]), wide(p->c, x[1]),
            hlo_get_int(op, "left_side", 0) != 0, hlo_get_int(op, "lower", 0) != 0,
            hlo_get_int(op, "unit_diagonal", 0) != 0, ops[k]));
}

bool imp_fft(struct imp *p, const struct hlo_op *op) {
    static const struct { const char *name; tsr_fft how; } kinds[] = {{"FFT", TSR_FFT}, {"IFFT", TSR_IFFT},
        {"RFFT", TSR_RFFT}, {"IRFFT", TSR_IRFFT}};
    const char *type = hlo_get_text(op, "fft_type");
    tsr_node *x;
    int n = 0;
    const int64_t *length = hlo_get_ints(op, "fft_length", &n);
    if (!imp_operands(p, op, 1, &x)) return false;
    for (size_t k = 0; type && k < sizeof kinds / sizeof *kinds; k++)
        if (!strcmp(type, kinds[k].name))
            return imp_result(p, op, 0, tsr_prim_fft(p->c, x, kinds[k].how, n, length));
    return imp_fail(p, op, "fft_type is %s, not FFT, IFFT, RFFT or IRFFT", type ? type : "missing");
}
