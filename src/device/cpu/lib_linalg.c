/* lib_linalg.c: the kernels cholesky, triangular_solve, qr, svd and eigh: memory and threads around the text of
 * emit/lib_linalg.inc and emit/lib_eigen.inc, which have the algorithms. */
#include "device/cpu/lib.h"
#include "emit/lib_text.h"

#include "emit/lib_linalg.inc"
#include "emit/lib_eigen.inc"

static int64_t rows(const struct lib_tensor *t) { return t->dim[t->rank - 2]; }
static int64_t cols(const struct lib_tensor *t) { return t->dim[t->rank - 1]; }

/* The call for its first operand; results follow the operands. */
static struct tsr_matrices matrices(const struct lib_call *k, int nin) {
    const struct lib_tensor *a = &k->t[0];
    struct tsr_matrices q = {.pool = k->pool, .batch = lib_product(a->rank - 2, a->dim), .m = rows(a), .n = cols(a),
        .parts = a->dtype == TSR_C64 || a->dtype == TSR_C128 ? 2 : 1,
        .wide = a->dtype == TSR_F64 || a->dtype == TSR_C128, .a = a->p, .y = k->t[nin].p};
    q.slots = q.batch < lib_workers(k) ? q.batch : lib_workers(k);
    if (k->n > nin + 1) q.z = k->t[nin + 1].p;
    if (k->n > nin + 2) q.v = k->t[nin + 2].p;
    return q;
}

/* words: of room a matrix needs. */
static tsr_status run(const struct lib_call *k, struct tsr_matrices *q, int64_t words,
    void (*kernel)(const struct tsr_matrices *q)) {
    size_t room = (size_t)(words * q->slots + 1);
    q->room = mem_array(k->c, room, sizeof *q->room);
    if (!q->room) return TSR_ENOMEM;
    kernel(q);
    mem_array_free(k->c, q->room, room, sizeof *q->room);
    return TSR_OK;
}

tsr_status lib_cholesky(const struct lib_call *k) {
    struct tsr_matrices q = matrices(k, 1);
    q.lower = (int)k->ints[0];
    return run(k, &q, tsr_cholesky_words(&q), tsr_cholesky);
}

tsr_status lib_triangular_solve(const struct lib_call *k) {
    struct tsr_matrices q = matrices(k, 2);
    const struct lib_tensor *b = &k->t[1];
    q.b = b->p;
    q.left = (int)k->ints[0], q.lower = (int)k->ints[1], q.unit = (int)k->ints[2], q.op = (int)k->ints[3];
    q.width = q.left ? cols(b) : rows(b);
    return run(k, &q, tsr_triangular_solve_words(&q), tsr_triangular_solve);
}

tsr_status lib_qr(const struct lib_call *k) {
    struct tsr_matrices q = matrices(k, 1);
    return run(k, &q, tsr_qr_words(&q), tsr_qr);
}

tsr_status lib_svd(const struct lib_call *k) {
    struct tsr_matrices q = matrices(k, 1);
    return run(k, &q, tsr_svd_words(&q), tsr_svd);
}

tsr_status lib_eigh(const struct lib_call *k) {
    struct tsr_matrices q = matrices(k, 1);
    return run(k, &q, tsr_eigh_words(&q), tsr_eigh);
}
