/* host_lib.c: library kernels for devices whose memory the host does not see, on the CPU.
 *
 * Sorting, transforms, factorizations and general index work are no tile programs, and a device need not have kernels
 * of its own for them: operands are copied out, the CPU's kernel (cpu/lib.h) runs on the context's threads, results are
 * copied in. So the bits are the CPU's. The price is two copies and a wait; what is hot deserves a tile program or a
 * kernel of the device. */
#include "device/host_lib.h"

#include "device/cpu/lib.h"

bool host_lib_has(struct device *d, const char *name) {
    (void)d;
    return lib_find(name) != NULL;
}

static size_t tensor_bytes(const struct lib_tensor *t) {
    size_t bytes;
    if (!tsr_dtype_bytes(t->dtype, lib_count(t), &bytes))
        TSR_BUG("a bound slot of %s has no size", tsr_dtype_name(t->dtype));
    return bytes;
}

/* t: the call's tensors in host memory, operands with their values. */
static tsr_status to_host(struct device *d, const struct lib_call *call, int nin, struct lib_tensor *t) {
    tsr_status s = TSR_OK;
    for (int i = 0; i < call->n && !s; i++) {
        size_t bytes = tensor_bytes(&call->t[i]);
        t[i] = call->t[i];
        if (!(t[i].p = mem_alloc(d->c, bytes))) s = TSR_ENOMEM;
        else if (i < nin && bytes) s = d->ops->copy_out(d, t[i].p, call->t[i].p, bytes);
    }
    return s;
}

static tsr_status to_device(struct device *d, const struct lib_call *call, int nin, const struct lib_tensor *t) {
    tsr_status s = TSR_OK;
    for (int i = nin; i < call->n && !s; i++) {
        size_t bytes = tensor_bytes(&t[i]);
        if (bytes) s = d->ops->copy_in(d, call->t[i].p, t[i].p, bytes);
    }
    return s;
}

tsr_status host_lib_run(struct device *d, const char *name, const struct lib_call *call) {
    const struct lib_entry *e = lib_find(name);
    struct lib_tensor *t = mem_array(d->c, (size_t)call->n + 1, sizeof *t);
    struct lib_call inner = *call;
    int nin = !e || e->nin < 0 ? call->n / 2 : e->nin;
    if (!t) return TSR_ENOMEM;
    inner.t = t;
    tsr_status s = to_host(d, call, nin, t);
    if (!s) s = lib_run(name, &inner);
    if (!s) s = to_device(d, call, nin, t);
    for (int i = 0; i < call->n; i++) mem_free(d->c, t[i].p, tensor_bytes(&call->t[i]));
    mem_array_free(d->c, t, (size_t)call->n + 1, sizeof *t);
    return s;
}
