/* node.c: making, interning, counting and freeing nodes.
 *
 * node_make is the only place where a node comes to be: it moves foreign sources into the open fn (capture), asks the
 * op's rule for the type, looks for an equal node of the same owner, and hands the node to the innermost scope. A node,
 * its source array and its attributes are one allocation.
 *
 * Freeing is a loop over a list threaded through dying nodes, so a chain of a million nodes needs no stack. */
#include <string.h>

#include "graph/attr.h"
#include "graph/comm.h"
#include "graph/op.h"
#include "graph/room.h"

tsr_fn fn_dead;

bool op_is_elem(enum tsr_op op) { return (int)op < TSR_SCALAR_COUNT; }
tsr_node *tsr_poison(tsr_ctx *c) {
    struct graph_room *g = graph_room(c);
    return g ? g->poison : NULL;
}
bool tsr_is_poison(const tsr_node *n) { return !n || n->poison; }

/* ---- references ---- */

void node_ref(tsr_node *n) { n->refs++; }

static struct map *intern_table(tsr_ctx *c, tsr_fn *owner) { return owner ? &owner->intern : &graph_room(c)->nodes; }

static void leave_table(tsr_ctx *c, tsr_node *n) {
    if (n->interned && n->owner != &fn_dead && (!n->owner || n->owner->open)) map_remove(intern_table(c, n->owner),
        n->hash, n);
    n->interned = false;
}

static void drop_buffers(tsr_ctx *c, tsr_node *n) {
    if (!n->buf) return;
    int results = type_results(n->type);
    for (int i = 0; i < results; i++) tsr_buf_free(n->buf[i]);
    mem_free(c, n->buf, (size_t)results * sizeof *n->buf);
    n->buf = NULL;
}

/* Nodes whose count has reached zero, linked through `dying`. */
static void push_dying(tsr_ctx *c, tsr_node **list, tsr_node *n) {
    if (--n->refs > 0) return;
    leave_table(c, n);
    n->dying = *list;
    *list = n;
}

static void drop_sources(tsr_ctx *c, tsr_node *n, tsr_node **list) {
    for (int i = 0; i < n->nsrc; i++) push_dying(c, list, n->src[i]);
    n->nsrc = 0;
}

static void free_dying(tsr_ctx *c, tsr_node *list) {
    while (list) {
        tsr_node *n = list;
        list = n->dying;
        drop_sources(c, n, &list);
        for (int i = 0; i < n->nfn; i++) tsr_fn_free(c, n->fn[i]);
        drop_buffers(c, n);
        attrs_drop(n->nattr, n->attr);
        mem_free(c, n, n->bytes);
    }
}

void node_unref(tsr_ctx *c, tsr_node *n) {
    tsr_node *list = NULL;
    if (!n) return;
    push_dying(c, &list, n);
    free_dying(c, list);
}

tsr_node *tsr_keep(tsr_ctx *c, tsr_node *n) {
    (void)c;
    if (n) node_ref(n);
    return n;
}

void tsr_drop(tsr_ctx *c, tsr_node *n) { node_unref(c, n); }

void node_set_value_take(tsr_ctx *c, tsr_node *n, tsr_buf **buf) {
    tsr_node *list = NULL;
    TSR_ASSERT(!n->owner && !n->buf);
    leave_table(c, n);
    n->buf = buf;
    n->computed = true;
    drop_sources(c, n, &list);
    free_dying(c, list);
}

/* ---- interning ---- */

struct lookup { const struct draft *d; const tsr_type *type; const struct attr *attr; };

static bool node_equal(const void *item, const void *key, void *user) {
    const tsr_node *n = item;
    const struct lookup *l = key;
    const struct draft *d = l->d;
    (void)user;
    if (n->op != d->op || n->type != l->type || n->nsrc != d->nsrc || n->nattr != d->nattr ||
        n->nfn != d->nfn) return false;
    for (int i = 0; i < n->nsrc; i++)
        if (n->src[i] != d->src[i]) return false;
    for (int i = 0; i < n->nfn; i++)
        if (n->fn[i] != d->fn[i]) return false;
    return attrs_equal(n->nattr, n->attr, l->attr);
}

static uint64_t draft_hash(const struct draft *d, const tsr_type *t, const struct attr *attr) {
    uint64_t h = hash_mix((uint64_t)d->op + 101, t->hash);
    for (int i = 0; i < d->nsrc; i++) h = hash_mix(h, d->src[i]->id);
    for (int i = 0; i < d->nfn; i++) h = hash_mix(h, (uint64_t)(uintptr_t)d->fn[i]);
    return attrs_hash(h, d->nattr, attr);
}

static tsr_node *node_alloc(tsr_ctx *c, const struct draft *d, const tsr_type *t) {
    struct graph_room *g = graph_room(c);
    size_t head = (sizeof(tsr_node) + 15) & ~(size_t)15, arrays, attrs = attrs_bytes(d->nattr, d->attr);
    arrays = ((size_t)d->nsrc * sizeof(tsr_node *) + (size_t)d->nfn * sizeof(tsr_fn *) + 15) & ~(size_t)15;
    tsr_node *n = mem_zalloc(c, head + arrays + attrs);
    if (!n) return NULL;
    n->bytes = head + arrays + attrs;
    n->id = ++g->next_id;
    n->op = (uint16_t)d->op;
    n->type = t;
    n->owner = g->open;
    n->nsrc = d->nsrc, n->nattr = d->nattr, n->nfn = d->nfn;
    n->src = (tsr_node **)((uint8_t *)n + head);
    n->fn = (tsr_fn **)(n->src + d->nsrc);
    for (int i = 0; i < d->nsrc; i++) node_ref(n->src[i] = d->src[i]);
    for (int i = 0; i < d->nfn; i++) n->fn[i] = tsr_fn_keep(d->fn[i]);
    n->attr = attrs_copy((uint8_t *)n + head + arrays, d->nattr, d->attr);
    n->refs = 1;
    n->pos = POS_NONE;
    return n;
}

bool node_communicates(enum tsr_op op, int nfn, tsr_fn *const *fn) {
    bool speaks = op_communicates(op);
    for (int i = 0; i < nfn; i++) speaks = speaks || fn[i]->communicates;
    return speaks;
}

static bool draft_interns(const struct draft *d) {
    return d->op != TSR_OP_PARAM && d->op != TSR_OP_VALUE && d->op != TSR_OP_HOST_CALL &&
           !node_communicates(d->op, d->nfn, d->fn);
}

/* The node for a draft whose sources all belong to the open fn and whose type is known. */
static tsr_node *intern_or_make(tsr_ctx *c, const struct draft *d, const tsr_type *t) {
    struct graph_room *g = graph_room(c);
    bool interns = draft_interns(d);
    uint64_t h = 0;
    if (interns) {
        uint8_t small[1024] __attribute__((aligned(16)));
        size_t need = attrs_bytes(d->nattr, d->attr);
        void *at = need <= sizeof small ? small : mem_alloc(c, need);
        if (!at) return g->poison;
        struct attr *sorted = attrs_copy(at, d->nattr, d->attr);
        struct lookup key = {d, t, sorted};
        h = draft_hash(d, t, sorted);
        tsr_node *found = map_get(intern_table(c, g->open), h, &key, node_equal, NULL);
        attrs_drop(d->nattr, sorted);
        if (at != small) mem_free(c, at, need);
        if (found) return scope_hold(c, found) ? found : g->poison;
    }
    tsr_node *n = node_alloc(c, d, t);
    if (!n) return g->poison;
    n->hash = h;
    if (interns) n->interned = map_put(c, intern_table(c, g->open), h, n);
    bool ok = (!interns || n->interned) && scope_hold(c, n);
    node_unref(c, n); /* the scope holds it now */
    return ok ? n : g->poison;
}

/* ITEM of a tuple that belongs to an enclosing graph: made there, so that only tensors are captured. */
static tsr_node *foreign_item(tsr_ctx *c, const struct draft *d) {
    struct graph_room *g = graph_room(c);
    tsr_fn *here = g->open;
    g->open = d->src[0]->owner;
    tsr_node *item = node_make(c, d);
    g->open = here;
    return fn_capture(c, here, item);
}

tsr_node *node_make(tsr_ctx *c, const struct draft *draft) {
    struct graph_room *g = graph_room(c);
    if (!g) return NULL;
    struct draft d = *draft;
    tsr_node *few[16], **own = d.nsrc <= 16 ? few : mem_array(c, (size_t)d.nsrc, sizeof *own), *made = g->poison;
    if (!own) return g->poison;
    for (int i = 0; i < d.nsrc; i++) {
        own[i] = d.src[i];
        if (tsr_is_poison(own[i])) {
            if (!own[i] && !err_any(c)) err_set(c, TSR_EINVAL, "%s: operand %d is NULL", op_name(d.op), i);
            goto out;
        }
        if (own[i]->owner == g->open) continue;
        if (d.op == TSR_OP_ITEM && own[i]->owner != &fn_dead) {
            made = foreign_item(c, draft);
            goto out;
        }
        if (tsr_is_poison(own[i] = fn_capture(c, g->open, own[i]))) goto out;
    }
    d.src = own;
    const struct op_def *def = op_def(d.op);
    if (!def) {
        err_set(c, TSR_EUNSUPPORTED, "%s: this build has no such op", op_name(d.op));
        goto out;
    }
    if (def->arity >= 0 && d.nsrc != def->arity) {
        err_set(c, TSR_EINVAL, "%s: takes %d operands, got %d", def->name, def->arity, d.nsrc);
        goto out;
    }
    const tsr_type *t = def->infer(c, &d);
    if (t) made = intern_or_make(c, &d, t);
    else if (!err_any(c)) TSR_BUG("%s: the type rule refused without saying why", def->name);
out:
    if (own != few) mem_array_free(c, own, (size_t)d.nsrc, sizeof *own);
    return made;
}

tsr_node *node_rebuild(tsr_ctx *c, const tsr_node *n, tsr_node *const *src) {
    struct draft d = {.op = n->op, .nsrc = n->nsrc, .src = src, .nattr = n->nattr, .attr = n->attr, .nfn = n->nfn,
        .fn = n->fn, .want = n->type};
    return node_make(c, &d);
}

/* ---- reading ---- */

const tsr_type *tsr_node_type(const tsr_node *n) { return n->type; }
int tsr_node_rank(const tsr_node *n) { return n->type->kind == TSR_TENSOR ? n->type->rank : 0; }
tsr_dtype tsr_node_dtype(const tsr_node *n) { return n->type->dtype; }

const tsr_extent *tsr_node_extent(const tsr_node *n, int axis) {
    int rank = tsr_node_rank(n);
    if (axis < 0) axis += rank;
    return axis < 0 || axis >= rank ? NULL : n->type->extent[axis];
}

int64_t tsr_node_dim(const tsr_node *n, int axis) {
    int64_t v;
    return tsr_extent_is_int(tsr_node_extent(n, axis), &v) ? v : -1;
}
