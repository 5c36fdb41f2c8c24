/* engine_write.c: a plan as the body of an engine file (engine.h).
 *
 * What is shared is written once and named by its place: extents, types, tile programs (equal ones are one), constants
 * (equal bytes are one), plans (a body before the plan that calls it). */
#include <string.h>

#include "base/map.h"
#include "run/engine.h"
#include "tile/tile.h"

/* Items in order of their place, found by pointer. */
struct table { VEC(const void *) item; struct map index; };

struct engine_writer {
    tsr_ctx *c;
    struct str *out;
    struct engine_body *body;
    struct table extent, type, program, plan;
    VEC(int) constant; /* of each plan's constants in order: their place among the file's */
    bool failed;       /* recorded */
};
typedef struct engine_writer W;

/* ---- numbers ---- */

static void put_u(W *w, uint64_t v) {
    for (; v >= 128; v >>= 7) str_putc(w->out, (char)(v | 128));
    str_putc(w->out, (char)v);
}
static void put_i(W *w, int64_t v) { put_u(w, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63)); }

static void put_text(W *w, const char *s) {
    size_t n = strlen(s);
    put_u(w, n);
    str_putn(w->out, s, n);
}

/* ---- tables ---- */

static bool same_pointer(const void *item, const void *key, void *user) {
    const void *const *base = ((const struct table *)user)->item.v;
    return base[(size_t)(uintptr_t)item - 1] == key;
}

static uint64_t pointer_hash(const void *p) { return hash_mix(0, (uint64_t)(uintptr_t)p); }

/* Its place, or -1. */
static int64_t find(struct table *t, const void *p) {
    return (int64_t)(uintptr_t)map_get(&t->index, pointer_hash(p), p, same_pointer, t) - 1;
}

static bool add(W *w, struct table *t, const void *p) {
    w->failed |= !vec_push(w->c, &t->item, p) ||
                 !map_put(w->c, &t->index, pointer_hash(p), (void *)(uintptr_t)t->item.n);
    return !w->failed;
}

static void table_release(W *w, struct table *t) {
    vec_release(w->c, &t->item);
    map_release(w->c, &t->index);
}

static void list_extent(W *w, const tsr_extent *e) {
    if (!e || w->failed || find(&w->extent, e) >= 0) return;
    for (int i = 0; i < e->n; i++) list_extent(w, e->arg[i]); /* at most EXTENT_DEPTH deep */
    add(w, &w->extent, e);
}

static void list_type(W *w, const tsr_type *t) {
    if (w->failed || find(&w->type, t) >= 0) return;
    for (int i = 0; i < t->rank; i++) list_extent(w, t->extent[i]);
    add(w, &w->type, t);
}

/* The equal program that is listed already, else itself. */
static const tsr_tile *program_of(const W *w, const tsr_tile *p) {
    for (size_t i = 0; i < w->program.item.n; i++)
        if (w->program.item.v[i] == p) return p;
    uint64_t h = tile_hash(p);
    for (size_t i = 0; i < w->program.item.n; i++) {
        const tsr_tile *q = w->program.item.v[i];
        if (tile_hash(q) == h && tile_equal(p, q)) return q;
    }
    return p;
}

static void list_step(W *w, const tsr_plan *p, const struct plan_step *s) {
    if (s->kind == STEP_HOST || s->kind == STEP_COMM) {
        const char *what = s->kind == STEP_HOST ? "calls a host function" : "speaks to other participants";
        err_set(w->c, TSR_EUNSUPPORTED, "engine of %s: %s %s; a file cannot hold that: take it out of the function, or "
            "run it from this program", p->name, s->label, what);
        w->failed = true;
        return;
    }
    for (int i = 0; i < s->narg; i++)
        if (s->arg[i].kind == PLAN_ARG_EXTENT) list_extent(w, s->arg[i].extent);
    for (int i = 0; i < 3; i++) list_extent(w, s->grid[i]);
    for (int i = 0; i < s->ndims; i++) list_extent(w, s->dims[i]);
    list_extent(w, s->trips), list_extent(w, s->bytes_moved), list_extent(w, s->flops);
    if (s->program && find(&w->program, program_of(w, s->program)) < 0) add(w, &w->program, s->program);
}

/* Equal bytes lie in the file once. */
static void list_constant(W *w, tsr_buf *buf, size_t bytes) {
    struct engine_body *b = w->body;
    const void *p = tsr_buf_data(buf);
    size_t at = 0;
    for (; at < b->constant.n; at++)
        if (b->constant.v[at].bytes == bytes && !memcmp(b->constant.v[at].p, p, bytes)) break;
    if (at == b->constant.n) {
        struct engine_const k = {p, bytes, b->constant_bytes};
        b->constant_bytes += (bytes + ENGINE_ALIGN - 1) / ENGINE_ALIGN * ENGINE_ALIGN;
        w->failed |= !vec_push(w->c, &b->constant, k);
    }
    w->failed |= !vec_push(w->c, &w->constant, (int)at);
}

static void list_plan(W *w, const tsr_plan *p, int depth) {
    if (w->failed || find(&w->plan, p) >= 0) return;
    if (depth > ENGINE_DEPTH) {
        err_set(w->c, TSR_EUNSUPPORTED, "engine of %s: bodies are nested more than %d deep", p->name, ENGINE_DEPTH);
        w->failed = true;
        return;
    }
    for (size_t i = 0; i < p->step.n; i++) {
        const struct plan_step *s = &p->step.v[i];
        for (int j = 0; j < s->nsub; j++) list_plan(w, s->sub[j], depth + 1);
        list_step(w, p, s);
    }
    for (size_t i = 0; i < p->slot.n; i++) list_type(w, p->slot.v[i].type), list_extent(w, p->slot.v[i].offset);
    for (size_t i = 0; i < p->param.n; i++) list_type(w, p->param.v[i]);
    for (size_t i = 0; i < p->check.n; i++) list_extent(w, p->check.v[i].a), list_extent(w, p->check.v[i].b);
    for (size_t i = 0; i < p->symbol.n; i++) list_extent(w, p->symbol.v[i]);
    if (!w->failed) add(w, &w->plan, p);
}

/* ---- parts ---- */

static void put_extent(W *w, const tsr_extent *e) { put_u(w, e ? (uint64_t)find(&w->extent, e) + 1 : 0); }
static void put_type(W *w, const tsr_type *t) { put_u(w, (uint64_t)find(&w->type, t)); }

static void put_extents(W *w) {
    put_u(w, w->extent.item.n);
    for (size_t i = 0; i < w->extent.item.n; i++) {
        const tsr_extent *e = w->extent.item.v[i];
        put_u(w, e->op);
        if (e->op == EXT_INT) put_i(w, e->value);
        else if (e->op == EXT_SYMBOL) put_text(w, e->name), put_i(w, e->lo), put_i(w, e->hi);
        else {
            put_u(w, (uint64_t)e->n);
            for (int j = 0; j < e->n; j++) put_u(w, (uint64_t)find(&w->extent, e->arg[j]));
        }
    }
}

static void put_types(W *w) {
    put_u(w, w->type.item.n);
    for (size_t i = 0; i < w->type.item.n; i++) {
        const tsr_type *t = w->type.item.v[i];
        put_text(w, tsr_dtype_name(t->dtype));
        put_u(w, (uint64_t)t->rank);
        for (int j = 0; j < t->rank; j++) put_u(w, (uint64_t)find(&w->extent, t->extent[j]));
    }
}

static void put_programs(W *w) {
    put_u(w, w->program.item.n);
    for (size_t i = 0; i < w->program.item.n; i++) {
        char *text = tsr_tile_print(w->program.item.v[i]);
        if (text) put_text(w, text);
        else w->failed = true;
        tsr_text_free(w->c, text);
    }
}

static void put_constants(W *w) {
    put_u(w, w->body->constant.n);
    for (size_t i = 0; i < w->body->constant.n; i++)
        put_u(w, w->body->constant.v[i].at / ENGINE_ALIGN), put_u(w, w->body->constant.v[i].bytes);
}

static void put_slots(W *w, const tsr_plan *p, int first_constant) {
    put_u(w, p->slot.n);
    for (size_t i = 0; i < p->slot.n; i++) {
        const struct plan_slot *s = &p->slot.v[i];
        put_u(w, s->kind);
        put_type(w, s->type);
        if (s->kind == SLOT_PARAM) put_u(w, (uint64_t)s->index);
        else if (s->kind == SLOT_CONST) put_u(w, (uint64_t)w->constant.v[first_constant + s->index]);
        else if (s->kind == SLOT_ALIAS) put_u(w, (uint64_t)s->root), put_extent(w, s->offset);
    }
}

static void put_args(W *w, const struct plan_step *s) {
    put_u(w, (uint64_t)s->narg);
    for (int i = 0; i < s->narg; i++) {
        const struct plan_arg *a = &s->arg[i];
        if (a->kind == PLAN_ARG_EXTENT) put_u(w, 0), put_extent(w, a->extent);
        else put_u(w, 1u + (a->reads ? 1u : 0u) + (a->writes ? 2u : 0u)), put_u(w, (uint64_t)a->slot);
    }
    put_u(w, (uint64_t)s->nreuse);
    for (int i = 0; i < s->nreuse; i++) put_u(w, (uint64_t)s->reuse[i][0]), put_u(w, (uint64_t)s->reuse[i][1]);
}

static void put_step(W *w, const struct plan_step *s) {
    put_u(w, s->kind);
    put_text(w, s->label);
    put_args(w, s);
    put_extent(w, s->bytes_moved), put_extent(w, s->flops);
    if (s->kind == STEP_KERNEL) {
        put_u(w, (uint64_t)find(&w->program, program_of(w, s->program)));
        for (int i = 0; i < 3; i++) put_extent(w, s->grid[i]);
    } else if (s->kind == STEP_LIB) {
        put_text(w, s->lib);
        put_u(w, (uint64_t)s->nints);
        for (int i = 0; i < s->nints; i++) put_i(w, s->ints[i]);
        put_u(w, (uint64_t)s->ndims);
        for (int i = 0; i < s->ndims; i++) put_extent(w, s->dims[i]);
    } else if (s->kind != STEP_COPY) {
        put_u(w, (uint64_t)s->nsub);
        for (int i = 0; i < s->nsub; i++) put_u(w, (uint64_t)find(&w->plan, s->sub[i]));
        put_u(w, (uint64_t)s->ncarry), put_u(w, (uint64_t)s->nxs), put_u(w, s->reverse);
        put_extent(w, s->trips);
    }
}

static void put_plan(W *w, const tsr_plan *p, int first_constant) {
    put_text(w, p->name);
    put_u(w, p->hash);
    put_u(w, p->param.n);
    for (size_t i = 0; i < p->param.n; i++) put_type(w, p->param.v[i]);
    put_u(w, p->symbol.n);
    for (size_t i = 0; i < p->symbol.n; i++) put_extent(w, p->symbol.v[i]);
    put_slots(w, p, first_constant);
    put_u(w, p->step.n);
    for (size_t i = 0; i < p->step.n; i++) put_step(w, &p->step.v[i]);
    put_u(w, p->result.n);
    for (size_t i = 0; i < p->result.n; i++) put_u(w, (uint64_t)p->result.v[i]);
    put_u(w, p->check.n);
    for (size_t i = 0; i < p->check.n; i++) {
        put_extent(w, p->check.v[i].a), put_extent(w, p->check.v[i].b);
        put_text(w, p->check.v[i].why);
    }
}

static void put_plans(W *w) {
    int constant = 0;
    put_u(w, w->plan.item.n);
    for (size_t i = 0; i < w->plan.item.n; i++) {
        const tsr_plan *p = w->plan.item.v[i];
        put_plan(w, p, constant);
        constant += (int)p->constant.n;
    }
}

static void put_signature(W *w, const tsr_fn *f) {
    for (size_t i = 0; i < f->param.n; i++) {
        const struct attr *name = node_attr(f->param.v[i].node, ATTR_NAME);
        put_text(w, name ? name->str : "");
    }
    put_u(w, (uint64_t)f->nresult);
    for (int i = 0; i < f->nresult; i++) put_type(w, f->result.v[i]->type);
    put_u(w, f->size.n);
    for (size_t i = 0; i < f->size.n; i++) {
        put_u(w, (uint64_t)f->size.v[i].param), put_i(w, f->size.v[i].element);
        put_extent(w, f->size.v[i].symbol);
    }
}

/* A literal has as many bytes as its type: buffers may be longer. */
static void list_constants(W *w) {
    for (size_t i = 0; i < w->plan.item.n && !w->failed; i++) {
        const tsr_plan *p = w->plan.item.v[i];
        for (size_t k = 0; k < p->constant.n && !w->failed; k++) {
            size_t bytes = 0;
            for (size_t s = 0; s < p->slot.n; s++)
                if (p->slot.v[s].kind == SLOT_CONST && p->slot.v[s].index == (int)k)
                    type_bytes(p->slot.v[s].type, &bytes);
            list_constant(w, p->constant.v[k].buf, bytes);
        }
    }
}

void engine_body_release(tsr_ctx *c, struct engine_body *b) {
    str_release(&b->bytes);
    vec_release(c, &b->constant);
}

tsr_status engine_write(tsr_ctx *c, const tsr_plan *p, const tsr_fn *f, struct engine_body *out) {
    W w = {.c = c, .out = &out->bytes, .body = out};
    struct table *const tables[] = {&w.extent, &w.type, &w.program, &w.plan};
    for (int i = 0; i < 4; i++) map_init(&tables[i]->index);
    list_plan(&w, p, 0);
    for (int i = 0; i < f->nresult; i++) list_type(&w, f->result.v[i]->type);
    for (size_t i = 0; i < f->size.n; i++) list_extent(&w, f->size.v[i].symbol);
    list_constants(&w);
    if (!w.failed) {
        char producer[32];
        snprintf(producer, sizeof producer, "tessera %s", tsr_version());
        put_text(&w, producer), put_text(&w, f->name);
        put_extents(&w), put_types(&w), put_programs(&w), put_constants(&w), put_plans(&w), put_signature(&w, f);
    }
    for (int i = 0; i < 4; i++) table_release(&w, tables[i]);
    vec_release(c, &w.constant);
    return w.failed || out->bytes.failed ? tsr_error_status(c) : TSR_OK;
}
