/* engine.c: engine files: written, opened, run.
 *
 * An engine is a plan without its fn. Running it is running a plan at top level (jit.c): arguments give symbols their
 * values, the plan is bound to them (recent bindings are kept), results are fresh buffers or shared ones. */
#include "run/engine.h"

#include <string.h>

#include "tessera/run.h"

const uint8_t engine_magic[8] = {0x89, 'T', 'S', 'R', '\r', '\n', 0x1a, '\n'}; /* as PNG: broken transfers show */

static uint64_t header_hash(const struct engine_header *h) {
    return hash_bytes(ENGINE_VERSION, h, offsetof(struct engine_header, header_hash));
}

/* ---- freezing ---- */

/* Of each captured value and variable the bytes, in mem; NULL for explicit parameters. They are read while no fn is
 * open and become literals inside the new one: as literals of the outside they would be captured again. */
static bool read_values(tsr_ctx *c, const tsr_fn *f, bool open, struct arena *mem, void **value) {
    for (size_t i = 0; i < f->param.n; i++) {
        const struct fn_param *p = &f->param.v[i];
        tsr_node *n = p->kind == PARAM_VAR ? p->var->value : p->outside;
        size_t bytes;
        if (p->kind == PARAM_EXPLICIT || (open && p->kind == PARAM_VAR)) continue;
        if (tsr_is_poison(n) || tsr_eval(c, 1, &n) || !type_bytes(n->type, &bytes)) return false;
        if (!(value[i] = arena_alloc(mem, bytes + 1)) || tsr_read(c, n, value[i], bytes)) return false;
    }
    return true;
}

static bool freeze_params(tsr_ctx *c, const tsr_fn *f, void *const *value, tsr_node **arg) {
    for (size_t i = 0; i < f->param.n; i++) {
        const struct fn_param *p = &f->param.v[i];
        const struct attr *name = node_attr(p->node, ATTR_NAME);
        const char *text = p->kind == PARAM_VAR ? p->var->name : name ? name->str : NULL;
        arg[i] = value[i] ? tsr_const(c, p->node->type, value[i]) : tsr_param(c, p->node->type, text);
        if (tsr_is_poison(arg[i])) return false;
    }
    for (size_t i = 0; i < f->size.n; i++)
        if (tsr_fn_size(c, arg[f->size.v[i].param], f->size.v[i].element, f->size.v[i].symbol)) return false;
    return true;
}

tsr_fn *engine_freeze(tsr_ctx *c, tsr_fn *f, bool open) {
    if (fn_missing(c, f, "engine")) return NULL;
    if (f->assign.n)
        return err_set(c, TSR_EUNSUPPORTED, "engine of %s: it assigns variable %s; an engine has no state: return the "
            "new value as a result instead", f->name, f->assign.v[0]->name), NULL;
    if ((int)f->param.n == f->nparam) return tsr_fn_keep(f);
    tsr_scope *scope = tsr_scope_begin(c);
    struct arena mem;
    arena_init(&mem, c);
    void **value = arena_array(&mem, f->param.n + 1, sizeof *value);
    tsr_node **arg = arena_array(&mem, f->param.n + 1, sizeof *arg);
    tsr_node **out = arena_array(&mem, f->result.n + 1, sizeof *out);
    tsr_fn *g = NULL;
    if (scope && value && arg && out && read_values(c, f, open, &mem, value) && !tsr_fn_begin(c, f->name)) {
        bool ok = freeze_params(c, f, value, arg);
        if (ok) fn_splice(c, f, arg, out, NULL);
        if (ok) g = tsr_fn_end(c, f->nresult, out);
        else tsr_fn_abort(c);
    }
    arena_release(&mem);
    if (scope) tsr_scope_end(c, scope);
    return g;
}

/* ---- writing ---- */

static tsr_status write_zeros(struct file_out *o, uint64_t n) {
    static const uint8_t zero[ENGINE_PAGE];
    return n ? file_out_write(o, zero, (size_t)n) : TSR_OK;
}

/* Constants are hashed one after the other, without the zeros between them. */
static uint64_t piece_hash(uint64_t h, const void *p, size_t n) { return hash_mix(h, hash_bytes(2, p, n)); }

static tsr_status write_file(struct file_out *o, const struct engine_body *b) {
    uint64_t end = sizeof(struct engine_header) + b->bytes.n;
    struct engine_header h = {.version = ENGINE_VERSION, .body_bytes = b->bytes.n};
    memcpy(h.magic, engine_magic, sizeof engine_magic);
    h.constants_at = b->constant_bytes ? (end + ENGINE_PAGE - 1) / ENGINE_PAGE * ENGINE_PAGE : end;
    h.file_bytes = h.constants_at + b->constant_bytes;
    h.body_hash = hash_bytes(1, b->bytes.s, b->bytes.n);
    for (size_t i = 0; i < b->constant.n; i++)
        h.constants_hash = piece_hash(h.constants_hash, b->constant.v[i].p, b->constant.v[i].bytes);
    h.header_hash = header_hash(&h);
    tsr_status s = file_out_write(o, &h, sizeof h);
    if (!s) s = file_out_write(o, b->bytes.s, b->bytes.n);
    if (!s) s = write_zeros(o, h.constants_at - end);
    for (size_t i = 0; i < b->constant.n && !s; i++) {
        const struct engine_const *k = &b->constant.v[i];
        s = file_out_write(o, k->p, k->bytes);
        if (!s) s = write_zeros(o, (ENGINE_ALIGN - k->bytes % ENGINE_ALIGN) % ENGINE_ALIGN);
    }
    return s;
}

static tsr_status save_plan(tsr_ctx *c, const char *path, const tsr_plan *p, const tsr_fn *f) {
    struct engine_body b = {.constant_bytes = 0};
    struct file_out o = {0};
    str_init(&b.bytes, c);
    tsr_status s = engine_write(c, p, f, &b);
    if (!s) s = file_out_open(c, path, &o);
    if (!s) s = write_file(&o, &b);
    if (!s) s = file_out_commit(&o);
    else file_out_abort(&o);
    engine_body_release(c, &b);
    return s;
}

tsr_status tsr_engine_save(tsr_ctx *c, const char *path, tsr_fn *f) {
    if (err_any(c)) return tsr_error_status(c);
    tsr_fn *frozen = engine_freeze(c, f, false);
    struct compile_opts o = {.fuse = env_int("TSR_FUSE") != 0, .check = (int)env_int("TSR_CHECK")};
    tsr_plan *p = frozen ? compile_fn(c, frozen, &o) : NULL;
    tsr_status s = p ? save_plan(c, path, p, frozen) : tsr_error_status(c);
    plan_free(p);
    tsr_fn_free(c, frozen);
    return s;
}

/* ---- opening ---- */

static tsr_status check_header(tsr_engine *e, const void *p, size_t n, const char *name) {
    struct engine_header *h = &e->header;
    tsr_ctx *c = e->c;
    if (n < sizeof engine_magic || memcmp(p, engine_magic, sizeof engine_magic))
        return err_set(c, TSR_EFORMAT, "%s is no engine file: make one with tessera compile MODEL -o FILE.tsr", name);
    if (n < sizeof *h) return err_set(c, TSR_EFORMAT, "%s: the file is cut short: copy or write it again", name);
    memcpy(h, p, sizeof *h);
    if (h->version > ENGINE_VERSION)
        return err_set(c, TSR_EUNSUPPORTED, "%s is of version %u, this tessera (%s) reads up to %d: use a newer one, "
            "or write the file with this one", name, h->version, tsr_version(), ENGINE_VERSION);
    if (h->header_hash != header_hash(h) || h->version < 1 || h->flags)
        return err_set(c, TSR_EFORMAT, "%s: its header is damaged: copy or write the file again", name);
    if (h->file_bytes != n)
        return err_set(c, TSR_EFORMAT, "%s: the file has %zu bytes of %llu: it is cut short or was added to: copy or "
            "write it again", name, n, (unsigned long long)h->file_bytes);
    if (h->body_bytes > n - sizeof *h || h->constants_at < sizeof *h + h->body_bytes || h->constants_at > n ||
        (h->constants_at < n && h->constants_at % ENGINE_ALIGN))
        return err_set(c, TSR_EFORMAT, "%s: its parts do not fit the file", name);
    if (h->body_hash != hash_bytes(1, (const uint8_t *)p + sizeof *h, (size_t)h->body_bytes))
        return err_set(c, TSR_EFORMAT, "%s: its checksum is wrong: the file is damaged: copy or write it again", name);
    return TSR_OK;
}

static tsr_engine *open_bytes(tsr_ctx *c, const uint8_t *p, size_t n, const char *name, struct engine_file *file) {
    tsr_engine *e = mem_new(c, tsr_engine);
    if (!e) return NULL;
    *e = (tsr_engine){.c = c, .file = file};
    arena_init(&e->mem, c);
    tsr_status s = check_header(e, p, n, name);
    if (!s) e->constants = p + e->header.constants_at;
    if (!s && (uintptr_t)e->constants % ENGINE_ALIGN && e->header.constants_at < n)
        s = err_set(c, TSR_EINVAL, "%s: its bytes must lie at a multiple of %d in memory", name, ENGINE_ALIGN);
    if (!s) s = engine_read(e, p + sizeof e->header, name);
    if (!s) return e;
    e->file = NULL; /* the caller's still */
    tsr_engine_close(e);
    return NULL;
}

void engine_file_drop(struct engine_file *f) {
    if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL)) return;
    file_unmap(&f->map);
    mem_del(f->c, f);
}

tsr_engine *tsr_engine_open(tsr_ctx *c, const char *path) {
    struct engine_file *f = err_any(c) ? NULL : mem_new(c, struct engine_file);
    if (!f) return NULL;
    *f = (struct engine_file){.c = c, .refs = 1};
    tsr_engine *e = file_map(c, path, &f->map) ? NULL : open_bytes(c, f->map.p, f->map.n, path, f);
    if (!e) engine_file_drop(f);
    return e;
}

tsr_engine *tsr_engine_parse(tsr_ctx *c, const void *p, size_t n, const char *name) {
    return err_any(c) ? NULL : open_bytes(c, p, n, name, NULL);
}

void tsr_engine_close(tsr_engine *e) {
    if (!e) return;
    plan_free(e->plan);
    arena_release(&e->mem);
    engine_file_drop(e->file);
    mem_del(e->c, e);
}

static uint64_t hash_constants(const tsr_engine *e) {
    uint64_t h = 0;
    for (int i = 0; i < e->nconstant; i++) h = piece_hash(h, e->constants + e->constant[i].at, e->constant[i].bytes);
    return h;
}

tsr_status tsr_engine_verify(tsr_engine *e) {
    if (!e) return TSR_EINVAL;
    if (hash_constants(e) == e->header.constants_hash) return TSR_OK;
    return err_set(e->c, TSR_EFORMAT, "engine %s: the checksum of its constants is wrong: the file is damaged: copy or "
        "write it again", e->plan->name);
}

/* ---- what it is ---- */

const tsr_plan *engine_plan(const tsr_engine *e) { return e->plan; }
const char *tsr_engine_name(const tsr_engine *e) { return e->plan->name; }
const char *tsr_engine_producer(const tsr_engine *e) { return e->producer; }
int tsr_engine_params(const tsr_engine *e) { return e->nparam; }
int tsr_engine_results(const tsr_engine *e) { return e->nresult; }
const char *tsr_engine_param_name(const tsr_engine *e, int i) { return e->param[i]; }
const tsr_type *tsr_engine_param_type(const tsr_engine *e, int i) { return e->plan->param.v[i]; }
const tsr_type *tsr_engine_result_type(const tsr_engine *e, int i) { return e->result[i]; }
int64_t tsr_engine_constant_bytes(const tsr_engine *e) {
    return (int64_t)(e->header.file_bytes - e->header.constants_at);
}

char *tsr_engine_text(const tsr_engine *e) {
    struct str s;
    str_init(&s, e->c);
    str_printf(&s, "engine by %s, %lld bytes of constants\n", e->producer, (long long)tsr_engine_constant_bytes(e));
    plan_print(&s, e->plan);
    report_sizes(&s, runner_of(e->c), e->plan);
    char *text = s.failed ? NULL : mem_strdup(e->c, s.s);
    str_release(&s);
    return text;
}

/* ---- running ---- */

struct engine_run {
    tsr_engine *e;
    struct arena mem;
    tsr_node **arg;
    tsr_buf **param, **out;
    tsr_binding *b;
    int nb;
};

static tsr_status run_bound(struct engine_run *k, int n, tsr_node *const *arg) {
    tsr_engine *e = k->e;
    tsr_ctx *c = e->c;
    struct run_signature sig = {e->plan->name, e->nparam, e->nsize, e->plan->param.v, e->size};
    struct runner *r = runner_of(c);
    k->arg = arena_array(&k->mem, (size_t)n + 1, sizeof *k->arg);
    k->param = arena_array(&k->mem, (size_t)n + 1, sizeof *k->param);
    k->out = arena_array(&k->mem, (size_t)e->nresult + 1, sizeof *k->out);
    k->b = arena_array(&k->mem, (size_t)run_most_symbols(&sig), sizeof *k->b);
    if (!r || !k->arg || !k->param || !k->out || !k->b) return tsr_error_status(c);
    memcpy(k->arg, arg, (size_t)n * sizeof *arg);
    tsr_status s = tsr_eval(c, n, k->arg);
    for (int i = 0; i < n && !s; i++) k->param[i] = k->arg[i]->buf[0];
    if (!s) s = run_bind(c, &sig, k->arg, k->b, &k->nb);
    return s ? s : run_plan(r, e->plan, k->nb, k->b, k->param, k->out);
}

static tsr_node *wrap(struct engine_run *k, int i) {
    const tsr_type *t = k->e->result[i];
    int64_t dim[TSR_MAX_RANK];
    for (int j = 0; j < t->rank; j++)
        if (tsr_extent_eval(k->e->c, t->extent[j], k->nb, k->b, &dim[j])) return tsr_poison(k->e->c);
    return tsr_wrap(k->e->c, tsr_type_dims(k->e->c, t->dtype, t->rank, dim), k->out[i]);
}

tsr_status tsr_engine_run(tsr_engine *e, int n, tsr_node *const *arg, tsr_node **out) {
    struct engine_run k = {.e = e};
    if (!e) return TSR_EINVAL; /* whose opening recorded why */
    tsr_ctx *c = e->c;
    for (int i = 0; i < e->nresult; i++) out[i] = tsr_poison(c);
    if (err_any(c)) return tsr_error_status(c);
    if (n != e->nparam)
        return err_set(c, TSR_EINVAL, "run of engine %s: takes %d arguments, got %d", e->plan->name, e->nparam, n);
    arena_init(&k.mem, c);
    tsr_status s = run_bound(&k, n, arg);
    for (int i = 0; i < e->nresult && !s; i++)
        if (tsr_is_poison(out[i] = wrap(&k, i))) s = tsr_error_status(c);
    for (int i = 0; k.out && i < e->nresult; i++) tsr_buf_free(k.out[i]);
    arena_release(&k.mem);
    return s;
}
