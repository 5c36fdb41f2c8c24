/* checkpoint.c: a trainer's whole state as one safetensors file, and back.
 *
 * Tensors: parameters and buffers under their own names, so the file is also the model's; the optimiser's variables
 * under "optimizer.", the key as "trainer.key". Position and settings are metadata "tessera.*": integers in decimal,
 * the sum of losses as a hexadecimal float, because it must come back bit for bit. Reading checks every setting that
 * the continuation depends on before anything is assigned. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "nn/state.h"
#include "tessera/run.h"
#include "train/train.h"

#define OPTIM "optimizer."
#define KEY "trainer.key"

/* ---- metadata --------------------------------------------------------------------------------------------------- */

/* The trainer's integers: settings must agree on resume, the position is taken over. */
struct field { const char *key; int64_t value; int64_t *position; };
enum { FIELDS = 8 };

static void fields(tsr_trainer *t, struct field f[FIELDS]) {
    const struct field all[FIELDS] = {
        {"tessera.epochs", t->o.epochs, NULL}, {"tessera.batch", t->o.batch, NULL},
        {"tessera.seed", (int64_t)t->o.seed, NULL}, {"tessera.examples", t->o.train->count, NULL},
        {"tessera.epoch", t->at.epoch, &t->at.epoch}, {"tessera.step", t->at.step, &t->at.step},
        {"tessera.seen", t->at.seen, &t->at.seen}, {"tessera.correct", t->at.correct, &t->at.correct}};
    memcpy(f, all, sizeof all);
}

#define LOSS_SUM "tessera.loss_sum"

static bool make_meta(tsr_trainer *t, struct arena *a, tsr_metadata *m) {
    struct field f[FIELDS];
    fields(t, f);
    bool ok = true;
    for (int i = 0; i < FIELDS; i++) {
        m[i] = (tsr_metadata){f[i].key, arena_printf(a, "%" PRId64, f[i].value)};
        ok = ok && m[i].value;
    }
    m[FIELDS] = (tsr_metadata){LOSS_SUM, arena_printf(a, "%a", t->at.loss_sum)};
    for (int64_t i = 0; i < t->o.nmeta; i++) m[FIELDS + 1 + i] = t->o.meta[i];
    return ok && m[FIELDS].value;
}

static tsr_status read_int(tsr_trainer *t, tsr_safetensors *f, const char *key, int64_t *out) {
    const char *text = tsr_safetensors_metadata(f, key);
    char *end = NULL;
    if (text) *out = strtoll(text, &end, 10);
    if (text && end != text && !*end) return TSR_OK;
    return err_set(t->c, TSR_EFORMAT, "resume: the file is no checkpoint of a training run: it has no metadata \"%s\"",
        key);
}

static tsr_status read_position(tsr_trainer *t, tsr_safetensors *f) {
    struct field field[FIELDS];
    const char *sum = tsr_safetensors_metadata(f, LOSS_SUM);
    fields(t, field);
    for (int i = 0; i < FIELDS; i++) {
        int64_t v = 0;
        tsr_status s = read_int(t, f, field[i].key, &v);
        if (s) return s;
        if (field[i].position) *field[i].position = v;
        else if (v != field[i].value)
            return err_set(t->c, TSR_EINVAL,
                "resume: the checkpoint was made with %s %lld, this run has %lld: the losses would not continue",
                    field[i].key + strlen("tessera."), (long long)v, (long long)field[i].value);
    }
    struct position *p = &t->at;
    t->at.loss_sum = sum ? locale_strtod(sum, NULL) : 0;
    bool sane = sum && p->epoch >= 0 && p->epoch <= t->o.epochs && p->step >= 0 && p->step <= t->steps;
    sane = sane && p->seen >= 0 && p->seen <= t->o.train->count && p->correct >= 0 && p->correct <= p->seen;
    sane = sane && (p->seen > 0) == (p->step > 0);
    if (sane) return TSR_OK;
    return err_set(t->c, TSR_EFORMAT, "resume: the checkpoint's position is impossible (epoch %lld, step %lld)",
        (long long)p->epoch, (long long)p->step);
}

/* ---- variables of the optimiser and the key --------------------------------------------------------------------- */

static int state_count(const tsr_trainer *t) { return tsr_optim_count(t->optim) + 1; }

static tsr_var *state_at(const tsr_trainer *t, int i, char *name, size_t room) {
    tsr_var *v = tsr_optim_state(t->optim, i);
    if (v) snprintf(name, room, OPTIM "%s", tsr_var_name(v));
    else snprintf(name, room, KEY);
    return v ? v : t->key;
}

enum { STATE_NAME_MAX = TSR_NN_NAME_MAX + 32 };

static tsr_status load_state(tsr_trainer *t, tsr_safetensors *f, tsr_node **value) {
    char name[STATE_NAME_MAX];
    for (int i = 0; i < state_count(t); i++) {
        tsr_var *v = state_at(t, i, name, sizeof name);
        value[i] = tsr_safetensors_node(t->c, f, name);
        if (tsr_is_poison(value[i])) return tsr_error_status(t->c);
        if (tsr_node_type(value[i]) != tsr_var_type(v))
            return err_set(t->c, TSR_EINVAL, "resume: tensor %s of the checkpoint has another shape or dtype", name);
    }
    return TSR_OK;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static tsr_status collect(tsr_trainer *t, struct arena *a, tsr_safetensor *out) {
    int n = tsr_nn_count(t->o.model);
    tsr_nn_param p;
    char name[STATE_NAME_MAX];
    tsr_status s = TSR_OK;
    for (int i = 0; !s && i < n && tsr_nn_at(t->o.model, i, &p); i++) s = state_tensor(t->c, a, p.var, p.name, &out[i]);
    for (int i = 0; !s && i < state_count(t); i++) {
        tsr_var *v = state_at(t, i, name, sizeof name);
        s = state_tensor(t->c, a, v, name, &out[n + i]);
    }
    return s;
}

tsr_status tsr_trainer_save(tsr_trainer *t, const char *path) {
    tsr_ctx *c = t->c;
    struct arena a;
    arena_init(&a, c);
    tsr_scope *scope = tsr_scope_begin(c);
    int64_t n = tsr_nn_count(t->o.model) + state_count(t), nmeta = FIELDS + 1 + t->o.nmeta;
    tsr_safetensor *tensor = arena_array(&a, (size_t)n, sizeof *tensor);
    tsr_metadata *meta = arena_array(&a, (size_t)nmeta, sizeof *meta);
    tsr_status s = scope && tensor && meta && make_meta(t, &a, meta) ? TSR_OK : TSR_ENOMEM;
    if (!s) s = collect(t, &a, tensor);
    if (!s) s = tsr_safetensors_save(c, path, n, tensor, nmeta, meta);
    if (scope) tsr_scope_end(c, scope);
    arena_release(&a);
    return s;
}

tsr_status tsr_trainer_resume(tsr_trainer *t, tsr_safetensors *f) {
    tsr_ctx *c = t->c;
    struct position before = t->at;
    char name[STATE_NAME_MAX];
    int n = state_count(t);
    tsr_scope *scope = tsr_scope_begin(c);
    tsr_node **value = mem_array(c, (size_t)n, sizeof *value);
    tsr_status s = scope && value ? read_position(t, f) : TSR_ENOMEM;
    if (!s) s = load_state(t, f, value);
    if (!s) s = tsr_nn_load(t->o.model, f, NULL);
    for (int i = 0; !s && i < n; i++) s = tsr_var_assign(c, state_at(t, i, name, sizeof name), value[i]);
    if (s) t->at = before;
    mem_array_free(c, value, (size_t)n, sizeof *value);
    if (scope) tsr_scope_end(c, scope);
    return s;
}
