/* verify.c: every invariant of an ended fn, checked from nothing: run between passes when TSR_CHECK asks.
 *
 *   - nodes stand in id order, each knows its position and its owner, sources stand before users;
 *   - attributes are sorted by key;
 *   - re-inferring each node's type gives its type;
 *   - parameters are numbered as listed; results and parameters belong to the fn; bodies verify too. */
#include "graph/op.h"
#include "graph/room.h"

static tsr_status broken(tsr_ctx *c, const tsr_fn *f, const tsr_node *n, const char *what) {
    return err_set(c, TSR_ECHECK, "verify %s: node %%%d (%s): %s", f->name, n ? (int)n->pos : -1,
        n ? op_name(n->op) : "none", what);
}

static tsr_status verify_form(tsr_ctx *c, const tsr_fn *f, size_t i) {
    const tsr_node *n = f->node.v[i];
    if ((size_t)n->pos != i) return broken(c, f, n, "does not stand at its position");
    if (n->owner != f) return broken(c, f, n, "belongs to another fn");
    if (i && f->node.v[i - 1]->id >= n->id) return broken(c, f, n, "is out of id order");
    if (!n->refs) return broken(c, f, n, "is used after its last reference");
    for (int j = 0; j < n->nsrc; j++)
        if (n->src[j]->owner != f || n->src[j]->pos >= n->pos) return broken(c, f, n,
            "has a source that does not stand before it");
    for (int j = 1; j < n->nattr; j++)
        if (n->attr[j - 1].key >= n->attr[j].key) return broken(c, f, n, "has unsorted or repeated attributes");
    return TSR_OK;
}

static tsr_status verify_type(tsr_ctx *c, const tsr_fn *f, const tsr_node *n) {
    struct draft d = {.op = n->op, .nsrc = n->nsrc, .src = n->src, .nattr = n->nattr, .attr = n->attr, .nfn = n->nfn,
        .fn = n->fn, .want = n->type};
    if (n->op == TSR_OP_PARAM || f->check.n) return TSR_OK; /* rules that record checks need an open fn */
    const tsr_type *t = op_def(n->op)->infer(c, &d);
    if (!t) return tsr_error_status(c);
    return t == n->type ? TSR_OK : err_set(c, TSR_ECHECK, "verify %s: node %%%d (%s) has type %s, its rule says %s",
        f->name, (int)n->pos,
                                           op_name(n->op), type_text(c, n->type), type_text(c, t));
}

tsr_status tsr_verify(tsr_ctx *c, const tsr_fn *f) {
    tsr_status s = TSR_OK;
    if (fn_missing(c, f, "verify")) return tsr_error_status(c);
    if (f->open) return err_set(c, TSR_EINVAL, "verify %s: the fn is still open", f->name);
    for (size_t i = 0; i < f->node.n && !s; i++) {
        const tsr_node *n = f->node.v[i];
        if ((s = verify_form(c, f, i)) || (s = verify_type(c, f, n))) return s;
        for (int j = 0; j < n->nfn && !s; j++) s = tsr_verify(c, n->fn[j]);
    }
    for (size_t i = 0; i < f->param.n && !s; i++) {
        const tsr_node *p = f->param.v[i].node;
        if (p->op != TSR_OP_PARAM || p->owner != f || node_int(p, ATTR_INDEX) != (int64_t)i) s = broken(c, f, p,
            "is no proper parameter");
    }
    for (size_t i = 0; i < f->result.n && !s; i++)
        if (f->result.v[i]->owner != f) s = broken(c, f, f->result.v[i], "is a result but belongs to another fn");
    return s;
}
