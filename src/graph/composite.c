/* composite.c: composites: named fns with a body of primitives, one for each set of operand types and attributes.
 *
 * A composite is called whole (a CALL of its fn), so the compiler may recognise it by its record and use a template of
 * its own; otherwise the body is inlined, and everything works as for any fn. The fns are cached in the context: a
 * training loop that builds its graph anew at every step builds each body once. */
#include "graph/build.h"

const struct composite composites[COMP_COUNT] = {
#define COMPOSITE(name, vjp, formula) [COMP_##name] = {"tsr." #name, formula, comp_##name, vjp},
#include "graph/composites.def"
#undef COMPOSITE
};

enum { RESULTS_MAX = 8, ATTRS_MAX = 8 };

struct lookup {
    const struct composite *d;
    int n, nattr;
    tsr_node *const *in;
    const struct attr *attr; /* sorted */
};

static bool same_call(const void *item, const void *key, void *user) {
    const tsr_fn *f = item;
    const struct lookup *l = key;
    (void)user;
    if (f->composite != l->d || f->nparam != l->n || f->nattr != l->nattr) return false;
    for (int i = 0; i < l->n; i++)
        if (f->param.v[i].node->type != l->in[i]->type) return false;
    return attrs_equal(l->nattr, f->attr, l->attr);
}

static void cache_free(tsr_ctx *c, void *state) {
    struct map *m = state;
    for (size_t i = 0; i < m->used; i++) tsr_fn_free(c, m->entry[i].item);
    map_release(c, m);
    mem_del(c, m);
}

static struct map *cache_of(tsr_ctx *c) {
    struct map *m = ctx_slot(c, SLOT_COMPOSITE);
    if (m || !(m = mem_new(c, struct map))) return m;
    map_init(m);
    ctx_slot_set(c, SLOT_COMPOSITE, m, cache_free);
    return m;
}

/* The body as an ended fn; its nodes are the fn's own, so the caller's scope stays as it is. */
static tsr_fn *build_body(tsr_ctx *c, const struct lookup *l) {
    tsr_node *in[TSR_MAX_RANK], *out[RESULTS_MAX];
    int nout = 0;
    TSR_ASSERT(l->n <= TSR_MAX_RANK);
    if (tsr_fn_begin(c, l->d->name) != TSR_OK) return NULL;
    for (int i = 0; i < l->n; i++) in[i] = tsr_param(c, l->in[i]->type, NULL);
    if (build_bad(c, l->n, in) || !l->d->body(c, l->n, in, l->attr, l->nattr, out, &nout)) {
        if (!err_any(c)) err_set(c, TSR_EINVAL, "%s: its operands do not fit", l->d->name);
        tsr_fn_abort(c);
        return NULL;
    }
    return tsr_fn_end(c, nout, out);
}

/* Make it known: its record and attributes on the fn, the fn in the cache. */
static bool adopt(tsr_ctx *c, struct map *m, tsr_fn *f, const struct lookup *l, uint64_t h) {
    size_t bytes = attrs_bytes(l->nattr, l->attr);
    void *own = mem_alloc(c, bytes);
    if (!own) return false;
    f->composite = l->d;
    f->attr = attrs_copy(own, l->nattr, l->attr);
    f->nattr = l->nattr;
    f->attr_bytes = bytes;
    return map_put(c, m, h, f);
}

static tsr_fn *composite_fn(tsr_ctx *c, const struct lookup *l) {
    struct map *m = cache_of(c);
    uint64_t h = attrs_hash(hash_str(1, l->d->name), l->nattr, l->attr);
    if (!m) return NULL;
    for (int i = 0; i < l->n; i++) h = hash_mix(h, l->in[i]->type->hash);
    tsr_fn *f = map_get(m, h, l, same_call, NULL);
    if (f) return f;
    tsr_scope *s = tsr_scope_begin(c);
    if (!s) return NULL;
    f = build_body(c, l);
    tsr_scope_end(c, s);
    if (f && !adopt(c, m, f, l, h)) tsr_fn_free(c, f), f = NULL;
    return f;
}

void composite_call(tsr_ctx *c, const struct composite *d, int n, tsr_node *const *in, int nattr,
                    const struct attr *attr, tsr_node **out, int nout) {
    uint8_t room[1024] __attribute__((aligned(16)));
    for (int i = 0; i < nout; i++) out[i] = tsr_poison(c);
    if (build_bad(c, n, in)) return;
    TSR_ASSERT(nattr <= ATTRS_MAX);
    size_t need = attrs_bytes(nattr, attr);
    void *at = need <= sizeof room ? room : mem_alloc(c, need);
    if (!at) return;
    struct attr *sorted = attrs_copy(at, nattr, attr);
    tsr_fn *f = composite_fn(c, &(struct lookup){d, n, nattr, in, sorted});
    attrs_drop(nattr, sorted);
    if (at != room) mem_free(c, at, need);
    if (!f) return;
    TSR_ASSERT(f->nresult == nout);
    tsr_fn_call(c, f, n, in, out);
}

tsr_node *composite_one(tsr_ctx *c, enum composite_id id, int n, tsr_node *const *in, int nattr,
                        const struct attr *attr) {
    tsr_node *out;
    composite_call(c, &composites[id], n, in, nattr, attr, &out, 1);
    return out;
}
