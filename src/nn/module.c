/* module.c: the tree of modules: life, names, initial values, loading and saving.
 *
 * A tree is walked depth first, a module's own parameters before its children's, both in the order in which they were
 * added: that order numbers the random streams of tsr_nn_init, so adding a layer at the end changes no other layer's
 * values. Loading looks at every tensor before it assigns any. */
#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "tessera/ops.h"
#include "tessera/run.h"

/* ---- life ------------------------------------------------------------------------------------------------------- */

tsr_nn *tsr_nn_new(tsr_ctx *c, tsr_nn_forward_fn *forward, void *user) {
    tsr_nn *m = mem_new(c, tsr_nn);
    if (m) *m = (tsr_nn){.c = c, .forward = forward, .user = user};
    return m;
}

/* Trees are as deep as the model was written: recursion is bounded by the caller's own code. */
void tsr_nn_free(tsr_nn *m) {
    if (!m) return;
    for (size_t i = 0; i < m->own.n; i++) {
        mem_strfree(m->c, m->own.v[i].name);
        tsr_var_free(m->c, m->own.v[i].var);
    }
    for (size_t i = 0; i < m->child.n; i++) {
        mem_strfree(m->c, m->child.v[i].name);
        tsr_nn_free(m->child.v[i].m);
    }
    vec_release(m->c, &m->own), vec_release(m->c, &m->child);
    mem_del(m->c, m);
}

tsr_nn *nn_with(tsr_nn *m, bool ok) {
    if (ok) return m;
    tsr_nn_free(m);
    return NULL;
}

void *tsr_nn_user(const tsr_nn *m) { return m->user; }
tsr_nn *tsr_nn_child(const tsr_nn *m, int i) { return i >= 0 && (size_t)i < m->child.n ? m->child.v[i].m : NULL; }

bool tsr_nn_add_child_take(tsr_nn *m, const char *name, tsr_nn *child) {
    struct nn_child it = {.m = child};
    if (m && child && (it.name = mem_strdup(m->c, name)) && vec_push(m->c, &m->child, it)) return true;
    if (m) mem_strfree(m->c, it.name);
    tsr_nn_free(child);
    return false;
}

static bool add_own(tsr_nn *m, const char *name, int rank, const int64_t *dim, tsr_init init, bool buffer) {
    if (!m) return false;
    tsr_scope *s = tsr_scope_begin(m->c);
    const tsr_type *t = s ? tsr_type_dims(m->c, TSR_F32, rank, dim) : NULL;
    struct nn_own own = {.init = init, .buffer = buffer, .name = t ? mem_strdup(m->c, name) : NULL};
    if (own.name) own.var = tsr_var_new(m->c, name, tsr_full(m->c, t, 0));
    bool ok = own.var && vec_push(m->c, &m->own, own);
    if (!ok) mem_strfree(m->c, own.name), tsr_var_free(m->c, own.var);
    if (s) tsr_scope_end(m->c, s);
    return ok;
}

bool tsr_nn_add_param(tsr_nn *m, const char *name, int rank, const int64_t *dim, tsr_init init) {
    return add_own(m, name, rank, dim, init, false);
}

bool tsr_nn_add_buffer(tsr_nn *m, const char *name, int rank, const int64_t *dim, tsr_init init) {
    return add_own(m, name, rank, dim, init, true);
}

tsr_node *tsr_nn_read(tsr_nn *m, int i) {
    return i >= 0 && (size_t)i < m->own.n ? tsr_var_read(m->c, m->own.v[i].var) : NULL;
}

tsr_node *tsr_nn_forward(tsr_nn *m, tsr_node *x, tsr_nn_mode *mode) {
    tsr_nn_mode inference = {0};
    return m->forward(m->c, m, x, mode ? mode : &inference);
}

/* ---- the tree --------------------------------------------------------------------------------------------------- */

int tsr_nn_count(const tsr_nn *m) {
    int n = (int)m->own.n;
    for (size_t i = 0; i < m->child.n; i++) n += tsr_nn_count(m->child.v[i].m);
    return n;
}

/* The i-th of the tree: its record; the path to it is written to `name`. */
static const struct nn_own *find(const tsr_nn *m, int i, char *name, size_t room) {
    if (i < (int)m->own.n) {
        snprintf(name, room, "%s", m->own.v[i].name);
        return &m->own.v[i];
    }
    i -= (int)m->own.n;
    for (size_t k = 0; k < m->child.n; k++) {
        int n = tsr_nn_count(m->child.v[k].m);
        const char *part = m->child.v[k].name; /* "" adds no level */
        if (i >= n) {
            i -= n;
            continue;
        }
        int used = snprintf(name, room, "%s%s", part, *part ? "." : "");
        if (used < 0 || (size_t)used >= room) used = (int)room - 1;
        return find(m->child.v[k].m, i, name + used, room - (size_t)used);
    }
    return NULL;
}

bool tsr_nn_at(const tsr_nn *m, int i, tsr_nn_param *out) {
    *out = (tsr_nn_param){0};
    const struct nn_own *own = i >= 0 ? find(m, i, out->name, sizeof out->name) : NULL;
    if (own) out->var = own->var, out->buffer = own->buffer;
    return own != NULL;
}

/* ---- initial values --------------------------------------------------------------------------------------------- */

tsr_init tsr_init_kaiming(int64_t fan_in, double gain) {
    return (tsr_init){TSR_INIT_UNIFORM, fan_in > 0 ? gain * sqrt(3.0 / (double)fan_in) : 0};
}

tsr_init tsr_init_xavier(int64_t fan_in, int64_t fan_out) {
    return (tsr_init){TSR_INIT_UNIFORM, sqrt(6.0 / (double)(fan_in + fan_out))};
}

static double draw(struct rng *r, tsr_init how) {
    return how.kind == TSR_INIT_CONSTANT ? how.value
         : how.kind == TSR_INIT_UNIFORM ? how.value * (2 * rng_uniform(r) - 1) : how.value * rng_normal(r);
}

static tsr_status init_one(tsr_ctx *c, const struct nn_own *own, uint64_t seed, int stream) {
    const tsr_type *t = tsr_var_type(own->var);
    int64_t dim[TSR_MAX_RANK], count = 1;
    struct rng r = {.seed = seed, .stream = (uint64_t)stream};
    if (!tsr_type_ints(t, dim)) return err_set(c, TSR_EINVAL, "init: parameter %s has no constant shape", own->name);
    for (int i = 0; i < t->rank; i++) count *= dim[i];
    tsr_buf *b = tsr_buf_new(c, (size_t)count * sizeof(float));
    if (!b) return TSR_ENOMEM;
    float *v = tsr_buf_data(b);
    for (int64_t i = 0; i < count; i++) v[i] = (float)draw(&r, own->init);
    tsr_node *n = tsr_wrap(c, t, b);
    tsr_buf_free(b);
    return tsr_is_poison(n) ? tsr_error_status(c) : tsr_var_assign(c, own->var, n);
}

tsr_status tsr_nn_init(tsr_nn *m, uint64_t seed) {
    char name[TSR_NN_NAME_MAX];
    tsr_scope *scope = tsr_scope_begin(m->c);
    tsr_status s = scope ? TSR_OK : TSR_ENOMEM;
    for (int i = 0, n = tsr_nn_count(m); !s && i < n; i++) s = init_one(m->c, find(m, i, name, sizeof name), seed, i);
    if (scope) tsr_scope_end(m->c, scope);
    return s;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static bool is_float(tsr_dtype t) { return tsr_dtype_of(t)->kind == TSR_KIND_FLOAT; }

/* The value for one parameter, of its own type. */
static tsr_node *load_one(tsr_nn *m, tsr_safetensors *f, const char *prefix, const tsr_nn_param *p) {
    tsr_ctx *c = m->c;
    char name[2 * TSR_NN_NAME_MAX];
    snprintf(name, sizeof name, "%.*s%s", TSR_NN_NAME_MAX - 1, prefix ? prefix : "", p->name);
    tsr_node *n = tsr_safetensors_node(c, f, name);
    if (tsr_is_poison(n)) return n;
    const tsr_type *want = tsr_var_type(p->var), *have = tsr_node_type(n);
    bool same = want->rank == have->rank && is_float(have->dtype);
    for (int i = 0; same && i < want->rank; i++) same = want->extent[i] == have->extent[i];
    if (same) return tsr_cast(c, n, want->dtype);
    const tsr_safetensor *t = tsr_safetensors_find(f, name);
    struct str s;
    str_init(&s, c);
    int64_t dim[TSR_MAX_RANK] = {0};
    tsr_type_ints(want, dim);
    for (int i = 0; i < want->rank; i++) str_printf(&s, "%s%lld", i ? ", " : "", (long long)dim[i]);
    str_put(&s, "], the file has [");
    for (int i = 0; i < t->rank; i++) str_printf(&s, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    err_set(c, TSR_EINVAL, "load of %s: the model's is %s[%s] of %s: is this the file of another model?", name,
        tsr_dtype_name(want->dtype), s.s, tsr_dtype_name(t->dtype));
    str_release(&s);
    return tsr_poison(c);
}

tsr_status tsr_nn_load(tsr_nn *m, tsr_safetensors *f, const char *prefix) {
    int n = tsr_nn_count(m);
    tsr_ctx *c = m->c;
    tsr_nn_param p;
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_node **value = mem_array(c, (size_t)n + 1, sizeof *value);
    tsr_status s = scope && value ? TSR_OK : TSR_ENOMEM;
    for (int i = 0; !s && i < n && tsr_nn_at(m, i, &p); i++) {
        if (tsr_is_poison(value[i] = load_one(m, f, prefix, &p))) s = tsr_error_status(c);
    }
    for (int i = 0; !s && i < n && tsr_nn_at(m, i, &p); i++) s = tsr_var_assign(c, p.var, value[i]);
    mem_array_free(c, value, (size_t)n + 1, sizeof *value);
    if (scope) tsr_scope_end(c, scope);
    return s;
}
