/* lib_fft.c: the fft kernel: memory and threads around the text of emit/lib_fft.inc, which has the algorithms. */
#include "device/cpu/lib.h"
#include "emit/lib_text.h"

#include "emit/lib_fft.inc"

/* The most lines that any axis has. */
static int64_t most_lines(const struct lib_tensor *t, int axes) {
    int64_t most = 0, count = lib_count(t);
    for (int i = t->rank - axes; i < t->rank; i++)
        if (count / t->dim[i] > most) most = count / t->dim[i];
    return most;
}

tsr_status lib_fft(const struct lib_call *k) {
    const struct lib_tensor *x = &k->t[0], *y = &k->t[1];
    struct tsr_fft_call f = {.pool = k->pool, .how = (int)k->ints[0], .axes = (int)k->ints[1], .rank = x->rank,
        .wide = x->dtype == TSR_F64 || x->dtype == TSR_C128, .length = k->ints + 2, .xdim = x->dim, .ydim = y->dim,
        .x = x->p, .y = y->p};
    if (!lib_count(y)) return TSR_OK;
    int64_t lines = most_lines(f.how == LIB_IRFFT ? x : y, f.axes);
    f.slots = lines < lib_workers(k) ? lines : lib_workers(k);
    size_t room = (size_t)tsr_fft_room(f.axes, f.length, f.slots);
    size_t copy = f.how == LIB_IRFFT && f.axes > 1 ? (size_t)lib_count(x) * (size_t)tsr_dtype_of(x->dtype)->bytes : 0;
    f.room = mem_alloc(k->c, room);
    f.copy = copy ? mem_alloc(k->c, copy) : NULL;
    bool ok = f.room && (f.copy || !copy);
    if (ok) tsr_fft_run(&f);
    mem_free(k->c, f.copy, copy);
    mem_free(k->c, f.room, room);
    return ok ? TSR_OK : TSR_ENOMEM;
}
