/* state.c: variables as tensors of a safetensors file; saving a module. */
#include "nn/state.h"

#include "nn/nn.h"
#include "tessera/run.h"

tsr_status state_tensor(tsr_ctx *c, struct arena *a, tsr_var *v, const char *name, tsr_safetensor *out) {
    tsr_status s = tsr_eval_vars(c, 1, &v, 0, NULL);
    if (s) return s;
    const tsr_type *t = tsr_var_type(v);
    tsr_node *value = tsr_var_read(c, v);
    int64_t count = 1;
    if (tsr_is_poison(value)) return tsr_error_status(c);
    *out = (tsr_safetensor){.dtype = t->dtype, .rank = t->rank, .name = arena_strdup(a, name)};
    for (int i = 0; i < t->rank; i++) count *= out->dim[i] = tsr_node_dim(value, i);
    if (!out->name || !tsr_dtype_bytes(t->dtype, count, &out->bytes)) return TSR_ENOMEM;
    if ((out->data = tsr_buf_data(tsr_node_buf(value)))) return TSR_OK;
    void *copy = arena_alloc(a, out->bytes + 1);
    out->data = copy;
    return copy ? tsr_read(c, value, copy, out->bytes) : TSR_ENOMEM;
}

tsr_status tsr_nn_save(tsr_nn *m, const char *path, int64_t nmeta, const tsr_metadata *meta) {
    tsr_ctx *c = m->c;
    int n = tsr_nn_count(m);
    struct arena a;
    tsr_nn_param p;
    arena_init(&a, c);
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_safetensor *t = arena_array(&a, (size_t)n + 1, sizeof *t);
    tsr_status s = scope && t ? TSR_OK : TSR_ENOMEM;
    for (int i = 0; !s && i < n && tsr_nn_at(m, i, &p); i++) s = state_tensor(c, &a, p.var, p.name, &t[i]);
    if (!s) s = tsr_safetensors_save(c, path, n, t, nmeta, meta);
    if (scope) tsr_scope_end(c, scope);
    arena_release(&a);
    return s;
}
