/* vm_compile.c: from a tile program to the VM's steps.
 *
 * 1. need:     instructions whose results nobody uses are dropped (tile_find_need).
 * 2. home:     pure scalar instructions move out of loops to where their operands are known; what depends on arguments
 * alone
 *              moves to the prologue, which runs once a launch (tiles too, when they are small).
 * 3. order:    the instructions in order of execution; everything after speaks of places in this order. Elementwise
 *              instructions that run together, block by block, are moved together: chains (vm_chain.c).
 * 4. live:     from where to where each tile register is needed. Reshapes and results of loops share the register of
 * their
 *              source (its root). A value used in a loop lives to the loop's end when it was made before it.
 * 5. place:    registers get offsets, first fit over the registers alive; an elementwise result may take the place of
 * an
 *              operand of the same size that dies there.
 * 6. emit:     one step an instruction; one for each chain.
 *
 * Loops: a carried tile and its successor (what the turn yields) are two registers whose pointers are swapped at the
 * end of a turn, so nothing is copied. Where the yielded value is not a register of its own made in this region (a
 * value from outside, another carry, a view, one that is yielded twice) it is copied to a spare register first. */
#include "tile/vm_code.h"

#include <string.h>

#define MAX_REGISTERS ((size_t)1 << 31)
#define PROLOGUE_TILE_BYTES 16384 /* tiles that are worth keeping for the whole launch */

enum { HOME_PROLOGUE = -1 };

/* A register of a tile; values point at theirs through `root`. */
struct reg {
    int32_t start, end; /* places in order, both included; start < 0: none */
    size_t bytes, offset;
    int32_t partner; /* value that lives exactly as long (a carry and its successor), or -1 */
    bool placed;
};

struct compiler {
    tsr_ctx *c;
    const tsr_tile *p;
    struct vm_code *k;
    bool *need;           /* by instruction */
    int32_t *home;        /* by instruction: region it runs in, or HOME_PROLOGUE */
    VEC(int32_t) order;   /* instructions in order of execution */
    int32_t prologue;     /* how many of them are the prologue */
    int32_t *place;       /* by instruction: its place in order, or -1 */
    int32_t *chain_end;   /* by place: the last place of the chain that stands there, or -1 */
    int32_t *chain_start; /* the same: the first */
    /* by value: the value whose register it is in; itself when it has its own; -1: a scalar or buffer */
    int32_t *root;
    struct reg *reg;      /* by value, then spare registers */
    int32_t *spare;       /* by value (carry): the register of its successor */
    int32_t regs;         /* values + spares */
    bool *alias;          /* by value: a load that may point at the buffer */
    int32_t *matrix;      /* by value: number among loads that dots read in place, or -1 */
    int32_t *ahead;       /* by value: number among loads that chains fetch ahead, or -1 */
    int32_t *last;        /* by value that is a root: the place of its last use, within a chain too */
    bool *inner, *only_stored; /* by value: as in vm_chain_plan */
    int32_t *dots, *uses; /* by value: uses as a dot's a or b; all uses */
    int32_t *chained[2];  /* by value: uses by members of the chain that makes it: functions, stores */
    VEC(int32_t) opened;  /* emit: steps of open FOR, IF, ELSE whose jumps are not known yet */
};

static const struct tile_inst *inst_of(const struct compiler *m,
    tsr_tv v) { return &m->p->inst.v[m->p->value.v[v].inst]; }
static bool is_tile(const struct compiler *m, tsr_tv v) { return v >= 0 && tile_type_of(m->p, v)->rank > 0; }
static bool has_effect(enum tile_op op) { return op == TILE_STORE || op == TILE_SCATTER; }
static bool is_control(enum tile_op op) { return op >= TILE_FOR; }
static size_t bytes_of(const struct tile_type *t) { return (size_t)tile_count(t) * vm_size(t->dtype); }

/* ---- 2. home ---- */

static bool may_move(const struct compiler *m, const struct tile_inst *in) { return tile_op_pure[in->op] &&
    in->op != TILE_PID && !is_tile(m, in->result); }

static bool small(const struct compiler *m, const struct tile_inst *in) {
    return tile_op_pure[in->op] && bytes_of(tile_type_of(m->p, in->result)) <= PROLOGUE_TILE_BYTES;
}

static int32_t value_home(const struct compiler *m, tsr_tv v) {
    const struct tile_inst *in = inst_of(m, v);
    if (in->op == TILE_BUF || in->op == TILE_ARG) return HOME_PROLOGUE;
    return is_control(in->op) ? m->p->value.v[v].region : m->home[m->p->value.v[v].inst];
}

/* Regions are numbered outside in, so the deepest home among the operands is the greatest. */
static void find_homes(struct compiler *m) {
    for (size_t i = 0; i < m->p->inst.n; i++) {
        const struct tile_inst *in = &m->p->inst.v[i];
        int32_t deepest = in->op == TILE_PID ? 0 : HOME_PROLOGUE;
        m->home[i] = in->region;
        if (!tile_op_pure[in->op]) continue;
        for (int k = 0; k < in->n_operand; k++) {
            int32_t h = value_home(m, tile_operands(m->p, in)[k]);
            if (h > deepest) deepest = h;
        }
        if (in->op == TILE_PID || may_move(m, in) || (deepest == HOME_PROLOGUE && small(m, in))) m->home[i] = deepest;
    }
}

/* ---- 3. order ---- */

static bool put(struct compiler *m, int32_t i) {
    m->place[i] = (int32_t)m->order.n;
    return vec_push(m->c, &m->order, i);
}

/* What moved out of instructions from .. to into region home. */
static bool put_moved(struct compiler *m, int32_t from, int32_t to, int32_t home) {
    for (int32_t i = from; i < to; i++) {
        const struct tile_inst *in = &m->p->inst.v[i];
        if (m->need[i] && m->home[i] == home && in->region != home && !is_control(in->op) && !put(m, i)) return false;
    }
    return true;
}

static bool put_region(struct compiler *m, int32_t from, int32_t to, int32_t region) {
    for (int32_t i = from; i < to; i++) {
        const struct tile_inst *in = &m->p->inst.v[i];
        if (tile_opens(in->op)) {
            int32_t els = in->op == TILE_IF ? in->match : -1, end = els < 0 ? in->match : m->p->inst.v[els].match;
            int32_t inner = m->p->inst.v[(els < 0 ? end : els) - 1].region;
            if (!put_moved(m, i, end, region) || !put(m, i) || !put_region(m, i + 1, els < 0 ? end : els, inner))
                return false;
            if (els >= 0 && (!put(m, els) || !put_region(m, els + 1, end, m->p->inst.v[end - 1].region))) return false;
            if (!put(m, end)) return false;
            i = end;
        } else if (m->need[i] && m->home[i] == region && !put(m, i)) return false;
    }
    return true;
}

static bool find_order(struct compiler *m) {
    int32_t n = (int32_t)m->p->inst.n;
    for (int32_t i = 0; i < n; i++) m->place[i] = -1;
    for (int32_t i = 0; i < n; i++)
        if (m->need[i] && m->home[i] == HOME_PROLOGUE && !put(m, i)) return false;
    m->prologue = (int32_t)m->order.n;
    return put_region(m, 0, n, 0);
}

/* `last` serves the gathering before it serves its purpose. */
static void find_chains(struct compiler *m) {
    int32_t n = (int32_t)m->order.n;
    for (int32_t at = 0; at < n; at++) m->chain_start[at] = m->chain_end[at] = -1;
    for (size_t v = 0; v < m->p->value.n; v++) m->last[v] = -1;
    vm_chain_gather(m->p, m->k->isa, m->order.v, m->prologue, n, m->chain_end, m->last);
    for (int32_t at = 0; at < n; at++) {
        m->place[m->order.v[at]] = at;
        bool begins = at == 0 || m->chain_end[at - 1] != m->chain_end[at];
        if (m->chain_end[at] >= 0) m->chain_start[at] = begins ? at : m->chain_start[at - 1];
    }
    for (size_t v = 0; v < m->p->value.n; v++) m->last[v] = -1;
}

/* ---- 4. live ---- */

static int32_t place_of_end(const struct compiler *m, const struct tile_inst *loop) { return m->place[loop->match]; }

/* Value v is used at `at`; loops: the loops open there, outermost first. */
static void use(struct compiler *m, tsr_tv v, int32_t at, const int32_t *loops, int depth) {
    if (v < 0 || m->root[v] < 0) return;
    struct reg *r = &m->reg[m->root[v]];
    for (int i = 0; i < depth; i++) {
        const struct tile_inst *loop = &m->p->inst.v[loops[i]];
        if (m->place[loops[i]] <= r->start) continue;
        at = place_of_end(m, loop);
        break;
    }
    if (at > m->last[m->root[v]]) m->last[m->root[v]] = at;
    if (m->chain_end[at] > at) at = m->chain_end[at];
    if (at > r->end) r->end = at;
}

/* Whether a yielded value can swap registers with its carry: a register of its own, made in this very region. */
static bool can_swap(const struct compiler *m, const struct tile_inst *yield, int k) {
    tsr_tv v = tile_operands(m->p, yield)[k];
    const struct tile_inst *in = inst_of(m, v);
    if (m->root[v] != v || m->home[m->p->value.v[v].inst] != yield->region || is_control(in->op) || in->op == TILE_LOAD)
        return false;
    for (int i = 0; i < yield->n_operand; i++)
        if (i != k && m->root[tile_operands(m->p, yield)[i]] == v) return false;
    return true;
}

/* The value's register is new at `at`. */
static void own(struct compiler *m, tsr_tv v, int32_t at) {
    m->root[v] = v;
    m->reg[v] = (struct reg){.start = at, .end = at, .bytes = bytes_of(tile_type_of(m->p, v)), .partner = -1};
}

static bool is_view(enum tile_op op) { return op == TILE_RESHAPE || op == TILE_BITCAST; }

/* A bitcast between i4 and u4 changes the byte in the register. */
static bool shares(const struct compiler *m, const struct tile_inst *in) {
    tsr_tv a = in->n_operand ? tile_operands(m->p, in)[0] : TSR_TV_NONE;
    return is_view(in->op) && is_tile(m, in->result) && is_tile(m, a) &&
        tsr_dtype_of(tile_type_of(m->p, a)->dtype)->bits != 4;
}

static void new_values(struct compiler *m, const struct tile_inst *in, int32_t at) {
    for (int i = 0; i < in->n_result; i++) {
        tsr_tv v = in->result + i;
        if (!is_tile(m, v)) continue;
        if (shares(m, in)) m->root[v] = m->root[tile_operands(m->p, in)[0]];
        else if (in->op == TILE_END && m->p->inst.v[in->match].op != TILE_IF) {
            const struct tile_inst *loop = &m->p->inst.v[in->match];
            m->root[v] = m->root[loop->result + (loop->op == TILE_FOR) + i];
        } else if (m->chain_end[at] >= 0) {
            own(m, v, m->chain_start[at]);
            m->reg[v].end = m->chain_end[at];
        } else { /* both arms of an if write its results, so their registers are taken from the if on */
            own(m, v, in->op == TILE_END ? m->place[in->match] : at);
            m->reg[v].end = at;
        }
    }
}

/* The successor of each carry of a loop whose yield this is. */
static void pair_carries(struct compiler *m, const struct tile_inst *loop, const struct tile_inst *yield, int32_t at) {
    int first = loop->op == TILE_FOR, skip = loop->op == TILE_WHILE;
    for (int i = 0; i < yield->n_operand - skip; i++) {
        tsr_tv carry = loop->result + first + i;
        if (!is_tile(m, carry)) continue;
        if (can_swap(m, yield, skip + i)) m->spare[carry] = tile_operands(m->p, yield)[skip + i];
        else {
            m->spare[carry] = m->regs++;
            m->reg[m->spare[carry]] = (struct reg){.start = at, .end = at, .bytes = m->reg[carry].bytes};
        }
        m->reg[carry].partner = m->spare[carry];
        m->reg[m->spare[carry]].partner = carry;
    }
}

static void count_uses(struct compiler *m, const struct tile_inst *in, int32_t at) {
    for (int k = 0; k < in->n_operand; k++) {
        tsr_tv v = tile_operands(m->p, in)[k];
        if (v == TSR_TV_NONE) continue;
        m->uses[v]++;
        m->dots[v] += in->op == TILE_DOT && k < 2;
        int32_t made = m->place[m->p->value.v[v].inst];
        if (made >= 0 && m->chain_start[at] >= 0 && m->chain_start[at] == m->chain_start[made])
            m->chained[in->op == TILE_STORE][v]++;
    }
}

/* What chains alone use needs no register. */
static void find_inner(struct compiler *m) {
    for (int32_t at = 0; at < (int32_t)m->order.n; at++) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[at]];
        tsr_tv v = in->result;
        if (m->chain_end[at] < 0 || !in->n_result) continue;
        m->inner[v] = m->uses[v] == m->chained[0][v];
        m->only_stored[v] = m->uses[v] == m->chained[0][v] + m->chained[1][v];
        if (m->inner[v]) m->reg[v].start = -1;
    }
}

static void find_lives(struct compiler *m) {
    int32_t loops[TILE_MAX_DEPTH];
    int depth = 0;
    for (int32_t at = 0; at < (int32_t)m->order.n; at++) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[at]];
        if (in->op == TILE_END && m->p->inst.v[in->match].op != TILE_IF) depth--;
        count_uses(m, in, at);
        for (int k = 0; k < in->n_operand; k++) use(m, tile_operands(m->p, in)[k], at, loops, depth);
        new_values(m, in, at);
        if (in->op == TILE_FOR || in->op == TILE_WHILE) loops[depth++] = m->order.v[at];
        if (in->op == TILE_YIELD) {
            const struct tile_inst *end = &m->p->inst.v[m->order.v[at + 1]]; /* ELSE or END follows */
            if (end->op == TILE_END && m->p->inst.v[end->match].op != TILE_IF)
                pair_carries(m, &m->p->inst.v[end->match], in, at);
        }
    }
    /* What the prologue makes lives for ever; a carry and its successor live from before the loop to the last use of
     * either. */
    for (int32_t v = 0; v < m->regs; v++) {
        struct reg *r = &m->reg[v];
        if (r->start >= 0 && r->start < m->prologue) r->end = (int32_t)m->order.n;
        if (r->start < 0 || r->partner < 0) continue;
        struct reg *q = &m->reg[r->partner];
        int32_t start = r->start < q->start ? r->start : q->start, end = r->end > q->end ? r->end : q->end;
        r->start = q->start = start;
        r->end = q->end = end;
    }
}

/* A carry must live to the end of its loop even when its last use is early: the swap writes it. Done before pairing
 * ends. */
static void stretch_carries(struct compiler *m) {
    for (int32_t at = 0; at < (int32_t)m->order.n; at++) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[at]];
        if (in->op != TILE_FOR && in->op != TILE_WHILE) continue;
        for (int i = in->op == TILE_FOR; i < in->n_result; i++) {
            tsr_tv v = in->result + i;
            if (!is_tile(m, v)) continue;
            struct reg *r = &m->reg[v], *q = &m->reg[m->spare[v]];
            int32_t end = place_of_end(m, in);
            if (r->end < end) r->end = end;
            if (q->end < r->end) q->end = r->end;
            else r->end = q->end;
        }
    }
}

/* ---- loads that need not copy ---- */

/* Whether a store lies strictly between places from and to, or at `to` anything but a store of v to the same window. */
static bool store_between(const struct compiler *m, tsr_tv v, int32_t from, int32_t to) {
    const struct tile_inst *load = inst_of(m, v);
    for (int32_t at = from + 1; at <= to && at < (int32_t)m->order.n; at++) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[at]];
        if (!has_effect(in->op)) continue;
        if (at < to || in->op != TILE_STORE || in->n_operand != load->n_operand) return true;
        const tsr_tv *a = tile_operands(m->p, in) + TILE_BLK_BASE, *b = tile_operands(m->p, load) + TILE_BLK_BASE;
        if (memcmp(a, b, sizeof *a * (size_t)(1 + in->rank)) != 0 || memcmp(in->extent, load->extent,
            sizeof in->extent) != 0) return true;
    }
    return false;
}

static bool ordinary(tsr_dtype t) { return tsr_dtype_of(t)->kind != TSR_KIND_BLOCK && tsr_dtype_of(t)->bits != 4; }

static void find_aliases(struct compiler *m) {
    for (int32_t at = 0; at < (int32_t)m->order.n; at++) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[at]];
        tsr_tv v = in->result;
        if (in->op != TILE_LOAD || !is_tile(m, v)) continue;
        const tsr_tv *o = tile_operands(m->p, in);
        if (!ordinary(tile_type_of(m->p, o[TILE_BLK_BUF])->dtype) || store_between(m, v, at, m->last[v])) continue;
        m->alias[v] = true;
        bool matrix = in->rank == 2 && tile_is_zero(m->p, o[TILE_BLK_VALUE]) && m->uses[v] == m->dots[v];
        if (!matrix) continue;
        m->matrix[v] = m->k->matrices++;
        m->reg[v].bytes = 0;
    }
}

static bool used_between(const struct compiler *m, tsr_tv v, int32_t from, int32_t to) {
    for (int32_t at = from + 1; at < to; at++) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[at]];
        for (int k = 0; k < in->n_operand; k++)
            if (tile_operands(m->p, in)[k] == v) return true;
    }
    return false;
}

/* Loads that stand before the chain at place `at`, with straight steps between that read them, and point at buffers. */
static void find_ahead(struct compiler *m, int32_t at) {
    size_t bytes = bytes_of(tile_type_of(m->p, m->p->inst.v[m->order.v[at]].result));
    for (int32_t i = at - 1, n = 0; i >= m->prologue && m->chain_end[i] < 0 && n < VM_CHAIN_AHEAD; i--) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[i]];
        if (is_control(in->op)) return;
        tsr_tv v = in->result;
        if (in->op != TILE_LOAD || !m->alias[v] || m->matrix[v] >= 0 || bytes_of(tile_type_of(m->p, v)) != bytes ||
            !used_between(m, v, i, at)) continue;
        m->ahead[v] = m->k->aheads++;
        n++;
    }
}

/* ---- 5. place ---- */

/* The operand of an elementwise instruction whose register its result may take over, or -1. */
static int32_t takes_over(const struct compiler *m, const struct tile_inst *in, tsr_tv v, int32_t at) {
    if (in->op != TILE_ELEM || m->reg[v].partner >= 0 || m->reg[v].start != at || m->chain_end[at] >= 0) return -1;
    for (int k = 0; k < in->n_operand; k++) {
        tsr_tv a = tile_operands(m->p, in)[k];
        int32_t r = m->root[a];
        if (r >= 0 && m->reg[r].end == at && m->reg[r].partner < 0 && m->reg[r].placed &&
            m->reg[r].bytes == m->reg[v].bytes &&
            tile_count(tile_type_of(m->p, a)) == tile_count(tile_type_of(m->p, v)))
            return r;
    }
    return -1;
}

/* Registers alive, in order of offset. */
struct active {
    int32_t *v;
    int32_t n;
};

static void expire(struct compiler *m, struct active *a, int32_t start) {
    int32_t n = 0;
    for (int32_t i = 0; i < a->n; i++)
        if (m->reg[a->v[i]].end >= start) a->v[n++] = a->v[i];
    a->n = n;
}

static void insert_at(struct compiler *m, struct active *a, int32_t i, int32_t v, size_t offset) {
    memmove(a->v + i + 1, a->v + i, (size_t)(a->n - i) * sizeof *a->v);
    a->v[i] = v;
    a->n++;
    m->reg[v].offset = offset;
    m->reg[v].placed = true;
    size_t end = offset + ((m->reg[v].bytes + 63) & ~(size_t)63);
    if (end > m->k->registers) m->k->registers = end;
}

static void first_fit(struct compiler *m, struct active *a, int32_t v) {
    size_t need = (m->reg[v].bytes + 63) & ~(size_t)63, at = 0;
    int32_t i = 0;
    for (; i < a->n; i++) {
        const struct reg *r = &m->reg[a->v[i]];
        if (r->offset >= at + need) break;
        size_t end = r->offset + ((r->bytes + 63) & ~(size_t)63);
        if (end > at) at = end;
    }
    insert_at(m, a, i, v, at);
}

/* Registers in order of start: values made by the instruction at each place, spares and successors with the loop they
 * serve. */
static bool find_places(struct compiler *m) {
    struct active a = {.v = mem_array(m->c, (size_t)m->regs + 1, sizeof(int32_t))};
    int32_t *next = mem_array(m->c, (size_t)m->regs + 1, sizeof *next), *first = mem_array(m->c, m->order.n + 1,
        sizeof *first);
    bool ok = a.v && next && first;
    for (size_t i = 0; ok && i <= m->order.n; i++) first[i] = -1;
    for (int32_t v = m->regs - 1; ok && v >= 0; v--)
        if (m->reg[v].start >= 0) next[v] = first[m->reg[v].start], first[m->reg[v].start] = v;
    for (int32_t at = 0; ok && at < (int32_t)m->order.n; at++) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[at]];
        for (int32_t v = first[at]; v >= 0; v = next[v]) {
            int32_t from = v < (int32_t)m->p->value.n && m->p->value.v[v].inst == m->order.v[at] ? takes_over(m, in, v,
                at) : -1;
            if (from >= 0) m->reg[from].end = at - 1, m->reg[from].partner = -1;
            expire(m, &a, at);
            if (from >= 0) {
                int32_t i = 0;
                while (i < a.n && m->reg[a.v[i]].offset < m->reg[from].offset) i++;
                insert_at(m, &a, i, v, m->reg[from].offset);
            } else first_fit(m, &a, v);
        }
        if (m->k->registers > MAX_REGISTERS)
            ok = (err_set(m->c, TSR_EUNSUPPORTED,
                "tile program '%s': its tiles need more than %zu bytes at once; make the blocks smaller", m->p->name,
                MAX_REGISTERS), false);
    }
    mem_array_free(m->c, a.v, (size_t)m->regs + 1, sizeof(int32_t));
    mem_array_free(m->c, next, (size_t)m->regs + 1, sizeof *next);
    mem_array_free(m->c, first, m->order.n + 1, sizeof *first);
    return ok;
}

/* ---- 6. emit ---- */

static int32_t operand(const struct compiler *m, tsr_tv v) {
    if (v == TSR_TV_NONE) return VM_NONE;
    return is_tile(m, v) || tile_type_of(m->p, v)->buf ? v : ~v;
}

/* Slots: values, three pids, spares, scalar carries on their way. */
static int32_t pid_slot(const struct compiler *m, int axis) { return (int32_t)m->p->value.n + axis; }
static int32_t spare_slot(const struct compiler *m, int32_t v) { return v < (int32_t)m->p->value.n ? v : v + 3; }

static bool push(struct compiler *m, struct vm_step s) { return vec_push(m->c, &m->k->step, s); }

static int run_pid(struct vm_frame *f, const struct vm_step *s) { return f->slot[s->dst].i = f->slot[s->a].i, 1; }
static int run_slot(struct vm_frame *f, const struct vm_step *s) { return f->slot[s->dst] = f->slot[s->a], 1; }
static int run_swap(struct vm_frame *f, const struct vm_step *s) {
    void *p = f->slot[s->dst].p;
    f->slot[s->dst].p = f->slot[s->a].p;
    f->slot[s->a].p = p;
    return 1;
}

/* dst = src by bytes: tiles, scalars or one of each. */
static bool push_copy(struct compiler *m, int32_t dst, int32_t src, size_t bytes) {
    struct vm_step s = {.dst = dst, .a = src};
    return vm_make_copy(m->k, &s, bytes) && push(m, s);
}

static bool push_slot(struct compiler *m, int32_t dst, int32_t src) { return push(m, (struct vm_step){.run = run_slot,
    .dst = dst, .a = src}); }

/* FOR: a = lo, b = hi, c = step as slots; dst = iv; data: the jump when it is over. Jumps are patched by END. */
struct jump {
    int32_t over, back;
};

static int run_for(struct vm_frame *f, const struct vm_step *s) {
    int64_t lo = f->slot[s->a].i;
    f->slot[s->dst].i = lo;
    return lo < f->slot[s->b].i ? 1 : ((const struct jump *)s->data)->over;
}

static int run_next(struct vm_frame *f, const struct vm_step *s) {
    int64_t iv, step = f->slot[s->c].i;
    if (step <= 0 || !i64_add(f->slot[s->dst].i, step, &iv) || iv >= f->slot[s->b].i) return 1;
    f->slot[s->dst].i = iv;
    return ((const struct jump *)s->data)->back;
}

static int run_again(struct vm_frame *f, const struct vm_step *s) { return f->slot[s->a].b
    ? ((const struct jump *)s->data)->back : 1; }
static int run_if(struct vm_frame *f, const struct vm_step *s) { return f->slot[s->a].b ? 1
    : ((const struct jump *)s->data)->over; }
static int run_skip(struct vm_frame *f, const struct vm_step *s) { return (void)f, ((const struct jump *)s->data)->over;
    }

static struct jump *push_jump(struct compiler *m, struct vm_step s) {
    struct jump *j = arena_alloc(&m->k->memory, sizeof *j);
    if (!j) return NULL;
    s.data = j;
    return push(m, s) ? j : NULL;
}

/* Remembers a step whose jump END or ELSE patches. */
static bool open_jump(struct compiler *m, struct vm_step s) {
    int32_t at = (int32_t)m->k->step.n;
    return push_jump(m, s) && vec_push(m->c, &m->opened, at);
}

static int32_t close_jump(struct compiler *m) {
    int32_t at = vec_pop(&m->opened);
    struct jump *j = (struct jump *)(uintptr_t)m->k->step.v[at].data;
    j->over = (int32_t)m->k->step.n - at;
    return at;
}

static bool emit_loop(struct compiler *m, const struct tile_inst *in) {
    const tsr_tv *o = tile_operands(m->p, in);
    int first = in->op == TILE_FOR ? 3 : 0, iv = in->op == TILE_FOR;
    for (int i = 0; i < in->n_operand - first; i++) {
        tsr_tv carry = in->result + iv + i, init = o[first + i];
        if (is_tile(m, carry) ? !push_copy(m, carry, operand(m, init), m->reg[carry].bytes) : !push_slot(m, carry,
            init)) return false;
    }
    if (in->op == TILE_WHILE) { /* a place to jump back to; it does nothing */
        if (!open_jump(m, (struct vm_step){.run = run_skip})) return false;
        ((struct jump *)(uintptr_t)m->k->step.v[m->k->step.n - 1].data)->over = 1;
        return true;
    }
    return open_jump(m, (struct vm_step){.run = run_for, .dst = in->result, .a = o[0], .b = o[1], .c = o[2]});
}

/* Yielded values become the carries of the next turn. All are read before any carry is written: scalars by way of slots
 * of their own, tiles by spare registers where they cannot swap. */
static bool emit_turn(struct compiler *m, const struct tile_inst *loop, const struct tile_inst *yield) {
    const tsr_tv *o = tile_operands(m->p, yield);
    int first = loop->op == TILE_FOR, skip = loop->op == TILE_WHILE, n = yield->n_operand - skip;
    int32_t way = m->k->slots - TILE_MAX_RESULTS - 1; /* slots on the way; the last is a while's condition */
    if (skip && !push_slot(m, way + TILE_MAX_RESULTS, o[0])) return false;
    for (int i = 0; i < n; i++) {
        tsr_tv carry = loop->result + first + i, v = o[skip + i];
        bool ok = is_tile(m, carry) ? m->spare[carry] == v || push_copy(m, spare_slot(m, m->spare[carry]), v,
            m->reg[carry].bytes)
                                    : v == carry || push_slot(m, way + i, v);
        if (!ok) return false;
    }
    for (int i = 0; i < n; i++) {
        tsr_tv carry = loop->result + first + i, v = o[skip + i];
        bool ok = is_tile(m, carry) ? push(m, (struct vm_step){.run = run_swap, .dst = carry, .a = spare_slot(m,
            m->spare[carry])})
                                    : v == carry || push_slot(m, carry, way + i);
        if (!ok) return false;
    }
    return true;
}

static bool emit_arm(struct compiler *m, const struct tile_inst *end, const struct tile_inst *yield) {
    for (int i = 0; i < yield->n_operand; i++) {
        tsr_tv v = tile_operands(m->p, yield)[i], r = end->result + i;
        if (is_tile(m, r) ? !push_copy(m, r, v, m->reg[r].bytes) : !push_slot(m, r, v)) return false;
    }
    return true;
}

static bool emit_end(struct compiler *m, const struct tile_inst *in) {
    const struct tile_inst *opener = &m->p->inst.v[in->match];
    if (opener->op == TILE_IF) return close_jump(m), true;
    int32_t way = m->k->slots - TILE_MAX_RESULTS - 1, at = m->opened.v[m->opened.n - 1], here = (int32_t)m->k->step.n;
    const tsr_tv *o = tile_operands(m->p, opener);
    struct vm_step s = {.run = run_again, .a = way + TILE_MAX_RESULTS};
    if (opener->op == TILE_FOR) s = (struct vm_step){.run = run_next, .dst = opener->result, .b = o[1], .c = o[2]};
    struct jump *j = push_jump(m, s);
    if (!j) return false;
    j->back = at + 1 - here;
    close_jump(m);
    if (opener->op == TILE_WHILE) ((struct jump *)(uintptr_t)m->k->step.v[at].data)->over = 1;
    for (int i = 0; i < in->n_result; i++)
        if (!push_slot(m, in->result + i, opener->result + (opener->op == TILE_FOR) + i)) return false;
    return true;
}

static bool emit_control(struct compiler *m, int32_t at, const struct tile_inst *in) {
    switch (in->op) {
    case TILE_FOR: case TILE_WHILE: return emit_loop(m, in);
    case TILE_IF: return open_jump(m, (struct vm_step){.run = run_if, .a = tile_operands(m->p, in)[0]});
    case TILE_ELSE: {
        /* the first arm skips the second; the if jumps to here */
        int32_t opened = (int32_t)m->k->step.n;
        if (!push_jump(m, (struct vm_step){.run = run_skip})) return false;
        close_jump(m);
        return vec_push(m->c, &m->opened, opened);
    }
    case TILE_YIELD: {
        const struct tile_inst *next = &m->p->inst.v[m->order.v[at + 1]], *end = next->op == TILE_ELSE
            ? &m->p->inst.v[next->match] : next;
        const struct tile_inst *opener = &m->p->inst.v[end->match];
        return opener->op == TILE_IF ? emit_arm(m, end, in) : emit_turn(m, opener, in);
    }
    default: return emit_end(m, in);
    }
}

static bool emit_view(struct compiler *m, const struct tile_inst *in) {
    tsr_tv a = tile_operands(m->p, in)[0], v = in->result;
    if (in->op == TILE_BITCAST && !shares(m, in) && tsr_dtype_of(in->dtype)->bits == 4) {
        struct vm_step s = {.dst = operand(m, v), .a = operand(m, a)};
        return vm_make_cast(m->k, &s, m->p, in) && push(m, s);
    }
    if (shares(m, in) || (!is_tile(m, v) && !is_tile(m, a))) return push_slot(m, v, a);
    return push_copy(m, operand(m, v), operand(m, a), bytes_of(tile_type_of(m->p, v)));
}

typedef bool maker(struct vm_code *k, struct vm_step *s, const tsr_tile *p, const struct tile_inst *in);
static maker *const makers[TILE_OP_COUNT] = {
    [TILE_IOTA] = vm_make_iota,           [TILE_ELEM] = vm_make_elem,     [TILE_CAST] = vm_make_cast,
        [TILE_BROADCAST] = vm_make_broadcast,
    [TILE_TRANSPOSE] = vm_make_transpose, [TILE_REDUCE] = vm_make_reduce, [TILE_SCAN] = vm_make_scan,
        [TILE_ARGREDUCE] = vm_make_argreduce,
    [TILE_STORE] = vm_make_store,         [TILE_GATHER] = vm_make_gather, [TILE_SCATTER] = vm_make_gather,
};

static bool emit_chain(struct compiler *m, int32_t at) {
    struct vm_step store[VM_CHAIN_MEMBERS], s = {.dst = VM_NONE, .a = VM_NONE, .b = VM_NONE, .c = VM_NONE};
    int32_t ahead[VM_CHAIN_AHEAD];
    tsr_tv fresh[VM_CHAIN_AHEAD];
    struct vm_chain_plan plan = {.member = m->order.v + at, .members = m->chain_end[at] + 1 - at, .inner = m->inner,
        .only_stored = m->only_stored, .store = store, .ahead = ahead,
        .fresh = fresh};
    for (int i = 0; i < plan.members; i++) {
        const struct tile_inst *in = &m->p->inst.v[plan.member[i]];
        const tsr_tv *o = tile_operands(m->p, in);
        if (in->op != TILE_STORE) continue;
        store[i] = (struct vm_step){.dst = VM_NONE, .a = operand(m, o[0]), .b = operand(m, o[1]), .c = VM_NONE};
        if (!vm_make_store(m->k, &store[i], m->p, in)) return false;
    }
    for (int32_t i = at - 1; i >= m->prologue && m->chain_end[i] < 0; i--) {
        const struct tile_inst *in = &m->p->inst.v[m->order.v[i]];
        if (is_control(in->op)) break;
        if (in->op != TILE_LOAD || !m->alias[in->result]) continue;
        bool before = m->ahead[in->result] >= 0;
        if (before && plan.aheads < VM_CHAIN_AHEAD) ahead[plan.aheads++] = m->ahead[in->result];
        if (!before && plan.freshes < VM_CHAIN_AHEAD && !used_between(m, in->result, i, at))
            fresh[plan.freshes++] = in->result;
    }
    return vm_make_chain(m->k, &s, m->p, &plan) && push(m, s);
}

static bool emit_inst(struct compiler *m, int32_t at, const struct tile_inst *in) {
    const tsr_tv *o = tile_operands(m->p, in);
    if (m->chain_end[at] >= 0) return m->chain_start[at] != at || emit_chain(m, at);
    if (is_control(in->op)) return emit_control(m, at, in);
    if (in->op == TILE_BUF || in->op == TILE_ARG || in->op == TILE_CONST) return true;
    if (in->op == TILE_PID) return push(m, (struct vm_step){.run = run_pid, .dst = in->result, .a = pid_slot(m,
        in->sub)});
    if (is_view(in->op)) return emit_view(m, in);
    struct vm_step s = {.dst = in->n_result ? operand(m, in->result) : VM_NONE, .a = VM_NONE, .b = VM_NONE,
        .c = VM_NONE};
    if (in->n_operand > 0) s.a = operand(m, o[0]);
    if (in->n_operand > 1) s.b = operand(m, o[1]);
    if (in->n_operand > 2) s.c = operand(m, o[2]);
    if (in->op == TILE_LOAD) {
        tsr_tv v = in->result;
        struct vm_load_plan plan = {m->alias[v], m->matrix[v], m->ahead[v], is_tile(m, v) ? m->reg[v].offset : 0};
        return vm_make_load(m->k, &s, m->p, in, plan) && push(m, s);
    }
    if (in->op == TILE_DOT)
        return vm_make_dot(m->k, &s, m->p, in, (int[2]){m->matrix[o[0]], m->matrix[o[1]]}) && push(m, s);
    return makers[in->op](m->k, &s, m->p, in) && push(m, s);
}

static bool emit_all(struct compiler *m) {
    for (int32_t at = 0; at < (int32_t)m->order.n; at++) {
        if (at == m->prologue) {
            if (!push(m, (struct vm_step){0})) return false;
            m->k->body = (int32_t)m->k->step.n;
        }
        if (!emit_inst(m, at, &m->p->inst.v[m->order.v[at]])) return false;
    }
    if (m->prologue == (int32_t)m->order.n) {
        if (!push(m, (struct vm_step){0})) return false;
        m->k->body = (int32_t)m->k->step.n;
    }
    return push(m, (struct vm_step){0});
}

/* ---- what fresh frames hold ---- */

static void const_bytes(const struct tile_inst *in, unsigned char raw[16]) {
    double d = in->imm.f;
    float f = (float)d;
    uint16_t h;
    memset(raw, 0, 16);
    switch (in->dtype) {
    case TSR_F64: case TSR_C128: memcpy(raw, &d, 8); return;
    case TSR_F32: case TSR_C64: memcpy(raw, &f, 4); return;
    case TSR_F16: h = tsr_f64_to_f16(d), memcpy(raw, &h, 2); return;
    case TSR_BF16: h = tsr_f64_to_bf16(d), memcpy(raw, &h, 2); return;
    case TSR_F8E4M3: raw[0] = tsr_f64_to_f8e4m3(d); return;
    case TSR_F8E5M2: raw[0] = tsr_f64_to_f8e5m2(d); return;
    default: break;
    }
    for (int i = 0; i < tsr_dtype_of(in->dtype)->bytes; i++) raw[i] = (unsigned char)((uint64_t)in->imm.i >> 8 * i);
}

static bool find_starts(struct compiler *m) {
    for (int32_t v = 0; v < m->regs; v++) {
        bool value = v < (int32_t)m->p->value.n;
        struct vm_start s = {.slot = spare_slot(m, v)};
        if (value && inst_of(m, v)->op == TILE_CONST) const_bytes(inst_of(m, v), s.value.raw);
        else if (m->reg[v].placed) s.is_register = true, s.value.i = (int64_t)m->reg[v].offset;
        else continue;
        if (!vec_push(m->c, &m->k->start, s)) return false;
    }
    return true;
}

/* ---- all together ---- */

/* The compiler's arrays: X(name, length); lengths in instructions n, values v, registers r. */
#define ARRAYS(X) \
    X(need, n) X(home, n) X(place, n) X(chain_end, n) X(chain_start, n) X(root, v) X(spare, v) X(alias, v)  \
    X(matrix, v) X(ahead, v) X(last, v) X(inner, v) X(only_stored, v) X(dots, v) X(uses, v) X(chained[0], v) \
    X(chained[1], v) X(reg, r)

static bool allocate(struct compiler *m) {
    size_t n = m->p->inst.n + 1, v = m->p->value.n + 1, r = 2 * m->p->value.n + 1;
#define X(name, length) if (!(m->name = mem_array(m->c, length, sizeof *m->name))) return false;
    ARRAYS(X)
#undef X
    for (size_t i = 0; i < v; i++) m->root[i] = m->matrix[i] = m->ahead[i] = -1;
    for (size_t i = 0; i < r; i++) m->reg[i].start = m->reg[i].partner = -1;
    m->regs = (int32_t)m->p->value.n;
    return true;
}

static void release(struct compiler *m) {
    size_t n = m->p->inst.n + 1, v = m->p->value.n + 1, r = 2 * m->p->value.n + 1;
#define X(name, length) mem_array_free(m->c, m->name, length, sizeof *m->name);
    ARRAYS(X)
#undef X
    vec_release(m->c, &m->order);
    vec_release(m->c, &m->opened);
}

/* Frames for as many threads as the context has, and rooms for them to compute in. */
static bool reserve_frames(struct vm_code *k) {
    size_t slots = ((size_t)k->slots * sizeof(union vm_slot) + 63) & ~(size_t)63;
    size_t matrices = (size_t)k->matrices * sizeof(struct vm_matrix) + (size_t)k->aheads * sizeof(struct vm_ahead);
    matrices = (matrices + 63) & ~(size_t)63;
    k->scratch = (k->scratch + 63) & ~(size_t)63;
    k->frame_bytes = ((sizeof(struct vm_frame) + 63) & ~(size_t)63) + slots + matrices;
    if (!vm_rooms_reserve(k->c, k->registers + k->scratch, tsr_threads(k->c))) return false;
    for (int i = 0; i < tsr_threads(k->c); i++) {
        struct vm_frame *f = vm_frame_new(k->c, k);
        if (!f) return false;
        vm_frame_give(k, f);
    }
    return true;
}

static bool compile(struct compiler *m) {
    if (!allocate(m)) return false;
    tile_find_need(m->p, m->need);
    find_homes(m);
    if (!find_order(m)) return false;
    find_chains(m);
    find_lives(m);
    find_inner(m);
    stretch_carries(m);
    find_aliases(m);
    for (int32_t at = m->prologue; at < (int32_t)m->order.n; at++)
        if (m->chain_start[at] == at) find_ahead(m, at);
    if (!find_places(m)) return false;
    m->k->slots = m->regs + 3 + TILE_MAX_RESULTS + 1;
    return emit_all(m) && find_starts(m) && reserve_frames(m->k);
}

struct vm_code *vm_compile_for(tsr_ctx *c, const tsr_tile *p, enum cpu_isa isa, bool check) {
    if (!p || !p->finished)
        return err_set(c, TSR_EINVAL, "vm_compile: the tile program is not finished; call tsr_tile_finish"), NULL;
    struct vm_code *k = mem_new(c, struct vm_code);
    if (!k) return NULL;
    struct compiler m = {.c = c, .p = p, .k = k};
    k->c = c;
    k->program = tsr_tile_keep((tsr_tile *)(uintptr_t)p);
    k->isa = isa;
    k->check = check;
    arena_init(&k->memory, c);
    pthread_mutex_init(&k->lock, NULL);
    bool ok = compile(&m);
    release(&m);
    if (ok) return k;
    vm_free(k);
    return NULL;
}

struct vm_code *vm_compile(tsr_ctx *c, const tsr_tile *p) { return vm_compile_for(c, p, cpu_isa(),
    env_int("TSR_CHECK") >= 1); }

void vm_free(struct vm_code *k) {
    if (!k) return;
    while (k->idle) {
        struct vm_frame *f = k->idle;
        k->idle = f->next;
        mem_free(k->c, f, k->frame_bytes);
    }
    tsr_ctx *c = k->c;
    pthread_mutex_destroy(&k->lock);
    arena_release(&k->memory);
    vec_release(c, &k->step);
    vec_release(c, &k->start);
    tsr_tile_free(k->program);
    mem_del(c, k);
}
