/* vm_chain.c: chains: elementwise functions of f32 that run together, block by block.
 *
 * A chain is a run of elementwise instructions over tiles of one shape, and the stores of what they make. One step runs
 * it: a block of elements goes through all of them in vector registers (the links of vm_chain.isa.c) before the next
 * block is read. What only the chain uses has no register; a value that is used later than by the next instruction is
 * put down in a block of scratch. What is left of a row after its last whole block goes through the ordinary kernels.
 *
 * vm_chain_gather moves what stands between the instructions of a chain (loads, scalars) in front of it; the compiler
 * then lets operands live to the chain's end and results from its beginning.
 *
 * Stores go from vector registers to the buffer when the whole block takes part, its rows are dense, and no operand of
 * the chain lies under it but at the very same place. Otherwise values are written to their tile registers, and after
 * the last block the stores run as steps of their own.
 *
 * A chain asks for memory ahead of time: where a load before it has pointed at the buffer and a step before it (a
 * reduction) has read that, the chain finds its operand in cache and the memory at rest. The distance from the last
 * instance's place to this one's is taken to be the distance to the next, whose bytes are fetched block by block. A
 * wrong guess costs time alone. What a chain is the first to read is fetched a little ahead of its own place: some
 * machines see a stream in a block's eight loads only line by line. */
#include "tile/vm_code.h"

#include <string.h>

enum { MOST_MEMBERS = VM_CHAIN_MEMBERS, MOST_PLACES = 3 * MOST_MEMBERS, MOST_STORES = 8,
    SOON = 2048 /* bytes */ };

static const struct tile_inst *inst(const tsr_tile *p, int32_t i) { return &p->inst.v[i]; }
static bool is_tile(const tsr_tile *p, tsr_tv v) { return v >= 0 && tile_type_of(p, v)->rank > 0; }

/* ---- which instructions ---- */

/* A chain's elements: rows of n, each row dense. */
struct rows { int64_t rows, n; };

/* Long last axes are rows; a shape without one is a single row. */
static struct rows rows_of(int rank, const int32_t *extent, size_t block) {
    struct rows r = {1, 1};
    for (int i = 0; i < rank; i++) r.n *= extent[i];
    if (extent[rank - 1] >= (int64_t)block) r.rows = r.n / extent[rank - 1], r.n = extent[rank - 1];
    return r;
}

/* Where element (r, c) of an operand lies: r * row + c * col elements from its beginning. False: not so simple. */
static bool row_strides(const tsr_tile *p, tsr_tv v, int rank, const int32_t *extent, struct rows r, int64_t *row,
    int64_t *col) {
    const struct tile_type *a = tile_type_of(p, v);
    int64_t stride[TSR_TILE_MAX_RANK], over = 0, below = 1;
    *row = *col = 0;
    if (a->rank == 0) return true;
    if (tile_count(a) == r.rows * r.n) return *row = r.n, *col = 1, true;
    if (r.n != extent[rank - 1]) return false;
    vm_strides(a, rank, extent, stride);
    *col = stride[rank - 1];
    for (int i = rank - 2; i >= 0; i--) {
        if (extent[i] == 1) continue;
        if (below > 1 && stride[i] != over * below) return false;
        if (below == 1) *row = stride[i];
        over = stride[i], below = extent[i];
    }
    return true;
}

static bool linked_function(const struct vm_links *l, const tsr_tile *p, const struct tile_inst *in) {
    const struct tile_type *r = tile_type_of(p, in->result);
    if (in->op != TILE_ELEM || r->rank == 0 || r->dtype != TSR_F32 || in->n_operand > 2) return false;
    if (!l->fn[in->sub][0][0] || (in->n_operand == 2) != (l->fn[in->sub][1][0] != NULL)) return false;
    struct rows rows = rows_of(r->rank, r->extent, l->block);
    if (rows.n < (int64_t)l->block) return false;
    for (int k = 0; k < in->n_operand; k++) {
        tsr_tv v = tile_operands(p, in)[k];
        int64_t row, col;
        if (tile_type_of(p, v)->dtype != TSR_F32 || !row_strides(p, v, r->rank, r->extent, rows, &row, &col))
            return false;
    }
    return true;
}

/* ---- gathering ---- */

struct gather {
    const tsr_tile *p;
    const struct vm_links *links;
    int32_t *mark;                /* by value: the place in order of the chain that makes it, or -1 */
    int32_t member[MOST_MEMBERS]; /* instructions */
    int members, stores;
    const struct tile_type *shape;
};

static bool same_shape(const struct tile_type *a, int rank, const int32_t *extent) {
    return a->rank == rank && memcmp(a->extent, extent, sizeof *extent * (size_t)rank) == 0;
}

static bool joins(const struct gather *g, const struct tile_inst *in, int32_t chain) {
    if (g->members == MOST_MEMBERS) return false;
    if (in->op == TILE_STORE) {
        tsr_tv v = tile_operands(g->p, in)[TILE_BLK_VALUE];
        return g->stores < MOST_STORES && g->mark[v] == chain && same_shape(g->shape, in->rank, in->extent);
    }
    if (!linked_function(g->links, g->p, in)) return false;
    const struct tile_type *r = tile_type_of(g->p, in->result);
    return !g->shape || same_shape(g->shape, r->rank, r->extent);
}

/* Whether an instruction may run before a chain that it stands in. */
static bool steps_aside(const struct gather *g, const struct tile_inst *in, int32_t chain) {
    if (!tile_op_pure[in->op] && !(in->op == TILE_LOAD && g->stores == 0)) return false;
    for (int k = 0; k < in->n_operand; k++) {
        tsr_tv v = tile_operands(g->p, in)[k];
        if (v != TSR_TV_NONE && g->mark[v] == chain) return false;
    }
    return true;
}

/* The chain that begins at place `at`, if any: it is put together, behind what stood in between. Returns the place
 * after all that was looked at. */
static int32_t gather_one(struct gather *g, int32_t *order, int32_t at, int32_t end, int32_t *chain_end) {
    int32_t aside = at, i = at, one = at;
    g->members = g->stores = 0, g->shape = NULL;
    for (; i < end; i++) {
        int32_t moved = order[i];
        const struct tile_inst *in = inst(g->p, moved);
        if (joins(g, in, one)) {
            g->member[g->members++] = moved;
            g->stores += in->op == TILE_STORE;
            if (in->op == TILE_STORE) continue;
            g->mark[in->result] = one;
            g->shape = tile_type_of(g->p, in->result);
        } else if (g->members > 0 && steps_aside(g, in, one)) order[aside++] = moved;
        else break;
    }
    if (g->members == 0) return at + 1;
    for (int k = 0; k < g->members; k++) order[aside + k] = g->member[k], chain_end[aside + k] = i - 1;
    return i;
}

void vm_chain_gather(const tsr_tile *p, enum cpu_isa isa, int32_t *order, int32_t from, int32_t end,
    int32_t *chain_end, int32_t *mark) {
    struct gather g = {.p = p, .links = vm_links_of(isa), .mark = mark};
    for (int32_t at = from; at < end;) at = gather_one(&g, order, at, end, chain_end);
}

/* ---- the step ---- */

/* Memory that links read or write: of an operand, a result's register, a block of scratch, or a buffer. */
struct place {
    tsr_tv value;
    int32_t operand; /* VM_NONE: scratch, or a store's buffer */
    int64_t row;     /* bytes from row to row */
    bool dense, made, stored;
    size_t offset;   /* in scratch */
};

/* Whether a place moves on from block to block: one value stays, and so does a block of scratch. */
static bool moves(const struct place *q) { return q->dense && !(q->made && q->operand == VM_NONE); }

/* A member for what is left of a row. Stores: b is the buffer's place. */
struct plain {
    vm_elem_kernel *kernel; /* NULL: a store */
    int32_t dst, a, b;
    unsigned scalar;
};

enum way { DELAYED, DIRECT, STREAMED, WAYS };

struct chain {
    const struct vm_links *links;
    struct rows rows;
    size_t blocks, rest; /* of a row; elements after the last block */
    struct vm_link *link[WAYS];
    struct place place[MOST_PLACES];
    int places;
    int32_t watched[MOST_PLACES]; /* those that may lie in buffers */
    int watches;
    struct plain plain[MOST_MEMBERS];
    int plains;
    struct vm_step store[MOST_STORES];
    int32_t store_place[MOST_STORES];
    int stores;
    int32_t ahead[VM_CHAIN_AHEAD]; /* numbers of loads */
    int aheads;
    int32_t fresh[VM_CHAIN_AHEAD]; /* places */
    int freshes;
};

/* Bytes from the first to the last that a place's rows cover. */
static int64_t span(const struct chain *x, int64_t row, bool dense) {
    int64_t last = (x->rows.rows - 1) * row;
    return (last < 0 ? -last : last) + (dense ? x->rows.n : 1) * 4;
}

static bool overlap(const char *a, int64_t a_row, int64_t a_span, const char *b, int64_t b_row, int64_t b_span,
    int64_t rows) {
    uintptr_t a0 = (uintptr_t)a, b0 = (uintptr_t)b;
    if (a_row < 0) a0 += (uintptr_t)((rows - 1) * a_row);
    if (b_row < 0) b0 += (uintptr_t)((rows - 1) * b_row);
    return a0 < b0 + (uintptr_t)b_span && b0 < a0 + (uintptr_t)a_span;
}

/* Whether what store s writes may be written while operands and other stores' places are in use. */
static bool apart(const struct chain *x, int s, char *const *place, const int64_t *row) {
    int32_t mine = x->store_place[s];
    int64_t bytes = span(x, row[mine], true);
    for (int i = 0; i < x->watches; i++) {
        int32_t k = x->watched[i];
        bool dense = x->place[k].dense, same = place[k] == place[mine] && row[k] == row[mine] && dense;
        if (same || !overlap(place[mine], row[mine], bytes, place[k], row[k], span(x, row[k], dense), x->rows.rows))
            continue;
        return false;
    }
    return true;
}

/* Finds where stores go. VM_STOP: an address was refused. */
static int choose_way(struct vm_frame *f, const struct chain *x, char **place, int64_t *row) {
    bool stream = x->stores > 0;
    for (int s = 0; s < x->stores; s++) {
        int32_t k = x->store_place[s];
        struct vm_target t = {0};
        if (!vm_store_target(f, &x->store[s], x->rows.rows, x->rows.n, &t)) return VM_STOP;
        if (!t.dense) return DELAYED;
        bool aligned = (((uintptr_t)t.to | (uintptr_t)t.row) & (x->links->align - 1)) == 0;
        if (t.stream && !aligned) return DELAYED;
        stream &= t.stream;
        place[k] = t.to, row[k] = t.row;
    }
    for (int s = 0; s < x->stores; s++)
        if (!apart(x, s, place, row)) return DELAYED;
    return stream ? STREAMED : DIRECT;
}

/* What is left of a row after its last whole block. */
static void run_rest(const struct chain *x, enum way way, char *const *place) {
    char *here[MOST_PLACES];
    size_t n = x->rest, at = x->blocks * x->links->block * 4;
    for (int k = 0; k < x->places; k++) here[k] = place[k] + (moves(&x->place[k]) ? at : 0);
    for (int i = 0; i < x->plains; i++) {
        const struct plain *q = &x->plain[i];
        if (q->kernel) q->kernel(n, here[q->dst], here[q->a], here[q->b], NULL, q->scalar);
        else if (way != DELAYED) memcpy(here[q->b], here[q->a], n * 4);
    }
}

static int find_ahead(struct vm_frame *f, const struct chain *x, char **ahead) {
    int n = 0;
    for (int i = 0; i < x->aheads; i++) {
        const struct vm_ahead *a = &f->ahead[x->ahead[i]];
        if (a->delta) ahead[n++] = (char *)((uintptr_t)a->now + (uintptr_t)a->delta);
    }
    return n;
}

static int run_chain(struct vm_frame *f, const struct vm_step *s) {
    const struct chain *x = s->data;
    char *place[MOST_PLACES], *ahead[2 * VM_CHAIN_AHEAD];
    int64_t row[MOST_PLACES];
    for (int k = 0; k < x->places; k++) {
        const struct place *q = &x->place[k];
        place[k] = q->operand == VM_NONE ? f->scratch + q->offset : vm_at(f, q->operand), row[k] = q->row;
    }
    int way = choose_way(f, x, place, row), aheads = find_ahead(f, x, ahead);
    if (way == VM_STOP) return VM_STOP;
    for (int64_t r = 0; r < x->rows.rows; r++) {
        for (int k = 0; k < x->freshes; k++) ahead[aheads + k] = place[x->fresh[k]] + SOON;
        x->links->run(x->link[way], x->blocks, place, aheads + x->freshes, ahead);
        if (x->rest) run_rest(x, (enum way)way, place);
        if (r + 1 == x->rows.rows) break;
        for (int k = 0; k < x->places; k++) place[k] += row[k];
        for (int k = 0; k < aheads; k++) ahead[k] += x->rows.n * 4;
    }
    f->streamed |= way == STREAMED;
    for (int i = 0; way == DELAYED && i < x->stores; i++)
        if (x->store[i].run(f, &x->store[i]) == VM_STOP) return VM_STOP;
    return 1;
}

/* ---- making it ---- */

struct maker {
    struct vm_code *k;
    const tsr_tile *p;
    const struct vm_chain_plan *plan;
    struct chain *x;
    bool put[MOST_PLACES];    /* by place: links read what a link has written there */
    struct vm_link *link;     /* where the next one goes; NULL: only to find `put` */
    enum way way;
    tsr_tv held;              /* what the vector registers hold */
};

static const struct tile_inst *member(const struct maker *m, int i) { return inst(m->p, m->plan->member[i]); }

static int32_t find_place(const struct chain *x, tsr_tv v) {
    for (int32_t k = 0; k < x->places; k++)
        if (x->place[k].value == v) return k;
    return -1;
}

/* Whether a value's slot may point at a buffer: loads, and what shares a register with one. */
static bool lies_in_buffer(const tsr_tile *p, tsr_tv v) {
    enum tile_op op = inst(p, p->value.v[v].inst)->op;
    return is_tile(p, v) && (op == TILE_LOAD || op == TILE_RESHAPE || op == TILE_BITCAST);
}

static int32_t new_place(struct maker *m, struct place q) {
    struct chain *x = m->x;
    if (q.stored || (q.value >= 0 && !q.made && lies_in_buffer(m->p, q.value))) x->watched[x->watches++] = x->places;
    x->place[x->places] = q;
    return x->places++;
}

static int32_t operand_place(struct maker *m, const struct tile_inst *in, tsr_tv v) {
    int32_t k = find_place(m->x, v);
    const struct tile_type *r = tile_type_of(m->p, in->result);
    int64_t row, col;
    if (k >= 0) return k;
    row_strides(m->p, v, r->rank, r->extent, m->x->rows, &row, &col);
    return new_place(m, (struct place){.value = v, .operand = is_tile(m->p, v) ? v : ~v, .row = row * 4,
        .dense = col != 0});
}

/* Places and plain kernels of all members, in order. */
static void make_places(struct maker *m) {
    struct chain *x = m->x;
    size_t scratch = 0;
    for (int i = 0; i < m->plan->members; i++) {
        const struct tile_inst *in = member(m, i);
        const tsr_tv *o = tile_operands(m->p, in);
        struct plain *q = &x->plain[x->plains++];
        if (in->op == TILE_STORE) {
            q->a = find_place(x, o[TILE_BLK_VALUE]);
            q->b = x->store_place[x->stores++] = new_place(m, (struct place){.value = TSR_TV_NONE, .operand = VM_NONE,
                .dense = true, .stored = true});
            continue;
        }
        q->kernel = vm_elem_find(m->k->isa, (tsr_scalar)in->sub, TSR_F32);
        q->a = operand_place(m, in, o[0]);
        q->b = operand_place(m, in, o[in->n_operand - 1]);
        q->scalar = (x->place[q->a].dense ? 0u : 1u) | (x->place[q->b].dense ? 0u : 2u);
        bool inner = m->plan->inner[in->result];
        q->dst = new_place(m, (struct place){.value = in->result, .operand = inner ? VM_NONE : in->result,
            .row = inner ? 0 : x->rows.n * 4, .dense = true, .made = true, .offset = scratch});
        if (inner) scratch += x->links->block * 4;
    }
    vm_need_scratch(m->k, scratch);
}

static void link(struct maker *m, vm_link_fn *run, int32_t place) {
    size_t moving = moves(&m->x->place[place]) ? SIZE_MAX : 0;
    if (m->link) *m->link++ = (struct vm_link){.run = run, .place = place, .moves = moving};
}

/* A place that a link reads. */
static int32_t read(struct maker *m, int32_t place) { return m->put[place] = true, place; }

static void hold(struct maker *m, int32_t place) {
    if (m->held == m->x->place[place].value) return;
    link(m, m->x->links->load[!m->x->place[place].dense], read(m, place));
    m->held = m->x->place[place].value;
}

static void link_function(struct maker *m, const struct tile_inst *in, const struct plain *q) {
    const struct chain *x = m->x;
    vm_link_fn *const (*fn)[2] = x->links->fn[in->sub];
    bool back = in->n_operand == 2 && q->a != q->b && m->held == x->place[q->b].value && x->place[q->b].dense;
    if (!back) hold(m, q->a);
    bool below = in->sub == TSR_S_EXP && tile_never_above_zero(m->p, tile_operands(m->p, in)[0]);
    if (in->n_operand == 1) link(m, below ? x->links->exp_below : fn[0][0], q->a);
    else {
        int32_t other = read(m, back ? q->a : q->b);
        link(m, fn[back][!x->place[other].dense], other);
    }
    m->held = in->result;
    if (m->put[q->dst] || (!m->plan->inner[in->result] && m->way == DELAYED) ||
        (!m->plan->inner[in->result] && !m->plan->only_stored[in->result])) link(m, x->links->store, q->dst);
}

static void link_members(struct maker *m) {
    m->held = TSR_TV_NONE;
    for (int i = 0; i < m->plan->members; i++) {
        const struct plain *q = &m->x->plain[i];
        if (q->kernel) link_function(m, member(m, i), q);
        else if (m->way != DELAYED) {
            hold(m, q->a);
            link(m, m->way == STREAMED ? m->x->links->stream : m->x->links->store, q->b);
        }
    }
    link(m, m->x->links->end, 0);
}

static bool make_links(struct maker *m) {
    for (int way = 0; way < WAYS; way++) {
        m->way = (enum way)way;
        memset(m->put, 0, sizeof m->put);
        m->link = NULL;
        link_members(m);
        m->link = m->x->link[way] = arena_alloc(&m->k->memory, (4 * MOST_MEMBERS + 1) * sizeof *m->link);
        if (!m->link) return false;
        link_members(m);
    }
    return true;
}

bool vm_make_chain(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct vm_chain_plan *plan) {
    struct chain *x = arena_alloc(&k->memory, sizeof *x);
    if (!x) return false;
    const struct tile_type *r = tile_type_of(p, inst(p, plan->member[0])->result);
    struct maker m = {.k = k, .p = p, .plan = plan, .x = x};
    x->links = vm_links_of(k->isa);
    x->rows = rows_of(r->rank, r->extent, x->links->block);
    x->blocks = (size_t)x->rows.n / x->links->block, x->rest = (size_t)x->rows.n % x->links->block;
    make_places(&m);
    for (int i = 0, n = 0; i < plan->members; i++)
        if (member(&m, i)->op == TILE_STORE) x->store[n++] = plan->store[i];
    x->aheads = plan->aheads;
    memcpy(x->ahead, plan->ahead, (size_t)x->aheads * sizeof *x->ahead);
    for (int i = 0; i < plan->freshes; i++) {
        int32_t k = find_place(x, plan->fresh[i]);
        if (k >= 0 && x->place[k].dense) x->fresh[x->freshes++] = k;
    }
    s->data = x;
    s->run = run_chain;
    return make_links(&m);
}
