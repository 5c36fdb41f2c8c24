/* engine_read.c: the body of an engine file becomes a plan (engine.h).
 *
 * Nothing in the bytes is believed: a count is at most the bytes that are left (each item takes one at least), an
 * index is below what was read before, numbers are in the range of what they become, expressions and types are made by
 * the graph's own builders, programs by the reader of tile programs, library calls by the ops' own rules, and each plan
 * is checked as a whole. The first thing that is wrong is recorded with its place in the file. */
#include <string.h>

#include "run/engine.h"
#include "tile/tile.h"

struct engine_reader {
    tsr_ctx *c;
    tsr_engine *e;
    const char *name;
    const uint8_t *p;
    size_t n, at;
    bool failed; /* recorded */
    /* what was read; items of the engine's arena where they are pointers */
    VEC(const tsr_extent *) extent;
    VEC(const tsr_type *) type;
    VEC(tsr_tile *) program;  /* counted */
    VEC(tsr_plan *) plan;     /* counted */
    VEC(tsr_buf *) constant;  /* counted */
};
typedef struct engine_reader R;

static bool bad(R *r, const char *what) {
    if (!r->failed && !err_any(r->c))
        err_set(r->c, TSR_EFORMAT, "%s: byte %zu: %s; the file is damaged: write it again with tessera compile",
            r->name, r->at + sizeof(struct engine_header), what);
    r->failed = true;
    return false;
}

/* ---- numbers ---- */

static uint64_t get_u(R *r) {
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && r->at < r->n; shift += 7) {
        uint8_t b = r->p[r->at++];
        if (shift == 63 && b > 1) break;
        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) return v;
    }
    bad(r, "a number does not end");
    return 0;
}

static int64_t get_i(R *r) {
    uint64_t v = get_u(r);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Below `limit`; 0 and an error else. */
static uint64_t get_below(R *r, uint64_t limit, const char *what) {
    uint64_t v = get_u(r);
    if (r->failed || v < limit) return v;
    bad(r, what);
    return 0;
}

/* How many items follow: each has at least a byte. 0 after an error. */
static int get_count(R *r) {
    uint64_t n = get_below(r, INT32_MAX, "too many items");
    if (n > r->n - r->at) bad(r, "more items than bytes");
    return r->failed ? 0 : (int)n;
}

static const char *get_text(R *r) {
    int n = get_count(r);
    char *s = r->failed ? NULL : arena_alloc(&r->e->mem, (size_t)n + 1);
    if (!s) return r->failed = true, "";
    memcpy(s, r->p + r->at, (size_t)n);
    if (memchr(s, 0, (size_t)n)) bad(r, "a text has a zero byte");
    r->at += (size_t)n;
    return s;
}

static const tsr_type *get_type(R *r) {
    uint64_t i = get_below(r, r->type.n, "a type that is not there");
    return r->failed ? NULL : r->type.v[i];
}

static const tsr_extent *get_extent_or_none(R *r) {
    uint64_t i = get_below(r, (uint64_t)r->extent.n + 1, "a size that is not there");
    return i && !r->failed ? r->extent.v[i - 1] : NULL;
}

static const tsr_extent *get_extent(R *r) {
    const tsr_extent *e = get_extent_or_none(r);
    if (!e) bad(r, "a size is missing");
    return e;
}

/* ---- extents, types, programs, constants ---- */

/* The file's symbol. A context may know the name with other bounds: then it gets one more sign. */
static const tsr_extent *get_symbol(R *r) {
    const char *name = get_text(r);
    int64_t lo = get_i(r), hi = get_i(r);
    if (r->failed || !*name || strlen(name) > 200 || lo > hi) return bad(r, "a symbol without name or bounds"), NULL;
    for (int primes = 0; primes < 64; primes++) {
        const tsr_extent *e = tsr_extent_symbol(r->c, name, lo, hi);
        if (!e || (e->lo == lo && e->hi == hi)) return e;
        if (!(name = arena_printf(&r->e->mem, "%s'", name))) return NULL;
    }
    return bad(r, "a symbol's name is taken"), NULL;
}

typedef const tsr_extent *extent_rule(tsr_ctx *c, const tsr_extent *a, const tsr_extent *b);

static const tsr_extent *get_expression(R *r, uint64_t op) {
    static extent_rule *const rule[] = {[EXT_ADD] = tsr_extent_add, [EXT_MUL] = tsr_extent_mul,
        [EXT_FLOORDIV] = tsr_extent_floordiv, [EXT_CEILDIV] = tsr_extent_ceildiv, [EXT_MOD] = tsr_extent_mod,
        [EXT_MIN] = tsr_extent_min, [EXT_MAX] = tsr_extent_max};
    int n = get_count(r);
    bool pair = op != EXT_ADD && op != EXT_MUL;
    if (r->failed || n < 1 || (pair && n != 2)) return bad(r, "an expression with another number of operands"), NULL;
    const tsr_extent *e = NULL;
    for (int i = 0; i < n && !r->failed; i++) {
        uint64_t at = get_below(r, r->extent.n, "an operand that is not there");
        if (r->failed) return NULL;
        e = i ? rule[op](r->c, e, r->extent.v[at]) : r->extent.v[at];
        if (!e) return NULL;
    }
    return e;
}

static bool read_extents(R *r) {
    int n = get_count(r);
    for (int i = 0; i < n && !r->failed; i++) {
        uint64_t op = get_below(r, EXT_MAX + 1, "an unknown kind of size");
        if (r->failed) break;
        const tsr_extent *e = op == EXT_INT ? tsr_extent_int(r->c, get_i(r)) : op == EXT_SYMBOL ? get_symbol(r)
            : get_expression(r, op);
        r->failed |= !e || !vec_push(r->c, &r->extent, e);
    }
    return !r->failed;
}

static bool read_types(R *r) {
    int n = get_count(r);
    for (int i = 0; i < n && !r->failed; i++) {
        const tsr_extent *extent[TSR_MAX_RANK];
        tsr_dtype t;
        if (!tsr_dtype_parse(get_text(r), &t) && !r->failed) bad(r, "an unknown element type");
        int rank = (int)get_below(r, TSR_MAX_RANK + 1, "a tensor of too many axes");
        for (int j = 0; j < rank && !r->failed; j++) {
            uint64_t at = get_below(r, r->extent.n, "a size that is not there");
            if (!r->failed) extent[j] = r->extent.v[at];
        }
        const tsr_type *type = r->failed ? NULL : tsr_type_tensor(r->c, t, rank, extent);
        r->failed |= !type || !vec_push(r->c, &r->type, type);
    }
    return !r->failed;
}

static bool read_programs(R *r) {
    int n = get_count(r);
    for (int i = 0; i < n && !r->failed; i++) {
        const char *text = get_text(r);
        char where[64];
        snprintf(where, sizeof where, "program %d", i);
        tsr_tile *p = r->failed ? NULL : tsr_tile_read(r->c, text, where);
        if (!p && !r->failed) err_prefix(r->c, "%s", r->name);
        r->failed |= !p;
        if (p && !vec_push(r->c, &r->program, p)) r->failed = true, tsr_tile_free(p);
    }
    return !r->failed;
}

static void file_release(void *user) { engine_file_drop(user); }

static bool read_constants(R *r) {
    struct engine_file *file = r->e->file;
    uint64_t room = r->e->header.file_bytes - r->e->header.constants_at;
    int n = r->e->nconstant = get_count(r);
    r->e->constant = arena_array(&r->e->mem, (size_t)n + 1, sizeof *r->e->constant);
    if (!r->e->constant) return r->failed = true, false;
    for (int i = 0; i < n && !r->failed; i++) {
        uint64_t at = get_below(r, room / ENGINE_ALIGN + 1, "a constant begins behind the end");
        uint64_t bytes = get_below(r, room + 1, "a constant ends behind the end");
        if (r->failed || bytes > room - at * ENGINE_ALIGN) return bad(r, "a constant ends behind the end");
        r->e->constant[i] = (struct engine_const){NULL, (size_t)bytes, at * ENGINE_ALIGN};
        if (file) __atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
        tsr_buf *b = tsr_buf_borrow(r->c, r->e->constants + at * ENGINE_ALIGN, bytes, file_release, file);
        if (!b) return engine_file_drop(file), r->failed = true, false;
        if (!vec_push(r->c, &r->constant, b)) r->failed = true, tsr_buf_free(b);
    }
    return !r->failed;
}

/* ---- plans ---- */

static bool read_slot(R *r, tsr_plan *p) {
    enum slot_kind kind = (enum slot_kind)get_below(r, SLOT_ALIAS + 1, "an unknown kind of slot");
    const tsr_type *t = get_type(r);
    int at = r->failed ? -1 : plan_slot_add(p, kind, t);
    if (at < 0) return r->failed = true, false;
    struct plan_slot *s = &p->slot.v[at];
    if (kind == SLOT_PARAM) s->index = (int)get_below(r, p->param.n, "a parameter that is not there");
    else if (kind == SLOT_ALIAS) {
        s->root = (int)get_below(r, (uint64_t)at, "a part of what is not there");
        s->offset = get_extent_or_none(r);
    } else if (kind == SLOT_CONST) {
        uint64_t i = get_below(r, r->constant.n, "a constant that is not there");
        if (r->failed) return false;
        struct plan_const k = {tsr_buf_keep(r->constant.v[i])};
        s->index = (int)p->constant.n;
        if (!vec_push(r->c, &p->constant, k)) tsr_buf_free(k.buf), r->failed = true;
    }
    return !r->failed;
}

static bool read_args(R *r, tsr_plan *p, struct plan_step *s) {
    for (int i = 0; i < s->narg && !r->failed; i++) {
        uint64_t how = get_below(r, 5, "an unknown kind of argument");
        struct plan_arg *a = &s->arg[i];
        *a = (struct plan_arg){.kind = how ? PLAN_ARG_SLOT : PLAN_ARG_EXTENT, .slot = -1};
        if (!how) a->extent = get_extent(r);
        else a->reads = (how - 1) & 1, a->writes = (how - 1) & 2, a->slot = (int)get_below(r, p->slot.n,
            "a slot that is not there");
    }
    s->nreuse = get_count(r);
    if (s->nreuse && !(s->reuse = arena_array(&p->mem, (size_t)s->nreuse, sizeof *s->reuse))) r->failed = true;
    for (int i = 0; i < s->nreuse && !r->failed; i++)
        for (int j = 0; j < 2; j++)
            s->reuse[i][j] = (int)get_below(r, (uint64_t)s->narg, "an argument that is not there");
    return !r->failed;
}

static bool read_lib(R *r, tsr_plan *p, struct plan_step *s) {
    if (!(s->lib = lib_step_name(get_text(r)))) return bad(r, "a library kernel that this version does not know");
    s->nints = get_count(r);
    if (!(s->ints = arena_array(&p->mem, (size_t)s->nints + 1, sizeof *s->ints))) return r->failed = true, false;
    for (int i = 0; i < s->nints; i++) s->ints[i] = get_i(r);
    s->ndims = get_count(r);
    if (!(s->dims = arena_array(&p->mem, (size_t)s->ndims + 1, sizeof *s->dims))) return r->failed = true, false;
    for (int i = 0; i < s->ndims && !r->failed; i++) s->dims[i] = get_extent(r);
    return !r->failed;
}

static bool read_bodies(R *r, tsr_plan *p, struct plan_step *s) {
    int n = get_count(r);
    if (!(s->sub = arena_array(&p->mem, (size_t)n + 1, sizeof *s->sub))) return r->failed = true, false;
    for (int i = 0; i < n && !r->failed; i++) {
        uint64_t at = get_below(r, r->plan.n, "a body that is not there");
        if (r->failed) break;
        plan_keep(s->sub[i] = r->plan.v[at]);
        s->nsub = i + 1;
    }
    s->ncarry = (int)get_below(r, INT16_MAX, "too many carried values");
    s->nxs = (int)get_below(r, INT16_MAX, "too many scanned values");
    s->reverse = get_below(r, 2, "a direction");
    s->trips = get_extent_or_none(r);
    return !r->failed;
}

static bool read_step(R *r, tsr_plan *p) {
    enum step_kind kind = (enum step_kind)get_below(r, STEP_SCAN + 1, "an unknown kind of step");
    if (kind == STEP_HOST || kind == STEP_COMM) return bad(r, "a step that no file can hold");
    const char *label = get_text(r);
    int narg = get_count(r);
    struct plan_step *s = r->failed ? NULL : plan_step_add(p, kind, label, narg);
    if (!s) return r->failed = true, false;
    if (!read_args(r, p, s)) return false;
    s->bytes_moved = get_extent_or_none(r), s->flops = get_extent_or_none(r);
    if (kind == STEP_LIB) return read_lib(r, p, s);
    if (kind == STEP_COPY) return !r->failed;
    if (kind != STEP_KERNEL) return read_bodies(r, p, s);
    uint64_t program = get_below(r, r->program.n, "a program that is not there");
    if (r->failed) return false;
    s->program = tsr_tile_keep(r->program.v[program]);
    for (int i = 0; i < 3; i++) s->grid[i] = get_extent_or_none(r);
    return !r->failed;
}

static bool read_parts(R *r, tsr_plan *p) {
    for (int n = get_count(r); n > 0 && !r->failed; n--) {
        const tsr_type *t = get_type(r);
        if (r->failed || !plan_add_param(p, t)) return r->failed = true, false;
    }
    for (int n = get_count(r); n > 0 && !r->failed; n--) {
        const tsr_extent *e = get_extent(r);
        if (r->failed || !plan_add_symbol(p, e)) return r->failed = true, false;
    }
    for (int n = get_count(r); n > 0 && !r->failed; n--) read_slot(r, p);
    for (int n = get_count(r); n > 0 && !r->failed; n--) read_step(r, p);
    for (int n = get_count(r); n > 0 && !r->failed; n--) {
        int slot = (int)get_below(r, p->slot.n, "a result that is not there");
        if (!r->failed && !vec_push(r->c, &p->result, slot)) r->failed = true;
    }
    for (int n = get_count(r); n > 0 && !r->failed; n--) {
        const tsr_extent *a = get_extent(r), *b = get_extent(r);
        const char *why = get_text(r);
        if (!r->failed && !plan_add_check(p, a, b, why)) r->failed = true;
    }
    return !r->failed;
}

/* How deep bodies lie inside p; those of p are read, so there is no circle. */
static int depth_of(const tsr_plan *p) {
    int deepest = 0;
    for (size_t i = 0; i < p->step.n; i++)
        for (int j = 0; j < p->step.v[i].nsub; j++) {
            int d = depth_of(p->step.v[i].sub[j]);
            if (d > deepest) deepest = d;
        }
    return deepest + 1;
}

static bool read_plan(R *r) {
    const char *name = get_text(r);
    uint64_t hash = get_u(r);
    tsr_plan *p = r->failed ? NULL : plan_blank(r->c, name, hash);
    if (!p) return r->failed = true, false;
    bool ok = read_parts(r, p);
    if (ok && plan_check(p)) r->failed = true, err_prefix(r->c, "%s", r->name), ok = false;
    if (ok && depth_of(p) > ENGINE_DEPTH + 1) ok = bad(r, "bodies are nested too deep");
    if (ok && plan_finish(p, NULL)) r->failed = true, ok = false;
    if (ok && vec_push(r->c, &r->plan, p)) return true;
    plan_free(p);
    return r->failed = true, false;
}

static bool read_plans(R *r) {
    int n = get_count(r);
    if (!n) return bad(r, "there is no plan");
    for (int i = 0; i < n && !r->failed; i++) read_plan(r);
    return !r->failed;
}

static bool read_signature(R *r) {
    tsr_engine *e = r->e;
    const tsr_plan *p = r->plan.v[r->plan.n - 1];
    e->nparam = (int)p->param.n;
    if (!(e->param = arena_array(&e->mem, (size_t)e->nparam + 1, sizeof *e->param))) return false;
    for (int i = 0; i < e->nparam; i++) e->param[i] = get_text(r);
    e->nresult = get_count(r);
    if (r->failed || (size_t)e->nresult != p->result.n) return bad(r, "results without types");
    if (!(e->result = arena_array(&e->mem, (size_t)e->nresult + 1, sizeof *e->result))) return false;
    for (int i = 0; i < e->nresult; i++) {
        const tsr_type *t = e->result[i] = get_type(r), *have = p->slot.v[p->result.v[i]].type;
        if (r->failed || t->dtype != have->dtype || t->rank != have->rank) return bad(r, "a result of another type");
        for (int j = 0; j < t->rank; j++)
            if (t->extent[j] != have->extent[j] &&
                !plan_add_check(r->plan.v[r->plan.n - 1], t->extent[j], have->extent[j], "a result has its size"))
                return false;
    }
    e->nsize = get_count(r);
    if (r->failed || !(e->size = arena_array(&e->mem, (size_t)e->nsize + 1, sizeof *e->size))) return false;
    for (int i = 0; i < e->nsize; i++) {
        struct fn_size *s = &e->size[i];
        s->param = (int)get_below(r, (uint64_t)e->nparam, "a parameter that is not there");
        s->element = get_i(r), s->symbol = get_extent(r);
        if (r->failed || s->element < 0 || s->symbol->op != EXT_SYMBOL || !dtype_is_int(p->param.v[s->param]->dtype))
            return bad(r, "a size is given by no integer");
    }
    return r->at == r->n || bad(r, "there are bytes behind the end");
}

tsr_status engine_read(tsr_engine *e, const uint8_t *body, const char *name) {
    R r = {.c = e->c, .e = e, .name = name, .p = body, .n = e->header.body_bytes};
    e->producer = get_text(&r);
    get_text(&r); /* the fn's name is the plan's */
    bool ok = !r.failed && read_extents(&r) && read_types(&r) && read_programs(&r) && read_constants(&r) &&
              read_plans(&r) && read_signature(&r);
    if (ok) plan_keep(e->plan = r.plan.v[r.plan.n - 1]);
    for (size_t i = 0; i < r.program.n; i++) tsr_tile_free(r.program.v[i]);
    for (size_t i = 0; i < r.plan.n; i++) plan_free(r.plan.v[i]);
    for (size_t i = 0; i < r.constant.n; i++) tsr_buf_free(r.constant.v[i]);
    vec_release(r.c, &r.extent), vec_release(r.c, &r.type), vec_release(r.c, &r.program), vec_release(r.c, &r.plan);
    vec_release(r.c, &r.constant);
    if (ok) return TSR_OK;
    return err_any(e->c) ? tsr_error_status(e->c) : err_set(e->c, TSR_EFORMAT, "%s: the file is damaged", name);
}
