/* mesh.c: participants on threads, in turns: the transport of a grid inside one process (graph/comm.h).
 *
 * Exactly one participant has the turn. It computes until it ends or must wait; then the next one that can go on, by
 * number, gets the turn. The lock guards the states and hands memory over with the turn; everything else of the context
 * is used by whoever has the turn, as if there were one thread.
 *
 * A collective: each member that arrives leaves its call (op, operands, where results go) and waits; the last one finds
 * all the others waiting in the same call, computes everybody's results in the group's order, and wakes them. Waiting
 * members' memory stays as it is, so nothing is copied on the way. Messages are copied into queues.
 *
 * When nobody can go on and somebody waits, they wait for ever: that is found at once, without clocks, and said. After
 * the first failure (run.over) whoever gets the turn unwinds with EINTERRUPTED, which adds nothing to the error. */
#include <pthread.h>

#include "graph/room.h"
#include "run/mesh.h"
#include "run/runner.h"

enum state { CAN_GO, HAS_TURN, WAITS, ENDED };

struct participant {
    struct comm comm; /* first: what the transport is called with */
    struct mesh_run *run;
    struct run k;
    pthread_t thread;
    pthread_cond_t turn;
    enum state state;
    tsr_status status;
    /* while it waits: in which call, for whom (group NULL: for a message) */
    const struct comm_op *op;
    const struct comm_group *group;
    struct comm_side *side;
};

struct mesh_run {
    tsr_ctx *c;
    tsr_mesh *m;
    pthread_mutex_t lock;
    int n, opened, threads;
    bool over;
    struct participant *p; /* (n) */
    struct queue channels;
};

static int rank_of(const struct participant *p) { return (int)(p - p->run->p); }

/* ---- what is said when everybody waits --------------------------------------------------------------------------- */

enum { WAITING_SHOWN = 6 };

static void say_who(struct str *s, const struct participant *p) {
    str_printf(s, "replica %d, partition %d", p->comm.replica, p->comm.partition);
}

static bool same_call(const struct participant *q, const struct comm_op *op, const struct comm_group *g) {
    if (q->state != WAITS || !q->group || !comm_op_equal(q->op, op) || q->group->n != g->n) return false;
    for (int i = 0; i < g->n; i++)
        if (q->group->member[i] != g->member[i]) return false;
    return true;
}

/* The first member of p's group that is not where p waits for it. */
static const struct participant *missing(const struct participant *p) {
    for (int i = 0; i < p->group->n; i++) {
        const struct participant *q = &p->run->p[p->group->member[i]];
        if (q != p && !same_call(q, p->op, p->group)) return q;
    }
    return NULL;
}

static void say_waiting(struct str *s, const struct participant *p) {
    const struct participant *q = p->group ? missing(p) : NULL;
    str_put(s, "; "), say_who(s, p);
    str_printf(s, " waits at %s of %s for ", op_name(p->op->op), p->k.f->name);
    if (!q) {
        str_printf(s, "a message on channel %lld", (long long)p->op->channel);
        return;
    }
    say_who(s, q);
    if (q->state == ENDED) str_printf(s, ", whose program %s has ended", q->k.f->name);
    else str_printf(s, ", which is at %s%s", op_name(q->op->op), q->op->op == p->op->op ? " with other groups" : "");
}

static void say_deadlock(struct mesh_run *r) {
    struct str s;
    int shown = 0;
    str_init(&s, r->c);
    for (int i = 0; i < r->n; i++)
        if (r->p[i].state == WAITS && shown++ < WAITING_SHOWN) say_waiting(&s, &r->p[i]);
    if (shown > WAITING_SHOWN) str_printf(&s, "; and %d more", shown - WAITING_SHOWN);
    err_set(r->c, TSR_ECHECK, "deadlock: no participant of the mesh can go on%s: every member of a group must reach "
        "the same collectives in the same order", s.s ? s.s : "");
    str_release(&s);
}

/* ---- turns: the lock is held ------------------------------------------------------------------------------------- */

static void end_all(struct mesh_run *r) {
    r->over = true;
    for (int i = 0; i < r->n; i++)
        if (r->p[i].state == WAITS) r->p[i].state = CAN_GO;
}

static bool give_turn(struct mesh_run *r, int after) {
    for (int i = 1; i <= r->n; i++) {
        struct participant *p = &r->p[(after + i) % r->n];
        if (p->state != CAN_GO) continue;
        p->state = HAS_TURN;
        pthread_cond_signal(&p->turn);
        return true;
    }
    return false;
}

static void pass_turn(struct mesh_run *r, int after) {
    bool waiting = false;
    if (give_turn(r, after)) return;
    for (int i = 0; i < r->n; i++) waiting = waiting || r->p[i].state == WAITS;
    if (!waiting) return;
    say_deadlock(r);
    end_all(r);
    give_turn(r, after);
}

static void await_turn(struct participant *p) {
    while (p->state != HAS_TURN) pthread_cond_wait(&p->turn, &p->run->lock);
    comm_set(p->run->c, &p->comm);
}

/* Let the others go on until this one can. */
static tsr_status wait_in(struct participant *p, const struct comm_op *op, const struct comm_group *g,
    struct comm_side *s) {
    p->op = op, p->group = g, p->side = s;
    p->state = WAITS;
    pass_turn(p->run, rank_of(p));
    await_turn(p);
    return p->run->over ? TSR_EINTERRUPTED : TSR_OK;
}

/* ---- the transport ----------------------------------------------------------------------------------------------- */

/* All members are here: everybody's results. */
static tsr_status combine_all(struct participant *p, const struct comm_op *op, const struct comm_group *g,
    struct comm_side *mine) {
    struct mesh_run *r = p->run;
    struct comm_side **side = mem_array(r->c, (size_t)g->n, sizeof *side);
    tsr_status s = side ? TSR_OK : TSR_ENOMEM;
    for (int i = 0; side && i < g->n; i++) side[i] = i == g->me ? mine : r->p[g->member[i]].side;
    if (!s) s = comm_combine(r->c, op, g, side);
    for (int i = 0; i < g->n && !s; i++)
        if (i != g->me) r->p[g->member[i]].state = CAN_GO;
    mem_array_free(r->c, side, (size_t)g->n, sizeof *side);
    return s;
}

static tsr_status meet(struct comm *m, tsr_ctx *c, const struct comm_op *op, const struct comm_group *g,
    struct comm_side *s) {
    struct participant *p = (struct participant *)m;
    bool all = true;
    (void)c;
    pthread_mutex_lock(&p->run->lock);
    for (int i = 0; i < g->n && all; i++) all = i == g->me || p->run->p[g->member[i]].state == WAITS;
    for (int i = 0; i < g->n && all; i++) all = i == g->me || same_call(&p->run->p[g->member[i]], op, g);
    tsr_status st = all ? combine_all(p, op, g, s) : wait_in(p, op, g, s);
    pthread_mutex_unlock(&p->run->lock);
    return st;
}

static tsr_status send_message(struct participant *p, const struct comm_op *op, int target, struct comm_side *s) {
    struct mesh_run *r = p->run;
    if (!queue_push(r->c, &r->channels, op->channel, rank_of(p), target, s->nin - 1, s->in)) return TSR_ENOMEM;
    for (int i = 0; i < r->n; i++) /* they look again */
        if (r->p[i].state == WAITS && !r->p[i].group && r->p[i].op->channel == op->channel) r->p[i].state = CAN_GO;
    return TSR_OK;
}

static tsr_status receive_message(struct participant *p, const struct comm_op *op, struct comm_side *s) {
    struct message *m;
    while (!(m = queue_take(&p->run->channels, op->channel, rank_of(p)))) {
        tsr_status st = wait_in(p, op, NULL, s);
        if (st) return st;
    }
    return message_deliver_take(p->run->c, "recv", m, s->nout - 1, s->out);
}

static tsr_status infeed(struct participant *p, struct comm_side *s) {
    struct message *m = queue_take(&p->run->m->infeed, 0, rank_of(p));
    if (m) return message_deliver_take(p->run->c, "infeed", m, s->nout - 1, s->out);
    return err_set(p->run->c, TSR_ECHECK, "infeed: the mesh's infeed is empty: give it values with tsr_mesh_infeed "
        "before the run");
}

static tsr_status outfeed(struct participant *p, struct comm_side *s) {
    bool ok = queue_push(p->run->c, &p->run->m->outfeed, 0, rank_of(p), -1, s->nin - 1, s->in);
    return ok ? TSR_OK : TSR_ENOMEM;
}

static tsr_status channel(struct comm *m, tsr_ctx *c, const struct comm_op *op, int target, struct comm_side *s) {
    struct participant *p = (struct participant *)m;
    (void)c;
    pthread_mutex_lock(&p->run->lock);
    tsr_status st = op->op == TSR_OP_SEND ? send_message(p, op, target, s)
        : op->op == TSR_OP_RECV ? receive_message(p, op, s) : op->op == TSR_OP_INFEED ? infeed(p, s) : outfeed(p, s);
    pthread_mutex_unlock(&p->run->lock);
    return st;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

static void *participate(void *user) {
    struct participant *p = user;
    struct mesh_run *r = p->run;
    pthread_mutex_lock(&r->lock);
    await_turn(p);
    bool over = r->over;
    pthread_mutex_unlock(&r->lock);
    tsr_status s = over ? TSR_EINTERRUPTED : run_compute(&p->k);
    pthread_mutex_lock(&r->lock);
    p->status = s;
    p->state = ENDED;
    if (s && !r->over) {
        if (s != TSR_ENOMEM) err_prefix(r->c, "replica %d, partition %d", p->comm.replica, p->comm.partition);
        end_all(r);
    }
    pass_turn(r, rank_of(p));
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static tsr_status open_run(struct mesh_run *r, const tsr_mesh_program *program, tsr_tier tier) {
    tsr_status s = TSR_OK;
    if (!(r->p = mem_array(r->c, (size_t)r->n, sizeof *r->p))) return TSR_ENOMEM;
    for (; r->opened < r->n && !s; r->opened++) {
        struct participant *p = &r->p[r->opened];
        const tsr_mesh_program *g = &program[r->opened];
        p->run = r;
        p->comm = (struct comm){r->m->replicas, r->m->partitions, r->opened / r->m->partitions,
            r->opened % r->m->partitions, meet, channel};
        p->k = (struct run){.c = r->c, .f = g->fn, .tier = tier};
        pthread_cond_init(&p->turn, NULL);
        if ((s = run_open(&p->k, g->n, g->arg)) && s != TSR_ENOMEM)
            err_prefix(r->c, "replica %d, partition %d", p->comm.replica, p->comm.partition);
    }
    return s;
}

static tsr_status compute_all(struct mesh_run *r) {
    pthread_mutex_lock(&r->lock);
    for (; r->threads < r->n && !r->over; r->threads++) {
        if (!pthread_create(&r->p[r->threads].thread, NULL, participate, &r->p[r->threads])) continue;
        err_set(r->c, TSR_ENOMEM, "mesh: the system gives no thread for participant %d of %d", r->threads, r->n);
        r->over = true;
        break;
    }
    for (int i = r->threads; i < r->n; i++) r->p[i].state = ENDED;
    pass_turn(r, r->n - 1);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->threads; i++) pthread_join(r->p[i].thread, NULL);
    comm_set(r->c, NULL);
    return r->over ? tsr_error_status(r->c) : TSR_OK;
}

/* All results of all participants, then all variables. */
static tsr_status deliver_all(struct mesh_run *r, const tsr_mesh_program *program) {
    tsr_status s = TSR_OK;
    for (int i = 0; i < r->n && !s; i++) s = run_wrap(&r->p[i].k, program[i].out);
    for (int i = 0; i < r->n && !s; i++) s = run_assign(&r->p[i].k);
    return s;
}

static void close_run(struct mesh_run *r) {
    for (int i = 0; i < r->opened; i++) run_close(&r->p[i].k), pthread_cond_destroy(&r->p[i].turn);
    queue_release(r->c, &r->channels);
    mem_array_free(r->c, r->p, (size_t)r->n, sizeof *r->p);
    pthread_mutex_destroy(&r->lock);
}

static void poison_results(tsr_ctx *c, int n, const tsr_mesh_program *program) {
    for (int i = 0; i < n; i++)
        for (int j = 0; program[i].fn && j < program[i].fn->nresult; j++) program[i].out[j] = tsr_poison(c);
}

tsr_status tsr_mesh_run(tsr_ctx *c, tsr_mesh *m, const tsr_mesh_program *program, tsr_tier tier) {
    struct mesh_run r = {.c = c, .m = m, .n = m->replicas * m->partitions};
    poison_results(c, r.n, program);
    if (ctx_slot(c, SLOT_COMM))
        return err_set(c, TSR_EINVAL, "a participant of a mesh starts another mesh run: only one can run in a context");
    for (int i = 0; i < r.n; i++)
        if (!program[i].fn) return err_set(c, TSR_EINVAL, "mesh: participant %d has no program", i);
    pthread_mutex_init(&r.lock, NULL);
    tsr_status s = open_run(&r, program, tier);
    if (!s) s = compute_all(&r);
    if (!s) s = deliver_all(&r, program);
    if (s) poison_results(c, r.n, program);
    close_run(&r);
    return s;
}

/* ---- meshes ------------------------------------------------------------------------------------------------------ */

tsr_mesh *tsr_mesh_new(tsr_ctx *c, int replicas, int partitions) {
    if (replicas < 1 || partitions < 1 || replicas > TSR_MESH_MAX / partitions)
        return err_set(c, TSR_EINVAL, "a mesh of %d x %d participants: each at least 1, together at most %d", replicas,
            partitions, TSR_MESH_MAX), NULL;
    tsr_mesh *m = mem_new(c, tsr_mesh);
    if (m) m->c = c, m->replicas = replicas, m->partitions = partitions;
    return m;
}

void tsr_mesh_free(tsr_mesh *m) {
    if (!m) return;
    queue_release(m->c, &m->infeed), queue_release(m->c, &m->outfeed);
    mem_del(m->c, m);
}

int tsr_mesh_replicas(const tsr_mesh *m) { return m->replicas; }
int tsr_mesh_partitions(const tsr_mesh *m) { return m->partitions; }
