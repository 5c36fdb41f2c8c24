/* mesh_queue.c: messages between participants, and between them and the host: copies of values, oldest first. */
#include <inttypes.h>
#include <string.h>

#include "graph/node.h"
#include "graph/ref.h"
#include "run/mesh.h"

void message_free(tsr_ctx *c, struct message *m) {
    if (!m) return;
    for (int i = 0; m->t && i < m->n; i++) mem_free(c, m->t[i].p, m->t[i].p ? ref_bytes(&m->t[i]) : 0);
    mem_array_free(c, m->t, (size_t)m->n + 1, sizeof *m->t);
    mem_del(c, m);
}

bool queue_push(tsr_ctx *c, struct queue *q, int64_t channel, int from, int target, int n, const struct ref_tensor *t) {
    struct message *m = mem_new(c, struct message);
    if (!m) return false;
    *m = (struct message){channel, from, target, n, mem_array(c, (size_t)n + 1, sizeof *m->t)};
    bool ok = m->t != NULL;
    for (int i = 0; ok && i < n; i++) {
        m->t[i] = t[i];
        ok = (m->t[i].p = mem_alloc(c, ref_bytes(&t[i]))) != NULL;
        if (ok) memcpy(m->t[i].p, t[i].p, ref_bytes(&t[i]));
    }
    ok = ok && vec_push(c, &q->v, m);
    if (!ok) message_free(c, m);
    return ok;
}

struct message *queue_take(struct queue *q, int64_t channel, int who) {
    for (size_t i = 0; i < q->v.n; i++) {
        struct message *m = q->v.v[i];
        if (m->channel != channel || (m->target >= 0 && m->target != who)) continue;
        q->v.n--;
        for (size_t j = i; j < q->v.n; j++) q->v.v[j] = q->v.v[j + 1];
        return m;
    }
    return NULL;
}

void queue_release(tsr_ctx *c, struct queue *q) {
    for (size_t i = 0; i < q->v.n; i++) message_free(c, q->v.v[i]);
    vec_release(c, &q->v);
}

static bool same_type(const struct ref_tensor *a, const struct ref_tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

tsr_status message_deliver_take(tsr_ctx *c, const char *op, struct message *m, int n, struct ref_tensor *out) {
    tsr_status s = TSR_OK;
    if (m->n != n) s = err_set(c, TSR_EINVAL, "%s: takes %d values, %d were sent", op, n, m->n);
    for (int i = 0; i < n && !s; i++) {
        const tsr_type *have = tsr_type_dims(c, m->t[i].dtype, m->t[i].rank, m->t[i].dim),
            *want = tsr_type_dims(c, out[i].dtype, out[i].rank, out[i].dim);
        if (same_type(&m->t[i], &out[i])) memcpy(out[i].p, m->t[i].p, ref_bytes(&out[i]));
        else if (!have || !want) s = tsr_error_status(c);
        else
            s = err_set(c, TSR_EINVAL, "%s: value %d is %s, %s was sent", op, i, type_text(c, want),
                type_text(c, have));
    }
    message_free(c, m);
    return s;
}

/* ---- the host's ends --------------------------------------------------------------------------------------------- */

tsr_status tsr_mesh_infeed(tsr_ctx *c, tsr_mesh *m, int n, tsr_node *const *value) {
    struct ref_tensor *t = mem_array(c, (size_t)n + 1, sizeof *t);
    struct arena mem;
    arena_init(&mem, c);
    tsr_status s = t ? tsr_eval(c, n, value) : TSR_ENOMEM;
    for (int i = 0; i < n && !s; i++) {
        int64_t dim[TSR_MAX_RANK];
        const tsr_type *type = tsr_node_type(value[i]);
        size_t bytes;
        if (!tsr_type_ints(type, dim))
            s = err_set(c, TSR_EINVAL, "infeed: value %d is %s: sizes must be known", i, type_text(c, type));
        else if (!ref_shape(c, type->dtype, type->rank, dim, &t[i], &bytes)) s = tsr_error_status(c);
        else if (!(t[i].p = arena_alloc(&mem, bytes + 1))) s = TSR_ENOMEM;
        else s = tsr_read(c, value[i], t[i].p, bytes);
    }
    if (!s && !queue_push(c, &m->infeed, 0, -1, -1, n, t)) s = TSR_ENOMEM;
    arena_release(&mem);
    mem_array_free(c, t, (size_t)n + 1, sizeof *t);
    return s;
}

int tsr_mesh_outfeed(tsr_ctx *c, tsr_mesh *m, int *participant, int most, tsr_node **out) {
    if (err_any(c)) return -1;
    struct message *e = queue_take(&m->outfeed, 0, -1);
    if (!e) return -1;
    int n = e->n;
    if (participant) *participant = e->from;
    for (int i = 0; i < n && i < most; i++) {
        const tsr_type *t = tsr_type_dims(c, e->t[i].dtype, e->t[i].rank, e->t[i].dim);
        out[i] = t ? tsr_from(c, t, e->t[i].p) : tsr_poison(c);
    }
    message_free(c, e);
    return err_any(c) ? -1 : n;
}
